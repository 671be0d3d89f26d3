// platform/ctx/win64_x86_64.S: contexts for the Windows ABI on x86-64. ctx/win64_x86_64.c makes them and knows the same layout.
//
// A suspended context, from its stack pointer upwards:
//
//     +0  xmm6 ... xmm15 (160 bytes)
//   +160  mxcsr (4 bytes), x87 control word (2), unused (2)
//   +168  of the thread's environment block: +168 ExceptionList  +176 StackBase  +184 StackLimit  +192 DeallocationStack  +200 FiberData
//   +208  unused
//   +216  r15   +224 r14   +232 r13   +240 r12   +248 rsi   +256 rdi   +264 rbx   +272 rbp
//   +280  the address to continue at
//
// - The system looks up in the thread's environment block what the stack is: it dispatches exceptions only to frames between StackLimit and
//   StackBase, and commits the next page of a stack only between DeallocationStack and StackBase. StackLimit moves when that happens, so it is
//   saved when the context is left. ExceptionList is not used on x86-64, but Wine walks it.
// - `ret` and the masked compare of the control words: as in ctx/sysv_x86_64.S.
// - The unwind information is right from the end of the prologue on: the new context's frame looks the same.

        .text

#define FUNCTION(name) .globl name; .def name; .scl 2; .type 32; .endef; .p2align 4; .seh_proc name; name:
#define PUSH(reg) pushq reg; .seh_pushreg reg
#define KEEP(reg, at) movaps reg, at(%rsp); .seh_savexmm reg, at

// void *ecru__ctx_switch(void **save [rcx], void *to [rdx], void *value [r8])
FUNCTION(ecru__ctx_switch)
        PUSH(%rbp)
        PUSH(%rbx)
        PUSH(%rdi)
        PUSH(%rsi)
        PUSH(%r12)
        PUSH(%r13)
        PUSH(%r14)
        PUSH(%r15)
        subq    $216, %rsp
        .seh_stackalloc 216
        KEEP(%xmm6, 0)
        KEEP(%xmm7, 16)
        KEEP(%xmm8, 32)
        KEEP(%xmm9, 48)
        KEEP(%xmm10, 64)
        KEEP(%xmm11, 80)
        KEEP(%xmm12, 96)
        KEEP(%xmm13, 112)
        KEEP(%xmm14, 128)
        KEEP(%xmm15, 144)
        .seh_endprologue
        stmxcsr 160(%rsp)
        fnstcw  164(%rsp)
        movq    %gs:0x30, %r9           // the environment block itself
        movq    0x00(%r9), %rax
        movq    0x08(%r9), %r10
        movq    %rax, 168(%rsp)
        movq    %r10, 176(%rsp)
        movq    0x10(%r9), %rax
        movq    0x1478(%r9), %r10
        movq    %rax, 184(%rsp)
        movq    %r10, 192(%rsp)
        movq    0x20(%r9), %rax
        movq    %rax, 200(%rsp)
        movl    160(%rsp), %r10d
        movzwl  164(%rsp), %r11d
        movq    %rsp, (%rcx)
        movq    %rdx, %rsp              // from here on the other context
        movq    168(%rsp), %rax
        movq    176(%rsp), %rcx
        movq    %rax, 0x00(%r9)
        movq    %rcx, 0x08(%r9)
        movq    184(%rsp), %rax
        movq    192(%rsp), %rcx
        movq    %rax, 0x10(%r9)
        movq    %rcx, 0x1478(%r9)
        movq    200(%rsp), %rax
        movq    %rax, 0x20(%r9)
        movaps  0(%rsp), %xmm6
        movaps  16(%rsp), %xmm7
        movaps  32(%rsp), %xmm8
        movaps  48(%rsp), %xmm9
        movaps  64(%rsp), %xmm10
        movaps  80(%rsp), %xmm11
        movaps  96(%rsp), %xmm12
        movaps  112(%rsp), %xmm13
        movaps  128(%rsp), %xmm14
        movaps  144(%rsp), %xmm15
        movq    %r8, %rax
        xorl    160(%rsp), %r10d
        testl   $0xffc0, %r10d
        jnz     2f
        cmpw    164(%rsp), %r11w
        jne     2f
1:      addq    $216, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rsi
        popq    %rdi
        popq    %rbx
        popq    %rbp
        ret
2:      ldmxcsr 160(%rsp)               // rare: the two contexts round or trap differently
        fldcw   164(%rsp)
        jmp     1b
        .seh_endproc

// Where a fresh context starts: rax = value, r12 = entry. The address it would return to is 0: unwinders stop there.
FUNCTION(ecru__ctx_start)
        subq    $32, %rsp
        .seh_stackalloc 32
        .seh_endprologue
        movq    %rax, %rcx
        callq   *%r12
        ud2                             // entry never returns
        .seh_endproc

// void ecru__ctx_call(void *context [rcx], void (*fn)(void *) [rdx], void *argument [r8])
// Where the stack ends is what the context says; how far it has grown meanwhile is told to the context.
FUNCTION(ecru__ctx_call)
        PUSH(%rbp)
        PUSH(%rbx)
        PUSH(%rsi)
        PUSH(%rdi)
        PUSH(%r12)
        subq    $32, %rsp
        .seh_stackalloc 32
        movq    %rsp, %rbp
        .seh_setframe %rbp, 0
        .seh_endprologue
        movq    %gs:0x30, %r9
        movq    %rcx, %r12
        movq    0x08(%r9), %rbx
        movq    0x10(%r9), %rsi
        movq    0x1478(%r9), %rdi
        leaq    -1056(%r12), %rsp       // ECRU__CTX_SKIP_BYTES, and the callee's 32 bytes
        movq    176(%r12), %rax
        movq    184(%r12), %rcx
        movq    192(%r12), %r10
        movq    %rax, 0x08(%r9)
        movq    %rcx, 0x10(%r9)
        movq    %r10, 0x1478(%r9)
        movq    %r8, %rcx
        callq   *%rdx
        movq    %gs:0x30, %r9           // fn may have come back in another thread
        movq    0x10(%r9), %rax
        movq    %rax, 184(%r12)
        movq    %rbp, %rsp
        movq    %rbx, 0x08(%r9)
        movq    %rsi, 0x10(%r9)
        movq    %rdi, 0x1478(%r9)
        addq    $32, %rsp
        popq    %r12
        popq    %rdi
        popq    %rsi
        popq    %rbx
        popq    %rbp
        ret
        .seh_endproc
