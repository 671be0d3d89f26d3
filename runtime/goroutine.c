/// runtime/goroutine.c: the life of a goroutine (G1, G6, G7, G10).
///
/// The control block lies at the top of the goroutine's stack; both are taken from the processor's cache (LIFO: the hottest
/// first) or from the depot. Starting one writes a seed (seed.h) and puts it into `next` or the ring; it gets its stack when it
/// first runs. Nothing is allocated and, while the caches last, no lock is taken.
#include "platform/unwind.h"
#include "runtime/host.h"
#include "runtime/sanitize.h"
#include "runtime/seed.h"
#include "runtime/state.h"

#include <ecru/token.h>
#include <setjmp.h>
#include <string.h>

enum { ID_BATCH = 1024, COPY_MAX = 1024, STACK_MIN = 16 << 10, STACK_MAX = 1 << 30 };

static uint64_t new_id(ecru__processor *p) {
  if (!p) return atomic_fetch_add_explicit(&ecru__sched.next_id, 1, memory_order_relaxed);
  if (p->id_next == p->id_end) {
    p->id_next = atomic_fetch_add_explicit(&ecru__sched.next_id, ID_BATCH, memory_order_relaxed);
    p->id_end = p->id_next + ID_BATCH;
  }
  return p->id_next++;
}

static void set_name(ecru__goroutine *g, const char *name) {
  size_t i = 0;
  for (; name && name[i] && i < ECRU__NAME_BYTES - 1; i++) g->name[i] = name[i];
  g->name[i] = 0;
}

static void count_spawned(ecru__processor *p) {
  // A processor's counters have one writer: a load and a store will do. release: pairs with ecru__alive
  if (p) atomic_store_explicit(&p->spawned, atomic_load_explicit(&p->spawned, memory_order_relaxed) + 1, memory_order_release);
  else atomic_fetch_add_explicit(&ecru__sched.spawned, 1, memory_order_release);
}

static void count_brought(ecru__worker *host) { atomic_fetch_add_explicit(&host->processor->brought, 1, memory_order_release); } // as above

static void count_ended(ecru__processor *p) {
  if (p) atomic_store_explicit(&p->ended, atomic_load_explicit(&p->ended, memory_order_relaxed) + 1, memory_order_release);
  else atomic_fetch_add_explicit(&ecru__sched.ended, 1, memory_order_release);
}

static ecru_token *token_of(ecru__worker *w, const ecru__spawn_spec *spec) {
  return spec->token ? spec->token : spec->options && spec->options->token ? spec->options->token : ecru__token_own(w);
}

static uint64_t id_here(ecru__worker *w) {
  ecru__goroutine *g = w->own_goroutine ? w->own_goroutine : ecru__goroutine_here(w);
  return g ? g->id : 0;
}

/// What no seed brings along.
static void init_rest(ecru__goroutine *g) {
  ecru__waiter *x = &g->waiter;
  atomic_store_explicit(&x->state, ECRU__RUNNING, memory_order_relaxed);
  x->is_thread = 0;
  x->reason = ECRU__WAIT_NONE;
  x->waits_for = NULL;
  x->lazy_token = 0;
  x->attached = NULL;
  x->scopes = NULL;
  x->locals = NULL;
  x->scoped = NULL;
  g->pinned = NULL;
  g->pins = 0;
  g->flags = 0;
  g->saved_errno = 0;
  g->saved_exceptions[0] = g->saved_exceptions[1] = NULL;
  g->ready_ns = 0;
  g->name[0] = 0;
}

/// What every goroutine that starts without a seed has, whatever it runs on.
static void init(ecru__worker *w, ecru__goroutine *g, const ecru__spawn_spec *spec) {
  init_rest(g);
  ecru__token_inherit(&g->waiter, token_of(w, spec));
  if (w->self->scoped) ecru__locals_inherit(&g->waiter, w->self);
  g->fn = spec->fn;
  g->argument = spec->argument;
  g->at_end = spec->at_end;
  g->at_end_argument = spec->at_end_argument;
  g->id = new_id(w->processor);
  g->parent_id = id_here(w);
  g->site = spec->site;
  g->started_ns = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  if (!spec->options) return;
  g->flags = spec->options->flags;
  set_name(g, spec->options->name);
}

/// The goroutine's function has ended, or it called ecru_exit.
static void wind_up(ecru__goroutine *g) {
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) ecru__panic("fork", NULL, "a forked child has returned from a goroutine");
  if (g->waiter.locals || g->waiter.scoped) ecru__locals_end(&w, &g->waiter);
  if (g->at_end) {
    ecru__leave(w);
    g->at_end(g->at_end_argument);
    w = ecru__enter();
  }
  ecru__token_forget(&g->waiter);
  if (ECRU__UNLIKELY(g->pins != 0)) {
    ecru__lock_take(&g->pinned->lock);
    g->pinned->pinned_total--;
    ecru__lock_drop(&g->pinned->lock);
  }
}

static void pin_here(ecru__worker *w, ecru__goroutine *g) {
  if (g->pins++ != 0) return;
  g->pinned = w;
  ecru__lock_take(&w->lock);
  w->pinned_total++;
  ecru__lock_drop(&w->lock);
}

_Noreturn static void leave_for_good(ecru__goroutine *g) {
  ecru__worker *w = ecru__worker_here();
  count_ended(w->processor);
  if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.state, memory_order_relaxed) == ECRU__STOPPING)) ecru__stop_check();
  w->post_kind = ECRU__POST_DEAD;
  w->post_goroutine = g;
  ecru__switch_away(w);
  __builtin_unreachable();
}

/// The first function on a goroutine's stack; an exception that gets here finds no handler and ends the process (G11).
ECRU__NO_TSAN static void entry(void *value) {
  ECRU__UNWIND_ENDS_HERE;
  ECRU__ASAN_ARRIVE(NULL);
  ecru__worker *w = value;
  ecru__goroutine *g = ecru__goroutine_of(w->self);
  ecru__finish_switch(w);
  *w->errno_place = 0;
  if (ECRU__UNLIKELY(g->flags & ECRU_PINNED)) pin_here(w, g);
  if (ECRU__UNLIKELY(w->host != NULL)) ecru__host_arrive(w, g);
  ecru__leave(w);
  g->fn(g->argument);
  wind_up(g);
  leave_for_good(g);
}

static size_t default_stack(void) { return ecru__sched.options.stack_bytes; }

enum { RIGHTS_GRANTED = 32, RIGHTS_KEPT = 128 };

static bool take_right(ecru__processor *p) {
  if (!p) return ecru__stack_grant(1) == 1;
  if (ECRU__UNLIKELY(p->rights == 0)) p->rights = ecru__stack_grant(RIGHTS_GRANTED);
  if (ECRU__UNLIKELY(p->rights == 0)) return false;
  p->rights--;
  return true;
}

static void give_right(ecru__processor *p) {
  if (!p) {
    ecru__stack_return(1);
  } else if (++p->rights > RIGHTS_KEPT) {
    ecru__stack_return(RIGHTS_KEPT / 2);
    p->rights -= RIGHTS_KEPT / 2;
  }
}

static bool is_default(size_t bytes) { return bytes == 0 || (bytes <= default_stack() && bytes > default_stack() / 2); }

/// p's cache is empty: brings it a few stacks that are out of every other cache, fetched in a row (several page walks at a time).
static void refill(ecru__processor *p) {
  enum { BATCH = 16, LINE = 64 };
  ecru__stack *batch[BATCH];
  uint32_t count = ecru__stacks_take_warm(batch, BATCH, default_stack());
  for (size_t line = 0; line < sizeof(ecru__goroutine); line += LINE)
    for (uint32_t i = 0; i < count; i++) __builtin_prefetch((char *)ecru__stack_goroutine(batch[i]) + line, 1);
  while (count-- > 0) {
    ecru__goroutine *g = ecru__stack_goroutine(batch[count]);
    g->stack = batch[count];
    g->queue_next = p->free_head;
    p->free_head = g;
    p->free_count++;
  }
}

/// A control block on an unused stack; for the default size a right has been taken.
static ecru__goroutine *take_stack(ecru__worker *w, size_t bytes) {
  ecru__processor *p = w->processor;
  bool cached = p && is_default(bytes);
  if (cached && ECRU__UNLIKELY(!p->free_head)) refill(p);
  if (ECRU__LIKELY(cached && p->free_head)) {
    ecru__goroutine *g = p->free_head;
    p->free_head = g->queue_next;
    p->free_count--;
    return g;
  }
  ecru__stack *stack;
  int saved = *w->errno_place;
  int status = ecru__stack_take(&stack, bytes ? bytes : default_stack());
  *w->errno_place = saved;
  if (status != 0) return NULL;
  ecru__goroutine *g = ecru__stack_goroutine(stack);
  g->stack = stack;
  return g;
}

void ecru__goroutine_free(ecru__worker *w, ecru__goroutine *g) {
  atomic_store_explicit(&g->status, ECRU__DEAD, memory_order_relaxed);
  ECRU__TSAN_DESTROY(g->tsan_fiber);
  ECRU__VALGRIND_DEREGISTER(g->valgrind_stack);
  ecru__stack *stack = g->stack;
  atomic_store_explicit(&stack->in_use, 0, memory_order_relaxed);
  ecru__processor *p = w->processor;
  bool plain = ((size_t)1 << stack->log2) == default_stack();
  if (ECRU__LIKELY(p && plain && p->free_count < ECRU__CACHED_STACKS)) {
    g->queue_next = p->free_head;
    p->free_head = g;
    p->free_count++;
  } else {
    ecru__stack_give(stack);
  }
  if (plain) give_right(p);
}

/// Everything is filled in: the goroutine can run. Its first frame goes below `bytes` bytes copied from `copy`.
static void make_context(ecru__goroutine *g, const void *copy, size_t bytes) {
  char *top = (char *)g;
  if (bytes) {
    top -= (bytes + 15) & ~(size_t)15;
    ECRU__VALGRIND_FRESH(top - 128, bytes + 128); // and the first frame's
    g->argument = memcpy(top, copy, bytes);
  }
  g->tsan_fiber = ECRU__TSAN_CREATE();
  g->asan_fake_stack = NULL;
  g->valgrind_stack = ECRU__VALGRIND_REGISTER(g->stack->low, top);
  g->waiter.context = ecru__ctx_make(top, (size_t)(top - g->stack->low), entry);
  atomic_store_explicit(&g->status, ECRU__RUNNABLE, memory_order_relaxed);
  atomic_store_explicit(&g->stack->in_use, 1, memory_order_release); // release: pairs with ecru__stacks_visit
}

ecru__goroutine *ecru__sprout(ecru__worker *w, ecru__goroutine *runnable) {
  ecru__seed *seed = ecru__seed_of(runnable);
  ecru__goroutine *g = take_stack(w, 0);
  if (ECRU__UNLIKELY(!g)) return NULL;
  init_rest(g);
  if (ECRU__UNLIKELY(w->host != NULL)) ecru__host_adopt(w, g);
  g->waiter.token = seed->token; // with its reference
  g->fn = seed->fn;
  g->argument = seed->argument;
  g->at_end = seed->at_end;
  g->at_end_argument = seed->at_end_argument;
  g->id = seed->id;
  g->parent_id = seed->parent_id;
  g->site = seed->site;
  g->started_ns = seed->started_ns;
  make_context(g, seed->copy, seed->copy_bytes);
  ecru__seed_give(w->processor, seed);
  return g;
}

/// A goroutine that needs nothing special: no stack yet. NULL: no memory.
static inline ecru__seed *new_seed(ecru__worker *w, const ecru__spawn_spec *spec) {
  ecru__processor *p = w->processor;
  if (ECRU__UNLIKELY(!take_right(p))) return NULL;
  ecru__seed *seed = ecru__seed_take(p);
  if (ECRU__UNLIKELY(!seed)) {
    give_right(p);
    return NULL;
  }
  ecru_token *token = token_of(w, spec);
  seed->fn = spec->fn;
  seed->argument = spec->argument;
  seed->at_end = spec->at_end;
  seed->at_end_argument = spec->at_end_argument;
  seed->token = ecru__token_is_static(token) ? token : ecru_token_retain(token);
  seed->id = new_id(p);
  seed->parent_id = id_here(w);
  seed->site = spec->site;
  seed->started_ns = atomic_load_explicit(&ecru__sched.coarse_now, memory_order_relaxed);
  seed->copy_bytes = (uint32_t)spec->copy_bytes;
  if (spec->copy_bytes) memcpy(seed->copy, spec->copy, spec->copy_bytes);
  atomic_store_explicit(&seed->in_use, 1, memory_order_release); // release: pairs with ecru__seeds_visit
  return seed;
}

static int sow(ecru__worker *w, const ecru__spawn_spec *spec, uint64_t *id) {
  ecru__processor *p = w->processor;
  ecru__seed *seed = new_seed(w, spec);
  if (ECRU__UNLIKELY(!seed)) return ECRU_ENOMEM;
  count_spawned(p);
  if (id) *id = seed->id;
  ecru__goroutine *g = ecru__seed_runnable(seed);
  if (!p->next) ECRU__SET(p->next, g);
  else ecru__bed_sow(w, g, seed->parent_id);
  return 0;
}

static void own_thread_main(void *argument);

static int spawn_own_thread(ecru__worker *w, const ecru__spawn_spec *spec, uint64_t *id) {
  struct own { ecru__goroutine g; ecru__worker worker; _Alignas(16) unsigned char copy[]; } *own;
  if ((int)atomic_fetch_add_explicit(&ecru__sched.threads, 1, memory_order_relaxed) >= ecru__sched.options.threads_max) {
    atomic_fetch_sub_explicit(&ecru__sched.threads, 1, memory_order_relaxed);
    return ECRU_ETHREADS;
  }
  own = ecru__calloc(1, sizeof *own + spec->copy_bytes);
  int status = ECRU_ENOMEM;
  if (own) {
    init(w, &own->g, spec);
    if (spec->copy_bytes) own->g.argument = memcpy(own->copy, spec->copy, spec->copy_bytes);
    own->worker.own_goroutine = &own->g;
    own->worker.is_foreign = 1;
    if (id) *id = own->g.id;
    count_spawned(NULL);
    atomic_fetch_add_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst); // its spawner is awake until then
    size_t bytes = spec->options && spec->options->stack_bytes ? spec->options->stack_bytes : 0;
    status = ecru__thread_start(&own->worker.thread, own_thread_main, &own->worker, own->g.name[0] ? own->g.name : "ecru-own", bytes);
    if (status == 0) atomic_store_explicit(&own->worker.started, 1, memory_order_release); // pairs with ecru__worker_join
    if (status == 0) return 0;
    atomic_fetch_sub_explicit(&ecru__sched.own_awake, 1, memory_order_seq_cst);
    count_ended(NULL);
    ecru__token_forget(&own->g.waiter);
    if (own->g.waiter.scoped) ecru__locals_end(&w, &own->g.waiter);
    ecru__free(own);
  }
  atomic_fetch_sub_explicit(&ecru__sched.threads, 1, memory_order_relaxed);
  return status;
}

/// Copies what a caller built against an older, shorter structure knows of; the rest of `full` stays at its defaults.
static int take_options(ecru_go_options *full, const ecru_go_options *given) {
  if (given->size < sizeof(size_t) || given->size > sizeof *full) return ECRU_EINVAL;
  memcpy(full, given, given->size);
  if (full->flags & ~(unsigned)(ECRU_PINNED | ECRU_OWN_THREAD | ECRU_HOSTED)) return ECRU_EINVAL;
  if (full->flags & ECRU_HOSTED && full->flags != ECRU_HOSTED) return ECRU_EINVAL;
  if (full->host && !(full->flags & ECRU_HOSTED)) return ECRU_EINVAL;
  if (full->stack_bytes && (full->stack_bytes < STACK_MIN || full->stack_bytes > STACK_MAX)) return ECRU_EINVAL;
  return 0;
}

static inline bool is_sowable(const ecru__worker *w, const ecru__spawn_spec *spec, const ecru_go_options *full) {
  return w->processor && is_default(full->stack_bytes) && !(full->flags & ~(unsigned)ECRU_HOSTED) && !full->name && !w->self->scoped &&
         spec->copy_bytes <= ECRU__SEED_COPY;
}

/// host: whose it is, or NULL. NULL: no memory.
static ecru__goroutine *new_goroutine(ecru__worker *w, const ecru__spawn_spec *spec, const ecru_go_options *full, ecru__worker *host) {
  bool plain = is_default(full->stack_bytes);
  if (plain && !take_right(w->processor)) return NULL;
  ecru__goroutine *g = take_stack(w, full->stack_bytes);
  if (!g) {
    if (plain) give_right(w->processor);
    return NULL;
  }
  init(w, g, spec);
  if (host) ecru__host_adopt(host, g);
  make_context(g, spec->copy, spec->copy_bytes);
  return g;
}

/// On another host than the caller, who need not be one.
static int spawn_there(ecru__worker *w, const ecru__spawn_spec *spec, const ecru_go_options *full, uint64_t *id) {
  ecru__worker *target = full->host->first.pinned;
  bool sowable = is_sowable(w, spec, full);
  ecru__seed *seed = sowable ? new_seed(w, spec) : NULL;
  ecru__goroutine *g = seed ? ecru__seed_runnable(seed) : sowable ? NULL : new_goroutine(w, spec, full, target);
  if (!g) return ECRU_ENOMEM;
  if (id) *id = seed ? seed->id : g->id;
  count_brought(target);
  ecru__deliver(w, target, g);
  return 0;
}

static int spawn(ecru__worker *w, const ecru__spawn_spec *spec, const ecru_go_options *full, uint64_t *id) {
  if (ECRU__LIKELY(is_sowable(w, spec, full))) return sow(w, spec, id);
  ecru__goroutine *g = new_goroutine(w, spec, full, full->flags & ECRU_HOSTED ? w : NULL);
  if (!g) return ECRU_ENOMEM;
  count_spawned(w->processor);
  if (id) *id = g->id;
  ecru__processor *p = w->processor;
  if (!p) ecru__queue_global(g);
  else if (!p->next) ECRU__SET(p->next, g);
  else ecru__queue_local(w, g);
  return 0;
}

int ecru__spawn(ecru__worker *w, const ecru__spawn_spec *spec, uint64_t *id) {
  if (!spec->fn || spec->copy_bytes > COPY_MAX || (spec->copy_bytes && !spec->copy)) return ECRU_EINVAL;
  ecru_go_options full = ECRU_GO_OPTIONS;
  ecru__spawn_spec padded = *spec;
  if (ECRU__UNLIKELY(spec->options != NULL)) {
    if (take_options(&full, spec->options) != 0) return ECRU_EINVAL;
    padded.options = &full;
    spec = &padded;
  }
  if (ECRU__UNLIKELY(atomic_load_explicit(&ecru__sched.state, memory_order_relaxed) != ECRU__STARTED)) return ECRU_ESHUTDOWN;
  if (ECRU__UNLIKELY(full.flags & ECRU_OWN_THREAD)) return spawn_own_thread(w, spec, id);
  if (ECRU__UNLIKELY(full.host && full.host != w->host)) return spawn_there(w, spec, &full, id);
  if (ECRU__LIKELY(w->host == NULL)) return full.flags & ECRU_HOSTED ? ECRU_EPERM : spawn(w, spec, &full, id);
  if (full.flags & ECRU_HOSTED) return spawn(w, spec, &full, id);
  ecru__processor *own = w->processor; // which runs none but hosted ones
  w->processor = NULL;
  int status = spawn(w, spec, &full, id);
  w->processor = own;
  return status;
}

/// A goroutine with a thread of its own is a thread with a goroutine's identity: it parks natively and needs no processor.
static void own_thread_main(void *argument) {
  ECRU__UNWIND_ENDS_HERE;
  ecru__worker *w = argument;
  ecru__goroutine *g = w->own_goroutine;
  ecru__worker_set_here(w);
  ecru__worker_prepare(w);
  ecru__thread_exact_timers();
  ecru__thread_stack(&w->native_stack_low, &w->native_stack_bytes);
  ecru__crash_thread(w);
  w->self = &g->waiter;
  g->waiter.is_thread = ECRU__OWN;
  atomic_store_explicit(&g->status, ECRU__ON_CPU, memory_order_relaxed);
  ecru__lock_take(&ecru__sched.lock);
  w->epoch = atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed);
  w->all_prev = NULL;
  w->all_next = ecru__sched.foreign;
  if (w->all_next) w->all_next->all_prev = w;
  ecru__sched.foreign = w;
  ecru__lock_drop(&ecru__sched.lock);
  jmp_buf exit_to;
  w->native = exit_to;
  if (setjmp(exit_to) == 0) g->fn(g->argument);
  w = argument;
  wind_up(w->own_goroutine);
  ecru__lock_take(&ecru__sched.lock);
  if (w->all_prev) w->all_prev->all_next = w->all_next;
  else ecru__sched.foreign = w->all_next;
  if (w->all_next) w->all_next->all_prev = w->all_prev;
  w->all_next = ecru__sched.finished; // the monitor joins the thread
  ecru__sched.finished = w;
  ecru__lock_drop(&ecru__sched.lock);
  ecru__crash_thread_end();
  atomic_fetch_sub_explicit(&ecru__sched.threads, 1, memory_order_relaxed);
  ecru__worker_set_here(NULL);
  count_ended(NULL);
  ecru__own_sleeps();
  ecru__monitor_nudge();
  if (atomic_load_explicit(&ecru__sched.state, memory_order_relaxed) == ECRU__STOPPING) ecru__stop_check();
}

static int go(const ecru_go_options *options, ecru_fn fn, void *argument, const void *copy, size_t copy_bytes, void *site) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__spawn_spec spec = {.options = options, .fn = fn, .argument = argument, .copy = copy, .copy_bytes = copy_bytes, .site = site};
  int status = ecru__spawn(w, &spec, NULL);
  ecru__leave(w);
  return status;
}

int ecru_go(ecru_fn fn, void *argument) { return go(NULL, fn, argument, NULL, 0, __builtin_return_address(0)); }

int ecru_go_with(const ecru_go_options *options, ecru_fn fn, void *argument) {
  return go(options, fn, argument, NULL, 0, __builtin_return_address(0));
}

int ecru_go_copy(const ecru_go_options *options, ecru_fn fn, const void *data, size_t bytes) {
  return go(options, fn, NULL, data, bytes, __builtin_return_address(0));
}

static int yield(ecru__worker **w) {
  ecru__waiter *x = (*w)->self;
  ecru__processor *p = (*w)->processor;
  if (x->is_thread & ECRU__NATIVELY || !p) {
    ecru__thread_yield();
    return 0;
  }
  if (!p->next && p->bed.count == 0 && ecru__queue_is_empty(p) && !atomic_load_explicit(&p->attention, memory_order_relaxed) &&
      atomic_load_explicit(&(*w)->pinned_count, memory_order_relaxed) == 0 && (p->tick + 1) % 61 != 0) {
    ECRU__SET(p->tick, p->tick + 1); // nobody to go first; now and then look around all the same
    return 0;
  }
  ecru__goroutine *g = ecru__goroutine_of(x);
  atomic_store_explicit(&g->status, ECRU__RUNNABLE, memory_order_relaxed);
  if (p->bed.count > 0) ecru__bed_flush(p, p->bed.count); // they go first
  (*w)->post_kind = ECRU__POST_YIELD;
  (*w)->post_goroutine = g;
  *w = ecru__switch_away(*w);
  return 0;
}

int ecru_yield(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  if (status == 0) status = yield(&w);
  ecru__leave(w);
  return status;
}

/// The goroutine that calls, also one with its own thread or on a thread's stack; NULL in a foreign thread.
static ecru__goroutine *self(void) {
  ecru__worker *w = ecru__worker_here();
  if (!w) return NULL;
  return w->own_goroutine ? w->own_goroutine : ecru__goroutine_here(w);
}

void ecru_exit(void) {
  ecru__worker *w = ecru__worker_here();
  ecru__goroutine *g = self();
  if (!g) ecru__panic("ecru_exit", NULL, "not in a goroutine");
  if (w->host && g == &w->host->first) ecru__panic("ecru_exit", NULL, "in the first goroutine of a host: it is the thread");
  if (w->own_goroutine) longjmp(*(jmp_buf *)w->native, 1);
  if (w->on_native) ecru__panic("ecru_exit", NULL, "on a thread's stack (ecru_on_thread_stack)");
  wind_up(g);
  leave_for_good(g);
}

int ecru_in_goroutine(void) { return self() != NULL; }

uint64_t ecru_id(void) {
  ecru__goroutine *g = self();
  return g ? g->id : 0;
}

uint64_t ecru_parent_id(void) {
  ecru__goroutine *g = self();
  return g ? g->parent_id : 0;
}

int ecru_name(char *buffer, size_t bytes) {
  if (!buffer || bytes == 0) return ECRU_EINVAL;
  ecru__goroutine *g = self();
  const char *name = g ? g->name : "";
  size_t i = 0;
  for (; name[i] && i + 1 < bytes; i++) buffer[i] = name[i];
  buffer[i] = 0;
  return (int)strlen(name);
}

int ecru_set_name(const char *name) {
  ecru__goroutine *g = self();
  if (!g) return ECRU_EPERM;
  set_name(g, name);
  return 0;
}

void *ecru_room(void) {
  ecru__goroutine *g = self();
  size_t room = ecru__sched.options.room_bytes;
  if (!g || !g->stack || room == 0 || (size_t)1 << g->stack->log2 != default_stack()) return NULL;
  return g->stack->top; // NULL: the stack of a host's thread
}

int ecru_can_park(void) {
  ecru__worker *w = ecru__worker_here();
  // relaxed: this thread's own
  if (!w || (w->is_foreign && !w->host) || w->on_native || atomic_load_explicit(&w->inside, memory_order_relaxed)) return 0;
  ecru__goroutine *g = ecru__goroutine_here(w);
  if (!g || atomic_load_explicit(&g->status, memory_order_relaxed) == ECRU__BLOCKING) return 0;
  const char *here = __builtin_frame_address(0); // a signal handler may run on a stack of its own
  const char *top = w->host && g == &w->host->first ? ecru__stack_end(g->stack) : (const char *)g;
  return here > g->stack->low && here < top;
}

int ecru_pin(void) {
  if (ecru__worker_forked()) return ECRU_EFORKED;
  ecru__worker *w = ecru__worker_here(); // not entered: who has lost its processor would queue up for one, and might go on elsewhere
  if (!w || w->is_foreign) return 0;
  ecru__goroutine *g = ecru__goroutine_here(w);
  if (g) pin_here(w, g);
  return 0;
}

int ecru_unpin(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__goroutine *g = w->is_foreign ? NULL : ecru__goroutine_here(w);
  int status = 0;
  if (g && g->pins == 0) {
    status = ECRU_EPERM;
  } else if (g && --g->pins == 0) {
    g->pinned = NULL;
    ecru__lock_take(&w->lock);
    w->pinned_total--;
    ecru__lock_drop(&w->lock);
  }
  ecru__leave(w);
  return status;
}
