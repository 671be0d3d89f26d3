/// tests/unit/stack.c: the stacks of goroutines (G8): their sizes, what fits, what is given back, what happens when there are no more.
#include "goroutines.h"
#include "platform/vm.h"
#include "runtime/sanitize.h"
#include "runtime/state.h"

#if defined(ECRU__ASAN) || defined(ECRU__TSAN) // frames are larger, and memory is not ours to count
enum { SANITIZED = 1, SLACK = 48 << 10 };
#else
enum { SANITIZED = 0, SLACK = 6 << 10 };
#endif

static ecru_chan *done;
static _Atomic long runs;

static void go_on(size_t stack_bytes, ecru_fn fn, void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = stack_bytes;
  CHECK_EQ(ecru_go_with(&options, fn, argument), 0);
}
static const ecru__stack *stack_here(void) { return ecru__goroutine_here(ecru__worker_here())->stack; }

/// How much of the running goroutine's stack lies below this frame, without its guard.
__attribute__((noinline)) static size_t room_below(void) {
  volatile char here = 0;
  return (size_t)((char *)(uintptr_t)&here - stack_here()->low) - ecru__stack_guard_bytes(stack_here()->log2);
}

/// Uses all but `slack` of the stack in frames of `frame` bytes, marks each, parks at the bottom, and checks the marks on the way up.
__attribute__((noinline)) static long dig_small(size_t slack, unsigned mark) {
  volatile unsigned frame[128];
  for (int i = 0; i < 128; i++) frame[i] = mark + (unsigned)i;
  long depth = 1;
  if (room_below() > slack + sizeof frame) depth += dig_small(slack, mark + 1);
  else CHECK_EQ(ecru_yield(), 0);
  for (int i = 0; i < 128; i++) CHECK_EQ(frame[i], mark + (unsigned)i);
  return depth;
}
/// The same with frames of 256 KiB of which one page each is touched.
__attribute__((noinline)) static long dig_large(size_t slack, unsigned mark) {
  volatile unsigned frame[64 << 10];
  frame[0] = mark;
  long depth = 1;
  if (room_below() > slack + 2 * sizeof frame) depth += dig_large(slack, mark + 1);
  else CHECK_EQ(ecru_yield(), 0);
  CHECK_EQ(frame[0], mark);
  return depth;
}

// ---- sizes --------------------------------------------------------------------------------------------------------

static void use_it_all(void *expected_bytes) {
  size_t bytes = (size_t)1 << stack_here()->log2;
  CHECK_EQ(bytes, *(size_t *)expected_bytes);
  CHECK(room_below() > bytes - bytes / 8 - 2048 - ecru__stack_guard_bytes(stack_here()->log2)); // what else lies on it, and the guard
  if (bytes <= 1 << 20) CHECK(dig_small(SLACK, 1) > 1 || SANITIZED);
  else CHECK(dig_large(SLACK, 1) > (long)(bytes >> 19));
  atomic_fetch_add(&runs, 1);
  finish(done);
}
TEST(stack, sizes_from_16_kib_to_1_gib_can_be_had_and_used) { // G8
  static size_t expected[64];
  int count = 0;
  done = signals();
  for (size_t bytes = 16 << 10; bytes <= (size_t)1 << 30; bytes *= 2) {
    expected[count] = bytes;
    go_on(bytes, use_it_all, &expected[count++]);
    await(done, 1);
    expected[count] = bytes;
    go_on(bytes - 1 >= 16 << 10 ? bytes - 1 : bytes, use_it_all, &expected[count++]); // rounded up
    await(done, 1);
    expected[count] = bytes;
    go_on(bytes / 2 + 1 >= 16 << 10 ? bytes / 2 + 1 : bytes, use_it_all, &expected[count++]);
    await(done, 1);
  }
  CHECK_EQ(atomic_load(&runs), count);
  ecru_chan_release(done);
}

static void default_size(void *expected_bytes) {
  use_it_all(expected_bytes);
  go_on(0, use_it_all, expected_bytes); // a goroutine's, too
  await(done, 2);
}
static void with_default_stack(size_t asked, size_t expected) {
  ecru_options options = ECRU_OPTIONS;
  options.stack_bytes = asked;
  done = signals();
  CHECK_EQ(ecru_run_with(&options, default_size, &expected), 0);
  ecru_chan_release(done);
}
TEST(stack, the_default_is_256_kib_or_that_of_the_options) { // G8
  with_default_stack(0, 256 << 10);
  with_default_stack(64 << 10, 64 << 10);
  with_default_stack(20000, 32 << 10);
  with_default_stack(16 << 10, 16 << 10);
  with_default_stack((1 << 20) + 1, 2 << 20);
  with_default_stack((size_t)1 << 30, (size_t)1 << 30);
}

static void many_sizes(void *unused) {
  (void)unused;
  static size_t expected[300];
  uint64_t random = test_seed();
  long count = test_scaled(300);
  done = signals();
  for (long i = 0; i < count; i++) {
    expected[i] = (size_t)1 << (14 + test_random_below(&random, 10));
    go_on(expected[i], use_it_all, &expected[i]);
    if (test_random_below(&random, 4) == 0) CHECK_EQ(ecru_yield(), 0);
  }
  await(done, count);
  ecru_chan_release(done);
}
TEST(stack, many_sizes_live_side_by_side) { // G8
  with_procs(1, many_sizes);
  with_procs(2, many_sizes);
}

static void all_calls(void *unused) {
  (void)unused;
  for (int i = 0; i < PARKING_CALLS; i++) {
    ask_elsewhere(parking_calls[i].wake, NULL);
    parking_calls[i].park();
  }
  finish(done);
}
static void all_calls_on_small_stacks(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  for (int i = 0; i < 3; i++) {
    go_on(SANITIZED ? 128 << 10 : 16 << 10, all_calls, NULL);
    await(done, 1);
  }
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(stack, all_calls_fit_into_16_kib) { // G8
  with_procs(1, all_calls_on_small_stacks);
}

static void *opaque(void *pointer) {
  __asm__ volatile("" : "+r"(pointer));
  return pointer;
}
static void check_alignment(void *unused) {
  (void)unused;
  _Alignas(16) char sixteen[16];
  _Alignas(64) char line[64];
  CHECK_EQ((uintptr_t)opaque(sixteen) % 16, 0);
  CHECK_EQ((uintptr_t)opaque(line) % 64, 0);
  CHECK_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
}
static void align_everywhere(void *unused) {
  check_alignment(unused);
  CHECK_EQ(ecru_on_thread_stack(check_alignment, NULL), 0);
  finish(done);
}
TEST(stack, frames_are_aligned) { // G8
  done = signals();
  char data[100] = {0};
  for (size_t i = 0; i < sizeof data; i++) CHECK_EQ(ecru_go_copy(NULL, align_everywhere, data, i), 0);
  go_on(16 << 10, align_everywhere, NULL);
  await(done, sizeof data + 1);
  ecru_chan_release(done);
}

// ---- the program's room -------------------------------------------------------------------------------------------

enum { ROOM = 5000, TENANTS = 200 };
/// Everybody's room is their own, above their frames, and their stack as good as without.
static void inhabit(void *unused) {
  (void)unused;
  unsigned char *room = ecru_room(), mark = (unsigned char)ecru_id();
  CHECK(room != NULL && room > (unsigned char *)__builtin_frame_address(0));
  CHECK(room + ROOM <= (unsigned char *)ecru__stack_end(stack_here()));
  CHECK_EQ((uintptr_t)room % 64, 0);
  memset(room, mark, ROOM);
  CHECK(dig_small(40 << 10, mark) > 1 || SANITIZED);
  for (int i = 0; i < ROOM; i++) CHECK_EQ(room[i], mark);
  CHECK(ecru_room() == room);
  finish(done);
}
static void expect_none(void *unused) {
  (void)unused;
  CHECK(ecru_room() == NULL);
  finish(done);
}
static void let_rooms(void *unused) {
  (void)unused;
  for (int i = 0; i < TENANTS; i++) {
    go(inhabit, NULL);
    if (i % 20 == 19) CHECK_EQ(ecru_yield(), 0);
  }
  go_on(16 << 10, expect_none, NULL);
  go_on(1 << 20, expect_none, NULL);
  ecru_go_options own = ECRU_GO_OPTIONS;
  own.flags = ECRU_OWN_THREAD;
  CHECK_EQ(ecru_go_with(&own, expect_none, NULL), 0);
  await(done, TENANTS + 3);
}
TEST(stack, a_room_is_the_goroutines_own) { // G8
  done = signals();
  CHECK(ecru_room() == NULL);
  ecru_options options = ECRU_OPTIONS;
  for (options.maxprocs = 1; options.maxprocs <= 2; options.maxprocs++) {
    options.room_bytes = ROOM;
    CHECK_EQ(ecru_run_with(&options, let_rooms, NULL), 0);
  }
  options.room_bytes = 0;
  CHECK_EQ(ecru_run_with(&options, expect_none, NULL), 0);
  await(done, 1);
  CHECK(ecru_room() == NULL);
  ecru_chan_release(done);
}

// ---- giving back --------------------------------------------------------------------------------------------------

static void end_at_once(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
}
static void start_in_turn(void *unused) {
  (void)unused;
  long count = test_scaled(20000);
  atomic_store(&runs, 0);
  for (long i = 0; i < count; i++) {
    go(end_at_once, NULL);
    go_on(16 << 10, end_at_once, NULL);
    if (i % 10 == 9) CHECK_EQ(ecru_yield(), 0);
  }
  UNTIL(counters_now().goroutines == 1);
  CHECK_EQ(atomic_load(&runs), 2 * count);
  CHECK(counters_now().stacks_mapped <= 512); // a few slabs: they were used again
}
TEST(stack, stacks_are_used_again) { // G8
  with_procs(1, start_in_turn);
}

enum { DEEP = 300 };
static ecru_chan *gate;
static void be_deep(void *unused) {
  (void)unused;
  dig_small(16 << 10, 1);
  finish(done);
  CHECK_EQ(ecru_chan_recv(gate, NULL), ECRU_ECLOSED);
}
/// returns: how much more memory is resident than before while DEEP goroutines have used their stacks.
static long use_deeply(long before) {
  done = signals();
  gate = chan_of(0, 0);
  for (int i = 0; i < DEEP; i++) go(be_deep, NULL);
  await(done, DEEP);
  long used = test_resident_bytes() - before;
  CHECK(used > (long)DEEP * (200 << 10));
  CHECK_EQ(ecru_chan_close(gate), 0);
  UNTIL(counters_now().goroutines == 1);
  ecru_chan_release(gate);
  ecru_chan_release(done);
  return used;
}
static void give_back(void *unused) {
  (void)unused;
  long before = test_resident_bytes();
  for (int i = 0; i < 3; i++) {
    long used = use_deeply(before);
    ecru__stacks_trim(ECRU_FOREVER, 0);
    CHECK(test_resident_bytes() - before < used / 2); // a few stay at hand
  }
}
static void give_back_unasked(void *unused) {
  (void)unused;
  long before = test_resident_bytes();
  long used = use_deeply(before);
  while (test_resident_bytes() - before >= used / 2) CHECK_EQ(ecru_sleep(50 * ECRU_MILLISECOND), 0);
}
static void need_own_memory(void) {
  if (SANITIZED) SKIP("the memory is a sanitizer's");
  if (getenv("ECRU_TEST_SCALE") && test_scaled(100) < 100) SKIP("memory under an emulator says little");
}
TEST(stack, memory_is_given_back) { // G8
  need_own_memory();
  with_procs(1, give_back);
}
TEST(stack, memory_is_given_back_after_a_while_by_itself) { // G8
  need_own_memory();
  with_procs(1, give_back_unasked);
}

enum { LARGE = 8 << 20, CROWD = 1000 };
static void be_there(void *unused) {
  (void)unused;
  finish(done);
  CHECK_EQ(ecru_chan_recv(gate, NULL), ECRU_ECLOSED);
}
/// Bytes; 0: the system does not say.
static long page_table_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  long kilobytes = 0;
  while (file && fgets(line, sizeof line, file) && sscanf(line, "VmPTE: %ld", &kilobytes) != 1) {}
  if (file) fclose(file);
  return kilobytes << 10;
}
static void stand_on_large_ones(void *unused) {
  (void)unused;
  done = signals();
  gate = chan_of(0, 0);
  long before = page_table_bytes();
  for (int i = 0; i < CROWD; i++) go_on(LARGE, be_there, NULL);
  await(done, CROWD);
  CHECK(page_table_bytes() - before < (long)CROWD * (6 << 10)); // one table of 4 KiB each, and one more to a slab of 8
  CHECK_EQ(ecru_chan_close(gate), 0);
  UNTIL(counters_now().goroutines == 1);
  ecru_chan_release(gate);
  ecru_chan_release(done);
}
TEST(stack, large_ones_need_one_page_table_each) { // G8
  need_own_memory();
  if (page_table_bytes() == 0 || ecru__vm_page() != 4096) SKIP("this system does not count page tables, or has others");
  with_procs(1, stand_on_large_ones);
}

static void write_below(void *unused) {
  (void)unused;
  volatile char room[100 << 10];
  for (size_t i = 0; i < sizeof room; i += 256) room[i] = (char)(i >> 8);
  CHECK_EQ(ecru_yield(), 0);
  for (size_t i = 0; i < sizeof room; i += 256) CHECK_EQ(room[i], (char)(i >> 8));
  finish(done);
}
static void trim_between(void *unused) {
  (void)unused;
  done = signals();
  for (int i = 0; i < 10; i++) {
    for (int k = 0; k < 100; k++) go_on(128 << 10, write_below, NULL);
    await(done, 100);
    UNTIL(counters_now().goroutines == 1);
    ecru__stacks_trim(ECRU_FOREVER, 0);
  }
  ecru_chan_release(done);
}
TEST(stack, trimmed_stacks_can_be_used_again) { // G8
  with_procs(1, trim_between);
  with_procs(2, trim_between);
}

// ---- guards -------------------------------------------------------------------------------------------------------

static void run_all_with(int guard_kind) {
  ecru__vm_force_guard(guard_kind);
  with_procs(1, many_sizes);
  with_procs(2, start_in_turn);
  with_procs(1, trim_between);
}
TEST(stack, all_works_with_guards_by_mprotect) { run_all_with(ECRU__GUARD_MPROTECT); } // G8
TEST(stack, all_works_with_guards_by_madvise) { // G8
  if (ecru__vm_guard_kind() != ECRU__GUARD_MADVISE) SKIP("this system cannot");
  run_all_with(ECRU__GUARD_MADVISE);
}

static void wait_at_gate(void *unused) {
  (void)unused;
  atomic_fetch_add(&runs, 1);
  CHECK_EQ(ecru_chan_recv(gate, NULL), ECRU_ECLOSED);
}
static void use_up_the_budget(void *unused) {
  (void)unused;
  done = signals();
  for (int round = 0; round < 2; round++) {
    gate = chan_of(0, 0);
    atomic_store(&runs, 0);
    long started = 0;
    int status;
    set_errno_here(EXFULL);
    while ((status = ecru_go(wait_at_gate, NULL)) == 0) started++;
    CHECK_EQ(status, ECRU_ENOMEM); // never one without a guard
    CHECK_EQ(errno_here(), EXFULL);
    CHECK(started > 10000);
    ecru_go_options other = ECRU_GO_OPTIONS;
    other.stack_bytes = 32 << 10;
    while ((status = ecru_go_with(&other, wait_at_gate, NULL)) == 0) started++;
    CHECK_EQ(status, ECRU_ENOMEM);
    UNTIL(atomic_load(&runs) == started); // each of those that were started runs
    CHECK_EQ(ecru_sleep(ECRU_MILLISECOND), 0);
    while ((status = ecru_go(wait_at_gate, NULL)) == 0) {} // a mapping or two may have become free
    CHECK_EQ(status, ECRU_ENOMEM);
    CHECK_EQ(ecru_chan_close(gate), 0);
    UNTIL(counters_now().goroutines == 1);
    go(finish, done); // and when they have ended there are stacks again
    await(done, 1);
    ecru_chan_release(gate);
  }
  ecru_chan_release(done);
}
TEST(stack, when_no_more_can_be_guarded_starting_says_so_and_all_goes_on) { // G8
  if (SANITIZED) SKIP("sanitizers do not survive a used up map budget");
  const char *preloaded = getenv("LD_PRELOAD");
  if (preloaded && strstr(preloaded, "vgpreload")) SKIP("nor does valgrind");
  long budget = 0;
  FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
  if (!file || fscanf(file, "%ld", &budget) != 1 || budget > 200000) SKIP("no map budget, or too large a one");
  fclose(file);
  ecru__vm_force_guard(ECRU__GUARD_MPROTECT);
  with_procs(1, use_up_the_budget);
  with_procs(2, use_up_the_budget);
}
