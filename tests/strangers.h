/// tests/strangers.h: threads that are not ours (an emulator's, a sanitizer's) might wake somebody: no deadlock is reported then (D1).
#ifndef ECRU_TESTS_STRANGERS_H
#define ECRU_TESTS_STRANGERS_H
#include "runtime/sanitize.h"
#include "tests/test.h"

/// Skips the test elsewhere. pre: nothing has been started.
static inline void only_where_no_strangers_are(void) {
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer starts a thread of its own with the first: there is no deadlock report");
#endif
  if (test_threads() != 1) SKIP("this process has %d threads before it starts any: there is no deadlock report", test_threads());
}
#endif
