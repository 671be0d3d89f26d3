/// tests/contract/environment.c: what platform/environment.h promises.
#include "platform/environment.h"
#include "test.h"
#include <stdatomic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ; // POSIX has it in no header

enum { MANY = 1000 };
static char **during;
static char *copy_of_during[MANY];
static size_t length_of(char **array) {
  size_t count = 0;
  while (array[count]) count++;
  CHECK(count < MANY);
  return count;
}

static void look(void *calls) {
  ++*(int *)calls;
  CHECK_STR(getenv("ECRU_TEST_ENTRY"), "7");
  CHECK_STR(getenv("ECRU_TEST_OTHER"), "stays");
  during = environ;
  memcpy(copy_of_during, during, (length_of(during) + 1) * sizeof *during);
}

TEST(environment, a_variable_is_there_for_one_call) {
  int calls = 0;
  char *copy[MANY], **before;
  CHECK_EQ(setenv("ECRU_TEST_OTHER", "stays", 1), 0); // the array is the C library's now
  before = environ;
  size_t count = length_of(before);
  memcpy(copy, before, (count + 1) * sizeof *before);
  CHECK(ecru__environment_with("ECRU_TEST_ENTRY=7", look, &calls));
  CHECK_EQ(calls, 1);
  CHECK(getenv("ECRU_TEST_ENTRY") == NULL);
  CHECK_STR(getenv("ECRU_TEST_OTHER"), "stays");
  CHECK_EQ(length_of(environ), count);
  CHECK(memcmp(environ, copy, (count + 1) * sizeof *copy) == 0);
  CHECK(memcmp(before, copy, (count + 1) * sizeof *copy) == 0); // who still reads in these finds what was there
  CHECK(memcmp(during, copy_of_during, (count + 2) * sizeof *during) == 0);
  CHECK_EQ(setenv("ECRU_TEST_NEW", "works", 1), 0); // as ever
  CHECK_STR(getenv("ECRU_TEST_NEW"), "works");
  CHECK_EQ(unsetenv("ECRU_TEST_OTHER"), 0);
}

static void add_one(void *unused) {
  (void)unused;
  CHECK_EQ(setenv("ECRU_TEST_NEW", "kept", 1), 0);
}
TEST(environment, what_somebody_sets_meanwhile_is_kept) {
  CHECK(ecru__environment_with("ECRU_TEST_ENTRY=7", add_one, NULL));
  CHECK_STR(getenv("ECRU_TEST_NEW"), "kept");
}

static _Atomic int stop, rounds;
static void *read_it(void *unused) {
  while (!atomic_load(&stop)) {
    CHECK_STR(getenv("ECRU_TEST_OTHER"), "stays");
    for (char **entry = __atomic_load_n(&environ, __ATOMIC_ACQUIRE); *entry; entry++) CHECK(strchr(*entry, '=') != NULL);
    atomic_fetch_add(&rounds, 1);
  }
  return unused;
}
static void wait_for_a_round(void *unused) {
  (void)unused;
  int before = atomic_load(&rounds);
  while (atomic_load(&rounds) < before + 4) {}
}
TEST(environment, others_read_it_meanwhile) {
  pthread_t readers[2];
  CHECK_EQ(setenv("ECRU_TEST_OTHER", "stays", 1), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&readers[i], NULL, read_it, NULL), 0);
  CHECK(ecru__environment_with("ECRU_TEST_ENTRY=7", wait_for_a_round, NULL));
  wait_for_a_round(NULL);
  atomic_store(&stop, 1);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(readers[i], NULL), 0);
}
