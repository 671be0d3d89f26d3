/// tests/backends/umtx.c: FreeBSD's waiting on Linux, to test platform/wait/umtx.c. What it does not expect is refused, as there.
#include "sys/umtx.h"
#include "futex.h"

static int wait_until(void *word, uint32_t expected, const struct _umtx_time *deadline) {
  if (deadline->_flags != UMTX_ABSTIME || deadline->_clockid != CLOCK_MONOTONIC || deadline->_timeout.tv_sec < 0) return errno = EINVAL, -1;
  return (int)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, &deadline->_timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}

int _umtx_op(void *word, int operation, unsigned long value, void *bytes, void *timeout) {
  if (operation == UMTX_OP_WAKE_PRIVATE && value <= INT_MAX) return futex_wake(word, (int)value) < 0 ? -1 : 0;
  if (operation != UMTX_OP_WAIT_UINT_PRIVATE || value > UINT32_MAX) return errno = EINVAL, -1;
  if (timeout == NULL) return futex_wait(word, (uint32_t)value, NULL);
  if ((uintptr_t)bytes != sizeof(struct _umtx_time)) return errno = EINVAL, -1; // it may also be a struct timespec
  return wait_until(word, (uint32_t)value, timeout);
}
