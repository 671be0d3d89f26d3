/// platform/fence/symmetric.c: the fence where no system call reaches the other threads: both sides are full fences.
#include "platform/fence.h"

int ecru__fence_is_asymmetric;
_Atomic int ecru__fence_word;

void ecru__fence_init(void) {}
void ecru__fence_force_symmetric(void) {}

void ecru__fence_heavy(void) {
#if defined(ECRU__TSAN)
  atomic_fetch_add_explicit(&ecru__fence_word, 0, memory_order_seq_cst);
#else
  atomic_thread_fence(memory_order_seq_cst);
#endif
}
