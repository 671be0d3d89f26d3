/// runtime/time.c: sleeping, timers, tickers, after-funcs (rule K6).
///
/// A sleeper is a timer node on its own stack: nothing is allocated, and the node's claim wakes the sleeper directly.
///
/// A timer is a node in a heap, a box for one tick, and the box's lock over both.
///   1 `active`: a run of the node is to come and counts. It is in a heap (`in_heap`), or has been claimed from it, or is
///     due never.
///   2 A run whose claim came before a stop or reset could take the node from the heap is `stale`: it must not count. Until
///     it has come the node stays out of every heap (ecru__timers_run still holds it); a reset leaves the arming to it.
///   3 Stop and reset empty the box under the same lock. So no older tick can be received once they have returned.
///   4 A claimed node counts as a reference, so a timer may be destroyed while a run is under way.
#include <ecru/time.h>

#include "platform/memory.h"
#include "runtime/local.h"
#include "runtime/scheduler.h"
#include "runtime/select.h"
#include "runtime/token.h"

// ---- sleeping ----------------------------------------------------------------------------------------------------------

static bool wake_sleeper(ecru__worker *w, ecru__timer_node *node) { return ecru__timer_wake(w, node, 0); }

static int sleep_until(ecru__worker **w, int64_t instant_ns) {
  ecru__timer_node node = {.claim = wake_sleeper, .waiter = (*w)->self};
  return ecru__timer_park(w, &node, instant_ns, NULL, NULL, ECRU__WAIT_SLEEP, NULL);
}

int ecru_sleep(int64_t duration_ns) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0 && duration_ns > 0) status = sleep_until(&w, ecru_after(duration_ns));
  ecru__leave(w);
  return status;
}

int ecru_sleep_until(int64_t instant_ns) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0 && instant_ns > ecru__now()) status = sleep_until(&w, instant_ns);
  ecru__leave(w);
  return status;
}

// ---- timers ------------------------------------------------------------------------------------------------------------

enum kind { ONE_SHOT, TICKER, AFTER_FUNC };

struct ecru_timer {
  ecru__timer_node node;
  ecru__tickbox box;           // its lock guards what says `lock`
  _Atomic uint32_t references; // atomic: the owner's and one for each claimed node
  enum kind kind;              // set once
  bool active;                 // lock
  bool in_heap;                // lock: added, and not removed by us
  bool lost;                   // lock: could not be re-armed for want of memory (whoever looks for a tick tries again),
                               // or be run while the runtime stops
  bool stale;                  // lock: a run is under way that must not count
  int64_t when;                // lock: the next instant
  int64_t period;              // lock: a ticker's
  ecru_fn fn;                  // set once: an after-func's ...
  void *argument;              // set once
  ecru_token *token;           // set once, counted: its creator's, as for any goroutine
  struct ecru__binding *scoped; // set once, counted: its creator's
  ecru__mark mark; // handle.h
};

/// What an after-func's goroutine needs.
struct start {
  ecru_fn fn;
  void *argument;
  struct ecru__binding *scoped; // counted
};

static const int64_t try_again_ns = 1000000;

static ecru_timer *timer_of(ecru__timer_node *node) { return (ecru_timer *)(void *)node; }

static void drop_reference(ecru_timer *timer) {
  // acq_rel: all that was done with it happens before it is freed
  if (atomic_fetch_sub_explicit(&timer->references, 1, memory_order_acq_rel) == 1)
    ecru__handle_free(&timer->mark, timer, sizeof *timer);
}

/// Under the lock. returns: 0; ECRU_ENOMEM (it is then not active).
static int arm(ecru__worker *w, ecru_timer *timer, int64_t when) {
  timer->when = when;
  timer->lost = false;
  if (when != ECRU_FOREVER && !timer->stale) {
    if (ecru__timer_add(w, &timer->node, when) != 0) return ECRU_ENOMEM;
    timer->in_heap = true;
  }
  timer->active = true;
  return 0;
}

/// Under the lock: from here on no older tick can be taken and no older run counts. returns: whether that prevented one.
static bool disarm(ecru_timer *timer) {
  bool prevented = timer->active || timer->lost;
  if (timer->in_heap && !ecru__timer_remove(&timer->node)) timer->stale = ecru__timer_is_claimed(&timer->node);
  timer->active = timer->in_heap = timer->lost = false;
  return ecru__tickbox_take_locked(&timer->box, NULL) || prevented;
}

static bool claim(ecru__worker *w, ecru__timer_node *node) {
  (void)w;
  // relaxed: the owner's reference is there, since destroy removes the node first
  atomic_fetch_add_explicit(&timer_of(node)->references, 1, memory_order_relaxed);
  return true;
}

/// The first instant of the phase that lies after now.
static int64_t next_tick(const ecru_timer *timer) {
  int64_t late = ecru__now() - timer->when;
  int64_t missed = late > 0 ? late / timer->period : 0; // taken whole: the phase stays
  int64_t next = timer->when + missed * timer->period;  // not beyond now
  return timer->period > ECRU_FOREVER - next ? ECRU_FOREVER : next + timer->period;
}

/// Arms it where nobody can be told that there is no memory. Those who wait for a tick find out (look_for_lost).
static void arm_or_lose(ecru__worker *w, ecru_timer *timer, int64_t when) {
  if (arm(w, timer, when) == 0) return;
  if (timer->kind == AFTER_FUNC)
    ecru__panic("ecru_after_func", timer, "out of memory: neither the goroutine nor another try can be started");
  timer->lost = true;
}

static void start_goroutine(void *copy) {
  struct start start = *(struct start *)copy;
  ecru__worker *w = ecru__enter();
  if (!w) return;
  ecru__scoped_replace(&w, start.scoped);
  ecru__leave(w);
  start.fn(start.argument);
}

/// Under the lock, which is also the answer to a stop at the same time: it finds the run either prevented or started.
static void run_after_func(ecru__worker *w, ecru_timer *timer) {
  struct start start = {timer->fn, timer->argument, ecru__scoped_retain(timer->scoped)};
  ecru__spawn_spec spec = {.fn = start_goroutine, .copy = &start, .copy_bytes = sizeof start, .token = timer->token};
  int status = ecru__spawn(w, &spec, NULL);
  if (status == 0) return;
  ecru__scoped_unretain(timer->scoped);
  if (status == ECRU_ESHUTDOWN) timer->lost = true; // it will not run: a stop says that it was prevented
  else arm_or_lose(w, timer, ecru__now() + try_again_ns);
}

static void run(ecru__worker *w, ecru__timer_node *node) {
  ecru_timer *timer = timer_of(node);
  ecru__node *taker = NULL;
  ecru__lock_take(&timer->box.lock);
  if (timer->stale) {
    timer->stale = false;
    if (timer->active) arm_or_lose(w, timer, timer->when);
  } else {
    timer->active = timer->in_heap = false;
    if (timer->kind == AFTER_FUNC) run_after_func(w, timer);
    else taker = ecru__tickbox_put_locked(&timer->box, timer->when);
    if (timer->kind == TICKER) arm_or_lose(w, timer, next_tick(timer));
  }
  ecru__lock_drop(&timer->box.lock);
  if (taker) ecru__ready(w, taker->waiter);
  drop_reference(timer);
}

static void release_scoped(struct ecru__binding *scoped) {
  ecru__worker *w = ecru__enter_to_end();
  if (!w) return; // a forked child
  ecru__scoped_release(&w, scoped);
  ecru__leave(w);
}

static int create(ecru_timer **result, enum kind kind, int64_t duration_ns, ecru_fn fn, void *argument) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_timer *timer = ecru__calloc(1, sizeof *timer);
  int status = timer ? 0 : ECRU_ENOMEM;
  if (timer) {
    ecru__handle_begin(&timer->mark);
    timer->node.claim = claim;
    timer->node.run = run;
    atomic_init(&timer->references, 1);
    timer->kind = kind;
    timer->period = duration_ns;
    timer->fn = fn;
    timer->argument = argument;
    if (fn) timer->token = ecru_token_retain(ecru__token_own(w));
    if (fn) timer->scoped = ecru__scoped_retain(w->self->scoped);
    ecru__lock_take(&timer->box.lock); // an after-func starts no sooner than its creator knows it
    status = arm(w, timer, ecru_after(duration_ns));
    if (status == 0) *result = timer;
    ecru__lock_drop(&timer->box.lock);
  }
  ecru__leave(w);
  if (status != 0) ecru_timer_destroy(timer);
  return status;
}

int ecru_timer_create(ecru_timer **timer, int64_t duration_ns) {
  return timer ? create(timer, ONE_SHOT, duration_ns, NULL, NULL) : ECRU_EINVAL;
}

int ecru_ticker_create(ecru_timer **timer, int64_t period_ns) {
  return timer && period_ns > 0 ? create(timer, TICKER, period_ns, NULL, NULL) : ECRU_EINVAL;
}

int ecru_after_func(ecru_timer **timer, int64_t duration_ns, ecru_fn fn, void *argument) {
  return timer && fn ? create(timer, AFTER_FUNC, duration_ns, fn, argument) : ECRU_EINVAL;
}

/// A ticker that was lost comes back, in phase. returns: 0; ECRU_ENOMEM.
static int look_for_lost(ecru__worker *w, ecru_timer *timer) {
  ecru__lock_take(&timer->box.lock);
  int status = timer->lost ? arm(w, timer, timer->when) : 0;
  if (status != 0) timer->lost = true;
  ecru__lock_drop(&timer->box.lock);
  return status;
}

int ecru_timer_wait(ecru_timer *timer, int64_t *scheduled_ns) {
  ECRU__CHECK_HANDLE(timer);
  if (!timer || timer->kind == AFTER_FUNC) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = look_for_lost(w, timer);
  if (status == 0) status = ecru__tickbox_wait(&w, &timer->box, scheduled_ns, timer);
  ecru__leave(w);
  return status;
}

int ecru_timer_try(ecru_timer *timer, int64_t *scheduled_ns) {
  ECRU__CHECK_HANDLE(timer);
  if (!timer || timer->kind == AFTER_FUNC) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = look_for_lost(w, timer);
  if (status == 0 && !ecru__tickbox_take(&timer->box, scheduled_ns)) status = ECRU_EAGAIN;
  ecru__leave(w);
  return status;
}

int ecru_timer_stop(ecru_timer *timer) {
  ECRU__CHECK_HANDLE(timer);
  if (!timer) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&timer->box.lock);
  int prevented = disarm(timer);
  ecru__lock_drop(&timer->box.lock);
  ecru__leave(w);
  return prevented;
}

int ecru_timer_reset(ecru_timer *timer, int64_t duration_ns) {
  ECRU__CHECK_HANDLE(timer);
  if (!timer || (timer->kind == TICKER && duration_ns <= 0)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&timer->box.lock);
  int was_active = disarm(timer);
  timer->period = duration_ns;
  int status = arm(w, timer, ecru_after(duration_ns));
  ecru__lock_drop(&timer->box.lock);
  ecru__leave(w);
  return status != 0 ? status : was_active;
}

void ecru_timer_destroy(ecru_timer *timer) {
  ECRU__CHECK_HANDLE(timer);
  if (!timer || ecru__worker_forked()) return; // in a forked child the lock may be a thread's that is not there (G14)
  ecru__lock_take(&timer->box.lock);
  bool awaited = timer->box.waiters.head != NULL;
  disarm(timer);
  ecru__lock_drop(&timer->box.lock);
  if (awaited) ecru__panic("ecru_timer_destroy", timer, "somebody waits for it");
  ecru__handle_end(&timer->mark);
  // No run counts any more, so these are ours alone. A run under way frees only the memory: user code could not run there.
  ecru_token_release(timer->token);
  if (timer->scoped) release_scoped(timer->scoped);
  drop_reference(timer);
}

ecru__tickbox *ecru__timer_tickbox(ecru_timer *timer) {
  ECRU__CHECK_HANDLE_FOR("ecru_select", timer);
  return timer->kind == AFTER_FUNC ? NULL : &timer->box;
}
