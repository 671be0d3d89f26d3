/// platform/vm/virtualalloc.c: address space for stacks from VirtualAlloc, which grow as Windows has its own threads' stacks grow.
///
/// Of a fresh stack the uppermost pages are committed and the one below them is a guard page. Who touches that is given it by the system, which
/// commits the next one as the new guard, as long as the stack is the running thread's (ctx/win64_x86_64.S sees to that); compilers touch the
/// pages of large frames one by one. The last page is never given: then the system raises a stack overflow instead.
///
/// (Dropped: committing whole stacks. The system grants no more than it could keep, memory and page file: at 256 KiB 100,000 goroutines would need 25 GB of
/// that.)
#include "platform/vm.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <windows.h>

#include "ecru/base.h"
#include "platform/fault.h"

enum { COMMITTED_BYTES = 8 << 10 }; // the control block and the first frames

size_t ecru__vm_page(void) {
  static _Atomic size_t cached; // atomic: relaxed, every thread computes the same
  size_t page = atomic_load_explicit(&cached, memory_order_relaxed);
  if (page == 0) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    page = system.dwPageSize;
    atomic_store_explicit(&cached, page, memory_order_relaxed);
  }
  return page;
}

/// The last page, which is never given; two that the system keeps for who handles the overflow; and the page that raises it.
size_t ecru__vm_guard_least(void) { return 4 * ecru__vm_page(); }

int ecru__vm_guard_kind(void) { return ECRU__GUARD_GROWING; }
void ecru__vm_force_guard(int kind) { assert(kind == ECRU__GUARD_GROWING); (void)kind; }

/// Finds a place that is large enough, then takes its aligned part: another thread may have taken that meanwhile.
static void *reserve_aligned(size_t bytes, size_t align) {
  enum { TRIES = 32 };
  if (bytes > SIZE_MAX - align) return NULL;
  for (int i = 0; i < TRIES; i++) {
    char *wide = VirtualAlloc(NULL, bytes + align, MEM_RESERVE, PAGE_READWRITE);
    if (!wide) return NULL;
    char *aligned = wide + (-(uintptr_t)wide & (align - 1));
    VirtualFree(wide, 0, MEM_RELEASE);
    void *address = VirtualAlloc(aligned, bytes, MEM_RESERVE, PAGE_READWRITE);
    if (address) return address;
  }
  return NULL;
}

void *ecru__vm_reserve(size_t bytes, size_t align) {
  assert(bytes != 0 && bytes % ecru__vm_page() == 0);
  assert(align != 0 && (align & (align - 1)) == 0);
  if (ecru__fault(ECRU__FAULT_MAP)) return NULL;
  void *address = VirtualAlloc(NULL, bytes, MEM_RESERVE, PAGE_READWRITE);
  if (!address || ((uintptr_t)address & (align - 1)) == 0) return address;
  VirtualFree(address, 0, MEM_RELEASE);
  return reserve_aligned(bytes, align);
}

/// The topmost pages and the guard page below them.
static int commit_top(char *top) {
  char *guard = top - COMMITTED_BYTES - ecru__vm_page();
  if (!VirtualAlloc(top - COMMITTED_BYTES, COMMITTED_BYTES, MEM_COMMIT, PAGE_READWRITE)) return ECRU_ENOMEM;
  return VirtualAlloc(guard, ecru__vm_page(), MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD) ? 0 : ECRU_ENOMEM;
}

int ecru__vm_guard(void *low, size_t guard_bytes, size_t stack_bytes) {
  assert((uintptr_t)low % ecru__vm_page() == 0 && guard_bytes >= ecru__vm_guard_least());
  assert(stack_bytes >= guard_bytes + ecru__vm_page() + COMMITTED_BYTES);
  if (ecru__fault(ECRU__FAULT_GUARD)) return ECRU_ENOMEM;
  return commit_top((char *)low + stack_bytes);
}

/// The top stays committed, since others may look at it at any time: it is cleared, and what it holds need not be kept.
void ecru__vm_trim(void *address, size_t bytes) {
  char *low = address, *top = low + bytes;
  assert((uintptr_t)address % ecru__vm_page() == 0 && bytes >= ecru__vm_page() + COMMITTED_BYTES);
  size_t guard_bytes = ecru__vm_page();
  low -= ecru__vm_guard_least(); // it may have grown into the guard
  VirtualFree(low, (size_t)(top - low) - COMMITTED_BYTES, MEM_DECOMMIT);
  void *guard = VirtualAlloc(top - COMMITTED_BYTES - guard_bytes, guard_bytes, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
  assert(guard);
  (void)guard;
  memset(top - COMMITTED_BYTES, 0, COMMITTED_BYTES);
  VirtualAlloc(top - COMMITTED_BYTES, COMMITTED_BYTES, MEM_RESET, PAGE_READWRITE);
}

void ecru__vm_release(void *address, size_t bytes) {
  (void)bytes; // a reservation goes as a whole
  BOOL released = VirtualFree(address, 0, MEM_RELEASE);
  assert(released);
  (void)released;
}
