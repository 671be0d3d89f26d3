/// platform/output/crt.c: the C runtime's write until all is written.
#include "platform/output.h"

#include <ecru/base.h>
#include <errno.h>
#include <io.h>

int ecru__write_all(int fd, const void *bytes, size_t count) {
  enum { ONE_CALL_MAX = 1 << 20 };
  int saved_errno = errno, status = 0;
  const char *at = bytes;
  while (count > 0 && status == 0) {
    int written = _write(fd, at, count < ONE_CALL_MAX ? (unsigned)count : ONE_CALL_MAX);
    if (written <= 0) status = ECRU_EIO;
    else at += written, count -= (size_t)written;
  }
  errno = saved_errno;
  return status;
}
