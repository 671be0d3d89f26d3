// tests/death/overflow_handlers.c: a stack overflow and the handlers of signals that a program has (G8). What is said of it: overflow.c.
#include "tests/overflows.h"

#include <ecru/ecru.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void goroutine_without_end(void) {
  ecru_go(overflow, NULL);
  for (;;) pause();
}

// ---- the handler installed before ---------------------------------------------------------------------------------

static void say(const char *text) {
  if (write(2, text, strlen(text)) < 0) _exit(90);
}

static void leave_with_3(int number, siginfo_t *info, void *context) {
  (void)context;
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, NULL, &blocked);
  if (number != SIGSEGV || !info->si_addr || !sigismember(&blocked, SIGUSR1) || !sigismember(&blocked, SIGSEGV)) _exit(91);
  say("the program's own handler\n");
  _exit(3);
}

static void install(void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGUSR1);
  if (sigaction(SIGSEGV, &action, NULL) != 0) _exit(92);
}

static void with_a_handler(void) {
  install(leave_with_3);
  goroutine_without_end();
}

TEST(overflow_handlers, one_installed_before_is_called_after_the_message) { // G8
  only_where_faults_end_a_process();
  test_death(with_a_handler, 3, "ecru: stack overflow: goroutine ");
  test_death(with_a_handler, 3, "the program's own handler");
}

// ---- other faults -------------------------------------------------------------------------------------------------

static char *forbidden(void) {
  char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) _exit(93);
  return page;
}

static void fault_passed_on(void) {
  install(leave_with_3);
  ecru_start(NULL);
  *(volatile char *)forbidden() = 1;
}

TEST(overflow_handlers, other_faults_reach_them) { // G8
  only_where_faults_end_a_process();
  test_death(fault_passed_on, 3, "the program's own handler");
}

static void sent_by_kill(void) {
  ecru_start(NULL);
  kill(getpid(), SIGSEGV);
  say("still here\n");
}

static void sent_and_ignored(void) {
  signal(SIGSEGV, SIG_IGN);
  ecru_start(NULL);
  kill(getpid(), SIGSEGV);
  say("still here\n");
}

TEST(overflow_handlers, signals_that_were_sent_do_what_they_did_before) { // G8
  only_where_faults_end_a_process();
  test_death(sent_by_kill, BY_FAULT, NULL);
  test_death(sent_and_ignored, 0, "still here");
}

static void without_handlers(void) {
  ecru_options options = ECRU_OPTIONS;
  options.flags = ECRU_NO_SIGNAL_HANDLERS;
  ecru_start(&options);
  struct sigaction now;
  if (sigaction(SIGSEGV, NULL, &now) != 0 || now.sa_handler != SIG_DFL) _exit(94);
  goroutine_without_end();
}

TEST(overflow_handlers, without_ours_it_is_a_bare_fault) { // G8
#if defined(ECRU__ASAN) || defined(ECRU__TSAN)
  SKIP("a sanitizer has a handler of its own");
#endif
  test_death(without_handlers, -SIGSEGV, NULL);
}
