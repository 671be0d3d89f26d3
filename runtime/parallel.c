/// runtime/parallel.c: a parallel loop (T5): min(limit, count) goroutines of one group take the next index each until none
/// is left, so a loop of a million items costs a million additions, not a million goroutines.
#include "runtime/task.h"

typedef struct loop {
  _Atomic uint64_t next;  // atomic: the next index nobody has taken; 64 bits: it passes count by one a worker, and never wraps
  size_t count;           // set once
  int (*fn)(void *context, size_t index); // set once
  void *context;          // set once
} loop;

static int take_items(void *argument, void **result) {
  (void)result;
  loop *shared = argument;
  for (;;) {
    // relaxed: only the number matters; what fn reads was written before the goroutine was started
    uint64_t index = atomic_fetch_add_explicit(&shared->next, 1, memory_order_relaxed);
    if (index >= shared->count) return 0;
    int status = ecru_check(); // somebody's error has fired the group's token
    if (status == 0) status = shared->fn(shared->context, (size_t)index);
    if (status < 0) return status;
  }
}

int ecru_parallel_for(size_t count, size_t limit, int (*fn)(void *context, size_t index), void *context) {
  if (!fn) return ECRU_EINVAL;
  if (limit == 0) limit = (size_t)ecru_maxprocs();
  loop shared = {.count = count, .fn = fn, .context = context};
  ecru_group *group = NULL;
  int status = ecru_group_create(&group, 0, 0);
  if (status != 0) return status;
  size_t started = 0;
  for (; started < limit && started < count && status == 0; started += status == 0)
    status = ecru__group_start(group, take_items, &shared, NULL, true, __builtin_return_address(0));
  int waited = ecru_group_wait(group);
  ecru_group_destroy(group);
  if (started == 0 || waited != 0) return waited != 0 ? waited : status;
  return 0; // fewer workers than wanted have done it all
}
