/// runtime/address.c: addresses and their text, as Go writes them.
#include "runtime/address.h"

#include <stdio.h>
#include <string.h>

int ecru__network_parse(struct ecru__network *network, const char *name) {
  static const struct { const char *name; struct ecru__network network; } all[] = {
    {"tcp", {ECRU__FAMILY_NONE, false}}, {"tcp4", {ECRU__FAMILY_V4, false}}, {"tcp6", {ECRU__FAMILY_V6, false}},
    {"udp", {ECRU__FAMILY_NONE, true}},  {"udp4", {ECRU__FAMILY_V4, true}},  {"udp6", {ECRU__FAMILY_V6, true}},
    {"unix", {ECRU__FAMILY_UNIX, false}}, {"unixgram", {ECRU__FAMILY_UNIX, true}},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, name) != 0) continue;
    *network = all[i].network;
    return 0;
  }
  return ECRU_EPROTONOSUPPORT;
}

/// "80" or "http". returns: 0..65535; ECRU_EINVAL; ECRU_ENOHOST unknown service.
static int parse_port(const char *text, bool datagram) {
  if (*text == 0) return ECRU_EINVAL;
  if (*text < '0' || *text > '9') return ecru__net_service(text, datagram);
  int number = 0; // (strtol would touch errno)
  for (; *text >= '0' && *text <= '9'; text++) {
    number = number * 10 + (*text - '0');
    if (number > 65535) return ECRU_EINVAL;
  }
  return *text == 0 ? number : ECRU_EINVAL;
}

int ecru__split_host_port(const char *text, bool datagram, char *host, size_t host_bytes, uint16_t *port) {
  const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
  if (!colon) return ECRU_EINVAL;
  if (*text == '[') {
    if (colon == text + 1 || colon[-1] != ']') return ECRU_EINVAL;
    begin++;
    end--;
  } else if (memchr(text, ':', (size_t)(colon - text))) {
    return ECRU_EINVAL; // IPv6 without brackets
  }
  if (end < begin || memchr(begin, '[', (size_t)(end - begin)) || memchr(begin, ']', (size_t)(end - begin))) return ECRU_EINVAL;
  if (*text == '[' && end == begin) return ECRU_EINVAL;
  if ((size_t)(end - begin) >= host_bytes) return ECRU_ENAMETOOLONG;
  int number = parse_port(colon + 1, datagram);
  if (number < 0) return number;
  memcpy(host, begin, (size_t)(end - begin));
  host[end - begin] = 0;
  *port = (uint16_t)number;
  return 0;
}

int ecru_address_parse(ecru_address *address, const char *network, const char *text) {
  struct ecru__network net;
  char host[ECRU__HOST_BYTES];
  uint16_t port;
  if (!address || !network || !text) return ECRU_EINVAL;
  int status = ecru__network_parse(&net, network);
  if (status != 0) return status;
  ecru_address found;
  if (net.family == ECRU__FAMILY_UNIX) {
    status = ecru__net_path(&found, text);
  } else {
    status = ecru__split_host_port(text, net.datagram, host, sizeof host, &port);
    if (status == 0 && *host == 0) status = ecru__net_any(&found, net.family == ECRU__FAMILY_V4 ? ECRU__FAMILY_V4 : ECRU__FAMILY_V6, port);
    else if (status == 0) status = ecru__net_ip(&found, host, port);
    if (status == 0 && net.family && net.family != ecru__net_family(&found)) status = ECRU_EAFNOSUPPORT;
  }
  if (status == 0) *address = found;
  return status;
}

int ecru_address_text(const ecru_address *address, char *text, size_t bytes) {
  char host[ECRU_ADDRESS_TEXT], whole[ECRU_ADDRESS_TEXT + 16];
  if (!address || !text) return ECRU_EINVAL;
  int length = ecru__net_host_text(address, host, sizeof host);
  if (length < 0) return length;
  int port = ecru__net_port(address);
  if (port < 0) memcpy(whole, host, (size_t)length + 1);
  else length = snprintf(whole, sizeof whole, ecru__net_family(address) == ECRU__FAMILY_V6 ? "[%s]:%d" : "%s:%d", host, port);
  if ((size_t)length >= bytes) return ECRU_EOVERFLOW;
  memcpy(text, whole, (size_t)length + 1);
  return length;
}

int ecru_address_port(const ecru_address *address) { return address ? ecru__net_port(address) : ECRU_EINVAL; }
