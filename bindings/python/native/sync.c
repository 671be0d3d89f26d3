/// native/sync.c: Lock and Mutex, on the runtime's fair semaphore: usable by goroutines of any host and by plain threads. (RLock, which has a lock
/// inside, is rlock.c; Semaphore semaphore.c.)
#include "native.h"

#include <structmember.h>

/// relaxed: who forks is one of those who wrote it, or has met them under a lock.
static void set_held(LockObject *l, bool held) { atomic_store_explicit(&l->held, held, memory_order_relaxed); }

/// Its lock in a forked child: as it was at the fork. returns: NULL with MemoryError.
static PyThread_type_lock native_lock(LockObject *l) {
  Py_BEGIN_CRITICAL_SECTION(l);
  if (!l->alone && (l->alone = PyThread_allocate_lock()) != NULL && l->held) (void)PyThread_acquire_lock(l->alone, NOWAIT_LOCK);
  Py_END_CRITICAL_SECTION();
  if (!l->alone) PyErr_NoMemory();
  return l->alone;
}

/// As acquire. ECRU_EINTR: an exception is set.
static int acquire_natively(LockObject *l, bool blocking, double timeout) {
  PyThread_type_lock lock = native_lock(l);
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

static int acquire_as(ecru_semaphore *semaphore, const char *what) {
  const char *before = ecru_py_wait_as(what);
  int status = ecru_semaphore_acquire(semaphore, 1);
  (void)ecru_waits_for(before);
  return status;
}

int ecru_py_acquire(ecru_semaphore *semaphore, bool blocking, double timeout, const char *what) {
  int status = ecru_semaphore_try_acquire(semaphore, 1);
  if (status != ECRU_EAGAIN || !blocking || timeout == 0) return status;
  (void)ecru_py_waits_here();
  bool limited = timeout > 0 && timeout < 9e9;
  if (limited && (status = ecru_deadline_enter(ecru_after((int64_t)(timeout * 1e9)))) != 0) return status;
  ECRU_PY_WAIT(status, acquire_as(semaphore, what));
  if (!limited) return status;
  ecru_token *mine = ecru_token_current();
  bool expired = status == ECRU_ETIMEDOUT && ecru_token_origin(mine) == ecru_token_id(mine);
  (void)ecru_token_leave();
  return expired ? ECRU_EAGAIN : status;
}

enum { IN_A_ROW_MAX = 256 };

int ecru_py_let_others(void) {
  static _Atomic int in_a_row; // relaxed, and no read-modify-write: it is a matter of about how many
  int so_far = atomic_load_explicit(&in_a_row, memory_order_relaxed) + 1;
  bool enough = so_far >= IN_A_ROW_MAX && ecru_py_home() && !ecru_py_forked() && !ecru_py_in_greenlet();
  atomic_store_explicit(&in_a_row, enough ? 0 : so_far < IN_A_ROW_MAX ? so_far : IN_A_ROW_MAX, memory_order_relaxed);
  if (!enough) return 0;
  int status;
  ECRU_PY_WAIT(status, ecru_yield());
  return status == ECRU_EINTR ? ECRU_EINTR : 0;
}

int ecru_py_lock_take(LockObject *l, bool blocking, double timeout) {
  int status = ecru_py_forked() ? acquire_natively(l, blocking, timeout) : ecru_py_acquire(l->semaphore, blocking, timeout, "lock");
  if (status == 0) set_held(l, true);
  return status;
}

int ecru_py_lock_take_shielded(LockObject *l) {
  int status = ecru_py_lock_take(l, false, -1);
  if (status != ECRU_EAGAIN) return status;
  if (ecru_py_is_refused()) return ECRU_EINTR;
  PyObject *type = NULL, *value = NULL, *traceback = NULL;
  (void)ecru_py_waits_here();
  bool shielded = !ecru_py_forked();
  if (shielded && (status = ecru_shield_enter(ECRU_FOREVER)) != 0) return status;
  while ((status = ecru_py_lock_take(l, true, -1)) == ECRU_EINTR) { // what a signal's handler raised waits until we have it
    if (type) PyErr_WriteUnraisable((PyObject *)l);
    else PyErr_Fetch(&type, &value, &traceback);
  }
  if (shielded) (void)ecru_token_leave();
  if (!type) return status;
  PyErr_Restore(type, value, traceback);
  return ECRU_EINTR;
}

int ecru_py_lock_give(LockObject *l) {
  if (ecru_py_forked() && !native_lock(l)) return ECRU_EINTR;
  bool was_held = atomic_load_explicit(&l->held, memory_order_relaxed);
  set_held(l, false); // before somebody else has it
  if (!ecru_py_forked()) return ecru_semaphore_release(l->semaphore, 1);
  if (!was_held) return ECRU_EPERM;
  PyThread_release_lock(l->alone);
  return 0;
}

/// timeout: -1, or NULL, or None: for ever.
int ecru_py_parse_acquire(PyObject *const *given, Py_ssize_t count, PyObject *keywords, bool *blocking, double *timeout) {
  static const char *const names[] = {"blocking", "timeout", NULL};
  PyObject *args[2];
  *blocking = true;
  *timeout = -1;
  if (count == 0 && !keywords) return 0;
  if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0) return -1;
  int wanted = args[0] ? PyObject_IsTrue(args[0]) : 1;
  if (wanted < 0) return -1;
  *blocking = wanted;
  if (args[1] && args[1] != Py_None) *timeout = PyFloat_AsDouble(args[1]);
  if (*timeout == -1 && PyErr_Occurred()) return -1;
  const char *wrong = NULL;
  if (*timeout < 0 && *timeout != -1) wrong = "timeout value must be a non-negative number";
  if (!*blocking && *timeout != -1) wrong = "can't specify a timeout for a non-blocking call";
  if (*timeout != *timeout) wrong = "timeout value is not a number";
  if (*timeout > 9223372036.0) return PyErr_SetString(PyExc_OverflowError, "timeout value is too large"), -1;
  if (wrong) PyErr_SetString(PyExc_ValueError, wrong);
  return wrong ? -1 : 0;
}

PyObject *ecru_py_acquired(int status) {
  if (status == 0) Py_RETURN_TRUE;
  if (status == ECRU_EAGAIN) Py_RETURN_FALSE;
  return ecru_py_raise(status);
}

static PyObject *lock_acquire(LockObject *l, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  bool blocking;
  double timeout;
  if (ecru_py_parse_acquire(args, count, keywords, &blocking, &timeout) < 0 || ecru_py_let_others() != 0) return NULL;
  return ecru_py_acquired(ecru_py_lock_take(l, blocking, timeout));
}

static PyObject *lock_release(LockObject *l, PyObject *unused) {
  (void)unused;
  int status = ecru_py_lock_give(l);
  if (status == 0) Py_RETURN_NONE;
  if (status != ECRU_EINTR) PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
  return NULL;
}

static PyObject *lock_enter(LockObject *l, PyObject *unused) { return lock_acquire(l, NULL, 0, unused); }
static PyObject *lock_exit(LockObject *l, PyObject *const *unused, Py_ssize_t count) { return (void)unused, (void)count, lock_release(l, NULL); }

static PyObject *lock_locked(LockObject *l, PyObject *unused) {
  (void)unused;
  if (ecru_py_forked()) return PyBool_FromLong(l->held);
  int status = ecru_semaphore_try_acquire(l->semaphore, 1);
  if (status == 0) (void)ecru_semaphore_release(l->semaphore, 1);
  return PyBool_FromLong(status != 0);
}

int ecru_py_lock_begin(LockObject *l) {
  int status = ecru_semaphore_create(&l->semaphore, 1);
  if (status != 0) ecru_py_raise(status);
  return status;
}

void ecru_py_lock_dealloc(LockObject *l) {
  PyTypeObject *type = Py_TYPE(l);
  if (l->weakrefs) PyObject_ClearWeakRefs((PyObject *)l);
  if (!ecru_py_forked()) ecru_semaphore_destroy(l->semaphore); // it may go while it is held
  if (l->alone) PyThread_free_lock(l->alone);
  type->tp_free(l);
  Py_DECREF(type);
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  if (PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0))
    return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name), NULL;
  LockObject *l = (LockObject *)type->tp_alloc(type, 0);
  if (l && ecru_py_lock_begin(l) != 0) Py_CLEAR(l);
  return (PyObject *)l;
}

static PyObject *lock_repr(LockObject *l) {
  PyObject *locked = lock_locked(l, NULL);
  PyObject *text = PyUnicode_FromFormat("<%s %s object at %p>", locked == Py_True ? "locked" : "unlocked", Py_TYPE(l)->tp_name, (void *)l);
  Py_DECREF(locked);
  return text;
}

int ecru_py_lock_reinit(LockObject *l) {
  ecru_py_after_fork();
  ecru_semaphore *fresh; // the old one may be in any state
  int status = ecru_semaphore_create(&fresh, 1);
  if (status != 0) return status;
  l->semaphore = fresh;
  set_held(l, false);
  if (l->alone) PyThread_free_lock(l->alone);
  l->alone = NULL;
  return 0;
}
static PyObject *lock_reinit(LockObject *l, PyObject *unused) {
  (void)unused;
  int status = ecru_py_lock_reinit(l);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

/// For Condition.wait: has it again even if the caller is cancelled.
static PyObject *lock_restore(LockObject *l, PyObject *unused) {
  (void)unused;
  int status = ecru_py_lock_take_shielded(l);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyMethodDef methods[] = {
  {"acquire", (PyCFunction)(void (*)(void))lock_acquire, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("acquire(blocking=True, timeout=-1) -> bool\n\nParks until it is ours, for timeout seconds at most.")},
  {"acquire_lock", (PyCFunction)(void (*)(void))lock_acquire, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("As acquire.")},
  {"release", (PyCFunction)lock_release, METH_NOARGS, PyDoc_STR("release() -> None\n\nBy anybody. RuntimeError if it is not held.")},
  {"release_lock", (PyCFunction)lock_release, METH_NOARGS, PyDoc_STR("As release.")},
  {"locked", (PyCFunction)lock_locked, METH_NOARGS, PyDoc_STR("locked() -> bool")},
  {"locked_lock", (PyCFunction)lock_locked, METH_NOARGS, PyDoc_STR("As locked.")},
  {"_is_owned", (PyCFunction)lock_locked, METH_NOARGS, NULL},
  {"_release_save", (PyCFunction)lock_release, METH_NOARGS, NULL},
  {"_acquire_restore", (PyCFunction)lock_restore, METH_O, NULL},
  {"_at_fork_reinit", (PyCFunction)lock_reinit, METH_NOARGS, NULL},
  {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)(void (*)(void))lock_exit, METH_FASTCALL, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Lock()\n\nA mutual exclusion lock, first come, first served; may be released by another goroutine or thread.")},
  {Py_tp_new, (void *)lock_new},
  {Py_tp_dealloc, (void *)ecru_py_lock_dealloc},
  {Py_tp_repr, (void *)lock_repr},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec spec = {.name = "ecru.Lock", .basicsize = sizeof(LockObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT};


// ---- Mutex ---------------------------------------------------------------------------------------------------------------

static PyObject *mutex_enter(LockObject *l, PyObject *unused) {
  (void)unused;
  int status = ecru_py_lock_take_shielded(l);
  if (status == 0) Py_RETURN_NONE;
  if (status == ECRU_EINTR && l->held) (void)ecru_py_lock_give(l); // the block is not entered
  return ecru_py_raise(status);
}

static PyMethodDef mutex_methods[] = {
  {"__enter__", (PyCFunction)mutex_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)(void (*)(void))lock_exit, METH_FASTCALL, NULL},
  {NULL, NULL, 0, NULL},
};
static PyType_Slot mutex_slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Mutex()\n\nGuards a few statements that never park: a goroutine finds it taken only by an OS thread the interpreter\ninterrupted. Taking it is no cancellation point: what it guards must be done also by who is cancelled.")},
  {Py_tp_new, (void *)lock_new},
  {Py_tp_dealloc, (void *)ecru_py_lock_dealloc},
  {Py_tp_methods, mutex_methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec mutex_spec = {.name = "ecru.Mutex", .basicsize = sizeof(LockObject), .slots = mutex_slots, .flags = Py_TPFLAGS_DEFAULT};

int ecru_py_add_sync(PyObject *module) {
  return ecru_py_add_type(module, &spec) == 0 && ecru_py_add_type(module, &mutex_spec) == 0 ? 0 : -1;
}
