// Connections over a bad line (I1, I2, I4, K2): packets come late or never. The test has a network of its own with one line, a tun device
// whose other end is this program: what is sent to 10.9.0.2 comes back from there, sender and receiver exchanged (so its checksums stay right), after
// a delay, unless it is lost. (Tried: netem; few kernels have it that run tests.)
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "tests/sockets.h"

enum { PACKET = 2048, PACKETS = 4096 };

typedef struct packet {
  int64_t due_ns;
  int bytes;
  unsigned char data[PACKET];
} packet;

static struct {
  int tun, stop;
  _Atomic int lost_percent, delay_ms;
  _Atomic long lost;
  uint64_t seed;
  pthread_t thread;
} line;
static packet under_way[PACKETS]; // a ring, the line's thread's
static unsigned first_packet, packets;

static void exchange_ends(unsigned char *data) {
  unsigned char sender[4];
  memcpy(sender, data + 12, 4);
  memcpy(data + 12, data + 16, 4);
  memcpy(data + 16, sender, 4);
}

static void take_packet(void) {
  packet *p = &under_way[(first_packet + packets) % PACKETS];
  p->bytes = (int)read(line.tun, p->data, PACKET);
  bool is_v4 = p->bytes >= 20 && p->data[0] >> 4 == 4;
  if (!is_v4) return;
  if (packets == PACKETS - 1 || (int)test_random_below(&line.seed, 100) < atomic_load(&line.lost_percent)) {
    atomic_fetch_add(&line.lost, 1);
    return;
  }
  exchange_ends(p->data);
  p->due_ns = wall_ns() + atomic_load(&line.delay_ms) * ECRU_MILLISECOND;
  packets++;
}

static void deliver(void) {
  while (packets > 0 && under_way[first_packet].due_ns <= wall_ns()) {
    packet *p = &under_way[first_packet];
    if (write(line.tun, p->data, (size_t)p->bytes) < 0) CHECK(errno == ENOBUFS || errno == EAGAIN); // lost
    first_packet = (first_packet + 1) % PACKETS;
    packets--;
  }
}

static void *run_line(void *unused) {
  (void)unused;
  struct pollfd looks[2] = {{.fd = line.tun, .events = POLLIN}, {.fd = line.stop, .events = POLLIN}};
  while (!(looks[1].revents & POLLIN)) {
    poll(looks, 2, packets > 0 ? 1 : -1);
    if (looks[0].revents & POLLIN) take_packet();
    deliver();
  }
  return NULL;
}

static void set_address(int control, struct ifreq *setting, unsigned long command, const char *text) {
  struct sockaddr_in *address = (struct sockaddr_in *)(void *)&setting->ifr_addr;
  *address = (struct sockaddr_in){.sin_family = AF_INET};
  CHECK_EQ(inet_pton(AF_INET, text, &address->sin_addr), 1);
  CHECK_EQ(ioctl(control, command, setting), 0);
}

static void open_line(int lost_percent, int delay_ms) {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) SKIP("no network of one's own here: %s", strerror(errno));
  line.tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  struct ifreq setting = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  if (line.tun < 0 || ioctl(line.tun, TUNSETIFF, &setting) != 0) SKIP("no tun device here: %s", strerror(errno));
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  set_address(control, &setting, SIOCSIFADDR, "10.9.0.1");
  set_address(control, &setting, SIOCSIFNETMASK, "255.255.255.0");
  setting.ifr_flags = IFF_UP | IFF_RUNNING;
  CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &setting), 0);
  close(control);
  atomic_store(&line.lost_percent, lost_percent);
  atomic_store(&line.delay_ms, delay_ms);
  line.seed = test_seed();
  line.stop = eventfd(0, EFD_CLOEXEC);
  CHECK_EQ(pthread_create(&line.thread, NULL, run_line, NULL), 0);
}

static void close_line(void) {
  uint64_t one = 1;
  CHECK_EQ(write(line.stop, &one, sizeof one), (long)sizeof one);
  CHECK_EQ(pthread_join(line.thread, NULL), 0);
  close(line.stop);
  close(line.tun);
}

static ecru_io *listener;
static ecru_chan *ended;
static int dial_over_the_line(ecru_io **io) {
  char at[64];
  ecru_address local = local_of(listener);
  snprintf(at, sizeof at, "10.9.0.2:%d", ecru_address_port(&local));
  return ecru_dial(io, "tcp", at);
}
static void over_the_line(ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 2;
  CHECK_EQ(ecru_run_with(&options, fn, NULL), 0);
  close_line();
}

// ---- losses ------------------------------------------------------------------------------------------------------------

enum { BYTES = 1 << 20 };
static char megabyte[BYTES];

static void echo_one(void *unused) {
  (void)unused;
  ecru_io *io = NULL;
  CHECK_EQ(ecru_accept(listener, &io, NULL), 0);
  CHECK_EQ(ecru_io_copy(io, io, UINT64_MAX, NULL), BYTES);
  CHECK_EQ(ecru_io_shutdown(io, ECRU_IO_WRITE), 0);
  expect_end(io);
  ecru_io_release(io);
  finish(ended);
}
static void write_megabyte(void *io) {
  CHECK_EQ(ecru_io_write(io, megabyte, BYTES, NULL), BYTES);
  CHECK_EQ(ecru_io_shutdown(io, ECRU_IO_WRITE), 0);
  finish(ended);
}
static void echo_a_megabyte(void *unused) {
  (void)unused;
  static char data[1 << 16];
  ecru_io *io = NULL;
  listener = listen_at("tcp", "10.9.0.1:0");
  ended = signals();
  go(echo_one, NULL);
  CHECK_EQ(dial_over_the_line(&io), 0);
  go(write_megabyte, io);
  int64_t have = 0;
  for (int64_t count; (count = ecru_io_read(io, data, sizeof data)) != 0; have += count) {
    CHECK(count > 0);
    CHECK_EQ(memcmp(data, megabyte + have, (size_t)count), 0);
  }
  CHECK_EQ(have, BYTES);
  ecru_io_release(io);
  await(ended, 2);
  ecru_chan_release(ended);
  ecru_io_release(listener);
}

TEST(net_lossy, a_megabyte_comes_back_over_a_lossy_line) { // I1
  uint64_t seed = test_seed();
  for (int i = 0; i < BYTES; i++) megabyte[i] = (char)test_random(&seed);
  open_line(5, 2);
  over_the_line(echo_a_megabyte);
  CHECK(atomic_load(&line.lost) > 0);
}

// ---- delays ------------------------------------------------------------------------------------------------------------

static void set_read_deadline(ecru_io *io, int64_t from_now_ns) { CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_READ, ecru_after(from_now_ns)), 0); }

static void hit_deadlines(void *unused) {
  (void)unused;
  ecru_io *io = NULL, *other = NULL;
  char byte = 0;
  listener = listen_at("tcp", "10.9.0.1:0");
  int before = test_open_fds();
  CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(dial_over_the_line(&io), ECRU_ETIMEDOUT); // an answer takes 200 ms
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(test_open_fds(), before);
  CHECK_EQ(dial_over_the_line(&io), 0);
  ecru_address mine = local_of(io);
  for (ecru_address peer; ; ecru_io_release(other)) { // what was given up may have come through, too
    CHECK_EQ(ecru_accept(listener, &other, &peer), 0);
    if (ecru_address_port(&peer) == ecru_address_port(&mine)) break;
  }
  for (int i = 0; i < 3; i++) {
    write_text(other, "x");
    set_read_deadline(io, 10 * ECRU_MILLISECOND);
    CHECK_EQ(ecru_io_read(io, &byte, 1), ECRU_ETIMEDOUT); // it is on its way
    CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_READ, ECRU_FOREVER), 0);
    expect_text(io, "x");
  }
  ecru_io_release(other);
  expect_end(io);
  ecru_io_release(io);
  ecru_io_release(listener);
}

TEST(net_lossy, deadlines_hold_while_the_answer_is_on_its_way) { // I2, I4, K2
  open_line(0, 100);
  over_the_line(hit_deadlines);
}

static void dial_in_vain(void *io) {
  CHECK_EQ(dial_over_the_line(io), ECRU_ECANCELED);
  CHECK_EQ(ecru_chan_try_send(ended, NULL), 0);
}
static void cut_the_line(void *unused) {
  (void)unused;
  ecru_io *io = NULL, *other = NULL, *never = NULL;
  ecru_token *token = NULL;
  size_t written = 0;
  char byte;
  listener = listen_at("tcp", "10.9.0.1:0");
  ended = signals();
  CHECK_EQ(dial_over_the_line(&io), 0);
  CHECK_EQ(ecru_accept(listener, &other, NULL), 0);
  atomic_store(&line.lost_percent, 100);
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  go(dial_in_vain, &never);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_WRITE, ecru_after(50 * ECRU_MILLISECOND)), 0);
  for (int64_t count; (count = ecru_io_write(io, megabyte, BYTES, &written)) != ECRU_ETIMEDOUT;) CHECK_EQ(count, BYTES); // the buffers fill
  CHECK(written < BYTES);
  set_read_deadline(other, 10 * ECRU_MILLISECOND);
  CHECK_EQ(ecru_io_read(other, &byte, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  await(ended, 1);
  CHECK_EQ(ecru_io_close(io), 0); // does not wait for what cannot be sent
  ecru_token_release(token);
  release_two((two){io, other});
  ecru_chan_release(ended);
  ecru_io_release(listener);
}

TEST(net_lossy, a_cut_line_ends_in_deadlines_and_cancellation) { // I2, I3, I4, K2
  open_line(0, 1);
  over_the_line(cut_the_line);
}
