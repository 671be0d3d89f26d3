// tests/death/host.c: what a host must not do, and the report when all that is left are hosts that sleep (G15, D1).
#include <signal.h>

#include "goroutines.h"
#include "tests/strangers.h"

static void exit_from_first(void) {
  CHECK_EQ(ecru_host_enter(NULL), 0);
  ecru_exit();
}
TEST(host, its_first_goroutine_cannot_exit) { // G15
  test_death(exit_from_first, -SIGABRT, "in the first goroutine of a host");
}

static void *end_as_host(void *unused) {
  CHECK_EQ(ecru_host_enter(NULL), 0);
  return unused;
}
static void end_thread_as_host(void) { (void)pthread_join(start_thread(end_as_host, NULL), NULL); }
TEST(host, its_thread_cannot_end_before_it_has_left) { // G15
  test_death(end_thread_as_host, -SIGABRT, "the thread still hosts goroutines");
}

static void receive_for_ever(void *unused) {
  (void)unused;
  ecru_chan *never = signals();
  (void)ecru_chan_recv(never, NULL);
}
static void *host_sleepers(void *unused) {
  CHECK_EQ(ecru_host_enter(NULL), 0);
  go_flagged(ECRU_HOSTED, receive_for_ever, NULL);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  receive_for_ever(NULL);
  return unused;
}
static void sleep_on_futexes(void) {
  pthread_t other = start_thread(host_sleepers, NULL);
  (void)host_sleepers(NULL);
  (void)pthread_join(other, NULL);
}
static void sleep_in_poller(void) {
  ecru_io *a, *b;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  char byte = 'x';
  CHECK_EQ(ecru_io_write(a, &byte, 1, NULL), 1);
  CHECK_EQ(ecru_io_read(b, &byte, 1), 1);
  (void)host_sleepers(NULL);
}
TEST(host, a_deadlock_is_reported_though_hosts_sleep) { // G15, D1
  only_where_no_strangers_are();
  test_death(sleep_on_futexes, 2, "all goroutines are asleep");
  test_death(sleep_on_futexes, 2, "a host: goroutine ");
  test_death(sleep_in_poller, 2, "all goroutines are asleep");
}

static void nap_in_between(void *unused) {
  (void)unused;
  for (int i = 0; i < 300; i++) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
}
static void compute_and_nap(void) {
  CHECK_EQ(ecru_host_enter(NULL), 0);
  int64_t end = wall_ns() + 200 * ECRU_MILLISECOND;
  SPIN_UNTIL(wall_ns() >= end); // all others sleep
  go_flagged(ECRU_HOSTED, nap_in_between, NULL);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_sleep(200 * ECRU_MICROSECOND), 0);
  CHECK_EQ(ecru_host_leave(), 0);
  exit(7);
}
TEST(host, no_deadlock_is_reported_while_one_runs_or_naps) { // G15, D1
  test_death(compute_and_nap, 7, NULL);
}
