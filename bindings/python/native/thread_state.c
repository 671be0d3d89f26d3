/// native/thread_state.c: one PyThreadState to a goroutine, and which of them is attached.
///
///   1 `last` is the mark of the goroutine that runs, or ran last. Whether it held the GIL when it left is found out by whoever goes on next on
///     this thread, or by the idle hook: the state attached to this thread is then `last`'s or none.
///   2 An ended goroutine's state stays attached until the next goes on (`gone` stands for it): detaching it would give the GIL away.
///   3 States are pooled: a new one costs 50 times as much as a goroutine. What its goroutine left in it is cleared.
///
///   4 `running` and `watching` let the watcher, a thread of ecru's without the GIL, write into the state that runs: who deletes a state
///     makes another one run first and then waits until the watcher has let go.
///
///   5 Without a GIL an object belongs to the thread that made it; what other threads give back of it waits for the first state that
///     thread had, a host's first's, to run Python code. Where that one sleeps while others run, it is woken for it.
///
/// Up to 3.11 PyGILState_Ensure goes by a thread-specific value that PyThreadState_Swap does not change; so we do. Its key is found by trying.
#include "home.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum {
  POOLED_MAX = sizeof((home *)0)->pool / sizeof(PyThreadState *),
  // The first Python frames of a goroutine lie above its C frames, half a page below the end of a page: both touch one page only, while
  // they need no more than 1 and 2 KB of it.
  ROOM = (12 << 10) + (1 << 10),
};

static _Thread_local home *here;

#if PY_VERSION_HEX < 0x030d0000
#define attached_now() _PyThreadState_UncheckedGet()
#else
#define attached_now() PyThreadState_GetUnchecked()
#endif

#if PY_VERSION_HEX < 0x030c0000
static pthread_key_t gil_key;
static bool gil_key_known;

static int find_gil_key(void) {
  void *mine = PyGILState_GetThisThreadState();
  for (pthread_key_t key = 0; mine && key < 1024 && !gil_key_known; key++) {
    if (pthread_getspecific(key) != mine) continue;
    char other;
    pthread_setspecific(key, &other);
    gil_key_known = (void *)PyGILState_GetThisThreadState() == (void *)&other;
    pthread_setspecific(key, mine);
    if (gil_key_known) gil_key = key;
  }
  if (gil_key_known) return 0;
  PyErr_SetString(PyExc_SystemError, "ecru: this interpreter keeps its thread states where they are not found");
  return -1;
}
static void forget_gil_key(void) { gil_key_known = false; }
static void announce(PyThreadState *state) { pthread_setspecific(gil_key, state); }
#else
static int find_gil_key(void) { return 0; }
static void forget_gil_key(void) {}
static void announce(PyThreadState *state) { (void)state; }
#endif

home *ecru_py_home(void) { return here; }
PyObject *ecru_py_current_task(void) { return here ? here->last->task : NULL; }

// ---- signals and other things for the first ------------------------------------------------------------------------------

#if PY_VERSION_HEX >= 0x030d0000
/// From 3.13 on only the main thread's own state is told that a signal or a pending call has come (_PY_SIGNALS_PENDING_BIT,
/// _PY_CALLS_TO_DO_BIT); we tell the one that runs instead.
enum { TOLD = 1 << 1 | 1 << 2 };
static void hand_on(PyThreadState *from, PyThreadState *to) {
  if (from == to || !(__atomic_load_n(&from->eval_breaker, __ATOMIC_RELAXED) & TOLD)) return;
  uintptr_t told = __atomic_fetch_and(&from->eval_breaker, ~(uintptr_t)TOLD, __ATOMIC_RELAXED) & TOLD;
  (void)__atomic_fetch_or(&to->eval_breaker, told, __ATOMIC_RELAXED);
}
#else
static void hand_on(PyThreadState *from, PyThreadState *to) { (void)from, (void)to; }
#endif

// relaxed, as all to `pending`: whoever has set it wakes the first
static inline bool is_to_raise(const home *h) { return h && atomic_load_explicit(&h->pending, memory_order_relaxed) && h->last == &h->first; }
bool ecru_py_is_to_raise(void) { return is_to_raise(here); }

static int raise_pending(void *unused) {
  (void)unused;
  return ecru_py_is_to_raise() ? ecru_py_interrupted() : 0; // else the first has gone to wait: it comes here again
}

/// acq_rel: with the exchange in ecru_py_interrupted, which has the object whole
bool ecru_py_set_pending(home *h, PyObject *error) {
  PyObject *none = NULL;
  if (!atomic_compare_exchange_strong_explicit(&h->pending, &none, error, memory_order_acq_rel, memory_order_relaxed)) return false;
  Py_INCREF(error); // it is the caller's until then
  return true;
}
PyObject *ecru_py_take_pending(home *h) { return atomic_exchange_explicit(&h->pending, NULL, memory_order_acq_rel); }

/// On a worker: until the leader's first has it.
static void hand_to_leader(home *leader, PyObject *error) {
  enum { PATIENCE = ECRU_MILLISECOND };
  (void)Py_AddPendingCall(raise_pending, NULL); // it may compute
  (void)ecru_token_enter(ecru_token_background());
  while (atomic_load_explicit(&leader->pending, memory_order_relaxed) == error && ecru_host_interrupt_other(leader->host) != 1)
    (void)ecru_sleep(PATIENCE); // it is about to wait, or in foreign code
  (void)ecru_token_leave();
}

int ecru_py_raise_in_first(PyObject *error) {
  home *h = here ? here->leader : NULL;
  if (!h || here->last == &h->first || !ecru_py_set_pending(h, error)) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    return -1;
  }
  if (h == here) (void)ecru_host_interrupt();
  else hand_to_leader(h, error);
  return 0;
}

/// In a thread of ecru's.
static void look_after(void *context) {
  home *h = context;
  while (atomic_flag_test_and_set_explicit(&h->watching, memory_order_acquire)) {}
  PyThreadState *running = atomic_load_explicit(&h->running, memory_order_acquire);
  if (running) hand_on(h->first.state, running);
  // acquire: pairs with the release in idle: h->host is set
  bool waits = running && atomic_load_explicit(&h->asleep, memory_order_acquire) && ecru_py_signal_waits(running);
  int64_t end = atomic_load_explicit(&h->end_ns, memory_order_relaxed);
  if (end != 0 && running != h->first.state && ecru_now() >= end) {
    atomic_store_explicit(&h->end_ns, end + ECRU_SECOND, memory_order_relaxed); // time to clean up
    atomic_store_explicit(&h->ended, true, memory_order_relaxed);
    (void)pthread_kill(h->thread, SIGINT); // what other threads say who computes does not hear, up to 3.12
  }
  // release: pairs with let_go
  atomic_flag_clear_explicit(&h->watching, memory_order_release);
  if (waits) (void)ecru_host_interrupt_other(h->host); // its handler ran just before the thread slept, or in another thread
}

/// Another state is in `running`: returns when the watcher does not use the one before any more.
static void let_go(home *h) {
  while (atomic_flag_test_and_set_explicit(&h->watching, memory_order_acquire)) {}
  atomic_flag_clear_explicit(&h->watching, memory_order_release);
}

static void set_running(home *h, PyThreadState *state) {
  // release: pairs with the acquire in look_after: the state is complete
  atomic_store_explicit(&h->running, state, memory_order_release);
}

static PyObject *nothing, *nothing_names; // code, and a dict

/// Has the evaluation loop do what waits for it: take back its note that a signal has come, which PyErr_CheckSignals leaves there, and objects.
static int evaluate_nothing(void) {
  PyObject *done = PyEval_EvalCode(nothing, nothing_names, nothing_names);
  Py_XDECREF(done);
  return done ? 0 : -1;
}
static int make_nothing(void) {
  nothing = Py_CompileString("None", "<ecru>", Py_eval_input);
  nothing_names = nothing ? PyDict_New() : NULL;
  return nothing_names ? 0 : -1;
}

// ---- what others give back -----------------------------------------------------------------------------------------------

#ifdef Py_GIL_DISABLED
enum { GIVEN_BACK = 1 << 6 /* _PY_EVAL_EXPLICIT_MERGE_BIT */, LOOK_EVERY = 64 };

static bool has_been_given_back(const home *h) { return __atomic_load_n(&h->first.state->eval_breaker, __ATOMIC_RELAXED) & GIVEN_BACK; }

static void look_for_given_back(home *h) {
  if (h->last != &h->first && ++h->switches % LOOK_EVERY == 0 && has_been_given_back(h)) (void)ecru_host_interrupt();
}
/// In the first.
static int take_back(home *h) { return has_been_given_back(h) ? evaluate_nothing() : 0; }
#else
static void look_for_given_back(home *h) { (void)h; }
static int take_back(home *h) { return (void)h, 0; }
#endif

// ---- switching ---------------------------------------------------------------------------------------------------------

/// m's goroutine goes on: makes what is attached what it was when it left.
static void go_on(home *h, mark *m) {
  PyThreadState *now = NULL;
  if (!h->slept) {
    now = attached_now();
    h->last->attached = now && now == h->last->state;
    if (!h->last->attached) now = NULL;
  }
  if (h->slept) atomic_store_explicit(&h->asleep, false, memory_order_relaxed);
  h->slept = false;
  if (h->is_main) {
    hand_on(h->first.state, m->state);
    hand_on(h->last->state, m->state);
    if (m == &h->first && atomic_load_explicit(&h->pending, memory_order_relaxed)) (void)Py_AddPendingCall(raise_pending, NULL); // it may not wait any more
  }
  h->last = m;
  look_for_given_back(h);
  set_running(h, m->state);
  if (!m->attached) {
    if (now) (void)PyEval_SaveThread();
    announce(m->state);
    return;
  }
  if (now == m->state) return;
  announce(m->state); // first: a debug build checks it in what follows
  if (now) (void)PyThreadState_Swap(m->state);
  else PyEval_RestoreThread(m->state);
  if (m->withheld) ecru_py_withhold_again(m);
}

static void arrive(void *context, void *m) {
  if (m) go_on(context, m); // else it has yet to begin
}

static void idle(void *context) {
  home *h = context;
  if (h->slept) return;
  PyThreadState *now = attached_now();
  h->last->attached = now && now == h->last->state;
  if (h->last->attached) (void)PyEval_SaveThread();
  h->slept = true;
  // release: pairs with look_after. Before the wait in the kernel: a signal whose handler runs after this is seen by the watcher
  atomic_store_explicit(&h->asleep, true, memory_order_release);
}

static void interrupted(void *context) {
  (void)context;
  (void)ecru_host_interrupt();
}

// ---- tracing -----------------------------------------------------------------------------------------------------------

static PyObject *threading_names, *trace_hook, *profile_hook; // a dict; keys of it

/// returns: a new reference; NULL with or without an exception.
static PyObject *item_of(PyObject *dict, PyObject *key) {
#if PY_VERSION_HEX >= 0x030d0000
  PyObject *item;
  (void)PyDict_GetItemRef(dict, key, &item);
  return item;
#else
  return Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
}

/// As a thread does that threading starts: by what threading.settrace and threading.setprofile have said.
static void honour(PyObject *key, const char *setter, Py_tracefunc present, void (*reset)(Py_tracefunc, PyObject *)) {
  PyObject *hook = item_of(threading_names, key);
  if (!hook || hook == Py_None) {
    if (present) reset(NULL, NULL); // of threading.settrace_all_threads, while the state was in the pool
    Py_XDECREF(hook);
    return;
  }
  PyObject *set = PySys_GetObject(setter), *done = set ? PyObject_CallOneArg(set, hook) : NULL;
  if (!done) PyErr_WriteUnraisable(hook);
  Py_XDECREF(done);
  Py_DECREF(hook);
}

static int find_threading(void) {
  if (threading_names) return 0;
  PyObject *threading = PyImport_ImportModule("threading");
  if (!threading) return -1;
  trace_hook = PyUnicode_InternFromString("_trace_hook");
  profile_hook = PyUnicode_InternFromString("_profile_hook");
  if (trace_hook && profile_hook) threading_names = Py_NewRef(PyModule_GetDict(threading));
  Py_DECREF(threading);
  return threading_names ? 0 : -1;
}

// ---- the pool ----------------------------------------------------------------------------------------------------------

static PyObject *running_loop; // asyncio's key in a state's dict

static PyThreadState *new_state(void) {
  void *room = PyMem_RawMalloc(sizeof(PyThreadState));
  if (!room) return NULL; // PyThreadState_New of 3.11 does not look
  PyMem_RawFree(room);
  return PyThreadState_New(PyInterpreterState_Main());
}

// From 3.11 on Python frames lie in chunks of 16 KiB; a goroutine's first is its room. (Saves a page, and a mapping of its own.)
#if PY_VERSION_HEX >= 0x030b0000
static void lend_room(mark *m) {
  PyThreadState *state = m->state;
  _PyStackChunk *chunk = m->room = state->datastack_chunk ? NULL : ecru_room();
  if (!chunk) return; // somebody else has started the runtime
  chunk->previous = NULL;
  chunk->size = ROOM;
  chunk->top = 0;
  state->datastack_chunk = chunk;
  state->datastack_top = &chunk->data[1]; // as the interpreter does with a first one, so that it never gives it back
  state->datastack_limit = (PyObject **)((char *)chunk + ROOM);
}

/// The state will be used for nothing, or for another goroutine.
static void take_room_back(const mark *m) {
  PyThreadState *state = m->state;
  _PyStackChunk **link = &state->datastack_chunk;
  while (*link && *link != m->room) link = &(*link)->previous;
  *link = NULL; // who is left in the middle of a call has others on top of it
  if (!state->datastack_chunk) state->datastack_top = state->datastack_limit = NULL;
}
#else
static void lend_room(mark *m) { (void)m; }
static void take_room_back(const mark *m) { (void)m; }
#endif

static PyThreadState *take_state(home *h) { return h->pooled > 0 ? h->pool[--h->pooled] : new_state(); }

/// Empties what its goroutine left behind. returns: false: it cannot be used again.
static bool clean(PyThreadState *state) {
  bool cached = state->dict && PyDict_Contains(state->dict, running_loop) != 0; // by _asyncio, unowned, under this state's id
  if (state->c_tracefunc) PyEval_SetTrace(NULL, NULL);
  if (state->c_profilefunc) PyEval_SetProfile(NULL, NULL);
  state->coroutine_origin_tracking_depth = 0;
  Py_CLEAR(state->context);
  if (state->dict && PyDict_GET_SIZE(state->dict) > 0) PyDict_Clear(state->dict);
#if PY_VERSION_HEX >= 0x030d0000
  Py_CLEAR(state->threading_local_key); // first: where it is not, a destructor that uses a threading.local makes both anew
  Py_CLEAR(state->threading_local_sentinel);
  bool made_anew = state->threading_local_key || state->threading_local_sentinel;
#else
  bool made_anew = false;
#endif
  Py_CLEAR(state->async_gen_firstiter);
  Py_CLEAR(state->async_gen_finalizer);
  Py_CLEAR(state->async_exc);
  bool empty = !state->dict || PyDict_GET_SIZE(state->dict) == 0; // else destructors have put something there again
  return !cached && !made_anew && empty && !state->context && state->exc_info == &state->exc_state && state->gilstate_counter == 1;
}

int ecru_py_begin(home *h, mark *m) {
  m->attached = true;
  m->state = take_state(h);
  if (!m->state) return -1;
  lend_room(m);
  m->id = ecru_id();
  ecru_py_say_where_the_stack_is(m);
  (void)ecru_host_set_mark(m);
  go_on(h, m);
  ecru_py_withhold(m);
  m->state->thread_id = ecru_py_identity_of(m->id); // tells goroutines apart in sys._current_frames
  ecru_py_lock(&h->lock);
  m->next = h->first.next;
  m->previous = &h->first;
  m->next->previous = m;
  h->first.next = m;
  ecru_py_unlock(&h->lock);
  honour(trace_hook, "settrace", m->state->c_tracefunc, PyEval_SetTrace);
  honour(profile_hook, "setprofile", m->state->c_profilefunc, PyEval_SetProfile);
  return 0;
}

void ecru_py_forget_task(home *h, mark *m) {
  ecru_py_lock(&h->lock);
  m->task = NULL;
  ecru_py_unlock(&h->lock);
}

void ecru_py_end(home *h, mark *m) {
  PyThreadState *state = m->state;
  bool good = clean(state) && h->pooled < POOLED_MAX;
  if (!good) PyThreadState_Clear(state); // runs destructors: the goroutine is still the one that runs
  take_room_back(m);
  ecru_py_withhold_nothing(m);
  ecru_py_lock(&h->lock);
  m->next->previous = m->previous;
  m->previous->next = m->next;
  ecru_py_unlock(&h->lock);
  h->gone = (mark){.state = state};
  h->last = &h->gone;
  if (good) {
    h->pool[h->pooled++] = state;
    return;
  }
  // It cannot be deleted while it is attached: the first's takes its place as what has gone.
  hand_on(state, h->first.state);
  h->gone.state = h->first.state;
  set_running(h, h->first.state);
  announce(h->first.state);
  (void)PyThreadState_Swap(h->first.state);
  let_go(h);
  ecru_py_keep_pages_of(state);
  PyThreadState_Delete(state);
}

static void drop_pool(home *h) {
  while (h->pooled > 0) { // the host has been left: nobody watches
    PyThreadState *state = h->pool[--h->pooled];
    PyThreadState_Clear(state);
    ecru_py_keep_pages_of(state);
    PyThreadState_Delete(state);
  }
}

// ---- hosts -------------------------------------------------------------------------------------------------------------

static ecru_token *forked_in; // this is a child, forked in a home that it has not entered again: that home's token
static _Atomic bool shut;     // the interpreter is ending; relaxed: by the main thread, before it ends others
ecru_py_mutex ecru_py_homes_lock;
home *ecru_py_homes;
PyObject *ecru_py_deadlock_hook, *ecru_py_entered_hook;

void ecru_py_shut(void) { atomic_store_explicit(&shut, true, memory_order_relaxed); }
bool ecru_py_has_shut(void) { return atomic_load_explicit(&shut, memory_order_relaxed); }

// ---- threads that the interpreter ends -----------------------------------------------------------------------------------

static pthread_key_t home_key; // a home's thread has something there

/// Up to 3.13 an interpreter that is ending calls pthread_exit in the other threads, where they come for the GIL; from 3.14 on they stay there, for the
/// stacks of others may depend on theirs. So do goroutines, which the runtime would not let go otherwise.
void ecru_py_stay(void) {
  while (ecru_py_has_shut()) (void)pause();
}

/// In a thread that ends. Before the runtime's own destructor, since the key is older.
static void end_of_thread(void *unused) {
  (void)unused;
  ecru_py_stay();
}

static _Atomic unsigned long main_thread; // 0: not known yet; relaxed: they all find the same

static bool is_main_thread(void) {
  if (!atomic_load_explicit(&main_thread, memory_order_relaxed)) {
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (ident) atomic_store_explicit(&main_thread, PyLong_AsUnsignedLong(ident), memory_order_relaxed);
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    PyErr_Clear();
  }
  return PyThread_get_thread_ident() == atomic_load_explicit(&main_thread, memory_order_relaxed);
}

/// In a thread of ecru's.
static void tell_deadlock(void *unused) {
  (void)unused;
  if (ecru_py_has_shut()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *told = ecru_py_deadlock_hook ? PyObject_CallNoArgs(ecru_py_deadlock_hook) : Py_NewRef(Py_None);
  if (!told) PyErr_WriteUnraisable(ecru_py_deadlock_hook);
  Py_XDECREF(told);
  PyGILState_Release(state);
}

static _Atomic bool runtime_is_ours; // homes_lock: it was started with our options

/// Before Python's own doings in a child, which may take locks; after the runtime's, therefore not before it is up.
static void follow_forks(void) {
  static bool follows;
  if (!follows) follows = pthread_atfork(NULL, NULL, ecru_py_after_fork) == 0; // else Python's hook does it
}

static ecru_options our_options(void) {
  ecru_options options = ECRU_OPTIONS;
  options.stack_bytes = ECRU_PY_STACK;
  options.room_bytes = ROOM;
  options.flags = ECRU_NO_SIGNAL_HANDLERS; // they are the program's: faulthandler's, a Java machine's
  return options;
}

int ecru_py_start_runtime(uint64_t seed) {
  if (runtime_is_ours) return 0;
  ecru_options options = our_options();
  options.seed = seed;
  int status = ecru_start(&options);
  runtime_is_ours = status == 0;
  follow_forks();
  return status == ECRU_EBUSY ? 0 : status;
}

static home *new_home(void) {
  home *h = PyMem_RawCalloc(1, sizeof *h);
  if (!h) {
    PyErr_NoMemory();
    return NULL;
  }
  h->first.state = PyThreadState_Get();
  h->first.attached = true;
  h->first.next = h->first.previous = h->last = &h->first;
  h->thread_id = PyThread_get_thread_native_id();
  h->thread = pthread_self();
  h->is_main = is_main_thread();
  h->leader = h;
  atomic_flag_clear(&h->watching);
  set_running(h, h->first.state);
  return h;
}

static int become_host(home *h) {
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooks.arrive = arrive;
  hooks.idle = idle;
  hooks.interrupted = interrupted;
  hooks.context = h;
  if (h->is_main) hooks.watch = look_after;
  ecru_py_lock(&ecru_py_homes_lock);
  int status = ecru_py_start_runtime(0);
  ecru_py_unlock(&ecru_py_homes_lock);
  (void)ecru_set_deadlock_hook(tell_deadlock, NULL);
  h->goes_on = forked_in != NULL;
  if (h->goes_on) h->token = forked_in, forked_in = NULL;
  else if (status == 0) status = ecru_token_create(&h->token, ecru_token_background(), ECRU_FOREVER);
  if (status == 0) status = ecru_host_enter(&hooks);
  if (status == 0 && !h->goes_on) status = ecru_token_enter(h->token);
  if (status == 0) status = ecru_host_set_mark(&h->first);
  h->host = ecru_host_here();
  h->first.id = ecru_id();
  return status;
}

int ecru_py_enter_home(void) {
  if (here || ecru_py_has_shut()) {
    PyErr_SetString(PyExc_RuntimeError, here ? "this thread runs goroutines already" : "no goroutines run any more: the interpreter is ending");
    return -1;
  }
  if (find_gil_key() < 0) return -1;
  home *h = new_home();
  if (!h) return -1;
  int status = become_host(h);
  if (status != 0) {
    ecru_token_release(h->token);
    PyMem_RawFree(h);
    ecru_py_raise(status);
    return -1;
  }
  here = h;
  (void)pthread_setspecific(home_key, h);
  ecru_py_lock(&ecru_py_homes_lock);
  h->next = ecru_py_homes;
  ecru_py_homes = h;
  ecru_py_unlock(&ecru_py_homes_lock);
  return 0;
}

int ecru_py_enter_as_worker(void) {
  if (ecru_py_enter_home() < 0) return -1;
  ecru_py_lock(&ecru_py_homes_lock);
  home *leader = ecru_py_homes;
  while (leader && !leader->is_main) leader = leader->next;
  if (leader) here->leader = leader;
  ecru_py_unlock(&ecru_py_homes_lock);
  if (leader) return 0;
  PyErr_SetString(PyExc_RuntimeError, "the main thread runs no goroutines");
  (void)ecru_py_leave_home();
  return -1;
}

static void forget_home(home *h) {
  home **link = &ecru_py_homes;
  while (*link != h) link = &(*link)->next;
  *link = h->next;
}

void ecru_py_after_fork(void) {
  if (ecru_restart_in_child() != 0) return; // it was not up, or starts anew already
  ecru_py_has_restarted();
  forked_in = here ? here->leader->token : NULL; // a worker's goroutines are the leader's
  PyThreadState *state = attached_now();
  for (home *h = ecru_py_homes; h; h = h->next)
    for (mark *m = h->first.next; m != &h->first; m = m->next)
      if (m->state != state) take_room_back(m); // Python deletes them
  (void)pthread_setspecific(home_key, NULL);
  here = ecru_py_homes = NULL; // as all of the parent's goroutines they are not given back: we may stand on a stack of theirs
  runtime_is_ours = false;
  ecru_py_homes_lock = (ecru_py_mutex){0};
  ecru_py_forget_workers();
  atomic_store_explicit(&main_thread, 0, memory_order_relaxed);
  forget_gil_key();
  if (state) state->thread_id = PyThread_get_thread_ident();
}

/// All its goroutines have ended. returns: 0; -1 with an exception.
int ecru_py_leave_home(void) {
  home *h = here;
  if (!h) return 0;
  if (!h->goes_on) (void)ecru_token_leave();
  ecru_py_lock(&ecru_py_homes_lock);
  int status = ecru_host_leave();
  if (status == 0) forget_home(h);
  ecru_py_unlock(&ecru_py_homes_lock);
  if (status != 0) {
    if (!h->goes_on) (void)ecru_token_enter(h->token);
    ecru_py_raise(status);
    return -1;
  }
  here = NULL;
  (void)pthread_setspecific(home_key, NULL);
  drop_pool(h);
  ecru_token_release(h->token);
  Py_XDECREF(ecru_py_take_pending(h));
  PyMem_RawFree(h);
  return 0;
}

/// The main thread becomes a host because it has to do with goroutines. returns: 0; -1 with an exception.
static int enter_by_itself(void) {
  if (ecru_py_enter_home() < 0) return -1;
  PyObject *told = ecru_py_entered_hook ? PyObject_CallNoArgs(ecru_py_entered_hook) : Py_NewRef(Py_None);
  if (!told) PyErr_WriteUnraisable(ecru_py_entered_hook);
  Py_XDECREF(told);
  return 0;
}

home *ecru_py_ensure_home(void) {
  if (here) return here;
  if (!is_main_thread()) {
    PyErr_SetString(PyExc_RuntimeError, "this thread runs no goroutines: only the main thread does by itself, others inside ecru.run(f)");
    return NULL;
  }
  return enter_by_itself() == 0 ? here : NULL;
}

static bool waits_from_now_on(void) {
  if (ecru_py_has_shut() || !is_main_thread()) return false;
  if (enter_by_itself() == 0) return true;
  PyErr_Clear(); // a forked child, or no memory: the call itself says so
  return false;
}

static inline bool waits(home *h) {
  if (ecru_py_forked()) return false;
  if (!h) return waits_from_now_on();
  look_for_given_back(h); // it may not have to wait, nor to let others run, for long
  return true;
}
bool ecru_py_waits_here(void) { return waits(here); }

ecru_py_way ecru_py_way_to_wait(void) {
  home *h = here;
  if (is_to_raise(h)) return ECRU_PY_NOT;
  if (!waits(h)) return ECRU_PY_WITHOUT_GIL;
  return ecru_py_is_refused() ? ECRU_PY_NOT : ECRU_PY_HERE;
}

int ecru_py_interrupted(void) {
  home *h = here;
  if (h && h->last == &h->first) {
    PyObject *pending = ecru_py_take_pending(h);
    if (pending) PyErr_SetObject((PyObject *)Py_TYPE(pending), pending);
    Py_XDECREF(pending);
    if (pending || take_back(h) < 0) return -1;
  }
  if (PyErr_CheckSignals() < 0) return -1;
  return h && h->is_main && ecru_py_signal_waits(h->last->state) ? evaluate_nothing() : 0;
}

int ecru_py_add_thread_state(PyObject *module) {
  (void)module;
  ecru_options options = our_options();
  (void)ecru_set_default_options(&options); // a lock, say, used where no goroutines run starts it, too
  running_loop = PyUnicode_InternFromString("__asyncio_running_event_loop__");
  if (find_threading() < 0 || make_nothing() < 0) return -1;
  if (pthread_key_create(&home_key, end_of_thread) != 0) return PyErr_NoMemory(), -1;
  return running_loop ? 0 : -1;
}
