/// tests/contract/migration/travel.h: contexts that move to the other of two threads each time they wait.
///
/// Two threads take strict turns; in its turn a thread resumes every traveller once. So what a traveller reads before and
/// after travel() belongs to different threads, and a compiler that keeps the address of a thread-local, of errno or of
/// the C++ exception state across the call is found out.
#ifndef ECRU_TESTS_TRAVEL_H
#define ECRU_TESTS_TRAVEL_H
#include "test.h"
#ifdef __cplusplus
extern "C" {
#endif
#include "platform/ctx.h"
#include "platform/thread.h"
#include <pthread.h>
#include <stdlib.h>

enum { TRAVEL_TURNS = 400, TRAVEL_STACK_BYTES = 128 * 1024, TRAVELLERS_MOST = 4 };

/// One of the two threads, as it sees itself: what a traveller has to find there.
typedef struct place {
  int number;
  void *local;     ///< address of the thread-local under test
  int *errno_slot; ///< address of errno
} place;

typedef struct traveller {
  void *self, *resumer;
  char *stack;
  place *here; ///< the thread that resumed it last: the truth
  long stale;  ///< wrong answers found
} traveller;

/// Fills the place in, on the thread itself, outside of any traveller.
typedef void describe_fn(place *here);

static traveller *travellers[TRAVELLERS_MOST];
static int travellers_count;
static describe_fn *describe_place;
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static int turn;

/// Waits until resumed on the other thread.
static inline void travel(traveller *me) { me->here = (place *)ecru__ctx_switch(&me->self, me->resumer, NULL); }

/// Run by a thread before and after it resumes a traveller (may be NULL).
typedef void check_fn(place *here);
static check_fn *before_resume, *after_resume;

static void *take_turns(void *argument) {
  place *here = (place *)argument;
  describe_place(here);
  for (;;) {
    pthread_mutex_lock(&turn_lock);
    while (turn < TRAVEL_TURNS && turn % 2 != here->number) pthread_cond_wait(&turn_changed, &turn_lock);
    pthread_mutex_unlock(&turn_lock);
    if (turn >= TRAVEL_TURNS) return NULL; // nobody changes it any more
    for (int i = 0; i < travellers_count; i++) {
      traveller *next = travellers[i];
      next->here = here;
      if (before_resume) before_resume(here);
      ecru__ctx_switch(&next->resumer, next->self, turn == 0 ? (void *)next : (void *)here);
      if (after_resume) after_resume(here);
    }
    pthread_mutex_lock(&turn_lock);
    turn++;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&turn_lock);
  }
}

/// Sends count travellers through all turns. Their entry gets its traveller and loops for ever. returns: stale answers.
static inline long send_travellers(int count, void (*entry)(void *me), describe_fn *describe) {
  static place places[2] = {{0, NULL, NULL}, {1, NULL, NULL}};
  pthread_t threads[2];
  travellers_count = count;
  describe_place = describe;
  for (int i = 0; i < count; i++) {
    traveller *fresh = (traveller *)calloc(1, sizeof *fresh);
    fresh->stack = (char *)aligned_alloc(16, TRAVEL_STACK_BYTES);
    fresh->self = ecru__ctx_make(fresh->stack + TRAVEL_STACK_BYTES, TRAVEL_STACK_BYTES, entry);
    travellers[i] = fresh;
  }
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&threads[i], NULL, take_turns, &places[i]), 0);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  long stale = 0;
  for (int i = 0; i < count; i++) {
    stale += travellers[i]->stale;
    ecru__ctx_drop(travellers[i]->self);
    free(travellers[i]->stack);
    free(travellers[i]);
  }
  return stale;
}

#ifdef __cplusplus
}
#endif
#endif
