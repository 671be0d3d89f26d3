/// runtime/resident.h: something that lives on a loop for long and has an owner elsewhere: a subscription to signals, a watch (rules I6, I8).
///
///   1 It lives from ecru__resident_open to the end of ecru__resident_end, though its loop may end before and close it. Its memory is its owner's.
///   2 `handles` counts the uv handles it has on the loop. `open` adds to it for each that is initialised, also if it fails afterwards; each one's
///     callback of uv_close is to call ecru__resident_closed.
///   3 `close` closes those of them that are not closing yet: once for a failed `open`, else for the owner, for the end of the loop, or both.
#ifndef ECRU_RUNTIME_RESIDENT_H
#define ECRU_RUNTIME_RESIDENT_H
#include "runtime/uv.h"

typedef struct ecru__resident {
  ecru__uv_handle handle;                                          // first
  ecru__uv_job end;                                                // owner's
  ecru__event closed;
  int (*open)(uv_loop_t *loop, struct ecru__resident *resident);   // set once: loop's thread: returns 0 or a libuv code
  void (*close)(struct ecru__resident *resident);                  // set once: loop's thread
  ecru_uv_call *call;                                              // loop's thread, in `open`
  int status;                                                      // loop's thread: why `open` failed
  int handles;                                                     // loop's thread: invariant 2
} ecru__resident;

/// Opens it (all but `open` and `close` is 0). returns: 0; as ecru_uv_await; what `open` returned, translated. On failure it may be freed.
int ecru__resident_open(ecru__resident *resident, int reason);
/// Loop's thread: one of its uv handles is closed.
void ecru__resident_closed(ecru__resident *resident);
/// Its owner has done with it: waits until it is closed. Then it may be freed.
void ecru__resident_end(ecru__resident *resident, int reason);
#endif
