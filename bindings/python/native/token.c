/// native/token.c: cancellation tokens and the scopes of the current one.
#include "native.h"

#include <structmember.h>

PyTypeObject *ecru_py_token_type;

enum { PARENTS_MOST = 64 };

/// Of one token, or a tuple of them. returns: how many; -1 with an exception.
static int parents_of(PyObject *given, ecru_token **parents) {
  bool several = PyTuple_Check(given);
  Py_ssize_t count = several ? PyTuple_GET_SIZE(given) : 1;
  if (count < 1 || count > PARENTS_MOST) return PyErr_Format(PyExc_ValueError, "parent: 1 to %d tokens, not %zd", PARENTS_MOST, count), -1;
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *parent = several ? PyTuple_GET_ITEM(given, i) : given;
    if (!PyObject_TypeCheck(parent, ecru_py_token_type))
      return PyErr_Format(PyExc_TypeError, "parent: a Token, or a tuple of them, not %s", Py_TYPE(parent)->tp_name), -1;
    parents[i] = ((TokenObject *)parent)->token;
  }
  return (int)count;
}

static PyObject *token_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"parent", "timeout", "shield", NULL};
  PyObject *parent = Py_None, *timeout = Py_None;
  int shield = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOp:Token", keywords, &parent, &timeout, &shield)) return NULL;
  int64_t deadline;
  if (ecru_py_instant(timeout, &deadline) < 0) return NULL;
  ecru_token *parents[PARENTS_MOST];
  parents[0] = NULL;
  int count = 1;
  if (parent != Py_None) count = parents_of(parent, parents);
  else (void)ecru_py_waits_here(); // the first has a token of its own
  if (count < 0) return NULL;
  if (shield) parents[0] = ecru_token_background(), count = 1;
  TokenObject *t = (TokenObject *)type->tp_alloc(type, 0);
  if (!t) return NULL;
  int status = count == 1 ? ecru_token_create(&t->token, parents[0], deadline) : ecru_token_create_linked(&t->token, parents, (size_t)count, deadline);
  if (status == 0) return (PyObject *)t;
  t->token = NULL;
  Py_DECREF(t);
  return ecru_py_raise(status);
}

/// Ends the innermost of the caller's scopes that is t's, whichever have begun since. returns: 0; ECRU_EPERM there is none.
static int leave_any(TokenObject *t) {
  ecru_token *inner = ecru_token_current();
  if (inner == t->token) return ecru_token_leave();
  (void)ecru_token_retain(inner);
  int status = ecru_token_leave();
  if (status == 0) {
    status = leave_any(t);
    (void)ecru_token_enter(inner);
  }
  ecru_token_release(inner);
  return status;
}

static void has_left(TokenObject *t) { (void)atomic_fetch_sub_explicit(&t->entered, 1, memory_order_relaxed); }

/// Nobody can leave its scope any more: what interrupted the caller on its way there is no reason to stay cancelled. If it is another goroutine's
/// it is not to fire by itself.
static void abandon(TokenObject *t) {
  if (leave_any(t) != 0) (void)ecru_token_reset(t->token, ECRU_FOREVER);
}

static int token_traverse(TokenObject *t, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(t));
  Py_VISIT(t->holder.cause);
  Py_VISIT(t->calls);
  return 0;
}
static int token_clear(TokenObject *t) {
  Py_CLEAR(t->holder.cause);
  Py_CLEAR(t->calls);
  return 0;
}
static void token_dealloc(TokenObject *t) {
  PyTypeObject *type = Py_TYPE(t);
  PyObject_GC_UnTrack(t);
  if (t->weakrefs) PyObject_ClearWeakRefs((PyObject *)t);
  if (atomic_load_explicit(&t->entered, memory_order_relaxed) > 0 && ecru_py_home()) abandon(t);
  ecru_token_release(t->token);
  (void)token_clear(t);
  type->tp_free(t);
  Py_DECREF(type);
}

// ---- why it was cancelled --------------------------------------------------------------------------------------------------

static PyObject *causes; // a WeakValueDictionary: who has one, a Token or a Task, by the id of the token
static _Atomic bool some_given; // relaxed: who is cancelled comes after it

static int note_cause(HolderObject *holder, ecru_token *token, PyObject *cause) {
  PyObject *id = PyLong_FromUnsignedLongLong(ecru_token_id(token));
  int status = id ? PyObject_SetItem(causes, id, (PyObject *)holder) : -1;
  Py_XDECREF(id);
  if (status < 0) return -1;
  atomic_store_explicit(&some_given, true, memory_order_relaxed);
  Py_BEGIN_CRITICAL_SECTION(holder);
  if (!holder->cause) holder->cause = Py_NewRef(cause);
  Py_END_CRITICAL_SECTION();
  return 0;
}

PyObject *ecru_py_cancel_with(HolderObject *holder, ecru_token *token, PyObject *cause) {
  bool first = cause && cause != Py_None && ecru_token_err(token) == 0;
  if (first && note_cause(holder, token, cause) < 0) return NULL;
  (void)ecru_token_cancel(token, 0);
  Py_RETURN_NONE;
}

static PyObject *cause_in(HolderObject *holder) {
  PyObject *cause;
  Py_BEGIN_CRITICAL_SECTION(holder);
  cause = Py_NewRef(holder->cause ? holder->cause : Py_None);
  Py_END_CRITICAL_SECTION();
  return cause;
}

PyObject *ecru_py_cause_of(uint64_t origin) {
  if (origin == 0 || !atomic_load_explicit(&some_given, memory_order_relaxed)) return Py_NewRef(Py_None);
  PyObject *holder = PyObject_CallMethod(causes, "get", "K", (unsigned long long)origin);
  if (!holder || holder == Py_None) return holder;
  PyObject *cause = cause_in((HolderObject *)holder);
  Py_DECREF(holder);
  return cause;
}

static PyObject *token_cancel(TokenObject *t, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"cause", NULL};
  PyObject *cause;
  if (ecru_py_arguments(&cause, names, 0, given, count, keywords) < 0) return NULL;
  return ecru_py_cancel_with(&t->holder, t->token, cause);
}

static PyObject *token_cause(TokenObject *t, void *unused) {
  (void)unused;
  return ecru_token_err(t->token) == ECRU_ECANCELED ? ecru_py_cause_of(ecru_token_origin(t->token)) : Py_NewRef(Py_None);
}

static PyObject *token_forget_cause(TokenObject *t, PyObject *unused) {
  (void)unused;
  ecru_py_clear((PyObject *)t, &t->holder.cause);
  Py_RETURN_NONE;
}

// ---- scopes ----------------------------------------------------------------------------------------------------------------

static PyObject *token_enter(TokenObject *t, PyObject *unused) {
  (void)unused;
  (void)ecru_py_waits_here();
  int status = ecru_token_enter(t->token);
  if (status != 0) return ecru_py_raise(status);
  (void)atomic_fetch_add_explicit(&t->entered, 1, memory_order_relaxed);
  return Py_NewRef((PyObject *)t);
}

static PyObject *leave_out_of_order(TokenObject *t) {
  if (ecru_py_has_shut()) Py_RETURN_NONE; // a generator's, which the program has left in it
  if (leave_any(t) == 0) {
    has_left(t);
    PyErr_SetString(PyExc_RuntimeError, "a scope has ended before one that began in it: scopes end in the reverse order of their beginning");
  } else {
    PyErr_SetString(PyExc_RuntimeError, "a scope ends in the goroutine it began in, and once");
  }
  return NULL;
}

static PyObject *token_leave(TokenObject *t, PyObject *unused) {
  (void)unused;
  if (ecru_token_current() != t->token) return leave_out_of_order(t);
  int status = ecru_token_leave();
  if (status != 0) return ecru_py_raise(status);
  has_left(t);
  Py_RETURN_NONE;
}

static PyObject *token_exit(TokenObject *t, PyObject *args) { return token_leave(t, args); }

static PyObject *token_wait(TokenObject *t, PyObject *unused) {
  (void)unused;
  int status;
  ECRU_PY_WAIT(status, ecru_token_wait(t->token));
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *token_check(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  int status = ecru_check();
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *token_reset(TokenObject *t, PyObject *timeout) {
  int64_t deadline;
  if (ecru_py_instant(timeout, &deadline) < 0) return NULL;
  int status = ecru_token_reset(t->token, deadline);
  if (status == ECRU_ECANCELED || status == ECRU_ETIMEDOUT) Py_RETURN_FALSE;
  return status == 0 ? Py_NewRef(Py_True) : ecru_py_raise(status);
}

static PyObject *token_done(TokenObject *t, void *unused) { return (void)unused, PyBool_FromLong(ecru_token_err(t->token) != 0); }
static PyObject *token_reason(TokenObject *t, void *unused) {
  (void)unused;
  int status = ecru_token_err(t->token);
  if (status == 0) Py_RETURN_NONE;
  return PyUnicode_FromString(status == ECRU_ETIMEDOUT ? "deadline" : "cancelled");
}
/// It was this token itself that fired, not one above it.
static PyObject *token_own(TokenObject *t, void *unused) {
  (void)unused;
  return PyBool_FromLong(ecru_token_err(t->token) != 0 && ecru_token_origin(t->token) == ecru_token_id(t->token));
}
static PyObject *token_id(TokenObject *t, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(ecru_token_id(t->token)); }
static PyObject *token_origin(TokenObject *t, void *unused) {
  (void)unused;
  uint64_t origin = ecru_token_origin(t->token);
  return origin ? PyLong_FromUnsignedLongLong(origin) : Py_NewRef(Py_None);
}
static PyObject *token_calls(TokenObject *t, void *unused) {
  (void)unused;
  PyObject *calls;
  Py_BEGIN_CRITICAL_SECTION(t);
  if (!t->calls) t->calls = PyDict_New();
  calls = Py_XNewRef(t->calls);
  Py_END_CRITICAL_SECTION();
  return calls;
}
/// Runs as Python code does, so it is written in Python.
static PyObject *token_on_cancel(TokenObject *t, PyObject *f) {
  PyObject *module = PyImport_ImportModule("ecru._registration");
  PyObject *made = module ? PyObject_CallMethod(module, "Registration", "OO", (PyObject *)t, f) : NULL;
  Py_XDECREF(module);
  return made;
}
static PyObject *token_remaining(TokenObject *t, void *unused) {
  (void)unused;
  int64_t deadline = ecru_token_deadline(t->token);
  if (deadline == ECRU_FOREVER) Py_RETURN_NONE;
  return PyFloat_FromDouble((double)(deadline - ecru_now()) / 1e9);
}

static PyObject *token_repr(TokenObject *t) {
  const char *type = strrchr(Py_TYPE(t)->tp_name, '.');
  type = type ? type + 1 : Py_TYPE(t)->tp_name;
  int status = ecru_token_err(t->token);
  if (status != 0) return PyUnicode_FromFormat("<ecru.%s, fired: %s>", type, status == ECRU_ETIMEDOUT ? "deadline" : "cancelled");
  int64_t deadline = ecru_token_deadline(t->token);
  if (deadline == ECRU_FOREVER) return PyUnicode_FromFormat("<ecru.%s, no deadline>", type);
  char left[32];
  PyOS_snprintf(left, sizeof left, "%.3g", (double)(deadline - ecru_now()) / 1e9);
  return PyUnicode_FromFormat("<ecru.%s, %s s left>", type, left);
}

static PyMethodDef methods[] = {
  {"cancel", (PyCFunction)(void (*)(void))token_cancel, METH_FASTCALL | METH_KEYWORDS,
   PyDoc_STR("cancel(cause=None) -> None\n\nFires it and its descendants. Idempotent. cause: any object, an exception mostly: Cancelled.cause of all who are raised it,\nas long as this Token is referred to; the first stays.")},
  {"_forget_cause", (PyCFunction)token_forget_cause, METH_NOARGS, NULL},
  {"on_cancel", (PyCFunction)token_on_cancel, METH_O,
   PyDoc_STR("on_cancel(f) -> Registration\n\nf() is called once it fires, in a goroutine of its own; soon, if it has. Until remove() of what it returns, or the end of its\n`with` block; or until nobody refers to the Token any more, nor to that, unless it has fired or had a deadline then.\nRuntimeError in a thread that runs no goroutines.")},
  {"enter", (PyCFunction)token_enter, METH_NOARGS, PyDoc_STR("enter() -> Token\n\nIt is the caller's current token until leave().")},
  {"leave", (PyCFunction)token_leave, METH_NOARGS, PyDoc_STR("leave() -> None\n\nThe outer token is current again.")},
  {"wait", (PyCFunction)token_wait, METH_NOARGS, PyDoc_STR("wait() -> None\n\nParks until it fires.")},
  {"reset", (PyCFunction)token_reset, METH_O, PyDoc_STR("reset(timeout) -> bool\n\nGives it another deadline, in seconds from now or None. False: it has fired.")},
  {"__enter__", (PyCFunction)token_enter, METH_NOARGS, NULL},
  {"__exit__", (PyCFunction)token_exit, METH_VARARGS, NULL},
  {NULL, NULL, 0, NULL},
};
static PyGetSetDef properties[] = {
  {"done", (getter)token_done, NULL, PyDoc_STR("whether it has fired"), NULL},
  {"reason", (getter)token_reason, NULL, PyDoc_STR("None, \"cancelled\" or \"deadline\""), NULL},
  {"cause", (getter)token_cause, NULL, PyDoc_STR("what cancel() was given, its own or that of the one above it that fired; None"), NULL},
  {"fired_itself", (getter)token_own, NULL, PyDoc_STR("whether it has fired, and not because one above it did"), NULL},
  {"id", (getter)token_id, NULL, PyDoc_STR("its number, of which no other token ever has the same"), NULL},
  {"origin", (getter)token_origin, NULL, PyDoc_STR("the id of the token that fired: its own, or that of one above it; None: it has not fired"), NULL},
  {"remaining", (getter)token_remaining, NULL, PyDoc_STR("seconds until its deadline or the nearest above it; None: no deadline"), NULL},
  {"_calls", (getter)token_calls, NULL, NULL, NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(TokenObject, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Token(parent=None, timeout=None, shield=False)\n\nA child of parent (None: the caller's current token; a tuple: of all of them, it fires with the first) that fires after timeout seconds at the latest.\nshield: no token reaches it. A context manager: inside, it is the current token.")},
  {Py_tp_new, (void *)token_new},
  {Py_tp_dealloc, (void *)token_dealloc},
  {Py_tp_traverse, (void *)token_traverse},
  {Py_tp_clear, (void *)token_clear},
  {Py_tp_methods, methods},
  {Py_tp_members, members},
  {Py_tp_getset, properties},
  {Py_tp_repr, (void *)token_repr},
  {0, NULL},
};
static PyType_Spec spec = {
  .name = "ecru.Token", .basicsize = sizeof(TokenObject), .slots = slots,
  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
};

static PyObject *home_token(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  home *h = ecru_py_ensure_home();
  TokenObject *t = h ? (TokenObject *)ecru_py_token_type->tp_alloc(ecru_py_token_type, 0) : NULL;
  if (t) t->token = ecru_py_home_token(h);
  return (PyObject *)t;
}

static PyMethodDef functions[] = {
  {"home_token", home_token, METH_NOARGS, PyDoc_STR("home_token() -> Token\n\nThis thread's: fired when all its goroutines are to end. What is started under it outlives the scope the caller is in.")},
  {"check", token_check, METH_NOARGS, PyDoc_STR("check() -> None\n\nRaises Cancelled if the current token has fired.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_token(PyObject *module) {
  PyObject *weakref = PyImport_ImportModule("weakref");
  causes = weakref ? PyObject_CallMethod(weakref, "WeakValueDictionary", NULL) : NULL;
  Py_XDECREF(weakref);
  ecru_py_token_type = causes ? (PyTypeObject *)PyType_FromSpec(&spec) : NULL;
  if (!ecru_py_token_type || PyModule_AddType(module, ecru_py_token_type) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
