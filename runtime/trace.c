/// runtime/trace.c: ECRU_DEBUG, and the line it can ask for (D4):
///
///   ecru: sched 1003 ms: maxprocs=2 idle=0 threads=5 resting=1 spinning=0 goroutines=1204 global=0 local=[17 3]
///
/// `idle` are processors without work, `resting` threads asleep (one for each idle processor, the rest spare), `local`
/// how many goroutines stand in each processor's queue.
#include <string.h>

#include "runtime/debug.h"
#include "runtime/sanitize.h"
#include "runtime/text.h"

static struct {
  int64_t interval_ns; // set at start: 0: no lines
  int64_t started_ns;  // set at start
  int64_t next_ns;     // monitor: when the next line is due
} trace = {.next_ns = ECRU_FOREVER};

static void warn(const char *key, size_t bytes, const char *what) {
  char buffer[256];
  ecru__text text = ecru__text_to(2, buffer, sizeof buffer);
  ecru__put(&text, "ecru: ECRU_DEBUG: ");
  ecru__put_bytes(&text, key, bytes);
  ecru__put(&text, what);
  (void)ecru__text_end(&text);
}

/// A whole number of milliseconds, 1 to 10^9; 0: it is none.
static int64_t milliseconds(const char *at, size_t bytes) {
  int64_t number = 0;
  for (size_t i = 0; i < bytes; i++) {
    if (at[i] < '0' || at[i] > '9' || number > 1000000000) return 0;
    number = number * 10 + (at[i] - '0');
  }
  return number <= 1000000000 ? number : 0;
}

static void configure(const char *item, size_t bytes) {
  static const char key[] = "schedtrace=";
  if (bytes < sizeof key - 1 || memcmp(item, key, sizeof key - 1) != 0) {
    if (bytes) warn(item, bytes, ": unknown (known: schedtrace=MILLISECONDS)\n");
    return;
  }
  trace.interval_ns = milliseconds(item + sizeof key - 1, bytes - (sizeof key - 1)) * ECRU_MILLISECOND;
  if (trace.interval_ns == 0) warn(item, bytes, ": not a number of milliseconds\n");
}

void ecru__trace_configure(const char *wanted, int64_t now) {
  trace.interval_ns = 0;
  trace.started_ns = now;
  while (wanted && *wanted) {
    size_t bytes = strcspn(wanted, ",");
    configure(wanted, bytes);
    wanted += bytes + (wanted[bytes] == ',');
  }
  trace.next_ns = trace.interval_ns ? now + trace.interval_ns : ECRU_FOREVER;
}

static void field(ecru__text *text, const char *name, uint64_t number) {
  ecru__put(text, name);
  ecru__put_number(text, number);
}

ECRU__NO_TSAN static void put_queues(ecru__text *text) {
  uint32_t created = atomic_load_explicit(&ecru__sched.created, memory_order_acquire);
  for (uint32_t i = 0; i < created; i++) {
    const ecru__processor *p = atomic_load_explicit(&ecru__sched.processors[i], memory_order_relaxed);
    uint32_t queued = atomic_load_explicit(&p->tail, memory_order_relaxed) - atomic_load_explicit(&p->head, memory_order_relaxed);
    field(text, i ? " " : " local=[", (queued <= ECRU__RING ? queued : 0) + p->bed.count + (p->next != NULL));
  }
  ecru__put(text, "]\n");
}

int64_t ecru__trace_line(int64_t now) {
  if (ECRU__LIKELY(now < trace.next_ns)) return trace.next_ns;
  while (trace.next_ns <= now) trace.next_ns += trace.interval_ns;
  char buffer[1536]; // one write a line
  ecru__text text = ecru__text_to(2, buffer, sizeof buffer);
  ecru_counters counters;
  ecru__count(&counters);
  field(&text, "ecru: sched ", (uint64_t)((now - trace.started_ns) / ECRU_MILLISECOND));
  field(&text, " ms: maxprocs=", atomic_load_explicit(&ecru__sched.maxprocs, memory_order_relaxed));
  field(&text, " idle=", atomic_load_explicit(&ecru__sched.idle_count, memory_order_relaxed));
  field(&text, " threads=", counters.threads);
  field(&text, " resting=", counters.threads_idle);
  field(&text, " spinning=", atomic_load_explicit(&ecru__sched.spinning, memory_order_relaxed));
  field(&text, " goroutines=", counters.goroutines);
  field(&text, " global=", atomic_load_explicit(&ecru__sched.global_count, memory_order_relaxed));
  put_queues(&text);
  (void)ecru__text_end(&text);
  return trace.next_ns;
}
