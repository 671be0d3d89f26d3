/// runtime/address.h: taking "network" and "host:port" apart.
#ifndef ECRU_RUNTIME_ADDRESS_H
#define ECRU_RUNTIME_ADDRESS_H
#include "platform/net.h"

enum { ECRU__HOST_BYTES = 256 };
struct ecru__network {
  enum ecru__family family; // NONE: IPv4 or IPv6
  bool datagram;
};
/// returns: 0; ECRU_EPROTONOSUPPORT.
int ecru__network_parse(struct ecru__network *network, const char *name);
/// returns: 0; ECRU_EINVAL malformed; ECRU_ENOHOST unknown service; ECRU_ENAMETOOLONG.
int ecru__split_host_port(const char *text, bool datagram, char *host, size_t host_bytes, uint16_t *port);
#endif
