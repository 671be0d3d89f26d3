// tests/models/steal.pml: the run queues (runtime/queue.c): rings, stealing, the global queue.
//
// Two processors with rings of four; the counters start before their overflow, so that they wrap. The owner of ring 0 makes ITEMS
// goroutines; both pop, take from the global queue and steal from each other until nothing is left. A third thread steals
// from VICTIM, THEFTS times, and runs its booty without a ring. Every item must be run exactly once.
//
//   ring_push, overflow     the owner's slot store, then the release store of tail; half a ring and the new one to the global queue
//   queue_pop, queue_steal  read the slots, then advance head by compare-and-swap: only its winner owns what it read
//   global_pop              the first to run, the others into the own ring
//
// run: pass             the third thread steals what the second has stolen
// run: pass -DVICTIM=0  it competes with the second
// run: fail -DPUBLISH_FIRST  tail is stored before the slot: a thief takes a stale slot
// run: fail -DOVERFILL       a push into a full ring overwrites a slot that is still owned by the ring
// run: fail -DPLAIN_HEAD     head is advanced by a plain store: two take the same item
// run: fail -DREUSE_EARLY    the thief reads its own share after tail is published: another thief may have taken it
#define THREADS 3
#define STORES 2
#define RING 4
#define HALF 2
#define ITEMS 5
#define THEFTS 1
#ifndef VICTIM
#define VICTIM 1
#endif
#define FIRST 254 /* of the byte counters */
#define WORDS 13
#define HEAD(p) (p)
#define TAIL(p) (2 + (p))
#define SLOT(p, at) (4 + (p) * RING + (at) % RING)
#define GLOBAL_LOCK 12
#define HAS_WORK(p) (mem[HEAD(p)] != mem[TAIL(p)])
#include "tso.h"

chan global = [ITEMS] of { byte }; // lock: GLOBAL_LOCK
byte global_count;                 // lock: GLOBAL_LOCK
byte made;
bit has_run[ITEMS + 1];
byte runs;

inline run_item(item) {
  d_step { assert(item > 0 && !has_run[item]); has_run[item] = 1; runs++; item = 0 }
}
inline advance_head(me, p, was, to, won) {
#ifdef PLAIN_HEAD
  d_step { won = (mem[HEAD(p)] == was) };
  if
  :: won -> store(me, HEAD(p), to)
  :: else
  fi
#else
  compare_swap(me, HEAD(p), was, to, won)
#endif
}

inline ring_push(t, pushed) {
  do
  :: load(t, HEAD(t), head);
     load(t, TAIL(t), tail);
     count = tail - head;
     if
#ifdef OVERFILL
     :: count <= RING ->
#else
     :: count < RING ->
#endif
#ifdef PUBLISH_FIRST
        store(t, TAIL(t), tail + 1);
        store(t, SLOT(t, tail), pushed);
#else
        store(t, SLOT(t, tail), pushed);
        store(t, TAIL(t), tail + 1);
#endif
        break
     :: else -> // overflow
        load(t, SLOT(t, head), batch[0]);
        load(t, SLOT(t, head + 1), batch[1]);
        advance_head(t, t, head, head + HALF, won);
        if
        :: won ->
           atomic {
             lock_take(t, GLOBAL_LOCK);
             global!batch[0]; global!batch[1]; global!pushed;
             global_count = global_count + 3;
             lock_drop(t, GLOBAL_LOCK)
           };
           break
        :: else // a thief made room
        fi
     fi
  od;
  atomic { pushed = 0; head = 0; tail = 0; count = 0; batch[0] = 0; batch[1] = 0; won = 0 }
}

inline queue_pop(t, item) {
  do
  :: load(t, HEAD(t), head);
     load(t, TAIL(t), tail);
     if
     :: tail == head -> break
     :: else ->
        load(t, SLOT(t, head), item);
        advance_head(t, t, head, head + 1, won);
        if
        :: won -> break
        :: else -> item = 0
        fi
     fi
  od;
  atomic { head = 0; tail = 0; won = 0 }
}

inline queue_global_pop(t, item, rest) { // maxprocs is 2
  atomic {
    lock_take(t, GLOBAL_LOCK);
    if
    :: global_count > 0 ->
       count = global_count / 2 + 1;
       global?item;
       global_count--;
       if
       :: count > 1 && global_count > 0 -> global?rest; global_count--
       :: else
       fi
    :: else
    fi;
    lock_drop(t, GLOBAL_LOCK)
  };
  if
  :: rest > 0 -> ring_push(t, rest)
  :: else
  fi;
  count = 0
}

inline queue_steal(t, victim, item) { // own ring is empty
  load(t, TAIL(t), tail);
  do
  :: load(t, HEAD(victim), head);
     load(t, TAIL(victim), end);
     count = end - head;
     count = count - count / 2;
     if
     :: count == 0 -> break
     :: count > RING / 2 // head and tail were read inconsistently
     :: else ->
        load(t, SLOT(victim, head), item);
        store(t, SLOT(t, tail), item);
        if
        :: count == 2 -> load(t, SLOT(victim, head + 1), item); store(t, SLOT(t, tail + 1), item)
        :: else
        fi;
        advance_head(t, victim, head, head + count, won);
        if
        :: won ->
#ifdef REUSE_EARLY
           store(t, TAIL(t), tail + count);
           load(t, SLOT(t, tail + count - 1), item);
#else
           load(t, SLOT(t, tail + count - 1), item);
           if
           :: count == 2 -> store(t, TAIL(t), tail + 1)
           :: else
           fi;
#endif
           break
        :: else -> item = 0
        fi
     fi
  od;
  atomic { head = 0; tail = 0; end = 0; count = 0; won = 0 }
}

proctype worker(byte t) {
  byte item, rest;
  byte head, tail, end, count, batch[2];
  bit won;
end_idle:
  do
  :: atomic { t == 0 && made < ITEMS -> made++; item = made };
     ring_push(t, item)
  :: runs < ITEMS -> // looks for work
     queue_pop(t, item);
     if
     :: item > 0
     :: else ->
        if
        :: global_count > 0 -> queue_global_pop(t, item, rest)
        :: HAS_WORK(1 - t) -> batch[0] = 1 - t; queue_steal(t, batch[0], item); batch[0] = 0
        :: HAS_WORK(t) || (t == 0 && made < ITEMS) || runs == ITEMS
        fi
     fi;
     if
     :: item > 0 -> run_item(item)
     :: else
     fi
  od
}

proctype thief() { // queue_steal without a ring
  byte head, end, count, thefts, batch[2];
  bit won;
end_idle:
  do
  :: thefts < THEFTS && HAS_WORK(VICTIM) ->
     head = mem[HEAD(VICTIM)];
     end = mem[TAIL(VICTIM)];
     count = end - head;
     count = count - count / 2;
     if
     :: count == 0 || count > RING / 2
     :: else ->
        batch[0] = mem[SLOT(VICTIM, head)];
        if
        :: count == 2 -> batch[1] = mem[SLOT(VICTIM, head + 1)]
        :: else
        fi;
        advance_head(2, VICTIM, head, head + count, won);
        if
        :: won ->
           thefts++;
           run_item(batch[0]);
           if
           :: count == 2 -> run_item(batch[1])
           :: else
           fi
        :: else
        fi
     fi;
     atomic { head = 0; end = 0; count = 0; batch[0] = 0; batch[1] = 0; won = 0 }
  od
}

init {
  atomic {
    mem[HEAD(0)] = FIRST; mem[TAIL(0)] = FIRST;
    mem[HEAD(1)] = FIRST; mem[TAIL(1)] = FIRST;
    run worker(0);
    run worker(1);
    run thief()
  };
  timeout;
  assert(made == ITEMS && runs == ITEMS)
}
