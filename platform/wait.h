/// platform/wait.h: parking an OS thread on a 32-bit word. Mechanisms: wait/futex.c, wait/os_sync.c (macOS), wait/umtx.c
/// (FreeBSD), wait/condvar.c (portable reference).
#ifndef ECRU_PLATFORM_WAIT_H
#define ECRU_PLATFORM_WAIT_H
#include <stdatomic.h>
#include <stdint.h>

/// Sleeps while *word == expected, until woken, until deadline_ns (monotonic; INT64_MAX: none) or spuriously.
/// post: the caller re-checks its condition. errno is preserved.
void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
/// Wakes at most one / all threads sleeping on word. The word's memory may already be free: then nothing happens. errno is preserved.
void ecru__wake_one(_Atomic uint32_t *word);
void ecru__wake_all(_Atomic uint32_t *word);
#endif
