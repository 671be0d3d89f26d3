// Descriptors as cases of a select (S1, S4).
#include "tests/test.h"
#include <ecru/ecru.h>

static void write_one(void *argument) {
  CHECK_EQ(ecru_io_write(argument, "x", 1, NULL), 1);
  ecru_io_release(argument); // the byte may have been read, and all be over, before it is out of the call
}

static void close_it(void *argument) { CHECK_EQ(ecru_io_close(argument), 0); }

static void whole(void (*body)(ecru_io *a, ecru_io *b, ecru_chan *chan)) {
  ecru_io *a, *b;
  ecru_chan *chan;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  CHECK_EQ(ecru_chan_create(&chan, 0, 0), 0);
  body(a, b, chan);
  ecru_chan_release(chan);
  ecru_io_release(a);
  ecru_io_release(b);
}

static void readiness(ecru_io *a, ecru_io *b, ecru_chan *chan) {
  char byte;
  ecru_case cases[] = {{ECRU_CASE_RECV, 0, chan, NULL}, {ECRU_CASE_READ, -1, a, NULL}};
  CHECK_EQ(ecru_select(cases, 2, ECRU_SELECT_POLL), ECRU_EAGAIN);
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(ecru_go(write_one, ecru_io_retain(b)), 0);
    CHECK_EQ(ecru_select(cases, 2, i % 2 ? ECRU_SELECT_PRIORITY : 0), 1);
    CHECK_EQ(cases[1].status, 0);
    CHECK_EQ(ecru_io_read(a, &byte, 1), 1);
  }
  ecru_case room = {ECRU_CASE_WRITE, -1, a, NULL};
  CHECK_EQ(ecru_select(&room, 1, 0), 0);
  CHECK_EQ(room.status, 0);
  CHECK_EQ(ecru_io_close(b), 0); // waits until the last writer has left
}
TEST(select_io, a_descriptor_is_ready_when_there_is_something_to_read) { whole(readiness); } // S1

static void other_wins(ecru_io *a, ecru_io *b, ecru_chan *chan) {
  (void)b;
  ecru_case cases[] = {{ECRU_CASE_RECV, 0, chan, NULL}, {ECRU_CASE_READ, -1, a, NULL}, {ECRU_CASE_READ, -1, NULL, NULL}};
  CHECK_EQ(ecru_select_until(cases, 3, 0, ecru_after(ECRU_MILLISECOND)), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_chan_close(chan), 0);
  CHECK_EQ(ecru_select(cases, 3, 0), 0);
}
TEST(select_io, it_loses_to_a_channel_and_to_a_deadline) { whole(other_wins); } // S1, S3

static void closing(ecru_io *a, ecru_io *b, ecru_chan *chan) {
  (void)b, (void)chan;
  ecru_case cases[] = {{ECRU_CASE_READ, 0, a, NULL}};
  CHECK_EQ(ecru_go(close_it, a), 0);
  CHECK_EQ(ecru_select(cases, 1, 0), 0);
  CHECK_EQ(cases[0].status, ECRU_ECLOSED);
  CHECK_EQ(ecru_select(cases, 1, 0), 0);
  CHECK_EQ(cases[0].status, ECRU_ECLOSED);
}
TEST(select_io, closing_makes_it_ready) { whole(closing); } // S1, I3

static void deadline(ecru_io *a, ecru_io *b, ecru_chan *chan) {
  (void)b, (void)chan;
  ecru_case cases[] = {{ECRU_CASE_READ, 0, a, NULL}};
  CHECK_EQ(ecru_io_set_deadline(a, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_select(cases, 1, 0), 0);
  CHECK_EQ(cases[0].status, ECRU_ETIMEDOUT);
}
TEST(select_io, its_deadline_makes_it_ready) { whole(deadline); } // S1, I2

enum { READERS = 4, BYTES = 2000 };
static _Atomic int taken;

struct reader {
  ecru_io *io;
  ecru_waitgroup *done;
};

static void select_and_read(void *argument) {
  struct reader *reader = argument;
  ecru_io *a = reader->io;
  char byte;
  for (int64_t count = 1; count != 0;) {
    ecru_case cases[] = {{ECRU_CASE_READ, 0, a, NULL}};
    CHECK_EQ(ecru_select(cases, 1, 0), 0);
    count = ecru_io_try_read(a, &byte, 1);
    CHECK(count == 0 || count == 1 || count == ECRU_EAGAIN); // another one was faster
    if (count == 1) taken++;
  }
  CHECK_EQ(ecru_waitgroup_done(reader->done), 0);
}

static void crowd(ecru_io *a, ecru_io *b, ecru_chan *chan) {
  (void)chan;
  ecru_waitgroup *done;
  CHECK_EQ(ecru_waitgroup_create(&done), 0);
  CHECK_EQ(ecru_waitgroup_add(done, READERS), 0);
  struct reader reader = {a, done};
  for (int i = 0; i < READERS; i++) CHECK_EQ(ecru_go(select_and_read, &reader), 0);
  for (int i = 0; i < BYTES; i++) CHECK_EQ(ecru_io_write(b, "x", 1, NULL), 1);
  CHECK_EQ(ecru_io_shutdown(b, ECRU_IO_WRITE), 0);
  CHECK_EQ(ecru_waitgroup_wait(done), 0);
  CHECK_EQ(taken, BYTES);
  ecru_waitgroup_destroy(done);
}
TEST(select_io, many_selects_on_one_descriptor_miss_nothing) { whole(crowd); } // S4
