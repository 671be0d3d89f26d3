/// platform/output/posix.c: write(2) until all is written.
#include "platform/output.h"

#include <ecru/base.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

static int write_some(int fd, const char **at, size_t *left) {
  ssize_t written = write(fd, *at, *left);
  if (written > 0) {
    *at += written;
    *left -= (size_t)written;
    return 0;
  }
  if (written == 0) return ECRU_EIO;
  if (errno == EINTR) return 0;
  if (errno != EAGAIN) return ECRU_EIO;
  struct pollfd room = {fd, POLLOUT, 0};
  return poll(&room, 1, -1) < 0 && errno != EINTR ? ECRU_EIO : 0;
}

int ecru__write_all(int fd, const void *bytes, size_t count) {
  int saved_errno = errno, status = 0;
  const char *at = bytes;
  while (count > 0 && status == 0) status = write_some(fd, &at, &count);
  errno = saved_errno;
  return status;
}
