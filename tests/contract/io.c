/// tests/contract/io.c: what platform/io.h says of descriptors.
#include "platform/io.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef NULL_DEVICE
#define NULL_DEVICE "/dev/null"
#endif

static int kind_of(int descriptor) {
  CHECK(descriptor >= 0);
  errno = EXFULL;
  int kind = ecru__descriptor_kind(descriptor);
  CHECK_EQ(ecru__is_file(descriptor), kind == ECRU__IS_FILE);
  CHECK_EQ(errno, EXFULL);
  CHECK_EQ(close(descriptor), 0);
  return kind;
}

TEST(io, a_socket_is_of_a_kind) { // I1
  CHECK_EQ(kind_of(socket(AF_INET, SOCK_STREAM, 0)), ECRU__IS_STREAM);
  CHECK_EQ(kind_of(socket(AF_INET, SOCK_DGRAM, 0)), ECRU__IS_DATAGRAM);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(ecru__connection_kind(listener), ECRU__IS_STREAM);
  CHECK_EQ(kind_of(listener), ECRU__IS_LISTENER);
  CHECK_EQ(ecru__descriptor_kind(listener), ECRU_EBADF);
  CHECK_EQ(ecru__is_file(listener), ECRU_EBADF);
  CHECK_EQ(ecru__io_set_blocking(listener, false, NULL), ECRU_EBADF);
}

TEST(io, a_unix_socket_is_of_a_kind) { // I1
  CHECK_EQ(kind_of(socket(AF_UNIX, SOCK_STREAM, 0)), ECRU__IS_PARTED);
  CHECK_EQ(kind_of(socket(AF_UNIX, SOCK_SEQPACKET, 0)), ECRU__IS_DATAGRAM);
}

TEST(io, a_pipe_is_known_at_either_end) { // I1
  int both[2];
  CHECK_EQ(pipe(both), 0);
  CHECK_EQ(kind_of(both[0]), ECRU__IS_PIPE);
  CHECK_EQ(kind_of(both[1]), ECRU__IS_PIPE);
}

TEST(io, a_file_is_of_a_kind) { // I1
  char path[] = "/tmp/ecru_kind_XXXXXX";
  int file = mkstemp(path);
  unlink(path);
  CHECK_EQ(kind_of(file), ECRU__IS_FILE);
  CHECK_EQ(ecru__descriptor_kind(file), ECRU_EBADF);
  CHECK_EQ(kind_of(open(NULL_DEVICE, O_RDONLY)), ECRU__IS_OTHER);
}

TEST(io, a_directory_is_a_file) { // I1
  CHECK_EQ(kind_of(open("/", O_RDONLY)), ECRU__IS_FILE);
}

TEST(io, a_listener_for_packets_gives_packets) { // I1
  int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  CHECK_EQ(bind(listener, (struct sockaddr *)&at, sizeof(sa_family_t)), 0); // the system chooses a name
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(ecru__connection_kind(listener), ECRU__IS_DATAGRAM);
  CHECK_EQ(kind_of(listener), ECRU__IS_LISTENER);
}

TEST(io, tcp_over_ipv6_is_a_stream) { // I1
  int descriptor = socket(AF_INET6, SOCK_STREAM, 0);
  if (descriptor < 0) SKIP("no IPv6 here");
  CHECK_EQ(kind_of(descriptor), ECRU__IS_STREAM);
}

// ---- what looks like TCP: its reads may end earlier ----------------------------------------------------------------------

TEST(io, tcp_of_many_paths_is_no_plain_stream) { // I1
  int descriptor = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (descriptor < 0) SKIP("no MPTCP here");
  CHECK_EQ(ecru__connection_kind(descriptor), ECRU__IS_PARTED);
  CHECK_EQ(kind_of(descriptor), ECRU__IS_PARTED);
}

TEST(io, sctp_is_no_plain_stream) { // I1
  int descriptor = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
  if (descriptor < 0) SKIP("no SCTP here");
  CHECK_EQ(kind_of(descriptor), ECRU__IS_PARTED);
}

TEST(io, tls_in_the_kernel_is_no_plain_stream) { // I1
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0), descriptor = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
  CHECK_EQ(connect(descriptor, (struct sockaddr *)&at, sizeof at), 0);
  if (setsockopt(descriptor, IPPROTO_TCP, TCP_ULP, "tls", 4) != 0) SKIP("no kernel TLS here");
  CHECK_EQ(kind_of(descriptor), ECRU__IS_PARTED);
  CHECK_EQ(close(listener), 0);
}
