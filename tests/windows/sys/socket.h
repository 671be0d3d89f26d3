/// tests/windows/sys/socket.h: POSIX' sockets for the tests, by Winsock. A descriptor is the socket's handle, which fits an int.
/// Unix sockets' pairs are TCP connections here.
#ifndef ECRU_TESTS_WINDOWS_SOCKET_H
#define ECRU_TESTS_WINDOWS_SOCKET_H
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <winsock2.h>
#include <ws2tcpip.h>
// after winsock2.h
#include <afunix.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#undef interface
#undef near
#undef far
#undef small

typedef uint32_t in_addr_t;
typedef uint16_t sa_family_t;
struct iovec { void *iov_base; size_t iov_len; };

#define DESCRIPTORS_ARE_HANDLES 1
#define SHUT_RD SD_RECEIVE
#define SHUT_WR SD_SEND
#define SHUT_RDWR SD_BOTH
#define SOCK_NONBLOCK 0x1000
#define SOCK_CLOEXEC 0x2000
#define MSG_DONTWAIT 0
#define MSG_NOSIGNAL 0
#define SO_REUSEPORT SO_REUSEADDR
#define IPPROTO_MPTCP 262 // nobody knows it here
#ifndef TCP_ULP
#define TCP_ULP 31 // likewise
#endif

static inline int test_socket_error(int result) {
  if (result != SOCKET_ERROR) return result;
  int error = WSAGetLastError();
  errno = error == WSAEWOULDBLOCK ? EAGAIN : error == WSAENOTSOCK ? EBADF : error == WSAECONNRESET ? ECONNRESET : error == WSAECONNREFUSED ? ECONNREFUSED
        : error == WSAENOTCONN ? ENOTCONN : error == WSAEADDRINUSE ? EADDRINUSE : error == WSAESHUTDOWN ? EPIPE : EIO;
  return -1;
}
static inline bool test_is_socket(int descriptor) {
  int type, bytes = sizeof type;
  return getsockopt((SOCKET)descriptor, SOL_SOCKET, SO_TYPE, (char *)&type, &bytes) == 0;
}
static inline int test_set_nonblocking(int descriptor, bool nonblocking) {
  u_long mode = nonblocking;
  return test_socket_error(ioctlsocket((SOCKET)descriptor, FIONBIO, &mode));
}
static inline int test_socket(int family, int type, int protocol) {
  SOCKET s = WSASocketW(family, type & 0xfff, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | (type & SOCK_CLOEXEC ? WSA_FLAG_NO_HANDLE_INHERIT : 0));
  if (s == INVALID_SOCKET) return test_socket_error(SOCKET_ERROR);
  if (type & SOCK_NONBLOCK) test_set_nonblocking((int)s, true);
  return (int)s;
}
static inline int test_connect(int descriptor, const void *address, socklen_t bytes) {
  int result = test_socket_error(connect((SOCKET)descriptor, address, bytes));
  if (result < 0 && errno == EAGAIN) errno = EINPROGRESS;
  return result;
}
static inline int test_accept(int descriptor, void *address, socklen_t *bytes) {
  SOCKET s = accept((SOCKET)descriptor, address, bytes);
  return s == INVALID_SOCKET ? test_socket_error(SOCKET_ERROR) : (int)s;
}
static inline int test_bind(int descriptor, const void *address, socklen_t bytes) { return test_socket_error(bind((SOCKET)descriptor, address, bytes)); }
static inline int test_listen(int descriptor, int backlog) { return test_socket_error(listen((SOCKET)descriptor, backlog)); }
static inline int test_getsockname(int descriptor, void *address, socklen_t *bytes) { return test_socket_error(getsockname((SOCKET)descriptor, address, bytes)); }
static inline int test_shutdown(int descriptor, int how) { return test_socket_error(shutdown((SOCKET)descriptor, how)); }
static inline int test_setsockopt(int descriptor, int level, int name, const void *value, socklen_t bytes) {
  return test_socket_error(setsockopt((SOCKET)descriptor, level, name, value, bytes));
}
static inline int test_getsockopt(int descriptor, int level, int name, void *value, socklen_t *bytes) {
  return test_socket_error(getsockopt((SOCKET)descriptor, level, name, value, bytes));
}
static inline long test_send(int descriptor, const void *data, size_t bytes, int flags) {
  return test_socket_error(send((SOCKET)descriptor, data, (int)bytes, flags));
}
static inline long test_recv(int descriptor, void *data, size_t bytes, int flags) {
  return test_socket_error(recv((SOCKET)descriptor, data, (int)bytes, flags));
}
static inline long test_read(int descriptor, void *data, size_t bytes) {
  return test_is_socket(descriptor) ? test_recv(descriptor, data, bytes, 0) : _read(descriptor, data, (unsigned)bytes);
}
static inline long test_write_some(int descriptor, const void *data, size_t bytes) {
  return test_is_socket(descriptor) ? test_send(descriptor, data, bytes, 0) : _write(descriptor, data, (unsigned)bytes);
}
static inline int test_close(int descriptor) {
  return test_is_socket(descriptor) ? test_socket_error(closesocket((SOCKET)descriptor)) : _close(descriptor);
}
static inline int test_dup(int descriptor) {
  WSAPROTOCOL_INFOW about;
  if (!test_is_socket(descriptor)) return _dup(descriptor);
  if (WSADuplicateSocketW((SOCKET)descriptor, GetCurrentProcessId(), &about) != 0) return test_socket_error(SOCKET_ERROR);
  SOCKET s = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &about, 0, WSA_FLAG_OVERLAPPED);
  return s == INVALID_SOCKET ? test_socket_error(SOCKET_ERROR) : (int)s;
}
static inline int test_fcntl(int descriptor, int what, int value) {
  DWORD flags = 0;
  if (what == F_SETFL) return test_set_nonblocking(descriptor, (value & O_NONBLOCK) != 0);
  if (what == F_SETFD) return SetHandleInformation((HANDLE)(intptr_t)descriptor, HANDLE_FLAG_INHERIT, value & FD_CLOEXEC ? 0 : 1) ? 0 : -1;
  if (!GetHandleInformation((HANDLE)(intptr_t)descriptor, &flags)) return errno = EBADF, -1;
  return what == F_GETFD && !(flags & HANDLE_FLAG_INHERIT) ? FD_CLOEXEC : 0;
}
static inline int test_socketpair(int type, int both[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof at;
  BOOL yes = TRUE;
  int listener = test_socket(AF_INET, SOCK_STREAM, 0);
  test_bind(listener, &at, sizeof at);
  test_listen(listener, 1);
  test_getsockname(listener, &at, &bytes);
  both[0] = test_socket(AF_INET, SOCK_STREAM | (type & SOCK_CLOEXEC), 0);
  test_connect(both[0], &at, sizeof at);
  both[1] = test_accept(listener, NULL, NULL);
  for (int i = 0; i < 2; i++) test_setsockopt(both[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  for (int i = 0; i < 2 && type & SOCK_NONBLOCK; i++) test_set_nonblocking(both[i], true);
  test_close(listener);
  return both[0] < 0 || both[1] < 0 ? -1 : 0;
}

#define socket(family, type, protocol) test_socket(family, type, protocol)
#define connect(descriptor, address, bytes) test_connect(descriptor, address, bytes)
#define accept(descriptor, address, bytes) test_accept(descriptor, address, bytes)
#define bind(descriptor, address, bytes) test_bind(descriptor, address, bytes)
#define listen(descriptor, backlog) test_listen(descriptor, backlog)
#define getsockname(descriptor, address, bytes) test_getsockname(descriptor, address, bytes)
#define shutdown(descriptor, how) test_shutdown(descriptor, how)
#define setsockopt(descriptor, level, name, value, bytes) test_setsockopt(descriptor, level, name, value, bytes)
#define getsockopt(descriptor, level, name, value, bytes) test_getsockopt(descriptor, level, name, value, bytes)
#define send(descriptor, data, bytes, flags) test_send(descriptor, data, bytes, flags)
#define recv(descriptor, data, bytes, flags) test_recv(descriptor, data, bytes, flags)
#define read(descriptor, data, bytes) test_read(descriptor, data, bytes)
#define write(descriptor, data, bytes) test_write_some(descriptor, data, bytes)
#define close(descriptor) test_close(descriptor)
#define dup(descriptor) test_dup(descriptor)
#undef fcntl
#define fcntl(descriptor, ...) test_fcntl(descriptor, __VA_ARGS__, 0)
#define test_fcntl(descriptor, what, value, ...) test_fcntl(descriptor, what, value)
#define pipe(both) test_socketpair(SOCK_STREAM, both)
#define socketpair(family, type, protocol, both) test_socketpair(type, both)
#endif
