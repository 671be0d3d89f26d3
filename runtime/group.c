/// runtime/group.c: groups: goroutines that end before ecru_group_wait returns (T4).
///
///   1 running = slots in use: children alive, plus goers admitted that are about to start one. A slot freed while goers
///     are parked goes to the first of them, so running does not change and nobody overtakes (FIFO).
///   2 is_over is set by the first waiter that finds running == 0, under the lock; after it nothing starts. So a child may
///     start siblings while the group is being waited for, and the wait covers them.
///   3 A child has a record. When it ends, a failed child's record is appended to `failures`, any other goes to `spare`: so
///     noting an error never allocates, and a steady group starts goroutines without allocating either.
///   4 Who ends last touches the group no more after dropping the lock: destroy may free it then.
///
/// What counts as a failure: a negative status. Not so ECRU_ECANCELED after the group's token has fired, nor ecru_exit: such a
/// child has given up, which is a consequence, not a cause; that it did not finish still shows in the result of wait.
#include <string.h>

#include "platform/memory.h"
#include "runtime/task.h"

typedef struct child {
  ecru_group *group;
  ecru_task_fn fn;
  void *argument;
  void (*ended)(void *argument, int status);
  int status;
  bool has_returned;    // owner: the goroutine
  struct child *next;   // lock: the group's: in `failures` (then never changed once non-NULL) or `spare`
} child;

struct ecru_group {
  ecru__lock lock;
  ecru_token *token;    // set once: counted; children run under it
  size_t limit;         // set once; 0: none
  unsigned flags;       // set once
  size_t running;       // lock: see invariant 1
  bool is_over;         // lock: see invariant 2
  bool has_given_up;    // lock: a child was cancelled before it had finished
  ecru__queue goers;    // lock: parked for a slot
  ecru__queue waiters;  // lock: parked until running is 0
  child *failures, *last_failure; // lock: in order of time
  size_t failed;        // lock: how many
  child *spare;         // lock
  ecru__mark mark; // handle.h
};

// ---- slots --------------------------------------------------------------------------------------------------------

/// Gives a slot back: to the first goer, or wakes the waiters if it was the last. The lock is held and dropped.
static void free_slot(ecru__worker *w, ecru_group *group) {
  ecru__node *goer = ecru__queue_claim(&group->goers);
  ecru__node *waiting = NULL;
  if (!goer && --group->running == 0) waiting = ecru__queue_claim_all(&group->waiters);
  ecru__lock_drop(&group->lock); // invariant 4
  if (goer) ecru__ready(w, goer->waiter);
  ecru__ready_all(w, waiting);
}

/// Takes a slot and, if there is one, a spare record.
static int take_slot(ecru__worker **w, ecru_group *group, bool may_park, child **record) {
  ecru__lock_take(&group->lock);
  int fired = ecru__token_fired(group->token);
  if (group->is_over || fired != 0) {
    bool is_over = group->is_over;
    ecru__lock_drop(&group->lock);
    return is_over ? ECRU_ESHUTDOWN : fired;
  }
  if (group->limit != 0 && group->running >= group->limit) {
    if (!may_park) {
      ecru__lock_drop(&group->lock);
      return ECRU_EAGAIN;
    }
    ecru__node node;
    ecru__node_init(&node, (*w)->self);
    ecru__queue_push(&group->goers, &node);
    int status = ecru__park(w, &group->lock, ECRU__WAIT_GROUP_LIMIT, group);
    ecru__lock_take(&group->lock);
    ecru__queue_remove(&group->goers, &node);
    if (status == 0) status = node.status;
    if (status != 0) {
      ecru__lock_drop(&group->lock);
      return status;
    }
    fired = ecru__token_fired(group->token);
    if (fired != 0) { // by a parent, which sends nobody away: pass the slot on, each goer comes here
      free_slot(*w, group);
      return fired;
    }
  } else {
    group->running++;
  }
  *record = group->spare;
  if (*record) group->spare = (*record)->next;
  ecru__lock_drop(&group->lock);
  return 0;
}

// ---- children -----------------------------------------------------------------------------------------------------

static void child_run(void *argument) {
  child *self = argument;
  void *result = NULL;
  self->status = self->fn(self->argument, &result);
  self->has_returned = true;
}

static bool is_failure(const child *self) {
  if (self->status >= 0 || !self->has_returned) return false;
  return self->status != ECRU_ECANCELED || ecru__token_fired(self->group->token) == 0;
}

/// The lock is held. The record of a child that did not fail may be reused from here on.
static void note_outcome(child *self, ecru_group *group, bool failed) {
  if (failed) {
    self->next = NULL;
    if (group->last_failure) group->last_failure->next = self;
    else group->failures = self;
    group->last_failure = self;
    group->failed++;
  } else {
    if (self->status < 0) group->has_given_up = true;
    self->next = group->spare;
    group->spare = self;
  }
}

static void child_end(void *argument) {
  child *self = argument;
  ecru_group *group = self->group;
  if (self->ended) self->ended(self->argument, self->status);
  bool failed = is_failure(self);
  ecru__worker *w = ecru__enter();
  if (!w) return; // a forked child process
  ecru__lock_take(&group->lock);
  note_outcome(self, group, failed);
  if (failed && group->failed == 1 && !(group->flags & ECRU_GROUP_SUPERVISOR)) {
    ecru__lock_drop(&group->lock); // the slot, still taken, keeps the group alive
    ecru__leave(w);
    ecru_group_cancel(group, self->status);
    w = ecru__enter();
    if (!w) return;
    ecru__lock_take(&group->lock);
  }
  free_slot(w, group);
  ecru__leave(w);
}

int ecru__group_start(ecru_group *group, ecru_task_fn fn, void *argument, void (*ended)(void *argument, int status),
                      bool may_park, void *site) {
  if (!group || !fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  child *record = NULL;
  int status = may_park ? ecru__canceled(w) : 0;
  if (status == 0) status = take_slot(&w, group, may_park, &record);
  if (status != 0) {
    ecru__leave(w);
    return status;
  }
  if (!record) record = ecru__malloc(sizeof *record);
  if (record) {
    *record = (child){.group = group, .fn = fn, .argument = argument, .ended = ended, .status = ECRU_ECANCELED};
    ecru__spawn_spec spec = {.fn = child_run, .argument = record, .at_end = child_end, .at_end_argument = record,
                             .token = group->token, .site = site};
    status = ecru__spawn(w, &spec, NULL);
  } else {
    status = ECRU_ENOMEM;
  }
  if (status != 0) {
    ecru__free(record);
    ecru__lock_take(&group->lock);
    free_slot(w, group);
  }
  ecru__leave(w);
  return status;
}

int ecru_group_go(ecru_group *group, ecru_task_fn fn, void *argument) {
  ECRU__CHECK_HANDLE(group);
  return ecru__group_start(group, fn, argument, NULL, true, __builtin_return_address(0));
}

int ecru_group_try_go(ecru_group *group, ecru_task_fn fn, void *argument) {
  ECRU__CHECK_HANDLE(group);
  return ecru__group_start(group, fn, argument, NULL, false, __builtin_return_address(0));
}

// ---- the group ----------------------------------------------------------------------------------------------------

int ecru_group_create(ecru_group **group, size_t limit, unsigned flags) {
  if (!group || (flags & ~(unsigned)ECRU_GROUP_SUPERVISOR) != 0) return ECRU_EINVAL;
  ecru_group *created = ecru__calloc(1, sizeof *created);
  if (!created) return ECRU_ENOMEM;
  ecru__handle_begin(&created->mark);
  created->limit = limit;
  created->flags = flags;
  int status = ecru_token_create(&created->token, NULL, ECRU_FOREVER);
  if (status != 0) {
    ecru__free(created);
    return status;
  }
  *group = created;
  return 0;
}

static void cancel(ecru__worker **w, ecru_group *group, int cause) {
  ecru__token_cancel(w, group->token, ECRU_ECANCELED, cause);
  ecru__lock_take(&group->lock);
  ecru__node *goers = ecru__queue_claim_all(&group->goers);
  for (ecru__node *goer = goers; goer; goer = goer->next) goer->status = ecru__token_fired(group->token);
  ecru__lock_drop(&group->lock);
  ecru__ready_all(*w, goers);
}

int ecru_group_cancel(ecru_group *group, int cause) {
  ECRU__CHECK_HANDLE(group);
  if (!group || cause > 0) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  cancel(&w, group, cause ? cause : ECRU_ECANCELED);
  ecru__leave(w);
  return 0;
}

ecru_token *ecru_group_token(ecru_group *group) {
  ECRU__CHECK_HANDLE(group);
  return group ? group->token : NULL;
}

size_t ecru_group_errors(ecru_group *group, int *statuses, size_t room) {
  ECRU__CHECK_HANDLE(group);
  if (!group) return 0;
  ecru__lock_take(&group->lock);
  size_t failed = group->failed;
  const child *failure = group->failures;
  ecru__lock_drop(&group->lock);
  // Without the lock: the first `failed` records and the links between them do not change any more.
  for (size_t i = 0; statuses && i < failed && i < room; i++) {
    statuses[i] = failure->status;
    if (i + 1 < failed) failure = failure->next;
  }
  return failed;
}

bool ecru__group_is_own(ecru__worker *w, const ecru_group *group) {
  if (w->self == &w->waiter) return false;
  const ecru__goroutine *goroutine = (const ecru__goroutine *)(const void *)w->self;
  return goroutine->at_end == child_end && ((const child *)goroutine->at_end_argument)->group == group;
}

/// Parks until no child runs; then the group is over. returns: 0; as ecru__park, unless shielded.
static int wait_until_over(ecru__worker **w, ecru_group *group, bool shielded) {
  ecru__node node;
  int status = 0;
  ecru__lock_take(&group->lock);
  while (status == 0 && group->running != 0) {
    ecru__node_init(&node, (*w)->self);
    ecru__queue_push(&group->waiters, &node);
    status = shielded ? ecru__park_shielded(w, &group->lock, ECRU__WAIT_GROUP, group)
                      : ecru__park(w, &group->lock, ECRU__WAIT_GROUP, group);
    ecru__lock_take(&group->lock);
    ecru__queue_remove(&group->waiters, &node);
  }
  if (status == 0) group->is_over = true;
  ecru__lock_drop(&group->lock);
  return status;
}

static int outcome(ecru_group *group) {
  ecru__lock_take(&group->lock);
  int status = group->failures ? group->failures->status : group->has_given_up ? ECRU_ECANCELED : 0;
  ecru__lock_drop(&group->lock);
  return status;
}

int ecru_group_wait(ecru_group *group) {
  ECRU__CHECK_HANDLE(group);
  if (!group) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  if (ecru__group_is_own(w, group)) {
    ecru__leave(w);
    return ECRU_EDEADLK;
  }
  int status = ecru__canceled(w);
  if (status == 0) status = wait_until_over(&w, group, false);
  ecru__leave(w);
  if (status != 0) {
    ecru_group_cancel(group, ecru_token_cause(ecru_token_current()));
    w = ecru__enter();
    if (!w) return ecru__enter_status();
    wait_until_over(&w, group, true);
    ecru__leave(w);
  }
  return outcome(group);
}

static void free_records(child *record) {
  while (record) {
    child *next = record->next;
    ecru__free(record);
    record = next;
  }
}

void ecru_group_destroy(ecru_group *group) {
  ECRU__CHECK_HANDLE(group);
  if (!group) return;
  ecru__worker *w = ecru__enter_to_end();
  if (!w) return; // a forked child process: its copy of the children is gone
  if (ecru__group_is_own(w, group)) ecru__panic("ecru_group_destroy", group, "called from one of the group's goroutines");
  cancel(&w, group, ECRU_ECANCELED);
  wait_until_over(&w, group, true);
  ecru__leave(w);
  ecru_token_release(group->token);
  free_records(group->failures);
  free_records(group->spare);
  ecru__handle_free(&group->mark, group, sizeof *group);
}
