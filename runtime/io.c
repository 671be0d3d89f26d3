/// runtime/io.c: the handle of a descriptor, its turns, deadlines and events (rules I1-I3, I7). Invariants in io.h, the dance with the
/// poller in platform/poller.h.
///
/// An operation: take the direction's turn, try, and only if that says "would wait" stand in line for an event. All of it goes on under
/// one spin lock per handle, taken twice around the system call. (Tried: one atomic word with counts and flags as in Go's fdMutex; saves
/// 10 ns of an operation's 600, and the turns' order of arrival with it.)
#include "runtime/io.h"

#include "platform/memory.h"
#include "platform/net.h"
#include "runtime/state.h"

enum { BUFFERS_MAX = 1024, BUFFERS_AT_ONCE = 64 };

// ---- the table ---------------------------------------------------------------------------------------------------------

enum { CHUNK = 256, CHUNKS = 8192, DESCRIPTORS = 1024, DESCRIPTOR_CHUNKS = 4096 };
typedef struct chunk { ecru_io places[CHUNK]; } chunk;
typedef struct by_descriptor { ecru_io *io[DESCRIPTORS]; } by_descriptor;

static struct {
  ecru__lock lock;
  _Atomic(chunk *) chunks[CHUNKS]; // atomic: written under the lock
  uint32_t used, alive;            // lock: places ever used; of these, taken ones
  ecru_io *free;                   // lock
  by_descriptor *known[DESCRIPTOR_CHUNKS]; // lock: the handle of each descriptor; those not owned stay until the number is reused
} table;

static ecru_io *place_at(uint64_t key) {
  uint32_t index = (uint32_t)key;
  if (index >= CHUNK * CHUNKS) return NULL;
  // acquire: pairs with the release in new_place
  chunk *c = atomic_load_explicit(&table.chunks[index / CHUNK], memory_order_acquire);
  return c ? &c->places[index % CHUNK] : NULL;
}

static ecru_io *new_place(void) {
  ecru_io *io = table.free;
  if (io) {
    table.free = io->next_free;
    return io;
  }
  uint32_t index = table.used;
  if (index == CHUNK * CHUNKS) return NULL;
  if (index % CHUNK == 0 && !atomic_load_explicit(&table.chunks[index / CHUNK], memory_order_relaxed)) {
    chunk *c = ecru__calloc(1, sizeof *c);
    if (!c) return NULL;
    atomic_store_explicit(&table.chunks[index / CHUNK], c, memory_order_release);
  }
  table.used++;
  io = &atomic_load_explicit(&table.chunks[index / CHUNK], memory_order_relaxed)->places[index % CHUNK];
  io->pollee.key = index;
  return io;
}

/// Where the table says whose handle a descriptor has; NULL: out of memory or out of range.
static ecru_io **known_place(intptr_t descriptor) {
  size_t index = (size_t)descriptor;
  if (descriptor < 0 || index >= (size_t)DESCRIPTORS * DESCRIPTOR_CHUNKS) return NULL;
  by_descriptor **part = &table.known[index / DESCRIPTORS];
  if (!*part) *part = ecru__calloc(1, sizeof **part);
  return *part ? &(*part)->io[index % DESCRIPTORS] : NULL;
}

/// Under the table's lock.
static void give_place_back(ecru_io *io) {
  uint32_t generation = (uint32_t)(io->pollee.key >> 32) + 1;
  if (generation >= UINT32_MAX - 1) generation = 0; // the last two mark the poller's own
  ecru__lock_take(&io->lock);
  io->pollee.key = (uint64_t)generation << 32 | (uint32_t)io->pollee.key;
  ecru__lock_drop(&io->lock);
  ecru__handle_end(&io->mark);
  io->next_free = table.free;
  table.free = io;
  table.alive--;
}

/// The last reference is gone: a place for the next.
static void free_io(ecru_io *io) {
  ecru__lock_take(&table.lock);
  ecru_io **known = known_place(io->pollee.descriptor);
  if (known && *known == io) *known = NULL;
  give_place_back(io);
  ecru__lock_drop(&table.lock);
}

/// Takes a reference unless the last has gone: from then on only whoever let it go may touch the handle.
static bool retain_if_alive(ecru_io *io) {
  uint32_t references = atomic_load_explicit(&io->references, memory_order_relaxed);
  while (references != 0) // relaxed: a lock under which the handle was found orders the rest
    if (atomic_compare_exchange_weak_explicit(&io->references, &references, references + 1, memory_order_relaxed, memory_order_relaxed))
      return true;
  return false;
}

static bool drop_reference(ecru_io *io) {
  // acq_rel: all that was done with it happens before its place is used again
  return atomic_fetch_sub_explicit(&io->references, 1, memory_order_acq_rel) == 1;
}

static bool deadline_claim(ecru__worker *w, ecru__timer_node *node);
static void deadline_run(ecru__worker *w, ecru__timer_node *node);

static void init_direction(ecru__direction *d, int index) {
  *d = (ecru__direction){.deadline_ns = ECRU_FOREVER, .index = (uint8_t)index};
  d->timer.claim = deadline_claim;
  d->timer.run = deadline_run;
}

static void claim_all(ecru__queue *queue, int32_t why, ecru__node **chain);

/// A foreign descriptor's number means, or is about to mean, something else: whoever waits for it shall know, through *chain.
/// Under the table's lock.
static void abandon(ecru_io *io, ecru__node **chain) {
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  ecru__lock_take(&io->lock);
  io->closed = true;
  if (poller) ecru__poller_forget(poller, &io->pollee);
  claim_all(&io->in.waiters, ECRU_ECLOSED, chain);
  claim_all(&io->out.waiters, ECRU_ECLOSED, chain);
  ecru__lock_drop(&io->lock);
}

/// Under the table's lock. A handle the place still has is replaced: the system has given its number to somebody else.
static ecru_io *register_io(ecru__worker *w, intptr_t descriptor, enum ecru__descriptor_kind kind, bool fleeting) {
  ecru_io **known = known_place(descriptor), *io = known ? new_place() : NULL;
  if (!io) return NULL;
  ecru_io *stale = *known;
  *known = io;
  table.alive++;
  ecru__lock_take(&io->lock);
  uint64_t key = io->pollee.key;
  io->pollee = (ecru__pollee){.descriptor = descriptor, .key = key, .kind = kind, .fleeting = fleeting};
  init_direction(&io->in, ECRU__IN);
  init_direction(&io->out, ECRU__OUT);
  io->operations = 0;
  io->closed = io->was_blocking = io->unlink_path = io->tunes = false;
  io->keep_open = fleeting; // it is not ours to close
  io->shut.waiters = (ecru__queue){NULL, NULL};
  atomic_store_explicit(&io->shut.set, 0, memory_order_relaxed);
  atomic_store_explicit(&io->references, 1, memory_order_relaxed);
  ecru__handle_begin(&io->mark);
  ecru__lock_drop(&io->lock);
  if (!stale || !stale->pollee.fleeting) return io;
  ecru__node *chain = NULL;
  abandon(stale, &chain);
  ecru__ready_all(w, chain);
  if (drop_reference(stale)) give_place_back(stale); // the table's reference
  return io;
}

/// alone: not if the descriptor has a handle already. returns: 0; ECRU_EEXIST; ECRU_ENOMEM; as ecru__poller_create.
static int create(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind, bool alone) {
  int status;
  if (!ecru__poll_start(&status)) return status;
  ecru__lock_take(&table.lock);
  ecru_io **known = known_place(descriptor);
  bool has_one = alone && known && *known && !(*known)->pollee.fleeting;
  ecru_io *made = has_one ? NULL : register_io(w, descriptor, kind, false);
  ecru__lock_drop(&table.lock);
  if (!made) return has_one ? ECRU_EEXIST : ECRU_ENOMEM;
  *io = made;
  return 0;
}

int ecru__io_create(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind) {
  return create(w, io, descriptor, kind, false);
}

int ecru__io_create_or_close(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind) {
  int status = ecru__io_create(w, io, descriptor, kind);
  if (status != 0) ecru__io_close(descriptor);
  return status;
}

void ecru__io_forget_all(void) {
  ecru__lock_take(&table.lock);
  for (uint32_t i = 0; i < table.used; i++) {
    ecru_io *io = place_at(i);
    if (!io) continue; // none such: every place used has its chunk
    ecru__pollee_register(&io->pollee, 0);
    io->in.armed = io->out.armed = false; // the heaps are emptied, too: the next wait arms anew
    if (atomic_load_explicit(&io->references, memory_order_relaxed) == 0 || !io->pollee.fleeting) continue;
    ecru_io **known = known_place(io->pollee.descriptor);
    if (known && *known == io) *known = NULL;
    if (drop_reference(io)) give_place_back(io);
  }
  if (table.alive == 0) {
    for (uint32_t i = 0; i < CHUNKS && table.chunks[i]; i++) ecru__free(atomic_exchange(&table.chunks[i], NULL));
    for (uint32_t i = 0; i < DESCRIPTOR_CHUNKS; i++) {
      ecru__free(table.known[i]);
      table.known[i] = NULL;
    }
    table.used = 0;
    table.free = NULL;
  }
  ecru__lock_drop(&table.lock);
}

// ---- events ------------------------------------------------------------------------------------------------------------

static ecru__direction *direction_of(ecru_io *io, int index) { return index == ECRU__IN ? &io->in : &io->out; }

/// Claims everybody in the queue into *chain, telling them why. Under io->lock.
static void claim_all(ecru__queue *queue, int32_t why, ecru__node **chain) {
  for (ecru__node *node; (node = ecru__queue_claim(queue)) != NULL;) {
    node->status = why;
    node->next = *chain;
    *chain = node;
  }
}

static void dispatch(ecru__worker *w, const ecru__poll_event *event) {
  ecru_io *io = place_at(event->key);
  if (!io) return;
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  if (io->pollee.key == event->key) { // else it is late: the place has another handle by now, which it must not touch
    ecru__poller_note(&io->pollee, event);
    if (io->pollee.fleeting) ecru__pollee_register(&io->pollee, 0); // the wait it was registered for is over
    if (event->directions & (1u << ECRU__IN) || io->pollee.fleeting) claim_all(&io->in.waiters, 0, &chain);
    if (event->directions & (1u << ECRU__OUT) || io->pollee.fleeting) claim_all(&io->out.waiters, 0, &chain);
  }
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
}

void ecru__io_dispatch(ecru__worker *w, const ecru__poll_event *events, int count) {
  for (int i = 0; i < count; i++) dispatch(w, &events[i]);
}

bool ecru__io_anybody_waits(void) {
  static uint32_t found; // monitor's: where it found somebody last
  bool waits = false;
  ecru__lock_take(&table.lock);
  for (uint32_t i = 0; i < table.used && !waits; i++) {
    uint32_t at = (found + i) % table.used;
    ecru_io *io = place_at(at);
    ecru__lock_take(&io->lock);
    waits = io->in.waiters.head || io->out.waiters.head;
    ecru__lock_drop(&io->lock);
    if (waits) found = at;
  }
  ecru__lock_drop(&table.lock);
  return waits;
}

// ---- operations --------------------------------------------------------------------------------------------------------

/// Under the lock. returns: 0; ECRU_ECLOSED; ECRU_ETIMEDOUT.
static int usable(const ecru_io *io, const ecru__direction *d) {
  return ECRU__UNLIKELY(io->closed) ? ECRU_ECLOSED : ECRU__UNLIKELY(d->expired) ? ECRU_ETIMEDOUT : 0;
}

int ecru__io_usable(ecru_io *io, int direction) {
  ecru__lock_take(&io->lock);
  int status = usable(io, direction_of(io, direction));
  ecru__lock_drop(&io->lock);
  return status;
}

static void shut(ecru__worker *w, ecru_io *io) {
  ecru__lock_take(&io->lock);
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  if (poller) ecru__poller_forget(poller, &io->pollee);
  ecru__lock_drop(&io->lock);
  ecru__lock_take(&table.lock); // before the system can give the number to somebody else
  ecru_io **known = known_place(io->pollee.descriptor);
  if (known && *known == io) *known = NULL;
  ecru__lock_drop(&table.lock);
  if (io->unlink_path) ecru__net_unlink(io->pollee.descriptor);
  if (io->keep_open && io->was_blocking) ecru__io_set_blocking(io->pollee.descriptor, true, NULL);
  if (!io->keep_open) ecru__io_close(io->pollee.descriptor);
  ecru__event_set(w, &io->shut);
}

/// Under the lock: an operation is over. returns: whether the caller has to shut it, after dropping the lock.
static bool leave(ecru_io *io) { return --io->operations == 0 && ECRU__UNLIKELY(io->closed); }

int ecru__io_hold(ecru_io *io) {
  ecru__lock_take(&io->lock);
  bool closed = io->closed;
  if (!closed) io->operations++;
  ecru__lock_drop(&io->lock);
  return closed ? ECRU_ECLOSED : 0;
}

void ecru__io_let_go(ecru__worker *w, ecru_io *io) {
  ecru__lock_take(&io->lock);
  bool last = leave(io);
  ecru__lock_drop(&io->lock);
  if (last) shut(w, io);
}

static int wait_for_turn(ecru__worker **w, ecru_io *io, ecru__direction *d, int reason) {
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&d->turns, &node);
  int status = ecru__park(w, &io->lock, reason, io);
  if (status == 0 && node.status == 0) return 0; // handed over, still busy
  ecru__lock_take(&io->lock);
  ecru__queue_remove(&d->turns, &node);
  bool last = leave(io);
  ecru__lock_drop(&io->lock);
  if (last) shut(*w, io);
  return status != 0 ? status : node.status;
}

int ecru__io_take_turn(ecru__worker **w, ecru_io *io, int direction, int reason) {
  ecru__direction *d = direction_of(io, direction);
  ecru__lock_take(&io->lock);
  int status = usable(io, d);
  if (ECRU__LIKELY(status == 0)) {
    io->operations++;
    if (ECRU__UNLIKELY(d->busy)) return wait_for_turn(w, io, d, reason);
    d->busy = true;
  }
  ecru__lock_drop(&io->lock);
  return status;
}

static int try_turn(ecru_io *io, int direction) {
  ecru__direction *d = direction_of(io, direction);
  ecru__lock_take(&io->lock);
  int status = usable(io, d);
  if (status == 0 && d->busy) status = ECRU_EAGAIN;
  if (status == 0) {
    io->operations++;
    d->busy = true;
  }
  ecru__lock_drop(&io->lock);
  return status;
}

void ecru__io_give_turn(ecru__worker *w, ecru_io *io, int direction) {
  ecru__direction *d = direction_of(io, direction);
  ecru__lock_take(&io->lock);
  ecru__node *next = d->turns.head ? ecru__queue_claim(&d->turns) : NULL;
  if (!next) d->busy = false;
  bool last = leave(io);
  ecru__lock_drop(&io->lock);
  if (next) ecru__ready(w, next->waiter);
  if (ECRU__UNLIKELY(last)) shut(w, io);
}

/// Under the lock: the deadline, if there is one, is in a heap. returns: 0; ECRU_ENOMEM.
static int arm_deadline(ecru__worker *w, ecru__direction *d) {
  if (ECRU__LIKELY(d->deadline_ns == ECRU_FOREVER) || d->armed || d->expired) return 0;
  int status = ecru__timer_add(w, &d->timer, d->deadline_ns);
  d->armed = status == 0;
  return status;
}

/// Waits for something to happen in the direction. returns: 0: try again; ECRU_ECLOSED; ECRU_ETIMEDOUT; as ecru__park and ecru__poller_arm.
static int wait_for_event(ecru__worker **w, ecru_io *io, ecru__operation *operation, int reason) {
  ecru__direction *d = direction_of(io, ecru__operation_direction(operation));
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_relaxed);
  if (ECRU__UNLIKELY(!(*w)->processor)) ecru__poll_ensure();
  ecru__lock_take(&io->lock);
  int status = usable(io, d);
  bool again = status == 0 && ecru__poller_changed(&io->pollee, operation);
  if (status == 0 && !again) status = ecru__poller_arm(poller, &io->pollee, d->index);
  if (status == 0 && !again) status = arm_deadline(*w, d);
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

/// The shape of all public operations: enter, look at the token, do it, leave.
static int64_t run(ecru_io *io, ecru__operation *operation, int reason) {
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = ecru__io_do(&w, io, operation, reason);
  ecru__leave(w);
  return result;
}


/// Reading or writing nothing: only whether it would be allowed.
static int64_t run_nothing(ecru_io *io) {
  ecru__lock_take(&io->lock);
  bool closed = io->closed;
  ecru__lock_drop(&io->lock);
  return closed ? ECRU_ECLOSED : 0;
}

static bool moves_nothing(const ecru_io *io, const void *data, size_t bytes) {
  return bytes == 0 && data && io->pollee.kind != ECRU__IS_DATAGRAM;
}

int64_t ecru_io_read(ecru_io *io, void *buffer, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffer && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return run_nothing(io);
  ecru__operation read = {.kind = io->pollee.kind == ECRU__IS_DATAGRAM ? ECRU__OP_RECEIVE : ECRU__OP_READ, .data = buffer, .bytes = bytes};
  return run(io, &read, ECRU__WAIT_READ);
}

int64_t ecru_io_readv(ecru_io *io, const ecru_buffer *buffers, size_t count) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffers && count > 0) || count > BUFFERS_MAX) return ECRU_EINVAL;
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += buffers[i].bytes;
  if (bytes == 0) return run_nothing(io);
  ecru__operation read = {.kind = ECRU__OP_READ_V, .vector = buffers, .count = count, .bytes = bytes};
  return run(io, &read, ECRU__WAIT_READ);
}

/// Calls that have no MSG_NOSIGNAL would raise SIGPIPE in threads that are not ours, which do not block it.
static bool may_raise_signal(const ecru__worker *w, const ecru_io *io, const ecru__operation *operation) {
  if (ECRU__LIKELY(!w->is_foreign)) return false;
  return io->pollee.kind > ECRU__IS_LISTENER || operation->kind == ECRU__OP_SEND_FILE || operation->kind == ECRU__OP_SPLICE_OUT;
}

/// In one's turn: repeats the operation until `bytes` have been moved; `advance` makes it continue after those moved last.
static int64_t move(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved,
                    void (*advance)(ecru__operation *, uint64_t moved, uint64_t count)) {
  int64_t result;
  do {
    operation->mask_pipe_signal = may_raise_signal(*w, io, operation);
    result = ecru__io_perform(w, io, operation, ECRU__WAIT_WRITE);
    if (result <= 0) break;
    *moved += (uint64_t)result;
    if (ECRU__LIKELY(*moved >= bytes)) break;
    advance(operation, *moved, (uint64_t)result);
    result = ecru__canceled(*w); // an attempt that never has to wait looks at neither token nor handle
    if (result == 0) result = ecru__io_usable(io, ECRU__OUT);
  } while (result == 0);
  return result < 0 ? result : (int64_t)*moved;
}

static int64_t move_all(ecru__worker **w, ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved,
                        void (*advance)(ecru__operation *, uint64_t moved, uint64_t count)) {
  int64_t result = ecru__io_take_turn(w, io, ECRU__OUT, ECRU__WAIT_WRITE);
  if (ECRU__UNLIKELY(result != 0)) return result;
  result = move(w, io, operation, bytes, moved, advance);
  ecru__io_give_turn(*w, io, ECRU__OUT);
  return result;
}

static int64_t run_all(ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved,
                       void (*advance)(ecru__operation *, uint64_t moved, uint64_t count)) {
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = move_all(&w, io, operation, bytes, moved, advance);
  ecru__leave(w);
  return result;
}

static void advance_data(ecru__operation *operation, uint64_t moved, uint64_t count) {
  (void)moved;
  operation->data = (char *)operation->data + count;
  operation->bytes -= count;
}

int64_t ecru_io_write(ecru_io *io, const void *data, size_t bytes, size_t *written) {
  ECRU__CHECK_HANDLE(io);
  if (written) *written = 0;
  if (!io || (!data && bytes > 0)) return ECRU_EINVAL;
  if (moves_nothing(io, data, bytes) || (!data && io->pollee.kind != ECRU__IS_DATAGRAM)) return run_nothing(io);
  uint64_t moved = 0;
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)data, .bytes = bytes};
  int64_t result = run_all(io, &write, bytes, &moved, advance_data);
  if (written) *written = (size_t)moved;
  return result;
}

/// Buffers that can be shortened in front as they are written, a few at a time.
struct batch {
  ecru__operation operation;   // first
  const ecru_buffer *rest;     // not yet in `now`
  size_t rest_count;
  ecru_buffer now[BUFFERS_AT_ONCE];
  size_t first, end;           // now[first..end) are to be written
};

static void refill(struct batch *batch) {
  batch->first = batch->end = 0;
  while (batch->rest_count > 0 && batch->end < BUFFERS_AT_ONCE) {
    if (batch->rest->bytes > 0) batch->now[batch->end++] = *batch->rest;
    batch->rest++;
    batch->rest_count--;
  }
}

static void aim(struct batch *batch) {
  batch->operation.vector = batch->now + batch->first;
  batch->operation.count = batch->end - batch->first;
}

static void advance_vector(ecru__operation *operation, uint64_t moved, uint64_t count) {
  (void)moved;
  struct batch *batch = (struct batch *)(void *)operation;
  while (batch->first < batch->end && count >= batch->now[batch->first].bytes) count -= batch->now[batch->first++].bytes;
  if (batch->first == batch->end) refill(batch);
  batch->now[batch->first].data = (char *)batch->now[batch->first].data + count;
  batch->now[batch->first].bytes -= count;
  aim(batch);
}

int64_t ecru_io_writev(ecru_io *io, const ecru_buffer *buffers, size_t count, size_t *written) {
  ECRU__CHECK_HANDLE(io);
  if (written) *written = 0;
  if (!io || (!buffers && count > 0) || count > BUFFERS_MAX) return ECRU_EINVAL;
  uint64_t bytes = 0, moved = 0;
  for (size_t i = 0; i < count; i++) bytes += buffers[i].bytes;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return run_nothing(io);
  struct batch batch;
  batch.operation = (ecru__operation){.kind = ECRU__OP_WRITE_V};
  batch.rest = buffers;
  batch.rest_count = count;
  if (io->pollee.kind == ECRU__IS_DATAGRAM) { // goes out at once or not at all
    batch.operation.vector = buffers;
    batch.operation.count = count;
  } else {
    refill(&batch);
    aim(&batch);
  }
  int64_t result = run_all(io, &batch.operation, bytes, &moved, advance_vector);
  if (written) *written = (size_t)moved;
  return result;
}

static void advance_file(ecru__operation *operation, uint64_t moved, uint64_t count) {
  (void)moved;
  operation->offset += (int64_t)count;
  operation->bytes -= count;
}

int64_t ecru_io_send_file(ecru_io *io, intptr_t file_descriptor, int64_t offset, uint64_t bytes, uint64_t *sent) {
  ECRU__CHECK_HANDLE(io);
  if (sent) *sent = 0;
  if (!io || file_descriptor < 0 || offset < 0 || bytes > INT64_MAX) return ECRU_EINVAL;
  if (bytes == 0) return run_nothing(io);
  uint64_t moved = 0;
  ecru__operation send = {.kind = ECRU__OP_SEND_FILE, .other = file_descriptor, .offset = offset, .bytes = (size_t)bytes};
  int64_t result = run_all(io, &send, bytes, &moved, advance_file);
  if (sent) *sent = moved;
  return result;
}

static int64_t move_head_and_file(ecru__worker **w, ecru_io *io, ecru__operation *head, ecru__operation *file, uint64_t *sent) {
  uint64_t head_bytes = head->bytes, file_bytes = file->bytes, head_moved = 0, file_moved = 0;
  int64_t result = ecru__io_take_turn(w, io, ECRU__OUT, ECRU__WAIT_WRITE);
  if (result != 0) return result;
  result = move(w, io, head, head_bytes, &head_moved, advance_data);
  if (result >= 0 && file_bytes > 0) result = move(w, io, file, file_bytes, &file_moved, advance_file);
  ecru__io_give_turn(*w, io, ECRU__OUT);
  *sent = head_moved + file_moved;
  return result < 0 ? result : (int64_t)*sent;
}

int64_t ecru_io_send_file_after(ecru_io *io, const void *head, size_t head_bytes, intptr_t file_descriptor, int64_t offset, uint64_t bytes,
                                uint64_t *sent) {
  ECRU__CHECK_HANDLE(io);
  if (head_bytes == 0) return ecru_io_send_file(io, file_descriptor, offset, bytes, sent);
  if (sent) *sent = 0;
  if (!io || !head || file_descriptor < 0 || offset < 0 || bytes > INT64_MAX - head_bytes) return ECRU_EINVAL;
  uint64_t moved = 0;
  ecru__operation first = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)head, .bytes = head_bytes, .more = bytes > 0};
  ecru__operation then = {.kind = ECRU__OP_SEND_FILE, .other = file_descriptor, .offset = offset, .bytes = (size_t)bytes};
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = move_head_and_file(&w, io, &first, &then, &moved);
  ecru__leave(w);
  if (sent) *sent = moved;
  return result;
}

static int64_t try_once(ecru_io *io, ecru__operation *operation) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int direction = ecru__operation_direction(operation);
  int status;
  int64_t result = try_turn(io, direction);
  if (result == 0) {
    ecru__poller *poller = ecru__poll_start(&status);
    operation->mask_pipe_signal = may_raise_signal(w, io, operation);
    result = poller ? ecru__poller_attempt(poller, &io->pollee, operation) : status;
    ecru__io_give_turn(w, io, direction);
  }
  ecru__leave(w);
  return result;
}

int64_t ecru_io_try_read(ecru_io *io, void *buffer, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffer && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return run_nothing(io);
  ecru__operation read = {.kind = io->pollee.kind == ECRU__IS_DATAGRAM ? ECRU__OP_RECEIVE : ECRU__OP_READ, .data = buffer, .bytes = bytes};
  return try_once(io, &read);
}

int64_t ecru_io_try_write(ecru_io *io, const void *data, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!data && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return run_nothing(io);
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)data, .bytes = bytes};
  return try_once(io, &write);
}

// ---- readiness ---------------------------------------------------------------------------------------------------------

int ecru__io_ready_locked(ecru_io *io, int direction, bool arm) {
  int status = usable(io, direction_of(io, direction));
  if (status != 0) return status;
  int ready = ecru__io_ready(io->pollee.descriptor, direction == ECRU__IN, direction == ECRU__OUT);
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
    if (status == ECRU_EAGAIN && arm_deadline(w, direction_of(io, d)) != 0) status = ECRU_ENOMEM;
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
    if (directions & (1u << d)) ecru__queue_push(&direction_of(io, d)->waiters, &nodes[d]);
  }
  int status = ecru__park(w, &io->lock, ECRU__WAIT_READY, io);
  ecru__node *winner = status == 0 ? (*w)->self->wake_node : NULL;
  ecru__lock_take(&io->lock);
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) ecru__queue_remove(&direction_of(io, d)->waiters, &nodes[d]);
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

static bool are_directions(unsigned directions) {
  return directions != 0 && (directions & ~(unsigned)(ECRU_IO_READ | ECRU_IO_WRITE)) == 0;
}

int ecru_io_wait(ecru_io *io, unsigned directions) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !are_directions(directions)) return ECRU_EINVAL;
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

/// The handle of a descriptor, with one more reference; of one ecru does not know a fleeting one is made.
/// returns: 0; ECRU_ECLOSED its owner is closing it; ECRU_ENOMEM.
static int io_of_descriptor(ecru__worker *w, ecru_io **io, intptr_t descriptor) {
  ecru__lock_take(&table.lock);
  ecru_io **known = known_place(descriptor), *found = known ? *known : NULL;
  if (known && !found) found = register_io(w, descriptor, ECRU__IS_OTHER, true);
  int status = !found ? ECRU_ENOMEM : retain_if_alive(found) ? 0 : ECRU_ECLOSED;
  ecru__lock_drop(&table.lock);
  *io = found;
  return status;
}

/// What the caller is told of a handle that was closed: of a foreign descriptor it knows none.
static int closed_status(const ecru_io *io, int status) { return status == ECRU_ECLOSED && io->pollee.fleeting ? ECRU_EBADF : status; }

int ecru__io_borrow(ecru__worker *w, intptr_t descriptor, ecru_io **io) {
  int status = ecru__is_file(descriptor);
  if (status != 0) return status < 0 ? status : ECRU_EPERM;
  if (!ecru__poll_start(&status)) return status;
  ecru_io *found;
  status = io_of_descriptor(w, &found, descriptor);
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
  if (!are_directions(directions)) return ECRU_EINVAL;
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

/// The place of a foreign descriptor somebody has waited for; NULL: none. Under the table's lock; allocates nothing.
static ecru_io **foreign_place(intptr_t descriptor) {
  size_t index = (size_t)descriptor;
  if (descriptor < 0 || index >= (size_t)DESCRIPTORS * DESCRIPTOR_CHUNKS) return NULL;
  by_descriptor *part = table.known[index / DESCRIPTORS];
  ecru_io **known = part ? &part->io[index % DESCRIPTORS] : NULL;
  return known && *known && (*known)->pollee.fleeting ? known : NULL;
}

static bool is_foreign(intptr_t descriptor) {
  ecru__lock_take(&table.lock);
  bool is = foreign_place(descriptor) != NULL;
  ecru__lock_drop(&table.lock);
  return is;
}

/// Takes its handle out of the table, with the table's reference.
static ecru_io *take_foreign(intptr_t descriptor, ecru__node **chain) {
  ecru__lock_take(&table.lock);
  ecru_io **known = foreign_place(descriptor), *io = known ? *known : NULL;
  if (io) {
    *known = NULL;
    abandon(io, chain);
  }
  ecru__lock_drop(&table.lock);
  return io;
}

int ecru_forget_fd(intptr_t descriptor) {
  if (ecru__worker_forked()) return ECRU_EFORKED;
  ecru__worker *w = ecru__worker_here();
  // relaxed: our own; a descriptor that the runtime itself closes is in no handle of this kind
  if (w && atomic_load_explicit(&w->inside, memory_order_relaxed)) return 0;
  if (!is_foreign(descriptor)) return 0; // neither starts the runtime nor adopts the thread for nothing
  w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru_io *io = take_foreign(descriptor, &chain);
  ecru__ready_all(w, chain);
  if (io) ecru__io_discard(w, io);
  ecru__leave(w);
  return 0;
}

// ---- deadlines ---------------------------------------------------------------------------------------------------------

static ecru__direction *direction_of_timer(ecru__timer_node *node) {
  return (ecru__direction *)(void *)((char *)node - offsetof(ecru__direction, timer));
}
static ecru_io *io_of_timer(ecru__timer_node *node) {
  ecru__direction *d = direction_of_timer(node);
  return (ecru_io *)(void *)((char *)d - (d->index == ECRU__IN ? offsetof(ecru_io, in) : offsetof(ecru_io, out)));
}

/// Under the heap's lock, which whoever let the last reference go takes, too, before the place is given to another (disarm).
static bool deadline_claim(ecru__worker *w, ecru__timer_node *node) {
  (void)w;
  return retain_if_alive(io_of_timer(node));
}

/// Under the lock: everybody who waits in this direction shall see that it is too late.
static void expire(ecru__direction *d, ecru__node **chain) {
  d->expired = true;
  claim_all(&d->waiters, ECRU_ETIMEDOUT, chain);
  claim_all(&d->turns, ECRU_ETIMEDOUT, chain);
}

static void deadline_run(ecru__worker *w, ecru__timer_node *node) {
  ecru_io *io = io_of_timer(node);
  ecru__direction *d = direction_of_timer(node);
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  d->armed = false;
  if (!io->closed && d->deadline_ns != ECRU_FOREVER && !d->expired) {
    // no memory to wait on until a later deadline: better too early than never
    if (d->deadline_ns <= ecru__now() || arm_deadline(w, d) != 0) expire(d, &chain);
  }
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
  ecru__io_discard(w, io);
}

/// Under the lock.
static int set_deadline(ecru__worker *w, ecru__direction *d, int64_t deadline_ns, ecru__node **chain) {
  if (d->armed && ecru__timer_remove(&d->timer)) d->armed = false; // else a run is under way, which looks at what we write now
  d->deadline_ns = deadline_ns;
  d->expired = false;
  if (deadline_ns == ECRU_FOREVER) return 0;
  if (deadline_ns <= ecru__now()) {
    expire(d, chain);
    return 0;
  }
  int status = arm_deadline(w, d);
  if (status != 0) d->deadline_ns = ECRU_FOREVER;
  return status;
}

int ecru_io_set_deadline(ecru_io *io, unsigned directions, int64_t deadline_ns) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !are_directions(directions)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  int status = io->closed ? ECRU_ECLOSED : 0;
  if (status == 0 && directions & ECRU_IO_READ) status = set_deadline(w, &io->in, deadline_ns, &chain);
  if (status == 0 && directions & ECRU_IO_WRITE) status = set_deadline(w, &io->out, deadline_ns, &chain);
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
  ecru__leave(w);
  return status;
}

// ---- the handle --------------------------------------------------------------------------------------------------------

int ecru_io_adopt(ecru_io **io, intptr_t descriptor, unsigned flags) {
  if (!io || (flags & ~(unsigned)ECRU_IO_KEEP_OPEN)) return ECRU_EINVAL;
  int kind = ecru__descriptor_kind(descriptor);
  if (kind < 0) return kind;
  if (kind == ECRU__IS_FILE) return ECRU_EPERM;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_io *made = NULL;
  int status = create(w, &made, descriptor, (enum ecru__descriptor_kind)kind, true);
  if (status == 0) {
    made->keep_open = true; // until all is done it stays the caller's
    if (kind == ECRU__IS_LISTENER) made->accepts = ecru__stream_kind(descriptor);
    atomic_store_explicit(&made->pollee.shared, true, memory_order_relaxed); // nobody knows the handle yet
    status = ecru__io_set_blocking(descriptor, false, &made->was_blocking);
    made->keep_open = status != 0 || flags & ECRU_IO_KEEP_OPEN;
    if (status == 0) *io = made;
    else ecru__io_discard(w, made);
  }
  ecru__leave(w);
  return status;
}

ecru_io *ecru_io_retain(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (io) atomic_fetch_add_explicit(&io->references, 1, memory_order_relaxed); // relaxed: the caller's own keeps it alive
  return io;
}

/// Under the lock, no timer runs any more that was not claimed before.
static void disarm(ecru__direction *d) {
  d->deadline_ns = ECRU_FOREVER;
  if (d->armed && ecru__timer_remove(&d->timer)) d->armed = false;
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
      disarm(both[i]);
      claim_all(&both[i]->waiters, ECRU_ECLOSED, &chain);
      claim_all(&both[i]->turns, ECRU_ECLOSED, &chain);
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
  if (status == 0) shut(w, io);
  if (status == ECRU_EBUSY) {
    status = ecru__event_wait_shielded(&w, &io->shut, ECRU__WAIT_CLOSE, io);
    ecru__event_settle(&io->shut);
  }
  ecru__leave(w);
  return status;
}

/// Gives a reference back; the last closes it, and wakes nobody: whoever waited would have one. So w may be NULL.
void ecru__io_discard(ecru__worker *w, ecru_io *io) {
  if (!drop_reference(io)) return;
  int status = close_to_all(w, io);
  if (status == ECRU_EBUSY) ecru__panic("ecru_io_release", io, "the last reference, while somebody uses it");
  if (status == 0) shut(w, io);
  free_io(io);
}

void ecru_io_release(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (io) ecru__io_discard(NULL, io); // not entered: that would start a runtime that has been stopped
}

intptr_t ecru_io_descriptor(ecru_io *io) {
  ECRU__CHECK_HANDLE(io);
  if (!io) return ECRU_EINVAL;
  atomic_store_explicit(&io->pollee.shared, true, memory_order_relaxed); // the caller may give it to a child, and orders that
  return run_nothing(io) == 0 ? io->pollee.descriptor : ECRU_ECLOSED;
}

int ecru_io_shutdown(ecru_io *io, unsigned directions) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !are_directions(directions)) return ECRU_EINVAL;
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
