/// runtime/chan.c: channels (rules C1-C7, C9-C11). The structure and its invariants: chan.h.
///
/// Each operation is a short straight line: enter, look at the token, take the lock, one attempt, drop the lock, wake the
/// peer, leave. Whatever else can happen (park, grow, drop, fail) stands in a function of its own that is called with the lock
/// held and ends the operation itself, so that the straight line keeps nothing alive across it.
#include "runtime/chan.h"

#include "platform/memory.h"
#include "runtime/scheduler.h"

enum { LINE = 64, SMALL_VICTIM = 256, FIRST_ROOM = 8 };
static const size_t capacity_max = (size_t)1 << 31; // so that head + count fits 32 bits

// ---- life -----------------------------------------------------------------------------------------------------------

/// Copies what the caller knows of the options over the defaults.
static int read_options(const ecru_chan_options *given, ecru_chan_options *options) {
  static const ecru_chan_options defaults = ECRU_CHAN_OPTIONS;
  *options = defaults;
  if (!given) return 0;
  if (given->size < sizeof(size_t) || given->size > sizeof *given) return ECRU_EINVAL;
  memcpy(options, given, given->size);
  if (options->full < ECRU_FULL_WAIT || options->full > ECRU_FULL_FAIL) return ECRU_EINVAL;
  if (options->unbounded != 0 && options->unbounded != 1) return ECRU_EINVAL;
  if (options->unbounded && options->full != ECRU_FULL_WAIT) return ECRU_EINVAL; // it is never full
  return 0;
}

static bool drops(int full) { return full == ECRU_FULL_DROP_NEWEST || full == ECRU_FULL_DROP_OLDEST; }

int ecru_chan_create_with(ecru_chan **chan, size_t element_bytes, size_t capacity, const ecru_chan_options *given) {
  ecru_chan_options options;
  if (!chan || read_options(given, &options) != 0) return ECRU_EINVAL;
  if (capacity == 0 && drops(options.full)) return ECRU_EINVAL;
  if (element_bytes > ECRU__CHAN_ELEMENT_MAX || capacity > capacity_max) return ECRU_EOVERFLOW;
  size_t ring_bytes;
  if (__builtin_mul_overflow(element_bytes, capacity, &ring_bytes) || ring_bytes > PTRDIFF_MAX / 2) return ECRU_EOVERFLOW;

  // Header and ring in one block, on a line of their own; the ring of an unbounded channel will move and stands apart.
  size_t bytes = sizeof(ecru_chan) + LINE;
  void *block = ecru__malloc(options.unbounded ? bytes : bytes + ring_bytes);
  if (!block) return ECRU_ENOMEM;
  ecru_chan *made = (ecru_chan *)(((uintptr_t)block + LINE - 1) & ~(uintptr_t)(LINE - 1));
  memset(made, 0, sizeof *made);
  ecru__handle_begin(&made->mark);
  made->block = block;
  made->slots = (char *)(made + 1);
  if (options.unbounded) {
    made->slots = ecru__malloc(ring_bytes ? ring_bytes : 1);
    if (!made->slots) {
      ecru__free(block);
      return ECRU_ENOMEM;
    }
  }
  made->element_bytes = (uint32_t)element_bytes;
  made->capacity = (uint32_t)capacity;
  made->full = (uint8_t)options.full;
  made->unbounded = options.unbounded != 0;
  made->dropped = options.dropped;
  made->context = options.context;
  if (options.name) strncpy(made->name, options.name, ECRU__CHAN_NAME_BYTES - 1);
  atomic_store_explicit(&made->references, 1, memory_order_relaxed);
  *chan = made;
  return 0;
}

int ecru_chan_create(ecru_chan **chan, size_t element_bytes, size_t capacity) {
  return ecru_chan_create_with(chan, element_bytes, capacity, NULL);
}

ecru_chan *ecru_chan_retain(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  if (chan && atomic_fetch_add_explicit(&chan->references, 1, memory_order_relaxed) == 0)
    ecru__panic("ecru_chan_retain", chan, "the channel has been released by its last holder");
  return chan;
}

void ecru_chan_release(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  if (!chan) return;
  // acq_rel: what every holder did happens before the end
  uint32_t before = atomic_fetch_sub_explicit(&chan->references, 1, memory_order_acq_rel);
  if (before == 0) // two at once; one that comes later is certain to be known only with ECRU_CHECK_HANDLES
    ecru__panic("ecru_chan_release", chan, "released more often than retained");
  if (before > 1) return;
  if (chan->receivers.head || chan->senders.head)
    ecru__panic("ecru_chan_release", chan, "the last reference goes while somebody is parked on the channel");
  ecru__chan_discard(chan);
  size_t ring_bytes = chan->unbounded ? 0 : (size_t)chan->capacity * chan->element_bytes; // what lies in the block of it
  if (chan->unbounded) ecru__free(chan->slots);
  ecru__handle_free(&chan->mark, chan->block, sizeof *chan + LINE + ring_bytes);
}

void ecru__chan_discard(ecru_chan *chan) {
  ecru__lock_take(&chan->lock);
  uint32_t count = ecru__chan_count(chan), head = chan->head;
  ecru__chan_set_count(chan, 0); // closed or unreachable: nobody touches the slots from now on
  ecru__lock_drop(&chan->lock);
  if (!chan->dropped) return;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t slot = head < chan->capacity - i ? head + i : head - (chan->capacity - i);
    chan->dropped(chan->context, ecru__chan_slot(chan, slot));
  }
}

int ecru_chan_each(ecru_chan *chan, int (*see)(void *context, const void *element), void *context) {
  ECRU__CHECK_HANDLE(chan);
  if (!chan || !see) return ECRU_EINVAL;
  int status = 0;
  ecru__lock_take(&chan->lock);
  uint32_t count = ecru__chan_count(chan);
  for (uint32_t i = 0; i < count && status == 0; i++) status = see(context, ecru__chan_slot(chan, ecru__chan_after_head(chan, i)));
  ecru__lock_drop(&chan->lock);
  return status;
}

// ---- the rare parts -------------------------------------------------------------------------------------------------

__attribute__((noinline)) void ecru__chan_copy_other(void *to, const void *from, uint32_t bytes) {
  if (bytes == 0 || !to) return;
  if (bytes == 4) memcpy(to, from, 4);
  else if (bytes == 16) memcpy(to, from, 16);
  else memcpy(to, from, bytes);
}

int ecru__chan_grow(ecru_chan *chan) {
  ecru__lock_take(&chan->lock);
  uint32_t capacity = chan->capacity;
  ecru__lock_drop(&chan->lock);
  uint32_t room = capacity ? capacity * 2 : FIRST_ROOM;
  size_t bytes;
  if (capacity > capacity_max / 2 || __builtin_mul_overflow((size_t)room, (size_t)chan->element_bytes, &bytes))
    return ECRU_ENOMEM;
  char *slots = ecru__malloc(bytes ? bytes : 1);
  if (!slots) return ECRU_ENOMEM;

  ecru__lock_take(&chan->lock);
  char *old = slots;
  if (chan->capacity == capacity && ecru__chan_count(chan) == capacity && !ecru__chan_closed(chan)) {
    old = chan->slots;
    size_t to_end = (size_t)(capacity - chan->head) * chan->element_bytes;
    size_t to_head = (size_t)chan->head * chan->element_bytes;
    if (to_end) memcpy(slots, old + to_head, to_end);
    if (to_head) memcpy(slots + to_end, old, to_head);
    chan->slots = slots;
    chan->capacity = room;
    chan->head = 0;
  }
  ecru__lock_drop(&chan->lock);
  ecru__free(old); // ours, if another was faster
  return 0;
}

void ecru__chan_replace_locked(ecru_chan *chan, const void *element, void *victim) {
  bool oldest = chan->full == ECRU_FULL_DROP_OLDEST;
  void *slot = ecru__chan_slot(chan, oldest ? chan->head : ecru__chan_after_head(chan, ecru__chan_count(chan) - 1));
  if (victim) ecru__chan_copy(victim, slot, chan->element_bytes);
  ecru__chan_copy(slot, element, chan->element_bytes);
  if (oldest) chan->head = ecru__chan_after_head(chan, 1); // full: the new one stands behind all others
}

static int send_unbounded(ecru__worker *w, ecru_chan *chan, const void *element) {
  int status;
  ecru__node *peer = NULL;
  do {
    ecru__lock_drop(&chan->lock);
    int grown = ecru__chan_grow(chan);
    ecru__lock_take(&chan->lock);
    status = ecru__chan_send_locked(chan, element, &peer);
    if (status == ECRU__WOULD_WAIT && grown != 0) status = grown;
  } while (status == ECRU__WOULD_WAIT);
  ecru__lock_drop(&chan->lock);
  if (peer) ecru__ready(w, peer->waiter);
  ecru__leave(w);
  return status;
}

/// The victim must reach `dropped` without the lock, so it needs a place: found first, then the channel is looked at again.
static int send_dropping(ecru__worker *w, ecru_chan *chan, const void *element) {
  if (!chan->dropped) {
    ecru__chan_replace_locked(chan, element, NULL);
    ecru__lock_drop(&chan->lock);
    ecru__leave(w);
    return 0;
  }
  ecru__lock_drop(&chan->lock);
  _Alignas(16) char small[SMALL_VICTIM];
  void *victim = chan->element_bytes <= sizeof small ? small : ecru__malloc(chan->element_bytes);
  if (!victim) {
    ecru__leave(w);
    return ECRU_ENOMEM;
  }
  ecru__node *peer = NULL;
  void (*dropped)(void *, void *) = chan->dropped;
  void *context = chan->context;
  ecru__lock_take(&chan->lock);
  int status = ecru__chan_send_locked(chan, element, &peer);
  bool full = status == ECRU__WOULD_WAIT;
  if (full) ecru__chan_replace_locked(chan, element, victim);
  ecru__lock_drop(&chan->lock); // from here on the receiver may release the channel
  if (peer) ecru__ready(w, peer->waiter);
  ecru__leave(w);
  if (full) dropped(context, victim);
  if (victim != small) ecru__free(victim);
  return full ? 0 : status;
}

static int send_parked(ecru__worker *w, ecru_chan *chan, const void *element) {
  ecru__node node;
  ecru__node_init(&node, w->self);
  node.element = (void *)(uintptr_t)element; // only read: by the receiver that claims us
  ecru__chan_wait_send(chan, &node);
  int status = ecru__park(&w, &chan->lock, ECRU__WAIT_SEND, chan);
  if (status != 0) {
    ecru__lock_take(&chan->lock);
    ecru__chan_unwait_send(chan, &node);
    ecru__lock_drop(&chan->lock);
  } else {
    status = node.status;
  }
  ecru__leave(w);
  return status;
}

static int recv_parked(ecru__worker *w, ecru_chan *chan, void *element) {
  ecru__node node;
  ecru__node_init(&node, w->self);
  node.element = element;
  ecru__chan_wait_recv(chan, &node);
  int status = ecru__park(&w, &chan->lock, ECRU__WAIT_RECV, chan);
  if (status != 0) {
    ecru__lock_take(&chan->lock);
    ecru__chan_unwait_recv(chan, &node);
    ecru__lock_drop(&chan->lock);
  } else {
    status = node.status;
  }
  ecru__leave(w);
  return status;
}

/// The ring is full (lock held): what next is the policy's (C6). Leaves the runtime.
static int send_full(ecru__worker *w, ecru_chan *chan, const void *element, bool may_park) {
  if (may_park && chan->full == ECRU_FULL_WAIT && !chan->unbounded) return send_parked(w, chan, element);
  if (chan->unbounded) return send_unbounded(w, chan, element);
  if (drops(chan->full)) return send_dropping(w, chan, element);
  ecru__lock_drop(&chan->lock);
  ecru__leave(w);
  return ECRU_EAGAIN;
}

/// Somebody waits, or it is closed, or full (lock held). Leaves the runtime.
__attribute__((noinline)) static int send_met(ecru__worker *w, ecru_chan *chan, const void *element, bool may_park) {
  ecru__node *peer = NULL;
  int status = ecru__chan_send_locked(chan, element, &peer);
  if (status == ECRU__WOULD_WAIT) return send_full(w, chan, element, may_park);
  ecru__lock_drop(&chan->lock);
  if (peer) ecru__ready(w, peer->waiter);
  ecru__leave(w);
  return status;
}

/// Somebody waits, or nothing is there (lock held). Leaves the runtime.
__attribute__((noinline)) static int recv_met(ecru__worker *w, ecru_chan *chan, void *element, bool may_park) {
  ecru__node *peer = NULL;
  int status = ecru__chan_recv_locked(chan, element, &peer);
  if (status == ECRU__WOULD_WAIT) {
    if (may_park) return recv_parked(w, chan, element);
    status = ECRU_EAGAIN;
  }
  ecru__lock_drop(&chan->lock);
  if (peer) ecru__ready(w, peer->waiter);
  ecru__leave(w);
  return status;
}

// ---- operations -----------------------------------------------------------------------------------------------------

static inline bool can_read(const ecru_chan *chan, const void *element) { return element || chan->element_bytes == 0; }

/// The straight line: room and nobody waits.
static inline int send_entered(ecru__worker *w, ecru_chan *chan, const void *element, bool may_park) {
  ecru__lock_take(&chan->lock);
  uint32_t count = ecru__chan_count(chan);
  if (count >= chan->capacity || chan->receivers.head || ecru__chan_closed(chan)) return send_met(w, chan, element, may_park);
  ecru__chan_append(chan, element, count);
  ecru__lock_drop(&chan->lock);
  ecru__leave(w);
  return 0;
}

/// The straight line: something is there and nobody waits.
static inline int recv_entered(ecru__worker *w, ecru_chan *chan, void *element, bool may_park) {
  ecru__lock_take(&chan->lock);
  uint32_t count = ecru__chan_count(chan);
  if (count == 0 || chan->senders.head) return recv_met(w, chan, element, may_park);
  ecru__chan_copy(element, ecru__chan_slot(chan, chan->head), chan->element_bytes);
  ecru__chan_drop_head(chan, count);
  ecru__lock_drop(&chan->lock);
  ecru__leave(w);
  return 0;
}

int ecru_chan_send(ecru_chan *chan, const void *element) {
  ECRU__CHECK_HANDLE(chan);
  if (ECRU__UNLIKELY(!chan || !can_read(chan, element))) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (ECRU__LIKELY(status == 0)) return send_entered(w, chan, element, true);
  ecru__leave(w);
  return status;
}

int ecru_chan_recv(ecru_chan *chan, void *element) {
  ECRU__CHECK_HANDLE(chan);
  if (ECRU__UNLIKELY(!chan)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (ECRU__LIKELY(status == 0)) return recv_entered(w, chan, element, true);
  ecru__leave(w);
  return status;
}

int ecru_chan_try_send(ecru_chan *chan, const void *element) {
  ECRU__CHECK_HANDLE(chan);
  if (ECRU__UNLIKELY(!chan || !can_read(chan, element))) return ECRU_EINVAL;
  if (!ecru__chan_can_send(chan)) return ECRU_EAGAIN;
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  return send_entered(w, chan, element, false);
}

int ecru_chan_try_recv(ecru_chan *chan, void *element) {
  ECRU__CHECK_HANDLE(chan);
  if (ECRU__UNLIKELY(!chan)) return ECRU_EINVAL;
  if (!ecru__chan_can_recv(chan)) return ECRU_EAGAIN;
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  return recv_entered(w, chan, element, false);
}

// ---- close and looks ------------------------------------------------------------------------------------------------

ecru__node *ecru__chan_close_locked(ecru_chan *chan, int status) {
  chan->closed_status = status;
  // release: pairs with the acquire in ecru__chan_closed
  atomic_store_explicit(&chan->closed, 1, memory_order_release);
  ecru__node *parked = ecru__queue_claim_all(&chan->receivers), **end = &parked;
  for (; *end; end = &(*end)->next) (*end)->status = status;
  *end = ecru__queue_claim_all(&chan->senders);
  for (ecru__node *sender = *end; sender; sender = sender->next) sender->status = ECRU_ECLOSED;
  atomic_store_explicit(&chan->receivers_wait, 0, memory_order_relaxed);
  atomic_store_explicit(&chan->senders_wait, 0, memory_order_relaxed);
  return parked;
}

int ecru_chan_close_with(ecru_chan *chan, int status) {
  ECRU__CHECK_HANDLE(chan);
  if (!chan || status >= 0) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&chan->lock);
  bool was_closed = ecru__chan_closed(chan);
  ecru__node *parked = was_closed ? NULL : ecru__chan_close_locked(chan, status);
  ecru__lock_drop(&chan->lock);
  ecru__ready_all(w, parked);
  ecru__leave(w);
  return was_closed ? ECRU_ECLOSED : 0;
}

int ecru_chan_close(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  return ecru_chan_close_with(chan, ECRU_ECLOSED);
}

size_t ecru_chan_len(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  return chan ? ecru__chan_count(chan) : 0;
}

size_t ecru_chan_cap(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  if (!chan) return 0;
  return chan->unbounded ? SIZE_MAX : chan->capacity;
}

size_t ecru_chan_element_bytes(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  return chan ? chan->element_bytes : 0;
}

int ecru_chan_is_closed(ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  return chan ? ecru__chan_closed(chan) : 1;
}
