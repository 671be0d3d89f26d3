/// tests/unit/sync_rwmutex.c: the reader-writer mutex (L1, L2). Its cancellation is in sync_cancel.c.
#include "syncs.h"

static ecru_rwmutex *mutex;

static void create(void) {
  mutex = NULL;
  CHECK_EQ(ecru_rwmutex_create(&mutex), 0);
}

static void lock(void) { CHECK_EQ(ecru_rwmutex_lock(mutex), 0); }
static void unlock(void) { CHECK_EQ(ecru_rwmutex_unlock(mutex), 0); }
static void read_lock(void) { CHECK_EQ(ecru_rwmutex_read_lock(mutex), 0); }
static void read_unlock(void) { CHECK_EQ(ecru_rwmutex_read_unlock(mutex), 0); }

/// Notes its letter when it is in, stays a millisecond, notes it as a capital when it goes.
static void write_once(void *letter) {
  lock();
  note(*(char *)letter);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  note(*(char *)letter - 'a' + 'A');
  unlock();
}
static void read_once(void *letter) {
  read_lock();
  note(*(char *)letter);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  note(*(char *)letter - 'a' + 'A');
  read_unlock();
}

static void share(void *unused) {
  (void)unused;
  create();
  start(read_once, "a");
  start(read_once, "b");
  all_others_parked();
  start(write_once, "w");
  all_others_parked();
  start(read_once, "c"); // behind the writer
  all_others_parked();
  CHECK_STR(history, "ab");
  CHECK_EQ(ecru_rwmutex_try_read_lock(mutex), ECRU_EAGAIN);
  join_crew();
  CHECK_EQ(history_length, 8);
  CHECK(strncmp(history, "abABwWcC", 8) == 0 || strncmp(history, "abBAwWcC", 8) == 0);
  ecru_rwmutex_destroy(mutex);
}
TEST(rwmutex, readers_share_and_a_waiting_writer_keeps_new_ones_out) { // L1
  in_virtual_time(share);
}

static void alternate(void *unused) {
  (void)unused;
  create();
  lock();
  start(write_once, "v");
  all_others_parked();
  start(write_once, "w");
  start(read_once, "a");
  start(read_once, "b");
  all_others_parked();
  unlock(); // the readers that wait by now, then a writer, not all writers first
  all_others_parked();
  start(read_once, "c"); // came later: after the first writer
  join_crew();
  CHECK(strncmp(history, "ab", 2) == 0 || strncmp(history, "ba", 2) == 0);
  CHECK_STR(history + 4, "vVcCwW");
  ecru_rwmutex_destroy(mutex);
}
TEST(rwmutex, writers_do_not_starve_readers) { // L1
  in_virtual_time(alternate);
}

static void give_up_waiting(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_rwmutex_lock(mutex), ECRU_ECANCELED);
}

static void cancelled_writer(void *unused) {
  (void)unused;
  create();
  read_lock();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, give_up_waiting, NULL);
  all_others_parked();
  start(read_once, "a");
  start(read_once, "b");
  all_others_parked();
  CHECK_STR(history, "");
  cancel(token);
  all_others_parked();
  CHECK(strcmp(history, "ab") == 0 || strcmp(history, "ba") == 0); // while the first reader still reads
  read_unlock();
  join_crew();
  ecru_token_release(token);
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), 0);
  unlock();
  ecru_rwmutex_destroy(mutex);
}
TEST(rwmutex, a_cancelled_writer_lets_in_the_readers_behind_it) { // L1, K2
  in_virtual_time(cancelled_writer);
}

static void misuse(void *unused) {
  (void)unused;
  create();
  CHECK_EQ(ecru_rwmutex_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_read_unlock(mutex), ECRU_EPERM);
  lock();
  CHECK_EQ(ecru_rwmutex_lock(mutex), ECRU_EDEADLK);
  CHECK_EQ(ecru_rwmutex_read_lock(mutex), ECRU_EDEADLK);
  CHECK_EQ(ecru_rwmutex_read_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), ECRU_EAGAIN);
  CHECK_EQ(ecru_rwmutex_try_read_lock(mutex), ECRU_EAGAIN);
  unlock();
  read_lock();
  read_lock();
  CHECK_EQ(ecru_rwmutex_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), ECRU_EAGAIN);
  CHECK_EQ(ecru_rwmutex_try_read_lock(mutex), 0);
  for (int i = 0; i < 3; i++) read_unlock();
  CHECK_EQ(ecru_rwmutex_read_unlock(mutex), ECRU_EPERM);
  ecru_rwmutex_destroy(mutex);
  ecru_rwmutex_destroy(NULL);
}
TEST(rwmutex, misuse_is_an_error) { // L2
  with_procs(1, misuse);
}

static void misuse_contended(void *unused) {
  (void)unused;
  create();
  lock();
  start(read_once, "a"); // from now on everything goes the slow way
  all_others_parked();
  unlock();
  join_crew();
  CHECK_EQ(ecru_rwmutex_read_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_unlock(mutex), ECRU_EPERM);
  CHECK_EQ(ecru_rwmutex_try_read_lock(mutex), 0);
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), ECRU_EAGAIN);
  read_unlock();
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), 0);
  unlock();
  ecru_rwmutex_destroy(mutex);
}
TEST(rwmutex, misuse_is_an_error_after_contention) { // L2
  in_virtual_time(misuse_contended);
}

// ---- lifetime -----------------------------------------------------------------------------------------------------

struct shared {
  ecru_rwmutex *mutex;
  int users;
};

static void use_and_free(void *argument) {
  struct shared *shared = argument;
  CHECK_EQ(ecru_rwmutex_read_lock(shared->mutex), 0);
  CHECK(shared->users > 0);
  CHECK_EQ(ecru_rwmutex_read_unlock(shared->mutex), 0);
  CHECK_EQ(ecru_rwmutex_lock(shared->mutex), 0);
  bool last = --shared->users == 0;
  CHECK_EQ(ecru_rwmutex_unlock(shared->mutex), 0);
  if (!last) return;
  ecru_rwmutex_destroy(shared->mutex);
  free(shared);
}

static void last_one_destroys(void *unused) {
  (void)unused;
  for (long i = test_scaled(5000); i > 0; i--) {
    struct shared *shared = malloc(sizeof *shared);
    CHECK_EQ(ecru_rwmutex_create(&shared->mutex), 0);
    shared->users = 3;
    for (int k = 0; k < 3; k++) start(use_and_free, shared);
    if (i % 16 == 0) join_crew();
  }
}
TEST(rwmutex, can_be_destroyed_by_whoever_unlocks_it_last) { // L1
  with_procs(2, last_one_destroys);
}

// ---- crowds -------------------------------------------------------------------------------------------------------

static long value;
static _Atomic int inside_readers, inside_writers;

static void crowd_member(void *seed_of) {
  uint64_t seed = test_seed() + (uint64_t)(uintptr_t)seed_of;
  for (long i = test_scaled(4000); i > 0; i--) {
    if (test_random_below(&seed, 4) == 0) {
      lock();
      CHECK_EQ(atomic_fetch_add(&inside_writers, 1), 0);
      CHECK_EQ(atomic_load(&inside_readers), 0);
      value++;
      if (test_random_below(&seed, 8) == 0) ecru_yield();
      atomic_fetch_sub(&inside_writers, 1);
      unlock();
    } else {
      read_lock();
      atomic_fetch_add(&inside_readers, 1);
      CHECK_EQ(atomic_load(&inside_writers), 0);
      long seen = value;
      if (test_random_below(&seed, 8) == 0) ecru_yield();
      CHECK_EQ(value, seen);
      atomic_fetch_sub(&inside_readers, 1);
      read_unlock();
    }
  }
}

static void *crowd_thread(void *seed_of) {
  crowd_member(seed_of);
  return NULL;
}

static void crowd(void *unused) {
  (void)unused;
  create();
  pthread_t thread = start_thread(crowd_thread, (void *)99);
  for (uintptr_t i = 0; i < 8; i++) start(crowd_member, (void *)i);
  join_crew();
  join_thread(thread);
  CHECK_EQ(ecru_rwmutex_try_lock(mutex), 0);
  unlock();
  ecru_rwmutex_destroy(mutex);
}
TEST(rwmutex, no_writer_beside_anybody) { // L1
  with_procs(2, crowd);
}
