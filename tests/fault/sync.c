/// tests/fault/sync.c: synchronisation when memory runs out: each allocation of each call fails in turn, the call says
/// ECRU_ENOMEM, nothing changes and nothing leaks (L1, L2).
#include "syncs.h"

#include "platform/fault.h"

static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *group;
static ecru_once *once;
static ecru_semaphore *semaphore;
static ecru_barrier *barrier;
static ecru_singleflight *flight;
static ecru_limiter *limiter;

static int create_mutex(void) { return ecru_mutex_create(&mutex); }
static int create_rwmutex(void) { return ecru_rwmutex_create(&rwmutex); }
static int create_cond(void) { return ecru_cond_create(&cond); }
static int create_group(void) { return ecru_waitgroup_create(&group); }
static int create_once(void) { return ecru_once_create(&once); }
static int create_semaphore(void) { return ecru_semaphore_create(&semaphore, 1); }
static int create_barrier(void) { return ecru_barrier_create(&barrier, 1); }
static int create_flight(void) { return ecru_singleflight_create(&flight); }
static int create_limiter(void) { return ecru_limiter_create(&limiter, 1000, 1); }

/// Calls fn with the 1st, 2nd ... allocation (or mapping) failing until it needs no more. returns: how often it failed.
static int walk(int kind, int (*fn)(void)) {
  for (int n = 1;; n++) {
    ecru__fault_set(kind, (uint64_t)n, 0);
    int status = fn();
    bool reached = ecru__fault_count(kind) >= (uint64_t)n;
    ecru__fault_set(kind, 0, 0);
    if (!reached) {
      CHECK_EQ(status, 0);
      return n - 1;
    }
    if (status == 0) return n - 1; // it could do without
    CHECK_EQ(status, ECRU_ENOMEM);
  }
}

static void create_each(void *unused) {
  (void)unused;
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_mutex), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_rwmutex), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_cond), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_group), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_once), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_semaphore), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_barrier), 1);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_flight), 2);
  CHECK_EQ(walk(ECRU__FAULT_ALLOC, create_limiter), 1);
  ecru_mutex_destroy(mutex);
  ecru_rwmutex_destroy(rwmutex);
  ecru_cond_destroy(cond);
  ecru_waitgroup_destroy(group);
  ecru_once_destroy(once);
  ecru_semaphore_destroy(semaphore);
  ecru_barrier_destroy(barrier);
  ecru_singleflight_destroy(flight);
  ecru_limiter_destroy(limiter);
}
TEST(sync, create_fails_without_memory) { // L1, L2
  in_virtual_time(create_each);
}

static int started;
static void count_start(void *unused) {
  (void)unused;
  started++;
  ecru_sleep(ECRU_SECOND); // its stack is not there for the next
}
static int go_in_group(void) { return ecru_waitgroup_go(group, count_start, NULL); }

static void go_without_memory(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  int expected = 0, failed = 0;
  for (int i = 0; i < 200; i++, expected++) failed += walk(ECRU__FAULT_ALLOC, go_in_group);
  for (int i = 0; i < 200; i++, expected++) failed += walk(ECRU__FAULT_MAP, go_in_group);
  CHECK(failed > 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0); // not counted when not started
  CHECK_EQ(started, expected);
  ecru_waitgroup_destroy(group);
}
TEST(sync, waitgroup_go_without_memory_leaves_the_counter) { // L1
  in_virtual_time(go_without_memory);
}

static int fetch(void *unused, void **result) {
  (void)result;
  count_start(unused);
  return 0;
}
static int do_flight(void) { return ecru_singleflight_do(flight, "key", fetch, NULL, NULL, NULL); }
static int many_flights_index;
static void do_another_flight(void *unused) {
  (void)unused;
  char key[2] = {(char)('A' + many_flights_index++), 0};
  CHECK_EQ(ecru_singleflight_do(flight, key, fetch, NULL, NULL, NULL), 0);
}

static void fly_without_memory(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  CHECK(walk(ECRU__FAULT_ALLOC, do_flight) >= 2);
  walk(ECRU__FAULT_MAP, do_flight);
  for (int i = 0; i < 16; i++) start(do_another_flight, NULL); // the table is full
  all_others_parked();
  CHECK(walk(ECRU__FAULT_ALLOC, do_flight) >= 2); // among them: the larger table, which it can do without
  join_crew();
  ecru_singleflight_destroy(flight);
}
TEST(sync, singleflight_without_memory) { // L1
  in_virtual_time(fly_without_memory);
}

static int wait_limiter(void) { return ecru_limiter_wait(limiter, 1); }
static void sleep_long(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
}

static void limit_without_memory(void *unused) {
  (void)unused;
  CHECK_EQ(create_limiter(), 0);
  CHECK_EQ(wait_limiter(), 0); // the burst
  int failed = 0;
  for (int sleepers = 0; sleepers < 300; sleepers++) { // the timer heap has to grow now and then
    start(sleep_long, NULL);
    CHECK_EQ(ecru_yield(), 0);
    failed += walk(ECRU__FAULT_ALLOC, wait_limiter);
  }
  CHECK(failed > 0);
  CHECK_EQ(wait_limiter(), 0); // it still works
  join_crew();
  ecru_limiter_destroy(limiter);
}
TEST(sync, limiter_without_memory) { // L1
  in_virtual_time(limit_without_memory);
}
