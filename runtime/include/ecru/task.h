/// ecru/task.h: tasks, groups, parallel loops and worker pools (rules T1-T5).
///
/// A task is a goroutine with a handle: it can be waited for, many times and from many places, and has an outcome.
/// A group is a scope: no goroutine started in it outlives ecru_group_wait. Statuses are 0 (or positive) for success
/// and negative for failure; errors are returned, never swallowed, and an error nobody looked at is reported (T2).
#ifndef ECRU_TASK_H
#define ECRU_TASK_H
#include <ecru/base.h>
#include <ecru/runtime.h>

/// What ecru_task_state says.
enum {
  ECRU_TASK_RUNNING = 0,  ///< has not ended (perhaps not begun)
  ECRU_TASK_DONE = 1,     ///< ended with a status >= 0
  ECRU_TASK_FAILED = 2,   ///< ended with a negative status
  ECRU_TASK_CANCELED = 3, ///< ended with ECRU_ECANCELED after its token had fired, or by ecru_exit: not a failure
};

ECRU_BEGIN
/// Starts fn(argument, &result) in a goroutine and returns its handle (T1). The task runs under a token of its own, a
/// child of the current one. If it calls ecru_exit it ends with the status ECRU_ECANCELED and the state ECRU_TASK_CANCELED.
/// Happens-before: this call -> the start of fn; the end of fn -> the return of a join, or of a select that picks the task.
/// effects: any thread; never parks; allocates. owns: the caller holds one reference of *task.
/// returns: 0; ECRU_EINVAL task or fn is NULL; else as ecru_go. since: 0.1
ECRU_API int ecru_spawn(ecru_task **task, ecru_task_fn fn, void *argument);
/// ecru_spawn with goroutine options (NULL: defaults). The token of the options, if any, becomes the parent of the task's.
/// effects, owns, returns: as ecru_spawn; ECRU_EINVAL also for bad options. since: 0.1
ECRU_API int ecru_spawn_with(ecru_task **task, const ecru_go_options *options, ecru_task_fn fn, void *argument);
/// One more reference. NULL is passed through. effects: any thread; never parks. returns: task. since: 0.1
ECRU_API ecru_task *ecru_task_retain(ecru_task *task);
/// Gives a reference back. The task itself runs on. The last release of a task that failed unobserved reports it (T2); of
/// one that still runs, its end does. NULL is ignored. effects: any thread; never parks, but may call the hook of
/// ecru_set_unobserved_hook. since: 0.1
ECRU_API void ecru_task_release(ecru_task *task);
/// Waits for the task's end. *status (may be NULL) gets its status, *result (may be NULL) its result, NULL if it has none.
/// Any number of joiners, any number of times. Asking for the status makes its failure observed (T2).
/// effects: any thread; parks.
/// returns: 0 it has ended; ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's token fired (the task runs on); ECRU_EDEADLK the
/// task joins itself; ECRU_EINVAL task is NULL. since: 0.1
ECRU_API int ecru_task_join(ecru_task *task, int *status, void **result);
/// One of ECRU_TASK_*. Does not count as looking at the error (T2). effects: any thread; never parks.
/// returns: the state; ECRU_EINVAL task is NULL. since: 0.1
ECRU_API int ecru_task_state(ecru_task *task);
/// Fires the task's token with `cause` (a negative status; 0: ECRU_ECANCELED): the task's blocking operations end from now on.
/// Without effect on a task that has ended. effects: any thread; never parks; runs the token's callbacks.
/// returns: 0; ECRU_EINVAL task is NULL or cause > 0. since: 0.1
ECRU_API int ecru_task_cancel(ecru_task *task, int cause);
/// The task's token. effects: any thread; never parks. owns: borrowed: valid as long as the task's handle.
/// returns: the token; NULL for NULL. since: 0.1
ECRU_API ecru_token *ecru_task_token(ecru_task *task);
/// Id of the task's goroutine. effects: any thread; never parks. returns: the id; 0 for NULL. since: 0.1
ECRU_API uint64_t ecru_task_id(ecru_task *task);
/// Sets what is called for a task that failed and whose error nobody looked at (T2), once, where its last reference goes:
/// in ecru_task_release or at the end of the task's own goroutine. name is "" if it had none. NULL restores the default, one
/// line on stderr. effects: any thread; never parks. returns: 0. since: 0.1
ECRU_API int ecru_set_unobserved_hook(void (*hook)(void *context, uint64_t task_id, const char *name, int status), void *context);

/// Waits for all; statuses[i] and results[i] (arrays may be NULL) are filled in order (T3). An error that is neither in
/// statuses nor returned stays unobserved. effects: any thread; parks.
/// returns: 0 all succeeded; the status of the failed task with the lowest index, after all have ended; without any
/// change of the arrays: ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's token fired (the tasks run on), ECRU_EINVAL a NULL,
/// ECRU_EDEADLK the caller's own task is among them. since: 0.1
ECRU_API int ecru_join_all(ecru_task *const *tasks, size_t count, int *statuses, void **results);
/// Waits for the first success, then cancels and joins the rest (T3), so nothing runs on when it returns. *result (may be
/// NULL) gets the winner's result. Counts as looking at all of them. effects: any thread; parks, while joining the rest
/// shielded from cancellation; allocates for more than 16 tasks.
/// returns: the winner's index; if none succeeded the status of the first in time to fail; ECRU_EINVAL count 0 or above
/// INT_MAX or a NULL; ECRU_EDEADLK as join_all; ECRU_ENOMEM (all three: nothing was cancelled); ECRU_ECANCELED,
/// ECRU_ETIMEDOUT the caller's token fired: all were cancelled and joined too. since: 0.1
ECRU_API int ecru_join_any(ecru_task *const *tasks, size_t count, void **result);
/// Calls each(context, index, status, result) for every task in the order in which they end (T3); those that have ended
/// already come first, in the order of the array. each runs in the caller, may park and may release the handle it was called
/// for; the others must stay valid. A non-zero return stops.
/// effects: any thread; parks; allocates for more than 16 tasks.
/// returns: 0 all were given to each; what each returned; ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's token fired;
/// ECRU_EINVAL each or a task is NULL; ECRU_EDEADLK as join_all; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_join_each(ecru_task *const *tasks, size_t count,
                            int (*each)(void *context, size_t index, int status, void *result), void *context);

/// Flags of ecru_group_create.
enum { ECRU_GROUP_SUPERVISOR = 1 /**< a failure does not cancel the siblings (T4) */ };
/// Creates a group whose token is a child of the current one; at most `limit` of its goroutines run at once (0: no limit)
/// (T4). Goroutines started in it run under that token. Groups nest: one created in a child is cancelled with it.
/// effects: any thread; never parks; allocates. owns: the caller, until ecru_group_destroy.
/// returns: 0; ECRU_EINVAL group is NULL or an unknown flag; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_group_create(ecru_group **group, size_t limit, unsigned flags);
/// Starts fn(argument, &result) in the group; the result is not kept. Parks while the limit is reached; those who wait are
/// served in order. The first child that fails (T4) fires the group's token with its status as the cause, unless the group is
/// a supervisor. A child that ends with ECRU_ECANCELED once the group's token has fired, or by ecru_exit, has not failed but
/// given up. effects: any thread, also a child; parks; allocates while the group grows.
/// returns: 0; ECRU_EINVAL; as ecru_go; ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's or the group's token has fired (nothing
/// was started); ECRU_ESHUTDOWN the group has been waited for. since: 0.1
ECRU_API int ecru_group_go(ecru_group *group, ecru_task_fn fn, void *argument);
/// ecru_group_go that never parks. effects: any thread; never parks; allocates while the group grows.
/// returns: as ecru_group_go; ECRU_EAGAIN the limit is reached. since: 0.1
ECRU_API int ecru_group_try_go(ecru_group *group, ecru_task_fn fn, void *argument);
/// Waits until all have ended, also those that children start meanwhile; then nothing can be started any more. If the
/// caller's token fires, it cancels the group and waits on, shielded. Can be called again. effects: any thread; parks.
/// returns: 0 all have succeeded; the status of the first in time to fail; ECRU_ECANCELED none failed, but some gave up;
/// ECRU_EDEADLK from one of its own children; ECRU_EINVAL group is NULL. since: 0.1
ECRU_API int ecru_group_wait(ecru_group *group);
/// Fires the group's token with `cause` (0: ECRU_ECANCELED) and turns away those that wait for the limit.
/// effects: any thread; never parks; runs the token's callbacks. returns: 0; ECRU_EINVAL group is NULL or cause > 0. since: 0.1
ECRU_API int ecru_group_cancel(ecru_group *group, int cause);
/// The group's token. effects: any thread; never parks. owns: borrowed: valid as long as the group. returns: the token;
/// NULL for NULL. since: 0.1
ECRU_API ecru_token *ecru_group_token(ecru_group *group);
/// All failures so far in order of time: fills at most `room` statuses (may be NULL). effects: any thread; never parks.
/// returns: how many failed in all, also if more than room; 0 for NULL. since: 0.1
ECRU_API size_t ecru_group_errors(ecru_group *group, int *statuses, size_t room);
/// Cancels, waits for all and frees the group. Nobody else may use it any more. NULL is ignored. Calling it from one of its
/// own children is a panic. effects: any thread; parks, shielded. since: 0.1
ECRU_API void ecru_group_destroy(ecru_group *group);

/// Runs fn(context, i) for 0 <= i < count in min(limit, count) goroutines (limit 0: maxprocs); each takes the next index when
/// it is done with one. The first negative status stops new items and fires the token the running ones see (T5).
/// effects: any thread; parks until none of them runs any more, also when the caller's token fires; allocates.
/// returns: 0 all items succeeded; the first error in time; ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's token fired before
/// all items were done; ECRU_EINVAL fn is NULL; as ecru_go if not even one goroutine could be started. since: 0.1
ECRU_API int ecru_parallel_for(size_t count, size_t limit, int (*fn)(void *context, size_t index), void *context);

/// Starts a pool of `workers` goroutines, each calling work(context, item) for one item after the other from a queue of
/// `queue` items (0: a submitter meets a worker) (T5). They run under a child of the current token. A negative status
/// of work, the token's firing, or ecru_exit in work stops the pool: items still queued remain the submitters' to free.
/// effects: any thread; parks shortly; allocates. owns: the caller, until ecru_pool_destroy.
/// returns: 0; ECRU_EINVAL pool or work is NULL or workers is 0; ECRU_EOVERFLOW queue too large; ECRU_ENOMEM; as ecru_go. since: 0.1
ECRU_API int ecru_pool_create(ecru_pool **pool, size_t workers, size_t queue, int (*work)(void *context, void *item), void *context);
/// Queues an item, parking while the queue is full. effects: any thread; parks.
/// returns: 0; the status with which the pool has stopped (the item was not taken); ECRU_ECLOSED it has been waited for;
/// ECRU_ECANCELED, ECRU_ETIMEDOUT the caller's token fired; ECRU_EINVAL pool is NULL. since: 0.1
ECRU_API int ecru_pool_submit(ecru_pool *pool, void *item);
/// Closes the queue and waits for the workers to finish what is in it. If the caller's token fires, it cancels them and
/// waits on, shielded. Idempotent. effects: any thread; parks.
/// returns: 0 all items were worked on; the status with which the pool has stopped; ECRU_EDEADLK from one of its workers;
/// ECRU_EINVAL pool is NULL. since: 0.1
ECRU_API int ecru_pool_wait(ecru_pool *pool);
/// Cancels the workers, waits for them and frees the pool. Nobody else may use it any more. NULL is ignored.
/// effects: any thread; parks, shielded; from one of its workers it is a panic. since: 0.1
ECRU_API void ecru_pool_destroy(ecru_pool *pool);
ECRU_END
#endif
