/// runtime/select.h: what a select needs from the things it can wait for.
///
/// A thing that can stand in a select has a lock, a queue of nodes under it, and an answer to "ready now?". Channels have
/// it in chan.h, tokens and tasks in an ecru__event (park.h), timers in a tickbox.
#ifndef ECRU_RUNTIME_SELECT_H
#define ECRU_RUNTIME_SELECT_H
#include <ecru/select.h>

#include "runtime/park.h"

/// A box for one tick of a timer: the timer puts, whoever waits or selects takes.
///   1 A waiting node that can be claimed gets the tick directly; so a full box has no claimable waiter.
///   2 A tick is taken under the lock by exactly one: it is consumed or, if the taker is cancelled first, it stays.
typedef struct ecru__tickbox {
  ecru__lock lock;
  ecru__queue waiters;  // lock; a node's element: int64_t * for the scheduled instant, or NULL
  _Atomic bool full;    // atomic: written under the lock, peeked at without it
  int64_t scheduled;    // lock: of the tick in the box
} ecru__tickbox;

/// Puts a tick: gives it to the first claimable waiter, else into the box; dropped if that is full (a ticker's slow taker).
void ecru__tickbox_put(ecru__worker *w, ecru__tickbox *box, int64_t scheduled);
/// The same with box->lock held by the caller, who may so decide in one step whether the tick still counts (stop, reset).
/// returns: a node whose waiter the caller makes ready after dropping the lock, or NULL.
ecru__node *ecru__tickbox_put_locked(ecru__tickbox *box, int64_t scheduled);
/// Takes the tick if there is one; *scheduled may be NULL.
bool ecru__tickbox_take(ecru__tickbox *box, int64_t *scheduled);
bool ecru__tickbox_take_locked(ecru__tickbox *box, int64_t *scheduled);
/// Waits for a tick and takes it. returns: 0; as ecru__park (no tick was taken). The caller has checked ecru__canceled.
int ecru__tickbox_wait(ecru__worker **w, ecru__tickbox *box, int64_t *scheduled, const void *object);

/// Implemented by token.c, task.c and timer.c. Called by select with a non-NULL argument.
ecru__event *ecru__token_event(ecru_token *token);
ecru__event *ecru__task_event(ecru_task *task);
/// NULL: an after-func, which has no ticks.
ecru__tickbox *ecru__timer_tickbox(ecru_timer *timer);
/// Somebody has looked at how the task ended (T2). Called without locks.
void ecru__task_observe(ecru_task *task);
#endif
