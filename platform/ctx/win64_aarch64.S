// platform/ctx/win64_aarch64.S: contexts for Windows on 64-bit ARM. ctx/win64_aarch64.c makes them and knows the same layout.
//
// A suspended context, from its stack pointer upwards (208 bytes):
//
//     +0  x19 x20   +16 x21 x22   +32 x23 x24   +48 x25 x26   +64 x27 x28   +80 x29 x30
//    +96  d8 d9    +112 d10 d11  +128 d12 d13  +144 d14 d15  +160 fpcr
//   +168  of the thread's environment block: +168 StackBase  +176 StackLimit  +184 DeallocationStack  +192 FiberData  +200 ExceptionList
//
// - x18 is the thread's environment block. Why its words belong to a context: ctx/win64_x86_64.S.
// - FPCR is written only if it differs, and the switch leaves with `ret`: as in ctx/aapcs64.S.
// - Where this is not Windows the tests run it on a block of their own, ecru__win64_block (tests/backends): nobody keeps x18 there.
// - The unwind information is right from the end of the prologue on: the new context's frame looks the same.

        .text

#if defined(_WIN32)
#define FUNCTION(name) .globl name; .def name; .scl 2; .type 32; .endef; .p2align 4; .seh_proc name; name:
#define UNWIND(...) .seh_##__VA_ARGS__
#define BLOCK_IN_X18
#else
#define FUNCTION(name) .globl name; .hidden name; .type name, %function; .p2align 4; name:
#define UNWIND(...)
#define BLOCK_IN_X18 adrp x18, ecru__win64_block; add x18, x18, :lo12:ecru__win64_block
        .section .note.GNU-stack,"",%progbits
        .text
#endif
#define X(first, second, at) stp first, second, [sp, at]; UNWIND(save_regp first, at)
#define D(first, second, at) stp first, second, [sp, at]; UNWIND(save_fregp first, at)
#define BACK_X(first, second, at) ldp first, second, [sp, at]; UNWIND(save_regp first, at)
#define BACK_D(first, second, at) ldp first, second, [sp, at]; UNWIND(save_fregp first, at)

// void *ecru__ctx_switch(void **save [x0], void *to [x1], void *value [x2])
FUNCTION(ecru__ctx_switch)
        sub     sp, sp, #208
        UNWIND(stackalloc 208)
        X(x19, x20, 0)
        X(x21, x22, 16)
        X(x23, x24, 32)
        X(x25, x26, 48)
        X(x27, x28, 64)
        stp     x29, x30, [sp, #80]
        UNWIND(save_fplr 80)
        D(d8, d9, 96)
        D(d10, d11, 112)
        D(d12, d13, 128)
        D(d14, d15, 144)
        UNWIND(endprologue)
        BLOCK_IN_X18
        mrs     x9, fpcr
        ldr     x10, [x18, #0x08]
        stp     x9, x10, [sp, #160]
        ldr     x10, [x18, #0x10]
        ldr     x11, [x18, #0x1478]
        stp     x10, x11, [sp, #176]
        ldr     x10, [x18, #0x20]
        ldr     x11, [x18, #0x00]
        stp     x10, x11, [sp, #192]
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1                  // from here on the other context
        mov     x0, x2
        ldp     x10, x11, [sp, #160]
        str     x11, [x18, #0x08]
        ldp     x11, x12, [sp, #176]
        str     x11, [x18, #0x10]
        str     x12, [x18, #0x1478]
        ldp     x11, x12, [sp, #192]
        str     x11, [x18, #0x20]
        str     x12, [x18, #0x00]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10               // rare: the two contexts round or trap differently
1:      UNWIND(startepilogue)
        BACK_D(d14, d15, 144)
        BACK_D(d12, d13, 128)
        BACK_D(d10, d11, 112)
        BACK_D(d8, d9, 96)
        ldp     x29, x30, [sp, #80]
        UNWIND(save_fplr 80)
        BACK_X(x27, x28, 64)
        BACK_X(x25, x26, 48)
        BACK_X(x23, x24, 32)
        BACK_X(x21, x22, 16)
        BACK_X(x19, x20, 0)
        add     sp, sp, #208
        UNWIND(stackalloc 208)
        UNWIND(endepilogue)
        ret
        UNWIND(endproc)

// Where a fresh context starts: x0 = value, x19 = entry. The address it would return to is 0: unwinders stop there.
FUNCTION(ecru__ctx_start)
        stp     x29, xzr, [sp, #-16]!
        UNWIND(save_fplr_x 16)
        UNWIND(endprologue)
        blr     x19
        brk     #1                      // entry never returns
        UNWIND(endproc)

// void ecru__ctx_call(void *context [x0], void (*fn)(void *) [x1], void *argument [x2])
// Where the stack ends is what the context says; how far it has grown meanwhile is told to the context.
FUNCTION(ecru__ctx_call)
        stp     x29, x30, [sp, #-48]!
        UNWIND(save_fplr_x 48)
        X(x19, x20, 16)
        X(x21, x22, 32)
        mov     x29, sp
        UNWIND(set_fp)
        UNWIND(endprologue)
        BLOCK_IN_X18
        mov     x19, x0
        ldr     x20, [x18, #0x08]
        ldr     x21, [x18, #0x10]
        ldr     x22, [x18, #0x1478]
        sub     sp, x0, #1024           // ECRU__CTX_SKIP_BYTES
        ldr     x9, [x19, #168]
        ldp     x10, x11, [x19, #176]
        str     x9, [x18, #0x08]
        str     x10, [x18, #0x10]
        str     x11, [x18, #0x1478]
        mov     x0, x2
        blr     x1
        BLOCK_IN_X18
        ldr     x9, [x18, #0x10]
        str     x9, [x19, #176]
        str     x20, [x18, #0x08]
        str     x21, [x18, #0x10]
        str     x22, [x18, #0x1478]
        UNWIND(startepilogue)
        mov     sp, x29
        UNWIND(set_fp)
        BACK_X(x21, x22, 32)
        BACK_X(x19, x20, 16)
        ldp     x29, x30, [sp], #48
        UNWIND(save_fplr_x 48)
        UNWIND(endepilogue)
        ret
        UNWIND(endproc)
