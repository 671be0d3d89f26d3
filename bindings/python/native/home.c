/// native/home.c: what ecru/_home.py needs of the threads that run goroutines: how they begin and end, what reaches their firsts, who is on them.
#include "home.h"

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
  return PyBool_FromLong(ecru_py_home() != NULL && !ecru_py_forked());
}

static PyObject *home_id(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  const home *h = ecru_py_home();
  return PyLong_FromUnsignedLong(h ? h->leader->thread_id : PyThread_get_thread_native_id());
}

/// What the first has left open is over: it is not to reach the end of its home.
static void leave_scopes(const home *h) {
  while (ecru_token_current() != h->token && ecru_token_leave() == 0) {}
}

/// Those who are cancelled keep the old token; the first goes on under a new one, unless it is in a scope of the old.
static PyObject *cancel_home(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  home *h = ecru_py_home();
  if (!h) Py_RETURN_NONE;
  if (h->last == &h->first) leave_scopes(h);
  ecru_token *old = h->token, *fresh;
  bool entered = ecru_token_current() == old;
  bool outermost = h->last == &h->first && (entered || h->goes_on);
  int status = outermost ? ecru_token_create(&fresh, ecru_token_background(), ECRU_FOREVER) : 0;
  if (status != 0) return ecru_py_raise(status);
  (void)ecru_token_cancel(old, 0);
  if (!outermost) Py_RETURN_NONE;
  if (entered) (void)ecru_token_leave(); // there is none to leave if a goroutine has forked
  (void)ecru_token_enter(fresh);
  ecru_py_lock(&ecru_py_homes_lock);
  h->token = fresh;
  ecru_py_unlock(&ecru_py_homes_lock);
  ecru_token_release(old);
  Py_RETURN_NONE;
}

ecru_token *ecru_py_home_token(home *h) {
  ecru_py_lock(&ecru_py_homes_lock);
  ecru_token *token = ecru_token_retain(h->leader->token);
  ecru_py_unlock(&ecru_py_homes_lock);
  return token;
}

static PyObject *interrupt_first(PyObject *module, PyObject *error) {
  (void)module;
  if (!PyExceptionInstance_Check(error)) return PyErr_Format(PyExc_TypeError, "an exception is needed, not %s", Py_TYPE(error)->tp_name);
  return ecru_py_raise_in_first(error) == 0 ? Py_NewRef(Py_None) : NULL;
}

/// The first of each home whose thread is in the dict `errors`, by its system's id, is raised what stands there.
static PyObject *interrupt_firsts(PyObject *module, PyObject *errors) {
  (void)module;
  if (!PyDict_Check(errors)) return PyErr_Format(PyExc_TypeError, "a dict is needed, not %s", Py_TYPE(errors)->tp_name);
  ecru_py_lock(&ecru_py_homes_lock);
  for (home *h = ecru_py_homes; h; h = h->next) {
    PyObject *thread_id = PyLong_FromUnsignedLong(h->thread_id);
    PyObject *error = thread_id ? PyDict_GetItemWithError(errors, thread_id) : NULL;
    Py_XDECREF(thread_id);
    if (!error || !PyExceptionInstance_Check(error) || !ecru_py_set_pending(h, error)) continue;
    if (ecru_host_interrupt_other(h->host) != 1) Py_XDECREF(ecru_py_take_pending(h)); // it does not wait; `errors` has it
  }
  ecru_py_unlock(&ecru_py_homes_lock);
  return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

typedef struct seen { unsigned long long id, thread_id, state_id; PyObject *task; } seen;

static size_t count_marks(home *h) {
  size_t count = 1;
  for (mark *m = h->first.next; m != &h->first; m = m->next) count++;
  return count;
}

/// All that have begun, with a reference to each task; ecru_py_homes_lock is held. At most `room`. returns: how many.
static size_t look_at_all(seen *all, size_t room) {
  size_t count = 0;
  for (home *h = ecru_py_homes; h; h = h->next) {
    ecru_py_lock(&h->lock);
    mark *m = &h->first;
    do {
      unsigned long thread_id = m == &h->first ? h->thread_id : h->leader->thread_id;
      if (count < room) all[count++] = (seen){m->id, thread_id, m->state->thread_id, Py_XNewRef(m->task)};
      m = m->next;
    } while (m != &h->first);
    ecru_py_unlock(&h->lock);
  }
  return count;
}

static size_t count_all(void) {
  size_t count = 0;
  for (home *h = ecru_py_homes; h; h = h->next) {
    ecru_py_lock(&h->lock);
    count += count_marks(h);
    ecru_py_unlock(&h->lock);
  }
  return count;
}

/// As goroutines() gives one. frames: sys._current_frames()'s.
static PyObject *entry_of(const seen *one, PyObject *frames) {
  PyObject *state_id = PyLong_FromUnsignedLongLong(one->state_id);
  PyObject *frame = state_id ? PyDict_GetItemWithError(frames, state_id) : NULL;
  Py_XDECREF(state_id);
  if (!frame && PyErr_Occurred()) return NULL;
  return Py_BuildValue("KKOO", one->id, one->thread_id, one->task ? one->task : Py_None, frame ? frame : Py_None);
}

static PyObject *goroutines(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  PyObject *current_frames = PySys_GetObject("_current_frames"), *frames = current_frames ? PyObject_CallNoArgs(current_frames) : NULL;
  PyObject *list = frames ? PyList_New(0) : NULL;
  ecru_py_lock(&ecru_py_homes_lock);
  size_t room = count_all();
  seen *all = PyMem_RawMalloc(room * sizeof *all + 1);
  size_t count = all ? look_at_all(all, room) : 0;
  ecru_py_unlock(&ecru_py_homes_lock);
  if (!all) Py_CLEAR(list);
  for (size_t i = 0; i < count; i++) {
    PyObject *one = list ? entry_of(&all[i], frames) : NULL;
    if (list && (!one || PyList_Append(list, one) < 0)) Py_CLEAR(list);
    Py_XDECREF(one);
    Py_XDECREF(all[i].task);
  }
  PyMem_RawFree(all);
  Py_XDECREF(frames);
  return list || PyErr_Occurred() ? list : PyErr_NoMemory();
}

static PyObject *end_home_in(PyObject *module, PyObject *seconds) {
  (void)module;
  int64_t instant;
  home *h = ecru_py_home();
  if (ecru_py_instant(seconds, &instant) < 0) return NULL;
  if (h) atomic_store_explicit(&h->end_ns, instant == ECRU_FOREVER ? 0 : instant, memory_order_relaxed);
  Py_RETURN_NONE;
}

static PyObject *home_has_ended(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  home *h = ecru_py_home();
  return PyBool_FromLong(h && atomic_exchange_explicit(&h->ended, false, memory_order_relaxed));
}

static PyObject *on_deadlock(PyObject *module, PyObject *hook) {
  (void)module;
  Py_XSETREF(ecru_py_deadlock_hook, Py_NewRef(hook));
  Py_RETURN_NONE;
}

static PyObject *after_fork(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  ecru_py_after_fork();
  Py_RETURN_NONE;
}

static PyObject *on_entered(PyObject *module, PyObject *hook) {
  (void)module;
  Py_XSETREF(ecru_py_entered_hook, Py_NewRef(hook));
  Py_RETURN_NONE;
}

static PyObject *shut_down(PyObject *module, PyObject *stop) {
  (void)module;
  ecru_py_shut();
  int status = 0;
  if (PyObject_IsTrue(stop) == 1) {
    Py_BEGIN_ALLOW_THREADS status = ecru_stop(); Py_END_ALLOW_THREADS
  }
  return PyLong_FromLong(status);
}

static PyObject *has_shut(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(ecru_py_has_shut()); }

static PyObject *dump_into(PyObject *module, PyObject *descriptor) {
  (void)module;
  int fd = PyObject_AsFileDescriptor(descriptor);
  if (fd < 0) return NULL;
  int status = ecru_dump(fd, ECRU_DUMP_JSON);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *wait_as(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  (void)module;
  if (count < 2) return PyErr_SetString(PyExc_TypeError, "wait_as: a word and a callable are needed"), NULL;
  const char *what = PyUnicode_AsUTF8(args[0]);
  if (!what) return NULL;
  (void)ecru_py_waits_here(); // a home's first has a word of its own: it is to begin before
  const char *before = ecru_py_wait_as(what);
  PyObject *result = PyObject_Vectorcall(args[1], args + 2, (size_t)(count - 2), names);
  (void)ecru_waits_for(before);
  return result;
}

static PyObject *start_seeded(PyObject *module, PyObject *seed) {
  (void)module;
  unsigned long long number = PyLong_AsUnsignedLongLong(seed);
  if (PyErr_Occurred()) return NULL;
  ecru_py_lock(&ecru_py_homes_lock);
  (void)ecru_py_start_runtime(number);
  ecru_py_unlock(&ecru_py_homes_lock);
  Py_RETURN_NONE;
}

static PyObject *maxprocs(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyLong_FromLong(ecru_maxprocs()); }

static PyMethodDef functions[] = {
  {"enter_home", enter_home, METH_NOARGS, PyDoc_STR("enter_home() -> None\n\nThis thread runs goroutines from now on.")},
  {"leave_home", leave_home, METH_NOARGS, PyDoc_STR("leave_home() -> None\n\nIt does no more; all have ended.")},
  {"is_home", is_home, METH_NOARGS, PyDoc_STR("is_home() -> bool\n\nWhether this thread runs goroutines.")},
  {"home_id", home_id, METH_NOARGS, PyDoc_STR("home_id() -> int\n\nThe native id of the thread whose goroutines the caller is one of: not a worker's.")},
  {"cancel_home", cancel_home, METH_NOARGS, PyDoc_STR("cancel_home() -> None\n\nCancels all goroutines of this thread but the caller.")},
  {"interrupt_first", interrupt_first, METH_O, PyDoc_STR("interrupt_first(error) -> None\n\nRaises error in the thread's first goroutine, at once if it calls, else where it waits.")},
  {"interrupt_firsts", interrupt_firsts, METH_O, PyDoc_STR("interrupt_firsts({thread id: error}) -> None\n\nRaises them in the first goroutines of these threads, if they wait. Ids as threading.get_native_id.")},
  {"goroutines", goroutines, METH_NOARGS, PyDoc_STR("goroutines() -> [(id, thread id, Task | None, frame | None)]\n\nAll of Python's that have begun; None: a thread's first. Thread ids as home_id, of firsts their own.")},
  {"end_home_in", end_home_in, METH_O, PyDoc_STR("end_home_in(seconds) -> None\n\nFrom then on the handler of SIGINT is called if a goroutine of the main thread computes; None: not.")},
  {"home_has_ended", home_has_ended, METH_NOARGS, PyDoc_STR("home_has_ended() -> bool\n\nIt was called for that reason.")},
  {"on_deadlock", on_deadlock, METH_O, PyDoc_STR("on_deadlock(hook) -> None\n\nhook() is called, in some thread, when all goroutines sleep and nothing can wake them.")},
  {"has_shut", has_shut, METH_NOARGS, PyDoc_STR("has_shut() -> bool\n\nThe interpreter is ending: nothing but the calling thread may run on.")},
  {"dump_into", dump_into, METH_O, PyDoc_STR("dump_into(file) -> None\n\nWhat goroutines and threads wait for, as JSON. A descriptor, or what has fileno().")},
  {"wait_as", (PyCFunction)(void (*)(void))wait_as, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("wait_as(what, f, *args, **kwargs) -> object\n\nf(*args, **kwargs), whose waits dumps call so. what: a literal.")},
  {"start_seeded", start_seeded, METH_O, PyDoc_STR("start_seeded(seed) -> None\n\nWhat is random in the runtime follows from seed, unless it is up already; 0: from nothing.")},
  {"maxprocs", maxprocs, METH_NOARGS, PyDoc_STR("maxprocs() -> int\n\nHow many goroutines of C can run in parallel: by default as many as there are processors for this process.")},
  {"after_fork", after_fork, METH_NOARGS, PyDoc_STR("after_fork() -> None\n\nIn a forked child: the runtime starts anew at the next use.")},
  {"on_entered", on_entered, METH_O, PyDoc_STR("on_entered(hook) -> None\n\nhook() is called when the main thread has begun to run goroutines by itself.")},
  {"shut_down", shut_down, METH_O, PyDoc_STR("shut_down(stop) -> int\n\nNo thread begins to run goroutines any more; stop: the runtime's threads end. A status.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_home(PyObject *module) { return PyModule_AddFunctions(module, functions); }
