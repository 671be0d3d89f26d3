/// runtime/timers.c: the timer heaps (timers.h). Each is 4-ary: half the depth of a binary heap, four children in one or two
/// cache lines. The heaps stand in a static table, so that a node may keep the pointer to the heap it was last in: removing
/// takes that heap's lock even when the node has fired, and so waits for a claim under way. Whoever was woken by its own node's
/// claim (ecru__timer_wake) has nothing to wait for and needs no lock: the node says so by having no heap.
///
/// Due nodes lie on as many stacks, each a page of its own that no cache and no TLB knows any more. So they are fired a batch at a time, in
/// three passes: out of the heap, into the cache, claim. (Tried: all that is due at once. With a million sleepers what was woken
/// was cold again when it ran, a fifth of all time, and on two processors the lock was held for milliseconds.)
///
/// A thread without a processor puts its timers into the first heap, whose processor always has a worker.
#include "runtime/fork.h"
#include "runtime/state.h"

enum { AT_ONCE = 64, WAITER_AHEAD = 4 };
ecru__timers ecru__timer_table[ECRU__HEAPS];

static void put(ecru__timers *t, uint32_t position, int64_t when, uint32_t place) {
  t->heap[position].when = when;
  t->heap[position].place = place;
  t->places[place].position = position;
}

static void move(ecru__timers *t, uint32_t to, uint32_t from) { put(t, to, t->heap[from].when, t->heap[from].place); }

static void sift_up(ecru__timers *t, uint32_t position, int64_t when, uint32_t place) {
  while (position > 0) {
    uint32_t parent = (position - 1) / 4;
    if (t->heap[parent].when <= when) break;
    move(t, position, parent);
    position = parent;
  }
  put(t, position, when, place);
}

static void sift_down(ecru__timers *t, uint32_t position, int64_t when, uint32_t place) {
  for (;;) {
    uint32_t first = position * 4 + 1, best = first;
    if (first >= t->count) break;
    uint32_t end = first + 4 < t->count ? first + 4 : t->count;
    for (uint32_t child = first + 1; child < end; child++)
      if (t->heap[child].when < t->heap[best].when) best = child;
    if (t->heap[best].when >= when) break;
    move(t, position, best);
    position = best;
  }
  put(t, position, when, place);
}

static void note_earliest(ecru__timers *t) {
  int64_t earliest = t->count ? t->heap[0].when : ECRU_FOREVER;
  // release: pairs with the acquire of whoever decides how long to sleep
  atomic_store_explicit(&t->earliest, earliest, memory_order_release);
}

static bool make_room(ecru__timers *t, uint32_t count) {
  if (count <= t->room) return true;
  uint32_t room = t->room ? t->room : 64;
  while (room < count) room *= 2;
  void *heap = ecru__realloc(t->heap, room * sizeof *t->heap);
  if (heap) t->heap = heap;
  void *places = heap ? ecru__realloc(t->places, room * sizeof *t->places) : NULL;
  if (!places) return false;
  t->places = places;
  // The chain of free places ends at t->room, which is now the first new place: it goes on there.
  for (uint32_t i = t->room; i < room; i++) t->places[i].position = i + 1;
  t->room = room;
  return true;
}

static void insert(ecru__timers *t, ecru__timer_node *node, int64_t when) {
  uint32_t place = t->free_place;
  t->free_place = t->places[place].position;
  t->places[place].node = node;
  node->slot = place + 1;
  atomic_store_explicit(&node->heap, t, memory_order_release);
  t->count++;
  sift_up(t, t->count - 1, when, place);
  if (t->heap[0].place != place) return;
  note_earliest(t);
  ecru__monitor_heed(when);
}

/// Takes the entry with this place out of the heap; its node's slot is still to be cleared.
static void extract_place(ecru__timers *t, uint32_t place) {
  uint32_t position = t->places[place].position, last = --t->count;
  t->places[place].position = t->free_place;
  t->free_place = place;
  if (last != position) {
    int64_t when = t->heap[last].when;
    if (position > 0 && when < t->heap[(position - 1) / 4].when) sift_up(t, position, when, t->heap[last].place);
    else sift_down(t, position, when, t->heap[last].place);
  }
  if (position == 0) note_earliest(t);
}

static void extract(ecru__timers *t, ecru__timer_node *node) {
  extract_place(t, node->slot - 1);
  node->slot = 0;
}

static ecru__timers *heap_of(ecru__worker *w) { return w->processor ? w->processor->timers : &ecru__timer_table[0]; }

/// A thread without a processor has made the first heap's earliest earlier: its keeper sleeps too long.
static void told_by_stranger(ecru__worker *w, ecru__timers *t, int64_t when) {
  if (w->processor) return;
  if (atomic_load_explicit(&t->earliest, memory_order_acquire) != when) return;
  ecru__wake_keeper(atomic_load_explicit(&ecru__sched.processors[0], memory_order_acquire));
}

int ecru__timer_add(ecru__worker *w, ecru__timer_node *node, int64_t when) {
  ecru__timers *t = heap_of(w);
  ecru__lock_take(&t->lock);
  if (!make_room(t, t->count + 1)) {
    ecru__lock_drop(&t->lock);
    return ECRU_ENOMEM;
  }
  insert(t, node, when);
  ecru__lock_drop(&t->lock);
  told_by_stranger(w, t, when);
  return 0;
}

/// Not so in a child whose parent was moving the heap's entries when it forked: clearing may have passed the node over.
static bool is_in(const ecru__timers *t, const ecru__timer_node *node) {
  uint32_t place = node->slot - 1; // 0 - 1: in none
  return place < t->room && t->places[place].node == node;
}

bool ecru__timer_remove(ecru__timer_node *node) {
  for (;;) {
    ecru__timers *t = atomic_load_explicit(&node->heap, memory_order_acquire);
    if (!t) return false;
    ecru__lock_take(&t->lock);
    bool here = atomic_load_explicit(&node->heap, memory_order_relaxed) == t;
    bool armed = here && is_in(t, node);
    if (here && node->slot != 0 && !armed) { // a heap that is no more: it has not fired, either
      node->slot = 0;
      atomic_store_explicit(&node->heap, NULL, memory_order_relaxed);
    }
    if (armed) extract(t, node);
    ecru__lock_drop(&t->lock);
    if (here) return armed;
  }
}

struct timer_park {
  ecru__timers *timers;
  void (*also)(void *);
  void *argument;
};

static void timer_park_release(void *argument) {
  struct timer_park *park = argument;
  ecru__timers *t = park->timers;
  // The heap's lock goes last: the parked one takes it before it returns, so that *park outlives this function.
  if (park->also) park->also(park->argument);
  ecru__lock_drop(&t->lock);
}

int ecru__timer_park(ecru__worker **w, ecru__timer_node *node, int64_t when, void (*also)(void *), void *argument, int reason,
                     const void *object) {
  struct timer_park park = {heap_of(*w), also, argument};
  ecru__lock_take(&park.timers->lock);
  if (!make_room(park.timers, park.timers->count + 1)) {
    timer_park_release(&park);
    return ECRU_ENOMEM;
  }
  insert(park.timers, node, when);
  bool first = park.timers->heap[0].place + 1 == node->slot;
  if (first && !(*w)->processor) // it will look at the heap only after we have dropped its lock
    ecru__wake_keeper(atomic_load_explicit(&ecru__sched.processors[0], memory_order_acquire));
  int status = ecru__park_with(w, timer_park_release, &park, reason, object);
  ecru__timer_remove(node);
  return status;
}

bool ecru__timer_wake(ecru__worker *w, ecru__timer_node *node, int status) {
  ecru__waiter *x = node->waiter;
  if (!ecru__claim(x)) return false;
  // relaxed: the waiter reads it after it has been made ready. Nobody holds the node any more: no need to take the heap's lock.
  atomic_store_explicit(&node->heap, NULL, memory_order_relaxed);
  x->wake_node = NULL;
  x->wake_status = status;
  ecru__ready(w, x);
  return false;
}

/// Takes up to AT_ONCE due nodes out of the heap, without a look at them: they lie on as many stacks, far away, and are on
/// their way into the cache when we come to the first.
static uint32_t extract_due(ecru__timers *t, int64_t now, ecru__timer_node **due) {
  uint32_t count = 0;
  while (count < AT_ONCE && t->count > 0 && t->heap[0].when <= now) {
    uint32_t place = t->heap[0].place;
    due[count++] = t->places[place].node;
    extract_place(t, place);
  }
  for (uint32_t i = 0; i < count; i++) __builtin_prefetch(due[i], 1); // in a row: several page walks at a time
  return count;
}

/// Claims them; the heap is still locked. returns: the chain of those to be run without the lock.
static ecru__timer_node *claim_due(ecru__worker *w, ecru__timer_node **due, uint32_t count) {
  ecru__timer_node *to_run = NULL, **last = &to_run;
  for (uint32_t i = 0; i < count; i++) {
    if (i + WAITER_AHEAD < count) __builtin_prefetch(due[i + WAITER_AHEAD]->waiter, 1);
    ecru__timer_node *node = due[i];
    node->slot = 0;
    if (!node->claim(w, node)) continue; // node may be gone
    node->run_next = NULL;
    *last = node;
    last = &node->run_next;
  }
  return to_run;
}

int ecru__timers_run(ecru__worker *w, ecru__timers *t, int64_t now) {
  // acquire: pairs with the release in note_earliest
  if (atomic_load_explicit(&t->earliest, memory_order_acquire) > now) return 0;
  ecru__timer_node *due[AT_ONCE];
  ecru__lock_take(&t->lock);
  uint32_t fired = extract_due(t, now, due);
  ecru__timer_node *to_run = claim_due(w, due, fired);
  ecru__lock_drop(&t->lock);
  while (to_run) {
    ecru__timer_node *node = to_run;
    to_run = node->run_next;
    node->run(w, node);
  }
  atomic_fetch_add_explicit(&ecru__sched.timers_fired, fired, memory_order_relaxed);
  return (int)fired;
}

static void empty(ecru__timers *t) {
  t->count = 0;
  for (uint32_t i = 0; i < t->room; i++) t->places[i].position = i + 1;
  t->free_place = 0;
  note_earliest(t);
}

/// Moves all nodes of a retired processor's heap. What finds no room (out of memory) stays: the monitor serves every heap.
void ecru__timers_move(ecru__timers *from, ecru__timers *to) {
  ecru__lock_take(&to->lock); // the first heap before the others: the one order in which two are held
  ecru__lock_take(&from->lock);
  if (make_room(to, to->count + from->count)) {
    for (uint32_t i = 0; i < from->count; i++) insert(to, from->places[from->heap[i].place].node, from->heap[i].when);
    empty(from);
  }
  ecru__lock_drop(&from->lock);
  ecru__lock_drop(&to->lock);
}

/// At stop, when no goroutine and no worker is left: whatever is still armed never fires.
void ecru__timers_clear_all(void) {
  for (int i = 0; i < ECRU__HEAPS; i++) {
    ecru__timers *t = &ecru__timer_table[i];
    for (uint32_t k = 0; k < t->count; k++) {
      ecru__timer_node *node = t->places[t->heap[k].place].node;
      node->slot = 0;
      atomic_store_explicit(&node->heap, NULL, memory_order_relaxed);
    }
    empty(t);
    ecru__free(t->heap);
    ecru__free(t->places);
    t->heap = NULL;
    t->places = NULL;
    t->free_place = t->room = 0;
  }
}

void ecru__timers_in_child(void) {
  for (int i = 0; i < ECRU__HEAPS; i++) ecru__timer_table[i].lock = (ecru__lock){0};
  ecru__timers_clear_all();
}
