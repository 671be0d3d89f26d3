/// platform/wait/waitonaddress.c: parking on WaitOnAddress (Windows 8 and later).
///
/// WaitOnAddress itself knows milliseconds only. What it calls, RtlWaitOnAddress, takes a time in units of 100 ns, and is exported as well.
/// Only the address of the word is used to wake: its memory may be gone.
#include "platform/wait.h"

#include <windows.h>

#include "platform/clock.h"

enum { UNIT_NS = 100 };

typedef LONG NTAPI wait_fn(const void *address, const void *expected, SIZE_T bytes, const LARGE_INTEGER *timeout);
static wait_fn *wait_on_address; // set once, before main

__attribute__((constructor(101))) static void find_wait(void) { // import libraries do not have it
  wait_on_address = (wait_fn *)(void (*)(void))GetProcAddress(GetModuleHandleA("ntdll.dll"), "RtlWaitOnAddress");
}

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  if (deadline_ns == INT64_MAX) {
    wait_on_address(word, &expected, sizeof expected, NULL);
    return;
  }
  int64_t left_ns = deadline_ns <= 0 ? 0 : deadline_ns - ecru__clock_now();
  if (left_ns <= 0) return;
  LARGE_INTEGER timeout = {.QuadPart = -((left_ns + UNIT_NS - 1) / UNIT_NS)}; // negative: from now on
  wait_on_address(word, &expected, sizeof expected, &timeout);
}

void ecru__wake_one(_Atomic uint32_t *word) { WakeByAddressSingle(word); }
void ecru__wake_all(_Atomic uint32_t *word) { WakeByAddressAll(word); }
