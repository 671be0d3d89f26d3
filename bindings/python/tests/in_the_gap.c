// Preloaded: once armed, the main thread's next wait in the kernel is preceded by a signal whose handler has run: nothing ends that wait.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int armed;

void arm(int number) { armed = number; }

static void pass_gap(void) {
  int number = armed;
  if (!number || getpid() != gettid()) return;
  armed = 0;
  raise(number);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds) {
  int (*next)(int, struct epoll_event *, int, int) = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
  if (milliseconds != 0) pass_gap();
  return next(epoll, events, most, milliseconds);
}

long syscall(long number, ...) {
  long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  enum { WAIT_BITSET = 9, COMMAND = 127 };
  bool sleeps = number == SYS_epoll_pwait2 || (number == SYS_futex && (a[1] & COMMAND) == WAIT_BITSET);
  if (sleeps) pass_gap();
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
