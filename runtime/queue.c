/// runtime/queue.c: the run queues. Each processor has a bounded ring: its owner pushes at the tail and pops at the head,
/// thieves take half from the head with one compare-and-swap. What does not fit goes, half a ring at a time, to the global
/// queue. `next` (scheduler.h) stands before the ring and is the owner's alone: the goroutine just woken runs next on
/// the same processor, costs no atomic operation and is not torn away from its partner by a thief.
///
/// The ring follows the protocol of Go's scheduler (proved in tests/models/steal.pml): head and tail are free-running; an
/// element is owned by whoever advances head past it; a slot is rewritten only after head has passed it.
#include "platform/rare.h"
#include "runtime/fork.h"
#include "runtime/host.h"
#include "runtime/seed.h"
#include "runtime/state.h"

#include <string.h>

/// The global queue: a list of batches of pointers, so that whoever takes from it reads pointers from a few cache lines and can
/// fetch ahead what they point to, instead of walking from one cold control block to the next. (Tried: a list linked
/// through the control blocks; with 100 000 runnable goroutines it took a third of the time.)
enum { BATCH_ROOM = 126, BATCHES_KEPT = 64 };
typedef struct batch {
  struct batch *next;
  uint32_t first, end;          // items[first..end) are queued
  ecru__goroutine *items[BATCH_ROOM];
} batch;

static struct {
  batch *head, *tail;           // sched.global_lock
  batch *kept;                  // sched.global_lock: unused
  uint32_t kept_count;          // sched.global_lock
  ecru__goroutine *spill;       // sched.global_lock: what no batch could be allocated for, linked through itself
} global;

static batch *new_batch(void) {
  batch *b = global.kept;
  if (b) {
    global.kept = b->next;
    global.kept_count--;
  } else {
    b = ecru__malloc(sizeof *b);
  }
  if (!b) return NULL;
  b->next = NULL;
  b->first = b->end = 0;
  if (global.tail) global.tail->next = b;
  else global.head = b;
  global.tail = b;
  return b;
}

static void drop_head(void) {
  batch *b = global.head;
  global.head = b->next;
  if (!global.head) global.tail = NULL;
  if (global.kept_count >= BATCHES_KEPT) {
    ecru__free(b);
    return;
  }
  b->next = global.kept;
  global.kept = b;
  global.kept_count++;
}

static void global_append(ecru__goroutine *g) {
  batch *b = global.tail;
  if (!b || b->end == BATCH_ROOM) b = new_batch();
  if (b) {
    b->items[b->end++] = g;
    return;
  }
  *ecru__link_of(g) = global.spill;
  global.spill = g;
}

static ecru__goroutine *global_take(void) {
  ecru__goroutine *g = global.spill;
  if (g) {
    global.spill = *ecru__link_of(g);
    return g;
  }
  batch *b = global.head;
  g = b->items[b->first++];
  if (b->first == b->end) drop_head();
  return g;
}

void ecru__queue_release_global(void) {
  while (global.head) drop_head();
  while (global.kept) {
    batch *following = global.kept->next;
    ecru__free(global.kept);
    global.kept = following;
  }
  global.kept_count = 0;
  global.spill = NULL;
}

static void global_push(ecru__goroutine *const *items, uint32_t count) {
  ecru__lock_take(&ecru__sched.global_lock);
  for (uint32_t i = 0; i < count; i++) global_append(items[i]);
  uint32_t now = atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) + count;
  atomic_store_explicit(&ecru__sched.global_count, now, memory_order_release);
  ecru__lock_drop(&ecru__sched.global_lock);
  // seq_cst: pairs with the fence of a worker going idle: it sees the queue or we see it idle
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_seq_cst) == 0) {
    // Nobody is idle, but a processor may lie unused in a blocking section: it is taken back within 50 us (G3).
    if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.some_lent, memory_order_relaxed))) ecru__watch_fast();
  } else if (atomic_load_explicit(&ecru__sched.spinning, memory_order_seq_cst) == 0) {
    ecru__wake_worker();
  }
}

void ecru__queue_global(ecru__goroutine *g) { global_push(&g, 1); }

/// The ring is full: moves its older half and g to the global queue. false: a thief made room meanwhile.
static bool overflow(ecru__processor *p, ecru__goroutine *g, uint32_t head, uint32_t tail) {
  enum { HALF = ECRU__RING / 2 };
  ecru__goroutine *items[HALF + 1];
  if (tail - head != ECRU__RING) return false;
  for (uint32_t i = 0; i < HALF; i++)
    items[i] = atomic_load_explicit(&p->ring[(head + i) % ECRU__RING], memory_order_relaxed);
  // acq_rel: pairs with the other takers' compare-and-swap on head
  if (!atomic_compare_exchange_strong_explicit(&p->head, &head, head + HALF, memory_order_acq_rel, memory_order_relaxed))
    return false;
  ECRU__RARE(ring_overflow); // unit.time.sleepers_wake_at_their_instants
  items[HALF] = g;
  if (ECRU__UNLIKELY(p->host != NULL)) ecru__host_spill(p->host, items, HALF + 1);
  else global_push(items, HALF + 1);
  return true;
}

static void ring_push(ecru__processor *p, ecru__goroutine *g) {
  for (;;) {
    uint32_t head = atomic_load_explicit(&p->head, memory_order_acquire); // acquire: pairs with takers' advance of head
    uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
    if (ECRU__LIKELY(tail - head < ECRU__RING)) {
      atomic_store_explicit(&p->ring[tail % ECRU__RING], g, memory_order_relaxed);
      atomic_store_explicit(&p->tail, tail + 1, memory_order_release); // release: pairs with the thieves' acquire of tail
      return;
    }
    if (overflow(p, g, head, tail)) return;
  }
}

void ecru__queue_local(ecru__worker *w, ecru__goroutine *g) {
  ecru__processor *p = w->processor;
  ring_push(p, g);
  // One alone will have its turn here in no time, unless the one that runs computes: then the monitor wakes somebody.
  if (atomic_load_explicit(&p->tail, memory_order_relaxed) - atomic_load_explicit(&p->head, memory_order_relaxed) > 1 && !p->host) ecru__maybe_wake();
}

/// g has yielded: it goes behind the others here. Wakes nobody: this processor comes back to it by itself.
void ecru__queue_yielded(ecru__worker *w, ecru__goroutine *g) { ring_push(w->processor, g); }

/// The bed: seeds run in the order their spawner sowed them, but those of a younger spawner before those of an older one. So a tree of
/// goroutines is walked depth first, on a handful of stacks, where a plain queue would walk it breadth first and have a
/// whole level of it parked at once (skynet: 110 000 stacks instead of 60, a third of the time). The oldest, which head the
/// largest subtrees, go to the ring when the bed is full, when a processor is idle, and as they age, against starvation (G2).
static void bed_compact(ecru__bed *bed) {
  uint32_t end = 0, groups = 0;
  for (uint32_t k = 0; k < bed->groups; k++) {
    uint32_t stop = k + 1 < bed->groups ? bed->group[k + 1].base : bed->end, first = bed->group[k].first;
    if (first == stop) continue;
    bed->group[groups].spawner = bed->group[k].spawner;
    bed->group[groups].base = bed->group[groups].first = end;
    groups++;
    for (; first < stop; first++) bed->items[end++] = bed->items[first];
  }
  bed->groups = groups;
  bed->end = end;
}

void ecru__bed_flush(ecru__processor *p, uint32_t count) {
  ecru__bed *bed = &p->bed;
  for (uint32_t k = 0; k < bed->groups && count > 0; k++) {
    uint32_t stop = k + 1 < bed->groups ? bed->group[k + 1].base : bed->end;
    for (; bed->group[k].first < stop && count > 0; count--) {
      ring_push(p, bed->items[bed->group[k].first++]);
      ECRU__SET(bed->count, bed->count - 1);
    }
  }
  bed_compact(bed);
}

ecru__goroutine *ecru__bed_pop(ecru__processor *p) {
  ecru__bed *bed = &p->bed;
  if (bed->count == 0) return NULL;
  uint32_t top = bed->groups - 1;
  ecru__goroutine *g = bed->items[bed->group[top].first++];
  ECRU__SET(bed->count, bed->count - 1);
  while (bed->groups > 0 && bed->group[bed->groups - 1].first == bed->end) bed->end = bed->group[--bed->groups].base;
  return g;
}

void ecru__bed_sow(ecru__worker *w, ecru__goroutine *seed, uint64_t spawner) {
  ecru__processor *p = w->processor;
  ecru__bed *bed = &p->bed;
  bool mine = bed->groups > 0 && bed->group[bed->groups - 1].spawner == spawner;
  if (ECRU__UNLIKELY(bed->end == ECRU__BED || (!mine && bed->groups == ECRU__BED_GROUPS))) {
    ECRU__RARE(bed_overflow); // unit.scheduler.new_ones_get_their_turn_beside_greedy_ones
    ecru__bed_flush(p, bed->count / 2 + 1);
    mine = bed->groups > 0 && bed->group[bed->groups - 1].spawner == spawner;
    if (!mine && bed->groups == ECRU__BED_GROUPS) ecru__bed_flush(p, bed->count);
    mine = mine && bed->groups > 0;
  }
  if (!mine) {
    bed->group[bed->groups].spawner = spawner;
    bed->group[bed->groups].base = bed->group[bed->groups].first = bed->end;
    bed->groups++;
  }
  bed->items[bed->end++] = seed;
  ECRU__SET(bed->count, bed->count + 1);
  ecru__bed_share(p);
}

/// Called once a round: every 10 ms the oldest seed joins the ring, however many younger ones come. (Tried: a quarter of them, and one
/// each round. Either opened so many subtrees at a time that the bed overflowed and the walk was breadth first again.)
void ecru__bed_age(ecru__processor *p) {
  int64_t now = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  if (now - p->bed_aged < 10 * ECRU_MILLISECOND) return;
  p->bed_aged = now;
  ecru__bed_flush(p, 1);
}

static void *ahead(ecru__processor *p, uint32_t at) {
  return (void *)((uintptr_t)atomic_load_explicit(&p->ring[at % ECRU__RING], memory_order_relaxed) & ~(uintptr_t)1);
}

/// In a crowd what runs next lies on pages long out of every cache. Has the processor load, for a goroutine some places ahead, its
/// control block, and for a nearer one, whose control block has come meanwhile, the top frames of its stack.
static inline void fetch_ahead(ecru__processor *p, uint32_t head, uint32_t tail) {
  enum { FAR = 6, NEAR = 2, FRAMES = 8, CROWD = 96 }; // below a crowd all is in the caches (64 goroutines that yield: 24 ns, with it 33)
  if (ECRU__LIKELY(tail - head < CROWD)) return;
  char *far = ahead(p, head + FAR);
  __builtin_prefetch(far, 1);
  __builtin_prefetch(far + 64, 1);
  ecru__goroutine *near = atomic_load_explicit(&p->ring[(head + NEAR) % ECRU__RING], memory_order_relaxed);
  if (ecru__is_seed(near)) return;
  __builtin_prefetch((char *)near + 128, 1); // what its end looks at
  __builtin_prefetch((char *)near + 192, 1);
  // Racy if a thief takes it meanwhile: the address is only a hint then.
  const char *frames = __atomic_load_n((char **)&near->waiter.context, __ATOMIC_RELAXED);
  for (int i = 0; i < FRAMES; i++) __builtin_prefetch(frames + i * 64, 1);
}

ecru__goroutine *ecru__queue_pop(ecru__processor *p) {
  uint32_t head = atomic_load_explicit(&p->head, memory_order_acquire);
  for (;;) {
    uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
    if (tail == head) return NULL;
    ecru__goroutine *g = atomic_load_explicit(&p->ring[head % ECRU__RING], memory_order_relaxed);
    // acq_rel: pairs with the thieves' compare-and-swap; only its winner owns g
    if (atomic_compare_exchange_weak_explicit(&p->head, &head, head + 1, memory_order_acq_rel, memory_order_acquire)) {
      fetch_ahead(p, head + 1, tail);
      return g;
    }
  }
}

/// How many to take from the global queue at most: half a ring with what is there. More would soon overflow and go back,
/// and all would be cold again when they run. But always a few: they have waited longest (G2).
static uint32_t global_share(ecru__processor *p) {
  enum { HALF = ECRU__RING / 2, FEW = 8 };
  uint32_t queued = atomic_load_explicit(&p->tail, memory_order_relaxed) - atomic_load_explicit(&p->head, memory_order_relaxed);
  return queued < HALF - FEW ? HALF - queued : FEW; // head may have moved meanwhile: then it is too few, which does no harm
}

ecru__goroutine *ecru__queue_global_pop(ecru__processor *p) {
  if (atomic_load_explicit(&ecru__sched.global_count, memory_order_acquire) == 0) return NULL;
  ecru__goroutine *items[ECRU__RING / 2];
  uint32_t maxprocs = atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed);
  uint32_t room = global_share(p);
  ecru__lock_take(&ecru__sched.global_lock);
  uint32_t waiting = atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed);
  uint32_t take = waiting / maxprocs + 1;
  if (take > waiting) take = waiting;
  if (take > room) take = room;
  for (uint32_t i = 0; i < take; i++) items[i] = global_take();
  atomic_store_explicit(&ecru__sched.global_count, waiting - take, memory_order_release);
  ecru__lock_drop(&ecru__sched.global_lock);
  for (uint32_t i = 1; i < take; i++) ring_push(p, items[i]);
  return take > 0 ? items[0] : NULL;
}

/// Does the victim switch so often that a goroutine alone in its ring is better left there? Where the wake of a processor costs
/// more than the work (producers and consumers of single values), stealing it only makes the pair run across two caches.
static bool comes_to_it_soon(ecru__processor *victim) {
  enum { LOOKS = 40 }; // some 1 to 2 us
  uint32_t tick = ECRU__LOOK(victim->tick);
  for (int i = 0; i < LOOKS; i++) {
    ecru__thread_pause();
    if (ECRU__LOOK(victim->tick) != tick) return true;
  }
  return false;
}

/// Takes half of the victim's ring into p's (empty) ring. returns: one of them to run at once, or NULL.
ecru__goroutine *ecru__queue_steal(ecru__processor *p, ecru__processor *victim) {
  uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
  for (;;) {
    uint32_t head = atomic_load_explicit(&victim->head, memory_order_acquire);
    uint32_t end = atomic_load_explicit(&victim->tail, memory_order_acquire); // acquire: pairs with the owner's release of tail
    uint32_t count = end - head;
    count -= count / 2;
    if (count == 0) return NULL;
    if (end - head == 1 && comes_to_it_soon(victim)) return NULL;
    if (count > ECRU__RING / 2) continue; // head and tail were read inconsistently
    for (uint32_t i = 0; i < count; i++) {
      ecru__goroutine *g = atomic_load_explicit(&victim->ring[(head + i) % ECRU__RING], memory_order_relaxed);
      atomic_store_explicit(&p->ring[(tail + i) % ECRU__RING], g, memory_order_relaxed);
    }
    // acq_rel: pairs with the other takers' compare-and-swap: only now the copies are ours
    if (!atomic_compare_exchange_strong_explicit(&victim->head, &head, head + count, memory_order_acq_rel, memory_order_acquire)) {
      ECRU__RARE(steal_lost); // stress.stress_scheduler.random_lives_on_many_processors
      continue;
    }
    count--;
    ecru__goroutine *g = atomic_load_explicit(&p->ring[(tail + count) % ECRU__RING], memory_order_relaxed);
    if (count > 0) atomic_store_explicit(&p->tail, tail + count, memory_order_release);
    ECRU__SET(p->steals, p->steals + 1);
    return g;
  }
}

/// Moves everything runnable of p to the global queue (p is retired or its goroutines must not wait for it).
void ecru__queue_flush(ecru__processor *p) {
  ecru__goroutine *g = p->next;
  ECRU__SET(p->next, NULL);
  if (g) ecru__queue_global(g);
  ecru__bed_flush(p, p->bed.count);
  while ((g = ecru__queue_pop(p)) != NULL) ecru__queue_global(g);
}

void ecru__queue_in_child(void) { memset(&global, 0, sizeof global); }
