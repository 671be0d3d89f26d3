/// platform/io/posix.c: operations on descriptors by POSIX calls (with accept4, pipe2, splice where they exist).
///
/// Sockets are told not to wait call by call (MSG_DONTWAIT); everything else relies on non-blocking mode, unless the descriptor is shared.
///
/// The mode belongs to the open file, which children and other processes can have, too, and make blocking again at any time (libuv does for
/// the standard streams of every child). So nothing is asked of the mode of shared descriptors: reads and writes are told not to wait call by
/// call (RWF_NOWAIT, which pipes know since Linux 6.5; 40 ns more than read and write), and where the system does not know that (terminals,
/// FIFOs) they come after a look. What can wait all the same, if the mode is blocking: a call after a look, when another process has taken the
/// input, the connection or the room meanwhile; a file sent or spliced to a socket, if the mode changes between the look and the call.
/// (Dropped: making it non-blocking again. A child that reads our input would be told EAGAIN.)
///
/// What is called most (recv, send) goes to the kernel directly where that is possible: the C library's are cancellation points of POSIX
/// threads, which costs two locked instructions each once there are threads (70 ns of an echo, which takes 3 us), and a thread that ended
/// there would leave the handle's turn taken for ever. Sanitizers look at the C library's, and get them.
#include "platform/io.h"
#include "platform/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

/// Numbers without a code of their own: what their callers would do is what the other code says.
static int status_of_rare(int error) {
  switch (error) {
  case EDOM: case ENOTBLK: return ECRU_EINVAL;
  case EBADMSG: return ECRU_EIO; // a file's checksum
  case ESOCKTNOSUPPORT: return ECRU_EPROTONOSUPPORT;
  case EPFNOSUPPORT: return ECRU_EAFNOSUPPORT;
  case ENETRESET: return ECRU_ECONNRESET;
  case ESHUTDOWN: return ECRU_EPIPE; // the socket's, not the runtime's
  case ETOOMANYREFS: return ECRU_EMFILE; // descriptors under way in messages
  case EUSERS: return ECRU_EDQUOT;
#ifdef __linux__
  case ERESTART: return ECRU_EINTR;
  case EREMOTEIO: case ENOLINK: case ECOMM: case EUCLEAN: case EHWPOISON: return ECRU_EIO; // EUCLEAN: the file system is damaged
  case ENOMEDIUM: case EMEDIUMTYPE: case EUNATCH: return ECRU_ENXIO;
  case ELIBACC: case ELIBBAD: case ELIBSCN: case ELIBMAX: case ELIBEXEC: return ECRU_ENOEXEC;
  case ENOPKG: return ECRU_ENOTSUP;
  case ENOKEY: case EKEYEXPIRED: case EKEYREVOKED: case EKEYREJECTED: return ECRU_EACCES; // of an encrypted directory
  case EBADE: return ECRU_EPROTO;
  case EBADFD: return ECRU_EBADF;
  case ESTRPIPE: return ECRU_EPIPE;
  case ETIME: return ECRU_ETIMEDOUT;
  case ENOSR: return ECRU_ENOBUFS;
  case ERFKILL: return ECRU_ENETDOWN; // a radio that is switched off
  case ENONET: return ECRU_EHOSTUNREACH; // a router says so (ICMP)
#endif
  default: return ECRU_EUNKNOWN;
  }
}

int ecru__status_of(int error) {
  switch (error) {
#if EWOULDBLOCK != EAGAIN
  case EWOULDBLOCK: return ECRU_EAGAIN;
#endif
#if EOPNOTSUPP != ENOTSUP
  case EOPNOTSUPP: return ECRU_ENOTSUP;
#endif
#define SAME(name) case name: return ECRU_##name;
    SAME(EPERM) SAME(ENOENT) SAME(ESRCH) SAME(EINTR) SAME(EIO) SAME(ENXIO) SAME(E2BIG) SAME(ENOEXEC) SAME(EBADF) SAME(ECHILD) SAME(EAGAIN)
    SAME(ENOMEM) SAME(EACCES) SAME(EFAULT) SAME(EBUSY) SAME(EEXIST) SAME(EXDEV) SAME(ENODEV) SAME(ENOTDIR) SAME(EISDIR) SAME(EINVAL)
    SAME(ENFILE) SAME(EMFILE) SAME(ENOTTY) SAME(ETXTBSY) SAME(EFBIG) SAME(ENOSPC) SAME(ESPIPE) SAME(EROFS) SAME(EMLINK) SAME(EPIPE)
    SAME(ERANGE) SAME(EDEADLK) SAME(ENAMETOOLONG) SAME(ENOSYS) SAME(ENOTEMPTY) SAME(ELOOP) SAME(EPROTO) SAME(EOVERFLOW) SAME(EILSEQ)
    SAME(ENOTSOCK) SAME(EDESTADDRREQ) SAME(EMSGSIZE) SAME(EPROTOTYPE) SAME(ENOPROTOOPT) SAME(EPROTONOSUPPORT) SAME(ENOTSUP)
    SAME(EAFNOSUPPORT) SAME(EADDRINUSE) SAME(EADDRNOTAVAIL) SAME(ENETDOWN) SAME(ENETUNREACH) SAME(ECONNABORTED) SAME(ECONNRESET)
    SAME(ENOBUFS) SAME(EISCONN) SAME(ENOTCONN) SAME(ETIMEDOUT) SAME(ECONNREFUSED) SAME(EHOSTDOWN) SAME(EHOSTUNREACH) SAME(EALREADY)
    SAME(EINPROGRESS) SAME(EDQUOT) SAME(ECANCELED) SAME(ENOLCK) SAME(ESTALE)
#ifdef ENODATA
    SAME(ENODATA)
#endif
#undef SAME
  default: return status_of_rare(error);
  }
}

static int64_t ask_readiness(int descriptor, short wanted) {
  struct pollfd look = {.fd = descriptor, .events = wanted};
  int count = poll(&look, 1, 0);
  if (count < 0) return -1;
  if (count > 0 && !(look.revents & POLLNVAL)) return 0;
  errno = count > 0 ? EBADF : EAGAIN;
  return -1;
}

static int64_t accept_one(int descriptor, ecru__operation *operation) {
  struct sockaddr *address = operation->address;
  for (;;) {
    if (operation->shared && ask_readiness(descriptor, POLLIN) != 0) return -1;
    socklen_t bytes = operation->address_bytes ? *operation->address_bytes : 0;
#ifdef SOCK_NONBLOCK
    int accepted = accept4(descriptor, address, address ? &bytes : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int accepted = accept(descriptor, address, address ? &bytes : NULL);
    if (accepted >= 0) fcntl(accepted, F_SETFD, FD_CLOEXEC), fcntl(accepted, F_SETFL, O_NONBLOCK);
#endif
    if (accepted < 0 && errno == ECONNABORTED) continue; // I5: it was gone before we came; there may be others
    if (accepted >= 0 && address) *operation->address_bytes = bytes;
    return accepted;
  }
}

static int64_t connect_or_ask(int descriptor, ecru__operation *operation) {
  if (!operation->started) {
    int failed = connect(descriptor, operation->address, *operation->address_bytes);
    if (!failed) return 0;
    if (errno == EAGAIN) errno = EBUSY; // a Unix listener's backlog is full: nothing has been started
    if (errno != EINPROGRESS && errno != EINTR) return -1; // after EINTR it goes on by itself
    operation->started = true;
    errno = EAGAIN;
    return -1;
  }
  struct pollfd look = {.fd = descriptor, .events = POLLOUT};
  int ready = poll(&look, 1, 0);
  if (ready < 0) return -1;
  if (ready == 0) {
    errno = EAGAIN;
    return -1;
  }
  int error = 0;
  socklen_t bytes = sizeof error;
  if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) return -1;
  errno = error;
  return error ? -1 : 0;
}

static int64_t receive(int descriptor, struct iovec *pieces, size_t count_of_pieces, ecru__operation *operation) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count_of_pieces, .msg_name = operation->address};
  if (operation->address) message.msg_namelen = *operation->address_bytes;
  ssize_t count = recvmsg(descriptor, &message, MSG_DONTWAIT);
  if (count >= 0 && operation->address) *operation->address_bytes = message.msg_namelen;
  if (count < 0 || !(message.msg_flags & MSG_TRUNC)) return count;
  errno = EMSGSIZE;
  return -1;
}

static int64_t send_vector(int descriptor, bool is_socket, const ecru__operation *operation) {
  if (!is_socket) return writev(descriptor, operation->vector, (int)operation->count);
  struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)operation->vector, .msg_iovlen = operation->count};
  return sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#if defined(SYS_recvfrom) && defined(SYS_sendto) && !SANITIZED && !defined(ECRU_FAULT_INJECTION)
static ssize_t recv_now(int descriptor, void *data, size_t bytes) {
  return syscall(SYS_recvfrom, descriptor, data, bytes, MSG_DONTWAIT, NULL, NULL);
}
static ssize_t send_flags(int descriptor, const void *data, size_t bytes, int flags) {
  return syscall(SYS_sendto, descriptor, data, bytes, flags, NULL, (socklen_t)0);
}
#else
static ssize_t recv_now(int descriptor, void *data, size_t bytes) { return recv(descriptor, data, bytes, MSG_DONTWAIT); }
static ssize_t send_flags(int descriptor, const void *data, size_t bytes, int flags) { return send(descriptor, data, bytes, flags); }
#endif

static ssize_t send_data(int descriptor, const ecru__operation *operation) {
  int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
#ifdef MSG_MORE
  if (operation->more) flags |= MSG_MORE;
#endif
  return send_flags(descriptor, operation->data, operation->bytes, flags);
}

/// A Unix datagram socket tells of room of its own, not of the receiver's. (Each attempt, too, gives back the room it took first, which is an event.)
static int64_t send_to(int descriptor, const ecru__operation *operation) {
  const struct sockaddr *to = operation->address;
  ssize_t count = sendto(descriptor, operation->data, operation->bytes, MSG_DONTWAIT | MSG_NOSIGNAL, to, *operation->address_bytes);
  if (count < 0 && errno == EAGAIN && to->sa_family == AF_UNIX && ask_readiness(descriptor, POLLOUT) == 0) errno = EBUSY;
  return count;
}

static int64_t send_file(int descriptor, const ecru__operation *operation) {
  size_t most = operation->bytes < 0x7ffff000 ? operation->bytes : 0x7ffff000;
  return ecru__posix_sendfile(descriptor, (int)operation->other, operation->offset, most);
}

static int64_t refuse_splice(void) {
  errno = EINVAL;
  return -1;
}

#ifdef SPLICE_F_NONBLOCK
/// Into a pipe of ours that is empty, so that EAGAIN can only speak of the descriptor.
static int64_t splice_in(int descriptor, const ecru__operation *operation) {
  return splice(descriptor, NULL, (int)operation->other, NULL, operation->bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}
/// Out of a pipe of ours that holds at least so many bytes.
static int64_t splice_out(int descriptor, const ecru__operation *operation) {
  return splice((int)operation->other, NULL, descriptor, NULL, operation->bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}
#else
static int64_t splice_in(int descriptor, const ecru__operation *operation) { return (void)descriptor, (void)operation, refuse_splice(); }
static int64_t splice_out(int descriptor, const ecru__operation *operation) { return (void)descriptor, (void)operation, refuse_splice(); }
#endif

// ---- shared descriptors ------------------------------------------------------------------------------------------------

enum { TERMINAL_BYTES = 256 }; // a terminal that has room has room for so many, if the system does not change them on the way

static bool is_blocking(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags >= 0 && !(flags & O_NONBLOCK);
}

/// After RWF_NOWAIT: the system does not know it, or not for such a descriptor. (Filters of system calls answer EPERM.)
static bool is_unknown_flag(void) { return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == EPERM; }

static ssize_t read_shared(int descriptor, const struct iovec *pieces, int count) {
#ifdef RWF_NOWAIT
  ssize_t result = preadv2(descriptor, pieces, count, -1, RWF_NOWAIT);
  if (result >= 0 || !is_unknown_flag()) return result;
#endif
  return ask_readiness(descriptor, POLLIN) == 0 ? readv(descriptor, pieces, count) : -1;
}

/// Control characters (newlines above all) may become several: each goes alone.
static size_t terminal_portion(const unsigned char *data, size_t bytes) {
  size_t most = bytes < TERMINAL_BYTES ? bytes : TERMINAL_BYTES, portion = 0;
  while (portion < most && data[portion] >= ' ' && data[portion] != 0x7f) portion++;
  return portion > 0 ? portion : 1;
}

static size_t total(const struct iovec *pieces, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += pieces[i].iov_len;
  return bytes;
}

/// In blocking mode, with room for something: as much as there is room for certainly. Messages (of eventfd, tun ...) are whole.
static ssize_t write_portion(int descriptor, const struct iovec *pieces, int count) {
  struct stat about;
  bool is_pipe = fstat(descriptor, &about) == 0 && S_ISFIFO(about.st_mode);
  if (is_pipe ? total(pieces, count) <= PIPE_BUF : !isatty(descriptor)) return writev(descriptor, pieces, count);
  while (pieces->iov_len == 0) pieces++;
  size_t portion = is_pipe ? (pieces->iov_len < PIPE_BUF ? pieces->iov_len : PIPE_BUF) : terminal_portion(pieces->iov_base, pieces->iov_len);
  return write(descriptor, pieces->iov_base, portion);
}

static ssize_t write_shared(int descriptor, const struct iovec *pieces, int count) {
#ifdef RWF_NOWAIT
  ssize_t result = pwritev2(descriptor, pieces, count, -1, RWF_NOWAIT);
  if (result >= 0 || !is_unknown_flag()) return result;
#endif
  if (ask_readiness(descriptor, POLLOUT) != 0) return -1;
  return is_blocking(descriptor) ? write_portion(descriptor, pieces, count) : writev(descriptor, pieces, count);
}

/// sendfile has no flags: in blocking mode a part goes through the program.
static int64_t send_file_shared(int descriptor, bool is_socket, const ecru__operation *operation) {
  if (!is_blocking(descriptor)) return send_file(descriptor, operation);
  char part[PIPE_BUF];
  struct iovec piece = {part, operation->bytes < sizeof part ? operation->bytes : sizeof part};
  ssize_t count = pread((int)operation->other, part, piece.iov_len, operation->offset);
  if (count <= 0) return count;
  piece.iov_len = (size_t)count;
  return is_socket ? send_flags(descriptor, part, piece.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL) : write_shared(descriptor, &piece, 1);
}

static bool is_splice(const ecru__operation *operation) {
  return operation->kind == ECRU__OP_SPLICE_IN || operation->kind == ECRU__OP_SPLICE_OUT;
}

/// returns: false: this call can be told not to wait, or never does. (Not inlined: its frame is large, and nobody else shall pay.)
__attribute__((noinline, cold)) static bool once_shared(int descriptor, bool is_socket, ecru__operation *operation, int64_t *result) {
  struct iovec piece = {operation->data, operation->bytes};
  const struct iovec *pieces = operation->vector;
  if (operation->kind == ECRU__OP_SEND_FILE) *result = send_file_shared(descriptor, is_socket, operation);
  else if (is_socket && is_splice(operation) && is_blocking(descriptor)) *result = refuse_splice(); // it waits for sockets according to their mode
  else if (is_socket) return false;
  else if (operation->kind == ECRU__OP_READ) *result = read_shared(descriptor, &piece, 1);
  else if (operation->kind == ECRU__OP_READ_V) *result = read_shared(descriptor, pieces, (int)operation->count);
  else if (operation->kind == ECRU__OP_WRITE) *result = write_shared(descriptor, &piece, 1);
  else if (operation->kind == ECRU__OP_WRITE_V) *result = write_shared(descriptor, pieces, (int)operation->count);
  else return false;
  return true;
}

// ---- one attempt -------------------------------------------------------------------------------------------------------

static int64_t once(int descriptor, bool is_socket, ecru__operation *operation) {
  int64_t result;
  if (operation->shared && once_shared(descriptor, is_socket, operation, &result)) return result;
  switch (operation->kind) {
  case ECRU__OP_READ:
    return is_socket ? recv_now(descriptor, operation->data, operation->bytes) : read(descriptor, operation->data, operation->bytes);
  case ECRU__OP_READ_V:
    if (!is_socket) return readv(descriptor, operation->vector, (int)operation->count);
    return receive(descriptor, (struct iovec *)(uintptr_t)operation->vector, operation->count, operation);
  case ECRU__OP_RECEIVE: {
    struct iovec piece = {operation->data, operation->bytes};
    return receive(descriptor, &piece, 1, operation);
  }
  case ECRU__OP_ACCEPT: return accept_one(descriptor, operation);
  case ECRU__OP_WRITE:
    return is_socket ? send_data(descriptor, operation) : write(descriptor, operation->data, operation->bytes);
  case ECRU__OP_WRITE_V: return send_vector(descriptor, is_socket, operation);
  case ECRU__OP_SEND: return send_to(descriptor, operation);
  case ECRU__OP_SEND_FILE: return send_file(descriptor, operation);
  case ECRU__OP_CONNECT: return connect_or_ask(descriptor, operation);
  case ECRU__OP_SPLICE_IN: return splice_in(descriptor, operation);
  case ECRU__OP_SPLICE_OUT: return splice_out(descriptor, operation);
  case ECRU__OP_READY_IN: return ask_readiness(descriptor, POLLIN);
  case ECRU__OP_READY_OUT: return ask_readiness(descriptor, POLLOUT);
  }
  errno = EINVAL;
  return -1;
}

static int64_t again_after_eintr(int descriptor, bool is_socket, ecru__operation *operation) {
  for (;;) {
    int64_t result = once(descriptor, is_socket, operation);
    if (result >= 0) return result;
    if (errno != EINTR) return ecru__status_of(errno);
  }
}

/// Calls that have no MSG_NOSIGNAL raise SIGPIPE in the calling thread: it is kept away and taken back.
static int64_t without_pipe_signal(int descriptor, bool is_socket, ecru__operation *operation) {
  sigset_t pipe_signal, before, pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  int64_t result = again_after_eintr(descriptor, is_socket, operation);
  if (result == ECRU_EPIPE && !was_pending) ecru__posix_take_signal(&pipe_signal);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}

int64_t ecru__io_try(intptr_t descriptor, enum ecru__descriptor_kind kind, ecru__operation *operation) {
  int saved_errno = errno;
  bool is_socket = kind <= ECRU__IS_LISTENER;
  int64_t result = operation->mask_pipe_signal ? without_pipe_signal((int)descriptor, is_socket, operation)
                                               : again_after_eintr((int)descriptor, is_socket, operation);
  errno = saved_errno;
  return result;
}

/// SCTP, TCP of many paths and kernel TLS (a protocol above TCP) have the address family, too.
#if defined(SO_PROTOCOL) && defined(TCP_ULP)
static enum ecru__descriptor_kind stream_kind(int descriptor) {
  int protocol = 0;
  char above[16];
  socklen_t bytes = sizeof protocol;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) != 0 || protocol != IPPROTO_TCP) return ECRU__IS_PARTED;
  bytes = sizeof above;
  return getsockopt(descriptor, IPPROTO_TCP, TCP_ULP, above, &bytes) == 0 && bytes > 0 ? ECRU__IS_PARTED : ECRU__IS_STREAM;
}
#else // cannot be told apart: short reads and writes say nothing
static enum ecru__descriptor_kind stream_kind(int descriptor) { return (void)descriptor, ECRU__IS_PARTED; }
#endif

static enum ecru__descriptor_kind connection_kind(int descriptor) {
  int type = 0;
  socklen_t bytes = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0) return ECRU__IS_OTHER;
  return type == SOCK_STREAM ? stream_kind(descriptor) : ECRU__IS_DATAGRAM;
}

enum ecru__descriptor_kind ecru__connection_kind(intptr_t descriptor) {
  int saved_errno = errno;
  enum ecru__descriptor_kind kind = connection_kind((int)descriptor);
  errno = saved_errno;
  return kind;
}

static enum ecru__descriptor_kind socket_kind(int descriptor) {
  int listens = 0;
  socklen_t bytes = sizeof listens;
  bool is_listener = getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) == 0 && listens;
  return is_listener ? ECRU__IS_LISTENER : connection_kind(descriptor);
}

static bool is_file(mode_t mode) { return S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode); }

int ecru__is_file(intptr_t descriptor) {
  struct stat about;
  int saved_errno = errno, result = fstat((int)descriptor, &about) != 0 ? ECRU_EBADF : is_file(about.st_mode);
  errno = saved_errno;
  return result;
}

int ecru__descriptor_kind(intptr_t descriptor) {
  struct stat about;
  int saved_errno = errno, kind = ECRU__IS_OTHER;
  if (fstat((int)descriptor, &about) != 0) kind = ECRU_EBADF;
  else if (S_ISSOCK(about.st_mode)) kind = (int)socket_kind((int)descriptor);
  else if (S_ISFIFO(about.st_mode)) kind = ECRU__IS_PIPE;
  else if (is_file(about.st_mode)) kind = ECRU__IS_FILE;
  errno = saved_errno;
  return kind;
}

static int status_and_errno(int result, int saved_errno) {
  int status = result < 0 ? ecru__status_of(errno) : result;
  errno = saved_errno;
  return status;
}

int ecru__io_set_blocking(intptr_t descriptor, bool blocking, bool *was) {
  int saved_errno = errno, flags = fcntl((int)descriptor, F_GETFL);
  if (flags < 0) return status_and_errno(-1, saved_errno);
  if (was) *was = !(flags & O_NONBLOCK);
  int wanted = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
  return status_and_errno(wanted == flags ? 0 : fcntl((int)descriptor, F_SETFL, wanted), saved_errno);
}

int ecru__io_close(intptr_t descriptor) {
  int saved_errno = errno;
  int failed = close((int)descriptor);
  if (failed && errno == EINTR) failed = 0; // it is closed all the same
  return status_and_errno(failed, saved_errno);
}

int ecru__io_shutdown(intptr_t descriptor, bool in, bool out) {
  int saved_errno = errno;
  return status_and_errno(shutdown((int)descriptor, in && out ? SHUT_RDWR : in ? SHUT_RD : SHUT_WR), saved_errno);
}

int ecru__io_pipe(intptr_t ends[2]) {
  int saved_errno = errno, both[2];
  int failed = ecru__posix_pipe(both);
  if (!failed) ends[0] = both[0], ends[1] = both[1];
  return status_and_errno(failed, saved_errno);
}

int ecru__io_pipe_to_child(intptr_t *ours, bool we_write, int *theirs) {
  intptr_t ends[2];
  int status = ecru__io_pipe(ends);
  if (status != 0) return status;
  *ours = ends[we_write];
  *theirs = (int)ends[!we_write];
  ecru__io_set_blocking(*theirs, true, NULL);
  return ECRU__IS_PIPE;
}

void ecru__io_close_of_child(int theirs) { ecru__io_close(theirs); }

int ecru__io_pair(intptr_t ends[2]) {
  int saved_errno = errno, both[2];
  int failed = ecru__posix_socketpair(both);
  if (!failed) ends[0] = both[0], ends[1] = both[1];
  return status_and_errno(failed, saved_errno);
}

int ecru__io_ready(intptr_t descriptor, bool in, bool out) {
  struct pollfd look = {.fd = (int)descriptor, .events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0))};
  int saved_errno = errno, count;
  while ((count = poll(&look, 1, 0)) < 0 && errno == EINTR) {}
  if (count < 0) return status_and_errno(-1, saved_errno);
  errno = saved_errno;
  if (count == 0) return 0;
  if (look.revents & POLLNVAL) return ECRU_EBADF;
  bool over = look.revents & (POLLERR | POLLHUP);
  return (in && (over || look.revents & POLLIN) ? 1 << ECRU__IN : 0) | (out && (over || look.revents & POLLOUT) ? 1 << ECRU__OUT : 0);
}
