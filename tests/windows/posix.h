/// tests/windows/posix.h: what the tests use of POSIX and mingw-w64 does not have. Included before everything else.
#ifndef ECRU_TESTS_WINDOWS_POSIX_H
#define ECRU_TESTS_WINDOWS_POSIX_H
#include <errno.h>
#include <stdlib.h>

#define EXFULL 54
#define O_CLOEXEC 0x80 // O_NOINHERIT
#define SIGUSR1 10
#define aligned_alloc(align, bytes) malloc(bytes) // which aligns to 16
#define sysconf(what) (what)
#define _SC_NPROCESSORS_ONLN (atoi(getenv("NUMBER_OF_PROCESSORS")))

#ifdef __cplusplus
extern "C"
#endif
__declspec(dllimport) int _pipe(int *ends, unsigned bytes, int mode); // io.h has more names than the tests expect
static inline int pipe(int ends[2]) { return _pipe(ends, 65536, 0x8000 | O_CLOEXEC); }
static inline int setenv(const char *name, const char *value, int replace) { return replace || !getenv(name) ? _putenv_s(name, value) : 0; }
static inline int unsetenv(const char *name) { return _putenv_s(name, ""); }
static inline int getloadavg(double *loads, int count) { return (void)loads, count > 0 ? -1 : 0; }
#endif
