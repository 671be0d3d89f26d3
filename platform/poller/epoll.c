/// platform/poller/epoll.c: Linux.
///
/// One epoll instance that any thread may wait in. A descriptor is added at its first wait and stays, edge-triggered, so that a wait costs no
/// epoll_ctl; output is added at the first wait for output, since Unix sockets and pipes report room after every read of the other side.
/// Waits are exact to the nanosecond by epoll_pwait2 (Linux 5.11); before that a timerfd in the set ends them. A wake-up is a
/// write to an eventfd that stays readable until one that waits has read it: who only looks must not take it away. (Tried:
/// edge-triggered and never read. A look between the write and the moment the waiter runs had the waiter sleep on.)
///
/// Fleeting descriptors are armed with EPOLLONESHOT for each wait: a number that was closed and reused meanwhile is not in the set any more (ENOENT), and is
/// added anew.
#include "platform/poller/readiness.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/memory.h"

enum { NS_PER_SECOND = 1000000000, NS_PER_MS = 1000000, BATCH = 128 };
static const uint64_t wake_key = UINT64_MAX, timer_key = UINT64_MAX - 1;

struct ecru__poller {
  int epoll;      // set once
  int wake;       // set once: eventfd
  int timer;      // set once: timerfd, -1: epoll_pwait2 is there
};

static int watch_own(int epoll, int descriptor, uint32_t mode, uint64_t key) {
  struct epoll_event event = {.events = EPOLLIN | mode, .data.u64 = key};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

static int wait_exactly(int epoll, struct epoll_event *events, int most, const struct timespec *timeout) {
#ifdef SYS_epoll_pwait2
  struct { int64_t seconds, nanoseconds; } exact = {timeout ? timeout->tv_sec : 0, timeout ? timeout->tv_nsec : 0};
  return (int)syscall(SYS_epoll_pwait2, epoll, events, most, timeout ? &exact : NULL, NULL, (size_t)0);
#else
  (void)epoll, (void)events, (void)most, (void)timeout;
  errno = ENOSYS;
  return -1;
#endif
}

/// Older filters of system calls (of containers) answer EPERM instead of ENOSYS to what they do not know. EINTR says nothing: a filter that
/// asks its supervisor (SECCOMP_RET_USER_NOTIF) may be interrupted before it has an answer.
static bool can_wait_exactly(int epoll) {
  struct epoll_event event;
  struct timespec none = {0, 0};
  int count;
  while ((count = wait_exactly(epoll, &event, 1, &none)) < 0 && errno == EINTR) {}
  return count >= 0;
}

static int open_all(ecru__poller *poller) {
  poller->wake = poller->timer = -1;
  poller->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (poller->epoll < 0) return ecru__status_of(errno);
  poller->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (poller->wake < 0 || watch_own(poller->epoll, poller->wake, 0, wake_key) != 0) return ecru__status_of(errno);
  if (can_wait_exactly(poller->epoll)) return 0;
  poller->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (poller->timer < 0 || watch_own(poller->epoll, poller->timer, EPOLLET, timer_key) != 0) return ecru__status_of(errno);
  return 0;
}

int ecru__poller_create(ecru__poller **poller) {
  ecru__poller *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  int saved_errno = errno;
  int status = open_all(made);
  errno = saved_errno;
  if (status == 0) *poller = made;
  else ecru__poller_destroy(made);
  return status;
}

void ecru__poller_destroy(ecru__poller *poller) {
  int saved_errno = errno;
  if (poller->timer >= 0) close(poller->timer);
  if (poller->wake >= 0) close(poller->wake);
  if (poller->epoll >= 0) close(poller->epoll);
  errno = saved_errno;
  ecru__free(poller);
}

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller;
  return ecru__attempt_unless_drained(pollee, operation);
}

/// Urgent data is a change, but alone it is nothing to read: who waits once for readiness must not be woken by it for ever.
static uint32_t interest(uint32_t directions, uint32_t mode) {
  uint32_t in = EPOLLIN | EPOLLRDHUP | (mode == EPOLLET ? EPOLLPRI : 0);
  return (directions & (1u << ECRU__IN) ? in : 0) | (directions & (1u << ECRU__OUT) ? EPOLLOUT : 0) | mode;
}

/// MOD first if it should be there, ADD if it is not, and the other way round.
static int set_interest(ecru__poller *poller, ecru__pollee *pollee, uint32_t wanted, uint32_t mode, bool is_there) {
  struct epoll_event event = {.events = interest(wanted, mode), .data.u64 = pollee->key};
  int descriptor = (int)pollee->descriptor, saved_errno = errno;
  int failed = epoll_ctl(poller->epoll, is_there ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event);
  if (failed && (errno == ENOENT || errno == EEXIST))
    failed = epoll_ctl(poller->epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event);
  int status = failed ? ecru__status_of(errno) : 0;
  errno = saved_errno;
  return status == ECRU_ENOSPC ? ECRU_ENOMEM : status; // the user's limit of watches
}

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  uint32_t registered = ecru__pollee_registered(pollee), wanted = registered | (1u << direction);
  if (wanted == registered && !pollee->fleeting) return 0;
  int status = set_interest(poller, pollee, wanted, pollee->fleeting ? EPOLLONESHOT : EPOLLET, registered != 0);
  if (status == 0) ecru__pollee_register(pollee, wanted);
  return status;
}

int ecru__poller_ready(const ecru__pollee *pollee, int direction) { return ecru__ready_now(pollee, direction); }

bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller, (void)pollee, (void)operation;
  return true;
}

void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee) {
  if (ecru__pollee_registered(pollee) == 0) return;
  ecru__pollee_register(pollee, 0);
  int saved_errno = errno;
  struct epoll_event unused = {0}; // a child that inherited a copy of the descriptor would keep it in the set
  epoll_ctl(poller->epoll, EPOLL_CTL_DEL, (int)pollee->descriptor, &unused);
  errno = saved_errno;
}

static void set_timer(ecru__poller *poller, int64_t deadline_ns) {
  struct itimerspec setting = {{0, 0}, {(time_t)(deadline_ns / NS_PER_SECOND), (long)(deadline_ns % NS_PER_SECOND)}};
  timerfd_settime(poller->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

static int wait_until(ecru__poller *poller, struct epoll_event *events, int most, int64_t deadline_ns) {
  if (deadline_ns == 0) return epoll_wait(poller->epoll, events, most, 0);
  if (deadline_ns == INT64_MAX) return epoll_wait(poller->epoll, events, most, -1);
  int64_t left = deadline_ns - ecru__clock_now();
  if (left <= 0) return epoll_wait(poller->epoll, events, most, 0);
  if (poller->timer < 0) {
    struct timespec timeout = {(time_t)(left / NS_PER_SECOND), (long)(left % NS_PER_SECOND)};
    return wait_exactly(poller->epoll, events, most, &timeout);
  }
  set_timer(poller, deadline_ns); // several waiters share it: too early a wake-up is spurious, too late is bounded below
  return epoll_wait(poller->epoll, events, most, left > (int64_t)60000 * NS_PER_MS ? 60000 : (int)(left / NS_PER_MS) + 1);
}

static void take_wake(ecru__poller *poller) {
  uint64_t wakes;
  while (read(poller->wake, &wakes, sizeof wakes) < 0 && errno == EINTR) {}
}

static bool translate(const struct epoll_event *from, ecru__poll_event *to) {
  if (from->data.u64 == wake_key || from->data.u64 == timer_key) return false;
  bool over = (from->events & (EPOLLHUP | EPOLLERR)) != 0;
  to->key = from->data.u64;
  to->hung_up = over || (from->events & (EPOLLRDHUP | EPOLLPRI)) != 0; // reads end at urgent data, too, though there is more
  to->directions = (from->events & (EPOLLIN | EPOLLRDHUP) || over ? 1u << ECRU__IN : 0) |
                   (from->events & EPOLLOUT || over ? 1u << ECRU__OUT : 0);
  return true;
}

int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  struct epoll_event raw[BATCH];
  int saved_errno = errno;
  int count = wait_until(poller, raw, most < BATCH ? most : BATCH, deadline_ns), given = 0;
  for (int i = 0; i < count; i++) {
    if (translate(&raw[i], &events[given])) given++;
    else if (raw[i].data.u64 == wake_key && deadline_ns != 0) take_wake(poller);
  }
  errno = saved_errno;
  return given;
}

void ecru__poller_wake(ecru__poller *poller) {
  int saved_errno = errno;
  uint64_t one = 1;
  while (write(poller->wake, &one, sizeof one) < 0 && errno == EINTR) {}
  errno = saved_errno;
}
