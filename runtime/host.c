/// runtime/host.c: hosts (host.h has the invariants): a worker made of a foreign thread, which never gives its processor away.
#include "runtime/host.h"

#include <string.h>

#include "platform/memory.h"
#include "runtime/io.h"
#include "runtime/sanitize.h"
#include "runtime/seed.h"

enum { LOOP_STACK = 64 << 10, LOOK_AROUND = 61, EVENTS = 64 };

// ---- finding work ------------------------------------------------------------------------------------------------------

void ecru__host_spill(ecru__host *host, ecru__goroutine *const *items, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    *ecru__link_of(items[i]) = NULL;
    if (host->spill_tail) *ecru__link_of(host->spill_tail) = items[i];
    else host->spill_head = items[i];
    host->spill_tail = items[i];
  }
  ECRU__SET(host->spilled, host->spilled + count);
}

/// Some of what found no room goes back to the ring.
static void unspill(ecru__worker *w) {
  ecru__host *host = w->host;
  for (int i = 0; i < ECRU__RING / 2 && host->spill_head; i++) {
    ecru__goroutine *g = host->spill_head;
    host->spill_head = *ecru__link_of(g);
    if (!host->spill_head) host->spill_tail = NULL;
    ECRU__SET(host->spilled, host->spilled - 1);
    ecru__queue_local(w, g);
  }
}

static ecru__goroutine *take_next(ecru__processor *p) {
  ecru__goroutine *g = p->next;
  ECRU__SET(p->next, NULL);
  return g;
}

static void look_outside(ecru__worker *w, ecru__processor *p, bool round) {
  bool asked = atomic_exchange_explicit(&p->attention, 0, memory_order_relaxed) != 0;
  int64_t now = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  if (asked || (round && now != p->looked_ns)) ecru__poll_now(w, asked);
  p->looked_ns = now;
  // acquire: pairs with the release in note_earliest
  if (atomic_load_explicit(&p->timers->earliest, memory_order_acquire) != ECRU_FOREVER) ecru__timers_run(w, p->timers, ecru__now());
  for (ecru__goroutine *g; (g = ecru__take_pinned(w)) != NULL;) ecru__queue_local(w, g);
}

static ecru__goroutine *search(ecru__worker *w, ecru__processor *p) {
  enum { NEXT_IN_A_ROW = 32 };
  bool round = p->tick % LOOK_AROUND == 0;
  look_outside(w, p, round);
  if (round) {
    ECRU__SET(p->tick, p->tick + 1);
    if (p->bed.count > 0) ecru__bed_age(p);
    unspill(w);
  }
  ecru__goroutine *g = w->undelivered;
  w->undelivered = NULL;
  if (g) return g;
  if (p->next && p->next_run++ < NEXT_IN_A_ROW) return take_next(p);
  p->next_run = 0;
  if ((g = ecru__take_waiting(p)) != NULL) return g;
  if (p->next) return take_next(p);
  unspill(w);
  return ecru__take_waiting(p);
}

/// With a right to a stack there is one, though perhaps in the cache of another processor.
static ecru__goroutine *sprout(ecru__worker *w, ecru__goroutine *seed) {
  ecru__goroutine *g;
  while ((g = ecru__sprout(w, seed)) == NULL) {
    ecru__take_idle_stacks();
    ecru__thread_yield();
  }
  return g;
}

// ---- sleeping ----------------------------------------------------------------------------------------------------------

static bool is_due(const ecru__processor *p, int64_t *deadline) {
  *deadline = atomic_load_explicit(&p->timers->earliest, memory_order_acquire);
  if (ECRU__UNLIKELY(ecru__clock_is_virtual()) && *deadline > ecru__now()) *deadline = ECRU_FOREVER; // who moves the clock wakes us
  return *deadline != ECRU_FOREVER && (ecru__clock_is_virtual() || ecru__clock_now() >= *deadline);
}

static bool is_called(ecru__worker *w) {
  // acquire: pairs with wake() in scheduler.c; what was delivered is under w->lock
  return atomic_load_explicit(&w->wake, memory_order_acquire) != 0 || atomic_load_explicit(&w->pinned_count, memory_order_relaxed) != 0;
}

static void list_asleep(ecru__worker *w) {
  ecru__lock_take(&ecru__sched.lock);
  ECRU__SET(w->listed, ECRU__LISTED_HOST);
  atomic_fetch_add_explicit(&ecru__sched.foreign_parked, 1, memory_order_seq_cst);
  ecru__lock_drop(&ecru__sched.lock);
  ecru__own_sleeps();
  ecru__monitor_nudge(); // the last one awake may be going to sleep
}

/// returns: whether it has woken by itself.
static bool list_awake(ecru__worker *w) {
  ecru__lock_take(&ecru__sched.lock);
  bool by_itself = w->listed != ECRU__LISTED_NOT;
  ecru__unlist(w);
  ecru__lock_drop(&ecru__sched.lock);
  // acquire: pairs with wake() in scheduler.c
  while (!by_itself && atomic_load_explicit(&w->wake, memory_order_acquire) == 0) ecru__thread_yield(); // the wake is on its way
  atomic_store_explicit(&w->wake, 0, memory_order_relaxed);
  return by_itself;
}

/// On its futex. A wait without an end would be begun anew after a handler that wants that (SA_RESTART).
static void doze(ecru__worker *w, int64_t deadline) {
  int64_t long_hence = ecru__clock_now() + 3600 * ECRU_SECOND;
  ecru__wait(&w->wake, 0, deadline < long_hence ? deadline : long_hence);
}

static void sleep_once(ecru__worker *w) {
  ecru__poll_event events[EVENTS];
  ecru__host *host = w->host;
  int64_t deadline;
  int given = 0;
  if (host->hooks.idle) host->hooks.idle(host->hooks.context);
  host->last = NULL;
  list_asleep(w);
  bool called = is_called(w) || is_due(w->processor, &deadline);
  if (!called) {
    if (ecru__poll_claim(w)) given = ecru__poll_sleep(w, events, EVENTS, deadline);
    else doze(w, deadline);
  }
  bool interrupted = !called && given == 0 && !is_called(w) && !is_due(w->processor, &deadline);
  interrupted &= list_awake(w); // before events are handed out: see sleep_in_poller in scheduler.c
  ecru__io_dispatch(w, events, given);
  atomic_store_explicit(&ecru__sched.coarse_now, ecru__clock_now(), memory_order_relaxed);
  if (interrupted && host->hooks.interrupted) host->hooks.interrupted(host->hooks.context);
}

static ecru__goroutine *find_work(ecru__worker *w) {
  for (;;) {
    ecru__processor *p = w->processor;
    ecru__goroutine *g = search(w, p);
    if (!g) {
      sleep_once(w);
      continue;
    }
    if (ecru__is_seed(g)) return sprout(w, g);
    if (g->ready_ns != 0) ecru__note_latency(p, g);
    return g;
  }
}

static void loop(void *value) {
  ECRU__ASAN_ARRIVE(NULL);
  ecru__worker *w = value;
  ecru__finish_switch(w);
  for (;;) ecru__worker_run(w, find_work(w));
}

// ---- entering and leaving ----------------------------------------------------------------------------------------------

/// An unused processor for a host; sched.lock is held, under which ecru_stop makes sure that there is none. *status: why not.
static ecru__processor *take_processor(ecru__host *host, int *status) {
  *status = ECRU_ESHUTDOWN;
  if (atomic_load_explicit(&ecru__sched.state, memory_order_relaxed) != ECRU__STARTED) return NULL;
  *status = ECRU_EMFILE;
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_relaxed);
    if (p && p->host) continue;
    if (!p) p = ecru__processor_new(ECRU__MAXPROCS_LIMIT + i);
    *status = p ? 0 : ECRU_ENOMEM;
    if (!p) return NULL;
    p->host = host;
    atomic_store_explicit(&ecru__sched.hosts[i], p, memory_order_release); // release: pairs with whoever walks them
    return p;
  }
  return NULL;
}

/// The thread's stack as the switch wants to know it: its upper part of a power of two bytes.
static void describe_stack(ecru__stack *stack) {
  void *low = NULL;
  size_t bytes = 0;
  if (ecru__thread_stack(&low, &bytes) != 0 || bytes < LOOP_STACK) { // unknown: around where we are
    bytes = LOOP_STACK;
    low = (char *)__builtin_frame_address(0) + 4096 - bytes;
  }
  stack->top = NULL;
  stack->log2 = 63 - (uint32_t)__builtin_clzll(bytes);
  stack->low = (char *)low + bytes - ((size_t)1 << stack->log2);
}

static void begin_first(ecru__worker *w, ecru__host *host) {
  ecru__goroutine *g = &host->first;
  describe_stack(&host->first_stack);
  g->stack = &host->first_stack;
  g->id = atomic_fetch_add_explicit(&ecru__sched.next_id, 1, memory_order_relaxed);
  g->started_ns = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  memcpy(g->name, "host", sizeof "host");
  ecru__host_adopt(w, g);
  ecru__waiter_move(&w->waiter, &g->waiter);
  atomic_store_explicit(&g->status, ECRU__ON_CPU, memory_order_relaxed);
  g->tsan_fiber = w->tsan_fiber;
}

static int enter(ecru__worker *w, const ecru_host_hooks *hooks) {
  if (w->host) return ECRU_EBUSY;
  if (!w->is_foreign || w->own_goroutine) return ECRU_EPERM;
  // Once ecru_stop takes down what follows uses it waits for nobody who comes in. acquire: pairs with begin_stop
  if (atomic_load_explicit(&ecru__sched.state, memory_order_acquire) != ECRU__STARTED) return ECRU_ESHUTDOWN;
  ecru__host *host = ecru__calloc(1, sizeof *host);
  if (!host) return ECRU_ENOMEM;
  host->hooks = (ecru_host_hooks)ECRU_HOST_HOOKS;
  if (hooks) memcpy(&host->hooks, hooks, hooks->size);
  int status = ecru__stack_take(&host->stack, LOOP_STACK);
  if (status != 0) {
    ecru__free(host);
    return status;
  }
  ecru__lock_take(&ecru__sched.lock);
  ecru__processor *p = take_processor(host, &status);
  if (p) atomic_fetch_add_explicit(&ecru__sched.hosting, 1, memory_order_relaxed);
  ecru__lock_drop(&ecru__sched.lock);
  if (!p) {
    ecru__stack_give(host->stack);
    ecru__free(host);
    return status;
  }
  begin_first(w, host);
  host->last = &host->first;
  ecru__crash_thread(w); // an overflow of a hosted goroutine's stack is told there
  w->native_stack_low = host->stack->low;
  w->native_stack_bytes = LOOP_STACK;
  w->native = ecru__ctx_make(ecru__stack_end(host->stack), LOOP_STACK, loop);
  w->tsan_fiber = ECRU__TSAN_CREATE();
  w->self = &host->first.waiter;
  atomic_fetch_add_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst);
  ecru__lock_take(&ecru__sched.lock);
  w->host = host; // who lists threads looks at it
  ecru__lock_drop(&ecru__sched.lock);
  ecru__worker_give(w, p);
  return 0;
}

static size_t count(const ecru__worker *w) {
  ecru__processor *p = w->processor;
  uint64_t started = atomic_load_explicit(&p->spawned, memory_order_relaxed) + atomic_load_explicit(&p->brought, memory_order_relaxed);
  return (size_t)(started - atomic_load_explicit(&p->ended, memory_order_relaxed));
}

static void see_visitors_out(ecru__worker *w) {
  // acquire: pairs with the release in ecru__host_visited
  while (atomic_load_explicit(&w->visitors, memory_order_acquire) != 0) ecru__thread_yield();
}

static int leave(ecru__worker *w) {
  ecru__host *host = w->host;
  if (!host || w->self != &host->first.waiter) return ECRU_EPERM;
  if (count(w) != 0) return ECRU_EBUSY;
  ecru__processor *p = w->processor;
  ecru__worker_give(w, NULL);
  ecru__timers_move(p->timers, &ecru__timer_table[0]);
  ecru__give_cache_back(p);
  ecru__waiter_move(&host->first.waiter, &w->waiter);
  ECRU__TSAN_DESTROY(w->tsan_fiber);
  w->tsan_fiber = host->first.tsan_fiber;
  w->self = &w->waiter;
  w->native_stack_low = NULL;
  ecru__ctx_drop(w->native);
  ecru__crash_thread_end();
  ecru__lock_take(&ecru__sched.lock);
  w->host = NULL;
  p->host = NULL;
  atomic_store_explicit(&p->owner, NULL, memory_order_relaxed);
  atomic_fetch_sub_explicit(&ecru__sched.hosting, 1, memory_order_relaxed);
  ecru__poll_pass_on(w); // it may have been kept for us
  ecru__lock_drop(&ecru__sched.lock);
  see_visitors_out(w);
  ecru__stack_give(host->stack);
  ecru__free(host);
  ecru__own_sleeps();
  ecru__wake_keeper(atomic_load_explicit(&ecru__sched.processors[0], memory_order_relaxed)); // it has our timers
  return 0;
}

int ecru_host_enter(const ecru_host_hooks *hooks) {
  if (hooks && (hooks->size < sizeof(size_t) || hooks->size > sizeof *hooks)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = enter(w, hooks);
  ecru__leave(w);
  return status;
}

int ecru_host_leave(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = leave(w);
  ecru__leave(w);
  return status;
}

int ecru_is_hosted(void) {
  ecru__worker *w = ecru__worker_here();
  return w && w->host;
}

size_t ecru_host_count(void) {
  ecru__worker *w = ecru__worker_here();
  return w && w->host ? count(w) : 0;
}

int ecru_host_set_mark(void *mark) {
  ecru__worker *w = ecru__worker_here();
  if (!w || !w->host) return ECRU_EPERM;
  ecru__goroutine_of(w->self)->mark = mark;
  return 0;
}

/// As cancel_one in runtime.c: only what is not shielded.
static bool interrupt(ecru__worker *w, ecru__waiter *x) {
  for (;;) {
    uint32_t armed = ECRU__ARMED;
    // acq_rel: as in ecru__claim
    if (atomic_compare_exchange_strong_explicit(&x->state, &armed, ECRU__INSPECTED, memory_order_acq_rel, memory_order_relaxed)) break;
    if (armed != ECRU__INSPECTED) return false;
    ecru__thread_yield();
  }
  bool shielded = ecru__waiter_token(x) == ecru__background_token && x->attached;
  if (!shielded) {
    x->wake_node = NULL;
    x->wake_status = ECRU_EINTR;
  }
  atomic_store_explicit(&x->state, shielded ? ECRU__ARMED : ECRU__CLAIMED, memory_order_release);
  if (!shielded) ecru__ready(w, x);
  return !shielded;
}

int ecru_host_interrupt(void) {
  ecru__worker *w = ecru__worker_here();
  if (!w || !w->host) return ECRU_EPERM;
  uint32_t inside = atomic_load_explicit(&w->inside, memory_order_relaxed); // the hook is called from inside
  atomic_store_explicit(&w->inside, 1, memory_order_relaxed);
  bool waited = interrupt(w, &w->host->first.waiter);
  atomic_store_explicit(&w->inside, inside, memory_order_release);
  return waited;
}

ecru_host *ecru_host_here(void) {
  ecru__worker *w = ecru__worker_here();
  return w ? w->host : NULL;
}

int ecru_host_interrupt_other(ecru_host *host) {
  if (!host) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  bool waited = interrupt(w, &host->first.waiter);
  ecru__leave(w);
  return waited;
}

/// The host that has this processor, visited: it is not left meanwhile. NULL: none has.
static ecru__host *visit(const ecru__processor *p, ecru__worker **w) {
  ecru__lock_take(&ecru__sched.lock);
  *w = p->host ? atomic_load_explicit(&p->owner, memory_order_relaxed) : NULL; // none yet: it is being entered
  ecru__host *host = *w ? p->host : NULL;
  if (host) ecru__host_visit(*w);
  ecru__lock_drop(&ecru__sched.lock);
  return host;
}

void ecru__hosts_watch(void) {
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire); // acquire: pairs with take_processor
    if (!p) return; // they are made in order
    ecru__worker *w;
    ecru__host *host = visit(p, &w);
    if (!host) continue;
    if (host->hooks.watch) host->hooks.watch(host->hooks.context); // without the lock: it may wake the host
    ecru__host_visited(w);
  }
}
