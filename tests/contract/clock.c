/// tests/contract/clock.c: what platform/clock.h promises.
#include "platform/clock.h"
#include "test.h"
#include <time.h>

static int64_t system_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

TEST(clock, now_is_the_monotonic_clock) {
  for (int i = 0; i < 1000; i++) {
    int64_t before = system_ns(), now = ecru__clock_now(), after = system_ns();
    CHECK(before <= now && now <= after);
  }
}

TEST(clock, coarse_lags_some_milliseconds_at_worst) {
  int64_t last = 0;
  for (int i = 0; i < 1000; i++) {
    int64_t before = ecru__clock_now(), coarse = ecru__clock_coarse(), after = ecru__clock_now();
    CHECK(coarse <= after);
    CHECK(coarse >= before - 50 * 1000000); // a tick of a slow kernel is 10 ms; a virtual machine may be late itself
    CHECK(coarse >= last);
    last = coarse;
  }
}
