/// platform/vm.h: reserving address space for stacks and guarding it. Mechanisms: vm/mmap.c, vm/virtualalloc.c.
#ifndef ECRU_PLATFORM_VM_H
#define ECRU_PLATFORM_VM_H
#include <stddef.h>

/// How guards are made: chosen once by probing (MADV_GUARD_INSTALL proven by a fault-free system-call probe, since some
/// emulators accept and ignore it), or forced by ecru__vm_force_guard for tests; on Windows the one way there is.
enum { ECRU__GUARD_MADVISE = 1, ECRU__GUARD_MPROTECT = 2, ECRU__GUARD_GROWING = 3 };
int ecru__vm_guard_kind(void);
void ecru__vm_force_guard(int kind);

/// Size of a page.
size_t ecru__vm_page(void);
/// What a stack loses to its guard at least.
size_t ecru__vm_guard_least(void);
/// Reserves bytes for stacks, aligned to `align` (power of two). The memory of each can be used, and is zero, once ecru__vm_guard has been
/// called; it is committed lazily, without huge pages. NULL on failure.
void *ecru__vm_reserve(size_t bytes, size_t align);
/// Makes [low, low+stack_bytes) a stack whose lowest guard_bytes fault on any access. Where stacks grow (ECRU__GUARD_GROWING) less may fault, but
/// never nothing, and what lies farther down can only be used once all above it is. returns: 0; ECRU_ENOMEM (map budget or memory exhausted).
int ecru__vm_guard(void *low, size_t guard_bytes, size_t stack_bytes);
/// Gives back the physical memory of a stack that nobody runs on, all of it but the guard; it reads as zero afterwards.
void ecru__vm_trim(void *address, size_t bytes);
/// Gives the address space of a reservation back.
void ecru__vm_release(void *address, size_t bytes);
#endif
