/// tests/stress/timer.c: timers stopped, reset and destroyed while they fire (K6).
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static _Atomic uint64_t seeds;
static uint64_t own_seed(void) { return test_seed() + atomic_fetch_add(&seeds, 1) * 0x9e37; }

static void in_goroutines_and_threads(int goroutines, ecru_fn fn, void *(*thread_fn)(void *)) {
  ecru_waitgroup *group;
  pthread_t thread;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(pthread_create(&thread, NULL, thread_fn, NULL), 0);
  for (int i = 0; i < goroutines; i++) CHECK_EQ(ecru_waitgroup_go(group, fn, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru_waitgroup_destroy(group);
}

static void pause_randomly(uint64_t *random) {
  uint64_t choice = test_random_below(random, 4);
  if (choice == 0) CHECK_EQ(ecru_yield(), 0);
  if (choice == 1) CHECK_EQ(ecru_sleep((int64_t)test_random_below(random, 20000)), 0);
  if (choice == 2) for (volatile uint64_t i = test_random_below(random, 3000); i > 0; i--) {}
}

/// After stop nothing can be taken; after reset nothing older than the reset.
static void stop_and_reset(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  ecru_timer *timer;
  CHECK_EQ(ecru_timer_create(&timer, 0), 0);
  for (long i = test_scaled(2000); i > 0; i--) {
    int64_t scheduled = 0, before = ecru_now(), duration = (int64_t)test_random_below(&random, 10000);
    CHECK(ecru_timer_reset(timer, duration) >= 0);
    pause_randomly(&random);
    if (test_random_below(&random, 2)) {
      CHECK(ecru_timer_stop(timer) >= 0);
      CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
      pause_randomly(&random);
      CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
      CHECK_EQ(ecru_timer_stop(timer), 0);
    } else {
      CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
      CHECK(scheduled >= before + duration);
      CHECK(ecru_now() >= scheduled);
      CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
    }
  }
  ecru_timer_destroy(timer);
}
static void *stop_and_reset_thread(void *unused) {
  stop_and_reset(unused);
  return NULL;
}
static void stop_body(void *unused) {
  (void)unused;
  in_goroutines_and_threads(8, stop_and_reset, stop_and_reset_thread);
}
TEST(timer, no_stale_tick_is_ever_received) { run(stop_body); } // K6

/// Each arming ends in exactly one way: prevented or taken.
static ecru_timer *shared_timer;
static _Atomic long armed, taken, prevented;
static _Atomic int over;
static void take_shared(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
    int status = ecru_timer_wait(shared_timer, NULL);
    if (status == 0) atomic_fetch_add(&taken, 1);
    CHECK_EQ(ecru_token_leave(), 0);
  }
}
static void arm_shared(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  for (long i = test_scaled(3000); i > 0; i--) {
    int status;
    if (test_random_below(&random, 3)) {
      status = ecru_timer_reset(shared_timer, (int64_t)test_random_below(&random, 5000));
      atomic_fetch_add(&armed, 1);
    } else {
      status = ecru_timer_stop(shared_timer);
    }
    CHECK(status == 0 || status == 1);
    if (status == 1) atomic_fetch_add(&prevented, 1);
    pause_randomly(&random);
  }
}
static void *arm_shared_thread(void *unused) {
  arm_shared(unused);
  return NULL;
}
static void shared_body(void *unused) {
  (void)unused;
  ecru_waitgroup *takers;
  CHECK_EQ(ecru_waitgroup_create(&takers), 0);
  CHECK_EQ(ecru_timer_create(&shared_timer, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_timer_stop(shared_timer), 1);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_waitgroup_go(takers, take_shared, NULL), 0);
  in_goroutines_and_threads(4, arm_shared, arm_shared_thread);
  if (ecru_timer_stop(shared_timer) == 1) atomic_fetch_add(&prevented, 1);
  atomic_store(&over, 1);
  CHECK_EQ(ecru_waitgroup_wait(takers), 0);
  CHECK_EQ(atomic_load(&armed), atomic_load(&taken) + atomic_load(&prevented));
  ecru_timer_destroy(shared_timer);
  ecru_waitgroup_destroy(takers);
}
TEST(timer, every_arming_is_either_prevented_or_taken) { run(shared_body); } // K6

/// ... and for an after-func: prevented or run.
static _Atomic long runs;
static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
}
static void arm_func(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  ecru_timer *timer;
  CHECK_EQ(ecru_after_func(&timer, 1000, count_run, NULL), 0);
  long arms = 1, stopped = 0;
  for (long i = test_scaled(1000); i > 0; i--) {
    pause_randomly(&random);
    bool reset = test_random_below(&random, 2);
    int status = reset ? ecru_timer_reset(timer, (int64_t)test_random_below(&random, 5000)) : ecru_timer_stop(timer);
    CHECK(status == 0 || status == 1);
    arms += reset;
    stopped += status;
  }
  stopped += ecru_timer_stop(timer);
  ecru_timer_destroy(timer);
  atomic_fetch_add(&armed, arms);
  atomic_fetch_add(&prevented, stopped);
}
static void *arm_func_thread(void *unused) {
  arm_func(unused);
  return NULL;
}
static void func_body(void *unused) {
  (void)unused;
  in_goroutines_and_threads(8, arm_func, arm_func_thread);
  for (int i = 0; i < 10000 && atomic_load(&runs) + atomic_load(&prevented) != atomic_load(&armed); i++)
    CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&runs) + atomic_load(&prevented), atomic_load(&armed));
}
TEST(timer, every_after_func_is_either_prevented_or_run) { run(func_body); } // K6

static void create_and_destroy(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  for (long i = test_scaled(2000); i > 0; i--) {
    ecru_timer *timer;
    int64_t duration = 1 + (int64_t)test_random_below(&random, 5000);
    switch (test_random_below(&random, 3)) {
    case 0: CHECK_EQ(ecru_timer_create(&timer, duration), 0); break;
    case 1: CHECK_EQ(ecru_ticker_create(&timer, duration), 0); break;
    default: CHECK_EQ(ecru_after_func(&timer, duration, count_run, NULL), 0);
    }
    pause_randomly(&random);
    ecru_timer_destroy(timer);
  }
}
static void *create_and_destroy_thread(void *unused) {
  create_and_destroy(unused);
  return NULL;
}
static void destroy_body(void *unused) {
  (void)unused;
  in_goroutines_and_threads(8, create_and_destroy, create_and_destroy_thread);
}
TEST(timer, destroy_against_the_firing) { run(destroy_body); } // K6

static void sleep_often(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  for (long i = test_scaled(200); i > 0; i--) {
    int64_t until = ecru_after((int64_t)test_random_below(&random, 200000));
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&random, 400000))), 0);
    int status = ecru_sleep_until(until);
    CHECK(status == ECRU_ETIMEDOUT || (status == 0 && ecru_now() >= until));
    CHECK_EQ(ecru_token_leave(), 0);
  }
}
static void *sleep_often_thread(void *unused) {
  sleep_often(unused);
  return NULL;
}
static void sleep_body(void *unused) {
  (void)unused;
  in_goroutines_and_threads(200, sleep_often, sleep_often_thread);
}
TEST(timer, sleepers_and_their_deadlines) { run(sleep_body); } // K6, K2

/// The number of processors changes under the timers' feet.
static void change_maxprocs(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  do CHECK_EQ(ecru_set_maxprocs(1 + (int)test_random_below(&random, 4)), 0);
  while (!atomic_load(&over) && ecru_sleep(300 * ECRU_MICROSECOND) == 0);
}
static void maxprocs_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_go(change_maxprocs, NULL), 0);
  in_goroutines_and_threads(8, stop_and_reset, stop_and_reset_thread);
  atomic_store(&over, 1);
}
TEST(timer, timers_survive_changes_of_maxprocs) { run(maxprocs_body); } // K6, G5
