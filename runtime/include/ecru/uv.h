/// ecru/uv.h: libuv under ecru: any libuv request as a call that parks, and ecru inside a loop the application runs (rules I6, I7).
///
/// Not included by ecru/ecru.h, because it needs libuv's header. libuv is single-threaded: everything called uv_* happens on the
/// thread of one loop, *the loop's thread*. By default ecru has a loop and a thread of its own ("ecru-uv"), both made at the first use and
/// gone after ecru_stop. An application that runs a loop itself may lend it instead (ecru_uv_attach).
#ifndef ECRU_UV_H
#define ECRU_UV_H
#include <ecru/base.h>
#include <uv.h>

/// One call under way, given to what starts it.
typedef struct ecru_uv_call ecru_uv_call;
/// Starts the request on the loop's thread, so that its callback (or this function itself) calls ecru_uv_finish(call, result) there, once; must not park.
/// returns: 0; or a negative libuv code: it has not been started (and ecru_uv_finish must not be called).
typedef int (*ecru_uv_start)(uv_loop_t *loop, void *state, ecru_uv_call *call);
/// Tries to end it early (uv_cancel, uv_close ...), on the loop's thread, between start and ecru_uv_finish; its callback still comes.
typedef void (*ecru_uv_cancel)(void *state);
/// Frees the state of an abandoned request, on the loop's thread, after its callback.
typedef void (*ecru_uv_dispose)(void *state);

ECRU_BEGIN
/// Runs a libuv request and parks until it is finished. When the caller's token fires, `cancel` (may be NULL) is called and the end of the request is
/// waited for all the same, so `state`, with the request in it, may lie on the caller's stack.
/// effects: any thread but the loop's; parks; allocates nothing.
/// returns: the result given to ecru_uv_finish, a negative one as ecru_uv_status translates it; ECRU_ECANCELED, ECRU_ETIMEDOUT if the token fired
/// and the request was not done (never started, or its result is UV_ECANCELED); ECRU_EDEADLK called on the loop's thread; ECRU_EINVAL start NULL;
/// ECRU_ETHREADS, ECRU_ENOMEM, ECRU_EMFILE: no loop could be made; ECRU_ESHUTDOWN. since: 0.1
ECRU_API int64_t ecru_uv_await(ecru_uv_start start, ecru_uv_cancel cancel, void *state);
/// The same, but when the caller's token fires it returns at once. If it was `abandoned` (set to 1, else to 0), `state` no longer belongs to the caller: `cancel`
/// (may be NULL) is called, and `dispose` after the request's callback, or as soon as it is clear that it will not be started.
/// effects, returns: as ecru_uv_await; allocates; ECRU_EINVAL also dispose or abandoned NULL. since: 0.1
ECRU_API int64_t ecru_uv_await_or_abandon(ecru_uv_start start, ecru_uv_cancel cancel, ecru_uv_dispose dispose, void *state, int *abandoned);
/// Ends a call: whoever awaits it goes on with `result` (a negative libuv code or anything from 0 on).
/// effects: the loop's thread only; never parks. since: 0.1
ECRU_API void ecru_uv_finish(ecru_uv_call *call, int64_t result);
/// The status code for a libuv error code; numbers from 0 on are passed through.
/// effects: any thread; never parks. returns: ECRU_E*; ECRU_EUNKNOWN. since: 0.1
ECRU_API int ecru_uv_status(int uv_error);

/// Lends ecru the loop that the application runs on the calling thread: from now on all of ecru's libuv work is done there. It keeps the loop
/// alive until ecru_uv_detach. Goroutines are still run by ecru's own threads; callbacks on the loop may call whatever of ecru does not park
/// (ecru_go, ecru_chan_try_send ...). The loop has to run for that work to go on, also during ecru_stop.
/// effects: the loop's thread; never parks. returns: 0; ECRU_EINVAL; ECRU_EEXIST another loop is attached; ECRU_ENOMEM; ECRU_EMFILE. since: 0.1
ECRU_API int ecru_uv_attach(uv_loop_t *loop);
/// Takes it back. libuv's memory for it is freed when the loop runs next. effects: the loop's thread; never parks.
/// returns: 0; ECRU_ENOENT no loop is attached; ECRU_EPERM not its thread; ECRU_EBUSY calls are under way, or children, signals or
/// watches live there. since: 0.1
ECRU_API int ecru_uv_detach(void);
ECRU_END
#endif
