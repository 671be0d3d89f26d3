// Parks a million goroutines, wakes them all, parks them again, and lets them end. Prints what that takes.
// usage: million [how many]
#include <ecru/ecru.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct crowd {
  ecru_chan *first_gate, *second_gate; // nothing is ever sent: they open when they are closed
  ecru_waitgroup *parked, *woken, *ended;
};

static void wait_twice(void *argument) { // a plain function; its two calls park
  struct crowd *crowd = argument;
  ecru_waitgroup_done(crowd->parked);
  ecru_chan_recv(crowd->first_gate, NULL);
  ecru_waitgroup_done(crowd->woken);
  ecru_chan_recv(crowd->second_gate, NULL);
}

// A line of /proc/self/status, in KiB.
static long status_kib(const char *name) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  long kib = 0;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) kib = strtol(line + strlen(name) + 1, NULL, 10);
  }
  if (file != NULL) fclose(file);
  return kib;
}

static long mappings(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  long lines = 0;
  for (int byte; file != NULL && (byte = getc(file)) != EOF;) lines += byte == '\n';
  if (file != NULL) fclose(file);
  return lines;
}

struct moment {
  int64_t wall_ns, cpu_ns;
};

static struct moment moment(void) {
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return (struct moment){ecru_now(), cpu.tv_sec * ECRU_SECOND + cpu.tv_nsec};
}

static void print_phase(const char *name, struct moment from, struct moment to, long count) {
  printf("%-9s %.3f s, %lld ns of CPU each\n", name, (double)(to.wall_ns - from.wall_ns) / 1e9,
         (long long)(to.cpu_ns - from.cpu_ns) / count);
}

static int create(struct crowd *crowd, long count) {
  int status = ecru_chan_create(&crowd->first_gate, 0, 0);
  if (status == 0) status = ecru_chan_create(&crowd->second_gate, 0, 0);
  if (status == 0) status = ecru_waitgroup_create(&crowd->parked);
  if (status == 0) status = ecru_waitgroup_create(&crowd->woken);
  if (status == 0) status = ecru_waitgroup_create(&crowd->ended);
  if (status == 0) status = ecru_waitgroup_add(crowd->parked, count);
  if (status == 0) status = ecru_waitgroup_add(crowd->woken, count);
  return status;
}

static void destroy(struct crowd *crowd) {
  ecru_waitgroup_destroy(crowd->parked);
  ecru_waitgroup_destroy(crowd->woken);
  ecru_waitgroup_destroy(crowd->ended);
  ecru_chan_release(crowd->first_gate);
  ecru_chan_release(crowd->second_gate);
}

struct job {
  long count;
  int status;
};

static long start_all(struct crowd *crowd, long count, int *status) {
  long started = 0;
  while (started < count && (*status = ecru_waitgroup_go(crowd->ended, wait_twice, crowd)) == 0) started++;
  if (started < count) {
    fprintf(stderr, "million: only %ld could be started\n", started);
    ecru_waitgroup_add(crowd->parked, started - count); // nobody waits for the others
    ecru_waitgroup_add(crowd->woken, started - count);
  }
  ecru_waitgroup_wait(crowd->parked);
  return started;
}

static int run_crowd(struct crowd *crowd, long count) {
  int status = 0;
  long resident = status_kib("VmRSS"), tables = status_kib("VmPTE"); // before
  struct moment begin = moment();
  long started = start_all(crowd, count, &status);
  struct moment parked = moment();
  resident = status_kib("VmRSS") - resident, tables = status_kib("VmPTE") - tables;
  long maps = mappings();
  ecru_counters counters = {.size = sizeof counters};
  ecru_get_counters(&counters);

  struct moment wake = moment();
  ecru_chan_close(crowd->first_gate);
  ecru_waitgroup_wait(crowd->woken);
  struct moment woken = moment();
  ecru_chan_close(crowd->second_gate);
  ecru_waitgroup_wait(crowd->ended);
  struct moment ended = moment();

  if (started == 0) return status;
  printf("%ld goroutines, each parked with a stack of its own, on %d processors\n", started, ecru_maxprocs());
  printf("memory    %.2f KiB each: %ld MiB resident, %ld MiB of page tables\n",
         (double)(resident + tables) / (double)started, resident / 1024, tables / 1024);
  printf("mappings  %ld\n", maps);
  print_phase("start", begin, parked, started);
  print_phase("wake", wake, woken, started);
  print_phase("end", woken, ended, started);
  if (status == 0 && counters.goroutines != (uint64_t)started + 1) {
    printf("OFF: %llu goroutines were alive\n", (unsigned long long)counters.goroutines);
    status = ECRU_EINVAL;
  }
  return status;
}

static void start(void *argument) {
  struct job *job = argument;
  struct crowd crowd = {0};
  job->status = create(&crowd, job->count);
  if (job->status == 0) job->status = run_crowd(&crowd, job->count);
  destroy(&crowd);
}

int main(int argc, char **argv) {
  struct job job = {argc > 1 ? strtol(argv[1], NULL, 10) : 1000000, 0};
  if (argc > 2 || job.count < 1 || job.count > 100000000) return fprintf(stderr, "usage: million [how many]\n"), 2;
  int status = ecru_run(start, &job);
  if (status == 0) status = job.status;
  if (status != 0) fprintf(stderr, "million: %s\n", ecru_strerror(status));
  return status != 0;
}
