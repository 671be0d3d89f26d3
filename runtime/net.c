/// runtime/net.c: dialling, listening, accepting, datagrams (rules I1, I4, I5).
#include <ecru/net.h>
#include <ecru/time.h>

#include <string.h>

#include "runtime/dial.h"
#include "runtime/dns.h"

enum { FALLBACK_NS = 250 * 1000 * 1000 }; // RFC 8305's connection attempt delay

int ecru__socket_create(ecru__worker *w, ecru_io **io, enum ecru__family family, enum ecru__descriptor_kind kind) {
  intptr_t descriptor;
  int status = ecru__net_open(&descriptor, family, kind == ECRU__IS_DATAGRAM);
  if (status != 0) return status;
  enum ecru__descriptor_kind stream = kind == ECRU__IS_DATAGRAM ? kind : ecru__connection_kind(descriptor); // the system may be set up to give others
  status = ecru__io_create_or_close(w, io, descriptor, kind == ECRU__IS_STREAM ? stream : kind);
  if (status == 0) (*io)->accepts = stream;
  return status;
}

// ---- dialling ----------------------------------------------------------------------------------------------------------

static int dial_one(ecru_io **io, const struct ecru__network *net, const ecru_address *address, const ecru_address *local) {
  if (local && ecru__net_family(local) != ecru__net_family(address)) return ECRU_EAFNOSUPPORT;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__dial_plan plan = {.datagram = net->datagram, .local = local, .addresses = address, .count = 1};
  int status = ecru__canceled(w);
  if (status == 0) status = ecru__dial_race(&w, io, &plan);
  ecru__leave(w);
  return status;
}

int ecru_dial_address(ecru_io **io, const char *network, const ecru_address *address) {
  struct ecru__network net;
  if (!io || !network || !address) return ECRU_EINVAL;
  int status = ecru__network_parse(&net, network);
  if (status != 0) return status;
  enum ecru__family family = ecru__net_family(address);
  if (family == ECRU__FAMILY_NONE || (net.family && net.family != family) || (!net.family && family == ECRU__FAMILY_UNIX)) return ECRU_EAFNOSUPPORT;
  return dial_one(io, &net, address, NULL);
}

/// ":80" is this machine. returns: how many.
static int loopback_addresses(const struct ecru__network *net, ecru_address *addresses) {
  int count = 0;
  bool v6 = net->family == ECRU__FAMILY_V6 || (!net->family && !net->datagram); // a datagram socket cannot learn that nobody is there
  if (v6) ecru__net_loopback(&addresses[count++], ECRU__FAMILY_V6, 0);
  if (net->family != ECRU__FAMILY_V6) ecru__net_loopback(&addresses[count++], ECRU__FAMILY_V4, 0);
  return count;
}

/// What there is to try for a host. returns: how many; ECRU_ENOHOST, ECRU_EDNS; ECRU_EAFNOSUPPORT; as ecru__park.
static int find_addresses(ecru__worker **w, const struct ecru__network *net, const char *host, ecru_address *addresses) {
  if (*host == 0) return loopback_addresses(net, addresses);
  if (ecru__net_ip(&addresses[0], host, 0) != 0) return ecru__resolve(w, host, net->family, addresses, ECRU__DIAL_MOST);
  return net->family && net->family != ecru__net_family(&addresses[0]) ? ECRU_EAFNOSUPPORT : 1;
}

/// Gives all the port; leaves only those that fit the local address. returns: how many; ECRU_EAFNOSUPPORT.
static int fit(ecru_address *addresses, int count, uint16_t port, const ecru_address *local) {
  int fitting = 0;
  for (int i = 0; i < count; i++) {
    if (local && ecru__net_family(local) != ecru__net_family(&addresses[i])) continue;
    addresses[fitting] = addresses[i];
    ecru__net_set_port(&addresses[fitting++], port);
  }
  return fitting > 0 ? fitting : ECRU_EAFNOSUPPORT;
}

static int dial_host(ecru__worker **w, const ecru_dial_options *options, ecru_io **io, const struct ecru__network *net, const char *host,
                     uint16_t port) {
  ecru_address addresses[ECRU__DIAL_MOST];
  int count = find_addresses(w, net, host, addresses);
  if (count > 0) count = fit(addresses, count, port, options->local);
  if (count <= 0) return count;
  ecru__dial_interleave(addresses, (size_t)count);
  ecru__dial_plan plan = {.datagram = net->datagram, .local = options->local, .addresses = addresses, .count = (size_t)count,
                          .fallback_ns = options->fallback_ns ? options->fallback_ns : FALLBACK_NS};
  return ecru__dial_race(w, io, &plan);
}

int ecru_dial_with(const ecru_dial_options *given, ecru_io **io, const char *network, const char *address) {
  struct ecru__network net;
  ecru_address path;
  ecru_dial_options options = ECRU_DIAL_OPTIONS;
  char host[ECRU__HOST_BYTES];
  uint16_t port;
  if (!io || !network || !address) return ECRU_EINVAL;
  if (given && (given->size < sizeof(size_t) || given->size > sizeof *given)) return ECRU_EINVAL;
  if (given) memcpy(&options, given, given->size);
  int status = ecru__network_parse(&net, network);
  if (status != 0) return status;
  if (net.family == ECRU__FAMILY_UNIX) {
    status = ecru__net_path(&path, address);
    return status == 0 ? dial_one(io, &net, &path, options.local) : status;
  }
  status = ecru__split_host_port(address, net.datagram, host, sizeof host, &port);
  if (status != 0) return status;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  status = ecru__canceled(w);
  if (status == 0) status = dial_host(&w, &options, io, &net, host, port);
  ecru__leave(w);
  return status;
}

int ecru_dial(ecru_io **io, const char *network, const char *address) { return ecru_dial_with(NULL, io, network, address); }

// ---- listening ---------------------------------------------------------------------------------------------------------

static int listen_on(ecru__worker *w, ecru_io **io, const struct ecru__network *net, const ecru_address *address,
                     const ecru_listen_options *options) {
  ecru_io *made = NULL;
  int status = ecru__socket_create(w, &made, ecru__net_family(address), net->datagram ? ECRU__IS_DATAGRAM : ECRU__IS_LISTENER);
  if (status != 0) return status;
  intptr_t descriptor = made->pollee.descriptor;
  status = ecru__net_bind(descriptor, address, options->flags, net->datagram);
  if (status == 0 && net->family == ECRU__FAMILY_UNIX) made->unlink_path = true;
  if (status == 0 && options->mode) status = ecru__net_set_mode(address, options->mode);
  if (status == 0 && !net->datagram && net->family != ECRU__FAMILY_UNIX) made->tunes = ecru__net_tune_listener(descriptor);
  if (status == 0 && !net->datagram) status = ecru__net_listen(descriptor, options->backlog);
  if (status == 0) *io = made;
  else ecru__io_discard(w, made);
  return status;
}

/// Where to listen. A name's IPv4 address comes first, as in Go: whoever dials the name tries it in any case.
/// returns: 0; as ecru_address_parse; ECRU_ENOHOST, ECRU_EDNS; as ecru__park.
static int address_to_bind(ecru__worker **w, const struct ecru__network *net, const char *network, const char *text, ecru_address *address) {
  ecru_address found[ECRU__DIAL_MOST];
  char host[ECRU__HOST_BYTES];
  uint16_t port;
  int status = ecru_address_parse(address, network, text);
  if (status != ECRU_ENOHOST) return status;
  status = ecru__split_host_port(text, net->datagram, host, sizeof host, &port);
  if (status != 0) return status;
  if ((status = ecru__canceled(*w)) != 0) return status;
  int count = ecru__resolve(w, host, net->family, found, ECRU__DIAL_MOST), at = 0;
  if (count < 0) return count;
  for (int i = count - 1; i >= 0; i--)
    if (ecru__net_family(&found[i]) == ECRU__FAMILY_V4) at = i;
  *address = found[at];
  ecru__net_set_port(address, port);
  return 0;
}

static int listen_at(ecru__worker **w, const ecru_listen_options *options, ecru_io **io, const struct ecru__network *net, const char *network,
                     const char *text) {
  ecru_address address;
  int status = address_to_bind(w, net, network, text, &address);
  if (status != 0) return status;
  status = listen_on(*w, io, net, &address, options);
  if (status != ECRU_EAFNOSUPPORT || net->family != ECRU__FAMILY_NONE || text[0] != ':') return status;
  ecru__net_any(&address, ECRU__FAMILY_V4, (uint16_t)ecru__net_port(&address)); // a machine without IPv6
  return listen_on(*w, io, net, &address, options);
}

int ecru_listen_with(const ecru_listen_options *given, ecru_io **io, const char *network, const char *text) {
  struct ecru__network net;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  if (!io || !network || !text) return ECRU_EINVAL;
  if (given && (given->size < sizeof(size_t) || given->size > sizeof *given)) return ECRU_EINVAL;
  if (given) memcpy(&options, given, given->size);
  if (options.backlog < 0 || options.flags & ~(unsigned)(ECRU_LISTEN_REUSE_PORT | ECRU_LISTEN_V6_ONLY)) return ECRU_EINVAL;
  int status = ecru__network_parse(&net, network);
  if (status != 0) return status;
  if (net.family == ECRU__FAMILY_V6) options.flags |= ECRU_LISTEN_V6_ONLY; // "tcp6": nothing else was asked for
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  status = listen_at(&w, &options, io, &net, network, text);
  ecru__leave(w);
  return status;
}

int ecru_listen(ecru_io **io, const char *network, const char *address) { return ecru_listen_with(NULL, io, network, address); }

static int accept_one(ecru__worker **w, ecru_io *listener, ecru_io **io, ecru_address *peer) {
  ecru_address from;
  from.bytes = sizeof from.storage;
  ecru__operation accept = {.kind = ECRU__OP_ACCEPT, .address = from.storage, .address_bytes = &from.bytes};
  int64_t descriptor = ecru__io_do(w, listener, &accept, ECRU__WAIT_ACCEPT);
  if (descriptor < 0) return (int)descriptor;
  enum ecru__family family = ecru__net_family(&from);
  if (!listener->tunes && (family == ECRU__FAMILY_V4 || family == ECRU__FAMILY_V6)) ecru__net_tune((intptr_t)descriptor);
  int status = ecru__io_create_or_close(*w, io, (intptr_t)descriptor, listener->accepts);
  from.reserved = 0;
  if (status == 0 && peer) *peer = from;
  return status;
}

int ecru_accept(ecru_io *listener, ecru_io **io, ecru_address *peer) {
  ECRU__CHECK_HANDLE(listener);
  if (!listener || !io || listener->pollee.kind != ECRU__IS_LISTENER) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = accept_one(&w, listener, io, peer);
  ecru__leave(w);
  return status;
}

static bool is_shortage(int status) {
  return status == ECRU_EMFILE || status == ECRU_ENFILE || status == ECRU_ENOBUFS || status == ECRU_ENOMEM;
}

int ecru_accept_patiently(ecru_io *listener, ecru_io **io, ecru_address *peer) {
  const int64_t shortest = 5 * ECRU_MILLISECOND, longest = ECRU_SECOND;
  for (int64_t pause = shortest;; pause = pause < longest / 2 ? pause * 2 : longest) {
    int status = ecru_accept(listener, io, peer);
    if (!is_shortage(status)) return status;
    status = ecru_sleep(pause);
    if (status != 0) return status;
  }
}

/// A call about the socket itself, safe from its closing.
static int with_descriptor(ecru_io *io, int (*ask)(intptr_t descriptor, ecru_address *address), ecru_address *address) {
  if (!io || !address) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ask(io->pollee.descriptor, address);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

int ecru_io_local(ecru_io *io, ecru_address *address) {
  ECRU__CHECK_HANDLE(io);
  return with_descriptor(io, ecru__net_local, address);
}

int ecru_io_peer(ecru_io *io, ecru_address *address) {
  ECRU__CHECK_HANDLE(io);
  return with_descriptor(io, ecru__net_peer, address);
}

int ecru_io_set_option(ecru_io *io, int option, int value) {
  ECRU__CHECK_HANDLE(io);
  if (!io) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ecru__net_set_option(io->pollee.descriptor, option, value);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

int ecru_io_option(ecru_io *io, int option, int *value) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !value) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ecru__net_option(io->pollee.descriptor, option, value);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

static bool is_datagram(const ecru_io *io) { return io->pollee.kind == ECRU__IS_DATAGRAM; }

static int64_t run_datagram(ecru_io *io, ecru__operation *operation, int reason) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (result == 0) result = ecru__io_do(&w, io, operation, reason);
  ecru__leave(w);
  return result;
}

int64_t ecru_receive_from(ecru_io *io, void *buffer, size_t bytes, ecru_address *from) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffer && bytes > 0) || !is_datagram(io)) return ECRU_EINVAL;
  ecru_address sender;
  sender.bytes = sizeof sender.storage;
  ecru__operation receive = {.kind = ECRU__OP_RECEIVE, .data = buffer, .bytes = bytes, .address = sender.storage, .address_bytes = &sender.bytes};
  int64_t result = run_datagram(io, &receive, ECRU__WAIT_READ);
  sender.reserved = 0;
  if (result >= 0 && from) *from = sender;
  return result;
}

int64_t ecru_send_to(ecru_io *io, const void *data, size_t bytes, const ecru_address *to) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!data && bytes > 0) || !to || !is_datagram(io)) return ECRU_EINVAL;
  uint32_t address_bytes = to->bytes;
  ecru__operation send = {.kind = ECRU__OP_SEND, .data = (void *)(uintptr_t)data, .bytes = bytes,
                          .address = (void *)(uintptr_t)to->storage, .address_bytes = &address_bytes};
  for (;;) {
    int64_t result = run_datagram(io, &send, ECRU__WAIT_WRITE);
    if (result != ECRU_EBUSY) return result;
    int status = ecru_sleep(ECRU_MILLISECOND);
    if (status != 0) return status;
  }
}
