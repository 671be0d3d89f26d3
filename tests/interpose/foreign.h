/// tests/interpose/foreign.h: what the tests of libecru_interpose share: a call made by a goroutine that must park in it.
#ifndef ECRU_TESTS_INTERPOSE_FOREIGN_H
#define ECRU_TESTS_INTERPOSE_FOREIGN_H
#include "tests/goroutines.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/// Two connected descriptors; [0] reads what is written to [1].
static int ends[2];
static inline void open_pipe(void) { CHECK_EQ(pipe(ends), 0); }
static inline void open_sockets(int type) { CHECK_EQ(socketpair(AF_UNIX, type, 0, ends), 0); }
static inline void close_ends(void) { close(ends[0]), close(ends[1]); }

/// Makes `call` in a goroutine, sees that it parks there and not its thread, and has `wake` end it. `call` must go on in its thread.
typedef struct parked_call {
  void (*call)(void);
  ecru_chan *ended;
} parked_call;
static inline void make_call(void *argument) {
  parked_call *p = argument;
  long thread = thread_here();
  p->call();
  CHECK_EQ(thread_here(), thread);
  finish(p->ended);
}
static inline void await_parked(uint64_t count) { UNTIL(counters_now().waiting >= count); }
static inline void parks(void (*call)(void), void (*wake)(void)) {
  parked_call p = {call, signals()};
  go(make_call, &p);
  await_parked(1);
  if (wake) wake();
  await(p.ended, 1);
  ecru_chan_release(p.ended);
}

/// The same of a call that cannot park: it says that it keeps its thread.
static inline void blocks(void (*call)(void), void (*wake)(void)) {
  parked_call p = {call, signals()};
  go(make_call, &p);
  UNTIL(counters_now().blocking == 1);
  wake();
  await(p.ended, 1);
  CHECK_EQ(counters_now().blocking, 0);
  ecru_chan_release(p.ended);
}

/// A listening TCP socket on the loopback interface.
static inline int listen_on_loopback(int backlog, struct sockaddr_in *address) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t bytes = sizeof *address;
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  CHECK_EQ(bind(listener, (struct sockaddr *)address, bytes), 0);
  CHECK_EQ(listen(listener, backlog), 0);
  CHECK_EQ(getsockname(listener, (struct sockaddr *)address, &bytes), 0);
  return listener;
}

/// The interposer is there: else every test would only measure patience.
static inline void need_interposer(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  bool found = false;
  while (maps && fgets(line, sizeof line, maps)) found = found || strstr(line, "libecru_interpose");
  if (maps) fclose(maps);
  CHECK(found);
}

/// The body of a test, as the first goroutine of a runtime with two processors.
static inline void in_goroutine(void (*body)(void *)) {
  need_interposer();
  with_procs(2, body);
}
#endif
