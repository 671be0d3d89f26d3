/// tests/fault/host.c: threads become hosts, and hosts start goroutines, while memory runs out: an error code, and nothing is half done.
#include "goroutines.h"
#include "platform/fault.h"

/// Runs operation with its n-th call of a seam failing, for n = 1, 2 ... until it needs no more. returns: how many failed.
static int fail_each(int kind, int (*operation)(void)) {
  for (uint64_t n = 1;; n++) {
    ecru__fault_set(kind, n, 0);
    int status = operation();
    uint64_t calls = ecru__fault_count(kind);
    ecru__fault_set(kind, 0, 0);
    if (calls < n) {
      CHECK_EQ(status, 0);
      return (int)n - 1;
    }
    CHECK(status == ECRU_ENOMEM || status == 0); // what fails may be spare (a cache)
  }
}

static int enter_and_leave(void) {
  int status = ecru_host_enter(NULL);
  CHECK_EQ(ecru_is_hosted(), status == 0);
  if (status == 0) CHECK_EQ(ecru_host_leave(), 0);
  CHECK(!ecru_is_hosted());
  return status;
}
static void *enter_on_a_thread(void *unused) {
  (void)unused;
  return enter_and_leave() == 0 ? NULL : &fail_each;
}
static int enter_while_there_is_one(void) { // a second processor for hosts, once
  void *failed;
  CHECK_EQ(pthread_join(start_thread(enter_on_a_thread, NULL), &failed), 0);
  return failed ? ECRU_ENOMEM : 0;
}
TEST(host, to_become_one_needs_memory_or_says_so) { // G15
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_sleep(1), 0); // this thread is known
  CHECK(fail_each(ECRU__FAULT_ALLOC, enter_and_leave) >= 2);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_sleep(1), 0);
  CHECK(fail_each(ECRU__FAULT_MAP, enter_and_leave) >= 1);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_sleep(1), 0);
  CHECK(fail_each(ECRU__FAULT_GUARD, enter_and_leave) >= 1);
  CHECK_EQ(ecru_host_enter(NULL), 0);
  CHECK(fail_each(ECRU__FAULT_ALLOC, enter_while_there_is_one) >= 2);
  CHECK_EQ(ecru_host_leave(), 0);
  CHECK_EQ(ecru_stop(), 0);
}

static long runs;
static void count_run(void *unused) {
  (void)unused;
  runs++;
  (void)ecru_sleep(1);
}
static int run_some(void) {
  static const size_t stacks[] = {0, 16 << 10, 1 << 20};
  long before = runs, started = 0;
  int worst = 0;
  for (int i = 0; i < 30; i++) {
    ecru_go_options options = ECRU_GO_OPTIONS;
    options.flags = ECRU_HOSTED;
    options.stack_bytes = stacks[i % 3];
    int status = ecru_go_with(&options, count_run, NULL);
    if (status == 0) started++;
    else worst = status;
  }
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(runs - before, started);
  return worst;
}
TEST(host, its_goroutines_need_memory_or_say_so) { // G15
  for (int kind = ECRU__FAULT_ALLOC; kind <= ECRU__FAULT_GUARD; kind++) {
    CHECK_EQ(ecru_host_enter(NULL), 0);
    (void)fail_each(kind, run_some);
    CHECK_EQ(ecru_host_leave(), 0);
    CHECK_EQ(ecru_stop(), 0);
  }
}
