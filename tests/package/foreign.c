// Two goroutines on one processor talk over a pipe through the C library. Only the interposer lets the reader count as waiting.
#include <ecru/ecru.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2];

static void read_one(void *done) {
  char byte = 0;
  if (read(ends[0], &byte, 1) == 1) printf("%c from ", byte);
  ecru_chan_close(done);
}

static void start(void *unused) {
  ecru_chan *done;
  ecru_counters counters = {.size = sizeof counters};
  (void)unused;
  if (pipe(ends) != 0 || ecru_chan_create(&done, 0, 0) != 0) return;
  if (ecru_go(read_one, done) != 0) return;
  while (counters.waiting == 0 && ecru_get_counters(&counters) == 0) ecru_yield();
  if (write(ends[1], "R", 1) != 1) return;
  ecru_chan_recv(done, NULL);
  ecru_chan_release(done);
  printf("ecru %s\n", ecru_version());
}

int main(void) { return ecru_run(start, NULL); }
