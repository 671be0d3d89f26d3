/// platform/signal/posix.c: fault handlers on an alternate stack. A handler cannot run on a stack that has overflowed; each
/// worker therefore has an alternate one, big enough for the kernel's frame (AT_MINSIGSTKSZ: 12 KiB with AMX).
#include "platform/signal.h"

#include "platform/memory.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STACK_BYTES = 64 << 10 };

static int (*_Atomic explainer)(const void *, char *, unsigned);
static struct sigaction before_segv, before_bus;
static atomic_flag installed = ATOMIC_FLAG_INIT;

static void pass_on(int number, siginfo_t *info, void *context, const struct sigaction *before) {
  if (before->sa_flags & SA_SIGINFO) {
    before->sa_sigaction(number, info, context);
    return;
  }
  if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
    before->sa_handler(number);
    return;
  }
  signal(number, SIG_DFL); // the faulting instruction runs again and ends the process as it should
}

static void on_fault(int number, siginfo_t *info, void *context) {
  char message[512];
  int (*explain)(const void *, char *, unsigned) = atomic_load_explicit(&explainer, memory_order_relaxed);
  int bytes = explain ? explain(info->si_addr, message, sizeof message) : 0;
  if (bytes > 0 && write(2, message, (size_t)bytes) < 0) bytes = 0; // nowhere to tell it
  pass_on(number, info, context, number == SIGBUS ? &before_bus : &before_segv);
}

void ecru__signal_explain_faults(int (*explain)(const void *, char *, unsigned)) {
  atomic_store(&explainer, explain);
  if (atomic_flag_test_and_set(&installed)) return;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &before_segv);
  sigaction(SIGBUS, &action, &before_bus);
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
