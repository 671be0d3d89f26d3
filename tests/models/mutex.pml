// tests/models/mutex.pml: the mutex whose unlock is a plain store (runtime/mutex.c, invariants 1-8).
//
// Three goroutines lock and unlock one mutex, one of them twice; a wait may be cancelled, then that one tries again.
// Who finds in its last critical section that it is the last user destroys the mutex after its unlock. At no time are two inside,
// nobody touches the mutex after it was destroyed, and in quiescence all have come through: no wakeup is lost.
//
//   lock          ecru_mutex_lock, wait_for; parking is one step here (park.pml)
//   unlock        ecru_mutex_unlock, unlock_hot, wake_after_store, wake_while_held
//   let_go        the same
//
// run: pass
// run: pass -DSYMMETRIC
// run: fail -DNO_FENCE        the unlocker misses the flag and the waiter misses that the mutex is free: it sleeps for ever
// run: fail -DNO_SECOND_LOOK  a flag set between the look at it and the store is not seen
// run: fail -DFLAG_INSIDE     the flag is a field of the mutex: looked at when the mutex may be gone
// run: fail -DNO_LIST         after the store the waiters are looked for without knowing that the mutex is alive
// run: fail -DCOOL_ANYWAY     the flag unset while somebody waits
#define THREADS 3
#define STORES 3
#define WORDS 3
#define WORD 0  /* mutex.word */
#define HOT 1   /* place.hot */
#define LOCK 2  /* place.lock */
#define CANCELS 1
#include "tso.h"
#define FREE 0
#define HELD 1
#define CONTENDED 2

byte inside;            // goroutines between lock and unlock
byte users = THREADS;   // who will come again; guarded by the mutex
bit freed;              // the mutex was destroyed
byte queue[THREADS];    // mutex.waiters; lock: LOCK
byte queued;            // how many; the mutex is in place.contended if > 0; lock: LOCK
bit starving;           // mutex.starving; lock: LOCK
bit parked[THREADS];    // waiter.state is ARMED
bit woken[THREADS], given[THREADS], canceled[THREADS];
byte cancels_left = CANCELS;
byte ended;

inline touch() { assert(!freed) }

inline unlink_at(at) { // of the queue
  d_step {
    touch();
    queued--;
    i = at;
    do
    :: i < queued -> queue[i] = queue[i + 1]; i++
    :: else -> break
    od;
    queue[queued] = 0;
    i = 0;
    if
    :: queued == 0 -> starving = 0
    :: else
    fi
  }
}
// Under LOCK, the word is CONTENDED and ours. who: whom to make ready, or THREADS.
inline let_go(t, who) {
  who = THREADS;
  was_starving = starving;
  do
  :: queued > 0 && who == THREADS ->
     d_step {
       if
       :: parked[queue[0]] -> who = queue[0]; parked[who] = 0; given[who] = was_starving
       :: else // its token was faster
       fi
     };
     unlink_at(0)
  :: else -> break
  od;
  if
  :: queued > 0 && who < THREADS && was_starving -> // the next one has not waited so long, or has
     if
     :: starving = 0
     :: skip
     fi
  :: else
  fi;
  touch();
  if
  :: who == THREADS || !was_starving -> store(t, WORD, FREE)
  :: else
  fi;
  was_starving = 0
}
inline ready(who) {
  if
  :: who < THREADS -> woken[who] = 1
  :: else
  fi;
  who = 0
}
inline look_at_flag(t, hot) {
#ifdef FLAG_INSIDE
  touch();
#endif
  load(t, HOT, hot)
}

inline lock(t) {
  touch();
  compare_swap(t, WORD, FREE, HELD, won);
  if
  :: won
  :: else ->
     again = 0;
     do
     :: lock_take(t, LOCK);
        load(t, HOT, hot);
        if
        :: !hot ->
           store(t, HOT, 1);
           fence_heavy(t)
        :: else
        fi;
        touch();
        compare_swap(t, WORD, FREE, (queued > 0 -> CONTENDED : HELD), won);
        if
        :: !won -> exchange(t, WORD, CONTENDED, old); won = (old == FREE)
        :: else
        fi;
        if
        :: won -> lock_drop(t, LOCK); break
        :: else
        fi;
        d_step { // push, at the front if it was woken in vain
          touch();
          if
          :: again ->
             i = queued;
             do
             :: i > 0 -> queue[i] = queue[i - 1]; i--
             :: else -> break
             od;
             queue[0] = t
          :: else -> queue[queued] = t
          fi;
          queued++;
          parked[t] = 1
        };
        if
        :: again -> starving = 1 // it has waited long enough
        :: skip
        fi;
        lock_drop(t, LOCK);
        d_step { woken[t]; woken[t] = 0 };
        if
        :: canceled[t] ->
           canceled[t] = 0;
           lock_take(t, LOCK);
           at = 0;
           do
           :: at < queued && queue[at] != t -> at++
           :: else -> break
           od;
           if
           :: at < queued -> unlink_at(at)
           :: else
           fi;
           at = 0;
           lock_drop(t, LOCK);
           again = 0 // the caller tries once more
        :: given[t] -> given[t] = 0; break
        :: else -> again = 1
        fi
     od
  fi;
  skip;
  d_step { won = 0; again = 0; hot = 0; old = 0 }
}

inline unlock(t) {
  look_at_flag(t, hot);
  if
  :: hot ->
     if
     :: // cool
        lock_take(t, LOCK);
        if
#ifdef COOL_ANYWAY
        :: true -> store(t, HOT, 0)
#endif
        :: queued == 0 -> store(t, HOT, 0)
        :: else
        fi;
        lock_drop(t, LOCK)
     :: skip
     fi;
     touch();
     compare_swap(t, WORD, HELD, FREE, won);
     if
     :: won
     :: else ->
        lock_take(t, LOCK);
        let_go(t, who);
        lock_drop(t, LOCK);
        ready(who)
     fi
  :: else ->
     touch();
     store(t, WORD, FREE);
     fence_light(t);
#ifndef NO_SECOND_LOOK
     look_at_flag(t, hot);
     if
     :: hot ->
        lock_take(t, LOCK);
        if
#ifdef NO_LIST
        :: true ->
#else
        :: queued > 0 ->
#endif
           touch();
           exchange(t, WORD, CONTENDED, old);
           if
           :: old == FREE -> let_go(t, who)
           :: else -> who = THREADS
           fi
#ifndef NO_LIST
        :: else -> who = THREADS
#endif
        fi;
        lock_drop(t, LOCK);
        ready(who)
     :: else
     fi
#endif
  fi;
  d_step { won = 0; hot = 0; old = 0 }
}

proctype goroutine(byte t) {
  bit won, hot, again, was_starving, last;
  byte old, who, at, i, rounds_left;
  rounds_left = (t == 0 -> 2 : 1);
  do
  :: rounds_left == 0 -> break
  :: else ->
     lock(t);
     d_step { assert(inside == 0 && !freed); inside = 1 };
     rounds_left--;
     if
     :: rounds_left == 0 -> users--; last = (users == 0)
     :: else
     fi;
     inside = 0;
     unlock(t)
  od;
  if
  :: last ->
     assert(mem[WORD] == FREE || stores_count[t] > 0);
     assert(queued == 0);
     freed = 1
  :: else
  fi;
  ended++
}

inline cancel(t) { parked[t] = 0; canceled[t] = 1; woken[t] = 1; cancels_left-- }

proctype canceller() {
end:
  do
  :: d_step { cancels_left > 0 && parked[0]; cancel(0) }
  :: d_step { cancels_left > 0 && parked[1]; cancel(1) }
  :: d_step { cancels_left > 0 && parked[2]; cancel(2) }
  od
}

init {
  atomic {
    run goroutine(0);
    run goroutine(1);
    run goroutine(2);
    run canceller()
  };
  timeout; // nothing can move any more
  assert(ended == THREADS && freed)
}
