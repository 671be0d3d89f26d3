// Any libuv request as a call that parks, and ecru inside a loop that the application runs (I7).
#include <ecru/uv.h>
#include <netinet/in.h>

#include "tests/goroutines.h"

extern char **environ; // POSIX has it in no header

// ---- calls -------------------------------------------------------------------------------------------------------------

typedef struct random_bytes {
  uv_random_t request;
  ecru_uv_call *call;
  unsigned char bytes[16];
} random_bytes;

static void random_done(uv_random_t *random, int status, void *bytes, size_t count) {
  (void)bytes;
  ecru_uv_finish(((random_bytes *)random->data)->call, status < 0 ? status : (int64_t)count);
}
static int start_random(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  random_bytes *r = state;
  r->call = call;
  r->request.data = r;
  return uv_random(loop, &r->request, r->bytes, sizeof r->bytes, 0, random_done);
}

TEST(uv, a_request_is_a_call_that_parks) { // I7
  random_bytes r = {.call = NULL};
  unsigned sum = 0;
  CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
  for (int i = 0; i < 16; i++) sum += r.bytes[i];
  CHECK(sum > 0);
}

static int fail_to_start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  (void)loop, (void)state, (void)call;
  return UV_EMFILE;
}

TEST(uv, one_that_does_not_start_says_why) { // I7
  int abandoned = 7;
  CHECK_EQ(ecru_uv_await(fail_to_start, NULL, NULL), ECRU_EMFILE);
  CHECK_EQ(ecru_uv_await_or_abandon(fail_to_start, NULL, free, NULL, &abandoned), ECRU_EMFILE);
  CHECK_EQ(abandoned, 0);
  CHECK_EQ(ecru_uv_await(NULL, NULL, NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_uv_await_or_abandon(fail_to_start, NULL, NULL, NULL, &abandoned), ECRU_EINVAL);
}

TEST(uv, its_codes_are_ours) { // I7
  CHECK_EQ(ecru_uv_status(5), 5);
  CHECK_EQ(ecru_uv_status(UV_ENOENT), ECRU_ENOENT);
  CHECK_EQ(ecru_uv_status(UV_EOF), ECRU_EEOF);
  CHECK_EQ(ecru_uv_status(UV_EAI_NONAME), ECRU_ENOHOST);
  CHECK_EQ(ecru_uv_status(-99999), ECRU_EUNKNOWN);
}

TEST(uv, its_pool_is_larger_without_a_trace_in_the_environment) { // I6
  random_bytes r = {.call = NULL};
  char **before = environ;
  size_t count = 0, after = 0;
  while (before[count]) count++;
  int threads = test_threads();
  CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
  CHECK(getenv("UV_THREADPOOL_SIZE") == NULL);
  while (environ[after]) after++;
  CHECK_EQ(after, count);
  CHECK(test_threads() >= threads + 32);
}

TEST(uv, its_pool_is_as_large_as_the_user_says) { // I6
  random_bytes r = {.call = NULL};
  CHECK_EQ(setenv("UV_THREADPOOL_SIZE", "3", 1), 0);
  CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
  CHECK(test_threads() < 32);
  CHECK_STR(getenv("UV_THREADPOOL_SIZE"), "3");
}

/// A timer that would fire in an hour, ended by closing it.
typedef struct patience {
  uv_timer_t timer;
  ecru_uv_call *call;
} patience;
static _Atomic int begun, disposed;
static void patience_closed(uv_handle_t *timer) { ecru_uv_finish(((patience *)timer->data)->call, UV_ECANCELED); }
static void patience_fired(uv_timer_t *timer) { uv_close((uv_handle_t *)timer, patience_closed); }
static int start_patience(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  patience *p = state;
  p->call = call;
  p->timer.data = p;
  uv_timer_init(loop, &p->timer);
  atomic_fetch_add(&begun, 1);
  return uv_timer_start(&p->timer, patience_fired, 3600 * 1000, 0);
}
static void cancel_patience(void *state) { uv_close((uv_handle_t *)&((patience *)state)->timer, patience_closed); }
static void dispose_patience(void *state) {
  free(state);
  atomic_fetch_add(&disposed, 1);
}

static void cancel_once_begun(void *token) {
  UNTIL(atomic_load(&begun) > 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
}
static ecru_token *enter_token_that_fires_once_begun(void) {
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(cancel_once_begun, token);
  CHECK_EQ(ecru_token_enter(token), 0);
  return token;
}

TEST(uv, a_token_cancels_a_call_and_waits_for_its_end) { // I7, K2
  patience p; // on the stack
  ecru_token *token = enter_token_that_fires_once_begun();
  CHECK_EQ(ecru_uv_await(start_patience, cancel_patience, &p), ECRU_ECANCELED);
  CHECK(uv_is_closing((uv_handle_t *)&p.timer));
  CHECK_EQ(ecru_uv_await(start_patience, cancel_patience, &p), ECRU_ECANCELED);
  CHECK_EQ(atomic_load(&begun), 1); // not a second time
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
}

TEST(uv, an_abandoned_call_frees_itself) { // I7, K2
  patience *p = malloc(sizeof *p);
  int abandoned = 0;
  ecru_token *token = enter_token_that_fires_once_begun();
  CHECK_EQ(ecru_uv_await_or_abandon(start_patience, cancel_patience, dispose_patience, p, &abandoned), ECRU_ECANCELED);
  CHECK_EQ(abandoned, 1);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&disposed), 1);
}

static int call_from_the_loop(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  (void)loop, (void)state;
  ecru_uv_finish(call, -ecru_uv_await(fail_to_start, NULL, NULL));
  return 0;
}
TEST(uv, the_loop_does_not_wait_for_itself) { // I7
  CHECK_EQ(ecru_uv_await(call_from_the_loop, NULL, NULL), -ECRU_EDEADLK);
}

static void call_often(void *done) {
  random_bytes r;
  for (int i = 0; i < 20; i++) CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
  finish(done);
}

static void cancel_often(void *done) {
  for (int i = 0; i < 20; i++) {
    patience p;
    CHECK_EQ(ecru_deadline_enter(ecru_after(i * 10 * ECRU_MICROSECOND)), 0);
    CHECK_EQ(ecru_uv_await(start_patience, cancel_patience, &p), ECRU_ETIMEDOUT);
    CHECK_EQ(ecru_token_leave(), 0);
  }
  finish(done);
}

TEST(uv, many_call_and_cancel_at_once) { // I7
  ecru_chan *done = signals();
  int count = (int)test_scaled(100);
  for (int i = 0; i < count; i++) {
    go(call_often, done);
    go(cancel_often, done);
  }
  await(done, 2 * count);
  ecru_chan_release(done);
}

static void use_and_stop(void *unused) {
  random_bytes r;
  (void)unused;
  CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
}

TEST(uv, a_stop_leaves_nothing_and_a_start_makes_it_anew) { // G13
  use_and_stop(NULL);
  CHECK_EQ(ecru_stop(), 0);
  int fds = test_open_fds(), threads = test_threads();
  for (int i = 0; i < 10; i++) CHECK_EQ(ecru_run(use_and_stop, NULL), 0);
  CHECK_EQ(test_open_fds(), fds);
  SPIN_UNTIL(test_threads() <= threads); // one that was joined may be listed for a moment, also in `threads`; ten are more than that
}

// ---- virtual time ------------------------------------------------------------------------------------------------------

/// A request that takes 20 ms of real time.
static int start_nap(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  patience *p = state;
  p->call = call;
  p->timer.data = p;
  uv_timer_init(loop, &p->timer);
  uv_update_time(loop);
  return uv_timer_start(&p->timer, patience_fired, 20, 0);
}
static void await_nap(void) {
  patience p;
  CHECK_EQ(ecru_uv_await(start_nap, NULL, &p), ECRU_ECANCELED);
}
static void await_nap_or_abandon(void) {
  patience *p = malloc(sizeof *p);
  int abandoned = 1;
  CHECK_EQ(ecru_uv_await_or_abandon(start_nap, NULL, free, p, &abandoned), ECRU_ECANCELED);
  CHECK_EQ(abandoned, 0);
  free(p);
}
static void look_up_a_name(void) {
  ecru_address address;
  CHECK_EQ(ecru_resolve("localhost", "ip", &address, 1), 1);
}
static void stat_a_file(void) {
  ecru_file_info info = ECRU_FILE_INFO;
  CHECK_EQ(ecru_path_stat("/", &info), 0);
}
static const char *const nap[] = {"sh", "-c", "sleep 0.02; echo done", NULL};
static void wait_for_a_child(void) {
  ecru_process *process;
  CHECK_EQ(ecru_process_start(NULL, &process, nap), 0);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), 0);
  ecru_process_release(process);
}
static void read_from_a_child(void) {
  ecru_process_result result = ECRU_PROCESS_RESULT;
  CHECK_EQ(ecru_process_run(NULL, nap, NULL, 0, 100, &result), 0);
  CHECK_STR(result.output, "done\n");
  free(result.output);
  free(result.errors);
}
static void (*const outside[])(void) = {await_nap, await_nap_or_abandon, look_up_a_name, stat_a_file, wait_for_a_child, read_from_a_child};
enum { OUTSIDE = sizeof outside / sizeof *outside };

static void sleep_an_hour(void *done) {
  CHECK_EQ(ecru_sleep(3600 * ECRU_SECOND), 0);
  finish(done);
}

static void call_outside(void *unused) {
  (void)unused;
  ecru_chan *done = signals();
  for (int i = 0; i < OUTSIDE; i++) {
    int64_t before = ecru_now();
    go(sleep_an_hour, done);
    ecru_yield(); // it sleeps
    outside[i]();
    CHECK_EQ(ecru_now(), before);
    await(done, 1);
    CHECK_EQ(ecru_now(), before + 3600 * ECRU_SECOND);
  }
  ecru_chan_release(done);
}

static ecru_options in_virtual_time_options(void) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  CHECK_EQ(ecru_clock_virtual_create(&options.clock, ECRU_SECOND), 0);
  return options;
}

TEST(uv, virtual_time_does_not_jump_while_it_works) { // K7, I6, I7
  ecru_options options = in_virtual_time_options();
  with_options(&options, call_outside);
  ecru_clock_destroy(options.clock);
}

static _Atomic bool nap_begun, nap_over;
static void nap_fired(uv_timer_t *timer) {
  atomic_store(&nap_over, true);
  patience_fired(timer);
}
static int start_noted_nap(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  patience *p = state;
  start_nap(loop, state, call);
  atomic_store(&nap_begun, true);
  return uv_timer_start(&p->timer, nap_fired, 20, 0);
}
static void sleep_meanwhile(void *done) {
  UNTIL(atomic_load(&nap_begun));
  CHECK_EQ(ecru_sleep(3600 * ECRU_SECOND), 0);
  CHECK(atomic_load(&nap_over));
  finish(done);
}

TEST(uv, a_foreign_thread_that_waits_for_it_holds_virtual_time) { // K7, G10
  ecru_options options = in_virtual_time_options();
  patience p;
  CHECK_EQ(ecru_start(&options), 0);
  ecru_chan *done = signals();
  go(sleep_meanwhile, done);
  CHECK_EQ(ecru_uv_await(start_noted_nap, NULL, &p), ECRU_ECANCELED);
  await(done, 1); // it jumps now
  ecru_chan_release(done);
  CHECK_EQ(ecru_stop(), 0);
  ecru_clock_destroy(options.clock);
}

// ---- an application with a loop, a timer and a TCP server of its own -----------------------------------------------------

static struct application {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_tcp_t server, client;
  uv_buf_t reply;
  int port;
  int ticks, served;
  uv_async_t news;
} application;

static void served_one(uv_handle_t *client) {
  (void)client;
  application.served++;
}
static void replied(uv_write_t *write, int status) {
  CHECK_EQ(status, 0);
  uv_close((uv_handle_t *)write->handle, served_one);
}
static void connected(uv_stream_t *server, int status) {
  static uv_write_t write;
  CHECK_EQ(status, 0);
  CHECK_EQ(uv_tcp_init(server->loop, &application.client), 0);
  CHECK_EQ(uv_accept(server, (uv_stream_t *)&application.client), 0);
  application.reply = uv_buf_init((char *)"hello", 5);
  CHECK_EQ(uv_write(&write, (uv_stream_t *)&application.client, &application.reply, 1, replied), 0);
}
static void tick(uv_timer_t *timer) {
  (void)timer;
  application.ticks++;
}

/// All of it in goroutines, while the loop runs in the thread that started them.
static void use_everything(void *unused) {
  (void)unused;
  ecru_address address;
  ecru_file_info info = ECRU_FILE_INFO;
  ecru_process_result result = ECRU_PROCESS_RESULT;
  char text[32], data[8];
  random_bytes r;
  ecru_io *io;
  CHECK_EQ(ecru_resolve("localhost", "ip4", &address, 1), 1);
  CHECK_EQ(ecru_path_stat("/", &info), 0);
  CHECK_EQ(ecru_process_run(NULL, (const char *const[]){"echo", "hello", NULL}, NULL, 0, 100, &result), 0);
  CHECK_STR(result.output, "hello\n");
  free(result.output);
  free(result.errors);
  CHECK_EQ(ecru_uv_await(start_random, NULL, &r), 16);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_uv_await(start_patience, cancel_patience, &(patience){.call = NULL}), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  snprintf(text, sizeof text, "127.0.0.1:%d", application.port);
  CHECK_EQ(ecru_dial(&io, "tcp", text), 0);
  CHECK_EQ(ecru_io_read(io, data, sizeof data), 5);
  ecru_io_release(io);
  CHECK_EQ(uv_async_send(&application.news), 0);
}

static void finish_application(uv_async_t *news) {
  if (ecru_uv_detach() != 0) { // a child's handle may still be about to close
    CHECK_EQ(uv_async_send(news), 0);
    return;
  }
  uv_close((uv_handle_t *)news, NULL);
  uv_close((uv_handle_t *)&application.timer, NULL);
  uv_close((uv_handle_t *)&application.server, NULL);
}

static void serve(void) {
  struct sockaddr_in any;
  struct sockaddr_storage bound;
  int bytes = sizeof bound;
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &any), 0);
  CHECK_EQ(uv_tcp_init(&application.loop, &application.server), 0);
  CHECK_EQ(uv_tcp_bind(&application.server, (struct sockaddr *)&any, 0), 0);
  CHECK_EQ(uv_listen((uv_stream_t *)&application.server, 8, connected), 0);
  CHECK_EQ(uv_tcp_getsockname(&application.server, (struct sockaddr *)&bound, &bytes), 0);
  application.port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

TEST(uv, ecru_lives_in_an_applications_loop) { // I7
  CHECK_EQ(uv_loop_init(&application.loop), 0);
  CHECK_EQ(uv_timer_init(&application.loop, &application.timer), 0);
  CHECK_EQ(uv_timer_start(&application.timer, tick, 1, 1), 0);
  CHECK_EQ(uv_async_init(&application.loop, &application.news, finish_application), 0);
  serve();
  CHECK_EQ(ecru_uv_detach(), ECRU_ENOENT);
  CHECK_EQ(ecru_uv_attach(NULL), ECRU_EINVAL);
  CHECK_EQ(ecru_uv_attach(&application.loop), 0);
  CHECK_EQ(ecru_uv_attach(&application.loop), ECRU_EEXIST);
  go(use_everything, NULL);
  CHECK_EQ(uv_run(&application.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(&application.loop), 0);
  CHECK(application.ticks > 0);
  CHECK_EQ(application.served, 1);
}

static void *detach_elsewhere(void *unused) {
  CHECK_EQ(ecru_uv_detach(), ECRU_EPERM);
  return unused;
}

TEST(uv, only_the_loops_thread_takes_it_back) { // I7
  uv_loop_t loop;
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(ecru_uv_attach(&loop), 0);
  join_thread(start_thread(detach_elsewhere, NULL));
  CHECK_EQ(ecru_uv_await(fail_to_start, NULL, NULL), ECRU_EDEADLK); // it would wait for itself
  CHECK_EQ(ecru_uv_detach(), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(&loop), 0);
  CHECK_EQ(ecru_uv_await(fail_to_start, NULL, NULL), ECRU_EMFILE); // on our own again
}

// ---- terminals ---------------------------------------------------------------------------------------------------------

#include <fcntl.h>

TEST(uv, a_terminal_is_read_like_a_pipe) { // I1
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) SKIP("no pseudo-terminals here");
  CHECK_EQ(grantpt(master), 0);
  CHECK_EQ(unlockpt(master), 0);
  int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(terminal >= 0);
  ecru_io *user, *program;
  char line[16];
  CHECK_EQ(ecru_io_adopt(&user, master, 0), 0);
  CHECK_EQ(ecru_io_adopt(&program, terminal, ECRU_IO_KEEP_OPEN), 0);
  CHECK_EQ(ecru_io_write(user, "hello\n", 6, NULL), 6);
  CHECK_EQ(ecru_io_read(program, line, sizeof line), 6);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_read(program, line, sizeof line), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_io_release(program);
  CHECK_EQ(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0); // as it was
  close(terminal);
  ecru_io_release(user);
}
