/// native/native.h: what the C files of ecru._native share.
///
/// Goroutines of Python code are hosted (ecru/host.h): all those a thread starts run on it. Each has a PyThreadState of its own, so that exceptions,
/// context variables, threading.local, tracing and recursion depth are its own without copying anything. thread_state.c switches them.
///
/// Blocking calls of ecru are made with the GIL held (ECRU_PY_WAIT): the switch to another goroutine then costs a PyThreadState_Swap, and the
/// GIL is dropped when the thread is about to sleep. Code that drops the GIL itself around such a call (cffi does) works as well: whether the
/// one that parked held it is looked at when the next goes on.
#ifndef ECRU_PYTHON_NATIVE_H
#define ECRU_PYTHON_NATIVE_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <ecru/ecru.h>

typedef struct TaskObject TaskObject;
typedef struct CrewObject CrewObject;
typedef struct muster muster;

/// What the GIL guards has a lock of its own where there is none. Nothing that may park, or run Python code, is done under it; threads are
/// stopped for a collection while they wait for it.
#ifdef Py_GIL_DISABLED
typedef PyMutex ecru_py_mutex;
static inline void ecru_py_lock(ecru_py_mutex *mutex) { PyMutex_Lock(mutex); }
static inline void ecru_py_unlock(ecru_py_mutex *mutex) { PyMutex_Unlock(mutex); }
static inline void ecru_py_count(Py_ssize_t *place, int change) { (void)__atomic_fetch_add(place, change, __ATOMIC_RELAXED); } // only their sum matters
#else
typedef char ecru_py_mutex;
static inline void ecru_py_lock(ecru_py_mutex *mutex) { (void)mutex; }
static inline void ecru_py_unlock(ecru_py_mutex *mutex) { (void)mutex; }
static inline void ecru_py_count(Py_ssize_t *place, int change) { *place += change; }
#endif
#ifndef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif
/// Py_CLEAR of what owner holds at place.
static inline void ecru_py_clear(PyObject *owner, PyObject **place) {
  PyObject *held;
  Py_BEGIN_CRITICAL_SECTION(owner);
  held = *place;
  *place = NULL;
  Py_END_CRITICAL_SECTION();
  (void)owner;
  Py_XDECREF(held);
}

/// What the arrive hook is given: one to a goroutine, on its own stack.
typedef struct mark {
  PyThreadState *state;
  bool attached;   ///< it held the GIL when it parked, and goes on holding it
  PyObject *task;  ///< borrowed; NULL: a host's first
  uint64_t id;     ///< ecru_id
  void *room;      ///< where its first Python frames lie; NULL: where the interpreter put them
  size_t stack_bytes;
  int withheld;    ///< levels of recursion that the interpreter would allow, but there is no stack for them
  struct mark *next, *previous; ///< home.lock: all that have begun
} mark;

enum { ECRU_PY_READ_BYTES = 64 << 10 };

/// One to a host. Everything but `running` and what is set once belongs to its thread, or is changed by another one under the GIL or a lock (*).
typedef struct home {
  mark first;           ///< of the thread's own stack; head of the list of all that have begun
  mark gone;            ///< stands for a goroutine that has ended
  mark *last;           ///< who runs, or ran last
  bool slept;           ///< since then the GIL was dropped for a sleep
  bool goes_on;         ///< set once: of a forked child: `token` was current before
  bool is_main;         ///< set once: the main thread's: signal handlers run here
  ecru_host *host;      ///< set once
  unsigned long thread_id; ///< set once: the system's
  pthread_t thread;     ///< set once
  _Atomic(PyThreadState *) running; ///< last's: whom the watcher tells of signals
  _Atomic bool asleep;  ///< from the idle hook on until somebody goes on
  atomic_flag watching; ///< a lock: the watcher uses `running`
  _Atomic int64_t end_ns; ///< instant from which on who computes is interrupted; 0: none
  _Atomic bool ended;   ///< it has been
  _Atomic(PyObject *) pending; ///< (*) exception to be raised in the first as soon as it can be
  _Atomic(TaskObject *) lost; ///< a leader's: list of those that could not begin
  ecru_token *token;    ///< current token of the first: fired when the host ends
  struct home *next;    ///< (*) of all
  ecru_py_mutex lock;   ///< the list of marks, and their `task`
  struct home *leader;  ///< set once: whose worker it is (workers.c); itself
  _Atomic size_t load;  ///< a worker's: goroutines on it that have not ended
  unsigned switches;    ///< since it last looked for what others have given back
  int pooled;           ///< pool[0..pooled): states nobody uses
  PyThreadState *pool[4096];
  char read[ECRU_PY_READ_BYTES]; ///< where ecru_io_read of any goroutine here puts what it returns (ecru/io.h: not before it does)
} home;

/// The calling thread's home. ensure: the main thread gets one; elsewhere NULL with RuntimeError.
home *ecru_py_home(void);
home *ecru_py_ensure_home(void);
int ecru_py_enter_home(void);
int ecru_py_leave_home(void);
bool ecru_py_waits_here(void); ///< blocking calls are to be made with the GIL held
/// Of a number that stood for a socket, and by now for another file, the socket's handle is given up. returns: whether there was one. With the GIL.
bool ecru_py_give_up_stale(int fd);

/// greenlet's function that says which greenlet runs; NULL: it has not been imported. relaxed: set once
extern _Atomic(PyObject *(*)(void)) ecru_py_current_greenlet;
bool ecru_py_in_greenlet(void); ///< where no goroutine may park
bool ecru_py_refuse(void);      ///< the same, with an exception
static inline bool ecru_py_is_refused(void) { // as above
  return atomic_load_explicit(&ecru_py_current_greenlet, memory_order_relaxed) && ecru_py_refuse();
}
bool ecru_py_has_shut(void); ///< the interpreter is ending: there are no goroutines any more
/// The calling thread is being ended though there are goroutines on it. Returns unless it is the interpreter that ends it.
void ecru_py_stay(void);
bool ecru_py_is_to_raise(void); ///< the caller is a first with something pending
ecru_token *ecru_py_home_token(home *h); ///< its leader's, with a reference for the caller
void ecru_py_forget_task(home *h, mark *m); ///< from here on nobody finds it in m
/// Raises error in the first goroutine of this thread's host, which it ends a wait of; at once if the caller is that one, or if it has not
/// yet come to raise what it was given before. returns: 0; -1 with an exception.
int ecru_py_raise_in_first(PyObject *error);

/// The goroutine begins: takes a state and attaches it. returns: 0; -1 no memory (then nothing is attached that was not).
int ecru_py_begin(home *h, mark *m);
void ecru_py_end(home *h, mark *m);

/// workers.c: in an interpreter without a GIL goroutines of the main thread's run on several threads.
/// Where one that is started in h is to run, h or a worker, which it counts for; until ecru_py_placed that is not left. NULL with an exception.
#ifdef Py_GIL_DISABLED
home *ecru_py_place(home *h);
void ecru_py_placed(home *h, home *where, bool started);
void ecru_py_leaves_place(home *where); ///< one has ended there
size_t ecru_py_placed_count(const home *h); ///< of h on its workers
#else
static inline home *ecru_py_place(home *h) { return h; }
static inline void ecru_py_placed(home *h, home *where, bool started) { (void)h, (void)where, (void)started; }
static inline void ecru_py_leaves_place(home *where) { (void)where; }
static inline size_t ecru_py_placed_count(const home *h) { return (void)h, 0; }
#endif
void ecru_py_forget_workers(void); ///< in a forked child
int ecru_py_enter_as_worker(void); ///< of the main thread's home. returns: 0; -1 with an exception
int ecru_py_add_workers(PyObject *module);

/// The stack that a goroutine of Python code gets: for recursion as deep as the interpreter now allows.
size_t ecru_py_stack_bytes(void);

/// In a forked child, perhaps: the runtime starts anew at the next use. A goroutine that forked is the child's first then.
void ecru_py_after_fork(void);

/// Whether a signal has come that no handler in Python was called for yet. state: who runs on the main thread, or ran last. Needs no GIL.
bool ecru_py_signal_waits(const PyThreadState *state);
/// Before a state is deleted: the memory that is listed with it is listed with the caller's, of the same thread.
void ecru_py_keep_pages_of(PyThreadState *gone);

/// After ECRU_EINTR, in the first goroutine: runs signal handlers. returns: 0 go on; -1 with an exception.
int ecru_py_interrupted(void);

/// A Task of a vectorcall, not started. Makes sure that the thread runs goroutines. returns: a new reference; NULL with an exception.
TaskObject *ecru_py_new_task(PyObject *const *args, Py_ssize_t count, PyObject *names);
/// token: NULL: the current one. crew: NULL, or the one whose muster the goroutine leaves at its end. returns: a status.
int ecru_py_start_task(TaskObject *t, ecru_token *token, CrewObject *crew);
/// Those that could not begin for want of memory have failed with that.
void ecru_py_find_lost(void);

muster *ecru_py_muster_of(CrewObject *c);
void ecru_py_crew_leave(muster *m); ///< needs no GIL
/// returns: whether it has been told: then it is its owner who raises the error.
bool ecru_py_crew_failed(CrewObject *c, PyObject *task, PyObject *error);

/// How the caller makes a call that may park: with the GIL held; without it; not at all, for something is to be raised, with or without an
/// exception yet.
typedef enum ecru_py_way { ECRU_PY_HERE, ECRU_PY_WITHOUT_GIL, ECRU_PY_NOT } ecru_py_way;
ecru_py_way ecru_py_way_to_wait(void);

/// Calls what may park. status: an int lvalue; ECRU_EINTR with an exception set if a signal handler raised one. What is to be raised in the first
/// takes the place of what else ended its wait: raised by itself afterwards, it would meet the caller cleaning up, and leave that undone.
#define ECRU_PY_WAIT(status, call)                                   \
  do {                                                               \
    ecru_py_way way = ecru_py_way_to_wait();                         \
    if (way == ECRU_PY_HERE) {                                       \
      (status) = (call);                                             \
    } else if (way == ECRU_PY_NOT) {                                 \
      (status) = ECRU_EINTR;                                         \
    } else {                                                         \
      Py_BEGIN_ALLOW_THREADS (status) = (call); Py_END_ALLOW_THREADS \
    }                                                                \
    if ((status) < 0 && ecru_py_is_to_raise()) (status) = ECRU_EINTR; \
  } while ((status) == ECRU_EINTR && !PyErr_Occurred() && ecru_py_interrupted() == 0)

/// Sets the exception of a status. returns: NULL.
PyObject *ecru_py_raise(int status);
int ecru_py_add_errors(PyObject *module);
extern PyObject *ecru_py_cancelled, *ecru_py_closed, *ecru_py_error;

/// Seconds (a number, or None for ever) to an instant of ecru_now. returns: 0; -1 with an exception.
int ecru_py_instant(PyObject *seconds, int64_t *instant_ns);

int ecru_py_add_thread_state(PyObject *module);
int ecru_py_add_home(PyObject *module);
int ecru_py_add_task(PyObject *module);
int ecru_py_add_crew(PyObject *module); ///< after add_token
int ecru_py_add_chan(PyObject *module);
int ecru_py_add_token(PyObject *module);
int ecru_py_add_sync(PyObject *module);
int ecru_py_add_greenlet(PyObject *module);
int ecru_py_add_rlock(PyObject *module);
int ecru_py_add_semaphore(PyObject *module);
int ecru_py_add_queue(PyObject *module); ///< after add_chan
int ecru_py_add_io(PyObject *module);
int ecru_py_add_net(PyObject *module);
int ecru_py_add_stream(PyObject *module);
int ecru_py_add_select(PyObject *module);
/// A child after a fork while the runtime ran: there are no goroutines, nor will be.
extern _Atomic int ecru_py_fork_state; ///< 0: it is none. relaxed: it changes in a child that has one thread yet, or all of its threads find out the same
bool ecru_py_find_out_forked(void);    ///< while it is not 0
static inline bool ecru_py_forked(void) {
  return atomic_load_explicit(&ecru_py_fork_state, memory_order_relaxed) != 0 && ecru_py_find_out_forked();
}
void ecru_py_has_restarted(void); ///< ... it was
int ecru_py_follow_forks(void);
/// ecru_wait_fds there; without events a sleep. returns: as it; ECRU_EINTR: an exception is set.
int ecru_py_wait_forked(ecru_fd_event *events, size_t count, int64_t instant);
int ecru_py_add_thread(PyObject *module);
int ecru_py_add_socket(PyObject *module);
PyObject *ecru_py_current_task(void); ///< borrowed, or NULL

/// inside: calls that may run without the GIL, by which something may leave the buffer unseen by a collection under way.
/// error: what it was closed with, or NULL; traceback: the error's then, or NULL. Set before it is closed, under the object's critical section.
typedef struct ChanObject { PyObject_HEAD ecru_chan *chan; PyObject *weakrefs, *error, *traceback; Py_ssize_t inside; } ChanObject;
#define AT_ONCE INT64_MIN ///< instead of an instant: without waiting
/// The GIL is held. returns: 0 (put: a reference was taken; get: *value is the caller's); ECRU_EAGAIN not in time, or no room where that fails;
/// ECRU_ECLOSED; ECRU_EINTR with an exception; another status.
int ecru_py_chan_put(ChanObject *c, PyObject *value, int64_t instant);
int ecru_py_chan_get(ChanObject *c, PyObject **value, int64_t instant);
/// Of a channel that is closed and drained: whether it was closed with an error, which then is raised.
bool ecru_py_chan_raises(ChanObject *c);
/// What a Token and a Task begin with. cause: what cancel was given, or NULL.
typedef struct HolderObject { PyObject_HEAD PyObject *cause; } HolderObject;
/// entered: its scopes that have not ended. Atomic: any goroutine may begin one; relaxed: that none has is all it is asked for, by who ends the object.
/// calls: on_cancel's, a dict used as a set (ecru/_registration.py), or NULL.
typedef struct TokenObject { HolderObject holder; ecru_token *token; _Atomic int entered; PyObject *calls, *weakrefs; } TokenObject;
/// Fires the holder's token. Those who are raised Cancelled find the cause as long as the holder is there; the first that is given stays.
/// cause: NULL or None: there is none. returns: None; NULL with an exception.
PyObject *ecru_py_cancel_with(HolderObject *holder, ecru_token *token, PyObject *cause);
/// By the id of the token that fired. returns: a new reference, to None if there is none; NULL with an exception.
PyObject *ecru_py_cause_of(uint64_t origin);
typedef struct IOObject { PyObject_HEAD ecru_io *io; _Atomic bool much; } IOObject; // relaxed, a hint: the last recv got much
extern PyTypeObject *ecru_py_chan_type, *ecru_py_task_type, *ecru_py_token_type, *ecru_py_io_type;
ecru_task *ecru_py_task_of(PyObject *task);

/// A type made from its spec, as an attribute of the module. returns: 0; -1 with an exception.
int ecru_py_add_type(PyObject *module, PyType_Spec *spec);

/// Of the caller, as its thread state says in sys._current_frames: a goroutine's own; of a thread's first, and elsewhere, the thread's. Never 0.
unsigned long ecru_py_identity(void);
unsigned long ecru_py_owner(void); ///< the same, of those who own something: never another's, where identities repeat (thread.c)
/// What threading, and sys._current_frames(), know the goroutine with this id by.
unsigned long ecru_py_identity_of(uint64_t id);

typedef struct LockObject {
  PyObject_HEAD
  ecru_semaphore *semaphore;
  PyObject *weakrefs;
  _Atomic bool held;        ///< false while it is on its way to the next; for forked children
  PyThread_type_lock alone; ///< instead of the semaphore in a forked child, which has threads only
} LockObject;

/// For tp_new and tp_dealloc of what begins with a LockObject. begin: returns a status, with an exception.
int ecru_py_lock_begin(LockObject *l);
void ecru_py_lock_dealloc(LockObject *l);
int ecru_py_lock_reinit(LockObject *l);
/// What a wait is called in dumps, unless it is part of one that has a name already. returns: what ecru_waits_for is given afterwards.
static inline const char *ecru_py_wait_as(const char *what) {
  const char *before = ecru_waits_for(what);
  if (before) (void)ecru_waits_for(before);
  return before;
}
/// timeout, in seconds, < 0: none. what: of ecru_py_wait_as. returns: 0; ECRU_EAGAIN not in time, or not at all at once; ECRU_EINTR with an
/// exception; another status.
int ecru_py_acquire(ecru_semaphore *semaphore, bool blocking, double timeout, const char *what);
int ecru_py_lock_take(LockObject *l, bool blocking, double timeout);
/// Whatever happens to the current token, and to the thread. returns: 0; ECRU_EINTR taken, with an exception that came meanwhile; another: not taken.
int ecru_py_lock_take_shielded(LockObject *l);
/// returns: 0; ECRU_EPERM nobody has it; ECRU_EINTR with an exception.
int ecru_py_lock_give(LockObject *l);
/// Lock.acquire's arguments. returns: 0; -1 with an exception.
int ecru_py_parse_acquire(PyObject *const *given, Py_ssize_t count, PyObject *keywords, bool *blocking, double *timeout);
PyObject *ecru_py_acquired(int status); ///< True, False or NULL
/// A loop that asks whether something is there, under a lock nobody else holds, would keep out who brings it. returns: 0; ECRU_EINTR with an exception.
int ecru_py_let_others(void);

/// What a method with METH_FASTCALL | METH_KEYWORDS was given, by name; NULL what was not. The first `required` must be. returns: 0; -1 with a TypeError.
int ecru_py_arguments(PyObject **out, const char *const *names, Py_ssize_t required, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
/// An object of the type, IO or a subclass; takes over the handle.
PyObject *ecru_py_io_of(PyTypeObject *type, ecru_io *handle);
/// *type becomes the one given, if one is. returns: 0; -1 with a TypeError: it is no subclass of *type.
int ecru_py_io_type_of(PyObject *given, PyTypeObject **type);
/// Limits what the caller alone waits for next to `timeout` seconds from now, if it is a number. Begun, it must be ended.
typedef struct limit { bool entered; } limit;
int ecru_py_begin_limit(limit *l, PyObject *timeout);
int ecru_py_limit_until(limit *l, int64_t instant); ///< runs no Python code
void ecru_py_end_limit(const limit *l);
PyObject *ecru_py_io_failed(int64_t status); ///< a limit's own expiry, which has ended, and that of a deadline, is a TimeoutError
enum { ECRU_PY_LITTLE_BYTES = 8192 }; // more is dearer to copy than room for it is to be had and cut
/// Where recv puts up to `most` bytes. little: if it can be, what all reads of the thread have in common (at most ECRU_PY_READ_BYTES): who waits has no
/// room of its own then, and the bytes object is as large as what came. *own: else, a bytes object; NULL. returns: NULL with an exception.
static inline char *ecru_py_room_for(Py_ssize_t most, bool little, PyObject **own) {
  home *h = little ? ecru_py_home() : NULL;
  *own = h ? NULL : PyBytes_FromStringAndSize(NULL, most);
  return h ? h->read : *own ? PyBytes_AS_STRING(*own) : NULL;
}
/// To be called before anybody else reads. got: how many bytes; < 0: none, the read has failed. returns: they; NULL; NULL with MemoryError.
static inline PyObject *ecru_py_received(const char *room, Py_ssize_t most, PyObject *own, int64_t got) {
  if (!own) return got < 0 ? NULL : PyBytes_FromStringAndSize(room, (Py_ssize_t)got);
  if (got < 0) Py_CLEAR(own);
  else if (got != most) (void)_PyBytes_Resize(&own, (Py_ssize_t)got);
  return own;
}
/// recv's and recv_into's arguments. returns: how many bytes, and 0 with so long a view; -1 with an exception.
Py_ssize_t ecru_py_parse_recv(PyObject *const *given, Py_ssize_t count, PyObject *keywords, PyObject **timeout);
int ecru_py_parse_recv_into(PyObject *const *given, Py_ssize_t count, PyObject *keywords, Py_buffer *view, PyObject **timeout);
PyObject *ecru_py_io_recv(IOObject *io, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
PyObject *ecru_py_io_recv_into(IOObject *io, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
PyObject *ecru_py_io_accept(IOObject *io, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
PyObject *ecru_py_address_text(const ecru_address *address);
#endif
