// Sockets that look like TCP and are not: what a listener accepts is taken for what it is (I1).
#include "runtime/io.h"
#include "tests/sockets.h"

static ecru_io *adopt_listener(int protocol) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  ecru_io *listener = NULL;
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  if (descriptor < 0) SKIP("no MPTCP here");
  CHECK_EQ(bind(descriptor, (struct sockaddr *)&at, sizeof at), 0);
  CHECK_EQ(listen(descriptor, 1), 0);
  CHECK_EQ(ecru_io_adopt(&listener, descriptor, 0), 0);
  return listener;
}

static void check_connection(ecru_io *listener, enum ecru__descriptor_kind accepted) {
  two p = connect_two("tcp", listener);
  char data[8];
  CHECK_EQ(p.a->pollee.kind, ECRU__IS_STREAM);
  CHECK_EQ(p.b->pollee.kind, accepted);
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(ecru_io_write(p.a, "abc", 3, NULL), 3);
    CHECK_EQ(ecru_io_read(p.b, data, sizeof data), 3);
    CHECK_EQ(ecru_io_write(p.b, "defg", 4, NULL), 4);
    CHECK_EQ(ecru_io_read(p.a, data, sizeof data), 4);
  }
  release_two(p);
  ecru_io_release(listener);
}

TEST(net_mptcp, a_listener_accepts_its_own_kind) { // I1
  check_connection(listen_tcp(), ECRU__IS_STREAM);
  check_connection(adopt_listener(IPPROTO_TCP), ECRU__IS_STREAM);
  check_connection(adopt_listener(IPPROTO_MPTCP), ECRU__IS_PARTED);
}
