/// platform/signal.h: faults, told before they end the process. Mechanism: signal/posix.c.
#ifndef ECRU_PLATFORM_SIGNAL_H
#define ECRU_PLATFORM_SIGNAL_H

/// Installs handlers of SIGSEGV and SIGBUS (once): explain(address, message, room) writes what is known about a fault at address and
/// returns the message's length, 0: nothing; the message goes to stderr, then the handler installed before takes over (by default:
/// the process dies of the signal). explain must be async-signal-safe.
void ecru__signal_explain_faults(int (*explain)(const void *address, char *message, unsigned room));
/// Gives the calling thread an alternate signal stack unless it has one / takes it away again.
void ecru__signal_thread_start(void);
void ecru__signal_thread_end(void);
#endif
