/// ecru/chan.h: channels (rules C1-C11).
#ifndef ECRU_CHAN_H
#define ECRU_CHAN_H
#include <ecru/base.h>

/// What a full bounded channel does with one more element (C6).
enum {
  ECRU_FULL_WAIT = 0,        ///< the sender parks
  ECRU_FULL_DROP_NEWEST = 1, ///< the newest buffered element gives way to the new one
  ECRU_FULL_DROP_OLDEST = 2, ///< the oldest buffered element gives way to the new one
  ECRU_FULL_FAIL = 3,        ///< the send returns ECRU_EAGAIN (in a select it waits like ECRU_FULL_WAIT)
};

typedef struct ecru_chan_options {
  size_t size;               ///< sizeof(ecru_chan_options), set by ECRU_CHAN_OPTIONS
  const char *name;          ///< copied, at most 31 bytes are kept; shown in dumps
  int unbounded;             ///< 1: send never parks; capacity is then the initial room; full must be ECRU_FULL_WAIT
  int full;                  ///< ECRU_FULL_*
  /// Called for each element dropped by the policy, by the end of the last receiving end or by the last release of the
  /// channel, in the goroutine or thread that causes it and without locks: it may call ecru and park. May be NULL.
  void (*dropped)(void *context, void *element);
  void *context;             ///< first argument of dropped
} ecru_chan_options;
#define ECRU_CHAN_OPTIONS {sizeof(ecru_chan_options), NULL, 0, 0, NULL, NULL}

ECRU_BEGIN
/// Creates a channel of elements of element_bytes (0 allowed, at most 64 KiB) with room for capacity (at most 2^31) of
/// them; 0: unbuffered, sender and receiver meet (C1, C2). owns: the caller holds one reference.
/// effects: any thread; never parks; allocates; does not start the runtime.
/// returns: 0; ECRU_EINVAL chan NULL; ECRU_EOVERFLOW sizes too large; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_chan_create(ecru_chan **chan, size_t element_bytes, size_t capacity);
/// ecru_chan_create with options (NULL: defaults). effects, returns: as ecru_chan_create; ECRU_EINVAL also for a bad
/// options.size, an unknown policy, a drop policy with capacity 0, unbounded with a policy. since: 0.1
ECRU_API int ecru_chan_create_with(ecru_chan **chan, size_t element_bytes, size_t capacity, const ecru_chan_options *options);
/// Takes one more reference. effects: any thread; never parks. returns: chan; NULL is passed through. since: 0.1
ECRU_API ecru_chan *ecru_chan_retain(ecru_chan *chan);
/// Gives one reference back; the last frees the channel and drops what is buffered. It is a panic if somebody is
/// parked on it then. Who has received the last value may release the channel at once, even if the ecru_chan_send or
/// ecru_chan_try_send of that value has not returned yet (a select must have returned).
/// effects: any thread; never parks but in dropped. NULL is ignored. since: 0.1
ECRU_API void ecru_chan_release(ecru_chan *chan);
/// Sends a copy of *element, parking while there is neither a receiver nor room (C2, C3). element may be NULL if
/// element_bytes is 0. effects: any thread; parks; allocates only to grow an unbounded channel and to drop an element of
/// more than 256 bytes. returns: 0; ECRU_ECLOSED (C4); ECRU_EINVAL; ECRU_EAGAIN policy ECRU_FULL_FAIL; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT (nothing was sent, C11); ECRU_ENOMEM (nothing was sent or dropped). since: 0.1
ECRU_API int ecru_chan_send(ecru_chan *chan, const void *element);
/// Receives into *element (may be NULL to discard; written only on success), parking while nothing is there.
/// effects: any thread; parks.
/// returns: 0; ECRU_ECLOSED (or the status given to close_with) when closed and drained; ECRU_EINVAL; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT (nothing was taken, C11). since: 0.1
ECRU_API int ecru_chan_recv(ecru_chan *chan, void *element);
/// ecru_chan_send that never parks: ECRU_EAGAIN instead; never so while it could succeed throughout (C5).
/// effects: any thread; never parks, so no cancellation point; allocates as ecru_chan_send.
/// returns: 0; ECRU_EAGAIN; ECRU_ECLOSED; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_chan_try_send(ecru_chan *chan, const void *element);
/// ecru_chan_recv that never parks: ECRU_EAGAIN instead; never so while it could succeed throughout (C5).
/// effects: any thread; never parks, so no cancellation point. returns: 0; ECRU_EAGAIN; ECRU_ECLOSED (or the closing status);
/// ECRU_EINVAL. since: 0.1
ECRU_API int ecru_chan_try_recv(ecru_chan *chan, void *element);
/// Closes: buffered elements can still be received, all parked wake (C4). effects: any thread; never parks.
/// returns: 0; ECRU_ECLOSED it was; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_chan_close(ecru_chan *chan);
/// Closes; receivers get `status` (negative) instead of ECRU_ECLOSED after the drain (C4). effects, returns: as
/// ecru_chan_close; ECRU_EINVAL status >= 0. since: 0.1
ECRU_API int ecru_chan_close_with(ecru_chan *chan, int status);
/// Elements buffered now (C7); 0 for NULL. effects: any thread; never parks. since: 0.1
ECRU_API size_t ecru_chan_len(ecru_chan *chan);
/// Shows what is buffered, the oldest first, and takes nothing: for garbage collectors and people. `see` is called under the
/// channel's lock: it must not call ecru, keep the pointer or write there; anything but 0 ends the walk.
/// effects: any thread; never parks. returns: 0; what see has ended it with; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_chan_each(ecru_chan *chan, int (*see)(void *context, const void *element), void *context);
/// Capacity (C7); SIZE_MAX if unbounded; 0 for NULL. effects: any thread; never parks. since: 0.1
ECRU_API size_t ecru_chan_cap(ecru_chan *chan);
/// Bytes of an element, as it was created; 0 for NULL: who is handed a channel can see whether it is of the kind that he expects.
/// effects: any thread; never parks. since: 0.1
ECRU_API size_t ecru_chan_element_bytes(ecru_chan *chan);
/// 1 if closed, else 0; 1 for NULL. effects: any thread; never parks. since: 0.1
ECRU_API int ecru_chan_is_closed(ecru_chan *chan);

/// A counted sending end (C8). The channel closes when its last sending end is released. owns: the end holds a
/// reference of the channel. effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM;
/// ECRU_ECLOSED the channel is closed. since: 0.1
ECRU_API int ecru_tx_open(ecru_tx **tx, ecru_chan *chan);
/// Another handle on the same end. effects: any thread; never parks. returns: tx; NULL is passed through. since: 0.1
ECRU_API ecru_tx *ecru_tx_retain(ecru_tx *tx);
/// Gives a handle back; the end's last one ends the end. effects: any thread; never parks. NULL is ignored. since: 0.1
ECRU_API void ecru_tx_release(ecru_tx *tx);
/// effects, returns: as ecru_chan_send. since: 0.1
ECRU_API int ecru_tx_send(ecru_tx *tx, const void *element);
/// effects, returns: as ecru_chan_try_send. since: 0.1
ECRU_API int ecru_tx_try_send(ecru_tx *tx, const void *element);
/// The channel behind the end, for select. effects: any thread; never parks. owns: borrowed: valid as long as the end.
/// returns: the channel; NULL for NULL. since: 0.1
ECRU_API ecru_chan *ecru_tx_chan(ecru_tx *tx);
/// A counted receiving end (C8). When the last is released, senders get ECRU_ECLOSED at once and what is buffered is
/// dropped. owns, effects, returns: as ecru_tx_open. since: 0.1
ECRU_API int ecru_rx_open(ecru_rx **rx, ecru_chan *chan);
/// Another handle on the same end. effects: any thread; never parks. returns: rx; NULL is passed through. since: 0.1
ECRU_API ecru_rx *ecru_rx_retain(ecru_rx *rx);
/// Gives a handle back; the end's last one ends the end. effects: any thread; never parks but in dropped. NULL is ignored. since: 0.1
ECRU_API void ecru_rx_release(ecru_rx *rx);
/// effects, returns: as ecru_chan_recv. since: 0.1
ECRU_API int ecru_rx_recv(ecru_rx *rx, void *element);
/// effects, returns: as ecru_chan_try_recv. since: 0.1
ECRU_API int ecru_rx_try_recv(ecru_rx *rx, void *element);
/// The channel behind the end, for select. effects, owns, returns: as ecru_tx_chan. since: 0.1
ECRU_API ecru_chan *ecru_rx_chan(ecru_rx *rx);
ECRU_END
#endif
