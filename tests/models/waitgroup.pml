// tests/models/waitgroup.pml: the wait group, which a waiter may destroy as soon as its wait has returned
// (runtime/waitgroup.c, invariants 1-6).
//
// Two workers count down from 2; the first of them counts up once more in between. Two goroutines wait; the wait of one may be
// cancelled, then it waits again. Who returns last destroys the group. Nobody touches the group (its lock included) after
// that, no wait returns before the counter is 0, and in quiescence both waits have returned.
//
//   add           add, reach_zero; the debt of a done that reaches 0 while somebody waits is paid in settle
//   wait          wait_for, is_over; parking is one step here (park.pml)
//
// run: pass
// run: fail -DNO_OWED       a wait that finds the counter 0 returns although the last done has yet to wake
// run: fail -DNO_SETTLED    it returns without the lock although the last done may not have dropped it
// run: fail -DCLEAR_WAITED  a cancelled waiter that was the only one takes the phase back: the debtor comes late
#define THREADS 4 /* workers 0 and 1, waiters 2 and 3 */
#define STORES 2
#define WORDS 2
#define WORD 0 /* counter * 4 + phase */
#define LOCK 1
#include "tso.h"
#define QUIET 0
#define WAITED 1
#define OWED 2
#define SETTLED 3
#define ONE 4

bit freed;
bit queued[THREADS];   // the waiter's node; lock
bit parked[THREADS];   // waiter.state is ARMED
bit woken[THREADS], canceled[THREADS];
byte working = 2;      // workers that have not counted down yet
byte waiting = 2;      // waits that have not returned 0

inline touch() { assert(!freed) }
inline take() { touch(); lock_take(t, LOCK); touch() }
inline drop() { touch(); lock_drop(t, LOCK) }

inline settle() {
  take();
#ifdef NO_SETTLED
  exchange(t, WORD, QUIET, seen);
#else
  store(t, WORD, SETTLED);
#endif
  d_step {
    claimed[2] = queued[2] && parked[2];
    claimed[3] = queued[3] && parked[3];
    if
    :: claimed[2] -> parked[2] = 0
    :: else
    fi;
    if
    :: claimed[3] -> parked[3] = 0
    :: else
    fi;
    queued[2] = 0;
    queued[3] = 0
  };
  drop();
  full_fence(t); // what makes a waiter run is a younger store than the drop
  if
  :: claimed[2] -> woken[2] = 1
  :: else
  fi;
  if
  :: claimed[3] -> woken[3] = 1
  :: else
  fi
}
inline add(down) {
  do
  :: touch();
     load(t, WORD, seen);
     if
     :: seen % ONE == OWED -> skip // stands aside
     :: else ->
        debt = (down && seen / ONE == 1 && seen % ONE == WAITED);
        next = (debt -> OWED : (down -> seen - ONE : seen + ONE));
        touch();
        compare_swap(t, WORD, seen, next, won);
        if
        :: won ->
           if
           :: debt -> settle()
           :: else
           fi;
           break
        :: else
        fi
     fi
  od;
  skip;
  d_step { seen = 0; next = 0; won = 0; debt = 0 }
}

proctype worker(byte t) {
  byte seen, next;
  bit won, debt, claimed[THREADS];
  if
  :: t == 0 -> add(0); add(1)
  :: else
  fi;
  d_step { working--; seen = 0 };
  add(1)
}

inline is_over(over) {
  do
  :: load(t, WORD, seen);
     phase = seen % ONE;
     if
#ifdef NO_OWED
     :: phase == OWED -> over = 1; break
#else
     :: phase == OWED -> over = 0; break
#endif
     :: phase == WAITED -> over = 0; break
     :: phase == QUIET && seen == 0 -> over = 1; break
     :: phase == SETTLED && seen / ONE == 0 ->
        compare_swap(t, WORD, seen, QUIET, won);
        if
        :: won -> over = 1; break
        :: else
        fi
     :: (phase == QUIET || phase == SETTLED) && seen / ONE > 0 ->
        compare_swap(t, WORD, seen, seen - phase + WAITED, won);
        if
        :: won -> over = 0; break
        :: else
        fi
     fi
  od
}

proctype waiter(byte t) {
  byte seen, phase;
  bit won, over;
  do
  :: touch();
     load(t, WORD, seen);
     if
     :: seen == QUIET -> break
     :: else
     fi;
     take();
     is_over(over);
     if
     :: over -> drop(); break
     :: else
     fi;
     d_step { queued[t] = 1; parked[t] = 1 };
     drop();
     d_step { woken[t]; woken[t] = 0 };
     if
     :: !canceled[t] -> break
     :: else ->
        canceled[t] = 0;
        take();
        queued[t] = 0;
#ifdef CLEAR_WAITED
        if
        :: !queued[5 - t] -> exchange(t, WORD, seen - seen % ONE, seen)
        :: else
        fi;
#endif
        drop()
     fi
  od;
  full_fence(t);
  assert(working == 0);
  waiting--;
  if
  :: waiting == 0 -> freed = 1
  :: else
  fi
}

proctype canceller() {
  if
  :: d_step { parked[2]; parked[2] = 0; canceled[2] = 1; woken[2] = 1 }
  :: skip
  fi
}

init {
  atomic {
    mem[WORD] = 2 * ONE;
    run worker(0);
    run worker(1);
    run waiter(2);
    run waiter(3);
    run canceller()
  };
  timeout; // nothing can move any more
  assert(waiting == 0 && freed)
}
