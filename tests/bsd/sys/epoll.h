/// tests/bsd/sys/epoll.h: descriptors that tell of others, as the tests use them, on kqueue.
#ifndef ECRU_TESTS_BSD_SYS_EPOLL_H
#define ECRU_TESTS_BSD_SYS_EPOLL_H
#include <fcntl.h>
#include <sys/event.h>
#include <time.h>

#define EPOLL_CLOEXEC FD_CLOEXEC
#define EPOLLIN 1
#define EPOLL_CTL_ADD 1
struct epoll_event {
  unsigned events;
};

static inline int epoll_create1(int flags) {
  int queue = kqueue();
  if (queue >= 0) fcntl(queue, F_SETFD, flags);
  return queue;
}
static inline int epoll_ctl(int queue, int operation, int fd, const struct epoll_event *event) {
  struct kevent change;
  EV_SET(&change, fd, EVFILT_READ, EV_ADD, 0, 0, 0);
  return (void)operation, (void)event, kevent(queue, &change, 1, NULL, 0, NULL);
}
/// At once: no test waits in it.
static inline int epoll_wait(int queue, struct epoll_event *events, int most, int timeout_ms) {
  struct kevent event;
  struct timespec at_once = {0, 0};
  events->events = EPOLLIN;
  return (void)most, (void)timeout_ms, kevent(queue, NULL, 0, &event, 1, &at_once);
}
#endif
