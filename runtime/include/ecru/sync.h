/// ecru/sync.h: locks and meeting points (rules L1, L2). All park, never block a thread that runs goroutines; all are
/// cancellable through the current token; all work between goroutines and foreign threads.
/// Creation: "returns: 0; ECRU_EINVAL; ECRU_ENOMEM". Destroying an object somebody waits on is a panic. NULL is ignored by destroy.
#ifndef ECRU_SYNC_H
#define ECRU_SYNC_H
#include <ecru/base.h>
ECRU_BEGIN
/// Mutex: FIFO hand-off once a waiter has waited 1 ms (no starvation), else fast barging.
ECRU_API int ecru_mutex_create(ecru_mutex **mutex);
ECRU_API void ecru_mutex_destroy(ecru_mutex *mutex);
/// effects: any thread; parks. returns: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT (not locked); ECRU_EDEADLK the caller holds it; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_mutex_lock(ecru_mutex *mutex);
/// returns: 0; ECRU_EAGAIN it is locked; ECRU_EINVAL. effects: never parks. since: 0.1
ECRU_API int ecru_mutex_try_lock(ecru_mutex *mutex);
/// returns: 0; ECRU_EPERM it is not locked, or not by the caller; ECRU_EINVAL. effects: never parks. since: 0.1
ECRU_API int ecru_mutex_unlock(ecru_mutex *mutex);

/// Reader-writer mutex, writers preferred.
ECRU_API int ecru_rwmutex_create(ecru_rwmutex **mutex);
ECRU_API void ecru_rwmutex_destroy(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_lock(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_try_lock(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_unlock(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_read_lock(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_try_read_lock(ecru_rwmutex *mutex);
ECRU_API int ecru_rwmutex_read_unlock(ecru_rwmutex *mutex);

/// Condition variable, FIFO. wait unlocks mutex, parks, and holds mutex again when it returns, whatever it returns.
ECRU_API int ecru_cond_create(ecru_cond **cond);
ECRU_API void ecru_cond_destroy(ecru_cond *cond);
ECRU_API int ecru_cond_wait(ecru_cond *cond, ecru_mutex *mutex);
ECRU_API int ecru_cond_signal(ecru_cond *cond);
ECRU_API int ecru_cond_broadcast(ecru_cond *cond);

/// Wait group. add: ECRU_EINVAL if the counter would become negative (it stays), ECRU_EOVERFLOW.
ECRU_API int ecru_waitgroup_create(ecru_waitgroup **group);
ECRU_API void ecru_waitgroup_destroy(ecru_waitgroup *group);
ECRU_API int ecru_waitgroup_add(ecru_waitgroup *group, int64_t delta);
ECRU_API int ecru_waitgroup_done(ecru_waitgroup *group);
ECRU_API int ecru_waitgroup_wait(ecru_waitgroup *group);
/// add(1), start fn(argument) in a goroutine, done when it ends. returns: as ecru_go. since: 0.1
ECRU_API int ecru_waitgroup_go(ecru_waitgroup *group, ecru_fn fn, void *argument);

/// Once: fn runs in the first caller, all others wait for it to end. returns of do: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_EDEADLK from fn itself.
ECRU_API int ecru_once_create(ecru_once **once);
ECRU_API void ecru_once_destroy(ecru_once *once);
ECRU_API int ecru_once_do(ecru_once *once, ecru_fn fn, void *argument);

/// Weighted semaphore, strict FIFO. acquire n > permits at creation: ECRU_EINVAL. release of more than is held: ECRU_EPERM.
ECRU_API int ecru_semaphore_create(ecru_semaphore **semaphore, int64_t permits);
ECRU_API void ecru_semaphore_destroy(ecru_semaphore *semaphore);
ECRU_API int ecru_semaphore_acquire(ecru_semaphore *semaphore, int64_t n);
ECRU_API int ecru_semaphore_try_acquire(ecru_semaphore *semaphore, int64_t n);
ECRU_API int ecru_semaphore_release(ecru_semaphore *semaphore, int64_t n);

/// Barrier for `parties` (> 0), cyclic. wait returns 1 in the last to arrive, 0 in the others; a cancelled waiter takes its arrival back.
ECRU_API int ecru_barrier_create(ecru_barrier **barrier, int parties);
ECRU_API void ecru_barrier_destroy(ecru_barrier *barrier);
ECRU_API int ecru_barrier_wait(ecru_barrier *barrier);

/// Singleflight: concurrent calls with one key share one run of fn. *shared (may be NULL) says whether others got it too.
ECRU_API int ecru_singleflight_create(ecru_singleflight **flight);
ECRU_API void ecru_singleflight_destroy(ecru_singleflight *flight);
/// returns: fn's status; ECRU_ECANCELED, ECRU_ETIMEDOUT (the run goes on for the others); ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_singleflight_do(ecru_singleflight *flight, const char *key, ecru_task_fn fn, void *argument, void **result, int *shared);
/// The next call with key starts a new run even if one is under way. since: 0.1
ECRU_API int ecru_singleflight_forget(ecru_singleflight *flight, const char *key);

/// Rate limiter (token bucket): `rate` events a second (> 0), bursts of at most `burst` (> 0), starting full. wait is FIFO.
ECRU_API int ecru_limiter_create(ecru_limiter **limiter, double rate, int64_t burst);
ECRU_API void ecru_limiter_destroy(ecru_limiter *limiter);
/// returns: 0; ECRU_EINVAL n > burst or <= 0; ECRU_ETIMEDOUT at once if the token's deadline comes first; ECRU_ECANCELED. since: 0.1
ECRU_API int ecru_limiter_wait(ecru_limiter *limiter, int64_t n);
/// returns: 0; ECRU_EAGAIN. since: 0.1
ECRU_API int ecru_limiter_try(ecru_limiter *limiter, int64_t n);
ECRU_END
#endif
