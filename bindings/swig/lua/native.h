/// lua/native.h: Lua on goroutines' stacks. What the files of this folder know of each other.
///
///   1 A *universe* is one lua_State with all its threads. Its goroutines are hosted: they run on the thread that made the state, one at a time.
///   2 Each goroutine has a lua_State (lua_newthread) while it runs, with lua_pcall at the bottom of its C stack. It parks inside a C function, so
///     the collector, which may run on any other goroutine, finds it as it finds a coroutine that has resumed another.
///   3 No error passes a frame of ecru's: what ecru calls calls Lua protected.
///   4 Whatever waits does so in ECRU_LUA_WAIT, or as one of SWIG's functions, between ecru_lua_before and ecru_lua_after.
///   5 Userdata of ours begin with the address of their tag: no other's does.
#ifndef ECRU_LUA_NATIVE_H
#define ECRU_LUA_NATIVE_H
#include <ecru/ecru.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <limits.h>
#include <stdbool.h>

#if LUA_VERSION_NUM < 502
#include <luajit.h> // LUAJIT_VERSION
#define lua_rawlen lua_objlen
#endif

typedef struct universe { // outlives the state while there are goroutines
  bool entered;          // this thread became a host for it
  bool scoped;           // its token is the current one of the goroutine that opened it
  uint64_t home_id;      // that goroutine's: as a rule the host's first
  bool stale;            // objects were made that are newer than what ends it
  bool counted;          // among those that need the runtime
  bool closing, dead;    // the state is being closed; its goroutines are not to run Lua any more
  bool gone;             // its memory is, or will be before anybody waits again
  lua_State *ran;        // the thread that ran last
  bool unsettled;        // it has not been told to LuaJIT's VM
  ecru_token *token;     // above all of its goroutines'
  ecru_token *shields;   // above what they are shielded by: fires when they have had their time
  ecru_token *fired;     // a select's case that is ready: for tasks that have ended
  size_t count;          // of its goroutines
  ecru_waitgroup *alive; // 1 while its end waits for them
  bool awaited;          // it is 1
  struct runner *runners, *idle; // what its goroutines run on: all; those for the next
  int idle_count;
  bool given_out;        // somebody has asked for a thread of its goroutines
  int threads, known; // in the registry: the table of threads, those somebody may hold
} universe;

typedef struct tagged {
  const void *tag;
  universe *home;
} tagged;

// ---- universe.c ----
/// The universe of a state. L must be one of it.
universe *ecru_lua_universe(lua_State *L);
/// The calling thread can run the universe's goroutines from here on; raises an error if it cannot.
void ecru_lua_host(lua_State *L, universe *u);
/// Before the state is closed: cancels its goroutines and waits for them.
void ecru_lua_end(lua_State *L);
/// A goroutine of it has ended.
void ecru_lua_ended(universe *u);
/// None is left, and the state is closed: frees what they ran on.
void ecru_lua_free_runners(universe *u);
/// Options for a goroutine of it.
ecru_go_options ecru_lua_go_options(void);
/// Raises an error where nobody may wait: in a finalizer.
void ecru_lua_may_wait(lua_State *L, const universe *u);
/// The VM runs this thread: it has just been entered.
static inline void ecru_lua_runs(lua_State *L, universe *u) {
  u->ran = L;
  u->unsettled = false;
}
void ecru_lua_after_end(lua_State *L, universe *u);
void ecru_lua_vanish(universe *u);
void ecru_lua_freshen(lua_State *L, universe *u);
/// Around whatever may wait; the first as ecru_lua_may_wait.
static inline void ecru_lua_before(lua_State *L, universe *u) {
  ecru_lua_may_wait(L, u);
  ecru_lua_runs(L, u);
}
/// The first thing after a wait: what was entered for it is left next.
static inline void ecru_lua_woken(lua_State *L, universe *u) {
  if (u->gone) ecru_lua_vanish(u);
  u->unsettled |= u->ran != L;
  u->ran = L;
}
/// Then, with nothing entered: does not return to one whom the state's end ends.
static inline void ecru_lua_goes_on(lua_State *L, universe *u) {
  if (u->closing) ecru_lua_after_end(L, u);
  if (u->stale) ecru_lua_freshen(L, u);
}
/// Both, for what has entered nothing.
static inline void ecru_lua_after(lua_State *L, universe *u) {
  ecru_lua_woken(L, u);
  ecru_lua_goes_on(L, u);
}
void ecru_lua_tell_vm(lua_State *L, universe *u);
/// After ecru_lua_woken, before anything that may raise an error.
static inline void ecru_lua_settle(lua_State *L, universe *u) {
  if (u->unsettled) ecru_lua_tell_vm(L, u);
}
/// A wait was ended by a signal: lets a handler's hook run. returns: whether that raised an error, which is on the stack.
bool ecru_lua_interrupted(lua_State *L);

/// The status of a wait that was ended by an error of a hook, which is on the stack: for ecru_lua_raise.
#define ECRU_LUA_RAISED INT_MIN
/// Is the wait to be begun again? If the hook raised an error the status says so.
static inline bool ecru_lua_again(lua_State *L, int *status) {
  if (*status != ECRU_EINTR) return false;
  if (!ecru_lua_interrupted(L)) return true;
  *status = ECRU_LUA_RAISED;
  return false;
}
int ecru_lua_open_universe(lua_State *L);

#define ECRU_LUA_WAIT(L, u, status, call)  \
  do {                                     \
    ecru_lua_before(L, u);                 \
    (status) = (call);                     \
    ecru_lua_after(L, u);                  \
  } while (ecru_lua_again(L, &(status)))

// ---- errors.c ----
/// Raises an error object: {code, name, message}; with ECRU_LUA_RAISED what is on the stack.
_Noreturn void ecru_lua_raise(lua_State *L, int status);
_Noreturn void ecru_lua_raise_text(lua_State *L, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void ecru_lua_bad_argument(lua_State *L, int argument, const char *wanted);
/// lua_error, where a mere text becomes an error object: an invalid argument.
int ecru_lua_error(lua_State *L);
void ecru_lua_push_error(lua_State *L, int status, const char *text);
bool ecru_lua_is_error(lua_State *L, int index);
/// The table on top of the stack becomes an error object.
void ecru_lua_make_error(lua_State *L);
/// Message handler: makes an error object with a traceback of whatever was raised.
int ecru_lua_trace(lua_State *L);
void ecru_lua_open_errors(lua_State *L);

// ---- arguments (errors.c, task.c) ----
/// The userdata with that tag; NULL: it is none.
void *ecru_lua_test(lua_State *L, int index, const void *tag, size_t bytes);
/// Seconds as nanoseconds; nil: -1, no end.
int64_t ecru_lua_duration(lua_State *L, int argument);
bool ecru_lua_is_callable(lua_State *L, int index);
/// A whole number in that range.
int64_t ecru_lua_integer(lua_State *L, int argument, double least, double most);
/// A status to cancel or close with; none: 0.
int ecru_lua_cause(lua_State *L, int argument);
/// Userdata with a metatable registered under that name.
void *ecru_lua_new(lua_State *L, universe *u, const void *tag, size_t bytes, const char *metatable);
/// Makes a metatable with these methods and leaves it on the stack.
void ecru_lua_class(lua_State *L, const char *name, const luaL_Reg *methods);
/// A value that belongs to a userdata: found by the collector through it alone.
void ecru_lua_set_own(lua_State *L, int index); // takes it from the stack: a table
void ecru_lua_get_own(lua_State *L, int index);

// ---- what there is ----
extern const char ecru_lua_task_tag, ecru_lua_chan_tag;
/// Between them its handle, if not NULL, stays. NULL: it has ended.
ecru_task *ecru_lua_task_enter(void *task);
void ecru_lua_task_leave(void *task);
typedef struct channel channel;
int ecru_lua_open_tasks(lua_State *L);
int ecru_lua_open_chans(lua_State *L);
int ecru_lua_open_select(lua_State *L);
int ecru_lua_open_scopes(lua_State *L);
int ecru_lua_open_threads(lua_State *L);
__attribute__((visibility("default"))) int luaopen_ecru_core(lua_State *L);
#endif
