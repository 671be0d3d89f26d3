// Work nobody waits for: a request is answered at once, its audit record is written behind its back.
//
// Forgetting is safe in two ways here. A task that fails after everybody has let go of it is reported, once. And
// ecru_run waits at the end for whatever still runs, after having cancelled it: what must not be cut off is shielded.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

// Plain goroutines have no handle and no result.
static void write_audit(int request) {
  int status;
  ECRU_SHIELD_SCOPE(status, ecru_after(5 * ECRU_SECOND)) status = ecru_sleep(50 * ECRU_MILLISECOND); // a slow disk
  if (status == 0) printf("audit: request %d\n", request);
  else printf("audit: request %d is lost: %s\n", request, ecru_strerror(status));
}
ECRU_GO_DECLARE(write_audit, int)

// A task has a handle and an outcome. Letting go of the handle does not swallow the outcome.
static int send_statistics(void *unused, void **no_result) {
  (void)unused, (void)no_result;
  return ECRU_EPIPE; // the other side has hung up
}

static void start(void *unused) {
  (void)unused;
  int status = ECRU_GO(write_audit, 1);
  if (status != 0) printf("audit: request 1 is lost: %s\n", ecru_strerror(status));
  printf("request 1 is answered\n");

  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "statistics";
  ecru_task *task;
  if (ecru_spawn_with(&task, &options, send_statistics, NULL) == 0) ecru_task_release(task); // forgotten
  ecru_yield();
  printf("shutting down\n");
} // here the root token is cancelled; the shielded write is waited for

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  int status = ecru_run(start, NULL);
  if (status != 0) fprintf(stderr, "fire_and_forget: %s\n", ecru_strerror(status));
  return status != 0;
}
