/// tests/contract/migration/worker.c: the runtime's own door (runtime/worker.c) used by code that moves between threads.
///
/// The file is included, not linked: so in every mode this directory is built in, the accessors stand in one translation unit
/// with code that calls them on both sides of a switch, and a compiler may do to them whatever it would do inside the runtime.
/// The naive forms of the same, as a control that there is a hazard, are in locals.c.
#include "runtime/worker.c"

#include "travel.h"

static ecru__worker workers[2]; // those of the two threads
static ecru__processor *some_processor = (ecru__processor *)&some_processor;

static void describe(place *here) {
  ecru__worker *mine = &workers[here->number];
  here->local = mine;
  mine->errno_place = &errno;
  mine->waiter.is_thread = here->number; // to tell them apart by what is in them, too
  atomic_store(&mine->baton, some_processor); // the door's fast way: it has a processor
  ecru__worker_set_here(mine);
}

static void use_here(void *value) {
  traveller *me = value;
  for (;;) {
    me->stale += (void *)ecru__worker_here() != me->here->local;
    me->stale += ecru__worker_here()->waiter.is_thread != me->here->number;
    travel(me);
    me->stale += (void *)ecru__worker_here() != me->here->local;
    travel(me);
  }
}
TEST(migration, the_runtimes_accessor_is_never_stale) { // G10
  CHECK_EQ(send_travellers(3, use_here, describe), 0);
}

static void use_door(void *value) {
  traveller *me = value;
  for (;;) {
    ecru__worker *before = ecru__enter();
    me->stale += (void *)before != me->here->local;
    ecru__leave(before);
    travel(me);
    ecru__worker *after = ecru__enter();
    me->stale += (void *)after != me->here->local || after->waiter.is_thread != me->here->number;
    ecru__leave(after);
  }
}
TEST(migration, the_runtimes_door_is_never_stale) { // G10
  CHECK_EQ(send_travellers(3, use_door, describe), 0);
}

static void set_here_again(void *value) {
  traveller *me = value;
  for (;;) {
    ecru__worker_set_here(me->here->local);
    me->stale += (void *)ecru__worker_here() != me->here->local;
    travel(me); // what is written after it goes to the other thread's
    ecru__worker_set_here(me->here->local);
    me->stale += (void *)ecru__worker_here() != me->here->local;
  }
}
static void is_its_own(place *here) { CHECK(ecru__worker_here() == here->local); }
TEST(migration, what_the_runtime_writes_stays_with_the_thread) { // G10
  before_resume = after_resume = is_its_own;
  CHECK_EQ(send_travellers(3, set_here_again, describe), 0);
}
