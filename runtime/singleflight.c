/// runtime/singleflight.c: concurrent calls with one key share one run of a function (L1).
///
/// The function runs in a goroutine of its own, under a token of its own: a caller that is cancelled leaves, the run goes on for
/// the others. When the last caller has left, nobody wants the result any more and the run's token is cancelled.
///
///   1 The table holds the runs that a caller may still join, at most one for a key. A run leaves it when it ends, when it is
///     forgotten, or when its last caller leaves.
///   2 `callers` (lock: the flight's) counts those who wait for the run; `joined` says that there was more than one.
///   3 status, result and joined do not change once `ended` is set.
///   4 references of a run: one for its goroutine, one for each caller. Each run holds a reference to its flight, so that a run
///     nobody waits for may end after the flight was destroyed.
///
/// Dropped: running it in the first caller (that caller's token would cancel the run of all the others).
#include <ecru/sync.h>

#include <string.h>

#include "platform/memory.h"
#include "runtime/token.h"

enum { SLOTS_AT_FIRST = 16 };

typedef struct run {
  struct run *next;               // lock: in its slot
  ecru_singleflight *flight;      // set once, counted; NULL until it is in the table
  _Atomic uint32_t references;    // atomic: invariant 4
  uint32_t callers;               // lock
  bool listed;                    // lock: is in the table
  bool joined;                    // lock until ended
  ecru__event ended;
  ecru_token *token;              // set once, counted
  _Atomic(ecru__waiter *) runner; // atomic: whose goroutine it is: that one cannot wait for it
  ecru_task_fn fn;                // set once
  void *argument;                 // set once
  void *result;                   // runner until ended
  int status;                     // runner until ended
  uint64_t hash;                  // set once
  char key[];                     // set once
} run;

struct ecru_singleflight {
  ecru__lock lock;
  _Atomic uint32_t references; // atomic: the creator's and one a run
  uint64_t callers;            // lock: of all runs
  uint64_t runs;               // lock: in the table
  uint64_t slot_count;         // lock: a power of two
  run **slots;                 // lock
  ecru__mark mark; // handle.h
};

int ecru_singleflight_create(ecru_singleflight **flight) {
  if (!flight) return ECRU_EINVAL;
  ecru_singleflight *made = ecru__calloc(1, sizeof *made);
  run **slots = made ? ecru__calloc(SLOTS_AT_FIRST, sizeof *slots) : NULL;
  if (!slots) {
    ecru__free(made);
    return ECRU_ENOMEM;
  }
  ecru__handle_begin(&made->mark);
  atomic_init(&made->references, 1);
  made->slot_count = SLOTS_AT_FIRST;
  made->slots = slots;
  *flight = made;
  return 0;
}

static void drop_flight(ecru_singleflight *flight) {
  // acq_rel: whatever the others did with it happens before the free
  if (atomic_fetch_sub_explicit(&flight->references, 1, memory_order_acq_rel) != 1) return;
  ecru__free(flight->slots);
  ecru__handle_free(&flight->mark, flight, sizeof *flight);
}

void ecru_singleflight_destroy(ecru_singleflight *flight) {
  ECRU__CHECK_HANDLE(flight);
  if (!flight) return;
  ecru__lock_take(&flight->lock);
  bool waited_on = flight->callers > 0;
  ecru__lock_drop(&flight->lock);
  if (waited_on) ecru__panic("ecru_singleflight_destroy", flight, "somebody waits for a run");
  ecru__handle_end(&flight->mark);
  drop_flight(flight);
}

// ---- the table, under the lock ------------------------------------------------------------------------------------

static uint64_t hash_of(const char *key) { // FNV-1a: the table only holds what is under way
  uint64_t hash = UINT64_C(14695981039346656037);
  for (; *key; key++) hash = (hash ^ (unsigned char)*key) * UINT64_C(1099511628211);
  return hash;
}

static run **slot_of(ecru_singleflight *flight, uint64_t hash) {
  return &flight->slots[(hash ^ hash >> 32) & (flight->slot_count - 1)];
}

static run *find(ecru_singleflight *flight, const char *key, uint64_t hash) {
  for (run *r = *slot_of(flight, hash); r; r = r->next)
    if (r->hash == hash && strcmp(r->key, key) == 0) return r;
  return NULL;
}

static void list(ecru_singleflight *flight, run *r) {
  run **slot = slot_of(flight, r->hash);
  r->next = *slot;
  *slot = r;
  r->listed = true;
  flight->runs++;
}

static void unlist(ecru_singleflight *flight, run *r) {
  if (!r->listed) return;
  run **at = slot_of(flight, r->hash);
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  r->listed = false;
  flight->runs--;
}

/// Doubles the table if it is full. It goes on with what it has if there is no memory. Takes the lock itself.
static void make_room(ecru_singleflight *flight) {
  ecru__lock_take(&flight->lock);
  uint64_t old_count = flight->slot_count;
  bool full = flight->runs >= old_count;
  ecru__lock_drop(&flight->lock);
  if (ECRU__LIKELY(!full)) return;
  run **slots = ecru__calloc(2 * old_count, sizeof *slots);
  if (!slots) return;
  ecru__lock_take(&flight->lock);
  run **old = flight->slots;
  if (flight->slot_count == old_count) {
    flight->slots = slots;
    flight->slot_count = 2 * old_count;
    for (uint64_t i = 0; i < old_count; i++)
      for (run *r = old[i], *next; r; r = next) {
        next = r->next;
        run **slot = slot_of(flight, r->hash);
        r->next = *slot;
        *slot = r;
      }
  } else {
    old = slots; // somebody else was faster
  }
  ecru__lock_drop(&flight->lock);
  ecru__free(old);
}

// ---- a run --------------------------------------------------------------------------------------------------------

static void free_run(run *r) {
  ecru_token_release(r->token);
  if (r->flight) drop_flight(r->flight);
  ecru__free(r);
}

static void drop_run(run *r) {
  // acq_rel: whatever the others did with it happens before the free
  if (atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) == 1) free_run(r);
}

static run *make_run(ecru__worker *w, const char *key, uint64_t hash, ecru_task_fn fn, void *argument) {
  size_t bytes = strlen(key) + 1;
  run *r = ecru__calloc(1, sizeof *r + bytes);
  if (!r) return NULL;
  if (ecru__token_create(w, &r->token, &ecru__root_token, 1, ECRU_FOREVER) != 0) { // the root's: ends at stop
    ecru__free(r);
    return NULL;
  }
  atomic_init(&r->references, 2);
  r->hash = hash;
  memcpy(r->key, key, bytes);
  r->fn = fn;
  r->argument = argument;
  r->status = ECRU_ECANCELED; // what it is if fn calls ecru_exit
  return r;
}

static void run_fn(void *argument) {
  run *r = argument;
  atomic_store_explicit(&r->runner, ecru__worker_here()->self, memory_order_relaxed);
  r->status = r->fn(r->argument, &r->result);
}

static void finish(ecru__worker *w, run *r) {
  ecru_singleflight *flight = r->flight;
  ecru__lock_take(&flight->lock);
  unlist(flight, r);
  flight->callers -= r->callers;
  r->callers = 0;
  ecru__lock_drop(&flight->lock);
  atomic_store_explicit(&r->runner, NULL, memory_order_relaxed);
  ecru__event_set(w, &r->ended);
  drop_run(r);
}

static void run_end(void *argument) {
  ecru__worker *w = ecru__enter();
  if (!w) return; // a forked child
  finish(w, argument);
  ecru__leave(w);
}

static void start(ecru__worker *w, run *r, void *site) {
  ecru__spawn_spec spec = {.fn = run_fn, .argument = r, .at_end = run_end, .at_end_argument = r, .token = r->token,
                           .site = site};
  int status = ecru__spawn(w, &spec, NULL);
  if (status == 0) return;
  r->status = status; // all callers get it
  finish(w, r);
}

// ---- a caller -----------------------------------------------------------------------------------------------------

/// The run is the caller's own: fn has called ecru_singleflight_do with its own key.
static bool is_within(run *r, const ecru__waiter *self) {
  return atomic_load_explicit(&r->runner, memory_order_relaxed) == self;
}

/// Takes part in the run with this key, under the lock; `fresh` is listed if there is none. returns: it; NULL: there is none.
static run *join(ecru_singleflight *flight, const char *key, uint64_t hash, run *fresh, const ecru__waiter *self) {
  run *r = find(flight, key, hash);
  if (r) {
    if (!is_within(r, self)) r->joined = true;
    atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed); // relaxed: its goroutine's is held
  } else if (fresh) {
    r = fresh;
    r->flight = flight;
    atomic_fetch_add_explicit(&flight->references, 1, memory_order_relaxed);
    list(flight, r);
  } else {
    return NULL;
  }
  r->callers++;
  flight->callers++;
  return r;
}

static run *join_or_start(ecru__worker *w, ecru_singleflight *flight, const char *key, ecru_task_fn fn, void *argument,
                          void *site) {
  uint64_t hash = hash_of(key);
  ecru__lock_take(&flight->lock);
  run *r = join(flight, key, hash, NULL, w->self);
  ecru__lock_drop(&flight->lock);
  if (r) return r;
  run *fresh = make_run(w, key, hash, fn, argument);
  if (!fresh) return NULL;
  make_room(flight);
  ecru__lock_take(&flight->lock);
  r = join(flight, key, hash, fresh, w->self);
  ecru__lock_drop(&flight->lock);
  if (r == fresh) start(w, r, site);
  else free_run(fresh);
  return r;
}

/// The caller goes before the run has ended.
static void leave(ecru__worker **w, run *r) {
  ecru_singleflight *flight = r->flight;
  bool unwanted = false;
  ecru__lock_take(&flight->lock);
  if (r->callers > 0) { // else it has ended just now
    flight->callers--;
    unwanted = --r->callers == 0;
    if (unwanted) unlist(flight, r);
  }
  ecru__lock_drop(&flight->lock);
  if (unwanted) ecru__token_cancel(w, r->token, ECRU_ECANCELED, ECRU_ECANCELED);
}

static int wait_for(ecru__worker **w, run *r, void **result, int *shared) {
  if (is_within(r, (*w)->self)) return ECRU_EDEADLK;
  int status = ecru__event_wait(w, &r->ended, ECRU__WAIT_SINGLEFLIGHT, r->flight);
  if (status != 0) return status;
  if (result && r->status >= 0) *result = r->result;
  if (shared) *shared = r->joined;
  return r->status;
}

int ecru_singleflight_do(ecru_singleflight *flight, const char *key, ecru_task_fn fn, void *argument, void **result,
                         int *shared) {
  ECRU__CHECK_HANDLE(flight);
  if (!flight || !key || !fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) {
    run *r = join_or_start(w, flight, key, fn, argument, __builtin_return_address(0));
    status = r ? wait_for(&w, r, result, shared) : ECRU_ENOMEM;
    if (r && !ecru__event_is_set(&r->ended)) leave(&w, r);
    if (r) drop_run(r);
  }
  ecru__leave(w);
  return status;
}

int ecru_singleflight_forget(ecru_singleflight *flight, const char *key) {
  ECRU__CHECK_HANDLE(flight);
  if (!flight || !key) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  uint64_t hash = hash_of(key);
  ecru__lock_take(&flight->lock);
  run *r = find(flight, key, hash);
  if (r) unlist(flight, r);
  ecru__lock_drop(&flight->lock);
  ecru__leave(w);
  return 0;
}
