/// tests/unit/sync_mutex.c: the mutex (L1, L2). Its cancellation is in sync_cancel.c, its crowds in stress/sync.c.
#include "syncs.h"

static ecru_mutex *mutex;
static long counter;

static void create(void) {
  mutex = NULL;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
}
static void lock(void) { CHECK_EQ(ecru_mutex_lock(mutex), 0); }
static void unlock(void) { CHECK_EQ(ecru_mutex_unlock(mutex), 0); }

// ---- exclusion ----------------------------------------------------------------------------------------------------

static void add_many(void *times) {
  for (long i = 0; i < *(long *)times; i++) {
    lock();
    counter++;
    unlock();
  }
}

static void *add_many_in_thread(void *times) {
  add_many(times);
  return NULL;
}

static void exclude_goroutines(void *unused) {
  (void)unused;
  long times = test_scaled(20000);
  create();
  for (int i = 0; i < 8; i++) start(add_many, &times);
  join_crew();
  CHECK_EQ(counter, 8 * times);
  ecru_mutex_destroy(mutex);
}
TEST(mutex, one_at_a_time) { // L1
  with_procs(2, exclude_goroutines);
}
TEST(mutex, one_at_a_time_on_one_processor) { // L1
  with_procs(1, exclude_goroutines);
}

static void exclude_threads_too(void *unused) {
  (void)unused;
  long times = test_scaled(5000);
  pthread_t threads[3];
  create();
  for (int i = 0; i < 3; i++) threads[i] = start_thread(add_many_in_thread, &times);
  for (int i = 0; i < 3; i++) start(add_many, &times);
  join_crew();
  for (int i = 0; i < 3; i++) join_thread(threads[i]);
  CHECK_EQ(counter, 6 * times);
  ecru_mutex_destroy(mutex);
}
TEST(mutex, goroutines_and_foreign_threads_share_one) { // L1
  with_procs(2, exclude_threads_too);
}

static void hold_while_parked(void *letter) {
  lock();
  note(*(char *)letter);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  note(*(char *)letter);
  unlock();
}

static void park_inside(void *unused) {
  (void)unused;
  create();
  start(hold_while_parked, "a");
  start(hold_while_parked, "b");
  start(hold_while_parked, "c");
  join_crew();
  for (size_t i = 0; i < history_length; i += 2) CHECK_EQ(history[i], history[i + 1]);
  CHECK_EQ(history_length, 6);
  ecru_mutex_destroy(mutex);
}
TEST(mutex, stays_locked_while_its_holder_is_parked) { // L1
  in_virtual_time(park_inside);
}

// The unlock notices waiters by a flag that is set at the first of them and unset after many unlocks without any: all the
// ways from one state to the other.
static void heat_and_cool(void *unused) {
  (void)unused;
  long few = 200, many = test_scaled(25000);
  create();
  for (int round = 0; round < 4; round++) {
    add_many(&many); // cools it down
    for (int i = 0; i < 3; i++) start(hold_while_parked, "x");
    start(add_many, &few);
    join_crew();
  }
  CHECK_EQ(counter, 4 * (few + many));
  ecru_mutex_destroy(mutex);
}
TEST(mutex, survives_the_change_between_calm_and_contended) { // L1
  in_virtual_time(heat_and_cool);
}

// ---- fairness -----------------------------------------------------------------------------------------------------

static bool done;
static long turns;

static void hog(void *unused) {
  (void)unused;
  while (!done) {
    lock();
    turns++;
    CHECK_EQ(ecru_yield(), 0); // a waiter that was woken now finds it locked again
    unlock();
  }
}

static void want_once(void *letter) {
  lock();
  note(*(char *)letter);
  if (history_length == 3) done = true;
  unlock();
}

static void want_from_a_hog(void *unused) {
  (void)unused;
  create();
  start(hog, NULL);
  CHECK_EQ(ecru_yield(), 0);
  start(want_once, "a");
  start(want_once, "b");
  start(want_once, "c");
  join_crew();
  CHECK(turns < 3 * 1100);
  CHECK_EQ(history_length, 3); // in the order in which they came to wait, which is not always that of their starts
  ecru_mutex_destroy(mutex);
}
TEST(mutex, a_starving_waiter_gets_it_though_time_stands_still) { // L1
  in_virtual_time(want_from_a_hog);
}
TEST(mutex, a_starving_waiter_gets_it_in_bounded_turns) { // L1
  with_procs(1, want_from_a_hog);
}

static _Atomic int finished;

static void greedy(void *unused) {
  (void)unused;
  while (atomic_load(&finished) < 4) {
    lock();
    for (int i = 0; i < 20; i++) counter++;
    unlock();
  }
}

static void modest(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(ecru_yield(), 0);
    lock();
    unlock();
  }
  atomic_fetch_add(&finished, 1);
}

static void greedy_and_modest(void *unused) {
  (void)unused;
  create();
  for (int i = 0; i < 2; i++) start(greedy, NULL);
  for (int i = 0; i < 4; i++) start(modest, NULL);
  join_crew();
  ecru_mutex_destroy(mutex);
}
TEST(mutex, modest_goroutines_get_their_turns_beside_greedy_ones) { // L1
  with_procs(2, greedy_and_modest);
}

static void queue_up(void *letter) {
  lock();
  note(*(char *)letter);
  unlock();
}

static void wake_in_order(void *unused) {
  (void)unused;
  static char letters[] = "abcdefgh";
  create();
  lock();
  for (int i = 0; letters[i]; i++) start(queue_up, &letters[i]), all_others_parked(); // each waits before the next comes
  unlock();
  join_crew();
  CHECK_STR(history, letters);
  ecru_mutex_destroy(mutex);
}
TEST(mutex, wakes_waiters_in_order) { // L1
  in_virtual_time(wake_in_order);
}

// ---- lifetime -----------------------------------------------------------------------------------------------------

struct shared {
  ecru_mutex *mutex;
  int users;
};

static void use_and_free(void *argument) {
  struct shared *shared = argument;
  CHECK_EQ(ecru_mutex_lock(shared->mutex), 0);
  bool last = --shared->users == 0;
  CHECK_EQ(ecru_mutex_unlock(shared->mutex), 0);
  if (!last) return;
  ecru_mutex_destroy(shared->mutex);
  free(shared);
}

static void last_one_destroys(void *unused) {
  (void)unused;
  for (long i = test_scaled(5000); i > 0; i--) {
    struct shared *shared = malloc(sizeof *shared);
    CHECK_EQ(ecru_mutex_create(&shared->mutex), 0);
    shared->users = 3;
    for (int k = 0; k < 3; k++) start(use_and_free, shared);
    if (i % 16 == 0) join_crew();
  }
}
TEST(mutex, can_be_destroyed_by_whoever_unlocks_it_last) { // L1
  with_procs(2, last_one_destroys);
}

// ---- misuse -------------------------------------------------------------------------------------------------------

static void unlock_not_mine(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_mutex_try_lock(mutex), ECRU_EAGAIN);
}

static void *unlock_not_mine_in_thread(void *unused) {
  unlock_not_mine(unused);
  return NULL;
}

static void misuse(void *unused) {
  (void)unused;
  create();
  CHECK_EQ(ecru_mutex_unlock(mutex), ECRU_EPERM);
  lock();
  CHECK_EQ(ecru_mutex_lock(mutex), ECRU_EDEADLK);
  CHECK_EQ(ecru_mutex_try_lock(mutex), ECRU_EAGAIN);
  start(unlock_not_mine, NULL);
  join_crew();
  join_thread(start_thread(unlock_not_mine_in_thread, NULL)); // one ecru has never seen
  unlock();
  CHECK_EQ(ecru_mutex_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_mutex_try_lock(mutex), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), ECRU_EDEADLK);
  unlock();
  ecru_mutex_destroy(mutex);
}
TEST(mutex, misuse_is_an_error) { // L2
  with_procs(2, misuse);
}

TEST(mutex, works_before_the_runtime_is_started) { // L1
  create();
  lock();
  CHECK_EQ(ecru_mutex_lock(mutex), ECRU_EDEADLK);
  unlock();
  ecru_mutex_destroy(mutex);
  ecru_mutex_destroy(NULL);
}
