/// runtime/cond.c: the condition variable (L1): FIFO, no spurious wake-ups, no lost signals.
///
///   1 A waiter queues under the lock and, still under it, unlocks the mutex; the lock is dropped after the switch. So
///     a signal sent by anybody who has locked the mutex since finds the waiter queued and parked.
///   2 A signal claims the first waiter that is not already claimed by its token: it is never spent on one that is leaving.
///   3 A waiter that was claimed by a signal returns 0 even if its token fires meanwhile.
///   4 Every return holds the mutex: locking it again is not a cancellation point.
///   5 After a signal has claimed its waiter and dropped the lock it does not touch the condition variable.
///
/// Lock order: this lock -> the lock of a mutex's place (mutex.c).
///
/// Dropped: handing waiters over to the mutex's queue on broadcast (wait morphing): on few processors the mutex is usually free
/// by the time a woken waiter runs.
#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/mutex.h"
#include "runtime/scheduler.h"

struct ecru_cond {
  ecru__lock lock;
  ecru__queue waiters; // lock
  ecru__mark mark; // handle.h
};

int ecru_cond_create(ecru_cond **cond) {
  if (!cond) return ECRU_EINVAL;
  ecru_cond *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  *cond = made;
  return 0;
}

void ecru_cond_destroy(ecru_cond *cond) {
  ECRU__CHECK_HANDLE(cond);
  if (!cond) return;
  ecru__lock_take(&cond->lock);
  bool waited_on = cond->waiters.head != NULL;
  ecru__lock_drop(&cond->lock);
  if (waited_on) ecru__panic("ecru_cond_destroy", cond, "somebody waits on it");
  ecru__handle_free(&cond->mark, cond, sizeof *cond);
}

static int wait_on(ecru__worker **w, ecru_cond *cond, ecru_mutex *mutex) {
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__lock_take(&cond->lock);
  ecru__queue_push(&cond->waiters, &node);
  ecru__mutex_release(*w, mutex);
  int status = ecru__park(w, &cond->lock, ECRU__WAIT_COND, cond);
  if (status != 0) {
    ecru__lock_take(&cond->lock);
    ecru__queue_remove(&cond->waiters, &node);
    ecru__lock_drop(&cond->lock);
  }
  ecru__mutex_acquire_shielded(w, mutex);
  return status;
}

int ecru_cond_wait(ecru_cond *cond, ecru_mutex *mutex) {
  ECRU__CHECK_HANDLE(cond);
  if (!cond || !mutex) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__mutex_is_held_by(mutex, w->self) ? ecru__canceled(w) : ECRU_EPERM;
  if (status == 0) status = wait_on(&w, cond, mutex);
  ecru__leave(w);
  return status;
}

int ecru_cond_signal(ecru_cond *cond) {
  ECRU__CHECK_HANDLE(cond);
  if (!cond) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&cond->lock);
  ecru__node *node = ecru__queue_claim(&cond->waiters);
  ecru__lock_drop(&cond->lock);
  if (node) ecru__ready(w, node->waiter);
  ecru__leave(w);
  return 0;
}

int ecru_cond_broadcast(ecru_cond *cond) {
  ECRU__CHECK_HANDLE(cond);
  if (!cond) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&cond->lock);
  ecru__node *chain = ecru__queue_claim_all(&cond->waiters);
  ecru__lock_drop(&cond->lock);
  ecru__ready_all(w, chain);
  ecru__leave(w);
  return 0;
}
