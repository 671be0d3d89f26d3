/// ecru/debug.h: deadlock report, dumps, counters (rules D1-D4).
#ifndef ECRU_DEBUG_H
#define ECRU_DEBUG_H
#include <ecru/base.h>
enum { ECRU_DUMP_TEXT = 0, ECRU_DUMP_JSON = 1 };
typedef struct ecru_counters {
  size_t size;            ///< sizeof(ecru_counters), set by the caller
  uint64_t goroutines;    ///< alive now
  uint64_t runnable, running, waiting, blocking; ///< by state, a snapshot
  uint64_t spawned;       ///< since start
  uint64_t switches;      ///< goroutine switches
  uint64_t parks, steals, handoffs, thread_wakes, timers_fired, poll_wakes;
  uint64_t threads, threads_created, threads_idle;
  uint64_t stacks_mapped, stacks_cached; ///< stacks reserved; of these unused
  uint64_t latency_ns[32]; ///< scheduling latency (ready -> running) sampled; bucket i: [2^i, 2^(i+1)) ns
} ecru_counters;
ECRU_BEGIN
/// Writes a dump of all goroutines to a file descriptor (D2). effects: any thread; blocks. returns: 0; ECRU_EINVAL; ECRU_EIO. since: 0.1
ECRU_API int ecru_dump(int fd, int format);
/// Fills counters (D4), with zeros if the runtime is not up. effects: any thread; never parks.
/// returns: 0; ECRU_EINVAL NULL or a bad size. since: 0.1
ECRU_API int ecru_get_counters(ecru_counters *counters);
/// Called instead of abort when all goroutines sleep and nothing can wake them (D1); NULL restores the default:
/// report on stderr and exit code 2. The hook runs in a thread of the runtime, once for one
/// deadlock; it may call ecru and may return. effects: any thread; never parks. returns: 0. since: 0.1
ECRU_API int ecru_set_deadlock_hook(void (*hook)(void *context), void *context);
/// Dumps to stderr on SIGQUIT from now on. effects: any thread; never parks. returns: 0; ECRU_ENOTSUP. since: 0.1
ECRU_API int ecru_dump_on_sigquit(void);
ECRU_END
#endif
