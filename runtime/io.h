/// runtime/io.h: descriptors inside the runtime (rules I1-I3, I7). The handle: io.c; the table of all: io_table.h; deadlines: io_deadline.h; how an
/// operation is done: io_operation.c; reading and writing: io_transfer.c; readiness: io_wait.c.
///
///   1 An ecru_io lies in a table that is never shrunk while the runtime is up, so that a late event finds memory; the event's key
///     carries the generation of the place, compared under the lock.
///   2 Each direction has one operation at a time: its turn, passed on in order of arrival. Whoever holds or waits for a turn is counted in
///     `operations`; the descriptor is closed when it is closed to all and the count is 0.
///   3 Who waits for an event stands in `waiters` of the direction, pushed under the lock after a look that found nothing new (poller.h).
///     Whoever wakes gives the reason in node->status: 0: look again; ECRU_ECLOSED; ECRU_ETIMEDOUT: the deadline.
///   4 A deadline's node is in a timer heap or claimed while `armed`; a run that comes too early for the present deadline arms anew.
///   5 All references together have one pin, a deadline's run that is under way has another: it keeps the place, not the descriptor, which is closed
///     when the last reference has been given back, and not some time later. 0: the place is free.
#ifndef ECRU_RUNTIME_IO_H
#define ECRU_RUNTIME_IO_H
#include <ecru/io.h>

#include "platform/poller.h"
#include "runtime/handle.h"
#include "runtime/scheduler.h"

typedef struct ecru__direction {
  ecru__queue turns;       // lock: who waits for its turn
  ecru__queue waiters;     // lock: who waits for an event
  ecru__timer_node timer;  // invariant 4
  int64_t deadline_ns;     // lock: ECRU_FOREVER: none
  bool armed;              // lock
  bool expired;            // lock
  bool busy;               // lock: somebody has the turn
  uint8_t index;           // set once: ECRU__IN, ECRU__OUT
} ecru__direction;

struct ecru_io {
  ecru__mark mark;
  ecru__lock lock;
  _Atomic uint32_t references; // atomic: who let the last go closes it
  _Atomic uint32_t pins;       // atomic: invariant 5
  ecru__pollee pollee;
  ecru__direction in, out;
  uint32_t operations;     // lock
  bool closed;             // lock
  bool keep_open;          // set once (by adopt, before others know the handle)
  bool was_blocking;       // set once: restored with keep_open
  bool unlink_path;        // set once by net.c: a Unix listener's file goes with it
  bool restores_tty;       // lock: by tty.c: its terminal's mode has been changed
  bool tunes;              // set once by net.c: what this listener accepts needs no ecru__net_tune
  enum ecru__descriptor_kind accepts; // set once, of a listener: the kind of what it accepts
  ecru__event shut;        // set when the descriptor is closed
  ecru_io *next_free;      // lock: table's
};

/// A new handle for a descriptor of that kind, already non-blocking. Owns the descriptor on success.
/// returns: 0; ECRU_ENOMEM; ECRU_EMFILE ... as ecru__poller_create.
int ecru__io_create(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind);
/// The same; the descriptor is closed on failure.
int ecru__io_create_or_close(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind);
/// Takes its direction's turn, does the operation, waits if need be, gives the turn back. returns: as ecru__io_try; ECRU_ECLOSED; as ecru__park.
int64_t ecru__io_do(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason);
/// The three steps one by one, for operations made of several (a write of all, a copy).
int ecru__io_take_turn(ecru__worker **w, ecru_io *io, int direction, int reason);
int64_t ecru__io_perform(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason);
void ecru__io_give_turn(ecru__worker *w, ecru_io *io, int direction);
/// The same for a write of several portions: repeats it until `bytes` have been moved, *moved of them so far; `advance` makes it continue after the
/// `count` moved last. Looks at token, deadline and closing between the portions. ecru__io_move: in one's turn.
typedef void ecru__advance(ecru__operation *operation, uint64_t count);
int64_t ecru__io_do_all(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved, ecru__advance *advance);
int64_t ecru__io_move(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved, ecru__advance *advance);
/// One attempt, without waiting for the turn either. returns: as ecru__io_try; ECRU_EAGAIN somebody has the turn; ECRU_ECLOSED, ECRU_ETIMEDOUT.
int64_t ecru__io_try_do(ecru__worker *w, ecru_io *io, ecru__operation *operation);
/// For who has the turn and performs many operations: whether another may begin. returns: 0; ECRU_ECLOSED; ECRU_ETIMEDOUT.
int ecru__io_usable(ecru_io *io, int direction);
/// Reads or writes nothing: only whether it would be allowed. returns: 0; ECRU_ECLOSED; ECRU_EFORKED.
int ecru__io_move_nothing(ecru_io *io);
/// After a try that found nothing to read: waits until another try can make sense. Enters by itself. returns: 0; as ecru_io_read.
int ecru__io_await_input(ecru_io *io);
/// Pins the descriptor against closing for a short call that is no operation. returns: 0; ECRU_ECLOSED.
int ecru__io_hold(ecru_io *io);
void ecru__io_let_go(ecru__worker *w, ecru_io *io);
/// For the last to leave a handle that is closed: closes the descriptor.
void ecru__io_shut(ecru__worker *w, ecru_io *io);
/// The handle of any descriptor, a foreign one's if need be made for it, pinned against closing until given back.
/// returns: 0; ECRU_EPERM it is always ready; ECRU_EBADF; ECRU_ECLOSED; ECRU_ENOMEM; as ecru__poller_create.
int ecru__io_borrow(ecru__worker *w, intptr_t descriptor, ecru_io **io);
void ecru__io_give_back(ecru__worker *w, ecru_io *io);
/// Gives a reference back, from inside; the last closes it.
void ecru__io_discard(ecru__worker *w, ecru_io *io);
/// Claims everybody in the queue of a direction into *chain, telling them why. Under the handle's lock.
void ecru__io_claim_all(ecru__queue *queue, int32_t why, ecru__node **chain);
/// Whether somebody waits for a descriptor, so that not all is lost (D1).
bool ecru__io_anybody_waits(void);
/// For select: under the lock, whether this direction is ready; otherwise makes sure an event will come.
/// returns: 0 it is ready; ECRU_EAGAIN (armed if `arm`); ECRU_ECLOSED; ECRU_ENOMEM ...
int ecru__io_ready_locked(ecru_io *io, int direction, bool arm);
/// Gives the events to who waits for them. (poll.c calls it)
void ecru__io_dispatch(ecru__worker *w, const ecru__poll_event *events, int count);
/// After a stop: what was registered is so no more; the table's memory is given back if no handle is left.
void ecru__io_forget_all(void);

static inline ecru__direction *ecru__io_direction(ecru_io *io, int index) { return index == ECRU__IN ? &io->in : &io->out; }
static inline bool ecru__io_are_directions(unsigned directions) {
  return directions != 0 && (directions & ~(unsigned)(ECRU_IO_READ | ECRU_IO_WRITE)) == 0;
}
/// Under the lock. returns: 0; ECRU_ECLOSED; ECRU_ETIMEDOUT.
static inline int ecru__io_usable_locked(const ecru_io *io, const ecru__direction *d) {
  return ECRU__UNLIKELY(io->closed) ? ECRU_ECLOSED : ECRU__UNLIKELY(d->expired) ? ECRU_ETIMEDOUT : 0;
}
/// Under the lock: an operation is over. returns: whether the caller has to shut it, after dropping the lock.
static inline bool ecru__io_leave(ecru_io *io) { return --io->operations == 0 && ECRU__UNLIKELY(io->closed); }
#endif
