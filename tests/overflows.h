/// tests/overflows.h: how death tests use up a stack.
#ifndef ECRU_TESTS_OVERFLOWS_H
#define ECRU_TESTS_OVERFLOWS_H
#include <signal.h>

#include "runtime/sanitize.h"
#include "tests/test.h"

#if defined(ECRU__ASAN) || defined(ECRU__TSAN)
/// How a fault that nobody handles ends a test.
enum { BY_FAULT = 1 }; // its own handler, to which ours passes on, reports and exits
#else
enum { BY_FAULT = -SIGSEGV };
#endif

static inline void only_where_faults_end_a_process(void) {
#if defined(ECRU__TSAN)
  SKIP("ThreadSanitizer handles faults itself");
#endif
}

/// Uses stack, page by page, until there is none.
__attribute__((noinline)) static int dig(volatile char *above, int depth) {
  volatile char here[512];
  here[0] = (char)depth;
  here[sizeof here - 1] = above ? above[0] : 0;
  return depth > 1 << 24 ? here[0] : dig(here, depth + 1) + here[sizeof here - 1];
}

static volatile int sink;
static inline void overflow(void *unused) {
  (void)unused;
  sink = dig(NULL, 0);
}
#endif
