// The program of the separate project: a goroutine answers over a channel.
#include <ecru/ecru.h>
#include <stdio.h>

static void answer(void *channel) {
  int value = 42;
  ecru_chan_send((ecru_chan *)channel, &value);
}

static void ask(void *failed) {
  ecru_chan *channel = NULL;
  int value = 0;
  int status = ecru_chan_create(&channel, sizeof value, 0);
  if (status == 0) status = ecru_go(answer, channel);
  if (status == 0) status = ecru_chan_recv(channel, &value);
  ecru_chan_release(channel);
  printf("%d from ecru %s\n", value, ecru_version());
  *(int *)failed = status != 0;
}

int main(void) {
  int failed = 1;
  return ecru_run(ask, &failed) != 0 || failed;
}
