// A worker pool: four goroutines work on a hundred items from a queue with room for eight. Whoever submits parks while
// the queue is full; the first failure stops the pool and comes back from submit and wait.
#include <ecru/ecru.h>
#include <stdint.h>
#include <stdio.h>

enum { ITEMS = 100, WORKERS = 4, ROOM = 8 };

struct item {
  uint64_t number;
  uint64_t smallest_factor;
};

static int factor(void *unused, void *data) { // a plain function that only computes
  (void)unused;
  struct item *item = data;
  if (item->number < 2) return ECRU_EINVAL;
  uint64_t divisor = 2;
  while (divisor * divisor <= item->number && item->number % divisor != 0) divisor++;
  item->smallest_factor = divisor * divisor > item->number ? item->number : divisor;
  return 0;
}

static int factor_all(struct item *items, size_t count) {
  ecru_pool *pool;
  int status = ecru_pool_create(&pool, WORKERS, ROOM, factor, NULL);
  if (status != 0) return status;
  for (size_t i = 0; status == 0 && i < count; i++) status = ecru_pool_submit(pool, &items[i]);
  int ended = ecru_pool_wait(pool); // for all that is in the queue
  ecru_pool_destroy(pool);
  return status != 0 ? status : ended;
}

static void start(void *failed) {
  struct item items[ITEMS] = {{0, 0}};
  for (int i = 0; i < ITEMS; i++) items[i].number = UINT64_C(1000000000000) + (uint64_t)i;
  int status = factor_all(items, ITEMS);
  int primes = 0;
  for (int i = 0; i < ITEMS; i++) primes += items[i].smallest_factor == items[i].number;
  printf("%s: %d primes among %d numbers from 10^12\n", ecru_strerror(status), primes, ITEMS);

  items[50].number = 1; // no worker can do anything with it
  int second = factor_all(items, ITEMS);
  printf("%s: the pool has stopped\n", ecru_strerror(second));
  *(int *)failed = status != 0 || primes != 4 || second != ECRU_EINVAL;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "worker_pool: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
