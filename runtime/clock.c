/// runtime/clock.c: the runtime's clock, real or virtual (rule K7).
#include "runtime/clock.h"

#include "runtime/state.h"

_Atomic(ecru_clock *) ecru__clock;
static _Atomic uint32_t holds; // atomic: of everybody

static ecru_clock *current(void) {
  // acquire: pairs with the release in ecru__clock_use
  return atomic_load_explicit(&ecru__clock, memory_order_acquire);
}

int64_t ecru__now(void) {
  ecru_clock *clock = current();
  return ECRU__LIKELY(!clock) ? ecru__clock_now() : atomic_load_explicit(&clock->now, memory_order_acquire);
}

bool ecru__clock_is_virtual(void) { return current() != NULL; }

void ecru__clock_use(ecru_clock *clock) { atomic_store_explicit(&ecru__clock, clock, memory_order_release); }

bool ecru__clock_virtual_advance(int64_t earliest) {
  ecru_clock *clock = current();
  if (!clock || earliest == ECRU_FOREVER) return false;
  // seq_cst: pairs with ecru__clock_let_go: of the last to let go and the last to fall asleep the later sees both
  if (atomic_load_explicit(&holds, memory_order_seq_cst) != 0) return false;
  int64_t now = atomic_load_explicit(&clock->now, memory_order_relaxed);
  while (now < earliest &&
         !atomic_compare_exchange_weak_explicit(&clock->now, &now, earliest, memory_order_acq_rel, memory_order_relaxed)) {}
  return true;
}

void ecru__clock_hold(void) { atomic_fetch_add_explicit(&holds, 1, memory_order_seq_cst); } // seq_cst: before the caller counts as parked

void ecru__clock_let_go(void) {
  atomic_fetch_sub_explicit(&holds, 1, memory_order_seq_cst); // seq_cst: pairs with the look in ecru__clock_virtual_advance
  ecru__try_virtual_jump(); // in a foreign thread: everybody else may be parked
}

static int64_t saturating_sum(int64_t instant, int64_t duration) {
  return duration > ECRU_FOREVER - instant ? ECRU_FOREVER : instant + duration;
}

int64_t ecru_now(void) { return ecru__now(); }

int64_t ecru_after(int64_t duration_ns) {
  int64_t now = ecru__now();
  return duration_ns > 0 ? saturating_sum(now, duration_ns) : now;
}

int ecru_clock_virtual_create(ecru_clock **result, int64_t start_ns) {
  if (!result || start_ns <= 0 || start_ns == ECRU_FOREVER) return ECRU_EINVAL;
  ecru_clock *clock = ecru__malloc(sizeof *clock);
  if (!clock) return ECRU_ENOMEM;
  ecru__handle_begin(&clock->mark);
  atomic_init(&clock->now, start_ns);
  *result = clock;
  return 0;
}

/// Those who sleep on behalf of idle processors do not watch a virtual clock.
static int tell_sleepers(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__wake_due_keepers();
  ecru__leave(w);
  return 0;
}

int ecru_clock_advance(ecru_clock *clock, int64_t duration_ns) {
  ECRU__CHECK_HANDLE(clock);
  if (!clock || duration_ns < 0) return ECRU_EINVAL;
  int64_t now = atomic_load_explicit(&clock->now, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&clock->now, &now, saturating_sum(now, duration_ns), memory_order_acq_rel,
                                                memory_order_relaxed)) {}
  return clock == current() ? tell_sleepers() : 0;
}

void ecru_clock_destroy(ecru_clock *clock) {
  ECRU__CHECK_HANDLE(clock);
  if (!clock) return;
  if (clock == current()) ecru__panic("ecru_clock_destroy", clock, "the runtime still uses this clock");
  ecru__handle_free(&clock->mark, clock, sizeof *clock);
}
