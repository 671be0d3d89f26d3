/// platform/signal/posix.c: fault handlers on an alternate stack, and SIGQUIT. A handler cannot run on a stack that has
/// overflowed; each worker therefore has an alternate one, big enough for the kernel's frame (AT_MINSIGSTKSZ: 12 KiB
/// with AMX) and for looking up a symbol.
#include "platform/signal.h"

#include "platform/memory.h"

#include <ecru/base.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum { STACK_BYTES = 64 << 10 };

static void (*_Atomic explainer)(const void *); // atomic: set at every start of the runtime, to the same
static void (*_Atomic quitter)(void);           // atomic: likewise
static struct sigaction before_segv, before_bus; // set once, before the first fault
static atomic_flag installed = ATOMIC_FLAG_INIT;

static bool has_handler(const struct sigaction *action) {
  return action->sa_flags & SA_SIGINFO || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/// Calls a handler installed before with the signals blocked that it wants blocked; sigreturn unblocks them.
static void call_handler(int number, siginfo_t *info, void *context, const struct sigaction *before) {
  sigset_t blocked = before->sa_mask;
  if (!(before->sa_flags & SA_NODEFER)) sigaddset(&blocked, number);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  if (before->sa_flags & SA_SIGINFO) before->sa_sigaction(number, info, context);
  else before->sa_handler(number);
}

static void pass_on(int number, siginfo_t *info, void *context, const struct sigaction *before) {
  if (has_handler(before)) {
    call_handler(number, info, context, before);
    return;
  }
  bool sent = info->si_code <= 0; // by kill and the like: nothing will fault again
  if (sent && before->sa_handler == SIG_IGN) return;
  signal(number, SIG_DFL); // the faulting instruction runs again and ends the process as it should
  if (sent) raise(number);
}

static void on_fault(int number, siginfo_t *info, void *context) {
  int saved_errno = errno;
  void (*explain)(const void *) = atomic_load_explicit(&explainer, memory_order_relaxed);
  if (explain && info->si_code > 0) explain(info->si_addr);
  pass_on(number, info, context, number == SIGBUS ? &before_bus : &before_segv);
  errno = saved_errno;
}

void ecru__signal_explain_faults(void (*explain)(const void *)) {
  atomic_store_explicit(&explainer, explain, memory_order_relaxed);
  if (atomic_flag_test_and_set(&installed)) return;
  sigaction(SIGSEGV, NULL, &before_segv); // known before our handler can run
  sigaction(SIGBUS, NULL, &before_bus);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

void ecru__signal_thread_start(void) {
  stack_t now;
  if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return; // a sanitizer's
  void *memory = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return; // an overflow then ends in a bare fault
  stack_t ours = {.ss_sp = memory, .ss_size = STACK_BYTES};
  if (sigaltstack(&ours, NULL) != 0) munmap(memory, STACK_BYTES);
}

void ecru__signal_thread_end(void) {
  stack_t now, none = {.ss_flags = SS_DISABLE};
  if (sigaltstack(NULL, &now) != 0 || now.ss_flags & SS_DISABLE || now.ss_size != STACK_BYTES) return;
  sigaltstack(&none, NULL);
  munmap(now.ss_sp, STACK_BYTES);
}

static void on_quit(int number) {
  (void)number;
  int saved_errno = errno;
  atomic_load_explicit(&quitter, memory_order_relaxed)();
  errno = saved_errno;
}

int ecru__signal_on_quit(void (*hook)(void)) {
  atomic_store_explicit(&quitter, hook, memory_order_relaxed);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_quit;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  int saved_errno = errno;
  int status = sigaction(SIGQUIT, &action, NULL) == 0 ? 0 : ECRU_ENOTSUP;
  errno = saved_errno;
  return status;
}

void ecru__signal_unblock_here(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
