/// tests/contract/poller.c: what platform/poller.h promises, of every mechanism.
#include "platform/poller.h"
#include "platform/clock.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MILLISECONDS INT64_C(1000000)
enum { LONG_MS = 5000, NOTHING_MS = 20 }; // until then an event must come; so long none must

static ecru__poller *poller(void) {
  ecru__poller *made = NULL;
  CHECK_EQ(ecru__poller_create(&made), 0);
  return made;
}

static ecru__pollee pollee_of(int descriptor, uint64_t key) {
  ecru__io_set_blocking(descriptor, false, NULL);
  return (ecru__pollee){.descriptor = descriptor, .key = key, .kind = (enum ecru__descriptor_kind)ecru__descriptor_kind(descriptor)};
}

static void none_blocks(int both[2]) {
  for (int i = 0; i < 2; i++) ecru__io_set_blocking(both[i], false, NULL);
}
static void local_pair(int both[2]) { CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0), none_blocks(both); }

static void tcp_pair(int both[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
  both[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(both[0], (struct sockaddr *)&at, sizeof at), 0);
  both[1] = accept(listener, NULL, NULL);
  CHECK(both[1] >= 0);
  close(listener);
}

/// As the platform makes them: to whom they are given, they are pipes.
static void own_pipe(int both[2]) {
  intptr_t ends[2];
  CHECK_EQ(ecru__io_pipe(ends), 0);
  for (int i = 0; i < 2; i++) both[i] = (int)ends[i];
}

static void close_both(int both[2]) {
  close(both[0]);
  close(both[1]);
}

static void put(int descriptor, const char *text) { CHECK_EQ(write(descriptor, text, strlen(text)), (long)strlen(text)); }

static uint64_t given_up; // whose wait nobody has said has ended: it may still be told

/// Collects events of one pollee for so long or until one speaks of these directions. returns: the directions, and bit 4: hung up.
static uint32_t collect(ecru__poller *p, ecru__pollee *pollee, uint32_t directions, int ms) {
  int64_t deadline_ns = ecru__clock_now() + ms * MILLISECONDS;
  uint32_t seen = 0;
  while (!(seen & directions) && ecru__clock_now() < deadline_ns) {
    ecru__poll_event events[8];
    int count = ecru__poller_wait(p, events, 8, deadline_ns);
    for (int i = 0; i < count; i++) {
      if (given_up && events[i].key == given_up) continue;
      CHECK_EQ(events[i].key, pollee->key);
      ecru__poller_note(pollee, &events[i]);
      seen |= events[i].directions | (events[i].hung_up ? 4u : 0u);
    }
  }
  return seen;
}

static void expect_nothing(ecru__poller *p, ecru__pollee *pollee) { CHECK_EQ(collect(p, pollee, 3, NOTHING_MS), 0); }
static void expect_in(ecru__poller *p, ecru__pollee *pollee) { CHECK(collect(p, pollee, 1, LONG_MS) & 1); }
/// Waits anew until an event says so.
static void expect_hung_up(ecru__poller *p, ecru__pollee *pollee) {
  int64_t deadline_ns = ecru__clock_now() + LONG_MS * MILLISECONDS;
  for (uint32_t seen = 0; !(seen & 4); seen = collect(p, pollee, 7, NOTHING_MS)) {
    CHECK(ecru__clock_now() < deadline_ns);
    CHECK_EQ(ecru__poller_arm(p, pollee, ECRU__IN), 0);
  }
}

static int64_t read_some(ecru__poller *p, ecru__pollee *pollee, char *data, size_t bytes) {
  ecru__operation read = {.kind = ECRU__OP_READ, .data = data, .bytes = bytes};
  return ecru__poller_attempt(p, pollee, &read);
}

/// All there is, as whoever is woken once would read it.
static int64_t read_all(ecru__poller *p, ecru__pollee *pollee, char *data, size_t bytes) {
  int64_t total = 0, count;
  while ((count = read_some(p, pollee, data + total, bytes - (size_t)total)) > 0) total += count;
  CHECK(count == 0 || count == ECRU_EAGAIN);
  return total;
}

// ---- readiness ---------------------------------------------------------------------------------------------------------

TEST(poller, what_came_before_the_arming_is_told) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[8];
  local_pair(both);
  ecru__pollee in = pollee_of(both[0], 7);
  CHECK_EQ(read_some(p, &in, data, sizeof data), ECRU_EAGAIN);
  put(both[1], "x");
  expect_nothing(p, &in); // not armed
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  expect_in(p, &in);
  CHECK_EQ(read_some(p, &in, data, sizeof data), 1);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, what_comes_after_the_arming_is_told_each_time) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[8];
  tcp_pair(both);
  ecru__pollee in = pollee_of(both[0], UINT64_C(1) << 33);
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(read_some(p, &in, data, sizeof data), ECRU_EAGAIN);
    CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
    put(both[1], "abc");
    expect_in(p, &in);
    CHECK_EQ(read_some(p, &in, data, sizeof data), 3);
  }
  expect_nothing(p, &in);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, an_event_after_the_look_is_noticed_before_the_wait) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[8];
  local_pair(both);
  ecru__pollee in = pollee_of(both[0], 1);
  ecru__operation read = {.kind = ECRU__OP_READ, .data = data, .bytes = sizeof data};
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  CHECK_EQ(ecru__poller_attempt(p, &in, &read), ECRU_EAGAIN);
  CHECK(!ecru__poller_changed(&in, &read));
  put(both[1], "x");
  expect_in(p, &in); // somebody else's look
  CHECK(ecru__poller_changed(&in, &read));
  CHECK_EQ(ecru__poller_attempt(p, &in, &read), 1);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, room_is_told_once_there_is_some) { // I1
  ecru__poller *p = poller();
  int both[2];
  static char data[1 << 16];
  local_pair(both);
  ecru__pollee out = pollee_of(both[0], 2);
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = data, .bytes = sizeof data};
  int64_t filled = 0, count;
  while ((count = ecru__poller_attempt(p, &out, &write)) > 0) filled += count;
  CHECK_EQ(count, ECRU_EAGAIN);
  CHECK(filled > 0);
  CHECK_EQ(ecru__poller_arm(p, &out, ECRU__OUT), 0);
  CHECK(!(collect(p, &out, 2, NOTHING_MS) & 2));
  while (read(both[1], data, sizeof data) > 0) {}
  CHECK(collect(p, &out, 2, LONG_MS) & 2);
  CHECK(ecru__poller_attempt(p, &out, &write) > 0);
  ecru__poller_forget(p, &out);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, directions_are_armed_one_by_one) { // I1
  ecru__poller *p = poller();
  int both[2];
  local_pair(both);
  ecru__pollee io = pollee_of(both[0], 3);
  CHECK_EQ(ecru__poller_arm(p, &io, ECRU__IN), 0);
  expect_nothing(p, &io); // there is room, but nobody has asked
  CHECK_EQ(ecru__poller_arm(p, &io, ECRU__OUT), 0);
  CHECK_EQ(collect(p, &io, 2, LONG_MS), 2);
  put(both[1], "x");
  CHECK(collect(p, &io, 1, LONG_MS) & 1);
  ecru__poller_forget(p, &io);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, the_other_side_ends_or_resets) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[8];
  for (int how = 0; how < 3; how++) { // half-close, close, reset
    tcp_pair(both);
    ecru__pollee io = pollee_of(both[0], 4);
    CHECK_EQ(ecru__poller_arm(p, &io, ECRU__IN), 0);
    put(both[1], "last");
    expect_in(p, &io);
    struct linger reset = {1, 0};
    if (how == 2) CHECK_EQ(setsockopt(both[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    if (how == 0) CHECK_EQ(shutdown(both[1], SHUT_WR), 0);
    else close(both[1]);
    expect_hung_up(p, &io);
    CHECK_EQ(read_some(p, &io, data, sizeof data), 4);
    if (how == 2) CHECK_EQ(read_some(p, &io, data, sizeof data), ECRU_ECONNRESET);
    CHECK_EQ(read_some(p, &io, data, sizeof data), 0); // not spared: no event will come any more
    ecru__poller_forget(p, &io);
    close(both[0]);
    if (how == 0) close(both[1]);
  }
  ecru__poller_destroy(p);
}

TEST(poller, a_writer_sees_that_the_reader_has_gone) { // I1
  ecru__poller *p = poller();
  int both[2];
  static char data[1 << 16];
  own_pipe(both);
  ecru__pollee out = pollee_of(both[1], 5);
  out.kind = ECRU__IS_PIPE;
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = data, .bytes = sizeof data, .mask_pipe_signal = true};
  while (ecru__poller_attempt(p, &out, &write) > 0) {}
  CHECK_EQ(ecru__poller_arm(p, &out, ECRU__OUT), 0);
  close(both[0]);
  CHECK(collect(p, &out, 2, LONG_MS) & 2);
  CHECK_EQ(ecru__poller_attempt(p, &out, &write), ECRU_EPIPE);
  ecru__poller_forget(p, &out);
  ecru__poller_destroy(p);
  close(both[1]);
}

TEST(poller, a_writer_that_comes_after_the_reader_has_gone_is_told) { // I1
  ecru__poller *p = poller();
  int both[2];
  own_pipe(both);
  ecru__pollee out = pollee_of(both[1], 5);
  out.kind = ECRU__IS_PIPE;
  close(both[0]);
  for (int i = 0; i < 3; i++) { // each time: some systems refuse to watch it
    ecru__poller_forget(p, &out);
    CHECK_EQ(ecru__poller_arm(p, &out, ECRU__OUT), 0);
    CHECK(collect(p, &out, 2, LONG_MS) & 2);
  }
  ecru__poller_forget(p, &out);
  ecru__poller_destroy(p);
  close(both[1]);
}

// ---- a short read does not always mean that there is no more ------------------------------------------------------------

/// A byte, and a descriptor with it. returns: whether the system can do that.
#ifdef SCM_RIGHTS
static bool send_with(int descriptor, int passed) {
  char room[CMSG_SPACE(sizeof(int))];
  struct iovec piece = {(void *)(uintptr_t)"a", 1};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
  memcpy(CMSG_DATA(header), &passed, sizeof(int));
  CHECK_EQ(sendmsg(descriptor, &message, 0), 1);
  return true;
}
#else
static bool send_with(int descriptor, int passed) { return (void)descriptor, (void)passed, false; }
#endif

TEST(poller, descriptors_passed_along_do_not_hide_what_follows) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[16];
  local_pair(both);
  ecru__pollee in = pollee_of(both[0], 6);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  if (!send_with(both[1], both[1])) SKIP("descriptors are not passed here");
  put(both[1], "b");
  expect_in(p, &in);
  CHECK_EQ(read_all(p, &in, data, sizeof data), 2);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

#ifdef O_DIRECT
static bool packet_pipe(int both[2]) { return pipe2(both, O_DIRECT) == 0; }
#else
static bool packet_pipe(int both[2]) { return (void)both, false; }
#endif

TEST(poller, packets_in_a_pipe_are_all_read) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[16];
  if (!packet_pipe(both)) SKIP("no pipes of packets here");
  ecru__pollee in = pollee_of(both[0], 6);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  put(both[1], "a");
  put(both[1], "b");
  expect_in(p, &in);
  CHECK_EQ(read_all(p, &in, data, sizeof data), 2);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

TEST(poller, urgent_data_does_not_hide_what_follows) { // I1
  ecru__poller *p = poller();
  int both[2];
  char data[16];
  tcp_pair(both);
  ecru__pollee in = pollee_of(both[0], 6);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  put(both[1], "a");
  CHECK_EQ(send(both[1], "!", 1, MSG_OOB), 1);
  put(both[1], "b");
  int64_t have = 0;
  while (have < 2) { // the parts may come one by one, each with an event
    CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
    expect_in(p, &in);
    have += read_all(p, &in, data, sizeof data);
  }
  CHECK_EQ(have, 2);
  ecru__poller_forget(p, &in);
  ecru__poller_destroy(p);
  close_both(both);
}

// ---- what cannot be polled; forgetting; fleeting descriptors -------------------------------------------------------------

TEST(poller, what_cannot_be_polled_is_refused) { // I1
  ecru__poller *p = poller();
  FILE *some_file = tmpfile();
  CHECK(some_file != NULL);
  int file = fileno(some_file), both[2];
  local_pair(both);
  ecru__pollee regular = pollee_of(file, 1), gone = pollee_of(both[0], 2);
  close_both(both);
  CHECK_EQ(ecru__poller_arm(p, &regular, ECRU__IN), ECRU_EPERM);
  CHECK_EQ(ecru__poller_arm(p, &gone, ECRU__IN), ECRU_EBADF);
  CHECK_EQ(ecru__pollee_registered(&regular), 0);
  CHECK_EQ(ecru__pollee_registered(&gone), 0);
  ecru__poller_destroy(p);
  fclose(some_file);
}

TEST(poller, the_forgotten_is_silent_and_its_number_free) { // I3
  ecru__poller *p = poller();
  int both[2], old, copy;
  local_pair(both);
  old = both[0];
  ecru__pollee io = pollee_of(both[0], 1);
  CHECK_EQ(ecru__poller_arm(p, &io, ECRU__IN), 0);
  copy = dup(both[0]); // as a child has it after a fork
  ecru__poller_forget(p, &io);
  ecru__poller_forget(p, &io);
  put(both[1], "x");
  expect_nothing(p, &io);
  close_both(both);
  int again[2];
  local_pair(again);
#ifndef DESCRIPTORS_ARE_HANDLES // which are not used again at once
  CHECK_EQ(again[0], old);
#endif
  ecru__pollee next = pollee_of(again[0], 2);
  CHECK_EQ(ecru__poller_arm(p, &next, ECRU__IN), 0);
  expect_nothing(p, &next);
  put(again[1], "y");
  expect_in(p, &next);
  ecru__poller_forget(p, &next);
  ecru__poller_destroy(p);
  close_both(again);
  close(copy);
}

TEST(poller, a_fleeting_one_may_be_closed_unnoticed) { // I7
  ecru__poller *p = poller();
  ecru__pollee io = {.key = 9, .fleeting = true};
  for (int round = 0; round < 3; round++) {
    int both[2];
    char data[4];
    local_pair(both);
#ifndef DESCRIPTORS_ARE_HANDLES
    if (round > 0) CHECK_EQ(both[0], io.descriptor);
#endif
    io.descriptor = both[0];
    io.kind = (enum ecru__descriptor_kind)ecru__descriptor_kind(both[0]);
    for (int i = 0; i < 3; i++) {
      CHECK_EQ(ecru__poller_arm(p, &io, ECRU__IN), 0);
      put(both[1], "x");
      expect_in(p, &io);
      ecru__pollee_register(&io, 0); // its wait is over
      put(both[1], "y");
      expect_nothing(p, &io);
      CHECK_EQ(read(both[0], data, sizeof data), 2);
    }
    CHECK_EQ(ecru__poller_arm(p, &io, ECRU__IN), 0); // closed while somebody waits, or has given up
    close_both(both);
  }
  ecru__poller_destroy(p);
}

TEST(poller, a_fleeting_one_may_become_our_own) { // I7
  ecru__poller *p = poller();
  int both[2];
  char data[4];
  local_pair(both);
  ecru__pollee borrowed = {.descriptor = both[0], .key = 9, .kind = ECRU__IS_OTHER, .fleeting = true}, own = pollee_of(both[0], 10);
  CHECK_EQ(ecru__poller_arm(p, &borrowed, ECRU__IN), 0); // its wait is given up, and nobody says so
  given_up = borrowed.key;
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(ecru__poller_arm(p, &own, ECRU__IN), 0);
    put(both[1], "x");
    expect_in(p, &own);
    CHECK_EQ(read_some(p, &own, data, sizeof data), 1);
  }
  ecru__poller_forget(p, &own);
  ecru__poller_destroy(p);
  close_both(both);
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

TEST(poller, a_deadline_ends_a_wait_and_not_before) { // K6, serial
  ecru__poller *p = poller();
  ecru__poll_event event;
  int64_t best_late_ns = INT64_MAX;
  errno = EXFULL;
  CHECK_EQ(ecru__poller_wait(p, &event, 1, 0), 0);
  CHECK_EQ(ecru__poller_wait(p, &event, 1, 1), 0);
  CHECK_EQ(ecru__poller_wait(p, &event, 1, ecru__clock_now() - 1), 0);
  for (int i = 0; i < 100; i++) {
    int64_t deadline_ns = ecru__clock_now() + 100000;
    int waits = 0;
    while (ecru__clock_now() < deadline_ns) {
      CHECK_EQ(ecru__poller_wait(p, &event, 1, deadline_ns), 0);
      waits++;
    }
    CHECK(waits < 50); // it slept
    int64_t late_ns = ecru__clock_now() - deadline_ns;
    if (late_ns < best_late_ns) best_late_ns = late_ns;
  }
  CHECK_EQ(errno, EXFULL);
  CHECK(best_late_ns < MILLISECONDS / 2); // finer than a millisecond
  ecru__poller_destroy(p);
}

TEST(poller, a_wake_before_the_wait_counts) {
  ecru__poller *p = poller();
  ecru__poll_event event;
  for (int i = 0; i < 100; i++) {
    errno = EXFULL;
    ecru__poller_wake(p);
    CHECK_EQ(errno, EXFULL);
    CHECK_EQ(ecru__poller_wait(p, &event, 1, INT64_MAX), 0);
  }
  ecru__poller_destroy(p);
}

struct sleeper {
  ecru__poller *p;
  _Atomic int woken, stop;
};

static void *sleep_and_count(void *argument) {
  struct sleeper *s = argument;
  ecru__poll_event event;
  while (!atomic_load(&s->stop)) {
    CHECK_EQ(ecru__poller_wait(s->p, &event, 1, INT64_MAX), 0);
    atomic_fetch_add(&s->woken, 1);
  }
  return NULL;
}

TEST(poller, a_wake_ends_a_wait) {
  struct sleeper s = {.p = poller()};
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, sleep_and_count, &s), 0);
  for (long i = 0, n = test_scaled(2000); i < n; i++) {
    int before = atomic_load(&s.woken);
    ecru__poller_wake(s.p);
    while (atomic_load(&s.woken) == before) {}
  }
  atomic_store(&s.stop, 1);
  ecru__poller_wake(s.p);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  ecru__poller_destroy(s.p);
}

struct looker {
  ecru__poller *p;
  _Atomic int stop;
};

static void *look_and_look(void *argument) {
  struct looker *l = argument;
  ecru__poll_event event;
  while (!atomic_load(&l->stop)) CHECK_EQ(ecru__poller_wait(l->p, &event, 1, 0), 0);
  return NULL;
}

TEST(poller, a_look_takes_no_wake_up_away) {
  struct sleeper s = {.p = poller()};
  struct looker l = {.p = s.p};
  ecru__poll_event event;
  ecru__poller_wake(s.p);
  CHECK_EQ(ecru__poller_wait(s.p, &event, 1, 0), 0);
  CHECK_EQ(ecru__poller_wait(s.p, &event, 1, INT64_MAX), 0);
  pthread_t sleeping, looking;
  CHECK_EQ(pthread_create(&sleeping, NULL, sleep_and_count, &s), 0);
  CHECK_EQ(pthread_create(&looking, NULL, look_and_look, &l), 0);
  for (long i = 0, n = test_scaled(2000); i < n; i++) {
    int before = atomic_load(&s.woken);
    ecru__poller_wake(s.p);
    while (atomic_load(&s.woken) == before) {}
  }
  atomic_store(&l.stop, 1);
  CHECK_EQ(pthread_join(looking, NULL), 0);
  atomic_store(&s.stop, 1);
  ecru__poller_wake(s.p);
  CHECK_EQ(pthread_join(sleeping, NULL), 0);
  ecru__poller_destroy(s.p);
}

TEST(poller, more_events_than_asked_for_come_later) { // I1
  enum { PAIRS = 100, MOST = 7 };
  ecru__poller *p = poller();
  static int both[PAIRS][2];
  static ecru__pollee in[PAIRS];
  bool told[PAIRS] = {false};
  for (int i = 0; i < PAIRS; i++) {
    local_pair(both[i]);
    in[i] = pollee_of(both[i][0], (uint64_t)i);
    CHECK_EQ(ecru__poller_arm(p, &in[i], ECRU__IN), 0);
    put(both[i][1], "x");
  }
  for (int missing = PAIRS; missing > 0;) {
    ecru__poll_event events[MOST + 1];
    memset(&events[MOST], 0x5a, sizeof events[MOST]);
    int count = ecru__poller_wait(p, events, MOST, ecru__clock_now() + LONG_MS * MILLISECONDS);
    CHECK(count > 0 && count <= MOST);
    CHECK_EQ(events[MOST].key, 0x5a5a5a5a5a5a5a5a);
    for (int i = 0; i < count; i++) {
      CHECK(!told[events[i].key]); // nothing new has happened to it
      told[events[i].key] = true;
      missing--;
    }
  }
  for (int i = 0; i < PAIRS; i++) {
    ecru__poller_forget(p, &in[i]);
    close_both(both[i]);
  }
  ecru__poller_destroy(p);
}

enum { WAITERS = 4 };
struct crowd {
  ecru__poller *p;
  ecru__pollee in;
  _Atomic int events, stop;
};

static void *take_events(void *argument) {
  struct crowd *c = argument;
  while (!atomic_load(&c->stop)) {
    ecru__poll_event event;
    if (ecru__poller_wait(c->p, &event, 1, INT64_MAX) == 0) continue;
    CHECK_EQ(event.key, c->in.key);
    ecru__poller_note(&c->in, &event);
    atomic_fetch_add(&c->events, 1);
  }
  ecru__poller_wake(c->p); // and the next: wake-ups nobody has seen yet count as one
  return NULL;
}

TEST(poller, several_wait_and_one_is_told) { // I1
  struct crowd c = {.p = poller()};
  pthread_t threads[WAITERS];
  int both[2];
  char data[4];
  local_pair(both);
  c.in = pollee_of(both[0], 11);
  for (int i = 0; i < WAITERS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, take_events, &c), 0);
  int rounds = (int)test_scaled(1000);
  for (int i = 1; i <= rounds; i++) {
    CHECK_EQ(ecru__poller_arm(c.p, &c.in, ECRU__IN), 0);
    put(both[1], "x");
    while (atomic_load(&c.events) < i) sched_yield();
    CHECK_EQ(read(both[0], data, sizeof data), 1);
  }
  CHECK_EQ(atomic_load(&c.events), rounds);
  atomic_store(&c.stop, 1);
  ecru__poller_wake(c.p);
  for (int i = 0; i < WAITERS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
  ecru__poller_forget(c.p, &c.in);
  ecru__poller_destroy(c.p);
  close_both(both);
}

// ---- the whole dance, against a writer and a poller in other threads ------------------------------------------------------

struct dance {
  ecru__poller *p;
  ecru__pollee in;
  pthread_mutex_t lock;
  pthread_cond_t woken;
  uint64_t wakes;        // lock
  long bytes;
  int writer;
  uint64_t seed;
  _Atomic int stop;
};

static void *write_bytes(void *argument) {
  struct dance *d = argument;
  for (long i = 0; i < d->bytes; i++) {
    for (uint64_t pause = test_random_below(&d->seed, 300); pause > 0; pause--) atomic_signal_fence(memory_order_seq_cst);
    while (write(d->writer, "x", 1) < 0) CHECK_EQ(errno, EAGAIN);
  }
  return NULL;
}

static void *hand_out_events(void *argument) {
  struct dance *d = argument;
  while (!atomic_load(&d->stop)) {
    ecru__poll_event events[4];
    int count = ecru__poller_wait(d->p, events, 4, ecru__clock_now() + 100 * MILLISECONDS);
    for (int i = 0; i < count; i++) {
      ecru__poller_note(&d->in, &events[i]);
      pthread_mutex_lock(&d->lock);
      d->wakes++;
      pthread_cond_broadcast(&d->woken);
      pthread_mutex_unlock(&d->lock);
    }
  }
  return NULL;
}

static void wait_for_event(struct dance *d, const ecru__operation *read) {
  pthread_mutex_lock(&d->lock);
  if (!ecru__poller_changed(&d->in, read)) {
    CHECK_EQ(ecru__poller_arm(d->p, &d->in, ECRU__IN), 0);
    for (uint64_t seen = d->wakes; d->wakes == seen;) pthread_cond_wait(&d->woken, &d->lock);
  }
  pthread_mutex_unlock(&d->lock);
}

static void dance(void (*make)(int both[2])) {
  struct dance d = {.p = poller(), .lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER, .bytes = test_scaled(30000)};
  pthread_t threads[2];
  int both[2];
  d.seed = test_seed();
  make(both);
  d.in = pollee_of(both[0], 12);
  d.writer = both[1];
  CHECK_EQ(pthread_create(&threads[0], NULL, write_bytes, &d), 0);
  CHECK_EQ(pthread_create(&threads[1], NULL, hand_out_events, &d), 0);
  for (long have = 0; have < d.bytes;) {
    char data[64];
    ecru__operation read = {.kind = ECRU__OP_READ, .data = data, .bytes = sizeof data};
    int64_t count = ecru__poller_attempt(d.p, &d.in, &read);
    if (count == ECRU_EAGAIN) wait_for_event(&d, &read);
    else have += (CHECK(count > 0), count);
  }
  atomic_store(&d.stop, 1);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
  ecru__poller_forget(d.p, &d.in);
  ecru__poller_destroy(d.p);
  close_both(both);
}

static void byte_pipe(int both[2]) { CHECK_EQ(pipe(both), 0), none_blocks(both); }

TEST(poller, no_event_is_lost_on_a_unix_socket) { dance(local_pair); } // I1
TEST(poller, no_event_is_lost_on_a_connection) { dance(tcp_pair); }    // I1
TEST(poller, no_event_is_lost_on_a_pipe) { dance(byte_pipe); }         // I1

static ecru__poller *parents;
static void destroy_in_child(void) {
  int own[8]; // one of them may have its number
  for (int i = 0; i < 8; i++) own[i] = dup(STDERR_FILENO);
  ecru__poller_destroy(parents);
  for (int i = 0; i < 8; i++) CHECK(fcntl(own[i], F_GETFD) >= 0);
  _exit(0);
}

TEST(poller, a_forked_child_destroys_its_copy_alone) { // G14
  int both[2];
  parents = poller();
  local_pair(both);
  ecru__pollee in = pollee_of(both[0], 13);
  CHECK_EQ(ecru__poller_arm(parents, &in, ECRU__IN), 0);
  test_death(destroy_in_child, 0, NULL);
  put(both[1], "x");
  expect_in(parents, &in);
  ecru__poller_forget(parents, &in);
  ecru__poller_destroy(parents);
  close_both(both);
}

TEST(poller, nothing_is_left_behind) { // G13
  ecru__poller_destroy(poller()); // libuv keeps a pipe for the whole process
  int before = test_open_fds();
  ecru__poller_destroy(poller());
  CHECK_EQ(test_open_fds(), before);
}
