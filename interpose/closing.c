/// interpose/closing.c: close, dup2 and dup3, also from threads that are no goroutine's: whoever waits for the descriptor ends with EBADF.
///
/// It is told before the system closes: after that the number may be somebody else's. Who begins to wait in between waits on, as a read
/// does that has begun when its descriptor is closed.
#include <pthread.h>

#include "interpose/real.h"
#include "interpose/wait.h"

static pid_t home; // this process; a child of vfork closes descriptors of its own, in our memory

static void note_home(void) { home = getpid(); }

__attribute__((constructor)) static void watch_forks(void) {
  note_home();
  pthread_atfork(NULL, NULL, note_home);
}

static void tell(int descriptor) {
  if (getpid() != home) return;
  int why = errno;
  bool pin = ecru_can_park();
  if (pin) ecru_pin();
  ecru_forget_fd(descriptor);
  if (pin) ecru_unpin();
  errno = why;
}

ECRU__EXPORT int close(int descriptor) {
  tell(descriptor);
  return real()->close(descriptor);
}

static bool replaces(int old, int replaced) { return old != replaced && fcntl(old, F_GETFD) >= 0; }

ECRU__EXPORT int dup2(int old, int replaced) {
  if (replaces(old, replaced)) tell(replaced);
  return real()->dup2(old, replaced);
}

ECRU__EXPORT int dup3(int old, int replaced, int flags) {
  if (replaces(old, replaced)) tell(replaced);
  return real()->dup3(old, replaced, flags);
}
