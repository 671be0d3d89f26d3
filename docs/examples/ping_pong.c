// Two goroutines hand a ball over unbuffered channels to each other, a million times there and back.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

enum { ROUNDS = 1000000 };

ECRU_CHAN_DEFINE(ball_chan, int)

static void pong(ball_chan to, ball_chan back) {
  for (int ball; ball_chan_recv(to, &ball) == 0;) {
    if (ball_chan_send(back, ball + 1) != 0) break;
  }
  ball_chan_release(to); // its own handles: main may have given up its by now
  ball_chan_release(back);
}
ECRU_GO_DECLARE(pong, ball_chan, ball_chan)

static void start(void *failed) {
  ball_chan to = {NULL}, back = {NULL};
  int status = ball_chan_create(&to, 0);
  if (status == 0) status = ball_chan_create(&back, 0);
  if (status == 0) status = ECRU_GO(pong, ball_chan_retain(to), ball_chan_retain(back));
  if (status == 0) {
    int ball = 0;
    int64_t began_ns = ecru_now();
    for (int i = 0; i < ROUNDS; i++) {
      if (ball_chan_send(to, ball) != 0 || ball_chan_recv(back, &ball) != 0) break;
    }
    int64_t took_ns = ecru_now() - began_ns;
    ball_chan_close(to); // pong ends
    printf("the ball was hit %d times, %.0f ns for there and back\n", ball, (double)took_ns / ROUNDS);
    *(int *)failed = ball != ROUNDS;
  }
  ball_chan_release(back);
  ball_chan_release(to);
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "ping_pong: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
