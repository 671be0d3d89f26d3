/// tests/backends/os_sync.c: macOS's waiting as of 14.4 on Linux, to test platform/wait/os_sync.c. What it does not expect is refused, as there.
/// The older form, which the same file falls back on, must not be called then.
#include "futex.h"
#include <stdlib.h>

enum { MACH_CLOCK = 32 };

static int is_good(const void *word, uint64_t value, size_t bytes, uint32_t flags) {
  if (word != NULL && (uintptr_t)word % 4 == 0 && value <= UINT32_MAX && bytes == 4 && flags == 0) return 1;
  errno = EINVAL;
  return 0;
}

int os_sync_wait_on_address(void *word, uint64_t value, size_t bytes, uint32_t flags) {
  return is_good(word, value, bytes, flags) ? futex_wait(word, (uint32_t)value, NULL) : -1;
}

int os_sync_wait_on_address_with_timeout(void *word, uint64_t value, size_t bytes, uint32_t flags, uint32_t clock, uint64_t timeout_ns) {
  if (clock != MACH_CLOCK || timeout_ns == 0) return errno = EINVAL, -1;
  struct timespec left = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  return is_good(word, value, bytes, flags) ? futex_wait(word, (uint32_t)value, &left) : -1;
}

static int wake(void *word, size_t bytes, uint32_t flags, int most) {
  if (!is_good(word, 0, bytes, flags)) return -1;
  if (futex_wake(word, most) > 0) return 0;
  errno = ENOENT; // nobody sleeps there
  return -1;
}
int os_sync_wake_by_address_any(void *word, size_t bytes, uint32_t flags) { return wake(word, bytes, flags, 1); }
int os_sync_wake_by_address_all(void *word, size_t bytes, uint32_t flags) { return wake(word, bytes, flags, INT_MAX); }

int __ulock_wait(uint32_t operation, void *word, uint64_t value, uint32_t timeout_us) {
  (void)operation, (void)word, (void)value, (void)timeout_us;
  abort();
}
int __ulock_wake(uint32_t operation, void *word, uint64_t value) {
  (void)operation, (void)word, (void)value;
  abort();
}
