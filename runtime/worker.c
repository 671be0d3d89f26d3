/// runtime/worker.c: threads as the scheduler sees them, and the door to the runtime.
///
/// Every thread that calls ecru has a worker. Those the scheduler starts run goroutines; a foreign thread is adopted at its first
/// call, its worker lies in its thread-local storage and never owns a processor. This is the one file that names a thread-local:
/// compilers cache their addresses across switches, so they are only reached through functions that are not
/// inlined and launder what they return (docs/internals/architecture.md, "Portability of thread-locals").
#include "platform/unwind.h"
#include "platform/rare.h"
#include "runtime/fork.h"
#include "runtime/sanitize.h"
#include "runtime/state.h"

#include <errno.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#define OPAQUE __attribute__((noinline, noclone, noipa))
#else
#define OPAQUE __attribute__((noinline))
#endif

static _Thread_local ecru__worker *current;
static _Thread_local ecru__worker stranger;
static _Thread_local int refusal;
static _Atomic int forked;

OPAQUE ecru__worker *ecru__worker_here(void) {
  ecru__worker *w = current;
  __asm__ volatile("" : "+r"(w));
  return w;
}

OPAQUE void ecru__worker_set_here(ecru__worker *w) {
  current = w;
  __asm__ volatile("" ::: "memory");
}

void ecru__worker_prepare(ecru__worker *w) {
  w->errno_place = &errno;
  w->exceptions = ecru__unwind_thread_state();
  w->thread_id = ecru__thread_id();
  w->tsan_fiber = ECRU__TSAN_CURRENT();
  w->self = &w->waiter;
  w->waiter.is_thread = ECRU__THREAD;
  if (!w->waiter.token) w->waiter.token = ecru__root_token;
}

static void list_foreign(ecru__worker *w) {
  ecru__lock_take(&ecru__sched.lock);
  w->all_prev = NULL;
  w->all_next = ecru__sched.foreign;
  if (w->all_next) w->all_next->all_prev = w;
  ecru__sched.foreign = w;
  w->epoch = atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed);
  ecru__lock_drop(&ecru__sched.lock);
}

/// A foreign thread ends: its locals' destructors run, its worker is forgotten.
static void stranger_ends(void) {
  ecru__worker *w = ecru__worker_here();
  if (!w || w != &stranger) return;
  if (w->host) ecru__panic("thread exit", w, "the thread still hosts goroutines (ecru_host_leave)");
  if (w->waiter.locals || w->waiter.scoped) ecru__locals_end(&w, &w->waiter);
  ecru__token_forget(&w->waiter);
  ecru__lock_take(&ecru__sched.lock);
  if (w->epoch == atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed)) {
    if (w->all_prev) w->all_prev->all_next = w->all_next;
    else ecru__sched.foreign = w->all_next;
    if (w->all_next) w->all_next->all_prev = w->all_prev;
  }
  ecru__lock_drop(&ecru__sched.lock);
  ecru__worker_set_here(NULL);
  ecru__monitor_nudge(); // the others may now wait for nobody
}

void ecru__foreign_forget_all(void) {
  ecru__lock_take(&ecru__sched.lock);
  atomic_fetch_add_explicit(&ecru__sched.epoch, 1, memory_order_relaxed);
  ecru__sched.foreign = NULL;
  ecru__lock_drop(&ecru__sched.lock);
}

/// In a child: who forked, and then what it was under.
static ecru__waiter *forker, inherited;
static _Atomic bool inherits; // atomic: the first thread to enter takes it

static void child_after_fork(void) {
  ecru__worker *w = ecru__worker_here();
  if (w) forker = w->self; // else it is the child of a child that has not used ecru yet: what that was under
  atomic_store(&forked, 1);
  ecru__worker_set_here(NULL);
}

int ecru__worker_watch_forks(void) { return ecru__thread_on_fork(child_after_fork); }

int ecru__worker_forked(void) { return atomic_load(&forked); }

static OPAQUE ecru__worker *refuse(int status) {
  refusal = status;
  return NULL;
}

OPAQUE int ecru__enter_status(void) { return refusal; }

static OPAQUE ecru__worker *adopt(void) {
  ecru__worker *w = &stranger;
  memset(w, 0, sizeof *w);
  w->is_foreign = 1;
  ecru__worker_prepare(w);
  if (atomic_load_explicit(&inherits, memory_order_relaxed) && atomic_exchange(&inherits, false)) ecru__waiter_move(&inherited, &w->waiter);
  if (ecru__thread_on_exit(stranger_ends) != 0) return refuse(ECRU_ENOMEM);
  atomic_store_explicit(&w->inside, 1, memory_order_relaxed);
  list_foreign(w);
  current = w;
  return w;
}

static ecru__worker *enter_first(void) {
  if (atomic_load(&forked)) return refuse(ECRU_EFORKED);
  int status = ecru__start_implicitly();
  return status == 0 ? adopt() : refuse(status);
}

static ecru__worker *enter_foreign(ecru__worker *w) {
  if (ECRU__LIKELY(w->epoch == atomic_load_explicit(&ecru__sched.epoch, memory_order_acquire))) return w;
  int status = ecru__start_implicitly(); // the runtime was stopped since this thread last called
  if (status != 0) return refuse(status);
  if (w->epoch != atomic_load_explicit(&ecru__sched.epoch, memory_order_acquire)) list_foreign(w);
  return w;
}

/// Waits for a hand-off under way and learns what it was. returns: the goroutine is asked to let others go first.
static bool settle(ecru__worker *w) {
  ecru__lock_take(&w->lock);
  bool preempted = w->preempt != 0;
  w->preempt = 0;
  if (preempted) ECRU__RARE(lets_others_go); // unit.time.sleepers_wake_at_their_instants
  if (preempted) atomic_store_explicit(&w->baton, w->processor, memory_order_release);
  else if (!atomic_load_explicit(&w->baton, memory_order_relaxed)) w->processor = NULL;
  atomic_store_explicit(&w->outside, 0, memory_order_relaxed);
  ecru__lock_drop(&w->lock);
  return preempted;
}

/// The processor seems to be gone: taken by the monitor (perhaps only for a moment), lent, or never there.
static ecru__worker *enter_without_baton(ecru__worker *w) {
  if (w->is_foreign) return enter_foreign(w);
  if (!w->on_native) { // on a thread's stack nothing can queue: what is done there is done without a processor
    ecru__goroutine *g = ecru__goroutine_of(w->self);
    atomic_store_explicit(&g->status, ECRU__ON_CPU, memory_order_relaxed); // whatever call it is, it ends a blocking section
    // acq_rel: pairs with the monitor's exchange: exactly one of us gets it
    ecru__processor *p = atomic_exchange_explicit(&w->lent, NULL, memory_order_acq_rel);
    if (p) {
      ecru__worker_give(w, p);
      return w;
    }
  }
  bool preempted = settle(w);
  if (w->on_native || (w->processor && !preempted)) return w;
  if (preempted || !ecru__take_idle_processor(w)) ecru__requeue(&w);
  return w;
}

OPAQUE ecru__worker *ecru__enter(void) {
  ecru__worker *w = current;
  if (ECRU__UNLIKELY(!w)) return enter_first();
  atomic_store_explicit(&w->inside, 1, memory_order_relaxed);
  ecru__fence_light(); // pairs with the heavy fence in the monitor: it sees inside or we miss the baton
  if (ECRU__UNLIKELY(!atomic_load_explicit(&w->baton, memory_order_acquire))) w = enter_without_baton(w);
  __asm__ volatile("" : "+r"(w));
  return w;
}

void ecru__worker_give(ecru__worker *w, ecru__processor *p) {
  ecru__lock_take(&w->lock);
  w->processor = p;
  w->preempt = 0;
  if (p) {
    ECRU__SET(p->tick, p->tick + 1); // its time slice begins
    atomic_store_explicit(&p->owner, w, memory_order_release);
  }
  atomic_store_explicit(&w->baton, p, memory_order_release);
  ecru__lock_drop(&w->lock);
}

OPAQUE ecru__worker *ecru__enter_to_end(void) {
  ecru__worker *w = ecru__enter();
  if (ECRU__LIKELY(w != NULL) || atomic_load(&forked)) return w;
  if ((w = current) != NULL) return w; // known from before a stop
  w = &stranger;
  memset(w, 0, sizeof *w);
  w->is_foreign = 1;
  ecru__worker_prepare(w);
  __asm__ volatile("" : "+r"(w));
  return w;
}

/// Waits for the end of w's thread, which may have ended before its starter has noted the handle.
void ecru__worker_join(ecru__worker *w) {
  while (!atomic_load_explicit(&w->started, memory_order_acquire)) ecru__thread_yield();
  if (w->thread) ecru__thread_join(w->thread);
  w->thread = NULL;
}

/// A worker structure no thread uses any more, or a new one.
static ecru__worker *take_structure(void) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = ecru__sched.workers;
  while (w && atomic_load_explicit(&w->stopping, memory_order_acquire) != 2) w = w->all_next;
  if (w) atomic_store_explicit(&w->stopping, 3, memory_order_relaxed);
  ecru__lock_drop(&ecru__sched.lock);
  if (w) {
    ecru__worker_join(w);
    return w;
  }
  w = ecru__calloc(1, sizeof *w);
  if (!w) return NULL;
  atomic_store_explicit(&w->stopping, 3, memory_order_relaxed);
  ecru__lock_take(&ecru__sched.lock);
  w->all_next = ecru__sched.workers;
  ecru__sched.workers = w;
  ecru__lock_drop(&ecru__sched.lock);
  return w;
}

static int start_thread(ecru__worker *w, ecru__processor *p) {
  atomic_store_explicit(&w->inside, 1, memory_order_relaxed);
  ecru__worker_give(w, p);
  atomic_store_explicit(&w->started, 0, memory_order_relaxed);
  atomic_store_explicit(&w->stopping, 0, memory_order_release);
  int status = ecru__thread_start(&w->thread, ecru__worker_main, w, "ecru-worker", 0);
  if (status == 0) {
    atomic_fetch_add_explicit(&ecru__sched.threads_created, 1, memory_order_relaxed);
  } else {
    ecru__worker_give(w, NULL);
    w->thread = NULL;
    atomic_store_explicit(&w->stopping, 2, memory_order_release);
  }
  atomic_store_explicit(&w->started, 1, memory_order_release); // release: pairs with ecru__worker_join
  return status;
}

/// Announces a start, so that ecru_stop waits for it; false: it is too late for that.
static bool announce(int delta) {
  ecru__lock_take(&ecru__sched.lock);
  bool ending = delta > 0 && ecru__sched.ending;
  if (!ending) ecru__sched.starting += (uint32_t)delta;
  ecru__lock_drop(&ecru__sched.lock);
  return !ending;
}

int ecru__worker_start(ecru__processor *p) {
  if (!announce(1)) return ECRU_ESHUTDOWN;
  int status = ECRU_ETHREADS;
  if ((int)atomic_fetch_add_explicit(&ecru__sched.threads, 1, memory_order_relaxed) < ecru__sched.options.threads_max) {
    ecru__worker *w = take_structure();
    status = w ? start_thread(w, p) : ECRU_ENOMEM;
  }
  if (status != 0) atomic_fetch_sub_explicit(&ecru__sched.threads, 1, memory_order_relaxed);
  announce(-1);
  return status;
}

ECRU__NO_TSAN void ecru__worker_run(ecru__worker *w, ecru__goroutine *g) {
  w->self = &g->waiter;
  atomic_store_explicit(&g->status, ECRU__ON_CPU, memory_order_relaxed);
  ECRU__ASAN_LEAVE(&w->asan_fake_stack, g->stack->low, (size_t)1 << g->stack->log2);
  ECRU__TSAN_SWITCH(g->tsan_fiber);
  ecru__ctx_switch(&w->native, g->waiter.context, w);
  ECRU__ASAN_ARRIVE(w->asan_fake_stack);
  ecru__finish_switch(w);
}

void ecru__worker_main(void *argument) {
  ecru__worker *w = argument;
  ecru__worker_set_here(w);
  ecru__worker_prepare(w);
  ecru__thread_exact_timers();
  ecru__thread_stack(&w->native_stack_low, &w->native_stack_bytes);
  ecru__crash_thread(w);
  for (ecru__goroutine *g; (g = ecru__find_work(w)) != NULL;) ecru__worker_run(w, g);
  ecru__crash_thread_end();
  atomic_fetch_sub_explicit(&ecru__sched.threads, 1, memory_order_relaxed);
  atomic_store_explicit(&w->stopping, 2, memory_order_release); // release: pairs with take_structure
  ecru__try_virtual_jump(); // while it ended it counted as awake
}

void ecru__worker_in_child(void) {
  if (forker) {
    ecru__waiter_move(forker, &inherited);
    inherited.lazy_token = 0; // the task it belongs to is no more; what is current is its starter's token
    atomic_store(&inherits, true);
  }
  forker = NULL;
  ecru__worker_set_here(NULL);
  atomic_store(&forked, 0);
}
