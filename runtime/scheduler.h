/// runtime/scheduler.h: goroutines, workers, processors (G-M-P) and the one scheduler.
///
///   1 A goroutine runs only on a worker; it is in exactly one of: a run queue, a worker's `self`, a parked state. Before its first
///     run it is a *seed* (seed.h): run queues and `next` hold both, told apart by ecru__is_seed.
///   2 A worker runs goroutines only while it owns a processor; a processor has at most one owner. Owner = the worker whose
///     `baton` points to it, or the idle list (with the worker that sleeps on its behalf), or whoever holds it in hand-off.
///   3 The baton is the right to a worker's processor. While worker->inside is set, nobody takes it. The monitor takes one by:
///     baton = NULL, heavy fence, look at inside: 0: it is taken; 1: put it back (all under worker->lock). The worker: inside =
///     1, light fence, look at the baton; if NULL it takes worker->lock before it believes that. If the worker is always inside when
///     looked at, the baton stays down with `preempt` set: at its next entry the goroutine queues up behind the others. Inside, the owner uses
///     worker->processor, which only the owner writes, so that it never sees a baton that is about to be put back.
///   4 Local run queues have one producer, their processor's owner; anybody steals from their heads. `next` and the bed are the
///     owner's alone.
///   5 Every idle processor has a worker asleep on its behalf until the processor's earliest timer.
#ifndef ECRU_RUNTIME_SCHEDULER_H
#define ECRU_RUNTIME_SCHEDULER_H
#include <ecru/debug.h>
#include <ecru/runtime.h>

#include "runtime/handle.h"
#include "runtime/park.h"
#include "platform/fence.h"
#include "runtime/timers.h"

typedef struct ecru__goroutine ecru__goroutine;
typedef struct ecru__processor ecru__processor;

/// A plain field with one writer that others look at without its lock, for a hint or a report: no tearing, no order.
#define ECRU__SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define ECRU__LOOK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/// splitmix64: numbers ECRU__GOLDEN apart become unrelated ones.
#define ECRU__GOLDEN UINT64_C(0x9e3779b97f4a7c15)
static inline uint64_t ecru__mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

enum { ECRU__DEAD = 0, ECRU__RUNNABLE = 1, ECRU__ON_CPU = 2, ECRU__WAITING = 3, ECRU__BLOCKING = 4 };
enum { ECRU__NAME_BYTES = 32, ECRU__RING = 256, ECRU__MAXPROCS_LIMIT = 256, ECRU__CACHED_STACKS = 64 };
enum { ECRU__HOSTS_LIMIT = 64, ECRU__HEAPS = ECRU__MAXPROCS_LIMIT + ECRU__HOSTS_LIMIT };

/// Lies at the top of its own stack: a parked goroutine costs one page.
struct ecru__goroutine {
  ecru__waiter waiter;          // first: the one is the other
  ecru__worker *pinned;         // owner: the worker it must run on, or NULL
  void *mark;                   // owner: of a hosted one, its host's (host.h)
  int64_t ready_ns;             // waker: when made runnable, sampled for the latency histogram; 0: not sampled
  _Atomic uint32_t status;      // atomic: ECRU__DEAD ... for dumps and counters
  int saved_errno;              // owner, while switched out
  void *saved_exceptions[2];    // owner, while switched out: __cxa_eh_globals
  struct ecru__stack *stack;    // set once per incarnation
  ecru__goroutine *queue_next;  // in a pinned, free or spill list: that list's lock
  uint32_t pins;                // owner: nesting of ecru_pin
  uint32_t flags;               // set once: ECRU_PINNED, ECRU_OWN_THREAD
  ecru_fn fn;                   // set once
  void *argument;               // set once
  ecru_fn at_end;               // set once: runs when it ends, by return or by ecru_exit; may be NULL
  void *at_end_argument;        // set once
  uint64_t id, parent_id;       // set once
  void *site;                   // set once: return address of the call that started it
  int64_t started_ns;           // set once (coarse)
  void *tsan_fiber, *asan_fake_stack; // owner
  unsigned valgrind_stack;      // set once
  char name[ECRU__NAME_BYTES];  // owner, read racily by dumps
};

/// Where seeds wait, by spawner (queue.c): a stack of groups, each a queue of the seeds one goroutine has sown.
enum { ECRU__BED = 1024, ECRU__BED_GROUPS = 256 };
typedef struct ecru__bed {
  uint32_t count, end, groups;  // seeds in all; items[0..end) are in use, with gaps; groups
  struct { uint64_t spawner; uint32_t base, first; } group[ECRU__BED_GROUPS]; // seeds: [first, next group's base or end)
  ecru__goroutine *items[ECRU__BED];
} ecru__bed;

struct ecru__processor {
  _Atomic uint32_t head;        // atomic: thieves and owner
  _Atomic uint32_t tail;        // owner writes, thieves read
  ecru__goroutine *next;        // owner
  struct ecru_host *host;      // of a host's: none but its goroutines run here (host.h); NULL: anybody's; changed while nobody runs here
  uint32_t tick;                // owner: switches; the monitor reads racily
  int64_t looked_ns;            // owner: when it last looked at the poller of its own accord (coarse)
  uint32_t next_run;            // owner: how often in a row `next` was taken
  _Atomic uint32_t attention;   // atomic: the monitor asks the owner to look at timers and the global queue
  uint32_t index;               // set once
  ecru__processor *unmanned_next; // lock: scheduler's
  uint32_t random;              // owner: state of xorshift
  _Atomic uint32_t retired;     // atomic: maxprocs was lowered
  ecru__goroutine *free_head;   // owner: cached goroutines of the default stack size, LIFO
  uint32_t free_count;          // owner
  uint32_t rights;              // owner: stacks it may still take (stack.c: every goroutine has one, started or not)
  ecru__bed bed;                // owner
  int64_t bed_aged;             // owner: when the oldest last left the bed (coarse)
  uint32_t bed_turn;            // owner: counts the choices between bed and ring
  struct ecru__seed *seeds;     // owner: unused seeds (seed.c)
  uint32_t seed_count;          // owner
  uint64_t id_next, id_end;     // owner: batch of goroutine ids
  ecru__timers *timers;         // set once: one of a static table, so that a node's heap is never dangling
  _Atomic(ecru__worker *) owner; // atomic: who runs or keeps it; the monitor reads
  _Atomic uint64_t spawned, ended; // owner writes; read by whoever counts
  _Atomic uint64_t brought;     // atomic: a host's: spawned for it by others
  uint64_t switches, parks, steals; // owner, read racily
  uint64_t latency[32];         // owner, read racily
  uint32_t seen_tick;           // monitor
  bool seen_late;               // monitor: its goroutine has been asked to let late timers go first
  int64_t seen_since;           // monitor
  _Alignas(64) _Atomic(ecru__goroutine *) ring[ECRU__RING];
};

struct ecru__worker {
  _Atomic(ecru__processor *) baton; // owner; the monitor as in invariant 3
  ecru__processor *processor;   // owner: the same, seen from inside; NULL in threads that run no goroutines
  _Atomic uint32_t inside;      // owner writes; monitor reads
  ecru__waiter *self;           // owner: who runs: a goroutine, or the thread itself (foreign, own-thread, idle)
  ecru__waiter *post_waiter;    // owner: of the context just left: to be armed...
  void (*post_release)(void *); // ... its locks to be released ...
  void *post_argument;
  ecru__goroutine *post_goroutine; // owner: of the context just left: to be queued or freed, see post_kind
  uint32_t post_kind;           // owner: what becomes of it
  ecru__goroutine *undelivered; // owner: picked, but pinned to another worker
  uint32_t is_foreign;          // set once: not started by the scheduler
  uint32_t on_native;           // owner: the goroutine runs on the thread's native stack (ecru_on_thread_stack)
  void *native;                 // owner: context of the scheduling loop on the thread's native stack
  _Atomic(ecru__processor *) lent; // atomic: the processor left behind by ecru_blocking_enter; who swaps it out owns it
  int64_t lent_ns;              // owner, read racily by the monitor: when it lent its processor, if others waited for it; else 0
  ecru__lock lock;              // guards hand-off (invariant 3) and `pinned_*`
  ecru__goroutine *pinned_head, *pinned_tail; // lock: runnable goroutines that must run here
  _Atomic uint32_t pinned_count; // atomic: written under lock, looked at without
  uint32_t preempt;             // lock: the baton is down for a request, not for good: the goroutine shall let others go first
  _Atomic uint32_t outside;     // lock: its processor was taken while it ran foreign code: it will come back by itself
  _Atomic uint32_t wake;        // atomic: futex of the idle worker
  _Atomic uint32_t in_poller;   // atomic: it sleeps there instead
  _Atomic uint32_t visitors;    // atomic: of a host's: threads that use this outside its own and the scheduler's lock (host.h, invariant 6)
  _Atomic uint32_t stopping;    // atomic
  ecru__worker *idle_next;      // lock: scheduler's: idle and spare lists
  ecru__worker *all_next, *all_prev; // lock: scheduler's
  int *errno_place;             // set once by the thread
  void **exceptions;            // set once by the thread: __cxa_get_globals() or NULL
  void *thread;                 // set by the starter before `started`: handle for join
  _Atomic uint32_t started;     // atomic: the starter is done with this structure
  uint64_t thread_id;           // set once
  void *native_stack_low;       // set once
  size_t native_stack_bytes;    // set once
  uint64_t epoch;               // owner: of foreign threads: the runtime's start it is registered with
  uint32_t spinning;            // owner: counted in scheduler.spinning
  uint32_t listed;              // lock: scheduler's: ECRU__LISTED_*
  uint32_t pinned_total;        // atomic use under lock: live goroutines that must run here
  int64_t spare_since;          // lock: scheduler's
  ecru__goroutine *own_goroutine; // set once: of an own-thread goroutine
  void *tsan_fiber, *asan_fake_stack;
  struct ecru_host *host;      // owner: it runs goroutines of its own (host.h), or NULL
  ecru__waiter waiter;          // the thread's own waiter
};

/// Whether the token has fired: first field of every token, so that the check is one load.
struct ecru__token_head {
  _Atomic int32_t fired; // atomic: 0, or ECRU_ECANCELED or ECRU_ETIMEDOUT; release by who fires it
};

static inline void ecru__leave(ecru__worker *w) {
  // release: what the runtime did for this goroutine happens before the monitor takes its processor
  atomic_store_explicit(&w->inside, 0, memory_order_release);
}
static inline int ecru__canceled(ecru__worker *w) {
  const struct ecru__token_head *token = (const struct ecru__token_head *)ecru__waiter_token(w->self);
  return atomic_load_explicit(&((struct ecru__token_head *)token)->fired, memory_order_acquire);
}

/// How to start a goroutine from inside the runtime.
typedef struct ecru__spawn_spec {
  const ecru_go_options *options; // NULL: defaults (validated by ecru__spawn)
  ecru_fn fn;
  void *argument;
  const void *copy;               // bytes copied onto the new stack and given to fn instead of argument, or NULL
  size_t copy_bytes;
  ecru_fn at_end;                 // run in the goroutine when it ends, also by ecru_exit; may be NULL
  void *at_end_argument;
  ecru_token *token;              // current token of the goroutine (retained); NULL: options' or the spawner's
  void *site;
} ecru__spawn_spec;
/// returns: 0 (and *id, which may be NULL); errors as ecru_go.
int ecru__spawn(ecru__worker *w, const ecru__spawn_spec *spec, uint64_t *id);

/// The current token, to be handed on or derived from: a task's goroutine takes its own token then (task.c). Owner only.
void ecru__task_take_token(ecru__worker *w);
static inline ecru_token *ecru__token_own(ecru__worker *w) {
  if (ECRU__UNLIKELY(w->self->lazy_token)) ecru__task_take_token(w);
  return w->self->token;
}
/// token.c's part of the life of a waiter: called at birth (takes a reference), at the park, at the end.
void ecru__token_inherit(ecru__waiter *child, ecru_token *token);
void ecru__token_attach(ecru__waiter *x);
void ecru__token_forget(ecru__waiter *x); // detaches, leaves scopes, drops the reference
void ecru__waiter_move(ecru__waiter *from, ecru__waiter *to); // token, scopes and locals; nobody waits
extern ecru_token *const ecru__root_token, *const ecru__background_token;
static inline bool ecru__token_is_static(const ecru_token *token) {
  return token == ecru__root_token || token == ecru__background_token;
}
int ecru__token_start(void);           // at start: the root token is unfired again
void ecru__token_fire_root(ecru__worker *w); // at stop; calls ecru__scan_cancel
/// Claims with `status` every parked waiter whose current token is `token` (scans all goroutines and foreign threads; rare).
void ecru__scan_cancel(ecru__worker *w, ecru_token *token, int status);
/// local.c's part.
void ecru__locals_inherit(ecru__waiter *child, ecru__waiter *parent);
void ecru__locals_end(ecru__worker **w, ecru__waiter *x); // runs destructors: user code, may park
#endif
