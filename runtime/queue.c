/// runtime/queue.c: the run queues. Each processor has a bounded ring: its owner pushes at the tail and pops at the head,
/// thieves take half from the head with one compare-and-swap. What does not fit goes, half a ring at a time, to the global
/// queue. `next` (scheduler.h) stands before the ring and is the owner's alone: the goroutine just woken runs next on
/// the same processor, costs no atomic operation and is not torn away from its partner by a thief.
///
/// The ring follows the protocol of Go's scheduler (proved in tests/models/steal.pml): head and tail are free-running; an
/// element is owned by whoever advances head past it; a slot is rewritten only after head has passed it.
#include "runtime/state.h"

static void global_append(ecru__goroutine *head, ecru__goroutine *tail, uint32_t count) {
  tail->queue_next = NULL;
  if (ecru__sched.global_tail) ecru__sched.global_tail->queue_next = head;
  else ecru__sched.global_head = head;
  ecru__sched.global_tail = tail;
  uint32_t now = atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) + count;
  atomic_store_explicit(&ecru__sched.global_count, now, memory_order_release);
}

void ecru__queue_global_chain(ecru__goroutine *head, ecru__goroutine *tail, uint32_t count) {
  ecru__lock_take(&ecru__sched.global_lock);
  global_append(head, tail, count);
  ecru__lock_drop(&ecru__sched.global_lock);
  // seq_cst: pairs with the fence of a worker going idle: it sees the queue or we see it idle
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_seq_cst) != 0 &&
      atomic_load_explicit(&ecru__sched.spinning, memory_order_seq_cst) == 0)
    ecru__wake_worker();
}

void ecru__queue_global(ecru__goroutine *g) { ecru__queue_global_chain(g, g, 1); }

/// The ring is full: moves its older half and g to the global queue. false: a thief made room meanwhile.
static bool overflow(ecru__processor *p, ecru__goroutine *g, uint32_t head, uint32_t tail) {
  enum { HALF = ECRU__RING / 2 };
  ecru__goroutine *batch[HALF + 1];
  if (tail - head != ECRU__RING) return false;
  for (uint32_t i = 0; i < HALF; i++)
    batch[i] = atomic_load_explicit(&p->ring[(head + i) % ECRU__RING], memory_order_relaxed);
  // acq_rel: pairs with the other takers' compare-and-swap on head
  if (!atomic_compare_exchange_strong_explicit(&p->head, &head, head + HALF, memory_order_acq_rel, memory_order_relaxed))
    return false;
  batch[HALF] = g;
  for (uint32_t i = 0; i < HALF; i++) batch[i]->queue_next = batch[i + 1];
  ecru__queue_global_chain(batch[0], batch[HALF], HALF + 1);
  return true;
}

static void ring_push(ecru__processor *p, ecru__goroutine *g) {
  for (;;) {
    uint32_t head = atomic_load_explicit(&p->head, memory_order_acquire); // acquire: pairs with takers' advance of head
    uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
    if (ECRU__LIKELY(tail - head < ECRU__RING)) {
      atomic_store_explicit(&p->ring[tail % ECRU__RING], g, memory_order_relaxed);
      atomic_store_explicit(&p->tail, tail + 1, memory_order_release); // release: pairs with the thieves' acquire of tail
      return;
    }
    if (overflow(p, g, head, tail)) return;
  }
}

void ecru__queue_local(ecru__worker *w, ecru__goroutine *g) {
  ring_push(w->processor, g);
  ecru__maybe_wake();
}

/// g has yielded: it goes behind the others here. Wakes nobody: this processor comes back to it by itself.
void ecru__queue_yielded(ecru__worker *w, ecru__goroutine *g) { ring_push(w->processor, g); }

ecru__goroutine *ecru__queue_pop(ecru__processor *p) {
  uint32_t head = atomic_load_explicit(&p->head, memory_order_acquire);
  for (;;) {
    uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
    if (tail == head) return NULL;
    ecru__goroutine *g = atomic_load_explicit(&p->ring[head % ECRU__RING], memory_order_relaxed);
    // acq_rel: pairs with the thieves' compare-and-swap; only its winner owns g
    if (atomic_compare_exchange_weak_explicit(&p->head, &head, head + 1, memory_order_acq_rel, memory_order_acquire)) return g;
  }
}

ecru__goroutine *ecru__queue_global_pop(ecru__processor *p) {
  uint32_t waiting = atomic_load_explicit(&ecru__sched.global_count, memory_order_acquire);
  if (waiting == 0) return NULL;
  uint32_t maxprocs = atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed);
  ecru__lock_take(&ecru__sched.global_lock);
  waiting = atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed);
  uint32_t take = waiting / maxprocs + 1;
  if (take > waiting) take = waiting;
  if (take > ECRU__RING / 2) take = ECRU__RING / 2;
  ecru__goroutine *first = ecru__sched.global_head, *rest = NULL;
  uint32_t taken = 0;
  ecru__goroutine *g = first;
  for (; taken < take; taken++) g = g->queue_next; // g: the first that stays
  if (taken > 0) {
    rest = first->queue_next;
    ecru__sched.global_head = g;
    if (!g) ecru__sched.global_tail = NULL;
    atomic_store_explicit(&ecru__sched.global_count, waiting - taken, memory_order_release);
  }
  ecru__lock_drop(&ecru__sched.global_lock);
  if (taken == 0) return NULL;
  for (uint32_t i = 1; i < taken; i++) {
    ecru__goroutine *following = rest->queue_next; // read before the push: a thief may run it at once
    ring_push(p, rest);
    rest = following;
  }
  return first;
}

/// Takes half of the victim's ring into p's (empty) ring. returns: one of them to run at once, or NULL.
ecru__goroutine *ecru__queue_steal(ecru__processor *p, ecru__processor *victim) {
  uint32_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
  for (;;) {
    uint32_t head = atomic_load_explicit(&victim->head, memory_order_acquire);
    uint32_t end = atomic_load_explicit(&victim->tail, memory_order_acquire); // acquire: pairs with the owner's release of tail
    uint32_t count = end - head;
    count -= count / 2;
    if (count == 0) return NULL;
    if (count > ECRU__RING / 2) continue; // head and tail were read inconsistently
    for (uint32_t i = 0; i < count; i++) {
      ecru__goroutine *g = atomic_load_explicit(&victim->ring[(head + i) % ECRU__RING], memory_order_relaxed);
      atomic_store_explicit(&p->ring[(tail + i) % ECRU__RING], g, memory_order_relaxed);
    }
    // acq_rel: pairs with the other takers' compare-and-swap: only now the copies are ours
    if (!atomic_compare_exchange_strong_explicit(&victim->head, &head, head + count, memory_order_acq_rel, memory_order_acquire))
      continue;
    count--;
    ecru__goroutine *g = atomic_load_explicit(&p->ring[(tail + count) % ECRU__RING], memory_order_relaxed);
    if (count > 0) atomic_store_explicit(&p->tail, tail + count, memory_order_release);
    p->steals++;
    return g;
  }
}

/// Moves everything runnable of p to the global queue (p is retired or its goroutines must not wait for it).
void ecru__queue_flush(ecru__processor *p) {
  ecru__goroutine *g = p->next;
  p->next = NULL;
  if (g) ecru__queue_global(g);
  while ((g = ecru__queue_pop(p)) != NULL) ecru__queue_global(g);
}
