// Two users are fetched at the same time; each result comes back over a channel as soon as it is there.
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
  int together = ecru_now() - began_ns < 400 * ECRU_MILLISECOND;
  printf("%d calls of 200 ms each took %s\n", started, together ? "less than 400 ms" : "too long");
  user_chan_release(results);
  *(int *)failed = started != count;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed); // starts the runtime, runs start as the first goroutine, stops the runtime
  if (status != 0) fprintf(stderr, "two_users: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
