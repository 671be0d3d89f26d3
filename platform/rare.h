/// platform/rare.h: marks on paths that are seldom taken: lost races, overflows, processors taken away. A mark names the test that
/// takes the path:
///
///     ECRU__RARE(ring_overflow); // unit.time.sleepers_wake_at_their_instants
///
/// tests/lint/rare runs that test and fails if the mark was not reached, so no such path is without a test. A normal build
/// compiles marks away. With -DECRU_RARE_MARKS (preset dev) each leaves an empty file of its name in the directory
/// that the environment variable ECRU_RARE_DIR names, once per process.
#ifndef ECRU_PLATFORM_RARE_H
#define ECRU_PLATFORM_RARE_H

#ifdef ECRU_RARE_MARKS
#include <stdatomic.h>

/// Notes that the path has been taken. Any thread, locks may be held; errno is preserved.
void ecru__rare(const char *name);
#define ECRU__RARE(name) \
  do { \
    static _Atomic int ecru__taken; /* relaxed: it orders nothing */ \
    if (atomic_exchange_explicit(&ecru__taken, 1, memory_order_relaxed) == 0) ecru__rare(#name); \
  } while (0)
#else
#define ECRU__RARE(name) ((void)0)
#endif
#endif
