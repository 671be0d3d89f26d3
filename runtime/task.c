/// runtime/task.c: task handles: start, join, outcome, and the report of a failure nobody looked at (T1, T2).
///
/// A task is one block: an event, an outcome and a token, counted. Spawn gives one reference to the caller and one to the
/// goroutine. The goroutine's end runs task_end, also after ecru_exit: it decides the state, sets the event, tells the
/// watchers (join.c) and drops its reference. Who drops the last reference of a failed task nobody has looked at reports it:
/// the releaser of the last handle, or the goroutine itself if all handles were released before it failed.
///
/// What counts as looking: a join that asked for the status, join_any and join_each, join_all for each status it handed out,
/// and a select that picked the task. Reading the state does not (as in .NET): it does not tell what went wrong.
///
/// Dropped: a token made only when first asked for. Somebody may ask while the goroutine runs, and everything it has
/// derived from its inherited token by then would have to be moved under the new one.
#include "runtime/task.h"

#include <stdio.h>
#include <string.h>

#include "platform/memory.h"
#include "runtime/select.h"

// ---- the hook -----------------------------------------------------------------------------------------------------

typedef void (*unobserved_hook)(void *context, uint64_t task_id, const char *name, int status);
static struct {
  ecru__lock lock;
  unobserved_hook call; // lock
  void *context;        // lock
} hook;

int ecru_set_unobserved_hook(unobserved_hook call, void *context) {
  ecru__lock_take(&hook.lock);
  hook.call = call;
  hook.context = context;
  ecru__lock_drop(&hook.lock);
  return 0;
}

static void report_on_stderr(uint64_t id, const char *name, int status) {
  char line[256]; // snprintf into a buffer, then one unbuffered write: stderr's own formatting wants 8 KiB of stack
  const char *code = ecru_status_name(status);
  const char *quote = name[0] ? " \"" : "", *unquote = name[0] ? "\"" : "";
  snprintf(line, sizeof line, "ecru: task %llu%s%s%s failed and nobody looked: %d %s (%s)\n", (unsigned long long)id,
           quote, name, unquote, status, code, ecru_strerror(status));
  fputs(line, stderr);
}

/// Calls user code: outside the runtime, without locks.
static void report_unobserved(const ecru_task *task) {
  ecru__lock_take(&hook.lock);
  unobserved_hook call = hook.call;
  void *context = hook.context;
  ecru__lock_drop(&hook.lock);
  uint64_t id = atomic_load_explicit(&task->id, memory_order_relaxed);
  if (call) call(context, id, task->name, task->status);
  else report_on_stderr(id, task->name, task->status);
}

// ---- references ---------------------------------------------------------------------------------------------------

static void task_free(ecru_task *task) {
  if (task->state == ECRU_TASK_FAILED && !atomic_load_explicit(&task->observed, memory_order_relaxed))
    report_unobserved(task);
  ecru_token_release(task->token);
  ecru__free(task);
}

/// Called outside the runtime.
static void drop_reference(ecru_task *task) {
  // acquire: pairs with the release of the other holders' drops; a sole holder needs no locked instruction
  if (atomic_load_explicit(&task->references, memory_order_acquire) != 1 &&
      atomic_fetch_sub_explicit(&task->references, 1, memory_order_acq_rel) != 1)
    return;
  task_free(task);
}

ecru_task *ecru_task_retain(ecru_task *task) {
  // relaxed: the caller's own reference keeps it alive
  if (task) atomic_fetch_add_explicit(&task->references, 1, memory_order_relaxed);
  return task;
}

void ecru_task_release(ecru_task *task) {
  if (task) drop_reference(task);
}

// ---- the goroutine's side -----------------------------------------------------------------------------------------

static ecru__goroutine *goroutine_here(ecru__worker *w) {
  return w->self == &w->waiter ? NULL : (ecru__goroutine *)(void *)w->self;
}

static void task_run(void *argument) {
  ecru_task *task = argument;
  void *result = NULL;
  int status = task->fn(task->argument, &result);
  task->result = result;
  task->status = status;
  task->state = status < 0 ? ECRU_TASK_FAILED : ECRU_TASK_DONE;
}

static void deliver(ecru__worker *w, ecru__watcher *watcher) {
  ecru__collector *collector = watcher->collector;
  watcher->done_next = NULL;
  ecru__lock_take(&collector->lock);
  if (collector->done_tail) collector->done_tail->done_next = watcher;
  else collector->done_head = watcher;
  collector->done_tail = watcher;
  ecru__node *node = ecru__queue_claim(&collector->waiters);
  ecru__lock_drop(&collector->lock); // from here on the collector may be gone, unless its waiter has just been claimed
  if (node) ecru__ready(w, node->waiter);
}

/// The watchers are told first: whoever has seen this end and makes another task end finds the two in order. A watcher's
/// owner that comes that early waits for the lock (join.c).
static void publish(ecru__worker *w, ecru_task *task) {
  ecru__lock_take(&task->ended.lock);
  for (ecru__watcher *watcher = task->watchers, *next; watcher; watcher = next) {
    next = watcher->next;
    watcher->queued = false;
    deliver(w, watcher);
  }
  task->watchers = NULL;
  // release: pairs with the acquire in ecru__event_is_set; the outcome is seen by whoever sees the end
  atomic_store_explicit(&task->ended.set, 1, memory_order_release);
  ecru__node *waiting = ecru__queue_claim_all(&task->ended.waiters);
  ecru__lock_drop(&task->ended.lock);
  ecru__ready_all(w, waiting);
}

/// at_end: runs when fn has returned, or when it has called ecru_exit: then the status is the one set at the start.
static void task_end(void *argument) {
  ecru_task *task = argument;
  ecru__worker *w = ecru__enter();
  if (!w) return; // a forked child
  if (task->state == ECRU_TASK_FAILED) {
    const ecru__goroutine *goroutine = goroutine_here(w);
    atomic_store_explicit(&task->id, goroutine->id, memory_order_relaxed);
    memcpy(task->name, goroutine->name, sizeof task->name);
    if (task->status == ECRU_ECANCELED && ecru__token_fired(task->token) != 0) task->state = ECRU_TASK_CANCELED;
  } else if (task->state == ECRU_TASK_RUNNING) {
    task->state = ECRU_TASK_CANCELED; // ecru_exit: it ended itself early on purpose, without a result
  }
  publish(w, task);
  ecru__leave(w);
  drop_reference(task);
}

// ---- start --------------------------------------------------------------------------------------------------------

static int start(ecru__worker *w, ecru_task *task, const ecru_go_options *options, void *site) {
  bool has_token = options && options->size >= sizeof *options && options->token;
  ecru_token *parent = has_token ? options->token : w->self->token;
  int status = ecru__token_create(w, &task->token, &parent, 1, ECRU_FOREVER);
  if (status != 0) return status;
  ecru__spawn_spec spec = {.options = options, .fn = task_run, .argument = task, .at_end = task_end,
                           .at_end_argument = task, .token = task->token, .site = site};
  uint64_t id = 0;
  status = ecru__spawn(w, &spec, &id);
  if (status == 0) atomic_store_explicit(&task->id, id, memory_order_relaxed);
  return status;
}

static int spawn(ecru_task **out, const ecru_go_options *options, ecru_task_fn fn, void *argument, void *site) {
  if (!out || !fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_task *task = ecru__malloc(sizeof *task);
  int status = ECRU_ENOMEM;
  if (task) {
    *task = (ecru_task){.references = 2, .fn = fn, .argument = argument, .status = ECRU_ECANCELED}; // if it ends by ecru_exit
    status = start(w, task, options, site);
  }
  ecru__leave(w);
  if (status == 0) {
    *out = task;
  } else if (task) {
    ecru_token_release(task->token);
    ecru__free(task);
  }
  return status;
}

int ecru_spawn(ecru_task **task, ecru_task_fn fn, void *argument) {
  return spawn(task, NULL, fn, argument, __builtin_return_address(0));
}

int ecru_spawn_with(ecru_task **task, const ecru_go_options *options, ecru_task_fn fn, void *argument) {
  return spawn(task, options, fn, argument, __builtin_return_address(0));
}

// ---- join ---------------------------------------------------------------------------------------------------------

bool ecru__task_is_self(ecru__worker *w, ecru_task *task) {
  const ecru__goroutine *goroutine = goroutine_here(w);
  return goroutine && goroutine->at_end == task_end && goroutine->at_end_argument == task;
}

int ecru_task_join(ecru_task *task, int *status, void **result) {
  if (!task) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int joined = ecru__canceled(w);
  if (joined == 0 && !ecru__task_has_ended(task))
    joined = ecru__task_is_self(w, task) ? ECRU_EDEADLK : ecru__event_wait(&w, &task->ended, ECRU__WAIT_JOIN, task);
  ecru__leave(w);
  if (joined != 0) return joined;
  if (status) {
    ecru__task_observe(task);
    *status = task->status;
  }
  if (result) *result = task->result;
  return 0;
}

ecru__event *ecru__task_event(ecru_task *task) { return &task->ended; }

void ecru__task_observe(ecru_task *task) {
  // relaxed: read by who drops the last reference, after this holder has dropped its own
  atomic_store_explicit(&task->observed, 1, memory_order_relaxed);
}

void ecru__task_watch(ecru__worker *w, ecru__watcher *watcher, ecru_task *task, ecru__collector *collector) {
  watcher->task = task;
  watcher->collector = collector;
  watcher->prev = NULL;
  ecru__lock_take(&task->ended.lock);
  bool has_ended = ecru__task_has_ended(task);
  watcher->queued = !has_ended;
  if (!has_ended) {
    watcher->next = task->watchers;
    if (watcher->next) watcher->next->prev = watcher;
    task->watchers = watcher;
  }
  ecru__lock_drop(&task->ended.lock);
  if (has_ended) deliver(w, watcher);
}

void ecru__task_unwatch(ecru__watcher *watcher) {
  ecru_task *task = watcher->task;
  ecru__lock_take(&task->ended.lock);
  if (watcher->queued) {
    if (watcher->prev) watcher->prev->next = watcher->next;
    else task->watchers = watcher->next;
    if (watcher->next) watcher->next->prev = watcher->prev;
    watcher->queued = false;
  }
  ecru__lock_drop(&task->ended.lock);
}

// ---- what a handle tells ------------------------------------------------------------------------------------------

int ecru_task_state(ecru_task *task) {
  if (!task) return ECRU_EINVAL;
  return ecru__task_has_ended(task) ? (int)task->state : ECRU_TASK_RUNNING;
}

int ecru_task_cancel(ecru_task *task, int cause) {
  return task ? ecru_token_cancel(task->token, cause) : ECRU_EINVAL;
}

ecru_token *ecru_task_token(ecru_task *task) { return task ? task->token : NULL; }

uint64_t ecru_task_id(ecru_task *task) {
  return task ? atomic_load_explicit(&task->id, memory_order_relaxed) : 0;
}
