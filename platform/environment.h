/// platform/environment.h: one more variable for the length of one call. Mechanism: environment/posix.c.
#ifndef ECRU_PLATFORM_ENVIRONMENT_H
#define ECRU_PLATFORM_ENVIRONMENT_H
#include <stdbool.h>

/// Calls fn(argument) while getenv finds the variable in `entry` ("NAME=value", which must live for ever), whatever it was before. Other
/// threads may read the environment meanwhile; for one that changes it that is as if another changed it too. For once in a process: its memory is kept.
/// returns: false: no memory, and fn was not called.
bool ecru__environment_with(const char *entry, void (*fn)(void *argument), void *argument);
#endif
