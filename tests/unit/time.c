/// tests/unit/time.c: sleeping, timers, tickers, after-funcs and the virtual clock (K6, K7).
///
/// Most of it runs on a virtual clock, where instants are exact. On the real clock only lower bounds are checked, and upper ones
/// in seconds where a broken scheduler would never come.
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

enum { START = 1000 };

static ecru_clock *clock_in_use;
static void run_virtual(ecru_fn fn) {
  CHECK_EQ(ecru_clock_virtual_create(&clock_in_use, START), 0);
  ecru_options options = ECRU_OPTIONS;
  options.clock = clock_in_use;
  CHECK_EQ(ecru_run_with(&options, fn, NULL), 0);
  ecru_clock_destroy(clock_in_use);
}

static int64_t monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * ECRU_SECOND + now.tv_nsec;
}

// ---- sleeping ------------------------------------------------------------------------------------------------------

static void sleep_body(void *unused) {
  (void)unused;
  const int64_t durations[] = {1,                ECRU_MICROSECOND,     50 * ECRU_MICROSECOND,
                               ECRU_MILLISECOND, 7 * ECRU_MILLISECOND, 30 * ECRU_MILLISECOND};
  for (int i = 0; i < 6; i++) {
    int64_t before = monotonic();
    CHECK_EQ(ecru_sleep(durations[i]), 0);
    CHECK(monotonic() - before >= durations[i]);
    int64_t until = ecru_after(durations[i]);
    CHECK_EQ(ecru_sleep_until(until), 0);
    CHECK(ecru_now() >= until);
  }
}
TEST(time, a_sleep_is_at_least_as_long_as_asked) { run(sleep_body); } // K6
TEST(time, a_foreign_thread_sleeps_as_long) { sleep_body(NULL); }     // K6, G10

static void short_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(0), 0);
  CHECK_EQ(ecru_sleep(-1), 0);
  CHECK_EQ(ecru_sleep(INT64_MIN), 0);
  CHECK_EQ(ecru_sleep_until(START), 0);
  CHECK_EQ(ecru_sleep_until(0), 0);
  CHECK_EQ(ecru_sleep_until(INT64_MIN), 0);
  CHECK_EQ(ecru_now(), START);
}
TEST(time, a_sleep_of_nothing_returns_at_once) { run_virtual(short_body); } // K6

static void overflow_body(void *unused) {
  (void)unused;
  const int64_t durations[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - START + 1, INT64_MAX - START, INT64_MAX / 2};
  CHECK_EQ(ecru_after(INT64_MAX), ECRU_FOREVER);
  CHECK_EQ(ecru_after(INT64_MAX - START), ECRU_FOREVER);
  CHECK_EQ(ecru_after(0), START);
  CHECK_EQ(ecru_after(INT64_MIN), START);
  int64_t passed = START;
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_SECOND)), 0);
    CHECK_EQ(i % 2 ? ecru_sleep(durations[i]) : ecru_sleep_until(durations[i]), ECRU_ETIMEDOUT); // long, not short
    CHECK_EQ(ecru_token_leave(), 0);
    CHECK_EQ(ecru_now(), passed += ECRU_SECOND);
  }
  ecru_timer *timer;
  CHECK_EQ(ecru_timer_create(&timer, INT64_MAX), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_stop(timer), 1);
  CHECK_EQ(ecru_timer_stop(timer), 0);
  ecru_timer_destroy(timer);
  CHECK_EQ(ecru_ticker_create(&timer, INT64_MAX), 0);
  CHECK_EQ(ecru_timer_stop(timer), 1);
  ecru_timer_destroy(timer);
}
TEST(time, overflow_saturates) { run_virtual(overflow_body); } // K6

static _Atomic int woken;
static int64_t last_instant;
static void sleeper(void *argument) {
  int64_t instant = (int64_t)(intptr_t)argument;
  CHECK_EQ(ecru_sleep_until(instant), 0);
  CHECK_EQ(ecru_now(), instant);
  atomic_fetch_add(&woken, 1);
}
static void many_sleepers_body(void *unused) {
  (void)unused;
  uint64_t random = test_seed();
  int count = (int)test_scaled(10000);
  for (int i = 0; i < count; i++) {
    int64_t instant = START + 1 + (int64_t)test_random_below(&random, 1000000);
    if (instant > last_instant) last_instant = instant;
    CHECK_EQ(ecru_go(sleeper, (void *)(intptr_t)instant), 0);
  }
  CHECK_EQ(ecru_sleep_until(last_instant + 1), 0);
  CHECK_EQ(atomic_load(&woken), count);
}
TEST(time, sleepers_wake_at_their_instants) { run_virtual(many_sleepers_body); } // K6, K7

// ---- one-shot timers: the truth tables of stop and reset -----------------------------------------------------------

static void one_shot_body(void *unused) {
  (void)unused;
  ecru_timer *timer;
  int64_t scheduled = -1;
  // waiting -> stopped -> stopped -> waiting -> fired, untaken -> stopped (prevents the taking) -> nothing is left
  CHECK_EQ(ecru_timer_create(&timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_try(timer, &scheduled), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_stop(timer), 1);
  CHECK_EQ(ecru_timer_stop(timer), 0);
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_try(timer, &scheduled), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_stop(timer), 1);
  CHECK_EQ(ecru_timer_try(timer, &scheduled), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_stop(timer), 0);
  CHECK_EQ(scheduled, -1); // written only on success

  // waiting -> reset -> waiting -> fired, taken -> stopped (too late)
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_reset(timer, 2 * ECRU_SECOND), 1);
  int64_t due = ecru_after(2 * ECRU_SECOND);
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK_EQ(scheduled, due);
  CHECK_EQ(ecru_now(), due);
  CHECK_EQ(ecru_timer_stop(timer), 0);
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);

  // fired, untaken -> reset: the old tick is gone, the new one comes
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_sleep(3 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 1);
  due = ecru_after(ECRU_SECOND);
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
  CHECK_EQ(ecru_sleep(3 * ECRU_SECOND), 0); // taken late: it still says when it was due
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK_EQ(scheduled, due);

  // due at once
  CHECK_EQ(ecru_timer_reset(timer, 0), 0);
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK_EQ(scheduled, ecru_now());
  CHECK_EQ(ecru_timer_reset(timer, -7), 0);
  CHECK_EQ(ecru_timer_wait(timer, NULL), 0);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  ecru_timer_destroy(timer);
  CHECK_EQ(ecru_timer_create(&timer, -1), 0);
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK_EQ(scheduled, ecru_now());
  ecru_timer_destroy(timer);
}
TEST(time, stop_and_reset_of_a_timer_leave_no_stale_tick) { run_virtual(one_shot_body); } // K6

static void select_body(void *unused) {
  (void)unused;
  ecru_timer *early, *late;
  int64_t scheduled = 0;
  CHECK_EQ(ecru_timer_create(&early, ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_create(&late, 2 * ECRU_SECOND), 0);
  int64_t start = ecru_now();
  ecru_case cases[] = {{ECRU_CASE_TIMER, 0, late, &scheduled}, {ECRU_CASE_TIMER, 0, early, &scheduled}};
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(scheduled, start + ECRU_SECOND);
  CHECK_EQ(ecru_select(cases, 2, 0), 0); // the tick was consumed: the other one is next
  CHECK_EQ(scheduled, start + 2 * ECRU_SECOND);
  CHECK_EQ(ecru_select_until(cases, 2, 0, ecru_after(ECRU_SECOND)), ECRU_ETIMEDOUT);
  ecru_timer_destroy(early);
  ecru_timer_destroy(late);
}
TEST(time, a_timer_is_a_select_case) { run_virtual(select_body); } // K6, S1

static void taker(void *timer) {
  if (ecru_timer_wait(timer, NULL) == 0) atomic_fetch_add(&woken, 1);
}
static void one_taker_body(void *unused) {
  (void)unused;
  ecru_timer *timer;
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_timer_create(&timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_SECOND)), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_waitgroup_go(group, taker, timer), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(atomic_load(&woken), 1);
  ecru_timer_destroy(timer);
  ecru_waitgroup_destroy(group);
}
TEST(time, a_tick_is_taken_once) { run_virtual(one_taker_body); } // K6

// ---- tickers -------------------------------------------------------------------------------------------------------

static void ticker_body(void *unused) {
  (void)unused;
  ecru_timer *ticker;
  int64_t scheduled, start = ecru_now();
  CHECK_EQ(ecru_ticker_create(&ticker, 10), 0);
  for (int i = 1; i <= 1000; i++) {
    CHECK_EQ(ecru_timer_wait(ticker, &scheduled), 0);
    CHECK_EQ(scheduled, start + 10 * i);
    CHECK_EQ(ecru_now(), scheduled);
    CHECK_EQ(ecru_sleep(i % 10), 0); // slow, but not too slow
  }
  // too slow: one tick waits, the rest are dropped, the phase stays
  CHECK_EQ(ecru_sleep_until(start + 10000 + 77), 0);
  CHECK_EQ(ecru_timer_try(ticker, &scheduled), 0);
  CHECK_EQ(scheduled, start + 10000 + 10);
  CHECK_EQ(ecru_timer_try(ticker, &scheduled), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_wait(ticker, &scheduled), 0);
  CHECK_EQ(scheduled, start + 10000 + 80);
  // reset changes the period and the phase, and drops what waits
  CHECK_EQ(ecru_sleep(15), 0);
  CHECK_EQ(ecru_timer_reset(ticker, 100), 1);
  int64_t phase = ecru_now();
  CHECK_EQ(ecru_timer_try(ticker, NULL), ECRU_EAGAIN);
  for (int i = 1; i <= 3; i++) {
    CHECK_EQ(ecru_timer_wait(ticker, &scheduled), 0);
    CHECK_EQ(scheduled, phase + 100 * i);
  }
  CHECK_EQ(ecru_timer_stop(ticker), 1);
  CHECK_EQ(ecru_timer_stop(ticker), 0);
  CHECK_EQ(ecru_sleep(1000), 0);
  CHECK_EQ(ecru_timer_try(ticker, NULL), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_reset(ticker, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_timer_reset(ticker, 5), 0);
  CHECK_EQ(ecru_timer_wait(ticker, &scheduled), 0);
  ecru_timer_destroy(ticker);
}
TEST(time, a_ticker_drops_but_does_not_drift) { run_virtual(ticker_body); } // K6

static void real_ticker_body(void *unused) {
  (void)unused;
  ecru_timer *ticker;
  int64_t first, scheduled, period = ECRU_MILLISECOND;
  CHECK_EQ(ecru_ticker_create(&ticker, period), 0);
  CHECK_EQ(ecru_timer_wait(ticker, &first), 0);
  for (int i = 0; i < 30; i++) {
    CHECK_EQ(ecru_timer_wait(ticker, &scheduled), 0);
    CHECK(ecru_now() >= scheduled);
    CHECK_EQ((scheduled - first) % period, 0); // some may be dropped on a busy machine
  }
  CHECK(scheduled - first >= 30 * period);
  ecru_timer_destroy(ticker);
}
TEST(time, a_ticker_keeps_its_phase_on_the_real_clock) { run(real_ticker_body); } // K6

// ---- after-funcs ---------------------------------------------------------------------------------------------------

static ecru_token *func_token;
static ecru_scoped_key *func_key;
static _Atomic int func_runs;
static void func(void *argument) {
  CHECK_EQ(ecru_in_goroutine(), 1);
  CHECK(ecru_token_current() == func_token);
  CHECK_STR(ecru_scoped_get(func_key), argument);
  CHECK_EQ(ecru_sleep(1), 0);
  atomic_fetch_add(&func_runs, 1);
}
static void after_func_body(void *unused) {
  (void)unused;
  ecru_timer *timer;
  CHECK_EQ(ecru_scoped_key_create(&func_key, NULL), 0);
  CHECK_EQ(ecru_token_create(&func_token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(func_token), 0);
  CHECK_EQ(ecru_scoped_enter(func_key, "bound"), 0);
  CHECK_EQ(ecru_after_func(&timer, ECRU_SECOND, func, "bound"), 0);
  CHECK_EQ(ecru_scoped_leave(func_key), 0); // what counts is where it was created
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_timer_wait(timer, NULL), ECRU_EINVAL); // it has no ticks
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_timer_stop(timer), 1);
  CHECK_EQ(ecru_timer_stop(timer), 0);
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(atomic_load(&func_runs), 0);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 1);
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(atomic_load(&func_runs), 1);
  CHECK_EQ(ecru_timer_stop(timer), 0); // it has been started
  CHECK_EQ(ecru_timer_reset(timer, 0), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
  CHECK_EQ(atomic_load(&func_runs), 2);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND), 0);
  ecru_timer_destroy(timer); // with a run to come
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(atomic_load(&func_runs), 2);
  ecru_token_release(func_token);
  ecru_scoped_key_destroy(func_key);
}
TEST(time, an_after_func_runs_in_its_own_goroutine_unless_stopped) { run_virtual(after_func_body); } // K6, K2, G12

// ---- crowds --------------------------------------------------------------------------------------------------------

enum { CROWD = 10000 };
static ecru_timer *crowd[CROWD];
static void crowd_body(void *unused) {
  (void)unused;
  uint64_t random = test_seed();
  static int64_t due[CROWD];
  int64_t last = 0;
  for (int i = 0; i < CROWD; i++) {
    int64_t duration = (int64_t)test_random_below(&random, 20 * ECRU_MILLISECOND);
    CHECK_EQ(ecru_timer_create(&crowd[i], duration), 0);
    due[i] = -1;
  }
  for (int i = 0; i < CROWD; i += 3) CHECK(ecru_timer_stop(crowd[i]) >= 0);
  for (int i = 0; i < CROWD; i++) {
    if (i % 3 == 0) continue;
    CHECK_EQ(ecru_timer_wait(crowd[i], &due[i]), 0);
    CHECK(ecru_now() >= due[i]);
    if (due[i] > last) last = due[i];
  }
  CHECK(ecru_now() >= last);
  for (int i = 0; i < CROWD; i++) {
    CHECK_EQ(ecru_timer_try(crowd[i], NULL), ECRU_EAGAIN);
    ecru_timer_destroy(crowd[i]);
  }
}
TEST(time, ten_thousand_timers_fire_once) { run(crowd_body); }                  // K6
TEST(time, ten_thousand_virtual_timers_fire_once) { run_virtual(crowd_body); }  // K6, K7

static _Atomic int hogs_shall_end;
static void busy(void *unused) {
  (void)unused;
  while (!atomic_load(&hogs_shall_end)) {
    int status = ecru_yield();
    CHECK(status == 0 || status == ECRU_ECANCELED); // it may have looked, been asked to let others go first, and met the stop
  }
}
static void beside_busy_body(void *unused) {
  (void)unused;
  for (int i = 0; i < 8; i++) CHECK_EQ(ecru_go(busy, NULL), 0);
  ecru_timer *timer;
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_timer_create(&timer, ECRU_MILLISECOND), 0);
    CHECK_EQ(ecru_timer_wait(timer, NULL), 0);
    ecru_timer_destroy(timer);
    CHECK_EQ(ecru_sleep(100 * ECRU_MICROSECOND), 0);
  }
  atomic_store(&hogs_shall_end, 1);
}
TEST(time, timers_fire_beside_busy_goroutines) { // K6, G2
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  int64_t before = monotonic();
  CHECK_EQ(ecru_run_with(&options, beside_busy_body, NULL), 0);
  CHECK(monotonic() - before < 20 * ECRU_SECOND); // about 25 ms; for ever if the queue came before the timers
}

// ---- from outside, and across a stop -------------------------------------------------------------------------------

TEST(time, foreign_threads_use_timers) { // K6, G10
  ecru_timer *timer;
  int64_t scheduled;
  CHECK_EQ(ecru_timer_create(&timer, 2 * ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK(ecru_now() >= scheduled);
  CHECK_EQ(ecru_timer_reset(timer, 3600 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_timer_reset(timer, ECRU_MILLISECOND), 1); // earlier than what the runtime sleeps for
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  ecru_timer_destroy(timer);
}

TEST(time, a_timer_can_be_used_after_a_restart) { // K6, G13
  ecru_timer *timer, *other;
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_timer_create(&timer, 3600 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_ticker_create(&other, 3600 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_timer_destroy(other);
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK(ecru_timer_reset(timer, ECRU_MILLISECOND) >= 0);
  CHECK_EQ(ecru_timer_wait(timer, NULL), 0);
  ecru_timer_destroy(timer);
}

// ---- the clock -----------------------------------------------------------------------------------------------------

TEST(time, the_clock_is_monotonic_and_not_negative) { // K7
  int64_t last = ecru_now();
  CHECK(last >= 0);
  for (int i = 0; i < 100000; i++) {
    int64_t now = ecru_now();
    CHECK(now >= last);
    last = now;
  }
  CHECK_EQ(ecru_after(-1) >= last, 1);
}

static void year_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_now(), START);
  for (int i = 0; i < 365; i++) CHECK_EQ(ecru_sleep(24 * 3600 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_now(), START + INT64_C(365) * 24 * 3600 * ECRU_SECOND);
}
TEST(time, a_year_passes_at_once_on_a_virtual_clock) { // K7
  int64_t before = monotonic();
  run_virtual(year_body);
  CHECK(monotonic() - before < 60 * ECRU_SECOND);
}

static void standing_body(void *unused) {
  (void)unused;
  ecru_timer *timer;
  CHECK_EQ(ecru_timer_create(&timer, ECRU_MILLISECOND), 0);
  int64_t before = monotonic();
  while (monotonic() - before < 5 * ECRU_MILLISECOND) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_now(), START); // it stands still while somebody runs
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
  CHECK_EQ(ecru_clock_advance(clock_in_use, ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_now(), START + ECRU_MILLISECOND);
  int64_t scheduled;
  CHECK_EQ(ecru_timer_wait(timer, &scheduled), 0);
  CHECK_EQ(scheduled, START + ECRU_MILLISECOND);
  CHECK_EQ(ecru_now(), START + ECRU_MILLISECOND);
  ecru_timer_destroy(timer);
}
TEST(time, a_virtual_clock_stands_still_while_somebody_runs) { run_virtual(standing_body); } // K7

static void go_on_own_thread(ecru_fn fn, void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  CHECK_EQ(ecru_go_with(&options, fn, argument), 0);
}
static void compute_at(int64_t expected) {
  for (int64_t end = monotonic() + 10 * ECRU_MILLISECOND; monotonic() < end;) CHECK_EQ(ecru_now(), expected);
}
static void compute_sleep_compute(void *unused) {
  (void)unused;
  compute_at(START);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  compute_at(START + ECRU_MILLISECOND);
  atomic_fetch_add(&woken, 1);
}
static void own_thread_body(void *unused) {
  (void)unused;
  go_on_own_thread(compute_sleep_compute, NULL);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0); // nobody else but it is left
  CHECK_EQ(ecru_now(), START + ECRU_SECOND);
  CHECK_EQ(atomic_load(&woken), 1);
}
TEST(time, a_virtual_clock_stands_still_while_a_thread_of_its_own_computes) { run_virtual(own_thread_body); } // K7, G10

static void take_rounds(void *chan) {
  int64_t sent;
  while (ecru_chan_recv(chan, &sent) == 0) CHECK_EQ(ecru_now(), sent); // woken is awake, if not running yet
  atomic_fetch_add(&woken, 1);
}
static void own_threads_woken_body(void *unused) {
  (void)unused;
  ecru_chan *chan;
  CHECK_EQ(ecru_chan_create(&chan, sizeof(int64_t), 0), 0);
  for (int i = 0; i < 3; i++) go_on_own_thread(take_rounds, chan);
  long rounds = test_scaled(300);
  for (long i = 0; i < rounds; i++) {
    for (int64_t now = ecru_now(), k = 0; k < 3; k++) CHECK_EQ(ecru_chan_send(chan, &now), 0);
    CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
    CHECK_EQ(ecru_now(), START + (i + 1) * ECRU_MILLISECOND);
  }
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&woken), 3); // time went on only when they had ended
  ecru_chan_release(chan);
}
TEST(time, a_virtual_clock_waits_for_threads_that_have_been_woken) { run_virtual(own_threads_woken_body); } // K7, G10

static void early_bird(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep_until(START + ECRU_MILLISECOND), 0);
  atomic_fetch_add(&woken, 1);
}
static void advance_body(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_go(early_bird, NULL), 0);
  int64_t before = monotonic();
  while (monotonic() - before < 5 * ECRU_MILLISECOND) CHECK_EQ(ecru_yield(), 0); // most of them sleep now
  CHECK_EQ(atomic_load(&woken), 0);
  CHECK_EQ(ecru_clock_advance(clock_in_use, ECRU_MILLISECOND), 0);
  while (atomic_load(&woken) < 100) CHECK_EQ(ecru_yield(), 0); // nobody parks, and still they wake
}
TEST(time, a_virtual_clock_can_be_moved_by_hand) { // K7
  CHECK_EQ(ecru_clock_virtual_create(&clock_in_use, START), 0);
  ecru_options options = ECRU_OPTIONS;
  options.clock = clock_in_use;
  options.maxprocs = 4;
  CHECK_EQ(ecru_run_with(&options, advance_body, NULL), 0);
  ecru_clock_destroy(clock_in_use);
}

TEST(time, a_virtual_clock_is_refused_bad_values) { // K7
  ecru_clock *clock = NULL;
  CHECK_EQ(ecru_clock_virtual_create(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_clock_virtual_create(&clock, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_clock_virtual_create(&clock, -1), ECRU_EINVAL);
  CHECK(clock == NULL);
  CHECK_EQ(ecru_clock_virtual_create(&clock, 1), 0);
  CHECK_EQ(ecru_clock_advance(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_clock_advance(clock, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_clock_advance(clock, INT64_MAX), 0); // saturates
  CHECK_EQ(ecru_clock_advance(clock, INT64_MAX), 0);
  ecru_clock_destroy(clock);
  ecru_clock_destroy(NULL);
}

static void destroy_clock_in_use(void) {
  ecru_clock *clock;
  ecru_clock_virtual_create(&clock, 1);
  ecru_options options = ECRU_OPTIONS;
  options.clock = clock;
  ecru_start(&options);
  ecru_clock_destroy(clock);
}
TEST(time, destroying_the_clock_in_use_is_a_panic) { test_death(destroy_clock_in_use, -SIGABRT, "ecru_clock_destroy"); } // K7

TEST(time, bad_input_is_refused) { // K6
  ecru_timer *timer = NULL;
  CHECK_EQ(ecru_timer_create(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_ticker_create(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_ticker_create(&timer, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_ticker_create(&timer, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_after_func(NULL, 1, func, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_after_func(&timer, 1, NULL, NULL), ECRU_EINVAL);
  CHECK(timer == NULL);
  CHECK_EQ(ecru_timer_wait(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_timer_try(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_timer_stop(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_timer_reset(NULL, 1), ECRU_EINVAL);
  ecru_timer_destroy(NULL);
}
