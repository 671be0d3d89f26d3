/// platform/ctx/win64.h: what contexts have in common on Windows, whatever the machine type.
#ifndef ECRU_PLATFORM_CTX_WIN64_H
#define ECRU_PLATFORM_CTX_WIN64_H
#include <assert.h>
#include <stddef.h>
#include <windows.h>

/// The lowest address of the stack that is committed already and no guard. Below a stack that has not been used up lies what is only reserved,
/// then the guard page; other memory is committed down to its end.
static inline char *ecru__win64_committed_from(char *low) {
  MEMORY_BASIC_INFORMATION region;
  for (;;) {
    size_t got = VirtualQuery(low, &region, sizeof region);
    assert(got == sizeof region);
    (void)got;
    if (region.State == MEM_COMMIT && !(region.Protect & PAGE_GUARD)) return low;
    low = (char *)region.BaseAddress + region.RegionSize;
  }
}
#endif
