// A server and clients that behave in every bad way, for as long as ECRU_SOAK_SECONDS says (20; ci/verify soak: 300): at the end of each round all is
// quiet, and no goroutine, descriptor or memory is left (I1-I5, K2, G13).
#include <ecru/dns.h>
#include <malloc.h>

#include "tests/sockets.h"

enum { CLIENTS = 48, ROUNDS = 10, CHUNK = 16 << 10 };

static ecru_io *listeners[2]; // tcp, unix
static ecru_chan *ended;
static int64_t round_end_ns;
static _Atomic uint64_t seed;
static _Atomic long handlers, visits, answers;

static uint64_t below(uint64_t bound) {
  uint64_t state = atomic_fetch_add(&seed, UINT64_C(0x9e3779b97f4a7c15));
  return test_random_below(&state, bound);
}

/// What may become of an operation if the other side does as it likes.
static int64_t expected(int64_t result) {
  if (result >= 0) return result;
  static const int known[] = {ECRU_ECONNRESET, ECRU_EPIPE, ECRU_ETIMEDOUT, ECRU_ECANCELED, ECRU_ECLOSED, ECRU_EADDRNOTAVAIL, ECRU_ENOTCONN, ECRU_EAGAIN};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (result == known[i]) return result;
  FAIL("%s", ecru_status_name((int)result));
}

// ---- the server --------------------------------------------------------------------------------------------------------

static void handle(void *argument) {
  ecru_io *io = argument;
  char data[CHUNK];
  int64_t count;
  do {
    CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_READ | ECRU_IO_WRITE, ecru_after(30 * ECRU_SECOND)), 0);
    count = expected(ecru_io_read(io, data, 1 + below(CHUNK)));
    if (count > 0) count = expected(ecru_io_write(io, data, (size_t)count, NULL));
  } while (count > 0);
  ecru_io_release(io);
  atomic_fetch_sub(&handlers, 1);
}

static void serve(void *listener) {
  ecru_io *io;
  for (int status; (status = ecru_accept_patiently(listener, &io, NULL)) != ECRU_ECLOSED;) {
    CHECK_EQ(status, 0);
    atomic_fetch_add(&handlers, 1);
    go(handle, io);
  }
  finish(ended);
}

// ---- the clients -------------------------------------------------------------------------------------------------------

static ecru_io *dial_one(void) {
  ecru_io *io = NULL;
  ecru_address at = local_of(listeners[0]);
  char text[64];
  if (below(3) == 0) { // Unix
    at = local_of(listeners[1]);
    expected(ecru_dial_address(&io, "unix", &at));
    return io;
  }
  // many addresses: each has ports of its own, and those of ended connections rest for a minute
  snprintf(text, sizeof text, "127.0.%d.%d:%d", (int)below(200), (int)below(200) + 1, ecru_address_port(&at));
  expected(ecru_dial(&io, "tcp", text));
  return io;
}

static size_t fill(char *data) {
  size_t bytes = 1 + (size_t)below(CHUNK);
  for (size_t i = 0; i < bytes; i++) data[i] = (char)(i % 251);
  return bytes;
}
static bool send_some(ecru_io *io) {
  char data[CHUNK];
  size_t bytes = fill(data);
  return expected(ecru_io_write(io, data, bytes, NULL)) > 0;
}
static void read_some(ecru_io *io) {
  char data[256];
  expected(ecru_io_read(io, data, sizeof data));
}

/// The only one who has a right to an answer.
static void behave(ecru_io *io) {
  char data[CHUNK], back[CHUNK];
  size_t bytes = fill(data), have = 0;
  CHECK_EQ(ecru_io_write(io, data, bytes, NULL), (int64_t)bytes);
  CHECK_EQ(ecru_io_shutdown(io, ECRU_IO_WRITE), 0);
  for (int64_t count; (count = ecru_io_read(io, back + have, sizeof back - have)) != 0; have += (size_t)count) CHECK(count > 0);
  CHECK_EQ(have, bytes);
  CHECK_EQ(memcmp(data, back, bytes), 0);
  atomic_fetch_add(&answers, 1);
}
static void leave_at_once(ecru_io *io) { (void)io; }
static void stall(ecru_io *io) {
  send_some(io);
  expected(ecru_sleep((int64_t)below(20 * ECRU_MILLISECOND)));
}
static void reset(ecru_io *io) {
  send_some(io);
  if (below(2)) read_some(io);
  struct linger now = {1, 0};
  setsockopt((int)ecru_io_descriptor(io), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
static void end_half(ecru_io *io) {
  if (below(2)) send_some(io);
  expected(ecru_io_shutdown(io, below(2) ? ECRU_IO_WRITE : ECRU_IO_READ));
  if (below(2)) read_some(io);
}
static void vanish(ecru_io *io) { // what comes back is never read
  while (below(4) && send_some(io)) {}
}
static void hit_deadlines(ecru_io *io) {
  for (int i = 0; i < 3; i++) {
    expected(ecru_io_set_deadline(io, below(2) ? ECRU_IO_READ : ECRU_IO_READ | ECRU_IO_WRITE, ecru_after((int64_t)below(3 * ECRU_MILLISECOND))));
    if (below(2)) send_some(io);
    read_some(io);
  }
}
static void wait_and_try(ecru_io *io) {
  char byte = 'x';
  expected(ecru_io_try_write(io, &byte, 1));
  expected(ecru_io_wait(io, 1 + (unsigned)below(3)));
  expected(ecru_io_try_read(io, &byte, 1));
}

static void cancel_later(void *token) {
  for (uint64_t i = below(50); i > 0; i--) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_token_release(token);
  finish(ended);
}
static void be_canceled(ecru_io *io) {
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(cancel_later, ecru_token_retain(token));
  CHECK_EQ(ecru_token_enter(token), 0);
  while (ecru_check() == 0) {
    if (below(2)) send_some(io);
    read_some(io);
  }
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  await(ended, 1);
}
static void close_later(void *io) {
  for (uint64_t i = below(50); i > 0; i--) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_io_close(io), 0);
  ecru_io_release(io);
  finish(ended);
}
static void be_closed(ecru_io *io) {
  go(close_later, ecru_io_retain(io));
  char byte;
  while (expected(ecru_io_read(io, &byte, 1)) > 0) {}
  await(ended, 1);
}

static void (*const ways[])(ecru_io *) = {behave, behave, leave_at_once, stall, reset, end_half, vanish, hit_deadlines, wait_and_try, be_canceled, be_closed};
enum { WAYS = sizeof ways / sizeof ways[0] };

static void give_up_dialling(void) {
  CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)below(300000))), 0);
  ecru_io_release(dial_one());
  CHECK_EQ(ecru_token_leave(), 0);
}
static void look_up(void) {
  ecru_address found;
  CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)below(2 * ECRU_MILLISECOND))), 0);
  int status = ecru_resolve("localhost", "ip4", &found, 1);
  CHECK(status == 1 || status == ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
}

static void be_a_client(void *left) {
  while (ecru_now() < round_end_ns) {
    uint64_t way = below(WAYS + 1);
    if (way == WAYS) {
      below(2) ? give_up_dialling() : look_up();
      continue;
    }
    ecru_io *io = dial_one();
    if (io) ways[way](io);
    ecru_io_release(io);
    atomic_fetch_add(&visits, 1);
  }
  CHECK_EQ(ecru_waitgroup_done(left), 0);
}

// ---- the rounds --------------------------------------------------------------------------------------------------------

typedef struct quiet {
  int descriptors;
  long resident, allocated;
} quiet;

/// Once all has gone.
static quiet run_round(ecru_waitgroup *left, int64_t ns) {
  round_end_ns = ecru_after(ns);
  CHECK_EQ(ecru_waitgroup_add(left, CLIENTS), 0);
  for (int i = 0; i < CLIENTS; i++) go(be_a_client, left);
  CHECK_EQ(ecru_waitgroup_wait(left), 0);
  UNTIL(atomic_load(&handlers) == 0 && ecru_chan_len(ended) == 0);
  quiet q;
  UNTIL(counters_now().goroutines == 3); // the servers and this one
  q.descriptors = test_open_fds();
  q.resident = test_resident_bytes();
  q.allocated = (long)mallinfo2().uordblks;
  return q;
}

static void soak(void *unused) {
  (void)unused;
  const char *given = getenv("ECRU_SOAK_SECONDS");
  int64_t round_ns = (given ? atol(given) : test_scaled(20)) * ECRU_SECOND / ROUNDS;
  ecru_waitgroup *left = NULL;
  quiet rounds[ROUNDS];
  char name[32];
  atomic_store(&seed, test_seed());
  CHECK_EQ(ecru_waitgroup_create(&left), 0);
  ended = signals();
  listeners[0] = listen_at("tcp", "0.0.0.0:0");
  snprintf(name, sizeof name, "@ecru-soak-%d", (int)getpid());
  listeners[1] = listen_at("unix", name);
  for (int i = 0; i < 2; i++) go(serve, listeners[i]);
  for (int i = 0; i < ROUNDS; i++) {
    rounds[i] = run_round(left, round_ns);
    printf("round %d: %ld visits, %ld answers, %d descriptors, %ld KiB resident, %ld KiB allocated\n", i, atomic_load(&visits), atomic_load(&answers),
           rounds[i].descriptors, rounds[i].resident >> 10, rounds[i].allocated >> 10);
    fflush(stdout);
  }
  CHECK(atomic_load(&answers) > 0);
  quiet half = rounds[ROUNDS / 2], last = rounds[ROUNDS - 1];
  CHECK_EQ(last.descriptors, rounds[1].descriptors);
  CHECK(last.allocated <= half.allocated + half.allocated / 20 + (64 << 10));
  CHECK(last.resident <= half.resident + half.resident / 10 + (4 << 20));
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_io_close(listeners[i]), 0);
  await(ended, 2);
  for (int i = 0; i < 2; i++) ecru_io_release(listeners[i]);
  ecru_waitgroup_destroy(left);
  ecru_chan_release(ended);
}

TEST(soak, nothing_is_left_of_clients_of_every_kind) { // I1, I2, I3, I5, K2, G13
  with_procs(2, soak);
}
