/// platform/tty.h: terminals. Mechanism: tty/posix.c. errno is preserved.
#ifndef ECRU_PLATFORM_TTY_H
#define ECRU_PLATFORM_TTY_H
#include <ecru/tty.h>

/// Sets the mode of a terminal, ECRU_TTY_*. How it was before the first time is kept, and what it gets back with ECRU_TTY_AS_IT_WAS, by
/// ecru__tty_restore, or when the process exits. Never waits. returns: 0; ECRU_ENOTTY; ECRU_ENOMEM; ECRU_E*.
int ecru__tty_set_mode(intptr_t descriptor, int mode);
/// The descriptor, whose mode has been set, is about to be closed.
void ecru__tty_restore(intptr_t descriptor);
/// The process is about to end: all terminals are as they were. May be called anywhere.
void ecru__tty_restore_all(void);
int ecru__tty_size(intptr_t descriptor, int *columns, int *rows);
#endif
