/// tests/kqueue/sys/event.h: as much of the BSDs' kqueue as platform/poller/kqueue.c uses, for Linux: see tests/kqueue/kqueue.c.
#ifndef ECRU_TESTS_KQUEUE_SYS_EVENT_H
#define ECRU_TESTS_KQUEUE_SYS_EVENT_H
#include <stdint.h>
#include <time.h>
#include <unistd.h>

struct kevent {
  uintptr_t ident;
  short filter;
  unsigned short flags;
  unsigned int fflags;
  intptr_t data;
  void *udata;
};

// FreeBSD's numbers
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER (-11)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_ERROR 0x4000
#define EV_EOF 0x8000
#define NOTE_TRIGGER 0x01000000

#define EV_SET(event, ident_, filter_, flags_, fflags_, data_, udata_) \
  (*(event) = (struct kevent){(ident_), (filter_), (flags_), (fflags_), (data_), (udata_)})

int kqueue(void);
int kevent(int kqueue, const struct kevent *changes, int change_count, struct kevent *events, int most, const struct timespec *timeout);

/// A kqueue is more than one descriptor here: whoever includes this closes all of them.
int kqueue_close(int descriptor);
#define close(descriptor) kqueue_close(descriptor)
#endif
