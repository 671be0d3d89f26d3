/// tests/unit/join.c: waiting for many tasks (T3): all, the first success, each in order of completion.
#include <ecru/ecru.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "dumps.h"

enum { CROWD = 100 };

/// A task that returns the status it is sent, and a pointer to its place as the result; ends early if it is cancelled.
typedef struct place {
  ecru_chan *orders;
  int index;
  _Atomic int ended;
} place;
static place places[CROWD];
static ecru_task *tasks[CROWD];

static int take_order(void *argument, void **result) {
  place *mine = argument;
  int status = 0, received = ecru_chan_recv(mine->orders, &status);
  *result = mine;
  atomic_store(&mine->ended, 1);
  return received != 0 ? received : status;
}

static void start_crowd(int count) {
  for (int i = 0; i < count; i++) {
    places[i] = (place){.index = i};
    CHECK_EQ(ecru_chan_create(&places[i].orders, sizeof(int), 1), 0);
    CHECK_EQ(ecru_spawn(&tasks[i], take_order, &places[i]), 0);
  }
}

static void order(int index, int status) { CHECK_EQ(ecru_chan_send(places[index].orders, &status), 0); }

static void end_crowd(int count) {
  for (int i = 0; i < count; i++) {
    CHECK_EQ(ecru_task_join(tasks[i], NULL, NULL), 0);
    ecru_task_release(tasks[i]);
    ecru_chan_release(places[i].orders);
  }
}

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

/// The same claim from a goroutine and from a foreign thread.
static void run_both(ecru_fn fn) {
  fn(NULL);
  CHECK_EQ(ecru_stop(), 0);
  run(fn);
}

static _Atomic int reports;
static void count_report(void *context, uint64_t id, const char *name, int status) {
  (void)context, (void)id, (void)name, (void)status;
  atomic_fetch_add(&reports, 1);
}

// ---- all ----------------------------------------------------------------------------------------------------------

static void all_in_order(void *unused) {
  (void)unused;
  start_crowd(CROWD);
  for (int i = CROWD - 1; i >= 0; i--) order(i, i % 10 == 3 ? ECRU_EIO - i : i);
  int statuses[CROWD];
  void *results[CROWD];
  CHECK_EQ(ecru_join_all(tasks, CROWD, statuses, results), ECRU_EIO - 3);
  for (int i = 0; i < CROWD; i++) {
    CHECK_EQ(statuses[i], i % 10 == 3 ? ECRU_EIO - i : i);
    CHECK(results[i] == &places[i]);
  }
  end_crowd(CROWD);
}
TEST(join, all_gives_all_errors_in_order) { // T3
  run_both(all_in_order);
}

static void all_succeed(void *unused) {
  (void)unused;
  start_crowd(3);
  for (int i = 0; i < 3; i++) order(i, 0);
  CHECK_EQ(ecru_join_all(tasks, 3, NULL, NULL), 0);
  CHECK_EQ(ecru_join_all(NULL, 0, NULL, NULL), 0);
  end_crowd(3);
}
TEST(join, all_of_successes_and_of_nothing_is_success) { // T3
  run(all_succeed);
}

static void all_unseen(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_set_unobserved_hook(count_report, NULL), 0);
  start_crowd(4);
  for (int i = 0; i < 4; i++) order(i, i < 1 ? 0 : ECRU_EIO);
  CHECK_EQ(ecru_join_all(tasks, 4, NULL, NULL), ECRU_EIO);
  end_crowd(4);
  CHECK_EQ(atomic_load(&reports), 2); // one was returned
  start_crowd(4);
  for (int i = 0; i < 4; i++) order(i, ECRU_EIO);
  int statuses[4];
  CHECK_EQ(ecru_join_all(tasks, 4, statuses, NULL), ECRU_EIO);
  end_crowd(4);
  CHECK_EQ(atomic_load(&reports), 2);
}
TEST(join, all_swallows_no_error_it_did_not_hand_out) { // T2, T3
  run(all_unseen);
}

static void all_canceled(void *unused) {
  (void)unused;
  start_crowd(3);
  order(0, 1);
  int statuses[3] = {77, 77, 77};
  void *results[3] = {NULL, NULL, NULL};
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_join_all(tasks, 3, statuses, results), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(statuses[i], 77); // results leave only on success
  for (int i = 1; i < 3; i++) CHECK_EQ(ecru_task_state(tasks[i]), ECRU_TASK_RUNNING);
  order(1, 0);
  order(2, 0);
  end_crowd(3);
}
TEST(join, all_ends_with_the_callers_deadline_and_leaves_the_tasks_alone) { // T3, K2
  run(all_canceled);
}

// ---- any ----------------------------------------------------------------------------------------------------------

static void any_success(void *unused) {
  (void)unused;
  start_crowd(CROWD);
  order(7, ECRU_EIO);
  order(8, ECRU_EPIPE);
  CHECK_EQ(ecru_task_join(tasks[7], NULL, NULL), 0);
  CHECK_EQ(ecru_task_join(tasks[8], NULL, NULL), 0);
  order(42, 5);
  void *result = NULL;
  CHECK_EQ(ecru_join_any(tasks, CROWD, &result), 42);
  CHECK(result == &places[42]);
  for (int i = 0; i < CROWD; i++) {
    CHECK_EQ(atomic_load(&places[i].ended), 1); // joined
    int expected = i == 42 ? ECRU_TASK_DONE : i == 7 || i == 8 ? ECRU_TASK_FAILED : ECRU_TASK_CANCELED;
    CHECK_EQ(ecru_task_state(tasks[i]), expected);
  }
  end_crowd(CROWD);
}
TEST(join, any_returns_the_first_success_and_cancels_and_joins_the_rest) { // T3
  run_both(any_success);
}

static void any_failure(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_set_unobserved_hook(count_report, NULL), 0);
  start_crowd(3);
  order(2, ECRU_EPIPE);
  CHECK_EQ(ecru_task_join(tasks[2], NULL, NULL), 0);
  order(0, ECRU_EIO);
  CHECK_EQ(ecru_task_join(tasks[0], NULL, NULL), 0);
  order(1, ECRU_EMFILE);
  void *result = tasks;
  int status = ecru_join_any(tasks, 3, &result);
  CHECK(status == ECRU_EPIPE || status == ECRU_EIO); // had ended before: in the order of the array
  CHECK(result == tasks);
  end_crowd(3);
  CHECK_EQ(atomic_load(&reports), 0);
}
TEST(join, any_of_failures_gives_the_first) { // T3, T2
  run(any_failure);
}

typedef struct joiner {
  int status;
  ecru_chan *done;
} joiner;
static void join_any_here(void *argument) {
  joiner *self = argument;
  self->status = ecru_join_any(tasks, 3, NULL);
  CHECK_EQ(ecru_chan_close(self->done), 0);
}
static void any_first_in_time(void *unused) {
  (void)unused;
  start_crowd(3);
  joiner self = {.status = 1};
  CHECK_EQ(ecru_chan_create(&self.done, 0, 0), 0);
  CHECK_EQ(ecru_go(join_any_here, &self), 0);
  await_waiting(4); // it as well
  static const int in_time[] = {1, 2, 0};
  for (int i = 0; i < 3; i++) {
    order(in_time[i], ECRU_EIO - in_time[i]);
    CHECK_EQ(ecru_task_join(tasks[in_time[i]], NULL, NULL), 0);
  }
  CHECK_EQ(ecru_chan_recv(self.done, NULL), ECRU_ECLOSED);
  CHECK_EQ(self.status, ECRU_EIO - 1);
  ecru_chan_release(self.done);
  end_crowd(3);
}
TEST(join, any_of_failures_gives_the_first_in_time) { // T3
  run(any_first_in_time);
}

static void any_canceled(void *argument) {
  bool before = argument != NULL;
  start_crowd(CROWD);
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, before ? ECRU_FOREVER : ecru_after(ECRU_MILLISECOND)), 0);
  if (before) CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_join_any(tasks, CROWD, NULL), before ? ECRU_ECANCELED : ECRU_ETIMEDOUT);
  for (int i = 0; i < CROWD; i++) CHECK_EQ(ecru_task_state(tasks[i]), ECRU_TASK_CANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  end_crowd(CROWD);
}
TEST(join, any_that_is_cancelled_cancels_and_joins_all) { // T3, K2
  CHECK_EQ(ecru_run(any_canceled, NULL), 0);
  CHECK_EQ(ecru_run(any_canceled, places), 0);
}

// ---- each ---------------------------------------------------------------------------------------------------------

/// Ends the tasks one after the other in this order, the first apart.
static int sequence[CROWD];
static int end_in_sequence(void *unused, void **result) {
  (void)unused, (void)result;
  for (int i = 1; i < CROWD; i++) {
    order(sequence[i], sequence[i]);
    CHECK_EQ(ecru_task_join(tasks[sequence[i]], NULL, NULL), 0);
  }
  return 0;
}

static ecru_task *director;

typedef struct diary {
  int count, stop_at, stop_with;
  bool releases, directs;
  ecru_token *cancels; // when it has stop_at entries
  size_t indices[CROWD];
  int statuses[CROWD];
} diary;

static int write_down(void *context, size_t index, int status, void *result) {
  diary *book = context;
  CHECK(result == &places[index]);
  CHECK(ecru_task_state(tasks[index]) != ECRU_TASK_RUNNING);
  book->indices[book->count] = index;
  book->statuses[book->count++] = status;
  if (book->directs && book->count == 1) CHECK_EQ(ecru_spawn(&director, end_in_sequence, NULL), 0);
  if (book->releases) {
    ecru_task_release(tasks[index]);
    ecru_yield();
  }
  if (book->count != book->stop_at) return 0;
  if (book->cancels) CHECK_EQ(ecru_token_cancel(book->cancels, 0), 0);
  return book->stop_with;
}

static void shuffle(void) {
  uint64_t random = test_seed();
  for (int i = 0; i < CROWD; i++) sequence[i] = i;
  for (int i = CROWD - 1; i > 0; i--) {
    int other = (int)test_random_below(&random, (uint64_t)i + 1), kept = sequence[i];
    sequence[i] = sequence[other];
    sequence[other] = kept;
  }
}

static void each_in_order(void *unused) {
  (void)unused;
  shuffle();
  start_crowd(CROWD);
  order(sequence[0], sequence[0]);
  diary book = {.directs = true}; // the others end once the first has been reported: all are being watched then
  CHECK_EQ(ecru_join_each(tasks, CROWD, write_down, &book), 0);
  CHECK_EQ(book.count, CROWD);
  for (int i = 0; i < CROWD; i++) {
    CHECK_EQ(book.indices[i], sequence[i]);
    CHECK_EQ(book.statuses[i], sequence[i]);
  }
  CHECK_EQ(ecru_task_join(director, NULL, NULL), 0);
  ecru_task_release(director);
  end_crowd(CROWD);
}
TEST(join, each_comes_in_order_of_completion) { // T3
  run_both(each_in_order);
}

static void each_may_release(void *unused) {
  (void)unused;
  start_crowd(CROWD);
  for (int i = 0; i < CROWD; i++) order(i, 0);
  diary book = {.releases = true};
  CHECK_EQ(ecru_join_each(tasks, CROWD, write_down, &book), 0);
  CHECK_EQ(book.count, CROWD);
  for (int i = 0; i < CROWD; i++) ecru_chan_release(places[i].orders);
}
TEST(join, each_may_release_and_park) { // T3
  run(each_may_release);
}

static void each_stops(void *unused) {
  (void)unused;
  start_crowd(CROWD);
  for (int i = 0; i < 10; i++) order(i, 0);
  diary book = {.stop_at = 3, .stop_with = -77};
  CHECK_EQ(ecru_join_each(tasks, CROWD, write_down, &book), -77);
  CHECK_EQ(book.count, 3);
  for (int i = 10; i < CROWD; i++) order(i, 0); // nobody watches any more
  end_crowd(CROWD);
}
TEST(join, each_stops_when_told) { // T3
  run(each_stops);
}

static void each_canceled(void *unused) {
  (void)unused;
  start_crowd(CROWD);
  for (int i = 0; i < 10; i++) {
    order(i, 0);
    CHECK_EQ(ecru_task_join(tasks[i], NULL, NULL), 0);
  }
  diary book = {.stop_at = 10};
  CHECK_EQ(ecru_token_create(&book.cancels, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(book.cancels), 0);
  CHECK_EQ(ecru_join_each(tasks, CROWD, write_down, &book), ECRU_ECANCELED);
  CHECK_EQ(ecru_join_each(tasks, CROWD, write_down, &book), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(book.count, 10);
  ecru_token_release(book.cancels);
  for (int i = 10; i < CROWD; i++) order(i, 0);
  end_crowd(CROWD);
}
TEST(join, each_ends_with_the_callers_token) { // T3, K2
  run(each_canceled);
}

static void same_twice(void *unused) {
  (void)unused;
  start_crowd(1);
  ecru_task *twice[] = {tasks[0], tasks[0]};
  order(0, ECRU_EIO);
  int statuses[2];
  CHECK_EQ(ecru_join_all(twice, 2, statuses, NULL), ECRU_EIO);
  CHECK_EQ(statuses[1], ECRU_EIO);
  CHECK_EQ(ecru_join_any(twice, 2, NULL), ECRU_EIO);
  end_crowd(1);
}
TEST(join, the_same_task_may_stand_twice) { // T3
  run(same_twice);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static int no_callback(void *context, size_t index, int status, void *result) {
  (void)context, (void)index, (void)status, (void)result;
  FAIL("called");
}
static void bad_arguments(void *unused) {
  (void)unused;
  start_crowd(2);
  ecru_task *with_null[] = {tasks[0], NULL, tasks[1]};
  CHECK_EQ(ecru_join_all(NULL, 1, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_all(with_null, 3, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_any(NULL, 1, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_any(with_null, 3, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_any(tasks, 0, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_any(tasks, (size_t)INT_MAX + 1, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_each(NULL, 1, no_callback, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_each(with_null, 3, no_callback, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_each(tasks, 2, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_join_each(NULL, 0, no_callback, NULL), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_task_state(tasks[i]), ECRU_TASK_RUNNING); // nothing was cancelled
  order(0, 0);
  order(1, 0);
  end_crowd(2);
}
TEST(join, bad_arguments_have_codes) { // T3
  run(bad_arguments);
}

static int joins_with_itself(void *argument, void **result) {
  (void)result;
  ecru_task *all[2] = {tasks[0], NULL};
  CHECK_EQ(ecru_chan_recv(argument, &all[1]), 0);
  CHECK_EQ(ecru_join_all(all, 2, NULL, NULL), ECRU_EDEADLK);
  CHECK_EQ(ecru_join_any(all, 2, NULL), ECRU_EDEADLK);
  CHECK_EQ(ecru_join_each(all, 2, no_callback, NULL), ECRU_EDEADLK);
  return 0;
}
static void with_itself(void *unused) {
  (void)unused;
  start_crowd(1);
  ecru_chan *chan = NULL;
  ecru_task *self = NULL;
  CHECK_EQ(ecru_chan_create(&chan, sizeof self, 0), 0);
  CHECK_EQ(ecru_spawn(&self, joins_with_itself, chan), 0);
  CHECK_EQ(ecru_chan_send(chan, &self), 0);
  CHECK_EQ(ecru_task_join(self, NULL, NULL), 0);
  CHECK_EQ(ecru_task_state(tasks[0]), ECRU_TASK_RUNNING);
  order(0, 0);
  end_crowd(1);
  ecru_task_release(self);
  ecru_chan_release(chan);
}
TEST(join, waiting_for_oneself_is_a_deadlock_code) { // T3
  run(with_itself);
}
