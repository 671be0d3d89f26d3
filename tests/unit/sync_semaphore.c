/// tests/unit/sync_semaphore.c: the weighted semaphore (L1, L2, K2).
#include "syncs.h"

static ecru_semaphore *semaphore;

static void create(int64_t permits) { CHECK_EQ(ecru_semaphore_create(&semaphore, permits), 0); }
static void acquire(int64_t n) { CHECK_EQ(ecru_semaphore_acquire(semaphore, n), 0); }
static void release(int64_t n) { CHECK_EQ(ecru_semaphore_release(semaphore, n), 0); }

/// Acquires as many as its letter says: 'a' 1, 'b' 2 ... and notes it.
static void want(void *letter) {
  int status = ecru_semaphore_acquire(semaphore, *(char *)letter - 'a' + 1);
  if (status != 0) note('!');
  note(*(char *)letter);
}

static void strict_order(void *unused) {
  (void)unused;
  create(4);
  acquire(3);
  start(want, "d"); // 4: must wait for all
  all_others_parked();
  start(want, "a"); // 1 is there, but d comes first
  all_others_parked();
  CHECK_STR(history, "");
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 1), ECRU_EAGAIN);
  release(2);
  all_others_parked();
  CHECK_STR(history, "");
  release(1);
  all_others_parked();
  CHECK_STR(history, "d");
  release(4);
  join_crew();
  CHECK_STR(history, "da");
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 3), 0);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 1), ECRU_EAGAIN);
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, small_ones_do_not_overtake_a_large_one) { // L1
  in_virtual_time(strict_order);
}

static void counted(void *unused) {
  (void)unused;
  create(3);
  CHECK_EQ(ecru_semaphore_available(semaphore), 3);
  acquire(2);
  CHECK_EQ(ecru_semaphore_available(semaphore), 1);
  start(want, "b"); // 2, of which 1 is there
  all_others_parked();
  CHECK_EQ(ecru_semaphore_available(semaphore), 1);
  release(1); // goes to it at once
  CHECK_EQ(ecru_semaphore_available(semaphore), 0);
  join_crew();
  release(3);
  CHECK_EQ(ecru_semaphore_available(semaphore), 3);
  CHECK_EQ(ecru_semaphore_available(NULL), 0);
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, available_is_what_nobody_has) { // L1
  in_virtual_time(counted);
}

static void several_at_once(void *unused) {
  (void)unused;
  create(6);
  acquire(6);
  for (int i = 0; i < 4; i++) start(want, &"abcd"[i]), all_others_parked();
  release(5); // 1 + 2, not 3
  all_others_parked();
  CHECK_STR(history, "ab");
  release(1); // now 3
  all_others_parked();
  CHECK_STR(history, "abc");
  release(4);
  join_crew();
  CHECK_STR(history, "abcd");
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, a_release_serves_as_many_as_it_can_in_order) { // L1
  in_virtual_time(several_at_once);
}

static void cancelled_large_one(void *unused) {
  (void)unused;
  create(4);
  acquire(2);
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, want, "d");
  all_others_parked();
  start(want, "a");
  start(want, "a");
  all_others_parked();
  CHECK_STR(history, "");
  cancel(token);
  join_crew(); // without any release: both fit once the large one is gone
  CHECK_EQ(history_length, 4);
  CHECK(strstr(history, "!d") != NULL);
  release(4);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 4), 0); // none was lost
  ecru_token_release(token);
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, a_cancelled_large_one_lets_those_behind_it_in) { // L1, K2
  in_virtual_time(cancelled_large_one);
}

static void race_of_release_and_cancel(void *unused) {
  (void)unused;
  for (int order = 0; order < 2; order++) {
    history_length = 0;
    memset(history, 0, sizeof history);
    create(2);
    acquire(2);
    ecru_token *token = token_until(ECRU_FOREVER);
    start_under(token, want, "b");
    all_others_parked();
    start(want, "a");
    all_others_parked();
    if (order == 0) cancel(token); // then the permits go past it, though it has not run yet
    release(2);
    if (order == 1) cancel(token); // too late
    if (order == 1) release(1);
    join_crew();
    if (order == 0) CHECK(strcmp(history, "!ba") == 0 || strcmp(history, "a!b") == 0);
    else CHECK_STR(history, "ba");
    CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 1), order == 0 ? 0 : ECRU_EAGAIN);
    ecru_token_release(token);
    ecru_semaphore_destroy(semaphore);
  }
}
TEST(semaphore, permits_go_to_the_next_or_stay_whoever_is_first) { // L1, K2
  in_virtual_time(race_of_release_and_cancel);
}

TEST(semaphore, bounds_and_misuse) { // L2
  CHECK_EQ(ecru_semaphore_create(&semaphore, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_create(&semaphore, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_create(&semaphore, INT64_MAX), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_create(&semaphore, INT64_MAX / 2), 0);
  CHECK_EQ(ecru_semaphore_acquire(semaphore, INT64_MAX / 2), 0);
  CHECK_EQ(ecru_semaphore_release(semaphore, INT64_MAX), ECRU_EPERM);
  CHECK_EQ(ecru_semaphore_release(semaphore, INT64_MAX / 2), 0);
  ecru_semaphore_destroy(semaphore);
  create(3);
  static const int64_t bad[] = {0, -1, INT64_MIN, 4, INT64_MAX};
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(ecru_semaphore_acquire(semaphore, bad[i]), ECRU_EINVAL);
    CHECK_EQ(ecru_semaphore_try_acquire(semaphore, bad[i]), ECRU_EINVAL);
    CHECK_EQ(ecru_semaphore_release(semaphore, bad[i]), bad[i] <= 0 ? ECRU_EINVAL : ECRU_EPERM);
  }
  CHECK_EQ(ecru_semaphore_release(semaphore, 1), ECRU_EPERM);
  acquire(2);
  CHECK_EQ(ecru_semaphore_release(semaphore, 3), ECRU_EPERM);
  release(2);
  CHECK_EQ(ecru_semaphore_release(semaphore, 1), ECRU_EPERM);
  ecru_semaphore_destroy(semaphore);
  ecru_semaphore_destroy(NULL);
}

static void misuse_contended(void *unused) {
  (void)unused;
  create(2);
  acquire(2);
  start(want, "a");
  all_others_parked();
  CHECK_EQ(ecru_semaphore_release(semaphore, 3), ECRU_EPERM);
  release(2);
  join_crew();
  CHECK_EQ(ecru_semaphore_release(semaphore, 2), ECRU_EPERM);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 2), ECRU_EAGAIN);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, 1), 0);
  release(2);
  CHECK_EQ(ecru_semaphore_release(semaphore, 1), ECRU_EPERM);
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, misuse_is_an_error_after_contention) { // L2
  in_virtual_time(misuse_contended);
}

// ---- crowds -------------------------------------------------------------------------------------------------------

enum { PERMITS = 7 };
static _Atomic int64_t out;

static void crowd_member(void *seed_of) {
  uint64_t seed = test_seed() + (uint64_t)(uintptr_t)seed_of;
  for (long i = test_scaled(3000); i > 0; i--) {
    int64_t n = 1 + (int64_t)test_random_below(&seed, PERMITS);
    acquire(n);
    CHECK(atomic_fetch_add(&out, n) + n <= PERMITS);
    if (test_random_below(&seed, 4) == 0) ecru_yield();
    atomic_fetch_sub(&out, n);
    release(n);
  }
}
static void *crowd_thread(void *seed_of) {
  crowd_member(seed_of);
  return NULL;
}

static void crowd(void *unused) {
  (void)unused;
  create(PERMITS);
  pthread_t thread = start_thread(crowd_thread, (void *)99);
  for (uintptr_t i = 0; i < 8; i++) start(crowd_member, (void *)i);
  join_crew();
  join_thread(thread);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, PERMITS), 0);
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, never_more_are_out_than_there_are) { // L1
  with_procs(2, crowd);
}

static bool large_served;

static void small_ones(void *unused) {
  (void)unused;
  for (long i = 0; !large_served; i++) {
    acquire(1);
    CHECK(i < 1000000);
    CHECK_EQ(ecru_yield(), 0);
    release(1);
  }
}
static void large_one(void *unused) {
  (void)unused;
  acquire(PERMITS);
  large_served = true;
  release(PERMITS);
}

static void starve(void *unused) {
  (void)unused;
  create(PERMITS);
  for (int i = 0; i < 2 * PERMITS; i++) start(small_ones, NULL);
  CHECK_EQ(ecru_yield(), 0);
  start(large_one, NULL);
  join_crew();
  ecru_semaphore_destroy(semaphore);
}
TEST(semaphore, a_large_acquire_does_not_starve) { // L1
  with_procs(1, starve);
}

static void give_one(void *theirs) { CHECK_EQ(ecru_semaphore_release(theirs, 1), 0); }

static void short_life(void *unused) {
  (void)unused;
  for (long i = test_scaled(10000); i > 0; i--) {
    ecru_semaphore *brief;
    CHECK_EQ(ecru_semaphore_create(&brief, 1), 0);
    CHECK_EQ(ecru_semaphore_acquire(brief, 1), 0);
    start(give_one, brief);
    CHECK_EQ(ecru_semaphore_acquire(brief, 1), 0);
    ecru_semaphore_destroy(brief); // perhaps before the release has returned
  }
}
TEST(semaphore, can_be_destroyed_as_soon_as_it_is_acquired) { // L1
  with_procs(2, short_life);
}
