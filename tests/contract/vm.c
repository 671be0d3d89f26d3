/// tests/contract/vm.c: what platform/vm.h promises, with either of mmap's ways of making guards. What all mechanisms promise: vm_stack.c.
#include "platform/vm.h"
#include "ecru/base.h"
#include "platform/fence.h" // ECRU__TSAN
#include "test.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

// ---- accesses that may fault --------------------------------------------------------------------------------------

static sigjmp_buf after_fault;
static void *volatile fault_address;

static void on_fault(int signal_number, siginfo_t *info, void *registers) {
  (void)signal_number;
  (void)registers;
  fault_address = info->si_addr;
  siglongjmp(after_fault, 1);
}

static void catch_faults(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

/// returns: 1 if the access raised a fault at exactly this address.
static int faults(volatile char *address, int is_write) {
  catch_faults();
  fault_address = NULL;
  if (sigsetjmp(after_fault, 1) == 0) {
    if (is_write)
      *address = 1;
    else
      (void)*address;
    return 0;
  }
  CHECK((void *)address == fault_address);
  return 1;
}

/// Selects a kind; skips the test where the system does not have it.
static void require_guard(int kind) {
  if (kind == ECRU__GUARD_MADVISE && ecru__vm_guard_kind() != ECRU__GUARD_MADVISE) SKIP("no MADV_GUARD_INSTALL here");
  ecru__vm_force_guard(kind);
  CHECK_EQ(ecru__vm_guard_kind(), kind);
}

// ---- reserving ----------------------------------------------------------------------------------------------------

TEST(vm, reserved_memory_is_zero_aligned_and_writable) {
  size_t page = ecru__vm_page();
  for (size_t align = page; align <= (size_t)64 << 20; align *= 4) {
    size_t bytes = 3 * page;
    char *address = ecru__vm_reserve(bytes, align);
    CHECK(address != NULL);
    CHECK_EQ((uintptr_t)address % align, 0);
    for (size_t i = 0; i < bytes; i++) CHECK_EQ(address[i], 0);
    memset(address, 1, bytes);
    ecru__vm_release(address, bytes);
  }
}

TEST(vm, reserving_is_lazy) {
  size_t bytes = (size_t)1 << 32;
  char *address = ecru__vm_reserve(bytes, ecru__vm_page());
  if (address == NULL) SKIP("no 4 GiB of address space");
  address[bytes - 1] = 1;
  ecru__vm_release(address, bytes);
}

TEST(vm, released_memory_is_gone) {
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(4 * page, page);
  ecru__vm_release(address + page, page);
  CHECK_EQ(faults(address, 1), 0);
  CHECK_EQ(faults(address + page, 0), 1);
  CHECK_EQ(faults(address + 2 * page, 1), 0);
  ecru__vm_release(address, page);
  ecru__vm_release(address + 2 * page, 2 * page);
}

// ---- guarding -----------------------------------------------------------------------------------------------------

static void check_guard(int kind) {
  require_guard(kind);
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(8 * page, page);
  memset(address, 7, 8 * page); // guards also over memory in use
  errno = EXFULL;
  CHECK_EQ(ecru__vm_guard(address + 2 * page, 2 * page, 2 * page), 0);
  CHECK_EQ(errno, EXFULL);
  for (int is_write = 0; is_write < 2; is_write++) {
    CHECK_EQ(faults(address + 2 * page - 1, is_write), 0);
    CHECK_EQ(faults(address + 2 * page, is_write), 1);
    CHECK_EQ(faults(address + 3 * page + 123, is_write), 1);
    CHECK_EQ(faults(address + 4 * page - 1, is_write), 1);
    CHECK_EQ(faults(address + 4 * page, is_write), 0);
  }
  ecru__vm_release(address, 8 * page);
}

TEST(vm, the_chosen_guard_faults_at_the_exact_address) { check_guard(ecru__vm_guard_kind()); } // G8
TEST(vm, a_madvise_guard_faults_at_the_exact_address) { check_guard(ECRU__GUARD_MADVISE); } // G8
TEST(vm, an_mprotect_guard_faults_at_the_exact_address) { check_guard(ECRU__GUARD_MPROTECT); } // G8

static long maps(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  if (file == NULL) return -1;
  long lines = 0;
  for (int character; (character = getc(file)) != EOF;) lines += character == '\n';
  fclose(file);
  return lines;
}

TEST(vm, madvise_guards_cost_no_mappings) { // G9
  require_guard(ECRU__GUARD_MADVISE);
  enum { GUARDS = 1000 };
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(2 * GUARDS * page, page);
  long before = maps();
  for (size_t i = 0; i < GUARDS; i++) CHECK_EQ(ecru__vm_guard(address + 2 * i * page, page, page), 0);
  CHECK_EQ(maps(), before);
  ecru__vm_release(address, 2 * GUARDS * page);
}

TEST(vm, a_used_up_map_budget_is_an_error) { // G8: never silently unguarded
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer does not survive a used up map budget");
#endif
  require_guard(ECRU__GUARD_MPROTECT);
  long budget = 0;
  FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
  if (file == NULL || fscanf(file, "%ld", &budget) != 1 || budget > 200000) SKIP("no map budget, or too large a one");
  fclose(file);
  size_t page = ecru__vm_page(), pairs = (size_t)budget / 2 + 10;
  char *address = ecru__vm_reserve(2 * pairs * page, page);
  CHECK(address != NULL);
  size_t guarded = 0;
  int status = 0;
  errno = EXFULL;
  for (; guarded < pairs && status == 0; guarded += status == 0) status = ecru__vm_guard(address + 2 * guarded * page, page, page);
  CHECK_EQ(status, ECRU_ENOMEM);
  CHECK_EQ(errno, EXFULL);
  CHECK(guarded > pairs / 2);
  CHECK_EQ(faults(address + 2 * (guarded - 1) * page, 1), 1);
  CHECK_EQ(faults(address + 2 * guarded * page, 1), 0); // the one that failed is untouched
  // Releasing a hole may be refused now as well; then the memory at least is given back.
  char *middle = address + 2 * guarded * page + page;
  middle[0] = 1;
  ecru__vm_release(middle, page);
  CHECK_EQ(errno, EXFULL);
  munmap(address, 2 * pairs * page);
}

TEST(vm, locked_memory_is_guarded_and_trimmed_too) {
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(4 * page, page);
  if (mlock(address, 4 * page) != 0) SKIP("may not lock memory");
  CHECK_EQ(ecru__vm_guard(address, page, page), 0);
  CHECK_EQ(faults(address, 1), 1);
  address[page] = 1;
  ecru__vm_trim(address + page, 3 * page);
  CHECK_EQ(address[page], 0);
  ecru__vm_release(address, 4 * page);
}

// ---- trimming -----------------------------------------------------------------------------------------------------

static void check_trim(int kind) {
  require_guard(kind);
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(8 * page, page);
  CHECK_EQ(ecru__vm_guard(address, page, page), 0);
  memset(address + page, 7, 7 * page);
  errno = EXFULL;
  ecru__vm_trim(address, 7 * page);
  CHECK_EQ(errno, EXFULL);
  CHECK_EQ(faults(address, 0), 1);
  for (size_t i = page; i < 7 * page; i++) CHECK_EQ(address[i], 0);
  CHECK_EQ(address[7 * page], 7);
  ecru__vm_release(address, 8 * page);
}

TEST(vm, trimmed_memory_reads_zero_and_madvise_guards_stay) { check_trim(ECRU__GUARD_MADVISE); } // G8
TEST(vm, trimmed_memory_reads_zero_and_mprotect_guards_stay) { check_trim(ECRU__GUARD_MPROTECT); } // G8

static size_t resident_pages(char *address, size_t pages) {
  unsigned char map[64];
  CHECK(pages <= sizeof map);
  CHECK_EQ(mincore(address, pages * ecru__vm_page(), (void *)map), 0);
  size_t resident = 0;
  for (size_t i = 0; i < pages; i++) resident += map[i] & 1;
  return resident;
}

TEST(vm, trimming_gives_the_memory_back) { // G8
  size_t page = ecru__vm_page();
  char *address = ecru__vm_reserve(64 * page, page);
  memset(address, 7, 64 * page);
  CHECK_EQ(resident_pages(address, 64), 64);
  ecru__vm_trim(address + page, 63 * page);
  CHECK_EQ(resident_pages(address, 64), 1);
  ecru__vm_release(address, 64 * page);
}
