/// tests/bsd/posix.h: what the tests use of Linux, and macOS or FreeBSD do not have. Included before everything else.
#ifndef ECRU_TESTS_BSD_POSIX_H
#define ECRU_TESTS_BSD_POSIX_H
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// There are no networks of a process's own: who asks is told so.
#define CLONE_NEWNET 0
static inline int unshare(int what) { return (void)what, errno = ENOSYS, -1; }

#if defined(__APPLE__)
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define MFD_CLOEXEC FD_CLOEXEC
static inline int memfd_create(const char *name, unsigned flags) {
  char path[] = "/tmp/ecru_memory_XXXXXX";
  int file = mkstemp(path);
  if (file >= 0) unlink(path), fcntl(file, F_SETFD, (int)flags);
  return (void)name, file;
}

#define SOCK_CLOEXEC 0x10000000
#define SOCK_NONBLOCK 0x20000000
static inline int test_with_flags(int fd, int type) {
  if (fd >= 0 && type & SOCK_CLOEXEC) fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (fd >= 0 && type & SOCK_NONBLOCK) fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}
static inline int test_socket(int family, int type, int protocol) {
  return test_with_flags(socket(family, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol), type);
}
static inline int test_socketpair(int family, int type, int protocol, int both[2]) {
  int status = socketpair(family, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol, both);
  for (int i = 0; status == 0 && i < 2; i++) test_with_flags(both[i], type);
  return status;
}
#define socket(family, type, protocol) test_socket(family, type, protocol)
#define socketpair(family, type, protocol, both) test_socketpair(family, type, protocol, both)

// macOS has left barriers out.
typedef struct test_barrier {
  pthread_mutex_t lock;
  pthread_cond_t all_here;
  unsigned missing;
} test_barrier;
static inline int test_barrier_init(test_barrier *barrier, const void *attributes, unsigned count) {
  barrier->missing = count;
  return (void)attributes, pthread_mutex_init(&barrier->lock, NULL) ? -1 : pthread_cond_init(&barrier->all_here, NULL);
}
/// For one meeting.
static inline int test_barrier_wait(test_barrier *barrier) {
  pthread_mutex_lock(&barrier->lock);
  if (--barrier->missing == 0) pthread_cond_broadcast(&barrier->all_here);
  while (barrier->missing > 0) pthread_cond_wait(&barrier->all_here, &barrier->lock);
  return pthread_mutex_unlock(&barrier->lock);
}
static inline int test_barrier_destroy(test_barrier *barrier) {
  pthread_cond_destroy(&barrier->all_here);
  return pthread_mutex_destroy(&barrier->lock);
}
#define pthread_barrier_t test_barrier
#define pthread_barrier_init(barrier, attributes, count) test_barrier_init(barrier, attributes, count)
#define pthread_barrier_wait(barrier) test_barrier_wait(barrier)
#define pthread_barrier_destroy(barrier) test_barrier_destroy(barrier)
#endif
#endif
