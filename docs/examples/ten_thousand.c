// Ten thousand goroutines, each with a stack of its own, wait at the same time and add up their numbers.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

enum { COUNT = 10000 };

ECRU_CHAN_DEFINE(number_chan, int)

static void work(int number, number_chan results) {
  if (ecru_sleep(100 * ECRU_MILLISECOND) == 0) number_chan_send(results, number);
}
ECRU_GO_DECLARE(work, int, number_chan)

static void start(void *failed) {
  number_chan results;
  if (number_chan_create(&results, 128) != 0) return;
  int64_t began_ns = ecru_now();
  int started = 0;
  while (started < COUNT && ECRU_GO(work, started + 1, results) == 0) started++;

  ecru_counters counters = {.size = sizeof counters};
  ecru_get_counters(&counters);
  const char *alive = counters.goroutines > COUNT / 2 ? "thousands" : "not many";
  printf("%d started, %s alive at once\n", started, alive);

  long long sum = 0;
  for (int i = 0, number; i < started && number_chan_recv(results, &number) == 0; i++) sum += number;
  printf("the sum is %lld\n", sum);
  fprintf(stderr, "took %.0f ms; one after the other: %d s\n", (double)(ecru_now() - began_ns) / 1e6, COUNT / 10);
  number_chan_release(results);
  *(int *)failed = sum != (long long)COUNT * (COUNT + 1) / 2;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "ten_thousand: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
