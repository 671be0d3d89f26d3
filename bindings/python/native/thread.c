/// native/thread.c: what Python's threading wants of goroutines: an identity.
#include "native.h"
#if PY_VERSION_HEX >= 0x030e0000
#include <sys/mman.h>

/// From 3.14 on faulthandler asks the system for the name of each thread state's thread, and the system looks for the
/// thread's number behind what identifies it. There it finds zeros: the name of no thread. So there are no more identities
/// than zeros: they repeat after so many goroutines, fewer where addresses are short (RLIMIT_AS). Then two that are alive
/// may have the same, if the elder has lived through all those between; only an RLock tells them apart.
static const size_t identity_bytes = 8, looked_at_bytes = 1 << 16, most_identities = (size_t)1 << 29, fewest_identities = 1 << 16;
static uintptr_t first_identity; ///< set once
static size_t identities;        ///< set before it

static int reserve_identities(void) {
  if (first_identity) return 0;
  void *zeros = MAP_FAILED;
  size_t count = most_identities;
  for (; count >= fewest_identities; count /= 2) {
    zeros = mmap(NULL, count * identity_bytes + looked_at_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros != MAP_FAILED) break;
  }
  if (zeros == MAP_FAILED) return PyErr_NoMemory(), -1;
  identities = count;
  first_identity = (uintptr_t)zeros;
  return 0;
}

unsigned long ecru_py_identity_of(uint64_t id) { return first_identity + id % identities * identity_bytes; }
#else
static int reserve_identities(void) { return 0; }
unsigned long ecru_py_identity_of(uint64_t id) { return id | (uint64_t)1 << 62; }
#endif

/// Its id; 0: none but a thread, or its first.
static uint64_t goroutine(void) {
  home *h = ecru_py_home();
  return !h || h->last == &h->first || ecru_py_forked() ? 0 : h->last->id;
}

unsigned long ecru_py_identity(void) {
  uint64_t id = goroutine();
  return id ? ecru_py_identity_of(id) : PyThread_get_thread_ident();
}

unsigned long ecru_py_owner(void) {
  uint64_t id = goroutine();
  return id ? id | (uint64_t)1 << 62 : PyThread_get_thread_ident();
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
