/// tests/fault/token.c: tokens when memory runs out: each call says so and has changed nothing (K1, K2, K4).
#include "platform/fault.h"
#include "test.h"

#include <ecru/ecru.h>
#include <stdatomic.h>
#include <stdbool.h>

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

static ecru_token *parent;
static _Atomic int callbacks;
static void count_callback(void *unused) {
  (void)unused;
  atomic_fetch_add(&callbacks, 1);
}

static int create(void) {
  ecru_token *token = NULL;
  int status = ecru_token_create(&token, parent, ECRU_FOREVER);
  CHECK_EQ(token != NULL, status == 0);
  ecru_token_release(token);
  return status;
}
static int create_with_deadline(void) {
  ecru_token *token = NULL;
  int status = ecru_token_create(&token, parent, ecru_after(3600 * ECRU_SECOND));
  CHECK_EQ(token != NULL, status == 0);
  ecru_token_release(token);
  return status;
}
static int create_linked(void) {
  ecru_token *token = NULL, *parents[2] = {parent, ecru_token_root()};
  int status = ecru_token_create_linked(&token, parents, 2, ecru_after(3600 * ECRU_SECOND));
  CHECK_EQ(token != NULL, status == 0);
  ecru_token_release(token);
  return status;
}
static int without_cancel(void) {
  ecru_token *token = NULL;
  int status = ecru_token_without_cancel(&token, parent);
  CHECK_EQ(token != NULL, status == 0);
  ecru_token_release(token);
  return status;
}
static int leave_if_entered(int status) {
  if (status == 0) CHECK_EQ(ecru_token_leave(), 0);
  CHECK(ecru_token_current() == ecru_token_root());
  return status;
}
static int enter(void) { return leave_if_entered(ecru_token_enter(parent)); }
static int enter_deadline(void) { return leave_if_entered(ecru_deadline_enter(ecru_after(3600 * ECRU_SECOND))); }
static int enter_shield(void) { return leave_if_entered(ecru_shield_enter(ECRU_FOREVER)); }
static int enter_shield_with_deadline(void) { return leave_if_entered(ecru_shield_enter(ecru_after(3600 * ECRU_SECOND))); }
static int on_cancel(void) {
  ecru_registration *registration = NULL;
  int status = ecru_token_on_cancel(parent, count_callback, NULL, &registration);
  CHECK_EQ(registration != NULL, status == 0);
  if (status == 0) CHECK_EQ(ecru_token_unregister(registration), 1);
  return status;
}

static void walk_body(void *unused) {
  (void)unused;
  int (*const operations[])(void) = {create, create_with_deadline, create_linked, without_cancel, enter,
                                     enter_deadline, enter_shield, enter_shield_with_deadline, on_cancel};
  CHECK_EQ(ecru_token_create(&parent, NULL, ECRU_FOREVER), 0);
  for (unsigned i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    int failures = 0;
    for (uint64_t nth = 1;; nth++) {
      ecru__fault_set(ECRU__FAULT_ALLOC, nth, 0);
      int status = operations[i]();
      bool hit = ecru__fault_count(ECRU__FAULT_ALLOC) >= nth;
      ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
      CHECK_EQ(status, hit ? ECRU_ENOMEM : 0);
      if (!hit) break;
      failures++;
    }
    CHECK(failures > 0);
  }
  CHECK_EQ(ecru_token_err(parent), 0);
  CHECK_EQ(atomic_load(&callbacks), 0);
  ecru_token_release(parent);
}
TEST(token, every_allocation_may_fail) { run(walk_body); } // K1, K2, K4

static void heap_body(void *unused) {
  (void)unused;
  enum { TOKENS = 300 }; // more than a timer heap has room for at first
  ecru_token *tokens[TOKENS];
  int refused = 0;
  for (int i = 0; i < TOKENS; i++) {
    ecru__fault_set(ECRU__FAULT_ALLOC, 2, 0); // the token itself may be had, its place among the timers not
    int status = ecru_token_create(&tokens[i], NULL, ecru_after(3600 * ECRU_SECOND));
    ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
    if (status == ECRU_ENOMEM) {
      refused++;
      status = ecru_token_create(&tokens[i], NULL, ecru_after(3600 * ECRU_SECOND));
    }
    CHECK_EQ(status, 0);
  }
  CHECK(refused > 0);
  for (int i = 0; i < TOKENS; i++) ecru_token_release(tokens[i]);
}
TEST(token, a_deadline_that_finds_no_room_refuses_the_token) { run(heap_body); } // K1

// ---- callbacks of a deadline without a goroutine to run them ----------------------------------------------------------

static void wait_for_cancel(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_sleep(ECRU_FOREVER), ECRU_ECANCELED);
}
static void no_goroutine_body(void *unused) {
  (void)unused;
  ecru_token *token, *child;
  ecru_registration *registrations[2];
  CHECK_EQ(ecru_token_create(&token, NULL, ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_token_create(&child, token, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_on_cancel(token, count_callback, NULL, &registrations[0]), 0);
  CHECK_EQ(ecru_token_on_cancel(child, count_callback, NULL, &registrations[1]), 0);
  ecru__fault_set(ECRU__FAULT_MAP, 1, 1);
  long alive = 0;
  while (ecru_go(wait_for_cancel, NULL) == 0) alive++; // uses up what is mapped
  CHECK_EQ(ecru_go(wait_for_cancel, NULL), ECRU_ENOMEM);
  CHECK_EQ(ecru_token_wait(child), 0);
  for (int i = 0; i < 5; i++) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  CHECK_EQ(atomic_load(&callbacks), 0); // they wait for memory
  ecru__fault_set(ECRU__FAULT_MAP, 0, 0);
  while (atomic_load(&callbacks) < 2) CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_token_unregister(registrations[i]), 0);
  ecru_token_release(token);
  ecru_token_release(child);
}
TEST(token, callbacks_wait_until_there_is_memory_for_their_goroutine) { run(no_goroutine_body); } // K4

static ecru_registration *kept;
static void no_goroutine_until_stop_body(void *unused) {
  (void)unused;
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, ecru_token_background(), ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_token_on_cancel(token, count_callback, NULL, &kept), 0);
  ecru__fault_set(ECRU__FAULT_MAP, 1, 1);
  while (ecru_go(wait_for_cancel, NULL) == 0) {}
  CHECK_EQ(ecru_token_wait(token), 0);
  ecru_token_release(token);
}
TEST(token, callbacks_still_without_memory_run_at_the_stop) { // K4, G13
  run(no_goroutine_until_stop_body);
  ecru__fault_set(ECRU__FAULT_MAP, 0, 0);
  CHECK_EQ(atomic_load(&callbacks), 1);
  CHECK_EQ(ecru_token_unregister(kept), 0);
}
