/// native/forked.c: waiting in a child after fork, where the runtime does not run: the thread itself waits, without the GIL.
///
/// Seldom: a home has the runtime start anew in C, right after the fork (follow_forks in thread_state.c). What is left is a runtime that others
/// have started (a plain thread's lock, ecru_start through cffi) in a process without a home: there the child's runtime starts anew in our hook
/// of Python's, and what others have registered before that (os.register_at_fork: threading, logging, the program) runs first. It may take
/// locks, sleep and use descriptors. And a system without memory for pthread_atfork. Without this file all that is ECRU_EFORKED.
#include "native.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>

enum { NOT_FORKED, PERHAPS, FORKED };
_Atomic int ecru_py_fork_state;

static int now(void) { return atomic_load_explicit(&ecru_py_fork_state, memory_order_relaxed); }
static void become(int next) { atomic_store_explicit(&ecru_py_fork_state, next, memory_order_relaxed); }

static void in_child(void) {
  if (now() == NOT_FORKED) become(PERHAPS); // the runtime may have its handler called after this one
}

bool ecru_py_find_out_forked(void) {
  if (now() == PERHAPS) become(ecru_forget_fd(-1) == ECRU_EFORKED ? FORKED : NOT_FORKED); // which does not start it
  return now() == FORKED;
}

void ecru_py_has_restarted(void) { become(NOT_FORKED); }

int ecru_py_follow_forks(void) { return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : (PyErr_NoMemory(), -1); }

/// Rounded up; -1: no limit.
static int milliseconds_until(int64_t instant) {
  if (instant == ECRU_FOREVER) return -1;
  int64_t left = (instant - ecru_now() + 999999) / 1000000;
  return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static int take_results(ecru_fd_event *events, const struct pollfd *polled, size_t count) {
  int ready = 0;
  for (size_t i = 0; i < count; i++) {
    bool over = (polled[i].revents & (POLLERR | POLLHUP)) != 0;
    if (polled[i].revents & POLLNVAL) return ECRU_EBADF;
    events[i].ready = over ? events[i].wanted : (polled[i].revents & POLLIN ? (unsigned)ECRU_IO_READ : 0u) | (polled[i].revents & POLLOUT ? (unsigned)ECRU_IO_WRITE : 0u);
    ready += events[i].ready != 0;
  }
  return ready;
}

int ecru_py_wait_forked(ecru_fd_event *events, size_t count, int64_t instant) {
  struct pollfd *polled = PyMem_RawCalloc(count + 1, sizeof *polled);
  if (!polled) return ECRU_ENOMEM;
  for (size_t i = 0; i < count; i++) {
    bool reads = events[i].wanted & ECRU_IO_READ, writes = events[i].wanted & ECRU_IO_WRITE;
    polled[i] = (struct pollfd){.fd = (int)events[i].descriptor, .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))};
  }
  int status;
  do {
    int found, most = milliseconds_until(instant);
    Py_BEGIN_ALLOW_THREADS found = poll(polled, (nfds_t)count, most); Py_END_ALLOW_THREADS
    status = found >= 0 ? take_results(events, polled, count) : errno == EINTR ? ECRU_EAGAIN : -errno;
    if (status == ECRU_EAGAIN && PyErr_CheckSignals() < 0) status = ECRU_EINTR;
  } while (status == ECRU_EAGAIN);
  PyMem_RawFree(polled);
  return status;
}
