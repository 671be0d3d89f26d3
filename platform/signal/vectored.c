/// platform/signal/vectored.c: faults by a vectored exception handler, and Ctrl+Break for SIGQUIT.
///
/// The system raises a stack overflow on the stack that overflows, of which it keeps some pages for that. It is explained on a stack of its own:
/// there may be a symbol to look up. No second one is: the process is about to end.
#include "platform/signal.h"

#include <windows.h>
// after windows.h
#include <ecru/base.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "platform/ctx.h"

enum { STACK_BYTES = 64 << 10 };

static void (*_Atomic explainer)(const void *); // atomic: set at every start of the runtime, to the same
static void (*_Atomic quitter)(void);           // atomic: likewise
static atomic_flag installed = ATOMIC_FLAG_INIT, explaining = ATOMIC_FLAG_INIT;
static _Alignas(16) char stack[STACK_BYTES];    // of who has set `explaining`

static void explain(void *address) {
  void (*told)(const void *) = atomic_load_explicit(&explainer, memory_order_relaxed);
  if (told) told(address);
}
static void never_entered(void *unused) { (void)unused; }

/// Windows tells of an overflow where it noticed it: above the last page. The lowest address of the stack lies in the guard for certain.
static const void *place_of(const EXCEPTION_RECORD *record) {
  if (record->ExceptionCode == (DWORD)EXCEPTION_STACK_OVERFLOW) return *(void **)((char *)NtCurrentTeb() + 0x1478); // DeallocationStack
  if (record->ExceptionCode == (DWORD)EXCEPTION_ACCESS_VIOLATION && record->NumberParameters >= 2)
    return (const void *)record->ExceptionInformation[1];
  return NULL;
}

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *exception) {
  const void *address = place_of(exception->ExceptionRecord);
  if (address && !atomic_flag_test_and_set(&explaining)) {
    ecru__ctx_call(ecru__ctx_make(stack + STACK_BYTES, STACK_BYTES, never_entered), explain, (void *)(uintptr_t)address);
    atomic_flag_clear(&explaining); // an access violation may have a handler
  }
  return EXCEPTION_CONTINUE_SEARCH;
}

void ecru__signal_explain_faults(void (*told)(const void *address)) {
  atomic_store_explicit(&explainer, told, memory_order_relaxed);
  if (!atomic_flag_test_and_set(&installed)) AddVectoredExceptionHandler(0, on_exception);
}

void ecru__signal_thread_start(void) {}
void ecru__signal_thread_end(void) {}

static void on_break(int number) {
  signal(number, on_break); // the C runtime has forgotten it
  atomic_load_explicit(&quitter, memory_order_relaxed)();
}

int ecru__signal_on_quit(void (*hook)(void)) {
  atomic_store_explicit(&quitter, hook, memory_order_relaxed);
  return signal(SIGBREAK, on_break) == SIG_ERR ? ECRU_ENOTSUP : 0;
}

void ecru__signal_unblock_here(int number) { (void)number; }
