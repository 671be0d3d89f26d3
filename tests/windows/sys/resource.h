/// tests/windows/sys/resource.h: limits: there are none to speak of.
#ifndef ECRU_TESTS_WINDOWS_RESOURCE_H
#define ECRU_TESTS_WINDOWS_RESOURCE_H
typedef unsigned long long rlim_t;
struct rlimit { rlim_t rlim_cur, rlim_max; };
enum { RLIMIT_NOFILE };
static inline int getrlimit(int what, struct rlimit *limit) {
  (void)what;
  limit->rlim_cur = limit->rlim_max = 16384; // handles, as far as they fit an int
  return 0;
}
static inline int setrlimit(int what, const struct rlimit *limit) { return (void)what, (void)limit, 0; }
#endif
