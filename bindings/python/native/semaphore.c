/// native/semaphore.c: Semaphore and BoundedSemaphore.
///
/// The runtime's semaphore takes no more back than it was made with. One without a bound is made with as many as it can count, but for its
/// first permits all of them taken at once; what is given more than was taken then comes out of those.
#include "native.h"

#include <structmember.h>

#define COUNTED_MAX (INT64_MAX / 2) // ecru_semaphore_create

typedef struct {
  PyObject_HEAD
  ecru_semaphore *semaphore;
  uint64_t beyond; // set once: permits over COUNTED_MAX, which nobody will ever come to take
  bool closed;     // set once: with a bound of 0: nothing can be taken, nor given back
  PyObject *weakrefs;
} SemaphoreObject;

static PyTypeObject *bounded_type;

/// Makes it with `value` permits to be had. returns: a status.
static int create(SemaphoreObject *s, int64_t value, bool bounded) {
  int64_t counted = value < COUNTED_MAX ? value : COUNTED_MAX;
  int64_t all = !bounded ? COUNTED_MAX : counted > 0 ? counted : 1;
  s->beyond = (uint64_t)(value - counted);
  s->closed = bounded && value == 0;
  int status = ecru_semaphore_create(&s->semaphore, all);
  if (status != 0 || all == counted) return status;
  return ecru_semaphore_try_acquire(s->semaphore, all - counted);
}

static int semaphore_init(SemaphoreObject *s, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"value", NULL};
  long long value = 1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|L:Semaphore", keywords, &value)) return -1;
  if (value < 0) return PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0"), -1;
  if (s->semaphore) return PyErr_SetString(PyExc_RuntimeError, "a semaphore is initialised once"), -1;
  int status = create(s, value, PyObject_TypeCheck(s, bounded_type));
  if (status != 0) ecru_py_raise(status);
  return status == 0 ? 0 : -1;
}

static void semaphore_dealloc(SemaphoreObject *s) {
  PyTypeObject *type = Py_TYPE(s);
  if (s->weakrefs) PyObject_ClearWeakRefs((PyObject *)s);
  if (!ecru_py_forked()) ecru_semaphore_destroy(s->semaphore);
  type->tp_free(s);
  Py_DECREF(type);
}

/// timeout: seconds; < 0: none. returns: 0; -1 with an exception.
static int parse(PyObject *const *given, Py_ssize_t count, PyObject *keywords, bool *blocking, double *timeout) {
  static const char *const names[] = {"blocking", "timeout", NULL};
  PyObject *args[2];
  *blocking = true;
  *timeout = -1;
  if (count == 0 && !keywords) return 0;
  if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0) return -1;
  int wanted = args[0] ? PyObject_IsTrue(args[0]) : 1;
  if (wanted < 0) return -1;
  *blocking = wanted;
  if (!args[1] || args[1] == Py_None) return 0;
  if (!wanted) return PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire"), -1;
  *timeout = PyFloat_AsDouble(args[1]);
  if (*timeout == -1 && PyErr_Occurred()) return -1;
  if (*timeout != *timeout) return PyErr_SetString(PyExc_ValueError, "timeout: not a number"), -1;
  if (*timeout < 0) *timeout = 0; // over already
  return 0;
}

static PyObject *semaphore_acquire(SemaphoreObject *s, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  bool blocking;
  double timeout;
  if (parse(args, count, keywords, &blocking, &timeout) < 0 || ecru_py_let_others() != 0) return NULL;
  int status = blocking ? ecru_check() : 0; // K2, also where a permit is free
  return ecru_py_acquired(status == 0 ? ecru_py_acquire(s->semaphore, blocking, timeout, "semaphore") : status);
}

static PyObject *semaphore_release(SemaphoreObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"n", NULL};
  PyObject *args[1];
  long long n = 1;
  if (count > 0 || keywords) {
    if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0) return NULL;
    if (args[0]) n = PyLong_AsLongLong(args[0]);
    if (n == -1 && PyErr_Occurred()) return NULL;
  }
  if (n < 1) return PyErr_SetString(PyExc_ValueError, "n must be one or more"), NULL;
  int status = s->closed ? ECRU_EPERM : ecru_semaphore_release(s->semaphore, n);
  if (status == 0) Py_RETURN_NONE;
  if (status == ECRU_EPERM) return PyErr_SetString(PyExc_ValueError, "Semaphore released too many times"), NULL;
  return ecru_py_raise(status);
}

static PyObject *semaphore_enter(SemaphoreObject *s, PyObject *unused) { return semaphore_acquire(s, NULL, 0, unused); }
static PyObject *semaphore_exit(SemaphoreObject *s, PyObject *const *unused, Py_ssize_t count) {
  return (void)unused, (void)count, semaphore_release(s, NULL, 0, NULL);
}

static unsigned long long value_of(const SemaphoreObject *s) { return (unsigned long long)ecru_semaphore_available(s->semaphore) + s->beyond; }
static PyObject *semaphore_value(SemaphoreObject *s, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(value_of(s)); }
static PyObject *semaphore_repr(SemaphoreObject *s) { return PyUnicode_FromFormat("<%s value=%llu>", Py_TYPE(s)->tp_name, value_of(s)); }

static PyMethodDef methods[] = {
  {"acquire", (PyCFunction)(void (*)(void))semaphore_acquire, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("acquire(blocking=True, timeout=None) -> bool\n\nTakes a permit, parking at most for timeout seconds (None: for ever). False: not in time. Raises Cancelled.")},
  {"release", (PyCFunction)(void (*)(void))semaphore_release, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("release(n=1) -> None\n\nGives n permits, taken or new ones; to a BoundedSemaphore back, all or none. ValueError if n < 1, or if they are more than\nwere taken.")},
  {"__enter__", (PyCFunction)semaphore_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)(void (*)(void))semaphore_exit, METH_FASTCALL, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(SemaphoreObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef properties[] = {
  {"value", (getter)semaphore_value, NULL, PyDoc_STR("how many permits are free"), NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Semaphore(value=1)\n\nSo many permits, first come, first served. Raises ValueError if value is negative.")},
  {Py_tp_new, (void *)PyType_GenericNew},
  {Py_tp_init, (void *)semaphore_init},
  {Py_tp_dealloc, (void *)semaphore_dealloc},
  {Py_tp_repr, (void *)semaphore_repr},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {Py_tp_getset, properties},
  {0, NULL},
};
static PyType_Spec spec = {
  .name = "ecru.Semaphore", .basicsize = sizeof(SemaphoreObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};
static PyType_Slot bounded_slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("BoundedSemaphore(value=1)\n\nA Semaphore that never has more permits than at its beginning: to give one more is a ValueError.")},
  {0, NULL},
};
static PyType_Spec bounded_spec = {
  .name = "ecru.BoundedSemaphore", .basicsize = sizeof(SemaphoreObject), .slots = bounded_slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

int ecru_py_add_semaphore(PyObject *module) {
  PyObject *base = PyType_FromSpec(&spec);
  bounded_type = base ? (PyTypeObject *)PyType_FromSpecWithBases(&bounded_spec, base) : NULL;
  bool added = bounded_type && PyModule_AddType(module, (PyTypeObject *)base) == 0 && PyModule_AddType(module, bounded_type) == 0;
  Py_XDECREF(base);
  return added ? 0 : -1;
}
