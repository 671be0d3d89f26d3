/// runtime/token.h: cancellation tokens inside the runtime (rules K1-K5).
///
/// A token is a node of a graph: it knows its parents, and each parent has a *family*, the list of its unfired children.
/// Firing a token takes the children out of its family, and so on down, then wakes whom it concerns:
///
///   1 head.fired goes from 0 to its status once, under token->lock; cause and origin are written before it.
///   2 A link is in a family from the creation of the child until the parent's firing or the child's last release takes it out,
///     under family->lock. So a child found in a family has not been freed yet, but its count may have reached zero.
///   3 Who links a child looks at the parent's head.fired under the lock of the family; who fires the parent writes head.fired
///     before he takes that lock: a child is either found in the family or fired by its creator.
///   4 A child counts its parents; a parent does not count its children. A waiter counts its current token, a scope the
///     one it covers, a registration its own. The root and the background token are static and not counted.
///   5 A waiter stands in the list of a counted token ("attached") from its first park under it until it changes its token or
///     ends. Only those in the list can be parked under that token, and no one else. But for the goroutine of a task: it may be
///     given its own, fired token while it stands in its parent's list (task.h, invariant 3), and moves when it parks again.
///   6 `next` belongs to the one who fired the token (its queue) and then to the one who frees it: never to both.
///
/// Lock order: token->lock -> done.lock or timer heap; family->lock and attach_lock are leaves, never held together.
///
/// Dropped: a generation walk from each check up to the root (no registration at all, but ecru_check has to touch every
/// ancestor); one lock for a whole tree (siblings' scopes then meet on it).
#ifndef ECRU_RUNTIME_TOKEN_H
#define ECRU_RUNTIME_TOKEN_H
#include <ecru/token.h>

#include "runtime/scheduler.h"

typedef struct ecru__link ecru__link;
typedef struct ecru__family ecru__family;
typedef struct ecru__scope ecru__scope;

/// A child's place in one parent's family.
struct ecru__link {
  ecru__link *next, *prev; // lock: family's
  ecru__family *family;    // set once
  ecru_token *child;       // set once
  ecru_token *parent;      // set once, counted
  bool linked;             // lock: family's
};
struct ecru__family {
  ecru__lock lock;
  ecru__link *first; // lock
};
/// What ecru_token_leave goes back to.
struct ecru__scope {
  ecru__scope *outer; // owner
  ecru_token *token;  // owner: the current token outside the scope, counted
};

struct ecru_token {
  struct ecru__token_head head;  // first
  _Atomic uint32_t references;   // atomic
  ecru__lock lock;               // guards what says so below
  _Atomic int32_t cause;         // atomic: written before head.fired
  _Atomic uint64_t origin;       // atomic: written before head.fired
  _Atomic uint64_t id;           // atomic: 0 until somebody asks
  _Atomic int64_t deadline_ns;   // atomic: its own, ECRU_FOREVER if none; written under lock
  bool armed;                    // lock: the timer was added and not removed by us
  ecru__timer_node timer;        // the deadline
  ecru__event done;              // set when fired
  ecru_registration *first_registration, *last_registration; // lock: in order of registration; none are added once fired
  ecru__lock attach_lock;
  ecru__waiter *attached;        // attach_lock: waiters not looked at since the token fired
  ecru__waiter *woken;           // attach_lock: those that were
  ecru_token *next;              // invariant 6
  ecru_task *task;               // set once: the task in whose block it lies (task.c), or NULL
  ecru_token *walk_next;         // lock: walk_lock (token.c)
  uint64_t walk_stamp;           // lock: walk_lock
  ecru__mark mark; // handle.h
  ecru__scope scope;             // the owner's, of a token made to be entered by its creator at once
  ecru__family family;           // its children (the root's are spread over several)
  uint32_t links_count;          // set once
  ecru__link links[];            // its places in its parents' families
};

/// Creates a token under `count` parents. returns: 0; ECRU_ENOMEM.
int ecru__token_create(ecru__worker *w, ecru_token **token, ecru_token *const *parents, size_t count, int64_t deadline_ns);
/// Prepares a task's token, with one parent or NULL, in ECRU__TOKEN_BYTES bytes of the task's block.
enum { ECRU__TOKEN_BYTES = sizeof(ecru_token) + sizeof(ecru__link) };
ecru_token *ecru__token_embed(ecru__worker *w, void *storage, ecru_token *parent, ecru_task *task);
/// task.c: such a token has fired: its goroutine may not have taken it yet; is gone: so may be the block.
void ecru__task_token_fired(ecru__worker *w, ecru_task *task, ecru_token *token, int status);
void ecru__task_drop_block(ecru_task *task);
/// task.c: ecru__token_shield and unshield of a waiter with a lazy token.
void ecru__task_shield(ecru__waiter *x);
void ecru__task_unshield(ecru__waiter *x);
/// Fires the token and all below it; runs callbacks (user code) before it returns. Does nothing if it has fired.
void ecru__token_cancel(ecru__worker **w, ecru_token *token, int status, int cause);
/// Fires it where user code must not run (timers).
void ecru__token_fire_quietly(ecru__worker *w, ecru_token *token, int status, int cause);

// scope.c: the current token of a waiter (scheduler.h has the rest).
/// Makes the background token current for one park, so that no token ends it.
void ecru__token_shield(ecru__waiter *x);
void ecru__token_unshield(ecru__waiter *x);
/// Claims and wakes with `status` all that are parked under the token.
void ecru__token_wake(ecru__worker *w, ecru_token *token, int status);
bool ecru__token_is_attached(ecru_token *token);

/// registration.c: runs the callbacks of a chain of fired tokens (through ->next), whose references it takes over.
void ecru__registrations_run(ecru__worker **w, ecru_token *chain);
/// The same where user code must not run: in a goroutine of its own.
void ecru__registrations_hand_over(ecru__worker *w, ecru_token *chain);
void ecru__registrations_start(void);
void ecru__registrations_stop(ecru__worker **w); // runs those that waited for memory

static inline int ecru__token_fired(const ecru_token *token) {
  // acquire: pairs with the release in mark(): cause and origin are there
  return atomic_load_explicit(&((ecru_token *)token)->head.fired, memory_order_acquire);
}

/// Of a node that was added and could not be removed: it was claimed, and its run is to come or under way. Otherwise a stop of the
/// runtime has cleared its heap, and nothing is to come.
static inline bool ecru__timer_is_claimed(const ecru__timer_node *node) {
  return atomic_load_explicit(&((ecru__timer_node *)node)->heap, memory_order_relaxed) != NULL;
}

/// Calls user code from inside the runtime, also such as was entered by ecru__enter_to_end.
static inline void ecru__call_user(ecru__worker **w, ecru_fn fn, void *argument, const char *function, const void *object) {
  ecru__leave(*w);
  fn(argument);
  *w = ecru__enter_to_end();
  if (!*w) ecru__panic(function, object, "a callback came back in a forked child");
}
#endif
