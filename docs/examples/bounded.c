// Back-pressure: a fast producer and a slow consumer share a channel with room for 64. When it is full, the producer
// parks: it is never more than 65 ahead, 64 in the channel and one in the consumer's hands.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROOM = 64, COUNT = 400 };

ECRU_CHAN_DEFINE(number_chan, int)

static atomic_int received;
static int most_ahead;

static void produce(number_chan numbers) {
  for (int sent = 0; sent < COUNT;) {
    if (number_chan_send(numbers, sent) != 0) break; // parks while the channel is full
    sent++;
    int ahead = sent - atomic_load(&received);
    if (ahead > most_ahead) most_ahead = ahead;
  }
  number_chan_close(numbers);
  number_chan_release(numbers); // its own handle
}
ECRU_GO_DECLARE(produce, number_chan)

static void consume(number_chan numbers) {
  static const char bar[] = "################################################################";
  for (int number; number_chan_recv(numbers, &number) == 0;) { // until it is closed and empty
    atomic_fetch_add(&received, 1);
    size_t waiting = number_chan_len(numbers);
    if (number % 50 == 49) printf("received %3d |%-*.*s| %zu wait\n", number + 1, ROOM, (int)waiting, bar, waiting);
    if (ecru_sleep(ECRU_MILLISECOND / 2) != 0) break; // slow work
  }
}

static void start(void *failed) {
  number_chan numbers;
  if (number_chan_create(&numbers, ROOM) != 0) return;
  if (ECRU_GO(produce, number_chan_retain(numbers)) == 0) consume(numbers); // the consumer is this goroutine
  printf("the producer was never more than %d ahead\n", most_ahead <= ROOM + 1 ? ROOM + 1 : most_ahead);
  number_chan_release(numbers);
  *(int *)failed = most_ahead > ROOM + 1 || atomic_load(&received) != COUNT;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "bounded: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
