/// tests/contract/ctx.c: what platform/ctx.h promises, of whichever mechanism is built in.
#include "platform/ctx.h"
#include "test.h"
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_BYTES = 256 * 1024, PAIRS = 1000 };

/// A context under test and who resumed it last.
struct context {
  void *self;
  void *resumer;
  char *stack;
  void *seen;
};

static struct context *create(void (*entry)(void *)) {
  struct context *context = calloc(1, sizeof *context);
  context->stack = aligned_alloc(16, STACK_BYTES);
  memset(context->stack, 0xa5, STACK_BYTES);
  context->self = ecru__ctx_make(context->stack + STACK_BYTES, STACK_BYTES, entry);
  return context;
}

static void destroy(struct context *context) {
  ecru__ctx_drop(context->self);
  free(context->stack);
  free(context);
}

static void *resume(struct context *context, void *value) {
  return ecru__ctx_switch(&context->resumer, context->self, value);
}

static void *suspend(struct context *context, void *value) {
  return ecru__ctx_switch(&context->self, context->resumer, value);
}

static void count_entry(void *value) {
  struct context *context = value;
  for (intptr_t i = 0;; i++) context->seen = suspend(context, (void *)(i * 2));
}

TEST(ctx, values_pass_both_ways) {
  struct context *context = create(count_entry);
  CHECK_EQ(resume(context, context), 0);
  for (intptr_t i = 1; i < PAIRS; i++) {
    CHECK_EQ(resume(context, (void *)(i + 7)), i * 2);
    CHECK_EQ(context->seen, i + 7);
  }
  destroy(context);
}

TEST(ctx, many_contexts_alternate) {
  enum { CONTEXTS = 50 };
  struct context *all[CONTEXTS];
  for (int i = 0; i < CONTEXTS; i++) all[i] = create(count_entry);
  for (int i = 0; i < CONTEXTS; i++) resume(all[i], all[i]);
  for (intptr_t round = 1; round < 100; round++)
    for (int i = 0; i < CONTEXTS; i++) CHECK_EQ(resume(all[i], NULL), round * 2);
  for (int i = 0; i < CONTEXTS; i++) destroy(all[i]);
}

static void *ring_main;
static struct context *ring[3];

static void ring_entry(void *value) {
  intptr_t hops = (intptr_t)value;
  for (;;) {
    struct context *here = ring[hops % 3], *next = ring[(hops + 1) % 3];
    if (hops == 300)
      hops = (intptr_t)ecru__ctx_switch(&here->self, ring_main, (void *)hops);
    else
      hops = (intptr_t)ecru__ctx_switch(&here->self, next->self, (void *)(hops + 1));
  }
}

TEST(ctx, a_context_switches_to_any_other) {
  for (int i = 0; i < 3; i++) ring[i] = create(ring_entry);
  CHECK_EQ(ecru__ctx_switch(&ring_main, ring[0]->self, 0), 300);
  for (int i = 0; i < 3; i++) destroy(ring[i]);
}

static void save_entry(void *value) {
  struct context *context = value;
  suspend(context, context->resumer); // what the resumer's save slot holds now
  abort();
}

TEST(ctx, save_is_written_before_the_target_runs) {
  struct context *context = create(save_entry);
  void *seen = resume(context, context);
  CHECK(seen != NULL);
  CHECK(seen == context->resumer);
  destroy(context);
}

static void alignment_entry(void *value) {
  struct context *context = value;
  alignas(16) volatile char local[16] = {0};
  uintptr_t misaligned = (uintptr_t)local % 16 | (uintptr_t)__builtin_frame_address(0) % 16;
  local[0] = 1;
  suspend(context, (void *)misaligned);
  abort();
}

TEST(ctx, the_stack_is_aligned_at_entry) {
  struct context *context = create(alignment_entry);
  CHECK_EQ(resume(context, context), 0);
  destroy(context);
}

TEST(ctx, make_writes_only_at_the_top) {
  struct context *context = create(count_entry);
  CHECK((char *)context->self >= context->stack + STACK_BYTES - ECRU__CTX_BYTES);
  CHECK((char *)context->self < context->stack + STACK_BYTES);
  for (int i = 0; i < STACK_BYTES - ECRU__CTX_BYTES; i++)
    if ((unsigned char)context->stack[i] != 0xa5) FAIL("byte %d was written", i);
  destroy(context);
}

TEST(ctx, a_context_that_never_ran_can_be_dropped) {
  for (int i = 0; i < 10; i++) destroy(create(count_entry));
}

TEST(ctx, errno_is_left_alone) {
  struct context *context = create(count_entry);
  errno = EXFULL;
  resume(context, context);
  CHECK_EQ(errno, EXFULL);
  destroy(context);
}

// ---- registers ----------------------------------------------------------------------------------------------------

/// So many live values that the compiler uses every callee-saved register; `salt` differs in each context.
#define KEEP_VALUES(context, salt, transfer)                                                                       \
  do {                                                                                                             \
    volatile long seed = (salt);                                                                                   \
    long a = seed + 1, b = seed + 2, c = seed + 3, d = seed + 4, e = seed + 5, f = seed + 6, g = seed + 7;         \
    long h = seed + 8, i = seed + 9, j = seed + 10, k = seed + 11, l = seed + 12;                                  \
    double p = seed + .5, q = seed + 1.5, r = seed + 2.5, s = seed + 3.5, t = seed + 4.5, u = seed + 5.5;          \
    for (int round = 0; round < PAIRS; round++) {                                                                  \
      transfer((context), (context));                                                                              \
      a += 1, b += 1, c += 1, d += 1, e += 1, f += 1, g += 1, h += 1, i += 1, j += 1, k += 1, l += 1;              \
      p += 1, q += 1, r += 1, s += 1, t += 1, u += 1;                                                              \
    }                                                                                                              \
    CHECK_EQ(a + b + c + d + e + f + g + h + i + j + k + l, 12L * (seed + PAIRS) + 78);                            \
    CHECK(p + q + r + s + t + u == 6.0 * (double)(seed + PAIRS) + 18.0);                                           \
  } while (0)

static void registers_entry(void *value) {
  struct context *context = value;
  KEEP_VALUES(context, 1000, suspend);
  for (;;) suspend(context, NULL);
}

TEST(ctx, live_values_survive) {
  struct context *context = create(registers_entry);
  KEEP_VALUES(context, 5, resume);
  resume(context, NULL); // its checks
  destroy(context);
}

#if defined(__x86_64__) && defined(_WIN32)
enum { INTEGER_REGISTERS = 8, FLOAT_REGISTERS = 10 };

/// Fills every callee-saved register from `in`, switches, and stores them to `out`.
static __attribute__((noinline)) void *switch_with_registers(void **save, void *to, void *value, const uint64_t *in,
                                                             uint64_t *out) {
  void *got;
  struct {
    const uint64_t *in;
    uint64_t *out;
    void *(*go)(void **, void *, void *);
  } plan = {in, out, ecru__ctx_switch};
  register void *r8 __asm__("r8") = value;
  register void *r10 __asm__("r10") = &plan;
  __asm__ volatile("push %%rbp; push %%rbx; push %%rdi; push %%rsi; push %%r12; push %%r13; push %%r14; push %%r15\n\t"
                   "mov %%rsp, %%rax; and $-16, %%rsp; push %%rax; push %%r10; sub $32, %%rsp\n\t"
                   "mov 16(%%r10), %%rax; mov (%%r10), %%r10\n\t"
                   "movq 64(%%r10), %%xmm6; movq 72(%%r10), %%xmm7; movq 80(%%r10), %%xmm8; movq 88(%%r10), %%xmm9; movq 96(%%r10), %%xmm10; movq 104(%%r10), %%xmm11; movq 112(%%r10), %%xmm12; movq 120(%%r10), %%xmm13; movq 128(%%r10), %%xmm14; movq 136(%%r10), %%xmm15\n\t"
                   "mov (%%r10), %%rbx; mov 8(%%r10), %%rbp; mov 16(%%r10), %%rdi; mov 24(%%r10), %%rsi\n\t"
                   "mov 32(%%r10), %%r12; mov 40(%%r10), %%r13; mov 48(%%r10), %%r14; mov 56(%%r10), %%r15\n\t"
                   "call *%%rax\n\t"
                   "add $32, %%rsp; pop %%r10; mov 8(%%r10), %%r10\n\t"
                   "movq %%xmm6, 64(%%r10); movq %%xmm7, 72(%%r10); movq %%xmm8, 80(%%r10); movq %%xmm9, 88(%%r10); movq %%xmm10, 96(%%r10); movq %%xmm11, 104(%%r10); movq %%xmm12, 112(%%r10); movq %%xmm13, 120(%%r10); movq %%xmm14, 128(%%r10); movq %%xmm15, 136(%%r10)\n\t"
                   "mov %%rbx, (%%r10); mov %%rbp, 8(%%r10); mov %%rdi, 16(%%r10); mov %%rsi, 24(%%r10)\n\t"
                   "mov %%r12, 32(%%r10); mov %%r13, 40(%%r10); mov %%r14, 48(%%r10); mov %%r15, 56(%%r10)\n\t"
                   "pop %%rsp; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rsi; pop %%rdi; pop %%rbx; pop %%rbp"
                   : "=a"(got), "+c"(save), "+d"(to), "+r"(r8), "+r"(r10)
                   :
                   : "memory", "cc", "r9", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                     "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return got;
}
#elif defined(__x86_64__)
enum { INTEGER_REGISTERS = 6, FLOAT_REGISTERS = 0 };

/// Fills every callee-saved register from `in`, switches, and stores them to `out`.
static __attribute__((noinline)) void *switch_with_registers(void **save, void *to, void *value, const uint64_t *in,
                                                             uint64_t *out) {
  void *got;
  struct {
    const uint64_t *in;
    uint64_t *out;
    void *(*go)(void **, void *, void *);
  } plan = {in, out, ecru__ctx_switch};
  // The plan and rbp and rbx wait on the stack: the call leaves no register to keep them in.
  __asm__ volatile("sub $128, %%rsp\n\t" // the red zone
                   "push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15; push %%rcx\n\t"
                   "mov %%rsp, %%rax; and $-16, %%rsp; push %%rax; push %%rcx\n\t"
                   "mov 16(%%rcx), %%rax; mov (%%rcx), %%rcx\n\t"
                   "mov (%%rcx), %%rbx; mov 8(%%rcx), %%rbp; mov 16(%%rcx), %%r12; mov 24(%%rcx), %%r13\n\t"
                   "mov 32(%%rcx), %%r14; mov 40(%%rcx), %%r15\n\t"
                   "call *%%rax\n\t"
                   "pop %%rcx; mov 8(%%rcx), %%rcx\n\t"
                   "mov %%rbx, (%%rcx); mov %%rbp, 8(%%rcx); mov %%r12, 16(%%rcx); mov %%r13, 24(%%rcx)\n\t"
                   "mov %%r14, 32(%%rcx); mov %%r15, 40(%%rcx)\n\t"
                   "pop %%rsp; pop %%rcx; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp\n\t"
                   "add $128, %%rsp"
                   : "=a"(got), "+D"(save), "+S"(to), "+d"(value)
                   : "c"(&plan)
                   : "memory", "cc", "r8", "r9", "r10", "r11");
  return got;
}
#elif defined(__aarch64__)
enum { INTEGER_REGISTERS = 10, FLOAT_REGISTERS = 8 };

static __attribute__((noinline)) void *switch_with_registers(void **save, void *to, void *value, const uint64_t *in,
                                                             uint64_t *out) {
  register void *x0 __asm__("x0") = save;
  register void *x1 __asm__("x1") = to;
  register void *x2 __asm__("x2") = value;
  register const uint64_t *x3 __asm__("x3") = in;
  register uint64_t *x4 __asm__("x4") = out;
  register void *(*x5)(void **, void *, void *) __asm__("x5") = ecru__ctx_switch;
  __asm__ volatile("stp x29, x4, [sp, #-16]!\n\t"
                   "ldp x19, x20, [x3]; ldp x21, x22, [x3, #16]; ldp x23, x24, [x3, #32]\n\t"
                   "ldp x25, x26, [x3, #48]; ldp x27, x28, [x3, #64]\n\t"
                   "ldp d8, d9, [x3, #80]; ldp d10, d11, [x3, #96]; ldp d12, d13, [x3, #112]; ldp d14, d15, [x3, #128]\n\t"
                   "blr x5\n\t"
                   "ldp x29, x4, [sp], #16\n\t"
                   "stp x19, x20, [x4]; stp x21, x22, [x4, #16]; stp x23, x24, [x4, #32]\n\t"
                   "stp x25, x26, [x4, #48]; stp x27, x28, [x4, #64]\n\t"
                   "stp d8, d9, [x4, #80]; stp d10, d11, [x4, #96]; stp d12, d13, [x4, #112]; stp d14, d15, [x4, #128]"
                   : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5)
                   :
                   : "memory", "cc", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x19",
                     "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4",
                     "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19",
                     "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
  return x0;
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)
enum { REGISTERS = INTEGER_REGISTERS + FLOAT_REGISTERS };

static void trample_entry(void *value) {
  struct context *context = value;
  uint64_t in[REGISTERS], out[REGISTERS];
  for (uint64_t round = 0;; round++) {
    for (uint64_t i = 0; i < REGISTERS; i++) in[i] = 0xffff000000000000 | round << 8 | i;
    switch_with_registers(&context->self, context->resumer, NULL, in, out);
    CHECK_EQ(memcmp(in, out, sizeof in), 0);
  }
}

static void check_registers(void) {
  struct context *context = create(trample_entry);
  uint64_t in[REGISTERS], out[REGISTERS];
  for (uint64_t round = 0; round < PAIRS; round++) {
    for (uint64_t i = 0; i < REGISTERS; i++) in[i] = 0x1111000000000000 | round << 8 | i;
    switch_with_registers(&context->resumer, context->self, context, in, out);
    for (int i = 0; i < REGISTERS; i++) CHECK_EQ(out[i], in[i]);
  }
  destroy(context);
}
#else
static void check_registers(void) { SKIP("the registers of this ISA are not known here"); }
#endif

TEST(ctx, callee_saved_registers_survive) { check_registers(); }

// ---- floating-point control words ---------------------------------------------------------------------------------

/// Whether arithmetic really rounds as `mode` says: in vector registers and, where it is another unit, in long double.
/// Operands and results are volatile: compilers fold and move negations, since they take rounding to be symmetric.
static int rounds_as(int mode) {
  volatile double one = 1, minus_one = -1, three = 3, up = one / three, down = minus_one / three;
  volatile long double long_one = 1, long_minus_one = -1, long_three = 3;
  volatile long double long_up = long_one / long_three, long_down = long_minus_one / long_three;
  const double nearest = 0x1.5555555555555p-2; // below 1/3
  long double long_sum = long_up + long_down;
  if ((up > nearest) != (mode == FE_UPWARD) || (down < -nearest) != (mode == FE_DOWNWARD)) return 0;
  return mode == FE_UPWARD ? long_sum > 0 : mode == FE_DOWNWARD ? long_sum < 0 : long_sum == 0;
}

static void rounding_entry(void *value) {
  struct context *context = value;
  CHECK_EQ(fegetround(), FE_TONEAREST); // whatever its maker runs with
  CHECK(rounds_as(FE_TONEAREST));
  fesetround(FE_DOWNWARD);
  for (;;) {
    suspend(context, NULL);
    CHECK_EQ(fegetround(), FE_DOWNWARD);
    CHECK(rounds_as(FE_DOWNWARD));
  }
}

TEST(ctx, rounding_mode_belongs_to_the_context) { // G11
  fesetround(FE_UPWARD);
  struct context *context = create(rounding_entry);
  fesetround(FE_TONEAREST);
  for (int i = 0; i < 10; i++) {
    resume(context, context);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    CHECK(rounds_as(FE_TONEAREST));
    fesetround(FE_UPWARD);
    resume(context, context);
    CHECK_EQ(fegetround(), FE_UPWARD);
    CHECK(rounds_as(FE_UPWARD));
    fesetround(FE_TONEAREST);
  }
  destroy(context);
}

#if defined(__x86_64__) || defined(__aarch64__)
#if defined(__x86_64__)
static const uint64_t flush_bits = 0x8040; // flush to zero, denormals are zero
static uint64_t control_word(void) { return __builtin_ia32_stmxcsr() & 0xffc0; }
static void set_control_word(uint64_t word) { __builtin_ia32_ldmxcsr((unsigned)word); }
#else
static const uint64_t flush_bits = 1 << 24;
static uint64_t control_word(void) {
  uint64_t word;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
static void set_control_word(uint64_t word) { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }
#endif

static void flush_entry(void *value) {
  struct context *context = value;
  uint64_t mine = control_word() | flush_bits;
  set_control_word(mine);
  for (;;) {
    suspend(context, NULL);
    CHECK_EQ(control_word(), mine);
  }
}

static void check_denormals(void) {
  struct context *context = create(flush_entry);
  uint64_t before = control_word();
  for (int i = 0; i < 10; i++) {
    resume(context, context);
    CHECK_EQ(control_word(), before);
  }
  destroy(context);
}
#else
static void check_denormals(void) { SKIP("the control word of this ISA is not known here"); }
#endif

TEST(ctx, denormal_handling_belongs_to_the_context) { check_denormals(); } // G11

// ---- stacks -------------------------------------------------------------------------------------------------------

/// Fills frames with a pattern down to `depth`, switches at the bottom, and checks them on the way up.
static __attribute__((noinline)) int dig(struct context *context, int depth) {
  volatile char frame[1024];
  for (size_t i = 0; i < sizeof frame; i++) frame[i] = (char)(depth + (int)i);
  int bad = 0;
  if (depth > 0)
    bad = dig(context, depth - 1);
  else
    for (int i = 0; i < 10; i++) suspend(context, NULL);
  for (size_t i = 0; i < sizeof frame; i++) bad += frame[i] != (char)(depth + (int)i);
  return bad;
}

static void dig_entry(void *value) {
  struct context *context = value;
  int bad = dig(context, 100);
  for (;;) suspend(context, (void *)(intptr_t)(bad + 1));
}

TEST(ctx, deep_stacks_stay_apart) {
  struct context *all[4];
  for (int i = 0; i < 4; i++) all[i] = create(dig_entry);
  for (int round = 0; round < 10; round++)
    for (int i = 0; i < 4; i++) CHECK_EQ(resume(all[i], all[i]), 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(resume(all[i], all[i]), 1);
  for (int i = 0; i < 4; i++) destroy(all[i]);
}

static void *resume_on_thread(void *value) {
  struct context *context = value;
  intptr_t *result = malloc(sizeof *result);
  *result = (intptr_t)resume(context, context);
  return result;
}

TEST(ctx, a_context_moves_between_threads) {
  struct context *context = create(count_entry);
  for (intptr_t i = 0; i < 20; i++) {
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, resume_on_thread, context), 0);
    pthread_join(thread, &result);
    CHECK_EQ(*(intptr_t *)result, i * 4);
    free(result);
    CHECK_EQ(resume(context, context), i * 4 + 2);
  }
  destroy(context);
}

// ---- ecru__ctx_call -----------------------------------------------------------------------------------------------

static alignas(16) char big_stack[STACK_BYTES], other_stack[STACK_BYTES];

/// A suspended context on a stack of STACK_BYTES.
static void *context_on(char *stack) { return ecru__ctx_make(stack + STACK_BYTES, STACK_BYTES, count_entry); }

struct visit {
  int is_on_big_stack, is_on_other_stack, is_aligned;
  struct context *context;
};

static void note_stack(struct visit *visit) {
  alignas(16) volatile char here[16] = {0};
  uintptr_t address = (uintptr_t)here;
  visit->is_on_big_stack = address >= (uintptr_t)big_stack && address < (uintptr_t)big_stack + STACK_BYTES;
  visit->is_on_other_stack = address >= (uintptr_t)other_stack && address < (uintptr_t)other_stack + STACK_BYTES;
  visit->is_aligned = (uintptr_t)__builtin_frame_address(0) % 16 == 0;
}

static void visit_fn(void *argument) { note_stack(argument); }

TEST(ctx, call_runs_on_the_given_stack_and_returns) {
  struct visit visit = {0};
  volatile long live = 42;
  ecru__ctx_call(context_on(big_stack), visit_fn, &visit);
  CHECK_EQ(visit.is_on_big_stack, 1);
  CHECK_EQ(visit.is_aligned, 1);
  CHECK_EQ(live, 42);
  note_stack(&visit);
  CHECK_EQ(visit.is_on_big_stack, 0);
}

static void nested_fn(void *argument) {
  struct visit *visit = argument;
  ecru__ctx_call(context_on(other_stack), visit_fn, visit);
  CHECK_EQ(visit->is_on_other_stack, 1);
  note_stack(visit);
}

TEST(ctx, calls_nest) {
  struct visit visit = {0};
  ecru__ctx_call(context_on(big_stack), nested_fn, &visit);
  CHECK_EQ(visit.is_on_big_stack, 1);
}

static void switching_fn(void *argument) {
  struct visit *visit = argument;
  for (int i = 0; i < 3; i++) suspend(visit->context, NULL);
  note_stack(visit);
}

static void call_entry(void *value) {
  struct visit visit = {.context = value};
  ecru__ctx_call(context_on(big_stack), switching_fn, &visit);
  for (;;) suspend(visit.context, (void *)(intptr_t)(visit.is_on_big_stack + 1));
}

TEST(ctx, a_context_may_switch_inside_a_call) {
  struct context *context = create(call_entry);
  for (int i = 0; i < 3; i++) CHECK_EQ(resume(context, context), 0);
  CHECK_EQ(resume(context, context), 2);
  destroy(context);
}

static void rounding_fn(void *argument) {
  *(int *)argument = fegetround();
  fesetround(FE_UPWARD);
}

TEST(ctx, call_is_transparent_to_the_control_words) {
  int seen = -1;
  fesetround(FE_DOWNWARD);
  ecru__ctx_call(context_on(big_stack), rounding_fn, &seen);
  CHECK_EQ(seen, FE_DOWNWARD);
}
