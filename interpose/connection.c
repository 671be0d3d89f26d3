/// interpose/connection.c: connect and accept, which know no MSG_DONTWAIT.
#include <pthread.h>

#include "interpose/real.h"
#include "interpose/wait.h"

// ---- connect -------------------------------------------------------------------------------------------------------------

/// Starts it as a non-blocking socket would. The mode belongs to the socket, which nobody else uses before it is connected; it is as it
/// was before we wait. (Tried: sendto with MSG_FASTOPEN, the one form with a flag per call. It speaks another protocol on the wire.)
static int start(int descriptor, int flags, __CONST_SOCKADDR_ARG address, socklen_t bytes) {
  if (fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) return -1;
  int failed = real()->connect(descriptor, address, bytes), why = errno;
  fcntl(descriptor, F_SETFL, flags);
  errno = why;
  return failed;
}

static bool could_wait(int descriptor) {
  int type = 0;
  socklen_t bytes = sizeof type;
  return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

/// A Unix listener whose queue is full tells nobody when there is room again.
static bool wait_for_room(int64_t deadline_ns) {
  if (deadline_ns > ecru_now()) return ecru__pause(deadline_ns) == 0;
  errno = EAGAIN;
  return false;
}

static int connect_parking(int descriptor, int flags, __CONST_SOCKADDR_ARG address, socklen_t bytes) {
  int64_t deadline_ns = ecru__patience(descriptor, ECRU_IO_WRITE);
  for (;;) {
    if (start(descriptor, flags, address, bytes) == 0) return 0;
    if (errno == EINPROGRESS || errno == EALREADY) break;
    if (errno != EAGAIN || !wait_for_room(deadline_ns)) return -1;
  }
  int end = ecru__await(descriptor, ECRU_IO_WRITE, deadline_ns);
  if (end == ECRU__TOO_LATE) errno = EINPROGRESS;
  return end == ECRU__AGAIN ? real()->connect(descriptor, address, bytes) : -1; // it has ended: this says how
}

ECRU__EXPORT int connect(int descriptor, __CONST_SOCKADDR_ARG address, socklen_t bytes) {
  if (!ecru_can_park() || !could_wait(descriptor)) return real()->connect(descriptor, address, bytes);
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || flags & O_NONBLOCK) return real()->connect(descriptor, address, bytes);
  return connect_parking(descriptor, flags, address, bytes);
}

// ---- accept --------------------------------------------------------------------------------------------------------------

/// From the look until the call nobody else here may take the connection. (A foreign thread may: then this thread waits for the next one.)
static pthread_mutex_t *turn_of(int descriptor) {
  enum { TURNS = 64 };
  static pthread_mutex_t turns[TURNS] = {[0 ... TURNS - 1] = PTHREAD_MUTEX_INITIALIZER};
  return &turns[(unsigned)descriptor % TURNS];
}

static int try_accept(int descriptor, __SOCKADDR_ARG address, socklen_t *restrict bytes, int flags) {
  struct pollfd look = {.fd = descriptor, .events = POLLIN};
  pthread_mutex_t *turn = turn_of(descriptor);
  pthread_mutex_lock(turn);
  int accepted = -1;
  if (real()->poll(&look, 1, 0) > 0) accepted = real()->accept4(descriptor, address, bytes, flags);
  else errno = EAGAIN;
  pthread_mutex_unlock(turn);
  return accepted;
}

/// Else no connection will ever come, and the system says why.
static bool listens(int descriptor) {
  int is = 0;
  socklen_t bytes = sizeof is;
  return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &is, &bytes) == 0 && is;
}

ECRU__EXPORT int accept4(int descriptor, __SOCKADDR_ARG address, socklen_t *restrict bytes, int flags) {
  if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC) || !ecru_can_park()) return real()->accept4(descriptor, address, bytes, flags);
  int mode = fcntl(descriptor, F_GETFL);
  if (mode < 0 || mode & O_NONBLOCK) return real()->accept4(descriptor, address, bytes, flags);
  ecru__waiting waiting = {.descriptor = descriptor, .direction = ECRU_IO_READ};
  for (;;) {
    int accepted = try_accept(descriptor, address, bytes, flags);
    if (accepted >= 0 || errno != EAGAIN) return accepted;
    if (!waiting.begun && !listens(descriptor)) return real()->accept4(descriptor, address, bytes, flags);
    if (!ecru__wait(&waiting)) return -1;
  }
}

ECRU__EXPORT int accept(int descriptor, __SOCKADDR_ARG address, socklen_t *restrict bytes) {
  return ecru_can_park() ? accept4(descriptor, address, bytes, 0) : real()->accept(descriptor, address, bytes);
}
