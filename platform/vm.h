/// platform/vm.h: reserving address space for stacks and guarding it. Mechanism: vm/mmap.c.
#ifndef ECRU_PLATFORM_VM_H
#define ECRU_PLATFORM_VM_H
#include <stddef.h>

/// How guards are made: chosen once by probing (MADV_GUARD_INSTALL proven by a fault-free system-call probe, since some
/// emulators accept and ignore it), or forced by ecru__vm_force_guard for tests.
enum { ECRU__GUARD_MADVISE = 1, ECRU__GUARD_MPROTECT = 2 };
int ecru__vm_guard_kind(void);
void ecru__vm_force_guard(int kind);

/// Size of a page.
size_t ecru__vm_page(void);
/// Reserves bytes of zero memory, aligned to `align` (power of two), committed lazily, no huge pages. NULL on failure.
void *ecru__vm_reserve(size_t bytes, size_t align);
/// Makes [address, address+bytes) fault on any access. returns: 0 or ECRU_ENOMEM (map budget exhausted).
int ecru__vm_guard(void *address, size_t bytes);
/// Gives the physical memory back; the range reads as zero afterwards. Guards stay.
void ecru__vm_trim(void *address, size_t bytes);
/// Gives the address space back.
void ecru__vm_release(void *address, size_t bytes);
#endif
