/// runtime/lock.c: the slow path of ecru__lock.
#include "runtime/lock.h"

#include "platform/clock.h"
#include "platform/thread.h"
#include "platform/wait.h"

enum { SPINS = 12, PAUSES_MAX = 128, YIELDS = 40 };

void ecru__lock_contended(ecru__lock *lock) {
  // Ever longer pauses: each look takes the cache line from the holder, whose data lies on it, too. While we stay away it gets a
  // batch of work done.
  for (int i = 0, pauses = 4; i < SPINS; i++) {
    for (int k = 0; k < pauses; k++) ecru__thread_pause();
    if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 && ecru__lock_try(lock)) return;
    if (pauses < PAUSES_MAX) pauses *= 2;
  }
  for (int i = 0; i < YIELDS; i++) {
    ecru__thread_yield();
    if (ecru__lock_try(lock)) return;
  }
  // The holder has lost its CPU. Nobody will wake us: sleep a little at a time on a word that never changes.
  _Atomic uint32_t never = 0;
  for (;;) {
    ecru__wait(&never, 0, ecru__clock_now() + 50 * 1000);
    if (ecru__lock_try(lock)) return;
  }
}
