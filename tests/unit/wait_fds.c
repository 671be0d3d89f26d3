// Waiting for foreign descriptors: several at once, with a deadline, while they are closed (I7).
#include "tests/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int ends[2];
static int result;

static void open_pipe(void) { CHECK_EQ(pipe(ends), 0); }
static void close_pipe(void) { close(ends[0]), close(ends[1]); }
static void write_a_byte(void *argument) { CHECK_EQ(write(*(int *)argument, "x", 1), 1); }

static void first_of_many(void *unused) {
  enum { MANY = 50 };
  (void)unused;
  int pairs[MANY][2];
  ecru_fd_event events[MANY + 1];
  for (int i = 0; i < MANY; i++) {
    CHECK_EQ(pipe(pairs[i]), 0);
    events[i] = (ecru_fd_event){pairs[i][0], ECRU_IO_READ, 77};
  }
  events[MANY] = (ecru_fd_event){-1, 0, 77}; // left out
  for (int i = 0; i < MANY; i += 7) {
    char byte;
    go(write_a_byte, &pairs[i][1]);
    CHECK_EQ(ecru_wait_fds(events, MANY + 1, ECRU_FOREVER), 1);
    for (int j = 0; j <= MANY; j++) CHECK_EQ(events[j].ready, j == i ? ECRU_IO_READ : 0);
    CHECK_EQ(read(pairs[i][0], &byte, 1), 1);
  }
  for (int i = 0; i < MANY; i++) close(pairs[i][0]), close(pairs[i][1]);
}
TEST(wait_fds, finds_the_one_that_is_ready) { with_procs(2, first_of_many); } // I7

static void both_directions(void *unused) {
  (void)unused;
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ecru_fd_event events[] = {{ends[0], ECRU_IO_READ, 0}, {ends[0], ECRU_IO_READ | ECRU_IO_WRITE, 0}, {ends[1], ECRU_IO_WRITE, 0}};
  CHECK_EQ(ecru_wait_fds(events, 3, ECRU_FOREVER), 2);
  CHECK_EQ(events[0].ready, 0);
  CHECK_EQ(events[1].ready, ECRU_IO_WRITE);
  CHECK_EQ(events[2].ready, ECRU_IO_WRITE);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_EQ(ecru_wait_fds(events, 3, ECRU_FOREVER), 3);
  CHECK_EQ(events[1].ready, ECRU_IO_READ | ECRU_IO_WRITE);
  close_pipe();
}
TEST(wait_fds, tells_all_that_are_ready_and_how) { with_procs(1, both_directions); } // I7

static void one_direction_of_two(void *unused) {
  (void)unused;
  open_pipe(); // its reading end has never room
  for (int i = 0; i < 3; i++) {
    char byte;
    ecru_fd_event event = {ends[0], ECRU_IO_READ | ECRU_IO_WRITE, 0};
    go(write_a_byte, &ends[1]);
    if (i == 0) CHECK_EQ(ecru_wait_fd(ends[0], ECRU_IO_READ | ECRU_IO_WRITE), ECRU_IO_READ);
    CHECK_EQ(ecru_wait_fds(&event, 1, ECRU_FOREVER), 1);
    CHECK_EQ(event.ready, ECRU_IO_READ);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
  }
  close_pipe();
}
TEST(wait_fds, either_direction_ends_a_wait_for_both) { with_procs(1, one_direction_of_two); } // I7

static void in_time(void *unused) {
  (void)unused;
  open_pipe();
  ecru_fd_event event = {ends[0], ECRU_IO_READ, 0};
  CHECK_EQ(ecru_wait_fds(&event, 1, 0), 0);
  int64_t begin = ecru_now();
  CHECK_EQ(ecru_wait_fds(&event, 1, ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK(ecru_now() - begin >= 5 * ECRU_MILLISECOND);
  CHECK_EQ(ecru_wait_fds(NULL, 0, ecru_after(ECRU_MILLISECOND)), 0); // a sleep
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_wait_fds(&event, 1, ecru_after(60 * ECRU_SECOND)), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  close_pipe();
}
TEST(wait_fds, ends_at_the_deadline_or_the_tokens) { with_procs(1, in_time); } // I7, K2

static void wrong(void *unused) {
  (void)unused;
  open_pipe();
  int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ecru_fd_event events[] = {{ends[0], ECRU_IO_READ, 0}, {file, ECRU_IO_READ, 0}};
  CHECK_EQ(ecru_wait_fds(events, 2, ECRU_FOREVER), 1);
  CHECK_EQ(events[1].ready, ECRU_IO_READ);
  close(file);
  close_pipe();
  CHECK_EQ(ecru_wait_fds(events, 2, ECRU_FOREVER), ECRU_EBADF);
  events[0].wanted = 0;
  CHECK_EQ(ecru_wait_fds(events, 1, ECRU_FOREVER), ECRU_EINVAL);
  events[0].wanted = 4;
  CHECK_EQ(ecru_wait_fds(events, 1, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_wait_fds(NULL, 1, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_wait_fds(events, 40000, ECRU_FOREVER), ECRU_EINVAL);
}
TEST(wait_fds, refuses_what_it_must) { with_procs(1, wrong); } // I7

static void wait_one(void *done) {
  result = ecru_wait_fd(ends[0], ECRU_IO_READ);
  finish(done);
}
static void wait_several(void *done) {
  ecru_fd_event events[] = {{ends[0], ECRU_IO_READ, 0}, {-1, 0, 0}};
  result = ecru_wait_fds(events, 2, ecru_after(60 * ECRU_SECOND));
  finish(done);
}

static void forgotten(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  CHECK_EQ(ecru_forget_fd(123456), 0);
  CHECK_EQ(ecru_forget_fd(-1), 0);
  for (int i = 0; i < 20; i++) { // the numbers are reused
    open_pipe();
    go(i % 2 ? wait_several : wait_one, done);
    await_parked(1, i % 2 ? "select" : "io wait"); // not by the counters: who is about to run counts as waiting for a moment
    CHECK_EQ(ecru_forget_fd(ends[0]), 0);
    await(done, 1);
    CHECK_EQ(result, ECRU_EBADF);
    go(i % 2 ? wait_several : wait_one, done); // the descriptor is as good as ever until it is closed
    await_parked(1, i % 2 ? "select" : "io wait");
    write_a_byte(&ends[1]);
    await(done, 1);
    CHECK_EQ(result, 1);
    CHECK_EQ(ecru_forget_fd(ends[0]), 0);
    close_pipe();
  }
  ecru_chan_release(done);
}
TEST(wait_fds, a_closed_descriptor_is_left) { with_procs(2, forgotten); } // I7, I3

static void taken_over(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  open_pipe();
  go(wait_one, done);
  await_parked(1, "io wait");
  int number = ends[0];
  close(ends[0]); // unnoticed
  ecru_io *a, *b;
  CHECK_EQ(ecru_pipe(&a, &b), 0); // gets the number
  CHECK_EQ(ecru_io_descriptor(a), number);
  await(done, 1);
  CHECK_EQ(result, ECRU_EBADF);
  CHECK_EQ(ecru_io_write(b, "x", 1, NULL), 1); // and it is still open
  char byte;
  CHECK_EQ(ecru_io_read(a, &byte, 1), 1);
  ecru_io_release(a);
  ecru_io_release(b);
  close(ends[1]);
  ecru_chan_release(done);
}
TEST(wait_fds, a_number_that_ecru_gets_is_no_longer_waited_for) { with_procs(2, taken_over); } // I7, I3

static void urgent(void *unused) {
  (void)unused;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof address;
  CHECK_EQ(bind(listener, (struct sockaddr *)&address, bytes), 0);
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(ends[0], (struct sockaddr *)&address, bytes), 0);
  ends[1] = accept(listener, NULL, NULL);
  CHECK_EQ(send(ends[1], "!", 1, MSG_OOB), 1);
  ecru_fd_event event = {ends[0], ECRU_IO_READ, 0};
  CHECK_EQ(ecru_wait_fds(&event, 1, ecru_after(5 * ECRU_MILLISECOND)), 0); // a read would still wait
  close_pipe();
  close(listener);
}
TEST(wait_fds, urgent_data_is_nothing_to_read) { with_procs(1, urgent); } // I7

static void nested(void *unused) {
  (void)unused;
  open_pipe();
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
  go(write_a_byte, &ends[1]);
  CHECK_EQ(ecru_wait_fd(epoll, ECRU_IO_READ), ECRU_IO_READ);
  CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
  close(epoll);
  close_pipe();
}
TEST(wait_fds, an_epoll_instance_can_be_waited_for) { with_procs(1, nested); } // I7

// ---- who may park ------------------------------------------------------------------------------------------------------

static void here(void *expected) { CHECK_EQ(ecru_can_park(), *(int *)expected); }
static void handler(int signal) { (void)signal, result = ecru_can_park(); }

static void who_may_park(void *unused) {
  (void)unused;
  int yes = 1, no = 0;
  here(&yes);
  CHECK_EQ(ecru_blocking(here, &no), 0);
  here(&yes);
  CHECK_EQ(ecru_on_thread_stack(here, &no), 0);
  here(&yes);
  CHECK_EQ(ecru_pin(), 0);
  here(&yes);
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK}, before;
  CHECK_EQ(sigaction(SIGUSR1, &action, &before), 0);
  CHECK_EQ(raise(SIGUSR1), 0); // workers have a signal stack
  CHECK_EQ(result, 0);
  CHECK_EQ(sigaction(SIGUSR1, &before, NULL), 0);
  CHECK_EQ(ecru_unpin(), 0);
}
static void *in_thread(void *unused) {
  CHECK_EQ(ecru_can_park(), 0);
  return unused;
}
static void on_own_thread(void *done) {
  CHECK_EQ(ecru_can_park(), 0);
  finish(done);
}
static void everywhere(void *unused) {
  ecru_chan *done = signals();
  who_may_park(unused);
  join_thread(start_thread(in_thread, NULL));
  go_flagged(ECRU_OWN_THREAD, on_own_thread, done);
  await(done, 1);
  ecru_chan_release(done);
}
TEST(wait_fds, only_a_goroutine_on_a_shared_thread_may_park) { // G10
  CHECK_EQ(ecru_can_park(), 0);
  with_procs(1, everywhere);
}

static _Atomic int waiting_for_processor;
static void lose_processor(void *done) {
  long thread = thread_here();
  atomic_store(&waiting_for_processor, 1);
  SPIN_UNTIL(atomic_load(&waiting_for_processor) == 2); // the monitor gives our processor to who sets it
  CHECK_EQ(ecru_pin(), 0);
  CHECK_EQ(thread_here(), thread);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(thread_here(), thread);
  CHECK_EQ(ecru_unpin(), 0);
  CHECK_EQ(thread_here(), thread);
  finish(done);
}
static void pin_without_processor(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  for (int i = 0; i < 5; i++) {
    atomic_store(&waiting_for_processor, 0);
    go(lose_processor, done);
    UNTIL(atomic_load(&waiting_for_processor) == 1);
    atomic_store(&waiting_for_processor, 2);
    await(done, 1);
  }
  ecru_chan_release(done);
}
TEST(wait_fds, pinning_holds_from_the_call_on_even_without_a_processor) { with_procs(1, pin_without_processor); } // G10
