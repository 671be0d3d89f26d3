// hiredis, unchanged, against redis-server: a thousand connections that wait at once.
#include "server.h"

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>

static char socket_path[96];
static _Atomic int answered;

static bool answers(void) {
  redisContext *c = redisConnectUnix(socket_path);
  bool up = c && !c->err;
  if (c) redisFree(c);
  return up;
}

static void start_redis(void) {
  make_server_directory();
  snprintf(socket_path, sizeof socket_path, "%s/s", server_directory);
  char *arguments[] = {"redis-server", "--port", "0", "--unixsocket", socket_path, "--unixsocketperm", "777", "--save", "", "--appendonly", "no",
                       "--maxclients", "2000", "--tcp-backlog", "128", NULL};
  server = start_program(arguments);
  await_server(answers);
}

static redisContext *connect_to_redis(void) {
  redisContext *c = redisConnectUnix(socket_path);
  CHECK(c != NULL);
  if (c->err) FAIL("%s", c->errstr);
  return c;
}

static ecru_semaphore *doors; // hiredis connects without waiting, and a full queue of a Unix socket is an error then

static void set_wait_get(int i) {
  CHECK_EQ(ecru_semaphore_acquire(doors, 1), 0);
  redisContext *c = connect_to_redis();
  redisReply *reply = redisCommand(c, "SET key:%d value:%d", i, i);
  CHECK(reply && reply->type == REDIS_REPLY_STATUS); // so we have left the queue
  freeReplyObject(reply);
  CHECK_EQ(ecru_semaphore_release(doors, 1), 0);
  reply = redisCommand(c, "BLPOP nothing:%d 0.3", i); // nobody pushes: the server answers in 0.3 s
  CHECK(reply && reply->type == REDIS_REPLY_NIL);
  freeReplyObject(reply);
  reply = redisCommand(c, "GET key:%d", i);
  char expected[32];
  snprintf(expected, sizeof expected, "value:%d", i);
  CHECK(reply && reply->type == REDIS_REPLY_STRING);
  CHECK_STR(reply->str, expected);
  freeReplyObject(reply);
  redisFree(c);
  atomic_fetch_add(&answered, 1);
}

static void thousand(void *unused) {
  (void)unused;
  int count = (int)test_scaled(1000);
  CHECK_EQ(ecru_semaphore_create(&doors, 100), 0);
  int64_t took = concurrently(count, set_wait_get);
  ecru_semaphore_destroy(doors);
  CHECK_EQ(atomic_load(&answered), count);
  CHECK(took < count * (300 * ECRU_MILLISECOND) / 4);
  CHECK(test_threads() < 40);
  fprintf(stderr, "%d waits of 0.3 s: %.2f s, %d threads\n", count, (double)took / 1e9, test_threads());
}

static void timed(void *unused) {
  (void)unused;
  redisContext *c = connect_to_redis();
  struct timeval little = {0, 20000};
  CHECK_EQ(redisSetTimeout(c, little), REDIS_OK); // SO_RCVTIMEO
  CHECK(redisCommand(c, "BLPOP nothing 0") == NULL);
  CHECK_EQ(c->err, REDIS_ERR_IO);
  redisFree(c);
  c = connect_to_redis();
  CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK(redisCommand(c, "BLPOP nothing 0") == NULL);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_STR(c->errstr, strerror(ETIMEDOUT));
  redisFree(c);
}

static void prepare_and_run(void (*body)(void *)) {
  if (system("command -v redis-server >/dev/null") != 0) SKIP("redis-server is missing (ci/setup interpose)");
  if (!have_descriptors(4096)) SKIP("not enough descriptors");
  start_redis();
  in_goroutine(body);
  stop_server(SIGTERM);
}
#else
static void thousand(void *unused) { (void)unused; }
static void timed(void *unused) { (void)unused; }
static void prepare_and_run(void (*body)(void *)) {
  (void)body;
  SKIP("hiredis is missing (ci/setup interpose)");
}
#endif

TEST(redis, a_thousand_waits_overlap) { prepare_and_run(thousand); }       // I7 serial
TEST(redis, timeouts_and_deadlines_end_a_wait) { prepare_and_run(timed); } // I7, K2
