/// tests/contract/migration/locals.c: thread-locals and errno seen by code that moves between threads.
///
/// Compilers take the address of a thread-local, and the value of a `const` function such as the one behind errno, to be
/// the same for the whole of a function. The runtime's rule is one accessor that is not inlined and launders the pointer
/// it returns (worker.c holds it against every mode this directory is built in). Here the naive forms are the control that
/// the hazard is real, and errno, behind such an accessor, goes with the code.
#include "travel.h"
#include <errno.h>

static _Thread_local int local;

static __attribute__((noinline)) int *laundered_errno(void) {
  int *address = &errno;
  __asm__ volatile("" : "+r"(address));
  return address;
}

static void describe(place *here) {
  here->local = &local;
  here->errno_slot = &errno;
  local = here->number + 1;
}

// ---- errno --------------------------------------------------------------------------------------------------------

enum { TRAVELLERS_ERRNO = 4000, THREADS_ERRNO = 7000 };

static void set_threads_errno(place *here) { *here->errno_slot = THREADS_ERRNO + here->number; }
static void check_threads_errno(place *here) { CHECK_EQ(*here->errno_slot, THREADS_ERRNO + here->number); }

/// What a switch of the runtime does: the traveller's errno goes with it, the thread's stays.
static void travel_with_errno(traveller *me) {
  int mine = *laundered_errno();
  *laundered_errno() = THREADS_ERRNO + me->here->number;
  travel(me);
  *laundered_errno() = mine;
}

static void keep_errno(void *value) {
  traveller *me = value;
  *laundered_errno() = TRAVELLERS_ERRNO;
  for (int round = 0;; round++) {
    travel_with_errno(me);
    me->stale += (void *)laundered_errno() != (void *)me->here->errno_slot;
    me->stale += *me->here->errno_slot != TRAVELLERS_ERRNO + round;
    *laundered_errno() = TRAVELLERS_ERRNO + round + 1;
  }
}

TEST(migration, errno_goes_with_the_traveller_and_stays_with_the_thread) { // G11
  before_resume = set_threads_errno;
  after_resume = check_threads_errno;
  CHECK_EQ(send_travellers(3, keep_errno, describe), 0);
}

// ---- the control --------------------------------------------------------------------------------------------------

static __attribute__((noinline)) int *unlaundered_local(void) { return &local; }

static void use_naively(void *value) {
  traveller *me = value;
  for (;;) {
    int before = local;
    travel(me);
    me->stale += local == before; // the threads' values differ
  }
}

static void use_unlaundered(void *value) {
  traveller *me = value;
  for (;;) {
    me->stale += (void *)unlaundered_local() != me->here->local;
    travel(me);
  }
}

static void use_errno_naively(void *value) {
  traveller *me = value;
  for (;;) {
    me->stale += (void *)&errno != (void *)me->here->errno_slot;
    travel(me);
  }
}

static void report(const char *pattern, void (*entry)(void *)) {
  long stale = send_travellers(1, entry, describe);
  if (stale == 0) SKIP("%s happens to be right in this mode", pattern);
}

TEST(migration, control_a_plain_thread_local_is_stale) { report("a plain thread-local", use_naively); }
TEST(migration, control_an_accessor_without_laundering_is_stale) { report("an unlaundered accessor", use_unlaundered); }
TEST(migration, control_plain_errno_is_stale) { report("plain errno", use_errno_naively); }
