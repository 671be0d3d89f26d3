/// tests/windows/sys/epoll.h: there is none.
#ifndef ECRU_TESTS_WINDOWS_EPOLL_H
#define ECRU_TESTS_WINDOWS_EPOLL_H
#include <stdint.h>
enum { EPOLLIN = 1, EPOLL_CLOEXEC = 0, EPOLL_CTL_ADD = 1 };
struct epoll_event { uint32_t events; };
static inline int epoll_create1(int flags) { return (void)flags, -1; }
static inline int epoll_ctl(int epoll, int what, int descriptor, struct epoll_event *event) { return (void)epoll, (void)what, (void)descriptor, (void)event, -1; }
static inline int epoll_wait(int epoll, struct epoll_event *events, int most, int ms) { return (void)epoll, (void)events, (void)most, (void)ms, -1; }
#endif
