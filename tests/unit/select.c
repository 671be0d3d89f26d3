/// tests/unit/select.c: select by rule (S1-S4, C10). Many cases: select_many.c. Crowds and races over time: stress/chan.c.
#include "chans.h"

#include <math.h>

static ecru_case case_of(uint32_t kind, void *object, void *value) { return (ecru_case){kind, 77, object, value}; }

// ---- S1: every kind of case, ready at once and after a wait ----------------------------------------------------------

struct setting {
  ecru_chan *in, *out, *never, *done;
  ecru_token *token;
  int index, received, status;
};

static struct setting setting_make(void) {
  struct setting s = {chan_of(sizeof(int), 0), chan_of(sizeof(int), 0), chan_of(sizeof(int), 0), chan_of(0, 1), NULL, -99, -99, -99};
  CHECK_EQ(ecru_token_create(&s.token, NULL, ECRU_FOREVER), 0);
  return s;
}
static void setting_free(struct setting *s) {
  ecru_chan_release(s->in);
  ecru_chan_release(s->out);
  ecru_chan_release(s->never);
  ecru_chan_release(s->done);
  ecru_token_release(s->token);
}

static void select_four(void *argument) {
  struct setting *s = argument;
  int sent = 33;
  ecru_case cases[] = {recv_case(s->never, NULL), recv_case(s->in, &s->received), send_case(s->out, &sent),
                       case_of(ECRU_CASE_TOKEN, s->token, NULL)};
  s->index = ecru_select(cases, 4, 0);
  s->status = s->index >= 0 ? cases[s->index].status : -99;
  finish(s->done);
}

/// The select waits; then `what` happens.
static void check_wakes(int what) {
  struct setting s = setting_make();
  go(select_four, &s);
  UNTIL(parked_receivers(s.in) == 1);
  int received = 0;
  switch (what) {
  case 1: send_int(s.in, 5); break;
  case 2: received = recv_int(s.out); break;
  case 3: CHECK_EQ(ecru_token_cancel(s.token, 0), 0); break;
  case 4: CHECK_EQ(ecru_chan_close(s.in), 0); break;
  case 5: CHECK_EQ(ecru_chan_close_with(s.in, ECRU_EIO), 0); break;
  case 6: CHECK_EQ(ecru_chan_close(s.out), 0); break;
  }
  await(s.done, 1);
  static const int index[] = {0, 1, 2, 3, 1, 1, 2}, status[] = {0, 0, 0, 0, ECRU_ECLOSED, ECRU_EIO, ECRU_ECLOSED};
  CHECK_EQ(s.index, index[what]);
  CHECK_EQ(s.status, status[what]);
  CHECK_EQ(s.received, what == 1 ? 5 : -99);
  if (what == 2) CHECK_EQ(received, 33);
  CHECK_EQ(parked_receivers(s.in) + parked_receivers(s.never) + parked_senders(s.out), 0); // the losers are gone
  setting_free(&s);
}

static void check_all_wakes(void *unused) {
  (void)unused;
  for (int what = 1; what <= 6; what++) check_wakes(what);
}

TEST(select, waits_for_channels_and_tokens) { // S1, S4, C4
  with_procs(1, check_all_wakes);
}
TEST(select, waits_for_channels_and_tokens_in_parallel) { // S1, S4, C4
  with_procs(2, check_all_wakes);
}
TEST(select, a_foreign_thread_wakes_a_select) { // S1, G10
  check_all_wakes(NULL);
}


TEST(select, a_foreign_thread_selects) { // S1, G10
  struct setting s = setting_make();
  int received = 0, sent = 6;
  ecru_case cases[] = {recv_case(s.never, NULL), recv_case(s.in, &received), send_case(s.out, &sent)};
  for (int i = 0; i < 100; i++) {
    go(send_five, s.in);
    CHECK_EQ(ecru_select(cases, 3, 0), 1);
    CHECK_EQ(received, 5);
    go(recv_one, s.out);
    CHECK_EQ(ecru_select(cases, 3, 0), 2);
  }
  setting_free(&s);
}

static int return_seven(void *argument, void **result) {
  if (argument) await(argument, 1);
  *result = NULL;
  return -7;
}

static _Atomic int unobserved;
static void count_unobserved(void *context, uint64_t id, const char *name, int status) {
  (void)context, (void)id, (void)name, (void)status;
  atomic_fetch_add(&unobserved, 1);
}

static void check_task_case(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_set_unobserved_hook(count_unobserved, NULL), 0);
  ecru_chan *never = chan_of(0, 0), *gate = chan_of(0, 1);
  for (int waits = 0; waits < 2; waits++) {
    ecru_task *task;
    CHECK_EQ(ecru_spawn(&task, return_seven, waits ? gate : NULL), 0);
    ecru_case cases[] = {recv_case(never, NULL), case_of(ECRU_CASE_TASK, task, NULL)};
    if (!waits) UNTIL(ecru_task_state(task) != ECRU_TASK_RUNNING);
    else go((ecru_fn)finish, gate);
    CHECK_EQ(ecru_select(cases, 2, 0), 1);
    CHECK_EQ(cases[1].status, 0);
    CHECK_EQ(ecru_task_state(task), ECRU_TASK_FAILED);
    ecru_task_release(task);
  }
  CHECK_EQ(atomic_load(&unobserved), 0); // the select has looked at how it ended
  ecru_chan_release(never);
  ecru_chan_release(gate);
}

TEST(select, waits_for_the_end_of_a_task) { // S1, T1, T2
  with_procs(2, check_task_case);
}

static void check_timer_case(void *unused) {
  (void)unused;
  ecru_chan *never = chan_of(0, 0);
  ecru_timer *timer;
  CHECK_EQ(ecru_timer_create(&timer, 2 * ECRU_MILLISECOND), 0);
  int64_t scheduled = 0, start = ecru_now();
  ecru_case cases[] = {recv_case(never, NULL), case_of(ECRU_CASE_TIMER, timer, &scheduled)};
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(scheduled, start + 2 * ECRU_MILLISECOND);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN); // the tick has been consumed
  CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
  CHECK_EQ(ecru_timer_reset(timer, 0), 0);
  cases[1].value = NULL;
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  ecru_timer_destroy(timer);
  CHECK_EQ(ecru_ticker_create(&timer, ECRU_MILLISECOND), 0);
  cases[1].object = timer;
  cases[1].value = &scheduled;
  int64_t last = 0;
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(ecru_select(cases, 2, 0), 1);
    CHECK(scheduled == last + ECRU_MILLISECOND || last == 0);
    last = scheduled;
  }
  CHECK_EQ(ecru_timer_stop(timer), 1);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN); // no tick after the stop
  ecru_timer_destroy(timer);
  ecru_chan_release(never);
}

TEST(select, waits_for_timers_and_consumes_the_tick) { // S1, K6, K7
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_clock_virtual_create(&options.clock, 1), 0);
  CHECK_EQ(ecru_run_with(&options, check_timer_case, NULL), 0);
  ecru_clock_destroy(options.clock);
}

static void check_ready_at_once(void *unused) {
  (void)unused;
  struct setting s = setting_make();
  ecru_chan *full = chan_of(sizeof(int), 1), *empty = chan_of(sizeof(int), 1);
  int in = 0, out = 8;
  send_int(full, 7);
  ecru_case cases[] = {recv_case(s.never, NULL), recv_case(full, &in), send_case(s.never, &out)};
  CHECK_EQ(ecru_select(cases, 3, 0), 1);
  CHECK_EQ(in, 7);
  CHECK_EQ(cases[1].status, 0);
  CHECK_EQ(cases[0].status, 77); // only the picked case is written
  cases[1] = send_case(empty, &out);
  CHECK_EQ(ecru_select(cases, 3, 0), 1);
  CHECK_EQ(recv_int(empty), 8);
  CHECK_EQ(ecru_token_cancel(s.token, 0), 0);
  cases[1] = case_of(ECRU_CASE_TOKEN, s.token, NULL);
  CHECK_EQ(ecru_select(cases, 3, 0), 1);
  CHECK_EQ(ecru_chan_close(full), 0);
  cases[1] = recv_case(full, &in);
  CHECK_EQ(ecru_select(cases, 3, 0), 1);
  CHECK_EQ(cases[1].status, ECRU_ECLOSED);
  cases[1] = send_case(full, &out);
  CHECK_EQ(ecru_select(cases, 3, 0), 1);
  CHECK_EQ(cases[1].status, ECRU_ECLOSED);
  ecru_chan_release(full);
  ecru_chan_release(empty);
  setting_free(&s);
}

TEST(select, takes_what_is_ready) { // S1, S4, C4
  with_procs(1, check_ready_at_once);
}

// ---- S1: bad input --------------------------------------------------------------------------------------------------

static void nothing(void *unused) { (void)unused; }

static void check_bad_input(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_case cases[] = {recv_case(NULL, NULL), case_of(0, NULL, NULL)};
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EINVAL); // no such kind, though never ready
  cases[1].kind = 99;
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EINVAL);
  cases[1] = recv_case(chan, NULL);
  CHECK_EQ(ecru_select(cases, 2, 4), ECRU_EINVAL);
  CHECK_EQ(ecru_select(cases, 2, ~0u), ECRU_EINVAL);
  CHECK_EQ(ecru_select(NULL, 1, ECRU_SELECT_POLL), ECRU_EINVAL);
  CHECK_EQ(ecru_select(cases, 65536, ECRU_SELECT_POLL), ECRU_EINVAL);
  CHECK_EQ(ecru_select(cases, SIZE_MAX, ECRU_SELECT_POLL), ECRU_EINVAL);
  cases[1] = send_case(chan, NULL);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EINVAL);
  CHECK_EQ(ecru_chan_len(chan), 0);
  cases[1] = send_case(NULL, NULL);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  ecru_timer *timer;
  CHECK_EQ(ecru_after_func(&timer, ECRU_SECOND * 100, nothing, NULL), 0);
  cases[1] = case_of(ECRU_CASE_TIMER, timer, NULL);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EINVAL); // an after-func has no ticks
  ecru_timer_destroy(timer);
  ecru_chan_release(chan);
}

TEST(select, refuses_bad_input) { // S1
  with_procs(1, check_bad_input);
}

// ---- S2: which one --------------------------------------------------------------------------------------------------

/// The picks of `count` equal cases stay within ten standard deviations of the mean.
static void check_even(const long *picks, int count, long trials) {
  double p = 1.0 / count, mean = p * (double)trials, sigma = sqrt((double)trials * p * (1 - p));
  for (int i = 0; i < count; i++)
    if (fabs((double)picks[i] - mean) > 10 * sigma)
      FAIL("case %d of %d picked %ld times in %ld, expected %.0f +- %.0f", i, count, picks[i], trials, mean, 10 * sigma);
}

static void check_fair_among(int ready, int idle) {
  ecru_case cases[16];
  long picks[16] = {0}, trials = test_scaled(20000);
  ecru_chan *never = chan_of(0, 0);
  for (int i = 0; i < ready + idle; i++) { // idle ones before, between and behind
    bool is_idle = i % 2 == 0 ? idle > i / 2 : ready <= i / 2;
    cases[i] = recv_case(is_idle ? never : chan_of(0, 0), NULL);
    if (!is_idle) CHECK_EQ(ecru_chan_close(cases[i].object), 0);
  }
  for (long t = 0; t < trials; t++) {
    int i = ecru_select(cases, (size_t)(ready + idle), 0);
    CHECK(i >= 0 && cases[i].object != never);
    picks[i]++;
  }
  long even[16];
  int count = 0;
  for (int i = 0; i < ready + idle; i++) {
    if (cases[i].object == never) continue;
    even[count++] = picks[i];
    ecru_chan_release(cases[i].object);
  }
  CHECK_EQ(count, ready);
  check_even(even, count, trials);
  ecru_chan_release(never);
}

static void check_fairness(void *unused) {
  (void)unused;
  check_fair_among(2, 0);
  check_fair_among(2, 2);
  check_fair_among(3, 0);
  check_fair_among(5, 5);
  check_fair_among(16, 0);
}

TEST(select, picks_evenly_among_the_ready) { // S2
  with_procs(1, check_fairness);
}
TEST(select, picks_evenly_in_a_foreign_thread) { // S2, G10
  check_fairness(NULL);
}

struct feed {
  ecru_chan *from[4], *out, *stop, *done;
};

static void pass_on(void *argument) {
  struct feed *f = argument;
  for (;;) {
    unsigned char byte = 0;
    ecru_case in[] = {recv_case(f->from[2], &byte), recv_case(f->from[3], &byte), recv_case(f->from[0], &byte),
                      recv_case(f->from[1], &byte)};
    CHECK(ecru_select(in, 4, 0) >= 0);
    ecru_case out[] = {send_case(f->out, &byte), recv_case(f->stop, NULL)};
    if (ecru_select(out, 2, 0) == 1) break;
  }
  finish(f->done);
}

static void check_fair_stream(void *unused) {
  (void)unused;
  long trials = test_scaled(10000), picks[2] = {0};
  struct feed f = {.out = chan_of(1, 0), .stop = chan_of(0, 0), .done = chan_of(0, 0)};
  for (int i = 0; i < 4; i++) f.from[i] = chan_of(1, i < 2 ? (size_t)trials + 1 : 0);
  for (int i = 0; i < 2; i++)
    for (long t = 0; t <= trials; t++) {
      unsigned char byte = (unsigned char)i;
      CHECK_EQ(ecru_chan_send(f.from[i], &byte), 0);
    }
  go(pass_on, &f);
  for (long t = 0; t < trials; t++) {
    unsigned char byte;
    CHECK_EQ(ecru_chan_recv(f.out, &byte), 0);
    picks[byte]++;
  }
  check_even(picks, 2, trials);
  CHECK_EQ(ecru_chan_close(f.stop), 0);
  await(f.done, 1);
  for (int i = 0; i < 4; i++) ecru_chan_release(f.from[i]);
  ecru_chan_release(f.out);
  ecru_chan_release(f.stop);
  ecru_chan_release(f.done);
}

TEST(select, of_two_full_and_two_idle_channels_serves_both_evenly) { // S2
  with_procs(2, check_fair_stream);
}

static void check_priority(void *unused) {
  (void)unused;
  ecru_chan *low = chan_of(sizeof(int), 8), *high = chan_of(sizeof(int), 8), *never = chan_of(0, 0);
  for (int i = 0; i < 4; i++) {
    send_int(low, i);
    send_int(high, i);
  }
  int value;
  ecru_case cases[] = {recv_case(never, NULL), recv_case(NULL, NULL), recv_case(high, &value), recv_case(low, &value)};
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(ecru_select(cases, 4, ECRU_SELECT_PRIORITY), 2);
    CHECK_EQ(value, i);
  }
  for (int i = 0; i < 4; i++) CHECK_EQ(ecru_select(cases, 4, ECRU_SELECT_PRIORITY | ECRU_SELECT_POLL), 3);
  CHECK_EQ(ecru_select(cases, 4, ECRU_SELECT_PRIORITY | ECRU_SELECT_POLL), ECRU_EAGAIN);
  ecru_chan_release(low);
  ecru_chan_release(high);
  ecru_chan_release(never);
}

TEST(select, priority_picks_the_first_in_order) { // S2
  with_procs(1, check_priority);
}

struct urgent {
  ecru_chan *high, *low, *done;
  long rounds;
};
static void send_high_then_low(void *argument) {
  struct urgent *u = argument;
  for (int i = 0; i < u->rounds; i++) {
    send_int(u->high, i);
    send_int(u->low, i);
  }
  finish(u->done);
}

static void check_priority_is_exact(void *unused) {
  (void)unused;
  enum { IDLE = 300 }; // between the two: time for the sender to come in between a look at the first and one at the last
  struct urgent u = {chan_of(sizeof(int), 64), chan_of(sizeof(int), 64), chan_of(0, 0), test_scaled(5000)};
  ecru_chan *never = chan_of(sizeof(int), 0);
  int high = 0, low = 0, value;
  ecru_case cases[IDLE + 2];
  for (int i = 0; i < IDLE + 2; i++) cases[i] = recv_case(i == 0 ? u.high : i > IDLE ? u.low : never, &value);
  go(send_high_then_low, &u);
  while (low < u.rounds) {
    int picked = ecru_select(cases, IDLE + 2, ECRU_SELECT_PRIORITY | ECRU_SELECT_POLL);
    if (picked == ECRU_EAGAIN) continue;
    if (picked == 0) high++;
    else low++;
    CHECK(low <= high); // whenever a low one was there its high one had been there before
  }
  await(u.done, 1);
  ecru_chan_release(u.high);
  ecru_chan_release(u.low);
  ecru_chan_release(u.done);
  ecru_chan_release(never);
}

TEST(select, priority_holds_against_a_concurrent_sender) { // S2, S4
  with_procs(2, check_priority_is_exact);
}

// ---- S3: poll, deadline, NULL, nothing -------------------------------------------------------------------------------

static void check_forms(void *unused) {
  (void)unused;
  ecru_chan *never = chan_of(sizeof(int), 0), *full = chan_of(sizeof(int), 1);
  int value = 0;
  ecru_case cases[] = {recv_case(never, &value), send_case(never, &value), recv_case(NULL, NULL), send_case(NULL, &value),
                       case_of(ECRU_CASE_TOKEN, NULL, NULL), case_of(ECRU_CASE_TASK, NULL, NULL),
                       case_of(ECRU_CASE_TIMER, NULL, NULL)};
  size_t count = sizeof cases / sizeof *cases;
  for (size_t n = 0; n <= count; n++) CHECK_EQ(ecru_select(cases, n, ECRU_SELECT_POLL), ECRU_EAGAIN);
  for (size_t n = 0; n <= count; n += 3) {
    int64_t deadline = ecru_now() + ECRU_MILLISECOND;
    CHECK_EQ(ecru_select_until(cases, n, 0, deadline), ECRU_ETIMEDOUT);
    CHECK(ecru_now() >= deadline);
    CHECK_EQ(ecru_select_until(cases, n, 0, deadline), ECRU_ETIMEDOUT); // passed
    CHECK_EQ(ecru_select_until(cases, n, 0, -1), ECRU_ETIMEDOUT);
    CHECK_EQ(ecru_select_until(cases, n, ECRU_SELECT_POLL, deadline), ECRU_EAGAIN);
  }
  CHECK_EQ(parked_receivers(never) + parked_senders(never), 0);
  CHECK_EQ(ecru_select(NULL, 0, ECRU_SELECT_POLL), ECRU_EAGAIN);
  send_int(full, 1);
  cases[2].object = full;
  CHECK_EQ(ecru_select_until(cases, count, 0, 0), 2); // what is ready comes before a deadline that has passed
  send_int(full, 1);
  CHECK_EQ(ecru_select_until(cases, count, 0, ecru_now() + 100 * ECRU_SECOND), 2);
  go(send_five, full);
  CHECK_EQ(ecru_select_until(cases, count, 0, ecru_now() + 100 * ECRU_SECOND), 2);
  ecru_chan_release(never);
  ecru_chan_release(full);
}

TEST(select, polls_and_times_out) { // S3
  with_procs(1, check_forms);
}
TEST(select, polls_and_times_out_in_a_foreign_thread) { // S3, G10
  check_forms(NULL);
}

struct stopped {
  ecru_token *token;
  ecru_chan *done, *chan;
  size_t count;
  int status, again;
};

static void select_until_stopped(void *argument) {
  struct stopped *s = argument;
  CHECK_EQ(ecru_token_enter(s->token), 0);
  ecru_case cases[] = {recv_case(NULL, NULL), recv_case(s->chan, NULL), send_case(s->chan, NULL)};
  s->status = ecru_select(cases, s->count, 0);
  s->again = ecru_select(cases, s->count, 0);
  CHECK_EQ(ecru_token_leave(), 0);
  finish(s->done);
}

static void check_stopped(void *unused) {
  (void)unused;
  for (size_t count = 0; count <= 3; count++) {
    struct stopped s = {.done = chan_of(0, 0), .chan = chan_of(0, 0), .count = count};
    CHECK_EQ(ecru_token_create(&s.token, NULL, ECRU_FOREVER), 0);
    go(select_until_stopped, &s);
    ecru_yield(); // the one processor is now its own until it parks
    CHECK_EQ(ecru_token_cancel(s.token, 0), 0);
    await(s.done, 1);
    CHECK_EQ(s.status, ECRU_ECANCELED);
    CHECK_EQ(s.again, ECRU_ECANCELED);
    CHECK_EQ(parked_receivers(s.chan) + parked_senders(s.chan), 0);
    ecru_token_release(s.token);
    ecru_chan_release(s.done);
    ecru_chan_release(s.chan);
  }
}

TEST(select, without_ready_cases_parks_until_the_token_fires) { // S3, K2, C11
  with_procs(1, check_stopped);
}

static void select_own_token(void *argument) {
  struct stopped *s = argument;
  CHECK_EQ(ecru_token_enter(s->token), 0);
  ecru_case cases[] = {recv_case(s->chan, NULL), case_of(ECRU_CASE_TOKEN, ecru_token_current(), NULL)};
  s->status = ecru_select(cases, 2, 0);
  CHECK_EQ(cases[1].status, 0);
  s->again = ecru_select(cases, 2, 0);
  CHECK_EQ(ecru_token_leave(), 0);
  finish(s->done);
}

static void check_own_token(void *unused) {
  (void)unused;
  struct stopped s = {.done = chan_of(0, 0), .chan = chan_of(0, 0)};
  CHECK_EQ(ecru_token_create(&s.token, NULL, ECRU_FOREVER), 0);
  go(select_own_token, &s);
  UNTIL(parked_receivers(s.chan) == 1);
  CHECK_EQ(ecru_token_cancel(s.token, 0), 0);
  await(s.done, 1);
  CHECK_EQ(s.status, 1); // who waits for it is told, not stopped
  CHECK_EQ(s.again, 1);
  ecru_token_release(s.token);
  ecru_chan_release(s.done);
  ecru_chan_release(s.chan);
}

TEST(select, waits_for_its_own_token) { // S1, K2, K3
  with_procs(1, check_own_token);
}

// ---- S4: exactly one, never itself -----------------------------------------------------------------------------------

struct selfish {
  ecru_chan *chan, *done;
  int id;
  size_t capacity;
};

static void select_both_ways(void *argument) {
  struct selfish *s = argument;
  for (long i = 0; i < test_scaled(1000); i++) {
    int received = -1;
    ecru_case cases[] = {send_case(s->chan, &s->id), recv_case(s->chan, &received)};
    if (i % 2 == s->id) {
      ecru_case first = cases[0];
      cases[0] = cases[1];
      cases[1] = first;
    }
    int picked = ecru_select(cases, 2, 0);
    CHECK(picked >= 0);
    CHECK_EQ(cases[picked].status, 0);
    if (cases[picked].kind == ECRU_CASE_RECV && s->capacity == 0) CHECK_EQ(received, 1 - s->id); // not our own
  }
  finish(s->done);
}

static void check_self_select(void *unused) {
  (void)unused;
  for (size_t capacity = 0; capacity <= 10; capacity += 10) {
    ecru_chan *chan = chan_of(sizeof(int), capacity), *done = chan_of(0, 2);
    struct selfish both[2] = {{chan, done, 0, capacity}, {chan, done, 1, capacity}};
    go(select_both_ways, &both[0]);
    go(select_both_ways, &both[1]);
    await(done, 2); // unbuffered they need each other to the end, buffered each can always go on
    ecru_chan_release(chan);
    ecru_chan_release(done);
  }
}

TEST(select, never_pairs_with_itself) { // S4
  with_procs(1, check_self_select);
}
TEST(select, never_pairs_with_itself_in_parallel) { // S4
  with_procs(2, check_self_select);
}

static void check_alone_with_itself(void *unused) {
  (void)unused;
  ecru_chan *chan = chan_of(sizeof(int), 0);
  int in = -1, out = 3;
  ecru_case cases[] = {send_case(chan, &out), recv_case(chan, &in), send_case(chan, &out), recv_case(chan, &in)};
  CHECK_EQ(ecru_select(cases, 4, ECRU_SELECT_POLL), ECRU_EAGAIN);
  CHECK_EQ(ecru_select_until(cases, 4, 0, ecru_now() + ECRU_MILLISECOND), ECRU_ETIMEDOUT);
  CHECK_EQ(in, -1);
  CHECK_EQ(parked_receivers(chan) + parked_senders(chan), 0);
  ecru_chan_release(chan);
}

TEST(select, alone_on_both_sides_of_a_channel_waits) { // S4
  with_procs(1, check_alone_with_itself);
}

static void select_duplicates(void *argument) {
  struct setting *s = argument;
  int sent = 9;
  ecru_case cases[] = {recv_case(s->in, &s->received), send_case(s->in, &sent), recv_case(s->in, &s->received),
                       recv_case(s->never, NULL), recv_case(s->in, &s->received), send_case(s->in, &sent)};
  s->index = ecru_select(cases, 6, 0);
  finish(s->done);
}

static void check_duplicates(void *unused) {
  (void)unused;
  struct setting s = setting_make();
  for (int i = 0; i < 20; i++) {
    s.received = -1;
    go(select_duplicates, &s);
    UNTIL(parked_receivers(s.in) == 3 && parked_senders(s.in) == 2);
    if (i % 2) send_int(s.in, i);
    else CHECK_EQ(recv_int(s.in), 9);
    await(s.done, 1);
    CHECK_EQ(s.index, i % 2 ? 0 : 1); // who queued first
    CHECK_EQ(s.received, i % 2 ? i : -1);
    CHECK_EQ(parked_receivers(s.in) + parked_senders(s.in) + parked_receivers(s.never), 0);
  }
  setting_free(&s);
}

TEST(select, one_channel_may_stand_in_many_cases) { // S4, C10
  with_procs(1, check_duplicates);
}

struct doubles {
  ecru_chan *to[4], *out, *done;
  long count;
};

static void send_to_any(void *argument) {
  struct doubles *d = argument;
  for (int i = 0; i < d->count; i++) {
    ecru_case cases[4];
    for (int k = 0; k < 4; k++) cases[k] = send_case(d->to[k], &i);
    CHECK(ecru_select(cases, 4, 0) >= 0);
  }
  for (int k = 0; k < 4; k++) CHECK_EQ(ecru_chan_close(d->to[k]), 0);
}

struct mux {
  ecru_chan *from, *out, *done;
};
static void forward(void *argument) {
  struct mux *m = argument;
  int value;
  while (ecru_chan_recv(m->from, &value) == 0) send_int(m->out, value);
  finish(m->done);
}
static void close_when_all_done(void *argument) {
  struct doubles *d = argument;
  await(d->done, 4);
  CHECK_EQ(ecru_chan_close(d->out), 0);
}

static void check_double_select(void *unused) {
  (void)unused;
  struct doubles d = {.out = chan_of(sizeof(int), 0), .done = chan_of(0, 0), .count = test_scaled(20000)};
  struct mux muxes[4];
  for (int k = 0; k < 4; k++) {
    d.to[k] = chan_of(sizeof(int), 0);
    muxes[k] = (struct mux){d.to[k], d.out, d.done};
    go(forward, &muxes[k]);
  }
  go(send_to_any, &d);
  go(close_when_all_done, &d);
  char *seen = calloc((size_t)d.count, 1);
  long got = 0;
  for (int value; ecru_chan_recv(d.out, &value) == 0; got++) CHECK_EQ(seen[value]++, 0); // each is sent once
  CHECK_EQ(got, d.count);
  free(seen);
  for (int k = 0; k < 4; k++) ecru_chan_release(d.to[k]);
  ecru_chan_release(d.out);
  ecru_chan_release(d.done);
}

TEST(select, a_value_sent_by_select_arrives_exactly_once) { // S4, C11
  with_procs(2, check_double_select);
}

struct snapshot {
  ecru_chan *first, *second, *done;
  int picked;
};
static void poll_two(void *argument) {
  struct snapshot *s = argument;
  ecru_case cases[] = {recv_case(s->first, NULL), recv_case(s->second, NULL)};
  s->picked = ecru_select(cases, 2, ECRU_SELECT_POLL);
  finish(s->done);
}

static void check_snapshot(bool by_close) {
  ecru_chan *done = chan_of(0, 1);
  for (long i = 0; i < test_scaled(20000); i++) {
    struct snapshot s = {chan_of(0, 1), chan_of(0, 1), done, -99};
    finish(s.first);
    go(poll_two, &s);
    if (by_close) CHECK_EQ(ecru_chan_close(s.second), 0);
    else finish(s.second); // the second is ready before the first ceases to be
    ecru_case take = recv_case(s.first, NULL);
    ecru_select(&take, 1, ECRU_SELECT_POLL);
    await(done, 1);
    CHECK(s.picked >= 0);
    ecru_chan_release(s.first);
    ecru_chan_release(s.second);
  }
  ecru_chan_release(done);
}
static void check_snapshots(void *unused) {
  (void)unused;
  check_snapshot(false);
  check_snapshot(true);
}

TEST(select, poll_is_a_snapshot) { // S4, C5
  with_procs(2, check_snapshots);
}
