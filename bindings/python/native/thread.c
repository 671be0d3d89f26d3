/// native/thread.c: what Python's threading wants of goroutines: an identity.
#include "home.h"
#include "native.h"

#include <sys/mman.h>
#include <sys/resource.h>

/// Who takes an identity for a pthread_t (faulthandler from 3.14 on, trio, by ctypes) asks the system for the thread's name and the like, and the
/// system looks for the thread's number behind it. There it finds zeros: the number of no thread. So there are no more identities
/// than zeros: they repeat after so many goroutines, fewer where addresses are few (RLIMIT_AS: it takes a 16th to a 32nd of them). Then two that are alive
/// may have the same, if the elder has lived through all those between; only an RLock tells them apart.
static const size_t looked_at_bytes = 1 << 16, most_identities = (size_t)1 << 32, fewest_identities = 1 << 19; // each one's is a byte
static uintptr_t first_identity; ///< set once
static size_t identities;        ///< set before it

static size_t identities_at_most(void) {
  struct rlimit addresses;
  size_t count = most_identities;
  if (getrlimit(RLIMIT_AS, &addresses) != 0) return count;
  while (count > fewest_identities && count > addresses.rlim_cur / 16) count /= 2;
  return count;
}

static int reserve_identities(void) {
  if (first_identity) return 0;
  void *zeros = MAP_FAILED;
  size_t count = identities_at_most();
  for (; count >= fewest_identities; count /= 2) {
    zeros = mmap(NULL, count + looked_at_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros != MAP_FAILED) break;
  }
  if (zeros == MAP_FAILED) return PyErr_NoMemory(), -1;
  identities = count;
  first_identity = (uintptr_t)zeros;
  return 0;
}

unsigned long ecru_py_identity_of(uint64_t id) { return first_identity + id % identities; }

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

static bool runs_on(home *h, unsigned long identity) {
  bool found = false;
  ecru_py_lock(&h->lock);
  for (const mark *m = h->first.next; m != &h->first && !found; m = m->next) found = m->state->thread_id == identity;
  ecru_py_unlock(&h->lock);
  return found;
}

static PyObject *thread_of(PyObject *module, PyObject *identity) {
  (void)module;
  unsigned long number = PyLong_AsUnsignedLong(identity);
  if (PyErr_Occurred()) return NULL;
  if (number - first_identity >= identities) return Py_NewRef(identity);
  ecru_py_lock(&ecru_py_homes_lock);
  home *h = ecru_py_homes;
  while (h && !runs_on(h, number)) h = h->next;
  unsigned long thread = h ? (unsigned long)h->thread : 0;
  ecru_py_unlock(&ecru_py_homes_lock);
  if (h) return PyLong_FromUnsignedLong(thread);
  errno = ESRCH;
  return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *is_forked(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(ecru_py_forked()); }

static PyMethodDef functions[] = {
  {"is_forked", is_forked, METH_NOARGS, PyDoc_STR("is_forked() -> bool\n\nA child after fork: it has threads only.")},
  {"get_ident", get_ident, METH_NOARGS, PyDoc_STR("get_ident() -> int\n\nOf the goroutine, as in sys._current_frames(); of a thread's first, and elsewhere, the thread's.")},
  {"identity_of", identity_of, METH_O, PyDoc_STR("identity_of(id, /) -> int\n\nWhat get_ident() is in the goroutine with this id.")},
  {"thread_of", thread_of, METH_O, PyDoc_STR("thread_of(identity, /) -> int\n\nThat of the thread that the goroutine runs on; a thread's own is its. ProcessLookupError: the goroutine has ended.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_thread(PyObject *module) { return reserve_identities() < 0 || ecru_py_follow_forks() < 0 ? -1 : PyModule_AddFunctions(module, functions); }
