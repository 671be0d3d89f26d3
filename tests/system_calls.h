/// tests/system_calls.h: system calls that fail when a test wants them to. The program that includes it defines libc's functions anew, so that
/// the library linked into it calls these; calls from elsewhere (libc, libuv) and those of real_call pass.
///
///   1 A plan says which call of which kind fails and how, counted from its beginning, or at random (seeded), or cuts counts to one byte.
///   2 What the system would not do is not done here: EINTR of connect and close comes after the deed; the poller's own eventfd works;
///     a call that says EAGAIN, or moved less than there is, is followed by an event, if the descriptor is registered for such.
#ifndef ECRU_TESTS_SYSTEM_CALLS_H
#define ECRU_TESTS_SYSTEM_CALLS_H
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "test.h"

#define FAULTY_CALLS(X)                                                                                                          \
  X(socket) X(bind) X(listen) X(accept4) X(connect) X(recv) X(send) X(sendto) X(sendmsg) X(recvmsg) X(read) X(write) X(readv)     \
  X(writev) X(preadv2) X(pwritev2) X(sendfile) X(splice) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(eventfd) X(timerfd_create) X(pipe2) X(socketpair) \
  X(fcntl) X(getsockopt) X(setsockopt) X(close) X(shutdown) X(poll) X(syscall)
enum faulty_call {
#define CALL_ENUM(name) CALL_##name,
  FAULTY_CALLS(CALL_ENUM)
#undef CALL_ENUM
  FAULTY_CALLS_COUNT
};

/// What each may plausibly say, ended by 0.
static const int plausible_errors[FAULTY_CALLS_COUNT][9] = {
    [CALL_socket] = {EMFILE, ENFILE, ENOMEM, ENOBUFS},
    [CALL_bind] = {EADDRINUSE, ENOMEM, ENOBUFS},
    [CALL_listen] = {EADDRINUSE, ENOBUFS},
    [CALL_accept4] = {EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOMEM, ENOBUFS},
    [CALL_connect] = {EINTR, ECONNREFUSED, ENOMEM, ENOBUFS},
    [CALL_recv] = {EINTR, EAGAIN, ECONNRESET, ENOMEM, ENOBUFS},
    [CALL_send] = {EINTR, EAGAIN, ECONNRESET, EPIPE, ENOMEM, ENOBUFS},
    [CALL_sendto] = {EINTR, EAGAIN, ENOMEM, ENOBUFS},
    [CALL_sendmsg] = {EINTR, EAGAIN, ECONNRESET, EPIPE, ENOMEM, ENOBUFS},
    [CALL_recvmsg] = {EINTR, EAGAIN, ECONNRESET, ENOMEM, ENOBUFS},
    [CALL_read] = {EINTR, EAGAIN, ENOMEM, EIO},
    [CALL_write] = {EINTR, EAGAIN, EPIPE, ENOSPC, ENOMEM},
    [CALL_readv] = {EINTR, EAGAIN, ENOMEM, EIO},
    [CALL_writev] = {EINTR, EAGAIN, EPIPE, ENOSPC, ENOMEM},
    [CALL_preadv2] = {EINTR, EAGAIN, EOPNOTSUPP, ENOMEM, EIO},
    [CALL_pwritev2] = {EINTR, EAGAIN, EOPNOTSUPP, EPIPE, ENOSPC, ENOMEM},
    [CALL_sendfile] = {EINTR, EAGAIN, ECONNRESET, EPIPE, ENOMEM, EIO},
    [CALL_splice] = {EINTR, EAGAIN, EPIPE, ENOMEM, EINVAL},
    [CALL_epoll_create1] = {EMFILE, ENFILE, ENOMEM},
    [CALL_epoll_ctl] = {ENOMEM, ENOSPC},
    [CALL_epoll_wait] = {EINTR},
    [CALL_eventfd] = {EMFILE, ENFILE, ENOMEM},
    [CALL_timerfd_create] = {EMFILE, ENFILE, ENOMEM},
    [CALL_pipe2] = {EMFILE, ENFILE, ENOMEM},
    [CALL_socketpair] = {EMFILE, ENFILE, ENOMEM},
    [CALL_fcntl] = {ENOMEM},
    [CALL_getsockopt] = {ENOBUFS, ENOMEM},
    [CALL_setsockopt] = {ENOBUFS, ENOMEM},
    [CALL_close] = {EINTR, EIO, ENOSPC},
    [CALL_shutdown] = {ENOBUFS},
    [CALL_poll] = {EINTR, ENOMEM},
    [CALL_syscall] = {EINTR}, // epoll_pwait2
};

static struct {
  _Atomic int call, error;                 // which call fails, and how; error 0: none
  _Atomic long nth;                        // the how manieth
  _Atomic long counts[FAULTY_CALLS_COUNT]; // calls since the plan began
  _Atomic long one_in;                     // > 0: at random, every so many calls, any plausible error
  _Atomic long short_one_in;               // > 0: at random, every so many calls, one byte
  _Atomic uint64_t seed;
  _Atomic int no_pwait2;                   // what epoll_pwait2 says; 0: nothing
} plan;

enum { REGISTERED_MOST = 1024, REGISTERED_IN = 2 }; // one of tests/kqueue for each direction
static struct registered {
  struct {
    _Atomic int epoll;                     // + 1; 0: none
    _Atomic uint32_t events;
    _Atomic uint64_t key;
  } in[REGISTERED_IN];
  _Atomic int is_eventfd;
} registered[REGISTERED_MOST];

static void *real_function(enum faulty_call call, const char *name) {
  static _Atomic(void *) found[FAULTY_CALLS_COUNT];
  void *function = atomic_load(&found[call]);
  if (!function) atomic_store(&found[call], function = dlsym(RTLD_NEXT, name));
  return function;
}
#define REAL(name) ((__typeof__(&name))(uintptr_t)real_function(CALL_##name, #name))

static void end_plan(void) {
  atomic_store(&plan.error, 0);
  atomic_store(&plan.one_in, 0);
  atomic_store(&plan.short_one_in, 0);
}
static void begin_plan(void) {
  end_plan();
  for (int i = 0; i < FAULTY_CALLS_COUNT; i++) atomic_store(&plan.counts[i], 0);
}
static inline void plan_the_nth(enum faulty_call call, int error, long nth) {
  begin_plan();
  atomic_store(&plan.call, call);
  atomic_store(&plan.nth, nth);
  atomic_store(&plan.error, error);
}
static inline void plan_at_random(uint64_t seed, long one_in, long short_one_in) {
  begin_plan();
  atomic_store(&plan.seed, seed);
  atomic_store(&plan.short_one_in, short_one_in);
  atomic_store(&plan.one_in, one_in);
}

static uint64_t random_below(uint64_t bound) {
  uint64_t state = atomic_fetch_add(&plan.seed, UINT64_C(0x9e3779b97f4a7c15));
  return test_random_below(&state, bound);
}

extern char __executable_start, etext; // the linker's
static bool is_ours(const void *caller) { return (const char *)caller >= &__executable_start && (const char *)caller < &etext; }

/// returns: the error this call is to fail with; 0.
static int fault(enum faulty_call call, const void *caller) {
  if (!is_ours(caller)) return 0;
  long count = atomic_fetch_add(&plan.counts[call], 1) + 1, one_in = atomic_load(&plan.one_in);
  if (one_in > 0) {
    const int *errors = plausible_errors[call];
    int known = 0;
    while (errors[known]) known++;
    return random_below((uint64_t)one_in) == 0 ? errors[random_below((uint64_t)known)] : 0;
  }
  int error = atomic_load(&plan.error);
  return error && atomic_load(&plan.call) == (int)call && atomic_load(&plan.nth) == count ? error : 0;
}

/// Bytes to ask for instead.
static size_t cut(const void *caller, size_t bytes) {
  long one_in = atomic_load(&plan.short_one_in);
  return bytes > 1 && one_in > 0 && is_ours(caller) && random_below((uint64_t)one_in) == 0 ? 1 : bytes;
}

static struct registered *registration_of(int fd) { return fd >= 0 && fd < REGISTERED_MOST ? &registered[fd] : NULL; }

/// Has an event come for what is there.
static void nudge(int fd) {
  struct registered *r = registration_of(fd);
  for (int i = 0; r && i < REGISTERED_IN; i++) {
    int epoll = atomic_load(&r->in[i].epoll) - 1;
    if (epoll < 0) continue;
    struct epoll_event event = {.events = atomic_load(&r->in[i].events), .data.u64 = atomic_load(&r->in[i].key)};
    REAL(epoll_ctl)(epoll, EPOLL_CTL_MOD, fd, &event);
  }
}

static long fail_with(int error, int fd) {
  if (error == EAGAIN) nudge(fd);
  errno = error;
  return -1;
}
#define CALLER __builtin_return_address(0)
#define FAIL_IF_PLANNED(name, fd)                \
  do {                                           \
    int error_ = fault(CALL_##name, CALLER);     \
    if (error_) return fail_with(error_, (fd));  \
  } while (0)

/// After a call that was cut.
static long moved(int fd, bool was_cut, long result) {
  int error = errno;
  if (was_cut) nudge(fd);
  errno = error;
  return result;
}

int socket(int domain, int type, int protocol) {
  FAIL_IF_PLANNED(socket, -1);
  return REAL(socket)(domain, type, protocol);
}
int bind(int fd, const struct sockaddr *address, socklen_t bytes) {
  FAIL_IF_PLANNED(bind, -1);
  return REAL(bind)(fd, address, bytes);
}
int listen(int fd, int backlog) {
  FAIL_IF_PLANNED(listen, -1);
  return REAL(listen)(fd, backlog);
}
int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags) {
  FAIL_IF_PLANNED(accept4, fd);
  return REAL(accept4)(fd, address, bytes, flags);
}
int connect(int fd, const struct sockaddr *address, socklen_t bytes) {
  int error = fault(CALL_connect, CALLER);
  if (error && error != EINTR) return (int)fail_with(error, -1);
  int result = REAL(connect)(fd, address, bytes);
  if (error && result < 0 && errno == EINPROGRESS) errno = EINTR;
  return result;
}
ssize_t recv(int fd, void *data, size_t bytes, int flags) {
  FAIL_IF_PLANNED(recv, fd);
  size_t asked = cut(CALLER, bytes);
  return moved(fd, asked < bytes, REAL(recv)(fd, data, asked, flags));
}
ssize_t send(int fd, const void *data, size_t bytes, int flags) {
  FAIL_IF_PLANNED(send, fd);
  size_t asked = cut(CALLER, bytes);
  return moved(fd, asked < bytes, REAL(send)(fd, data, asked, flags));
}
ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *address, socklen_t address_bytes) {
  FAIL_IF_PLANNED(sendto, fd);
  return REAL(sendto)(fd, data, bytes, flags, address, address_bytes);
}

/// The first piece that holds something, cut to one byte.
static struct iovec first_byte(const struct iovec *pieces, size_t count) {
  struct iovec one = {NULL, 0};
  for (size_t i = 0; i < count && one.iov_len == 0; i++)
    if (pieces[i].iov_len > 0) one = (struct iovec){pieces[i].iov_base, 1};
  return one;
}
static size_t bytes_in(const struct iovec *pieces, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += pieces[i].iov_len;
  return bytes;
}
/// A datagram is whole.
static bool may_cut(int fd) {
  int type = 0;
  socklen_t bytes = sizeof type;
  return REAL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM;
}
static bool cut_vector(const void *caller, const struct iovec *pieces, size_t count) { return cut(caller, bytes_in(pieces, count)) < bytes_in(pieces, count); }

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  FAIL_IF_PLANNED(sendmsg, fd);
  if (!may_cut(fd) || !cut_vector(CALLER, message->msg_iov, message->msg_iovlen)) return REAL(sendmsg)(fd, message, flags);
  struct iovec one = first_byte(message->msg_iov, message->msg_iovlen);
  struct msghdr less = *message;
  less.msg_iov = &one;
  less.msg_iovlen = 1;
  return moved(fd, true, REAL(sendmsg)(fd, &less, flags));
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  FAIL_IF_PLANNED(recvmsg, fd);
  if (!may_cut(fd) || !cut_vector(CALLER, message->msg_iov, message->msg_iovlen)) return REAL(recvmsg)(fd, message, flags);
  struct iovec one = first_byte(message->msg_iov, message->msg_iovlen);
  struct msghdr less = *message;
  less.msg_iov = &one;
  less.msg_iovlen = 1;
  ssize_t count = REAL(recvmsg)(fd, &less, flags);
  message->msg_flags = less.msg_flags;
  message->msg_namelen = less.msg_namelen;
  return moved(fd, true, count);
}
static bool is_eventfd(int fd) {
  struct registered *r = registration_of(fd);
  return r && atomic_load(&r->is_eventfd);
}

ssize_t read(int fd, void *data, size_t bytes) {
  if (is_eventfd(fd)) return REAL(read)(fd, data, bytes);
  FAIL_IF_PLANNED(read, fd);
  size_t asked = cut(CALLER, bytes);
  return moved(fd, asked < bytes, REAL(read)(fd, data, asked));
}
ssize_t write(int fd, const void *data, size_t bytes) {
  if (is_eventfd(fd)) return REAL(write)(fd, data, bytes);
  FAIL_IF_PLANNED(write, fd);
  size_t asked = cut(CALLER, bytes);
  return moved(fd, asked < bytes, REAL(write)(fd, data, asked));
}
ssize_t readv(int fd, const struct iovec *pieces, int count) {
  FAIL_IF_PLANNED(readv, fd);
  struct iovec one = first_byte(pieces, (size_t)count);
  bool less = cut_vector(CALLER, pieces, (size_t)count);
  return moved(fd, less, REAL(readv)(fd, less ? &one : pieces, less ? 1 : count));
}
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  FAIL_IF_PLANNED(writev, fd);
  struct iovec one = first_byte(pieces, (size_t)count);
  bool less = cut_vector(CALLER, pieces, (size_t)count);
  return moved(fd, less, REAL(writev)(fd, less ? &one : pieces, less ? 1 : count));
}
ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags) {
  FAIL_IF_PLANNED(preadv2, fd);
  struct iovec one = first_byte(pieces, (size_t)count);
  bool less = cut_vector(CALLER, pieces, (size_t)count);
  return moved(fd, less, REAL(preadv2)(fd, less ? &one : pieces, less ? 1 : count, offset, flags));
}
ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags) {
  FAIL_IF_PLANNED(pwritev2, fd);
  struct iovec one = first_byte(pieces, (size_t)count);
  bool less = cut_vector(CALLER, pieces, (size_t)count);
  return moved(fd, less, REAL(pwritev2)(fd, less ? &one : pieces, less ? 1 : count, offset, flags));
}
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes) {
  FAIL_IF_PLANNED(sendfile, to);
  size_t asked = cut(CALLER, bytes);
  return moved(to, asked < bytes, REAL(sendfile)(to, from, offset, asked));
}
ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t bytes, unsigned flags) {
  int error = fault(CALL_splice, CALLER);
  if (error == EAGAIN) nudge(from);
  if (error) return fail_with(error, to);
  size_t asked = cut(CALLER, bytes);
  ssize_t count = moved(from, asked < bytes, REAL(splice)(from, from_offset, to, to_offset, asked, flags));
  return moved(to, asked < bytes, count);
}
int epoll_create1(int flags) {
  FAIL_IF_PLANNED(epoll_create1, -1);
  return REAL(epoll_create1)(flags);
}
/// Where this instance's registration is noted, or can be.
static int place_of(const struct registered *r, int epoll) {
  for (int i = 0; i < REGISTERED_IN; i++)
    if (atomic_load(&r->in[i].epoll) == epoll + 1) return i;
  return atomic_load(&r->in[0].epoll) == 0 ? 0 : REGISTERED_IN - 1;
}
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
  if (operation != EPOLL_CTL_DEL) FAIL_IF_PLANNED(epoll_ctl, -1);
  int result = REAL(epoll_ctl)(epoll, operation, fd, event);
  struct registered *r = is_ours(CALLER) ? registration_of(fd) : NULL;
  if (result != 0 || !r) return result;
  int i = place_of(r, epoll);
  atomic_store(&r->in[i].epoll, operation == EPOLL_CTL_DEL ? 0 : epoll + 1);
  if (operation == EPOLL_CTL_DEL) return result;
  atomic_store(&r->in[i].events, event->events);
  atomic_store(&r->in[i].key, event->data.u64);
  return result;
}
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
  FAIL_IF_PLANNED(epoll_wait, -1);
  return REAL(epoll_wait)(epoll, events, most, timeout);
}
int eventfd(unsigned initial, int flags) {
  FAIL_IF_PLANNED(eventfd, -1);
  int fd = REAL(eventfd)(initial, flags);
  struct registered *r = registration_of(fd);
  if (r) atomic_store(&r->is_eventfd, 1);
  return fd;
}
int timerfd_create(int clock, int flags) {
  FAIL_IF_PLANNED(timerfd_create, -1);
  return REAL(timerfd_create)(clock, flags);
}
int pipe2(int both[2], int flags) {
  FAIL_IF_PLANNED(pipe2, -1);
  return REAL(pipe2)(both, flags);
}
int socketpair(int domain, int type, int protocol, int both[2]) {
  FAIL_IF_PLANNED(socketpair, -1);
  return REAL(socketpair)(domain, type, protocol, both);
}
int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  long argument = va_arg(arguments, long);
  va_end(arguments);
  FAIL_IF_PLANNED(fcntl, -1);
  return REAL(fcntl)(fd, command, argument);
}
int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict bytes) {
  FAIL_IF_PLANNED(getsockopt, -1);
  return REAL(getsockopt)(fd, level, name, value, bytes);
}
int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes) {
  FAIL_IF_PLANNED(setsockopt, -1);
  return REAL(setsockopt)(fd, level, name, value, bytes);
}
int close(int fd) {
  int error = fault(CALL_close, CALLER);
  struct registered *r = registration_of(fd);
  if (r) {
    for (int i = 0; i < REGISTERED_IN; i++) atomic_store(&r->in[i].epoll, 0);
    atomic_store(&r->is_eventfd, 0);
  }
  int result = REAL(close)(fd);
  return error ? (int)fail_with(error, -1) : result;
}
int shutdown(int fd, int how) {
  FAIL_IF_PLANNED(shutdown, -1);
  return REAL(shutdown)(fd, how);
}
int poll(struct pollfd *looks, nfds_t count, int timeout) {
  if (timeout == 0) FAIL_IF_PLANNED(poll, -1); // one that sleeps is a poller's (uv.c), which looks again whatever it says
  return REAL(poll)(looks, count, timeout);
}
long syscall(long number, ...) {
  va_list arguments;
  long a[6];
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_epoll_pwait2) {
    FAIL_IF_PLANNED(syscall, -1); // also where it is missing: a filter that asks may be interrupted
    int missing = atomic_load(&plan.no_pwait2);
    if (missing) return fail_with(missing, -1);
  }
  return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
#endif
