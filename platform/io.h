/// platform/io.h: one attempt at an operation on a descriptor, never waiting. Mechanism: io/posix.c.
///
/// Operations are data, so that a poller can try them at once, wait for readiness and have them tried again (epoll, kqueue), or give
/// them to the system to finish (completion ports).
#ifndef ECRU_PLATFORM_IO_H
#define ECRU_PLATFORM_IO_H
#include <ecru/base.h>
#include <stdbool.h>

enum { ECRU__IN = 0, ECRU__OUT = 1 }; // directions, as indices

enum ecru__operation_kind {
  ECRU__OP_READ,      // data, bytes -> count; 0: end of input
  ECRU__OP_READ_V,    // vector, count -> count
  ECRU__OP_RECEIVE,   // data, bytes, address -> length of the datagram; ECRU_EMSGSIZE if it was cut off
  ECRU__OP_ACCEPT,    // address -> the new descriptor, non-blocking and not inherited by children
  ECRU__OP_WRITE,     // data, bytes -> count
  ECRU__OP_WRITE_V,   // vector, count -> count
  ECRU__OP_SEND,      // data, bytes, address -> count; ECRU_EBUSY the receiver has no room now, and no event will tell when (Unix)
  ECRU__OP_SEND_FILE, // other, offset, bytes -> count; 0: the file ends here
  ECRU__OP_CONNECT,   // address: started once, then asked how it ended -> 0; ECRU_EBUSY no room now, and no event will tell when (Unix)
  ECRU__OP_SPLICE_IN, // from the descriptor into `other`, a pipe: bytes -> count; ECRU_EAGAIN speaks of the descriptor; ECRU_EINVAL it cannot (now)
  ECRU__OP_SPLICE_OUT, // from `other`, a pipe, into the descriptor: bytes -> count; ECRU_EINVAL likewise, nothing was moved
  ECRU__OP_READY_IN,  // 0 once ready; nothing is moved
  ECRU__OP_READY_OUT,
};

typedef struct ecru__operation {
  enum ecru__operation_kind kind;
  bool started;                // CONNECT: it has been started
  bool mask_pipe_signal;       // of a write: this thread could get SIGPIPE
  bool more;                   // WRITE to a socket: more follows at once, so that a short packet may wait for it
  bool shared;                 // poller's: others can set the descriptor's mode, which says nothing therefore
  uint32_t seen;               // poller's: how many events the direction had before the last attempt
  void *data;
  size_t bytes;
  const void *vector;          // the system's array of buffers (struct iovec)
  size_t count;
  void *address;               // struct sockaddr
  uint32_t *address_bytes;     // in: room; out: length
  intptr_t other;
  int64_t offset;
} ecru__operation;

static inline int ecru__operation_direction(const ecru__operation *operation) {
  enum ecru__operation_kind kind = operation->kind;
  return kind <= ECRU__OP_ACCEPT || kind == ECRU__OP_SPLICE_IN || kind == ECRU__OP_READY_IN ? ECRU__IN : ECRU__OUT;
}

/// What kind of thing a descriptor is.
enum ecru__descriptor_kind {
  ECRU__IS_STREAM = 1,   // plain TCP: fewer bytes read than asked for means that there are no more
  ECRU__IS_PARTED = 2,   // any other stream socket: a Unix one ends a read where descriptors were passed along, TLS at each record
  ECRU__IS_DATAGRAM = 3, // any other socket
  ECRU__IS_LISTENER = 4, // listening socket
  ECRU__IS_PIPE = 5,     // pipe or FIFO: of bytes or, which its read end does not tell, of packets
  ECRU__IS_OTHER = 6,    // terminal, eventfd, ...
  ECRU__IS_FILE = 7,     // always ready: regular file, directory
  ECRU__IS_HANDLE = 8,   // Windows' own kind of pipe: readiness cannot be asked for, the poller does what is done with it (poller/iocp.c)
};
/// returns: one of these; ECRU_EBADF.
int ecru__descriptor_kind(intptr_t descriptor);
/// Whether it is ECRU__IS_FILE, for who need not know more. returns: 1; 0; ECRU_EBADF.
int ecru__is_file(intptr_t descriptor);
/// Of a socket that is a connection, or of what a listening one accepts: ECRU__IS_STREAM, ECRU__IS_PARTED, or ECRU__IS_DATAGRAM for one of packets.
enum ecru__descriptor_kind ecru__connection_kind(intptr_t descriptor);

/// Tries once, goes on after EINTR; errno is preserved. Does not wait even if the operation is `shared` and the mode blocking, but for
/// what io/posix.c tells.
/// returns: the result as above; ECRU_EAGAIN it would have to wait; another ECRU_E*.
int64_t ecru__io_try(intptr_t descriptor, enum ecru__descriptor_kind kind, ecru__operation *operation);
/// Sets or clears non-blocking mode. *was (may be NULL): how it was. returns: 0; ECRU_E*.
int ecru__io_set_blocking(intptr_t descriptor, bool blocking, bool *was);
int ecru__io_close(intptr_t descriptor);
int ecru__io_shutdown(intptr_t descriptor, bool in, bool out);
/// Two ends of a pipe, [0] to read; two connected stream sockets. Non-blocking, not inherited. returns: 0; ECRU_E*.
int ecru__io_pipe(intptr_t ends[2]);
int ecru__io_pair(intptr_t ends[2]);
/// A pipe of which a child gets one end, the C library's descriptor `theirs`, which waits; ours does not, and writes or reads. Neither is inherited unasked.
/// returns: the kind of ours; ECRU_E*.
int ecru__io_pipe_to_child(intptr_t *ours, bool we_write, int *theirs);
void ecru__io_close_of_child(int theirs);
/// Whether there is a byte to read, room to write, right now. returns: bit 1 << direction for each; ECRU_EBADF.
int ecru__io_ready(intptr_t descriptor, bool in, bool out);
/// The status code for the system's error number.
int ecru__status_of(int error);
#endif
