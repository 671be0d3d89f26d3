// tests/contract/output.c: writing all of a report (platform/output.h).
#include "platform/output.h"

#include <ecru/base.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

enum { BYTES = 1 << 20 };

static void *read_all(void *fd) {
  static char text[BYTES];
  size_t used = 0;
  for (ssize_t got; used < BYTES && (got = read(*(int *)fd, text + used, BYTES - used)) > 0;) used += (size_t)got;
  return used == BYTES ? text : NULL;
}

static void through_a_pipe(int flags) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(fcntl(ends[1], F_SETFL, flags), 0);
  char *bytes = malloc(BYTES), *read_back;
  for (int i = 0; i < BYTES; i++) bytes[i] = (char)(i * 7 + i / 251);
  pthread_t reader;
  CHECK_EQ(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
  errno = 42;
  CHECK_EQ(ecru__write_all(ends[1], bytes, BYTES), 0);
  CHECK_EQ(errno, 42);
  pthread_join(reader, (void **)(void *)&read_back);
  CHECK(read_back && memcmp(bytes, read_back, BYTES) == 0);
  free(bytes);
  close(ends[0]);
  close(ends[1]);
}

TEST(output, more_than_a_pipe_holds) { through_a_pipe(0); }
TEST(output, waits_for_room_in_a_non_blocking_pipe) { through_a_pipe(O_NONBLOCK); }

TEST(output, failures_are_told_and_errno_is_kept) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  errno = 42;
  CHECK_EQ(ecru__write_all(ends[1], "x", 1), ECRU_EIO);
  CHECK_EQ(ecru__write_all(-1, "x", 1), ECRU_EIO);
  CHECK_EQ(ecru__write_all(-1, "x", 0), 0);
  CHECK_EQ(errno, 42);
  close(ends[1]);
}
