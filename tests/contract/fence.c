/// tests/contract/fence.c: what platform/fence.h promises, by Dekker's litmus test: each side stores its flag, fences, and
/// reads the other's. That both read the old value is what the two fences rule out.
#include "platform/fence.h"
#include "test.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>

static _Atomic int mine, theirs;   // the flags, relaxed: only the fences order them
static _Atomic long round_open;    // the round the other side may run
static _Atomic long round_done;    // the last round it has run
static int they_saw;
static long rounds;

static void await(_Atomic long *counter, long value) {
  for (int spins = 0; atomic_load_explicit(counter, memory_order_acquire) < value; spins++)
    if (spins > 200) sched_yield();
}

static void *hot_side(void *argument) {
  for (long round = 1; round <= rounds; round++) {
    await(&round_open, round);
    atomic_store_explicit(&theirs, 1, memory_order_relaxed);
    ecru__fence_light();
    they_saw = atomic_load_explicit(&mine, memory_order_relaxed);
    atomic_store_explicit(&round_done, round, memory_order_release); // release: pairs with await()
  }
  return argument;
}

static void check_dekker(void) {
  rounds = test_scaled(20000);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, hot_side, NULL), 0);
  long violations = 0;
  for (long round = 1; round <= rounds; round++) {
    atomic_store_explicit(&mine, 0, memory_order_relaxed);
    atomic_store_explicit(&theirs, 0, memory_order_relaxed);
    atomic_store_explicit(&round_open, round, memory_order_release); // release: pairs with await()
    for (volatile int delay = 0; delay < round % 64; delay++) {}     // meet the other side at every offset
    atomic_store_explicit(&mine, 1, memory_order_relaxed);
    ecru__fence_heavy();
    int i_saw = atomic_load_explicit(&theirs, memory_order_relaxed);
    await(&round_done, round);
    violations += i_saw == 0 && they_saw == 0;
  }
  pthread_join(thread, NULL);
  CHECK_EQ(violations, 0);
}

TEST(fence, light_and_heavy_order_store_before_load) {
  errno = EXFULL;
  ecru__fence_init();
  CHECK_EQ(errno, EXFULL);
  check_dekker();
}

TEST(fence, the_symmetric_fallback_orders_as_well) {
  ecru__fence_init();
  ecru__fence_force_symmetric();
  CHECK_EQ(ecru__fence_is_asymmetric, 0);
  check_dekker();
}

TEST(fence, without_init_it_is_symmetric) {
  CHECK_EQ(ecru__fence_is_asymmetric, 0);
  check_dekker();
}

TEST(fence, heavy_leaves_errno_alone) {
  ecru__fence_init();
  errno = EXFULL;
  ecru__fence_heavy();
  ecru__fence_light();
  CHECK_EQ(errno, EXFULL);
}
