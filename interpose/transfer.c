/// interpose/transfer.c: read, write, recv, send and their kin.
///
/// Each tries first, without waiting: sockets by MSG_DONTWAIT, pipes and most else by RWF_NOWAIT, what knows neither (terminals, old
/// kernels) by a look with poll. So another reader may come between look and call only for the last kind; the thread then blocks
/// as it would without us. Files are always ready: they are called directly (docs/guide/blocking.md).
///
/// A blocking write writes all, a blocking read gives what there is (all, with MSG_WAITALL): the loops here do the same. What has been
/// moved before an error is told first; the error comes with the next call.
#include <limits.h>
#include <sys/stat.h>
#include <termios.h>

#include "interpose/real.h"
#include "interpose/wait.h"

enum { PIECES = 16 };

// ---- the rest of buffers that have been used in part -------------------------------------------------------------------------

static size_t total(const struct iovec *pieces, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += pieces[i].iov_len;
  return bytes;
}

/// The first few pieces after `skip` bytes. returns: how many.
static size_t rest_of(const struct iovec *pieces, size_t count, size_t skip, struct iovec rest[PIECES]) {
  size_t used = 0;
  for (size_t i = 0; i < count && used < PIECES; i++) {
    if (skip >= pieces[i].iov_len) {
      skip -= pieces[i].iov_len;
      continue;
    }
    rest[used++] = (struct iovec){(char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip};
    skip = 0;
  }
  return used;
}

// ---- sockets -------------------------------------------------------------------------------------------------------------

static bool is_stream(int descriptor) {
  int type = 0;
  socklen_t bytes = sizeof type;
  return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM;
}

/// MSG_WAITALL: waits for the bytes after the first `got`.
static ssize_t receive_rest(ecru__waiting *waiting, const struct msghdr *message, int flags, size_t got) {
  size_t wanted = total(message->msg_iov, message->msg_iovlen);
  while (got < wanted) {
    struct iovec pieces[PIECES];
    struct msghdr rest = {.msg_iov = pieces, .msg_iovlen = rest_of(message->msg_iov, message->msg_iovlen, got, pieces)};
    ssize_t more = real()->recvmsg(waiting->descriptor, &rest, flags | MSG_DONTWAIT);
    if (more == 0) break;
    if (more > 0) got += (size_t)more, waiting->in_vain = false;
    else if (errno != EAGAIN || !ecru__wait(waiting)) break;
  }
  return (ssize_t)got;
}

static ssize_t receive(int descriptor, struct msghdr *message, int flags) {
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_READ};
  for (;;) {
    ssize_t got = real()->recvmsg(descriptor, message, flags | MSG_DONTWAIT);
    if (got > 0 && (flags & MSG_WAITALL) && is_stream(descriptor)) return receive_rest(&waiting, message, flags, (size_t)got);
    if (got >= 0 || errno != EAGAIN || !ecru__wait(&waiting)) return got;
  }
}

/// Calls that never wait, and those too odd to be imitated, go to the system as they are.
static bool is_plain_receive(int flags, const struct msghdr *message) {
  if (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)) return false;
  return !(flags & MSG_WAITALL) || (!(flags & (MSG_PEEK | MSG_TRUNC)) && message->msg_controllen == 0);
}

/// Waits for room for the bytes after the first `sent`. Ancillary data went with those.
static ssize_t send_rest(ecru__waiting *waiting, const struct msghdr *message, int flags, size_t sent) {
  size_t wanted = total(message->msg_iov, message->msg_iovlen);
  while (sent < wanted) {
    struct iovec pieces[PIECES];
    struct msghdr rest = {.msg_iov = pieces, .msg_iovlen = rest_of(message->msg_iov, message->msg_iovlen, sent, pieces)};
    ssize_t more = real()->sendmsg(waiting->descriptor, &rest, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (more >= 0) sent += (size_t)more, waiting->in_vain = false;
    else if (errno != EAGAIN || !ecru__wait(waiting)) break;
  }
  return (ssize_t)sent;
}

static ssize_t transmit(int descriptor, const struct msghdr *message, int flags) {
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_WRITE};
  for (;;) {
    ssize_t sent = real()->sendmsg(descriptor, message, flags | MSG_DONTWAIT);
    if (sent >= 0) return send_rest(&waiting, message, flags, (size_t)sent);
    if (errno != EAGAIN || !ecru__wait(&waiting)) return sent;
  }
}

static bool is_plain_send(int flags) { return !(flags & (MSG_DONTWAIT | MSG_FASTOPEN)); }

ECRU__EXPORT ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
  if (!ecru_can_park() || !is_plain_receive(flags, message)) return real()->recvmsg(descriptor, message, flags);
  return receive(descriptor, message, flags);
}

ECRU__EXPORT ssize_t recvfrom(int descriptor, void *restrict buffer, size_t bytes, int flags, __SOCKADDR_ARG address,
                              socklen_t *restrict address_bytes) {
  struct iovec piece = {buffer, bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (!ecru_can_park() || !is_plain_receive(flags, &message))
    return real()->recvfrom(descriptor, buffer, bytes, flags, address, address_bytes);
  if (address.__sockaddr__ && address_bytes) {
    message.msg_name = address.__sockaddr__;
    message.msg_namelen = *address_bytes;
  }
  ssize_t got = receive(descriptor, &message, flags);
  if (got >= 0 && message.msg_name) *address_bytes = message.msg_namelen;
  return got;
}

ECRU__EXPORT ssize_t recv(int descriptor, void *buffer, size_t bytes, int flags) {
  struct iovec piece = {buffer, bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (!ecru_can_park() || !is_plain_receive(flags, &message)) return real()->recv(descriptor, buffer, bytes, flags);
  return receive(descriptor, &message, flags);
}

ECRU__EXPORT ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  if (!ecru_can_park() || !is_plain_send(flags)) return real()->sendmsg(descriptor, message, flags);
  return transmit(descriptor, message, flags);
}

ECRU__EXPORT ssize_t sendto(int descriptor, const void *data, size_t bytes, int flags, __CONST_SOCKADDR_ARG address,
                            socklen_t address_bytes) {
  if (!ecru_can_park() || !is_plain_send(flags)) return real()->sendto(descriptor, data, bytes, flags, address, address_bytes);
  struct iovec piece = {(void *)(uintptr_t)data, bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (address.__sockaddr__) {
    message.msg_name = (void *)(uintptr_t)address.__sockaddr__;
    message.msg_namelen = address_bytes;
  }
  return transmit(descriptor, &message, flags);
}

ECRU__EXPORT ssize_t send(int descriptor, const void *data, size_t bytes, int flags) {
  if (!ecru_can_park() || !is_plain_send(flags)) return real()->send(descriptor, data, bytes, flags);
  struct iovec piece = {(void *)(uintptr_t)data, bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  return transmit(descriptor, &message, flags);
}

// ---- several messages at once ----------------------------------------------------------------------------------------------

enum { MESSAGES_MOST = 1024 }; // of one call, as the system does

/// The time of recvmmsg, which the system looks at after messages have come, not while none do.
static bool is_time_up(struct timespec *timeout, int64_t deadline_ns) {
  if (!timeout) return false;
  int64_t left = deadline_ns > ecru_now() ? deadline_ns - ecru_now() : 0;
  *timeout = (struct timespec){(time_t)(left / ECRU_SECOND), (long)(left % ECRU_SECOND)};
  return left <= 0;
}

static int receive_many(int descriptor, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_READ};
  int64_t deadline_ns = timeout ? ecru__after_timespec(timeout) : ECRU_FOREVER;
  unsigned done = 0;
  while (done < count) {
    int got = real()->recvmmsg(descriptor, messages + done, count - done, flags | MSG_DONTWAIT, NULL);
    if (got > 0) done += (unsigned)got, waiting.in_vain = false;
    if (got > 0 && (flags & MSG_WAITFORONE || is_time_up(timeout, deadline_ns))) break;
    if (got == 0 || (got < 0 && (errno != EAGAIN || !ecru__wait(&waiting)))) break;
  }
  return done > 0 ? (int)done : -1;
}

ECRU__EXPORT int recvmmsg(int descriptor, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  bool plain = count > 0 && !(flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB | MSG_WAITALL)) && ecru__is_valid_timespec(timeout);
  if (!plain || !ecru_can_park()) return real()->recvmmsg(descriptor, messages, count, flags, timeout);
  return receive_many(descriptor, messages, count < MESSAGES_MOST ? count : MESSAGES_MOST, flags, timeout);
}

/// Of a stream's last message only a part may have been taken.
static bool finish_message(ecru__waiting *waiting, struct mmsghdr *message, int flags) {
  const struct msghdr *header = &message->msg_hdr;
  message->msg_len = (unsigned)send_rest(waiting, header, flags, message->msg_len);
  return message->msg_len == total(header->msg_iov, header->msg_iovlen);
}

static int transmit_many(int descriptor, struct mmsghdr *messages, unsigned count, int flags) {
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_WRITE};
  unsigned done = 0;
  while (done < count) {
    int sent = real()->sendmmsg(descriptor, messages + done, count - done, flags | MSG_DONTWAIT);
    if (sent > 0) done += (unsigned)sent, waiting.in_vain = false;
    if (sent > 0 && !finish_message(&waiting, &messages[done - 1], flags)) break;
    if (sent == 0 || (sent < 0 && (errno != EAGAIN || !ecru__wait(&waiting)))) break;
  }
  return done > 0 ? (int)done : -1;
}

ECRU__EXPORT int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned count, int flags) {
  if (count == 0 || !is_plain_send(flags) || !ecru_can_park()) return real()->sendmmsg(descriptor, messages, count, flags);
  return transmit_many(descriptor, messages, count < MESSAGES_MOST ? count : MESSAGES_MOST, flags);
}

// ---- everything else --------------------------------------------------------------------------------------------------------

/// A terminal set up not to wait for a byte (VMIN 0) answers at once or after its own time: it knows best.
static bool is_timed_terminal(int descriptor) {
  struct termios mode;
  return tcgetattr(descriptor, &mode) == 0 && !(mode.c_lflag & ICANON) && mode.c_cc[VMIN] == 0;
}

/// What never waits, or only as itself knows.
static bool is_direct(int descriptor, unsigned direction) {
  struct stat about;
  if (fstat(descriptor, &about) != 0) return true; // it will say what is wrong
  if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) return true;
  return S_ISCHR(about.st_mode) && direction == ECRU_IO_READ && is_timed_terminal(descriptor);
}

static bool is_ready(int descriptor, short events) {
  struct pollfd look = {.fd = descriptor, .events = events};
  if (real()->poll(&look, 1, 0) > 0) return true;
  errno = EAGAIN;
  return false;
}

static bool knows_no_flags(void) { return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL; }

static ssize_t try_read(int descriptor, const struct iovec *pieces, int count) {
  ssize_t got = preadv2(descriptor, pieces, count, -1, RWF_NOWAIT);
  if (got >= 0 || !knows_no_flags()) return got;
  return is_ready(descriptor, POLLIN) ? real()->readv(descriptor, pieces, count) : -1;
}

static ssize_t read_other(int descriptor, const struct iovec *pieces, int count) {
  if (is_direct(descriptor, ECRU_IO_READ)) return real()->readv(descriptor, pieces, count);
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_READ};
  for (;;) {
    ssize_t got = try_read(descriptor, pieces, count);
    if (got >= 0 || errno != EAGAIN || !ecru__wait(&waiting)) return got;
  }
}

/// Of bytes and not of messages, as devices take them.
static bool is_divisible(int descriptor) {
  struct stat about;
  return (fstat(descriptor, &about) == 0 && S_ISFIFO(about.st_mode)) || isatty(descriptor);
}

/// Of what must be looked at first, no more than has room for sure.
static ssize_t write_some(int descriptor, const struct iovec *pieces, int count) {
  if (!is_ready(descriptor, POLLOUT)) return -1;
  if (total(pieces, (size_t)count) <= PIPE_BUF || !is_divisible(descriptor)) return real()->writev(descriptor, pieces, count);
  int first = 0;
  while (pieces[first].iov_len == 0) first++;
  size_t bytes = pieces[first].iov_len < PIPE_BUF ? pieces[first].iov_len : PIPE_BUF;
  return real()->write(descriptor, pieces[first].iov_base, bytes);
}

static ssize_t try_write(int descriptor, const struct iovec *pieces, int count) {
  ssize_t put = pwritev2(descriptor, pieces, count, -1, RWF_NOWAIT);
  return put >= 0 || !knows_no_flags() ? put : write_some(descriptor, pieces, count);
}

static ssize_t write_rest(ecru__waiting *waiting, const struct iovec *pieces, int count, size_t done) {
  size_t wanted = total(pieces, (size_t)count);
  while (done < wanted) {
    struct iovec rest[PIECES];
    ssize_t put = try_write(waiting->descriptor, rest, (int)rest_of(pieces, (size_t)count, done, rest));
    if (put == 0) break;
    if (put > 0) done += (size_t)put, waiting->in_vain = false;
    else if (errno != EAGAIN || !ecru__wait(waiting)) break;
  }
  return (ssize_t)done;
}

static ssize_t write_other(int descriptor, const struct iovec *pieces, int count) {
  if (is_direct(descriptor, ECRU_IO_WRITE)) return real()->writev(descriptor, pieces, count);
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_WRITE};
  for (;;) {
    ssize_t put = try_write(descriptor, pieces, count); // whole: a small write to a pipe is not divided
    if (put > 0) return write_rest(&waiting, pieces, count, (size_t)put);
    if (put == 0 || errno != EAGAIN || !ecru__wait(&waiting)) return put;
  }
}

// ---- read and write: they do not say what the descriptor is ------------------------------------------------------------------

/// Else the system says what is wrong, or there is nothing to do.
static bool are_plain(const struct iovec *pieces, int count) {
  return count > 0 && count <= IOV_MAX && total(pieces, (size_t)count) > 0;
}

static ssize_t read_any(int descriptor, const struct iovec *pieces, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
  ssize_t got = receive(descriptor, &message, 0);
  return got < 0 && errno == ENOTSOCK ? read_other(descriptor, pieces, count) : got;
}

static ssize_t write_any(int descriptor, const struct iovec *pieces, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
  ssize_t put = transmit(descriptor, &message, 0);
  return put < 0 && errno == ENOTSOCK ? write_other(descriptor, pieces, count) : put;
}

ECRU__EXPORT ssize_t read(int descriptor, void *buffer, size_t bytes) {
  if (bytes == 0 || !ecru_can_park()) return real()->read(descriptor, buffer, bytes);
  struct iovec piece = {buffer, bytes};
  return read_any(descriptor, &piece, 1);
}

ECRU__EXPORT ssize_t readv(int descriptor, const struct iovec *pieces, int count) {
  if (!ecru_can_park() || !are_plain(pieces, count)) return real()->readv(descriptor, pieces, count);
  return read_any(descriptor, pieces, count);
}

ECRU__EXPORT ssize_t write(int descriptor, const void *data, size_t bytes) {
  if (bytes == 0 || !ecru_can_park()) return real()->write(descriptor, data, bytes);
  struct iovec piece = {(void *)(uintptr_t)data, bytes};
  return write_any(descriptor, &piece, 1);
}

ECRU__EXPORT ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
  if (!ecru_can_park() || !are_plain(pieces, count)) return real()->writev(descriptor, pieces, count);
  return write_any(descriptor, pieces, count);
}

// ---- from descriptor to descriptor: they have no form that never waits -------------------------------------------------------

enum { CHUNK = 65536 };

/// Parks until a look says that the descriptor is ready. returns: false: errno says why (EAGAIN: it is non-blocking).
static bool await_ready(int descriptor, unsigned direction) {
  ecru__waiting waiting = {.descriptor = descriptor, .direction = direction};
  while (!is_ready(descriptor, direction == ECRU_IO_READ ? POLLIN : POLLOUT))
    if (!ecru__wait(&waiting)) return false;
  return true;
}

/// In chunks, each once there is room for something: the thread blocks at most for the rest of a chunk.
static ssize_t send_file(int to, int from, off64_t *offset, size_t bytes) {
  size_t done = 0;
  while (done < bytes && await_ready(to, ECRU_IO_WRITE)) {
    ecru__block_begin();
    ssize_t sent = real()->sendfile64(to, from, offset, bytes - done < CHUNK ? bytes - done : CHUNK);
    ecru__block_end();
    if (sent == 0) return (ssize_t)done;
    if (sent < 0) break;
    done += (size_t)sent;
  }
  return done > 0 ? (ssize_t)done : -1;
}

ECRU__EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t bytes) {
  if (bytes == 0 || !ecru_can_park() || is_direct(to, ECRU_IO_WRITE)) return real()->sendfile64(to, from, offset, bytes);
  return send_file(to, from, offset, bytes);
}

ECRU__EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes) {
  if (bytes == 0 || !ecru_can_park() || is_direct(to, ECRU_IO_WRITE)) return real()->sendfile(to, from, offset, bytes);
  off64_t at = offset ? *offset : 0;
  ssize_t sent = send_file(to, from, offset ? &at : NULL, bytes);
  if (offset) *offset = (off_t)at;
  return sent;
}

/// It moves what is there, as a read does; so it need not wait once there is something, and room.
ECRU__EXPORT ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t bytes, unsigned flags) {
  if (bytes == 0 || flags & SPLICE_F_NONBLOCK || !ecru_can_park()) return real()->splice(from, from_offset, to, to_offset, bytes, flags);
  if (!is_direct(from, ECRU_IO_READ) && !await_ready(from, ECRU_IO_READ)) return -1;
  if (!is_direct(to, ECRU_IO_WRITE) && !await_ready(to, ECRU_IO_WRITE)) return -1;
  ecru__block_begin();
  ssize_t moved = real()->splice(from, from_offset, to, to_offset, bytes, flags);
  ecru__block_end();
  return moved;
}

// ---- what _FORTIFY_SOURCE makes of them: a buffer that is too small is the C library's to report -------------------------------

ECRU__EXPORT ssize_t __read_chk(int descriptor, void *buffer, size_t bytes, size_t room) {
  return bytes > room ? real()->__read_chk(descriptor, buffer, bytes, room) : read(descriptor, buffer, bytes);
}

ECRU__EXPORT ssize_t __recv_chk(int descriptor, void *buffer, size_t bytes, size_t room, int flags) {
  return bytes > room ? real()->__recv_chk(descriptor, buffer, bytes, room, flags) : recv(descriptor, buffer, bytes, flags);
}

ECRU__EXPORT ssize_t __recvfrom_chk(int descriptor, void *restrict buffer, size_t bytes, size_t room, int flags, __SOCKADDR_ARG address,
                                    socklen_t *restrict address_bytes) {
  if (bytes > room) return real()->__recvfrom_chk(descriptor, buffer, bytes, room, flags, address, address_bytes);
  return recvfrom(descriptor, buffer, bytes, flags, address, address_bytes);
}
