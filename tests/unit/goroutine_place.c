/// tests/unit/goroutine_place.c: the threads that goroutines run on, and those threads' stacks (G8, G10).
#include "goroutines.h"
#include "runtime/state.h"

static ecru_chan *done;
static _Atomic long runs;

static void count_run(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
  finish(done);
}

// ---- where it runs ------------------------------------------------------------------------------------------------

/// Makes every parking call. returns: how often the thread was another one afterwards.
static long park_in_all_ways(long rounds) {
  long moves = 0;
  for (long round = 0; round < rounds; round++) {
    for (int i = 0; i < PARKING_CALLS; i++) {
      long before = thread_here();
      bool stays = ask_for(&parking_calls[i]);
      parking_calls[i].park();
      moves += thread_here() != before;
      if (stays) CHECK_EQ(ecru_unpin(), 0);
    }
  }
  return moves;
}

static void move_about(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  CHECK(park_in_all_ways(2) > 0);
  end_holders();
  drop_things();
}
TEST(goroutine, moves_to_the_thread_that_wakes_it) { // G10
  with_procs(1, move_about);
}

static void stay(void *unused) {
  CHECK_EQ(park_in_all_ways(2), 0);
  (void)unused;
  finish(done);
}
static void stay_pinned(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  go_flagged(ECRU_PINNED, stay, NULL);
  await(done, 1);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, a_pinned_one_stays_on_its_thread) { // G10
  with_procs(1, stay_pinned);
  with_procs(2, stay_pinned);
}

static void pin_and_unpin(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  CHECK_EQ(ecru_unpin(), ECRU_EPERM);
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(park_in_all_ways(1), 0);
  CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(park_in_all_ways(1), 0); // one pin is left
  CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(ecru_unpin(), ECRU_EPERM);
  CHECK(park_in_all_ways(2) > 0);
  end_holders();
  drop_things();
}
TEST(goroutine, pins_nest) { // G10
  with_procs(1, pin_and_unpin);
}

static void unpin_option(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(ecru_unpin(), 0); // what ECRU_PINNED did can be undone
  CHECK_EQ(ecru_unpin(), ECRU_EPERM);
  finish(done);
}
TEST(goroutine, the_pin_of_its_options_can_be_undone) { // G10
  done = signals();
  go_flagged(ECRU_PINNED, unpin_option, NULL);
  await(done, 1);
  ecru_chan_release(done);
}

TEST(goroutine, pins_mean_nothing_to_a_foreign_thread) { // G10
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(ecru_unpin(), 0);
}

static void ping(void *unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) park_send();
  finish(done);
}
static void pong(void *unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) park_recv();
  finish(done);
}
static void between_pinned(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  ask(0, ping, NULL); // both stay on their threads: the one processor goes to and fro
  ask(1, pong, NULL);
  await(done, 2);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, pinned_ones_on_two_threads_share_a_processor) { // G10
  with_procs(1, between_pinned);
}

static void own_thread_lives(void *unused) {
  (void)unused;
  int here = 0;
  CHECK(ecru__stack_at(&here) == NULL); // on the thread's native stack
  CHECK_EQ(ecru_in_goroutine(), 1);
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_unpin(), 0);
  CHECK(thread_here() != holders[0].thread && thread_here() != holders[1].thread);
  stay(NULL);
}
static void own_thread(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  go_flagged(ECRU_OWN_THREAD, own_thread_lives, NULL);
  await(done, 1);
  go_flagged(ECRU_OWN_THREAD | ECRU_PINNED, own_thread_lives, NULL);
  await(done, 1);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, all_blocking_calls_work_on_its_own_thread) { // G10
  with_procs(1, own_thread);
  with_procs(2, own_thread);
}

static void add_frames(long *sum, int depth);
static void use_much_stack(void *unused) {
  (void)unused;
  long sum = 0;
  add_frames(&sum, 400); // 25 MiB
  CHECK_EQ(ecru_yield(), 0);
  finish(done);
}
TEST(goroutine, its_own_threads_stack_can_be_large) { // G10, G8
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  options.stack_bytes = 32 << 20;
  done = signals();
  CHECK_EQ(ecru_go_with(&options, use_much_stack, NULL), 0);
  await(done, 1);
  ecru_chan_release(done);
}

static void *foreign_lives(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_in_goroutine(), 0);
  stay(NULL);
  return NULL;
}
static void foreign_thread(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  pthread_t thread = start_thread(foreign_lives, NULL);
  await(done, 1);
  join_thread(thread);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, all_blocking_calls_work_in_a_foreign_thread) { // G10
  with_procs(1, foreign_thread);
  with_procs(2, foreign_thread);
}

static void many_own_threads_body(void *unused) {
  (void)unused;
  done = signals();
  long count = test_scaled(300);
  for (long i = 0; i < count; i++) {
    go_flagged(ECRU_OWN_THREAD, count_run, NULL);
    if (i % 8 == 7) await(done, 8);
  }
  await(done, count % 8);
  CHECK_EQ(atomic_load(&runs), count);
  ecru_chan_release(done);
}
TEST(goroutine, own_threads_come_and_go) { // G10
  with_procs(2, many_own_threads_body);
}

// ---- on the thread's stack ----------------------------------------------------------------------------------------

/// Frames of 64 KiB, 64 of them. (valgrind takes a step of 4 MiB for a switch to another stack.)
__attribute__((noinline)) static void add_frames(long *sum, int depth) {
  volatile unsigned char room[64 << 10];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = (unsigned char)depth;
  if (depth > 1) add_frames(sum, depth - 1);
  for (size_t i = 0; i < sizeof room; i += 1024) *sum += room[i];
}
static void use_4_mib(void *sum) { add_frames(sum, 64); }
enum { SUM_OF_4_MIB = 64 * (64 * 65 / 2) };
static void on_thread_stack(void *unused) {
  (void)unused;
  long sum = 0;
  long thread = thread_here();
  CHECK(ecru__stack_at(&sum) != NULL || !ecru_in_goroutine());
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_on_thread_stack(use_4_mib, &sum), 0);
  CHECK_EQ(sum, 3 * SUM_OF_4_MIB);
  CHECK_EQ(thread_here(), thread);
}
TEST(goroutine, a_call_can_use_the_threads_big_stack) { // G8, G10
  on_thread_stack(NULL); // in a foreign thread it is there already
  CHECK_EQ(ecru_stop(), 0);
  with_procs(1, on_thread_stack);
}

static void nested_again(void *depth) {
  int here = 0;
  CHECK(ecru__stack_at(&here) == NULL);
  if (*(int *)depth == 0) return;
  --*(int *)depth;
  CHECK_EQ(ecru_on_thread_stack(nested_again, depth), 0);
}
static void nest(void *unused) {
  (void)unused;
  for (int i = 0; i < 3; i++) {
    int depth = 5;
    CHECK_EQ(ecru_on_thread_stack(nested_again, &depth), 0);
    CHECK_EQ(depth, 0);
    CHECK_EQ(ecru_yield(), 0);
  }
  CHECK_EQ(ecru_on_thread_stack(NULL, NULL), ECRU_EINVAL);
}
TEST(goroutine, calls_on_the_threads_stack_nest) { // G10
  nest(NULL); // plain calls there
  CHECK_EQ(ecru_stop(), 0);
  with_procs(1, nest);
}

static void stay_there(void *unused) {
  (void)unused;
  CHECK_EQ(park_in_all_ways(1), 0);
}
static void block_on_thread_stack(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(ecru_on_thread_stack(stay_there, NULL), 0); // its processor serves the holders meanwhile
    park_in_all_ways(1); // and afterwards all is as ever
  }
  end_holders();
  drop_things();
}
TEST(goroutine, all_blocking_calls_work_on_the_threads_stack) { // G10
  with_procs(1, block_on_thread_stack);
  with_procs(2, block_on_thread_stack);
}

static void hog_there(void *unused) { // longer than a slice, so that the processor is taken, then calls of every kind
  (void)unused;
  SPIN_UNTIL(atomic_load(&runs) != 0);
  go(count_run, NULL);
  CHECK(ecru_id() != 0);
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_sleep(1), 0);
  CHECK_EQ(counters_now().blocking, 0);
}
static void hog_on_thread_stack(void *unused) {
  (void)unused;
  done = signals();
  go(count_run, NULL); // runs elsewhere, with our processor
  CHECK_EQ(ecru_on_thread_stack(hog_there, NULL), 0);
  await(done, 2);
  ecru_chan_release(done);
}
TEST(goroutine, its_processor_can_be_taken_on_the_threads_stack) { // G4, G10
  with_procs(1, hog_on_thread_stack);
}
