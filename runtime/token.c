/// runtime/token.c: the graph of tokens: creation, firing, release (token.h has the invariants).
///
/// Firing goes down in two passes, so that nobody wakes before every descendant is marked and one heavy fence serves
/// them all. First the tokens are marked in breadth-first order, queued through ->next with a reference each; then their
/// timers are disarmed, their waiters woken, their callbacks run. Neither pass recurses: a chain of 100 000 tokens is as good
/// as a flat family. Firing a parent and a child at the same time meets at mark(): whoever comes first to a token goes
/// on below it, the other turns back.
#include "runtime/token.h"

#include "platform/clock.h"
#include "platform/memory.h"
#include "runtime/fork.h"

#include <string.h>

enum { ROOT_FAMILIES = 16, LINKED_MAX = 64 };

static ecru_token root_token = {.deadline_ns = ECRU_FOREVER, .id = 1, .mark = ECRU__MARK_ALIVE};
static ecru_token background_token = {.deadline_ns = ECRU_FOREVER, .id = 2, .mark = ECRU__MARK_ALIVE};
ecru_token *const ecru__root_token = &root_token, *const ecru__background_token = &background_token;

/// The root is everybody's parent: its children are spread by processor, or scopes under it would meet on one lock.
static struct { _Alignas(64) ecru__family family; } root_families[ROOT_FAMILIES];
static _Atomic uint64_t last_id = 2; // atomic: ids are unique and say nothing else
static ecru__lock walk_lock;         // guards the walks of ecru_token_deadline through tokens with several parents
static uint64_t walk_stamp;          // lock: walk_lock

/// Ids are given on demand: most tokens live and die without being asked.
static uint64_t id_of(ecru_token *token) {
  uint64_t id = atomic_load_explicit(&token->id, memory_order_relaxed);
  if (id != 0) return id;
  uint64_t fresh = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
  bool mine = atomic_compare_exchange_strong_explicit(&token->id, &id, fresh, memory_order_relaxed, memory_order_relaxed);
  return mine ? fresh : id;
}

// ---- references ----------------------------------------------------------------------------------------------------

static void retain(ecru_token *token) {
  if (!ecru__token_is_static(token)) atomic_fetch_add_explicit(&token->references, 1, memory_order_relaxed);
}

/// For those who find a token in a list or a heap, where it may stand until its last release has come that far.
static bool try_retain(ecru_token *token) {
  uint32_t references = atomic_load_explicit(&token->references, memory_order_relaxed);
  do
    if (references == 0) return false;
  while (!atomic_compare_exchange_weak_explicit(&token->references, &references, references + 1, memory_order_relaxed,
                                                memory_order_relaxed));
  return true;
}

/// returns: whether this was the last reference.
static bool drop_reference(ecru_token *token) {
  if (ecru__token_is_static(token)) return false;
  // release: what was done with the token happens before it is freed; acquire: by whoever drops the last one
  uint32_t references = atomic_fetch_sub_explicit(&token->references, 1, memory_order_acq_rel);
  if (ECRU__UNLIKELY(references == 0)) ecru__panic("ecru_token_release", token, "released more often than retained");
  return references == 1;
}

// ---- families ------------------------------------------------------------------------------------------------------

static ecru__family *family_for(ecru__worker *w, ecru_token *parent) {
  if (parent != &root_token) return &parent->family;
  return &root_families[w->processor ? w->processor->index % ROOT_FAMILIES : ROOT_FAMILIES - 1].family;
}

static void unlink_locked(ecru__link *link) {
  if (!link->linked) return;
  if (link->prev) link->prev->next = link->next;
  else link->family->first = link->next;
  if (link->next) link->next->prev = link->prev;
  link->linked = false;
}

/// Puts the link into its family. returns: false: the parent has fired (invariant 3).
static bool join_family(ecru__link *link) {
  ecru__family *family = link->family;
  ecru__lock_take(&family->lock);
  bool fired = ecru__token_fired(link->parent) != 0;
  if (!fired) {
    link->prev = NULL;
    link->next = family->first;
    if (family->first) family->first->prev = link;
    family->first = link;
    link->linked = true;
  }
  ecru__lock_drop(&family->lock);
  return !fired;
}

static void leave_family(ecru__link *link) {
  ecru__lock_take(&link->family->lock);
  unlink_locked(link);
  ecru__lock_drop(&link->family->lock);
}

/// Takes one child out. returns: it, with a reference; NULL when the family is empty.
static ecru_token *take_child(ecru__family *family) {
  ecru_token *child = NULL;
  ecru__lock_take(&family->lock);
  while (!child && family->first) {
    ecru__link *link = family->first;
    unlink_locked(link);
    if (try_retain(link->child)) child = link->child; // else its last release is waiting for this lock
  }
  ecru__lock_drop(&family->lock);
  return child;
}

// ---- the end of a token --------------------------------------------------------------------------------------------

void ecru_token_release(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  if (!token || ecru__worker_forked() || !drop_reference(token)) return;
  token->next = NULL;
  for (ecru_token *dead = token; dead;) { // the last child of a parent takes it along, and so on up
    if (dead->armed) ecru__timer_remove(&dead->timer); // without the lock: nobody else has the token
    ecru_token *rest = dead->next;
    for (uint32_t i = 0; i < dead->links_count; i++) {
      ecru_token *parent = dead->links[i].parent;
      leave_family(&dead->links[i]);
      if (!drop_reference(parent)) continue;
      parent->next = rest;
      rest = parent;
    }
    if (dead->task) {
      ecru__handle_end(&dead->mark);
      ecru__task_drop_block(dead->task);
    } else {
      ecru__handle_free(&dead->mark, dead, sizeof *dead + dead->links_count * sizeof dead->links[0]);
    }
    dead = rest;
  }
}

ecru_token *ecru_token_retain(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  if (token) retain(token);
  return token;
}

// ---- firing --------------------------------------------------------------------------------------------------------

/// Fires this one token. returns: whether it had not fired yet. Who comes second finds the whole of it done, waiters of
/// ecru_token_wait and select included.
static bool mark(ecru__worker *w, ecru_token *token, int status, int cause, uint64_t origin) {
  ecru__lock_take(&token->lock);
  bool first = ecru__token_fired(token) == 0;
  if (first) {
    atomic_store_explicit(&token->cause, cause, memory_order_relaxed);
    atomic_store_explicit(&token->origin, origin, memory_order_relaxed);
    // release: pairs with the acquire in ecru__token_fired; ordered before the look for waiters by the heavy fence
    atomic_store_explicit(&token->head.fired, status, memory_order_release);
    ecru__event_set(w, &token->done);
  }
  ecru__lock_drop(&token->lock);
  return first;
}

/// Marks what is below the tokens of the chain and appends it, until nothing is left to append.
static void mark_below(ecru__worker *w, ecru_token *first, int status, int cause, uint64_t origin) {
  ecru_token *last = first;
  for (ecru_token *parent = first; parent; parent = parent->next) {
    size_t count = parent == &root_token ? ROOT_FAMILIES : 1;
    for (size_t i = 0; i < count; i++) {
      ecru__family *family = parent == &root_token ? &root_families[i].family : &parent->family;
      for (ecru_token *child; (child = take_child(family)) != NULL;) {
        if (!mark(w, child, status, cause, origin)) {
          ecru_token_release(child);
          continue;
        }
        child->next = NULL;
        last->next = child;
        last = child;
      }
    }
  }
}

/// returns: whether somebody may be parked under one of them. A waiter that attaches later does so under the lock looked at
/// here, hence after the mark, and sees the mark before it sleeps: only for those already attached is the fence needed.
static bool needs_fence(ecru_token *chain) {
  for (ecru_token *token = chain; token; token = token->next)
    if (token == &root_token || ecru__token_is_attached(token)) return true;
  return false;
}

static bool has_registrations(ecru_token *token) {
  ecru__lock_take(&token->lock);
  bool has = token->first_registration != NULL;
  ecru__lock_drop(&token->lock);
  return has;
}

/// A fired token needs its timer no more.
static void disarm(ecru_token *token) {
  ecru__lock_take(&token->lock);
  if (token->armed) ecru__timer_remove(&token->timer);
  token->armed = false;
  ecru__lock_drop(&token->lock);
}

/// Fires the token and all below it. returns: the chain of those with callbacks to run, in breadth-first order, counted.
static ecru_token *fire(ecru__worker *w, ecru_token *token, int status, int cause, uint64_t origin) {
  if (!mark(w, token, status, cause, origin)) return NULL;
  retain(token);
  token->next = NULL;
  mark_below(w, token, status, cause, origin);
  if (needs_fence(token)) ecru__fence_heavy(); // pairs with the light fence of a parker between arming and looking

  ecru_token *callbacks = NULL, **end = &callbacks;
  for (ecru_token *next; token; token = next) {
    next = token->next;
    disarm(token);
    if (token == &root_token) ecru__scan_cancel(w, token, status);
    else ecru__token_wake(w, token, status);
    if (token->task) ecru__task_token_fired(w, token->task, token, status);
    if (has_registrations(token)) {
      *end = token;
      end = &token->next;
    } else {
      ecru_token_release(token);
    }
  }
  *end = NULL;
  return callbacks;
}

void ecru__token_cancel(ecru__worker **w, ecru_token *token, int status, int cause) {
  ecru_token *callbacks = fire(*w, token, status, cause, id_of(token));
  if (callbacks) ecru__registrations_run(w, callbacks);
}

void ecru__token_fire_quietly(ecru__worker *w, ecru_token *token, int status, int cause) {
  ecru_token *callbacks = fire(w, token, status, cause, id_of(token));
  if (callbacks) ecru__registrations_hand_over(w, callbacks);
}

static ecru_token *token_of(ecru__timer_node *timer) {
  return (ecru_token *)(void *)((char *)timer - offsetof(ecru_token, timer));
}

static bool deadline_claim(ecru__worker *w, ecru__timer_node *timer) {
  (void)w;
  return try_retain(token_of(timer));
}

static void deadline_run(ecru__worker *w, ecru__timer_node *timer) {
  ecru_token *token = token_of(timer);
  ecru__token_fire_quietly(w, token, ECRU_ETIMEDOUT, ECRU_ETIMEDOUT);
  ecru_token_release(token);
}

int ecru__token_start(void) {
  atomic_store_explicit(&root_token.head.fired, 0, memory_order_relaxed);
  atomic_store_explicit(&root_token.done.set, 0, memory_order_relaxed);
  ecru__registrations_start();
  return 0;
}

void ecru__token_fire_root(ecru__worker *w) {
  ecru__token_cancel(&w, &root_token, ECRU_ECANCELED, ECRU_ECANCELED);
  ecru__registrations_stop(&w);
}

// ---- creation ------------------------------------------------------------------------------------------------------

/// Arms the deadline; one that has passed is as good as a firing. Nobody else knows the token yet. returns: 0; ECRU_ENOMEM.
static int arm_fresh(ecru__worker *w, ecru_token *token, int64_t deadline_ns) {
  if (deadline_ns == ECRU_FOREVER) return 0;
  if (deadline_ns <= ecru__now()) {
    mark(w, token, ECRU_ETIMEDOUT, ECRU_ETIMEDOUT, id_of(token));
    return 0;
  }
  token->armed = true;
  return ecru__timer_add(w, &token->timer, deadline_ns);
}

/// Fires a token just created whose parent turned out to have fired.
static void fire_like(ecru__worker *w, ecru_token *token, ecru_token *parent) {
  int status = ecru__token_fired(parent);
  int cause = atomic_load_explicit(&parent->cause, memory_order_relaxed);
  uint64_t origin = atomic_load_explicit(&parent->origin, memory_order_relaxed);
  fire(w, token, status, cause, origin); // no callbacks: nobody has been given the token
}

static void init(ecru_token *token, int64_t deadline_ns) {
  ecru__handle_begin(&token->mark);
  atomic_init(&token->references, 1);
  atomic_init(&token->deadline_ns, deadline_ns);
  token->timer.claim = deadline_claim;
  token->timer.run = deadline_run;
}

static void join_parents(ecru__worker *w, ecru_token *token, ecru_token *const *parents, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (parents[i] == &background_token) continue;
    ecru__link *link = &token->links[token->links_count++];
    retain(parents[i]);
    link->child = token;
    link->parent = parents[i];
    link->family = family_for(w, parents[i]);
    if (!join_family(link)) fire_like(w, token, parents[i]);
  }
}

ecru_token *ecru__token_embed(ecru__worker *w, void *storage, ecru_token *parent, ecru_task *task) {
  ecru_token *token = memset(storage, 0, ECRU__TOKEN_BYTES);
  init(token, ECRU_FOREVER);
  token->task = task;
  if (parent) join_parents(w, token, &parent, 1);
  return token;
}

int ecru__token_create(ecru__worker *w, ecru_token **result, ecru_token *const *parents, size_t count,
                       int64_t deadline_ns) {
  ecru_token *token = ecru__calloc(1, sizeof *token + count * sizeof token->links[0]);
  if (!token) return ECRU_ENOMEM;
  init(token, deadline_ns);
  int status = arm_fresh(w, token, deadline_ns); // before it joins a family: from then on it can be fired
  if (status != 0) {
    ecru__free(token);
    return status;
  }
  join_parents(w, token, parents, count);
  *result = token;
  return 0;
}

int ecru_token_create_linked(ecru_token **token, ecru_token *const *parents, size_t count, int64_t deadline_ns) {
  if (!token || !parents || count == 0 || count > LINKED_MAX) return ECRU_EINVAL;
  for (size_t i = 0; i < count; i++) {
    ECRU__CHECK_HANDLE(parents[i]);
    if (!parents[i]) return ECRU_EINVAL;
  }
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__token_create(w, token, parents, count, deadline_ns);
  ecru__leave(w);
  return status;
}

int ecru_token_create(ecru_token **token, ecru_token *parent, int64_t deadline_ns) {
  ECRU__CHECK_HANDLE(parent);
  if (!token) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  if (!parent) parent = ecru__token_own(w);
  int status = ecru__token_create(w, token, &parent, 1, deadline_ns);
  ecru__leave(w);
  return status;
}

int ecru_token_without_cancel(ecru_token **token, ecru_token *parent) {
  ECRU__CHECK_HANDLE(parent);
  (void)parent; // scoped values belong to the goroutine: a token carries nothing but cancellation
  if (!token) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__token_create(w, token, NULL, 0, ECRU_FOREVER);
  ecru__leave(w);
  return status;
}

// ---- what can be asked and done ------------------------------------------------------------------------------------

ecru_token *ecru_token_background(void) { return &background_token; }
ecru_token *ecru_token_root(void) { return &root_token; }

int ecru_token_cancel(ecru_token *token, int cause) {
  ECRU__CHECK_HANDLE(token);
  if (!token || cause > 0) return ECRU_EINVAL;
  if (token == &background_token) return ECRU_EPERM;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__token_cancel(&w, token, ECRU_ECANCELED, cause ? cause : ECRU_ECANCELED);
  ecru__leave(w);
  return 0;
}

int ecru_token_err(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  return token ? ecru__token_fired(token) : ECRU_EINVAL;
}

int ecru_token_cause(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  if (!token) return ECRU_EINVAL;
  return ecru__token_fired(token) ? atomic_load_explicit(&token->cause, memory_order_relaxed) : 0;
}

uint64_t ecru_token_id(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  return token ? id_of(token) : 0;
}

uint64_t ecru_token_origin(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  return token && ecru__token_fired(token) ? atomic_load_explicit(&token->origin, memory_order_relaxed) : 0;
}

static int64_t own_deadline(ecru_token *token) { return atomic_load_explicit(&token->deadline_ns, memory_order_relaxed); }

/// The earliest deadline of the token and its ancestors where some have several parents: each ancestor is visited once,
/// however many ways lead there.
static int64_t earliest_deadline_in_graph(ecru_token *token) {
  int64_t earliest = ECRU_FOREVER;
  ecru__lock_take(&walk_lock);
  uint64_t stamp = ++walk_stamp;
  token->walk_next = NULL;
  for (ecru_token *stack = token; stack;) {
    token = stack;
    stack = token->walk_next;
    if (own_deadline(token) < earliest) earliest = own_deadline(token);
    for (uint32_t i = 0; i < token->links_count; i++) {
      ecru_token *parent = token->links[i].parent;
      if (parent->walk_stamp == stamp) continue;
      parent->walk_stamp = stamp;
      parent->walk_next = stack;
      stack = parent;
    }
  }
  ecru__lock_drop(&walk_lock);
  return earliest;
}

int64_t ecru_token_deadline(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  int64_t earliest = ECRU_FOREVER;
  while (token) { // parents live as long as their children
    int64_t deadline = token->links_count > 1 ? earliest_deadline_in_graph(token) : own_deadline(token);
    if (deadline < earliest) earliest = deadline;
    token = token->links_count == 1 ? token->links[0].parent : NULL;
  }
  return earliest;
}

int ecru_token_wait(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  if (!token) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = 0;
  if (!ecru__token_fired(token)) {
    status = ecru__canceled(w);
    if (status == 0) status = ecru__event_wait(&w, &token->done, ECRU__WAIT_TOKEN, token);
    if (ecru__token_fired(token)) status = 0; // it was this token's firing, or one that came through it
  }
  ecru__leave(w);
  return status;
}

/// With token->lock held. returns: 0; ECRU_ETIMEDOUT the old deadline has come; ECRU_ENOMEM (then it has none any more).
static int rearm(ecru__worker *w, ecru_token *token, int64_t deadline_ns) {
  if (token->armed && !ecru__timer_remove(&token->timer) && ecru__timer_is_claimed(&token->timer)) return ECRU_ETIMEDOUT;
  token->armed = false;
  atomic_store_explicit(&token->deadline_ns, ECRU_FOREVER, memory_order_relaxed);
  if (deadline_ns != ECRU_FOREVER && deadline_ns > ecru__now()) {
    if (ecru__timer_add(w, &token->timer, deadline_ns) != 0) return ECRU_ENOMEM;
    token->armed = true;
  }
  atomic_store_explicit(&token->deadline_ns, deadline_ns, memory_order_relaxed);
  return 0;
}

int ecru_token_reset(ecru_token *token, int64_t deadline_ns) {
  ECRU__CHECK_HANDLE(token);
  if (!token) return ECRU_EINVAL;
  if (ecru__token_is_static(token)) return ECRU_EPERM;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__lock_take(&token->lock);
  int fired = ecru__token_fired(token);
  int status = fired ? fired : rearm(w, token, deadline_ns);
  bool due = !fired && (status == ECRU_ETIMEDOUT || (status == 0 && !token->armed && deadline_ns != ECRU_FOREVER));
  ecru__lock_drop(&token->lock);
  if (due) ecru__token_cancel(&w, token, ECRU_ETIMEDOUT, ECRU_ETIMEDOUT);
  ecru__leave(w);
  return status;
}

ecru__event *ecru__token_event(ecru_token *token) {
  ECRU__CHECK_HANDLE_FOR("ecru_select", token);
  return &token->done;
}

void ecru__token_in_child(void) {
  for (int i = 0; i < ROOT_FAMILIES; i++) root_families[i].family.lock = (ecru__lock){0};
  ecru_token *fixed[] = {&root_token, &background_token};
  for (int i = 0; i < 2; i++) fixed[i]->lock = fixed[i]->attach_lock = (ecru__lock){0};
  walk_lock = (ecru__lock){0};
  ecru__registrations_in_child();
}
