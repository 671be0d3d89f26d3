/// native/socket.c: operations on the descriptor of a socket object, for ecru.patch.
///
/// The descriptor stays the socket object's. Every operation is first tried at once (MSG_DONTWAIT); one that has to wait does so through a handle
/// kept for the descriptor, registered with the poller once, which makes the descriptor non-blocking. Numbers are reused: who makes a socket object says
/// so (socket_begin), and who closes one (socket_end). What closes it in C does not: a handle whose descriptor is another file by now is given up
/// when a new socket object or somebody without one comes with its number.
/// Without a handle to be had (somebody else has one), or in a forked child (where the runtime does not run), descriptors are waited for without.
///
/// The table is guarded by the GIL, or places_lock.
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef struct place { ecru_io *io; dev_t device; ino_t inode; } place;
static ecru_py_mutex places_lock;
static place *places;
static int places_count;

enum { IN_A_ROW_MAX = 64 }; // operations before others have their turn

// ---- handles -----------------------------------------------------------------------------------------------------------

static bool make_room(int fd) {
  if (fd < places_count) return true;
  int count = fd < 1024 ? 1024 : fd * 2;
  place *larger = PyMem_RawRealloc(places, (size_t)count * sizeof *places);
  if (!larger) return false;
  memset(larger + places_count, 0, (size_t)(count - places_count) * sizeof *places);
  places = larger;
  places_count = count;
  return true;
}

static ecru_io *find(int fd) { return fd >= 0 && fd < places_count ? ecru_io_retain(places[fd].io) : NULL; }
/// With a reference for the caller, as what follows.
static ecru_io *known(int fd) {
  ecru_py_lock(&places_lock);
  ecru_io *io = find(fd);
  ecru_py_unlock(&places_lock);
  return io;
}

static bool is_kept(int fd) {
  ecru_py_lock(&places_lock);
  bool kept = fd >= 0 && fd < places_count && places[fd].io;
  ecru_py_unlock(&places_lock);
  return kept;
}

static ecru_io *adopt(int fd) {
  struct stat about;
  ecru_io *io;
  if (fd < 0 || fstat(fd, &about) != 0 || !make_room(fd)) return NULL;
  if (ecru_io_adopt(&io, fd, ECRU_IO_KEEP_OPEN) != 0) return NULL;
  places[fd] = (place){io, about.st_dev, about.st_ino};
  return ecru_io_retain(io);
}
/// NULL: there can be none.
static ecru_io *handle_of(int fd) {
  ecru_py_lock(&places_lock);
  ecru_io *io = find(fd);
  if (!io) io = adopt(fd);
  ecru_py_unlock(&places_lock);
  return io;
}

/// Takes the table's out of it, if it is another file's than the given one.
static ecru_io *take_out(int fd, const struct stat *about) {
  ecru_py_lock(&places_lock);
  place *p = fd >= 0 && fd < places_count ? &places[fd] : NULL;
  bool same = p && about && about->st_dev == p->device && about->st_ino == p->inode;
  ecru_io *io = p && !same ? p->io : NULL;
  if (io) p->io = NULL;
  ecru_py_unlock(&places_lock);
  return io;
}

/// Those who wait for it leave first; on other threads they need the GIL for it.
static void give_up(ecru_io *io) {
  if (ecru_py_forked()) return; // it is the parent's
  if (ecru_py_home()) {
    (void)ecru_io_close(io);
  } else {
    Py_BEGIN_ALLOW_THREADS (void)ecru_io_close(io); Py_END_ALLOW_THREADS
  }
  ecru_io_release(io);
}

bool ecru_py_give_up_stale(int fd) {
  struct stat about;
  ecru_io *stale = is_kept(fd) ? take_out(fd, fstat(fd, &about) == 0 ? &about : NULL) : NULL;
  if (!stale) return false;
  int flags = fcntl(fd, F_GETFL);
  give_up(stale); // makes blocking what it had made non-blocking
  if (flags >= 0) (void)fcntl(fd, F_SETFL, flags);
  return true;
}

// ---- arguments ---------------------------------------------------------------------------------------------------------

/// returns: 0; -1 with an exception.
static int parse_int(PyObject *number, int *out) {
  long value = PyLong_AsLong(number);
  if (value == -1 && PyErr_Occurred()) return -1;
  if (value < INT_MIN || value > INT_MAX) return PyErr_SetString(PyExc_OverflowError, "Python int too large to convert to C int"), -1;
  *out = (int)value;
  return 0;
}

static int parse_size(PyObject *number, Py_ssize_t *out) {
  *out = PyNumber_AsSsize_t(number, PyExc_OverflowError);
  return *out == -1 && PyErr_Occurred() ? -1 : 0;
}

/// Only ecru.patch calls these.
static bool has_all(Py_ssize_t count, Py_ssize_t wanted) {
  if (count != wanted) PyErr_Format(PyExc_TypeError, "%zd arguments given, %zd wanted", count, wanted);
  return count == wanted;
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

typedef struct patience {
  bool polls;      ///< it must not wait at all
  int64_t instant; ///< until when; ECRU_FOREVER
} patience;

static int parse_patience(patience *l, PyObject *timeout, int flags) {
  *l = (patience){timeout == Py_None && flags & MSG_DONTWAIT, ECRU_FOREVER};
  if (timeout == Py_None) return 0;
  double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred()) return -1;
  l->polls = seconds == 0;
  return l->polls || seconds < 0 ? 0 : ecru_py_instant(timeout, &l->instant);
}

static PyObject *raise_errno(int error) {
  errno = error;
  return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *raise_status(const patience *l, int64_t status) {
  bool late = status == ECRU_EAGAIN && !l->polls, ended = (status == ECRU_ECANCELED || status == ECRU_ETIMEDOUT) && ecru_check() != 0;
  if (late) return PyErr_SetString(PyExc_TimeoutError, "timed out"), NULL;
  if (status == ECRU_ECLOSED) return raise_errno(EBADF); // by another goroutine
  return ended || status == ECRU_EINTR || status <= -200 ? ecru_py_raise((int)status) : raise_errno((int)-status);
}

/// A scope with the deadline, if there is one.
static int enter_deadline(const patience *l) { return l->instant == ECRU_FOREVER ? 0 : ecru_deadline_enter(l->instant); }

/// returns: status; ECRU_EAGAIN if it was this deadline.
static int64_t leave_deadline(const patience *l, int64_t status) {
  if (l->instant == ECRU_FOREVER) return status;
  ecru_token *mine = ecru_token_current();
  bool expired = status == ECRU_ETIMEDOUT && ecru_token_origin(mine) == ecru_token_id(mine);
  (void)ecru_token_leave();
  return expired ? ECRU_EAGAIN : status;
}

static int wait_without_handle(int fd, unsigned direction, const patience *l) {
  ecru_fd_event event = {.descriptor = fd, .wanted = direction};
  int status;
  if (ecru_py_forked()) status = ecru_py_wait_forked(&event, 1, l->instant);
  else ECRU_PY_WAIT(status, ecru_wait_fds(&event, 1, l->instant));
  return status == 0 ? ECRU_EAGAIN : status < 0 ? status : 0;
}

/// returns: 0; ECRU_EAGAIN the time is up; ECRU_E* (with ECRU_EINTR an exception is set).
static int wait_ready(int fd, unsigned direction, const patience *l) {
  (void)ecru_py_waits_here(); // before there is a token
  ecru_io *io = ecru_py_forked() ? NULL : handle_of(fd);
  if (!io) return wait_without_handle(fd, direction, l);
  int64_t status = enter_deadline(l);
  if (status == 0) {
    ECRU_PY_WAIT(status, ecru_io_wait(io, direction));
    status = leave_deadline(l, status);
  }
  ecru_io_release(io);
  return status < 0 ? (int)status : 0;
}

/// A loop of operations that never have to wait would keep the others out. returns: 0; ECRU_EINTR with an exception.
static int64_t let_others(const patience *l) {
  static _Atomic int in_a_row; // relaxed: a count lost to another thread's does not matter
  if (l->polls) return 0;
  int count = atomic_load_explicit(&in_a_row, memory_order_relaxed) + 1;
  bool enough = count >= IN_A_ROW_MAX && ecru_py_home() && !ecru_py_forked() && !ecru_py_in_greenlet();
  atomic_store_explicit(&in_a_row, enough ? 0 : count, memory_order_relaxed);
  if (!enough) return 0;
  int status;
  ECRU_PY_WAIT(status, ecru_yield());
  return status;
}

// ---- receiving ---------------------------------------------------------------------------------------------------------

/// The handle knows what its last try has found, and asks again only after an event.
static int64_t receive_by_handle(ecru_io *io, void *buffer, size_t most, const patience *l) {
  int64_t got = ecru_io_try_read(io, buffer, most);
  if (got == ECRU_EAGAIN && (got = enter_deadline(l)) == 0) {
    ECRU_PY_WAIT(got, ecru_io_read(io, buffer, most));
    got = leave_deadline(l, got);
  }
  return got == ECRU_EMSGSIZE ? (int64_t)most : got; // a datagram's beginning, as recv(2)
}

static int64_t receive_directly(int fd, void *buffer, size_t most, int flags, const patience *l) {
  for (;;) {
    int64_t got = recv(fd, buffer, most, flags | MSG_DONTWAIT);
    if (got >= 0) return got;
    if (errno != EAGAIN || l->polls) return -errno;
    int status = wait_ready(fd, ECRU_IO_READ, l);
    if (status != 0) return status;
  }
}

/// returns: bytes; ECRU_E* or -errno, ECRU_EAGAIN if the time is up.
static int64_t receive(int fd, void *buffer, size_t most, int flags, const patience *l) {
  int64_t got = let_others(l);
  ecru_io *io = got == 0 && flags == 0 && most > 0 && !l->polls && !ecru_py_forked() ? known(fd) : NULL;
  if (got != 0) return got;
  if (io) {
    got = receive_by_handle(io, buffer, most, l);
    ecru_io_release(io);
    return got;
  }
  return receive_directly(fd, buffer, most, flags, l);
}

static PyObject *socket_recv(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  (void)module;
  int fd, flags;
  Py_ssize_t most;
  patience l;
  if (!has_all(count, 4) || parse_int(args[0], &fd) < 0 || parse_size(args[1], &most) < 0 || parse_int(args[3], &flags) < 0) return NULL;
  if (parse_patience(&l, args[2], flags) < 0) return NULL;
  if (most < 0) return PyErr_SetString(PyExc_ValueError, "negative buffersize in recv"), NULL;
  PyObject *own;
  bool little = most <= ECRU_PY_LITTLE_BYTES && flags == 0; // with MSG_TRUNC more than that is said to have come
  char *room = ecru_py_room_for(most, little, &own);
  if (!room) return NULL;
  int64_t got = receive(fd, room, (size_t)most, flags, &l);
  PyObject *data = ecru_py_received(room, most, own, got);
  return got < 0 ? raise_status(&l, got) : data;
}

static int parse_room(PyObject *buffer, Py_buffer *view) {
  if (PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE) == 0) return 0;
  return PyErr_Format(PyExc_TypeError, "recv_into() argument 1 must be read-write bytes-like object, not %.50s", Py_TYPE(buffer)->tp_name), -1;
}

static PyObject *socket_recv_into(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  (void)module;
  int fd, flags;
  Py_ssize_t most;
  Py_buffer view;
  patience l;
  if (!has_all(count, 5) || parse_int(args[0], &fd) < 0 || parse_size(args[2], &most) < 0 || parse_int(args[4], &flags) < 0) return NULL;
  if (parse_room(args[1], &view) < 0) return NULL;
  const char *wrong = most < 0 ? "negative buffersize in recv_into" : most > view.len ? "buffer too small for requested bytes" : NULL;
  if (wrong) PyErr_SetString(PyExc_ValueError, wrong);
  int64_t got = -1;
  bool good = !wrong && parse_patience(&l, args[3], flags) == 0;
  if (good) got = receive(fd, view.buf, (size_t)(most ? most : view.len), flags, &l);
  PyBuffer_Release(&view);
  return !good ? NULL : got < 0 ? raise_status(&l, got) : PyLong_FromLongLong(got);
}

// ---- sending -----------------------------------------------------------------------------------------------------------

/// What fits, at least one byte of what is not empty. returns: as receive.
static int64_t transmit(int fd, const char *data, size_t bytes, int flags, const patience *l) {
  int64_t sent = let_others(l);
  if (sent != 0) return sent;
  for (;;) {
    sent = send(fd, data, bytes, flags | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno != EAGAIN || l->polls) return -errno;
    int status = wait_ready(fd, ECRU_IO_WRITE, l);
    if (status != 0) return status;
  }
}

static int64_t transmit_all(int fd, const char *data, size_t bytes, int flags, const patience *l) {
  size_t done = 0;
  do {
    int64_t sent = transmit(fd, data + done, bytes - done, flags, l);
    if (sent < 0) return sent;
    done += (size_t)sent;
  } while (done < bytes);
  return 0;
}

static PyObject *send_out(PyObject *const *args, Py_ssize_t count, bool all) {
  int fd, flags;
  Py_buffer view;
  patience l;
  if (!has_all(count, 4) || parse_int(args[0], &fd) < 0 || parse_int(args[3], &flags) < 0) return NULL;
  if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0) return NULL;
  int64_t sent = -1;
  bool good = parse_patience(&l, args[2], flags) == 0;
  if (good) sent = (all ? transmit_all : transmit)(fd, view.buf, (size_t)view.len, flags, &l);
  PyBuffer_Release(&view);
  if (!good) return NULL;
  return sent < 0 ? raise_status(&l, sent) : all ? Py_NewRef(Py_None) : PyLong_FromLongLong(sent);
}
static PyObject *socket_send(PyObject *module, PyObject *const *args, Py_ssize_t count) { return (void)module, send_out(args, count, false); }
static PyObject *socket_sendall(PyObject *module, PyObject *const *args, Py_ssize_t count) { return (void)module, send_out(args, count, true); }

// ---- the rest ----------------------------------------------------------------------------------------------------------

static PyObject *socket_wait(PyObject *module, PyObject *args) {
  (void)module;
  int fd, writes;
  PyObject *timeout;
  patience l;
  if (!PyArg_ParseTuple(args, "ipO:wait", &fd, &writes, &timeout) || parse_patience(&l, timeout, 0) < 0) return NULL;
  int status = l.polls ? ECRU_EAGAIN : wait_ready(fd, writes ? ECRU_IO_WRITE : ECRU_IO_READ, &l);
  return status == 0 ? Py_NewRef(Py_None) : raise_status(&l, status);
}

static int number_of(PyObject *descriptor) {
  long fd = PyLong_AsLong(descriptor);
  return fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

static PyObject *socket_begin(PyObject *module, PyObject *descriptor) {
  (void)module;
  int fd = number_of(descriptor);
  if (fd < 0) return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
  return PyBool_FromLong(ecru_py_give_up_stale(fd));
}

static PyObject *socket_end(PyObject *module, PyObject *descriptor) {
  (void)module;
  long number = PyLong_AsLong(descriptor);
  if (number == -1 && PyErr_Occurred()) return NULL;
  ecru_io *io = take_out(number_of(descriptor), NULL);
  if (io) give_up(io);
  if (!ecru_py_forked()) (void)ecru_forget_fd(number); // who waits for it without
  Py_RETURN_NONE;
}

static PyObject *socket_keep(PyObject *module, PyObject *descriptor) {
  (void)module;
  long fd = PyLong_AsLong(descriptor);
  if (fd == -1 && PyErr_Occurred()) return NULL;
  ecru_io *io = fd < 0 || fd > INT_MAX ? NULL : handle_of((int)fd);
  ecru_io_release(io);
  return PyBool_FromLong(io != NULL);
}

static PyObject *socket_is_kept(PyObject *module, PyObject *descriptor) {
  (void)module;
  int fd = number_of(descriptor);
  return PyErr_Occurred() ? NULL : PyBool_FromLong(is_kept(fd) && !ecru_py_give_up_stale(fd));
}

static PyMethodDef functions[] = {
  {"socket_recv", (PyCFunction)(void (*)(void))socket_recv, METH_FASTCALL, PyDoc_STR("socket_recv(fd, bytes, timeout, flags) -> bytes\n\ntimeout: seconds, 0: not at all, None: for ever.")},
  {"socket_recv_into", (PyCFunction)(void (*)(void))socket_recv_into, METH_FASTCALL, PyDoc_STR("socket_recv_into(fd, buffer, bytes, timeout, flags) -> int\n\nbytes 0: as many as there is room for.")},
  {"socket_send", (PyCFunction)(void (*)(void))socket_send, METH_FASTCALL, PyDoc_STR("socket_send(fd, data, timeout, flags) -> int")},
  {"socket_sendall", (PyCFunction)(void (*)(void))socket_sendall, METH_FASTCALL, PyDoc_STR("socket_sendall(fd, data, timeout, flags) -> None\n\ntimeout: for all of it.")},
  {"socket_wait", socket_wait, METH_VARARGS, PyDoc_STR("socket_wait(fd, writes, timeout) -> None\n\nTimeoutError: not in time; BlockingIOError: timeout is 0.")},
  {"socket_begin", socket_begin, METH_O, PyDoc_STR("socket_begin(fd) -> bool\n\nA new socket object; whether an older one of this number had not been ended.")},
  {"socket_end", socket_end, METH_O, PyDoc_STR("socket_end(fd) -> None\n\nIt is about to be closed or given away: who waits gets OSError (EBADF).")},
  {"socket_keep", socket_keep, METH_O, PyDoc_STR("socket_keep(fd) -> bool\n\nMakes it non-blocking until socket_end, if that can be.")},
  {"socket_is_kept", socket_is_kept, METH_O, PyDoc_STR("socket_is_kept(fd) -> bool\n\nWhether it was made non-blocking, by keeping it or by waiting for it.")},
  {NULL, NULL, 0, NULL},
};

int ecru_py_add_socket(PyObject *module) { return PyModule_AddFunctions(module, functions); }
