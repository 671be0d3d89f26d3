/// platform/wait/umtx.c: parking on FreeBSD's _umtx_op.
///
/// Private to the process, with an absolute monotonic deadline, as with Linux's futexes. Who wakes gives only an address, whose memory may be gone.
/// On Linux it runs over tests/wait, under the contract's tests.
#include "platform/wait.h"
#include "platform/wait/deadline.h"
#include <errno.h>
#include <limits.h>
#include <sys/types.h>
#include <sys/umtx.h>

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  int saved_errno = errno;
  deadline_ns = ecru__wait_soon_enough(deadline_ns);
  struct _umtx_time deadline = {._timeout = ecru__wait_timespec(deadline_ns), ._flags = UMTX_ABSTIME, ._clockid = CLOCK_MONOTONIC};
  // The word differs, EINTR, ETIMEDOUT: all the same to the caller, who looks again.
  if (deadline_ns == INT64_MAX) (void)_umtx_op(word, UMTX_OP_WAIT_UINT_PRIVATE, expected, NULL, NULL);
  else (void)_umtx_op(word, UMTX_OP_WAIT_UINT_PRIVATE, expected, (void *)sizeof deadline, &deadline);
  errno = saved_errno;
}

static void wake(_Atomic uint32_t *word, int most) {
  int saved_errno = errno;
  (void)_umtx_op(word, UMTX_OP_WAKE_PRIVATE, (unsigned long)most, NULL, NULL);
  errno = saved_errno;
}

void ecru__wake_one(_Atomic uint32_t *word) { wake(word, 1); }
void ecru__wake_all(_Atomic uint32_t *word) { wake(word, INT_MAX); }
