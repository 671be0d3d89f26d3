/// runtime/task.h: what join.c, group.c and pool.c know of tasks and groups.
///
/// A task is a goroutine with a place for its outcome that outlives it:
///
///   1 status, result, state and name are written by the task's goroutine before `ended` is set and never again; so
///     whoever has seen `ended` set reads them without a lock.
///   2 The goroutine touches the task until it drops the lock under which it has set `ended`. handles goes to 0 only under that
///     lock: whoever comes second, the goroutine's end or the release of the last handle, frees the task.
///   3 The task's token is lazy: made when somebody asks for it or the goroutine hands its current token on. Until then the
///     goroutine runs under `parent`, its spawner's token (waiter.lazy_token is set). It takes its own before it enters a
///     scope, spawns, or derives a token; if another asks first, the token, a child of `parent`, is taken when it fires, by
///     who fires it. Taking = waiter.token goes from `parent` to `token`, once, under ended.lock, before `ended` is set.
///   4 The token lies in the task's block. `parts` counts who needs the block: the task, and its token once it is made.
///   5 A watcher is in its task's list from ecru__task_watch until it is delivered, both under ended.lock: one that is found
///     unqueued under that lock has been delivered completely, and its collector may go away.
///
/// Lock order: a task's ended.lock -> a collector's lock.
#ifndef ECRU_RUNTIME_TASK_H
#define ECRU_RUNTIME_TASK_H
#include <ecru/task.h>

#include "runtime/token.h"

typedef struct ecru__watcher ecru__watcher;
typedef struct ecru__collector ecru__collector;

struct ecru_task {
  ecru__event ended;             // latch; its lock also guards what says so below
  _Atomic uint32_t handles;      // atomic: see invariant 2
  _Atomic uint32_t observed;     // atomic: somebody has looked at the status (T2)
  int32_t status;                // see invariant 1
  uint32_t state;                // see invariant 1: ECRU_TASK_*
  void *result;                  // see invariant 1
  ecru_task_fn fn;               // set once
  void *argument;                // set once
  ecru__watcher *watchers;       // lock: ended.lock
  _Atomic uint64_t id;           // atomic: of the goroutine; both sides of the start write the same number
  ecru_token *parent;            // set once: kept alive by the goroutine until it has ended, then by `token` if that is made
  _Atomic(ecru_token *) token;   // atomic: NULL until made
  _Atomic(ecru__waiter *) runner; // atomic: the goroutine, once it runs
  ecru__lock making;             // guards the making of the token
  bool is_taken;                 // lock: ended.lock: see invariant 3
  _Atomic uint32_t parts;        // atomic: see invariant 4
  char name[ECRU__NAME_BYTES];   // see invariant 1: the goroutine's, kept only for a report
  ecru__mark mark;               // handle.h; of the handles: dead although the goroutine may go on
  _Alignas(ecru_token) char token_storage[ECRU__TOKEN_BYTES];
};

/// Somebody waiting for the next of many tasks to end: one watcher a task, one collector a wait.
struct ecru__watcher {
  ecru__watcher *next, *prev;    // lock: task->ended.lock
  bool queued;                   // lock: task->ended.lock
  ecru_task *task;               // set once
  ecru__collector *collector;    // set once
  ecru__watcher *done_next;      // lock: collector's
};
struct ecru__collector {
  ecru__lock lock;
  ecru__queue waiters;                   // lock
  ecru__watcher *done_head, *done_tail;  // lock: ended, not yet taken, in order of completion
};

/// Has task delivered to the watcher's collector when it ends; at once if it has.
void ecru__task_watch(ecru__worker *w, ecru__watcher *watcher, ecru_task *task, ecru__collector *collector);
/// No delivery happens after this returns.
void ecru__task_unwatch(ecru__watcher *watcher);
/// Whether the worker's goroutine is the task's own.
bool ecru__task_is_self(ecru__worker *w, ecru_task *task);
/// Somebody has looked at how the task ended (T2). Also for select.
void ecru__task_observe(ecru_task *task);
static inline bool ecru__task_has_ended(const ecru_task *task) { return ecru__event_is_set(&task->ended); }

/// Starts fn(argument) in the group; called outside (no ecru__enter). `ended` (may be NULL) is called with argument and the
/// child's status when it ends, also by ecru_exit, before the group takes note of it.
int ecru__group_start(ecru_group *group, ecru_task_fn fn, void *argument, void (*ended)(void *argument, int status),
                      bool may_park, void *site);
/// Whether the worker's goroutine is a child of the group.
bool ecru__group_is_own(ecru__worker *w, const ecru_group *group);
#endif
