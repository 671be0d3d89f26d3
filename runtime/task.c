/// runtime/task.c: task handles: start, join, outcome, and the report of a failure nobody looked at (T1, T2).
///
/// A task is one block: an event, an outcome and room for a token, counted by its handles. The goroutine's end runs task_end,
/// also after ecru_exit: it decides the state, tells the watchers (join.c) and sets the event. The last to have to do with
/// the task frees it: the releaser of the last handle, or the goroutine, if all handles were released before it ended. If it
/// failed and nobody has looked, that is also who reports it.
///
/// What counts as looking: a join that asked for the status, join_any and join_each, join_all for each status it handed out,
/// and a select that picked the task. Reading the state does not (as in .NET): it does not tell what went wrong.
///
/// Most tasks are never cancelled and spawn nothing, so their token is made only when somebody asks (task.h, invariant 3):
/// making, linking and freeing one cost as much as all the rest of a task. Tried and dropped: giving an asked-for token to a
/// running goroutine at once: one that parks at that moment may do so under the old token, and whoever fires the
/// new one later does not find it. The firing can look for it, so that is where it is handed over.
#include "runtime/task.h"
#include "runtime/fork.h"

#include <stddef.h>
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

// ---- handles ---------------------------------------------------------------------------------------------------

void ecru__task_drop_block(ecru_task *task) {
  // acq_rel: what the others did with the block happens before it is freed
  if (atomic_load_explicit(&task->parts, memory_order_acquire) == 1 ||
      atomic_fetch_sub_explicit(&task->parts, 1, memory_order_acq_rel) == 1)
    ecru__handle_free(&task->mark, task, sizeof *task);
}

static void task_free(ecru_task *task) {
  if (task->state == ECRU_TASK_FAILED && !atomic_load_explicit(&task->observed, memory_order_relaxed))
    report_unobserved(task);
  ecru_token_release(atomic_load_explicit(&task->token, memory_order_acquire));
  ecru__task_drop_block(task);
}

ecru_task *ecru_task_retain(ecru_task *task) {
  ECRU__CHECK_HANDLE(task);
  // relaxed: the caller's own handle keeps it alive
  if (task) atomic_fetch_add_explicit(&task->handles, 1, memory_order_relaxed);
  return task;
}

/// returns: whether the caller's is the only handle left; else it has been given back.
static bool is_last_handle(ecru_task *task) {
  // acquire: pairs with the releases of those who gave theirs back: what they did happens before the task is freed
  uint32_t handles = atomic_load_explicit(&task->handles, memory_order_acquire);
  while (handles != 1)
    if (atomic_compare_exchange_weak_explicit(&task->handles, &handles, handles - 1, memory_order_release, memory_order_acquire))
      return false;
  return true;
}

/// returns: whether the goroutine has nothing to do with the task any more; else it frees it when it ends.
static bool has_let_go(ecru_task *task) {
  // acquire: pairs with the release of the lock by publish, which sets the event while it holds it
  if (ecru__task_has_ended(task) && atomic_load_explicit(&task->ended.lock.word, memory_order_acquire) == 0) return true;
  ecru__lock_take(&task->ended.lock);
  bool has_ended = ecru__task_has_ended(task);
  if (!has_ended) atomic_store_explicit(&task->handles, 0, memory_order_relaxed);
  ecru__lock_drop(&task->ended.lock);
  return has_ended;
}

void ecru_task_release(ecru_task *task) {
  ECRU__CHECK_HANDLE(task);
  if (!task || !is_last_handle(task)) return;
  ecru__handle_end(&task->mark);
  if (has_let_go(task)) task_free(task);
}

static ecru__goroutine *goroutine_here(ecru__worker *w) {
  return w->self == &w->waiter ? NULL : (ecru__goroutine *)(void *)w->self;
}

// ---- the token ----------------------------------------------------------------------------------------------------

/// The parent with a reference, NULL if the goroutine has ended: the parent may be gone then.
static ecru_token *hold_parent(ecru_task *task) {
  ecru__lock_take(&task->ended.lock);
  ecru_token *parent = ecru__task_has_ended(task) ? NULL : ecru_token_retain(task->parent);
  ecru__lock_drop(&task->ended.lock);
  return parent;
}

/// The task's token, made if it is not there yet.
static ecru_token *token_of(ecru__worker *w, ecru_task *task) {
  // acquire: pairs with the release below
  ecru_token *token = atomic_load_explicit(&task->token, memory_order_acquire);
  if (token) return token;
  ecru__lock_take(&task->making);
  token = atomic_load_explicit(&task->token, memory_order_relaxed);
  if (!token) {
    ecru_token *parent = hold_parent(task);
    atomic_store_explicit(&task->parts, 2, memory_order_relaxed);
    token = ecru__token_embed(w, task->token_storage, parent, task);
    atomic_store_explicit(&task->token, token, memory_order_release);
    ecru_token_release(parent);
  }
  ecru__lock_drop(&task->making);
  return token;
}

/// Invariant 3; ended.lock is held. The caller releases the parent in the waiter's stead.
static void take(ecru_task *task, ecru__waiter *x, ecru_token *token) {
  task->is_taken = true;
  // release: pairs with the acquire in ecru__waiter_token
  __atomic_store_n(&x->token, ecru_token_retain(token), __ATOMIC_RELEASE);
}

void ecru__task_take_token(ecru__worker *w) {
  ecru__waiter *x = w->self;
  ecru_task *task = goroutine_here(w)->at_end_argument;
  ecru_token *token = token_of(w, task);
  ecru__lock_take(&task->ended.lock);
  bool is_mine = !task->is_taken; // else it has fired meanwhile
  if (is_mine) take(task, x, token);
  x->lazy_token = 0;
  ecru__lock_drop(&task->ended.lock);
  if (is_mine) ecru_token_release(task->parent);
}

static bool needs_token(ecru_task *task) {
  ecru__lock_take(&task->ended.lock);
  bool needs = !task->is_taken && !ecru__task_has_ended(task);
  ecru__lock_drop(&task->ended.lock);
  return needs;
}

static ecru__waiter *runner_of(ecru_task *task) {
  // acquire: pairs with the release in begin
  ecru__waiter *x = atomic_load_explicit(&task->runner, memory_order_acquire);
  if (x) return x;
  ecru__fence_heavy(); // pairs with the light fence in begin: it finds the token or we find the runner
  return atomic_load_explicit(&task->runner, memory_order_acquire);
}

void ecru__task_token_fired(ecru__worker *w, ecru_task *task, ecru_token *token, int status) {
  if (!needs_token(task)) return;
  ecru__waiter *x = runner_of(task);
  ecru__lock_take(&task->ended.lock);
  bool is_mine = x && !task->is_taken && !ecru__task_has_ended(task) && x->token == task->parent; // else: shielded
  bool is_claimed = false;
  if (is_mine) {
    take(task, x, token);
    ecru__fence_heavy(); // pairs with the light fence of a parker between arming and looking
    is_claimed = ecru__claim(x);
    if (is_claimed) {
      x->wake_node = NULL;
      x->wake_status = status;
    }
  }
  ecru__lock_drop(&task->ended.lock);
  if (is_claimed) ecru__ready(w, x);
  if (is_mine) ecru_token_release(task->parent);
}

/// As ecru__token_shield, which has taken the waiter out of all lists: who fires the token must not end the next park.
void ecru__task_shield(ecru__waiter *x) {
  ecru_task *task = ((ecru__goroutine *)(void *)x)->at_end_argument;
  ecru__lock_take(&task->ended.lock);
  x->attached = x->token;
  __atomic_store_n(&x->token, ecru__background_token, __ATOMIC_RELAXED);
  ecru__lock_drop(&task->ended.lock);
}

/// As ecru__token_unshield; if the task's token has fired in the meantime it is taken now.
void ecru__task_unshield(ecru__waiter *x) {
  ecru_task *task = ((ecru__goroutine *)(void *)x)->at_end_argument;
  ecru__lock_take(&task->ended.lock);
  __atomic_store_n(&x->token, x->attached, __ATOMIC_RELAXED);
  x->attached = NULL;
  ecru_token *token = atomic_load_explicit(&task->token, memory_order_acquire);
  bool is_mine = !task->is_taken && token && ecru__token_fired(token) != 0;
  if (is_mine) take(task, x, token);
  ecru__lock_drop(&task->ended.lock);
  if (is_mine) ecru_token_release(task->parent);
}

// ---- the goroutine's side -----------------------------------------------------------------------------------------

static void begin(ecru_task *task) {
  ecru__worker *w = ecru__worker_here();
  w->self->lazy_token = 1;
  // release: pairs with the acquire in runner_of
  atomic_store_explicit(&task->runner, w->self, memory_order_release);
  ecru__fence_light(); // pairs with the heavy fence in runner_of
  if (ECRU__LIKELY(!atomic_load_explicit(&task->token, memory_order_acquire))) return;
  w = ecru__enter();
  ecru__task_take_token(w); // asked for before it began
  ecru__leave(w);
}

static void task_run(void *argument) {
  ecru_task *task = argument;
  begin(task);
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
/// returns: whether all handles have been released: then the goroutine frees the task. If not, whoever releases the last
/// may do so as soon as the lock is dropped.
static bool publish(ecru__worker *w, ecru_task *task) {
  ecru__lock_take(&task->ended.lock);
  for (ecru__watcher *watcher = task->watchers, *next; watcher; watcher = next) {
    next = watcher->next;
    watcher->queued = false;
    deliver(w, watcher);
  }
  task->watchers = NULL;
  bool is_orphan = atomic_load_explicit(&task->handles, memory_order_relaxed) == 0;
  // release: pairs with the acquire in ecru__event_is_set; the outcome is seen by whoever sees the end
  atomic_store_explicit(&task->ended.set, 1, memory_order_release);
  ecru__node *waiting = ecru__queue_claim_all(&task->ended.waiters);
  ecru__lock_drop(&task->ended.lock);
  ecru__ready_all(w, waiting);
  return is_orphan;
}

/// What its token has fired with: the parent speaks for one that has not been made. Then it is made after all, so that the
/// handle tells the same later, when the parent may be gone.
static int fired_with(ecru__worker *w, ecru_task *task) {
  ecru_token *token = atomic_load_explicit(&task->token, memory_order_acquire);
  if (!token && ecru__token_fired(task->parent) != 0) {
    ecru__lock_take(&task->ended.lock);
    task->is_taken = true; // there is nothing left to end
    ecru__lock_drop(&task->ended.lock);
    token = token_of(w, task);
  }
  return token ? ecru__token_fired(token) : 0;
}

/// at_end: runs when fn has returned, or when it has called ecru_exit: then the status is the one set at the start.
static void task_end(void *argument) {
  ecru_task *task = argument;
  ecru__worker *w = ecru__enter();
  if (!w) return; // a forked child
  int fired = fired_with(w, task);
  if (task->state == ECRU_TASK_FAILED) {
    const ecru__goroutine *goroutine = goroutine_here(w);
    atomic_store_explicit(&task->id, goroutine->id, memory_order_relaxed);
    memcpy(task->name, goroutine->name, sizeof task->name);
    if (task->status == ECRU_ECANCELED && fired != 0) task->state = ECRU_TASK_CANCELED;
  } else if (task->state == ECRU_TASK_RUNNING) {
    task->state = ECRU_TASK_CANCELED; // ecru_exit: it ended itself early on purpose, without a result
  }
  w->self->lazy_token = 0;
  bool is_orphan = publish(w, task);
  ecru__leave(w);
  if (is_orphan) task_free(task);
}

// ---- start --------------------------------------------------------------------------------------------------------

static ecru_task *create(ecru_token *parent, ecru_task_fn fn, void *argument) {
  ecru_task *task = ecru__malloc(sizeof *task);
  if (!task) return NULL;
  // Field by field: name and token_storage are written before they are looked at, and a memset of the rest takes 8 ns.
  task->ended = (ecru__event){0};
  ecru__handle_begin(&task->mark);
  atomic_init(&task->handles, 1);
  atomic_init(&task->observed, 0);
  task->status = ECRU_ECANCELED; // what joiners see if it ends by ecru_exit
  task->state = ECRU_TASK_RUNNING;
  task->result = NULL;
  task->fn = fn;
  task->argument = argument;
  task->watchers = NULL;
  atomic_init(&task->id, 0);
  task->parent = parent;
  atomic_init(&task->token, NULL);
  atomic_init(&task->runner, NULL);
  task->making = (ecru__lock){0};
  task->is_taken = false;
  atomic_init(&task->parts, 1);
  return task;
}

static int spawn(ecru_task **out, const ecru_go_options *options, ecru_task_fn fn, void *argument, void *site) {
  if (!out || !fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  bool has_token = options && options->size >= offsetof(ecru_go_options, host) && options->token;
  if (has_token) ECRU__CHECK_HANDLE_FOR("ecru_spawn_with", options->token);
  ecru_token *parent = has_token ? options->token : ecru__token_own(w);
  ecru_task *task = create(parent, fn, argument);
  int status = ECRU_ENOMEM;
  if (task) {
    ecru__spawn_spec spec = {.options = options, .fn = task_run, .argument = task, .at_end = task_end,
                             .at_end_argument = task, .token = parent, .site = site};
    uint64_t id = 0;
    status = ecru__spawn(w, &spec, &id);
    if (status == 0) atomic_store_explicit(&task->id, id, memory_order_relaxed);
    else ecru__free(task);
  }
  ecru__leave(w);
  if (status == 0) *out = task;
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
  ECRU__CHECK_HANDLE(task);
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

ecru__event *ecru__task_event(ecru_task *task) {
  ECRU__CHECK_HANDLE_FOR("ecru_select", task);
  return &task->ended;
}

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
  ECRU__CHECK_HANDLE(task);
  if (!task) return ECRU_EINVAL;
  return ecru__task_has_ended(task) ? (int)task->state : ECRU_TASK_RUNNING;
}

ecru_token *ecru_task_token(ecru_task *task) {
  ECRU__CHECK_HANDLE(task);
  if (!task) return NULL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__background_token; // a forked child
  ecru_token *token = ecru__task_is_self(w, task) ? ecru__token_own(w), token_of(w, task) : token_of(w, task);
  ecru__leave(w);
  return token;
}

int ecru_task_cancel(ecru_task *task, int cause) {
  ECRU__CHECK_HANDLE(task);
  if (!task || cause > 0) return ECRU_EINVAL;
  return ecru__task_has_ended(task) ? 0 : ecru_token_cancel(ecru_task_token(task), cause);
}

uint64_t ecru_task_id(ecru_task *task) {
  ECRU__CHECK_HANDLE(task);
  return task ? atomic_load_explicit(&task->id, memory_order_relaxed) : 0;
}

void ecru__task_in_child(void) { hook.lock = (ecru__lock){0}; }
