// platform/ctx/aapcs64.S: contexts for the 64-bit ARM procedure call standard (Linux, macOS, the BSDs).
//
// A suspended context, from its stack pointer upwards (176 bytes):
//
//     +0  x19 x20   +16 x21 x22   +32 x23 x24   +48 x25 x26   +64 x27 x28   +80 x29 x30
//    +96  d8 d9    +112 d10 d11  +128 d12 d13  +144 d14 d15  +160 fpcr, unused
//
// - FPCR is written only if it differs (a write serializes). FPSR, the sticky flags, is not part of a context.
// - x18 belongs to the platform on some systems and is never touched.
// - `hint #34` (bti c) is the landing pad for indirect calls where branch targets are enforced; elsewhere a nop. The
//   switch leaves with `ret`, since return sites carry no landing pad. Return addresses are not signed here, so
//   contexts work the same with and without pointer authentication.
// - The call-frame information is right at every instruction: up to `mov sp, x1` it describes the old context, from
//   there on the new one, whose frame looks the same.

#if defined(__APPLE__)
#define NAME(name) _##name
#define FUNCTION(name) .globl NAME(name) %% .private_extern NAME(name) %% .p2align 4 %% NAME(name):
#define LOCAL(name) L##name // another symbol would end the function before it
#define LOCAL_FUNCTION(name) LOCAL(name):
#define END(name)
#else
#define NAME(name) name
#define LOCAL(name) name
#define LOCAL_FUNCTION(name) .type name, %function; name:
#define FUNCTION(name) .globl name; .hidden name; .type name, %function; .p2align 4; name:
#define END(name) .size name, . - name
#endif

        .text

// void *ecru__ctx_switch(void **save [x0], void *to [x1], void *value [x2])
FUNCTION(ecru__ctx_switch)
        .cfi_startproc
        hint    #34
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x19, x20, [sp, #0]
        .cfi_offset x19, -176
        .cfi_offset x20, -168
        stp     x21, x22, [sp, #16]
        .cfi_offset x21, -160
        .cfi_offset x22, -152
        stp     x23, x24, [sp, #32]
        .cfi_offset x23, -144
        .cfi_offset x24, -136
        stp     x25, x26, [sp, #48]
        .cfi_offset x25, -128
        .cfi_offset x26, -120
        stp     x27, x28, [sp, #64]
        .cfi_offset x27, -112
        .cfi_offset x28, -104
        stp     x29, x30, [sp, #80]
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        stp     d8, d9, [sp, #96]
        .cfi_offset 72, -80
        .cfi_offset 73, -72
        stp     d10, d11, [sp, #112]
        .cfi_offset 74, -64
        .cfi_offset 75, -56
        stp     d12, d13, [sp, #128]
        .cfi_offset 76, -48
        .cfi_offset 77, -40
        stp     d14, d15, [sp, #144]
        .cfi_offset 78, -32
        .cfi_offset 79, -24
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1                  // from here on the other context
        mov     x0, x2
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10               // rare: the two contexts round or trap differently
1:      ldp     x19, x20, [sp, #0]
        .cfi_restore x19
        .cfi_restore x20
        ldp     x21, x22, [sp, #16]
        .cfi_restore x21
        .cfi_restore x22
        ldp     x23, x24, [sp, #32]
        .cfi_restore x23
        .cfi_restore x24
        ldp     x25, x26, [sp, #48]
        .cfi_restore x25
        .cfi_restore x26
        ldp     x27, x28, [sp, #64]
        .cfi_restore x27
        .cfi_restore x28
        ldp     x29, x30, [sp, #80]
        .cfi_restore x29
        .cfi_restore x30
        ldp     d8, d9, [sp, #96]
        .cfi_restore 72
        .cfi_restore 73
        ldp     d10, d11, [sp, #112]
        .cfi_restore 74
        .cfi_restore 75
        ldp     d12, d13, [sp, #128]
        .cfi_restore 76
        .cfi_restore 77
        ldp     d14, d15, [sp, #144]
        .cfi_restore 78
        .cfi_restore 79
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
END(ecru__ctx_switch)

// Where a fresh context starts: x0 = value, x19 = entry. The undefined return address tells unwinders to stop.
        .p2align 4
        .cfi_startproc
        .cfi_undefined x30
        nop                             // unwinders look before a return address: this keeps them in here
LOCAL_FUNCTION(ecru__ctx_start)
        blr     x19
        brk     #1                      // entry never returns
        .cfi_endproc
END(ecru__ctx_start)

// void *ecru__ctx_make(void *stack_top [x0], size_t stack_bytes [x1], void (*entry)(void *) [x2])
// The new context starts with the default control word, whatever its maker runs with.
FUNCTION(ecru__ctx_make)
        .cfi_startproc
        hint    #34
        sub     x0, x0, #176
        adr     x9, LOCAL(ecru__ctx_start)
        stp     x2, xzr, [x0, #0]
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, x9, [x0, #80]      // x29 = 0 ends a frame-pointer walk
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     xzr, xzr, [x0, #160]
        ret
        .cfi_endproc
END(ecru__ctx_make)

// void ecru__ctx_call(void *context [x0], void (*fn)(void *) [x1], void *argument [x2])
FUNCTION(ecru__ctx_call)
        .cfi_startproc
        hint    #34
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x29, -16
        .cfi_offset x30, -8
        mov     x29, sp
        .cfi_def_cfa_register x29
END(ecru__ctx_call)
// gdb takes a frame whose caller lies elsewhere for a corrupt stack, but not where gcc's split stacks do the same thing
// under this name.
LOCAL_FUNCTION(__morestack)
        sub     sp, x0, #1024           // ECRU__CTX_SKIP_BYTES
        mov     x0, x2
        blr     x1
        mov     sp, x29
        .cfi_def_cfa_register sp
        ldp     x29, x30, [sp], #16
        .cfi_restore x29
        .cfi_restore x30
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
END(__morestack)

// void ecru__ctx_drop(void *context): nothing is held outside the stack
FUNCTION(ecru__ctx_drop)
        .cfi_startproc
        hint    #34
        ret
        .cfi_endproc
END(ecru__ctx_drop)

#if defined(__ELF__)
        .section .note.GNU-stack,"",%progbits

        // Branch targets are marked here. Linkers mark a library or a program, which the system then enforces them in, if all of it is.
        .section .note.gnu.property,"a"
        .p2align 3
        .word   4, 16, 5                // bytes of the name and of what follows it; NT_GNU_PROPERTY_TYPE_0
        .asciz  "GNU"
        .word   0xc0000000, 4, 1, 0     // GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI
#endif
