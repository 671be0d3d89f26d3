/// tests/unit/chan_order.c: what an operation on a channel happens before (C9), that one that ends early had no effect (C11), and looks.
#include "chans.h"

// ---- C9: what happens before what (ThreadSanitizer agrees) -----------------------------------------------------------

struct shared {
  ecru_chan *chan, *done, *gate;
  long plain; // no atomic: the channel orders it
};

static void bump_and_send(void *argument) {
  struct shared *s = argument;
  for (long i = 0; i < test_scaled(2000); i++) {
    s->plain++; // ours: we hold the turn
    finish(s->chan);
    CHECK_EQ(ecru_chan_recv(s->gate, NULL), 0);
  }
  finish(s->done);
}

static void check_send_before_receive(size_t capacity) {
  struct shared s = {chan_of(0, capacity), chan_of(0, 0), chan_of(0, capacity), 0};
  go(bump_and_send, &s);
  for (long i = 0; i < test_scaled(2000); i++) {
    CHECK_EQ(ecru_chan_recv(s.chan, NULL), 0);
    CHECK_EQ(s.plain++, 2 * i + 1);
    finish(s.gate);
  }
  await(s.done, 1);
  ecru_chan_release(s.chan);
  ecru_chan_release(s.gate);
  ecru_chan_release(s.done);
}
static void check_send_before_receives(void *unused) {
  (void)unused;
  check_send_before_receive(0);
  check_send_before_receive(1);
  check_send_before_receive(5);
}

TEST(chan, a_send_happens_before_its_receive) { // C9
  with_procs(2, check_send_before_receives);
}

static void critical_section(void *argument) {
  struct shared *s = argument;
  for (long i = 0; i < test_scaled(1000); i++) {
    finish(s->chan); // lock: room for one
    s->plain++;
    CHECK_EQ(ecru_chan_recv(s->chan, NULL), 0); // unlock
  }
  finish(s->done);
}

static void check_channel_as_mutex(void *unused) {
  (void)unused;
  struct shared s = {chan_of(0, 1), chan_of(0, 0), NULL, 0};
  for (int i = 0; i < 4; i++) go(critical_section, &s);
  await(s.done, 4);
  CHECK_EQ(s.plain, 4 * test_scaled(1000));
  ecru_chan_release(s.chan);
  ecru_chan_release(s.done);
}

TEST(chan, the_kth_receive_happens_before_the_send_that_takes_its_place) { // C9
  with_procs(2, check_channel_as_mutex);
}

static void recv_to_let_go(void *argument) {
  struct shared *s = argument;
  for (long i = 0; i < test_scaled(1000); i++) {
    s->plain++;
    CHECK_EQ(ecru_chan_recv(s->chan, NULL), 0); // unbuffered: happens before the send completes
    CHECK_EQ(ecru_chan_recv(s->gate, NULL), 0);
  }
  finish(s->done);
}

static void check_receive_before_send_ends(void *unused) {
  (void)unused;
  struct shared s = {chan_of(0, 0), chan_of(0, 0), chan_of(0, 0), 0};
  go(recv_to_let_go, &s);
  for (long i = 0; i < test_scaled(1000); i++) {
    finish(s.chan);
    CHECK_EQ(s.plain, i + 1);
    finish(s.gate);
  }
  await(s.done, 1);
  ecru_chan_release(s.chan);
  ecru_chan_release(s.gate);
  ecru_chan_release(s.done);
}

TEST(chan, a_receive_happens_before_an_unbuffered_send_completes) { // C9
  with_procs(2, check_receive_before_send_ends);
}

static void write_and_close(void *argument) {
  struct shared *s = argument;
  ecru_chan *chan = s->chan;
  s->plain = 1;
  CHECK_EQ(ecru_chan_close(chan), 0);
  ecru_chan_release(chan); // our own reference: who saw the close may have given up its
}

static void check_close_before_receive(void *unused) {
  (void)unused;
  for (long i = 0; i < test_scaled(2000); i++) {
    struct shared s = {.chan = chan_of(sizeof(int), (size_t)i % 2)};
    ecru_chan_retain(s.chan);
    go(write_and_close, &s);
    int value, status = ECRU_EAGAIN;
    switch (i % 4) {
    case 0: status = ecru_chan_recv(s.chan, &value); break;
    case 1: UNTIL((status = ecru_chan_try_recv(s.chan, &value)) != ECRU_EAGAIN); break;
    case 2:
      UNTIL(ecru_chan_is_closed(s.chan));
      status = ECRU_ECLOSED;
      break;
    case 3: status = (send_int(s.gate = chan_of(sizeof(int), 1), 1), ecru_chan_recv(s.chan, &value)); break;
    }
    CHECK_EQ(status, ECRU_ECLOSED);
    CHECK_EQ(s.plain, 1);
    ecru_chan_release(s.gate);
    ecru_chan_release(s.chan);
  }
}

TEST(chan, close_happens_before_a_receive_that_sees_it) { // C9, C4
  with_procs(2, check_close_before_receive);
}

// ---- C11: an operation that ends early had no effect ----------------------------------------------------------------

struct cancelable {
  ecru_chan *chan, *done;
  ecru_token *token;
  int64_t deadline;
  int value, status, again;
};

static void enter_token(struct cancelable *c) {
  CHECK_EQ(c->token ? ecru_token_enter(c->token) : ecru_deadline_enter(c->deadline), 0);
}
static void canceled_send(void *argument) {
  struct cancelable *c = argument;
  enter_token(c);
  c->status = ecru_chan_send(c->chan, &c->value);
  c->again = ecru_chan_send(c->chan, &c->value);
  CHECK_EQ(ecru_token_leave(), 0);
  finish(c->done);
}
static void canceled_recv(void *argument) {
  struct cancelable *c = argument;
  enter_token(c);
  c->status = ecru_chan_recv(c->chan, &c->value);
  c->again = ecru_chan_recv(c->chan, &c->value);
  CHECK_EQ(ecru_token_leave(), 0);
  finish(c->done);
}

static void check_canceled(bool by_deadline) {
  struct cancelable c = {.chan = chan_of(sizeof(int), 1), .done = chan_of(0, 0), .value = 5};
  int expected = by_deadline ? ECRU_ETIMEDOUT : ECRU_ECANCELED;
  c.deadline = ecru_after(2 * ECRU_MILLISECOND);
  if (!by_deadline) CHECK_EQ(ecru_token_create(&c.token, NULL, ECRU_FOREVER), 0);
  send_int(c.chan, 1);
  go(canceled_send, &c);
  if (!by_deadline) {
    UNTIL(parked_senders(c.chan) == 1);
    CHECK_EQ(ecru_token_cancel(c.token, 0), 0);
  }
  await(c.done, 1);
  CHECK_EQ(c.status, expected);
  CHECK_EQ(c.again, expected); // and so does the next
  CHECK_EQ(parked_senders(c.chan), 0);
  CHECK_EQ(recv_int(c.chan), 1);
  int value;
  CHECK_EQ(ecru_chan_try_recv(c.chan, &value), ECRU_EAGAIN); // it was not sent
  ecru_token_release(c.token);

  c.token = NULL;
  c.deadline = ecru_after(2 * ECRU_MILLISECOND);
  if (!by_deadline) CHECK_EQ(ecru_token_create(&c.token, NULL, ECRU_FOREVER), 0);
  go(canceled_recv, &c);
  if (!by_deadline) {
    UNTIL(parked_receivers(c.chan) == 1);
    CHECK_EQ(ecru_token_cancel(c.token, 0), 0);
  }
  await(c.done, 1);
  CHECK_EQ(c.status, expected);
  CHECK_EQ(c.again, expected);
  CHECK_EQ(parked_receivers(c.chan), 0);
  CHECK_EQ(c.value, 5);
  send_int(c.chan, 2);
  CHECK_EQ(recv_int(c.chan), 2);
  ecru_token_release(c.token);
  ecru_chan_release(c.chan);
  ecru_chan_release(c.done);
}

static void check_cancellation(void *unused) {
  (void)unused;
  check_canceled(false);
  check_canceled(true);
}

TEST(chan, a_cancelled_operation_had_no_effect) { // C11, K2
  with_procs(1, check_cancellation);
}
TEST(chan, a_cancelled_operation_had_no_effect_in_parallel) { // C11, K2
  with_procs(2, check_cancellation);
}

static void check_try_is_no_cancellation_point(void *unused) {
  (void)unused;
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_chan *chan = chan_of(sizeof(int), 1);
  int value = 1;
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECANCELED); // there is room, but it is too late
  CHECK_EQ(ecru_chan_len(chan), 0);
  CHECK_EQ(ecru_chan_try_send(chan, &value), 0); // never parks, so it is not one
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECANCELED);
  CHECK_EQ(ecru_chan_try_recv(chan, &value), 0);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  ecru_chan_release(chan);
}

TEST(chan, a_fired_token_stops_what_could_park_and_nothing_else) { // C11, C5, K2
  with_procs(1, check_try_is_no_cancellation_point);
}

static void check_canceled_in_the_middle(void *unused) {
  (void)unused;
  struct member crowd[CROWD];
  struct cancelable c = {.chan = chan_of(sizeof(int), 0), .done = chan_of(0, CROWD), .value = 5};
  CHECK_EQ(ecru_token_create(&c.token, NULL, ECRU_FOREVER), 0);
  for (int i = 0; i < CROWD; i++) { // every third waits under the token
    crowd[i] = (struct member){c.chan, c.done, i, -1, 99};
    if (i % 3 == 0) CHECK_EQ(ecru_token_enter(c.token), 0);
    go(crowd_recv, &crowd[i]);
    if (i % 3 == 0) CHECK_EQ(ecru_token_leave(), 0);
    UNTIL(parked_receivers(c.chan) == i + 1);
  }
  CHECK_EQ(ecru_token_cancel(c.token, 0), 0);
  int expected = 0;
  for (int i = 0; i < CROWD; i++)
    if (i % 3 != 0) send_int(c.chan, expected++);
  await(c.done, CROWD);
  expected = 0;
  for (int i = 0; i < CROWD; i++) {
    CHECK_EQ(crowd[i].status, i % 3 == 0 ? ECRU_ECANCELED : 0);
    CHECK_EQ(crowd[i].value, i % 3 == 0 ? -1 : expected++); // those left are still in order
  }
  ecru_token_release(c.token);
  ecru_chan_release(c.chan);
  ecru_chan_release(c.done);
}

TEST(chan, waiters_that_were_cancelled_are_passed_over) { // C3, C11
  with_procs(1, check_canceled_in_the_middle);
}

// ---- looking without taking -----------------------------------------------------------------------------------------

struct seen {
  int64_t values[8];
  int count, most;
};
static int see(void *context, const void *element) {
  struct seen *s = context;
  memcpy(&s->values[s->count++], element, sizeof s->values[0]);
  return s->count == s->most ? 7 : 0;
}

TEST(chan, what_is_buffered_can_be_looked_at_in_order) { // C7
  ecru_chan *chan = chan_of(sizeof(int64_t), 3);
  struct seen s = {.most = 8};
  CHECK_EQ(ecru_chan_each(chan, see, &s), 0);
  CHECK_EQ(s.count, 0);
  for (int64_t i = 0, out; i < 5; i++) { // around the end of the ring
    CHECK_EQ(ecru_chan_send(chan, &i), 0);
    if (i < 2) CHECK_EQ(ecru_chan_recv(chan, &out), 0);
  }
  CHECK_EQ(ecru_chan_each(chan, see, &s), 0);
  CHECK_EQ(s.count, 3);
  for (int i = 0; i < 3; i++) CHECK_EQ(s.values[i], i + 2);
  s = (struct seen){.most = 2};
  CHECK_EQ(ecru_chan_each(chan, see, &s), 7);
  CHECK_EQ(s.count, 2);
  CHECK_EQ(ecru_chan_len(chan), 3);
  CHECK_EQ(ecru_chan_each(NULL, see, &s), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_each(chan, NULL, &s), ECRU_EINVAL);
  ecru_chan_release(chan);
}
