/// tests/death/handles.c: what is done with a handle after its end ends the process, with function, object and goroutine
/// (L2, C1, T1, K1): no hang, no silence. One line for each public function that takes a handle. Builds with ECRU_CHECK_HANDLES.
#include <ecru/ecru.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

static void need_checks(void) {
#ifndef ECRU_CHECK_HANDLES
  SKIP("built without ECRU_CHECK_HANDLES");
#endif
}

// ---- each kind: one that has ended --------------------------------------------------------------------------------

static int element;
static ecru_chan *chan;
static ecru_tx *tx;
static ecru_rx *rx;
static ecru_token *token, *other;
static ecru_registration *registration;
static ecru_task *task;
static ecru_group *group;
static ecru_pool *pool;
static ecru_timer *timer;
static ecru_clock *virtual_clock;
static ecru_mutex *mutex;
static ecru_rwmutex *rwmutex;
static ecru_cond *cond;
static ecru_waitgroup *waitgroup;
static ecru_once *once;
static ecru_semaphore *semaphore;
static ecru_barrier *barrier;
static ecru_singleflight *flight;
static ecru_limiter *limiter;
static ecru_local_key *local;
static ecru_scoped_key *scoped;
static ecru_io *io;
static ecru_reader *reader;
static ecru_writer *writer;

static void nothing(void *unused) { (void)unused; }
static int no_task(void *unused, void **result) {
  (void)unused, (void)result;
  return 0;
}
static int long_task(void *unused, void **result) {
  (void)unused, (void)result;
  return ecru_sleep(ECRU_FOREVER);
}
static int no_work(void *unused, void *item) {
  (void)unused, (void)item;
  return 0;
}
static int each(void *unused, size_t index, int status, void *result) {
  (void)unused, (void)index, (void)result;
  return status;
}

static void end_chan(void) {
  CHECK_EQ(ecru_chan_create(&chan, sizeof element, 4), 0);
  ecru_chan_release(ecru_chan_retain(chan));
  ecru_chan_release(chan);
}
static void end_io(void) {
  ecru_io *far;
  CHECK_EQ(ecru_io_pair(&io, &far), 0);
  ecru_io_release(io);
  ecru_io_release(far);
}
static void end_reader(void) {
  ecru_io *far;
  CHECK_EQ(ecru_pipe(&io, &far), 0);
  CHECK_EQ(ecru_reader_create(&reader, io, 0), 0);
  CHECK_EQ(ecru_writer_create(&writer, far, 0), 0);
  ecru_reader_destroy(reader);
  ecru_writer_destroy(writer);
  ecru_io_release(io);
  ecru_io_release(far);
}
static void end_unbounded_chan(void) {
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof element, 4, &options), 0);
  ecru_chan_release(chan);
}
static void end_tx(void) {
  CHECK_EQ(ecru_chan_create(&chan, sizeof element, 4), 0);
  CHECK_EQ(ecru_tx_open(&tx, chan), 0);
  ecru_tx_release(tx);
}
static void end_rx(void) {
  CHECK_EQ(ecru_chan_create(&chan, sizeof element, 4), 0);
  CHECK_EQ(ecru_rx_open(&rx, chan), 0);
  ecru_rx_release(rx);
}
static void end_token(void) {
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  ecru_token_release(token);
}
static void end_token_of_task(void) { // it lies in the task's block
  CHECK_EQ(ecru_spawn(&task, no_task, NULL), 0);
  token = ecru_token_retain(ecru_task_token(task));
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  ecru_task_release(task);
  ecru_token_release(token);
}
static void end_registration(void) {
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_on_cancel(token, nothing, NULL, &registration), 0);
  CHECK_EQ(ecru_token_unregister(registration), 1);
}
static void end_task(void) {
  CHECK_EQ(ecru_spawn(&task, no_task, NULL), 0);
  CHECK_EQ(ecru_task_join(task, NULL, NULL), 0);
  ecru_task_release(task);
}
static void end_running_task(void) { // the handle has ended, the goroutine has not
  CHECK_EQ(ecru_spawn(&task, long_task, NULL), 0);
  ecru_task_release(task);
}
static void end_group(void) {
  CHECK_EQ(ecru_group_create(&group, 0, 0), 0);
  ecru_group_destroy(group);
}
static void end_pool(void) {
  CHECK_EQ(ecru_pool_create(&pool, 1, 1, no_work, NULL), 0);
  ecru_pool_destroy(pool);
}
static void end_timer(void) {
  CHECK_EQ(ecru_timer_create(&timer, 1000 * ECRU_SECOND), 0);
  ecru_timer_destroy(timer);
}
static void end_virtual_clock(void) {
  CHECK_EQ(ecru_clock_virtual_create(&virtual_clock, 1), 0);
  ecru_clock_destroy(virtual_clock);
}
static void end_mutex(void) {
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  ecru_mutex_destroy(mutex);
}
static void end_mutex_of_cond(void) {
  CHECK_EQ(ecru_cond_create(&cond), 0);
  end_mutex();
}
static void end_rwmutex(void) {
  CHECK_EQ(ecru_rwmutex_create(&rwmutex), 0);
  ecru_rwmutex_destroy(rwmutex);
}
static void end_cond(void) {
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  ecru_cond_destroy(cond);
}
static void end_waitgroup(void) {
  CHECK_EQ(ecru_waitgroup_create(&waitgroup), 0);
  ecru_waitgroup_destroy(waitgroup);
}
static void end_once(void) {
  CHECK_EQ(ecru_once_create(&once), 0);
  ecru_once_destroy(once);
}
static void end_semaphore(void) {
  CHECK_EQ(ecru_semaphore_create(&semaphore, 2), 0);
  ecru_semaphore_destroy(semaphore);
}
static void end_barrier(void) {
  CHECK_EQ(ecru_barrier_create(&barrier, 2), 0);
  ecru_barrier_destroy(barrier);
}
static void end_flight(void) {
  CHECK_EQ(ecru_singleflight_create(&flight), 0);
  ecru_singleflight_destroy(flight);
}
static void end_limiter(void) {
  CHECK_EQ(ecru_limiter_create(&limiter, 1000, 1), 0);
  ecru_limiter_destroy(limiter);
}
static void end_local(void) {
  CHECK_EQ(ecru_local_key_create(&local, NULL), 0);
  ecru_local_key_destroy(local);
}
static void end_scoped(void) {
  CHECK_EQ(ecru_scoped_key_create(&scoped, NULL), 0);
  ecru_scoped_key_destroy(scoped);
}

static void select_one(uint32_t kind, void *object) {
  ecru_case one = {.kind = kind, .object = object, .value = kind == ECRU_CASE_TIMER ? NULL : &element};
  ecru_select(&one, 1, 0);
}
static void spawn_under(ecru_token *parent) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = parent;
  ecru_spawn_with(&task, &options, no_task, NULL);
}
static void go_under(ecru_token *parent) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = parent;
  ecru_go_with(&options, nothing, NULL);
}

// ---- every function that takes one --------------------------------------------------------------------------------

/// X(how the handle was ended, the function that must say so, the call)
#define CHANNEL_CALLS(X)                                                        \
  X(end_chan, ecru_chan_release, ecru_chan_release(chan))                       \
  X(end_unbounded_chan, ecru_chan_release, ecru_chan_release(chan))             \
  X(end_unbounded_chan, ecru_chan_send, ecru_chan_send(chan, &element))         \
  X(end_chan, ecru_chan_retain, ecru_chan_retain(chan))                         \
  X(end_chan, ecru_chan_send, ecru_chan_send(chan, &element))                   \
  X(end_chan, ecru_chan_recv, ecru_chan_recv(chan, &element))                   \
  X(end_chan, ecru_chan_try_send, ecru_chan_try_send(chan, &element))           \
  X(end_chan, ecru_chan_try_recv, ecru_chan_try_recv(chan, &element))           \
  X(end_chan, ecru_chan_close, ecru_chan_close(chan))                           \
  X(end_chan, ecru_chan_close_with, ecru_chan_close_with(chan, ECRU_EPIPE))     \
  X(end_chan, ecru_chan_len, ecru_chan_len(chan))                               \
  X(end_chan, ecru_chan_cap, ecru_chan_cap(chan))                               \
  X(end_chan, ecru_chan_element_bytes, ecru_chan_element_bytes(chan))           \
  X(end_chan, ecru_chan_is_closed, ecru_chan_is_closed(chan))                   \
  X(end_chan, ecru_tx_open, ecru_tx_open(&tx, chan))                            \
  X(end_chan, ecru_rx_open, ecru_rx_open(&rx, chan))                            \
  X(end_chan, ecru_select, select_one(ECRU_CASE_SEND, chan))                    \
  X(end_chan, ecru_select, select_one(ECRU_CASE_RECV, chan))                    \
  X(end_tx, ecru_tx_release, ecru_tx_release(tx))                               \
  X(end_tx, ecru_tx_retain, ecru_tx_retain(tx))                                 \
  X(end_tx, ecru_tx_send, ecru_tx_send(tx, &element))                           \
  X(end_tx, ecru_tx_try_send, ecru_tx_try_send(tx, &element))                   \
  X(end_tx, ecru_tx_chan, ecru_tx_chan(tx))                                     \
  X(end_rx, ecru_rx_release, ecru_rx_release(rx))                               \
  X(end_rx, ecru_rx_retain, ecru_rx_retain(rx))                                 \
  X(end_rx, ecru_rx_recv, ecru_rx_recv(rx, &element))                           \
  X(end_rx, ecru_rx_try_recv, ecru_rx_try_recv(rx, &element))                   \
  X(end_rx, ecru_rx_chan, ecru_rx_chan(rx))
#define TOKEN_CALLS(X)                                                                              \
  X(end_token, ecru_token_release, ecru_token_release(token))                                       \
  X(end_token_of_task, ecru_token_release, ecru_token_release(token))                               \
  X(end_token, ecru_token_retain, ecru_token_retain(token))                                         \
  X(end_token, ecru_token_create, ecru_token_create(&other, token, ECRU_FOREVER))                   \
  X(end_token, ecru_token_create_linked, ecru_token_create_linked(&other, &token, 1, ECRU_FOREVER)) \
  X(end_token, ecru_token_without_cancel, ecru_token_without_cancel(&other, token))                 \
  X(end_token, ecru_token_cancel, ecru_token_cancel(token, 0))                                      \
  X(end_token, ecru_token_err, ecru_token_err(token))                                               \
  X(end_token, ecru_token_cause, ecru_token_cause(token))                                           \
  X(end_token, ecru_token_id, ecru_token_id(token))                                                 \
  X(end_token, ecru_token_origin, ecru_token_origin(token))                                         \
  X(end_token, ecru_token_deadline, ecru_token_deadline(token))                                     \
  X(end_token, ecru_token_wait, ecru_token_wait(token))                                             \
  X(end_token, ecru_token_reset, ecru_token_reset(token, ECRU_FOREVER))                             \
  X(end_token, ecru_token_enter, ecru_token_enter(token))                                           \
  X(end_token, ecru_token_on_cancel, ecru_token_on_cancel(token, nothing, NULL, &registration))     \
  X(end_token, ecru_select, select_one(ECRU_CASE_TOKEN, token))                                     \
  X(end_token, ecru_spawn_with, spawn_under(token))                                                 \
  X(end_token, ecru_token_retain, go_under(token))                                                  \
  X(end_registration, ecru_token_unregister, ecru_token_unregister(registration))
#define TASK_CALLS(X)                                                                   \
  X(end_task, ecru_task_release, ecru_task_release(task))                               \
  X(end_running_task, ecru_task_release, ecru_task_release(task))                       \
  X(end_running_task, ecru_task_join, ecru_task_join(task, NULL, NULL))                 \
  X(end_task, ecru_task_retain, ecru_task_retain(task))                                 \
  X(end_task, ecru_task_join, ecru_task_join(task, NULL, NULL))                         \
  X(end_task, ecru_task_state, ecru_task_state(task))                                   \
  X(end_task, ecru_task_cancel, ecru_task_cancel(task, 0))                              \
  X(end_task, ecru_task_token, ecru_task_token(task))                                   \
  X(end_task, ecru_task_id, ecru_task_id(task))                                         \
  X(end_task, ecru_join_all, ecru_join_all(&task, 1, NULL, NULL))                       \
  X(end_task, ecru_join_any, ecru_join_any(&task, 1, NULL))                             \
  X(end_task, ecru_join_each, ecru_join_each(&task, 1, each, NULL))                     \
  X(end_task, ecru_select, select_one(ECRU_CASE_TASK, task))                            \
  X(end_group, ecru_group_destroy, ecru_group_destroy(group))                           \
  X(end_group, ecru_group_go, ecru_group_go(group, no_task, NULL))                      \
  X(end_group, ecru_group_try_go, ecru_group_try_go(group, no_task, NULL))              \
  X(end_group, ecru_group_cancel, ecru_group_cancel(group, 0))                          \
  X(end_group, ecru_group_token, ecru_group_token(group))                               \
  X(end_group, ecru_group_errors, ecru_group_errors(group, NULL, 0))                    \
  X(end_group, ecru_group_wait, ecru_group_wait(group))                                 \
  X(end_pool, ecru_pool_destroy, ecru_pool_destroy(pool))                               \
  X(end_pool, ecru_pool_submit, ecru_pool_submit(pool, NULL))                           \
  X(end_pool, ecru_pool_wait, ecru_pool_wait(pool))
#define TIME_CALLS(X)                                                                   \
  X(end_timer, ecru_timer_destroy, ecru_timer_destroy(timer))                           \
  X(end_timer, ecru_timer_wait, ecru_timer_wait(timer, NULL))                           \
  X(end_timer, ecru_timer_try, ecru_timer_try(timer, NULL))                             \
  X(end_timer, ecru_timer_stop, ecru_timer_stop(timer))                                 \
  X(end_timer, ecru_timer_reset, ecru_timer_reset(timer, 1))                            \
  X(end_timer, ecru_select, select_one(ECRU_CASE_TIMER, timer))                         \
  X(end_virtual_clock, ecru_clock_destroy, ecru_clock_destroy(virtual_clock))           \
  X(end_virtual_clock, ecru_clock_advance, ecru_clock_advance(virtual_clock, 1))
#define LOCK_CALLS(X)                                                                   \
  X(end_mutex, ecru_mutex_destroy, ecru_mutex_destroy(mutex))                           \
  X(end_mutex, ecru_mutex_lock, ecru_mutex_lock(mutex))                                 \
  X(end_mutex, ecru_mutex_try_lock, ecru_mutex_try_lock(mutex))                         \
  X(end_mutex, ecru_mutex_unlock, ecru_mutex_unlock(mutex))                             \
  X(end_mutex_of_cond, ecru_cond_wait, ecru_cond_wait(cond, mutex))                     \
  X(end_rwmutex, ecru_rwmutex_destroy, ecru_rwmutex_destroy(rwmutex))                   \
  X(end_rwmutex, ecru_rwmutex_lock, ecru_rwmutex_lock(rwmutex))                         \
  X(end_rwmutex, ecru_rwmutex_try_lock, ecru_rwmutex_try_lock(rwmutex))                 \
  X(end_rwmutex, ecru_rwmutex_unlock, ecru_rwmutex_unlock(rwmutex))                     \
  X(end_rwmutex, ecru_rwmutex_read_lock, ecru_rwmutex_read_lock(rwmutex))               \
  X(end_rwmutex, ecru_rwmutex_try_read_lock, ecru_rwmutex_try_read_lock(rwmutex))       \
  X(end_rwmutex, ecru_rwmutex_read_unlock, ecru_rwmutex_read_unlock(rwmutex))           \
  X(end_cond, ecru_cond_destroy, ecru_cond_destroy(cond))                               \
  X(end_cond, ecru_cond_wait, ecru_cond_wait(cond, mutex))                              \
  X(end_cond, ecru_cond_signal, ecru_cond_signal(cond))                                 \
  X(end_cond, ecru_cond_broadcast, ecru_cond_broadcast(cond))
#define MEETING_CALLS(X)                                                                      \
  X(end_waitgroup, ecru_waitgroup_destroy, ecru_waitgroup_destroy(waitgroup))                 \
  X(end_waitgroup, ecru_waitgroup_add, ecru_waitgroup_add(waitgroup, 1))                      \
  X(end_waitgroup, ecru_waitgroup_done, ecru_waitgroup_done(waitgroup))                       \
  X(end_waitgroup, ecru_waitgroup_wait, ecru_waitgroup_wait(waitgroup))                       \
  X(end_waitgroup, ecru_waitgroup_go, ecru_waitgroup_go(waitgroup, nothing, NULL))            \
  X(end_once, ecru_once_destroy, ecru_once_destroy(once))                                     \
  X(end_once, ecru_once_do, ecru_once_do(once, nothing, NULL))                                \
  X(end_semaphore, ecru_semaphore_destroy, ecru_semaphore_destroy(semaphore))                 \
  X(end_semaphore, ecru_semaphore_acquire, ecru_semaphore_acquire(semaphore, 1))              \
  X(end_semaphore, ecru_semaphore_try_acquire, ecru_semaphore_try_acquire(semaphore, 1))      \
  X(end_semaphore, ecru_semaphore_release, ecru_semaphore_release(semaphore, 1))              \
  X(end_semaphore, ecru_semaphore_available, ecru_semaphore_available(semaphore))             \
  X(end_barrier, ecru_barrier_destroy, ecru_barrier_destroy(barrier))                         \
  X(end_barrier, ecru_barrier_wait, ecru_barrier_wait(barrier))                               \
  X(end_flight, ecru_singleflight_destroy, ecru_singleflight_destroy(flight))                 \
  X(end_flight, ecru_singleflight_do, ecru_singleflight_do(flight, "", no_task, NULL, NULL, NULL)) \
  X(end_flight, ecru_singleflight_forget, ecru_singleflight_forget(flight, ""))               \
  X(end_limiter, ecru_limiter_destroy, ecru_limiter_destroy(limiter))                         \
  X(end_limiter, ecru_limiter_wait, ecru_limiter_wait(limiter, 1))                            \
  X(end_limiter, ecru_limiter_try, ecru_limiter_try(limiter, 1))
#define LOCAL_CALLS(X)                                                        \
  X(end_local, ecru_local_key_destroy, ecru_local_key_destroy(local))         \
  X(end_local, ecru_local_set, ecru_local_set(local, &element))               \
  X(end_local, ecru_local_get, ecru_local_get(local))                         \
  X(end_scoped, ecru_scoped_key_destroy, ecru_scoped_key_destroy(scoped))     \
  X(end_scoped, ecru_scoped_enter, ecru_scoped_enter(scoped, &element))       \
  X(end_scoped, ecru_scoped_leave, ecru_scoped_leave(scoped))                 \
  X(end_scoped, ecru_scoped_get, ecru_scoped_get(scoped))

typedef struct mistake {
  void (*end)(void);
  const char *text, *complaint;
} mistake;
static struct {
  void (*end)(void);
  void (*call)(int which);
  int which;
} now;

#define ROW(end, function, call) {end, #call, "ecru: panic: " #function "(0x"},
#define CALL(end, function, call) \
  if (which-- == 0) (void)(call);
/// The mistakes of one table, and the function that makes the which-th of them.
#define MISTAKES(name, CALLS)                       \
  static const mistake name##_table[] = {CALLS(ROW)}; \
  static void name##_call(int which) { CALLS(CALL) }
static ecru_address address;
static const char *text;
static uint64_t copied;
static int value;
static ecru_buffer buffer = {&element, sizeof element};
#define IO_CALLS(X)                                                                       \
  X(end_io, ecru_io_release, ecru_io_release(io))                                         \
  X(end_io, ecru_io_retain, ecru_io_retain(io))                                           \
  X(end_io, ecru_io_close, ecru_io_close(io))                                             \
  X(end_io, ecru_io_descriptor, ecru_io_descriptor(io))                                   \
  X(end_io, ecru_io_read, ecru_io_read(io, &element, 1))                                  \
  X(end_io, ecru_io_write, ecru_io_write(io, &element, 1, NULL))                          \
  X(end_io, ecru_io_readv, ecru_io_readv(io, &buffer, 1))                                 \
  X(end_io, ecru_io_writev, ecru_io_writev(io, &buffer, 1, NULL))                         \
  X(end_io, ecru_io_try_read, ecru_io_try_read(io, &element, 1))                          \
  X(end_io, ecru_io_try_write, ecru_io_try_write(io, &element, 1))                        \
  X(end_io, ecru_io_send_file, ecru_io_send_file(io, 0, 0, 1, NULL))                      \
  X(end_io, ecru_io_send_file_after, ecru_io_send_file_after(io, "x", 1, 0, 0, 1, NULL))  \
  X(end_io, ecru_io_copy, ecru_io_copy(io, io, 1, &copied))                               \
  X(end_io, ecru_io_shutdown, ecru_io_shutdown(io, ECRU_IO_READ))                         \
  X(end_io, ecru_io_set_deadline, ecru_io_set_deadline(io, ECRU_IO_READ, 0))              \
  X(end_io, ecru_tty_set_mode, ecru_tty_set_mode(io, ECRU_TTY_RAW))                       \
  X(end_io, ecru_tty_size, ecru_tty_size(io, &value, &value))                             \
  X(end_io, ecru_io_wait, ecru_io_wait(io, ECRU_IO_READ))                                 \
  X(end_io, ecru_io_local, ecru_io_local(io, &address))                                   \
  X(end_io, ecru_io_peer, ecru_io_peer(io, &address))                                     \
  X(end_io, ecru_io_set_option, ecru_io_set_option(io, ECRU_OPTION_LINGER, 0))            \
  X(end_io, ecru_io_option, ecru_io_option(io, ECRU_OPTION_LINGER, &value))               \
  X(end_io, ecru_accept, ecru_accept(io, &io, NULL))                                      \
  X(end_io, ecru_receive_from, ecru_receive_from(io, &element, 1, NULL))                  \
  X(end_io, ecru_send_to, ecru_send_to(io, &element, 1, &address))                        \
  X(end_io, ecru_select, select_one(ECRU_CASE_READ, io))                                  \
  X(end_io, ecru_select, select_one(ECRU_CASE_WRITE, io))                                 \
  X(end_reader, ecru_reader_destroy, ecru_reader_destroy(reader))                         \
  X(end_reader, ecru_reader_read, ecru_reader_read(reader, &element, 1))                  \
  X(end_reader, ecru_reader_read_exactly, ecru_reader_read_exactly(reader, &element, 1, NULL)) \
  X(end_reader, ecru_reader_until, ecru_reader_until(reader, ' ', &text))                 \
  X(end_reader, ecru_reader_peek, ecru_reader_peek(reader, 1, &text))                     \
  X(end_reader, ecru_reader_skip, ecru_reader_skip(reader, 1))                            \
  X(end_reader, ecru_writer_destroy, ecru_writer_destroy(writer))                         \
  X(end_reader, ecru_writer_write, ecru_writer_write(writer, &element, 1))                \
  X(end_reader, ecru_writer_flush, ecru_writer_flush(writer))
MISTAKES(io, IO_CALLS)

MISTAKES(channel, CHANNEL_CALLS)
MISTAKES(token, TOKEN_CALLS)
MISTAKES(task, TASK_CALLS)
MISTAKES(time, TIME_CALLS)
MISTAKES(lock, LOCK_CALLS)
MISTAKES(meeting, MEETING_CALLS)
MISTAKES(local, LOCAL_CALLS)

static void end_and_call(void *unused) {
  (void)unused;
  now.end();
  now.call(now.which);
}
static void make_mistake(void) { ecru_run(end_and_call, NULL); }

static void make_mistakes(const mistake *table, size_t count, void (*call)(int which)) {
  need_checks();
  for (size_t i = 0; i < count; i++) {
    now.end = table[i].end;
    now.call = call;
    now.which = (int)i;
    fprintf(stderr, "%s\n", table[i].text); // which one, if the test fails
    test_death(make_mistake, -SIGABRT, table[i].complaint);
  }
}
#define MAKE(name) make_mistakes(name##_table, sizeof name##_table / sizeof *name##_table, name##_call)

TEST(handles, channels_and_ends_are_known_to_have_ended) { // C1, C8
  MAKE(channel);
}
TEST(handles, descriptors_are_known_to_have_ended) { // I3
  MAKE(io);
}

TEST(handles, tokens_and_registrations_are_known_to_have_ended) { // K1, K4
  MAKE(token);
}
TEST(handles, tasks_groups_and_pools_are_known_to_have_ended) { // T1, T4, T5
  MAKE(task);
}
TEST(handles, timers_and_clocks_are_known_to_have_ended) { // K6, K7
  MAKE(time);
}
TEST(handles, locks_are_known_to_have_ended) { // L1, L2
  MAKE(lock);
}
TEST(handles, meeting_points_are_known_to_have_ended) { // L1, L2
  MAKE(meeting);
}
TEST(handles, keys_are_known_to_have_ended) { // G12
  MAKE(local);
}

// ---- the message --------------------------------------------------------------------------------------------------

static void in_named_goroutine(void *call) {
  ecru_set_name("culprit");
  ((void (*)(void))call)();
}
static void lock_destroyed_mutex(void) {
  end_mutex();
  ecru_mutex_lock(mutex);
}
static void join_released_task(void) {
  end_task();
  ecru_task_join(task, NULL, NULL);
}
static void wait_for_released_token(void) {
  end_token();
  ecru_token_wait(token);
}
static void receive_from_released_channel(void) {
  end_chan();
  ecru_chan_recv(chan, &element);
}
static void death_of_culprit(void (*call)(void)) { ecru_run(in_named_goroutine, (void *)call); }
static void mutex_in_goroutine(void) { death_of_culprit(lock_destroyed_mutex); }
static void task_in_goroutine(void) { death_of_culprit(join_released_task); }
static void token_in_goroutine(void) { death_of_culprit(wait_for_released_token); }
static void channel_in_goroutine(void) { death_of_culprit(receive_from_released_channel); }

TEST(handles, waiting_on_what_has_ended_names_the_goroutine_and_does_not_hang) { // C1, T1, K1, L2
  need_checks();
  const char *message = "): it was destroyed, or released by its last holder, before (goroutine 1 culprit)";
  test_death(mutex_in_goroutine, -SIGABRT, message);
  test_death(task_in_goroutine, -SIGABRT, message);
  test_death(token_in_goroutine, -SIGABRT, message);
  test_death(channel_in_goroutine, -SIGABRT, message);
}

TEST(handles, foreign_threads_are_told_too) { // C1, L2
  need_checks();
  test_death(lock_destroyed_mutex, -SIGABRT, "before (a foreign thread)");
  test_death(receive_from_released_channel, -SIGABRT, "before (a foreign thread)");
}

static void release_after_many_others(void) { // some hundred handles have ended since
  end_chan();
  ecru_chan *mine = chan;
  for (int i = 0; i < 400; i++) {
    end_mutex();
    end_chan();
  }
  ecru_chan_release(mine);
}
TEST(handles, the_end_is_remembered_while_others_come_and_go) { // C1
  need_checks();
  test_death(release_after_many_others, -SIGABRT, "panic: ecru_chan_release(0x");
}
