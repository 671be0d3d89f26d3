/// platform/tty/posix.c: terminals by termios.
#include "platform/tty.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "platform/io.h"
#include "platform/memory.h"

/// A descriptor by which a terminal's mode has been changed. Two may be of one terminal: then the later one takes over how it was.
typedef struct changed {
  struct changed *next;
  int descriptor;
  dev_t terminal;
  struct termios before;
} changed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static changed *list;     // lock
static pid_t owner;       // lock: who made the list; its children by fork have a copy that is not theirs to act upon

static changed **place_of(int descriptor) {
  changed **place = &list;
  while (*place && (*place)->descriptor != descriptor) place = &(*place)->next;
  return place;
}

/// Also from the background, where the system would stop the process for that.
static void put_back(const changed *c) {
  sigset_t output, before;
  sigemptyset(&output);
  sigaddset(&output, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &output, &before);
  tcsetattr(c->descriptor, TCSANOW, &c->before);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void put_back_and_forget(changed **place) {
  changed *c = *place;
  if (!c) return;
  put_back(c);
  *place = c->next;
  ecru__free(c);
}

/// Which terminal it is, also by the name /dev/tty where the system tells.
static dev_t terminal_of(int descriptor) {
#ifdef TIOCGDEV
  unsigned device;
  if (ioctl(descriptor, TIOCGDEV, &device) == 0) return device;
#endif
  struct stat about;
  return fstat(descriptor, &about) == 0 ? about.st_rdev : 0;
}

/// How a terminal was. returns: false: errno says why.
static bool look(int descriptor, dev_t terminal, struct termios *before) {
  if (tcgetattr(descriptor, before) != 0) return false;
  for (const changed *c = list; c; c = c->next)
    if (c->terminal == terminal) *before = c->before;
  return true;
}

/// Notes how the terminal was, unless it has been noted. NULL: errno says why.
static const changed *note(int descriptor) {
  static bool told; // lock
  changed *c = *place_of(descriptor);
  if (c) return c;
  struct termios before;
  dev_t terminal = terminal_of(descriptor);
  if (!look(descriptor, terminal, &before)) return NULL;
  c = ecru__malloc(sizeof *c);
  if (!c || (!told && atexit(ecru__tty_restore_all) != 0)) {
    ecru__free(c);
    errno = ENOMEM;
    return NULL;
  }
  told = true;
  owner = getpid();
  *c = (changed){list, descriptor, terminal, before};
  return list = c;
}

static int set(int descriptor, int mode) {
  const changed *c = note(descriptor);
  if (!c) return -1;
  struct termios wanted = c->before;
  if (mode == ECRU_TTY_RAW) {
    cfmakeraw(&wanted);
    wanted.c_cc[VMIN] = 1;
    wanted.c_cc[VTIME] = 0;
  } else {
    wanted.c_lflag = (wanted.c_lflag & ~(tcflag_t)ECHO) | ICANON | ISIG;
    wanted.c_iflag |= ICRNL;
  }
  return tcsetattr(descriptor, TCSANOW, &wanted);
}

int ecru__tty_set_mode(intptr_t descriptor, int mode) {
  int saved_errno = errno, failed = 0;
  pthread_mutex_lock(&lock);
  if (mode != ECRU_TTY_AS_IT_WAS) failed = set((int)descriptor, mode);
  else if (*place_of((int)descriptor)) put_back_and_forget(place_of((int)descriptor));
  else failed = isatty((int)descriptor) ? 0 : -1;
  pthread_mutex_unlock(&lock);
  int status = failed ? ecru__status_of(errno) : 0;
  errno = saved_errno;
  return status;
}

void ecru__tty_restore(intptr_t descriptor) {
  int saved_errno = errno;
  pthread_mutex_lock(&lock);
  put_back_and_forget(place_of((int)descriptor));
  pthread_mutex_unlock(&lock);
  errno = saved_errno;
}

void ecru__tty_restore_all(void) {
  int saved_errno = errno;
  if (pthread_mutex_trylock(&lock) != 0) return; // whoever changes one just now is about to end with us
  if (owner == getpid())
    while (list) put_back_and_forget(&list);
  pthread_mutex_unlock(&lock);
  errno = saved_errno;
}

int ecru__tty_size(intptr_t descriptor, int *columns, int *rows) {
  struct winsize size;
  int saved_errno = errno;
  int status = ioctl((int)descriptor, TIOCGWINSZ, &size) != 0 ? ecru__status_of(errno) : 0;
  errno = saved_errno;
  if (status != 0) return status;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}
