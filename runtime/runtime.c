/// runtime/runtime.c: start, stop, run (G1, G13), maxprocs (G5), blocking sections (G3), the scan of all waiters.
#include "runtime/handle.h"
#include "runtime/host.h"
#include "runtime/sanitize.h"
#include "runtime/seed.h"
#include "runtime/state.h"
#include "runtime/uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_STACK = 256 << 10, THREADS_MAX = 10000, STACK_MIN = 16 << 10, STACK_MAX = 1 << 30, ROOM_SHARE = 8, ROOM_ALIGN = 64 };
#define DEFAULT_GRACE (10 * ECRU_SECOND)
#define DEFAULT_IDLE_THREAD (10 * ECRU_SECOND)

static int default_maxprocs(void) {
  const char *set = getenv("ECRU_MAXPROCS");
  int n = set ? atoi(set) : 0;
  if (n < 1) n = ecru__cpu_budget();
  return n < ECRU__MAXPROCS_LIMIT ? n : ECRU__MAXPROCS_LIMIT;
}

static ecru_options defaults = ECRU_OPTIONS; // written while the state is STARTING

static int take_options(const ecru_options *given) {
  ecru_options *options = &ecru__sched.options;
  *options = (ecru_options)ECRU_OPTIONS;
  if (!given) given = &defaults;
  if (given->size < sizeof(size_t) || given->size > sizeof *given) return ECRU_EINVAL;
  memcpy(options, given, given->size);
  if (options->maxprocs < 0 || options->maxprocs > ECRU__MAXPROCS_LIMIT || options->threads_max < 0 || options->grace_ns < 0 ||
      options->idle_thread_ns < 0 || options->flags & ~(unsigned)ECRU_NO_SIGNAL_HANDLERS)
    return ECRU_EINVAL;
  if (options->stack_bytes && (options->stack_bytes < STACK_MIN || options->stack_bytes > STACK_MAX)) return ECRU_EINVAL;
  size_t stack = STACK_MIN; // a power of two, so that it can be told from other sizes
  while (stack < (options->stack_bytes ? options->stack_bytes : DEFAULT_STACK)) stack *= 2;
  options->stack_bytes = stack;
  if (options->room_bytes > stack / ROOM_SHARE) return ECRU_EINVAL;
  options->room_bytes = (options->room_bytes + ROOM_ALIGN - 1) & ~(size_t)(ROOM_ALIGN - 1);
  if (!options->threads_max) options->threads_max = THREADS_MAX;
  if (!options->grace_ns) options->grace_ns = DEFAULT_GRACE;
  if (!options->idle_thread_ns) options->idle_thread_ns = DEFAULT_IDLE_THREAD;
  if (!options->maxprocs) options->maxprocs = default_maxprocs();
  if (options->maxprocs > options->threads_max) options->maxprocs = options->threads_max;
  if (!options->seed) options->seed = (uint64_t)ecru__clock_now() ^ (uintptr_t)&given;
  return 0;
}

ecru__processor *ecru__processor_new(uint32_t index) {
  size_t bytes = (sizeof(ecru__processor) + 63) & ~(size_t)63;
  void *block = ecru__calloc(1, bytes + 64 + sizeof(void *));
  if (!block) return NULL;
  char *aligned = (char *)(((uintptr_t)block + sizeof(void *) + 63) & ~(uintptr_t)63);
  ((void **)(void *)aligned)[-1] = block; // where free finds it
  ecru__processor *p = (ecru__processor *)(void *)aligned;
  p->index = index;
  p->timers = &ecru__timer_table[index];
  p->random = (uint32_t)(ecru__mixed(ecru__sched.options.seed + (index + 1) * ECRU__GOLDEN) >> 32); // D6: seeds next to each other give other picks
  if (p->random == 0) p->random = 1;
  return p;
}

static void free_processors(void) {
  uint32_t created = atomic_load(&ecru__sched.created);
  atomic_store(&ecru__sched.created, 0);
  for (uint32_t i = 0; i < created; i++) {
    ecru__processor *p = atomic_exchange(&ecru__sched.processors[i], NULL);
    ecru__free(((void **)(void *)p)[-1]);
  }
  for (uint32_t i = 0; i < ECRU__HOSTS_LIMIT; i++) {
    ecru__processor *p = atomic_exchange(&ecru__sched.hosts[i], NULL);
    if (p) ecru__free(((void **)(void *)p)[-1]);
  }
}

/// Makes processors up to maxprocs; the new and the formerly retired ones are idle, without a worker.
static int add_processors(uint32_t maxprocs) {
  for (uint32_t i = 0; i < maxprocs; i++) {
    ecru__processor *p = atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed);
    if (p) {
      uint32_t retired = 2, retiring = 1;
      if (atomic_compare_exchange_strong(&p->retired, &retiring, 0)) continue; // it has not noticed yet
      while (atomic_load(&p->retired) == 3) ecru__thread_yield();              // it is about to
      if (!atomic_compare_exchange_strong(&p->retired, &retired, 0)) continue;
    } else {
      p = ecru__processor_new(i);
      if (!p) return ECRU_ENOMEM;
      atomic_store_explicit(&ecru__sched.processors[i], p, memory_order_release);
      atomic_store_explicit(&ecru__sched.created, i + 1, memory_order_release);
    }
    ecru__lock_take(&ecru__sched.lock);
    p->unmanned_next = ecru__sched.unmanned;
    ecru__sched.unmanned = p;
    atomic_fetch_add(&ecru__sched.idle_count, 1);
    ecru__lock_drop(&ecru__sched.lock);
  }
  return 0;
}

static void reset_scheduler(void) {
  ecru__sched.idle = ecru__sched.spare = NULL;
  ecru__sched.unmanned = NULL;
  ecru__sched.ending = false;
  atomic_store(&ecru__sched.idle_count, 0);
  atomic_store(&ecru__sched.spinning, 0);
  atomic_store(&ecru__sched.global_count, 0);
  atomic_store(&ecru__sched.spawned, 0);
  atomic_store(&ecru__sched.ended, 0);
  atomic_store(&ecru__sched.next_id, 1);
  atomic_store(&ecru__sched.threads, 0);
  atomic_store(&ecru__sched.threads_created, 0);
  atomic_store(&ecru__sched.handoffs, 0);
  atomic_store(&ecru__sched.thread_wakes, 0);
  atomic_store(&ecru__sched.timers_fired, 0);
  atomic_store(&ecru__sched.polls, 0);
  atomic_store(&ecru__sched.poll_wakes, 0);
  atomic_store(&ecru__sched.coarse_now, ecru__clock_now());
}

static void end_workers(void) {
  ecru__lock_take(&ecru__sched.lock);
  ecru__sched.ending = true; // no new ones from here on
  while (ecru__sched.starting > 0) {
    ecru__lock_drop(&ecru__sched.lock);
    ecru__thread_yield();
    ecru__lock_take(&ecru__sched.lock);
  }
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next) {
    uint32_t running = 0;
    atomic_compare_exchange_strong(&w->stopping, &running, 1);
  }
  ecru__sched.idle = ecru__sched.spare = NULL;
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next) {
    ECRU__SET(w->listed, ECRU__LISTED_NOT);
    ecru__wake_listed(w);
  }
  atomic_store(&ecru__sched.idle_count, 0);
  ecru__lock_drop(&ecru__sched.lock);
  for (ecru__worker *w = ecru__sched.workers; w; w = w->all_next) ecru__worker_join(w);
  for (ecru__worker *w = ecru__sched.workers; w;) { // none before all have ended: one may be waking another
    ecru__worker *following = w->all_next;
    ecru__free(w);
    w = following;
  }
  ecru__sched.workers = NULL;
}

/// Is a foreign thread inside, other than asleep there? One that has started or woken the last goroutine may still be on its way
/// out, about to wake a worker.
static bool any_stranger_inside(void) {
  bool inside = false;
  ecru__fence_heavy(); // pairs with the light fence in ecru__enter: we see it inside, or it comes after the last goroutine's end
  ecru__lock_take(&ecru__sched.lock);
  for (ecru__worker *w = ecru__sched.foreign; w && !inside; w = w->all_next) {
    // acquire: pairs with the release in ecru__leave
    inside = !w->own_goroutine && atomic_load_explicit(&w->inside, memory_order_acquire) != 0 &&
             atomic_load_explicit(&w->waiter.state, memory_order_acquire) != ECRU__ARMED;
  }
  ecru__lock_drop(&ecru__sched.lock);
  return inside;
}

static void take_down(void) {
  while (any_stranger_inside()) ecru__thread_yield();
  ecru__monitor_join();
  ecru__debug_stop();
  ecru__uv_stop();
  end_workers();
  ecru__poll_stop();
  ecru__timers_clear_all();
  free_processors();
  ecru__stacks_release_all();
  ecru__seeds_release_all();
  ecru__queue_release_global();
  ecru__foreign_forget_all();
  ecru__clock_use(NULL); // a virtual clock may go now
  ecru__handles_release_all();
}

static int set_up(const ecru_options *options) {
  int status = take_options(options);
  if (status == 0) status = ecru__worker_watch_forks();
  if (status != 0) return status;
  ecru__fence_init();
  reset_scheduler();
  ecru__uv_start();
  ecru__timers_clear_all();
  ecru__clock_use(ecru__sched.options.clock);
  if ((status = ecru__token_start()) != 0) return status;
  ecru__foreign_forget_all(); // also such as came in between the end of the stop before and now: they would be listed twice
  atomic_store(&ecru__sched.maxprocs, (uint32_t)ecru__sched.options.maxprocs);
  if ((status = add_processors((uint32_t)ecru__sched.options.maxprocs)) != 0) {
    free_processors();
    return status;
  }
  if (!(ecru__sched.options.flags & ECRU_NO_SIGNAL_HANDLERS)) ecru__crash_install();
  ecru__debug_start();
  // The first processor always has a worker: threads without a processor put their timers there.
  ecru__processor **link = &ecru__sched.unmanned, *first = atomic_load(&ecru__sched.processors[0]);
  while (*link != first) link = &(*link)->unmanned_next;
  *link = first->unmanned_next;
  atomic_fetch_sub(&ecru__sched.idle_count, 1);
  if ((status = ecru__worker_start(first)) != 0) {
    ecru__debug_stop();
    end_workers();
    free_processors();
    return status;
  }
  if ((status = ecru__monitor_start()) == 0) return 0;
  ecru__debug_stop();
  end_workers();
  free_processors();
  return status;
}

static int start(const ecru_options *options) {
  uint32_t stopped = ECRU__STOPPED;
  if (!atomic_compare_exchange_strong(&ecru__sched.state, &stopped, ECRU__STARTING)) return ECRU_EBUSY;
  int status = set_up(options);
  if (status != 0) ecru__clock_use(NULL);
  atomic_store(&ecru__sched.state, status == 0 ? ECRU__STARTED : ECRU__STOPPED);
  return status;
}

int ecru__start_implicitly(void) {
  for (;;) {
    uint32_t state = atomic_load(&ecru__sched.state);
    if (state == ECRU__STARTED || state == ECRU__STOPPING) return 0;
    int status = state == ECRU__STOPPED ? start(NULL) : ECRU_EBUSY;
    if (status != ECRU_EBUSY) return status;
    ecru__thread_yield(); // another thread is starting it
  }
}

int ecru_start(const ecru_options *options) {
  int forked = ecru__worker_forked();
  return forked ? ECRU_EFORKED : start(options);
}

int ecru_set_default_options(const ecru_options *options) {
  static const ecru_options none = ECRU_OPTIONS;
  uint32_t stopped = ECRU__STOPPED;
  if (ecru__worker_forked()) return ECRU_EFORKED;
  if (!atomic_compare_exchange_strong(&ecru__sched.state, &stopped, ECRU__STARTING)) return ECRU_EBUSY;
  if (!options) options = &none;
  int status = take_options(options);
  if (status == 0) {
    defaults = none;
    memcpy(&defaults, options, options->size);
    defaults.size = sizeof defaults;
  }
  atomic_store(&ecru__sched.state, ECRU__STOPPED);
  return status;
}

/// A goroutine has ended while ecru_stop waits.
void ecru__stop_check(void) {
  if (ecru__alive() != 0) return;
  atomic_store_explicit(&ecru__sched.stop_word, 1, memory_order_release);
  ecru__wake_all(&ecru__sched.stop_word);
}

static bool wait_until_none_is_left(int64_t deadline) {
  while (ecru__alive() != 0) {
    int64_t now = ecru__clock_now();
    if (now >= deadline) return false;
    int64_t look = now + 10 * ECRU_MILLISECOND; // two that end at once may each see the other
    ecru__wait(&ecru__sched.stop_word, 0, look < deadline ? look : deadline);
  }
  return true;
}

/// From here on nothing is started, and no thread becomes a host. false: some thread is one.
static bool begin_stop(void) {
  ecru__lock_take(&ecru__sched.lock);
  bool hosts = atomic_load_explicit(&ecru__sched.hosting, memory_order_relaxed) != 0;
  if (!hosts) atomic_store(&ecru__sched.state, ECRU__STOPPING);
  ecru__lock_drop(&ecru__sched.lock);
  return !hosts;
}

int ecru_stop(void) {
  if (ecru__worker_forked()) return ECRU_EFORKED;
  if (ecru_in_goroutine()) return ECRU_EDEADLK;
  uint32_t state = atomic_load(&ecru__sched.state);
  if (state == ECRU__STOPPED) return 0;
  if (state == ECRU__STARTING) return ECRU_EBUSY;
  static _Atomic int stopping;
  if (atomic_exchange(&stopping, 1)) return ECRU_EBUSY;
  ecru__worker *w = ecru__enter();
  if (!w) {
    atomic_store(&stopping, 0);
    return ecru__enter_status();
  }
  atomic_store(&ecru__sched.stop_word, 0);
  if (!begin_stop()) {
    ecru__leave(w);
    atomic_store(&stopping, 0);
    return ECRU_EBUSY;
  }
  ecru__token_fire_root(w);
  ecru__leave(w);
  int64_t now = ecru__clock_now(), grace = ecru__sched.options.grace_ns;
  if (!wait_until_none_is_left(grace < ECRU_FOREVER - now ? now + grace : ECRU_FOREVER)) {
    unsigned long long left = ecru__alive();
    fprintf(stderr, "ecru: stop: %llu goroutine%s did not end within the grace period\n", left, left == 1 ? "" : "s");
    ecru_dump(2, ECRU_DUMP_TEXT);
    atomic_store(&stopping, 0);
    return ECRU_ETIMEDOUT;
  }
  take_down();
  atomic_store(&ecru__sched.state, ECRU__STOPPED);
  atomic_store(&stopping, 0);
  return 0;
}

struct first { ecru_fn fn; void *argument; ecru__event ended; };

static void first_main(void *argument) {
  struct first *first = argument;
  first->fn(first->argument);
}

static void first_end(void *argument) {
  struct first *first = argument;
  ecru__worker *w = ecru__enter();
  ecru__event_set(w, &first->ended);
  ecru__leave(w);
}

static int run(const ecru_options *options, ecru_fn fn, void *argument, void *site) {
  if (!fn) return ECRU_EINVAL;
  if (ecru_in_goroutine()) return ECRU_EDEADLK;
  int status = ecru_start(options);
  if (status != 0 && !(status == ECRU_EBUSY && !options)) return status;
  ecru__worker *w = ecru__enter();
  if (!w) {
    status = ecru__enter_status();
    ecru_stop();
    return status;
  }
  struct first first = {.fn = fn, .argument = argument};
  ecru__spawn_spec spec = {.fn = first_main, .argument = &first, .at_end = first_end, .at_end_argument = &first,
                           .token = ecru__root_token, .site = site};
  status = ecru__spawn(w, &spec, NULL);
  if (status == 0) ecru__event_wait_shielded(&w, &first.ended, ECRU__WAIT_STOP, NULL);
  ecru__leave(w);
  int stopped = ecru_stop();
  return status != 0 ? status : stopped;
}

int ecru_run_with(const ecru_options *options, ecru_fn fn, void *argument) {
  return run(options, fn, argument, __builtin_return_address(0));
}

int ecru_run(ecru_fn fn, void *argument) { return run(NULL, fn, argument, __builtin_return_address(0)); }

int ecru_maxprocs(void) {
  if (ecru__worker_forked()) return ECRU_EFORKED;
  uint32_t state;
  while ((state = atomic_load(&ecru__sched.state)) == ECRU__STARTING) ecru__thread_yield();
  if (state == ECRU__STOPPED) return defaults.maxprocs ? defaults.maxprocs : default_maxprocs();
  return (int)atomic_load(&ecru__sched.maxprocs);
}

/// The processors from the count-th on are to be given up by whoever has them.
static void retire_above(uint32_t count) {
  uint32_t created = atomic_load(&ecru__sched.created);
  for (uint32_t i = count; i < created; i++) {
    ecru__processor *p = atomic_load(&ecru__sched.processors[i]);
    uint32_t used = 0;
    if (!atomic_compare_exchange_strong(&p->retired, &used, 1)) continue;
    atomic_store(&p->attention, 1);
    ecru__wake_keeper(p);
    ecru__withdraw_unmanned(p);
  }
}

static int set_maxprocs(uint32_t n) {
  static ecru__lock changing;
  ecru__lock_take(&changing);
  uint32_t before = atomic_load(&ecru__sched.maxprocs);
  int status = add_processors(n);
  if (status == 0) atomic_store(&ecru__sched.maxprocs, n);
  retire_above(status == 0 ? n : before); // if it failed, what has been added so far
  ecru__lock_drop(&changing);
  return status;
}

int ecru_set_maxprocs(int maxprocs) {
  if (maxprocs < 0 || maxprocs > ECRU__MAXPROCS_LIMIT) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = set_maxprocs((uint32_t)(maxprocs ? maxprocs : default_maxprocs()));
  ecru__leave(w);
  return status;
}

/// The running goroutine's worker lends its processor: whoever needs it takes it (the monitor, for waiting work).
static void lend(ecru__worker *w) {
  ecru__processor *p = w->processor;
  if (!p) return;
  ecru__lock_take(&w->lock); // the monitor may be about to put the baton back
  atomic_store_explicit(&w->baton, NULL, memory_order_relaxed);
  w->processor = NULL;
  w->preempt = 0;
  atomic_store_explicit(&w->outside, 1, memory_order_relaxed);
  ecru__lock_drop(&w->lock);
  int64_t soon = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed) + 12 * ECRU_MILLISECOND;
  bool waiting = p->next || p->bed.count > 0 || !ecru__queue_is_empty(p) ||
                 atomic_load_explicit(&p->timers->earliest, memory_order_relaxed) < soon || // nobody sleeps on its behalf now
                 atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed) != 0;
  ECRU__SET(w->lent_ns, waiting ? ecru__clock_now() : 0);
  // release: pairs with the exchange of whoever takes it
  atomic_store_explicit(&w->lent, p, memory_order_release);
  atomic_store_explicit(&ecru__sched.some_lent, 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst); // pairs with global_push: it sees the hint or we see its goroutine
  if (!waiting && !atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed)) return;
  if (!atomic_load_explicit(&ecru__sched.fast_watch, memory_order_relaxed)) ecru__watch_fast();
}

void ecru__watch_fast(void) {
  if (atomic_exchange_explicit(&ecru__sched.fast_watch, 1, memory_order_relaxed)) return;
  atomic_store_explicit(&ecru__sched.monitor_word, 1, memory_order_release); // once per spell: it then looks every 25 us
  ecru__wake_one(&ecru__sched.monitor_word);
}

int ecru_blocking_enter(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  if (!w->is_foreign && !w->on_native) {
    atomic_store_explicit(&ecru__goroutine_of(w->self)->status, ECRU__BLOCKING, memory_order_relaxed);
    lend(w);
  }
  ecru__leave(w);
  return 0;
}

int ecru_blocking_exit(void) {
  ecru__worker *w = ecru__enter(); // takes the processor back, or queues for one
  if (!w) return ecru__enter_status();
  ecru__leave(w);
  return 0;
}

int ecru_blocking(ecru_fn fn, void *argument) {
  if (!fn) return ECRU_EINVAL;
  int status = ecru_blocking_enter();
  if (status != 0) return status;
  fn(argument);
  return ecru_blocking_exit();
}

struct native_call { ecru_fn fn; void *argument; void *fake_stack; ecru__worker *w; ecru__goroutine *g; };

static void native_call(void *argument) {
  struct native_call *call = argument;
  ECRU__ASAN_ARRIVE(NULL);
  call->fn(call->argument);
  ECRU__ASAN_LEAVE(NULL, call->g->stack->low, (size_t)1 << call->g->stack->log2);
}

int ecru_on_thread_stack(ecru_fn fn, void *argument) {
  if (!fn) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  if (w->is_foreign || w->on_native) {
    ecru__leave(w);
    fn(argument);
    return 0;
  }
  ecru__goroutine *g = ecru__goroutine_of(w->self);
  struct native_call call = {fn, argument, NULL, w, g};
  w->on_native = 1;
  g->waiter.is_thread = ECRU__THREAD; // what it waits for while there it waits for natively: its frames lie on this thread's stack
  ecru__leave(w);
  ECRU__ASAN_LEAVE(&call.fake_stack, w->native_stack_low, w->native_stack_bytes);
  ECRU__VALGRIND_CALL_ON((char *)w->native - ECRU__CTX_SKIP_BYTES);
  ecru__ctx_call(w->native, native_call, &call);
  ECRU__ASAN_ARRIVE(call.fake_stack);
  w->on_native = 0;
  g->waiter.is_thread = 0;
  w = ecru__enter(); // the processor may have gone to others meanwhile
  if (!w) return ecru__enter_status(); // in a child that fn has forked
  ecru__leave(w);
  return 0;
}

/// While a goroutine on a thread's stack waits natively its processor serves others.
void ecru__lend_processor(ecru__worker *w) {
  if (w->is_foreign) return;
  if (w->processor) lend(w);
  if (!ecru__clock_is_virtual()) return;
  ecru__processor *p = atomic_exchange_explicit(&w->lent, NULL, memory_order_acq_rel);
  if (p) {
    atomic_store_explicit(&p->owner, NULL, memory_order_relaxed);
    ecru__handoff(p); // its timers count, and the monitor knows nothing of virtual time
  } else {
    ecru__try_virtual_jump();
  }
}

struct scan { ecru__worker *w; ecru_token *token; int status; };

/// returns: it has been claimed.
static bool cancel_one(struct scan *scan, ecru__waiter *x) {
  // Not simply a claim: while x is claimed its token must be looked at, and if it is another one x must stay armed, so
  // that no waker passes it by. INSPECTED makes wakers wait for that moment.
  for (;;) {
    uint32_t armed = ECRU__ARMED;
    if (atomic_compare_exchange_strong_explicit(&x->state, &armed, ECRU__INSPECTED, memory_order_acq_rel, memory_order_relaxed)) break;
    if (armed != ECRU__INSPECTED) return false;
    ecru__thread_yield(); // another scan, or a dump, looks at it: it will be armed again
  }
  bool meant = ecru__waiter_token(x) == scan->token;
  if (meant) {
    x->wake_node = NULL;
    x->wake_status = scan->status;
  }
  atomic_store_explicit(&x->state, meant ? ECRU__CLAIMED : ECRU__ARMED, memory_order_release);
  return meant;
}

static bool cancel_goroutine(void *context, ecru__goroutine *g) {
  if (cancel_one(context, &g->waiter)) ecru__ready(((struct scan *)context)->w, &g->waiter);
  return true;
}

/// Foreign threads, own-thread goroutines, hosts. To wake a host takes the lock under which we find it.
static void cancel_threads(struct scan *scan) {
  ecru__waiter *firsts[ECRU__HOSTS_LIMIT];
  uint32_t count = 0;
  ecru__lock_take(&ecru__sched.lock);
  for (ecru__worker *f = ecru__sched.foreign; f; f = f->all_next) {
    ecru__waiter *x = ecru__thread_waiter(f);
    if (!cancel_one(scan, x)) continue;
    if (f->host) firsts[count++] = x;
    else ecru__ready(scan->w, x);
  }
  ecru__lock_drop(&ecru__sched.lock);
  for (uint32_t i = 0; i < count; i++) ecru__ready(scan->w, firsts[i]); // claimed: they wait for us
}

void ecru__scan_cancel(ecru__worker *w, ecru_token *token, int status) {
  struct scan scan = {w, token, status};
  ecru__stacks_visit(cancel_goroutine, &scan);
  cancel_threads(&scan);
}
