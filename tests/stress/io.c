// I/O under load, with seeds (I1, I2, I3): handles opened, used, timed out, reset and closed at random; descriptors reused under stale
// events; many idle connections; a storm of short ones.
#include "tests/sockets.h"

// ---- everything at random --------------------------------------------------------------------------------------------------------

enum { SLOTS = 24, ROLES = 6 };
struct slot {
  ecru_mutex *lock;
  two p;                 // lock; each taken with a reference of one's own
};
static struct slot slots[SLOTS];
static _Atomic long reads, timeouts, closes;
struct actor {
  uint64_t seed;
  long steps;
  ecru_chan *done;
};

static two make_two(uint64_t *seed, ecru_io *listener) {
  two p;
  switch (test_random_below(seed, 4)) {
  case 0: return connect_two("tcp", listener);
  case 1: CHECK_EQ(ecru_pipe(&p.a, &p.b), 0); return p;
  default: return pair_of();
  }
}
static two borrow(struct slot *s) {
  CHECK_EQ(ecru_mutex_lock(s->lock), 0);
  two p = {ecru_io_retain(s->p.a), ecru_io_retain(s->p.b)};
  CHECK_EQ(ecru_mutex_unlock(s->lock), 0);
  return p;
}
static bool is_expected(int64_t result) {
  return result >= 0 || result == ECRU_ECLOSED || result == ECRU_ETIMEDOUT || result == ECRU_ECANCELED || result == ECRU_EAGAIN ||
         result == ECRU_EPIPE || result == ECRU_ECONNRESET || result == ECRU_EBADF; // EBADF: the wrong end of a pipe
}
static void note(int64_t result) {
  if (!is_expected(result)) FAIL("%lld", (long long)result);
  if (result > 0) atomic_fetch_add(&reads, 1);
  if (result == ECRU_ETIMEDOUT) atomic_fetch_add(&timeouts, 1);
}
static void use(struct actor *me, two p) {
  static char data[70000];
  ecru_io *io = test_random_below(&me->seed, 2) ? p.a : p.b;
  int64_t soon = ecru_after((int64_t)test_random_below(&me->seed, 300000));
  unsigned directions = 1 + (unsigned)test_random_below(&me->seed, 3);
  bool bounded = test_random_below(&me->seed, 4) != 0;
  char received[512];
  if (bounded) CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_MILLISECOND)), 0);
  else note(ecru_io_set_deadline(io, ECRU_IO_READ | ECRU_IO_WRITE, soon));
  switch (test_random_below(&me->seed, 8)) {
  case 0: case 1: note(ecru_io_read(io, received, 1 + test_random_below(&me->seed, sizeof received))); break;
  case 2: note(ecru_io_write(io, data, 1 + test_random_below(&me->seed, 300), NULL)); break;
  case 3: note(ecru_io_write(io, data, sizeof data, NULL)); break;
  case 4: note(ecru_io_try_read(io, received, sizeof received)); break;
  case 5: note(ecru_io_wait(io, directions)); break;
  case 6: note(ecru_io_set_deadline(io, directions, soon)); break;
  default: {
    ecru_case cases[] = {{ECRU_CASE_READ, 0, p.a, NULL}, {ECRU_CASE_READ, 0, p.b, NULL}};
    note(ecru_select_until(cases, 2, 0, soon));
  }
  }
  if (bounded) CHECK_EQ(ecru_token_leave(), 0);
}
static void replace(struct actor *me, struct slot *s, ecru_io *listener) {
  two fresh = make_two(&me->seed, listener);
  CHECK_EQ(ecru_mutex_lock(s->lock), 0);
  two old = s->p;
  s->p = fresh;
  CHECK_EQ(ecru_mutex_unlock(s->lock), 0);
  uint64_t how = test_random_below(&me->seed, 4);
  if (how == 0) ecru_io_set_option(old.a, ECRU_OPTION_LINGER, 0);
  CHECK_EQ(ecru_io_close(old.a), 0);
  if (how != 1) CHECK_EQ(ecru_io_close(old.b), 0);
  else CHECK_EQ(ecru_io_set_deadline(old.b, ECRU_IO_READ | ECRU_IO_WRITE, 0), 0); // the last of its users closes it
  release_two(old);
  atomic_fetch_add(&closes, 1);
}
static ecru_io *storm_listener;
static ecru_mutex *storm_lock; // one connects and accepts at a time
static void act(void *argument) {
  struct actor *me = argument;
  for (long i = 0; i < me->steps; i++) {
    struct slot *s = &slots[test_random_below(&me->seed, SLOTS)];
    if (test_random_below(&me->seed, 10) == 0) {
      CHECK_EQ(ecru_mutex_lock(storm_lock), 0);
      replace(me, s, storm_listener);
      CHECK_EQ(ecru_mutex_unlock(storm_lock), 0);
      continue;
    }
    two p = borrow(s);
    use(me, p);
    release_two(p);
  }
  finish(me->done);
}
static void *act_in_thread(void *argument) {
  act(argument);
  return NULL;
}
static void at_random(void *unused) {
  (void)unused;
  enum { ACTORS = 60, THREADS = 2 };
  static struct actor actors[ACTORS + THREADS];
  uint64_t seed = test_seed();
  ecru_chan *done = signals();
  storm_listener = listen_tcp();
  int before = open_fds_after_a_wait();
  CHECK_EQ(ecru_mutex_create(&storm_lock), 0);
  for (int i = 0; i < SLOTS; i++) {
    CHECK_EQ(ecru_mutex_create(&slots[i].lock), 0);
    slots[i].p = pair_of();
  }
  pthread_t threads[THREADS];
  for (int i = 0; i < ACTORS + THREADS; i++) {
    actors[i] = (struct actor){test_random(&seed), test_scaled(1500), done};
    if (i < ACTORS) go(act, &actors[i]);
    else threads[i - ACTORS] = start_thread(act_in_thread, &actors[i]);
  }
  await(done, ACTORS + THREADS);
  for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
  for (int i = 0; i < SLOTS; i++) {
    release_two(slots[i].p);
    ecru_mutex_destroy(slots[i].lock);
  }
  CHECK_EQ(test_open_fds(), before);
  CHECK(atomic_load(&reads) > 0 && atomic_load(&timeouts) > 0 && atomic_load(&closes) > 0);
  ecru_io_release(storm_listener);
  ecru_mutex_destroy(storm_lock);
  ecru_chan_release(done);
}
TEST(stress_io, everything_at_random_on_one_processor) { with_procs(1, at_random); } // I1, I2, I3, S1
TEST(stress_io, everything_at_random) { with_procs(2, at_random); }                  // I1, I2, I3, S1

// ---- released while a deadline's time comes ---------------------------------------------------------------------------------------

/// What is put there gets a deadline, whose timer runs on this processor.
static _Atomic(ecru_io *) to_bound;
static _Atomic bool enough;
static void bound(void *done) {
  while (!atomic_load(&enough)) {
    ecru_io *io = atomic_load(&to_bound);
    if (io) {
      CHECK_EQ(ecru_io_set_deadline(io, ECRU_IO_READ | ECRU_IO_WRITE, ecru_after(10000)), 0);
      atomic_store(&to_bound, NULL);
    }
    ecru_yield();
  }
  finish(done);
}
static void release_at_deadline(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  uint64_t seed = test_seed();
  go(bound, done);
  for (long i = 0; i < test_scaled(2000); i++) {
    ecru_io *a, *b;
    CHECK_EQ(ecru_io_pair(&a, &b), 0);
    int before = test_open_fds();
    atomic_store(&to_bound, a);
    while (atomic_load(&to_bound)) ecru_yield();
    int64_t end = ecru_after(5000 + (int64_t)test_random_below(&seed, 10000));
    while (ecru_now() < end) {}
    ecru_io_release(a);
    CHECK_EQ(test_open_fds(), before - 1);
    ecru_io_release(b);
  }
  atomic_store(&enough, true);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(stress_io, the_last_release_closes_though_a_deadline_comes) { with_procs(2, release_at_deadline); } // I2, I3

// ---- numbers reused under stale events -------------------------------------------------------------------------------------------

struct reuser {
  uint64_t seed;
  long rounds;
  ecru_chan *done;
};
/// Closes with an event on its way; the next descriptor gets the number: the event must not be taken for its own, nor its own be lost.
static void reuse_numbers(void *argument) {
  struct reuser *r = argument;
  for (long i = 0; i < r->rounds; i++) {
    two p = pair_of();
    char sent = (char)test_random(&r->seed), got;
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&r->seed, 20000))), 0);
    int64_t early = ecru_io_read(p.a, &got, 1); // registers it
    CHECK_EQ(early, ECRU_ETIMEDOUT);
    CHECK_EQ(ecru_token_leave(), 0);
    if (test_random_below(&r->seed, 2)) CHECK_EQ(ecru_io_write(p.b, "stale", 5, NULL), 5);
    CHECK_EQ(ecru_io_close(p.a), 0);
    two q = pair_of();
    CHECK_EQ(ecru_io_try_read(q.a, &got, 1), ECRU_EAGAIN);
    CHECK_EQ(ecru_io_write(q.b, &sent, 1, NULL), 1);
    CHECK_EQ(ecru_io_read(q.a, &got, 1), 1);
    CHECK_EQ(got, sent);
    release_two(p);
    release_two(q);
  }
  finish(r->done);
}
static void many_reuse(void *unused) {
  (void)unused;
  enum { REUSERS = 8 };
  struct reuser all[REUSERS];
  ecru_chan *done = signals();
  uint64_t seed = test_seed();
  for (int i = 0; i < REUSERS; i++) {
    all[i] = (struct reuser){test_random(&seed), test_scaled(2000), done};
    go(reuse_numbers, &all[i]);
  }
  await(done, REUSERS);
  ecru_chan_release(done);
}
TEST(stress_io, numbers_are_reused_under_stale_events) { with_procs(2, many_reuse); } // I3

static void wait_on_raw(void *argument) {
  struct reuser *r = argument;
  for (long i = 0; i < r->rounds; i++) {
    int both[2];
    char byte;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
    if (test_random_below(&r->seed, 2)) {
      CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&r->seed, 20000))), 0);
      CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_ETIMEDOUT); // stays armed
      CHECK_EQ(ecru_token_leave(), 0);
    }
    CHECK_EQ(write(both[1], "x", 1), 1);
    CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_IO_READ);
    CHECK_EQ(read(both[0], &byte, 1), 1);
    if (i % 3 == 0) { // the number gets a handle in between
      ecru_io *io = NULL;
      CHECK_EQ(ecru_io_adopt(&io, both[0], 0), 0);
      CHECK_EQ(write(both[1], "y", 1), 1);
      CHECK_EQ(ecru_io_read(io, &byte, 1), 1);
      ecru_io_release(io);
    } else {
      close(both[0]);
    }
    close(both[1]);
  }
  finish(r->done);
}
static void many_raw(void *unused) {
  (void)unused;
  enum { REUSERS = 8 };
  struct reuser all[REUSERS];
  ecru_chan *done = signals();
  uint64_t seed = test_seed();
  for (int i = 0; i < REUSERS; i++) {
    all[i] = (struct reuser){test_random(&seed), test_scaled(2000), done};
    go(i % 2 ? wait_on_raw : reuse_numbers, &all[i]);
  }
  await(done, REUSERS);
  ecru_chan_release(done);
}
TEST(stress_io, foreign_numbers_are_reused_beside_handles) { with_procs(2, many_raw); } // I3, I7

// ---- many -------------------------------------------------------------------------------------------------------------------------

static void echo_on(void *argument) {
  ecru_io *io = argument;
  char data[64];
  int64_t count;
  while ((count = ecru_io_read(io, data, sizeof data)) > 0 && ecru_io_write(io, data, (size_t)count, NULL) > 0) {}
  ecru_io_release(io);
}
static void accept_on(void *listener) {
  ecru_io *io = NULL;
  while (ecru_accept(listener, &io, NULL) == 0) go(echo_on, io);
}
struct client {
  ecru_io *listener;
  ecru_chan *done;
  long rounds;
  uint64_t seed;
};
static void short_connections(void *argument) {
  struct client *c = argument;
  for (long i = 0; i < c->rounds; i++) {
    ecru_io *io = dial_to("tcp", c->listener);
    write_text(io, "hello");
    expect_text(io, "hello");
    if (test_random_below(&c->seed, 3) == 0) CHECK_EQ(ecru_io_set_option(io, ECRU_OPTION_LINGER, 0), 0);
    ecru_io_release(io);
  }
  finish(c->done);
}
static void storm(void *unused) {
  (void)unused;
  enum { CLIENTS = 50 };
  struct client clients[CLIENTS];
  ecru_chan *done = signals();
  ecru_io *listener = listen_tcp();
  uint64_t seed = test_seed();
  int before = open_fds_after_a_wait();
  for (int i = 0; i < 3; i++) go(accept_on, listener);
  for (int i = 0; i < CLIENTS; i++) {
    clients[i] = (struct client){listener, done, test_scaled(400), test_random(&seed)};
    go(short_connections, &clients[i]);
  }
  await(done, CLIENTS);
  UNTIL(counters_now().goroutines == 4);
  CHECK_EQ(test_open_fds(), before);
  CHECK_EQ(ecru_io_close(listener), 0);
  UNTIL(counters_now().goroutines == 1);
  ecru_io_release(listener);
  ecru_chan_release(done);
}
TEST(stress_io, a_storm_of_short_connections) { with_procs(2, storm); } // I1, I5

static void idle_crowd(void *unused) {
  (void)unused;
  long idle = test_scaled(9000), most = (allow_descriptors(2 * idle + 600) - 600) / 2;
  if (most < idle) idle = most;
  two *all = calloc((size_t)idle, sizeof *all);
  ecru_io *listener = listen_tcp();
  for (long i = 0; i < idle; i++) {
    all[i] = i % 4 == 0 ? connect_two("tcp", listener) : pair_of();
    go(echo_on, ecru_io_retain(all[i].b));
  }
  struct client clients[100];
  ecru_chan *done = signals();
  go(accept_on, listener);
  for (int i = 0; i < 100; i++) {
    clients[i] = (struct client){listener, done, test_scaled(50), (uint64_t)i};
    go(short_connections, &clients[i]);
  }
  await(done, 100);
  for (long i = 0; i < idle; i++) {
    write_text(all[i].a, "x");
    expect_text(all[i].a, "x");
  }
  for (long i = 0; i < idle; i++) release_two(all[i]);
  CHECK_EQ(ecru_io_close(listener), 0);
  free(all);
  ecru_io_release(listener);
  ecru_chan_release(done);
}
TEST(stress_io, many_idle_beside_a_storm) { with_procs(2, idle_crowd); } // I1, G9
