/// tests/death/time.c: wrong use of timers.
#include "syncs.h"

#include <signal.h>

static ecru_timer *timer;

static void wait_for_it(void *unused) {
  (void)unused;
  ecru_timer_wait(timer, NULL);
}

static void select_it(void *unused) {
  (void)unused;
  ecru_case one = {.kind = ECRU_CASE_TIMER, .object = timer};
  ecru_select(&one, 1, 0);
}

static void destroy_under(ecru_fn waiter) {
  ecru_timer_create(&timer, 1000 * ECRU_SECOND);
  start(waiter, NULL);
  all_others_parked();
  ecru_timer_destroy(timer);
}
static void destroy_waited_for(void *unused) {
  (void)unused;
  destroy_under(wait_for_it);
}
static void destroy_selected(void *unused) {
  (void)unused;
  destroy_under(select_it);
}

static void under_a_waiter(void) { in_virtual_time(destroy_waited_for); }
static void under_a_select(void) { in_virtual_time(destroy_selected); }

TEST(timer, destroying_what_somebody_waits_for_is_a_panic) { // K6, L2
  test_death(under_a_waiter, -SIGABRT, "ecru: panic: ecru_timer_destroy(");
  test_death(under_a_select, -SIGABRT, "somebody waits for it");
}
