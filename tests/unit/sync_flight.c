/// tests/unit/sync_flight.c: singleflight (L1, L2, K2).
#include "syncs.h"

#include <stdio.h>

static ecru_singleflight *flight;
static int runs;
static int values[8];
static bool token_fired;

static void create(void) { CHECK_EQ(ecru_singleflight_create(&flight), 0); }

static int fetch(void *unused, void **result) {
  (void)unused;
  int *value = &values[runs++];
  int status = ecru_sleep(ECRU_SECOND);
  token_fired = status != 0;
  *value = 42;
  *result = value;
  return status;
}

static void call(void *shared_expected) {
  void *result = NULL;
  int shared = -1;
  CHECK_EQ(ecru_singleflight_do(flight, "key", fetch, NULL, &result, &shared), 0);
  CHECK_EQ(*(int *)result, 42);
  CHECK_EQ(shared, (uintptr_t)shared_expected);
}
#define SHARED ((void *)1)
#define ALONE ((void *)0)

static void share_a_run(void *unused) {
  (void)unused;
  create();
  for (int i = 0; i < 10; i++) start(call, SHARED);
  join_crew();
  CHECK_EQ(runs, 1);
  start(call, ALONE); // it is over: the next call runs it anew
  join_crew();
  CHECK_EQ(runs, 2);
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, concurrent_calls_share_one_run) { // L1
  in_virtual_time(share_a_run);
}

static int quick(void *unused, void **result) {
  (void)result;
  ++*(_Atomic int *)unused;
  return ecru_yield();
}
static _Atomic int quick_runs;

static void call_often(void *unused) {
  (void)unused;
  for (long i = test_scaled(1000); i > 0; i--) {
    char key[16];
    snprintf(key, sizeof key, "%ld", i % 50);
    CHECK_EQ(ecru_singleflight_do(flight, key, quick, &quick_runs, NULL, NULL), 0);
  }
}
static void *call_often_in_thread(void *unused) {
  call_often(unused);
  return NULL;
}
static void crowd(void *unused) {
  (void)unused;
  create();
  pthread_t thread = start_thread(call_often_in_thread, NULL);
  for (int i = 0; i < 4; i++) start(call_often, NULL);
  join_crew();
  join_thread(thread);
  CHECK(atomic_load(&quick_runs) >= 1 && atomic_load(&quick_runs) <= 5 * test_scaled(1000));
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, goroutines_and_threads_share) { // L1
  with_procs(2, crowd);
}

static void forget(void *unused) {
  (void)unused;
  create();
  start(call, ALONE);
  all_others_parked();
  CHECK_EQ(ecru_singleflight_forget(flight, "another"), 0);
  CHECK_EQ(ecru_singleflight_forget(flight, "key"), 0);
  start(call, SHARED);
  start(call, SHARED);
  join_crew();
  CHECK_EQ(runs, 2);
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, a_forgotten_run_is_not_joined_any_more) { // L1
  in_virtual_time(forget);
}

static void call_and_leave(void *unused) {
  (void)unused;
  void *untouched = &untouched, *result = untouched;
  CHECK_EQ(ecru_singleflight_do(flight, "key", fetch, NULL, &result, NULL), ECRU_ECANCELED);
  CHECK(result == untouched);
}

static void first_caller_leaves(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, call_and_leave, NULL); // starts the run
  all_others_parked();
  start(call, SHARED);
  all_others_parked();
  cancel(token);
  join_crew();
  CHECK_EQ(runs, 1);
  CHECK(!token_fired);
  ecru_token_release(token);
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, the_run_goes_on_when_its_first_caller_is_cancelled) { // L1, K2
  in_virtual_time(first_caller_leaves);
}

static void all_callers_leave(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, call_and_leave, NULL);
  start_under(token, call_and_leave, NULL);
  all_others_parked();
  cancel(token);
  join_crew();
  start(call, ALONE); // not the abandoned run
  all_others_parked();
  CHECK_EQ(runs, 2);
  CHECK(token_fired); // nobody wants the first one any more
  join_crew();
  ecru_token_release(token);
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, a_run_that_all_have_left_is_cancelled) { // L1, K2
  in_virtual_time(all_callers_leave);
}

static int stubborn(void *unused, void **result) {
  (void)unused, (void)result;
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
  runs++;
  return ecru_token_leave();
}
static void call_stubborn(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_singleflight_do(flight, "key", stubborn, NULL, NULL, NULL), ECRU_ECANCELED);
}
static void destroy_before_end(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, call_stubborn, NULL);
  all_others_parked();
  cancel(token);
  join_crew();
  ecru_singleflight_destroy(flight);
  CHECK_EQ(runs, 0);
  CHECK_EQ(ecru_sleep(2 * ECRU_SECOND), 0);
  CHECK_EQ(runs, 1);
  ecru_token_release(token);
}
TEST(singleflight, an_abandoned_run_may_outlive_it) { // L1
  in_virtual_time(destroy_before_end);
}

static int fail(void *unused, void **result) {
  *result = unused;
  return ECRU_EIO;
}
static int leave_by_exit(void *unused, void **result) {
  (void)unused, (void)result;
  ecru_exit();
  return 0;
}
static int call_itself(void *unused, void **result) {
  (void)unused, (void)result;
  int shared = -1;
  CHECK_EQ(ecru_singleflight_do(flight, "other", fail, NULL, NULL, NULL), ECRU_EIO);
  return ecru_singleflight_do(flight, "key", call_itself, NULL, NULL, &shared);
}

static void outcomes(void *unused) {
  (void)unused;
  create();
  void *untouched = &untouched, *result = untouched;
  int shared = -1;
  CHECK_EQ(ecru_singleflight_do(flight, "key", fail, NULL, &result, &shared), ECRU_EIO);
  CHECK(result == untouched);
  CHECK_EQ(shared, 0);
  CHECK_EQ(ecru_singleflight_do(flight, "key", leave_by_exit, NULL, &result, NULL), ECRU_ECANCELED);
  CHECK_EQ(ecru_singleflight_do(flight, "key", call_itself, NULL, NULL, &shared), ECRU_EDEADLK);
  CHECK_EQ(shared, 0);
  CHECK_EQ(ecru_singleflight_do(flight, "", fail, NULL, NULL, NULL), ECRU_EIO); // an empty key is a key
  CHECK_EQ(ecru_singleflight_do(NULL, "key", fail, NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_do(flight, NULL, fail, NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_do(flight, "key", NULL, NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_forget(NULL, "key"), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_forget(flight, NULL), ECRU_EINVAL);
  ecru_singleflight_destroy(flight);
  ecru_singleflight_destroy(NULL);
}
TEST(singleflight, failures_and_misuse) { // L1, L2
  in_virtual_time(outcomes);
}

enum { KEYS = 500 };
static char keys[KEYS][8];
static int runs_of[KEYS];

static int fetch_key(void *index, void **result) {
  *result = keys[(uintptr_t)index];
  runs_of[(uintptr_t)index]++;
  return ecru_sleep(ECRU_SECOND);
}
static void call_key(void *index) {
  void *result = NULL;
  CHECK_EQ(ecru_singleflight_do(flight, keys[(uintptr_t)index], fetch_key, index, &result, NULL), 0);
  CHECK_STR(result, keys[(uintptr_t)index]);
}
static void many_keys(void *unused) {
  (void)unused;
  create();
  for (uintptr_t i = 0; i < KEYS; i++) {
    snprintf(keys[i], sizeof keys[i], "k%d", (int)i);
    start(call_key, (void *)i);
    start(call_key, (void *)i);
  }
  join_crew();
  for (int i = 0; i < KEYS; i++) CHECK_EQ(runs_of[i], 1);
  ecru_singleflight_destroy(flight);
}
TEST(singleflight, many_keys_are_kept_apart) { // L1
  in_virtual_time(many_keys);
}
