/// native/task.c: goroutines of Python functions.
#include "native.h"

#include <sched.h>
#include <structmember.h>
#include <unistd.h>

struct TaskObject {
  HolderObject holder;
  ecru_task *task;       // NULL: not started, or started by go without a handle of its own
  PyObject *fn, *args, *names, *context; // until it begins: a vectorcall's
  PyObject *result, *error;              // once done
  PyObject *name, *weakrefs;
  CrewObject *crew;                      // until it ends; NULL: none
  TaskObject *lost;                      // home.lost: the next one
  uint64_t id;
  size_t stack_bytes;                    // of its goroutine: once it is being started
  _Atomic bool done;
  _Atomic bool observed;                 // relaxed: by whoever joins it, or reports it
#ifdef Py_GIL_DISABLED
  _Atomic bool placed;                   // `task` and `id` are set: it may run on another thread before its spawner has written them
#endif
};

PyTypeObject *ecru_py_task_type;
static PyObject *excepthook_name;

ecru_task *ecru_py_task_of(PyObject *task) { return ((TaskObject *)task)->task; }

static _Atomic bool some_failed; // a goroutine has, once; relaxed: who asks comes after those that have ended

static bool is_observed(const TaskObject *t) { return atomic_load_explicit(&t->observed, memory_order_relaxed); }
static void set_observed(TaskObject *t) { atomic_store_explicit(&t->observed, true, memory_order_relaxed); }

/// An error nobody has looked at.
static bool unobserved(const TaskObject *t) {
  return t->error && !is_observed(t) && !PyErr_GivenExceptionMatches(t->error, PyExc_SystemExit) && !PyErr_GivenExceptionMatches(t->error, ecru_py_cancelled);
}

/// Calls the excepthook of a module; what that raises is told. returns: whether it returned.
static bool tell(TaskObject *t, const char *module) {
  PyObject *from = PyImport_ImportModule(module);
  PyObject *hook = from ? PyObject_GetAttr(from, excepthook_name) : NULL;
  PyObject *said = hook ? PyObject_CallFunctionObjArgs(hook, (PyObject *)t, t->error, NULL) : NULL;
  bool told = said != NULL;
  if (!told) PyErr_WriteUnraisable((PyObject *)t);
  Py_XDECREF(said);
  Py_XDECREF(hook);
  Py_XDECREF(from);
  return told;
}

/// An error nobody will look at goes to ecru.excepthook; if that fails, to the package's own. It is a borrowed reference.
static void report(TaskObject *t) {
  if (!unobserved(t)) return;
  set_observed(t);
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (!tell(t, "ecru")) (void)tell(t, "ecru._home");
  PyErr_Restore(type, value, traceback);
}

static void keep_error(TaskObject *t) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  t->error = value;
  atomic_store_explicit(&some_failed, true, memory_order_relaxed);
}

static void call(TaskObject *t) {
  PyObject *fn = t->fn, *args = t->args, *names = t->names, *context = t->context;
  t->fn = t->args = t->names = t->context = NULL;
  size_t count = (size_t)(PyTuple_GET_SIZE(args) - (names ? PyTuple_GET_SIZE(names) : 0));
  bool entered = PyContext_Enter(context) == 0;
  if (entered) t->result = PyObject_Vectorcall(fn, ((PyTupleObject *)args)->ob_item, count, names);
  if (!t->result) keep_error(t);
  if (entered && PyContext_Exit(context) < 0) PyErr_Clear();
  Py_DECREF(fn);
  Py_DECREF(args);
  Py_XDECREF(names);
  Py_DECREF(context);
}

void ecru_py_find_lost(void) {
  home *h = ecru_py_home();
  if (!h || !atomic_load_explicit(&h->leader->lost, memory_order_relaxed)) return;
  // acquire: pairs with the release in lose
  TaskObject *next = atomic_exchange_explicit(&h->leader->lost, NULL, memory_order_acquire);
  while (next) {
    TaskObject *t = next;
    next = t->lost;
    PyErr_NoMemory();
    keep_error(t);
    Py_CLEAR(t->fn);
    Py_CLEAR(t->args);
    Py_CLEAR(t->names);
    Py_CLEAR(t->context);
    if (t->crew) (void)ecru_py_crew_failed(t->crew, (PyObject *)t, t->error);
    Py_CLEAR(t->crew);
    if (Py_REFCNT(t) == 1) report(t);
    Py_DECREF(t);
  }
}

/// Who ends the program means all of it: the first is told, as if it had been raised there.
static void end_all(TaskObject *t) {
  bool meant = PyErr_GivenExceptionMatches(t->error, PyExc_SystemExit) || PyErr_GivenExceptionMatches(t->error, PyExc_KeyboardInterrupt);
  if (!meant) return;
  set_observed(t);
  if (ecru_py_raise_in_first(t->error) < 0) PyErr_Clear(); // it is being told already
}

/// In a child that the goroutine has forked: with it ends the program. Not by Py_Exit: from 3.13 on that wants the state of a thread that is no more.
_Noreturn static void end_child(TaskObject *t) {
  report(t);
  PyObject *home_module = PyImport_ImportModule("ecru._home");
  PyObject *ended = home_module ? PyObject_CallMethod(home_module, "_end_child", "O", t->error ? t->error : Py_None) : NULL;
  Py_XDECREF(ended);
  _exit(1); // it has not come so far
}

/// Nothing is attached to give the reference back with.
static void lose(home *leader, TaskObject *t) {
  t->lost = atomic_load_explicit(&leader->lost, memory_order_relaxed);
  // release: pairs with the acquire in ecru_py_find_lost
  while (!atomic_compare_exchange_weak_explicit(&leader->lost, &t->lost, t, memory_order_release, memory_order_relaxed)) {}
}

#ifdef Py_GIL_DISABLED
/// release: pairs with the acquire in await_spawner
static void is_placed(TaskObject *t) { atomic_store_explicit(&t->placed, true, memory_order_release); }
static void await_spawner(TaskObject *t) { // who has but a few instructions to go
  while (!atomic_load_explicit(&t->placed, memory_order_acquire)) (void)sched_yield();
}
#else
static void is_placed(TaskObject *t) { (void)t; }
static void await_spawner(TaskObject *t) { (void)t; }
#endif

/// Whoever sees it sees the outcome.
static void has_ended(TaskObject *t) { atomic_store_explicit(&t->done, true, memory_order_release); } // release: pairs with task_done

/// Where the goroutine's stack is unwound: pthread_exit does that. (This file is compiled with -fexceptions.)
static void stay_unless(const bool *ended) {
  if (!*ended) ecru_py_stay();
}

/// The first function of a goroutine; it owns a reference to the task.
static int begin(void *argument, void **unused) {
  (void)unused;
  __attribute__((cleanup(stay_unless))) bool ended = false;
  TaskObject *t = argument;
  home *h = ecru_py_home();
  muster *its_crew = t->crew ? ecru_py_muster_of(t->crew) : NULL;
  mark m = {.task = (PyObject *)t, .stack_bytes = t->stack_bytes};
  await_spawner(t);
  if (ecru_py_begin(h, &m) < 0) {
    has_ended(t); // result() says that there was no memory
    lose(h->leader, t);
    ecru_py_leaves_place(h);
    if (its_crew) ecru_py_crew_leave(its_crew);
    ended = true;
    return 0;
  }
  ecru_py_find_lost();
  if (!t->task) t->id = m.id;
  call(t);
  if (ecru_py_home() != h) end_child(t);
  bool taken = t->error && t->crew && ecru_py_crew_failed(t->crew, (PyObject *)t, t->error);
  if (t->error && !taken && !is_observed(t)) end_all(t);
  Py_CLEAR(t->crew);
  has_ended(t);
  if (Py_REFCNT(t) == 1) report(t);
  ecru_py_forget_task(h, &m); // destructors that run from here on may ask for it
  Py_DECREF(t);
  ecru_py_end(h, &m);
  ecru_py_leaves_place(h);
  if (its_crew) ecru_py_crew_leave(its_crew);
  ended = true;
  return 0;
}

static bool is_coroutine_function(PyObject *fn) {
  if (PyMethod_Check(fn)) fn = PyMethod_GET_FUNCTION(fn);
  return PyFunction_Check(fn) && (((PyCodeObject *)PyFunction_GET_CODE(fn))->co_flags & CO_COROUTINE);
}

static TaskObject *create(PyObject *const *args, Py_ssize_t count, PyObject *names) {
  if (count < 1 || !PyCallable_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "a callable is needed, not %s", count < 1 ? "nothing" : Py_TYPE(args[0])->tp_name);
    return NULL;
  }
  if (is_coroutine_function(args[0])) {
    PyErr_Format(PyExc_TypeError, "a plain function is needed, not %R: ecru.aio.run(f(...)) runs a coroutine", args[0]);
    return NULL;
  }
  TaskObject *t = PyObject_GC_New(TaskObject, ecru_py_task_type);
  if (!t) return NULL;
  t->task = NULL;
  t->names = t->result = t->error = t->holder.cause = t->name = t->weakrefs = NULL;
  t->lost = NULL;
  t->crew = NULL;
  t->id = 0;
  atomic_init(&t->observed, false);
  atomic_init(&t->done, false);
#ifdef Py_GIL_DISABLED
  atomic_init(&t->placed, false);
#endif
  t->fn = Py_NewRef(args[0]);
  t->context = PyContext_CopyCurrent();
  Py_ssize_t all = count - 1 + (names ? PyTuple_GET_SIZE(names) : 0);
  t->args = PyTuple_New(all);
  if (t->args)
    for (Py_ssize_t i = 0; i < all; i++) PyTuple_SET_ITEM(t->args, i, Py_NewRef(args[i + 1]));
  t->names = Py_XNewRef(names);
  PyObject_GC_Track(t);
  if (t->args && t->context) return t;
  Py_DECREF(t);
  return NULL;
}

TaskObject *ecru_py_new_task(PyObject *const *args, Py_ssize_t count, PyObject *names) {
  if (!ecru_py_ensure_home()) return NULL;
  ecru_py_find_lost();
  return create(args, count, names);
}

static ecru_go_options hosted(TaskObject *t, const home *h, const home *where, ecru_token *token) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_HOSTED;
  options.stack_bytes = t->stack_bytes = ecru_py_stack_bytes();
  options.token = token;
  if (where != h) options.host = where->host;
  return options;
}

int ecru_py_start_task(TaskObject *t, ecru_token *token, CrewObject *crew) {
  home *h = ecru_py_home(), *where = ecru_py_place(h);
  if (!where) return ECRU_EINTR;
  ecru_go_options options = hosted(t, h, where, token);
  t->crew = (CrewObject *)Py_XNewRef((PyObject *)crew);
  Py_INCREF(t);
  int status = ecru_spawn_with(&t->task, &options, begin, t);
  if (status == 0) t->id = ecru_task_id(t->task);
  is_placed(t);
  ecru_py_placed(h, where, status == 0);
  if (status != 0) Py_DECREF(t);
  return status;
}

static PyObject *spawn(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  (void)module;
  TaskObject *t = ecru_py_new_task(args, count, names);
  if (!t) return NULL;
  int status = ecru_py_start_task(t, NULL, NULL);
  if (status == 0) return (PyObject *)t;
  Py_DECREF(t);
  return ecru_py_raise(status);
}

static void begin_alone(void *argument) { (void)begin(argument, NULL); }

static PyObject *go(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  (void)module;
  TaskObject *t = ecru_py_new_task(args, count, names);
  home *h = ecru_py_home(), *where = t ? ecru_py_place(h) : NULL;
  if (!where) {
    Py_XDECREF(t);
    return NULL;
  }
  ecru_go_options options = hosted(t, h, where, NULL);
  is_placed(t);
  int status = ecru_go_with(&options, begin_alone, t);
  ecru_py_placed(h, where, status == 0);
  if (status == 0) Py_RETURN_NONE;
  Py_DECREF(t);
  return ecru_py_raise(status);
}

static int join(TaskObject *t) {
  int status = 0;
  if (!t->task) return ECRU_EINVAL;
  ECRU_PY_WAIT(status, ecru_task_join(t->task, NULL, NULL));
  ecru_py_find_lost();
  return status;
}

static PyObject *task_join(TaskObject *t, PyObject *unused) {
  (void)unused;
  int status = join(t);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *task_result(TaskObject *t, PyObject *unused) {
  (void)unused;
  int status = join(t);
  if (status != 0) return ecru_py_raise(status);
  set_observed(t);
  if (t->result) return Py_NewRef(t->result);
  if (!t->error) return PyErr_NoMemory();
  PyErr_SetObject((PyObject *)Py_TYPE(t->error), t->error);
  return NULL;
}

static PyObject *task_exception(TaskObject *t, PyObject *unused) {
  (void)unused;
  int status = join(t);
  if (status != 0) return ecru_py_raise(status);
  set_observed(t);
  return Py_NewRef(t->error ? t->error : Py_None);
}

static PyObject *task_cancel(TaskObject *t, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"cause", NULL};
  PyObject *cause;
  if (ecru_py_arguments(&cause, names, 0, given, count, keywords) < 0) return NULL;
  if (!t->task) return ecru_py_raise(ECRU_EINVAL);
  if (cause && cause != Py_None && !t->done) return ecru_py_cancel_with(&t->holder, ecru_task_token(t->task), cause);
  (void)ecru_task_cancel(t->task, 0);
  Py_RETURN_NONE;
}

/// acquire: pairs with the release in has_ended
static PyObject *task_done(TaskObject *t, void *unused) { return (void)unused, PyBool_FromLong(atomic_load_explicit(&t->done, memory_order_acquire)); }

static PyObject *task_name(TaskObject *t, void *unused) {
  (void)unused;
  PyObject *name;
  Py_BEGIN_CRITICAL_SECTION(t);
  name = Py_XNewRef(t->name);
  Py_END_CRITICAL_SECTION();
  if (name) return name;
  return PyUnicode_FromFormat("task-%llu", (unsigned long long)t->id);
}
static PyObject *task_repr(TaskObject *t) {
  PyObject *name = task_name(t, NULL), *text = NULL;
  if (!name) return NULL;
  if (!t->done) text = PyUnicode_FromFormat("<ecru.Task %U, running>", name);
  else if (t->error) text = PyUnicode_FromFormat("<ecru.Task %U, raised %s>", name, Py_TYPE(t->error)->tp_name);
  else text = PyUnicode_FromFormat("<ecru.Task %U, returned>", name);
  Py_DECREF(name);
  return text;
}
static int task_set_name(TaskObject *t, PyObject *name, void *unused) {
  (void)unused;
  if (!name || !PyUnicode_Check(name)) {
    PyErr_SetString(PyExc_TypeError, "a name is a str");
    return -1;
  }
  PyObject *before;
  Py_BEGIN_CRITICAL_SECTION(t);
  before = t->name;
  t->name = Py_NewRef(name);
  Py_END_CRITICAL_SECTION();
  Py_XDECREF(before);
  return 0;
}

static int task_traverse(TaskObject *t, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(t));
  Py_VISIT(t->fn);
  Py_VISIT(t->args);
  Py_VISIT(t->names);
  Py_VISIT(t->context);
  Py_VISIT(t->result);
  Py_VISIT(t->error);
  Py_VISIT(t->holder.cause);
  Py_VISIT(t->name);
  Py_VISIT(t->crew);
  return 0;
}
static int task_clear(TaskObject *t) {
  Py_CLEAR(t->fn);
  Py_CLEAR(t->args);
  Py_CLEAR(t->names);
  Py_CLEAR(t->context);
  Py_CLEAR(t->result);
  Py_CLEAR(t->error);
  Py_CLEAR(t->holder.cause);
  Py_CLEAR(t->name);
  Py_CLEAR(t->crew);
  return 0;
}
static void task_finalize(PyObject *self) { report((TaskObject *)self); }
static void task_dealloc(TaskObject *t) {
  PyTypeObject *type = Py_TYPE(t);
  if (PyObject_CallFinalizerFromDealloc((PyObject *)t) < 0) return;
  PyObject_GC_UnTrack(t);
  Py_TRASHCAN_BEGIN(t, task_dealloc) // its result may be a task, whose result is one ...
  if (t->weakrefs) PyObject_ClearWeakRefs((PyObject *)t);
  ecru_task_release(t->task);
  (void)task_clear(t);
  PyObject_GC_Del(t);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

static PyMethodDef task_methods[] = {
  {"join", (PyCFunction)task_join, METH_NOARGS, PyDoc_STR("join() -> None\n\nWaits for the end, however it was.")},
  {"result", (PyCFunction)task_result, METH_NOARGS, PyDoc_STR("result() -> object\n\nWaits for the end; what the function returned, or raises what it raised.")},
  {"exception", (PyCFunction)task_exception, METH_NOARGS, PyDoc_STR("exception() -> BaseException | None\n\nWaits for the end; what the function raised.")},
  {"cancel", (PyCFunction)(void (*)(void))task_cancel, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("cancel(cause=None) -> None\n\nFires the task's token: it is raised Cancelled where it waits. cause: any object: Cancelled.cause there.")},
  {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef task_members[] = {
  {"id", T_ULONGLONG, offsetof(TaskObject, id), READONLY, PyDoc_STR("the goroutine's id")},
  {"__weaklistoffset__", T_PYSSIZET, offsetof(TaskObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef task_properties[] = {
  {"done", (getter)task_done, NULL, PyDoc_STR("whether it has ended"), NULL},
  {"name", (getter)task_name, (setter)task_set_name, PyDoc_STR("a name, for people"), NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot task_slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("A goroutine with a handle. Made by spawn().")},
  {Py_tp_methods, task_methods},
  {Py_tp_members, task_members},
  {Py_tp_getset, task_properties},
  {Py_tp_traverse, (void *)task_traverse},
  {Py_tp_clear, (void *)task_clear},
  {Py_tp_dealloc, (void *)task_dealloc},
  {Py_tp_finalize, (void *)task_finalize},
  {Py_tp_repr, (void *)task_repr},
  {0, NULL},
};
static PyType_Spec task_spec = {
  .name = "ecru.Task", .basicsize = sizeof(TaskObject), .slots = task_slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
};

static PyObject *yield_now(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  int status;
  if (ecru_py_forked()) Py_RETURN_NONE;
  ECRU_PY_WAIT(status, ecru_yield());
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *sleep_for(PyObject *module, PyObject *seconds) {
  (void)module;
  int64_t instant;
  int status;
  if (ecru_py_instant(seconds, &instant) < 0) return NULL;
  if (ecru_py_forked()) return ecru_py_wait_forked(NULL, 0, instant) == 0 ? Py_NewRef(Py_None) : NULL;
  ECRU_PY_WAIT(status, ecru_sleep_until(instant));
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *current(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  PyObject *task = ecru_py_current_task();
  return Py_NewRef(task ? task : Py_None);
}

static PyObject *identity(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLongLong(ecru_id());
}

static PyObject *count(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  const home *h = ecru_py_home();
  size_t own = !h || h == h->leader ? ecru_host_count() : 0; // a worker's are placed
  return PyLong_FromSize_t(own + (h ? ecru_py_placed_count(h) : 0));
}

/// Reports up to `most` of the tasks in the list. returns: of how many more nobody has looked at the error; now they count as looked at.
static Py_ssize_t report_those(PyObject *objects, Py_ssize_t most) {
  Py_ssize_t found = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
    PyObject *object = PyList_GET_ITEM(objects, i);
    if (Py_TYPE(object) != ecru_py_task_type || !unobserved((TaskObject *)object)) continue;
    if (found++ < most) report((TaskObject *)object);
    else set_observed((TaskObject *)object);
  }
  return found > most ? found - most : 0;
}

/// While tasks are still referred to: once the interpreter clears its modules the hook cannot say anything any more.
static PyObject *report_failed(PyObject *module, PyObject *at_most) {
  (void)module;
  Py_ssize_t most = PyLong_AsSsize_t(at_most);
  if (most == -1 && PyErr_Occurred()) return NULL;
  if (!atomic_load_explicit(&some_failed, memory_order_relaxed)) return PyLong_FromLong(0);
  PyObject *gc = PyImport_ImportModule("gc");
  PyObject *objects = gc ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
  Py_XDECREF(gc);
  if (!objects) return NULL;
  Py_ssize_t more = report_those(objects, most);
  Py_DECREF(objects);
  return PyLong_FromSsize_t(more);
}

static PyMethodDef functions[] = {
  {"report_failed", report_failed, METH_O, PyDoc_STR("report_failed(most) -> int\n\nErrors of ended tasks that nobody has asked for go to ecru.excepthook, at most so many; how many more there were.")},
  {"spawn", (PyCFunction)(void (*)(void))spawn, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("spawn(f, *args, **kwargs) -> Task\n\nStarts f(*args, **kwargs) in a goroutine.")},
  {"go", (PyCFunction)(void (*)(void))go, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("go(f, *args, **kwargs) -> None\n\nStarts f(*args, **kwargs) in a goroutine nobody waits for.")},
  {"yield_", yield_now, METH_NOARGS, PyDoc_STR("yield_() -> None\n\nLets the other goroutines go first.")},
  {"sleep", sleep_for, METH_O, PyDoc_STR("sleep(seconds) -> None\n\nParks for at least so long; None: for ever.")},
  {"current", current, METH_NOARGS, PyDoc_STR("current() -> Task | None\n\nThe calling goroutine; None in a thread's first.")},
  {"goroutine_id", identity, METH_NOARGS, PyDoc_STR("goroutine_id() -> int\n\nId of the calling goroutine; 0 in a plain thread.")},
  {"goroutine_count", count, METH_NOARGS, PyDoc_STR("goroutine_count() -> int\n\nGoroutines of this thread (and its workers) that have not ended, without its first.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_task(PyObject *module) {
  excepthook_name = PyUnicode_InternFromString("excepthook");
  ecru_py_task_type = (PyTypeObject *)PyType_FromSpec(&task_spec);
  if (!excepthook_name || !ecru_py_task_type) return -1;
  if (PyModule_AddType(module, ecru_py_task_type) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
