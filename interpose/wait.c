/// interpose/wait.c: waiting on behalf of foreign code (invariants in wait.h).
#include "interpose/wait.h"

#include <sys/time.h>

#include "interpose/real.h"

_Static_assert(-ECRU_EBADF == EBADF && -ECRU_ECANCELED == ECANCELED && -ECRU_ETIMEDOUT == ETIMEDOUT, "statuses are the system's numbers");

static void set_errno(int status) {
  if (status == ECRU_ECLOSED) errno = EBADF;
  else errno = status > -1000 ? -status : ECANCELED; // the runtime ends
}

static int end_of_wait(int status) {
  if (status >= 0) return status > 0 ? ECRU__AGAIN : ECRU__TOO_LATE;
  set_errno(status);
  return ECRU__FAILED;
}

int ecru__await_any(ecru_fd_event *events, size_t count, int64_t deadline_ns) {
  ecru_pin();
  int status = ecru_wait_fds(events, count, deadline_ns);
  ecru_unpin();
  return end_of_wait(status);
}

int ecru__await(int descriptor, unsigned direction, int64_t deadline_ns) {
  ecru_fd_event event = {descriptor, direction, 0};
  if (deadline_ns != ECRU_FOREVER) return ecru__await_any(&event, 1, deadline_ns);
  ecru_pin();
  int status = ecru_wait_fd(descriptor, direction);
  ecru_unpin();
  return end_of_wait(status);
}

int ecru__nap_until(int64_t instant_ns) {
  ecru_pin();
  int status = ecru_sleep_until(instant_ns);
  ecru_unpin();
  if (status == 0) return 0;
  set_errno(status);
  return -1;
}

int ecru__pause(int64_t deadline_ns) {
  int64_t soon = ecru_after(ECRU_MILLISECOND);
  return ecru__nap_until(soon < deadline_ns ? soon : deadline_ns);
}

int64_t ecru__after_ms(int timeout_ms) { return timeout_ms < 0 ? ECRU_FOREVER : ecru_after(timeout_ms * ECRU_MILLISECOND); }

bool ecru__is_valid_timespec(const struct timespec *time) {
  return !time || (time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < ECRU_SECOND);
}

int64_t ecru__nanoseconds(const struct timespec *time) {
  int64_t seconds = time->tv_sec;
  return seconds > ECRU_FOREVER / ECRU_SECOND - 1 ? ECRU_FOREVER : seconds * ECRU_SECOND + time->tv_nsec;
}

int64_t ecru__after_timespec(const struct timespec *time) { return time ? ecru_after(ecru__nanoseconds(time)) : ECRU_FOREVER; }

void ecru__block_begin(void) {
  ecru_pin();
  ecru_blocking_enter();
}

void ecru__block_end(void) {
  ecru_blocking_exit();
  ecru_unpin();
}

int64_t ecru__patience(int descriptor, unsigned direction) {
  struct timeval time = {0, 0};
  socklen_t bytes = sizeof time;
  int option = direction == ECRU_IO_READ ? SO_RCVTIMEO : SO_SNDTIMEO;
  if (getsockopt(descriptor, SOL_SOCKET, option, &time, &bytes) != 0) return ECRU_FOREVER; // no socket
  if (time.tv_sec == 0 && time.tv_usec == 0) return ECRU_FOREVER;
  return ecru_after((int64_t)time.tv_sec * ECRU_SECOND + time.tv_usec * ECRU_MICROSECOND);
}

static bool begin(ecru__waiting *waiting) {
  int flags = fcntl(waiting->descriptor, F_GETFL);
  if (flags < 0) return false;
  bool is_closed_way = (flags & O_ACCMODE) == (waiting->direction == ECRU_IO_READ ? O_WRONLY : O_RDONLY); // it will never be ready
  if (is_closed_way || flags & O_NONBLOCK) {
    errno = is_closed_way ? EBADF : EAGAIN;
    return false;
  }
  waiting->deadline_ns = ecru__patience(waiting->descriptor, waiting->direction);
  waiting->begun = true;
  return true;
}

/// The system calls it ready, though an attempt has just said otherwise: of a Unix datagram socket poll knows its own room, not the receiver's.
static bool is_in_dispute(const ecru__waiting *waiting) {
  struct pollfd look = {.fd = waiting->descriptor, .events = waiting->direction == ECRU_IO_READ ? POLLIN : POLLOUT};
  return waiting->in_vain && real()->poll(&look, 1, 0) > 0;
}

static int pause_until(int64_t deadline_ns) {
  if (deadline_ns <= ecru_now()) return ECRU__TOO_LATE;
  return ecru__pause(deadline_ns) == 0 ? ECRU__AGAIN : ECRU__FAILED;
}

bool ecru__wait(ecru__waiting *waiting) {
  if (!waiting->begun && !begin(waiting)) return false;
  int end = is_in_dispute(waiting) ? pause_until(waiting->deadline_ns)
                                   : ecru__await(waiting->descriptor, waiting->direction, waiting->deadline_ns);
  waiting->in_vain = true;
  if (end == ECRU__TOO_LATE) errno = EAGAIN;
  return end == ECRU__AGAIN;
}
