// Sockets of every kind (I1, I3, I5): TCP, UDP, Unix, pipes, terminals; options, addresses, half-close, bad use.
#include "tests/sockets.h"

#include <arpa/inet.h>
#include <pty.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool has_v6(void) {
  ecru_io *io = NULL;
  int status = ecru_listen(&io, "tcp6", "[::1]:0");
  ecru_io_release(io);
  return status == 0;
}

static void port_text(char *text, size_t bytes, const char *host, ecru_io *listener) {
  ecru_address address = local_of(listener);
  snprintf(text, bytes, "%s:%d", host, ecru_address_port(&address));
}

// ---- TCP ---------------------------------------------------------------------------------------------------------------

static void greet(const char *network, const char *address) {
  ecru_io *listener = listen_at(network, address), *b = NULL;
  ecru_address peer, mine, theirs;
  ecru_io *a = dial_to(network, listener);
  CHECK_EQ(ecru_accept(listener, &b, &peer), 0);
  write_text(a, "hello");
  expect_text(b, "hello");
  write_text(b, "you");
  expect_text(a, "you");
  mine = local_of(a);
  CHECK_EQ(ecru_io_peer(b, &theirs), 0);
  CHECK_EQ(ecru_address_port(&mine), ecru_address_port(&theirs));
  CHECK_EQ(ecru_address_port(&mine), ecru_address_port(&peer));
  CHECK_EQ(ecru_io_shutdown(a, ECRU_IO_WRITE), 0); // half-close
  expect_end(b);
  expect_end(b);
  write_text(b, "still");
  expect_text(a, "still");
  ecru_io_release(b);
  expect_end(a);
  CHECK_EQ(ecru_io_write(a, "x", 1, NULL), ECRU_EPIPE);
  ecru_io_release(a);
  ecru_io_release(listener);
}

static void greet_all(void *unused) {
  (void)unused;
  greet("tcp", "127.0.0.1:0");
  greet("tcp4", "127.0.0.1:0");
  if (has_unix_sockets()) greet("unix", "@ecru-greet");
  if (has_v6()) greet("tcp6", "[::1]:0");
}
TEST(net, two_greet_each_other) { with_procs(1, greet_all); }          // I1
TEST(net, threads_greet_each_other) { greet_all(NULL); }               // I1, G10

TEST(net, one_listener_takes_both_families) { // I1
  if (!has_v6()) SKIP("no IPv6 here");
  char text[64];
  ecru_io *listener = listen_at("tcp", ":0"), *a = NULL, *b = NULL;
  static const char *const hosts[] = {"127.0.0.1", "[::1]"};
  for (int i = 0; i < 2; i++) {
    port_text(text, sizeof text, hosts[i], listener);
    CHECK_EQ(ecru_dial(&a, "tcp", text), 0);
    CHECK_EQ(ecru_accept(listener, &b, NULL), 0);
    release_two((two){a, b});
  }
  ecru_io_release(listener);
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  options.flags = ECRU_LISTEN_V6_ONLY;
  for (int i = 0; i < 2; i++) { // told so, or by the network's name
    CHECK_EQ(i == 0 ? ecru_listen_with(&options, &listener, "tcp", "[::]:0") : ecru_listen(&listener, "tcp6", ":0"), 0);
    port_text(text, sizeof text, "127.0.0.1", listener);
    CHECK_EQ(ecru_dial(&a, "tcp", text), ECRU_ECONNREFUSED);
    port_text(text, sizeof text, "[::1]", listener);
    CHECK_EQ(ecru_dial(&a, "tcp", text), 0);
    release_two((two){a, listener});
  }
}

TEST(net, a_port_is_shared_only_on_request) { // I1
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  ecru_io *first = NULL, *second = NULL;
  char text[64];
  options.flags = ECRU_LISTEN_REUSE_PORT;
  CHECK_EQ(ecru_listen_with(&options, &first, "tcp", "127.0.0.1:0"), 0);
  port_text(text, sizeof text, "127.0.0.1", first);
  CHECK_EQ(ecru_listen(&second, "tcp", text), ECRU_EADDRINUSE);
  CHECK_EQ(ecru_listen_with(&options, &second, "tcp", text), 0);
  release_two((two){first, second});
  CHECK_EQ(ecru_listen(&first, "tcp", text), 0); // and again at once
  two p = connect_two("tcp", first);
  release_two(p); // a connection lingers in the system now
  ecru_io_release(first);
  CHECK_EQ(ecru_listen(&first, "tcp", text), 0);
  ecru_io_release(first);
}

TEST(net, listening_is_refused_with_a_reason) { // I1
  ecru_io *io = NULL;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  CHECK_EQ(ecru_listen(&io, "tcp", "192.0.2.1:0"), ECRU_EADDRNOTAVAIL);
  CHECK_EQ(ecru_listen(NULL, "tcp", ":0"), ECRU_EINVAL);
  CHECK_EQ(ecru_listen(&io, NULL, ":0"), ECRU_EINVAL);
  CHECK_EQ(ecru_listen(&io, "tcp", NULL), ECRU_EINVAL);
  options.flags = 4;
  CHECK_EQ(ecru_listen_with(&options, &io, "tcp", ":0"), ECRU_EINVAL);
  options.flags = 0;
  options.backlog = -1;
  CHECK_EQ(ecru_listen_with(&options, &io, "tcp", ":0"), ECRU_EINVAL);
  options.size = 3;
  CHECK_EQ(ecru_listen_with(&options, &io, "tcp", ":0"), ECRU_EINVAL);
  CHECK_EQ(ecru_listen(&io, "unix", "/no/such/directory/socket"), ECRU_ENOENT);
  CHECK(io == NULL);
}

TEST(net, the_backlog_is_as_told) { // I1
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  ecru_io *listener = NULL, *io[4];
  options.backlog = 2;
  CHECK_EQ(ecru_listen_with(&options, &listener, "unix", "@ecru-backlog"), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru_dial(&io[i], "unix", "@ecru-backlog"), 0); // one more than that, in Linux
  CHECK_EQ(ecru_deadline_enter(ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_dial(&io[3], "unix", "@ecru-backlog"), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  for (int i = 0; i < 3; i++) ecru_io_release(io[i]);
  ecru_io_release(listener);
}

TEST(net, options_are_set_and_read) { // I1
  two p = tcp_two();
  ecru_io *udp = listen_at("udp4", "127.0.0.1:0");
  int value = -1;
  static const struct { int option, value; } plain[] = {
    {ECRU_OPTION_NO_DELAY, 0}, {ECRU_OPTION_NO_DELAY, 1}, {ECRU_OPTION_KEEP_ALIVE, 0}, {ECRU_OPTION_KEEP_ALIVE, 77},
    {ECRU_OPTION_LINGER, 5}, {ECRU_OPTION_LINGER, 0}, {ECRU_OPTION_LINGER, -1}, {ECRU_OPTION_TTL, 9},
  };
  CHECK_EQ(ecru_io_option(p.a, ECRU_OPTION_NO_DELAY, &value), 0);
  CHECK_EQ(value, 1);
  CHECK_EQ(ecru_io_option(p.b, ECRU_OPTION_NO_DELAY, &value), 0);
  CHECK_EQ(value, 1);
  CHECK_EQ(ecru_io_option(p.b, ECRU_OPTION_KEEP_ALIVE, &value), 0);
  CHECK_EQ(value, 15);
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    CHECK_EQ(ecru_io_set_option(p.a, plain[i].option, plain[i].value), 0);
    CHECK_EQ(ecru_io_option(p.a, plain[i].option, &value), 0);
    CHECK_EQ(value, plain[i].value);
  }
  for (int option = ECRU_OPTION_SEND_BUFFER; option <= ECRU_OPTION_RECEIVE_BUFFER; option++) {
    CHECK_EQ(ecru_io_set_option(p.a, option, 50000), 0);
    CHECK_EQ(ecru_io_option(p.a, option, &value), 0);
    CHECK(value >= 50000);
  }
  static const struct { int option, value; } datagram[] = {
    {ECRU_OPTION_BROADCAST, 1}, {ECRU_OPTION_BROADCAST, 0}, {ECRU_OPTION_TTL, 3}, {ECRU_OPTION_MULTICAST_LOOP, 0},
    {ECRU_OPTION_MULTICAST_LOOP, 1}, {ECRU_OPTION_MULTICAST_TTL, 4},
  };
  for (size_t i = 0; i < sizeof datagram / sizeof *datagram; i++) {
    CHECK_EQ(ecru_io_set_option(udp, datagram[i].option, datagram[i].value), 0);
    CHECK_EQ(ecru_io_option(udp, datagram[i].option, &value), 0);
    CHECK_EQ(value, datagram[i].value);
  }
  if (has_v6()) {
    ecru_io *v6 = listen_at("udp6", "[::1]:0");
    for (size_t i = 2; i < sizeof datagram / sizeof *datagram; i++) {
      CHECK_EQ(ecru_io_set_option(v6, datagram[i].option, datagram[i].value), 0);
      CHECK_EQ(ecru_io_option(v6, datagram[i].option, &value), 0);
      CHECK_EQ(value, datagram[i].value);
    }
    ecru_io_release(v6);
  }
  CHECK_EQ(ecru_io_set_option(p.a, 0, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_io_set_option(p.a, 99, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_io_option(p.a, 99, &value), ECRU_EINVAL);
  CHECK_EQ(ecru_io_option(p.a, ECRU_OPTION_TTL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_set_option(NULL, ECRU_OPTION_TTL, 1), ECRU_EINVAL);
  int status = ecru_io_set_option(udp, ECRU_OPTION_NO_DELAY, 1);
  CHECK(status == ECRU_ENOPROTOOPT || status == ECRU_ENOTSUP);
  two pipe;
  CHECK_EQ(ecru_pipe(&pipe.a, &pipe.b), 0);
  CHECK_EQ(ecru_io_set_option(pipe.a, ECRU_OPTION_SEND_BUFFER, 1), ECRU_ENOTSOCK);
  CHECK_EQ(ecru_io_local(pipe.a, &(ecru_address){0}), ECRU_ENOTSOCK);
  CHECK_EQ(ecru_io_peer(udp, &(ecru_address){0}), ECRU_ENOTCONN);
  CHECK_EQ(ecru_io_shutdown(pipe.a, ECRU_IO_READ), ECRU_ENOTSOCK);
  release_two(pipe);
  release_two(p);
  ecru_io_release(udp);
}

// ---- large amounts -------------------------------------------------------------------------------------------------------

enum { PIECE = 1 << 20 };
struct flow {
  ecru_io *io;
  ecru_chan *done;
  int64_t total;
};
static void swallow(void *argument) {
  struct flow *f = argument;
  static char data[PIECE];
  int64_t count;
  while ((count = ecru_io_read(f->io, data, 1 + (size_t)(f->total % PIECE))) > 0) {
    for (int64_t i = 0; i < count; i += 1009) CHECK_EQ((unsigned char)data[i], (unsigned char)((f->total + i) % 251));
    f->total += count;
  }
  CHECK_EQ(count, 0);
  finish(f->done);
}

static long stream_bytes;
static void stream_much(void *unused) {
  (void)unused;
  two p = tcp_two();
  struct flow f = {.io = p.b, .done = signals()};
  size_t bytes = (size_t)stream_bytes, written = 0;
  unsigned char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(data != MAP_FAILED);
  for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)(i % 251);
  go(swallow, &f);
  CHECK_EQ(ecru_io_write(p.a, data, bytes, &written), (int64_t)bytes);
  CHECK_EQ(written, bytes);
  CHECK_EQ(ecru_io_shutdown(p.a, ECRU_IO_WRITE), 0);
  await(f.done, 1);
  CHECK_EQ(f.total, bytes);
  ecru_chan_release(f.done);
  munmap(data, bytes);
  release_two(p);
}
TEST(net, a_long_stream_arrives_whole) { // I1
  stream_bytes = test_scaled(200) * 1000000 + 12345;
  with_procs(2, stream_much);
}

static void cut_off(void *token) {
  await_parked(1, "io write");
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
}
/// More than one system call takes at once: 2 GiB and a bit, of the kernel's zeros.
static void write_huge(void *unused) {
  (void)unused;
  size_t bytes = (UINT64_C(1) << 31) + 4096, written = 0;
  void *zeros = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED) SKIP("no 2 GiB of addresses");
  two p = pair_of();
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(cut_off, token);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_io_write(p.a, zeros, bytes, &written), ECRU_ECANCELED); // nobody reads: it tells how far it came
  CHECK(written > 0 && written < bytes);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_io_close(p.a), 0);
  static char data[PIECE];
  size_t arrived = 0;
  for (int64_t count; (count = ecru_io_read(p.b, data, sizeof data)) > 0;) arrived += (size_t)count;
  CHECK_EQ(arrived, written);
  ecru_token_release(token);
  release_two(p);
  munmap(zeros, bytes);
}
TEST(net, a_write_that_is_cut_off_tells_how_far_it_came) { with_procs(1, write_huge); } // I1, C11

static int file_of(size_t bytes) {
  int file = memfd_create("ecru", MFD_CLOEXEC);
  CHECK(file >= 0);
  static unsigned char data[PIECE];
  for (size_t done = 0; done < bytes;) {
    size_t count = bytes - done < PIECE ? bytes - done : PIECE;
    for (size_t i = 0; i < count; i++) data[i] = (unsigned char)((done + i) % 251);
    CHECK_EQ(write(file, data, count), (long)count);
    done += count;
  }
  return file;
}

static void send_files(void *unused) {
  (void)unused;
  enum { BYTES = 3 * PIECE + 17 };
  int file = file_of(BYTES);
  two p = tcp_two();
  struct flow f = {.io = p.b, .done = signals()};
  uint64_t sent = 1;
  go(swallow, &f);
  CHECK_EQ(ecru_io_send_file(p.a, file, 0, BYTES, &sent), BYTES);
  CHECK_EQ(sent, BYTES);
  CHECK_EQ(ecru_io_send_file(p.a, file, BYTES, 100, &sent), 0); // the file ends here
  CHECK_EQ(ecru_io_send_file(p.a, file, BYTES + 1000, 100, NULL), 0);
  CHECK_EQ(ecru_io_send_file(p.a, file, 0, 0, &sent), 0);
  CHECK_EQ(sent, 0);
  CHECK_EQ(ecru_io_send_file(p.a, file, -1, 5, &sent), ECRU_EINVAL);
  CHECK_EQ(ecru_io_send_file(p.a, -1, 0, 5, &sent), ECRU_EINVAL);
  CHECK_EQ(ecru_io_send_file(p.a, file, 0, UINT64_MAX, &sent), ECRU_EINVAL);
  CHECK_EQ(ecru_io_shutdown(p.a, ECRU_IO_WRITE), 0);
  await(f.done, 1);
  CHECK_EQ(f.total, BYTES);
  ecru_chan_release(f.done);
  release_two(p);
  p = tcp_two(); // from the middle on, more than there is: more than a system call takes, too
  char last[32];
  CHECK_EQ(ecru_io_send_file(p.a, file, BYTES - 10, INT64_MAX, &sent), 10);
  CHECK_EQ(sent, 10);
  CHECK_EQ(ecru_io_read(p.b, last, sizeof last), 10);
  for (int i = 0; i < 10; i++) CHECK_EQ((unsigned char)last[i], (unsigned char)((BYTES - 10 + i) % 251));
  CHECK_EQ(lseek(file, 0, SEEK_CUR), BYTES); // its own position is left alone
  release_two(p);
  close(file);
}
TEST(net, files_are_sent) { with_procs(2, send_files); } // I1

TEST(net, a_sparse_file_beyond_2_gib_is_sent_from_its_end) { // I1
  int file = memfd_create("ecru", MFD_CLOEXEC);
  int64_t end = (INT64_C(5) << 30) + 3;
  CHECK_EQ(ftruncate(file, end), 0);
  CHECK_EQ(pwrite(file, "end", 3, end - 3), 3);
  two p = tcp_two();
  char data[16];
  CHECK_EQ(ecru_io_send_file(p.a, file, end - 5, (uint64_t)3 << 30, NULL), 5);
  CHECK_EQ(ecru_io_read(p.b, data, sizeof data), 5);
  CHECK(memcmp(data, "\0\0end", 5) == 0);
  release_two(p);
  close(file);
}

TEST(net, vectors_are_filled_and_emptied_in_order) { // I1
  two p = tcp_two();
  char a[3] = "", b[1] = "", c[8] = "";
  ecru_buffer out[] = {{(void *)(uintptr_t)"he", 2}, {NULL, 0}, {(void *)(uintptr_t)"llo", 3}}, in[] = {{a, 2}, {NULL, 0}, {b, 1}, {c, 8}};
  size_t written = 9;
  CHECK_EQ(ecru_io_writev(p.a, out, 3, &written), 5);
  CHECK_EQ(written, 5);
  CHECK_EQ(ecru_io_readv(p.b, in, 4), 5);
  CHECK(memcmp(a, "he", 2) == 0 && b[0] == 'l' && memcmp(c, "lo", 2) == 0);
  CHECK_EQ(ecru_io_writev(p.a, NULL, 0, &written), 0);
  CHECK_EQ(ecru_io_writev(p.a, &out[1], 1, &written), 0);
  CHECK_EQ(ecru_io_readv(p.b, &in[1], 1), 0);
  static ecru_buffer many[1025];
  CHECK_EQ(ecru_io_writev(p.a, many, 1025, &written), ECRU_EINVAL);
  CHECK_EQ(ecru_io_readv(p.b, many, 1025), ECRU_EINVAL);
  CHECK_EQ(ecru_io_readv(p.b, NULL, 1), ECRU_EINVAL);
  for (int i = 0; i < 1024; i++) many[i] = (ecru_buffer){&a, 1};
  CHECK_EQ(ecru_io_writev(p.a, many, 1024, &written), 1024);
  release_two(p);
}

// ---- UDP ---------------------------------------------------------------------------------------------------------------

static void check_datagrams(const char *network, const char *address) {
  ecru_io *server = listen_at(network, address), *client = dial_to(network, server);
  ecru_address from, mine = local_of(client), there = local_of(server);
  char data[16];
  CHECK_EQ(ecru_io_write(client, "one", 3, NULL), 3);
  CHECK_EQ(ecru_receive_from(server, data, sizeof data, &from), 3);
  CHECK_EQ(ecru_address_port(&from), ecru_address_port(&mine));
  CHECK_EQ(ecru_send_to(server, "two", 3, &from), 3);
  CHECK_EQ(ecru_io_read(client, data, sizeof data), 3);
  CHECK(memcmp(data, "two", 3) == 0);
  size_t written = 7;
  CHECK_EQ(ecru_io_write(client, NULL, 0, &written), 0); // datagrams without content
  CHECK_EQ(ecru_send_to(server, "", 0, &from), 0);
  CHECK_EQ(ecru_receive_from(server, data, sizeof data, &from), 0);
  CHECK_EQ(ecru_io_read(client, data, sizeof data), 0);
  CHECK_EQ(ecru_io_try_read(client, data, sizeof data), ECRU_EAGAIN); // it was one, and no end
  CHECK_EQ(ecru_io_write(client, "0123456789", 10, NULL), 10);
  CHECK_EQ(ecru_receive_from(server, data, 4, &from), ECRU_EMSGSIZE); // cut off
  CHECK(memcmp(data, "0123", 4) == 0);
  CHECK_EQ(ecru_io_write(client, "0123456789", 10, NULL), 10);
  CHECK_EQ(ecru_io_read(server, data, 4), ECRU_EMSGSIZE);
  ecru_buffer halves[] = {{data, 2}, {data + 2, 2}};
  CHECK_EQ(ecru_io_write(client, "0123456789", 10, NULL), 10);
  CHECK_EQ(ecru_io_readv(server, halves, 2), ECRU_EMSGSIZE);
  CHECK_EQ(ecru_io_write(client, "0123", 4, NULL), 4);
  CHECK_EQ(ecru_io_readv(server, halves, 2), 4);
  static char huge[70000];
  CHECK_EQ(ecru_io_write(client, huge, sizeof huge, &written), ECRU_EMSGSIZE);
  CHECK_EQ(written, 0);
  CHECK_EQ(ecru_send_to(server, huge, sizeof huge, &mine), ECRU_EMSGSIZE);
  int status = (int)ecru_send_to(client, "x", 1, &there); // it is connected already: Linux lets it pass
  CHECK(status == 1 || status == ECRU_EISCONN);
  CHECK_EQ(ecru_io_write(server, "x", 1, NULL), ECRU_EDESTADDRREQ);
  ecru_buffer parts[100];
  for (int i = 0; i < 100; i++) parts[i] = (ecru_buffer){(void *)(uintptr_t)"y", 1};
  if (status == 1) CHECK_EQ(ecru_io_read(server, data, sizeof data), 1);
  char large[200];
  CHECK_EQ(ecru_io_writev(client, parts, 100, NULL), 100); // one datagram
  CHECK_EQ(ecru_io_read(server, large, sizeof large), 100);
  CHECK_EQ(ecru_accept(server, &client, NULL), ECRU_EINVAL);
  release_two((two){server, client});
}

TEST(net, datagrams_keep_their_bounds) { // I1
  check_datagrams("udp", "127.0.0.1:0");
  check_datagrams("udp4", "127.0.0.1:0");
  if (has_v6()) check_datagrams("udp6", "[::1]:0");
}

TEST(net, a_datagram_to_nobody_is_refused) { // I1
  ecru_address nobody = nobody_at("udp", "127.0.0.1:0");
  ecru_io *io = NULL;
  char byte;
  CHECK_EQ(ecru_dial_address(&io, "udp", &nobody), 0);
  CHECK_EQ(ecru_io_write(io, "x", 1, NULL), 1);
  CHECK_EQ(ecru_io_read(io, &byte, 1), ECRU_ECONNREFUSED);
  ecru_io_release(io);
}

TEST(net, a_datagram_to_nobody_ends_no_server) { // I1
  ecru_address nobody = nobody_at("udp", "127.0.0.1:0");
  ecru_io *server = listen_at("udp", "127.0.0.1:0"), *client = listen_at("udp", "127.0.0.1:0");
  ecru_address place = local_of(server);
  char byte;
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(ecru_send_to(server, "x", 1, &nobody), 1); // Windows would have the next receiving fail for it
    CHECK_EQ(ecru_send_to(client, "y", 1, &place), 1);
    CHECK_EQ(ecru_receive_from(server, &byte, 1, NULL), 1);
  }
  ecru_io_release(server);
  ecru_io_release(client);
}

TEST(net, datagrams_need_a_datagram_socket) { // I1
  two p = tcp_two();
  char data[4] = {0};
  ecru_address address = local_of(p.a);
  CHECK_EQ(ecru_receive_from(p.a, data, sizeof data, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_send_to(p.a, data, 1, &address), ECRU_EINVAL);
  CHECK_EQ(ecru_receive_from(NULL, data, sizeof data, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_send_to(NULL, data, 1, &address), ECRU_EINVAL);
  ecru_io *udp = listen_at("udp", "127.0.0.1:0");
  CHECK_EQ(ecru_send_to(udp, data, 1, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_send_to(udp, NULL, 1, &address), ECRU_EINVAL);
  CHECK_EQ(ecru_receive_from(udp, NULL, 1, NULL), ECRU_EINVAL);
  ecru_address to_all = parsed("udp", "255.255.255.255:9");
  CHECK_EQ(ecru_send_to(udp, data, 1, &to_all), ECRU_EACCES); // not a broadcaster
  ecru_io_release(udp);
  release_two(p);
}

// ---- Unix --------------------------------------------------------------------------------------------------------------

static char directory[64], path[96];
static void enter_directory(void) {
  snprintf(directory, sizeof directory, "/tmp/ecru-net-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof path, "%s/socket", directory);
}

TEST(net, a_unix_socket_file_lives_as_long_as_its_listener) { // I1
  struct stat about;
  enter_directory();
  for (int how = 0; how < 2; how++) {
    ecru_listen_options options = ECRU_LISTEN_OPTIONS;
    ecru_io *listener = NULL, *other = NULL;
    options.mode = 0620;
    CHECK_EQ(ecru_listen_with(&options, &listener, how == 0 ? "unix" : "unixgram", path), 0);
    CHECK_EQ(stat(path, &about), 0);
    CHECK_EQ(about.st_mode & 0777, 0620);
    CHECK_EQ(ecru_listen(&other, "unix", path), ECRU_EADDRINUSE);
    CHECK_EQ(stat(path, &about), 0); // the loser has not removed it
    ecru_io *client = NULL;
    CHECK_EQ(ecru_dial(&client, how == 0 ? "unix" : "unixgram", path), 0);
    ecru_address peer;
    char text[ECRU_ADDRESS_TEXT];
    CHECK_EQ(ecru_io_peer(client, &peer), 0);
    CHECK(ecru_address_text(&peer, text, sizeof text) > 0);
    CHECK_STR(text, path);
    ecru_address mine = local_of(client);
    CHECK_EQ(ecru_address_text(&mine, text, sizeof text), 0); // it has no name
    ecru_io_release(client);
    CHECK_EQ(stat(path, &about), 0);
    ecru_io_release(listener);
    CHECK_EQ(stat(path, &about), -1);
    CHECK_EQ(ecru_dial(&client, "unix", path), ECRU_ENOENT);
  }
  CHECK_EQ(rmdir(directory), 0);
}

TEST(net, unix_datagrams_come_from_who_has_a_name) { // I1
  enter_directory();
  char mine[120], data[16], text[ECRU_ADDRESS_TEXT];
  snprintf(mine, sizeof mine, "%s/mine", directory);
  ecru_io *server = listen_at("unixgram", path), *client = NULL;
  ecru_dial_options options = ECRU_DIAL_OPTIONS;
  ecru_address local = parsed("unixgram", mine), from;
  options.local = &local;
  CHECK_EQ(ecru_dial_with(&options, &client, "unixgram", path), 0);
  CHECK_EQ(ecru_io_write(client, "hi", 2, NULL), 2);
  CHECK_EQ(ecru_receive_from(server, data, sizeof data, &from), 2);
  CHECK(ecru_address_text(&from, text, sizeof text) > 0);
  CHECK_STR(text, mine);
  CHECK_EQ(ecru_send_to(server, "ho", 2, &from), 2);
  CHECK_EQ(ecru_io_read(client, data, sizeof data), 2);
  CHECK_EQ(ecru_io_write(client, "", 0, NULL), 0);
  CHECK_EQ(ecru_receive_from(server, data, sizeof data, NULL), 0);
  ecru_io_release(client);
  CHECK_EQ(access(mine, F_OK), -1); // gone with it
  ecru_io_release(server);
  CHECK_EQ(rmdir(directory), 0);
}

TEST(net, packets_of_an_accepted_connection_are_whole) { // I1
  int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  socklen_t bytes = sizeof at;
  ecru_io *listener, *io;
  char data[4];
  CHECK_EQ(bind(listening, (struct sockaddr *)&at, sizeof(sa_family_t)), 0); // the system chooses a name
  CHECK_EQ(getsockname(listening, (struct sockaddr *)&at, &bytes), 0);
  CHECK_EQ(listen(listening, 1), 0);
  CHECK_EQ(ecru_io_adopt(&listener, listening, 0), 0);
  CHECK_EQ(connect(client, (struct sockaddr *)&at, bytes), 0);
  CHECK_EQ(ecru_accept(listener, &io, NULL), 0);
  CHECK_EQ(send(client, "too long", 8, 0), 8);
  CHECK_EQ(send(client, "ab", 2, 0), 2);
  CHECK_EQ(ecru_io_read(io, data, sizeof data), ECRU_EMSGSIZE);
  CHECK_EQ(ecru_io_read(io, data, sizeof data), 2);
  CHECK_EQ(close(client), 0);
  ecru_io_release(io);
  ecru_io_release(listener);
}

static ecru_io *full, *sender;
static void fill_receiver(void) {
  ecru_address to = local_of(full);
  int descriptor = (int)ecru_io_descriptor(sender);
  while (sendto(descriptor, "x", 1, MSG_DONTWAIT, (struct sockaddr *)(void *)to.storage, to.bytes) == 1) {}
  CHECK_EQ(errno_here(), EAGAIN);
}
static int64_t send_to_full(void) {
  ecru_address to = local_of(full);
  return ecru_send_to(sender, "x", 1, &to);
}
static void drain_later(void *done) {
  char data[4];
  uint64_t before = counters_now().poll_wakes;
  CHECK_EQ(ecru_sleep(20 * ECRU_MILLISECOND), 0);
  CHECK(counters_now().poll_wakes - before <= 2); // each attempt would have been an event
  while (ecru_io_try_read(full, data, sizeof data) == 1) {}
  finish(done);
}
static void close_sender(void *done) {
  CHECK_EQ(ecru_sleep(5 * ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_io_close(sender), 0);
  finish(done);
}
static void send_when_there_is_room(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  full = listen_at("unixgram", "@ecru-full");
  sender = listen_at("unixgram", "@ecru-sender");
  fill_receiver();
  go(drain_later, done);
  CHECK_EQ(send_to_full(), 1);
  await(done, 1); // else it might go on draining
  fill_receiver();
  CHECK_EQ(ecru_io_set_deadline(sender, ECRU_IO_WRITE, ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(send_to_full(), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_io_set_deadline(sender, ECRU_IO_WRITE, ECRU_FOREVER), 0);
  go(close_sender, done);
  CHECK_EQ(send_to_full(), ECRU_ECLOSED);
  await(done, 1);
  ecru_io_release(sender);
  ecru_io_release(full);
  ecru_chan_release(done);
}
TEST(net, a_full_receiver_is_waited_for_without_events) { with_procs(1, send_when_there_is_room); } // I1, I2, I3

TEST(net, unix_names_without_a_file) { // I1
  ecru_io *listener = listen_at("unix", "@ecru-abstract"), *again = NULL;
  CHECK_EQ(ecru_listen(&again, "unix", "@ecru-abstract"), ECRU_EADDRINUSE);
  two p = connect_two("unix", listener);
  write_text(p.a, "x");
  expect_text(p.b, "x");
  release_two(p);
  ecru_io_release(listener);
  ecru_io *nobody = NULL;
  CHECK_EQ(ecru_dial(&nobody, "unix", "@ecru-abstract"), ECRU_ECONNREFUSED);
}

// ---- pipes, terminals ----------------------------------------------------------------------------------------------------

TEST(net, a_pipe_has_two_ends) { // I1
  ecru_io *reader = NULL, *writer = NULL;
  char data[8];
  size_t written = 5;
  CHECK_EQ(ecru_pipe(&reader, &writer), 0);
  CHECK_EQ(ecru_io_write(writer, "abc", 3, NULL), 3);
  CHECK_EQ(ecru_io_read(reader, data, sizeof data), 3);
  CHECK_EQ(ecru_io_read(writer, data, sizeof data), ECRU_EBADF); // the wrong ends
  CHECK_EQ(ecru_io_write(reader, "x", 1, &written), ECRU_EBADF);
  CHECK_EQ(written, 0);
  CHECK_EQ(ecru_io_try_read(reader, data, sizeof data), ECRU_EAGAIN);
  ecru_io_release(writer);
  expect_end(reader);
  ecru_io_release(reader);
  CHECK_EQ(ecru_pipe(NULL, &writer), ECRU_EINVAL);
  CHECK_EQ(ecru_pipe(&reader, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_io_pair(NULL, NULL), ECRU_EINVAL);
}

static ecru_chan *typed;
static void type_a_line(void *terminal) {
  await_waiting_goroutines(1);
  CHECK_EQ(write(*(int *)terminal, "ls -l\n", 6), 6);
  finish(typed);
}
static void read_a_line(void *unused) {
  (void)unused;
  int keyboard, screen;
  ecru_io *tty = NULL;
  char line[64];
  if (openpty(&keyboard, &screen, NULL, NULL, NULL) != 0) SKIP("no terminals here");
  CHECK_EQ(ecru_io_adopt(&tty, screen, 0), 0);
  typed = signals();
  go(type_a_line, &keyboard);
  CHECK_EQ(ecru_io_read(tty, line, sizeof line), 6);
  CHECK(memcmp(line, "ls -l\n", 6) == 0);
  await(typed, 1);
  ecru_chan_release(typed);
  CHECK_EQ(write(keyboard, "one\ntwo\n", 8), 8);
  expect_text(tty, "one\ntwo\n"); // a read each
  CHECK_EQ(ecru_io_write(tty, "$ ", 2, NULL), 2);
  CHECK(read(keyboard, line, sizeof line) >= 2);
  CHECK_EQ(ecru_io_set_deadline(tty, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_read(tty, line, sizeof line), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_io_set_deadline(tty, ECRU_IO_READ, ECRU_FOREVER), 0);
  close(keyboard);
  int64_t ended = ecru_io_read(tty, line, sizeof line);
  CHECK(ended == 0 || ended == ECRU_EIO);
  ecru_io_release(tty);
}
TEST(net, a_terminal_parks_its_goroutine_only) { with_procs(1, read_a_line); } // I1
