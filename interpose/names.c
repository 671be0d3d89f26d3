/// interpose/names.c: looking up names. What the C library does for that (files, sockets, plug-ins) cannot be reached from outside, so the
/// calls run as they are, declared as blocking: the thread is theirs, the processor goes to others. Numbers need no look-up.
/// (Tried: a limit on how many run at once, like ecru_resolve's. Who waits for his turn is pinned, as everybody here (wait.h), and mostly to a
/// thread that does a look-up of its own: they went one after the other instead of by sixteen.)
#include "interpose/real.h"
#include "interpose/wait.h"

static bool is_quick(const char *name, const struct addrinfo *hints) { return !name || (hints && hints->ai_flags & AI_NUMERICHOST); }

ECRU__EXPORT int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                             struct addrinfo **restrict found) {
  if (is_quick(name, hints) || !ecru_can_park()) return real()->getaddrinfo(name, service, hints, found);
  ecru__block_begin();
  int status = real()->getaddrinfo(name, service, hints, found);
  ecru__block_end();
  return status;
}

ECRU__EXPORT int getnameinfo(const struct sockaddr *restrict address, socklen_t bytes, char *restrict name, socklen_t name_bytes,
                             char *restrict service, socklen_t service_bytes, int flags) {
  bool quick = flags & NI_NUMERICHOST || !name;
  if (quick || !ecru_can_park()) return real()->getnameinfo(address, bytes, name, name_bytes, service, service_bytes, flags);
  ecru__block_begin();
  int status = real()->getnameinfo(address, bytes, name, name_bytes, service, service_bytes, flags);
  ecru__block_end();
  return status;
}

ECRU__EXPORT struct hostent *gethostbyname(const char *name) {
  if (!ecru_can_park()) return real()->gethostbyname(name);
  ecru__block_begin();
  struct hostent *host = real()->gethostbyname(name);
  ecru__block_end();
  return host;
}

ECRU__EXPORT struct hostent *gethostbyname2(const char *name, int family) {
  if (!ecru_can_park()) return real()->gethostbyname2(name, family);
  ecru__block_begin();
  struct hostent *host = real()->gethostbyname2(name, family);
  ecru__block_end();
  return host;
}

ECRU__EXPORT struct hostent *gethostbyaddr(const void *address, socklen_t bytes, int family) {
  if (!ecru_can_park()) return real()->gethostbyaddr(address, bytes, family);
  ecru__block_begin();
  struct hostent *host = real()->gethostbyaddr(address, bytes, family);
  ecru__block_end();
  return host;
}

ECRU__EXPORT int gethostbyname_r(const char *restrict name, struct hostent *restrict host, char *restrict buffer, size_t room,
                                 struct hostent **restrict result, int *restrict error) {
  if (!ecru_can_park()) return real()->gethostbyname_r(name, host, buffer, room, result, error);
  ecru__block_begin();
  int status = real()->gethostbyname_r(name, host, buffer, room, result, error);
  ecru__block_end();
  return status;
}

ECRU__EXPORT int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict host, char *restrict buffer, size_t room,
                                  struct hostent **restrict result, int *restrict error) {
  if (!ecru_can_park()) return real()->gethostbyname2_r(name, family, host, buffer, room, result, error);
  ecru__block_begin();
  int status = real()->gethostbyname2_r(name, family, host, buffer, room, result, error);
  ecru__block_end();
  return status;
}

ECRU__EXPORT int gethostbyaddr_r(const void *restrict address, socklen_t bytes, int family, struct hostent *restrict host,
                                 char *restrict buffer, size_t room, struct hostent **restrict result, int *restrict error) {
  if (!ecru_can_park()) return real()->gethostbyaddr_r(address, bytes, family, host, buffer, room, result, error);
  ecru__block_begin();
  int status = real()->gethostbyaddr_r(address, bytes, family, host, buffer, room, result, error);
  ecru__block_end();
  return status;
}
