/// platform/environment/crt.c: the C runtime locks its environment, so that a variable can be set and removed again beside other threads.
#include "platform/environment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"

/// NAME, VALUE of "NAME=VALUE"; a value of NULL removes it.
static bool put(const char *name, const char *value) { return _putenv_s(name, value ? value : "") == 0; }

bool ecru__environment_with(const char *entry, void (*fn)(void *argument), void *argument) {
  int saved_errno = errno;
  const char *equals = strchr(entry, '=');
  size_t length = (size_t)(equals - entry);
  char *name = ecru__malloc(length + 1);
  if (!name) return false;
  memcpy(name, entry, length);
  name[length] = 0;
  const char *found = getenv(name);
  char *before = found ? _strdup(found) : NULL;
  bool set = (!found || before) && put(name, equals + 1);
  if (set) {
    fn(argument);
    put(name, before);
  }
  free(before);
  ecru__free(name);
  errno = saved_errno;
  return set;
}
