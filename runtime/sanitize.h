/// runtime/sanitize.h: what AddressSanitizer, ThreadSanitizer and valgrind must be told about stacks, and of memory
/// that is kept (D5). Nothing in plain builds.
#ifndef ECRU_RUNTIME_SANITIZE_H
#define ECRU_RUNTIME_SANITIZE_H
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ECRU__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ECRU__TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ECRU__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(ECRU__TSAN)
#define ECRU__TSAN 1
#endif

#ifdef ECRU__ASAN
void __sanitizer_start_switch_fiber(void **fake_stack, const void *low, size_t bytes);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **low, size_t *bytes);
#define ECRU__ASAN_LEAVE(save, low, bytes) __sanitizer_start_switch_fiber(save, low, bytes)
#define ECRU__ASAN_ARRIVE(saved) __sanitizer_finish_switch_fiber(saved, NULL, NULL)
void __asan_poison_memory_region(const volatile void *low, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *low, size_t bytes);
#define ECRU__ASAN_POISON(low, bytes) __asan_poison_memory_region(low, bytes)
#define ECRU__ASAN_UNPOISON(low, bytes) __asan_unpoison_memory_region(low, bytes)
/// May look at what is poisoned.
#define ECRU__NO_ASAN __attribute__((no_sanitize("address")))
#else
#define ECRU__ASAN_POISON(low, bytes) ((void)(low), (void)(bytes))
#define ECRU__ASAN_UNPOISON(low, bytes) ((void)(low), (void)(bytes))
#define ECRU__NO_ASAN
#define ECRU__ASAN_LEAVE(save, low, bytes) ((void)0)
#define ECRU__ASAN_ARRIVE(saved) ((void)0)
#endif

#ifdef ECRU__TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#define ECRU__TSAN_SWITCH(fiber) __tsan_switch_to_fiber(fiber, 0)
#define ECRU__TSAN_CURRENT() __tsan_get_current_fiber()
#define ECRU__TSAN_CREATE() __tsan_create_fiber(0)
#define ECRU__TSAN_DESTROY(fiber) __tsan_destroy_fiber(fiber)
/// The switch itself must not be instrumented: entry and exit would land on different shadow stacks.
#define ECRU__NO_TSAN __attribute__((no_sanitize("thread")))
#else
#define ECRU__TSAN_SWITCH(fiber) ((void)0)
#define ECRU__TSAN_CURRENT() NULL
#define ECRU__TSAN_CREATE() NULL
#define ECRU__TSAN_DESTROY(fiber) ((void)0)
#define ECRU__NO_TSAN
#endif

#if defined(ECRU_VALGRIND)
#include <valgrind/memcheck.h>
#define ECRU__VALGRIND_REGISTER(low, end) VALGRIND_STACK_REGISTER(low, end)
#define ECRU__VALGRIND_DEREGISTER(id) VALGRIND_STACK_DEREGISTER(id)
/// Before what is on a stack is written from another one: to valgrind what lies below the last stack pointer there is gone.
#define ECRU__VALGRIND_FRESH(low, bytes) VALGRIND_MAKE_MEM_UNDEFINED(low, bytes)
/// Before a call on the stack that ends at top: valgrind does not see the first push after a jump to a stack.
#define ECRU__VALGRIND_CALL_ON(top) ECRU__VALGRIND_FRESH((char *)(top) - 64, 64)
#else
#define ECRU__VALGRIND_FRESH(low, bytes) ((void)0)
#define ECRU__VALGRIND_CALL_ON(top) ((void)0)
#define ECRU__VALGRIND_REGISTER(low, end) 0u
#define ECRU__VALGRIND_DEREGISTER(id) ((void)(id))
#endif
#endif
