/// tests/syncs.h: what the tests of synchronisation share: a crew of goroutines and virtual time, in which "everybody else is
/// parked" is a fact one can wait for.
#ifndef ECRU_TESTS_SYNCS_H
#define ECRU_TESTS_SYNCS_H
#include <ecru/ecru.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static ecru_waitgroup *crew;
static ecru_fn crew_main;

static inline void run_crew(void *unused) {
  CHECK_EQ(ecru_waitgroup_create(&crew), 0);
  crew_main(unused);
  CHECK_EQ(ecru_waitgroup_wait(crew), 0);
  ecru_waitgroup_destroy(crew);
}

/// Runs fn(NULL) as the first goroutine of a runtime with so many processors, waits for the crew, and stops it.
static inline void with_procs(int procs, ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  crew_main = fn;
  CHECK_EQ(ecru_run_with(&options, run_crew, NULL), 0);
}

/// The same on one processor in virtual time.
static inline void in_virtual_time(ecru_fn fn) {
  ecru_clock *clock = NULL;
  CHECK_EQ(ecru_clock_virtual_create(&clock, ECRU_SECOND), 0);
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = 1;
  options.clock = clock;
  crew_main = fn;
  CHECK_EQ(ecru_run_with(&options, run_crew, NULL), 0);
  ecru_clock_destroy(clock);
}

/// One more goroutine in the crew.
static inline void start(ecru_fn fn, void *argument) { CHECK_EQ(ecru_waitgroup_go(crew, fn, argument), 0); }

/// The same, with token as its current token.
static inline void start_under(ecru_token *token, ecru_fn fn, void *argument) {
  CHECK_EQ(ecru_token_enter(token), 0);
  start(fn, argument);
  CHECK_EQ(ecru_token_leave(), 0);
}

static inline void join_crew(void) { CHECK_EQ(ecru_waitgroup_wait(crew), 0); }

/// In virtual time: returns when all others are parked (the clock only jumps then).
static inline void all_others_parked(void) { CHECK_EQ(ecru_sleep(1), 0); }

static inline ecru_token *token_until(int64_t deadline_ns) {
  ecru_token *token = NULL;
  CHECK_EQ(ecru_token_create(&token, NULL, deadline_ns), 0);
  return token;
}

static inline void cancel(ecru_token *token) { CHECK_EQ(ecru_token_cancel(token, 0), 0); }

/// What happened, in order: one character each. For goroutines that do not run in parallel.
static char history[4096];
static size_t history_length;
static inline void note(int what) {
  CHECK(history_length < sizeof history - 1);
  history[history_length++] = (char)what;
}

/// A foreign thread, joined without blocking goroutines.
static inline pthread_t start_thread(void *(*fn)(void *), void *argument) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, fn, argument), 0);
  return thread;
}
static inline void join_one_thread(void *thread) { CHECK_EQ(pthread_join(*(pthread_t *)thread, NULL), 0); }
static inline void join_thread(pthread_t thread) { CHECK_EQ(ecru_blocking(join_one_thread, &thread), 0); }
#endif
