// Ends of connections and handles: closing against everything else (I3), resets and hang-ups (I1), shortage of descriptors (I5),
// handles over a stop (G13), who may do I/O (G10) and what a dump shows of it (D2).
#include "tests/sockets.h"

#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

// ---- closing wakes all -----------------------------------------------------------------------------------------------------

struct pending {
  ecru_io *io;
  int64_t (*operation)(ecru_io *io);
  ecru_chan *done;
  int64_t result;
};
static int64_t read_one(ecru_io *io) {
  char byte;
  return ecru_io_read(io, &byte, 1);
}
static int64_t write_much(ecru_io *io) {
  static char data[8 << 20];
  return ecru_io_write(io, data, sizeof data, NULL);
}
static int64_t accept_one(ecru_io *listener) {
  ecru_io *io = NULL;
  int64_t status = ecru_accept(listener, &io, NULL);
  ecru_io_release(io);
  return status;
}
static int64_t wait_both(ecru_io *io) { return ecru_io_wait(io, ECRU_IO_READ); }
static int64_t receive_one(ecru_io *io) {
  char byte;
  return ecru_receive_from(io, &byte, 1, NULL);
}
static void do_pending(void *argument) {
  struct pending *p = argument;
  p->result = p->operation(p->io);
  finish(p->done);
}

static void close_under(ecru_io *io, int64_t (*operation)(ecru_io *)) {
  enum { CROWD = 5 };
  struct pending all[CROWD];
  ecru_chan *done = signals();
  for (int i = 0; i < CROWD; i++) {
    all[i] = (struct pending){io, operation, done, 77};
    go(do_pending, &all[i]);
  }
  await_waiting_goroutines(CROWD);
  int descriptor = (int)ecru_io_descriptor(io);
  CHECK_EQ(ecru_io_close(io), 0);
  CHECK_EQ(fcntl(descriptor, F_GETFD), -1); // it is closed when this returns
  await(done, CROWD);
  for (int i = 0; i < CROWD; i++) CHECK_EQ(all[i].result, ECRU_ECLOSED);
  ecru_io_release(io);
  ecru_chan_release(done);
}
static void close_under_all(void *unused) {
  (void)unused;
  two p = tcp_two(), q = tcp_two(), r = tcp_two();
  close_under(p.a, read_one);
  close_under(q.a, write_much);
  close_under(r.a, wait_both);
  close_under(listen_tcp(), accept_one);
  close_under(listen_at("udp", "127.0.0.1:0"), receive_one);
  ecru_io_release(p.b);
  ecru_io_release(q.b);
  ecru_io_release(r.b);
}
TEST(net_close, all_pending_operations_end) { with_procs(2, close_under_all); } // I3

struct crowd {
  two p;
  ecru_io *listener;
  ecru_chan *done;
  ecru_address address;
};
static void read_on(void *argument) {
  struct crowd *c = argument;
  while (read_one(c->p.a) == 1) {}
  CHECK_EQ(read_one(c->p.a), ECRU_ECLOSED);
  finish(c->done);
}
static void write_on(void *argument) {
  struct crowd *c = argument;
  int64_t result;
  while ((result = ecru_io_write(c->p.a, "abc", 3, NULL)) == 3) ecru_yield();
  CHECK_EQ(result, ECRU_ECLOSED);
  finish(c->done);
}
static void wait_on(void *argument) {
  struct crowd *c = argument;
  int result;
  while ((result = ecru_io_wait(c->p.a, ECRU_IO_READ | ECRU_IO_WRITE)) > 0) ecru_yield();
  CHECK_EQ(result, ECRU_ECLOSED);
  finish(c->done);
}
static void set_deadlines_on(void *argument) {
  struct crowd *c = argument;
  int status;
  while ((status = ecru_io_set_deadline(c->p.a, ECRU_IO_READ, ecru_after(3600 * ECRU_SECOND))) == 0) ecru_yield();
  CHECK_EQ(status, ECRU_ECLOSED);
  finish(c->done);
}
static void accept_on(void *argument) {
  struct crowd *c = argument;
  int64_t status;
  while ((status = accept_one(c->listener)) == 0) {}
  CHECK_EQ(status, ECRU_ECLOSED);
  finish(c->done);
}
static void connect_on(void *argument) {
  struct crowd *c = argument;
  for (int i = 0; i < 2; i++) {
    ecru_io *io = NULL;
    int status = ecru_dial_address(&io, "tcp", &c->address);
    // EPIPE: the other side had closed the connection before it was reset
    if (status != 0 && status != ECRU_ECONNREFUSED && status != ECRU_ECONNRESET && status != ECRU_EPIPE) FAIL("%s", ecru_status_name(status));
    ecru_io_release(io);
  }
  finish(c->done);
}
static void answer_on(void *argument) {
  struct crowd *c = argument;
  char data[64];
  int64_t count;
  while ((count = ecru_io_read(c->p.b, data, sizeof data)) > 0 && ecru_io_write(c->p.b, data, (size_t)count, NULL) > 0) {}
  finish(c->done);
}
static void close_it(void *argument) {
  struct crowd *c = argument;
  int one = ecru_io_close(c->p.a), other = ecru_io_close(c->listener);
  CHECK((one == 0 || one == ECRU_ECLOSED) && (other == 0 || other == ECRU_ECLOSED));
  finish(c->done);
}
static void close_in_the_crowd(void *unused) {
  (void)unused;
  static const ecru_fn roles[] = {read_on, write_on, wait_on, set_deadlines_on, accept_on, connect_on, answer_on, read_on, write_on};
  enum { ROLES = sizeof roles / sizeof *roles };
  uint64_t seed = test_seed();
  int fds = -1;
  for (long round = test_scaled(1500); round > 0; round--) {
    struct crowd c = {.p = tcp_two(), .listener = listen_tcp(), .done = signals()};
    if (fds < 0) fds = test_open_fds();
    c.address = local_of(c.listener);
    for (int i = 0; i < ROLES; i++) go(roles[i], &c);
    for (uint64_t i = test_random_below(&seed, 4); i > 0; i--) ecru_yield();
    for (int i = 0; i < 2; i++) go(close_it, &c);
    await(c.done, ROLES + 2);
    release_two(c.p);
    ecru_io_release(c.listener);
    ecru_chan_release(c.done);
    CHECK_EQ(test_open_fds(), fds - 3);
  }
}
TEST(net_close, against_everything_at_once) { with_procs(2, close_in_the_crowd); } // I3

// ---- resets and hang-ups -----------------------------------------------------------------------------------------------------

static void reset(ecru_io *io) {
  CHECK_EQ(ecru_io_set_option(io, ECRU_OPTION_LINGER, 0), 0);
  CHECK_EQ(ecru_io_close(io), 0);
}
static void reset_under(void *unused) {
  (void)unused;
  for (int i = 0; i < 2; i++) {
    two p = tcp_two();
    struct pending reader = {p.a, read_one, signals(), 0}, writer = {p.a, write_much, reader.done, 0};
    go(do_pending, &reader);
    go(do_pending, &writer);
    await_waiting_goroutines(2);
    reset(p.b);
    await(reader.done, 2);
    // the system tells one of them of the reset, the other that there is no connection any more
    CHECK(reader.result == ECRU_ECONNRESET || reader.result == 0);
    CHECK(writer.result == ECRU_ECONNRESET || writer.result == ECRU_EPIPE);
    CHECK(reader.result == ECRU_ECONNRESET || writer.result == ECRU_ECONNRESET);
    CHECK_EQ(ecru_io_write(p.a, "x", 1, NULL), ECRU_EPIPE);
    ecru_chan_release(reader.done);
    release_two(p);
  }
}
TEST(net_close, a_reset_wakes_reader_and_writer) { with_procs(2, reset_under); } // I1

static void reset_while_reading(void *unused) {
  (void)unused;
  two p = tcp_two();
  struct pending reader = {p.a, read_one, signals(), 0};
  go(do_pending, &reader);
  await_waiting_goroutines(1);
  reset(p.b);
  await(reader.done, 1);
  CHECK_EQ(reader.result, ECRU_ECONNRESET);
  ecru_chan_release(reader.done);
  release_two(p);
}
TEST(net_close, a_reset_is_told_to_the_reader) { with_procs(1, reset_while_reading); } // I1

TEST(net_close, a_connection_reset_before_it_was_accepted) { // I5
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_io *gone = dial_to("tcp", listener);
  reset(gone);
  ecru_io_release(gone);
  ecru_io *there = dial_to("tcp", listener);
  write_text(there, "x");
  char byte;
  int64_t count;
  do { // Linux gives out the one that was reset, others keep it back
    ecru_io_release(io);
    CHECK_EQ(ecru_accept(listener, &io, NULL), 0);
    count = ecru_io_read(io, &byte, 1);
  } while (count == ECRU_ECONNRESET);
  CHECK_EQ(count, 1);
  release_two((two){listener, io});
  ecru_io_release(there);
}

static void write_to_nobody(void *unused) {
  (void)unused;
  two p, q = pair_of(), r = tcp_two();
  size_t written = 7;
  CHECK_EQ(ecru_pipe(&p.a, &p.b), 0);
  ecru_io_release(p.a);
  ecru_io_release(q.a);
  for (int i = 0; i < 3; i++) {
    ecru_buffer buffers[] = {{(void *)(uintptr_t)"a", 1}, {(void *)(uintptr_t)"b", 1}};
    CHECK_EQ(ecru_io_write(p.b, "x", 1, &written), ECRU_EPIPE); // and no signal, which would end this process
    CHECK_EQ(written, 0);
    CHECK_EQ(ecru_io_writev(p.b, buffers, 2, &written), ECRU_EPIPE);
    CHECK_EQ(ecru_io_try_write(p.b, "x", 1), ECRU_EPIPE);
    CHECK_EQ(ecru_io_write(q.b, "x", 1, &written), ECRU_EPIPE);
    CHECK_EQ(ecru_io_writev(q.b, buffers, 2, &written), ECRU_EPIPE);
  }
  CHECK_EQ(ecru_io_shutdown(r.a, ECRU_IO_WRITE), 0);
  CHECK_EQ(ecru_io_write(r.a, "x", 1, NULL), ECRU_EPIPE);
  int file = memfd_create("ecru", MFD_CLOEXEC);
  CHECK_EQ(write(file, "abc", 3), 3);
  CHECK_EQ(ecru_io_send_file(r.a, file, 0, 3, NULL), ECRU_EPIPE);
  CHECK_EQ(ecru_io_send_file(p.b, file, 0, 3, NULL), ECRU_EPIPE);
  close(file);
  release_two(r);
  ecru_io_release(p.b);
  ecru_io_release(q.b);
}
static void unblocked(void) { // whatever the runner has set
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}
static void write_to_nobody_unblocked(void *done) {
  unblocked();
  write_to_nobody(NULL);
  sigset_t pending;
  CHECK_EQ(sigpending(&pending), 0);
  CHECK(!sigismember(&pending, SIGPIPE));
  if (done) finish(done);
}
static void *write_in_thread(void *unused) {
  write_to_nobody_unblocked(unused);
  return NULL;
}
static void write_from_own_thread(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  go_flagged(ECRU_OWN_THREAD, write_to_nobody_unblocked, done);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(net_close, no_signal_in_a_goroutine) { // I1
  unblocked();
  with_procs(1, write_to_nobody);
}
TEST(net_close, no_signal_in_a_foreign_thread) { // I1, G10
  CHECK_EQ(pthread_join(start_thread(write_in_thread, NULL), NULL), 0);
}
TEST(net_close, no_signal_in_a_goroutine_with_its_own_thread) { with_procs(1, write_from_own_thread); } // I1, G10

TEST(net_close, a_peer_that_has_vanished_is_noticed) { // I1
  if (unshare(CLONE_NEWNET) != 0) SKIP("no network of one's own is allowed here");
  struct ifreq loopback = {.ifr_name = "lo"};
  int control = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &loopback), 0);
  two p = tcp_two();
  CHECK_EQ(ecru_io_set_option(p.a, ECRU_OPTION_KEEP_ALIVE, 1), 0);
  CHECK_EQ(setsockopt((int)ecru_io_descriptor(p.a), IPPROTO_TCP, TCP_KEEPCNT, &one, sizeof one), 0);
  loopback.ifr_flags = 0; // the cable is cut
  CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &loopback), 0);
  CHECK_EQ(read_one(p.a), ECRU_ETIMEDOUT);
  close(control);
  release_two(p);
}

// ---- shortage of descriptors ---------------------------------------------------------------------------------------------------

static void limit_descriptors_to(int count) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = (rlim_t)count;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
static int highest_descriptor(void) {
  int next = dup(0);
  CHECK(next >= 0);
  close(next);
  return next;
}

static _Atomic int spare;
static void close_spare(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(20 * ECRU_MILLISECOND), 0); // the patient one sleeps by now, or will not have to
  close(atomic_load(&spare));
}
static void run_out(void *unused) {
  (void)unused;
  ecru_io *listener = listen_tcp(), *a = NULL, *b = NULL;
  ecru_io *client = dial_to("tcp", listener);
  atomic_store(&spare, dup(0));
  limit_descriptors_to(highest_descriptor());
  ecru_address address = local_of(listener);
  CHECK_EQ(ecru_accept(listener, &a, NULL), ECRU_EMFILE);
  CHECK_EQ(ecru_accept(listener, &a, NULL), ECRU_EMFILE); // the connection still waits
  CHECK_EQ(ecru_dial_address(&a, "tcp", &address), ECRU_EMFILE);
  CHECK_EQ(ecru_listen(&a, "tcp", "127.0.0.1:0"), ECRU_EMFILE);
  CHECK_EQ(ecru_pipe(&a, &b), ECRU_EMFILE);
  CHECK_EQ(ecru_io_pair(&a, &b), ECRU_EMFILE);
  CHECK(a == NULL && b == NULL);
  CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_accept_patiently(listener, &a, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  go(close_spare, NULL);
  CHECK_EQ(ecru_accept_patiently(listener, &a, NULL), 0);
  write_text(client, "x");
  expect_text(a, "x");
  release_two((two){a, client});
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  release_two((two){a, b});
  ecru_io_release(listener);
}
TEST(net_close, without_descriptors_connections_wait) { with_procs(2, run_out); } // I5

TEST(net_close, without_descriptors_there_is_no_poller) { // I5
  ecru_io *a = NULL, *b = NULL;
  struct rlimit before;
  CHECK_EQ(ecru_yield(), 0); // the runtime is there, the poller is not
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  limit_descriptors_to(highest_descriptor() + 2);
  CHECK_EQ(ecru_io_pair(&a, &b), ECRU_EMFILE);
  CHECK_EQ(ecru_pipe(&a, &b), ECRU_EMFILE);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  write_text(a, "x");
  expect_text(b, "x");
  release_two((two){a, b});
}

// ---- over a stop ---------------------------------------------------------------------------------------------------------------

static two kept;
static ecru_io *kept_listener;
static void make_kept(void *unused) {
  (void)unused;
  kept_listener = listen_tcp();
  kept = connect_two("tcp", kept_listener);
  write_text(kept.a, "before");
}
static void use_kept(void *unused) {
  (void)unused;
  expect_text(kept.b, "before");
  two p = connect_two("tcp", kept_listener);
  release_two(p);
  struct pending reader = {kept.b, read_one, signals(), 0};
  go(do_pending, &reader);
  await_waiting_goroutines(1);
  write_text(kept.a, "x");
  await(reader.done, 1);
  CHECK_EQ(reader.result, 1);
  ecru_chan_release(reader.done);
  write_text(kept.a, "before");
}
TEST(net_close, handles_live_on_over_stops) { // G13
  int before = open_fds_to_compare();
  with_procs(1, make_kept);
  int handles = test_open_fds(), threads = test_threads();
  CHECK_EQ(handles, before + 3); // the poller's are gone
  for (int i = 0; i < 5; i++) {
    with_procs(1 + i % 2, use_kept);
    CHECK_EQ(test_open_fds(), handles);
  }
  ecru_io_release(kept.a); // with no runtime about
  ecru_io_release(kept.b);
  ecru_io_release(kept_listener);
  CHECK_EQ(test_open_fds(), before);
  SPIN_UNTIL(test_threads() <= threads); // none was started; one that was joined may be listed for a moment
}

static void wait_for_pipe(void *unused) {
  (void)unused;
  int both[2];
  CHECK_EQ(pipe(both), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(write(both[1], "x", 1), 1);
  CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ | ECRU_IO_WRITE), ECRU_IO_READ);
  close(both[0]);
  close(both[1]);
}
TEST(net_close, foreign_descriptors_over_stops) { // G13, I7
  int before = open_fds_to_compare();
  for (int i = 0; i < 5; i++) {
    with_procs(1, wait_for_pipe);
    CHECK_EQ(test_open_fds(), before);
  }
}

// ---- who does it, and what is seen of it -----------------------------------------------------------------------------------------

static void echo_one(void *argument) {
  two *p = argument;
  for (char byte; ecru_io_read(p->b, &byte, 1) == 1;) CHECK_EQ(ecru_io_write(p->b, &byte, 1, NULL), 1);
}
static void ping(ecru_io *io) {
  char byte;
  for (int i = 0; i < 200; i++) {
    CHECK_EQ(ecru_io_write(io, "x", 1, NULL), 1);
    CHECK_EQ(ecru_io_read(io, &byte, 1), 1);
  }
}
static void *ping_in_thread(void *argument) {
  ping(((two *)argument)->a);
  return NULL;
}
static struct { two p; ecru_chan *done; } own;
static void ping_from_own(void *unused) {
  (void)unused;
  ping(own.p.a);
  finish(own.done);
}
static void everybody_pings(void *unused) {
  (void)unused;
  two p = tcp_two(), q = pair_of();
  own.p = tcp_two();
  own.done = signals();
  go(echo_one, &p);
  go(echo_one, &q);
  go(echo_one, &own.p);
  go_flagged(ECRU_OWN_THREAD, ping_from_own, NULL);
  pthread_t one = start_thread(ping_in_thread, &p), other = start_thread(ping_in_thread, &q);
  await(own.done, 1);
  join_thread(one);
  join_thread(other);
  go_flagged(ECRU_PINNED, ping_from_own, NULL);
  await(own.done, 1);
  ecru_io_release(p.a), ecru_io_release(q.a), ecru_io_release(own.p.a);
  UNTIL(counters_now().waiting == 0 && counters_now().goroutines <= 1);
  ecru_io_release(p.b), ecru_io_release(q.b), ecru_io_release(own.p.b);
  ecru_chan_release(own.done);
}
TEST(net_close, all_kinds_of_threads_do_io) { with_procs(2, everybody_pings); } // G10, I1

static two idle_ends;
static void wait_for_byte(void *io) { CHECK_EQ(read_one(io), ECRU_ECLOSED); }
static void wait_ready(void *io) { CHECK_EQ(ecru_io_wait(io, ECRU_IO_READ), ECRU_ECLOSED); }
static void wait_accept(void *io) { CHECK_EQ(accept_one(io), ECRU_ECLOSED); }
static void wait_write(void *io) { CHECK_EQ(write_much(io), ECRU_ECLOSED); }
static void wait_connect(void *address) {
  ecru_io *io = NULL;
  CHECK_EQ(ecru_dial_address(&io, "tcp", address), ECRU_ECANCELED);
}
/// Until one dump tells of all of them: each parks when its turn comes, and may look again in between if the poller tells of what has not happened.
static void await_in_one_dump(const char *const *reasons) {
  for (bool all = false; !all; ecru_yield()) {
    char *text = dump_taken(ECRU_DUMP_TEXT);
    all = true;
    for (int i = 0; reasons[i]; i++) all &= strstr(text, reasons[i]) != NULL;
    free(text);
  }
}
static void dump_waiting(void *unused) {
  (void)unused;
  blackhole hole;
  open_blackhole(&hole);
  two full = tcp_two(), ready = tcp_two();
  idle_ends = tcp_two();
  ecru_io *listener = listen_tcp();
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(wait_for_byte, idle_ends.a);
  go(wait_ready, ready.a);
  go(wait_accept, listener);
  go(wait_write, full.a);
  CHECK_EQ(ecru_token_enter(token), 0);
  go(wait_connect, &hole.address);
  CHECK_EQ(ecru_token_leave(), 0);
  await_in_one_dump((const char *const[]){"[io read", "[io write", "[io accept", "[io connect", "[io wait", NULL});
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_io_close(full.a), 0);
  CHECK_EQ(ecru_io_close(idle_ends.a), 0);
  CHECK_EQ(ecru_io_close(ready.a), 0);
  CHECK_EQ(ecru_io_close(listener), 0);
  UNTIL(counters_now().waiting == 0 && counters_now().goroutines <= 1);
  release_two(full);
  release_two(ready);
  release_two(idle_ends);
  ecru_io_release(listener);
  ecru_token_release(token);
  close_blackhole(&hole);
}
TEST(net_close, a_dump_says_what_they_wait_for) { with_procs(2, dump_waiting); } // D2, G7
