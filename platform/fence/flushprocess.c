/// platform/fence/flushprocess.c: the asymmetric fence by FlushProcessWriteBuffers, which interrupts every processor that runs a thread of ours.
///
/// Wine has a call of that name that does nothing (measured: Dekker's algorithm fails twice in a million rounds): there both sides are full fences.
#include "platform/fence.h"

#include <windows.h>

int ecru__fence_is_asymmetric;
_Atomic int ecru__fence_word;

static int is_wine(void) {
  HMODULE ntdll = GetModuleHandleA("ntdll.dll");
  return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

void ecru__fence_init(void) { ecru__fence_is_asymmetric = !is_wine(); }
void ecru__fence_force_symmetric(void) { ecru__fence_is_asymmetric = 0; }

void ecru__fence_heavy(void) {
  atomic_thread_fence(memory_order_seq_cst);
  if (ecru__fence_is_asymmetric) FlushProcessWriteBuffers();
}
