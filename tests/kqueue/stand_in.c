/// tests/kqueue/stand_in.c: the stand-in behaves as its head says the kernels do.
#include <sys/event.h>
#undef close

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

static int made(void) {
  int kq = kqueue();
  CHECK(kq >= 0);
  return kq;
}

/// returns: the error number in the receipt.
static int change(int kq, uintptr_t ident, int filter, unsigned flags, unsigned filter_flags, uintptr_t udata) {
  struct kevent event;
  EV_SET(&event, ident, (short)filter, (unsigned short)(flags | EV_RECEIPT), filter_flags, 0, (void *)udata);
  CHECK_EQ(kevent(kq, &event, 1, &event, 1, NULL), 1);
  CHECK(event.flags & EV_ERROR);
  return (int)event.data;
}

/// Looks without waiting. returns: how many.
static int look(int kq, struct kevent *events, int most) {
  static const struct timespec none = {0, 0};
  return kevent(kq, NULL, 0, events, most, &none);
}
static int looked(int kq) {
  struct kevent events[8];
  return look(kq, events, 8);
}

static void pair(int both[2]) { CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both), 0); }
static void put(int fd) { CHECK_EQ(write(fd, "x", 1), 1); }

TEST(kqueue, a_change_is_reported_once_and_a_new_one_again) {
  int kq = made(), both[2];
  pair(both);
  put(both[1]);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 7), 0);
  struct kevent event;
  CHECK_EQ(look(kq, &event, 1), 1); // what was there before
  CHECK_EQ(event.ident, both[0]);
  CHECK_EQ(event.filter, EVFILT_READ);
  CHECK_EQ((uintptr_t)event.udata, 7);
  CHECK(!(event.flags & EV_EOF));
  CHECK_EQ(looked(kq), 0);
  put(both[1]);
  CHECK_EQ(looked(kq), 1); // though the first is unread
  kqueue_close(kq);
  close(both[0]), close(both[1]);
}

TEST(kqueue, what_can_be_read_says_nothing_of_room) {
  int kq = made(), both[2];
  pair(both);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 1), 0);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 2), 0);
  CHECK_EQ(looked(kq), 1); // room
  put(both[1]);
  struct kevent events[4];
  CHECK_EQ(look(kq, events, 4), 1);
  CHECK_EQ(events[0].filter, EVFILT_READ);
  close(both[1]);
  CHECK_EQ(look(kq, events, 4), 2);
  CHECK(events[0].flags & events[1].flags & EV_EOF);
  kqueue_close(kq);
  close(both[0]);
}

TEST(kqueue, adding_again_keeps_the_flags) {
  int kq = made(), both[2];
  pair(both);
  put(both[1]);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 1), 0);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 2), 0);
  struct kevent event;
  CHECK_EQ(look(kq, &event, 1), 1);
  CHECK_EQ((uintptr_t)event.udata, 2);
  put(both[1]);
  CHECK_EQ(looked(kq), 0); // it was still for once
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_DELETE, 0, 0), ENOENT);
  kqueue_close(kq);
  close(both[0]), close(both[1]);
}

TEST(kqueue, a_closed_number_is_watched_no_more) {
  int kq = made(), both[2], again[2];
  pair(both);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 1), 0);
  int copy = dup(both[0]);
  close(both[0]);
  pair(again);
  CHECK_EQ(again[0], both[0]);
  CHECK_EQ(change(kq, (uintptr_t)again[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 2), 0);
  put(both[1]); // to the old file, which has lived on
  CHECK_EQ(looked(kq), 0);
  for (int i = 0; i < 2; i++) {
    put(again[1]);
    CHECK_EQ(looked(kq), 1); // the flags are the new ones
  }
  kqueue_close(kq);
  close(both[1]), close(copy), close(again[0]), close(again[1]);
}

TEST(kqueue, what_cannot_be_watched_is_refused) {
  int kq = made(), both[2];
  CHECK_EQ(pipe(both), 0);
  close(both[0]);
  CHECK_EQ(change(kq, (uintptr_t)both[1], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 1), EPIPE);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 1), EBADF);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_DELETE, 0, 1), EBADF);
  int null = open("/dev/null", O_RDONLY);
  CHECK_EQ(change(kq, (uintptr_t)null, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 1), EINVAL);
  CHECK_EQ(kevent(null, NULL, 0, NULL, 0, NULL), -1);
  CHECK_EQ(errno, EBADF);
  kqueue_close(kq);
  close(both[1]), close(null);
}

TEST(kqueue, a_user_event_stays_until_it_is_deleted) {
  int kq = made();
  CHECK_EQ(change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0), ENOENT);
  CHECK_EQ(change(kq, 5, EVFILT_USER, EV_ADD, 0, 9), 0);
  CHECK_EQ(looked(kq), 0);
  CHECK_EQ(change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER, 9), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(looked(kq), 1);
  CHECK_EQ(change(kq, 6, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 9), 0);
  CHECK_EQ(looked(kq), 2);
  CHECK_EQ(looked(kq), 1);
  CHECK_EQ(change(kq, 5, EVFILT_USER, EV_DELETE, 0, 0), 0);
  CHECK_EQ(looked(kq), 0);
  kqueue_close(kq);
}

TEST(kqueue, mischief_invents_and_repeats) {
  int kq = made(), both[2], seen[8] = {0}; // ECRU_KQUEUE_MISCHIEF is set for this one: see CMakeLists.txt
  pair(both);
  CHECK_EQ(change(kq, (uintptr_t)both[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 1), 0);
  for (int i = 0; i < 400; i++) {
    if (i % 2) put(both[1]);
    struct kevent events[7];
    int count = look(kq, events, 7);
    seen[count < 0 ? 7 : i % 2 == 0 ? 4 + (count > 0) : count]++;
  }
  CHECK(seen[2] > 0); // twice in one call
  CHECK(seen[5] > 0); // though nothing had happened
  CHECK(seen[7] > 0); // interrupted
  kqueue_close(kq);
  close(both[0]), close(both[1]);
}
