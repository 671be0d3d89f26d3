/// tests/contract/vm_stack.c: what platform/vm.h promises of stacks, as seen by who runs on them, whatever makes the guards: on Windows memory of a stack can
/// be used by who runs on it alone. What only mmap's ways of guarding promise: vm.c.
#include "platform/vm.h"
#include "ecru/base.h"
#include "platform/ctx.h"
#include "runtime/sanitize.h"
#include "test.h"
#include <signal.h>

enum { STACK_BYTES = 256 << 10, KEPT_BYTES = 16 << 10 }; // who digs keeps so much for what runs at the bottom, such as a handler of faults

typedef struct stack {
  char *low;
  size_t guard_bytes;
  void *self, *resumer;
  size_t used;     // bytes from the top on
  size_t not_zero; // bytes that should be
} stack;

static char *top_of(const stack *s) { return s->low + STACK_BYTES; }

static stack make_stack(void) {
  stack s = {.guard_bytes = ecru__vm_guard_least()};
  s.low = ecru__vm_reserve(STACK_BYTES, ecru__vm_page());
  CHECK(s.low != NULL);
  CHECK_EQ(ecru__vm_guard(s.low, s.guard_bytes, STACK_BYTES), 0);
  return s;
}

/// Goes down less than a page at a time.
__attribute__((noinline)) static void dig(stack *s, const char *until) {
  volatile char here[3072];
  for (size_t i = 0; i < sizeof here; i++) here[i] = 7;
  s->used = (size_t)(top_of(s) - (const char *)here);
  if ((const char *)here - KEPT_BYTES > until) dig(s, until);
  here[0] = 1; // no tail call
}

static void dig_down(void *argument) {
  stack *s = argument;
  dig(s, s->low + s->guard_bytes);
  ecru__ctx_switch(&s->self, s->resumer, NULL);
}

static void run(stack *s, void (*entry)(void *)) {
  ECRU__ASAN_UNPOISON(s->low, STACK_BYTES); // frames are left without returning
  s->self = ecru__ctx_make(top_of(s), STACK_BYTES, entry);
  ecru__ctx_switch(&s->resumer, s->self, s);
  ecru__ctx_drop(s->self);
}

TEST(vm_stack, all_of_it_but_the_guard_can_be_used) { // G8
  stack s = make_stack();
  for (int i = 0; i < 2; i++) {
    run(&s, dig_down);
    CHECK(s.used > STACK_BYTES - s.guard_bytes - 2 * KEPT_BYTES);
  }
  ecru__vm_release(s.low, STACK_BYTES);
}

static void look_at_zeros(void *argument) {
  stack *s = argument;
  char frame[STACK_BYTES / 2]; // its pages are touched one by one, but not written to
  const volatile char *at = frame;
  __asm__ volatile("" : "+r"(at)); // the compiler knows that nothing has been stored there
  for (size_t i = 0; i < sizeof frame; i++) s->not_zero += at[i] != 0;
  ecru__ctx_switch(&s->self, s->resumer, NULL);
}

TEST(vm_stack, a_trimmed_one_is_zero_and_can_be_used_again) { // G8
  stack s = make_stack();
  run(&s, dig_down);
  ecru__vm_trim(s.low + s.guard_bytes, STACK_BYTES - s.guard_bytes);
  for (const char *at = top_of(&s) - 4096; at < top_of(&s); at++) CHECK_EQ(*at, 0); // where the control block will lie
  run(&s, look_at_zeros);
  CHECK(s.not_zero < 2 * 4096); // what the context and its entry have put there
  run(&s, dig_down);
  CHECK(s.used > STACK_BYTES - s.guard_bytes - 2 * KEPT_BYTES);
  ecru__vm_release(s.low, STACK_BYTES);
}

// ---- beyond its end ----------------------------------------------------------------------------------------------------

#if defined(ECRU__ASAN)
enum { BY_FAULT = 1 }; // its own handler reports and exits
#else
enum { BY_FAULT = -SIGSEGV };
#endif

static volatile int sink;
__attribute__((noinline)) static int dig_for_ever(volatile char *above, int depth) {
  volatile char here[512];
  here[0] = (char)depth;
  return depth > 1 << 24 || above == here ? here[0] : dig_for_ever(here, depth + 1) + here[0];
}
static void overflow(void *unused) {
  (void)unused;
  sink = dig_for_ever(NULL, 0);
}

static void fresh(void) {
  stack s = make_stack();
  run(&s, overflow);
}
static void used_and_trimmed(void) {
  stack s = make_stack();
  run(&s, dig_down);
  ecru__vm_trim(s.low + s.guard_bytes, STACK_BYTES - s.guard_bytes);
  run(&s, overflow);
}
static void beside_others(void) { // its neighbours' memory is in use
  char *low = ecru__vm_reserve(3 * STACK_BYTES, ecru__vm_page());
  stack s[3];
  for (int i = 0; i < 3; i++) {
    s[i] = (stack){.low = low + i * STACK_BYTES, .guard_bytes = ecru__vm_guard_least()};
    if (ecru__vm_guard(s[i].low, s[i].guard_bytes, STACK_BYTES) != 0) return;
    run(&s[i], dig_down);
  }
  run(&s[1], overflow);
}

TEST(vm_stack, who_uses_more_faults) { // G8
#if defined(ECRU__TSAN)
  SKIP("ThreadSanitizer handles faults itself");
#endif
  test_death(fresh, BY_FAULT, NULL);
  test_death(used_and_trimmed, BY_FAULT, NULL);
  test_death(beside_others, BY_FAULT, NULL);
}

// ---- many, and none ----------------------------------------------------------------------------------------------------

TEST(vm_stack, many_can_be_had_at_once) { // G9
  enum { STACKS = 2000 };
  static char *lows[STACKS];
  for (int i = 0; i < STACKS; i++) {
    lows[i] = ecru__vm_reserve(STACK_BYTES, ecru__vm_page());
    CHECK(lows[i] != NULL);
    CHECK_EQ(ecru__vm_guard(lows[i], ecru__vm_guard_least(), STACK_BYTES), 0);
    lows[i][STACK_BYTES - 1] = 1;
  }
  for (int i = 0; i < STACKS; i++) ecru__vm_release(lows[i], STACK_BYTES);
}

TEST(vm_stack, they_lie_where_they_are_asked_for) {
  for (size_t align = ecru__vm_page(); align <= (size_t)64 << 20; align *= 4) {
    char *low = ecru__vm_reserve(STACK_BYTES, align);
    CHECK(low != NULL);
    CHECK_EQ((uintptr_t)low % align, 0);
    ecru__vm_release(low, STACK_BYTES);
  }
}

TEST(vm_stack, what_cannot_be_had_is_null) {
  errno = EXFULL;
  CHECK(ecru__vm_reserve((size_t)1 << 62, ecru__vm_page()) == NULL);
  CHECK(ecru__vm_reserve(ecru__vm_page(), (size_t)1 << 62) == NULL);
  CHECK_EQ(errno, EXFULL);
}

TEST(vm_stack, a_page_is_a_power_of_two) {
  size_t page = ecru__vm_page();
  CHECK(page >= 4096 && (page & (page - 1)) == 0);
  CHECK_EQ(ecru__vm_page(), page);
}
