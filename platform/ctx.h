/// platform/ctx.h: making and switching execution contexts. A context is one stack pointer; the registers it saves lie
/// on its own stack. Mechanisms: ctx/sysv_x86_64.S, ctx/aapcs64.S, ctx/win64_x86_64.S and .c,
/// ctx/ucontext.c (reference, every other ISA).
///
/// Saved by a switch: the callee-saved registers of the ABI and the floating-point control words (loaded back only if
/// they differ). Not saved: signal mask, thread-locals, errno, C++ exception state: the caller's business.
#ifndef ECRU_PLATFORM_CTX_H
#define ECRU_PLATFORM_CTX_H
#include <stddef.h>

/// Saves the running context's stack pointer to *save and continues the context `to`, in which the pending
/// ecru__ctx_switch returns `value` (or, in a fresh context, entry is called with it).
/// pre: `to` is suspended and nobody else switches to it. post: *save is written before the new context runs.
/// returns: the value passed by whoever switches back.
void *ecru__ctx_switch(void **save, void *to, void *value);

/// Prepares a context on the stack that ends (exclusively) at stack_top, 16-aligned; entry never returns.
/// Uses at most ECRU__CTX_BYTES below stack_top. returns: what ecru__ctx_switch takes as `to`.
/// It starts with the ABI's default floating-point control words. Unwinders stop at entry's caller.
void *ecru__ctx_make(void *stack_top, size_t stack_bytes, void (*entry)(void *value));
enum { ECRU__CTX_BYTES = 8192 }; ///< what ucontext needs at worst; the assembly mechanisms use at most 304

/// Runs fn(argument) on the stack of a suspended context, ECRU__CTX_SKIP_BYTES below it, and returns on the present one. Unwinders pass through.
void ecru__ctx_call(void *context, void (*fn)(void *argument), void *argument);
enum { ECRU__CTX_SKIP_BYTES = 1024 }; ///< more than can be in use below a suspended context (ucontext keeps a record there)

/// Frees what ecru__ctx_make may hold outside the stack (ucontext only; else nothing).
void ecru__ctx_drop(void *context);
#endif
