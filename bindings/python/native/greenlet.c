/// native/greenlet.c: goroutines that would park inside a greenlet are refused.
///
/// A greenlet is a part of the stack it was switched to on, and which one runs is kept per thread of the system. With one of a parked goroutine's
/// for the current one, the next switch of another goroutine copies what lies between two stacks.
#include "native.h"

enum { GET_CURRENT = 4 }; // of greenlet's table of functions, in all versions of it

_Atomic(PyObject *(*)(void)) ecru_py_current_greenlet;

bool ecru_py_in_greenlet(void) {
  PyObject *(*get)(void) = atomic_load_explicit(&ecru_py_current_greenlet, memory_order_relaxed);
  if (!get || !ecru_py_home()) return false;
  PyObject *current = get(), *parent = current ? PyObject_GetAttrString(current, "parent") : NULL;
  bool inside = parent && parent != Py_None; // a thread's own has none
  Py_XDECREF(parent);
  Py_XDECREF(current);
  if (!parent) PyErr_Clear();
  return inside;
}

bool ecru_py_refuse(void) {
  if (!ecru_py_in_greenlet()) return false;
  PyErr_SetString(PyExc_RuntimeError, "a goroutine cannot wait inside a greenlet");
  return true;
}

static PyObject *heed_greenlets(PyObject *module, PyObject *table) {
  (void)module;
  void **functions = PyCapsule_GetPointer(table, "greenlet._C_API");
  if (!functions) return NULL;
  PyObject *(*get)(void);
  memcpy(&get, &functions[GET_CURRENT], sizeof get);
  atomic_store_explicit(&ecru_py_current_greenlet, get, memory_order_relaxed);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
  {"heed_greenlets", heed_greenlets, METH_O, PyDoc_STR("heed_greenlets(table) -> None\n\nFrom now on waits inside greenlets raise RuntimeError. table: greenlet._C_API.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_greenlet(PyObject *module) { return PyModule_AddFunctions(module, functions); }
