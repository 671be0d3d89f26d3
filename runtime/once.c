/// runtime/once.c: once (L1): the first caller runs the function, the others wait until it has returned.
///
///   1 runner is NULL until somebody has won the right to run; then it is that caller's waiter for as long as the
///     function runs, and DONE afterwards.
///   2 `done` is set when the function has returned. It is never unset.
///   3 A waiter that is cancelled leaves the event's queue and changes nothing; the runner is not disturbed by it.
#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

struct ecru_once {
  ecru__event done;               // invariant 2
  _Atomic(ecru__waiter *) runner; // atomic: invariant 1
  ecru__mark mark; // handle.h
};

static ecru__waiter done_mark;
#define DONE (&done_mark)

int ecru_once_create(ecru_once **once) {
  if (!once) return ECRU_EINVAL;
  ecru_once *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  *once = made;
  return 0;
}

void ecru_once_destroy(ecru_once *once) {
  ECRU__CHECK_HANDLE(once);
  if (!once) return;
  ecru__waiter *runner = atomic_load_explicit(&once->runner, memory_order_relaxed);
  if (runner && runner != DONE) ecru__panic("ecru_once_destroy", once, "its function is running");
  ecru__handle_free(&once->mark, once, sizeof *once);
}

static void run(ecru__worker **w, ecru_once *once, ecru_fn fn, void *argument) {
  ecru__leave(*w);
  fn(argument);
  *w = ecru__enter();
  if (!*w) ecru__panic("ecru_once_do", once, "the function came back in a forked child");
  atomic_store_explicit(&once->runner, DONE, memory_order_relaxed);
  ecru__event_set(*w, &once->done);
}

static int run_or_wait(ecru__worker **w, ecru_once *once, ecru_fn fn, void *argument) {
  ecru__waiter *self = (*w)->self, *runner = NULL;
  // relaxed: what fn did is seen through the event
  if (atomic_compare_exchange_strong_explicit(&once->runner, &runner, self, memory_order_relaxed, memory_order_relaxed)) {
    run(w, once, fn, argument);
    return 0;
  }
  if (runner == self) return ECRU_EDEADLK;
  return ecru__event_wait(w, &once->done, ECRU__WAIT_ONCE, once);
}

int ecru_once_do(ecru_once *once, ecru_fn fn, void *argument) {
  ECRU__CHECK_HANDLE(once);
  if (!once || !fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0 && !ecru__event_is_set(&once->done)) status = run_or_wait(&w, once, fn, argument);
  ecru__leave(w);
  return status;
}
