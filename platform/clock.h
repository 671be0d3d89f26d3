/// platform/clock.h: the system's monotonic clock. Mechanism: clock/posix.c.
#ifndef ECRU_PLATFORM_CLOCK_H
#define ECRU_PLATFORM_CLOCK_H
#include <stdint.h>
/// Nanoseconds of CLOCK_MONOTONIC (about 20 ns a call).
int64_t ecru__clock_now(void);
/// The same, some milliseconds stale at worst (about 4 ns a call).
int64_t ecru__clock_coarse(void);
#endif
