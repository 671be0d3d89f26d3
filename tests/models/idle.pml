// tests/models/idle.pml: sleeping workers and those who make work (runtime/scheduler.c, runtime/queue.c).
//
// Two processors, three workers. Workers 0 and 1 have a processor each and nothing to do; worker 2 comes back from a blocking call
// without one. A foreign thread puts two goroutines into the global queue. These two need each other: each computes until the
// other has started, so that both processors have to work, without any help from the monitor. In quiescence all have run.
//
//   queue_global   push, full fence, then look for sleepers: idle_count != 0 and spinning == 0
//   go_idle        out of the spinners, into the list, full fence, then look for work; back out if there is some
//   wake_worker    at most one at a time looks around (spinning); the one who finds something wakes the next
//   take_idle      ecru__take_idle_processor: takes the processor of a sleeping worker, which becomes a spare one
//
// What is done under the scheduler's or the queue's lock and shows outside it as one store is one step. Rings are left out: their owner empties its own before it sleeps, and a missed wake for a ring costs parallelism only.
// -DRETIRE: instead of worker 2 coming back maxprocs is lowered to one, and the goroutines do not need each other.
//
// run: pass
// run: pass -DRETIRE
// run: fail -DNO_PUSH_FENCE    the producer looks for sleepers before its push is visible
// run: fail -DNO_IDLE_FENCE    the sleeper looks for work before its name in the list is visible
// run: fail -DNO_RECHECK       the sleeper does not look again
// run: fail -DSPIN_TO_THE_END  it counts as looking until after its last look: a producer relies on it in vain
// run: fail -DNO_CHAIN         a looker that finds something does not wake the next
// run: fail -DRETIRE -DRETIRE_SPINNING  a looker whose processor is retired counts as looking until after its last look
#define THREADS 4 /* workers 0, 1 and 2, the foreign thread 3 */
#define STORES 4
#define WORDS 5
#define GLOBAL_COUNT 0
#define GLOBAL_LOCK 1
#define IDLE_COUNT 2
#define SPINNING 3
#define SCHED_LOCK 4
#include "tso.h"
#define LISTED_NOT 0
#define LISTED_IDLE 1
#define LISTED_SPARE 2
#define WAKE_LOOK 1
#define WAKE_SPINNING 2

bit processor[3];    // worker.processor: has one
byte listed[3];      // lock: SCHED_LOCK
byte wake[3];        // worker.wake
bit spins[3];        // worker.spinning
bit retired;         // worker 1's first processor
byte started, done;  // goroutines of the foreign thread; goroutines in all

inline count_idle(me, delta) { // under SCHED_LOCK
  load(me, IDLE_COUNT, n);
#ifdef NO_IDLE_FENCE
  store(me, IDLE_COUNT, n + delta);
#else
  exchange(me, IDLE_COUNT, n + delta, n);
#endif
  n = 0
}
inline unlist(me, whom) { // under SCHED_LOCK
  if
  :: listed[whom] == LISTED_IDLE -> listed[whom] = LISTED_NOT; count_idle(me, -1)
  :: else -> listed[whom] = LISTED_NOT
  fi
}
inline spinning_add(me, delta) { d_step { tso_drain(me); mem[SPINNING] = mem[SPINNING] + delta } }
inline stop_spinning(me) {
  if
  :: spins[me] -> spins[me] = 0; spinning_add(me, -1)
  :: else
  fi
}
inline find_idle() {
  if
  :: listed[0] == LISTED_IDLE -> other = 0
  :: listed[1] == LISTED_IDLE -> other = 1
  :: listed[2] == LISTED_IDLE -> other = 2
  :: else -> other = 3
  fi
}

inline wake_worker(me) {
  atomic {
    lock_take(me, SCHED_LOCK);
    load(me, SPINNING, seen);
    other = 3;
    if
    :: seen == 0 ->
       find_idle();
       if
       :: other < 3 -> unlist(me, other)
       :: else
       fi
    :: else
    fi
  };
  if
  :: other < 3 -> spinning_add(me, 1)
  :: else
  fi;
  lock_drop(me, SCHED_LOCK);
  if
  :: other < 3 -> wake[other] = WAKE_SPINNING
  :: else
  fi
}
inline wake_if_needed(me) {
  load(me, IDLE_COUNT, seen);
  if
  :: seen > 0 ->
     load(me, SPINNING, seen);
     if
     :: seen == 0 -> wake_worker(me)
     :: else
     fi
  :: else
  fi;
  d_step { seen = 0; other = 0 }
}
inline queue_global(me) {
  atomic {
    lock_take(me, GLOBAL_LOCK);
    load(me, GLOBAL_COUNT, seen);
    store(me, GLOBAL_COUNT, seen + 1);
    lock_drop(me, GLOBAL_LOCK)
  };
#ifndef NO_PUSH_FENCE
  full_fence(me);
#endif
  wake_if_needed(me)
}
inline queue_global_pop(me, got) {
  load(me, GLOBAL_COUNT, seen);
  if
  :: seen > 0 ->
     atomic {
       lock_take(me, GLOBAL_LOCK);
       load(me, GLOBAL_COUNT, seen);
       if
       :: seen > 0 -> store(me, GLOBAL_COUNT, seen - 1); got = 1
       :: else
       fi;
       lock_drop(me, GLOBAL_LOCK)
     }
  :: else
  fi;
  seen = 0
}
inline sleep_listed(t) {
  d_step { wake[t] > 0; spins[t] = (wake[t] == WAKE_SPINNING); wake[t] = 0 }
}

proctype worker(byte t) {
  byte n, seen, other;
  bit found, own;
  if
  :: t == 2 -> // ecru__enter, having lost its processor
     other = 3;
     load(t, IDLE_COUNT, seen);
     if
     :: seen > 0 -> // take_idle
        atomic {
          lock_take(t, SCHED_LOCK);
          find_idle();
          if
          :: other < 3 ->
             unlist(t, other);
             processor[other] = 0;
             listed[other] = LISTED_SPARE;
             processor[t] = 1
          :: else
          fi;
          lock_drop(t, SCHED_LOCK)
        }
     :: else
     fi;
     if
     :: other < 3 -> done++ // its goroutine goes on and ends
     :: else -> own = 1
     fi;
     atomic { seen = 0; other = 0 };
     if
     :: own -> queue_global(t); own = 0 // ecru__requeue
     :: else
     fi
  :: else
  fi;
  do // find_work
  :: !processor[t] -> // wait_for_processor
     stop_spinning(t);
     atomic { lock_take(t, SCHED_LOCK); listed[t] = LISTED_SPARE; lock_drop(t, SCHED_LOCK) };
end_spare:
     sleep_listed(t)
  :: processor[t] && t == 1 && retired -> // retire
#ifndef RETIRE_SPINNING
     stop_spinning(t);
#endif
     processor[t] = 0;
     // ecru__wake_keeper of the first processor
     atomic {
       lock_take(t, SCHED_LOCK);
       find_idle();
       if
       :: other < 3 -> unlist(t, other)
       :: else
       fi;
       lock_drop(t, SCHED_LOCK)
     };
     if
     :: other < 3 -> wake[other] = WAKE_LOOK
     :: else
     fi;
     other = 0
  :: processor[t] && !(t == 1 && retired) ->
     queue_global_pop(t, found);
     if
     :: found ->
        found = 0;
        if
        :: spins[t] ->
           stop_spinning(t);
#ifndef NO_CHAIN
           load(t, GLOBAL_COUNT, seen);
           if
           :: seen > 0 -> wake_if_needed(t)
           :: else
           fi;
           seen = 0
#endif
        :: else
        fi;
        started++;
#ifndef RETIRE
        started >= 2; // runs until the other one runs, too
#endif
        done++
     :: else -> // go_idle
#ifndef SPIN_TO_THE_END
        stop_spinning(t);
#endif
        atomic { lock_take(t, SCHED_LOCK); listed[t] = LISTED_IDLE; count_idle(t, 1); lock_drop(t, SCHED_LOCK) };
#ifndef NO_IDLE_FENCE
        full_fence(t);
#endif
#ifndef NO_RECHECK
        load(t, GLOBAL_COUNT, seen); // work_anywhere
#endif
        if
        :: seen > 0 ->
           atomic {
             lock_take(t, SCHED_LOCK);
             if
             :: listed[t] == LISTED_IDLE -> unlist(t, t); found = 1
             :: else
             fi;
             lock_drop(t, SCHED_LOCK)
           }
        :: else
        fi;
        seen = 0;
#ifdef SPIN_TO_THE_END
        stop_spinning(t);
#endif
        if
        :: found -> found = 0
        :: else ->
end_idle:
           sleep_listed(t)
        fi
     fi
  od
}

proctype foreign() {
  byte n, seen, other;
  queue_global(3);
#ifdef RETIRE
  retired = 1; // ecru_set_maxprocs
  atomic {
    lock_take(3, SCHED_LOCK);
    other = 3;
    if
    :: listed[1] == LISTED_IDLE && processor[1] -> other = 1; unlist(3, 1)
    :: else
    fi;
    lock_drop(3, SCHED_LOCK)
  };
  if
  :: other == 1 -> wake[1] = WAKE_LOOK
  :: else
  fi;
  other = 0;
#endif
  queue_global(3)
}

init {
  atomic {
    processor[0] = 1;
    processor[1] = 1;
    run worker(0);
    run worker(1);
#ifdef RETIRE
    done = 1;
#else
    run worker(2);
#endif
    run foreign()
  };
  timeout;
  assert(mem[GLOBAL_COUNT] == 0 && done == 3)
}
