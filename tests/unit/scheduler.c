/// tests/unit/scheduler.c: everybody's turn comes (G2), blocked and busy threads hold nobody up (G3, G4), parallelism is one
/// number (G5), crowds are cheap (G9). Claims count what happened instead of measuring time where that is possible.
#include "goroutines.h"
#include "platform/thread.h"
#include "platform/vm.h"
#include "runtime/sanitize.h"
#include "runtime/state.h"

#if defined(ECRU__TSAN) // a goroutine costs it 0.7 ms, and it allows 8000
enum { GOROUTINES_ARE_CHEAP = 0, CROWD_MOST = 4000 };
#else
enum { GOROUTINES_ARE_CHEAP = 1, CROWD_MOST = 100000 };
#endif
#if defined(ECRU__TSAN) || defined(ECRU__ASAN)
enum { MEMORY_IS_OURS = 0 };
#else
enum { MEMORY_IS_OURS = 1 };
#endif

static ecru_chan *done;
static _Atomic long turns, others;
static _Atomic int over;

static void reset(void) {
  atomic_store(&turns, 0);
  atomic_store(&others, 0);
  atomic_store(&over, 0);
}

// ---- everybody's turn comes (G2) ----------------------------------------------------------------------------------
// One processor; some goroutines never leave it without work. Whoever waits for a turn ends that: a test that returns has shown it.

static void yield_on(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    atomic_fetch_add(&turns, 1);
    CHECK_EQ(ecru_yield(), 0);
  }
  finish(done);
}
static void ping_on(void *chans) { // runs only through `next`, in turns with its partner
  ecru_chan **pair = chans;
  while (ecru_chan_send(pair[0], NULL) == 0 && ecru_chan_recv(pair[1], NULL) == 0) atomic_fetch_add(&turns, 1);
  finish(done);
}
static void pong_on(void *chans) {
  ecru_chan **pair = chans;
  while (!atomic_load(&over)) {
    CHECK_EQ(ecru_chan_recv(pair[0], NULL), 0);
    CHECK_EQ(ecru_chan_send(pair[1], NULL), 0);
  }
  CHECK_EQ(ecru_chan_close(pair[0]), 0);
  CHECK_EQ(ecru_chan_close(pair[1]), 0);
  finish(done);
}
static void spawn_on(void *unused) { // each starts the next one, which goes before all that were started earlier
  (void)unused;
  atomic_fetch_add(&turns, 1);
  if (atomic_load(&over)) finish(done);
  else go(spawn_on, NULL);
}
static void spawn_two_on(void *unused) { // no queue is ever empty
  (void)unused;
  if (atomic_fetch_add(&turns, 1) > 1000000) atomic_store(&over, 1);
  if (atomic_load(&over)) return;
  long alive = atomic_fetch_add(&others, 1);
  go(spawn_two_on, NULL);
  if (alive % 64 == 0 && counters_now().goroutines < (uint64_t)test_scaled(2000)) go(spawn_two_on, NULL);
}
static void poll_on(void *chan) { // enters, but never switches
  while (!atomic_load(&over)) {
    atomic_fetch_add(&turns, 1);
    CHECK_EQ(ecru_chan_try_recv(chan, NULL), ECRU_EAGAIN);
  }
  finish(done);
}

enum greed { YIELDERS, PAIRS, SPAWNER, SPAWNERS, POLLER };
static ecru_chan *pairs[2][2], *empty;
static int greedy_goroutines(enum greed how) {
  reset();
  empty = chan_of(0, 1);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 2; k++) pairs[i][k] = chan_of(0, 0);
  for (int i = 0; i < 2; i++) {
    if (how == YIELDERS) go(yield_on, NULL);
    if (how == PAIRS) {
      go(ping_on, pairs[i]);
      go(pong_on, pairs[i]);
    }
  }
  if (how == SPAWNER) go(spawn_on, NULL);
  if (how == SPAWNERS) go(spawn_two_on, NULL);
  if (how == POLLER) go(poll_on, empty);
  return how == YIELDERS ? 2 : how == PAIRS ? 4 : how == SPAWNERS ? 0 : 1;
}
static void end_greed(int count) {
  atomic_store(&over, 1);
  await(done, count);
  UNTIL(counters_now().goroutines == 1);
  ecru_chan_release(empty);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 2; k++) ecru_chan_release(pairs[i][k]);
}
static void beside_greed(void (*need_a_turn)(void)) {
  done = signals();
  for (int how = YIELDERS; how <= POLLER; how++) {
    if (how == SPAWNERS && !GOROUTINES_ARE_CHEAP) continue;
    int count = greedy_goroutines((enum greed)how);
    for (int i = 0; i < 3; i++) need_a_turn();
    end_greed(count);
  }
  ecru_chan_release(done);
}

static void need_own_turn(void) {
  for (long i = test_scaled(100); i-- > 0;) CHECK_EQ(ecru_yield(), 0);
}
static void yield_beside_greed(void *unused) {
  (void)unused;
  beside_greed(need_own_turn);
}
TEST(scheduler, one_that_yields_gets_its_turn_beside_greedy_ones) { // G2, G6
  with_procs(1, yield_beside_greed);
}

static ecru_chan *children_done;
static void be_a_child(void *unused) {
  (void)unused;
  finish(children_done);
}
static void need_turns_for_children(void) {
  children_done = signals();
  long count = test_scaled(100);
  for (long i = 0; i < count; i++) go(be_a_child, NULL);
  await(children_done, count);
  ecru_chan_release(children_done);
}
static void children_beside_greed(void *unused) {
  (void)unused;
  beside_greed(need_turns_for_children);
}
TEST(scheduler, new_ones_get_their_turn_beside_greedy_ones) { // G2
  with_procs(1, children_beside_greed);
}

static void need_turns_when_woken(void) { CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0); }
static void sleep_beside_greed(void *unused) {
  (void)unused;
  beside_greed(need_turns_when_woken);
}
TEST(scheduler, sleepers_get_their_turn_beside_greedy_ones) { // G2, K6
  with_procs(1, sleep_beside_greed);
}

static void *start_children(void *chan) { // through the global queue
  for (int i = 0; i < 20; i++) go(finish, chan);
  return NULL;
}
static void need_turns_from_elsewhere(void) {
  children_done = signals();
  pthread_t thread = start_thread(start_children, children_done);
  await(children_done, 20);
  join_thread(thread);
  ecru_chan_release(children_done);
}
static void threads_beside_greed(void *unused) {
  (void)unused;
  beside_greed(need_turns_from_elsewhere);
}
TEST(scheduler, those_that_threads_start_get_their_turn_beside_greedy_ones) { // G2
  with_procs(1, threads_beside_greed);
}

/// How many turns others get after a timer is due until its sleeper runs. (Yielders look at the clock at each of their turns.)
static _Atomic int64_t due_ns;
static _Atomic long turns_when_due;
static void yield_and_watch(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    long turn = atomic_fetch_add(&turns, 1);
    if (ecru_now() >= atomic_load(&due_ns)) {
      long unset = 0;
      atomic_compare_exchange_strong(&turns_when_due, &unset, turn);
    }
    CHECK_EQ(ecru_yield(), 0);
  }
  finish(done);
}
static int compare_longs(const void *a, const void *b) {
  long left = *(const long *)a, right = *(const long *)b;
  return (left > right) - (left < right);
}
static void count_turns_until_served(void *unused) {
  (void)unused;
  enum { SLEEPS = 51, CROWD = 8 };
  long late[SLEEPS];
  done = signals();
  reset();
  atomic_store(&due_ns, ECRU_FOREVER);
  for (int i = 0; i < CROWD; i++) go(yield_and_watch, NULL);
  for (int i = 0; i < SLEEPS; i++) {
    int64_t due = ecru_after(300 * ECRU_MICROSECOND);
    atomic_store(&turns_when_due, 0);
    atomic_store(&due_ns, due);
    CHECK_EQ(ecru_sleep_until(due), 0);
    long noticed = atomic_load(&turns_when_due);
    late[i] = noticed ? atomic_load(&turns) - noticed : 0;
    atomic_store(&due_ns, ECRU_FOREVER);
  }
  qsort(late, SLEEPS, sizeof late[0], compare_longs);
  CHECK(late[SLEEPS / 2] <= 61 + 2 * CROWD); // the timers are looked at every 61st turn
  atomic_store(&over, 1);
  await(done, CROWD);
  ecru_chan_release(done);
}
TEST(scheduler, due_timers_are_served_after_a_few_turns) { // G2
  with_procs(1, count_turns_until_served);
}

static void wait_turn(void *count) {
  for (int i = 0; i < 100; i++) {
    atomic_fetch_add((atomic_long *)count, 1);
    CHECK_EQ(ecru_yield(), 0);
  }
  finish(done);
}
static void compare_turns(void *unused) {
  (void)unused;
  enum { CROWD = 300 }; // more than fit into a ring
  static atomic_long counts[CROWD];
  done = signals();
  for (int i = 0; i < CROWD; i++) go(wait_turn, &counts[i]);
  for (int round = 0; round < 50; round++) {
    CHECK_EQ(ecru_yield(), 0);
    long least = counts[0], most = counts[0];
    for (int i = 1; i < CROWD; i++) {
      if (counts[i] < least) least = counts[i];
      if (counts[i] > most) most = counts[i];
    }
    CHECK(most <= 4 * least + 60); // nobody is forgotten in a queue
  }
  await(done, CROWD);
  ecru_chan_release(done);
}
static bool monitor_naps(void) { return atomic_load(&ecru__sched.monitor_naps) != 0; }
/// returns: whether the monitor, which looks but rarely, was told of a timer due so much later.
static bool is_told_of_timer(int64_t after_ns) {
  while (!monitor_naps()) CHECK_EQ(ecru_yield(), 0);
  ecru_timer *timer;
  CHECK_EQ(ecru_timer_create(&timer, after_ns), 0);
  bool told = !monitor_naps();
  ecru_timer_destroy(timer);
  return told;
}
static void add_timers_while_it_naps(void *unused) {
  (void)unused;
  enum { ROUNDS = 10 };
  long told = 0;
  while (!is_told_of_timer(300 * ECRU_MICROSECOND)) {} // not if it, or we, were stopped in between for long
  for (long i = 0; i < ROUNDS; i++) told += is_told_of_timer(ECRU_SECOND);
  CHECK(told < ROUNDS); // it looks long before
}
TEST(scheduler, a_monitor_that_naps_is_told_of_timers) { // G2
  with_procs(1, add_timers_while_it_naps);
}

TEST(scheduler, a_crowd_takes_turns) { // G2, G6
  if (test_scaled(100) < 100) SKIP("so slow that time slices end within a turn");
  with_procs(1, compare_turns);
}

// ---- threads that block (G3) --------------------------------------------------------------------------------------

static int ends[2];
static void open_pipe(void) { CHECK_EQ(pipe(ends), 0); }
static void close_pipe(void) {
  close(ends[0]);
  close(ends[1]);
}
static void read_raw(void *unused) {
  (void)unused;
  char byte;
  while (read(ends[0], &byte, 1) != 1) CHECK_EQ(errno, EINTR);
}
static void write_raw(void *unused) {
  (void)unused;
  while (write(ends[1], "x", 1) != 1) CHECK_EQ(errno, EINTR);
}
static void read_and_finish(void *unused) {
  read_raw(unused);
  finish(done);
}
static void read_declared(void *unused) {
  CHECK_EQ(ecru_blocking(read_raw, unused), 0);
  finish(done);
}
static void read_on_thread_stack(void *unused) {
  CHECK_EQ(ecru_on_thread_stack(read_raw, unused), 0);
  finish(done);
}

/// Whoever reads waits for one who needs the same processor to write: ends only if it is handed over.
static void hand_over(void *fn_of_reader) {
  ecru_fn reader = *(ecru_fn *)fn_of_reader;
  long rounds = test_scaled(10);
  done = signals();
  open_pipe();
  uint64_t before = counters_now().handoffs;
  for (long i = 0; i < rounds; i++) {
    go(reader, NULL);
    CHECK_EQ(ecru_yield(), 0); // it blocks now, with our processor
    for (int k = 0; k < 10; k++) CHECK_EQ(ecru_yield(), 0);
    write_raw(NULL);
    await(done, 1);
  }
  CHECK(counters_now().handoffs - before >= (uint64_t)rounds / 2); // unless a reader came late
  close_pipe();
  ecru_chan_release(done);
}
static void check_hand_over(ecru_fn reader) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_run_with(&options, hand_over, &reader), 0);
}
TEST(scheduler, undeclared_blocking_holds_nobody_up) { check_hand_over(read_and_finish); }          // G3
TEST(scheduler, declared_blocking_holds_nobody_up) { check_hand_over(read_declared); }              // G3
TEST(scheduler, blocking_on_the_threads_stack_holds_nobody_up) { check_hand_over(read_on_thread_stack); } // G3

static _Atomic int64_t blocked_ns;
static void note_and_read_declared(void *unused) {
  atomic_store(&blocked_ns, wall_ns());
  read_declared(unused);
}
static void time_hand_overs(void *unused) {
  (void)unused;
  enum { ROUNDS = 51 };
  long took[ROUNDS];
  done = signals();
  open_pipe();
  for (int i = 0; i < ROUNDS; i++) {
    atomic_store(&blocked_ns, 0);
    go(note_and_read_declared, NULL);
    while (!atomic_load(&blocked_ns)) CHECK_EQ(ecru_yield(), 0);
    took[i] = (long)(wall_ns() - atomic_load(&blocked_ns)); // we run again, on the processor that it has lent
    write_raw(NULL);
    await(done, 1);
  }
  qsort(took, ROUNDS, sizeof took[0], compare_longs);
  CHECK(took[ROUNDS / 2] < 5 * ECRU_MILLISECOND); // some 50 us on a quiet machine; 10 ms if it had not been declared
  close_pipe();
  ecru_chan_release(done);
}
TEST(scheduler, declared_blocking_is_handed_over_sooner) { // G3 serial
  with_procs(1, time_hand_overs);
}

static void sleep_raw(void *unused) {
  (void)unused;
  block_thread_ms(60);
  atomic_store(&over, 1);
  finish(done);
}
/// The longest that one turn takes while another goroutine sleeps so: the first, for which the processor changes hands, unless
/// somebody is held up later.
static int64_t longest_turn_beside_raw_sleep(void) {
  reset();
  int64_t longest = 0;
  go(sleep_raw, NULL);
  for (int64_t before = wall_ns(), now; !atomic_load(&over); before = now) {
    CHECK_EQ(ecru_yield(), 0);
    now = wall_ns();
    if (now - before > longest) longest = now - before;
  }
  await(done, 1);
  return longest;
}
static int by_length(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return (left > right) - (left < right);
}
static int64_t median_beside_raw_sleep(void) {
  enum { ROUNDS = 9 };
  int64_t longest[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) longest[i] = longest_turn_beside_raw_sleep();
  qsort(longest, ROUNDS, sizeof longest[0], by_length);
  printf("longest turns: %.2f to %.2f ms, median %.2f\n", (double)longest[0] / 1e6, (double)longest[ROUNDS - 1] / 1e6,
         (double)longest[ROUNDS / 2] / 1e6);
  return longest[ROUNDS / 2];
}
static void sleep_raw_beside_others(void *unused) {
  (void)unused;
  int64_t most = (test_scaled(100) == 100 ? 15 : 30) * ECRU_MILLISECOND, median = most; // 10 ms and the hand-off, slow under tools
  done = signals();
  for (int tries = 0; tries < 6 && median >= most; tries++) median = median_beside_raw_sleep(); // one quiet moment is enough
  ecru_chan_release(done);
  double load = 0;
  if (median >= most && getloadavg(&load, 1) == 1 && load > 2 * (double)sysconf(_SC_NPROCESSORS_ONLN))
    SKIP("the machine has other things to do (load %.1f)", load);
  CHECK(median < most);
}
TEST(scheduler, a_raw_sleep_delays_others_only_briefly) { // G3 serial
  with_procs(1, sleep_raw_beside_others);
}

static void nap_raw(void *unused) {
  (void)unused;
  struct timespec nap = {0, 60 * 1000 * 1000};
  CHECK_EQ(nanosleep(&nap, NULL), 0); // not EINTR: no signal is used to get at the processor
  finish(done);
}
static void nap_beside_others(void *unused) {
  (void)unused;
  done = signals();
  uint64_t before = counters_now().handoffs;
  go(nap_raw, NULL);
  CHECK_EQ(ecru_yield(), 0);
  await(done, 1);
  CHECK(counters_now().handoffs > before);
  ecru_chan_release(done);
}
TEST(scheduler, no_signals_are_sent_into_user_code) { // G4, G3
  with_procs(1, nap_beside_others);
}

enum { MANY_BLOCKED = 12 };
static void block_many(void *unused) {
  (void)unused;
  done = signals();
  open_pipe();
  for (int i = 0; i < MANY_BLOCKED; i++) go(i % 2 ? read_declared : read_and_finish, NULL);
  UNTIL(counters_now().threads > MANY_BLOCKED);
  for (int i = 0; i < MANY_BLOCKED; i++) write_raw(NULL);
  await(done, MANY_BLOCKED);
  close_pipe();
  ecru_chan_release(done);
}
TEST(scheduler, as_many_threads_as_block) { // G3
  with_procs(1, block_many);
}

static void let_threads_end(void *unused) {
  block_many(unused);
  UNTIL(counters_now().threads <= 3); // the monitor, ours, and at times a spare one
  UNTIL(test_threads() <= 4); // and the main thread
  block_many(unused); // and they can be had again
}
TEST(scheduler, idle_threads_end) { // G3
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  options.idle_thread_ns = 20 * ECRU_MILLISECOND;
  with_options(&options, let_threads_end);
}

static void pin_and_end(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_pin(), 0);
  read_declared(unused);
}
static void pin_many(void *unused) {
  (void)unused;
  done = signals();
  open_pipe();
  for (int i = 0; i < MANY_BLOCKED; i++) go(pin_and_end, NULL);
  UNTIL(counters_now().blocking > MANY_BLOCKED / 2); // most have a thread each; some may be pinned to one that another blocks
  for (int i = 0; i < MANY_BLOCKED; i++) write_raw(NULL);
  await(done, MANY_BLOCKED);
  UNTIL(counters_now().threads <= 3);
  close_pipe();
  ecru_chan_release(done);
}
TEST(scheduler, a_thread_ends_after_its_pinned_goroutines) { // G3, G10
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  options.idle_thread_ns = 20 * ECRU_MILLISECOND;
  with_options(&options, pin_many);
}

// ---- the limit of threads

static _Atomic int woken;
static void nothing(void *unused) { (void)unused; }
static void *sleep_in_thread(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(30 * ECRU_MILLISECOND), 0);
  atomic_store(&woken, 1);
  return NULL;
}
static void keep_the_only_thread(void *unused) {
  (void)unused;
  go(nothing, NULL); // because of it our processor is taken away, and nobody is there to take it over
  pthread_t sleeper = start_thread(sleep_in_thread, NULL); // its timer is that processor's
  SPIN_UNTIL(atomic_load(&woken));
  CHECK_EQ(pthread_join(sleeper, NULL), 0);
}
TEST(scheduler, a_threads_timer_is_served_when_all_threads_block) { // G2, G3, K6
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = options.threads_max = 1;
  with_options(&options, keep_the_only_thread);
}

static void *write_for_all(void *count) {
  for (int i = 0; i < *(int *)count; i++) {
    usleep(1000);
    write_raw(NULL);
  }
  return NULL;
}
static void reach_the_limit(void *unused) {
  (void)unused;
  done = signals();
  open_pipe();
  int count = 10;
  pthread_t writer = start_thread(write_for_all, &count); // no goroutine can be relied on to write, nor to start it later
  for (int i = 0; i < count; i++) go(i % 2 ? read_declared : read_and_finish, NULL);
  for (int i = 0; i < count; i++) {
    await(done, 1);
    CHECK(counters_now().threads <= 3 + 1); // the monitor is not counted
  }
  CHECK_EQ(pthread_join(writer, NULL), 0);
  close_pipe();
  ecru_chan_release(done);
}
TEST(scheduler, all_goes_on_when_no_more_threads_are_allowed) { // G3
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  options.threads_max = 3;
  with_options(&options, reach_the_limit);
  options.threads_max = 1;
  with_options(&options, reach_the_limit);
  options.maxprocs = 3;
  options.threads_max = 3;
  with_options(&options, reach_the_limit);
}

static void hold_thread_until_over(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) block_thread_ms(1);
  finish(done);
}
static void refuse_own_threads(void *unused) {
  (void)unused;
  done = signals();
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  int started = 0;
  while (ecru_go_with(&options, hold_thread_until_over, NULL) == 0) started++;
  CHECK(started >= 1 && started <= 3);
  CHECK_EQ(ecru_go_with(&options, hold_thread_until_over, NULL), ECRU_ETHREADS);
  CHECK_EQ(counters_now().goroutines, 1 + started);
  go(finish, done); // others can be had
  await(done, 1);
  atomic_store(&over, 1);
  await(done, started);
  UNTIL(ecru_go_with(&options, finish, done) == 0);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(scheduler, own_threads_count_and_are_refused_with_a_code) { // G3, G10
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  options.threads_max = 4;
  with_options(&options, refuse_own_threads);
}

static void spin_for_each_other(void *count) {
  atomic_fetch_add(&turns, 1);
  SPIN_UNTIL(atomic_load(&turns) >= *(int *)count);
  finish(done);
}
static void lower_and_raise(void *unused) {
  (void)unused;
  done = signals();
  int two = 2;
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_set_maxprocs(1), 0);
    for (int k = 0; k < 100; k++) CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_set_maxprocs(2), 0);
    atomic_store(&turns, 0);
    for (int k = 0; k < 2; k++) go(spin_for_each_other, &two); // needs both: no thread can be added
    await(done, 2);
  }
  ecru_chan_release(done);
}
TEST(scheduler, a_raised_maxprocs_uses_the_threads_there_are) { // G5, G3
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 2;
  options.threads_max = 2;
  with_options(&options, lower_and_raise);
}

// ---- blocking sections

static void check_sections(void) {
  CHECK_EQ(ecru_blocking(NULL, NULL), ECRU_EINVAL);
  for (int i = 0; i < 1000; i++) CHECK_EQ(ecru_blocking(nothing, NULL), 0);
  CHECK_EQ(ecru_blocking_enter(), 0);
  CHECK_EQ(ecru_blocking_exit(), 0);
  CHECK_EQ(ecru_blocking_exit(), 0); // harmless
  CHECK_EQ(ecru_blocking_enter(), 0);
  CHECK_EQ(ecru_yield(), 0); // ends the section
  CHECK_EQ(ecru_blocking_exit(), 0);
  CHECK_EQ(ecru_blocking_enter(), 0); // left open: also ended by the next call
}
static void sections_in_a_goroutine(void *unused) {
  (void)unused;
  check_sections();
  CHECK_EQ(counters_now().blocking, 1); // a look from outside ends nothing
  CHECK_EQ(ecru_check(), 0);
  CHECK_EQ(counters_now().blocking, 0);
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_blocking(nothing, NULL), 0); // no cancellation point
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
}
TEST(scheduler, blocking_sections_can_be_of_any_shape) { // G3
  check_sections();
  CHECK_EQ(ecru_stop(), 0);
  with_procs(1, sections_in_a_goroutine);
  with_procs(2, sections_in_a_goroutine);
}

static void block_and_see(void *unused) {
  (void)unused;
  done = signals();
  open_pipe();
  go(read_declared, NULL);
  UNTIL(counters_now().blocking == 1);
  write_raw(NULL);
  await(done, 1);
  CHECK_EQ(counters_now().blocking, 0);
  close_pipe();
  ecru_chan_release(done);
}
TEST(scheduler, blocking_goroutines_are_counted) { // G3, G7
  with_procs(1, block_and_see);
}

// ---- threads that compute (G4) ------------------------------------------------------------------------------------

static void compute_until_over(void *unused) {
  (void)unused;
  SPIN_UNTIL(atomic_load(&over));
  finish(done);
}
static void set_over(void *unused) {
  (void)unused;
  atomic_store(&over, 1);
}
static void yield_beside_hog(void *unused) {
  (void)unused;
  done = signals();
  reset();
  uint64_t before = counters_now().handoffs;
  go(compute_until_over, NULL);
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_yield(), 0); // only with the hog's processor
  CHECK(counters_now().handoffs > before);
  atomic_store(&over, 1);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(scheduler, the_processor_of_a_hog_moves_on) { // G4
  with_procs(1, yield_beside_hog);
}

static void hog_and_start(void *unused) { // what it started lies where nobody steals
  (void)unused;
  go(set_over, NULL);
  compute_until_over(NULL);
}
static void start_behind_hog(void *unused) {
  (void)unused;
  done = signals();
  for (int i = 0; i < 5; i++) {
    reset();
    go(hog_and_start, NULL);
    await(done, 1);
  }
  ecru_chan_release(done);
}
TEST(scheduler, what_a_hog_has_started_runs) { // G4
  with_procs(1, start_behind_hog);
  with_procs(2, start_behind_hog);
}

static void hogs_for_each_other(void *unused) {
  (void)unused;
  done = signals();
  int count = 4;
  reset();
  for (int i = 0; i < count; i++) go(spin_for_each_other, &count);
  await(done, count);
  ecru_chan_release(done);
}
TEST(scheduler, hogs_share_the_cores) { // G4: each needs the others to run, with fewer processors than hogs
  with_procs(1, hogs_for_each_other);
  with_procs(2, hogs_for_each_other);
}

static void hog_in_calls(void *chan) { // always inside when the monitor looks
  while (!atomic_load(&over))
    for (int i = 0; i < 100; i++) (void)ecru_chan_len(chan);
  finish(done);
}
static void yield_beside_caller(void *unused) {
  (void)unused;
  done = signals();
  reset();
  go(hog_in_calls, done);
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_yield(), 0);
  atomic_store(&over, 1);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(scheduler, one_that_only_calls_is_asked_to_let_others_go) { // G4, G2
  with_procs(1, yield_beside_caller);
}

// ---- parallelism (G5) ---------------------------------------------------------------------------------------------

static void expect_procs(int expected) {
  CHECK_EQ(ecru_maxprocs(), expected);
  int started = ecru_start(NULL); // and so it is, or was
  CHECK(started == 0 || started == ECRU_EBUSY);
  CHECK_EQ(ecru_maxprocs(), expected);
  CHECK_EQ(ecru_stop(), 0);
}
TEST(scheduler, maxprocs_is_the_budget_the_variable_or_the_option) { // G5
  unsetenv("ECRU_MAXPROCS");
  int budget = ecru__cpu_budget();
  CHECK(budget >= 1);
  expect_procs(budget);
  setenv("ECRU_MAXPROCS", "3", 1);
  expect_procs(3);
  static const char *const wrong[] = {"", "0", "-1", "many", " "};
  for (int i = 0; i < 5; i++) {
    setenv("ECRU_MAXPROCS", wrong[i], 1);
    expect_procs(budget);
  }
  setenv("ECRU_MAXPROCS", "100000", 1);
  expect_procs(256);
  setenv("ECRU_MAXPROCS", "3", 1);
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 5;
  CHECK_EQ(ecru_start(&options), 0);
  CHECK_EQ(ecru_maxprocs(), 5);
  CHECK_EQ(ecru_set_maxprocs(0), 0); // the default again
  expect_procs(3);
}

TEST(scheduler, maxprocs_out_of_range_is_refused) { // G5
  CHECK_EQ(ecru_set_maxprocs(2), 0);
  CHECK_EQ(ecru_set_maxprocs(-1), ECRU_EINVAL);
  CHECK_EQ(ecru_set_maxprocs(257), ECRU_EINVAL);
  CHECK_EQ(ecru_set_maxprocs(INT32_MIN), ECRU_EINVAL);
  CHECK_EQ(ecru_set_maxprocs(INT32_MAX), ECRU_EINVAL);
  CHECK_EQ(ecru_maxprocs(), 2);
  CHECK_EQ(ecru_set_maxprocs(256), 0);
  CHECK_EQ(ecru_maxprocs(), 256);
  CHECK_EQ(ecru_set_maxprocs(1), 0);
  CHECK_EQ(ecru_maxprocs(), 1);
}

static void change_procs(void *unused) {
  (void)unused;
  static const int steps[] = {4, 1, 3, 2, 8, 1, 2, 5, 1};
  done = signals();
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    int count = steps[i];
    CHECK_EQ(ecru_set_maxprocs(count), 0);
    CHECK_EQ(ecru_maxprocs(), count);
    reset();
    for (int k = 0; k < count; k++) go(spin_for_each_other, &count);
    await(done, count);
  }
  ecru_chan_release(done);
}
TEST(scheduler, maxprocs_changes_while_it_runs) { // G5
  with_procs(1, change_procs);
}

static void sleep_and_finish(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(5 * ECRU_MILLISECOND), 0);
  finish(done);
}
static void retire_the_crowded(void *unused) {
  (void)unused;
  done = signals();
  for (int round = 0; round < 20; round++) { // what lies in the queues and timers of processors that go is not lost
    CHECK_EQ(ecru_set_maxprocs(4), 0);
    for (int i = 0; i < 200; i++) go(i % 2 ? sleep_and_finish : (ecru_fn)finish, done);
    CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_set_maxprocs(1), 0);
    await(done, 200);
  }
  ecru_chan_release(done);
}
TEST(scheduler, lowering_maxprocs_loses_nobody) { // G5
  with_procs(4, retire_the_crowded);
}

// ---- crowds (G9) --------------------------------------------------------------------------------------------------

static void wait_in_crowd(void *chan) { CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED); }
static void park_a_crowd(void *unused) {
  (void)unused;
  long count = test_scaled(CROWD_MOST), before = test_resident_bytes();
  if (ecru__vm_guard_kind() == ECRU__GUARD_MPROTECT && count > 20000) count = 20000; // the map budget allows no more
  ecru_chan *gate = chan_of(0, 0);
  for (long i = 0; i < count; i++) go(wait_in_crowd, gate);
  UNTIL(counters_now().waiting == (uint64_t)count);
  CHECK_EQ(counters_now().goroutines, count + 1);
  long each = (test_resident_bytes() - before) / count;
  if (MEMORY_IS_OURS && count > 10000 && before > 0) CHECK(each < 6000); // one page, and what is shared
  CHECK_EQ(ecru_chan_close(gate), 0);
  UNTIL(counters_now().goroutines == 1);
  ecru_chan_release(gate);
}
TEST(scheduler, a_crowd_can_be_parked_at_a_page_each) { // G9
  with_procs(1, park_a_crowd);
}
