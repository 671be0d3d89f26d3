/// tests/windows/sys/wait.h: children: there are no zombies, but processes that are still there.
#ifndef ECRU_TESTS_WINDOWS_WAIT_H
#define ECRU_TESTS_WINDOWS_WAIT_H
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <windows.h>
// after windows.h
#include <errno.h>
#include <tlhelp32.h>
enum { WNOHANG = 1 };
static inline int test_has_children(void) {
  HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
  PROCESSENTRY32 entry = {.dwSize = sizeof entry};
  int count = 0;
  for (BOOL more = Process32First(snapshot, &entry); more; more = Process32Next(snapshot, &entry))
    count += entry.th32ParentProcessID == GetCurrentProcessId();
  CloseHandle(snapshot);
  return count > 0;
}
/// -1: says whether there are any; else waits for one.
static inline pid_t waitpid(pid_t process, int *status, int options) {
  (void)status, (void)options;
  if (process < 0) return test_has_children() ? 0 : (errno = ECHILD, -1);
  HANDLE handle = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)process);
  if (handle) WaitForSingleObject(handle, INFINITE); // else it has ended
  if (handle) CloseHandle(handle);
  return process;
}
#endif
