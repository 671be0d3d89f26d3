/// platform/fault.c: the counters behind fault.h; empty in a normal build.
///
/// Counters are per kind and for the whole process: a test that wants the n-th failure of a concurrent operation gets
/// some interleaving's n-th, which is what walking through all n covers anyway.
#include "platform/fault.h"

#ifdef ECRU_FAULT_INJECTION
#include <assert.h>
#include <stdatomic.h>

/// One kind's plan. Relaxed throughout: the counters order nothing else.
struct plan {
  _Atomic uint64_t calls;  ///< atomic: calls since the plan was set
  _Atomic uint64_t nth;    ///< atomic: the call that fails; 0: none
  _Atomic int repeat;      ///< atomic: the later ones fail too
};

static struct plan plans[ECRU__FAULT_KINDS];

int ecru__fault_hit(int kind) {
  assert(kind >= 0 && kind < ECRU__FAULT_KINDS);
  struct plan *plan = &plans[kind];
  uint64_t call = atomic_fetch_add_explicit(&plan->calls, 1, memory_order_relaxed) + 1;
  uint64_t nth = atomic_load_explicit(&plan->nth, memory_order_relaxed);
  if (nth == 0) return 0;
  return call == nth || (call > nth && atomic_load_explicit(&plan->repeat, memory_order_relaxed));
}

void ecru__fault_set(int kind, uint64_t nth, int repeat) {
  assert(kind >= 0 && kind < ECRU__FAULT_KINDS);
  struct plan *plan = &plans[kind];
  atomic_store_explicit(&plan->nth, 0, memory_order_relaxed); // no call may see the old count with the new nth
  atomic_store_explicit(&plan->repeat, repeat, memory_order_relaxed);
  atomic_store_explicit(&plan->calls, 0, memory_order_relaxed);
  atomic_store_explicit(&plan->nth, nth, memory_order_relaxed);
}

uint64_t ecru__fault_count(int kind) {
  assert(kind >= 0 && kind < ECRU__FAULT_KINDS);
  return atomic_load_explicit(&plans[kind].calls, memory_order_relaxed);
}
#else
typedef int ecru__fault_is_empty; // ISO C wants a declaration in every file
#endif
