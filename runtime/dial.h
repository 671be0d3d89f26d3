/// runtime/dial.h: sockets, and connecting to the first of several addresses that answers.
#ifndef ECRU_RUNTIME_DIAL_H
#define ECRU_RUNTIME_DIAL_H
#include "runtime/address.h"
#include "runtime/io.h"

enum { ECRU__DIAL_MOST = 32 }; // addresses of one name that are tried

typedef struct ecru__dial_plan {
  bool datagram;
  const ecru_address *local;     // bind to it first; NULL: the system chooses
  const ecru_address *addresses; // in the order in which they are tried
  size_t count;                  // 1 .. ECRU__DIAL_MOST
  int64_t fallback_ns;           // how long an address is tried before the next joins in; negative: until it has failed
} ecru__dial_plan;

/// A socket for addresses of this family, with its handle. kind: ECRU__IS_DATAGRAM, ECRU__IS_LISTENER, ECRU__IS_STREAM (any stream).
/// returns: 0; ECRU_EMFILE ...
int ecru__socket_create(ecru__worker *w, ecru_io **io, enum ecru__family family, enum ecru__descriptor_kind kind);
/// Orders addresses as RFC 8305 says: IPv6 and IPv4 by turns, IPv6 first, each family in the order given.
void ecru__dial_interleave(ecru_address *addresses, size_t count);
/// Tries them, each after its predecessor has failed or has had fallback_ns; the first to connect wins, the others are closed.
/// returns: 0; the first address' error if all failed; as ecru__park.
int ecru__dial_race(ecru__worker **w, ecru_io **io, const ecru__dial_plan *plan);
#endif
