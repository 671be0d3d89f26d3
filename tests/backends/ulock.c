/// tests/backends/ulock.c: macOS's waiting before 14.4 on Linux, to test what platform/wait/os_sync.c falls back on.
#include "futex.h"

enum { COMPARE_AND_WAIT = 1, WAKE_ALL = 0x100, NO_ERRNO = 0x1000000 };

int __ulock_wait(uint32_t operation, void *word, uint64_t value, uint32_t timeout_us) {
  if (operation != (COMPARE_AND_WAIT | NO_ERRNO) || value > UINT32_MAX) return -EINVAL;
  struct timespec left = {timeout_us / 1000000, (long)(timeout_us % 1000000) * 1000};
  return futex_wait(word, (uint32_t)value, timeout_us == 0 ? NULL : &left) == 0 ? 0 : -errno;
}

int __ulock_wake(uint32_t operation, void *word, uint64_t value) {
  (void)value;
  if ((operation & ~(uint32_t)WAKE_ALL) != (COMPARE_AND_WAIT | NO_ERRNO)) return -EINVAL;
  return futex_wake(word, operation & WAKE_ALL ? INT_MAX : 1) > 0 ? 0 : -ENOENT;
}
