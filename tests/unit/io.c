// Reading and writing descriptors: turns, deadlines, closing, readiness (I1, I2, I3, I7).
#include "tests/test.h"
#include <ecru/ecru.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct ends {
  ecru_io *a, *b;
  ecru_waitgroup *done;
  int64_t result;
} ends;

static void open_ends(ends *e) {
  CHECK_EQ(ecru_io_pair(&e->a, &e->b), 0);
  CHECK_EQ(ecru_waitgroup_create(&e->done), 0);
}

static void close_ends(ends *e) {
  ecru_io_release(e->a);
  ecru_io_release(e->b);
  ecru_waitgroup_destroy(e->done);
}

static void start(ends *e, ecru_fn fn) {
  CHECK_EQ(ecru_waitgroup_add(e->done, 1), 0);
  CHECK_EQ(ecru_go(fn, e), 0);
}

static void wait_all(ends *e) { CHECK_EQ(ecru_waitgroup_wait(e->done), 0); }

static void read_into_result(void *argument) {
  ends *e = argument;
  char byte;
  e->result = ecru_io_read(e->a, &byte, 1);
  CHECK_EQ(ecru_waitgroup_done(e->done), 0);
}

/// Until somebody stands in "io read": the dump says so.
static void wait_for_reader(void) {
  for (;;) {
    ecru_counters counters = {.size = sizeof counters};
    CHECK_EQ(ecru_get_counters(&counters), 0);
    if (counters.waiting > 0) return;
    ecru_yield();
  }
}

static void echo_once(void *argument) {
  ends *e = argument;
  char data[16];
  int64_t count = ecru_io_read(e->b, data, sizeof data);
  CHECK_EQ(count, 5);
  CHECK_EQ(ecru_io_write(e->b, data, (size_t)count, NULL), 5);
  CHECK_EQ(ecru_io_shutdown(e->b, ECRU_IO_WRITE), 0);
  CHECK_EQ(ecru_waitgroup_done(e->done), 0);
}

TEST(io, bytes_go_and_come_and_end) { // I1
  ends e;
  char data[16];
  open_ends(&e);
  start(&e, echo_once);
  CHECK_EQ(ecru_io_write(e.a, "hello", 5, NULL), 5);
  CHECK_EQ(ecru_io_read(e.a, data, sizeof data), 5);
  CHECK(memcmp(data, "hello", 5) == 0);
  CHECK_EQ(ecru_io_read(e.a, data, sizeof data), 0);
  wait_all(&e);
  close_ends(&e);
}

static void drain_slowly(void *argument) {
  ends *e = argument;
  static char data[4096];
  int64_t count;
  while ((count = ecru_io_read(e->b, data, sizeof data)) > 0) {
    for (int64_t i = 0; i < count; i++) CHECK_EQ((unsigned char)data[i], (unsigned char)((e->result + i) % 251));
    e->result += count;
  }
  CHECK_EQ(count, 0);
  CHECK_EQ(ecru_waitgroup_done(e->done), 0);
}

TEST(io, a_write_writes_all) { // I1
  enum { BYTES = 4 << 20 };
  static char data[BYTES];
  ends e = {.result = 0};
  for (int i = 0; i < BYTES; i++) data[i] = (char)(i % 251);
  open_ends(&e);
  start(&e, drain_slowly);
  size_t written = 0;
  CHECK_EQ(ecru_io_write(e.a, data, BYTES, &written), BYTES);
  CHECK_EQ(written, BYTES);
  CHECK_EQ(ecru_io_shutdown(e.a, ECRU_IO_WRITE), 0);
  wait_all(&e);
  CHECK_EQ(e.result, BYTES);
  close_ends(&e);
}

TEST(io, a_vectored_write_writes_all_in_order) { // I1
  enum { PIECES = 1000, BYTES = 3000 };
  static char data[PIECES * BYTES];
  ecru_buffer buffers[PIECES];
  ends e = {.result = 0};
  for (int i = 0; i < PIECES * BYTES; i++) data[i] = (char)(i % 251);
  for (int i = 0; i < PIECES; i++) buffers[i] = (ecru_buffer){data + i * BYTES, i == 7 ? 0 : BYTES};
  for (int i = 8; i < PIECES; i++) buffers[i].data = data + (i - 1) * BYTES;
  open_ends(&e);
  start(&e, drain_slowly);
  CHECK_EQ(ecru_io_writev(e.a, buffers, PIECES, NULL), (PIECES - 1) * BYTES);
  CHECK_EQ(ecru_io_shutdown(e.a, ECRU_IO_WRITE), 0);
  wait_all(&e);
  CHECK_EQ(e.result, (PIECES - 1) * BYTES);
  close_ends(&e);
}

enum { FILE_BYTES = 100000, HEAD_BYTES = 10 };
static int file_with_pattern(void) { // the bytes drain_slowly expects behind HEAD_BYTES others
  char path[] = "/tmp/ecru_io_XXXXXX";
  static char data[FILE_BYTES];
  int file = mkstemp(path);
  CHECK(file >= 0);
  CHECK_EQ(unlink(path), 0);
  for (int i = 0; i < FILE_BYTES; i++) data[i] = (char)((i + HEAD_BYTES) % 251);
  CHECK_EQ(write(file, data, sizeof data), FILE_BYTES);
  return file;
}

TEST(io, a_head_and_a_file_are_one_write) { // I1
  ends e = {.result = 0};
  static const char head[HEAD_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  uint64_t sent = 1;
  int file = file_with_pattern();
  open_ends(&e);
  start(&e, drain_slowly);
  CHECK_EQ(ecru_io_send_file_after(e.a, head, HEAD_BYTES, file, 0, FILE_BYTES, &sent), HEAD_BYTES + FILE_BYTES);
  CHECK_EQ(sent, HEAD_BYTES + FILE_BYTES);
  CHECK_EQ(ecru_io_shutdown(e.a, ECRU_IO_WRITE), 0);
  wait_all(&e);
  CHECK_EQ(e.result, HEAD_BYTES + FILE_BYTES);
  CHECK_EQ(ecru_io_send_file_after(e.a, head, HEAD_BYTES, file, 0, FILE_BYTES, &sent), ECRU_EPIPE);
  CHECK_EQ(sent, 0);
  close(file);
  close_ends(&e);
}

TEST(io, a_head_comes_also_without_the_file) { // I1
  ends e;
  char data[32];
  uint64_t sent = 1;
  int file = file_with_pattern();
  open_ends(&e);
  CHECK_EQ(ecru_io_send_file_after(e.a, "head", 4, file, FILE_BYTES - 2, 10, &sent), 6); // the file ends before
  CHECK_EQ(sent, 6);
  CHECK_EQ(ecru_io_send_file_after(e.a, "more", 4, file, 0, 0, NULL), 4);
  CHECK_EQ(ecru_io_send_file_after(e.a, NULL, 0, file, 0, 3, NULL), 3);
  CHECK_EQ(ecru_io_read(e.b, data, sizeof data), 13);
  CHECK(memcmp(data, "head", 4) == 0 && memcmp(data + 6, "more", 4) == 0);
  CHECK_EQ(ecru_io_send_file_after(e.a, "head", 4, -1, 0, 1, &sent), ECRU_EINVAL);
  CHECK_EQ(ecru_io_send_file_after(e.a, NULL, 4, file, 0, 1, &sent), ECRU_EINVAL);
  CHECK_EQ(ecru_io_send_file_after(e.a, "head", 4, file, -1, 1, &sent), ECRU_EINVAL);
  close(file);
  close_ends(&e);
}

TEST(io, closing_wakes_a_reader) { // I3
  ends e;
  open_ends(&e);
  start(&e, read_into_result);
  wait_for_reader();
  CHECK_EQ(ecru_io_close(e.a), 0);
  wait_all(&e);
  CHECK_EQ(e.result, ECRU_ECLOSED);
  CHECK_EQ(ecru_io_close(e.a), ECRU_ECLOSED);
  CHECK_EQ(ecru_io_read(e.a, &e.result, 1), ECRU_ECLOSED);
  close_ends(&e);
}

TEST(io, a_deadline_ends_a_pending_read_and_later_ones) { // I2
  ends e;
  char byte;
  open_ends(&e);
  start(&e, read_into_result);
  wait_for_reader();
  CHECK_EQ(ecru_io_set_deadline(e.a, ECRU_IO_READ, ecru_after(ECRU_MILLISECOND)), 0);
  wait_all(&e);
  CHECK_EQ(e.result, ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_io_read(e.a, &byte, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_io_write(e.a, "x", 1, NULL), 1);
  CHECK_EQ(ecru_io_set_deadline(e.a, ECRU_IO_READ, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_io_write(e.b, "y", 1, NULL), 1);
  CHECK_EQ(ecru_io_read(e.a, &byte, 1), 1);
  close_ends(&e);
}

TEST(io, the_token_ends_a_read) { // K2, I2
  ends e;
  char byte;
  open_ends(&e);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_read(e.a, &byte, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_io_write(e.b, "y", 1, NULL), 1);
  CHECK_EQ(ecru_io_read(e.a, &byte, 1), 1);
  close_ends(&e);
}

TEST(io, waiting_for_readiness_takes_nothing) { // I7
  ends e;
  char byte;
  open_ends(&e);
  CHECK_EQ(ecru_io_wait(e.a, ECRU_IO_WRITE), ECRU_IO_WRITE);
  CHECK_EQ(ecru_io_write(e.b, "z", 1, NULL), 1);
  CHECK_EQ(ecru_io_wait(e.a, ECRU_IO_READ), ECRU_IO_READ);
  CHECK_EQ(ecru_io_read(e.a, &byte, 1), 1);
  CHECK_EQ(byte, 'z');
  close_ends(&e);
}

static void write_later(void *argument) {
  ends *e = argument;
  CHECK_EQ(write((int)e->result, "q", 1), 1);
  CHECK_EQ(ecru_waitgroup_done(e->done), 0);
}

TEST(io, a_foreign_descriptor_can_be_waited_for) { // I7
  ends e = {.a = NULL};
  int both[2];
  char byte;
  CHECK_EQ(ecru_waitgroup_create(&e.done), 0);
  for (int round = 0; round < 3; round++) { // the numbers are reused
    CHECK_EQ(pipe(both), 0);
    for (int i = 0; i < 100; i++) {
      e.result = both[1];
      start(&e, write_later);
      CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_IO_READ);
      CHECK_EQ(read(both[0], &byte, 1), 1);
      wait_all(&e);
    }
    close(both[0]);
    close(both[1]);
  }
  CHECK_EQ(ecru_wait_fd(both[0], ECRU_IO_READ), ECRU_EBADF);
  ecru_waitgroup_destroy(e.done);
}
