/// platform/net/address.c: addresses as BSD sockets and Winsock both have them.
#include "platform/net.h"

#if defined(_WIN32)
#include <winsock2.h>
#include <ws2tcpip.h>
// after winsock2.h
#include <afunix.h>
#include <netioapi.h>
#else
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#endif
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof ((ecru_address *)0)->storage, "every address fits");

static const struct sockaddr *raw_const(const ecru_address *address) { return (const struct sockaddr *)(const void *)address->storage; }

enum ecru__family ecru__net_family(const ecru_address *address) {
  if (address->bytes < sizeof raw_const(address)->sa_family) return ECRU__FAMILY_NONE;
  switch (raw_const(address)->sa_family) {
  case AF_INET: return ECRU__FAMILY_V4;
  case AF_INET6: return ECRU__FAMILY_V6;
  case AF_UNIX: return ECRU__FAMILY_UNIX;
  default: return ECRU__FAMILY_NONE;
  }
}

static struct sockaddr_in *make_v4(ecru_address *address, uint16_t port) {
  memset(address, 0, sizeof *address);
  struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)address->storage;
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  address->bytes = sizeof *v4;
  return v4;
}

static struct sockaddr_in6 *make_v6(ecru_address *address, uint16_t port) {
  memset(address, 0, sizeof *address);
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)address->storage;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  address->bytes = sizeof *v6;
  return v6;
}

/// "%eth0" or "%2". returns: the zone's number; 0: none such.
static uint32_t zone_number(const char *zone) {
  char *end;
  if (*zone < '0' || *zone > '9') return if_nametoindex(zone);
  unsigned long long number = strtoull(zone, &end, 10);
  return *end == 0 && number <= UINT32_MAX ? (uint32_t)number : if_nametoindex(zone);
}

int ecru__net_ip(ecru_address *address, const char *text, uint16_t port) {
  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  struct in_addr v4;
  if (inet_pton(AF_INET, text, &v4) == 1) {
    make_v4(address, port)->sin_addr = v4;
    return 0;
  }
  if (strlen(text) >= sizeof host) return ECRU_ENOHOST;
  strcpy(host, text);
  char *zone = strchr(host, '%');
  if (zone) *zone++ = 0;
  struct in6_addr v6;
  if (inet_pton(AF_INET6, host, &v6) != 1) return ECRU_ENOHOST;
  int saved_errno = errno;
  uint32_t number = zone ? zone_number(zone) : 0;
  errno = saved_errno;
  if (zone && number == 0) return ECRU_ENOHOST;
  struct sockaddr_in6 *made = make_v6(address, port);
  made->sin6_addr = v6;
  made->sin6_scope_id = number;
  return 0;
}

int ecru__net_any(ecru_address *address, enum ecru__family family, uint16_t port) {
  if (family == ECRU__FAMILY_V4) make_v4(address, port)->sin_addr.s_addr = htonl(INADDR_ANY);
  else make_v6(address, port)->sin6_addr = in6addr_any;
  return 0;
}

int ecru__net_loopback(ecru_address *address, enum ecru__family family, uint16_t port) {
  if (family == ECRU__FAMILY_V4) make_v4(address, port)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else make_v6(address, port)->sin6_addr = in6addr_loopback;
  return 0;
}

int ecru__net_path(ecru_address *address, const char *path) {
  struct sockaddr_un *un = (struct sockaddr_un *)(void *)address->storage;
  size_t length = strlen(path);
  if (length == 0) return ECRU_EINVAL;
  if (length >= sizeof un->sun_path) return ECRU_ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  un->sun_family = AF_UNIX;
  memcpy(un->sun_path, path, length);
  bool abstract = path[0] == '@';
  if (abstract) un->sun_path[0] = 0;
  address->bytes = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
  return 0;
}

void ecru__net_set_port(ecru_address *address, uint16_t port) {
  if (ecru__net_family(address) == ECRU__FAMILY_V4) ((struct sockaddr_in *)(void *)address->storage)->sin_port = htons(port);
  if (ecru__net_family(address) == ECRU__FAMILY_V6) ((struct sockaddr_in6 *)(void *)address->storage)->sin6_port = htons(port);
}

int ecru__net_port(const ecru_address *address) {
  if (ecru__net_family(address) == ECRU__FAMILY_V4) return ntohs(((const struct sockaddr_in *)(const void *)address->storage)->sin_port);
  if (ecru__net_family(address) == ECRU__FAMILY_V6) return ntohs(((const struct sockaddr_in6 *)(const void *)address->storage)->sin6_port);
  return ECRU_EINVAL;
}

static const void *ip_of(const ecru_address *address, size_t *bytes) {
  bool v4 = ecru__net_family(address) == ECRU__FAMILY_V4;
  *bytes = v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
  return v4 ? (const void *)&((const struct sockaddr_in *)(const void *)address->storage)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)address->storage)->sin6_addr;
}

bool ecru__net_same(const ecru_address *a, const ecru_address *b) {
  static const struct in6_addr any;
  size_t bytes;
  if (ecru__net_family(a) != ecru__net_family(b) || ecru__net_port(a) < 0 || ecru__net_port(a) != ecru__net_port(b)) return false;
  const void *of_a = ip_of(a, &bytes), *of_b = ip_of(b, &bytes);
  return memcmp(of_a, of_b, bytes) == 0 || memcmp(of_a, &any, bytes) == 0 || memcmp(of_b, &any, bytes) == 0;
}

static int path_text(const ecru_address *address, char *text, size_t bytes) {
  const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)address->storage;
  size_t length = address->bytes - offsetof(struct sockaddr_un, sun_path);
  if (address->bytes <= offsetof(struct sockaddr_un, sun_path)) length = 0; // unnamed
  bool abstract = length > 0 && un->sun_path[0] == 0;
  if (!abstract) length = strnlen(un->sun_path, length);
  if (length >= bytes) return ECRU_EOVERFLOW;
  memcpy(text, un->sun_path, length);
  if (abstract) text[0] = '@';
  text[length] = 0;
  return (int)length;
}

int ecru__net_host_text(const ecru_address *address, char *text, size_t bytes) {
  enum ecru__family family = ecru__net_family(address);
  if (family == ECRU__FAMILY_UNIX) return path_text(address, text, bytes);
  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE + 10];
  int saved_errno = errno;
  if (family == ECRU__FAMILY_V4) {
    inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address->storage)->sin_addr, host, sizeof host);
  } else if (family == ECRU__FAMILY_V6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address->storage;
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    char name[IF_NAMESIZE];
    size_t length = strlen(host);
    if (v6->sin6_scope_id && if_indextoname(v6->sin6_scope_id, name)) snprintf(host + length, sizeof host - length, "%%%s", name);
    else if (v6->sin6_scope_id) snprintf(host + length, sizeof host - length, "%%%u", (unsigned)v6->sin6_scope_id);
  } else {
    return ECRU_EINVAL;
  }
  errno = saved_errno;
  size_t length = strlen(host);
  if (length >= bytes) return ECRU_EOVERFLOW;
  memcpy(text, host, length + 1);
  return (int)length;
}
