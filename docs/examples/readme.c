// A hundred thousand goroutines sleep for a second each, at the same time, and send their results over one channel.
#include <ecru/ecru.h>
#include <stdint.h>
#include <stdio.h>

enum { COUNT = 100000 };
static ecru_chan *squares;

static void square(void *argument) { // a plain function: no async, no context to pass on
  int64_t n = (intptr_t)argument;
  ecru_sleep(ECRU_SECOND); // parks this goroutine, not its thread
  n *= n;
  ecru_chan_send(squares, &n); // parks until there is room
}

static void start(void *unused) {
  (void)unused;
  int64_t sum = 0, one;
  ecru_chan_create(&squares, sizeof one, 64);
  for (intptr_t i = 0; i < COUNT; i++) ecru_go(square, (void *)i);
  for (int i = 0; i < COUNT && ecru_chan_recv(squares, &one) == 0; i++) sum += one;
  printf("sum of %d squares: %lld\n", COUNT, (long long)sum);
  ecru_chan_release(squares);
}

int main(void) { return ecru_run(start, NULL) == 0 ? 0 : 1; }
