/// ecru/debug.h: deadlock report, dumps, counters (rules D1-D4).
#ifndef ECRU_DEBUG_H
#define ECRU_DEBUG_H
#include <ecru/base.h>
enum { ECRU_DUMP_TEXT = 0, ECRU_DUMP_JSON = 1 };

/// What ecru_get_counters fills in. "now": a snapshot, taken while all goes on; the others count since the runtime's start.
typedef struct ecru_counters {
  size_t size;              ///< sizeof(ecru_counters), set by ECRU_COUNTERS; what a smaller one has no room for is left out
  uint64_t goroutines;      ///< alive now
  uint64_t runnable;        ///< now: ready, waiting for a processor
  uint64_t running;         ///< now: on a thread
  uint64_t waiting;         ///< now: parked
  uint64_t blocking;        ///< now: in ecru_blocking_enter ... exit
  uint64_t spawned;         ///< goroutines started
  uint64_t switches;        ///< times a processor went on to another goroutine
  uint64_t parks;           ///< times a goroutine parked
  uint64_t steals;          ///< times a processor took goroutines out of another's queue
  uint64_t handoffs;        ///< times a processor was given to another thread, its own being blocked or busy for long (G3, G4)
  uint64_t thread_wakes;    ///< times a sleeping thread was woken because there was work
  uint64_t timers_fired;    ///< timers, sleeps and deadlines that came due
  uint64_t poll_wakes;      ///< goroutines made ready by the I/O poller: 0 as long as there is no I/O
  uint64_t threads;         ///< now: threads of the runtime, the monitor included
  uint64_t threads_created; ///< threads started to run goroutines
  uint64_t threads_idle;    ///< now: of `threads`, asleep for want of work
  uint64_t stacks_mapped;   ///< now: stacks reserved
  uint64_t stacks_cached;   ///< now: of these, unused
  uint64_t latency_ns[32];  ///< sampled scheduling latency (ready -> running): bucket i counts those of [2^i, 2^(i+1)) ns
} ecru_counters;
#define ECRU_COUNTERS {sizeof(ecru_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}}
ECRU_BEGIN
/// Writes a dump of all goroutines to a file descriptor (D2). effects: any thread; blocks. returns: 0; ECRU_EINVAL; ECRU_EIO. since: 0.1
ECRU_API int ecru_dump(int fd, int format);
/// From here on dumps say `what` of the caller's waits instead of ecru's own word ("semaphore", "select", ...): for what is built of ecru's
/// objects (G7). NULL: its own word again. Who says so around a wait gives back afterwards what was said before.
/// effects: any thread; never parks; may start the runtime. owns: what is not copied: a string that stays for ever.
/// returns: what was said before; NULL: nothing, or ecru cannot be used. since: 0.1
ECRU_API const char *ecru_waits_for(const char *what);
/// Fills counters (D4), as much as counters->size says, with zeros if the runtime is not up. effects: any thread; never parks.
/// returns: 0; ECRU_EINVAL NULL, a size smaller than size_t or larger than this version knows. since: 0.1
ECRU_API int ecru_get_counters(ecru_counters *counters);
/// Called instead of abort when all goroutines sleep and nothing can wake them (D1); NULL restores the default:
/// report on stderr and exit code 2. The hook runs in a thread of the runtime, once for one
/// deadlock; it may call ecru and may return. effects: any thread; never parks. returns: 0. since: 0.1
ECRU_API int ecru_set_deadlock_hook(void (*hook)(void *context), void *context);
/// Dumps to stderr on SIGQUIT from now on. effects: any thread; never parks. returns: 0; ECRU_ENOTSUP. since: 0.1
ECRU_API int ecru_dump_on_sigquit(void);
ECRU_END
#endif
