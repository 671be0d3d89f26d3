/// runtime/barrier.c: the cyclic barrier (L1).
///
///   1 arrived = waiters of this cycle that have arrived and not taken it back; < parties whenever the lock is free.
///   2 The arrival that completes the cycle sets arrived = 0, counts the cycle up and claims all waiters. From then on the
///     cycle has happened for all of them, also for one whose token won the claim: it sees the new number and returns 0.
///   3 A cancelled waiter that still finds its own cycle's number takes its arrival back: the wait had no effect.
#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

struct ecru_barrier {
  ecru__lock lock;
  int parties;         // set once
  int arrived;         // lock: invariant 1
  uint64_t cycle;      // lock: invariant 2
  ecru__queue waiters; // lock: of the present cycle
  ecru__mark mark; // handle.h
};

int ecru_barrier_create(ecru_barrier **barrier, int parties) {
  if (!barrier || parties <= 0) return ECRU_EINVAL;
  ecru_barrier *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  made->parties = parties;
  *barrier = made;
  return 0;
}

void ecru_barrier_destroy(ecru_barrier *barrier) {
  ECRU__CHECK_HANDLE(barrier);
  if (!barrier) return;
  ecru__lock_take(&barrier->lock);
  int arrived = barrier->arrived;
  ecru__lock_drop(&barrier->lock);
  if (arrived > 0) ecru__panic("ecru_barrier_destroy", barrier, "somebody waits at the barrier");
  ecru__handle_free(&barrier->mark, barrier, sizeof *barrier);
}

static int complete(ecru__worker *w, ecru_barrier *barrier) {
  barrier->arrived = 0;
  barrier->cycle++;
  ecru__node *chain = ecru__queue_claim_all(&barrier->waiters);
  ecru__lock_drop(&barrier->lock);
  ecru__ready_all(w, chain);
  return 1;
}

/// The token ended the wait. returns: status, or 0 if the cycle was complete by then.
static int take_back(ecru_barrier *barrier, ecru__node *node, uint64_t cycle, int status) {
  ecru__lock_take(&barrier->lock);
  if (barrier->cycle == cycle) {
    ecru__queue_remove(&barrier->waiters, node);
    barrier->arrived--;
  } else {
    status = 0;
  }
  ecru__lock_drop(&barrier->lock);
  return status;
}

static int wait_at(ecru__worker **w, ecru_barrier *barrier) {
  ecru__lock_take(&barrier->lock);
  if (++barrier->arrived == barrier->parties) return complete(*w, barrier);
  uint64_t cycle = barrier->cycle;
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&barrier->waiters, &node);
  int status = ecru__park(w, &barrier->lock, ECRU__WAIT_BARRIER, barrier);
  return status == 0 ? 0 : take_back(barrier, &node, cycle, status);
}

int ecru_barrier_wait(ecru_barrier *barrier) {
  ECRU__CHECK_HANDLE(barrier);
  if (!barrier) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = wait_at(&w, barrier);
  ecru__leave(w);
  return status;
}
