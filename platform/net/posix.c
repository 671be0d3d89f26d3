/// platform/net/posix.c: BSD sockets. Addresses: net/address.c; options: net/options.c.
#include "platform/net/options.h"
#include "platform/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr *raw(ecru_address *address) { return (struct sockaddr *)(void *)address->storage; }
static const struct sockaddr *raw_const(const ecru_address *address) { return (const struct sockaddr *)(const void *)address->storage; }

int ecru__net_status(int failed) { return failed ? ecru__status_of(errno) : 0; }

static int status_and_errno(int failed, int saved_errno) {
  int status = ecru__net_status(failed);
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
  if (family != ECRU__FAMILY_UNIX && !datagram) failed = ecru__net_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!failed && flags & ECRU_LISTEN_REUSE_PORT) failed = ecru__net_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (!failed && family == ECRU__FAMILY_V6) failed = ecru__net_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & ECRU_LISTEN_V6_ONLY) != 0);
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
