// Hosts under load, with seeds (G15): threads become hosts and plain threads again while goroutines of all kinds wait for one another, signals
// arrive, maxprocs changes, dumps are taken.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "runtime/state.h"
#include "tests/goroutines.h"

// ---- random lives ----------------------------------------------------------------------------------------------------------------

enum { HOSTS = 4, CHANS = 3, PAIRS = 4, FREE = 6 };
static ecru_chan *chans[CHANS];
static ecru_mutex *lock;
static ecru_io *ends[PAIRS][2];
static _Atomic long sent_sum, received_sum, written, read_bytes, free_left, over;
static long guarded; // lock
static pthread_t hosts[HOSTS];
static _Atomic int hosts_left;

typedef struct life {
  uint64_t seed;
  long steps;
  int depth;
} life;
static void live(void *argument);

static bool is_expected(int64_t status) {
  return status >= 0 || status == ECRU_ETIMEDOUT || status == ECRU_ECANCELED || status == ECRU_EAGAIN || status == ECRU_EINTR;
}
static int note(int64_t status) {
  if (!is_expected(status)) FAIL("%lld", (long long)status);
  return (int)status;
}
static uint64_t below(life *me, uint64_t bound) { return test_random_below(&me->seed, bound); }
static ecru_chan *any_chan(life *me) { return chans[below(me, CHANS)]; }

static void send_one(life *me) {
  long value = 1 + (long)below(me, 1000);
  if (note(ecru_chan_send(any_chan(me), &value)) == 0) atomic_fetch_add(&sent_sum, value);
}
static void receive_one(life *me) {
  long value = 0;
  if (note(ecru_chan_recv(any_chan(me), &value)) == 0) atomic_fetch_add(&received_sum, value);
}
static void select_one(life *me) {
  long given = 1 + (long)below(me, 1000), taken = 0;
  ecru_case cases[] = {{ECRU_CASE_SEND, 0, any_chan(me), &given}, {ECRU_CASE_RECV, 0, any_chan(me), &taken}};
  int which = note(ecru_select(cases, 2, 0));
  if (which == 0) atomic_fetch_add(&sent_sum, given);
  if (which == 1) atomic_fetch_add(&received_sum, taken);
}
static void lock_and_count(life *me) {
  if (note(ecru_mutex_lock(lock)) != 0) return;
  long before = guarded;
  if (below(me, 3) == 0) ecru_yield();
  guarded = before + 1;
  CHECK_EQ(ecru_mutex_unlock(lock), 0);
}
static void use_pair(life *me) {
  ecru_io *io = ends[below(me, PAIRS)][below(me, 2)];
  char bytes[8] = "abcdefg";
  if (below(me, 2)) {
    if (note(ecru_io_write(io, bytes, 1, NULL)) == 1) atomic_fetch_add(&written, 1);
  } else {
    int64_t count = note(ecru_io_read(io, bytes, sizeof bytes));
    if (count > 0) atomic_fetch_add(&read_bytes, count);
  }
}
static void live_free(void *argument) {
  live(argument);
  atomic_fetch_sub(&free_left, 1);
}
static void start_one(life *me) {
  if (me->depth == 0) return;
  life child = {test_random(&me->seed), me->steps / 4 + 1, me->depth - 1};
  ecru_go_options options = ECRU_GO_OPTIONS;
  bool hosted = ecru_is_hosted() && below(me, 2);
  if (hosted) options.flags = ECRU_HOSTED;
  if (below(me, 4) == 0) options.name = "child"; // not from a seed
  if (!hosted) atomic_fetch_add(&free_left, 1);
  CHECK_EQ(ecru_go_copy(&options, hosted ? live : live_free, &child, sizeof child), 0);
}
static void sleep_for_ever(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
static void cancel_one(life *me) {
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = token;
  options.flags = ecru_is_hosted() && below(me, 2) ? ECRU_HOSTED : 0;
  CHECK_EQ(ecru_go_with(&options, sleep_for_ever, NULL), 0);
  if (below(me, 2)) ecru_yield();
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_token_release(token);
}
static void step(life *me) {
  CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)below(me, 400000))), 0);
  switch (below(me, 10)) {
  case 0: case 1: send_one(me); break;
  case 2: case 3: receive_one(me); break;
  case 4: select_one(me); break;
  case 5: lock_and_count(me); break;
  case 6: use_pair(me); break;
  case 7: note(ecru_sleep((int64_t)below(me, 200000))); break;
  case 8: note(ecru_yield()); break;
  default: CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0); below(me, 2) ? start_one(me) : cancel_one(me); CHECK_EQ(ecru_token_leave(), 0);
  }
  CHECK_EQ(ecru_token_leave(), 0);
}
static void live(void *argument) {
  life me = *(life *)argument;
  for (long i = 0; i < me.steps; i++) step(&me);
}

static void interrupt_sometimes(void *context) {
  if (test_random_below(context, 2)) (void)ecru_host_interrupt();
}
static void none_for_one(void *context, void *mark) { (void)context, (void)mark; }
static void nothing(void *context) { (void)context; }
static void host_once(life *me) {
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooks.context = &me->seed;
  hooks.interrupted = interrupt_sometimes;
  hooks.arrive = none_for_one;
  hooks.idle = nothing;
  CHECK_EQ(ecru_host_enter(below(me, 4) ? &hooks : NULL), 0);
  for (uint64_t i = below(me, 8); i > 0; i--) {
    me->depth = 2;
    start_one(me);
  }
  for (long i = 0; i < me->steps; i++) step(me);
  while (ecru_host_leave() == ECRU_EBUSY) note(ecru_sleep((int64_t)below(me, 50000)));
  CHECK(!ecru_is_hosted());
}
static void *live_as_host(void *argument) {
  life *me = argument;
  for (long round = test_scaled(25); round > 0; round--) {
    host_once(me);
    for (int i = 0; i < 3; i++) step(me); // a plain thread
  }
  // The last one out has the threads that disturb end; none ends before, so that signals find it.
  if (atomic_fetch_sub(&hosts_left, 1) == 1) atomic_store(&over, 1);
  while (!atomic_load(&over)) usleep(1000);
  return NULL;
}
static void on_signal(int signal) { (void)signal; }
static void *disturb(void *argument) {
  life *me = argument;
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (long i = 0; !atomic_load(&over); i++) {
    CHECK_EQ(pthread_kill(hosts[below(me, HOSTS)], SIGUSR1), 0);
    if (i % 4 == 0) CHECK_EQ(ecru_dump(nowhere, i / 4 % 2 ? ECRU_DUMP_TEXT : ECRU_DUMP_JSON), 0);
    if (i % 8 == 0) CHECK_EQ(ecru_set_maxprocs(1 + (int)below(me, 4)), 0);
    if (i % 16 == 0) (void)counters_now();
    usleep((useconds_t)below(me, 2000));
  }
  close(nowhere);
  return NULL;
}

static void open_all(void) {
  for (int i = 0; i < CHANS; i++) chans[i] = chan_of(sizeof(long), (size_t)(i * i));
  for (int i = 0; i < PAIRS; i++) CHECK_EQ(ecru_io_pair(&ends[i][0], &ends[i][1]), 0);
  CHECK_EQ(ecru_mutex_create(&lock), 0);
}
/// What has been sent and not been received is still there.
static void settle(void) {
  long value;
  char byte;
  for (int i = 0; i < CHANS; i++) {
    while (ecru_chan_try_recv(chans[i], &value) == 0) received_sum += value;
    ecru_chan_release(chans[i]);
  }
  for (int i = 0; i < 2 * PAIRS; i++) {
    while (ecru_io_try_read(ends[i / 2][i % 2], &byte, 1) == 1) read_bytes++;
  }
  for (int i = 0; i < 2 * PAIRS; i++) ecru_io_release(ends[i / 2][i % 2]);
  CHECK_EQ(sent_sum, received_sum);
  CHECK_EQ(written, read_bytes);
  CHECK(sent_sum > 0 && guarded > 0 && written > 0);
  ecru_mutex_destroy(lock);
}

TEST(stress_host, random_lives_of_all_kinds) { // G15, C11, K2
  struct sigaction action = {.sa_handler = on_signal};
  uint64_t seed = test_seed();
  life lives[HOSTS], disturber = {test_random(&seed), 0, 0};
  pthread_t other;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  open_all();
  atomic_store(&hosts_left, HOSTS);
  atomic_store(&free_left, FREE);
  for (int i = 0; i < FREE; i++) {
    life free_one = {test_random(&seed), test_scaled(2000), 1};
    CHECK_EQ(ecru_go_copy(NULL, live_free, &free_one, sizeof free_one), 0);
  }
  for (int i = 0; i < HOSTS; i++) {
    lives[i] = (life){test_random(&seed), 60, 2};
    hosts[i] = start_thread(live_as_host, &lives[i]);
  }
  other = start_thread(disturb, &disturber);
  for (int i = 0; i < HOSTS; i++) CHECK_EQ(pthread_join(hosts[i], NULL), 0);
  CHECK_EQ(pthread_join(other, NULL), 0);
  UNTIL(atomic_load(&free_left) == 0);
  settle();
  CHECK_EQ(atomic_load(&ecru__sched.hosting), 0);
}

// ---- threads that are gone -------------------------------------------------------------------------------------------------------

enum { THREAD_STACK = 2 << 20 };
/// Where a thread runs whose stack and thread-local storage are no memory any more once it has ended.
static void run_on_passing_memory(void *(*fn)(void *), void *argument) {
  pthread_attr_t attributes;
  pthread_t thread;
  void *stack = mmap(NULL, THREAD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(stack != MAP_FAILED);
  CHECK_EQ(pthread_attr_init(&attributes), 0);
  CHECK_EQ(pthread_attr_setstack(&attributes, stack, THREAD_STACK), 0);
  CHECK_EQ(pthread_create(&thread, &attributes, fn, argument), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(pthread_attr_destroy(&attributes), 0);
  CHECK_EQ(munmap(stack, THREAD_STACK), 0);
}
static void *receive_and_end(void *argument) {
  life *me = argument;
  ecru_chan *done = signals();
  CHECK_EQ(ecru_host_enter(NULL), 0);
  for (int i = 0; i < 3; i++) go(finish, done);
  if (below(me, 2)) CHECK_EQ(ecru_sleep((int64_t)below(me, 30000)), 0);
  if (below(me, 2)) go_flagged(ECRU_HOSTED, finish, done);
  else finish(done);
  await(done, 4);
  while (ecru_host_leave() == ECRU_EBUSY) CHECK_EQ(ecru_yield(), 0);
  ecru_chan_release(done);
  return NULL;
}
static void *come_and_go(void *seed) {
  life me = {*(uint64_t *)seed, 0, 0};
  for (long i = test_scaled(4000); i > 0; i--) run_on_passing_memory(receive_and_end, &me);
  return NULL;
}
TEST(stress_host, nobody_touches_one_that_has_gone) { // G15
  uint64_t seed = test_seed(), seeds[2] = {test_random(&seed), test_random(&seed)};
  CHECK_EQ(ecru_start(NULL), 0);
  pthread_t other = start_thread(come_and_go, &seeds[0]);
  (void)come_and_go(&seeds[1]);
  CHECK_EQ(pthread_join(other, NULL), 0);
}

// ---- stop and start --------------------------------------------------------------------------------------------------------------

static _Atomic long starts;
static void *enter_always(void *unused) {
  while (!atomic_load(&over)) {
    long seen = atomic_load(&starts);
    int status = ecru_host_enter(NULL);
    CHECK(status == 0 || status == ECRU_ESHUTDOWN);
    if (status != 0) {
      SPIN_UNTIL(atomic_load(&starts) != seen || atomic_load(&over)); // so long we are no concern of ecru's
      continue;
    }
    ecru_chan *done = signals();
    go_flagged(ECRU_HOSTED, finish, done);
    go(finish, done);
    await(done, 2);
    while (ecru_host_leave() == ECRU_EBUSY) CHECK_EQ(ecru_yield(), 0);
    ecru_chan_release(done);
    for (uint64_t pause = (uint64_t)wall_ns() % 1000; pause > 0; pause--) sched_yield();
  }
  return unused;
}
TEST(stress_host, the_runtime_stops_only_between_hosts) { // G15, G13
  pthread_t threads[2];
  CHECK_EQ(ecru_start(NULL), 0);
  for (int i = 0; i < 2; i++) threads[i] = start_thread(enter_always, NULL);
  while (atomic_load(&starts) < test_scaled(1000)) {
    int status = ecru_stop();
    CHECK(status == 0 || status == ECRU_EBUSY);
    if (status == 0) {
      CHECK_EQ(ecru_start(NULL), 0);
      atomic_fetch_add(&starts, 1);
    }
    sched_yield();
  }
  atomic_store(&over, 1);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
