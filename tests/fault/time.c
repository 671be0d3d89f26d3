/// tests/fault/time.c: sleeping and timers when memory runs out (K6).
#include "platform/fault.h"
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static _Atomic int runs;
static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
}

static void create_body(void *unused) {
  (void)unused;
  enum { TIMERS = 300 }; // more than a heap has room for at first
  static ecru_timer *timers[TIMERS];
  int refused = 0;
  for (int i = 0; i < TIMERS; i++) {
    int status = ECRU_ENOMEM;
    for (uint64_t nth = 1; status == ECRU_ENOMEM; nth++) {
      timers[i] = NULL;
      ecru__fault_set(ECRU__FAULT_ALLOC, nth, 0);
      if (i % 3 == 0) status = ecru_timer_create(&timers[i], 3600 * ECRU_SECOND);
      else if (i % 3 == 1) status = ecru_ticker_create(&timers[i], 3600 * ECRU_SECOND);
      else status = ecru_after_func(&timers[i], 3600 * ECRU_SECOND, count_run, NULL);
      bool hit = ecru__fault_count(ECRU__FAULT_ALLOC) >= nth;
      ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
      CHECK_EQ(status, hit ? ECRU_ENOMEM : 0);
      CHECK_EQ(timers[i] != NULL, status == 0);
      refused += hit;
    }
  }
  CHECK(refused > TIMERS); // the timer always, the heap now and then
  for (int i = 0; i < TIMERS; i++) ecru_timer_destroy(timers[i]);
}
TEST(time, every_allocation_may_fail) { run(create_body); } // K6

/// Fills the heap of a runtime with one processor to the brim. returns: how many timers that took.
static int fill_heap(ecru_timer **timers, int room) {
  for (int i = 0; i < room; i++) CHECK_EQ(ecru_timer_create(&timers[i], ECRU_FOREVER), 0);
  CHECK_EQ(ecru_sleep(1), 0); // from now on there is a heap
  ecru__fault_set(ECRU__FAULT_ALLOC, 1, 1);
  for (int i = 0; i < room; i++) {
    int status = ecru_timer_reset(timers[i], 3600 * ECRU_SECOND);
    if (status == 1) continue;
    CHECK_EQ(status, ECRU_ENOMEM);
    CHECK_EQ(ecru_timer_stop(timers[i]), 0); // not active any more
    return i;
  }
  FAIL("the heap has no end");
}

static void full_body(void *unused) {
  (void)unused;
  enum { ROOM = 5000 };
  static ecru_timer *timers[ROOM];
  int count = fill_heap(timers, ROOM);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), ECRU_ENOMEM);
  CHECK_EQ(ecru_sleep(0), 0);
  CHECK_EQ(ecru_timer_stop(timers[0]), 1);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0); // one place is enough
  CHECK_EQ(ecru_timer_reset(timers[0], 3600 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), ECRU_ENOMEM);
  ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
  CHECK_EQ(ecru_timer_reset(timers[count], 0), 0);
  CHECK_EQ(ecru_timer_wait(timers[count], NULL), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  for (int i = 0; i < ROOM; i++) ecru_timer_destroy(timers[i]);
}
TEST(time, a_full_heap_refuses_a_sleep_and_a_reset) { // K6
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_run_with(&options, full_body, NULL), 0);
}

// ---- an after-func without a goroutine --------------------------------------------------------------------------------

static void wait_for_cancel(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
static void no_goroutine_body(void *unused) {
  (void)unused;
  ecru_timer *timers[2];
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_after_func(&timers[i], 20 * ECRU_MILLISECOND, count_run, NULL), 0);
  ecru__fault_set(ECRU__FAULT_MAP, 1, 1);
  while (ecru_go(wait_for_cancel, NULL) == 0) {}
  CHECK_EQ(ecru_sleep(30 * ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&runs), 0);
  CHECK_EQ(ecru_timer_stop(timers[0]), 1); // it has not been started: it can still be prevented
  ecru__fault_set(ECRU__FAULT_MAP, 0, 0);
  while (atomic_load(&runs) < 1) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_timer_stop(timers[1]), 0);
  CHECK_EQ(ecru_sleep(5 * ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&runs), 1);
  for (int i = 0; i < 2; i++) ecru_timer_destroy(timers[i]);
}
TEST(time, an_after_func_waits_until_there_is_memory_for_its_goroutine) { run(no_goroutine_body); } // K6

// ---- tickers in a heap that is full whenever they come back -----------------------------------------------------------

enum { FILL = 5000, GREEDY = 4 };
static ecru_timer *fill[FILL], *greedy[GREEDY];
static _Atomic int over;
static void *take_places(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    for (int i = 0; i < GREEDY; i++) (void)ecru_timer_reset(greedy[i], 3600 * ECRU_SECOND); // ECRU_ENOMEM or not
    for (int i = 0; i < GREEDY; i++) CHECK(ecru_timer_stop(greedy[i]) >= 0);
  }
  return NULL;
}
static void lost_body(void *unused) {
  (void)unused;
  ecru_timer *tickers[GREEDY];
  pthread_t thread;
  for (int i = 0; i < GREEDY; i++) {
    CHECK_EQ(ecru_timer_create(&greedy[i], ECRU_FOREVER), 0);
    CHECK_EQ(ecru_ticker_create(&tickers[i], 20 * ECRU_MICROSECOND), 0);
  }
  fill_heap(fill, FILL);
  CHECK_EQ(pthread_create(&thread, NULL, take_places, NULL), 0);
  int64_t last[GREEDY] = {0};
  for (long round = test_scaled(3000); round > 0; round--) {
    for (int i = 0; i < GREEDY; i++) {
      int64_t scheduled;
      int status = ecru_timer_wait(tickers[i], &scheduled);
      CHECK(status == 0 || status == ECRU_ENOMEM);
      if (status != 0) continue; // it is lost for now, and is told so
      CHECK(scheduled > last[i]);
      if (last[i]) CHECK_EQ((scheduled - last[i]) % (20 * ECRU_MICROSECOND), 0);
      last[i] = scheduled;
    }
  }
  atomic_store(&over, 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
  for (int i = 0; i < GREEDY; i++) {
    CHECK_EQ(ecru_timer_wait(tickers[i], NULL), 0);
    ecru_timer_destroy(tickers[i]);
    ecru_timer_destroy(greedy[i]);
  }
  for (int i = 0; i < FILL; i++) ecru_timer_destroy(fill[i]);
}
TEST(time, a_ticker_that_finds_no_room_comes_back_in_phase) { // K6
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_run_with(&options, lost_body, NULL), 0);
}
