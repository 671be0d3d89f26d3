/// tests/contract/wait.c: what platform/wait.h promises.
#include "platform/wait.h"
#include "platform/clock.h"
#include "platform/vm.h"
#include "test.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

#define MILLISECONDS INT64_C(1000000)

static int64_t thread_cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

TEST(wait, another_value_returns_at_once) {
  _Atomic uint32_t word = 1;
  errno = EXFULL;
  ecru__wait(&word, 0, INT64_MAX);
  CHECK_EQ(errno, EXFULL);
}

TEST(wait, a_deadline_ends_it_and_not_before) {
  _Atomic uint32_t word = 0;
  int64_t deadline_ns = ecru__clock_now() + 30 * MILLISECONDS, cpu_ns = thread_cpu_ns();
  errno = EXFULL;
  int waits = 0;
  while (ecru__clock_now() < deadline_ns) {
    ecru__wait(&word, 0, deadline_ns);
    waits++;
  }
  CHECK_EQ(errno, EXFULL);
  CHECK(waits < 10);                                  // it slept: no storm of spurious returns
  CHECK(thread_cpu_ns() - cpu_ns < 15 * MILLISECONDS); // nor spun
}

TEST(wait, a_deadline_in_the_past_returns_at_once) {
  _Atomic uint32_t word = 0;
  ecru__wait(&word, 0, ecru__clock_now() - 1);
  ecru__wait(&word, 0, 1);
  ecru__wait(&word, 0, 0);
  ecru__wait(&word, 0, -5);
  ecru__wait(&word, 0, INT64_MIN);
}

struct sleepers {
  _Atomic uint32_t word;    // tokens to take
  _Atomic uint32_t taken;
  int64_t deadline_ns;
};

static void *take_token(void *argument) {
  struct sleepers *sleepers = argument;
  for (;;) {
    uint32_t tokens = atomic_load(&sleepers->word);
    if (tokens == 0)
      ecru__wait(&sleepers->word, 0, sleepers->deadline_ns);
    else if (atomic_compare_exchange_weak(&sleepers->word, &tokens, tokens - 1))
      break;
  }
  atomic_fetch_add(&sleepers->taken, 1);
  ecru__wake_all(&sleepers->taken);
  return NULL;
}

static void check_wakes(int count, int64_t deadline_ns, int wake_all) {
  struct sleepers sleepers = {.deadline_ns = deadline_ns};
  pthread_t threads[8];
  for (int i = 0; i < count; i++) CHECK_EQ(pthread_create(&threads[i], NULL, take_token, &sleepers), 0);
  errno = EXFULL;
  if (wake_all) {
    atomic_store(&sleepers.word, (uint32_t)count);
    ecru__wake_all(&sleepers.word);
  } else {
    for (int i = 0; i < count; i++) {
      atomic_fetch_add(&sleepers.word, 1);
      ecru__wake_one(&sleepers.word);
      for (uint32_t seen; (seen = atomic_load(&sleepers.taken)) <= (uint32_t)i;) ecru__wait(&sleepers.taken, seen, INT64_MAX);
    }
  }
  CHECK_EQ(errno, EXFULL);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  CHECK_EQ(sleepers.taken, count);
}

TEST(wait, each_wake_one_lets_one_go) {
  for (int round = 0; round < 50; round++) check_wakes(4, INT64_MAX, 0);
}

TEST(wait, wake_all_lets_everyone_go) {
  for (int round = 0; round < 50; round++) check_wakes(8, INT64_MAX, 1);
}

TEST(wait, a_wake_beats_a_far_deadline) {
  int64_t start_ns = ecru__clock_now();
  check_wakes(4, start_ns + INT64_C(3600000) * MILLISECONDS, 1);
  CHECK(ecru__clock_now() - start_ns < INT64_C(50000) * MILLISECONDS);
}

static void *ping(void *argument) {
  _Atomic uint32_t *word = argument;
  for (uint32_t turn = 0; turn < 2000; turn += 2) {
    for (uint32_t seen; (seen = atomic_load(word)) != turn + 1;) ecru__wait(word, seen, INT64_MAX);
    atomic_store(word, turn + 2);
    ecru__wake_one(word);
  }
  return NULL;
}

TEST(wait, no_wake_is_lost) {
  _Atomic uint32_t word = 0;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, ping, &word), 0);
  for (uint32_t turn = 0; turn < 2000; turn += 2) {
    for (uint32_t seen; (seen = atomic_load(&word)) != turn;) ecru__wait(&word, seen, INT64_MAX);
    atomic_store(&word, turn + 1);
    ecru__wake_one(&word);
  }
  pthread_join(thread, NULL);
  CHECK_EQ(word, 2000);
}

TEST(wait, waking_freed_memory_does_nothing) {
  size_t bytes = (size_t)1 << 20;
  void *page = ecru__vm_reserve(bytes, ecru__vm_page());
  CHECK(page != NULL);
  ecru__vm_release(page, bytes);
  errno = EXFULL;
  ecru__wake_one(page);
  ecru__wake_all(page);
  CHECK_EQ(errno, EXFULL);
}
