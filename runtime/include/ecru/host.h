/// ecru/host.h: threads that run goroutines of their own (rule G15): for languages whose code must stay on one thread.
///
/// A *host* is a thread whose own stack has become a goroutine, the host's first. Goroutines it starts with ECRU_HOSTED (or others do, naming it) run on this thread only, and
/// only while the first (or another of them) waits in ecru: cooperatively, one at a time, without any lock between them.
/// All of ecru works from them and parks only the caller. When none of them can run the thread sleeps, in the poller if it can.
/// Goroutines started without the flag run on ecru's own threads, as ever.
#ifndef ECRU_HOST_H
#define ECRU_HOST_H
#include <ecru/base.h>

/// What a host is told. The hooks run on the host's thread, but for `watch`, and must neither park nor call ecru, but for what they say.
typedef struct ecru_host_hooks {
  size_t size;                                ///< sizeof(ecru_host_hooks), set by ECRU_HOST_HOOKS
  void (*arrive)(void *context, void *mark);  ///< on a goroutine's own stack, whenever it goes on after another or a sleep; mark: its own, NULL before it set one. May block
  void (*idle)(void *context);                ///< the thread is about to sleep. On a small stack
  void (*interrupted)(void *context);         ///< its sleep ended for no reason of ecru's: a signal handler has run, or (seldom) none has. May call ecru_host_interrupt
  void *context;                              ///< first argument of all of them
  void (*watch)(void *context);               ///< in a thread of ecru's, about every 10 ms, whatever the host does. Must return at once; may call ecru_host_interrupt_other; is not called any more after ecru_host_leave
} ecru_host_hooks;
#define ECRU_HOST_HOOKS {sizeof(ecru_host_hooks), NULL, NULL, NULL, NULL, NULL}
/// A host as others see it, as long as it is one: they may start goroutines on it (ecru_go_options.host).
typedef struct ecru_host ecru_host;

ECRU_BEGIN
/// The calling thread becomes a host; what it does from here on it does as the host's first goroutine. hooks may be NULL, and each of them.
/// effects: a foreign thread; never parks; allocates.
/// returns: 0; ECRU_EBUSY it is one; ECRU_EPERM a thread of the runtime's; ECRU_EINVAL bad hooks; ECRU_ENOMEM; ECRU_EMFILE 64 threads are hosts; ECRU_ESHUTDOWN. since: 0.1
ECRU_API int ecru_host_enter(const ecru_host_hooks *hooks);
/// It is a plain thread again. Must happen before the thread ends and before ecru_stop.
/// effects: a host's first goroutine; never parks. returns: 0; ECRU_EBUSY goroutines of it have not ended; ECRU_EPERM not a host's first. since: 0.1
ECRU_API int ecru_host_leave(void);
/// 1 if the calling thread is a host. effects: any thread; never parks. since: 0.1
ECRU_API int ecru_is_hosted(void);
/// Goroutines started with ECRU_HOSTED on this host that have not ended. effects: any thread; never parks. returns: how many; 0 if it is no host. since: 0.1
ECRU_API size_t ecru_host_count(void);
/// What ecru_host_hooks.arrive is given for the calling goroutine. effects: any thread; never parks. returns: 0; ECRU_EPERM not on a host. since: 0.1
ECRU_API int ecru_host_set_mark(void *mark);
/// Ends what the host's first goroutine waits for in ecru, with ECRU_EINTR and without effect. Not what it waits for under a shield.
/// effects: a goroutine of the host, or the hook `interrupted`; never parks.
/// returns: 1 it waited; 0 it did not; ECRU_EPERM not on a host. since: 0.1
ECRU_API int ecru_host_interrupt(void);
/// The calling thread's host. effects: any thread; never parks. owns: borrowed: valid until ecru_host_leave. returns: it; NULL if the thread is none. since: 0.1
ECRU_API ecru_host *ecru_host_here(void);
/// ecru_host_interrupt from elsewhere. effects: any thread, while the host has not been left; never parks.
/// returns: as ecru_host_interrupt; ECRU_EINVAL host is NULL. since: 0.1
ECRU_API int ecru_host_interrupt_other(ecru_host *host);
ECRU_END
#endif
