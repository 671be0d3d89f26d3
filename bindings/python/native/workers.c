/// native/workers.c: goroutines of the main thread's home on several threads, where there is no GIL.
///
/// A worker is a thread that is a host with a home of its own, whose leader is the main thread's. Python starts workers (_home.py), which call
/// enter_worker, and has them leave when all goroutines have ended. A goroutine started by the main thread or by one on a worker begins on the
/// worker that has the fewest, and stays there: an object's memory, a thread state and much of C belong to threads. The main thread runs none: what its own
/// code does then keeps none waiting. With a GIL, and with one worker only, each thread runs what it starts, and nothing of this takes place.
///
///   1 members[0..open) get new goroutines. They are added and taken away under homes_lock's like, `lock`, and left only after they are not open
///     and `placing` has been seen 0: so the home and host that ecru_py_place chose are there until ecru_py_placed.
///
/// Tried and dropped: round robin, which puts what lives long onto the same worker by chance.
#include "native.h"

#include <sched.h>

enum { MEMBERS_MAX = 63 }; // hosts there can be, less the main thread

static ecru_py_mutex lock;
static home *members[MEMBERS_MAX]; // lock; [0..open) set once while open
static int joined;                 // lock: how many there are
static _Atomic int open;
static _Atomic int placing;
static _Atomic int wanted;         // more than there are: `lacking_hook` is called
static PyObject *lacking_hook;

#ifdef Py_GIL_DISABLED
static _Atomic unsigned long placed_ever; // how often `load` of one has grown

static bool shares(const home *h) { return h->leader->is_main; }

static home *least_loaded(int count) {
  static _Atomic unsigned turn; // among those that have as few
  unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
  home *best = NULL;
  size_t least = SIZE_MAX;
  for (int i = 0; i < count; i++) {
    home *h = members[(first + (unsigned)i) % (unsigned)count];
    size_t load = atomic_load_explicit(&h->load, memory_order_relaxed);
    if (load >= least) continue;
    least = load;
    best = h;
  }
  return best;
}

/// returns: 0; -1 with an exception.
static int start_lacking(void) {
  int lacking = atomic_exchange_explicit(&wanted, 0, memory_order_relaxed);
  if (lacking == 0) return 0;
  PyObject *done = lacking_hook ? PyObject_CallFunction(lacking_hook, "i", lacking) : Py_NewRef(Py_None);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

home *ecru_py_place(home *h) {
  if (!shares(h)) return h;
  if (atomic_load_explicit(&wanted, memory_order_relaxed) != 0 && start_lacking() < 0) return NULL;
  // seq_cst: pairs with close_workers: it sees us here or we see that none is open
  atomic_fetch_add_explicit(&placing, 1, memory_order_seq_cst);
  int count = atomic_load_explicit(&open, memory_order_seq_cst);
  home *where = count > 1 ? least_loaded(count) : h;
  if (where == h->leader) return where;
  atomic_fetch_add_explicit(&where->load, 1, memory_order_relaxed);
  // relaxed, as above: before who places it ends, which count_placed acquires
  atomic_fetch_add_explicit(&placed_ever, 1, memory_order_relaxed);
  return where;
}

void ecru_py_placed(home *h, home *where, bool started) {
  if (!shares(h)) return;
  if (!started) ecru_py_leaves_place(where);
  atomic_fetch_sub_explicit(&placing, 1, memory_order_release); // release: pairs with close_workers
}

void ecru_py_leaves_place(home *where) {
  if (where != where->leader) atomic_fetch_sub_explicit(&where->load, 1, memory_order_release); // release: pairs with the acquire in count_placed
}

/// lock is held.
static size_t count_placed(void) {
  size_t count = 0;
  for (int i = 0; i < joined; i++) count += atomic_load_explicit(&members[i]->load, memory_order_acquire);
  return count;
}

/// One that ends may have started another on a worker that was counted already: then it is done again.
size_t ecru_py_placed_count(const home *h) {
  unsigned long before;
  size_t count;
  if (!shares(h)) return 0;
  ecru_py_lock(&lock);
  do {
    before = atomic_load_explicit(&placed_ever, memory_order_acquire); // acquire: it is read before what follows
    count = count_placed();
  } while (count == 0 && atomic_load_explicit(&placed_ever, memory_order_relaxed) != before);
  ecru_py_unlock(&lock);
  return count;
}

#endif

void ecru_py_forget_workers(void) {
  lock = (ecru_py_mutex){0};
  joined = 0;
  atomic_store_explicit(&open, 0, memory_order_relaxed);
  atomic_store_explicit(&placing, 0, memory_order_relaxed);
}

/// returns: whether there is room.
static bool join(home *h) {
  ecru_py_lock(&lock);
  bool room = joined < MEMBERS_MAX;
  if (room) members[joined++] = h;
  ecru_py_unlock(&lock);
  return room;
}

static PyObject *enter_worker(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  if (ecru_py_enter_as_worker() < 0) return NULL;
  if (join(ecru_py_home())) Py_RETURN_NONE;
  (void)ecru_py_leave_home();
  return PyErr_Format(PyExc_ValueError, "more than %d workers", MEMBERS_MAX);
}

static PyObject *open_workers(PyObject *module, PyObject *number) {
  (void)module;
  int count = (int)PyLong_AsLong(number);
  if (PyErr_Occurred()) return NULL;
  ecru_py_lock(&lock);
  if (count >= 0 && count <= joined) atomic_store_explicit(&open, count, memory_order_seq_cst); // seq_cst: as in ecru_py_place
  ecru_py_unlock(&lock);
  if (count == 0)
    while (atomic_load_explicit(&placing, memory_order_seq_cst) != 0) (void)sched_yield();
  Py_RETURN_NONE;
}

/// The calling worker, when none is open any more. returns: False while goroutines of it have not ended.
static PyObject *leave_worker(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  home *h = ecru_py_home();
  if (!h || h == h->leader) return PyErr_SetString(PyExc_RuntimeError, "no worker"), NULL;
  if (ecru_host_count() > 0) Py_RETURN_FALSE;
  ecru_py_lock(&lock);
  int at = 0;
  while (at < joined && members[at] != h) at++;
  if (at < joined) members[at] = members[--joined];
  ecru_py_unlock(&lock);
  return ecru_py_leave_home() == 0 ? Py_NewRef(Py_True) : NULL;
}

static PyObject *on_lacking(PyObject *module, PyObject *given) {
  (void)module;
  Py_XSETREF(lacking_hook, Py_NewRef(given));
  Py_RETURN_NONE;
}

static PyObject *want_workers(PyObject *module, PyObject *number) {
  (void)module;
  int count = (int)PyLong_AsLong(number);
  if (PyErr_Occurred()) return NULL;
  atomic_store_explicit(&wanted, count, memory_order_relaxed);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
  {"enter_worker", enter_worker, METH_NOARGS, PyDoc_STR("enter_worker() -> None\n\nThis thread becomes a worker of the main thread's.")},
  {"leave_worker", leave_worker, METH_NOARGS, PyDoc_STR("leave_worker() -> bool\n\nIt is none any more; False: goroutines of it have not ended.")},
  {"open_workers", open_workers, METH_O, PyDoc_STR("open_workers(count) -> None\n\nNew goroutines begin on so many workers, if there are more than one; 0: and none is on its way to one.")},
  {"want_workers", want_workers, METH_O, PyDoc_STR("want_workers(count) -> None\n\nThe next goroutine started calls the hook, with count.")},
  {"on_lacking", on_lacking, METH_O, PyDoc_STR("on_lacking(hook) -> None\n\nhook(count) is called when a goroutine is to be started and there are not so many workers yet.")},
  {NULL, NULL, 0, NULL},
};
int ecru_py_add_workers(PyObject *module) { return PyModule_AddFunctions(module, functions); }
