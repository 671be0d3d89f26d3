/// tests/unit/goroutine.c: starting goroutines (G1), ending and yielding (G6), who they are (G7).
#include <signal.h>

#include "goroutines.h"
#include "runtime/state.h"

// ---- starting -----------------------------------------------------------------------------------------------------

static ecru_chan *done;
static _Atomic long runs;

static void plain_function(void *number) { *(int *)number += 1; }
static void plain_and_done(void *number) {
  plain_function(number);
  finish(done);
}

TEST(goroutine, first_use_starts_the_runtime) { // G1
  int threads = test_threads(), number = 0;
  done = signals();
  CHECK_EQ(test_threads(), threads); // that alone needs none
  go(plain_and_done, &number);
  await(done, 1);
  CHECK_EQ(number, 1);
  CHECK(test_threads() > threads);
  CHECK_EQ(ecru_start(NULL), ECRU_EBUSY);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(done);
}

TEST(goroutine, same_function_can_be_called_directly) { // G1
  int number = 0;
  done = signals();
  plain_and_done(&number);
  go(plain_and_done, &number);
  await(done, 2);
  CHECK_EQ(number, 2);
  ecru_chan_release(done);
}

static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
  finish(done);
}
static void *start_hundred(void *unused) {
  for (int i = 0; i < 100; i++) go(count_run, unused);
  return NULL;
}
static void start_from_everywhere(void *unused) {
  (void)unused;
  pthread_t threads[3];
  done = signals();
  for (int i = 0; i < 3; i++) threads[i] = start_thread(start_hundred, NULL);
  start_hundred(NULL);
  await(done, 400);
  for (int i = 0; i < 3; i++) join_thread(threads[i]);
  CHECK_EQ(atomic_load(&runs), 400);
  ecru_chan_release(done);
}
TEST(goroutine, can_be_started_from_goroutines_and_threads) { // G1
  with_procs(2, start_from_everywhere);
}

static int written_before; // not atomic: ThreadSanitizer knows whether starting orders
static void read_it(void *unused) {
  (void)unused;
  CHECK_EQ(written_before, 17);
  finish(done);
}
static void start_readers(void *unused) {
  (void)unused;
  done = signals();
  written_before = 17;
  for (int i = 0; i < 50; i++) go(read_it, NULL);
  await(done, 50);
  ecru_chan_release(done);
}
TEST(goroutine, starting_happens_before_its_function) { // G1
  with_procs(2, start_readers);
}

/// Bytes that tell where they came from.
static unsigned char byte_of(size_t bytes, size_t i) { return (unsigned char)(bytes * 31 + i * 7 + 1); }
static size_t copy_bytes;
static void check_copy(void *data) {
  const unsigned char *copy = data;
  CHECK_EQ((uintptr_t)data % 16, 0);
  for (size_t i = 0; i < copy_bytes; i++) CHECK_EQ(copy[i], byte_of(copy_bytes, i));
  memset(data, 0, copy_bytes); // private and writable
  CHECK_EQ(ecru_yield(), 0);
  for (size_t i = 0; i < copy_bytes; i++) CHECK_EQ(copy[i], 0);
  finish(done);
}
static void copy_with(const ecru_go_options *options) {
  static const size_t sizes[] = {1, 2, 15, 16, 17, 55, 56, 57, 63, 64, 65, 100, 1008, 1009, 1023, 1024};
  unsigned char data[1024];
  done = signals();
  for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
    copy_bytes = sizes[k];
    for (size_t i = 0; i < copy_bytes; i++) data[i] = byte_of(copy_bytes, i);
    for (int i = 0; i < 3; i++) CHECK_EQ(ecru_go_copy(options, check_copy, data, copy_bytes), 0);
    memset(data, 0xEE, sizeof data); // the copies are made already
    await(done, 3);
  }
  ecru_chan_release(done);
}
static void copy_in_all_ways(void *unused) {
  (void)unused;
  copy_with(NULL);
  ecru_go_options options = ECRU_GO_OPTIONS;
  copy_with(&options);
  options.name = "copied";
  copy_with(&options);
  options.stack_bytes = 16 << 10;
  copy_with(&options);
  options.flags = ECRU_PINNED;
  copy_with(&options);
  options.flags = ECRU_OWN_THREAD;
  copy_with(&options);
}
TEST(goroutine, argument_can_be_a_private_aligned_copy) { // G1
  with_procs(1, copy_in_all_ways);
  with_procs(2, copy_in_all_ways);
}
TEST(goroutine, foreign_threads_can_give_copies) { copy_in_all_ways(NULL); } // G1

static void no_argument(void *argument) {
  CHECK(argument == NULL);
  finish(done);
}
TEST(goroutine, copy_of_nothing_is_null) { // G1
  done = signals();
  CHECK_EQ(ecru_go_copy(NULL, no_argument, NULL, 0), 0);
  CHECK_EQ(ecru_go_copy(NULL, no_argument, "x", 0), 0);
  await(done, 2);
  ecru_chan_release(done);
}

static void never(void *unused) {
  (void)unused;
  FAIL("a goroutine that was refused runs");
}
static int with(size_t size, size_t stack_bytes, unsigned flags) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.size = size;
  options.stack_bytes = stack_bytes;
  options.flags = flags;
  return ecru_go_with(&options, never, NULL);
}
static void refuse_bad_input(void) {
  const size_t size = sizeof(ecru_go_options);
  char data[1025] = {0};
  CHECK_EQ(ecru_go(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_go_with(NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_go_copy(NULL, NULL, data, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_go_copy(NULL, never, data, 1025), ECRU_EINVAL);
  CHECK_EQ(ecru_go_copy(NULL, never, data, SIZE_MAX), ECRU_EINVAL);
  CHECK_EQ(ecru_go_copy(NULL, never, NULL, 1), ECRU_EINVAL);
  CHECK_EQ(with(0, 0, 0), ECRU_EINVAL);
  CHECK_EQ(with(sizeof(size_t) - 1, 0, 0), ECRU_EINVAL);
  CHECK_EQ(with(size + 1, 0, 0), ECRU_EINVAL);
  CHECK_EQ(with(SIZE_MAX, 0, 0), ECRU_EINVAL);
  CHECK_EQ(with(size, 1, 0), ECRU_EINVAL);
  CHECK_EQ(with(size, (16 << 10) - 1, 0), ECRU_EINVAL);
  CHECK_EQ(with(size, ((size_t)1 << 30) + 1, 0), ECRU_EINVAL);
  CHECK_EQ(with(size, SIZE_MAX, 0), ECRU_EINVAL);
  CHECK_EQ(with(size, 0, 8), ECRU_EINVAL);
  CHECK_EQ(with(size, 0, ECRU_PINNED | 1u << 31), ECRU_EINVAL);
  CHECK_EQ(counters_now().goroutines, ecru_in_goroutine());
}
static void refuse_in_a_goroutine(void *unused) {
  (void)unused;
  refuse_bad_input();
}
TEST(goroutine, bad_input_is_refused) { // G1
  refuse_bad_input();
  CHECK_EQ(ecru_stop(), 0);
  with_procs(1, refuse_in_a_goroutine);
}

static void check_small_stack(void *unused) {
  (void)unused;
  ecru__worker *w = ecru__worker_here();
  CHECK_EQ((size_t)1 << ecru__goroutine_here(w)->stack->log2, 64 << 10);
  char name[8];
  CHECK_EQ(ecru_name(name, sizeof name), 0);
  finish(done);
}
TEST(goroutine, options_of_an_older_header_are_taken) { // G1
  struct { size_t size, stack_bytes; uint64_t garbage[8]; } older = {2 * sizeof(size_t), 64 << 10, {0}};
  memset(older.garbage, 0xAB, sizeof older.garbage);
  done = signals();
  CHECK_EQ(ecru_go_with((const ecru_go_options *)(const void *)&older, check_small_stack, NULL), 0);
  await(done, 1);
  ecru_chan_release(done);
}

static void check_token(void *token) {
  CHECK(ecru_token_current() == token);
  finish(done);
}
TEST(goroutine, token_is_the_spawners_or_that_of_the_options) { // G1, K2
  done = signals();
  ecru_token *one, *other;
  CHECK_EQ(ecru_token_create(&one, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_create(&other, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(one), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = other;
  unsigned flags[] = {0, ECRU_PINNED, ECRU_OWN_THREAD};
  for (int i = 0; i < 3; i++) {
    options.flags = flags[i];
    CHECK_EQ(ecru_go_with(&options, check_token, other), 0);
    go_flagged(flags[i], check_token, one);
  }
  go(check_token, one);
  CHECK_EQ(ecru_token_leave(), 0);
  await(done, 7);
  ecru_token_release(one);
  ecru_token_release(other);
  ecru_chan_release(done);
}

// ---- ending -------------------------------------------------------------------------------------------------------

static long destroyed, returned;
static void count_destroyed(void *value) { destroyed += value != NULL; }
static ecru_local_key *key;
static void exit_deep(int depth) {
  if (depth > 0) exit_deep(depth - 1);
  else ecru_exit();
  returned++; // never
}
static void exit_with_local(void *how) {
  CHECK_EQ(ecru_local_set(key, how), 0);
  exit_deep(20);
}
static void end_by_exit(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_local_key_create(&key, count_destroyed), 0);
  int something = 1;
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_waitgroup_go(group, exit_with_local, &something), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(destroyed, 10);
  go_flagged(ECRU_PINNED, exit_with_local, &something);
  UNTIL(counters_now().goroutines == 1);
  CHECK_EQ(destroyed, 11);
  CHECK_EQ(returned, 0);
  ecru_local_key_destroy(key);
  ecru_waitgroup_destroy(group);
}
TEST(goroutine, exit_ends_it_from_any_depth) { // G1, G12
  with_procs(1, end_by_exit);
}

static void exit_own_thread(void *unused) {
  (void)unused;
  int something = 1;
  int threads = test_threads();
  CHECK_EQ(ecru_local_key_create(&key, count_destroyed), 0);
  for (int i = 0; i < 5; i++) {
    go_flagged(ECRU_OWN_THREAD, exit_with_local, &something);
    UNTIL(counters_now().goroutines == 1);
    CHECK_EQ(destroyed, i + 1);
  }
  CHECK_EQ(returned, 0);
  UNTIL(test_threads() <= threads); // each has gone with its goroutine
  ecru_local_key_destroy(key);
}
TEST(goroutine, exit_ends_its_own_thread) { // G10
  with_procs(1, exit_own_thread);
}

static void exit_in_foreign_thread(void) { ecru_exit(); }
static void just_exit(void *unused) {
  (void)unused;
  ecru_exit();
}
static void exit_on_thread_stack(void *unused) { ecru_on_thread_stack(just_exit, unused); }
static void exit_while_on_thread_stack(void) { ecru_run(exit_on_thread_stack, NULL); }
TEST(goroutine, exit_elsewhere_is_a_panic) { // G1
  test_death(exit_in_foreign_thread, -SIGABRT, "ecru_exit(0x0): not in a goroutine");
  test_death(exit_while_on_thread_stack, -SIGABRT, "on a thread's stack");
}

TEST(goroutine, exit_of_the_first_ends_the_run) { // G13
  CHECK_EQ(ecru_run(just_exit, NULL), 0);
}

// ---- yielding -----------------------------------------------------------------------------------------------------

static char history[256];
static size_t history_length;
static void note(int what) {
  CHECK(history_length < sizeof history - 1);
  history[history_length++] = (char)what;
}
static void note_once(void *what) { note((int)(uintptr_t)what); }
static void note_thrice(void *what) {
  for (int i = 0; i < 3; i++) {
    note((int)(uintptr_t)what);
    CHECK_EQ(ecru_yield(), 0);
  }
}

/// Tries fn, which returns whether all went in the expected order. Now and then it may not: whoever is kept from running for 10 ms, by
/// a busy machine or an emulator, loses the processor.
static bool (*in_order)(void);
static void try_often(void *unused) {
  (void)unused;
  enum { TRIES = 20 };
  int orderly = 0;
  for (int i = 0; i < TRIES; i++) {
    memset(history, 0, sizeof history);
    history_length = 0;
    orderly += in_order();
    UNTIL(counters_now().goroutines == 1);
  }
  CHECK(orderly > TRIES / 2);
}

static bool yield_to_fresh(void) {
  size_t count = (size_t)test_scaled(100);
  for (size_t i = 0; i < count; i++) go(note_once, (void *)('!' + i));
  CHECK_EQ(ecru_yield(), 0);
  return history_length == count;
}
TEST(goroutine, yield_lets_all_that_were_started_go_first) { // G6
  in_order = yield_to_fresh;
  with_procs(1, try_often);
}

static void note_woken(void *what) {
  CHECK_EQ(ecru_chan_recv(done, NULL), 0);
  note((int)(uintptr_t)what);
}
static bool yield_to_woken(void) {
  size_t count = (size_t)test_scaled(100);
  done = chan_of(0, 0);
  for (size_t i = 0; i < count; i++) go(note_woken, (void *)('!' + i));
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(history_length, 0); // all wait, or will
  for (size_t i = 0; i < count; i++) finish(done);
  CHECK_EQ(ecru_yield(), 0);
  bool orderly = history_length == count;
  UNTIL(counters_now().goroutines == 1);
  ecru_chan_release(done);
  return orderly;
}
TEST(goroutine, yield_lets_all_that_were_woken_go_first) { // G6
  in_order = yield_to_woken;
  with_procs(1, try_often);
}

static bool yield_in_turns(void) {
  for (int i = 0; i < 4; i++) go(note_thrice, (void *)(uintptr_t)('a' + i));
  for (int i = 0; i < 4; i++) CHECK_EQ(ecru_yield(), 0);
  return strcmp(history, "abcdabcdabcd") == 0;
}
TEST(goroutine, those_that_yield_take_turns) { // G6
  in_order = yield_in_turns;
  with_procs(1, try_often);
}

TEST(goroutine, yield_of_a_foreign_thread_is_the_threads) { // G6
  CHECK_EQ(ecru_yield(), 0);
  for (int i = 0; i < 1000; i++) CHECK_EQ(ecru_yield(), 0);
}

static bool yield_canceled(void) {
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  go(note_once, (void *)(uintptr_t)'x');
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_yield(), ECRU_ECANCELED);
  bool did_not_yield = history_length == 0;
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_yield(), 0);
  ecru_token_release(token);
  return did_not_yield && strcmp(history, "x") == 0;
}
TEST(goroutine, yield_is_a_cancellation_point) { // G6, K2
  in_order = yield_canceled;
  with_procs(1, try_often);
}

// ---- who it is ----------------------------------------------------------------------------------------------------

enum { CHILDREN = 300 };
static uint64_t ids[4 * CHILDREN];
static _Atomic int ids_count;
typedef struct parent {
  uint64_t id;
  ecru_chan *children_done;
} parent;
static void tell_id(void *argument) {
  parent *mine = argument;
  CHECK(ecru_id() != 0);
  CHECK_EQ(ecru_parent_id(), mine->id);
  ids[atomic_fetch_add(&ids_count, 1)] = ecru_id();
  finish(mine->children_done);
}
static void tell_ids(void *parent_id) {
  parent self = {ecru_id(), signals()};
  CHECK_EQ(ecru_id() != 0, ecru_in_goroutine());
  CHECK_EQ(ecru_parent_id(), *(uint64_t *)parent_id);
  for (int i = 0; i < CHILDREN; i++) {
    if (i % 100 == 0) go_flagged(i % 200 == 0 ? ECRU_OWN_THREAD : ECRU_PINNED, tell_id, &self);
    else go(tell_id, &self);
  }
  await(self.children_done, CHILDREN);
  ecru_chan_release(self.children_done);
  finish(done);
}
static int compare_ids(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}
static void *tell_ids_there(void *none) {
  CHECK_EQ(ecru_id(), 0);
  tell_ids(none);
  return NULL;
}
static void tell_all_ids(void *unused) {
  (void)unused;
  static uint64_t mine, none;
  mine = ecru_id();
  done = signals();
  tell_ids(&none);
  go(tell_ids, &mine);
  go_flagged(ECRU_OWN_THREAD, tell_ids, &mine);
  join_thread(start_thread(tell_ids_there, &none));
  await(done, 4);
  CHECK_EQ(atomic_load(&ids_count), 4 * CHILDREN);
  qsort(ids, 4 * CHILDREN, sizeof ids[0], compare_ids);
  for (int i = 1; i < 4 * CHILDREN; i++) CHECK(ids[i] != ids[i - 1]);
  ecru_chan_release(done);
}
TEST(goroutine, each_has_an_id_and_knows_its_parents) { // G7
  with_procs(2, tell_all_ids);
}

static void check_name(void *expected) {
  char name[64], brief[4];
  memset(name, 'x', sizeof name);
  CHECK_EQ(ecru_name(name, sizeof name), (long long)strlen(expected));
  CHECK_STR(name, expected);
  CHECK_EQ(ecru_name(brief, sizeof brief), (long long)strlen(expected)); // what there is, however little fits
  CHECK_EQ(strncmp(brief, expected, 3), 0);
  CHECK_EQ(brief[strlen(expected) < 3 ? strlen(expected) : 3], 0);
  CHECK_EQ(ecru_name(brief, 1), (long long)strlen(expected));
  CHECK_EQ(brief[0], 0);
  CHECK_EQ(ecru_name(NULL, 8), ECRU_EINVAL);
  CHECK_EQ(ecru_name(brief, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_set_name("renamed while it runs, and that at length"), 0);
  CHECK_EQ(ecru_name(name, sizeof name), 31);
  CHECK_STR(name, "renamed while it runs, and that");
  CHECK_EQ(ecru_set_name(NULL), 0);
  CHECK_EQ(ecru_name(name, sizeof name), 0);
  CHECK_STR(name, "");
  finish(done);
}
TEST(goroutine, has_a_name_if_it_is_given_one) { // G7
  done = signals();
  ecru_go_options options = ECRU_GO_OPTIONS;
  unsigned flags[] = {0, ECRU_PINNED, ECRU_OWN_THREAD};
  for (int i = 0; i < 3; i++) {
    char given[64] = "0123456789012345678901234567890123456789";
    options.flags = flags[i];
    options.name = given;
    CHECK_EQ(ecru_go_with(&options, check_name, "0123456789012345678901234567890"), 0);
    memset(given, 0, sizeof given); // it was copied
    options.name = "it";
    CHECK_EQ(ecru_go_with(&options, check_name, "it"), 0);
    options.name = NULL;
    CHECK_EQ(ecru_go_with(&options, check_name, ""), 0);
  }
  go(check_name, "");
  await(done, 10);
  char name[8] = "xxx";
  CHECK_EQ(ecru_name(name, sizeof name), 0);
  CHECK_STR(name, "");
  CHECK_EQ(ecru_set_name("thread"), ECRU_EPERM);
  ecru_chan_release(done);
}

static void say_inside(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_in_goroutine(), 1);
  CHECK(ecru_id() != 0);
}
static void say_inside_everywhere(void *unused) {
  say_inside(unused);
  CHECK_EQ(ecru_on_thread_stack(say_inside, unused), 0);
  CHECK_EQ(ecru_blocking(say_inside, unused), 0);
  finish(done);
}
TEST(goroutine, knows_that_it_is_one) { // G7
  CHECK_EQ(ecru_in_goroutine(), 0);
  CHECK_EQ(ecru_id(), 0);
  CHECK_EQ(ecru_parent_id(), 0);
  done = signals();
  CHECK_EQ(ecru_in_goroutine(), 0); // also when ecru knows the thread
  go(say_inside_everywhere, NULL);
  go_flagged(ECRU_PINNED, say_inside_everywhere, NULL);
  go_flagged(ECRU_OWN_THREAD, say_inside_everywhere, NULL);
  await(done, 3);
  CHECK_EQ(ecru_id(), 0);
  ecru_chan_release(done);
}
