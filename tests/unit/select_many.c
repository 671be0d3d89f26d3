/// tests/unit/select_many.c: many cases, many selects, and what a full channel does to one.
#include "chans.h"

// ---- many cases, many selects ----------------------------------------------------------------------------------------

static void check_many_cases(void *unused) {
  (void)unused;
  static const size_t counts[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 1000, 65535};
  enum { CHANNELS = 97 };
  ecru_chan *chans[CHANNELS];
  for (int i = 0; i < CHANNELS; i++) chans[i] = chan_of(sizeof(int), 1);
  for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
    size_t count = counts[k];
    ecru_case *cases = malloc(count * sizeof *cases);
    int value = 0;
    for (size_t i = 0; i < count; i++) cases[i] = recv_case(chans[i * 31 % CHANNELS], &value); // duplicates, in no order
    CHECK_EQ(ecru_select(cases, count, ECRU_SELECT_POLL), ECRU_EAGAIN);
    for (int last = 0; last < 2; last++) {
      size_t ready = last ? count - 1 : count / 2;
      go(send_five, cases[ready].object);
      int picked = ecru_select(cases, count, 0);
      CHECK(picked >= 0 && cases[picked].object == cases[ready].object);
      CHECK_EQ(value, 5);
    }
    free(cases);
  }
  for (int i = 0; i < CHANNELS; i++) {
    CHECK_EQ(parked_receivers(chans[i]), 0);
    ecru_chan_release(chans[i]);
  }
}

TEST(select, takes_up_to_65535_cases) { // S1, S4
  with_procs(1, check_many_cases);
}

struct stream {
  ecru_chan *chan, *done;
  long count;
};
static void send_many(void *argument) {
  struct stream *s = argument;
  for (long i = 0; i < s->count; i++) send_int(s->chan, 5);
  finish(s->done);
}

static void check_no_growth(void *unused) {
  (void)unused;
  ecru_chan *never = chan_of(sizeof(int), 0);
  struct stream in = {chan_of(sizeof(int), 0), chan_of(0, 0), test_scaled(100000)};
  size_t before = 0;
  for (int round = 0; round < 2; round++) { // the first warms up
    before = test_heap_bytes();
    int value;
    for (long i = 0; i < in.count; i++) {
      ecru_case cases[] = {recv_case(in.chan, &value), recv_case(never, &value), send_case(never, &value)};
      if (i % 2) CHECK_EQ(ecru_select(cases, 3, ECRU_SELECT_POLL), ECRU_EAGAIN);
      else CHECK_EQ(ecru_select_until(cases, 3, 0, 0), ECRU_ETIMEDOUT);
    }
    go(send_many, &in);
    for (long i = 0; i < in.count; i++) {
      ecru_case cases[] = {recv_case(never, &value), recv_case(in.chan, &value)};
      CHECK_EQ(ecru_select(cases, 2, 0), 1);
    }
    await(in.done, 1);
  }
  CHECK(test_heap_bytes() <= before + 4096);
  ecru_chan_release(in.chan);
  ecru_chan_release(in.done);
  ecru_chan_release(never);
}

TEST(select, a_hundred_thousand_selects_leave_no_memory_behind) { // S4, C10
  with_procs(1, check_no_growth);
}

// C10: all wait for one shared channel beside their own; each that wakes unlinks itself from the long queue.
struct linear {
  ecru_chan *shared, *done, **own;
  _Atomic long next, parked;
};

static void wait_own_or_shared(void *argument) {
  struct linear *l = argument;
  long i = atomic_fetch_add(&l->next, 1);
  ecru_case cases[] = {recv_case(l->own[i], NULL), recv_case(l->shared, NULL)};
  CHECK_EQ(ecru_select(cases, 2, 0), 0);
  finish(l->done);
}

static int64_t cost_of(long count) {
  struct linear l = {.shared = chan_of(0, 0), .done = chan_of(0, (size_t)count)};
  l.own = malloc((size_t)count * sizeof(ecru_chan *));
  for (long i = 0; i < count; i++) l.own[i] = chan_of(0, 0);
  for (long i = 0; i < count; i++) go(wait_own_or_shared, &l);
  UNTIL(parked_receivers(l.own[count - 1]) == 1 && parked_receivers(l.shared) == count);
  int64_t start = cpu_ns();
  for (long i = count; i-- > 0;) finish(l.own[i]); // the last in the queue first
  await(l.done, (int)count);
  int64_t cost = cpu_ns() - start;
  for (long i = 0; i < count; i++) ecru_chan_release(l.own[i]);
  CHECK_EQ(parked_receivers(l.shared), 0);
  ecru_chan_release(l.shared);
  ecru_chan_release(l.done);
  free(l.own);
  return cost;
}

static void check_linear(void *unused) {
  (void)unused;
  enum { TICKS_NS = 30000000 }; // of the clock, where it is coarse; far more if quadratic
  long small = test_scaled(2000), factor = 8;
  cost_of(small * factor); // warm up: the stacks exist now
  for (int attempt = 0; attempt < 5; attempt++) {
    int64_t one = cost_of(small), many = cost_of(small * factor);
    if (many < one * factor * 3 + TICKS_NS) return; // quadratic: factor * factor
  }
  FAIL("the cost of unlinking grows with the number of waiters");
}

TEST(select, unlinking_a_loser_costs_the_same_however_many_wait) { // C10
  with_procs(1, check_linear);
}

// ---- policies in a select --------------------------------------------------------------------------------------------

static void sum_drops(void *context, void *element) {
  *(long *)context += *(int *)element;
  ecru_yield(); // no lock is held
}

static void check_policies(void *unused) {
  (void)unused;
  long sum = 0;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.full = ECRU_FULL_DROP_OLDEST;
  options.dropped = sum_drops;
  options.context = &sum;
  ecru_chan *chan, *never = chan_of(sizeof(int), 0);
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), 2, &options), 0);
  for (int i = 1; i <= 10; i++) {
    ecru_case cases[] = {recv_case(never, NULL), send_case(chan, &i)};
    CHECK_EQ(ecru_select(cases, 2, i % 2 ? ECRU_SELECT_PRIORITY : 0), 1);
    CHECK_EQ(cases[1].status, 0);
  }
  CHECK_EQ(sum, 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8);
  ecru_chan_release(chan);
  CHECK_EQ(sum, 55);

  options = (ecru_chan_options)ECRU_CHAN_OPTIONS;
  options.unbounded = 1;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), 0, &options), 0);
  for (int i = 0; i < 1000; i++) {
    ecru_case cases[] = {recv_case(never, NULL), send_case(chan, &i)};
    CHECK_EQ(ecru_select(cases, 2, i % 2 ? ECRU_SELECT_PRIORITY : 0), 1);
  }
  for (int i = 0; i < 1000; i++) CHECK_EQ(recv_int(chan), i);
  ecru_chan_release(chan);

  options = (ecru_chan_options)ECRU_CHAN_OPTIONS;
  options.full = ECRU_FULL_FAIL;
  CHECK_EQ(ecru_chan_create_with(&chan, sizeof(int), 1, &options), 0);
  int value = 3;
  ecru_case cases[] = {recv_case(never, NULL), send_case(chan, &value)};
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN); // here it waits for room like any other
  go(recv_one, chan);
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  ecru_chan_release(chan);
  ecru_chan_release(never);
}

TEST(select, sends_by_the_channels_policy) { // C6, C1, S4
  with_procs(1, check_policies);
}
