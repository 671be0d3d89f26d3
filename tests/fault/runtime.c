/// tests/fault/runtime.c: the whole public interface while allocations, mappings, guards and thread starts fail, one after the other
/// and all from one on: every call says so with its code and has no effect, and the runtime stops cleanly.
#include <fcntl.h>

#include "goroutines.h"
#include "platform/fault.h"

static _Atomic long refused, live;

/// Whether a call has done what it was to do; if not, it must say one of what may be missing here.
static bool had(int status) {
  if (status >= 0) return true;
  if (status != ECRU_ENOMEM && status != ECRU_ETHREADS) FAIL("a call that lacked memory said %s", ecru_status_name(status));
  atomic_fetch_add(&refused, 1);
  return false;
}

// ---- every part of the interface ----------------------------------------------------------------------------------

static void end_it(void *unused) {
  (void)unused;
  atomic_fetch_sub(&live, 1);
}
static void yield_and_end(void *unused) {
  (void)had(ecru_yield());
  (void)had(ecru_sleep(1));
  end_it(unused);
}
static void count_in(int status) {
  if (!had(status)) atomic_fetch_sub(&live, 1);
}
static void await_live(void) { UNTIL(atomic_load(&live) == 0); }

static void use_goroutines(void) {
  static const size_t stacks[] = {0, 16 << 10, 64 << 10, 200 << 10, 1 << 20, 64 << 20};
  static const unsigned flags[] = {0, ECRU_PINNED, ECRU_OWN_THREAD};
  char copy[1000] = {0};
  for (int i = 0; i < 40; i++) {
    atomic_fetch_add(&live, 1);
    count_in(ecru_go(i % 2 ? end_it : yield_and_end, NULL));
  }
  for (int i = 0; i < 18; i++) {
    ecru_go_options options = ECRU_GO_OPTIONS;
    options.stack_bytes = stacks[i % 6];
    options.flags = flags[i / 6];
    options.name = i % 2 ? "named" : NULL;
    atomic_fetch_add(&live, 1);
    count_in(i % 3 ? ecru_go_with(&options, yield_and_end, NULL) : ecru_go_copy(&options, end_it, copy, sizeof copy));
  }
  await_live();
}
static void do_nothing(void *unused) { (void)unused; }
static void use_threads(void) {
  (void)had(ecru_set_maxprocs(3));
  use_goroutines();
  (void)had(ecru_set_maxprocs(1));
  (void)had(ecru_set_maxprocs(4));
  CHECK_EQ(ecru_blocking(do_nothing, NULL), 0);
  CHECK_EQ(ecru_blocking_enter(), 0);
  usleep(100);
  CHECK_EQ(ecru_blocking_exit(), 0);
  CHECK_EQ(ecru_on_thread_stack(do_nothing, NULL), 0);
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_unpin(), 0);
}

static void use_chans(void) {
  ecru_chan *bounded = NULL, *unbounded = NULL;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  options.name = "unbounded";
  long value = 1, sum = 0, sent = 0;
  if (had(ecru_chan_create(&bounded, sizeof value, 3))) {
    for (int i = 0; i < 3; i++) CHECK_EQ(ecru_chan_send(bounded, &value), 0);
    CHECK_EQ(ecru_chan_try_send(bounded, &value), ECRU_EAGAIN);
    ecru_case cases[40];
    for (int i = 0; i < 40; i++) cases[i] = (ecru_case){ECRU_CASE_RECV, 0, bounded, NULL};
    (void)had(ecru_select(cases, 40, 0));
    (void)had(ecru_select(cases, 3, 0));
    int status = ecru_select_until(cases, 0, 0, ecru_after(1));
    if (status != ECRU_ETIMEDOUT) CHECK(!had(status));
    ecru_tx *tx = NULL;
    ecru_rx *rx = NULL;
    (void)had(ecru_tx_open(&tx, bounded));
    (void)had(ecru_rx_open(&rx, bounded));
    ecru_tx_release(tx);
    ecru_rx_release(rx);
  }
  if (had(ecru_chan_create_with(&unbounded, sizeof value, 0, &options))) {
    for (int i = 0; i < 100; i++) sent += had(ecru_chan_send(unbounded, &value));
    CHECK_EQ(ecru_chan_close(unbounded), 0);
    while (ecru_chan_recv(unbounded, &value) == 0) sum += value;
    CHECK_EQ(sum, sent);
  }
  ecru_chan_release(bounded);
  ecru_chan_release(unbounded);
}

static void use_tokens(void) {
  ecru_token *token = NULL, *linked = NULL, *free_one = NULL;
  ecru_registration *registration = NULL;
  if (!had(ecru_token_create(&token, NULL, ECRU_FOREVER))) return;
  ecru_token *parents[2] = {token, ecru_token_root()};
  (void)had(ecru_token_create_linked(&linked, parents, 2, ecru_after(ECRU_SECOND)));
  (void)had(ecru_token_without_cancel(&free_one, token));
  if (had(ecru_token_enter(token))) CHECK_EQ(ecru_token_leave(), 0);
  if (had(ecru_shield_enter(ecru_after(ECRU_SECOND)))) CHECK_EQ(ecru_token_leave(), 0);
  if (had(ecru_deadline_enter(ecru_after(1)))) {
    int status = ecru_sleep(100 * ECRU_SECOND);
    if (status != ECRU_ETIMEDOUT) CHECK(!had(status));
    CHECK_EQ(ecru_token_leave(), 0);
  }
  (void)had(ecru_token_reset(token, ecru_after(ECRU_SECOND)));
  if (had(ecru_token_on_cancel(token, do_nothing, NULL, &registration))) CHECK_EQ(ecru_token_unregister(registration), 1);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK(!linked || ecru_token_err(linked) == ECRU_ECANCELED);
  CHECK(!free_one || ecru_token_err(free_one) == 0);
  ecru_token_release(token);
  ecru_token_release(linked);
  ecru_token_release(free_one);
}

static void use_time(void) {
  ecru_timer *timer = NULL;
  ecru_clock *clock = NULL;
  (void)had(ecru_sleep(1000));
  if (had(ecru_timer_create(&timer, 1000))) {
    (void)had(ecru_timer_wait(timer, NULL));
    if (had(ecru_timer_reset(timer, 1000))) (void)had(ecru_timer_wait(timer, NULL));
    CHECK(ecru_timer_stop(timer) >= 0);
    ecru_timer_destroy(timer);
  }
  if (had(ecru_ticker_create(&timer, 1000))) {
    for (int i = 0; i < 3; i++) (void)had(ecru_timer_wait(timer, NULL));
    ecru_timer_destroy(timer);
  }
  if (had(ecru_clock_virtual_create(&clock, 1))) ecru_clock_destroy(clock);
}

static int succeed(void *unused, void **result) {
  *result = unused;
  return ecru_yield();
}
static int each(void *count, size_t index, int status, void *result) {
  (void)index;
  (void)result;
  (void)had(status);
  ++*(int *)count;
  return 0;
}
static void use_tasks(void) {
  enum { TASKS = 20 };
  ecru_task *tasks[TASKS];
  int statuses[TASKS];
  size_t count = 0;
  for (int i = 0; i < TASKS; i++)
    if (had(ecru_spawn(&tasks[count], i % 2 ? succeed : idle_task, NULL))) count++;
  int called = 0;
  if (had(ecru_join_each(tasks, count, each, &called))) CHECK_EQ(called, count);
  if (count > 0) (void)had(ecru_join_any(tasks, count, NULL));
  int status = ecru_join_all(tasks, count, statuses, NULL);
  if (status != ECRU_ECANCELED) (void)had(status); // those that join_any has cancelled
  for (size_t i = 0; i < count; i++) ecru_task_release(tasks[i]);
}

static int do_item(void *unused, size_t index) {
  (void)unused;
  (void)index;
  return ecru_yield();
}
static int work(void *done_items, void *item) {
  (void)item;
  atomic_fetch_add((_Atomic int *)done_items, 1);
  return 0;
}
static void use_groups(void) {
  ecru_group *group = NULL;
  if (had(ecru_group_create(&group, 2, ECRU_GROUP_SUPERVISOR))) {
    for (int i = 0; i < 5; i++) (void)had(ecru_group_go(group, succeed, NULL));
    int status = ecru_group_try_go(group, succeed, NULL);
    if (status != ECRU_EAGAIN) (void)had(status);
    (void)had(ecru_group_wait(group));
    ecru_group_destroy(group);
  }
  (void)had(ecru_parallel_for(10, 3, do_item, NULL));
  ecru_pool *pool = NULL;
  _Atomic int items = 0;
  if (had(ecru_pool_create(&pool, 3, 4, work, (void *)&items))) {
    for (int i = 0; i < 10; i++) CHECK_EQ(ecru_pool_submit(pool, NULL), 0);
    CHECK_EQ(ecru_pool_wait(pool), 0);
    CHECK_EQ(atomic_load(&items), 10);
    ecru_pool_destroy(pool);
  }
}

static void use_sync(void) {
  ecru_mutex *mutex = NULL;
  ecru_rwmutex *rwmutex = NULL;
  ecru_cond *cond = NULL;
  ecru_waitgroup *group = NULL;
  ecru_once *once = NULL;
  ecru_semaphore *semaphore = NULL;
  ecru_barrier *barrier = NULL;
  ecru_singleflight *flight = NULL;
  ecru_limiter *limiter = NULL;
  if (had(ecru_mutex_create(&mutex))) {
    CHECK_EQ(ecru_mutex_lock(mutex), 0);
    CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  }
  if (had(ecru_rwmutex_create(&rwmutex))) {
    CHECK_EQ(ecru_rwmutex_read_lock(rwmutex), 0);
    CHECK_EQ(ecru_rwmutex_read_unlock(rwmutex), 0);
  }
  if (had(ecru_cond_create(&cond))) CHECK_EQ(ecru_cond_broadcast(cond), 0);
  if (had(ecru_waitgroup_create(&group))) {
    for (int i = 0; i < 5; i++) (void)had(ecru_waitgroup_go(group, do_nothing, NULL));
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
  }
  if (had(ecru_once_create(&once))) CHECK_EQ(ecru_once_do(once, do_nothing, NULL), 0);
  if (had(ecru_semaphore_create(&semaphore, 2))) CHECK_EQ(ecru_semaphore_acquire(semaphore, 2), 0);
  if (had(ecru_barrier_create(&barrier, 1))) CHECK_EQ(ecru_barrier_wait(barrier), 1);
  if (had(ecru_singleflight_create(&flight))) (void)had(ecru_singleflight_do(flight, "key", succeed, NULL, NULL, NULL));
  if (had(ecru_limiter_create(&limiter, 10000, 1)))
    for (int i = 0; i < 2; i++) (void)had(ecru_limiter_wait(limiter, 1));
  ecru_mutex_destroy(mutex);
  ecru_rwmutex_destroy(rwmutex);
  ecru_cond_destroy(cond);
  ecru_waitgroup_destroy(group);
  ecru_once_destroy(once);
  ecru_semaphore_destroy(semaphore);
  ecru_barrier_destroy(barrier);
  ecru_singleflight_destroy(flight);
  ecru_limiter_destroy(limiter);
}

static _Atomic long bound, unbound;
static void count_unbound(void *unused) {
  (void)unused;
  atomic_fetch_add(&unbound, 1);
}
static void use_locals(void) {
  ecru_local_key *key = NULL;
  ecru_scoped_key *scoped = NULL;
  if (had(ecru_local_key_create(&key, NULL))) {
    (void)had(ecru_local_set(key, &key));
    ecru_local_key_destroy(key);
  }
  if (!had(ecru_scoped_key_create(&scoped, count_unbound))) return;
  if (had(ecru_scoped_enter(scoped, &scoped))) {
    atomic_fetch_add(&bound, 1);
    for (int i = 0; i < 3; i++) {
      atomic_fetch_add(&live, 1);
      count_in(ecru_go(yield_and_end, NULL));
    }
    ecru_go_options options = ECRU_GO_OPTIONS;
    options.flags = ECRU_OWN_THREAD;
    atomic_fetch_add(&live, 1);
    count_in(ecru_go_with(&options, end_it, NULL));
    CHECK_EQ(ecru_scoped_leave(scoped), 0);
  }
  await_live();
  UNTIL(counters_now().goroutines == (uint64_t)ecru_in_goroutine()); // the last of them calls the release
  CHECK_EQ(atomic_load(&unbound), atomic_load(&bound));
  ecru_scoped_key_destroy(scoped);
}

/// What was written to one end is read from the other, once directly and once through buffers.
static void use_connection(ecru_io *from, ecru_io *to) {
  char text[16] = "";
  size_t written = 0;
  if (had((int)ecru_io_write(to, "hello\n", 6, &written))) CHECK_EQ(written, 6);
  if (written == 6 && had((int)ecru_io_read(from, text, sizeof text))) CHECK_STR(text, "hello\n");
  ecru_writer *writer = NULL;
  ecru_reader *reader = NULL;
  const char *line = "";
  size_t length = 0;
  if (written == 6 && had(ecru_writer_create(&writer, to, 100)) && had(ecru_reader_create(&reader, from, 100)) &&
      had((int)ecru_writer_write(writer, "again\n", 6)) && had(ecru_writer_flush(writer)) && had(ecru_reader_line(reader, &line, &length)))
    CHECK(strncmp(line, "again", 5) == 0);
  ecru_writer_destroy(writer);
  ecru_reader_destroy(reader);
  if (had(ecru_io_set_deadline(from, ECRU_IO_READ, ecru_after(1)))) {
    int64_t status = ecru_io_read(from, text, sizeof text);
    if (status < 0 && status != ECRU_ETIMEDOUT) (void)had((int)status);
  }
  ecru_case cases[] = {{ECRU_CASE_WRITE, 0, to, NULL}};
  (void)had(ecru_select(cases, 1, 0));
  CHECK_EQ(ecru_io_close(to), 0);
}
static void use_io(void) {
  ecru_io *from = NULL, *to = NULL, *listener = NULL;
  if (had(ecru_pipe(&from, &to))) use_connection(from, to);
  ecru_io_release(from);
  ecru_io_release(to);
  from = to = NULL;
  if (had(ecru_io_pair(&from, &to))) use_connection(from, to);
  ecru_io_release(from);
  ecru_io_release(to);
  from = to = NULL;
  ecru_address here;
  if (had(ecru_listen(&listener, "tcp", "127.0.0.1:0"))) {
    CHECK_EQ(ecru_io_local(listener, &here), 0);
    if (had(ecru_dial_address(&to, "tcp", &here)) && had(ecru_accept(listener, &from, NULL))) use_connection(from, to);
  }
  ecru_io_release(from);
  ecru_io_release(to);
  ecru_io_release(listener);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  (void)had(ecru_wait_fd(ends[1], ECRU_IO_WRITE));
  CHECK_EQ(close(ends[0]) + close(ends[1]), 0);
}

static void use_diagnostics(void) {
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ecru_counters counters = ECRU_COUNTERS;
  CHECK_EQ(ecru_get_counters(&counters), 0);
  (void)had(ecru_dump(nowhere, ECRU_DUMP_TEXT));
  (void)had(ecru_dump(nowhere, ECRU_DUMP_JSON));
  close(nowhere);
}

static void use_everything(void *unused) {
  (void)unused;
  use_goroutines();
  use_chans();
  use_tokens();
  use_time();
  use_tasks();
  use_groups();
  use_sync();
  use_locals();
  use_io();
  use_diagnostics();
  use_threads();
}
static void *use_everything_in_thread(void *unused) {
  if (had(ecru_yield())) use_everything(unused);
  return NULL;
}

static void say_nothing(void *context, uint64_t id, const char *name, int status) {
  (void)context;
  (void)id;
  (void)name;
  CHECK(!had(status));
}

// ---- walks --------------------------------------------------------------------------------------------------------

static void in_goroutine(void) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 2;
  options.idle_thread_ns = ECRU_MILLISECOND;
  int status = ecru_run_with(&options, use_everything, NULL);
  if (!had(status)) CHECK_EQ(ecru_stop(), 0);
}
static void in_thread(void) { // the runtime starts implicitly, in whatever call is the first
  CHECK_EQ(pthread_join(start_thread(use_everything_in_thread, NULL), NULL), 0);
  CHECK_EQ(ecru_stop(), 0);
}

/// Runs it with the n-th call of this kind failing, n growing by `step` until none does.
static void walk(int kind, void (*run)(void), int repeat, uint64_t step) {
  CHECK_EQ(ecru_set_unobserved_hook(say_nothing, NULL), 0);
  uint64_t nth = 1, calls;
  int descriptors = test_open_fds();
  for (;; nth += step) {
    atomic_store(&refused, 0);
    ecru__fault_set(kind, nth, repeat);
    run();
    calls = ecru__fault_count(kind);
    ecru__fault_set(kind, 0, 0);
    CHECK_EQ(atomic_load(&live), 0);
    CHECK_EQ(test_open_fds(), descriptors);
    if (calls < nth) break;
  }
  CHECK_EQ(atomic_load(&refused), 0); // when nothing failed nothing was refused
  CHECK(nth > step);
}

TEST(fault_runtime, each_allocation_may_fail) { walk(ECRU__FAULT_ALLOC, in_goroutine, 0, 1); } // G1, G13
TEST(fault_runtime, all_allocations_from_one_on_may_fail) { walk(ECRU__FAULT_ALLOC, in_goroutine, 1, 3); } // G1, G13
TEST(fault_runtime, each_allocation_of_a_thread_may_fail) { walk(ECRU__FAULT_ALLOC, in_thread, 0, 1); } // G1, G10, G13
TEST(fault_runtime, all_allocations_of_a_thread_from_one_on_may_fail) { walk(ECRU__FAULT_ALLOC, in_thread, 1, 3); } // G1, G10, G13
TEST(fault_runtime, each_mapping_may_fail) { walk(ECRU__FAULT_MAP, in_goroutine, 0, 1); } // G8, G13
TEST(fault_runtime, all_mappings_from_one_on_may_fail) { walk(ECRU__FAULT_MAP, in_goroutine, 1, 1); } // G8, G13
TEST(fault_runtime, guards_may_fail) { walk(ECRU__FAULT_GUARD, in_goroutine, 0, 7); } // G8, G13
TEST(fault_runtime, all_guards_from_one_on_may_fail) { walk(ECRU__FAULT_GUARD, in_goroutine, 1, 13); } // G8, G13
TEST(fault_runtime, each_thread_start_may_fail) { walk(ECRU__FAULT_THREAD, in_goroutine, 0, 1); } // G3, G13
TEST(fault_runtime, all_thread_starts_from_one_on_may_fail) { walk(ECRU__FAULT_THREAD, in_goroutine, 1, 1); } // G3, G13
TEST(fault_runtime, each_thread_start_for_a_thread_may_fail) { walk(ECRU__FAULT_THREAD, in_thread, 0, 1); } // G3, G10, G13
