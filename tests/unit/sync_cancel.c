/// tests/unit/sync_cancel.c: every waiting operation of sync.h against cancellation (K2, C11) and bad input (L2): one table.
/// What is particular to one primitive is in its own file.
#include "syncs.h"

#include "runtime/state.h"

static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *group;
static ecru_once *once;
static ecru_semaphore *semaphore, *gate;
static ecru_singleflight *flight;
static ecru_limiter *limiter;

/// block: whoever calls wait now has to wait. unblock: one who waits may go on. wait: cleans up after a success.
struct operation {
  const char *name;
  void (*block)(void);
  int (*wait)(void);
  void (*unblock)(void);
  void (*destroy)(void);
};

static void mutex_block(void) {
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
}
static int mutex_wait(void) {
  int status = ecru_mutex_lock(mutex);
  CHECK_EQ(ecru_mutex_unlock(mutex), status == 0 ? 0 : ECRU_EPERM);
  return status;
}
static void mutex_unblock(void) { CHECK_EQ(ecru_mutex_unlock(mutex), 0); }
static void mutex_destroy(void) { ecru_mutex_destroy(mutex); }

static void write_block(void) {
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_lock(rwmutex), 0);
}
static int write_wait(void) {
  int status = ecru_rwmutex_lock(rwmutex);
  CHECK_EQ(ecru_rwmutex_unlock(rwmutex), status == 0 ? 0 : ECRU_EPERM);
  return status;
}
static int read_wait(void) {
  int status = ecru_rwmutex_read_lock(rwmutex);
  if (status == 0) CHECK_EQ(ecru_rwmutex_read_unlock(rwmutex), 0);
  return status;
}
static void write_unblock(void) { CHECK_EQ(ecru_rwmutex_unlock(rwmutex), 0); }
static void write_destroy(void) { ecru_rwmutex_destroy(rwmutex); }

static void read_block(void) {
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_read_lock(rwmutex), 0);
}
static void read_unblock(void) { CHECK_EQ(ecru_rwmutex_read_unlock(rwmutex), 0); }

static void cond_block(void) {
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
}
static int cond_wait(void) {
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  int status = ecru_cond_wait(cond, mutex);
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  return status;
}
static void cond_unblock(void) { CHECK_EQ(ecru_cond_signal(cond), 0); }
static void cond_destroy(void) {
  ecru_cond_destroy(cond);
  ecru_mutex_destroy(mutex);
}

static void group_block(void) {
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_waitgroup_add(group, 1), 0);
}
static int group_wait(void) { return ecru_waitgroup_wait(group); }
static void group_unblock(void) { CHECK_EQ(ecru_waitgroup_done(group), 0); }
static void group_destroy(void) { ecru_waitgroup_destroy(group); }

static _Atomic int at_gate;
static void pass_gate(void *unused) {
  (void)unused;
  atomic_store(&at_gate, 1);
  CHECK_EQ(ecru_semaphore_acquire(gate, 1), 0);
}
static void never(void *unused) {
  (void)unused;
  FAIL("it was run a second time");
}
static void run_once(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_once_do(once, pass_gate, NULL), 0);
}
static void close_gate(void) {
  atomic_store(&at_gate, 0);
  CHECK_EQ(ecru_semaphore_create(&gate, 1), 0);
  CHECK_EQ(ecru_semaphore_acquire(gate, 1), 0);
}
static void open_gate(void) { CHECK_EQ(ecru_semaphore_release(gate, 1), 0); }

static void once_block(void) {
  close_gate();
  CHECK_EQ(ecru_once_create(&once), 0);
  start(run_once, NULL);
  while (!atomic_load(&at_gate)) CHECK_EQ(ecru_yield(), 0); // a single yield need not be its turn
}
static int once_wait(void) { return ecru_once_do(once, never, NULL); }
static void once_destroy(void) {
  ecru_once_destroy(once);
  ecru_semaphore_destroy(gate);
}

static void semaphore_block(void) {
  CHECK_EQ(ecru_semaphore_create(&semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_acquire(semaphore, 1), 0);
}
static int semaphore_wait(void) {
  int status = ecru_semaphore_acquire(semaphore, 1);
  CHECK_EQ(status == 0 ? ecru_semaphore_release(semaphore, 1) : 0, 0);
  return status;
}
static void semaphore_unblock(void) { CHECK_EQ(ecru_semaphore_release(semaphore, 1), 0); }
static void semaphore_destroy(void) { ecru_semaphore_destroy(semaphore); }

static int fly(void *unused, void **result) {
  (void)result;
  pass_gate(unused);
  return 0;
}
static void fly_first(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_singleflight_do(flight, "key", fly, NULL, NULL, NULL), 0);
}
static int fly_again(void *unused, void **result) {
  (void)result;
  never(unused);
  return 0;
}
static void flight_block(void) {
  close_gate();
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  start(fly_first, NULL);
  while (!atomic_load(&at_gate)) CHECK_EQ(ecru_yield(), 0); // a single yield need not be its turn
}
static int flight_wait(void) { return ecru_singleflight_do(flight, "key", fly_again, NULL, NULL, NULL); }
static void flight_destroy(void) {
  ecru_singleflight_destroy(flight);
  ecru_semaphore_destroy(gate);
}

static void limiter_block(void) {
  CHECK_EQ(ecru_limiter_create(&limiter, 0.1, 1), 0);
  CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
}
static int limiter_wait(void) { return ecru_limiter_wait(limiter, 1); }
static void limiter_unblock(void) {} // time does it
static void limiter_destroy(void) { ecru_limiter_destroy(limiter); }

static const struct operation operations[] = {
    {"mutex lock", mutex_block, mutex_wait, mutex_unblock, mutex_destroy},
    {"rwmutex lock behind a writer", write_block, write_wait, write_unblock, write_destroy},
    {"rwmutex lock behind a reader", read_block, write_wait, read_unblock, write_destroy},
    {"rwmutex read lock", write_block, read_wait, write_unblock, write_destroy},
    {"cond wait", cond_block, cond_wait, cond_unblock, cond_destroy},
    {"wait group wait", group_block, group_wait, group_unblock, group_destroy},
    {"once do", once_block, once_wait, open_gate, once_destroy},
    {"semaphore acquire", semaphore_block, semaphore_wait, semaphore_unblock, semaphore_destroy},
    {"singleflight do", flight_block, flight_wait, open_gate, flight_destroy},
    {"limiter wait", limiter_block, limiter_wait, limiter_unblock, limiter_destroy},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static const struct operation *operation;
static int status_a, status_b;

static void wait_as_a(void *unused) {
  (void)unused;
  status_a = operation->wait();
}
static void wait_as_b(void *unused) {
  (void)unused;
  status_b = operation->wait();
}

/// Each of the table in turn: the body finds it in `operation`, blocked.
static void for_each(void (*body)(void)) {
  for (int i = 0; i < OPERATIONS; i++) {
    operation = &operations[i];
    status_a = status_b = 77;
    operation->block();
    body();
    operation->destroy();
  }
}
#define CHECK_STATUS(status, expected) \
  if ((status) != (expected)) FAIL("%s: %s is %d instead of %d", operation->name, #status, status, expected)

/// Starts b behind a, both parked.
static void a_then_b(ecru_token *token) {
  start_under(token, wait_as_a, NULL);
  all_others_parked();
  start(wait_as_b, NULL);
  all_others_parked();
  CHECK_STATUS(status_a, 77);
  CHECK_STATUS(status_b, 77);
}

static void fired_before(void) {
  ecru_token *token = token_until(ECRU_FOREVER);
  cancel(token);
  start_under(token, wait_as_a, NULL); // would have to wait
  while (status_a == 77) CHECK_EQ(ecru_yield(), 0); // a single yield need not be its turn; while any can run, no time passes
  CHECK_STATUS(status_a, ECRU_ECANCELED);
  status_a = 77;
  operation->unblock();
  join_crew();
  CHECK_EQ(ecru_sleep(20 * ECRU_SECOND), 0);
  start_under(token, wait_as_a, NULL); // would not, but for the condition variable
  join_crew();
  CHECK_STATUS(status_a, ECRU_ECANCELED);
  ecru_token_release(token);
}
static void fired_before_each(void *unused) {
  (void)unused;
  for_each(fired_before);
}
TEST(sync, a_fired_token_ends_every_wait_at_once) { // K2, L1
  in_virtual_time(fired_before_each);
}

static void cancelled_while_parked(void) {
  ecru_token *token = token_until(ECRU_FOREVER);
  a_then_b(token);
  cancel(token);
  all_others_parked();
  CHECK_STATUS(status_a, ECRU_ECANCELED);
  CHECK_STATUS(status_b, 77);
  operation->unblock();
  join_crew();
  CHECK_STATUS(status_b, 0); // nothing was lost
  ecru_token_release(token);
}
static void cancelled_while_parked_each(void *unused) {
  (void)unused;
  for_each(cancelled_while_parked);
}
TEST(sync, every_wait_can_be_cancelled_and_loses_nothing) { // K2, C11, L1
  in_virtual_time(cancelled_while_parked_each);
}

static void past_its_deadline(void) {
  int64_t deadline = ecru_after(5 * ECRU_SECOND);
  ecru_token *token = token_until(deadline);
  a_then_b(token);
  CHECK_EQ(ecru_sleep_until(deadline - 1), 0);
  CHECK_STATUS(status_a, 77);
  CHECK_EQ(ecru_sleep_until(deadline + 1), 0);
  CHECK_STATUS(status_a, ECRU_ETIMEDOUT);
  operation->unblock();
  join_crew();
  CHECK_STATUS(status_b, 0);
  ecru_token_release(token);
}

static void past_its_deadline_each(void *unused) {
  (void)unused;
  for (int i = 0; i < OPERATIONS; i++) {
    if (operations[i].wait == limiter_wait) continue; // does not wait at all: sync_limiter.c
    operation = &operations[i];
    status_a = status_b = 77;
    operation->block();
    past_its_deadline();
    operation->destroy();
  }
}
TEST(sync, every_wait_ends_at_the_deadline) { // K2, L1
  in_virtual_time(past_its_deadline_each);
}

static void cancelled_then_unblocked(void) {
  ecru_token *token = token_until(ECRU_FOREVER);
  a_then_b(token);
  cancel(token); // a is claimed but has not run: it still stands in the queue
  operation->unblock();
  join_crew();
  CHECK_STATUS(status_a, ECRU_ECANCELED);
  CHECK_STATUS(status_b, 0);
  ecru_token_release(token);
}
static void cancelled_then_unblocked_each(void *unused) {
  (void)unused;
  for_each(cancelled_then_unblocked);
}
TEST(sync, what_meets_a_cancelled_waiter_goes_to_the_next) { // K2, C11, L1
  in_virtual_time(cancelled_then_unblocked_each);
}

static void unblocked_then_cancelled(void) {
  if (operation->wait == limiter_wait || operation->unblock == open_gate) { // not unblocked by us but by a third
    operation->unblock();
    join_crew();
    return;
  }
  ecru_token *token = token_until(ECRU_FOREVER);
  start_under(token, wait_as_a, NULL);
  all_others_parked();
  operation->unblock();
  cancel(token); // too late
  join_crew();
  CHECK_STATUS(status_a, 0);
  ecru_token_release(token);
}
static void unblocked_then_cancelled_each(void *unused) {
  (void)unused;
  for_each(unblocked_then_cancelled);
}
TEST(sync, what_was_given_is_not_taken_back_by_a_cancel) { // K2, C11, L1
  in_virtual_time(unblocked_then_cancelled_each);
}

// ---- foreign threads ----------------------------------------------------------------------------------------------

static ecru_token *token_of_thread;

static void *wait_in_thread(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_token_enter(token_of_thread), 0);
  int status = operation->wait();
  CHECK_EQ(ecru_token_leave(), 0);
  status_a = status;
  return NULL;
}

/// Starts a thread that waits; returns when it is parked. The one that called ecru_run is, too.
static pthread_t start_waiting_thread(void) {
  uint32_t parked = atomic_load(&ecru__sched.foreign_parked);
  pthread_t thread = start_thread(wait_in_thread, NULL);
  while (atomic_load(&ecru__sched.foreign_parked) == parked) sched_yield();
  return thread;
}

static void foreign_waiter(void) {
  if (operation->wait == limiter_wait) return; // real time: sync_limiter.c
  token_of_thread = token_until(ECRU_FOREVER);
  pthread_t thread = start_waiting_thread();
  cancel(token_of_thread);
  join_thread(thread);
  CHECK_STATUS(status_a, ECRU_ECANCELED);
  ecru_token_release(token_of_thread);

  token_of_thread = token_until(ECRU_FOREVER);
  thread = start_waiting_thread();
  operation->unblock();
  join_thread(thread);
  CHECK_STATUS(status_a, 0);
  ecru_token_release(token_of_thread);
  join_crew();
}
static void foreign_waiter_each(void *unused) {
  (void)unused;
  for_each(foreign_waiter);
}
TEST(sync, foreign_threads_wait_and_are_cancelled_like_goroutines) { // K2, L1
  with_procs(2, foreign_waiter_each);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static void no_fn(void *unused) { (void)unused; }

TEST(sync, null_is_an_invalid_argument_everywhere) { // L2
  CHECK_EQ(ecru_mutex_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_mutex_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_mutex_try_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_mutex_unlock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_try_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_unlock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_read_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_try_read_lock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rwmutex_read_unlock(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_cond_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_cond_wait(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_cond_signal(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_cond_broadcast(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_add(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_done(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_wait(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_waitgroup_go(NULL, no_fn, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_once_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_once_do(NULL, no_fn, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_create(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_acquire(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_try_acquire(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_semaphore_release(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_barrier_create(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_barrier_wait(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_create(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_do(NULL, "key", fly, NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_singleflight_forget(NULL, "key"), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_create(NULL, 1, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_wait(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_limiter_try(NULL, 1), ECRU_EINVAL);
}
