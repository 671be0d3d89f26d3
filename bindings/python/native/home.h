/// native/home.h: what thread_state.c and home.c share of the threads that run goroutines. thread_state.c has it.
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
#endif
