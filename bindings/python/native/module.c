/// native/module.c: ecru._native, what Python needs in C: the module itself.
///
/// The runtime is one to a process and so is this module: there is no state of an interpreter's own, and sub-interpreters
/// are refused, by the slot where CPython knows it (3.12 on) and by hand where it does not or was told not to look.
/// The shared object also holds ecru._abi (cffi's, generated): both are linked against the same, only, runtime.
#include "native.h"

static PyObject *native_version(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyUnicode_FromString(ecru_version());
}

static PyObject *method_of(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  (void)module;
  if (count != 2 || !PyType_Check(args[0]) || !Py_IS_TYPE(args[1], &PyMethodDescr_Type)) return PyErr_SetString(PyExc_TypeError, "method_of(class, method in C)"), NULL;
  PyTypeObject *type = (PyTypeObject *)args[0];
  PyMethodDescrObject *method = (PyMethodDescrObject *)args[1];
  bool inherited = PyType_IsSubtype(type, method->d_common.d_type) && !(method->d_method->ml_flags & METH_METHOD); // which wants its defining class
  if (!inherited) return PyErr_SetString(PyExc_TypeError, "method_of: of a class that inherits it"), NULL;
  return PyDescr_NewMethod(type, method->d_method);
}

static PyMethodDef native_functions[] = {
  {"method_of", (PyCFunction)(void (*)(void))method_of, METH_FASTCALL, PyDoc_STR("method_of(class, method) -> method\n\nThe method in C that the class inherits, as one of its own (see _own_methods).")},
  {"version", native_version, METH_NOARGS, PyDoc_STR("version() -> str\n\nThe runtime's version as \"major.minor.patch\".")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_type(PyObject *module, PyType_Spec *spec) {
  PyObject *type = PyType_FromSpec(spec);
  int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
  Py_XDECREF(type);
  return status;
}

static int native_exec(PyObject *module) {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "ecru does not run in sub-interpreters: its runtime is one to a process");
    return -1;
  }
  static int (*const parts[])(PyObject *) = {ecru_py_add_errors, ecru_py_add_thread_state, ecru_py_add_home, ecru_py_add_task, ecru_py_add_chan, ecru_py_add_token,
                                             ecru_py_add_crew, ecru_py_add_sync, ecru_py_add_rlock, ecru_py_add_semaphore, ecru_py_add_queue, ecru_py_add_io, ecru_py_add_net,
                                             ecru_py_add_stream, ecru_py_add_greenlet, ecru_py_add_select, ecru_py_add_thread, ecru_py_add_socket, ecru_py_add_workers};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    if (parts[i](module) < 0) return -1;
  return PyModule_AddStringConstant(module, "implementation", "stacks");
}

static PyModuleDef_Slot native_slots[] = {
  {Py_mod_exec, (void *)native_exec},
#ifdef Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED
  {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
  {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
  {0, NULL},
};

static PyModuleDef native_module = {
  PyModuleDef_HEAD_INIT,
  .m_name = "ecru._native",
  .m_doc = PyDoc_STR("What ecru needs in C. Use the package ecru."),
  .m_methods = native_functions,
  .m_slots = native_slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&native_module); }
