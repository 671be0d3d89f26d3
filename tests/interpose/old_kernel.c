// Where the system does not know RWF_NOWAIT for a descriptor, a look comes before the call (as for terminals, everywhere). The program's
// own preadv2 and pwritev2 come before the C library's, so that the interposer, linked with it, meets such a system.
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>

#include "foreign.h"

ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags);
ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
  (void)descriptor, (void)pieces, (void)count, (void)offset, (void)flags;
  errno = EOPNOTSUPP;
  return -1;
}
ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags);
ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
  return preadv2(descriptor, pieces, count, offset, flags);
}

enum { MUCH = 1 << 20 };
static char much[MUCH], arrived[MUCH];

static void call_read(void) { CHECK_EQ(read(ends[0], arrived, 10), 3); }
static void write_three(void) { CHECK_EQ(write(ends[1], "abc", 3), 3); }
static void write_much(void) { CHECK_EQ(write(ends[1], much, MUCH), MUCH); }
static void writev_much(void) {
  struct iovec pieces[] = {{much, 0}, {much, 5}, {much + 5, MUCH - 5}};
  CHECK_EQ(writev(ends[1], pieces, 3), MUCH);
}
static void take_all(void) {
  memset(arrived, 0, MUCH);
  for (size_t got = 0; got < MUCH;) {
    ssize_t more = read(ends[0], arrived + got, MUCH - got);
    CHECK(more > 0);
    got += (size_t)more;
  }
  CHECK(memcmp(much, arrived, MUCH) == 0);
}
static void pipes(void *unused) {
  (void)unused;
  for (int i = 0; i < MUCH; i++) much[i] = (char)(i % 251);
  open_pipe();
  parks(call_read, write_three);
  parks(write_much, take_all);
  parks(writev_much, take_all);
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  CHECK(write(ends[1], much, MUCH) > 0); // what there is room for
  CHECK_EQ(write(ends[1], much, MUCH), -1);
  CHECK_EQ(errno_here(), EAGAIN);
  close(ends[1]);
  while (read(ends[0], arrived, MUCH) > 0) {}
  CHECK_EQ(read(ends[0], arrived, MUCH), 0);
  close(ends[0]);
}
TEST(old_kernel, pipes_are_looked_at_first) { in_goroutine(pipes); } // I7

// A device takes a message with each write: divided, its second half would be a bad packet.
static int device;
static void open_device(void) {
  struct ifreq wanted = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) SKIP("no network of one's own here: %s", strerror(errno));
  device = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (device < 0 || ioctl(device, TUNSETIFF, &wanted) != 0) SKIP("no tun device here: %s", strerror(errno));
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  wanted.ifr_flags = IFF_UP;
  CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &wanted), 0);
  close(control);
}
static void write_packet(void *unused) {
  (void)unused;
  much[0] = 0x45; // IPv4
  CHECK_EQ(write(device, much, 6000), 6000);
}
TEST(old_kernel, messages_are_not_divided) { // I7
  open_device();
  in_goroutine(write_packet);
  close(device);
}
