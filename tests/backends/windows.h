/// tests/backends/windows.h: what ctx/win64_aarch64.c asks Windows. The tests' stacks are there as a whole.
#ifndef ECRU_TESTS_BACKENDS_WINDOWS_H
#define ECRU_TESTS_BACKENDS_WINDOWS_H
#include <stddef.h>
enum { MEM_COMMIT = 0x1000, PAGE_GUARD = 0x100 };
typedef struct MEMORY_BASIC_INFORMATION { void *BaseAddress; size_t RegionSize; unsigned State, Protect; } MEMORY_BASIC_INFORMATION;
static inline size_t VirtualQuery(void *address, MEMORY_BASIC_INFORMATION *region, size_t bytes) {
  *region = (MEMORY_BASIC_INFORMATION){.BaseAddress = address, .RegionSize = 4096, .State = MEM_COMMIT};
  return bytes;
}
#endif
