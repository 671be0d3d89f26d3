/// runtime/waitgroup.c: the wait group (L1): a counter and those who wait until it is 0.
///
/// add and done are one compare-and-swap on one word and do not enter the runtime. Only the done that makes the
/// counter 0 while somebody waits takes the lock. It must be allowed that a waiter destroys the group as soon as its wait has
/// returned, so the word says in which phase the meeting of the last done with the waiters is:
///
///   1 word = counter * 4 + phase. The counter changes by compare-and-swap anywhere; the phase as said here.
///   2 QUIET: nobody waits. The done that reaches 0 touches the group no more after its swap.
///   3 WAITED: somebody waits or waited (the counter is > 0). Set under the lock.
///   4 OWED: the counter has reached 0 in phase WAITED; who did that has yet to take the lock and wake. Until then the
///     counter cannot leave 0 (add stands aside) and a waiter queues even though the counter is 0.
///   5 SETTLED: it has taken the lock, claimed the waiters, and may not have dropped the lock yet. A wait that finds this takes
///     the lock, too, and by that knows that it was dropped; then the phase is QUIET again. In WAITED and SETTLED the
///     last done is through with the group before any wait returns 0.
///   6 A waiter whose token won the claim unlinks its node and changes nothing else.
///
/// Dropped: a fetch_add instead of the swap: 2.4 ns less, but a counter below 0 is then seen by others before it is taken
/// back, and a correct done can be refused for somebody else's mistake. Model: tests/models/waitgroup.pml.
#include <ecru/sync.h>

#include "platform/memory.h"
#include "platform/thread.h"
#include "runtime/scheduler.h"

enum { QUIET = 0, WAITED = 1, OWED = 2, SETTLED = 3, PHASES = 4 };
#define COUNTER_MAX (INT64_MAX / PHASES)
#define COUNTER(word) ((int64_t)((word) / PHASES))

struct ecru_waitgroup {
  _Atomic uint64_t word; // atomic: invariant 1
  ecru__lock lock;
  ecru__queue waiters;   // lock
  ecru__mark mark; // handle.h
};

int ecru_waitgroup_create(ecru_waitgroup **group) {
  if (!group) return ECRU_EINVAL;
  ecru_waitgroup *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  ecru__handle_begin(&made->mark);
  *group = made;
  return 0;
}

void ecru_waitgroup_destroy(ecru_waitgroup *group) {
  ECRU__CHECK_HANDLE(group);
  if (!group) return;
  ecru__lock_take(&group->lock);
  bool waited_on = group->waiters.head != NULL;
  ecru__lock_drop(&group->lock);
  if (waited_on) ecru__panic("ecru_waitgroup_destroy", group, "somebody waits for the group");
  ecru__handle_free(&group->mark, group, sizeof *group);
}

/// Swaps the word. acq_rel: every done happens before the wait that reads 0 or is woken by the last done; add is as good.
static bool swap(ecru_waitgroup *group, uint64_t *word, uint64_t next) {
  return atomic_compare_exchange_weak_explicit(&group->word, word, next, memory_order_acq_rel, memory_order_relaxed);
}

/// The debt of invariant 4.
static void settle(ecru__worker *w, ecru_waitgroup *group) {
  ecru__lock_take(&group->lock);
  // release: pairs with the acquire in wait_for
  atomic_store_explicit(&group->word, SETTLED, memory_order_release);
  ecru__node *chain = ecru__queue_claim_all(&group->waiters);
  ecru__lock_drop(&group->lock); // from here on the group may be gone
  ecru__ready_all(w, chain);
}

/// The counter would become 0 while somebody waits. returns: as add; ECRU_EAGAIN: the word has changed meanwhile.
static __attribute__((noinline)) int reach_zero(ecru_waitgroup *group, uint64_t word) {
  ecru__worker *w = ecru__enter(); // first: once the debt is made it must be paid
  if (!w) return ecru__enter_status();
  bool reached = swap(group, &word, OWED);
  if (reached) settle(w, group);
  ecru__leave(w);
  return reached ? 0 : ECRU_EAGAIN;
}

static inline int add(ecru_waitgroup *group, int64_t delta) {
  uint64_t word = atomic_load_explicit(&group->word, memory_order_relaxed);
  for (;;) {
    int64_t counter = COUNTER(word);
    unsigned phase = word % PHASES;
    if (delta < -counter) return ECRU_EINVAL;
    if (delta > COUNTER_MAX - counter) return ECRU_EOVERFLOW;
    if (ECRU__UNLIKELY(phase == OWED)) {
      ecru__thread_yield(); // the debtor is about to take the lock
      word = atomic_load_explicit(&group->word, memory_order_relaxed);
    } else if (ECRU__UNLIKELY(phase == WAITED && counter + delta == 0)) {
      int status = reach_zero(group, word);
      if (status != ECRU_EAGAIN) return status;
      word = atomic_load_explicit(&group->word, memory_order_relaxed);
    } else if (ECRU__LIKELY(swap(group, &word, word + (uint64_t)delta * PHASES))) {
      return 0;
    }
  }
}

/// A thread ecru has not seen yet, or a forked child (G14).
static __attribute__((noinline)) int add_from_stranger(ecru_waitgroup *group, int64_t delta) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__leave(w);
  return add(group, delta);
}

int ecru_waitgroup_add(ecru_waitgroup *group, int64_t delta) {
  ECRU__CHECK_HANDLE(group);
  if (ECRU__UNLIKELY(!group)) return ECRU_EINVAL;
  if (ECRU__UNLIKELY(delta == 0)) return 0;
  return ECRU__LIKELY(ecru__worker_here() != NULL) ? add(group, delta) : add_from_stranger(group, delta);
}

int ecru_waitgroup_done(ecru_waitgroup *group) {
  ECRU__CHECK_HANDLE(group);
  return ecru_waitgroup_add(group, -1);
}

static void end_of_goroutine(void *group) { add(group, -1); }

int ecru_waitgroup_go(ecru_waitgroup *group, ecru_fn fn, void *argument) {
  ECRU__CHECK_HANDLE(group);
  if (!group || !fn) return ECRU_EINVAL;
  int status = add(group, 1);
  if (status != 0) return status;
  ecru__worker *w = ecru__enter();
  status = w ? 0 : ecru__enter_status();
  if (w) {
    ecru__spawn_spec spec = {.fn = fn, .argument = argument, .at_end = end_of_goroutine, .at_end_argument = group,
                             .site = __builtin_return_address(0)};
    status = ecru__spawn(w, &spec, NULL);
    ecru__leave(w);
  }
  if (status != 0) add(group, -1);
  return status;
}

/// Under the lock: whether the wait is over. If not, the phase is WAITED or OWED: somebody will wake who queues now.
static bool is_over(ecru_waitgroup *group) {
  uint64_t word = atomic_load_explicit(&group->word, memory_order_acquire); // pairs with the releases in swap and settle
  for (;;) {
    uint64_t counter = word / PHASES;
    unsigned phase = word % PHASES;
    if (phase == OWED || phase == WAITED) return false;
    if (counter == 0 && (phase == QUIET || swap(group, &word, QUIET))) return true;
    if (counter > 0 && swap(group, &word, counter * PHASES + WAITED)) return false;
  }
}

static int wait_for(ecru__worker **w, ecru_waitgroup *group) {
  // acquire: pairs with the release in swap. QUIET: the last done is through with the group.
  if (atomic_load_explicit(&group->word, memory_order_acquire) == QUIET) return 0;
  ecru__lock_take(&group->lock);
  if (is_over(group)) {
    ecru__lock_drop(&group->lock);
    return 0;
  }
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&group->waiters, &node);
  int status = ecru__park(w, &group->lock, ECRU__WAIT_WAITGROUP, group);
  if (status == 0) return 0;
  ecru__lock_take(&group->lock);
  ecru__queue_remove(&group->waiters, &node);
  ecru__lock_drop(&group->lock);
  return status;
}

int ecru_waitgroup_wait(ecru_waitgroup *group) {
  ECRU__CHECK_HANDLE(group);
  if (!group) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = wait_for(&w, group);
  ecru__leave(w);
  return status;
}
