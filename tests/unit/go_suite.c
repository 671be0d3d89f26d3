/// tests/unit/go_suite.c: what the tests of Go's own runtime demand of its scheduler, demanded of ours: chains, hogs, pinned goroutines,
/// parallelism, timers beside busy goroutines, changes of maxprocs in full flight.
#include "goroutines.h"

static ecru_chan *done;
static _Atomic long turns;
static _Atomic int over;

// ---- a chain of ten thousand --------------------------------------------------------------------------------------

typedef struct link {
  ecru_chan *left, *right;
} link_;
static void add_one(void *copy) {
  link_ *mine = copy;
  int value = 0;
  CHECK_EQ(ecru_chan_recv(mine->right, &value), 0);
  value++;
  CHECK_EQ(ecru_chan_send(mine->left, &value), 0);
  ecru_chan_release(mine->right);
  ecru_chan_release(mine->left);
}
static void chain(void *unused) {
  (void)unused;
  long count = test_scaled(10000);
  ecru_chan *leftmost = chan_of(sizeof(int), 0), *left = leftmost;
  for (long i = 0; i < count; i++) {
    link_ next = {ecru_chan_retain(left), chan_of(sizeof(int), 0)};
    CHECK_EQ(ecru_go_copy(NULL, add_one, &next, sizeof next), 0);
    ecru_chan_release(left);
    left = ecru_chan_retain(next.right);
  }
  int value = 0;
  ecru_chan_retain(leftmost);
  CHECK_EQ(ecru_chan_send(left, &value), 0);
  CHECK_EQ(ecru_chan_recv(leftmost, &value), 0);
  CHECK_EQ(value, count);
  ecru_chan_release(left);
  ecru_chan_release(leftmost);
}
TEST(go_suite, a_chain_of_ten_thousand_hands_a_number_through) { // G9, C2
  for (int procs = 1; procs <= 4; procs *= 2) with_procs(procs, chain);
}

static void spawn_next(void *left) {
  if ((uintptr_t)left == 0) finish(done);
  else go(spawn_next, (void *)((uintptr_t)left - 1));
}
static void spawn_chains(void *unused) {
  (void)unused;
  done = signals();
  for (int i = 0; i < 4; i++) go(spawn_next, (void *)(uintptr_t)test_scaled(10000));
  await(done, 4);
  ecru_chan_release(done);
}
TEST(go_suite, chains_in_which_each_starts_the_next_end) { // G1, G2
  with_procs(1, spawn_chains);
  with_procs(2, spawn_chains);
}

typedef struct node {
  long depth;
  ecru_chan *parent;
} node;
static void deepen(void *copy) { // each waits for its two children
  ecru_chan *children = chan_of(0, 2);
  node *mine = copy, child = {mine->depth - 1, children};
  if (mine->depth > 0) {
    for (int i = 0; i < 2; i++) CHECK_EQ(ecru_go_copy(NULL, deepen, &child, sizeof child), 0);
    await(children, 2);
  }
  atomic_fetch_add(&turns, 1);
  finish(mine->parent);
  ecru_chan_release(children);
}
static void tree(void *unused) {
  (void)unused;
  atomic_store(&turns, 0);
  node root = {test_scaled(100) < 100 ? 8 : 12, chan_of(0, 1)};
  CHECK_EQ(ecru_go_copy(NULL, deepen, &root, sizeof root), 0);
  await(root.parent, 1);
  CHECK_EQ(atomic_load(&turns), (2l << root.depth) - 1);
  ecru_chan_release(root.parent);
}
TEST(go_suite, a_tree_in_which_each_waits_for_its_children_ends) { // G1, C2
  with_procs(1, tree);
  with_procs(2, tree);
}

// ---- hogs ---------------------------------------------------------------------------------------------------------

static void hog(void *unused) {
  (void)unused;
  SPIN_UNTIL(atomic_load(&over));
  finish(done);
}
static ecru_chan *to, *fro;
static void ping(void *rounds) {
  for (long i = 0; i < *(long *)rounds; i++) {
    CHECK_EQ(ecru_chan_send(to, NULL), 0);
    CHECK_EQ(ecru_chan_recv(fro, NULL), 0);
  }
  finish(done);
}
static void pong(void *rounds) {
  for (long i = 0; i < *(long *)rounds; i++) {
    CHECK_EQ(ecru_chan_recv(to, NULL), 0);
    CHECK_EQ(ecru_chan_send(fro, NULL), 0);
  }
  finish(done);
}
static void ping_pong_beside_hog(void *unused) {
  (void)unused;
  done = signals();
  to = chan_of(0, 0);
  fro = chan_of(0, 0);
  atomic_store(&over, 0);
  long rounds = test_scaled(20000);
  uint64_t before = counters_now().handoffs;
  go(hog, NULL);
  go(ping, &rounds);
  go(pong, &rounds);
  await(done, 2);
  // The hog has to be moved aside once, not for every round.
  CHECK(counters_now().handoffs - before <= (uint64_t)rounds / 10 + 100);
  atomic_store(&over, 1);
  await(done, 1);
  ecru_chan_release(to);
  ecru_chan_release(fro);
  ecru_chan_release(done);
}
TEST(go_suite, a_ping_pong_comes_to_its_end_beside_a_hog) { // G4, G2
  with_procs(1, ping_pong_beside_hog);
  with_procs(2, ping_pong_beside_hog);
}

// ---- progress of those that yield ---------------------------------------------------------------------------------

static void yield_until_over(void *pinned) {
  if (pinned) CHECK_EQ(ecru_pin(), 0);
  while (!atomic_load(&over)) CHECK_EQ(ecru_yield(), 0);
  if (pinned) CHECK_EQ(ecru_unpin(), 0);
  finish(done);
}
static bool pinned_too;
static void yield_progress(void *unused) {
  (void)unused;
  done = signals();
  atomic_store(&over, 0);
  go(yield_until_over, pinned_too ? (void *)1 : NULL);
  if (pinned_too) CHECK_EQ(ecru_pin(), 0);
  for (long i = test_scaled(500); i-- > 0;) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  atomic_store(&over, 1);
  await(done, 1); // ends: the other one's yields come to an end
  if (pinned_too) CHECK_EQ(ecru_unpin(), 0);
  ecru_chan_release(done);
}
TEST(go_suite, one_that_only_yields_makes_progress_and_lets_others) { // G6, G2
  pinned_too = false;
  with_procs(1, yield_progress);
  with_procs(2, yield_progress);
}
TEST(go_suite, pinned_ones_that_only_yield_do_as_well) { // G6, G10
  pinned_too = true;
  with_procs(1, yield_progress);
  with_procs(2, yield_progress);
}

static void pin_and_send(void *chan) {
  CHECK_EQ(ecru_pin(), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_chan_send(chan, NULL), 0);
  CHECK_EQ(ecru_unpin(), 0);
  finish(done);
}
static void pinned_block(void *unused) {
  (void)unused;
  done = signals();
  ecru_chan *chan = chan_of(0, 0);
  go(pin_and_send, chan);
  await(chan, 10);
  await(done, 1);
  ecru_chan_release(chan);
  ecru_chan_release(done);
}
TEST(go_suite, a_pinned_one_can_block) { // G10
  with_procs(1, pinned_block);
  with_procs(2, pinned_block);
}

// ---- parallelism --------------------------------------------------------------------------------------------------

/// Number i of n spins until it is its turn, again and again: ends soon only if all n run at the same time.
enum { MOST_PROCS = 6 };
static long procs;
static void take_turns(void *number) {
  long mine = (long)(intptr_t)number;
  for (int round = 0; round < 3; round++) {
    SPIN_UNTIL(atomic_load(&turns) == procs * round + mine);
    atomic_fetch_add(&turns, 1);
  }
  finish(done);
}
static void in_parallel(void *unused) {
  (void)unused;
  done = signals();
  for (procs = 1; procs <= MOST_PROCS; procs++) {
    CHECK_EQ(ecru_set_maxprocs((int)procs), 0);
    for (int round = 0; round < 3; round++) {
      atomic_store(&turns, 0);
      for (long i = 0; i < procs; i++) go(take_turns, (void *)(intptr_t)i);
      await(done, procs);
    }
  }
  ecru_chan_release(done);
}
TEST(go_suite, as_many_run_in_parallel_as_there_are_processors) { // G5
  with_procs(1, in_parallel);
}

// ---- timers -------------------------------------------------------------------------------------------------------

static _Atomic long fired;
static void tick_and_yield(void *unused) { // looks at a timer in each of its turns, as busy event loops do
  (void)unused;
  ecru_timer *timer = NULL;
  CHECK_EQ(ecru_timer_create(&timer, ECRU_SECOND), 0);
  while (!atomic_load(&over)) {
    CHECK_EQ(ecru_timer_reset(timer, ECRU_SECOND) >= 0, 1);
    CHECK_EQ(ecru_timer_try(timer, NULL), ECRU_EAGAIN);
    CHECK_EQ(ecru_yield(), 0);
  }
  ecru_timer_destroy(timer);
  finish(done);
}
static void timer_fairness(void *unused) {
  (void)unused;
  done = signals();
  atomic_store(&over, 0);
  for (int i = 0; i < 4; i++) go(tick_and_yield, NULL);
  for (int i = 0; i < 10; i++) {
    ecru_timer *timer = NULL;
    CHECK_EQ(ecru_timer_create(&timer, ECRU_MILLISECOND), 0);
    CHECK_EQ(ecru_timer_wait(timer, NULL), 0);
    ecru_timer_destroy(timer);
  }
  atomic_store(&over, 1);
  await(done, 4);
  ecru_chan_release(done);
}
TEST(go_suite, timers_fire_beside_those_that_rearm_theirs) { // G2, K6
  with_procs(1, timer_fairness);
  with_procs(2, timer_fairness);
}

static void count_fired(void *unused) {
  (void)unused;
  atomic_fetch_add(&fired, 1);
}
static void timers_beside_hogs(void *unused) {
  (void)unused;
  done = signals();
  atomic_store(&over, 0);
  atomic_store(&fired, 0);
  ecru_timer *timers[20];
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_after_func(&timers[i], i * ECRU_MILLISECOND, count_fired, NULL), 0);
  for (int i = 0; i < 3; i++) go(hog, NULL);
  CHECK_EQ(ecru_yield(), 0);
  UNTIL(atomic_load(&fired) == 20);
  atomic_store(&over, 1);
  await(done, 3);
  for (int i = 0; i < 20; i++) ecru_timer_destroy(timers[i]);
  ecru_chan_release(done);
}
TEST(go_suite, timers_fire_beside_hogs) { // G2, G4, K6
  with_procs(1, timers_beside_hogs);
  with_procs(2, timers_beside_hogs);
}

// ---- changes of maxprocs ------------------------------------------------------------------------------------------

static void change_and_talk(void *unused) { // in Go each change stops the world; nothing may wait for that here
  (void)unused;
  for (int i = 0; i < 200; i++) {
    CHECK_EQ(ecru_set_maxprocs(1 + i % 4), 0);
    ecru_chan *chan = chan_of(0, 0);
    go(finish, chan);
    await(chan, 1);
    ecru_chan_release(chan);
    if (i % 20 == 0) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  }
  finish(done);
}
static void changes_in_flight(void *unused) {
  (void)unused;
  done = signals();
  atomic_store(&over, 0);
  go(hog, NULL); // it enters never: no change waits for it
  for (int i = 0; i < 3; i++) go(change_and_talk, NULL);
  await(done, 3);
  atomic_store(&over, 1);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(go_suite, maxprocs_changes_stop_nobody) { // G5, G4
  with_procs(2, changes_in_flight);
}

// ---- ends and crowds ----------------------------------------------------------------------------------------------

static void exit_pinned(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_pin(), 0);
  atomic_fetch_add(&turns, 1);
  ecru_exit();
}
static void exits_while_pinned(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) go(exit_pinned, NULL);
  UNTIL(counters_now().goroutines == 1);
  CHECK_EQ(atomic_load(&turns), 100);
}
TEST(go_suite, one_can_end_while_it_is_pinned) { // G10
  with_procs(1, exits_while_pinned);
  atomic_store(&turns, 0);
  with_procs(2, exits_while_pinned);
}

static void wait_for_lock(void *mutex) {
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(ecru_mutex_lock(mutex), 0);
    if (i % 3 == 0) CHECK_EQ(ecru_yield(), 0);
    turns++;
    CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  }
  finish(done);
}
static void crowd_at_a_lock(void *unused) {
  (void)unused;
  done = signals();
  atomic_store(&turns, 0);
  ecru_mutex *mutex;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  long count = test_scaled(900);
  for (long i = 0; i < count; i++) go(wait_for_lock, mutex);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
  await(done, count);
  CHECK_EQ(atomic_load(&turns), 10 * count);
  ecru_mutex_destroy(mutex);
  ecru_chan_release(done);
}
TEST(go_suite, a_crowd_at_a_lock_gets_through) { // L1, G2
  with_procs(1, crowd_at_a_lock);
  with_procs(2, crowd_at_a_lock);
}
