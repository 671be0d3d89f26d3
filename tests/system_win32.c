/// tests/system_win32.c: processes that are started anew, since there is no fork, and time by a thread.
///
/// What a test_death shall see die runs in a new process of the same test, which is told the number of the call: earlier ones return at once,
/// that one runs its function.
#include "system.h"

#include <winsock2.h>
// after winsock2.h
#include <windows.h>
// after windows.h
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <process.h>
#include <psapi.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>

enum { EXIT_OF_ABORT = 3 };

static const char *program_path;
static HANDLE death_child; // process to end together with this one
static int deaths, death_wanted;
static void (*tell_of_it)(void), (*dump_all)(void);
static unsigned watch_seconds;

/// Programs for children (tests/windows/programs.c) lie beside the directory of the test.
static void find_programs(void) {
  char path[4096], whole[8192];
  GetModuleFileNameA(NULL, path, sizeof path);
  for (int up = 0; up < 2; up++) {
    char *last = strrchr(path, '\\');
    if (last) *last = 0;
  }
  const char *before = getenv("PATH");
  snprintf(whole, sizeof whole, "%s\\programs;%s", path, before ? before : "");
  _putenv_s("PATH", whole);
}

void test_system_begin(const char *program) {
  program_path = program;
  SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
  _fmode = _O_BINARY; // of temporary files, too
  find_programs();
  for (int fd = 0; fd <= 2; fd++) _setmode(fd, _O_BINARY);
  const char *wanted = getenv("ECRU_TEST_DEATH");
  death_wanted = wanted ? atoi(wanted) : 0;
}

void test_system_pause(void) { Sleep(INFINITE); }

static unsigned __stdcall watch(void *unused) {
  (void)unused;
  Sleep(watch_seconds * 1000);
  tell_of_it();
  if (death_child) TerminateProcess(death_child, EXIT_FAILED);
  dump_all();
  TerminateProcess(GetCurrentProcess(), EXIT_FAILED);
  return 0;
}

static unsigned __stdcall end_soon(void *unused) { // a dump may hang
  (void)unused;
  Sleep(watch_seconds * 1000 + 3000);
  TerminateProcess(GetCurrentProcess(), EXIT_FAILED);
  return 0;
}

/// Not in what shall die: who started it watches, and there threads that ecru does not know would keep deadlocks from being told.
void test_system_watch(unsigned seconds, void (*told)(void), void (*dump)(void)) {
  if (death_wanted) return;
  tell_of_it = told;
  dump_all = dump;
  watch_seconds = seconds;
  if (!_beginthreadex(NULL, 0, watch, NULL, 0, NULL) || !_beginthreadex(NULL, 0, end_soon, NULL, 0, NULL)) abort();
}

long test_thread_id(void) { return (long)GetCurrentThreadId(); }

/// Sockets; other handles are not only descriptors. Their numbers are dense: after so many that are none there is none any more.
int test_open_fds(void) {
  enum { HANDLE_STEP = 4, GAP = 512 };
  int sockets = 0, gap = 0;
  for (SOCKET s = HANDLE_STEP; gap < GAP; s += HANDLE_STEP) {
    int type, bytes = sizeof type;
    DWORD flags;
    gap = GetHandleInformation((HANDLE)s, &flags) ? 0 : gap + 1;
    if (gap == 0 && getsockopt(s, SOL_SOCKET, SO_TYPE, (char *)&type, &bytes) == 0) sockets++;
  }
  return sockets;
}

int test_threads(void) {
  HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  THREADENTRY32 entry = {.dwSize = sizeof entry};
  int count = 0;
  for (BOOL more = Thread32First(snapshot, &entry); more; more = Thread32Next(snapshot, &entry))
    count += entry.th32OwnerProcessID == GetCurrentProcessId();
  CloseHandle(snapshot);
  return count - (watch_seconds ? 2 : 0);
}

long test_resident_bytes(void) {
  PROCESS_MEMORY_COUNTERS counters;
  return GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters) ? (long)counters.WorkingSetSize : -1;
}

size_t test_heap_bytes(void) {
  _HEAPINFO block = {0};
  size_t used = 0;
  while (_heapwalk(&block) == _HEAPOK) used += block._useflag == _USEDENTRY ? block._size : 0;
  return used;
}

int test_set_pipe_mode(int fd, int nonblocking) {
  DWORD mode = nonblocking ? PIPE_NOWAIT : PIPE_WAIT;
  return SetNamedPipeHandleState((HANDLE)_get_osfhandle(fd), &mode, NULL, NULL) ? 0 : -1;
}

/// Whatever the signal: there is one way to end a process.
int test_kill(int process, int signal) {
  HANDLE handle = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)process);
  BOOL ended = handle && TerminateProcess(handle, (UINT)signal);
  if (handle) CloseHandle(handle);
  return ended ? 0 : -1;
}

/// Minus the number of the signal it would have been.
static int ending_of(DWORD exit_code) {
  if (exit_code == EXIT_OF_ABORT) return -SIGABRT;
  if (exit_code == (DWORD)STATUS_ACCESS_VIOLATION || exit_code == (DWORD)STATUS_STACK_OVERFLOW) return -SIGSEGV;
  return (int)exit_code;
}

/// errors: what shall be its stderr, NULL: ours.
static HANDLE start(const char *test, HANDLE errors) {
  char line[1024];
  STARTUPINFOA setup = {.cb = sizeof setup, .dwFlags = STARTF_USESTDHANDLES};
  PROCESS_INFORMATION made;
  setup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
  setup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
  setup.hStdError = errors ? errors : GetStdHandle(STD_ERROR_HANDLE);
  snprintf(line, sizeof line, "\"%s\" %s", program_path, test);
  if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &setup, &made)) return NULL;
  CloseHandle(made.hThread);
  return made.hProcess;
}

static int end_of(HANDLE process) {
  DWORD code = EXIT_FAILED;
  WaitForSingleObject(process, INFINITE);
  GetExitCodeProcess(process, &code);
  CloseHandle(process);
  return ending_of(code);
}

int test_system_run(const test_case *test, int (*run_here)(const test_case *test)) {
  (void)run_here;
  char name[256];
  snprintf(name, sizeof name, "%s.%s", test->suite, test->name);
  HANDLE process = start(name, NULL);
  return process ? end_of(process) : EXIT_FAILED;
}

/// All that comes; to be freed.
static char *read_all(HANDLE from) {
  size_t used = 0, room = 1 << 16;
  char *text = malloc(room + 1);
  for (DWORD got = 0; ReadFile(from, text + used, (DWORD)(room - used), &got, NULL) && got > 0;) {
    used += got;
    if (used == room) text = realloc(text, (room *= 2) + 1);
  }
  text[used] = 0;
  return text;
}

/// Without a debugger or a report, which take their time.
static LONG WINAPI end_at_once(EXCEPTION_POINTERS *exception) {
  TerminateProcess(GetCurrentProcess(), exception->ExceptionRecord->ExceptionCode);
  return EXCEPTION_EXECUTE_HANDLER;
}

static HANDLE overflown; // an event for which who started us waits

static LONG CALLBACK note_overflow(EXCEPTION_POINTERS *exception) {
  if (exception->ExceptionRecord->ExceptionCode == (DWORD)STATUS_STACK_OVERFLOW) SetEvent(overflown);
  return EXCEPTION_CONTINUE_SEARCH;
}

/// On a thread's own stack Wine leaves too little room to end the process: it ends the thread alone.
static unsigned __stdcall end_after_overflow(void *unused) {
  enum { TO_TELL_MS = 5000 };
  HANDLE either[] = {overflown, death_child};
  (void)unused;
  if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0 && WaitForSingleObject(death_child, TO_TELL_MS) == WAIT_TIMEOUT)
    TerminateProcess(death_child, (DWORD)STATUS_STACK_OVERFLOW);
  return 0;
}

static bool is_wine(void) { return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != NULL; }

static void die(void (*fn)(void)) {
  SetUnhandledExceptionFilter(end_at_once);
  const char *event = getenv("ECRU_TEST_OVERFLOWN");
  overflown = event ? (HANDLE)(uintptr_t)strtoull(event, NULL, 10) : NULL;
  if (overflown && is_wine()) AddVectoredExceptionHandler(1, note_overflow);
  fn();
  fflush(NULL);
  _exit(0);
}

void test_death_at(const char *file, int line, const char *what, void (*fn)(void), int expected, const char *substring) {
  char number[16], event[24];
  if (++deaths == death_wanted) die(fn);
  if (deaths < death_wanted) return;
  HANDLE reading, writing;
  SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
  if (!CreatePipe(&reading, &writing, &inherited, 0)) test_fail(file, line, "no pipe");
  SetHandleInformation(reading, HANDLE_FLAG_INHERIT, 0);
  snprintf(number, sizeof number, "%d", deaths);
  SetEnvironmentVariableA("ECRU_TEST_DEATH", number);
  overflown = CreateEventA(&inherited, TRUE, FALSE, NULL);
  snprintf(event, sizeof event, "%llu", (unsigned long long)(uintptr_t)overflown);
  SetEnvironmentVariableA("ECRU_TEST_OVERFLOWN", event);
  death_child = start(test_running_name(), writing);
  CloseHandle(writing);
  if (!death_child) test_fail(file, line, "no process");
  HANDLE ender = (HANDLE)_beginthreadex(NULL, 0, end_after_overflow, NULL, 0, NULL);
  char *text = read_all(reading);
  CloseHandle(reading);
  WaitForSingleObject(ender, INFINITE);
  CloseHandle(ender);
  CloseHandle(overflown);
  int actual = end_of(death_child);
  death_child = NULL;
  if (actual != expected || (substring && !strstr(text, substring))) {
    test_write("---- stderr of the child\n", 25);
    test_write(text, strlen(text));
    test_write("---- end\n", 9);
    test_fail(file, line, "%s ended with %d, expected %d with \"%s\" on stderr", what, actual, expected, substring ? substring : "");
  }
  free(text);
}
