/// tests/stress/million.c: one million goroutines parked at once, with default settings on a stock kernel (G9), and what that
/// takes: mappings and memory. Where things are scaled down it is a smaller crowd, and neither is judged.
#include <sys/mman.h>

#include "goroutines.h"

enum { CROWD = 1000 * 1000, ROOM_NEEDED_KIB = 6 * 1024 * 1024, GUARD_INSTALL = 102 };

/// The number behind `name` in a file of the kernel. -1: there is none.
static long number_in(const char *path, const char *name) {
  FILE *file = fopen(path, "r");
  char line[256];
  long number = -1;
  while (number < 0 && file && fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) number = strtol(line + strlen(name), NULL, 10);
  if (file) fclose(file);
  return number;
}
static long mappings(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  CHECK(file != NULL);
  long lines = 0;
  for (int byte; (byte = getc(file)) != EOF;) lines += byte == '\n';
  fclose(file);
  return lines;
}
static long memory_kib(void) { // page tables are memory, too
  return number_in("/proc/self/status", "VmRSS:") + number_in("/proc/self/status", "VmPTE:");
}
/// Whether a stack's guard is no mapping of its own: since Linux 6.13. Before, the map budget is used up long before.
static bool guards_are_free(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(address != MAP_FAILED);
  bool accepted = madvise(address, page, GUARD_INSTALL) == 0;
  CHECK_EQ(munmap(address, page), 0);
  return accepted;
}

static ecru_chan *gate; // nothing is ever sent: it opens when it is closed
static ecru_waitgroup *arrived, *gone;
static long crowd;

static void wait_at_gate(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_waitgroup_done(arrived), 0);
  CHECK_EQ(ecru_chan_recv(gate, NULL), ECRU_ECLOSED);
}
static void start_crowd(void) {
  CHECK_EQ(ecru_waitgroup_add(arrived, crowd), 0);
  for (long i = 0; i < crowd; i++) CHECK_EQ(ecru_waitgroup_go(gone, wait_at_gate, NULL), 0);
  CHECK_EQ(ecru_waitgroup_wait(arrived), 0);
  UNTIL(counters_now().waiting == (uint64_t)crowd);
}
static void park_crowd(void *unused) {
  (void)unused;
  gate = chan_of(0, 0);
  CHECK_EQ(ecru_waitgroup_create(&arrived), 0);
  CHECK_EQ(ecru_waitgroup_create(&gone), 0);
  long before_kib = memory_kib(), maps_before = mappings();
  start_crowd();
  double each_kib = (double)(memory_kib() - before_kib) / (double)crowd;
  long maps = mappings() - maps_before, maps_most = number_in("/proc/sys/vm/max_map_count", "");
  printf("%ld parked: %.2f KiB each, %ld mappings of %ld\n", crowd, each_kib, maps, maps_most);
  CHECK_EQ(counters_now().goroutines, crowd + 1);
  if (crowd == CROWD) { // else a tool adds its own
    CHECK(maps < maps_most / 100);
    CHECK(each_kib <= 4.9);
  }
  CHECK_EQ(ecru_chan_close(gate), 0);
  CHECK_EQ(ecru_waitgroup_wait(gone), 0);
  ecru_waitgroup_destroy(arrived);
  ecru_waitgroup_destroy(gone);
  ecru_chan_release(gate);
}

TEST(million, goroutines_are_parked_at_once) { // G9, G8 serial
  crowd = test_scaled(100) == 100 ? CROWD : test_scaled(20000);
  long room_kib = number_in("/proc/meminfo", "MemAvailable:");
  if (room_kib < 0) SKIP("memory and mappings are only known on Linux");
  if (crowd == CROWD && room_kib < ROOM_NEEDED_KIB) SKIP("%ld MiB of memory are available, %d needed", room_kib / 1024, ROOM_NEEDED_KIB / 1024);
  if (!guards_are_free()) SKIP("this kernel needs a mapping for each guard (MADV_GUARD_INSTALL: Linux 6.13)");
  CHECK_EQ(ecru_run(park_crowd, NULL), 0);
}
