/// platform/wait/os_sync.c: parking on macOS: os_sync_wait_on_address and its kin (macOS 14.4), and on older systems what lies under them, __ulock_wait.
///
/// The first are weak references: who links against an SDK that lacks them altogether takes ECRU_WAIT=condvar. A process uses one of the two
/// throughout, since a wake of the one may not reach a sleeper of the other. Timeouts are relative there; in the older form in microseconds,
/// of which more than an hour fits: a longer wait ends spuriously. The system's own C++ library and others stand on the older form, too.
/// Tried: condition variables (wait/condvar.c). A wake takes a lock and walks a list there, and a sleeper makes and destroys one.
/// On Linux it runs over tests/wait, under the contract's tests.
#include "platform/wait.h"
#include "platform/wait/deadline.h"
#include <errno.h>
#include <stddef.h>

enum { SYNC_PRIVATE = 0, SYNC_MACH_CLOCK = 32 }; // OS_SYNC_..._NONE, OS_CLOCK_MACH_ABSOLUTE_TIME
enum { ULOCK_COMPARE_AND_WAIT = 1, ULOCK_WAKE_ALL = 0x100, ULOCK_NO_ERRNO = 0x1000000 };

extern int os_sync_wait_on_address(void *, uint64_t value, size_t bytes, uint32_t flags) __attribute__((weak));
extern int os_sync_wait_on_address_with_timeout(void *, uint64_t value, size_t bytes, uint32_t flags, uint32_t clock, uint64_t timeout_ns)
    __attribute__((weak));
extern int os_sync_wake_by_address_any(void *, size_t bytes, uint32_t flags) __attribute__((weak));
extern int os_sync_wake_by_address_all(void *, size_t bytes, uint32_t flags) __attribute__((weak));
extern int __ulock_wait(uint32_t operation, void *, uint64_t value, uint32_t timeout_us); // 0: for ever
extern int __ulock_wake(uint32_t operation, void *, uint64_t value);

static void sync_wait(_Atomic uint32_t *word, uint32_t expected, int64_t left_ns) {
  if (left_ns == INT64_MAX) (void)os_sync_wait_on_address((void *)word, expected, sizeof *word, SYNC_PRIVATE);
  else (void)os_sync_wait_on_address_with_timeout((void *)word, expected, sizeof *word, SYNC_PRIVATE, SYNC_MACH_CLOCK, (uint64_t)left_ns);
}

static void ulock_wait(_Atomic uint32_t *word, uint32_t expected, int64_t left_ns) {
  int64_t left_us = (left_ns - 1) / 1000 + 1; // upwards: it must not end too early
  uint32_t timeout_us = left_ns == INT64_MAX ? 0 : left_us < UINT32_MAX ? (uint32_t)left_us : UINT32_MAX;
  (void)__ulock_wait(ULOCK_COMPARE_AND_WAIT | ULOCK_NO_ERRNO, (void *)word, expected, timeout_us);
}

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  int saved_errno = errno;
  deadline_ns = ecru__wait_soon_enough(deadline_ns);
  int64_t left_ns = deadline_ns == INT64_MAX ? INT64_MAX : deadline_ns < 0 ? 0 : deadline_ns - ecru__clock_now();
  if (left_ns > 0) (os_sync_wait_on_address != NULL ? sync_wait : ulock_wait)(word, expected, left_ns);
  errno = saved_errno; // the word differs, EINTR, ETIMEDOUT: all the same to the caller, who looks again
}

void ecru__wake_one(_Atomic uint32_t *word) {
  int saved_errno = errno;
  if (os_sync_wait_on_address != NULL) (void)os_sync_wake_by_address_any((void *)word, sizeof *word, SYNC_PRIVATE);
  else (void)__ulock_wake(ULOCK_COMPARE_AND_WAIT | ULOCK_NO_ERRNO, (void *)word, 0);
  errno = saved_errno;
}

void ecru__wake_all(_Atomic uint32_t *word) {
  int saved_errno = errno;
  if (os_sync_wait_on_address != NULL) (void)os_sync_wake_by_address_all((void *)word, sizeof *word, SYNC_PRIVATE);
  else (void)__ulock_wake(ULOCK_COMPARE_AND_WAIT | ULOCK_WAKE_ALL | ULOCK_NO_ERRNO, (void *)word, 0);
  errno = saved_errno;
}
