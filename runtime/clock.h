/// runtime/clock.h: the clock as an object (rule K7). The system's clock is no object: ecru__clock is then NULL.
#ifndef ECRU_RUNTIME_CLOCK_H
#define ECRU_RUNTIME_CLOCK_H
#include <ecru/time.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/handle.h"

/// A virtual clock: it stands still until somebody moves it, and never goes back.
struct ecru_clock {
  _Atomic int64_t now; // atomic: nanoseconds
  ecru__mark mark; // handle.h
};
/// The runtime's clock: NULL, the system's, or a virtual one. atomic: set at start and at stop
extern _Atomic(ecru_clock *) ecru__clock;

/// Makes it the runtime's clock from now on (NULL: the system's).
void ecru__clock_use(ecru_clock *clock);
/// All goroutines are parked and `earliest` is the next timer's instant: if the clock is virtual it is now that late.
/// returns: whether there is a timer to run now. Not if it is held.
bool ecru__clock_virtual_advance(int64_t earliest);
/// Around a wait for something outside that takes its time there, so that a virtual clock does not jump meanwhile. Nests.
void ecru__clock_hold(void);
void ecru__clock_let_go(void);
#endif
