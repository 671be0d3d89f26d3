// Users are fetched at the same time; each result comes back over a channel as soon as it is there.
// The clock is a virtual one, which jumps to the next instant somebody waits for when all goroutines wait: the calls take
// 200 ms of it and hardly any of yours, and the program prints the same on every machine.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

typedef struct user {
  int id;
  const char *name;
  int status; // 0, or why there is no name
} user;

ECRU_CHAN_DEFINE(user_chan, user) // the type user_chan and user_chan_create, user_chan_send, user_chan_recv, ...

// A plain blocking function: it could be a database driver's. Nothing about it is special.
static user fetch_user(int id) {
  static const char *const names[] = {"", "Ada", "Grace"};
  int status = ecru_sleep(200 * ECRU_MILLISECOND); // to the server and back: parks this goroutine, not its thread
  if (status != 0) return (user){id, NULL, status};
  if (id < 1 || id > 2) return (user){id, NULL, ECRU_ENOENT};
  return (user){id, names[id], 0};
}

static void fetch_and_send(int id, user_chan results) { user_chan_send(results, fetch_user(id)); }
ECRU_GO_DECLARE(fetch_and_send, int, user_chan) // says the types once; then ECRU_GO copies the arguments

static void start(void *failed) {
  static const int wanted[] = {1, 2, 3};
  const int count = sizeof wanted / sizeof *wanted;
  int64_t began_ns = ecru_now();
  user_chan results;
  if (user_chan_create(&results, (size_t)count) != 0) return;
  int started = 0;
  while (started < count && ECRU_GO(fetch_and_send, wanted[started], results) == 0) started++;

  user got, by_id[4] = {{0}};
  for (int i = 0; i < started && user_chan_recv(results, &got) == 0; i++) by_id[got.id] = got; // in any order
  for (int i = 0; i < started; i++) {
    const user *one = &by_id[wanted[i]];
    printf("user %d: %s\n", wanted[i], one->status == 0 ? one->name : ecru_strerror(one->status));
  }
  int64_t took_ns = ecru_now() - began_ns;
  printf("%d calls of 200 ms each took %d ms\n", started, (int)(took_ns / ECRU_MILLISECOND));
  user_chan_release(results);
  *(int *)failed = started != count || took_ns != 200 * ECRU_MILLISECOND;
}

int main(void) {
  int failed = 1;
  ecru_options options = ECRU_OPTIONS;
  int status = ecru_clock_virtual_create(&options.clock, 1); // without this line and with ecru_run(start, &failed): real time
  if (status == 0) status = ecru_run_with(&options, start, &failed); // starts the runtime, runs start in it, stops it
  ecru_clock_destroy(options.clock);
  if (status != 0) fprintf(stderr, "two_users: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
