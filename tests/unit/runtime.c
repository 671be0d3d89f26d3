/// tests/unit/runtime.c: starting, running, stopping, starting again (G13), bad input. How the process ends, and what a forked child is
/// told: tests/death/runtime.c.
#include "goroutines.h"
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
  if (test_scaled(100) < 100) SKIP("memory under a sanitizer or an emulator says little");
  long before = 0;
  for (int i = 0; i < 60; i++) {
    with_procs(2, use_everything);
    if (i == 20) before = test_resident_bytes();
  }
  CHECK(test_resident_bytes() - before < 4 << 20);
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
  WRONG(room_bytes, (32 << 10) + 1);
  WRONG(room_bytes, SIZE_MAX);
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

enum { PICKS = 32 };
static void pick(void *put) { // what a select takes of two that are ready, again and again
  uint32_t *picks = put;
  ecru_chan *chans[2];
  ecru_case cases[2];
  int value;
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(ecru_chan_create(&chans[i], sizeof(int), PICKS), 0);
    for (int n = 0; n < PICKS; n++) CHECK_EQ(ecru_chan_send(chans[i], &n), 0);
    cases[i] = (ecru_case){.kind = ECRU_CASE_RECV, .object = chans[i], .value = &value};
  }
  for (int n = 0; n < PICKS; n++) *picks = *picks << 1 | (uint32_t)ecru_select(cases, 2, 0);
  for (int i = 0; i < 2; i++) ecru_chan_release(chans[i]);
}
static uint32_t picks_of(uint64_t seed) {
  ecru_options options = good();
  options.maxprocs = 1;
  options.seed = seed;
  uint32_t picks = 0;
  CHECK_EQ(ecru_run_with(&options, pick, &picks), 0);
  return picks;
}
TEST(runtime, each_seed_gives_its_own_picks) { // D6
  enum { SEEDS = 130 };
  uint32_t picks[SEEDS + 1];
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    picks[seed] = picks_of(seed);
    for (uint64_t other = 1; other < seed; other++) CHECK(picks[other] != picks[seed]);
  }
  CHECK_EQ(picks_of(3), picks[3]);
  CHECK(picks_of(UINT64_C(3) << 32) != picks[3]);
}

TEST(runtime, options_of_an_older_header_are_taken) { // G13
  struct { size_t size; int maxprocs, threads_max; uint64_t garbage[8]; } older = {2 * sizeof(size_t), 3, 0, {0}};
  memset(older.garbage, 0xAB, sizeof older.garbage);
  CHECK_EQ(ecru_start((const ecru_options *)(const void *)&older), 0);
  CHECK_EQ(ecru_maxprocs(), 3);
}

static void count_procs(void *procs) { *(int *)procs = ecru_maxprocs(); }
TEST(runtime, asking_for_maxprocs_does_not_start_it) { // G1, G5, G13
  int threads = test_threads(), procs = 0;
  CHECK(ecru_maxprocs() >= 1);
  CHECK_EQ(test_threads(), threads);
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 3;
  CHECK_EQ(ecru_run_with(&options, count_procs, &procs), 0); // not ECRU_EBUSY
  CHECK_EQ(procs, 3);
  CHECK_EQ(ecru_set_maxprocs(2), 0); // that one does
  CHECK_EQ(ecru_run_with(&options, count_procs, &procs), ECRU_EBUSY);
  CHECK_EQ(ecru_run(count_procs, &procs), 0);
  CHECK_EQ(procs, 2);
}

static void check_procs(int expected) {
  int procs = 0;
  CHECK_EQ(ecru_run(count_procs, &procs), 0);
  CHECK_EQ(procs, expected);
}
TEST(runtime, a_library_chooses_what_it_starts_with) { // G1, G13
  struct { size_t size; int maxprocs; } older = {offsetof(ecru_options, threads_max), 3};
  ecru_options options = ECRU_OPTIONS;
  int threads = test_threads(), procs = 0;
  CHECK_EQ(ecru_set_default_options((const ecru_options *)(const void *)&older), 0);
  CHECK_EQ(test_threads(), threads);
  options.maxprocs = -1;
  CHECK_EQ(ecru_set_default_options(&options), ECRU_EINVAL);
  CHECK_EQ(ecru_maxprocs(), 3);
  check_procs(3);
  check_procs(3);
  CHECK_EQ(ecru_yield(), 0); // starts it
  CHECK_EQ(ecru_maxprocs(), 3);
  CHECK_EQ(ecru_set_default_options(NULL), ECRU_EBUSY);
  CHECK_EQ(ecru_stop(), 0);
  options.maxprocs = 2;
  CHECK_EQ(ecru_run_with(&options, count_procs, &procs), 0);
  CHECK_EQ(procs, 2);
  check_procs(3);
  CHECK_EQ(ecru_set_default_options(NULL), 0);
  options.maxprocs = 0;
  CHECK_EQ(ecru_run_with(&options, count_procs, &procs), 0);
  check_procs(procs);
}
