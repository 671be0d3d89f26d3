/// tests/system.h: what the runner needs of the system: processes and time. system_posix.c, system_win32.c.
#ifndef ECRU_TESTS_SYSTEM_H
#define ECRU_TESTS_SYSTEM_H
#include <stddef.h>

#include "test.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 64, EXIT_SKIPPED = 77 };

/// Before anything else. program: what main was told.
void test_system_begin(const char *program);
/// Waits for a while, or for ever.
void test_system_pause(void);
/// In so many seconds calls told, then dump, for which there are three more, and ends the process as failed.
void test_system_watch(unsigned seconds, void (*told)(void), void (*dump)(void));
/// Runs the test in a process of its own, by run_here if it is a fork. returns: its exit code, or minus the number of a signal.
int test_system_run(const test_case *test, int (*run_here)(const test_case *test));
/// To stderr, all of it. (runner.c)
void test_write(const char *text, size_t bytes);
/// suite.name of the test that runs here. (runner.c)
const char *test_running_name(void);

#endif
