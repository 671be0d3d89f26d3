/// tests/unit/ends.c: counted ends of channels (C8).
#include "chans.h"

static ecru_tx *tx_of(ecru_chan *chan) {
  ecru_tx *tx = NULL;
  CHECK_EQ(ecru_tx_open(&tx, chan), 0);
  return tx;
}
static ecru_rx *rx_of(ecru_chan *chan) {
  ecru_rx *rx = NULL;
  CHECK_EQ(ecru_rx_open(&rx, chan), 0);
  return rx;
}

TEST(ends, refuse_null) { // C8
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_tx *tx = (ecru_tx *)chan;
  ecru_rx *rx = (ecru_rx *)chan;
  int value = 0;
  CHECK_EQ(ecru_tx_open(NULL, chan), ECRU_EINVAL);
  CHECK_EQ(ecru_tx_open(&tx, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_rx_open(NULL, chan), ECRU_EINVAL);
  CHECK_EQ(ecru_rx_open(&rx, NULL), ECRU_EINVAL);
  CHECK(tx == (ecru_tx *)chan && rx == (ecru_rx *)chan);
  CHECK_EQ(ecru_tx_send(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_tx_try_send(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_rx_recv(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_rx_try_recv(NULL, &value), ECRU_EINVAL);
  CHECK(ecru_tx_retain(NULL) == NULL && ecru_rx_retain(NULL) == NULL);
  CHECK(ecru_tx_chan(NULL) == NULL && ecru_rx_chan(NULL) == NULL);
  ecru_tx_release(NULL);
  ecru_rx_release(NULL);
  ecru_chan_release(chan);
}

static void check_last_sender_closes(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 2);
  ecru_tx *first = tx_of(chan), *second = tx_of(chan), *also_second = ecru_tx_retain(second);
  CHECK(also_second == second);
  CHECK(ecru_tx_chan(first) == chan);
  int value = 1;
  CHECK_EQ(ecru_tx_send(first, &value), 0);
  ecru_tx_release(first);
  ecru_tx_release(second);
  CHECK_EQ(ecru_chan_is_closed(chan), 0); // one handle on the second end is left
  value = 2;
  CHECK_EQ(ecru_tx_try_send(also_second, &value), 0);
  CHECK_EQ(ecru_tx_try_send(also_second, &value), ECRU_EAGAIN);
  ecru_tx_release(also_second);
  CHECK_EQ(ecru_chan_is_closed(chan), 1);
  CHECK_EQ(recv_int(chan), 1);
  CHECK_EQ(recv_int(chan), 2);
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_tx_open(&first, chan), ECRU_ECLOSED);
  ecru_rx *rx;
  CHECK_EQ(ecru_rx_open(&rx, chan), ECRU_ECLOSED);
  ecru_chan_release(chan);
}

TEST(ends, the_last_sending_end_closes_the_channel) { // C8, C4
  with_procs(1, check_last_sender_closes);
}

static void sum_drops(void *context, void *element) { *(int *)context += *(int *)element; }

static void check_last_receiver_drops(void *unused) {
  (void)unused;
  int sum = 0, value = 3;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.dropped = sum_drops;
  options.context = &sum;
  ecru_chan *chan;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), 3, &options), 0);
  ecru_rx *first = rx_of(chan), *second = rx_of(chan);
  CHECK(ecru_rx_chan(first) == chan);
  for (int i = 1; i <= 3; i++) send_int(chan, i);
  CHECK_EQ(ecru_rx_recv(first, &value), 0);
  CHECK_EQ(value, 1);
  send_int(chan, 10); // the ring wraps
  ecru_rx_release(first);
  CHECK_EQ(ecru_rx_try_recv(second, &value), 0);
  CHECK_EQ(value, 2);
  CHECK_EQ(sum, 0);
  ecru_rx_release(ecru_rx_retain(second));
  CHECK_EQ(ecru_chan_is_closed(chan), 0);
  ecru_rx_release(second);
  CHECK_EQ(sum, 13);
  CHECK_EQ(ecru_chan_len(chan), 0);
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
  ecru_chan_release(chan);
  CHECK_EQ(sum, 13);
}

TEST(ends, the_last_receiving_end_drops_what_is_left) { // C8, C6
  with_procs(1, check_last_receiver_drops);
}

struct stuck {
  ecru_tx *tx;
  ecru_chan *done;
  int status;
};
static void send_until_closed(void *argument) {
  struct stuck *stuck = argument;
  int value = 1;
  while ((stuck->status = ecru_tx_send(stuck->tx, &value)) == 0) {}
  ecru_tx_release(stuck->tx);
  finish(stuck->done);
}

static void check_senders_wake(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 1), *done = chan_of(0, 0);
  ecru_rx *rx = rx_of(chan);
  struct stuck stuck[5];
  for (int i = 0; i < 5; i++) {
    stuck[i] = (struct stuck){tx_of(chan), done, 0};
    go(send_until_closed, &stuck[i]);
  }
  UNTIL(parked_senders(chan) == 5);
  ecru_chan_release(chan); // the ends keep it alive
  ecru_rx_release(rx);
  await(done, 5);
  for (int i = 0; i < 5; i++) CHECK_EQ(stuck[i].status, ECRU_ECLOSED);
  ecru_chan_release(done);
}

TEST(ends, senders_wake_when_the_last_receiver_goes) { // C8
  with_procs(1, check_senders_wake);
}
TEST(ends, senders_wake_when_the_last_receiver_goes_in_a_thread) { // C8, G10
  check_senders_wake(NULL);
}

struct producer {
  ecru_tx *tx;
  long count;
};
static void produce(void *argument) {
  struct producer *producer = argument;
  for (long i = 0; i < producer->count; i++) CHECK_EQ(ecru_tx_send(producer->tx, &i), 0);
  ecru_tx_release(producer->tx);
}

static void check_no_value_lost_at_close(void *unused) {
  (void)unused;
  for (int round = 0; round < test_scaled(50); round++) {
    ecru_chan *chan = chan_of(sizeof(long), (size_t)round % 4);
    struct producer producers[8];
    long expected = 0, got = 0, value;
    for (int i = 0; i < 8; i++) {
      producers[i] = (struct producer){tx_of(chan), i * 10};
      expected += producers[i].count;
    }
    for (int i = 0; i < 8; i++) go(produce, &producers[i]);
    while (ecru_chan_recv(chan, &value) == 0) got++; // until the last producer has gone
    CHECK_EQ(got, expected);
    ecru_chan_release(chan);
  }
}

TEST(ends, the_close_by_the_last_sender_loses_nothing) { // C8, C4
  with_procs(2, check_no_value_lost_at_close);
}

static void check_ends_in_select(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_tx *tx = tx_of(chan);
  ecru_rx *rx = rx_of(chan);
  int in = 5, out = 0;
  ecru_case cases[] = {send_case(ecru_tx_chan(tx), &in), recv_case(ecru_rx_chan(rx), &out)};
  CHECK_EQ(ecru_select(cases, 2, 0), 0);
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(out, 5);
  ecru_tx_release(tx);
  CHECK_EQ(ecru_select(cases + 1, 1, 0), 0);
  CHECK_EQ(cases[1].status, ECRU_ECLOSED);
  ecru_rx_release(rx);
  ecru_chan_release(chan);
}

TEST(ends, stand_in_select_through_their_channel) { // C8, S1
  with_procs(1, check_ends_in_select);
}

static void check_release_after_close(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_tx *tx = tx_of(chan);
  ecru_rx *rx = rx_of(chan);
  send_int(chan, 8);
  CHECK_EQ(ecru_chan_close_with(chan, ECRU_EIO), 0);
  ecru_tx_release(tx);
  int value = 0;
  CHECK_EQ(ecru_rx_recv(rx, &value), 0);
  CHECK_EQ(ecru_rx_recv(rx, &value), ECRU_EIO); // the first close counts
  ecru_rx_release(rx);
  ecru_chan_release(chan);
}

TEST(ends, a_close_by_hand_comes_first) { // C8, C4
  with_procs(1, check_release_after_close);
}
