/// runtime/io_wait.c: waiting for readiness, also of descriptors that have no handle (rule I7).
///
/// Of a foreign descriptor a fleeting handle is made, which stays in the table until the number is known to mean something else: whoever waits for
/// it again finds it.
#include "runtime/io_deadline.h"
#include "runtime/io_table.h"
#include "runtime/state.h"

// ---- handles --------------------------------------------------------------------------------------------------------

int ecru__io_ready_locked(ecru_io *io, int direction, bool arm) {
  int status = ecru__io_usable_locked(io, ecru__io_direction(io, direction));
  if (status != 0) return status;
  int ready = ecru__poller_ready(&io->pollee, direction);
  if (ready != 0) return ready < 0 ? ready : 0;
  if (!arm) return ECRU_EAGAIN;
  ecru__poller *poller = ecru__poll_start(&status);
  if (poller) status = ecru__poller_arm(poller, &io->pollee, direction);
  return status == 0 ? ECRU_EAGAIN : status == ECRU_EPERM ? 0 : status; // what cannot be polled is always ready
}

/// Under the lock. returns: the ready directions; 0: none, and all are armed; ECRU_E*.
static int look(ecru__worker *w, ecru_io *io, unsigned directions) {
  int ready = 0;
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) {
    if (!(directions & (1u << d))) continue;
    int status = ecru__io_ready_locked(io, d, true);
    if (status == ECRU_EAGAIN && ecru__deadline_arm(w, ecru__io_direction(io, d)) != 0) status = ECRU_ENOMEM;
    if (status == 0) ready |= 1 << d;
    else if (status != ECRU_EAGAIN) return ready ? ready : status;
  }
  return ready;
}

/// One round: looks, or waits for something to happen. returns: as look.
static int wait_ready_once(ecru__worker **w, ecru_io *io, unsigned directions) {
  ecru__node nodes[2];
  ecru__lock_take(&io->lock);
  int ready = look(*w, io, directions);
  if (ready != 0) {
    ecru__lock_drop(&io->lock);
    return ready;
  }
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) {
    ecru__node_init(&nodes[d], (*w)->self);
    if (directions & (1u << d)) ecru__queue_push(&ecru__io_direction(io, d)->waiters, &nodes[d]);
  }
  int status = ecru__park(w, &io->lock, ECRU__WAIT_READY, io);
  ecru__node *winner = status == 0 ? (*w)->self->wake_node : NULL;
  ecru__lock_take(&io->lock);
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) ecru__queue_remove(&ecru__io_direction(io, d)->waiters, &nodes[d]);
  ecru__lock_drop(&io->lock);
  return winner ? winner->status : status;
}

static int wait_ready(ecru__worker **w, ecru_io *io, unsigned directions) {
  int status;
  if (!ecru__poll_start(&status)) return status;
  if (!(*w)->processor) ecru__poll_ensure();
  for (;;) {
    int ready = wait_ready_once(w, io, directions);
    if (ready != 0) return ready;
  }
}

int ecru_io_wait(ecru_io *io, unsigned directions) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !ecru__io_are_directions(directions)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = ecru__io_hold(io);
  if (status == 0) {
    status = wait_ready(&w, io, directions);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

// ---- foreign descriptors --------------------------------------------------------------------------------------------

/// What the caller is told of a handle that was closed: of a foreign descriptor it knows none.
static int closed_status(const ecru_io *io, int status) { return status == ECRU_ECLOSED && io->pollee.fleeting ? ECRU_EBADF : status; }

int ecru__io_borrow(ecru__worker *w, intptr_t descriptor, ecru_io **io) {
  int status = ecru__is_file(descriptor);
  if (status != 0) return status < 0 ? status : ECRU_EPERM;
  if (!ecru__poll_start(&status)) return status;
  ecru_io *found;
  status = ecru__io_of_descriptor(w, &found, descriptor);
  if (status != 0) return status;
  status = closed_status(found, ecru__io_hold(found));
  if (status == 0) *io = found;
  else ecru__io_discard(w, found);
  return status;
}

void ecru__io_give_back(ecru__worker *w, ecru_io *io) {
  ecru__io_let_go(w, io);
  ecru__io_discard(w, io);
}

int ecru_wait_fd(intptr_t descriptor, unsigned directions) {
  if (!ecru__io_are_directions(directions)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_io *io = NULL;
  int status = ecru__canceled(w);
  if (status == 0) status = ecru__io_borrow(w, descriptor, &io);
  if (status == ECRU_EPERM) status = (int)directions;
  if (io) {
    status = closed_status(io, wait_ready(&w, io, directions));
    ecru__io_give_back(w, io);
  }
  ecru__leave(w);
  return status;
}

int ecru_forget_fd(intptr_t descriptor) {
  if (ecru__worker_forked()) return ECRU_EFORKED;
  ecru__worker *w = ecru__worker_here();
  // relaxed: our own; a descriptor that the runtime itself closes is in no handle of this kind
  if (w && atomic_load_explicit(&w->inside, memory_order_relaxed)) return 0;
  if (!ecru__io_is_foreign(descriptor)) return 0; // neither starts the runtime nor adopts the thread for nothing
  w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru_io *io = ecru__io_take_foreign(descriptor, &chain);
  ecru__ready_all(w, chain);
  if (io) ecru__io_discard(w, io);
  ecru__leave(w);
  return 0;
}
