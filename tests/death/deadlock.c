// tests/death/deadlock.c: the report of D1, and that it never comes when somebody could still wake a goroutine.
#include "tests/strangers.h"
#include "tests/test.h"

#include <ecru/ecru.h>
#include <ecru/debug.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_ENOUGH_MS = 400 }; // an alarm would come after some 30 ms, at the latest one second later

static ecru_chan *channel(void) {
  ecru_chan *chan;
  CHECK_EQ(ecru_chan_create(&chan, sizeof(int), 0), 0);
  return chan;
}

static void receive(void *chan) {
  int value;
  ecru_chan_recv(chan, &value);
}

static void send_one(void *chan) {
  int value = 1;
  ecru_chan_send(chan, &value);
}

// ---- the alarm comes ----------------------------------------------------------------------------------------------

static void main_receives(void *unused) {
  (void)unused;
  receive(channel());
}

static void run_until_stuck(void) { ecru_run(main_receives, NULL); }

TEST(deadlock, one_goroutine_on_a_channel) { // D1
  only_where_no_strangers_are();
  test_death(run_until_stuck, 2, "ecru: all goroutines are asleep: deadlock\n");
  test_death(run_until_stuck, 2, "[chan receive]");
  test_death(run_until_stuck, 2, "main_receives");
}

static void main_sends(void *unused) {
  (void)unused;
  ecru_chan *chan = channel();
  for (int i = 0; i < 3; i++) ecru_go(send_one, chan);
  send_one(chan);
}

static void senders_only(void) { ecru_run(main_sends, NULL); }

TEST(deadlock, senders_without_receiver_are_one_group) { // D1, D2
  only_where_no_strangers_are();
  test_death(senders_only, 2, "3 goroutines [chan send]:\n");
}

struct pair { ecru_mutex *first, *second; ecru_barrier *both; };

static void lock_both(void *argument) {
  struct pair *pair = argument;
  ecru_mutex_lock(pair->first);
  ecru_barrier_wait(pair->both);
  ecru_mutex_lock(pair->second);
}

static void main_locks(void *unused) {
  (void)unused;
  static struct pair one, other;
  ecru_mutex_create(&one.first);
  ecru_mutex_create(&one.second);
  ecru_barrier_create(&one.both, 2);
  other = (struct pair){one.second, one.first, one.both};
  ecru_go(lock_both, &one);
  lock_both(&other);
}

static void locks_in_two_orders(void) { ecru_run(main_locks, NULL); }

TEST(deadlock, mutexes_taken_in_two_orders) { // D1
  only_where_no_strangers_are();
  test_death(locks_in_two_orders, 2, "ecru: 2 goroutines: 0 running, 0 runnable, 2 waiting");
  test_death(locks_in_two_orders, 2, "[mutex]");
}

enum { RING = 5 };
struct station { ecru_chan *from, *to; };

static void pass(void *argument) {
  struct station *station = argument;
  receive(station->from);
  send_one(station->to);
}

static void main_makes_a_ring(void *unused) {
  (void)unused;
  static struct station stations[RING];
  for (int i = 0; i < RING; i++) stations[i].from = channel();
  for (int i = 0; i < RING; i++) {
    stations[i].to = stations[(i + 1) % RING].from;
    ecru_go(pass, &stations[i]);
  }
}

static void ring_without_a_start(void) {
  ecru_run(main_makes_a_ring, NULL);
}

static void ring_and_wait(void) {
  ecru_go(main_makes_a_ring, NULL);
  receive(channel());
}

TEST(deadlock, ring_in_which_each_waits_for_the_next) { // D1
  only_where_no_strangers_are();
  test_death(ring_and_wait, 2, "5 goroutines [chan receive]:\n");
}

TEST(deadlock, stopping_ends_a_ring_without_an_alarm) { // D1, G13
  only_where_no_strangers_are();
  ring_without_a_start(); // ecru_run cancels what its function leaves behind
}

static void main_thread_alone(void) { receive(channel()); }

TEST(deadlock, foreign_thread_waits_and_there_is_no_goroutine) { // D1
  only_where_no_strangers_are();
  test_death(main_thread_alone, 2, "foreign thread");
}

static void *thread_receives(void *chan) {
  receive(chan);
  return NULL;
}

static void two_foreign_threads(void) {
  ecru_chan *chan = channel();
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, thread_receives, chan), 0);
  ecru_go(receive, chan);
  receive(chan);
}

TEST(deadlock, all_foreign_threads_wait) { // D1
  only_where_no_strangers_are();
  test_death(two_foreign_threads, 2, "1 goroutine [chan receive]:\n");
}

static void *thread_ends(void *unused) {
  (void)unused;
  usleep(LONG_ENOUGH_MS * 1000);
  return NULL;
}

static void last_stranger_ends(void) {
  ecru_chan *chan = channel();
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, thread_ends, NULL), 0); // never calls ecru
  receive(chan);
}

TEST(deadlock, alarm_comes_when_the_last_unknown_thread_has_ended) { // D1
  only_where_no_strangers_are();
  test_death(last_stranger_ends, 2, "deadlock");
}

static void parks_late(void) {
  ecru_chan *chan = channel();
  ecru_go(receive, chan);
  usleep(LONG_ENOUGH_MS * 1000); // all of the runtime's threads are fast asleep by then
  receive(chan);
}

TEST(deadlock, alarm_comes_when_the_last_thread_parks_late) { // D1
  only_where_no_strangers_are();
  test_death(parks_late, 2, "deadlock");
}

static void own_thread_waits(void) {
  ecru_chan *chan = channel();
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  options.name = "hermit";
  ecru_go_with(&options, receive, chan);
  receive(chan);
}

TEST(deadlock, goroutine_with_its_own_thread_waits) { // D1, G10
  only_where_no_strangers_are();
  test_death(own_thread_waits, 2, "\"hermit\" for ");
}

// ---- the hook -----------------------------------------------------------------------------------------------------

static _Atomic int alarms;

static void close_it(void *chan) {
  atomic_fetch_add(&alarms, 1);
  CHECK_EQ(ecru_chan_close(chan), 0);
}

TEST(deadlock, hook_may_resolve_it) { // D1
  only_where_no_strangers_are();
  ecru_chan *chan = channel();
  CHECK_EQ(ecru_set_deadlock_hook(close_it, chan), 0);
  ecru_go(receive, chan);
  int value;
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECLOSED);
  CHECK_EQ(atomic_load(&alarms), 1);
  CHECK_EQ(ecru_set_deadlock_hook(NULL, NULL), 0);
  ecru_chan_release(chan);
}

static void *thread_resolves(void *chan) {
  while (atomic_load(&alarms) == 0) usleep(1000);
  usleep(LONG_ENOUGH_MS * 1000); // while this thread lives there is no further alarm, but the first must not be repeated
  ecru_chan_close(chan);
  return NULL;
}

static ecru_chan *stuck;

static void count_and_send_help(void *unused) {
  (void)unused;
  static pthread_t helper; // detached
  if (atomic_fetch_add(&alarms, 1) != 0) return;
  CHECK_EQ(pthread_create(&helper, NULL, thread_resolves, stuck), 0);
  CHECK_EQ(pthread_detach(helper), 0);
}

TEST(deadlock, hook_is_called_once_for_one_deadlock) { // D1
  only_where_no_strangers_are();
  stuck = channel();
  CHECK_EQ(ecru_set_deadlock_hook(count_and_send_help, NULL), 0);
  int value;
  CHECK_EQ(ecru_chan_recv(stuck, &value), ECRU_ECLOSED);
  CHECK_EQ(atomic_load(&alarms), 1);
  ecru_chan_release(stuck);
}

static void stop_it(void *unused) {
  (void)unused;
  ecru_stop();
  atomic_fetch_add(&alarms, 1);
}

TEST(deadlock, hook_may_stop_the_runtime) { // D1, G13
  only_where_no_strangers_are();
  CHECK_EQ(ecru_set_deadlock_hook(stop_it, NULL), 0);
  ecru_chan *chan = channel();
  int value;
  CHECK_EQ(ecru_chan_recv(chan, &value), ECRU_ECANCELED);
  while (atomic_load(&alarms) == 0) usleep(1000);
  ecru_chan_release(chan);
}

// ---- it does not come ---------------------------------------------------------------------------------------------

static void sleep_and_send(void *chan) {
  ecru_sleep(LONG_ENOUGH_MS * ECRU_MILLISECOND);
  send_one(chan);
}

TEST(deadlock, none_while_a_timer_is_armed) { // D1
  ecru_chan *chan = channel();
  CHECK_EQ(ecru_go(sleep_and_send, chan), 0);
  receive(chan);
  ecru_chan_release(chan);
}

static void *thread_sends_two(void *chan) {
  usleep(LONG_ENOUGH_MS * 1000);
  send_one(chan);
  send_one(chan);
  return NULL;
}

TEST(deadlock, none_while_a_foreign_thread_runs) { // D1
  ecru_chan *chan = channel();
  CHECK_EQ(ecru_go(receive, chan), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, thread_sends_two, chan), 0);
  receive(chan);
  pthread_join(thread, NULL);
  CHECK_EQ(ecru_stop(), 0);
  ecru_chan_release(chan);
}

static void block_and_send(void *chan) {
  usleep(LONG_ENOUGH_MS * 1000);
  send_one(chan);
}

TEST(deadlock, none_while_a_goroutine_blocks_undeclared) { // D1, G3
  ecru_chan *chan = channel();
  CHECK_EQ(ecru_go(block_and_send, chan), 0);
  receive(chan);
  ecru_chan_release(chan);
}

static void block(void *unused) {
  (void)unused;
  usleep(LONG_ENOUGH_MS * 1000);
}

static void block_declared_and_send(void *chan) {
  ecru_blocking(block, NULL);
  send_one(chan);
}

TEST(deadlock, none_while_a_goroutine_blocks_declared) { // D1, G3
  ecru_chan *chan = channel();
  CHECK_EQ(ecru_go(block_declared_and_send, chan), 0);
  receive(chan);
  ecru_chan_release(chan);
}

TEST(deadlock, none_while_a_goroutine_with_its_own_thread_blocks) { // D1, G10
  ecru_chan *chan = channel();
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  CHECK_EQ(ecru_go_with(&options, block_and_send, chan), 0);
  receive(chan);
  ecru_chan_release(chan);
}

static void count_up(void *counter) { ++*(volatile int *)counter; }

TEST(deadlock, none_when_nobody_waits) { // D1
  int count = 0;
  CHECK_EQ(ecru_go(count_up, &count), 0);
  usleep(LONG_ENOUGH_MS * 1000); // no goroutine is left and this thread is outside ecru
}
