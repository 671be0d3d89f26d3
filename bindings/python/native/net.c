/// native/net.c: dialling, listening, accepting, datagrams, look-ups.
#include "native.h"

enum { RESOLVE_MOST = 64 };

PyObject *ecru_py_address_text(const ecru_address *address) {
  char text[ECRU_ADDRESS_TEXT];
  if (address->bytes <= sizeof(unsigned short)) return PyUnicode_FromString(""); // a Unix socket without a name
  int status = ecru_address_text(address, text, sizeof text);
  return status >= 0 ? PyUnicode_DecodeFSDefault(text) : ecru_py_raise(status);
}

/// Of a call that was given an address. returns: NULL with an exception.
static PyObject *no_use_of(int status, const char *network, const char *where) {
  if (status != ECRU_EINVAL) return ecru_py_raise(status);
  return PyErr_Format(PyExc_ValueError, "%s (%s): an invalid address, or option: an address is host:port, the port 0 to 65535, or a Unix socket's path",
                      where, network);
}

/// returns: 0; -1 with an exception.
static int parse(ecru_address *address, const char *network, PyObject *text) {
  const char *words = PyUnicode_AsUTF8(text);
  if (!words) return -1;
  int status = ecru_address_parse(address, network, words);
  if (status == 0) return 0;
  (void)no_use_of(status, network, words);
  return -1;
}

static PyObject *dial(PyObject *module, PyObject *args, PyObject *names) {
  static char *keywords[] = {"network", "address", "type", "local", NULL};
  const char *network, *where;
  PyObject *given = Py_None, *local_text = Py_None;
  PyTypeObject *type = ecru_py_io_type;
  (void)module;
  if (!PyArg_ParseTupleAndKeywords(args, names, "ss|OO:dial", keywords, &network, &where, &given, &local_text)) return NULL;
  ecru_address local;
  ecru_dial_options options = ECRU_DIAL_OPTIONS;
  if (ecru_py_io_type_of(given, &type) < 0) return NULL;
  if (local_text != Py_None) {
    if (parse(&local, network, local_text) < 0) return NULL;
    options.local = &local;
  }
  ecru_io *io = NULL;
  int status;
  ECRU_PY_WAIT(status, ecru_dial_with(&options, &io, network, where));
  return status == 0 ? ecru_py_io_of(type, io) : no_use_of(status, network, where);
}

static PyObject *listen_at(PyObject *module, PyObject *args, PyObject *names) {
  static char *keywords[] = {"network", "address", "type", "backlog", "reuse_port", "v6_only", "mode", NULL};
  const char *network, *where;
  PyObject *given = Py_None;
  PyTypeObject *type = ecru_py_io_type;
  int backlog = 0, reuse_port = 0, v6_only = 0;
  unsigned mode = 0;
  (void)module;
  if (!PyArg_ParseTupleAndKeywords(args, names, "ss|OippI:listen", keywords, &network, &where, &given, &backlog, &reuse_port, &v6_only, &mode))
    return NULL;
  if (ecru_py_io_type_of(given, &type) < 0) return NULL;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  options.backlog = backlog;
  options.mode = mode;
  options.flags = (reuse_port ? ECRU_LISTEN_REUSE_PORT : 0u) | (v6_only ? ECRU_LISTEN_V6_ONLY : 0u);
  ecru_io *io = NULL;
  int status;
  ECRU_PY_WAIT(status, ecru_listen_with(&options, &io, network, where));
  return status == 0 ? ecru_py_io_of(type, io) : no_use_of(status, network, where);
}

PyObject *ecru_py_io_accept(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"timeout", "type", NULL};
  PyObject *args[2];
  PyTypeObject *type = ecru_py_io_type;
  limit l;
  if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0 || ecru_py_io_type_of(args[1], &type) < 0) return NULL;
  if (ecru_py_begin_limit(&l, args[0]) < 0) return NULL;
  ecru_io *accepted = NULL;
  int status;
  ECRU_PY_WAIT(status, ecru_accept(io->io, &accepted, NULL));
  ecru_py_end_limit(&l);
  return status < 0 ? ecru_py_io_failed(status) : ecru_py_io_of(type, accepted);
}

/// resolve(host, network="ip") -> [str]
static PyObject *resolve(PyObject *module, PyObject *args) {
  const char *host, *network = "ip";
  (void)module;
  if (!PyArg_ParseTuple(args, "s|s:resolve", &host, &network)) return NULL;
  ecru_address *found = PyMem_RawCalloc(RESOLVE_MOST, sizeof *found);
  if (!found) return PyErr_NoMemory();
  int count;
  ECRU_PY_WAIT(count, ecru_resolve(host, network, found, RESOLVE_MOST));
  PyObject *list = count < 0 ? ecru_py_raise(count) : PyList_New(0);
  for (int i = 0; i < count && list; i++) {
    PyObject *text = ecru_py_address_text(&found[i]);
    if (!text || PyList_Append(list, text) < 0) Py_CLEAR(list);
    Py_XDECREF(text);
  }
  PyMem_RawFree(found);
  return list;
}

// ---- datagrams ---------------------------------------------------------------------------------------------------------

static PyObject *receive_from(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  PyObject *timeout;
  Py_ssize_t most = ecru_py_parse_recv(given, count, keywords, &timeout);
  if (most < 0) return NULL;
  PyObject *data = PyBytes_FromStringAndSize(NULL, most);
  limit l;
  if (!data || ecru_py_begin_limit(&l, timeout) < 0) {
    Py_XDECREF(data);
    return NULL;
  }
  ecru_address from = {0};
  int64_t got;
  ECRU_PY_WAIT(got, ecru_receive_from(io->io, PyBytes_AS_STRING(data), (size_t)most, &from));
  ecru_py_end_limit(&l);
  if (got == ECRU_EMSGSIZE) got = most; // a datagram's beginning, as recv_from(2)
  if (got < 0) {
    Py_DECREF(data);
    return ecru_py_io_failed(got);
  }
  if (got != most && _PyBytes_Resize(&data, (Py_ssize_t)got) < 0) return NULL;
  return Py_BuildValue("NN", data, ecru_py_address_text(&from));
}

static PyObject *send_to(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"data", "network", "address", "timeout", NULL};
  PyObject *args[4];
  ecru_address to;
  Py_buffer view;
  limit l;
  if (ecru_py_arguments(args, names, 3, given, count, keywords) < 0) return NULL;
  const char *network = PyUnicode_AsUTF8(args[1]);
  if (!network || parse(&to, network, args[2]) < 0 || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) return NULL;
  if (ecru_py_begin_limit(&l, args[3]) < 0) {
    PyBuffer_Release(&view);
    return NULL;
  }
  int64_t sent;
  ECRU_PY_WAIT(sent, ecru_send_to(io->io, view.buf, (size_t)view.len, &to));
  ecru_py_end_limit(&l);
  PyBuffer_Release(&view);
  return sent < 0 ? ecru_py_io_failed(sent) : PyLong_FromLongLong(sent);
}

static PyMethodDef datagram_methods[] = {
  {"recv_from", (PyCFunction)(void (*)(void))receive_from, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("recv_from(bytes, timeout=None) -> (bytes, str)\n\nOne datagram, or its beginning, and who sent it.")},
  {"send_to", (PyCFunction)(void (*)(void))send_to, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("send_to(data, network, address, timeout=None) -> int\n\nSends one datagram to a literal address.")},
  {NULL, NULL, 0, NULL},
};
static PyType_Slot datagram_slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Datagram(fd, keep_open=False)\n\nA datagram socket.")},
  {Py_tp_methods, datagram_methods},
  {0, NULL},
};
static PyType_Spec datagram_spec = {
  .name = "ecru.DatagramIO", .basicsize = sizeof(IOObject), .slots = datagram_slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

static PyMethodDef functions[] = {
  {"dial", (PyCFunction)(void (*)(void))dial, METH_VARARGS | METH_KEYWORDS, PyDoc_STR("dial(network, address, type=IO, local=None) -> IO\n\nConnects: network \"tcp\", \"udp\", \"unix\" ..., address \"host:port\" or a path; bound to the literal address local first.")},
  {"listen", (PyCFunction)(void (*)(void))listen_at, METH_VARARGS | METH_KEYWORDS, PyDoc_STR("listen(network, address, type=IO, backlog=0, reuse_port=False, v6_only=False, mode=0) -> IO\n\nListens: as dial; port 0 takes a free one. mode: a Unix socket's permissions.")},
  {"resolve", resolve, METH_VARARGS, PyDoc_STR("resolve(host, network=\"ip\") -> [str]\n\nThe host's addresses, the best first, as \"address:0\". network: \"ip\", \"ip4\", \"ip6\".")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_net(PyObject *module) {
  PyObject *type = PyType_FromSpecWithBases(&datagram_spec, (PyObject *)ecru_py_io_type);
  int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
  Py_XDECREF(type);
  return status < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
