// tests/models/select.pml: a waiter in the queues of two objects at once (runtime/park.h; rules S4, C11).
//
// Two goroutines, on either of two workers, select over the same two unbuffered channels: one receives (twice: first in the scope of
// a token, then outside it), the other sends (once, or never). A foreign thread sends on channel B alone (once, or never). A canceller
// may fire the token at any time. A select takes both locks in the order of addresses, looks for a partner in random order, else
// queues a node in each and parks holding both locks: the post-switch action drops them. A woken select takes both locks again
// and removes its other node; a waker that loses the claim drops the node it found. In quiescence no receiver and sender
// are both parked (each is the other's partner), and values sent and received agree.
//
// run: pass
// run: pass -DSYMMETRIC
// run: fail -DNO_FENCE     firing a token and arming miss each other
// run: fail -DONE_LOCK     the second lock dropped before arming: the partner there finds nobody to claim
// run: fail -DNO_CLAIM     who finds a node wakes its waiter: two cases of one select happen
#define THREADS 4 /* workers 0 and 1, foreign sender 2, canceller 3 */
#define STORES 5
#define WORDS 6
#define STATE 0   /* waiter.state of goroutines 0 (receives) and 1 (sends) */
#define FIRED 2   /* token.fired */
#define LOCK 3    /* locks of channels A and B */
#define ATTACH 5  /* the token's attachment lock */
#include "tso.h"
#define RUNNING 0
#define ARMED 1
#define CLAIMED 2
#define NODE(g, c) node_queued[(g) * 2 + (c)]

bit runnable[2], on_stack[2], parked[2], canceled[2];
bit node_queued[4];   // NODE(goroutine, channel); lock: the channel's
byte happened[2];     // cases that wakers completed since the goroutine last parked
bit attached;         // goroutine 0; lock: ATTACH
byte received, sent, receives_ended;
bit send_ended;
bit foreign_parked;   // the foreign sender's node stands in B's queue; lock: B's

inline ready(g) { d_step { assert(!runnable[g]); runnable[g] = 1 } }
inline claim(t, g, won) {
#ifdef NO_CLAIM
  won = 1
#else
  compare_swap(t, STATE + g, ARMED, CLAIMED, won)
#endif
}
inline look_at_token(t, g, fired) {
  if
  :: g == 0 && receives_ended == 0 -> load(t, FIRED, fired)
  :: else -> fired = 0
  fi
}
inline end_select(t, g) {
  if
  :: g == 0 ->
     if
     :: receives_ended == 0 ->
        lock_take(t, ATTACH);
        attached = 0;
        lock_drop(t, ATTACH)
     :: else
     fi;
     receives_ended++
  :: else -> send_ended = 1
  fi
}

proctype worker(byte t) {
  byte g, peer, c, tries;
  bit fired, won;
end_idle:
  do
  :: atomic {
       if
       :: runnable[0] -> g = 0
       :: runnable[1] -> g = 1
       fi;
       peer = 1 - g; runnable[g] = 0; assert(!on_stack[g]); on_stack[g] = 1
     };
     if
     :: parked[g] ->
        parked[g] = 0;
        store(t, STATE + g, RUNNING);
        lock_take(t, LOCK);
        lock_take(t, LOCK + 1);
        d_step { NODE(g, 0) = 0; NODE(g, 1) = 0 };
        lock_drop(t, LOCK + 1);
        lock_drop(t, LOCK);
        assert(happened[g] == 1 - canceled[g]);
        assert(!canceled[g] || (g == 0 && receives_ended == 0));
        d_step {
          received = received + (g == 0 -> happened[g] : 0);
          canceled[g] = 0; happened[g] = 0
        };
        end_select(t, g)
     :: else
     fi;
next:
     do // the next select
     :: (g == 0 && receives_ended == 2) || (g == 1 && send_ended) -> on_stack[g] = 0; break
     :: else ->
        look_at_token(t, g, fired);
        if
        :: fired -> end_select(t, g)
        :: else ->
           lock_take(t, LOCK);
           lock_take(t, LOCK + 1);
           if
           :: c = 0
           :: c = 1
           fi;
           tries = 0; won = 0;
           if
           :: g == 0 && foreign_parked ->
              d_step { foreign_parked = 0; received++; sent++ };
              lock_drop(t, LOCK + 1);
              lock_drop(t, LOCK);
              end_select(t, g);
              goto next
           :: else
           fi;
           do
           :: tries < 2 && NODE(peer, c) ->
              NODE(peer, c) = 0;
              claim(t, peer, won);
              if
              :: won -> break
              :: else
              fi
           :: tries < 2 && !NODE(peer, c) -> d_step { tries++; c = 1 - c }
           :: else -> break
           od;
           if
           :: won ->
              d_step {
                happened[peer]++;
                sent++;
                received = received + (g == 0 -> 1 : 0)
              };
              lock_drop(t, LOCK + 1);
              lock_drop(t, LOCK);
              ready(peer);
              end_select(t, g)
           :: else ->
              d_step { NODE(g, 0) = 1; NODE(g, 1) = 1; parked[g] = 1; on_stack[g] = 0 };
              // the switch: the post-switch action on another stack of the same thread
#ifdef ONE_LOCK
              lock_drop(t, LOCK + 1);
#endif
              store(t, STATE + g, ARMED);
              fence_light(t);
              look_at_token(t, g, fired);
              if
              :: fired ->
                 claim(t, g, won);
                 if
                 :: won -> canceled[g] = 1; ready(g)
                 :: else
                 fi
              :: else
              fi;
#ifndef ONE_LOCK
              lock_drop(t, LOCK + 1);
#endif
              lock_drop(t, LOCK);
              break
           fi
        fi
     od;
     atomic { g = 0; peer = 0; c = 0; tries = 0; fired = 0; won = 0 }
  od
}

proctype foreign_sender(byte t) { // ecru_send on B
  bit won;
  if
  :: goto end // never sends
  :: skip
  fi;
  lock_take(t, LOCK + 1);
  if
  :: NODE(0, 1) ->
     NODE(0, 1) = 0;
     claim(t, 0, won)
  :: else
  fi;
  if
  :: won -> d_step { happened[0]++; sent++ }
  :: else -> foreign_parked = 1 // its own waking is not modelled
  fi;
  lock_drop(t, LOCK + 1);
  if
  :: won -> ready(0)
  :: else
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
  :: attached -> claim(t, 0, won)
  :: else
  fi;
  if
  :: won -> canceled[0] = 1
  :: else
  fi;
  lock_drop(t, ATTACH);
  if
  :: won -> ready(0)
  :: else
  fi;
end:
  skip
}

init {
  atomic {
    runnable[0] = 1;
    if
    :: runnable[1] = 1
    :: skip
    fi;
    attached = 1;
    run worker(0);
    run worker(1);
    run foreign_sender(2);
    run canceller(3)
  };
  timeout; // nothing can move any more
  assert(!runnable[0] && !runnable[1] && !on_stack[0] && !on_stack[1]);
  assert(!(parked[0] && (parked[1] || foreign_parked)));
  assert(!(parked[0] && attached && mem[FIRED]));
  assert(received == sent)
}
