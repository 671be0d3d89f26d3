/// runtime/select.c: waiting for the first of several operations (rules S1-S4).
///
/// In three steps, each only if the one before found nothing:
///   look    Peeks at every case without a lock, picks one of the ready ones at random and tries it under its own lock
///           alone. That is as good as a snapshot for a random choice: the case picked was ready at the instant it happened,
///           and no other had to be preferred. With ECRU_SELECT_PRIORITY only the very first case may be taken so: a later
///           one only when, at that instant, none before it is ready.
///   decide  Takes the locks of all distinct objects in address order. What is ready now is exact; "nothing" is a snapshot.
///   wait    Puts a node per case into its object's queue and parks; the locks are dropped after the switch. Whoever
///           claims this waiter does the case; the nodes that lost are unlinked afterwards, each in O(1).
///
/// A case can need memory before it can happen (an unbounded channel must grow, the victim of a drop policy needs a
/// place until its callback runs). Then all locks are dropped, the memory is found, and the select starts afresh.
///
/// The locks' array lies on the stack of the parked one, who may run on before the last lock is dropped: it then needs every
/// lock it has not been claimed under, so it cannot leave before them; unlock_all touches nothing after the last one.
#include "runtime/select.h"

#include <limits.h>

#include "platform/memory.h"
#include "runtime/chan.h"
#include "runtime/io.h"
#include "runtime/scheduler.h"
#include "runtime/state.h"

enum { SMALL = 16, CASES_MAX = 65535, PREPARE = 2, SORT_BY_INSERTION = 32, LOOK_AGAIN = INT_MIN };

typedef struct selection {
  ecru_case *cases;
  size_t count;
  unsigned flags;
  int64_t deadline;
  void **things;       // per case: the channel, event or tickbox it waits on; NULL: never ready
  ecru__node *nodes;   // per case
  ecru__lock **locks;  // distinct, ascending
  uint16_t *ready;     // cases that may be ready
  size_t locks_count, ready_count;
  ecru_chan *needy;    // after PREPARE: the channel that needs memory
  void *victim;        // room for an element that a drop policy drops
  size_t victim_bytes;
  ecru_chan *victim_of; // the channel whose element lies in victim
  ecru__lock none;     // held across the park when there is no object whose lock could be
} selection;

// ---- the cases ------------------------------------------------------------------------------------------------------

/// The object of a case. returns: 0 or ECRU_EINVAL.
static inline int resolve(const ecru_case *c, void **thing) {
  *thing = c->object;
  switch (c->kind) {
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE:
    ECRU__CHECK_HANDLE_FOR("ecru_select", (ecru_io *)c->object);
    return 0;
  case ECRU_CASE_RECV:
    ECRU__CHECK_HANDLE_FOR("ecru_select", (ecru_chan *)c->object);
    return 0;
  case ECRU_CASE_SEND:
    ECRU__CHECK_HANDLE_FOR("ecru_select", (ecru_chan *)c->object);
    return c->value || !c->object || ((ecru_chan *)c->object)->element_bytes == 0 ? 0 : ECRU_EINVAL;
  case ECRU_CASE_TOKEN:
    if (c->object) *thing = ecru__token_event(c->object);
    return 0;
  case ECRU_CASE_TASK:
    if (c->object) *thing = ecru__task_event(c->object);
    return 0;
  case ECRU_CASE_TIMER:
    if (c->object) *thing = ecru__timer_tickbox(c->object);
    return !c->object || *thing ? 0 : ECRU_EINVAL;
  default: return ECRU_EINVAL;
  }
}

static inline int io_direction(const ecru_case *c) { return c->kind == ECRU_CASE_READ ? ECRU__IN : ECRU__OUT; }
static inline ecru__queue *io_waiters(const ecru_case *c, ecru_io *io) {
  return c->kind == ECRU_CASE_READ ? &io->in.waiters : &io->out.waiters;
}

/// Could it happen now? A guess without the lock, exact with it (but for peers that turn out to have been cancelled, and for
/// descriptors, where only the attempt asks the system).
static inline bool is_ready(const ecru_case *c, const void *thing) {
  switch (c->kind) {
  case ECRU_CASE_RECV: return ecru__chan_can_recv(thing);
  case ECRU_CASE_SEND: return ecru__chan_can_send(thing);
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE: return true;
  case ECRU_CASE_TIMER: return atomic_load_explicit(&((ecru__tickbox *)(uintptr_t)thing)->full, memory_order_acquire);
  default: return ecru__event_is_set(thing);
  }
}

static inline ecru__lock *lock_of(const ecru_case *c, void *thing) {
  switch (c->kind) {
  case ECRU_CASE_RECV:
  case ECRU_CASE_SEND: return &((ecru_chan *)thing)->lock;
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE: return &((ecru_io *)thing)->lock;
  case ECRU_CASE_TIMER: return &((ecru__tickbox *)thing)->lock;
  default: return &((ecru__event *)thing)->lock;
  }
}

/// A send into a full ring: only where that need not wait. A channel that fails when full waits here like any other.
static int send_into_full(selection *s, ecru_chan *chan, const void *element) {
  if (!chan->unbounded && (chan->full == ECRU_FULL_WAIT || chan->full == ECRU_FULL_FAIL)) return ECRU__WOULD_WAIT;
  if (chan->unbounded || (chan->dropped && s->victim_bytes < chan->element_bytes + (size_t)1)) {
    s->needy = chan;
    return PREPARE;
  }
  ecru__chan_replace_locked(chan, element, chan->dropped ? s->victim : NULL);
  if (chan->dropped) s->victim_of = chan;
  return 0;
}

/// Also asks for an event if it is not ready, since enqueue cannot fail.
static int attempt_io(const ecru_case *c, ecru_io *io) {
  int status = ecru__io_ready_locked(io, io_direction(c), true);
  return status == ECRU_EAGAIN ? ECRU__WOULD_WAIT : status;
}

/// Makes case i happen if it can; its lock is held. *peer: whom to make ready later.
/// returns: 0 or negative: it has happened, cases[i].status says how; ECRU__WOULD_WAIT; PREPARE.
static inline int attempt(selection *s, size_t i, ecru__node **peer) {
  ecru_case *c = &s->cases[i];
  void *thing = s->things[i];
  int status = 0;
  switch (c->kind) {
  case ECRU_CASE_RECV: status = ecru__chan_recv_locked(thing, c->value, peer); break;
  case ECRU_CASE_SEND:
    status = ecru__chan_send_locked(thing, c->value, peer);
    if (status == ECRU__WOULD_WAIT) status = send_into_full(s, thing, c->value);
    break;
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE: status = attempt_io(c, thing); break;
  case ECRU_CASE_TIMER: status = ecru__tickbox_take_locked(thing, c->value) ? 0 : ECRU__WOULD_WAIT; break;
  default: status = ecru__event_is_set(thing) ? 0 : ECRU__WOULD_WAIT; break;
  }
  if (status <= 0) c->status = status;
  return status;
}

static void enqueue(selection *s, size_t i, ecru__waiter *self) {
  ecru__node *node = &s->nodes[i];
  ecru_case *c = &s->cases[i];
  void *thing = s->things[i];
  ecru__node_init(node, self);
  node->element = c->value;
  node->index = (uint32_t)i;
  switch (c->kind) {
  case ECRU_CASE_RECV: ecru__chan_wait_recv(thing, node); break;
  case ECRU_CASE_SEND: ecru__chan_wait_send(thing, node); break;
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE: ecru__queue_push(io_waiters(c, thing), node); break;
  case ECRU_CASE_TIMER: ecru__queue_push(&((ecru__tickbox *)thing)->waiters, node); break;
  default: ecru__queue_push(&((ecru__event *)thing)->waiters, node); break;
  }
}

static void dequeue(selection *s, size_t i) {
  ecru__node *node = &s->nodes[i];
  void *thing = s->things[i];
  ecru__lock *lock = lock_of(&s->cases[i], thing);
  ecru__lock_take(lock);
  switch (s->cases[i].kind) {
  case ECRU_CASE_RECV: ecru__chan_unwait_recv(thing, node); break;
  case ECRU_CASE_SEND: ecru__chan_unwait_send(thing, node); break;
  case ECRU_CASE_READ:
  case ECRU_CASE_WRITE: ecru__queue_remove(io_waiters(&s->cases[i], thing), node); break;
  case ECRU_CASE_TIMER: ecru__queue_remove(&((ecru__tickbox *)thing)->waiters, node); break;
  default: ecru__queue_remove(&((ecru__event *)thing)->waiters, node); break;
  }
  ecru__lock_drop(lock);
}

// ---- the locks ------------------------------------------------------------------------------------------------------

static inline bool is_below(const ecru__lock *a, const ecru__lock *b) { return (uintptr_t)a < (uintptr_t)b; }

static void sift_down(ecru__lock **locks, size_t slot, size_t count) {
  ecru__lock *moving = locks[slot];
  for (size_t child; (child = 2 * slot + 1) < count; slot = child) {
    if (child + 1 < count && is_below(locks[child], locks[child + 1])) child++;
    if (!is_below(moving, locks[child])) break;
    locks[slot] = locks[child];
  }
  locks[slot] = moving;
}

/// Heap sort, because it needs neither memory nor luck.
static void sort_many(selection *s) {
  ecru__lock **locks = s->locks;
  for (size_t i = s->locks_count / 2; i-- > 0;) sift_down(locks, i, s->locks_count);
  for (size_t end = s->locks_count; end-- > 1;) {
    ecru__lock *greatest = locks[0];
    locks[0] = locks[end];
    locks[end] = greatest;
    sift_down(locks, 0, end);
  }
  size_t distinct = 0;
  for (size_t i = 0; i < s->locks_count; i++)
    if (distinct == 0 || locks[distinct - 1] != locks[i]) locks[distinct++] = locks[i];
  s->locks_count = distinct;
}

static void insert_sorted(selection *s, ecru__lock *lock) {
  size_t at = s->locks_count;
  while (at > 0 && is_below(lock, s->locks[at - 1])) at--;
  if (at > 0 && s->locks[at - 1] == lock) return;
  for (size_t i = s->locks_count++; i > at; i--) s->locks[i] = s->locks[i - 1];
  s->locks[at] = lock;
}

static void lock_all(selection *s) {
  s->locks_count = 0;
  bool many = s->count > SORT_BY_INSERTION;
  for (size_t i = 0; i < s->count; i++) {
    if (!s->things[i]) continue;
    ecru__lock *lock = lock_of(&s->cases[i], s->things[i]);
    if (many) s->locks[s->locks_count++] = lock;
    else insert_sorted(s, lock);
  }
  if (many) sort_many(s);
  if (s->locks_count == 0) s->locks[s->locks_count++] = &s->none;
  for (size_t i = 0; i < s->locks_count; i++) ecru__lock_take(s->locks[i]);
}

/// Also runs after the switch, as the release of the park.
static void unlock_all(void *argument) {
  selection *s = argument;
  ecru__lock **locks = s->locks;
  size_t count = s->locks_count;
  for (size_t i = 0; i < count; i++) ecru__lock_drop(locks[i]);
}

// ---- the choice -----------------------------------------------------------------------------------------------------

/// A number below `bound`, uniform but for 2^-32 * bound. A thread without a processor has no generator: it hashes a shared counter.
static uint32_t random_below(ecru__worker *w, uint32_t bound) {
  static _Atomic uint64_t drawn;
  uint32_t x;
  ecru__processor *processor = w->processor;
  if (ECRU__LIKELY(processor != NULL)) {
    x = processor->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    processor->random = x;
  } else {
    uint64_t number = atomic_fetch_add_explicit(&drawn, 1, memory_order_relaxed);
    x = (uint32_t)(ecru__mixed(number * ECRU__GOLDEN + (uintptr_t)w) >> 32);
  }
  return (uint32_t)((uint64_t)x * bound >> 32);
}

static inline void collect_ready(selection *s) {
  s->ready_count = 0;
  for (size_t i = 0; i < s->count; i++)
    if (s->things[i] && is_ready(&s->cases[i], s->things[i])) s->ready[s->ready_count++] = (uint16_t)i;
}

/// Takes a place out of `ready`: a random one, or the first.
static size_t draw(selection *s, ecru__worker *w) {
  if (s->flags & ECRU_SELECT_PRIORITY) {
    size_t first = s->ready[0];
    memmove(s->ready, s->ready + 1, --s->ready_count * sizeof *s->ready);
    return first;
  }
  size_t place = s->ready_count > 1 ? random_below(w, (uint32_t)s->ready_count) : 0;
  size_t i = s->ready[place];
  s->ready[place] = s->ready[--s->ready_count];
  return i;
}

/// Is nothing that could be ready before case i?
static bool is_first(const selection *s, size_t i) {
  while (i-- > 0)
    if (s->things[i]) return false;
  return true;
}

/// Step 1. *status: what the last attempt came to. returns: the index of its case (ECRU__WOULD_WAIT: meaningless).
static int look(selection *s, ecru__worker *w, int *status) {
  collect_ready(s);
  while (s->ready_count > 0) {
    if ((s->flags & ECRU_SELECT_PRIORITY) && !is_first(s, s->ready[0])) break;
    size_t i = draw(s, w);
    ecru__lock *lock = lock_of(&s->cases[i], s->things[i]);
    ecru__node *peer = NULL;
    ecru__lock_take(lock);
    *status = attempt(s, i, &peer);
    ecru__lock_drop(lock);
    if (peer) ecru__ready(w, peer->waiter);
    if (*status == ECRU__WOULD_WAIT) continue;
    return (int)i;
  }
  *status = ECRU__WOULD_WAIT;
  return ECRU_EAGAIN;
}

/// Step 2. As look, but all locks are held, and still are after ECRU__WOULD_WAIT.
static int decide(selection *s, ecru__worker *w, int *status) {
  lock_all(s);
  collect_ready(s);
  while (s->ready_count > 0) {
    size_t i = draw(s, w);
    ecru__node *peer = NULL;
    *status = attempt(s, i, &peer);
    if (*status == ECRU__WOULD_WAIT) continue;
    unlock_all(s);
    if (peer) ecru__ready(w, peer->waiter);
    return (int)i;
  }
  *status = ECRU__WOULD_WAIT;
  return ECRU_EAGAIN;
}

// ---- the wait -------------------------------------------------------------------------------------------------------

static bool alarm_rings(ecru__worker *w, ecru__timer_node *node) { return ecru__timer_wake(w, node, ECRU_ETIMEDOUT); }

static int park(selection *s, ecru__worker **w) {
  int reason = s->locks[0] == &s->none ? ECRU__WAIT_FOREVER : ECRU__WAIT_SELECT;
  if (s->deadline == ECRU_FOREVER) return ecru__park_with(w, unlock_all, s, reason, s->cases);
  ecru__timer_node alarm = {.claim = alarm_rings, .waiter = (*w)->self};
  return ecru__timer_park(w, &alarm, s->deadline, unlock_all, s, ECRU__WAIT_SELECT, s->cases);
}

/// An event of a descriptor only says that something has happened, and another may have taken what it told of.
static bool is_stale(selection *s, const ecru__node *winner) {
  const ecru_case *c = &s->cases[winner->index];
  if ((c->kind != ECRU_CASE_READ && c->kind != ECRU_CASE_WRITE) || winner->status != 0) return false;
  ecru_io *io = c->object;
  ecru__lock_take(&io->lock);
  int status = ecru__io_ready_locked(io, io_direction(c), false);
  ecru__lock_drop(&io->lock);
  return status == ECRU_EAGAIN;
}

/// Step 3, with all locks held. returns: the index of the case that has happened; LOOK_AGAIN; as ecru__park.
static int wait(selection *s, ecru__worker **w) {
  for (size_t i = 0; i < s->count; i++)
    if (s->things[i]) enqueue(s, i, (*w)->self);
  int status = park(s, w);
  ecru__node *winner = status == 0 ? (*w)->self->wake_node : NULL;
  for (size_t i = 0; i < s->count; i++)
    if (s->things[i] && &s->nodes[i] != winner) dequeue(s, i);
  if (s->locks[0] == &s->none) ecru__lock_take(&s->none); // as every lock: not before the parking has let go of it
  if (!winner) return status;
  if (ECRU__UNLIKELY(is_stale(s, winner))) return LOOK_AGAIN;
  s->cases[winner->index].status = winner->status;
  return (int)winner->index;
}

// ---- the whole ------------------------------------------------------------------------------------------------------

/// Finds the memory a case needs. No lock is held. returns: 0; ECRU_ENOMEM.
static int prepare(selection *s) {
  if (s->needy->unbounded) return ecru__chan_grow(s->needy);
  size_t bytes = s->needy->element_bytes + (size_t)1;
  void *victim = ecru__realloc(s->victim, bytes);
  if (!victim) return ECRU_ENOMEM;
  s->victim = victim;
  s->victim_bytes = bytes;
  return 0;
}

/// The caller's token has fired. A case that waits for that very token then is what has happened.
static int own_token_case(const selection *s, ecru__worker *w, int status) {
  if (status != ECRU_ECANCELED && status != ECRU_ETIMEDOUT) return status;
  if (ecru__canceled(w) == 0) return status; // it was the deadline
  for (size_t i = 0; i < s->count; i++) {
    if (s->cases[i].kind != ECRU_CASE_TOKEN || s->cases[i].object != (void *)ecru__token_own(w)) continue;
    s->cases[i].status = 0;
    return (int)i;
  }
  return status;
}

static int choose(selection *s, ecru__worker **w) {
  for (;;) {
    int status;
    int picked = look(s, *w, &status);
    bool alone = s->count <= 1; // what look says of a single case is a snapshot already
    if (status == ECRU__WOULD_WAIT && (s->flags & ECRU_SELECT_POLL) && alone) return ECRU_EAGAIN;
    if (status == ECRU__WOULD_WAIT) picked = decide(s, *w, &status);
    if (status == PREPARE) {
      status = prepare(s);
      if (status != 0) return status;
      continue;
    }
    if (status != ECRU__WOULD_WAIT) return picked;
    bool poll = s->flags & ECRU_SELECT_POLL;
    bool late = !poll && s->deadline != ECRU_FOREVER && s->deadline <= ecru__now();
    if (poll || late) {
      unlock_all(s);
      return poll ? ECRU_EAGAIN : ECRU_ETIMEDOUT;
    }
    picked = wait(s, w);
    if (picked != LOOK_AGAIN) return picked;
  }
}

static int run(selection *s) {
  for (size_t i = 0; i < s->count; i++)
    if (ECRU__UNLIKELY(resolve(&s->cases[i], &s->things[i]) != 0)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int result = s->flags & ECRU_SELECT_POLL ? 0 : ecru__canceled(w);
  if (ECRU__UNLIKELY(!w->processor)) ecru__poll_ensure(); // for the sake of descriptors
  if (result == 0) result = choose(s, &w);
  if (ECRU__UNLIKELY(result < 0)) result = own_token_case(s, w, result);
  if (result >= 0 && s->cases[result].kind == ECRU_CASE_TASK) ecru__task_observe(s->cases[result].object);
  ecru__leave(w);
  if (ECRU__UNLIKELY(s->victim != NULL)) {
    if (s->victim_of) s->victim_of->dropped(s->victim_of->context, s->victim);
    ecru__free(s->victim);
  }
  return result;
}

static int run_small(selection *s) {
  void *things[SMALL];
  ecru__node nodes[SMALL];
  ecru__lock *locks[SMALL];
  uint16_t ready[SMALL];
  s->things = things, s->nodes = nodes, s->locks = locks, s->ready = ready;
  return run(s);
}

static int run_big(selection *s) {
  size_t bytes = s->count * (sizeof *s->nodes + sizeof *s->things + sizeof *s->locks + sizeof *s->ready);
  char *block = ecru__malloc(bytes);
  if (!block) return ECRU_ENOMEM;
  s->nodes = (ecru__node *)(void *)block;
  s->things = (void **)(void *)(s->nodes + s->count);
  s->locks = (ecru__lock **)(void *)(s->things + s->count);
  s->ready = (uint16_t *)(void *)(s->locks + s->count);
  int result = run(s);
  ecru__free(block);
  return result;
}

int ecru_select_until(ecru_case *cases, size_t count, unsigned flags, int64_t deadline_ns) {
  if (count > CASES_MAX || (!cases && count > 0)) return ECRU_EINVAL;
  if (flags & ~(unsigned)(ECRU_SELECT_PRIORITY | ECRU_SELECT_POLL)) return ECRU_EINVAL;
  selection s = {.cases = cases, .count = count, .flags = flags, .deadline = deadline_ns};
  return ECRU__LIKELY(count <= SMALL) ? run_small(&s) : run_big(&s);
}

int ecru_select(ecru_case *cases, size_t count, unsigned flags) {
  return ecru_select_until(cases, count, flags, ECRU_FOREVER);
}
