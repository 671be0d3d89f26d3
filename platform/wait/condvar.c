/// platform/wait/condvar.c: parking on POSIX condition variables: the reference for the other mechanisms and the mechanism
/// of systems without a wait on addresses.
///
/// Sleepers hang in a small hash table by the address of their word, each with a condition variable of its own, so a wake
/// reaches exactly the sleepers of that word. A waker has changed the word before it takes the bucket's lock; a sleeper
/// looks at the word under that lock: it sees either the change or is seen by the waker. Only the address of the word is
/// used to wake: its memory may be gone. In a forked child nobody sleeps: its parent's threads, which hang here and may hold locks,
/// are not there.
#include "platform/wait.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { BUCKETS = 32, NANOSECONDS_PER_SECOND = 1000000000 };

struct sleeper {
  const void *word;      // set once
  pthread_cond_t wakeup;
  int is_woken;          // lock
  struct sleeper *next;  // lock
};

struct bucket {
  pthread_mutex_t lock;
  struct sleeper *first; // lock: in order of arrival
};

#define ONE {PTHREAD_MUTEX_INITIALIZER, NULL}
#define EIGHT ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE
static struct bucket buckets[BUCKETS] = {EIGHT, EIGHT, EIGHT, EIGHT};

__attribute__((unused)) static void in_child(void) { // winpthreads has a pthread_atfork that drops its arguments
  for (int i = 0; i < BUCKETS; i++) buckets[i] = (struct bucket)ONE;
}
static void heed_forks(void) { (void)pthread_atfork(NULL, NULL, in_child); }

static struct bucket *bucket_of(const void *word) {
  uint64_t mixed = (uint64_t)(uintptr_t)word * UINT64_C(0x9e3779b97f4a7c15);
  return &buckets[(mixed >> 32) % BUCKETS];
}

/// Where a condition variable knows no other clock than that of the day, but how long is left; and in what units.
#if defined(__APPLE__)
#define RELATIVE_UNIT_NS 1
#elif defined(_WIN32)
#define RELATIVE_UNIT_NS 1000000
#endif

static void cond_create(pthread_cond_t *cond) {
#ifdef RELATIVE_UNIT_NS
  pthread_cond_init(cond, NULL);
#else
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attributes);
  pthread_condattr_destroy(&attributes);
#endif
}

/// returns: 0 once the deadline has passed.
static int cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns) {
  if (deadline_ns == INT64_MAX) return pthread_cond_wait(cond, lock) == 0;
  if (deadline_ns < 0) deadline_ns = 0;
#ifdef RELATIVE_UNIT_NS
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t left_ns = deadline_ns - ((int64_t)now.tv_sec * NANOSECONDS_PER_SECOND + now.tv_nsec);
  if (left_ns <= 0) return 0;
  left_ns += RELATIVE_UNIT_NS - 1; // which is rounded down: not before the deadline
  struct timespec left = {(time_t)(left_ns / NANOSECONDS_PER_SECOND), (long)(left_ns % NANOSECONDS_PER_SECOND)};
  return pthread_cond_timedwait_relative_np(cond, lock, &left) == 0;
#else
  struct timespec deadline = {(time_t)(deadline_ns / NANOSECONDS_PER_SECOND), (long)(deadline_ns % NANOSECONDS_PER_SECOND)};
  return pthread_cond_timedwait(cond, lock, &deadline) == 0;
#endif
}

static void append(struct bucket *bucket, struct sleeper *self) {
  struct sleeper **place = &bucket->first;
  while (*place != NULL) place = &(*place)->next;
  *place = self;
}

static void take_out(struct bucket *bucket, struct sleeper *self) {
  struct sleeper **place = &bucket->first;
  while (*place != self) place = &(*place)->next;
  *place = self->next;
}

void ecru__wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  int saved_errno = errno;
  (void)pthread_once(&once, heed_forks);
  struct bucket *bucket = bucket_of(word);
  struct sleeper self = {.word = word};
  pthread_mutex_lock(&bucket->lock);
  if (atomic_load(word) == expected) {
    cond_create(&self.wakeup);
    append(bucket, &self);
    while (!self.is_woken && cond_wait(&self.wakeup, &bucket->lock, deadline_ns)) {}
    if (!self.is_woken) take_out(bucket, &self); // a waker takes out whom it wakes
    pthread_cond_destroy(&self.wakeup);
  }
  pthread_mutex_unlock(&bucket->lock);
  errno = saved_errno;
}

static void wake(_Atomic uint32_t *word, int most) {
  int saved_errno = errno;
  struct bucket *bucket = bucket_of(word);
  pthread_mutex_lock(&bucket->lock);
  for (struct sleeper **place = &bucket->first; *place != NULL && most > 0;) {
    struct sleeper *sleeper = *place;
    if (sleeper->word != (const void *)word) {
      place = &sleeper->next;
      continue;
    }
    *place = sleeper->next;
    sleeper->is_woken = 1;
    pthread_cond_signal(&sleeper->wakeup); // under the lock: afterwards the sleeper may be gone
    most--;
  }
  pthread_mutex_unlock(&bucket->lock);
  errno = saved_errno;
}

void ecru__wake_one(_Atomic uint32_t *word) { wake(word, 1); }
void ecru__wake_all(_Atomic uint32_t *word) { wake(word, INT32_MAX); }
