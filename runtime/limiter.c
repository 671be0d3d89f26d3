/// runtime/limiter.c: the rate limiter (L1): a token bucket whose waiters are served strictly in order.
///
/// The bucket is one number: the instant at which it was empty. It holds (now - empty_at) / event_ns events, at most
/// `burst`; taking n events moves empty_at forward by n * event_ns. Only the first waiter needs a timer, the limiter's own.
///
///   1 All but what is set once is guarded by the lock. Nobody who waits has been given anything yet; a waiter is claimed with its
///     events already taken.
///   2 `queued` is the sum of what the nodes in the queue want. So the instant of a new waiter's turn is known when it comes:
///     if its deadline is earlier it does not queue at all.
///   3 While the queue is not empty the timer is armed for the first waiter's turn, or `armed` says that its run is under way,
///     which will arm it again.
///   4 A waiter whose token won the claim unlinks its node, and if it was the first arms the timer for the next one: those
///     behind it come the earlier by what it wanted.
///   5 references: the creator's and that of a timer's run under way. The last one frees the limiter.
///
/// Lock order: this lock -> timer heap.
///
/// Dropped: reservations with a sleep of their own (a cancelled one leaves a gap that later ones cannot use without breaking the
/// rate or the order).
#include <ecru/sync.h>
#include <ecru/token.h>

#include <math.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

struct ecru_limiter {
  ecru__lock lock;
  _Atomic uint32_t references; // atomic: invariant 5
  double event_ns;             // set once: time that one event costs
  int64_t burst;               // set once
  int64_t origin;              // set once: what empty_at is relative to
  double empty_at;             // lock
  double queued;               // lock: invariant 2; whole numbers, without overflow
  bool armed;                  // lock: invariant 3
  ecru__queue waiters;         // lock; node->data: how many events it wants
  ecru__timer_node timer;      // lock
  ecru__mark mark; // handle.h
};

static bool timer_claim(ecru__worker *w, ecru__timer_node *timer);
static void timer_run(ecru__worker *w, ecru__timer_node *timer);

int ecru_limiter_create(ecru_limiter **limiter, double rate, int64_t burst) {
  if (!limiter || !isfinite(rate) || rate <= 0 || burst <= 0) return ECRU_EINVAL;
  double event_ns = (double)ECRU_SECOND / rate;
  if (!isfinite((double)burst * event_ns)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter(); // the clock is the runtime's
  if (!w) return ecru__enter_status();
  ecru_limiter *made = ecru__calloc(1, sizeof *made);
  if (made) {
    ecru__handle_begin(&made->mark);
    atomic_init(&made->references, 1);
    made->event_ns = event_ns;
    made->burst = burst;
    made->origin = ecru__now();
    made->empty_at = -(double)burst * event_ns;
    made->timer.claim = timer_claim;
    made->timer.run = timer_run;
    *limiter = made;
  }
  ecru__leave(w);
  return made ? 0 : ECRU_ENOMEM;
}

static void drop_reference(ecru_limiter *limiter) {
  // acq_rel: whatever the others did with it happens before the free
  if (atomic_fetch_sub_explicit(&limiter->references, 1, memory_order_acq_rel) == 1)
    ecru__handle_free(&limiter->mark, limiter, sizeof *limiter);
}

void ecru_limiter_destroy(ecru_limiter *limiter) {
  ECRU__CHECK_HANDLE(limiter);
  if (!limiter) return;
  ecru__lock_take(&limiter->lock);
  bool waited_on = limiter->waiters.head != NULL;
  ecru__lock_drop(&limiter->lock);
  if (waited_on) ecru__panic("ecru_limiter_destroy", limiter, "somebody waits for it");
  ecru__handle_end(&limiter->mark);
  drop_reference(limiter);
}

// ---- the bucket, under the lock -----------------------------------------------------------------------------------

static double since_origin(const ecru_limiter *limiter, int64_t now) { return (double)(now - limiter->origin); }

/// What the bucket cannot hold flows over. Not while somebody waits: what is late is the timer, not the waiter.
static void refill(ecru_limiter *limiter, int64_t now) {
  if (limiter->waiters.head) return;
  double fullest = since_origin(limiter, now) - (double)limiter->burst * limiter->event_ns;
  if (limiter->empty_at < fullest) limiter->empty_at = fullest;
}

/// The first instant at which n events are in the bucket, if none are taken before.
static int64_t turn(const ecru_limiter *limiter, double n) {
  double at = limiter->empty_at + n * limiter->event_ns;
  if (at <= 0) return limiter->origin;
  if (at >= (double)(ECRU_FOREVER - limiter->origin)) return ECRU_FOREVER;
  int64_t whole = (int64_t)at; // not ceil(): the library needs no libm
  return limiter->origin + whole + (at > (double)whole);
}

static bool take(ecru_limiter *limiter, int64_t n, int64_t now) {
  if (turn(limiter, (double)n) > now) return false;
  limiter->empty_at += (double)n * limiter->event_ns;
  return true;
}

static void unlink_node(ecru_limiter *limiter, ecru__node *node) {
  ecru__queue_remove(&limiter->waiters, node);
  limiter->queued -= (double)node->data;
}

/// Puts a waiter that has been unlinked into the chain, if its token was not faster. returns: whether it was claimed.
static bool claim(ecru__node *node, int status, ecru__node **chain) {
  if (!ecru__claim(node->waiter)) return false;
  node->waiter->wake_node = node;
  node->waiter->wake_status = status;
  node->next = *chain;
  *chain = node;
  return true;
}

/// Arms the timer for the first waiter; one for which there is no room in the timer heap is sent home with ECRU_ENOMEM.
static void arm(ecru__worker *w, ecru_limiter *limiter, ecru__node **chain) {
  for (ecru__node *node; !limiter->armed && (node = limiter->waiters.head) != NULL;) {
    limiter->armed = ecru__timer_add(w, &limiter->timer, turn(limiter, (double)node->data)) == 0;
    if (limiter->armed) return;
    unlink_node(limiter, node);
    claim(node, ECRU_ENOMEM, chain);
  }
}

/// The first waiter has left before its turn.
static void rearm(ecru__worker *w, ecru_limiter *limiter, ecru__node **chain) {
  if (limiter->armed && !ecru__timer_remove(&limiter->timer)) return; // its run is under way
  limiter->armed = false;
  arm(w, limiter, chain);
}

// ---- the timer ----------------------------------------------------------------------------------------------------

static ecru_limiter *limiter_of(ecru__timer_node *timer) {
  return (ecru_limiter *)(void *)((char *)timer - offsetof(ecru_limiter, timer));
}

static bool timer_claim(ecru__worker *w, ecru__timer_node *timer) {
  (void)w;
  // relaxed: there are waiters, hence the creator's reference
  atomic_fetch_add_explicit(&limiter_of(timer)->references, 1, memory_order_relaxed);
  return true;
}

/// Wakes a chain that was built from its end.
static void ready_reversed(ecru__worker *w, ecru__node *chain) {
  ecru__node *forward = NULL;
  while (chain) {
    ecru__node *following = chain->next;
    chain->next = forward;
    forward = chain;
    chain = following;
  }
  ecru__ready_all(w, forward);
}

static void timer_run(ecru__worker *w, ecru__timer_node *timer) {
  ecru_limiter *limiter = limiter_of(timer);
  ecru__node *chain = NULL;
  ecru__lock_take(&limiter->lock);
  limiter->armed = false;
  int64_t now = ecru__now();
  for (ecru__node *node; (node = limiter->waiters.head) != NULL && turn(limiter, (double)node->data) <= now;) {
    unlink_node(limiter, node);
    if (claim(node, 0, &chain)) limiter->empty_at += (double)node->data * limiter->event_ns;
  }
  arm(w, limiter, &chain);
  ecru__lock_drop(&limiter->lock);
  ready_reversed(w, chain);
  drop_reference(limiter);
}

// ---- the calls ----------------------------------------------------------------------------------------------------

static void leave_queue(ecru__worker *w, ecru_limiter *limiter, ecru__node *node) {
  ecru__node *chain = NULL;
  ecru__lock_take(&limiter->lock);
  if (node->queued) {
    bool first = limiter->waiters.head == node;
    unlink_node(limiter, node);
    if (first) rearm(w, limiter, &chain);
  }
  ecru__lock_drop(&limiter->lock);
  ready_reversed(w, chain);
}

static int queue_up(ecru__worker **w, ecru_limiter *limiter, int64_t n) {
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  node.data = (uint64_t)n;
  if (!limiter->waiters.head && !limiter->armed) {
    if (ecru__timer_add(*w, &limiter->timer, turn(limiter, (double)n)) != 0) {
      ecru__lock_drop(&limiter->lock);
      return ECRU_ENOMEM;
    }
    limiter->armed = true;
  }
  ecru__queue_push(&limiter->waiters, &node);
  limiter->queued += (double)n;
  int status = ecru__park(w, &limiter->lock, ECRU__WAIT_LIMITER, limiter);
  if (status != 0) leave_queue(*w, limiter, &node);
  return status;
}

static int wait_for(ecru__worker **w, ecru_limiter *limiter, int64_t n) {
  int64_t deadline = ecru_token_deadline(ecru__token_own(*w));
  ecru__lock_take(&limiter->lock);
  int64_t now = ecru__now();
  refill(limiter, now);
  int status = 0;
  if (!limiter->waiters.head && take(limiter, n, now)) status = 0;
  else if (turn(limiter, limiter->queued + (double)n) > deadline) status = ECRU_ETIMEDOUT;
  else return queue_up(w, limiter, n);
  ecru__lock_drop(&limiter->lock);
  return status;
}

int ecru_limiter_wait(ecru_limiter *limiter, int64_t n) {
  ECRU__CHECK_HANDLE(limiter);
  if (!limiter || n <= 0 || n > limiter->burst) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = wait_for(&w, limiter, n);
  ecru__leave(w);
  return status;
}

int ecru_limiter_try(ecru_limiter *limiter, int64_t n) {
  ECRU__CHECK_HANDLE(limiter);
  if (!limiter || n <= 0 || n > limiter->burst) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&limiter->lock);
  int64_t now = ecru__now();
  refill(limiter, now);
  bool taken = !limiter->waiters.head && take(limiter, n, now);
  ecru__lock_drop(&limiter->lock);
  ecru__leave(w);
  return taken ? 0 : ECRU_EAGAIN;
}
