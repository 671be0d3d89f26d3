/// Plain threads' side of file_read: `bench_threads file_read PROCS READS PATH`: 64 threads on PROCS processors read at random from a file
/// that is in the page cache, 4 KiB at a time, then 64 KiB at a time (a sixteenth of the reads). Prints one line of key=value pairs.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 64, FILE_BYTES = 16 << 20, SMALL = 4096, LARGE = 65536 };

static int file;
static size_t read_bytes;
static long reads_each;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *read_all(void *seed) {
  unsigned random = (unsigned)(size_t)seed * 2654435761u + 1;
  char *buffer = malloc(LARGE);
  if (!buffer) fail("malloc");
  for (long i = 0; i < reads_each; i++) {
    random = random * 1664525u + 1013904223u;
    off_t at = (off_t)((random >> 8) % (FILE_BYTES / read_bytes) * read_bytes);
    if (pread(file, buffer, read_bytes, at) != (ssize_t)read_bytes) fail("pread");
  }
  free(buffer);
  return NULL;
}

static void measure(size_t bytes, long reads, const char *suffix) {
  pthread_t threads[THREADS];
  read_bytes = bytes;
  reads_each = reads / THREADS;
  double wall_ns = clock_ns(CLOCK_MONOTONIC), cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (size_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, read_all, (void *)i) != 0) fail("pthread_create");
  for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  double count = (double)reads_each * THREADS;
  printf("wall_ns_per_%s=%.1f cpu_ns_per_%s=%.1f ", suffix, (clock_ns(CLOCK_MONOTONIC) - wall_ns) / count, suffix,
         (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns) / count);
}

static void limit_to(int procs) {
  cpu_set_t allowed, chosen;
  CPU_ZERO(&chosen);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&chosen) < procs; i++)
    if (CPU_ISSET(i, &allowed)) CPU_SET(i, &chosen);
  sched_setaffinity(0, sizeof chosen, &chosen);
}

int main(int arguments, char **argument) {
  if (arguments != 5 || strcmp(argument[1], "file_read") != 0) return 2;
  limit_to(atoi(argument[2]));
  if ((file = open(argument[4], O_RDONLY)) < 0) fail(argument[4]);
  measure(SMALL, atol(argument[3]), "op");
  measure(LARGE, atol(argument[3]) / 16, "64k");
  printf("\n");
  return 0;
}
