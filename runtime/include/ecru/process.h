/// ecru/process.h: child processes (rule I6).
///
/// A child belongs to the token that was current when it was started: when that fires, the child is sent a signal (SIGKILL unless the options say otherwise).
/// It is waited for by ecru in any case, so no zombie is left while the runtime is up. Only its standard streams are handed to it, and descriptors
/// that the program itself has made inheritable.
#ifndef ECRU_PROCESS_H
#define ECRU_PROCESS_H
#include <ecru/io.h>

typedef struct ecru_process ecru_process;

/// Where a standard stream of the child leads.
enum {
  ECRU_STDIO_INHERIT = 0,    ///< where ours does
  ECRU_STDIO_NULL = 1,       ///< nowhere: reads end at once, what is written is gone
  ECRU_STDIO_PIPE = 2,       ///< to us: ecru_process_pipe
  ECRU_STDIO_DESCRIPTOR = 3, ///< to this descriptor, which stays ours
};
typedef struct ecru_stdio {
  int kind;            ///< ECRU_STDIO_*
  int reserved;
  intptr_t descriptor;
} ecru_stdio;

/// Zero means "the default" in every field.
typedef struct ecru_process_options {
  size_t size;                    ///< sizeof(ecru_process_options), set by ECRU_PROCESS_OPTIONS
  const char *const *environment; ///< "NAME=value", ..., NULL; default ours
  const char *directory;          ///< where it starts; default ours
  ecru_stdio stdio[3];            ///< its input, output, errors
  unsigned flags;                 ///< ECRU_PROCESS_*
  int cancel_signal;              ///< what it is sent when the token fires; default SIGKILL
} ecru_process_options;
enum {
  ECRU_PROCESS_KEEP = 1,    ///< no token ends it
  ECRU_PROCESS_SESSION = 2, ///< it leads a session of its own: no Ctrl-C of our terminal reaches it
};
#define ECRU_PROCESS_OPTIONS {sizeof(ecru_process_options), 0, 0, {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}, 0, 0}

/// How a process ended and what it said.
typedef struct ecru_process_result {
  size_t size;         ///< sizeof(ecru_process_result), set by the caller
  int code;            ///< exit code; 0 if a signal ended it
  int signal;          ///< the signal that ended it, or 0
  void *output;        ///< what it wrote, with a zero byte behind it; freed with free(); NULL if it was not captured
  size_t output_bytes;
  void *errors;        ///< likewise
  size_t errors_bytes;
} ecru_process_result;
#define ECRU_PROCESS_RESULT {sizeof(ecru_process_result), 0, 0, 0, 0, 0, 0}

ECRU_BEGIN
/// Starts a program: arguments[0] is its name, looked for in PATH if it has no slash; the array ends with NULL.
/// effects: any thread; parks; allocates. owns: the caller holds one reference to *process.
/// returns: 0; ECRU_EINVAL; ECRU_ENOENT no such program or directory, ECRU_EACCES, ECRU_ENOEXEC, ECRU_E2BIG; ECRU_EAGAIN too many processes; ECRU_EMFILE, ECRU_ENFILE;
/// ECRU_ECANCELED, ECRU_ETIMEDOUT it was not started, or killed at once; ECRU_ENOMEM, ECRU_ETHREADS. since: 0.1
ECRU_API int ecru_process_start(const ecru_process_options *options, ecru_process **process, const char *const *arguments);
/// Our end of one of its streams (0 input, 1 output, 2 errors) that is ECRU_STDIO_PIPE. effects: any thread; never parks.
/// owns: borrowed: valid while the process' handle is. returns: NULL: it is none. since: 0.1
ECRU_API ecru_io *ecru_process_pipe(ecru_process *process, int stream);
/// Waits for its end. *code: what it exited with (0 if a signal ended it); *signal: the signal that ended it, or 0 (each may be NULL). May be called by many, and again.
/// effects: any thread; parks. returns: 0; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_ECLOSED the runtime was stopped before it ended, or it is a child of the parent of this forked process; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_process_wait(ecru_process *process, int *code, int *signal);
/// Sends it a signal, a moment later. effects: any thread; never parks; allocates. returns: 0; ECRU_ESRCH it has ended; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_process_kill(ecru_process *process, int signal);
/// Its number. effects: any thread; never parks. returns: > 0; ECRU_EINVAL. since: 0.1
ECRU_API int64_t ecru_process_id(ecru_process *process);
/// One more reference. effects: any thread; never parks. returns: process; NULL is passed through. since: 0.1
ECRU_API ecru_process *ecru_process_retain(ecru_process *process);
/// Gives a reference back; the last closes our ends of its pipes. If it still runs, it goes on, and no token ends it any more. NULL is ignored.
/// effects: any thread; parks (shielded, shortly). since: 0.1
ECRU_API void ecru_process_release(ecru_process *process);

/// Starts a program, gives it `input`, and waits for its end and all its output: what goes to us if the options leave output or errors at
/// ECRU_STDIO_INHERIT or say ECRU_STDIO_PIPE is captured, up to `most` bytes each. With input NULL its input is as the options say.
/// effects: any thread; parks; allocates. owns: result->output and ->errors are the caller's, if it returns 0.
/// returns: 0: it ran, see *result; ECRU_EFBIG it said more, and was killed; as ecru_process_start, ecru_process_wait. since: 0.1
ECRU_API int ecru_process_run(const ecru_process_options *options, const char *const *arguments, const void *input, size_t input_bytes, size_t most,
                              ecru_process_result *result);
ECRU_END
#endif
