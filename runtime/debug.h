/// runtime/debug.h: what debug.c, dump.c, backtrace.c, counters.c and trace.c know of one another.
#ifndef ECRU_RUNTIME_DEBUG_H
#define ECRU_RUNTIME_DEBUG_H
#include "runtime/seed.h"
#include "runtime/state.h"

enum { ECRU__FRAMES_MAX = 50 };

/// Why a snapshot has no backtrace.
enum {
  ECRU__FRAMES_TAKEN = 0,
  ECRU__FRAMES_NOT_STARTED, // it has no stack yet
  ECRU__FRAMES_NOT_PARKED,  // it runs, is about to, or was woken a moment ago: its stack is in use
  ECRU__FRAMES_NATIVE,      // it waits on a thread's stack: a debugger shows that
  ECRU__FRAMES_ENOUGH,      // so many have been looked at already
  ECRU__FRAMES_NOT_WALKED,  // too little of its stack is left, or nothing describes its frames
  ECRU__FRAMES_NOT_HERE,    // not under ThreadSanitizer
};

/// One goroutine, or one foreign thread, at one moment.
typedef struct ecru__snapshot {
  uint64_t id, parent_id;   // 0: a foreign thread; of a host: its first goroutine
  uint64_t thread_id;       // of a native thread that is its own, else 0
  uint64_t host_thread;     // of a parked goroutine that runs on a host: the host's, else 0
  size_t stack_bytes;       // 0: the thread's
  const void *site;         // return address of the call that started it
  const void *object;       // what it waits on
  int64_t waited_ns, age_ns;
  uint32_t status;          // ECRU__RUNNABLE ...
  const char *reason;       // what it waits for, if it waits: a string that stays
  bool pinned;
  uint32_t no_frames;       // ECRU__FRAMES_*
  uint32_t count;           // of frames
  char name[ECRU__NAME_BYTES];
  void *frames[ECRU__FRAMES_MAX];
} ecru__snapshot;

// backtrace.c
/// Looks at a goroutine; at its stack, too, if it is parked and `frames`. returns: false: it is none (any more).
bool ecru__snapshot_goroutine(ecru__goroutine *g, int64_t now, bool frames, ecru__snapshot *snapshot);
/// Looks at a goroutine that has not run yet. Racy.
void ecru__snapshot_seed(const ecru__seed *seed, int64_t now, ecru__snapshot *snapshot);
/// Looks at a waiter with a thread of its own: w's. Under the scheduler's lock. returns: false: nothing to tell.
bool ecru__snapshot_thread(ecru__worker *w, int64_t now, ecru__snapshot *snapshot);

// debug.c
/// Between these two goroutines, workers and processors stay where they are, though they may end. returns: false: there are none.
bool ecru__look_begin(void);
void ecru__look_end(void);

// counters.c
/// Fills all but `size`. Between ecru__look_begin and ecru__look_end.
void ecru__count(ecru_counters *counters);

// trace.c
/// Reads the value of ECRU_DEBUG (NULL: not set).
void ecru__trace_configure(const char *wanted, int64_t now);
/// Writes the schedtrace line when it is time to. returns: when it is next, or ECRU_FOREVER.
int64_t ecru__trace_line(int64_t now);

// crash.c
/// From now on exceptions that leave a goroutine are told.
void ecru__crash_listen(void);
#endif
