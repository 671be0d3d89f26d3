/// bench_io_server CASE PROCS PORT: ecru's side of the I/O benchmarks. The peers (tests/peers/go/io, tests/peers/tokio/src/io.rs,
/// tests/peers/uv, tests/peers/epoll) take the same arguments and do the same, as one would write it there. The client is io_load.c.
///
/// echo  accept on 127.0.0.1:PORT; what comes on a connection goes back, read and written 512 B at a time by a goroutine of its own
///
/// It runs until it is killed.

#include <ecru/ecru.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BUFFER_BYTES = 512 };

static void must(int status, const char *what) {
  if (status >= 0) return;
  fprintf(stderr, "bench_io_server: %s: %s\n", what, ecru_strerror(status));
  exit(1);
}

static void serve(void *value) {
  ecru_io *io = value;
  char buffer[BUFFER_BYTES];
  int64_t count;
  while ((count = ecru_io_read(io, buffer, sizeof buffer)) > 0)
    if (ecru_io_write(io, buffer, (size_t)count, NULL) < 0) break;
  ecru_io_release(io);
}

static void echo(void *port) {
  char address[64];
  ecru_io *listener, *io;
  snprintf(address, sizeof address, "127.0.0.1:%s", (const char *)port);
  must(ecru_listen(&listener, "tcp", address), "listen");
  for (;;) {
    must(ecru_accept(listener, &io, NULL), "accept");
    must(ecru_go(serve, io), "go");
  }
}

static void allow_all_descriptors(void) {
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
}

int main(int arguments, char **argument) {
  ecru_options options = ECRU_OPTIONS;
  if (arguments != 4 || strcmp(argument[1], "echo") != 0 || (options.maxprocs = atoi(argument[2])) < 1) {
    fprintf(stderr, "usage: bench_io_server echo PROCS PORT\n");
    return 2;
  }
  allow_all_descriptors();
  must(ecru_run_with(&options, echo, argument[3]), "run");
  return 0;
}
