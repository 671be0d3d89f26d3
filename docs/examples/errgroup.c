// A group with a limit: twenty downloads, at most three at once. The fifth fails: its error cancels the group, the
// others end early wherever they wait, nothing new is started, and wait returns that error after all have ended.
#include <ecru/ecru.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum { COUNT = 20, LIMIT = 3 };

static atomic_int running, most_running, finished, gave_up;

static int download(void *argument, void **unused) {
  (void)unused;
  int number = (int)(intptr_t)argument;
  int now = atomic_fetch_add(&running, 1) + 1;
  if (now > atomic_load(&most_running)) atomic_store(&most_running, now);
  int status = ecru_sleep(20 * ECRU_MILLISECOND); // the transfer
  if (status == 0 && number == 5) status = ECRU_EIO;
  atomic_fetch_add(status == 0 ? &finished : &gave_up, 1);
  atomic_fetch_sub(&running, 1);
  return status;
}

static void start(void *failed) {
  ecru_group *group;
  if (ecru_group_create(&group, LIMIT, 0) != 0) return;
  int started = 0, refused = 0;
  while (started < COUNT && refused == 0) {
    refused = ecru_group_go(group, download, (void *)(intptr_t)(started + 1)); // parks while three run
    if (refused == 0) started++;
  }
  int status = ecru_group_wait(group);
  int cause = ecru_token_cause(ecru_group_token(group));
  printf("the group says: %s\n", ecru_strerror(status));
  printf("one more was refused: %s, because of: %s\n", ecru_strerror(refused), ecru_strerror(cause));
  int most = atomic_load(&most_running), ended = atomic_load(&finished) + atomic_load(&gave_up);
  printf("never more than %d at once, %s of %d started\n", most, started < COUNT ? "not all" : "all", COUNT);
  printf("each one has ended: %s\n", ended == started ? "yes" : "no");
  ecru_group_destroy(group);
  *(int *)failed = status != ECRU_EIO || cause != ECRU_EIO || refused != ECRU_ECANCELED || most > LIMIT;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "errgroup: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
