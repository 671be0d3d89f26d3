/// runtime/debug.c: when reports are made: on a deadlock (D1), on SIGQUIT (D2), every few milliseconds (D4).
///
/// Nothing of a program's own runs in the monitor, and nothing that may block: a dump for SIGQUIT (whose reader may be slow)
/// and the program's deadlock hook (which may call ecru) get a thread for the occasion. While it runs there is no deadlock.
///
/// Whoever looks at goroutines, workers and processors from outside holds a look: stopping waits for looks to end before it
/// frees anything.
#include "runtime/debug.h"

#include <stdlib.h>

#include "platform/signal.h"
#include "runtime/fork.h"
#include "runtime/text.h"

static struct {
  _Atomic uint32_t looks;       // atomic: looks under way
  _Atomic uint32_t up;          // atomic: there is something to look at
  _Atomic uint32_t dump_wanted; // atomic: SIGQUIT has come
  ecru__lock hook_lock;
  void (*hook)(void *context);  // hook_lock
  void *hook_context;           // hook_lock
  uint64_t reported;            // monitor: how much had happened when a deadlock was last reported
} debug;

/// The thread for the occasion. Started by the monitor, joined by it or at stop.
static struct {
  void *thread;                 // monitor: to be joined, or NULL
  _Atomic uint32_t busy;        // atomic: it has not finished
  _Atomic uint64_t thread_id;   // atomic: its own
  void (*task)(void);           // set before it starts
} aside;

bool ecru__look_begin(void) {
  // seq_cst: pairs with ecru__debug_stop: it sees our look or we see that it is over
  atomic_fetch_add_explicit(&debug.looks, 1, memory_order_seq_cst);
  if (atomic_load_explicit(&debug.up, memory_order_seq_cst)) return true;
  ecru__look_end();
  return false;
}

void ecru__look_end(void) { atomic_fetch_sub_explicit(&debug.looks, 1, memory_order_release); }

static void aside_main(void *unused) {
  (void)unused;
  atomic_store_explicit(&aside.thread_id, ecru__thread_id(), memory_order_relaxed);
  aside.task();
  atomic_store_explicit(&aside.busy, 0, memory_order_release); // release: pairs with run_aside
}

/// returns: false: not now.
static bool run_aside(void (*task)(void)) {
  if (atomic_load_explicit(&aside.busy, memory_order_acquire)) return false;
  if (aside.thread) ecru__thread_join(aside.thread);
  aside.thread = NULL;
  aside.task = task;
  atomic_store_explicit(&aside.busy, 1, memory_order_relaxed);
  if (ecru__thread_start(&aside.thread, aside_main, NULL, "ecru-report", 0) == 0) return true;
  atomic_store_explicit(&aside.busy, 0, memory_order_relaxed);
  return false;
}

// ---- deadlock -----------------------------------------------------------------------------------------------------

static void take_hook(void (**hook)(void *), void **context) {
  ecru__lock_take(&debug.hook_lock);
  *hook = debug.hook;
  *context = debug.hook_context;
  ecru__lock_drop(&debug.hook_lock);
}

static void call_hook(void) {
  void (*hook)(void *);
  void *context;
  take_hook(&hook, &context);
  if (hook) hook(context);
}

/// A number that changes whenever a goroutine starts or runs. In the monitor, which outlives what it looks at.
static uint64_t happened(void) {
  ecru_counters now;
  ecru__count(&now);
  return now.spawned + now.switches + (atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed) << 48);
}

_Noreturn static void die(void) {
  char buffer[64];
  ecru__text text = ecru__text_to(2, buffer, sizeof buffer);
  ecru__put(&text, "ecru: all goroutines are asleep: deadlock\n");
  (void)ecru__text_end(&text);
  (void)ecru_dump(2, ECRU_DUMP_TEXT);
  _Exit(2); // not exit: what it runs may wait for goroutines
}

void ecru__deadlock(void) {
  void (*hook)(void *);
  void *context;
  take_hook(&hook, &context);
  if (!hook) die();
  uint64_t picture = happened();
  if (picture != debug.reported && run_aside(call_hook)) debug.reported = picture; // once, not at every look
}

int ecru_set_deadlock_hook(void (*hook)(void *context), void *context) {
  ecru__lock_take(&debug.hook_lock);
  debug.hook = hook;
  debug.hook_context = context;
  ecru__lock_drop(&debug.hook_lock);
  return 0;
}

// ---- what a wait is called ----------------------------------------------------------------------------------------

const char *ecru_waits_for(const char *what) {
  ecru__worker *w = ecru__worker_here(); // not entered: nothing but the caller's own is touched
  if (!w) {
    if (!(w = ecru__enter())) return NULL;
    ecru__leave(w);
  }
  const char *before = w->self->waits_for;
  w->self->waits_for = what;
  return before;
}

// ---- dump on SIGQUIT ----------------------------------------------------------------------------------------------

static void dump_aside(void) { (void)ecru_dump(2, ECRU_DUMP_TEXT); }

/// In a signal handler.
static void quit_came(void) {
  // acq_rel: pairs with ecru__trace_tick: either it sees the flag, or the word it has cleared before is set after that
  atomic_exchange_explicit(&debug.dump_wanted, 1, memory_order_acq_rel);
  atomic_store_explicit(&ecru__sched.monitor_word, 1, memory_order_release);
  ecru__wake_one(&ecru__sched.monitor_word);
}

int ecru_dump_on_sigquit(void) { return ecru__signal_on_quit(quit_came); }

// ---- seams --------------------------------------------------------------------------------------------------------

int64_t ecru__trace_tick(int64_t now) {
  // acq_rel: pairs with quit_came
  if (ECRU__UNLIKELY(atomic_exchange_explicit(&debug.dump_wanted, 0, memory_order_acq_rel)) && !run_aside(dump_aside))
    atomic_store_explicit(&debug.dump_wanted, 1, memory_order_relaxed); // at the next look
  return ecru__trace_line(now);
}

void ecru__debug_start(void) {
  ecru__trace_configure(getenv("ECRU_DEBUG"), ecru__clock_now());
  ecru__crash_listen();
  debug.reported = 0;
  atomic_store_explicit(&debug.dump_wanted, 0, memory_order_relaxed);
  atomic_store_explicit(&debug.up, 1, memory_order_seq_cst);
}

void ecru__debug_stop(void) {
  atomic_store_explicit(&debug.up, 0, memory_order_seq_cst); // seq_cst: pairs with ecru__look_begin
  while (atomic_load_explicit(&debug.looks, memory_order_acquire) != 0) ecru__thread_yield();
  if (!aside.thread) return;
  bool itself = atomic_load_explicit(&aside.busy, memory_order_acquire) &&
                atomic_load_explicit(&aside.thread_id, memory_order_relaxed) == ecru__thread_id();
  if (itself) ecru__thread_detach(aside.thread); // the deadlock hook stops the runtime
  else ecru__thread_join(aside.thread);
  aside.thread = NULL;
}

void ecru__debug_in_child(void) {
  debug.hook_lock = (ecru__lock){0};
  atomic_store_explicit(&debug.looks, 0, memory_order_relaxed);
  atomic_store_explicit(&debug.up, 0, memory_order_relaxed);
  aside.thread = NULL;
  atomic_store_explicit(&aside.busy, 0, memory_order_relaxed);
}
