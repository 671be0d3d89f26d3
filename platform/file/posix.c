/// platform/file/posix.c: read and write as POSIX has them.
#include "platform/file.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/io.h"

enum { ONE_CALL_MAX = 0x7ffff000 }; // what Linux moves in one call

static int64_t result_and_errno(ssize_t result, int saved_errno) {
  int64_t status = result < 0 ? ecru__status_of(errno) : result;
  errno = saved_errno;
  return status;
}

int64_t ecru__file_read(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset) {
  if (bytes > ONE_CALL_MAX) bytes = ONE_CALL_MAX;
  int saved_errno = errno;
  ssize_t result;
  do result = offset < 0 ? read((int)descriptor, buffer, bytes) : pread((int)descriptor, buffer, bytes, (off_t)offset);
  while (result < 0 && errno == EINTR);
  return result_and_errno(result, saved_errno);
}

int64_t ecru__file_read_at_hand(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset) {
#ifdef RWF_NOWAIT
  struct iovec piece = {buffer, bytes < ONE_CALL_MAX ? bytes : ONE_CALL_MAX};
  int saved_errno = errno;
  ssize_t result = preadv2((int)descriptor, &piece, 1, offset < 0 ? -1 : (off_t)offset, RWF_NOWAIT);
  errno = saved_errno;
  return result < 0 ? 0 : result; // whatever is in the way, the call that may wait says so
#else
  (void)descriptor, (void)buffer, (void)bytes, (void)offset;
  return 0;
#endif
}

int64_t ecru__file_write(intptr_t descriptor, const void *data, size_t bytes, int64_t offset) {
  if (bytes > ONE_CALL_MAX) bytes = ONE_CALL_MAX;
  int saved_errno = errno;
  ssize_t result;
  do result = offset < 0 ? write((int)descriptor, data, bytes) : pwrite((int)descriptor, data, bytes, (off_t)offset);
  while (result < 0 && errno == EINTR);
  return result_and_errno(result, saved_errno);
}
