/// tests/windows/sys/prctl.h: the name of a thread. Timers have no slack of their own.
#ifndef ECRU_TESTS_WINDOWS_PRCTL_H
#define ECRU_TESTS_WINDOWS_PRCTL_H
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
// after windows.h
#include <stdarg.h>
enum { PR_GET_NAME, PR_GET_TIMERSLACK };
static inline int test_thread_name(char *name) {
  typedef HRESULT WINAPI ask(HANDLE thread, wchar_t **text);
  ask *describe = (ask *)(void (*)(void))GetProcAddress(GetModuleHandleA("kernel32.dll"), "GetThreadDescription");
  wchar_t *text = NULL;
  if (!describe || describe(GetCurrentThread(), &text) < 0) return -1;
  int i = 0;
  for (; i < 15 && text[i]; i++) name[i] = (char)text[i];
  name[i] = 0;
  LocalFree(text);
  return 0;
}
static inline int prctl(int what, ...) {
  if (what != PR_GET_NAME) return -1;
  va_list arguments;
  va_start(arguments, what);
  char *name = va_arg(arguments, char *);
  va_end(arguments);
  return test_thread_name(name);
}
#endif
