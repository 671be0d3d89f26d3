/// platform/thread.h: OS threads and what the machine grants. Mechanism: thread/pthread.c.
#ifndef ECRU_PLATFORM_THREAD_H
#define ECRU_PLATFORM_THREAD_H
#include <stddef.h>
#include <stdint.h>

/// Starts a thread (all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP blocked); *handle is for ecru__thread_join.
/// stack_bytes 0: the system's default. Below its stack lie ECRU__THREAD_GUARD_BYTES that fault. returns: 0 or ECRU_ETHREADS.
enum { ECRU__THREAD_GUARD_BYTES = 64 << 10 }; // no less: gcc's -fstack-clash-protection probes every 64 KiB on arm64
int ecru__thread_start(void **handle, void (*fn)(void *argument), void *argument, const char *name, size_t stack_bytes);
/// Waits for the thread's end and frees the handle.
void ecru__thread_join(void *handle);
/// Lets it run on its own; the handle is gone.
void ecru__thread_detach(void *handle);
/// Gives the CPU to another thread.
void ecru__thread_yield(void);
/// Tells the CPU that the caller spins (some 15 to 40 ns on x86-64).
static inline void ecru__thread_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}
/// Kernel's id of the calling thread; number of threads in the process (0: unknown).
uint64_t ecru__thread_id(void);
int ecru__thread_count(void);
/// Asks for timers as exact as the system can (timer slack 1 us) in the calling thread.
void ecru__thread_exact_timers(void);
/// Lowest address (above the guard) and size of the calling thread's stack. returns: 0 or ECRU_ENOTSUP.
int ecru__thread_stack(void **low, size_t *bytes);
/// min(CPU affinity, ceil(cgroup v1/v2 quota / period over all ancestors)), at least 1 (G5).
int ecru__cpu_budget(void);
/// The same, reading below another root directory in place of "/" (tests): <root>/proc/self/cgroup, <root>/sys/fs/cgroup. affinity <= 0: ask the system.
int ecru__cpu_budget_at(const char *root, int affinity);
/// Has hook called when the calling thread ends / in the child after a fork. One hook each. returns: 0 or ECRU_ENOMEM. (thread/hooks.c)
int ecru__thread_on_exit(void (*hook)(void));
int ecru__thread_on_fork(void (*child)(void));
#endif
