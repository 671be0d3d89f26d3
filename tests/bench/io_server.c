/// bench_io_server CASE PROCS ...: ecru's side of the I/O benchmarks. The peers (tests/peers/go/io, tests/peers/tokio/src/io.rs,
/// tests/peers/uv, tests/peers/epoll, tests/peers/threads) take the same arguments and do the same, as one would write it there. The
/// client is io_load.c. (HTTP and RESP: docs/examples/httpd and kv.)
///
/// echo PORT             accept on 127.0.0.1:PORT; what comes on a connection goes back, read and written 512 B at a time by a goroutine
///                       of its own; until it is killed
/// file_read READS PATH  64 goroutines read at random from a file that is in the page cache, 4 KiB at a time, then 64 KiB at a time (a
///                       sixteenth of the reads); prints one line of key=value pairs

#include <ecru/ecru.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BUFFER_BYTES = 512, READERS = 64, FILE_BYTES = 16 << 20 };

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

// ---- file_read ---------------------------------------------------------------------------------------------------------

static ecru_file *file;
static size_t read_bytes;
static long reads_each;
static ecru_waitgroup *readers;

static void read_all(void *seed) {
  uint32_t random = (uint32_t)(uintptr_t)seed * 2654435761u + 1;
  char *buffer = malloc(read_bytes);
  if (!buffer) must(ECRU_ENOMEM, "malloc");
  for (long i = 0; i < reads_each; i++) {
    random = random * 1664525u + 1013904223u;
    int64_t at = (int64_t)((random >> 8) % (FILE_BYTES / read_bytes) * read_bytes);
    int64_t count = ecru_file_read_at(file, buffer, read_bytes, at);
    must(count == (int64_t)read_bytes ? 0 : ECRU_EIO, "read");
  }
  free(buffer);
  must(ecru_waitgroup_done(readers), "done");
}

static double clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure_reads(size_t bytes, long reads, const char *suffix) {
  read_bytes = bytes;
  reads_each = reads / READERS;
  double wall_ns = clock_ns(CLOCK_MONOTONIC), cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  must(ecru_waitgroup_create(&readers), "waitgroup");
  must(ecru_waitgroup_add(readers, READERS), "add");
  for (uintptr_t i = 0; i < READERS; i++) must(ecru_go(read_all, (void *)i), "go");
  must(ecru_waitgroup_wait(readers), "wait");
  ecru_waitgroup_destroy(readers);
  double count = (double)reads_each * READERS;
  printf("wall_ns_per_%s=%.1f cpu_ns_per_%s=%.1f ", suffix, (clock_ns(CLOCK_MONOTONIC) - wall_ns) / count, suffix,
         (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns) / count);
}

static void file_read(void *value) {
  char **argument = value;
  must(ecru_file_open(&file, argument[4], ECRU_FILE_READ, 0), argument[4]);
  measure_reads(4096, atol(argument[3]), "op");
  measure_reads(65536, atol(argument[3]) / 16, "64k");
  printf("\n");
  ecru_file_release(file);
}

static void allow_all_descriptors(void) {
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
}

static int usage(void) {
  fprintf(stderr, "usage: bench_io_server echo PROCS PORT\n       bench_io_server file_read PROCS READS PATH\n");
  return 2;
}

int main(int arguments, char **argument) {
  ecru_options options = ECRU_OPTIONS;
  if (arguments < 4 || (options.maxprocs = atoi(argument[2])) < 1) return usage();
  allow_all_descriptors();
  if (strcmp(argument[1], "echo") == 0) must(ecru_run_with(&options, echo, argument[3]), "run");
  else if (strcmp(argument[1], "file_read") == 0 && arguments == 5) must(ecru_run_with(&options, file_read, argument), "run");
  else return usage();
  return 0;
}
