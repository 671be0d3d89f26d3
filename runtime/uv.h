/// runtime/uv.h: work on the loop's thread (rules I6, I7).
///
///   1 A loop belongs to one thread. Everything that calls uv_* is a *job* in its queue, run there in order of submission, or a callback.
///   2 A call counts in loop->calls from its submission to its last act on the loop's thread, which is the last that touches it there. A handle
///     (a child, a signal, a watch) counts in loop->handles from the job that opens it until it is closed. A loop with calls or handles is not closed.
///   3 call->pending counts what the loop's thread still has to do with a call: its end, and a cancel if one was submitted. At 0 the waiter goes on,
///     or, if it has abandoned the call, the loop's thread frees it.
///   4 Our own loop ends by itself once it is told to and has no calls: it closes the handles that are left, then everything.
///
/// Lock order: call->lock -> hub.lock (uv.c).
#ifndef ECRU_RUNTIME_UV_H
#define ECRU_RUNTIME_UV_H
#include <ecru/uv.h>

#include "runtime/scheduler.h"

typedef struct ecru__uv_loop ecru__uv_loop;
typedef struct ecru__uv_job {
  struct ecru__uv_job *next;                               // lock: hub's
  void (*run)(uv_loop_t *loop, struct ecru__uv_job *job);  // set once: by the submitter
} ecru__uv_job;

struct ecru_uv_call {
  ecru__uv_job begin, give_up;   // owner until submitted
  ecru__uv_loop *loop;           // set once
  ecru_uv_start start;           // set once
  ecru_uv_cancel cancel;         // set once
  ecru_uv_dispose dispose;       // set once: NULL: the waiter always stays to the end
  void *state;                   // set once
  ecru__lock lock;
  ecru__queue waiters;           // lock: the one that waits
  uint32_t pending;              // lock: invariant 3
  bool finished;                 // lock: there is a result, which is written before
  bool canceled;                 // lock: not to be started any more
  bool abandoned;                // lock
  int64_t result;                // lock
};

/// Something open on a loop for long. Its memory belongs to whoever embeds it, until `closed` has been called.
typedef struct ecru__uv_handle {
  ecru__uv_loop *loop;                                // set when opened; the loop's thread clears it
  struct ecru__uv_handle *next, *prev;                // loop's thread
  void (*shut)(struct ecru__uv_handle *handle);       // set once: loop's thread: the loop ends; must lead to ecru__uv_handle_closed
} ecru__uv_handle;

/// ecru_uv_await and ecru_uv_await_or_abandon from inside; the caller has looked at its token.
int64_t ecru__uv_await(ecru__worker **w, ecru_uv_start start, ecru_uv_cancel cancel, void *state, int reason);
int64_t ecru__uv_await_or_abandon(ecru__worker **w, ecru_uv_start start, ecru_uv_cancel cancel, ecru_uv_dispose dispose, void *state,
                                  int *abandoned, int reason);
/// Loop's thread, in a call's `start`: the handle now lives on the call's loop.
void ecru__uv_handle_opened(ecru__uv_handle *handle, ecru_uv_call *call);
/// Loop's thread, in the callback of uv_close: it does no longer.
void ecru__uv_handle_closed(ecru__uv_handle *handle);
/// Loop's thread: our own loop is not to end by itself (invariant 4) before the handle has been let go of.
void ecru__uv_handle_keep(ecru__uv_handle *handle);
void ecru__uv_handle_let_go(ecru__uv_handle *handle);
/// Loop's thread, in a call's `start`: if the loop is our own its thread takes that signal, whatever all others block.
void ecru__uv_take_signal(ecru_uv_call *call, int signal);
/// Loop's thread: ecru__event_set, but without a look at the runtime if nobody waits: it may be stopped.
void ecru__uv_event_set(ecru__event *event);
/// Whether a forked child has it from its parent: its loop has no thread here, and nothing will come of it (G14).
bool ecru__uv_handle_is_lost(const ecru__uv_handle *handle);
/// Runs the job on the handle's loop. returns: false: that has closed it, or is lost.
bool ecru__uv_submit(ecru__uv_handle *handle, ecru__uv_job *job);
/// Whether anybody's call or handle may still wake somebody (D1); how many threads of this process libuv has because of us.
bool ecru__uv_is_busy(void);
uint32_t ecru__uv_threads(void);
/// At a start; at a stop, when no goroutines are left but workers still stand: ends our own loop and its thread, which may be waking one.
void ecru__uv_start(void);
void ecru__uv_stop(void);
#endif
