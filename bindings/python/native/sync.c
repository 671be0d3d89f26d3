/// native/sync.c: Lock and Semaphore, on the runtime's fair semaphore: usable by goroutines of any host and by plain threads.
#include "native.h"

#include <structmember.h>

typedef struct {
  PyObject_HEAD
  ecru_semaphore *semaphore;
  PyObject *weakrefs;
  bool held;                // guarded by the GIL; false while it is on its way to the next
  PyThread_type_lock alone; // instead of the semaphore in a forked child, which has threads only
} SemaphoreObject;

/// Its lock in a forked child: as it was at the fork. returns: NULL with MemoryError.
static PyThread_type_lock native_lock(SemaphoreObject *s) {
  if (s->alone) return s->alone;
  s->alone = PyThread_allocate_lock();
  if (!s->alone) PyErr_NoMemory();
  else if (s->held) (void)PyThread_acquire_lock(s->alone, NOWAIT_LOCK);
  return s->alone;
}

/// As acquire. ECRU_EINTR: an exception is set.
static int acquire_natively(SemaphoreObject *s, bool blocking, double timeout) {
  PyThread_type_lock lock = native_lock(s);
  if (!lock) return ECRU_EINTR;
  int64_t end = timeout > 0 ? ecru_after((int64_t)(timeout * 1e9)) : 0;
  for (;;) {
    int64_t left = timeout > 0 ? end - ecru_now() : -1000;
    PyLockStatus got = PyThread_acquire_lock_timed(lock, 0, 0);
    if (got != PY_LOCK_ACQUIRED && blocking && timeout != 0 && (timeout < 0 || left > 0)) {
      Py_BEGIN_ALLOW_THREADS got = PyThread_acquire_lock_timed(lock, left / 1000, 1); Py_END_ALLOW_THREADS
    }
    if (got == PY_LOCK_INTR && PyErr_CheckSignals() < 0) return ECRU_EINTR;
    if (got != PY_LOCK_INTR) return got == PY_LOCK_ACQUIRED ? 0 : ECRU_EAGAIN;
  }
}

/// timeout < 0: none. returns: 0; ECRU_EAGAIN not in time, or not at all at once; as ecru_semaphore_acquire.
static int acquire(ecru_semaphore *semaphore, int64_t n, bool blocking, double timeout) {
  int status = ecru_semaphore_try_acquire(semaphore, n);
  if (status != ECRU_EAGAIN || !blocking || timeout == 0) return status;
  (void)ecru_py_waits_here();
  bool limited = timeout > 0 && timeout < 9e9;
  if (limited && (status = ecru_deadline_enter(ecru_after((int64_t)(timeout * 1e9)))) != 0) return status;
  ECRU_PY_WAIT(status, ecru_semaphore_acquire(semaphore, n));
  if (!limited) return status;
  ecru_token *mine = ecru_token_current();
  bool expired = status == ECRU_ETIMEDOUT && ecru_token_origin(mine) == ecru_token_id(mine);
  (void)ecru_token_leave();
  return expired ? ECRU_EAGAIN : status;
}

enum { IN_A_ROW_MAX = 256 };

/// A loop that asks whether something is there, under a lock nobody else holds, would keep out who brings it. returns: 0; ECRU_EINTR with an exception.
static int let_others(void) {
  static int in_a_row; // guarded by the GIL
  if (++in_a_row < IN_A_ROW_MAX || !ecru_py_home() || ecru_py_forked()) return 0;
  in_a_row = 0;
  int status;
  ECRU_PY_WAIT(status, ecru_yield());
  return status == ECRU_EINTR ? ECRU_EINTR : 0;
}

static int take(SemaphoreObject *s, bool blocking, double timeout) {
  if (let_others() != 0) return ECRU_EINTR;
  int status = ecru_py_forked() ? acquire_natively(s, blocking, timeout) : acquire(s->semaphore, 1, blocking, timeout);
  if (status == 0) s->held = true;
  return status;
}

static int parse_acquire(PyObject *args, PyObject *kwargs, int *blocking, double *timeout) {
  static char *keywords[] = {"blocking", "timeout", NULL};
  PyObject *given = NULL;
  *blocking = 1;
  *timeout = -1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", keywords, blocking, &given)) return -1;
  if (given && given != Py_None) *timeout = PyFloat_AsDouble(given);
  if (*timeout == -1 && PyErr_Occurred()) return -1;
  const char *wrong = NULL;
  if (*timeout < 0 && *timeout != -1) wrong = "timeout value must be a non-negative number";
  if (!*blocking && *timeout != -1) wrong = "can't specify a timeout for a non-blocking call";
  if (*timeout != *timeout) wrong = "timeout value is not a number";
  if (*timeout > 9223372036.0) {
    PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    return -1;
  }
  if (wrong) PyErr_SetString(PyExc_ValueError, wrong);
  return wrong ? -1 : 0;
}

static PyObject *semaphore_acquire(SemaphoreObject *s, PyObject *args, PyObject *kwargs) {
  int blocking = 1;
  double timeout = -1;
  if ((PyTuple_GET_SIZE(args) > 0 || kwargs) && parse_acquire(args, kwargs, &blocking, &timeout) < 0) return NULL;
  int status = take(s, blocking, timeout);
  if (status == 0) Py_RETURN_TRUE;
  if (status == ECRU_EAGAIN) Py_RETURN_FALSE;
  return ecru_py_raise(status);
}

static PyObject *lock_release(SemaphoreObject *s, PyObject *unused) {
  (void)unused;
  if (ecru_py_forked() && !native_lock(s)) return NULL;
  bool was_held = s->held;
  s->held = false; // before somebody else has it
  int status = 0;
  if (!ecru_py_forked()) status = ecru_semaphore_release(s->semaphore, 1);
  else if (!was_held) status = ECRU_EPERM;
  else PyThread_release_lock(s->alone);
  if (status == 0) Py_RETURN_NONE;
  PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
  return NULL;
}

static PyObject *lock_enter(SemaphoreObject *s, PyObject *unused) {
  (void)unused;
  int status = take(s, true, -1);
  return status == 0 ? Py_NewRef(Py_True) : ecru_py_raise(status);
}
static PyObject *lock_exit(SemaphoreObject *s, PyObject *unused) { return lock_release(s, unused); }

static PyObject *lock_locked(SemaphoreObject *s, PyObject *unused) {
  (void)unused;
  if (ecru_py_forked()) return PyBool_FromLong(s->held);
  int status = ecru_semaphore_try_acquire(s->semaphore, 1);
  if (status == 0) (void)ecru_semaphore_release(s->semaphore, 1);
  return PyBool_FromLong(status != 0);
}

static PyObject *create(PyTypeObject *type, int64_t permits) {
  SemaphoreObject *s = (SemaphoreObject *)type->tp_alloc(type, 0);
  if (!s) return NULL;
  int status = ecru_semaphore_create(&s->semaphore, permits);
  if (status == 0) return (PyObject *)s;
  s->semaphore = NULL;
  Py_DECREF(s);
  return ecru_py_raise(status);
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  if (PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0))
    return PyErr_SetString(PyExc_TypeError, "Lock() takes no arguments"), NULL;
  return create(type, 1);
}
static void lock_dealloc(SemaphoreObject *s) {
  PyTypeObject *type = Py_TYPE(s);
  if (s->weakrefs) PyObject_ClearWeakRefs((PyObject *)s);
  if (!ecru_py_forked()) ecru_semaphore_destroy(s->semaphore); // it may go while it is held
  if (s->alone) PyThread_free_lock(s->alone);
  type->tp_free(s);
  Py_DECREF(type);
}
static PyObject *lock_repr(SemaphoreObject *s) {
  PyObject *locked = lock_locked(s, NULL);
  PyObject *text = PyUnicode_FromFormat("<%s %s object at %p>", locked == Py_True ? "locked" : "unlocked", Py_TYPE(s)->tp_name, s);
  Py_DECREF(locked);
  return text;
}

static PyObject *lock_reinit(SemaphoreObject *s, PyObject *unused) {
  (void)unused;
  ecru_py_after_fork();
  ecru_semaphore *fresh; // the old one may be in any state
  int status = ecru_semaphore_create(&fresh, 1);
  if (status != 0) return ecru_py_raise(status);
  s->semaphore = fresh;
  s->held = false;
  if (s->alone) PyThread_free_lock(s->alone);
  s->alone = NULL;
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
  {"acquire", (PyCFunction)(void (*)(void))semaphore_acquire, METH_VARARGS | METH_KEYWORDS,
   PyDoc_STR("acquire(blocking=True, timeout=-1) -> bool\n\nParks until it is ours, for timeout seconds at most.")},
  {"acquire_lock", (PyCFunction)(void (*)(void))semaphore_acquire, METH_VARARGS | METH_KEYWORDS, PyDoc_STR("As acquire.")},
  {"release", (PyCFunction)lock_release, METH_NOARGS, PyDoc_STR("release() -> None\n\nBy anybody. RuntimeError if it is not held.")},
  {"release_lock", (PyCFunction)lock_release, METH_NOARGS, PyDoc_STR("As release.")},
  {"locked", (PyCFunction)lock_locked, METH_NOARGS, PyDoc_STR("locked() -> bool")},
  {"locked_lock", (PyCFunction)lock_locked, METH_NOARGS, PyDoc_STR("As locked.")},
  {"_at_fork_reinit", (PyCFunction)lock_reinit, METH_NOARGS, NULL},
  {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)lock_exit, METH_VARARGS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(SemaphoreObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Lock()\n\nA mutual exclusion lock, first come, first served; may be released by another goroutine or thread.")},
  {Py_tp_new, (void *)lock_new},
  {Py_tp_dealloc, (void *)lock_dealloc},
  {Py_tp_repr, (void *)lock_repr},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec spec = {.name = "ecru.Lock", .basicsize = sizeof(SemaphoreObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT};

int ecru_py_add_sync(PyObject *module) {
  PyObject *type = PyType_FromSpec(&spec);
  int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
  Py_XDECREF(type);
  return status;
}
