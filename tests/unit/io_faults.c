// Every system call of the I/O path fails in every plausible way, in turn and at random, or moves a single byte: nothing hangs, no
// descriptor or goroutine is left, what is no failure (EINTR, a spurious EAGAIN, ECONNABORTED) is not noticed, and every other comes as its
// code (I1, I3, I4, I5, I7, G13).
#include <sys/mman.h>

#include "platform/io.h"
#include "tests/sockets.h"
#include "tests/system_calls.h"

enum { BYTES = 1500, COPIED = 150 << 10 };

static _Atomic int first_failure; // of the run
static void note(int64_t status) {
  int none = 0;
  if (status < 0) atomic_compare_exchange_strong(&first_failure, &none, (int)status);
}
static bool went_well(int64_t status) {
  note(status);
  return status >= 0;
}
static char byte_at(int64_t i) { return (char)(i * 31 % 251); }
static void check_bytes(const char *data, int64_t from, int64_t count) {
  for (int64_t i = 0; i < count; i++) CHECK_EQ(data[i], byte_at(from + i));
}
static int64_t read_to_end(ecru_io *io) {
  char data[512];
  int64_t total = 0, count;
  while ((count = ecru_io_read(io, data, sizeof data)) > 0) {
    check_bytes(data, total, count);
    total += count;
  }
  note(count);
  return total;
}
static void check_all(int64_t have, int64_t want) {
  if (atomic_load(&first_failure) == 0) CHECK_EQ(have, want);
}

// ---- what is tried -----------------------------------------------------------------------------------------------------

static ecru_io *listener;
static ecru_chan *ended;

static void echo(ecru_io *io) {
  char data[700];
  int64_t count;
  while (went_well(count = ecru_io_read(io, data, sizeof data)) && count > 0)
    if (!went_well(ecru_io_write(io, data, (size_t)count, NULL))) return;
}
static void serve_one(void *unused) {
  (void)unused;
  ecru_io *io = NULL;
  if (went_well(ecru_accept(listener, &io, NULL))) echo(io);
  else ecru_io_close(listener); // who connected hears of it
  ecru_io_release(io);
  finish(ended);
}
static void send_and_read_back(ecru_io *io) {
  char data[BYTES];
  for (int i = 0; i < BYTES; i++) data[i] = byte_at(i);
  if (!went_well(ecru_io_write(io, data, BYTES, NULL)) || !went_well(ecru_io_shutdown(io, ECRU_IO_WRITE))) return;
  check_all(read_to_end(io), BYTES);
}
static void stream(const char *network, const char *address) {
  ecru_io *io = NULL;
  ecru_address at;
  listener = NULL;
  if (!went_well(ecru_listen(&listener, network, address))) return;
  if (went_well(ecru_io_local(listener, &at))) {
    go(serve_one, NULL);
    if (went_well(ecru_dial_address(&io, network, &at))) send_and_read_back(io);
    else ecru_io_close(listener);
    ecru_io_release(io);
    await(ended, 1);
  }
  ecru_io_release(listener);
}
static void tcp(void) { stream("tcp", "127.0.0.1:0"); }
static void local_stream(void) {
  char name[40];
  snprintf(name, sizeof name, "@ecru-io-faults-%d", (int)getpid());
  stream("unix", name);
}

static two ends;
static void echo_vectors(void *unused) {
  (void)unused;
  char a[3], b[200];
  ecru_buffer pieces[2] = {{a, sizeof a}, {b, sizeof b}};
  int64_t count;
  while (went_well(count = ecru_io_readv(ends.b, pieces, 2)) && count > 0) {
    int64_t in_a = count < 3 ? count : 3;
    ecru_buffer back[2] = {{a, (size_t)in_a}, {b, (size_t)(count - in_a)}};
    if (!went_well(ecru_io_writev(ends.b, back, 2, NULL))) break;
  }
  ecru_io_close(ends.b);
  finish(ended);
}
static void vectors(void) {
  char data[BYTES];
  ecru_buffer pieces[3] = {{data, 1}, {data + 1, 0}, {data + 1, BYTES - 1}};
  for (int i = 0; i < BYTES; i++) data[i] = byte_at(i);
  if (!went_well(ecru_io_pair(&ends.a, &ends.b))) return;
  go(echo_vectors, NULL);
  if (went_well(ecru_io_writev(ends.a, pieces, 3, NULL)) && went_well(ecru_io_shutdown(ends.a, ECRU_IO_WRITE))) check_all(read_to_end(ends.a), BYTES);
  ecru_io_close(ends.a);
  await(ended, 1);
  release_two(ends);
}

static void write_vectors_into_pipe(void *unused) {
  (void)unused;
  char data[BYTES];
  ecru_buffer pieces[2] = {{data, 700}, {data + 700, BYTES - 700}};
  for (int i = 0; i < BYTES; i++) data[i] = byte_at(i);
  note(ecru_io_writev(ends.b, pieces, 2, NULL));
  ecru_io_close(ends.b);
  finish(ended);
}
static void read_vectors(void) {
  char a[5], b[500];
  ecru_buffer pieces[2] = {{a, sizeof a}, {b, sizeof b}};
  int64_t count, total = 0;
  while (went_well(count = ecru_io_readv(ends.a, pieces, 2)) && count > 0) {
    check_bytes(a, total, count < 5 ? count : 5);
    if (count > 5) check_bytes(b, total + 5, count - 5);
    total += count;
  }
  check_all(total, BYTES);
}
static void pipes(void) {
  if (!went_well(ecru_pipe(&ends.a, &ends.b))) return;
  go(write_vectors_into_pipe, NULL);
  read_vectors();
  ecru_io_close(ends.a);
  await(ended, 1);
  release_two(ends);
}

static void adopted_pipe(void) {
  int both[2];
  CHECK_EQ(REAL(pipe2)(both, O_CLOEXEC), 0);
  ends = (two){NULL, NULL};
  bool have_a = went_well(ecru_io_adopt(&ends.a, both[0], 0)), have_b = went_well(ecru_io_adopt(&ends.b, both[1], 0));
  if (have_a && have_b) {
    go(write_vectors_into_pipe, NULL);
    check_all(read_to_end(ends.a), BYTES);
    ecru_io_close(ends.a);
    await(ended, 1);
  }
  release_two(ends);
  if (!have_a) REAL(close)(both[0]);
  if (!have_b) REAL(close)(both[1]);
}

static void datagrams(void) {
  ecru_io *a = NULL, *b = NULL;
  ecru_address at;
  char data[BYTES], got[BYTES + 1];
  for (int i = 0; i < BYTES; i++) data[i] = byte_at(i);
  bool open = went_well(ecru_listen(&a, "udp", "127.0.0.1:0")) && went_well(ecru_listen(&b, "udp", "127.0.0.1:0")) && went_well(ecru_io_local(a, &at));
  for (int i = 0; open && i < 3; i++) {
    if (!went_well(ecru_send_to(b, data, BYTES, &at))) break;
    int64_t count = ecru_receive_from(a, got, sizeof got, NULL);
    if (!went_well(count)) break;
    CHECK_EQ(count, BYTES);
    check_bytes(got, 0, count);
  }
  ecru_io_release(a);
  ecru_io_release(b);
}

static int file = -1; // COPIED bytes
static two sent, piped;
static void send_the_file(void *unused) {
  (void)unused;
  note(ecru_io_send_file(sent.a, file, 0, COPIED, NULL));
  ecru_io_close(sent.a);
  finish(ended);
}
static void copy_on(void *unused) {
  (void)unused;
  note(ecru_io_copy(piped.b, sent.b, UINT64_MAX, NULL));
  ecru_io_close(piped.b);
  ecru_io_close(sent.b);
  finish(ended);
}
static void copies(void) { // file -> socket -> pipe, spliced in the end
  ecru_io *both = NULL;
  ecru_address at;
  sent = piped = (two){NULL, NULL};
  bool open = went_well(ecru_listen(&both, "tcp", "127.0.0.1:0")) && went_well(ecru_io_local(both, &at)) &&
              went_well(ecru_dial_address(&sent.a, "tcp", &at)) && went_well(ecru_accept(both, &sent.b, NULL)) &&
              went_well(ecru_pipe(&piped.a, &piped.b));
  if (open) {
    go(send_the_file, NULL);
    go(copy_on, NULL);
    check_all(read_to_end(piped.a), COPIED);
    ecru_io_close(piped.a);
    await(ended, 2);
  }
  release_two(sent);
  release_two(piped);
  ecru_io_release(both);
}

static int adopted;
static void write_adopted(void *io) {
  if (!went_well(ecru_io_write(io, "x", 1, NULL))) CHECK_EQ(REAL(write)(adopted, "x", 1), 1); // somebody waits for it
  ecru_io_close(io);
  finish(ended);
}
static void foreign(void) { // adopt, wait_fd, deadlines
  int both[2];
  ecru_io *io = NULL;
  CHECK_EQ(REAL(socketpair)(AF_UNIX, SOCK_STREAM, 0, both), 0);
  adopted = both[0];
  int status = ecru_io_adopt(&io, both[0], ECRU_IO_KEEP_OPEN);
  note(status);
  if (status == 0) {
    char byte;
    CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND / 4)), 0);
    int64_t count = ecru_io_read(io, &byte, 1);
    if (count != ECRU_ETIMEDOUT) note(count < 0 ? count : ECRU_EUNKNOWN);
    go(write_adopted, io);
    note(ecru_wait_fd(both[1], ECRU_IO_READ));
    await(ended, 1);
    ecru_io_release(io);
  }
  REAL(close)(both[0]);
  REAL(close)(both[1]);
}

static void (*const scenarios[])(void) = {tcp, local_stream, vectors, pipes, adopted_pipe, datagrams, copies, foreign};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

// ---- how it is tried ---------------------------------------------------------------------------------------------------

static void (*scenario)(void);
static void run_scenario(void *unused) {
  (void)unused;
  ended = chan_of(0, 4);
  scenario();
  end_plan();
  ecru_chan_release(ended);
}
/// In a runtime of its own, so that the poller is made anew; the plan, which has been made, ends with it. returns: the first failure.
static int run_once(void (*what)(void)) {
  int before = open_fds_to_compare();
  atomic_store(&first_failure, 0);
  scenario = what;
  with_procs(2, run_scenario);
  CHECK_EQ(test_open_fds(), before);
  return atomic_load(&first_failure);
}

static void make_file(void) {
  static char data[COPIED];
  for (int i = 0; i < COPIED; i++) data[i] = byte_at(i);
  file = memfd_create("io_faults", MFD_CLOEXEC);
  CHECK(file >= 0);
  CHECK_EQ(REAL(write)(file, data, COPIED), COPIED);
  end_plan();
  for (int i = 0; i < SCENARIOS; i++) CHECK_EQ(run_once(scenarios[i]), 0); // what libraries open once is open now
}

static bool is_no_failure(int error) { return error == EINTR || error == EAGAIN || error == ECONNABORTED; }
/// Whose failing is not told: there is another way, or nothing is lost.
static bool is_made_good(enum faulty_call call, int error) {
  if (call == CALL_splice) return error == EINVAL;
  if (call == CALL_preadv2 || call == CALL_pwritev2) return error == EOPNOTSUPP;
  return call == CALL_close || call == CALL_pipe2 || call == CALL_getsockopt || call == CALL_setsockopt || call == CALL_fcntl;
}
static int expected_status(int error) { return error == ENOSPC ? ECRU_ENOMEM : ecru__status_of(error); }

static const char *const call_names[] = {
#define CALL_NAME(name) #name,
    FAULTY_CALLS(CALL_NAME)
#undef CALL_NAME
};

/// The n-th call of this kind, for all n the scenario comes to. returns: how many.
static long fail_each(void (*what)(void), enum faulty_call call, int error) {
  for (long n = 1, most = test_scaled(12);; n++) {
    plan_the_nth(call, error, n);
    int status = run_once(what);
    if (atomic_load(&plan.counts[call]) < n || n > most) return n - 1;
    bool told = status == ecru__status_of(error) || (call == CALL_epoll_ctl && status == expected_status(error));
    bool silent = status == 0 && (is_no_failure(error) || is_made_good(call, error));
    if (is_no_failure(error) ? !silent : !told && !silent)
      FAIL("%s number %ld: errno %d came as %d (%s)", call_names[call], n, error, status, ecru_status_name(status));
  }
}

static void fail_each_call(void (*what)(void), enum faulty_call must) {
  make_file();
  long hit[FAULTY_CALLS_COUNT] = {0};
  for (int call = 0; call < FAULTY_CALLS_COUNT; call++)
    for (const int *error = plausible_errors[call]; *error; error++) hit[call] += fail_each(what, (enum faulty_call)call, *error);
  if (hit[must] == 0) FAIL("%s was never called", call_names[must]);
}

TEST(io_faults, in_turn_on_a_connection) { fail_each_call(tcp, CALL_connect); }                // I1, I4, I5
TEST(io_faults, in_turn_on_a_unix_connection) { fail_each_call(local_stream, CALL_accept4); }  // I1, I5
TEST(io_faults, in_turn_on_vectors) { fail_each_call(vectors, CALL_sendmsg); }                 // I1
TEST(io_faults, in_turn_on_a_pipe) { fail_each_call(pipes, CALL_writev); }                     // I1
TEST(io_faults, in_turn_on_a_shared_pipe) { fail_each_call(adopted_pipe, CALL_pwritev2); }     // I1
TEST(io_faults, in_turn_on_datagrams) { fail_each_call(datagrams, CALL_sendto); }              // I1
TEST(io_faults, in_turn_on_files_and_copies) { fail_each_call(copies, CALL_splice); }          // I1
TEST(io_faults, in_turn_on_foreign_descriptors) { fail_each_call(foreign, CALL_poll); }        // I2, I7

TEST(io_faults, in_turn_where_the_timer_is_a_descriptor) { // K6, I2
  atomic_store(&plan.no_pwait2, ENOSYS);
  make_file();
  for (const int *error = plausible_errors[CALL_timerfd_create]; *error; error++) fail_each(foreign, CALL_timerfd_create, *error);
  for (int i = 0; i < SCENARIOS; i++) CHECK_EQ(run_once(scenarios[i]), 0);
}

TEST(io_faults, at_random) { // I1, I3, I4, I5
  uint64_t seed = test_seed();
  make_file();
  for (long i = test_scaled(1500); i > 0; i--) {
    plan_at_random(test_random(&seed), (long)test_random_below(&seed, 60) + 3, 0);
    run_once(scenarios[test_random_below(&seed, SCENARIOS)]);
  }
}

TEST(io_faults, short_counts_lose_nothing) { // I1
  uint64_t seed = test_seed();
  make_file();
  for (long i = test_scaled(300); i > 0; i--) {
    plan_at_random(test_random(&seed), 0, (long)test_random_below(&seed, 10) + 2);
    CHECK_EQ(run_once(scenarios[i % SCENARIOS]), 0);
  }
}
