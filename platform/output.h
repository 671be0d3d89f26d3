/// platform/output.h: writing a report to a file descriptor. Mechanism: output/posix.c.
#ifndef ECRU_PLATFORM_OUTPUT_H
#define ECRU_PLATFORM_OUTPUT_H
#include <stddef.h>

/// Writes all of it, however often the system takes only a part; waits where a non-blocking descriptor is full.
/// Async-signal-safe; errno is preserved. returns: 0 or ECRU_EIO.
int ecru__write_all(int fd, const void *bytes, size_t count);
#endif
