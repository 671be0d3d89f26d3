/// runtime/rwmutex.c: the reader-writer mutex (L1). A waiting writer keeps new readers out (writers are preferred); when a writer
/// unlocks, the readers that wait by then go before the next writer. So neither side starves.
///
///   1 word = readers * 4 + HELD (a writer has it) + QUEUED. While QUEUED is not set it changes by compare-and-swap anywhere
///     (one for each lock and unlock, without entering the runtime); while it is set only under the lock.
///   2 QUEUED is set under the lock by whoever has to wait. It stays set until somebody locks under the lock and finds no
///     other waiter: never cleared by an unlock, which therefore may not touch the mutex any more once another can lock, and
///     destroy it.
///   3 Whenever the lock is free, somebody who can still be claimed waits only if a writer has the mutex, or readers have
///     it and a writer waits.
///   4 A waiter is claimed with the mutex already given to it. One whose token won the claim was given nothing: it unlinks
///     its node and lets in those whom it kept out (invariant 3).
///   5 owner is the writer's waiter, stored after locking (or by who gives it), cleared before unlocking: "owner == me" is
///     exact. Readers are only counted.
#include <ecru/sync.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

enum { HELD = 1, QUEUED = 2, READER = 4 };
enum { DONE = 0, TAKEN = 1, CLOSED = 2 };
#define READERS(word) ((word) / READER)

struct ecru_rwmutex {
  _Atomic uint64_t word;         // atomic: invariants 1, 2
  _Atomic(ecru__waiter *) owner; // atomic: invariant 5
  ecru__lock lock;
  ecru__queue writers, readers;  // lock
  ecru__mark mark; // handle.h
};

int ecru_rwmutex_create(ecru_rwmutex **mutex) {
  if (!mutex) return ECRU_EINVAL;
  ecru_rwmutex *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  *mutex = made;
  return 0;
}

void ecru_rwmutex_destroy(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (!mutex) return;
  ecru__lock_take(&mutex->lock);
  bool waited_on = mutex->writers.head || mutex->readers.head;
  // acquire: pairs with the releases of those who unlocked it
  bool locked = (atomic_load_explicit(&mutex->word, memory_order_acquire) & ~(uint64_t)QUEUED) != 0;
  ecru__lock_drop(&mutex->lock);
  if (waited_on) ecru__panic("ecru_rwmutex_destroy", mutex, "somebody waits for the mutex");
  if (locked) ecru__panic("ecru_rwmutex_destroy", mutex, "the mutex is locked");
  ecru__handle_free(&mutex->mark, mutex, sizeof *mutex);
}

static void set_owner(ecru_rwmutex *mutex, ecru__waiter *x) {
  atomic_store_explicit(&mutex->owner, x, memory_order_relaxed);
}

static bool is_owner(ecru_rwmutex *mutex, const ecru__waiter *x) {
  return atomic_load_explicit(&mutex->owner, memory_order_relaxed) == x;
}

// ---- without the lock ---------------------------------------------------------------------------------------------

/// Takes it as a writer (HELD) or as a reader (READER). returns: DONE; TAKEN: others have it; CLOSED: only under the lock.
static inline int take(ecru_rwmutex *mutex, uint64_t as) {
  uint64_t in_the_way = as == HELD ? ~(uint64_t)QUEUED : HELD;
  uint64_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
  while (!(word & QUEUED)) {
    if (word & in_the_way) return TAKEN;
    // acquire: pairs with the release in give_back
    if (atomic_compare_exchange_weak_explicit(&mutex->word, &word, word + as, memory_order_acquire, memory_order_relaxed))
      return DONE;
  }
  return CLOSED;
}

/// The reverse. returns: DONE; TAKEN: nobody has it so; CLOSED.
static inline int give_back(ecru_rwmutex *mutex, uint64_t as) {
  uint64_t mine = as == HELD ? HELD : ~(uint64_t)(HELD | QUEUED);
  uint64_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
  while (!(word & QUEUED)) {
    if (!(word & mine)) return TAKEN;
    // release: pairs with the acquire in take
    if (atomic_compare_exchange_weak_explicit(&mutex->word, &word, word - as, memory_order_release, memory_order_relaxed))
      return DONE;
  }
  return CLOSED;
}

// ---- under the lock -----------------------------------------------------------------------------------------------

/// Takes the word for the holder of the lock. returns: the word, QUEUED set.
static uint64_t close_word(ecru_rwmutex *mutex) {
  // acquire: pairs with the release in give_back
  return atomic_fetch_or_explicit(&mutex->word, QUEUED, memory_order_acquire) | QUEUED;
}

static void set_word(ecru_rwmutex *mutex, uint64_t word) {
  atomic_store_explicit(&mutex->word, word, memory_order_release); // pairs with the acquires in take and close_word
}

/// Claims all waiting readers into the chain. returns: the word with them in it.
static uint64_t admit_readers(ecru_rwmutex *mutex, uint64_t word, ecru__node **chain) {
  *chain = ecru__queue_claim_all(&mutex->readers);
  for (ecru__node *node = *chain; node; node = node->next) word += READER;
  return word;
}

/// Lets in whom it can: invariant 3. returns: the chain of those to make ready, who have the mutex.
static ecru__node *admit(ecru_rwmutex *mutex, uint64_t word, bool readers_first) {
  ecru__node *chain = NULL;
  if (!(word & HELD)) {
    if (readers_first) word = admit_readers(mutex, word, &chain);
    ecru__node *writer = READERS(word) == 0 ? ecru__queue_claim(&mutex->writers) : NULL;
    if (writer) {
      writer->next = NULL;
      chain = writer;
      word |= HELD;
      set_owner(mutex, writer->waiter);
    } else if (!mutex->writers.head && !chain) {
      word = admit_readers(mutex, word, &chain);
    }
  }
  set_word(mutex, word);
  return chain;
}

/// returns: whether it was taken at once. The word is closed.
static bool take_locked(ecru_rwmutex *mutex, uint64_t as) {
  uint64_t word = close_word(mutex);
  bool free = as == HELD ? READERS(word) == 0 : !mutex->writers.head;
  if (!free || (word & HELD)) return false;
  bool waited_on = mutex->writers.head || mutex->readers.head;
  set_word(mutex, (waited_on ? word : word & ~(uint64_t)QUEUED) + as);
  return true;
}

static void leave_queue(ecru__worker *w, ecru_rwmutex *mutex, ecru__queue *queue, ecru__node *node) {
  ecru__lock_take(&mutex->lock);
  ecru__queue_remove(queue, node);
  ecru__node *chain = admit(mutex, close_word(mutex), false);
  ecru__lock_drop(&mutex->lock);
  ecru__ready_all(w, chain);
}

static int wait_for(ecru__worker **w, ecru_rwmutex *mutex, uint64_t as) {
  ecru__lock_take(&mutex->lock);
  if (take_locked(mutex, as)) {
    ecru__lock_drop(&mutex->lock);
    if (as == HELD) set_owner(mutex, (*w)->self);
    return 0;
  }
  ecru__queue *queue = as == HELD ? &mutex->writers : &mutex->readers;
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(queue, &node);
  int status = ecru__park(w, &mutex->lock, as == HELD ? ECRU__WAIT_RWMUTEX : ECRU__WAIT_RWMUTEX_READ, mutex);
  if (status != 0) leave_queue(*w, mutex, queue, &node);
  return status;
}

// ---- the calls ----------------------------------------------------------------------------------------------------

static __attribute__((noinline)) int lock_slowly(ecru_rwmutex *mutex, uint64_t as) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0 && is_owner(mutex, w->self)) status = ECRU_EDEADLK;
  if (status == 0) status = wait_for(&w, mutex, as);
  ecru__leave(w);
  return status;
}

static inline int lock(ecru_rwmutex *mutex, uint64_t as) {
  if (ECRU__UNLIKELY(!mutex)) return ECRU_EINVAL;
  ecru__worker *w = ecru__worker_here(); // not entered: nothing but the mutex is touched
  if (ECRU__UNLIKELY(!w || ecru__canceled(w) != 0 || take(mutex, as) != DONE)) return lock_slowly(mutex, as);
  if (as == HELD) set_owner(mutex, w->self);
  return 0;
}

static int try_lock(ecru_rwmutex *mutex, uint64_t as) {
  if (!mutex) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter(); // the owner must be known: a foreign thread is adopted here
  if (!w) return ecru__enter_status();
  int outcome = take(mutex, as);
  if (outcome == CLOSED) {
    ecru__lock_take(&mutex->lock);
    outcome = take_locked(mutex, as) ? DONE : TAKEN;
    ecru__lock_drop(&mutex->lock);
  }
  if (outcome == DONE && as == HELD) set_owner(mutex, w->self);
  ecru__leave(w);
  return outcome == DONE ? 0 : ECRU_EAGAIN;
}

static __attribute__((noinline)) int unlock_slowly(ecru_rwmutex *mutex, uint64_t as) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru__lock_take(&mutex->lock);
  uint64_t word = close_word(mutex);
  bool held = as == HELD || READERS(word) > 0;
  if (held) chain = admit(mutex, word - as, as == HELD);
  ecru__lock_drop(&mutex->lock); // from here on the mutex may be gone
  ecru__ready_all(w, chain);
  ecru__leave(w);
  return held ? 0 : ECRU_EPERM;
}

static int refuse(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__leave(w);
  return ECRU_EPERM;
}

int ecru_rwmutex_lock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  return lock(mutex, HELD);
}

int ecru_rwmutex_try_lock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  return try_lock(mutex, HELD);
}

int ecru_rwmutex_read_lock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  return lock(mutex, READER);
}

int ecru_rwmutex_try_read_lock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  return try_lock(mutex, READER);
}

/// By no holder, or by one that is not known yet: in a forked child the thread that forked holds what it held.
static int unlock_unknown(ecru_rwmutex *mutex) {
  int status = refuse();
  const ecru__worker *w = ecru__worker_here();
  return w && is_owner(mutex, w->self) ? ecru_rwmutex_unlock(mutex) : status;
}

int ecru_rwmutex_unlock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (ECRU__UNLIKELY(!mutex)) return ECRU_EINVAL;
  ecru__worker *w = ecru__worker_here();
  if (ECRU__UNLIKELY(!w || !is_owner(mutex, w->self))) return unlock_unknown(mutex);
  set_owner(mutex, NULL);
  return ECRU__LIKELY(give_back(mutex, HELD) == DONE) ? 0 : unlock_slowly(mutex, HELD);
}

int ecru_rwmutex_read_unlock(ecru_rwmutex *mutex) {
  ECRU__CHECK_HANDLE(mutex);
  if (ECRU__UNLIKELY(!mutex)) return ECRU_EINVAL;
  int outcome = ECRU__LIKELY(ecru__worker_here() != NULL) ? give_back(mutex, READER) : CLOSED;
  if (ECRU__LIKELY(outcome == DONE)) return 0;
  return outcome == CLOSED ? unlock_slowly(mutex, READER) : refuse();
}
