/// swig/handle.h: what a language holds of an object of ecru's: alive while calls are in it, closed by hand or by the collector.
///
///   1 `state` counts the calls under way and says whether it was closed by hand and whether the language has dropped it.
///   2 The object is destroyed by whoever takes the count to 0 after the close, so never while somebody waits in it.
///   3 The handle itself is freed by whoever takes the count to 0 after the drop. Nobody enters it after that: it was not reachable any more.
///   4 What is done with the object and the memory is read before the change of `state` that decides it.
///   5 A forked child that starts anew (handles_in_child) knows of each handle it uses whether its parent's other threads were in it: their calls never end,
///     their waiters lie on stacks that are no more. Such a one is lost: every call says ECRU_EFORKED, and it is never destroyed.
///   6 Others wait under a token, a task's too, without being in a call of it. So in such a child nothing is done with a parent's that would touch its
///     list of waiters or its family: it is entered by handle_enter_own, and never destroyed. What it says of itself can be asked.
#ifndef ECRU_SWIG_HANDLE_H
#define ECRU_SWIG_HANDLE_H
#include <ecru/ecru.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { HANDLE_CLOSED = 1, HANDLE_DROPPED = 2, HANDLE_DESTROYED = 4, HANDLE_LOST = 8, HANDLE_CALL = 16 };

static unsigned handle_forks; // how often the process and those it descends from have forked it; changed while there is one thread
static atomic_flag handle_looking = ATOMIC_FLAG_INIT;

typedef struct handle {
  atomic_uint state;
  atomic_uint forks;             // handle_forks, of when it was last looked at; changed under handle_looking
  unsigned made;                 // handle_forks, of when it was made: set once
  void *object;                  // set once
  void (*destroy)(void *object); // set once
} handle;

/// One change of the state, and what follows from it.
static inline void handle_change(handle *h, unsigned set, unsigned add) {
  void *object = h->object;
  void (*destroy)(void *) = h->destroy;
  unsigned old = atomic_load_explicit(&h->state, memory_order_relaxed), new;
  do {
    new = (old | set) + add;
    if (new < HANDLE_CALL && (new & HANDLE_CLOSED)) new |= HANDLE_DESTROYED;
    // acq_rel: who destroys comes after all that was done with it
  } while (!atomic_compare_exchange_weak_explicit(&h->state, &old, new, memory_order_acq_rel, memory_order_relaxed));
  if ((new & ~old) & HANDLE_DESTROYED) destroy(object);
  if (new < HANDLE_CALL && (new & HANDLE_DROPPED)) free(h);
}

/// In a forked child, its only thread, outside of all handles.
static inline void handles_in_child(void) {
  handle_forks++;
  atomic_flag_clear_explicit(&handle_looking, memory_order_relaxed);
}
/// For the first in the child to call it: what calls there are are others'.
static inline void handle_look(handle *h) {
  while (atomic_flag_test_and_set_explicit(&handle_looking, memory_order_acquire)) continue; // pairs with the clear below
  if (atomic_load_explicit(&h->forks, memory_order_relaxed) != handle_forks) {
    if (atomic_load_explicit(&h->state, memory_order_relaxed) >= HANDLE_CALL) atomic_fetch_or_explicit(&h->state, HANDLE_LOST, memory_order_relaxed);
    atomic_store_explicit(&h->forks, handle_forks, memory_order_release); // pairs with the acquire in handle_count
  }
  atomic_flag_clear_explicit(&handle_looking, memory_order_release);
}
/// One call more. returns: the state before it.
static inline unsigned handle_count(handle *h) {
  if (atomic_load_explicit(&h->forks, memory_order_acquire) != handle_forks) handle_look(h);
  return atomic_fetch_add_explicit(&h->state, HANDLE_CALL, memory_order_acquire);
}
/// For one who has counted, and come to this state: there is no object. returns: why.
static inline int handle_refuse(handle *h, unsigned old) {
  handle_change(h, 0, -(unsigned)HANDLE_CALL);
  return old & HANDLE_LOST ? ECRU_EFORKED : ECRU_ECLOSED;
}

/// The object for one call, which handle_leave ends. returns: NULL: there is none any more, and *status says so.
static inline void *handle_enter(handle *h, int *status) {
  *status = ECRU_EINVAL;
  if (!h) return NULL;
  unsigned old = handle_count(h);
  *status = old & (HANDLE_CLOSED | HANDLE_LOST) ? handle_refuse(h, old) : 0;
  return *status == 0 ? h->object : NULL;
}
/// The same for what others can wait under, and for a task's end (invariant 6).
static inline void *handle_enter_own(handle *h, int *status) {
  if (!h || h->made == handle_forks) return handle_enter(h, status);
  *status = ECRU_EFORKED;
  return NULL;
}
/// The same for what ends the waiting of others: after a close, too, as long as calls are under way.
static inline void *handle_enter_to_end_waits(handle *h, int *status) {
  *status = ECRU_EINVAL;
  if (!h) return NULL;
  unsigned old = handle_count(h);
  *status = old & (HANDLE_DESTROYED | HANDLE_LOST) ? handle_refuse(h, old) : 0;
  return *status == 0 ? h->object : NULL;
}
static inline void handle_leave(handle *h) { handle_change(h, 0, -(unsigned)HANDLE_CALL); }
/// By hand: calls from now on fail with ECRU_ECLOSED, those under way end as they will.
static inline void handle_close(handle *h) {
  if (h) handle_change(h, HANDLE_CLOSED, 0);
}
/// For one who has been given something after a wait: whether it was closed meanwhile, so that it goes on to the next one.
static inline bool handle_is_closed(handle *h) { return atomic_load_explicit(&h->state, memory_order_relaxed) & HANDLE_CLOSED; }
/// The language has no reference any more.
static inline void handle_drop(handle *h) {
  if (h) handle_change(h, HANDLE_CLOSED | HANDLE_DROPPED, 0);
}
/// Invariant 6: a parent's stays as it is.
static inline void handle_close_own(handle *h) {
  if (h && h->made == handle_forks) handle_close(h);
}
static inline void handle_drop_own(handle *h) {
  if (h && h->made == handle_forks) handle_drop(h);
}

/// A handle of `bytes` that begin with the handle, for an object that exists; destroys the object and says why if there is no memory.
static inline void *handle_create(size_t bytes, void *object, void (*destroy)(void *), int *status) {
  if (*status < 0) return NULL;
  handle *h = calloc(1, bytes);
  if (!h) {
    destroy(object);
    *status = ECRU_ENOMEM;
    return NULL;
  }
  atomic_init(&h->forks, handle_forks);
  h->made = handle_forks;
  h->object = object;
  h->destroy = destroy;
  return h;
}
#endif
