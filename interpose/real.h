/// interpose/real.h: the functions that are interposed, as the next library in the search order (the C library) has them.
#ifndef ECRU_INTERPOSE_REAL_H
#define ECRU_INTERPOSE_REAL_H
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

// glibc's checked forms, which its headers declare for themselves only.
ssize_t __read_chk(int descriptor, void *buffer, size_t bytes, size_t room);
ssize_t __recv_chk(int descriptor, void *buffer, size_t bytes, size_t room, int flags);
ssize_t __recvfrom_chk(int descriptor, void *restrict buffer, size_t bytes, size_t room, int flags, __SOCKADDR_ARG address,
                       socklen_t *restrict address_bytes);
int __poll_chk(struct pollfd *entries, nfds_t count, int timeout_ms, size_t room);
int __ppoll_chk(struct pollfd *entries, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room);
// Later than the oldest glibc there may be.
int epoll_pwait2(int epoll, struct epoll_event *found, int most, const struct timespec *timeout, const sigset_t *mask);

#define ECRU__INTERPOSED(X)                                                                                                      \
  X(read) X(write) X(readv) X(writev) X(__read_chk)                                                                              \
  X(recvfrom) X(recvmsg) X(sendto) X(sendmsg) X(recv) X(send) X(__recv_chk) X(__recvfrom_chk)                                    \
  X(recvmmsg) X(sendmmsg) X(sendfile) X(sendfile64) X(splice)                                                                    \
  X(connect) X(accept) X(accept4)                                                                                                \
  X(poll) X(ppoll) X(__poll_chk) X(__ppoll_chk) X(select) X(pselect) X(epoll_wait) X(epoll_pwait)                                \
  X(sleep) X(usleep) X(nanosleep) X(clock_nanosleep) X(thrd_sleep)                                                               \
  X(getaddrinfo) X(getnameinfo) X(gethostbyname) X(gethostbyname2) X(gethostbyaddr) X(gethostbyname_r) X(gethostbyname2_r)       \
  X(gethostbyaddr_r) X(close) X(dup2) X(dup3)                                                                                    \
  X(wait) X(wait3) X(wait4) X(waitpid) X(waitid) X(system) X(pclose)                                                             \
  X(flock) X(lockf) X(lockf64) X(fcntl) X(pause) X(sigsuspend) X(sigwait) X(sigwaitinfo) X(sigtimedwait)
/// These an older C library has not.
#define ECRU__INTERPOSED_IF_THERE(X) X(epoll_pwait2) X(fcntl64)

typedef struct ecru__real {
#define ECRU__FIELD(name) __typeof__(&name) name;
  ECRU__INTERPOSED(ECRU__FIELD)
  ECRU__INTERPOSED_IF_THERE(ECRU__FIELD)
#undef ECRU__FIELD
  _Atomic int found; // atomic: release: all of the above is written
} ecru__real;
extern ecru__real ecru__real_calls;
void ecru__real_find(void);

/// No member is NULL, but for those of ECRU__INTERPOSED_IF_THERE, from the first call on, whoever's constructor makes it.
static inline const ecru__real *real(void) {
  // acquire: pairs with the release in ecru__real_find
  if (__builtin_expect(!atomic_load_explicit(&ecru__real_calls.found, memory_order_acquire), 0)) ecru__real_find();
  return &ecru__real_calls;
}

#define ECRU__EXPORT __attribute__((visibility("default")))
#endif
