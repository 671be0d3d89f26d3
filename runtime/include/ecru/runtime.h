/// ecru/runtime.h: goroutines and the scheduler (rules G1-G14).
///
/// Effects, in every header: "any thread" = a goroutine or any other thread of the process. "parks" = may suspend the
/// caller (a goroutine leaves its thread to others, a foreign thread sleeps) and is a cancellation point (K2): it
/// ends with ECRU_ECANCELED or ECRU_ETIMEDOUT, without effect, when the caller's current token has fired.
/// Every function can further return ECRU_EFORKED (G14) and, from a thread ecru sees for the first time, ECRU_ENOMEM.
#ifndef ECRU_RUNTIME_H
#define ECRU_RUNTIME_H
#include <ecru/base.h>

/// Flags of ecru_go_options.
enum {
  ECRU_PINNED = 1,     ///< stays on the thread it first runs on (G10)
  ECRU_OWN_THREAD = 2, ///< gets a thread and that thread's native stack to itself (G10)
  ECRU_HOSTED = 4,     ///< runs on one thread only, a host: the calling one, or options' `host` (host.h, G15); goes with no other flag
};

/// Options of ecru_start; zero means "the default" in every field. Environment: ECRU_MAXPROCS, ECRU_DEBUG.
typedef struct ecru_options {
  size_t size;            ///< sizeof(ecru_options), set by ECRU_OPTIONS
  int maxprocs;           ///< goroutines running in parallel; default min(CPU affinity, cgroup quota) (G5); never more than threads_max
  int threads_max;        ///< threads at most; default 10000 (G3)
  size_t stack_bytes;     ///< default stack reservation, 16 KiB to 1 GiB; default 256 KiB (G8)
  int64_t grace_ns;       ///< how long ecru_run and ecru_stop wait for goroutines to end; default 10 s (G13)
  int64_t idle_thread_ns; ///< after how long a spare thread ends; default 10 s (G3)
  ecru_clock *clock;      ///< borrowed until stop; default the system's monotonic clock (K7)
  uint64_t seed;          ///< seed of scheduling decisions; default random
  unsigned flags;         ///< ECRU_NO_SIGNAL_HANDLERS or 0
  size_t room_bytes;      ///< of each stack of the default size: kept for the program (ecru_room); at most an eighth of it; default 0
} ecru_options;
enum { ECRU_NO_SIGNAL_HANDLERS = 1 /**< install no SIGSEGV handler: a stack overflow then ends in a bare fault */ };
#define ECRU_OPTIONS {sizeof(ecru_options), 0, 0, 0, 0, 0, NULL, 0, 0, 0}

/// Options of one goroutine; zero means "the default" in every field.
typedef struct ecru_go_options {
  size_t size;        ///< sizeof(ecru_go_options), set by ECRU_GO_OPTIONS
  size_t stack_bytes; ///< stack reservation, 16 KiB to 1 GiB, rounded up to a power of two
  const char *name;   ///< copied, at most 31 bytes are kept
  unsigned flags;     ///< ECRU_PINNED, ECRU_OWN_THREAD or ECRU_HOSTED
  ecru_token *token;  ///< current token of the goroutine; default the spawner's
  struct ecru_host *host; ///< with ECRU_HOSTED: whose it is, one that is not left meanwhile (ecru_host_here); default the calling thread
} ecru_go_options;
#define ECRU_GO_OPTIONS {sizeof(ecru_go_options), 0, NULL, 0, NULL, NULL}

ECRU_BEGIN
/// Starts the runtime with options (NULL: defaults). Not needed: the first use starts it (G1).
/// effects: any foreign thread; blocks shortly; allocates.
/// returns: 0; ECRU_EBUSY it is up, or another thread starts or stops it; ECRU_EINVAL a value out of range; ECRU_ENOMEM; ECRU_ETHREADS. since: 0.1
ECRU_API int ecru_start(const ecru_options *options);
/// The options it starts with where none are given: by itself at its first use (G1), in ecru_start(NULL) and ecru_run, also after a stop and in
/// a forked child. For a library that wants other ones and has yet to use it. NULL: the first defaults again.
/// effects: any thread; never parks; does not start the runtime.
/// returns: 0; ECRU_EBUSY it is up, or another thread starts or stops it; ECRU_EINVAL a value out of range. since: 0.1
ECRU_API int ecru_set_default_options(const ecru_options *options);
/// Ends the runtime: cancels the root token, waits up to the grace period for goroutines, stops all threads, frees all.
/// effects: a foreign thread only; blocks.
/// returns: 0; ECRU_EDEADLK from a goroutine; ECRU_EBUSY another stop runs, or a thread is a host; ECRU_ETIMEDOUT goroutines were left after
/// the grace period: they are dumped to stderr, the runtime stays up, shut for new goroutines; call it again to wait on.
/// since: 0.1
ECRU_API int ecru_stop(void);
/// Starts the runtime if needed, runs fn(argument) as a goroutine, waits for it, then stops the runtime (G13).
/// A runtime that is up already is used, and stopped in the end. It is up from the first use on: most functions that need
/// it (ecru_go, ecru_sleep, a channel's send ...) start it with the default options, whoever calls them (G1).
/// effects: a foreign thread only; blocks. returns: 0; ECRU_EINVAL fn is NULL; ECRU_EDEADLK from a goroutine; as ecru_start
/// and ecru_go (then fn has not run); as ecru_stop. since: 0.1
ECRU_API int ecru_run(ecru_fn fn, void *argument);
/// ecru_run with options (NULL: as ecru_run). effects, returns: as ecru_run; ECRU_EBUSY options are given and the runtime is up.
/// since: 0.1
ECRU_API int ecru_run_with(const ecru_options *options, ecru_fn fn, void *argument);

/// In a forked child: the runtime is as if it had been stopped there, and starts anew at the next use (G14). The parent's goroutines and
/// threads are gone with what they had; the caller is a plain thread, under the tokens it was under and, if it was one before, with the
/// mutexes it had locked, though it may stand on a goroutine's stack, whose function must not return then. Handles go on, those who waited
/// at them have given up, and timers and deadlines of before the fork no longer come; one that another thread was using at the moment of
/// the fork must not be used, nor may one that plain threads waited at or under.
/// effects: the child's only thread, outside ecru; never parks. returns: 0; ECRU_EPERM this is no such child, or it has been done. since: 0.1
ECRU_API int ecru_restart_in_child(void);

/// Starts a goroutine that runs fn(argument) (G1). Happens-before: this call -> the start of fn.
/// effects: any thread; never parks; allocates only when the pools are empty.
/// returns: 0; ECRU_EINVAL fn is NULL; ECRU_ENOMEM no stack to be had; ECRU_ESHUTDOWN; ECRU_ETHREADS. since: 0.1
ECRU_API int ecru_go(ecru_fn fn, void *argument);
/// ecru_go with options (NULL: defaults). effects, returns: as ecru_go, ECRU_EINVAL also for bad options;
/// ECRU_EPERM ECRU_HOSTED from a thread that is no host, and none is given. since: 0.1
ECRU_API int ecru_go_with(const ecru_go_options *options, ecru_fn fn, void *argument);
/// Starts a goroutine whose argument is a private copy of `bytes` bytes at data, which lives as long as it does (16-aligned);
/// NULL if bytes is 0.
/// effects: as ecru_go. returns: as ecru_go; ECRU_EINVAL bytes > 1024 or data NULL with bytes > 0. since: 0.1
ECRU_API int ecru_go_copy(const ecru_go_options *options, ecru_fn fn, const void *data, size_t bytes);
/// Lets every other runnable goroutine of this processor go first (G6). From a foreign thread: yields the thread.
/// effects: any thread; parks. returns: 0; ECRU_ECANCELED or ECRU_ETIMEDOUT (then it did not yield). since: 0.1
ECRU_API int ecru_yield(void);
/// Ends the calling goroutine at once, running no further code of its function. Does not unwind its stack.
/// effects: a goroutine only (from elsewhere, or inside ecru_on_thread_stack, it is a panic); does not return. since: 0.1
ECRU_API void ecru_exit(void);

/// 1 in a goroutine (also one with a thread of its own), else 0. effects: any thread; never parks. since: 0.1
ECRU_API int ecru_in_goroutine(void);
/// Id of the calling goroutine, never reused while the runtime is up; 0 in a foreign thread.
/// effects: any thread; never parks. since: 0.1
ECRU_API uint64_t ecru_id(void);
/// Id of the goroutine that started the caller; 0: a foreign thread did. effects: any thread; never parks. since: 0.1
ECRU_API uint64_t ecru_parent_id(void);
/// Copies the caller's name into buffer (always terminated). returns: the name's length, 0 if none;
/// ECRU_EINVAL buffer is NULL or bytes 0. effects: any thread; never parks. since: 0.1
ECRU_API int ecru_name(char *buffer, size_t bytes);
/// Names the calling goroutine (at most 31 bytes are kept; NULL: no name).
/// effects: any thread; never parks. returns: 0; ECRU_EPERM from a foreign thread. since: 0.1
ECRU_API int ecru_set_name(const char *name);

/// The calling goroutine's room, ecru_options.room_bytes at the top of its stack: the program's own until the goroutine ends. It begins
/// right above the goroutine's first frames, so that a little of it costs no page. What is in it at first is not said.
/// effects: any thread; never parks. returns: it, aligned to 64 bytes; NULL in a foreign thread, and in a goroutine with a thread or a stack
/// size of its own. since: 0.1
ECRU_API void *ecru_room(void);

/// How many goroutines can run in parallel (G5); before the runtime is started: how many there would be by default.
/// effects: any thread; never parks; does not start the runtime. returns: the number. since: 0.1
ECRU_API int ecru_maxprocs(void);
/// Changes it while running; 0 restores the default. It starts the runtime, so that an ecru_start or ecru_run_with with
/// options comes too late (ECRU_EBUSY): give those options.maxprocs. effects: any thread; never parks; allocates.
/// returns: 0; ECRU_EINVAL out of 0..256; ECRU_ENOMEM; as ecru_start. since: 0.1
ECRU_API int ecru_set_maxprocs(int maxprocs);

/// Declares that the caller is about to block its thread in foreign code: within 50 us another thread takes over
/// its processor if work waits (G3). Pairs do not nest; any other ecru call in between ends the section.
/// effects: any thread (a foreign thread: no effect); never parks. returns: 0. since: 0.1
ECRU_API int ecru_blocking_enter(void);
/// Ends the section; may have to queue for a processor. effects: not a cancellation point. returns: 0. since: 0.1
ECRU_API int ecru_blocking_exit(void);
/// Runs fn(argument) between ecru_blocking_enter and ecru_blocking_exit. effects: any thread; no cancellation point.
/// returns: 0; ECRU_EINVAL fn is NULL. since: 0.1
ECRU_API int ecru_blocking(ecru_fn fn, void *argument);
/// Runs fn(argument) on the thread's native stack (usually 8 MiB) without switching threads. Inside, blocking
/// operations block the thread (its processor is handed over). From a foreign thread: a plain call.
/// effects: any thread. returns: 0; ECRU_EINVAL fn is NULL. since: 0.1
ECRU_API int ecru_on_thread_stack(ecru_fn fn, void *argument);
/// 1 if the caller is a goroutine's code that would leave its thread to others by waiting in ecru: not on a thread of its own or a thread's
/// stack, not in a section declared as blocking, not in a signal handler with a stack of its own. For code that replaces
/// blocking calls (docs/guide/foreign.md). effects: any thread; never parks; safe in signal handlers. since: 0.1
ECRU_API int ecru_can_park(void);
/// Keeps the calling goroutine on its current thread until ecru_unpin; nests.
/// effects: any thread (a foreign thread: no effect); never parks. returns: 0. since: 0.1
ECRU_API int ecru_pin(void);
/// Undoes one ecru_pin (or ECRU_PINNED). effects: as ecru_pin. returns: 0; ECRU_EPERM it was not pinned. since: 0.1
ECRU_API int ecru_unpin(void);
ECRU_END
#endif
