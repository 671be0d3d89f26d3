/// tests/contract/thread_signals.c: what platform/thread.h promises of threads and POSIX signals.
#include "platform/thread.h"
#include "test.h"
#include <pthread.h>
#include <signal.h>

static void note_mask(void *argument) { pthread_sigmask(SIG_SETMASK, NULL, argument); }

TEST(thread_signals, all_but_faults_are_blocked) {
  sigset_t mask, mine_before, mine_after;
  pthread_sigmask(SIG_SETMASK, NULL, &mine_before);
  void *handle;
  CHECK_EQ(ecru__thread_start(&handle, note_mask, &mask, NULL, 0), 0);
  ecru__thread_join(handle);
  pthread_sigmask(SIG_SETMASK, NULL, &mine_after);
  static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGPROF, SIGURG};
  for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) CHECK_EQ(sigismember(&mask, open[i]), 0);
  for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++) {
    CHECK_EQ(sigismember(&mask, blocked[i]), 1);
    CHECK_EQ(sigismember(&mine_after, blocked[i]), sigismember(&mine_before, blocked[i]));
  }
}
