/// platform/unwind/itanium.c: frames and exceptions by the Itanium C++ ABI's unwinder (libgcc_s, libunwind).
///
/// An exception that nobody catches is noticed in the search phase, before anything is unwound: the search ends at the
/// first frame of the stack, whose personality routine is ours. It tells and lets the search go on: it finds the end
/// of the stack, and the C++ runtime calls std::terminate, with the whole stack still there to be looked at.
///
/// Tried and dropped: std::set_terminate by its mangled name (takes the program's own handler's place, and cannot tell an
/// uncaught exception from other calls of std::terminate); a cleanup attribute (not run when there is no handler).
#include "platform/unwind.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unwind.h>
#if defined(__APPLE__)
#include <dlfcn.h>
#endif

struct walk { void **frames; int count, most; };

static _Unwind_Reason_Code visit(struct _Unwind_Context *frame, void *argument) {
  struct walk *walk = argument;
  void *address = (void *)_Unwind_GetIP(frame);
  if (!address || walk->count == walk->most) return _URC_END_OF_STACK;
  walk->frames[walk->count++] = address;
  return _URC_NO_REASON;
}

__attribute__((noinline)) int ecru__frames(void **frames, int most) {
  int saved_errno = errno;
  struct walk walk = {frames, 0, most};
  _Unwind_Backtrace(visit, &walk);
  errno = saved_errno;
  return walk.count;
}

#if defined(__APPLE__) // a weak reference would have to be allowed by whoever links
void *ecru__unwind_thread_state(void) {
  void *found = dlsym(RTLD_DEFAULT, "__cxa_get_globals");
  return found ? ((void *(*)(void))found)() : NULL;
}
#else
extern void *__cxa_get_globals(void) __attribute__((weak));
void *ecru__unwind_thread_state(void) { return &__cxa_get_globals ? __cxa_get_globals() : NULL; }
#endif

static _Atomic(void (*)(int)) teller; // atomic: set at every start of the runtime, to the same

void ecru__unwind_tell(void (*told)(int forced)) { atomic_store_explicit(&teller, told, memory_order_relaxed); }

#if defined(_WIN32)
#include <windows.h>

/// On Windows gcc throws by the system's exceptions. Handler of a function marked with ECRU__UNWIND_ENDS_HERE, also in the search phase: going on
/// where it was raised is what has the C++ runtime call std::terminate. Without it the system would end the process without a word.
EXCEPTION_DISPOSITION ecru__unwind_end(EXCEPTION_RECORD *record, void *frame, CONTEXT *registers, void *dispatcher);
EXCEPTION_DISPOSITION ecru__unwind_end(EXCEPTION_RECORD *record, void *frame, CONTEXT *registers, void *dispatcher) {
  (void)frame, (void)registers, (void)dispatcher;
  const DWORD gcc_throw = 0x20474343; // libgcc's STATUS_GCC_THROW
  if (record->ExceptionCode != gcc_throw || record->ExceptionFlags != 0) return ExceptionContinueSearch; // 0: not unwinding, and may go on
  void (*told)(int) = atomic_load_explicit(&teller, memory_order_relaxed);
  if (told) told(0);
  return ExceptionContinueExecution;
}
#else
#if defined(__clang__)
#define NAMED_IN_ASSEMBLY __attribute__((used, visibility("hidden")))
#else
#define NAMED_IN_ASSEMBLY __attribute__((used, externally_visible, visibility("hidden")))
#endif

_Unwind_Reason_Code ecru__unwind_personality(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                                             struct _Unwind_Exception *exception, struct _Unwind_Context *frame);

NAMED_IN_ASSEMBLY _Unwind_Reason_Code ecru__unwind_personality(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                                                               struct _Unwind_Exception *exception, struct _Unwind_Context *frame) {
  (void)version, (void)kind, (void)exception, (void)frame;
  void (*told)(int) = atomic_load_explicit(&teller, memory_order_relaxed);
  if (told && actions & (_UA_SEARCH_PHASE | _UA_FORCE_UNWIND)) told((actions & _UA_FORCE_UNWIND) != 0);
  return _URC_CONTINUE_UNWIND;
}
#endif
