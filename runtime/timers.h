/// runtime/timers.h: the timer heaps, one per processor.
///
/// A 4-ary heap of nodes embedded in their owners: add and remove cost O(log n), nothing is allocated but the array.
/// A due node's `claim` is called under the heap's lock: it may only claim a waiter or take a reference, and says whether
/// `run` shall be called after the lock is dropped (with the node already out of the heap; it must have been kept alive by claim).
#ifndef ECRU_RUNTIME_TIMERS_H
#define ECRU_RUNTIME_TIMERS_H
#include "runtime/park.h"

typedef struct ecru__timer_node ecru__timer_node;
struct ecru__timer_node {
  int64_t when;                          // lock: heap's
  uint32_t slot;                         // lock: heap's: place in the heap + 1; 0: in none
  _Atomic(struct ecru__timers *) heap;   // atomic: set under that heap's lock
  bool (*claim)(ecru__worker *w, ecru__timer_node *node); // set before add
  void (*run)(ecru__worker *w, ecru__timer_node *node);   // set before add; may be NULL if claim never says true
  ecru__timer_node *run_next;            // whoever fires it: chain of nodes to run
};
typedef struct ecru__timers {
  ecru__lock lock;
  ecru__timer_node **nodes;  // lock
  uint32_t count, room;      // lock
  _Atomic int64_t earliest;  // atomic: nodes[0]->when or ECRU_FOREVER; written under the lock
} ecru__timers;

/// Arms node for the instant `when`. It must be in no heap. returns: 0 or ECRU_ENOMEM.
int ecru__timer_add(ecru__worker *w, ecru__timer_node *node, int64_t when);
/// Disarms it. returns: true: it was armed and will not fire; false: it was not, or its claim has been called (and has returned).
bool ecru__timer_remove(ecru__timer_node *node);
/// Parks until node fires (its claim then claims the caller), the caller's token fires, or somebody claims it: adds the node under
/// the heap's lock and drops that after the switch. Other locks may be released by `also` (may be NULL). returns: as ecru__park; ECRU_ENOMEM.
int ecru__timer_park(ecru__worker **w, ecru__timer_node *node, int64_t when, void (*also)(void *), void *argument, int reason, const void *object);
/// Fires what is due at `now`. returns: how many.
int ecru__timers_run(ecru__worker *w, ecru__timers *timers, int64_t now);
/// Now on the runtime's clock.
int64_t ecru__now(void);
/// Has a virtual clock.
bool ecru__clock_is_virtual(void);
#endif
