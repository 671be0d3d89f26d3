/// platform/thread/hooks.c: being told when a thread ends and when the process forks (POSIX).
#include "platform/thread.h"

#include <ecru/base.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT, fork_once = PTHREAD_ONCE_INIT;
static int key_status, fork_status;
static _Atomic(void (*)(void)) fork_hook;

static void at_end(void *hook) { ((void (*)(void))hook)(); }
static void make_key(void) { key_status = pthread_key_create(&key, at_end); }

int ecru__thread_on_exit(void (*hook)(void)) {
  pthread_once(&key_once, make_key);
  if (key_status != 0 || pthread_setspecific(key, (void *)hook) != 0) return ECRU_ENOMEM;
  return 0;
}

static void in_child(void) {
  void (*hook)(void) = atomic_load(&fork_hook);
  if (hook) hook();
}
static void register_fork(void) { fork_status = pthread_atfork(NULL, NULL, in_child); }

int ecru__thread_on_fork(void (*child)(void)) {
  atomic_store(&fork_hook, child);
  pthread_once(&fork_once, register_fork);
  return fork_status == 0 ? 0 : ECRU_ENOMEM;
}
