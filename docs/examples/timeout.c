// A deadline for a block of code: whatever waits in it, however deep, ends with "deadline exceeded". The functions in
// between take no deadline and pass none on.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <stdio.h>

static int ask_server(int *answer) {
  int status = ecru_sleep(10 * ECRU_SECOND); // a slow server
  if (status != 0) return status;
  *answer = 42;
  return 0;
}

static int look_up(int *answer) { // knows nothing of deadlines
  int status = ask_server(answer);
  if (status != 0) {
    int cleaned;
    ECRU_SHIELD_SCOPE(cleaned, ecru_after(ECRU_SECOND)) cleaned = ecru_sleep(ECRU_MILLISECOND); // here it may wait
    printf("cleaned up: %s\n", ecru_strerror(cleaned));
  }
  return status;
}

static void start(void *failed) {
  int status, answer = 0;
  int64_t began_ns = ecru_now();
  ECRU_DEADLINE_SCOPE(status, ecru_after(50 * ECRU_MILLISECOND)) status = look_up(&answer);
  printf("look_up: %s, %s\n", ecru_strerror(status), ecru_now() - began_ns < 5 * ECRU_SECOND ? "in time" : "late");
  int after = ecru_check(); // outside of the block the deadline is gone
  printf("after the block: %s\n", ecru_strerror(after));
  *(int *)failed = status != ECRU_ETIMEDOUT || after != 0;
}

int main(void) {
  int failed = 1;
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "timeout: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
