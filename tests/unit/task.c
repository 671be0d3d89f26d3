/// tests/unit/task.c: task handles: start, join, outcome, cancellation, the report of unseen failures (T1, T2).
#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "platform/fault.h"
#include "test.h"

static int give_back(void *argument, void **result) {
  *result = argument;
  return 0;
}

static int fail_with(void *argument, void **result) {
  (void)result;
  return (int)(intptr_t)argument;
}

static void *status_argument(int status) { return (void *)(intptr_t)status; }

/// Waits on a channel until told what to return.
static int told(void *argument, void **result) {
  int status = 0, received = ecru_chan_recv(argument, &status);
  *result = argument;
  return received != 0 ? received : status;
}

static ecru_task *spawn(ecru_task_fn fn, void *argument) {
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn(&task, fn, argument), 0);
  CHECK(task != NULL);
  return task;
}

static ecru_chan *int_chan(size_t capacity) {
  ecru_chan *chan = NULL;
  CHECK_EQ(ecru_chan_create(&chan, sizeof(int), capacity), 0);
  return chan;
}

static void tell_of(ecru_chan *chan, int status) { CHECK_EQ(ecru_chan_send(chan, &status), 0); }

static void check_join(ecru_task *task, int expected) {
  int status = 12345;
  CHECK_EQ(ecru_task_join(task, &status, NULL), 0);
  CHECK_EQ(status, expected);
}

static void in_goroutine(ecru_fn fn, void *argument) { CHECK_EQ(ecru_run(fn, argument), 0); }

// ---- outcome ------------------------------------------------------------------------------------------------------

static void joins_twice(void *argument) {
  (void)argument;
  int value = 7;
  ecru_task *task = spawn(give_back, &value);
  for (int i = 0; i < 2; i++) {
    int status = -1;
    void *result = NULL;
    CHECK_EQ(ecru_task_join(task, &status, &result), 0);
    CHECK_EQ(status, 0);
    CHECK(result == &value);
  }
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_DONE);
  ecru_task_release(task);
}
TEST(task, join_gives_status_and_result_any_number_of_times) { // T1
  in_goroutine(joins_twice, NULL);
}

TEST(task, spawn_and_join_work_from_a_foreign_thread) { // T1, G1
  joins_twice(NULL);
}

static void has_states(void *argument) {
  (void)argument;
  ecru_chan *chan = int_chan(0);
  ecru_task *task = spawn(told, chan);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_RUNNING);
  tell_of(chan, ECRU_EIO);
  check_join(task, ECRU_EIO);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_FAILED);
  ecru_task_release(task);

  task = spawn(told, chan);
  tell_of(chan, 3);
  check_join(task, 3);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_DONE); // a positive status is a success

  ecru_task_release(task);
  ecru_chan_release(chan);
}
TEST(task, state_tells_running_done_and_failed) { // T1
  in_goroutine(has_states, NULL);
}

static int joins_other(void *argument, void **result) {
  int status = 0, joined = ecru_task_join(argument, &status, result);
  return joined != 0 ? joined : status;
}
static void many_joiners(void *argument) {
  enum { JOINERS = 100 };
  (void)argument;
  ecru_chan *chan = int_chan(0);
  ecru_task *task = spawn(told, chan), *joiners[JOINERS];
  for (int i = 0; i < JOINERS; i++) joiners[i] = spawn(joins_other, task);
  ecru_yield();
  tell_of(chan, 42);
  for (int i = 0; i < JOINERS; i++) {
    int status = 0;
    void *result = NULL;
    CHECK_EQ(ecru_task_join(joiners[i], &status, &result), 0);
    CHECK_EQ(status, 42);
    CHECK(result == chan);
    ecru_task_release(joiners[i]);
  }
  ecru_task_release(task);
  ecru_chan_release(chan);
}
TEST(task, many_join_one) { // T1
  in_goroutine(many_joiners, NULL);
}

static void *join_in_thread(void *argument) {
  check_join(argument, 42);
  return NULL;
}
TEST(task, foreign_threads_join_one) { // T1, G10
  enum { THREADS = 8 };
  ecru_chan *chan = int_chan(0);
  ecru_task *task = spawn(told, chan);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, join_in_thread, task), 0);
  tell_of(chan, 42);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  ecru_task_release(task);
  ecru_chan_release(chan);
}

static int own_id(void *argument, void **result) {
  (void)result;
  *(uint64_t *)argument = ecru_id();
  char name[32];
  ecru_name(name, sizeof name);
  return strcmp(name, "worker") == 0 ? 1 : 0;
}
static void has_id_and_name(void *argument) {
  (void)argument;
  uint64_t id = 0;
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "worker";
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, own_id, &id), 0);
  check_join(task, 1);
  CHECK_EQ(ecru_task_id(task), id);
  CHECK(id != 0);
  ecru_task_release(task);
}
TEST(task, has_the_id_and_name_of_its_goroutine) { // T1, G7
  in_goroutine(has_id_and_name, NULL);
}

static void own_thread_task(void *argument) {
  (void)argument;
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  ecru_chan *chan = int_chan(0);
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, told, chan), 0);
  tell_of(chan, 5);
  check_join(task, 5);
  ecru_task_release(task);
  ecru_chan_release(chan);
}
TEST(task, can_have_a_thread_of_its_own) { // T1, G10
  in_goroutine(own_thread_task, NULL);
}

static int exits(void *argument, void **result) {
  *result = argument;
  ecru_exit();
  return 0;
}
static _Atomic int reports;
static void count_report(void *context, uint64_t id, const char *name, int status) {
  (void)context, (void)id, (void)name, (void)status;
  atomic_fetch_add(&reports, 1);
}
static void exit_in_task(void *argument) {
  (void)argument;
  CHECK_EQ(ecru_set_unobserved_hook(count_report, NULL), 0);
  ecru_task *task = spawn(exits, &reports);
  void *result = &reports;
  int status = 0;
  CHECK_EQ(ecru_task_join(task, &status, &result), 0);
  CHECK_EQ(status, ECRU_ECANCELED);
  CHECK(result == NULL);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_CANCELED);
  ecru_task_release(task);
  task = spawn(exits, NULL);
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  ecru_task_release(task);
  CHECK_EQ(atomic_load(&reports), 0); // canceled is no failure
}
TEST(task, exit_in_a_task_cancels_it) { // T1, T2
  in_goroutine(exit_in_task, NULL);
}

// ---- cancellation -------------------------------------------------------------------------------------------------

static int waits_for_cancel(void *argument, void **result) {
  (void)argument, (void)result;
  return ecru_sleep(ECRU_FOREVER);
}
static void cancels_task(void *argument) {
  (void)argument;
  ecru_task *task = spawn(waits_for_cancel, NULL);
  ecru_yield();
  CHECK_EQ(ecru_task_cancel(task, ECRU_EPIPE), 0);
  check_join(task, ECRU_ECANCELED);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_CANCELED);
  CHECK_EQ(ecru_token_cause(ecru_task_token(task)), ECRU_EPIPE);
  CHECK_EQ(ecru_check(), 0); // the parent is not affected
  CHECK_EQ(ecru_task_cancel(task, 0), 0);
  ecru_task_release(task);
}
TEST(task, cancel_ends_its_blocking_operations) { // T1, K1, K2
  in_goroutine(cancels_task, NULL);
}

static void own_cancel_is_failure(void *argument) {
  (void)argument;
  ecru_task *task = spawn(fail_with, status_argument(ECRU_ECANCELED));
  check_join(task, ECRU_ECANCELED);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_FAILED); // nobody had cancelled it
  ecru_task_release(task);
}
TEST(task, canceled_without_a_cancel_is_a_failure) { // T1
  in_goroutine(own_cancel_is_failure, NULL);
}

static void parent_cancels(void *argument) {
  (void)argument;
  ecru_token *parent = NULL;
  CHECK_EQ(ecru_token_create(&parent, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(parent), 0);
  ecru_task *inherits = spawn(waits_for_cancel, NULL);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = parent;
  ecru_task *given = NULL;
  CHECK_EQ(ecru_spawn_with(&given, &options, waits_for_cancel, NULL), 0);
  ecru_task *outside = spawn(waits_for_cancel, NULL);
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  check_join(inherits, ECRU_ECANCELED);
  check_join(given, ECRU_ECANCELED);
  CHECK_EQ(ecru_task_state(outside), ECRU_TASK_RUNNING);
  CHECK_EQ(ecru_task_cancel(outside, 0), 0);
  check_join(outside, ECRU_ECANCELED);
  ecru_task_release(inherits);
  ecru_task_release(given);
  ecru_task_release(outside);
  ecru_token_release(parent);
}
TEST(task, its_token_is_a_child_of_the_spawners) { // T1, K1, K2
  in_goroutine(parent_cancels, NULL);
}

static int grandchild_canceled(void *argument, void **result) {
  ecru_task *child = spawn(waits_for_cancel, NULL);
  CHECK_EQ(ecru_chan_close(argument), 0);
  int status = 0;
  int joined = ecru_task_join(child, &status, NULL);
  CHECK(joined == ECRU_ECANCELED || (joined == 0 && status == ECRU_ECANCELED)); // the child may end before it is waited for
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  check_join(child, ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_task_release(child);
  (void)result;
  return ECRU_ECANCELED;
}
static void cancel_reaches_grandchildren(void *argument) {
  (void)argument;
  ecru_chan *started = int_chan(0);
  ecru_task *task = spawn(grandchild_canceled, started);
  CHECK_EQ(ecru_chan_recv(started, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_task_cancel(task, 0), 0);
  check_join(task, ECRU_ECANCELED);
  ecru_task_release(task);
  ecru_chan_release(started);
}
TEST(task, cancel_reaches_the_tasks_it_has_spawned) { // T1, K1, K2
  in_goroutine(cancel_reaches_grandchildren, NULL);
}

static int gives_current_token(void *argument, void **result) {
  *result = ecru_token_current();
  return ecru_chan_recv(argument, NULL) == ECRU_ECLOSED ? 0 : ECRU_EIO;
}
static void one_token(void *argument) {
  (void)argument;
  ecru_chan *gate = NULL;
  CHECK_EQ(ecru_chan_create(&gate, 0, 0), 0);
  for (int asks_first = 0; asks_first <= 1; asks_first++) {
    ecru_task *task = spawn(gives_current_token, gate);
    ecru_token *token = asks_first ? ecru_task_token(task) : NULL;
    for (int i = 0; i < 3; i++) ecru_yield();
    if (!asks_first) token = ecru_task_token(task);
    CHECK(ecru_token_current() != token);
    if (asks_first) CHECK_EQ(ecru_chan_close(gate), 0);
    else CHECK_EQ(ecru_task_cancel(task, 0), 0);
    void *result = NULL;
    CHECK_EQ(ecru_task_join(task, NULL, &result), 0);
    CHECK(result == token);
    ecru_task_release(task);
  }
  ecru_chan_release(gate);
}
TEST(task, its_token_is_the_same_from_inside_and_outside) { // T1, K2
  in_goroutine(one_token, NULL);
}

static int checks_until_canceled(void *argument, void **result) {
  (void)result;
  atomic_store((_Atomic int *)argument, 1);
  for (;;) { // never parks
    int status = ecru_check();
    if (status != 0) return status;
  }
}
static void cancels_busy(void *argument) {
  (void)argument;
  _Atomic int started = 0;
  ecru_task *task = spawn(checks_until_canceled, &started);
  while (!atomic_load(&started)) ecru_yield();
  CHECK_EQ(ecru_task_cancel(task, 0), 0);
  check_join(task, ECRU_ECANCELED);
  ecru_task_release(task);
}
TEST(task, cancel_is_seen_without_parking) { // T1, K2
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 2;
  CHECK_EQ(ecru_run_with(&options, cancels_busy, NULL), 0);
}

static void times_out_from_outside(void *argument) {
  (void)argument;
  ecru_task *task = spawn(waits_for_cancel, NULL);
  ecru_yield();
  CHECK_EQ(ecru_token_reset(ecru_task_token(task), ecru_after(ECRU_MILLISECOND)), 0);
  check_join(task, ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_FAILED);
  CHECK_EQ(ecru_token_err(ecru_task_token(task)), ECRU_ETIMEDOUT);
  ecru_task_release(task);
}
TEST(task, its_token_can_be_given_a_deadline_from_outside) { // T1, K5
  in_goroutine(times_out_from_outside, NULL);
}

/// Cancelled while it waits for the mutex again after a wait on the condition: that wait is no cancellation point.
typedef struct shielded {
  ecru_mutex *mutex;
  ecru_cond *cond;
  _Atomic int waits;
} shielded;
static int waits_for_cond(void *argument, void **result) {
  (void)result;
  shielded *self = argument;
  CHECK_EQ(ecru_mutex_lock(self->mutex), 0);
  atomic_store(&self->waits, 1);
  CHECK_EQ(ecru_cond_wait(self->cond, self->mutex), 0); // was signalled in time
  CHECK_EQ(ecru_mutex_unlock(self->mutex), 0);
  CHECK_EQ(ecru_check(), ECRU_ECANCELED); // and not forgotten
  return ecru_sleep(ECRU_FOREVER);
}
static void cancel_while_shielded(void *argument) {
  (void)argument;
  shielded self = {.waits = 0};
  CHECK_EQ(ecru_mutex_create(&self.mutex), 0);
  CHECK_EQ(ecru_cond_create(&self.cond), 0);
  ecru_task *task = spawn(waits_for_cond, &self);
  while (!atomic_load(&self.waits)) ecru_yield();
  CHECK_EQ(ecru_mutex_lock(self.mutex), 0); // the task has parked: it holds the mutex until then
  CHECK_EQ(ecru_cond_signal(self.cond), 0);
  for (int i = 0; i < 10; i++) ecru_yield();
  CHECK_EQ(ecru_task_cancel(task, 0), 0);
  for (int i = 0; i < 10; i++) ecru_yield();
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_RUNNING);
  CHECK_EQ(ecru_mutex_unlock(self.mutex), 0);
  check_join(task, ECRU_ECANCELED);
  ecru_task_release(task);
  ecru_cond_destroy(self.cond);
  ecru_mutex_destroy(self.mutex);
}
TEST(task, cancel_during_a_shielded_wait_is_seen_after_it) { // T1, K2
  in_goroutine(cancel_while_shielded, NULL);
}

static void token_outlives(void *argument) {
  (void)argument;
  ecru_task *task = spawn(give_back, NULL);
  check_join(task, 0);
  ecru_token *late = ecru_token_retain(ecru_task_token(task)); // first asked for after the end
  CHECK_EQ(ecru_token_err(late), 0);
  CHECK_EQ(ecru_task_cancel(task, 0), 0); // nothing is left to cancel
  CHECK_EQ(ecru_token_err(late), 0);
  ecru_task_release(task);
  CHECK_EQ(ecru_token_cancel(late, 0), 0);
  CHECK_EQ(ecru_token_err(late), ECRU_ECANCELED);
  ecru_token_release(late);

  task = spawn(waits_for_cancel, NULL);
  ecru_token *early = ecru_token_retain(ecru_task_token(task));
  ecru_task_release(task); // the token is all that is left to stop it with
  CHECK_EQ(ecru_token_cancel(early, 0), 0);
  ecru_token_release(early);
}
TEST(task, its_token_may_outlive_it) { // T1, K1
  in_goroutine(token_outlives, NULL);
}

static void canceled_with_parent(void *argument) {
  (void)argument;
  ecru_token *parent = NULL;
  CHECK_EQ(ecru_token_create(&parent, NULL, ECRU_FOREVER), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = parent;
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, waits_for_cancel, NULL), 0);
  ecru_yield();
  CHECK_EQ(ecru_token_cancel(parent, ECRU_EPIPE), 0);
  ecru_token_release(parent);
  check_join(task, ECRU_ECANCELED);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_CANCELED);
  CHECK_EQ(ecru_token_err(ecru_task_token(task)), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_cause(ecru_task_token(task)), ECRU_EPIPE);
  ecru_task_release(task);
}
TEST(task, its_token_tells_the_cause_after_the_end) { // T1, K1
  in_goroutine(canceled_with_parent, NULL);
}

static void join_times_out(void *argument) {
  (void)argument;
  ecru_chan *chan = int_chan(0);
  ecru_task *task = spawn(told, chan);
  int status = 12345;
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_task_join(task, &status, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(status, 12345);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_RUNNING); // the task runs on
  tell_of(chan, 0);
  check_join(task, 0);
  ecru_task_release(task);
  ecru_chan_release(chan);
}
TEST(task, join_ends_with_the_joiners_deadline) { // T1, K2
  in_goroutine(join_times_out, NULL);
}

static int joins_itself(void *argument, void **result) {
  ecru_task *self = NULL;
  CHECK_EQ(ecru_chan_recv(argument, &self), 0);
  int status = 12345;
  CHECK_EQ(ecru_task_join(self, &status, result), ECRU_EDEADLK);
  CHECK_EQ(status, 12345);
  return 0;
}
static void joins_itself_body(void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = (unsigned)(uintptr_t)argument;
  ecru_chan *chan = NULL;
  CHECK_EQ(ecru_chan_create(&chan, sizeof(ecru_task *), 0), 0);
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, joins_itself, chan), 0);
  CHECK_EQ(ecru_chan_send(chan, &task), 0);
  check_join(task, 0);
  ecru_task_release(task);
  ecru_chan_release(chan);
}
TEST(task, joining_itself_is_a_deadlock_code) { // T1
  in_goroutine(joins_itself_body, 0);
  in_goroutine(joins_itself_body, (void *)(uintptr_t)ECRU_OWN_THREAD);
}

static void selects_task(void *argument) {
  (void)argument;
  CHECK_EQ(ecru_set_unobserved_hook(count_report, NULL), 0);
  ecru_chan *chan = int_chan(0);
  ecru_task *slow = spawn(told, chan), *quick = spawn(fail_with, status_argument(ECRU_EIO));
  ecru_case cases[] = {{ECRU_CASE_TASK, 0, slow, NULL}, {ECRU_CASE_TASK, 0, quick, NULL}};
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(ecru_task_state(quick), ECRU_TASK_FAILED);
  ecru_task_release(quick); // being picked has observed it
  CHECK_EQ(atomic_load(&reports), 0);
  tell_of(chan, 0);
  CHECK_EQ(ecru_select(cases, 1, 0), 0);
  ecru_task_release(slow);
  ecru_chan_release(chan);
}
TEST(task, can_stand_in_a_select) { // T1, S1, T2
  in_goroutine(selects_task, NULL);
}

// ---- T2: failures nobody looked at --------------------------------------------------------------------------------

static struct {
  _Atomic int calls;
  uint64_t id;
  char name[64];
  int status;
} seen;
static void remember_report(void *context, uint64_t id, const char *name, int status) {
  CHECK(context == &seen);
  seen.id = id;
  snprintf(seen.name, sizeof seen.name, "%s", name);
  seen.status = status;
  atomic_fetch_add(&seen.calls, 1);
}

static void reports_at_last_release(void *argument) {
  (void)argument;
  CHECK_EQ(ecru_set_unobserved_hook(remember_report, &seen), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "loser";
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, fail_with, status_argument(ECRU_EPIPE)), 0);
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0); // without asking for the status
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_FAILED);
  uint64_t id = ecru_task_id(task);
  CHECK(ecru_task_retain(task) == task);
  ecru_task_release(task);
  CHECK_EQ(atomic_load(&seen.calls), 0); // there is a handle left
  ecru_task_release(task);
  CHECK_EQ(atomic_load(&seen.calls), 1);
  CHECK_EQ(seen.id, id);
  CHECK_STR(seen.name, "loser");
  CHECK_EQ(seen.status, ECRU_EPIPE);
}
TEST(task, unseen_failure_is_reported_once_at_the_last_release) { // T2
  in_goroutine(reports_at_last_release, NULL);
}

static void reports_at_end(void *argument) {
  ecru_chan *chan = argument;
  CHECK_EQ(ecru_set_unobserved_hook(remember_report, &seen), 0);
  ecru_task *task = spawn(told, chan);
  uint64_t id = ecru_task_id(task);
  ecru_task_release(task);
  CHECK_EQ(atomic_load(&seen.calls), 0);
  tell_of(chan, ECRU_EIO);
  while (atomic_load(&seen.calls) == 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(seen.id, id);
  CHECK_EQ(seen.status, ECRU_EIO);
}
TEST(task, failure_after_the_last_release_is_reported_at_its_end) { // T2
  ecru_chan *chan = int_chan(0);
  in_goroutine(reports_at_end, chan);
  CHECK_EQ(atomic_load(&seen.calls), 1);
  ecru_chan_release(chan);
}

static void seen_failures(void *argument) {
  (void)argument;
  CHECK_EQ(ecru_set_unobserved_hook(count_report, NULL), 0);
  ecru_task *failed = spawn(fail_with, status_argument(ECRU_EIO));
  check_join(failed, ECRU_EIO);
  ecru_task_release(failed);
  ecru_task *done = spawn(give_back, NULL);
  CHECK_EQ(ecru_task_join(done, NULL, NULL), 0);
  ecru_task_release(done);
  ecru_task *canceled = spawn(waits_for_cancel, NULL);
  CHECK_EQ(ecru_task_cancel(canceled, 0), 0);
  CHECK_EQ(ecru_task_join(canceled, NULL, NULL), 0);
  CHECK_EQ(ecru_task_state(canceled), ECRU_TASK_CANCELED);
  ecru_task_release(canceled);
  CHECK_EQ(atomic_load(&reports), 0);
}
TEST(task, what_was_seen_or_succeeded_or_was_cancelled_is_not_reported) { // T2
  in_goroutine(seen_failures, NULL);
}

static void dies_on_stderr(void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = argument;
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn_with(&task, &options, fail_with, status_argument(ECRU_EMFILE)), 0);
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  ecru_task_release(task);
}
static void report_named(void) { in_goroutine(dies_on_stderr, "night shift"); }
static void report_unnamed(void) { in_goroutine(dies_on_stderr, NULL); }
static void report_after_hook_was_taken_back(void) {
  ecru_set_unobserved_hook(count_report, NULL);
  ecru_set_unobserved_hook(NULL, NULL);
  in_goroutine(dies_on_stderr, "night shift");
}
TEST(task, default_report_is_a_line_on_stderr) { // T2
  test_death(report_named, 0, " \"night shift\" failed and nobody looked: -24 ECRU_EMFILE (too many open files)\n");
  test_death(report_unnamed, 0, " failed and nobody looked: -24 ECRU_EMFILE (too many open files)\n");
  test_death(report_after_hook_was_taken_back, 0, "ECRU_EMFILE");
}

// ---- handles ------------------------------------------------------------------------------------------------------

static void releases_early(void *argument) {
  enum { TASKS = 1000 };
  (void)argument;
  static _Atomic int ran;
  for (int i = 0; i < TASKS; i++) ecru_task_release(spawn(give_back, &ran));
  ecru_task *last = spawn(give_back, &ran);
  check_join(last, 0);
  ecru_task_release(last);
}
TEST(task, runs_on_without_a_handle) { // T1
  in_goroutine(releases_early, NULL);
}

static int passes_on(void *argument, void **result) {
  ecru_task *task = argument; // a reference of our own
  int status = 0;
  CHECK_EQ(ecru_task_join(task, &status, result), 0);
  ecru_task_release(task);
  return status;
}
static void shares_handles(void *argument) {
  enum { ROUNDS = 2000, SHARERS = 3 };
  (void)argument;
  for (long round = 0; round < test_scaled(ROUNDS); round++) {
    ecru_task *task = spawn(give_back, &round), *sharers[SHARERS];
    for (int i = 0; i < SHARERS; i++) sharers[i] = spawn(passes_on, ecru_task_retain(task));
    ecru_task_release(task);
    for (int i = 0; i < SHARERS; i++) {
      void *result = NULL;
      CHECK_EQ(ecru_task_join(sharers[i], NULL, &result), 0);
      CHECK(result == &round);
      ecru_task_release(sharers[i]);
    }
  }
}
TEST(task, handles_are_counted) { // T1
  in_goroutine(shares_handles, NULL);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static void bad_arguments(void *argument) {
  (void)argument;
  ecru_task *task = NULL;
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = 1;
  CHECK_EQ(ecru_spawn(NULL, give_back, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_spawn(&task, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_spawn_with(&task, &options, give_back, NULL), ECRU_EINVAL);
  CHECK(task == NULL);
  CHECK_EQ(ecru_task_join(NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_task_state(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_task_cancel(NULL, 0), ECRU_EINVAL);
  CHECK(ecru_task_token(NULL) == NULL);
  CHECK_EQ(ecru_task_id(NULL), 0);
  CHECK(ecru_task_retain(NULL) == NULL);
  ecru_task_release(NULL);
  task = spawn(give_back, NULL);
  CHECK_EQ(ecru_task_cancel(task, 1), ECRU_EINVAL);
  check_join(task, 0);
  ecru_task_release(task);
}
TEST(task, bad_arguments_have_codes) { // T1
  in_goroutine(bad_arguments, NULL);
}

static int tries_to_spawn(void *argument, void **result) {
  (void)result;
  ecru_sleep(ECRU_FOREVER); // until the stop cancels the root
  ecru_task *task = NULL;
  *(_Atomic int *)argument = ecru_spawn(&task, give_back, NULL);
  return 0;
}
TEST(task, spawn_after_shutdown_has_a_code) { // T1, G13
  _Atomic int status = 0;
  ecru_task *task = spawn(tries_to_spawn, &status);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&status), ECRU_ESHUTDOWN);
  ecru_task_release(task);
}

TEST(task, handle_outlives_the_runtime) { // T1, G13
  int value = 0;
  ecru_task *task = spawn(give_back, &value);
  check_join(task, 0);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_DONE);
  check_join(task, 0); // starts the runtime again
  ecru_task_release(task);
}
