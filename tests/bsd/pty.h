/// tests/bsd/pty.h: openpty as the tests use it, which is in another library and header on each of these systems.
#ifndef ECRU_TESTS_BSD_PTY_H
#define ECRU_TESTS_BSD_PTY_H
#include <fcntl.h>
#include <stdlib.h>

static inline int test_openpty(int *keyboard, int *screen) {
  *keyboard = posix_openpt(O_RDWR | O_NOCTTY);
  if (*keyboard < 0 || grantpt(*keyboard) != 0 || unlockpt(*keyboard) != 0) return -1;
  *screen = open(ptsname(*keyboard), O_RDWR | O_NOCTTY);
  return *screen < 0 ? -1 : 0;
}
#define openpty(keyboard, screen, name, mode, size) test_openpty(keyboard, screen)
#endif
