// Locks of files and waits for signals cannot park: they say that they keep their thread, if they have to wait.
#include "foreign.h"

#include <signal.h>
#include <sys/file.h>

static int mine, theirs; // the same file, opened twice

static void open_twice(void) {
  char name[] = "/tmp/ecru-interpose-XXXXXX";
  mine = mkstemp(name);
  CHECK(mine >= 0);
  theirs = open(name, O_RDWR | O_CLOEXEC);
  CHECK(theirs >= 0);
  unlink(name);
}

static struct flock whole(short type) { return (struct flock){.l_type = type, .l_whence = SEEK_SET}; }
static void lock_mine(void) { CHECK_EQ(flock(mine, LOCK_EX), 0); }
static void unlock_theirs(void) { CHECK_EQ(flock(theirs, LOCK_UN), 0); }
static void lock_range(void) {
  struct flock lock = whole(F_WRLCK);
  CHECK_EQ(fcntl(mine, F_OFD_SETLKW, &lock), 0);
}
static void unlock_range(void) {
  struct flock lock = whole(F_UNLCK);
  CHECK_EQ(fcntl(theirs, F_OFD_SETLK, &lock), 0);
}

static void locks(void *unused) {
  (void)unused;
  open_twice();
  struct flock lock = whole(F_WRLCK);
  CHECK_EQ(flock(theirs, LOCK_EX), 0);
  CHECK_EQ(flock(mine, LOCK_EX | LOCK_NB), -1);
  CHECK_EQ(errno_here(), EWOULDBLOCK);
  blocks(lock_mine, unlock_theirs);
  CHECK_EQ(fcntl(theirs, F_OFD_SETLKW, &lock), 0);
  CHECK_EQ(fcntl(mine, F_OFD_SETLK, &lock), -1);
  CHECK_EQ(errno_here(), EAGAIN);
  blocks(lock_range, unlock_range);
  CHECK_EQ(fcntl(mine, F_SETFD, FD_CLOEXEC), 0); // whatever else it is asked
  CHECK_EQ(fcntl(mine, F_GETFD), FD_CLOEXEC);
  int copy = fcntl(mine, F_DUPFD_CLOEXEC, 100);
  CHECK(copy >= 100);
  close(copy), close(mine), close(theirs);
}
TEST(blocking, locks_declare_that_they_block) { in_goroutine(locks); } // G3

/// Locks of fcntl and lockf belong to the process: another one has to hold them.
static void lock_in_child(void) {
  int ready[2];
  char byte;
  open_pipe();
  CHECK_EQ(pipe(ready), 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    bool held = lockf(theirs, F_LOCK, 0) == 0 && write(ready[1], "x", 1) == 1;
    close(ends[1]);
    _exit(held && read(ends[0], &byte, 1) == 0 ? 0 : 1); // until nobody can write any more
  }
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]), close(ready[1]);
}
static void let_go(void) { close_ends(); }
static void lock_all(void) { CHECK_EQ(lockf(mine, F_LOCK, 0), 0); }
static void lock_process(void) {
  struct flock lock = whole(F_WRLCK);
  CHECK_EQ(fcntl(mine, F_SETLKW, &lock), 0);
}
static void between_processes(void *unused) {
  (void)unused;
  open_twice();
  void (*calls[])(void) = {lock_all, lock_process};
  for (int i = 0; i < 2; i++) {
    lock_in_child();
    CHECK_EQ(lockf(mine, F_TLOCK, 0), -1);
    blocks(calls[i], let_go);
    CHECK_EQ(lockf(mine, F_ULOCK, 0), 0);
  }
  close(mine), close(theirs);
}
TEST(blocking, locks_between_processes_declare_it_too) { in_goroutine(between_processes); } // G3

static pthread_t waiting_thread;
static sigset_t usr1;
static void block_usr1(void) {
  waiting_thread = pthread_self();
  CHECK_EQ(sigemptyset(&usr1) + sigaddset(&usr1, SIGUSR1), 0);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
}
static void by_sigwait(void) {
  int signal = 0;
  block_usr1();
  CHECK_EQ(sigwait(&usr1, &signal), 0);
  CHECK_EQ(signal, SIGUSR1);
}
static void by_sigwaitinfo(void) {
  siginfo_t about;
  block_usr1();
  CHECK_EQ(sigwaitinfo(&usr1, &about), SIGUSR1);
  CHECK_EQ(about.si_signo, SIGUSR1);
}
static void by_sigtimedwait(void) {
  struct timespec none = {0, 0}, minute = {60, 0};
  block_usr1();
  CHECK_EQ(sigtimedwait(&usr1, NULL, &none), -1);
  CHECK_EQ(sigtimedwait(&usr1, NULL, &minute), SIGUSR1);
}
static void by_sigsuspend(void) {
  sigset_t none;
  block_usr1(); // until it waits
  sigemptyset(&none);
  CHECK_EQ(sigsuspend(&none), -1);
  CHECK_EQ(errno_here(), EINTR);
}
static void send_signal(void) { CHECK_EQ(pthread_kill(waiting_thread, SIGUSR1), 0); }
static void ignore(int signal) { (void)signal; }
static void signals_of_the_thread(void *unused) {
  (void)unused;
  CHECK(signal(SIGUSR1, ignore) != SIG_ERR);
  void (*calls[])(void) = {by_sigwait, by_sigwaitinfo, by_sigtimedwait, by_sigsuspend};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) blocks(calls[i], send_signal);
}
TEST(blocking, waits_for_signals_declare_it) { in_goroutine(signals_of_the_thread); } // G3

static _Atomic int paused;
static void by_pause(void) {
  block_usr1();
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0); // threads of the runtime block what they can
  CHECK_EQ(pause(), -1);
  atomic_store(&paused, 1);
}
static void end_pause(void) { // the signal may come before it waits: then another one has to
  while (!atomic_load(&paused)) {
    send_signal();
    ecru_yield();
  }
}
static void pausing(void *unused) {
  (void)unused;
  CHECK(signal(SIGUSR1, ignore) != SIG_ERR);
  blocks(by_pause, end_pause);
}
TEST(blocking, a_pause_declares_it) { in_goroutine(pausing); } // G3
