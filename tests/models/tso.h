// tests/models/tso.h: x86's memory order (total store order) written out by hand, because spin itself is sequentially consistent.
//
// Every thread has a first-in first-out buffer of stores the others do not see yet. `memory` moves the oldest store of any
// buffer to memory at any time. A thread reads its own youngest buffered store first. A locked instruction (compare-and-swap,
// exchange) and a full fence empty the thread's own buffer. The heavy half of the asymmetric fence (platform/fence.h) empties
// every thread's buffer, one after another, while it runs; the light half only keeps the compiler from reordering: nothing.
//
// Variables that are touched only under a lock, or only by the one who won a claim, need no buffer: the lock's or the claim's
// store is younger than theirs, so who sees that sees them. They are plain globals of the model.
//
// Define before including: WORDS (how many shared words), THREADS (how many threads, at most 6), STORES (room of a buffer).
// -DSYMMETRIC: both halves are full fences of their own thread (the fallback without membarrier).
// -DNO_FENCE: negative control: heavy() is a full fence of its own thread, light() nothing.
byte mem[WORDS];
byte stores_count[THREADS], stores_word[THREADS * STORES], stores_value[THREADS * STORES];
hidden byte tso_i;

// Moves thread t's oldest store to memory; only inside a d_step, the buffer not empty.
inline tso_oldest(t) {
  mem[stores_word[t * STORES]] = stores_value[t * STORES];
  stores_count[t]--;
  tso_i = 0;
  do
  :: tso_i < stores_count[t] ->
     stores_word[t * STORES + tso_i] = stores_word[t * STORES + tso_i + 1];
     stores_value[t * STORES + tso_i] = stores_value[t * STORES + tso_i + 1];
     tso_i++
  :: else -> break
  od;
  stores_word[t * STORES + stores_count[t]] = 0; // one representation for one state
  stores_value[t * STORES + stores_count[t]] = 0
}
inline tso_drain(t) {
  do
  :: stores_count[t] > 0 -> tso_oldest(t)
  :: else -> break
  od
}
// A plain (relaxed or release) store; stalls while the buffer is full.
inline store(t, word, value) {
  d_step {
    stores_count[t] < STORES;
    stores_word[t * STORES + stores_count[t]] = word;
    stores_value[t * STORES + stores_count[t]] = value;
    stores_count[t]++
  }
}
// A plain (relaxed or acquire) load.
inline load(t, word, result) {
  d_step {
    result = mem[word];
    tso_i = 0;
    do
    :: tso_i < stores_count[t] ->
       if
       :: stores_word[t * STORES + tso_i] == word -> result = stores_value[t * STORES + tso_i]
       :: else
       fi;
       tso_i++
    :: else -> break
    od;
    tso_i = 0
  }
}
// Locked instructions.
inline compare_swap(t, word, expected, desired, won) {
  d_step {
    tso_drain(t);
    if
    :: mem[word] == expected -> mem[word] = desired; won = 1
    :: else -> won = 0
    fi
  }
}
inline exchange(t, word, desired, old) {
  d_step { tso_drain(t); old = mem[word]; mem[word] = desired }
}
inline full_fence(t) { d_step { tso_drain(t); tso_i = 0 } }

// runtime/lock.h: taken by an exchange, dropped by a plain release store.
inline lock_take(t, word) {
  if
  :: stores_count[t] > 0 -> full_fence(t)
  :: else
  fi;
  d_step { mem[word] == 0; mem[word] = 1 }
}
inline lock_drop(t, word) { store(t, word, 0) }

// platform/fence.h.
#ifdef SYMMETRIC
inline fence_light(t) { full_fence(t) }
#else
inline fence_light(t) { skip }
#endif
inline fence_heavy(t) {
  full_fence(t);
#if !defined(SYMMETRIC) && !defined(NO_FENCE)
  full_fence(0);
  full_fence(1);
#if THREADS > 2
  full_fence(2);
#endif
#if THREADS > 3
  full_fence(3);
#endif
#if THREADS > 4
  full_fence(4);
#endif
#if THREADS > 5
  full_fence(5);
#endif
#endif
}

active proctype memory() {
end:
  do
  :: d_step { stores_count[0] > 0; tso_oldest(0) }
  :: d_step { stores_count[1] > 0; tso_oldest(1) }
#if THREADS > 2
  :: d_step { stores_count[2] > 0; tso_oldest(2) }
#endif
#if THREADS > 3
  :: d_step { stores_count[3] > 0; tso_oldest(3) }
#endif
#if THREADS > 4
  :: d_step { stores_count[4] > 0; tso_oldest(4) }
#endif
#if THREADS > 5
  :: d_step { stores_count[5] > 0; tso_oldest(5) }
#endif
  od
}
