/// runtime/singleflight.c: concurrent calls with one key share one run of a function (L1).
///
/// The function runs in a goroutine of its own, under a token of its own: a caller that is cancelled leaves, the run goes on for
/// the others. When the last caller has left, nobody wants the result any more and the run's token is cancelled.
///
///   1 The table holds the runs that a caller may still join, at most one for a key. A run leaves it when it ends, when it is
///     forgotten, or when its last caller leaves.
///   2 `callers` (lock: the flight's) counts those who wait for the run; `joined` says that there was more than one.
///   3 status, result and joined do not change once `ended` is set.
///   4 references of a run: one for its goroutine, one for each caller. Each run holds a reference to its flight, so that a run
///     nobody waits for may end after the flight was destroyed.
///
/// Dropped: running it in the first caller (that caller's token would cancel the run of all the others).
#include <ecru/sync.h>
#include <ecru/token.h>

#include <string.h>

#include "platform/memory.h"
#include "runtime/scheduler.h"

enum { SLOTS_AT_FIRST = 16 };

typedef struct run run;
struct run {
  run *next;                   // lock: in its slot
  ecru_singleflight *flight;   // set once, counted
  _Atomic uint32_t references; // atomic: invariant 4
  uint32_t callers;            // lock
  bool listed;                 // lock: in the table
  bool joined;                 // lock until ended
  uint64_t hash;               // set once
  ecru__event ended;
  ecru_token *token;           // set once, counted
  ecru__waiter *runner;        // atomic use: whose goroutine it is: cannot wait for itself
  ecru_task_fn fn;             // set once
  void *argument;              // set once
  void *result;                // runner until ended
  int status;                  // runner until ended
  char key[];                  // set once
};

struct ecru_singleflight {
  ecru__lock lock;
  _Atomic uint32_t references; // atomic: the creator's and one a run
  uint64_t slots_mask;         // lock
  uint64_t runs;               // lock: in the table
  run **slots;                 // lock
};
