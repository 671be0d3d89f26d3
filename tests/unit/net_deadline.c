// Deadlines of handles (I2): what Go's tables of timeouts try (past, now, short, prolonged, fluctuating; pending and future
// operations; many on few processors), extended, cleared and moved against operations under way, beside the token's (K2).
#include "tests/sockets.h"

enum { GENEROUS_SECONDS = 20 };

static int64_t one_byte(ecru_io *io) {
  char byte;
  return ecru_io_read(io, &byte, 1);
}
static void set(ecru_io *io, unsigned directions, int64_t when) { CHECK_EQ(ecru_io_set_deadline(io, directions, when), 0); }

/// An operation that waits ends at its deadline: not before, and not long after.
static void ends_at(ecru_io *io, unsigned direction, int64_t (*operation)(ecru_io *), int64_t duration_ns) {
  int64_t begin = ecru_now();
  set(io, direction, ecru_after(duration_ns));
  CHECK_EQ(operation(io), ECRU_ETIMEDOUT);
  int64_t took = ecru_now() - begin;
  CHECK(took >= duration_ns);
  CHECK(took < duration_ns + GENEROUS_SECONDS * ECRU_SECOND);
  CHECK_EQ(operation(io), ECRU_ETIMEDOUT); // it stays
}

static int64_t write_until_full(ecru_io *io) {
  static char data[1 << 20];
  size_t written;
  int64_t result;
  while ((result = ecru_io_write(io, data, sizeof data, &written)) > 0) CHECK_EQ(written, sizeof data);
  CHECK(written < sizeof data);
  return result;
}
static int64_t accept_one(ecru_io *listener) {
  ecru_io *io = NULL;
  int status = ecru_accept(listener, &io, NULL);
  ecru_io_release(io);
  return status;
}
static int64_t wait_to_read(ecru_io *io) { return ecru_io_wait(io, ECRU_IO_READ); }
static int64_t receive_one(ecru_io *io) {
  char byte;
  return ecru_receive_from(io, &byte, 1, NULL);
}

static void with_each_kind(void (*try)(ecru_io *, unsigned, int64_t (*)(ecru_io *))) {
  two p = tcp_two(), q;
  ecru_io *listener = listen_tcp(), *udp = listen_at("udp", "127.0.0.1:0");
  CHECK_EQ(ecru_pipe(&q.a, &q.b), 0);
  try(p.a, ECRU_IO_READ, one_byte);
  try(p.a, ECRU_IO_READ, wait_to_read);
  try(p.b, ECRU_IO_WRITE, write_until_full);
  try(q.a, ECRU_IO_READ, one_byte);
  try(q.b, ECRU_IO_WRITE, write_until_full);
  try(listener, ECRU_IO_READ, accept_one);
  try(udp, ECRU_IO_READ, receive_one);
  release_two(p);
  release_two(q);
  release_two((two){listener, udp});
}

static void in_the_past(ecru_io *io, unsigned direction, int64_t (*operation)(ecru_io *)) {
  const int64_t table[] = {INT64_MIN, -ECRU_SECOND, -1, 0, 1, ecru_now() - ECRU_SECOND, ecru_now() - 1, ecru_now()};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    set(io, direction, table[i]);
    for (int k = 0; k < 3; k++) CHECK_EQ(operation(io), ECRU_ETIMEDOUT);
    set(io, direction, ECRU_FOREVER);
  }
}
static void short_ones(ecru_io *io, unsigned direction, int64_t (*operation)(ecru_io *)) {
  static const int64_t table[] = {1, 10, 100, 1000, 5000, 10000, 50000, 100000, 250000, 500000, ECRU_MILLISECOND, 5 * ECRU_MILLISECOND};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) ends_at(io, direction, operation, table[i]);
}
static void fluctuating(ecru_io *io, unsigned direction, int64_t (*operation)(ecru_io *)) {
  for (int i = 1; i < 20; i++) ends_at(io, direction, operation, (i % 2 ? i : 20 - i) * 200 * ECRU_MICROSECOND);
}
static void each_past(void *unused) { (void)unused, with_each_kind(in_the_past); }
static void each_short(void *unused) { (void)unused, with_each_kind(short_ones); }
static void each_fluctuating(void *unused) { (void)unused, with_each_kind(fluctuating); }

TEST(net_deadline, past_is_now) { with_procs(1, each_past); }                                      // I2
TEST(net_deadline, short_ones_end_in_time) { with_procs(1, each_short); }                          // I2
TEST(net_deadline, short_ones_end_in_time_in_a_thread) { each_short(NULL); }                       // I2, G10
TEST(net_deadline, they_fluctuate) { with_procs(2, each_fluctuating); }                            // I2

static void beside_data(void *unused) {
  (void)unused;
  two p = pair_of();
  write_text(p.b, "ab");
  set(p.a, ECRU_IO_READ, 0);
  CHECK_EQ(one_byte(p.a), ECRU_ETIMEDOUT); // though there is something: late is late
  write_text(p.a, "out");                  // the other direction has its own
  expect_text(p.b, "out");
  set(p.a, ECRU_IO_READ | ECRU_IO_WRITE, ecru_after(3600 * ECRU_SECOND));
  CHECK_EQ(one_byte(p.a), 1);
  set(p.a, ECRU_IO_WRITE, 0);
  CHECK_EQ(ecru_io_write(p.a, "x", 1, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(one_byte(p.a), 1);
  set(p.a, ECRU_IO_READ | ECRU_IO_WRITE, ECRU_FOREVER);
  set(p.a, ECRU_IO_READ, ECRU_FOREVER - 1);
  write_text(p.a, "x");
  write_text(p.b, "y");
  CHECK_EQ(one_byte(p.a), 1);
  release_two(p);
}
TEST(net_deadline, each_direction_has_its_own) { with_procs(1, beside_data); } // I2

// ---- while somebody waits ------------------------------------------------------------------------------------------------

struct reader {
  ecru_io *io;
  ecru_chan *done;
  int64_t result, ended_ns;
};
static void read_one(void *argument) {
  struct reader *r = argument;
  r->result = one_byte(r->io);
  r->ended_ns = ecru_now();
  finish(r->done);
}

static void extended(void *unused) {
  (void)unused;
  two p = tcp_two();
  struct reader r = {.io = p.a, .done = signals()};
  int64_t last = 0;
  set(p.a, ECRU_IO_READ, ecru_after(10 * ECRU_SECOND));
  go(read_one, &r);
  await_waiting_goroutines(1);
  for (int i = 0; i < 30; i++) { // always ahead of it, unless this goroutine is held up for a second
    last = ecru_after(ECRU_SECOND);
    set(p.a, ECRU_IO_READ, last);
    CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  }
  last = ecru_after(5 * ECRU_MILLISECOND);
  set(p.a, ECRU_IO_READ, last);
  await(r.done, 1);
  CHECK_EQ(r.result, ECRU_ETIMEDOUT);
  CHECK(r.ended_ns >= last);
  ecru_chan_release(r.done);
  release_two(p);
}
TEST(net_deadline, it_can_be_moved_while_somebody_waits) { with_procs(2, extended); } // I2

static void cleared(void *unused) {
  (void)unused;
  two p = tcp_two();
  struct reader r = {.io = p.a, .done = signals()};
  set(p.a, ECRU_IO_READ, ecru_after(30 * ECRU_SECOND));
  go(read_one, &r);
  await_waiting_goroutines(1);
  set(p.a, ECRU_IO_READ, ecru_after(ECRU_SECOND));
  set(p.a, ECRU_IO_READ, ECRU_FOREVER);
  CHECK_EQ(ecru_sleep(1200 * ECRU_MILLISECOND), 0);
  write_text(p.b, "x");
  await(r.done, 1);
  CHECK_EQ(r.result, 1);
  ecru_chan_release(r.done);
  release_two(p);
}
TEST(net_deadline, it_can_be_cleared_while_somebody_waits) { with_procs(1, cleared); } // I2

static void set_now(ecru_io *io, unsigned how) {
  if (how % 2 == 0) set(io, ECRU_IO_READ, 0);
  else set(io, ECRU_IO_READ | ECRU_IO_WRITE, ecru_now());
}
static void *set_now_in_thread(void *io) {
  set_now(io, 0);
  return NULL;
}
static void from_elsewhere(void *unused) {
  (void)unused;
  enum { READERS = 5 };
  for (unsigned how = 0; how < 3; how++) {
    two p = tcp_two();
    struct reader r[READERS];
    ecru_chan *done = signals();
    for (int i = 0; i < READERS; i++) { // one waits for bytes, the others for their turns
      r[i] = (struct reader){.io = p.a, .done = done};
      go(read_one, &r[i]);
    }
    await_waiting_goroutines(READERS);
    if (how < 2) set_now(p.a, how);
    else join_thread(start_thread(set_now_in_thread, p.a));
    await(done, READERS);
    for (int i = 0; i < READERS; i++) CHECK_EQ(r[i].result, ECRU_ETIMEDOUT);
    set(p.a, ECRU_IO_READ, ECRU_FOREVER);
    write_text(p.b, "x");
    CHECK_EQ(one_byte(p.a), 1); // the turn is free
    ecru_chan_release(done);
    release_two(p);
  }
}
TEST(net_deadline, one_set_now_ends_all_who_wait) { with_procs(2, from_elsewhere); } // I2

static void beside_the_token(void *unused) {
  (void)unused;
  two p = pair_of();
  set(p.a, ECRU_IO_READ, ecru_after(3600 * ECRU_SECOND));
  CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(one_byte(p.a), ECRU_ETIMEDOUT); // the token's
  CHECK_EQ(ecru_io_write(p.a, "x", 1, NULL), ECRU_ETIMEDOUT); // and so every call's
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_io_write(p.a, "x", 1, NULL), 1);
  CHECK_EQ(ecru_deadline_enter(ecru_after(3600 * ECRU_SECOND)), 0);
  set(p.a, ECRU_IO_READ, ecru_after(2 * ECRU_MILLISECOND));
  CHECK_EQ(one_byte(p.a), ECRU_ETIMEDOUT); // the handle's
  CHECK_EQ(ecru_io_write(p.a, "x", 1, NULL), 1);
  CHECK_EQ(ecru_sleep(1), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(one_byte(p.a), ECRU_ECANCELED); // the token is looked at first
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  CHECK_EQ(one_byte(p.a), ECRU_ETIMEDOUT);
  release_two(p);
}
TEST(net_deadline, the_earlier_of_token_and_handle_counts) { with_procs(1, beside_the_token); } // I2, K2

// ---- many ----------------------------------------------------------------------------------------------------------------

struct many {
  ecru_chan *done;
  uint64_t seed;
};
static void time_out_repeatedly(void *argument) {
  struct many *m = argument;
  two p = pair_of();
  for (int i = 0; i < 5; i++) {
    int64_t duration_ns = (int64_t)test_random_below(&m->seed, 20 * ECRU_MILLISECOND), begin = ecru_now();
    set(p.a, ECRU_IO_READ, ecru_after(duration_ns));
    CHECK_EQ(one_byte(p.a), ECRU_ETIMEDOUT);
    CHECK(ecru_now() - begin >= duration_ns);
  }
  release_two(p);
  finish(m->done);
}
static void crowd_with_deadlines(void *unused) {
  (void)unused;
  long count = test_scaled(1000);
  struct many *all = calloc((size_t)count, sizeof *all);
  ecru_chan *done = signals();
  uint64_t seed = test_seed();
  for (long i = 0; i < count; i++) {
    all[i] = (struct many){done, test_random(&seed)};
    go(time_out_repeatedly, &all[i]);
  }
  await(done, count);
  ecru_chan_release(done);
  free(all);
}
TEST(net_deadline, many_on_one_processor) { // I2
  if (allow_descriptors(2200) < 2200) SKIP("too few descriptors are allowed");
  with_procs(1, crowd_with_deadlines);
}
TEST(net_deadline, many_on_two_processors) { // I2
  if (allow_descriptors(2200) < 2200) SKIP("too few descriptors are allowed");
  with_procs(2, crowd_with_deadlines);
}

struct race {
  two p;
  ecru_chan *done;
  _Atomic int stop;
  long rounds;
};
static void move_deadlines(void *argument) {
  struct race *r = argument;
  const int64_t table[] = {0, 1000, 50000, ECRU_MILLISECOND, 3600 * ECRU_SECOND};
  for (long i = 0; i < r->rounds; i++) {
    int64_t when = i % 6 == 5 ? ECRU_FOREVER : ecru_after(table[i % 6]);
    unsigned directions = i % 3 == 0 ? ECRU_IO_READ | ECRU_IO_WRITE : i % 3 == 1 ? ECRU_IO_READ : ECRU_IO_WRITE;
    set(r->p.a, directions, when);
    if (i % 7 == 0) ecru_yield();
  }
  set(r->p.a, ECRU_IO_READ | ECRU_IO_WRITE, ECRU_FOREVER);
  finish(r->done);
}
static void read_against(void *argument) {
  struct race *r = argument;
  for (int64_t result; (result = one_byte(r->p.a)) != 0;) {
    CHECK(result == 1 || result == ECRU_ETIMEDOUT);
    if (result < 0) ecru_yield();
  }
  finish(r->done);
}
static void write_against(void *argument) {
  struct race *r = argument;
  while (!atomic_load(&r->stop)) {
    int64_t result = ecru_io_write(r->p.a, "ab", 2, NULL);
    CHECK(result == 2 || result == ECRU_ETIMEDOUT);
    ecru_yield();
  }
  finish(r->done);
}
static void other_side(void *argument) {
  struct race *r = argument;
  char data[64];
  while (!atomic_load(&r->stop)) {
    write_text(r->p.b, "x");
    int64_t count = ecru_io_try_read(r->p.b, data, sizeof data);
    CHECK(count > 0 || count == ECRU_EAGAIN);
    ecru_yield();
  }
  finish(r->done);
}
static void moved_in_a_loop(void *unused) {
  (void)unused;
  struct race r = {.p = tcp_two(), .done = signals(), .rounds = test_scaled(5000)};
  go(other_side, &r);
  for (int i = 0; i < 3; i++) go(read_against, &r);
  go(write_against, &r);
  for (int i = 0; i < 2; i++) go(move_deadlines, &r);
  await(r.done, 2);
  set(r.p.a, ECRU_IO_READ | ECRU_IO_WRITE, ECRU_FOREVER);
  atomic_store(&r.stop, 1);
  await(r.done, 2);
  CHECK_EQ(ecru_io_shutdown(r.p.b, ECRU_IO_WRITE), 0);
  await(r.done, 3);
  ecru_chan_release(r.done);
  release_two(r.p);
}
TEST(net_deadline, moved_in_a_loop_against_all_operations) { with_procs(2, moved_in_a_loop); } // I2

// ---- the life of the handle ------------------------------------------------------------------------------------------------

static void release_as_it_comes(void *unused) {
  (void)unused;
  uint64_t seed = test_seed();
  int before = -1;
  for (long i = test_scaled(20000); i > 0; i--) {
    two p = pair_of();
    if (before < 0) before = test_open_fds();
    set(p.a, ECRU_IO_READ | ECRU_IO_WRITE, ecru_after((int64_t)test_random_below(&seed, 30000)));
    set(p.b, ECRU_IO_READ, ecru_after((int64_t)test_random_below(&seed, 30000)));
    for (uint64_t pause = test_random_below(&seed, 3000); pause > 0; pause--) atomic_signal_fence(memory_order_seq_cst);
    if (i % 8 == 0) ecru_yield();
    if (i % 5 == 0) CHECK_EQ(ecru_io_close(p.a), 0);
    release_two(p);
    if (i % 100 == 0) UNTIL(test_open_fds() == before - 2); // a deadline that runs has the last word
  }
}
TEST(net_deadline, a_handle_is_released_as_its_deadline_comes) { with_procs(2, release_as_it_comes); } // I2, I3

static two kept;
static void leave_behind(void *unused) {
  (void)unused;
  kept = tcp_two();
  set(kept.a, ECRU_IO_READ, ecru_after(20 * ECRU_MILLISECOND));
  set(kept.b, ECRU_IO_READ, ecru_after(3600 * ECRU_SECOND));
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(one_byte(kept.b), ECRU_ETIMEDOUT); // registered with the poller
  CHECK_EQ(ecru_token_leave(), 0);
}
static void take_up_again(void *unused) {
  (void)unused;
  CHECK_EQ(one_byte(kept.a), ECRU_ETIMEDOUT); // the deadline has outlived the stop
  set(kept.a, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND));
  CHECK_EQ(one_byte(kept.a), ECRU_ETIMEDOUT);
  set(kept.a, ECRU_IO_READ, ECRU_FOREVER);
  write_text(kept.b, "x");
  CHECK_EQ(one_byte(kept.a), 1);
  set(kept.b, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND));
  CHECK_EQ(one_byte(kept.b), ECRU_ETIMEDOUT);
  release_two(kept);
}
TEST(net_deadline, handles_outlive_a_stop_with_their_deadlines) { // I2, G13
  with_procs(1, leave_behind);
  with_procs(2, take_up_again);
}
