/// runtime/pool.c: worker pools (T5): a group of goroutines that receive items from one bounded channel.
///
/// The channel is the queue and the back-pressure, the group is the life and the cancellation; the pool adds one thing, its
/// status. The first worker that ends for any reason but a closed and drained queue (an error, a fired token, ecru_exit)
/// sets the status and closes the queue, so that no submitter waits for workers that are gone.
#include <ecru/chan.h>

#include "platform/memory.h"
#include "runtime/task.h"

struct ecru_pool {
  ecru_chan *queue;                       // set once: counted; elements: void *
  ecru_group *group;                      // set once
  int (*work)(void *context, void *item); // set once
  void *context;                          // set once
  _Atomic int status;                     // atomic: 0, or why the pool has stopped; the first stays
  ecru__mark mark; // handle.h
};

static int status_of(ecru_pool *pool) {
  // acquire: pairs with the release in stop_with
  return atomic_load_explicit(&pool->status, memory_order_acquire);
}

static void stop_with(ecru_pool *pool, int status) {
  int none = 0;
  // release: what the worker did before its error is seen by who gets the error
  atomic_compare_exchange_strong_explicit(&pool->status, &none, status, memory_order_acq_rel, memory_order_relaxed);
  ecru_chan_close(pool->queue);
}

static int work_off(void *argument, void **result) {
  (void)result;
  ecru_pool *pool = argument;
  for (;;) {
    void *item = NULL;
    int status = ecru_chan_recv(pool->queue, &item);
    if (status == ECRU_ECLOSED) return 0;
    if (status == 0) status = status_of(pool) == 0 ? pool->work(pool->context, item) : ECRU_ECANCELED;
    if (status < 0) return status;
  }
}

static void worker_ended(void *argument, int status) {
  if (status < 0) stop_with(argument, status);
}

int ecru_pool_create(ecru_pool **pool, size_t workers, size_t queue, int (*work)(void *context, void *item),
                     void *context) {
  if (!pool || workers == 0 || !work) return ECRU_EINVAL;
  ecru_pool *created = ecru__calloc(1, sizeof *created);
  if (!created) return ECRU_ENOMEM;
  ecru__handle_begin(&created->mark);
  created->work = work;
  created->context = context;
  int status = ecru_chan_create(&created->queue, sizeof(void *), queue);
  if (status == 0) status = ecru_group_create(&created->group, 0, 0);
  for (size_t i = 0; i < workers && status == 0; i++)
    status = ecru__group_start(created->group, work_off, created, worker_ended, true, __builtin_return_address(0));
  if (status != 0) {
    ecru_pool_destroy(created);
    return status;
  }
  *pool = created;
  return 0;
}

int ecru_pool_submit(ecru_pool *pool, void *item) {
  ECRU__CHECK_HANDLE(pool);
  if (!pool) return ECRU_EINVAL;
  int status = ecru_chan_send(pool->queue, &item);
  if (status != ECRU_ECLOSED) return status;
  int stopped = status_of(pool);
  return stopped != 0 ? stopped : ECRU_ECLOSED;
}

int ecru_pool_wait(ecru_pool *pool) {
  ECRU__CHECK_HANDLE(pool);
  if (!pool) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  bool is_own = ecru__group_is_own(w, pool->group);
  ecru__leave(w);
  if (is_own) return ECRU_EDEADLK;
  ecru_chan_close(pool->queue);
  int status = ecru_group_wait(pool->group);
  int stopped = status_of(pool);
  return stopped != 0 ? stopped : status;
}

void ecru_pool_destroy(ecru_pool *pool) {
  ECRU__CHECK_HANDLE(pool);
  if (!pool) return;
  if (pool->queue) ecru_chan_close(pool->queue);
  ecru_group_destroy(pool->group);
  ecru_chan_release(pool->queue);
  ecru__handle_free(&pool->mark, pool, sizeof *pool);
}
