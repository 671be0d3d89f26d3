/// tests/death/sync.c: misuse of locks that ends the process (L2): destroying what somebody holds or waits for.
#include "syncs.h"

#include <signal.h>

static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *group;
static ecru_once *once;
static ecru_semaphore *semaphore;
static ecru_barrier *barrier;
static ecru_singleflight *flight;
static ecru_limiter *limiter;

static void lock_mutex(void *unused) {
  (void)unused;
  ecru_mutex_lock(mutex);
}
static void wait_cond(void *unused) {
  lock_mutex(unused);
  ecru_cond_wait(cond, mutex);
}
static void read_lock(void *unused) {
  (void)unused;
  ecru_rwmutex_read_lock(rwmutex);
}
static void wait_group(void *unused) {
  (void)unused;
  ecru_waitgroup_wait(group);
}
static void sleep_long(void *unused) {
  (void)unused;
  ecru_sleep(ECRU_SECOND);
}
static void do_once(void *unused) {
  (void)unused;
  ecru_once_do(once, sleep_long, NULL);
}
static void acquire(void *unused) {
  (void)unused;
  ecru_semaphore_acquire(semaphore, 1);
}
static void wait_barrier(void *unused) {
  (void)unused;
  ecru_barrier_wait(barrier);
}
static int fly(void *unused, void **result) {
  (void)result;
  sleep_long(unused);
  return 0;
}
static void do_flight(void *unused) {
  (void)unused;
  ecru_singleflight_do(flight, "key", fly, NULL, NULL, NULL);
}
static void wait_limiter(void *unused) {
  (void)unused;
  ecru_limiter_wait(limiter, 1);
}

static void start_and_park(ecru_fn fn) {
  start(fn, NULL);
  all_others_parked();
}

static void destroy_locked_mutex(void *unused) {
  ecru_mutex_create(&mutex);
  lock_mutex(unused);
  ecru_mutex_destroy(mutex);
}
static void destroy_read_locked(void *unused) {
  ecru_rwmutex_create(&rwmutex);
  read_lock(unused);
  ecru_rwmutex_destroy(rwmutex);
}
static void destroy_write_locked(void *unused) {
  (void)unused;
  ecru_rwmutex_create(&rwmutex);
  ecru_rwmutex_lock(rwmutex);
  ecru_rwmutex_destroy(rwmutex);
}
static void destroy_rwmutex_waited_for(void *unused) {
  (void)unused;
  ecru_rwmutex_create(&rwmutex);
  ecru_rwmutex_lock(rwmutex);
  start_and_park(read_lock);
  ecru_rwmutex_destroy(rwmutex);
}
static void destroy_cond(void *unused) {
  (void)unused;
  ecru_mutex_create(&mutex);
  ecru_cond_create(&cond);
  start_and_park(wait_cond);
  ecru_cond_destroy(cond);
}
static void destroy_group(void *unused) {
  (void)unused;
  ecru_waitgroup_create(&group);
  ecru_waitgroup_add(group, 1);
  start_and_park(wait_group);
  ecru_waitgroup_destroy(group);
}
static void destroy_once(void *unused) {
  (void)unused;
  ecru_once_create(&once);
  start_and_park(do_once);
  ecru_once_destroy(once);
}
static void destroy_semaphore(void *unused) {
  ecru_semaphore_create(&semaphore, 1);
  acquire(unused);
  start_and_park(acquire);
  ecru_semaphore_destroy(semaphore);
}
static void destroy_barrier(void *unused) {
  (void)unused;
  ecru_barrier_create(&barrier, 2);
  start_and_park(wait_barrier);
  ecru_barrier_destroy(barrier);
}
static void destroy_flight(void *unused) {
  (void)unused;
  ecru_singleflight_create(&flight);
  start_and_park(do_flight);
  ecru_singleflight_destroy(flight);
}
static void destroy_limiter(void *unused) {
  ecru_limiter_create(&limiter, 0.001, 1);
  wait_limiter(unused);
  start_and_park(wait_limiter);
  ecru_limiter_destroy(limiter);
}

#define DEATH(name)                                               \
  static void name##_in_runtime(void) { in_virtual_time(name); }
DEATH(destroy_locked_mutex)
DEATH(destroy_read_locked)
DEATH(destroy_write_locked)
DEATH(destroy_rwmutex_waited_for)
DEATH(destroy_cond)
DEATH(destroy_group)
DEATH(destroy_once)
DEATH(destroy_semaphore)
DEATH(destroy_barrier)
DEATH(destroy_flight)
DEATH(destroy_limiter)

TEST(sync, destroying_what_somebody_holds_is_a_panic) { // L2
  test_death(destroy_locked_mutex_in_runtime, -SIGABRT, "panic: ecru_mutex_destroy");
  test_death(destroy_read_locked_in_runtime, -SIGABRT, "panic: ecru_rwmutex_destroy");
  test_death(destroy_write_locked_in_runtime, -SIGABRT, "the mutex is locked");
}

TEST(sync, destroying_what_somebody_waits_for_is_a_panic) { // L2
  test_death(destroy_rwmutex_waited_for_in_runtime, -SIGABRT, "somebody waits for the mutex");
  test_death(destroy_cond_in_runtime, -SIGABRT, "panic: ecru_cond_destroy");
  test_death(destroy_group_in_runtime, -SIGABRT, "panic: ecru_waitgroup_destroy");
  test_death(destroy_once_in_runtime, -SIGABRT, "panic: ecru_once_destroy");
  test_death(destroy_semaphore_in_runtime, -SIGABRT, "panic: ecru_semaphore_destroy");
  test_death(destroy_barrier_in_runtime, -SIGABRT, "panic: ecru_barrier_destroy");
  test_death(destroy_flight_in_runtime, -SIGABRT, "panic: ecru_singleflight_destroy");
  test_death(destroy_limiter_in_runtime, -SIGABRT, "panic: ecru_limiter_destroy");
}
