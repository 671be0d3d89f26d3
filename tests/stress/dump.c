// tests/stress/dump.c: dumps taken all the time, from everywhere, disturb nobody: nothing is lost, nothing hangs.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/dumps.h"

static _Atomic int over;

static int nowhere(void) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

static void *dump_always(void *unused) {
  (void)unused;
  int fd = nowhere();
  for (int i = 0; !atomic_load(&over); i++) CHECK_EQ(ecru_dump(fd, i % 2), 0);
  close(fd);
  return NULL;
}

static void dump_and_yield(void *unused) {
  (void)unused;
  int fd = nowhere();
  for (int i = 0; !atomic_load(&over); i++) {
    CHECK_EQ(ecru_dump(fd, i % 2), 0);
    ecru_yield();
  }
  close(fd);
}

static void *count_always(void *unused) {
  (void)unused;
  ecru_counters counters = {.size = sizeof counters};
  while (!atomic_load(&over)) CHECK_EQ(ecru_get_counters(&counters), 0);
  return NULL;
}

struct pair { ecru_chan *there, *back; long rounds; };

static void ping(void *argument) {
  struct pair *pair = argument;
  for (long i = 0, value = 0; i < pair->rounds; i++) {
    CHECK_EQ(ecru_chan_send(pair->there, &i), 0);
    CHECK_EQ(ecru_chan_recv(pair->back, &value), 0);
    CHECK_EQ(value, i + 1);
  }
  CHECK_EQ(ecru_chan_close(pair->there), 0);
}

static void pong(void *argument) {
  struct pair *pair = argument;
  for (long value; ecru_chan_recv(pair->there, &value) == 0;) {
    value++;
    CHECK_EQ(ecru_chan_send(pair->back, &value), 0);
  }
}

/// Ends by its deadline while it waits: the token's claim meets the dump's.
static void time_out(void *rounds) {
  for (long i = 0; i < *(long *)rounds; i++) {
    CHECK_EQ(ecru_deadline_enter(ecru_after(50 * ECRU_MICROSECOND)), 0);
    CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ETIMEDOUT);
    CHECK_EQ(ecru_token_leave(), 0);
  }
}

struct waiting { ecru_token *token; ecru_waitgroup *all; };

static void wait_for_cancel(void *argument) {
  struct waiting *waiting = argument;
  CHECK_EQ(ecru_token_enter(waiting->token), 0);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
}

/// Many are cancelled at once while dumps look at them.
static void cancel_crowds(void *rounds) {
  for (long i = 0; i < *(long *)rounds; i++) {
    struct waiting waiting;
    CHECK_EQ(ecru_token_create(&waiting.token, NULL, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_waitgroup_create(&waiting.all), 0);
    for (int k = 0; k < 50; k++) CHECK_EQ(ecru_waitgroup_go(waiting.all, wait_for_cancel, &waiting), 0);
    for (int k = 0; k < 3; k++) ecru_yield();
    CHECK_EQ(ecru_token_cancel(waiting.token, 0), 0);
    CHECK_EQ(ecru_waitgroup_wait(waiting.all), 0);
    ecru_waitgroup_destroy(waiting.all);
    ecru_token_release(waiting.token);
  }
}

static void all_of_it(void *unused) {
  (void)unused;
  enum { PAIRS = 8 };
  struct pair pairs[PAIRS];
  long rounds = test_scaled(20000), timeouts = test_scaled(2000), crowds = test_scaled(200);
  ecru_waitgroup *work;
  CHECK_EQ(ecru_waitgroup_create(&work), 0);
  for (int i = 0; i < PAIRS; i++) {
    pairs[i].rounds = rounds;
    CHECK_EQ(ecru_chan_create(&pairs[i].there, sizeof(long), 0), 0);
    CHECK_EQ(ecru_chan_create(&pairs[i].back, sizeof(long), 0), 0);
    CHECK_EQ(ecru_waitgroup_go(work, ping, &pairs[i]), 0);
    CHECK_EQ(ecru_waitgroup_go(work, pong, &pairs[i]), 0);
  }
  for (int i = 0; i < 4; i++) CHECK_EQ(ecru_waitgroup_go(work, time_out, &timeouts), 0);
  CHECK_EQ(ecru_waitgroup_go(work, cancel_crowds, &crowds), 0);
  CHECK_EQ(ecru_go(dump_and_yield, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(work), 0);
  atomic_store(&over, 1);
  for (int i = 0; i < PAIRS; i++) {
    ecru_chan_release(pairs[i].there);
    ecru_chan_release(pairs[i].back);
  }
  ecru_waitgroup_destroy(work);
}

TEST(dump, disturbs_nobody) { // D2
  pthread_t threads[3];
  CHECK_EQ(pthread_create(&threads[0], NULL, dump_always, NULL), 0);
  CHECK_EQ(pthread_create(&threads[1], NULL, dump_always, NULL), 0);
  CHECK_EQ(pthread_create(&threads[2], NULL, count_always, NULL), 0);
  CHECK_EQ(ecru_run(all_of_it, NULL), 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void nothing(void *unused) { (void)unused; }

TEST(dump, while_the_runtime_starts_and_stops) { // D2, G13
  pthread_t threads[2];
  CHECK_EQ(pthread_create(&threads[0], NULL, dump_always, NULL), 0);
  CHECK_EQ(pthread_create(&threads[1], NULL, count_always, NULL), 0);
  long starts = test_scaled(300);
  for (long i = 0; i < starts; i++) CHECK_EQ(ecru_run(nothing, NULL), 0);
  atomic_store(&over, 1);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}
