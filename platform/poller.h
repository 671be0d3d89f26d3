/// platform/poller.h: waiting for many descriptors at once, in terms of operations that finish.
/// Mechanisms: poller/epoll.c, poller/kqueue.c, poller/iocp.c, poller/uv.c (portable reference on libuv's uv_poll).
///
/// How an operation is done (runtime/io_operation.c):
///   1 ecru__poller_attempt: finished, or ECRU_EAGAIN.
///   2 Under a lock of the caller's that is also taken by whoever handles events of this descriptor: if ecru__poller_changed says that
///     something has happened since the attempt began, go to 1; else ecru__poller_arm, then wait.
///   3 Whoever calls ecru__poller_wait gets events, marks each (ecru__poller_note), takes that lock and wakes who waits there. They go to 1.
/// So no event is lost between 1 and 2, whoever polls. A completion poller starts the operation in 1 and has its result ready
/// when 1 is called again; ecru__poller_cancel is for it, and does nothing in readiness pollers.
#ifndef ECRU_PLATFORM_POLLER_H
#define ECRU_PLATFORM_POLLER_H
#include <stdatomic.h>

#include "platform/io.h"

typedef struct ecru__poller ecru__poller;

/// A descriptor as the poller sees it. The memory is the caller's and stays where it is while registered.
///   1 Registered at most once, at the first wait, for a direction from the first wait in it on, by pollers whose events say what has changed
///     (edge-triggered), unless `fleeting`; by others never.
///   2 events[d] counts what happened in direction d. drained[d] is the count before an attempt that took all there was (or filled all the room): until
///     something new happens another attempt is in vain and is spared.
typedef struct ecru__pollee {
  intptr_t descriptor;                // set once
  uint64_t key;                       // set once: what events carry
  enum ecru__descriptor_kind kind;    // set once: of a fleeting one ECRU__IS_OTHER, whatever it is
  bool fleeting;                      // set once: not ours: may be closed and reused unnoticed, so it is registered anew for each wait
  _Atomic bool shared;                // atomic: others have, or know, the descriptor: they can set its mode
  _Atomic uint32_t events[2];         // atomic
  uint32_t drained[2];                // owner of the direction's turn: count + 1, 0: not drained
  _Atomic uint32_t hung_up;           // atomic: the other side is gone, or has sent urgent data: a short read says nothing, no event may follow
  _Atomic uint32_t registered;        // atomic: bit 1 << direction; written under the caller's lock
  _Atomic(void *) under_way[2];       // atomic: what a completion poller has asked the system for; the poller's, and gone with it
} ecru__pollee;

typedef struct ecru__poll_event {
  uint64_t key;
  uint32_t directions; // bit 1 << direction
  bool hung_up;        // in error, or the other side has ended it, or urgent data: trust no short read any more
} ecru__poll_event;

static inline uint32_t ecru__pollee_registered(const ecru__pollee *pollee) {
  return atomic_load_explicit(&((ecru__pollee *)(uintptr_t)pollee)->registered, memory_order_relaxed); // a hint outside the lock
}
static inline void ecru__pollee_register(ecru__pollee *pollee, uint32_t directions) {
  atomic_store_explicit(&pollee->registered, directions, memory_order_relaxed);
}

/// The poller it knew of ends: it is registered nowhere.
static inline void ecru__pollee_reset(ecru__pollee *pollee) {
  ecru__pollee_register(pollee, 0);
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) atomic_store_explicit(&pollee->under_way[d], NULL, memory_order_relaxed);
}

/// returns: 0; ECRU_EMFILE, ECRU_ENFILE, ECRU_ENOMEM.
int ecru__poller_create(ecru__poller **poller);
/// pre: nobody waits in it.
void ecru__poller_destroy(ecru__poller *poller);
/// Tries the operation. returns: as ecru__io_try.
int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation);
/// Has anything happened in this direction since the attempt began?
static inline bool ecru__poller_changed(const ecru__pollee *pollee, const ecru__operation *operation) {
  // acquire: pairs with the release in ecru__poller_note
  return atomic_load_explicit(&((ecru__pollee *)(uintptr_t)pollee)->events[ecru__operation_direction(operation)], memory_order_acquire) !=
         operation->seen;
}
/// Whether an attempt would not have to wait. returns: 1; 0; ECRU_E*.
int ecru__poller_ready(const ecru__pollee *pollee, int direction);
/// From now on an event of this direction is given out by ecru__poller_wait, also one that has happened already. Later ones may be, too, but whoever
/// waits again arms again. pre: the caller's lock is held. returns: 0; ECRU_EPERM it cannot be polled (always ready); ECRU_EBADF; ECRU_ENOMEM.
int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction);
/// Gives an operation up. returns: whether it is over; false: its event is still to come, and its memory needed until then.
bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation);
/// Before the descriptor is closed. Events already given out may still carry its key. pre: the caller's lock is held.
void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee);
/// Waits until deadline_ns (monotonic; 0: not at all, INT64_MAX: no limit), an event, a wake-up or spuriously. errno is preserved.
/// Several threads may wait at once: an event is given to one of them. returns: how many events.
int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns);
/// Has one that waits return, or the next one that comes to wait; who only looks (deadline 0) does not count.
void ecru__poller_wake(ecru__poller *poller);

/// Notes an event, at the latest under the caller's lock under which those who wait are woken.
static inline void ecru__poller_note(ecru__pollee *pollee, const ecru__poll_event *event) {
  if (event->hung_up) atomic_store_explicit(&pollee->hung_up, 1, memory_order_relaxed);
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) // release: pairs with ecru__poller_changed and with the attempt's look
    if (event->directions & (1u << d))
      atomic_fetch_add_explicit(&pollee->events[d], 1, memory_order_release);
}
#endif
