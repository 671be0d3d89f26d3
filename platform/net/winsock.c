/// platform/net/winsock.c: Winsock's sockets. Addresses: net/address.c.
#include "platform/net.h"

#include <winsock2.h>
#include <ws2tcpip.h>
// after winsock2.h
#include <mswsock.h>

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif

#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE 3 // Windows 10 (1709); headers are older
#define TCP_KEEPINTVL 17
#endif

enum { KEEP_ALIVE_SECONDS = 15 };

static struct sockaddr *raw(ecru_address *address) { return (struct sockaddr *)(void *)address->storage; }
static const struct sockaddr *raw_const(const ecru_address *address) { return (const struct sockaddr *)(const void *)address->storage; }

static int status(int failed) { return failed ? ecru__status_of(WSAGetLastError()) : 0; }

int ecru__net_service(const char *name, bool datagram) {
  struct servent *found = getservbyname(name, datagram ? "udp" : "tcp"); // this thread's
  return found ? ntohs((u_short)found->s_port) : ECRU_ENOHOST;
}

int ecru__net_open(intptr_t *descriptor, enum ecru__family family, bool datagram) {
  int domain = family == ECRU__FAMILY_V4 ? AF_INET : family == ECRU__FAMILY_V6 ? AF_INET6 : AF_UNIX;
  SOCKET s = WSASocketW(domain, datagram ? SOCK_DGRAM : SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (s == INVALID_SOCKET) return status(1);
  u_long yes = 1;
  if (ioctlsocket(s, FIONBIO, &yes) != 0) {
    int failed = status(1);
    closesocket(s);
    return failed;
  }
  BOOL no = FALSE; // that somebody a datagram was sent to is not there is no reason to receive none from others
  DWORD bytes;
  if (datagram) WSAIoctl(s, SIO_UDP_CONNRESET, &no, sizeof no, NULL, 0, &bytes, NULL, NULL);
  *descriptor = (intptr_t)s;
  return 0;
}

static int set_int(SOCKET s, int level, int name, int value) { return setsockopt(s, level, name, (const char *)&value, sizeof value); }

static int set_keep_alive(SOCKET s, int seconds) {
  if (set_int(s, SOL_SOCKET, SO_KEEPALIVE, seconds > 0) != 0) return -1;
  if (seconds <= 0) return 0;
  if (set_int(s, IPPROTO_TCP, TCP_KEEPIDLE, seconds) != 0) return -1;
  return set_int(s, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
}

void ecru__net_tune(intptr_t descriptor) {
  set_int((SOCKET)descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set_keep_alive((SOCKET)descriptor, KEEP_ALIVE_SECONDS);
}

bool ecru__net_tune_listener(intptr_t descriptor) {
  (void)descriptor; // not documented what is inherited
  return false;
}

/// Windows binds a TCP port while old connections linger. What it calls SO_REUSEADDR lets others take the port away.
int ecru__net_bind(intptr_t descriptor, const ecru_address *address, unsigned flags, bool datagram) {
  SOCKET s = (SOCKET)descriptor;
  enum ecru__family family = ecru__net_family(address);
  if (flags & ECRU_LISTEN_REUSE_PORT) return ECRU_ENOPROTOOPT;
  int failed = 0;
  if (family != ECRU__FAMILY_UNIX && !datagram) failed = set_int(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  if (!failed && family == ECRU__FAMILY_V6) failed = set_int(s, IPPROTO_IPV6, IPV6_V6ONLY, (flags & ECRU_LISTEN_V6_ONLY) != 0);
  if (!failed) failed = bind(s, raw_const(address), (int)address->bytes);
  return status(failed);
}

int ecru__net_listen(intptr_t descriptor, int backlog) { return status(listen((SOCKET)descriptor, backlog > 0 ? backlog : SOMAXCONN)); }

static int name_of(int (WSAAPI *ask)(SOCKET, struct sockaddr *, int *), intptr_t descriptor, ecru_address *address) {
  ecru_address found = {.bytes = 0};
  int bytes = sizeof found.storage;
  if (ask((SOCKET)descriptor, raw(&found), &bytes) != 0) return status(1);
  found.bytes = (uint32_t)bytes;
  *address = found;
  return 0;
}

int ecru__net_local(intptr_t descriptor, ecru_address *address) { return name_of(getsockname, descriptor, address); }
int ecru__net_peer(intptr_t descriptor, ecru_address *address) { return name_of(getpeername, descriptor, address); }

void ecru__net_unlink(intptr_t descriptor) {
  ecru_address address;
  char path[ECRU_ADDRESS_TEXT];
  if (ecru__net_local(descriptor, &address) != 0 || ecru__net_family(&address) != ECRU__FAMILY_UNIX) return;
  if (ecru__net_host_text(&address, path, sizeof path) > 0) DeleteFileA(path);
}

/// Files have no such modes here: who may write to the directory decides.
int ecru__net_set_mode(const ecru_address *address, uint32_t mode) {
  (void)address, (void)mode;
  return 0;
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
  SOCKET s = (SOCKET)descriptor;
  int level, name;
  if (option == ECRU_OPTION_KEEP_ALIVE) return status(set_keep_alive(s, value));
  if (option == ECRU_OPTION_LINGER) {
    struct linger linger = {.l_onoff = value >= 0, .l_linger = (u_short)(value >= 0 ? value : 0)};
    return status(setsockopt(s, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof linger));
  }
  if (!plain_option(descriptor, option, &level, &name)) return ECRU_EINVAL;
  return status(set_int(s, level, name, value));
}

static int get_int(SOCKET s, int level, int name, int *value) {
  int bytes = sizeof *value;
  *value = 0;
  return getsockopt(s, level, name, (char *)value, &bytes);
}

int ecru__net_option(intptr_t descriptor, int option, int *value) {
  SOCKET s = (SOCKET)descriptor;
  int level, name, found = 0, failed;
  if (option == ECRU_OPTION_LINGER) {
    struct linger linger = {0, 0};
    int bytes = sizeof linger;
    failed = getsockopt(s, SOL_SOCKET, SO_LINGER, (char *)&linger, &bytes);
    if (!failed) *value = linger.l_onoff ? linger.l_linger : -1;
    return status(failed);
  }
  if (option == ECRU_OPTION_KEEP_ALIVE) {
    failed = get_int(s, SOL_SOCKET, SO_KEEPALIVE, &found);
    if (!failed && found) failed = get_int(s, IPPROTO_TCP, TCP_KEEPIDLE, &found);
  } else {
    if (!plain_option(descriptor, option, &level, &name)) return ECRU_EINVAL;
    failed = get_int(s, level, name, &found);
  }
  if (!failed) *value = option == ECRU_OPTION_NO_DELAY || option == ECRU_OPTION_BROADCAST ? found != 0 : found;
  return status(failed);
}
