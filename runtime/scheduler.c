/// runtime/scheduler.c: finding work, sleeping without missing any, passing processors from worker to worker.
///
/// Order of search: every 61st time the global queue; the woken one (`next`); the own ring; the global queue; half of another's
/// ring; then sleep. Timers are looked at on the way. A processor goes idle together with its worker, which sleeps on its behalf
/// until its earliest timer; somebody else may take the processor away from under it (ecru__take_idle_processor),
/// it is then a spare worker.
///
/// Waking is rare on purpose: a wake across CPUs costs 30 us on virtual machines. Work put into `next` wakes nobody (it is about to
/// run here); work put into a ring wakes one worker if none is looking already; that one wakes the next if it finds more
/// than it can run. What this misses (a goroutine alone in `next` behind one that computes) the monitor finds.
#include "platform/rare.h"
#include "runtime/host.h"
#include "runtime/io.h"
#include "runtime/seed.h"
#include "runtime/state.h"

ecru__scheduler ecru__sched;

uint64_t ecru__alive(void) {
  uint64_t ended = atomic_load_explicit(&ecru__sched.ended, memory_order_acquire), spawned;
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire);
    if (p) ended += atomic_load_explicit(&p->ended, memory_order_acquire);
  }
  // ended before spawned, everywhere: a goroutine started in between is counted, never missed
  for (uint32_t i = 0; i < created; i++)
    ended += atomic_load_explicit(&atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed)->ended, memory_order_acquire);
  spawned = atomic_load_explicit(&ecru__sched.spawned, memory_order_relaxed);
  for (uint32_t i = 0; i < created; i++)
    spawned += atomic_load_explicit(&atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed)->spawned, memory_order_relaxed);
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire);
    if (p) spawned += atomic_load_explicit(&p->spawned, memory_order_relaxed) + atomic_load_explicit(&p->brought, memory_order_relaxed);
  }
  return spawned - ended;
}

void ecru__note_latency(ecru__processor *p, ecru__goroutine *g) {
  int64_t waited = ecru__clock_now() - g->ready_ns;
  g->ready_ns = 0;
  uint32_t bucket = waited <= 1 ? 0 : 63 - (uint32_t)__builtin_clzll((uint64_t)waited);
  uint64_t *count = &p->latency[bucket < 32 ? bucket : 31];
  ECRU__SET(*count, *count + 1);
}

enum { LOOK_AROUND = 61, NEXT_IN_A_ROW = 32 };

/// From the ring or the bed; if both have something, three of four times from the bed.
ecru__goroutine *ecru__take_waiting(ecru__processor *p) {
  if (p->bed.count == 0) return ecru__queue_pop(p);
  ecru__bed_share(p);
  ecru__goroutine *g = NULL;
  if (++p->bed_turn % 4 != 0) g = ecru__bed_pop(p);
  if (!g) g = ecru__queue_pop(p);
  return g ? g : ecru__bed_pop(p);
}

/// What runs next on this processor without looking far, or NULL: then ecru__find_work decides.
ecru__goroutine *ecru__pick(ecru__worker *w) {
  ecru__processor *p = w->processor;
  if (ECRU__UNLIKELY(!p)) return NULL;
  ECRU__SET(p->switches, p->switches + 1);
  ECRU__SET(p->tick, p->tick + 1);
  if (ECRU__UNLIKELY(p->tick % LOOK_AROUND == 0 || atomic_load_explicit(&p->attention, memory_order_relaxed) ||
                     atomic_load_explicit(&w->pinned_count, memory_order_relaxed)))
    return NULL;
  ecru__goroutine *g = p->next;
  if (ECRU__LIKELY(g != NULL && p->next_run < NEXT_IN_A_ROW)) {
    ECRU__SET(p->next, NULL);
    p->next_run++;
  } else {
    p->next_run = 0;
    ecru__goroutine *first = ecru__take_waiting(p);
    if (first) g = first; // a chain of wake-ups has had its share: the ring comes first, once (G2)
    else ECRU__SET(p->next, NULL);
  }
  if (!g) return NULL;
  if (ecru__is_seed(g)) {
    ecru__goroutine *sprouted = ecru__sprout(w, g);
    if (ECRU__LIKELY(sprouted != NULL)) return sprouted;
    w->undelivered = g;
    return NULL;
  }
  if (ECRU__UNLIKELY(g->ready_ns != 0)) ecru__note_latency(p, g);
  if (ECRU__LIKELY(!g->pinned || g->pinned == w)) return g;
  w->undelivered = g;
  return NULL;
}

/// Cached stacks and rights to stacks, where any processor can have them; p is the caller's.
void ecru__give_cache_back(ecru__processor *p) {
  ecru__stacks_give_list(p->free_head);
  p->free_head = NULL;
  p->free_count = 0;
  ecru__stack_return(p->rights);
  p->rights = 0;
}

/// Lists; sched.lock is held.
static void list_push(ecru__worker **list, ecru__worker *w, uint32_t listed) {
  w->idle_next = *list;
  *list = w;
  ECRU__SET(w->listed, listed);
}
static void list_remove(ecru__worker **list, ecru__worker *w) {
  while (*list != w) list = &(*list)->idle_next;
  *list = w->idle_next;
  ECRU__SET(w->listed, ECRU__LISTED_NOT);
}
static void count_idle(int delta) {
  uint32_t now = atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) + (uint32_t)delta;
  atomic_store_explicit(&ecru__sched.idle_count, now, memory_order_seq_cst); // seq_cst: see global_push in queue.c
}
void ecru__unlist(ecru__worker *w) {
  if (w->listed == ECRU__LISTED_IDLE) {
    list_remove(&ecru__sched.idle, w);
    count_idle(-1);
  } else if (w->listed == ECRU__LISTED_SPARE) {
    list_remove(&ecru__sched.spare, w);
  } else if (w->listed == ECRU__LISTED_HOST) {
    ECRU__SET(w->listed, ECRU__LISTED_NOT);
    atomic_fetch_add_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst); // before it is counted as no longer asleep, as in ecru__ready
    atomic_fetch_sub_explicit(&ecru__sched.foreign_parked, 1, memory_order_seq_cst);
  }
}

enum { WAKE_LOOK = 1, WAKE_SPINNING = 2 };

static void wake(ecru__worker *w, uint32_t how) {
  // seq_cst: pairs with the acquire in sleep_listed, and with ecru__poll_is_mine: we see it in the poller or it sees that it is woken
  atomic_store_explicit(&w->wake, how, memory_order_seq_cst);
  if (atomic_load_explicit(&w->in_poller, memory_order_seq_cst))
    ecru__poller_wake(atomic_load_explicit(&ecru__sched.poller, memory_order_acquire));
  else
    ecru__wake_one(&w->wake);
  atomic_fetch_add_explicit(&ecru__sched.thread_wakes, 1, memory_order_relaxed);
}

void ecru__wake_listed(ecru__worker *w) { wake(w, WAKE_LOOK); }

/// Whom to wake: rather not the one that sleeps in the poller; sched.lock is held.
static ecru__worker *first_idle(void) {
  for (ecru__worker *w = ecru__sched.idle; w; w = w->idle_next)
    if (!atomic_load_explicit(&w->in_poller, memory_order_relaxed)) return w;
  return ecru__sched.idle;
}

/// p becomes a spare worker's, if there is one; sched.lock is held. The caller wakes it.
static ecru__worker *give_to_spare(ecru__processor *p) {
  ecru__worker *w = ecru__sched.spare;
  if (w) {
    ecru__unlist(w);
    ecru__worker_give(w, p);
  }
  return w;
}

/// Has a worker run p: a spare one, else a new thread; if none is to be had, puts p aside for whoever comes next.
static void start_or_shelve(ecru__processor *p) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = give_to_spare(p);
  ecru__lock_drop(&ecru__sched.lock);
  if (w) {
    wake(w, WAKE_LOOK);
    return;
  }
  if (ecru__worker_start(p) == 0) return;
  ECRU__RARE(processor_shelved); // unit.scheduler.all_goes_on_when_no_more_threads_are_allowed
  ecru__queue_flush(p); // others run its goroutines until a thread is to be had
  ecru__give_cache_back(p);   // and use its stacks
  ecru__lock_take(&ecru__sched.lock);
  w = give_to_spare(p); // one that came meanwhile found nothing unmanned
  if (!w) {
    p->unmanned_next = ecru__sched.unmanned;
    ecru__sched.unmanned = p;
    atomic_store_explicit(&p->owner, NULL, memory_order_relaxed);
    count_idle(1);
  }
  ecru__lock_drop(&ecru__sched.lock);
  if (w) wake(w, WAKE_LOOK);
}

void ecru__wake_worker(void) {
  ecru__lock_take(&ecru__sched.lock);
  if (atomic_load_explicit(&ecru__sched.spinning, memory_order_relaxed) != 0) {
    ecru__lock_drop(&ecru__sched.lock); // somebody looks already, and wakes the next when it finds much
    return;
  }
  ecru__worker *w = first_idle();
  ecru__processor *p = NULL;
  if (w) {
    ecru__unlist(w);
    atomic_fetch_add_explicit(&ecru__sched.spinning, 1, memory_order_seq_cst);
  } else if ((p = ecru__sched.unmanned) != NULL) {
    ecru__sched.unmanned = p->unmanned_next;
    count_idle(-1);
  }
  ecru__lock_drop(&ecru__sched.lock);
  if (w) wake(w, WAKE_SPINNING);
  if (p) start_or_shelve(p);
  ecru__monitor_nudge();
}

/// Is p's owner asleep on its behalf? sched.lock is held.
static bool sleeps_for(const ecru__worker *w, const ecru__processor *p) {
  return w && (w->listed == ECRU__LISTED_IDLE || w->listed == ECRU__LISTED_HOST) && w->processor == p;
}

/// Something about p changed that whoever sleeps on its behalf must know (an earlier timer, a lower maxprocs).
void ecru__wake_keeper(ecru__processor *p) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = atomic_load_explicit(&p->owner, memory_order_relaxed);
  bool asleep = sleeps_for(w, p);
  if (asleep) ecru__unlist(w);
  if (asleep) ecru__host_visit(w);
  ecru__lock_drop(&ecru__sched.lock);
  if (asleep) wake(w, WAKE_LOOK);
  if (asleep) ecru__host_visited(w);
  ecru__monitor_nudge();
}

/// maxprocs was lowered before a worker was started for p.
void ecru__withdraw_unmanned(ecru__processor *p) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__processor **link = &ecru__sched.unmanned;
  while (*link && *link != p) link = &(*link)->unmanned_next;
  bool found = *link != NULL;
  if (found) {
    *link = p->unmanned_next;
    count_idle(-1);
  }
  ecru__lock_drop(&ecru__sched.lock);
  if (found) atomic_store_explicit(&p->retired, 2, memory_order_release); // release: as in retire()
}

static void take_stacks_of(ecru__processor *p) {
  ecru__goroutine *list = NULL;
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = atomic_load_explicit(&p->owner, memory_order_relaxed);
  if (sleeps_for(w, p)) {
    list = p->free_head;
    p->free_head = NULL;
    p->free_count = 0;
  }
  ecru__lock_drop(&ecru__sched.lock);
  ecru__stacks_give_list(list);
}

/// Before stacks are trimmed: an idle processor's cache would keep its stacks' memory for ever (G8). Idle processors change hands
/// only under sched.lock, hosts leave it only by that lock.
void ecru__take_idle_stacks(void) {
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) take_stacks_of(atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed));
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire);
    if (p) take_stacks_of(p);
  }
}

/// Gets w, which has none, an idle processor. Its sleeping worker becomes a spare one. false: all are busy.
bool ecru__take_idle_processor(ecru__worker *w) {
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_acquire) == 0) return false;
  ecru__processor *p = NULL;
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *keeper = first_idle();
  if (keeper) {
    ecru__unlist(keeper);
    p = keeper->processor;
    ecru__worker_give(keeper, NULL);
    keeper->spare_since = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
    list_push(&ecru__sched.spare, keeper, ECRU__LISTED_SPARE);
  } else if ((p = ecru__sched.unmanned) != NULL) {
    ecru__sched.unmanned = p->unmanned_next;
    count_idle(-1);
  }
  ecru__lock_drop(&ecru__sched.lock);
  if (!p) return false;
  ecru__worker_give(w, p);
  ecru__monitor_nudge();
  return true;
}

/// Gives p, which the caller took from a blocked worker, to a spare worker or a new thread.
int ecru__handoff(ecru__processor *p) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = ecru__sched.spare;
  if (w) {
    ecru__unlist(w);
    ecru__worker_give(w, p);
  }
  ecru__lock_drop(&ecru__sched.lock);
  atomic_fetch_add_explicit(&ecru__sched.handoffs, 1, memory_order_relaxed);
  if (w) wake(w, WAKE_LOOK);
  else start_or_shelve(p);
  return 0;
}

/// g must run on another worker: puts it into that worker's queue and sees to it that it has a processor (if need be, ours).
void ecru__deliver(ecru__worker *w, ecru__worker *target, ecru__goroutine *g) {
  ecru__host_visit(target);
  ecru__lock_take(&target->lock);
  *ecru__link_of(g) = NULL;
  if (target->pinned_tail) *ecru__link_of(target->pinned_tail) = g;
  else target->pinned_head = g;
  target->pinned_tail = g;
  atomic_fetch_add_explicit(&target->pinned_count, 1, memory_order_relaxed);
  ecru__lock_drop(&target->lock);
  ecru__lock_take(&ecru__sched.lock);
  bool asleep = target->listed != ECRU__LISTED_NOT; // else it runs, or is on its way back, and looks at its queue itself
  if (target->listed == ECRU__LISTED_SPARE) {
    ECRU__RARE(pinned_to_spare); // unit.goroutine.pins_nest
    ecru__processor *p = w->processor;
    ecru__worker_give(w, NULL);
    ecru__unlist(target);
    ecru__worker_give(target, p);
  } else if (asleep) {
    ecru__unlist(target);
  }
  ecru__lock_drop(&ecru__sched.lock);
  if (asleep) wake(target, WAKE_LOOK);
  ecru__host_visited(target);
}

void ecru__deliver_pinned(ecru__worker *w, ecru__goroutine *g) { ecru__deliver(w, g->pinned, g); }

ecru__goroutine *ecru__take_pinned(ecru__worker *w) {
  if (atomic_load_explicit(&w->pinned_count, memory_order_relaxed) == 0) return NULL;
  ecru__lock_take(&w->lock);
  ecru__goroutine *g = w->pinned_head;
  if (g) {
    w->pinned_head = *ecru__link_of(g);
    if (!w->pinned_head) w->pinned_tail = NULL;
    atomic_fetch_sub_explicit(&w->pinned_count, 1, memory_order_relaxed);
  }
  ecru__lock_drop(&w->lock);
  return g;
}

/// Its goroutines can only run here, but there is no processor: back into the global queue; whoever finds them brings one along.
static void return_pinned(ecru__worker *w) {
  for (ecru__goroutine *g; (g = ecru__take_pinned(w)) != NULL;) {
    ECRU__RARE(pinned_returned); // unit.goroutine.pins_nest
    ecru__queue_global(g);
  }
}

static void stop_spinning(ecru__worker *w) {
  if (!w->spinning) return;
  w->spinning = 0;
  atomic_fetch_sub_explicit(&ecru__sched.spinning, 1, memory_order_seq_cst);
  atomic_thread_fence(memory_order_seq_cst); // the looks that follow come after it, also in C11's terms
}

/// A lone goroutine is left to its processor (queue.c), so it is no reason to stay awake.
static bool crowded(ecru__processor *p) {
  return atomic_load_explicit(&p->tail, memory_order_relaxed) - atomic_load_explicit(&p->head, memory_order_relaxed) > 1;
}

/// A look at everybody's queues, racy but after the fence in go_idle.
static bool work_anywhere(ecru__worker *w) {
  if (atomic_load_explicit(&ecru__sched.global_count, memory_order_seq_cst) != 0) return true;
  if (atomic_load_explicit(&w->pinned_count, memory_order_relaxed) != 0) return true;
  if (atomic_load_explicit(&w->stopping, memory_order_acquire) != 0) return true;
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++)
    if (crowded(atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed))) return true;
  return false;
}

/// Parked on its thread's stack (ecru_on_thread_stack): asleep, though its worker is in no list. Claimed but not yet running is not.
static bool native_parked(const ecru__worker *w) {
  if (!ECRU__LOOK(w->on_native)) return false;
  ecru__waiter *x = ECRU__LOOK(w->self);
  return atomic_load_explicit(&x->state, memory_order_acquire) == ECRU__ARMED;
}

/// sched.lock is held. false: a goroutine runs or is about to, or computes or blocks somewhere without a processor.
static bool all_goroutines_parked(void) {
  // seq_cst: pairs with count_idle, global_push and ecru__own_sleeps: of two that fall asleep the later sees both
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_seq_cst) < atomic_load_explicit(&ecru__sched.maxprocs, memory_order_acquire))
    return false;
  if (atomic_load_explicit(&ecru__sched.global_count, memory_order_seq_cst) != 0) return false;
  if (atomic_load_explicit(&ecru__sched.own_awake, memory_order_seq_cst) != 0) return false;
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next)
    if (w->listed == ECRU__LISTED_NOT && atomic_load_explicit(&w->stopping, memory_order_relaxed) == 0 && !native_parked(w)) return false;
  return true;
}

static int64_t earliest_timer(void) {
  int64_t earliest = ECRU_FOREVER;
  for (uint32_t i = 0; i < ECRU__HEAPS; i++) {
    int64_t at = atomic_load_explicit(&ecru__timer_table[i].earliest, memory_order_acquire);
    if (at < earliest) earliest = at;
  }
  return earliest;
}

/// With a virtual clock: if nothing runs and nothing blocks, time jumps to the next timer (K7). The look comes first, and all of it
/// under the lock without which nobody leaves the idle list: else a goroutine woken by another's jump could run between look and jump.
static bool advance_virtual_clock(void) {
  ecru__lock_take(&ecru__sched.lock);
  bool moved = all_goroutines_parked() && ecru__clock_virtual_advance(earliest_timer());
  ecru__lock_drop(&ecru__sched.lock);
  return moved;
}

/// After a virtual jump somebody else's timers may be due: its keeper must look.
void ecru__wake_due_keepers(void) {
  int64_t now = ecru__now();
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed);
    if (atomic_load_explicit(&p->timers->earliest, memory_order_acquire) <= now) ecru__wake_keeper(p);
  }
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire);
    if (p && atomic_load_explicit(&p->timers->earliest, memory_order_acquire) <= now) ecru__wake_keeper(p);
  }
}

/// Called by whoever may have been the last one awake.
void ecru__try_virtual_jump(void) {
  if (ECRU__UNLIKELY(ecru__clock_is_virtual()) && advance_virtual_clock()) ecru__wake_due_keepers();
}

void ecru__own_sleeps(void) {
  atomic_fetch_sub_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst); // seq_cst: pairs with the look in all_goroutines_parked
  ecru__try_virtual_jump();
}

/// When a thread that has had nothing to do since then is to end.
static int64_t idle_end(int64_t since) {
  int64_t idle_ns = ecru__sched.options.idle_thread_ns;
  return idle_ns < ECRU_FOREVER - since ? since + idle_ns : ECRU_FOREVER;
}

/// Sleeps in the poller on behalf of all. returns: true: w stands in no list any more: it has goroutines to run, or no processor.
static bool sleep_in_poller(ecru__worker *w, int64_t deadline) {
  enum { EVENTS = 64 };
  ecru__poll_event events[EVENTS];
  int given = ecru__poll_sleep(w, events, EVENTS, deadline);
  if (given == 0) return false;
  ecru__lock_take(&ecru__sched.lock);
  uint32_t listed = w->listed; // spare: its processor was taken meanwhile
  ecru__unlist(w); // so that nobody gives it another one while it hands out, and it counts as awake (D1)
  ecru__lock_drop(&ecru__sched.lock);
  // Being woken: perhaps with another processor, which is its own once the wake is there. acquire: as in sleep_listed
  while (listed == ECRU__LISTED_NOT && atomic_load_explicit(&w->wake, memory_order_acquire) == 0) ecru__thread_yield();
  ecru__io_dispatch(w, events, given);
  if (listed == ECRU__LISTED_IDLE) ecru__monitor_nudge();
  return listed != ECRU__LISTED_NOT;
}

/// Sleeps while w is listed. returns: false: it shall end (a spare worker nobody needed for long).
static bool sleep_listed(ecru__worker *w) {
  for (;;) {
    // acquire: pairs with the release in wake(): the processor given before is visible
    uint32_t how = atomic_load_explicit(&w->wake, memory_order_acquire);
    if (how) {
      atomic_store_explicit(&w->wake, 0, memory_order_relaxed);
      if (how == WAKE_SPINNING) w->spinning = 1;
      return true;
    }
    ecru__lock_take(&ecru__sched.lock);
    uint32_t listed = w->listed;
    int64_t deadline = ECRU_FOREVER;
    if (listed == ECRU__LISTED_IDLE) {
      deadline = atomic_load_explicit(&w->processor->timers->earliest, memory_order_acquire);
      // a virtual clock may have been moved since this worker looked at its timers; later moves wake it
      if (ECRU__UNLIKELY(ecru__clock_is_virtual())) deadline = deadline <= ecru__now() ? 0 : ECRU_FOREVER;
    } else if (listed == ECRU__LISTED_SPARE && w->pinned_total == 0) {
      deadline = idle_end(w->spare_since);
    }
    bool due = listed != ECRU__LISTED_NOT && deadline != ECRU_FOREVER && ecru__clock_now() >= deadline;
    if (due) ecru__unlist(w);
    ecru__lock_drop(&ecru__sched.lock);
    if (due && listed == ECRU__LISTED_IDLE) ecru__monitor_nudge();
    if (due) return listed == ECRU__LISTED_IDLE;
    if (listed == ECRU__LISTED_IDLE) { // its processor may be taken away without waking it (30 us): it looks by itself, in time to end
      int64_t look = idle_end(ecru__clock_now() + 10 * ECRU_MILLISECOND);
      if (look < deadline) deadline = look;
    }
    if (listed == ECRU__LISTED_IDLE && ecru__poll_is_mine(w)) {
      if (sleep_in_poller(w, deadline)) return true;
    } else if (listed != ECRU__LISTED_NOT) ecru__wait(&w->wake, 0, deadline);
    else ecru__thread_yield(); // unlisted: the wake is on its way
  }
}

/// returns: as sleep_listed.
static bool go_idle(ecru__worker *w) {
  stop_spinning(w);
  ecru__lock_take(&ecru__sched.lock);
  list_push(&ecru__sched.idle, w, ECRU__LISTED_IDLE);
  count_idle(1);
  ecru__lock_drop(&ecru__sched.lock);
  atomic_thread_fence(memory_order_seq_cst); // pairs with the one in queue.c's global_push
  if (work_anywhere(w)) {
    ECRU__RARE(work_came_while_going_idle); // stress.stress_scheduler.random_lives_on_many_processors
    ecru__lock_take(&ecru__sched.lock);
    uint32_t listed = w->listed; // spare: its processor was taken at once; goroutines pinned here may have come before it was listed
    ecru__unlist(w);
    ecru__lock_drop(&ecru__sched.lock);
    if (listed == ECRU__LISTED_IDLE) ecru__monitor_nudge();
    if (listed != ECRU__LISTED_NOT) return true;
  } else {
    ecru__try_virtual_jump();
  }
  bool needed = sleep_listed(w);
  atomic_store_explicit(&ecru__sched.coarse_now, ecru__clock_now(), memory_order_relaxed);
  return needed;
}

/// Without a processor: waits until somebody has one to spare. returns: false: the thread shall end.
static bool wait_for_processor(ecru__worker *w) {
  stop_spinning(w);
  for (;;) {
    return_pinned(w);
    ecru__lock_take(&ecru__sched.lock);
    bool stopping = atomic_load_explicit(&w->stopping, memory_order_relaxed) != 0;
    bool ready = atomic_load_explicit(&w->pinned_count, memory_order_relaxed) == 0 && !stopping;
    bool wanted = ready && atomic_load_explicit(&ecru__sched.global_count, memory_order_seq_cst) != 0;
    ecru__processor *p = wanted ? ecru__sched.unmanned : NULL; // put aside when no thread was to be had: here is one
    if (p) {
      ecru__sched.unmanned = p->unmanned_next;
      count_idle(-1);
      ecru__worker_give(w, p);
      ready = false;
    }
    if (ready) {
      w->spare_since = ecru__clock_now();
      list_push(&ecru__sched.spare, w, ECRU__LISTED_SPARE);
    }
    ecru__lock_drop(&ecru__sched.lock);
    if (stopping) return false;
    if (p) ecru__monitor_nudge();
    if (p) return true;
    if (ready) ecru__try_virtual_jump();
    if (ready) return sleep_listed(w);
  }
}

/// maxprocs was lowered: what p holds goes to the others, p itself aside.
static void retire(ecru__worker *w, ecru__processor *p) {
  uint32_t asked = 1;
  if (!atomic_compare_exchange_strong(&p->retired, &asked, 3)) return; // maxprocs was raised again
  ecru__queue_flush(p);
  ecru__timers_move(p->timers, &ecru__timer_table[0]);
  ecru__give_cache_back(p);
  atomic_store_explicit(&p->owner, NULL, memory_order_relaxed);
  ecru__worker_give(w, NULL);
  atomic_store_explicit(&p->retired, 2, memory_order_release); // release: pairs with ecru_set_maxprocs taking it back
  ecru__wake_keeper(atomic_load_explicit(&ecru__sched.processors[0], memory_order_relaxed));
}

static ecru__goroutine *steal(ecru__processor *p) {
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  if (created < 2) return NULL; // nor draws: how often one looks for work is no decision that a seed could replay (D6)
  p->random ^= p->random << 13;
  p->random ^= p->random >> 17;
  p->random ^= p->random << 5;
  for (uint32_t i = 0, at = p->random % created; i < created; i++, at = at + 1 < created ? at + 1 : 0) {
    ecru__processor *victim = atomic_load_explicit(&ecru__sched.processors[at], memory_order_relaxed);
    if (victim == p) continue;
    ecru__goroutine *g = ecru__queue_steal(p, victim);
    if (g) return g;
  }
  return NULL;
}

/// Is somebody else awake, who looks at the poller before he sleeps?
static bool others_run(void) {
  return atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) + 1 < atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed) &&
         atomic_load_explicit(&ecru__sched.poll_slot, memory_order_relaxed) != ECRU__POLL_TAKEN;
}

/// Every 61st time, if it is some time since this processor last looked at the poller (by the clock the monitor keeps).
static bool has_not_looked(ecru__processor *p) {
  if (p->tick % LOOK_AROUND != 0) return false;
  int64_t now = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  bool long_ago = now != p->looked_ns;
  p->looked_ns = now;
  return long_ago;
}

static ecru__goroutine *search(ecru__worker *w, ecru__processor *p) {
  ecru__goroutine *g;
  bool asked = atomic_load_explicit(&p->attention, memory_order_relaxed) != 0;
  if (asked) atomic_store_explicit(&p->attention, 0, memory_order_relaxed);
  if (asked || has_not_looked(p)) ecru__poll_now(w, asked);
  int64_t earliest = atomic_load_explicit(&p->timers->earliest, memory_order_acquire);
  if (earliest != ECRU_FOREVER) ecru__timers_run(w, p->timers, ecru__now());
  if ((g = w->undelivered) != NULL) {
    w->undelivered = NULL;
    return g;
  }
  if ((g = ecru__take_pinned(w)) != NULL) return g;
  if (asked || p->tick % LOOK_AROUND == 0) {
    if (p->tick % LOOK_AROUND == 0) {
      ECRU__SET(p->tick, p->tick + 1); // once a round, even if the search begins anew
      if (p->bed.count > 0) ecru__bed_age(p);
    }
    if ((g = ecru__queue_global_pop(p)) != NULL) return g;
  }
  if (p->next && p->next_run < NEXT_IN_A_ROW) {
    g = p->next;
    ECRU__SET(p->next, NULL);
    p->next_run++;
    return g;
  }
  p->next_run = 0;
  if ((g = ecru__take_waiting(p)) != NULL) return g;
  if ((g = p->next) != NULL) {
    ECRU__SET(p->next, NULL);
    return g;
  }
  if ((g = ecru__queue_global_pop(p)) != NULL) return g;
  if ((g = steal(p)) != NULL) return g;
  if (!others_run() || ecru__poll_now(w, false) == 0) return NULL; // if nobody else runs, go_idle sleeps in the poller
  if ((g = p->next) == NULL) return ecru__take_waiting(p);
  ECRU__SET(p->next, NULL);
  return g;
}

/// The next goroutine for w, on its native stack; sleeps until there is one. returns: NULL: the thread shall end.
ecru__goroutine *ecru__find_work(ecru__worker *w) {
  for (;;) {
    ecru__processor *p = w->processor;
    if (!p) {
      if (!wait_for_processor(w)) return NULL;
      continue;
    }
    if (ECRU__UNLIKELY(atomic_load_explicit(&p->retired, memory_order_acquire))) {
      stop_spinning(w); // else what it gives away wakes nobody
      if (w->undelivered) ecru__queue_global(w->undelivered);
      w->undelivered = NULL;
      retire(w, p);
      continue;
    }
    ecru__goroutine *g = search(w, p);
    if (!g) {
      if (ECRU__UNLIKELY(atomic_load_explicit(&w->stopping, memory_order_acquire))) {
        stop_spinning(w);
        return NULL;
      }
      if (!go_idle(w)) return NULL;
      continue;
    }
    if (w->spinning) {
      stop_spinning(w);
      if (!ecru__queue_is_empty(p) || atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed)) ecru__maybe_wake();
    }
    if (p->tick % LOOK_AROUND == 0) ECRU__SET(p->tick, p->tick + 1);
    if (ecru__is_seed(g)) {
      ecru__goroutine *sprouted = ecru__sprout(w, g);
      if (sprouted) return sprouted;
      ecru__queue_global(g); // a processor with an unused stack will come by
      if (atomic_load_explicit(&ecru__sched.hosting, memory_order_relaxed) != 0) ecru__take_idle_stacks(); // a sleeping host will not
      ecru__thread_yield();
      continue;
    }
    if (g->ready_ns != 0) ecru__note_latency(p, g);
    if (ECRU__LIKELY(!g->pinned || g->pinned == w)) return g;
    ecru__deliver_pinned(w, g);
  }
}

/// The running goroutine has lost its processor and there is no idle one: it queues up; its thread becomes a spare one.
void ecru__requeue(ecru__worker **w) {
  ecru__goroutine *g = ecru__goroutine_of((*w)->self);
  atomic_store_explicit(&g->status, ECRU__RUNNABLE, memory_order_relaxed);
  (*w)->post_kind = ECRU__POST_GLOBAL;
  (*w)->post_goroutine = g;
  *w = ecru__switch_away(*w);
}
