/// platform/fence/membarrier.c: the asymmetric fence by membarrier(PRIVATE_EXPEDITED): the kernel interrupts every CPU
/// that runs a thread of ours, which is a full fence there; all others passed one when they were scheduled out.
///
/// Under ThreadSanitizer both sides are a read-modify-write of one word, since it understands no fences.
#include "platform/fence.h"

int ecru__fence_is_asymmetric;
_Atomic int ecru__fence_word;

void ecru__fence_force_symmetric(void) { ecru__fence_is_asymmetric = 0; }

#if defined(ECRU__TSAN)
void ecru__fence_init(void) {}
void ecru__fence_heavy(void) { atomic_fetch_add_explicit(&ecru__fence_word, 0, memory_order_seq_cst); }
#else
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

void ecru__fence_init(void) {
  int saved_errno = errno;
  long commands = membarrier(MEMBARRIER_CMD_QUERY);
  ecru__fence_is_asymmetric = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
                              membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  errno = saved_errno;
}

void ecru__fence_heavy(void) {
  atomic_thread_fence(memory_order_seq_cst);
  if (!ecru__fence_is_asymmetric) return;
  int saved_errno = errno;
  while (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) sched_yield(); // ENOMEM passes; after registering nothing else fails
  errno = saved_errno;
}
#endif
