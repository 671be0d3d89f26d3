/// platform/net/posix.c: BSD sockets. Addresses: net/address.c.
#include "platform/net.h"
#include "platform/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE TCP_KEEPALIVE // macOS
#endif

enum { KEEP_ALIVE_SECONDS = 15 };

static struct sockaddr *raw(ecru_address *address) { return (struct sockaddr *)(void *)address->storage; }
static const struct sockaddr *raw_const(const ecru_address *address) { return (const struct sockaddr *)(const void *)address->storage; }

static int status_and_errno(int failed, int saved_errno) {
  int status = failed ? ecru__status_of(errno) : 0;
  errno = saved_errno;
  return status;
}

int ecru__net_service(const char *name, bool datagram) {
  int saved_errno = errno, failed = 0;
#if defined(__APPLE__)
  struct servent *found = getservbyname(name, datagram ? "udp" : "tcp"); // has a place for each thread
#else
  struct servent entry, *found = NULL;
  char room[1024];
  failed = getservbyname_r(name, datagram ? "udp" : "tcp", &entry, room, sizeof room, &found);
#endif
  errno = saved_errno;
  return failed || !found ? ECRU_ENOHOST : ntohs((uint16_t)found->s_port);
}

int ecru__net_open(intptr_t *descriptor, enum ecru__family family, bool datagram) {
  int domain = family == ECRU__FAMILY_V4 ? AF_INET : family == ECRU__FAMILY_V6 ? AF_INET6 : AF_UNIX, saved_errno = errno;
  int made = ecru__posix_socket(domain, datagram ? SOCK_DGRAM : SOCK_STREAM);
  if (made >= 0) *descriptor = made;
  return status_and_errno(made < 0, saved_errno);
}

static int set_int(int descriptor, int level, int name, int value) { return setsockopt(descriptor, level, name, &value, sizeof value); }

static int set_keep_alive(int descriptor, int seconds) {
  if (set_int(descriptor, SOL_SOCKET, SO_KEEPALIVE, seconds > 0) != 0) return -1;
  if (seconds <= 0) return 0;
  if (set_int(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds) != 0) return -1;
  return set_int(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
}

void ecru__net_tune(intptr_t descriptor) {
  int saved_errno = errno;
  set_int((int)descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set_keep_alive((int)descriptor, KEEP_ALIVE_SECONDS);
  errno = saved_errno;
}

bool ecru__net_tune_listener(intptr_t descriptor) {
#if defined(__linux__)
  ecru__net_tune(descriptor); // spares four calls for each connection
  return true;
#else
  (void)descriptor; // POSIX leaves open what is inherited
  return false;
#endif
}

int ecru__net_bind(intptr_t descriptor, const ecru_address *address, unsigned flags, bool datagram) {
  int saved_errno = errno, fd = (int)descriptor;
  enum ecru__family family = ecru__net_family(address);
  int failed = 0;
  if (family != ECRU__FAMILY_UNIX && !datagram) failed = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!failed && flags & ECRU_LISTEN_REUSE_PORT) failed = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (!failed && family == ECRU__FAMILY_V6) failed = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & ECRU_LISTEN_V6_ONLY) != 0);
  if (!failed) failed = bind(fd, raw_const(address), address->bytes);
  return status_and_errno(failed, saved_errno);
}

int ecru__net_listen(intptr_t descriptor, int backlog) {
  int saved_errno = errno; // the system cuts it down to its limit
  return status_and_errno(listen((int)descriptor, backlog > 0 ? backlog : 65535), saved_errno);
}

static int name_of(int (*ask)(int, struct sockaddr *, socklen_t *), intptr_t descriptor, ecru_address *address) {
  int saved_errno = errno;
  ecru_address found = {.bytes = 0};
  socklen_t bytes = sizeof found.storage;
  int failed = ask((int)descriptor, raw(&found), &bytes);
  found.bytes = bytes < sizeof found.storage ? bytes : (uint32_t)sizeof found.storage;
  if (!failed) *address = found;
  return status_and_errno(failed, saved_errno);
}

int ecru__net_local(intptr_t descriptor, ecru_address *address) { return name_of(getsockname, descriptor, address); }
int ecru__net_peer(intptr_t descriptor, ecru_address *address) { return name_of(getpeername, descriptor, address); }

void ecru__net_unlink(intptr_t descriptor) {
  ecru_address address;
  char path[ECRU_ADDRESS_TEXT];
  if (ecru__net_local(descriptor, &address) != 0 || ecru__net_family(&address) != ECRU__FAMILY_UNIX) return;
  int saved_errno = errno;
  if (ecru__net_host_text(&address, path, sizeof path) > 0 && path[0] != '@') unlink(path);
  errno = saved_errno;
}

int ecru__net_set_mode(const ecru_address *address, uint32_t mode) {
  char path[ECRU_ADDRESS_TEXT];
  if (ecru__net_family(address) != ECRU__FAMILY_UNIX || ecru__net_host_text(address, path, sizeof path) <= 0 || path[0] == '@') return 0;
  int saved_errno = errno;
  return status_and_errno(chmod(path, (mode_t)mode), saved_errno);
}

/// The system's level and name of an option that is a plain number. returns: whether there is one.
static bool plain_option(int descriptor, int option, int *level, int *name) {
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
  int level, name, saved_errno = errno;
  if (option == ECRU_OPTION_KEEP_ALIVE) return status_and_errno(set_keep_alive((int)descriptor, value), saved_errno);
  if (option == ECRU_OPTION_LINGER) {
    struct linger linger = {.l_onoff = value >= 0, .l_linger = value >= 0 ? value : 0};
    return status_and_errno(setsockopt((int)descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), saved_errno);
  }
  if (!plain_option((int)descriptor, option, &level, &name)) return ECRU_EINVAL;
  return status_and_errno(set_int((int)descriptor, level, name, value), saved_errno);
}

int ecru__net_option(intptr_t descriptor, int option, int *value) {
  int level, name, found = 0, saved_errno = errno, failed;
  socklen_t bytes = sizeof found;
  if (option == ECRU_OPTION_LINGER) {
    struct linger linger;
    bytes = sizeof linger;
    failed = getsockopt((int)descriptor, SOL_SOCKET, SO_LINGER, &linger, &bytes);
    if (!failed) *value = linger.l_onoff ? linger.l_linger : -1;
    return status_and_errno(failed, saved_errno);
  }
  if (option == ECRU_OPTION_KEEP_ALIVE) {
    failed = getsockopt((int)descriptor, SOL_SOCKET, SO_KEEPALIVE, &found, &bytes);
    if (!failed && found) failed = getsockopt((int)descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &found, &bytes);
  } else {
    if (!plain_option((int)descriptor, option, &level, &name)) return ECRU_EINVAL;
    failed = getsockopt((int)descriptor, level, name, &found, &bytes);
  }
  if (!failed) *value = option == ECRU_OPTION_NO_DELAY || option == ECRU_OPTION_BROADCAST ? found != 0 : found;
  return status_and_errno(failed, saved_errno);
}
