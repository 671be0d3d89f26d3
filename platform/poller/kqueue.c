/// platform/poller/kqueue.c: macOS and the BSDs that have EVFILT_USER.
///
/// One kqueue that any thread may wait in. A direction is added at its first wait and stays, edge-triggered (EV_CLEAR), so that a wait costs no call.
/// Waits are exact to the nanosecond, as far as the system's timers are. A wake-up is a user event that stays triggered until one that waits
/// has deleted it: who only looks must not take it away. (Tried: one with EV_CLEAR, which a look that got it triggered again. A
/// busy looker could keep it from the waiter for long. A user event cannot be reset on every system but by deleting it; adding it
/// anew does not fail there, since they wait for memory.)
///
/// What kernels differ in, and what is done about it:
///   - A change of what is there already keeps the flags it was added with: so the old is deleted first.
///   - Some refuse (EPIPE) to watch for room in a pipe that nobody reads any more: a user event tells of it instead.
///   - They watch regular files, for growth: those are refused, as always ready. Devices they cannot watch count as always ready, too.
///   - Reads end at urgent data, of which no event tells: so no read is spared after one that brought something.
///   - EV_DISPATCH does not report again on enabling in some: not used. Fleeting descriptors have EV_ONESHOT for each wait. What is watched ends with
///     its number's closing, so that a reused number starts afresh.
///   - A forked child does not inherit it: there its number may already be another's, and stays open.
///
/// On Linux it runs over tests/kqueue, under the same tests.
#include "platform/poller/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/memory.h"

enum { NS_PER_SECOND = 1000000000, LONGEST_S = 86400, BATCH = 128 }; // systems refuse waits of some years
#define WAKE_IDENT UINTPTR_MAX // of user events; others have a descriptor's number

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "an event carries a key in its pointer");

struct ecru__poller {
  int kqueue;    // set once
  pid_t process; // set once: whose it is
};

// ---- changes -----------------------------------------------------------------------------------------------------------

static struct kevent change_of(uintptr_t ident, int filter, unsigned flags, unsigned filter_flags, uint64_t key) {
  struct kevent change;
  EV_SET(&change, ident, (short)filter, (unsigned short)(flags | EV_RECEIPT), filter_flags, 0, (void *)(uintptr_t)key);
  return change;
}

/// Applies changes in their order; each becomes its receipt. returns: 0, or the error number of the whole.
static int apply(ecru__poller *poller, struct kevent *changes, int count) {
  static const struct timespec none = {0, 0};
  int received;
  while ((received = kevent(poller->kqueue, changes, count, changes, count, &none)) < 0 && errno == EINTR) {}
  return received == count ? 0 : received < 0 ? errno : ENOMEM;
}

/// returns: the error number.
static int apply_one(ecru__poller *poller, struct kevent change) {
  int error = apply(poller, &change, 1);
  return error ? error : (int)change.data;
}

static int filter_of(int direction) { return direction == ECRU__IN ? EVFILT_READ : EVFILT_WRITE; }

/// returns: the error number.
static int watch(ecru__poller *poller, const ecru__pollee *pollee, int direction) {
  uintptr_t descriptor = (uintptr_t)pollee->descriptor;
  struct kevent changes[2] = {
      change_of(descriptor, filter_of(direction), EV_DELETE, 0, 0), // mostly there is none
      change_of(descriptor, filter_of(direction), EV_ADD | (pollee->fleeting ? EV_ONESHOT : EV_CLEAR), 0, pollee->key),
  };
  int error = apply(poller, changes, 2);
  return error ? error : (int)changes[1].data;
}

static int tell_broken(ecru__poller *poller, const ecru__pollee *pollee) {
  uintptr_t descriptor = (uintptr_t)pollee->descriptor;
  return apply_one(poller, change_of(descriptor, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, pollee->key));
}

static int status_of_watching(int error) {
  switch (error) {
  case 0: return 0;
  case EBADF: return ECRU_EBADF;
  case EINVAL: case ENODEV: case ENOTSUP: case ENXIO: case EPERM: return ECRU_EPERM; // the kind of device is not made for it
  default: return ECRU_ENOMEM;
  }
}

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  uint32_t registered = ecru__pollee_registered(pollee), wanted = registered | (1u << direction);
  if (wanted == registered && !pollee->fleeting) return 0;
  if (pollee->kind == ECRU__IS_FILE) return ECRU_EPERM;
  int saved_errno = errno, error = watch(poller, pollee, direction);
  if (error == EPIPE) error = tell_broken(poller, pollee); // once: the next wait is refused and told of likewise
  else if (error == 0) ecru__pollee_register(pollee, wanted);
  errno = saved_errno;
  return status_of_watching(error);
}

int ecru__poller_ready(const ecru__pollee *pollee, int direction) { return ecru__ready_now(pollee, direction); }

bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller, (void)pollee, (void)operation;
  return true;
}

void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee) {
  uint32_t registered = ecru__pollee_registered(pollee);
  if (registered == 0) return;
  ecru__pollee_register(pollee, 0);
  int saved_errno = errno;
  for (int d = ECRU__IN; d <= ECRU__OUT; d++) // ENOENT: a fleeting one's event has come
    if (registered & (1u << d)) apply_one(poller, change_of((uintptr_t)pollee->descriptor, filter_of(d), EV_DELETE, 0, 0));
  errno = saved_errno;
}

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller;
  int64_t result = ecru__attempt_unless_drained(pollee, operation);
  if (result > 0 && operation->kind == ECRU__OP_READ) pollee->drained[ECRU__IN] = 0; // it may have ended at urgent data
  return result;
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

static int wait_until(ecru__poller *poller, struct kevent *events, int most, int64_t deadline_ns) {
  if (deadline_ns == INT64_MAX) return kevent(poller->kqueue, NULL, 0, events, most, NULL);
  int64_t left = deadline_ns == 0 ? 0 : deadline_ns - ecru__clock_now();
  if (left < 0) left = 0;
  if (left > (int64_t)LONGEST_S * NS_PER_SECOND) left = (int64_t)LONGEST_S * NS_PER_SECOND;
  struct timespec timeout = {(time_t)(left / NS_PER_SECOND), (long)(left % NS_PER_SECOND)};
  return kevent(poller->kqueue, NULL, 0, events, most, &timeout);
}

/// ENOENT: another that waited has taken it, too. What is triggered between our return and here is taken with it: we return for it.
static void take_wake(ecru__poller *poller) { apply_one(poller, change_of(WAKE_IDENT, EVFILT_USER, EV_DELETE, 0, 0)); }

static bool is_wake(const struct kevent *event) { return event->filter == EVFILT_USER && event->ident == WAKE_IDENT; }

static ecru__poll_event event_of(const struct kevent *from) {
  int direction = from->filter == EVFILT_READ ? ECRU__IN : ECRU__OUT; // a user event: see tell_broken
  bool over = from->filter == EVFILT_USER || (from->flags & (EV_EOF | EV_ERROR)) != 0;
  return (ecru__poll_event){.key = (uint64_t)(uintptr_t)from->udata, .directions = 1u << direction, .hung_up = over};
}

int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  struct kevent raw[BATCH];
  int saved_errno = errno;
  int count = wait_until(poller, raw, most < BATCH ? most : BATCH, deadline_ns), given = 0;
  for (int i = 0; i < count; i++) {
    if (!is_wake(&raw[i])) events[given++] = event_of(&raw[i]);
    else if (deadline_ns != 0) take_wake(poller);
  }
  errno = saved_errno;
  return given;
}

void ecru__poller_wake(ecru__poller *poller) {
  int saved_errno = errno;
  apply_one(poller, change_of(WAKE_IDENT, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0));
  errno = saved_errno;
}

// ---- its life ----------------------------------------------------------------------------------------------------------

int ecru__poller_create(ecru__poller **poller) {
  ecru__poller *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  int saved_errno = errno, status = 0;
  made->process = getpid();
  made->kqueue = kqueue();
  if (made->kqueue < 0) status = ecru__status_of(errno);
  else fcntl(made->kqueue, F_SETFD, FD_CLOEXEC); // what this process becomes would inherit it
  errno = saved_errno;
  if (status == 0) *poller = made;
  else ecru__free(made);
  return status;
}

void ecru__poller_destroy(ecru__poller *poller) {
  int saved_errno = errno;
  if (poller->process == getpid()) close(poller->kqueue);
  errno = saved_errno;
  ecru__free(poller);
}
