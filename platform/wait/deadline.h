/// platform/wait/deadline.h: deadlines as the mechanisms of waiting on addresses take them.
#ifndef ECRU_PLATFORM_WAIT_DEADLINE_H
#define ECRU_PLATFORM_WAIT_DEADLINE_H
#include "platform/clock.h"
#include <stdint.h>
#include <time.h>

enum { ECRU__NANOSECONDS_PER_SECOND = 1000000000 };

#if defined(__SANITIZE_THREAD__)
#define ECRU__SIGNALS_ARE_DEFERRED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ECRU__SIGNALS_ARE_DEFERRED 1
#endif
#endif

/// The race detector runs a signal handler when its thread next calls something it knows, such as a look at the clock; it does not know these
/// system calls. So a thread that sleeps for long looks at the clock now and then.
static inline int64_t ecru__wait_soon_enough(int64_t deadline_ns) {
#ifdef ECRU__SIGNALS_ARE_DEFERRED
  enum { PATIENCE_NS = 100000000 };
  int64_t most = ecru__clock_now() + PATIENCE_NS;
  return deadline_ns < most ? deadline_ns : most;
#else
  return deadline_ns;
#endif
}

/// A time before the clock's beginning is its beginning.
static inline struct timespec ecru__wait_timespec(int64_t at_ns) {
  if (at_ns < 0) at_ns = 0;
  return (struct timespec){(time_t)(at_ns / ECRU__NANOSECONDS_PER_SECOND), (long)(at_ns % ECRU__NANOSECONDS_PER_SECOND)};
}
#endif
