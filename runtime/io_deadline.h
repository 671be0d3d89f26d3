/// runtime/io_deadline.h: deadlines of directions, for the files of io.
#ifndef ECRU_RUNTIME_IO_DEADLINE_H
#define ECRU_RUNTIME_IO_DEADLINE_H
#include "runtime/io.h"

/// Of a new handle.
void ecru__direction_init(ecru__direction *d, int index);
/// Under the lock: the deadline, if there is one, is in a heap. returns: 0; ECRU_ENOMEM.
static inline int ecru__deadline_arm(ecru__worker *w, ecru__direction *d) {
  if (ECRU__LIKELY(d->deadline_ns == ECRU_FOREVER) || d->armed || d->expired) return 0;
  int status = ecru__timer_add(w, &d->timer, d->deadline_ns);
  d->armed = status == 0;
  return status;
}
/// Under the lock: no timer runs any more that was not claimed before.
void ecru__deadline_disarm(ecru__direction *d);
#endif
