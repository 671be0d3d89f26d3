/// interpose/real.c: finds the C library's own functions.
///
/// All at once, at the first call or when the library is loaded, whatever comes first. Two threads may do it at the same time: they
/// write the same. What dlsym itself calls is inside the C library, where nothing is interposed.
#include "interpose/real.h"

#include <dlfcn.h>

ecru__real ecru__real_calls;

static void *find_if_there(const char *name) { return dlsym(RTLD_NEXT, name); }

static void *find(const char *name) {
  void *found = find_if_there(name);
  if (found) return found;
  fprintf(stderr, "ecru_interpose: no %s behind this library: it has to come before the C library\n", name);
  abort();
}

__attribute__((constructor(101))) void ecru__real_find(void) {
#define FIND(name) __atomic_store_n(&ecru__real_calls.name, (__typeof__(&name))find(#name), __ATOMIC_RELAXED);
#define FIND_IF_THERE(name) __atomic_store_n(&ecru__real_calls.name, (__typeof__(&name))find_if_there(#name), __ATOMIC_RELAXED);
  ECRU__INTERPOSED(FIND)
  ECRU__INTERPOSED_IF_THERE(FIND_IF_THERE)
#undef FIND
#undef FIND_IF_THERE
  atomic_store_explicit(&ecru__real_calls.found, 1, memory_order_release); // pairs with the acquire in real()
}
