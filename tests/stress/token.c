/// tests/stress/token.c: tokens under simultaneous cancels, creations, releases and parks (K1, K2, K4, C11).
#include "test.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static _Atomic uint64_t seeds;
static uint64_t own_seed(void) { return test_seed() + atomic_fetch_add(&seeds, 1) * 0x9e37; }

/// A line that goroutines and threads start from together.
static _Atomic int arrived, gate;
static void line_up(void) {
  atomic_fetch_add(&arrived, 1);
  while (!atomic_load(&gate)) ecru_yield();
}
static void open_gate(int expected) {
  while (atomic_load(&arrived) < expected) ecru_yield();
  atomic_store(&gate, 1);
}
static void close_gate(void) {
  atomic_store(&arrived, 0);
  atomic_store(&gate, 0);
}

// ---- random graphs -------------------------------------------------------------------------------------------------

enum { NODES = 200, CANCELERS = 4, THREADS = 2, PARENTS_MAX = 3, ALL = CANCELERS + THREADS };

static struct node {
  ecru_token *token;
  int parents[PARENTS_MAX], parents_count;
  bool hit;              // somebody cancels it
  _Atomic int callbacks; // runs of its callback
  ecru_registration *registration;
} nodes[NODES];
static struct victim { int cause, node; } victims[ALL];
static _Atomic int parked, woken_rightly;

static void count_callback(void *argument) { atomic_fetch_add(&((struct node *)argument)->callbacks, 1); }

static void build_graph(uint64_t *random) {
  for (int i = 0; i < NODES; i++) {
    struct node *node = &nodes[i];
    ecru_token *parents[PARENTS_MAX];
    node->parents_count = i == 0 ? 0 : (int)test_random_below(random, PARENTS_MAX + 1);
    node->hit = false;
    atomic_store(&node->callbacks, 0);
    for (int k = 0; k < node->parents_count; k++) {
      node->parents[k] = (int)test_random_below(random, (uint64_t)i);
      parents[k] = nodes[node->parents[k]].token;
    }
    size_t count = (size_t)node->parents_count;
    if (count) CHECK_EQ(ecru_token_create_linked(&node->token, parents, count, ECRU_FOREVER), 0);
    else CHECK_EQ(ecru_token_create(&node->token, NULL, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_token_on_cancel(node->token, count_callback, node, &node->registration), 0);
  }
}

static void park_under(void *argument) {
  struct node *node = argument;
  atomic_fetch_add(&parked, 1);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
  CHECK(ecru_token_current() == node->token);
  CHECK(ecru_token_origin(node->token) != 0);
  atomic_fetch_add(&woken_rightly, 1);
}
static void cancel_victim(void *argument) {
  struct victim *victim = argument;
  line_up();
  CHECK_EQ(ecru_token_cancel(nodes[victim->node].token, victim->cause), 0);
}
static void *cancel_victim_in_thread(void *argument) {
  cancel_victim(argument);
  return NULL;
}

/// What must have fired: whoever was hit and all below.
static void mark_expected(void) {
  for (int i = 0; i < ALL; i++) nodes[victims[i].node].hit = true;
  for (int i = 0; i < NODES; i++)
    for (int k = 0; k < nodes[i].parents_count; k++)
      if (nodes[nodes[i].parents[k]].hit) nodes[i].hit = true;
}

static void check_graph(void) {
  mark_expected();
  for (int i = 0; i < NODES; i++) {
    struct node *node = &nodes[i];
    CHECK_EQ(ecru_token_err(node->token), node->hit ? ECRU_ECANCELED : 0);
    CHECK_EQ(ecru_token_unregister(node->registration), node->hit ? 0 : 1);
    CHECK_EQ(atomic_load(&node->callbacks), node->hit ? 1 : 0);
    if (!node->hit) continue;
    int found = 0; // cause and origin fit together
    for (int k = 0; k < ALL; k++)
      found |= ecru_token_cause(node->token) == victims[k].cause &&
               ecru_token_origin(node->token) == ecru_token_id(nodes[victims[k].node].token);
    CHECK_EQ(found, 1);
  }
}

static void graph_body(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  ecru_waitgroup *cancelers, *sleepers;
  CHECK_EQ(ecru_waitgroup_create(&cancelers), 0);
  CHECK_EQ(ecru_waitgroup_create(&sleepers), 0);
  for (long round = test_scaled(100); round > 0; round--) {
    pthread_t threads[THREADS];
    build_graph(&random);
    atomic_store(&parked, 0);
    atomic_store(&woken_rightly, 0);
    for (int i = 0; i < NODES; i++) {
      CHECK_EQ(ecru_token_enter(nodes[i].token), 0);
      CHECK_EQ(ecru_waitgroup_go(sleepers, park_under, &nodes[i]), 0);
      CHECK_EQ(ecru_token_leave(), 0);
    }
    if (round % 2) while (atomic_load(&parked) < NODES) CHECK_EQ(ecru_yield(), 0); // else the cancels race the parks
    for (int i = 0; i < ALL; i++) {
      victims[i] = (struct victim){-2000 - i, (int)test_random_below(&random, NODES)};
      for (int k = 0; k < i; k++) if (victims[k].node == victims[i].node) victims[i].cause = victims[k].cause;
      if (i < CANCELERS) CHECK_EQ(ecru_waitgroup_go(cancelers, cancel_victim, &victims[i]), 0);
      else CHECK_EQ(pthread_create(&threads[i - CANCELERS], NULL, cancel_victim_in_thread, &victims[i]), 0);
    }
    open_gate(ALL);
    CHECK_EQ(ecru_waitgroup_wait(cancelers), 0);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    check_graph();
    for (int i = 0; i < NODES; i++) CHECK_EQ(ecru_token_cancel(nodes[i].token, 0), 0);
    CHECK_EQ(ecru_waitgroup_wait(sleepers), 0);
    CHECK_EQ(atomic_load(&woken_rightly), NODES);
    for (int i = 0; i < NODES; i++) ecru_token_release(nodes[i].token);
    close_gate();
  }
  ecru_waitgroup_destroy(cancelers);
  ecru_waitgroup_destroy(sleepers);
}
TEST(token, random_graphs_cancelled_in_many_places_at_once) { run(graph_body); } // K1, K2, K4

// ---- creation and release against the cancel -----------------------------------------------------------------------

static ecru_token *current_parent;
static void create_children(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  ecru_token *kept[8] = {NULL}, *parent = current_parent;
  line_up();
  for (int i = 0; i < 50; i++) {
    int place = (int)test_random_below(&random, 8);
    ecru_token *neighbour = kept[(place + 1) % 8];
    ecru_token_release(kept[place]);
    CHECK_EQ(ecru_token_create(&kept[place], i % 3 && neighbour ? neighbour : parent, ECRU_FOREVER), 0);
  }
  while (ecru_token_err(parent) == 0) CHECK_EQ(ecru_yield(), 0);
  ecru_token *late;
  CHECK_EQ(ecru_token_create(&late, parent, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_err(late), ECRU_ECANCELED);
  ecru_token_release(late);
  for (int i = 0; i < 8; i++) {
    if (kept[i]) CHECK_EQ(ecru_token_wait(kept[i]), 0); // hangs if a child was missed
    ecru_token_release(kept[i]);
  }
}
static void creation_body(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  for (long round = test_scaled(1000); round > 0; round--) {
    CHECK_EQ(ecru_token_create(&current_parent, NULL, ECRU_FOREVER), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(ecru_waitgroup_go(group, create_children, NULL), 0);
    open_gate(4);
    for (long i = round % 40; i > 0; i--) CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_token_cancel(current_parent, 0), 0);
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    ecru_token_release(current_parent);
    close_gate();
  }
  ecru_waitgroup_destroy(group);
}
TEST(token, children_created_and_released_while_the_parent_fires) { run(creation_body); } // K1

static ecru_token *shared_child;
static void release_child(void *unused) {
  (void)unused;
  ecru_token *child = shared_child;
  line_up();
  ecru_token_release(child);
}
static void release_race_body(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  ecru_token *parent;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  for (long round = test_scaled(5000); round > 0; round--) {
    CHECK_EQ(ecru_token_create(&parent, NULL, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_token_create(&shared_child, parent, round % 2 ? ECRU_FOREVER : ecru_after(20 * ECRU_MICROSECOND)), 0);
    CHECK_EQ(ecru_waitgroup_go(group, release_child, NULL), 0);
    open_gate(1);
    CHECK_EQ(ecru_token_cancel(parent, 0), 0);
    ecru_token_release(parent);
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    close_gate();
  }
  ecru_waitgroup_destroy(group);
}
TEST(token, the_last_release_of_a_child_races_the_cancel) { run(release_race_body); } // K1

// ---- scopes with deadlines against operations ----------------------------------------------------------------------

static ecru_chan *chan;
static _Atomic long sent, received, timeouts;
static void dawdle(uint64_t *random) {
  if (test_random_below(random, 4) == 0) CHECK_EQ(ecru_sleep((int64_t)test_random_below(random, 20000)), 0);
}
static void send_under_deadlines(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  for (long i = test_scaled(3000); i > 0; i--) {
    long value = 1;
    dawdle(&random);
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&random, 20000))), 0);
    int status = ecru_chan_send(chan, &value);
    CHECK(status == 0 || status == ECRU_ETIMEDOUT);
    atomic_fetch_add(status == 0 ? &sent : &timeouts, 1);
    CHECK_EQ(ecru_token_leave(), 0);
  }
}
static void receive_under_deadlines(void *unused) {
  (void)unused;
  uint64_t random = own_seed();
  for (long i = test_scaled(3000); i > 0; i--) {
    long value = 0;
    dawdle(&random);
    CHECK_EQ(ecru_deadline_enter(ecru_after((int64_t)test_random_below(&random, 20000))), 0);
    int status = ecru_chan_recv(chan, &value);
    CHECK(status == 0 || status == ECRU_ETIMEDOUT);
    CHECK_EQ(value, status == 0);
    atomic_fetch_add(status == 0 ? &received : &timeouts, 1);
    CHECK_EQ(ecru_token_leave(), 0);
  }
}
static void deadline_body(void *unused) {
  (void)unused;
  for (int capacity = 0; capacity < 3; capacity++) {
    ecru_waitgroup *group;
    CHECK_EQ(ecru_waitgroup_create(&group), 0);
    CHECK_EQ(ecru_chan_create(&chan, sizeof(long), (size_t)capacity), 0);
    atomic_store(&sent, 0);
    atomic_store(&received, 0);
    for (int i = 0; i < 4; i++) {
      CHECK_EQ(ecru_waitgroup_go(group, send_under_deadlines, NULL), 0);
      CHECK_EQ(ecru_waitgroup_go(group, receive_under_deadlines, NULL), 0);
    }
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    CHECK_EQ(atomic_load(&sent), atomic_load(&received) + (long)ecru_chan_len(chan)); // nothing lost, nothing doubled
    ecru_chan_release(chan);
    ecru_waitgroup_destroy(group);
  }
}
TEST(token, an_operation_that_times_out_had_no_effect) { run(deadline_body); } // C11, K2

/// Waiters park and leave scopes of one token again and again while others fire it.
static void enter_and_park(void *unused) {
  (void)unused;
  ecru_token *token = current_parent;
  line_up();
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_token_enter(token), 0);
    int status = ecru_sleep(ECRU_MICROSECOND);
    CHECK(status == 0 || status == ECRU_ECANCELED);
    if (status == ECRU_ECANCELED) CHECK_EQ(ecru_check(), ECRU_ECANCELED);
    CHECK_EQ(ecru_shield_enter(i % 2 ? ECRU_FOREVER : ecru_after(ECRU_SECOND)), 0);
    CHECK_EQ(ecru_sleep(ECRU_MICROSECOND), 0);
    CHECK_EQ(ecru_token_leave(), 0);
    CHECK_EQ(ecru_token_leave(), 0);
    CHECK_EQ(ecru_check(), 0);
  }
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED); // hangs if the cancel missed it
  CHECK_EQ(ecru_token_leave(), 0);
}
static void *enter_and_park_in_thread(void *unused) {
  enter_and_park(unused);
  return NULL;
}
static void attach_body(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  for (long round = test_scaled(100); round > 0; round--) {
    pthread_t thread;
    CHECK_EQ(ecru_token_create(&current_parent, NULL, ECRU_FOREVER), 0);
    for (int i = 0; i < 50; i++) CHECK_EQ(ecru_waitgroup_go(group, enter_and_park, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, enter_and_park_in_thread, NULL), 0);
    open_gate(51);
    for (long i = round % 50; i > 0; i--) CHECK_EQ(ecru_sleep(50 * ECRU_MICROSECOND), 0);
    CHECK_EQ(ecru_token_cancel(current_parent, 0), 0);
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ecru_token_release(current_parent);
    close_gate();
  }
  ecru_waitgroup_destroy(group);
}
TEST(token, scopes_and_shields_against_the_cancel) { run(attach_body); } // K2

// ---- callbacks -----------------------------------------------------------------------------------------------------

static _Atomic int running, ran, prevented;
static void slow_callback(void *argument) {
  _Atomic int *busy = argument;
  atomic_store(busy, 1);
  atomic_fetch_add(&running, 1);
  for (volatile int i = 0; i < 200; i++) {}
  atomic_fetch_add(&ran, 1);
  atomic_store(busy, 2);
}
static void register_and_unregister(void *unused) {
  (void)unused;
  ecru_token *token = current_parent;
  uint64_t random = own_seed();
  line_up();
  for (int i = 0; i < 20; i++) {
    _Atomic int busy = 0; // gone once unregistered
    ecru_registration *registration;
    CHECK_EQ(ecru_token_on_cancel(token, slow_callback, &busy, &registration), 0);
    for (uint64_t k = test_random_below(&random, 4); k > 0; k--) CHECK_EQ(ecru_yield(), 0);
    int was_prevented = ecru_token_unregister(registration);
    CHECK_EQ(atomic_load(&busy), was_prevented ? 0 : 2); // not begun, or over: never between
    if (was_prevented) atomic_fetch_add(&prevented, 1);
  }
}
static void callbacks_body(void *unused) {
  (void)unused;
  ecru_waitgroup *group;
  CHECK_EQ(ecru_waitgroup_create(&group), 0);
  long rounds = test_scaled(500);
  for (long round = rounds; round > 0; round--) {
    int64_t deadline = round % 2 ? ecru_after(30 * ECRU_MICROSECOND) : ECRU_FOREVER;
    CHECK_EQ(ecru_token_create(&current_parent, NULL, deadline), 0);
    for (int i = 0; i < 8; i++) CHECK_EQ(ecru_waitgroup_go(group, register_and_unregister, NULL), 0);
    open_gate(8);
    for (long i = round % 20; i > 0; i--) CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(ecru_token_cancel(current_parent, 0), 0);
    CHECK_EQ(ecru_waitgroup_wait(group), 0);
    ecru_token_release(current_parent);
    close_gate();
  }
  CHECK_EQ(atomic_load(&ran), atomic_load(&running));
  CHECK_EQ(atomic_load(&ran) + atomic_load(&prevented), rounds * 8 * 20);
  ecru_waitgroup_destroy(group);
}
TEST(token, unregister_against_the_cancel) { run(callbacks_body); } // K4

static void *churn_thread(void *unused) {
  (void)unused;
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MICROSECOND)), 0);
    CHECK_EQ(ecru_sleep(ECRU_SECOND), ECRU_ETIMEDOUT);
    CHECK_EQ(ecru_token_leave(), 0);
  }
  return NULL;
}
TEST(token, threads_come_and_go_with_deadlines) { // K2, G10
  for (long round = test_scaled(50); round > 0; round--) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK_EQ(pthread_create(&threads[i], NULL, churn_thread, NULL), 0);
    for (int i = 0; i < 8; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
  }
}
