/// platform/signal.h: faults, told before they end the process, and a signal that asks for a report. Mechanisms: signal/posix.c,
/// signal/vectored.c (where Ctrl+Break is the signal).
#ifndef ECRU_PLATFORM_SIGNAL_H
#define ECRU_PLATFORM_SIGNAL_H
#include <signal.h>

#if defined(_WIN32) // numbers that libuv and mingw-w64 do not make up: never sent
#define SIGBUS 7
#define SIGCHLD 17
#define SIGSTOP 19
#endif

/// Installs handlers of SIGSEGV and SIGBUS (once): explain(address) may write to stderr what is known about a fault at address; then
/// the handler installed before takes over (by default: the process dies of the signal). explain must be async-signal-safe.
void ecru__signal_explain_faults(void (*explain)(const void *address));
/// Gives the calling thread an alternate signal stack unless it has one / takes it away again.
void ecru__signal_thread_start(void);
void ecru__signal_thread_end(void);

/// Installs a handler of SIGQUIT (once) that calls hook, which must be async-signal-safe. errno is preserved.
/// returns: 0 or ECRU_ENOTSUP.
int ecru__signal_on_quit(void (*hook)(void));
/// Lets the calling thread take a signal that it blocks.
void ecru__signal_unblock_here(int signal);
#endif
