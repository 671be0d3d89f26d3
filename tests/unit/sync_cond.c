/// tests/unit/sync_cond.c: the condition variable (L1, L2, K2).
#include "syncs.h"

static ecru_mutex *mutex;
static ecru_cond *cond;

static void create(void) {
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
}
static void destroy(void) {
  ecru_cond_destroy(cond);
  ecru_mutex_destroy(mutex);
}
static void lock(void) { CHECK_EQ(ecru_mutex_lock(mutex), 0); }
static void unlock(void) { CHECK_EQ(ecru_mutex_unlock(mutex), 0); }
static void signal_one(void) { CHECK_EQ(ecru_cond_signal(cond), 0); }

/// Notes its letter when signalled, '!' and its letter when cancelled.
static void wait_once(void *letter) {
  lock();
  int status = ecru_cond_wait(cond, mutex);
  if (status != 0) note('!');
  note(*(char *)letter);
  unlock(); // it holds the mutex in either case
}

static void signal_in_order(void *unused) {
  (void)unused;
  create();
  for (int i = 0; i < 5; i++) {
    start(wait_once, &"abcde"[i]);
    all_others_parked();
  }
  for (int i = 0; i < 5; i++) {
    signal_one();
    all_others_parked();
    CHECK_EQ(history_length, i + 1);
  }
  CHECK_STR(history, "abcde");
  signal_one(); // nobody waits: it is not kept
  start(wait_once, "f");
  all_others_parked();
  CHECK_STR(history, "abcde");
  signal_one();
  join_crew();
  CHECK_STR(history, "abcdef");
  destroy();
}
TEST(cond, signals_wake_in_order_and_are_not_kept) { // L1
  in_virtual_time(signal_in_order);
}

static void broadcast(void *unused) {
  (void)unused;
  create();
  for (int i = 0; i < 5; i++) {
    start(wait_once, &"abcde"[i]);
    all_others_parked();
  }
  lock();
  CHECK_EQ(ecru_cond_broadcast(cond), 0);
  all_others_parked();
  CHECK_STR(history, ""); // all wait for the mutex
  unlock();
  join_crew();
  CHECK_STR(history, "abcde");
  CHECK_EQ(ecru_cond_broadcast(cond), 0);
  destroy();
}
TEST(cond, broadcast_wakes_all) { // L1
  in_virtual_time(broadcast);
}

static void pass_on(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, wait_once, "a");
  all_others_parked();
  start(wait_once, "b");
  all_others_parked();
  cancel(token); // a has lost its wait but has not run yet
  signal_one();
  join_crew();
  CHECK(strcmp(history, "!ab") == 0 || strcmp(history, "b!a") == 0);
  ecru_token_release(token);
  destroy();
}
TEST(cond, a_signal_is_not_spent_on_a_cancelled_waiter) { // L1, K2
  in_virtual_time(pass_on);
}

static void keep_signal(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, wait_once, "a");
  all_others_parked();
  signal_one();
  cancel(token); // too late
  join_crew();
  CHECK_STR(history, "a");
  ecru_token_release(token);
  destroy();
}
TEST(cond, a_signalled_waiter_is_not_cancelled_any_more) { // L1, K2
  in_virtual_time(keep_signal);
}

static void cancelled_without_mutex(void *unused) {
  (void)unused;
  create();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, wait_once, "a");
  all_others_parked();
  lock();
  cancel(token);
  all_others_parked();
  CHECK_STR(history, ""); // it is not back before it has the mutex
  unlock();
  join_crew();
  CHECK_STR(history, "!a");
  ecru_token_release(token);
  destroy();
}
TEST(cond, a_cancelled_wait_still_returns_with_the_mutex) { // L1, K2
  in_virtual_time(cancelled_without_mutex);
}

static void wait_while_fired(void *unused) {
  (void)unused;
  lock();
  cancel(ecru_token_current());
  CHECK_EQ(ecru_cond_wait(cond, mutex), ECRU_ECANCELED);
  unlock();
}

static void misuse(void *unused) {
  (void)unused;
  create();
  CHECK_EQ(ecru_cond_wait(cond, mutex), ECRU_EPERM);
  lock();
  CHECK_EQ(ecru_cond_wait(NULL, mutex), ECRU_EINVAL);
  CHECK_EQ(ecru_cond_wait(cond, NULL), ECRU_EINVAL);
  unlock();
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, wait_while_fired, NULL);
  join_crew();
  ecru_token_release(token);
  destroy();
  ecru_cond_destroy(NULL);
}
TEST(cond, misuse_is_an_error) { // L2, K2
  in_virtual_time(misuse);
}

// ---- a bounded queue of the old kind ------------------------------------------------------------------------------

enum { ROOM = 3 };
static ecru_cond *not_full, *not_empty;
static long queued, produced, consumed, total;

static void produce(void *unused) {
  (void)unused;
  for (;;) {
    lock();
    while (queued == ROOM && produced < total) CHECK_EQ(ecru_cond_wait(not_full, mutex), 0);
    bool over = produced == total;
    if (!over) queued++, produced++;
    CHECK(queued <= ROOM);
    CHECK_EQ(over ? ecru_cond_broadcast(not_empty) : ecru_cond_signal(not_empty), 0);
    if (over) CHECK_EQ(ecru_cond_broadcast(not_full), 0);
    unlock();
    if (over) return;
  }
}

static void consume(void *unused) {
  (void)unused;
  for (;;) {
    lock();
    while (queued == 0 && consumed < total) CHECK_EQ(ecru_cond_wait(not_empty, mutex), 0);
    bool over = queued == 0;
    if (!over) queued--, consumed++;
    CHECK_EQ(ecru_cond_signal(not_full), 0);
    if (consumed == total) CHECK_EQ(ecru_cond_broadcast(not_empty), 0);
    unlock();
    if (over) return;
  }
}

static void *consume_in_thread(void *unused) {
  consume(unused);
  return NULL;
}

static void bounded_queue(void *unused) {
  (void)unused;
  total = test_scaled(20000);
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&not_full), 0);
  CHECK_EQ(ecru_cond_create(&not_empty), 0);
  pthread_t thread = start_thread(consume_in_thread, NULL);
  for (int i = 0; i < 3; i++) start(produce, NULL), start(consume, NULL);
  join_crew();
  join_thread(thread);
  CHECK_EQ(consumed, total);
  ecru_cond_destroy(not_full);
  ecru_cond_destroy(not_empty);
  ecru_mutex_destroy(mutex);
}
TEST(cond, a_bounded_queue_loses_nothing) { // L1
  with_procs(2, bounded_queue);
}
