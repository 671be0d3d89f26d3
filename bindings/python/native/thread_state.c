/// native/thread_state.c: one PyThreadState to a goroutine, and which of them is attached.
///
///   1 `last` is the mark of the goroutine that runs, or ran last. Whether it held the GIL when it left is found out by whoever goes on next on
///     this thread, or by the idle hook: the state attached to this thread is then `last`'s or none.
///   2 An ended goroutine's state stays attached until the next goes on (`gone` stands for it): detaching it would give the GIL away.
///   3 States are pooled: a new one costs 50 times as much as a goroutine. What its goroutine left in it is cleared.
///
/// Up to 3.11 PyGILState_Ensure goes by a thread-specific value that PyThreadState_Swap does not change; so we do. Its key is found by trying.
#include "native.h"

#include <pthread.h>

enum { POOLED_MAX = sizeof((home *)0)->pool / sizeof(PyThreadState *) };

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
static void announce(PyThreadState *state) { pthread_setspecific(gil_key, state); }
#else
static int find_gil_key(void) { return 0; }
static void announce(PyThreadState *state) { (void)state; }
#endif

home *ecru_py_home(void) { return here; }
PyObject *ecru_py_current_task(void) { return here ? here->last->task : NULL; }

static int raise_pending(void *unused) {
  (void)unused;
  return ecru_py_is_to_raise() ? ecru_py_interrupted() : 0; // else the first has gone to wait: it comes here again
}

bool ecru_py_is_to_raise(void) { return here && here->pending && here->last == &here->first; }

int ecru_py_raise_in_first(PyObject *error) {
  home *h = here;
  if (!h || h->last == &h->first || h->pending) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    return -1;
  }
  h->pending = Py_NewRef(error);
  (void)ecru_host_interrupt();
  return 0;
}

/// m's goroutine goes on: makes what is attached what it was when it left.
static void go_on(home *h, mark *m) {
  PyThreadState *now = NULL;
  if (!h->slept) {
    now = attached_now();
    h->last->attached = now && now == h->last->state;
    if (!h->last->attached) now = NULL;
  }
  h->slept = false;
  h->last = m;
  if (h->pending && m == &h->first && h->is_main) (void)Py_AddPendingCall(raise_pending, NULL); // it may not wait any more
  if (!m->attached) {
    if (now) (void)PyEval_SaveThread();
    announce(m->state);
    return;
  }
  if (now == m->state) return;
  announce(m->state); // first: a debug build checks it in what follows
  if (now) (void)PyThreadState_Swap(m->state);
  else PyEval_RestoreThread(m->state);
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
}

static void interrupted(void *context) {
  (void)context;
  (void)ecru_host_interrupt();
}

// ---- the pool ----------------------------------------------------------------------------------------------------------

static PyThreadState *new_state(void) {
  PyThreadState *state = PyThreadState_New(PyInterpreterState_Main());
  if (!state) return NULL;
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030e0000
  enum { STACK = 1 << 20, SPARE = 64 << 10, LEVEL = 1200 };
  if (state->c_recursion_remaining > (STACK - SPARE) / LEVEL) state->c_recursion_remaining = (STACK - SPARE) / LEVEL;
#endif
  return state;
}

static PyThreadState *take_state(home *h) { return h->pooled > 0 ? h->pool[--h->pooled] : new_state(); }

/// Empties what its goroutine left behind. returns: false: it cannot be used again.
static bool clean(PyThreadState *state) {
  if (state->dict && PyDict_GET_SIZE(state->dict) > 0) PyDict_Clear(state->dict);
#if PY_VERSION_HEX >= 0x030d0000
  Py_CLEAR(state->threading_local_sentinel);
  Py_CLEAR(state->threading_local_key);
#endif
  if (state->c_tracefunc) PyEval_SetTrace(NULL, NULL);
  if (state->c_profilefunc) PyEval_SetProfile(NULL, NULL);
  Py_CLEAR(state->async_gen_firstiter);
  Py_CLEAR(state->async_gen_finalizer);
  Py_CLEAR(state->async_exc);
  Py_CLEAR(state->context);
  return state->exc_info == &state->exc_state && state->gilstate_counter == 1;
}

int ecru_py_begin(home *h, mark *m) {
  m->attached = true;
  m->state = take_state(h);
  if (!m->state) return -1;
  (void)ecru_host_set_mark(m);
  go_on(h, m);
  m->state->thread_id = (unsigned long)(ecru_id() | (uint64_t)1 << 62); // tells goroutines apart in sys._current_frames
  return 0;
}

void ecru_py_end(home *h, mark *m) {
  PyThreadState *state = m->state;
  bool good = clean(state);
  h->gone = (mark){.state = state};
  h->last = &h->gone;
  if (good && h->pooled < POOLED_MAX) {
    h->pool[h->pooled++] = state;
    return;
  }
  PyThreadState_Clear(state);
  // It cannot be deleted while it is attached: another one takes its place as what has gone.
  PyThreadState *other = take_state(h);
  if (!other) return; // no memory: it is lost
  h->gone.state = other;
  announce(other);
  (void)PyThreadState_Swap(other);
  PyThreadState_Delete(state);
  if (h->pooled < POOLED_MAX) h->pool[h->pooled++] = other;
}

static void drop_pool(home *h) {
  while (h->pooled > 0) {
    PyThreadState *state = h->pool[--h->pooled];
    PyThreadState_Clear(state);
    PyThreadState_Delete(state);
  }
}

// ---- hosts -------------------------------------------------------------------------------------------------------------

static bool shut;              // the interpreter is ending
static PyObject *entered_hook; // told that the main thread has become a host by itself

static bool is_main_thread(void) {
  static unsigned long main_thread;
  if (!main_thread) {
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (ident) main_thread = PyLong_AsUnsignedLong(ident);
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    PyErr_Clear();
  }
  return PyThread_get_thread_ident() == main_thread;
}

static int start_runtime(void) {
  ecru_options options = ECRU_OPTIONS;
  options.stack_bytes = 1 << 20; // what recursion to the interpreter's limit needs
  options.flags = ECRU_NO_SIGNAL_HANDLERS; // faulthandler's
  int status = ecru_start(&options);
  return status == ECRU_EBUSY ? 0 : status;
}

int ecru_py_enter_home(void) {
  if (here) {
    PyErr_SetString(PyExc_RuntimeError, "this thread runs goroutines already");
    return -1;
  }
  if (shut) {
    PyErr_SetString(PyExc_RuntimeError, "no goroutines run any more: the interpreter is ending");
    return -1;
  }
  if (find_gil_key() < 0) return -1;
  home *h = PyMem_RawCalloc(1, sizeof *h);
  if (!h) {
    PyErr_NoMemory();
    return -1;
  }
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooks.arrive = arrive;
  hooks.idle = idle;
  hooks.interrupted = interrupted;
  hooks.context = h;
  h->first.state = PyThreadState_Get();
  h->first.attached = true;
  h->last = &h->first;
  int status = start_runtime();
  if (status == 0) status = ecru_token_create(&h->token, ecru_token_background(), ECRU_FOREVER);
  if (status == 0) status = ecru_host_enter(&hooks);
  if (status == 0) status = ecru_token_enter(h->token);
  if (status == 0) status = ecru_host_set_mark(&h->first);
  if (status != 0) {
    ecru_token_release(h->token);
    PyMem_RawFree(h);
    ecru_py_raise(status);
    return -1;
  }
  h->is_main = is_main_thread();
  here = h;
  return 0;
}

/// All its goroutines have ended. returns: 0; -1 with an exception.
int ecru_py_leave_home(void) {
  home *h = here;
  if (!h) return 0;
  (void)ecru_token_leave();
  int status = ecru_host_leave();
  if (status != 0) {
    (void)ecru_token_enter(h->token);
    ecru_py_raise(status);
    return -1;
  }
  here = NULL;
  drop_pool(h);
  ecru_token_release(h->token);
  Py_XDECREF(h->pending);
  PyMem_RawFree(h);
  return 0;
}

/// The main thread becomes a host because it has to do with goroutines. returns: 0; -1 with an exception.
static int enter_by_itself(void) {
  if (ecru_py_enter_home() < 0) return -1;
  PyObject *told = entered_hook ? PyObject_CallNoArgs(entered_hook) : Py_NewRef(Py_None);
  if (!told) PyErr_WriteUnraisable(entered_hook);
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

bool ecru_py_waits_here(void) {
  if (ecru_py_forked()) return false;
  if (here) return true;
  if (shut || !is_main_thread()) return false;
  if (enter_by_itself() == 0) return true;
  PyErr_Clear(); // a forked child, or no memory: the call itself says so
  return false;
}

int ecru_py_interrupted(void) {
  home *h = here;
  if (h && h->pending && h->last == &h->first) {
    PyObject *pending = h->pending;
    h->pending = NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(pending), pending);
    Py_DECREF(pending);
    return -1;
  }
  return PyErr_CheckSignals();
}

// ---- what _home.py needs -----------------------------------------------------------------------------------------------

static PyObject *enter_home(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return ecru_py_enter_home() == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *leave_home(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return ecru_py_leave_home() == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *is_home(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyBool_FromLong(here != NULL && !ecru_py_forked());
}

/// Those who are cancelled keep the old token; the first goes on under a new one, unless it is in a scope of the old.
static PyObject *cancel_home(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  home *h = here;
  if (!h) Py_RETURN_NONE;
  ecru_token *old = h->token, *fresh;
  bool outermost = h->last == &h->first && ecru_token_current() == old;
  int status = outermost ? ecru_token_create(&fresh, ecru_token_background(), ECRU_FOREVER) : 0;
  if (status != 0) return ecru_py_raise(status);
  (void)ecru_token_cancel(old, 0);
  if (!outermost) Py_RETURN_NONE;
  (void)ecru_token_leave();
  (void)ecru_token_enter(fresh);
  h->token = fresh;
  ecru_token_release(old);
  Py_RETURN_NONE;
}

static PyObject *interrupt_first(PyObject *module, PyObject *error) {
  (void)module;
  if (!PyExceptionInstance_Check(error)) return PyErr_Format(PyExc_TypeError, "an exception is needed, not %s", Py_TYPE(error)->tp_name);
  return ecru_py_raise_in_first(error) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *on_entered(PyObject *module, PyObject *hook) {
  (void)module;
  Py_XSETREF(entered_hook, Py_NewRef(hook));
  Py_RETURN_NONE;
}

static PyObject *shut_down(PyObject *module, PyObject *stop) {
  (void)module;
  shut = true;
  int status = 0;
  if (PyObject_IsTrue(stop) == 1) {
    Py_BEGIN_ALLOW_THREADS status = ecru_stop(); Py_END_ALLOW_THREADS
  }
  return PyLong_FromLong(status);
}

static PyMethodDef functions[] = {
  {"enter_home", enter_home, METH_NOARGS, PyDoc_STR("enter_home() -> None\n\nThis thread runs goroutines from now on.")},
  {"leave_home", leave_home, METH_NOARGS, PyDoc_STR("leave_home() -> None\n\nIt does no more; all have ended.")},
  {"is_home", is_home, METH_NOARGS, PyDoc_STR("is_home() -> bool\n\nWhether this thread runs goroutines.")},
  {"cancel_home", cancel_home, METH_NOARGS, PyDoc_STR("cancel_home() -> None\n\nCancels all goroutines of this thread but the caller.")},
  {"interrupt_first", interrupt_first, METH_O, PyDoc_STR("interrupt_first(error) -> None\n\nRaises error in the thread's first goroutine, at once if it calls, else where it waits.")},
  {"on_entered", on_entered, METH_O, PyDoc_STR("on_entered(hook) -> None\n\nhook() is called when the main thread has begun to run goroutines by itself.")},
  {"shut_down", shut_down, METH_O, PyDoc_STR("shut_down(stop) -> int\n\nNo thread begins to run goroutines any more; stop: the runtime's threads end. A status.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_home(PyObject *module) { return PyModule_AddFunctions(module, functions); }
