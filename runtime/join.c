/// runtime/join.c: waiting for many tasks: all of them, the first success, each in order of completion (T3).
///
/// join_all waits for one after the other: it needs all anyway, and the sum of the waits is the longest. join_any and
/// join_each need the *next* that ends: they put one watcher into every task, and a task that ends appends its watcher to
/// the wait's collector (task.h). So n completions cost O(n) together, not O(n) each as n event waits would, and the order
/// is exactly that in which the tasks ended, also of those that end while the caller is busy with an earlier one.
#include <limits.h>

#include "platform/memory.h"
#include "runtime/task.h"

enum { ON_STACK = 16 };

/// returns: 0; ECRU_EINVAL a NULL; ECRU_EDEADLK the caller's own task is among them.
static int look_at_arguments(ecru__worker *w, const char *function, ecru_task *const *tasks, size_t count) {
  (void)function; // only told of a handle that is none any more
  if (count > 0 && !tasks) return ECRU_EINVAL;
  for (size_t i = 0; i < count; i++) {
    ECRU__CHECK_HANDLE_FOR(function, tasks[i]);
    if (!tasks[i]) return ECRU_EINVAL;
  }
  for (size_t i = 0; i < count; i++)
    if (ecru__task_is_self(w, tasks[i])) return ECRU_EDEADLK;
  return 0;
}

// ---- all ----------------------------------------------------------------------------------------------------------

int ecru_join_all(ecru_task *const *tasks, size_t count, int *statuses, void **results) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int waited = look_at_arguments(w, __func__, tasks, count);
  if (waited == 0) waited = ecru__canceled(w);
  for (size_t i = 0; i < count && waited == 0; i++)
    if (!ecru__task_has_ended(tasks[i])) waited = ecru__event_wait(&w, &tasks[i]->ended, ECRU__WAIT_JOIN, tasks[i]);
  ecru__leave(w);
  if (waited != 0) return waited;

  int first = 0;
  for (size_t i = 0; i < count; i++) {
    int status = tasks[i]->status;
    bool is_returned = first == 0 && status < 0;
    if (is_returned) first = status;
    if (statuses) statuses[i] = status;
    if (results) results[i] = tasks[i]->result;
    if (statuses || is_returned) ecru__task_observe(tasks[i]); // an error that was not handed out is still unseen (T2)
  }
  return first;
}

// ---- the next of many ---------------------------------------------------------------------------------------------

/// A wait for the next of many: watchers[i] watches tasks[i]. A watcher's task is NULL once it has been taken.
struct race {
  ecru__collector collector;
  ecru__watcher *watchers;
  size_t count;
  ecru__watcher on_stack[ON_STACK];
};

static int race_begin(ecru__worker *w, struct race *race, ecru_task *const *tasks, size_t count) {
  race->collector = (ecru__collector){0};
  race->count = count;
  race->watchers = count <= ON_STACK ? race->on_stack : ecru__calloc(count, sizeof *race->watchers);
  if (!race->watchers) return ECRU_ENOMEM;
  for (size_t i = 0; i < count; i++) ecru__task_watch(w, &race->watchers[i], tasks[i], &race->collector);
  return 0;
}

/// Touches no task that has been taken: its handle may have been released since.
static void race_end(struct race *race) {
  for (size_t i = 0; i < race->count; i++)
    if (race->watchers[i].task) ecru__task_unwatch(&race->watchers[i]);
  if (race->watchers != race->on_stack) ecru__free(race->watchers);
}

/// Takes the next task that has ended, parking while there is none. returns: 0; as ecru__park.
static int race_next(ecru__worker **w, struct race *race, ecru_task **task, size_t *index) {
  ecru__collector *collector = &race->collector;
  ecru__node node;
  int status = 0;
  ecru__lock_take(&collector->lock);
  if (!collector->done_head) {
    ecru__node_init(&node, (*w)->self);
    ecru__queue_push(&collector->waiters, &node);
    status = ecru__park(w, &collector->lock, ECRU__WAIT_JOIN, NULL);
    ecru__lock_take(&collector->lock);
    ecru__queue_remove(&collector->waiters, &node);
  }
  if (status == 0) {
    ecru__watcher *watcher = collector->done_head;
    collector->done_head = watcher->done_next;
    if (!collector->done_head) collector->done_tail = NULL;
    *task = watcher->task;
    *index = (size_t)(watcher - race->watchers);
    watcher->task = NULL;
  }
  ecru__lock_drop(&collector->lock);
  if (status == 0 && !ecru__task_has_ended(*task)) ecru__event_settle(&(*task)->ended); // its goroutine is about to say so, with the lock held
  return status;
}

static int wait_for_success(ecru__worker **w, struct race *race, size_t *winner, void **result) {
  int first = 0;
  for (size_t taken = 0; taken < race->count; taken++) {
    ecru_task *task = NULL;
    int status = race_next(w, race, &task, winner);
    if (status != 0) return status;
    if (task->status >= 0) {
      if (result) *result = task->result;
      return 0;
    }
    if (first == 0) first = task->status;
  }
  return first;
}

/// Outside the runtime: cancelling runs the users' callbacks.
static void cancel_the_rest(ecru_task *const *tasks, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!ecru__task_has_ended(tasks[i])) ecru_task_cancel(tasks[i], 0);
}

static void join_the_rest(ecru__worker **w, ecru_task *const *tasks, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!ecru__task_has_ended(tasks[i])) ecru__event_wait_shielded(w, &tasks[i]->ended, ECRU__WAIT_JOIN, tasks[i]);
    ecru__task_observe(tasks[i]); // who asks for the first success has no use for the losers' errors
  }
}

int ecru_join_any(ecru_task *const *tasks, size_t count, void **result) {
  if (count == 0 || count > INT_MAX) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  struct race race;
  size_t winner = 0;
  int status = look_at_arguments(w, __func__, tasks, count);
  if (status == 0) status = race_begin(w, &race, tasks, count);
  if (status != 0) {
    ecru__leave(w);
    return status;
  }
  status = ecru__canceled(w);
  if (status == 0) status = wait_for_success(&w, &race, &winner, result);
  ecru__leave(w);
  cancel_the_rest(tasks, count);
  w = ecru__enter();
  if (w) {
    join_the_rest(&w, tasks, count);
    ecru__leave(w);
  }
  race_end(&race);
  return status == 0 ? (int)winner : status;
}

int ecru_join_each(ecru_task *const *tasks, size_t count,
                   int (*each)(void *context, size_t index, int status, void *result), void *context) {
  if (!each) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  struct race race;
  int status = look_at_arguments(w, __func__, tasks, count);
  if (status == 0) status = race_begin(w, &race, tasks, count);
  if (status != 0) {
    ecru__leave(w);
    return status;
  }
  for (size_t taken = 0; taken < count && status == 0; taken++) {
    ecru_task *task = NULL;
    size_t index = 0;
    status = ecru__canceled(w);
    if (status == 0) status = race_next(&w, &race, &task, &index);
    if (status != 0) break;
    ecru__task_observe(task);
    ecru__leave(w);
    status = each(context, index, task->status, task->result);
    w = ecru__enter();
    if (!w) { // a child forked by each
      race_end(&race);
      return ecru__enter_status();
    }
  }
  ecru__leave(w);
  race_end(&race);
  return status;
}
