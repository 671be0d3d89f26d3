/// tests/backends/win64_block.c: a context has the words of the thread's environment block that say what the stack is (ctx/win64_aarch64.S).
#include "platform/ctx.h"
#include "test.h"
#include <string.h>

enum { STACK_BYTES = 64 << 10, EXCEPTION_LIST = 0, STACK_BASE = 0x08, STACK_LIMIT = 0x10, FIBER_DATA = 0x20, DEALLOCATION_STACK = 0x1478 };

extern char ecru__win64_block[];
static _Alignas(16) char stack[STACK_BYTES];
static void *self, *resumer;

static uint64_t word(int at) {
  uint64_t value;
  memcpy(&value, ecru__win64_block + at, sizeof value);
  return value;
}
static void set_word(int at, uint64_t value) { memcpy(ecru__win64_block + at, &value, sizeof value); }
static void set_ours(void) {
  set_word(EXCEPTION_LIST, 1), set_word(STACK_BASE, 2), set_word(STACK_LIMIT, 3), set_word(FIBER_DATA, 4), set_word(DEALLOCATION_STACK, 5);
}
static void check_ours(void) {
  CHECK_EQ(word(EXCEPTION_LIST), 1);
  CHECK_EQ(word(STACK_BASE), 2);
  CHECK_EQ(word(STACK_LIMIT), 3);
  CHECK_EQ(word(FIBER_DATA), 4);
  CHECK_EQ(word(DEALLOCATION_STACK), 5);
}
static void check_theirs(uint64_t limit) {
  CHECK_EQ(word(STACK_BASE), (uintptr_t)stack + sizeof stack);
  CHECK_EQ(word(STACK_LIMIT), limit);
  CHECK_EQ(word(DEALLOCATION_STACK), (uintptr_t)stack);
}

static void grow_twice(void *unused) {
  (void)unused;
  check_theirs((uintptr_t)stack);
  CHECK_EQ(word(EXCEPTION_LIST), UINT64_MAX);
  CHECK_EQ(word(FIBER_DATA), 0);
  set_word(STACK_LIMIT, 4096);
  set_word(FIBER_DATA, 44);
  ecru__ctx_switch(&self, resumer, NULL);
  check_theirs(8192); // what was called on it has used more
  CHECK_EQ(word(FIBER_DATA), 44);
  ecru__ctx_switch(&self, resumer, NULL);
}

static void grow_once(void *argument) {
  check_theirs(4096);
  CHECK(argument == &self);
  set_word(STACK_LIMIT, 8192);
}

TEST(win64_block, says_where_the_running_stack_lies_and_how_far_it_has_grown) {
  set_ours();
  self = ecru__ctx_make(stack + sizeof stack, sizeof stack, grow_twice);
  ecru__ctx_switch(&resumer, self, NULL);
  check_ours();
  ecru__ctx_call(self, grow_once, &self);
  check_ours();
  ecru__ctx_switch(&resumer, self, NULL);
  check_ours();
  ecru__ctx_drop(self);
}
