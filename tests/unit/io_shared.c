// Whoever shares an open file can make it blocking behind ecru's back (libuv does so for the standard streams of every child): reads, writes,
// accepts and copies park only their goroutine all the same (I1, I3). Each claim also where the system does not know RWF_NOWAIT.
#include <pty.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/syscall.h>
#include <termios.h>

#include "tests/sockets.h"

enum { MUCH = 1 << 20 };
static char much[MUCH], arrived[MUCH];
static bool flag_is_unknown; // the system's calls answer as an older one's would

ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags);
ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
  if (!flag_is_unknown) return syscall(SYS_preadv2, descriptor, pieces, (long)count, (long)offset, 0L, flags);
  errno = EOPNOTSUPP;
  return -1;
}
ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags);
ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
  if (!flag_is_unknown) return syscall(SYS_pwritev2, descriptor, pieces, (long)count, (long)offset, 0L, flags);
  errno = EOPNOTSUPP;
  return -1;
}

static ecru_io *adopt(int descriptor) {
  ecru_io *io = NULL;
  CHECK_EQ(ecru_io_adopt(&io, descriptor, 0), 0);
  return io;
}
/// As a child does that has it as a standard stream.
static void make_blocking(ecru_io *io) {
  int copy = dup((int)ecru_io_descriptor(io));
  CHECK(copy >= 0);
  CHECK_EQ(fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) & ~O_NONBLOCK), 0);
  CHECK_EQ(close(copy), 0);
}

// ---- ends ---------------------------------------------------------------------------------------------------------------

/// What is written to `b` can be read from `a`. Only the one under test is made blocking.
static two raw_pipe(void) {
  int both[2];
  CHECK_EQ(pipe2(both, O_CLOEXEC), 0);
  return (two){adopt(both[0]), adopt(both[1])};
}
static two fifo(void) {
  char name[64];
  snprintf(name, sizeof name, "/tmp/ecru-io-shared-%d", (int)getpid());
  CHECK_EQ(mkfifo(name, 0600), 0);
  int reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC), writer = open(name, O_WRONLY | O_CLOEXEC);
  CHECK(reader >= 0 && writer >= 0);
  CHECK_EQ(unlink(name), 0);
  return (two){adopt(reader), adopt(writer)};
}
static two own_pipe(void) {
  two p;
  CHECK_EQ(ecru_pipe(&p.a, &p.b), 0);
  return p;
}
static two raw_socket_pair(void) {
  int both[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
  return (two){adopt(both[0]), adopt(both[1])};
}
/// The program writes on its terminal, whose other side is read.
static two terminal_output(void) {
  int master, slave;
  CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0); // newlines become two characters
  return (two){adopt(master), adopt(slave)};
}
/// The program reads from its terminal, without lines or echo.
static two terminal_input(void) {
  int master, slave;
  struct termios mode;
  CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
  CHECK_EQ(tcgetattr(slave, &mode), 0);
  cfmakeraw(&mode);
  CHECK_EQ(tcsetattr(slave, TCSANOW, &mode), 0);
  return (two){adopt(slave), adopt(master)};
}

// ---- reading ------------------------------------------------------------------------------------------------------------

static two ends;
static ecru_chan *ended;
static int64_t got;

static void read_five(void *unused) {
  (void)unused;
  char data[16];
  got = ecru_io_read(ends.a, data, sizeof data);
  if (got > 0) CHECK(memcmp(data, "hello", 5) == 0);
  finish(ended);
}
static void readv_five(void *unused) {
  (void)unused;
  char two_bytes[2], rest[16];
  ecru_buffer buffers[] = {{two_bytes, 2}, {rest, sizeof rest}};
  got = ecru_io_readv(ends.a, buffers, 2);
  if (got > 0) CHECK(memcmp(two_bytes, "he", 2) == 0 && memcmp(rest, "llo", 3) == 0);
  finish(ended);
}
static void read_from(two made, ecru_fn fn) {
  ends = made;
  make_blocking(ends.a);
  char byte;
  CHECK_EQ(ecru_io_try_read(ends.a, &byte, 1), ECRU_EAGAIN);
  for (int i = 0; i < 3; i++) {
    go(fn, NULL);
    await_waiting_goroutines(1);
    CHECK_EQ(ecru_io_write(ends.b, "hello", 5, NULL), 5);
    await(ended, 1);
    CHECK_EQ(got, 5);
  }
  go(fn, NULL);
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_io_close(ends.a), 0); // I3
  await(ended, 1);
  CHECK_EQ(got, ECRU_ECLOSED);
  release_two(ends);
}
static void read_from_all(void *unused) {
  (void)unused;
  ended = signals();
  read_from(raw_pipe(), read_five);
  read_from(raw_pipe(), readv_five);
  read_from(own_pipe(), read_five); // its number has been asked for
  read_from(fifo(), read_five);
  read_from(raw_socket_pair(), read_five);
  read_from(raw_socket_pair(), readv_five);
  read_from(terminal_input(), read_five);
  ecru_chan_release(ended);
}

TEST(io_shared, a_read_parks_only_its_goroutine) { with_procs(1, read_from_all); } // I1, I3
TEST(io_shared, a_read_parks_only_its_goroutine_without_the_flag) {              // I1, I3
  flag_is_unknown = true;
  with_procs(1, read_from_all);
}

static void read_counter(void *io) {
  uint64_t count = 0;
  got = ecru_io_read(io, &count, sizeof count);
  CHECK_EQ(count, 7);
  finish(ended);
}
static void read_from_eventfd(void *unused) {
  (void)unused;
  ended = signals();
  uint64_t seven = 7;
  ecru_io *io = adopt(eventfd(0, EFD_CLOEXEC));
  make_blocking(io);
  go(read_counter, io);
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_io_write(io, &seven, sizeof seven, NULL), 8); // in one piece
  await(ended, 1);
  CHECK_EQ(got, 8);
  ecru_io_release(io);
  ecru_chan_release(ended);
}

TEST(io_shared, other_descriptors_are_read_and_written_whole) { with_procs(1, read_from_eventfd); } // I1

// ---- writing ------------------------------------------------------------------------------------------------------------

static int64_t volume; // a terminal holds little and takes it in small portions: slowly under valgrind
static void fill_much(bool text) {
  volume = text ? MUCH / 16 : MUCH;
  for (int i = 0; i < MUCH; i++) much[i] = text ? (char)(i % 37 == 36 ? '\n' : 'a' + i % 26) : (char)(i % 251);
  memset(arrived, 0, MUCH);
}
static void write_much(void *unused) {
  (void)unused;
  got = ecru_io_write(ends.b, much, (size_t)volume, NULL);
  finish(ended);
}
static void writev_much(void *unused) {
  (void)unused;
  ecru_buffer buffers[] = {{much, 0}, {much, 5}, {much + 5, MUCH / 2}, {much + 5 + MUCH / 2, MUCH - MUCH / 2 - 5}};
  got = ecru_io_writev(ends.b, buffers, 4, NULL);
  finish(ended);
}
static int file;
static void send_much(void *unused) {
  (void)unused;
  got = ecru_io_send_file(ends.b, file, 0, MUCH, NULL);
  finish(ended);
}
/// returns: how many bytes came until the writer was done; carriage returns that a terminal has added are left out.
static int64_t take_all(ecru_io *io, bool text) {
  static char data[8192];
  int64_t total = 0, count;
  while (total < volume && (count = ecru_io_read(io, data, sizeof data)) > 0)
    for (int64_t i = 0; i < count; i++)
      if (!text || data[i] != '\r') arrived[total++] = data[i];
  return total;
}
static void write_to(two made, ecru_fn fn, bool text) {
  ends = made;
  fill_much(text);
  make_blocking(ends.b);
  go(fn, NULL);
  await_waiting_goroutines(1);
  CHECK_EQ(take_all(ends.a, text), volume);
  await(ended, 1);
  CHECK_EQ(got, volume);
  CHECK(memcmp(much, arrived, (size_t)volume) == 0);
  go(fn, NULL);
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_io_close(ends.b), 0); // I3
  await(ended, 1);
  CHECK_EQ(got, ECRU_ECLOSED);
  release_two(ends);
}
static void write_to_all(void *unused) {
  (void)unused;
  ended = signals();
  write_to(raw_pipe(), write_much, false);
  write_to(raw_pipe(), writev_much, false);
  write_to(own_pipe(), write_much, false);
  write_to(fifo(), write_much, false);
  write_to(raw_socket_pair(), write_much, false);
  write_to(raw_socket_pair(), writev_much, false);
  write_to(terminal_output(), write_much, true);
  ecru_chan_release(ended);
}

TEST(io_shared, a_write_parks_only_its_goroutine) { with_procs(1, write_to_all); } // I1, I3
TEST(io_shared, a_write_parks_only_its_goroutine_without_the_flag) {             // I1, I3
  flag_is_unknown = true;
  with_procs(1, write_to_all);
}

static void send_to_all(void *unused) {
  (void)unused;
  char name[] = "/tmp/ecru_io_shared_XXXXXX";
  ended = signals();
  file = mkstemp(name);
  CHECK(file >= 0);
  CHECK_EQ(unlink(name), 0);
  fill_much(false);
  CHECK_EQ(write(file, much, MUCH), MUCH);
  write_to(raw_pipe(), send_much, false);
  write_to(raw_socket_pair(), send_much, false);
  CHECK_EQ(close(file), 0);
  ecru_chan_release(ended);
}

TEST(io_shared, sending_a_file_parks_only_its_goroutine) { with_procs(1, send_to_all); } // I1, I3

static void a_small_write_is_not_divided(void *unused) {
  (void)unused;
  ended = signals();
  ends = raw_pipe();
  fill_much(false);
  make_blocking(ends.b);
  while (ecru_io_try_write(ends.b, much, 4096) > 0) {}
  CHECK_EQ(ecru_io_try_write(ends.b, much, 4096), ECRU_EAGAIN);
  CHECK_EQ(ecru_io_read(ends.a, arrived, 4096), 4096);
  CHECK_EQ(ecru_io_try_write(ends.b, much, 4096), 4096);
  release_two(ends);
  ecru_chan_release(ended);
}

TEST(io_shared, a_small_write_to_a_pipe_is_not_divided) { // I1
  flag_is_unknown = true;
  with_procs(1, a_small_write_is_not_divided);
}

static void write_to_nobody(void *unused) {
  (void)unused;
  ends = raw_pipe();
  make_blocking(ends.b);
  CHECK_EQ(ecru_io_close(ends.a), 0);
  CHECK_EQ(ecru_io_write(ends.b, "x", 1, NULL), ECRU_EPIPE);
  release_two(ends);
}
TEST(io_shared, writing_to_nobody_raises_no_signal) { // I1
  write_to_nobody(NULL); // a thread that is not ecru's
  flag_is_unknown = true;
  write_to_nobody(NULL);
}

// ---- accepting, copying ---------------------------------------------------------------------------------------------------

static void accept_one(void *listener) {
  ecru_io *io = NULL;
  got = ecru_accept(listener, &io, NULL);
  ecru_io_release(io);
  finish(ended);
}
static void accept_from_shared(void *unused) {
  (void)unused;
  ended = signals();
  ecru_io *listener = listen_tcp(), *io;
  make_blocking(listener);
  go(accept_one, listener);
  await_waiting_goroutines(1);
  io = dial_to("tcp", listener);
  await(ended, 1);
  CHECK_EQ(got, 0);
  ecru_io_release(io);
  go(accept_one, listener);
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_io_close(listener), 0); // I3
  await(ended, 1);
  CHECK_EQ(got, ECRU_ECLOSED);
  ecru_io_release(listener);
  ecru_chan_release(ended);
}

TEST(io_shared, an_accept_parks_only_its_goroutine) { with_procs(1, accept_from_shared); } // I1, I3

static two from, to;
static void copy_much(void *unused) {
  (void)unused;
  got = ecru_io_copy(to.a, from.b, UINT64_MAX, NULL);
  finish(ended);
}
static void feed(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_io_write(from.a, much, MUCH, NULL), MUCH);
  CHECK_EQ(ecru_io_shutdown(from.a, ECRU_IO_WRITE), 0);
  finish(ended);
}
static two narrow(void) {
  two p = tcp_two();
  int bytes = 16 << 10;
  CHECK_EQ(setsockopt((int)ecru_io_descriptor(p.a), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
  CHECK_EQ(setsockopt((int)ecru_io_descriptor(p.b), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
  return p;
}
static void read_exactly(ecru_io *io, char *data, int64_t bytes) {
  for (int64_t have = 0, count; have < bytes; have += count) CHECK((count = ecru_io_read(io, data + have, (size_t)(bytes - have))) > 0);
}
/// first: how much arrives, most of it spliced, before the mode changes.
static void copy_between_shared(int64_t first) {
  from = narrow();
  to = narrow();
  fill_much(false);
  go(feed, NULL);
  await_waiting_goroutines(1);
  if (first > 0) go(copy_much, NULL);
  read_exactly(to.b, arrived, first);
  make_blocking(from.b);
  make_blocking(to.a);
  if (first == 0) go(copy_much, NULL);
  await_waiting_goroutines(2); // for room, both
  read_exactly(to.b, arrived + first, MUCH - first);
  CHECK(memcmp(much, arrived, MUCH) == 0);
  await(ended, 2);
  CHECK_EQ(got, MUCH);
  release_two(from);
  release_two(to);
}
static void copy_between_all(void *unused) {
  (void)unused;
  ended = signals();
  copy_between_shared(0);
  copy_between_shared(MUCH / 2);
  ecru_chan_release(ended);
}

TEST(io_shared, a_copy_parks_only_its_goroutine) { with_procs(1, copy_between_all); } // I1

// ---- a child ------------------------------------------------------------------------------------------------------------

static void with_a_child(void *unused) {
  (void)unused;
  int both[2];
  const char *const program[] = {"true", NULL};
  ecru_process *child = NULL;
  ended = signals();
  CHECK_EQ(pipe2(both, O_CLOEXEC), 0);
  CHECK_EQ(dup2(both[0], 0), 0);
  CHECK_EQ(close(both[0]), 0);
  ends = (two){adopt(0), adopt(both[1])};
  CHECK_EQ(ecru_process_start(NULL, &child, program), 0);
  CHECK_EQ(ecru_process_wait(child, NULL, NULL), 0);
  ecru_process_release(child);
  go(read_five, NULL);
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_io_write(ends.b, "hello", 5, NULL), 5);
  await(ended, 1);
  CHECK_EQ(got, 5);
  release_two(ends);
  ecru_chan_release(ended);
}

TEST(io_shared, a_child_with_our_input_changes_nothing_for_us) { with_procs(1, with_a_child); } // I1, I6
