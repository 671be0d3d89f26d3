/// ecru/time.h: the clock, sleep, timers and tickers (rules K6, K7). Instants are nanoseconds of ecru_now.
#ifndef ECRU_TIME_H
#define ECRU_TIME_H
#include <ecru/base.h>
ECRU_BEGIN
/// Now on the runtime's clock: monotonic nanoseconds, never negative. effects: any thread; never parks. since: 0.1
ECRU_API int64_t ecru_now(void);
/// now + duration, saturating at ECRU_FOREVER; a duration <= 0 gives now. effects: any thread; never parks. since: 0.1
ECRU_API int64_t ecru_after(int64_t duration_ns);
/// Sleeps at least duration_ns; <= 0 returns at once; overflow means forever (K6).
/// effects: any thread; parks. returns: 0; ECRU_ECANCELED; ECRU_ETIMEDOUT; ECRU_ENOMEM no room for the timer. since: 0.1
ECRU_API int ecru_sleep(int64_t duration_ns);
/// Sleeps until the instant. effects, returns: as ecru_sleep. since: 0.1
ECRU_API int ecru_sleep_until(int64_t instant_ns);

/// A one-shot timer due after duration_ns (<= 0: now) (K6). effects: any thread; never parks; allocates. owns: the caller.
/// returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_timer_create(ecru_timer **timer, int64_t duration_ns);
/// A ticker due every period_ns (> 0): ticks nobody takes are dropped, the phase does not drift.
/// effects, owns, returns: as ecru_timer_create. since: 0.1
ECRU_API int ecru_ticker_create(ecru_timer **timer, int64_t period_ns);
/// Runs fn(argument) in its own goroutine, under the caller's token and scoped values, after duration_ns.
/// effects, owns, returns: as ecru_timer_create. since: 0.1
ECRU_API int ecru_after_func(ecru_timer **timer, int64_t duration_ns, ecru_fn fn, void *argument);
/// Waits for the next tick and takes it; *scheduled_ns (may be NULL) gets the instant it was due.
/// effects: any thread; parks. returns: 0; ECRU_ECANCELED; ECRU_ETIMEDOUT; ECRU_EINVAL NULL or an after-func; ECRU_ENOMEM a
/// ticker that had found no room for its next tick still finds none. since: 0.1
ECRU_API int ecru_timer_wait(ecru_timer *timer, int64_t *scheduled_ns);
/// As ecru_timer_wait but ECRU_EAGAIN instead of parking. effects: any thread; never parks, so no cancellation point.
/// returns: 0; ECRU_EAGAIN; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_timer_try(ecru_timer *timer, int64_t *scheduled_ns);
/// Stops it: no tick is received after this returns until a reset. effects: any thread; never parks. returns: 1 it prevented a tick or run; 0 it was
/// not active (after-func: fn has been started); ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_timer_stop(ecru_timer *timer);
/// Re-arms: one-shot and after-func with a new duration, a ticker with a new period (> 0); no older tick is received after it.
/// effects: any thread; never parks; may allocate.
/// returns: 1 it was active; 0 it was not; ECRU_EINVAL NULL or a period <= 0; ECRU_ENOMEM (it is then inactive). since: 0.1
ECRU_API int ecru_timer_reset(ecru_timer *timer, int64_t duration_ns);
/// Stops and frees it (nobody may wait for it). NULL is ignored. effects: any thread; never parks, but may call the release
/// of scoped values. since: 0.1
ECRU_API void ecru_timer_destroy(ecru_timer *timer);

/// A clock that stands still until all goroutines are parked, then jumps to the next timer (K7). While somebody waits for what libuv does (names, files'
/// metadata, child processes, ecru_uv_await) it stands still too; not while they wait for descriptors, signals or watches. It starts at start_ns (> 0).
/// Give it to ecru_start; it must outlive the runtime. effects: any thread; never parks; allocates.
/// returns: 0; ECRU_EINVAL NULL, start_ns <= 0 or ECRU_FOREVER; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_clock_virtual_create(ecru_clock **clock, int64_t start_ns);
/// Moves a virtual clock forward by hand. effects: any thread; never parks. returns: 0; ECRU_EINVAL NULL or a negative
/// duration. since: 0.1
ECRU_API int ecru_clock_advance(ecru_clock *clock, int64_t duration_ns);
/// Frees it. NULL is ignored. The clock of the running runtime is a panic. effects: any thread; never parks. since: 0.1
ECRU_API void ecru_clock_destroy(ecru_clock *clock);
ECRU_END
#endif
