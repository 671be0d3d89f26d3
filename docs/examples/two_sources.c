// Select: one goroutine serves two sources and a heartbeat, whichever is first, until both sources have closed.
// The clock is a virtual one, so it is certain how many heartbeats there are meanwhile.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

ECRU_CHAN_DEFINE(number_chan, int)

static void count_to(int last, int pause_ms, number_chan numbers) {
  for (int n = 1; n <= last; n++) {
    if (ecru_sleep(pause_ms * ECRU_MILLISECOND) != 0 || number_chan_send(numbers, n) != 0) break;
  }
  number_chan_close(numbers);
  number_chan_release(numbers); // its own handle
}
ECRU_GO_DECLARE(count_to, int, int, number_chan)

enum { FAST, SLOW, BEAT, CASES };

static int serve(number_chan fast, number_chan slow, ecru_timer *heartbeat, int received[CASES]) {
  int number, open = 2;
  int64_t due_ns;
  ecru_case cases[CASES] = {
      [FAST] = ECRU_ON_RECV(fast, &number),
      [SLOW] = ECRU_ON_RECV(slow, &number),
      [BEAT] = ECRU_ON_TIMER(heartbeat, &due_ns),
  };
  while (open > 0) {
    int picked = ecru_select(cases, CASES, 0); // parks; of several that are ready it picks any
    if (picked < 0) return picked;
    if (cases[picked].status == 0) {
      received[picked]++;
    } else { // closed and empty
      cases[picked].object = NULL; // a case without an object is never ready
      open--;
    }
  }
  return 0;
}

static void start(void *failed) {
  number_chan fast = {NULL}, slow = {NULL};
  ecru_timer *heartbeat = NULL;
  int received[CASES] = {0};
  int status = number_chan_create(&fast, 0);
  if (status == 0) status = number_chan_create(&slow, 0);
  if (status == 0) status = ecru_ticker_create(&heartbeat, 4 * ECRU_MILLISECOND);
  if (status == 0) status = ECRU_GO(count_to, 50, 1, number_chan_retain(fast));
  if (status == 0) status = ECRU_GO(count_to, 5, 10, number_chan_retain(slow));
  if (status == 0) status = serve(fast, slow, heartbeat, received);
  printf("%s: fast %d, slow %d, heartbeats %d\n", ecru_strerror(status), received[FAST], received[SLOW], received[BEAT]);

  int64_t began_ns = ecru_now();
  number_chan silent = {NULL}; // nothing will ever come from it
  int number;
  int picked = ECRU_SELECT_UNTIL(ecru_after(10 * ECRU_MILLISECOND), ECRU_ON_RECV(silent, &number));
  printf("with a deadline: %s\n", ecru_strerror(picked));
  printf("without waiting: %s\n", ecru_strerror(ECRU_TRY_SELECT(ECRU_ON_RECV(silent, &number))));
  int waited = ecru_now() - began_ns == 10 * ECRU_MILLISECOND;

  ecru_timer_destroy(heartbeat);
  number_chan_release(fast);
  number_chan_release(slow);
  int all = received[FAST] == 50 && received[SLOW] == 5 && received[BEAT] == 12; // 50 ms, a beat every 4 ms
  *(int *)failed = status != 0 || !all || picked != ECRU_ETIMEDOUT || !waited;
}

int main(void) {
  int failed = 1;
  ecru_options options = ECRU_OPTIONS;
  int status = ecru_clock_virtual_create(&options.clock, 1);
  if (status == 0) status = ecru_run_with(&options, start, &failed);
  ecru_clock_destroy(options.clock);
  if (status != 0) fprintf(stderr, "two_sources: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
