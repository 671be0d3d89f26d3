/// runtime/seed.c: the store of seeds. Cut from chunks of 64, cached by processors (LIFO) in front of a common pool, since they are
/// often sown on one processor and sprout on another. Chunks live until the runtime stops.
#include "runtime/seed.h"
#include "runtime/fork.h"

#include "platform/memory.h"

enum { CHUNK = 64, CACHED_MAX = 256, MOVED = 128 };

typedef struct chunk {
  struct chunk *next;
  ecru__seed seeds[CHUNK];
} chunk;

static struct {
  ecru__lock lock;
  ecru__seed *free;              // lock
  _Atomic(chunk *) chunks;       // atomic: pushed under lock, walked without
} pool;

/// Moves up to MOVED seeds from the pool, or a new chunk, to p.
static void refill(ecru__processor *p) {
  ecru__lock_take(&pool.lock);
  for (int i = 0; i < MOVED && pool.free; i++) {
    ecru__seed *seed = pool.free;
    pool.free = seed->next;
    seed->next = p->seeds;
    p->seeds = seed;
    p->seed_count++;
  }
  chunk *fresh = p->seeds ? NULL : ecru__calloc(1, sizeof *fresh);
  if (fresh) {
    fresh->next = atomic_load_explicit(&pool.chunks, memory_order_relaxed);
    atomic_store_explicit(&pool.chunks, fresh, memory_order_release); // release: pairs with the walkers' acquire
    for (int i = CHUNK; i-- > 0;) {
      fresh->seeds[i].next = p->seeds;
      p->seeds = &fresh->seeds[i];
    }
    p->seed_count += CHUNK;
  }
  ecru__lock_drop(&pool.lock);
}

ecru__seed *ecru__seed_take(ecru__processor *p) {
  if (ECRU__UNLIKELY(!p->seeds)) refill(p);
  ecru__seed *seed = p->seeds;
  if (ECRU__UNLIKELY(!seed)) return NULL;
  p->seeds = seed->next;
  p->seed_count--;
  return seed;
}

static void spill(ecru__processor *p) {
  ecru__lock_take(&pool.lock);
  for (int i = 0; i < MOVED; i++) {
    ecru__seed *seed = p->seeds;
    p->seeds = seed->next;
    seed->next = pool.free;
    pool.free = seed;
  }
  ecru__lock_drop(&pool.lock);
  p->seed_count -= MOVED;
}

void ecru__seed_give(ecru__processor *p, ecru__seed *seed) {
  atomic_store_explicit(&seed->in_use, 0, memory_order_relaxed);
  seed->next = p->seeds;
  p->seeds = seed;
  if (ECRU__UNLIKELY(++p->seed_count > CACHED_MAX)) spill(p);
}

void ecru__seeds_visit(bool (*visit)(void *context, const ecru__seed *seed), void *context) {
  for (chunk *c = atomic_load_explicit(&pool.chunks, memory_order_acquire); c; c = c->next)
    for (int i = 0; i < CHUNK; i++)
      if (atomic_load_explicit(&c->seeds[i].in_use, memory_order_acquire) && !visit(context, &c->seeds[i])) return;
}

void ecru__seeds_release_all(void) {
  chunk *c = atomic_exchange(&pool.chunks, NULL);
  pool.free = NULL;
  while (c) {
    chunk *following = c->next;
    ecru__free(c);
    c = following;
  }
}

void ecru__seeds_in_child(void) {
  pool.lock = (ecru__lock){0};
  pool.free = NULL;
  atomic_store_explicit(&pool.chunks, NULL, memory_order_relaxed);
}
