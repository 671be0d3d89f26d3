// tests/models/park.pml: parking, claiming and waking (runtime/park.h, invariants 1-5).
//
// One goroutine receives twice from a queue of items, on either of two workers: first in the scope of a token, then outside it.
// Two wakers give at most one item each. A canceller may fire the token at any time. In quiescence each item has been received or
// is still queued, a cancelled operation has received nothing (C11), and an operation that has not ended has no reason to.
//
//   receive      a parking primitive as in park.h's example: thing_wait, ecru__park
//   post_switch  what the worker does on the next stack: arm, light fence, look at the token, drop the object's lock
//   wake         ecru__queue_claim under the object's lock, ecru__ready after it
//   cancel       firing a token: mark it, heavy fence, claim the attached waiters
//
// run: pass
// run: pass -DSYMMETRIC
// run: fail -DNO_FENCE     the canceller misses the waiter and the waiter the mark: it sleeps for ever
// run: fail -DARM_EARLY    armed before the switch: resumed while it still runs on its stack
// run: fail -DDROP_EARLY   the lock dropped before arming: the waker's claim fails, the item's wakeup is lost
// run: fail -DCLAIM_LATE   the waker unlinks under the lock but claims after it: the node may belong to the next wait
#define ROUNDS 2
#define THREADS 5 /* workers 0 and 1, wakers 2 and 3, canceller 4 */
#define STORES 3
#define WORDS 4
#define STATE 0   /* waiter.state */
#define FIRED 1   /* token.fired */
#define LOCK 2    /* the object's lock */
#define ATTACH 3  /* the token's attachment lock */
#include "tso.h"
#define RUNNING 0
#define ARMED 1
#define CLAIMED 2

bit runnable;        // the goroutine stands in a run queue
bit on_stack;        // a worker runs on its stack
bit parked;          // it resumes inside ecru__park
bit node_queued;     // node.queued; lock: LOCK
byte items;          // items nobody waits for; lock: LOCK
byte given;          // items a waker has put into the waiter's element since it last parked
bit canceled;        // wake_status != 0; claimer
bit attached;        // waiter.attached == the token; lock: ATTACH
byte received, ended, sent;

inline ready() { d_step { assert(!runnable); runnable = 1 } }
inline end_operation(t) {
  if
  :: ended == 0 -> // leaves the token's scope
     lock_take(t, ATTACH);
     attached = 0;
     lock_drop(t, ATTACH)
  :: else
  fi;
  ended++
}
inline look_at_token(t, fired) { // of the current token, which is another one after the scope
  if
  :: ended == 0 -> load(t, FIRED, fired)
  :: else -> fired = 0
  fi
}

inline post_switch(t, fired, won) {
#ifdef DROP_EARLY
  lock_drop(t, LOCK);
#endif
#ifndef ARM_EARLY
  store(t, STATE, ARMED);
#endif
  fence_light(t);
  look_at_token(t, fired);
  if
  :: fired ->
     compare_swap(t, STATE, ARMED, CLAIMED, won);
     if
     :: won -> canceled = 1; ready()
     :: else
     fi
  :: else
  fi;
#ifndef DROP_EARLY
  lock_drop(t, LOCK)
#endif
}

proctype worker(byte t) {
  bit fired, won;
end_idle:
  do
  :: d_step { runnable; runnable = 0; assert(!on_stack); on_stack = 1 };
     if
     :: parked -> // back in ecru__park
        parked = 0;
        store(t, STATE, RUNNING);
        if
        :: canceled -> // the token won the claim: the node may still be queued
           assert(ended == 0);
           canceled = 0;
           lock_take(t, LOCK);
           node_queued = 0;
           lock_drop(t, LOCK);
           assert(given == 0)
        :: else ->
           assert(given == 1 && !node_queued);
           given = 0;
           received++
        fi;
        end_operation(t)
     :: else
     fi;
     do // the next operation
     :: ended == ROUNDS -> on_stack = 0; break
     :: else ->
        look_at_token(t, fired); // ecru__canceled: level-triggered
        if
        :: fired -> end_operation(t)
        :: else ->
           lock_take(t, LOCK);
           if
           :: items > 0 -> items--; received++; lock_drop(t, LOCK); end_operation(t)
           :: else ->
              node_queued = 1;
              parked = 1;
#ifdef ARM_EARLY
              store(t, STATE, ARMED);
#endif
              on_stack = 0; // the switch: from here on another stack of the same thread
              post_switch(t, fired, won);
              break
           fi
        fi
     od;
     fired = 0; won = 0
  od
}

proctype waker(byte t) {
  bit won;
  if
  :: goto end // gives nothing
  :: skip
  fi;
  lock_take(t, LOCK);
  sent++;
  if
  :: node_queued ->
     node_queued = 0;
#ifdef CLAIM_LATE
     lock_drop(t, LOCK);
#endif
     compare_swap(t, STATE, ARMED, CLAIMED, won);
     if
     :: won -> canceled = 0; given++
     :: else -> items++ // another claim was first: its waiter cleans up by itself
     fi;
#ifndef CLAIM_LATE
     lock_drop(t, LOCK);
#endif
     if
     :: won -> ready()
     :: else
     fi
  :: else ->
     items++;
     lock_drop(t, LOCK)
  fi;
end:
  skip
}

proctype canceller(byte t) {
  bit won;
  if
  :: goto end // never fires
  :: skip
  fi;
  store(t, FIRED, 1);
  fence_heavy(t);
  lock_take(t, ATTACH);
  if
  :: attached -> compare_swap(t, STATE, ARMED, CLAIMED, won)
  :: else
  fi;
  if
  :: won -> canceled = 1
  :: else
  fi;
  lock_drop(t, ATTACH);
  if
  :: won -> ready()
  :: else
  fi;
end:
  skip
}

init {
  atomic {
    runnable = 1;
    attached = 1;
    run worker(0);
    run worker(1);
    run waker(2);
    run waker(3);
    run canceller(4)
  };
  timeout; // nothing can move any more
  assert(!runnable && !on_stack);
  assert(received + items == sent);
  assert(ended == ROUNDS || (parked && node_queued && items == 0 && !(attached && mem[FIRED])))
}
