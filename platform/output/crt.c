/// platform/output/crt.c: the C runtime's write until all is written.
///
/// Somebody may have set a pipe not to wait. Nothing tells of room in it then, and Wine takes all or nothing: so it is written to in small parts, again and again.
#include "platform/output.h"

#include <ecru/base.h>
#include <errno.h>
#include <io.h>
#include <stdbool.h>
#include <windows.h>

enum { ONE_CALL_MAX = 1 << 20, PIPE_CALL_MAX = 512 };

static bool is_pipe_that_does_not_wait(int fd) {
  DWORD mode = 0;
  return GetNamedPipeHandleStateW((HANDLE)_get_osfhandle(fd), &mode, NULL, NULL, NULL, NULL, 0) && (mode & PIPE_NOWAIT);
}

int ecru__write_all(int fd, const void *bytes, size_t count) {
  int saved_errno = errno, status = 0;
  const char *at = bytes;
  bool waits = true;
  while (count > 0 && status == 0) {
    size_t most = waits ? ONE_CALL_MAX : PIPE_CALL_MAX;
    int written = _write(fd, at, (unsigned)(count < most ? count : most));
    if (written > 0) at += written, count -= (size_t)written;
    else if (errno != EPIPE && errno != EBADF && is_pipe_that_does_not_wait(fd)) Sleep(waits ? 0 : 1), waits = false;
    else status = ECRU_EIO;
  }
  errno = saved_errno;
  return status;
}
