/// runtime/park.c: parking, waking and the switch between goroutines (park.h has the invariants and the protocol).
///
/// A goroutine that parks picks the next one itself and switches straight to it: one switch instead of two through a
/// scheduler context. Only when its processor has nothing at hand it goes to the worker's native stack, where
/// ecru__find_work looks further. What has to happen after the switch (arm the waiter, drop the locks, queue or free the
/// goroutine) is left in worker->post_* and done by whatever runs next on that thread.
#include "platform/rare.h"
#include "platform/tty.h"
#include "runtime/host.h"
#include "runtime/sanitize.h"
#include "runtime/state.h"

#include <stdio.h>
#include <stdlib.h>

bool ecru__claim(ecru__waiter *x) {
  for (;;) {
    uint32_t armed = ECRU__ARMED;
    // acquire: pairs with the release that armed it: what it left behind is visible; release: pairs with its wake-up
    if (ECRU__LIKELY(atomic_compare_exchange_strong_explicit(&x->state, &armed, ECRU__CLAIMED, memory_order_acq_rel,
                                                             memory_order_acquire)))
      return true;
    if (armed != ECRU__INSPECTED) {
      ECRU__RARE(claim_lost); // unit.sync.what_was_given_is_not_taken_back_by_a_cancel
      return false;
    }
    ECRU__RARE(claim_inspected); // stress.dump.disturbs_nobody
    ecru__thread_yield(); // a dump looks at its stack: wait until it is armed again
  }
}

/// The parked context is fully switched out: arm its waiter, look at its token, drop its locks.
static void finish_park(ecru__worker *w) {
  ecru__waiter *x = w->post_waiter;
  void (*release)(void *) = w->post_release;
  void *argument = w->post_argument;
  // release: pairs with the acquire in ecru__claim: the context is saved before anybody can resume it
  atomic_store_explicit(&x->state, ECRU__ARMED, memory_order_release);
  ecru__fence_light(); // pairs with the heavy fence of who fires a token: it sees ARMED or we see fired
  struct ecru__token_head *token = (struct ecru__token_head *)ecru__waiter_token(x); // its scope cannot end: the locks are held
  int32_t fired = atomic_load_explicit(&token->fired, memory_order_acquire);
  bool mine = ECRU__UNLIKELY(fired != 0) && ecru__claim(x);
  if (release) release(argument);
  else ecru__lock_drop(argument);
  if (!mine) return;
  ECRU__RARE(fired_while_parking); // stress.sync.mutex_in_a_crowd_with_cancels
  x->wake_node = NULL;
  x->wake_status = fired;
  ecru__ready(w, x);
}

void ecru__finish_switch(ecru__worker *w) {
  uint32_t kind = w->post_kind;
  w->post_kind = ECRU__POST_NONE;
  if (ECRU__LIKELY(kind == ECRU__POST_PARK)) {
    finish_park(w);
    return;
  }
  ecru__goroutine *g = w->post_goroutine;
  if (kind == ECRU__POST_YIELD) ecru__queue_yielded(w, g);
  else if (kind == ECRU__POST_DEAD) ecru__goroutine_free(w, g);
  else if (kind == ECRU__POST_GLOBAL) ecru__queue_global(g);
}

static void save_thread_state(ecru__worker *w, ecru__goroutine *g) {
  g->saved_errno = *w->errno_place;
  if (ECRU__UNLIKELY(w->exceptions && (w->exceptions[0] || w->exceptions[1]))) {
    g->saved_exceptions[0] = w->exceptions[0];
    g->saved_exceptions[1] = w->exceptions[1];
    w->exceptions[0] = w->exceptions[1] = NULL;
  }
}

static void restore_thread_state(ecru__worker *w, ecru__goroutine *g) {
  *w->errno_place = g->saved_errno;
  if (ECRU__UNLIKELY(g->saved_exceptions[0] || g->saved_exceptions[1])) {
    w->exceptions[0] = g->saved_exceptions[0];
    w->exceptions[1] = g->saved_exceptions[1];
    g->saved_exceptions[0] = g->saved_exceptions[1] = NULL;
  }
}

/// Leaves the running goroutine for the next one. returns, when it is resumed, the worker it then runs on.
ECRU__NO_TSAN ecru__worker *ecru__switch_away(ecru__worker *w) {
  ecru__goroutine *g = ecru__goroutine_of(w->self);
  ecru__goroutine *next = ecru__pick(w);
  save_thread_state(w, g);
  void *to;
  if (ECRU__LIKELY(next != NULL)) {
    w->self = &next->waiter;
    atomic_store_explicit(&next->status, ECRU__ON_CPU, memory_order_relaxed);
    to = next->waiter.context;
    ECRU__ASAN_LEAVE(w->post_kind == ECRU__POST_DEAD ? NULL : &g->asan_fake_stack, next->stack->low, (size_t)1 << next->stack->log2);
    ECRU__TSAN_SWITCH(next->tsan_fiber);
  } else {
    w->self = &w->waiter;
    to = w->native;
    ECRU__ASAN_LEAVE(w->post_kind == ECRU__POST_DEAD ? NULL : &g->asan_fake_stack, w->native_stack_low, w->native_stack_bytes);
    ECRU__TSAN_SWITCH(w->tsan_fiber);
  }
  void *value = ecru__ctx_switch(&g->waiter.context, to, w);
  while (ECRU__UNLIKELY((uintptr_t)value & 1)) value = ecru__inspected(value, g); // a dump asks for our stack
  ECRU__ASAN_ARRIVE(g->asan_fake_stack);
  w = value;
  ecru__finish_switch(w);
  if (ECRU__UNLIKELY(w->host != NULL)) ecru__host_arrive(w, g);
  restore_thread_state(w, g);
  return w;
}

/// Parks a thread on its own futex: foreign threads, goroutines with a thread of their own or on a thread's stack.
void ecru__park_thread(ecru__worker *w, ecru__waiter *x, void (*release)(void *), void *argument) {
  atomic_store_explicit(&x->futex, 0, memory_order_relaxed);
  // Counted down by whoever wakes it: a thread that has been woken but not been scheduled yet does not count as asleep (D1).
  atomic_fetch_add_explicit(&ecru__sched.foreign_parked, 1, memory_order_seq_cst);
  atomic_store_explicit(&x->state, ECRU__ARMED, memory_order_release); // as in finish_park
  ecru__fence_light();
  struct ecru__token_head *token = (struct ecru__token_head *)ecru__waiter_token(x);
  int32_t fired = atomic_load_explicit(&token->fired, memory_order_acquire);
  bool mine = fired != 0 && ecru__claim(x);
  if (release) release(argument);
  else ecru__lock_drop(argument);
  if (mine) {
    ECRU__RARE(fired_while_thread_parks); // stress.sync.mutex_in_a_crowd_with_cancels
    x->wake_node = NULL;
    x->wake_status = fired;
    atomic_fetch_sub_explicit(&ecru__sched.foreign_parked, 1, memory_order_seq_cst);
  } else {
    // Armed, it may have been woken and counted as awake by ecru__ready already: it counts twice then, never not at all.
    if (x->is_thread == ECRU__OWN) ecru__own_sleeps();
    ecru__lend_processor(w);
    ecru__monitor_nudge(); // the last one awake may be going to sleep
    // acquire: pairs with the release in ecru__ready
    while (atomic_load_explicit(&x->futex, memory_order_acquire) == 0) ecru__wait(&x->futex, 0, ECRU_FOREVER);
  }
  atomic_store_explicit(&x->state, ECRU__RUNNING, memory_order_relaxed);
}

static void note_wait(ecru__waiter *x, int reason, const void *object) {
  x->object = object;
  x->since_ns = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  x->reason = (uint8_t)reason;
}

int ecru__park_with(ecru__worker **w, void (*release)(void *), void *argument, int reason, const void *object) {
  ecru__waiter *x = (*w)->self;
  ecru_token *token = ecru__waiter_token(x);
  if (ECRU__UNLIKELY(token != x->attached) && !ecru__token_is_static(token)) ecru__token_attach(x);
  note_wait(x, reason, object);
  if (ECRU__UNLIKELY(x->is_thread & ECRU__NATIVELY)) {
    ecru__park_thread(*w, x, release, argument);
  } else {
    atomic_store_explicit(&ecru__goroutine_of(x)->status, ECRU__WAITING, memory_order_relaxed);
    (*w)->post_kind = ECRU__POST_PARK;
    (*w)->post_waiter = x;
    (*w)->post_release = release;
    (*w)->post_argument = argument;
    ECRU__SET((*w)->processor->parks, (*w)->processor->parks + 1);
    *w = ecru__switch_away(*w);
  }
  x->reason = ECRU__WAIT_NONE;
  return x->wake_status;
}

int ecru__park(ecru__worker **w, ecru__lock *held, int reason, const void *object) {
  return ecru__park_with(w, NULL, held, reason, object);
}

int ecru__park_shielded(ecru__worker **w, ecru__lock *held, int reason, const void *object) {
  ecru__waiter *x = (*w)->self;
  ecru__token_shield(x);
  int status = ecru__park_with(w, NULL, held, reason, object);
  ecru__token_unshield(x);
  return status;
}

void ecru__ready(ecru__worker *w, ecru__waiter *x) {
  if (ECRU__UNLIKELY(x->is_thread & ECRU__NATIVELY)) {
    // release: pairs with the acquire in ecru__park_thread. x may be gone right after it; its address is only a key then.
    _Atomic uint32_t *futex = &x->futex;
    if (x->is_thread == ECRU__OWN) atomic_fetch_add_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&ecru__sched.foreign_parked, 1, memory_order_seq_cst);
    atomic_store_explicit(futex, 1, memory_order_release);
    ecru__wake_one(futex);
    return;
  }
  ecru__goroutine *g = ecru__goroutine_of(x);
  atomic_store_explicit(&x->state, ECRU__RUNNING, memory_order_relaxed); // ours since the claim
  atomic_store_explicit(&g->status, ECRU__RUNNABLE, memory_order_relaxed);
  ecru__processor *p = w->processor;
  if (ECRU__UNLIKELY(x->is_thread == ECRU__HOSTED)) {
    if (g->pinned != w) {
      ecru__deliver_pinned(w, g);
      return;
    }
  } else if (ECRU__UNLIKELY(!p || p->host)) {
    ecru__queue_global(g);
    return;
  }
  if (ECRU__UNLIKELY((p->tick & 63) == 0)) g->ready_ns = ecru__clock_now(); // one in 64 is timed
  if (!p->next) ECRU__SET(p->next, g);
  else ecru__queue_local(w, g);
}

ecru__node *ecru__queue_claim_all(ecru__queue *queue) {
  ecru__node *first = NULL, **last = &first;
  for (ecru__node *node; (node = ecru__queue_claim(queue)) != NULL;) {
    node->next = NULL;
    *last = node;
    last = &node->next;
  }
  return first;
}

void ecru__ready_all(ecru__worker *w, ecru__node *chain) {
  while (chain) {
    ecru__node *following = chain->next; // the node is gone once its waiter runs
    ecru__ready(w, chain->waiter);
    chain = following;
  }
}

void ecru__event_set(ecru__worker *w, ecru__event *event) {
  ecru__lock_take(&event->lock);
  atomic_store_explicit(&event->set, 1, memory_order_release); // release: pairs with ecru__event_is_set
  ecru__node *chain = ecru__queue_claim_all(&event->waiters);
  ecru__lock_drop(&event->lock);
  ecru__ready_all(w, chain);
}

static int event_wait(ecru__worker **w, ecru__event *event, int reason, const void *object,
                      int (*park)(ecru__worker **, ecru__lock *, int, const void *)) {
  if (ecru__event_is_set(event)) return 0;
  ecru__lock_take(&event->lock);
  if (ecru__event_is_set(event)) {
    ecru__lock_drop(&event->lock);
    return 0;
  }
  ecru__node node;
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&event->waiters, &node);
  int status = park(w, &event->lock, reason, object);
  if (status == 0) return 0;
  ecru__lock_take(&event->lock);
  ecru__queue_remove(&event->waiters, &node);
  ecru__lock_drop(&event->lock);
  return status;
}

int ecru__event_wait(ecru__worker **w, ecru__event *event, int reason, const void *object) {
  return event_wait(w, event, reason, object, ecru__park);
}

int ecru__event_wait_shielded(ecru__worker **w, ecru__event *event, int reason, const void *object) {
  return event_wait(w, event, reason, object, ecru__park_shielded);
}

void ecru__panic(const char *function, const void *object, const char *what) {
  ecru__worker *w = ecru__worker_here();
  ecru__goroutine *g = w ? ecru__goroutine_here(w) : NULL;
  unsigned long long address = (uintptr_t)object; // %p reads otherwise from one C library to the next
  ecru__tty_restore_all(); // so that what follows can be read
  if (g)
    fprintf(stderr, "ecru: panic: %s(0x%llx): %s (goroutine %llu%s%s)\n", function, address, what, (unsigned long long)g->id,
            g->name[0] ? " " : "", g->name);
  else
    fprintf(stderr, "ecru: panic: %s(0x%llx): %s (a foreign thread)\n", function, address, what);
  abort();
}
