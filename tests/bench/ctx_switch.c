/// bench_ctx_switch: CPU nanoseconds of one raw context switch (platform/ctx.h), as one line of JSON. Two contexts switch
/// to each other and do nothing else, from one place in the code as the runtime does (docs/decisions/switch.md); each
/// direction counts as a switch. Median, least and greatest of 21 runs.
#include "platform/ctx.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__GNUC__) && !defined(__clang__)
#define NEVER_CLONED __attribute__((noipa)) // a clone would be a second place
#else
#define NEVER_CLONED __attribute__((noinline))
#endif

enum { RUNS = 21, ROUND_TRIPS = 1000000, STACK_BYTES = 65536 };

static void *main_context, *other_context;
static _Alignas(16) char stack[STACK_BYTES];

/// What both contexts run: the call below is the one place both are suspended at.
static NEVER_CLONED void switch_forth(void **own, void **other, int times) {
  for (int i = 0; i < times; i++) ecru__ctx_switch(own, *other, NULL);
}

static void other_main(void *value) {
  (void)value;
  for (;;) switch_forth(&other_context, &main_context, ROUND_TRIPS);
}

static double cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double one_run(void) {
  double start = cpu_ns();
  switch_forth(&main_context, &other_context, ROUND_TRIPS);
  return (cpu_ns() - start) / (2.0 * ROUND_TRIPS);
}

static int by_size(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

int main(void) {
  double results[RUNS];
  other_context = ecru__ctx_make(stack + STACK_BYTES, STACK_BYTES, other_main);
  for (int i = 0; i < RUNS; i++) results[i] = one_run();
  qsort(results, RUNS, sizeof results[0], by_size);
  printf("{\"suite\":\"core\",\"case\":\"ctx_switch\",\"procs\":1,\"impl\":\"ecru\",\"metric\":\"cpu_ns_per_op\","
         "\"median\":%.3f,\"low\":%.3f,\"high\":%.3f,\"unit\":\"ns\"}\n",
         results[RUNS / 2], results[0], results[RUNS - 1]);
  return 0;
}
