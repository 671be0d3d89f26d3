/// runtime/chan.h: the inside of a channel, shared by chan.c (operations), ends.c (counted ends) and select.c.
///
/// A channel is a lock, a ring of slots and two queues of parked peers. Values never lie in the channel when somebody waits
/// for them: a sender copies straight into the parked receiver's element, a receiver straight out of the parked sender's.
///
///   1 A claimable receiver is parked only while the ring is empty, a claimable sender only while it is full; never both
///     (except both sides of one select, which cannot pair with itself).
///   2 A receiver that frees a slot while a sender is parked moves that sender's value into the slot in the same step:
///     nobody overtakes a parked sender, and `count` does not blink.
///   3 Once closed: no node is in either queue, nothing is added to the ring any more.
///   4 `count`, `closed`, `receivers_wait` and `senders_wait` change only under the lock and only from one truth to the next:
///     whoever peeks at one of them without the lock sees what was true at that instant. "Not ready" takes two looks,
///     first "empty"/"full", then "not closed": closed is for ever, so both held at the instant of the first look (C5).
///
/// The first 64 bytes, on a line of their own, are all that an operation touches: that is why there is no tail (it is
/// head + count) and why slots are indices of 32 bits and not pointers. What an operation costs is its one locked
/// instruction: 8 of the 11 ns of a buffered send (measured on a Xeon).
#ifndef ECRU_RUNTIME_CHAN_H
#define ECRU_RUNTIME_CHAN_H
#include <ecru/chan.h>
#include <string.h>

#include "runtime/handle.h"
#include "runtime/park.h"

enum { ECRU__CHAN_NAME_BYTES = 32, ECRU__CHAN_ELEMENT_MAX = 64 * 1024 };
/// What ecru__chan_send_locked and ecru__chan_recv_locked say when they could do nothing.
enum { ECRU__WOULD_WAIT = 1 };

struct ecru_chan {
  ecru__lock lock;
  uint32_t element_bytes;        // set once
  _Atomic uint32_t count;        // atomic: written under lock: elements in the ring
  uint32_t capacity;             // lock if unbounded, else set once: slots of the ring
  uint32_t head;                 // lock: slot of the oldest
  _Atomic uint8_t closed;        // atomic: written under lock, once
  _Atomic uint8_t receivers_wait; // atomic: written under lock: receivers.head != NULL
  _Atomic uint8_t senders_wait;  // atomic: written under lock: senders.head != NULL
  uint8_t full;                  // set once: ECRU_FULL_*
  char *slots;                   // lock if unbounded, else set once
  ecru__queue receivers;         // lock
  ecru__queue senders;           // lock

  _Atomic uint32_t references;   // atomic
  int32_t closed_status;         // lock: what receivers get after the drain
  uint32_t tx_ends, rx_ends;     // lock: open counted ends (ends.c)
  bool unbounded;                // set once
  void (*dropped)(void *context, void *element); // set once
  void *context;                 // set once
  void *block;                   // set once: what to free
  char name[ECRU__CHAN_NAME_BYTES]; // set once
  ecru__mark mark; // handle.h
};

static inline uint32_t ecru__chan_count(const ecru_chan *chan) {
  // acquire: keeps the look at `closed` after it (invariant 4)
  return atomic_load_explicit(&((ecru_chan *)chan)->count, memory_order_acquire);
}
static inline bool ecru__chan_closed(const ecru_chan *chan) {
  // acquire: pairs with the release in close: closed_status is there
  return atomic_load_explicit(&((ecru_chan *)chan)->closed, memory_order_acquire) != 0;
}
static inline void ecru__chan_set_count(ecru_chan *chan, uint32_t count) {
  atomic_store_explicit(&chan->count, count, memory_order_relaxed);
}

/// A peek: could a receive happen now? Exact under the lock (but for peers that turn out to have been cancelled).
static inline bool ecru__chan_can_recv(const ecru_chan *chan) {
  if (ecru__chan_count(chan) != 0) return true;
  if (atomic_load_explicit(&((ecru_chan *)chan)->senders_wait, memory_order_acquire)) return true; // acquire: as count
  return ecru__chan_closed(chan);
}
/// A peek: would a send find a receiver, room, or a policy that makes room?
static inline bool ecru__chan_can_send(const ecru_chan *chan) {
  if (chan->unbounded || ecru__chan_count(chan) < chan->capacity) return true;
  if (atomic_load_explicit(&((ecru_chan *)chan)->receivers_wait, memory_order_acquire)) return true; // acquire: as count
  if (chan->full == ECRU_FULL_DROP_NEWEST || chan->full == ECRU_FULL_DROP_OLDEST) return true;
  return ecru__chan_closed(chan);
}

// ---- what follows wants the lock held -------------------------------------------------------------------------------

void ecru__chan_copy_other(void *to, const void *from, uint32_t bytes);
/// Copies an element; `to` is NULL when the receiver wants to discard it.
static inline void ecru__chan_copy(void *to, const void *from, uint32_t bytes) {
  if (ECRU__LIKELY(bytes == 8 && to)) memcpy(to, from, 8);
  else ecru__chan_copy_other(to, from, bytes);
}
static inline void *ecru__chan_slot(const ecru_chan *chan, uint32_t slot) {
  return chan->slots + (size_t)slot * chan->element_bytes;
}
/// The slot `distance` (<= capacity) after the oldest.
static inline uint32_t ecru__chan_after_head(const ecru_chan *chan, uint32_t distance) {
  uint32_t slot = chan->head + distance;
  return slot >= chan->capacity ? slot - chan->capacity : slot;
}

static inline void ecru__chan_wait_recv(ecru_chan *chan, ecru__node *node) {
  ecru__queue_push(&chan->receivers, node);
  atomic_store_explicit(&chan->receivers_wait, 1, memory_order_relaxed);
}
static inline void ecru__chan_wait_send(ecru_chan *chan, ecru__node *node) {
  ecru__queue_push(&chan->senders, node);
  atomic_store_explicit(&chan->senders_wait, 1, memory_order_relaxed);
}
static inline ecru__node *ecru__chan_claim_receiver(ecru_chan *chan) {
  ecru__node *node = ecru__queue_claim(&chan->receivers);
  atomic_store_explicit(&chan->receivers_wait, chan->receivers.head != NULL, memory_order_relaxed);
  return node;
}
static inline ecru__node *ecru__chan_claim_sender(ecru_chan *chan) {
  ecru__node *node = ecru__queue_claim(&chan->senders);
  atomic_store_explicit(&chan->senders_wait, chan->senders.head != NULL, memory_order_relaxed);
  return node;
}
static inline void ecru__chan_unwait_recv(ecru_chan *chan, ecru__node *node) {
  ecru__queue_remove(&chan->receivers, node);
  atomic_store_explicit(&chan->receivers_wait, chan->receivers.head != NULL, memory_order_relaxed);
}
static inline void ecru__chan_unwait_send(ecru_chan *chan, ecru__node *node) {
  ecru__queue_remove(&chan->senders, node);
  atomic_store_explicit(&chan->senders_wait, chan->senders.head != NULL, memory_order_relaxed);
}

static inline void ecru__chan_append(ecru_chan *chan, const void *element, uint32_t count) {
  ecru__chan_copy(ecru__chan_slot(chan, ecru__chan_after_head(chan, count)), element, chan->element_bytes);
  ecru__chan_set_count(chan, count + 1);
}
static inline void ecru__chan_drop_head(ecru_chan *chan, uint32_t count) {
  ecru__chan_set_count(chan, count - 1);
  chan->head = ecru__chan_after_head(chan, 1);
}

/// Sends if there is a receiver or room. *peer: whom to make ready after the lock is dropped; untouched if nobody.
/// returns: 0; ECRU_ECLOSED; ECRU__WOULD_WAIT.
static inline int ecru__chan_send_locked(ecru_chan *chan, const void *element, ecru__node **peer) {
  if (chan->receivers.head) {
    ecru__node *receiver = ecru__chan_claim_receiver(chan);
    if (ECRU__LIKELY(receiver != NULL)) {
      ecru__chan_copy(receiver->element, element, chan->element_bytes);
      *peer = receiver;
      return 0;
    }
  }
  if (ECRU__UNLIKELY(ecru__chan_closed(chan))) return ECRU_ECLOSED;
  uint32_t count = ecru__chan_count(chan);
  if (count >= chan->capacity) return ECRU__WOULD_WAIT;
  ecru__chan_append(chan, element, count);
  return 0;
}
/// Receives if something is there; the oldest first. *peer: as above. returns: 0; the closing status; ECRU__WOULD_WAIT.
static inline int ecru__chan_recv_locked(ecru_chan *chan, void *element, ecru__node **peer) {
  uint32_t count = ecru__chan_count(chan);
  ecru__node *sender = chan->senders.head ? ecru__chan_claim_sender(chan) : NULL;
  if (count != 0) {
    void *oldest = ecru__chan_slot(chan, chan->head);
    ecru__chan_copy(element, oldest, chan->element_bytes);
    if (sender) ecru__chan_copy(oldest, sender->element, chan->element_bytes); // the ring is full: oldest slot = next free one
    else ecru__chan_set_count(chan, count - 1);
    chan->head = ecru__chan_after_head(chan, 1);
  } else if (sender) {
    ecru__chan_copy(element, sender->element, chan->element_bytes);
  } else {
    return ECRU__UNLIKELY(ecru__chan_closed(chan)) ? chan->closed_status : ECRU__WOULD_WAIT;
  }
  if (sender) *peer = sender;
  return 0;
}
/// Sends into a full ring under a drop policy: the victim goes to *victim, if that is not NULL.
void ecru__chan_replace_locked(ecru_chan *chan, const void *element, void *victim);
/// Closes an open channel; receivers get `status` after the drain. returns: all who were parked, claimed: for ecru__ready_all
/// after the lock is dropped.
ecru__node *ecru__chan_close_locked(ecru_chan *chan, int status);

// ---- without the lock -----------------------------------------------------------------------------------------------

/// Doubles the ring of an unbounded channel if it is full. returns: 0 (look again); ECRU_ENOMEM.
int ecru__chan_grow(ecru_chan *chan);
/// Takes all elements out of a closed channel and gives them to `dropped`. Called outside the runtime (user code runs).
void ecru__chan_discard(ecru_chan *chan);
#endif
