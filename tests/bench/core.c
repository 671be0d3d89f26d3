/// bench_core CASE PROCS N: the core benchmarks of ecru. One process measures one case once and prints one line of
/// key=value pairs; ci/bench repeats, interleaves and compares. The programs under tests/peers do the same work in
/// other languages: same shape, same batch sizes, same N, written as one would write it there.
///
/// CPU time of the whole process is the judge (cpu_ns_per_op): it counts the threads of the runtime too and hardly
/// notices a busy machine. wall_ns_per_op is printed beside it. Creation of the runtime is outside, everything a case
/// creates is inside, nothing is warmed up: N is large enough.
///
/// case         one operation is
/// yield        one yield of one of two goroutines; with two processors each has one to itself and nobody to yield to, so
///              there it tells little: yield64, the same with 64 goroutines, always has somebody to switch to
/// spawn_join   start a goroutine that ends at once, wait for it by a wait group; one at a time
/// spawn_task   the same by a task handle (elsewhere: a join handle, or a goroutine closing a channel)
/// spawn_batch  the same, but 100 000 are started before they are waited for
/// pingpong     one round trip of two goroutines over two unbuffered channels
/// spsc, mpmc   one item through a channel of 128, 1 or 4 producers and as many consumers
/// select2, 8   one item through a blocking select over k unbuffered channels with a producer each
/// mutex1, 4    lock, increment, unlock by 1 or 4 goroutines
/// parked       start a goroutine, park it on a shared channel, wake it by close; bytes_per_item while all are parked
/// sleepers     start a goroutine that sleeps 1 to 100 ms, wait for it
/// skynet       one leaf of a tree of goroutines, ten children each, that sum up their numbers over channels
/// compute      one step of a xorshift generator, in 64 independent parts
/// sleep50      (N sleeps of 50 us) latency_us: median of what they really take
/// hogs         (N ms) kept_percent: how much of the throughput they have alone 1000 ping-pong pairs keep beside one
///              goroutine per processor that computes and never calls the runtime. Both are measured per CPU time of the
///              process and the pairs are due one half of it: 100 is fair, above it the hogs get less than their half.
/// blocker      (N ms) max_delay_ms: the longest 64 yielding goroutines wait for their turn while another sits in a
///              raw nanosleep of N ms

#include <ecru/ecru.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 100000, PARTS = 64, PAIRS = 1000, OBSERVERS = 64, FANOUT = 10, CACHE_LINE = 64 };

static int procs;
static long count;
static int64_t cpu0_ns, wall0_ns;
static atomic_int stop;

// ---- measuring ------------------------------------------------------------------------------------------------------

static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
static int64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void begin(void) {
  wall0_ns = wall_ns();
  cpu0_ns = cpu_ns();
}

static void end(long ops) {
  int64_t cpu = cpu_ns() - cpu0_ns;
  int64_t wall = wall_ns() - wall0_ns;
  printf(" cpu_ns_per_op=%.3f wall_ns_per_op=%.3f", (double)cpu / (double)ops, (double)wall / (double)ops);
}

static void fail(const char *what, int status) {
  fprintf(stderr, "bench_core: %s: %s\n", what, ecru_strerror(status));
  exit(1);
}

/// Benchmarks do not go on after an error.
static inline void must(int status) {
  if (__builtin_expect(status < 0, 0)) fail("a call failed", status);
}

static void expect(int true_or_not, const char *what) {
  if (!true_or_not) fail(what, ECRU_EINVAL);
}

/// What the process holds: resident pages and page tables.
static int64_t memory_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  int64_t total_kib = 0, kib;
  char line[256];
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "VmRSS: %" SCNd64, &kib) == 1 || sscanf(line, "VmPTE: %" SCNd64, &kib) == 1) total_kib += kib;
  }
  fclose(file);
  return total_kib * 1024;
}

/// How many mappings the process has: the kernel allows vm.max_map_count of them.
static long mappings(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  if (file == NULL) return 0;
  long lines = 0;
  for (int c; (c = getc(file)) != EOF;) lines += c == '\n';
  fclose(file);
  return lines;
}

static ecru_waitgroup *new_group(void) {
  ecru_waitgroup *group;
  must(ecru_waitgroup_create(&group));
  return group;
}

static void wait_and_destroy(ecru_waitgroup *group) {
  must(ecru_waitgroup_wait(group));
  ecru_waitgroup_destroy(group);
}

static ecru_chan *new_chan(size_t capacity) {
  ecru_chan *chan;
  must(ecru_chan_create(&chan, sizeof(int64_t), capacity));
  return chan;
}

// ---- goroutines -----------------------------------------------------------------------------------------------------

static void yielder(void *argument) {
  long yields = *(long *)argument;
  for (long i = 0; i < yields; i++) must(ecru_yield());
}

static void yields(int goroutines) {
  long each = count / goroutines;
  ecru_waitgroup *group = new_group();
  begin();
  for (int i = 0; i < goroutines; i++) must(ecru_waitgroup_go(group, yielder, &each));
  must(ecru_waitgroup_wait(group));
  end(count);
  ecru_waitgroup_destroy(group);
}

static void yield(void) { yields(2); }
static void yield64(void) { yields(64); }

static void nothing(void *unused) { (void)unused; }

static void spawn_join(void) {
  ecru_waitgroup *group = new_group();
  begin();
  for (long i = 0; i < count; i++) {
    must(ecru_waitgroup_go(group, nothing, NULL));
    must(ecru_waitgroup_wait(group));
  }
  end(count);
  ecru_waitgroup_destroy(group);
}

static int nothing_task(void *unused, void **result) {
  (void)unused;
  (void)result;
  return 0;
}

static void spawn_task(void) {
  begin();
  for (long i = 0; i < count; i++) {
    ecru_task *task;
    must(ecru_spawn(&task, nothing_task, NULL));
    must(ecru_task_join(task, NULL, NULL));
    ecru_task_release(task);
  }
  end(count);
}

static void spawn_batch(void) {
  ecru_waitgroup *group = new_group();
  begin();
  for (long left = count; left > 0; left -= BATCH) {
    long size = left < BATCH ? left : BATCH;
    for (long i = 0; i < size; i++) must(ecru_waitgroup_go(group, nothing, NULL));
    must(ecru_waitgroup_wait(group));
  }
  end(count);
  ecru_waitgroup_destroy(group);
}

// ---- channels -------------------------------------------------------------------------------------------------------

struct court {
  ecru_chan *ping, *pong;
};

/// Sends back what comes until ping is closed.
static void returner(void *argument) {
  struct court *court = argument;
  for (int64_t value; ecru_chan_recv(court->ping, &value) == 0;) must(ecru_chan_send(court->pong, &value));
}

static void pingpong(void) {
  struct court court = {new_chan(0), new_chan(0)};
  ecru_waitgroup *group = new_group();
  begin();
  must(ecru_waitgroup_go(group, returner, &court));
  for (int64_t i = 0, back; i < count; i++) {
    must(ecru_chan_send(court.ping, &i));
    must(ecru_chan_recv(court.pong, &back));
  }
  must(ecru_chan_close(court.ping));
  wait_and_destroy(group);
  end(count);
  ecru_chan_release(court.ping);
  ecru_chan_release(court.pong);
}

struct source {
  ecru_chan *chan;
  long items;
};

static void producer(void *argument) {
  struct source *source = argument;
  int64_t one = 1;
  for (long i = 0; i < source->items; i++) must(ecru_chan_send(source->chan, &one));
}

struct drain {
  ecru_chan *chan;
  atomic_int_fast64_t sum;
};

static void consumer(void *argument) {
  struct drain *drain = argument;
  int64_t value, mine = 0;
  while (ecru_chan_recv(drain->chan, &value) == 0) mine += value;
  atomic_fetch_add(&drain->sum, mine);
}

static void pipe_items(int sides) {
  ecru_chan *chan = new_chan(128);
  struct source source = {chan, count / sides};
  struct drain drain = {chan, 0};
  ecru_waitgroup *producers = new_group(), *consumers = new_group();
  begin();
  for (int i = 0; i < sides; i++) {
    must(ecru_waitgroup_go(producers, producer, &source));
    must(ecru_waitgroup_go(consumers, consumer, &drain));
  }
  must(ecru_waitgroup_wait(producers));
  must(ecru_chan_close(chan));
  must(ecru_waitgroup_wait(consumers));
  end(count);
  expect(drain.sum == source.items * sides, "items lost");
  ecru_waitgroup_destroy(producers);
  ecru_waitgroup_destroy(consumers);
  ecru_chan_release(chan);
}

static void spsc(void) { pipe_items(1); }
static void mpmc(void) { pipe_items(4); }

static void select_items(size_t channels) {
  enum { MOST = 8 };
  struct source sources[MOST];
  ecru_case cases[MOST];
  int64_t sum = 0, value = 0;
  long rounds = count / (long)channels * (long)channels;
  ecru_waitgroup *producers = new_group();
  begin();
  for (size_t i = 0; i < channels; i++) {
    sources[i] = (struct source){new_chan(0), count / (long)channels};
    cases[i] = (ecru_case){ECRU_CASE_RECV, 0, sources[i].chan, &value};
    must(ecru_waitgroup_go(producers, producer, &sources[i]));
  }
  for (long i = 0; i < rounds; i++) {
    must(ecru_select(cases, channels, 0));
    sum += value;
  }
  end(count);
  expect(sum == rounds, "items lost");
  wait_and_destroy(producers);
  for (size_t i = 0; i < channels; i++) ecru_chan_release(sources[i].chan);
}

static void select2(void) { select_items(2); }
static void select8(void) { select_items(8); }

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct counter {
  ecru_mutex *mutex;
  long increments;
  long value;
};

static void incrementer(void *argument) {
  struct counter *counter = argument;
  for (long i = 0; i < counter->increments; i++) {
    must(ecru_mutex_lock(counter->mutex));
    counter->value++;
    must(ecru_mutex_unlock(counter->mutex));
  }
}

static void mutex(int goroutines) {
  struct counter counter = {NULL, count / goroutines, 0};
  must(ecru_mutex_create(&counter.mutex));
  ecru_waitgroup *group = new_group();
  begin();
  for (int i = 0; i < goroutines; i++) must(ecru_waitgroup_go(group, incrementer, &counter));
  must(ecru_waitgroup_wait(group));
  end(count);
  expect(counter.value == counter.increments * goroutines, "increments lost");
  ecru_waitgroup_destroy(group);
  ecru_mutex_destroy(counter.mutex);
}

static void mutex1(void) { mutex(1); }
static void mutex4(void) { mutex(4); }

// ---- crowds ---------------------------------------------------------------------------------------------------------

struct gate {
  ecru_chan *chan;
  ecru_waitgroup *ready;
};

static void parker(void *argument) {
  struct gate *gate = argument;
  must(ecru_waitgroup_done(gate->ready));
  expect(ecru_chan_recv(gate->chan, NULL) == ECRU_ECLOSED, "an item from nowhere");
}

static void parked(void) {
  struct gate gate = {new_chan(0), new_group()};
  ecru_waitgroup *group = new_group();
  must(ecru_waitgroup_add(gate.ready, count));
  int64_t before_bytes = memory_bytes();
  begin();
  for (long i = 0; i < count; i++) must(ecru_waitgroup_go(group, parker, &gate));
  must(ecru_waitgroup_wait(gate.ready));
  must(ecru_sleep(20 * ECRU_MILLISECOND)); // the last ones are on their way into the receive
  int64_t bytes = memory_bytes() - before_bytes;
  long maps = mappings();
  must(ecru_chan_close(gate.chan));
  must(ecru_waitgroup_wait(group));
  end(count);
  printf(" bytes_per_item=%.1f mappings=%ld", (double)bytes / (double)count, maps);
  ecru_waitgroup_destroy(gate.ready);
  ecru_waitgroup_destroy(group);
  ecru_chan_release(gate.chan);
}

static void sleeper(void *argument) {
  uint32_t index = (uint32_t)(uintptr_t)argument;
  int64_t ms = 1 + (index * UINT32_C(2654435761) >> 16) % 100;
  must(ecru_sleep(ms * ECRU_MILLISECOND));
}

static void sleepers(void) {
  ecru_waitgroup *group = new_group();
  begin();
  for (long i = 0; i < count; i++) must(ecru_waitgroup_go(group, sleeper, (void *)(uintptr_t)i));
  must(ecru_waitgroup_wait(group));
  end(count);
  ecru_waitgroup_destroy(group);
}

struct skynet_node {
  ecru_chan *out; // one reference is the node's: the parent may be gone before its last child has left send
  int64_t number, size;
};

static void skynet_node(void *argument) {
  struct skynet_node *node = argument;
  int64_t sum = node->number;
  if (node->size > 1) {
    ecru_chan *in = new_chan(0);
    struct skynet_node child = {in, node->number, node->size / FANOUT};
    for (int i = 0; i < FANOUT; i++, child.number += child.size) {
      ecru_chan_retain(in);
      must(ecru_go_copy(NULL, skynet_node, &child, sizeof child));
    }
    sum = 0;
    for (int64_t i = 0, part; i < FANOUT; i++) {
      must(ecru_chan_recv(in, &part));
      sum += part;
    }
    ecru_chan_release(in);
  }
  must(ecru_chan_send(node->out, &sum));
  ecru_chan_release(node->out);
}

static void skynet(void) {
  int64_t leaves = 1, sum;
  while (leaves * FANOUT <= count) leaves *= FANOUT;
  struct skynet_node root = {new_chan(0), 0, leaves};
  ecru_chan_retain(root.out);
  begin();
  must(ecru_go_copy(NULL, skynet_node, &root, sizeof root));
  must(ecru_chan_recv(root.out, &sum));
  end((long)leaves);
  ecru_chan_release(root.out);
  expect(sum == leaves * (leaves - 1) / 2, "wrong sum");
}

// ---- work, time, fairness -------------------------------------------------------------------------------------------

static uint64_t xorshift(long steps, uint64_t x) {
  for (long i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

static void part(void *argument) {
  uint64_t *result = argument;
  *result = xorshift(count / PARTS, *result);
}

static void compute(void) {
  uint64_t results[PARTS];
  ecru_waitgroup *group = new_group();
  begin();
  for (int i = 0; i < PARTS; i++) {
    results[i] = (uint64_t)i + 1;
    must(ecru_waitgroup_go(group, part, &results[i]));
  }
  must(ecru_waitgroup_wait(group));
  end(count);
  for (int i = 0; i < PARTS; i++) expect(results[i] != 0, "xorshift reached zero");
  ecru_waitgroup_destroy(group);
}

static int by_size(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return (left > right) - (left < right);
}

static void sleep50(void) {
  int64_t *latencies_ns = calloc((size_t)count, sizeof *latencies_ns);
  expect(latencies_ns != NULL, "no memory");
  begin();
  for (long i = 0; i < count; i++) {
    int64_t start_ns = wall_ns();
    must(ecru_sleep(50 * ECRU_MICROSECOND));
    latencies_ns[i] = wall_ns() - start_ns;
  }
  end(count);
  qsort(latencies_ns, (size_t)count, sizeof *latencies_ns, by_size);
  printf(" latency_us=%.1f", (double)latencies_ns[count / 2] / 1000);
  free(latencies_ns);
}

/// A pair's court and its score, on a cache line of its own.
struct pair {
  struct court court;
  atomic_long trips;
  char padding[CACHE_LINE - sizeof(struct court) - sizeof(atomic_long)];
};

static void server(void *argument) {
  struct pair *pair = argument;
  int64_t value = 1;
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    must(ecru_chan_send(pair->court.ping, &value));
    must(ecru_chan_recv(pair->court.pong, &value));
    atomic_fetch_add_explicit(&pair->trips, 1, memory_order_relaxed);
  }
  must(ecru_chan_close(pair->court.ping));
}

static long all_trips(struct pair *pairs) {
  long sum = 0;
  for (int i = 0; i < PAIRS; i++) sum += atomic_load_explicit(&pairs[i].trips, memory_order_relaxed);
  return sum;
}

/// The pairs' throughput over `count` ms in round trips per ns of the process's CPU time.
static double trips_per_cpu(struct pair *pairs) {
  must(ecru_sleep(count * ECRU_MILLISECOND / 10)); // let it settle
  long trips = all_trips(pairs);
  int64_t cpu = cpu_ns();
  must(ecru_sleep(count * ECRU_MILLISECOND));
  trips = all_trips(pairs) - trips;
  return (double)trips / (double)(cpu_ns() - cpu);
}

static void hog(void *argument) {
  uint64_t *x = argument;
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) *x = xorshift(1000, *x);
}

static void hogs(void) {
  struct pair *pairs = calloc(PAIRS, sizeof *pairs);
  uint64_t x[256];
  expect(pairs != NULL && procs <= 256, "no memory");
  ecru_waitgroup *group = new_group();
  for (int i = 0; i < PAIRS; i++) {
    pairs[i].court = (struct court){new_chan(0), new_chan(0)};
    must(ecru_waitgroup_go(group, returner, &pairs[i].court));
    must(ecru_waitgroup_go(group, server, &pairs[i]));
  }
  double alone = trips_per_cpu(pairs);
  for (int i = 0; i < procs; i++) {
    x[i] = (uint64_t)i + 1;
    must(ecru_waitgroup_go(group, hog, &x[i]));
  }
  double beside = trips_per_cpu(pairs);
  atomic_store(&stop, 1);
  wait_and_destroy(group);
  printf(" kept_percent=%.2f", 100 * beside / (alone * 0.5));
  for (int i = 0; i < PAIRS; i++) {
    ecru_chan_release(pairs[i].court.ping);
    ecru_chan_release(pairs[i].court.pong);
  }
  free(pairs);
}

static void observer(void *argument) {
  int64_t *worst_ns = argument;
  int64_t last_ns = wall_ns();
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    must(ecru_yield());
    int64_t now_ns = wall_ns();
    if (now_ns - last_ns > *worst_ns) *worst_ns = now_ns - last_ns;
    last_ns = now_ns;
  }
}

static void raw_sleeper(void *unused) {
  (void)unused;
  struct timespec rest = {count / 1000, count % 1000 * 1000000};
  while (nanosleep(&rest, &rest) != 0) {}
  atomic_store(&stop, 1);
}

static void blocker(void) {
  int64_t worst_ns[OBSERVERS] = {0};
  ecru_waitgroup *group = new_group();
  for (int i = 0; i < OBSERVERS; i++) must(ecru_waitgroup_go(group, observer, &worst_ns[i]));
  must(ecru_waitgroup_go(group, raw_sleeper, NULL));
  wait_and_destroy(group);
  qsort(worst_ns, OBSERVERS, sizeof *worst_ns, by_size);
  printf(" max_delay_ms=%.3f", (double)worst_ns[OBSERVERS - 1] / 1e6);
}

// ---- the command line -----------------------------------------------------------------------------------------------

static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {
    {"yield", yield},       {"yield64", yield64},         {"spawn_join", spawn_join}, {"spawn_task", spawn_task},
    {"pingpong", pingpong}, {"spawn_batch", spawn_batch}, {"spsc", spsc},             {"mpmc", mpmc},
    {"select2", select2},   {"select8", select8},         {"mutex1", mutex1},         {"mutex4", mutex4},
    {"parked", parked},     {"sleepers", sleepers},       {"skynet", skynet},         {"compute", compute},
    {"sleep50", sleep50},   {"hogs", hogs},               {"blocker", blocker},
};

static void run_case(void *argument) {
  void (**run)(void) = argument;
  (*run)();
}

int main(int arguments, char **argument) {
  if (arguments != 4 || (procs = atoi(argument[2])) < 1 || (count = atol(argument[3])) < 1) {
    fprintf(stderr, "usage: bench_core CASE PROCS N\n");
    return 2;
  }
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(cases[i].name, argument[1]) != 0) continue;
    ecru_options options = ECRU_OPTIONS;
    options.maxprocs = procs;
    printf("case=%s procs=%d n=%ld", cases[i].name, procs, count);
    void (*run)(void) = cases[i].run;
    int status = ecru_run_with(&options, run_case, &run);
    printf("\n");
    if (status < 0) fail("ecru_run_with", status);
    return 0;
  }
  printf("skip=no_such_case\n");
  return 0;
}
