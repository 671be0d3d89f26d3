/// tests/fault/task.c: tasks, groups, loops and pools when the system refuses memory, mappings or threads: the first, the
/// second, the third ... call in turn fails, until an operation gets through untouched. Each answers with its code, nothing
/// hangs, nothing is lost, and what had been started still ends.
#include <ecru/ecru.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "platform/fault.h"
#include "test.h"

enum { MANY = 40 };
static _Atomic int ran;

static int count_run(void *argument, void **result) {
  (void)argument, (void)result;
  atomic_fetch_add(&ran, 1);
  return 0;
}
static int count_item(void *context, size_t index) {
  (void)context, (void)index;
  atomic_fetch_add(&ran, 1);
  return 0;
}
static int count_work(void *context, void *item) {
  (void)context, (void)item;
  atomic_fetch_add(&ran, 1);
  return 0;
}
static bool is_refusal(int status) { return status == ECRU_ENOMEM || status == ECRU_ETHREADS; }

// ---- operations: each returns 0 or its refusal, having left nothing behind ----------------------------------------

static int spawn_and_join(void) {
  ecru_task *task = NULL;
  int status = ecru_spawn(&task, count_run, NULL);
  if (status != 0) {
    CHECK(task == NULL);
    return status;
  }
  CHECK_EQ(ecru_task_join(task, &status, NULL), 0);
  CHECK_EQ(status, 0);
  ecru_task_release(task);
  return 0;
}

static int spawn_own_thread(void) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  ecru_task *task = NULL;
  int status = ecru_spawn_with(&task, &options, count_run, NULL);
  if (status != 0) return status;
  CHECK_EQ(ecru_task_join(task, &status, NULL), 0);
  ecru_task_release(task);
  return status;
}

static int take_any(void *context, size_t index, int status, void *result) {
  (void)context, (void)index, (void)result;
  return status;
}
static int join_many(void) {
  ecru_task *tasks[MANY];
  size_t count = 0;
  int status = 0;
  for (; count < MANY && status == 0; count += status == 0) status = ecru_spawn(&tasks[count], count_run, NULL);
  if (count == MANY) {
    status = ecru_join_each(tasks, count, take_any, NULL);
    int any = ecru_join_any(tasks, count, NULL); // the second may be refused too
    if (any < 0) status = any;
    CHECK(any >= 0 || is_refusal(any));
  }
  CHECK_EQ(ecru_join_all(tasks, count, NULL, NULL), 0);
  for (size_t i = 0; i < count; i++) ecru_task_release(tasks[i]);
  return status;
}

static int group_of_many(void) {
  ecru_group *group = NULL;
  int status = ecru_group_create(&group, 7, 0);
  if (status != 0) return status;
  int started = 0, before = atomic_load(&ran);
  for (int i = 0; i < MANY; i++) {
    int refused = ecru_group_go(group, count_run, NULL);
    if (refused == 0) started++;
    else CHECK(is_refusal(refused)), status = refused;
  }
  CHECK_EQ(ecru_group_wait(group), 0); // a refused start takes no slot and is no failure
  CHECK_EQ(atomic_load(&ran) - before, started);
  ecru_group_destroy(group);
  return status;
}

static int parallel_loop(void) {
  int before = atomic_load(&ran), status = ecru_parallel_for(MANY, 5, count_item, NULL);
  CHECK_EQ(atomic_load(&ran) - before, status == 0 ? MANY : 0); // all or nothing: fewer workers do it too
  return status;
}

static int pool_of_workers(void) {
  ecru_pool *pool = NULL;
  int status = ecru_pool_create(&pool, 3, 4, count_work, NULL), before = atomic_load(&ran);
  if (status != 0) {
    CHECK(pool == NULL);
    return status;
  }
  for (int i = 0; i < MANY; i++) CHECK_EQ(ecru_pool_submit(pool, NULL), 0); // allocates nothing
  CHECK_EQ(ecru_pool_wait(pool), 0);
  CHECK_EQ(atomic_load(&ran) - before, MANY);
  ecru_pool_destroy(pool);
  return 0;
}

// ---- the walk -----------------------------------------------------------------------------------------------------

#ifdef ECRU_FAULT_INJECTION
/// Lets the nth call of each kind fail, then all from the nth on, for all n the operation reaches.
static void walk(void *argument) {
  int (*operation)(void) = *(int (**)(void))argument;
  int refusals = 0;
  CHECK_EQ(operation(), 0);
  for (int repeat = 0; repeat <= 1; repeat++) {
    for (int kind = 0; kind < ECRU__FAULT_KINDS; kind++) {
      for (uint64_t nth = 1;; nth++) {
        ecru__fault_set(kind, nth, repeat);
        int status = operation();
        uint64_t count = ecru__fault_count(kind);
        ecru__fault_set(kind, 0, 0);
        CHECK(status == 0 || is_refusal(status));
        refusals += status != 0;
        if (count < nth) break;
        CHECK(nth < 10000);
      }
    }
  }
  CHECK(refusals > 0);
  CHECK_EQ(operation(), 0); // and all is well again
}
static void walk_through(int (*operation)(void)) { CHECK_EQ(ecru_run(walk, &operation), 0); }
#else
static void walk_through(int (*operation)(void)) {
  (void)operation, (void)is_refusal;
  SKIP("built without ECRU_FAULT_INJECTION");
}
#endif

TEST(task, spawn_survives_every_refusal) { // T1
  walk_through(spawn_and_join);
}
TEST(task, spawn_with_own_thread_survives_every_refusal) { // T1, G10
  walk_through(spawn_own_thread);
}
TEST(task, joining_many_survives_every_refusal) { // T3
  walk_through(join_many);
}
TEST(task, group_survives_every_refusal) { // T4
  walk_through(group_of_many);
}
TEST(task, parallel_for_survives_every_refusal) { // T5
  walk_through(parallel_loop);
}
TEST(task, pool_survives_every_refusal) { // T5
  walk_through(pool_of_workers);
}
