/// tests/contract/poller_child.c: what platform/poller.h promises of the pipes that children get the other end of (ecru__io_pipe_to_child).
#include "platform/poller.h"
#include "platform/clock.h"
#include "test.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_MS = 5000, NOTHING_MS = 20, MUCH = 1 << 20 }; // until then an event must come; so long none must; more than any pipe holds

static ecru__poller *p;
static int theirs;

static void poller(void) { CHECK_EQ(ecru__poller_create(&p), 0); }

static ecru__pollee pipe_to_child(bool we_write) {
  intptr_t ours = -1;
  int kind = ecru__io_pipe_to_child(&ours, we_write, &theirs);
  CHECK(kind > 0);
  return (ecru__pollee){.descriptor = ours, .key = UINT64_C(5) << 32 | 3, .kind = (enum ecru__descriptor_kind)kind};
}

static void end(ecru__pollee *pollee) {
  ecru__poller_forget(p, pollee);
  CHECK_EQ(ecru__io_close(pollee->descriptor), 0);
}

/// returns: whether an event came in time.
static bool event_comes(ecru__pollee *pollee, int direction, int ms) {
  int64_t deadline_ns = ecru__clock_now() + ms * INT64_C(1000000);
  while (ecru__clock_now() < deadline_ns) {
    ecru__poll_event events[8];
    bool found = false;
    int count = ecru__poller_wait(p, events, 8, deadline_ns);
    for (int i = 0; i < count; i++) {
      CHECK_EQ(events[i].key, pollee->key);
      ecru__poller_note(pollee, &events[i]);
      found |= (events[i].directions & (1u << direction)) != 0;
    }
    if (found) return true;
  }
  return false;
}

static int64_t read_some(ecru__pollee *pollee, char *data, size_t bytes) {
  ecru__operation read = {.kind = ECRU__OP_READ, .data = data, .bytes = bytes};
  return ecru__poller_attempt(p, pollee, &read);
}
static int64_t write_some(ecru__pollee *pollee, const char *data, size_t bytes) {
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = (char *)(uintptr_t)data, .bytes = bytes};
  return ecru__poller_attempt(p, pollee, &write);
}

static char byte_at(size_t i) { return (char)(i * 7 + i / 251); }

// ---- reading -----------------------------------------------------------------------------------------------------------

TEST(poller_child, each_part_is_told_and_the_end) { // I1, I6
  char data[16];
  poller();
  ecru__pollee in = pipe_to_child(false);
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(read_some(&in, data, sizeof data), ECRU_EAGAIN);
    CHECK_EQ(ecru__poller_ready(&in, ECRU__IN), 0);
    CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
    if (i == 0) CHECK(!event_comes(&in, ECRU__IN, NOTHING_MS));
    CHECK_EQ(write(theirs, "hello", 5), 5);
    CHECK(event_comes(&in, ECRU__IN, LONG_MS));
    CHECK_EQ(ecru__poller_ready(&in, ECRU__IN), 1);
    CHECK_EQ(read_some(&in, data, 2), 2);
    CHECK_EQ(read_some(&in, data + 2, sizeof data - 2), 3);
    CHECK(memcmp(data, "hello", 5) == 0);
  }
  CHECK_EQ(read_some(&in, data, sizeof data), ECRU_EAGAIN);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  CHECK_EQ(write(theirs, "bye", 3), 3);
  ecru__io_close_of_child(theirs);
  CHECK(event_comes(&in, ECRU__IN, LONG_MS));
  CHECK_EQ(read_some(&in, data, sizeof data), 3); // what was sent before the end comes before it
  CHECK_EQ(read_some(&in, data, sizeof data), 0);
  CHECK_EQ(ecru__poller_ready(&in, ECRU__IN), 1);
  end(&in);
  ecru__poller_destroy(p);
}

TEST(poller_child, what_came_before_the_arming_is_told) { // I1, I6
  char data[16];
  poller();
  ecru__pollee in = pipe_to_child(false);
  CHECK_EQ(read_some(&in, data, sizeof data), ECRU_EAGAIN);
  CHECK_EQ(write(theirs, "x", 1), 1);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  CHECK(event_comes(&in, ECRU__IN, LONG_MS));
  CHECK_EQ(read_some(&in, data, sizeof data), 1);
  ecru__io_close_of_child(theirs);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  CHECK(event_comes(&in, ECRU__IN, LONG_MS));
  CHECK_EQ(read_some(&in, data, sizeof data), 0);
  end(&in);
  ecru__poller_destroy(p);
}

TEST(poller_child, a_wait_that_is_given_up_takes_nothing) { // K1, I6
  char data[16];
  poller();
  ecru__pollee in = pipe_to_child(false);
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0); // and nobody waits for it any more
  CHECK_EQ(write(theirs, "all", 3), 3);
  CHECK_EQ(read_some(&in, data, sizeof data), 3);
  CHECK(memcmp(data, "all", 3) == 0);
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
    end(&in); // while it is armed
    ecru__io_close_of_child(theirs);
    in = pipe_to_child(false);
  }
  CHECK_EQ(ecru__poller_arm(p, &in, ECRU__IN), 0);
  end(&in);
  ecru__io_close_of_child(theirs);
  ecru__poller_destroy(p);
}

// ---- writing -----------------------------------------------------------------------------------------------------------

static _Atomic bool has_read_all;
static size_t right; // bytes that were as expected, from the first on

static void *read_in_thread(void *unused) {
  static char part[5000];
  for (long got; (got = read(theirs, part, sizeof part)) > 0;)
    for (long i = 0; i < got; i++) right += part[i] == byte_at(right);
  ecru__io_close_of_child(theirs);
  atomic_store(&has_read_all, true);
  return unused;
}

/// Who has forgotten a pipe still looks after what is under way there, as the runtime does.
static void await_reader(pthread_t reader) {
  ecru__poll_event none[8];
  while (!atomic_load(&has_read_all)) CHECK_EQ(ecru__poller_wait(p, none, 8, ecru__clock_now() + 1000000), 0);
  pthread_join(reader, NULL);
}

static void write_all(ecru__pollee *out, const char *data, size_t bytes) {
  for (size_t sent = 0; sent < bytes;) {
    int64_t count = write_some(out, data + sent, bytes - sent);
    if (count > 0) sent += (size_t)count;
    else CHECK_EQ(count, ECRU_EAGAIN);
    if (count > 0) continue;
    CHECK_EQ(ecru__poller_arm(p, out, ECRU__OUT), 0);
    CHECK(event_comes(out, ECRU__OUT, LONG_MS));
  }
}

TEST(poller_child, more_than_it_holds_goes_through_in_order) { // I1, I6
  char *data = malloc(MUCH);
  for (size_t i = 0; i < MUCH; i++) data[i] = byte_at(i);
  poller();
  ecru__pollee out = pipe_to_child(true);
  size_t sent = 0;
  for (int64_t count; (count = write_some(&out, data + sent, MUCH - sent)) != ECRU_EAGAIN; sent += (size_t)count) CHECK(count > 0 && sent < MUCH);
  CHECK_EQ(ecru__poller_ready(&out, ECRU__OUT), 0);
  CHECK_EQ(ecru__poller_arm(p, &out, ECRU__OUT), 0);
  CHECK(!event_comes(&out, ECRU__OUT, NOTHING_MS));
  pthread_t reader;
  CHECK_EQ(pthread_create(&reader, NULL, read_in_thread, NULL), 0);
  CHECK(event_comes(&out, ECRU__OUT, LONG_MS));
  write_all(&out, data + sent, MUCH - sent);
  end(&out);
  await_reader(reader);
  CHECK_EQ(right, MUCH);
  ecru__poller_destroy(p);
  free(data);
}

TEST(poller_child, what_is_written_before_the_close_arrives) { // I6
  static char data[MUCH];
  for (size_t i = 0; i < MUCH; i++) data[i] = byte_at(i);
  poller();
  ecru__pollee out = pipe_to_child(true);
  size_t sent = 0;
  for (int64_t count; (count = write_some(&out, data + sent, MUCH - sent)) > 0;) sent += (size_t)count;
  CHECK(sent > 0 && sent < MUCH);
  end(&out); // nobody has read anything yet
  pthread_t reader;
  CHECK_EQ(pthread_create(&reader, NULL, read_in_thread, NULL), 0);
  await_reader(reader);
  CHECK_EQ(right, sent);
  ecru__poller_destroy(p);
}

TEST(poller_child, a_reader_that_has_gone_is_told) { // I6
  static char data[MUCH];
  signal(SIGPIPE, SIG_IGN);
  poller();
  ecru__pollee out = pipe_to_child(true);
  while (write_some(&out, data, sizeof data) > 0) {}
  CHECK_EQ(ecru__poller_arm(p, &out, ECRU__OUT), 0);
  ecru__io_close_of_child(theirs);
  CHECK(event_comes(&out, ECRU__OUT, LONG_MS));
  CHECK_EQ(write_some(&out, data, 1), ECRU_EPIPE);
  end(&out);
  out = pipe_to_child(true);
  ecru__io_close_of_child(theirs);
  CHECK_EQ(write_some(&out, data, 1), ECRU_EPIPE);
  end(&out);
  ecru__poller_destroy(p);
}
