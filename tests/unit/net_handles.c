/// tests/unit/net_handles.c: what a handle makes of its descriptor, and what of bad use (I1, I5).
#include "tests/sockets.h"

// ---- handles -------------------------------------------------------------------------------------------------------------

static bool is_blocking(int descriptor) { return !(fcntl(descriptor, F_GETFL) & O_NONBLOCK); }

TEST(net, adopting_takes_or_borrows) { // I1
  int both[2], file = open("/dev/zero", O_RDONLY);
  ecru_io *io = NULL, *again = NULL;
  char byte;
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
  CHECK_EQ(ecru_io_adopt(&io, both[0], ECRU_IO_KEEP_OPEN), 0);
  CHECK(!is_blocking(both[0]));
  CHECK_EQ(ecru_io_adopt(&again, both[0], 0), ECRU_EEXIST);
  CHECK_EQ(ecru_io_descriptor(io), both[0]);
  CHECK_EQ(write(both[1], "x", 1), 1);
  CHECK_EQ(ecru_io_read(io, &byte, 1), 1);
  CHECK_EQ(ecru_io_close(io), 0);
  CHECK_EQ(ecru_io_descriptor(io), ECRU_ECLOSED);
  ecru_io_release(io);
  CHECK(is_blocking(both[0])); // as it came
  CHECK_EQ(ecru_io_adopt(&io, both[0], 0), 0);
  ecru_io_release(io);
  CHECK_EQ(fcntl(both[0], F_GETFD), -1);
  fcntl(both[1], F_SETFL, O_NONBLOCK);
  CHECK_EQ(ecru_io_adopt(&io, both[1], ECRU_IO_KEEP_OPEN), 0);
  ecru_io_release(io);
  CHECK(!is_blocking(both[1])); // as it came
  CHECK_EQ(close(both[1]), 0);
  CHECK_EQ(ecru_io_adopt(&io, both[1], 0), ECRU_EBADF);
  CHECK_EQ(ecru_io_adopt(&io, -1, 0), ECRU_EBADF);
  CHECK_EQ(ecru_io_adopt(&io, file, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_io_adopt(NULL, file, 0), ECRU_EINVAL);
  close(file);
  file = open("/proc/self/exe", O_RDONLY);
  CHECK_EQ(ecru_io_adopt(&io, file, 0), ECRU_EPERM);
  CHECK_EQ(close(file), 0); // still ours
  file = open("/tmp", O_RDONLY);
  CHECK_EQ(ecru_io_adopt(&io, file, 0), ECRU_EPERM);
  CHECK_EQ(close(file), 0);
}

enum { ADOPTERS = 4 };
static int contested;
static _Atomic int winners;
static void *adopt_it(void *unused) {
  (void)unused;
  ecru_io *io = NULL;
  int status = ecru_io_adopt(&io, contested, ECRU_IO_KEEP_OPEN);
  if (status == 0) atomic_fetch_add(&winners, 1);
  else CHECK_EQ(status, ECRU_EEXIST);
  return io;
}
TEST(net, one_of_many_adopters_wins) { // I1
  for (long round = test_scaled(300); round > 0; round--) {
    int both[2];
    pthread_t threads[ADOPTERS];
    void *io[ADOPTERS];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
    contested = both[0];
    atomic_store(&winners, 0);
    for (int i = 0; i < ADOPTERS; i++) threads[i] = start_thread(adopt_it, NULL);
    for (int i = 0; i < ADOPTERS; i++) CHECK_EQ(pthread_join(threads[i], &io[i]), 0);
    CHECK_EQ(atomic_load(&winners), 1);
    CHECK(!is_blocking(both[0]));
    for (int i = 0; i < ADOPTERS; i++) ecru_io_release(io[i]);
    CHECK(is_blocking(both[0]));
    close(both[0]);
    close(both[1]);
  }
}

TEST(net, a_closed_handle_refuses_everything) { // I3
  two p = tcp_two();
  ecru_io *listener = listen_tcp(), *udp = listen_at("udp", "127.0.0.1:0"), *io = NULL;
  ecru_address address;
  char data[4];
  int value;
  ecru_buffer buffer = {data, 4};
  CHECK_EQ(ecru_io_retain(p.a) == p.a, 1);
  CHECK_EQ(ecru_io_close(p.a), 0);
  CHECK_EQ(ecru_io_close(p.a), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_read(p.a, data, 4), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_read(p.a, data, 0), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_write(p.a, data, 4, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_write(p.a, data, 0, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_readv(p.a, &buffer, 1), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_writev(p.a, &buffer, 1, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_try_read(p.a, data, 4), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_try_write(p.a, data, 4), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_send_file(p.a, 0, 0, 1, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_shutdown(p.a, ECRU_IO_READ), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_set_deadline(p.a, ECRU_IO_READ, 0), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_wait(p.a, ECRU_IO_READ), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_local(p.a, &address), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_peer(p.a, &address), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_set_option(p.a, ECRU_OPTION_TTL, 1), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_option(p.a, ECRU_OPTION_TTL, &value), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_close(listener), 0);
  CHECK_EQ(ecru_accept(listener, &io, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_accept_patiently(listener, &io, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_close(udp), 0);
  address = parsed("udp", "127.0.0.1:9");
  CHECK_EQ(ecru_receive_from(udp, data, 4, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_send_to(udp, data, 4, &address), ECRU_ECLOSED);
  ecru_io_release(p.a);
  ecru_io_release(p.a);
  ecru_io_release(p.b);
  ecru_io_release(listener);
  ecru_io_release(udp);
}

TEST(net, no_handle_no_buffer_no_direction) { // I1
  two p = pair_of();
  char data[4];
  CHECK_EQ(ecru_io_read(NULL, data, 4), ECRU_EINVAL);
  CHECK_EQ(ecru_io_read(p.a, NULL, 4), ECRU_EINVAL);
  CHECK_EQ(ecru_io_read(p.a, NULL, 0), 0);
  CHECK_EQ(ecru_io_write(NULL, data, 4, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_write(p.a, NULL, 4, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_write(p.a, NULL, 0, NULL), 0);
  CHECK_EQ(ecru_io_shutdown(p.a, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_io_shutdown(p.a, 4), ECRU_EINVAL);
  CHECK_EQ(ecru_io_set_deadline(p.a, 0, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_io_set_deadline(p.a, 8, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_io_set_deadline(NULL, 1, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_io_wait(p.a, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_io_close(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_descriptor(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_wait_fd(-1, ECRU_IO_READ), ECRU_EBADF);
  CHECK_EQ(ecru_wait_fd(0, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_accept(p.a, &p.b, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_retain(NULL) == NULL, 1);
  ecru_io_release(NULL);
  release_two(p);
}

TEST(net, trying_never_parks) { // I1
  two p = tcp_two();
  static char data[1 << 16];
  CHECK_EQ(ecru_io_try_read(p.b, data, 4), ECRU_EAGAIN);
  CHECK_EQ(ecru_io_try_write(p.a, "abc", 3), 3);
  CHECK_EQ(ecru_io_wait(p.b, ECRU_IO_READ), ECRU_IO_READ);
  CHECK_EQ(ecru_io_try_read(p.b, data, 4), 3);
  int64_t count;
  while ((count = ecru_io_try_write(p.a, data, sizeof data)) > 0) {}
  CHECK_EQ(count, ECRU_EAGAIN);
  CHECK_EQ(ecru_deadline_enter(0), 0);
  CHECK_EQ(ecru_io_read(p.b, data, 1), ECRU_ETIMEDOUT);
  CHECK(ecru_io_try_read(p.b, data, sizeof data) > 0); // no cancellation point
  CHECK_EQ(ecru_token_leave(), 0);
  release_two(p);
}

TEST(net, errno_is_left_alone) { // G11
  two p = tcp_two();
  char byte;
  ecru_io *io = NULL;
  errno = EXFULL;
  CHECK_EQ(ecru_io_try_read(p.a, &byte, 1), ECRU_EAGAIN);
  CHECK_EQ(errno, EXFULL);
  CHECK_EQ(ecru_dial(&io, "tcp", "127.0.0.1:1"), ECRU_ECONNREFUSED);
  CHECK_EQ(errno, EXFULL);
  CHECK_EQ(ecru_listen(&io, "tcp", "192.0.2.1:0"), ECRU_EADDRNOTAVAIL);
  CHECK_EQ(errno, EXFULL);
  CHECK_EQ(ecru_io_shutdown(p.a, ECRU_IO_WRITE), 0);
  CHECK_EQ(ecru_io_close(p.a), 0);
  CHECK_EQ(errno, EXFULL);
  release_two(p);
}

TEST(net, files_are_closed_on_exec_and_none_leaks) { // G13
  ecru_io *listener = listen_tcp();
  int before = test_open_fds();
  for (int i = 0; i < 20; i++) {
    two p = connect_two("tcp", listener), q = pair_of(), r;
    CHECK_EQ(ecru_pipe(&r.a, &r.b), 0);
    ecru_io *all[] = {listener, p.a, p.b, q.a, q.b, r.a, r.b};
    for (int k = 0; k < 7; k++) {
      CHECK(fcntl((int)ecru_io_descriptor(all[k]), F_GETFD) & FD_CLOEXEC);
      CHECK(!is_blocking((int)ecru_io_descriptor(all[k])));
    }
    release_two(p);
    release_two(q);
    release_two(r);
  }
  CHECK_EQ(test_open_fds(), before);
  ecru_io_release(listener);
}
