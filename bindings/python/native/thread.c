/// native/thread.c: what Python's threading wants of goroutines: an identity.
#include "native.h"

unsigned long ecru_py_identity(void) {
  home *h = ecru_py_home();
  if (!h || h->last == &h->first || ecru_py_forked()) return PyThread_get_thread_ident();
  return (unsigned long)(h->last->id | (uint64_t)1 << 62); // as ecru_py_begin
}

static PyObject *get_ident(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLong(ecru_py_identity());
}

static PyObject *is_forked(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(ecru_py_forked()); }

static PyMethodDef functions[] = {
  {"is_forked", is_forked, METH_NOARGS, PyDoc_STR("is_forked() -> bool\n\nA child after fork: it has threads only.")},
  {"get_ident", get_ident, METH_NOARGS, PyDoc_STR("get_ident() -> int\n\nOf the goroutine, as in sys._current_frames(); of a thread's first, and elsewhere, the thread's.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_thread(PyObject *module) { return ecru_py_follow_forks() < 0 ? -1 : PyModule_AddFunctions(module, functions); }
