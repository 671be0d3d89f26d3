/// runtime/mutex.c: the mutex (L1): barging while it is fast, FIFO once a waiter has waited 1 ms.
///
/// An uncontended pair costs one locked instruction, not two: unlock is a plain store, then a look at a flag. The
/// ordering between the two (store before load) is paid for by the first waiter, with the asymmetric fence.
/// That look comes after the mutex was let go, when another goroutine may already have locked, unlocked and
/// destroyed it. So the flag, the lock and the list of contended mutexes lie in static *places*; a mutex that is
/// in the list has waiters and is therefore alive.
///
///   1 word: FREE, HELD, or CONTENDED = held, and whoever lets it go must look for waiters.
///   2 owner is the holder's waiter, stored after taking it, cleared before letting go. So "owner == me" is exact.
///   3 waiters, starving and the list links are guarded by place->lock. A mutex is in place->contended if and only if
///     its queue is not empty.
///   4 place->hot is set before the first waiter of any of its mutexes looks at the word, with a heavy fence between. An
///     unlocker that saw it 0 before its store and sees it 0 after its store has let go before that look. One that sees it
///     1 afterwards looks into the list under the lock. One that sees it 1 before its store uses a compare-and-swap.
///   5 place->hot falls back to 0 only under the lock and while the list is empty.
///   6 A waiter that was woken (unlinked, claimed) without being given the mutex always comes back under the lock: it takes
///     it or queues again, at the front, and leaves CONTENDED behind. Until then nobody else need be woken.
///   7 While starving is set the word is never FREE: the holder gives the mutex to the first waiter (node->status = GIVEN).
///   8 A waiter whose token won the claim was neither woken nor given anything; it unlinks its node and leaves. A CONTENDED
///     without waiters that it may leave behind costs the holder one look.
///
/// Lock order: a condition variable's lock -> a place's lock.
///
/// Dropped: compare-and-swap in unlock (18 ns a pair instead of 13 on a 2-CPU Xeon, Go: 18-20); the flag inside the mutex
/// (read after free); one word that is the owner's address (16 ns: the store-forwarded pointer delays the next exchange).
/// Model: tests/models/mutex.pml.
#include "runtime/mutex.h"

#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"
#include "runtime/fork.h"

enum { FREE = 0, HELD = 1, CONTENDED = 2 };
enum { GIVEN = 1 };
enum {
  PLACES = 256,
  COOL_AFTER = 10000, // unlocks without contention after which the fast unlock returns: hides the heavy fence's price
  LOSSES_MAX = 1000,  // wakes in vain after which a waiter starves even if the (virtual) clock stands still
};
#define STARVING_AFTER (1 * ECRU_MILLISECOND)

/// Where the mutexes that were assigned to it keep their waiters' business: static, because unlock looks here last.
typedef struct place {
  _Alignas(64) _Atomic uint32_t hot; // atomic; written under the lock: invariants 4, 5
  ecru__lock lock;
  ecru_mutex *contended;             // lock: mutexes with waiters
} place;

struct ecru_mutex {
  _Atomic uint32_t word;         // atomic: invariant 1
  uint32_t calm;                 // owner: unlocks without contention in a row
  _Atomic(ecru__waiter *) owner; // atomic: invariant 2
  place *place;                  // set once
  ecru__queue waiters;           // lock: place's. node->data: since when, node->index: times woken in vain
  ecru_mutex *next, *prev;       // lock: place's
  bool starving;                 // lock: place's; invariant 7
  ecru__mark mark; // handle.h
};

static place places[PLACES];
static _Atomic uint32_t next_place; // atomic: mutexes are dealt out in turn, which spreads better than addresses

int ecru_mutex_create(ecru_mutex **mutex) {
  if (!mutex) return ECRU_EINVAL;
  ecru_mutex *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  made->place = &places[atomic_fetch_add_explicit(&next_place, 1, memory_order_relaxed) % PLACES];
  *mutex = made;
  return 0;
}

void ecru_mutex_destroy(ecru_mutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (!mutex) return;
  // acquire: pairs with the release in unlock: what its last holder did to it comes before the free
  if (atomic_load_explicit(&mutex->word, memory_order_acquire) != FREE)
    ecru__panic("ecru_mutex_destroy", mutex, "the mutex is locked");
  ecru__lock_take(&mutex->place->lock);
  bool waited_on = mutex->waiters.head != NULL;
  ecru__lock_drop(&mutex->place->lock);
  if (waited_on) ecru__panic("ecru_mutex_destroy", mutex, "somebody waits for the mutex");
  ecru__handle_free(&mutex->mark, mutex, sizeof *mutex);
}

// ---- under the place's lock ---------------------------------------------------------------------------------------

static void list_add(ecru_mutex *mutex) {
  place *at = mutex->place;
  mutex->prev = NULL;
  mutex->next = at->contended;
  if (mutex->next) mutex->next->prev = mutex;
  at->contended = mutex;
}

static void list_remove(ecru_mutex *mutex) {
  if (mutex->prev) mutex->prev->next = mutex->next;
  else mutex->place->contended = mutex->next;
  if (mutex->next) mutex->next->prev = mutex->prev;
}

static bool list_has(place *at, uintptr_t address) {
  for (ecru_mutex *mutex = at->contended; mutex; mutex = mutex->next)
    if ((uintptr_t)mutex == address) return true;
  return false;
}

static void push(ecru_mutex *mutex, ecru__node *node, bool at_front) {
  ecru__queue *queue = &mutex->waiters;
  ecru__node *first = queue->head;
  if (!first) list_add(mutex);
  if (!first || !at_front) {
    ecru__queue_push(queue, node);
    return;
  }
  node->prev = NULL;
  node->next = first;
  first->prev = node;
  queue->head = node;
  node->queued = true;
}

/// After any removal from the queue: invariant 3.
static void removed(ecru_mutex *mutex) {
  if (mutex->waiters.head) return;
  list_remove(mutex);
  mutex->starving = false;
}

/// Makes every unlock of this place's mutexes see its waiters: invariant 4.
static void heat(place *at) {
  if (ECRU__LIKELY(atomic_load_explicit(&at->hot, memory_order_relaxed))) return;
  atomic_store_explicit(&at->hot, 1, memory_order_relaxed);
  ecru__fence_heavy(); // pairs with the light fence in ecru_mutex_unlock
}

/// Takes it if it is free, marks it contended if not.
static bool take_or_mark(ecru_mutex *mutex) {
  uint32_t expected = FREE;
  // acquire: pairs with the release of whoever let it go
  if (atomic_compare_exchange_strong_explicit(&mutex->word, &expected, mutex->waiters.head ? CONTENDED : HELD,
                                              memory_order_acquire, memory_order_relaxed))
    return true;
  return atomic_exchange_explicit(&mutex->word, CONTENDED, memory_order_acquire) == FREE;
}

/// The holder (the word is CONTENDED) lets go: gives it to the first waiter if that one starves, else sets it free and wakes
/// the first waiter to try for itself. After this the mutex may be gone. returns: the waiter to make ready, or NULL.
static ecru__waiter *let_go(ecru_mutex *mutex) {
  bool starving = mutex->starving, waited_on = mutex->waiters.head != NULL;
  ecru__node *node = ecru__queue_claim(&mutex->waiters);
  if (node && starving) {
    int64_t waited = ecru__now() - (int64_t)node->data;
    mutex->starving = waited >= STARVING_AFTER || node->index >= LOSSES_MAX;
    node->status = GIVEN;
    atomic_store_explicit(&mutex->owner, node->waiter, memory_order_relaxed);
  }
  if (waited_on) removed(mutex);
  if (!node || !starving)
    atomic_store_explicit(&mutex->word, FREE, memory_order_release); // pairs with the acquires of those who take it
  return node ? node->waiter : NULL;
}

// ---- unlock -------------------------------------------------------------------------------------------------------

/// The mutex was let go by a plain store that may have wiped out CONTENDED: looks for waiters. `mutex` may be gone.
static void wake_after_store(ecru__worker *w, place *at, ecru_mutex *mutex) {
  ecru__waiter *woken = NULL;
  ecru__lock_take(&at->lock);
  // If somebody holds it by now, that one finds CONTENDED and wakes.
  if (list_has(at, (uintptr_t)mutex) &&
      atomic_exchange_explicit(&mutex->word, CONTENDED, memory_order_acquire) == FREE)
    woken = let_go(mutex);
  ecru__lock_drop(&at->lock);
  if (woken) ecru__ready(w, woken);
}

static void wake_while_held(ecru__worker *w, ecru_mutex *mutex) {
  place *at = mutex->place;
  ecru__lock_take(&at->lock);
  ecru__waiter *woken = let_go(mutex);
  ecru__lock_drop(&at->lock);
  if (woken) ecru__ready(w, woken);
}

/// Back to the fast unlock, if nobody waits here. The caller holds the mutex.
static void cool(ecru_mutex *mutex) {
  place *at = mutex->place;
  mutex->calm = 0;
  ecru__lock_take(&at->lock);
  if (!at->contended) atomic_store_explicit(&at->hot, 0, memory_order_relaxed);
  ecru__lock_drop(&at->lock);
}

/// Lets go of a mutex nobody waits for, in a hot place. returns: false: somebody waits, it is still held.
static bool release_hot(ecru_mutex *mutex) {
  if (++mutex->calm >= COOL_AFTER) cool(mutex);
  uint32_t expected = HELD;
  // release: pairs with the acquires of those who take it
  return atomic_compare_exchange_strong_explicit(&mutex->word, &expected, FREE, memory_order_release, memory_order_relaxed);
}

static __attribute__((noinline)) int unlock_hot(ecru_mutex *mutex) {
  if (release_hot(mutex)) return 0;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  wake_while_held(w, mutex);
  ecru__leave(w);
  return 0;
}

static __attribute__((noinline)) int unlock_stored(place *at, ecru_mutex *mutex) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  wake_after_store(w, at, mutex);
  ecru__leave(w);
  return 0;
}

/// By no holder, or by one that is not known yet: in a forked child the thread that forked holds what it held.
static __attribute__((noinline)) int unlock_unknown(ecru_mutex *mutex) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  bool held = ecru__mutex_is_held_by(mutex, w->self);
  ecru__leave(w);
  return held ? ecru_mutex_unlock(mutex) : ECRU_EPERM;
}

int ecru_mutex_unlock(ecru_mutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (ECRU__UNLIKELY(!mutex)) return ECRU_EINVAL;
  ecru__worker *w = ecru__worker_here();
  if (ECRU__UNLIKELY(!w || !ecru__mutex_is_held_by(mutex, w->self))) return unlock_unknown(mutex);
  place *at = mutex->place;
  atomic_store_explicit(&mutex->owner, NULL, memory_order_relaxed);
  if (ECRU__UNLIKELY(atomic_load_explicit(&at->hot, memory_order_relaxed))) return unlock_hot(mutex);
  atomic_store_explicit(&mutex->word, FREE, memory_order_release); // pairs with the acquire in ecru_mutex_lock
  ecru__fence_light();                                             // pairs with the heavy fence in heat()
  if (ECRU__UNLIKELY(atomic_load_explicit(&at->hot, memory_order_relaxed))) return unlock_stored(at, mutex);
  return 0;
}

bool ecru__mutex_is_held_by(ecru_mutex *mutex, const ecru__waiter *x) {
  ECRU__CHECK_HANDLE_FOR("ecru_cond_wait", mutex); // the calls of this file have looked before
  return atomic_load_explicit(&mutex->owner, memory_order_relaxed) == x;
}

void ecru__mutex_release(ecru__worker *w, ecru_mutex *mutex) {
  place *at = mutex->place;
  atomic_store_explicit(&mutex->owner, NULL, memory_order_relaxed);
  if (atomic_load_explicit(&at->hot, memory_order_relaxed)) {
    if (!release_hot(mutex)) wake_while_held(w, mutex);
    return;
  }
  atomic_store_explicit(&mutex->word, FREE, memory_order_release); // as in ecru_mutex_unlock
  ecru__fence_light();
  if (atomic_load_explicit(&at->hot, memory_order_relaxed)) wake_after_store(w, at, mutex);
}

// ---- lock ---------------------------------------------------------------------------------------------------------

static bool take(ecru_mutex *mutex) {
  uint32_t expected = FREE;
  // acquire: pairs with the release of whoever let it go
  return atomic_compare_exchange_strong_explicit(&mutex->word, &expected, HELD, memory_order_acquire, memory_order_relaxed);
}

static int wait_for(ecru__worker **w, ecru_mutex *mutex, bool shielded) {
  place *at = mutex->place;
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  for (bool woken = false;; woken = true) {
    int64_t now = ecru__now();
    ecru__lock_take(&at->lock);
    heat(at);
    if (take_or_mark(mutex)) break;
    if (!woken) node.data = (uint64_t)now;
    else if (now - (int64_t)node.data >= STARVING_AFTER || ++node.index >= LOSSES_MAX) mutex->starving = true;
    push(mutex, &node, woken);
    int status = shielded ? ecru__park_shielded(w, &at->lock, ECRU__WAIT_MUTEX, mutex)
                          : ecru__park(w, &at->lock, ECRU__WAIT_MUTEX, mutex);
    if (status == 0 && node.status == GIVEN) return 0;
    if (status == 0) continue;
    ecru__lock_take(&at->lock);
    if (node.queued) {
      ecru__queue_remove(&mutex->waiters, &node);
      removed(mutex);
    }
    ecru__lock_drop(&at->lock);
    return status;
  }
  ecru__lock_drop(&at->lock);
  mutex->calm = 0;
  atomic_store_explicit(&mutex->owner, (*w)->self, memory_order_relaxed);
  return 0;
}

static __attribute__((noinline)) int lock_slowly(ecru_mutex *mutex) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0 && ecru__mutex_is_held_by(mutex, w->self)) status = ECRU_EDEADLK;
  if (status == 0) status = wait_for(&w, mutex, false);
  ecru__leave(w);
  return status;
}

int ecru_mutex_lock(ecru_mutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (ECRU__UNLIKELY(!mutex)) return ECRU_EINVAL;
  ecru__worker *w = ecru__worker_here(); // not entered: nothing but the mutex is touched
  if (ECRU__UNLIKELY(!w || ecru__canceled(w) != 0 || !take(mutex))) return lock_slowly(mutex);
  atomic_store_explicit(&mutex->owner, w->self, memory_order_relaxed);
  return 0;
}

int ecru_mutex_try_lock(ecru_mutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (!mutex) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter(); // the owner must be known: a foreign thread is adopted here
  if (!w) return ecru__enter_status();
  bool taken = take(mutex);
  if (taken) atomic_store_explicit(&mutex->owner, w->self, memory_order_relaxed);
  ecru__leave(w);
  return taken ? 0 : ECRU_EAGAIN;
}

void ecru__mutex_acquire_shielded(ecru__worker **w, ecru_mutex *mutex) {
  if (!take(mutex)) {
    wait_for(w, mutex, true);
    return;
  }
  atomic_store_explicit(&mutex->owner, (*w)->self, memory_order_relaxed);
}

void ecru__mutexes_in_child(void) {
  for (int i = 0; i < PLACES; i++) places[i].lock = (ecru__lock){0};
}
