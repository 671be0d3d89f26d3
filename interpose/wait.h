/// interpose/wait.h: waiting on behalf of foreign code.
///
///   1 Nothing of ecru is entered before a call would have to wait. So a call that need not wait costs what it does without us, never
///     fails for a token that has fired, and may stand in a signal handler.
///   2 While it waits the goroutine is pinned: foreign code may have cached addresses of thread-locals, errno's first of all.
///   3 How a descriptor wants to wait (O_NONBLOCK, SO_RCVTIMEO, SO_SNDTIMEO) is asked of the system when a wait begins, and never
///     changed. (Tried: a table of modes kept by interposing fcntl, ioctl, setsockopt and dup. It was wrong for descriptors from
///     accept, for those shared with other processes, and for calls the C library makes by itself; asking costs two system calls,
///     and only where one waits anyway.)
///   4 errno for a token: ECANCELED if it was cancelled, ETIMEDOUT if its deadline has passed. (Not EAGAIN: foreign code would try again.)
#ifndef ECRU_INTERPOSE_WAIT_H
#define ECRU_INTERPOSE_WAIT_H
#include <ecru/ecru.h>
#include <errno.h>
#include <stdbool.h>
#include <time.h>

/// The end of what may have been waited for.
enum { ECRU__FAILED = -1, ECRU__TOO_LATE = 0, ECRU__AGAIN = 1 };

/// Waits for one descriptor, or for several. returns: ECRU__AGAIN: something has happened; ECRU__TOO_LATE: the deadline has passed;
/// ECRU__FAILED: errno says why (EBADF: it was closed meanwhile).
int ecru__await(int descriptor, unsigned direction, int64_t deadline_ns);
int ecru__await_any(ecru_fd_event *events, size_t count, int64_t deadline_ns);
/// Sleeps until the instant. returns: 0; -1: errno says why.
int ecru__nap_until(int64_t instant_ns);
/// A pause after a wake-up in vain, so that a difference of opinion on what is ready costs time but no processor. returns: as ecru__nap_until.
int ecru__pause(int64_t deadline_ns);

/// One call's waits for its descriptor: { descriptor, ECRU_IO_READ or ECRU_IO_WRITE }.
typedef struct ecru__waiting {
  int descriptor;
  unsigned direction;
  bool begun;          // the descriptor has been asked how it wants to wait
  int64_t deadline_ns; // once begun: the end of its SO_RCVTIMEO or SO_SNDTIMEO
  bool in_vain;        // it has waited since something was moved last; cleared by who moves
} ecru__waiting;
/// After an attempt that would have had to wait. returns: whether to try again; false: errno says why (EAGAIN: it is non-blocking, or its
/// time is up).
bool ecru__wait(ecru__waiting *waiting);

/// When the descriptor's own patience ends: its SO_RCVTIMEO or SO_SNDTIMEO from now on.
int64_t ecru__patience(int descriptor, unsigned direction);
int64_t ecru__after_ms(int timeout_ms); // negative: never
int64_t ecru__nanoseconds(const struct timespec *time);      // no more than ECRU_FOREVER
int64_t ecru__after_timespec(const struct timespec *time);   // NULL: never
bool ecru__is_valid_timespec(const struct timespec *time);   // also NULL
/// Around a call that may block the thread: a section declared as blocking, pinned. errno is preserved.
void ecru__block_begin(void);
void ecru__block_end(void);
#endif
