/// runtime/stack.c: the stacks of goroutines (G8, G9).
///
/// Stacks are cut from slabs: one mapping holds up to 64 of them, so that a million cost a few hundred mappings. The lowest
/// sixteenth of each (a page at least, 64 KiB at most) is a guard, the control block of the goroutine lies at the top: a parked goroutine touches one page.
/// Only the program's room (ecru_options.room_bytes), if it wants one, lies above.
/// Sizes are powers of two, one depot for each. The default size is cached by processors (goroutine.c) in front of its
/// depot. What lies unused in a depot for a second is given back to the system in batches (its address space is kept).
/// Slabs live until the runtime stops, so a pointer to a control block can always be read (it may be all zero: dead).
///
/// What a page table maps (2 MiB; the table takes 4 KiB) is more than a large stack touches: its top lies in one table, its guard in another. Large stacks
/// begin in the middle of a table, which their guard then shares with the top of the stack below. (8 MiB stacks, 100 000 of them parked: 7.7 KiB
/// of tables each without that, 4.5 with it. The lowest of a slab shares with nobody, so there are at least 8 up to 64 MiB: 4.8 KiB, with one 8.3.)
///
/// Tried and dropped: giving memory back when a goroutine ends (1.2 us, plus 1 us for the next first touch).
#include "runtime/fork.h"
#include "runtime/state.h"

#include "platform/vm.h"

enum { LOG2_MIN = 14, LOG2_MAX = 30, SLAB_STACKS = 64, SLAB_LOG2_MAX = 24, LARGE_SLAB_LOG2_MAX = 26, LARGE_SLAB_LEAST = 8, LARGE_LOG2_MAX = 26, TABLE_LOG2 = 21, TABLE = 1 << TABLE_LOG2 };

typedef struct slab {
  _Atomic(struct slab *) next; // atomic: pushed under the depot's lock, walked without
  char *base;                  // set once: the first stack
  void *mapping;               // set once
  size_t bytes;                // set once: of the mapping
  uint32_t count;              // set once
  ecru__stack stacks[];        // set once but for their own fields
} slab;

typedef struct depot {
  ecru__lock lock;
  ecru__stack *warm;           // lock: LIFO: their memory is still there
  ecru__stack *cold;           // lock: given back to the system, or never touched
  uint64_t mapped, unused;     // lock
  uint64_t granted;            // lock: rights to one of these stacks; never more than mapped
  _Atomic(slab *) slabs;       // atomic: newest first
} depot;

static depot depots[LOG2_MAX + 1];

/// More than a page, so that fewer large frames step over it; it costs address space only (its entries stand in a page table that the
/// stack needs anyway).
size_t ecru__stack_guard_bytes(uint32_t log2) {
  enum { SHARE_LOG2 = 4, MOST = 64 << 10 };
  size_t least = ecru__vm_guard_least(), share = (size_t)1 << (log2 - SHARE_LOG2);
  return share < least ? least : share < MOST ? share : MOST < least ? least : MOST;
}

/// Whether a stack of this size leaves as much as is expected of one of `bytes` bytes; where guards are larger it may have to be a larger one.
static bool is_enough(uint32_t log2, size_t bytes) {
  size_t whole = (size_t)1 << log2;
  if (whole < bytes) return false;
  size_t page = ecru__vm_page(), expected_guard = bytes / 16 < page ? page : bytes / 16;
  return whole - ecru__stack_guard_bytes(log2) + expected_guard >= bytes;
}

/// Coloured, that is, a few cache lines lower from stack to stack, since what lies at the same place in every page falls into the same few
/// sets of the caches.
static char *top_of(const ecru__stack *stack) {
  enum { COLOURS = 16, LINE = 64 };
  size_t bytes = (size_t)1 << stack->log2, colour = ((uintptr_t)stack->low >> stack->log2) % COLOURS;
  size_t room = bytes == ecru__sched.options.stack_bytes ? ecru__sched.options.room_bytes : 0;
  return stack->low + bytes - room - colour * LINE;
}

static slab *slab_of(uint32_t log2, uint32_t count) {
  size_t stack_bytes = (size_t)1 << log2, shift = log2 > TABLE_LOG2 ? TABLE / 2 : 0;
  slab *s = ecru__calloc(1, sizeof(slab) + count * sizeof(ecru__stack));
  if (!s) return NULL;
  s->bytes = count * stack_bytes + 2 * shift; // whole tables: the system makes one mapping of neighbours
  s->count = count;
  s->mapping = ecru__vm_reserve(s->bytes, s->bytes < TABLE ? stack_bytes : TABLE);
  if (!s->mapping) {
    ecru__free(s);
    return NULL;
  }
  s->base = (char *)s->mapping + shift;
  size_t guard = ecru__stack_guard_bytes(log2);
  for (uint32_t i = 0; i < count; i++) {
    ecru__stack *stack = &s->stacks[i];
    stack->low = s->base + i * stack_bytes;
    stack->log2 = log2;
    stack->top = top_of(stack);
    if (ecru__vm_guard(stack->low, guard, stack_bytes) != 0) { // never an unguarded stack: what is guarded can be used, no more
      s->count = i;
      break;
    }
  }
  if (s->count > 0) return s;
  ecru__vm_release(s->mapping, s->bytes);
  ecru__free(s);
  return NULL;
}

static slab *slab_create(uint32_t log2) {
  uint32_t slab_log2 = log2 > TABLE_LOG2 ? LARGE_SLAB_LOG2_MAX : SLAB_LOG2_MAX;
  uint32_t count = log2 >= slab_log2 ? 1 : 1u << (slab_log2 - log2);
  if (count > SLAB_STACKS) count = SLAB_STACKS;
  if (count < LARGE_SLAB_LEAST && log2 <= LARGE_LOG2_MAX) {
    slab *s = slab_of(log2, LARGE_SLAB_LEAST);
    if (s) return s; // else there may be address space for fewer
  }
  return slab_of(log2, count);
}

/// Maps one more slab into the depot, whose lock is held.
static bool grow(depot *d, uint32_t log2) {
  slab *s = slab_create(log2);
  if (!s) return false;
  for (uint32_t i = s->count; i-- > 0;) {
    s->stacks[i].next = d->cold;
    d->cold = &s->stacks[i];
  }
  d->mapped += s->count;
  d->unused += s->count;
  atomic_store_explicit(&s->next, atomic_load_explicit(&d->slabs, memory_order_relaxed), memory_order_relaxed);
  atomic_store_explicit(&d->slabs, s, memory_order_release); // release: pairs with the walkers' acquire
  return true;
}

static uint32_t log2_of(size_t bytes) {
  uint32_t log2 = LOG2_MIN;
  while (log2 <= LOG2_MAX && !is_enough(log2, bytes)) log2++;
  return log2;
}

uint32_t ecru__stack_grant(uint32_t want) {
  uint32_t log2 = log2_of(ecru__sched.options.stack_bytes);
  depot *d = &depots[log2];
  ecru__lock_take(&d->lock);
  while (d->granted + want > d->mapped && grow(d, log2)) {}
  uint64_t left = d->mapped - d->granted;
  if (want > left) want = (uint32_t)left;
  d->granted += want;
  ecru__lock_drop(&d->lock);
  return want;
}

void ecru__stack_return(uint32_t rights) {
  depot *d = &depots[log2_of(ecru__sched.options.stack_bytes)];
  ecru__lock_take(&d->lock);
  d->granted -= rights;
  ecru__lock_drop(&d->lock);
}

int ecru__stack_take(ecru__stack **stack, size_t bytes) {
  uint32_t log2 = log2_of(bytes);
  if (log2 > LOG2_MAX) return ECRU_EINVAL;
  depot *d = &depots[log2];
  ecru__lock_take(&d->lock);
  if (!d->warm && !d->cold && !grow(d, log2)) {
    ecru__lock_drop(&d->lock);
    return ECRU_ENOMEM;
  }
  ecru__stack **source = d->warm ? &d->warm : &d->cold;
  ecru__stack *taken = *source;
  *source = taken->next;
  d->unused--;
  ecru__lock_drop(&d->lock);
  *stack = taken;
  return 0;
}

uint32_t ecru__stacks_take_warm(ecru__stack **batch, uint32_t room, size_t bytes) {
  depot *d = &depots[log2_of(bytes)];
  uint32_t count = 0;
  ecru__lock_take(&d->lock);
  for (; count < room && d->warm; count++) {
    batch[count] = d->warm;
    d->warm = d->warm->next;
  }
  d->unused -= count;
  ecru__lock_drop(&d->lock);
  return count;
}

void ecru__stack_give(ecru__stack *stack) {
  depot *d = &depots[stack->log2];
  stack->freed_ns = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  ecru__lock_take(&d->lock);
  stack->next = d->warm;
  d->warm = stack;
  d->unused++;
  ecru__lock_drop(&d->lock);
}

void ecru__stacks_give_list(ecru__goroutine *head) {
  while (head) {
    ecru__goroutine *following = head->queue_next; // the stack may be trimmed or used at once
    ecru__stack_give(head->stack);
    head = following;
  }
}

/// Takes up to `room` warm stacks given back before `before` out of the depot.
static uint32_t take_old(depot *d, int64_t before, ecru__stack **batch, uint32_t room) {
  enum { LOOKS = 4096 }; // bounds the time under the lock; what lies below becomes old, too
  uint32_t count = 0;
  ecru__lock_take(&d->lock);
  ecru__stack **link = &d->warm;
  for (int looks = 0; *link && count < room && looks < LOOKS; looks++) {
    ecru__stack *stack = *link;
    if (stack->freed_ns <= before) {
      *link = stack->next;
      batch[count++] = stack;
    } else {
      link = &stack->next;
    }
  }
  d->unused -= count;
  ecru__lock_drop(&d->lock);
  return count;
}

static void put_cold(depot *d, ecru__stack **batch, uint32_t count) {
  ecru__lock_take(&d->lock);
  for (uint32_t i = 0; i < count; i++) {
    batch[i]->next = d->cold;
    d->cold = batch[i];
  }
  d->unused += count;
  ecru__lock_drop(&d->lock);
}

void ecru__stacks_trim(int64_t now, int64_t age_ns) {
  enum { BATCH = 512 };
  ecru__stack *batch[BATCH];
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) {
    depot *d = &depots[log2];
    size_t guard = ecru__stack_guard_bytes(log2);
    if (!atomic_load_explicit(&d->slabs, memory_order_acquire)) continue;
    for (uint32_t count = BATCH, rounds = 0; count == BATCH && rounds < 64; rounds++) {
      count = take_old(d, now - age_ns, batch, BATCH);
      for (uint32_t i = 0; i < count; i++) ecru__vm_trim(batch[i]->low + guard, ((size_t)1 << log2) - guard);
      put_cold(d, batch, count);
    }
  }
}

void ecru__stacks_visit(bool (*visit)(void *context, ecru__goroutine *g), void *context) {
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) {
    slab *s = atomic_load_explicit(&depots[log2].slabs, memory_order_acquire);
    for (; s; s = atomic_load_explicit(&s->next, memory_order_relaxed))
      for (uint32_t i = 0; i < s->count; i++)
        if (atomic_load_explicit(&s->stacks[i].in_use, memory_order_acquire) &&
            !visit(context, ecru__stack_goroutine(&s->stacks[i])))
          return;
  }
}

const ecru__stack *ecru__stack_at(const void *address) {
  const char *at = address;
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) {
    slab *s = atomic_load_explicit(&depots[log2].slabs, memory_order_acquire);
    for (; s; s = atomic_load_explicit(&s->next, memory_order_relaxed))
      if (at >= s->base && at < s->base + ((size_t)s->count << log2)) return &s->stacks[(size_t)(at - s->base) >> log2];
  }
  return NULL;
}

void ecru__stacks_count(uint64_t *mapped, uint64_t *unused) {
  *mapped = *unused = 0;
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) {
    ecru__lock_take(&depots[log2].lock);
    *mapped += depots[log2].mapped;
    *unused += depots[log2].unused;
    ecru__lock_drop(&depots[log2].lock);
  }
}

void ecru__stacks_release_all(void) {
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) {
    depot *d = &depots[log2];
    slab *s = atomic_load_explicit(&d->slabs, memory_order_relaxed);
    while (s) {
      slab *following = atomic_load_explicit(&s->next, memory_order_relaxed);
      ecru__vm_release(s->mapping, s->bytes);
      ecru__free(s);
      s = following;
    }
    atomic_store_explicit(&d->slabs, NULL, memory_order_relaxed);
    d->warm = d->cold = NULL;
    d->mapped = d->unused = d->granted = 0;
  }
}

void ecru__stacks_in_child(void) {
  for (uint32_t log2 = LOG2_MIN; log2 <= LOG2_MAX; log2++) depots[log2] = (depot){0}; // the caller may stand on one of them
}
