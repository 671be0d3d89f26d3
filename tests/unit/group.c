/// tests/unit/group.c: groups (T4): lifetime, first error, limit, supervisor, nesting.
#include <ecru/ecru.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "tests/dumps.h"
#include "tests/test.h"

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }
static void run_both(ecru_fn fn) {
  fn(NULL);
  CHECK_EQ(ecru_stop(), 0);
  run(fn);
}

static ecru_group *new_group(size_t limit, unsigned flags) {
  ecru_group *group = NULL;
  CHECK_EQ(ecru_group_create(&group, limit, flags), 0);
  CHECK(group != NULL);
  return group;
}

static _Atomic int alive, most_alive, ended;
static void count_in(void) {
  int now = atomic_fetch_add(&alive, 1) + 1, most = atomic_load(&most_alive);
  while (now > most && !atomic_compare_exchange_weak(&most_alive, &most, now)) {}
}
static void count_out(void) {
  atomic_fetch_sub(&alive, 1);
  atomic_fetch_add(&ended, 1);
}

static int yields(void *argument, void **result) {
  (void)result;
  count_in();
  for (int i = 0; i < 5; i++) ecru_yield();
  count_out();
  return (int)(intptr_t)argument;
}
static int sleeps(void *argument, void **result) {
  (void)argument, (void)result;
  count_in();
  int status = ecru_sleep(ECRU_FOREVER);
  count_out();
  return status;
}
static int returns(void *argument, void **result) {
  (void)result;
  return (int)(intptr_t)argument;
}
static void *status_argument(int status) { return (void *)(intptr_t)status; }

// ---- lifetime -----------------------------------------------------------------------------------------------------

static void all_end(void *unused) {
  enum { CHILDREN = 500 };
  (void)unused;
  atomic_store(&ended, 0);
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < CHILDREN; i++) CHECK_EQ(ecru_group_go(group, yields, NULL), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  CHECK_EQ(atomic_load(&ended), CHILDREN);
  CHECK_EQ(ecru_group_errors(group, NULL, 0), 0);
  CHECK_EQ(ecru_group_wait(group), 0); // idempotent
  ecru_group_destroy(group);
}
TEST(group, all_have_ended_when_wait_returns) { // T4
  run_both(all_end);
}

static void destructor(void *value) {
  for (int i = 0; i < 3; i++) ecru_yield();
  atomic_fetch_add((_Atomic int *)value, 1);
}
static ecru_local_key *key;
static int sets_local(void *argument, void **result) {
  (void)result;
  return ecru_local_set(key, argument);
}
static void locals_too(void *unused) {
  (void)unused;
  static _Atomic int destroyed;
  CHECK_EQ(ecru_local_key_create(&key, destructor), 0);
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_group_go(group, sets_local, &destroyed), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  CHECK_EQ(atomic_load(&destroyed), 20);
  ecru_group_destroy(group);
  ecru_local_key_destroy(key);
}
TEST(group, wait_covers_the_destructors_of_local_values) { // T4, G12
  run(locals_too);
}

static int spreads(void *argument, void **result) {
  ecru_group *group = *(ecru_group **)argument;
  static _Atomic int budget = 200;
  for (int i = 0; i < 2; i++)
    if (atomic_fetch_sub(&budget, 1) > 0) CHECK_EQ(ecru_group_go(group, spreads, argument), 0);
  return yields(NULL, result);
}
static void children_spawn(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, spreads, &group), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  CHECK_EQ(atomic_load(&ended), 201);
  CHECK_EQ(ecru_group_go(group, yields, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_group_try_go(group, yields, NULL), ECRU_ESHUTDOWN);
  ecru_group_destroy(group);
}
TEST(group, children_start_siblings_until_it_has_been_waited_for) { // T4
  run(children_spawn);
}

static void waits_too(void *argument) {
  void **pair = argument;
  CHECK_EQ(ecru_group_wait(pair[0]), ECRU_EIO);
  CHECK_EQ(ecru_waitgroup_done(pair[1]), 0);
}
static void many_wait(void *unused) {
  enum { WAITERS = 10 };
  (void)unused;
  ecru_group *group = new_group(0, 0);
  ecru_waitgroup *waiters = NULL;
  CHECK_EQ(ecru_waitgroup_create(&waiters), 0);
  CHECK_EQ(ecru_waitgroup_add(waiters, WAITERS), 0);
  void *pair[] = {group, waiters};
  CHECK_EQ(ecru_group_go(group, yields, status_argument(ECRU_EIO)), 0);
  for (int i = 0; i < WAITERS; i++) CHECK_EQ(ecru_go(waits_too, pair), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_EIO);
  CHECK_EQ(ecru_waitgroup_wait(waiters), 0);
  ecru_waitgroup_destroy(waiters);
  ecru_group_destroy(group);
}
TEST(group, many_can_wait) { // T4
  run(many_wait);
}

static void destroys(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_group_go(group, sleeps, NULL), 0);
  ecru_group_destroy(group);
  CHECK_EQ(atomic_load(&alive), 0);
}
TEST(group, destroy_cancels_and_waits) { // T4
  run_both(destroys);
}

// ---- errors -------------------------------------------------------------------------------------------------------

static void first_error(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_group_go(group, sleeps, NULL), 0);
  CHECK_EQ(ecru_group_go(group, yields, status_argument(ECRU_EPIPE)), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_EPIPE);
  CHECK_EQ(ecru_token_err(ecru_group_token(group)), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_cause(ecru_group_token(group)), ECRU_EPIPE);
  int errors[3] = {1, 1, 1};
  CHECK_EQ(ecru_group_errors(group, errors, 3), 1); // the siblings gave up: no causes
  CHECK_EQ(errors[0], ECRU_EPIPE);
  CHECK_EQ(errors[1], 1);
  CHECK_EQ(ecru_check(), 0); // the parent is not affected
  ecru_group_destroy(group);
}
TEST(group, first_error_cancels_the_rest_and_is_the_cause) { // T4, K1
  run_both(first_error);
}

static int fails_despite_cancel(void *argument, void **result) {
  (void)result;
  ecru_sleep(ECRU_FOREVER);
  return (int)(intptr_t)argument;
}
static void all_errors(void *unused) {
  enum { CHILDREN = 100 };
  (void)unused;
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < CHILDREN; i++)
    CHECK_EQ(ecru_group_go(group, fails_despite_cancel, status_argument(-1000 - i)), 0);
  CHECK_EQ(ecru_group_go(group, returns, status_argument(ECRU_EIO)), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_EIO);
  int errors[CHILDREN + 1], some[2] = {0, 0}, sum = 0;
  CHECK_EQ(ecru_group_errors(group, errors, CHILDREN + 1), CHILDREN + 1);
  CHECK_EQ(errors[0], ECRU_EIO);
  for (int i = 1; i <= CHILDREN; i++) sum += -1000 - errors[i];
  CHECK_EQ(sum, CHILDREN * (CHILDREN - 1) / 2);
  CHECK_EQ(ecru_group_errors(group, some, 2), CHILDREN + 1);
  CHECK_EQ(some[1], errors[1]);
  ecru_group_destroy(group);
}
TEST(group, all_errors_can_be_read) { // T4
  run(all_errors);
}

static void in_time_order(void *unused) {
  enum { CHILDREN = 50 };
  (void)unused;
  ecru_group *group = new_group(1, ECRU_GROUP_SUPERVISOR); // one at a time: the order of time is the order of start
  for (int i = 0; i < CHILDREN; i++) CHECK_EQ(ecru_group_go(group, yields, status_argument(-1 - i)), 0);
  CHECK_EQ(ecru_group_wait(group), -1);
  int errors[CHILDREN];
  CHECK_EQ(ecru_group_errors(group, errors, CHILDREN), CHILDREN);
  for (int i = 0; i < CHILDREN; i++) CHECK_EQ(errors[i], -1 - i);
  CHECK_EQ(ecru_token_err(ecru_group_token(group)), 0);
  ecru_group_destroy(group);
}
TEST(group, errors_come_in_order_of_time) { // T4
  run(in_time_order);
}

static void supervises(void *unused) {
  (void)unused;
  atomic_store(&ended, 0);
  ecru_group *group = new_group(0, ECRU_GROUP_SUPERVISOR);
  CHECK_EQ(ecru_group_go(group, returns, status_argument(ECRU_EIO)), 0);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_group_go(group, yields, NULL), 0);
  CHECK_EQ(ecru_group_go(group, returns, status_argument(ECRU_EPIPE)), 0);
  int status = ecru_group_wait(group);
  CHECK(status == ECRU_EIO || status == ECRU_EPIPE);
  CHECK_EQ(atomic_load(&ended), 20);
  CHECK_EQ(ecru_token_err(ecru_group_token(group)), 0);
  CHECK_EQ(ecru_group_errors(group, NULL, 9), 2);
  ecru_group_destroy(group);
}
TEST(group, supervisor_isolates_failures) { // T4
  run(supervises);
}

static int exits(void *argument, void **result) {
  (void)argument, (void)result;
  ecru_exit();
  return 0;
}
static void given_up(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, sleeps, NULL), 0);
  CHECK_EQ(ecru_group_cancel(group, 0), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED); // nobody failed, but not all is done
  CHECK_EQ(ecru_group_errors(group, NULL, 0), 0);
  ecru_group_destroy(group);

  group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, exits, NULL), 0);
  CHECK_EQ(ecru_group_go(group, yields, NULL), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED);
  CHECK_EQ(ecru_group_errors(group, NULL, 0), 0);
  CHECK_EQ(ecru_token_err(ecru_group_token(group)), 0);
  ecru_group_destroy(group);

  group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, returns, status_argument(ECRU_ECANCELED)), 0); // nobody had cancelled it
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED);
  CHECK_EQ(ecru_group_errors(group, NULL, 0), 1);
  ecru_group_destroy(group);
}
TEST(group, who_gives_up_has_not_failed_but_shows) { // T4
  run(given_up);
}

// ---- limit --------------------------------------------------------------------------------------------------------

static void limited(void *unused) {
  enum { LIMIT = 3, CHILDREN = 100 };
  (void)unused;
  atomic_store(&most_alive, 0);
  atomic_store(&ended, 0);
  ecru_group *group = new_group(LIMIT, 0);
  for (int i = 0; i < CHILDREN; i++) CHECK_EQ(ecru_group_go(group, yields, NULL), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  CHECK_EQ(atomic_load(&ended), CHILDREN);
  CHECK(atomic_load(&most_alive) <= LIMIT);
  ecru_group_destroy(group);
}
TEST(group, limit_bounds_how_many_run) { // T4
  run_both(limited);
}

static int waits_for_gate(void *argument, void **result) {
  (void)result;
  return ecru_chan_recv(argument, NULL) == ECRU_ECLOSED ? 0 : ECRU_EIO;
}
static void try_go(void *unused) {
  (void)unused;
  ecru_chan *gate = NULL;
  CHECK_EQ(ecru_chan_create(&gate, 0, 0), 0);
  ecru_group *group = new_group(2, 0);
  CHECK_EQ(ecru_group_try_go(group, waits_for_gate, gate), 0);
  CHECK_EQ(ecru_group_go(group, waits_for_gate, gate), 0);
  CHECK_EQ(ecru_group_try_go(group, waits_for_gate, gate), ECRU_EAGAIN);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_group_go(group, waits_for_gate, gate), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_chan_close(gate), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  ecru_group_destroy(group);
  ecru_chan_release(gate);
}
TEST(group, try_go_says_again_and_go_obeys_the_callers_deadline) { // T4, K2
  run(try_go);
}

/// Goers wait for the one slot of a group in a known order.
typedef struct goer {
  ecru_group *group;
  ecru_chan *started;
  int number, status;
} goer;
static int says_number(void *argument, void **result) {
  (void)result;
  goer *self = argument;
  return ecru_chan_send(self->started, &self->number);
}
static void goes(void *argument) {
  goer *self = argument;
  self->status = ecru_group_go(self->group, says_number, self);
  int none = -1;
  if (self->status != 0) CHECK_EQ(ecru_chan_send(self->started, &none), 0);
}
static void fifo(void *unused) {
  enum { GOERS = 20 };
  (void)unused;
  ecru_chan *gate = NULL, *started = NULL;
  CHECK_EQ(ecru_chan_create(&gate, 0, 0), 0);
  CHECK_EQ(ecru_chan_create(&started, sizeof(int), GOERS), 0);
  ecru_group *group = new_group(1, 0);
  CHECK_EQ(ecru_group_go(group, waits_for_gate, gate), 0);
  goer goers[GOERS];
  for (int i = 0; i < GOERS; i++) {
    goers[i] = (goer){group, started, i, 1};
    CHECK_EQ(ecru_go(goes, &goers[i]), 0);
    await_waiting((uint64_t)i + 2); // it and those before it, the one at the gate
  }
  CHECK_EQ(ecru_chan_close(gate), 0);
  for (int i = 0; i < GOERS; i++) {
    int number = -1;
    CHECK_EQ(ecru_chan_recv(started, &number), 0);
    CHECK_EQ(number, i);
  }
  CHECK_EQ(ecru_group_wait(group), 0);
  ecru_group_destroy(group);
  ecru_chan_release(gate);
  ecru_chan_release(started);
}
TEST(group, those_who_wait_for_the_limit_are_served_in_order) { // T4
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_run_with(&options, fifo, NULL), 0);
}

static void turned_away(void *argument) {
  enum { GOERS = 20 };
  bool by_parent = argument != NULL;
  ecru_chan *started = NULL;
  CHECK_EQ(ecru_chan_create(&started, sizeof(int), GOERS), 0);
  ecru_token *parent = NULL;
  CHECK_EQ(ecru_token_create(&parent, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(parent), 0);
  ecru_group *group = new_group(1, 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_group_go(group, sleeps, NULL), 0);
  goer goers[GOERS];
  for (int i = 0; i < GOERS; i++) {
    goers[i] = (goer){group, started, i, 1};
    CHECK_EQ(ecru_go(goes, &goers[i]), 0);
  }
  for (int i = 0; i < 2 * GOERS; i++) ecru_yield();
  CHECK_EQ(by_parent ? ecru_token_cancel(parent, 0) : ecru_group_cancel(group, 0), 0);
  for (int i = 0; i < GOERS; i++) {
    int number = 0;
    CHECK_EQ(ecru_chan_recv(started, &number), 0);
    CHECK_EQ(number, -1);
  }
  for (int i = 0; i < GOERS; i++) CHECK_EQ(goers[i].status, ECRU_ECANCELED);
  CHECK_EQ(ecru_group_go(group, yields, NULL), ECRU_ECANCELED);
  CHECK_EQ(ecru_group_try_go(group, yields, NULL), ECRU_ECANCELED);
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED);
  ecru_group_destroy(group);
  ecru_token_release(parent);
  ecru_chan_release(started);
}
TEST(group, cancel_turns_away_those_who_wait_for_the_limit) { // T4, K2
  CHECK_EQ(ecru_run(turned_away, NULL), 0);
  CHECK_EQ(ecru_run(turned_away, &alive), 0); // a parent's token: passed on from goer to goer
}

// ---- cancellation -------------------------------------------------------------------------------------------------

static void caller_times_out(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  for (int i = 0; i < 5; i++) CHECK_EQ(ecru_group_go(group, sleeps, NULL), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED);
  CHECK_EQ(atomic_load(&alive), 0); // it waited all the same
  CHECK_EQ(ecru_token_cause(ecru_group_token(group)), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_group_wait(group), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_group_destroy(group);
}
TEST(group, a_cancelled_wait_cancels_the_group_and_waits_on) { // T4, K2
  run_both(caller_times_out);
}

static int with_inner_group(void *argument, void **result) {
  (void)result;
  ecru_group *inner = new_group(0, 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_group_go(inner, sleeps, NULL), 0);
  if (argument) CHECK_EQ(ecru_group_go(inner, yields, argument), 0);
  int status = ecru_group_wait(inner);
  ecru_group_destroy(inner);
  return status;
}
static void nests(void *unused) {
  (void)unused;
  ecru_group *outer = new_group(0, ECRU_GROUP_SUPERVISOR);
  CHECK_EQ(ecru_group_go(outer, with_inner_group, status_argument(ECRU_EMFILE)), 0);
  CHECK_EQ(ecru_group_go(outer, with_inner_group, NULL), 0);
  while (ecru_group_errors(outer, NULL, 0) == 0) ecru_yield();
  while (atomic_load(&alive) != 3) ecru_yield(); // an inner group's failure stays inside
  CHECK_EQ(ecru_group_cancel(outer, 0), 0);       // an outer group's cancel reaches all
  CHECK_EQ(ecru_group_wait(outer), ECRU_EMFILE);
  CHECK_EQ(atomic_load(&alive), 0);
  CHECK_EQ(ecru_group_errors(outer, NULL, 0), 1);
  ecru_group_destroy(outer);
}
TEST(group, nested_groups_nest_tokens) { // T4, K1
  run(nests);
}

static void under_fired_token(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, yields, NULL), 0);
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_group_go(group, yields, NULL), ECRU_ECANCELED); // a cancellation point
  CHECK_EQ(ecru_group_try_go(group, yields, NULL), 0);          // none: it never parks
  ecru_group *late = new_group(0, 0);
  CHECK_EQ(ecru_group_try_go(late, yields, NULL), ECRU_ECANCELED); // born cancelled
  CHECK_EQ(ecru_group_wait(late), 0);
  ecru_group_destroy(late);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  ecru_group_destroy(group);
  ecru_token_release(token);
}
TEST(group, go_is_a_cancellation_point) { // T4, K2
  run(under_fired_token);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static int waits_for_own_group(void *argument, void **result) {
  (void)result;
  CHECK_EQ(ecru_group_wait(argument), ECRU_EDEADLK);
  return 0;
}
static void bad_arguments(void *unused) {
  (void)unused;
  ecru_group *group = NULL;
  CHECK_EQ(ecru_group_create(NULL, 0, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_group_create(&group, 0, 2), ECRU_EINVAL);
  CHECK(group == NULL);
  CHECK_EQ(ecru_group_go(NULL, yields, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_group_try_go(NULL, yields, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_group_wait(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_group_cancel(NULL, 0), ECRU_EINVAL);
  CHECK(ecru_group_token(NULL) == NULL);
  CHECK_EQ(ecru_group_errors(NULL, NULL, 0), 0);
  ecru_group_destroy(NULL);
  group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_group_cancel(group, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_group_go(group, waits_for_own_group, group), 0);
  CHECK_EQ(ecru_group_wait(group), 0);
  ecru_group_destroy(group);
}
TEST(group, bad_arguments_have_codes) { // T4
  run(bad_arguments);
}

static int destroys_own_group(void *argument, void **result) {
  (void)result;
  ecru_group_destroy(argument);
  return 0;
}
static void destroys_from_inside(void *unused) {
  (void)unused;
  ecru_group *group = new_group(0, 0);
  CHECK_EQ(ecru_group_go(group, destroys_own_group, group), 0);
  ecru_group_wait(group);
}
static void die_inside(void) { run(destroys_from_inside); }
TEST(group, destroying_it_from_a_child_is_a_panic) { // T4
  test_death(die_inside, -SIGABRT, "ecru_group_destroy");
}

static int goes_after_stop(void *argument, void **result) {
  (void)result;
  ecru_sleep(ECRU_FOREVER);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  ecru_group *shielded = new_group(0, 0);
  atomic_store((_Atomic int *)argument, ecru_group_go(shielded, yields, NULL));
  ecru_group_destroy(shielded);
  return ecru_token_leave();
}
TEST(group, go_after_shutdown_has_a_code) { // T4, G13
  _Atomic int status = 1;
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn(&task, goes_after_stop, &status), 0);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&status), ECRU_ESHUTDOWN);
  ecru_task_release(task);
}
