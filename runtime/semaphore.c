/// runtime/semaphore.c: the weighted semaphore (L1), strictly FIFO: a large acquire is not overtaken by small ones.
///
///   1 word = permits available * 2 + QUEUED. While QUEUED is not set it changes by compare-and-swap anywhere (one each for
///     acquire and release, without entering the runtime); while it is set only under the lock.
///   2 QUEUED is set under the lock by whoever finds too few permits. It stays set until a later acquire succeeds under
///     the lock with an empty queue: never cleared by a release, which therefore may not touch the semaphore any more once
///     the acquirer can proceed, and destroy it.
///   3 Whenever the lock is free, the first waiter that can still be claimed wants more than is available.
///   4 A waiter is claimed with its permits already taken. One whose token won the claim was given nothing: it unlinks its
///     node and lets those behind it have what they now can (invariant 3).
#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

enum { QUEUED = 1, PERMIT = 2 };
#define PERMITS_MAX (INT64_MAX / PERMIT)

struct ecru_semaphore {
  _Atomic int64_t word; // atomic: invariant 1
  int64_t permits;      // set once
  ecru__lock lock;
  ecru__queue waiters;  // lock; node->data: how many it wants
  ecru__mark mark; // handle.h
};

int ecru_semaphore_create(ecru_semaphore **semaphore, int64_t permits) {
  if (!semaphore || permits <= 0 || permits > PERMITS_MAX) return ECRU_EINVAL;
  ecru_semaphore *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  made->permits = permits;
  atomic_init(&made->word, permits * PERMIT);
  *semaphore = made;
  return 0;
}

void ecru_semaphore_destroy(ecru_semaphore *semaphore) {
  ECRU__CHECK_HANDLE(semaphore);
  if (!semaphore) return;
  ecru__lock_take(&semaphore->lock);
  bool waited_on = semaphore->waiters.head != NULL;
  ecru__lock_drop(&semaphore->lock);
  if (waited_on) ecru__panic("ecru_semaphore_destroy", semaphore, "somebody waits for permits");
  ecru__handle_free(&semaphore->mark, semaphore, sizeof *semaphore);
}

// ---- without the lock ---------------------------------------------------------------------------------------------

enum { DONE = 0, LACKING = 1, CLOSED = 2 };

/// returns: DONE; LACKING: there are too few; CLOSED: only under the lock.
static int take(ecru_semaphore *semaphore, int64_t n) {
  int64_t word = atomic_load_explicit(&semaphore->word, memory_order_relaxed);
  while (!(word & QUEUED)) {
    if (word / PERMIT < n) return LACKING;
    // acquire: pairs with the release in give
    if (atomic_compare_exchange_weak_explicit(&semaphore->word, &word, word - n * PERMIT, memory_order_acquire,
                                              memory_order_relaxed))
      return DONE;
  }
  return CLOSED;
}

/// returns: as take; LACKING: fewer than n are out.
static int give(ecru_semaphore *semaphore, int64_t n) {
  int64_t word = atomic_load_explicit(&semaphore->word, memory_order_relaxed);
  while (!(word & QUEUED)) {
    if (n > semaphore->permits - word / PERMIT) return LACKING;
    // release: pairs with the acquire in take
    if (atomic_compare_exchange_weak_explicit(&semaphore->word, &word, word + n * PERMIT, memory_order_release,
                                              memory_order_relaxed))
      return DONE;
  }
  return CLOSED;
}

// ---- under the lock -----------------------------------------------------------------------------------------------

/// Takes the word for the holder of the lock. returns: the permits available.
static int64_t close_word(ecru_semaphore *semaphore) {
  // acquire: pairs with the release in give
  return atomic_fetch_or_explicit(&semaphore->word, QUEUED, memory_order_acquire) / PERMIT;
}

static void set_word(ecru_semaphore *semaphore, int64_t available, int64_t queued) {
  atomic_store_explicit(&semaphore->word, available * PERMIT + queued, memory_order_release); // pairs with take
}

/// Serves the queue from its front. returns: the chain of those to make ready, who have their permits.
static ecru__node *serve(ecru_semaphore *semaphore, int64_t available) {
  ecru__node *first = NULL, **last = &first;
  for (ecru__node *node; (node = semaphore->waiters.head) != NULL && (int64_t)node->data <= available;) {
    ecru__queue_remove(&semaphore->waiters, node);
    if (!ecru__claim(node->waiter)) continue;
    node->waiter->wake_node = node;
    node->waiter->wake_status = 0;
    available -= (int64_t)node->data;
    node->next = NULL;
    *last = node;
    last = &node->next;
  }
  set_word(semaphore, available, QUEUED);
  return first;
}

/// returns: whether it got them at once. The word is closed.
static bool take_locked(ecru_semaphore *semaphore, int64_t n) {
  int64_t available = close_word(semaphore);
  if (semaphore->waiters.head || available < n) return false;
  set_word(semaphore, available - n, 0);
  return true;
}

static void leave_queue(ecru__worker *w, ecru_semaphore *semaphore, ecru__node *node) {
  ecru__lock_take(&semaphore->lock);
  ecru__queue_remove(&semaphore->waiters, node);
  ecru__node *chain = serve(semaphore, close_word(semaphore));
  ecru__lock_drop(&semaphore->lock);
  ecru__ready_all(w, chain);
}

static int wait_for(ecru__worker **w, ecru_semaphore *semaphore, int64_t n) {
  ecru__lock_take(&semaphore->lock);
  if (take_locked(semaphore, n)) {
    ecru__lock_drop(&semaphore->lock);
    return 0;
  }
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  node.data = (uint64_t)n;
  ecru__queue_push(&semaphore->waiters, &node);
  int status = ecru__park(w, &semaphore->lock, ECRU__WAIT_SEMAPHORE, semaphore);
  if (status != 0) leave_queue(*w, semaphore, &node);
  return status;
}

// ---- the calls ----------------------------------------------------------------------------------------------------

static __attribute__((noinline)) int acquire_slowly(ecru_semaphore *semaphore, int64_t n) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = wait_for(&w, semaphore, n);
  ecru__leave(w);
  return status;
}

int ecru_semaphore_acquire(ecru_semaphore *semaphore, int64_t n) {
  ECRU__CHECK_HANDLE(semaphore);
  if (!semaphore || n <= 0 || n > semaphore->permits) return ECRU_EINVAL;
  ecru__worker *w = ecru__worker_here(); // not entered: nothing but the semaphore is touched
  if (ECRU__LIKELY(w && ecru__canceled(w) == 0 && take(semaphore, n) == DONE)) return 0;
  return acquire_slowly(semaphore, n);
}

static int try_slowly(ecru_semaphore *semaphore, int64_t n) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int outcome = take(semaphore, n);
  if (outcome == CLOSED) {
    ecru__lock_take(&semaphore->lock);
    outcome = take_locked(semaphore, n) ? DONE : LACKING;
    ecru__lock_drop(&semaphore->lock);
  }
  ecru__leave(w);
  return outcome == DONE ? 0 : ECRU_EAGAIN;
}

int ecru_semaphore_try_acquire(ecru_semaphore *semaphore, int64_t n) {
  ECRU__CHECK_HANDLE(semaphore);
  if (!semaphore || n <= 0 || n > semaphore->permits) return ECRU_EINVAL;
  if (ECRU__LIKELY(ecru__worker_here() && take(semaphore, n) == DONE)) return 0;
  return try_slowly(semaphore, n);
}

static __attribute__((noinline)) int release_slowly(ecru_semaphore *semaphore, int64_t n) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru__lock_take(&semaphore->lock);
  int64_t available = close_word(semaphore);
  bool held = n <= semaphore->permits - available;
  if (held) chain = serve(semaphore, available + n);
  ecru__lock_drop(&semaphore->lock); // from here on the semaphore may be gone
  ecru__ready_all(w, chain);
  ecru__leave(w);
  return held ? 0 : ECRU_EPERM;
}

int ecru_semaphore_release(ecru_semaphore *semaphore, int64_t n) {
  ECRU__CHECK_HANDLE(semaphore);
  if (!semaphore || n <= 0) return ECRU_EINVAL;
  int outcome = ECRU__LIKELY(ecru__worker_here() != NULL) ? give(semaphore, n) : CLOSED;
  if (ECRU__UNLIKELY(outcome == CLOSED)) return release_slowly(semaphore, n);
  return outcome == DONE ? 0 : ECRU_EPERM;
}

int64_t ecru_semaphore_available(ecru_semaphore *semaphore) {
  ECRU__CHECK_HANDLE(semaphore);
  return semaphore ? atomic_load_explicit(&semaphore->word, memory_order_relaxed) / PERMIT : 0; // relaxed: orders nothing
}
