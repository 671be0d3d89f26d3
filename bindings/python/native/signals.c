/// native/signals.c: whether a signal has come that Python has not handled yet.
///
/// CPython's C handler leaves a note that the evaluation loop looks at. No function tells of it, so it is read where it lies; up to 3.12 that
/// is in the runtime's state, which has an internal header. (PySignal_SetWakeupFd would tell, too, but there is one such descriptor, the program's.)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wshadow" // CPython's
#endif
#define Py_BUILD_CORE 1
#include "native.h"

#if PY_VERSION_HEX < 0x030d0000
#include <internal/pycore_runtime.h>
bool ecru_py_signal_waits(const PyThreadState *state) {
  (void)state;
  return _Py_atomic_load_relaxed(&_PyRuntime.ceval.signals_pending) != 0;
}
#else
bool ecru_py_signal_waits(const PyThreadState *state) {
  enum { SIGNALS_PENDING = 1 << 1 }; // _PY_SIGNALS_PENDING_BIT
  return (__atomic_load_n(&state->eval_breaker, __ATOMIC_RELAXED) & SIGNALS_PENDING) != 0;
}
#endif
