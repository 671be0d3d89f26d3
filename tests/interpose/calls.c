// Each interposed call parks its goroutine, keeps it on its thread, and does what the C library's does.
#include "foreign.h"

#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>

static char data[16];
static void expect_again(ssize_t result) {
  int why = errno_here();
  CHECK_EQ(result, -1);
  CHECK_EQ(why, EAGAIN);
}
static void write_a_byte(void) { CHECK_EQ(write(ends[1], "x", 1), 1); }
static void write_three(void) { CHECK_EQ(write(ends[1], "abc", 3), 3); }

// ---- reading ---------------------------------------------------------------------------------------------------------------

static void call_read(void) { CHECK_EQ(read(ends[0], data, sizeof data), 3); }
static void call_readv(void) {
  struct iovec pieces[] = {{data, 1}, {data + 1, 1}, {data + 2, 10}};
  CHECK_EQ(readv(ends[0], pieces, 3), 3);
}
static void call_recv(void) { CHECK_EQ(recv(ends[0], data, sizeof data, 0), 3); }
static void call_recvfrom(void) { CHECK_EQ(recvfrom(ends[0], data, sizeof data, 0, NULL, NULL), 3); }
static void call_recvmsg(void) {
  struct iovec piece = {data, sizeof data};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  CHECK_EQ(recvmsg(ends[0], &message, 0), 3);
}
static void call_peek(void) {
  CHECK_EQ(recv(ends[0], data, sizeof data, MSG_PEEK), 3);
  CHECK_EQ(recv(ends[0], data, sizeof data, 0), 3);
}
ssize_t __read_chk(int descriptor, void *buffer, size_t bytes, size_t room);
ssize_t __recv_chk(int descriptor, void *buffer, size_t bytes, size_t room, int flags);
static void call_read_chk(void) { CHECK_EQ(__read_chk(ends[0], data, 8, sizeof data), 3); }
static void call_recv_chk(void) { CHECK_EQ(__recv_chk(ends[0], data, 8, sizeof data, 0), 3); }

static void reads(void (*open)(void), void (*call)(void)) {
  open();
  memset(data, 0, sizeof data);
  parks(call, write_three);
  CHECK_STR(data, "abc");
  close_ends();
}
static void open_stream(void) { open_sockets(SOCK_STREAM); }
static void open_datagram(void) { open_sockets(SOCK_DGRAM); }
static void open_tty(void) {
  ends[1] = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(ends[1] >= 0);
  CHECK_EQ(grantpt(ends[1]), 0);
  CHECK_EQ(unlockpt(ends[1]), 0);
  ends[0] = open(ptsname(ends[1]), O_RDWR | O_NOCTTY);
  CHECK(ends[0] >= 0);
}

static void reading(void *unused) {
  (void)unused;
  void (*opens[])(void) = {open_pipe, open_stream, open_datagram};
  void (*calls[])(void) = {call_read, call_readv, call_read_chk};
  for (int o = 0; o < 3; o++)
    for (int c = 0; c < 3; c++) reads(opens[o], calls[c]);
  void (*receives[])(void) = {call_recv, call_recvfrom, call_recvmsg, call_peek, call_recv_chk};
  for (int o = 1; o < 3; o++)
    for (int c = 0; c < 5; c++) reads(opens[o], receives[c]);
}
TEST(calls, reading_parks) { in_goroutine(reading); } // I7

static void type_a_line(void) { CHECK_EQ(write(ends[1], "ab\n", 3), 3); }
static void read_line(void) { CHECK_EQ(read(ends[0], data, sizeof data), 3); }
static void tty(void *unused) {
  (void)unused;
  open_tty();
  parks(read_line, type_a_line);
  close_ends();
}
TEST(calls, a_terminal_parks) { in_goroutine(tty); } // I7

static void read_counter(void) {
  uint64_t count;
  CHECK_EQ(read(ends[0], &count, sizeof count), sizeof count);
  CHECK_EQ(count, 7);
}
static void add_to_counter(void) {
  uint64_t seven = 7;
  CHECK_EQ(write(ends[0], &seven, sizeof seven), sizeof seven);
}
static void counter(void *unused) {
  (void)unused;
  ends[0] = eventfd(0, EFD_CLOEXEC);
  parks(read_counter, add_to_counter);
  close(ends[0]);
}
TEST(calls, an_eventfd_parks) { in_goroutine(counter); } // I7

static void read_end(void) { CHECK_EQ(read(ends[0], data, sizeof data), 0); }
static void close_writer(void) { close(ends[1]); }
static void end_of_input(void *unused) {
  (void)unused;
  open_pipe();
  parks(read_end, close_writer);
  close(ends[0]);
  open_stream();
  parks(read_end, close_writer);
  close(ends[0]);
}
TEST(calls, the_end_of_input_is_0) { in_goroutine(end_of_input); } // I1

static void read_file(void *unused) {
  (void)unused;
  char name[] = "/tmp/ecru-interpose-XXXXXX", text[100];
  int file = mkstemp(name);
  CHECK(file >= 0);
  unlink(name);
  CHECK_EQ(write(file, "hello, world", 12), 12);
  CHECK_EQ(read(file, text, sizeof text), 0);
  CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
  struct iovec pieces[] = {{text, 5}, {text + 5, 7}};
  CHECK_EQ(readv(file, pieces, 2), 12);
  CHECK(memcmp(text, "hello, world", 12) == 0);
  CHECK_EQ(writev(file, pieces, 2), 12);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 24);
  CHECK_EQ(close(file), 0);
}
TEST(calls, files_are_read_and_written_as_ever) { in_goroutine(read_file); } // I6

static void wait_for_all(void) {
  char bytes[6];
  CHECK_EQ(recv(ends[0], bytes, 6, MSG_WAITALL), 6);
  CHECK(memcmp(bytes, "abcabc", 6) == 0);
}
static void write_in_two(void) {
  write_three();
  for (int i = 0; i < 10; i++) ecru_yield(); // the receiver finds the first half, most often
  await_parked(1);
  write_three();
}
static void wait_for_all_until_the_end(void) { CHECK_EQ(recv(ends[0], data, 6, MSG_WAITALL), 3); }
static void write_and_close(void) {
  write_three();
  close(ends[1]);
}
static void waitall(void *unused) {
  (void)unused;
  open_stream();
  parks(wait_for_all, write_in_two);
  parks(wait_for_all_until_the_end, write_and_close);
  close(ends[0]);
}
TEST(calls, waitall_waits_for_all) { in_goroutine(waitall); } // I7

// ---- writing ---------------------------------------------------------------------------------------------------------------

enum { MUCH = 1 << 20 };
static char much[MUCH], arrived[MUCH];
static ssize_t (*write_much)(void);
static void call_write_much(void) { CHECK_EQ(write_much(), MUCH); }
static ssize_t by_write(void) { return write(ends[1], much, MUCH); }
static ssize_t by_send(void) { return send(ends[1], much, MUCH, MSG_NOSIGNAL); }
static ssize_t by_sendto(void) { return sendto(ends[1], much, MUCH, 0, NULL, 0); }
static size_t divide(struct iovec pieces[1000]) {
  for (size_t i = 0; i < 1000; i++) pieces[i] = (struct iovec){much + i * 1000, i < 999 ? 1000 : MUCH - 999000};
  return 1000;
}
static ssize_t by_writev(void) {
  static struct iovec pieces[1000];
  return writev(ends[1], pieces, (int)divide(pieces));
}
static ssize_t by_sendmsg(void) {
  static struct iovec pieces[1000];
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = divide(pieces)};
  return sendmsg(ends[1], &message, 0);
}
static void take_all(void) {
  for (size_t got = 0; got < MUCH;) {
    ssize_t more = read(ends[0], arrived + got, MUCH - got);
    CHECK(more > 0);
    got += (size_t)more;
  }
  CHECK(memcmp(much, arrived, MUCH) == 0);
}
static void writing(void *unused) {
  (void)unused;
  for (int i = 0; i < MUCH; i++) much[i] = (char)(i % 251);
  ssize_t (*calls[])(void) = {by_write, by_writev, by_send, by_sendto, by_sendmsg};
  for (int i = 0; i < 7; i++) {
    i < 5 ? open_stream() : open_pipe();
    write_much = calls[i % 5];
    memset(arrived, 0, MUCH);
    parks(call_write_much, take_all);
    close_ends();
  }
}
TEST(calls, writing_parks_and_writes_all) { in_goroutine(writing); } // I7

static void write_to_nobody(void) {
  CHECK_EQ(write(ends[1], much, MUCH), -1);
  CHECK_EQ(errno_here(), EPIPE);
}
static void broken_pipe(void *unused) {
  (void)unused;
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  for (int i = 0; i < 2; i++) {
    i ? open_stream() : open_pipe();
    close(ends[0]);
    write_to_nobody();
    close(ends[1]);
  }
}
TEST(calls, a_broken_pipe_is_told) { in_goroutine(broken_pipe); } // I1

// ---- several messages, and from descriptor to descriptor -------------------------------------------------------------------

static struct iovec slots[4];
static struct mmsghdr messages[4];
static struct mmsghdr *prepare(size_t bytes, char *from) {
  for (int i = 0; i < 4; i++) {
    slots[i] = (struct iovec){from + bytes * (size_t)i, bytes};
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &slots[i], .msg_iovlen = 1}};
  }
  return messages;
}
static void receive_three(void) {
  CHECK_EQ(recvmmsg(ends[0], prepare(4, data), 3, 0, NULL), 3);
  for (int i = 0; i < 3; i++) CHECK_EQ(messages[i].msg_len, 3);
}
static void receive_one(void) { CHECK_EQ(recvmmsg(ends[0], prepare(4, data), 3, MSG_WAITFORONE, NULL), 1); }
static void receive_in_no_time(void) { // the time is looked at after a message
  struct timespec none = {0, 1};
  CHECK_EQ(recvmmsg(ends[0], prepare(4, data), 3, 0, &none), 1);
  CHECK_EQ(none.tv_sec + none.tv_nsec, 0);
}
static void write_three_times(void) {
  write_three();
  for (int i = 0; i < 10; i++) ecru_yield();
  await_parked(1);
  write_three();
  write_three();
}
static void send_much_in_four(void) {
  CHECK_EQ(sendmmsg(ends[1], prepare(MUCH / 4, much), 4, 0), 4);
  for (int i = 0; i < 4; i++) CHECK_EQ(messages[i].msg_len, MUCH / 4);
}
static void send_many_datagrams(void) {
  for (int sent = 0; sent < 4000; sent += 4) CHECK_EQ(sendmmsg(ends[1], prepare(100, much), 4, 0), 4);
}
static void take_datagrams(void) {
  for (int i = 0; i < 4000; i++) CHECK_EQ(read(ends[0], arrived, sizeof arrived), 100);
}
static void several(void *unused) {
  (void)unused;
  open_datagram();
  parks(receive_three, write_three_times);
  parks(receive_one, write_three);
  parks(receive_in_no_time, write_three);
  CHECK_EQ(recvmmsg(ends[0], prepare(4, data), 0, 0, NULL), 0);
  expect_again(recvmmsg(ends[0], prepare(4, data), 3, MSG_DONTWAIT, NULL));
  parks(send_many_datagrams, take_datagrams);
  CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  expect_again(recvmmsg(ends[0], prepare(4, data), 3, 0, NULL));
  close_ends();
  open_stream();
  for (int i = 0; i < MUCH; i++) much[i] = (char)(i % 249);
  parks(send_much_in_four, take_all);
  close(ends[0]);
  CHECK_EQ(sendmmsg(ends[1], prepare(4, much), 4, MSG_NOSIGNAL), -1);
  CHECK_EQ(errno_here(), EPIPE);
  close(ends[1]);
}
TEST(calls, several_messages_park) { in_goroutine(several); } // I7

static int file;
static void send_file(void) {
  off_t at = 0;
  CHECK_EQ(sendfile(ends[1], file, &at, MUCH + 1000), MUCH); // all there is
  CHECK_EQ(at, MUCH);
}
static void send_file_64(void) {
  CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
  CHECK_EQ(sendfile64(ends[1], file, NULL, MUCH), MUCH);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), MUCH);
}
static void splice_into_file(void) { CHECK_EQ(splice(ends[0], NULL, file, NULL, 100, 0), 3); }
static void splice_file(void) {
  off64_t at = 0;
  while (at < MUCH) CHECK(splice(file, &at, ends[1], NULL, (size_t)(MUCH - at), 0) > 0);
}
static void moving(void *unused) {
  (void)unused;
  char name[] = "/tmp/ecru-interpose-XXXXXX";
  file = mkstemp(name);
  CHECK(file >= 0);
  unlink(name);
  for (int i = 0; i < MUCH; i++) much[i] = (char)(i % 247);
  CHECK_EQ(write(file, much, MUCH), MUCH);
  void (*calls[])(void) = {send_file, send_file_64, splice_file};
  for (int i = 0; i < 3; i++) {
    i < 2 ? open_stream() : open_pipe();
    memset(arrived, 0, MUCH);
    parks(calls[i], take_all);
    close_ends();
  }
  open_stream();
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  off_t at = 0;
  CHECK(sendfile(ends[1], file, &at, MUCH) < MUCH); // what there was room for
  expect_again(sendfile(ends[1], file, &at, MUCH));
  close_ends();
  open_pipe();
  expect_again(splice(ends[0], NULL, file, NULL, 100, SPLICE_F_NONBLOCK));
  parks(splice_into_file, write_three);
  close_ends(), close(file);
}
TEST(calls, moving_bytes_between_descriptors_parks) { in_goroutine(moving); } // I7

// ---- modes -----------------------------------------------------------------------------------------------------------------

static void modes(void *unused) {
  (void)unused;
  int one = 1;
  for (int i = 0; i < 4; i++) {
    i % 2 ? open_stream() : open_pipe();
    if (i < 2) CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    else CHECK_EQ(ioctl(ends[0], FIONBIO, &one), 0);
    expect_again(read(ends[0], data, 1));
    int copy = dup(ends[0]);
    expect_again(read(copy, data, 1));
    close(copy);
    CHECK_EQ(dup2(ends[0], copy), copy);
    expect_again(read(copy, data, 1));
    CHECK_EQ(fcntl(copy, F_SETFL, 0), 0); // the mode belongs to what both stand for
    parks(call_read, write_three);
    close(copy);
    close_ends();
  }
  open_stream();
  expect_again(recv(ends[0], data, 1, MSG_DONTWAIT));
  ssize_t sent, all = 0;
  while ((sent = send(ends[1], much, MUCH, MSG_DONTWAIT)) > 0) all += sent;
  expect_again(sent);
  CHECK(all < MUCH);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
  CHECK_EQ(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
  close_ends();
  open_stream();
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  CHECK(write(ends[1], much, MUCH) < MUCH); // what there is room for
  expect_again(write(ends[1], much, MUCH));
  close_ends();
  struct sockaddr_in address;
  int listener = listen_on_loopback(1, &address);
  CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
  expect_again(accept(listener, NULL, NULL));
  close(listener);
}
TEST(calls, modes_are_the_systems_and_stay_as_they_are) { in_goroutine(modes); } // I7

static void patience(void *unused) {
  (void)unused;
  struct timeval little = {0, 20000};
  open_stream();
  CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little), 0);
  CHECK_EQ(setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &little, sizeof little), 0);
  int64_t begin = wall_ns();
  expect_again(read(ends[0], data, 1));
  CHECK(wall_ns() - begin >= 20 * ECRU_MILLISECOND);
  ssize_t sent = send(ends[1], much, MUCH, 0);
  CHECK(sent > 0 && sent < MUCH); // what had been written when its time was up
  expect_again(send(ends[1], much, MUCH, 0));
  close_ends();
}
TEST(calls, socket_timeouts_are_kept) { in_goroutine(patience); } // I7

// ---- connections -------------------------------------------------------------------------------------------------------------

static struct sockaddr_in where;
static int listener, accepted;
static void call_accept(void) {
  struct sockaddr_in peer;
  socklen_t bytes = sizeof peer;
  accepted = accept(listener, (struct sockaddr *)&peer, &bytes);
  CHECK(accepted >= 0);
  CHECK_EQ(bytes, sizeof peer);
  CHECK_EQ(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0);
}
static void call_accept4(void) {
  accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  CHECK(accepted >= 0);
  CHECK_EQ(fcntl(accepted, F_GETFD), FD_CLOEXEC);
}
static void call_connect(void) {
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(ends[0], (struct sockaddr *)&where, sizeof where), 0);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
}
static void connecting(void *unused) {
  (void)unused;
  listener = listen_on_loopback(10, &where);
  for (int i = 0; i < 4; i++) {
    parks(i % 2 ? call_accept : call_accept4, call_connect);
    CHECK_EQ(write(ends[0], "x", 1), 1);
    CHECK_EQ(read(accepted, data, 1), 1);
    CHECK_EQ(connect(ends[0], (struct sockaddr *)&where, sizeof where), -1);
    CHECK_EQ(errno_here(), EISCONN);
    close(ends[0]), close(accepted);
  }
  close(listener);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(ends[0], (struct sockaddr *)&where, sizeof where), -1);
  CHECK_EQ(errno_here(), ECONNREFUSED);
  close(ends[0]);
}
TEST(calls, connections_are_made_and_accepted) { in_goroutine(connecting); } // I7

/// A listener whose queue is full drops what comes: who connects waits until somebody accepts.
static void accept_two(void) {
  for (int i = 0; i < 2; i++) close(accept(listener, NULL, NULL));
}
static void full_queue(void *unused) {
  (void)unused;
  listener = listen_on_loopback(0, &where);
  int first = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(first, (struct sockaddr *)&where, sizeof where), 0);
  parks(call_connect, accept_two);
  close(ends[0]), close(first), close(listener);
}
TEST(calls, a_slow_connect_parks) { in_goroutine(full_queue); } // I7

static struct sockaddr_un path = {.sun_family = AF_UNIX};
static void connect_to_path(void) {
  ends[0] = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_EQ(connect(ends[0], (struct sockaddr *)&path, sizeof path), 0);
}
static void full_unix_queue(void *unused) {
  (void)unused;
  snprintf(path.sun_path + 1, sizeof path.sun_path - 1, "ecru-interpose-%ld", (long)getpid()); // abstract
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, (struct sockaddr *)&path, sizeof path), 0);
  CHECK_EQ(listen(listener, 0), 0);
  connect_to_path();
  int first = ends[0];
  parks(connect_to_path, accept_two);
  close(ends[0]), close(first), close(listener);
}
TEST(calls, connecting_to_a_full_unix_queue_parks) { in_goroutine(full_unix_queue); } // I7

static _Atomic int served;
static void accept_one(void *ended) {
  int mine = accept(listener, NULL, NULL);
  CHECK(mine >= 0);
  close(mine);
  atomic_fetch_add(&served, 1);
  finish(ended);
}
static void many_acceptors(void *unused) {
  enum { MANY = 20 };
  (void)unused;
  listener = listen_on_loopback(MANY, &where);
  ecru_chan *ended = signals();
  for (int i = 0; i < MANY; i++) go(accept_one, ended);
  await_parked(MANY);
  for (int i = 0; i < MANY; i++) {
    call_connect();
    close(ends[0]);
  }
  await(ended, MANY);
  CHECK_EQ(atomic_load(&served), MANY);
  ecru_chan_release(ended);
  close(listener);
}
TEST(calls, many_accept_from_one_listener) { in_goroutine(many_acceptors); } // I5

static void datagrams(void *unused) {
  (void)unused;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
  socklen_t bytes = sizeof a;
  ends[0] = socket(AF_INET, SOCK_DGRAM, 0), ends[1] = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK_EQ(bind(ends[0], (struct sockaddr *)&a, bytes), 0);
  CHECK_EQ(getsockname(ends[0], (struct sockaddr *)&a, &bytes), 0);
  CHECK_EQ(sendto(ends[1], "hello", 5, 0, (struct sockaddr *)&a, bytes), 5);
  CHECK_EQ(sendto(ends[1], "", 0, 0, (struct sockaddr *)&a, bytes), 0);
  bytes = sizeof from;
  CHECK_EQ(recvfrom(ends[0], data, 2, MSG_TRUNC, (struct sockaddr *)&from, &bytes), 5); // its real length
  CHECK_EQ(bytes, sizeof from);
  CHECK_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  CHECK_EQ(recvfrom(ends[0], data, sizeof data, 0, (struct sockaddr *)&from, &bytes), 0);
  CHECK_EQ(connect(ends[1], (struct sockaddr *)&a, sizeof a), 0);
  parks(call_recv, write_three);
  close_ends();
}
TEST(calls, datagrams_keep_their_addresses_and_lengths) { in_goroutine(datagrams); } // I1

static struct sockaddr_un receiver;
static void call_sendto(void) { CHECK_EQ(sendto(ends[1], "x", 1, 0, (struct sockaddr *)&receiver, sizeof receiver), 1); }
static void drain_receiver(void) {
  while (recv(ends[0], data, sizeof data, MSG_DONTWAIT) > 0) {}
  CHECK_EQ(errno_here(), EAGAIN);
}
/// The sender has room of its own, so the system calls it ready: it must wait all the same, and not by asking again and again.
static void full_receiver(void *unused) {
  (void)unused;
  struct timeval soon = {0, 5000};
  receiver.sun_family = AF_UNIX;
  snprintf(receiver.sun_path + 1, sizeof receiver.sun_path - 1, "ecru-receiver-%d", (int)getpid());
  for (int i = 0; i < 2; i++) ends[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK_EQ(bind(ends[0], (struct sockaddr *)&receiver, sizeof receiver), 0);
  while (sendto(ends[1], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&receiver, sizeof receiver) == 1) {}
  CHECK_EQ(errno_here(), EAGAIN);
  parks(call_sendto, drain_receiver);
  while (sendto(ends[1], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&receiver, sizeof receiver) == 1) {}
  CHECK_EQ(setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon), 0);
  CHECK_EQ(sendto(ends[1], "x", 1, 0, (struct sockaddr *)&receiver, sizeof receiver), -1);
  CHECK_EQ(errno_here(), EAGAIN);
  close_ends();
}
TEST(calls, sending_to_a_full_receiver_parks) { in_goroutine(full_receiver); } // I7

static void refused(int why, ssize_t result) {
  CHECK_EQ(errno_here(), why);
  CHECK_EQ(result, -1);
}
/// What could never succeed must not wait for a readiness that never comes.
static void nonsense(void *unused) {
  (void)unused;
  int zeros = open("/dev/zero", O_RDWR);
  open_pipe();
  refused(ENOTSOCK, accept(ends[0], NULL, NULL));
  refused(EBADF, sendfile(ends[0], zeros, NULL, 1));
  refused(EBADF, splice(ends[1], NULL, zeros, NULL, 1, 0));
  refused(EBADF, splice(zeros, NULL, ends[0], NULL, 1, 0));
  close_ends();
  open_stream();
  refused(EINVAL, accept(ends[0], NULL, NULL));
  refused(EINVAL, accept4(ends[0], NULL, NULL, SOCK_CLOEXEC));
  close_ends();
  ends[0] = socket(AF_INET, SOCK_DGRAM, 0), ends[1] = socket(AF_INET, SOCK_STREAM, 0);
  refused(EOPNOTSUPP, accept(ends[0], NULL, NULL));
  refused(EINVAL, accept(ends[1], NULL, NULL));
  refused(EINVAL, accept4(ends[1], NULL, NULL, -1));
  CHECK_EQ(listen(ends[1], 1), 0);
  refused(EINVAL, accept4(ends[1], NULL, NULL, -1));
  close_ends(), close(zeros);
}
TEST(calls, what_cannot_be_is_refused_at_once) { in_goroutine(nonsense); } // I7

static void pass_descriptor(void *unused) {
  (void)unused;
  union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr aligned; } control = {{0}};
  struct iovec piece = {much, MUCH};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &(int){STDERR_FILENO}, sizeof(int));
  open_stream();
  piece.iov_len = 3;
  CHECK_EQ(sendmsg(ends[1], &message, 0), 3);
  memset(&control, 0, sizeof control);
  CHECK_EQ(recvmsg(ends[0], &message, 0), 3);
  int passed;
  memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
  CHECK(passed > 2);
  close(passed);
  close_ends();
}
TEST(calls, descriptors_are_passed) { in_goroutine(pass_descriptor); } // I1

// ---- readiness -----------------------------------------------------------------------------------------------------------------

static int many_ends[40][2];
static void call_poll(void) {
  struct pollfd entries[42];
  for (int i = 0; i < 40; i++) entries[i] = (struct pollfd){many_ends[i][0], POLLIN, 77};
  entries[40] = (struct pollfd){-1, POLLIN, 77};
  entries[41] = (struct pollfd){many_ends[3][0], POLLIN | POLLPRI, 77}; // twice
  CHECK_EQ(poll(entries, 42, -1), 2);
  for (int i = 0; i < 42; i++) CHECK_EQ(entries[i].revents, i == 3 || i == 41 ? POLLIN : 0);
}
static void call_ppoll(void) {
  struct pollfd entry = {many_ends[3][0], POLLIN, 0};
  struct timespec minute = {60, 0};
  CHECK_EQ(ppoll(&entry, 1, &minute, NULL), 1);
}
int __poll_chk(struct pollfd *entries, nfds_t count, int timeout_ms, size_t room);
static void call_poll_chk(void) {
  struct pollfd entry = {many_ends[3][0], POLLIN, 0};
  CHECK_EQ(__poll_chk(&entry, 1, 60000, sizeof entry), 1);
}
static int fill(fd_set *in, fd_set *out) {
  FD_ZERO(in);
  FD_ZERO(out);
  int limit = 0;
  for (int i = 0; i < 40; i++) {
    FD_SET(many_ends[i][0], in);
    FD_SET(many_ends[i][0], out); // a pipe's reading end has never room
    if (many_ends[i][0] >= limit) limit = many_ends[i][0] + 1;
  }
  return limit;
}
static void check_sets(const fd_set *in, const fd_set *out) {
  for (int i = 0; i < 40; i++) {
    CHECK_EQ(FD_ISSET(many_ends[i][0], in) != 0, i == 3);
    CHECK_EQ(FD_ISSET(many_ends[i][0], out) != 0, 0);
  }
}
static void call_select(void) {
  fd_set in, out;
  int limit = fill(&in, &out);
  struct timeval minute = {60, 0};
  CHECK_EQ(select(limit, &in, &out, NULL, &minute), 1);
  check_sets(&in, &out);
  CHECK(minute.tv_sec < 60); // what was left
}
static void call_pselect(void) {
  fd_set in, out;
  int limit = fill(&in, &out);
  CHECK_EQ(pselect(limit, &in, &out, NULL, NULL, NULL), 1);
  check_sets(&in, &out);
}
static int epoll;
static void call_epoll_wait(void) {
  struct epoll_event found[4];
  CHECK_EQ(epoll_wait(epoll, found, 4, -1), 1);
  CHECK_EQ(found[0].data.fd, 3);
}
static void call_epoll_pwait(void) {
  struct epoll_event found[4];
  CHECK_EQ(epoll_pwait(epoll, found, 4, 60000, NULL), 1);
}
int epoll_pwait2(int epoll, struct epoll_event *found, int most, const struct timespec *timeout, const sigset_t *mask);
static void call_epoll_pwait2(void) {
  struct epoll_event found[4];
  CHECK_EQ(epoll_pwait2(epoll, found, 4, NULL, NULL), 1);
}
static void make_third_ready(void) { CHECK_EQ(write(many_ends[3][1], "x", 1), 1); }
static void readiness(void *unused) {
  (void)unused;
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < 40; i++) {
    CHECK_EQ(pipe(many_ends[i]), 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, many_ends[i][0], &event), 0);
  }
  void (*calls[])(void) = {call_poll, call_ppoll, call_poll_chk, call_select, call_pselect, call_epoll_wait, call_epoll_pwait, call_epoll_pwait2};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    parks(calls[i], make_third_ready);
    CHECK_EQ(read(many_ends[3][0], data, 1), 1);
  }
  for (int i = 0; i < 40; i++) close(many_ends[i][0]), close(many_ends[i][1]);
  close(epoll);
}
TEST(calls, waiting_for_many_parks) { in_goroutine(readiness); } // I7

/// Whether it takes at least 5 ms and at most the patience of the test.
static void in_5_ms(int (*call)(void)) {
  int64_t begin = wall_ns();
  CHECK_EQ(call(), 0);
  CHECK(wall_ns() - begin >= 5 * ECRU_MILLISECOND);
}
static int poll_5_ms(void) { return poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 5); }
static int poll_nothing(void) { return poll(NULL, 0, 5); }
static int ppoll_5_ms(void) { return ppoll(&(struct pollfd){ends[0], POLLIN, 0}, 1, &(struct timespec){0, 5000000}, NULL); }
static int select_5_ms(void) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  struct timeval time = {0, 5000};
  int result = select(ends[0] + 1, &in, NULL, NULL, &time);
  CHECK(!FD_ISSET(ends[0], &in));
  CHECK_EQ(time.tv_sec + time.tv_usec, 0);
  return result;
}
static int select_nothing(void) { return select(0, NULL, NULL, NULL, &(struct timeval){0, 5000}); }
static int epoll_5_ms(void) { return epoll_wait(epoll, &(struct epoll_event){0}, 1, 5); }
static int epoll_pwait2_5_ms(void) { return epoll_pwait2(epoll, &(struct epoll_event){0}, 1, &(struct timespec){0, 5000000}, NULL); }
static int poll_urgent_5_ms(void) { // what there is to read is not what is asked for
  write_a_byte();
  return poll(&(struct pollfd){ends[0], POLLPRI, 0}, 1, 5);
}
static int poll_masked_5_ms(void) {
  sigset_t mask;
  sigemptyset(&mask);
  return ppoll(&(struct pollfd){ends[0], POLLPRI, 0}, 1, &(struct timespec){0, 5000000}, &mask);
}
static void timeouts(void *unused) {
  (void)unused;
  open_stream();
  epoll = epoll_create1(EPOLL_CLOEXEC);
  CHECK_EQ(poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 0), 0);
  CHECK_EQ(select(0, NULL, NULL, NULL, &(struct timeval){0, 0}), 0);
  CHECK_EQ(epoll_wait(epoll, &(struct epoll_event){0}, 1, 0), 0);
  int (*calls[])(void) = {poll_5_ms, poll_nothing, ppoll_5_ms, select_5_ms, select_nothing, epoll_5_ms, epoll_pwait2_5_ms, poll_urgent_5_ms,
                        poll_masked_5_ms};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) in_5_ms(calls[i]);
  close_ends();
  struct pollfd gone = {ends[0], POLLIN, 0};
  CHECK_EQ(poll(&gone, 1, -1), 1);
  CHECK_EQ(gone.revents, POLLNVAL);
  CHECK_EQ(epoll_wait(epoll, NULL, 0, -1), -1);
  CHECK_EQ(errno_here(), EINVAL);
  CHECK_EQ(select(-1, NULL, NULL, NULL, NULL), -1);
  CHECK_EQ(errno_here(), EINVAL);
  close(epoll);
}
TEST(calls, waiting_for_many_ends_in_time) { in_goroutine(timeouts); } // I7

// ---- sleeping --------------------------------------------------------------------------------------------------------------

static int nanosleep_5_ms(void) { return nanosleep(&(struct timespec){0, 5000000}, NULL); }
static int usleep_5_ms(void) { return usleep(5000); }
static int clock_nanosleep_5_ms(void) { return clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 5000000}, NULL); }
static int thrd_sleep_5_ms(void) { return thrd_sleep(&(struct timespec){0, 5000000}, NULL); }
static int absolute(clockid_t clock) {
  struct timespec then;
  CHECK_EQ(clock_gettime(clock, &then), 0);
  then.tv_nsec += 5000000;
  if (then.tv_nsec >= 1000000000) then.tv_nsec -= 1000000000, then.tv_sec++;
  return clock_nanosleep(clock, TIMER_ABSTIME, &then, NULL);
}
static int until_monotonic(void) { return absolute(CLOCK_MONOTONIC); }
static int until_realtime(void) { return absolute(CLOCK_REALTIME); }
static void sleep_a_second(void) { CHECK_EQ(sleep(1), 0); }
static void sleeping(void *unused) {
  (void)unused;
  int (*calls[])(void) = {nanosleep_5_ms, usleep_5_ms, clock_nanosleep_5_ms, thrd_sleep_5_ms, until_monotonic, until_realtime};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) in_5_ms(calls[i]);
  CHECK_EQ(nanosleep(&(struct timespec){0, 1000000000}, NULL), -1);
  CHECK_EQ(errno_here(), EINVAL);
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){-1, 0}, NULL), EINVAL);
  CHECK_EQ(usleep(0), 0);
  int64_t begin = wall_ns();
  parks(sleep_a_second, NULL);
  CHECK(wall_ns() - begin >= ECRU_SECOND);
}
TEST(calls, sleeping_parks) { in_goroutine(sleeping); } // K6

// ---- tokens and closing ----------------------------------------------------------------------------------------------------

static int expected_errno;
static void expect_ended(ssize_t result) {
  int why = errno_here();
  CHECK_EQ(result, -1);
  CHECK_EQ(why, expected_errno);
}
static void end_read(void) { expect_ended(read(ends[0], data, 1)); }
static void end_poll(void) { expect_ended(poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, -1)); }
static void end_select(void) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  expect_ended(select(ends[0] + 1, &in, NULL, NULL, NULL));
}
static void end_epoll(void) { expect_ended(epoll_wait(epoll, &(struct epoll_event){0}, 1, -1)); }
static void end_nanosleep(void) {
  struct timespec rest = {0, 0};
  expect_ended(nanosleep(&(struct timespec){60, 0}, &rest));
  CHECK(rest.tv_sec >= 1);
}
static void end_clock_nanosleep(void) { CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){60, 0}, NULL), expected_errno); }
static void end_sleep(void) { CHECK(sleep(60) > 0); }
static void end_accept(void) { expect_ended(accept(listener, NULL, NULL)); }

static void (*const stoppable[])(void) = {end_read, end_poll, end_select, end_epoll, end_nanosleep, end_clock_nanosleep, end_sleep, end_accept};
enum { STOPPABLE = sizeof stoppable / sizeof *stoppable };

static ecru_token *token;
static void (*call_under_token)(void);
static void under_token(void) {
  CHECK_EQ(ecru_token_enter(token), 0);
  call_under_token();
  CHECK_EQ(ecru_token_leave(), 0);
}
static void cancel(void) { CHECK_EQ(ecru_token_cancel(token, 0), 0); }
static void tokens(void *unused) {
  (void)unused;
  open_stream();
  epoll = epoll_create1(EPOLL_CLOEXEC);
  listener = listen_on_loopback(1, &where);
  for (int i = 0; i < STOPPABLE; i++) {
    call_under_token = stoppable[i];
    expected_errno = ECANCELED;
    CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
    parks(under_token, cancel);
    under_token(); // and so do later ones
    ecru_token_release(token);
    expected_errno = ETIMEDOUT;
    CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
    stoppable[i]();
    CHECK_EQ(write(ends[0], "x", 1), 1); // what need not wait goes on
    CHECK_EQ(ecru_token_leave(), 0);
  }
  close_ends(), close(epoll), close(listener);
}
TEST(calls, the_token_ends_them) { in_goroutine(tokens); } // K2

static void close_reader(void) { CHECK_EQ(close(ends[0]), 0); }
static void replace_reader(void) {
  int other = open("/dev/null", O_RDONLY);
  CHECK_EQ(dup2(other, ends[0]), ends[0]);
  close(other);
}
static void poll_closed(void) {
  struct pollfd entry = {ends[0], POLLIN, 0};
  CHECK_EQ(poll(&entry, 1, -1), 1);
  CHECK_EQ(entry.revents, POLLNVAL);
}
static void close_epoll(void) { CHECK_EQ(close(epoll), 0); }
static void close_from_thread(void) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, (void *(*)(void *))(void (*)(void))close_reader, NULL), 0);
  join_thread(thread);
}
static void closing(void *unused) {
  (void)unused;
  expected_errno = EBADF;
  void (*closes[])(void) = {close_reader, replace_reader, close_from_thread};
  for (int i = 0; i < 30; i++) {
    i % 2 ? open_pipe() : open_stream();
    parks(end_read, closes[i % 3]);
    close_ends();
    open_stream();
    parks(end_select, close_reader);
    close(ends[1]);
    open_stream();
    parks(poll_closed, close_reader);
    close(ends[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    parks(end_epoll, close_epoll);
  }
}
TEST(calls, closing_wakes_who_waits) { in_goroutine(closing); } // I3

// ---- elsewhere -------------------------------------------------------------------------------------------------------------

static void look_up(void *unused) {
  (void)unused;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
  long thread = thread_here();
  CHECK_EQ(getaddrinfo("localhost", "80", &hints, &found), 0);
  CHECK_EQ(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  char name[256];
  CHECK_EQ(getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, NULL, 0, NI_NUMERICHOST), 0);
  CHECK_STR(name, "127.0.0.1");
  freeaddrinfo(found);
  hints.ai_flags = AI_NUMERICHOST;
  CHECK_EQ(getaddrinfo("localhost", NULL, &hints, &found), EAI_NONAME);
  struct hostent *host = gethostbyname("localhost");
  CHECK(host != NULL);
  CHECK_EQ(host->h_length, 4);
  CHECK_EQ(thread_here(), thread);
}
TEST(calls, names_are_looked_up) { in_goroutine(look_up); } // I7

static void block_natively(void *ended) { // whoever it is, it waits as the C library does
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  CHECK_EQ(poll(NULL, 0, 2), 0);
  CHECK_EQ(usleep(2000), 0);
  if (ended) finish(ended);
}
static void *natively(void *unused) {
  block_natively(NULL);
  return unused;
}
static void on_thread_stack(void *ended) {
  CHECK_EQ(ecru_on_thread_stack(block_natively, NULL), 0);
  finish(ended);
}
static void in_blocking_section(void *ended) {
  CHECK_EQ(ecru_blocking(block_natively, NULL), 0);
  finish(ended);
}
static void elsewhere(void *unused) {
  (void)unused;
  open_pipe();
  ecru_chan *ended = signals();
  pthread_t thread = start_thread(natively, NULL);
  go_flagged(ECRU_OWN_THREAD, block_natively, ended);
  go(on_thread_stack, ended);
  go(in_blocking_section, ended);
  for (int i = 0; i < 4; i++) write_a_byte();
  await(ended, 3);
  join_thread(thread);
  ecru_chan_release(ended);
  close_ends();
}
TEST(calls, elsewhere_they_do_what_they_always_did) { in_goroutine(elsewhere); } // G10

TEST(calls, a_program_without_goroutines_sees_no_difference) { // G1
  need_interposer();
  int threads = test_threads();
  open_pipe();
  write_three();
  call_read();
  CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  expect_again(read(ends[0], data, 1));
  CHECK_EQ(poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 1), 0);
  CHECK_EQ(usleep(1000), 0);
  close_ends();
  CHECK_EQ(test_threads(), threads); // the runtime was not even started
  pid_t child = fork();
  if (child == 0) _exit(usleep(1000) == 0 && close(dup(0)) == 0 ? 7 : 8);
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(WEXITSTATUS(status), 7);
}

static volatile sig_atomic_t handled;
static void close_nothing(int signal) {
  (void)signal;
  close(-1);
  handled++;
}
TEST(calls, closing_may_stand_in_a_signal_handler) { // I7
  need_interposer();
  struct sigaction action = {.sa_handler = close_nothing}, before;
  struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
  CHECK_EQ(sigaction(SIGALRM, &action, &before), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
  while (handled < 1000) close(-1);
  CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
  CHECK_EQ(sigaction(SIGALRM, &before, NULL), 0);
}

static void fork_in_goroutine(void *unused) {
  (void)unused;
  open_pipe();
  pid_t child = fork();
  if (child == 0) { // no ecru here: the C library blocks
    close(ends[1]);
    _exit(read(ends[0], data, 1) == 1 && usleep(1000) == 0 ? 7 : 8);
  }
  write_a_byte();
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(WEXITSTATUS(status), 7);
  close_ends();
}
TEST(calls, a_forked_child_blocks) { in_goroutine(fork_in_goroutine); } // G14

static _Atomic int echoes;
static void echo(void *argument) {
  int mine = *(int *)argument;
  char byte;
  while (read(mine, &byte, 1) == 1) CHECK_EQ(write(mine, &byte, 1), 1);
  close(mine);
  atomic_fetch_add(&echoes, 1);
}
static void converse(void *argument) {
  int *pair = argument;
  char byte = 0;
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(write(pair[1], "y", 1), 1);
    CHECK_EQ(poll(&(struct pollfd){pair[1], POLLIN, 0}, 1, 10000), 1);
    CHECK_EQ(read(pair[1], &byte, 1), 1);
  }
  close(pair[1]);
}
static void crowd(void *unused) {
  (void)unused;
  enum { PAIRS = 200 };
  static int pairs[PAIRS][2];
  for (int i = 0; i < PAIRS; i++) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
    go(echo, pairs[i]);
    go(converse, pairs[i]);
  }
  UNTIL(atomic_load(&echoes) == PAIRS);
  CHECK(test_threads() < 20);
}
TEST(calls, a_crowd_talks_on_few_threads) { in_goroutine(crowd); } // I7
