/// platform/net/options.c: options of sockets, as BSD sockets and Winsock both have them.
#include "platform/net/options.h"

#if defined(_WIN32)
#include <winsock2.h>
#include <ws2tcpip.h>
typedef SOCKET descriptor_of_system;
#else
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
typedef int descriptor_of_system;
#endif
#include <errno.h>

#ifndef TCP_KEEPIDLE
#if defined(_WIN32)
#define TCP_KEEPIDLE 3 // Windows 10 (1709); headers are older
#define TCP_KEEPINTVL 17
#else
#define TCP_KEEPIDLE TCP_KEEPALIVE // macOS
#endif
#endif

enum { KEEP_ALIVE_SECONDS = 15 };

int ecru__net_set_int(intptr_t descriptor, int level, int name, int value) {
  return setsockopt((descriptor_of_system)descriptor, level, name, (const void *)&value, sizeof value);
}

static int get_int(intptr_t descriptor, int level, int name, int *value) {
  socklen_t bytes = sizeof *value;
  *value = 0;
  return getsockopt((descriptor_of_system)descriptor, level, name, (void *)value, &bytes);
}

static int set_keep_alive(intptr_t descriptor, int seconds) {
  if (ecru__net_set_int(descriptor, SOL_SOCKET, SO_KEEPALIVE, seconds > 0) != 0) return -1;
  if (seconds <= 0) return 0;
  if (ecru__net_set_int(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds) != 0) return -1;
  return ecru__net_set_int(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
}

static int get_keep_alive(intptr_t descriptor, int *seconds) {
  int failed = get_int(descriptor, SOL_SOCKET, SO_KEEPALIVE, seconds);
  return !failed && *seconds ? get_int(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds) : failed;
}

static int set_linger(intptr_t descriptor, int seconds) {
  struct linger linger = {.l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0};
  return setsockopt((descriptor_of_system)descriptor, SOL_SOCKET, SO_LINGER, (const void *)&linger, sizeof linger);
}

static int get_linger(intptr_t descriptor, int *seconds) {
  struct linger linger = {0, 0};
  socklen_t bytes = sizeof linger;
  int failed = getsockopt((descriptor_of_system)descriptor, SOL_SOCKET, SO_LINGER, (void *)&linger, &bytes);
  *seconds = linger.l_onoff ? linger.l_linger : -1;
  return failed;
}

void ecru__net_tune(intptr_t descriptor) {
  int saved_errno = errno;
  ecru__net_set_int(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set_keep_alive(descriptor, KEEP_ALIVE_SECONDS);
  errno = saved_errno;
}

/// The system's level and name of an option that is a plain number. returns: whether there is one.
static bool plain_option(intptr_t descriptor, int option, int *level, int *name) {
  ecru_address local;
  bool v6 = ecru__net_local(descriptor, &local) == 0 && ecru__net_family(&local) == ECRU__FAMILY_V6;
  *level = option >= ECRU_OPTION_TTL ? (v6 ? IPPROTO_IPV6 : IPPROTO_IP) : option == ECRU_OPTION_NO_DELAY ? IPPROTO_TCP : SOL_SOCKET;
  switch (option) {
  case ECRU_OPTION_NO_DELAY: *name = TCP_NODELAY; return true;
  case ECRU_OPTION_SEND_BUFFER: *name = SO_SNDBUF; return true;
  case ECRU_OPTION_RECEIVE_BUFFER: *name = SO_RCVBUF; return true;
  case ECRU_OPTION_BROADCAST: *name = SO_BROADCAST; return true;
  case ECRU_OPTION_TTL: *name = v6 ? IPV6_UNICAST_HOPS : IP_TTL; return true;
  case ECRU_OPTION_MULTICAST_LOOP: *name = v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP; return true;
  case ECRU_OPTION_MULTICAST_TTL: *name = v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL; return true;
  default: return false;
  }
}

int ecru__net_set_option(intptr_t descriptor, int option, int value) {
  int level, name, saved_errno = errno, failed;
  if (option == ECRU_OPTION_KEEP_ALIVE) failed = set_keep_alive(descriptor, value);
  else if (option == ECRU_OPTION_LINGER) failed = set_linger(descriptor, value);
  else if (plain_option(descriptor, option, &level, &name)) failed = ecru__net_set_int(descriptor, level, name, value);
  else return ECRU_EINVAL;
  int status = ecru__net_status(failed);
  errno = saved_errno;
  return status;
}

int ecru__net_option(intptr_t descriptor, int option, int *value) {
  int level, name, found, saved_errno = errno, failed;
  if (option == ECRU_OPTION_KEEP_ALIVE) failed = get_keep_alive(descriptor, &found);
  else if (option == ECRU_OPTION_LINGER) failed = get_linger(descriptor, &found);
  else if (plain_option(descriptor, option, &level, &name)) failed = get_int(descriptor, level, name, &found);
  else return ECRU_EINVAL;
  int status = ecru__net_status(failed);
  errno = saved_errno;
  if (!failed) *value = option == ECRU_OPTION_NO_DELAY || option == ECRU_OPTION_BROADCAST ? found != 0 : found;
  return status;
}
