/// native/recursion.c: how deep a goroutine's recursion goes: the stack it gets for it, and what its interpreter is told of that.
#include "home.h"

enum {
#if PY_VERSION_HEX >= 0x030e0000
  STACK_MOST = ECRU_PY_STACK, // it looks at the stack itself
#elif PY_VERSION_HEX >= 0x030c0000
  STACK_MOST = 64 << 20, // for 10 000 levels of C, which have a limit of their own
#else
  STACK_MOST = 256 << 20,
#endif
#if PY_VERSION_HEX >= 0x030c0000
  LEVEL_WORST = 5200, // bytes of C stack for each Python function that the limit counts
#else
  LEVEL_WORST = 2800, // where it counts C's, too
#endif
  SPARE = 128 << 10, // the guard, and what no level is
};

static int levels_in(size_t stack_bytes, size_t level) { return (int)((stack_bytes - SPARE) / level); }

size_t ecru_py_stack_bytes(void) {
  int depth = Py_GetRecursionLimit();
  size_t bytes = ECRU_PY_STACK;
  while (bytes < STACK_MOST && levels_in(bytes, LEVEL_WORST) < depth) bytes *= 2;
  return bytes;
}

/// How many levels more than m's stack has room for the interpreter allows. From 3.12 on those of C, which have a limit of their own; from 3.14 on
/// it looks at the stack itself.
static int levels_too_many(const mark *m) {
#if PY_VERSION_HEX >= 0x030e0000
  return (void)m, 0;
#else
#if PY_VERSION_HEX >= 0x030c0000
  enum { LEVEL = 1200 }; // bytes of C stack, but for sorted(), which the limit of Python functions ends
  int more = m->state->c_recursion_remaining - levels_in(m->stack_bytes, LEVEL);
#else
  int more = Py_GetRecursionLimit() - levels_in(m->stack_bytes, LEVEL_WORST);
#endif
  return more > 0 ? more : 0;
#endif
}

/// As if m's recursion were so much deeper than it is.
static void withhold(mark *m, int levels) {
#if PY_VERSION_HEX < 0x030b0000
  m->state->recursion_depth += levels - m->withheld;
#elif PY_VERSION_HEX < 0x030c0000
  m->state->recursion_remaining -= levels - m->withheld;
#elif PY_VERSION_HEX < 0x030e0000
  m->state->c_recursion_remaining -= levels - m->withheld;
#endif
  m->withheld = levels;
}

void ecru_py_withhold(mark *m) { withhold(m, levels_too_many(m)); }
void ecru_py_withhold_nothing(mark *m) { withhold(m, 0); }

void ecru_py_withhold_again(mark *m) {
#if PY_VERSION_HEX < 0x030c0000
  ecru_py_withhold(m);
#else
  (void)m; // what is left of C's levels is no limit
#endif
}

void ecru_py_say_where_the_stack_is(mark *m) {
#if PY_VERSION_HEX >= 0x030e0100
  enum { ABOVE = 64 << 10, BELOW = 128 << 10 }; // at the top, and where it ends with what no check comes before
  char *end = (char *)m - ECRU_PY_STACK + ABOVE + BELOW;
  (void)PyUnstable_ThreadState_SetStackProtection(m->state, end, (size_t)((char *)m - end));
#else
  (void)m;
#endif
}
