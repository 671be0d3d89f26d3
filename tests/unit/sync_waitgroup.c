/// tests/unit/sync_waitgroup.c: the wait group, once and the barrier (L1, L2, K2).
#include "syncs.h"

// ---- wait group ---------------------------------------------------------------------------------------------------

static ecru_waitgroup *group;

static void wait_for_group(void *letter) {
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  note(*(char *)letter);
}

static void all_wake(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  for (int round = 0; round < 3; round++) { // it can be used again
    history_length = 0;
    CHECK_EQ(ecru_waitgroup_wait(group), 0); // 0 from the start
    CHECK_EQ(ecru_waitgroup_add(group, 3), 0);
    start(wait_for_group, "a");
    start(wait_for_group, "b");
    all_others_parked();
    CHECK_EQ(ecru_waitgroup_done(group), 0);
    CHECK_EQ(ecru_waitgroup_add(group, -1), 0);
    all_others_parked();
    CHECK_EQ(history_length, 0);
    CHECK_EQ(ecru_waitgroup_done(group), 0);
    join_crew();
    CHECK(strcmp(history, "ab") == 0 || strcmp(history, "ba") == 0);
  }
  ecru_waitgroup_destroy(group);
}
TEST(waitgroup, the_last_done_wakes_all) { // L1
  in_virtual_time(all_wake);
}

TEST(waitgroup, the_counter_stays_in_its_bounds) { // L2
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_waitgroup_done(group), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_add(group, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_add(group, INT64_MIN), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_add(group, INT64_MAX), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_waitgroup_add(group, 0), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_waitgroup_add(group, 2), 0);
  CHECK_EQ(ecru_waitgroup_add(group, -3), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_add(group, INT64_MAX / 4 - 1), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_waitgroup_add(group, INT64_MAX / 4 - 2), 0);
  CHECK_EQ(ecru_waitgroup_add(group, 1), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_waitgroup_add(group, -(INT64_MAX / 4)), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  ecru_waitgroup_destroy(group);
  ecru_waitgroup_destroy(NULL);
}

static void leave_by_exit(void *unused) {
  (void)unused;
  ecru_exit();
}
static void leave_by_return(void *unused) { (void)unused; }

static void go_and_wait(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_waitgroup_go(group, i % 2 ? leave_by_exit : leave_by_return, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_waitgroup_go(group, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  ecru_waitgroup_destroy(group);
}
TEST(waitgroup, goroutines_count_until_their_end) { // L1
  with_procs(2, go_and_wait);
}

static void short_life(void *unused) {
  (void)unused;
  for (long i = test_scaled(20000); i > 0; i--) {
    ecru_waitgroup *brief;
    CHECK_EQ(ecru_waitgroup_create(&brief), 0);
    for (int k = 0; k < 2; k++) CHECK_EQ(ecru_waitgroup_go(brief, leave_by_return, NULL), 0);
    CHECK_EQ(ecru_waitgroup_wait(brief), 0);
    ecru_waitgroup_destroy(brief);
  }
}
TEST(waitgroup, can_be_destroyed_as_soon_as_wait_returns) { // L1
  with_procs(2, short_life);
}

static void *wait_in_thread(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  return NULL;
}
static void *done_in_thread(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_done(group), 0); // the first call of a thread ecru has never seen
  return NULL;
}

static void threads_and_goroutines(void *unused) {
  (void)unused;
  for (long i = test_scaled(200); i > 0; i--) {
    history_length = 0;
    CHECK_EQ(ecru_waitgroup_create(&group), 0);
    CHECK_EQ(ecru_waitgroup_add(group, 2), 0);
    pthread_t waiter = start_thread(wait_in_thread, NULL);
    start(wait_for_group, "a");
    pthread_t worker = start_thread(done_in_thread, NULL);
    CHECK_EQ(ecru_waitgroup_done(group), 0);
    join_crew();
    join_thread(worker);
    join_thread(waiter);
    ecru_waitgroup_destroy(group);
  }
}
TEST(waitgroup, foreign_threads_wait_and_finish_too) { // L1
  with_procs(2, threads_and_goroutines);
}

// ---- once ---------------------------------------------------------------------------------------------------------

static ecru_once *once;
static int runs;

static void run_slowly(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  runs++;
}
static void do_once(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_do(once, run_slowly, NULL), 0);
  CHECK_EQ(runs, 1);
}
static void do_once_in_vain(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_do(once, run_slowly, NULL), ECRU_ECANCELED);
  CHECK_EQ(runs, 0);
}

static void once_for_all(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_create(&once), 0);
  ecru_token *token = token_until(ECRU_FOREVER);
  for (int i = 0; i < 5; i++) start(do_once, NULL);
  start_under(token, do_once_in_vain, NULL);
  CHECK_EQ(ecru_yield(), 0);
  all_others_parked();
  cancel(token);
  join_crew();
  do_once(NULL);
  ecru_token_release(token);
  ecru_once_destroy(once);
}
TEST(once, runs_once_and_all_wait_for_it) { // L1, K2
  in_virtual_time(once_for_all);
}

static void cancelled_at_first(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_create(&once), 0);
  ecru_token *token = token_until(ECRU_FOREVER);
  cancel(token);
  start_under(token, do_once_in_vain, NULL);
  join_crew();
  do_once(NULL); // the right to run was not spent
  ecru_token_release(token);
  ecru_once_destroy(once);
}
TEST(once, a_caller_cancelled_before_does_not_run_it) { // L1, K2
  in_virtual_time(cancelled_at_first);
}

static void call_itself(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_do(once, call_itself, NULL), ECRU_EDEADLK);
  runs++;
}
TEST(once, calling_itself_is_an_error) { // L2
  CHECK_EQ(ecru_once_create(&once), 0);
  CHECK_EQ(ecru_once_do(once, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_once_do(once, call_itself, NULL), 0);
  CHECK_EQ(ecru_once_do(once, call_itself, NULL), 0);
  CHECK_EQ(runs, 1);
  ecru_once_destroy(once);
  ecru_once_destroy(NULL);
}

// ---- barrier ------------------------------------------------------------------------------------------------------

enum { PARTIES = 5 };
static ecru_barrier *barrier;
static long arrivals[PARTIES]; // arrivals[i]: goroutine i's own
static _Atomic long leaders;
static long cycles;

static void cycle(void *index) {
  long *mine = &arrivals[(uintptr_t)index];
  for (long i = 0; i < cycles; i++) {
    ++*mine;
    int status = ecru_barrier_wait(barrier);
    CHECK(status == 0 || status == 1);
    if (status == 1) atomic_fetch_add(&leaders, 1);
    for (int k = 0; k < PARTIES; k++) CHECK_EQ(arrivals[k], i + 1); // all of this cycle, none of the next
    status = ecru_barrier_wait(barrier);
    CHECK(status == 0 || status == 1);
  }
}
static void *cycle_in_thread(void *index) {
  cycle(index);
  return NULL;
}

static void many_cycles(void *unused) {
  (void)unused;
  cycles = test_scaled(2000);
  CHECK_EQ(ecru_barrier_create(&barrier, PARTIES), 0);
  pthread_t thread = start_thread(cycle_in_thread, (void *)0);
  for (uintptr_t i = 1; i < PARTIES; i++) start(cycle, (void *)i);
  join_crew();
  join_thread(thread);
  CHECK_EQ(atomic_load(&leaders), cycles);
  ecru_barrier_destroy(barrier);
}
TEST(barrier, no_party_is_a_cycle_ahead) { // L1
  with_procs(2, many_cycles);
}

static void arrive(void *letter) {
  int status = ecru_barrier_wait(barrier);
  note(status == 1 ? '1' : status == 0 ? '0' : '!');
  note(*(char *)letter);
}

static void take_arrival_back(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_barrier_create(&barrier, 3), 0);
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, arrive, "a");
  start(arrive, "b");
  all_others_parked();
  cancel(token);
  all_others_parked();
  CHECK_STR(history, "!a");
  start(arrive, "c");
  all_others_parked();
  CHECK_STR(history, "!a"); // b and c are two
  start(arrive, "d");
  join_crew();
  CHECK_STR(history, "!a1d0b0c");
  ecru_token_release(token);
  ecru_barrier_destroy(barrier);
}
TEST(barrier, a_cancelled_waiter_takes_its_arrival_back) { // L1, K2
  in_virtual_time(take_arrival_back);
}

/// Has b and us complete the cycle after a was cancelled and before it runs. returns: false: a ran first, since our time slice ended then.
static bool complete_before_a_runs(void) {
  ecru_token *token = token_until(ECRU_FOREVER);
  memset(history, 0, sizeof history);
  history_length = 0;
  start_under(token, arrive, "a");
  start(arrive, "b");
  all_others_parked();
  cancel(token);
  CHECK_EQ(ecru_deadline_enter(ecru_after(1)), 0); // passes when all are parked
  int status = ecru_barrier_wait(barrier);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  return status == 1;
}
static void cancelled_too_late(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_barrier_create(&barrier, 3), 0);
  while (!complete_before_a_runs()) {
    start(arrive, "c"); // for the next attempt b must not stand here any more
    all_others_parked();
    CHECK_EQ(ecru_barrier_wait(barrier), 1);
    join_crew();
  }
  join_crew();
  CHECK(strcmp(history, "0a0b") == 0 || strcmp(history, "0b0a") == 0);
  ecru_barrier_destroy(barrier);
}
TEST(barrier, a_cycle_that_is_complete_is_complete_for_all) { // L1, K2
  in_virtual_time(cancelled_too_late);
}

TEST(barrier, of_one_and_of_none) { // L1, L2
  CHECK_EQ(ecru_barrier_create(&barrier, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_barrier_create(&barrier, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_barrier_create(&barrier, 1), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_barrier_wait(barrier), 1);
  ecru_barrier_destroy(barrier);
  ecru_barrier_destroy(NULL);
}
