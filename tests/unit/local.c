/// tests/unit/local.c: goroutine-local and scoped values (G12).
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static _Atomic int destroyed;
static void count_destroyed(void *value) {
  CHECK(value != NULL);
  atomic_fetch_add(&destroyed, 1);
}

// ---- local values --------------------------------------------------------------------------------------------------

static ecru_local_key *key;
static ecru_waitgroup *group;

static void own_value(void *argument) {
  CHECK(ecru_local_get(key) == NULL); // not inherited
  CHECK_EQ(ecru_local_set(key, argument), 0);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(ecru_yield(), 0);
    CHECK(ecru_local_get(key) == argument);
  }
}
static void own_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_local_key_create(&key, NULL), 0);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_local_set(key, &key), 0);
  static char places[100];
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_waitgroup_go(group, own_value, &places[i]), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK(ecru_local_get(key) == &key);
  ecru_waitgroup_destroy(group);
  ecru_local_key_destroy(key);
}
TEST(local, every_goroutine_has_its_own_value) { run(own_body); } // G12

static void end_with_value(void *argument) {
  CHECK_EQ(ecru_local_set(key, argument), 0);
  CHECK_EQ(ecru_local_set(key, NULL), 0);
  CHECK_EQ(ecru_local_set(key, argument), 0);
}
static void end_with_null(void *argument) {
  CHECK_EQ(ecru_local_set(key, argument), 0);
  CHECK_EQ(ecru_local_set(key, NULL), 0);
}
static void end_by_exit(void *argument) {
  CHECK_EQ(ecru_local_set(key, argument), 0);
  ecru_exit();
}
static void destructor_body(void *unused) {
  (void)unused;
  static int value;
  ecru_fn ends[] = {end_with_value, end_with_null, end_by_exit};
  int expected[] = {1, 0, 1};
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_local_key_create(&key, count_destroyed), 0);
  for (int i = 0; i < 3; i++) {
    int before = atomic_load(&destroyed);
    CHECK_EQ(ecru_waitgroup_go(group, ends[i], &value), 0);
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    for (int look = 0; look < 100 && atomic_load(&destroyed) - before != expected[i]; look++)
      CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
    CHECK_EQ(atomic_load(&destroyed) - before, expected[i]);
  }
  ecru_waitgroup_destroy(group);
}
TEST(local, the_destructor_runs_with_the_last_value) { // G12
  run(destructor_body);
  ecru_local_key_destroy(key);
}

static ecru_local_key *other_key;
static _Atomic int rounds;
static void set_again(void *value) {
  atomic_fetch_add(&rounds, 1);
  CHECK_EQ(ecru_local_set(key, value), 0);
}
static void set_other(void *value) {
  CHECK(ecru_local_get(other_key) == NULL);
  CHECK_EQ(ecru_sleep(ECRU_MICROSECOND), 0); // a destructor may park
  CHECK_EQ(ecru_local_set(key, value), 0);
}
static void stubborn(void *argument) { CHECK_EQ(ecru_local_set(key, argument), 0); }
static void other(void *argument) { CHECK_EQ(ecru_local_set(other_key, argument), 0); }

TEST(local, destructors_may_set_values_again_four_times) { // G12
  static int value;
  CHECK_EQ(ecru_local_key_create(&key, set_again), 0);
  CHECK_EQ(ecru_run(stubborn, &value), 0);
  CHECK_EQ(atomic_load(&rounds), 4);
  ecru_local_key_destroy(key);
}

TEST(local, a_destructor_may_set_another_value_and_park) { // G12
  static int value;
  CHECK_EQ(ecru_local_key_create(&key, count_destroyed), 0);
  CHECK_EQ(ecru_local_key_create(&other_key, set_other), 0);
  CHECK_EQ(ecru_run(other, &value), 0);
  CHECK_EQ(atomic_load(&destroyed), 1);
  ecru_local_key_destroy(key);
  ecru_local_key_destroy(other_key);
}

static void many_keys_body(void *unused) {
  (void)unused;
  enum { KEYS = 300 };
  static ecru_local_key *keys[KEYS];
  static char values[KEYS];
  for (int i = 0; i < KEYS; i++) CHECK_EQ(ecru_local_key_create(&keys[i], count_destroyed), 0);
  for (int i = KEYS - 1; i >= 0; i--) CHECK_EQ(ecru_local_set(keys[i], &values[i]), 0);
  for (int i = 0; i < KEYS; i++) CHECK(ecru_local_get(keys[i]) == &values[i]);
  for (int i = 0; i < KEYS; i += 2) ecru_local_key_destroy(keys[i]);
  for (int i = 0; i < KEYS; i += 2) { // slots are used again, old values are nobody's
    CHECK_EQ(ecru_local_key_create(&keys[i], count_destroyed), 0);
    CHECK(ecru_local_get(keys[i]) == NULL);
  }
  for (int i = 1; i < KEYS; i += 2) CHECK(ecru_local_get(keys[i]) == &values[i]);
  for (int i = 0; i < KEYS; i++) ecru_local_key_destroy(keys[i]);
}
TEST(local, a_destroyed_key_forgets_its_values) { // G12
  run(many_keys_body);
  CHECK_EQ(atomic_load(&destroyed), 0);
}

static void *thread_main(void *argument) {
  CHECK(ecru_local_get(key) == NULL);
  CHECK_EQ(ecru_local_set(key, argument), 0);
  CHECK(ecru_local_get(key) == argument);
  return NULL;
}
TEST(local, a_foreign_thread_has_values_too) { // G12, G10
  static int value;
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_local_key_create(&key, count_destroyed), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, thread_main, &value), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(atomic_load(&destroyed), 1);
  ecru_local_key_destroy(key);
}

// ---- scoped values -------------------------------------------------------------------------------------------------

static ecru_scoped_key *scope_key, *second_key;
static char released[16];
static _Atomic size_t releases;
static void note_released(void *value) { released[atomic_fetch_add(&releases, 1)] = *(const char *)value; } // two goroutines may, at once

static void inherit(void *expected) {
  CHECK_STR(ecru_scoped_get(scope_key), expected);
  CHECK_EQ(ecru_scoped_leave(scope_key), ECRU_EPERM); // it is the parent's
  CHECK_EQ(ecru_scoped_enter(scope_key, "mine"), 0);
  CHECK_STR(ecru_scoped_get(scope_key), "mine");
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_STR(ecru_scoped_get(scope_key), expected);
}
static void scoped_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_scoped_key_create(&scope_key, NULL), 0);
  CHECK_EQ(ecru_scoped_key_create(&second_key, NULL), 0);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK(ecru_scoped_get(scope_key) == NULL);
  CHECK_EQ(ecru_scoped_leave(scope_key), ECRU_EPERM);
  CHECK_EQ(ecru_scoped_enter(scope_key, "outer"), 0);
  CHECK_EQ(ecru_scoped_enter(second_key, "second"), 0);
  CHECK_EQ(ecru_scoped_enter(scope_key, "inner"), 0);
  CHECK_STR(ecru_scoped_get(scope_key), "inner");
  CHECK_STR(ecru_scoped_get(second_key), "second");
  CHECK_EQ(ecru_waitgroup_go(group, inherit, "inner"), 0);
  CHECK_EQ(ecru_scoped_leave(second_key), ECRU_EPERM); // not the innermost
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_STR(ecru_scoped_get(scope_key), "outer");
  CHECK_EQ(ecru_waitgroup_go(group, inherit, "outer"), 0);
  CHECK_EQ(ecru_scoped_leave(second_key), 0);
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK(ecru_scoped_get(scope_key) == NULL);
  CHECK_EQ(ecru_waitgroup_go(group, inherit, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  ecru_waitgroup_destroy(group);
}
TEST(local, scoped_values_nest_and_are_inherited) { // G12
  run(scoped_body);
  ecru_scoped_key_destroy(scope_key);
  ecru_scoped_key_destroy(second_key);
}

static ecru_chan *go_on;
static void hold(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_chan_recv(go_on, NULL), 0);
  CHECK_STR(ecru_scoped_get(scope_key), "b"); // long after the scope was left
}
static void release_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_scoped_key_create(&scope_key, note_released), 0);
  CHECK_EQ(ecru_chan_create(&go_on, 0, 0), 0);
  CHECK_EQ(ecru_scoped_enter(scope_key, "a"), 0);
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_STR(released, "a");
  CHECK_EQ(ecru_scoped_enter(scope_key, "c"), 0);
  CHECK_EQ(ecru_scoped_enter(scope_key, "b"), 0);
  CHECK_EQ(ecru_go(hold, NULL), 0);
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_STR(released, "a");
  CHECK_EQ(ecru_chan_send(go_on, NULL), 0);
  CHECK_EQ(ecru_scoped_enter(scope_key, "d"), 0); // not left: the end of the goroutine does
}
TEST(local, a_binding_is_released_by_the_last_goroutine_that_sees_it) { // G12
  run(release_body);
  CHECK_EQ(strlen(released), 4);
  CHECK(released[0] == 'a' && strchr(released, 'd')); // when, among those of the other goroutine, depends on who is faster
  CHECK(strchr(released, 'b') < strchr(released, 'c'));
  ecru_chan_release(go_on);
  ecru_scoped_key_destroy(scope_key);
}

static void *scoped_thread(void *unused) {
  (void)unused;
  CHECK(ecru_scoped_get(scope_key) == NULL);
  CHECK_EQ(ecru_scoped_enter(scope_key, "thread"), 0);
  CHECK_EQ(ecru_waitgroup_go(group, inherit, "thread"), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_scoped_leave(scope_key), 0);
  CHECK_EQ(ecru_scoped_enter(scope_key, "left at the thread's end"), 0);
  return NULL;
}
TEST(local, scoped_values_work_in_foreign_threads) { // G12, G10
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_scoped_key_create(&scope_key, NULL), 0);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, scoped_thread, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru_waitgroup_destroy(group);
  ecru_scoped_key_destroy(scope_key);
}

// ---- misuse --------------------------------------------------------------------------------------------------------

static void destroy_bound_key(void) {
  ecru_scoped_key_create(&scope_key, NULL);
  ecru_scoped_enter(scope_key, "bound");
  ecru_scoped_key_destroy(scope_key);
}
TEST(local, destroying_a_bound_scoped_key_is_a_panic) { // G12
  test_death(destroy_bound_key, -SIGABRT, "ecru_scoped_key_destroy");
}

TEST(local, bad_input_is_refused) { // G12
  CHECK_EQ(ecru_local_key_create(NULL, NULL), ECRU_EINVAL);
  ecru_local_key_destroy(NULL);
  CHECK_EQ(ecru_local_set(NULL, &destroyed), ECRU_EINVAL);
  CHECK(ecru_local_get(NULL) == NULL);
  CHECK_EQ(ecru_scoped_key_create(NULL, NULL), ECRU_EINVAL);
  ecru_scoped_key_destroy(NULL);
  CHECK_EQ(ecru_scoped_enter(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_scoped_leave(NULL), ECRU_EINVAL);
  CHECK(ecru_scoped_get(NULL) == NULL);
}
