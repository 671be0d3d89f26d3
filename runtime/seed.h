/// runtime/seed.h: goroutines that have not run yet.
///
/// A goroutine needs a stack only from its first instruction on. Until then it is a seed: a record of 160 bytes in the run queues. So a
/// loop that starts a hundred thousand short goroutines runs them all on one hot stack, instead of touching a hundred
/// thousand cold pages (2 us each). What a seed cannot hold (a name, another stack size, pinning, a large copied argument, a
/// scoped value) makes ecru__spawn take the stack at once.
///
/// That a stack can be had is settled when the seed is sown: every goroutine, started or not, has a *right* to a stack of
/// default size, and no more rights are granted than stacks are mapped and guarded (stack.c). So ECRU_ENOMEM comes from
/// ecru_go, never later.
#ifndef ECRU_RUNTIME_SEED_H
#define ECRU_RUNTIME_SEED_H
#include "runtime/scheduler.h"

enum { ECRU__SEED_COPY = 56 };

typedef struct ecru__seed {
  struct ecru__seed *next;      // in a free or spill list: that list's lock
  ecru_fn fn;                   // these as in ecru__goroutine
  void *argument;
  ecru_fn at_end;
  void *at_end_argument;
  ecru_token *token;            // counted
  uint64_t id, parent_id;
  void *site;
  int64_t started_ns;
  uint32_t copy_bytes;
  _Atomic uint32_t in_use;      // atomic: for dumps
  _Alignas(16) unsigned char copy[ECRU__SEED_COPY];
} ecru__seed;

static inline bool ecru__is_seed(const ecru__goroutine *g) { return ((uintptr_t)g & 1) != 0; }
static inline ecru__seed *ecru__seed_of(ecru__goroutine *g) { return (ecru__seed *)((uintptr_t)g & ~(uintptr_t)1); }
/// Where a list of the two kinds goes on.
static inline ecru__goroutine **ecru__link_of(ecru__goroutine *g) {
  return ecru__is_seed(g) ? (ecru__goroutine **)(void *)&ecru__seed_of(g)->next : &g->queue_next;
}
static inline ecru__goroutine *ecru__seed_runnable(ecru__seed *seed) { return (ecru__goroutine *)((uintptr_t)seed | 1); }

/// An unused seed; NULL: out of memory.
ecru__seed *ecru__seed_take(ecru__processor *p);
void ecru__seed_give(ecru__processor *p, ecru__seed *seed);
/// Makes the goroutine of a seed (goroutine.c). NULL: all unused stacks lie in other processors' caches; the seed stays as it is.
ecru__goroutine *ecru__sprout(ecru__worker *w, ecru__goroutine *seed);
/// Calls visit for every seed sown and not yet sprouted, racily.
void ecru__seeds_visit(bool (*visit)(void *context, const ecru__seed *seed), void *context);
void ecru__seeds_release_all(void);
#endif
