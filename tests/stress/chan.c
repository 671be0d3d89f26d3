/// tests/stress/chan.c: channels and select in crowds, in races and beside goroutines that never yield.
#include "chans.h"

// ---- many on one channel ---------------------------------------------------------------------------------------------

/// Each value once: a bit per value.
struct ledger {
  _Atomic uint8_t *seen;
  _Atomic long received, sent, next, dropped;
  ecru_chan *chans[4], *done;
  ecru_token *token;
  long limit;
  int chans_count;
};

static struct ledger ledger_make(long limit, int chans, size_t capacity) {
  struct ledger l = {.seen = calloc((size_t)limit, 1), .done = chan_of(0, 0), .limit = limit, .chans_count = chans};
  for (int i = 0; i < chans; i++) l.chans[i] = chan_of(sizeof(long), capacity);
  return l;
}
static void ledger_free(struct ledger *l) {
  free(l->seen);
  for (int i = 0; i < l->chans_count; i++) ecru_chan_release(l->chans[i]);
  ecru_chan_release(l->done);
}
static void ledger_note(struct ledger *l, long value) {
  CHECK(value >= 0 && value < l->limit);
  CHECK_EQ(atomic_fetch_add(&l->seen[value], 1), 0);
  atomic_fetch_add(&l->received, 1);
}
/// returns: the next value to send, or -1.
static long ledger_next(struct ledger *l) {
  long value = atomic_fetch_add(&l->next, 1);
  return value < l->limit ? value : -1;
}

static void produce(void *argument) {
  struct ledger *l = argument;
  for (long value; (value = ledger_next(l)) >= 0;) CHECK_EQ(ecru_chan_send(l->chans[0], &value), 0);
  finish(l->done);
}
static void consume(void *argument) {
  struct ledger *l = argument;
  long value;
  while (ecru_chan_recv(l->chans[0], &value) == 0) ledger_note(l, value);
  finish(l->done);
}
static void *produce_in_thread(void *l) { return produce(l), NULL; }
static void *consume_in_thread(void *l) { return consume(l), NULL; }

static void check_crowd(size_t capacity, int goroutines, int threads) {
  struct ledger l = ledger_make(test_scaled(100000), 1, capacity);
  pthread_t producers[4], consumers[4];
  for (int i = 0; i < goroutines; i++) go(produce, &l), go(consume, &l);
  for (int i = 0; i < threads; i++) {
    CHECK_EQ(pthread_create(&producers[i], NULL, produce_in_thread, &l), 0);
    CHECK_EQ(pthread_create(&consumers[i], NULL, consume_in_thread, &l), 0);
  }
  await(l.done, goroutines + threads);
  CHECK_EQ(ecru_chan_close(l.chans[0]), 0);
  await(l.done, goroutines + threads);
  for (int i = 0; i < threads; i++) {
    pthread_join(producers[i], NULL);
    pthread_join(consumers[i], NULL);
  }
  CHECK_EQ(l.received, l.limit);
  ledger_free(&l);
}

static void check_crowds(void *unused) {
  (void)unused;
  static const size_t capacities[] = {0, 1, 7, 128};
  for (int i = 0; i < 4; i++) {
    check_crowd(capacities[i], 4, 0);
    check_crowd(capacities[i], 50, 0);
  }
}

TEST(stress_chan, many_senders_and_receivers) { // C2, C3, C4
  with_procs(2, check_crowds);
}
TEST(stress_chan, goroutines_and_threads_on_one_channel) { // C2, C3, C4, G10
  check_crowd(0, 2, 2);
  check_crowd(1, 2, 2);
  check_crowd(64, 2, 2);
  check_crowd(8, 0, 3);
}

static void check_one_to_many(void *unused) {
  (void)unused;
  struct ledger l = ledger_make(test_scaled(50000), 1, 0);
  for (int i = 0; i < 23; i++) go(consume, &l);
  go(produce, &l);
  UNTIL(atomic_load(&l.received) == l.limit);
  CHECK_EQ(ecru_chan_close(l.chans[0]), 0);
  await(l.done, 24);
  ledger_free(&l);
}

TEST(stress_chan, one_sender_and_many_receivers) { // C2, C4
  with_procs(2, check_one_to_many);
}

struct ordered {
  ecru_chan *chan, *done;
  int producer;
};
static void produce_in_order(void *argument) {
  struct ordered *o = argument;
  for (long i = 0; i < test_scaled(20000); i++) {
    long value = i * 8 + o->producer;
    CHECK_EQ(ecru_chan_send(o->chan, &value), 0);
  }
  finish(o->done);
}

static void check_order(void *unused) {
  (void)unused;
  for (size_t capacity = 0; capacity < 10; capacity += 3) {
    struct ordered o[8];
    long next[8] = {0}, each = test_scaled(20000);
    ecru_chan *chan = chan_of(sizeof(long), capacity), *done = chan_of(0, 8);
    for (int i = 0; i < 8; i++) {
      o[i] = (struct ordered){chan, done, i};
      go(produce_in_order, &o[i]);
    }
    for (long i = 0; i < 8 * each; i++) {
      long value;
      CHECK_EQ(ecru_chan_recv(chan, &value), 0);
      CHECK_EQ(value / 8, next[value % 8]++);
    }
    await(done, 8);
    ecru_chan_release(chan);
    ecru_chan_release(done);
  }
}

TEST(stress_chan, each_senders_values_stay_in_order) { // C3
  with_procs(2, check_order);
}

// ---- select in crowds ------------------------------------------------------------------------------------------------

static void select_send(void *argument) {
  struct ledger *l = argument;
  for (long value; (value = ledger_next(l)) >= 0;) {
    ecru_case cases[4];
    for (int i = 0; i < 4; i++) cases[i] = send_case(l->chans[(i + value) % 4], &value);
    int picked = ecru_select(cases, 4, 0);
    CHECK(picked >= 0);
    CHECK_EQ(cases[picked].status, 0);
  }
  finish(l->done);
}
static void select_recv(void *argument) {
  struct ledger *l = argument;
  for (;;) {
    long value;
    ecru_case cases[4];
    for (int i = 0; i < 4; i++) cases[i] = recv_case(l->chans[i], &value);
    int picked = ecru_select(cases, 4, 0);
    CHECK(picked >= 0);
    if (cases[picked].status != 0) break; // all are closed together
    ledger_note(l, value);
  }
  for (int i = 0; i < 4; i++) // but what lies in the others is still to be had
    for (long value; ecru_chan_recv(l->chans[i], &value) == 0;) ledger_note(l, value);
  finish(l->done);
}
static void *select_send_in_thread(void *l) { return select_send(l), NULL; }
static void *select_recv_in_thread(void *l) { return select_recv(l), NULL; }

static void check_select_crowd(size_t capacity, int threads) {
  struct ledger l = ledger_make(test_scaled(50000), 4, capacity);
  pthread_t senders[2], receivers[2];
  for (int i = 0; i < 6; i++) go(select_send, &l), go(select_recv, &l);
  for (int i = 0; i < threads; i++) {
    CHECK_EQ(pthread_create(&senders[i], NULL, select_send_in_thread, &l), 0);
    CHECK_EQ(pthread_create(&receivers[i], NULL, select_recv_in_thread, &l), 0);
  }
  await(l.done, 6 + threads);
  for (int i = 0; i < 4; i++) CHECK_EQ(ecru_chan_close(l.chans[i]), 0);
  await(l.done, 6 + threads);
  for (int i = 0; i < threads; i++) {
    pthread_join(senders[i], NULL);
    pthread_join(receivers[i], NULL);
  }
  CHECK_EQ(l.received, l.limit);
  ledger_free(&l);
}

static void check_select_crowds(void *unused) {
  (void)unused;
  check_select_crowd(0, 0);
  check_select_crowd(1, 0);
  check_select_crowd(16, 0);
}

TEST(stress_chan, selects_on_both_sides_of_four_channels) { // S4, C10
  with_procs(2, check_select_crowds);
}
TEST(stress_chan, selects_of_goroutines_and_threads) { // S4, G10
  check_select_crowd(0, 2);
  check_select_crowd(2, 2);
}

struct both_ways {
  ecru_chan *chan, *done;
  _Atomic long *sent, *received;
};
static void send_or_recv(void *argument) {
  struct both_ways *b = argument;
  for (long i = 0; i < test_scaled(5000); i++) {
    long out = i, in;
    ecru_case cases[] = {send_case(b->chan, &out), recv_case(b->chan, &in)};
    int picked = ecru_select_until(cases, 2, 0, ecru_after(ECRU_MILLISECOND));
    if (picked == ECRU_ETIMEDOUT) break; // left alone
    CHECK(picked >= 0);
    atomic_fetch_add(picked == 0 ? b->sent : b->received, 1);
  }
  finish(b->done);
}

static void check_both_ways(void *unused) {
  (void)unused;
  for (size_t capacity = 0; capacity < 4; capacity += 3) {
    _Atomic long sent = 0, received = 0;
    struct both_ways b = {chan_of(sizeof(long), capacity), chan_of(0, 0), &sent, &received};
    for (int i = 0; i < 7; i++) go(send_or_recv, &b);
    await(b.done, 7);
    CHECK_EQ(sent, received + (long)ecru_chan_len(b.chan));
    ecru_chan_release(b.chan);
    ecru_chan_release(b.done);
  }
}

TEST(stress_chan, selects_that_send_or_receive_on_one_channel) { // S4, C11
  with_procs(2, check_both_ways);
}

struct ticks {
  ecru_timer *timer;
  ecru_chan *stop, *done;
  _Atomic long taken;
};
static void take_ticks(void *argument) {
  struct ticks *t = argument;
  for (;;) {
    ecru_case cases[] = {{ECRU_CASE_TIMER, 0, t->timer, NULL}, recv_case(t->stop, NULL)};
    if (ecru_select(cases, 2, 0) == 1) break;
    atomic_fetch_add(&t->taken, 1);
  }
  finish(t->done);
}

static void check_one_tick_for_one(void *unused) {
  (void)unused;
  struct ticks t = {.stop = chan_of(0, 0), .done = chan_of(0, 0)};
  CHECK_EQ(ecru_timer_create(&t.timer, ECRU_SECOND * 1000), 0);
  for (int i = 0; i < 10; i++) go(take_ticks, &t);
  for (long i = 0; i < test_scaled(1000); i++) {
    CHECK_EQ(ecru_timer_reset(t.timer, (i % 3) * 20 * ECRU_MICROSECOND) < 0, 0);
    UNTIL(atomic_load(&t.taken) == i + 1); // one firing, one taker
  }
  CHECK_EQ(ecru_chan_close(t.stop), 0);
  await(t.done, 10);
  CHECK_EQ(t.taken, test_scaled(1000));
  ecru_timer_destroy(t.timer);
  ecru_chan_release(t.stop);
  ecru_chan_release(t.done);
}

TEST(stress_chan, a_tick_goes_to_exactly_one_select) { // S1, S4, K6
  with_procs(2, check_one_tick_for_one);
}

// ---- races with cancel, deadlines, close -----------------------------------------------------------------------------

static void send_with_deadlines(void *argument) {
  struct ledger *l = argument;
  uint64_t seed = (uint64_t)(uintptr_t)&l;
  for (long value; (value = ledger_next(l)) >= 0;) {
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&seed, 30) * ECRU_MICROSECOND)), 0);
    int status;
    if (test_random_below(&seed, 2)) {
      status = ecru_chan_send(l->chans[0], &value);
    } else {
      ecru_case cases[] = {send_case(l->chans[1], &value), send_case(l->chans[0], &value)};
      status = ecru_select(cases, 2, 0);
      if (status >= 0) status = cases[status].status;
    }
    CHECK_EQ(ecru_token_leave(), 0);
    CHECK(status == 0 || status == ECRU_ETIMEDOUT);
    if (status == 0) atomic_fetch_add(&l->sent, 1);
    else atomic_store(&l->seen[value], 1); // whoever receives it now fails
  }
  finish(l->done);
}
static void recv_with_deadlines(void *argument) {
  struct ledger *l = argument;
  uint64_t seed = (uint64_t)(uintptr_t)&l;
  for (;;) {
    long value;
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&seed, 30) * ECRU_MICROSECOND)), 0);
    int status;
    if (test_random_below(&seed, 2)) {
      status = ecru_chan_recv(l->chans[0], &value);
    } else {
      ecru_case cases[] = {recv_case(l->chans[0], &value), recv_case(l->chans[1], &value)};
      status = ecru_select(cases, 2, 0);
      if (status >= 0) status = cases[status].status;
    }
    CHECK_EQ(ecru_token_leave(), 0);
    if (status == ECRU_ECLOSED) break;
    CHECK(status == 0 || status == ECRU_ETIMEDOUT);
    if (status == 0) ledger_note(l, value);
  }
  for (int i = 0; i < 2; i++)
    for (long value; ecru_chan_recv(l->chans[i], &value) == 0;) ledger_note(l, value);
  finish(l->done);
}

static void check_deadlines(void *unused) {
  (void)unused;
  for (size_t capacity = 0; capacity <= 2; capacity += 2) {
    struct ledger l = ledger_make(test_scaled(20000), 2, capacity);
    for (int i = 0; i < 4; i++) go(send_with_deadlines, &l), go(recv_with_deadlines, &l);
    await(l.done, 4);
    for (int i = 0; i < 2; i++) CHECK_EQ(ecru_chan_close(l.chans[i]), 0);
    await(l.done, 4);
    CHECK_EQ(l.received, l.sent); // what was reported as sent has arrived, and nothing else
    ledger_free(&l);
  }
}

TEST(stress_chan, deadlines_neither_lose_nor_double_a_value) { // C11, K2, S4
  with_procs(2, check_deadlines);
}

struct closing {
  ecru_chan *chans[2], *done;
  _Atomic long sent, received;
};
static void send_until_closed(void *argument) {
  struct closing *c = argument;
  for (long i = 0;; i++) {
    int status;
    if (i % 3 == 0) {
      ecru_case cases[] = {send_case(c->chans[0], &i), send_case(c->chans[1], &i)};
      int picked = ecru_select(cases, 2, 0);
      CHECK(picked >= 0);
      status = cases[picked].status;
    } else {
      status = i % 3 == 1 ? ecru_chan_send(c->chans[0], &i) : ecru_chan_try_send(c->chans[0], &i);
    }
    if (status == 0) atomic_fetch_add(&c->sent, 1);
    if (status == ECRU_EAGAIN) ecru_yield();
    if (status == ECRU_ECLOSED) break;
  }
  finish(c->done);
}
static void recv_until_closed(void *argument) {
  struct closing *c = argument;
  for (long value = 0;;) {
    ecru_case cases[] = {recv_case(c->chans[0], &value), recv_case(c->chans[1], &value)};
    int picked = ecru_select(cases, 2, value % 2 ? ECRU_SELECT_PRIORITY : 0);
    CHECK(picked >= 0);
    if (cases[picked].status != 0) break;
    atomic_fetch_add(&c->received, 1);
  }
  for (int i = 0; i < 2; i++) // the other is about to be closed too
    for (long value; ecru_chan_recv(c->chans[i], &value) == 0;) atomic_fetch_add(&c->received, 1);
  finish(c->done);
}

static void check_closing(void *unused) {
  (void)unused;
  uint64_t seed = test_seed();
  for (long round = 0; round < test_scaled(300); round++) {
    struct closing c = {.done = chan_of(0, 0)};
    for (int i = 0; i < 2; i++) c.chans[i] = chan_of(sizeof(long), test_random_below(&seed, 3));
    for (int i = 0; i < 3; i++) go(send_until_closed, &c), go(recv_until_closed, &c);
    for (uint64_t i = test_random_below(&seed, 50); i > 0; i--) ecru_yield();
    for (int i = 0; i < 2; i++) CHECK_EQ(ecru_chan_close(c.chans[i]), 0);
    await(c.done, 6);
    CHECK_EQ(c.sent, c.received);
    for (int i = 0; i < 2; i++) ecru_chan_release(c.chans[i]);
    ecru_chan_release(c.done);
  }
}

TEST(stress_chan, close_in_the_middle_of_everything) { // C4, S4
  with_procs(2, check_closing);
}

static void count_dropped(void *context, void *element) {
  struct ledger *l = context;
  CHECK_EQ(atomic_fetch_add(&l->seen[*(long *)element], 1), 0);
  atomic_fetch_add(&l->dropped, 1);
}
static void produce_by_select(void *argument) {
  struct ledger *l = argument;
  for (long value; (value = ledger_next(l)) >= 0;) {
    ecru_case c = send_case(l->chans[0], &value);
    CHECK_EQ(value % 2 ? ecru_select(&c, 1, 0) : ecru_chan_send(l->chans[0], &value), 0);
  }
  finish(l->done);
}

static void check_dropping(void *unused) {
  (void)unused;
  for (int full = ECRU_FULL_DROP_NEWEST; full <= ECRU_FULL_DROP_OLDEST; full++) {
    struct ledger l = ledger_make(test_scaled(50000), 0, 0);
    ecru_chan_options options = ECRU_CHAN_OPTIONS;
    options.full = full;
    options.dropped = count_dropped;
    options.context = &l;
    CHECK_EQ(ecru_chan_create_with(&l.chans[0], sizeof(long), 3, &options), 0);
    for (int i = 0; i < 4; i++) go(produce_by_select, &l);
    for (int i = 0; i < 2; i++) go(consume, &l);
    await(l.done, 4);
    CHECK_EQ(ecru_chan_close(l.chans[0]), 0);
    await(l.done, 2);
    ecru_chan_release(l.chans[0]);
    CHECK_EQ(l.received + l.dropped, l.limit);
    ledger_free(&l);
  }
}

TEST(stress_chan, every_element_is_received_or_dropped) { // C6
  with_procs(2, check_dropping);
}

static void check_unbounded(void *unused) {
  (void)unused;
  struct ledger l = ledger_make(test_scaled(100000), 0, 0);
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  CHECK_EQ(ecru_chan_create_with(&l.chans[0], sizeof(long), 0, &options), 0);
  for (int i = 0; i < 4; i++) go(produce_by_select, &l);
  for (int i = 0; i < 2; i++) go(consume, &l);
  await(l.done, 4);
  CHECK_EQ(ecru_chan_close(l.chans[0]), 0);
  await(l.done, 2);
  ecru_chan_release(l.chans[0]);
  CHECK_EQ(l.received, l.limit);
  ledger_free(&l);
}

TEST(stress_chan, an_unbounded_channel_grows_under_everybody) { // C1, C3
  with_procs(2, check_unbounded);
}

struct ended {
  ecru_tx *tx;
  ecru_rx *rx;
  _Atomic long *sent, *got;
  ecru_chan *done;
};
static void send_some_and_go(void *argument) {
  struct ended e = *(struct ended *)argument;
  for (long i = 0; i < 20 && ecru_tx_send(e.tx, &i) == 0; i++) atomic_fetch_add(e.sent, 1);
  ecru_tx_release(e.tx);
  finish(e.done);
}
static void recv_some_and_go(void *argument) {
  struct ended e = *(struct ended *)argument;
  long value;
  for (int i = 0; i < 10 && ecru_rx_recv(e.rx, &value) == 0; i++) atomic_fetch_add(e.got, 1);
  ecru_rx_release(e.rx); // the last one leaves the senders without a receiver
  finish(e.done);
}
static void count_one(void *context, void *element) {
  (void)element;
  atomic_fetch_add((_Atomic long *)context, 1);
}

static void check_ends(void *unused) {
  (void)unused;
  for (long round = 0; round < test_scaled(500); round++) {
    _Atomic long sent = 0, got = 0, dropped = 0;
    ecru_chan_options options = ECRU_CHAN_OPTIONS;
    options.dropped = count_one;
    options.context = &dropped;
    ecru_chan *chan, *done = chan_of(0, 0);
    CHECK_EQ(ecru_chan_create_with(&chan, sizeof(long), (size_t)round % 5, &options), 0);
    struct ended e[6];
    for (int i = 0; i < 6; i++) {
      e[i] = (struct ended){NULL, NULL, &sent, &got, done};
      CHECK_EQ(i % 2 ? ecru_tx_open(&e[i].tx, chan) : ecru_rx_open(&e[i].rx, chan), 0);
    }
    ecru_chan_release(chan);
    for (int i = 0; i < 6; i++) CHECK_EQ(ecru_go_copy(NULL, i % 2 ? send_some_and_go : recv_some_and_go, &e[i], sizeof e[i]), 0);
    await(done, 6);
    CHECK_EQ(sent, got + dropped);
    ecru_chan_release(done);
  }
}

TEST(stress_chan, ends_come_and_go) { // C8, C6
  with_procs(2, check_ends);
}

// ---- beside goroutines that never yield ------------------------------------------------------------------------------

static _Atomic int hog_stops;
static void hog(void *done) {
  volatile unsigned long work = 0;
  while (!atomic_load_explicit(&hog_stops, memory_order_relaxed)) work++;
  finish(done);
}
struct ball {
  ecru_chan *there, *back, *done;
};
static void ping(void *argument) {
  struct ball *b = argument;
  for (int i = 0; i < 100; i++) {
    send_int(b->there, i);
    CHECK_EQ(recv_int(b->back), i);
  }
  finish(b->done);
}
static void pong(void *argument) {
  struct ball *b = argument;
  for (int i = 0; i < 100; i++) send_int(b->back, recv_int(b->there));
}

static void check_beside_hog(void *unused) {
  (void)unused;
  enum { PAIRS = 200 };
  static struct ball balls[PAIRS];
  int pairs = (int)test_scaled(PAIRS);
  ecru_chan *done = chan_of(0, 0), *hogs_done = chan_of(0, 0);
  go(hog, hogs_done);
  for (int i = 0; i < pairs; i++) {
    balls[i] = (struct ball){chan_of(sizeof(int), 0), chan_of(sizeof(int), 0), done};
    go(ping, &balls[i]);
    go(pong, &balls[i]);
  }
  await(done, pairs);
  atomic_store(&hog_stops, 1);
  await(hogs_done, 1);
  for (int i = 0; i < pairs; i++) {
    ecru_chan_release(balls[i].there);
    ecru_chan_release(balls[i].back);
  }
  ecru_chan_release(done);
  ecru_chan_release(hogs_done);
}

TEST(stress_chan, ping_pong_beside_a_cpu_hog) { // C2, G2, G4
  with_procs(1, check_beside_hog);
}

static void poll_for_ever(void *argument) {
  struct ball *b = argument;
  ecru_chan *never = b->there;
  int value;
  ecru_case cases[] = {recv_case(never, &value), send_case(never, &value)};
  while (!atomic_load_explicit(&hog_stops, memory_order_relaxed)) {
    CHECK_EQ(ecru_chan_try_recv(never, &value), ECRU_EAGAIN);
    CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  }
  finish(b->done);
}

static void check_beside_poller(void *unused) {
  (void)unused;
  ecru_chan *done = chan_of(0, 0);
  struct ball never = {.there = chan_of(sizeof(int), 0), .done = chan_of(0, 0)};
  struct ball b = {chan_of(sizeof(int), 0), chan_of(sizeof(int), 0), done};
  go(poll_for_ever, &never);
  go(ping, &b);
  go(pong, &b);
  await(done, 1);
  atomic_store(&hog_stops, 1);
  await(never.done, 1);
  ecru_chan_release(b.there);
  ecru_chan_release(b.back);
  ecru_chan_release(done);
  ecru_chan_release(never.there);
  ecru_chan_release(never.done);
}

TEST(stress_chan, ping_pong_beside_a_poller) { // C5, S3, G2, G4
  with_procs(1, check_beside_poller);
}

// ---- the receiver releases the channel while the last send returns ------------------------------------------------

enum { LAST = 1000 };
static _Atomic long victims;

static void count_victim(void *context, void *element) {
  CHECK(context == &victims);
  CHECK_EQ(*(int *)element, 1);
  atomic_fetch_add(&victims, 1);
}
static void send_last(void *chan) { send_int(chan, LAST); }
static void try_to_send_last(void *chan) {
  int last = LAST, status;
  while ((status = ecru_chan_try_send(chan, &last)) == ECRU_EAGAIN) sched_yield();
  CHECK_EQ(status, 0);
}

static ecru_chan *chan_with(size_t capacity, int unbounded, int full) {
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.unbounded = unbounded;
  options.full = full;
  options.dropped = full == ECRU_FULL_WAIT ? NULL : count_victim;
  options.context = &victims;
  ecru_chan *chan = NULL;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), capacity, &options), 0);
  return chan;
}

/// The last one lies in the ring: whatever the send did for it is done.
static bool holds_last(ecru_chan *chan) {
  ecru__lock_take(&chan->lock);
  bool holds = ecru__chan_count(chan) > 0 && *(int *)ecru__chan_slot(chan, chan->head) == LAST;
  ecru__lock_drop(&chan->lock);
  return holds;
}

/// Takes values until the last, by polling or parking, then releases the channel at once. returns: how many came before it.
static int take_until_last(ecru_chan *chan, bool polls) {
  for (int before = 0;; before++) {
    int value = 0, status;
    while ((status = polls ? ecru_chan_try_recv(chan, &value) : ecru_chan_recv(chan, &value)) == ECRU_EAGAIN) sched_yield();
    CHECK_EQ(status, 0);
    if (value != LAST) continue;
    ecru_chan_release(chan);
    return before;
  }
}

static void check_early_release(void *unused) {
  (void)unused;
  static const struct { size_t capacity; int unbounded, full; } kinds[] = {
      {0, 0, ECRU_FULL_WAIT}, {1, 0, ECRU_FULL_WAIT}, {0, 1, ECRU_FULL_WAIT},
      {1, 0, ECRU_FULL_DROP_NEWEST}, {1, 0, ECRU_FULL_DROP_OLDEST}};
  long rounds = test_scaled(3000), seen = 0, full_rounds = 0;
  for (long round = 0; round < rounds; round++) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
      ecru_chan *chan = chan_with(kinds[i].capacity, kinds[i].unbounded, kinds[i].full);
      bool fills = kinds[i].capacity > 0 && round % 4 < 2; // the sender parks, or drops what is there
      if (fills) send_int(chan, 1);
      if (fills && kinds[i].full != ECRU_FULL_WAIT) full_rounds++;
      bool polls = round % 3 == 0; // two that poll never meet in an unbuffered channel
      go(round % 3 == 1 ? try_to_send_last : send_last, chan);
      while (fills && kinds[i].full != ECRU_FULL_WAIT && !holds_last(chan)) sched_yield(); // while that send drops the first
      int before = take_until_last(chan, polls);
      if (kinds[i].full != ECRU_FULL_WAIT) seen += before;
    }
  }
  UNTIL(atomic_load(&victims) + seen == full_rounds); // none was lost either
}

TEST(stress_chan, the_last_receiver_releases_before_the_send_returns) { // C1, C6
  with_procs(3, check_early_release);
}
