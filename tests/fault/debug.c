// tests/fault/debug.c: dumps and reports when there is no memory and no thread to be had.
#include "platform/fault.h"
#include "tests/dumps.h"

#include <signal.h>

static ecru_chan *chan;

static void receive(void *unused) {
  (void)unused;
  int value;
  ecru_chan_recv(chan, &value);
}

/// Goroutines that wait at many different depths: each a group of its own, more than the first block of memory holds.
__attribute__((noinline)) static int descend(int depth) {
  volatile int here = depth;
  if (depth > 0) return descend(depth - 1) + here;
  receive(NULL);
  return here;
}
static void wait_at_depth(void *depth) { descend(*(int *)depth); }

enum { DEPTHS = 45, EACH = 40 };

static void begin(void) {
  static int depths[DEPTHS];
  CHECK_EQ(ecru_chan_create(&chan, sizeof(int), 0), 0);
  for (int i = 0; i < DEPTHS; i++) depths[i] = i;
  for (int i = 0; i < DEPTHS * EACH; i++) CHECK_EQ(ecru_go(wait_at_depth, &depths[i % DEPTHS]), 0);
  await_waiting(DEPTHS * EACH);
}

static void end(void) {
  ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(chan);
}

TEST(dump_fault, text_is_complete_without_memory) { // D2
  begin();
  for (int nth = 1; nth <= 8; nth++) {
    ecru__fault_set(ECRU__FAULT_ALLOC, (uint64_t)nth, 1);
    char *text = dump_taken(ECRU_DUMP_TEXT);
    CHECK_EQ(count_of(text, "  goroutine "), DEPTHS * EACH);
    CHECK_EQ(count_of(text, "\n0 goroutines"), 0);
    free(text);
  }
  end();
}

TEST(dump_fault, json_is_complete_without_memory) { // D2
  begin();
  ecru__fault_set(ECRU__FAULT_ALLOC, 1, 1);
  char *text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  CHECK_EQ(count_of(text, "{\"id\":"), DEPTHS * EACH);
  free(text);
  end();
}

TEST(dump_fault, sigquit_waits_for_a_thread_to_be_had) { // D2
  CHECK(freopen("/dev/null", "w", stderr) != NULL);
  ecru_yield(); // starts it
  CHECK_EQ(ecru_dump_on_sigquit(), 0);
  ecru__fault_set(ECRU__FAULT_THREAD, 1, 0);
  CHECK_EQ(kill(getpid(), SIGQUIT), 0);
  while (ecru__fault_count(ECRU__FAULT_THREAD) < 2) ecru_sleep(ECRU_MILLISECOND); // the second attempt succeeds
}
