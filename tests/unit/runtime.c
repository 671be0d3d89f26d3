/// tests/unit/runtime.c: starting, running, stopping, starting again (G13), what a forked child is told (G14), bad input.
#include <sys/wait.h>

#include "goroutines.h"
#include "runtime/sanitize.h"
#include "runtime/state.h"

static void *nothing(void *unused) { return unused; }
/// How many threads there are without ecru's: the main thread; a sanitizer or an emulator may have one of its own as soon as
/// there has been a second. To be called first.
static int threads_at_rest;
static void note_threads(void) {
  CHECK_EQ(pthread_join(start_thread(nothing, NULL), NULL), 0);
  threads_at_rest = test_threads();
  for (int i = 0; i < 100; i++) { // one that has ended may be listed for a moment
    sched_yield();
    if (test_threads() < threads_at_rest) threads_at_rest = test_threads();
  }
}
/// Waits until all threads have gone that ecru started; a hang is the runner's to report.
static void await_no_threads(void) {
  while (test_threads() > threads_at_rest) sched_yield();
}

static ecru_chan *done;
static _Atomic long runs;
static _Atomic int over;

static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
}

// ---- run ----------------------------------------------------------------------------------------------------------

static void count_in_goroutine(void *number) {
  CHECK_EQ(ecru_in_goroutine(), 1);
  ++*(int *)number;
}
TEST(runtime, run_runs_a_function_as_the_first_goroutine) { // G13
  note_threads();
  int number = 0;
  CHECK_EQ(ecru_run(count_in_goroutine, &number), 0);
  CHECK_EQ(number, 1);
  await_no_threads();
  ecru_options options = ECRU_OPTIONS;
  CHECK_EQ(ecru_run_with(&options, count_in_goroutine, &number), 0);
  CHECK_EQ(number, 2);
}

static void yield_and_count(void *unused) {
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_yield(), 0);
  count_run(unused);
}
static void start_and_wait(void *unused) {
  (void)unused;
  for (int i = 0; i < 20; i++) go(yield_and_count, NULL);
  UNTIL(atomic_load(&runs) == 20);
}
TEST(runtime, run_waits_for_what_it_started) { // G13
  with_procs(1, start_and_wait);
  CHECK_EQ(atomic_load(&runs), 20);
}

static void wait_for_ever(void *unused) {
  int status = ecru_sleep(ECRU_FOREVER);
  CHECK_EQ(status, ECRU_ECANCELED);
  CHECK_EQ(ecru_yield(), ECRU_ECANCELED); // and all that follows
  CHECK_EQ(ecru_go(count_run, NULL), ECRU_ESHUTDOWN);
  count_run(unused);
}
static void leave_some(void *unused) {
  (void)unused;
  static const unsigned flags[] = {0, ECRU_PINNED, ECRU_OWN_THREAD};
  for (int i = 0; i < 30; i++) go_flagged(flags[i % 3], wait_for_ever, NULL);
  for (int i = 0; i < 5; i++) go(wait_for_ever, NULL); // these have not begun
  CHECK_EQ(ecru_check(), 0); // it is told nothing while it runs
}
TEST(runtime, the_end_of_the_first_cancels_the_others) { // G13, K2
  with_procs(1, leave_some);
  CHECK_EQ(atomic_load(&runs), 35);
  with_procs(2, leave_some);
  CHECK_EQ(atomic_load(&runs), 70);
}

static void clean_up_slowly(void *unused) {
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  count_run(unused);
}
static void leave_cleaners(void *unused) {
  (void)unused;
  for (int i = 0; i < 10; i++) go(clean_up_slowly, NULL);
  CHECK_EQ(ecru_yield(), 0);
}
TEST(runtime, stopping_waits_for_cleanups) { // G13, K2
  with_procs(2, leave_cleaners);
  CHECK_EQ(atomic_load(&runs), 10);
}

static void leave_one_for_others(void *unused) {
  (void)unused;
  go(count_run, NULL);
}
TEST(runtime, run_uses_and_stops_a_runtime_that_is_up) { // G13
  note_threads();
  go(count_run, NULL);
  CHECK_EQ(ecru_run(leave_one_for_others, NULL), 0);
  CHECK_EQ(atomic_load(&runs), 2);
  await_no_threads();
  ecru_options options = ECRU_OPTIONS;
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_run_with(&options, count_run, NULL), ECRU_EBUSY); // its options cannot be had any more
  CHECK_EQ(atomic_load(&runs), 2);
}

static void run_inside(void *unused) {
  ecru_options options = ECRU_OPTIONS;
  CHECK_EQ(ecru_run(count_run, NULL), ECRU_EDEADLK);
  CHECK_EQ(ecru_run_with(&options, count_run, NULL), ECRU_EDEADLK);
  CHECK_EQ(ecru_stop(), ECRU_EDEADLK);
  CHECK_EQ(ecru_start(NULL), ECRU_EBUSY);
  if (unused) finish(unused);
}
static void run_inside_everywhere(void *unused) {
  (void)unused;
  done = signals();
  run_inside(NULL);
  CHECK_EQ(ecru_on_thread_stack(run_inside, NULL), 0);
  go_flagged(ECRU_OWN_THREAD, run_inside, done);
  go_flagged(ECRU_PINNED, run_inside, done);
  await(done, 2);
  ecru_chan_release(done);
}
TEST(runtime, a_goroutine_cannot_run_or_stop_it) { // G13
  with_procs(1, run_inside_everywhere);
  CHECK_EQ(atomic_load(&runs), 0);
}

// ---- start and stop -----------------------------------------------------------------------------------------------

TEST(runtime, stop_without_start_and_twice_is_fine) { // G13
  note_threads();
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_start(NULL), ECRU_EBUSY);
  ecru_options options = ECRU_OPTIONS;
  CHECK_EQ(ecru_start(&options), ECRU_EBUSY);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_stop(), 0);
  await_no_threads();
}

static void use_everything(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  for (int i = 0; i < PARKING_CALLS; i++) {
    ask_elsewhere(parking_calls[i].wake, NULL);
    parking_calls[i].park();
  }
  end_holders();
  drop_things();
}
TEST(runtime, it_can_be_started_and_stopped_again_and_again) { // G13
  note_threads();
  use_everything(NULL); // what is allocated once is
  CHECK_EQ(ecru_stop(), 0);
  int fds = test_open_fds();
  for (int i = 0; i < 20; i++) {
    with_procs(1 + i % 3, use_everything);
    await_no_threads();
    CHECK_EQ(test_open_fds(), fds);
  }
}

TEST(runtime, restarting_does_not_grow) { // G13 (leak checkers look at the end; this at what is kept reachable)
#if defined(ECRU__ASAN) || defined(ECRU__TSAN)
  SKIP("the memory is a sanitizer's");
#endif
  long before = 0;
  for (int i = 0; i < 60; i++) {
    with_procs(2, use_everything);
    if (i == 20) before = resident_bytes();
  }
  CHECK(resident_bytes() - before < 4 << 20);
}

static void *live_through_restarts(void *unused) {
  (void)unused;
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(ecru_sleep(1), 0);
    CHECK_EQ(ecru_set_name("foreign"), ECRU_EPERM);
  }
  return NULL;
}
TEST(runtime, threads_live_through_restarts) { // G13, G10
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_yield(), 0);
    pthread_t thread = start_thread(live_through_restarts, NULL);
    if (i % 2) live_through_restarts(NULL);
    CHECK_EQ(pthread_join(thread, NULL), 0); // it has ended before the runtime does ...
    CHECK_EQ(ecru_stop(), 0);
  }
}

static void *park_foreign(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_chan_recv(things.plain, NULL), ECRU_ECANCELED);
  return NULL;
}
TEST(runtime, stopping_wakes_threads_that_wait_too) { // G13, K2
  for (int i = 0; i < 5; i++) {
    things.plain = chan_of(0, 0);
    pthread_t thread = start_thread(park_foreign, NULL);
    while (atomic_load(&ecru__sched.foreign_parked) == 0) sched_yield();
    CHECK_EQ(ecru_stop(), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0); // ... or after
    ecru_chan_release(things.plain);
  }
}

static pthread_barrier_t at_once;
static void *use_first(void *unused) {
  (void)unused;
  pthread_barrier_wait(&at_once);
  for (int i = 0; i < 10; i++) go(count_run, NULL);
  return NULL;
}
TEST(runtime, many_threads_can_be_the_first) { // G1
  enum { THREADS = 6 };
  for (int round = 0; round < test_scaled(50); round++) {
    pthread_t threads[THREADS];
    atomic_store(&runs, 0);
    CHECK_EQ(pthread_barrier_init(&at_once, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) threads[i] = start_thread(use_first, NULL);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    UNTIL(atomic_load(&runs) == 10 * THREADS);
    CHECK_EQ(ecru_stop(), 0);
    pthread_barrier_destroy(&at_once);
  }
}

static void exit_with_3(void) {
  for (int i = 0; i < 10; i++) go(wait_for_ever, NULL);
  exit(3);
}
static void exit_inside(void *unused) {
  (void)unused;
  go(wait_for_ever, NULL);
  exit(4);
}
static void exit_in_goroutine(void) { ecru_run(exit_inside, NULL); }
TEST(runtime, the_process_can_end_without_a_stop) { // G13
  test_death(exit_with_3, 3, NULL);
  test_death(exit_in_goroutine, 4, NULL);
}

// ---- the grace period ---------------------------------------------------------------------------------------------

static void refuse_to_end(void *unused) {
  (void)unused;
  finish(done);
  while (!atomic_load(&over)) block_thread_ms(1);
  ecru_task *task = (ecru_task *)&task;
  ecru_waitgroup *group;
  ecru_go_options own = ECRU_GO_OPTIONS;
  own.flags = ECRU_OWN_THREAD;
  CHECK_EQ(ecru_go(count_run, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_go_with(&own, count_run, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_go_copy(NULL, count_run, &own, sizeof own), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_spawn(&task, idle_task, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_waitgroup_go(group, count_run, NULL), ECRU_ESHUTDOWN);
  ecru_waitgroup_destroy(group);
}
static void with_grace_ms(int ms) {
  ecru_options options = ECRU_OPTIONS;
  options.grace_ns = ms * ECRU_MILLISECOND;
  CHECK_EQ(ecru_start(&options), 0);
  atomic_store(&over, 0);
  done = signals();
  ecru_go_options named = ECRU_GO_OPTIONS;
  named.name = "stubborn";
  CHECK_EQ(ecru_go_with(&named, refuse_to_end, NULL), 0);
  await(done, 1);
}
static void stop_too_early(void) {
  with_grace_ms(20);
  CHECK_EQ(ecru_stop(), ECRU_ETIMEDOUT);
}
TEST(runtime, goroutines_that_outlast_the_grace_period_are_dumped) { // G13, D2
  test_death(stop_too_early, 0, "ecru: stop: 1 goroutine");
  test_death(stop_too_early, 0, "\"stubborn\"");
}
TEST(runtime, after_the_grace_period_it_is_shut_but_up) { // G13
  note_threads();
  with_grace_ms(20);
  CHECK_EQ(ecru_stop(), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_stop(), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_start(NULL), ECRU_EBUSY);
  CHECK_EQ(ecru_go(count_run, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_run(count_run, NULL), ECRU_ESHUTDOWN);
  CHECK_EQ(ecru_chan_send(done, NULL), ECRU_ECANCELED); // the root token has fired
  atomic_store(&over, 1);
  while (ecru_stop() == ECRU_ETIMEDOUT) {}
  await_no_threads();
  CHECK_EQ(atomic_load(&runs), 0);
  CHECK_EQ(ecru_run(count_run, NULL), 0); // and it can be started again
  CHECK_EQ(atomic_load(&runs), 1);
  ecru_chan_release(done);
}

static void *stop_meanwhile(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_stop(), 0);
  return NULL;
}
TEST(runtime, one_stop_at_a_time) { // G13
  with_grace_ms(30000);
  pthread_t thread = start_thread(stop_meanwhile, NULL);
  while (ecru_go(count_run, NULL) == 0) sched_yield();
  CHECK_EQ(ecru_stop(), ECRU_EBUSY);
  CHECK_EQ(ecru_start(NULL), ECRU_EBUSY);
  atomic_store(&over, 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(done);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static ecru_options good(void) { return (ecru_options)ECRU_OPTIONS; }
TEST(runtime, bad_options_are_refused) { // G13
  note_threads();
  ecru_options wrong[32];
  int count = 0;
#define WRONG(field, value) wrong[count] = good(), wrong[count++].field = (value)
  WRONG(size, 0);
  WRONG(size, sizeof(size_t) - 1);
  WRONG(size, sizeof(ecru_options) + 1);
  WRONG(size, SIZE_MAX);
  WRONG(maxprocs, -1);
  WRONG(maxprocs, 257);
  WRONG(maxprocs, INT32_MIN);
  WRONG(threads_max, -1);
  WRONG(stack_bytes, 1);
  WRONG(stack_bytes, (16 << 10) - 1);
  WRONG(stack_bytes, ((size_t)1 << 30) + 1);
  WRONG(stack_bytes, SIZE_MAX);
  WRONG(grace_ns, -1);
  WRONG(grace_ns, INT64_MIN);
  WRONG(idle_thread_ns, -1);
  WRONG(flags, 2);
  WRONG(flags, ~0u);
#undef WRONG
  for (int i = 0; i < count; i++) {
    CHECK_EQ(ecru_start(&wrong[i]), ECRU_EINVAL);
    CHECK_EQ(ecru_run_with(&wrong[i], count_run, NULL), ECRU_EINVAL);
    await_no_threads();
  }
  CHECK_EQ(ecru_run(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_run_with(NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(atomic_load(&runs), 0);
  CHECK_EQ(ecru_run(count_run, NULL), 0);
  CHECK_EQ(atomic_load(&runs), 1);
}

TEST(runtime, extreme_options_are_taken) { // G13
  ecru_options options = good();
  options.maxprocs = 256;
  options.threads_max = INT32_MAX;
  options.stack_bytes = 16 << 10;
  options.grace_ns = INT64_MAX;
  options.idle_thread_ns = INT64_MAX;
  options.seed = UINT64_MAX;
  options.flags = ECRU_NO_SIGNAL_HANDLERS;
  with_options(&options, use_everything);
  options = good();
  options.maxprocs = 1;
  options.threads_max = 1;
  options.stack_bytes = (16 << 10) + 1;
  options.grace_ns = ECRU_SECOND;
  options.idle_thread_ns = 1;
  with_options(&options, count_run);
  options.stack_bytes = (size_t)1 << 30;
  with_options(&options, count_run);
  options = good();
  options.maxprocs = 8;
  options.threads_max = 2;
  CHECK_EQ(ecru_start(&options), 0);
  CHECK_EQ(ecru_maxprocs(), 2); // there can be no more
}

TEST(runtime, options_of_an_older_header_are_taken) { // G13
  struct { size_t size; int maxprocs, threads_max; uint64_t garbage[8]; } older = {2 * sizeof(size_t), 3, 0, {0}};
  memset(older.garbage, 0xAB, sizeof older.garbage);
  CHECK_EQ(ecru_start((const ecru_options *)(const void *)&older), 0);
  CHECK_EQ(ecru_maxprocs(), 3);
}

// ---- fork (G14) ---------------------------------------------------------------------------------------------------

/// Everything a child may try. Each call comes back, and says why it did nothing.
static void try_everything(void) {
  char name[8];
  ecru_counters counters = {.size = sizeof counters};
  ecru_task *task = NULL;
  ecru_group *group = NULL;
  ecru_token *token = NULL;
  ecru_timer *timer = NULL;
  ecru_options options = good();
  CHECK_EQ(ecru_go(count_run, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_go_copy(NULL, count_run, name, 3), ECRU_EFORKED);
  CHECK_EQ(ecru_start(NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_start(&options), ECRU_EFORKED);
  CHECK_EQ(ecru_run(count_run, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_run_with(&options, count_run, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_yield(), ECRU_EFORKED);
  CHECK_EQ(ecru_maxprocs(), ECRU_EFORKED);
  CHECK_EQ(ecru_set_maxprocs(2), ECRU_EFORKED);
  CHECK_EQ(ecru_blocking_enter(), ECRU_EFORKED);
  CHECK_EQ(ecru_blocking_exit(), ECRU_EFORKED);
  CHECK_EQ(ecru_blocking(count_run, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_on_thread_stack(count_run, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_pin(), ECRU_EFORKED);
  CHECK_EQ(ecru_unpin(), ECRU_EFORKED);
  CHECK_EQ(ecru_sleep(1), ECRU_EFORKED);
  CHECK_EQ(ecru_check(), ECRU_EFORKED);
  CHECK_EQ(ecru_spawn(&task, idle_task, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_group_create(&group, 0, 0), ECRU_EFORKED);
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), ECRU_EFORKED);
  CHECK_EQ(ecru_timer_create(&timer, 1), ECRU_EFORKED);
  CHECK_EQ(ecru_chan_send(things.plain, name), ECRU_EFORKED);
  CHECK_EQ(ecru_chan_recv(things.full, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_mutex_lock(things.mutex), ECRU_EFORKED);
  CHECK_EQ(ecru_waitgroup_wait(things.group), ECRU_EFORKED);
  CHECK_EQ(ecru_semaphore_acquire(things.semaphore, 1), ECRU_EFORKED);
  CHECK_EQ(ecru_barrier_wait(things.barrier), ECRU_EFORKED);
  CHECK_EQ(ecru_dump(2, ECRU_DUMP_TEXT), ECRU_EFORKED);
  CHECK_EQ(ecru_get_counters(&counters), ECRU_EFORKED);
  CHECK_EQ(ecru_stop(), ECRU_EFORKED);
  CHECK_EQ(ecru_id(), 0);
  CHECK_EQ(ecru_in_goroutine(), 0);
  CHECK_EQ(ecru_name(name, sizeof name), 0);
  CHECK_EQ(ecru_set_name("x"), ECRU_EPERM);
}
static void expect_child(pid_t child, int code) {
  int status = 0;
  CHECK(child > 0);
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(errno, EINTR);
  CHECK_EQ(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), code);
}
static void fork_and_try(void *unused) {
  (void)unused;
  pid_t child = fork();
  if (child == 0) {
    try_everything();
    _exit(7);
  }
  expect_child(child, 7);
}

TEST(runtime, a_forked_child_is_told) { // G14
  make_things();
  go(wait_for_ever, NULL);
  fork_and_try(NULL);
  UNTIL(counters_now().waiting == 1);
  fork_and_try(NULL);
  pid_t child = fork();
  if (child == 0) {
    fork_and_try(NULL); // its own children are, too
    _exit(8);
  }
  expect_child(child, 8);
  CHECK_EQ(ecru_stop(), 0); // the parent knows nothing of all that
  CHECK_EQ(atomic_load(&runs), 1);
  drop_things();
}

static void fork_inside(void *unused) {
  make_things();
  fork_and_try(NULL);
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_blocking(fork_and_try, NULL), 0);
  CHECK_EQ(ecru_on_thread_stack(fork_and_try, unused), 0);
  drop_things();
  if (unused) finish(unused);
}
static void fork_everywhere(void *unused) {
  (void)unused;
  done = signals();
  fork_inside(NULL);
  go_flagged(ECRU_OWN_THREAD, fork_inside, done);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(runtime, a_child_forked_in_a_goroutine_is_told) { // G14
  with_procs(2, fork_everywhere);
}

static void *fork_with_others(void *unused) {
  for (int i = 0; i < test_scaled(30); i++) fork_and_try(unused);
  atomic_store(&over, 1);
  return NULL;
}
static void keep_busy(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    CHECK_EQ(ecru_sleep(10 * ECRU_MICROSECOND), 0);
    for (int i = 0; i < 10; i++) go(count_run, NULL);
    UNTIL(counters_now().goroutines < 50);
  }
}
static void fork_while_busy(void *unused) {
  (void)unused;
  make_things();
  pthread_t thread = start_thread(fork_with_others, NULL);
  for (int i = 0; i < 3; i++) go(keep_busy, NULL);
  keep_busy(NULL);
  join_thread(thread);
  UNTIL(counters_now().goroutines == 1);
  drop_things();
}
TEST(runtime, a_child_never_hangs_whatever_others_did) { // G14: locks may be held at the moment of the fork
  with_procs(2, fork_while_busy);
}

TEST(runtime, a_child_forked_before_anything_else_is_told) { // G14
  make_things();
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_start(NULL), 0); // this thread has not called anything since
  fork_and_try(NULL);
  drop_things();
}
TEST(runtime, a_child_forked_after_nothing_but_a_start_is_told) { // G14
  CHECK_EQ(ecru_start(NULL), 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK_EQ(ecru_go(count_run, NULL), ECRU_EFORKED);
    CHECK_EQ(ecru_stop(), ECRU_EFORKED);
    _exit(7);
  }
  expect_child(child, 7);
}

TEST(runtime, a_child_of_a_process_that_does_not_use_it_can) { // G14
  pid_t child = fork();
  if (child == 0) {
    CHECK_EQ(ecru_run(count_run, NULL), 0);
    CHECK_EQ(atomic_load(&runs), 1);
    _exit(7);
  }
  expect_child(child, 7);
  CHECK_EQ(ecru_run(count_run, NULL), 0);
}

static void fork_and_return(void *child) { *(pid_t *)child = fork(); } // the child returns from it, too
static void child_returns_from_goroutine(void) {
  pid_t child = -1;
  int status = ecru_run(fork_and_return, &child);
  // only the parent gets here
  CHECK_EQ(status, 0);
  expect_child(child, -SIGABRT);
}
TEST(runtime, a_child_cannot_return_from_a_goroutine) { // G14
  test_death(child_returns_from_goroutine, 0, "ecru: panic: fork((nil)): a forked child has returned from a goroutine");
}

static void exec_inside(void *unused) {
  (void)unused;
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/true", "true", (char *)NULL);
    _exit(9);
  }
  expect_child(child, 0);
}
TEST(runtime, fork_and_exec_work_as_ever) { // G14
  with_procs(2, exec_inside);
}
