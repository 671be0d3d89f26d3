/// runtime/process.c: child processes on uv_spawn (rule I6).
///
/// libuv waits for the child on the loop's thread, so only there its number surely means this child: signals are sent there. Pipes are ours
/// (ecru_io) and not libuv's, so that reading and writing them is as fast and as cancellable as everywhere.
///
///   1 `users` counts the handles of the program; `references` the block: one for all users together, one of the loop's while the child lives,
///     one for each signal under way.
///   2 The registration lives from the start to the last user's release: so its callback finds a block that is alive.
#include <ecru/process.h>
#include <ecru/sync.h>
#include <ecru/token.h>

#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"
#include "platform/signal.h"
#include "runtime/clock.h"
#include "runtime/io.h"
#include "runtime/uv.h"

struct ecru_process {
  ecru__uv_handle handle;           // first
  uv_process_t uv;                  // loop's thread
  ecru__uv_job cancel;              // of the one who fires the token, once
  _Atomic uint32_t users, references; // atomic: invariant 1
  ecru_token *token;                // set once: the registration's, which keeps it
  ecru_registration *registration;  // set once, invariant 2
  int cancel_signal;                // set once
  bool kept;                        // loop's thread: killed by the token, to be waited for even by a stop
  bool lost;                        // set before `ended`: the loop was gone before it ended
  int code, signal;                 // set before `ended`
  int64_t id;                       // set once
  ecru__event ended;
  ecru_io *pipes[3];                // set once
};

static void drop(ecru_process *p) {
  // acq_rel: all that was done with it happens before it is freed
  if (atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) == 1) ecru__free(p);
}

static void add_reference(ecru_process *p) {
  atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed); // relaxed: the caller has one
}

// ---- on the loop's thread ----------------------------------------------------------------------------------------------

static void closed(uv_handle_t *handle) {
  ecru_process *p = handle->data;
  if (p->kept) ecru__uv_handle_let_go(&p->handle);
  ecru__uv_handle_closed(&p->handle);
  drop(p);
}

static void exited(uv_process_t *uv, int64_t code, int signal) {
  ecru_process *p = uv->data;
  p->code = signal ? 0 : (int)code;
  p->signal = signal;
  ecru__uv_event_set(&p->ended);
  uv_close((uv_handle_t *)uv, closed);
}

/// The loop ends: the child goes on without us.
static void shut(ecru__uv_handle *handle) {
  ecru_process *p = (ecru_process *)(void *)handle;
  if (uv_is_closing((uv_handle_t *)&p->uv)) return;
  p->lost = true;
  ecru__uv_event_set(&p->ended);
  uv_close((uv_handle_t *)&p->uv, closed);
}

typedef struct spawning {
  ecru_process *process;
  ecru_uv_call *call;
  uv_process_options_t options;
  uv_stdio_container_t stdio[3];
  int failed;
} spawning;

static void not_started(uv_handle_t *handle) {
  spawning *s = handle->data;
  ecru_uv_finish(s->call, s->failed);
}

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  spawning *s = state;
  ecru_process *p = s->process;
  ecru__uv_take_signal(call, SIGCHLD);
  s->call = call;
  s->options.exit_cb = exited;
  s->failed = uv_spawn(loop, &p->uv, &s->options);
  p->uv.data = s->failed ? (void *)s : p;
  if (s->failed) {
    uv_close((uv_handle_t *)&p->uv, not_started); // its structure is the loop's until then
    return 0;
  }
  p->id = p->uv.pid;
  add_reference(p);
  p->handle.shut = shut;
  ecru__uv_handle_opened(&p->handle, call);
  ecru_uv_finish(call, 0);
  return 0;
}

static void cancel_now(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  ecru_process *p = (ecru_process *)(void *)((char *)job - offsetof(ecru_process, cancel));
  if (p->handle.loop && !uv_is_closing((uv_handle_t *)&p->uv) && uv_process_kill(&p->uv, p->cancel_signal) == 0 && !p->kept) {
    p->kept = true;
    ecru__uv_handle_keep(&p->handle);
  }
  drop(p);
}

typedef struct sending {
  ecru__uv_job job; // first
  ecru_process *process;
  int signal;
} sending;

static void send_now(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  sending *s = (sending *)(void *)job;
  ecru_process *p = s->process;
  if (p->handle.loop && !uv_is_closing((uv_handle_t *)&p->uv)) uv_process_kill(&p->uv, s->signal);
  drop(p);
  ecru__free(s);
}

// ---- starting ----------------------------------------------------------------------------------------------------------

static void on_cancel(void *process) {
  ecru_process *p = process;
  add_reference(p);
  p->cancel.run = cancel_now;
  if (!ecru__uv_submit(&p->handle, &p->cancel)) drop(p);
}

/// Prepares one stream. *theirs: a descriptor to close once the child has it, or -1. returns: 0; ECRU_E*.
static int prepare_stream(spawning *s, int i, const ecru_stdio *stdio, int *theirs) {
  uv_stdio_container_t *c = &s->stdio[i];
  intptr_t ours;
  c->flags = UV_INHERIT_FD;
  switch (stdio->kind) {
  case ECRU_STDIO_INHERIT: c->data.fd = i; return 0;
  case ECRU_STDIO_NULL: c->flags = UV_IGNORE; return 0;
  case ECRU_STDIO_DESCRIPTOR: c->data.fd = (int)stdio->descriptor; return stdio->descriptor < 0 ? ECRU_EBADF : 0;
  case ECRU_STDIO_PIPE: break;
  default: return ECRU_EINVAL;
  }
  int kind = ecru__io_pipe_to_child(&ours, i == 0, theirs);
  if (kind < 0) return kind;
  c->data.fd = *theirs;
  ecru__worker *w = ecru__enter();
  if (!w) {
    ecru__io_close(ours);
    return ecru__enter_status();
  }
  int status = ecru__io_create_or_close(w, &s->process->pipes[i], ours, (enum ecru__descriptor_kind)kind);
  ecru__leave(w);
  return status;
}

static int spawn(spawning *s) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = (int)ecru__uv_await(&w, start, NULL, s, ECRU__WAIT_PROCESS);
  ecru__leave(w);
  return status;
}

static int take_options(const ecru_process_options *given, ecru_process_options *options) {
  *options = (ecru_process_options)ECRU_PROCESS_OPTIONS;
  if (given && (given->size < sizeof(size_t) || given->size > sizeof *given)) return ECRU_EINVAL;
  if (given) memcpy(options, given, given->size);
  if (options->flags & ~(unsigned)(ECRU_PROCESS_KEEP | ECRU_PROCESS_SESSION) || options->cancel_signal < 0) return ECRU_EINVAL;
  if (options->cancel_signal == 0) options->cancel_signal = SIGKILL;
  return 0;
}

static int start_process(ecru_process *p, const ecru_process_options *options, const char *const *arguments) {
  spawning s = {.process = p};
  int theirs[3] = {-1, -1, -1};
  s.options.file = arguments[0];
  s.options.args = (char **)(uintptr_t)arguments;
  s.options.env = (char **)(uintptr_t)options->environment;
  s.options.cwd = options->directory;
  s.options.stdio_count = 3;
  s.options.stdio = s.stdio;
  s.options.flags = options->flags & ECRU_PROCESS_SESSION ? UV_PROCESS_DETACHED : 0;
  p->cancel_signal = options->cancel_signal;
  int status = 0;
  for (int i = 0; i < 3 && status == 0; i++) status = prepare_stream(&s, i, &options->stdio[i], &theirs[i]);
  if (status == 0) status = spawn(&s);
  for (int i = 0; i < 3; i++)
    if (theirs[i] >= 0) ecru__io_close_of_child(theirs[i]);
  if (status == 0 && !(options->flags & ECRU_PROCESS_KEEP)) {
    p->token = ecru_token_current();
    status = ecru_token_on_cancel(p->token, on_cancel, p, &p->registration);
    if (status != 0) on_cancel(p);
  }
  return status;
}

int ecru_process_start(const ecru_process_options *given, ecru_process **process, const char *const *arguments) {
  ecru_process_options options;
  if (!process || !arguments || !arguments[0]) return ECRU_EINVAL;
  int status = take_options(given, &options);
  if (status != 0) return status;
  ecru_process *p = ecru__calloc(1, sizeof *p);
  if (!p) return ECRU_ENOMEM;
  atomic_init(&p->users, 1);
  atomic_init(&p->references, 1);
  status = start_process(p, &options, arguments);
  if (status == 0) *process = p;
  else ecru_process_release(p);
  return status;
}

// ---- the handle --------------------------------------------------------------------------------------------------------

ecru_io *ecru_process_pipe(ecru_process *process, int stream) {
  return process && stream >= 0 && stream < 3 ? process->pipes[stream] : NULL;
}

int64_t ecru_process_id(ecru_process *process) { return process ? process->id : ECRU_EINVAL; }

/// Whether nobody here will learn how it ends: it is a child of our parent's (G14).
static bool is_lost(const ecru_process *process) {
  return !ecru__event_is_set(&process->ended) && ecru__uv_handle_is_lost(&process->handle);
}

int ecru_process_wait(ecru_process *process, int *code, int *signal) {
  if (!process) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  ecru__clock_hold(); // K7
  if (status == 0 && is_lost(process)) status = ECRU_ECLOSED;
  if (status == 0) status = ecru__event_wait(&w, &process->ended, ECRU__WAIT_PROCESS, process);
  ecru__clock_let_go();
  ecru__leave(w);
  if (status == 0 && process->lost) status = ECRU_ECLOSED;
  if (status == 0 && code) *code = process->code;
  if (status == 0 && signal) *signal = process->signal;
  return status;
}

int ecru_process_kill(ecru_process *process, int signal) {
  if (!process || signal <= 0) return ECRU_EINVAL;
  if (ecru__worker_forked()) return ECRU_EFORKED;
  if (ecru__event_is_set(&process->ended)) return ECRU_ESRCH;
  sending *s = ecru__malloc(sizeof *s);
  if (!s) return ECRU_ENOMEM;
  s->job.run = send_now;
  s->process = process;
  s->signal = signal;
  add_reference(process);
  if (ecru__uv_submit(&process->handle, &s->job)) return 0;
  drop(process);
  ecru__free(s);
  return ECRU_ESRCH;
}

ecru_process *ecru_process_retain(ecru_process *process) {
  if (process) atomic_fetch_add_explicit(&process->users, 1, memory_order_relaxed); // relaxed: the caller's own keeps it alive
  return process;
}

/// A deadline's callbacks run a little after it fires, in a goroutine of their own: a last user who was woken by it may be here before.
static void forget_token(ecru_process *process) {
  bool fired = ecru_token_err(process->token) != 0;
  if (ecru_token_unregister(process->registration) == 1 && fired) on_cancel(process);
}

void ecru_process_release(ecru_process *process) {
  // acq_rel: all that was done with it happens before its last release
  if (!process || atomic_fetch_sub_explicit(&process->users, 1, memory_order_acq_rel) != 1) return;
  if (process->registration) forget_token(process);
  for (int i = 0; i < 3; i++) ecru_io_release(process->pipes[i]);
  drop(process);
}

// ---- run and capture ---------------------------------------------------------------------------------------------------

typedef struct stream {
  ecru_process *process;
  ecru_waitgroup *done;
  ecru_io *io;
  char *data;             // malloc's: the user frees it
  const void *input;
  size_t used, room, most;
  int status;
} stream;

/// Reads until the end. returns: 0; ECRU_EFBIG; ECRU_ENOMEM; as ecru_io_read.
static int read_to_end(stream *s) {
  for (;;) {
    if (s->used + 1 >= s->room) {
      char *more = realloc(s->data, s->room ? s->room * 2 : 4096);
      if (!more) return ECRU_ENOMEM;
      s->data = more;
      s->room = s->room ? s->room * 2 : 4096;
    }
    int64_t count = ecru_io_read(s->io, s->data + s->used, s->room - 1 - s->used);
    if (count < 0) return (int)count;
    s->data[s->used + (size_t)count] = 0;
    if (count == 0) return 0;
    s->used += (size_t)count;
    if (s->used > s->most) return ECRU_EFBIG;
  }
}

static void capture(void *argument) {
  stream *s = argument;
  s->status = read_to_end(s);
  // nobody listens to it any more; but if the token has fired, the options say what becomes of it (ecru_process_wait)
  if (s->status != 0 && s->status != ECRU_ECANCELED && s->status != ECRU_ETIMEDOUT) ecru_process_kill(s->process, SIGKILL);
  if (s->done) ecru_waitgroup_done(s->done);
}

static void feed(void *argument) {
  stream *s = argument;
  int64_t written = ecru_io_write(s->io, s->input, s->used, NULL);
  s->status = written < 0 && written != ECRU_EPIPE ? (int)written : 0; // it need not read all
  ecru_io_close(s->io);
  ecru_waitgroup_done(s->done);
}

/// Starts fn(s) beside us. Without memory for that the child is killed and the stream fails.
static void beside(ecru_fn fn, stream *s) {
  if (!s->io) return;
  int status = ecru_waitgroup_add(s->done, 1);
  if (status == 0 && (status = ecru_go(fn, s)) != 0) ecru_waitgroup_done(s->done);
  if (status == 0) return; // the stream is its own from here on
  s->status = status;
  ecru_process_kill(s->process, SIGKILL);
}

static int wait_for_all(ecru_waitgroup *done) {
  int status = ecru_shield_enter(ECRU_FOREVER); // they end by themselves when the token fires; until then they use our streams
  if (status != 0) return status;
  ecru_waitgroup_wait(done);
  return ecru_token_leave();
}

static int converse(ecru_process *p, stream streams[3], ecru_process_result *result) {
  beside(feed, &streams[0]);
  beside(capture, &streams[2]);
  streams[1].done = NULL; // here
  if (streams[1].io) capture(&streams[1]);
  while (wait_for_all(streams[0].done) == ECRU_ENOMEM) ecru_yield();
  int status = ecru_process_wait(p, &result->code, &result->signal);
  for (int i = 0; i < 3 && status == 0; i++) status = streams[i].status;
  return status;
}

int ecru_process_run(const ecru_process_options *given, const char *const *arguments, const void *input, size_t input_bytes, size_t most,
                     ecru_process_result *result) {
  ecru_process_options options;
  if (!arguments || !result || result->size != sizeof *result || (!input && input_bytes > 0)) return ECRU_EINVAL;
  int status = take_options(given, &options);
  if (status != 0) return status;
  if (input) options.stdio[0].kind = ECRU_STDIO_PIPE;
  else if (options.stdio[0].kind == ECRU_STDIO_PIPE) return ECRU_EINVAL; // nobody would write to it
  for (int i = 1; i < 3; i++)
    if (options.stdio[i].kind == ECRU_STDIO_INHERIT) options.stdio[i].kind = ECRU_STDIO_PIPE;
  ecru_waitgroup *done = NULL;
  ecru_process *p = NULL;
  status = ecru_waitgroup_create(&done);
  if (status == 0) status = ecru_process_start(&options, &p, arguments);
  stream streams[3] = {{0}};
  if (status == 0) {
    for (int i = 0; i < 3; i++) streams[i] = (stream){.process = p, .done = done, .io = p->pipes[i], .most = most};
    streams[0].input = input;
    streams[0].used = input_bytes;
    ecru__clock_hold(); // K7: also while only its pipes are waited for
    status = converse(p, streams, result);
    ecru__clock_let_go();
  }
  ecru_process_release(p);
  if (done) ecru_waitgroup_destroy(done);
  if (status != 0) {
    free(streams[1].data);
    free(streams[2].data);
    return status;
  }
  result->output = streams[1].data;
  result->output_bytes = streams[1].used;
  result->errors = streams[2].data;
  result->errors_bytes = streams[2].used;
  return 0;
}
