/// runtime/io.c: the handle of a descriptor: how it is made, and how it is closed (rule I3). What is done with it: io_operation.c.
///
/// Closing marks it closed and wakes everybody; the last of those who are inside shuts the descriptor, so that its number is not used again
/// while somebody is about to use it.
#include "runtime/io.h"

#include "platform/net.h"
#include "platform/tty.h"
#include "runtime/io_deadline.h"
#include "runtime/io_table.h"
#include "runtime/state.h"

// ---- making ---------------------------------------------------------------------------------------------------------

int ecru__io_create(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind) {
  return ecru__io_register(w, io, descriptor, kind, false);
}

int ecru__io_create_or_close(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind) {
  int status = ecru__io_create(w, io, descriptor, kind);
  if (status != 0) ecru__io_close(descriptor);
  return status;
}

int ecru_io_adopt(ecru_io **io, intptr_t descriptor, unsigned flags) {
  if (!io || (flags & ~(unsigned)ECRU_IO_KEEP_OPEN)) return ECRU_EINVAL;
  int kind = ecru__descriptor_kind(descriptor);
  if (kind < 0) return kind;
  if (kind == ECRU__IS_FILE) return ECRU_EPERM;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_io *made = NULL;
  int status = ecru__io_register(w, &made, descriptor, (enum ecru__descriptor_kind)kind, true);
  if (status == 0) {
    made->keep_open = true; // until all is done it stays the caller's
    if (kind == ECRU__IS_LISTENER) made->accepts = ecru__connection_kind(descriptor);
    atomic_store_explicit(&made->pollee.shared, true, memory_order_relaxed); // nobody knows the handle yet
    status = ecru__io_set_blocking(descriptor, false, &made->was_blocking);
    made->keep_open = status != 0 || flags & ECRU_IO_KEEP_OPEN;
    if (status == 0) *io = made;
    else ecru__io_discard(w, made);
  }
  ecru__leave(w);
  return status;
}

/// Two handles for two descriptors, or none.
static int make_two(ecru_io **a, ecru_io **b, int (*make)(intptr_t ends[2]), enum ecru__descriptor_kind kind) {
  if (!a || !b) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  intptr_t ends[2];
  ecru_io *first = NULL, *second = NULL;
  int status = make(ends);
  if (status == 0) {
    status = ecru__io_create_or_close(w, &first, ends[0], kind);
    if (status != 0) ecru__io_close(ends[1]);
    else if ((status = ecru__io_create_or_close(w, &second, ends[1], kind)) != 0) ecru__io_discard(w, first);
  }
  if (status == 0) *a = first, *b = second;
  ecru__leave(w);
  return status;
}

int ecru_pipe(ecru_io **reader, ecru_io **writer) { return make_two(reader, writer, ecru__io_pipe, ECRU__IS_PIPE); }
int ecru_io_pair(ecru_io **a, ecru_io **b) { return make_two(a, b, ecru__io_pair, ECRU__IS_PARTED); }

// ---- holding --------------------------------------------------------------------------------------------------------

int ecru__io_move_nothing(ecru_io *io) {
  if (ecru__worker_forked()) return io->closed ? ECRU_ECLOSED : ECRU_EFORKED; // the lock may be a thread's that is not there (G14)
  ecru__lock_take(&io->lock);
  bool closed = io->closed;
  ecru__lock_drop(&io->lock);
  return closed ? ECRU_ECLOSED : 0;
}

int ecru__io_hold(ecru_io *io) {
  ecru__lock_take(&io->lock);
  bool closed = io->closed;
  if (!closed) io->operations++;
  ecru__lock_drop(&io->lock);
  return closed ? ECRU_ECLOSED : 0;
}

void ecru__io_let_go(ecru__worker *w, ecru_io *io) {
  ecru__lock_take(&io->lock);
  bool last = ecru__io_leave(io);
  ecru__lock_drop(&io->lock);
  if (last) ecru__io_shut(w, io);
}

ecru_io *ecru_io_retain(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (io) atomic_fetch_add_explicit(&io->references, 1, memory_order_relaxed); // relaxed: the caller's own keeps it alive
  return io;
}

intptr_t ecru_io_descriptor(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (!io) return ECRU_EINVAL;
  atomic_store_explicit(&io->pollee.shared, true, memory_order_relaxed); // the caller may give it to a child, and orders that
  return ecru__io_move_nothing(io) == ECRU_ECLOSED ? ECRU_ECLOSED : io->pollee.descriptor;
}

int ecru_io_shutdown(ecru_io *io, unsigned directions) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !ecru__io_are_directions(directions)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ecru__io_shutdown(io->pollee.descriptor, directions & ECRU_IO_READ, directions & ECRU_IO_WRITE);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

// ---- closing --------------------------------------------------------------------------------------------------------

void ecru__io_shut(ecru__worker *w, ecru_io *io) {
  ecru__lock_take(&io->lock);
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  if (poller) ecru__poller_forget(poller, &io->pollee);
  ecru__lock_drop(&io->lock);
  ecru__io_unlist(io); // before the system can give the number to somebody else
  if (io->unlink_path) ecru__net_unlink(io->pollee.descriptor);
  if (io->restores_tty) ecru__tty_restore(io->pollee.descriptor);
  if (io->keep_open && io->was_blocking) ecru__io_set_blocking(io->pollee.descriptor, true, NULL);
  if (!io->keep_open) ecru__io_close(io->pollee.descriptor);
  ecru__event_set(w, &io->shut);
}

/// Closes it to all. returns: 0: and all have left; ECRU_EBUSY: the last to leave shuts it; ECRU_ECLOSED.
static int close_to_all(ecru__worker *w, ecru_io *io) {
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  int status = io->closed ? ECRU_ECLOSED : io->operations > 0 ? ECRU_EBUSY : 0;
  if (status != ECRU_ECLOSED) {
    io->closed = true;
    ecru__direction *both[] = {&io->in, &io->out};
    for (int i = 0; i < 2; i++) {
      ecru__deadline_disarm(both[i]);
      ecru__io_claim_all(&both[i]->waiters, ECRU_ECLOSED, &chain);
      ecru__io_claim_all(&both[i]->turns, ECRU_ECLOSED, &chain);
    }
  }
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
  return status;
}

int ecru_io_close(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (!io) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = close_to_all(w, io);
  if (status == 0) ecru__io_shut(w, io);
  if (status == ECRU_EBUSY) {
    status = ecru__event_wait_shielded(&w, &io->shut, ECRU__WAIT_CLOSE, io);
    ecru__event_settle(&io->shut);
  }
  ecru__leave(w);
  return status;
}

/// Gives a reference back; the last closes it, and wakes nobody: whoever waited would have one. So w may be NULL.
void ecru__io_discard(ecru__worker *w, ecru_io *io) {
  if (!ecru__io_drop_reference(io)) return;
  int status = close_to_all(w, io);
  if (status == ECRU_EBUSY) ecru__panic("ecru_io_release", io, "the last reference, while somebody uses it");
  if (status == 0) ecru__io_shut(w, io);
  ecru__io_free(io);
}

/// In a forked child (G14): the poller, where its parent's registrations are, a socket's path and modes are not its own, and locks may be
/// threads' that are not there. Its own is only its copy of the descriptor.
static void release_in_child(ecru_io *io) {
  if (ecru__io_drop_reference(io) && !io->closed && !io->keep_open) ecru__io_close(io->pollee.descriptor);
}

void ecru_io_release(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (!io) return;
  if (ecru__worker_forked()) release_in_child(io);
  else ecru__io_discard(NULL, io); // not entered: that would start a runtime that has been stopped
}
