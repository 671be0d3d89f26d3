// tests/unit/debug.c: dumps (D2) and counters (D4).
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "runtime/sanitize.h"
#include "tests/dumps.h"

#ifdef ECRU__TSAN
enum { FRAMES = 0 }; // dumps have no backtraces then
#else
enum { FRAMES = 1 };
#endif

/// A function of its own in every build: backtraces shall show it.
#if defined(__clang__)
#define SHOWN __attribute__((noinline))
#else
#define SHOWN __attribute__((noipa))
#endif

static ecru_chan *chan; // what everybody waits for

static void begin(void) { CHECK_EQ(ecru_chan_create(&chan, sizeof(int), 0), 0); }

static void end(void) {
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(chan);
}

SHOWN static void wait_here(void *unused) {
  (void)unused;
  int value;
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
}

SHOWN static void wait_there(void *unused) {
  wait_here(unused);
  __asm__ volatile("" ::: "memory"); // something to do after the call: it is not a tail call
}

SHOWN static void go_named(ecru_fn fn, const char *name, unsigned flags) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = name;
  options.flags = flags;
  CHECK_EQ(ecru_go_with(&options, fn, NULL), 0);
}

// ---- what a dump says ---------------------------------------------------------------------------------------------

TEST(dump, text_tells_who_waits_for_what_and_where) { // D2, G7
  begin();
  go_named(wait_there, "patient", 0);
  await_waiting(1);
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, "ecru: 1 goroutine: 0 running, 0 runnable, 1 waiting, 0 blocking\n");
  check_has(text, "1 goroutine [chan receive]:\n  goroutine ");
  check_has(text, " \"patient\" for ");
  char object[64];
  snprintf(object, sizeof object, " on 0x%" PRIxPTR ", created by a foreign thread at ", (uintptr_t)chan);
  check_has(text, object);
  check_has(text, "go_named+0x");
  if (FRAMES) {
    CHECK(strstr(text, "wait_here+0x") < strstr(text, "wait_there+0x"));
    CHECK_EQ(count_of(text, "ecru__"), 0); // what is inside ecru is left out
  }
  free(text);
  end();
}

TEST(dump, text_groups_identical_stacks) { // D2
  begin();
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_go(wait_here, NULL), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_go(wait_there, NULL), 0);
  await_waiting(30);
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, FRAMES ? "\n20 goroutines [chan receive]:\n" : "\n30 goroutines [chan receive]:\n");
  if (FRAMES) check_has(text, "\n10 goroutines [chan receive]:\n");
  CHECK_EQ(count_of(text, "  goroutine "), 30);
  if (FRAMES) CHECK_EQ(count_of(text, "    wait_here+0x"), 2);
  free(text);
  end();
}

TEST(dump, json_tells_the_same) { // D2, G7
  begin();
  go_named(wait_there, "patient", 0);
  go_named(wait_here, "steady", ECRU_PINNED);
  await_waiting(2);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  check_has(text, "\"name\":\"patient\",\"state\":\"waiting\",\"reason\":\"chan receive\",\"waited_ns\":");
  char object[64];
  snprintf(object, sizeof object, ",\"object\":\"0x%" PRIxPTR "\",\"age_ns\":", (uintptr_t)chan);
  CHECK_EQ(count_of(text, object), 2);
  CHECK_EQ(count_of(text, "\"parent\":0,\"created\":\"go_named+0x"), 2);
  CHECK_EQ(count_of(text, "\"pinned\":true,\"stack_bytes\":262144,"), 1);
  if (FRAMES) CHECK_EQ(count_of(text, "\"backtrace\":[\""), 2);
  if (FRAMES) CHECK_EQ(count_of(text, "\"wait_here+0x"), 2);
  free(text);
  end();
}

TEST(dump, names_may_be_anything) { // D2
  begin();
  go_named(wait_here, "\"quoted\\\"\n\x01\x7f", 0);
  go_named(wait_here, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x91", 0);
  go_named(wait_here, "bad \xff \xc3( \xed\xa0\x80 \xc0\xaf", 0);
  go_named(wait_here, "0123456789012345678901234567\xe2\x82\xac\xe2\x82\xac", 0); // cut within a character
  await_waiting(4);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  check_has(text, "\"name\":\"\\\"quoted\\\\\\\"\\u000a\\u0001\x7f\"");
  check_has(text, "\"name\":\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x91\"");
  check_has(text, "\"name\":\"bad \\ufffd \\ufffd( \\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\"");
  check_has(text, "\"name\":\"0123456789012345678901234567\xe2\x82\xac\"");
  free(text);
  text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, " \"\"quoted\\\"???\" for ");
  free(text);
  end();
}

static void block_in_ecru(void *state) {
  ecru_blocking_enter();
  atomic_store((_Atomic int *)state, 1);
  while (atomic_load((_Atomic int *)state) != 2) usleep(200);
  ecru_blocking_exit();
}

static void compute(void *state) {
  atomic_store((_Atomic int *)state, 1);
  while (atomic_load((_Atomic int *)state) != 2) {}
}

TEST(dump, states_are_told_apart) { // D2, G7
  begin();
  _Atomic int blocking = 0, running = 0;
  CHECK_EQ(ecru_go(block_in_ecru, &blocking), 0);
  CHECK_EQ(ecru_go(compute, &running), 0);
  CHECK_EQ(ecru_go(wait_here, NULL), 0);
  while (atomic_load(&blocking) == 0 || atomic_load(&running) == 0) usleep(200);
  await_waiting(1);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  CHECK_EQ(count_of(text, "\"state\":\"blocking\""), 1);
  CHECK_EQ(count_of(text, "\"state\":\"running\""), 1);
  CHECK_EQ(count_of(text, "\"state\":\"waiting\""), 1);
  CHECK_EQ(count_of(text, "\"no_backtrace\":\"it runs or is about to\""), 2);
  free(text);
  text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, "1 running, 0 runnable, 1 waiting, 1 blocking");
  free(text);
  atomic_store(&blocking, 2);
  atomic_store(&running, 2);
  end();
}

static void do_nothing(void *unused) { (void)unused; }

SHOWN static void dump_before_others_run(void *unused) {
  (void)unused;
  char *text = NULL;
  do { // again if this goroutine had to let the others go first
    free(text);
    for (int i = 0; i < 3; i++) CHECK_EQ(ecru_go(do_nothing, NULL), 0);
    text = dump_taken(ECRU_DUMP_JSON);
  } while (count_of(text, "\"state\":\"runnable\"") < 3);
  check_json(text);
  CHECK_EQ(count_of(text, "\"no_backtrace\":\"it has not run yet\""), 3);
  check_has(text, "\"state\":\"running\"");
  check_has(text, "\"dump_before_others_run+0x"); // the caller's own backtrace
  free(text);
}

TEST(dump, goroutine_dumps_itself_and_those_not_started) { // D2
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_run_with(&options, dump_before_others_run, NULL), 0);
}

SHOWN static void dump_on_own_thread(void *unused) {
  (void)unused;
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, "1 goroutine [running]:\n");
  check_has(text, ", own thread ");
  check_has(text, "    dump_on_own_thread+0x");
  free(text);
}

TEST(dump, goroutine_with_its_own_thread_dumps_itself) { // D2, G10
  go_named(dump_on_own_thread, "hermit", ECRU_OWN_THREAD);
}

static void *wait_in_thread(void *unused) {
  wait_here(unused);
  return NULL;
}

TEST(dump, threads_are_told) { // D2, G10
  begin();
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
  go_named(wait_here, "hermit", ECRU_OWN_THREAD);
  char *text = NULL;
  do { // until both have come so far
    free(text);
    text = dump_taken(ECRU_DUMP_TEXT);
  } while (!strstr(text, "\nforeign thread ") || !strstr(text, " \"hermit\" for "));
  check_has(text, " [chan receive] for ");
  check_has(text, ", own thread ");
  check_has(text, "(no backtrace: it waits on a thread's stack: see a debugger)");
  free(text);
  text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  check_has(text, "\"threads\":[\n{\"thread\":");
  check_has(text, "\"name\":\"hermit\"");
  free(text);
  CHECK_EQ(ecru_chan_close(chan), 0);
  pthread_join(thread, NULL);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(chan);
}

static void wait_on_native_stack(void *unused) { CHECK_EQ(ecru_on_thread_stack(wait_here, unused), 0); }

TEST(dump, goroutine_on_a_threads_stack_has_no_backtrace) { // D2, G10
  begin();
  CHECK_EQ(ecru_go(wait_on_native_stack, NULL), 0);
  await_waiting(1);
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, "1 goroutine [chan receive]:\n");
  check_has(text, "(no backtrace: it waits on a thread's stack: see a debugger)");
  free(text);
  end();
}

// ---- every reason -------------------------------------------------------------------------------------------------

static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *waitgroup;
static ecru_semaphore *semaphore;
static ecru_barrier *barrier;

static void wait_send(void *unused) { (void)unused; int value = 1; ecru_chan_send(chan, &value); }
static void wait_select(void *unused) {
  (void)unused;
  ecru_case cases[2] = {{.kind = ECRU_CASE_SEND, .object = chan, .value = &(int){1}}, {.kind = ECRU_CASE_TOKEN, .object = ecru_token_background()}};
  ecru_select(cases, 2, 0);
}
static void wait_sleep(void *unused) { (void)unused; ecru_sleep(ECRU_FOREVER); }
static void wait_mutex(void *unused) { (void)unused; ecru_mutex_lock(mutex); }
static void wait_rwmutex(void *unused) { (void)unused; ecru_rwmutex_lock(rwmutex); }
static void wait_read(void *unused) { (void)unused; ecru_rwmutex_read_lock(rwmutex); }
static void wait_cond(void *unused) {
  (void)unused;
  ecru_mutex *own;
  CHECK_EQ(ecru_mutex_create(&own), 0);
  CHECK_EQ(ecru_mutex_lock(own), 0);
  ecru_cond_wait(cond, own);
  ecru_mutex_unlock(own);
  ecru_mutex_destroy(own);
}
static void wait_waitgroup(void *unused) { (void)unused; ecru_waitgroup_wait(waitgroup); }
static void wait_semaphore(void *unused) { (void)unused; ecru_semaphore_acquire(semaphore, 1); }
static void wait_barrier(void *unused) { (void)unused; ecru_barrier_wait(barrier); }
static void wait_token(void *unused) { (void)unused; ecru_token_wait(ecru_token_background()); }
static void wait_gate(void *unused) { // which is built of a semaphore
  (void)unused;
  CHECK(ecru_waits_for("gate") == NULL);
  ecru_semaphore_acquire(semaphore, 1);
  CHECK_STR(ecru_waits_for(NULL), "gate");
}
static void wait_after_all(void *unused) {
  (void)unused;
  CHECK(ecru_waits_for("gate") == NULL);
  CHECK_STR(ecru_waits_for("door"), "gate");
  CHECK_STR(ecru_waits_for(NULL), "door");
  ecru_semaphore_acquire(semaphore, 1);
}
static void end_waiting_for_something(void *unused) { (void)unused; (void)ecru_waits_for("who has its stack next"); }

TEST(dump, every_reason_has_its_name) { // D2, G7
  begin();
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  CHECK_EQ(ecru_waitgroup_create(&waitgroup), 0);
  CHECK_EQ(ecru_semaphore_create(&semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_acquire(semaphore, 1), 0);
  CHECK_EQ(ecru_barrier_create(&barrier, 2), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  CHECK_EQ(ecru_rwmutex_lock(rwmutex), 0);
  CHECK_EQ(ecru_waitgroup_go(waitgroup, end_waiting_for_something, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(waitgroup), 0);
  CHECK_EQ(ecru_waitgroup_add(waitgroup, 1), 0);
  static const struct { ecru_fn fn; const char *reason; } rows[] = {
    {wait_send, "chan send"},   {wait_select, "select"},        {wait_sleep, "sleep"},         {wait_mutex, "mutex"},
    {wait_rwmutex, "rwmutex lock"}, {wait_read, "rwmutex read lock"}, {wait_cond, "cond"},     {wait_waitgroup, "wait group"},
    {wait_semaphore, "semaphore"},  {wait_barrier, "barrier"},  {wait_token, "token"},         {wait_gate, "gate"},
    {wait_after_all, "semaphore"},
  };
  enum { ROWS = sizeof rows / sizeof rows[0] };
  for (int i = 0; i < ROWS; i++) go_named(rows[i].fn, rows[i].reason, 0);
  await_waiting(ROWS);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  for (int i = 0; i < ROWS; i++) {
    char part[128];
    snprintf(part, sizeof part, "\"name\":\"%s\",\"state\":\"waiting\",\"reason\":\"%s\"", rows[i].reason, rows[i].reason);
    check_has(text, part);
  }
  free(text);
  CHECK_EQ(ecru_stop(), 0); // the root token ends them all
  ecru_mutex_unlock(mutex);
  ecru_rwmutex_unlock(rwmutex);
  ecru_waitgroup_done(waitgroup);
  CHECK_EQ(ecru_stop(), 0);
  ecru_mutex_destroy(mutex);
  ecru_rwmutex_destroy(rwmutex);
  ecru_cond_destroy(cond);
  ecru_waitgroup_destroy(waitgroup);
  ecru_semaphore_destroy(semaphore);
  ecru_barrier_destroy(barrier);
  ecru_chan_release(chan);
}

// ---- a goroutine that was looked at goes on as if it had not been -----------------------------------------------------

SHOWN static long deep(int depth, long *sum) {
  volatile long here = depth * 3;
  if (depth == 0) {
    int value = 0;
    CHECK_EQ(ecru_chan_recv(chan, &value), 0);
    return value;
  }
  long below = deep(depth - 1, sum);
  *sum += here;
  return below + depth;
}

static _Atomic long results;

SHOWN static int *errno_here(void) { return &errno; } // compilers keep its address, and the goroutine changes its thread

static void go_deep(void *unused) {
  (void)unused;
  fesetround(FE_UPWARD);
  *errno_here() = 1234;
  long sum = 0;
  long value = deep(20, &sum);
  CHECK_EQ(*errno_here(), 1234);
  CHECK_EQ(fegetround(), FE_UPWARD);
  CHECK_EQ(sum, 3 * 210);
  fesetround(FE_TONEAREST);
  atomic_fetch_add(&results, value - 210);
}

TEST(dump, inspected_goroutines_go_on_unharmed) { // D2, G11
  begin();
  enum { CROWD = 20 };
  for (int i = 0; i < CROWD; i++) CHECK_EQ(ecru_go(go_deep, NULL), 0);
  await_waiting(CROWD);
  for (int i = 0; i < 5; i++) {
    errno = 77;
    char *text = dump_taken(ECRU_DUMP_TEXT);
    CHECK_EQ(errno, 77);
    if (FRAMES) CHECK_EQ(count_of(text, "    deep+0x"), 21);
    free(text);
  }
  CHECK_EQ(fegetround(), FE_TONEAREST);
  for (int i = 0; i < CROWD; i++) CHECK_EQ(ecru_chan_send(chan, &i), 0);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&results), CROWD * (CROWD - 1) / 2);
  ecru_chan_release(chan);
}

static void go_very_deep(void *unused) {
  (void)unused;
  long sum = 0;
  deep(300, &sum);
}

TEST(dump, shows_fifty_frames_at_most) { // D2
  begin();
  CHECK_EQ(ecru_go(go_very_deep, NULL), 0);
  await_waiting(1);
  char *text = dump_taken(ECRU_DUMP_TEXT);
  if (FRAMES) CHECK(count_of(text, "    deep+0x") > 40 && count_of(text, "    ") <= 50);
  free(text);
  int value = 1;
  CHECK_EQ(ecru_chan_send(chan, &value), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(chan);
}

SHOWN static int fill_stack(volatile char *from, size_t bytes) {
  volatile char here[128];
  here[0] = from[0];
  if ((size_t)(from - here) < bytes) return fill_stack(from, bytes) + here[0];
  int value;
  return ecru_chan_recv(chan, &value) + here[0];
}

static void nearly_fill_stack(void *unused) {
  (void)unused;
  volatile char top = 0;
  fill_stack(&top, 6 << 10);
}

static void dump_on_small_stack(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_dump(open("/dev/null", O_WRONLY | O_CLOEXEC), ECRU_DUMP_JSON), 0);
}

TEST(dump, small_stacks_suffice) { // D2, G8
#if defined(ECRU__ASAN) || defined(ECRU__TSAN)
  SKIP("16 KiB of stack are too little for anything under a sanitizer");
#endif
  begin();
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = 16 << 10;
  CHECK_EQ(ecru_go_with(&options, nearly_fill_stack, NULL), 0);
  await_waiting(1);
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, "1 goroutine [chan receive]:\n");
  free(text);
  CHECK_EQ(ecru_go_with(&options, dump_on_small_stack, NULL), 0);
  end();
}

TEST(dump, of_a_crowd_is_complete) { // D2, G9
  begin();
  long crowd = test_scaled(20000); // the race detector knows at most 8128 goroutines
  for (long i = 0; i < crowd; i++) CHECK_EQ(ecru_go(wait_here, NULL), 0);
  await_waiting((uint64_t)crowd);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  CHECK_EQ(count_of(text, "{\"id\":"), crowd);
  free(text);
  text = dump_taken(ECRU_DUMP_TEXT);
  long listed = count_of(text, "  goroutine "), more = 0;
  for (const char *at = text; (at = strstr(at, "  and ")) != NULL; at++) more += strtol(at + strlen("  and "), NULL, 10);
  CHECK_EQ(listed + more, crowd);
  free(text);
  end();
}

// ---- where it goes ------------------------------------------------------------------------------------------------

TEST(dump, bad_arguments_and_bad_files) { // D2
  begin();
  CHECK_EQ(ecru_dump(-1, ECRU_DUMP_TEXT), ECRU_EINVAL);
  CHECK_EQ(ecru_dump(2, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_dump(2, -1), ECRU_EINVAL);
  int closed = dup(2);
  close(closed);
  CHECK_EQ(ecru_dump(closed, ECRU_DUMP_TEXT), ECRU_EIO);
  int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full >= 0) CHECK_EQ(ecru_dump(full, ECRU_DUMP_JSON), ECRU_EIO);
  close(full);
  CHECK_EQ(ecru_dump(open("/dev/null", O_WRONLY | O_CLOEXEC), ECRU_DUMP_TEXT), 0);
  end();
}

TEST(dump, without_a_runtime) { // D2
  char *text = dump_taken(ECRU_DUMP_TEXT);
  CHECK_STR(text, "ecru: not running\n");
  free(text);
  text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  check_has(text, "\"goroutines\":[\n],\"threads\":[\n]}");
  free(text);
  ecru_counters counters = {.size = sizeof counters, .goroutines = 7};
  CHECK_EQ(ecru_get_counters(&counters), 0);
  CHECK_EQ(counters.goroutines, 0);
  CHECK_EQ(test_threads(), test_threads());
}

static void *read_slowly(void *fd) {
  char buffer[4096];
  long total = 0;
  for (ssize_t got; (got = read(*(int *)fd, buffer, sizeof buffer)) > 0; usleep(500)) total += got;
  return (void *)(intptr_t)total;
}

TEST(dump, into_a_slow_non_blocking_pipe) { // D2
  begin();
  for (int i = 0; i < 1000; i++) CHECK_EQ(ecru_go(wait_here, NULL), 0);
  await_waiting(1000);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  pthread_t reader;
  CHECK_EQ(pthread_create(&reader, NULL, read_slowly, &ends[0]), 0);
  CHECK_EQ(ecru_dump(ends[1], ECRU_DUMP_JSON), 0);
  close(ends[1]);
  void *total;
  pthread_join(reader, &total);
  CHECK((intptr_t)total > 1000 * 100);
  close(ends[0]);
  end();
}

// ---- on SIGQUIT ---------------------------------------------------------------------------------------------------

static int stderr_captured(int *saved) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  *saved = dup(2);
  CHECK_EQ(dup2(ends[1], 2), 2);
  close(ends[1]);
  return ends[0];
}

/// Reads until `part` has come. A test that waits in vain is ended by its time limit.
static void read_until(int fd, const char *part) {
  static char text[1 << 20];
  size_t used = 0;
  memset(text, 0, sizeof text);
  while (!strstr(text, part)) {
    ssize_t got = read(fd, text + used, sizeof text - 1 - used);
    CHECK(got > 0);
    used += (size_t)got;
  }
}

TEST(dump, on_sigquit_also_when_all_is_fast_asleep) { // D2
  begin();
  go_named(wait_here, "patient", 0);
  await_waiting(1);
  CHECK_EQ(ecru_dump_on_sigquit(), 0);
  usleep(300 * 1000); // the monitor is in its deep sleep by then
  int saved, from = stderr_captured(&saved);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(kill(getpid(), SIGQUIT), 0);
    read_until(from, "\"patient\" for ");
    usleep(50 * 1000); // the rest of that dump
  }
  dup2(saved, 2);
  close(saved);
  close(from);
  end();
}

// ---- counters -----------------------------------------------------------------------------------------------------

static void yield_often(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) ecru_yield();
  ecru_sleep(ECRU_MICROSECOND);
}

TEST(counters, count) { // D4
  begin();
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_go(wait_here, NULL), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_go(yield_often, NULL), 0);
  await_waiting(10);
  ecru_counters now = {.size = sizeof now};
  do CHECK_EQ(ecru_get_counters(&now), 0);
  while (now.goroutines != 10 || now.running != 0);
  CHECK_EQ(now.waiting, 10);
  CHECK_EQ(now.runnable, 0);
  CHECK_EQ(now.blocking, 0);
  CHECK_EQ(now.spawned, 20);
  CHECK(now.switches >= 20);
  CHECK(now.parks >= 20);
  CHECK_EQ(now.timers_fired, 10);
  CHECK(now.threads >= 2 && now.threads_created >= 1 && now.threads_idle >= 1);
  CHECK(now.stacks_mapped >= 10 && now.stacks_cached + 10 <= now.stacks_mapped);
  CHECK_EQ(now.poll_wakes, 0);
  end();
}

TEST(counters, shorter_structure_of_an_older_caller) { // D4
  ecru_counters counters;
  memset(&counters, 0x55, sizeof counters);
  counters.size = offsetof(ecru_counters, runnable);
  ecru_yield(); // starts it
  CHECK_EQ(ecru_get_counters(&counters), 0);
  CHECK_EQ(counters.goroutines, 0);
  CHECK_EQ(counters.runnable, UINT64_C(0x5555555555555555));
  CHECK_EQ(ecru_get_counters(NULL), ECRU_EINVAL);
  counters.size = 0;
  CHECK_EQ(ecru_get_counters(&counters), ECRU_EINVAL);
  counters.size = sizeof counters + 1;
  CHECK_EQ(ecru_get_counters(&counters), ECRU_EINVAL);
}

static void ping(void *unused) {
  (void)unused;
  for (int value; ecru_chan_recv(chan, &value) == 0;) {}
}

static void pong_until_sampled(void *unused) {
  (void)unused;
  uint64_t samples = 0;
  for (int i = 0; samples == 0; i++) {
    CHECK_EQ(ecru_chan_send(chan, &i), 0);
    ecru_counters now = {.size = sizeof now};
    CHECK_EQ(ecru_get_counters(&now), 0);
    for (int k = 0; k < 32; k++) samples += now.latency_ns[k];
  }
  CHECK_EQ(ecru_chan_close(chan), 0);
}

TEST(counters, latencies_are_sampled) { // D4
  CHECK_EQ(ecru_chan_create(&chan, sizeof(int), 0), 0);
  CHECK_EQ(ecru_go(ping, NULL), 0);
  CHECK_EQ(ecru_run(pong_until_sampled, NULL), 0);
  ecru_chan_release(chan);
}
