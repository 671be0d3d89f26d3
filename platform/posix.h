/// platform/posix.h: calls that some POSIX systems lack or have in another form, for the files of platform/ that are made of POSIX calls.
///
/// Where descriptors cannot be made non-blocking and uninheritable at once (macOS) that takes two calls more: a child that another thread
/// starts in between inherits them.
#ifndef ECRU_PLATFORM_POSIX_H
#define ECRU_PLATFORM_POSIX_H
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#else
#include <sys/uio.h>
#endif

/// returns: its argument, unless something fails: then -1, errno set, and it is closed.
static inline int ecru__posix_set_modes(int descriptor) {
  if (descriptor < 0) return -1;
  if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 && fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0) return descriptor;
  int error = errno;
  close(descriptor);
  errno = error;
  return -1;
}

/// Non-blocking, not inherited, as the rest.
static inline int ecru__posix_socket(int domain, int type) {
#ifdef SOCK_NONBLOCK
  return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
  return ecru__posix_set_modes(socket(domain, type, 0));
#endif
}

/// returns: 0; -1, errno set: then both are closed.
static inline int ecru__posix_set_both(int both[2]) {
  if (ecru__posix_set_modes(both[0]) < 0) {
    int error = errno;
    close(both[1]);
    errno = error;
    return -1;
  }
  if (ecru__posix_set_modes(both[1]) >= 0) return 0;
  int error = errno;
  close(both[0]);
  errno = error;
  return -1;
}

static inline int ecru__posix_socketpair(int both[2]) {
#ifdef SOCK_NONBLOCK
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both);
#else
  return socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0 ? ecru__posix_set_both(both) : -1;
#endif
}

static inline int ecru__posix_pipe(int both[2]) {
#if defined(__APPLE__)
  return pipe(both) == 0 ? ecru__posix_set_both(both) : -1;
#else
  return pipe2(both, O_CLOEXEC | O_NONBLOCK);
#endif
}

/// returns: bytes sent; -1, errno set. The BSDs' tell of bytes sent before EAGAIN and EINTR apart; to anything but a socket they send nothing.
static inline ssize_t ecru__posix_sendfile(int to, int from, off_t offset, size_t bytes) {
#if defined(__linux__)
  return sendfile(to, from, &offset, bytes);
#else
  off_t sent = (off_t)bytes;
#if defined(__APPLE__)
  int failed = sendfile(from, to, offset, &sent, NULL, 0);
#else
  int failed = sendfile(from, to, offset, bytes, NULL, &sent, 0);
#endif
  if (!failed || sent > 0) return failed && errno != EAGAIN && errno != EINTR ? -1 : (ssize_t)sent;
  if (errno != ENOTSOCK) return -1;
  char part[512]; // so many bytes a pipe takes whole or not at all
  ssize_t count = pread(from, part, bytes < sizeof part ? bytes : sizeof part, offset);
  return count > 0 ? write(to, part, (size_t)count) : count;
#endif
}

/// Takes a pending signal that this thread blocks, without waiting.
static inline void ecru__posix_take_signal(const sigset_t *signals) {
#if defined(__APPLE__)
  sigset_t pending;
  int number;
  sigpending(&pending);
  if (sigismember(&pending, SIGPIPE) == 1 && sigismember(signals, SIGPIPE) == 1) sigwait(signals, &number);
#else
  static const struct timespec none = {0, 0};
  while (sigtimedwait(signals, NULL, &none) < 0 && errno == EINTR) {}
#endif
}
#endif
