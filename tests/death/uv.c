// A program in which all sleep is told so, whether or not libuv's threads are about (D1).
#include "tests/strangers.h"
#include "tests/test.h"
#include <ecru/ecru.h>

static void look_up_and_wait_for_nobody(void *unused) {
  ecru_address address;
  ecru_chan *chan = NULL;
  (void)unused;
  ecru_resolve("localhost", "tcp", &address, 1);
  ecru_chan_create(&chan, 0, 0);
  ecru_chan_recv(chan, NULL);
}
static void deadlock_after_a_look_up(void) { ecru_run(look_up_and_wait_for_nobody, NULL); }

TEST(uv, a_deadlock_is_seen_although_the_loop_has_threads) { // D1
  only_where_no_strangers_are();
  test_death(deadlock_after_a_look_up, 2, "chan receive");
}
