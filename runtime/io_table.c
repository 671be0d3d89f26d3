/// runtime/io_table.c: the table of handles (io.h, invariant 1).
///
/// Two ways in: by key, for events, in chunks that stay while the runtime is up; and by descriptor, for whoever waits for one without a handle in
/// hand, and so that none gets two owners. A place is given to the next handle with another generation in its key.
///
/// The table's lock is taken before a handle's.
#include "runtime/io_table.h"
#include "runtime/fork.h"

#include "platform/memory.h"
#include "runtime/io_deadline.h"
#include "runtime/state.h"

enum { CHUNK = 256, CHUNKS = 8192, DESCRIPTORS = 1024, DESCRIPTOR_CHUNKS = 4096 };
typedef struct chunk { ecru_io places[CHUNK]; } chunk;
typedef struct by_descriptor { ecru_io *io[DESCRIPTORS]; } by_descriptor;

static struct {
  ecru__lock lock;
  _Atomic(chunk *) chunks[CHUNKS]; // atomic: written under the lock
  uint32_t used, alive;            // lock: places ever used; of these, taken ones
  ecru_io *free;                   // lock
  by_descriptor *known[DESCRIPTOR_CHUNKS]; // lock: the handle of each descriptor; those not owned stay until the number is reused
  _Atomic uint32_t foreign[DESCRIPTORS * DESCRIPTOR_CHUNKS / 32]; // atomic: bit: that handle is not owned; written under the lock
} table;

// ---- places ---------------------------------------------------------------------------------------------------------

ecru_io *ecru__io_at(uint64_t key) {
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

/// A handle, or none, for the descriptor that this place is for. Under the table's lock.
static void list(intptr_t descriptor, ecru_io **known, ecru_io *io) {
  _Atomic uint32_t *word = &table.foreign[descriptor / 32];
  uint32_t bit = 1u << (descriptor % 32);
  *known = io;
  // relaxed: see ecru__io_is_foreign
  if (io && io->pollee.fleeting) atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
  else if (atomic_load_explicit(word, memory_order_relaxed) & bit) atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

/// It does not lead to this handle any more. Under the table's lock.
static void unlist(const ecru_io *io) {
  ecru_io **known = known_place(io->pollee.descriptor);
  if (known && *known == io) list(io->pollee.descriptor, known, NULL);
}

/// Under the table's lock.
static void give_place_back(ecru_io *io) {
  uint32_t generation = (uint32_t)(io->pollee.key >> 32) + 1;
  if (generation >= UINT32_MAX - 1) generation = 0; // the last two mark the poller's own
  ecru__lock_take(&io->lock);
  io->pollee.key = (uint64_t)generation << 32 | (uint32_t)io->pollee.key;
  ecru__lock_drop(&io->lock);
  io->next_free = table.free;
  table.free = io;
  table.alive--;
}

/// Takes one if there is one. relaxed: a lock under which the handle was found orders the rest.
static bool add_unless_none(_Atomic uint32_t *count) {
  uint32_t value = atomic_load_explicit(count, memory_order_relaxed);
  while (value != 0)
    if (atomic_compare_exchange_weak_explicit(count, &value, value + 1, memory_order_relaxed, memory_order_relaxed)) return true;
  return false;
}

/// returns: whether it was the last. acq_rel: all that was done with the handle happens before its place is used again.
static bool drop(_Atomic uint32_t *count) { return atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel) == 1; }

bool ecru__io_pin_if_alive(ecru_io *io) { return add_unless_none(&io->pins); }

void ecru__io_unpin(ecru_io *io) {
  if (ECRU__LIKELY(!drop(&io->pins))) return;
  ecru__lock_take(&table.lock);
  give_place_back(io);
  ecru__lock_drop(&table.lock);
}

/// Under the table's lock: there are no references any more.
static void end(ecru_io *io) {
  ecru__handle_end(&io->mark);
  if (drop(&io->pins)) give_place_back(io);
}

void ecru__io_free(ecru_io *io) {
  ecru__lock_take(&table.lock);
  unlist(io);
  end(io);
  ecru__lock_drop(&table.lock);
}

bool ecru__io_drop_reference(ecru_io *io) { return drop(&io->references); }

/// A foreign descriptor's number means, or is about to mean, something else: whoever waits for it shall know, through *chain.
/// Under the table's lock.
static void abandon(ecru_io *io, ecru__node **chain) {
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  ecru__lock_take(&io->lock);
  io->closed = true;
  if (poller) ecru__poller_forget(poller, &io->pollee);
  ecru__io_claim_all(&io->in.waiters, ECRU_ECLOSED, chain);
  ecru__io_claim_all(&io->out.waiters, ECRU_ECLOSED, chain);
  ecru__lock_drop(&io->lock);
}

/// Under the table's lock. A handle the place still has is replaced: the system has given its number to somebody else.
static ecru_io *register_io(ecru__worker *w, intptr_t descriptor, enum ecru__descriptor_kind kind, bool fleeting) {
  ecru_io **known = known_place(descriptor), *io = known ? new_place() : NULL;
  if (!io) return NULL;
  ecru_io *stale = *known;
  table.alive++;
  ecru__lock_take(&io->lock);
  uint64_t key = io->pollee.key;
  io->pollee = (ecru__pollee){.descriptor = descriptor, .key = key, .kind = kind, .fleeting = fleeting};
  ecru__direction_init(&io->in, ECRU__IN);
  ecru__direction_init(&io->out, ECRU__OUT);
  io->operations = 0;
  io->closed = io->was_blocking = io->unlink_path = io->restores_tty = io->tunes = false;
  io->keep_open = fleeting; // it is not ours to close
  io->shut.waiters = (ecru__queue){NULL, NULL};
  atomic_store_explicit(&io->shut.set, 0, memory_order_relaxed);
  atomic_store_explicit(&io->references, 1, memory_order_relaxed);
  atomic_store_explicit(&io->pins, 1, memory_order_relaxed);
  ecru__handle_begin(&io->mark);
  ecru__lock_drop(&io->lock);
  list(descriptor, known, io);
  if (!stale || !stale->pollee.fleeting) return io;
  ecru__node *chain = NULL;
  abandon(stale, &chain);
  ecru__ready_all(w, chain);
  if (drop(&stale->references)) end(stale); // the table's reference
  return io;
}

int ecru__io_register(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind, bool alone) {
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

void ecru__io_unlist(ecru_io *io) {
  ecru__lock_take(&table.lock);
  unlist(io);
  ecru__lock_drop(&table.lock);
}

// ---- all of them ----------------------------------------------------------------------------------------------------

void ecru__io_forget_all(void) {
  ecru__lock_take(&table.lock);
  for (uint32_t i = 0; i < table.used; i++) {
    ecru_io *io = ecru__io_at(i);
    if (!io) continue; // none such: every place used has its chunk
    ecru__pollee_reset(&io->pollee);
    io->in.armed = io->out.armed = false; // the heaps are emptied, too: the next wait arms anew
    if (atomic_load_explicit(&io->references, memory_order_relaxed) == 0 || !io->pollee.fleeting) continue;
    unlist(io);
    if (drop(&io->references)) end(io);
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

bool ecru__io_anybody_waits(void) {
  static uint32_t found; // monitor's: where it found somebody last
  bool waits = false;
  ecru__lock_take(&table.lock);
  for (uint32_t i = 0; i < table.used && !waits; i++) {
    uint32_t at = (found + i) % table.used;
    ecru_io *io = ecru__io_at(at);
    ecru__lock_take(&io->lock);
    waits = io->in.waiters.head || io->out.waiters.head;
    ecru__lock_drop(&io->lock);
    if (waits) found = at;
  }
  ecru__lock_drop(&table.lock);
  return waits;
}

// ---- foreign descriptors --------------------------------------------------------------------------------------------

int ecru__io_of_descriptor(ecru__worker *w, ecru_io **io, intptr_t descriptor) {
  ecru__lock_take(&table.lock);
  ecru_io **known = known_place(descriptor), *found = known ? *known : NULL;
  if (known && !found) found = register_io(w, descriptor, ECRU__IS_OTHER, true);
  int status = !found ? ECRU_ENOMEM : add_unless_none(&found->references) ? 0 : ECRU_ECLOSED;
  ecru__lock_drop(&table.lock);
  *io = found;
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

/// Without the lock: every close of the program asks, also in a signal handler that has interrupted whoever holds it.
bool ecru__io_is_foreign(intptr_t descriptor) {
  if (descriptor < 0 || descriptor >= (intptr_t)DESCRIPTORS * DESCRIPTOR_CHUNKS) return false;
  // relaxed: who knows that a wait has begun has been told in an order; who does not may come before it
  return atomic_load_explicit(&table.foreign[descriptor / 32], memory_order_relaxed) >> (descriptor % 32) & 1;
}

ecru_io *ecru__io_take_foreign(intptr_t descriptor, ecru__node **chain) {
  ecru__lock_take(&table.lock);
  ecru_io **known = foreign_place(descriptor), *io = known ? *known : NULL;
  if (io) {
    list(descriptor, known, NULL);
    abandon(io, chain);
  }
  ecru__lock_drop(&table.lock);
  return io;
}

/// Threads that had pinned it, or were about to end it, are not there.
static void forget_others_pins(ecru_io *io) {
  bool alive = atomic_load_explicit(&io->references, memory_order_relaxed) != 0;
  if (atomic_exchange_explicit(&io->pins, alive ? 1 : 0, memory_order_relaxed) == 0 || alive) return;
  unlist(io);
  give_place_back(io);
}

void ecru__io_in_child(void) {
  table.lock = (ecru__lock){0};
  for (uint32_t i = 0; i < table.used; i++) {
    ecru_io *io = ecru__io_at(i);
    io->lock = (ecru__lock){0};
    io->operations = 0; // those of others; theirs were the turns, too
    io->in.turns = io->in.waiters = io->out.turns = io->out.waiters = (ecru__queue){0};
    io->in.busy = io->out.busy = false;
    io->unlink_path = io->restores_tty = io->was_blocking = false; // the parent's to see to
    forget_others_pins(io);
  }
}
