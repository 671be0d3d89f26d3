/// native/select.c: select. A case is a Chan (receive), a pair (Chan, value) (send), a Task or Token (done), or a pair (IO, "r" or "w").
#include "native.h"

enum { FEW = 16 };

typedef struct choice { ecru_case *cases; PyObject **values; } choice;

static int take_case(ecru_case *one, PyObject **value, PyObject *given) {
  *one = (ecru_case){0};
  *value = NULL;
  PyObject *object = given, *second = NULL;
  if (PyTuple_CheckExact(given) && PyTuple_GET_SIZE(given) == 2) {
    object = PyTuple_GET_ITEM(given, 0);
    second = PyTuple_GET_ITEM(given, 1);
  }
  if (given == Py_None) {
    one->kind = ECRU_CASE_RECV; // never ready
  } else if (PyObject_TypeCheck(object, ecru_py_chan_type)) {
    one->kind = second ? ECRU_CASE_SEND : ECRU_CASE_RECV;
    one->object = ((ChanObject *)object)->chan;
    one->value = value;
    *value = second;
  } else if (!second && PyObject_TypeCheck(object, ecru_py_task_type)) {
    one->kind = ECRU_CASE_TASK;
    one->object = ecru_py_task_of(object);
  } else if (!second && PyObject_TypeCheck(object, ecru_py_token_type)) {
    one->kind = ECRU_CASE_TOKEN;
    one->object = ((TokenObject *)object)->token;
  } else if (second && PyObject_TypeCheck(object, ecru_py_io_type) && PyUnicode_Check(second)) {
    bool writes = PyUnicode_CompareWithASCIIString(second, "w") == 0;
    if (!writes && PyUnicode_CompareWithASCIIString(second, "r") != 0) {
      PyErr_Format(PyExc_ValueError, "an IO is waited for by \"r\" or \"w\", not %R", second);
      return -1;
    }
    one->kind = writes ? ECRU_CASE_WRITE : ECRU_CASE_READ;
    one->object = ((IOObject *)object)->io;
  } else {
    PyErr_Format(PyExc_TypeError, "a case is a Chan, (Chan, value), Task, Token or (IO, \"r\" or \"w\"), not %R", given);
    return -1;
  }
  return 0;
}

/// Every channel among the cases is in use by one call more, or less.
static void note_inside(PyObject *given, int change) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given); i++) {
    PyObject *one = PyTuple_GET_ITEM(given, i);
    if (PyTuple_CheckExact(one)) one = PyTuple_GET_ITEM(one, 0);
    if (PyObject_TypeCheck(one, ecru_py_chan_type)) ecru_py_count(&((ChanObject *)one)->inside, change);
  }
}

/// (index, value, ok): ok is False if a channel was closed. What a channel was closed with is raised.
static PyObject *outcome(const choice *c, PyObject *given, int index) {
  const ecru_case *picked = &c->cases[index];
  bool ended = picked->kind == ECRU_CASE_RECV && picked->status == ECRU_ECLOSED;
  if (ended && ecru_py_chan_raises((ChanObject *)PyTuple_GET_ITEM(given, index))) return NULL;
  PyObject *value = picked->kind == ECRU_CASE_RECV && picked->status == 0 ? c->values[index] : Py_NewRef(Py_None);
  return Py_BuildValue("iNN", index, value, PyBool_FromLong(picked->status == 0));
}

static PyObject *run(const choice *c, PyObject *given, size_t count, unsigned flags, int64_t deadline) {
  int status;
  for (size_t i = 0; i < count; i++)
    if (c->cases[i].kind == ECRU_CASE_SEND) Py_INCREF(c->values[i]);
  note_inside(given, 1);
  ECRU_PY_WAIT(status, deadline == ECRU_FOREVER ? ecru_select(c->cases, count, flags) : ecru_select_until(c->cases, count, flags, deadline));
  note_inside(given, -1);
  for (size_t i = 0; i < count; i++) { // what was sent has gone with its reference
    bool sent = (int)i == status && c->cases[i].status == 0;
    if (c->cases[i].kind == ECRU_CASE_SEND && !sent) Py_DECREF(c->values[i]);
  }
  if (status >= 0) return outcome(c, given, status);
  bool nothing = status == ECRU_EAGAIN || (status == ECRU_ETIMEDOUT && deadline != ECRU_FOREVER && ecru_check() == 0);
  if (nothing) Py_RETURN_NONE;
  return ecru_py_raise(status);
}

static PyObject *select_one(PyObject *module, PyObject *args, PyObject *kwargs) {
  (void)module;
  static char *keywords[] = {"cases", "poll", "priority", "timeout", NULL};
  PyObject *given, *timeout = Py_None;
  int poll = 0, priority = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|ppO:select", keywords, &PyTuple_Type, &given, &poll, &priority, &timeout)) return NULL;
  size_t count = (size_t)PyTuple_GET_SIZE(given);
  ecru_case few[FEW];
  PyObject *few_values[FEW];
  choice c = {few, few_values};
  int64_t deadline;
  if (ecru_py_instant(timeout, &deadline) < 0) return NULL;
  if (count > FEW) {
    c.cases = PyMem_Malloc(count * (sizeof *c.cases + sizeof *c.values));
    if (!c.cases) return PyErr_NoMemory();
    c.values = (PyObject **)(void *)(c.cases + count);
  }
  PyObject *result = NULL;
  size_t taken = 0;
  while (taken < count && take_case(&c.cases[taken], &c.values[taken], PyTuple_GET_ITEM(given, (Py_ssize_t)taken)) == 0) taken++;
  unsigned flags = (poll ? ECRU_SELECT_POLL : 0u) | (priority ? ECRU_SELECT_PRIORITY : 0u);
  if (taken == count) result = run(&c, given, count, flags, deadline);
  if (c.cases != few) PyMem_Free(c.cases);
  return result;
}

static PyMethodDef functions[] = {
  {"select", (PyCFunction)(void (*)(void))select_one, METH_VARARGS | METH_KEYWORDS,
   PyDoc_STR("select(cases, poll=False, priority=False, timeout=None) -> (index, value, ok) | None\n\nWaits for the first of a tuple of cases; None: poll found none ready, or the time is up.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_select(PyObject *module) { return PyModule_AddFunctions(module, functions); }
