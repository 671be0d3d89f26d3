// Hosts (G15): threads that run goroutines of their own.
#include <signal.h>
#include <sys/socket.h>

#include "runtime/state.h"
#include "tests/dumps.h"
#include "tests/goroutines.h"

static void go_hosted(ecru_fn fn, void *argument) { go_flagged(ECRU_HOSTED, fn, argument); }
static void enter(void) { CHECK_EQ(ecru_host_enter(NULL), 0); }
static void leave(void) { CHECK_EQ(ecru_host_leave(), 0); }

static pthread_t home;
static void say_here(void *done) {
  CHECK(pthread_equal(pthread_self(), home));
  CHECK(ecru_in_goroutine());
  CHECK_EQ(ecru_yield(), 0);
  CHECK(pthread_equal(pthread_self(), home));
  finish(done);
}

TEST(host, its_goroutines_run_on_its_thread) { // G15
  ecru_chan *done = signals();
  home = pthread_self();
  enter();
  CHECK(ecru_is_hosted());
  CHECK(ecru_in_goroutine());
  int count = (int)test_scaled(3000); // more than a ring holds
  for (int i = 0; i < count; i++) go_hosted(say_here, done);
  CHECK_EQ((long)ecru_host_count(), count);
  CHECK_EQ(ecru_host_leave(), ECRU_EBUSY);
  await(done, count);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  CHECK(!ecru_is_hosted());
  ecru_chan_release(done);
}

static void say_elsewhere(void *done) {
  CHECK(!pthread_equal(pthread_self(), home));
  finish(done);
}
static void start_elsewhere(void *done) {
  go(say_elsewhere, done);
  finish(done);
}

TEST(host, others_run_elsewhere) { // G15
  ecru_chan *done = signals();
  home = pthread_self();
  enter();
  for (int i = 0; i < 100; i++) go(say_elsewhere, done);
  await(done, 100);
  go_hosted(start_elsewhere, done);
  await(done, 2);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  ecru_chan_release(done);
}

TEST(host, what_is_wrong_is_said) { // G15
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_HOSTED;
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  CHECK_EQ(ecru_go_with(&options, finish, NULL), ECRU_EPERM);
  CHECK_EQ(ecru_host_leave(), ECRU_EPERM);
  CHECK_EQ(ecru_host_set_mark(NULL), ECRU_EPERM);
  CHECK_EQ(ecru_host_interrupt(), ECRU_EPERM);
  hooks.size = 1;
  CHECK_EQ(ecru_host_enter(&hooks), ECRU_EINVAL);
  enter();
  CHECK_EQ(ecru_host_enter(NULL), ECRU_EBUSY);
  options.flags = ECRU_HOSTED | ECRU_PINNED;
  CHECK_EQ(ecru_go_with(&options, finish, NULL), ECRU_EINVAL);
  options.flags = 0;
  options.host = ecru_host_here();
  CHECK_EQ(ecru_go_with(&options, finish, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_stop(), ECRU_EDEADLK);
  leave();
}

static void enter_in_goroutine(void *done) {
  CHECK_EQ(ecru_host_enter(NULL), ECRU_EPERM);
  finish(done);
}
TEST(host, a_goroutine_cannot_be_one) { // G15
  ecru_chan *done = signals();
  go(enter_in_goroutine, done);
  await(done, 1);
  ecru_chan_release(done);
}

typedef struct pair { ecru_chan *there, *back; long count; } pair;
static void echo_values(void *argument) {
  pair *p = argument;
  for (long i = 0; i < p->count; i++) {
    long value;
    CHECK_EQ(ecru_chan_recv(p->there, &value), 0);
    value++;
    CHECK_EQ(ecru_chan_send(p->back, &value), 0);
  }
}
static void exchange(pair *p) {
  for (long i = 0; i < p->count; i++) {
    long value = i;
    CHECK_EQ(ecru_chan_send(p->there, &value), 0);
    CHECK_EQ(ecru_chan_recv(p->back, &value), 0);
    CHECK_EQ(value, i + 1);
  }
}

TEST(host, channels_join_all_kinds) { // G15, C2
  static pair p; // one of those elsewhere may look at it a little longer
  p = (pair){chan_of(sizeof(long), 0), chan_of(sizeof(long), 0), test_scaled(3000)};
  enter();
  go_hosted(echo_values, &p);
  exchange(&p);
  go(echo_values, &p); // on other threads
  exchange(&p);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(p.there);
  ecru_chan_release(p.back);
}

static void sleep_and_finish(void *done) {
  CHECK_EQ(ecru_sleep(5 * ECRU_MILLISECOND), 0);
  finish(done);
}
TEST(host, sleepers_wake_though_the_first_waits) { // G15, K6
  ecru_chan *done = signals();
  enter();
  int count = (int)test_scaled(500);
  for (int i = 0; i < count; i++) go_hosted(sleep_and_finish, done);
  await(done, count);
  CHECK_EQ(ecru_deadline_enter(ecru_after(10 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_chan_recv(done, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  ecru_chan_release(done);
}

static void read_and_echo(void *argument) {
  ecru_io *io = argument;
  char byte;
  while (ecru_io_read(io, &byte, 1) == 1) CHECK_EQ(ecru_io_write(io, &byte, 1, NULL), 1);
  ecru_io_release(io);
}
static void converse(ecru_io *io, long count) {
  char byte;
  for (long i = 0; i < count; i++) {
    CHECK_EQ(ecru_io_write(io, "x", 1, NULL), 1);
    CHECK_EQ(ecru_io_read(io, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
  }
  CHECK_EQ(ecru_io_close(io), 0);
  ecru_io_release(io);
}
typedef struct visit { ecru_io *io; ecru_chan *done; } visit;
static void visit_one(void *argument) {
  visit *v = argument;
  converse(v->io, 200);
  finish(v->done);
}

TEST(host, descriptors_are_waited_for) { // G15, I1
  ecru_io *a, *b;
  enter();
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  go_hosted(read_and_echo, b); // both here
  converse(a, test_scaled(2000));
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  go(read_and_echo, b); // the other side elsewhere: who sleeps in the poller changes hands
  converse(a, test_scaled(2000));
  visit many[20];
  ecru_chan *done = signals();
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_io_pair(&many[i].io, &b), 0);
    many[i].done = done;
    if (i % 2) go(read_and_echo, b);
    else go_hosted(read_and_echo, b);
    go_hosted(visit_one, &many[i]);
  }
  await(done, 20);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  ecru_chan_release(done);
}

static char shared_buffer[64];
typedef struct reader { ecru_io *io; char letter; long reads; ecru_chan *done; } reader;
static void read_into_shared(void *argument) {
  reader *r = argument;
  for (long i = 0; i < r->reads; i++) {
    int64_t got = ecru_io_read(r->io, shared_buffer, sizeof shared_buffer);
    CHECK(got > 0);
    for (int64_t k = 0; k < got; k++) CHECK_EQ(shared_buffer[k], r->letter);
    memset(shared_buffer, 0, sizeof shared_buffer);
    CHECK_EQ(ecru_io_write(r->io, "+", 1, NULL), 1); // may let others read before the next
  }
  finish(r->done);
}

TEST(host, its_goroutines_may_read_into_one_buffer) { // G15, I1
  enum { READERS = 10 };
  reader readers[READERS];
  ecru_io *far_ends[READERS];
  ecru_chan *done = signals();
  long rounds = test_scaled(500);
  enter();
  for (int i = 0; i < READERS; i++) {
    CHECK_EQ(ecru_io_pair(&readers[i].io, &far_ends[i]), 0);
    readers[i].letter = (char)('a' + i);
    readers[i].reads = rounds;
    readers[i].done = done;
    go_hosted(read_into_shared, &readers[i]);
  }
  for (long round = 0; round < rounds; round++) {
    char letters[9], answer;
    for (int i = 0; i < READERS; i++) {
      memset(letters, readers[i].letter, sizeof letters);
      CHECK_EQ(ecru_io_write(far_ends[i], letters, sizeof letters, NULL), sizeof letters);
    }
    for (int i = 0; i < READERS; i++) CHECK_EQ(ecru_io_read(far_ends[i], &answer, 1), 1);
  }
  await(done, READERS);
  for (int i = 0; i < READERS; i++) {
    ecru_io_release(readers[i].io);
    ecru_io_release(far_ends[i]);
  }
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  ecru_chan_release(done);
}

typedef struct told { long arrivals, idles, interruptions; void *last; } told;
static void on_arrive(void *context, void *mark) {
  told *t = context;
  t->arrivals++;
  t->last = mark;
}
static void on_idle(void *context) { ((told *)context)->idles++; }
static void on_interrupted(void *context) {
  ((told *)context)->interruptions++;
  (void)ecru_host_interrupt();
}
static told hooked;
static int marks[3];
static void carry_mark(void *argument) {
  int *mark = argument;
  CHECK_EQ(ecru_host_set_mark(mark), 0);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(ecru_yield(), 0);
    CHECK(hooked.last == mark);
  }
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK(hooked.last == mark);
}
static void enter_with_hooks(void) {
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooked = (told){0};
  hooks.arrive = on_arrive;
  hooks.idle = on_idle;
  hooks.interrupted = on_interrupted;
  hooks.context = &hooked;
  CHECK_EQ(ecru_host_enter(&hooks), 0);
}

TEST(host, hooks_tell_who_runs) { // G15
  enter_with_hooks();
  CHECK_EQ(ecru_host_set_mark(&marks[2]), 0);
  go_hosted(carry_mark, &marks[0]);
  go_hosted(carry_mark, &marks[1]);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  for (int64_t pause = ECRU_MILLISECOND; hooked.idles == 0; pause *= 2) CHECK_EQ(ecru_sleep(pause), 0); // short ones may be over at once
  CHECK(hooked.last == &marks[2]);
  CHECK(hooked.arrivals > 20);
  leave();
}

static void nothing(int signal) { (void)signal; }
static _Atomic int woken;
/// Lives until the signal has done its work: else all known threads would be asleep for ever, and that be said.
static void *signal_soon(void *thread) {
  while (!woken) { // one that comes before it sleeps ends no sleep
    usleep(1000);
    CHECK_EQ(pthread_kill(*(pthread_t *)thread, SIGUSR1), 0);
  }
  woken = 0;
  return NULL;
}
TEST(host, a_signal_ends_the_wait_of_the_first) { // G15
  struct sigaction action = {.sa_handler = nothing};
  pthread_t self = pthread_self(), other;
  ecru_chan *never = signals();
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  enter_with_hooks();
  CHECK_EQ(pthread_create(&other, NULL, signal_soon, &self), 0);
  CHECK_EQ(ecru_chan_recv(never, NULL), ECRU_EINTR);
  woken = 1;
  CHECK(hooked.interruptions > 0);
  CHECK_EQ(pthread_join(other, NULL), 0);
  ecru_io *a, *b;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  CHECK_EQ(pthread_create(&other, NULL, signal_soon, &self), 0);
  char byte;
  CHECK_EQ(ecru_io_read(a, &byte, 1), ECRU_EINTR); // asleep in the poller
  woken = 1;
  CHECK_EQ(pthread_join(other, NULL), 0);
  ecru_io_release(a);
  ecru_io_release(b);
  leave();
  ecru_chan_release(never);
}

static void interrupt_first(void *first_waits) {
  (void)first_waits;
  CHECK_EQ(ecru_host_interrupt(), 1);
}
TEST(host, one_of_its_goroutines_can_interrupt_the_first) { // G15
  ecru_chan *never = signals();
  enter();
  CHECK_EQ(ecru_host_interrupt(), 0);
  go_hosted(interrupt_first, NULL);
  CHECK_EQ(ecru_chan_recv(never, NULL), ECRU_EINTR);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  ecru_chan_release(never);
}

static ecru_host *interrupted_host;
static void interrupt_until_it_waited(void *unused) {
  (void)unused;
  int waited;
  while ((waited = ecru_host_interrupt_other(interrupted_host)) == 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(waited, 1);
}
TEST(host, others_can_interrupt_the_first) { // G15
  CHECK(ecru_host_here() == NULL);
  CHECK_EQ(ecru_host_interrupt_other(NULL), ECRU_EINVAL);
  ecru_chan *never = signals();
  enter();
  interrupted_host = ecru_host_here();
  CHECK(interrupted_host != NULL);
  for (long i = 0; i < test_scaled(1000); i++) {
    go(interrupt_until_it_waited, NULL);
    CHECK_EQ(ecru_chan_recv(never, NULL), ECRU_EINTR);
  }
  leave();
  ecru_chan_release(never);
}

static _Atomic int looks;
static void look(void *context) {
  CHECK(context == &looks);
  atomic_fetch_add(&looks, 1);
}
TEST(host, it_is_watched) { // G15
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooks.watch = look;
  hooks.context = &looks;
  CHECK_EQ(ecru_host_enter(&hooks), 0);
  while (atomic_load(&looks) < 3) {} // busy
  int before = atomic_load(&looks);
  while (atomic_load(&looks) < before + 3) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  leave();
  before = atomic_load(&looks);
  CHECK_EQ(ecru_sleep(30 * ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&looks), before);
}

static void *live_as_host(void *count) {
  ecru_chan *done = signals();
  for (int round = 0; round < 20; round++) {
    enter();
    for (int i = 0; i < 10; i++) go_hosted(sleep_and_finish, done);
    await(done, 10);
    while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
    leave();
  }
  ecru_chan_release(done);
  atomic_fetch_add((_Atomic int *)count, 1);
  return NULL;
}
TEST(host, many_threads_are_hosts) { // G15
  enum { THREADS = 8 };
  pthread_t threads[THREADS];
  _Atomic int count = 0;
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, live_as_host, &count), 0);
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
  CHECK_EQ(count, THREADS);
  CHECK_EQ(ecru_stop(), 0);
}

// ---- goroutines of other hosts -------------------------------------------------------------------------------------------

typedef struct remote { pthread_t thread; ecru_host *host; ecru_chan *ready, *stop; } remote;
static void *serve_as_host(void *argument) {
  remote *r = argument;
  enter();
  r->host = ecru_host_here();
  CHECK_EQ(ecru_chan_send(r->ready, NULL), 0);
  CHECK_EQ(ecru_chan_recv(r->stop, NULL), 0);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  return NULL;
}
static void begin_remote(remote *r) {
  *r = (remote){.ready = signals(), .stop = signals()};
  CHECK_EQ(pthread_create(&r->thread, NULL, serve_as_host, r), 0);
  await(r->ready, 1);
}
static void end_remote(remote *r) {
  CHECK_EQ(ecru_chan_send(r->stop, NULL), 0);
  CHECK_EQ(pthread_join(r->thread, NULL), 0);
  ecru_chan_release(r->ready);
  ecru_chan_release(r->stop);
}
static void go_there(remote *r, const char *name, ecru_fn fn, void *argument) { // a name: at once with a stack
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_HOSTED;
  options.name = name;
  options.host = r->host;
  CHECK_EQ(ecru_go_with(&options, fn, argument), 0);
}

static void start_there(void *argument) {
  remote *r = argument;
  CHECK(!pthread_equal(pthread_self(), r->thread));
  home = r->thread;
  for (int i = 0; i < 10; i++) go_there(r, i % 2 ? "named" : NULL, say_here, r->ready);
}
TEST(host, others_start_goroutines_on_it) { // G15
  remote r;
  begin_remote(&r);
  start_there(&r); // a plain thread
  await(r.ready, 10);
  go(start_there, &r); // a goroutine of ecru's
  await(r.ready, 10);
  enter();
  go_hosted(start_there, &r); // another host's
  await(r.ready, 10);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_host_count(), 0);
  leave();
  end_remote(&r);
}

static int answer(void *unused, void **result) {
  *result = unused;
  return ecru_yield();
}
TEST(host, tasks_of_another_host_are_joined_and_cancelled) { // G15, T1, K2
  remote r;
  begin_remote(&r);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_HOSTED;
  options.host = r.host;
  for (long i = 0; i < test_scaled(2000); i++) {
    ecru_task *task;
    void *result = NULL;
    int status = -1;
    CHECK_EQ(ecru_spawn_with(&task, &options, answer, &r), 0);
    bool cancelled = (i & 1) != 0;
    if (cancelled) CHECK_EQ(ecru_task_cancel(task, 0), 0);
    CHECK_EQ(ecru_task_join(task, &status, &result), 0);
    CHECK(status == 0 || (cancelled && status == ECRU_ECANCELED));
    CHECK(result == &r);
    ecru_task_release(task);
  }
  end_remote(&r);
}

static void hand_to_and_fro(void *argument) {
  remote *r = argument;
  CHECK(pthread_equal(pthread_self(), r->thread));
  finish(r->ready);
}
static void *flood(void *argument) {
  for (long i = 0; i < test_scaled(3000); i++) go_there(argument, i % 7 ? NULL : "named", hand_to_and_fro, argument);
  return NULL;
}
TEST(host, many_start_goroutines_on_one_at_once) { // G15
  enum { THREADS = 3 };
  remote r;
  pthread_t threads[THREADS];
  begin_remote(&r);
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, flood, &r), 0);
  await(r.ready, (int)(THREADS * test_scaled(3000)));
  for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
  end_remote(&r);
}

static void hold_deadline(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_chan_recv(NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
TEST(host, tokens_reach_its_goroutines) { // G15, K2
  ecru_token *token;
  enter();
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  for (int i = 0; i < 10; i++) go_hosted(hold_deadline, NULL);
  CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  ecru_token_release(token);
}

// ---- the others' business with a host --------------------------------------------------------------------------------------------

static void *wait_as_host(void *unused) {
  enter();
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  leave();
  return unused;
}
TEST(host, the_root_token_reaches_the_first) { // G15, K2
  enum { HOSTS = 3 };
  pthread_t threads[HOSTS];
  for (int i = 0; i < HOSTS; i++) threads[i] = start_thread(wait_as_host, NULL);
  UNTIL(atomic_load(&ecru__sched.foreign_parked) == HOSTS);
  CHECK_EQ(ecru_token_cancel(ecru_token_root(), 0), 0);
  for (int i = 0; i < HOSTS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static _Atomic int let_go;
static void wait_for_deadline(void *token) {
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  atomic_store(&let_go, 1);
}
TEST(host, a_deadline_it_has_set_reaches_others_though_it_computes) { // G15, K2
  ecru_token *token;
  enter();
  CHECK_EQ(ecru_token_create(&token, NULL, ecru_after(20 * ECRU_MILLISECOND)), 0);
  go(wait_for_deadline, token);
  SPIN_UNTIL(atomic_load(&let_go));
  leave();
  ecru_token_release(token);
}

TEST(host, a_signal_ends_the_wait_whatever_its_handler_wants_restarted) { // G15
  struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  pthread_t self = pthread_self(), other;
  ecru_chan *never = signals();
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  enter_with_hooks();
  CHECK_EQ(pthread_create(&other, NULL, signal_soon, &self), 0);
  CHECK_EQ(ecru_chan_recv(never, NULL), ECRU_EINTR);
  woken = 1;
  CHECK_EQ(pthread_join(other, NULL), 0);
  leave();
  ecru_chan_release(never);
}

TEST(host, the_runtime_does_not_stop_under_it) { // G15, G13
  ecru_chan *done = signals();
  CHECK_EQ(ecru_start(NULL), 0);
  pthread_t thread = start_thread(wait_as_host, NULL);
  UNTIL(atomic_load(&ecru__sched.foreign_parked) == 1);
  CHECK_EQ(ecru_stop(), ECRU_EBUSY);
  go(finish, done); // nothing has happened
  await(done, 1);
  CHECK_EQ(ecru_token_cancel(ecru_token_root(), 0), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(done);
}

static void wait_here(void *chan) { CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED); }
static ecru_counters seen_by_hosted;
static void look_at_counters(void *unused) {
  (void)unused;
  seen_by_hosted = counters_now();
}
TEST(host, counters_know_its_goroutines) { // G15, D4
  enum { PARKED = 700 }; // more than a ring holds
  ecru_chan *here = signals();
  enter();
  for (int i = 0; i < PARKED; i++) go_hosted(wait_here, here);
  go_hosted(look_at_counters, NULL);
  while (seen_by_hosted.goroutines == 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(seen_by_hosted.running, 1);
  CHECK_EQ(seen_by_hosted.goroutines, PARKED + 1);
  while (counters_now().waiting != PARKED) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_chan_close(here), 0);
  CHECK_EQ(counters_now().runnable, PARKED);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(counters_now().goroutines, 0);
  leave();
  ecru_chan_release(here);
}

static void wait_on(void *chan) { CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED); }
static void *host_a_parked_one(void *chan) {
  enter();
  CHECK_EQ(ecru_set_name("kernel"), 0);
  go_hosted(wait_on, chan);
  CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED);
  while (ecru_host_count() > 0) CHECK_EQ(ecru_yield(), 0);
  leave();
  return NULL;
}
TEST(host, dumps_tell_of_it) { // G15, D2
  ecru_chan *chan = signals();
  enter();
  char *text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, ", a host: goroutine ");
  check_has(text, " \"host\" [running]\n");
  free(text);
  leave();
  pthread_t thread = start_thread(host_a_parked_one, chan);
  UNTIL(atomic_load(&ecru__sched.foreign_parked) == 1);
  text = dump_taken(ECRU_DUMP_TEXT);
  check_has(text, " \"kernel\" [chan receive] for ");
  check_has(text, ", hosted by thread ");
  free(text);
  text = dump_taken(ECRU_DUMP_JSON);
  check_json(text);
  check_has(text, ",\"host\":");
  check_has(text, ",\"name\":\"kernel\",\"state\":\"waiting\",\"reason\":\"chan receive\"");
  check_has(text, ",\"host_thread\":");
  free(text);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru_chan_release(chan);
}
