/// tests/stress/chan_programs.c: programs made of channels: a sieve, and power series computed on demand.
#include "chans.h"

#include <stdlib.h>

struct sieve {
  ecru_chan *in, *out, *done;
  int prime;
};
/// Says so although its token has fired.
static void finish_stopped(ecru_chan *done) { CHECK_EQ(ecru_chan_try_send(done, NULL), 0); }

static void generate(void *argument) {
  struct sieve *s = argument;
  for (int i = 2; ecru_chan_send(s->out, &i) == 0; i++) {}
  finish_stopped(s->done);
}
static void filter(void *argument) {
  struct sieve *s = argument;
  for (int i; ecru_chan_recv(s->in, &i) == 0;)
    if (i % s->prime != 0 && ecru_chan_send(s->out, &i) != 0) break;
  finish_stopped(s->done);
}

static void check_sieve(void *unused) {
  (void)unused;
  static const int primes[] = {[0] = 2, [9] = 29, [49] = 229, [99] = 541, [199] = 1223, [499] = 3571};
  int count = (int)test_scaled(500);
  struct sieve *stages = calloc((size_t)count + 1, sizeof *stages);
  ecru_chan *done = chan_of(0, (size_t)count + 1);
  ecru_go_options under = ECRU_GO_OPTIONS;
  CHECK_EQ(ecru_token_create(&under.token, NULL, ECRU_FOREVER), 0);
  stages[0] = (struct sieve){NULL, chan_of(sizeof(int), 0), done, 0};
  CHECK_EQ(ecru_go_with(&under, generate, &stages[0]), 0);
  for (int i = 0; i < count; i++) {
    struct sieve *s = &stages[i + 1];
    *s = (struct sieve){stages[i].out, chan_of(sizeof(int), 0), done, recv_int(stages[i].out)};
    if (primes[i]) CHECK_EQ(s->prime, primes[i]);
    CHECK_EQ(ecru_go_with(&under, filter, s), 0);
  }
  CHECK_EQ(ecru_token_cancel(under.token, 0), 0); // all of them stop
  await(done, count + 1);
  for (int i = 0; i <= count; i++) ecru_chan_release(stages[i].out);
  free(stages);
  ecru_chan_release(done);
  ecru_token_release(under.token);
}

TEST(stress_chan, prime_sieve) { // C2, K2
  with_procs(2, check_sieve);
}

/// Power series as streams of coefficients modulo a prime, computed on demand: each is a goroutine that waits for a
/// request before it computes one coefficient. They all end when their token is cancelled.
enum { MODULUS = 998244353 };
typedef struct {
  ecru_chan *request, *answer;
} series;
typedef struct {
  series u, v, result;
  uint32_t factor;
  ecru_chan *gate; // of a split
} node;
static ecru_chan *series_chans[20000]; // to be released at the end
static _Atomic int series_chans_count;

static ecru_chan *series_chan(size_t bytes) {
  ecru_chan *chan = chan_of(bytes, 0);
  series_chans[atomic_fetch_add(&series_chans_count, 1)] = chan;
  return chan;
}
static series series_new(void) { return (series){series_chan(0), series_chan(sizeof(uint32_t))}; }
static bool asked(series s) { return ecru_chan_recv(s.request, NULL) == 0; }
static bool answer(series s, uint32_t coefficient) { return ecru_chan_send(s.answer, &coefficient) == 0; }
static bool get(series s, uint32_t *coefficient) {
  return ecru_chan_send(s.request, NULL) == 0 && ecru_chan_recv(s.answer, coefficient) == 0;
}
static uint32_t times(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b % MODULUS); }
static uint32_t plus(uint32_t a, uint32_t b) { return (uint32_t)(((uint64_t)a + b) % MODULUS); }

/// The main task may have its coefficients by now, and end all: then what is asked of this one is cancelled.
static void spawn(ecru_fn fn, node n) {
  int status = ecru_go_copy(NULL, fn, &n, sizeof n);
  CHECK(status == 0 || status == ECRU_ESHUTDOWN);
}
static series spawn_series(ecru_fn fn, node n) {
  n.result = series_new();
  spawn(fn, n);
  return n.result;
}

static void run_ones(void *argument) {
  node n = *(node *)argument;
  while (asked(n.result) && answer(n.result, 1)) {}
}
static void run_sum(void *argument) {
  node n = *(node *)argument;
  uint32_t a, b;
  while (asked(n.result) && get(n.u, &a) && get(n.v, &b) && answer(n.result, plus(a, b))) {}
}
static void run_scaled(void *argument) {
  node n = *(node *)argument;
  uint32_t a;
  while (asked(n.result) && get(n.u, &a) && answer(n.result, times(a, n.factor))) {}
}

/// Gives the same coefficients to two readers, whoever of them asks first; a stage for each coefficient. Until the gate opens v is the one that is ahead:
/// the stage before still owes the other, whose questions are not this stage's.
static void run_split(void *argument) {
  node n = *(node *)argument;
  ecru_case cases[] = {recv_case(n.v.request, NULL), recv_case(n.gate, NULL)};
  int first = ecru_select(cases, 2, 0);
  bool gate_open = first == 1;
  if (gate_open) {
    cases[1] = recv_case(n.result.request, NULL);
    first = ecru_select(cases, 2, 0);
  }
  if (first < 0) return;
  series ahead = first == 0 ? n.v : n.result, behind = first == 0 ? n.result : n.v;
  uint32_t coefficient;
  if (!get(n.u, &coefficient)) return;
  node following = {.u = n.u, .v = ahead, .result = behind, .gate = series_chan(0)};
  if (ecru_go_copy(NULL, run_split, &following, sizeof following) != 0) return;
  if (!answer(ahead, coefficient)) return;
  if (!gate_open && ecru_chan_recv(n.gate, NULL) != 0) return; // who is behind catches up first
  if (!asked(behind) || !answer(behind, coefficient)) return;
  ecru_chan_send(following.gate, NULL);
}

static void split(series u, series *left, series *right) {
  *left = series_new();
  node n = {.u = u, .v = *left, .result = *right = series_new(), .gate = series_chan(0)};
  spawn(run_split, n);
  ecru_chan_send(n.gate, NULL);
}

static void run_product(void *argument) { // (u0 + xU)(v0 + xV) = u0 v0 + x (u0 V + v0 U + x U V)
  node n = *(node *)argument;
  uint32_t u0, v0, w;
  if (!asked(n.result) || !get(n.u, &u0) || !get(n.v, &v0) || !answer(n.result, times(u0, v0))) return;
  series u[2], v[2];
  split(n.u, &u[0], &u[1]);
  split(n.v, &v[0], &v[1]);
  series cross = spawn_series(run_sum, (node){.u = spawn_series(run_scaled, (node){.u = v[0], .factor = u0}),
                                              .v = spawn_series(run_scaled, (node){.u = u[0], .factor = v0})});
  if (!asked(n.result) || !get(cross, &w) || !answer(n.result, w)) return;
  series rest = spawn_series(run_product, (node){.u = u[1], .v = v[1]});
  series sum = spawn_series(run_sum, (node){.u = cross, .v = rest});
  while (asked(n.result) && get(sum, &w) && answer(n.result, w)) {}
}

static int power_series(void *unused, void **result) {
  (void)unused, (void)result;
  series ones = spawn_series(run_ones, (node){0}), more = spawn_series(run_ones, (node){0}), third = spawn_series(run_ones, (node){0});
  series square = spawn_series(run_product, (node){.u = ones, .v = more});
  series cube = spawn_series(run_product, (node){.u = square, .v = third});
  uint32_t coefficient;
  for (uint32_t i = 0; i < (uint32_t)test_scaled(20); i++) { // 1 / (1 - x)^3
    CHECK(get(cube, &coefficient));
    CHECK_EQ(coefficient, (i + 1) * (i + 2) / 2);
  }
  return 0;
}

static void check_power_series(void *unused) {
  (void)unused;
  ecru_token *token;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(power_series(NULL, NULL), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  ecru_token_release(token);
}

TEST(stress_chan, power_series) { // C2, S1, S2
  with_procs(2, check_power_series);
  for (int i = 0; i < series_chans_count; i++) ecru_chan_release(series_chans[i]); // all goroutines have ended
}
