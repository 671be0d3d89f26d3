/// native/errors.c: status codes as exceptions.
#include "native.h"

#include <netdb.h>

PyObject *ecru_py_cancelled, *ecru_py_closed, *ecru_py_error;

/// Cancelled's origin: whose token fired; None: not the caller's current one.
static int set_origin(PyObject *error, uint64_t id) {
  PyObject *origin = id ? PyLong_FromUnsignedLongLong(id) : Py_NewRef(Py_None);
  int status = origin ? PyObject_SetAttrString(error, "origin", origin) : -1;
  Py_XDECREF(origin);
  return status;
}

static int set_cause(PyObject *error, uint64_t origin) {
  PyObject *cause = ecru_py_cause_of(origin);
  if (!cause || cause == Py_None) return Py_XDECREF(cause), cause ? 0 : -1;
  int status = PyObject_SetAttrString(error, "cause", cause);
  if (PyExceptionInstance_Check(cause)) PyException_SetCause(error, Py_NewRef(cause));
  Py_DECREF(cause);
  return status;
}

/// Cancelled's reason: "deadline" or "cancelled".
static PyObject *raise_cancelled(int status) {
  PyObject *reason = PyUnicode_FromString(status == ECRU_ETIMEDOUT ? "deadline" : "cancelled");
  if (!reason) return NULL;
  PyObject *error = PyObject_CallOneArg(ecru_py_cancelled, reason);
  uint64_t origin = ecru_token_origin(ecru_token_current());
  bool whole = error && PyObject_SetAttrString(error, "reason", reason) == 0 && set_origin(error, origin) == 0;
  if (whole && (status == ECRU_ETIMEDOUT || set_cause(error, origin) == 0)) PyErr_SetObject(ecru_py_cancelled, error);
  Py_XDECREF(error);
  Py_DECREF(reason);
  return NULL;
}

/// What the module socket raises of names.
static PyObject *raise_gaierror(int code, int status) {
  PyObject *module = PyImport_ImportModule("_socket"), *type = module ? PyObject_GetAttrString(module, "gaierror") : NULL;
  PyObject *error = type ? PyObject_CallFunction(type, "is", code, ecru_strerror(status)) : NULL;
  if (error) PyErr_SetObject(type, error);
  Py_XDECREF(error);
  Py_XDECREF(type);
  Py_XDECREF(module);
  return NULL;
}

PyObject *ecru_py_raise(int status) {
  switch (status) {
  case ECRU_EINTR: return NULL; // a signal handler has raised something
  case ECRU_ECANCELED:
  case ECRU_ETIMEDOUT: return raise_cancelled(status);
  case ECRU_ECLOSED: PyErr_SetString(ecru_py_closed, "the handle is closed"); return NULL;
  case ECRU_ENOMEM: return PyErr_NoMemory();
  case ECRU_EINVAL: PyErr_SetString(PyExc_ValueError, ecru_strerror(status)); return NULL;
  case ECRU_ENOHOST: return raise_gaierror(EAI_NONAME, status);
  case ECRU_EDNS: return raise_gaierror(EAI_AGAIN, status);
  default: break;
  }
  bool portable = status > -200; // the system's own numbers on Linux
  PyObject *error = PyObject_CallFunction(portable ? PyExc_OSError : ecru_py_error, "is", -status, ecru_strerror(status));
  if (error) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
  return NULL;
}

/// full: what the package calls it, which tracebacks show.
static PyObject *new_exception(PyObject *module, const char *name, const char *full, const char *doc, PyObject *base) {
  PyObject *type = PyErr_NewExceptionWithDoc(full, doc, base, NULL);
  if (!type) return NULL;
  if (PyModule_AddObjectRef(module, name, type) == 0) return type;
  Py_DECREF(type);
  return NULL;
}

int ecru_py_add_errors(PyObject *module) {
  ecru_py_cancelled = new_exception(module, "Cancelled", "ecru.Cancelled",
    "Raised where a goroutine waits once its token has fired, and again at every later wait.\n\nreason: \"cancelled\" or \"deadline\". origin: the id of the token that fired, or None. cause: what its cancel(), or a\nTask's, was given, as long as that Token or Task is referred to, or None; an exception is its __cause__, too.", PyExc_BaseException);
  if (ecru_py_cancelled && PyObject_SetAttrString(ecru_py_cancelled, "cause", Py_None) < 0) return -1;
  ecru_py_closed = new_exception(module, "Closed", "ecru.ChanClosed", "The channel or handle is closed.", PyExc_Exception);
  ecru_py_error = new_exception(module, "Error", "ecru.EcruError", "What ecru alone can say: (code, text).", PyExc_OSError);
  return ecru_py_cancelled && ecru_py_closed && ecru_py_error ? 0 : -1;
}

int ecru_py_instant(PyObject *seconds, int64_t *instant_ns) {
  *instant_ns = ECRU_FOREVER;
  if (!seconds || seconds == Py_None) return 0;
  double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred()) return -1;
  if (value != value) {
    PyErr_SetString(PyExc_ValueError, "seconds: not a number");
    return -1;
  }
  if (value < 9e9) *instant_ns = ecru_after(value <= 0 ? 0 : (int64_t)(value * 1e9));
  return 0;
}
