/// platform/tty/console.c: the modes of a Windows console.
#include "platform/tty.h"

#include <windows.h>
// after windows.h
#include <io.h>
#include <stdbool.h>
#include <stdlib.h>

#include "platform/io.h"
#include "platform/memory.h"

/// A console whose mode has been changed. The newest comes first: two may be the same console, and the oldest knows how it really was.
typedef struct changed {
  struct changed *next;
  intptr_t descriptor;
  HANDLE console;
  DWORD before;
} changed;

static SRWLOCK lock = SRWLOCK_INIT;
static changed *list; // lock

static changed **place_of(intptr_t descriptor) {
  changed **place = &list;
  while (*place && (*place)->descriptor != descriptor) place = &(*place)->next;
  return place;
}

static void put_back_and_forget(changed **place) {
  changed *c = *place;
  if (!c) return;
  SetConsoleMode(c->console, c->before);
  *place = c->next;
  ecru__free(c);
}

/// Notes how the console is now, unless it has been noted. returns: 0; ECRU_ENOTTY; ECRU_ENOMEM.
static int note(intptr_t descriptor, const changed **noted) {
  static bool told; // lock
  *noted = *place_of(descriptor);
  if (*noted) return 0;
  HANDLE console = (HANDLE)_get_osfhandle((int)descriptor);
  DWORD now;
  if (!GetConsoleMode(console, &now)) return ECRU_ENOTTY;
  changed *c = ecru__malloc(sizeof *c);
  if (!c || (!told && atexit(ecru__tty_restore_all) != 0)) {
    ecru__free(c);
    return ECRU_ENOMEM;
  }
  told = true;
  *c = (changed){list, descriptor, console, now};
  *noted = list = c;
  return 0;
}

static int set(intptr_t descriptor, int mode) {
  const changed *c;
  int status = note(descriptor, &c);
  if (status != 0) return status;
  const DWORD cooked = ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT;
  DWORD wanted = c->before & ~(DWORD)ENABLE_ECHO_INPUT;
  wanted = mode == ECRU_TTY_RAW ? (wanted & ~cooked) | ENABLE_VIRTUAL_TERMINAL_INPUT : wanted | cooked;
  return SetConsoleMode(c->console, wanted) ? 0 : ECRU_ENOTTY;
}

int ecru__tty_set_mode(intptr_t descriptor, int mode) {
  DWORD now;
  int status = 0;
  AcquireSRWLockExclusive(&lock);
  if (mode != ECRU_TTY_AS_IT_WAS) status = set(descriptor, mode);
  else if (*place_of(descriptor)) put_back_and_forget(place_of(descriptor));
  else status = GetConsoleMode((HANDLE)_get_osfhandle((int)descriptor), &now) ? 0 : ECRU_ENOTTY;
  ReleaseSRWLockExclusive(&lock);
  return status;
}

void ecru__tty_restore(intptr_t descriptor) {
  AcquireSRWLockExclusive(&lock);
  put_back_and_forget(place_of(descriptor));
  ReleaseSRWLockExclusive(&lock);
}

void ecru__tty_restore_all(void) {
  if (!TryAcquireSRWLockExclusive(&lock)) return; // whoever changes one just now is about to end with us
  while (list) put_back_and_forget(&list);
  ReleaseSRWLockExclusive(&lock);
}

int ecru__tty_size(intptr_t descriptor, int *columns, int *rows) {
  CONSOLE_SCREEN_BUFFER_INFO info;
  if (!GetConsoleScreenBufferInfo((HANDLE)_get_osfhandle((int)descriptor), &info)) return ECRU_ENOTTY;
  *columns = info.srWindow.Right - info.srWindow.Left + 1;
  *rows = info.srWindow.Bottom - info.srWindow.Top + 1;
  return 0;
}
