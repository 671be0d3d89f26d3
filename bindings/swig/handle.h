/// swig/handle.h: what a language holds of an object of ecru's: alive while calls are in it, closed by hand or by the collector.
///
///   1 `state` counts the calls under way and says whether it was closed by hand and whether the language has dropped it.
///   2 The object is destroyed by whoever takes the count to 0 after the close, so never while somebody waits in it.
///   3 The handle itself is freed by whoever takes the count to 0 after the drop. Nobody enters it after that: it was not reachable any more.
///   4 What is done with the object and the memory is read before the change of `state` that decides it.
#ifndef ECRU_SWIG_HANDLE_H
#define ECRU_SWIG_HANDLE_H
#include <ecru/ecru.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { HANDLE_CLOSED = 1, HANDLE_DROPPED = 2, HANDLE_DESTROYED = 4, HANDLE_CALL = 8 };

typedef struct handle {
  atomic_uint state;
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

/// The object for one call, which handle_leave ends. returns: NULL: there is none any more, and *status says so.
static inline void *handle_enter(handle *h, int *status) {
  *status = ECRU_EINVAL;
  if (!h) return NULL;
  unsigned old = atomic_fetch_add_explicit(&h->state, HANDLE_CALL, memory_order_acquire);
  if (!(old & HANDLE_CLOSED)) {
    *status = 0;
    return h->object;
  }
  handle_change(h, 0, -(unsigned)HANDLE_CALL);
  *status = ECRU_ECLOSED;
  return NULL;
}
/// The same for what ends the waiting of others: after a close, too, as long as calls are under way.
static inline void *handle_enter_to_end_waits(handle *h, int *status) {
  *status = ECRU_EINVAL;
  if (!h) return NULL;
  unsigned old = atomic_fetch_add_explicit(&h->state, HANDLE_CALL, memory_order_acquire);
  if (!(old & HANDLE_DESTROYED)) {
    *status = 0;
    return h->object;
  }
  handle_change(h, 0, -(unsigned)HANDLE_CALL);
  *status = ECRU_ECLOSED;
  return NULL;
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

/// A handle of `bytes` that begin with the handle, for an object that exists; destroys the object and says why if there is no memory.
static inline void *handle_create(size_t bytes, void *object, void (*destroy)(void *), int *status) {
  if (*status < 0) return NULL;
  handle *h = calloc(1, bytes);
  if (!h) {
    destroy(object);
    *status = ECRU_ENOMEM;
    return NULL;
  }
  h->object = object;
  h->destroy = destroy;
  return h;
}
#endif
