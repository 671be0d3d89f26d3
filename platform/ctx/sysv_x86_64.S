// platform/ctx/sysv_x86_64.S: contexts for the System V ABI on x86-64 (Linux, macOS, the BSDs).
//
// A suspended context, from its stack pointer upwards:
//
//     +0  mxcsr (4 bytes), x87 control word (2), unused (2)
//     +8  r15   +16 r14   +24 r13   +32 r12   +40 rbx   +48 rbp
//    +56  the address to continue at
//
// - It ends in `ret`, which pairs with the call that suspended the *other* context. The runtime switches from one place only
//   (ecru__switch_away), so the processor's return stack predicts that `ret` and the returns above it rightly: both contexts
//   unwind the same calls. With `pop; jmp *reg`, 8 ns faster between two different call sites, every return after the
//   switch is off by one entry: a yield took 43 ns instead of 20, a channel round trip 149 instead of 113
//   (docs/decisions/switch.md). Nothing here may claim to be shadow-stack compatible: no SHSTK note.
// - The control words are compared without the sticky exception flags (mxcsr bits 0-5) and loaded only if different:
//   loading them always costs 30 ns. They are stored first of all, so that they can be read back without a stall
//   (3.0 against 3.4 ns; 2.3 without control words).
// - The call-frame information is right at every instruction: up to `mov %rsi, %rsp` it describes the old context, from
//   there on the new one, whose frame looks the same.
// - Dropped: a struct of saved registers instead of pushes (1.8 against 1.9 ns, and it has to live somewhere).

#if defined(__APPLE__)
#define NAME(name) _##name
#define FUNCTION(name) .globl NAME(name); .private_extern NAME(name); .p2align 4; NAME(name):
#define LOCAL(name) L##name // another symbol would end the function before it
#define LOCAL_FUNCTION(name) LOCAL(name):
#define END(name)
#else
#define NAME(name) name
#define LOCAL(name) name
#define LOCAL_FUNCTION(name) .type name, @function; name:
#define FUNCTION(name) .globl name; .hidden name; .type name, @function; .p2align 4; name:
#define END(name) .size name, . - name
#endif

#define PUSH(reg) pushq reg; .cfi_adjust_cfa_offset 8; .cfi_rel_offset reg, 0
#define POP(reg) popq reg; .cfi_adjust_cfa_offset -8; .cfi_restore reg

        .text

// void *ecru__ctx_switch(void **save [rdi], void *to [rsi], void *value [rdx])
FUNCTION(ecru__ctx_switch)
        .cfi_startproc
        stmxcsr -56(%rsp)               // into the red zone, where the frame will have them
        fnstcw  -52(%rsp)
        PUSH(%rbp)
        PUSH(%rbx)
        PUSH(%r12)
        PUSH(%r13)
        PUSH(%r14)
        PUSH(%r15)
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movq    %rdx, %rax
        movl    (%rsp), %ecx
        movzwl  4(%rsp), %edx
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp              // from here on the other context
        xorl    (%rsp), %ecx
        testl   $0xffc0, %ecx
        jnz     2f
        cmpw    4(%rsp), %dx
        jne     2f
1:      addq    $8, %rsp
        .cfi_remember_state
        .cfi_adjust_cfa_offset -8
        POP(%r15)
        POP(%r14)
        POP(%r13)
        POP(%r12)
        POP(%rbx)
        POP(%rbp)
        ret
2:      .cfi_restore_state
        ldmxcsr (%rsp)                  // rare: the two contexts round or trap differently
        fldcw   4(%rsp)
        jmp     1b
        .cfi_endproc
END(ecru__ctx_switch)

// void *ecru__ctx_make(void *stack_top [rdi], size_t stack_bytes [rsi], void (*entry)(void *) [rdx])
// The new context starts with the ABI's default control words, whatever its maker runs with.
FUNCTION(ecru__ctx_make)
        .cfi_startproc
        leaq    -80(%rdi), %rax         // 64 bytes of frame, 16 of zeros: ecru__ctx_start finds rsp 16-aligned
        leaq    LOCAL(ecru__ctx_start)(%rip), %rcx
        xorl    %esi, %esi
        movabsq $0x0000037f00001f80, %r8
        movq    %r8, (%rax)             // mxcsr, x87 control word
        movq    %rsi, 8(%rax)
        movq    %rsi, 16(%rax)
        movq    %rsi, 24(%rax)
        movq    %rdx, 32(%rax)
        movq    %rsi, 40(%rax)
        movq    %rsi, 48(%rax)          // rbp = 0 ends a frame-pointer walk
        movq    %rcx, 56(%rax)
        movq    %rsi, 64(%rax)
        movq    %rsi, 72(%rax)
        ret
        .cfi_endproc
END(ecru__ctx_make)

// Where a fresh context starts: rax = value, r12 = entry. (After ecru__ctx_make, of which it is a part for Mach-O: so the distance is a constant.) The undefined return address tells unwinders to stop.
        .p2align 4
        .cfi_startproc
        .cfi_undefined %rip
        nop                             // unwinders look one byte before a return address: this one keeps them in here
LOCAL_FUNCTION(ecru__ctx_start)
        movq    %rax, %rdi
        callq   *%r12
        ud2                             // entry never returns
        .cfi_endproc
END(ecru__ctx_start)

// void ecru__ctx_call(void *context [rdi], void (*fn)(void *) [rsi], void *argument [rdx])
FUNCTION(ecru__ctx_call)
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
END(ecru__ctx_call)
// gdb takes a frame whose caller lies elsewhere for a corrupt stack, but not where gcc's split stacks do the same thing
// under this name.
LOCAL_FUNCTION(__morestack)
        leaq    -1024(%rdi), %rsp       // ECRU__CTX_SKIP_BYTES
        movq    %rdx, %rdi
        callq   *%rsi
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
END(__morestack)

// void ecru__ctx_drop(void *context): nothing is held outside the stack
FUNCTION(ecru__ctx_drop)
        .cfi_startproc
        ret
        .cfi_endproc
END(ecru__ctx_drop)

#if defined(__ELF__)
        .section .note.GNU-stack,"",@progbits
#endif
