/// platform/memory/malloc.c: the C library's allocator.
#include "platform/memory.h"

#include <errno.h>
#include <stdlib.h>

void *ecru__malloc(size_t bytes) {
  int saved = errno;
  void *block = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : malloc(bytes);
  errno = saved;
  return block;
}

void *ecru__calloc(size_t count, size_t bytes) {
  int saved = errno;
  void *block = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : calloc(count, bytes);
  errno = saved;
  return block;
}

void *ecru__realloc(void *block, size_t bytes) {
  int saved = errno;
  void *moved = ecru__fault(ECRU__FAULT_ALLOC) ? NULL : realloc(block, bytes);
  errno = saved;
  return moved;
}

void ecru__free(void *block) {
  int saved = errno;
  free(block);
  errno = saved;
}
