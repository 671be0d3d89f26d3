/// runtime/state.h: the scheduler's own state and the seams between its files (worker.c, queue.c, park.c, scheduler.c,
/// goroutine.c, stack.c, monitor.c, timers.c, runtime.c). Primitives do not include this.
#ifndef ECRU_RUNTIME_STATE_H
#define ECRU_RUNTIME_STATE_H
#include "platform/clock.h"
#include "platform/ctx.h"
#include "platform/memory.h"
#include "platform/thread.h"
#include "platform/wait.h"
#include "runtime/scheduler.h"

enum { ECRU__STOPPED = 0, ECRU__STARTING = 1, ECRU__STARTED = 2, ECRU__STOPPING = 3 };
enum { ECRU__LISTED_NOT = 0, ECRU__LISTED_IDLE = 1, ECRU__LISTED_SPARE = 2, ECRU__LISTED_HOST = 3 }; // the last: asleep, though in no list
/// What the next context does with the one just left (worker->post_kind).
enum { ECRU__POST_NONE = 0, ECRU__POST_PARK, ECRU__POST_YIELD, ECRU__POST_GLOBAL, ECRU__POST_DEAD };

typedef struct ecru__scheduler {
  _Atomic uint32_t state;        // atomic: ECRU__STOPPED ...
  _Atomic uint64_t epoch;        // atomic: counts starts
  ecru_options options;          // set at start
  ecru__lock lock;               // guards the lists below
  ecru__worker *idle;            // lock: asleep, each on behalf of its processor
  ecru__worker *spare;           // lock: asleep without one
  ecru__processor *unmanned;     // lock: idle processors no worker sleeps for: never used yet, or retired
  ecru__worker *workers;         // lock: all ever started since start (type-stable until stop)
  ecru__worker *foreign;         // lock: adopted threads and own-thread goroutines
  ecru__worker *finished;        // lock: own-thread workers whose threads have to be joined
  _Atomic uint32_t idle_count;   // atomic: written under lock: idle + unmanned processors
  _Atomic uint32_t spinning;     // atomic: workers looking for work
  _Atomic uint32_t maxprocs;     // atomic: written under maxprocs_lock
  _Atomic uint32_t created;      // atomic: processors[0..created) exist
  _Atomic(ecru__processor *) processors[ECRU__MAXPROCS_LIMIT];
  ecru__lock global_lock;        // guards the global run queue
  _Atomic uint32_t global_count; // atomic: written under global_lock
  _Atomic uint64_t spawned, ended; // atomic: by threads without a processor
  _Atomic uint64_t next_id;      // atomic
  _Atomic uint32_t threads;      // atomic: scheduler threads alive, own-thread ones included
  _Atomic(ecru__processor *) hosts[ECRU__HOSTS_LIMIT]; // atomic: processors of hosts, kept until stop
  _Atomic uint32_t hosting;      // atomic: written under lock: threads that are hosts
  _Atomic uint32_t foreign_parked; // atomic: foreign threads asleep in ecru
  _Atomic uint32_t own_awake;    // atomic: own-thread goroutines that are not parked, from before they start till after they end, and hosts (K7)
  _Atomic uint32_t stop_word;    // atomic: futex of ecru_stop
  _Atomic int64_t coarse_now;    // atomic: the clock as of the last look by anyone
  uint32_t starting;             // lock: workers being started
  bool ending;                   // lock: no worker may be started any more
  _Atomic uint32_t some_lent;    // atomic: a hint: some worker has lent its processor
  _Atomic uint32_t fast_watch;   // atomic: a processor is lent while work waits: the monitor looks every 25 us, or has been woken to
  _Atomic uint64_t threads_created, handoffs, thread_wakes, timers_fired;
  ecru__worker *monitor;         // set at start
  void *monitor_thread;          // set at start
  _Atomic uint32_t monitor_word; // atomic: futex of the monitor: 1 = look now
  _Atomic uint32_t monitor_deep; // atomic: it sleeps until woken
  _Atomic uint32_t monitor_naps; // atomic: it looks so rarely that who adds a timer due soon wakes it
  _Atomic uint32_t monitor_stop; // atomic
  _Atomic(struct ecru__poller *) poller; // atomic: NULL until the first I/O
  _Atomic uint32_t poll_slot;    // atomic: ECRU__POLL_TAKEN: a worker sleeps in the poller (or is about to)
  _Atomic uint32_t poll_host;    // atomic: a hint: the one in the poller is a host
  _Atomic uint32_t poll_wanted;  // atomic: the next idle worker shall, though others run
  _Atomic uint64_t polls, poll_wakes; // atomic: looks at the poller nobody asked for, events it gave
} ecru__scheduler;
extern ecru__scheduler ecru__sched;
enum { ECRU__POLL_FREE = 0, ECRU__POLL_TAKEN = 1, ECRU__POLL_KEPT = 2 }; // the last: free, for a host that has been woken to take it

// worker.c
void ecru__worker_set_here(ecru__worker *w);
void ecru__worker_prepare(ecru__worker *w); // the calling thread fills in what is its own
int ecru__worker_start(ecru__processor *p); // a thread that owns p; 0, ECRU_ENOMEM, ECRU_ETHREADS or ECRU_ESHUTDOWN
void ecru__worker_main(void *worker);
void ecru__worker_run(ecru__worker *w, ecru__goroutine *g); // on the native stack, until it leaves the processor
void ecru__worker_join(ecru__worker *w);
void ecru__worker_give(ecru__worker *w, ecru__processor *p); // p becomes w's (NULL: none)
void ecru__foreign_forget_all(void);
int ecru__worker_watch_forks(void); // 0 or ECRU_ENOMEM

// queue.c
void ecru__queue_local(ecru__worker *w, ecru__goroutine *g);
void ecru__queue_yielded(ecru__worker *w, ecru__goroutine *g);
void ecru__queue_global(ecru__goroutine *g);
void ecru__queue_release_global(void);
ecru__goroutine *ecru__queue_pop(ecru__processor *p);
ecru__goroutine *ecru__queue_global_pop(ecru__processor *p);
ecru__goroutine *ecru__queue_steal(ecru__processor *p, ecru__processor *victim);
void ecru__queue_flush(ecru__processor *p);
void ecru__bed_sow(ecru__worker *w, ecru__goroutine *seed, uint64_t spawner);
ecru__goroutine *ecru__bed_pop(ecru__processor *p);
void ecru__bed_age(ecru__processor *p);
void ecru__bed_flush(ecru__processor *p, uint32_t count); // the oldest go to the ring
static inline bool ecru__queue_is_empty(ecru__processor *p) {
  return atomic_load_explicit(&p->head, memory_order_relaxed) == atomic_load_explicit(&p->tail, memory_order_relaxed);
}

// scheduler.c
ecru__goroutine *ecru__pick(ecru__worker *w);
ecru__goroutine *ecru__find_work(ecru__worker *w);
ecru__goroutine *ecru__take_waiting(ecru__processor *p); // from the ring or the bed
ecru__goroutine *ecru__take_pinned(ecru__worker *w);
void ecru__note_latency(ecru__processor *p, ecru__goroutine *g);
void ecru__give_cache_back(ecru__processor *p);
void ecru__unlist(ecru__worker *w); // sched.lock is held
void ecru__wake_listed(ecru__worker *w); // it has been taken out of its list
void ecru__wake_worker(void);   // work has been made: have an idle processor look for it
void ecru__wake_keeper(ecru__processor *p);
void ecru__wake_due_keepers(void); // the virtual clock was moved
void ecru__withdraw_unmanned(ecru__processor *p); // retired before a worker was started for it
void ecru__try_virtual_jump(void);
void ecru__own_sleeps(void); // an own-thread goroutine has parked or ended
void ecru__take_idle_stacks(void); // what idle processors cache goes to the depot
bool ecru__take_idle_processor(ecru__worker *w);
int ecru__handoff(ecru__processor *p);
void ecru__deliver_pinned(ecru__worker *w, ecru__goroutine *g);
void ecru__deliver(ecru__worker *w, ecru__worker *target, ecru__goroutine *g); // may be a seed, if target is a host's
static inline void ecru__maybe_wake(void) {
  // relaxed: a miss costs parallelism until the monitor's next look, never progress: the pusher runs the work itself
  if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) != 0) &&
      atomic_load_explicit(&ecru__sched.spinning, memory_order_relaxed) == 0)
    ecru__wake_worker();
}
/// Seeds in the bed cannot be stolen: an eighth of them, the oldest, go where they can be if somebody is idle. (Not half: what nobody
/// steals in time is run here out of order, and each of these opens a subtree of its own.)
static inline void ecru__bed_share(ecru__processor *p) {
  if (ECRU__LIKELY(atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed) == 0) || p->host) return;
  if (!ecru__queue_is_empty(p)) return;
  ecru__bed_flush(p, p->bed.count / 8 + 1);
  ecru__maybe_wake();
}
uint64_t ecru__alive(void);

// park.c
ecru__worker *ecru__switch_away(ecru__worker *w);
void ecru__finish_switch(ecru__worker *w);

void ecru__park_thread(ecru__worker *w, ecru__waiter *x, void (*release)(void *), void *argument);
void ecru__requeue(ecru__worker **w); // the goroutine has lost its processor: queues up again

// goroutine.c
void ecru__goroutine_free(ecru__worker *w, ecru__goroutine *g);
static inline ecru__goroutine *ecru__goroutine_of(ecru__waiter *x) { return (ecru__goroutine *)(void *)x; }
/// The goroutine the worker runs, NULL for a plain thread.
static inline ecru__goroutine *ecru__goroutine_here(ecru__worker *w) {
  return w->self == &w->waiter ? NULL : ecru__goroutine_of(w->self);
}

// stack.c
typedef struct ecru__stack {
  struct ecru__stack *next; // lock: depot's
  char *low;                // set once: start of the reservation; the guard is its first ecru__stack_guard_bytes
  int64_t freed_ns;         // lock: depot's: when it was given back
  char *top;                // set once: where its goroutine's control block ends; above lies the program's room
  uint32_t log2;            // set once: size of the reservation
  _Atomic uint32_t in_use;  // atomic
} ecru__stack;
static inline char *ecru__stack_end(const ecru__stack *stack) { return stack->low + ((size_t)1 << stack->log2); }
/// The goroutine whose control block lies at the top of the stack.
static inline ecru__goroutine *ecru__stack_goroutine(const ecru__stack *stack) {
  enum { LINE = 64, BYTES = (sizeof(ecru__goroutine) + LINE - 1) & ~(LINE - 1) };
  return (ecru__goroutine *)(void *)(stack->top - BYTES);
}
size_t ecru__stack_guard_bytes(uint32_t log2); // safe in a signal handler
int ecru__stack_take(ecru__stack **stack, size_t bytes); // 0, ECRU_EINVAL, ECRU_ENOMEM
uint32_t ecru__stacks_take_warm(ecru__stack **batch, uint32_t room, size_t bytes); // only such as need no memory; returns how many
void ecru__stack_give(ecru__stack *stack);
void ecru__stacks_give_list(ecru__goroutine *head); // through queue_next
/// Rights to stacks of default size: grants up to `want` (fewer if no more can be mapped); takes some back.
uint32_t ecru__stack_grant(uint32_t want);
void ecru__stack_return(uint32_t rights);
void ecru__stacks_trim(int64_t now, int64_t age_ns);
void ecru__stacks_release_all(void);
/// Calls visit for every stack in use until it returns false. Stacks may come and go meanwhile.
void ecru__stacks_visit(bool (*visit)(void *context, ecru__goroutine *g), void *context);
/// The stack whose reservation holds address, or NULL; safe in a signal handler.
const ecru__stack *ecru__stack_at(const void *address);
void ecru__stacks_count(uint64_t *mapped, uint64_t *unused);

// monitor.c
int ecru__monitor_start(void);
void ecru__monitor_join(void);
void ecru__monitor_tell(int64_t when);
/// A heap's earliest timer is now one due at `when`.
static inline void ecru__monitor_heed(int64_t when) {
  ecru__fence_light(); // pairs with the heavy fence in nap_long: we see the flag or it sees the timer
  if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.monitor_naps, memory_order_relaxed))) ecru__monitor_tell(when);
}
static inline void ecru__monitor_nudge(void) {
  // seq_cst: pairs with the monitor's store of monitor_deep before its last look
  if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.monitor_deep, memory_order_seq_cst))) {
    atomic_store_explicit(&ecru__sched.monitor_word, 1, memory_order_release);
    ecru__wake_one(&ecru__sched.monitor_word);
  }
}

// poll.c
struct ecru__poll_event;
struct ecru__poller *ecru__poll_start(int *status); // the poller; NULL: *status says why
void ecru__poll_stop(void);
int ecru__poll_now(ecru__worker *w, bool asked);    // hands out what is ready; asked: by the monitor. returns: how many events
bool ecru__poll_claim(ecru__worker *w);             // the same for a host: who is in its place is asked to leave it
/// w has left the place in the poller, or as a host for good: a host that sleeps elsewhere, if there is one, shall take it. sched.lock is held.
void ecru__poll_pass_on(const ecru__worker *w);
bool ecru__poll_is_mine(ecru__worker *w);           // takes the place of the one that sleeps in the poller: ecru__poll_sleep must follow
int ecru__poll_sleep(ecru__worker *w, struct ecru__poll_event *events, int most, int64_t deadline_ns);
bool ecru__poll_is_neglected(void);
void ecru__poll_ensure(void);

// timers.c
extern ecru__timers ecru__timer_table[ECRU__HEAPS];
void ecru__timers_move(ecru__timers *from, ecru__timers *to);
void ecru__timers_clear_all(void);

// runtime.c
int ecru__start_implicitly(void);
ecru__processor *ecru__processor_new(uint32_t index); // NULL: out of memory
void ecru__watch_fast(void);
void ecru__lend_processor(ecru__worker *w);
void ecru__stop_check(void); // a goroutine has ended while stopping

// debug.c
void ecru__deadlock(void);                // all sleep and nothing can wake them
int64_t ecru__trace_tick(int64_t now);    // called by the monitor on every look; when it wants to be called again
void *ecru__inspected(void *request, ecru__goroutine *g); // on g's stack: see debug.c
void ecru__debug_start(void);
void ecru__debug_stop(void);

// crash.c
void ecru__crash_install(void);
void ecru__crash_thread(ecru__worker *w);        // an alternate signal stack for the calling thread
void ecru__crash_thread_end(void);

// clock.c (time)
void ecru__clock_use(ecru_clock *clock);
bool ecru__clock_virtual_advance(int64_t earliest);
// token.c
void ecru__token_shield(ecru__waiter *x);
void ecru__token_unshield(ecru__waiter *x);
#endif
