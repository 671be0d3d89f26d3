/// tests/unit/sync_limiter.c: the rate limiter (L1, L2, K2, K7), all in virtual time.
#include "syncs.h"

#include <math.h>

static ecru_limiter *limiter;
static int64_t began;

static void create(double rate, int64_t burst) {
  CHECK_EQ(ecru_limiter_create(&limiter, rate, burst), 0);
  began = ecru_now();
}
static int64_t elapsed(void) { return ecru_now() - began; }

static void bucket(void *unused) {
  (void)unused;
  create(10, 3); // one every 100 ms
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_limiter_try(limiter, 1), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  CHECK_EQ(ecru_sleep(100 * ECRU_MILLISECOND - 1), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  CHECK_EQ(ecru_sleep(1), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  CHECK_EQ(ecru_sleep(3600 * ECRU_SECOND), 0); // it holds no more than the burst
  CHECK_EQ(ecru_limiter_try(limiter, 2), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 2), ECRU_EAGAIN);
  CHECK_EQ(ecru_limiter_try(limiter, 1), 0);
  ecru_limiter_destroy(limiter);
}
TEST(limiter, holds_a_burst_and_fills_at_its_rate) { // L1, K7
  in_virtual_time(bucket);
}

static void pace(void *unused) {
  (void)unused;
  create(3, 1); // a period that is no whole number of nanoseconds
  for (int i = 0; i < 300; i++) {
    CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
    int64_t due = i * ECRU_SECOND / 3;
    CHECK(elapsed() >= due && elapsed() <= due + 2); // it does not drift
  }
  ecru_limiter_destroy(limiter);
}
TEST(limiter, keeps_its_pace_without_drift) { // L1, K7
  in_virtual_time(pace);
}

/// Waits for as many as its letter says ('a': 1) and notes it.
static void want(void *letter) {
  int status = ecru_limiter_wait(limiter, *(char *)letter - 'a' + 1);
  if (status == ECRU_ETIMEDOUT) note('?');
  if (status == ECRU_ECANCELED) note('!');
  note(*(char *)letter);
}

static void in_order(void *unused) {
  (void)unused;
  create(10, 5);
  CHECK_EQ(ecru_limiter_wait(limiter, 5), 0);
  for (int i = 0; i < 4; i++) start(want, &"eabd"[i]), CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  CHECK_EQ(ecru_sleep(499 * ECRU_MILLISECOND), 0);
  CHECK_STR(history, ""); // e wants five; a is not served before it
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  join_crew();
  CHECK_STR(history, "eabd");
  CHECK_EQ(elapsed(), 1200 * ECRU_MILLISECOND);
  ecru_limiter_destroy(limiter);
}
TEST(limiter, serves_waiters_in_order) { // L1
  in_virtual_time(in_order);
}

static void deadline(void *unused) {
  (void)unused;
  create(10, 2);
  CHECK_EQ(ecru_limiter_wait(limiter, 2), 0);
  start(want, "a"); // its turn: 100 ms
  CHECK_EQ(ecru_yield(), 0);
  ecru_token *early = token_until(began + 299 * ECRU_MILLISECOND), *late = token_until(began + 300 * ECRU_MILLISECOND);
  start_under(early, want, "b"); // its turn: 300 ms
  CHECK_EQ(ecru_yield(), 0);
  CHECK_STR(history, "?b");
  CHECK_EQ(elapsed(), 0); // at once
  start_under(late, want, "b"); // just in time, or just not: the deadline comes at the same instant
  join_crew();
  CHECK(strcmp(history, "?bab") == 0 || strcmp(history, "?ba?b") == 0);
  CHECK_EQ(elapsed(), 300 * ECRU_MILLISECOND);
  ecru_token_release(early);
  ecru_token_release(late);
  ecru_limiter_destroy(limiter);
}
TEST(limiter, does_not_wait_for_a_turn_beyond_the_deadline) { // L1, K2
  in_virtual_time(deadline);
}

static void cancelled(void *unused) {
  (void)unused;
  create(10, 4);
  CHECK_EQ(ecru_limiter_wait(limiter, 4), 0);
  ecru_token *first = token_until(ECRU_FOREVER), *second = token_until(ECRU_FOREVER);
  start_under(first, want, "c"); // 300 ms
  CHECK_EQ(ecru_yield(), 0);
  start(want, "a"); // 400 ms
  CHECK_EQ(ecru_yield(), 0);
  start_under(second, want, "d"); // 800 ms
  CHECK_EQ(ecru_yield(), 0);
  start(want, "b"); // 1000 ms
  CHECK_EQ(ecru_sleep(50 * ECRU_MILLISECOND), 0);
  cancel(first);  // the first: the timer moves forward
  cancel(second); // one in the middle
  CHECK_EQ(ecru_sleep(49 * ECRU_MILLISECOND), 0);
  CHECK_EQ(history_length, 4);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(history_length, 5);
  CHECK_EQ(history[4], 'a'); // at 100 ms instead of 400
  join_crew();
  CHECK_EQ(elapsed(), 300 * ECRU_MILLISECOND);
  CHECK_EQ(history[5], 'b');
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN); // and none were given away
  ecru_token_release(first);
  ecru_token_release(second);
  ecru_limiter_destroy(limiter);
}
TEST(limiter, those_behind_a_cancelled_waiter_go_earlier) { // L1, K2
  in_virtual_time(cancelled);
}

static void last_one_leaves(void *unused) {
  (void)unused;
  for (int i = 0; i < 10; i++) {
    create(1, 1);
    CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
    ecru_token *token = token_until(ECRU_FOREVER);
    start_under(token, want, "a");
    CHECK_EQ(ecru_yield(), 0);
    cancel(token);
    join_crew();
    ecru_limiter_destroy(limiter); // with its timer
    ecru_token_release(token);
  }
}
TEST(limiter, can_be_destroyed_when_its_last_waiter_has_left) { // L1
  in_virtual_time(last_one_leaves);
}

static void bounds(void *unused) {
  (void)unused;
  limiter = NULL;
  static const double bad_rates[] = {0, -1, NAN, INFINITY, -INFINITY, 0x1p-1070};
  for (int i = 0; i < 6; i++) CHECK_EQ(ecru_limiter_create(&limiter, bad_rates[i], 1), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_create(&limiter, 1, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_create(&limiter, 1, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_create(&limiter, 1e-300, INT64_MAX), ECRU_EINVAL);
  CHECK(limiter == NULL);
  create(1, 5);
  static const int64_t bad[] = {0, -1, INT64_MIN, 6, INT64_MAX};
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(ecru_limiter_wait(limiter, bad[i]), ECRU_EINVAL);
    CHECK_EQ(ecru_limiter_try(limiter, bad[i]), ECRU_EINVAL);
  }
  ecru_limiter_destroy(limiter);
  create(1e-9, INT64_MAX); // one in 31 years
  CHECK_EQ(ecru_limiter_try(limiter, INT64_MAX), 0);
  CHECK_EQ(ecru_limiter_try(limiter, 1), ECRU_EAGAIN);
  ecru_token *token = token_until(ecru_after(1000 * 3600 * ECRU_SECOND));
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_limiter_wait(limiter, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_limiter_wait(limiter, INT64_MAX), ECRU_ETIMEDOUT); // its turn never comes
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  ecru_limiter_destroy(limiter);
  create(1e18, 1); // faster than the clock
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
  CHECK(elapsed() <= 100);
  ecru_limiter_destroy(limiter);
  ecru_limiter_destroy(NULL);
}
TEST(limiter, bounds_and_misuse) { // L2
  in_virtual_time(bounds);
}

// ---- real time ----------------------------------------------------------------------------------------------------

static void take_some(void *unused) {
  (void)unused;
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
}
static void *take_in_thread(void *unused) {
  take_some(unused);
  return NULL;
}
static void crowd(void *unused) {
  (void)unused;
  create(2000, 5);
  pthread_t thread = start_thread(take_in_thread, NULL);
  for (int i = 0; i < 4; i++) start(take_some, NULL);
  join_crew();
  join_thread(thread);
  CHECK(elapsed() >= 95 * ECRU_SECOND / 2000); // 100 less the burst
  ecru_limiter_destroy(limiter);
}
TEST(limiter, is_never_too_fast_for_a_crowd) { // L1
  with_procs(2, crowd);
}
