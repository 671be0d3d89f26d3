/// platform/fault.h: the seam where tests make the system refuse. A normal build compiles it away: ecru__fault() is the
/// constant 0. With -DECRU_FAULT_INJECTION the n-th call of a kind fails as the real call would, so a test can walk
/// through every allocation, mapping, guard and thread start of an operation and see that nothing leaks or hangs.
#ifndef ECRU_PLATFORM_FAULT_H
#define ECRU_PLATFORM_FAULT_H
#include <stdint.h>

enum {
  ECRU__FAULT_ALLOC = 0,  ///< ecru__malloc, ecru__calloc, ecru__realloc
  ECRU__FAULT_MAP = 1,    ///< ecru__vm_reserve
  ECRU__FAULT_GUARD = 2,  ///< ecru__vm_guard
  ECRU__FAULT_THREAD = 3, ///< ecru__thread_start
  ECRU__FAULT_KINDS = 4
};

#ifdef ECRU_FAULT_INJECTION
#ifdef __cplusplus
extern "C" {
#endif
/// Counts a call of this kind. returns: 1 if it is to fail.
int ecru__fault_hit(int kind);
/// Lets the nth next call (1: the very next) of this kind fail, and with `repeat` all that follow; nth 0: none. Restarts the count.
void ecru__fault_set(int kind, uint64_t nth, int repeat);
/// Calls of this kind since the last ecru__fault_set (or the start), failed ones included: how far a test has to walk.
uint64_t ecru__fault_count(int kind);
#ifdef __cplusplus
}
#endif
#define ecru__fault(kind) ecru__fault_hit(kind)
#else
#define ecru__fault(kind) 0
#endif
#endif
