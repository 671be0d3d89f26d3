/// tests/windows/programs.c: what the tests have children run, each a program of this one source: sh -c, cat, echo, sleep and true.
/// The shell knows commands after each other: echo with variables (to >&2 if that is its last word), cat, tee /dev/stderr, sleep, exit.
#include <windows.h>
// after windows.h
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_all(int fd, const char *bytes, int count) {
  for (int written; count > 0; bytes += written, count -= written)
    if ((written = _write(fd, bytes, (unsigned)count)) <= 0) return 1;
  return 0;
}

static int copy(int also) {
  static char part[1 << 16];
  for (int got; (got = _read(0, part, sizeof part)) > 0;)
    if (write_all(1, part, got) != 0 || (also && write_all(2, part, got) != 0)) return 1;
  return 0;
}

/// As a POSIX shell would have it: without the drive.
static const char *directory(void) {
  static char path[MAX_PATH];
  GetCurrentDirectoryA(sizeof path, path);
  for (char *at = path; *at; at++)
    if (*at == '\\') *at = '/';
  return path[1] == ':' ? path + 2 : path;
}

static const char *value_of(const char *word) {
  if (word[0] != '$') return word;
  if (strcmp(word, "$PWD") == 0) return directory();
  const char *value = getenv(word + 1);
  return value ? value : "";
}

static void echo(char *words[], int count) {
  char line[1024] = "";
  int errors = count > 0 && strcmp(words[count - 1], ">&2") == 0;
  for (int i = 0; i < count - errors; i++) {
    if (i > 0) strcat(line, " ");
    strncat(line, value_of(words[i]), 256);
  }
  strcat(line, "\n");
  write_all(errors ? 2 : 1, line, (int)strlen(line));
}

static int nap(const char *seconds) {
  Sleep((DWORD)(atof(seconds) * 1000));
  return 0;
}

static int run_command(char *command) {
  char *words[32];
  int count = 0;
  for (char *at = strtok(command, " "); at && count < 32; at = strtok(NULL, " ")) words[count++] = at;
  if (count == 0) return 0;
  if (strcmp(words[0], "exit") == 0) exit(count > 1 ? atoi(words[1]) : 0);
  if (strcmp(words[0], "echo") == 0) return echo(words + 1, count - 1), 0;
  if (strcmp(words[0], "cat") == 0) return copy(0);
  if (strcmp(words[0], "tee") == 0) return copy(1);
  if (strcmp(words[0], "sleep") == 0 && count > 1) return nap(words[1]);
  fprintf(stderr, "sh: %s?\n", words[0]);
  return 127;
}

static int run_script(char *script) {
  int status = 0;
  for (char *next; script; script = next) {
    if ((next = strchr(script, ';')) != NULL) *next++ = 0;
    status = run_command(script);
  }
  return status;
}

static int is_called(const char *name) {
  char path[MAX_PATH];
  GetModuleFileNameA(NULL, path, sizeof path);
  const char *last = strrchr(path, '\\');
  return strcmp(last ? last + 1 : path, name) == 0;
}

int main(int count, char *words[]) {
  for (int fd = 0; fd <= 2; fd++) _setmode(fd, _O_BINARY);
  if (is_called("cat.exe")) return copy(0);
  if (is_called("echo.exe")) echo(words + 1, count - 1);
  if (is_called("sleep.exe")) return count > 1 ? nap(words[1]) : 2;
  if (is_called("sh.exe")) return count > 2 ? run_script(words[2]) : 2;
  return 0;
}
