/// platform/thread/pthread.c: OS threads from pthreads, and what the machine grants us.
///
/// A handle is the pthread_t itself. What the new thread needs to start lies in a block that it frees, so joining and
/// detaching touch nothing it might still read.
#include "platform/thread.h"
#include "platform/memory.h"
#include "ecru/base.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#endif

_Static_assert(sizeof(pthread_t) <= sizeof(void *), "a handle holds a pthread_t");

enum { NAME_BYTES = 16 }; // what Linux keeps, NUL included

struct start {
  void (*fn)(void *argument);
  void *argument;
  char name[NAME_BYTES];
};

static void name_self(const char *name) {
  if (name[0] == '\0') return;
#if defined(__linux__)
  (void)prctl(PR_SET_NAME, name, 0, 0, 0);
#elif defined(__APPLE__)
  (void)pthread_setname_np(name);
#endif
}

static void *run(void *block) {
  struct start start = *(struct start *)block;
  ecru__free(block);
  name_self(start.name);
  start.fn(start.argument);
  return NULL;
}

/// Everything but the signals that a fault of this very thread raises: those must not be blocked, the rest belongs to
/// the threads of the program.
static void block_signals(sigset_t *before) {
  sigset_t blocked;
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  sigfillset(&blocked);
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&blocked, faults[i]);
  pthread_sigmask(SIG_SETMASK, &blocked, before);
}

/// The guard comes on top of the size (glibc since 2.27, musl).
static int set_stack_size(pthread_attr_t *attributes, size_t stack_bytes) {
  int error = pthread_attr_setguardsize(attributes, ECRU__THREAD_GUARD_BYTES);
  if (error != 0 || stack_bytes == 0) return error;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t least = (size_t)PTHREAD_STACK_MIN;
  if (stack_bytes < least) stack_bytes = least;
  return pthread_attr_setstacksize(attributes, (stack_bytes + page - 1) / page * page);
}

static int create(pthread_t *thread, struct start *start, size_t stack_bytes) {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  error = set_stack_size(&attributes, stack_bytes);
  if (error == 0) {
    sigset_t before;
    block_signals(&before); // the new thread inherits the mask: it never runs with another
    error = pthread_create(thread, &attributes, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  pthread_attr_destroy(&attributes);
  return error;
}

int ecru__thread_start(void **handle, void (*fn)(void *argument), void *argument, const char *name, size_t stack_bytes) {
  if (ecru__fault(ECRU__FAULT_THREAD)) return ECRU_ETHREADS;
  int saved_errno = errno;
  struct start *start = ecru__calloc(1, sizeof *start);
  if (start == NULL) return ECRU_ETHREADS;
  start->fn = fn;
  start->argument = argument;
  if (name != NULL) strncpy(start->name, name, NAME_BYTES - 1);
  pthread_t thread;
  int error = create(&thread, start, stack_bytes);
  errno = saved_errno;
  if (error != 0) {
    ecru__free(start);
    return ECRU_ETHREADS;
  }
  *handle = (void *)thread;
  return ECRU_OK;
}

void ecru__thread_join(void *handle) {
  int error = pthread_join((pthread_t)handle, NULL);
  assert(error == 0);
  (void)error;
}

void ecru__thread_detach(void *handle) {
  int error = pthread_detach((pthread_t)handle);
  assert(error == 0);
  (void)error;
}

void ecru__thread_yield(void) { (void)sched_yield(); }

uint64_t ecru__thread_id(void) {
#if defined(__linux__)
  return (uint64_t)syscall(SYS_gettid);
#elif defined(__APPLE__)
  uint64_t id = 0;
  (void)pthread_threadid_np(NULL, &id);
  return id;
#else
  return (uint64_t)(uintptr_t)pthread_self();
#endif
}

/// A directory has two links of its own and one for each that lies in it. It is not read: that takes a descriptor, which there may not be, and which
/// others see. Not /proc/self/stat: emulators fill in only some of its fields.
int ecru__thread_count(void) {
  int count = 0;
#if defined(__linux__)
  enum { OWN_LINKS = 2 };
  int saved_errno = errno;
  struct stat tasks;
  if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > OWN_LINKS) count = (int)tasks.st_nlink - OWN_LINKS;
  errno = saved_errno;
#endif
  return count;
}

void ecru__thread_exact_timers(void) {
#if defined(__linux__)
  int saved_errno = errno;
  (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
  errno = saved_errno;
#endif
}

int ecru__thread_stack(void **low, size_t *bytes) {
#if defined(__linux__)
  int saved_errno = errno;
  pthread_attr_t attributes;
  int error = pthread_getattr_np(pthread_self(), &attributes);
  if (error == 0) {
    void *found_low;
    size_t found_bytes;
    error = pthread_attr_getstack(&attributes, &found_low, &found_bytes);
    if (error == 0) {
      *low = found_low;
      *bytes = found_bytes;
    }
    pthread_attr_destroy(&attributes);
  }
  errno = saved_errno;
  return error == 0 ? ECRU_OK : ECRU_ENOTSUP;
#elif defined(__APPLE__)
  *bytes = pthread_get_stacksize_np(pthread_self());
  *low = (char *)pthread_get_stackaddr_np(pthread_self()) - *bytes;
  return ECRU_OK;
#else
  (void)low;
  (void)bytes;
  return ECRU_ENOTSUP;
#endif
}
