// tests/models/host.pml: hosts fall asleep, are woken, hand on the place in the poller, leave (runtime/host.c, scheduler.c, poll.c).
//
// Two hosts and a worker that is idle and may sit in the poller when they enter. A fourth thread hands host 0 a goroutine, makes host 1's descriptor
// ready, and looks after host 0's timers, whether it is still there or not; -DMOVED_TIMER: it makes a timer of host 0's due instead.
// Each leaves when it has had what it waits for. The monitor, who would find a neglected poller, is left out. In quiescence both
// have left.
//
//   deliver      ecru__deliver_pinned: into the host's queue, then wakes it if it is listed as asleep
//   wake_keeper  the timer first, then wakes the host if it is listed as asleep
//   sleep_once   into the list, looks at its queue, its timer and its wake word, then into the poller or onto its futex
//   claim        ecru__poll_claim: takes the place if it is free, else pokes the one there, unless that is a host
//   go_out       frees the place; if there are hosts, keeps it for one that sleeps on its futex and wakes that one
//   leave        hands on a place that was kept for it; nobody may touch a host that has left: its memory is its thread's
//
// What is done under the scheduler's lock and shows outside it as one store is one step.
//
// run: pass
// run: pass -DMOVED_TIMER
// run: fail -DNO_VISITORS     a host does not wait for those who are about to wake it
// run: fail -DMOVED_TIMER -DNO_RECHECK      it does not look again once it is listed
// run: fail -DNO_LOOK_INSIDE  it does not look at its wake word once it says that it is in the poller
// run: fail -DWEAK_IN         that it is in the poller is not visible when it looks at its wake word
// run: fail -DWEAK_OUT        the place is not visibly free when its holder looks whether there are hosts
// run: fail -DNO_PASSING_ON   who leaves the poller wakes no host
// run: fail -DNO_LAST_WILL    who leaves for good does not hand on what was kept for it
#define THREADS 4 /* hosts 0 and 1, the worker 2, the outsider 3 */
#define STORES 2
#define WORDS 8
#define WAKE 0      /* worker.wake, of each host */
#define IN_POLLER 2 /* worker.in_poller, of each host */
#define SLOT 4      /* sched.poll_slot */
#define HOSTING 5
#define TIMER 6     /* host 0's is due */
#define SCHED_LOCK 7
#include "tso.h"
#define FREE 0
#define TAKEN 1
#define KEPT 2
#define NOBODY 3

byte queued[2];      // worker.pinned_count
byte visitors[2];
bit listed[2];       // lock: SCHED_LOCK
bit here[2];         // lock: SCHED_LOCK: the processor's owner
bit gone[2];         // its memory is no more
bit asleep[2];       // on its futex
byte holder = NOBODY; // who has taken SLOT last
bit poked;           // the poller's wake-up
bit event;           // of host 1's descriptor
byte inside;         // how many wait in the poller
byte had[2];

inline add(by, word, delta) { d_step { tso_drain(by); mem[word] = mem[word] + delta } }
inline visit(by, guest, delta) {
#ifdef NO_VISITORS
  skip
#else
  d_step { tso_drain(by); assert(!gone[guest]); visitors[guest] = visitors[guest] + delta }
#endif
}
inline wake(by, sleeper) {
  assert(!gone[sleeper]);
  exchange(by, WAKE + sleeper, 1, seen);
  assert(!gone[sleeper]);
  load(by, IN_POLLER + sleeper, seen);
  if
  :: seen -> poked = 1
  :: else -> asleep[sleeper] = 0
  fi;
  seen = 0
}
inline deliver(from, target) {
  visit(from, target, 1);
  d_step { tso_drain(from); queued[target]++ };
  atomic {
    lock_take(from, SCHED_LOCK);
    assert(!gone[target]);
    woken = listed[target];
    listed[target] = 0;
    lock_drop(from, SCHED_LOCK)
  };
  if
  :: woken -> wake(from, target); woken = 0
  :: else
  fi;
  visit(from, target, -1)
}
inline wake_keeper(from, target) {
  atomic {
    lock_take(from, SCHED_LOCK);
    if
    :: here[target] && listed[target] ->
       woken = 1;
       listed[target] = 0;
       visit(from, target, 1)
    :: else
    fi;
    lock_drop(from, SCHED_LOCK)
  };
  if
  :: woken -> wake(from, target); woken = 0; visit(from, target, -1)
  :: else
  fi
}
// The caller has the place and sleeps in the poller until it is poked or there is an event.
inline poller_wait(me) {
  d_step { tso_drain(me); inside++; assert(inside == 1) };
end_in_poller:
  d_step {
    (poked || event) -> inside--;
    given = event;
    event = 0;
    if
    :: !given -> poked = 0
    :: else
    fi
  }
}
inline pass_on(me, but) { // under SCHED_LOCK
  if
  :: mem[SLOT] != TAKEN ->
     next = (but != 0 && listed[0] -> 0 : (but != 1 && listed[1] -> 1 : NOBODY));
     mem[SLOT] = (next == NOBODY -> FREE : KEPT);
     if
     :: next != NOBODY ->
        listed[next] = 0;
        wake(me, next)
     :: else
     fi;
     next = 0
  :: else
  fi
}
inline go_out(me) {
#ifdef WEAK_OUT
  store(me, SLOT, FREE);
#else
  exchange(me, SLOT, FREE, seen);
#endif
  load(me, HOSTING, seen);
#ifdef NO_PASSING_ON
  seen = 0;
#endif
  if
  :: seen -> atomic { lock_take(me, SCHED_LOCK); pass_on(me, me); lock_drop(me, SCHED_LOCK) }
  :: else
  fi;
  seen = 0
}
inline hand_out(me) {
  if
  :: given && me == 1 -> had[1]++
  :: given && me != 1 -> deliver(me, 1)
  :: else
  fi;
  given = 0
}

inline look(h) { // seen: something to do
  d_step {
    tso_drain(h); // the list's lock has been taken
    seen = (mem[WAKE + h] || queued[h] > 0 || (h == 0 && mem[TIMER]))
  }
}
inline claim(h) {
  d_step {
    tso_drain(h);
    won = (mem[SLOT] != TAKEN);
    poke = (!won && holder == 2);
    if
    :: won -> mem[SLOT] = TAKEN; holder = h
    :: else
    fi
  }
}
inline sleep_once(h) {
  atomic { lock_take(h, SCHED_LOCK); listed[h] = 1; lock_drop(h, SCHED_LOCK) };
#ifndef NO_RECHECK
  look(h);
#endif
  if
  :: !seen ->
     claim(h);
     if
     :: won ->
        won = 0;
#ifdef WEAK_IN
        store(h, IN_POLLER + h, 1);
#else
        exchange(h, IN_POLLER + h, 1, seen);
#endif
        seen = 0;
#ifndef NO_LOOK_INSIDE
        load(h, WAKE + h, seen);
#endif
        if
        :: !seen -> poller_wait(h)
        :: else
        fi;
        store(h, IN_POLLER + h, 0);
        go_out(h)
     :: else ->
        if
        :: poke -> poked = 1; poke = 0
        :: else
        fi;
        d_step { tso_drain(h); asleep[h] = (mem[WAKE + h] == 0) };
        !asleep[h]
     fi
  :: else
  fi;
  seen = 0;
  atomic { // list_awake
    lock_take(h, SCHED_LOCK);
    seen = listed[h];
    listed[h] = 0;
    lock_drop(h, SCHED_LOCK)
  };
  if
  :: !seen -> mem[WAKE + h] == 1
  :: else
  fi;
  store(h, WAKE + h, 0);
  seen = 0
}

proctype host(byte h) {
  byte seen, next;
  bit won, poke, given, woken;
  atomic { add(h, HOSTING, 1); lock_take(h, SCHED_LOCK); here[h] = 1; lock_drop(h, SCHED_LOCK) };
  do
  :: had[h] == 1 -> break
  :: else ->
     d_step { // what has come
       tso_drain(h);
       had[h] = had[h] + queued[h];
       queued[h] = 0;
       if
       :: h == 0 && mem[TIMER] -> mem[TIMER] = 0; had[0]++
       :: else
       fi
     };
     if
     :: had[h] == 0 -> sleep_once(h); hand_out(h)
     :: else
     fi
  od;
  atomic {
    lock_take(h, SCHED_LOCK);
    here[h] = 0;
    mem[HOSTING] = mem[HOSTING] - 1;
#ifndef NO_LAST_WILL
    pass_on(h, h);
#endif
    lock_drop(h, SCHED_LOCK)
  };
  atomic { visitors[h] == 0; tso_drain(h); gone[h] = 1 }
}

proctype worker() { // idle; what it does when it has left the poller does not matter
  byte seen, next;
  bit won, given, woken;
  load(2, HOSTING, seen);
  if
  :: !seen ->
     atomic {
       compare_swap(2, SLOT, FREE, TAKEN, won);
       if
       :: won -> holder = 2
       :: else
       fi
     }
  :: else
  fi;
  seen = 0;
  if
  :: won ->
     won = 0;
     poller_wait(2);
     go_out(2);
     hand_out(2)
  :: else
  fi
}

proctype outsider() {
  byte seen;
  bit woken;
#ifdef MOVED_TIMER
  store(3, TIMER, 1);
  event = 1;
  wake_keeper(3, 0)
#else
  deliver(3, 0);
  event = 1;
  wake_keeper(3, 0) // for nothing, and perhaps for nobody
#endif
}

init {
  atomic {
    run host(0);
    run host(1);
    run worker();
    run outsider()
  };
  timeout;
  assert(gone[0] && gone[1])
}
