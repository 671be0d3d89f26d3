/// interpose/children.c: waiting for child processes.
///
/// A child is waited for as a descriptor of its own (pidfd), made for the wait. Any child of several, and what such a descriptor does not
/// tell (that a child was stopped or continued), has no form that parks: then the thread waits, declared as blocking. So does
/// everything on a system without pidfd. A child that the caller traces stops without being asked for: hence a look now and then.
#include <sys/syscall.h>

#include "interpose/real.h"
#include "interpose/wait.h"

enum { LOOK_MS = 100 };

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int open_child(pid_t child) {
#ifdef SYS_pidfd_open
  return (int)syscall(SYS_pidfd_open, child, 0);
#else
  return -1;
#endif
}

/// Waits until the child has ended, or for a while. returns: false: errno says why.
static bool await_child(int descriptor) { return ecru__await(descriptor, ECRU_IO_READ, ecru__after_ms(LOOK_MS)) != ECRU__FAILED; }

// ---- wait4 and its kin -------------------------------------------------------------------------------------------------------

static pid_t block(pid_t child, int *status, int options, struct rusage *usage) {
  ecru__block_begin();
  pid_t ended = real()->wait4(child, status, options, usage);
  ecru__block_end();
  return ended;
}

static pid_t park(int descriptor, pid_t child, int *status, int options, struct rusage *usage) {
  for (;;) {
    if (!await_child(descriptor)) return -1;
    pid_t ended = real()->wait4(child, status, options | WNOHANG, usage);
    if (ended != 0) return ended;
  }
}

ECRU__EXPORT pid_t wait4(pid_t child, int *status, int options, struct rusage *usage) {
  if (options & WNOHANG || !ecru_can_park()) return real()->wait4(child, status, options, usage);
  pid_t ended = real()->wait4(child, status, options | WNOHANG, usage);
  if (ended != 0) return ended;
  int descriptor = child > 0 && options == 0 ? open_child(child) : -1;
  if (descriptor < 0) return block(child, status, options, usage);
  ended = park(descriptor, child, status, options, usage);
  close(descriptor);
  return ended;
}

ECRU__EXPORT pid_t waitpid(pid_t child, int *status, int options) {
  return ecru_can_park() ? wait4(child, status, options, NULL) : real()->waitpid(child, status, options);
}

ECRU__EXPORT pid_t wait3(int *status, int options, struct rusage *usage) {
  return ecru_can_park() ? wait4(-1, status, options, usage) : real()->wait3(status, options, usage);
}

ECRU__EXPORT pid_t wait(int *status) { return ecru_can_park() ? wait4(-1, status, 0, NULL) : real()->wait(status); }

// ---- waitid ------------------------------------------------------------------------------------------------------------------

/// returns: 1: there is news, in *news; 0: none yet; -1.
static int look_at(idtype_t what, id_t id, siginfo_t *news, int options) {
  news->si_pid = 0;
  return real()->waitid(what, id, news, options | WNOHANG) != 0 ? -1 : news->si_pid != 0;
}

static int block_id(idtype_t what, id_t id, siginfo_t *news, int options) {
  ecru__block_begin();
  int failed = real()->waitid(what, id, news, options);
  ecru__block_end();
  return failed ? -1 : 1;
}

/// As look_at, but waits for news.
static int await_news(idtype_t what, id_t id, siginfo_t *news, int options) {
  bool one = (what == P_PID || what == (idtype_t)P_PIDFD) && (options & ~WNOWAIT) == WEXITED;
  int descriptor = !one ? -1 : what == P_PID ? open_child((pid_t)id) : (int)id, found = 0;
  if (descriptor < 0) return block_id(what, id, news, options);
  while (found == 0) found = await_child(descriptor) ? look_at(what, id, news, options) : -1;
  if (what == P_PID) close(descriptor);
  return found;
}

ECRU__EXPORT int waitid(idtype_t what, id_t id, siginfo_t *news, int options) {
  if (options & WNOHANG || !ecru_can_park()) return real()->waitid(what, id, news, options);
  siginfo_t own, *to = news ? news : &own;
  int found = look_at(what, id, to, options);
  if (found == 0) found = await_news(what, id, to, options);
  return found > 0 ? 0 : -1;
}

// ---- commands: the C library waits for them where nobody reaches it --------------------------------------------------------

ECRU__EXPORT int system(const char *command) {
  if (!ecru_can_park()) return real()->system(command);
  ecru__block_begin();
  int status = real()->system(command);
  ecru__block_end();
  return status;
}

ECRU__EXPORT int pclose(FILE *pipe) {
  if (!ecru_can_park()) return real()->pclose(pipe);
  ecru__block_begin();
  int status = real()->pclose(pipe);
  ecru__block_end();
  return status;
}
