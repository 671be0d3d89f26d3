/// interpose/readiness.c: poll, select and epoll_wait.
///
/// The C library's own call, with no time to wait, says what is ready; in between the goroutine parks until something may have changed. What
/// poll can tell apart and ecru cannot (urgent data alone, a hang-up alone) shows as a wake-up in vain: then a pause goes by
/// before the next one. A call that changes the signal mask for its duration blocks its thread: masks are the thread's.
#include <stdlib.h>
#include <string.h>

#include "interpose/real.h"
#include "interpose/wait.h"

enum { FEW = 16, MOST = 32767 };

/// What poll, select and epoll_wait have in common: a look, and what to wait for between looks.
typedef struct watch {
  int (*look)(struct watch *watch); // without waiting; returns the call's result, 0: nothing
  ecru_fd_event *events;
  size_t count;
  int64_t deadline_ns;
} watch;

/// Looks again and again, after a first look that found nothing. returns: the call's result.
static int look_until(watch *w) {
  for (;;) {
    int end = ecru__await_any(w->events, w->count, w->deadline_ns);
    if (end == ECRU__FAILED && errno != EBADF) return -1;
    int result = w->look(w); // also after a closing: it says which one
    if (result != 0 || end == ECRU__TOO_LATE || w->deadline_ns <= ecru_now()) return result;
    if (ecru__pause(w->deadline_ns) != 0) return -1;
  }
}

// ---- poll ----------------------------------------------------------------------------------------------------------------

typedef struct poll_watch {
  watch watch; // first
  struct pollfd *entries;
  nfds_t count;
} poll_watch;

static int look_poll(watch *w) {
  poll_watch *own = (poll_watch *)(void *)w;
  return real()->poll(own->entries, own->count, 0);
}

static unsigned directions_of(short events) {
  unsigned out = events & (POLLOUT | POLLWRNORM | POLLWRBAND) ? ECRU_IO_WRITE : 0;
  return events & ~(POLLOUT | POLLWRNORM | POLLWRBAND) || !out ? out | ECRU_IO_READ : out; // whatever it is, hang-ups and errors come with it
}

static int wait_poll(struct pollfd *entries, nfds_t count, int64_t deadline_ns) {
  ecru_fd_event few[FEW], *events = count <= FEW ? few : malloc(count * sizeof *events);
  if (!events) {
    errno = ENOMEM;
    return -1;
  }
  for (nfds_t i = 0; i < count; i++) events[i] = (ecru_fd_event){entries[i].fd, directions_of(entries[i].events), 0};
  poll_watch own = {{look_poll, events, count, deadline_ns}, entries, count};
  int result = look_until(&own.watch);
  if (events != few) free(events);
  return result;
}

ECRU__EXPORT int poll(struct pollfd *entries, nfds_t count, int timeout_ms) {
  if (timeout_ms == 0 || count > MOST || !ecru_can_park()) return real()->poll(entries, count, timeout_ms);
  int found = real()->poll(entries, count, 0);
  return found != 0 ? found : wait_poll(entries, count, ecru__after_ms(timeout_ms));
}

ECRU__EXPORT int ppoll(struct pollfd *entries, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  if (mask || !ecru__is_valid_timespec(timeout) || count > MOST || !ecru_can_park()) return real()->ppoll(entries, count, timeout, mask);
  int found = real()->poll(entries, count, 0);
  return found != 0 ? found : wait_poll(entries, count, ecru__after_timespec(timeout));
}

ECRU__EXPORT int __poll_chk(struct pollfd *entries, nfds_t count, int timeout_ms, size_t room) {
  return room / sizeof *entries < count ? real()->__poll_chk(entries, count, timeout_ms, room) : poll(entries, count, timeout_ms);
}

ECRU__EXPORT int __ppoll_chk(struct pollfd *entries, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room) {
  return room / sizeof *entries < count ? real()->__ppoll_chk(entries, count, timeout, mask, room) : ppoll(entries, count, timeout, mask);
}

// ---- select --------------------------------------------------------------------------------------------------------------

enum { SETS = 3 }; // to read, to write, urgent

/// The sets of a call, which the system overwrites, and a copy as they were asked for. They may be longer than an fd_set.
typedef struct select_watch {
  watch watch; // first
  int limit;
  size_t bytes; // of each set
  unsigned long *sets[SETS], *asked[SETS];
} select_watch;

enum { BITS = 8 * sizeof(unsigned long) };

static bool is_in(const unsigned long *set, int descriptor) {
  return set && set[(size_t)descriptor / BITS] >> ((size_t)descriptor % BITS) & 1;
}

static int look_select(watch *w) {
  select_watch *own = (select_watch *)(void *)w;
  struct timeval none = {0, 0};
  for (int i = 0; i < SETS; i++)
    if (own->sets[i]) memcpy(own->sets[i], own->asked[i], own->bytes);
  return real()->select(own->limit, (fd_set *)own->sets[0], (fd_set *)own->sets[1], (fd_set *)own->sets[2], &none);
}

static size_t list_events(const select_watch *own, ecru_fd_event *events) {
  size_t count = 0;
  for (int d = 0; d < own->limit; d++) {
    unsigned wanted = (is_in(own->asked[0], d) || is_in(own->asked[2], d) ? ECRU_IO_READ : 0) | (is_in(own->asked[1], d) ? ECRU_IO_WRITE : 0);
    if (wanted) events[count++] = (ecru_fd_event){d, wanted, 0};
  }
  return count;
}

static int wait_select(select_watch *own, int64_t deadline_ns) {
  size_t words = own->bytes / sizeof(unsigned long), limit = (size_t)own->limit;
  unsigned long *copies = malloc(SETS * own->bytes + limit * sizeof *own->watch.events + 1);
  if (!copies) {
    errno = ENOMEM;
    return -1;
  }
  for (int i = 0; i < SETS; i++) {
    if (!own->sets[i]) continue;
    own->asked[i] = copies + (size_t)i * words;
    memcpy(own->asked[i], own->sets[i], own->bytes);
  }
  ecru_fd_event *events = (ecru_fd_event *)(void *)(copies + SETS * words);
  int result = look_select(&own->watch);
  if (result == 0) {
    own->watch = (watch){look_select, events, list_events(own, events), deadline_ns};
    result = look_until(&own->watch);
  }
  free(copies);
  return result;
}

static bool never_waits(int limit, const struct timeval *timeout) {
  return limit < 0 || (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0 || (timeout->tv_sec == 0 && timeout->tv_usec == 0)));
}

static int select_parking(int limit, fd_set *in, fd_set *out, fd_set *urgent, int64_t deadline_ns) {
  select_watch own = {.limit = limit, .bytes = ((size_t)limit + BITS - 1) / BITS * sizeof(unsigned long)};
  own.sets[0] = (unsigned long *)(void *)in;
  own.sets[1] = (unsigned long *)(void *)out;
  own.sets[2] = (unsigned long *)(void *)urgent;
  return wait_select(&own, deadline_ns);
}

/// As Linux does: what is left of the time.
static void tell_rest(struct timeval *timeout, int64_t deadline_ns) {
  int64_t left = deadline_ns - ecru_now();
  if (left < 0) left = 0;
  timeout->tv_sec = (time_t)(left / ECRU_SECOND);
  timeout->tv_usec = (suseconds_t)(left % ECRU_SECOND / ECRU_MICROSECOND);
}

ECRU__EXPORT int select(int limit, fd_set *restrict in, fd_set *restrict out, fd_set *restrict urgent, struct timeval *restrict timeout) {
  if (never_waits(limit, timeout) || !ecru_can_park()) return real()->select(limit, in, out, urgent, timeout);
  struct timespec time = {0, 0};
  if (timeout) time = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000};
  int64_t deadline_ns = ecru__after_timespec(timeout ? &time : NULL);
  int result = select_parking(limit, in, out, urgent, deadline_ns);
  if (timeout) tell_rest(timeout, deadline_ns);
  return result;
}

ECRU__EXPORT int pselect(int limit, fd_set *restrict in, fd_set *restrict out, fd_set *restrict urgent,
                         const struct timespec *restrict timeout, const sigset_t *restrict mask) {
  if (mask || limit < 0 || !ecru__is_valid_timespec(timeout) || !ecru_can_park()) return real()->pselect(limit, in, out, urgent, timeout, mask);
  return select_parking(limit, in, out, urgent, ecru__after_timespec(timeout));
}

// ---- epoll ---------------------------------------------------------------------------------------------------------------

typedef struct epoll_watch {
  watch watch; // first
  int epoll;
  struct epoll_event *found;
  int most;
} epoll_watch;

static int look_epoll(watch *w) {
  epoll_watch *own = (epoll_watch *)(void *)w;
  return real()->epoll_wait(own->epoll, own->found, own->most, 0);
}

static int epoll_until(int epoll, struct epoll_event *found, int most, int64_t deadline_ns) {
  ecru_fd_event itself = {epoll, ECRU_IO_READ, 0}; // an epoll instance is itself a descriptor to wait for
  epoll_watch own = {{look_epoll, &itself, 1, deadline_ns}, epoll, found, most};
  int count = look_epoll(&own.watch);
  return count != 0 ? count : look_until(&own.watch);
}

ECRU__EXPORT int epoll_wait(int epoll, struct epoll_event *found, int most, int timeout_ms) {
  if (timeout_ms == 0 || !ecru_can_park()) return real()->epoll_wait(epoll, found, most, timeout_ms);
  return epoll_until(epoll, found, most, ecru__after_ms(timeout_ms));
}

ECRU__EXPORT int epoll_pwait(int epoll, struct epoll_event *found, int most, int timeout_ms, const sigset_t *mask) {
  return mask ? real()->epoll_pwait(epoll, found, most, timeout_ms, mask) : epoll_wait(epoll, found, most, timeout_ms);
}

ECRU__EXPORT int epoll_pwait2(int epoll, struct epoll_event *found, int most, const struct timespec *timeout, const sigset_t *mask) {
  bool never_waits = timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
  if (!mask && !never_waits && ecru__is_valid_timespec(timeout) && ecru_can_park()) return epoll_until(epoll, found, most, ecru__after_timespec(timeout));
  if (real()->epoll_pwait2) return real()->epoll_pwait2(epoll, found, most, timeout, mask);
  errno = ENOSYS;
  return -1;
}
