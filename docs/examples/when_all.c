// Waiting for all: five services are asked at once, and all outcomes come back in order, not only the first failure.
#include <ecru/ecru.h>
#include <stdio.h>

struct service {
  const char *name;
  int delay_ms, status;
  const char *answer;
};
static struct service services[] = {
    {"users", 30, 0, "17 users"},    {"orders", 20, ECRU_EIO, NULL}, {"prices", 10, 0, "3 prices"},
    {"stock", 5, ECRU_ENOENT, NULL}, {"mail", 1, 0, "no mail"},
};
enum { COUNT = sizeof services / sizeof *services };

static int ask(void *argument, void **answer) {
  const struct service *service = argument;
  int status = ecru_sleep(service->delay_ms * ECRU_MILLISECOND);
  if (status == 0) status = service->status;
  if (status == 0) *answer = (void *)service->answer;
  return status;
}

int main(void) { // an ordinary thread can do all this too: the runtime starts itself
  ecru_task *tasks[COUNT];
  int statuses[COUNT];
  void *answers[COUNT];
  size_t started = 0;
  int status = 0;
  while (started < COUNT && (status = ecru_spawn(&tasks[started], ask, &services[started])) == 0) started++;
  if (status != 0) fprintf(stderr, "when_all: %s: %s\n", services[started].name, ecru_strerror(status));

  int first = ecru_join_all(tasks, started, statuses, answers);
  for (size_t i = 0; i < started; i++) {
    printf("%-7s %s\n", services[i].name, statuses[i] == 0 ? (char *)answers[i] : ecru_strerror(statuses[i]));
    ecru_task_release(tasks[i]);
  }
  printf("in all: %s\n", ecru_strerror(first));
  return ecru_stop() != 0 || first != ECRU_EIO;
}
