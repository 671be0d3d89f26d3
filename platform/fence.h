/// platform/fence.h: the asymmetric fence. light() on the hot side and heavy() on the rare side order stores before loads
/// between threads as two full fences would. Mechanisms: fence/membarrier.c, fence/symmetric.c (portable reference). Where
/// the system cannot reach the other threads, light() is a full fence too.
#ifndef ECRU_PLATFORM_FENCE_H
#define ECRU_PLATFORM_FENCE_H
#include <stdatomic.h>
#if defined(__SANITIZE_THREAD__)
#define ECRU__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ECRU__TSAN 1
#endif
#endif

/// Registers the process; call before any thread uses light(). Sets ecru__fence_is_asymmetric.
void ecru__fence_init(void);
/// Forces the symmetric fallback (tests).
void ecru__fence_force_symmetric(void);
/// set once (before threads start): 1 if heavy() really reaches the other threads.
extern int ecru__fence_is_asymmetric;

/// The hot side: free of locked instructions where heavy() works.
static inline void ecru__fence_light(void) {
#if defined(ECRU__TSAN)
  extern _Atomic int ecru__fence_word; // TSan understands no fences: a seq_cst RMW on one word orders as one would
  atomic_fetch_add_explicit(&ecru__fence_word, 0, memory_order_seq_cst);
#else
  if (__builtin_expect(ecru__fence_is_asymmetric, 1))
    atomic_signal_fence(memory_order_seq_cst);
  else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}
/// The rare side: a full fence here and in every running thread of the process. Costs up to tens of microseconds.
void ecru__fence_heavy(void);
#endif
