/// tests/unit/chan.c: channels by rule (C1-C7; C9 and C11: chan_order.c). Counted ends: ends.c. Crowds and races over time: stress/chan.c.
#include "chans.h"

#include <signal.h>

// ---- C1: sizes, handles, options ------------------------------------------------------------------------------------

static void fill(unsigned char *bytes, size_t count, unsigned seed) {
  for (size_t i = 0; i < count; i++) bytes[i] = (unsigned char)(seed * 31 + i * 7 + 1);
}

struct sized {
  ecru_chan *chan, *done;
  size_t bytes;
};

static void send_sized(void *argument) {
  struct sized *s = argument;
  unsigned char *element = malloc(s->bytes + 1);
  for (unsigned i = 0; i < 5; i++) {
    fill(element, s->bytes, i);
    CHECK_EQ(ecru_chan_send(s->chan, element), 0);
    memset(element, 0xEE, s->bytes); // a copy has gone
  }
  free(element);
  finish(s->done);
}

static void check_size(size_t bytes, size_t capacity) {
  struct sized s = {chan_of(bytes, capacity), chan_of(0, 0), bytes};
  go(send_sized, &s);
  unsigned char *expected = malloc(bytes + 1), *got = malloc(bytes + 2);
  for (unsigned i = 0; i < 5; i++) {
    got[bytes] = 0x5A;
    fill(expected, bytes, i);
    CHECK_EQ(ecru_chan_recv(s.chan, got), 0);
    CHECK(memcmp(got, expected, bytes) == 0);
    CHECK_EQ(got[bytes], 0x5A); // and not a byte more
  }
  await(s.done, 1);
  free(expected);
  free(got);
  ecru_chan_release(s.chan);
  ecru_chan_release(s.done);
}

static void check_sizes(void *unused) {
  (void)unused;
  static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 255, 256, 257, 4096, 65535, 65536};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t capacity = 0; capacity <= 3; capacity++) check_size(sizes[i], capacity);
}

TEST(chan, elements_of_every_size_arrive_whole) { // C1, C2, C3
  with_procs(2, check_sizes);
}

TEST(chan, refuses_bad_sizes_and_options) { // C1, C6
  ecru_chan *untouched = (ecru_chan *)&untouched, *chan = untouched;
  CHECK_EQ(ecru_chan_create(NULL, 8, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_create(&chan, 65537, 0), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_chan_create(&chan, SIZE_MAX, 1), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_chan_create(&chan, 8, SIZE_MAX), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_chan_create(&chan, 0, (size_t)-1), ECRU_EOVERFLOW); // a capacity of -1
  CHECK_EQ(ecru_chan_create(&chan, 0, ((size_t)1 << 31) + 1), ECRU_EOVERFLOW);
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.size = 0;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  options.size = sizeof options + 1;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  options.size = sizeof options;
  options.full = 4;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  options.full = -1;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  options.full = ECRU_FULL_DROP_NEWEST;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 0, &options), ECRU_EINVAL);
  options.full = ECRU_FULL_DROP_OLDEST;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 0, &options), ECRU_EINVAL);
  options.unbounded = 1;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  options.full = ECRU_FULL_WAIT;
  options.unbounded = 2;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 1, &options), ECRU_EINVAL);
  CHECK(chan == untouched);
}

TEST(chan, refuses_null) { // C1
  int value = 0;
  CHECK_EQ(ecru_chan_send(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_recv(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_try_send(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_try_recv(NULL, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_close(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_close_with(NULL, ECRU_EIO), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_len(NULL), 0);
  CHECK_EQ(ecru_chan_cap(NULL), 0);
  CHECK_EQ(ecru_chan_element_bytes(NULL), 0);
  CHECK_EQ(ecru_chan_is_closed(NULL), 1);
  CHECK(ecru_chan_retain(NULL) == NULL);
  ecru_chan_release(NULL);
  ecru_chan *chan = chan_of(sizeof value, 1);
  CHECK_EQ(ecru_chan_send(chan, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_try_send(chan, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_close_with(chan, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_close_with(chan, 5), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_is_closed(chan), 0);
  CHECK_EQ(ecru_chan_len(chan), 0);
  ecru_chan_release(chan);
}

TEST(chan, options_of_an_older_caller_are_shorter) { // C1
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.size = offsetof(ecru_chan_options, unbounded); // knew only a name
  options.name = "a name that is longer than the thirty-one bytes kept";
  options.unbounded = 12345; // not the caller's to set
  ecru_chan *chan;
  CHECK_EQ(ecru_chan_create_with(&chan, 8, 3, &options), 0);
  CHECK_EQ(ecru_chan_cap(chan), 3);
  CHECK_EQ(ecru_chan_element_bytes(chan), 8);
  CHECK_STR(chan->name, "a name that is longer than the ");
  ecru_chan_release(chan);
}

static void add_dropped(void *context, void *element) { *(long *)context += *(int *)element; }

static ecru_chan *dropping_chan(size_t element_bytes, size_t capacity, int full, void (*dropped)(void *, void *), void *context) {
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.full = full;
  options.dropped = dropped;
  options.context = context;
  ecru_chan *chan;
  CHECK_EQ(ecru_chan_create_with(&chan, element_bytes, capacity, &options), 0);
  return chan;
}

TEST(chan, last_reference_drops_what_is_left) { // C1, C6
  long sum = 0;
  ecru_chan *chan = dropping_chan(sizeof(int), 4, ECRU_FULL_WAIT, add_dropped, &sum);
  for (int i = 1; i <= 4; i++) send_int(chan, i);
  CHECK_EQ(recv_int(chan), 1);
  CHECK_EQ(recv_int(chan), 2);
  send_int(chan, 10); // the ring wraps
  CHECK(ecru_chan_retain(chan) == chan);
  ecru_chan_release(chan);
  CHECK_EQ(sum, 0);
  CHECK_EQ(ecru_chan_len(chan), 3);
  ecru_chan_release(chan);
  CHECK_EQ(sum, 3 + 4 + 10);
}

static void recv_forever(void *chan) {
  int value;
  ecru_chan_recv(chan, &value);
}

static void release_under_a_receiver(void) {
  ecru_chan *chan = chan_of(sizeof(int), 0);
  go(recv_forever, chan);
  UNTIL(parked_receivers(chan) == 1);
  ecru_chan_release(chan);
}

TEST(chan, releasing_under_a_parked_receiver_is_a_panic) { // C1
  test_death(release_under_a_receiver, -SIGABRT, "ecru_chan_release");
}

static void check_unbounded(void *unused) {
  (void)unused;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  for (size_t room = 0; room <= 3; room++) {
    ecru_chan *chan;
    CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), room, &options), 0);
    CHECK(ecru_chan_cap(chan) == SIZE_MAX);
    int sent = 0, received = 0;
    for (int round = 0; round < 200; round++) { // grows with the ring's head anywhere
      for (int i = 0; i < round; i++) send_int(chan, sent++);
      for (int i = 0; i < round / 2; i++) CHECK_EQ(recv_int(chan), received++);
      CHECK_EQ(ecru_chan_len(chan), sent - received);
    }
    int value = sent++;
    CHECK_EQ(ecru_chan_try_send(chan, &value), 0);
    CHECK_EQ(ecru_chan_close(chan), 0);
    while (received < sent) CHECK_EQ(recv_int(chan), received++);
    CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
    ecru_chan_release(chan);
  }
}

TEST(chan, unbounded_grows_and_keeps_the_order) { // C1, C3, C7
  with_procs(1, check_unbounded);
}

// ---- C2, C3: meeting, order -----------------------------------------------------------------------------------------

struct pair {
  ecru_chan *chan, *done;
  _Atomic int step;
  int value, status;
};

static void send_then_step(void *argument) {
  struct pair *p = argument;
  p->status = ecru_chan_send(p->chan, &p->value);
  atomic_store(&p->step, 1);
  finish(p->done);
}
static void recv_then_step(void *argument) {
  struct pair *p = argument;
  p->status = ecru_chan_recv(p->chan, &p->value);
  atomic_store(&p->step, 1);
  finish(p->done);
}

static void check_meeting(void *unused) {
  (void)unused;
  struct pair p = {.chan = chan_of(sizeof(int), 0), .done = chan_of(0, 0), .value = 42};
  go(send_then_step, &p);
  UNTIL(parked_senders(p.chan) == 1);
  CHECK_EQ(atomic_load(&p.step), 0);
  CHECK_EQ(ecru_chan_len(p.chan), 0);
  CHECK_EQ(recv_int(p.chan), 42);
  await(p.done, 1);
  CHECK_EQ(p.status, 0);

  atomic_store(&p.step, 0);
  go(recv_then_step, &p);
  UNTIL(parked_receivers(p.chan) == 1);
  CHECK_EQ(atomic_load(&p.step), 0);
  send_int(p.chan, 43);
  await(p.done, 1);
  CHECK_EQ(p.status, 0);
  CHECK_EQ(p.value, 43);
  ecru_chan_release(p.chan);
  ecru_chan_release(p.done);
}

TEST(chan, unbuffered_send_and_receive_meet) { // C2
  with_procs(1, check_meeting);
}
TEST(chan, unbuffered_send_and_receive_meet_in_parallel) { // C2
  with_procs(2, check_meeting);
}
TEST(chan, a_foreign_thread_meets_a_goroutine) { // C2, G10
  check_meeting(NULL);
}

static void check_parks_only_when_full(void *unused) {
  (void)unused;
  struct pair p = {.chan = chan_of(sizeof(int), 3), .done = chan_of(0, 0), .value = 4};
  for (int i = 1; i <= 3; i++) send_int(p.chan, i); // room: must not park, or this hangs
  CHECK_EQ(ecru_chan_len(p.chan), 3);
  go(send_then_step, &p);
  UNTIL(parked_senders(p.chan) == 1);
  CHECK_EQ(recv_int(p.chan), 1); // frees a slot, which is the parked sender's
  CHECK_EQ(ecru_chan_len(p.chan), 3);
  await(p.done, 1);
  for (int i = 2; i <= 4; i++) CHECK_EQ(recv_int(p.chan), i);
  CHECK_EQ(ecru_chan_len(p.chan), 0);
  go(recv_then_step, &p);
  UNTIL(parked_receivers(p.chan) == 1);
  send_int(p.chan, 9);
  await(p.done, 1);
  CHECK_EQ(p.value, 9);
  CHECK_EQ(ecru_chan_len(p.chan), 0); // it never lay in the ring
  ecru_chan_release(p.chan);
  ecru_chan_release(p.done);
}

TEST(chan, buffered_parks_only_when_full_or_empty) { // C3
  with_procs(1, check_parks_only_when_full);
}

static void check_fifo_waiters(void *unused) {
  (void)unused;
  struct member crowd[CROWD];
  ecru_chan *done = chan_of(0, CROWD);
  for (int capacity = 0; capacity <= 2; capacity++) {
    ecru_chan *chan = chan_of(sizeof(int), (size_t)capacity);
    park_crowd(crowd, chan, done, crowd_recv);
    for (int i = 0; i < CROWD; i++) send_int(chan, i);
    await(done, CROWD);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(crowd[i].value, i); // who came first got the first

    for (int i = 0; i < capacity; i++) send_int(chan, 1000 + i);
    park_crowd(crowd, chan, done, crowd_send);
    for (int i = 0; i < capacity; i++) CHECK_EQ(recv_int(chan), 1000 + i);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(recv_int(chan), i);
    await(done, CROWD);
    ecru_chan_release(chan);
  }
  ecru_chan_release(done);
}

TEST(chan, waiters_are_served_in_order) { // C3
  with_procs(1, check_fifo_waiters);
}

static void check_no_barging(void *unused) {
  (void)unused;
  struct member crowd[CROWD];
  ecru_chan *done = chan_of(0, CROWD), *chan = chan_of(sizeof(int), 1);
  send_int(chan, -1);
  park_crowd(crowd, chan, done, crowd_send);
  for (int i = -1; i < CROWD - 1; i++) {
    CHECK_EQ(recv_int(chan), i);
    int late = 777;
    CHECK_EQ(ecru_chan_try_send(chan, &late), ECRU_EAGAIN); // the slot went to who waited
    CHECK_EQ(ecru_chan_len(chan), 1);
  }
  CHECK_EQ(recv_int(chan), CROWD - 1);
  await(done, CROWD);
  ecru_chan_release(chan);
  ecru_chan_release(done);
}

TEST(chan, nobody_overtakes_a_parked_sender) { // C3, C7
  with_procs(1, check_no_barging);
}

static void check_fifo_values(void *argument) {
  (void)argument;
  ecru_chan *chan = chan_of(sizeof(int), 7);
  int sent = 0, received = 0;
  uint64_t seed = test_seed();
  for (int i = 0; i < 10000; i++) {
    bool can_send = ecru_chan_len(chan) < 7, can_recv = ecru_chan_len(chan) > 0;
    if (can_send && (!can_recv || test_random_below(&seed, 2))) send_int(chan, sent++);
    else CHECK_EQ(recv_int(chan), received++);
    CHECK_EQ(ecru_chan_len(chan), sent - received);
  }
  ecru_chan_release(chan);
}

TEST(chan, values_leave_in_the_order_they_came) { // C3, C7
  with_procs(1, check_fifo_values);
}

// ---- C4: close ------------------------------------------------------------------------------------------------------

static void check_close_drains(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 4);
  for (int i = 0; i < 3; i++) send_int(chan, i);
  CHECK_EQ(ecru_chan_is_closed(chan), 0);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_chan_is_closed(chan), 1);
  CHECK_EQ(ecru_chan_len(chan), 3);
  int value = 5;
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_try_send(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_close(chan), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_close_with(chan, ECRU_EIO), ECRU_ECLOSED);
  for (int i = 0; i < 3; i++) CHECK_EQ(recv_int(chan), i);
  value = 99;
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_try_recv(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED);
  CHECK_EQ(value, 99); // written only on success
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  ecru_chan_release(chan);
}

TEST(chan, close_lets_the_rest_be_received) { // C4
  with_procs(1, check_close_drains);
}

static void check_close_with(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 2);
  send_int(chan, 1);
  CHECK_EQ(ecru_chan_close_with(chan, ECRU_EIO), 0);
  int value = 2;
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(recv_int(chan), 1);
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_EIO);
  CHECK_EQ(ecru_chan_try_recv(chan, &value), ECRU_EIO);
  CHECK_EQ(ecru_chan_close(chan), ECRU_ECLOSED);
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_EIO);
  ecru_chan_release(chan);
}

TEST(chan, close_with_gives_receivers_the_error_after_the_drain) { // C4
  with_procs(1, check_close_with);
}

static void check_close_wakes(void *unused) {
  (void)unused;
  struct member crowd[CROWD];
  ecru_chan *done = chan_of(0, CROWD);
  for (int how = 0; how < 2; how++) {
    ecru_chan *chan = chan_of(sizeof(int), 0);
    park_crowd(crowd, chan, done, crowd_recv);
    CHECK_EQ(how ? ecru_chan_close_with(chan, ECRU_EPIPE) : ecru_chan_close(chan), 0);
    await(done, CROWD);
    for (int i = 0; i < CROWD; i++) {
      CHECK_EQ(crowd[i].status, how ? ECRU_EPIPE : ECRU_ECLOSED);
      CHECK_EQ(crowd[i].value, -1);
    }
    ecru_chan_release(chan);

    chan = chan_of(sizeof(int), 2);
    send_int(chan, 1);
    send_int(chan, 2);
    park_crowd(crowd, chan, done, crowd_send);
    CHECK_EQ(how ? ecru_chan_close_with(chan, ECRU_EPIPE) : ecru_chan_close(chan), 0);
    await(done, CROWD);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(crowd[i].status, ECRU_ECLOSED);
    CHECK_EQ(recv_int(chan), 1); // what was buffered, and nothing of what was not sent
    CHECK_EQ(recv_int(chan), 2);
    int value;
    CHECK_EQ(ecru_chan_recv(chan, &value), how ? ECRU_EPIPE : ECRU_ECLOSED);
    ecru_chan_release(chan);
  }
  ecru_chan_release(done);
}

TEST(chan, close_wakes_every_receiver_and_sender) { // C4
  with_procs(1, check_close_wakes);
}
TEST(chan, close_from_a_foreign_thread_wakes_everybody) { // C4, G10
  check_close_wakes(NULL);
}

// ---- C5: try --------------------------------------------------------------------------------------------------------

static void check_try(void *unused) {
  (void)unused;
  struct pair p = {.chan = chan_of(sizeof(int), 0), .done = chan_of(0, 0)};
  int value = 7;
  CHECK_EQ(ecru_chan_try_send(p.chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_recv(p.chan, &value), ECRU_EAGAIN);
  go(recv_then_step, &p);
  UNTIL(parked_receivers(p.chan) == 1);
  CHECK_EQ(ecru_chan_try_recv(p.chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_send(p.chan, &value), 0);
  await(p.done, 1);
  CHECK_EQ(p.value, 7);
  p.value = 8;
  go(send_then_step, &p);
  UNTIL(parked_senders(p.chan) == 1);
  CHECK_EQ(ecru_chan_try_send(p.chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_recv(p.chan, &value), 0);
  CHECK_EQ(value, 8);
  await(p.done, 1);
  ecru_chan_release(p.chan);

  p.chan = chan_of(sizeof(int), 1);
  CHECK_EQ(ecru_chan_try_recv(p.chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_send(p.chan, &value), 0);
  CHECK_EQ(ecru_chan_try_send(p.chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_recv(p.chan, NULL), 0); // discarded
  CHECK_EQ(ecru_chan_try_recv(p.chan, &value), ECRU_EAGAIN);
  ecru_chan_release(p.chan);
  ecru_chan_release(p.done);
}

TEST(chan, try_never_parks) { // C5
  with_procs(1, check_try);
}

static void try_recv_ready(void *argument) {
  struct pair *p = argument;
  int value;
  p->status = ecru_chan_try_recv(p->chan, &value);
  finish(p->done);
}

static void check_nonblocking_recv_race(void *unused) {
  (void)unused;
  ecru_chan *done = chan_of(0, 1);
  for (long i = 0; i < test_scaled(10000); i++) {
    struct pair p = {.chan = chan_of(sizeof(int), 1), .done = done};
    send_int(p.chan, 1);
    go(try_recv_ready, &p);
    ecru_chan_close(p.chan);
    int value;
    int status = ecru_chan_recv(p.chan, &value);
    CHECK(status == 0 || status == ECRU_ECLOSED);
    await(done, 1);
    CHECK(p.status == 0 || p.status == ECRU_ECLOSED); // it was ready all the time: full, or closed, or both
    ecru_chan_release(p.chan);
  }
  ecru_chan_release(done);
}

TEST(chan, try_recv_sees_a_channel_that_is_drained_and_closed) { // C5
  with_procs(2, check_nonblocking_recv_race);
}

static void *tries_always_succeed(void *argument) {
  ecru_chan *chan = argument;
  for (long i = 0; i < test_scaled(100000); i++) {
    int value = 1;
    CHECK_EQ(ecru_chan_try_send(chan, &value), 0); // of two, the other holds at most one
    CHECK_EQ(ecru_chan_try_recv(chan, &value), 0); // at least ours is there
  }
  return NULL;
}
static void tries_in_goroutine(void *argument) {
  struct pair *p = argument;
  tries_always_succeed(p->chan);
  finish(p->done);
}

TEST(chan, try_never_says_again_while_there_is_always_room) { // C5
  struct pair p = {.chan = chan_of(sizeof(int), 2), .done = chan_of(0, 0)};
  go(tries_in_goroutine, &p);
  tries_always_succeed(p.chan);
  await(p.done, 1);
  ecru_chan_release(p.chan);
  ecru_chan_release(p.done);
}

// ---- C6: full -------------------------------------------------------------------------------------------------------

struct drops {
  ecru_chan *chan;
  int count, values[64];
};

static void note_drop(void *context, void *element) {
  struct drops *d = context;
  d->values[d->count++] = *(int *)element;
  CHECK_EQ(ecru_chan_len(d->chan), 3); // no lock is held: this and the next would hang
  int value;
  CHECK_EQ(ecru_chan_try_recv(d->chan, &value), 0);
  CHECK_EQ(ecru_chan_try_send(d->chan, &value), 0);
  ecru_yield(); // and it may even park
}

static void check_drop(int full, bool use_try, const int *expected_drops, const int *expected_rest) {
  struct drops d = {.count = 0};
  ecru_chan *chan = d.chan = dropping_chan(sizeof(int), 3, full, NULL, NULL);
  chan->dropped = note_drop;
  chan->context = &d;
  for (int i = 0; i < 6; i++) CHECK_EQ(use_try ? ecru_chan_try_send(chan, &i) : ecru_chan_send(chan, &i), 0);
  CHECK_EQ(d.count, 3);
  for (int i = 0; i < 3; i++) CHECK_EQ(d.values[i], expected_drops[i]);
  for (int i = 0; i < 3; i++) CHECK_EQ(recv_int(chan), expected_rest[i]);
  ecru_chan_release(chan);
}

static void check_drop_policies(void *unused) {
  (void)unused;
  for (int use_try = 0; use_try < 2; use_try++) {
    // The callback moves the oldest to the end: 1 2 3 after the drop of 0 becomes 2 3 1, and so on.
    check_drop(ECRU_FULL_DROP_OLDEST, use_try, (int[]){0, 2, 1}, (int[]){3, 5, 4});
    check_drop(ECRU_FULL_DROP_NEWEST, use_try, (int[]){2, 0, 1}, (int[]){4, 5, 3});
  }
}

TEST(chan, drop_policies_give_the_victim_to_the_callback) { // C6
  with_procs(1, check_drop_policies);
}

static void check_drop_without_callback(void *unused) {
  (void)unused;
  ecru_chan *chan = dropping_chan(sizeof(int), 3, ECRU_FULL_DROP_OLDEST, NULL, NULL);
  for (int i = 0; i < 10; i++) send_int(chan, i);
  CHECK_EQ(ecru_chan_len(chan), 3);
  for (int i = 7; i < 10; i++) CHECK_EQ(recv_int(chan), i);
  ecru_chan_release(chan);
  chan = dropping_chan(sizeof(int), 3, ECRU_FULL_DROP_NEWEST, NULL, NULL);
  for (int i = 0; i < 10; i++) send_int(chan, i);
  CHECK_EQ(recv_int(chan), 0);
  CHECK_EQ(recv_int(chan), 1);
  CHECK_EQ(recv_int(chan), 9);
  CHECK_EQ(ecru_chan_close(chan), 0);
  int value = 1;
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  ecru_chan_release(chan);
}

TEST(chan, drop_policies_work_without_a_callback) { // C6
  with_procs(1, check_drop_without_callback);
}

struct big {
  int number;
  char more[1000];
};
static void sum_big(void *context, void *element) { *(long *)context += ((struct big *)element)->number; }

static void check_drop_big(void *unused) {
  (void)unused;
  long sum = 0;
  ecru_chan *chan = dropping_chan(sizeof(struct big), 2, ECRU_FULL_DROP_OLDEST, sum_big, &sum);
  struct big element = {0, "x"};
  for (int i = 1; i <= 10; i++) {
    element.number = i;
    CHECK_EQ(ecru_chan_send(chan, &element), 0);
  }
  CHECK_EQ(sum, 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8);
  ecru_chan_release(chan);
  CHECK_EQ(sum, 55); // nothing leaks
}

TEST(chan, big_elements_are_dropped_whole) { // C6
  with_procs(1, check_drop_big);
}

static void check_full_fail(void *unused) {
  (void)unused;
  ecru_chan *chan = dropping_chan(sizeof(int), 1, ECRU_FULL_FAIL, NULL, NULL);
  int value = 1;
  CHECK_EQ(ecru_chan_send(chan, &value), 0);
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_try_send(chan, &value), ECRU_EAGAIN);
  CHECK_EQ(recv_int(chan), 1);
  struct pair p = {.chan = chan, .done = chan_of(0, 0)};
  go(recv_then_step, &p);
  UNTIL(parked_receivers(chan) == 1);
  CHECK_EQ(ecru_chan_send(chan, &value), 0);
  await(p.done, 1);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_chan_send(chan, &value), ECRU_ECLOSED);
  ecru_chan_release(chan);
  ecru_chan_release(p.done);
}

TEST(chan, the_fail_policy_says_again_when_full) { // C6
  with_procs(1, check_full_fail);
}

// ---- C7: len --------------------------------------------------------------------------------------------------------

struct watched {
  ecru_chan *chan, *done;
  _Atomic int stop;
};

static void *watch_len(void *argument) {
  struct watched *watched = argument;
  while (!atomic_load(&watched->stop)) CHECK_EQ(ecru_chan_len(watched->chan), 2);
  return NULL;
}

static void send_zero(void *argument) {
  struct watched *watched = argument;
  send_int(watched->chan, 0);
  finish(watched->done);
}

TEST(chan, len_does_not_blink_while_senders_wait) { // C7, C3
  long crowd = test_scaled(2000);
  struct watched watched = {chan_of(sizeof(int), 2), chan_of(0, (size_t)crowd), 0};
  send_int(watched.chan, 0);
  send_int(watched.chan, 0);
  for (long i = 0; i < crowd; i++) go(send_zero, &watched);
  UNTIL(parked_senders(watched.chan) == crowd);
  pthread_t watcher;
  CHECK_EQ(pthread_create(&watcher, NULL, watch_len, &watched), 0);
  for (long i = 0; i < crowd; i++) recv_int(watched.chan); // each slot freed is filled in the same step
  atomic_store(&watched.stop, 1);
  pthread_join(watcher, NULL);
  await(watched.done, (int)crowd);
  CHECK_EQ(ecru_chan_len(watched.chan), 2);
  ecru_chan_release(watched.chan);
  ecru_chan_release(watched.done);
}
