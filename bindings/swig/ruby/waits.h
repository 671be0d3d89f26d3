/// ruby/waits.h: whatever waits gives Ruby's lock away meanwhile, and ends when Ruby wants something of its thread.
///
/// Each wait is under a token of its own, a child of the caller's current one. Thread#raise, Thread#kill, Timeout and signals fire it by
/// Ruby's unblock function; a wait that has been ended so had no effect (K2), so Ruby then does what it wants, and if it still
/// returns here the wait begins anew. Ruby looks at nothing between the end of a wait and the return of its result:
/// what was received is not lost.
#ifndef ECRU_RUBY_WAITS_H
#define ECRU_RUBY_WAITS_H
#include <ecru/ecru.h>
#include <ruby.h>
#include <ruby/io.h>
#include <ruby/thread.h>
#include <ruby/version.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct waiting {
  void (*run)(void *call); // the rest: set once
  void *call;
  int *status;
  ecru_token *token;
  bool ran;                // owner
  atomic_bool interrupted; // set by Ruby, under a lock of its own; read after Ruby has taken that lock, too
} waiting;

static void *ecru_ruby_wait_unlocked(void *argument) {
  waiting *w = argument;
  w->ran = true;
  *w->status = ecru_token_enter(w->token);
  if (*w->status < 0) return NULL;
  w->run(w->call);
  (void)ecru_token_leave();
  return NULL;
}
static void ecru_ruby_unblock(void *argument) {
  waiting *w = argument;
  atomic_store_explicit(&w->interrupted, true, memory_order_relaxed);
  (void)ecru_token_cancel(w->token, ECRU_EINTR);
}
/// Where Ruby has a thread see that there is a signal; -1: it has one of its own for that (3.3), or none was to be had. A process has this descriptor
/// from its beginning, or from the fork that made it, and it is the first that Ruby opens for itself there, so the least.
static int signal_descriptor(void) {
#if RUBY_API_VERSION_CODE < 30300
  enum { MOST = 1 << 20 };
  long limit = sysconf(_SC_OPEN_MAX);
  int end = limit > 0 && limit < MOST ? (int)limit : MOST;
  for (int descriptor = 0; descriptor < end; descriptor++)
    if (rb_reserved_fd_p(descriptor)) return descriptor;
#endif
  return -1;
}
/// A thread that waits for signals in Ruby. While all others wait here none would reach the main thread, or Ruby would start a thread for each of
/// its waits.
///
/// It waits for the descriptor, as it must not only sleep: Ruby has signals seen by one of those who sleep, the others wait on conditions meanwhile, and
/// when that one goes on none of them takes its place. Who waits for a descriptor takes the place if it is free, and learns of signals in any case.
static VALUE signal_watcher = Qnil;
static VALUE watch_signals(void *unused) {
  (void)unused;
  int descriptor = signal_descriptor();
  while (descriptor >= 0 && rb_wait_for_single_fd(descriptor, RB_WAITFD_IN, NULL) >= 0) continue;
  for (;;) rb_thread_sleep_forever();
  return Qnil;
}
static void ecru_ruby_watch_signals(void) {
  if (rb_thread_current() != rb_thread_main()) return;
  if (!NIL_P(signal_watcher) && RTEST(rb_funcall(signal_watcher, rb_intern("alive?"), 0))) return; // not so in a forked child
  signal_watcher = rb_thread_create(watch_signals, NULL);
  rb_funcall(signal_watcher, rb_intern("name="), 1, rb_str_new_cstr("ecru: signals"));
}

/// returns: whether Ruby has ended it and nothing has happened.
static bool ecru_ruby_wait_once(void (*run)(void *), void *call, int *status) {
  ecru_ruby_watch_signals();
  rb_thread_check_ints(); // also for those that handle_interrupt has kept until it waits
  waiting w = {.run = run, .call = call, .status = status};
  *status = ecru_token_create(&w.token, NULL, ECRU_FOREVER);
  if (*status < 0) return false;
  rb_nogvl(ecru_ruby_wait_unlocked, &w, ecru_ruby_unblock, &w, RB_NOGVL_INTR_FAIL);
  ecru_token_release(w.token);
  if (!w.ran) return true;
  return *status == ECRU_ECANCELED && atomic_load_explicit(&w.interrupted, memory_order_relaxed) && ecru_check() == 0;
}
static void ecru_ruby_wait(void (*run)(void *), void *call, int *status) {
  while (ecru_ruby_wait_once(run, call, status)) rb_thread_check_ints();
}

/// SIGSEGV is Ruby's, which makes a SystemStackError of one, and threads are as many as the system bears.
static void ecru_ruby_options(void) {
  ecru_options options = ECRU_OPTIONS;
  options.flags = ECRU_NO_SIGNAL_HANDLERS;
  options.threads_max = 1000000;
  (void)ecru_set_default_options(&options);
}

/// A handler of a signal may still wake somebody, so this is no end of the program.
static void ecru_ruby_deadlock(void *unused) {
  (void)unused;
  (void)ecru_dump(2, 0);
  fputs("ecru: all threads wait, and only a signal can wake one\n", stderr);
}

// ---- the functions that wait, in place of those of objects.h and threads.h ---------------------------------------------------

#define WAITS1(function, A)                                                      \
  typedef struct function##_call { A a; int *status; } function##_call;          \
  static void function##_run(void *p) {                                          \
    function##_call *c = p;                                                      \
    function(c->a, c->status);                                                   \
  }                                                                              \
  static void function##_waiting(A a, int *status) {                             \
    function##_call c = {a, status};                                             \
    ecru_ruby_wait(function##_run, &c, status);                                  \
  }
#define WAITS2(function, A, B)                                                   \
  typedef struct function##_call { A a; B b; int *status; } function##_call;     \
  static void function##_run(void *p) {                                          \
    function##_call *c = p;                                                      \
    function(c->a, c->b, c->status);                                             \
  }                                                                              \
  static void function##_waiting(A a, B b, int *status) {                        \
    function##_call c = {a, b, status};                                          \
    ecru_ruby_wait(function##_run, &c, status);                                  \
  }
#define GIVES1(function, R, A)                                                   \
  typedef struct function##_call { A a; R result; int *status; } function##_call; \
  static void function##_run(void *p) {                                          \
    function##_call *c = p;                                                      \
    c->result = function(c->a, c->status);                                       \
  }                                                                              \
  static R function##_waiting(A a, int *status) {                                \
    function##_call c = {.a = a, .status = status};                              \
    ecru_ruby_wait(function##_run, &c, status);                                  \
    return c.result;                                                             \
  }
#define GIVES2(function, R, A, B)                                                \
  typedef struct function##_call { A a; B b; R result; int *status; } function##_call; \
  static void function##_run(void *p) {                                          \
    function##_call *c = p;                                                      \
    c->result = function(c->a, c->b, c->status);                                 \
  }                                                                              \
  static R function##_waiting(A a, B b, int *status) {                           \
    function##_call c = {.a = a, .b = b, .status = status};                      \
    ecru_ruby_wait(function##_run, &c, status);                                  \
    return c.result;                                                             \
  }

WAITS1(Token_wait, Token *)
WAITS1(Mutex_lock, Mutex *)
WAITS1(RWMutex_lock, RWMutex *)
WAITS1(RWMutex_read_lock, RWMutex *)
WAITS1(WaitGroup_wait, WaitGroup *)
WAITS2(Semaphore_acquire, Semaphore *, int64_t)
WAITS2(Limiter_wait, Limiter *, int64_t)
GIVES1(Barrier_wait, bool, Barrier *)
GIVES1(Timer_wait, int64_t, Timer *)
GIVES1(Io_accept, Io *, Io *)
GIVES1(Io_read_line, bytes, Io *)
GIVES2(Io_read, bytes, Io *, size_t)
GIVES2(Io_dial, Io *, const char *, const char *)
GIVES2(Io_listen, Io *, const char *, const char *)
GIVES1(Chan_recv, int64_t, Chan *)
GIVES2(Chan_next, bool, Chan *, int64_t *)
GIVES1(Chan_recv_bytes, bytes, Chan *)
GIVES1(Chan_next_bytes, bytes, Chan *)
WAITS2(Chan_send, Chan *, int64_t)
GIVES1(Task_join, int, Task *)

/// Until an instant: one that begins anew after an interruption does not begin at its full length.
typedef struct sleeping {
  int64_t instant_ns;
  int *status;
} sleeping;
static void sleep_run(void *argument) {
  sleeping *s = argument;
  *s->status = ecru_sleep_until(s->instant_ns);
}
static void sleep_for_waiting(int64_t duration_ns, int *status) {
  sleeping s = {instant_after(duration_ns), status};
  ecru_ruby_wait(sleep_run, &s, status);
}

/// Not waited for anew after an interruption: the signal may have come while the mutex was locked again. So Ruby's own do.
WAITS2(Cond_wait, Cond *, Mutex *)
static void Cond_wait_or_wake(Cond *self, Mutex *mutex, int *status) {
  Cond_wait_call c = {self, mutex, status};
  if (!ecru_ruby_wait_once(Cond_wait_run, &c, status)) return;
  *status = 0;
  rb_thread_check_ints();
}

typedef struct sending_bytes {
  Chan *chan;
  const char *data;
  size_t length;
  int *status;
} sending_bytes;
static void send_bytes_run(void *argument) {
  sending_bytes *s = argument;
  Chan_send_bytes(s->chan, s->data, s->length, s->status);
}
static void Chan_send_bytes_waiting(Chan *self, const char *data, size_t length, int *status) {
  sending_bytes s = {self, data, length, status};
  ecru_ruby_wait(send_bytes_run, &s, status);
}

/// What has been written is not written again after an interruption.
typedef struct writing {
  Io *io;
  const char *data;
  size_t length;
  int *status;
} writing;
static void write_run(void *argument) {
  writing *w = argument;
  Io *self = w->io;
  int *status = w->status;
  METHOD(stream, {
    size_t written = 0;
    int64_t all = ecru_io_write(object->io, w->data, w->length, &written);
    *status = all < 0 ? (int)all : 0;
    w->data += written;
    w->length -= written;
  })
}
static void Io_write_waiting(Io *self, const char *data, size_t length, int *status) {
  writing w = {self, data, length, status};
  ecru_ruby_wait(write_run, &w, status);
}

typedef struct selecting {
  Select *select;
  int64_t timeout_ns;
  bool poll, priority;
  int picked;
  int *status;
} selecting;
static void select_run(void *argument) {
  selecting *s = argument;
  s->picked = Select_wait(s->select, s->timeout_ns, s->poll, s->priority, s->status);
}
/// Its cases are gone after an interruption: ECRU_EINTR, and the caller, who knows them, has Ruby look.
static int Select_wait_waiting(Select *self, int64_t timeout_ns, bool poll, bool priority, int *status) {
  selecting s = {self, timeout_ns, poll, priority, -1, status};
  if (ecru_ruby_wait_once(select_run, &s, status)) *status = ECRU_EINTR;
  return s.picked;
}

#define sleep_for sleep_for_waiting
#define Token_wait Token_wait_waiting
#define Mutex_lock Mutex_lock_waiting
#define RWMutex_lock RWMutex_lock_waiting
#define RWMutex_read_lock RWMutex_read_lock_waiting
#define WaitGroup_wait WaitGroup_wait_waiting
#define Semaphore_acquire Semaphore_acquire_waiting
#define Limiter_wait Limiter_wait_waiting
#define Barrier_wait Barrier_wait_waiting
#define Timer_wait Timer_wait_waiting
#define Io_accept Io_accept_waiting
#define Io_read_line Io_read_line_waiting
#define Io_read Io_read_waiting
#define Io_dial Io_dial_waiting
#define Io_listen Io_listen_waiting
#define Io_write Io_write_waiting
#define Chan_recv Chan_recv_waiting
#define Chan_next Chan_next_waiting
#define Chan_recv_bytes Chan_recv_bytes_waiting
#define Chan_next_bytes Chan_next_bytes_waiting
#define Chan_send Chan_send_waiting
#define Chan_send_bytes Chan_send_bytes_waiting
#define Task_join Task_join_waiting
#define Cond_wait Cond_wait_or_wake
#define Select_wait Select_wait_waiting
#endif
