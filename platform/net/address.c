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

/// What lies in `storage`, which is declared as numbers: the compiler must not take the one for something else than the other.
typedef union __attribute__((may_alias)) place {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un un;
} place;

static place *place_of(ecru_address *address) { return (place *)(void *)address->storage; }
static const place *place_in(const ecru_address *address) { return (const place *)(const void *)address->storage; }

enum ecru__family ecru__net_family(const ecru_address *address) {
  if (address->bytes < sizeof place_in(address)->any.sa_family) return ECRU__FAMILY_NONE;
  switch (place_in(address)->any.sa_family) {
  case AF_INET: return ECRU__FAMILY_V4;
  case AF_INET6: return ECRU__FAMILY_V6;
  case AF_UNIX: return ECRU__FAMILY_UNIX;
  default: return ECRU__FAMILY_NONE;
  }
}

static place *make_v4(ecru_address *address, uint16_t port) {
  place *made = place_of(memset(address, 0, sizeof *address));
  made->v4.sin_family = AF_INET;
  made->v4.sin_port = htons(port);
  address->bytes = sizeof made->v4;
  return made;
}

static place *make_v6(ecru_address *address, uint16_t port) {
  place *made = place_of(memset(address, 0, sizeof *address));
  made->v6.sin6_family = AF_INET6;
  made->v6.sin6_port = htons(port);
  address->bytes = sizeof made->v6;
  return made;
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
    make_v4(address, port)->v4.sin_addr = v4;
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
  place *made = make_v6(address, port);
  made->v6.sin6_addr = v6;
  made->v6.sin6_scope_id = number;
  return 0;
}

int ecru__net_any(ecru_address *address, enum ecru__family family, uint16_t port) {
  if (family == ECRU__FAMILY_V4) make_v4(address, port)->v4.sin_addr.s_addr = htonl(INADDR_ANY);
  else make_v6(address, port)->v6.sin6_addr = in6addr_any;
  return 0;
}

int ecru__net_loopback(ecru_address *address, enum ecru__family family, uint16_t port) {
  if (family == ECRU__FAMILY_V4) make_v4(address, port)->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else make_v6(address, port)->v6.sin6_addr = in6addr_loopback;
  return 0;
}

int ecru__net_path(ecru_address *address, const char *path) {
  place *made = place_of(address);
  size_t length = strlen(path);
  if (length == 0) return ECRU_EINVAL;
  if (length >= sizeof made->un.sun_path) return ECRU_ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  made->un.sun_family = AF_UNIX;
  memcpy(made->un.sun_path, path, length);
  bool abstract = path[0] == '@';
  if (abstract) made->un.sun_path[0] = 0;
  address->bytes = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
  return 0;
}

void ecru__net_set_port(ecru_address *address, uint16_t port) {
  if (ecru__net_family(address) == ECRU__FAMILY_V4) place_of(address)->v4.sin_port = htons(port);
  if (ecru__net_family(address) == ECRU__FAMILY_V6) place_of(address)->v6.sin6_port = htons(port);
}

int ecru__net_port(const ecru_address *address) {
  if (ecru__net_family(address) == ECRU__FAMILY_V4) return ntohs(place_in(address)->v4.sin_port);
  if (ecru__net_family(address) == ECRU__FAMILY_V6) return ntohs(place_in(address)->v6.sin6_port);
  return ECRU_EINVAL;
}

static const void *ip_of(const ecru_address *address, size_t *bytes) {
  bool v4 = ecru__net_family(address) == ECRU__FAMILY_V4;
  *bytes = v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
  return v4 ? (const void *)&place_in(address)->v4.sin_addr : (const void *)&place_in(address)->v6.sin6_addr;
}

bool ecru__net_same(const ecru_address *a, const ecru_address *b) {
  static const struct in6_addr any;
  size_t bytes;
  if (ecru__net_family(a) != ecru__net_family(b) || ecru__net_port(a) < 0 || ecru__net_port(a) != ecru__net_port(b)) return false;
  const void *of_a = ip_of(a, &bytes), *of_b = ip_of(b, &bytes);
  return memcmp(of_a, of_b, bytes) == 0 || memcmp(of_a, &any, bytes) == 0 || memcmp(of_b, &any, bytes) == 0;
}

static int path_text(const ecru_address *address, char *text, size_t bytes) {
  const char *path = place_in(address)->un.sun_path;
  size_t length = address->bytes - offsetof(struct sockaddr_un, sun_path);
  if (address->bytes <= offsetof(struct sockaddr_un, sun_path)) length = 0; // unnamed
  bool abstract = length > 0 && path[0] == 0;
  if (!abstract) length = strnlen(path, length);
  if (length >= bytes) return ECRU_EOVERFLOW;
  memcpy(text, path, length);
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
    inet_ntop(AF_INET, &place_in(address)->v4.sin_addr, host, sizeof host);
  } else if (family == ECRU__FAMILY_V6) {
    const place *here = place_in(address);
    uint32_t zone = here->v6.sin6_scope_id;
    inet_ntop(AF_INET6, &here->v6.sin6_addr, host, sizeof host);
    char name[IF_NAMESIZE];
    size_t length = strlen(host);
    if (zone && if_indextoname(zone, name)) snprintf(host + length, sizeof host - length, "%%%s", name);
    else if (zone) snprintf(host + length, sizeof host - length, "%%%u", (unsigned)zone);
  } else {
    return ECRU_EINVAL;
  }
  errno = saved_errno;
  size_t length = strlen(host);
  if (length >= bytes) return ECRU_EOVERFLOW;
  memcpy(text, host, length + 1);
  return (int)length;
}
