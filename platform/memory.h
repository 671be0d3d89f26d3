/// platform/memory.h: the allocator everything in the runtime calls: malloc, plus the seam for fault injection. errno stays as
/// it was, also when there is no memory (G11); not inline, so that no caller's compiler keeps its address across a switch.
/// Memory that users hand in or free themselves never comes from here.
#ifndef ECRU_PLATFORM_MEMORY_H
#define ECRU_PLATFORM_MEMORY_H
#include "platform/fault.h"
#include <stddef.h>

/// As malloc. returns: NULL if out of memory.
void *ecru__malloc(size_t bytes);
/// As calloc: zeroed, and the product is checked for overflow.
void *ecru__calloc(size_t count, size_t bytes);
/// As realloc: on NULL the old block lives on.
void *ecru__realloc(void *block, size_t bytes);
/// As free: NULL is fine.
void ecru__free(void *block);
#endif
