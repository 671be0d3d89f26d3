/// platform/environment/posix.c: the array of the environment is replaced as a whole, and nothing that anybody may be reading is changed or freed.
///
/// (Dropped: setenv and unsetenv. They move and free the array under a getenv in another thread, and libraries call that at any time.)
#include "platform/environment.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "platform/memory.h"

extern char **environ; // POSIX has it in no header

/// A copy of the array with the entry before it. NULL: no memory.
static char **copy_after(char **array, const char *entry) {
  size_t count = 0;
  while (array && array[count]) count++;
  char **copy = ecru__malloc((count + 2) * sizeof *copy);
  if (!copy) return NULL;
  copy[0] = (char *)(uintptr_t)entry;
  if (count) memcpy(copy + 1, array, count * sizeof *copy);
  copy[count + 1] = NULL;
  return copy;
}

/// release: whoever reads it finds a complete array. returns: false: somebody else has replaced it meanwhile.
static bool replace(char **expected, char **array) {
  return __atomic_compare_exchange_n(&environ, &expected, array, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool ecru__environment_with(const char *entry, void (*fn)(void *argument), void *argument) {
  static char **kept; // so that leak checkers find it
  char **before, **copy;
  for (;;) {
    before = __atomic_load_n(&environ, __ATOMIC_ACQUIRE);
    copy = copy_after(before, entry);
    if (!copy) return false;
    if (replace(before, copy)) break;
    ecru__free(copy);
  }
  kept = copy;
  fn(argument);
  replace(kept, kept + 1); // the array before may have been freed by a setenv; the same array without the entry cannot
  return true;
}
