/// tests/unit/pool.c: worker pools (T5).
#include <ecru/ecru.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "test.h"

static _Atomic long sum;
static _Atomic int alive, most_alive;

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }
static void *item(long number) { return (void *)(intptr_t)number; }

static int adds(void *context, void *argument) {
  CHECK(context == &sum);
  int now = atomic_fetch_add(&alive, 1) + 1, most = atomic_load(&most_alive);
  while (now > most && !atomic_compare_exchange_weak(&most_alive, &most, now)) {}
  ecru_yield();
  atomic_fetch_sub(&alive, 1);
  atomic_fetch_add(&sum, (long)(intptr_t)argument);
  return 0;
}

static ecru_pool *new_pool(size_t workers, size_t queue, int (*work)(void *, void *)) {
  ecru_pool *pool = NULL;
  CHECK_EQ(ecru_pool_create(&pool, workers, queue, work, (void *)&sum), 0);
  CHECK(pool != NULL);
  return pool;
}

static void works_off(void *unused) {
  enum { ITEMS = 1000 };
  (void)unused;
  atomic_store(&sum, 0);
  ecru_pool *pool = new_pool(3, 5, adds);
  for (long i = 1; i <= ITEMS; i++) CHECK_EQ(ecru_pool_submit(pool, item(i)), 0);
  CHECK_EQ(ecru_pool_wait(pool), 0);
  CHECK_EQ(atomic_load(&sum), ITEMS * (ITEMS + 1L) / 2);
  CHECK(atomic_load(&most_alive) <= 3);
  CHECK_EQ(ecru_pool_wait(pool), 0); // idempotent
  CHECK_EQ(ecru_pool_submit(pool, item(1)), ECRU_ECLOSED);
  ecru_pool_destroy(pool);
}
TEST(pool, works_off_all_items_with_so_many_workers) { // T5
  run(works_off);
  works_off(NULL); // and from a foreign thread
}

static int waits_for_gate(void *context, void *argument) {
  (void)context;
  return ecru_chan_recv(argument, NULL) == ECRU_ECLOSED ? 0 : ECRU_EIO;
}
static void bounded(void *argument) {
  size_t queue = (size_t)(uintptr_t)argument;
  ecru_chan *gate = NULL;
  CHECK_EQ(ecru_chan_create(&gate, 0, 0), 0);
  ecru_pool *pool = new_pool(2, queue, waits_for_gate);
  for (size_t i = 0; i < 2 + queue; i++) CHECK_EQ(ecru_pool_submit(pool, gate), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_pool_submit(pool, gate), ECRU_ETIMEDOUT); // parks while the queue is full
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_chan_close(gate), 0);
  CHECK_EQ(ecru_pool_submit(pool, gate), 0);
  CHECK_EQ(ecru_pool_wait(pool), 0);
  ecru_pool_destroy(pool);
  ecru_chan_release(gate);
}
TEST(pool, queue_is_bounded) { // T5
  CHECK_EQ(ecru_run(bounded, item(0)), 0);
  CHECK_EQ(ecru_run(bounded, item(3)), 0);
}

static int fails_at_five(void *context, void *argument) {
  (void)context;
  long number = (long)(intptr_t)argument;
  if (number == 5) return ECRU_EPIPE;
  return number < 5 ? 0 : ecru_sleep(ECRU_FOREVER); // the others see the token
}
static void first_error(void *unused) {
  (void)unused;
  ecru_pool *pool = new_pool(3, 1, fails_at_five);
  int status = 0;
  for (long i = 0; status == 0; i++) status = ecru_pool_submit(pool, item(i));
  CHECK_EQ(status, ECRU_EPIPE); // no submitter is left waiting
  CHECK_EQ(ecru_pool_submit(pool, NULL), ECRU_EPIPE);
  CHECK_EQ(ecru_pool_wait(pool), ECRU_EPIPE);
  CHECK_EQ(ecru_pool_wait(pool), ECRU_EPIPE);
  CHECK_EQ(ecru_check(), 0);
  ecru_pool_destroy(pool);
}
TEST(pool, first_error_stops_it_and_is_returned) { // T5
  run(first_error);
}

static int exits(void *context, void *argument) {
  (void)context, (void)argument;
  ecru_exit();
  return 0;
}
static void workers_exit(void *unused) {
  (void)unused;
  ecru_pool *pool = new_pool(1, 0, exits);
  int status = 0;
  while (status == 0) status = ecru_pool_submit(pool, NULL);
  CHECK_EQ(status, ECRU_ECANCELED);
  CHECK_EQ(ecru_pool_wait(pool), ECRU_ECANCELED);
  ecru_pool_destroy(pool);
}
TEST(pool, exit_in_a_worker_stops_it) { // T5
  run(workers_exit);
}

static int sleeps(void *context, void *argument) {
  (void)context, (void)argument;
  atomic_fetch_add(&alive, 1);
  int status = ecru_sleep(ECRU_FOREVER);
  atomic_fetch_sub(&alive, 1);
  return status;
}
static void creators_token_fires(void *unused) {
  (void)unused;
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  ecru_pool *pool = new_pool(2, 0, sleeps);
  CHECK_EQ(ecru_token_leave(), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
  while (atomic_load(&alive) != 2) ecru_yield();
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_pool_submit(pool, NULL), ECRU_ECANCELED); // no worker is left
  CHECK_EQ(ecru_pool_wait(pool), ECRU_ECANCELED);
  CHECK_EQ(atomic_load(&alive), 0);
  ecru_pool_destroy(pool);
  ecru_token_release(token);
}
TEST(pool, ends_with_its_creators_token) { // T5, K2
  run(creators_token_fires);
}

static void wait_times_out(void *unused) {
  (void)unused;
  ecru_pool *pool = new_pool(2, 4, sleeps);
  for (int i = 0; i < 5; i++) CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_pool_wait(pool), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(atomic_load(&alive), 0);
  ecru_pool_destroy(pool);
}
TEST(pool, a_cancelled_wait_cancels_the_workers_and_waits_on) { // T5, K2
  run(wait_times_out);
}

static void destroys_busy(void *unused) {
  (void)unused;
  ecru_pool *pool = new_pool(2, 4, sleeps);
  for (int i = 0; i < 5; i++) CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
  ecru_pool_destroy(pool);
  CHECK_EQ(atomic_load(&alive), 0);
  ecru_pool_destroy(new_pool(2, 4, sleeps));
}
TEST(pool, destroy_cancels_and_waits) { // T5
  run(destroys_busy);
}

static int submits_more(void *context, void *argument) {
  ecru_pool *pool = *(ecru_pool **)context;
  long depth = (long)(intptr_t)argument;
  atomic_fetch_add(&sum, 1);
  for (int i = 0; depth > 0 && i < 2; i++) CHECK_EQ(ecru_pool_submit(pool, item(depth - 1)), 0);
  return 0;
}
static void workers_submit(void *unused) {
  (void)unused;
  ecru_pool *pool = NULL;
  CHECK_EQ(ecru_pool_create(&pool, 2, 64, submits_more, &pool), 0);
  CHECK_EQ(ecru_pool_submit(pool, item(4)), 0);
  while (atomic_load(&sum) != 31) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_pool_wait(pool), 0);
  ecru_pool_destroy(pool);
}
TEST(pool, workers_can_submit) { // T5
  run(workers_submit);
}

static void *submit_in_thread(void *argument) {
  for (long i = 1; i <= 100; i++) CHECK_EQ(ecru_pool_submit(argument, item(i)), 0);
  return NULL;
}
TEST(pool, foreign_threads_can_submit) { // T5, G10
  enum { THREADS = 4 };
  ecru_pool *pool = new_pool(2, 3, adds);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, submit_in_thread, pool), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  CHECK_EQ(ecru_pool_wait(pool), 0);
  CHECK_EQ(atomic_load(&sum), THREADS * 5050L);
  ecru_pool_destroy(pool);
}

// ---- bad input ----------------------------------------------------------------------------------------------------

static int waits_for_own_pool(void *context, void *argument) {
  (void)argument;
  CHECK_EQ(ecru_pool_wait(*(ecru_pool **)context), ECRU_EDEADLK);
  return 0;
}
static void bad_arguments(void *unused) {
  (void)unused;
  ecru_pool *pool = NULL;
  CHECK_EQ(ecru_pool_create(NULL, 1, 1, adds, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_pool_create(&pool, 0, 1, adds, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_pool_create(&pool, 1, 1, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_pool_create(&pool, 1, SIZE_MAX, adds, NULL), ECRU_EOVERFLOW);
  CHECK(pool == NULL);
  CHECK_EQ(ecru_pool_submit(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_pool_wait(NULL), ECRU_EINVAL);
  ecru_pool_destroy(NULL);
  CHECK_EQ(ecru_pool_create(&pool, 1, 1, waits_for_own_pool, &pool), 0);
  CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
  CHECK_EQ(ecru_pool_submit(pool, NULL), 0); // it was not closed by the refused wait
  CHECK_EQ(ecru_pool_wait(pool), 0);
  ecru_pool_destroy(pool);
}
TEST(pool, bad_arguments_have_codes) { // T5
  run(bad_arguments);
}

static int destroys_own_pool(void *context, void *argument) {
  (void)argument;
  ecru_pool_destroy(*(ecru_pool **)context);
  return 0;
}
static void destroys_from_inside(void *unused) {
  (void)unused;
  ecru_pool *pool = NULL;
  CHECK_EQ(ecru_pool_create(&pool, 1, 1, destroys_own_pool, &pool), 0);
  ecru_pool_submit(pool, NULL);
  ecru_pool_wait(pool);
}
static void die_inside(void) { run(destroys_from_inside); }
TEST(pool, destroying_it_from_a_worker_is_a_panic) { // T5
  test_death(die_inside, -SIGABRT, "called from one of the group's goroutines");
}

static int creates_after_stop(void *argument, void **result) {
  (void)result;
  ecru_sleep(ECRU_FOREVER);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  ecru_pool *pool = NULL;
  atomic_store((_Atomic int *)argument, ecru_pool_create(&pool, 1, 1, adds, NULL));
  return ecru_token_leave();
}
TEST(pool, after_shutdown_there_is_a_code) { // T5, G13
  _Atomic int status = 1;
  ecru_task *task = NULL;
  CHECK_EQ(ecru_spawn(&task, creates_after_stop, &status), 0);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&status), ECRU_ESHUTDOWN);
  ecru_task_release(task);
}
