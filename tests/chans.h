/// tests/chans.h: what the tests of channels and select share.
#ifndef ECRU_TESTS_CHANS_H
#define ECRU_TESTS_CHANS_H
#include <ecru/ecru.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/chan.h"
#include "test.h"

/// Runs fn(NULL) as the first goroutine of a runtime with so many processors and stops it.
static inline void with_procs(int procs, ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  CHECK_EQ(ecru_run_with(&options, fn, NULL), 0);
}
static inline void go(ecru_fn fn, void *argument) { CHECK_EQ(ecru_go(fn, argument), 0); }

static inline ecru_chan *chan_of(size_t element_bytes, size_t capacity) {
  ecru_chan *chan = NULL;
  CHECK_EQ(ecru_chan_create(&chan, element_bytes, capacity), 0);
  return chan;
}
static inline void send_int(ecru_chan *chan, int value) { CHECK_EQ(ecru_chan_send(chan, &value), 0); }
static inline int recv_int(ecru_chan *chan) {
  int value = -1;
  CHECK_EQ(ecru_chan_recv(chan, &value), 0);
  return value;
}
/// Waits for `count` elements, of whatever: goroutines that have ended.
static inline void await(ecru_chan *done, int count) {
  for (int i = 0; i < count; i++) CHECK_EQ(ecru_chan_recv(done, NULL), 0);
}
/// Says so. The channel has elements of 0 bytes.
static inline void finish(ecru_chan *done) { CHECK_EQ(ecru_chan_send(done, NULL), 0); }

static inline int nodes_in(ecru_chan *chan, const ecru__queue *queue) {
  int count = 0;
  ecru__lock_take(&chan->lock);
  for (ecru__node *node = queue->head; node; node = node->next) count++;
  ecru__lock_drop(&chan->lock);
  return count;
}
static inline int parked_receivers(ecru_chan *chan) { return nodes_in(chan, &chan->receivers); }
static inline int parked_senders(ecru_chan *chan) { return nodes_in(chan, &chan->senders); }

/// Lets others run until the condition holds; a hang is the runner's to report.
#define UNTIL(condition)          \
  do {                            \
    while (!(condition)) {        \
      ecru_yield();               \
      sched_yield();              \
    }                             \
  } while (0)

/// CPU time of this process in nanoseconds: what a shared machine does not distort.
static inline int64_t cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * ECRU_SECOND + now.tv_nsec;
}
static inline ecru_case recv_case(ecru_chan *chan, void *value) {
  return (ecru_case){ECRU_CASE_RECV, 77, chan, value};
}
static inline ecru_case send_case(ecru_chan *chan, const void *value) {
  return (ecru_case){ECRU_CASE_SEND, 77, chan, (void *)(uintptr_t)value};
}

static inline void send_five(void *chan) { send_int(chan, 5); }
static inline void recv_one(void *chan) { recv_int(chan); }

enum { CROWD = 20 };
struct member {
  ecru_chan *chan, *done;
  int index, value, status;
};

static inline void crowd_send(void *argument) {
  struct member *m = argument;
  m->status = ecru_chan_send(m->chan, &m->index);
  CHECK_EQ(ecru_chan_try_send(m->done, NULL), 0); // has room for all; our token may have fired
}
static inline void crowd_recv(void *argument) {
  struct member *m = argument;
  m->status = ecru_chan_recv(m->chan, &m->value);
  CHECK_EQ(ecru_chan_try_send(m->done, NULL), 0);
}

/// Parks CROWD goroutines on chan, one after the other.
static inline void park_crowd(struct member *crowd, ecru_chan *chan, ecru_chan *done, ecru_fn fn) {
  for (int i = 0; i < CROWD; i++) {
    crowd[i] = (struct member){chan, done, i, -1, 99};
    go(fn, &crowd[i]);
    UNTIL((fn == crowd_send ? parked_senders(chan) : parked_receivers(chan)) == i + 1);
  }
}

#endif
