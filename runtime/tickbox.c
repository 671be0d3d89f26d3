/// runtime/tickbox.c: the one-place box between a timer and those who wait for it (select.h).
#include "runtime/scheduler.h"
#include "runtime/select.h"

ecru__node *ecru__tickbox_put_locked(ecru__tickbox *box, int64_t scheduled) {
  ecru__node *node = ecru__queue_claim(&box->waiters);
  if (node) {
    if (node->element) *(int64_t *)node->element = scheduled;
    node->status = 0;
    return node;
  }
  if (atomic_load_explicit(&box->full, memory_order_relaxed)) return NULL;
  box->scheduled = scheduled;
  atomic_store_explicit(&box->full, true, memory_order_relaxed);
  return NULL;
}

void ecru__tickbox_put(ecru__worker *w, ecru__tickbox *box, int64_t scheduled) {
  ecru__lock_take(&box->lock);
  ecru__node *node = ecru__tickbox_put_locked(box, scheduled);
  ecru__lock_drop(&box->lock);
  if (node) ecru__ready(w, node->waiter);
}

bool ecru__tickbox_take_locked(ecru__tickbox *box, int64_t *scheduled) {
  if (!atomic_load_explicit(&box->full, memory_order_relaxed)) return false;
  if (scheduled) *scheduled = box->scheduled;
  atomic_store_explicit(&box->full, false, memory_order_relaxed);
  return true;
}

bool ecru__tickbox_take(ecru__tickbox *box, int64_t *scheduled) {
  ecru__lock_take(&box->lock);
  bool taken = ecru__tickbox_take_locked(box, scheduled);
  ecru__lock_drop(&box->lock);
  return taken;
}

int ecru__tickbox_wait(ecru__worker **w, ecru__tickbox *box, int64_t *scheduled, const void *object) {
  ecru__node node;
  ecru__lock_take(&box->lock);
  if (ecru__tickbox_take_locked(box, scheduled)) {
    ecru__lock_drop(&box->lock);
    return 0;
  }
  ecru__node_init(&node, (*w)->self);
  node.element = scheduled;
  ecru__queue_push(&box->waiters, &node);
  int status = ecru__park(w, &box->lock, ECRU__WAIT_TIMER, object);
  if (status != 0) {
    ecru__lock_take(&box->lock);
    ecru__queue_remove(&box->waiters, &node);
    ecru__lock_drop(&box->lock);
  }
  return status;
}
