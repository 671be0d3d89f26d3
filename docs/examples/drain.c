// A graceful end: on SIGTERM the server accepts nothing new, finishes what it has accepted, and ends with exit code 0.
// One token says "no more requests"; only the accepting loop runs under it, so the workers are not disturbed.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static atomic_int answered;

static int answer(void *unused, void *request) { // a worker of the pool
  (void)unused, (void)request;
  int status = ecru_sleep(20 * ECRU_MILLISECOND);
  if (status == 0) atomic_fetch_add(&answered, 1);
  return status;
}

// Takes requests until the current token fires. Returns how many.
static int accept_requests(ecru_pool *pool) {
  int accepted = 0;
  while (ecru_sleep(ECRU_MILLISECOND) == 0) { // stands for accept(): a request comes every millisecond
    if (ecru_pool_submit(pool, (void *)(intptr_t)accepted) != 0) break; // parks while the queue is full
    if (++accepted == 10) printf("serving: kill -TERM %d\n", (int)getpid());
  }
  return accepted;
}

static void wait_for_sigterm(void *unused) { // plain blocking code
  (void)unused;
  sigset_t set;
  int signal;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  while (sigwait(&set, &signal) != 0) continue;
}

static void stop_on_sigterm(void *accepting) {
  ecru_blocking(wait_for_sigterm, NULL); // the processor goes to others meanwhile
  printf("SIGTERM: no more requests\n");
  ecru_token_cancel(accepting, 0);
  ecru_token_release(accepting);
}

static void start(void *failed) {
  ecru_token *accepting = NULL;
  ecru_pool *pool = NULL;
  int accepted = 0;
  int status = ecru_token_create(&accepting, NULL, ECRU_FOREVER);
  if (status == 0) status = ecru_pool_create(&pool, 4, 16, answer, NULL);
  if (status == 0) status = ecru_go(stop_on_sigterm, ecru_token_retain(accepting));
  if (status == 0) {
    ECRU_TOKEN_SCOPE(status, accepting) accepted = accept_requests(pool);
    status = ecru_pool_wait(pool); // outside of the scope: what is in the queue is finished
  }
  ecru_pool_destroy(pool);
  ecru_token_release(accepting);
  printf("drained: %s, %d requests, unanswered: %d\n", ecru_strerror(status), accepted, accepted - atomic_load(&answered));
  *(int *)failed = status != 0 || accepted == 0 || accepted != atomic_load(&answered);
}

int main(void) {
  int failed = 1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, NULL); // before the first use of ecru: the threads of the runtime inherit it
  setvbuf(stdout, NULL, _IOLBF, 0);
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "drain: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
