/// tests/death/runtime.c: processes that end while goroutines are left (G13), and what a forked child is told (G14).
#include <signal.h>
#include <sys/wait.h>

#include "goroutines.h"
#include "runtime/sanitize.h" // ECRU__TSAN

static ecru_chan *done;
static _Atomic long runs;
static _Atomic int over;

static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
}
static void wait_for_ever(void *unused) {
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  count_run(unused);
}

// ---- ends ---------------------------------------------------------------------------------------------------------

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

static void refuse_to_end(void *started) {
  finish(started);
  for (;;) block_thread_ms(1000);
}
static void stop_too_early(void) {
  ecru_options options = ECRU_OPTIONS;
  options.grace_ns = 20 * ECRU_MILLISECOND;
  CHECK_EQ(ecru_start(&options), 0);
  ecru_chan *started = signals();
  ecru_go_options named = ECRU_GO_OPTIONS;
  named.name = "stubborn";
  CHECK_EQ(ecru_go_with(&named, refuse_to_end, started), 0);
  await(started, 1);
  CHECK_EQ(ecru_stop(), ECRU_ETIMEDOUT);
  _exit(5); // without a look for leaks
}
TEST(runtime, goroutines_that_outlast_the_grace_period_are_dumped) { // G13, D2
  test_death(stop_too_early, 5, "ecru: stop: 1 goroutine did not end within");
  test_death(stop_too_early, 5, "\"stubborn\"");
}

// ---- fork (G14) ---------------------------------------------------------------------------------------------------

/// Everything a child may try. Each call comes back, and says why it did nothing.
static void try_everything(void) {
  char name[8];
  ecru_counters counters = ECRU_COUNTERS;
  ecru_task *task = NULL;
  ecru_group *group = NULL;
  ecru_token *token = NULL;
  ecru_timer *timer = NULL;
  ecru_options options = ECRU_OPTIONS;
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
  test_death(child_returns_from_goroutine, 0, "ecru: panic: fork(0x0): a forked child has returned from a goroutine");
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

// ---- a child that starts anew (G14) ---------------------------------------------------------------------------------

static ecru_chan *old_chan, *old_full;
static ecru_semaphore *old_semaphore;
static ecru_token *old_token, *old_limit;
static ecru_timer *old_timer;
static ecru_io *old_io, *old_other;

static void make_old(void) {
  CHECK_EQ(ecru_chan_create(&old_chan, sizeof(long), 0), 0);
  CHECK_EQ(ecru_chan_create(&old_full, sizeof(long), 1), 0);
  CHECK_EQ(ecru_semaphore_create(&old_semaphore, 1), 0);
  CHECK_EQ(ecru_token_create(&old_token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_create(&old_limit, NULL, ecru_after(100 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_timer_create(&old_timer, 100 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_io_pair(&old_io, &old_other), 0);
}
static void drop_old(void) {
  ecru_chan_release(old_chan);
  ecru_chan_release(old_full);
  ecru_semaphore_destroy(old_semaphore);
  ecru_token_release(old_token);
  ecru_token_release(old_limit);
  ecru_timer_destroy(old_timer);
  ecru_io_release(old_io);
  ecru_io_release(old_other);
}

static void recv_old(void *unused) {
  (void)unused;
  (void)ecru_chan_recv(old_chan, NULL);
}
static void acquire_old(void *unused) {
  (void)unused;
  if (ecru_semaphore_acquire(old_semaphore, 1) == 0) (void)ecru_semaphore_release(old_semaphore, 1);
}
static void read_old(void *unused) {
  char byte;
  (void)unused;
  (void)ecru_io_read(old_io, &byte, 1);
}
static void sleep_long(void *unused) {
  (void)unused;
  (void)ecru_sleep(100 * ECRU_SECOND);
}
static const ecru_fn waits[] = {recv_old, acquire_old, read_old, sleep_long, recv_old};

static void send_seven(void *chan) {
  long seven = 7;
  CHECK_EQ(ecru_chan_send(chan, &seven), 0);
}
static void write_old(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_io_write(old_io, "x", 1, NULL), 1);
}
/// All kinds of waiting, with handles from before the fork.
static void live_anew(void *finished) {
  long value = 0;
  char byte = 0;
  CHECK_EQ(ecru_chan_try_send(old_chan, &value), ECRU_EAGAIN); // who waited there is gone
  go(send_seven, old_chan);
  CHECK_EQ(ecru_chan_recv(old_chan, &value), 0);
  CHECK_EQ(value, 7);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_semaphore_release(old_semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_acquire(old_semaphore, 1), 0);
  go(write_old, NULL);
  CHECK_EQ(ecru_io_read(old_other, &byte, 1), 1); // the parent's goroutines read at the other end
  CHECK_EQ(byte, 'x');
  for (int i = 0; i < 100; i++) go(count_run, NULL);
  if (finished) finish(finished);
}
static ecru_token *forked_under; // the current token, or NULL
static void restart_and_live(void) {
  long before = atomic_load(&runs);
  CHECK_EQ(ecru_restart_in_child(), 0);
  CHECK_EQ(ecru_restart_in_child(), ECRU_EPERM);
  if (forked_under) {
    CHECK(ecru_token_current() == forked_under);
    CHECK_EQ(ecru_token_leave(), 0);
  }
  CHECK_EQ(ecru_token_err(old_limit), 0);
  CHECK_EQ(ecru_token_reset(old_limit, ecru_after(200 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_token_cancel(old_token, 0), 0);
  CHECK_EQ(ecru_token_err(old_token), ECRU_ECANCELED);
  CHECK_EQ(ecru_run(live_anew, NULL), 0);
  CHECK_EQ(atomic_load(&runs), before + 100);
  live_anew(NULL); // as a plain thread, after a stop
  UNTIL(atomic_load(&runs) == before + 200);
  CHECK_EQ(ecru_host_enter(NULL), 0);
  ecru_chan *finished = signals();
  go_flagged(ECRU_HOSTED, live_anew, finished);
  await(finished, 1);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_host_leave(), 0);
  ecru_chan_release(finished);
  CHECK_EQ(ecru_stop(), 0);
  drop_old();
  _exit(7);
}
static void fork_and_live(void *unused) {
  (void)unused;
  pid_t child = fork();
  if (child == 0) restart_and_live();
  expect_child(child, 7);
}
/// The child in between does nothing else: as daemons are made.
static void fork_twice_and_live(bool restarted_between) {
  pid_t child = fork();
  if (child == 0) {
    if (restarted_between) CHECK_EQ(ecru_restart_in_child(), 0);
    pid_t grandchild = fork();
    if (grandchild == 0) restart_and_live();
    expect_child(grandchild, 7);
    _exit(8);
  }
  expect_child(child, 8);
}
static void wait_in_crowds(void *unused) {
  (void)unused;
  make_old();
  CHECK_EQ(ecru_semaphore_acquire(old_semaphore, 1), 0);
  CHECK_EQ(ecru_restart_in_child(), ECRU_EPERM);
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  for (int i = 0; i < 50; i++) go(waits[i % 5], NULL);
  CHECK_EQ(ecru_token_leave(), 0);
  UNTIL(counters_now().waiting >= 50);
  fork_and_live(NULL);
  CHECK_EQ(ecru_blocking(fork_and_live, NULL), 0);
  forked_under = token;
  CHECK_EQ(ecru_token_enter(token), 0);
  fork_and_live(NULL);
  fork_twice_and_live(true);
  fork_twice_and_live(false);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  UNTIL(counters_now().goroutines == 1);
  ecru_token_release(token);
  drop_old();
}
TEST(runtime, a_forked_child_can_start_anew) { // G14
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer starts no threads in a forked child, or takes them for its parent's");
#endif
  with_procs(2, wait_in_crowds);
}

static ecru_mutex *held_mutex;
static ecru_rwmutex *held_rwmutex;
static void leave_and_unlock(void) {
  CHECK(ecru_token_current() == forked_under);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
  CHECK_EQ(ecru_mutex_unlock(held_mutex), 0);
  CHECK_EQ(ecru_mutex_unlock(held_mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_unlock(held_rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_unlock(held_rwmutex), ECRU_EPERM);
}
/// first: what the child calls first: 0: neither, 1: unlocks the mutex, 2: the rwmutex.
static void fork_and_unlock(int generations, int first) {
  pid_t child = fork();
  if (child == 0) {
    CHECK_EQ(ecru_restart_in_child(), 0);
    if (generations > 1) fork_and_unlock(generations - 1, first);
    if (first == 1) {
      CHECK_EQ(ecru_mutex_unlock(held_mutex), 0);
      CHECK_EQ(ecru_mutex_lock(held_mutex), 0);
    }
    if (first == 2) {
      CHECK_EQ(ecru_rwmutex_unlock(held_rwmutex), 0);
      CHECK_EQ(ecru_rwmutex_lock(held_rwmutex), 0);
    }
    leave_and_unlock();
    _exit(7);
  }
  expect_child(child, 7);
}
TEST(runtime, who_forked_is_under_its_tokens_and_has_its_locks_in_the_child) { // G14
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer starts no threads in a forked child, or takes them for its parent's");
#endif
  CHECK_EQ(ecru_mutex_create(&held_mutex), 0);
  CHECK_EQ(ecru_rwmutex_create(&held_rwmutex), 0);
  CHECK_EQ(ecru_token_create(&forked_under, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_mutex_lock(held_mutex), 0);
  CHECK_EQ(ecru_rwmutex_lock(held_rwmutex), 0);
  CHECK_EQ(ecru_token_enter(forked_under), 0);
  for (int first = 0; first <= 2; first++) fork_and_unlock(2, first);
  leave_and_unlock();
  ecru_token_release(forked_under);
  ecru_mutex_destroy(held_mutex);
  ecru_rwmutex_destroy(held_rwmutex);
}

static void *fork_lives(void *unused) {
  for (int i = 0; i < test_scaled(30); i++) fork_and_live(unused);
  atomic_store(&over, 1);
  return NULL;
}
static void fork_lives_while_busy(void *unused) {
  (void)unused;
  make_old();
  CHECK_EQ(ecru_semaphore_acquire(old_semaphore, 1), 0);
  pthread_t thread = start_thread(fork_lives, NULL);
  for (int i = 0; i < 3; i++) go(keep_busy, NULL);
  keep_busy(NULL);
  join_thread(thread);
  UNTIL(counters_now().goroutines == 1);
  drop_old();
}
TEST(runtime, a_child_starts_anew_whatever_others_did) { // G14
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer takes a forked child's new threads for those of its parent");
#endif
#ifdef ECRU__ASAN
  SKIP("gcc 12's AddressSanitizer leaves the locks of its malloc to a forked child as they are: another thread's");
#endif
  with_procs(2, fork_lives_while_busy);
}
