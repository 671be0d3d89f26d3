// Between the portions of a long write its token, its deadline and its closing are looked at, even if none of them has to wait (I1, I2, I3, K2).
//
// The library's own calls come here: on one descriptor each moves a single byte, and during the third another thread ends the write.
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "runtime/io.h"
#include "tests/sockets.h"

enum { BYTES = 100, PORTIONS = 3 };
static struct {
  ecru_io *writer;
  int descriptor, portions;
  void (*end)(void);
  pthread_t thread;
  _Atomic int ended;
} slow = {.descriptor = -1};
static ecru_token *token;
static char data[BYTES];

static void *end_from_outside(void *unused) {
  (void)unused;
  slow.end();
  atomic_store(&slow.ended, 1);
  return NULL;
}
static void after_portion(void) {
  if (++slow.portions != PORTIONS) return;
  slow.thread = start_thread(end_from_outside, NULL);
  while (!atomic_load(&slow.ended) && ecru__io_usable(slow.writer, ECRU__OUT) == 0) {} // a close goes on until the write has left
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  if (descriptor != slow.descriptor) return syscall(SYS_write, descriptor, bytes, count);
  ssize_t moved = syscall(SYS_write, descriptor, bytes, (size_t)1);
  after_portion();
  return moved;
}
ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
  if (descriptor == slow.descriptor) return write(descriptor, pieces->iov_base, 1);
  return syscall(SYS_writev, descriptor, pieces, (long)count);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
  if (to != slow.descriptor) return syscall(SYS_sendfile, to, from, offset, count);
  ssize_t moved = syscall(SYS_sendfile, to, from, offset, (size_t)1);
  after_portion();
  return moved;
}

// ---- what is written ------------------------------------------------------------------------------------------------------

static int64_t write_all(uint64_t *moved) {
  size_t written = 0;
  int64_t result = ecru_io_write(slow.writer, data, BYTES, &written);
  *moved = written;
  return result;
}
static int64_t writev_all(uint64_t *moved) {
  ecru_buffer buffers[] = {{data, 1}, {data, BYTES - 1}};
  size_t written = 0;
  int64_t result = ecru_io_writev(slow.writer, buffers, 2, &written);
  *moved = written;
  return result;
}
static int file = -1;
static int64_t send_all(uint64_t *moved) { return ecru_io_send_file(slow.writer, file, 0, BYTES, moved); }
static int64_t send_all_after_head(uint64_t *moved) { return ecru_io_send_file_after(slow.writer, data, 2, file, 0, BYTES - 2, moved); }

// ---- how it ends ----------------------------------------------------------------------------------------------------------

static void fire_token(void) { CHECK_EQ(ecru_token_cancel(token, 0), 0); }
static void set_deadline(void) { CHECK_EQ(ecru_io_set_deadline(slow.writer, ECRU_IO_WRITE, 1), 0); }
static void close_writer(void) { CHECK_EQ(ecru_io_close(slow.writer), 0); }

static void ends_in_the_middle(int64_t (*write_it)(uint64_t *moved), void (*end)(void), int status) {
  ecru_io *reader = NULL;
  uint64_t moved = 0;
  char arrived[BYTES];
  CHECK_EQ(ecru_pipe(&reader, &slow.writer), 0); // it has room for all
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  slow.descriptor = (int)slow.writer->pollee.descriptor; // not asked for: that would change how it is written to
  slow.end = end;
  slow.portions = 0;
  atomic_store(&slow.ended, 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(write_it(&moved), status);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(slow.portions, PORTIONS);
  CHECK_EQ(moved, PORTIONS);
  join_thread(slow.thread);
  slow.descriptor = -1;
  CHECK_EQ(ecru_io_read(reader, arrived, BYTES), PORTIONS);
  ecru_token_release(token);
  ecru_io_release(slow.writer);
  ecru_io_release(reader);
}

static void (*end_with)(void);
static int expected;
static void end_all(void *unused) {
  (void)unused;
  char name[] = "/tmp/ecru_io_portions_XXXXXX";
  file = mkstemp(name);
  CHECK(file >= 0);
  CHECK_EQ(unlink(name), 0);
  CHECK_EQ(pwrite(file, data, BYTES, 0), BYTES);
  ends_in_the_middle(write_all, end_with, expected);
  ends_in_the_middle(writev_all, end_with, expected);
  ends_in_the_middle(send_all, end_with, expected);
  ends_in_the_middle(send_all_after_head, end_with, expected);
  CHECK_EQ(close(file), 0);
}
static void check_all_end(void (*end)(void), int status) {
  end_with = end;
  expected = status;
  with_procs(1, end_all);
}

TEST(io_portions, the_token_ends_a_write_between_them) { check_all_end(fire_token, ECRU_ECANCELED); }   // I1, K2
TEST(io_portions, a_deadline_ends_a_write_between_them) { check_all_end(set_deadline, ECRU_ETIMEDOUT); } // I1, I2
TEST(io_portions, closing_ends_a_write_between_them) { check_all_end(close_writer, ECRU_ECLOSED); }      // I1, I3
