/// tests/stress/sync.c: crowds of goroutines and foreign threads on one object, with tokens that fire at random moments
/// (L1, K2, C11). What must hold at the end: nothing was lost, nobody hangs.
#include "syncs.h"

enum { GOROUTINES = 12, THREADS = 2 };

static long rounds;
static _Atomic long successes, failures;

/// One operation of a member of the crowd, under a token that may fire at any moment. returns: its status.
static int (*operation)(uint64_t *seed);

static void attempt(uint64_t *seed) {
  int64_t patience = (int64_t)test_random_below(seed, 200) * ECRU_MICROSECOND;
  ecru_token *token = token_until(test_random_below(seed, 2) ? ecru_after(patience) : ECRU_FOREVER);
  CHECK_EQ(ecru_token_enter(token), 0);
  int status = operation(seed);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  CHECK(status >= 0 || status == ECRU_ETIMEDOUT || status == ECRU_ECANCELED);
  atomic_fetch_add(status >= 0 ? &successes : &failures, 1);
}

static void member(void *number) {
  uint64_t seed = test_seed() + (uint64_t)(uintptr_t)number;
  for (long i = 0; i < rounds; i++) {
    attempt(&seed);
    if (test_random_below(&seed, 16) == 0) CHECK_EQ(ecru_yield(), 0);
  }
}
static void *member_thread(void *number) {
  member(number);
  return NULL;
}

static void crowd_for(int (*op)(uint64_t *seed)) {
  pthread_t threads[THREADS];
  operation = op;
  rounds = test_scaled(2000);
  for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(member_thread, (void *)(1000 + i));
  for (uintptr_t i = 0; i < GOROUTINES; i++) start(member, (void *)i);
  join_crew();
  for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
  CHECK_EQ(atomic_load(&successes) + atomic_load(&failures), rounds * (GOROUTINES + THREADS));
}

/// Keeps what it has for a moment, sometimes parked.
static void linger(uint64_t *seed) {
  uint64_t what = test_random_below(seed, 32);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  if (what == 0) CHECK_EQ(ecru_sleep(20 * ECRU_MICROSECOND), 0);
  else if (what < 4) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_token_leave(), 0);
}

// ---- mutex --------------------------------------------------------------------------------------------------------

static ecru_mutex *mutex;
static long counter;

static int lock_and_count(uint64_t *seed) {
  int status = ecru_mutex_lock(mutex);
  if (status != 0) return status;
  long before = counter;
  linger(seed);
  counter = before + 1;
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  return 0;
}
static void mutex_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  crowd_for(lock_and_count);
  CHECK_EQ(counter, atomic_load(&successes));
  CHECK_EQ(ecru_mutex_try_lock(mutex), 0);
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  ecru_mutex_destroy(mutex);
}
TEST(sync, mutex_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, mutex_crowd);
}

// ---- reader-writer mutex ------------------------------------------------------------------------------------------

static ecru_rwmutex *rwmutex;
static _Atomic int readers;

static int read_or_write(uint64_t *seed) {
  bool as_writer = test_random_below(seed, 4) == 0;
  int status = as_writer ? ecru_rwmutex_lock(rwmutex) : ecru_rwmutex_read_lock(rwmutex);
  if (status != 0) return status;
  long before = counter;
  if (!as_writer) atomic_fetch_add(&readers, 1);
  linger(seed);
  if (as_writer) CHECK_EQ(atomic_load(&readers), 0);
  CHECK_EQ(counter, before);
  if (as_writer) counter = before + 1;
  if (!as_writer) atomic_fetch_sub(&readers, 1);
  CHECK_EQ(as_writer ? ecru_rwmutex_unlock(rwmutex) : ecru_rwmutex_read_unlock(rwmutex), 0);
  return 0;
}
static void rwmutex_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  crowd_for(read_or_write);
  CHECK_EQ(ecru_rwmutex_try_lock(rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_unlock(rwmutex), 0);
  ecru_rwmutex_destroy(rwmutex);
}
TEST(sync, rwmutex_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, rwmutex_crowd);
}

// ---- semaphore ----------------------------------------------------------------------------------------------------

enum { PERMITS = 5 };
static ecru_semaphore *semaphore;
static _Atomic int64_t out;

static int acquire_some(uint64_t *seed) {
  int64_t n = 1 + (int64_t)test_random_below(seed, PERMITS);
  int status = test_random_below(seed, 8) ? ecru_semaphore_acquire(semaphore, n) : ecru_semaphore_try_acquire(semaphore, n);
  if (status == ECRU_EAGAIN) return ECRU_ECANCELED;
  if (status != 0) return status;
  CHECK(atomic_fetch_add(&out, n) + n <= PERMITS);
  linger(seed);
  atomic_fetch_sub(&out, n);
  CHECK_EQ(ecru_semaphore_release(semaphore, n), 0);
  return 0;
}
static void semaphore_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_semaphore_create(&semaphore, PERMITS), 0);
  crowd_for(acquire_some);
  CHECK_EQ(ecru_semaphore_try_acquire(semaphore, PERMITS), 0);
  ecru_semaphore_destroy(semaphore);
}
TEST(sync, semaphore_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, semaphore_crowd);
}

// ---- condition variable -------------------------------------------------------------------------------------------

static ecru_cond *cond;
static long tickets;

/// A ticket is put down with one signal, or one is waited for. If a signal were spent on a cancelled waiter, in the end somebody
/// would wait beside a ticket.
static int put_or_take(uint64_t *seed) {
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  int status = 0;
  if (test_random_below(seed, 2) == 0 && tickets < 3) {
    tickets++;
    CHECK_EQ(ecru_cond_signal(cond), 0);
  } else {
    while (tickets == 0 && status == 0) status = ecru_cond_wait(cond, mutex);
    if (status == 0) tickets--;
  }
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  return status;
}
static _Atomic bool crowd_has_gone;
static void keep_putting(void *unused) { // so that those without a deadline do not wait for ever
  (void)unused;
  while (!atomic_load(&crowd_has_gone)) {
    CHECK_EQ(ecru_mutex_lock(mutex), 0);
    tickets++;
    CHECK_EQ(ecru_cond_signal(cond), 0);
    CHECK_EQ(ecru_mutex_unlock(mutex), 0);
    CHECK_EQ(ecru_sleep(50 * ECRU_MICROSECOND), 0);
  }
}
static void cond_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  CHECK_EQ(ecru_go(keep_putting, NULL), 0);
  crowd_for(put_or_take);
  atomic_store(&crowd_has_gone, true);
  CHECK_EQ(ecru_sleep(10 * ECRU_MILLISECOND), 0); // not relied on: stop waits for it
}
TEST(sync, cond_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, cond_crowd);
  ecru_cond_destroy(cond);
  ecru_mutex_destroy(mutex);
}

static long promised;
static void take_exactly_one(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  while (tickets == 0) CHECK_EQ(ecru_cond_wait(cond, mutex), 0);
  tickets--;
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
}
static void try_to_take(void *token) {
  (void)token;
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  while (tickets == 0)
    if (ecru_cond_wait(cond, mutex) != 0) break;
  CHECK_EQ(ecru_mutex_unlock(mutex), 0); // takes none
}
static void signal_while_cancelling(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  for (promised = test_scaled(3000); promised > 0; promised--) {
    ecru_token *token = token_until(ecru_after((promised % 50) * ECRU_MICROSECOND));
    start_under(token, try_to_take, token);
    start(take_exactly_one, NULL);
    CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_mutex_lock(mutex), 0);
    tickets++;
    CHECK_EQ(ecru_cond_broadcast(cond), 0);
    CHECK_EQ(ecru_mutex_unlock(mutex), 0);
    cancel(token);
    join_crew();
    CHECK_EQ(tickets, 0);
    ecru_token_release(token);
  }
  ecru_cond_destroy(cond);
  ecru_mutex_destroy(mutex);
}
TEST(sync, cond_signals_and_cancels_at_once) { // L1, K2
  with_procs(2, signal_while_cancelling);
}

// ---- wait group ---------------------------------------------------------------------------------------------------

static ecru_waitgroup *group;

static int add_wait_done(uint64_t *seed) {
  if (test_random_below(seed, 2) == 0) return ecru_waitgroup_wait(group);
  int64_t n = 1 + (int64_t)test_random_below(seed, 3);
  CHECK_EQ(ecru_waitgroup_add(group, n), 0);
  linger(seed);
  while (n-- > 0) CHECK_EQ(ecru_waitgroup_done(group), 0);
  return 0;
}
static void waitgroup_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  crowd_for(add_wait_done);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_waitgroup_done(group), ECRU_EINVAL);
  ecru_waitgroup_destroy(group);
}
TEST(sync, waitgroup_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, waitgroup_crowd);
}

static _Atomic long brief_left;
static void finish_brief(void *brief) { CHECK_EQ(ecru_waitgroup_done(brief), 0); }
static void cancel_it(void *token) { CHECK_EQ(ecru_token_cancel(token, 0), 0); }

/// A wait that is cancelled while the last done is under way, then a second wait, then the end of the group.
static void destroy_after_cancelled_wait(void *unused) {
  (void)unused;
  for (atomic_store(&brief_left, test_scaled(10000)); atomic_load(&brief_left) > 0; atomic_fetch_sub(&brief_left, 1)) {
    ecru_waitgroup *brief;
    CHECK_EQ(ecru_waitgroup_create(&brief), 0);
    CHECK_EQ(ecru_waitgroup_add(brief, 1), 0);
    ecru_token *token = token_until(ECRU_FOREVER);
    start(finish_brief, brief);
    start(cancel_it, token);
    CHECK_EQ(ecru_token_enter(token), 0);
    int status = ecru_waitgroup_wait(brief);
    CHECK_EQ(ecru_token_leave(), 0);
    if (status != 0) CHECK_EQ(ecru_waitgroup_wait(brief), 0);
    ecru_waitgroup_destroy(brief);
    join_crew();
    ecru_token_release(token);
  }
}
TEST(sync, waitgroup_destroyed_after_a_cancelled_wait) { // L1, K2
  with_procs(2, destroy_after_cancelled_wait);
}

// ---- barrier ------------------------------------------------------------------------------------------------------

enum { PARTIES = 6 };
static ecru_barrier *barrier;
static long cycles;
static _Atomic long arrived_in[2], led;

/// Every party passes so many cycles; a cancelled wait is repeated. If an arrival stayed behind, a cycle would end early.
static void party(void *number) {
  uint64_t seed = test_seed() + (uint64_t)(uintptr_t)number;
  for (long i = 0; i < cycles; i++) {
    atomic_fetch_add(&arrived_in[i % 2], 1);
    int status;
    do {
      ecru_token *token = token_until(ecru_after((int64_t)test_random_below(&seed, 300) * ECRU_MICROSECOND));
      CHECK_EQ(ecru_token_enter(token), 0);
      status = ecru_barrier_wait(barrier);
      CHECK_EQ(ecru_token_leave(), 0);
      ecru_token_release(token);
      CHECK(status == 0 || status == 1 || status == ECRU_ETIMEDOUT);
    } while (status < 0);
    if (status == 1) atomic_fetch_add(&led, 1);
    CHECK_EQ(atomic_load(&arrived_in[i % 2]), (i / 2 + 1) * PARTIES);
  }
}
static void *party_thread(void *number) {
  party(number);
  return NULL;
}
static void barrier_crowd(void *unused) {
  (void)unused;
  cycles = test_scaled(1000);
  CHECK_EQ(ecru_barrier_create(&barrier, PARTIES), 0);
  pthread_t thread = start_thread(party_thread, (void *)99);
  for (uintptr_t i = 1; i < PARTIES; i++) start(party, (void *)i);
  join_crew();
  join_thread(thread);
  CHECK_EQ(atomic_load(&led), cycles);
  ecru_barrier_destroy(barrier);
}
TEST(sync, barrier_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, barrier_crowd);
}

// ---- singleflight -------------------------------------------------------------------------------------------------

static ecru_singleflight *flight;
static _Atomic long under_way[4];

static int fetch(void *number, void **result) {
  uintptr_t key = (uintptr_t)number;
  atomic_fetch_add(&under_way[key], 1);
  int status = ecru_sleep(100 * ECRU_MICROSECOND);
  *result = (void *)(key + 1);
  atomic_fetch_sub(&under_way[key], 1);
  return status;
}
static int call(uint64_t *seed) {
  static const char *keys[] = {"a", "b", "c", "d"};
  uintptr_t key = test_random_below(seed, 4);
  if (test_random_below(seed, 16) == 0) CHECK_EQ(ecru_singleflight_forget(flight, keys[key]), 0);
  void *result = NULL;
  int status = ecru_singleflight_do(flight, keys[key], fetch, (void *)key, &result, NULL);
  if (status == 0) CHECK_EQ((uintptr_t)result, key + 1);
  return status;
}
static void flight_crowd(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  crowd_for(call);
  ecru_singleflight_destroy(flight); // abandoned runs may still be under way
}
TEST(sync, singleflight_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, flight_crowd);
  for (int i = 0; i < 4; i++) CHECK_EQ(atomic_load(&under_way[i]), 0);
}

// ---- rate limiter -------------------------------------------------------------------------------------------------

static ecru_limiter *limiter;
static _Atomic int64_t given;

static int take_some(uint64_t *seed) {
  int64_t n = 1 + (int64_t)test_random_below(seed, 4);
  int status = ecru_limiter_wait(limiter, n);
  if (status == 0) atomic_fetch_add(&given, n);
  return status;
}
static void limiter_crowd(void *unused) {
  (void)unused;
  const double rate = 200000;
  int64_t began = ecru_now();
  CHECK_EQ(ecru_limiter_create(&limiter, rate, 10), 0);
  crowd_for(take_some);
  double passed = (double)(ecru_now() - began) / (double)ECRU_SECOND;
  CHECK((double)atomic_load(&given) <= passed * rate + 10 + 1);
  ecru_limiter_destroy(limiter);
}
TEST(sync, limiter_in_a_crowd_with_cancels) { // L1, K2
  with_procs(2, limiter_crowd);
}
