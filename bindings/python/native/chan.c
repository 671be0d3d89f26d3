/// native/chan.c: channels of Python objects. An element is an owned reference.
#include "native.h"

#include <structmember.h>

PyTypeObject *ecru_py_chan_type;

/// Called by the runtime for what a full channel drops, in whatever thread, with or without the GIL.
static void dropped(void *context, void *element) {
  (void)context;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(*(PyObject **)element);
  PyGILState_Release(state);
}

static int policy_of(const char *full) {
  static const char *const names[] = {"wait", "drop_newest", "drop_oldest", "fail"};
  for (int i = 0; i < 4; i++)
    if (strcmp(full, names[i]) == 0) return i;
  PyErr_Format(PyExc_ValueError, "full: \"wait\", \"drop_newest\", \"drop_oldest\" or \"fail\", not \"%s\"", full);
  return -1;
}

static PyObject *chan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"cap", "full", "name", NULL};
  PyObject *cap = NULL;
  const char *full = "wait", *name = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|Osz:Chan", keywords, &cap, &full, &name)) return NULL;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.name = name;
  options.dropped = dropped;
  options.full = policy_of(full);
  if (options.full < 0) return NULL;
  Py_ssize_t capacity = 0;
  if (cap == Py_None) {
    options.unbounded = 1;
  } else if (cap) {
    capacity = PyNumber_AsSsize_t(cap, PyExc_OverflowError);
    if (capacity == -1 && PyErr_Occurred()) return NULL;
    if (capacity < 0) {
      PyErr_SetString(PyExc_ValueError, "cap: 0 or more, or None for no bound");
      return NULL;
    }
  }
  if (cap == Py_None && options.full != ECRU_FULL_WAIT)
    return PyErr_Format(PyExc_ValueError, "full=\"%s\": a channel without a bound (cap=None) is never full", full), NULL;
  if (capacity == 0 && cap != Py_None && (options.full == ECRU_FULL_DROP_NEWEST || options.full == ECRU_FULL_DROP_OLDEST))
    return PyErr_Format(PyExc_ValueError, "full=\"%s\": cap of 1 or more: a channel that holds nothing has nothing to drop", full), NULL;
  ChanObject *c = (ChanObject *)type->tp_alloc(type, 0);
  if (!c) return NULL;
  int status = ecru_chan_create_with(&c->chan, sizeof(PyObject *), (size_t)capacity, &options);
  if (status == 0) return (PyObject *)c;
  c->chan = NULL;
  Py_DECREF(c);
  return ecru_py_raise(status);
}

static void forget_error(ChanObject *c) {
  Py_CLEAR(c->error);
  Py_CLEAR(c->traceback);
}

/// What is there now: destructors may send more.
static int chan_clear(ChanObject *c) {
  PyObject *value;
  for (size_t left = ecru_chan_len(c->chan); left > 0 && ecru_chan_try_recv(c->chan, &value) == 0; left--) Py_DECREF(value);
  forget_error(c);
  return 0;
}

static void chan_dealloc(ChanObject *c) {
  PyTypeObject *type = Py_TYPE(c);
  PyObject_GC_UnTrack(c);
  Py_TRASHCAN_BEGIN(c, chan_dealloc) // a channel in a channel in a channel ...
  if (c->weakrefs) PyObject_ClearWeakRefs((PyObject *)c);
  (void)chan_clear(c);
  ecru_chan_release(c->chan);
  type->tp_free(c);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

typedef struct visitor { visitproc visit; void *arg; } visitor;
static int visit_element(void *context, const void *element) {
  const visitor *v = context;
  return v->visit(*(PyObject *const *)element, v->arg);
}
/// A collection looks more than once and must see the same: what may go without the GIL meanwhile is held by whoever takes it.
static int chan_traverse(ChanObject *c, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(c));
  Py_VISIT(c->error);
  Py_VISIT(c->traceback);
  visitor v = {visit, arg};
  return c->chan && c->inside == 0 ? ecru_chan_each(c->chan, visit_element, &v) : 0;
}

#define CHAN_WAIT(c, status, call) \
  do {                               \
    ecru_py_count(&(c)->inside, 1);  \
    ECRU_PY_WAIT(status, call);      \
    ecru_py_count(&(c)->inside, -1); \
  } while (0)

/// One case of a select, by the instant. returns: 0; ECRU_EAGAIN: not in time; another status.
static int wait_until(ChanObject *c, ecru_case *one, int64_t instant) {
  int status;
  CHAN_WAIT(c, status, ecru_select_until(one, 1, 0, instant));
  if (status == 0) return one->status;
  return status == ECRU_ETIMEDOUT && ecru_check() == 0 ? ECRU_EAGAIN : status;
}

int ecru_py_chan_put(ChanObject *c, PyObject *value, int64_t instant) {
  int status;
  Py_INCREF(value);
  if (instant == ECRU_FOREVER) CHAN_WAIT(c, status, ecru_chan_send(c->chan, &value));
  else if (instant == AT_ONCE) status = ecru_chan_try_send(c->chan, &value);
  else status = wait_until(c, &(ecru_case){.kind = ECRU_CASE_SEND, .object = c->chan, .value = &value}, instant);
  if (status != 0) Py_DECREF(value);
  return status;
}

int ecru_py_chan_get(ChanObject *c, PyObject **value, int64_t instant) {
  int status;
  if (instant == ECRU_FOREVER) CHAN_WAIT(c, status, ecru_chan_recv(c->chan, value));
  else if (instant == AT_ONCE) status = ecru_chan_try_recv(c->chan, value);
  else status = wait_until(c, &(ecru_case){.kind = ECRU_CASE_RECV, .object = c->chan, .value = value}, instant);
  return status;
}

bool ecru_py_chan_raises(ChanObject *c) {
  if (!c->error) return false;
  (void)PyException_SetTraceback(c->error, c->traceback ? c->traceback : Py_None); // else it keeps the frames of all who were raised it
  PyErr_SetObject((PyObject *)Py_TYPE(c->error), c->error);
  return true;
}

static PyObject *failed(int status) {
  if (status == ECRU_ECLOSED) return PyErr_SetString(ecru_py_closed, "the channel is closed"), NULL;
  return ecru_py_raise(status);
}

static PyObject *received_none(ChanObject *c, int status) {
  return status == ECRU_ECLOSED && ecru_py_chan_raises(c) ? NULL : failed(status);
}

static PyObject *chan_send(ChanObject *c, PyObject *value) {
  int status = ecru_py_chan_put(c, value, ECRU_FOREVER);
  if (status == 0) Py_RETURN_NONE;
  if (status == ECRU_EAGAIN) return PyErr_SetString(PyExc_BlockingIOError, "the channel is full"), NULL;
  return failed(status);
}

static PyObject *chan_recv(ChanObject *c, PyObject *unused) {
  (void)unused;
  PyObject *value;
  int status = ecru_py_chan_get(c, &value, ECRU_FOREVER);
  return status == 0 ? value : received_none(c, status);
}

static PyObject *chan_next(ChanObject *c) {
  PyObject *value;
  int status = ecru_py_chan_get(c, &value, ECRU_FOREVER);
  if (status == 0) return value;
  if (status != ECRU_ECLOSED) return ecru_py_raise(status);
  (void)ecru_py_chan_raises(c);
  return NULL;
}

/// What iter(chan) gives has no close: `yield from` would call it when the generator ends, and so close the channel for everybody (C8).
typedef struct IteratorObject { PyObject_HEAD ChanObject *chan; } IteratorObject;
static PyTypeObject *iterator_type;

static PyObject *chan_iter(ChanObject *c) {
  IteratorObject *iterator = PyObject_GC_New(IteratorObject, iterator_type);
  if (!iterator) return NULL;
  iterator->chan = (ChanObject *)Py_NewRef((PyObject *)c);
  PyObject_GC_Track(iterator);
  return (PyObject *)iterator;
}
static PyObject *iterator_next(IteratorObject *i) { return chan_next(i->chan); }
static int iterator_traverse(IteratorObject *i, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(i));
  Py_VISIT(i->chan);
  return 0;
}
static void iterator_dealloc(IteratorObject *i) {
  PyTypeObject *type = Py_TYPE(i);
  PyObject_GC_UnTrack(i);
  Py_DECREF(i->chan);
  PyObject_GC_Del(i);
  Py_DECREF(type);
}
static PyType_Slot iterator_slots[] = {
  {Py_tp_dealloc, (void *)iterator_dealloc},
  {Py_tp_traverse, (void *)iterator_traverse},
  {Py_tp_iter, (void *)PyObject_SelfIter},
  {Py_tp_iternext, (void *)iterator_next},
  {0, NULL},
};
static PyType_Spec iterator_spec = {
  .name = "ecru.ChanIterator", .basicsize = sizeof(IteratorObject), .slots = iterator_slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

static PyObject *chan_try_send(ChanObject *c, PyObject *value) {
  int status = ecru_py_chan_put(c, value, AT_ONCE);
  if (status == 0) Py_RETURN_TRUE;
  if (status == ECRU_EAGAIN) Py_RETURN_FALSE;
  return failed(status);
}

/// recv2() -> (value, True), or (None, False) once closed and drained.
static PyObject *pair_of(PyObject *value, bool ok) {
  PyObject *pair = PyTuple_New(2);
  if (!pair) {
    Py_DECREF(value);
    return NULL;
  }
  PyTuple_SET_ITEM(pair, 0, value);
  PyTuple_SET_ITEM(pair, 1, PyBool_FromLong(ok));
  return pair;
}
static PyObject *chan_recv2(ChanObject *c, PyObject *unused) {
  (void)unused;
  PyObject *value;
  int status = ecru_py_chan_get(c, &value, ECRU_FOREVER);
  if (status == 0) return pair_of(value, true);
  return status == ECRU_ECLOSED && !c->error ? pair_of(Py_NewRef(Py_None), false) : received_none(c, status);
}
static PyObject *chan_try_recv(ChanObject *c, PyObject *unused) {
  (void)unused;
  PyObject *value;
  int status = ecru_py_chan_get(c, &value, AT_ONCE);
  if (status == 0) return pair_of(value, true);
  return status == ECRU_EAGAIN ? pair_of(Py_NewRef(Py_None), false) : received_none(c, status);
}

static PyObject *chan_close(ChanObject *c, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"error", NULL};
  PyObject *error;
  if (ecru_py_arguments(&error, names, 0, given, count, keywords) < 0) return NULL;
  if (error == Py_None) error = NULL;
  if (error && !PyObject_TypeCheck(error, (PyTypeObject *)PyExc_Exception))
    return PyErr_Format(PyExc_TypeError, "error: an Exception, or None, not %R", error), NULL;
  int status = ECRU_ECLOSED;
  Py_BEGIN_CRITICAL_SECTION(c);
  if (!ecru_chan_is_closed(c->chan)) {
    c->traceback = error ? PyException_GetTraceback(error) : NULL;
    c->error = Py_XNewRef(error); // first: who receives without the GIL finds it
    status = ecru_chan_close(c->chan);
    if (status != 0) forget_error(c); // it is still open
  }
  Py_END_CRITICAL_SECTION();
  if (status == 0) Py_RETURN_NONE;
  return failed(status);
}

static PyObject *chan_enter(PyObject *self, PyObject *unused) { return (void)unused, Py_NewRef(self); }
static PyObject *chan_exit(ChanObject *c, PyObject *unused) {
  (void)unused;
  Py_BEGIN_CRITICAL_SECTION(c);
  (void)ecru_chan_close(c->chan);
  Py_END_CRITICAL_SECTION();
  Py_RETURN_NONE;
}
static Py_ssize_t chan_len(ChanObject *c) { return (Py_ssize_t)ecru_chan_len(c->chan); }
static int chan_bool(ChanObject *c) { return (void)c, 1; }
static PyObject *chan_cap(ChanObject *c, void *unused) {
  (void)unused;
  size_t cap = ecru_chan_cap(c->chan);
  return cap == SIZE_MAX ? Py_NewRef(Py_None) : PyLong_FromSize_t(cap);
}
static PyObject *chan_closed(ChanObject *c, void *unused) { return (void)unused, PyBool_FromLong(ecru_chan_is_closed(c->chan)); }

static PyObject *chan_error(ChanObject *c, void *unused) {
  (void)unused;
  PyObject *error;
  Py_BEGIN_CRITICAL_SECTION(c);
  error = Py_NewRef(c->error ? c->error : Py_None);
  Py_END_CRITICAL_SECTION();
  return error;
}

static PyMethodDef methods[] = {
  {"send", (PyCFunction)chan_send, METH_O, PyDoc_STR("send(value) -> None\n\nParks while there is neither a receiver nor room. Raises Closed; BlockingIOError with full=\"fail\".")},
  {"recv", (PyCFunction)chan_recv, METH_NOARGS, PyDoc_STR("recv() -> object\n\nParks while nothing is there. Raises Closed once closed and drained.")},
  {"recv2", (PyCFunction)chan_recv2, METH_NOARGS, PyDoc_STR("recv2() -> tuple\n\n(value, True), or (None, False) once closed and drained.")},
  {"try_send", (PyCFunction)chan_try_send, METH_O, PyDoc_STR("try_send(value) -> bool\n\nNever parks. Raises Closed.")},
  {"try_recv", (PyCFunction)chan_try_recv, METH_NOARGS, PyDoc_STR("try_recv() -> tuple\n\n(value, True), or (None, False) if there is nothing. Never parks. Raises Closed once closed and drained.")},
  {"close", (PyCFunction)(void (*)(void))chan_close, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("close(error=None) -> None\n\nWhat is buffered can still be received; then receivers are raised error, if there is one: an Exception. Raises Closed if it\nwas closed.")},
  {"__enter__", chan_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)chan_exit, METH_VARARGS, NULL},
  {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(ChanObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef properties[] = {
  {"cap", (getter)chan_cap, NULL, PyDoc_STR("how many it holds; None: no bound"), NULL},
  {"closed", (getter)chan_closed, NULL, PyDoc_STR("whether it was closed"), NULL},
  {"_error", (getter)chan_error, NULL, PyDoc_STR("what it was closed with"), NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Chan(cap=0, full=\"wait\", name=None)\n\nA channel of objects. cap: how many it holds; 0: sender and receiver meet; None: no bound.\nfull: what a full one does with one more: \"wait\", \"drop_newest\", \"drop_oldest\", \"fail\".")},
  {Py_tp_new, (void *)chan_new},
  {Py_tp_dealloc, (void *)chan_dealloc},
  {Py_tp_traverse, (void *)chan_traverse},
  {Py_tp_clear, (void *)chan_clear},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {Py_tp_getset, properties},
  {Py_tp_iter, (void *)chan_iter},
  {Py_tp_iternext, (void *)chan_next},
  {Py_sq_length, (void *)chan_len},
  {Py_nb_bool, (void *)chan_bool},
  {0, NULL},
};
static PyType_Spec spec = {
  .name = "ecru.Chan", .basicsize = sizeof(ChanObject), .slots = slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
};

int ecru_py_add_chan(PyObject *module) {
  iterator_type = (PyTypeObject *)PyType_FromSpec(&iterator_spec);
  ecru_py_chan_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return iterator_type && ecru_py_chan_type ? PyModule_AddType(module, ecru_py_chan_type) : -1;
}
