/// platform/clock/posix.c: the clock from clock_gettime, which needs no system call on the systems that matter.
#include "platform/clock.h"
#include <time.h>

static int64_t read_clock(clockid_t clock) {
  struct timespec now;
  (void)clock_gettime(clock, &now); // cannot fail: the clock exists and the pointer is good
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t ecru__clock_now(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t ecru__clock_coarse(void) {
#if defined(CLOCK_MONOTONIC_COARSE)
  return read_clock(CLOCK_MONOTONIC_COARSE);
#else
  return read_clock(CLOCK_MONOTONIC);
#endif
}
