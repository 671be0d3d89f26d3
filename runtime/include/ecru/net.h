/// ecru/net.h: connections, listeners and datagrams (rules I1, I3, I4, I5).
///
/// Networks are named as in Go: "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix" (stream), "unixgram".
/// Addresses are written "host:port": "127.0.0.1:80", "[::1]:80", "example.org:http", ":80" (any local address; when dialling, this
/// machine), and for Unix sockets a path, or "@name" in Linux' abstract name space. Names are looked up where parking is allowed.
#ifndef ECRU_NET_H
#define ECRU_NET_H
#include <ecru/io.h>

/// An address of any family, as the system has it (struct sockaddr in `storage`).
typedef struct ecru_address {
  uint32_t bytes;              ///< how many of `storage` count; 0: no address
  uint32_t reserved;
  uint64_t storage[16];        ///< 128 bytes
} ecru_address;
enum { ECRU_ADDRESS_TEXT = 120 /**< room for any address as text, with the terminating zero */ };

/// Options of ecru_listen_with; zero means "the default" in every field.
typedef struct ecru_listen_options {
  size_t size;        ///< sizeof(ecru_listen_options), set by ECRU_LISTEN_OPTIONS
  int backlog;        ///< connections that wait to be accepted; default the system's limit
  unsigned flags;     ///< ECRU_LISTEN_REUSE_PORT, ECRU_LISTEN_V6_ONLY
  uint32_t mode;      ///< permissions of a Unix socket's file; default as the umask says
} ecru_listen_options;
enum {
  ECRU_LISTEN_REUSE_PORT = 1, ///< several listeners, also of other processes, share the port
  ECRU_LISTEN_V6_ONLY = 2,    ///< an IPv6 listener does not take IPv4 connections
};
#define ECRU_LISTEN_OPTIONS {sizeof(ecru_listen_options), 0, 0, 0}

/// Options of ecru_dial_with; zero means "the default" in every field.
typedef struct ecru_dial_options {
  size_t size;               ///< sizeof(ecru_dial_options), set by ECRU_DIAL_OPTIONS
  const ecru_address *local; ///< bind to this address first; a Unix socket's file is removed when the connection is closed
  int64_t fallback_ns;       ///< how long an address is tried before the next one joins in; default 250 ms (RFC 8305); negative: one after the other
} ecru_dial_options;
#define ECRU_DIAL_OPTIONS {sizeof(ecru_dial_options), NULL, 0}

/// Options of a socket, for ecru_io_set_option and ecru_io_option.
enum {
  ECRU_OPTION_NO_DELAY = 1,        ///< TCP: send small packets at once; 1 in what ecru dials and accepts
  ECRU_OPTION_KEEP_ALIVE = 2,      ///< TCP: seconds of silence before the other side is probed; 0: never; 15 in what ecru dials and accepts
  ECRU_OPTION_LINGER = 3,          ///< seconds close waits for unsent data; 0: reset the connection; -1: the system sends in the background
  ECRU_OPTION_SEND_BUFFER = 4,     ///< bytes (the system may round)
  ECRU_OPTION_RECEIVE_BUFFER = 5,  ///< bytes (the system may round)
  ECRU_OPTION_BROADCAST = 6,       ///< UDP
  ECRU_OPTION_TTL = 7,             ///< hops
  ECRU_OPTION_MULTICAST_LOOP = 8,  ///< UDP
  ECRU_OPTION_MULTICAST_TTL = 9,   ///< UDP
};

ECRU_BEGIN
/// Reads an address without looking names up: a literal IP address with a port number, ":port", or, if network is "unix" or "unixgram",
/// a path or "@name". effects: any thread; never parks; does not allocate.
/// returns: 0; ECRU_EINVAL malformed or NULL; ECRU_ENOHOST a name stands where an IP address must; ECRU_EAFNOSUPPORT the address is not of this
/// network; ECRU_EPROTONOSUPPORT unknown network; ECRU_ENAMETOOLONG. since: 0.1
ECRU_API int ecru_address_parse(ecru_address *address, const char *network, const char *text);
/// Writes it as ecru_address_parse reads it. effects: any thread; never parks.
/// returns: the length; ECRU_EINVAL no such family, NULL; ECRU_EOVERFLOW it does not fit (ECRU_ADDRESS_TEXT always does). since: 0.1
ECRU_API int ecru_address_text(const ecru_address *address, char *text, size_t bytes);
/// Its port. effects: any thread; never parks. returns: 0..65535; ECRU_EINVAL it has none. since: 0.1
ECRU_API int ecru_address_port(const ecru_address *address);

/// Connects. A name is looked up; its addresses are tried as RFC 8305 says (Happy Eyeballs), and a half-open try never outlives the
/// call (I4). effects: any thread; parks; allocates. owns: the caller holds one reference to *io.
/// returns: 0; ECRU_ECONNREFUSED, ECRU_EHOSTUNREACH ... the first address' error if none answered; ECRU_ENOHOST, ECRU_EDNS; ECRU_ETIMEDOUT,
/// ECRU_ECANCELED; as ecru_address_parse; ECRU_EMFILE, ECRU_ENFILE, ECRU_ENOBUFS, ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_dial(ecru_io **io, const char *network, const char *address);
/// ecru_dial with options (NULL: defaults). One after the other, each address gets an equal part of the time the token's deadline leaves, but
/// at least 2 s. effects: as ecru_dial. returns: as ecru_dial; ECRU_EAFNOSUPPORT no address is of the family of `local`; ECRU_EADDRINUSE,
/// ECRU_EADDRNOTAVAIL, ECRU_EACCES of `local`. since: 0.1
ECRU_API int ecru_dial_with(const ecru_dial_options *options, ecru_io **io, const char *network, const char *address);
/// Connects to an address that is known. effects, returns: as ecru_dial. since: 0.1
ECRU_API int ecru_dial_address(ecru_io **io, const char *network, const ecru_address *address);
/// Binds and listens (streams), or binds (datagrams). Port 0: the system chooses (ecru_io_local). Without a host and with "tcp" or "udp" it
/// takes IPv6 and IPv4 where the system can. A Unix socket's file is removed when the listener is closed.
/// effects: any thread; parks if a name is to be looked up; allocates. owns: as ecru_dial.
/// returns: 0; ECRU_EADDRINUSE, ECRU_EADDRNOTAVAIL, ECRU_EACCES; as ecru_dial. since: 0.1
ECRU_API int ecru_listen(ecru_io **io, const char *network, const char *address);
/// ecru_listen with options (NULL: defaults). effects, returns: as ecru_listen. since: 0.1
ECRU_API int ecru_listen_with(const ecru_listen_options *options, ecru_io **io, const char *network, const char *address);
/// Takes the next connection, parking while there is none; goes on if one was aborted before it was accepted (I5).
/// *peer (may be NULL) receives who it is. effects: any thread; parks; allocates. owns: as ecru_dial.
/// returns: 0; ECRU_EMFILE, ECRU_ENFILE, ECRU_ENOBUFS, ECRU_ENOMEM: the connection still waits, see ecru_accept_patiently (if there is no memory for
/// its handle alone, it has been closed: ECRU_ENOMEM, too); ECRU_EINVAL not a listener; as ecru_io_read. since: 0.1
ECRU_API int ecru_accept(ecru_io *listener, ecru_io **io, ecru_address *peer);
/// ecru_accept that, when descriptors or memory run out, sleeps (5 ms, doubling up to 1 s) and tries again.
/// effects, returns: as ecru_accept, without these errors. since: 0.1
ECRU_API int ecru_accept_patiently(ecru_io *listener, ecru_io **io, ecru_address *peer);
/// Receives one datagram and who sent it (*from may be NULL). effects: any thread; parks; allocates nothing.
/// returns: its length (0 is a datagram without content); ECRU_EMSGSIZE it is larger than the buffer, which holds its beginning; as ecru_io_read. since: 0.1
ECRU_API int64_t ecru_receive_from(ecru_io *io, void *buffer, size_t bytes, ecru_address *from);
/// Sends one datagram. effects: any thread; parks; allocates nothing.
/// returns: bytes; ECRU_EMSGSIZE; ECRU_EISCONN it was dialled; as ecru_io_write. since: 0.1
ECRU_API int64_t ecru_send_to(ecru_io *io, const void *data, size_t bytes, const ecru_address *to);
/// Its own / its peer's address. effects: any thread; never parks. returns: 0; ECRU_ENOTCONN; ECRU_ENOTSOCK; ECRU_ECLOSED; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_io_local(ecru_io *io, ecru_address *address);
ECRU_API int ecru_io_peer(ecru_io *io, ecru_address *address);
/// Sets / reads one of ECRU_OPTION_*. What a listener has been given, connections it accepts may inherit. effects: any thread; never parks.
/// returns: 0; ECRU_EINVAL, ECRU_ENOPROTOOPT; ECRU_ENOTSOCK; ECRU_ECLOSED. since: 0.1
ECRU_API int ecru_io_set_option(ecru_io *io, int option, int value);
ECRU_API int ecru_io_option(ecru_io *io, int option, int *value);
ECRU_END
#endif
