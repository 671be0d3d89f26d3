/// tests/stress/differential.c: random small programs over channels, select, close and cancel, run on ecru and on a
/// sequential reference model. (C2-C7, C11, S2, S4, K2)
///
/// A program is 2 to 4 goroutines with up to 4 operations each on 1 or 2 channels. The model explores every interleaving
/// of its atomic steps by a depth-first search that visits each state once, and collects the outcomes that can come
/// out: for each operation its status, the case picked and the value received; for an operation that waits for ever:
/// "stuck". The same program then runs many times on ecru, with yields strewn in, and each outcome must be one of those.
///
/// The run has come to rest when all that have not ended are parked: seen armed one after the other while no operation
/// ended meanwhile (one that wakes another ends before it parks). Then what is left is stuck and is cancelled.
///
/// ECRU_TEST_SEED repeats a run of programs, ECRU_TEST_ROUNDS says how many are compared: those too large for the model do not
/// count.
#include "chans.h"
#include "runtime/scheduler.h"

#include <stdio.h>

enum { GOROUTINES = 4, OPS = 4, CHANNELS = 2, CASES = 2, STATES_MAX = 60000, RUNS = 12 };
enum { OP_SELECT = 1, OP_CLOSE, OP_CANCEL }; // a send or a receive is a select of one case
enum { NOT_RUN = 0, DONE, CLOSED, FAILED_WITH, AGAIN, CANCELED, STUCK };

typedef struct {
  uint8_t is_send, chan, value;
} model_case;
typedef struct {
  uint8_t kind, cases_count, poll, priority, plain; // plain: not written as a select
  uint8_t chan, with_status, target;
  model_case cases[CASES];
} operation;
typedef struct {
  uint8_t capacity, unbounded, full; // full: ECRU_FULL_*
} channel_kind;
typedef struct {
  int goroutines, channels, counts[GOROUTINES];
  channel_kind kinds[CHANNELS];
  operation ops[GOROUTINES][OPS];
  bool is_target[GOROUTINES]; // somebody may cancel it
} program;

typedef struct {
  uint16_t of[GOROUTINES][OPS]; // status | picked << 4 | value << 8
} outcome;
static uint16_t result(int status, int picked, int value) { return (uint16_t)(status | picked << 4 | value << 8); }

// ---- the model ------------------------------------------------------------------------------------------------------

enum { QUEUE = GOROUTINES * CASES, BUFFER = GOROUTINES * OPS };
typedef struct {
  uint8_t goroutine, place; // of the select's case
} parked;
typedef struct {
  uint8_t next[GOROUTINES], checked[GOROUTINES], blocked[GOROUTINES], fired[GOROUTINES];
  uint8_t closed[CHANNELS]; // 0 open, else CLOSED or FAILED_WITH
  uint8_t buffered[CHANNELS], buffer[CHANNELS][BUFFER];
  uint8_t receivers_count[CHANNELS], senders_count[CHANNELS];
  parked receivers[CHANNELS][QUEUE], senders[CHANNELS][QUEUE];
  outcome outcome;
} state; // bytes without padding in between: compared as memory

typedef struct {
  void *slots;
  uint8_t *used;
  size_t bytes, room, count;
} set;

static void set_start(set *s, size_t bytes, size_t room) {
  s->bytes = bytes;
  s->room = room;
  s->count = 0;
  s->slots = malloc(bytes * room);
  s->used = calloc(room, 1);
}
static void set_end(set *s) {
  free(s->slots);
  free(s->used);
}
static size_t set_slot(const set *s, const void *item) {
  uint64_t hash = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < s->bytes; i++) hash = (hash ^ ((const uint8_t *)item)[i]) * UINT64_C(1099511628211);
  size_t slot = (size_t)(hash ^ hash >> 29) % s->room;
  while (s->used[slot] && memcmp((char *)s->slots + slot * s->bytes, item, s->bytes) != 0) slot = (slot + 1) % s->room;
  return slot;
}
static bool set_has(const set *s, const void *item) { return s->used[set_slot(s, item)]; }
/// returns: it is new.
static bool set_add(set *s, const void *item) {
  size_t slot = set_slot(s, item);
  if (s->used[slot]) return false;
  CHECK(s->count < s->room / 2);
  memcpy((char *)s->slots + slot * s->bytes, item, s->bytes);
  s->used[slot] = 1;
  s->count++;
  return true;
}

typedef struct {
  const program *program;
  set states, outcomes;
  bool too_many;
} model;

static const operation *op_of(const program *p, const state *s, int g) { return &p->ops[g][s->next[g]]; }

static void forget(parked *queue, uint8_t *count, int g) {
  int kept = 0;
  for (int i = 0; i < *count; i++)
    if (queue[i].goroutine != g) queue[kept++] = queue[i];
  for (int i = kept; i < *count; i++) queue[i] = (parked){0, 0};
  *count = (uint8_t)kept;
}

/// Goroutine g's operation ends so, be it running or parked.
static void complete(state *s, int g, int status, int picked, int value) {
  s->outcome.of[g][s->next[g]] = result(status, picked, value);
  s->next[g]++;
  s->checked[g] = s->blocked[g] = 0;
  for (int c = 0; c < CHANNELS; c++) {
    forget(s->receivers[c], &s->receivers_count[c], g);
    forget(s->senders[c], &s->senders_count[c], g);
  }
}

static bool model_ready(const program *p, const state *s, const model_case *c) {
  const channel_kind *kind = &p->kinds[c->chan];
  if (s->closed[c->chan]) return true;
  if (!c->is_send) return s->buffered[c->chan] || s->senders_count[c->chan];
  if (s->receivers_count[c->chan] || kind->unbounded || s->buffered[c->chan] < kind->capacity) return true;
  return kind->full == ECRU_FULL_DROP_NEWEST || kind->full == ECRU_FULL_DROP_OLDEST;
}

static uint8_t take_head(state *s, int chan) {
  uint8_t head = s->buffer[chan][0];
  memmove(s->buffer[chan], s->buffer[chan] + 1, BUFFER - 1);
  s->buffer[chan][BUFFER - 1] = 0;
  s->buffered[chan]--;
  return head;
}
static void append(state *s, int chan, uint8_t value) { s->buffer[chan][s->buffered[chan]++] = value; }

static void model_send(const program *p, state *s, int g, int picked, const model_case *c) {
  const channel_kind *kind = &p->kinds[c->chan];
  if (s->receivers_count[c->chan]) {
    parked first = s->receivers[c->chan][0];
    complete(s, first.goroutine, DONE, first.place, c->value);
  } else if (s->closed[c->chan]) {
    complete(s, g, CLOSED, picked, 0);
    return;
  } else {
    if (!kind->unbounded && s->buffered[c->chan] == kind->capacity) { // a drop policy
      if (kind->full == ECRU_FULL_DROP_OLDEST) take_head(s, c->chan);
      else s->buffer[c->chan][--s->buffered[c->chan]] = 0;
    }
    append(s, c->chan, c->value);
  }
  complete(s, g, DONE, picked, 0);
}

static void model_recv(const program *p, state *s, int g, int picked, const model_case *c) {
  bool has_sender = s->senders_count[c->chan] != 0;
  parked first = s->senders[c->chan][0];
  uint8_t sent = has_sender ? op_of(p, s, first.goroutine)->cases[first.place].value : 0;
  if (!s->buffered[c->chan] && !has_sender) {
    complete(s, g, s->closed[c->chan], picked, 0);
    return;
  }
  uint8_t got = sent;
  if (s->buffered[c->chan]) {
    got = take_head(s, c->chan);
    if (has_sender) append(s, c->chan, sent);
  }
  if (has_sender) complete(s, first.goroutine, DONE, first.place, 0);
  complete(s, g, DONE, picked, got);
}

static void model_park(const program *p, state *s, int g) {
  const operation *op = op_of(p, s, g);
  for (int i = 0; i < op->cases_count; i++) {
    const model_case *c = &op->cases[i];
    parked waiter = {(uint8_t)g, (uint8_t)i};
    if (c->is_send) s->senders[c->chan][s->senders_count[c->chan]++] = waiter;
    else s->receivers[c->chan][s->receivers_count[c->chan]++] = waiter;
  }
  s->blocked[g] = 1;
}

static void model_close(const program *p, state *s, int g) {
  const operation *op = op_of(p, s, g);
  if (s->closed[op->chan]) {
    complete(s, g, CLOSED, 0, 0);
    return;
  }
  s->closed[op->chan] = op->with_status ? FAILED_WITH : CLOSED;
  while (s->receivers_count[op->chan]) {
    parked first = s->receivers[op->chan][0];
    complete(s, first.goroutine, s->closed[op->chan], first.place, 0);
  }
  while (s->senders_count[op->chan]) {
    parked first = s->senders[op->chan][0];
    complete(s, first.goroutine, CLOSED, first.place, 0);
  }
  complete(s, g, DONE, 0, 0);
}

static void explore(model *m, const state *s);

static void explore_select(model *m, const state *s, int g) {
  const program *p = m->program;
  const operation *op = op_of(p, s, g);
  state after;
  if (!op->poll && p->is_target[g] && !s->checked[g]) { // the look at the token and the attempt are two steps
    after = *s;
    if (s->fired[g]) complete(&after, g, CANCELED, 0, 0);
    else after.checked[g] = 1;
    explore(m, &after);
    return;
  }
  bool any = false;
  for (int i = 0; i < op->cases_count && !(any && op->priority); i++) {
    if (!model_ready(p, s, &op->cases[i])) continue;
    any = true;
    after = *s;
    (op->cases[i].is_send ? model_send : model_recv)(p, &after, g, i, &op->cases[i]);
    explore(m, &after);
  }
  if (any) return;
  after = *s;
  if (op->poll) complete(&after, g, AGAIN, 0, 0);
  else if (s->fired[g]) complete(&after, g, CANCELED, 0, 0);
  else model_park(p, &after, g);
  explore(m, &after);
}

static void explore(model *m, const state *s) {
  if (m->states.count >= STATES_MAX) m->too_many = true;
  if (m->too_many || !set_add(&m->states, s)) return;
  const program *p = m->program;
  bool rests = true;
  for (int g = 0; g < p->goroutines; g++) {
    if (s->blocked[g] || s->next[g] == p->counts[g]) continue;
    rests = false;
    const operation *op = op_of(p, s, g);
    if (op->kind == OP_SELECT) {
      explore_select(m, s, g);
      continue;
    }
    state after = *s;
    if (op->kind == OP_CLOSE) {
      model_close(p, &after, g);
    } else {
      after.fired[op->target] = 1;
      if (after.blocked[op->target]) complete(&after, op->target, CANCELED, 0, 0);
      complete(&after, g, DONE, 0, 0);
    }
    explore(m, &after);
  }
  if (!rests) return;
  outcome ending = s->outcome;
  for (int g = 0; g < p->goroutines; g++)
    if (s->blocked[g]) ending.of[g][s->next[g]] = result(STUCK, 0, 0);
  set_add(&m->outcomes, &ending);
}

// ---- the program on ecru --------------------------------------------------------------------------------------------

typedef struct {
  const program *program;
  ecru_chan *chans[CHANNELS];
  ecru_token *tokens[GOROUTINES];
  outcome outcome;
  _Atomic(ecru__waiter *) waiters[GOROUTINES];
  _Atomic int ended[GOROUTINES];
  _Atomic uint32_t progress, final, over;
  uint64_t seed;
} running;
typedef struct {
  running *run;
  int g;
} player;

static int status_of(int status) {
  switch (status) {
  case 0: return DONE;
  case ECRU_ECLOSED: return CLOSED;
  case ECRU_EIO: return FAILED_WITH;
  case ECRU_EAGAIN: return AGAIN;
  case ECRU_ECANCELED: return CANCELED;
  default: FAIL("status %d", status);
  }
}

static uint16_t play_plain(running *r, const operation *op) {
  const model_case *c = &op->cases[0];
  ecru_chan *chan = r->chans[c->chan];
  int64_t value = c->is_send ? c->value : 0;
  int status = c->is_send ? op->poll ? ecru_chan_try_send(chan, &value) : ecru_chan_send(chan, &value)
               : op->poll ? ecru_chan_try_recv(chan, &value)
                          : ecru_chan_recv(chan, &value);
  return result(status_of(status), 0, c->is_send ? 0 : (int)value);
}

static uint16_t play_select(running *r, const operation *op) {
  ecru_case cases[CASES];
  int64_t values[CASES] = {0};
  for (int i = 0; i < op->cases_count; i++) {
    const model_case *c = &op->cases[i];
    if (c->is_send) values[i] = c->value;
    cases[i] = (ecru_case){c->is_send ? ECRU_CASE_SEND : ECRU_CASE_RECV, 0, r->chans[c->chan], &values[i]};
  }
  unsigned flags = (op->poll ? ECRU_SELECT_POLL : 0) | (op->priority ? ECRU_SELECT_PRIORITY : 0);
  int picked = ecru_select(cases, op->cases_count, flags);
  if (picked < 0) return result(status_of(picked), 0, 0);
  return result(status_of(cases[picked].status), picked, op->cases[picked].is_send ? 0 : (int)values[picked]);
}

static uint16_t play_op(running *r, const operation *op) {
  if (op->kind == OP_SELECT) return op->plain ? play_plain(r, op) : play_select(r, op);
  if (op->kind == OP_CANCEL) return result(status_of(ecru_token_cancel(r->tokens[op->target], 0)), 0, 0);
  ecru_chan *chan = r->chans[op->chan];
  return result(status_of(op->with_status ? ecru_chan_close_with(chan, ECRU_EIO) : ecru_chan_close(chan)), 0, 0);
}

static void play(void *argument) {
  player *self = argument;
  running *r = self->run;
  int g = self->g;
  const program *p = r->program;
  uint64_t seed = r->seed + (uint64_t)g * 7919;
  CHECK_EQ(ecru_token_enter(r->tokens[g]), 0);
  ecru__worker *w = ecru__enter();
  atomic_store(&r->waiters[g], w->self);
  ecru__leave(w);
  for (int i = 0; i < p->counts[g]; i++) {
    switch (test_random_below(&seed, 4)) { // a yield is a cancellation point: then it does not yield
    case 0: ecru_yield(); break;
    case 1: sched_yield(); break;
    }
    uint16_t got = play_op(r, &p->ops[g][i]);
    if (atomic_load(&r->final)) { // it waited when all had come to rest
      CHECK_EQ(got, result(CANCELED, 0, 0));
      r->outcome.of[g][i] = result(STUCK, 0, 0);
      break;
    }
    r->outcome.of[g][i] = got;
    atomic_fetch_add(&r->progress, 1);
  }
  CHECK_EQ(ecru_token_leave(), 0);
  atomic_fetch_add(&r->progress, 1);
  atomic_store(&r->ended[g], 1);
}

static void *play_in_thread(void *argument) {
  player *self = argument;
  play(argument);
  while (!atomic_load(&self->run->over)) sched_yield(); // its waiter is still looked at
  return NULL;
}

static bool all_ended(running *r) {
  for (int g = 0; g < r->program->goroutines; g++)
    if (!atomic_load(&r->ended[g])) return false;
  return true;
}

static bool rests(running *r) {
  uint32_t before = atomic_load(&r->progress);
  for (int g = 0; g < r->program->goroutines; g++) {
    if (atomic_load(&r->ended[g])) continue;
    ecru__waiter *waiter = atomic_load(&r->waiters[g]);
    if (!waiter || atomic_load(&waiter->state) != ECRU__ARMED) return false;
  }
  return atomic_load(&r->progress) == before;
}

static void let_others_run(void) {
  ecru_yield();
  sched_yield();
}

static outcome run_program(const program *p, uint64_t *seed, bool with_threads) {
  running r = {.program = p, .seed = test_random(seed)};
  player players[GOROUTINES];
  pthread_t threads[GOROUTINES];
  bool is_thread[GOROUTINES] = {false};
  for (int c = 0; c < p->channels; c++) {
    ecru_chan_options options = ECRU_CHAN_OPTIONS;
    options.unbounded = p->kinds[c].unbounded;
    options.full = p->kinds[c].full;
    CHECK_EQ(ecru_chan_create_with(&r.chans[c], sizeof(int64_t), p->kinds[c].capacity, &options), 0);
  }
  int first = (int)test_random_below(seed, (uint64_t)p->goroutines);
  for (int g = 0; g < p->goroutines; g++) CHECK_EQ(ecru_token_create(&r.tokens[g], NULL, ECRU_FOREVER), 0);
  for (int i = 0; i < p->goroutines; i++) {
    int g = (first + i) % p->goroutines;
    players[g] = (player){&r, g};
    is_thread[g] = with_threads && test_random_below(seed, 2);
    if (is_thread[g]) CHECK_EQ(pthread_create(&threads[g], NULL, play_in_thread, &players[g]), 0);
    else go(play, &players[g]);
  }
  while (!all_ended(&r) && !rests(&r)) let_others_run();
  atomic_store(&r.final, 1);
  for (int g = 0; g < p->goroutines; g++) CHECK_EQ(ecru_token_cancel(r.tokens[g], 0), 0);
  while (!all_ended(&r)) let_others_run();
  atomic_store(&r.over, 1);
  for (int g = 0; g < p->goroutines; g++) {
    if (is_thread[g]) pthread_join(threads[g], NULL);
    ecru_token_release(r.tokens[g]);
  }
  for (int c = 0; c < p->channels; c++) ecru_chan_release(r.chans[c]);
  return r.outcome;
}

// ---- programs -------------------------------------------------------------------------------------------------------

static model_case random_case(const program *p, uint64_t *seed, int value) {
  return (model_case){(uint8_t)test_random_below(seed, 2), (uint8_t)test_random_below(seed, (uint64_t)p->channels), (uint8_t)value};
}

static operation random_op(const program *p, uint64_t *seed, int value) {
  operation op = {.kind = OP_SELECT, .cases_count = 1, .plain = 1};
  uint64_t dice = test_random_below(seed, 20);
  if (dice < 2) {
    op.kind = OP_CLOSE;
    op.chan = (uint8_t)test_random_below(seed, (uint64_t)p->channels);
    op.with_status = (uint8_t)test_random_below(seed, 2);
  } else if (dice < 4) {
    op.kind = OP_CANCEL;
    op.target = (uint8_t)test_random_below(seed, (uint64_t)p->goroutines);
  } else {
    op.poll = test_random_below(seed, 4) == 0;
    op.plain = dice < 12;
    op.priority = !op.plain && test_random_below(seed, 3) == 0;
    op.cases_count = op.plain || test_random_below(seed, 4) == 0 ? 1 : 2;
    for (int i = 0; i < op.cases_count; i++) op.cases[i] = random_case(p, seed, value + i);
  }
  return op;
}

static program random_program(uint64_t *seed) {
  program p = {.goroutines = 2 + (int)test_random_below(seed, GOROUTINES - 1), .channels = 1 + (int)test_random_below(seed, CHANNELS)};
  for (int c = 0; c < p.channels; c++) {
    channel_kind *kind = &p.kinds[c];
    kind->capacity = (uint8_t)test_random_below(seed, 3);
    kind->unbounded = test_random_below(seed, 10) == 0;
    if (!kind->unbounded && kind->capacity > 0 && test_random_below(seed, 6) == 0)
      kind->full = test_random_below(seed, 2) ? ECRU_FULL_DROP_NEWEST : ECRU_FULL_DROP_OLDEST;
  }
  int value = 1;
  for (int g = 0; g < p.goroutines; g++) {
    p.counts[g] = 1 + (int)test_random_below(seed, p.goroutines > 3 ? 3 : OPS);
    for (int i = 0; i < p.counts[g]; i++, value += CASES) {
      p.ops[g][i] = random_op(&p, seed, value);
      if (p.ops[g][i].kind == OP_CANCEL) p.is_target[p.ops[g][i].target] = true;
    }
  }
  return p;
}

static void print_op(const operation *op) {
  if (op->kind == OP_CLOSE) fprintf(stderr, " close%s(%d)", op->with_status ? "_with" : "", op->chan);
  else if (op->kind == OP_CANCEL) fprintf(stderr, " cancel(%d)", op->target);
  else {
    fprintf(stderr, " %s%s%s{", op->plain ? "" : "select", op->poll ? "?" : "", op->priority ? "!" : "");
    for (int i = 0; i < op->cases_count; i++) {
      const model_case *c = &op->cases[i];
      if (c->is_send) fprintf(stderr, " %d<-%d", c->chan, c->value);
      else fprintf(stderr, " <-%d", c->chan);
    }
    fprintf(stderr, " }");
  }
}

static void print(const program *p, const outcome *got) {
  static const char *const names[] = {"not run", "done", "closed", "error", "again", "canceled", "stuck"};
  for (int c = 0; c < p->channels; c++)
    fprintf(stderr, "channel %d: capacity %d%s full %d\n", c, p->kinds[c].capacity, p->kinds[c].unbounded ? " unbounded" : "", p->kinds[c].full);
  for (int g = 0; g < p->goroutines; g++) {
    fprintf(stderr, "goroutine %d:", g);
    for (int i = 0; i < p->counts[g]; i++) {
      print_op(&p->ops[g][i]);
      uint16_t of = got->of[g][i];
      fprintf(stderr, " = %s case %d value %d;", names[of & 15], of >> 4 & 15, of >> 8);
    }
    fprintf(stderr, "\n");
  }
}

/// returns: whether it was compared; no if the model has too many states.
static bool check_program(const program *p, uint64_t *seed, bool with_threads) {
  model m = {.program = p};
  set_start(&m.states, sizeof(state), 2 * STATES_MAX + 7);
  set_start(&m.outcomes, sizeof(outcome), 2 * STATES_MAX + 7);
  state start;
  memset(&start, 0, sizeof start);
  explore(&m, &start);
  for (int run = 0; run < RUNS && !m.too_many; run++) {
    outcome got = run_program(p, seed, with_threads);
    if (set_has(&m.outcomes, &got)) continue;
    print(p, &got);
    FAIL("none of the %zu outcomes of the model (%zu states), run %d", m.outcomes.count, m.states.count, run);
  }
  set_end(&m.states);
  set_end(&m.outcomes);
  return !m.too_many;
}

static void check_programs(bool with_threads) {
  const char *given = getenv("ECRU_TEST_ROUNDS");
  long rounds = given ? strtol(given, NULL, 10) : test_scaled(with_threads ? 500 : 4000);
  uint64_t seed = test_seed();
  printf("seed %llu, %ld programs\n", (unsigned long long)seed, rounds);
  long too_large = 0;
  for (long compared = 0; compared < rounds;) {
    program p = random_program(&seed);
    if (check_program(&p, &seed, with_threads)) compared++;
    else CHECK(++too_large <= rounds / 4 + 10); // else the programs are not what they are meant to be
  }
  printf("%ld more were too large\n", too_large);
}
static void check_goroutines(void *unused) {
  (void)unused;
  check_programs(false);
}
static void check_threads(void *unused) {
  (void)unused;
  check_programs(true);
}

TEST(differential, one_processor_does_what_the_model_allows) { // C2, C3, C4, C5, C6, C11, S2, S4, K2
  with_procs(1, check_goroutines);
}
TEST(differential, two_processors_do_what_the_model_allows) { // C2, C3, C4, C5, C6, C11, S2, S4, K2
  with_procs(2, check_goroutines);
}
TEST(differential, goroutines_and_threads_do_what_the_model_allows) { // C2, C3, C4, C5, C6, C11, S2, S4, K2, G10
  with_procs(2, check_threads);
}
