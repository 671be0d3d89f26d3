/// native/stream.c: connections that are read by line, by length or up to a separator.
///
/// Bytes that came with those asked for are kept ahead[begin..end) for the next read of any kind. What an unsuccessful read (end of input,
/// deadline, cancellation) has found stays there, too: nothing gets lost. One goroutine reads at a time, since the buffer is shared.
#define _GNU_SOURCE // memmem
#include "native.h"

typedef struct StreamObject {
  IOObject base;
  char *ahead;
  size_t begin, end, room;
  bool filling; // somebody waits for more: `ahead` must stay where it is
} StreamObject;

enum { ROOM_FIRST = 4096, ROOM_KEPT = 65536 };
#define NOT_WITHIN INT64_MIN // no status

/// Without a GIL: readers on other threads wait until this one parks or is done. (A method's.)
#define EXCLUSIVE(method)                                                                                               \
  static PyObject *method##_alone(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {      \
    PyObject *result;                                                                                                   \
    Py_BEGIN_CRITICAL_SECTION(s);                                                                                       \
    result = method(s, given, count, keywords);                                                                         \
    Py_END_CRITICAL_SECTION();                                                                                          \
    return result;                                                                                                      \
  }

static int claim(StreamObject *s) {
  if (!s->filling) return 0;
  PyErr_SetString(PyExc_RuntimeError, "another goroutine is reading this stream");
  return -1;
}

/// For a read that may fill more than once: from here on until it waits no Python code runs.
static int begin(StreamObject *s, limit *l, PyObject *timeout) {
  int64_t instant;
  if (ecru_py_instant(timeout, &instant) < 0 || claim(s) < 0) return -1;
  return ecru_py_limit_until(l, instant);
}

static size_t buffered(const StreamObject *s) { return s->end - s->begin; }

/// Makes room for `more` bytes after end. returns: 0; ECRU_ENOMEM.
static int make_room(StreamObject *s, size_t more) {
  size_t have = buffered(s);
  if (s->room - s->end >= more) return 0;
  if (s->begin > 0) {
    memmove(s->ahead, s->ahead + s->begin, have);
    s->begin = 0;
    s->end = have;
    if (s->room - have >= more) return 0;
  }
  if (more > (size_t)PY_SSIZE_T_MAX - have) return ECRU_ENOMEM;
  size_t room = s->room * 2 > have + more ? s->room * 2 : have + more;
  if (room < ROOM_FIRST) room = ROOM_FIRST;
  char *larger = PyMem_RawRealloc(s->ahead, room);
  if (!larger) return ECRU_ENOMEM;
  s->ahead = larger;
  s->room = room;
  return 0;
}

/// Reads once, at least `least` bytes of room given. returns: how many came; 0 the end; a status.
static int64_t fill(StreamObject *s, size_t least) {
  int64_t got = make_room(s, least);
  if (got < 0) return got;
  s->filling = true;
  ECRU_PY_WAIT(got, ecru_io_read(s->base.io, s->ahead + s->end, s->room - s->end));
  s->filling = false;
  if (got > 0) s->end += (size_t)got;
  return got;
}

static void consume(StreamObject *s, size_t bytes) {
  s->begin += bytes;
  if (s->begin < s->end) return;
  s->begin = s->end = 0;
  if (s->room <= ROOM_KEPT) return;
  PyMem_RawFree(s->ahead);
  s->ahead = NULL;
  s->room = 0;
}

static PyObject *take(StreamObject *s, size_t bytes) {
  PyObject *data = PyBytes_FromStringAndSize(s->ahead ? s->ahead + s->begin : "", (Py_ssize_t)bytes);
  if (data) consume(s, bytes);
  return data;
}

static PyObject *recv_some(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  if (claim(s) < 0) return NULL;
  if (s->begin == s->end) return ecru_py_io_recv(&s->base, given, count, keywords);
  PyObject *timeout; // none is needed
  Py_ssize_t most = ecru_py_parse_recv(given, count, keywords, &timeout);
  if (most < 0) return NULL;
  return take(s, (size_t)most < buffered(s) ? (size_t)most : buffered(s));
}

static PyObject *recv_into(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  if (claim(s) < 0) return NULL;
  if (s->begin == s->end) return ecru_py_io_recv_into(&s->base, given, count, keywords);
  PyObject *timeout; // none is needed
  Py_buffer view;
  if (ecru_py_parse_recv_into(given, count, keywords, &view, &timeout) < 0) return NULL;
  size_t bytes = (size_t)view.len < buffered(s) ? (size_t)view.len : buffered(s);
  memcpy(view.buf, s->ahead + s->begin, bytes);
  consume(s, bytes);
  PyBuffer_Release(&view);
  return PyLong_FromSize_t(bytes);
}

/// Ends a read that found less than it was to. got: 0 the end of input, or a status.
static PyObject *fail(const limit *l, int64_t got, const char *what) {
  ecru_py_end_limit(l);
  if (got < 0) return ecru_py_io_failed(got);
  PyErr_Format(PyExc_EOFError, "the stream ended before %s", what);
  return NULL;
}
static PyObject *succeed(StreamObject *s, const limit *l, size_t bytes) {
  ecru_py_end_limit(l);
  return take(s, bytes);
}

static PyObject *read_exactly(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"bytes", "timeout", NULL};
  PyObject *args[2];
  limit l;
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return NULL;
  Py_ssize_t wanted = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  if (wanted == -1 && PyErr_Occurred()) return NULL;
  if (wanted < 0) return PyErr_SetString(PyExc_ValueError, "read_exactly: fewer bytes than none"), NULL;
  if (begin(s, &l, args[1]) < 0) return NULL;
  while (buffered(s) < (size_t)wanted) {
    int64_t got = fill(s, (size_t)wanted - buffered(s));
    if (got <= 0) return fail(&l, got, "so many bytes had come");
  }
  return succeed(s, &l, (size_t)wanted);
}

/// Reads until `separator` is there. returns: bytes up to and with it (> 0); 0 the end of input; NOT_WITHIN: there are `most` bytes without it; else a status.
static int64_t find(StreamObject *s, const char *separator, size_t length, size_t most) {
  for (size_t searched = 0;;) {
    size_t have = buffered(s), limited = have < most ? have : most;
    const char *from = s->ahead + s->begin;
    const char *found = limited >= length ? memmem(from + searched, limited - searched, separator, length) : NULL;
    if (found) return found - from + (int64_t)length;
    if (have >= most) return NOT_WITHIN;
    searched = limited >= length ? limited - length + 1 : 0;
    int64_t got = fill(s, 1);
    if (got <= 0) return got;
  }
}

static PyObject *too_long(const limit *l, size_t most) {
  ecru_py_end_limit(l);
  PyErr_Format(PyExc_ValueError, "no separator within %zu bytes", most);
  return NULL;
}

static PyObject *read_until(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"separator", "most", "timeout", NULL};
  PyObject *args[3];
  char *separator;
  Py_ssize_t length, most = 65536;
  limit l;
  if (ecru_py_arguments(args, names, 1, given, count, keywords) < 0) return NULL;
  if (PyBytes_AsStringAndSize(args[0], &separator, &length) < 0) return NULL;
  if (args[1]) most = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
  if (most == -1 && PyErr_Occurred()) return NULL;
  if (length < 1 || most < length) return PyErr_SetString(PyExc_ValueError, "read_until: an empty separator, or one longer than the limit"), NULL;
  if (begin(s, &l, args[2]) < 0) return NULL;
  int64_t found = find(s, separator, (size_t)length, (size_t)most);
  if (found > 0) return succeed(s, &l, (size_t)found);
  if (found == NOT_WITHIN) return too_long(&l, (size_t)most);
  if (found == 0 && s->begin == s->end) return succeed(s, &l, 0);
  return fail(&l, found, "the separator came");
}

static PyObject *read_line(StreamObject *s, PyObject *const *given, Py_ssize_t count, PyObject *keywords) {
  static const char *const names[] = {"most", "timeout", NULL};
  PyObject *args[2];
  limit l;
  if (ecru_py_arguments(args, names, 0, given, count, keywords) < 0) return NULL;
  Py_ssize_t most = args[0] && args[0] != Py_None ? PyNumber_AsSsize_t(args[0], PyExc_OverflowError) : -1;
  if (most == -1 && PyErr_Occurred()) return NULL;
  if (most == 0) return PyBytes_FromStringAndSize(NULL, 0);
  if (begin(s, &l, args[1]) < 0) return NULL;
  int64_t found = find(s, "\n", 1, most < 0 ? SIZE_MAX : (size_t)most);
  if (found == NOT_WITHIN) found = most;
  if (found < 0) return fail(&l, found, "");
  return succeed(s, &l, found > 0 ? (size_t)found : buffered(s));
}

EXCLUSIVE(recv_some)
EXCLUSIVE(recv_into)
EXCLUSIVE(read_exactly)
EXCLUSIVE(read_until)
EXCLUSIVE(read_line)

static PyObject *get_buffered(StreamObject *s, void *unused) {
  (void)unused;
  size_t bytes;
  Py_BEGIN_CRITICAL_SECTION(s);
  bytes = buffered(s);
  Py_END_CRITICAL_SECTION();
  return PyLong_FromSize_t(bytes);
}

static void stream_dealloc(StreamObject *s) {
  PyMem_RawFree(s->ahead);
  ecru_py_io_type->tp_dealloc((PyObject *)s);
}

static PyMethodDef methods[] = {
  {"recv", (PyCFunction)(void (*)(void))recv_some_alone, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("recv(bytes, timeout=None) -> bytes\n\nWhat is there, at least one byte; b\"\" at the end.")},
  {"recv_into", (PyCFunction)(void (*)(void))recv_into_alone, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("recv_into(buffer, bytes=0, timeout=None) -> int\n\nAs recv; 0 at the end.")},
  {"read_exactly", (PyCFunction)(void (*)(void))read_exactly_alone, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("read_exactly(bytes, timeout=None) -> bytes\n\nSo many. EOFError: the stream ends before; what came stays to be read.")},
  {"read_until", (PyCFunction)(void (*)(void))read_until_alone, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("read_until(separator, most=65536, timeout=None) -> bytes\n\nEverything up to the separator, with it; b\"\" at the end. EOFError: the stream ends before it; ValueError: it is not within `most` bytes.")},
  {"read_line", (PyCFunction)(void (*)(void))read_line_alone, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("read_line(most=None, timeout=None) -> bytes\n\nA line with its \\n; without it if it is longer than `most` bytes or the stream ends; b\"\" at the end.")},
  {NULL, NULL, 0, NULL},
};
static PyGetSetDef properties[] = {
  {"buffered", (getter)get_buffered, NULL, PyDoc_STR("bytes that have been received and not been read"), NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot slots[] = {
  {Py_tp_doc, (void *)PyDoc_STR("Stream(fd, keep_open=False)\n\nAn IO that can be read by line, by length, up to a separator.")},
  {Py_tp_dealloc, (void *)stream_dealloc},
  {Py_tp_methods, methods},
  {Py_tp_getset, properties},
  {0, NULL},
};
static PyType_Spec spec = {.name = "ecru.Stream", .basicsize = sizeof(StreamObject), .slots = slots, .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE};

int ecru_py_add_stream(PyObject *module) {
  PyObject *type = PyType_FromSpecWithBases(&spec, (PyObject *)ecru_py_io_type);
  int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
  Py_XDECREF(type);
  return status;
}
