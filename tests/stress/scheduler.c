/// tests/stress/scheduler.c: random lives of many goroutines and threads (G1-G6, G10, G11, G13). What must hold: whoever was started
/// ends, nothing is lost, done twice or seen on the wrong thread, and no thread is left.
#include <fenv.h>

#include "goroutines.h"

static _Atomic long started, ended, alive, budget;
static _Atomic int over;
static ecru_chan *exchange; // one message wanders: whoever gets it sends it on
static ecru_mutex *mutex;
static long guarded, lockings; // mutex
static ecru_semaphore *blockers;
/// Goroutines are pinned, or use the thread's stack. Not both in one crowd: who blocks a thread, or waits on its stack, keeps it from
/// those that are pinned to it. So nobody here blocks one until others have done something.
static bool with_pins;

typedef struct life {
  uint64_t random;
  long steps;
  unsigned flags;
  bool pinned;
  bool on_thread; // no goroutine to be moved: a foreign thread, an own thread, or on a thread's stack
  long thread;
} life;

static bool one_in(life *self, unsigned n) { return test_random_below(&self->random, n) == 0; }
static void live_copy(void *copy);

static void spin_us(long us) {
  for (int64_t end = wall_ns() + us * 1000; wall_ns() < end;) {}
}
static void nap(void *us) { usleep((unsigned)(uintptr_t)us); }

static void spawn_some(life *self) {
  for (uint64_t n = 1 + test_random_below(&self->random, 4); n-- > 0;) {
    if (atomic_load(&alive) > test_scaled(500) + 20 || atomic_fetch_sub(&budget, 1) <= 0) return;
    static const unsigned flags[] = {0, 0, 0, 0, 0, 0, 0, ECRU_PINNED, ECRU_OWN_THREAD, 0};
    static const size_t stacks[] = {0, 0, 0, 0, 64 << 10, 128 << 10, 1 << 20};
    ecru_go_options options = ECRU_GO_OPTIONS;
    options.flags = flags[test_random_below(&self->random, 10)];
    if (!with_pins) options.flags &= ~(unsigned)ECRU_PINNED;
    if (!(options.flags & ECRU_OWN_THREAD)) options.stack_bytes = stacks[test_random_below(&self->random, 7)];
    life child = {.random = test_random(&self->random), .steps = (long)test_random_below(&self->random, 40), .flags = options.flags};
    atomic_fetch_add(&started, 1);
    atomic_fetch_add(&alive, 1);
    bool plain = options.flags == 0 && one_in(self, 2);
    CHECK_EQ(ecru_go_copy(plain ? NULL : &options, live_copy, &child, sizeof child), 0);
  }
}

static void pass_on(void) {
  int value = 0;
  if (ecru_chan_try_recv(exchange, &value) != 0) return;
  value++;
  CHECK_EQ(ecru_chan_send(exchange, &value), 0);
}
static void lock_and_park(life *self) {
  CHECK_EQ(ecru_mutex_lock(mutex), 0);
  long before = guarded;
  lockings++;
  if (one_in(self, 8)) CHECK_EQ(ecru_yield(), 0);
  guarded = before + 1;
  CHECK_EQ(ecru_mutex_unlock(mutex), 0);
}
static void step(life *self);
static void step_there(void *life_) {
  life *self = life_;
  self->on_thread = true;
  for (int i = 0; i < 3; i++) step(self);
  self->on_thread = false;
}
static void use_thread_stack(life *self) {
  if (ecru_semaphore_try_acquire(blockers, 1) != 0) return;
  CHECK_EQ(ecru_on_thread_stack(step_there, self), 0);
  CHECK_EQ(ecru_semaphore_release(blockers, 1), 0);
}
static void leave_thread_alone(life *self) { // not too many at once: threads are dear
  if (ecru_semaphore_try_acquire(blockers, 1) != 0) return;
  uintptr_t us = test_random_below(&self->random, 300);
  switch (test_random_below(&self->random, 4)) {
  case 0: CHECK_EQ(ecru_blocking(nap, (void *)us), 0); break;
  case 1: usleep((unsigned)us); break;
  case 2: usleep(one_in(self, 10) ? 15000 : 1000); break;
  default:
    CHECK_EQ(ecru_blocking_enter(), 0);
    if (one_in(self, 2)) usleep((unsigned)us);
    if (one_in(self, 2)) CHECK_EQ(ecru_yield(), 0); // ends it
    CHECK_EQ(ecru_blocking_exit(), 0);
  }
  CHECK_EQ(ecru_semaphore_release(blockers, 1), 0);
}
static void wait_for_child(life *self) {
  ecru_task *task = NULL;
  int status = -1;
  CHECK_EQ(ecru_spawn(&task, idle_task, NULL), 0);
  if (one_in(self, 2)) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_task_join(task, &status, NULL), 0);
  CHECK_EQ(status, 0);
  ecru_task_release(task);
}

static void step(life *self) {
  switch (test_random_below(&self->random, 14)) {
  case 0: case 1: case 2: CHECK_EQ(ecru_yield(), 0); break;
  case 3: CHECK_EQ(ecru_sleep((int64_t)test_random_below(&self->random, 500) * ECRU_MICROSECOND), 0); break;
  case 4: case 5: spawn_some(self); break;
  case 6: leave_thread_alone(self); break;
  case 7: spin_us(one_in(self, 200) ? 15000 : 20); break;
  case 8: if (one_in(self, 4)) CHECK_EQ(ecru_set_maxprocs(1 + (int)test_random_below(&self->random, 5)), 0); break;
  case 9: pass_on(); break;
  case 10: lock_and_park(self); break;
  case 11: if (!self->on_thread && !with_pins) use_thread_stack(self); break;
  case 12: if (one_in(self, 4)) wait_for_child(self); break;
  default:
    if (self->on_thread || !with_pins) break;
    CHECK_EQ(self->pinned ? ecru_unpin() : ecru_pin(), 0);
    self->pinned = !self->pinned;
    self->thread = thread_here();
  }
}

static void live(life *self) {
  static _Atomic int next_mark = 1;
  int mark = atomic_fetch_add(&next_mark, 1) % 10000 + 1;
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  int mode = modes[mark % 4];
  bool in_goroutine = ecru_in_goroutine();
  uint64_t id = ecru_id();
  CHECK_EQ(fesetround(mode), 0);
  self->thread = thread_here();
  for (long i = 0; i < self->steps; i++) {
    set_errno_here(mark);
    CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(errno_here(), mark);
    step(self);
    CHECK_EQ(fegetround(), mode);
    CHECK_EQ(ecru_id(), id);
    CHECK_EQ(ecru_in_goroutine(), in_goroutine);
    if (self->pinned || self->on_thread || self->flags) CHECK_EQ(thread_here(), self->thread);
  }
  if (self->pinned && one_in(self, 2)) CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(fesetround(FE_TONEAREST), 0);
}
static void live_copy(void *copy) {
  life *self = copy;
  self->on_thread = self->flags & ECRU_OWN_THREAD;
  live(self);
  bool leave = one_in(self, 8);
  atomic_fetch_sub(&alive, 1);
  atomic_fetch_add(&ended, 1);
  if (leave) ecru_exit();
}
static ecru_chan *threads_done;
static void *live_in_thread(void *seed) {
  life self = {.random = (uintptr_t)seed, .steps = test_scaled(300), .on_thread = true};
  live(&self);
  finish(threads_done);
  return NULL;
}

static void crowd(void *unused) {
  (void)unused;
  enum { THREADS = 3 };
  pthread_t threads[THREADS];
  uint64_t random = test_seed();
  exchange = chan_of(sizeof(int), 1);
  threads_done = signals();
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_semaphore_create(&blockers, 20), 0);
  int value = 0;
  CHECK_EQ(ecru_chan_send(exchange, &value), 0);
  atomic_store(&budget, test_scaled(10000));
  life first = {.random = test_random(&random), .steps = 40};
  for (int i = 0; i < THREADS; i++) threads[i] = start_thread(live_in_thread, (void *)(uintptr_t)test_random(&random));
  while (atomic_load(&budget) > 0) {
    spawn_some(&first);
    CHECK_EQ(ecru_sleep(200 * ECRU_MICROSECOND), 0);
  }
  await(threads_done, THREADS);
  for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
  ecru_chan_release(threads_done);
  UNTIL(atomic_load(&alive) == 0);
  UNTIL(counters_now().goroutines == 1);
  CHECK_EQ(atomic_load(&started), atomic_load(&ended));
  CHECK_EQ(guarded, lockings);
  CHECK_EQ(ecru_chan_len(exchange), 1); // the message is still there, and there is one
  CHECK_EQ(ecru_chan_recv(exchange, &value), 0);
  ecru_chan_release(exchange);
  ecru_mutex_destroy(mutex);
  ecru_semaphore_destroy(blockers);
}
static void crowd_with(int procs, bool pins, int64_t idle_thread_ns) {
  with_pins = pins;
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  options.idle_thread_ns = idle_thread_ns;
  options.grace_ns = 60 * ECRU_SECOND;
  guarded = lockings = 0;
  with_options(&options, crowd);
}
// G1, G2, G3, G4, G5, G6, G10, G11
TEST(stress_scheduler, random_lives_on_one_processor) { crowd_with(1, false, 0); }
// G1, G2, G3, G4, G5, G6, G10, G11
TEST(stress_scheduler, random_lives_on_many_processors) { crowd_with(4, false, 0); }
TEST(stress_scheduler, random_lives_of_pinned_ones) { crowd_with(3, true, 0); } // G10
TEST(stress_scheduler, random_lives_on_threads_that_come_and_go) { crowd_with(2, false, ECRU_MILLISECOND); } // G3
TEST(stress_scheduler, random_lives_of_pinned_ones_on_threads_that_come_and_go) { crowd_with(2, true, ECRU_MILLISECOND); } // G3, G10

// ---- starting and stopping ----------------------------------------------------------------------------------------

static void blink(void *children) {
  atomic_fetch_add(&ended, 1);
  uintptr_t count = (uintptr_t)children;
  for (uintptr_t i = 0; i < count; i++) {
    atomic_fetch_add(&started, 1);
    if (ecru_go(blink, (void *)(count / 2)) != 0) atomic_fetch_sub(&started, 1);
  }
}
static void yield_some(void *times) {
  for (uintptr_t i = 0; i < (uintptr_t)times; i++)
    if (ecru_yield() != 0) break;
  atomic_fetch_add(&ended, 1);
}
static void short_life(void *random_) {
  uint64_t random = *(uint64_t *)random_;
  for (uint64_t i = test_random_below(&random, 20); i-- > 0;) {
    atomic_fetch_add(&started, 1);
    uintptr_t number = test_random_below(&random, 5);
    switch (test_random_below(&random, 8)) {
    case 0: go_flagged(ECRU_OWN_THREAD, yield_some, (void *)number); break;
    case 1: go_flagged(ECRU_PINNED, yield_some, (void *)number); break;
    case 2: case 3: go(yield_some, (void *)number); break;
    default: go(blink, (void *)number);
    }
    if (test_random_below(&random, 4) == 0) CHECK_EQ(ecru_yield(), 0);
    if (test_random_below(&random, 16) == 0) CHECK_EQ(ecru_set_maxprocs(1 + (int)test_random_below(&random, 4)), 0);
  }
}
TEST(stress_scheduler, it_starts_and_stops_many_times) { // G13
  uint64_t random = test_seed();
  for (long i = test_scaled(1500); i-- > 0;) {
    ecru_options options = ECRU_OPTIONS;
    options.maxprocs = 1 + (int)test_random_below(&random, 4);
    options.threads_max = test_random_below(&random, 4) ? 0 : 40;
    if (test_random_below(&random, 3) == 0) options.idle_thread_ns = 1 + (int64_t)test_random_below(&random, 200000);
    uint64_t seed = test_random(&random);
    CHECK_EQ(ecru_run_with(&options, short_life, &seed), 0);
    CHECK_EQ(atomic_load(&started), atomic_load(&ended));
  }
}

static void *start_in_thread(void *seed) {
  uint64_t random = (uintptr_t)seed;
  short_life(&random);
  return NULL;
}
TEST(stress_scheduler, threads_start_it_and_it_stops_many_times) { // G1, G13
  uint64_t random = test_seed();
  for (long i = test_scaled(500); i-- > 0;) {
    pthread_t threads[3];
    for (int k = 0; k < 3; k++) threads[k] = start_thread(start_in_thread, (void *)(uintptr_t)test_random(&random));
    for (int k = 0; k < 3; k++) CHECK_EQ(pthread_join(threads[k], NULL), 0);
    CHECK_EQ(ecru_stop(), 0);
    CHECK_EQ(atomic_load(&started), atomic_load(&ended));
  }
}

static void note_end(void *unused) {
  (void)unused;
  atomic_store(&over, 1);
}
static void keep_a_worker_awake(void *unused) {
  (void)unused;
  while (!atomic_load(&over) && ecru_yield() == 0) {} // it may meet the stop
}
static void *start_one(void *unused) {
  go(note_end, NULL);
  return unused;
}
/// The goroutine may have ended, and a stop begun, before the thread that has started it is out of ecru_go.
TEST(stress_scheduler, a_stop_waits_for_threads_on_their_way_out) { // G13
  for (long i = test_scaled(1000); i-- > 0;) {
    atomic_store(&over, 0);
    ecru_options options = ECRU_OPTIONS;
    options.maxprocs = 2;
    CHECK_EQ(ecru_start(&options), 0);
    go(keep_a_worker_awake, NULL);
    pthread_t thread = start_thread(start_one, NULL);
    while (!atomic_load(&over)) sched_yield();
    CHECK_EQ(ecru_stop(), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
  }
}

// ---- hand-over ----------------------------------------------------------------------------------------------------

static int ends[2];
static void read_byte(void *unused) {
  (void)unused;
  char byte;
  while (read(ends[0], &byte, 1) != 1) CHECK_EQ(errno, EINTR);
}
static void read_bytes(void *random_) {
  uint64_t random = (uintptr_t)random_;
  for (long i = test_scaled(150); i-- > 0;) {
    if (test_random_below(&random, 40) == 0) read_byte(NULL); // undeclared: 10 ms until the hand-over
    else CHECK_EQ(ecru_blocking(read_byte, NULL), 0);
    atomic_fetch_add(&ended, 1);
    if (test_random_below(&random, 4) == 0) CHECK_EQ(ecru_yield(), 0);
  }
  atomic_fetch_sub(&alive, 1);
}
static void write_bytes(void *unused) {
  (void)unused;
  while (atomic_load(&alive) > 0) {
    if (atomic_load(&started) - atomic_load(&ended) < 20) { // as many as there are readers keep some of them blocked
      atomic_fetch_add(&started, 1);
      CHECK_EQ(write(ends[1], "x", 1), 1);
    }
    CHECK_EQ(ecru_yield(), 0);
  }
}
static void pump(void *unused) {
  (void)unused;
  CHECK_EQ(pipe(ends), 0);
  uint64_t random = test_seed();
  atomic_store(&alive, 30);
  for (int i = 0; i < 30; i++) go(read_bytes, (void *)(uintptr_t)test_random(&random));
  write_bytes(NULL);
  UNTIL(counters_now().goroutines == 1);
  CHECK_EQ(atomic_load(&ended), 30 * test_scaled(150));
  close(ends[0]);
  close(ends[1]);
}
TEST(stress_scheduler, processors_go_to_and_fro_between_blocked_threads) { // G3
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 2;
  options.idle_thread_ns = 5 * ECRU_MILLISECOND;
  with_options(&options, pump);
}

static void change_procs(void *random_) {
  uint64_t random = (uintptr_t)random_;
  while (!atomic_load(&over)) {
    CHECK_EQ(ecru_set_maxprocs(1 + (int)test_random_below(&random, 8)), 0);
    for (uint64_t i = test_random_below(&random, 50); i-- > 0;) CHECK_EQ(ecru_yield(), 0);
  }
}
static void work_and_sleep(void *random_) {
  uint64_t random = (uintptr_t)random_;
  for (long i = test_scaled(300); i-- > 0;) {
    if (test_random_below(&random, 3) == 0) CHECK_EQ(ecru_sleep((int64_t)test_random_below(&random, 100) * ECRU_MICROSECOND), 0);
    else CHECK_EQ(ecru_yield(), 0);
    if (test_random_below(&random, 30) == 0) spin_us(200);
  }
  atomic_fetch_add(&ended, 1);
}
static void crowd_while_procs_change(void *unused) {
  (void)unused;
  uint64_t random = test_seed();
  for (int i = 0; i < 2; i++) go(change_procs, (void *)(uintptr_t)test_random(&random));
  for (int i = 0; i < 100; i++) go(work_and_sleep, (void *)(uintptr_t)test_random(&random));
  UNTIL(atomic_load(&ended) == 100);
  atomic_store(&over, 1);
  UNTIL(counters_now().goroutines == 1);
}
TEST(stress_scheduler, maxprocs_changes_all_the_time) { // G5
  with_procs(3, crowd_while_procs_change);
}

static void be_passed_around(void *number) { // pinned goroutines on many threads hand a message round
  ecru_chan **ring = ((ecru_chan **)number);
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(ecru_blocking(nap, (void *)(uintptr_t)2000), 0); // so that each is on a thread of its own
  int value = 0;
  while (ecru_chan_recv(ring[0], &value) == 0) {
    value++;
    if (ecru_chan_send(ring[1], &value) != 0) break;
    if (value % 7 == 0) CHECK_EQ(ecru_yield(), 0);
  }
  (void)ecru_chan_close(ring[1]);
  atomic_fetch_add(&ended, 1);
}
static void ring_of_pinned(void *unused) {
  (void)unused;
  enum { STATIONS = 12 };
  static ecru_chan *chans[STATIONS + 1];
  for (int i = 0; i <= STATIONS; i++) chans[i] = chan_of(sizeof(int), 0);
  for (int i = 0; i < STATIONS; i++) go(be_passed_around, &chans[i]);
  for (long i = test_scaled(300); i-- > 0;) {
    int value = 0;
    CHECK_EQ(ecru_chan_send(chans[0], &value), 0);
    CHECK_EQ(ecru_chan_recv(chans[STATIONS], &value), 0);
    CHECK_EQ(value, STATIONS);
  }
  CHECK_EQ(ecru_chan_close(chans[0]), 0);
  UNTIL(atomic_load(&ended) == STATIONS);
  UNTIL(counters_now().goroutines == 1);
  for (int i = 0; i <= STATIONS; i++) ecru_chan_release(chans[i]);
}
TEST(stress_scheduler, pinned_goroutines_on_many_threads_share_few_processors) { // G10
  with_procs(1, ring_of_pinned);
  atomic_store(&ended, 0);
  with_procs(3, ring_of_pinned);
}
