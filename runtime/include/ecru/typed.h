/// ecru/typed.h: typed macros over the C interface: goroutines with arguments, typed channels, select, scopes.
///
/// Everything here expands to calls of the other headers: no state, no allocation, nothing exported. C99 and later; in C++
/// the header is empty, there is ecru.hpp. Arguments are evaluated once, in the caller. What needs `typeof` (GNU C and C23: ECRU_SEND
/// alone) is missing on other compilers; the typed functions of ECRU_CHAN_DEFINE do the same everywhere.
///
/// Goroutines with arguments captured by value. C has no closures, so a function says its parameter types once:
///
///     static void fetch(const char *url, int tries, ecru_chan *results);
///     ECRU_GO_DECLARE(fetch, const char *, int, ecru_chan *)
///     ...
///     int status = ECRU_GO(fetch, "https://example.org", 3, results);
///
/// Typed channels:
///
///     ECRU_CHAN_DEFINE(int_chan, int)         // the type int_chan and int_chan_create, _send, _recv, ...
///     int_chan numbers;
///     int_chan_create(&numbers, 8);
///     int_chan_send(numbers, 42);             // or ECRU_SEND(numbers, 42)
///
/// Select:
///
///     switch (ECRU_SELECT(ECRU_ON_RECV(numbers, &number), ECRU_ON_TOKEN(token))) {
///     case 0: ...
///
/// Scopes, left however the block is left (see ECRU_DEADLINE_SCOPE):
///
///     int status;
///     ECRU_DEADLINE_SCOPE(status, ecru_after(5 * ECRU_SECOND)) status = talk_to_server();
#ifndef ECRU_TYPED_H
#define ECRU_TYPED_H
#ifndef __cplusplus
#include <ecru/chan.h>
#include <ecru/runtime.h>
#include <ecru/select.h>
#include <ecru/task.h>
#include <ecru/time.h>
#include <ecru/token.h>

#if defined(__GNUC__)
#define ECRU__UNUSED __attribute__((unused))
#else
#define ECRU__UNUSED
#endif

// ---- goroutines with arguments ------------------------------------------------------------------------------------

/// ECRU_GO_DECLARE(fn, types...): at file scope, after fn's declaration: makes fn known to ECRU_GO with its 0 to 8 parameter
/// types, each one that a name can follow (use a typedef for arrays and function pointers), at most 1024 bytes together.
#define ECRU_GO_DECLARE(...) ECRU__JOIN(ECRU__GO_DECLARE_, ECRU__ARGC(__VA_ARGS__))(__VA_ARGS__)
/// ECRU_GO(fn, arguments...): starts fn(arguments...) in a goroutine; the arguments are converted to the declared types
/// and copied now; what fn returns is discarded. A wrong number of arguments does not compile.
/// effects, returns: as ecru_go. since: 0.1
#define ECRU_GO(...) ECRU__JOIN(ECRU__GO_, ECRU__ARGC(__VA_ARGS__))(NULL, __VA_ARGS__)
/// ECRU_GO_WITH(options, fn, arguments...): the same with an ecru_go_options *. since: 0.1
#define ECRU_GO_WITH(options, ...) ECRU__JOIN(ECRU__GO_, ECRU__ARGC(__VA_ARGS__))(options, __VA_ARGS__)

// ---- typed channels -----------------------------------------------------------------------------------------------

/// The type of a channel handle of `type`, for a typedef or a local: a counted ecru_chan * in .chan that knows its element type.
#define ECRU_CHAN(type)                                         \
  union {                                                       \
    ecru_chan *chan;                                            \
    type *ecru__element; /* never stored: only its type is used */ \
  }

/// At file scope: defines the handle type `name` and its functions, each as the ecru_chan_* of the same ending.
#define ECRU_CHAN_DEFINE(name, type)                                                                                 \
  typedef ECRU_CHAN(type) name;                                                                                      \
  ECRU__UNUSED static inline int name##_create_with(name *made, size_t capacity, const ecru_chan_options *options) { \
    return ecru_chan_create_with(&made->chan, sizeof(type), capacity, options);                                      \
  }                                                                                                                  \
  ECRU__UNUSED static inline int name##_create(name *made, size_t capacity) {                                        \
    return ecru_chan_create(&made->chan, sizeof(type), capacity);                                                    \
  }                                                                                                                  \
  ECRU__UNUSED static inline int name##_send(name to, type element) { return ecru_chan_send(to.chan, &element); }    \
  ECRU__UNUSED static inline int name##_recv(name from, type *element) { return ecru_chan_recv(from.chan, element); } \
  ECRU__UNUSED static inline int name##_try_send(name to, type element) {                                            \
    return ecru_chan_try_send(to.chan, &element);                                                                    \
  }                                                                                                                  \
  ECRU__UNUSED static inline int name##_try_recv(name from, type *element) {                                         \
    return ecru_chan_try_recv(from.chan, element);                                                                   \
  }                                                                                                                  \
  ECRU__UNUSED static inline int name##_close(name which) { return ecru_chan_close(which.chan); }                    \
  ECRU__UNUSED static inline int name##_close_with(name which, int status) {                                         \
    return ecru_chan_close_with(which.chan, status);                                                                 \
  }                                                                                                                  \
  ECRU__UNUSED static inline size_t name##_len(name which) { return ecru_chan_len(which.chan); }                     \
  ECRU__UNUSED static inline name name##_retain(name which) { return (ecru_chan_retain(which.chan), which); }        \
  ECRU__UNUSED static inline void name##_release(name which) { ecru_chan_release(which.chan); }

/// Creates the channel behind a handle: ECRU_CHAN_CREATE(&numbers, 8). returns: as ecru_chan_create. since: 0.1
#define ECRU_CHAN_CREATE(made, capacity) ecru_chan_create(&(made)->chan, sizeof *(made)->ecru__element, (capacity))
/// Sends *pointer, which must point to the element type. returns: as ecru_chan_send. since: 0.1
#define ECRU_SEND_FROM(to, pointer) ecru_chan_send((to).chan, ECRU__ELEMENT(to, pointer))
/// Receives into *pointer, which must point to the element type. returns: as ecru_chan_recv. since: 0.1
#define ECRU_RECV(from, pointer) ecru_chan_recv((from).chan, ECRU__ELEMENT(from, pointer))
#define ECRU_TRY_RECV(from, pointer) ecru_chan_try_recv((from).chan, ECRU__ELEMENT(from, pointer))
#ifdef ECRU__TYPEOF
#undef ECRU__TYPEOF
#endif
#if defined(__GNUC__)
#define ECRU__TYPEOF(expression) __typeof__(expression)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
#define ECRU__TYPEOF(expression) typeof(expression)
#endif
#ifdef ECRU__TYPEOF
/// Sends a value, converted to the element type: ECRU_SEND(numbers, 42). returns: as ecru_chan_send. since: 0.1
#define ECRU_SEND(to, ...) ecru_chan_send((to).chan, (ECRU__TYPEOF(*(to).ecru__element)[1]){__VA_ARGS__})
#define ECRU_TRY_SEND(to, ...) ecru_chan_try_send((to).chan, (ECRU__TYPEOF(*(to).ecru__element)[1]){__VA_ARGS__})
#endif

// ---- select -------------------------------------------------------------------------------------------------------

/// Cases of ECRU_SELECT, also elements of an ecru_case array: typed channels and pointers to their elements, an ecru_token *, an
/// ecru_task *, an ecru_timer * and an int64_t * for the instant.
#define ECRU_ON_SEND(to, pointer) {ECRU_CASE_SEND, 0, (to).chan, (void *)ECRU__ELEMENT(to, pointer)}
#define ECRU_ON_RECV(from, pointer) {ECRU_CASE_RECV, 0, (from).chan, ECRU__ELEMENT(from, pointer)}
#define ECRU_ON_TOKEN(token) {ECRU_CASE_TOKEN, 0, ECRU__SAME(token, (ecru_token *)0), NULL}
#define ECRU_ON_TASK(task) {ECRU_CASE_TASK, 0, ECRU__SAME(task, (ecru_task *)0), NULL}
#define ECRU_ON_TIMER(timer, instant) {ECRU_CASE_TIMER, 0, ECRU__SAME(timer, (ecru_timer *)0), ECRU__SAME(instant, (int64_t *)0)}
/// ECRU_SELECT(cases...): the index of the case that happened. To see a case's status use an array and ecru_select.
/// returns: as ecru_select. since: 0.1
#define ECRU_SELECT(...) ecru_select(ECRU__CASES(__VA_ARGS__), 0)
/// The same that never parks: ECRU_EAGAIN if no case is ready. since: 0.1
#define ECRU_TRY_SELECT(...) ecru_select(ECRU__CASES(__VA_ARGS__), ECRU_SELECT_POLL)
/// ECRU_SELECT_UNTIL(deadline_ns, cases...). returns: as ecru_select_until. since: 0.1
#define ECRU_SELECT_UNTIL(deadline_ns, ...) ecru_select_until(ECRU__CASES(__VA_ARGS__), 0, (deadline_ns))

// ---- scopes -------------------------------------------------------------------------------------------------------

/// ECRU_DEADLINE_SCOPE(status, deadline_ns) statement: runs the statement once under a token with that deadline
/// (ecru_deadline_enter). `status`, an int lvalue, gets the result of entering; if that is not 0 (ECRU_ENOMEM) the statement is
/// skipped. `break` and `continue` leave the scope. With GNU C also `return` and `goto` out of it do; with others these two must
/// not be used inside. since: 0.1
#define ECRU_DEADLINE_SCOPE(status, deadline_ns) ECRU__SCOPE(status, ecru_deadline_enter(deadline_ns))
/// The same with ecru_shield_enter: no cancel from outside reaches the statement, only the deadline. since: 0.1
#define ECRU_SHIELD_SCOPE(status, deadline_ns) ECRU__SCOPE(status, ecru_shield_enter(deadline_ns))
/// The same with ecru_token_enter. since: 0.1
#define ECRU_TOKEN_SCOPE(status, token) ECRU__SCOPE(status, ecru_token_enter(token))

// ---- what the above is made of ------------------------------------------------------------------------------------

#define ECRU__JOIN(a, b) ECRU__JOIN_(a, b)
#define ECRU__JOIN_(a, b) a##b
/// How many arguments follow the first: 0 to 8.
#define ECRU__ARGC(...) ECRU__ARGC_(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0)
#define ECRU__ARGC_(fn, a1, a2, a3, a4, a5, a6, a7, a8, n, ...) n

/// pointer, checked (a mismatch is a diagnostic of the conditional operator; void * and another size do not compile).
#define ECRU__ELEMENT(chan, pointer)            \
  (sizeof(char[sizeof *(pointer) == sizeof *(chan).ecru__element ? 1 : -1]) ? (pointer) : (chan).ecru__element)
#define ECRU__SAME(pointer, example) (1 ? (pointer) : (example))
#define ECRU__CASES(...) (ecru_case[]){__VA_ARGS__}, sizeof((ecru_case[]){__VA_ARGS__}) / sizeof(ecru_case)

#if defined(__GNUC__)
ECRU__UNUSED static inline void ecru__scope_close(const int *is_open) {
  if (*is_open) ecru_token_leave();
}
#define ECRU__SCOPE(status, enter) ECRU__SCOPE_(status, enter, ECRU__JOIN(ecru__open_, __LINE__), ECRU__JOIN(ecru__once_, __LINE__))
#define ECRU__SCOPE_(status, enter, open, once)                                                                    \
  for (int open __attribute__((cleanup(ecru__scope_close))) = ((status) = (enter)) == 0, once = open; once; once = 0)
#else
#define ECRU__SCOPE(status, enter) ECRU__SCOPE_(status, enter, ECRU__JOIN(ecru__open_, __LINE__), ECRU__JOIN(ecru__once_, __LINE__))
#define ECRU__SCOPE_(status, enter, open, once)                                              \
  for (int open = ((status) = (enter)) == 0; open; open = (ecru_token_leave(), 0)) /* break comes here too */ \
    for (int once = 1; once; once = 0)
#endif

#define ECRU__GO_0(options, fn) ecru_go_copy(options, ecru__run_##fn, NULL, (size_t)(ECRU__GO_BYTES(fn, 0) * 0))
#define ECRU__GO_N(n, options, fn, ...) \
  ecru_go_copy(options, ecru__run_##fn, &(struct ecru__call_##fn){__VA_ARGS__}, ECRU__GO_BYTES(fn, n))
#define ECRU__GO_BYTES(fn, n) (sizeof(struct ecru__call_##fn) + 0 * sizeof(char[ecru__arity_##fn == n ? 1 : -1]))
#define ECRU__GO_1(options, fn, ...) ECRU__GO_N(1, options, fn, __VA_ARGS__)
#define ECRU__GO_2(options, fn, ...) ECRU__GO_N(2, options, fn, __VA_ARGS__)
#define ECRU__GO_3(options, fn, ...) ECRU__GO_N(3, options, fn, __VA_ARGS__)
#define ECRU__GO_4(options, fn, ...) ECRU__GO_N(4, options, fn, __VA_ARGS__)
#define ECRU__GO_5(options, fn, ...) ECRU__GO_N(5, options, fn, __VA_ARGS__)
#define ECRU__GO_6(options, fn, ...) ECRU__GO_N(6, options, fn, __VA_ARGS__)
#define ECRU__GO_7(options, fn, ...) ECRU__GO_N(7, options, fn, __VA_ARGS__)
#define ECRU__GO_8(options, fn, ...) ECRU__GO_N(8, options, fn, __VA_ARGS__)

/// struct ecru__call_fn holds the arguments, ecru__run_fn calls fn with them, ecru__arity_fn is their number.
#define ECRU__GO_DEFINE(fn, n, members, call)                                                            \
  struct ecru__call_##fn {                                                                               \
    members                                                                                              \
  };                                                                                                     \
  enum { ecru__arity_##fn = n, ecru__fits_##fn = 1 / (int)(sizeof(struct ecru__call_##fn) <= 1024) };    \
  ECRU__UNUSED static void ecru__run_##fn(void *data) {                                                  \
    struct ecru__call_##fn *ecru__a = (struct ecru__call_##fn *)data;                                    \
    (void)ecru__a;                                                                                       \
    (void)call;                                                                                          \
  }
#define ECRU__GO_DECLARE_0(fn) ECRU__GO_DEFINE(fn, 0, char none;, fn())
#define ECRU__GO_DECLARE_1(fn, t1) ECRU__GO_DEFINE(fn, 1, t1 a1;, fn(ecru__a->a1))
#define ECRU__GO_DECLARE_2(fn, t1, t2) ECRU__GO_DEFINE(fn, 2, t1 a1; t2 a2;, fn(ecru__a->a1, ecru__a->a2))
#define ECRU__GO_DECLARE_3(fn, t1, t2, t3) ECRU__GO_DEFINE(fn, 3, t1 a1; t2 a2; t3 a3;, fn(ecru__a->a1, ecru__a->a2, ecru__a->a3))
#define ECRU__GO_DECLARE_4(fn, t1, t2, t3, t4) \
  ECRU__GO_DEFINE(fn, 4, t1 a1; t2 a2; t3 a3; t4 a4;, fn(ecru__a->a1, ecru__a->a2, ecru__a->a3, ecru__a->a4))
#define ECRU__GO_DECLARE_5(fn, t1, t2, t3, t4, t5) \
  ECRU__GO_DEFINE(fn, 5, t1 a1; t2 a2; t3 a3; t4 a4; t5 a5;, fn(ecru__a->a1, ecru__a->a2, ecru__a->a3, ecru__a->a4, ecru__a->a5))
#define ECRU__GO_DECLARE_6(fn, t1, t2, t3, t4, t5, t6)               \
  ECRU__GO_DEFINE(fn, 6, t1 a1; t2 a2; t3 a3; t4 a4; t5 a5; t6 a6;, \
                  fn(ecru__a->a1, ecru__a->a2, ecru__a->a3, ecru__a->a4, ecru__a->a5, ecru__a->a6))
#define ECRU__GO_DECLARE_7(fn, t1, t2, t3, t4, t5, t6, t7)                   \
  ECRU__GO_DEFINE(fn, 7, t1 a1; t2 a2; t3 a3; t4 a4; t5 a5; t6 a6; t7 a7;, \
                  fn(ecru__a->a1, ecru__a->a2, ecru__a->a3, ecru__a->a4, ecru__a->a5, ecru__a->a6, ecru__a->a7))
#define ECRU__GO_DECLARE_8(fn, t1, t2, t3, t4, t5, t6, t7, t8)                       \
  ECRU__GO_DEFINE(fn, 8, t1 a1; t2 a2; t3 a3; t4 a4; t5 a5; t6 a6; t7 a7; t8 a8;, \
                  fn(ecru__a->a1, ecru__a->a2, ecru__a->a3, ecru__a->a4, ecru__a->a5, ecru__a->a6, ecru__a->a7, ecru__a->a8))
#endif
#endif
