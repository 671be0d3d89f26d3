/// runtime/timers.c: the timer heaps (timers.h). Each is 4-ary: half the depth of a binary heap, four children in one or two
/// cache lines. The heaps stand in a static table, so that a node may keep the pointer to the heap it was last in: removing
/// takes that heap's lock even when the node has fired, and so waits for a claim under way.
///
/// A thread without a processor puts its timers into the first heap, whose processor always has a worker.
#include "runtime/state.h"

ecru__timers ecru__timer_table[ECRU__MAXPROCS_LIMIT];

static void place(ecru__timers *t, uint32_t slot, ecru__timer_node *node) {
  t->nodes[slot] = node;
  node->slot = slot + 1;
}

static void sift_up(ecru__timers *t, uint32_t slot, ecru__timer_node *node) {
  while (slot > 0) {
    uint32_t parent = (slot - 1) / 4;
    if (t->nodes[parent]->when <= node->when) break;
    place(t, slot, t->nodes[parent]);
    slot = parent;
  }
  place(t, slot, node);
}

static void sift_down(ecru__timers *t, uint32_t slot, ecru__timer_node *node) {
  for (;;) {
    uint32_t first = slot * 4 + 1, best = first;
    if (first >= t->count) break;
    uint32_t end = first + 4 < t->count ? first + 4 : t->count;
    for (uint32_t child = first + 1; child < end; child++)
      if (t->nodes[child]->when < t->nodes[best]->when) best = child;
    if (t->nodes[best]->when >= node->when) break;
    place(t, slot, t->nodes[best]);
    slot = best;
  }
  place(t, slot, node);
}

static void note_earliest(ecru__timers *t) {
  int64_t earliest = t->count ? t->nodes[0]->when : ECRU_FOREVER;
  // release: pairs with the acquire of whoever decides how long to sleep
  atomic_store_explicit(&t->earliest, earliest, memory_order_release);
}

static bool make_room(ecru__timers *t, uint32_t count) {
  if (count <= t->room) return true;
  uint32_t room = t->room ? t->room : 64;
  while (room < count) room *= 2;
  ecru__timer_node **nodes = ecru__realloc(t->nodes, room * sizeof(*nodes));
  if (!nodes) return false;
  t->nodes = nodes;
  t->room = room;
  return true;
}

static void insert(ecru__timers *t, ecru__timer_node *node, int64_t when) {
  node->when = when;
  atomic_store_explicit(&node->heap, t, memory_order_release);
  t->count++;
  sift_up(t, t->count - 1, node);
  if (t->nodes[0] == node) note_earliest(t);
}

static void extract(ecru__timers *t, ecru__timer_node *node) {
  uint32_t slot = node->slot - 1;
  bool was_first = slot == 0;
  ecru__timer_node *last = t->nodes[--t->count];
  node->slot = 0;
  if (last != node) {
    if (slot > 0 && last->when < t->nodes[(slot - 1) / 4]->when) sift_up(t, slot, last);
    else sift_down(t, slot, last);
  }
  if (was_first) note_earliest(t);
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

bool ecru__timer_remove(ecru__timer_node *node) {
  for (;;) {
    ecru__timers *t = atomic_load_explicit(&node->heap, memory_order_acquire);
    if (!t) return false;
    ecru__lock_take(&t->lock);
    bool here = atomic_load_explicit(&node->heap, memory_order_relaxed) == t;
    bool armed = here && node->slot != 0;
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
  bool first = park.timers->nodes[0] == node;
  if (first && !(*w)->processor) // it will look at the heap only after we have dropped its lock
    ecru__wake_keeper(atomic_load_explicit(&ecru__sched.processors[0], memory_order_acquire));
  int status = ecru__park_with(w, timer_park_release, &park, reason, object);
  ecru__timer_remove(node);
  return status;
}

int ecru__timers_run(ecru__worker *w, ecru__timers *t, int64_t now) {
  // acquire: pairs with the release in note_earliest
  if (atomic_load_explicit(&t->earliest, memory_order_acquire) > now) return 0;
  ecru__timer_node *to_run = NULL, **last = &to_run;
  int fired = 0;
  ecru__lock_take(&t->lock);
  while (t->count > 0 && t->nodes[0]->when <= now) {
    ecru__timer_node *node = t->nodes[0];
    extract(t, node);
    fired++;
    if (!node->claim(w, node)) continue; // node may be gone
    node->run_next = NULL;
    *last = node;
    last = &node->run_next;
  }
  ecru__lock_drop(&t->lock);
  while (to_run) {
    ecru__timer_node *node = to_run;
    to_run = node->run_next;
    node->run(w, node);
  }
  atomic_fetch_add_explicit(&ecru__sched.timers_fired, (uint64_t)fired, memory_order_relaxed);
  return fired;
}

/// Moves all nodes of a retired processor's heap. What finds no room (out of memory) stays: the monitor serves every heap.
void ecru__timers_move(ecru__timers *from, ecru__timers *to) {
  ecru__lock_take(&to->lock); // the first heap before the others: the one order in which two are held
  ecru__lock_take(&from->lock);
  if (make_room(to, to->count + from->count)) {
    for (uint32_t i = 0; i < from->count; i++) insert(to, from->nodes[i], from->nodes[i]->when);
    from->count = 0;
    note_earliest(from);
  }
  ecru__lock_drop(&from->lock);
  ecru__lock_drop(&to->lock);
}

/// At stop, when no goroutine and no worker is left: whatever is still armed never fires.
void ecru__timers_clear_all(void) {
  for (int i = 0; i < ECRU__MAXPROCS_LIMIT; i++) {
    ecru__timers *t = &ecru__timer_table[i];
    for (uint32_t k = 0; k < t->count; k++) {
      t->nodes[k]->slot = 0;
      atomic_store_explicit(&t->nodes[k]->heap, NULL, memory_order_relaxed);
    }
    ecru__free(t->nodes);
    t->nodes = NULL;
    t->count = t->room = 0;
    note_earliest(t);
  }
}
