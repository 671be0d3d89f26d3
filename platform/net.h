/// platform/net.h: sockets and their addresses. Mechanism: net/posix.c. errno is preserved by all.
#ifndef ECRU_PLATFORM_NET_H
#define ECRU_PLATFORM_NET_H
#include <ecru/net.h>
#include <stdbool.h>

#include "platform/io.h"

enum ecru__family { ECRU__FAMILY_NONE = 0, ECRU__FAMILY_V4 = 4, ECRU__FAMILY_V6 = 6, ECRU__FAMILY_UNIX = 1 };

/// Family of an address; NONE: something else.
enum ecru__family ecru__net_family(const ecru_address *address);
/// An IP address from its text without a port (IPv6 without brackets, a zone after %). returns: 0; ECRU_ENOHOST it is no IP address.
int ecru__net_ip(ecru_address *address, const char *text, uint16_t port);
/// The address that stands for any of this machine's. returns: 0.
int ecru__net_any(ecru_address *address, enum ecru__family family, uint16_t port);
/// The loopback address. returns: 0.
int ecru__net_loopback(ecru_address *address, enum ecru__family family, uint16_t port);
/// "@name": Linux' abstract name space. returns: 0; ECRU_ENAMETOOLONG; ECRU_EINVAL empty.
int ecru__net_path(ecru_address *address, const char *path);
/// Whether two IP addresses and their ports are the same; the one that stands for any of this machine's is the same as all of its family.
bool ecru__net_same(const ecru_address *a, const ecru_address *b);
void ecru__net_set_port(ecru_address *address, uint16_t port);
/// returns: 0..65535; ECRU_EINVAL.
int ecru__net_port(const ecru_address *address);
/// The host or path alone. returns: its length; ECRU_EINVAL; ECRU_EOVERFLOW.
int ecru__net_host_text(const ecru_address *address, char *text, size_t bytes);
/// Port number of a named service ("http"). returns: 0..65535; ECRU_ENOHOST unknown.
int ecru__net_service(const char *name, bool datagram);

/// A socket, non-blocking, not inherited. returns: 0; ECRU_EMFILE ...
int ecru__net_open(intptr_t *descriptor, enum ecru__family family, bool datagram);
/// What ecru gives every TCP connection: no delay, keep-alive after 15 s. Fails silently.
void ecru__net_tune(intptr_t descriptor);
/// The same for a TCP listener. returns: whether what it accepts will have it from there.
bool ecru__net_tune_listener(intptr_t descriptor);
/// flags: ECRU_LISTEN_*. A dual-stack IPv6 socket unless ECRU_LISTEN_V6_ONLY; TCP ports can be bound while old connections linger.
int ecru__net_bind(intptr_t descriptor, const ecru_address *address, unsigned flags, bool datagram);
int ecru__net_listen(intptr_t descriptor, int backlog);
int ecru__net_local(intptr_t descriptor, ecru_address *address);
int ecru__net_peer(intptr_t descriptor, ecru_address *address);
/// Removes the file of a bound Unix socket. Nothing to do for others.
void ecru__net_unlink(intptr_t descriptor);
int ecru__net_set_mode(const ecru_address *address, uint32_t mode);
int ecru__net_set_option(intptr_t descriptor, int option, int value);
int ecru__net_option(intptr_t descriptor, int option, int *value);
#endif
