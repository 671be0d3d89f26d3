/// runtime/mutex.h: what cond.c needs of a mutex; the design is told in mutex.c.
#ifndef ECRU_RUNTIME_MUTEX_H
#define ECRU_RUNTIME_MUTEX_H
#include "runtime/park.h"

/// Whether x holds it. Exact for the caller's own waiter, a guess for others.
bool ecru__mutex_is_held_by(ecru_mutex *mutex, const ecru__waiter *x);
/// Unlocks a mutex that the worker's current waiter holds. May be called under a condition variable's lock.
void ecru__mutex_release(ecru__worker *w, ecru_mutex *mutex);
/// Locks it for the worker's current waiter, which does not hold it; no token ends the wait.
void ecru__mutex_acquire_shielded(ecru__worker **w, ecru_mutex *mutex);
#endif
