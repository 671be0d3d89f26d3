/// native/io.c: descriptors that park only their goroutine.
#include "native.h"

PyTypeObject *ecru_py_io_type;

PyObject *ecru_py_io_of(PyTypeObject *type, ecru_io *handle) {
  IOObject *io = (IOObject *)type->tp_alloc(type, 0);
  if (!io) {
    ecru_io_release(handle);
    return NULL;
  }
  io->io = handle;
  return (PyObject *)io;
}

int ecru_py_io_type_of(PyObject *given, PyTypeObject **type) {
  if (!given || given == Py_None) return 0;
  bool good = PyType_Check(given) && PyType_IsSubtype((PyTypeObject *)given, *type);
  if (good) *type = (PyTypeObject *)given;
  else PyErr_Format(PyExc_TypeError, "type: %s or a subclass of it", (*type)->tp_name);
  return good ? 0 : -1;
}

int ecru_py_arguments(PyObject **out, const char *const *names, Py_ssize_t required, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  Py_ssize_t most = 0, named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  for (; names[most]; most++) out[most] = most < count ? args[most] : NULL;
  if (count > most) return PyErr_Format(PyExc_TypeError, "%zd arguments given, %zd at most", count, most), -1;
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *name = PyTuple_GET_ITEM(keywords, i);
    Py_ssize_t at = 0;
    while (names[at] && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) at++;
    if (!names[at]) return PyErr_Format(PyExc_TypeError, "no argument is called %R", name), -1;
    if (out[at]) return PyErr_Format(PyExc_TypeError, "argument %R given twice", name), -1;
    out[at] = args[count + i];
  }
  for (Py_ssize_t i = 0; i < required; i++)
    if (!out[i]) return PyErr_Format(PyExc_TypeError, "argument '%s' is missing", names[i]), -1;
  return 0;
}

static PyObject *io_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *keywords[] = {"fd", "keep_open", NULL};
  int fd, keep_open = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|p:IO", keywords, &fd, &keep_open)) return NULL;
  IOObject *io = (IOObject *)type->tp_alloc(type, 0);
  if (!io) return NULL;
  (void)ecru_py_give_up_stale(fd);
  int status = ecru_io_adopt(&io->io, fd, keep_open ? ECRU_IO_KEEP_OPEN : 0u);
  if (status == 0) return (PyObject *)io;
  io->io = NULL;
  Py_DECREF(io);
  return ecru_py_raise(status);
}

static void io_dealloc(IOObject *io) {
  PyTypeObject *type = Py_TYPE(io);
  ecru_io_release(io->io);
  type->tp_free(io);
  Py_DECREF(type);
}

int ecru_py_begin_limit(limit *l, PyObject *timeout) {
  int64_t instant;
  return ecru_py_instant(timeout, &instant) < 0 ? -1 : ecru_py_limit_until(l, instant);
}
int ecru_py_limit_until(limit *l, int64_t instant) {
  l->entered = instant != ECRU_FOREVER;
  if (!l->entered) return 0;
  (void)ecru_py_waits_here(); // the first has a token of its own
  int status = ecru_deadline_enter(instant);
  if (status != 0) ecru_py_raise(status);
  return status == 0 ? 0 : -1;
}
void ecru_py_end_limit(const limit *l) {
  if (l->entered) (void)ecru_token_leave();
}
PyObject *ecru_py_io_failed(int64_t status) {
  if (status != ECRU_ETIMEDOUT || ecru_check() != 0) return ecru_py_raise((int)status);
  return PyErr_SetString(PyExc_TimeoutError, "timed out"), NULL;
}

Py_ssize_t ecru_py_parse_recv(PyObject *const *given, Py_ssize_t count, PyObject *keywords, PyObject **timeout) {
  static const char *const names[] = {"bytes", "timeout", NULL};
  PyObject *args[2];
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return -1;
  *timeout = args[1];
  Py_ssize_t most = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  if (most < 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
  return most < 0 ? -1 : most;
}

PyObject *ecru_py_io_recv(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  PyObject *timeout;
  Py_ssize_t most = ecru_py_parse_recv(given, count, keywords, &timeout);
  if (most < 0) return NULL;
  limit l;
  if (ecru_py_begin_limit(&l, timeout) < 0) return NULL;
  PyObject *own;
  bool little = most <= ECRU_PY_READ_BYTES && !atomic_load_explicit(&io->much, memory_order_relaxed);
  char *room = ecru_py_room_for(most, little, &own);
  int64_t got = ECRU_EINTR; // an exception is set
  if (room) ECRU_PY_WAIT(got, ecru_io_read(io->io, room, (size_t)most));
  if (got == ECRU_EMSGSIZE) got = most; // a datagram's beginning, as recv(2)
  if (got >= 0) atomic_store_explicit(&io->much, got >= ECRU_PY_LITTLE_BYTES, memory_order_relaxed);
  PyObject *data = ecru_py_received(room, most, own, got);
  ecru_py_end_limit(&l);
  return got < 0 ? ecru_py_io_failed(got) : data;
}

int ecru_py_parse_recv_into(PyObject *const *given, Py_ssize_t count, PyObject *keywords, Py_buffer *view, PyObject **timeout) {
  static const char *const names[] = {"buffer", "bytes", "timeout", NULL};
  PyObject *args[3];
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return -1;
  *timeout = args[2];
  Py_ssize_t most = args[1] ? PyNumber_AsSsize_t(args[1], PyExc_OverflowError) : 0;
  if (most == -1 && PyErr_Occurred()) return -1;
  if (most < 0) return PyErr_SetString(PyExc_ValueError, "negative buffersize in recv_into"), -1;
  if (PyObject_GetBuffer(args[0], view, PyBUF_WRITABLE) < 0) return -1;
  if (most > 0 && most <= view->len) view->len = most;
  if (most <= view->len) return 0;
  PyBuffer_Release(view);
  return PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes"), -1;
}

PyObject *ecru_py_io_recv_into(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  PyObject *timeout;
  Py_buffer view;
  limit l;
  if (ecru_py_parse_recv_into(given, count, keywords, &view, &timeout) < 0) return NULL;
  Py_ssize_t most = view.len;
  if (ecru_py_begin_limit(&l, timeout) < 0) {
    PyBuffer_Release(&view);
    return NULL;
  }
  int64_t got;
  ECRU_PY_WAIT(got, ecru_io_read(io->io, view.buf, (size_t)most));
  ecru_py_end_limit(&l);
  PyBuffer_Release(&view);
  if (got == ECRU_EMSGSIZE) got = most;
  return got < 0 ? ecru_py_io_failed(got) : PyLong_FromLongLong(got);
}

/// After a signal it goes on from where it stopped.
static int64_t write_on(ecru_io *io, const char **rest, size_t *left) {
  size_t written = 0;
  int64_t status = ecru_io_write(io, *rest, *left, &written);
  *rest += written;
  *left -= written;
  return status;
}

/// all: until everything is written; else what one write takes.
static PyObject *write_out(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords, bool all) {
  static const char *const names[] = {"data", "timeout", NULL};
  PyObject *args[2];
  Py_buffer view;
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return NULL;
  if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) return NULL;
  limit l;
  if (ecru_py_begin_limit(&l, args[1]) < 0) {
    PyBuffer_Release(&view);
    return NULL;
  }
  int64_t sent;
  if (all) {
    const char *rest = view.buf;
    size_t left = (size_t)view.len;
    ECRU_PY_WAIT(sent, write_on(io->io, &rest, &left));
  } else {
    while ((sent = ecru_io_try_write(io->io, view.buf, (size_t)view.len)) == ECRU_EAGAIN) {
      int ready;
      ECRU_PY_WAIT(ready, ecru_io_wait(io->io, ECRU_IO_WRITE));
      if (ready < 0) {
        sent = ready;
        break;
      }
    }
  }
  ecru_py_end_limit(&l);
  PyBuffer_Release(&view);
  if (sent < 0) return ecru_py_io_failed(sent);
  return all ? Py_NewRef(Py_None) : PyLong_FromLongLong(sent);
}
static PyObject *io_send(IOObject *io, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  return write_out(io, args, count, keywords, false);
}
static PyObject *io_sendall(IOObject *io, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
  return write_out(io, args, count, keywords, true);
}

static int directions_of(PyObject *text) {
  const char *word = PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : NULL;
  if (word && strcmp(word, "r") == 0) return ECRU_IO_READ;
  if (word && strcmp(word, "w") == 0) return ECRU_IO_WRITE;
  if (word && strcmp(word, "rw") == 0) return ECRU_IO_READ | ECRU_IO_WRITE;
  if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "directions: \"r\", \"w\" or \"rw\"");
  return -1;
}
static PyObject *text_of(int directions) {
  static const char *const words[] = {"", "r", "w", "rw"};
  return PyUnicode_FromString(words[directions & 3]);
}

static PyObject *io_wait(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"directions", "timeout", NULL};
  PyObject *args[2];
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return NULL;
  int directions = directions_of(args[0]), status;
  limit l;
  if (directions < 0 || ecru_py_begin_limit(&l, args[1]) < 0) return NULL;
  ECRU_PY_WAIT(status, ecru_io_wait(io->io, (unsigned)directions));
  ecru_py_end_limit(&l);
  return status < 0 ? ecru_py_io_failed(status) : text_of(status);
}

static PyObject *io_close(IOObject *io, PyObject *unused) {
  (void)unused;
  int status = 0;
  if (io->io) {
    if (ecru_py_waits_here()) {
      status = ecru_io_close(io->io);
    } else {
      Py_BEGIN_ALLOW_THREADS status = ecru_io_close(io->io); Py_END_ALLOW_THREADS
    }
  }
  if (status == 0 || status == ECRU_ECLOSED) Py_RETURN_NONE;
  return ecru_py_raise(status);
}

static PyObject *io_fileno(IOObject *io, PyObject *unused) {
  (void)unused;
  intptr_t fd = ecru_io_descriptor(io->io);
  return PyLong_FromLong(fd < 0 ? -1 : (long)fd);
}

static PyObject *io_shutdown(IOObject *io, PyObject *how) {
  int directions = directions_of(how);
  if (directions < 0) return NULL;
  int status = ecru_io_shutdown(io->io, (unsigned)directions);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *io_set_deadline(IOObject *io, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"timeout", "directions", NULL};
  PyObject *args[2];
  int64_t instant;
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0 || ecru_py_instant(args[0], &instant) < 0) return NULL;
  int directions = args[1] ? directions_of(args[1]) : ECRU_IO_READ | ECRU_IO_WRITE;
  if (directions < 0) return NULL;
  int status = ecru_io_set_deadline(io->io, (unsigned)directions, instant);
  return status == 0 ? Py_NewRef(Py_None) : ecru_py_raise(status);
}

static PyObject *io_local(IOObject *io, PyObject *unused) {
  (void)unused;
  ecru_address found = {0};
  int status = ecru_io_local(io->io, &found);
  return status == 0 ? ecru_py_address_text(&found) : ecru_py_raise(status);
}
static PyObject *io_peer(IOObject *io, PyObject *unused) {
  (void)unused;
  ecru_address found = {0};
  int status = ecru_io_peer(io->io, &found);
  return status == 0 ? ecru_py_address_text(&found) : ecru_py_raise(status);
}

static PyMethodDef methods[] = {
  {"recv", (PyCFunction)(void (*)(void))ecru_py_io_recv, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("recv(bytes, timeout=None) -> bytes\n\nWhat is there, at least one byte; b\"\" at the end.")},
  {"recv_into", (PyCFunction)(void (*)(void))ecru_py_io_recv_into, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("recv_into(buffer, bytes=0, timeout=None) -> int\n\nAs recv; 0 at the end.")},
  {"send", (PyCFunction)(void (*)(void))io_send, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("send(data, timeout=None) -> int\n\nWhat fits, at least one byte.")},
  {"sendall", (PyCFunction)(void (*)(void))io_sendall, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("sendall(data, timeout=None) -> None\n\nAll of it; no other sendall interleaves.")},
  {"wait", (PyCFunction)(void (*)(void))io_wait, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("wait(directions, timeout=None) -> str\n\nParks until \"r\", \"w\" or one of \"rw\" is ready; which.")},
  {"accept", (PyCFunction)(void (*)(void))ecru_py_io_accept, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("accept(timeout=None, type=IO) -> IO\n\nThe next connection of a listener, as that type.")},
  {"set_deadline", (PyCFunction)(void (*)(void))io_set_deadline, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("set_deadline(timeout, directions=\"rw\") -> None\n\nTimeout seconds from now on, calls in these directions raise TimeoutError, those under way too. None: never.")},
  {"close", (PyCFunction)io_close, METH_NOARGS, PyDoc_STR("close() -> None\n\nWhoever waits for it is raised Closed. Idempotent.")},
  {"fileno", (PyCFunction)io_fileno, METH_NOARGS, PyDoc_STR("fileno() -> int\n\nThe descriptor; -1 once closed.")},
  {"shutdown", (PyCFunction)io_shutdown, METH_O, PyDoc_STR("shutdown(directions) -> None\n\nEnds \"r\", \"w\" or \"rw\" of a connection.")},
  {"local", (PyCFunction)io_local, METH_NOARGS, PyDoc_STR("local() -> str\n\nThe own address, as \"host:port\" or a path.")},
  {"peer", (PyCFunction)io_peer, METH_NOARGS, PyDoc_STR("peer() -> str\n\nThe other side's address.")},
  {NULL, NULL, 0, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("IO(fd, keep_open=False)\n\nA descriptor that parks only its goroutine. keep_open: closing it leaves fd open.\nA timeout, in seconds, raises TimeoutError.")},
  {Py_tp_new, (void *)io_new},
  {Py_tp_dealloc, (void *)io_dealloc},
  {Py_tp_methods, methods},
  {0, NULL},
};
static PyType_Spec spec = {.name = "ecru.IO", .basicsize = sizeof(IOObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE};

static PyObject *wait_fd(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  (void)module;
  if (count < 2 || count > 3) return PyErr_SetString(PyExc_TypeError, "wait_fd(fd, directions, timeout=None)"), NULL;
  int fd = PyObject_AsFileDescriptor(args[0]), directions = fd < 0 ? -1 : directions_of(args[1]), status;
  int64_t instant;
  if (directions < 0 || ecru_py_instant(count > 2 ? args[2] : NULL, &instant) < 0) return NULL;
  ecru_fd_event event = {.descriptor = fd, .wanted = (unsigned)directions};
  (void)ecru_py_give_up_stale(fd);
  if (ecru_py_forked()) status = ecru_py_wait_forked(&event, 1, instant);
  else ECRU_PY_WAIT(status, ecru_wait_fds(&event, 1, instant));
  return status < 0 ? ecru_py_raise(status) : text_of(status == 0 ? 0 : (int)event.ready);
}

static int take_event(ecru_fd_event *event, PyObject *given) {
  if (!PyTuple_Check(given)) return PyErr_Format(PyExc_TypeError, "(fd, directions) is needed, not %R", given), -1;
  int fd;
  PyObject *word;
  int directions = PyArg_ParseTuple(given, "iU", &fd, &word) ? directions_of(word) : -1;
  if (directions < 0) return -1;
  (void)ecru_py_give_up_stale(fd);
  *event = (ecru_fd_event){.descriptor = fd, .wanted = (unsigned)directions};
  return 0;
}

/// wait_fds([(fd, directions)], timeout) -> [(fd, directions)] of those that are ready.
static PyObject *wait_fds(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *given, *timeout = Py_None;
  if (!PyArg_ParseTuple(args, "O|O:wait_fds", &given, &timeout)) return NULL;
  int64_t instant;
  if (ecru_py_instant(timeout, &instant) < 0) return NULL;
  PyObject *list = PySequence_Tuple(given); // nobody changes it meanwhile
  if (!list) return NULL;
  Py_ssize_t count = PyTuple_GET_SIZE(list);
  ecru_fd_event *events = PyMem_Calloc((size_t)(count ? count : 1), sizeof *events);
  PyObject *found = events ? PyList_New(0) : PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < count && found; i++) {
    if (take_event(&events[i], PyTuple_GET_ITEM(list, i)) < 0) Py_CLEAR(found);
  }
  int status = 0;
  if (found && count == 0 && !ecru_py_forked()) ECRU_PY_WAIT(status, ecru_sleep_until(instant));
  else if (found && ecru_py_forked()) status = ecru_py_wait_forked(events, (size_t)count, instant);
  else if (found) ECRU_PY_WAIT(status, ecru_wait_fds(events, (size_t)count, instant));
  if (found && status < 0) {
    Py_CLEAR(found);
    ecru_py_raise(status);
  }
  for (Py_ssize_t i = 0; i < count && found && status > 0; i++) {
    if (!events[i].ready) continue;
    PyObject *pair = Py_BuildValue("iN", (int)events[i].descriptor, text_of((int)events[i].ready));
    if (!pair || PyList_Append(found, pair) < 0) Py_CLEAR(found);
    Py_XDECREF(pair);
  }
  PyMem_Free(events);
  Py_DECREF(list);
  return found;
}

static PyObject *forget_fd(PyObject *module, PyObject *descriptor) {
  (void)module;
  long fd = PyLong_AsLong(descriptor);
  if (fd == -1 && PyErr_Occurred()) return NULL;
  (void)ecru_forget_fd(fd);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
  {"wait_fd", (PyCFunction)(void (*)(void))wait_fd, METH_FASTCALL, PyDoc_STR("wait_fd(fd, directions, timeout=None) -> str\n\nParks until a foreign descriptor is ready: \"r\", \"w\", \"rw\"; \"\": not in time.")},
  {"wait_fds", wait_fds, METH_VARARGS, PyDoc_STR("wait_fds([(fd, directions)], timeout=None) -> [(fd, directions)]\n\nThe same for several; those that are ready.")},
  {"forget_fd", forget_fd, METH_O, PyDoc_STR("forget_fd(fd) -> None\n\nIt is about to be closed: who waits for it gets OSError (EBADF).")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_io(PyObject *module) {
  ecru_py_io_type = (PyTypeObject *)PyType_FromSpec(&spec);
  if (!ecru_py_io_type || PyModule_AddType(module, ecru_py_io_type) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
