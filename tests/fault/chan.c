/// tests/fault/chan.c: channels and select when memory runs out: an error code, nothing sent, nothing lost.
#include "chans.h"
#include "platform/fault.h"

/// Runs operation with its n-th allocation failing, for n = 1, 2 ... until it needs no more. returns: how many failed.
static int fail_each(int (*operation)(void)) {
  for (uint64_t n = 1;; n++) {
    ecru__fault_set(ECRU__FAULT_ALLOC, n, 0);
    int status = operation();
    uint64_t calls = ecru__fault_count(ECRU__FAULT_ALLOC);
    ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
    if (calls < n) {
      CHECK(status >= 0);
      return (int)n - 1;
    }
    CHECK_EQ(status, ECRU_ENOMEM);
  }
}

static ecru_chan *chan;
static ecru_chan_options options;
static int create(void) {
  ecru_chan *untouched = (ecru_chan *)&untouched;
  chan = untouched;
  int status = ecru_chan_create_with(&chan, sizeof(int), 4, &options);
  CHECK(status == 0 || chan == untouched);
  if (status == 0) ecru_chan_release(chan);
  return status;
}

TEST(chan, creation_survives_without_memory) { // C1
  options = (ecru_chan_options)ECRU_CHAN_OPTIONS;
  CHECK_EQ(fail_each(create), 1);
  options.unbounded = 1;
  CHECK_EQ(fail_each(create), 2);
}

static int next_value;
static int send_next(void) {
  int status = ecru_chan_send(chan, &next_value);
  if (status == 0) next_value++;
  return status;
}
static int try_send_next(void) {
  int status = ecru_chan_try_send(chan, &next_value);
  if (status == 0) next_value++;
  return status;
}
static int select_send_next(void) {
  ecru_case cases[] = {recv_case(NULL, NULL), send_case(chan, &next_value)};
  int status = ecru_select(cases, 2, 0);
  if (status >= 0) next_value++;
  return status;
}

static void grow(void *unused) {
  (void)unused;
  options = (ecru_chan_options)ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), 0, &options), 0);
  int failed = 0;
  for (int i = 0; i < 300; i++) failed += fail_each(i % 3 == 0 ? send_next : i % 3 == 1 ? try_send_next : select_send_next);
  CHECK(failed >= 6); // each doubling
  for (int i = 0; i < 300; i++) CHECK_EQ(recv_int(chan), i); // nothing of what failed, everything else
  ecru_chan_release(chan);
}

TEST(chan, an_unbounded_channel_that_cannot_grow_says_so) { // C1, C11
  with_procs(1, grow);
}

struct big {
  int number;
  char more[1000];
};
static struct big big;
static long dropped;
static void sum_big(void *context, void *element) {
  (void)context;
  dropped += ((struct big *)element)->number;
}
static int send_big(void) {
  int status = ecru_chan_send(chan, &big);
  big.number += status == 0;
  return status;
}
static int select_send_big(void) {
  ecru_case c = send_case(chan, &big);
  int status = ecru_select(&c, 1, 0);
  big.number += status == 0;
  return status;
}

static void drop(void *unused) {
  (void)unused;
  options = (ecru_chan_options)ECRU_CHAN_OPTIONS;
  options.full = ECRU_FULL_DROP_OLDEST;
  options.dropped = sum_big;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof big, 2, &options), 0);
  big.number = 1;
  CHECK_EQ(fail_each(send_big) + fail_each(send_big), 0);
  CHECK_EQ(fail_each(send_big), 1);
  CHECK_EQ(fail_each(select_send_big), 1);
  CHECK_EQ(dropped, 1 + 2);
  ecru_chan_release(chan);
  CHECK_EQ(dropped, 1 + 2 + 3 + 4);
}

TEST(chan, a_victim_without_a_place_is_not_dropped) { // C6, C11
  with_procs(1, drop);
}

static int select_many(void) {
  ecru_case cases[40];
  int value;
  for (int i = 0; i < 40; i++) cases[i] = recv_case(chan, &value);
  int picked = ecru_select(cases, 40, 0);
  if (picked >= 0) send_int(chan, 1);
  return picked;
}
static int select_until(void) {
  ecru_case c = recv_case(NULL, NULL);
  int status = ecru_select_until(&c, 1, 0, ecru_after(ECRU_SECOND));
  return status == ECRU_ETIMEDOUT ? 0 : status;
}

static void select_without_memory(void *unused) {
  (void)unused;
  chan = chan_of(sizeof(int), 1);
  send_int(chan, 1);
  CHECK_EQ(fail_each(select_many), 1);
  CHECK_EQ(ecru_chan_len(chan), 1);
  CHECK(fail_each(select_until) >= 1); // the heap of timers grows at its first use
  ecru_chan_release(chan);
}

TEST(select, many_cases_without_memory_say_so) { // S1, S4, C11
  ecru_options in_virtual_time = ECRU_OPTIONS; // no deadline has passed before the select begins
  in_virtual_time.maxprocs = 1;
  CHECK_EQ(ecru_clock_virtual_create(&in_virtual_time.clock, 1), 0);
  CHECK_EQ(ecru_run_with(&in_virtual_time, select_without_memory, NULL), 0);
  ecru_clock_destroy(in_virtual_time.clock);
}

static int open_ends(void) {
  ecru_tx *tx = NULL;
  ecru_rx *rx = NULL;
  int status = ecru_tx_open(&tx, chan);
  if (status == 0) status = ecru_rx_open(&rx, chan);
  CHECK_EQ(ecru_chan_is_closed(chan), 0);
  ecru_tx_release(tx); // a keeper holds it open
  ecru_rx_release(rx);
  return status;
}

static void open_without_memory(void *unused) {
  (void)unused;
  chan = chan_of(sizeof(int), 1);
  ecru_tx *keeper;
  ecru_rx *other_keeper;
  CHECK_EQ(ecru_tx_open(&keeper, chan), 0);
  CHECK_EQ(ecru_rx_open(&other_keeper, chan), 0);
  CHECK_EQ(fail_each(open_ends), 2);
  ecru_tx_release(keeper);
  ecru_rx_release(other_keeper);
  ecru_chan_release(chan);
}

TEST(ends, opening_survives_without_memory) { // C8
  with_procs(1, open_without_memory);
}
