/// ecru/io.h: reading and writing as if it blocked (rules I1, I2, I3, I7).
///
/// An ecru_io is a descriptor that parks only its goroutine: a connection, a listener, a datagram socket, a pipe, a terminal.
/// One handle may be used from many goroutines at once: reads queue up behind reads and writes behind writes, in order of
/// arrival, so that two writes never interleave. Closing wakes everybody, and the descriptor's number is not given back to the
/// system before the last of them has left. All operations end early when the caller's current token fires (K2).
#ifndef ECRU_IO_H
#define ECRU_IO_H
#include <ecru/base.h>

/// A piece of memory, for ecru_io_readv and ecru_io_writev.
typedef struct ecru_buffer {
  void *data;
  size_t bytes;
} ecru_buffer;

/// Directions, for deadlines, half-close and readiness. Bits.
enum {
  ECRU_IO_READ = 1,
  ECRU_IO_WRITE = 2,
};
/// Flags of ecru_io_adopt.
enum {
  ECRU_IO_KEEP_OPEN = 1, ///< closing the handle leaves the descriptor open, in the mode (blocking or not) it came in
};

ECRU_BEGIN
/// Makes a handle for a descriptor the caller has: a socket, pipe, terminal, or anything else that can be polled. Sets it non-blocking
/// (which other processes that share it notice too; if one sets it back, as a child may, goroutines go on parking). owns: the caller holds one reference; the handle owns the
/// descriptor unless ECRU_IO_KEEP_OPEN. effects: any thread; never parks; allocates.
/// returns: 0; ECRU_EINVAL io NULL or a bad flag; ECRU_EBADF; ECRU_EPERM a regular file or directory (these are always ready:
/// ecru/file.h); ECRU_EEXIST it has a handle already; ECRU_ENOMEM. On failure the descriptor stays the caller's. since: 0.1
ECRU_API int ecru_io_adopt(ecru_io **io, intptr_t descriptor, unsigned flags);
/// Takes one more reference. effects: any thread; never parks. returns: io; NULL is passed through. since: 0.1
ECRU_API ecru_io *ecru_io_retain(ecru_io *io);
/// Gives one reference back; the last closes it, if nobody has; in a forked child only the child's copy of the descriptor.
/// effects: any thread; never parks. NULL is ignored. since: 0.1
ECRU_API void ecru_io_release(ecru_io *io);
/// Closes: every pending operation, here and in other goroutines, ends with ECRU_ECLOSED; returns when all have left and the
/// descriptor is closed (I3). effects: any thread; may wait shortly for them, not a cancellation point.
/// returns: 0; ECRU_ECLOSED it was; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_io_close(ecru_io *io);
/// The system's descriptor, for options this interface lacks; do not close or read it. effects: any thread; never parks.
/// returns: the descriptor; ECRU_ECLOSED; ECRU_EINVAL. since: 0.1
ECRU_API intptr_t ecru_io_descriptor(ecru_io *io);

/// Reads what is there, at least one byte, parking while nothing is. For datagrams: one whole datagram.
/// effects: any thread; parks; allocates nothing. Where pollers tell of readiness (everywhere but on Windows) the buffer is written to by the
/// caller's thread and only when it will not park any more: goroutines of one host (ecru/host.h) may give the same one at a time.
/// returns: the number of bytes; 0 at the end of input, for a datagram without content, or if bytes is 0; ECRU_ECLOSED the handle was closed;
/// ECRU_ETIMEDOUT its read deadline or the token's; ECRU_ECANCELED; ECRU_EMSGSIZE the datagram is larger than the buffer, which holds its
/// beginning; ECRU_ECONNRESET and what else the system says; ECRU_EINVAL. since: 0.1
ECRU_API int64_t ecru_io_read(ecru_io *io, void *buffer, size_t bytes);
/// Writes all of it, parking while there is no room; no other write interleaves. *written (may be NULL) always receives how many bytes
/// were taken, also on failure. effects: any thread; parks; allocates nothing. No signal is raised.
/// returns: bytes; ECRU_EPIPE the other side does not read any more; ECRU_EMSGSIZE a datagram too large; errors as ecru_io_read.
/// since: 0.1
ECRU_API int64_t ecru_io_write(ecru_io *io, const void *data, size_t bytes, size_t *written);
/// ecru_io_read into several buffers, filled in order. effects, returns: as ecru_io_read; ECRU_EINVAL count > 1024. since: 0.1
ECRU_API int64_t ecru_io_readv(ecru_io *io, const ecru_buffer *buffers, size_t count);
/// ecru_io_write from several buffers, in order, as one write. effects, returns: as ecru_io_write; ECRU_EINVAL count > 1024. since: 0.1
ECRU_API int64_t ecru_io_writev(ecru_io *io, const ecru_buffer *buffers, size_t count, size_t *written);
/// ecru_io_read that never parks. effects: any thread; never parks, so no cancellation point.
/// returns: as ecru_io_read; ECRU_EAGAIN nothing is there, or another read is under way. since: 0.1
ECRU_API int64_t ecru_io_try_read(ecru_io *io, void *buffer, size_t bytes);
/// Writes what fits without parking. effects: any thread; never parks, so no cancellation point.
/// returns: how many bytes (at least 1 if bytes > 0); ECRU_EAGAIN no room, or another write is under way; as ecru_io_write. since: 0.1
ECRU_API int64_t ecru_io_try_write(ecru_io *io, const void *data, size_t bytes);
/// Sends bytes of a regular file from offset on, without copying them through the program; fewer only if the file ends before.
/// effects: any thread; parks; reading the file may block the thread (G3). *sent as ecru_io_write's *written.
/// returns: how many bytes; errors as ecru_io_write. since: 0.1
ECRU_API int64_t ecru_io_send_file(ecru_io *io, intptr_t file_descriptor, int64_t offset, uint64_t bytes, uint64_t *sent);
/// Writes head, then bytes of a file as ecru_io_send_file, as one write: no other interleaves, and the system is told that the file follows, so
/// that a short head does not travel alone. *sent counts both. effects: any thread; parks; as ecru_io_send_file.
/// returns: how many bytes, head included (fewer only if the file ends before); errors as ecru_io_write. since: 0.1
ECRU_API int64_t ecru_io_send_file_after(ecru_io *io, const void *head, size_t head_bytes, intptr_t file_descriptor, int64_t offset,
                                         uint64_t bytes, uint64_t *sent);
/// Copies from one to the other until the end of input or `most` bytes (UINT64_MAX: no limit), without copying through the program where the
/// system can (splice). *copied (may be NULL) always receives how many bytes arrived. effects: any thread; parks; uses 64 KiB of
/// memory or a pipe. returns: how many bytes; as ecru_io_read and ecru_io_write. since: 0.1
ECRU_API int64_t ecru_io_copy(ecru_io *to, ecru_io *from, uint64_t most, uint64_t *copied);
/// Ends one or both directions of a connection (half-close); the other side reads the end of input after what was written.
/// effects: any thread; never parks. returns: 0; ECRU_ENOTCONN; ECRU_ENOTSOCK; ECRU_ECLOSED; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_io_shutdown(ecru_io *io, unsigned directions);
/// Sets the instant from which on operations in these directions fail with ECRU_ETIMEDOUT, pending ones included; it stays until
/// set anew; ECRU_FOREVER clears it, 0 or any instant in the past is now (I2).
/// effects: any thread; never parks. returns: 0; ECRU_EINVAL; ECRU_ECLOSED; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_io_set_deadline(ecru_io *io, unsigned directions, int64_t deadline_ns);
/// Waits until one of the directions is ready (a read or write would not wait, or would fail at once); takes no turn and no byte.
/// effects: any thread; parks. returns: the ready directions (> 0); as ecru_io_read. since: 0.1
ECRU_API int ecru_io_wait(ecru_io *io, unsigned directions);

/// Waits until a descriptor that has no handle, of a foreign library, is ready in one of the directions (I7). Does not change its mode. Regular files are
/// always ready. The caller keeps it open meanwhile. effects: any thread; parks; allocates once per descriptor number.
/// returns: the ready directions (> 0; both if it is in error or hung up); ECRU_EBADF; ECRU_EINVAL; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_ENOMEM.
/// since: 0.1
ECRU_API int ecru_wait_fd(intptr_t descriptor, unsigned directions);
/// What to wait for, and what was found. For ecru_wait_fds.
typedef struct ecru_fd_event {
  intptr_t descriptor; ///< negative: left out
  unsigned wanted;     ///< directions
  unsigned ready;      ///< out: those of them that are ready; both of them if it is in error or hung up
} ecru_fd_event;
/// ecru_wait_fd for any of several descriptors (one may stand there more than once), until the instant deadline_ns at the latest
/// (ECRU_FOREVER: no limit). effects: any thread; parks; allocates once per descriptor number, and for more than 8 descriptors.
/// returns: how many entries are ready (> 0; all have `ready` set); 0 none by the deadline; ECRU_EBADF one of them is closed, or closed meanwhile
/// (ecru_forget_fd); of one that has a handle: ECRU_ECLOSED, or ECRU_ETIMEDOUT its own deadline; ECRU_EINVAL events NULL, more than 32767 of
/// them or no direction wanted; ECRU_ECANCELED, ECRU_ETIMEDOUT the token's; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_wait_fds(ecru_fd_event *events, size_t count, int64_t deadline_ns);
/// Says that a foreign descriptor is about to be closed: ecru_wait_fd and ecru_wait_fds that wait for it, in any goroutine, end with
/// ECRU_EBADF. Without it they go on waiting, as system calls would. effects: any thread; never parks.
/// returns: 0, also if nobody waits. since: 0.1
ECRU_API int ecru_forget_fd(intptr_t descriptor);

/// Makes a pipe: what is written to *writer is read from *reader. effects: any thread; never parks; allocates.
/// returns: 0; ECRU_EINVAL; ECRU_EMFILE, ECRU_ENFILE; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_pipe(ecru_io **reader, ecru_io **writer);
/// Makes two connected stream sockets. effects, returns: as ecru_pipe. since: 0.1
ECRU_API int ecru_io_pair(ecru_io **a, ecru_io **b);
ECRU_END
#endif
