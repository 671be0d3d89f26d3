/// tests/contract/poller_timerfd.c: the poller's waits on a system without epoll_pwait2. (Other mechanisms do not call it, and keep the same.)
#include "platform/clock.h"
#include "platform/poller.h"
#include "tests/system_calls.h"
#include <pthread.h>

#define MILLISECONDS INT64_C(1000000)

static ecru__poller *poller_without(int error) {
  ecru__poller *made = NULL;
  atomic_store(&plan.no_pwait2, error);
  CHECK_EQ(ecru__poller_create(&made), 0);
  return made;
}

static void sleep_exactly(int error) {
  ecru__poller *p = poller_without(error);
  ecru__poll_event event;
  int64_t best_late_ns = INT64_MAX;
  for (int i = 0; i < 100; i++) {
    int64_t deadline_ns = ecru__clock_now() + 100000;
    int waits = 0;
    for (; ecru__clock_now() < deadline_ns; waits++) CHECK_EQ(ecru__poller_wait(p, &event, 1, deadline_ns), 0);
    CHECK(waits < 50); // it slept
    int64_t late_ns = ecru__clock_now() - deadline_ns;
    if (late_ns < best_late_ns) best_late_ns = late_ns;
  }
  CHECK(best_late_ns < MILLISECONDS / 2); // finer than a millisecond
  ecru__poller_destroy(p);
}

TEST(poller_timerfd, a_deadline_ends_a_wait_and_not_before) { sleep_exactly(ENOSYS); } // K6, serial
TEST(poller_timerfd, a_forbidden_call_is_a_missing_one) { sleep_exactly(EPERM); }      // K6, serial
TEST(poller_timerfd, an_interrupted_question_is_asked_again) {                         // K6, serial
  plan_the_nth(CALL_syscall, EINTR, 1);
  sleep_exactly(ENOSYS);
}

struct sleeper {
  ecru__poller *p;
  _Atomic int stop;
};
static void *sleep_long(void *argument) {
  struct sleeper *s = argument;
  ecru__poll_event event;
  while (!atomic_load(&s->stop)) ecru__poller_wait(s->p, &event, 1, ecru__clock_now() + 3600000 * MILLISECONDS);
  return NULL;
}

TEST(poller_timerfd, a_later_deadline_does_not_put_off_an_earlier_one) { // K6
  struct sleeper s = {.p = poller_without(ENOSYS)};
  ecru__poll_event event;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, sleep_long, &s), 0);
  for (int i = 0; i < 50; i++) {
    int64_t deadline_ns = ecru__clock_now() + MILLISECONDS;
    ecru__poller_wake(s.p); // has the other set the timer anew, before or after us
    while (ecru__clock_now() < deadline_ns) ecru__poller_wait(s.p, &event, 1, deadline_ns); // else the runner's alarm ends it
  }
  atomic_store(&s.stop, 1);
  while (pthread_tryjoin_np(thread, NULL) != 0) ecru__poller_wake(s.p);
  ecru__poller_destroy(s.p);
}
