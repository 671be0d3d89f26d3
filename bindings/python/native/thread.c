/// native/thread.c: what Python's threading wants of goroutines: an identity.
#include "native.h"
#if PY_VERSION_HEX >= 0x030e0000
#include <sys/mman.h>

/// From 3.14 on faulthandler asks the system for the name of each thread state's thread, and the system looks for the
/// thread's number behind what identifies it. There it finds zeros: the name of no thread.
static const size_t identities = (size_t)1 << 29, identity_bytes = 8, looked_at_bytes = 1 << 16;
static uintptr_t first_identity; ///< set once

static int reserve_identities(void) {
  if (first_identity) return 0;
  void *zeros = mmap(NULL, identities * identity_bytes + looked_at_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (zeros == MAP_FAILED) return PyErr_NoMemory(), -1;
  first_identity = (uintptr_t)zeros;
  return 0;
}

unsigned long ecru_py_identity_of(uint64_t id) { return first_identity + id % identities * identity_bytes; }
#else
static int reserve_identities(void) { return 0; }
unsigned long ecru_py_identity_of(uint64_t id) { return id | (uint64_t)1 << 62; }
#endif

unsigned long ecru_py_identity(void) {
  home *h = ecru_py_home();
  if (!h || h->last == &h->first || ecru_py_forked()) return PyThread_get_thread_ident();
  return ecru_py_identity_of(h->last->id);
}

static PyObject *get_ident(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLong(ecru_py_identity());
}

static PyObject *identity_of(PyObject *module, PyObject *id) {
  (void)module;
  unsigned long long number = PyLong_AsUnsignedLongLong(id);
  return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(ecru_py_identity_of(number));
}

static PyObject *is_forked(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(ecru_py_forked()); }

static PyMethodDef functions[] = {
  {"is_forked", is_forked, METH_NOARGS, PyDoc_STR("is_forked() -> bool\n\nA child after fork: it has threads only.")},
  {"get_ident", get_ident, METH_NOARGS, PyDoc_STR("get_ident() -> int\n\nOf the goroutine, as in sys._current_frames(); of a thread's first, and elsewhere, the thread's.")},
  {"identity_of", identity_of, METH_O, PyDoc_STR("identity_of(id, /) -> int\n\nWhat get_ident() is in the goroutine with this id.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_thread(PyObject *module) { return reserve_identities() < 0 || ecru_py_follow_forks() < 0 ? -1 : PyModule_AddFunctions(module, functions); }
