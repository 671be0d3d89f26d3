// Readers and writers with a buffer; copying from one descriptor to another (I1).
#include "tests/test.h"
#include <ecru/ecru.h>

#include <stdlib.h>
#include <string.h>

typedef struct pipeline {
  ecru_io *in, *out;
  const char *text;
  size_t bytes, piece;
  ecru_waitgroup *done;
} pipeline;

static void feed(void *argument) {
  pipeline *p = argument;
  for (size_t at = 0; at < p->bytes; at += p->piece) {
    size_t count = p->bytes - at < p->piece ? p->bytes - at : p->piece;
    CHECK_EQ(ecru_io_write(p->out, p->text + at, count, NULL), (int64_t)count);
    ecru_yield();
  }
  CHECK_EQ(ecru_io_close(p->out), 0);
  CHECK_EQ(ecru_waitgroup_done(p->done), 0);
}

static void begin(pipeline *p, const char *text, size_t bytes, size_t piece) {
  *p = (pipeline){.text = text, .bytes = bytes, .piece = piece};
  CHECK_EQ(ecru_waitgroup_create(&p->done), 0);
  CHECK_EQ(ecru_waitgroup_add(p->done, 1), 0);
  CHECK_EQ(ecru_pipe(&p->in, &p->out), 0);
  CHECK_EQ(ecru_go(feed, p), 0);
}

static void end(pipeline *p) {
  CHECK_EQ(ecru_waitgroup_wait(p->done), 0);
  ecru_waitgroup_destroy(p->done);
  ecru_io_release(p->in);
  ecru_io_release(p->out);
}

static void expect_line(ecru_reader *reader, const char *expected) {
  const char *line;
  size_t length;
  CHECK_EQ(ecru_reader_line(reader, &line, &length), 1);
  CHECK_EQ(length, strlen(expected));
  CHECK(memcmp(line, expected, length) == 0);
}

static void lines_in_pieces(size_t piece) {
  static const char text[] = "first\r\n\nthird line\nlast without end";
  pipeline p;
  ecru_reader *reader;
  const char *line;
  begin(&p, text, sizeof text - 1, piece);
  CHECK_EQ(ecru_reader_create(&reader, p.in, 20), 0);
  expect_line(reader, "first");
  expect_line(reader, "");
  expect_line(reader, "third line");
  expect_line(reader, "last without end");
  CHECK_EQ(ecru_reader_line(reader, &line, NULL), 0);
  CHECK_EQ(ecru_reader_line(reader, &line, NULL), 0);
  ecru_reader_destroy(reader);
  end(&p);
}

TEST(buffered, lines_come_whole_however_they_arrive) { // I1
  for (size_t piece = 1; piece < 40; piece++) lines_in_pieces(piece);
}

TEST(buffered, a_line_that_does_not_fit_stays) { // I1
  pipeline p;
  ecru_reader *reader;
  const char *line;
  char start[4];
  begin(&p, "0123456789\n", 11, 3);
  CHECK_EQ(ecru_reader_create(&reader, p.in, 8), 0);
  CHECK_EQ(ecru_reader_line(reader, &line, NULL), ECRU_EMSGSIZE);
  CHECK_EQ(ecru_reader_read_exactly(reader, start, 4, NULL), 0);
  CHECK(memcmp(start, "0123", 4) == 0);
  expect_line(reader, "456789");
  ecru_reader_destroy(reader);
  end(&p);
}

TEST(buffered, exact_reads_peeks_and_skips) { // I1
  pipeline p;
  ecru_reader *reader;
  const char *data;
  char part[8];
  size_t got;
  begin(&p, "abcdefghijklmnopqrstuvwxyz", 26, 5);
  CHECK_EQ(ecru_reader_create(&reader, p.in, 8), 0);
  CHECK_EQ(ecru_reader_peek(reader, 3, &data), 3);
  CHECK(memcmp(data, "abc", 3) == 0);
  CHECK_EQ(ecru_reader_read_exactly(reader, part, 7, &got), 0);
  CHECK(memcmp(part, "abcdefg", 7) == 0);
  CHECK_EQ(ecru_reader_peek(reader, 8, &data), 8);
  CHECK(memcmp(data, "hijklmno", 8) == 0);
  CHECK_EQ(ecru_reader_peek(reader, 9, &data), ECRU_EINVAL);
  CHECK_EQ(ecru_reader_skip(reader, 15), 0);
  CHECK_EQ(ecru_reader_read_exactly(reader, part, 8, &got), ECRU_EEOF);
  CHECK_EQ(got, 4);
  CHECK(memcmp(part, "wxyz", 4) == 0);
  CHECK_EQ(ecru_reader_skip(reader, 1), ECRU_EEOF);
  CHECK_EQ(ecru_reader_peek(reader, 1, &data), 0);
  ecru_reader_destroy(reader);
  end(&p);
}

TEST(buffered, a_reader_is_cancelled_and_loses_nothing) { // K2, I1
  ecru_io *in, *out;
  ecru_reader *reader;
  const char *line;
  CHECK_EQ(ecru_pipe(&in, &out), 0);
  CHECK_EQ(ecru_reader_create(&reader, in, 0), 0);
  CHECK_EQ(ecru_io_write(out, "half", 4, NULL), 4);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_reader_line(reader, &line, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_io_write(out, " and half\n", 10, NULL), 10);
  expect_line(reader, "half and half");
  ecru_reader_destroy(reader);
  ecru_io_release(in);
  ecru_io_release(out);
}

TEST(buffered, a_writer_gathers_and_flushes) { // I1
  ecru_io *in, *out;
  ecru_writer *writer;
  char data[64];
  CHECK_EQ(ecru_pipe(&in, &out), 0);
  CHECK_EQ(ecru_writer_create(&writer, out, 16), 0);
  CHECK_EQ(ecru_writer_write(writer, "hello", 5), 5);
  CHECK_EQ(ecru_writer_write(writer, ", ", 2), 2);
  CHECK_EQ(ecru_writer_buffered(writer), 7);
  CHECK_EQ(ecru_io_try_read(in, data, sizeof data), ECRU_EAGAIN);
  CHECK_EQ(ecru_writer_write(writer, "wonderful world", 15), 15);
  CHECK_EQ(ecru_io_read(in, data, sizeof data), 22);
  CHECK(memcmp(data, "hello, wonderful world", 22) == 0);
  CHECK_EQ(ecru_writer_write(writer, "!", 1), 1);
  CHECK_EQ(ecru_writer_flush(writer), 0);
  CHECK_EQ(ecru_io_read(in, data, sizeof data), 1);
  CHECK_EQ(ecru_io_close(in), 0);
  CHECK_EQ(ecru_writer_write(writer, "x", 1), 1);
  CHECK_EQ(ecru_writer_flush(writer), ECRU_EPIPE);
  CHECK_EQ(ecru_writer_write(writer, "y", 1), ECRU_EPIPE);
  ecru_writer_destroy(writer);
  ecru_io_release(in);
  ecru_io_release(out);
}

struct copy {
  ecru_io *to, *from;
  ecru_waitgroup *done;
};

static void copy_it(void *argument) {
  struct copy *copy = argument;
  uint64_t copied = 0;
  int64_t result = ecru_io_copy(copy->to, copy->from, UINT64_MAX, &copied);
  CHECK_EQ(result, (int64_t)copied);
  CHECK_EQ(ecru_io_shutdown(copy->to, ECRU_IO_WRITE), 0);
  CHECK_EQ(ecru_waitgroup_done(copy->done), 0);
}

TEST(buffered, a_copy_passes_on_all_of_it) { // I1
  enum { BYTES = 3 << 20 };
  char *text = malloc(BYTES), *got = malloc(BYTES);
  for (int i = 0; i < BYTES; i++) text[i] = (char)(i * 7 % 253);
  pipeline p;
  struct copy copy;
  ecru_io *far;
  ecru_reader *reader;
  begin(&p, text, BYTES, 100000);
  copy.from = p.in;
  copy.done = p.done;
  CHECK_EQ(ecru_io_pair(&copy.to, &far), 0);
  CHECK_EQ(ecru_waitgroup_add(p.done, 1), 0);
  CHECK_EQ(ecru_go(copy_it, &copy), 0);
  CHECK_EQ(ecru_reader_create(&reader, far, 0), 0);
  CHECK_EQ(ecru_reader_read_exactly(reader, got, BYTES, NULL), 0);
  CHECK(memcmp(got, text, BYTES) == 0);
  CHECK_EQ(ecru_reader_read(reader, got, 1), 0);
  ecru_reader_destroy(reader);
  end(&p);
  ecru_io_release(far);
  ecru_io_release(copy.to);
  free(text);
  free(got);
}

static void close_it(void *io) {
  CHECK_EQ(ecru_io_close(io), 0);
  ecru_io_release(io);
}

// What is read from a pipe goes into the same pipe again: there is always something to read and room to write.
TEST(buffered, a_copy_that_never_waits_ends_at_deadlines_and_on_close) { // I2, I3, K2
  ecru_io *in, *out;
  uint64_t copied;
  CHECK_EQ(ecru_pipe(&in, &out), 0);
  CHECK_EQ(ecru_io_write(out, "round and round", 15, NULL), 15);
  int64_t limit = 50 * ECRU_MILLISECOND;
  do { // with more time if that was over before anything was copied
    CHECK_EQ(ecru_io_set_deadline(in, ECRU_IO_READ, ecru_after(limit)), 0);
    CHECK_EQ(ecru_io_copy(out, in, UINT64_MAX, &copied), ECRU_ETIMEDOUT);
    limit *= 2;
  } while (copied == 0);
  CHECK_EQ(ecru_io_set_deadline(in, ECRU_IO_READ, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_io_set_deadline(out, ECRU_IO_WRITE, ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_copy(out, in, UINT64_MAX, &copied), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_io_set_deadline(out, ECRU_IO_WRITE, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(5 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_io_copy(out, in, UINT64_MAX, &copied), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  char data[16]; // nothing was lost on the way
  CHECK_EQ(ecru_io_read(in, data, sizeof data), 15);
  CHECK_EQ(ecru_io_write(out, data, 15, NULL), 15);
  ecru_timer *closing;
  CHECK_EQ(ecru_after_func(&closing, 5 * ECRU_MILLISECOND, close_it, ecru_io_retain(in)), 0);
  CHECK_EQ(ecru_io_copy(out, in, UINT64_MAX, &copied), ECRU_ECLOSED);
  ecru_timer_destroy(closing);
  ecru_io_release(in);
  ecru_io_release(out);
}

TEST(buffered, a_copy_stops_where_it_is_told) { // I1
  pipeline p;
  ecru_io *a, *b;
  char data[16];
  uint64_t copied;
  begin(&p, "0123456789", 10, 10);
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  CHECK_EQ(ecru_io_copy(a, p.in, 4, &copied), 4);
  CHECK_EQ(copied, 4);
  CHECK_EQ(ecru_io_read(b, data, sizeof data), 4);
  CHECK_EQ(ecru_io_close(b), 0);
  CHECK_EQ(ecru_io_copy(a, p.in, UINT64_MAX, &copied), ECRU_EPIPE);
  CHECK_EQ(copied, 0);
  end(&p);
  ecru_io_release(a);
  ecru_io_release(b);
}
