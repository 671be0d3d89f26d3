/// runtime/dns.h: look-ups from inside the runtime (rule I4).
#ifndef ECRU_RUNTIME_DNS_H
#define ECRU_RUNTIME_DNS_H
#include "platform/net.h"
#include "runtime/scheduler.h"

/// ecru_resolve from inside; family NONE: both. The caller has looked at its token. returns: as ecru_resolve.
int ecru__resolve(ecru__worker **w, const char *host, enum ecru__family family, ecru_address *addresses, size_t most);
#endif
