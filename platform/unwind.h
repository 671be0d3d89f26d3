/// platform/unwind.h: walking the frames of a stack, and hearing of what unwinds out of a function. Mechanism: unwind/itanium.c.
#ifndef ECRU_PLATFORM_UNWIND_H
#define ECRU_PLATFORM_UNWIND_H

/// Where the calling thread's frames continue, innermost first: the first one lies in this function. Ends where code has
/// no unwind information. Allocates nothing; errno is preserved. returns: how many, at most `most`.
int ecru__frames(void **frames, int most);

/// Has told(0) called when an exception finds no handler in what a function marked with ECRU__UNWIND_ENDS_HERE calls, on
/// the stack where it was thrown; then std::terminate ends the process as ever. told(1): a forced unwinding (pthread_exit,
/// cancellation) has come to such a function; told must not return then.
void ecru__unwind_tell(void (*told)(int forced));

/// The first statement of a function that is never inlined: nothing may unwind out of it.
/// Gives it a personality routine by hand: C has no word for that. Costs no instruction.
#if defined(__ELF__) && (defined(__x86_64__) || defined(__aarch64__) || defined(__riscv))
#define ECRU__UNWIND_ENDS_HERE __asm__ volatile(".cfi_personality 0x1b, ecru__unwind_personality")
#elif defined(_WIN32)
#define ECRU__UNWIND_ENDS_HERE __asm__ volatile(".seh_handler ecru__unwind_end, @except")
#else
#define ECRU__UNWIND_ENDS_HERE ((void)0) // std::terminate still tells what it was, not in which goroutine
#endif

/// The calling thread's exceptions in libstdc++ or libc++, caught and under way. returns: NULL: there is no C++ in this program.
void *ecru__unwind_thread_state(void);
#endif
