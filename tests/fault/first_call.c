/// tests/fault/first_call.c: every public call as the first one of a thread while the runtime is down and cannot be started,
/// because there is no memory, no mapping or no thread to be had: it says so, has no effect, and works as soon as it can. (G1)
///
/// What a call works on is made before, so that it has nothing to do but to start the runtime and its own work.
#include "goroutines.h"
#include "platform/fault.h"

// Made before each call, by a runtime that has been stopped since.
static ecru_chan *empty, *holding, *with_room;
static ecru_tx *tx;
static ecru_rx *rx;
static ecru_token *token, *fired;
static ecru_timer *timer;
static ecru_task *task;
static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *waitgroup;
static ecru_semaphore *semaphore;
static ecru_barrier *barrier;
static ecru_singleflight *flight;
static ecru_limiter *limiter;
static ecru_once *once;
static ecru_group *group;
static ecru_local_key *local_key;
static ecru_scoped_key *scoped_key;
static int value;

static int end_task(void *unused, void **result) {
  (void)unused;
  (void)result;
  return 0;
}
static void make_objects(void *unused) {
  (void)unused;
  empty = chan_of(sizeof(int), 1);
  holding = chan_of(sizeof(int), 1);
  with_room = chan_of(sizeof(int), 4);
  CHECK_EQ(ecru_chan_send(holding, &value), 0);
  CHECK_EQ(ecru_tx_open(&tx, with_room), 0);
  CHECK_EQ(ecru_rx_open(&rx, holding), 0);
  CHECK_EQ(ecru_token_create(&token, ecru_token_background(), ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_create(&fired, ecru_token_background(), ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(fired, 0), 0);
  CHECK_EQ(ecru_timer_create(&timer, 0), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0); // it is due
  CHECK_EQ(ecru_spawn(&task, end_task, NULL), 0);
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  CHECK_EQ(ecru_waitgroup_create(&waitgroup), 0);
  CHECK_EQ(ecru_semaphore_create(&semaphore, 2), 0);
  CHECK_EQ(ecru_semaphore_acquire(semaphore, 1), 0); // to be released
  CHECK_EQ(ecru_barrier_create(&barrier, 1), 0);
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  CHECK_EQ(ecru_limiter_create(&limiter, 1000, 10), 0);
  CHECK_EQ(ecru_once_create(&once), 0);
  CHECK_EQ(ecru_token_enter(ecru_token_background()), 0); // no stop cancels it
  CHECK_EQ(ecru_group_create(&group, 0, 0), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_local_key_create(&local_key, NULL), 0);
  CHECK_EQ(ecru_scoped_key_create(&scoped_key, NULL), 0);
}
static void free_objects(void) {
  ecru_chan_release(empty);
  ecru_chan_release(holding);
  ecru_chan_release(with_room);
  ecru_tx_release(tx);
  ecru_rx_release(rx);
  ecru_token_release(token);
  ecru_token_release(fired);
  ecru_timer_destroy(timer);
  ecru_task_release(task);
  ecru_mutex_destroy(mutex);
  ecru_rwmutex_destroy(rwmutex);
  ecru_cond_destroy(cond);
  ecru_waitgroup_destroy(waitgroup);
  ecru_semaphore_destroy(semaphore);
  ecru_barrier_destroy(barrier);
  ecru_singleflight_destroy(flight);
  ecru_limiter_destroy(limiter);
  ecru_once_destroy(once);
  ecru_group_destroy(group);
  ecru_local_key_destroy(local_key);
  ecru_scoped_key_destroy(scoped_key);
}

// ---- the calls ----------------------------------------------------------------------------------------------------
// Each frees and undoes what it has made. A status > 0 is as good as 0.

static void do_nothing(void *unused) { (void)unused; }
static int do_item(void *unused, size_t index) {
  (void)unused;
  (void)index;
  return 0;
}
static int do_work(void *unused, void *item) {
  (void)unused;
  (void)item;
  return 0;
}
static int take_each(void *unused, size_t index, int status, void *result) {
  (void)unused;
  (void)index;
  (void)result;
  return status;
}
static int then_leave(int status) {
  if (status == 0) CHECK_EQ(ecru_token_leave(), 0);
  return status;
}

static int start_with(unsigned flags) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = flags;
  options.name = "first";
  return ecru_go_with(&options, do_nothing, NULL);
}
static int start_and_stop(void) {
  int status = ecru_start(NULL);
  if (status == 0) CHECK_EQ(ecru_stop(), 0);
  return status;
}
static int run_something(void) { return ecru_run(do_nothing, NULL); }
static int go_plain(void) { return ecru_go(do_nothing, NULL); }
static int go_pinned(void) { return start_with(ECRU_PINNED); }
static int go_own_thread(void) { return start_with(ECRU_OWN_THREAD); }
static int go_with_copy(void) { return ecru_go_copy(NULL, do_nothing, &value, sizeof value); }
static int sleep_shortly(void) { return ecru_sleep(1000); }
static int sleep_until_soon(void) { return ecru_sleep_until(ecru_after(1000)); }
static int change_maxprocs(void) { return ecru_set_maxprocs(2); }
static int block_in_function(void) { return ecru_blocking(do_nothing, NULL); }
static int block_in_section(void) {
  int status = ecru_blocking_enter();
  if (status == 0) CHECK_EQ(ecru_blocking_exit(), 0);
  return status;
}
static int use_thread_stack(void) { return ecru_on_thread_stack(do_nothing, NULL); }
static int pin_and_unpin(void) {
  int status = ecru_pin();
  if (status == 0) (void)ecru_unpin();
  return status;
}

static int chan_create(void) {
  ecru_chan *chan = NULL;
  int status = ecru_chan_create(&chan, sizeof(int), 1);
  ecru_chan_release(chan);
  return status;
}
static int chan_send(void) { return ecru_chan_send(with_room, &value); }
static int chan_try_send(void) { return ecru_chan_try_send(with_room, &value); }
static int chan_recv(void) { return ecru_chan_recv(holding, &value); }
static int chan_try_recv(void) { return ecru_chan_try_recv(holding, &value); }
static int chan_close(void) { return ecru_chan_close(empty); }
static int chan_close_with(void) { return ecru_chan_close_with(empty, ECRU_EIO); }
static int tx_open(void) {
  ecru_tx *end = NULL;
  int status = ecru_tx_open(&end, empty);
  ecru_tx_release(end);
  return status;
}
static int rx_open(void) {
  ecru_rx *end = NULL;
  int status = ecru_rx_open(&end, empty);
  ecru_rx_release(end);
  return status;
}
static int tx_send(void) { return ecru_tx_send(tx, &value); }
static int tx_try_send(void) { return ecru_tx_try_send(tx, &value); }
static int rx_recv(void) { return ecru_rx_recv(rx, &value); }
static int rx_try_recv(void) { return ecru_rx_try_recv(rx, &value); }
static int select_one(void) {
  ecru_case cases[] = {{ECRU_CASE_RECV, 0, empty, &value}, {ECRU_CASE_RECV, 0, holding, &value}};
  return ecru_select(cases, 2, 0);
}
static int select_of_many(void) {
  ecru_case cases[40];
  for (int i = 0; i < 40; i++) cases[i] = (ecru_case){ECRU_CASE_RECV, 0, holding, &value};
  return ecru_select(cases, 40, 0);
}
static int select_until(void) {
  int status = ecru_select_until(NULL, 0, 0, ecru_after(1000));
  return status == ECRU_ETIMEDOUT ? 0 : status;
}

static int token_create(void) {
  ecru_token *made = NULL;
  int status = ecru_token_create(&made, token, ecru_after(ECRU_SECOND));
  ecru_token_release(made);
  return status;
}
static int token_create_linked(void) {
  ecru_token *made = NULL, *parents[] = {token, fired};
  int status = ecru_token_create_linked(&made, parents, 2, ECRU_FOREVER);
  ecru_token_release(made);
  return status;
}
static int token_without_cancel(void) {
  ecru_token *made = NULL;
  int status = ecru_token_without_cancel(&made, token);
  ecru_token_release(made);
  return status;
}
static int token_cancel(void) { return ecru_token_cancel(token, 0); }
static int token_wait(void) { return ecru_token_wait(fired); }
static int token_reset(void) { return ecru_token_reset(token, ecru_after(ECRU_SECOND)); }
static int token_enter(void) { return then_leave(ecru_token_enter(token)); }
static int shield_enter(void) { return then_leave(ecru_shield_enter(ecru_after(ECRU_SECOND))); }
static int deadline_enter(void) { return then_leave(ecru_deadline_enter(ecru_after(ECRU_SECOND))); }
static int token_on_cancel(void) {
  ecru_registration *registration = NULL;
  int status = ecru_token_on_cancel(token, do_nothing, NULL, &registration);
  if (status == 0) CHECK_EQ(ecru_token_unregister(registration), 1);
  return status;
}

static int timer_create_and_wait(void) {
  ecru_timer *made = NULL;
  int status = ecru_timer_create(&made, 1000);
  if (status == 0) status = ecru_timer_wait(made, NULL);
  ecru_timer_destroy(made);
  return status;
}
static int ticker_create(void) {
  ecru_timer *made = NULL;
  int status = ecru_ticker_create(&made, ECRU_SECOND);
  ecru_timer_destroy(made);
  return status;
}
static int after_func(void) {
  ecru_timer *made = NULL;
  int status = ecru_after_func(&made, ECRU_SECOND, do_nothing, NULL);
  ecru_timer_destroy(made);
  return status;
}
static int timer_wait(void) { return ecru_timer_wait(timer, NULL); }
static int timer_try(void) { return ecru_timer_try(timer, NULL); }
static int timer_stop(void) { return ecru_timer_stop(timer); }
static int timer_reset(void) { return ecru_timer_reset(timer, ECRU_SECOND); }
static int clock_create(void) {
  ecru_clock *clock = NULL;
  int status = ecru_clock_virtual_create(&clock, 1);
  if (status == 0) CHECK_EQ(ecru_clock_advance(clock, 1), 0);
  ecru_clock_destroy(clock);
  return status;
}

static int spawn(void) {
  ecru_task *made = NULL;
  int status = ecru_spawn(&made, end_task, NULL);
  if (status == 0) CHECK_EQ(ecru_task_join(made, NULL, NULL), 0);
  ecru_task_release(made);
  return status;
}
static int task_join(void) { return ecru_task_join(task, NULL, NULL); }
static int task_cancel(void) { return ecru_task_cancel(task, 0); }
static int join_all(void) { return ecru_join_all(&task, 1, NULL, NULL); }
static int join_any(void) { return ecru_join_any(&task, 1, NULL); }
static int join_each(void) { return ecru_join_each(&task, 1, take_each, NULL); }
static int group_create(void) {
  ecru_group *made = NULL;
  int status = ecru_group_create(&made, 0, 0);
  ecru_group_destroy(made);
  return status;
}
static int group_go(void) { return ecru_group_go(group, end_task, NULL); }
static int group_try_go(void) { return ecru_group_try_go(group, end_task, NULL); }
static int group_wait(void) { return ecru_group_wait(group); }
static int group_cancel(void) { return ecru_group_cancel(group, 0); }
static int parallel_for(void) { return ecru_parallel_for(3, 2, do_item, NULL); }
static int pool_create(void) {
  ecru_pool *pool = NULL;
  int status = ecru_pool_create(&pool, 2, 2, do_work, NULL);
  if (status == 0) CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
  if (status == 0) CHECK_EQ(ecru_pool_wait(pool), 0);
  ecru_pool_destroy(pool);
  return status;
}

static int mutex_create(void) {
  ecru_mutex *made = NULL;
  int status = ecru_mutex_create(&made);
  ecru_mutex_destroy(made);
  return status;
}
static int then_unlock(int status) {
  if (status == 0) CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  return status;
}
static int mutex_lock(void) { return then_unlock(ecru_mutex_lock(mutex)); }
static int mutex_try_lock(void) { return then_unlock(ecru_mutex_try_lock(mutex)); }
static int then_write_unlock(int status) {
  if (status == 0) CHECK_EQ(ecru_rwmutex_unlock(rwmutex), 0);
  return status;
}
static int then_read_unlock(int status) {
  if (status == 0) CHECK_EQ(ecru_rwmutex_read_unlock(rwmutex), 0);
  return status;
}
static int write_lock(void) { return then_write_unlock(ecru_rwmutex_lock(rwmutex)); }
static int try_write_lock(void) { return then_write_unlock(ecru_rwmutex_try_lock(rwmutex)); }
static int read_lock(void) { return then_read_unlock(ecru_rwmutex_read_lock(rwmutex)); }
static int try_read_lock(void) { return then_read_unlock(ecru_rwmutex_try_read_lock(rwmutex)); }
static int cond_signal(void) { return ecru_cond_signal(cond); }
static int cond_broadcast(void) { return ecru_cond_broadcast(cond); }
static int waitgroup_add_and_done(void) {
  int status = ecru_waitgroup_add(waitgroup, 1);
  if (status == 0) CHECK_EQ(ecru_waitgroup_done(waitgroup), 0);
  return status;
}
static int waitgroup_wait(void) { return ecru_waitgroup_wait(waitgroup); }
static int waitgroup_go(void) {
  int status = ecru_waitgroup_go(waitgroup, do_nothing, NULL);
  if (status == 0) CHECK_EQ(ecru_waitgroup_wait(waitgroup), 0);
  return status;
}
static int once_do(void) { return ecru_once_do(once, do_nothing, NULL); }
static int semaphore_acquire(void) { return ecru_semaphore_acquire(semaphore, 1); }
static int semaphore_try_acquire(void) { return ecru_semaphore_try_acquire(semaphore, 1); }
static int semaphore_release(void) { return ecru_semaphore_release(semaphore, 1); }
static int barrier_wait(void) { return ecru_barrier_wait(barrier); }
static int singleflight_do(void) { return ecru_singleflight_do(flight, "key", end_task, NULL, NULL, NULL); }
static int singleflight_forget(void) { return ecru_singleflight_forget(flight, "key"); }
static int limiter_wait(void) { return ecru_limiter_wait(limiter, 1); }
static int limiter_try(void) { return ecru_limiter_try(limiter, 1); }

static int local_set(void) { return ecru_local_set(local_key, &value); }
static int scoped_enter(void) {
  int status = ecru_scoped_enter(scoped_key, &value);
  if (status == 0) CHECK_EQ(ecru_scoped_leave(scoped_key), 0);
  return status;
}

typedef struct first_call {
  const char *name;
  int (*make)(void);
} first_call;
#define CALL(function) {#function, function}
static const first_call calls[] = {
    CALL(start_and_stop), CALL(run_something), CALL(go_plain), CALL(go_pinned), CALL(go_own_thread), CALL(go_with_copy),
    CALL(ecru_yield), CALL(ecru_check), CALL(sleep_shortly), CALL(sleep_until_soon), CALL(change_maxprocs),
    CALL(block_in_function), CALL(block_in_section), CALL(use_thread_stack), CALL(pin_and_unpin),
    CALL(chan_create), CALL(chan_send), CALL(chan_try_send), CALL(chan_recv), CALL(chan_try_recv), CALL(chan_close),
    CALL(chan_close_with), CALL(tx_open), CALL(rx_open), CALL(tx_send), CALL(tx_try_send), CALL(rx_recv), CALL(rx_try_recv),
    CALL(select_one), CALL(select_of_many), CALL(select_until),
    CALL(token_create), CALL(token_create_linked), CALL(token_without_cancel), CALL(token_cancel), CALL(token_wait),
    CALL(token_reset), CALL(token_enter), CALL(shield_enter), CALL(deadline_enter), CALL(token_on_cancel),
    CALL(timer_create_and_wait), CALL(ticker_create), CALL(after_func), CALL(timer_wait), CALL(timer_try), CALL(timer_stop),
    CALL(timer_reset), CALL(clock_create),
    CALL(spawn), CALL(task_join), CALL(task_cancel), CALL(join_all), CALL(join_any), CALL(join_each),
    CALL(group_create), CALL(group_go), CALL(group_try_go), CALL(group_wait), CALL(group_cancel), CALL(parallel_for), CALL(pool_create),
    CALL(mutex_create), CALL(mutex_lock), CALL(mutex_try_lock), CALL(write_lock), CALL(try_write_lock), CALL(read_lock), CALL(try_read_lock),
    CALL(cond_signal), CALL(cond_broadcast), CALL(waitgroup_add_and_done), CALL(waitgroup_wait), CALL(waitgroup_go), CALL(once_do),
    CALL(semaphore_acquire), CALL(semaphore_try_acquire), CALL(semaphore_release), CALL(barrier_wait), CALL(singleflight_do),
    CALL(singleflight_forget), CALL(limiter_wait), CALL(limiter_try), CALL(local_set), CALL(scoped_enter),
};
enum { CALLS = sizeof calls / sizeof calls[0] };

// ---- the walk -----------------------------------------------------------------------------------------------------

typedef struct attempt {
  const first_call *call;
  int kind; // of what there is none
  int without, with;
} attempt;
static void *call_without_and_with(void *argument) {
  attempt *self = argument;
  ecru__fault_set(self->kind, 1, 1);
  self->without = self->call->make();
  ecru__fault_set(self->kind, 0, 0);
  self->with = self->without < 0 ? self->call->make() : 0;
  return NULL;
}
/// returns: whether the call was refused.
static bool call_first(const first_call *call, int kind) {
  attempt attempt = {.call = call, .kind = kind};
  CHECK_EQ(ecru_run(make_objects, NULL), 0);
  CHECK_EQ(pthread_join(start_thread(call_without_and_with, &attempt), NULL), 0);
  bool refused = attempt.without == ECRU_ENOMEM || attempt.without == ECRU_ETHREADS;
  if (attempt.without < 0 && !refused) FAIL("%s said %s", call->name, ecru_status_name(attempt.without));
  if (attempt.with < 0) FAIL("%s said %s when nothing was lacking any more", call->name, ecru_status_name(attempt.with));
  CHECK(ecru_chan_len(with_room) <= 1); // what was refused was not sent
  free_objects();
  CHECK_EQ(ecru_stop(), 0);
  return refused;
}
static int refusals(int kind) {
  int count = 0;
  for (int i = 0; i < CALLS; i++) {
    bool refused = call_first(&calls[i], kind);
    if (!refused) fprintf(stderr, "can do without: %s\n", calls[i].name);
    count += refused;
  }
  return count;
}

// ---- what ends something cannot say that it did not -------------------------------------------------------------------

static ecru_timer *later;
static int unbound, called;
static void count_unbound(void *value_bound) {
  CHECK(value_bound == &value);
  unbound++;
  if (ecru_yield() < 0) unbound += 100; // as any call here it is refused, which does no harm
}
static void count_call(void *unused) {
  (void)unused;
  called++;
}
static void make_things_to_end(void *unused) {
  make_objects(unused);
  ecru_scoped_key_destroy(scoped_key);
  CHECK_EQ(ecru_scoped_key_create(&scoped_key, count_unbound), 0);
  CHECK_EQ(ecru_scoped_enter(scoped_key, &value), 0);
  CHECK_EQ(ecru_after_func(&later, 1000 * ECRU_SECOND, do_nothing, NULL), 0); // keeps the value
  CHECK_EQ(ecru_scoped_leave(scoped_key), 0);
}
static void *end_without(void *kind) {
  ecru_token *groups = ecru_group_token(group);
  ecru_registration *registration;
  CHECK_EQ(ecru_token_on_cancel(groups, count_call, NULL, &registration), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru__fault_set(*(int *)kind, 1, 1);
  ecru_tx_release(tx);
  ecru_rx_release(rx);
  ecru_group_destroy(group);
  ecru_timer_destroy(later);
  ecru__fault_set(*(int *)kind, 0, 0);
  CHECK_EQ(ecru_token_unregister(registration), 0); // it has run
  return NULL;
}
static void *end_in_new_thread(void *kind) {
  ecru__fault_set(*(int *)kind, 1, 1);
  ecru_tx_release(tx);
  ecru_rx_release(rx);
  ecru_group_destroy(group);
  ecru_timer_destroy(later);
  ecru__fault_set(*(int *)kind, 0, 0);
  return NULL;
}
static void releases_end_what_they_end(int kind, void *(*end)(void *), int calls_of_callback) {
  unbound = called = 0;
  CHECK_EQ(ecru_run(make_things_to_end, NULL), 0);
  CHECK_EQ(pthread_join(start_thread(end, &kind), NULL), 0);
  CHECK_EQ(unbound, 101);
  CHECK_EQ(called, calls_of_callback);
  CHECK_EQ(ecru_chan_recv(with_room, &value), ECRU_ECLOSED); // its last sender has gone
  CHECK_EQ(ecru_chan_send(holding, &value), ECRU_ECLOSED);   // its last receiver
  tx = NULL, rx = NULL, group = NULL;
  free_objects();
  CHECK_EQ(ecru_stop(), 0);
}
TEST(first_call, releases_need_no_memory) { // C8, T4, G12
  releases_end_what_they_end(ECRU__FAULT_ALLOC, end_in_new_thread, 0);
  releases_end_what_they_end(ECRU__FAULT_ALLOC, end_without, 1);
}
TEST(first_call, releases_need_no_threads) { // C8, T4, G12
  releases_end_what_they_end(ECRU__FAULT_THREAD, end_in_new_thread, 0);
  releases_end_what_they_end(ECRU__FAULT_THREAD, end_without, 1);
}

TEST(first_call, says_that_there_is_no_memory) { CHECK(refusals(ECRU__FAULT_ALLOC) >= CALLS - 2); }    // G1
TEST(first_call, says_that_there_are_no_threads) { CHECK(refusals(ECRU__FAULT_THREAD) >= CALLS - 5); } // G1
TEST(first_call, says_that_there_are_no_mappings) { CHECK(refusals(ECRU__FAULT_MAP) >= 10); }          // G1, G8
