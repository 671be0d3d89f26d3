/// tests/sockets.h: what the tests of sockets share: connections over loopback, waiting until somebody waits, a listener nobody gets
/// through to.
#ifndef ECRU_TESTS_SOCKETS_H
#define ECRU_TESTS_SOCKETS_H
#include <ecru/ecru.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "dumps.h"
#include "goroutines.h"

/// test_open_fds() for a later comparison: libuv, which may be the poller, keeps a pipe for the whole process from its first loop on.
static inline int open_fds_to_compare(void) {
  uv_loop_t loop;
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_loop_close(&loop), 0);
  return test_open_fds();
}

/// Whether the system has Unix sockets, with names that are no files.
static inline bool has_unix_sockets(void) {
  ecru_io *listener = NULL;
  int status = ecru_listen(&listener, "unix", "@ecru-probe");
  ecru_io_release(listener);
  return status != ECRU_EAFNOSUPPORT;
}

typedef struct two {
  ecru_io *a, *b;
} two;

static inline two pair_of(void) {
  two p;
  CHECK_EQ(ecru_io_pair(&p.a, &p.b), 0);
  return p;
}
static inline void release_two(two p) {
  ecru_io_release(p.a);
  ecru_io_release(p.b);
}

static inline ecru_io *listen_at(const char *network, const char *address) {
  ecru_io *listener = NULL;
  CHECK_EQ(ecru_listen(&listener, network, address), 0);
  return listener;
}
static inline ecru_io *listen_tcp(void) { return listen_at("tcp", "127.0.0.1:0"); }
static inline ecru_address local_of(ecru_io *io) {
  ecru_address address;
  CHECK_EQ(ecru_io_local(io, &address), 0);
  return address;
}
static inline ecru_io *dial_to(const char *network, ecru_io *listener) {
  ecru_io *io = NULL;
  ecru_address address = local_of(listener);
  CHECK_EQ(ecru_dial_address(&io, network, &address), 0);
  return io;
}
/// a: dialled, b: accepted.
static inline two connect_two(const char *network, ecru_io *listener) {
  two p = {dial_to(network, listener), NULL};
  CHECK_EQ(ecru_accept(listener, &p.b, NULL), 0);
  return p;
}
static inline two tcp_two(void) {
  ecru_io *listener = listen_tcp();
  two p = connect_two("tcp", listener);
  ecru_io_release(listener);
  return p;
}
static inline ecru_address parsed(const char *network, const char *text) {
  ecru_address address;
  CHECK_EQ(ecru_address_parse(&address, network, text), 0);
  return address;
}
/// A port of 127.0.0.1 or ::1 nobody listens on: one that was just given back.
static inline ecru_address nobody_at(const char *network, const char *host) {
  ecru_io *listener = listen_at(network, host);
  ecru_address address = local_of(listener);
  CHECK_EQ(ecru_io_close(listener), 0);
  ecru_io_release(listener);
  return address;
}

/// A listener whose backlog is full: who connects to it is not answered.
typedef struct blackhole {
  int listener, fillers[64], count;
  ecru_address address;
} blackhole;
static inline void open_blackhole(blackhole *hole) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof to;
  hole->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(hole->listener >= 0);
  CHECK_EQ(bind(hole->listener, (struct sockaddr *)&to, sizeof to), 0);
  CHECK_EQ(listen(hole->listener, 0), 0);
  CHECK_EQ(getsockname(hole->listener, (struct sockaddr *)&to, &bytes), 0);
  hole->address = (ecru_address){.bytes = sizeof to};
  memcpy(hole->address.storage, &to, sizeof to);
  hole->count = 0;
  for (int unanswered = 0; unanswered < 2;) { // full once connections stay under way
    CHECK(hole->count < 64);
    int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    hole->fillers[hole->count++] = filler;
    if (connect(filler, (struct sockaddr *)&to, sizeof to) == 0) continue;
    CHECK_EQ(errno, EINPROGRESS);
    block_thread_ms(20); // loopback answers at once or never; too short a time only makes more of them
    bytes = sizeof to;
    if (getpeername(filler, (struct sockaddr *)&to, &bytes) != 0) unanswered++;
  }
}
static inline void close_blackhole(blackhole *hole) {
  for (int i = 0; i < hole->count; i++) close(hole->fillers[i]);
  close(hole->listener);
}

/// Until so many goroutines wait in "io ..." (threads are not counted).
static inline void await_waiting_goroutines(uint64_t count) { UNTIL(counters_now().waiting >= count); }

/// Until so many goroutines are parked for this reason ("io read"), as a dump sees them.
static inline void await_parked(int count, const char *reason) {
  char part[64];
  snprintf(part, sizeof part, "\"reason\":\"%s\"", reason);
  for (int seen = -1; seen != count; ecru_yield()) {
    char *text = dump_taken(ECRU_DUMP_JSON);
    seen = count_of(text, part);
    free(text);
  }
}

struct poller_wait {
  ecru_io *io;
  ecru_chan *done;
};
static inline void wait_in_poller(void *argument) {
  struct poller_wait *w = argument;
  char byte;
  CHECK_EQ(ecru_io_read(w->io, &byte, 1), 1);
  finish(w->done);
}
/// test_open_fds() for a later comparison, once the poller is there and somebody has waited in it: libuv's keeps a socket from then on, on Windows.
/// pre: no goroutine reads.
static inline int open_fds_after_a_wait(void) {
  two p = pair_of();
  struct poller_wait w = {p.a, signals()};
  go(wait_in_poller, &w);
  await_parked(1, "io read");
  CHECK_EQ(ecru_io_write(p.b, "x", 1, NULL), 1);
  await(w.done, 1);
  ecru_chan_release(w.done);
  release_two(p);
  return test_open_fds();
}

/// Raises the limit of descriptors as far as `count` or as allowed. returns: the limit.
static inline long allow_descriptors(long count) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur >= (rlim_t)count) return (long)limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max < (rlim_t)count ? limit.rlim_max : (rlim_t)count;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return (long)limit.rlim_cur;
}

static inline void write_text(ecru_io *io, const char *text) {
  CHECK_EQ(ecru_io_write(io, text, strlen(text), NULL), (int64_t)strlen(text));
}
/// Reads exactly this.
static inline void expect_text(ecru_io *io, const char *text) {
  char data[256];
  size_t want = strlen(text), have = 0;
  while (have < want) {
    int64_t count = ecru_io_read(io, data + have, want - have);
    CHECK(count > 0);
    have += (size_t)count;
  }
  data[have] = 0;
  CHECK_STR(data, text);
}
static inline void expect_end(ecru_io *io) {
  char byte;
  CHECK_EQ(ecru_io_read(io, &byte, 1), 0);
}
#endif
