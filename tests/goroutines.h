/// tests/goroutines.h: what the tests of the scheduler share: who runs where, goroutines held by two threads, and a table of
/// all calls that park.
#ifndef ECRU_TESTS_GOROUTINES_H
#define ECRU_TESTS_GOROUTINES_H
#include <ecru/ecru.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/// What the runner's stop would find: a runtime with these options that runs fn(NULL) and ends.
static inline void with_options(const ecru_options *options, ecru_fn fn) { CHECK_EQ(ecru_run_with(options, fn, NULL), 0); }
static inline void with_procs(int procs, ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  with_options(&options, fn);
}

static inline void go(ecru_fn fn, void *argument) { CHECK_EQ(ecru_go(fn, argument), 0); }
static inline void go_flagged(unsigned flags, ecru_fn fn, void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = flags;
  CHECK_EQ(ecru_go_with(&options, fn, argument), 0);
}

static inline ecru_chan *chan_of(size_t element_bytes, size_t capacity) {
  ecru_chan *chan = NULL;
  CHECK_EQ(ecru_chan_create(&chan, element_bytes, capacity), 0);
  return chan;
}
/// Elements of no bytes: something has ended or begun.
static inline ecru_chan *signals(void) { return chan_of(0, 1000); }
static inline void finish(void *chan) { CHECK_EQ(ecru_chan_send(chan, NULL), 0); }
static inline void await(ecru_chan *chan, long count) {
  for (long i = 0; i < count; i++) CHECK_EQ(ecru_chan_recv(chan, NULL), 0);
}

/// Lets others run until the condition holds; a hang is the runner's to report.
#define UNTIL(condition)   \
  do {                     \
    while (!(condition)) { \
      ecru_yield();        \
      sched_yield();       \
    }                      \
  } while (0)
/// Keeps its thread, calling nothing of ecru, until the condition holds.
#define SPIN_UNTIL(condition)                  \
  do {                                         \
    while (!(condition)) atomic_signal_fence(memory_order_seq_cst); \
  } while (0)

// Not inlined, and reached anew each time: compilers keep addresses of thread-locals over a call that changes the thread.
#if defined(__GNUC__) && !defined(__clang__)
#define NOT_INLINED __attribute__((noinline, noclone, noipa, unused))
#else
#define NOT_INLINED __attribute__((noinline, unused))
#endif
NOT_INLINED static long thread_here(void) { return test_thread_id(); }
NOT_INLINED static int errno_here(void) { return errno; }
NOT_INLINED static void set_errno_here(int value) { errno = value; }

static inline int64_t wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * ECRU_SECOND + now.tv_nsec;
}
/// Blocks the thread, as a library that knows nothing of ecru would.
static inline void block_thread_ms(int ms) {
  struct timespec nap = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&nap, &nap) != 0) CHECK_EQ(errno, EINTR);
}

static inline ecru_counters counters_now(void) {
  ecru_counters now = {.size = sizeof now};
  CHECK_EQ(ecru_get_counters(&now), 0);
  return now;
}

/// A foreign thread, joined without blocking goroutines.
static inline pthread_t start_thread(void *(*fn)(void *), void *argument) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, fn, argument), 0);
  return thread;
}
static inline void join_one_thread(void *thread) { CHECK_EQ(pthread_join(*(pthread_t *)thread, NULL), 0); }
static inline void join_thread(pthread_t thread) { CHECK_EQ(ecru_blocking(join_one_thread, &thread), 0); }

// ---- goroutines held by two threads -------------------------------------------------------------------------------

/// Two goroutines, each pinned to a thread of its own. What they wake goes on on their thread: so goroutines can be moved.
typedef struct holder {
  ecru_chan *requests; // of request
  long thread;
} holder;
typedef struct request {
  ecru_fn fn;
  void *argument;
} request;
static holder holders[2];
static ecru_chan *holders_ready;
static _Atomic int holders_apart, holder_holds;

static inline void hold_thread(void *unused) { // blocks its thread until the other holder has got another one
  (void)unused;
  atomic_store(&holder_holds, 1);
  SPIN_UNTIL(atomic_load(&holders_apart));
}
static inline void holder_main(void *argument) {
  holder *me = argument;
  CHECK_EQ(ecru_pin(), 0);
  me->thread = thread_here();
  finish(holders_ready);
  if (me == &holders[0]) CHECK_EQ(ecru_blocking(hold_thread, NULL), 0);
  for (request next; ecru_chan_recv(me->requests, &next) == 0;) {
    next.fn(next.argument);
    CHECK_EQ(thread_here(), me->thread);
  }
  CHECK_EQ(ecru_unpin(), 0);
  finish(holders_ready);
}
static inline void start_holders(void) {
  holders_ready = signals();
  atomic_store(&holders_apart, 0);
  atomic_store(&holder_holds, 0);
  for (int i = 0; i < 2; i++) {
    holders[i].requests = chan_of(sizeof(request), 100);
    go(holder_main, &holders[i]);
    await(holders_ready, 1);
    UNTIL(atomic_load(&holder_holds));
  }
  CHECK(holders[0].thread != holders[1].thread);
  atomic_store(&holders_apart, 1);
}
static inline void ask(int i, ecru_fn fn, void *argument) {
  request next = {fn, argument};
  CHECK_EQ(ecru_chan_send(holders[i].requests, &next), 0);
}
/// Has fn(argument) run on another thread than this one, as soon as the caller parks (or before, if there is another processor).
static inline void ask_elsewhere(ecru_fn fn, void *argument) { ask(thread_here() == holders[0].thread, fn, argument); }
static inline void end_holders(void) {
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_chan_close(holders[i].requests), 0);
  await(holders_ready, 2);
  for (int i = 0; i < 2; i++) ecru_chan_release(holders[i].requests);
  ecru_chan_release(holders_ready);
}

// ---- every call that parks ----------------------------------------------------------------------------------------

/// `park` waits for what `wake`, run by somebody else, makes happen. Both get the same channel of ints, mutex and so on.
typedef struct parking_call {
  const char *name;
  void (*park)(void);
  void (*wake)(void *unused);
} parking_call;

static struct {
  ecru_chan *plain, *full, *never;
  ecru_mutex *mutex, *cond_mutex;
  ecru_rwmutex *rwmutex;
  ecru_cond *cond;
  ecru_waitgroup *group;
  ecru_semaphore *semaphore;
  ecru_barrier *barrier;
  ecru_token *token;
  ecru_timer *timer;
  _Atomic int cond_set, holding;
} things;

static inline void make_things(void) {
  things.plain = chan_of(sizeof(int), 0);
  things.full = chan_of(sizeof(int), 1);
  things.never = chan_of(sizeof(int), 1);
  CHECK_EQ(ecru_mutex_create(&things.mutex), 0);
  CHECK_EQ(ecru_mutex_create(&things.cond_mutex), 0);
  CHECK_EQ(ecru_rwmutex_create(&things.rwmutex), 0);
  CHECK_EQ(ecru_cond_create(&things.cond), 0);
  CHECK_EQ(ecru_waitgroup_create(&things.group), 0);
  CHECK_EQ(ecru_semaphore_create(&things.semaphore, 1), 0);
  CHECK_EQ(ecru_barrier_create(&things.barrier, 2), 0);
}
static inline void drop_things(void) {
  ecru_chan_release(things.plain);
  ecru_chan_release(things.full);
  ecru_chan_release(things.never);
  ecru_mutex_destroy(things.mutex);
  ecru_mutex_destroy(things.cond_mutex);
  ecru_rwmutex_destroy(things.rwmutex);
  ecru_cond_destroy(things.cond);
  ecru_waitgroup_destroy(things.group);
  ecru_semaphore_destroy(things.semaphore);
  ecru_barrier_destroy(things.barrier);
}

static inline void park_yield(void) { CHECK_EQ(ecru_yield(), 0); }
static inline void wake_nobody(void *unused) { (void)unused; }
static inline void park_sleep(void) { CHECK_EQ(ecru_sleep(ECRU_MILLISECOND / 5), 0); }
static inline void park_sleep_until(void) { CHECK_EQ(ecru_sleep_until(ecru_after(ECRU_MILLISECOND / 5)), 0); }
static inline void park_recv(void) {
  int value = 0;
  CHECK_EQ(ecru_chan_recv(things.plain, &value), 0);
  CHECK_EQ(value, 42);
}
static inline void wake_recv(void *unused) {
  (void)unused;
  int value = 42;
  CHECK_EQ(ecru_chan_send(things.plain, &value), 0);
}
static inline void park_send(void) { wake_recv(NULL); }
static inline void wake_send(void *unused) {
  (void)unused;
  park_recv();
}
static inline void park_full(void) {
  int value = 42;
  CHECK_EQ(ecru_chan_send(things.full, &value), 0);
  CHECK_EQ(ecru_chan_send(things.full, &value), 0);
}
static inline void wake_full(void *unused) {
  (void)unused;
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_chan_recv(things.full, NULL), 0);
}
static inline void park_select(void) {
  int value = 0;
  ecru_case cases[] = {{ECRU_CASE_RECV, 0, things.never, NULL}, {ECRU_CASE_RECV, 0, things.plain, &value}};
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(value, 42);
}
static inline void park_select_until(void) {
  ecru_case one = {ECRU_CASE_RECV, 0, things.never, NULL};
  CHECK_EQ(ecru_select_until(&one, 1, 0, ecru_after(ECRU_MILLISECOND / 5)), ECRU_ETIMEDOUT);
}
/// The partner holds something, so that the caller has to wait; see hold_and_*.
static inline void await_holding(void) {
  UNTIL(atomic_load(&things.holding));
  atomic_store(&things.holding, 0);
}
static inline void hold(void) {
  atomic_store(&things.holding, 1);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_yield(), 0);
}
static inline void park_mutex(void) {
  await_holding();
  CHECK_EQ(ecru_mutex_lock(things.mutex), 0);
  CHECK_EQ(ecru_mutex_unlock(things.mutex), 0);
}
static inline void wake_mutex(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_lock(things.mutex), 0);
  hold();
  CHECK_EQ(ecru_mutex_unlock(things.mutex), 0);
}
static inline void park_read_lock(void) {
  await_holding();
  CHECK_EQ(ecru_rwmutex_read_lock(things.rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_read_unlock(things.rwmutex), 0);
}
static inline void park_write_lock(void) {
  await_holding();
  CHECK_EQ(ecru_rwmutex_lock(things.rwmutex), 0);
  CHECK_EQ(ecru_rwmutex_unlock(things.rwmutex), 0);
}
static inline void wake_rwmutex(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_rwmutex_lock(things.rwmutex), 0);
  hold();
  CHECK_EQ(ecru_rwmutex_unlock(things.rwmutex), 0);
}
static inline void park_cond(void) {
  CHECK_EQ(ecru_mutex_lock(things.cond_mutex), 0);
  while (!atomic_load(&things.cond_set)) CHECK_EQ(ecru_cond_wait(things.cond, things.cond_mutex), 0);
  atomic_store(&things.cond_set, 0);
  CHECK_EQ(ecru_mutex_unlock(things.cond_mutex), 0);
}
static inline void wake_cond(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_mutex_lock(things.cond_mutex), 0);
  atomic_store(&things.cond_set, 1);
  CHECK_EQ(ecru_cond_signal(things.cond), 0);
  CHECK_EQ(ecru_mutex_unlock(things.cond_mutex), 0);
}
static inline void park_waitgroup(void) {
  await_holding();
  CHECK_EQ(ecru_waitgroup_wait(things.group), 0);
}
static inline void wake_waitgroup(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_add(things.group, 1), 0);
  hold();
  CHECK_EQ(ecru_waitgroup_done(things.group), 0);
}
static inline void park_semaphore(void) {
  await_holding();
  CHECK_EQ(ecru_semaphore_acquire(things.semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_release(things.semaphore, 1), 0);
}
static inline void wake_semaphore(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_semaphore_acquire(things.semaphore, 1), 0);
  hold();
  CHECK_EQ(ecru_semaphore_release(things.semaphore, 1), 0);
}
static inline void park_barrier(void) { CHECK(ecru_barrier_wait(things.barrier) >= 0); }
static inline void wake_barrier(void *unused) {
  (void)unused;
  park_barrier();
}
static inline int idle_task(void *unused, void **result) {
  (void)unused;
  (void)result;
  int status = ecru_yield();
  return status != 0 ? status : ecru_sleep(ECRU_MILLISECOND / 5);
}
static inline void park_join(void) {
  ecru_task *task = NULL;
  int status = -1;
  CHECK_EQ(ecru_spawn(&task, idle_task, NULL), 0);
  CHECK_EQ(ecru_task_join(task, &status, NULL), 0);
  CHECK_EQ(status, 0);
  ecru_task_release(task);
}
static inline void park_group(void) {
  ecru_group *group = NULL;
  CHECK_EQ(ecru_group_create(&group, 1, 0), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_group_go(group, idle_task, NULL), 0); // the second waits for the first
  CHECK_EQ(ecru_group_wait(group), 0);
  ecru_group_destroy(group);
}
static inline void park_timer(void) {
  ecru_timer *timer = NULL;
  CHECK_EQ(ecru_timer_create(&timer, ECRU_MILLISECOND / 5), 0);
  CHECK_EQ(ecru_timer_wait(timer, NULL), 0);
  ecru_timer_destroy(timer);
}
static inline void park_token(void) {
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ecru_after(ECRU_MILLISECOND / 5)), 0);
  CHECK_EQ(ecru_token_wait(token), 0);
  ecru_token_release(token);
}
static inline void cancel_wait(void *unused) {
  (void)unused;
  UNTIL(atomic_load(&things.holding));
  ecru_token *token = things.token; // the next one may be there before this one is released
  atomic_store(&things.holding, 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_token_release(token);
}
static inline void park_until_canceled(void) {
  CHECK_EQ(ecru_token_create(&things.token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(things.token), 0);
  atomic_store(&things.holding, 1);
  CHECK_EQ(ecru_chan_recv(things.plain, NULL), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
}
static inline void once_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_yield(), 0);
}
static inline void park_once(void) {
  ecru_once *once = NULL;
  CHECK_EQ(ecru_once_create(&once), 0);
  CHECK_EQ(ecru_once_do(once, once_body, NULL), 0);
  ecru_once_destroy(once);
}
static inline void park_singleflight(void) {
  ecru_singleflight *flight = NULL;
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  CHECK_EQ(ecru_singleflight_do(flight, "key", idle_task, NULL, NULL, NULL), 0);
  ecru_singleflight_destroy(flight);
}
static inline void park_limiter(void) {
  ecru_limiter *limiter = NULL;
  CHECK_EQ(ecru_limiter_create(&limiter, 5000, 1), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_limiter_wait(limiter, 1), 0);
  ecru_limiter_destroy(limiter);
}
static inline int park_item(void *unused, size_t index) {
  (void)unused;
  (void)index;
  return ecru_yield();
}
static inline void park_parallel(void) { CHECK_EQ(ecru_parallel_for(4, 2, park_item, NULL), 0); }
static inline void park_blocking(void) {
  CHECK_EQ(ecru_blocking_enter(), 0);
  for (int i = 0; i < 20; i++) sched_yield();
  CHECK_EQ(ecru_blocking_exit(), 0);
}
static inline void recv_there(void *unused) {
  (void)unused;
  park_recv();
}
static inline void park_on_thread_stack(void) { CHECK_EQ(ecru_on_thread_stack(recv_there, NULL), 0); }

static const parking_call parking_calls[] = {
    {"yield", park_yield, wake_nobody},
    {"sleep", park_sleep, wake_nobody},
    {"sleep_until", park_sleep_until, wake_nobody},
    {"chan_recv", park_recv, wake_recv},
    {"chan_send", park_send, wake_send},
    {"chan_send to a full one", park_full, wake_full},
    {"select", park_select, wake_recv},
    {"select_until", park_select_until, wake_nobody},
    {"mutex_lock", park_mutex, wake_mutex},
    {"rwmutex_read_lock", park_read_lock, wake_rwmutex},
    {"rwmutex_lock", park_write_lock, wake_rwmutex},
    {"cond_wait", park_cond, wake_cond},
    {"waitgroup_wait", park_waitgroup, wake_waitgroup},
    {"semaphore_acquire", park_semaphore, wake_semaphore},
    {"barrier_wait", park_barrier, wake_barrier},
    {"task_join", park_join, wake_nobody},
    {"group_go, group_wait", park_group, wake_nobody},
    {"timer_wait", park_timer, wake_nobody},
    {"token_wait", park_token, wake_nobody},
    {"a wait that is canceled", park_until_canceled, cancel_wait},
    {"once_do", park_once, wake_nobody},
    {"singleflight_do", park_singleflight, wake_nobody},
    {"limiter_wait", park_limiter, wake_nobody},
    {"parallel_for", park_parallel, wake_nobody},
    {"blocking", park_blocking, wake_nobody},
    {"on_thread_stack", park_on_thread_stack, wake_recv},
};
enum { PARKING_CALLS = sizeof parking_calls / sizeof parking_calls[0] };

/// Has a holder on another thread wake us once we have parked. returns: whether we are pinned until then: preempted after we have asked, we might go on
/// on the thread of the holder asked, which that could not use while we park on its stack.
static inline bool ask_for(const parking_call *call) {
  bool stays = call->park == park_on_thread_stack;
  if (stays) CHECK_EQ(ecru_pin(), 0);
  ask_elsewhere(call->wake, NULL);
  return stays;
}
#endif
