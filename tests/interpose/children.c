// Waiting for a child parks; for any of several, or for what a descriptor of it does not tell, it keeps its thread and says so.
#include "foreign.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static pid_t child;

/// One that ends with 7 once a byte is written for it.
static void start_child(void) {
  char byte;
  open_pipe();
  child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
}
static void end_child(void) { CHECK_EQ(write(ends[1], "x", 1), 1); }
static void check_status(int status) {
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 7);
}

static void by_waitpid(void) {
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  check_status(status);
}
static void by_wait4(void) {
  int status = 0;
  struct rusage usage = {.ru_maxrss = -1};
  CHECK_EQ(wait4(child, &status, 0, &usage), child);
  check_status(status);
  CHECK(usage.ru_maxrss >= 0);
}
static void check_news(const siginfo_t *news) {
  CHECK_EQ(news->si_pid, child);
  CHECK_EQ(news->si_code, CLD_EXITED);
  CHECK_EQ(news->si_status, 7);
}
static void by_waitid(void) {
  siginfo_t news;
  CHECK_EQ(waitid(P_PID, (id_t)child, &news, WEXITED | WNOWAIT), 0);
  check_news(&news);
  CHECK_EQ(waitid(P_PID, (id_t)child, NULL, WEXITED), 0);
}
static void by_descriptor(void) {
  siginfo_t news;
  int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
  CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)descriptor, &news, WEXITED), 0);
  check_news(&news);
  close(descriptor);
}
static void by_wait(void) {
  int status = 0;
  CHECK_EQ(wait(&status), child);
  check_status(status);
}
static void by_wait3(void) {
  int status = 0;
  CHECK_EQ(wait3(&status, 0, NULL), child);
  check_status(status);
}
static void for_any(void) {
  int status = 0;
  CHECK_EQ(waitpid(-1, &status, 0), child);
  check_status(status);
}
static void for_any_by_id(void) {
  siginfo_t news;
  CHECK_EQ(waitid(P_ALL, 0, &news, WEXITED), 0);
  check_news(&news);
}
static void or_stopped(void) {
  int status = 0;
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  check_status(status);
}

static void one(void *unused) {
  (void)unused;
  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (pidfd < 0) SKIP("no descriptors of processes here");
  close(pidfd);
  void (*calls[])(void) = {by_waitpid, by_wait4, by_waitid, by_descriptor};
  start_child();
  parks(by_waitpid, end_child);
  close_ends();
  int fds = test_open_fds(); // the poller's own are there now
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    start_child();
    parks(calls[i], end_child);
    close_ends();
    CHECK_EQ(waitpid(child, NULL, 0), -1);
    CHECK_EQ(errno_here(), ECHILD);
  }
  CHECK_EQ(test_open_fds(), fds);
}
TEST(children, waiting_for_one_parks) { in_goroutine(one); } // I7

static void any(void *unused) {
  (void)unused;
  void (*calls[])(void) = {by_wait, by_wait3, for_any, for_any_by_id, or_stopped};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    start_child();
    blocks(calls[i], end_child);
    close_ends();
  }
}
TEST(children, waiting_for_any_declares_that_it_blocks) { in_goroutine(any); } // G3

static void without_waiting(void *unused) {
  (void)unused;
  int status = 0;
  siginfo_t news = {.si_pid = 1};
  start_child();
  uint64_t parked = counters_now().parks;
  CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
  CHECK_EQ(waitid(P_PID, (id_t)child, &news, WEXITED | WNOHANG), 0);
  CHECK_EQ(news.si_pid, 0);
  CHECK_EQ(counters_now().parks, parked);
  end_child();
  by_waitpid();
  CHECK_EQ(waitid(P_PID, (id_t)child, &news, WEXITED), -1);
  CHECK_EQ(errno_here(), ECHILD);
  CHECK_EQ(waitpid(child, &status, 12345 << 8), -1);
  CHECK_EQ(errno_here(), EINVAL);
  close_ends();
}
TEST(children, what_need_not_wait_does_not) { in_goroutine(without_waiting); } // I7

static void token(void *unused) {
  (void)unused;
  start_child();
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(waitpid(child, NULL, 0), -1);
  CHECK_EQ(errno_here(), ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  end_child();
  by_waitpid();
  close_ends();
}
TEST(children, a_token_ends_the_wait) { in_goroutine(token); } // K2

static void traced(void *unused) {
  (void)unused;
  int status = 0;
  CHECK_EQ(ecru_pin(), 0); // a tracer is a thread
  child = fork();
  if (child == 0) _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0 ? 7 : 8);
  CHECK_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 8) SKIP("no tracing here");
  CHECK(WIFSTOPPED(status));
  CHECK_EQ(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
  by_waitpid();
  CHECK_EQ(ecru_unpin(), 0);
}
TEST(children, a_traced_child_stops_unasked) { in_goroutine(traced); } // I7

static void run_command(void) {
  char command[64];
  snprintf(command, sizeof command, "read line <&%d; exit 7", ends[0]);
  check_status(system(command));
}
static void run_pipe(void) {
  char command[64];
  snprintf(command, sizeof command, "read line <&%d; exit 7", ends[0]);
  FILE *pipe = popen(command, "w");
  CHECK(pipe != NULL);
  check_status(pclose(pipe));
}
static void say_go_on(void) { CHECK_EQ(write(ends[1], "\n", 1), 1); }
static void commands(void *unused) {
  (void)unused;
  open_pipe();
  blocks(run_command, say_go_on);
  blocks(run_pipe, say_go_on);
  close_ends();
}
TEST(children, commands_declare_that_they_block) { in_goroutine(commands); } // G3
