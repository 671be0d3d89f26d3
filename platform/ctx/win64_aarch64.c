/// platform/ctx/win64_aarch64.c: making contexts for Windows on 64-bit ARM. The switch: ctx/win64_aarch64.S.
#include "platform/ctx.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "platform/ctx/win64.h"

/// A suspended context; see ctx/win64_aarch64.S.
struct frame {
  void *x19, *x20_28[9], *x29;
  void (*x30)(void);
  double d8_15[8];
  uint64_t fpcr;
  void *stack_base, *stack_limit, *deallocation_stack, *fiber_data, *exception_list;
};

_Static_assert(offsetof(struct frame, stack_limit) == 176 && sizeof(struct frame) == 208, "as the assembly has it");

void ecru__ctx_start(void);

void *ecru__ctx_make(void *stack_top, size_t stack_bytes, void (*entry)(void *value)) {
  assert((uintptr_t)stack_top % 16 == 0 && stack_bytes > ECRU__CTX_BYTES);
  struct frame *fresh = (struct frame *)(void *)((char *)stack_top - sizeof *fresh);
  char *low = (char *)stack_top - stack_bytes;
  memset(fresh, 0, sizeof *fresh);
  fresh->x19 = (void *)(uintptr_t)entry;
  fresh->x30 = ecru__ctx_start;
  fresh->stack_base = stack_top;
  fresh->stack_limit = ecru__win64_committed_from(low);
  fresh->deallocation_stack = low;
  fresh->exception_list = (void *)UINTPTR_MAX;
  return fresh;
}

void ecru__ctx_drop(void *context) { (void)context; }
