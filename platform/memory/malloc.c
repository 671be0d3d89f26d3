/// platform/memory/malloc.c: the C library's allocator.
///
/// errno is read and written as volatile: newer compilers (clang 22) take it that the allocator does not touch errno, and drop writing back what was read.
#include "platform/memory.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_ERRNO (*(volatile int *)&errno)

void *ecru__malloc(size_t bytes) {
  int saved = KEPT_ERRNO;
  void *block = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : malloc(bytes);
  KEPT_ERRNO = saved;
  return block;
}

void *ecru__calloc(size_t count, size_t bytes) {
  int saved = KEPT_ERRNO;
  void *block = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : calloc(count, bytes);
  KEPT_ERRNO = saved;
  return block;
}

void *ecru__realloc(void *block, size_t bytes) {
  int saved = KEPT_ERRNO;
  void *moved = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : realloc(block, bytes);
  KEPT_ERRNO = saved;
  return moved;
}

void ecru__free(void *block) {
  int saved = KEPT_ERRNO;
  free(block);
  KEPT_ERRNO = saved;
}
