/// ecru/sync.h: locks and meeting points (rules L1, L2). All park, never block a thread that runs goroutines; all are
/// cancellable through the current token; all work between goroutines and foreign threads.
///
/// Whatever parks is a cancellation point even when it would not have to wait: with a fired token it returns
/// ECRU_ECANCELED or ECRU_ETIMEDOUT at once. A wait that ends so had no effect: no lock, permit or signal is lost with it
/// (C11). What must be done anyhow, such as locking in a cleanup, is done under ecru_shield_enter.
///
/// Objects are opaque and belong to whoever created them. Destroying one that somebody waits on is a panic; so is
/// destroying a locked mutex (L2). A mutex (of either kind), a semaphore and a wait group may be destroyed as soon as the
/// caller has locked and unlocked, acquired, or waited for it, even if the unlock, release or done that made it possible
/// has not returned yet; for the others every call must have returned.
#ifndef ECRU_SYNC_H
#define ECRU_SYNC_H
#include <ecru/base.h>
ECRU_BEGIN

// ---- mutex --------------------------------------------------------------------------------------------------------

/// Creates an unlocked mutex: bargers are let in while that is fast; once a waiter has waited 1 ms it goes from waiter to
/// waiter in order until none has waited so long (L1). Not recursive. It belongs to the goroutine or thread
/// that locked it.
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL mutex is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_mutex_create(ecru_mutex **mutex);
/// Frees a mutex. NULL is ignored. A locked one, or one that somebody waits for, is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_mutex_destroy(ecru_mutex *mutex);
/// Locks it. Happens-before: each unlock -> every later lock.
/// effects: any thread; parks; does not allocate.
/// returns: 0; ECRU_EDEADLK the caller holds it; ECRU_ECANCELED, ECRU_ETIMEDOUT (not locked); ECRU_EINVAL NULL.
/// since: 0.1
ECRU_API int ecru_mutex_lock(ecru_mutex *mutex);
/// Locks it if nobody holds it.
/// effects: any thread; never parks. returns: 0; ECRU_EAGAIN it is locked (also by the caller); ECRU_EINVAL NULL.
/// since: 0.1
ECRU_API int ecru_mutex_try_lock(ecru_mutex *mutex);
/// Unlocks it.
/// effects: any thread; never parks. returns: 0; ECRU_EPERM it is not locked, or not by the caller; ECRU_EINVAL NULL.
/// since: 0.1
ECRU_API int ecru_mutex_unlock(ecru_mutex *mutex);

// ---- reader-writer mutex ------------------------------------------------------------------------------------------

/// Creates an unlocked reader-writer mutex: one writer or any number of readers. A waiting writer keeps new readers out;
/// when a writer unlocks, the readers waiting by then go before the next writer (L1). So a reader that locks it once more
/// can wait for a writer that waits for it.
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL mutex is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_rwmutex_create(ecru_rwmutex **mutex);
/// Frees it. NULL is ignored. A locked one, or one that somebody waits for, is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_rwmutex_destroy(ecru_rwmutex *mutex);
/// Locks it for writing.
/// effects: any thread; parks; does not allocate. returns: 0; ECRU_EDEADLK the caller has it for writing (a reader that
/// wants to write is not noticed: it waits for itself); ECRU_ECANCELED, ECRU_ETIMEDOUT (not locked); ECRU_EINVAL NULL.
/// since: 0.1
ECRU_API int ecru_rwmutex_lock(ecru_rwmutex *mutex);
/// Locks it for writing if nobody has it.
/// effects: any thread; never parks. returns: 0; ECRU_EAGAIN; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_rwmutex_try_lock(ecru_rwmutex *mutex);
/// Unlocks what the caller has locked for writing.
/// effects: any thread; never parks. returns: 0; ECRU_EPERM the caller does not have it for writing; ECRU_EINVAL NULL.
/// since: 0.1
ECRU_API int ecru_rwmutex_unlock(ecru_rwmutex *mutex);
/// Locks it for reading.
/// effects: any thread; parks; does not allocate. returns: 0; ECRU_EDEADLK the caller has it for writing; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT (not locked); ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_rwmutex_read_lock(ecru_rwmutex *mutex);
/// Locks it for reading if no writer has it or waits for it.
/// effects: any thread; never parks. returns: 0; ECRU_EAGAIN; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_rwmutex_try_read_lock(ecru_rwmutex *mutex);
/// Gives one read lock back. Readers are counted, not known: any thread may do it for another.
/// effects: any thread; never parks. returns: 0; ECRU_EPERM nobody has it for reading; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_rwmutex_read_unlock(ecru_rwmutex *mutex);

// ---- condition variable -------------------------------------------------------------------------------------------

/// Creates a condition variable: first come, first woken; nobody wakes without a signal (L1).
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL cond is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_cond_create(ecru_cond **cond);
/// Frees it. NULL is ignored. One that somebody waits on is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_cond_destroy(ecru_cond *cond);
/// Unlocks mutex and waits for a signal, in one step; locks mutex again before it returns, whatever it returns. A signal
/// that meets a waiter just cancelled goes to the next one.
/// effects: any thread; parks (locking again is not a cancellation point).
/// returns: 0 signalled; ECRU_ECANCELED, ECRU_ETIMEDOUT (not signalled; mutex is held); ECRU_EPERM the caller does not
/// hold mutex (nothing was done); ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_cond_wait(ecru_cond *cond, ecru_mutex *mutex);
/// Wakes the one that has waited longest, if anybody waits.
/// effects: any thread, holding the mutex or not; never parks. returns: 0; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_cond_signal(ecru_cond *cond);
/// Wakes all that wait. effects: as ecru_cond_signal. returns: 0; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_cond_broadcast(ecru_cond *cond);

// ---- wait group ---------------------------------------------------------------------------------------------------

/// Creates a wait group with the counter 0 (L1). It can be used again after a wait.
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL group is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_waitgroup_create(ecru_waitgroup **group);
/// Frees it. NULL is ignored. One that somebody waits for is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_waitgroup_destroy(ecru_waitgroup *group);
/// Adds delta, which may be negative, to the counter; whoever makes it 0 wakes all that wait.
/// effects: any thread; never parks. returns: 0; ECRU_EINVAL NULL, or the counter would become negative (it stays);
/// ECRU_EOVERFLOW (it stays). since: 0.1
ECRU_API int ecru_waitgroup_add(ecru_waitgroup *group, int64_t delta);
/// add(-1). Happens-before: each done -> the return of every wait it lets through.
/// effects, returns: as ecru_waitgroup_add. since: 0.1
ECRU_API int ecru_waitgroup_done(ecru_waitgroup *group);
/// Waits until the counter is 0.
/// effects: any thread, any number at once; parks; does not allocate. returns: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT;
/// ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_waitgroup_wait(ecru_waitgroup *group);
/// add(1), then ecru_go(fn, argument); done when that goroutine ends, by return or by ecru_exit. If it cannot be started
/// the counter is as before.
/// effects: as ecru_go. returns: as ecru_go and ecru_waitgroup_add. since: 0.1
ECRU_API int ecru_waitgroup_go(ecru_waitgroup *group, ecru_fn fn, void *argument);

// ---- once ---------------------------------------------------------------------------------------------------------

/// Creates a once (L1).
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL once is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_once_create(ecru_once **once);
/// Frees it. NULL is ignored. One whose function is running is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_once_destroy(ecru_once *once);
/// Runs fn(argument) if no call has yet; returns when it has run, in whichever caller. The fn of later calls is ignored.
/// fn must return (not ecru_exit). A caller that is cancelled while it waits does not disturb the run.
/// effects: any thread; parks; runs fn in the caller. returns: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT (then fn was not run by
/// this call); ECRU_EDEADLK from fn itself; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_once_do(ecru_once *once, ecru_fn fn, void *argument);

// ---- semaphore ----------------------------------------------------------------------------------------------------

/// Creates a weighted semaphore with `permits` (> 0) available. Strictly first come, first served: one who wants many is
/// not overtaken by those who want few (L1).
/// effects: any thread; never parks; allocates. owns: the caller.
/// returns: 0; ECRU_EINVAL NULL, permits <= 0 or > 2^62 - 1; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_semaphore_create(ecru_semaphore **semaphore, int64_t permits);
/// Frees it, also while permits are out. NULL is ignored. One that somebody waits for is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_semaphore_destroy(ecru_semaphore *semaphore);
/// Takes n permits.
/// effects: any thread; parks; does not allocate. returns: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT (none taken); ECRU_EINVAL
/// NULL, n <= 0, n > the permits at creation. since: 0.1
ECRU_API int ecru_semaphore_acquire(ecru_semaphore *semaphore, int64_t n);
/// Takes n permits if they are there and nobody waits.
/// effects: any thread; never parks. returns: 0; ECRU_EAGAIN; ECRU_EINVAL as ecru_semaphore_acquire. since: 0.1
ECRU_API int ecru_semaphore_try_acquire(ecru_semaphore *semaphore, int64_t n);
/// Gives n permits back, whoever took them.
/// effects: any thread; never parks. returns: 0; ECRU_EPERM fewer than n are out (nothing changes); ECRU_EINVAL NULL, n
/// <= 0. since: 0.1
ECRU_API int ecru_semaphore_release(ecru_semaphore *semaphore, int64_t n);
/// How many permits nobody has. While somebody waits they are fewer than the first one wants.
/// effects: any thread; never parks; what is returned may be past already. returns: the number; 0 if semaphore is NULL. since: 0.1
ECRU_API int64_t ecru_semaphore_available(ecru_semaphore *semaphore);

// ---- barrier ------------------------------------------------------------------------------------------------------

/// Creates a barrier for `parties` (> 0), which serves cycle after cycle (L1).
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL NULL, parties <= 0;
/// ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_barrier_create(ecru_barrier **barrier, int parties);
/// Frees it. NULL is ignored. One that somebody waits at is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_barrier_destroy(ecru_barrier *barrier);
/// Waits until all parties of this cycle have arrived. One that is cancelled takes its arrival back.
/// effects: any thread; parks; does not allocate. returns: 1 in the last to arrive, 0 in the others; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT (not arrived); ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_barrier_wait(ecru_barrier *barrier);

// ---- singleflight -------------------------------------------------------------------------------------------------

/// Creates a singleflight: concurrent calls with one key share one run of a function (L1).
/// effects: any thread; never parks; allocates. owns: the caller. returns: 0; ECRU_EINVAL flight is NULL; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_singleflight_create(ecru_singleflight **flight);
/// Frees it. NULL is ignored. One that somebody waits for is a panic; a run that all callers have left ends by itself.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_singleflight_destroy(ecru_singleflight *flight);
/// Waits for the run under way with this key, or else starts fn(argument, &result) in a goroutine of its own and waits
/// for that. *result (may be NULL) gets the run's result if its status is not negative: all callers get the same pointer.
/// *shared (may be NULL) says whether there was more than one caller. The run's token is fired when its last caller is
/// cancelled.
/// owns: key is copied. effects: any thread; parks; allocates.
/// returns: fn's status (ECRU_ECANCELED if it called ecru_exit); ECRU_ECANCELED, ECRU_ETIMEDOUT (the run goes on for the
/// others); ECRU_EDEADLK from fn itself with its own key; ECRU_EINVAL flight, key or fn is NULL; ECRU_ENOMEM; as ecru_go.
/// since: 0.1
ECRU_API int ecru_singleflight_do(ecru_singleflight *flight, const char *key, ecru_task_fn fn, void *argument,
                                 void **result, int *shared);
/// The next call with key starts a new run even if one is under way; those who wait for that one still get its result.
/// effects: any thread; never parks. returns: 0 (also if none is under way); ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_singleflight_forget(ecru_singleflight *flight, const char *key);

// ---- rate limiter -------------------------------------------------------------------------------------------------

/// Creates a rate limiter (token bucket): `rate` events a second (> 0), bursts of at most `burst` (> 0), starting full
/// (L1). It runs on the runtime's clock.
/// effects: any thread; never parks; allocates; starts the runtime. owns: the caller.
/// returns: 0; ECRU_EINVAL NULL, rate not finite or <= 0, burst <= 0, burst / rate too large a time; ECRU_ENOMEM; as
/// ecru_start. since: 0.1
ECRU_API int ecru_limiter_create(ecru_limiter **limiter, double rate, int64_t burst);
/// Frees it. NULL is ignored. One that somebody waits for is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_limiter_destroy(ecru_limiter *limiter);
/// Waits until n events may happen, in the order of the calls; those behind a cancelled waiter go the earlier.
/// effects: any thread; parks; may allocate. returns: 0; ECRU_ETIMEDOUT, without waiting, if the token's deadline comes
/// before its turn; ECRU_ECANCELED, ECRU_ETIMEDOUT the token has fired (nothing taken); ECRU_EINVAL NULL, n <= 0, n >
/// burst; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_limiter_wait(ecru_limiter *limiter, int64_t n);
/// Takes n events if they may happen now and nobody waits.
/// effects: any thread; never parks. returns: 0; ECRU_EAGAIN; ECRU_EINVAL as ecru_limiter_wait. since: 0.1
ECRU_API int ecru_limiter_try(ecru_limiter *limiter, int64_t n);
ECRU_END
#endif
