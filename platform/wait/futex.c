/// platform/wait/futex.c: parking on Linux futexes.
///
/// Private futexes with an absolute monotonic deadline (FUTEX_WAIT_BITSET): no conversion to a relative time, so a
/// thread that is delayed before the call does not sleep too long. A wake on freed memory finds no sleeper or no
/// mapping; both are fine.
#include "platform/wait.h"
#include "platform/wait/deadline.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  int saved_errno = errno;
  deadline_ns = ecru__wait_soon_enough(deadline_ns);
  struct timespec deadline = ecru__wait_timespec(deadline_ns);
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
