/// tests/contract/ctx_landing.c: where the processor enforces branch targets (BTI on 64-bit ARM), contexts can be made, switched and called through pointers.
#include "platform/ctx.h"
#include "test.h"

#if defined(__aarch64__) && defined(__linux__)
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PROTECTION_BTI = 0x10, HARDWARE_BTI = 1 << 17, STACK_BYTES = 64 * 1024, CODE_BYTES = 256 };
#define LANDS __attribute__((noinline, target("branch-protection=bti")))

/// Enforces them, or no longer, in the pages where this function lies. returns: false: the system cannot.
static bool enforce(void (*function)(void), int protection) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)function, low = at & ~(page - 1);
  return mprotect((void *)low, at + CODE_BYTES - low, PROT_READ | PROT_EXEC | protection) == 0;
}
static bool enforce_all(int protection) {
  void (*const all[])(void) = {(void (*)(void))ecru__ctx_make, (void (*)(void))ecru__ctx_switch, (void (*)(void))ecru__ctx_call,
                               (void (*)(void))ecru__ctx_drop};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!enforce(all[i], protection)) return false;
  return true;
}
static bool known_here(void) { return (getauxval(AT_HWCAP2) & HARDWARE_BTI) != 0 && enforce_all(PROTECTION_BTI) && enforce_all(0); }

// volatile: called through the pointer, whatever the compiler knows
static void *(*volatile make)(void *, size_t, void (*)(void *)) = ecru__ctx_make;
static void *(*volatile change)(void **, void *, void *) = ecru__ctx_switch;
static void (*volatile call)(void *, void (*)(void *), void *) = ecru__ctx_call;
static void (*volatile drop)(void *) = ecru__ctx_drop;

static void *inside, *outside;
LANDS static void answer(void *value) {
  for (;;) value = change(&inside, outside, (char *)value + 1);
}
LANDS static void count(void *number) { ++*(int *)number; }

static void call_each(void) {
  if (!known_here()) SKIP("branch targets are not enforced here");
  char *stack = aligned_alloc(16, STACK_BYTES);
  int calls = 0;
  CHECK(enforce_all(PROTECTION_BTI));
  inside = make(stack + STACK_BYTES, STACK_BYTES, answer);
  for (uintptr_t i = 1; i < 100; i++) CHECK_EQ((uintptr_t)change(&outside, inside, (void *)i), i + 1);
  call(inside, count, &calls);
  drop(inside);
  CHECK(enforce_all(0)); // what runs at the end of the program may be no target
  CHECK_EQ(calls, 1);
  free(stack);
}

__attribute__((noinline, target("branch-protection=none"))) static void no_target(void) { __asm__ volatile(""); }
static void (*volatile pointer)(void) = no_target;
static void branch_to_it(void) {
  enforce(no_target, PROTECTION_BTI);
  pointer();
}
static void call_another(void) {
  if (!known_here()) SKIP("branch targets are not enforced here");
  test_death(branch_to_it, -SIGILL, "");
}
#else
static void call_each(void) { SKIP("branch targets are not enforced here"); }
static void call_another(void) { SKIP("branch targets are not enforced here"); }
#endif

TEST(ctx_landing, each_function_is_a_target) { call_each(); }
TEST(ctx_landing, other_functions_are_none) { call_another(); } // so the test above can fail
