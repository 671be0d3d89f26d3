// Turns and service: writes do not interleave and turns are in order (I1, I3), a ready descriptor is served in time (G2), many idle
// connections beside busy ones.
#include "tests/sockets.h"

// ---- turns ---------------------------------------------------------------------------------------------------------------------

enum { WRITERS = 8, RECORD = 50000, RECORDS = 20 };
struct writer {
  ecru_io *io;
  ecru_chan *done;
  char letter;
  bool vectored;
};
static void write_records(void *argument) {
  struct writer *w = argument;
  char *record = malloc(RECORD);
  memset(record, w->letter, RECORD);
  for (int i = 0; i < RECORDS; i++) {
    ecru_buffer parts[] = {{record, 1}, {record + 1, RECORD / 2}, {record + 1 + RECORD / 2, RECORD - 1 - RECORD / 2}};
    if (w->vectored) CHECK_EQ(ecru_io_writev(w->io, parts, 3, NULL), RECORD);
    else CHECK_EQ(ecru_io_write(w->io, record, RECORD, NULL), RECORD);
  }
  free(record);
  finish(w->done);
}
static void *write_records_in_thread(void *argument) {
  write_records(argument);
  return NULL;
}
static void read_record(ecru_io *io, int *count_of) {
  static char data[RECORD];
  for (size_t have = 0; have < RECORD;) {
    int64_t count = ecru_io_read(io, data + have, RECORD - have);
    CHECK(count > 0);
    have += (size_t)count;
  }
  for (int i = 1; i < RECORD; i++) CHECK_EQ(data[i], data[0]);
  count_of[data[0] - 'a']++;
}
static void many_write(void *unused) {
  (void)unused;
  for (int kind = 0; kind < 3; kind++) {
    two p = kind == 0 ? tcp_two() : pair_of();
    if (kind == 2) {
      release_two(p);
      CHECK_EQ(ecru_pipe(&p.b, &p.a), 0);
    }
    struct writer writers[WRITERS];
    ecru_chan *done = signals();
    int count_of[WRITERS] = {0};
    for (int i = 0; i < WRITERS; i++) writers[i] = (struct writer){p.a, done, (char)('a' + i), i % 3 == 1};
    for (int i = 0; i < WRITERS - 1; i++) go(write_records, &writers[i]);
    pthread_t thread = start_thread(write_records_in_thread, &writers[WRITERS - 1]);
    for (int i = 0; i < WRITERS * RECORDS; i++) read_record(p.b, count_of);
    for (int i = 0; i < WRITERS; i++) CHECK_EQ(count_of[i], RECORDS);
    await(done, WRITERS);
    join_thread(thread);
    ecru_chan_release(done);
    release_two(p);
  }
}
TEST(net_turns, writes_do_not_interleave) { with_procs(2, many_write); } // I3

struct queued {
  ecru_io *io;
  ecru_chan *done;
  char got;
};
static void read_into_own(void *argument) {
  struct queued *q = argument;
  CHECK_EQ(ecru_io_read(q->io, &q->got, 1), 1);
  finish(q->done);
}
static void in_order(void *unused) {
  (void)unused;
  enum { READERS = 20 };
  two p = tcp_two();
  struct queued q[READERS];
  ecru_chan *done = signals();
  for (int i = 0; i < READERS; i++) {
    q[i] = (struct queued){p.a, done, 0};
    go(read_into_own, &q[i]);
    await_parked(i + 1, "io read"); // it stands in line
  }
  for (int i = 0; i < READERS; i++) {
    char letter = (char)('a' + i);
    CHECK_EQ(ecru_io_write(p.b, &letter, 1, NULL), 1);
  }
  await(done, READERS);
  for (int i = 0; i < READERS; i++) CHECK_EQ(q[i].got, 'a' + i);
  ecru_chan_release(done);
  release_two(p);
}
TEST(net_turns, readers_are_served_in_order_of_arrival) { with_procs(1, in_order); } // I1, C3

static void canceled_in_line(void *unused) {
  (void)unused;
  two p = tcp_two();
  struct queued first = {p.a, signals(), 0}, last = {p.a, first.done, 0};
  go(read_into_own, &first);
  await_parked(1, "io read");
  char byte;
  CHECK_EQ(ecru_io_try_read(p.a, &byte, 1), ECRU_EAGAIN); // somebody has the turn
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_read(p.a, &byte, 1), ECRU_ETIMEDOUT); // leaves the line
  CHECK_EQ(ecru_token_leave(), 0);
  go(read_into_own, &last);
  await_parked(2, "io read");
  write_text(p.b, "xy");
  await(first.done, 2);
  CHECK_EQ(first.got, 'x');
  CHECK_EQ(last.got, 'y');
  ecru_chan_release(first.done);
  release_two(p);
}
TEST(net_turns, who_gives_up_leaves_the_line) { with_procs(1, canceled_in_line); } // K2, C10

// ---- service (G2) --------------------------------------------------------------------------------------------------------------

enum { PINGS = 60 };
static struct {
  int pipe[2];
  int64_t late_ns[PINGS];
  _Atomic int stop, answered;
  ecru_chan *done;
} service;

static void *ping_from_outside(void *unused) {
  (void)unused;
  for (int i = 0; i < PINGS; i++) {
    block_thread_ms(3);
    int64_t now = wall_ns();
    CHECK_EQ(write(service.pipe[1], &now, sizeof now), sizeof now);
    while (atomic_load(&service.answered) <= i) block_thread_ms(1);
  }
  return NULL;
}
static void answer_pings(void *unused) {
  (void)unused;
  ecru_io *io = NULL;
  CHECK_EQ(ecru_io_adopt(&io, service.pipe[0], ECRU_IO_KEEP_OPEN), 0);
  for (int i = 0; i < PINGS; i++) {
    int64_t sent;
    CHECK_EQ(ecru_io_read(io, &sent, sizeof sent), sizeof sent);
    service.late_ns[i] = wall_ns() - sent;
    atomic_fetch_add(&service.answered, 1);
  }
  ecru_io_release(io);
  atomic_store(&service.stop, 1);
  finish(service.done);
}
static void yield_on(void *unused) {
  (void)unused;
  while (!atomic_load(&service.stop)) ecru_yield();
  finish(service.done);
}
static void block_on(void *unused) {
  (void)unused;
  while (!atomic_load(&service.stop)) block_thread_ms(50);
  finish(service.done);
}
static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}
/// While all processors have goroutines to run, and some block their threads, a ready descriptor waits a millisecond; on a
/// machine shared with others a third of the pings must do with four.
static void check_service(int yielders, int blockers) {
  CHECK_EQ(pipe(service.pipe), 0);
  service.done = signals();
  atomic_store(&service.stop, 0);
  atomic_store(&service.answered, 0);
  for (int i = 0; i < yielders; i++) go(yield_on, NULL);
  for (int i = 0; i < blockers; i++) go(block_on, NULL);
  go(answer_pings, NULL);
  pthread_t thread = start_thread(ping_from_outside, NULL);
  await(service.done, yielders + blockers + 1);
  join_thread(thread);
  qsort(service.late_ns, PINGS, sizeof *service.late_ns, by_value);
  if (service.late_ns[PINGS / 3] >= 4 * ECRU_MILLISECOND)
    FAIL("served after %.3f ms (a third), %.3f ms (half)", (double)service.late_ns[PINGS / 3] / 1e6, (double)service.late_ns[PINGS / 2] / 1e6);
  close(service.pipe[0]);
  close(service.pipe[1]);
  ecru_chan_release(service.done);
}
static void among_yielders(void *unused) { (void)unused, check_service(8, 0); }
static void among_blockers(void *unused) { (void)unused, check_service(0, 1); }
static void among_both(void *unused) { (void)unused, check_service(8, 1); }

TEST(net_turns, served_in_time_on_one_busy_processor) { with_procs(1, among_yielders); }          // G2, serial
TEST(net_turns, served_in_time_on_busy_processors) { with_procs(2, among_yielders); }             // G2, serial
TEST(net_turns, served_in_time_while_one_blocks_its_thread) { with_procs(2, among_blockers); }    // G2, G3, serial
TEST(net_turns, served_in_time_while_one_blocks_and_others_run) { with_procs(2, among_both); }    // G2, G3, serial

static void only_hogs(void *unused) {
  (void)unused;
  service.done = signals();
  CHECK_EQ(pipe(service.pipe), 0);
  for (int i = 0; i < 2; i++) go(block_on, NULL); // all processors are taken by those that block
  go(answer_pings, NULL);
  pthread_t thread = start_thread(ping_from_outside, NULL);
  await(service.done, 3);
  join_thread(thread);
  close(service.pipe[0]);
  close(service.pipe[1]);
  ecru_chan_release(service.done);
}
TEST(net_turns, served_while_all_block_their_threads) { with_procs(2, only_hogs); } // G3

// ---- idle and busy ---------------------------------------------------------------------------------------------------------------

static void echo_on(void *argument) {
  two *p = argument;
  for (char byte; ecru_io_read(p->b, &byte, 1) == 1;) CHECK_EQ(ecru_io_write(p->b, &byte, 1, NULL), 1);
}
struct busy {
  two p;
  ecru_chan *done;
  long rounds;
};
static void ping_on(void *argument) {
  struct busy *b = argument;
  for (long i = 0; i < b->rounds; i++) {
    char sent = (char)i, got;
    CHECK_EQ(ecru_io_write(b->p.a, &sent, 1, NULL), 1);
    CHECK_EQ(ecru_io_read(b->p.a, &got, 1), 1);
    CHECK_EQ(got, sent);
  }
  finish(b->done);
}
static long idle_count, busy_count;
static void idle_and_busy(void *unused) {
  (void)unused;
  two *idle = calloc((size_t)idle_count, sizeof *idle);
  struct busy *busy = calloc((size_t)busy_count, sizeof *busy);
  ecru_chan *done = signals();
  ecru_io *listener = listen_tcp();
  for (long i = 0; i < idle_count; i++) {
    idle[i] = i % 8 == 0 ? connect_two("tcp", listener) : pair_of();
    go(echo_on, &idle[i]);
  }
  for (long i = 0; i < busy_count; i++) {
    busy[i] = (struct busy){i % 2 == 0 ? connect_two("tcp", listener) : pair_of(), done, test_scaled(200)};
    go(echo_on, &busy[i].p);
    go(ping_on, &busy[i]);
  }
  await(done, busy_count);
  for (long i = 0; i < idle_count; i += 97) { // they have not been forgotten
    write_text(idle[i].a, "x");
    expect_text(idle[i].a, "x");
  }
  for (long i = 0; i < idle_count; i++) CHECK_EQ(ecru_io_close(idle[i].a), 0);
  for (long i = 0; i < busy_count; i++) CHECK_EQ(ecru_io_close(busy[i].p.a), 0);
  UNTIL(counters_now().goroutines == 1);
  for (long i = 0; i < idle_count; i++) release_two(idle[i]);
  for (long i = 0; i < busy_count; i++) release_two(busy[i].p);
  ecru_io_release(listener);
  ecru_chan_release(done);
  free(idle);
  free(busy);
}
TEST(net_turns, idle_connections_beside_busy_ones) { // I1, G9
  busy_count = 100;
  idle_count = test_scaled(2000);
  long most = (allow_descriptors(2 * (idle_count + busy_count) + 100) - 100) / 2 - busy_count;
  if (most < idle_count) idle_count = most;
  with_procs(2, idle_and_busy);
}
