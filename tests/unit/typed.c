/// tests/unit/typed.c: the typed macros of ecru/typed.h (G1, C1, S1, K2 in their convenient form).
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <string.h>

#include "test.h"

static void run(ecru_fn fn) { CHECK_EQ(ecru_run(fn, NULL), 0); }

// ---- goroutines with arguments ------------------------------------------------------------------------------------

typedef struct point {
  double x, y;
} point;
typedef int (*binary)(int, int);
typedef char short_text[8];

ECRU_CHAN_DEFINE(text_chan, const char *)
ECRU_CHAN_DEFINE(int_chan, int)
ECRU_CHAN_DEFINE(point_chan, point)

static int_chan answers;
static int_chan new_answers(void) {
  CHECK_EQ(int_chan_create(&answers, 16), 0);
  return answers;
}
static int answer(void) {
  int got = 0;
  CHECK_EQ(int_chan_recv(answers, &got), 0);
  return got;
}

static void none(void) { int_chan_send(answers, 100); }
static int one(int a) { return int_chan_send(answers, a); }
static void two(const char *text, double factor) { int_chan_send(answers, (int)((double)strlen(text) * factor)); }
static void three(int_chan to, point at, binary combine) { int_chan_send(to, combine((int)at.x, (int)at.y)); }
static void four(char a, short b, int c, long d) { int_chan_send(answers, (int)(a + b + c + d)); }
static void five(int a, int b, int c, int d, int e) { int_chan_send(answers, a + b + c + d + e); }
static void six(int a, int b, int c, int d, int e, int f) { int_chan_send(answers, a + b + c + d + e + f); }
static void seven(float a, int b, int c, int d, int e, int f, int g) {
  int_chan_send(answers, (int)a + b + c + d + e + f + g);
}
static void eight(int a, int b, int c, int d, int e, int f, int g, double h) {
  int_chan_send(answers, a + b + c + d + e + f + g + (int)h);
}
ECRU_GO_DECLARE(none)
ECRU_GO_DECLARE(one, int)
ECRU_GO_DECLARE(two, const char *, double)
ECRU_GO_DECLARE(three, int_chan, point, binary)
ECRU_GO_DECLARE(four, char, short, int, long)
ECRU_GO_DECLARE(five, int, int, int, int, int)
ECRU_GO_DECLARE(six, int, int, int, int, int, int)
ECRU_GO_DECLARE(seven, float, int, int, int, int, int, int)
ECRU_GO_DECLARE(eight, int, int, int, int, int, int, int, double)

static int multiply(int a, int b) { return a * b; }

static void go_every_arity(void *unused) {
  (void)unused;
  new_answers();
  CHECK_EQ(ECRU_GO(none), 0);
  CHECK_EQ(answer(), 100);
  CHECK_EQ(ECRU_GO(one, 1), 0);
  CHECK_EQ(answer(), 1);
  CHECK_EQ(ECRU_GO(two, "four", 2.5), 0);
  CHECK_EQ(answer(), 10);
  point at = {6, 7};
  CHECK_EQ(ECRU_GO(three, answers, at, multiply), 0);
  CHECK_EQ(answer(), 42);
  CHECK_EQ(ECRU_GO(four, 1, 2, 3, 4), 0);
  CHECK_EQ(answer(), 10);
  CHECK_EQ(ECRU_GO(five, 1, 2, 3, 4, 5), 0);
  CHECK_EQ(answer(), 15);
  CHECK_EQ(ECRU_GO(six, 1, 2, 3, 4, 5, 6), 0);
  CHECK_EQ(answer(), 21);
  CHECK_EQ(ECRU_GO(seven, 1, 2, 3, 4, 5, 6, 7), 0); // the 1 becomes a float
  CHECK_EQ(answer(), 28);
  CHECK_EQ(ECRU_GO(eight, 1, 2, 3, 4, 5, 6, 7, 8), 0);
  CHECK_EQ(answer(), 36);
  int_chan_release(answers);
}
TEST(typed, go_takes_0_to_8_arguments_of_any_type) { // G1
  run(go_every_arity);
}

static int evaluations;
static int next_number(void) { return ++evaluations; }
static void captures(void *unused) {
  (void)unused;
  new_answers();
  for (int i = 0; i < 10; i++) CHECK_EQ(ECRU_GO(one, i), 0); // each its own i
  int seen = 0;
  for (int i = 0; i < 10; i++) seen |= 1 << answer();
  CHECK_EQ(seen, 0x3FF);
  CHECK_EQ(ECRU_GO(one, next_number()), 0);
  CHECK_EQ(evaluations, 1); // now, in the caller, once
  CHECK_EQ(answer(), 1);
  int_chan_release(answers);
}
TEST(typed, go_captures_by_value_in_the_caller) { // G1
  run(captures);
}

static void tell_name(int prefix) {
  char name[32];
  ecru_name(name, sizeof name);
  int_chan_send(answers, prefix + (strcmp(name, "typed") == 0));
}
ECRU_GO_DECLARE(tell_name, int)
static void go_with_options(void *unused) {
  (void)unused;
  new_answers();
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "typed";
  CHECK_EQ(ECRU_GO_WITH(&options, tell_name, 10), 0);
  CHECK_EQ(answer(), 11);
  options.stack_bytes = 1;
  CHECK_EQ(ECRU_GO_WITH(&options, tell_name, 10), ECRU_EINVAL);
  int_chan_release(answers);
}
TEST(typed, go_takes_options) { // G1, G7
  run(go_with_options);
}

// ---- channels -----------------------------------------------------------------------------------------------------

static void typed_functions(void *unused) {
  (void)unused;
  point_chan points;
  CHECK_EQ(point_chan_create(&points, 2), 0);
  point at = {1.5, 2.5}, got = {0, 0};
  CHECK_EQ(point_chan_send(points, at), 0);
  CHECK_EQ(point_chan_try_send(points, at), 0);
  CHECK_EQ(point_chan_try_send(points, at), ECRU_EAGAIN);
  CHECK_EQ(point_chan_len(points), 2);
  CHECK_EQ(point_chan_recv(points, &got), 0);
  CHECK(got.x == 1.5 && got.y == 2.5);
  CHECK_EQ(point_chan_try_recv(points, NULL), 0);
  CHECK_EQ(point_chan_try_recv(points, &got), ECRU_EAGAIN);
  point_chan again = point_chan_retain(points);
  point_chan_release(again);
  CHECK_EQ(point_chan_close_with(points, ECRU_EIO), 0);
  CHECK_EQ(point_chan_close(points), ECRU_ECLOSED);
  CHECK_EQ(point_chan_recv(points, &got), ECRU_EIO);
  point_chan_release(points);

  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.full = ECRU_FULL_DROP_OLDEST;
  text_chan texts;
  CHECK_EQ(text_chan_create_with(&texts, 1, &options), 0);
  CHECK_EQ(text_chan_send(texts, "old"), 0);
  CHECK_EQ(text_chan_send(texts, "new"), 0);
  const char *text = NULL;
  CHECK_EQ(text_chan_recv(texts, &text), 0);
  CHECK_STR(text, "new");
  text_chan_release(texts);
}
TEST(typed, channels_have_functions_of_their_type) { // C1, C3, C4, C6
  run(typed_functions);
}

static void typed_macros(void *unused) {
  (void)unused;
  ECRU_CHAN(point) points; // a type of its own, for a local
  CHECK_EQ(ECRU_CHAN_CREATE(&points, 4), 0);
  point at = {3, 4}, got;
  CHECK_EQ(ECRU_SEND(points, at), 0);
  CHECK_EQ(ECRU_SEND(points, {5, 6}), 0);
  CHECK_EQ(ECRU_SEND_FROM(points, &at), 0);
  CHECK_EQ(ECRU_TRY_SEND(points, {.y = 8}), 0);
  CHECK_EQ(ECRU_TRY_SEND(points, at), ECRU_EAGAIN);
  CHECK_EQ(ECRU_RECV(points, &got), 0);
  CHECK(got.x == 3 && got.y == 4);
  CHECK_EQ(ECRU_TRY_RECV(points, &got), 0);
  CHECK(got.x == 5 && got.y == 6);
  CHECK_EQ(ECRU_RECV(points, &got), 0);
  CHECK_EQ(ECRU_RECV(points, &got), 0);
  CHECK(got.x == 0 && got.y == 8);
  CHECK_EQ(ECRU_TRY_RECV(points, &got), ECRU_EAGAIN);
  ecru_chan_release(points.chan);

  ECRU_CHAN(long long) numbers;
  CHECK_EQ(ECRU_CHAN_CREATE(&numbers, 1), 0);
  CHECK_EQ(ECRU_SEND(numbers, 1 + 1), 0); // an int, converted
  long long number = 0;
  CHECK_EQ(ECRU_RECV(numbers, &number), 0);
  CHECK_EQ(number, 2);
  ecru_chan_release(numbers.chan);
}
TEST(typed, send_and_receive_macros_convert_to_the_element_type) { // C1, C3
  run(typed_macros);
}

// ---- select -------------------------------------------------------------------------------------------------------

static int nothing(void *argument, void **result) {
  (void)argument, (void)result;
  return 0;
}
static void selects(void *unused) {
  (void)unused;
  int_chan numbers;
  text_chan texts;
  CHECK_EQ(int_chan_create(&numbers, 1), 0);
  CHECK_EQ(text_chan_create(&texts, 1), 0);
  int number = 0;
  const char *text = "out";
  ecru_token *token = ecru_token_background();
  CHECK_EQ(ECRU_SELECT(ECRU_ON_RECV(numbers, &number), ECRU_ON_SEND(texts, &text), ECRU_ON_TOKEN(token)), 1);
  CHECK_EQ(int_chan_send(numbers, 7), 0);
  CHECK_EQ(ECRU_SELECT(ECRU_ON_RECV(numbers, &number), ECRU_ON_SEND(texts, &text)), 0);
  CHECK_EQ(number, 7);
  CHECK_EQ(ECRU_TRY_SELECT(ECRU_ON_RECV(numbers, &number), ECRU_ON_SEND(texts, &text)), ECRU_EAGAIN);
  CHECK_EQ(ECRU_SELECT_UNTIL(ecru_after(ECRU_MILLISECOND), ECRU_ON_RECV(numbers, &number)), ECRU_ETIMEDOUT);

  ecru_task *task = NULL;
  ecru_timer *timer = NULL;
  int64_t instant = 0, before = ecru_now();
  CHECK_EQ(ecru_spawn(&task, nothing, NULL), 0);
  CHECK_EQ(ECRU_SELECT(ECRU_ON_TASK(task), ECRU_ON_RECV(numbers, &number)), 0);
  CHECK_EQ(ecru_timer_create(&timer, 1), 0);
  CHECK_EQ(ECRU_SELECT(ECRU_ON_TIMER(timer, &instant)), 0);
  CHECK(instant >= before);
  ecru_timer_destroy(timer);
  ecru_task_release(task);
  int_chan_release(numbers);
  text_chan_release(texts);
}
TEST(typed, select_macros_build_the_cases) { // S1, S2, S3
  run(selects);
}

// ---- scopes -------------------------------------------------------------------------------------------------------

static int returns_from_scope(void) {
  int status;
  ECRU_DEADLINE_SCOPE(status, ecru_after(ECRU_MILLISECOND)) return ecru_sleep(ECRU_FOREVER);
  return status == 0 ? 1 : status;
}
static int gotos_from_scope(void) {
  int status;
  ECRU_SHIELD_SCOPE(status, ECRU_FOREVER) {
    ECRU_DEADLINE_SCOPE(status, ecru_after(0)) goto out;
  }
out:
  return status;
}
static void leaves(void *unused) {
  (void)unused;
  ecru_token *outside = ecru_token_current();
  int status = 1, times = 0;
  ECRU_DEADLINE_SCOPE(status, ecru_after(ECRU_MILLISECOND)) {
    CHECK_EQ(status, 0);
    CHECK(ecru_token_current() != outside);
    status = ecru_sleep(ECRU_FOREVER);
    times++;
  }
  CHECK_EQ(status, ECRU_ETIMEDOUT);
  CHECK_EQ(times, 1);
  CHECK(ecru_token_current() == outside);
  for (int i = 0; i < 3; i++) {
    ECRU_SHIELD_SCOPE(status, ECRU_FOREVER) {
      if (i == 1) break; // out of the scope
      if (i == 2) continue;
      times++;
    }
    CHECK(ecru_token_current() == outside);
  }
  CHECK_EQ(times, 2);
  CHECK_EQ(returns_from_scope(), ECRU_ETIMEDOUT);
  CHECK(ecru_token_current() == outside);
  CHECK_EQ(gotos_from_scope(), 0);
  CHECK(ecru_token_current() == outside);
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
}
TEST(typed, scopes_are_left_however_the_block_is_left) { // K2
  run(leaves);
}

static void enters_tokens(void *unused) {
  (void)unused;
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  int status, ran = 0;
  ECRU_TOKEN_SCOPE(status, token) {
    CHECK_EQ(ecru_check(), ECRU_ECANCELED);
    int inner;
    ECRU_SHIELD_SCOPE(inner, ecru_after(ECRU_SECOND)) CHECK_EQ(ecru_check(), 0);
    CHECK_EQ(inner, 0);
    ran = 1;
  }
  CHECK_EQ(ran, 1);
  CHECK_EQ(ecru_check(), 0);
  ECRU_TOKEN_SCOPE(status, NULL) ran = 2; // cannot be entered: skipped, nothing to leave
  CHECK_EQ(status, ECRU_EINVAL);
  CHECK_EQ(ran, 1);
  CHECK_EQ(ecru_token_leave(), ECRU_EPERM);
  ecru_token_release(token);
}
TEST(typed, token_scope_skips_its_block_if_it_cannot_be_entered) { // K2
  run(enters_tokens);
}
