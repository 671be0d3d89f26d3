/// platform/wait/futex.c: parking on Linux futexes.
///
/// Private futexes with an absolute monotonic deadline (FUTEX_WAIT_BITSET): no conversion to a relative time, so a
/// thread that is delayed before the call does not sleep too long. A wake on freed memory finds no sleeper or no
/// mapping; both are fine.
#include "platform/wait.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NANOSECONDS_PER_SECOND = 1000000000 };

#if defined(__SANITIZE_THREAD__)
#define SIGNALS_ARE_DEFERRED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_ARE_DEFERRED 1
#endif
#endif

/// The race detector runs a signal handler when its thread next calls something it knows, such as a look at the clock; it does not know this
/// system call. So a thread that sleeps for long looks at the clock now and then.
static int64_t soon_enough(int64_t deadline_ns) {
#ifdef SIGNALS_ARE_DEFERRED
  enum { PATIENCE_NS = 100000000 };
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t most = (int64_t)now.tv_sec * NANOSECONDS_PER_SECOND + now.tv_nsec + PATIENCE_NS;
  return deadline_ns < most ? deadline_ns : most;
#else
  return deadline_ns;
#endif
}

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  int saved_errno = errno;
  deadline_ns = soon_enough(deadline_ns);
  struct timespec deadline = {0, 0};
  if (deadline_ns > 0) {
    deadline.tv_sec = (time_t)(deadline_ns / NANOSECONDS_PER_SECOND);
    deadline.tv_nsec = (long)(deadline_ns % NANOSECONDS_PER_SECOND);
  }
  // EAGAIN (the word differs), EINTR, ETIMEDOUT: all the same to the caller, who looks again.
  (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, deadline_ns == INT64_MAX ? NULL : &deadline, NULL,
                FUTEX_BITSET_MATCH_ANY);
  errno = saved_errno;
}

static void wake(_Atomic uint32_t *word, int most) {
  int saved_errno = errno;
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
  errno = saved_errno;
}

void ecru__wake_one(_Atomic uint32_t *word) { wake(word, 1); }
void ecru__wake_all(_Atomic uint32_t *word) { wake(word, INT_MAX); }
