/// runtime/monitor.c: the thread that watches the others (G2, G3, G4, D1).
///
/// It owns no processor. On each look it takes processors from workers that block (lent: after 10 us, so that short calls
/// are left alone; undeclared: after 10 ms) or compute (after 10 ms) while others wait, serves timers whose processor is
/// busy, wakes workers for work that was put where nobody looks, trims stacks, ends the program when all sleep for good. It
/// looks every 250 us when there is something to do, ever more rarely (2 ms; who then adds a timer due soon wakes it) when
/// there is not, every 25 us while a processor is lent and work waits; when all is idle for long it sleeps until somebody
/// wakes a worker. So the scheduler's hot paths need few clocks and few fences.
#include "platform/rare.h"
#include "runtime/host.h"
#include "runtime/io.h"
#include "runtime/state.h"
#include "runtime/uv.h"

enum {
  FAST_NS = 25 * 1000,
  GRACE_NS = 10 * 1000, // about what a hand-off costs; with FAST_NS and a late timer within the 50 us of G3
  BASE_NS = 250 * 1000,
  KEEN_NS = 500 * 1000, // so often it sees all in time (G2)
  SLOW_NS = 2 * 1000 * 1000,
  IDLE_NS = 2 * 1000 * 1000,
  SLICE_NS = 10 * 1000 * 1000,
  HOST_LOOK_NS = 10 * 1000 * 1000,
  LATE_NS = 200 * 1000, // a timer so late is seen to by the monitor
  FAST_LOOKS = 20,
  IDLE_LOOKS = 50,
};

#define DOUBT_MAX (60 * ECRU_SECOND) // how rarely it looks whether an unknown thread has ended

static struct {
  int quiet;          // looks in a row that found nothing to do
  int idle;           // looks in a row that found all processors idle
  int fast;           // looks left at the fast pace; sched.fast_watch is up until the last but one
  bool saw_lent;      // on this look
  bool neglected;     // on this look: nobody has looked at the poller since the last one
  bool moves;         // on this look: some processor goes from goroutine to goroutine, and heeds what it is asked
  bool naps;          // it has put sched.monitor_naps up
  int64_t looked_ns;  // when it looked last
  int64_t hosts_ns;   // when hosts were last watched
  int64_t trimmed_ns; // when stacks were last trimmed
  int64_t trace_ns;   // when ecru__trace_tick wants to be called
  uint64_t asleep_mark; // what the counters said when all first slept
} watch;

static ecru__processor *processor(uint32_t i) {
  return atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed);
}

/// acquire: pairs with the release in host.c
static ecru__processor *host_processor(uint32_t i) { return atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire); }

static bool others_wait(ecru__processor *p) {
  return !ecru__queue_is_empty(p) || ECRU__LOOK(p->next) ||
         ECRU__LOOK(p->bed.count) != 0 || atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) != 0 ||
         atomic_load_explicit(&p->retired, memory_order_relaxed) == 1;
}

/// Tries to take w's processor p while w runs user code (scheduler.h, invariant 3). With w->lock held; on success the baton
/// is down and p is ours. Else it is as before.
static bool take_baton(ecru__worker *w, ecru__processor *p) {
  if (w->processor != p) return false; // written under w->lock: it has another one by now
  if (atomic_load_explicit(&w->baton, memory_order_relaxed) != p && !w->preempt) return false; // it has been taken before
  atomic_store_explicit(&w->baton, NULL, memory_order_relaxed);
  ecru__fence_heavy(); // pairs with the light fence in ecru__enter: we see inside or it misses the baton
  // acquire: pairs with the release in ecru__leave: what it did to p is visible
  if (atomic_load_explicit(&w->inside, memory_order_acquire) == 0) return true;
  ECRU__RARE(baton_put_back); // unit.time.sleepers_wake_at_their_instants
  if (!w->preempt) atomic_store_explicit(&w->baton, p, memory_order_release);
  return false;
}

/// The goroutine on w shall let others go first when it next enters.
static void request(ecru__worker *w, ecru__processor *p) {
  if (atomic_load_explicit(&w->baton, memory_order_relaxed) != p) return;
  atomic_store_explicit(&w->baton, NULL, memory_order_relaxed);
  w->preempt = 1;
}

/// The goroutine on w has kept p too long: gives p to another worker, or, if it is inside at this moment, has it queue up.
static bool retake(ecru__worker *w, ecru__processor *p) {
  ecru__lock_take(&w->lock);
  bool taken = take_baton(w, p);
  if (taken) {
    ECRU__RARE(processor_retaken); // unit.scheduler.what_a_hog_has_started_runs
    w->preempt = 0;
    atomic_store_explicit(&w->outside, 1, memory_order_relaxed);
    atomic_store_explicit(&p->owner, NULL, memory_order_relaxed);
  } else {
    request(w, p);
  }
  ecru__lock_drop(&w->lock);
  if (taken) ecru__handoff(p);
  return taken;
}

/// Goroutines wait in `next` or the bed, which nobody can steal from, behind one that computes: moves them where an idle worker
/// finds them. (The flush may take sched.lock under w->lock, against the usual order: w is outside, so it stands in no list whose
/// holder could want w->lock.)
static bool expose(ecru__worker *w, ecru__processor *p) {
  ecru__lock_take(&w->lock);
  bool taken = take_baton(w, p), exposed = false;
  ecru__goroutine *g = taken ? p->next : NULL;
  if (taken) {
    ECRU__SET(p->next, NULL);
    exposed = g != NULL || p->bed.count > 0;
    ecru__bed_flush(p, p->bed.count);
    if (!w->preempt) atomic_store_explicit(&w->baton, p, memory_order_release);
  }
  ecru__lock_drop(&w->lock);
  if (exposed) ECRU__RARE(work_exposed); // unit.go_suite.as_many_run_in_parallel_as_there_are_processors
  if (g) ecru__queue_global(g);
  return exposed;
}

/// p has been lent by ecru_blocking_enter for some time and work waits for it.
static bool retake_lent(ecru__worker *w, ecru__processor *p) {
  if (atomic_load_explicit(&w->lent, memory_order_relaxed) != p) return false;
  ecru__processor *taken = atomic_exchange_explicit(&w->lent, NULL, memory_order_acq_rel); // pairs with the owner's exchange
  if (!taken) return false;
  ECRU__RARE(lent_processor_retaken); // unit.scheduler.idle_threads_end
  atomic_store_explicit(&taken->owner, NULL, memory_order_relaxed);
  ecru__handoff(taken);
  return true;
}

/// w has lent p. returns: whether there was something to do.
static bool look_at_lent(ecru__worker *w, ecru__processor *p, int64_t now, bool wanted) {
  watch.saw_lent = true;
  if (!wanted) return false;
  watch.fast = FAST_LOOKS;
  atomic_store_explicit(&ecru__sched.fast_watch, 1, memory_order_relaxed); // a hint to who lends: no need to wake us
  return now - ECRU__LOOK(w->lent_ns) < GRACE_NS || retake_lent(w, p);
}

static void fire_all(ecru__timers *t, int64_t now) {
  while (ecru__timers_run(ecru__sched.monitor, t, now) > 0) {}
}

/// p's timers are late because one goroutine has kept it since the last look. It is asked to let others go first: p then fires
/// them itself, which is far cheaper than from here, where they come from another CPU's cache and go into the global queue.
/// Only if at the next look, soon, it has not called ecru since, we fire them.
static void serve_late(ecru__worker *w, ecru__processor *p, int64_t clock_now) {
  if (p->seen_late) {
    ECRU__RARE(timers_late); // unit.scheduler.sleepers_get_their_turn_beside_greedy_ones
    fire_all(p->timers, clock_now);
    return;
  }
  ecru__lock_take(&w->lock);
  request(w, p);
  ecru__lock_drop(&w->lock);
  p->seen_late = true;
  if (watch.fast == 0) watch.fast = 1;
}

/// One processor. returns: whether there was something to do.
static bool look_at(ecru__processor *p, int64_t now, int64_t clock_now) {
  bool late = atomic_load_explicit(&p->timers->earliest, memory_order_acquire) <= clock_now - LATE_NS && !ecru__clock_is_virtual();
  ecru__worker *w = atomic_load_explicit(&p->owner, memory_order_acquire);
  if (!w && late) { // no thread could be had for p
    ECRU__RARE(timers_of_nobody); // unit.scheduler.a_threads_timer_is_served_when_all_threads_block
    fire_all(p->timers, clock_now);
  }
  if (!w || ECRU__LOOK(w->listed) == ECRU__LISTED_IDLE) return false;
  uint32_t tick = ECRU__LOOK(p->tick);
  bool moves = tick != p->seen_tick;
  if (moves) {
    p->seen_late = false;
    p->seen_tick = tick;
    watch.moves = true;
    p->seen_since = watch.looked_ns; // it may have run since just after the last look: a slice is never too long
  }
  if (late || watch.neglected || atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) != 0)
    atomic_store_explicit(&p->attention, 1, memory_order_relaxed); // not only every 61st switch
  if (late && !moves) serve_late(w, p, clock_now);
  // acquire: pairs with the release in lend: lent_ns belongs to this lending, or to a later one
  if (atomic_load_explicit(&w->lent, memory_order_acquire) == p) return look_at_lent(w, p, now, late || watch.neglected || others_wait(p));
  if (moves) return late;
  if (now - p->seen_since >= SLICE_NS && (late || watch.neglected || others_wait(p))) return retake(w, p) || late;
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) != 0 &&
      (ECRU__LOOK(p->next) || ECRU__LOOK(p->bed.count)))
    return expose(w, p) || late;
  return late;
}

/// Nobody has looked at the poller for a while: hands out what is ready, and has an idle worker, if there is one, sleep there.
static bool serve_poller(void) {
  int given = ecru__poll_now(ecru__sched.monitor, true);
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) == 0) return given > 0;
  atomic_store_explicit(&ecru__sched.poll_wanted, 1, memory_order_relaxed);
  ecru__wake_worker();
  return true;
}

/// Hosts keep their processors. One whose timers are late is asked to look at them; if it has not at the next look it computes or blocks, and we
/// fire them: others may wait for them, a token's deadline say. So do we with those of one that has gone and found no room for them elsewhere.
static void look_at_host(ecru__processor *p, int64_t clock_now) {
  // acquire: pairs with the release in note_earliest
  bool late = atomic_load_explicit(&p->timers->earliest, memory_order_acquire) <= clock_now - LATE_NS && !ecru__clock_is_virtual();
  if (late && p->seen_late) fire_all(p->timers, clock_now);
  p->seen_late = late;
  if (late) atomic_store_explicit(&p->attention, 1, memory_order_relaxed);
}

static void look_at_hosts(int64_t now, int64_t clock_now) {
  if (now - watch.hosts_ns >= HOST_LOOK_NS && atomic_load_explicit(&ecru__sched.hosting, memory_order_relaxed) != 0) {
    watch.hosts_ns = now;
    ecru__hosts_watch();
  }
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = host_processor(i);
    if (!p) return; // they are made in order
    look_at_host(p, clock_now);
  }
}

static bool look_at_all(int64_t now) {
  bool busy = false, surplus = atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) != 0;
  int64_t clock_now = ecru__now();
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  watch.saw_lent = false;
  watch.moves = false;
  watch.neglected = ecru__poll_is_neglected();
  for (uint32_t i = 0; i < created; i++) {
    busy |= look_at(processor(i), now, clock_now);
    surplus |= !ecru__queue_is_empty(processor(i));
  }
  look_at_hosts(now, clock_now);
  if (watch.neglected && !watch.moves) busy |= serve_poller(); // else it has been asked to look, from nearer by
  if (!watch.saw_lent) atomic_store_explicit(&ecru__sched.some_lent, 0, memory_order_relaxed);
  if (surplus && atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) != 0 &&
      atomic_load_explicit(&ecru__sched.spinning, memory_order_relaxed) == 0) {
    ecru__wake_worker();
    busy = true;
  }
  return busy;
}

static bool all_idle(void) {
  return atomic_load_explicit(&ecru__sched.idle_count, memory_order_seq_cst) >=
         atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed);
}

/// Everybody ecru knows sleeps, nothing is armed. *threads: how many threads that are, with this one.
static bool all_asleep(uint32_t *threads) {
  if (!all_idle() || atomic_load_explicit(&ecru__sched.global_count, memory_order_seq_cst) != 0) return false;
  if (atomic_load_explicit(&ecru__sched.state, memory_order_relaxed) != ECRU__STARTED) return false;
  for (int i = 0; i < ECRU__HEAPS; i++)
    if (atomic_load_explicit(&ecru__timer_table[i].earliest, memory_order_acquire) != ECRU_FOREVER) return false;
  uint32_t foreign = 0, asleep = 0, own = 0;
  bool busy = false;
  ecru__lock_take(&ecru__sched.lock);
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next) {
    uint32_t stopping = atomic_load_explicit(&w->stopping, memory_order_relaxed);
    if (stopping == 2) continue;
    own++;
    busy |= stopping != 0 || w->listed == ECRU__LISTED_NOT ||
            atomic_load_explicit(&w->pinned_count, memory_order_relaxed) != 0;
  }
  for (ecru__worker *w = ecru__sched.foreign; w; w = w->all_next) {
    foreign++;
    busy |= atomic_load_explicit(&w->pinned_count, memory_order_relaxed) != 0; // a host's
  }
  busy |= ecru__sched.finished != NULL;
  ecru__lock_drop(&ecru__sched.lock);
  asleep = atomic_load_explicit(&ecru__sched.foreign_parked, memory_order_seq_cst);
  *threads = own + foreign + 1 + ecru__uv_threads();
  return !busy && asleep == foreign && (foreign != 0 || ecru__alive() != 0) && !ecru__io_anybody_waits() &&
         !ecru__uv_is_busy();
}

/// ... and every thread of the process is one of these: a thread ecru does not know could wake them (D1).
static bool nothing_can_wake(void) {
  uint32_t threads;
  return all_asleep(&threads) && (uint32_t)ecru__thread_count() == threads;
}

static uint64_t activity(void) {
  uint64_t sum = ecru__alive();
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) sum += ECRU__LOOK(processor(i)->switches);
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT && host_processor(i); i++) sum += ECRU__LOOK(host_processor(i)->switches);
  return sum + atomic_load_explicit(&ecru__sched.timers_fired, memory_order_relaxed); // of threads that sleep now and then
}

static void join_finished(void) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *list = ecru__sched.finished;
  ecru__sched.finished = NULL;
  ecru__lock_drop(&ecru__sched.lock);
  while (list) {
    ecru__worker *following = list->all_next;
    ecru__worker_join(list);
    ecru__free(list->own_goroutine); // one block holds both
    list = following;
  }
}

/// Whether the next look comes soon. The flag stays up meanwhile, so that who lends wakes nobody; it comes down before the last of these
/// looks, which therefore sees what was lent under it.
static bool keep_fast(void) {
  if (watch.fast == 0 && atomic_load_explicit(&ecru__sched.fast_watch, memory_order_relaxed)) watch.fast = FAST_LOOKS;
  if (watch.fast == 0) return false;
  watch.fast = all_idle() ? 0 : watch.fast - 1;
  if (watch.fast > 0) return true;
  atomic_store_explicit(&ecru__sched.fast_watch, 0, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst); // pairs with those in lend and global_push: they see the flag down or we what they did
  return true;
}

void ecru__monitor_tell(int64_t when) {
  int64_t looked = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  if (when > looked + 3 * SLOW_NS) return; // it looks before, even if it has just looked and we have not seen that yet
  if (!atomic_exchange_explicit(&ecru__sched.monitor_naps, 0, memory_order_relaxed)) return;
  atomic_store_explicit(&ecru__sched.monitor_word, 1, memory_order_release);
  ecru__wake_one(&ecru__sched.monitor_word);
}

/// returns: a timer was added since the flag was put up.
static bool timer_came(void) {
  bool came = watch.naps && !atomic_load_explicit(&ecru__sched.monitor_naps, memory_order_relaxed);
  if (came) watch.naps = false;
  return came;
}

static void nap_long(bool naps) {
  if (naps == watch.naps) return;
  watch.naps = naps;
  atomic_store_explicit(&ecru__sched.monitor_naps, naps, memory_order_relaxed);
  if (naps) ecru__fence_heavy(); // pairs with the light fence in ecru__monitor_heed; the look at the heaps comes after it
}

static int64_t pace(bool busy, int64_t now) {
  if (keep_fast()) return now + FAST_NS;
  if (all_idle()) {
    watch.idle++;
    return now + IDLE_NS;
  }
  watch.idle = 0;
  watch.quiet = busy || timer_came() ? 0 : watch.quiet + 1;
  int64_t nap = (int64_t)BASE_NS << (watch.quiet / 8 < 3 ? watch.quiet / 8 : 3);
  if (nap > KEEN_NS && atomic_load_explicit(&ecru__sched.poller, memory_order_relaxed)) nap = KEEN_NS; // descriptors tell nobody
  int64_t until = now + (nap < SLOW_NS ? nap : SLOW_NS);
  if (ecru__clock_is_virtual()) return until;
  nap_long(nap > KEEN_NS);
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) { // be there when a timer is late
    int64_t due = atomic_load_explicit(&processor(i)->timers->earliest, memory_order_acquire);
    if (due < until - LATE_NS) until = due + LATE_NS > now + BASE_NS ? due + LATE_NS : now + BASE_NS;
  }
  return until;
}

/// When the first timer is due on a processor no worker sleeps for (no thread could be had): the monitor serves it.
static int64_t first_unkept_timer(void) {
  int64_t first = ECRU_FOREVER;
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) {
    int64_t due = atomic_load_explicit(&processor(i)->timers->earliest, memory_order_acquire);
    if (due < first && !atomic_load_explicit(&processor(i)->owner, memory_order_acquire)) first = due;
  }
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT && host_processor(i); i++) {
    int64_t due = atomic_load_explicit(&host_processor(i)->timers->earliest, memory_order_acquire);
    if (due < first && !atomic_load_explicit(&host_processor(i)->owner, memory_order_acquire)) first = due;
  }
  return ecru__clock_is_virtual() ? ECRU_FOREVER : first;
}

/// It takes time to look at all of them: who woke meanwhile, and sleeps again, was seen without a timer and then asleep. It shows in the activity.
static void check_deadlock(void) {
  uint64_t before = watch.asleep_mark;
  watch.asleep_mark = UINT64_MAX;
  if (watch.idle < 2) return;
  uint64_t mark = activity();
  if (!nothing_can_wake() || activity() != mark) return;
  if (mark == before) ecru__deadlock(); // twice in a row the very same picture
  watch.asleep_mark = mark;
}

/// Sleeps until somebody wakes a worker: nothing runs. The last look comes after the flag is up.
static void sleep_deep(void) {
  atomic_store_explicit(&ecru__sched.monitor_deep, 1, memory_order_seq_cst); // seq_cst: pairs with ecru__monitor_nudge
  int64_t age = ECRU_SECOND, doubt = ECRU_SECOND / 2;
  while (all_idle() && atomic_load_explicit(&ecru__sched.global_count, memory_order_seq_cst) == 0 &&
         atomic_load_explicit(&ecru__sched.monitor_word, memory_order_acquire) == 0 &&
         !atomic_load_explicit(&ecru__sched.monitor_stop, memory_order_acquire)) {
    int64_t now = ecru__clock_now();
    bool more = now - watch.trimmed_ns < 4 * age; // what was used last is given back a second later, then rest
    int64_t due = first_unkept_timer();
    if (due <= now) break;
    if (more && due > now + age) due = now + age;
    if (due > watch.trace_ns) due = watch.trace_ns;
    bool hosts = atomic_load_explicit(&ecru__sched.hosting, memory_order_relaxed) != 0;
    if (hosts && due > now + HOST_LOOK_NS) due = now + HOST_LOOK_NS; // one that is busy does not look at the poller
    uint32_t threads;
    if (all_asleep(&threads) && due > now + doubt) { // only a thread ecru does not know can wake them: it may have ended
      due = now + doubt;
      if (doubt < DOUBT_MAX) doubt *= 2;
    }
    ecru__wait(&ecru__sched.monitor_word, 0, due);
    now = ecru__clock_now();
    if (hosts && ecru__poll_is_neglected()) (void)serve_poller();
    look_at_hosts(now, ecru__now());
    if (more) ecru__take_idle_stacks();
    if (more) ecru__stacks_trim(now, age);
    if (now >= watch.trace_ns) watch.trace_ns = ecru__trace_tick(now);
    check_deadlock();
  }
  atomic_store_explicit(&ecru__sched.monitor_deep, 0, memory_order_seq_cst);
  atomic_store_explicit(&ecru__sched.monitor_word, 0, memory_order_relaxed);
  watch.idle = 0;
}

static void monitor_main(void *argument) {
  ecru__worker *w = argument;
  ecru__worker_set_here(w);
  ecru__worker_prepare(w);
  ecru__thread_exact_timers();
  while (!atomic_load_explicit(&ecru__sched.monitor_stop, memory_order_acquire)) {
    int64_t now = ecru__clock_now();
    atomic_store_explicit(&ecru__sched.coarse_now, now, memory_order_relaxed);
    bool busy = look_at_all(now);
    watch.looked_ns = now;
    join_finished();
    watch.trace_ns = ecru__trace_tick(now);
    if (now - watch.trimmed_ns >= ECRU_SECOND) {
      ecru__stacks_trim(now, ECRU_SECOND);
      watch.trimmed_ns = now;
    }
    int64_t until = pace(busy, now);
    check_deadlock();
    if (watch.idle > IDLE_LOOKS) sleep_deep();
    else ecru__wait(&ecru__sched.monitor_word, 0, until < watch.trace_ns ? until : watch.trace_ns);
    atomic_store_explicit(&ecru__sched.monitor_word, 0, memory_order_relaxed);
  }
  join_finished();
  ecru__worker_set_here(NULL);
}

int ecru__monitor_start(void) {
  watch.quiet = watch.idle = watch.fast = 0;
  watch.naps = false;
  watch.trimmed_ns = watch.looked_ns = watch.hosts_ns = ecru__clock_now();
  watch.asleep_mark = UINT64_MAX;
  atomic_store(&ecru__sched.monitor_stop, 0);
  atomic_store(&ecru__sched.monitor_word, 0);
  atomic_store(&ecru__sched.monitor_deep, 0);
  atomic_store(&ecru__sched.monitor_naps, 0);
  ecru__worker *w = ecru__calloc(1, sizeof *w);
  if (!w) return ECRU_ENOMEM;
  w->is_foreign = 1;
  w->epoch = atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed); // never listed as a foreign thread
  ecru__sched.monitor = w;
  int status = ecru__thread_start(&ecru__sched.monitor_thread, monitor_main, w, "ecru-monitor", 0);
  if (status != 0) ecru__free(w);
  return status;
}

void ecru__monitor_join(void) {
  atomic_store_explicit(&ecru__sched.monitor_stop, 1, memory_order_release);
  atomic_store_explicit(&ecru__sched.monitor_word, 1, memory_order_release);
  ecru__wake_one(&ecru__sched.monitor_word);
  ecru__thread_join(ecru__sched.monitor_thread);
  ecru__free(ecru__sched.monitor);
  ecru__sched.monitor = NULL;
}
