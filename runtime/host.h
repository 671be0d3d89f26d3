/// runtime/host.h: threads that run goroutines of their own (rule G15).
///
///   1 A host's worker has a processor that stands in sched.hosts, not in sched.processors: nobody steals from it, the monitor never
///     takes it, it counts for nothing in maxprocs. Only hosted goroutines are in its queues; only its own thread puts them there.
///   2 Who wakes a hosted goroutine from another thread delivers it as a pinned one (scheduler.c).
///   3 The scheduling loop has a stack of its own, since the thread's is the first goroutine's.
///   4 Asleep, the worker is LISTED_HOST; who takes that from it under sched.lock (ecru__unlist) wakes it.
///   5 The arrive hook runs after all locks of the goroutine before have been dropped: it may wait for a lock of the embedder's
///     whose holder waits for ours.
///   6 The worker lies in its thread's thread-local storage. Who hands it a goroutine or wakes it is counted in worker->visitors, from when it
///     cannot leave yet (the goroutine has not ended; sched.lock is held) until the last touch; before it leaves it waits until there are none.
#ifndef ECRU_RUNTIME_HOST_H
#define ECRU_RUNTIME_HOST_H
#include <ecru/host.h>

#include "runtime/state.h"

typedef struct ecru_host ecru__host;
struct ecru_host {
  ecru_host_hooks hooks;      // set once
  ecru__goroutine first;      // the thread's own stack
  ecru__stack first_stack;    // set once: describes it
  ecru__stack *stack;         // set once: the loop's
  ecru__goroutine *last;      // owner: who ran last; NULL: the thread slept since
  ecru__goroutine *spill_head, *spill_tail; // owner: runnable, no room in the ring
  uint32_t spilled;           // owner, read racily: how many
};

/// On g's stack: it goes on.
static inline void ecru__host_arrive(ecru__worker *w, ecru__goroutine *g) {
  ecru__host *host = w->host;
  if (host->last == g || !host->hooks.arrive) return;
  host->last = g;
  host->hooks.arrive(host->hooks.context, g->mark);
}
/// g is about to run on w for the first time.
static inline void ecru__host_adopt(ecru__worker *w, ecru__goroutine *g) {
  g->waiter.is_thread = ECRU__HOSTED;
  g->pinned = w;
  g->mark = NULL;
}
/// Invariant 6.
static inline void ecru__host_visit(ecru__worker *w) { atomic_fetch_add_explicit(&w->visitors, 1, memory_order_relaxed); }
static inline void ecru__host_visited(ecru__worker *w) {
  atomic_fetch_sub_explicit(&w->visitors, 1, memory_order_release); // release: pairs with the acquire in see_visitors_out
}
/// In the monitor: calls the hosts' watch hooks.
void ecru__hosts_watch(void);
/// The ring is full. (queue.c)
void ecru__host_spill(ecru__host *host, ecru__goroutine *const *items, uint32_t count);
/// Who waits when a thread outside the scheduler's waits natively.
static inline ecru__waiter *ecru__thread_waiter(ecru__worker *w) {
  return w->own_goroutine ? &w->own_goroutine->waiter : w->host ? &w->host->first.waiter : &w->waiter;
}
#endif
