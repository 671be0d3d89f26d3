/// tests/fault/local.c: goroutine-local and scoped values when memory runs out (G12).
#include "platform/fault.h"
#include "test.h"

#include <ecru/ecru.h>

enum { KEYS = 40 };
static ecru_local_key *keys[KEYS];

static int fails_then_works(int (*operation)(int index), int index) {
  ecru__fault_set(ECRU__FAULT_ALLOC, 1, 0);
  int status = operation(index);
  uint64_t calls = ecru__fault_count(ECRU__FAULT_ALLOC);
  ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
  CHECK_EQ(status, calls ? ECRU_ENOMEM : 0);
  if (calls) CHECK_EQ(operation(index), 0);
  return calls != 0;
}

static int create_key(int index) { return ecru_local_key_create(&keys[index], NULL); }
static int set_value(int index) { return ecru_local_set(keys[index], &keys[index]); }

static void local_body(void *unused) {
  (void)unused;
  for (int i = 0; i < KEYS; i++) CHECK_EQ(fails_then_works(create_key, i), 1);
  int grown = 0;
  for (int i = 0; i < KEYS; i++) {
    grown += fails_then_works(set_value, i);
    for (int k = 0; k <= i; k++) CHECK(ecru_local_get(keys[k]) == &keys[k]); // what was there stays
  }
  CHECK(grown > 1);
  for (int i = 0; i < KEYS; i++) ecru_local_key_destroy(keys[i]);
}
TEST(local, every_allocation_may_fail) { CHECK_EQ(ecru_run(local_body, NULL), 0); } // G12

TEST(local, the_registry_of_keys_may_fail_to_grow) { // G12
  for (int i = 0; i < KEYS; i++) {
    ecru_local_key *refused = NULL;
    ecru__fault_set(ECRU__FAULT_ALLOC, 2, 0); // the key can be had, its place not
    int status = ecru_local_key_create(&refused, NULL);
    ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
    CHECK_EQ(refused != NULL, status == 0);
    if (status != 0) CHECK_EQ(ecru_local_key_create(&refused, NULL), 0);
    keys[i] = refused;
  }
  for (int i = 0; i < KEYS; i++) ecru_local_key_destroy(keys[i]);
}

static ecru_scoped_key *key;
static int create_scoped_key(int index) { (void)index; return ecru_scoped_key_create(&key, NULL); }
static int enter_scope(int index) { (void)index; return ecru_scoped_enter(key, "value"); }

static void scoped_body(void *unused) {
  (void)unused;
  CHECK_EQ(fails_then_works(create_scoped_key, 0), 1);
  CHECK_EQ(fails_then_works(enter_scope, 0), 1);
  CHECK_STR(ecru_scoped_get(key), "value");
  CHECK_EQ(ecru_scoped_leave(key), 0);
  CHECK(ecru_scoped_get(key) == NULL); // the failure left nothing behind
  ecru_scoped_key_destroy(key);
}
TEST(local, scopes_may_fail_too) { CHECK_EQ(ecru_run(scoped_body, NULL), 0); } // G12
