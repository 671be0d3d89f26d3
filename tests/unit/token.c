/// tests/unit/token.c: cancellation tokens, explicit and ambient (K1-K5). Where time matters it is virtual.
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static void run_virtual(ecru_fn fn) {
  ecru_clock *clock;
  CHECK_EQ(ecru_clock_virtual_create(&clock, ECRU_SECOND), 0);
  ecru_options options = ECRU_OPTIONS;
  options.clock = clock;
  CHECK_EQ(ecru_run_with(&options, fn, NULL), 0);
  ecru_clock_destroy(clock);
}

static ecru_token *child_of(ecru_token *parent) {
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, parent, ECRU_FOREVER), 0);
  return token;
}

/// A goroutine whose end can be waited for, also by one that is cancelled itself.
static void spawn(ecru_waitgroup *group, ecru_fn fn, void *argument) {
  CHECK_EQ(ecru_waitgroup_go(group, fn, argument), 0);
}

/// Lets the others run until they are all parked (real time: until `flag` says so).
static void await(_Atomic int *flag, int value) {
  while (atomic_load(flag) < value) CHECK_EQ(ecru_yield(), 0);
}

// ---- the tree ------------------------------------------------------------------------------------------------------

TEST(token, a_child_fires_with_its_parent_and_not_the_other_way) { // K1
  ecru_token *parent = child_of(ecru_token_root());
  ecru_token *child = child_of(parent), *sibling = child_of(parent), *grandchild = child_of(child);
  CHECK_EQ(ecru_token_cancel(child, ECRU_EPIPE), 0);
  CHECK_EQ(ecru_token_err(parent), 0);
  CHECK_EQ(ecru_token_err(sibling), 0);
  CHECK_EQ(ecru_token_err(child), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_err(grandchild), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_cancel(parent, ECRU_EIO), 0);
  CHECK_EQ(ecru_token_cause(sibling), ECRU_EIO);
  CHECK_EQ(ecru_token_cause(child), ECRU_EPIPE);
  CHECK_EQ(ecru_token_cause(grandchild), ECRU_EPIPE);
  ecru_token_release(parent);
  ecru_token_release(grandchild);
  ecru_token_release(child);
  ecru_token_release(sibling);
}

TEST(token, cancel_is_idempotent_and_the_first_cause_stays) { // K1, K3
  ecru_token *token = child_of(NULL);
  CHECK_EQ(ecru_token_err(token), 0);
  CHECK_EQ(ecru_token_cause(token), 0);
  CHECK_EQ(ecru_token_origin(token), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_cancel(token, ECRU_EIO), 0);
  CHECK_EQ(ecru_token_err(token), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_cause(token), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_origin(token), ecru_token_id(token));
  ecru_token_release(token);
}

TEST(token, the_origin_says_whose_token_fired) { // K2, K3
  ecru_token *top = child_of(NULL), *middle = child_of(top), *low = child_of(middle);
  CHECK(ecru_token_id(top) != ecru_token_id(middle) && ecru_token_id(top) != 0);
  CHECK_EQ(ecru_token_id(top), ecru_token_id(top));
  CHECK_EQ(ecru_token_cancel(middle, 0), 0);
  CHECK_EQ(ecru_token_cancel(top, 0), 0);
  CHECK_EQ(ecru_token_origin(low), ecru_token_id(middle));
  CHECK_EQ(ecru_token_origin(top), ecru_token_id(top));
  ecru_token *late = child_of(top); // born cancelled
  CHECK_EQ(ecru_token_err(late), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_origin(late), ecru_token_id(top));
  ecru_token *all[] = {top, middle, low, late};
  for (int i = 0; i < 4; i++) ecru_token_release(all[i]);
}

TEST(token, linked_fires_with_any_parent) { // K1
  for (int which = 0; which < 3; which++) {
    ecru_token *parents[3], *linked;
    for (int i = 0; i < 3; i++) parents[i] = child_of(NULL);
    CHECK_EQ(ecru_token_create_linked(&linked, parents, 3, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_token_err(linked), 0);
    CHECK_EQ(ecru_token_cancel(parents[which], ECRU_EIO), 0);
    CHECK_EQ(ecru_token_err(linked), ECRU_ECANCELED);
    CHECK_EQ(ecru_token_cause(linked), ECRU_EIO);
    CHECK_EQ(ecru_token_origin(linked), ecru_token_id(parents[which]));
    for (int i = 0; i < 3; i++) {
      CHECK_EQ(ecru_token_err(parents[i]), i == which ? ECRU_ECANCELED : 0);
      ecru_token_release(parents[i]);
    }
    ecru_token_release(linked);
  }
}

TEST(token, linked_to_a_fired_parent_is_born_fired) { // K1
  ecru_token *parents[3] = {child_of(NULL), child_of(NULL), NULL}, *linked;
  parents[2] = parents[0]; // twice the same is no harm
  CHECK_EQ(ecru_token_cancel(parents[1], ECRU_EPIPE), 0);
  CHECK_EQ(ecru_token_create_linked(&linked, parents, 3, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cause(linked), ECRU_EPIPE);
  ecru_token_release(parents[0]);
  ecru_token_release(parents[1]);
  ecru_token_release(linked);
}

TEST(token, a_chain_of_100000_fires_and_goes_without_recursion) { // K1
  long depth = test_scaled(100000);
  for (int order = 0; order < 2; order++) {
    ecru_token **chain = malloc((size_t)depth * sizeof *chain);
    for (long i = 0; i < depth; i++) chain[i] = child_of(i ? chain[i - 1] : NULL);
    CHECK_EQ(ecru_token_deadline(chain[depth - 1]), ECRU_FOREVER);
    if (order == 0) CHECK_EQ(ecru_token_cancel(chain[0], ECRU_EIO), 0);
    CHECK_EQ(ecru_token_cause(chain[depth - 1]), order == 0 ? ECRU_EIO : 0);
    for (long i = 0; i < depth; i++) ecru_token_release(chain[i]); // the last release frees them all
    free(chain);
  }
}

TEST(token, a_family_of_100000_fires) { // K1
  long count = test_scaled(100000);
  ecru_token *parent = child_of(NULL), **children = malloc((size_t)count * sizeof *children);
  for (long i = 0; i < count; i++) children[i] = child_of(parent);
  for (long i = 0; i < count; i += 3) ecru_token_release(children[i]);
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  for (long i = 0; i < count; i++) {
    if (i % 3 == 0) continue;
    CHECK_EQ(ecru_token_err(children[i]), ECRU_ECANCELED);
    ecru_token_release(children[i]);
  }
  ecru_token_release(parent);
  free(children);
}

TEST(token, a_released_child_holds_no_memory) { // K1
  ecru_token *parent = child_of(NULL);
  for (int i = 0; i < 1000; i++) ecru_token_release(child_of(parent));
  size_t before = test_heap_bytes();
  for (int i = 0; i < 100000; i++) ecru_token_release(child_of(i % 2 ? parent : NULL));
  CHECK(test_heap_bytes() < before + 65536);
  ecru_token_release(parent);
}

TEST(token, a_child_keeps_its_parents_alive) { // K1
  ecru_token *parent = child_of(NULL), *child = child_of(parent);
  CHECK_EQ(ecru_token_cancel(parent, ECRU_EIO), 0);
  ecru_token_release(parent);
  CHECK_EQ(ecru_token_cause(child), ECRU_EIO);
  CHECK(ecru_token_retain(child) == child);
  ecru_token_release(child);
  CHECK_EQ(ecru_token_cause(child), ECRU_EIO);
  ecru_token_release(child);
}

TEST(token, the_background_never_fires_and_without_cancel_is_reached_by_nobody) { // K5
  ecru_token *background = ecru_token_background(), *parent = child_of(NULL), *apart, *below;
  CHECK_EQ(ecru_token_cancel(background, 0), ECRU_EPERM);
  CHECK_EQ(ecru_token_reset(background, 1), ECRU_EPERM);
  CHECK_EQ(ecru_token_reset(ecru_token_root(), 1), ECRU_EPERM);
  CHECK_EQ(ecru_token_deadline(background), ECRU_FOREVER);
  CHECK_EQ(ecru_token_without_cancel(&apart, parent), 0);
  CHECK_EQ(ecru_token_create(&below, background, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  CHECK_EQ(ecru_token_cancel(ecru_token_root(), 0), 0);
  CHECK_EQ(ecru_token_err(apart), 0);
  CHECK_EQ(ecru_token_err(below), 0);
  CHECK_EQ(ecru_token_err(background), 0);
  CHECK_EQ(ecru_token_cancel(apart, ECRU_EIO), 0); // but it is a token like any other
  CHECK_EQ(ecru_token_cause(apart), ECRU_EIO);
  ecru_token_release(parent);
  ecru_token_release(apart);
  ecru_token_release(below);
  ecru_token_release(background);
  CHECK(ecru_token_retain(background) == background);
}

TEST(token, the_root_is_unfired_again_after_a_restart) { // K1, G13
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(ecru_start(NULL), 0);
    CHECK_EQ(ecru_token_err(ecru_token_root()), 0);
    CHECK_EQ(ecru_check(), 0);
    ecru_token *kept = child_of(NULL);
    CHECK_EQ(ecru_stop(), 0);
    CHECK_EQ(ecru_token_err(kept), ECRU_ECANCELED);
    ecru_token_release(kept);
  }
}

// ---- deadlines -----------------------------------------------------------------------------------------------------

static void deadline_body(void *unused) {
  (void)unused;
  ecru_token *token, *child, *past;
  int64_t start = ecru_now(), deadline = ecru_after(ECRU_SECOND);
  CHECK_EQ(ecru_token_create(&token, NULL, deadline), 0);
  CHECK_EQ(ecru_token_create(&child, token, ecru_after(2 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_token_deadline(token), deadline);
  CHECK_EQ(ecru_token_deadline(child), deadline); // the earliest of the ancestors counts
  CHECK_EQ(ecru_sleep(ECRU_SECOND - 1), 0);
  CHECK_EQ(ecru_token_err(token), 0);
  CHECK_EQ(ecru_token_wait(child), 0);
  CHECK_EQ(ecru_now(), start + ECRU_SECOND);
  CHECK_EQ(ecru_token_err(token), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_cause(child), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_origin(child), ecru_token_id(token));
  CHECK_EQ(ecru_token_create(&past, NULL, ecru_now()), 0);
  CHECK_EQ(ecru_token_err(past), ECRU_ETIMEDOUT); // at once
  ecru_token_release(past);
  CHECK_EQ(ecru_token_create(&past, NULL, -5), 0);
  CHECK_EQ(ecru_token_cause(past), ECRU_ETIMEDOUT);
  ecru_token_release(past);
  ecru_token_release(token);
  ecru_token_release(child);
}
TEST(token, a_deadline_fires_and_the_earliest_counts) { run_virtual(deadline_body); } // K1, K3

static void ladder_body(void *unused) {
  (void)unused;
  enum { RUNGS = 48 }; // 2^48 ways lead from the foot to the top
  ecru_token *sides[2], *next[2], *all[2 * RUNGS];
  int64_t deadline = ecru_after(ECRU_SECOND);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_token_create(&sides[i], NULL, i ? deadline : ECRU_FOREVER), 0);
  int count = 0;
  all[count++] = sides[0];
  all[count++] = sides[1];
  for (int rung = 1; rung < RUNGS; rung++) {
    for (int i = 0; i < 2; i++) CHECK_EQ(ecru_token_create_linked(&next[i], sides, 2, ECRU_FOREVER), 0);
    for (int i = 0; i < 2; i++) all[count++] = sides[i] = next[i];
  }
  CHECK_EQ(ecru_token_deadline(sides[0]), deadline);
  CHECK_EQ(ecru_sleep_until(deadline), 0);
  CHECK_EQ(ecru_token_err(all[0]), 0);
  CHECK_EQ(ecru_token_wait(sides[1]), 0);
  CHECK_EQ(ecru_token_err(sides[1]), ECRU_ETIMEDOUT);
  for (int i = 0; i < count; i++) ecru_token_release(all[i]);
}
TEST(token, deadlines_are_found_through_a_ladder_of_links) { run_virtual(ladder_body); } // K1, K3

static void reset_body(void *unused) {
  (void)unused;
  ecru_token *token, *parent;
  int64_t start = ecru_now();
  CHECK_EQ(ecru_token_create(&parent, NULL, start + 10 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_token_create(&token, parent, start + ECRU_SECOND), 0);
  CHECK_EQ(ecru_token_reset(token, start + 3 * ECRU_SECOND), 0); // later
  CHECK_EQ(ecru_sleep_until(start + 2 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_token_err(token), 0);
  CHECK_EQ(ecru_token_deadline(token), start + 3 * ECRU_SECOND);
  CHECK_EQ(ecru_token_reset(token, ECRU_FOREVER), 0); // never
  CHECK_EQ(ecru_token_deadline(token), start + 10 * ECRU_SECOND); // the parent's still counts
  CHECK_EQ(ecru_sleep_until(start + 4 * ECRU_SECOND), 0);
  CHECK_EQ(ecru_token_err(token), 0);
  CHECK_EQ(ecru_token_reset(token, start + 5 * ECRU_SECOND), 0); // again
  CHECK_EQ(ecru_token_wait(token), 0);
  CHECK_EQ(ecru_now(), start + 5 * ECRU_SECOND);
  CHECK_EQ(ecru_token_reset(token, ECRU_FOREVER), ECRU_ETIMEDOUT); // fired is fired
  CHECK_EQ(ecru_token_err(token), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_reset(parent, start), 0); // past: at once
  CHECK_EQ(ecru_token_err(parent), ECRU_ETIMEDOUT);
  ecru_token_release(parent);
  ecru_token_release(token);
  token = child_of(NULL);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_reset(token, ECRU_FOREVER), ECRU_ECANCELED);
  ecru_token_release(token);
}
TEST(token, an_unfired_timeout_can_be_re_armed) { run_virtual(reset_body); } // K5

TEST(token, a_deadline_outlives_a_stopped_runtime_harmlessly) { // K1, K5, G13
  CHECK_EQ(ecru_start(NULL), 0);
  ecru_token *apart, *token;
  CHECK_EQ(ecru_token_create(&apart, ecru_token_background(), ecru_after(3600 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_token_create(&token, ecru_token_background(), ecru_after(3600 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_token_err(apart), 0);
  CHECK_EQ(ecru_token_reset(apart, ecru_after(ECRU_MILLISECOND)), 0); // it was forgotten at the stop, now it counts again
  CHECK_EQ(ecru_token_wait(apart), 0);
  CHECK_EQ(ecru_token_err(apart), ECRU_ETIMEDOUT);
  ecru_token_release(apart);
}

// ---- ambient -------------------------------------------------------------------------------------------------------

/// Every way to park, each on an object that never lets go by itself.
struct objects {
  ecru_chan *empty, *full;
  ecru_timer *timer;
  ecru_token *token;
  ecru_mutex *mutex;
  ecru_semaphore *semaphore;
  ecru_waitgroup *group;
};
static struct objects objects;

static int park_recv(void) { int value; return ecru_chan_recv(objects.empty, &value); }
static int park_send(void) { int value = 2; return ecru_chan_send(objects.full, &value); }
static int park_sleep(void) { return ecru_sleep(3600 * ECRU_SECOND); }
static int park_sleep_forever(void) { return ecru_sleep(ECRU_FOREVER); }
static int park_timer(void) { return ecru_timer_wait(objects.timer, NULL); }
static int park_token(void) { return ecru_token_wait(objects.token); }
static int park_mutex(void) { return ecru_mutex_lock(objects.mutex); }
static int park_semaphore(void) { return ecru_semaphore_acquire(objects.semaphore, 1); }
static int park_group(void) { return ecru_waitgroup_wait(objects.group); }
static int park_select(void) {
  int value = 3;
  ecru_case cases[] = {{ECRU_CASE_RECV, 0, objects.empty, NULL}, {ECRU_CASE_SEND, 0, objects.full, &value},
                       {ECRU_CASE_TOKEN, 0, objects.token, NULL}, {ECRU_CASE_TIMER, 0, objects.timer, NULL}};
  return ecru_select(cases, 4, 0);
}
static int (*const parks[])(void) = {park_recv,  park_send,  park_sleep,     park_sleep_forever, park_timer,
                                     park_token, park_mutex, park_semaphore, park_group,         park_select};
enum { PARKS = sizeof parks / sizeof parks[0] };

static void create_objects(void) {
  int value = 1;
  CHECK_EQ(ecru_chan_create(&objects.empty, sizeof(int), 0), 0);
  CHECK_EQ(ecru_chan_create(&objects.full, sizeof(int), 1), 0);
  CHECK_EQ(ecru_chan_send(objects.full, &value), 0);
  CHECK_EQ(ecru_timer_create(&objects.timer, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_create(&objects.token, ecru_token_background(), ECRU_FOREVER), 0);
  CHECK_EQ(ecru_mutex_create(&objects.mutex), 0);
  CHECK_EQ(ecru_mutex_lock(objects.mutex), 0);
  CHECK_EQ(ecru_semaphore_create(&objects.semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_acquire(objects.semaphore, 1), 0);
  CHECK_EQ(ecru_waitgroup_create(&objects.group), 0);
  CHECK_EQ(ecru_waitgroup_add(objects.group, 1), 0);
}

/// ... and none of them has changed by the attempts (C11).
static void check_and_destroy_objects(void) {
  int value = 0;
  CHECK_EQ(ecru_chan_try_recv(objects.empty, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_chan_len(objects.full), 1);
  CHECK_EQ(ecru_chan_try_recv(objects.full, &value), 0);
  CHECK_EQ(value, 1);
  CHECK_EQ(ecru_chan_try_recv(objects.full, &value), ECRU_EAGAIN);
  CHECK_EQ(ecru_mutex_unlock(objects.mutex), 0);
  CHECK_EQ(ecru_semaphore_release(objects.semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_try_acquire(objects.semaphore, 1), 0);
  CHECK_EQ(ecru_semaphore_release(objects.semaphore, 1), 0);
  CHECK_EQ(ecru_waitgroup_done(objects.group), 0);
  ecru_chan_release(objects.empty);
  ecru_chan_release(objects.full);
  ecru_timer_destroy(objects.timer);
  ecru_token_release(objects.token);
  ecru_mutex_destroy(objects.mutex);
  ecru_semaphore_destroy(objects.semaphore);
  ecru_waitgroup_destroy(objects.group);
}

static _Atomic int started;
static int expected;

static void park_and_check(void *park) {
  int (*fn)(void) = *(int (*const *)(void))park;
  atomic_fetch_add(&started, 1);
  CHECK_EQ(fn(), expected);
  CHECK_EQ(fn(), expected); // level-triggered: the next operation too
  CHECK_EQ(ecru_check(), expected);
}

static void ambient_body(void *unused) {
  (void)unused;
  create_objects();
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  ecru_token *token = child_of(NULL);
  expected = ECRU_ECANCELED;
  CHECK_EQ(ecru_token_enter(token), 0); // inherited by what is spawned here
  for (int i = 0; i < PARKS; i++) spawn(group, park_and_check, (void *)&parks[i]);
  CHECK_EQ(ecru_token_leave(), 0);
  await(&started, PARKS);
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_token_cancel(token, ECRU_EIO), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_check(), 0);
  ecru_token_release(token);
  ecru_waitgroup_destroy(group);
  check_and_destroy_objects();
}
TEST(token, a_cancel_ends_every_way_to_park_without_effect) { run(ambient_body); } // K2, C11

static void ambient_deadline_body(void *unused) {
  (void)unused;
  create_objects();
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  expected = ECRU_ETIMEDOUT;
  int64_t deadline = ecru_after(ECRU_SECOND);
  CHECK_EQ(ecru_deadline_enter(deadline), 0);
  for (int i = 0; i < PARKS; i++) spawn(group, park_and_check, (void *)&parks[i]);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(ecru_now(), deadline);
  ecru_waitgroup_destroy(group);
  check_and_destroy_objects();
}
TEST(token, a_deadline_ends_every_way_to_park_without_effect) { run_virtual(ambient_deadline_body); } // K2, C11

static void root_waiter(void *unused) {
  (void)unused;
  atomic_fetch_add(&started, 1);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
static void root_body(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_go(root_waiter, NULL), 0);
  await(&started, 100);
} // the end of ecru_run fires the root token
TEST(token, the_root_token_ends_those_who_never_changed_theirs) { run(root_body); } // K2, G13

static void scopes_body(void *unused) {
  (void)unused;
  ecru_token *outer = child_of(NULL), *apart;
  CHECK(ecru_token_current() == ecru_token_root());
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
  CHECK_EQ(ecru_token_without_cancel(&apart, NULL), 0);
  CHECK_EQ(ecru_token_enter(outer), 0);
  CHECK(ecru_token_current() == outer);
  CHECK_EQ(ecru_token_enter(apart), 0);
  CHECK_EQ(ecru_token_cancel(outer, 0), 0);
  CHECK_EQ(ecru_check(), 0); // the inner scope is not below the outer one
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), ECRU_ECANCELED);
  CHECK_EQ(ecru_sleep(1), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), 0);
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
  CHECK_EQ(ecru_token_enter(apart), 0); // not left: the end of the goroutine leaves it
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_SECOND)), 0);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  ecru_token_release(outer);
  ecru_token_release(apart);
}
TEST(token, scopes_nest) { run(scopes_body); } // K2

static void nested_deadlines_body(void *unused) {
  (void)unused;
  int64_t start = ecru_now();
  CHECK_EQ(ecru_deadline_enter(start + ECRU_SECOND), 0);
  uint64_t outer = ecru_token_id(ecru_token_current());
  CHECK_EQ(ecru_deadline_enter(start + 2 * ECRU_SECOND), 0); // later than the outer one: which counts
  CHECK_EQ(ecru_token_deadline(ecru_token_current()), start + ECRU_SECOND);
  CHECK_EQ(ecru_sleep(10 * ECRU_SECOND), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_now(), start + ECRU_SECOND);
  CHECK_EQ(ecru_token_origin(ecru_token_current()), outer);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);

  CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_SECOND)), 0);
  CHECK_EQ(ecru_sleep(10 * ECRU_SECOND), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_origin(ecru_token_current()), ecru_token_id(ecru_token_current()));
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), 0); // the outer one has a second left
  CHECK_EQ(ecru_sleep(10 * ECRU_SECOND), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_now()), 0); // due already
  CHECK_EQ(ecru_check(), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
}
TEST(token, of_nested_deadlines_the_earliest_ends_the_block_and_says_so) { run_virtual(nested_deadlines_body); } // K2

static void cleaner(void *argument) {
  _Atomic int *cleaned = argument;
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  CHECK_EQ(ecru_shield_enter(ecru_after(ECRU_SECOND)), 0);
  CHECK_EQ(ecru_check(), 0);
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_sleep(10 * ECRU_SECOND), ECRU_ETIMEDOUT); // the shield's own deadline
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), ECRU_ECANCELED);
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
  atomic_fetch_add(cleaned, 1);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), ECRU_ECANCELED);
}
static void shield_body(void *unused) {
  (void)unused;
  static _Atomic int cleaned;
  ecru_waitgroup *group;
  ecru_token *token = child_of(NULL);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  for (int i = 0; i < 10; i++) spawn(group, cleaner, &cleaned);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  CHECK_EQ(atomic_load(&cleaned), 10);
  ecru_token_release(token);
  ecru_waitgroup_destroy(group);
}
TEST(token, a_shield_masks_the_cancel_for_cleanup) { run_virtual(shield_body); } // K2

static void shielded_from_a_pending_cancel(void *argument) {
  ecru_token *token = argument;
  CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0); // attached to the token now
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), 0); // the cancel comes meanwhile
  CHECK_EQ(ecru_token_err(token), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_check(), ECRU_ECANCELED);
}
static void pending_shield_body(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  ecru_token *token = child_of(NULL);
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  spawn(group, shielded_from_a_pending_cancel, token);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_sleep(ECRU_SECOND / 2), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_waitgroup_wait(group), 0);
  ecru_token_release(token);
  ecru_waitgroup_destroy(group);
}
TEST(token, a_cancel_during_a_shield_waits_for_its_end) { run_virtual(pending_shield_body); } // K2

static void go_option_child(void *unused) {
  (void)unused;
  atomic_fetch_add(&started, 1);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
static void go_option_body(void *unused) {
  (void)unused;
  ecru_token *token = child_of(NULL);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = token;
  CHECK_EQ(ecru_go_with(&options, go_option_child, NULL), 0);
  await(&started, 1);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_token_release(token);
}
TEST(token, a_goroutine_can_be_given_its_token) { run(go_option_body); } // K2

static _Atomic int thread_step;
static void *foreign_main(void *argument) {
  ecru_token *token = argument;
  CHECK(ecru_token_current() == ecru_token_root());
  CHECK_EQ(ecru_token_enter(token), 0);
  atomic_store(&thread_step, 1);
  int value;
  CHECK_EQ(ecru_chan_recv(objects.empty, &value), ECRU_ECANCELED);
  CHECK_EQ(ecru_sleep(ECRU_SECOND), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_chan_recv(objects.empty, &value), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_enter(token), 0); // the end of the thread leaves it
  return NULL;
}
TEST(token, a_foreign_thread_has_a_current_token_too) { // K2, G10
  create_objects();
  ecru_token *token = child_of(NULL);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, foreign_main, token), 0);
  while (atomic_load(&thread_step) == 0) usleep(100);
  usleep(2000);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru_token_release(token);
  check_and_destroy_objects();
}

// ---- explicit use --------------------------------------------------------------------------------------------------

static void canceler(void *token) {
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(ecru_token_cancel(token, ECRU_EIO), 0);
}
static void explicit_body(void *unused) {
  (void)unused;
  ecru_token *token = child_of(NULL), *child = child_of(token), *never = child_of(NULL);
  ecru_case cases[] = {{ECRU_CASE_TOKEN, 0, never, NULL}, {ECRU_CASE_TOKEN, 0, child, NULL}};
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  CHECK_EQ(ecru_go(canceler, token), 0);
  CHECK_EQ(ecru_select(cases, 2, 0), 1);
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), 1); // stays ready
  CHECK_EQ(ecru_token_wait(child), 0);
  CHECK_EQ(ecru_token_cause(child), ECRU_EIO);
  CHECK_EQ(ecru_token_enter(child), 0);
  CHECK_EQ(ecru_token_wait(token), 0);                 // it has fired, whatever our own says
  CHECK_EQ(ecru_token_wait(child), 0);                 // it is our own
  CHECK_EQ(ecru_token_wait(never), ECRU_ECANCELED);    // our own came first
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  ecru_token_release(child);
  ecru_token_release(never);
}
TEST(token, done_is_a_select_case_and_can_be_waited_for) { run(explicit_body); } // K3, S1

static void wait_under_child(void *parent) {
  atomic_fetch_add(&started, 1);
  CHECK_EQ(ecru_token_wait(parent), 0); // not ECRU_ECANCELED, though both fire
}
static void wait_for_ancestor_body(void *unused) {
  (void)unused;
  ecru_token *parent = child_of(NULL), *child = child_of(parent);
  CHECK_EQ(ecru_token_enter(child), 0);
  for (int i = 0; i < 50; i++) CHECK_EQ(ecru_go(wait_under_child, parent), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  await(&started, 50);
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  ecru_token_release(parent);
  ecru_token_release(child);
}
TEST(token, who_waits_for_an_ancestor_of_his_own_token_sees_it_fire) { run(wait_for_ancestor_body); } // K2, K3

// ---- callbacks -----------------------------------------------------------------------------------------------------

static char order[64];
static void note(void *text) { strcat(order, text); }

TEST(token, callbacks_run_once_in_order_before_cancel_returns) { // K4
  ecru_token *parent = child_of(NULL), *child = child_of(parent);
  ecru_registration *registrations[5];
  CHECK_EQ(ecru_token_on_cancel(child, note, "d", &registrations[0]), 0);
  CHECK_EQ(ecru_token_on_cancel(parent, note, "a", &registrations[1]), 0);
  CHECK_EQ(ecru_token_on_cancel(parent, note, "b", &registrations[2]), 0);
  CHECK_EQ(ecru_token_on_cancel(parent, note, "x", &registrations[3]), 0);
  CHECK_EQ(ecru_token_on_cancel(parent, note, "c", &registrations[4]), 0);
  CHECK_EQ(ecru_token_unregister(registrations[3]), 1); // prevented
  CHECK_STR(order, "");
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  CHECK_STR(order, "abcd");
  CHECK_EQ(ecru_token_cancel(parent, 0), 0);
  CHECK_EQ(ecru_token_cancel(child, 0), 0);
  CHECK_STR(order, "abcd");
  CHECK_EQ(ecru_token_unregister(registrations[0]), 0); // it has run
  CHECK_EQ(ecru_token_unregister(registrations[1]), 0);
  CHECK_EQ(ecru_token_unregister(registrations[4]), 0);
  CHECK_EQ(ecru_token_unregister(registrations[2]), 0);
  CHECK_EQ(ecru_token_on_cancel(child, note, "e", &registrations[0]), 0); // fired: at once
  CHECK_STR(order, "abcde");
  CHECK_EQ(ecru_token_unregister(registrations[0]), 0);
  ecru_token_release(parent);
  ecru_token_release(child);
}

TEST(token, a_registration_keeps_its_token_alive) { // K4
  ecru_token *token = child_of(NULL);
  ecru_registration *registration;
  CHECK_EQ(ecru_token_on_cancel(token, note, "a", &registration), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_token_unregister(registration), 1);
  CHECK_STR(order, "");
  CHECK_EQ(ecru_token_on_cancel(ecru_token_background(), note, "b", &registration), 0);
  CHECK_EQ(ecru_token_unregister(registration), 1);
}

struct inside {
  ecru_registration *registration;
  ecru_token *token, *other;
  int result;
};
static void unregister_inside(void *argument) {
  struct inside *inside = argument;
  inside->result = ecru_token_unregister(inside->registration);
  CHECK_EQ(ecru_token_cancel(inside->token, 0), 0); // itself: nothing more happens
  CHECK_EQ(ecru_token_cancel(inside->other, 0), 0); // another one, with callbacks of its own
}
TEST(token, a_callback_can_unregister_itself_and_cancel_others) { // K4
  struct inside inside = {.token = child_of(NULL), .other = child_of(NULL), .result = -1};
  ecru_registration *other;
  CHECK_EQ(ecru_token_on_cancel(inside.other, note, "o", &other), 0);
  CHECK_EQ(ecru_token_on_cancel(inside.token, unregister_inside, &inside, &inside.registration), 0);
  CHECK_EQ(ecru_token_cancel(inside.token, 0), 0);
  CHECK_EQ(inside.result, 0);
  CHECK_STR(order, "o");
  CHECK_EQ(ecru_token_unregister(other), 0);
  inside.result = -1;
  CHECK_EQ(ecru_token_on_cancel(inside.token, unregister_inside, &inside, &inside.registration), 0); // at once
  CHECK_EQ(inside.result, 0);
  ecru_token_release(inside.token);
  ecru_token_release(inside.other);
}

static _Atomic int in_callback, let_go, callback_over;
static void slow_callback(void *unused) {
  (void)unused;
  atomic_store(&in_callback, 1);
  while (!atomic_load(&let_go)) usleep(100);
  atomic_store(&callback_over, 1);
}
static void *cancel_in_thread(void *token) {
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  return NULL;
}
static void unregister_slow(void *registration) {
  CHECK_EQ(ecru_check(), ECRU_ECANCELED); // no token ends the wait
  CHECK_EQ(ecru_token_unregister(registration), 0);
  CHECK_EQ(atomic_load(&callback_over), 1);
  atomic_fetch_add(&started, 1);
}
static void slow_body(void *unused) {
  (void)unused;
  ecru_token *token = child_of(NULL);
  ecru_registration *registration;
  CHECK_EQ(ecru_token_on_cancel(token, slow_callback, NULL, &registration), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, cancel_in_thread, token), 0);
  while (!atomic_load(&in_callback)) CHECK_EQ(ecru_yield(), 0);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.token = token; // fired
  CHECK_EQ(ecru_go_with(&options, unregister_slow, registration), 0);
  for (int i = 0; i < 1000; i++) CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(atomic_load(&started), 0);
  atomic_store(&let_go, 1);
  await(&started, 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru_token_release(token);
}
TEST(token, unregister_waits_for_a_run_under_way_whatever_is_cancelled) { run(slow_body); } // K4, K2

static void note_goroutine(void *argument) {
  *(int *)argument = ecru_in_goroutine();
  CHECK_EQ(ecru_check(), 0);
  atomic_fetch_add(&started, 1);
}
static void deadline_callback_body(void *unused) {
  (void)unused;
  int where[2] = {-1, -1};
  ecru_token *token, *child;
  ecru_registration *registrations[2];
  CHECK_EQ(ecru_token_create(&token, NULL, ecru_after(ECRU_SECOND)), 0);
  child = child_of(token);
  CHECK_EQ(ecru_token_on_cancel(token, note_goroutine, &where[0], &registrations[0]), 0);
  CHECK_EQ(ecru_token_on_cancel(child, note_goroutine, &where[1], &registrations[1]), 0);
  CHECK_EQ(ecru_token_wait(token), 0);
  await(&started, 2);
  CHECK_EQ(where[0], 1);
  CHECK_EQ(where[1], 1);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_token_unregister(registrations[i]), 0);
  ecru_token_release(token);
  ecru_token_release(child);
}
TEST(token, callbacks_of_a_deadline_run_in_a_goroutine) { run_virtual(deadline_callback_body); } // K4

static void stop_body(void *argument) {
  CHECK_EQ(ecru_token_on_cancel(ecru_token_root(), note, "r", argument), 0);
}
TEST(token, callbacks_of_the_root_run_at_the_stop) { // K4, G13
  ecru_registration *registration;
  CHECK_EQ(ecru_run(stop_body, &registration), 0);
  CHECK_STR(order, "r");
  CHECK_EQ(ecru_token_unregister(registration), 0);
}

static ecru_registration *late_registration;
static ecru_timer *late_timer;
static void linger(void *unused) {
  (void)unused;
  ecru_token *token;
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED); // the runtime stops
  CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_create(&token, ecru_token_background(), ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_token_on_cancel(token, note, "l", &late_registration), 0);
  CHECK_EQ(ecru_after_func(&late_timer, 5 * ECRU_MILLISECOND, note, "l"), 0);
  CHECK_EQ(ecru_token_wait(token), 0);
  CHECK_EQ(ecru_sleep(10 * ECRU_MILLISECOND), 0);
  ecru_token_release(token);
}
static void linger_body(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_go(linger, NULL), 0);
  for (int i = 0; i < 100; i++) CHECK_EQ(ecru_yield(), 0);
}
TEST(token, while_stopping_no_goroutine_starts_and_what_needed_one_counts_as_prevented) { // K4, K6, G13
  run_virtual(linger_body);
  CHECK_STR(order, "");
  CHECK_EQ(ecru_token_unregister(late_registration), 1);
  CHECK_EQ(ecru_timer_stop(late_timer), 1);
  ecru_timer_destroy(late_timer);
}

// ---- misuse --------------------------------------------------------------------------------------------------------

TEST(token, bad_input_is_refused) { // K1, K3, K4, K5
  ecru_token *token = NULL, *parents[65], *good = child_of(NULL);
  ecru_registration *registration;
  for (int i = 0; i < 65; i++) parents[i] = good;
  CHECK_EQ(ecru_token_create(NULL, NULL, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_token_create_linked(NULL, parents, 1, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_token_create_linked(&token, NULL, 1, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_token_create_linked(&token, parents, 0, ECRU_FOREVER), ECRU_EINVAL);
  CHECK_EQ(ecru_token_create_linked(&token, parents, 65, ECRU_FOREVER), ECRU_EINVAL);
  parents[3] = NULL;
  CHECK_EQ(ecru_token_create_linked(&token, parents, 4, ECRU_FOREVER), ECRU_EINVAL);
  parents[3] = good;
  CHECK_EQ(ecru_token_create_linked(&token, parents, 64, ECRU_FOREVER), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_token_without_cancel(NULL, good), ECRU_EINVAL);
  CHECK(ecru_token_retain(NULL) == NULL);
  ecru_token_release(NULL);
  CHECK_EQ(ecru_token_cancel(NULL, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_token_cancel(good, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_token_err(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_cause(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_deadline(NULL), ECRU_FOREVER);
  CHECK_EQ(ecru_token_id(NULL), 0);
  CHECK_EQ(ecru_token_origin(NULL), 0);
  CHECK_EQ(ecru_token_wait(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_reset(NULL, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_token_enter(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
  CHECK_EQ(ecru_token_on_cancel(NULL, note, NULL, &registration), ECRU_EINVAL);
  CHECK_EQ(ecru_token_on_cancel(good, NULL, NULL, &registration), ECRU_EINVAL);
  CHECK_EQ(ecru_token_on_cancel(good, note, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_unregister(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_token_err(good), 0);
  ecru_token_release(good);
}
