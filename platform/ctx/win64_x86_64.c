/// platform/ctx/win64_x86_64.c: making contexts for the Windows ABI on x86-64. The switch: ctx/win64_x86_64.S.
#include "platform/ctx.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "platform/ctx/win64.h"

/// A suspended context; see ctx/win64_x86_64.S.
struct frame {
  _Alignas(16) char xmm[160];
  uint32_t mxcsr;
  uint16_t x87, unused;
  void *exception_list, *stack_base, *stack_limit, *deallocation_stack, *fiber_data;
  void *unused_too;
  void *r15, *r14, *r13, *r12, *rsi, *rdi, *rbx, *rbp;
  void (*continues)(void);
  void *returns_to;
};

_Static_assert(offsetof(struct frame, stack_limit) == 184 && offsetof(struct frame, continues) == 280, "as the assembly has it");

void ecru__ctx_start(void);

void *ecru__ctx_make(void *stack_top, size_t stack_bytes, void (*entry)(void *value)) {
  assert((uintptr_t)stack_top % 16 == 0 && stack_bytes > ECRU__CTX_BYTES);
  struct frame *fresh = (struct frame *)(void *)((char *)stack_top - sizeof *fresh);
  char *low = (char *)stack_top - stack_bytes;
  memset(fresh, 0, sizeof *fresh);
  fresh->mxcsr = 0x1f80;
  fresh->x87 = 0x27f; // 53 bits: what Windows starts threads with
  fresh->exception_list = (void *)UINTPTR_MAX;
  fresh->stack_base = stack_top;
  fresh->stack_limit = ecru__win64_committed_from(low);
  fresh->deallocation_stack = low;
  fresh->r12 = (void *)(uintptr_t)entry;
  fresh->continues = ecru__ctx_start;
  return fresh;
}

void ecru__ctx_drop(void *context) { (void)context; }
