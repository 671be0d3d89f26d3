// tests/contract/ctx_unwind.cpp: unwinders and C++ exceptions on contexts (platform/ctx.h).
extern "C" {
#include "platform/ctx.h"
#include "runtime/sanitize.h"
}
#include "test.h"
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <unwind.h>

namespace {

constexpr size_t stack_bytes = 256 * 1024;

// Where an exception is thrown, AddressSanitizer must know the stack it is on.
#if defined(ECRU__ASAN)
struct StackNote {
  void *fake = nullptr;
  const void *low = nullptr;
  size_t bytes = 0;
  void leave_for(const StackNote &next) { __sanitizer_start_switch_fiber(&fake, next.low, next.bytes); }
  void arrive_from(StackNote &previous) { __sanitizer_finish_switch_fiber(fake, &previous.low, &previous.bytes); }
};
#else
struct StackNote {
  const void *low;
  size_t bytes;
  void leave_for(const StackNote &) {}
  void arrive_from(StackNote &) {}
};
#endif

struct Context {
  void *self;
  void *resumer = nullptr;
  char *stack;
  StackNote mine{}, resumers{};
  explicit Context(void (*entry)(void *)) : stack(static_cast<char *>(std::aligned_alloc(16, stack_bytes))) {
    self = ecru__ctx_make(stack + stack_bytes, stack_bytes, entry);
    mine.low = stack;
    mine.bytes = stack_bytes;
  }
  ~Context() {
    ecru__ctx_drop(self);
    std::free(stack);
  }
  void *resume() {
    resumers.leave_for(mine);
    void *value = ecru__ctx_switch(&resumer, self, this);
    resumers.arrive_from(mine);
    return value;
  }
  void suspend(void *value = nullptr) {
    mine.leave_for(resumers);
    ecru__ctx_switch(&self, resumer, value);
    mine.arrive_from(resumers);
  }
  /// To be called first by every entry.
  static Context *enter(void *value) {
    auto *context = static_cast<Context *>(value);
    context->mine.arrive_from(context->resumers);
    return context;
  }
};

/// The portable reference describes no way from one stack to the other (see platform/ctx/ucontext.c).
bool unwinds_through_calls() {
  Context probe([](void *) {});
  return static_cast<size_t>(probe.stack + stack_bytes - static_cast<char *>(probe.self)) <= 304;
}

_Unwind_Reason_Code count_frame(_Unwind_Context *frame, void *counter) {
  auto &count = *static_cast<intptr_t *>(counter);
  if (_Unwind_GetIP(frame) != 0) count++;
  return count > 1000 ? _URC_FOREIGN_EXCEPTION_CAUGHT : _URC_NO_REASON;
}

__attribute__((noinline)) intptr_t count_frames(int extra) {
  intptr_t count = 0;
  if (extra > 0) {
    count = count_frames(extra - 1);
  } else {
    _Unwind_Reason_Code reason = _Unwind_Backtrace(count_frame, &count);
    if (reason != _URC_END_OF_STACK) count = -reason;
  }
  asm volatile("" : "+r"(count)); // no tail call
  return count;
}

void backtrace_entry(void *value) {
  auto *context = Context::enter(value);
  context->suspend(reinterpret_cast<void *>(count_frames(0)));
  for (;;) context->suspend(reinterpret_cast<void *>(count_frames(5)));
}

} // namespace

TEST(ctx_unwind, a_backtrace_ends_at_the_entry) {
  Context context(backtrace_entry);
  // count_frames, the entry, what called it: an unwinder may name the last of them or not.
  intptr_t frames = reinterpret_cast<intptr_t>(context.resume());
  CHECK(frames >= 2 && frames <= 5);
  CHECK_EQ(reinterpret_cast<intptr_t>(context.resume()), frames + 5);
}

namespace {

__attribute__((noinline)) void throw_at(int depth, int number) {
  std::string destroyed_on_the_way(40, 'x');
  asm volatile("" : : "r"(&destroyed_on_the_way) : "memory");
  if (depth == 0) throw std::runtime_error(std::to_string(number));
  throw_at(depth - 1, number);
}

intptr_t thrown_number(int number) {
  try {
    throw_at(20, number);
  } catch (const std::runtime_error &error) {
    return std::stoi(error.what());
  }
  return -1;
}

void throw_entry(void *value) {
  auto *context = Context::enter(value);
  for (int i = 0;; i++) context->suspend(reinterpret_cast<void *>(thrown_number(i)));
}

} // namespace

TEST(ctx_unwind, exceptions_are_caught_on_a_context) {
  Context one(throw_entry), two(throw_entry);
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(reinterpret_cast<intptr_t>(one.resume()), i);
    CHECK_EQ(reinterpret_cast<intptr_t>(two.resume()), i);
    CHECK_EQ(thrown_number(i), i);
  }
}

namespace {
alignas(16) char big_stack[stack_bytes];
void never_entered(void *) {}
StackNote on_big_stack{}, callers{};

void throw_fn(void *argument) {
  on_big_stack.arrive_from(callers);
  throw_at(3, *static_cast<int *>(argument));
}

/// What throw_fn's exception brings back through the call.
intptr_t number_thrown_through_a_call(int number) {
  on_big_stack = StackNote{};
  on_big_stack.low = big_stack;
  on_big_stack.bytes = stack_bytes;
  try {
    callers.leave_for(on_big_stack);
    ecru__ctx_call(ecru__ctx_make(big_stack + stack_bytes, stack_bytes, never_entered), throw_fn, &number);
  } catch (const std::runtime_error &error) {
    on_big_stack.leave_for(callers); // told afterwards: the exception took us back
    callers.arrive_from(on_big_stack);
    return std::stoi(error.what());
  }
  return -1;
}

void count_fn(void *argument) { *static_cast<intptr_t *>(argument) = count_frames(0); }
} // namespace

TEST(ctx_unwind, exceptions_pass_through_a_call) {
  if (!unwinds_through_calls()) SKIP("not with the portable reference");
  for (int i = 0; i < 10; i++) CHECK_EQ(number_thrown_through_a_call(i), i);
}

TEST(ctx_unwind, a_backtrace_passes_through_a_call) {
  if (!unwinds_through_calls()) SKIP("not with the portable reference");
  intptr_t direct = count_frames(0), inside = 0;
  ecru__ctx_call(ecru__ctx_make(big_stack + stack_bytes, stack_bytes, never_entered), count_fn, &inside);
  CHECK(inside > direct);
}

namespace {
void call_entry(void *value) {
  auto *context = Context::enter(value);
  for (;;) context->suspend(reinterpret_cast<void *>(number_thrown_through_a_call(17)));
}
} // namespace

TEST(ctx_unwind, exceptions_pass_through_a_call_on_a_context) {
  if (!unwinds_through_calls()) SKIP("not with the portable reference");
  Context context(call_entry);
  for (int i = 0; i < 10; i++) CHECK_EQ(reinterpret_cast<intptr_t>(context.resume()), 17);
}

// ---- every instruction of a switch --------------------------------------------------------------------------------

#if defined(__x86_64__) && defined(__linux__)
#include <csignal>
#include <ucontext.h>

namespace {

constexpr greg_t trap_flag = 0x100;

Context *stepped;
int steps_on_main, steps_on_other, steps_on_neither, wrong_steps;

bool is_in_switch(uintptr_t address) {
  return _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(address + 1)) == reinterpret_cast<void *>(ecru__ctx_switch);
}

void main_side();
void other_side(void *value);

/// What a backtrace from inside the switch meets.
struct Findings {
  bool seen_switch = false, seen_main = false, seen_other = false;
};

_Unwind_Reason_Code inspect_frame(_Unwind_Context *frame, void *argument) {
  auto &found = *static_cast<Findings *>(argument);
  void *function = _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(_Unwind_GetIP(frame)));
  found.seen_switch |= is_in_switch(_Unwind_GetIP(frame));
  found.seen_main |= function == reinterpret_cast<void *>(main_side);
  found.seen_other |= function == reinterpret_cast<void *>(other_side);
  return _URC_NO_REASON;
}

void on_step(int, siginfo_t *, void *registers) {
  auto at = static_cast<uintptr_t>(static_cast<ucontext_t *>(registers)->uc_mcontext.gregs[REG_RIP]);
  if (!is_in_switch(at)) return;
  Findings found;
  _Unwind_Reason_Code reason = _Unwind_Backtrace(inspect_frame, &found);
  wrong_steps += reason != _URC_END_OF_STACK || !found.seen_switch || (found.seen_main && found.seen_other);
  steps_on_main += found.seen_main;
  steps_on_other += found.seen_other;
  steps_on_neither += !found.seen_main && !found.seen_other;
}

__attribute__((noinline)) void main_side() {
  asm volatile("pushfq; orq %0, (%%rsp); popfq" : : "r"(trap_flag) : "memory", "cc");
  ecru__ctx_switch(&stepped->resumer, stepped->self, stepped);
  asm volatile("pushfq; andq %0, (%%rsp); popfq" : : "r"(~trap_flag) : "memory", "cc");
}

__attribute__((noinline)) void other_side(void *) {
  for (;;) {
    ecru__ctx_switch(&stepped->self, stepped->resumer, nullptr);
    asm volatile("" : : : "memory"); // no tail call
  }
}

void check_every_instruction() {
  struct sigaction action = {};
  action.sa_sigaction = on_step;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  Context context(other_side);
  stepped = &context;
  main_side();
  CHECK_EQ(wrong_steps, 0);
  CHECK(steps_on_neither >= 10); // while it enters the fresh context, which nobody called
  steps_on_main = steps_on_other = steps_on_neither = 0;
  main_side();
  CHECK_EQ(wrong_steps, 0);
  CHECK_EQ(steps_on_neither, 0);
  CHECK(steps_on_main >= 20 && steps_on_other >= 20);
}

} // namespace
#else
static void check_every_instruction() { SKIP("no single-stepping of ourselves here"); }
#endif

TEST(ctx_unwind, unwinding_is_right_at_every_instruction_of_a_switch) {
  if (!unwinds_through_calls()) SKIP("the switch is not ours");
  check_every_instruction();
}
