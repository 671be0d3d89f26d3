/// native/crew.c: Crew: goroutines under one token, which can be waited for all at once.
///
/// A crew's muster is what its goroutines need when they end, without the GIL and after the last Python object of theirs has gone:
///
///   1 word = handles * 2 + OVER. A handle is the crew object's and one of each goroutine that runs or is about to be started. OVER is set once,
///     while the only handle is the object's: after it nothing starts.
///   2 `running` counts the goroutines. Who ends leaves it first and then lets go of its handle: the last handle frees the muster.
///   3 Who waits has the object, and waits until it can set OVER: so the wait covers what goroutines start meanwhile.
#include "native.h"

#include <structmember.h>

enum { OVER = 1, HANDLE = 2 };

struct muster {
  _Atomic int64_t word;    // atomic: invariant 1
  ecru_waitgroup *running; // set once
};

struct CrewObject {
  PyObject_HEAD
  muster *muster;   // set once
  PyObject *token;  // set once: a Token
  PyObject *failed; // callable, until it is over; NULL: none
};

static void release(muster *m) {
  // acq_rel: pairs with itself: who frees it comes after all others
  int64_t before = atomic_fetch_sub_explicit(&m->word, HANDLE, memory_order_acq_rel);
  if (before / HANDLE > 1) return;
  if (!ecru_py_forked()) ecru_waitgroup_destroy(m->running);
  PyMem_RawFree(m);
}

/// Another one is about to be started. returns: false: it is over.
static bool join(muster *m) {
  int64_t word = atomic_load_explicit(&m->word, memory_order_relaxed);
  do {
    if (word & OVER) return false;
    // relaxed: the caller has a handle already, and `running` orders the rest
  } while (!atomic_compare_exchange_weak_explicit(&m->word, &word, word + HANDLE, memory_order_relaxed, memory_order_relaxed));
  return true;
}

void ecru_py_crew_leave(muster *m) {
  (void)ecru_waitgroup_done(m->running);
  release(m);
}

/// Ends it if nobody runs. returns: whether it is over.
static bool end(muster *m) {
  int64_t word = HANDLE;
  // acquire: pairs with the release in release: what the last one did comes before
  return atomic_compare_exchange_strong_explicit(&m->word, &word, HANDLE | OVER, memory_order_acquire, memory_order_relaxed) || (word & OVER);
}

muster *ecru_py_muster_of(CrewObject *c) { return c->muster; }

bool ecru_py_crew_failed(CrewObject *c, PyObject *task, PyObject *error) {
  PyObject *failed;
  Py_BEGIN_CRITICAL_SECTION(c);
  failed = Py_XNewRef(c->failed); // it may go meanwhile
  Py_END_CRITICAL_SECTION();
  if (!failed) return false;
  PyObject *told = PyObject_CallFunctionObjArgs(failed, task, error, NULL);
  if (!told) PyErr_WriteUnraisable(failed);
  bool taken = told != NULL;
  Py_XDECREF(told);
  Py_DECREF(failed);
  return taken;
}

static muster *create(void) {
  muster *m = PyMem_RawCalloc(1, sizeof *m);
  if (!m) return NULL;
  atomic_init(&m->word, HANDLE);
  if (ecru_waitgroup_create(&m->running) == 0) return m;
  PyMem_RawFree(m);
  return NULL;
}

static PyObject *crew_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"failed", NULL};
  PyObject *failed = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Crew", keywords, &failed)) return NULL;
  if (failed != Py_None && !PyCallable_Check(failed)) return PyErr_Format(PyExc_TypeError, "failed: a callable or None, not %R", failed), NULL;
  CrewObject *c = (CrewObject *)type->tp_alloc(type, 0);
  if (!c) return NULL;
  c->failed = failed == Py_None ? NULL : Py_NewRef(failed);
  c->token = PyObject_CallNoArgs((PyObject *)ecru_py_token_type);
  c->muster = c->token ? create() : NULL;
  if (c->token && !c->muster) PyErr_NoMemory();
  if (!c->muster) Py_CLEAR(c);
  return (PyObject *)c;
}

static int crew_traverse(CrewObject *c, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(c));
  Py_VISIT(c->token);
  Py_VISIT(c->failed);
  return 0;
}
static int crew_clear(CrewObject *c) {
  Py_CLEAR(c->failed);
  return 0;
}
static void crew_dealloc(CrewObject *c) {
  PyTypeObject *type = Py_TYPE(c);
  PyObject_GC_UnTrack(c);
  (void)crew_clear(c);
  Py_CLEAR(c->token);
  if (c->muster) release(c->muster);
  type->tp_free(c);
  Py_DECREF(type);
}

static PyObject *crew_start(CrewObject *c, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  ecru_token *token = ((TokenObject *)c->token)->token;
  int status = ecru_token_err(token);
  if (status != 0) return ecru_py_raise(status);
  TaskObject *t = ecru_py_new_task(args, count, names);
  if (!t) return NULL;
  if (!join(c->muster)) {
    Py_DECREF(t);
    return PyErr_SetString(PyExc_RuntimeError, "it has ended"), NULL;
  }
  status = ecru_waitgroup_add(c->muster->running, 1);
  if (status == 0 && (status = ecru_py_start_task(t, token, c)) != 0) (void)ecru_waitgroup_done(c->muster->running);
  if (status == 0) return (PyObject *)t;
  release(c->muster);
  Py_DECREF(t);
  return ecru_py_raise(status);
}

static int wait_shielded(muster *m) {
  (void)ecru_py_waits_here();
  int status = ecru_shield_enter(ECRU_FOREVER);
  if (status != 0) return status;
  ECRU_PY_WAIT(status, ecru_waitgroup_wait(m->running));
  (void)ecru_token_leave();
  return status;
}

static PyObject *crew_wait(CrewObject *c, PyObject *unused) {
  (void)unused;
  while (!end(c->muster)) {
    int status = wait_shielded(c->muster);
    if (status != 0) return ecru_py_raise(status);
    ecru_py_find_lost();
  }
  ecru_py_clear((PyObject *)c, &c->failed);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
  {"start", (PyCFunction)(void (*)(void))crew_start, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("start(f, *args, **kwargs) -> Task\n\nf(*args, **kwargs) in a goroutine under the crew's token, whoever calls. Raises Cancelled if the token has fired;\nRuntimeError once all have been waited for.")},
  {"wait", (PyCFunction)crew_wait, METH_NOARGS,
   PyDoc_STR("wait() -> None\n\nParks until all have ended, also those they start meanwhile, whatever the current token; then it is over. Raises what a\nsignal handler does.")},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"token", T_OBJECT_EX, offsetof(CrewObject, token), READONLY, PyDoc_STR("the token they run under")},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Crew(failed=None)\n\nGoroutines under one token, a child of the one that is current where the crew is made.\nfailed(task, error) is called in each that raises, before it has ended.")},
  {Py_tp_new, (void *)crew_new},
  {Py_tp_dealloc, (void *)crew_dealloc},
  {Py_tp_traverse, (void *)crew_traverse},
  {Py_tp_clear, (void *)crew_clear},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec spec = {
  .name = "ecru.Crew", .basicsize = sizeof(CrewObject), .slots = slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
};

int ecru_py_add_crew(PyObject *module) { return ecru_py_add_type(module, &spec); }
