/// tests/backends/futex.h: Linux's wait on an address, for stand-ins for other systems'.
#ifndef ECRU_TESTS_FUTEX_H
#define ECRU_TESTS_FUTEX_H
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// returns: 0 or -1 with errno, as the system call. A relative timeout; NULL: none.
static inline int futex_wait(void *word, uint32_t expected, const struct timespec *left) {
  return (int)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, left, NULL, 0);
}
static inline int futex_wake(void *word, int most) { return (int)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0); }
#endif
