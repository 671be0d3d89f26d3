/// runtime/io_operation.c: how an operation on a descriptor is done (rules I1, I3). The dance with the poller is in platform/poller.h.
///
/// Take the direction's turn, try, and only if that says "would wait" stand in line for an event. All of it goes on under one spin lock per
/// handle, taken twice around the system call. (Tried: one atomic word with counts and flags as in Go's fdMutex; saves 10 ns of an
/// operation's 600, and the turns' order of arrival with it.)
#include "runtime/io_deadline.h"
#include "runtime/io_table.h"
#include "runtime/state.h"

// ---- turns ----------------------------------------------------------------------------------------------------------

int ecru__io_usable(ecru_io *io, int direction) {
  ecru__lock_take(&io->lock);
  int status = ecru__io_usable_locked(io, ecru__io_direction(io, direction));
  ecru__lock_drop(&io->lock);
  return status;
}

static int wait_for_turn(ecru__worker **w, ecru_io *io, ecru__direction *d, int reason) {
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&d->turns, &node);
  int status = ecru__park(w, &io->lock, reason, io);
  if (status == 0 && node.status == 0) return 0; // handed over, still busy
  ecru__lock_take(&io->lock);
  ecru__queue_remove(&d->turns, &node);
  bool last = ecru__io_leave(io);
  ecru__lock_drop(&io->lock);
  if (last) ecru__io_shut(*w, io);
  return status != 0 ? status : node.status;
}

int ecru__io_take_turn(ecru__worker **w, ecru_io *io, int direction, int reason) {
  ecru__direction *d = ecru__io_direction(io, direction);
  ecru__lock_take(&io->lock);
  int status = ecru__io_usable_locked(io, d);
  if (ECRU__LIKELY(status == 0)) {
    io->operations++;
    if (ECRU__UNLIKELY(d->busy)) return wait_for_turn(w, io, d, reason);
    d->busy = true;
  }
  ecru__lock_drop(&io->lock);
  return status;
}

static int try_turn(ecru_io *io, int direction) {
  ecru__direction *d = ecru__io_direction(io, direction);
  ecru__lock_take(&io->lock);
  int status = ecru__io_usable_locked(io, d);
  if (status == 0 && d->busy) status = ECRU_EAGAIN;
  if (status == 0) {
    io->operations++;
    d->busy = true;
  }
  ecru__lock_drop(&io->lock);
  return status;
}

void ecru__io_give_turn(ecru__worker *w, ecru_io *io, int direction) {
  ecru__direction *d = ecru__io_direction(io, direction);
  ecru__lock_take(&io->lock);
  ecru__node *next = d->turns.head ? ecru__queue_claim(&d->turns) : NULL;
  if (!next) d->busy = false;
  bool last = ecru__io_leave(io);
  ecru__lock_drop(&io->lock);
  if (next) ecru__ready(w, next->waiter);
  if (ECRU__UNLIKELY(last)) ecru__io_shut(w, io);
}

// ---- events ---------------------------------------------------------------------------------------------------------

void ecru__io_claim_all(ecru__queue *queue, int32_t why, ecru__node **chain) {
  for (ecru__node *node; (node = ecru__queue_claim(queue)) != NULL;) {
    node->status = why;
    node->next = *chain;
    *chain = node;
  }
}

static void dispatch(ecru__worker *w, const ecru__poll_event *event) {
  ecru_io *io = ecru__io_at(event->key);
  if (!io) return;
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  if (io->pollee.key == event->key) { // else it is late: the place has another handle by now, which it must not touch
    ecru__poller_note(&io->pollee, event);
    if (io->pollee.fleeting) ecru__pollee_register(&io->pollee, 0); // the wait it was registered for is over
    if (event->directions & (1u << ECRU__IN) || io->pollee.fleeting) ecru__io_claim_all(&io->in.waiters, 0, &chain);
    if (event->directions & (1u << ECRU__OUT) || io->pollee.fleeting) ecru__io_claim_all(&io->out.waiters, 0, &chain);
  }
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
}

void ecru__io_dispatch(ecru__worker *w, const ecru__poll_event *events, int count) {
  for (int i = 0; i < count; i++) dispatch(w, &events[i]);
}

/// Waits for something to happen in the direction. returns: 0: try again; ECRU_ECLOSED; ECRU_ETIMEDOUT; as ecru__park and ecru__poller_arm.
static int wait_for_event(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason) {
  ecru__direction *d = ecru__io_direction(io, ecru__operation_direction(operation));
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_relaxed);
  if (ECRU__UNLIKELY(!(*w)->processor)) ecru__poll_ensure();
  ecru__lock_take(&io->lock);
  int status = ecru__io_usable_locked(io, d);
  bool again = status == 0 && ecru__poller_changed(&io->pollee, operation);
  if (status == 0 && !again) status = ecru__poller_arm(poller, &io->pollee, d->index);
  if (status == 0 && !again) status = ecru__deadline_arm(*w, d);
  if (status != 0 || again) {
    ecru__lock_drop(&io->lock);
    return status;
  }
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&d->waiters, &node);
  status = ecru__park(w, &io->lock, reason, io);
  if (status == 0) return node.status;
  ecru__lock_take(&io->lock);
  ecru__queue_remove(&d->waiters, &node);
  ecru__lock_drop(&io->lock);
  return status;
}

// ---- operations -----------------------------------------------------------------------------------------------------

int64_t ecru__io_perform(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason) {
  int status;
  ecru__poller *poller = ecru__poll_start(&status); // a handle kept over a stop finds none
  if (ECRU__UNLIKELY(!poller)) return status;
  for (;;) {
    int64_t result = ecru__poller_attempt(poller, &io->pollee, operation);
    if (result != ECRU_EAGAIN) return result;
    status = wait_for_event(w, io, operation, reason);
    if (status != 0) return status;
  }
}

int64_t ecru__io_do(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason) {
  int direction = ecru__operation_direction(operation);
  int64_t result = ecru__io_take_turn(w, io, direction, reason);
  if (ECRU__UNLIKELY(result != 0)) return result;
  result = ecru__io_perform(w, io, operation, reason);
  ecru__io_give_turn(*w, io, direction);
  return result;
}

/// Calls that have no MSG_NOSIGNAL would raise SIGPIPE in threads that are not ours, which do not block it.
static bool may_raise_signal(const ecru__worker *w, const ecru_io *io, const ecru__operation *operation) {
  if (ECRU__LIKELY(!w->is_foreign)) return false;
  return io->pollee.kind > ECRU__IS_LISTENER || operation->kind == ECRU__OP_SEND_FILE || operation->kind == ECRU__OP_SPLICE_OUT;
}

int64_t ecru__io_move(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved, ecru__advance *advance) {
  int64_t result;
  do {
    operation->mask_pipe_signal = may_raise_signal(*w, io, operation);
    result = ecru__io_perform(w, io, operation, ECRU__WAIT_WRITE);
    if (result <= 0) break;
    *moved += (uint64_t)result;
    if (ECRU__LIKELY(*moved >= bytes)) break;
    advance(operation, (uint64_t)result);
    result = ecru__canceled(*w); // an attempt that never has to wait looks at neither token nor handle
    if (result == 0) result = ecru__io_usable(io, ECRU__OUT);
  } while (result == 0);
  return result < 0 ? result : (int64_t)*moved;
}

int64_t ecru__io_do_all(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved, ecru__advance *advance) {
  int64_t result = ecru__io_take_turn(w, io, ECRU__OUT, ECRU__WAIT_WRITE);
  if (ECRU__UNLIKELY(result != 0)) return result;
  result = ecru__io_move(w, io, operation, bytes, moved, advance);
  ecru__io_give_turn(*w, io, ECRU__OUT);
  return result;
}

int64_t ecru__io_try_do(ecru__worker *w, ecru_io *io, ecru__operation *operation) {
  int direction = ecru__operation_direction(operation), status;
  int64_t result = try_turn(io, direction);
  if (result != 0) return result;
  ecru__poller *poller = ecru__poll_start(&status);
  operation->mask_pipe_signal = may_raise_signal(w, io, operation);
  result = poller ? ecru__poller_attempt(poller, &io->pollee, operation) : status;
  ecru__io_give_turn(w, io, direction);
  return result;
}

/// Unlike ecru_io_wait it asks the system nothing: the last try's `drained` says that nothing is there until something happens.
static int64_t await_input(ecru__worker **w, ecru_io *io) {
  int64_t status = ecru__io_take_turn(w, io, ECRU__IN, ECRU__WAIT_READ);
  if (status != 0) return status;
  // acquire: as in an attempt
  uint32_t seen = atomic_load_explicit(&io->pollee.events[ECRU__IN], memory_order_acquire);
  ecru__operation read = {.kind = ECRU__OP_READ, .seen = seen};
  if (io->pollee.drained[ECRU__IN] == seen + 1) status = wait_for_event(w, io, &read, ECRU__WAIT_READ);
  ecru__io_give_turn(*w, io, ECRU__IN);
  return status;
}

int ecru__io_await_input(ecru_io *io) {
  if (io->pollee.kind != ECRU__IS_STREAM && io->pollee.kind != ECRU__IS_PIPE) {
    int ready = ecru_io_wait(io, ECRU_IO_READ);
    return ready < 0 ? ready : 0;
  }
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t status = ecru__canceled(w);
  if (status == 0) status = await_input(&w, io);
  ecru__leave(w);
  return (int)status;
}
