// Dialling: the race of several addresses (I4). Loopback only: ports nobody listens on, a listener whose backlog is full.
#include "tests/sockets.h"

#include <net/if.h>
#include <sys/ioctl.h>

#include "runtime/dial.h"

enum { NEVER = 3600 }; // seconds: a fallback that a test would hang on

static int race(ecru_io **io, const ecru_address *addresses, size_t count, int64_t fallback_ns) {
  ecru__worker *w = ecru__enter();
  CHECK(w != NULL);
  ecru__dial_plan plan = {.addresses = addresses, .count = count, .fallback_ns = fallback_ns};
  int status = ecru__dial_race(&w, io, &plan);
  ecru__leave(w);
  return status;
}

/// The address of `to` is what io is connected to.
static void check_peer(ecru_io *io, ecru_io *to) {
  ecru_address peer, wanted = local_of(to);
  CHECK_EQ(ecru_io_peer(io, &peer), 0);
  CHECK_EQ(ecru_address_port(&peer), ecru_address_port(&wanted));
}

static void first_that_answers(void *unused) {
  (void)unused;
  blackhole hole;
  open_blackhole(&hole);
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address addresses[] = {hole.address, local_of(listener)};
  int before = open_fds_after_a_wait();
  int64_t begin = ecru_now();
  CHECK_EQ(race(&io, addresses, 2, 20 * ECRU_MILLISECOND), 0);
  CHECK(ecru_now() - begin >= 20 * ECRU_MILLISECOND);
  check_peer(io, listener);
  CHECK_EQ(test_open_fds(), before + 1); // the loser is closed
  ecru_io_release(io);
  ecru_io_release(listener);
  close_blackhole(&hole);
}

TEST(dial, the_second_address_wins_if_the_first_does_not_answer) { with_procs(2, first_that_answers); } // I4
TEST(dial, a_thread_races_like_a_goroutine) { first_that_answers(NULL); }                               // I4, G10

static void refused_at_once(void *unused) {
  (void)unused;
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address nobody = nobody_at("tcp", "127.0.0.1:0");
  ecru_address addresses[] = {nobody, nobody, nobody, local_of(listener)};
  CHECK_EQ(race(&io, addresses, 4, NEVER * ECRU_SECOND), 0);
  check_peer(io, listener);
  ecru_io_release(io);
  CHECK_EQ(race(&io, addresses, 4, -1), 0);
  ecru_io_release(io);
  ecru_io_release(listener);
}

TEST(dial, a_refusal_starts_the_next_at_once) { with_procs(1, refused_at_once); } // I4

static void late_answer(void *unused) {
  (void)unused;
  blackhole hole;
  open_blackhole(&hole);
  ecru_address addresses[] = {hole.address, nobody_at("tcp", "127.0.0.1:0")};
  ecru_io *io = NULL;
  int before = open_fds_after_a_wait();
  CHECK_EQ(ecru_deadline_enter(ecru_after(60 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(race(&io, addresses, 2, ECRU_MILLISECOND), ECRU_ETIMEDOUT); // the refused one does not end it: the first may yet answer
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(test_open_fds(), before);
  CHECK(io == NULL);
  close_blackhole(&hole);
}

TEST(dial, a_refusal_of_one_leaves_the_others_their_time) { with_procs(2, late_answer); } // I4, K2

TEST(dial, the_first_address_error_is_told) { // I4
  ecru_address refused = nobody_at("tcp", "127.0.0.1:0"), closed_to_all = parsed("tcp", "255.255.255.255:1");
  ecru_io *io = NULL;
  ecru_address one[] = {refused, closed_to_all}, other[] = {closed_to_all, refused};
  int before = open_fds_after_a_wait();
  CHECK_EQ(race(&io, one, 2, NEVER * ECRU_SECOND), ECRU_ECONNREFUSED);
  int status = race(&io, other, 2, NEVER * ECRU_SECOND); // EACCES or ENETUNREACH
  CHECK(status == ECRU_EACCES || status == ECRU_ENETUNREACH);
  CHECK_EQ(test_open_fds(), before);
}

static ecru_token *canceler;
static void cancel_soon(void *unused) {
  (void)unused;
  await_waiting_goroutines(1);
  CHECK_EQ(ecru_token_cancel(canceler, 0), 0);
}

static void canceled_while_racing(void *unused) {
  (void)unused;
  blackhole hole;
  open_blackhole(&hole);
  ecru_address addresses[] = {hole.address, hole.address, hole.address};
  ecru_io *kept = listen_tcp();
  int before = open_fds_after_a_wait();
  for (int stage = 0; stage < 3; stage++) { // with one, with all under way, one after the other
    static const int64_t fallbacks[] = {NEVER * ECRU_SECOND, 1, -1};
    ecru_io *io = NULL;
    CHECK_EQ(ecru_token_create(&canceler, NULL, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_token_enter(canceler), 0);
    go(cancel_soon, NULL);
    CHECK_EQ(race(&io, addresses, 3, fallbacks[stage]), ECRU_ECANCELED);
    CHECK_EQ(test_open_fds(), before);
    CHECK_EQ(ecru_dial_address(&io, "tcp", &hole.address), ECRU_ECANCELED);
    CHECK_EQ(ecru_dial(&io, "tcp", "127.0.0.1:1"), ECRU_ECANCELED);
    CHECK_EQ(ecru_token_leave(), 0);
    ecru_token_release(canceler);
  }
  ecru_io_release(kept);
  close_blackhole(&hole);
}

TEST(dial, cancellation_ends_every_stage) { with_procs(2, canceled_while_racing); } // I4, K2

static void parts_of_time(void *unused) {
  (void)unused;
  blackhole hole;
  open_blackhole(&hole);
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address addresses[] = {hole.address, local_of(listener)};
  int64_t begin = ecru_now();
  CHECK_EQ(ecru_deadline_enter(ecru_after(60 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(5 * ECRU_SECOND)), 0);
  CHECK_EQ(race(&io, addresses, 2, -1), 0); // half the time for the first
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  int64_t took = ecru_now() - begin;
  CHECK(took >= 2400 * ECRU_MILLISECOND && took < 5 * ECRU_SECOND);
  check_peer(io, listener);
  ecru_io_release(io);
  ecru_io_release(listener);
  close_blackhole(&hole);
}

TEST(dial, one_after_the_other_share_the_time) { with_procs(2, parts_of_time); } // I4

TEST(dial, families_take_turns) { // I4
  ecru_address a[6];
  const char *given[] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "[::1]:4", "[::1]:5", "127.0.0.1:6"};
  for (int i = 0; i < 6; i++) a[i] = parsed("tcp", given[i]);
  ecru__dial_interleave(a, 6);
  static const int wanted[] = {4, 1, 5, 2, 3, 6};
  for (int i = 0; i < 6; i++) CHECK_EQ(ecru_address_port(&a[i]), wanted[i]);
  ecru__dial_interleave(a, 1);
  ecru__dial_interleave(a, 0);
}

TEST(dial, many_addresses) { // I4
  ecru_io *listener = listen_tcp(), *io = NULL;
  blackhole hole;
  open_blackhole(&hole);
  ecru_address addresses[ECRU__DIAL_MOST];
  for (int i = 0; i < ECRU__DIAL_MOST; i++) addresses[i] = hole.address;
  addresses[ECRU__DIAL_MOST - 1] = local_of(listener);
  int before = open_fds_after_a_wait();
  CHECK_EQ(race(&io, addresses, ECRU__DIAL_MOST, 1), 0);
  check_peer(io, listener);
  ecru_io_release(io);
  CHECK_EQ(test_open_fds(), before);
  ecru_io_release(listener);
  close_blackhole(&hole);
}

static void interrupt_first(void *unused) {
  (void)unused;
  (void)ecru_host_interrupt();
}

TEST(dial, interrupted_by_then_connected_it_has_connected) { // I4, G15
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address address = local_of(listener);
  char text[ECRU_ADDRESS_TEXT];
  CHECK(ecru_address_text(&address, text, sizeof text) > 0);
  CHECK_EQ(ecru_host_enter(NULL), 0);
  for (long i = 0; i < test_scaled(100); i++) {
    go_flagged(ECRU_HOSTED, interrupt_first, NULL); // runs once the dial waits, which by then the system has done
    CHECK_EQ(ecru_dial(&io, "tcp", text), 0);
    check_peer(io, listener);
    ecru_io_release(io);
  }
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_host_leave(), 0);
  ecru_io_release(listener);
}

TEST(dial, without_a_host_it_is_this_machine) { // I4
  ecru_io *listener = listen_at("tcp4", "127.0.0.1:0"), *io = NULL; // IPv6, tried first, is refused
  ecru_address address = local_of(listener);
  char text[16];
  snprintf(text, sizeof text, ":%d", ecru_address_port(&address));
  CHECK_EQ(ecru_dial(&io, "tcp", text), 0);
  check_peer(io, listener);
  ecru_io_release(io);
  CHECK_EQ(ecru_dial(&io, "tcp4", text), 0);
  ecru_io_release(io);
  CHECK_EQ(ecru_dial(&io, "udp", text), 0);
  ecru_io_release(io);
  int status = ecru_dial(&io, "tcp6", text);
  CHECK(status == ECRU_ECONNREFUSED || status == ECRU_EADDRNOTAVAIL || status == ECRU_EAFNOSUPPORT);
  ecru_io_release(listener);
}

TEST(dial, a_local_address) { // I1, I4
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address local = parsed("tcp", "127.0.0.5:0"), to = local_of(listener);
  ecru_dial_options options = ECRU_DIAL_OPTIONS;
  char text[ECRU_ADDRESS_TEXT];
  CHECK(ecru_address_text(&to, text, sizeof text) > 0);
  options.local = &local;
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", text), 0);
  local = local_of(io);
  CHECK(ecru_address_text(&local, text, sizeof text) > 0);
  CHECK(strncmp(text, "127.0.0.5:", 10) == 0);
  ecru_io *taken = io;
  options.local = &(ecru_address){0};
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", "127.0.0.1:1"), ECRU_EAFNOSUPPORT);
  ecru_address v6 = parsed("tcp", "[::1]:0");
  options.local = &v6;
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", "127.0.0.1:1"), ECRU_EAFNOSUPPORT);
  ecru_address far = parsed("tcp", "192.0.2.1:0");
  options.local = &far;
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", "127.0.0.1:1"), ECRU_EADDRNOTAVAIL);
  options.size = sizeof options + 1;
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", "127.0.0.1:1"), ECRU_EINVAL);
  options.size = sizeof options.size; // an older caller's: the rest is default
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", "127.0.0.1:1"), ECRU_ECONNREFUSED);
  ecru_io_release(taken);
  ecru_io_release(listener);
}

/// A network of this process alone, whose ports for connections are these.
static void enter_small_network(const char *range) {
  if (unshare(CLONE_NEWNET) != 0) SKIP("no network of one's own is allowed here");
  struct ifreq loopback = {.ifr_name = "lo"};
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  int socket_of_it = socket(AF_INET, SOCK_DGRAM, 0), file = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
  if (file < 0 || write(file, range, strlen(range)) < 0) SKIP("the range of ports cannot be set here");
  CHECK_EQ(ioctl(socket_of_it, SIOCSIFFLAGS, &loopback), 0);
  close(file);
  close(socket_of_it);
}

TEST(dial, nobody_meets_himself) { // I4
  enter_small_network("40000 40007");
  ecru_address nobody = parsed("tcp", "127.0.0.1:40002"); // the system would soon choose it as the connection's own port
  for (int i = 0; i < 50; i++) {
    ecru_io *io = NULL;
    CHECK_EQ(ecru_dial_address(&io, "tcp", &nobody), ECRU_ECONNREFUSED);
  }
}

static char path[64];
static void fill_unix_backlog(void *unused) {
  (void)unused;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  ecru_io *listener = NULL, *first = NULL, *accepted[3];
  snprintf(path, sizeof path, "@ecru-dial-%d", (int)getpid());
  options.backlog = 1;
  CHECK_EQ(ecru_listen_with(&options, &listener, "unix", path), 0);
  ecru_io *fillers[2];
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_dial(&fillers[i], "unix", path), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_dial(&first, "unix", path), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_accept(listener, &accepted[i], NULL), 0);
  CHECK_EQ(ecru_dial(&first, "unix", path), 0);
  CHECK_EQ(ecru_accept(listener, &accepted[2], NULL), 0);
  for (int i = 0; i < 3; i++) ecru_io_release(accepted[i]);
  for (int i = 0; i < 2; i++) ecru_io_release(fillers[i]);
  ecru_io_release(first);
  ecru_io_release(listener);
}

TEST(dial, a_full_unix_backlog_is_waited_for) { with_procs(1, fill_unix_backlog); } // I4, I1

static void dial_unix(void *done) {
  ecru_io *io = NULL;
  CHECK_EQ(ecru_dial(&io, "unix", path), 0);
  expect_text(io, "come in");
  ecru_io_release(io);
  finish(done);
}
static void crowd_at_unix(void *unused) {
  (void)unused;
  enum { CROWD = 50 };
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  ecru_io *listener = NULL;
  ecru_chan *done = signals();
  snprintf(path, sizeof path, "@ecru-crowd-%d", (int)getpid());
  options.backlog = 1;
  CHECK_EQ(ecru_listen_with(&options, &listener, "unix", path), 0);
  for (int i = 0; i < CROWD; i++) go(dial_unix, done);
  for (int i = 0; i < CROWD; i++) {
    ecru_io *io = NULL;
    CHECK_EQ(ecru_accept(listener, &io, NULL), 0);
    write_text(io, "come in");
    ecru_io_release(io);
  }
  await(done, CROWD);
  ecru_chan_release(done);
  ecru_io_release(listener);
}

TEST(dial, a_crowd_gets_through_a_small_unix_backlog) { with_procs(2, crowd_at_unix); } // I4
