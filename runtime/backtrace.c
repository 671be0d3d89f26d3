/// runtime/backtrace.c: looking at a goroutine from another thread while it is parked (D2).
///
/// 1. Its waiter goes from ARMED to INSPECTED: nobody can wake it now; who wants to (ecru__claim) waits for a moment.
/// 2. The looking thread switches into its context with a pointer to the request, made odd. ecru__switch_away sees that
///    and calls ecru__inspected, on the goroutine's stack but still in the looking thread.
/// 3. That walks the frames with the unwinder of the C++ runtime and switches back. The context it leaves behind is the
///    one the goroutine goes on from: the next real switch returns into ecru__switch_away's loop.
/// 4. Its waiter goes back to ARMED.
///
/// The unwinder itself runs on the looking thread's stack, below the context waiting there: it walks through
/// ecru__ctx_call onto the goroutine's. So a backtrace costs the goroutine a few hundred bytes of stack instead of the
/// unwinder's four pages at worst, and a dump of many does not make their parked stacks a page bigger each.
/// Where unwinders do not pass ecru__ctx_call (ctx/ucontext.c) it runs on the goroutine's stack if there is room.
///
/// Tried and dropped: frame pointers (users' code has none); unwinding by hand from the saved registers (a DWARF
/// interpreter of our own); signals to parked threads (a parked goroutine has no thread).
#include "runtime/host.h"
#include "runtime/debug.h"

#include <string.h>

#include "platform/unwind.h"
#include "platform/vm.h"
#include "runtime/sanitize.h"

enum {
  OWN_FRAMES = 8,             // at most so many are ours: from the walk to ecru__switch_away
  INSPECTION_BYTES = 1024,    // what an inspection needs of the goroutine's stack
  UNWINDER_BYTES = 8 << 10,   // what it needs if the unwinder runs there, too
};

struct request {
  void *return_context;       // of the looking thread
  const void *shown_after;    // the frames up to this one are ours
  ecru__snapshot *snapshot;
};

#ifndef ECRU__TSAN
/// Walks from here; keeps what lies beyond request->shown_after, if the unwinder gets there.
static void walk(void *argument) {
  struct request *request = argument;
  ecru__snapshot *snapshot = request->snapshot;
  void *frames[ECRU__FRAMES_MAX + OWN_FRAMES];
  int count = ecru__frames(frames, ECRU__FRAMES_MAX + OWN_FRAMES), first = 0;
  while (first < count && frames[first] != request->shown_after) first++;
  for (int i = first + 1; i < count && snapshot->count < ECRU__FRAMES_MAX; i++) snapshot->frames[snapshot->count++] = frames[i];
}

static size_t room(const ecru__goroutine *g) {
  return (size_t)((char *)__builtin_frame_address(0) - g->stack->low) - ecru__stack_guard_bytes(g->stack->log2);
}
#endif

/// On the stack of the parked g, called by ecru__switch_away. returns: what the next switch to g brings.
__attribute__((noinline)) void *ecru__inspected(void *value, ecru__goroutine *g) {
#ifdef ECRU__TSAN
  (void)g;
  return value; // never asked for
#else
  struct request *request = (struct request *)(void *)((char *)value - 1);
#ifdef ECRU__ASAN
  const void *low;
  size_t bytes;
  __sanitizer_finish_switch_fiber(g->asan_fake_stack, &low, &bytes);
#endif
  request->shown_after = __builtin_return_address(0);
  ECRU__VALGRIND_CALL_ON((char *)request->return_context - ECRU__CTX_SKIP_BYTES);
  ecru__ctx_call(request->return_context, walk, request);
  if (request->snapshot->count == 0 && room(g) > UNWINDER_BYTES) walk(request);
#ifdef ECRU__ASAN
  __sanitizer_start_switch_fiber(&g->asan_fake_stack, low, bytes);
#endif
  return ecru__ctx_switch(&g->waiter.context, request->return_context, NULL);
#endif
}

/// The frames of g, which is parked and inspected by us.
static void take_frames(ecru__goroutine *g, ecru__snapshot *snapshot) {
#ifdef ECRU__TSAN
  (void)g; // its idea of a stack is a fiber's history of calls, which would be torn
  snapshot->no_frames = ECRU__FRAMES_NOT_HERE;
#else
  snapshot->no_frames = ECRU__FRAMES_NOT_WALKED;
  if ((char *)g->waiter.context - g->stack->low < (ptrdiff_t)(ecru__stack_guard_bytes(g->stack->log2) + INSPECTION_BYTES)) return;
  struct request request = {NULL, NULL, snapshot};
#ifdef ECRU__ASAN
  void *fake_stack;
  __sanitizer_start_switch_fiber(&fake_stack, g->stack->low, (size_t)1 << g->stack->log2);
#endif
  ecru__ctx_switch(&request.return_context, g->waiter.context, (char *)&request + 1);
#ifdef ECRU__ASAN
  __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
  if (snapshot->count > 0) snapshot->no_frames = ECRU__FRAMES_TAKEN;
#endif
}

static bool inspect(ecru__waiter *x) {
  uint32_t armed = ECRU__ARMED;
  // acquire: pairs with the release that armed it: what the waiter left behind is visible
  return atomic_compare_exchange_strong_explicit(&x->state, &armed, ECRU__INSPECTED, memory_order_acquire, memory_order_relaxed);
}

static void uninspect(ecru__waiter *x) {
  atomic_store_explicit(&x->state, ECRU__ARMED, memory_order_release); // release: pairs with the acquire in ecru__claim
}

ECRU__NO_TSAN static void copy_name(char *to, const char *from) {
  size_t i = 0;
  for (; i < ECRU__NAME_BYTES - 1 && from[i]; i++) to[i] = from[i];
  to[i] = 0;
}

static const char *reason_text(uint32_t reason) {
  static const char *const texts[] = {
#define ECRU__WAIT_TEXT(name, text) text,
    ECRU__WAIT_REASONS(ECRU__WAIT_TEXT)
#undef ECRU__WAIT_TEXT
  };
  return reason < sizeof texts / sizeof texts[0] ? texts[reason] : "?";
}

static void take_wait(const ecru__waiter *x, int64_t now, ecru__snapshot *snapshot) {
  snapshot->status = ECRU__WAITING;
  snapshot->reason = x->waits_for ? x->waits_for : reason_text(x->reason);
  snapshot->object = x->object;
  snapshot->waited_ns = now - x->since_ns;
}

/// What a goroutine is, whatever it runs on. Racy unless it is inspected: a name may be half old, half new.
ECRU__NO_TSAN static void take_identity(const ecru__goroutine *g, int64_t now, ecru__snapshot *snapshot) {
  snapshot->id = g->id;
  snapshot->parent_id = g->parent_id;
  snapshot->site = g->site;
  snapshot->age_ns = now - g->started_ns;
  snapshot->pinned = g->pins != 0;
  copy_name(snapshot->name, g->name);
  const ecru__stack *stack = g->stack; // NULL: the thread's, or it has just ended and its stack was given back
  if (stack) snapshot->stack_bytes = (size_t)1 << stack->log2;
}

static void begin(ecru__snapshot *snapshot) {
  memset(snapshot, 0, offsetof(ecru__snapshot, frames));
  snapshot->reason = reason_text(ECRU__WAIT_NONE); // it may be about to wait, or have been woken, and count as waiting
}

bool ecru__snapshot_goroutine(ecru__goroutine *g, int64_t now, bool frames, ecru__snapshot *snapshot) {
  begin(snapshot);
  snapshot->no_frames = ECRU__FRAMES_NOT_PARKED;
  bool parked = inspect(&g->waiter);
  snapshot->status = atomic_load_explicit(&g->status, memory_order_relaxed);
  if (!parked && snapshot->status == ECRU__DEAD) return false;
  take_identity(g, now, snapshot);
  if (!parked) return true;
  take_wait(&g->waiter, now, snapshot);
  if (g->waiter.is_thread == ECRU__HOSTED) snapshot->host_thread = g->pinned->thread_id; // which stays until g has ended
  if (g->waiter.is_thread & ECRU__NATIVELY) snapshot->no_frames = ECRU__FRAMES_NATIVE;
  else if (!frames) snapshot->no_frames = ECRU__FRAMES_ENOUGH;
  else take_frames(g, snapshot);
  uninspect(&g->waiter);
  return true;
}

ECRU__NO_TSAN void ecru__snapshot_seed(const ecru__seed *seed, int64_t now, ecru__snapshot *snapshot) {
  begin(snapshot);
  snapshot->no_frames = ECRU__FRAMES_NOT_STARTED;
  snapshot->status = ECRU__RUNNABLE;
  snapshot->id = seed->id;
  snapshot->parent_id = seed->parent_id;
  snapshot->site = seed->site;
  snapshot->age_ns = now - seed->started_ns;
  snapshot->stack_bytes = ecru__sched.options.stack_bytes;
}

bool ecru__snapshot_thread(ecru__worker *w, int64_t now, ecru__snapshot *snapshot) {
  ecru__goroutine *g = w->own_goroutine;
  ecru__waiter *x = ecru__thread_waiter(w);
  begin(snapshot);
  snapshot->thread_id = w->thread_id;
  snapshot->status = ECRU__ON_CPU;
  bool parked = inspect(x);
  snapshot->no_frames = parked ? ECRU__FRAMES_NATIVE : ECRU__FRAMES_NOT_PARKED;
  if (parked) take_wait(x, now, snapshot);
  if (g) take_identity(g, now, snapshot);
  if (w->host) take_identity(&w->host->first, now, snapshot);
  if (parked) uninspect(x);
  return parked || g || w->host;
}
