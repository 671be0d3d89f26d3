// tests/death/io.c: no false alarm (D1) while somebody waits for a descriptor, but one when nobody does.
#include "tests/goroutines.h"
#include "tests/strangers.h"
#include "tests/test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONG_ENOUGH_MS = 400 }; // an alarm would come after some 30 ms, at the latest one second later

/// Another process, so that no thread of this one could wake anybody: writes a byte after a while.
static pid_t write_later(int descriptor) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child > 0) return child;
  struct timespec nap = {0, LONG_ENOUGH_MS * 1000000L};
  nanosleep(&nap, NULL);
  _exit(write(descriptor, "x", 1) == 1 ? 0 : 1);
}
static void expect_child(pid_t child) {
  int status;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
}

static int both[2];
static ecru_io *io;
static void read_byte(void *unused) {
  (void)unused;
  char byte;
  CHECK_EQ(ecru_io_adopt(&io, both[0], 0), 0);
  CHECK_EQ(ecru_io_read(io, &byte, 1), 1);
  ecru_io_release(io);
}
static void wait_foreign(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_IO_READ);
}
static void select_read(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_io_adopt(&io, both[0], 0), 0);
  ecru_case one = {ECRU_CASE_READ, 0, io, NULL};
  CHECK_EQ(ecru_select(&one, 1, 0), 0);
  ecru_io_release(io);
}
/// The others wait for the one that waits for the descriptor.
static ecru_chan *chan;
static void receive(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_chan_recv(chan, NULL), ECRU_ECLOSED);
}
static void read_and_close(void *unused) {
  CHECK_EQ(ecru_chan_create(&chan, 0, 0), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_go(receive, NULL), 0);
  read_byte(unused);
  CHECK_EQ(ecru_chan_close(chan), 0);
  UNTIL(counters_now().goroutines == 1); // the end of the first cancels those who have not come to it yet
}

static void no_alarm(ecru_fn fn) {
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
  pid_t child = write_later(both[1]);
  CHECK_EQ(ecru_run(fn, NULL), 0);
  expect_child(child);
}
TEST(deadlock_io, none_while_a_goroutine_reads) { no_alarm(read_byte); }                    // D1
TEST(deadlock_io, none_while_a_foreign_descriptor_is_waited_for) { no_alarm(wait_foreign); } // D1, I7
TEST(deadlock_io, none_while_a_select_waits_for_a_descriptor) { no_alarm(select_read); }     // D1, S1
TEST(deadlock_io, none_while_others_wait_for_the_reader) { no_alarm(read_and_close); }       // D1
TEST(deadlock_io, none_while_a_thread_reads) { // D1, G10
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
  pid_t child = write_later(both[1]);
  read_byte(NULL);
  expect_child(child);
}

static void dial_nobody(void *unused) {
  (void)unused;
  ecru_io *listener = NULL, *dialled = NULL;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  options.backlog = 1;
  CHECK_EQ(ecru_listen_with(&options, &listener, "unix", "@ecru-death"), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_dial(&io, "unix", "@ecru-death"), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(LONG_ENOUGH_MS * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_dial(&dialled, "unix", "@ecru-death"), ECRU_ETIMEDOUT); // tried again by the clock
  CHECK_EQ(ecru_token_leave(), 0);
}
TEST(deadlock_io, none_while_a_dial_is_repeated) { CHECK_EQ(ecru_run(dial_nobody, NULL), 0); } // D1, I4

// ---- the alarm comes ------------------------------------------------------------------------------------------------------------

static void stuck_beside_idle_handles(void *unused) {
  (void)unused;
  ecru_io *a, *b, *listener;
  char byte;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  CHECK_EQ(ecru_listen(&listener, "tcp", "127.0.0.1:0"), 0);
  CHECK_EQ(ecru_io_write(a, "x", 1, NULL), 1);
  CHECK_EQ(ecru_io_read(b, &byte, 1), 1);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_read(b, &byte, 1), ECRU_ETIMEDOUT); // is registered with the poller, but nobody waits any more
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_chan_create(&chan, 0, 0), 0);
  ecru_chan_recv(chan, NULL);
}
static void run_stuck(void) { ecru_run(stuck_beside_idle_handles, NULL); }
TEST(deadlock_io, handles_nobody_waits_for_do_not_hide_it) { // D1
  only_where_no_strangers_are();
  test_death(run_stuck, 2, "ecru: all goroutines are asleep: deadlock\n");
  test_death(run_stuck, 2, "[chan receive]");
}

static void read_then_stick(void *unused) {
  read_byte(unused);
  CHECK_EQ(ecru_chan_create(&chan, 0, 0), 0);
  ecru_chan_recv(chan, NULL);
}
static void run_read_then_stick(void) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, both) != 0) return;
  write_later(both[1]);
  ecru_run(read_then_stick, NULL);
}
TEST(deadlock_io, it_comes_once_the_last_reader_is_done) { // D1
  only_where_no_strangers_are();
  test_death(run_read_then_stick, 2, "deadlock");
}
