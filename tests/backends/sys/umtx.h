/// tests/backends/sys/umtx.h: as much of FreeBSD's header as platform/wait/umtx.c uses; tests/backends/umtx.c stands in for the system.
#ifndef ECRU_TESTS_UMTX_H
#define ECRU_TESTS_UMTX_H
#include <stdint.h>
#include <time.h>

struct _umtx_time {
  struct timespec _timeout;
  uint32_t _flags, _clockid;
};
enum { UMTX_OP_WAIT_UINT_PRIVATE = 15, UMTX_OP_WAKE_PRIVATE = 16, UMTX_ABSTIME = 1 };

int _umtx_op(void *word, int operation, unsigned long value, void *bytes, void *timeout);
#endif
