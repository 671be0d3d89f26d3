/// platform/file.h: reading and writing regular files. Mechanism: file/posix.c. errno is preserved.
#ifndef ECRU_PLATFORM_FILE_H
#define ECRU_PLATFORM_FILE_H
#include <ecru/base.h>

/// Reads at offset (-1: at the descriptor's own position, which moves); may wait. returns: how many bytes; 0: the end; ECRU_E*.
int64_t ecru__file_read(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset);
/// As much of it as is in memory, without waiting for a disk. returns: how many bytes; 0: none, or it cannot be told.
int64_t ecru__file_read_at_hand(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset);
/// Writes at offset (-1: at the descriptor's position); may wait. returns: how many bytes; ECRU_E*.
int64_t ecru__file_write(intptr_t descriptor, const void *data, size_t bytes, int64_t offset);
#endif
