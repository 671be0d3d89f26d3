/// platform/thread/hooks_win32.c: being told when a thread ends. Windows does not fork.
///
/// gcc keeps thread-locals in memory that it frees with a key of winpthreads, before the system's own hooks (of fiber-local storage) are called.
/// winpthreads goes through the keys in the order in which they were made, and ours is made before main by a constructor that comes first: so the hook
/// still finds the thread's variables.
#include <pthread.h>

#include "ecru/base.h"
#include "platform/thread.h"

static pthread_key_t key;
static int key_status; // set once

static void at_end(void *hook) { ((void (*)(void))hook)(); }

__attribute__((constructor(101))) static void make_key(void) { key_status = pthread_key_create(&key, at_end); }

int ecru__thread_on_exit(void (*hook)(void)) {
  return key_status != 0 || pthread_setspecific(key, (void *)hook) != 0 ? ECRU_ENOMEM : 0;
}

int ecru__thread_on_fork(void (*child)(void)) {
  (void)child;
  return 0;
}
