/// tests/system_posix.c: processes by fork, time by alarm.
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#else
#include <pthread.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

static volatile sig_atomic_t death_child; // process to end together with this one
static void (*tell)(void), (*dump_all)(void); // set once, before the alarm

void test_system_begin(const char *program) { (void)program; }
void test_system_pause(void) { pause(); }

static void write_text(const char *text) { test_write(text, strlen(text)); }

static int entries_of(const char *directory) {
  DIR *stream = opendir(directory);
  if (!stream) return -1;
  int entries = 0;
  for (struct dirent *entry; (entry = readdir(stream));)
    if (entry->d_name[0] != '.') entries++;
  closedir(stream);
  return entries;
}

int test_open_fds(void) {
  int entries = entries_of("/proc/self/fd");
  return entries < 0 ? -1 : entries - 1; // without the directory stream itself
}

int test_threads(void) { return entries_of("/proc/self/task"); }

#if defined(__linux__)
long test_thread_id(void) { return syscall(SYS_gettid); }
#else
long test_thread_id(void) { return (long)pthread_self(); }
#endif

long test_resident_bytes(void) {
  long size = 0, resident = -1;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%ld %ld", &size, &resident) != 2) resident = -1;
  if (file) fclose(file);
  return resident < 0 ? -1 : resident * sysconf(_SC_PAGESIZE);
}

#if defined(__GLIBC__)
size_t test_heap_bytes(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}
#else
size_t test_heap_bytes(void) { return 0; }
#endif

// ---- deaths -------------------------------------------------------------------------------------------------------

static void run_doomed(void (*fn)(void), int stderr_fd) {
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  dup2(stderr_fd, STDERR_FILENO);
  close(stderr_fd);
  fn();
  fflush(NULL);
  _exit(0);
}

static int ending_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

void test_death_at(const char *file, int line, const char *what, void (*fn)(void), int expected,
                   const char *substring) {
  int ends[2];
  if (pipe(ends) != 0) test_fail(file, line, "pipe: %s", strerror(errno));
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) test_fail(file, line, "fork: %s", strerror(errno));
  if (child == 0) {
    close(ends[0]);
    run_doomed(fn, ends[1]);
  }
  death_child = child;
  close(ends[1]);

  size_t used = 0, room = 1 << 16;
  char *text = malloc(room + 1);
  for (ssize_t got;;) {
    if (used == room) text = realloc(text, (room *= 2) + 1);
    got = read(ends[0], text + used, room - used);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    used += (size_t)got;
  }
  text[used] = 0;
  close(ends[0]);
  int wait_status = 0;
  while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
  }
  death_child = 0;

  int actual = ending_of(wait_status);
  int holds = actual == expected && (!substring || strstr(text, substring));
  if (!holds) {
    write_text("---- stderr of the child\n");
    test_write(text, used);
    write_text("---- end\n");
    test_fail(file, line, "%s ended with %d, expected %d with \"%s\" on stderr", what, actual, expected,
              substring ? substring : "");
  }
  free(text);
}

// ---- running ------------------------------------------------------------------------------------------------------

static void too_long(int signal_number) {
  tell();
  if (death_child > 0) kill((pid_t)death_child, SIGKILL);
  signal(signal_number, SIG_DFL); // the dump is not signal-safe: if it hangs, the second alarm ends the process
  alarm(3);
  dump_all();
  _exit(EXIT_FAILED);
}

void test_system_watch(unsigned seconds, void (*told)(void), void (*dump)(void)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = too_long;
  action.sa_flags = SA_RESTART;
  tell = told;
  dump_all = dump;
  sigaction(SIGALRM, &action, NULL);
  alarm(seconds);
}

int test_system_run(const test_case *test, int (*run_here)(const test_case *test)) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) return EXIT_FAILED;
  if (child == 0) exit(run_here(test)); // exit, not _exit: leak checkers look now
  int wait_status = 0;
  while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
  }
  return ending_of(wait_status);
}
