/// native/rlock.c: RLock: a lock, who has it and how often. Whoever asks whether it is theirs finds an owner they wrote themselves, or another's.
#include "native.h"

#include <structmember.h>

typedef struct {
  LockObject lock;             // first: tp_dealloc is Lock's
  _Atomic unsigned long owner; // relaxed: only its owner sets it to itself, and to 0; 0: nobody
  unsigned long count;         // owner
} RLockObject;

/// Arguments are ignored, as by the interpreter's own.
static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)args, (void)kwargs;
  RLockObject *r = (RLockObject *)type->tp_alloc(type, 0);
  if (r && ecru_py_lock_begin(&r->lock) != 0) Py_CLEAR(r);
  return (PyObject *)r;
}

static unsigned long owner_of(const RLockObject *r) { return atomic_load_explicit(&r->owner, memory_order_relaxed); }
static void set_owner(RLockObject *r, unsigned long owner, unsigned long count) {
  r->count = count;
  atomic_store_explicit(&r->owner, owner, memory_order_relaxed);
}
static bool is_owned(const RLockObject *r) { return owner_of(r) == ecru_py_owner(); }

static PyObject *deeper(RLockObject *r) {
  if (++r->count > 0) Py_RETURN_TRUE;
  r->count--;
  return PyErr_SetString(PyExc_OverflowError, "internal lock count overflowed"), NULL;
}

static PyObject *take(RLockObject *r, unsigned long me, bool blocking, double timeout) {
  if (ecru_py_let_others() != 0) return NULL;
  int status = ecru_py_lock_take(&r->lock, blocking, timeout);
  if (status == 0) set_owner(r, me, 1);
  return ecru_py_acquired(status);
}

static PyObject *rlock_acquire(RLockObject *r, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  bool blocking;
  double timeout;
  if (ecru_py_parse_acquire(args, count, keywords, &blocking, &timeout) < 0) return NULL;
  unsigned long me = ecru_py_owner();
  return owner_of(r) == me ? deeper(r) : take(r, me, blocking, timeout);
}

static PyObject *rlock_enter(RLockObject *r, PyObject *unused) {
  (void)unused;
  unsigned long me = ecru_py_owner();
  return owner_of(r) == me ? deeper(r) : take(r, me, true, -1);
}

static PyObject *give(RLockObject *r) {
  unsigned long count = r->count, me = owner_of(r);
  set_owner(r, 0, 0); // before somebody else has it
  int status = ecru_py_lock_give(&r->lock);
  if (status == 0) Py_RETURN_NONE;
  set_owner(r, me, count);
  return ecru_py_raise(status);
}

static PyObject *not_owned(void) { return PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock"), NULL; }

static PyObject *rlock_release(RLockObject *r, PyObject *unused) {
  (void)unused;
  if (!is_owned(r)) return not_owned();
  if (r->count == 1) return give(r);
  r->count--;
  Py_RETURN_NONE;
}

static PyObject *rlock_exit(RLockObject *r, PyObject *const *unused, Py_ssize_t count) { return (void)unused, (void)count, rlock_release(r, NULL); }

static PyObject *rlock_is_owned(RLockObject *r, PyObject *unused) { return (void)unused, PyBool_FromLong(is_owned(r)); }

static PyObject *rlock_depth(RLockObject *r, PyObject *unused) {
  (void)unused;
  return PyLong_FromUnsignedLong(is_owned(r) ? r->count : 0);
}

static PyObject *rlock_locked(RLockObject *r, PyObject *unused) { return (void)unused, PyBool_FromLong(owner_of(r) != 0); }

/// For Condition.wait: all of its depth at once.
static PyObject *rlock_release_save(RLockObject *r, PyObject *unused) {
  (void)unused;
  if (!is_owned(r)) return not_owned();
  PyObject *state = Py_BuildValue("kk", r->count, owner_of(r));
  PyObject *done = state ? give(r) : NULL;
  if (!done) Py_CLEAR(state);
  Py_XDECREF(done);
  return state;
}

/// Has it again even if the caller is cancelled.
static PyObject *rlock_acquire_restore(RLockObject *r, PyObject *state) {
  unsigned long count, owner;
  if (!PyTuple_Check(state)) return PyErr_Format(PyExc_TypeError, "what _release_save returned is needed, not %R", state), NULL;
  if (!PyArg_ParseTuple(state, "kk:_acquire_restore", &count, &owner)) return NULL;
  int status = ecru_py_lock_take_shielded(&r->lock);
  if (status == 0 || (status == ECRU_EINTR && r->lock.held)) set_owner(r, owner, count);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *rlock_reinit(RLockObject *r, PyObject *unused) {
  (void)unused;
  set_owner(r, 0, 0);
  int status = ecru_py_lock_reinit(&r->lock);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *rlock_repr(RLockObject *r) {
  unsigned long owner = owner_of(r);
  return PyUnicode_FromFormat("<%s %s object owner=%lu count=%lu at %p>", owner ? "locked" : "unlocked", Py_TYPE(r)->tp_name, owner, r->count, (void *)r);
}

static PyMethodDef methods[] = {
  {"acquire", (PyCFunction)(void (*)(void))rlock_acquire, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("acquire(blocking=True, timeout=-1) -> bool\n\nAs Lock.acquire; at once if the caller has it, one level deeper.")},
  {"release", (PyCFunction)rlock_release, METH_NOARGS, PyDoc_STR("release() -> None\n\nOne level, by its owner. RuntimeError if it is not the caller's.")},
  {"locked", (PyCFunction)rlock_locked, METH_NOARGS, PyDoc_STR("locked() -> bool\n\nWhether anybody holds it.")},
  {"_is_owned", (PyCFunction)rlock_is_owned, METH_NOARGS, NULL},
  {"_recursion_count", (PyCFunction)rlock_depth, METH_NOARGS, NULL},
  {"_release_save", (PyCFunction)rlock_release_save, METH_NOARGS, NULL},
  {"_acquire_restore", (PyCFunction)rlock_acquire_restore, METH_O, NULL},
  {"_at_fork_reinit", (PyCFunction)rlock_reinit, METH_NOARGS, NULL},
  {"__enter__", (PyCFunction)rlock_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)(void (*)(void))rlock_exit, METH_FASTCALL, NULL},
  {NULL, NULL, 0, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(RLockObject, lock.weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("RLock()\n\nA lock its owner, a goroutine or an OS thread, may take several times; free once released as often. Others wait, first come,\nfirst served.")},
  {Py_tp_new, (void *)rlock_new},
  {Py_tp_dealloc, (void *)ecru_py_lock_dealloc},
  {Py_tp_repr, (void *)rlock_repr},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {0, NULL},
};
static PyType_Spec spec = {.name = "ecru.RLock", .basicsize = sizeof(RLockObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE};

int ecru_py_add_rlock(PyObject *module) { return ecru_py_add_type(module, &spec); }
