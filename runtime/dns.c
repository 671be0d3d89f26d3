/// runtime/dns.c: uv_getaddrinfo and uv_getnameinfo as calls that park (rules I4, I6).
///
/// The request and its answer lie in one block that the caller gives up when its token fires: getaddrinfo cannot be stopped once a thread of
/// the pool is in it. (Dropped: a resolver of our own, which can be cancelled in every state and needs no threads. It would answer differently
/// from the rest of the system: nsswitch, mDNS, VPNs.)
#include <ecru/dns.h>

#include "runtime/dns.h"

#include <string.h>

#include "platform/memory.h"
#include "runtime/address.h"
#include "runtime/uv.h"

typedef struct look_up {
  uv_getaddrinfo_t request;   // loop's thread; its answer is the owner's once the call is finished
  ecru_uv_call *call;         // loop's thread
  int family;                 // set once: AF_*
  char host[ECRU__HOST_BYTES]; // set once
} look_up;

static void dispose(void *state) {
  look_up *l = state;
  if (l->request.addrinfo) uv_freeaddrinfo(l->request.addrinfo);
  ecru__free(l);
}

static void cancel(void *state) { uv_cancel((uv_req_t *)&((look_up *)state)->request); }

static void answered(uv_getaddrinfo_t *request, int status, struct addrinfo *answer) {
  (void)answer; // request->addrinfo
  ecru_uv_finish(((look_up *)request->data)->call, status);
}

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  look_up *l = state;
  struct addrinfo hints = {.ai_family = l->family, .ai_socktype = SOCK_STREAM}; // one socket type: each address once
  l->call = call;
  l->request.data = l;
  int status = uv_getaddrinfo(loop, &l->request, answered, l->host, NULL, &hints);
  return status == UV_EINVAL ? UV_EAI_NONAME : status; // no UTF-8: one more name that nobody has
}

static bool is_known(const ecru_address *addresses, int count, const ecru_address *address) {
  for (int i = 0; i < count; i++)
    if (addresses[i].bytes == address->bytes && memcmp(addresses[i].storage, address->storage, address->bytes) == 0) return true;
  return false;
}

static int copy_answer(const struct addrinfo *answer, ecru_address *addresses, size_t most) {
  int count = 0;
  for (; answer && (size_t)count < most; answer = answer->ai_next) {
    ecru_address address = {.bytes = (uint32_t)answer->ai_addrlen};
    if (answer->ai_addrlen > sizeof address.storage) continue;
    memcpy(address.storage, answer->ai_addr, answer->ai_addrlen);
    if (ecru__net_family(&address) == ECRU__FAMILY_NONE || is_known(addresses, count, &address)) continue;
    addresses[count++] = address;
  }
  return count > 0 ? count : ECRU_ENOHOST;
}

static int look_up_name(ecru__worker **w, const char *host, enum ecru__family family, ecru_address *addresses, size_t most) {
  look_up *l = ecru__calloc(1, sizeof *l);
  if (!l) return ECRU_ENOMEM;
  strcpy(l->host, host);
  l->family = family == ECRU__FAMILY_V4 ? AF_INET : family == ECRU__FAMILY_V6 ? AF_INET6 : AF_UNSPEC;
  int abandoned;
  int status = (int)ecru__uv_await_or_abandon(w, start, cancel, dispose, l, &abandoned, ECRU__WAIT_DNS);
  if (abandoned) return status;
  if (status == 0) status = copy_answer(l->request.addrinfo, addresses, most);
  dispose(l);
  return status;
}

int ecru__resolve(ecru__worker **w, const char *host, enum ecru__family family, ecru_address *addresses, size_t most) {
  ecru_address literal;
  if (most == 0) return ECRU_EINVAL;
  if (*host == 0) return ECRU_ENOHOST;
  if (strlen(host) >= ECRU__HOST_BYTES) return ECRU_ENAMETOOLONG;
  if (ecru__net_ip(&literal, host, 0) != 0) return look_up_name(w, host, family, addresses, most);
  if (family != ECRU__FAMILY_NONE && family != ecru__net_family(&literal)) return ECRU_ENOHOST;
  *addresses = literal;
  return 1;
}

/// "ip", "ip4", "ip6", or a network that one can dial by name. returns: 0; ECRU_EPROTONOSUPPORT.
static int family_of(const char *network, enum ecru__family *family) {
  struct ecru__network net = {ECRU__FAMILY_NONE, false};
  int status = 0;
  if (strcmp(network, "ip4") == 0) net.family = ECRU__FAMILY_V4;
  else if (strcmp(network, "ip6") == 0) net.family = ECRU__FAMILY_V6;
  else if (strcmp(network, "ip") != 0) status = ecru__network_parse(&net, network);
  *family = net.family;
  return net.family == ECRU__FAMILY_UNIX ? ECRU_EPROTONOSUPPORT : status;
}

int ecru_resolve(const char *host, const char *network, ecru_address *addresses, size_t most) {
  enum ecru__family family;
  if (!host || !network || !addresses) return ECRU_EINVAL;
  int status = family_of(network, &family);
  if (status != 0) return status;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  status = ecru__canceled(w);
  if (status == 0) status = ecru__resolve(&w, host, family, addresses, most);
  ecru__leave(w);
  return status;
}

// ---- addresses to names ------------------------------------------------------------------------------------------------

typedef struct reverse {
  uv_getnameinfo_t request;   // as look_up's
  ecru_uv_call *call;         // loop's thread
  ecru_address address;       // set once
} reverse;

static void dispose_reverse(void *state) { ecru__free(state); }

static void cancel_reverse(void *state) { uv_cancel((uv_req_t *)&((reverse *)state)->request); }

static void named(uv_getnameinfo_t *request, int status, const char *name, const char *service) {
  (void)name, (void)service; // request->host
  ecru_uv_finish(((reverse *)request->data)->call, status);
}

static int start_reverse(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  reverse *r = state;
  r->call = call;
  r->request.data = r;
  return uv_getnameinfo(loop, &r->request, named, (const struct sockaddr *)(const void *)r->address.storage, NI_NAMEREQD);
}

static int copy_name(const reverse *r, char *name, size_t bytes) {
  size_t length = strlen(r->request.host);
  if (length >= bytes) return ECRU_EOVERFLOW;
  memcpy(name, r->request.host, length + 1);
  return (int)length;
}

static int look_up_address(ecru__worker **w, const ecru_address *address, char *name, size_t bytes) {
  reverse *r = ecru__calloc(1, sizeof *r);
  if (!r) return ECRU_ENOMEM;
  r->address = *address;
  int abandoned;
  int status = (int)ecru__uv_await_or_abandon(w, start_reverse, cancel_reverse, dispose_reverse, r, &abandoned, ECRU__WAIT_DNS);
  if (abandoned) return status;
  if (status == 0) status = copy_name(r, name, bytes);
  ecru__free(r);
  return status;
}

int ecru_resolve_address(const ecru_address *address, char *name, size_t bytes) {
  if (!address || !name) return ECRU_EINVAL;
  enum ecru__family family = ecru__net_family(address);
  if (family != ECRU__FAMILY_V4 && family != ECRU__FAMILY_V6) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = look_up_address(&w, address, name, bytes);
  ecru__leave(w);
  return status;
}
