/// runtime/lock.h: the lock inside every object one can wait on.
///
/// Held for a few dozen instructions, but sometimes across a switch: the parker takes it, the next context on the
/// same thread drops it (park.h), so it has no owner. A spin lock whose release is a plain store: a futex lock's release is a
/// locked instruction (5 ns here, four of them in a channel round trip). A waiter spins little, then yields its
/// thread, then sleeps, because the holder may have been descheduled (spinning with PAUSE lost on 2 virtual CPUs).
#ifndef ECRU_RUNTIME_LOCK_H
#define ECRU_RUNTIME_LOCK_H
#include <stdatomic.h>
#include <stdint.h>

#define ECRU__LIKELY(x) __builtin_expect(!!(x), 1)
#define ECRU__UNLIKELY(x) __builtin_expect(!!(x), 0)

typedef struct ecru__lock {
  _Atomic uint32_t word; // atomic: 1 while held
} ecru__lock;

void ecru__lock_contended(ecru__lock *lock);

static inline int ecru__lock_try(ecru__lock *lock) {
  // acquire: pairs with the release in ecru__lock_drop
  return atomic_exchange_explicit(&lock->word, 1, memory_order_acquire) == 0;
}
static inline void ecru__lock_take(ecru__lock *lock) {
  if (ECRU__UNLIKELY(!ecru__lock_try(lock))) ecru__lock_contended(lock);
}
static inline void ecru__lock_drop(ecru__lock *lock) {
  atomic_store_explicit(&lock->word, 0, memory_order_release);
}
#endif
