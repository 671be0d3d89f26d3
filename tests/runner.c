/// tests/runner.c: main of every test program.
///
///     prog                runs every test in a child process each, ends with "N passed, N failed, N skipped"
///     prog suite.name     runs one test in this process: exit code 0 passed, 77 skipped, 1 failed
///     prog --list         prints suite.name, one a line
///
/// Environment: ECRU_TEST_SEED, ECRU_TEST_SCALE (percent), ECRU_TEST_SECONDS (then a test still running is reported with a
/// dump of all goroutines and ended; 0: never). Nothing here uses stdio in a failing test: a check may fail on a small
/// stack, in any thread, in a forked child.
#include "system.h"
#include "test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


// Weak: a contract test of the platform layer links no runtime.
__attribute__((weak)) int ecru_stop(void);
__attribute__((weak)) int ecru_dump(int fd, int format);
__attribute__((weak)) const char *ecru_status_name(int status);

static test_case *first_case, *last_case;
static const char *running_name = "";     // set once, before the test runs
static _Atomic int seed_asked;            // whether the failure message shows the seed
static _Atomic int ending;                // the first failure or skip wins, later ones wait for the end

const char *test_running_name(void) { return running_name; }

void test_register(test_case *entry) {
  if (last_case)
    last_case->next = entry;
  else
    first_case = entry;
  last_case = entry;
}

// ---- messages -----------------------------------------------------------------------------------------------------

void test_write(const char *text, size_t bytes) {
  while (bytes > 0) {
    ssize_t written = write(STDERR_FILENO, text, bytes);
    if (written <= 0 && errno != EINTR) return;
    if (written > 0) text += written, bytes -= (size_t)written;
  }
}

static void write_text(const char *text) { test_write(text, strlen(text)); }

static void claim_the_end(void) {
  int expected = 0;
  if (atomic_compare_exchange_strong(&ending, &expected, 1)) return;
  for (;;) test_system_pause();
}

void test_fail(const char *file, int line, const char *format, ...) {
  static char message[2048];
  claim_the_end();
  int used = snprintf(message, sizeof message, "%s:%d: %s failed: ", file, line, running_name);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message + used, sizeof message - (size_t)used, format, arguments);
  va_end(arguments);
  write_text(message);
  write_text("\n");
  if (atomic_load(&seed_asked)) {
    snprintf(message, sizeof message, "rerun with ECRU_TEST_SEED=%llu\n", (unsigned long long)test_seed());
    write_text(message);
  }
  _exit(EXIT_FAILED);
}

void test_skip(const char *format, ...) {
  static char message[1024];
  claim_the_end();
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  write_text("skipped: ");
  write_text(message);
  write_text("\n");
  _exit(EXIT_SKIPPED);
}

static const char *name_of_status(long long value) {
  if (!ecru_status_name || value >= 0 || value < -4096) return "";
  const char *name = ecru_status_name((int)value);
  return name && strncmp(name, "ECRU_", 5) == 0 ? name : "";
}

void test_check_eq(const char *file, int line, const char *actual_text, const char *expected_text, long long actual,
                   long long expected) {
  if (actual == expected) return;
  test_fail(file, line, "CHECK_EQ(%s, %s): %lld %s, expected %lld %s", actual_text, expected_text, actual,
            name_of_status(actual), expected, name_of_status(expected));
}

void test_check_str(const char *file, int line, const char *actual_text, const char *expected_text, const char *actual,
                    const char *expected) {
  if (actual == expected || (actual && expected && strcmp(actual, expected) == 0)) return;
  test_fail(file, line, "CHECK_STR(%s, %s): \"%s\", expected \"%s\"", actual_text, expected_text,
            actual ? actual : "(NULL)", expected ? expected : "(NULL)");
}

// ---- numbers ------------------------------------------------------------------------------------------------------

uint64_t test_seed(void) {
  static _Atomic uint64_t seed; // 0: not chosen yet
  atomic_store(&seed_asked, 1);
  uint64_t known = atomic_load(&seed);
  if (known) return known;
  const char *given = getenv("ECRU_TEST_SEED");
  uint64_t chosen = given ? strtoull(given, NULL, 0) : 0;
  if (!chosen) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t mix = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid() << 40;
    chosen = test_random(&mix) | 1;
  }
  atomic_compare_exchange_strong(&seed, &known, chosen);
  return atomic_load(&seed);
}

uint64_t test_random(uint64_t *state) {
  uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
  mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
  return mixed ^ mixed >> 31;
}

uint64_t test_random_below(uint64_t *state, uint64_t bound) { return test_random(state) % bound; }

long test_scaled(long full) {
  const char *given = getenv("ECRU_TEST_SCALE");
  long percent = given ? strtol(given, NULL, 10) : 100;
  long scaled = (long)((double)full * (double)percent / 100.0);
  return scaled > 0 ? scaled : 1;
}

// ---- running ------------------------------------------------------------------------------------------------------

static void too_long(void) {
  write_text("still running: ");
  write_text(running_name);
  write_text("\n");
}

static void dump_all(void) {
  if (ecru_dump) ecru_dump(STDERR_FILENO, 0);
}

static int run_here(const test_case *test) {
  static char name[256];
  snprintf(name, sizeof name, "%s.%s", test->suite, test->name);
  running_name = name;
  const char *given = getenv("ECRU_TEST_SECONDS");
  unsigned seconds = given ? (unsigned)strtoul(given, NULL, 10) : 0;
  if (seconds) test_system_watch(seconds, too_long, dump_all);
  test->run();
  int status = ecru_stop ? ecru_stop() : 0;
  if (status != 0) test_fail(__FILE__, __LINE__, "ecru_stop: %d %s", status, name_of_status(status));
  return 0;
}

static int run_all(void) {
  int passed = 0, failed = 0, skipped = 0;
  for (const test_case *test = first_case; test; test = test->next) {
    int how = test_system_run(test, run_here);
    const char *verdict = how == 0 ? "pass" : how == EXIT_SKIPPED ? "skip" : "FAIL";
    printf("%s %s.%s", verdict, test->suite, test->name);
    if (how != 0 && how != EXIT_SKIPPED && how != EXIT_FAILED)
      printf(how < 0 ? " (signal %d)" : " (exit code %d)", abs(how));
    printf("\n");
    fflush(stdout);
    how == 0 ? passed++ : how == EXIT_SKIPPED ? skipped++ : failed++;
  }
  printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? EXIT_FAILED : 0;
}

static int list(void) {
  for (const test_case *test = first_case; test; test = test->next) printf("%s.%s\n", test->suite, test->name);
  return 0;
}

static const test_case *find(const char *name) {
  for (const test_case *test = first_case; test; test = test->next) {
    size_t suite_bytes = strlen(test->suite);
    if (strncmp(name, test->suite, suite_bytes) == 0 && name[suite_bytes] == '.' &&
        strcmp(name + suite_bytes + 1, test->name) == 0)
      return test;
  }
  return NULL;
}

int main(int argc, char **argv) {
  test_system_begin(argv[0]);
  if (argc == 1) return run_all();
  if (argc == 2 && strcmp(argv[1], "--list") == 0) return list();
  const test_case *test = argc == 2 ? find(argv[1]) : NULL;
  if (test) return run_here(test);
  fprintf(stderr, "usage: %s [--list | suite.name]\n", argv[0]);
  return EXIT_USAGE;
}
