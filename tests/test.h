/// tests/test.h: the test framework. A test is a claim about one rule, runs in a process of its own and leaves nothing
/// alive at its end:
///
///     TEST(chan, close_wakes_every_receiver) { // C4
///       CHECK_EQ(ecru_chan_close(chan), 0);
///     }
///
/// Discovered from the sources (tests/CMakeLists.txt), registered in no list. C11 and C++17. A failed check prints what
/// it compared, the seed if one was asked for, and ends the process at once: it may stand in any goroutine or thread,
/// also on a 16 KiB stack. When a test body returns, the runner stops the runtime, if the test had started it, and the
/// test fails if goroutines are left after the grace period.
#ifndef ECRU_TESTS_TEST_H
#define ECRU_TESTS_TEST_H
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifndef EXFULL
#define EXFULL EMLINK // any number that nothing here sets
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct test_case {
  const char *suite;
  const char *name;
  void (*run)(void);
  struct test_case *next;
} test_case;

#define TEST(suite, name) \
  static void test_body_##suite##_##name(void); \
  static test_case test_case_##suite##_##name = {#suite, #name, test_body_##suite##_##name, 0}; \
  __attribute__((constructor)) static void test_register_##suite##_##name(void) { \
    test_register(&test_case_##suite##_##name); \
  } \
  static void test_body_##suite##_##name(void)

/// The condition holds. Evaluated once.
#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "CHECK(" #condition ")"))
/// Two integers are equal (compared as long long; both are shown). Evaluated once.
#define CHECK_EQ(actual, expected) \
  test_check_eq(__FILE__, __LINE__, #actual, #expected, (long long)(actual), (long long)(expected))
/// Two strings are equal (both are shown; NULL equals only NULL). Evaluated once.
#define CHECK_STR(actual, expected) test_check_str(__FILE__, __LINE__, #actual, #expected, (actual), (expected))
/// Ends the test as failed / as skipped (exit code 77). printf-like.
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) test_skip(__VA_ARGS__)
/// Forks, runs fn in the child and checks how it ended: an exit code, or minus the number of the signal that killed it,
/// and that its stderr contains `substring` (NULL: not looked at). A function that returns ends its process with code 0.
/// Call it before this process starts the runtime.
#define test_death(fn, exit_code_or_minus_signal, substring) \
  test_death_at(__FILE__, __LINE__, #fn, (fn), (exit_code_or_minus_signal), (substring))

/// The seed of this run: random, or the value of ECRU_TEST_SEED. Printed when the test fails.
uint64_t test_seed(void);
/// Next number of the splitmix64 sequence of *state; start it with test_seed().
uint64_t test_random(uint64_t *state);
/// Next number of the sequence below `bound` (> 0).
uint64_t test_random_below(uint64_t *state, uint64_t bound);
/// `full`, or less under a sanitizer, valgrind or emulation (ECRU_TEST_SCALE, percent; at least 1): for sizes of loops.
long test_scaled(long full);
/// Number of open descriptors / threads of this process, for tests that must leak none. -1: unknown here.
int test_open_fds(void);
int test_threads(void);
/// The system's number of the calling thread; memory of this process that is there, -1: unknown here.
long test_thread_id(void);
long test_resident_bytes(void);
/// What malloc has given out and has not got back; 0: unknown here.
size_t test_heap_bytes(void);

void test_register(test_case *entry);
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(const char *file, int line, const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void test_skip(const char *format, ...);
void test_check_eq(const char *file, int line, const char *actual_text, const char *expected_text, long long actual,
                   long long expected);
void test_check_str(const char *file, int line, const char *actual_text, const char *expected_text, const char *actual,
                    const char *expected);
void test_death_at(const char *file, int line, const char *what, void (*fn)(void), int ending, const char *substring);

#ifdef __cplusplus
}
#endif
#endif
