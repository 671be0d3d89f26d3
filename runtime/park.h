/// runtime/park.h: the one way to block (architecture.md). Everything that waits does it here.
///
/// A *waiter* is a goroutine or a foreign thread. To wait, it puts *nodes* (on its own stack) into the queues of the objects it
/// waits on, under their locks, and parks. The locks are dropped only after the switch, so that nobody can find a waiter
/// that still runs. A waker takes an object's lock, finds a node, and *claims* its waiter: one compare-and-swap that exactly
/// one waker wins. Cancellation and deadlines are further wakers racing for the same claim.
///
///   1 A node is in at most one queue; its links are guarded by the lock of the object that has the queue.
///   2 A node leaves its queue before the operation it belongs to returns: removed by the waker that won or lost the claim
///     under the object's lock, or by its waiter under that lock. So a node found under the lock is alive.
///   3 A waiter is ARMED only while it is fully switched out (a thread: while it will look at its futex before anything else).
///   4 Whoever turns ARMED into CLAIMED writes wake_node and wake_status, then, without any object's lock held if it
///     can, calls ecru__ready exactly once.
///   5 The current token is checked after arming; who fires a token marks it first and then looks for armed
///     waiters, with a heavy fence between (token.c), so one of the two sees the other.
///
/// Lock order: objects (by address, when several) -> timer heap -> token attachment lists. ecru__ready may be called under any.
///
/// How a primitive is written (all public functions follow this; its .c file includes "runtime/scheduler.h"):
///
///   int ecru_thing_wait(ecru_thing *thing) {
///     if (!thing) return ECRU_EINVAL;
///     ecru__worker *w = ecru__enter();
///     if (!w) return ecru__enter_status();
///     int status = ecru__canceled(w);                  // level-triggered: every parking call is a cancellation point
///     if (status == 0) status = thing_wait(&w, thing);
///     ecru__leave(w);
///     return status;
///   }
///   static int thing_wait(ecru__worker **w, ecru_thing *thing) {
///     ecru__node node;
///     ecru__lock_take(&thing->lock);
///     if (thing->ready) { ecru__lock_drop(&thing->lock); return 0; }
///     ecru__node_init(&node, (*w)->self);
///     ecru__queue_push(&thing->waiters, &node);
///     int status = ecru__park(w, &thing->lock, ECRU__WAIT_THING, thing);   // drops the lock; *w may be another worker now
///     if (status != 0) {                               // the token won the claim: the node may still be queued
///       ecru__lock_take(&thing->lock);
///       ecru__queue_remove(&thing->waiters, &node);    // harmless if a waker has dropped it
///       ecru__lock_drop(&thing->lock);
///     }
///     return status;
///   }
///   ... and its waker, with w from ecru__enter():
///     ecru__lock_take(&thing->lock);
///     ecru__node *node = ecru__queue_claim(&thing->waiters);   // NULL: nobody (claims and unlinks the first claimable)
///     ecru__lock_drop(&thing->lock);
///     if (node) ecru__ready(w, node->waiter);          // node is alive until here
#ifndef ECRU_RUNTIME_PARK_H
#define ECRU_RUNTIME_PARK_H
#include <ecru/base.h>
#include <stdbool.h>

#include "runtime/lock.h"

typedef struct ecru__worker ecru__worker;
typedef struct ecru__waiter ecru__waiter;
typedef struct ecru__node ecru__node;

/// Why somebody waits: shown in dumps, in this order.
#define ECRU__WAIT_REASONS(X)                                                                                         \
  X(NONE, "running") X(SEND, "chan send") X(RECV, "chan receive") X(SELECT, "select") X(SLEEP, "sleep") X(TIMER, "timer")  \
  X(MUTEX, "mutex") X(RWMUTEX, "rwmutex lock") X(RWMUTEX_READ, "rwmutex read lock") X(COND, "cond")                    \
  X(WAITGROUP, "wait group") X(ONCE, "once") X(SEMAPHORE, "semaphore") X(BARRIER, "barrier")                           \
  X(SINGLEFLIGHT, "singleflight") X(LIMITER, "rate limiter") X(JOIN, "join") X(GROUP, "group wait")                    \
  X(GROUP_LIMIT, "group limit") X(TOKEN, "token") X(REGISTRATION, "token unregister") X(FOREVER, "forever")            \
  X(STOP, "runtime stop") X(READ, "io read") X(WRITE, "io write") X(ACCEPT, "io accept") X(CONNECT, "io connect")         \
  X(READY, "io wait") X(CLOSE, "io close")                                                                     \
  X(UV, "libuv") X(DNS, "name look-up") X(FILE, "file") X(PROCESS, "process wait") X(SIGNAL, "signal wait") X(WATCH, "file watch")
enum ecru__wait_reason {
#define ECRU__WAIT_ENUM(name, text) ECRU__WAIT_##name,
  ECRU__WAIT_REASONS(ECRU__WAIT_ENUM)
#undef ECRU__WAIT_ENUM
};

enum { ECRU__RUNNING = 0, ECRU__ARMED = 1, ECRU__CLAIMED = 2, ECRU__INSPECTED = 3 };
/// waiter->is_thread; ECRU__NATIVELY: those that sleep with their thread
enum { ECRU__THREAD = 1, ECRU__OWN = 2, ECRU__NATIVELY = 3, ECRU__HOSTED = 4 };

struct ecru__node {
  ecru__node *next, *prev;  // lock: the queue's object
  ecru__waiter *waiter;     // set once
  void *element;            // owner until queued: where a value comes from or goes to
  int32_t status;           // the claiming waker writes, the waiter reads after waking
  uint32_t index;           // owner: the case of a select
  uint64_t data;            // owner until queued: whatever the primitive needs (weights, tickets)
  bool queued;              // lock: the queue's object
};
typedef struct ecru__queue {
  ecru__node *head, *tail;  // lock: the object's
} ecru__queue;

/// The first 64 bytes are one cache line: all that parking, claiming and resuming touch.
struct ecru__waiter {
  _Atomic uint32_t state;    // atomic: ECRU__RUNNING ... see invariants 3, 4
  uint8_t is_thread;         // set once per incarnation: ECRU__OWN: counts in sched.own_awake; ECRU__HOSTED: parks as a goroutine, runs on its host only
  uint8_t reason;            // owner, read racily by dumps: enum ecru__wait_reason
  uint8_t lazy_token;        // owner: it runs a task that has not taken its own token yet (task.c)
  int32_t wake_status;       // claimer: what ecru__park returns
  _Atomic uint32_t futex;    // atomic: threads only: 1 = woken
  void *context;             // goroutines only: owner; whoever resumes it reads
  ecru__node *wake_node;     // claimer: which node won; NULL: the token or a timer
  ecru_token *token;         // owner: the current token, never NULL; while lazy_token also task.c, with the task's lock
  ecru_token *attached;      // owner: the token in whose list it stands, NULL or == token
  const void *object;        // owner, for dumps: what it waits on
  int64_t since_ns;          // owner, for dumps: when it began to wait (coarse)
  ecru__waiter *attach_next, *attach_prev; // lock: attached->attach_lock
  struct ecru__scope *scopes;   // owner: stack of token scopes (token.c)
  struct ecru__locals *locals;  // owner: goroutine-local values (local.c)
  struct ecru__binding *scoped; // owner: innermost scoped value (local.c), counted
  const char *waits_for;        // owner, for dumps: what its waits are called, whatever their reason; NULL: by that
};

/// The current token as it is now: a lazy one may be changed by who fires it.
static inline ecru_token *ecru__waiter_token(const ecru__waiter *x) {
  // acquire: pairs with the release in ecru__task_token_fired: the token is seen fired
  return __atomic_load_n(&x->token, __ATOMIC_ACQUIRE);
}

/// Enters the runtime: every public function's first act. Starts the runtime or adopts the thread if need be. While
/// inside, the worker's processor cannot be taken away. May park shortly if it was taken while outside.
/// returns: the calling thread's worker; NULL: ecru__enter_status() says why.
ecru__worker *ecru__enter(void);
int ecru__enter_status(void);
/// As ecru__enter, for what ends something and cannot say that it did not: NULL only in a forked child. If the runtime cannot be
/// started, or the thread not be made known to it, the worker stands for a thread ecru has not seen: good for locks, wake-ups and
/// callbacks, and for a shielded park.
ecru__worker *ecru__enter_to_end(void);
/// The calling thread's worker without entering; NULL in a thread ecru has not seen. Valid until the next possible switch.
ecru__worker *ecru__worker_here(void);
/// 1 in a child after a fork: whatever takes a lock before it enters asks this first (G14).
int ecru__worker_forked(void);
/// Leaves it: the last act. Also around every call of user code from inside (callbacks), then enter again.
/// (void ecru__leave(ecru__worker *w), inline in scheduler.h)

/// 0, or the status of the current token if it has fired.
/// (int ecru__canceled(ecru__worker *w), inline in scheduler.h)

/// Parks the worker's current waiter. `held` is dropped after the switch. *w is the worker it wakes on.
/// returns: wake_status of the claimer: 0 or what it says; ECRU_ECANCELED/ECRU_ETIMEDOUT: the current token fired.
int ecru__park(ecru__worker **w, ecru__lock *held, int reason, const void *object);
/// The same with an arbitrary release(argument), run after the switch on another stack: it must not park or enter. It must drop at
/// least one lock that the woken waiter takes before it returns: the switch still looks at the waiter's token and at
/// argument while a canceller may already have woken it.
int ecru__park_with(ecru__worker **w, void (*release)(void *argument), void *argument, int reason, const void *object);
/// ecru__park that no token ends (re-locking after a cond wait, unregister): not a cancellation point.
int ecru__park_shielded(ecru__worker **w, ecru__lock *held, int reason, const void *object);

/// Wins or loses the right to wake x.
bool ecru__claim(ecru__waiter *x);
/// Makes a claimed waiter run: the caller has won its claim and written wake_status (0 unless told otherwise) and wake_node.
void ecru__ready(ecru__worker *w, ecru__waiter *x);

static inline void ecru__node_init(ecru__node *node, ecru__waiter *waiter) {
  node->next = node->prev = NULL;
  node->waiter = waiter;
  node->element = NULL;
  node->status = 0;
  node->index = 0;
  node->data = 0;
  node->queued = false;
}
static inline void ecru__queue_push(ecru__queue *queue, ecru__node *node) {
  node->next = NULL;
  node->prev = queue->tail;
  if (queue->tail) queue->tail->next = node;
  else queue->head = node;
  queue->tail = node;
  node->queued = true;
}
static inline void ecru__queue_remove(ecru__queue *queue, ecru__node *node) {
  if (!node->queued) return;
  if (node->prev) node->prev->next = node->next;
  else queue->head = node->next;
  if (node->next) node->next->prev = node->prev;
  else queue->tail = node->prev;
  node->queued = false;
}
/// Unlinks nodes from the front until one's waiter is claimed; sets its waiter's wake_node and wake_status = 0.
static inline ecru__node *ecru__queue_claim(ecru__queue *queue) {
  for (ecru__node *node; (node = queue->head) != NULL;) {
    ecru__queue_remove(queue, node);
    if (!ecru__claim(node->waiter)) continue; // another waker was first: its waiter cleans up by itself
    node->waiter->wake_node = node;
    node->waiter->wake_status = 0;
    return node;
  }
  return NULL;
}

/// A latch: once set it stays set; waiting on it ends when it is set. Embedded in tokens (done), tasks (ended) and more.
typedef struct ecru__event {
  ecru__lock lock;
  ecru__queue waiters;  // lock
  _Atomic uint32_t set; // atomic: release on set, acquire on look
} ecru__event;
static inline bool ecru__event_is_set(const ecru__event *event) {
  return atomic_load_explicit(&((ecru__event *)event)->set, memory_order_acquire) != 0;
}
/// Sets it and wakes all that wait. Idempotent.
void ecru__event_set(ecru__worker *w, ecru__event *event);
/// Waits for it. returns: as ecru__park. The caller has checked ecru__canceled.
int ecru__event_wait(ecru__worker **w, ecru__event *event, int reason, const void *object);
int ecru__event_wait_shielded(ecru__worker **w, ecru__event *event, int reason, const void *object);
/// After the event was seen set: returns when whoever set it has let go of it, so that its memory may go.
static inline void ecru__event_settle(ecru__event *event) {
  ecru__lock_take(&event->lock);
  ecru__lock_drop(&event->lock);
}
/// Claims all waiters of a queue under its lock into a chain (through node->next), to be woken by ecru__ready_all after it.
ecru__node *ecru__queue_claim_all(ecru__queue *queue);
void ecru__ready_all(ecru__worker *w, ecru__node *chain);

/// Wrong use that a correct program cannot commit: prints function, object and goroutine, then aborts.
_Noreturn void ecru__panic(const char *function, const void *object, const char *what);
#endif
