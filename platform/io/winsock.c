/// platform/io/winsock.c: operations on sockets by Winsock, in non-blocking mode. The two ends of a pipe are sockets, too: other pipes of Windows
/// cannot be polled. A child's is one of those (ECRU__IS_HANDLE): what is done with it is the poller's (poller/iocp.c). Windows does not tell what mode a socket is in, and has no signal for a broken pipe.
#include "platform/io/winsock.h"

#include <winsock2.h>
#include <ws2tcpip.h>
// after winsock2.h
#include <fcntl.h>
#include <io.h>
#include <mswsock.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "platform/memory.h"

enum { BUFFERS_AT_ONCE = 64, MOST_BUFFERS = 1024, FILE_PART_BYTES = 16 << 10, ONE_CALL_MAX = 1 << 30 };

__attribute__((constructor)) static void start_winsock(void) {
  WSADATA data;
  WSAStartup(MAKEWORD(2, 2), &data); // what fails after a failure says so
}

int ecru__status_of(int error) {
  switch (error) {
  case WSAEWOULDBLOCK: case WSA_IO_PENDING: return ECRU_EAGAIN;
  case WSAEOPNOTSUPP: case ERROR_NOT_SUPPORTED: case ERROR_CALL_NOT_IMPLEMENTED: return ECRU_ENOTSUP;
  case WSAESHUTDOWN: case ERROR_BROKEN_PIPE: case ERROR_NO_DATA: return ECRU_EPIPE;
  case WSAENETRESET: case ERROR_NETNAME_DELETED: return ECRU_ECONNRESET;
  case WSAESOCKTNOSUPPORT: return ECRU_EPROTONOSUPPORT;
  case WSAEPFNOSUPPORT: return ECRU_EAFNOSUPPORT;
  case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: return ECRU_ENOENT;
  case ERROR_ACCESS_DENIED: case ERROR_SHARING_VIOLATION: return ECRU_EACCES;
  case ERROR_INVALID_HANDLE: case WSAEBADF: return ECRU_EBADF;
  case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: return ECRU_ENOMEM;
  case ERROR_INVALID_PARAMETER: return ECRU_EINVAL;
  case ERROR_DISK_FULL: return ECRU_ENOSPC;
  case ERROR_OPERATION_ABORTED: return ECRU_ECANCELED;
  case ERROR_NOACCESS: return ECRU_EFAULT;
#define SAME(name) case WSA##name: return ECRU_##name;
    SAME(EINTR) SAME(EACCES) SAME(EFAULT) SAME(EINVAL) SAME(EMFILE) SAME(EINPROGRESS) SAME(EALREADY) SAME(ENOTSOCK) SAME(EDESTADDRREQ)
    SAME(EMSGSIZE) SAME(EPROTOTYPE) SAME(ENOPROTOOPT) SAME(EPROTONOSUPPORT) SAME(EAFNOSUPPORT) SAME(EADDRINUSE) SAME(EADDRNOTAVAIL)
    SAME(ENETDOWN) SAME(ENETUNREACH) SAME(ECONNABORTED) SAME(ECONNRESET) SAME(ENOBUFS) SAME(EISCONN) SAME(ENOTCONN) SAME(ETIMEDOUT)
    SAME(ECONNREFUSED) SAME(ELOOP) SAME(ENAMETOOLONG) SAME(EHOSTDOWN) SAME(EHOSTUNREACH) SAME(ENOTEMPTY) SAME(EDQUOT) SAME(ESTALE)
#undef SAME
  default: return ECRU_EUNKNOWN;
  }
}

static int64_t failure(void) { return ecru__status_of(WSAGetLastError()); }
static int64_t result_of(int result) { return result == SOCKET_ERROR ? failure() : result; }
static int length_of(size_t bytes) { return bytes < ONE_CALL_MAX ? (int)bytes : ONE_CALL_MAX; }

/// Readiness right now. failed (may be NULL): a connection could not be made. (Dropped: WSAPoll, which does not tell that before Windows 10 2004.)
/// returns: bit 1 << direction for each; ECRU_E*.
static int look(SOCKET s, bool in, bool out, bool *failed) {
  struct timeval none = {0, 0};
  fd_set reading, writing, failing;
  FD_ZERO(&reading), FD_ZERO(&writing), FD_ZERO(&failing);
  if (in) FD_SET(s, &reading);
  if (out) FD_SET(s, &writing);
  FD_SET(s, &failing);
  if (select(0, &reading, &writing, &failing, &none) == SOCKET_ERROR) return (int)failure();
  if (failed) *failed = FD_ISSET(s, &failing);
  return (FD_ISSET(s, &reading) ? 1 << ECRU__IN : 0) | (FD_ISSET(s, &writing) ? 1 << ECRU__OUT : 0);
}

static int64_t ask_readiness(SOCKET s, int direction) {
  bool failed = false;
  int ready = look(s, direction == ECRU__IN, direction == ECRU__OUT, &failed);
  if (ready < 0) return ready == ECRU_ENOTSOCK ? ECRU_EBADF : ready;
  return ready != 0 || failed ? 0 : ECRU_EAGAIN;
}

static int make_ours(SOCKET s) {
  u_long yes = 1;
  SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0);
  return ioctlsocket(s, FIONBIO, &yes) == 0 ? 0 : (int)failure();
}

static int64_t accept_one(SOCKET s, const ecru__operation *operation) {
  for (;;) {
    int bytes = operation->address_bytes ? (int)*operation->address_bytes : 0;
    SOCKET accepted = accept(s, operation->address, operation->address ? &bytes : NULL);
    // I5: it was gone before we came; there may be others. (Wine says that it is not connected.)
    if (accepted == INVALID_SOCKET && (WSAGetLastError() == WSAECONNRESET || WSAGetLastError() == WSAENOTCONN)) continue;
    if (accepted == INVALID_SOCKET) return failure();
    if (operation->address) *operation->address_bytes = (uint32_t)bytes;
    int status = make_ours(accepted);
    if (status == 0) return (int64_t)accepted;
    closesocket(accepted);
    return status;
  }
}

static int64_t connect_or_ask(SOCKET s, ecru__operation *operation) {
  if (!operation->started) {
    if (connect(s, operation->address, (int)*operation->address_bytes) == 0) return 0;
    if (WSAGetLastError() != WSAEWOULDBLOCK) return failure();
    operation->started = true;
    return ECRU_EAGAIN;
  }
  bool failed = false;
  int ready = look(s, false, true, &failed);
  if (ready < 0) return ready;
  if (ready == 0 && !failed) return ECRU_EAGAIN;
  int error = 0, bytes = sizeof error;
  if (getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&error, &bytes) != 0) return failure();
  return error ? ecru__status_of(error) : 0;
}

static int64_t receive(SOCKET s, WSABUF *pieces, DWORD count, const ecru__operation *operation) {
  DWORD received = 0, flags = 0;
  int bytes = operation->address ? (int)*operation->address_bytes : 0;
  int failed = WSARecvFrom(s, pieces, count, &received, &flags, operation->address, operation->address ? &bytes : NULL, NULL, NULL);
  if (operation->address && (!failed || WSAGetLastError() == WSAEMSGSIZE)) *operation->address_bytes = (uint32_t)bytes;
  return failed ? failure() : received;
}

/// struct iovec and ecru_buffer are the same; Winsock wants the length first. A datagram's must all be there: more than a few are allocated.
/// returns: how many there was room for.
static DWORD pieces_of(const ecru__operation *operation, WSABUF few[BUFFERS_AT_ONCE], WSABUF **pieces) {
  const struct { void *data; size_t bytes; } *from = operation->vector;
  DWORD room = BUFFERS_AT_ONCE, count = operation->count < MOST_BUFFERS ? (DWORD)operation->count : MOST_BUFFERS;
  *pieces = few;
  if (count > room) {
    WSABUF *all = ecru__malloc(count * sizeof *all);
    if (all) *pieces = all;
    else count = room;
  }
  for (DWORD i = 0; i < count; i++) (*pieces)[i] = (WSABUF){(ULONG)length_of(from[i].bytes), from[i].data};
  return count;
}

static int64_t receive_vector(SOCKET s, const ecru__operation *operation) {
  WSABUF few[BUFFERS_AT_ONCE], *pieces;
  DWORD count = pieces_of(operation, few, &pieces), received = 0, flags = 0;
  int64_t result = WSARecv(s, pieces, count, &received, &flags, NULL, NULL) == 0 ? received : failure();
  if (pieces != few) ecru__free(pieces);
  return result;
}

/// Of a datagram socket that has no peer it is said in many ways.
static int64_t send_plainly(SOCKET s, enum ecru__descriptor_kind kind, const ecru__operation *operation) {
  int64_t result = result_of(send(s, operation->data, length_of(operation->bytes), 0));
  struct sockaddr_storage peer;
  int bytes = sizeof peer;
  bool lonely = (result == ECRU_ENOTCONN || result == ECRU_EINVAL) && kind == ECRU__IS_DATAGRAM && getpeername(s, (struct sockaddr *)&peer, &bytes) != 0;
  return lonely ? ECRU_EDESTADDRREQ : result;
}

static int64_t send_vector(SOCKET s, const ecru__operation *operation) {
  WSABUF few[BUFFERS_AT_ONCE], *pieces;
  DWORD count = pieces_of(operation, few, &pieces), sent = 0;
  int64_t result = WSASend(s, pieces, count, &sent, 0, NULL, NULL) == 0 ? sent : failure();
  if (pieces != few) ecru__free(pieces);
  return result;
}

int64_t ecru__winsock_file_part(const ecru__operation *operation, void *part, size_t bytes) {
  OVERLAPPED at = {.Offset = (DWORD)operation->offset, .OffsetHigh = (DWORD)((uint64_t)operation->offset >> 32)};
  DWORD count = 0, wanted = operation->bytes < bytes ? (DWORD)operation->bytes : (DWORD)bytes;
  if (ReadFile((HANDLE)_get_osfhandle((int)operation->other), part, wanted, &count, &at)) return count;
  return GetLastError() == ERROR_HANDLE_EOF ? 0 : ecru__status_of((int)GetLastError());
}

/// A part goes through the program: TransmitFile is for completion ports.
static int64_t send_file(SOCKET s, const ecru__operation *operation) {
  char part[FILE_PART_BYTES];
  int64_t count = ecru__winsock_file_part(operation, part, sizeof part);
  return count > 0 ? result_of(send(s, part, (int)count, 0)) : count;
}

static int64_t once(SOCKET s, enum ecru__descriptor_kind kind, ecru__operation *operation) {
  switch (operation->kind) {
  case ECRU__OP_READ: return result_of(recv(s, operation->data, length_of(operation->bytes), 0));
  case ECRU__OP_READ_V: return receive_vector(s, operation);
  case ECRU__OP_RECEIVE: {
    WSABUF piece = {(ULONG)length_of(operation->bytes), operation->data};
    return receive(s, &piece, 1, operation);
  }
  case ECRU__OP_ACCEPT: return accept_one(s, operation);
  case ECRU__OP_WRITE: return send_plainly(s, kind, operation);
  case ECRU__OP_WRITE_V: return send_vector(s, operation);
  case ECRU__OP_SEND:
    return result_of(sendto(s, operation->data, length_of(operation->bytes), 0, operation->address, (int)*operation->address_bytes));
  case ECRU__OP_SEND_FILE: return send_file(s, operation);
  case ECRU__OP_CONNECT: return connect_or_ask(s, operation);
  case ECRU__OP_SPLICE_IN: case ECRU__OP_SPLICE_OUT: return ECRU_EINVAL;
  case ECRU__OP_READY_IN: return ask_readiness(s, ECRU__IN);
  case ECRU__OP_READY_OUT: return ask_readiness(s, ECRU__OUT);
  }
  return ECRU_EINVAL;
}

/// A pipe's writing end has nothing to receive but the news that the reading end is closed. Writing alone would be told of it one write later.
static bool is_broken(SOCKET s) {
  char byte;
  return recv(s, &byte, 1, MSG_PEEK) != SOCKET_ERROR || WSAGetLastError() != WSAEWOULDBLOCK;
}

int64_t ecru__io_try(intptr_t descriptor, enum ecru__descriptor_kind kind, ecru__operation *operation) {
  if (kind != ECRU__IS_PIPE) return once((SOCKET)descriptor, kind, operation);
  if (ecru__operation_direction(operation) == ECRU__OUT) return is_broken((SOCKET)descriptor) ? ECRU_EPIPE : once((SOCKET)descriptor, kind, operation);
  int64_t result = once((SOCKET)descriptor, kind, operation);
  return result == ECRU_ECONNRESET || result == ECRU_ECONNABORTED ? 0 : result; // the writing end is gone
}

enum ecru__descriptor_kind ecru__connection_kind(intptr_t descriptor) {
  WSAPROTOCOL_INFOW about;
  int bytes = sizeof about;
  if (getsockopt((SOCKET)descriptor, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&about, &bytes) != 0) return ECRU__IS_PARTED;
  if (about.iSocketType != SOCK_STREAM) return ECRU__IS_DATAGRAM;
  return about.iProtocol == IPPROTO_TCP ? ECRU__IS_STREAM : ECRU__IS_PARTED;
}

/// The C runtime's, of files. returns: 0 or 1; ECRU_EBADF.
static int is_crt_file(intptr_t descriptor) {
  struct _stat64 about;
  if (descriptor < 0 || descriptor > INT32_MAX || _fstat64((int)descriptor, &about) != 0) return ECRU_EBADF;
  return (about.st_mode & _S_IFMT) == _S_IFREG || (about.st_mode & _S_IFMT) == _S_IFDIR;
}

int ecru__is_file(intptr_t descriptor) {
  int type, bytes = sizeof type;
  if (getsockopt((SOCKET)descriptor, SOL_SOCKET, SO_TYPE, (char *)&type, &bytes) == 0) return 0;
  return is_crt_file(descriptor);
}

int ecru__descriptor_kind(intptr_t descriptor) {
  int type = 0, bytes = sizeof type;
  DWORD listens = 0;
  if (getsockopt((SOCKET)descriptor, SOL_SOCKET, SO_TYPE, (char *)&type, &bytes) != 0) {
    int is_file = is_crt_file(descriptor);
    return is_file < 0 ? is_file : is_file ? ECRU__IS_FILE : ECRU__IS_OTHER;
  }
  bytes = sizeof listens;
  if (getsockopt((SOCKET)descriptor, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listens, &bytes) == 0 && listens) return ECRU__IS_LISTENER;
  return ecru__connection_kind(descriptor);
}

int ecru__io_set_blocking(intptr_t descriptor, bool blocking, bool *was) {
  u_long mode = !blocking;
  if (was) *was = true; // nobody can tell
  if (ioctlsocket((SOCKET)descriptor, FIONBIO, &mode) == 0) return 0;
  int status = (int)failure();
  return status == ECRU_ENOTSOCK ? ECRU_EBADF : status;
}

int ecru__io_close(intptr_t descriptor) {
  if (closesocket((SOCKET)descriptor) == 0) return 0;
  return WSAGetLastError() == WSAENOTSOCK && CloseHandle((HANDLE)descriptor) ? 0 : (int)failure();
}

int ecru__io_shutdown(intptr_t descriptor, bool in, bool out) {
  return shutdown((SOCKET)descriptor, in && out ? SD_BOTH : in ? SD_RECEIVE : SD_SEND) == 0 ? 0 : (int)failure();
}

// ---- pairs ---------------------------------------------------------------------------------------------------------------

static SOCKET open_stream(void) { return WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT); }

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b) {
  return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/// Connects s to the listener and takes the other side from there. Somebody else may have come first: nobody but ourselves is taken.
static SOCKET connect_to(SOCKET listener, SOCKET s) {
  struct sockaddr_in place = {0}, mine = {0}, theirs = {0};
  int bytes = sizeof place;
  if (getsockname(listener, (struct sockaddr *)&place, &bytes) != 0 || connect(s, (struct sockaddr *)&place, bytes) != 0) return INVALID_SOCKET;
  bytes = sizeof mine;
  if (getsockname(s, (struct sockaddr *)&mine, &bytes) != 0) return INVALID_SOCKET;
  for (;;) {
    bytes = sizeof theirs;
    SOCKET accepted = accept(listener, (struct sockaddr *)&theirs, &bytes);
    if (accepted == INVALID_SOCKET || same(&mine, &theirs)) return accepted;
    closesocket(accepted);
  }
}

static SOCKET listen_here(void) {
  struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  SOCKET s = open_stream();
  if (s == INVALID_SOCKET || (bind(s, (struct sockaddr *)&loopback, sizeof loopback) == 0 && listen(s, 1) == 0)) return s;
  closesocket(s);
  return INVALID_SOCKET;
}

int ecru__io_pair(intptr_t ends[2]) {
  SOCKET listener = listen_here(), both[2] = {INVALID_SOCKET, INVALID_SOCKET};
  BOOL yes = TRUE;
  if (listener != INVALID_SOCKET) both[0] = open_stream();
  if (both[0] != INVALID_SOCKET) both[1] = connect_to(listener, both[0]);
  int status = both[1] == INVALID_SOCKET ? (int)failure() : 0;
  for (int i = 0; i < 2 && status == 0; i++) {
    setsockopt(both[i], IPPROTO_TCP, TCP_NODELAY, (char *)&yes, sizeof yes);
    status = make_ours(both[i]);
  }
  if (listener != INVALID_SOCKET) closesocket(listener);
  for (int i = 0; i < 2; i++) {
    if (status == 0) ends[i] = (intptr_t)both[i];
    else if (both[i] != INVALID_SOCKET) closesocket(both[i]);
  }
  return status;
}

int ecru__io_pipe(intptr_t ends[2]) {
  return ecru__io_pair(ends);
}

enum { PIPE_BYTES = 64 << 10, NAME_BYTES = 64 };

/// A name that nobody has, unless somebody guesses it; then there is none of that name to be had, since there may be one only.
static void name_pipe(char name[NAME_BYTES]) {
  static _Atomic uint32_t count; // atomic: relaxed, a number that nobody else gets
  LARGE_INTEGER now;
  QueryPerformanceCounter(&now);
  uint32_t number = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  snprintf(name, NAME_BYTES, "\\\\.\\pipe\\ecru-%lu-%u-%llx", GetCurrentProcessId(), (unsigned)number, (unsigned long long)now.QuadPart);
}

static HANDLE open_our_end(const char *name, bool we_write) {
  DWORD access = (we_write ? PIPE_ACCESS_OUTBOUND : PIPE_ACCESS_INBOUND) | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE;
  DWORD mode = PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
  return CreateNamedPipeA(name, access, mode, 1, PIPE_BYTES, PIPE_BYTES, 0, NULL);
}

/// Such as a program expects that reads its standard input, or writes its output.
static HANDLE open_their_end(const char *name, bool we_write) {
  DWORD access = we_write ? GENERIC_READ | FILE_WRITE_ATTRIBUTES : GENERIC_WRITE | FILE_READ_ATTRIBUTES;
  return CreateFileA(name, access, 0, NULL, OPEN_EXISTING, 0, NULL);
}

int ecru__io_pipe_to_child(intptr_t *ours, bool we_write, int *theirs) {
  char name[NAME_BYTES];
  name_pipe(name);
  HANDLE our_end = open_our_end(name, we_write);
  if (our_end == INVALID_HANDLE_VALUE) return ecru__status_of((int)GetLastError());
  HANDLE their_end = open_their_end(name, we_write);
  int status = their_end == INVALID_HANDLE_VALUE ? ecru__status_of((int)GetLastError()) : 0;
  if (status == 0 && (*theirs = _open_osfhandle((intptr_t)their_end, we_write ? _O_RDONLY : 0)) < 0) {
    CloseHandle(their_end);
    status = ECRU_EMFILE;
  }
  if (status != 0) CloseHandle(our_end);
  else *ours = (intptr_t)our_end;
  return status != 0 ? status : ECRU__IS_HANDLE;
}

void ecru__io_close_of_child(int theirs) { _close(theirs); }

int ecru__io_ready(intptr_t descriptor, bool in, bool out) {
  int ready = look((SOCKET)descriptor, in, out, NULL);
  return ready == ECRU_ENOTSOCK ? ECRU_EBADF : ready;
}
