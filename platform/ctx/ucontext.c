/// platform/ctx/ucontext.c: contexts on the system's own ucontext: the reference for the assembly mechanisms and the
/// mechanism of every ISA without one.
///
/// A suspended context is a record on its own stack: the ucontext, and the value its switch is to return. A fresh one's
/// record lies at the top of its stack, so nothing is held outside and ecru__ctx_drop has nothing to do.
///
/// Known differences: a switch costs three system calls, because swapcontext carries the signal mask along, which is the thread's here; unwinders do
/// not pass through ecru__ctx_call (nothing describes the way from one stack to the other).
#include "platform/ctx.h"
#include <assert.h>
#include <fenv.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

struct record {
  ucontext_t registers;
  void *value;                 ///< what the pending switch returns, or what entry is called with
  void (*entry)(void *value);  ///< fresh contexts only
};

_Static_assert(sizeof(struct record) + 16 <= ECRU__CTX_BYTES, "ECRU__CTX_BYTES is too small for this system's ucontext");

/// What is continued in `registers` keeps the signal mask of the thread it is continued on.
static void keep_mask(ucontext_t *registers) {
  if (pthread_sigmask(SIG_SETMASK, NULL, &registers->uc_sigmask) != 0) abort();
}

void *ecru__ctx_switch(void **save, void *to, void *value) {
  struct record self;
  struct record *other = to;
  other->value = value;
  *save = &self;
  keep_mask(&other->registers);
  if (swapcontext(&self.registers, &other->registers) != 0) abort();
  return self.value;
}

/// makecontext passes ints only: a pointer travels in two.
static void *joined(unsigned high, unsigned low) {
  return (void *)(uintptr_t)(((uint64_t)high << 32) | low);
}
static unsigned high_half(void *pointer) { return (unsigned)((uint64_t)(uintptr_t)pointer >> 32); }
static unsigned low_half(void *pointer) { return (unsigned)(uintptr_t)pointer; }

static void start(unsigned high, unsigned low) {
  struct record *self = joined(high, low);
  self->entry(self->value);
  abort(); // entry never returns
}

void *ecru__ctx_make(void *stack_top, size_t stack_bytes, void (*entry)(void *value)) {
  assert((uintptr_t)stack_top % 16 == 0 && stack_bytes > ECRU__CTX_BYTES);
  uintptr_t place = ((uintptr_t)stack_top - sizeof(struct record)) & ~(uintptr_t)15;
  struct record *fresh = (struct record *)place;
  fenv_t makers; // getcontext takes the control words, too: the new context starts with the default ones
  if (fegetenv(&makers) != 0 || fesetenv(FE_DFL_ENV) != 0 || getcontext(&fresh->registers) != 0 || fesetenv(&makers) != 0) abort();
  char *low = (char *)stack_top - stack_bytes;
  fresh->registers.uc_stack.ss_sp = low;
  fresh->registers.uc_stack.ss_size = (size_t)((char *)fresh - low);
  fresh->registers.uc_link = NULL;
  fresh->value = NULL;
  fresh->entry = entry;
  makecontext(&fresh->registers, (void (*)(void))start, 2, high_half(fresh), low_half(fresh));
  return fresh;
}

/// A call in flight: lives on the caller's stack.
struct call {
  ucontext_t caller;
  ucontext_t callee;
  void (*fn)(void *argument);
  void *argument;
};

static void run_call(unsigned high, unsigned low) {
  struct call *call = joined(high, low);
  call->fn(call->argument);
  keep_mask(&call->caller); // fn may have gone to another thread
}

/// How much of the stack makecontext is told of: it only computes the top from it.
enum { CALL_STACK_BYTES = 4096 };

void ecru__ctx_call(void *context, void (*fn)(void *argument), void *argument) {
  struct call call;
  call.fn = fn;
  call.argument = argument;
  if (getcontext(&call.callee) != 0) abort();
  call.callee.uc_stack.ss_sp = (char *)((uintptr_t)context & ~(uintptr_t)15) - ECRU__CTX_SKIP_BYTES - CALL_STACK_BYTES;
  call.callee.uc_stack.ss_size = CALL_STACK_BYTES;
  call.callee.uc_link = &call.caller;
  makecontext(&call.callee, (void (*)(void))run_call, 2, high_half(&call), low_half(&call));
  if (swapcontext(&call.caller, &call.callee) != 0) abort();
}

void ecru__ctx_drop(void *context) { (void)context; }
