/// tests/fault/io.c: descriptors, look-ups and libuv's loop when memory or threads run out: an error code, nothing lost.
#include "platform/fault.h"
#include "sockets.h"

#include <ecru/dns.h>
#include <ecru/tty.h>
#include <ecru/uv.h>
#include <fcntl.h>

static ecru_io *untouched(void) { return (ecru_io *)&errno; }

/// Runs operation with its n-th call of a seam failing, for n = 1, 2 ... until it needs no more. returns: how many failed.
static int fail_each_of(int kind, int (*operation)(void), int expected) {
  for (uint64_t n = 1;; n++) {
    ecru__fault_set(kind, n, 0);
    int status = operation();
    uint64_t calls = ecru__fault_count(kind);
    ecru__fault_set(kind, 0, 0);
    if (calls < n) {
      CHECK(status >= 0);
      return (int)n - 1;
    }
    CHECK(status == expected || status == ECRU_ETHREADS || status >= 0); // a thread needs memory, too; what fails may be spare (a cache)
  }
}
static int fail_each(int (*operation)(void)) { return fail_each_of(ECRU__FAULT_ALLOC, operation, ECRU_ENOMEM); }

/// In a runtime of its own, which has no poller, no handle and no loop yet. No descriptor is left.
static void first_of_all(ecru_fn fn) {
  int before = open_fds_to_compare();
  with_procs(1, fn);
  CHECK_EQ(test_open_fds(), before);
}

// ---- making handles ----------------------------------------------------------------------------------------------------

static int make_pair(void) {
  ecru_io *a = untouched(), *b = untouched();
  int status = ecru_io_pair(&a, &b);
  CHECK((a == untouched()) == (status != 0) && (b == untouched()) == (status != 0));
  if (status == 0) release_two((two){a, b});
  return status;
}
static int make_pipe(void) {
  ecru_io *a = untouched(), *b = untouched();
  int status = ecru_pipe(&a, &b);
  CHECK((a == untouched()) == (status != 0) && (b == untouched()) == (status != 0));
  if (status == 0) release_two((two){a, b});
  return status;
}
static int make_listener(void) {
  ecru_io *io = untouched();
  int status = ecru_listen(&io, "tcp", "127.0.0.1:0");
  CHECK_EQ(io == untouched(), status != 0);
  if (status == 0) ecru_io_release(io);
  return status;
}
static int adopt_one(void) {
  ecru_io *io = untouched();
  int both[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
  int status = ecru_io_adopt(&io, both[0], 0);
  CHECK_EQ(io == untouched(), status != 0);
  if (status == 0) ecru_io_release(io);
  else close(both[0]); // it is still the caller's
  close(both[1]);
  return status;
}
static int wait_for_one(void) {
  int both[2], status = -1;
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
  CHECK_EQ(write(both[1], "x", 1), 1);
  status = ecru_wait_fd(both[0], ECRU_IO_READ);
  close(both[0]);
  close(both[1]);
  return status;
}

static int (*maker)(void);
static void make_all(void *unused) {
  (void)unused;
  CHECK(fail_each(maker) >= 1);
  CHECK(fail_each(maker) == 0); // all there is to allocate stays
}
static void walk(int (*make)(void)) {
  maker = make;
  first_of_all(make_all);
}

TEST(io, handles_need_memory_or_say_so) { // I1, I7
  walk(make_pair);
  walk(make_pipe);
  walk(make_listener);
  walk(adopt_one);
  walk(wait_for_one);
}

// ---- dialling and accepting --------------------------------------------------------------------------------------------

static ecru_io *listener;
static char address[32];
static int dial_and_accept(void) {
  ecru_io *io = untouched(), *other = untouched();
  int status = ecru_dial(&io, "tcp", address);
  CHECK_EQ(io == untouched(), status != 0);
  if (status != 0) return status;
  status = ecru_accept(listener, &other, NULL);
  CHECK_EQ(other == untouched(), status != 0);
  if (status == 0) ecru_io_release(other);
  ecru_io_release(io);
  return status;
}
static void dial_without_memory(void *unused) {
  (void)unused;
  enum { MANY = 300 };
  ecru_io *held[MANY]; // more than one chunk of handles
  ecru_address at;
  listener = listen_at("tcp", ":0");
  CHECK_EQ(ecru_io_local(listener, &at), 0);
  snprintf(address, sizeof address, ":%d", ecru_address_port(&at)); // two addresses: a race
  int failed = fail_each(dial_and_accept);
  CHECK(failed >= 1);
  for (int i = 0; i < MANY; i += 2) CHECK_EQ(ecru_io_pair(&held[i], &held[i + 1]), 0);
  for (int i = 0; i < 256; i++) {
    ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
    fail_each(dial_and_accept);
  }
  for (int i = 0; i < MANY; i++) ecru_io_release(held[i]);
  ecru_io_release(listener);
}
TEST(io, dialling_and_accepting_need_memory_or_say_so) { first_of_all(dial_without_memory); } // I4, I5

static int fill_table(void) { // each pair takes two places: the next chunk is due within 128
  static two held[200];
  int have = 0, status = 0;
  while (have < 200 && (status = ecru_io_pair(&held[have].a, &held[have].b)) == 0) have++;
  for (int i = 0; i < have; i++) {
    write_text(held[i].a, "x");
    expect_text(held[i].b, "x");
    release_two(held[i]);
  }
  return status;
}
static void fill_without_memory(void *unused) {
  (void)unused;
  CHECK(fail_each(fill_table) >= 2); // what is first made, and the second chunk
}
TEST(io, a_full_table_grows_or_says_so) { first_of_all(fill_without_memory); } // I1

// ---- reading, writing, copying, deadlines ------------------------------------------------------------------------------

static two p;
static void write_x(void *unused) {
  (void)unused;
  CHECK_EQ(write((int)ecru_io_descriptor(p.a), "x", 1), 1);
}
static int read_until(void) {
  char byte = 0;
  int status = ecru_io_set_deadline(p.b, ECRU_IO_READ, ecru_after(3600 * ECRU_SECOND));
  if (status != 0) return status;
  if (ecru_go(write_x, NULL) != 0) write_x(NULL);
  int64_t count = ecru_io_read(p.b, &byte, 1);
  if (count != 1) return (int)count;
  CHECK_EQ(byte, 'x');
  return ecru_io_set_deadline(p.b, ECRU_IO_READ, ECRU_FOREVER);
}
static void deadlines_without_memory(void *unused) {
  (void)unused;
  p = pair_of();
  CHECK_EQ(ecru_io_set_deadline(p.b, ECRU_IO_READ, ecru_after(3600 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_io_set_deadline(p.b, ECRU_IO_READ, ECRU_FOREVER), 0);
  fail_each(read_until);
  release_two(p);
}
TEST(io, a_deadline_needs_memory_or_says_so) { first_of_all(deadlines_without_memory); } // I2

static ecru_io *terminal;
static int make_raw(void) {
  int status = ecru_tty_set_mode(terminal, ECRU_TTY_RAW);
  return status != 0 ? status : ecru_tty_set_mode(terminal, ECRU_TTY_AS_IT_WAS);
}
static void modes_without_memory(void *unused) {
  (void)unused;
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) SKIP("no pseudo-terminals here");
  CHECK_EQ(grantpt(master), 0);
  CHECK_EQ(unlockpt(master), 0);
  CHECK_EQ(ecru_io_adopt(&terminal, open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC), 0), 0);
  CHECK_EQ(fail_each(make_raw), 1); // to keep how it was
  ecru_io_release(terminal);
  close(master);
}
TEST(io, a_terminals_mode_needs_memory_or_says_so) { first_of_all(modes_without_memory); } // I1

static int copy_some(void) {
  ecru_io *reader, *writer;
  char text[8];
  uint64_t copied = 7;
  if (ecru_pipe(&reader, &writer) != 0) return ECRU_ENOMEM;
  write_text(p.a, "copied");
  int64_t status = ecru_io_copy(writer, p.b, 6, &copied);
  if (status < 0) {
    CHECK_EQ(copied, 0);
    expect_text(p.b, "copied"); // not taken
  } else {
    CHECK_EQ(copied, 6);
    CHECK_EQ(ecru_io_read(reader, text, sizeof text), 6);
  }
  release_two((two){reader, writer});
  return (int)status;
}
static int read_line(void) {
  ecru_reader *reader = NULL;
  const char *line = NULL;
  size_t bytes = 0;
  write_text(p.a, "line\n");
  int status = ecru_reader_create(&reader, p.b, 0);
  CHECK_EQ(reader == NULL, status != 0);
  if (status != 0) {
    expect_text(p.b, "line\n");
    return status;
  }
  status = ecru_reader_line(reader, &line, &bytes);
  ecru_reader_destroy(reader);
  if (status < 0) expect_text(p.b, "line\n"); // nothing was consumed
  return status;
}
static int write_line(void) {
  ecru_writer *writer = NULL;
  int status = ecru_writer_create(&writer, p.a, 0);
  CHECK_EQ(writer == NULL, status != 0);
  if (status != 0) return status;
  int64_t taken = ecru_writer_write(writer, "line\n", 5);
  CHECK_EQ(taken, 5); // without a buffer, if need be
  CHECK_EQ(ecru_writer_flush(writer), 0);
  ecru_writer_destroy(writer);
  expect_text(p.b, "line\n");
  return 0;
}
static void copy_without_memory(void *unused) {
  (void)unused;
  p = pair_of();
  CHECK(fail_each(copy_some) >= 1);
  CHECK(fail_each(read_line) >= 1);
  CHECK(fail_each(write_line) >= 1);
  release_two(p);
}
TEST(io, copies_readers_and_writers_need_memory_or_say_so) { first_of_all(copy_without_memory); } // I1

// ---- and what needs none --------------------------------------------------------------------------------------------

static void answer(void *done) {
  char data[8];
  for (int64_t count; (count = ecru_io_read(p.b, data, sizeof data)) > 0;) CHECK_EQ(ecru_io_write(p.b, data, (size_t)count, NULL), count);
  CHECK_EQ(ecru_waitgroup_done(done), 0);
}
static void talk(void *unused) {
  (void)unused;
  ecru_waitgroup *done;
  char data[8];
  p = pair_of();
  CHECK_EQ(ecru_waitgroup_create(&done), 0);
  CHECK_EQ(ecru_waitgroup_add(done, 1), 0);
  CHECK_EQ(ecru_go(answer, done), 0);
  for (int i = 0; i < 1100; i++) {
    if (i == 100) ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0); // counts from here on
    CHECK_EQ(ecru_io_write(p.a, "ping", 4, NULL), 4);
    CHECK_EQ(ecru_io_read(p.a, data, sizeof data), 4);
  }
  CHECK_EQ(ecru__fault_count(ECRU__FAULT_ALLOC), 0);
  CHECK_EQ(ecru_io_close(p.a), 0);
  CHECK_EQ(ecru_waitgroup_wait(done), 0);
  ecru_waitgroup_destroy(done);
  release_two(p);
}
TEST(io, reads_and_writes_allocate_nothing) { first_of_all(talk); } // I1

// ---- libuv's loop ------------------------------------------------------------------------------------------------------

static int look_up(void) {
  ecru_address found;
  return ecru_resolve("localhost", "ip4", &found, 1);
}
static int finish_at_once(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  (void)loop;
  ecru_uv_finish(call, *(int *)state);
  return 0;
}
static void dispose_nothing(void *state) { (void)state; }
static int await_number(void) {
  int number = 7, abandoned = 7;
  int64_t status = ecru_uv_await(finish_at_once, NULL, &number);
  if (status < 0) return (int)status;
  CHECK_EQ(status, 7);
  status = ecru_uv_await_or_abandon(finish_at_once, NULL, dispose_nothing, &number, &abandoned);
  CHECK_EQ(abandoned, 0);
  return (int)status;
}
static void look_up_without_memory(void *unused) {
  (void)unused;
  CHECK_EQ(look_up(), 1); // what the C library keeps open is open
  CHECK(fail_each(look_up) >= 2);
  CHECK(fail_each(await_number) >= 1);
}
static void start_a_loop_without_memory(void *unused) {
  (void)unused;
  CHECK(fail_each(await_number) >= 2); // the loop and a call
}
static void start_a_loop_without_threads(void *unused) {
  (void)unused;
  CHECK_EQ(fail_each_of(ECRU__FAULT_THREAD, await_number, ECRU_ETHREADS), 1);
  CHECK_EQ(await_number(), 7);
}
TEST(uv, look_ups_need_memory_or_say_so) { first_of_all(look_up_without_memory); } // I6
TEST(uv, a_loop_needs_memory_or_says_so) { first_of_all(start_a_loop_without_memory); } // I6
TEST(uv, a_loop_needs_a_thread_or_says_so) { first_of_all(start_a_loop_without_threads); } // I6
