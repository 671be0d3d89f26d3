// tests/models/handoff.pml: passing a processor from a thread that blocks or computes to another (runtime/scheduler.h,
// invariants 2 and 3; rules G3, G4).
//
// One processor, two workers, two goroutines with two calls into the runtime each: a plain call, or a declared blocking section.
// The monitor tries to take the processor LOOKS times, from whom and how it likes. At no time do two threads use the processor,
// it is never lost, and in quiescence both goroutines have ended.
//
//   enter         ecru__enter, enter_without_baton, settle (worker.c); requeue and take_idle as in scheduler.c
//   lend          ecru_blocking_enter (runtime.c); the next enter swaps `lent` out
//   retake        monitor.c: take_baton, then ecru__handoff; or request, if the worker is inside at this moment
//   expose        monitor.c: takes the baton for a moment and puts it back
//   request       monitor.c: the baton stays down with `preempt` set: the goroutine queues up at its next entry
//   retake_lent   monitor.c: swaps `lent` out: the owner's swap or this one gets it
//
// The scheduler's lock is a lock; what idle.pml proves (no lost wakeup) is one step here. A thread started for a
// processor is a spare worker that has waited for it: the monitor takes nothing while there is none.
//
// -DNATIVE: instead of blocking sections calls made from ecru_on_thread_stack, which cannot queue: they go on without a processor.
//
// run: pass
// run: pass -DLOOKS=3
// run: pass -DNATIVE
// run: pass -DSYMMETRIC
// run: fail -DNO_FENCE        the monitor misses `inside` and the worker misses that the baton is gone: two users
// run: fail -DLEND_UNLOCKED   the baton given up without worker->lock: the monitor puts it back, and it is lent, too
// run: fail -DNATIVE -DTRUST_PROCESSOR  a worker on its native stack finds no baton and goes on with worker->processor
// run: fail -DLEND_REQUESTED  a request survives the lending: the monitor takes a baton that is not there
// run: fail -DLENT_LOADED     `lent` taken by a load and a store: owner and monitor both get it
#define THREADS 3 /* workers 0 and 1, monitor 2 */
#define MONITOR 2
#define STORES 4
#ifndef LOOKS
#define LOOKS 2
#endif
#define CALLS 2
#define WORDS 9
#define BATON(w) (w)
#define INSIDE(w) (2 + w)
#define LOCK(w) (4 + w)
#define LENT(w) (6 + w)
#define SCHED_LOCK 8
#include "tso.h"
#define LISTED_NOT 0
#define LISTED_IDLE 1
#define LISTED_SPARE 2

byte users;           // threads that use what belongs to the processor's owner
bit processor[2];     // worker.processor; owner
bit preempt[2];       // worker.preempt; lock: LOCK
byte listed[2];       // lock: SCHED_LOCK
bit wake[2];          // worker.wake
bit runnable[2];      // goroutines in a queue
byte calls[2];        // what each has done

inline use() { d_step { assert(users == 0); users++ }; users-- }
inline give(me, to, what) { // ecru__worker_give
  lock_take(me, LOCK(to));
  processor[to] = what;
  preempt[to] = 0;
  store(me, BATON(to), what);
  lock_drop(me, LOCK(to))
}
inline take_lent(me, lender, got) {
#ifdef LENT_LOADED
  load(me, LENT(lender), got);
  store(me, LENT(lender), 0)
#else
  exchange(me, LENT(lender), 0, got)
#endif
}

// Returns with lost == 1 if there is no processor: the goroutine has to queue.
inline enter(t, p, lost) {
  store(t, INSIDE(t), 1);
  fence_light(t);
  load(t, BATON(t), p);
  lost = 0;
  if
  :: p
  :: else ->
     take_lent(t, t, p);
     if
     :: p -> give(t, t, 1)
     :: else ->
        lock_take(t, LOCK(t));
        load(t, BATON(t), p);
        if
        :: preempt[t] -> preempt[t] = 0; store(t, BATON(t), processor[t]); lost = 1
        :: !preempt[t] && !p -> processor[t] = 0
        :: else
        fi;
        lock_drop(t, LOCK(t));
        if
        :: p || lost
        :: else -> // ecru__take_idle_processor
           lock_take(t, SCHED_LOCK);
           if
           :: listed[1 - t] == LISTED_IDLE ->
              p = 1;
              other = 1 - t;
              give(t, other, 0);
              listed[1 - t] = LISTED_SPARE
           :: else -> lost = 1
           fi;
           lock_drop(t, SCHED_LOCK);
           if
           :: p -> give(t, t, 1)
           :: else
           fi
        fi
     fi
  fi;
  p = 0
}
// The same on the native stack, where nothing can queue: processor[t] says whether there is one.
inline enter_native(t, p) {
  store(t, INSIDE(t), 1);
  fence_light(t);
  load(t, BATON(t), p);
#ifndef TRUST_PROCESSOR
  if
  :: p
  :: else ->
     lock_take(t, LOCK(t));
     load(t, BATON(t), p);
     if
     :: preempt[t] -> preempt[t] = 0; store(t, BATON(t), processor[t])
     :: !preempt[t] && !p -> processor[t] = 0
     :: else
     fi;
     lock_drop(t, LOCK(t))
  fi;
#endif
  p = 0
}
inline lend(t) {
#ifndef LEND_UNLOCKED
  lock_take(t, LOCK(t));
#endif
  store(t, BATON(t), 0);
  processor[t] = 0;
#ifndef LEND_REQUESTED
  preempt[t] = 0;
#endif
#ifndef LEND_UNLOCKED
  lock_drop(t, LOCK(t));
#endif
  use(); // it looks whether work waits
  store(t, LENT(t), 1)
}
inline sleep(t) { d_step { wake[t]; wake[t] = 0 } }

proctype worker(byte t) {
  bit p, lost;
  byte g, other;
  do
  :: // find_work
     if
     :: !processor[t] -> // wait_for_processor
        lock_take(t, SCHED_LOCK);
        listed[t] = LISTED_SPARE;
        lock_drop(t, SCHED_LOCK);
end_spare:
        sleep(t)
     :: else ->
        use();
        g = 2;
        atomic {
          if
          :: runnable[0] -> g = 0; runnable[0] = 0
          :: runnable[1] -> g = 1; runnable[1] = 0
          :: else
          fi
        };
        if
        :: g == 2 -> // go_idle
           lock_take(t, SCHED_LOCK);
           if
           :: runnable[0] || runnable[1] -> lock_drop(t, SCHED_LOCK)
           :: else ->
              listed[t] = LISTED_IDLE;
              lock_drop(t, SCHED_LOCK);
end_idle:
              sleep(t)
           fi
        :: else -> // runs g
           do
           :: calls[g] == CALLS -> break
           :: else ->
              store(t, INSIDE(t), 0); // ecru__leave
              // user code
              enter(t, p, lost);
              if
              :: lost -> break
              :: else
              fi;
              use(); // whatever the call does
              if
              :: skip // a plain call
#ifdef NATIVE
              :: store(t, INSIDE(t), 0); // ecru_on_thread_stack
                 enter_native(t, p);
                 if
                 :: processor[t] -> use()
                 :: else
                 fi;
                 store(t, INSIDE(t), 0);
#else
              :: skip; lend(t);
                 store(t, INSIDE(t), 0); // blocks
#endif
                 enter(t, p, lost);
                 if
                 :: lost -> calls[g]++; break
                 :: else
                 fi;
                 use()
              fi;
              calls[g]++
           od;
           if
           :: lost -> // ecru__requeue
              lost = 0;
              full_fence(t);
              lock_take(t, SCHED_LOCK);
              runnable[g] = 1;
              other = 1 - t;
              if
              :: listed[other] == LISTED_IDLE -> listed[other] = LISTED_NOT; wake[other] = 1
              :: else
              fi;
              lock_drop(t, SCHED_LOCK)
           :: else
           fi
        fi
     fi;
     atomic { g = 0; other = 0 }
  od
}

inline take_baton(x, taken) { // under LOCK(x)
  load(MONITOR, BATON(x), taken);
  if
  :: taken || preempt[x] ->
     store(MONITOR, BATON(x), 0);
     fence_heavy(MONITOR);
     load(MONITOR, INSIDE(x), inside);
     taken = !inside;
     if
     :: inside && !preempt[x] -> store(MONITOR, BATON(x), 1)
     :: else
     fi;
     inside = 0
  :: else
  fi
}
inline request(x, there) { // under LOCK(x)
  load(MONITOR, BATON(x), there);
  if
  :: there -> store(MONITOR, BATON(x), 0); preempt[x] = 1; there = 0
  :: else
  fi
}
inline handoff() {
  lock_take(MONITOR, SCHED_LOCK);
  if
  :: listed[0] == LISTED_SPARE -> spare = 0
  :: listed[1] == LISTED_SPARE -> spare = 1
  fi;
  listed[spare] = LISTED_NOT;
  give(MONITOR, spare, 1);
  lock_drop(MONITOR, SCHED_LOCK);
  wake[spare] = 1;
  spare = 0
}

proctype monitor() {
  bit taken, inside;
  byte looks, x, spare;
end:
  do
  :: looks < LOOKS && (listed[0] == LISTED_SPARE || listed[1] == LISTED_SPARE) ->
     looks++;
     if
     :: x = 0
     :: x = 1
     fi;
     if
     :: skip; lock_take(MONITOR, LOCK(x)); // retake
        take_baton(x, taken);
        if
        :: taken -> preempt[x] = 0
        :: else -> request(x, inside)
        fi;
        lock_drop(MONITOR, LOCK(x))
     :: skip; lock_take(MONITOR, LOCK(x)); // expose
        take_baton(x, taken);
        if
        :: taken ->
           use();
           if
           :: preempt[x]
           :: else -> store(MONITOR, BATON(x), 1)
           fi;
           taken = 0
        :: else
        fi;
        lock_drop(MONITOR, LOCK(x))
     :: skip; lock_take(MONITOR, LOCK(x)); // request
        request(x, inside);
        lock_drop(MONITOR, LOCK(x))
     :: take_lent(MONITOR, x, taken)
     fi;
     if
     :: taken -> use(); taken = 0; handoff()
     :: else
     fi;
     x = 0
  od
}

init {
  atomic {
    runnable[0] = 1;
    runnable[1] = 1;
    processor[0] = 1;
    mem[BATON(0)] = 1;
    mem[INSIDE(0)] = 1;
    mem[INSIDE(1)] = 1;
    run worker(0);
    run worker(1);
    run monitor()
  };
  timeout;
  assert(calls[0] == CALLS && calls[1] == CALLS && users == 0);
  assert(processor[0] + processor[1] + mem[LENT(0)] + mem[LENT(1)] == 1);
  assert(processor[0] == (mem[BATON(0)] || preempt[0]) && processor[1] == (mem[BATON(1)] || preempt[1]))
}
