/// runtime/counters.c: ecru_get_counters (D4). Costs a look at every processor and thread, not at every goroutine.
#include <string.h>

#include "runtime/debug.h"
#include "runtime/host.h"
#include "runtime/sanitize.h"

/// Racy: owners change these at any time.
ECRU__NO_TSAN static void count_processor(const ecru__processor *p, ecru_counters *counters) {
  uint32_t queued = atomic_load_explicit(&p->tail, memory_order_relaxed) - atomic_load_explicit(&p->head, memory_order_relaxed);
  counters->runnable += queued <= ECRU__RING ? queued : 0;
  counters->runnable += p->bed.count + (p->next != NULL);
  counters->spawned += atomic_load_explicit(&p->spawned, memory_order_relaxed) + atomic_load_explicit(&p->brought, memory_order_relaxed);
  counters->switches += p->switches;
  counters->parks += p->parks;
  counters->steals += p->steals;
  counters->stacks_cached += p->free_count;
  for (int i = 0; i < 32; i++) counters->latency_ns[i] += p->latency[i];
}

/// Under the scheduler's lock. Racy: a worker may go on to another goroutine meanwhile.
ECRU__NO_TSAN static void count_worker(ecru__worker *w, ecru_counters *counters) {
  counters->runnable += atomic_load_explicit(&w->pinned_count, memory_order_relaxed);
  counters->threads_idle += w->listed != ECRU__LISTED_NOT;
  ecru__waiter *self = w->self;
  if (!self || self == &w->waiter || w->listed != ECRU__LISTED_NOT) return;
  if (atomic_load_explicit(&self->state, memory_order_relaxed) != ECRU__RUNNING) return; // waits on the thread's stack
  uint32_t status = atomic_load_explicit(&ecru__goroutine_of(self)->status, memory_order_relaxed);
  if (status == ECRU__BLOCKING) counters->blocking++;
  else counters->running++;
}

/// As count_worker. Its first goroutine counts as none.
ECRU__NO_TSAN static void count_host(ecru__worker *w, ecru_counters *counters) {
  counters->runnable += atomic_load_explicit(&w->pinned_count, memory_order_relaxed) + ECRU__LOOK(w->host->spilled);
  ecru__waiter *self = w->self;
  counters->running += self != &w->waiter && self != &w->host->first.waiter;
}

/// As count_worker. One that has been woken is to run as soon as the system lets it.
static void count_own_thread(const ecru__goroutine *g, ecru_counters *counters) {
  uint32_t state = atomic_load_explicit(&g->waiter.state, memory_order_relaxed);
  counters->running += state == ECRU__RUNNING;
  counters->runnable += state == ECRU__CLAIMED;
}

static void count_threads(ecru_counters *counters) {
  ecru__lock_take(&ecru__sched.lock);
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next)
    if (atomic_load_explicit(&w->stopping, memory_order_acquire) == 0) count_worker(w, counters);
  for (ecru__worker *w = ecru__sched.foreign; w; w = w->all_next)
    if (w->host) count_host(w, counters);
    else if (w->own_goroutine) count_own_thread(w->own_goroutine, counters);
  ecru__lock_drop(&ecru__sched.lock);
}

void ecru__count(ecru_counters *counters) {
  size_t size = counters->size;
  memset(counters, 0, sizeof *counters);
  counters->size = size;
  ecru__stacks_count(&counters->stacks_mapped, &counters->stacks_cached);
  count_threads(counters);
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++)
    count_processor(atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed), counters);
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_acquire);
    if (p) count_processor(p, counters);
  }
  counters->runnable += atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed);
  counters->spawned += atomic_load_explicit(&ecru__sched.spawned, memory_order_relaxed);
  counters->goroutines = ecru__alive();
  uint64_t known = counters->runnable + counters->running + counters->blocking;
  counters->waiting = counters->goroutines > known ? counters->goroutines - known : 0;
  counters->handoffs = atomic_load_explicit(&ecru__sched.handoffs, memory_order_relaxed);
  counters->thread_wakes = atomic_load_explicit(&ecru__sched.thread_wakes, memory_order_relaxed);
  counters->poll_wakes = atomic_load_explicit(&ecru__sched.poll_wakes, memory_order_relaxed);
  counters->timers_fired = atomic_load_explicit(&ecru__sched.timers_fired, memory_order_relaxed);
  counters->threads = atomic_load_explicit(&ecru__sched.threads, memory_order_relaxed) + 1; // 1: the monitor
  counters->threads_created = atomic_load_explicit(&ecru__sched.threads_created, memory_order_relaxed);
}

int ecru_get_counters(ecru_counters *counters) {
  if (!counters || counters->size < sizeof(size_t) || counters->size > sizeof *counters) return ECRU_EINVAL;
  if (ecru__worker_forked()) return ECRU_EFORKED;
  ecru_counters full = {.size = counters->size};
  if (ecru__look_begin()) {
    ecru__count(&full);
    ecru__look_end();
  }
  memcpy(counters, &full, full.size);
  return 0;
}
