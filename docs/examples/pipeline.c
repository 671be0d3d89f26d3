// A pipeline of three stages, generate -> square -> sink. It ends from either side and leaks nothing: when the
// generator has no more it closes its channel, and that runs down the pipeline; when the sink has enough it cancels,
// and every stage that waits, wherever it waits, stops. No stage is passed a context: cancellation is ambient.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

ECRU_CHAN_DEFINE(number_chan, long)

struct pipeline {
  long last; // what the generator ends with
  number_chan numbers, squares;
};

static int generate(void *argument, void **unused) {
  (void)unused;
  struct pipeline *pipeline = argument;
  int status = 0;
  for (long n = 1; status == 0 && n <= pipeline->last; n++) status = number_chan_send(pipeline->numbers, n);
  number_chan_close(pipeline->numbers);
  return status;
}

static int square(void *argument, void **unused) {
  (void)unused;
  struct pipeline *pipeline = argument;
  long n;
  int status;
  while ((status = number_chan_recv(pipeline->numbers, &n)) == 0) {
    status = number_chan_send(pipeline->squares, n * n);
    if (status != 0) break;
  }
  number_chan_close(pipeline->squares);
  return status == ECRU_ECLOSED ? 0 : status; // the end of the numbers is no failure
}

// Adds up squares until they end or the sum is above enough.
static int sink(struct pipeline *pipeline, long enough, long *sum) {
  long n;
  int status = 0;
  while (*sum <= enough && (status = number_chan_recv(pipeline->squares, &n)) == 0) *sum += n;
  return status == ECRU_ECLOSED ? 0 : status;
}

static int run_pipeline(long last, long enough, long *sum) {
  struct pipeline pipeline = {.last = last};
  ecru_group *stages = NULL;
  int status = number_chan_create(&pipeline.numbers, 0);
  if (status == 0) status = number_chan_create(&pipeline.squares, 8);
  if (status == 0) status = ecru_group_create(&stages, 0, 0);
  if (status == 0) status = ecru_group_go(stages, generate, &pipeline);
  if (status == 0) status = ecru_group_go(stages, square, &pipeline);
  if (status == 0) status = sink(&pipeline, enough, sum);
  ecru_group_destroy(stages); // cancels what still runs and waits for it
  number_chan_release(pipeline.numbers);
  number_chan_release(pipeline.squares);
  return status;
}

static unsigned long long goroutines(void) {
  ecru_counters counters = {.size = sizeof counters};
  return ecru_get_counters(&counters) == 0 ? counters.goroutines : 0;
}

static void start(void *failed) {
  long sum = 0;
  int status = run_pipeline(10, 1000000, &sum);
  printf("to the end: %s, 1 + 4 + ... + 100 = %ld, goroutines left: %llu\n", ecru_strerror(status), sum,
         goroutines());
  *(int *)failed = status != 0 || sum != 385 || goroutines() != 1; // 1: this one

  sum = 0;
  status = run_pipeline(1000000000, 1000, &sum);
  printf("cancelled:  %s, 1 + 4 + ... > 1000 at %ld, goroutines left: %llu\n", ecru_strerror(status), sum,
         goroutines());
  *(int *)failed |= status != 0 || sum != 1015 || goroutines() != 1;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "pipeline: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
