/// tests/windows/net/if.h: there are no networks of one's own (unshare).
#ifndef ECRU_TESTS_WINDOWS_IF_H
#define ECRU_TESTS_WINDOWS_IF_H
#include <sys/socket.h>
enum { CLONE_NEWNET, IFF_RUNNING = 0x40, SIOCSIFFLAGS = 0 };
struct ifreq { char ifr_name[16]; short ifr_flags; };
static inline int unshare(int what) { return (void)what, -1; }
static inline int ioctl(int descriptor, int what, void *argument) { return (void)descriptor, (void)what, (void)argument, -1; }
#ifndef TCP_KEEPCNT
#define TCP_KEEPCNT 16
#endif
#endif
