/// platform/net/winsock.c: Winsock's sockets. Addresses: net/address.c; options: net/options.c.
#include "platform/net/options.h"

#include <winsock2.h>
#include <ws2tcpip.h>
// after winsock2.h
#include <mswsock.h>

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif

static struct sockaddr *raw(ecru_address *address) { return (struct sockaddr *)(void *)address->storage; }
static const struct sockaddr *raw_const(const ecru_address *address) { return (const struct sockaddr *)(const void *)address->storage; }

int ecru__net_status(int failed) { return failed ? ecru__status_of(WSAGetLastError()) : 0; }

int ecru__net_service(const char *name, bool datagram) {
  struct servent *found = getservbyname(name, datagram ? "udp" : "tcp"); // this thread's
  return found ? ntohs((u_short)found->s_port) : ECRU_ENOHOST;
}

int ecru__net_open(intptr_t *descriptor, enum ecru__family family, bool datagram) {
  int domain = family == ECRU__FAMILY_V4 ? AF_INET : family == ECRU__FAMILY_V6 ? AF_INET6 : AF_UNIX;
  SOCKET s = WSASocketW(domain, datagram ? SOCK_DGRAM : SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (s == INVALID_SOCKET) return ecru__net_status(1);
  u_long yes = 1;
  if (ioctlsocket(s, FIONBIO, &yes) != 0) {
    int failed = ecru__net_status(1);
    closesocket(s);
    return failed;
  }
  BOOL no = FALSE; // that somebody a datagram was sent to is not there is no reason to receive none from others
  DWORD bytes;
  if (datagram) WSAIoctl(s, SIO_UDP_CONNRESET, &no, sizeof no, NULL, 0, &bytes, NULL, NULL);
  *descriptor = (intptr_t)s;
  return 0;
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
  if (family != ECRU__FAMILY_UNIX && !datagram) failed = ecru__net_set_int(descriptor, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  if (!failed && family == ECRU__FAMILY_V6) failed = ecru__net_set_int(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, (flags & ECRU_LISTEN_V6_ONLY) != 0);
  if (!failed) failed = bind(s, raw_const(address), (int)address->bytes);
  return ecru__net_status(failed);
}

int ecru__net_listen(intptr_t descriptor, int backlog) { return ecru__net_status(listen((SOCKET)descriptor, backlog > 0 ? backlog : SOMAXCONN)); }

static int name_of(int (WSAAPI *ask)(SOCKET, struct sockaddr *, int *), intptr_t descriptor, ecru_address *address) {
  ecru_address found = {.bytes = 0};
  int bytes = sizeof found.storage;
  if (ask((SOCKET)descriptor, raw(&found), &bytes) != 0) return ecru__net_status(1);
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
