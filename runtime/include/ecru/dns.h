/// ecru/dns.h: names to addresses and back, as the system's resolver knows them: hosts file, DNS, whatever is configured (rules I4, I6).
///
/// A look-up parks only its goroutine. The resolver itself runs in libuv's pool: as many at once as half its threads, 16 unless
/// UV_THREADPOOL_SIZE says otherwise; more wait for their turn there. When the caller's token fires it returns at once; a look-up that is already
/// under way goes on unseen, since the system has no way to end it, and frees itself.
#ifndef ECRU_DNS_H
#define ECRU_DNS_H
#include <ecru/net.h>

ECRU_BEGIN
/// Writes the addresses of a host, at most `most`, the best first (RFC 6724), each once, with port 0. A literal IP address is its own address.
/// network: "ip" (both families), "ip4", "ip6", or as in ecru_dial.
/// effects: any thread; parks; allocates.
/// returns: how many (> 0); ECRU_ENOHOST no such host, as there is none with a malformed or empty name, or it has no address of that family; ECRU_EDNS the
/// resolver failed, perhaps not for long; ECRU_EINVAL NULL, most 0; ECRU_ENAMETOOLONG more than 255 bytes; ECRU_EPROTONOSUPPORT no such network; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT; ECRU_ENOMEM, ECRU_ETHREADS, ECRU_EMFILE. since: 0.1
ECRU_API int ecru_resolve(const char *host, const char *network, ecru_address *addresses, size_t most);
/// Writes the name of the host with that address (its port does not matter).
/// effects: any thread; parks; allocates.
/// returns: the name's length; ECRU_ENOHOST it has none; ECRU_EOVERFLOW it does not fit (256 bytes always suffice); ECRU_EINVAL NULL or no IP address;
/// else as ecru_resolve. since: 0.1
ECRU_API int ecru_resolve_address(const ecru_address *address, char *name, size_t bytes);
ECRU_END
#endif
