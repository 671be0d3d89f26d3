/// platform/memory.h: the allocator everything in the runtime calls: malloc, plus the seam for fault injection.
/// Memory that users hand in or free themselves never comes from here.
#ifndef ECRU_PLATFORM_MEMORY_H
#define ECRU_PLATFORM_MEMORY_H
#include "platform/fault.h"
#include <stdlib.h>

/// As malloc. returns: NULL if out of memory.
static inline void *ecru__malloc(size_t bytes) {
  return ecru__fault(ECRU__FAULT_ALLOC) ? NULL : malloc(bytes);
}
/// As calloc: zeroed, and the product is checked for overflow.
static inline void *ecru__calloc(size_t count, size_t bytes) {
  return ecru__fault(ECRU__FAULT_ALLOC) ? NULL : calloc(count, bytes);
}
/// As realloc: on NULL the old block lives on.
static inline void *ecru__realloc(void *block, size_t bytes) {
  return ecru__fault(ECRU__FAULT_ALLOC) ? NULL : realloc(block, bytes);
}
/// As free: NULL is fine.
static inline void ecru__free(void *block) { free(block); }
#endif
