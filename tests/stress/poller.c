/// tests/stress/poller.c: the scheduler while descriptors are waited for: one worker then sleeps in the poller instead of on its futex
/// (G1, G2, G3, G5, G10, D1). Idle threads never look by themselves here, so a wake-up that is lost is lost for good, and a
/// deadlock seen where there is none ends the program.
#include "sockets.h"

static _Atomic long ended, talking;
static long wanted_talks, floods;
static ecru_io *silent, *silent_peer; // somebody always waits, and nothing ever comes

static void wait_in_vain(void *unused) {
  char byte;
  (void)unused;
  CHECK_EQ(ecru_io_read(silent, &byte, 1), 0); // the end, when all is over
}

static void echo(void *io) {
  char byte;
  while (ecru_io_read(io, &byte, 1) == 1) CHECK_EQ(ecru_io_write(io, &byte, 1, NULL), 1);
  ecru_io_release(io);
}

static void nap_raw(void *us) { usleep((unsigned)(uintptr_t)us); }

/// One of the things that make workers come, go and pass their processors around.
static void disturb(uint64_t *random) {
  switch (test_random_below(random, 8)) {
  case 0: CHECK_EQ(ecru_sleep((int64_t)test_random_below(random, 300) * ECRU_MICROSECOND), 0); break;
  case 1: CHECK_EQ(ecru_blocking(nap_raw, (void *)(uintptr_t)test_random_below(random, 200)), 0); break;
  case 2: CHECK_EQ(ecru_on_thread_stack(nap_raw, (void *)(uintptr_t)test_random_below(random, 50)), 0); break;
  case 3:
    if (!ecru_in_goroutine()) break;
    CHECK_EQ(ecru_pin(), 0);
    CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_unpin(), 0);
    break;
  default: CHECK_EQ(ecru_yield(), 0);
  }
}

static void talk(void *random_) {
  uint64_t random = (uintptr_t)random_;
  two p = pair_of();
  go(echo, p.b);
  for (long i = 0; i < wanted_talks; i++) {
    char byte = (char)i;
    CHECK_EQ(ecru_io_write(p.a, &byte, 1, NULL), 1);
    if (test_random_below(&random, 8) == 0) disturb(&random);
    CHECK_EQ(ecru_io_read(p.a, &byte, 1), 1);
    CHECK_EQ(byte, (char)i);
  }
  ecru_io_release(p.a);
  atomic_fetch_sub(&talking, 1);
}

static void *talk_in_thread(void *random_) {
  talk(random_);
  return NULL;
}

static void small(void *yields) {
  for (uintptr_t i = 0; i < (uintptr_t)yields; i++) CHECK_EQ(ecru_yield(), 0);
  atomic_fetch_add(&ended, 1);
}

/// Floods of goroutines from a thread of its own: each wakes a worker, and many in the global queue make workers look around.
static void *flood(void *random_) {
  uint64_t random = (uintptr_t)random_;
  for (long round = floods, count; round-- > 0;) {
    atomic_store(&ended, 0);
    count = 1 + (long)test_random_below(&random, test_random_below(&random, 2) ? 300 : 3);
    for (long i = 0; i < count; i++) go(small, (void *)(uintptr_t)test_random_below(&random, 30));
    while (atomic_load(&ended) < count) sched_yield();
    if (test_random_below(&random, 4) == 0) usleep((useconds_t)test_random_below(&random, 500));
  }
  return NULL;
}

static void begin(long talks) {
  CHECK_EQ(ecru_io_pair(&silent, &silent_peer), 0);
  wanted_talks = talks;
  go(wait_in_vain, NULL);
}
static void end(void) {
  ecru_io_release(silent_peer);
  UNTIL(counters_now().goroutines == 1);
  ecru_io_release(silent);
}

static void flooded(void *unused) {
  (void)unused;
  floods = test_scaled(5000);
  begin(0);
  join_thread(start_thread(flood, (void *)(uintptr_t)test_seed()));
  end();
}

static void everything(void *unused) {
  (void)unused;
  enum { TALKERS = 20, THREADS = 3 };
  uint64_t random = test_seed();
  floods = test_scaled(2000);
  begin(test_scaled(1000));
  atomic_store(&talking, TALKERS + THREADS);
  pthread_t flooding = start_thread(flood, (void *)(uintptr_t)test_random(&random)), threads[THREADS];
  for (int i = 0; i < TALKERS; i++) go(talk, (void *)(uintptr_t)test_random(&random));
  for (int i = 0; i < THREADS; i++) threads[i] = start_thread(talk_in_thread, (void *)(uintptr_t)test_random(&random));
  while (atomic_load(&talking) > 0) {
    CHECK_EQ(ecru_set_maxprocs(1 + (int)test_random_below(&random, 4)), 0);
    CHECK_EQ(ecru_sleep((int64_t)test_random_below(&random, 2000) * ECRU_MICROSECOND), 0);
  }
  join_thread(flooding);
  for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
  end();
}

static void run(int procs, ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  options.idle_thread_ns = ECRU_FOREVER;
  with_options(&options, fn);
}

TEST(stress_poller, floods_on_one_processor) { run(1, flooded); }     // G1, G2
TEST(stress_poller, floods_on_two_processors) { run(2, flooded); }    // G1, G2
TEST(stress_poller, floods_on_four_processors) { run(4, flooded); }   // G1, G2
TEST(stress_poller, talks_while_processors_come_and_go) { run(2, everything); } // G3, G5, G10, D1

// ---- a ready descriptor's turn beside goroutines that never leave their processors idle ------------------------------

static _Atomic int over;
static void greedy(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) CHECK_EQ(ecru_yield(), 0);
}
static void tell_how_late(void *io) {
  int64_t written_ns, best_ns = ECRU_FOREVER;
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(ecru_io_read(io, &written_ns, sizeof written_ns), (int64_t)sizeof written_ns);
    int64_t late_ns = wall_ns() - written_ns;
    if (late_ns < best_ns) best_ns = late_ns;
  }
  atomic_store(&over, 1);
  CHECK(best_ns < 2 * ECRU_MILLISECOND); // once at least when nothing else keeps the machine busy
}
static void *write_instants(void *descriptor) {
  for (int i = 0; i < 100; i++) {
    usleep(1000);
    int64_t now_ns = wall_ns();
    CHECK_EQ(write((int)(intptr_t)descriptor, &now_ns, sizeof now_ns), (ssize_t)sizeof now_ns);
  }
  return NULL;
}
static void served_beside_greed(void *unused) {
  (void)unused;
  int both[2];
  ecru_io *reader;
  CHECK_EQ(pipe(both), 0);
  CHECK_EQ(ecru_io_adopt(&reader, both[0], 0), 0);
  for (int i = 0; i < 8; i++) go(greedy, NULL);
  go(tell_how_late, reader);
  join_thread(start_thread(write_instants, (void *)(intptr_t)both[1]));
  UNTIL(counters_now().goroutines == 1);
  ecru_io_release(reader);
  close(both[1]);
}
TEST(stress_poller, descriptors_are_served_beside_greedy_ones) { // G2, I1
  for (int procs = 1; procs <= 2; procs++) {
    atomic_store(&over, 0);
    run(procs, served_beside_greed);
  }
}

TEST(stress_poller, it_starts_and_stops_with_descriptors_in_use) { // G13
  uint64_t random = test_seed();
  for (long i = test_scaled(500); i-- > 0;) {
    wanted_talks = 1 + (long)test_random_below(&random, 5);
    atomic_store(&talking, 4);
    for (int k = 0; k < 3; k++) go(talk, (void *)(uintptr_t)test_random(&random));
    talk((void *)(uintptr_t)test_random(&random));
    UNTIL(atomic_load(&talking) == 0);
    CHECK_EQ(ecru_stop(), 0);
  }
}
