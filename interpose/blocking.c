/// interpose/blocking.c: locks of files, and signals of the thread. Nothing but the call itself tells when they would go on, so they keep their
/// thread, but declare it: its processor goes to others at once, and not only when the monitor notices (10 ms). A lock that is free
/// is taken without that.
#include <stdarg.h>

#include "interpose/real.h"
#include "interpose/wait.h"

// ---- locks of files ----------------------------------------------------------------------------------------------------------

static bool is_taken(int failed) { return failed && (errno == EAGAIN || errno == EACCES); }

ECRU__EXPORT int flock(int descriptor, int operation) {
  if (operation & LOCK_NB || !ecru_can_park()) return real()->flock(descriptor, operation);
  int failed = real()->flock(descriptor, operation | LOCK_NB);
  if (!is_taken(failed)) return failed;
  ecru__block_begin();
  failed = real()->flock(descriptor, operation);
  ecru__block_end();
  return failed;
}

ECRU__EXPORT int lockf(int descriptor, int command, off_t bytes) {
  if (command != F_LOCK || !ecru_can_park()) return real()->lockf(descriptor, command, bytes);
  int failed = real()->lockf(descriptor, F_TLOCK, bytes);
  if (!is_taken(failed)) return failed;
  ecru__block_begin();
  failed = real()->lockf(descriptor, F_LOCK, bytes);
  ecru__block_end();
  return failed;
}

ECRU__EXPORT int lockf64(int descriptor, int command, off64_t bytes) {
  if (command != F_LOCK || !ecru_can_park()) return real()->lockf64(descriptor, command, bytes);
  int failed = real()->lockf64(descriptor, F_TLOCK, bytes);
  if (!is_taken(failed)) return failed;
  ecru__block_begin();
  failed = real()->lockf64(descriptor, F_LOCK, bytes);
  ecru__block_end();
  return failed;
}

static int control(__typeof__(&fcntl) call, int descriptor, int command, void *argument) {
  bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
  if (!waits || !ecru_can_park()) return call(descriptor, command, argument);
  int failed = call(descriptor, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, argument);
  if (!is_taken(failed)) return failed;
  ecru__block_begin();
  failed = call(descriptor, command, argument);
  ecru__block_end();
  return failed;
}

/// The third argument may be a number, a pointer or not there: it is passed on as the C library itself does.
ECRU__EXPORT int fcntl(int descriptor, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return control(real()->fcntl, descriptor, command, argument);
}

ECRU__EXPORT int fcntl64(int descriptor, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return control(real()->fcntl64 ? real()->fcntl64 : real()->fcntl, descriptor, command, argument);
}

// ---- signals -----------------------------------------------------------------------------------------------------------------

ECRU__EXPORT int pause(void) {
  if (!ecru_can_park()) return real()->pause();
  ecru__block_begin();
  int result = real()->pause();
  ecru__block_end();
  return result;
}

ECRU__EXPORT int sigsuspend(const sigset_t *mask) {
  if (!ecru_can_park()) return real()->sigsuspend(mask);
  ecru__block_begin();
  int result = real()->sigsuspend(mask);
  ecru__block_end();
  return result;
}

ECRU__EXPORT int sigwait(const sigset_t *restrict signals, int *restrict signal) {
  if (!ecru_can_park()) return real()->sigwait(signals, signal);
  ecru__block_begin();
  int error = real()->sigwait(signals, signal);
  ecru__block_end();
  return error;
}

ECRU__EXPORT int sigwaitinfo(const sigset_t *restrict signals, siginfo_t *restrict about) {
  if (!ecru_can_park()) return real()->sigwaitinfo(signals, about);
  ecru__block_begin();
  int signal = real()->sigwaitinfo(signals, about);
  ecru__block_end();
  return signal;
}

ECRU__EXPORT int sigtimedwait(const sigset_t *restrict signals, siginfo_t *restrict about, const struct timespec *restrict timeout) {
  bool never_waits = timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
  if (never_waits || !ecru_can_park()) return real()->sigtimedwait(signals, about, timeout);
  ecru__block_begin();
  int signal = real()->sigtimedwait(signals, about, timeout);
  ecru__block_end();
  return signal;
}
