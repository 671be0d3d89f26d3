/// bench_io_load MODE PIDS COUNT ...: the client of the I/O benchmarks, the same for every server. One thread, epoll, and a closed loop: each
/// connection sends its next request when the answer to the last is complete. It also reads what the server has used meanwhile, so that
/// set-up and warm-up stay outside. ci/bench runs it and reads the one line of key=value pairs it prints.
///
///   echo PIDS COUNT PORT CONNECTIONS SECONDS   64 B there and back, after a warm-up of 0.3 s
///   storm PIDS COUNT PORT CONNECTIONS TOTAL    connect, 64 B there and back, close; TOTAL times, CONNECTIONS at once; any error ends it
///   idle PIDS COUNT PORT CONNECTIONS           one exchange on each connection, then all stay open: what they cost the server
///   around PIDS COUNT COMMAND ...              another client, whose output comes first
///
/// PIDS are the processes of the server, with commas. COUNT 1 counts their system calls instead of measuring: that slows each of them
/// (perf_event_open on a tracepoint: root, tracefs). Latencies go into a histogram of 64 steps per power of two.

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64, EVENTS = 256, PIDS_MAX = 64, COUNTERS_MAX = 4096, STEPS = 64, BUCKETS = 64 * STEPS, PER_SOURCE = 20000 };
static const int64_t warm_up_ns = 300000000, patience_ns = 10000000000;

static void fail(const char *what) {
  fprintf(stderr, "bench_io_load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int must(int result, const char *what) {
  if (result < 0) fail(what);
  return result;
}

static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) fail("clock_gettime");
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// ---- what the server uses ----------------------------------------------------------------------------------------------

static pid_t pids[PIDS_MAX];
static int pid_count, counters[COUNTERS_MAX], counter_count;
static bool counts_calls;

static void read_pids(char *text) {
  for (char *word = strtok(text, ","); word && pid_count < PIDS_MAX; word = strtok(NULL, ",")) pids[pid_count++] = (pid_t)atoi(word);
}

static int64_t server_cpu_ns(void) {
  int64_t sum = 0;
  for (int i = 0; i < pid_count; i++) {
    clockid_t clock;
    if (clock_getcpuclockid(pids[i], &clock) != 0) fail("the server is gone");
    sum += clock_ns(clock);
  }
  return sum;
}

/// Resident pages and page tables.
static int64_t server_memory_bytes(void) {
  int64_t total_kib = 0, kib;
  for (int i = 0; i < pid_count; i++) {
    char line[256];
    snprintf(line, sizeof line, "/proc/%d/status", (int)pids[i]);
    FILE *file = fopen(line, "r");
    if (!file) fail("the server is gone");
    while (fgets(line, sizeof line, file))
      if (sscanf(line, "VmRSS: %" SCNd64, &kib) == 1 || sscanf(line, "VmPTE: %" SCNd64, &kib) == 1) total_kib += kib;
    fclose(file);
  }
  return total_kib * 1024;
}

static uint64_t tracepoint(void) {
  FILE *file = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "r");
  if (!file) file = fopen("/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id", "r");
  uint64_t id = 0;
  if (!file || fscanf(file, "%" SCNu64, &id) != 1) fail("no tracepoint of system calls");
  fclose(file);
  return id;
}

/// One counter per thread there is; threads made later are counted with the one that made them.
static void open_counters(void) {
  struct perf_event_attr about = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof about, .config = tracepoint(), .inherit = 1, .disabled = 1};
  for (int i = 0; i < pid_count; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pids[i]);
    DIR *threads = opendir(path);
    if (!threads) fail("the server is gone");
    for (struct dirent *thread; (thread = readdir(threads)) && counter_count < COUNTERS_MAX;) {
      if (thread->d_name[0] == '.') continue;
      int counter = (int)syscall(SYS_perf_event_open, &about, atoi(thread->d_name), -1, -1, PERF_FLAG_FD_CLOEXEC);
      if (counter >= 0) counters[counter_count++] = counter;
      else if (errno != ESRCH) fail("perf_event_open");
    }
    closedir(threads);
  }
}

static int64_t server_calls(void) {
  int64_t sum = 0, one;
  for (int i = 0; i < counter_count; i++)
    if (read(counters[i], &one, sizeof one) == (ssize_t)sizeof one) sum += one;
  return sum;
}

static int64_t cpu0_ns, wall0_ns;

static void begin(void) {
  if (counts_calls) open_counters();
  for (int i = 0; i < counter_count; i++) ioctl(counters[i], PERF_EVENT_IOC_ENABLE, 0);
  wall0_ns = clock_ns(CLOCK_MONOTONIC);
  cpu0_ns = server_cpu_ns();
}

static void print_use(int64_t requests) {
  int64_t cpu_ns = server_cpu_ns() - cpu0_ns, wall_ns = clock_ns(CLOCK_MONOTONIC) - wall0_ns;
  if (counts_calls) printf(" server_calls=%" PRId64, server_calls());
  else printf(" server_cpu_ns=%" PRId64 " wall_ns=%" PRId64, cpu_ns, wall_ns);
  if (requests) printf(" requests=%" PRId64, requests);
}

// ---- latencies ---------------------------------------------------------------------------------------------------------

static uint32_t histogram[BUCKETS];
static int64_t recorded;

static int bucket_of(uint64_t ns) {
  if (ns < STEPS) return (int)ns;
  int power = 63 - __builtin_clzll(ns), shift = power - 6;
  return (shift + 1) * STEPS + (int)((ns >> shift) - STEPS);
}

static double bucket_us(int bucket) {
  int shift = bucket / STEPS - 1;
  double ns = shift < 0 ? bucket : (double)(((uint64_t)(bucket % STEPS + STEPS) << shift) + ((1ull << shift) >> 1));
  return ns / 1000;
}

static void record(int64_t ns) {
  histogram[bucket_of((uint64_t)(ns > 0 ? ns : 0))]++;
  recorded++;
}

static double percentile_us(double percent) {
  int64_t wanted = (int64_t)((double)recorded * percent / 100), seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += histogram[i]) > wanted) return bucket_us(i);
  return 0;
}

static void forget_latencies(void) {
  memset(histogram, 0, sizeof histogram);
  recorded = 0;
}

// ---- connections -------------------------------------------------------------------------------------------------------

typedef struct connection {
  int descriptor;
  int got;           // bytes of the answer so far
  int64_t sent_ns;
} connection;

static int epoll, port;
static char request[REQUEST_BYTES], answer[REQUEST_BYTES];

/// The n-th connection. Each source address has its own ports: 127.0.0.1 alone would run out of them.
static int dial(int64_t n) {
  int descriptor = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"), one = 1;
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(n / PER_SOURCE))};
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  must(bind(descriptor, (struct sockaddr *)&source, sizeof source), "bind");
  must(connect(descriptor, (struct sockaddr *)&server, sizeof server), "connect");
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return descriptor;
}

static void watch(connection *c) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  must(epoll_ctl(epoll, EPOLL_CTL_ADD, c->descriptor, &event), "epoll_ctl");
}

static void send_request(connection *c, int64_t now_ns) {
  c->got = 0;
  c->sent_ns = now_ns;
  if (send(c->descriptor, request, REQUEST_BYTES, MSG_NOSIGNAL) != REQUEST_BYTES) fail("send");
}

/// returns: whether the answer is complete.
static bool receive(connection *c) {
  ssize_t count = recv(c->descriptor, answer, (size_t)(REQUEST_BYTES - c->got), MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return false;
  if (count == 0) errno = ECONNRESET;
  if (count <= 0) fail("recv");
  return (c->got += (int)count) == REQUEST_BYTES;
}

static connection *connect_all(int count) {
  connection *all = calloc((size_t)count, sizeof *all);
  if (!all) fail("calloc");
  for (int i = 0; i < count; i++) {
    all[i].descriptor = dial(i);
    watch(&all[i]);
  }
  return all;
}

// ---- modes -------------------------------------------------------------------------------------------------------------

static void exchange_until(int64_t end_ns) {
  struct epoll_event events[EVENTS];
  for (int64_t now_ns = 0; now_ns < end_ns;) {
    int count = epoll_wait(epoll, events, EVENTS, 100);
    now_ns = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < count; i++) {
      connection *c = events[i].data.ptr;
      if (!receive(c)) continue;
      now_ns = clock_ns(CLOCK_MONOTONIC);
      record(now_ns - c->sent_ns);
      send_request(c, now_ns);
    }
  }
}

static void echo(int connections, double seconds) {
  connection *all = connect_all(connections);
  for (int i = 0; i < connections; i++) send_request(&all[i], clock_ns(CLOCK_MONOTONIC));
  exchange_until(clock_ns(CLOCK_MONOTONIC) + warm_up_ns);
  forget_latencies();
  begin();
  exchange_until(wall0_ns + (int64_t)(seconds * 1e9));
  print_use(recorded);
  printf(" p50_us=%.2f p99_us=%.2f\n", percentile_us(50), percentile_us(99));
}

static void start_one(connection *c, int64_t n) {
  c->descriptor = dial(n);
  watch(c);
  send_request(c, clock_ns(CLOCK_MONOTONIC));
}

static void storm(int connections, int64_t total) {
  connection *all = calloc((size_t)connections, sizeof *all);
  if (!all) fail("calloc");
  int64_t started = 0, done = 0;
  begin();
  while (started < connections && started < total) start_one(&all[started], started), started++;
  while (done < total) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, 10000);
    errno = ETIMEDOUT;
    if (count == 0) fail("no answer for 10 s");
    for (int i = 0; i < count; i++) {
      connection *c = events[i].data.ptr;
      if (!receive(c)) continue;
      record(clock_ns(CLOCK_MONOTONIC) - c->sent_ns);
      close(c->descriptor);
      done++;
      if (started < total) start_one(c, started++);
    }
  }
  print_use(total);
  printf(" p50_us=%.2f p99_us=%.2f\n", percentile_us(50), percentile_us(99));
}

static void exchange_once(connection *c) {
  int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
  for (send_request(c, start_ns); !receive(c);) {
    struct epoll_event event;
    epoll_wait(epoll, &event, 1, 100);
    errno = ETIMEDOUT;
    if (clock_ns(CLOCK_MONOTONIC) - start_ns > patience_ns) fail("no answer for 10 s");
  }
}

static void idle(int connections) {
  connection first = {.descriptor = dial(0)};
  watch(&first);
  exchange_once(&first);
  int64_t before = server_memory_bytes();
  begin();
  connection *all = connect_all(connections);
  for (int i = 0; i < connections; i++) exchange_once(&all[i]);
  print_use(connections);
  printf(" bytes_per_item=%.1f\n", (double)(server_memory_bytes() - before) / connections);
}

static int around(char **command) {
  begin();
  pid_t child = must(fork(), "fork");
  if (child == 0) {
    execvp(command[0], command);
    fail(command[0]);
  }
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  print_use(0);
  printf("\n");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int usage(void) {
  fprintf(stderr, "usage: bench_io_load echo|storm|idle PIDS COUNT PORT CONNECTIONS [SECONDS|TOTAL]\n       bench_io_load around PIDS COUNT COMMAND ...\n");
  return 2;
}

int main(int arguments, char **argument) {
  if (arguments < 5) return usage();
  const char *mode = argument[1];
  read_pids(argument[2]);
  counts_calls = atoi(argument[3]) != 0;
  if (strcmp(mode, "around") == 0) return around(argument + 4);
  if (arguments < 6) return usage();
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  memset(request, 'x', sizeof request);
  epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  port = atoi(argument[4]);
  int connections = atoi(argument[5]);
  double amount = arguments > 6 ? atof(argument[6]) : 0;
  if (strcmp(mode, "echo") == 0 && amount > 0) echo(connections, amount);
  else if (strcmp(mode, "storm") == 0 && amount > 0) storm(connections, (int64_t)amount);
  else if (strcmp(mode, "idle") == 0) idle(connections);
  else return usage();
  return 0;
}
