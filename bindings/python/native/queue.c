/// native/queue.c: Queue: a channel, and a count of the items nobody has called task_done for.
#include "native.h"

#include <structmember.h>

typedef struct {
  PyObject_HEAD
  ChanObject *chan;           // set once; NULL: not initialised
  ecru_waitgroup *unfinished; // set once
  Py_ssize_t maxsize;         // set once
  PyObject *weakrefs;
} QueueObject;

static int queue_init(QueueObject *q, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"maxsize", "elsewhere", NULL};
  Py_ssize_t maxsize = 0;
  int elsewhere = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|np:Queue", keywords, &maxsize, &elsewhere)) return -1;
  if (q->chan) return PyErr_SetString(PyExc_RuntimeError, "a queue is initialised once"), -1;
  int status = q->unfinished ? 0 : ecru_waitgroup_create(&q->unfinished);
  if (status != 0) return ecru_py_raise(status), -1;
  q->maxsize = maxsize;
  q->chan = (ChanObject *)(maxsize > 0 && !elsewhere ? PyObject_CallFunction((PyObject *)ecru_py_chan_type, "n", maxsize)
                                                     : PyObject_CallOneArg((PyObject *)ecru_py_chan_type, Py_None));
  return q->chan ? 0 : -1;
}

static int queue_traverse(QueueObject *q, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(q));
  Py_VISIT(q->chan);
  return 0;
}
/// The channel stays, so that the methods need not ask: it empties itself.
static void queue_dealloc(QueueObject *q) {
  PyTypeObject *type = Py_TYPE(q);
  PyObject_GC_UnTrack(q);
  if (q->weakrefs) PyObject_ClearWeakRefs((PyObject *)q);
  Py_XDECREF((PyObject *)q->chan);
  if (!ecru_py_forked()) ecru_waitgroup_destroy(q->unfinished);
  type->tp_free(q);
  Py_DECREF(type);
}

// ---- how it fails ----------------------------------------------------------------------------------------------------------

/// Raises an exception that a module of Python has. returns: NULL.
static PyObject *raise_from(const char *module_name, const char *name) {
  PyObject *module = PyImport_ImportModule(module_name);
  PyObject *error = module ? PyObject_GetAttrString(module, name) : NULL;
  if (error) PyErr_SetNone(error);
  Py_XDECREF(error);
  Py_XDECREF(module);
  return NULL;
}

/// missed: what it is if it was not in time.
static PyObject *fail(int status, const char *missed) {
  if (status == ECRU_EAGAIN) return raise_from("queue", missed);
  if (status == ECRU_ECLOSED) return raise_from("ecru._sync._queue", "ShutDown");
  return ecru_py_raise(status);
}

// ---- in and out ------------------------------------------------------------------------------------------------------------

/// instant: AT_ONCE if it is not to wait. returns: 0; -1 with an exception.
static int parse(PyObject *block, PyObject *timeout, int64_t *instant) {
  int waits = block ? PyObject_IsTrue(block) : 1;
  if (waits < 0 || ecru_py_instant(timeout, instant) < 0) return -1;
  if (timeout && timeout != Py_None && PyFloat_AsDouble(timeout) < 0)
    return PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number"), -1;
  if (!waits) *instant = AT_ONCE;
  return 0;
}

static bool is_ready(QueueObject *q) {
  if (!q->chan) PyErr_SetString(PyExc_RuntimeError, "the queue is not initialised");
  return q->chan != NULL;
}

/// Says what the caller waits for, unless it does not. returns: for end_wait.
static const char *begin_wait(int64_t instant, const char *what) {
  if (instant == AT_ONCE) return NULL;
  (void)ecru_py_waits_here(); // a home's first goroutine, which has a word of its own for its waits, is to begin before this one is said
  return ecru_py_wait_as(what);
}
static void end_wait(int64_t instant, const char *before) {
  if (instant != AT_ONCE) (void)ecru_waits_for(before);
}

static PyObject *put(QueueObject *q, PyObject *item, int64_t instant) {
  int status = ecru_waitgroup_add(q->unfinished, 1);
  if (status != 0) return ecru_py_raise(status);
  const char *before = begin_wait(instant, "queue put");
  status = ecru_py_chan_put(q->chan, item, instant);
  end_wait(instant, before);
  if (status == 0) Py_RETURN_NONE;
  (void)ecru_waitgroup_done(q->unfinished);
  return fail(status, "Full");
}

static PyObject *get(QueueObject *q, int64_t instant) {
  PyObject *item;
  const char *before = begin_wait(instant, "queue get");
  int status = ecru_py_chan_get(q->chan, &item, instant);
  end_wait(instant, before);
  return status == 0 ? item : fail(status, "Empty");
}

static PyObject *queue_put(QueueObject *q, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"item", "block", "timeout", NULL};
  PyObject *args[3];
  int64_t instant = ECRU_FOREVER;
  if (!is_ready(q)) return NULL;
  if (count == 1 && !keywords) return put(q, given[0], instant);
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0 || parse(args[1], args[2], &instant) < 0) return NULL;
  return put(q, args[0], instant);
}

static PyObject *queue_get(QueueObject *q, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"block", "timeout", NULL};
  PyObject *args[2];
  int64_t instant = ECRU_FOREVER;
  if (!is_ready(q)) return NULL;
  if (count == 0 && !keywords) return get(q, instant);
  if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0 || parse(args[0], args[1], &instant) < 0) return NULL;
  return get(q, instant);
}

static PyObject *queue_put_nowait(QueueObject *q, PyObject *item) { return is_ready(q) ? put(q, item, AT_ONCE) : NULL; }
static PyObject *queue_get_nowait(QueueObject *q, PyObject *unused) { return (void)unused, is_ready(q) ? get(q, AT_ONCE) : NULL; }

// ---- what is to be done with the items -------------------------------------------------------------------------------------

/// For queues that keep their items elsewhere: an item is about to be put.
static PyObject *queue_begin(QueueObject *q, PyObject *unused) {
  (void)unused;
  int status = ecru_waitgroup_add(q->unfinished, 1);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *queue_task_done(QueueObject *q, PyObject *unused) {
  (void)unused;
  int status = ecru_waitgroup_done(q->unfinished);
  if (status == 0) Py_RETURN_NONE;
  if (status == ECRU_EINVAL) return PyErr_SetString(PyExc_ValueError, "task_done() called too many times"), NULL;
  return ecru_py_raise(status);
}

static int await_all(ecru_waitgroup *unfinished) {
  const char *before = ecru_py_wait_as("queue join");
  int status = ecru_waitgroup_wait(unfinished);
  (void)ecru_waits_for(before);
  return status;
}

static PyObject *queue_join(QueueObject *q, PyObject *unused) {
  (void)unused;
  int status;
  ECRU_PY_WAIT(status, await_all(q->unfinished));
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyMethodDef methods[] = {
  {"put", (PyCFunction)(void (*)(void))queue_put, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("put(item, block=True, timeout=None) -> None\n\nPuts item, parking for timeout seconds at most while it is full. Raises queue.Full, ShutDown, ValueError, Cancelled.")},
  {"get", (PyCFunction)(void (*)(void))queue_get, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("get(block=True, timeout=None) -> item\n\nTakes an item, parking for timeout seconds at most while it is empty. Raises queue.Empty, ShutDown, ValueError, Cancelled.")},
  {"put_nowait", (PyCFunction)queue_put_nowait, METH_O, PyDoc_STR("put_nowait(item) -> None\n\nput that never parks.")},
  {"get_nowait", (PyCFunction)queue_get_nowait, METH_NOARGS, PyDoc_STR("get_nowait() -> item\n\nget that never parks.")},
  {"task_done", (PyCFunction)queue_task_done, METH_NOARGS,
   PyDoc_STR("task_done() -> None\n\nWhat was got is dealt with. ValueError if that was said of all that was put.")},
  {"join", (PyCFunction)queue_join, METH_NOARGS,
   PyDoc_STR("join() -> None\n\nParks until task_done was called for each item that was put. Raises Cancelled.")},
  {"_begin", (PyCFunction)queue_begin, METH_NOARGS, NULL},
  {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(QueueObject, weakrefs), READONLY, NULL},
  {"maxsize", T_PYSSIZET, offsetof(QueueObject, maxsize), READONLY, PyDoc_STR("how many items it holds; <= 0: no bound")},
  {"_chan", T_OBJECT_EX, offsetof(QueueObject, chan), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Queue(maxsize=0, elsewhere=False)\n\nWhat ecru.Queue needs in C. elsewhere: the items are; put and get have to be overridden, and the channel, without bound,\nholds a mark for each.")},
  {Py_tp_new, (void *)PyType_GenericNew},
  {Py_tp_init, (void *)queue_init},
  {Py_tp_dealloc, (void *)queue_dealloc},
  {Py_tp_traverse, (void *)queue_traverse},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec spec = {
  .name = "ecru.Queue", .basicsize = sizeof(QueueObject), .slots = slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
};

int ecru_py_add_queue(PyObject *module) { return ecru_py_add_type(module, &spec); }
