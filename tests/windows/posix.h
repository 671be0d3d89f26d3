/// tests/windows/posix.h: what the tests use of POSIX and mingw-w64 does not have. Included before everything else.
#ifndef ECRU_TESTS_WINDOWS_POSIX_H
#define ECRU_TESTS_WINDOWS_POSIX_H
#include <errno.h>
#include <fcntl.h>
#include <direct.h>
#include <io.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXFULL 54
#define O_CLOEXEC 0x80 // O_NOINHERIT
#define SIGUSR1 10
#define SIGPIPE 13
#define SIGQUIT 3
#define SIGKILL 9
#define O_NOCTTY 0
#define aligned_alloc(align, bytes) malloc(bytes) // which aligns to 16
#define sysconf(what) (what)
#define _SC_NPROCESSORS_ONLN (atoi(getenv("NUMBER_OF_PROCESSORS")))

#define NULL_DEVICE "NUL"
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define FD_CLOEXEC 1
#define O_NONBLOCK 0x4000

#ifdef __cplusplus
extern "C" {
#endif
int test_set_pipe_mode(int fd, int nonblocking); // system_win32.c
void test_system_pause(void);
int test_kill(int process, int signal);
#ifdef __cplusplus
}
#endif
#define pause() test_system_pause()
#define kill(process, signal) test_kill(process, signal)
static inline int mkfifo(const char *path, int mode) { return (void)path, (void)mode, -1; }
/// Of the C runtime's pipes; sockets: sys/socket.h.
static inline int test_file_fcntl(int fd, int what, int value) { return what == F_SETFL ? test_set_pipe_mode(fd, (value & O_NONBLOCK) != 0) : -1; }
#define fcntl(fd, ...) test_file_fcntl_with(fd, __VA_ARGS__, 0)
#define test_file_fcntl_with(fd, what, value, ...) test_file_fcntl(fd, what, value)
static inline int pipe(int ends[2]) { return _pipe(ends, 65536, 0x8000 | O_CLOEXEC); }
static inline long test_pread(int file, void *data, size_t bytes, int64_t offset) {
  int64_t before = _lseeki64(file, 0, 1);
  long count = _lseeki64(file, offset, 0) < 0 ? -1 : _read(file, data, (unsigned)bytes);
  _lseeki64(file, before, 0);
  return count;
}
#define pread(file, data, bytes, offset) test_pread(file, data, bytes, offset)
/// An open file cannot be unlinked here: it goes when it is closed.
static inline int test_mkstemp(char *pattern) {
  return _mktemp(pattern) ? _open(pattern, _O_RDWR | _O_CREAT | _O_EXCL | _O_BINARY | _O_TEMPORARY, 0600) : -1;
}
static inline long test_pwrite(int file, const void *data, size_t bytes, int64_t offset) {
  int64_t before = _lseeki64(file, 0, 1);
  long count = _lseeki64(file, offset, 0) < 0 ? -1 : _write(file, data, (unsigned)bytes);
  _lseeki64(file, before, 0);
  return count;
}
#define pwrite(file, data, bytes, offset) test_pwrite(file, data, bytes, offset)
#define MFD_CLOEXEC 0
static inline int memfd_create(const char *name, unsigned flags) {
  char path[] = "/tmp/ecru_memory_XXXXXX";
  return (void)name, (void)flags, test_mkstemp(path);
}
static inline char *test_mkdtemp(char *pattern) { return _mktemp(pattern) && _mkdir(pattern) == 0 ? pattern : NULL; }
#define mkdtemp(pattern) test_mkdtemp(pattern)
#define mkstemp(pattern) test_mkstemp(pattern)
static inline int test_unlink(const char *path) { return _unlink(path) == 0 || errno == EACCES || errno == EPERM ? 0 : -1; }
#define unlink(path) test_unlink(path)
static inline int setenv(const char *name, const char *value, int replace) { return replace || !getenv(name) ? _putenv_s(name, value) : 0; }
static inline int unsetenv(const char *name) { return _putenv_s(name, ""); }
static inline int getloadavg(double *loads, int count) { return (void)loads, count > 0 ? -1 : 0; }

// Signals cannot be had: who asks is told so.
struct sigaction {
  union {
    void (*sa_handler)(int signal);
    void (*sa_sigaction)(int signal, void *about, void *context);
  };
  int sa_flags;
};
#define SA_RESTART 1
#define SA_ONSTACK 2
#define SA_SIGINFO 4
#define sigset_t uint64_t
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
static inline int sigaction(int signal, const struct sigaction *action, struct sigaction *before) { return (void)signal, (void)action, (void)before, -1; }
static inline int sigemptyset(sigset_t *set) { return (int)(*set = 0); }
static inline int sigaddset(sigset_t *set, int signal) { return *set |= UINT64_C(1) << signal, 0; }
static inline int sigismember(const sigset_t *set, int signal) { return *set >> signal & 1; }
static inline int test_sigmask(int how, const sigset_t *set, sigset_t *before) { return (void)how, (void)set, (void)before, -1; }
static inline int sigpending(sigset_t *set) { return sigemptyset(set); }
#define pthread_sigmask(how, set, before) test_sigmask(how, set, before)
static inline int posix_openpt(int flags) { return (void)flags, -1; }
static inline int grantpt(int keyboard) { return (void)keyboard, -1; }
static inline int unlockpt(int keyboard) { return (void)keyboard, -1; }
static inline char *ptsname(int keyboard) { return (void)keyboard, (char *)0; }
#endif
