/// ecru/base.h: status codes, visibility and the few types every other header needs.
///
/// Every function that can fail returns an int: 0 or a count on success, a negative ECRU_E* code on failure.
/// The codes are the same numbers on every operating system. errno is never used and never changed (G11).
#ifndef ECRU_BASE_H
#define ECRU_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define ECRU_BEGIN extern "C" {
#define ECRU_END }
#else
#define ECRU_BEGIN
#define ECRU_END
#endif

#if defined(ECRU_BUILDING) && defined(__GNUC__) && !defined(_WIN32)
#define ECRU_API __attribute__((visibility("default")))
#elif defined(_WIN32) && defined(ECRU_BUILDING_SHARED)
#define ECRU_API __declspec(dllexport)
#elif defined(_WIN32) && defined(ECRU_SHARED)
#define ECRU_API __declspec(dllimport)
#else
#define ECRU_API
#endif

#define ECRU_VERSION_MAJOR 0
#define ECRU_VERSION_MINOR 1
#define ECRU_VERSION_PATCH 0

/// X(name, number, text): one row per status code; numbers are never reused or renumbered.
#define ECRU_STATUS_CODES(X)                                               \
  X(ECRU_OK, 0, "success")                                                 \
  X(ECRU_EPERM, -1, "operation not permitted")                             \
  X(ECRU_ENOENT, -2, "no such object")                                     \
  X(ECRU_ESRCH, -3, "no such process")                                     \
  X(ECRU_EINTR, -4, "interrupted")                                         \
  X(ECRU_EIO, -5, "input/output error")                                    \
  X(ECRU_ENXIO, -6, "no such device or address")                           \
  X(ECRU_E2BIG, -7, "argument list too long")                              \
  X(ECRU_ENOEXEC, -8, "not an executable")                                 \
  X(ECRU_EBADF, -9, "bad descriptor")                                      \
  X(ECRU_ECHILD, -10, "no child process")                                  \
  X(ECRU_EAGAIN, -11, "would have to wait")                                \
  X(ECRU_ENOMEM, -12, "out of memory")                                     \
  X(ECRU_EACCES, -13, "permission denied")                                 \
  X(ECRU_EFAULT, -14, "bad address")                                       \
  X(ECRU_EBUSY, -16, "in use")                                             \
  X(ECRU_EEXIST, -17, "exists already")                                    \
  X(ECRU_EXDEV, -18, "on another file system")                             \
  X(ECRU_ENODEV, -19, "no such device")                                    \
  X(ECRU_ENOTDIR, -20, "not a directory")                                  \
  X(ECRU_EISDIR, -21, "is a directory")                                    \
  X(ECRU_EINVAL, -22, "invalid argument")                                  \
  X(ECRU_ENFILE, -23, "too many open files in the system")                 \
  X(ECRU_EMFILE, -24, "too many open files")                               \
  X(ECRU_ENOTTY, -25, "not a terminal, or not for this device")            \
  X(ECRU_ETXTBSY, -26, "program file in use")                              \
  X(ECRU_EFBIG, -27, "file too large")                                     \
  X(ECRU_ENOSPC, -28, "no space left")                                     \
  X(ECRU_ESPIPE, -29, "cannot seek")                                       \
  X(ECRU_EROFS, -30, "read-only file system")                              \
  X(ECRU_EMLINK, -31, "too many links")                                    \
  X(ECRU_EPIPE, -32, "broken pipe")                                        \
  X(ECRU_ERANGE, -34, "out of range")                                      \
  X(ECRU_EDEADLK, -35, "would wait for itself")                            \
  X(ECRU_ENAMETOOLONG, -36, "name too long")                               \
  X(ECRU_ENOLCK, -37, "no file locks to be had")                           \
  X(ECRU_ENOSYS, -38, "not implemented here")                              \
  X(ECRU_ENOTEMPTY, -39, "directory not empty")                            \
  X(ECRU_ELOOP, -40, "too many symbolic links")                            \
  X(ECRU_ENODATA, -61, "no such attribute, or no data")                    \
  X(ECRU_EPROTO, -71, "protocol error")                                    \
  X(ECRU_EOVERFLOW, -75, "value too large")                                \
  X(ECRU_EILSEQ, -84, "illegal byte sequence")                             \
  X(ECRU_ENOTSOCK, -88, "not a socket")                                    \
  X(ECRU_EDESTADDRREQ, -89, "destination address required")                \
  X(ECRU_EMSGSIZE, -90, "message too long")                                \
  X(ECRU_EPROTOTYPE, -91, "wrong type of socket")                          \
  X(ECRU_ENOPROTOOPT, -92, "no such socket option")                        \
  X(ECRU_EPROTONOSUPPORT, -93, "protocol not supported")                   \
  X(ECRU_ENOTSUP, -95, "not supported here")                               \
  X(ECRU_EAFNOSUPPORT, -97, "address family not supported")                \
  X(ECRU_EADDRINUSE, -98, "address in use")                                \
  X(ECRU_EADDRNOTAVAIL, -99, "address not available")                      \
  X(ECRU_ENETDOWN, -100, "network is down")                                \
  X(ECRU_ENETUNREACH, -101, "network is unreachable")                      \
  X(ECRU_ECONNABORTED, -103, "connection aborted")                         \
  X(ECRU_ECONNRESET, -104, "connection reset by peer")                     \
  X(ECRU_ENOBUFS, -105, "no buffer space")                                 \
  X(ECRU_EISCONN, -106, "is connected")                                    \
  X(ECRU_ENOTCONN, -107, "not connected")                                  \
  X(ECRU_ETIMEDOUT, -110, "deadline exceeded")                             \
  X(ECRU_ECONNREFUSED, -111, "connection refused")                         \
  X(ECRU_EHOSTDOWN, -112, "host is down")                                  \
  X(ECRU_EHOSTUNREACH, -113, "host is unreachable")                        \
  X(ECRU_EALREADY, -114, "under way already")                              \
  X(ECRU_EINPROGRESS, -115, "under way")                                   \
  X(ECRU_ESTALE, -116, "gone from its file server: open it anew")          \
  X(ECRU_EDQUOT, -122, "quota exceeded")                                   \
  X(ECRU_ECANCELED, -125, "canceled")                                      \
  X(ECRU_ECLOSED, -1001, "closed")                                         \
  X(ECRU_EFORKED, -1002, "the runtime does not survive fork without exec") \
  X(ECRU_ESHUTDOWN, -1003, "the runtime is shutting down")                 \
  X(ECRU_ETHREADS, -1004, "no thread to be had: limit reached or the system refused") \
  X(ECRU_EPANIC, -1005, "ended by an uncaught exception")                  \
  X(ECRU_ENOHOST, -1010, "no such host")                                   \
  X(ECRU_EDNS, -1011, "name resolution failed for now")                    \
  X(ECRU_EEOF, -1012, "end of input before the end of what was asked for") \
  X(ECRU_EUNKNOWN, -1013, "unknown error of the system")

enum {
#define ECRU_STATUS_ENUM(name, number, text) name = number,
  ECRU_STATUS_CODES(ECRU_STATUS_ENUM)
#undef ECRU_STATUS_ENUM
};

/// Units of time: every duration and instant is an int64_t count of nanoseconds.
#define ECRU_NANOSECOND INT64_C(1)
#define ECRU_MICROSECOND INT64_C(1000)
#define ECRU_MILLISECOND INT64_C(1000000)
#define ECRU_SECOND INT64_C(1000000000)
/// An instant that never comes.
#define ECRU_FOREVER INT64_MAX

/// What a goroutine runs. The same function can be called directly: nothing about it changes (G1).
typedef void (*ecru_fn)(void *argument);
/// What a task runs: 0 or a negative status; a result may be left in *result.
typedef int (*ecru_task_fn)(void *argument, void **result);

/// Handles. One that was destroyed, or released by its last holder, must not be used again: in a library built with
/// ECRU_CHECK_HANDLES that is a panic with function, object and goroutine.
typedef struct ecru_chan ecru_chan;
typedef struct ecru_tx ecru_tx;
typedef struct ecru_rx ecru_rx;
typedef struct ecru_token ecru_token;
typedef struct ecru_task ecru_task;
typedef struct ecru_group ecru_group;
typedef struct ecru_pool ecru_pool;
typedef struct ecru_timer ecru_timer;
typedef struct ecru_clock ecru_clock;
typedef struct ecru_mutex ecru_mutex;
typedef struct ecru_rwmutex ecru_rwmutex;
typedef struct ecru_cond ecru_cond;
typedef struct ecru_waitgroup ecru_waitgroup;
typedef struct ecru_once ecru_once;
typedef struct ecru_semaphore ecru_semaphore;
typedef struct ecru_barrier ecru_barrier;
typedef struct ecru_singleflight ecru_singleflight;
typedef struct ecru_limiter ecru_limiter;
typedef struct ecru_io ecru_io;

ECRU_BEGIN
/// The English text of a status code ("unknown status" for a number that is none).
/// effects: any thread; never parks; does not allocate. returns: a static string. since: 0.1
ECRU_API const char *ecru_strerror(int status);
/// The name of a status code, such as "ECRU_ECLOSED".
/// effects: any thread; never parks; does not allocate. returns: a static string. since: 0.1
ECRU_API const char *ecru_status_name(int status);
/// The library's version as "major.minor.patch".
/// effects: any thread; never parks; does not allocate. returns: a static string. since: 0.1
ECRU_API const char *ecru_version(void);
ECRU_END
#endif
