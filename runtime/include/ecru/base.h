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
#define ECRU_STATUS_CODES(X)                                             \
  X(ECRU_OK, 0, "success")                                               \
  X(ECRU_EPERM, -1, "operation not permitted")                           \
  X(ECRU_ENOENT, -2, "no such object")                                   \
  X(ECRU_EINTR, -4, "interrupted")                                       \
  X(ECRU_EIO, -5, "input/output error")                                  \
  X(ECRU_EAGAIN, -11, "would have to wait")                              \
  X(ECRU_ENOMEM, -12, "out of memory")                                   \
  X(ECRU_EBUSY, -16, "in use")                                           \
  X(ECRU_EINVAL, -22, "invalid argument")                                \
  X(ECRU_EMFILE, -24, "too many open files")                             \
  X(ECRU_EPIPE, -32, "broken pipe")                                      \
  X(ECRU_EDEADLK, -35, "would wait for itself")                          \
  X(ECRU_EOVERFLOW, -75, "value too large")                              \
  X(ECRU_ENOTSUP, -95, "not supported here")                             \
  X(ECRU_ETIMEDOUT, -110, "deadline exceeded")                           \
  X(ECRU_ECANCELED, -125, "canceled")                                    \
  X(ECRU_ECLOSED, -1001, "closed")                                       \
  X(ECRU_EFORKED, -1002, "the runtime does not survive fork without exec") \
  X(ECRU_ESHUTDOWN, -1003, "the runtime is shutting down")               \
  X(ECRU_ETHREADS, -1004, "no thread to be had: limit reached or the system refused") \
  X(ECRU_EPANIC, -1005, "ended by an uncaught exception")

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
