/// interpose/sleep.c: sleeping. Only a token ends a sleep early, not a signal: its handler runs on some thread, the goroutine on none.
#include <limits.h>

#include "interpose/real.h"
#include "interpose/wait.h"

static int64_t time_until(int64_t instant_ns) {
  int64_t left = instant_ns - ecru_now();
  return left > 0 ? left : 0;
}

/// returns: 0; -1: errno says why, and *rest (may be NULL) is what is left.
static int sleep_for(int64_t duration_ns, struct timespec *rest) {
  int64_t end = ecru_after(duration_ns);
  if (ecru__nap_until(end) == 0) return 0;
  int64_t left = time_until(end);
  if (rest) *rest = (struct timespec){(time_t)(left / ECRU_SECOND), (long)(left % ECRU_SECOND)};
  return -1;
}

ECRU__EXPORT int nanosleep(const struct timespec *time, struct timespec *rest) {
  if (!ecru_can_park() || !ecru__is_valid_timespec(time)) return real()->nanosleep(time, rest);
  return sleep_for(ecru__nanoseconds(time), rest);
}

/// Until an instant of that clock, however it is set meanwhile forward: late by no more than a second then.
static int sleep_until(clockid_t clock, const struct timespec *time) {
  for (;;) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) return -1;
    int64_t left = ecru__nanoseconds(time) - ecru__nanoseconds(&now);
    if (left <= 0) return 0;
    if (sleep_for(clock == CLOCK_REALTIME && left > ECRU_SECOND ? ECRU_SECOND : left, NULL) != 0) return -1;
  }
}

ECRU__EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest) {
  bool known = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
  if (!known || !ecru_can_park() || !ecru__is_valid_timespec(time)) return real()->clock_nanosleep(clock, flags, time, rest);
  int failed = flags & TIMER_ABSTIME ? sleep_until(clock, time) : sleep_for(ecru__nanoseconds(time), rest);
  return failed ? errno : 0;
}

ECRU__EXPORT int usleep(useconds_t microseconds) {
  return ecru_can_park() ? sleep_for(microseconds * ECRU_MICROSECOND, NULL) : real()->usleep(microseconds);
}

ECRU__EXPORT unsigned sleep(unsigned seconds) {
  if (!ecru_can_park()) return real()->sleep(seconds);
  struct timespec rest;
  if (sleep_for(seconds * ECRU_SECOND, &rest) == 0) return 0;
  return (unsigned)(rest.tv_sec + (rest.tv_nsec > 0));
}

ECRU__EXPORT int thrd_sleep(const struct timespec *time, struct timespec *rest) {
  if (!ecru_can_park() || !ecru__is_valid_timespec(time)) return real()->thrd_sleep(time, rest);
  return sleep_for(ecru__nanoseconds(time), rest);
}
