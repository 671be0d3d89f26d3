/// native/home.h: what the files about the threads that run goroutines share: thread_state.c has it, but for what recursion.c says of stacks.
#ifndef ECRU_PYTHON_HOME_H
#define ECRU_PYTHON_HOME_H
#include "native.h"

extern ecru_py_mutex ecru_py_homes_lock;
extern home *ecru_py_homes;             ///< all of them; under the GIL, or the lock: none of them is left meanwhile
extern PyObject *ecru_py_deadlock_hook; ///< told that all sleep for ever
extern PyObject *ecru_py_entered_hook;  ///< told that the main thread has become a host by itself

/// error becomes what is pending for h's first, unless something is. returns: whether it has.
bool ecru_py_set_pending(home *h, PyObject *error);
PyObject *ecru_py_take_pending(home *h); ///< returns: what was, which is the caller's; NULL nothing

int ecru_py_start_runtime(uint64_t seed); ///< under the lock. returns: a status
void ecru_py_shut(void);                  ///< the interpreter is ending

/// A goroutine's C stack: as a thread of the system has on Linux, so that what recurses to the interpreter's limit there does so here. Worst of what is known:
/// sorted(key=f), 5 KB for each f (list.sort keeps its buffers on the stack): 5 MB up to the limit of 1000, on all versions. Who raises the
/// limit (sys.setrecursionlimit) gets larger ones, up to what the interpreter then needs at most, or what leaves room for 100 000 of them.
enum { ECRU_PY_STACK = 8 << 20 };

void ecru_py_withhold(mark *m); ///< from its interpreter, the levels of recursion that its stack has no room for; m's state is attached
void ecru_py_withhold_nothing(mark *m);
/// Where something was withheld: sys.setrecursionlimit may have been called meanwhile. (Where nothing was it is m's own doing, perhaps, until it sets
/// it back.)
void ecru_py_withhold_again(mark *m);
/// From 3.14 on the interpreter goes by where the stack pointer is, and would otherwise look for the thread's own stack at each new state.
void ecru_py_say_where_the_stack_is(mark *m);
#endif
