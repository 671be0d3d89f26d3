// tests/death/debug.c: what ends up on stderr because of ECRU_DEBUG (D4), and dumps in a forked child (G14).
#include <ecru/debug.h>
#include <ecru/ecru.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/test.h"

static void dump_in_child(void) {
  if (ecru_dump(2, ECRU_DUMP_TEXT) != ECRU_EFORKED) _exit(1);
  ecru_counters counters = {.size = sizeof counters};
  if (ecru_get_counters(&counters) != ECRU_EFORKED) _exit(2);
}

static void fork_and_dump(void) {
  ecru_yield();
  test_death(dump_in_child, 0, NULL);
}

TEST(dump, in_a_forked_child_is_refused) { // D2, G14
  test_death(fork_and_dump, 0, NULL);
}

// ---- ECRU_DEBUG ---------------------------------------------------------------------------------------------------

static void trace_a_little(void) {
  setenv("ECRU_DEBUG", "schedtrace=20", 1);
  ecru_yield();
  usleep(500 * 1000); // also while nothing happens
}

TEST(schedtrace, writes_a_line_at_every_interval) { // D4
  test_death(trace_a_little, 0, " ms: maxprocs=");
  test_death(trace_a_little, 0, " goroutines=0 global=0 local=[0");
}

static void trace_long(void) {
  setenv("ECRU_DEBUG", "schedtrace=300", 1);
  ecru_yield();
  usleep(2000 * 1000);
}

TEST(schedtrace, also_from_the_deepest_sleep) { // D4
  test_death(trace_long, 0, "\necru: sched "); // not the first line
}

static void unknown_key(void) {
  setenv("ECRU_DEBUG", "verbose=1,,schedtrace=x", 1);
  ecru_yield();
}

TEST(schedtrace, unknown_keys_are_warned_of) { // D4
  test_death(unknown_key, 0, "ecru: ECRU_DEBUG: verbose=1: unknown");
  test_death(unknown_key, 0, "ecru: ECRU_DEBUG: schedtrace=x: not a number of milliseconds");
}
