/// runtime/fork.c: a forked child starts anew (G14).
///
/// The child has one thread and a copy of everything, as it stood in the middle of whatever the other threads did. Nothing of it runs on: no
/// waiter can be claimed any more, so that who is found waiting at an old handle is passed over, as one who gave up; the runtime's
/// own structures are as after a stop, their locks free. What goroutines and threads had is not given back: the caller may
/// stand on a goroutine's stack. The memory is the parent's as well until it is written to.
#include "runtime/debug.h"
#include "runtime/fork.h"
#include "runtime/io.h"
#include "runtime/host.h"
#include "runtime/state.h"

#include <string.h>

static void silence(ecru__waiter *x) { atomic_store_explicit(&x->state, ECRU__RUNNING, memory_order_relaxed); }

static bool silence_one(void *unused, ecru__goroutine *g) {
  (void)unused;
  silence(&g->waiter);
  return true;
}

/// Threads that are no more: their waiters can still be read.
static void silence_all(void) {
  ecru__stacks_visit(silence_one, NULL);
  for (ecru__worker *w = ecru__sched.foreign; w; w = w->all_next) {
    silence(&w->waiter);
    silence(ecru__thread_waiter(w));
  }
}

static void forget_scheduler(void) {
  uint64_t epoch = atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed);
  memset(&ecru__sched, 0, sizeof ecru__sched);
  atomic_store_explicit(&ecru__sched.epoch, epoch + 1, memory_order_relaxed);
}

int ecru_restart_in_child(void) {
  if (!ecru__worker_forked()) return ECRU_EPERM;
  silence_all();
  ecru__io_in_child();
  ecru__poll_in_child();
  ecru__timers_in_child();
  ecru__token_in_child();
  ecru__task_in_child();
  ecru__locals_in_child();
  ecru__mutexes_in_child();
  ecru__queue_in_child();
  ecru__seeds_in_child();
  ecru__stacks_in_child();
  ecru__uv_in_child();
  ecru__debug_in_child();
  ecru__dump_in_child();
  forget_scheduler();
  ecru__worker_in_child();
  return 0;
}
