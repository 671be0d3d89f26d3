/// platform/vm/mmap.c: address space for stacks from mmap, guards from MADV_GUARD_INSTALL or mprotect.
///
/// Guards by madvise live in the page tables: no mapping per stack, so a million stacks stay within a handful of
/// mappings. Guards by mprotect split mappings, and the kernel's budget (vm.max_map_count) ends after about 32,000
/// stacks: the caller is told so (ECRU_ENOMEM) and never gets a stack that only seems guarded.
///
/// Some emulators accept MADV_GUARD_INSTALL and ignore it. The probe therefore asks the kernel to populate a guarded page
/// on our behalf: a system call answers EFAULT where a load of our own would be a signal. (A system call that takes the
/// page as an argument would do as well, but valgrind reads such arguments itself and dies of it.)
///
/// Tried and dropped: huge pages (one touched page per stack would cost 2 MiB); guards by process_madvise in batches
/// (a third cheaper, but it needs a capability on older kernels).
#include "platform/vm.h"
#include "platform/fault.h"
#include "ecru/base.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 // Linux 6.13; headers are older
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 // Linux 5.14
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 // Linux 5.18
#endif
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/// atomic: ECRU__GUARD_*, 0 until probed. Relaxed: probing twice gives the same answer.
static _Atomic int guard_kind;

size_t ecru__vm_page(void) {
  static _Atomic size_t cached; // atomic: relaxed, every thread computes the same
  size_t page = atomic_load_explicit(&cached, memory_order_relaxed);
  if (page == 0) {
    page = (size_t)sysconf(_SC_PAGESIZE);
    atomic_store_explicit(&cached, page, memory_order_relaxed);
  }
  return page;
}

size_t ecru__vm_guard_least(void) { return ecru__vm_page(); }

static void *map(size_t bytes) {
  void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return address == MAP_FAILED ? NULL : address;
}

/// Whether MADV_GUARD_INSTALL is there and does what it says.
static int probe_guard_install(void) {
#if defined(__linux__)
  int works = 0;
  size_t page = ecru__vm_page();
  char *address = map(page);
  if (address == NULL) return 0;
  if (madvise(address, page, MADV_GUARD_INSTALL) == 0) {
    works = madvise(address, page, MADV_POPULATE_READ) == -1 && errno == EFAULT;
  }
  munmap(address, page);
  return works;
#else
  return 0;
#endif
}

int ecru__vm_guard_kind(void) {
  int kind = atomic_load_explicit(&guard_kind, memory_order_relaxed);
  if (kind == 0) {
    int saved_errno = errno;
    kind = probe_guard_install() ? ECRU__GUARD_MADVISE : ECRU__GUARD_MPROTECT;
    atomic_store_explicit(&guard_kind, kind, memory_order_relaxed);
    errno = saved_errno;
  }
  return kind;
}

void ecru__vm_force_guard(int kind) {
  assert(kind == ECRU__GUARD_MADVISE || kind == ECRU__GUARD_MPROTECT);
  atomic_store_explicit(&guard_kind, kind, memory_order_relaxed);
}

/// Maps more than wanted and cuts the ends off.
static void *map_aligned(size_t bytes, size_t align) {
  if (bytes > SIZE_MAX - align) return NULL;
  char *wide = map(bytes + align);
  if (wide == NULL) return NULL;
  size_t before = (size_t)(-(uintptr_t)wide & (align - 1));
  if (before != 0) munmap(wide, before);
  munmap(wide + before + bytes, align - before);
  return wide + before;
}

void *ecru__vm_reserve(size_t bytes, size_t align) {
  assert(bytes != 0 && bytes % ecru__vm_page() == 0);
  assert(align != 0 && (align & (align - 1)) == 0);
  if (ecru__fault(ECRU__FAULT_MAP)) return NULL;
  int saved_errno = errno;
  char *address = map(bytes); // mappings of one size grow side by side: the next one is often aligned as it comes
  if (address != NULL && ((uintptr_t)address & (align - 1)) != 0) {
    munmap(address, bytes);
    address = map_aligned(bytes, align);
  }
#if defined(MADV_NOHUGEPAGE)
  if (address != NULL) (void)madvise(address, bytes, MADV_NOHUGEPAGE); // EINVAL: a kernel without huge pages
#endif
  errno = saved_errno;
  return address;
}

int ecru__vm_guard(void *address, size_t bytes, size_t stack_bytes) {
  assert(bytes <= stack_bytes);
  (void)stack_bytes; // all the memory can be used as it is
  assert((uintptr_t)address % ecru__vm_page() == 0 && bytes % ecru__vm_page() == 0);
  if (ecru__fault(ECRU__FAULT_GUARD)) return ECRU_ENOMEM;
  int saved_errno = errno;
  int guarded = 0;
#if defined(__linux__)
  if (ecru__vm_guard_kind() == ECRU__GUARD_MADVISE)
    guarded = madvise(address, bytes, MADV_GUARD_INSTALL) == 0; // EINVAL: locked memory; then as below
#endif
  if (!guarded) guarded = mprotect(address, bytes, PROT_NONE) == 0;
  errno = saved_errno;
  return guarded ? ECRU_OK : ECRU_ENOMEM;
}

void ecru__vm_trim(void *address, size_t bytes) {
  assert((uintptr_t)address % ecru__vm_page() == 0 && bytes % ecru__vm_page() == 0);
  int saved_errno = errno;
#if defined(__linux__)
  int trimmed = madvise(address, bytes, MADV_DONTNEED) == 0;
  // Locked memory (mlockall) refuses that. Asked for only where guards work: emulators accept this advice unread as well.
  if (!trimmed && ecru__vm_guard_kind() == ECRU__GUARD_MADVISE) trimmed = madvise(address, bytes, MADV_DONTNEED_LOCKED) == 0;
  if (!trimmed) trimmed = munlock(address, bytes) == 0 && madvise(address, bytes, MADV_DONTNEED) == 0;
#else
  // MADV_DONTNEED and MADV_FREE may keep the old bytes: map afresh. The range must hold no guard here.
  int trimmed = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
#endif
  assert(trimmed);
  (void)trimmed;
  errno = saved_errno;
}

void ecru__vm_release(void *address, size_t bytes) {
  int saved_errno = errno;
  // Cutting a hole can fail when the map budget is used up: then at least the memory goes.
  if (munmap(address, bytes) != 0) ecru__vm_trim(address, bytes);
  errno = saved_errno;
}
