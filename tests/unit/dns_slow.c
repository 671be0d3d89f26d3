// Look-ups that hang, fail or come in crowds (I4, I6, K2): this program's getaddrinfo is the one libuv finds.
#include <arpa/inet.h>
#include <ecru/uv.h>
#include <netdb.h>

#include "tests/goroutines.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; // held: look-ups of "slow" hang
static _Atomic int entered, answers_alive;

typedef struct answer {
  struct addrinfo info; // first
  struct sockaddr_in address;
} answer;

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints, struct addrinfo **restrict result) {
  (void)service, (void)hints;
  atomic_fetch_add(&entered, 1);
  if (strcmp(host, "flaky") == 0) return EAI_AGAIN;
  if (strcmp(host, "slow") == 0) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
  }
  answer *a = calloc(1, sizeof *a);
  CHECK(a != NULL);
  atomic_fetch_add(&answers_alive, 1);
  a->address.sin_family = AF_INET;
  a->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a->info = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addr = (struct sockaddr *)&a->address,
                              .ai_addrlen = sizeof a->address};
  *result = &a->info;
  return 0;
}

void freeaddrinfo(struct addrinfo *info) {
  atomic_fetch_sub(&answers_alive, 1);
  free(info);
}

static int resolve(const char *host) {
  ecru_address address;
  return ecru_resolve(host, "tcp", &address, 1);
}

TEST(dns_slow, a_failure_for_now_says_so) { // I6
  CHECK_EQ(resolve("flaky"), ECRU_EDNS);
  CHECK_EQ(resolve("quick"), 1);
}

static void stop_and_check(void) {
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&answers_alive), 0);
}

static void wait_in_vain(void *done) {
  CHECK_EQ(resolve("slow"), ECRU_ECANCELED);
  CHECK_EQ(ecru_chan_try_send(done, NULL), 0); // its token has fired: it does not park any more
}

TEST(dns_slow, a_token_ends_a_look_up_under_way_at_once) { // K2, I4
  ecru_chan *done = signals();
  ecru_token *token;
  pthread_mutex_lock(&gate);
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  go(wait_in_vain, done);
  UNTIL(atomic_load(&entered) == 1);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  await(done, 1); // while the resolver still hangs
  pthread_mutex_unlock(&gate);
  ecru_token_release(token);
  ecru_chan_release(done);
  stop_and_check();
}

static int finish_at_once(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  (void)loop, (void)state;
  ecru_uv_finish(call, 0);
  return 0;
}
/// Whatever has been submitted to the loop's thread has been seen to.
static void flush_loop(void) { CHECK_EQ(ecru_uv_await(finish_at_once, NULL, NULL), 0); }

enum { MOST_AT_ONCE = 1000 };

TEST(dns_slow, a_token_ends_those_that_wait_for_their_turn) { // K2, I4
  ecru_chan *done = signals();
  ecru_token *token;
  pthread_mutex_lock(&gate);
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  long count = test_scaled(MOST_AT_ONCE);
  for (long i = 0; i < count; i++) go(wait_in_vain, done);
  UNTIL(atomic_load(&entered) > 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  await(done, count);
  flush_loop();
  pthread_mutex_unlock(&gate);
  ecru_token_release(token);
  ecru_chan_release(done);
  stop_and_check();
  CHECK(atomic_load(&entered) <= 32); // the others were taken back before a thread of the pool got to them
}

TEST(dns_slow, a_deadline_ends_a_look_up) { // K2
  pthread_mutex_lock(&gate);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(resolve("slow"), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  pthread_mutex_unlock(&gate);
  stop_and_check();
}

static void stop_with_grace(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(resolve("slow"), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
}

TEST(dns_slow, a_stop_leaves_behind_what_does_not_end) { // G13
  ecru_options options = ECRU_OPTIONS;
  options.grace_ns = ECRU_SECOND; // it is waited for in vain; the goroutine that calls needs some of it to end, on a busy machine
  CHECK_EQ(resolve("quick"), 1);
  CHECK_EQ(ecru_stop(), 0);
  int before = test_threads(); // libuv's pool stays
  pthread_mutex_lock(&gate);
  with_options(&options, stop_with_grace); // which stops the runtime, although the resolver hangs
  CHECK_EQ(resolve("quick"), 1);           // with a new loop
  pthread_mutex_unlock(&gate);
  CHECK_EQ(ecru_stop(), 0);
  SPIN_UNTIL(atomic_load(&answers_alive) == 0);
  SPIN_UNTIL(test_threads() <= before); // the thread left behind has ended; one that was joined may have been listed then
}

static void look_up_slow(void *done) {
  CHECK_EQ(resolve("slow"), 1);
  finish(done);
}

static ecru_io *near, *far;
static void echo(void *done) {
  char byte;
  while (ecru_io_read(far, &byte, 1) == 1) CHECK_EQ(ecru_io_write(far, &byte, 1, NULL), 1);
  finish(done);
}

TEST(dns_slow, ten_thousand_look_ups_stall_no_socket) { // I6, G2
  ecru_chan *done = signals();
  long count = test_scaled(10000);
  char byte = 'x';
  pthread_mutex_lock(&gate);
  CHECK_EQ(ecru_io_pair(&near, &far), 0);
  go(echo, done);
  for (long i = 0; i < count; i++) go(look_up_slow, done);
  UNTIL(atomic_load(&entered) > 0);
  for (int i = 0; i < 100; i++) { // not one look-up ends meanwhile
    CHECK_EQ(ecru_io_write(near, &byte, 1, NULL), 1);
    CHECK_EQ(ecru_io_read(near, &byte, 1), 1);
  }
  pthread_mutex_unlock(&gate);
  CHECK_EQ(ecru_io_close(near), 0);
  await(done, count + 1);
  ecru_io_release(near);
  ecru_io_release(far);
  ecru_chan_release(done);
  stop_and_check();
}
