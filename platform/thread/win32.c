/// platform/thread/win32.c: threads from the C runtime's _beginthreadex, and what the machine grants us. A handle is the system's.
#include "platform/thread.h"

#include <windows.h>
// after windows.h
#include <process.h>
#include <stdatomic.h>
#include <timeapi.h>
#include <tlhelp32.h>

#include "ecru/base.h"
#include "platform/memory.h"
#include "platform/vm.h"

enum {
  NAME_BYTES = 16,              // what Linux keeps, NUL included
  DEFAULT_STACK_BYTES = 8 << 20 // as on Linux: it costs address space only
};

struct start {
  void (*fn)(void *argument);
  void *argument;
  wchar_t name[NAME_BYTES];
};

/// There since Windows 10 (1607).
static void name_self(const wchar_t *name) {
  typedef HRESULT WINAPI describe_fn(HANDLE thread, const wchar_t *text);
  describe_fn *describe = (describe_fn *)(void (*)(void))GetProcAddress(GetModuleHandleA("kernel32.dll"), "SetThreadDescription");
  if (name[0] && describe) describe(GetCurrentThread(), name);
}

static unsigned __stdcall run(void *block) {
  struct start start = *(struct start *)block;
  ecru__free(block);
  name_self(start.name);
  start.fn(start.argument);
  return 0;
}

int ecru__thread_start(void **handle, void (*fn)(void *argument), void *argument, const char *name, size_t stack_bytes) {
  if (ecru__fault(ECRU__FAULT_THREAD) || stack_bytes > UINT32_MAX) return ECRU_ETHREADS;
  struct start *start = ecru__calloc(1, sizeof *start);
  if (start == NULL) return ECRU_ETHREADS;
  start->fn = fn;
  start->argument = argument;
  for (size_t i = 0; name != NULL && name[i] && i < NAME_BYTES - 1; i++) start->name[i] = (unsigned char)name[i];
  // The last page of a stack is never given (vm/virtualalloc.c). Otherwise the linker's default would hold: 1 or 2 MiB.
  unsigned reserve = (unsigned)((stack_bytes == 0 ? DEFAULT_STACK_BYTES : stack_bytes) + ecru__vm_page());
  uintptr_t made = _beginthreadex(NULL, reserve, run, start, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
  if (made == 0) {
    ecru__free(start);
    return ECRU_ETHREADS;
  }
  *handle = (void *)made;
  return ECRU_OK;
}

void ecru__thread_join(void *handle) {
  WaitForSingleObject(handle, INFINITE);
  CloseHandle(handle);
}

void ecru__thread_detach(void *handle) { CloseHandle(handle); }
void ecru__thread_yield(void) { SwitchToThread(); }
uint64_t ecru__thread_id(void) { return GetCurrentThreadId(); }

int ecru__thread_count(void) {
  HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  if (snapshot == INVALID_HANDLE_VALUE) return 0;
  THREADENTRY32 entry = {.dwSize = sizeof entry};
  DWORD self = GetCurrentProcessId();
  int count = 0;
  for (BOOL more = Thread32First(snapshot, &entry); more; more = Thread32Next(snapshot, &entry)) count += entry.th32OwnerProcessID == self;
  CloseHandle(snapshot);
  return count;
}

/// Windows looks at its timers every 15.6 ms unless somebody asks for more; since Windows 10 (2004) that concerns the asking process alone.
void ecru__thread_exact_timers(void) {
  static atomic_flag asked = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&asked)) timeBeginPeriod(1);
}

int ecru__thread_stack(void **low, size_t *bytes) {
  ULONG_PTR lowest, end;
  GetCurrentThreadStackLimits(&lowest, &end);
  *low = (char *)lowest + ecru__vm_page(); // the last page is never given
  *bytes = (size_t)(end - lowest) - ecru__vm_page();
  return ECRU_OK;
}

/// The affinity within the group of processors the process is in; a hard limit of its job's CPU rate.
int ecru__cpu_budget(void) {
  DWORD_PTR mine = 0, all = 0;
  JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate;
  int budget = 1;
  if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && mine != 0) budget = __builtin_popcountll(mine);
  const DWORD hard = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
  if (QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &rate, sizeof rate, NULL) && (rate.ControlFlags & hard) == hard) {
    int bound = (int)((rate.CpuRate * (uint64_t)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) + 9999) / 10000); // of 100.00 % of the machine
    if (bound < budget) budget = bound;
  }
  return budget < 1 ? 1 : budget;
}
