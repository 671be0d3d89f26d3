/// native/pages.c: memory of a free-threaded interpreter that waits to be used anew.
///
/// A page of it that has become empty is listed with the thread state that runs, whosever it is, until no thread can look into it any more.
/// CPython takes for granted that a thread has one state, whose pages these are. Those of other goroutines would be left in the list
/// of a state that is gone: the next collection, mostly that at the program's end, would go through freed memory.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wshadow" // CPython's
#pragma GCC diagnostic ignored "-Wextra"
#endif
#define Py_BUILD_CORE 1
#include "native.h"

#ifdef Py_GIL_DISABLED
#include <internal/pycore_gc.h> // first: the next one takes it for granted
#include <internal/pycore_tstate.h>

void ecru_py_keep_pages_of(PyThreadState *gone) {
  struct llist_node *kept = &((_PyThreadStateImpl *)PyThreadState_Get())->mimalloc.page_list;
  llist_concat(kept, &((_PyThreadStateImpl *)gone)->mimalloc.page_list);
}
#else
void ecru_py_keep_pages_of(PyThreadState *gone) { (void)gone; }
#endif
