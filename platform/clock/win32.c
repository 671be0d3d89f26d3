/// platform/clock/win32.c: the clock from the performance counter, which counts on all versions since Windows XP, on while the machine sleeps.
///
/// (Dropped: GetTickCount64 as the coarse clock. It has another zero, and is up to 16 ms behind.)
#include "platform/clock.h"

#include <stdatomic.h>
#include <windows.h>

enum { NS_PER_SECOND = 1000000000 };

static int64_t ticks_per_second(void) {
  static _Atomic int64_t cached; // atomic: relaxed, every thread is told the same
  int64_t known = atomic_load_explicit(&cached, memory_order_relaxed);
  if (known != 0) return known;
  LARGE_INTEGER frequency;
  QueryPerformanceFrequency(&frequency);
  atomic_store_explicit(&cached, frequency.QuadPart, memory_order_relaxed);
  return frequency.QuadPart;
}

int64_t ecru__clock_now(void) {
  LARGE_INTEGER ticks;
  QueryPerformanceCounter(&ticks);
  int64_t each = ticks_per_second();
  return ticks.QuadPart / each * NS_PER_SECOND + ticks.QuadPart % each * NS_PER_SECOND / each;
}

int64_t ecru__clock_coarse(void) { return ecru__clock_now(); }
