/// runtime/timers.h: the timer heaps, one per processor.
///
/// A 4-ary heap. Its entries carry the instant and the number of a place in a second array, where the node (embedded in its owner)
/// and the entry's position stand: sifting touches the two arrays only, never the nodes, which lie on a million different stacks.
/// Add and remove cost O(log n); nothing is allocated but the arrays.
/// A due node's `claim` is called under the heap's lock: it may only claim a waiter or take a reference, and says whether
/// `run` (until then the node must not be added again) shall be called after the lock is dropped (with the node already out of the heap; it must have been kept alive by claim).
#ifndef ECRU_RUNTIME_TIMERS_H
#define ECRU_RUNTIME_TIMERS_H
#include "runtime/park.h"

typedef struct ecru__timer_node ecru__timer_node;
struct ecru__timer_node {
  uint32_t slot;                         // lock: heap's: place + 1; 0: in none
  _Atomic(struct ecru__timers *) heap;   // atomic: set under that heap's lock
  bool (*claim)(ecru__worker *w, ecru__timer_node *node); // set before add
  void (*run)(ecru__worker *w, ecru__timer_node *node);   // set before add; may be NULL if claim never says true
  ecru__timer_node *run_next;            // whoever fires it: chain of nodes to run
  ecru__waiter *waiter;                  // set before add: whom claim wakes, fetched ahead; NULL: nobody
};
typedef struct ecru__timers {
  ecru__lock lock;
  struct { int64_t when; uint32_t place; } *heap;                // lock
  struct { ecru__timer_node *node; uint32_t position; } *places; // lock; position: in the heap, or the next free place
  uint32_t count, room;      // lock
  uint32_t free_place;       // lock: first of the chain of free places; == room: none
  _Atomic int64_t earliest;  // atomic: heap[0].when or ECRU_FOREVER; written under the lock
} ecru__timers;

/// Arms node for the instant `when`. It must be in no heap. returns: 0 or ECRU_ENOMEM.
int ecru__timer_add(ecru__worker *w, ecru__timer_node *node, int64_t when);
/// Disarms it. returns: true: it was armed and will not fire; false: it was not, or its claim has been called (and has returned).
bool ecru__timer_remove(ecru__timer_node *node);
/// Parks until node fires (its claim then claims the caller), the caller's token fires, or somebody claims it: adds the node under
/// the heap's lock and drops that after the switch. Other locks may be released by `also` (may be NULL). returns: as ecru__park; ECRU_ENOMEM.
int ecru__timer_park(ecru__worker **w, ecru__timer_node *node, int64_t when, void (*also)(void *), void *argument, int reason, const void *object);
/// The claim of a node that wakes its waiter with `status`, for those who park with ecru__timer_park. returns: false.
bool ecru__timer_wake(ecru__worker *w, ecru__timer_node *node, int status);
/// Fires what is due at `now`, the earliest first, but not more than a few dozen: so those woken run while they are still in
/// the cache, and the lock is not held for long. returns: how many.
int ecru__timers_run(ecru__worker *w, ecru__timers *timers, int64_t now);
/// Now on the runtime's clock.
int64_t ecru__now(void);
/// Has a virtual clock.
bool ecru__clock_is_virtual(void);
#endif
