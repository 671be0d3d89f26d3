// tests/death/exception.cpp: an exception that nobody in a goroutine catches ends the process, with the goroutine's name (G11).
extern "C" {
#include "runtime/sanitize.h"
}
#include "tests/test.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ecru/ecru.h>
#include <exception>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>

namespace {

void throw_boom(void *) { throw std::runtime_error("boom"); }

void sleep_and_throw(void *) {
  ecru_sleep(ECRU_MILLISECOND);
  ecru_yield();
  throw_boom(nullptr);
}

void start(ecru_fn fn, const char *name, unsigned flags) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = name;
  options.flags = flags;
  ecru_go_with(&options, fn, nullptr);
  for (;;) pause();
}

void anonymous() { start(throw_boom, nullptr, 0); }
void named() { start(sleep_and_throw, "bomber", 0); }
void on_own_thread() { start(sleep_and_throw, "hermit", ECRU_OWN_THREAD); }
void first() { ecru_run(throw_boom, nullptr); }

void leave_with_7() {
  std::fputs("the program's own terminate handler\n", stderr);
  _exit(7);
}
void with_terminate_handler() {
  std::set_terminate(leave_with_7);
  named();
}

void catch_it(void *done) {
  try {
    sleep_and_throw(nullptr);
  } catch (const std::runtime_error &) {
    *static_cast<volatile bool *>(done) = true;
  }
}

void end_thread(void *) { pthread_exit(nullptr); }
void thread_ended() { start(end_thread, "guest", 0); }

} // namespace

TEST(exception, uncaught_one_names_the_goroutine) { // G11
  test_death(anonymous, -SIGABRT, "ecru: uncaught exception in goroutine ");
  test_death(named, -SIGABRT, " \"bomber\"");
  test_death(named, -SIGABRT, "created by a foreign thread at ");
  test_death(first, -SIGABRT, "ecru: uncaught exception in goroutine 1");
}

TEST(exception, uncaught_one_says_what_it_is) { // G11
  test_death(named, -SIGABRT, "boom");
}

TEST(exception, uncaught_one_on_a_thread_of_its_own) { // G11, G10
  test_death(on_own_thread, -SIGABRT, "ecru: uncaught exception in goroutine ");
  test_death(on_own_thread, -SIGABRT, "\"hermit\"");
}

TEST(exception, terminate_handler_of_the_program_is_called) { // G11
  test_death(with_terminate_handler, 7, "the program's own terminate handler");
  test_death(with_terminate_handler, 7, "ecru: uncaught exception in goroutine ");
}

TEST(exception, caught_one_says_nothing) { // G11
  bool done = false;
  CHECK_EQ(ecru_run(catch_it, &done), 0);
  CHECK(done);
}

TEST(exception, pthread_exit_in_a_goroutine_is_told) { // G11
#if defined(ECRU__TSAN)
  SKIP("ThreadSanitizer stops it before it unwinds anything");
#endif
  test_death(thread_ended, -SIGABRT, "under goroutine 1 \"guest\"");
}
