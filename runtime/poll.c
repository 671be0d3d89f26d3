/// runtime/poll.c: who waits for descriptors, and when.
///
/// One poller, made at the first use of I/O. As long as a worker runs goroutines, it looks at the poller whenever it has run out of them, and
/// when the monitor asks for it (G2: within 1 ms); the last worker to go idle sleeps in the poller instead of on its futex.
/// So on a machine that is not busy one worker does everything and no other is woken for events it would have found
/// itself. (Tried: any idle worker sleeps in the poller. Each event then wakes it across CPUs, 30 us, while the busy one runs dry.)
/// If nobody has looked for the monitor's time, it looks itself and has an idle worker take over.
#include "runtime/fork.h"
#include "runtime/io.h"
#include "runtime/state.h"

enum { EVENTS = 64 };

static ecru__lock starting; // one poller is made

ecru__poller *ecru__poll_start(int *status) {
  // acquire: pairs with the release below: the poller is complete
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  *status = 0;
  if (ECRU__LIKELY(poller != NULL)) return poller;
  ecru__lock_take(&starting);
  poller = atomic_load_explicit(&ecru__sched.poller, memory_order_relaxed);
  if (!poller) *status = ecru__poller_create(&poller);
  if (*status == 0) atomic_store_explicit(&ecru__sched.poller, poller, memory_order_release);
  ecru__lock_drop(&starting);
  return *status == 0 ? poller : NULL;
}

void ecru__poll_stop(void) {
  ecru__poller *poller = atomic_exchange(&ecru__sched.poller, NULL);
  atomic_store(&ecru__sched.poll_slot, 0);
  atomic_store(&ecru__sched.poll_wanted, 0);
  ecru__io_forget_all();
  if (poller) ecru__poller_destroy(poller);
}

static void count(int events, bool asked) {
  if (!asked) atomic_fetch_add_explicit(&ecru__sched.polls, 1, memory_order_relaxed);
  if (events > 0) atomic_fetch_add_explicit(&ecru__sched.poll_wakes, (uint64_t)events, memory_order_relaxed);
}

int ecru__poll_now(ecru__worker *w, bool asked) {
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  if (!poller) return 0;
  ecru__poll_event events[EVENTS];
  int given = ecru__poller_wait(poller, events, EVENTS, 0);
  count(given, asked);
  ecru__io_dispatch(w, events, given);
  return given;
}

static void go_in(ecru__worker *w) {
  atomic_store_explicit(&ecru__sched.poll_wanted, 0, memory_order_relaxed);
  atomic_store_explicit(&ecru__sched.poll_host, w->host != NULL, memory_order_relaxed);
  // seq_cst: pairs with wake() in scheduler.c: it sees us in the poller or we see that we are woken
  atomic_store_explicit(&w->in_poller, 1, memory_order_seq_cst);
}

bool ecru__poll_is_mine(ecru__worker *w) {
  if (!atomic_load_explicit(&ecru__sched.poller, memory_order_acquire)) return false;
  uint32_t slot = atomic_load_explicit(&ecru__sched.poll_slot, memory_order_relaxed);
  if (slot == ECRU__POLL_TAKEN) return false;
  bool last = atomic_load_explicit(&ecru__sched.idle_count, memory_order_seq_cst) >= atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed);
  // A host sleeps there itself: it would have to be woken for what comes. While it is busy the monitor finds the poller neglected.
  bool left_alone = slot == ECRU__POLL_FREE && atomic_load_explicit(&ecru__sched.hosting, memory_order_relaxed) == 0;
  if (!(last && left_alone) && !atomic_load_explicit(&ecru__sched.poll_wanted, memory_order_relaxed)) return false;
  if (!atomic_compare_exchange_strong(&ecru__sched.poll_slot, &slot, ECRU__POLL_TAKEN)) return false;
  go_in(w);
  return true;
}

bool ecru__poll_claim(ecru__worker *w) {
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  if (!poller) return false;
  // acquire: pairs with the exchange that took it and with go_out: poll_host belongs to the one there now, or to a later one
  uint32_t slot = atomic_load_explicit(&ecru__sched.poll_slot, memory_order_acquire);
  bool mine = slot != ECRU__POLL_TAKEN && atomic_compare_exchange_strong(&ecru__sched.poll_slot, &slot, ECRU__POLL_TAKEN);
  if (mine) go_in(w);
  else if (!atomic_load_explicit(&ecru__sched.poll_host, memory_order_relaxed)) ecru__poller_wake(poller);
  return mine;
}

/// One that sleeps on its futex: nobody is in the poller. sched.lock is held.
static ecru__worker *sleeping_host(const ecru__worker *except) {
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.hosts[i], memory_order_relaxed);
    if (!p) return NULL; // they are made in order
    ecru__worker *w = atomic_load_explicit(&p->owner, memory_order_relaxed);
    if (w && w != except && w->listed == ECRU__LISTED_HOST) return w;
  }
  return NULL;
}

void ecru__poll_pass_on(const ecru__worker *w) {
  uint32_t slot = atomic_load_explicit(&ecru__sched.poll_slot, memory_order_relaxed);
  if (slot == ECRU__POLL_TAKEN) return;
  ecru__worker *next = sleeping_host(w);
  if (!atomic_compare_exchange_strong(&ecru__sched.poll_slot, &slot, next ? ECRU__POLL_KEPT : ECRU__POLL_FREE) || !next) return;
  ecru__unlist(next);
  ecru__wake_listed(next); // under the lock: a host takes it before it leaves
}

static void go_out(ecru__worker *w) {
  atomic_store_explicit(&w->in_poller, 0, memory_order_seq_cst);
  atomic_store_explicit(&ecru__sched.poll_host, 0, memory_order_relaxed);
  // seq_cst: pairs with a host's entry and its claim: it sees the place free or we see that there are hosts
  atomic_store_explicit(&ecru__sched.poll_slot, ECRU__POLL_FREE, memory_order_seq_cst);
  if (ECRU__LIKELY(atomic_load_explicit(&ecru__sched.hosting, memory_order_seq_cst) == 0)) return;
  ecru__lock_take(&ecru__sched.lock);
  ecru__poll_pass_on(w);
  ecru__lock_drop(&ecru__sched.lock);
}

int ecru__poll_sleep(ecru__worker *w, ecru__poll_event *events, int most, int64_t deadline_ns) {
  int given = 0;
  if (atomic_load_explicit(&w->wake, memory_order_seq_cst) == 0)
    given = ecru__poller_wait(atomic_load_explicit(&ecru__sched.poller, memory_order_relaxed), events, most, deadline_ns < 1 ? 0 : deadline_ns);
  go_out(w);
  count(given, false);
  return given;
}

/// Nobody has looked of his own accord since the last call, and nobody sleeps in it. (The monitor asks.)
bool ecru__poll_is_neglected(void) {
  static uint64_t seen; // monitor's
  if (!atomic_load_explicit(&ecru__sched.poller, memory_order_acquire)) return false;
  uint64_t polls = atomic_load_explicit(&ecru__sched.polls, memory_order_relaxed);
  bool neglected = polls == seen && atomic_load_explicit(&ecru__sched.poll_slot, memory_order_relaxed) != ECRU__POLL_TAKEN;
  seen = polls;
  return neglected;
}

/// A thread without a processor is about to wait for a descriptor: somebody must be looking.
void ecru__poll_ensure(void) {
  if (!atomic_load_explicit(&ecru__sched.poller, memory_order_acquire)) return;
  if (atomic_load_explicit(&ecru__sched.poll_slot, memory_order_relaxed) == ECRU__POLL_TAKEN) return;
  if (atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) != 0) ecru__wake_worker();
}

void ecru__poll_in_child(void) {
  starting = (ecru__lock){0};
  ecru__poll_stop(); // the child's descriptors of it: the parent's sleeps on
}
