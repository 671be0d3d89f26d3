/// native/thread.c: what Python's threading wants of goroutines: an identity, and the lock that goes by it.
#include "native.h"

#include <structmember.h>

/// As the goroutine's thread state says in sys._current_frames (ecru_py_begin); of a thread's first, and elsewhere, the thread's own.
static unsigned long identity(void) {
  home *h = ecru_py_home();
  if (!h || h->last == &h->first || ecru_py_forked()) return PyThread_get_thread_ident();
  return (unsigned long)(ecru_id() | (uint64_t)1 << 62);
}

static PyObject *get_ident(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLong(identity());
}

// ---- RLock -------------------------------------------------------------------------------------------------------------

typedef struct {
  PyObject_HEAD
  PyObject *lock;      // an ecru.Lock
  unsigned long owner; // 0: nobody; only its owner sets it to itself
  unsigned long count;
  PyObject *weakrefs;
} RLockObject;

static PyObject *lock_type, *acquire_name;

static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)args, (void)kwargs;
  PyObject *lock = PyObject_CallNoArgs(lock_type);
  RLockObject *r = lock ? (RLockObject *)type->tp_alloc(type, 0) : NULL;
  if (r) r->lock = lock;
  else Py_XDECREF(lock);
  return (PyObject *)r;
}

static void rlock_dealloc(RLockObject *r) {
  PyTypeObject *type = Py_TYPE(r);
  if (r->weakrefs) PyObject_ClearWeakRefs((PyObject *)r);
  Py_XDECREF(r->lock);
  type->tp_free(r);
  Py_DECREF(type);
}

static bool is_owned(const RLockObject *r) { return r->owner != 0 && r->owner == identity(); }

/// args, kwargs: of Lock.acquire, which checks them.
static PyObject *rlock_acquire(RLockObject *r, PyObject *args, PyObject *kwargs) {
  unsigned long me = identity();
  if (r->owner == me) {
    if (++r->count == 0) {
      r->count--;
      return PyErr_SetString(PyExc_OverflowError, "internal lock count overflowed"), NULL;
    }
    Py_RETURN_TRUE;
  }
  PyObject *acquire = PyObject_GetAttr(r->lock, acquire_name);
  PyObject *got = acquire ? PyObject_Call(acquire, args, kwargs) : NULL;
  Py_XDECREF(acquire);
  if (got == Py_True) {
    r->owner = me;
    r->count = 1;
  }
  return got;
}

static PyObject *rlock_enter(RLockObject *r, PyObject *unused) {
  (void)unused;
  if (is_owned(r)) {
    r->count++;
    Py_RETURN_TRUE;
  }
  PyObject *got = PyObject_CallMethodNoArgs(r->lock, acquire_name);
  if (got == Py_True) {
    r->owner = identity();
    r->count = 1;
  }
  return got;
}

static PyObject *let_go(RLockObject *r) {
  r->owner = 0;
  r->count = 0;
  return PyObject_CallMethod(r->lock, "release", NULL);
}

static PyObject *not_owned(void) { return PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock"), NULL; }

static PyObject *rlock_release(RLockObject *r, PyObject *unused) {
  (void)unused;
  if (!is_owned(r)) return not_owned();
  if (--r->count > 0) Py_RETURN_NONE;
  return let_go(r);
}

static PyObject *rlock_is_owned(RLockObject *r, PyObject *unused) { return (void)unused, PyBool_FromLong(is_owned(r)); }

static PyObject *rlock_depth(RLockObject *r, PyObject *unused) {
  (void)unused;
  return PyLong_FromUnsignedLong(is_owned(r) ? r->count : 0);
}

static PyObject *rlock_locked(RLockObject *r, PyObject *unused) { return (void)unused, PyBool_FromLong(r->owner != 0); }

/// For Condition.wait: all of its depth at once.
static PyObject *rlock_release_save(RLockObject *r, PyObject *unused) {
  (void)unused;
  if (!is_owned(r)) return not_owned();
  PyObject *state = Py_BuildValue("kk", r->count, r->owner);
  PyObject *done = state ? let_go(r) : NULL;
  if (!done) Py_CLEAR(state);
  Py_XDECREF(done);
  return state;
}

static PyObject *rlock_acquire_restore(RLockObject *r, PyObject *state) {
  unsigned long count, owner;
  if (!PyArg_ParseTuple(state, "kk:_acquire_restore", &count, &owner)) return NULL;
  PyObject *got = PyObject_CallMethodNoArgs(r->lock, acquire_name);
  if (!got) return NULL;
  Py_DECREF(got);
  r->owner = owner;
  r->count = count;
  Py_RETURN_NONE;
}

static PyObject *rlock_reinit(RLockObject *r, PyObject *unused) {
  (void)unused;
  r->owner = 0;
  r->count = 0;
  return PyObject_CallMethod(r->lock, "_at_fork_reinit", NULL);
}

static PyObject *rlock_repr(RLockObject *r) {
  return PyUnicode_FromFormat("<%s %s object owner=%lu count=%lu at %p>", r->owner ? "locked" : "unlocked", Py_TYPE(r)->tp_name,
                              r->owner, r->count, (void *)r);
}

static PyMethodDef rlock_methods[] = {
  {"acquire", (PyCFunction)(void (*)(void))rlock_acquire, METH_VARARGS | METH_KEYWORDS,
   PyDoc_STR("acquire(blocking=True, timeout=-1) -> bool\n\nAs Lock.acquire; at once if the caller has it, one level deeper.")},
  {"release", (PyCFunction)rlock_release, METH_NOARGS, PyDoc_STR("release() -> None\n\nOne level, by its owner. RuntimeError if it is not the caller's.")},
  {"locked", (PyCFunction)rlock_locked, METH_NOARGS, PyDoc_STR("locked() -> bool")},
  {"_is_owned", (PyCFunction)rlock_is_owned, METH_NOARGS, NULL},
  {"_recursion_count", (PyCFunction)rlock_depth, METH_NOARGS, NULL},
  {"_release_save", (PyCFunction)rlock_release_save, METH_NOARGS, NULL},
  {"_acquire_restore", (PyCFunction)rlock_acquire_restore, METH_O, NULL},
  {"_at_fork_reinit", (PyCFunction)rlock_reinit, METH_NOARGS, NULL},
  {"__enter__", (PyCFunction)rlock_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)rlock_release, METH_VARARGS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef rlock_members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(RLockObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot rlock_slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("RLock()\n\nA lock its owner, a goroutine or a thread, may take again; free once released as often.")},
  {Py_tp_new, (void *)rlock_new},
  {Py_tp_dealloc, (void *)rlock_dealloc},
  {Py_tp_repr, (void *)rlock_repr},
  {Py_tp_methods, rlock_methods},
  {Py_tp_members, rlock_members},
  {0, NULL},
};
static PyType_Spec rlock_spec = {
  .name = "ecru.RLock", .basicsize = sizeof(RLockObject), .slots = rlock_slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

static PyObject *is_forked(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(ecru_py_forked()); }

static PyMethodDef functions[] = {
  {"is_forked", is_forked, METH_NOARGS, PyDoc_STR("is_forked() -> bool\n\nA child after fork: it has threads only.")},
  {"get_ident", get_ident, METH_NOARGS, PyDoc_STR("get_ident() -> int\n\nOf the goroutine, as in sys._current_frames(); of a thread's first, and elsewhere, the thread's.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_thread(PyObject *module) {
  acquire_name = PyUnicode_InternFromString("acquire");
  lock_type = PyObject_GetAttrString(module, "Lock");
  if (!acquire_name || !lock_type) return -1;
  if (ecru_py_follow_forks() < 0) return -1;
  PyObject *type = PyType_FromSpec(&rlock_spec);
  int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
  Py_XDECREF(type);
  return status < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
