/// tests/unit/parallel.c: the parallel loop (T5).
#include <ecru/ecru.h>
#include <stdatomic.h>
#include <string.h>

#include "test.h"

enum { ITEMS = 1001 }; // a multiple of 7
static _Atomic int hits[ITEMS], calls, alive, most_alive;
static ecru_barrier *meeting; // where so many items have to be under way at once; NULL: they need not

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static int hit(void *context, size_t index) {
  CHECK(context == hits);
  atomic_fetch_add(&calls, 1);
  int now = atomic_fetch_add(&alive, 1) + 1, most = atomic_load(&most_alive);
  while (now > most && !atomic_compare_exchange_weak(&most_alive, &most, now)) {}
  if (meeting) CHECK(ecru_barrier_wait(meeting) >= 0);
  atomic_fetch_sub(&alive, 1);
  atomic_fetch_add(&hits[index], 1);
  return 0;
}

static void each_once(void *unused) {
  (void)unused;
  for (int i = 0; i < ITEMS; i++) atomic_store(&hits[i], 0);
  CHECK_EQ(ecru_barrier_create(&meeting, 7), 0);
  CHECK_EQ(ecru_parallel_for(ITEMS, 7, hit, (void *)hits), 0);
  for (int i = 0; i < ITEMS; i++) CHECK_EQ(atomic_load(&hits[i]), 1);
  CHECK(atomic_load(&most_alive) <= 7);
  ecru_barrier_destroy(meeting);
  meeting = NULL;
}
TEST(parallel, each_index_once_with_limit_under_way_at_a_time) { // T5
  run(each_once);
  each_once(NULL); // and from a foreign thread
}

static void odd_sizes(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_parallel_for(0, 3, hit, (void *)hits), 0);
  CHECK_EQ(atomic_load(&calls), 0);
  CHECK_EQ(ecru_parallel_for(1, SIZE_MAX, hit, (void *)hits), 0);
  CHECK_EQ(atomic_load(&calls), 1);
  CHECK_EQ(ecru_parallel_for(ITEMS, SIZE_MAX, hit, (void *)hits), 0);
  CHECK_EQ(atomic_load(&calls), 1 + ITEMS);
}
TEST(parallel, any_count_and_limit_will_do) { // T5
  run(odd_sizes);
}

static void default_limit(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_barrier_create(&meeting, 3), 0);
  CHECK_EQ(ecru_parallel_for(999, 0, hit, (void *)hits), 0);
  CHECK(atomic_load(&most_alive) <= 3);
  ecru_barrier_destroy(meeting);
}
TEST(parallel, limit_0_is_maxprocs) { // T5, G5
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 3;
  CHECK_EQ(ecru_run_with(&options, default_limit, NULL), 0);
}

static int fails_at_ten(void *context, size_t index) {
  (void)context;
  atomic_fetch_add(&calls, 1);
  if (index == 10) return ECRU_EPIPE;
  return index < 10 ? 0 : ecru_sleep(ECRU_FOREVER); // the running ones see the token
}
static void first_error(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_parallel_for(ITEMS, 4, fails_at_ten, NULL), ECRU_EPIPE);
  CHECK(atomic_load(&calls) <= 14); // no new items
  CHECK_EQ(ecru_check(), 0);
}
TEST(parallel, first_error_stops_new_items_and_cancels_the_running) { // T5
  run(first_error);
}

static ecru_token *token;
static int last_cancels(void *context, size_t index) {
  (void)context, (void)index;
  atomic_fetch_add(&calls, 1);
  if (atomic_fetch_add(&alive, 1) == 3) CHECK_EQ(ecru_token_cancel(token, 0), 0);
  int status = ecru_sleep(ECRU_FOREVER);
  atomic_fetch_sub(&alive, 1);
  return status;
}
static void callers_token_fires(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_parallel_for(ITEMS, 4, last_cancels, NULL), ECRU_ECANCELED);
  CHECK_EQ(atomic_load(&alive), 0); // none runs any more
  CHECK_EQ(atomic_load(&calls), 4);
  CHECK_EQ(ecru_parallel_for(ITEMS, 4, last_cancels, NULL), ECRU_ECANCELED);
  CHECK_EQ(atomic_load(&calls), 4);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_deadline_enter(ecru_after(0)), 0);
  CHECK_EQ(ecru_parallel_for(ITEMS, 4, last_cancels, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(atomic_load(&calls), 4);
}
TEST(parallel, ends_with_the_callers_token_when_none_runs_any_more) { // T5, K2
  run(callers_token_fires);
}

static int inner(void *context, size_t index) {
  (void)index;
  atomic_fetch_add((_Atomic int *)context, 1);
  return ecru_yield();
}
static int outer(void *context, size_t index) {
  (void)index;
  return ecru_parallel_for(20, 3, inner, context);
}
static void nested(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_parallel_for(20, 3, outer, (void *)&calls), 0);
  CHECK_EQ(atomic_load(&calls), 400);
}
TEST(parallel, loops_nest) { // T5
  run(nested);
}

static int exits(void *context, size_t index) {
  (void)context;
  if (index == 5) ecru_exit();
  return 0;
}
static void exit_in_item(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_parallel_for(10, 1, exits, NULL), ECRU_ECANCELED); // not all items were done, and it shows
}
TEST(parallel, exit_in_an_item_shows) { // T5
  run(exit_in_item);
}

TEST(parallel, bad_arguments_have_codes) { // T5
  CHECK_EQ(ecru_parallel_for(1, 1, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_parallel_for(0, 1, NULL, NULL), ECRU_EINVAL);
}

static int loops_after_stop(void *argument, void **result) {
  (void)result;
  ecru_sleep(ECRU_FOREVER);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  atomic_store((_Atomic int *)argument, ecru_parallel_for(3, 1, hit, (void *)hits));
  return ecru_token_leave();
}
TEST(parallel, after_shutdown_there_is_a_code) { // T5, G13
  _Atomic int status = 1;
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn(&task, loops_after_stop, &status), 0);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&status), ECRU_ESHUTDOWN);
  CHECK_EQ(atomic_load(&calls), 0);
  ecru_task_release(task);
}
