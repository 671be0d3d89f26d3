/// lua/task.c: goroutines that run Lua functions.
///
///   1 A goroutine runs on a *runner*: a thread of Lua's, in the registry's table of threads. At its bottom are the message handler and the task (`go`: nil).
///     One that has ended well leaves its runner to the next: making and collecting a thread costs as much as a plain coroutine does in all. But
///     not if somebody may still hold the thread, as a key of a weak table for instance: who asks coroutine.running, which is ours, has it for good
///     (`known`). A hook is a thread's own, too: with one there is no reuse.
///   2 What it returned, or the error, is the task's own value from its end on: a table {n values}, or {error, witness}.
///   3 A failure that nobody has asked for is reported once: of `go` at its end, of `spawn` when the task is collected, and with it its *witness*, which alone
///     has a finalizer: the collector keeps what has one for a round more, and calls Lua for it.
///   4 The runtime's task is released when the goroutine has ended and nobody is inside (waits for it) any more; the state's end releases those of
///     goroutines that were not let end.
#include "native.h"

#include <stdio.h>
#include <stdlib.h>

#define TASK "ecru.Task"
#define WITNESS "ecru.Witness"
#define UNOBSERVED "ecru.unobserved"

const char ecru_lua_task_tag;
static const char witness_tag;

typedef struct runner {
  universe *home;
  lua_State *thread;
  ecru_task *handle;           // of the task of `spawn`; NULL: of `go`, or idle
  int slot;                    // of the thread, in the table of threads
  struct runner *idle;         // the next idle one
  struct runner *next, **link; // all of the universe
} runner;
enum { TRACE_SLOT = 1, TASK_SLOT, FUNCTION_SLOT, IDLE_MAX = 100 };

typedef struct witness {
  tagged head;
  bool asked; // for the error, which is its own value
} witness;

typedef struct task {
  tagged head;
  runner *runner;    // NULL: it has ended
  ecru_task *handle; // NULL: released
  witness *witness;  // of a failure; NULL: none
  uint64_t id;
  int inside;        // that wait for it
  int count;         // of results
  bool failed;
} task;

static task *check_task(lua_State *L, int index) {
  task *t = ecru_lua_test(L, index, &ecru_lua_task_tag, sizeof *t);
  if (!t) ecru_lua_bad_argument(L, index, TASK);
  return t;
}

static void release(task *t) {
  ecru_task_release(t->handle);
  t->handle = NULL;
}

ecru_task *ecru_lua_task_enter(void *task_) {
  task *t = task_;
  if (t->handle) t->inside++;
  return t->handle;
}

void ecru_lua_task_leave(void *task_) {
  task *t = task_;
  if (--t->inside == 0 && !t->runner) release(t);
}

// ---- the end -----------------------------------------------------------------------------------------------------------

/// Calls the hook with the error on top of the stack. Protected by whoever calls it.
static int report(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, UNOBSERVED);
  lua_insert(L, -2);
  if (lua_isfunction(L, -2)) {
    lua_call(L, 1, 0);
    return 0;
  }
  lua_getglobal(L, "tostring");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  fprintf(stderr, "ecru: a goroutine failed, and nobody asked for its error: %s\n", lua_tostring(L, -1));
  return 0;
}

static int witness_gc(lua_State *L) {
  witness *w = ecru_lua_test(L, 1, &witness_tag, sizeof *w);
  if (!w || w->asked) return 0;
  w->asked = true;
  ecru_lua_get_own(L, 1);
  lua_rawgeti(L, -1, 1);
  return report(L);
}

/// It was asked to give up, and the error on top of the stack says that it did.
static bool gave_up(lua_State *L) {
  lua_getfield(L, -1, "code");
  bool canceled = lua_tointeger(L, -1) == ECRU_ECANCELED;
  lua_pop(L, 1);
  return canceled && ecru_check() != 0;
}

/// Argument: the error.
static int lament(lua_State *L) { return gave_up(L) ? 0 : report(L); }

/// Puts a witness with the error on top of the stack into the table below it.
static void set_witness(lua_State *L, task *t) {
  witness *w = ecru_lua_new(L, t->head.home, &witness_tag, sizeof *w, WITNESS);
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, 1);
  ecru_lua_set_own(L, -2);
  lua_rawseti(L, -3, 2);
  t->witness = w;
}

/// Arguments: the task, results or the error. They become its own value.
static int keep(lua_State *L) {
  task *t = lua_touserdata(L, 1);
  int count = lua_gettop(L) - 1;
  lua_createtable(L, count, 0);
  lua_insert(L, 2);
  if (t->failed && !gave_up(L)) set_witness(L, t);
  for (int i = count; i >= 1; i--) lua_rawseti(L, 2, i);
  ecru_lua_set_own(L, 1);
  t->count = count;
  return 0;
}

static bool is_known(lua_State *L, const universe *u) {
  if (!u->given_out) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, u->known);
  (void)lua_pushthread(L);
  lua_rawget(L, -2);
  bool known = lua_toboolean(L, -1);
  lua_pop(L, 2);
  return known;
}

static void unlink_runner(runner *r) {
  *r->link = r->next;
  if (r->next) r->next->link = r->link;
  free(r);
}

/// L: a thread of the state that runs now; it may be the runner's.
static void drop_runner(lua_State *L, runner *r) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->home->threads);
  luaL_unref(L, -1, r->slot); // from here on the collector may take it
  lua_pop(L, 1);
  unlink_runner(r);
}

static void put_back(runner *r) {
  universe *u = r->home;
  r->handle = NULL;
  r->idle = u->idle;
  u->idle = r;
  u->idle_count++;
}

static void finish(runner *r, int status) {
  lua_State *L = r->thread;
  task *t = lua_touserdata(L, TASK_SLOT);
  if (t) t->failed = status != 0;
  if (status != 0 || (t && lua_gettop(L) > TASK_SLOT)) {
    lua_pushcfunction(L, t ? keep : lament);
    lua_insert(L, t ? TASK_SLOT : -2);
    int kept = lua_pcall(L, t ? lua_gettop(L) - TASK_SLOT : 1, 0, 0);
    if (t && kept != 0) t->failed = true; // no memory for the results
  }
  if (t) t->runner = NULL;
  if (t && t->inside == 0) release(t);
  lua_settop(L, TRACE_SLOT);
  if (status == 0 && r->home->idle_count < IDLE_MAX && !lua_gethook(L) && !is_known(L, r->home)) put_back(r);
  else drop_runner(L, r);
}

static int run(void *argument, void **unused) {
  (void)unused;
  runner *r = argument;
  lua_State *L = r->thread;
  universe *u = r->home;
  ecru_lua_runs(L, u);
  finish(r, lua_pcall(L, lua_gettop(L) - FUNCTION_SLOT, LUA_MULTRET, TRACE_SLOT));
  ecru_lua_ended(u);
  return 0;
}
static void run_alone(void *argument) { (void)run(argument, NULL); }

void ecru_lua_free_runners(universe *u) {
  while (u->runners) {
    ecru_task_release(u->runners->handle);
    unlink_runner(u->runners);
  }
}

// ---- the start ---------------------------------------------------------------------------------------------------------

bool ecru_lua_is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  bool callable = luaL_getmetafield(L, index, "__call");
  if (callable) lua_pop(L, 1);
  return callable;
}

static runner *new_runner(lua_State *L, universe *u) {
  luaL_checkstack(L, 4, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, u->threads);
  lua_State *thread = lua_newthread(L);
  lua_pushcfunction(thread, ecru_lua_trace);
  int slot = luaL_ref(L, -2);
  runner *r = calloc(1, sizeof *r);
  if (!r) luaL_unref(L, -1, slot);
  lua_pop(L, 1);
  if (!r) ecru_lua_raise(L, ECRU_ENOMEM);
  *r = (runner){.home = u, .thread = thread, .slot = slot, .next = u->runners, .link = &u->runners};
  if (r->next) r->next->link = &r->next;
  return u->runners = r;
}

#if LUA_VERSION_NUM < 502
/// A thread has its globals from who makes it.
static void give_globals(lua_State *L, lua_State *thread) {
  if (lua_topointer(L, LUA_GLOBALSINDEX) == lua_topointer(thread, LUA_GLOBALSINDEX)) return;
  lua_pushvalue(L, LUA_GLOBALSINDEX);
  lua_xmove(L, thread, 1);
  lua_replace(thread, LUA_GLOBALSINDEX);
}
#else
static void give_globals(lua_State *L, lua_State *thread) { (void)L, (void)thread; }
#endif

static runner *take_runner(lua_State *L, universe *u) {
  runner *r = u->idle;
  if (!r || lua_gethook(L)) return new_runner(L, u);
  u->idle = r->idle;
  u->idle_count--;
  give_globals(L, r->thread);
  return r;
}

_Noreturn static void not_started(lua_State *L, runner *r, int status) {
  lua_settop(r->thread, TRACE_SLOT);
  put_back(r);
  ecru_lua_raise(L, status);
}

/// Options in a table before the function: {name = ...}
static int take_options(lua_State *L, ecru_go_options *options) {
  int first = 1;
  if (lua_istable(L, 1) && !ecru_lua_is_callable(L, 1)) {
    first = 2;
    lua_getfield(L, 1, "name");
    if (!lua_isnoneornil(L, -1) && lua_type(L, -1) != LUA_TSTRING) ecru_lua_bad_argument(L, 1, "table whose name is a string");
    options->name = lua_tostring(L, -1);
    lua_replace(L, 1); // where it lives until the start: __index may have made it
  }
  if (!ecru_lua_is_callable(L, first)) ecru_lua_bad_argument(L, first, "function");
  return first;
}

/// What is on the stack from the function on goes to a runner's, above the task, which is on top: the runner's, and left.
static runner *prepare(lua_State *L, universe *u, int first) {
  runner *r = take_runner(L, u);
  int count = lua_gettop(L) - first; // function and arguments
  if (count > LUA_MINSTACK - FUNCTION_SLOT && !lua_checkstack(r->thread, count + FUNCTION_SLOT)) not_started(L, r, ECRU_ENOMEM);
  lua_pushvalue(L, -1);
  lua_xmove(L, r->thread, 1);
  lua_insert(L, first);
  lua_xmove(L, r->thread, count);
  return r;
}

static task *push_task(lua_State *L, universe *u) {
  task *t = lua_newuserdata(L, sizeof *t);
  *t = (task){.head = {&ecru_lua_task_tag, u}};
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return t;
}

static int spawn(lua_State *L) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  ecru_lua_host(L, u);
  ecru_go_options options = ecru_lua_go_options();
  int first = take_options(L, &options);
  task *t = push_task(L, u);
  runner *r = t->runner = prepare(L, u, first);
  int status = ecru_spawn_with(&t->handle, &options, run, r);
  if (status != 0) not_started(L, r, status);
  u->count++;
  r->handle = t->handle;
  t->id = ecru_task_id(t->handle);
  return 1;
}

static int go(lua_State *L) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  ecru_lua_host(L, u);
  ecru_go_options options = ecru_lua_go_options();
  int first = take_options(L, &options);
  lua_pushnil(L);
  runner *r = prepare(L, u, first);
  int status = ecru_go_with(&options, run_alone, r);
  if (status != 0) not_started(L, r, status);
  u->count++;
  return 0;
}

/// coroutine.running, the original of which is the second upvalue: the thread is its goroutine's alone from here on.
static int running(lua_State *L) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  lua_rawgeti(L, LUA_REGISTRYINDEX, u->known);
  (void)lua_pushthread(L);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  u->given_out = true;
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_call(L, 0, LUA_MULTRET);
  return lua_gettop(L);
}

// ---- tasks -------------------------------------------------------------------------------------------------------------

/// What waits for a task is inside it.
static int join(lua_State *L, task *t) {
  universe *u = t->head.home;
  int status;
  do {
    ecru_lua_before(L, u);
    status = ecru_task_join(ecru_lua_task_enter(t), NULL, NULL);
    ecru_lua_woken(L, u);
    ecru_lua_task_leave(t);
    ecru_lua_goes_on(L, u);
  } while (ecru_lua_again(L, &status) && t->runner);
  return status == ECRU_EINTR ? 0 : status; // then it has ended
}

static void set_asked(task *t) {
  if (t->witness) t->witness->asked = true;
}

static int task_join(lua_State *L) {
  task *t = check_task(L, 1);
  int status = t->runner ? join(L, t) : ecru_check();
  if (status != 0) ecru_lua_raise(L, status);
  if (!t->failed && t->count == 0) return 0;
  ecru_lua_settle(L, t->head.home);
  set_asked(t);
  lua_settop(L, 1);
  if (t->count == 0) ecru_lua_raise(L, ECRU_ENOMEM); // not even its error could be kept
  luaL_checkstack(L, t->count + 1, NULL);
  ecru_lua_get_own(L, 1);
  for (int i = 1; i <= t->count; i++) lua_rawgeti(L, 2, i);
  return t->failed ? lua_error(L) : t->count;
}

static int task_cancel(lua_State *L) {
  task *t = check_task(L, 1);
  int cause = ecru_lua_cause(L, 2);
  int status = t->handle ? ecru_task_cancel(t->handle, cause) : cause > 0 ? ECRU_EINVAL : 0;
  if (status != 0) ecru_lua_raise(L, status);
  return 0;
}

static int task_done(lua_State *L) {
  lua_pushboolean(L, check_task(L, 1)->runner == NULL);
  return 1;
}

/// The error if it failed, else nil; without raising it.
static int task_error(lua_State *L) {
  task *t = check_task(L, 1);
  if (t->runner || !t->failed) return 0;
  set_asked(t);
  if (t->count == 0) {
    ecru_lua_push_error(L, ECRU_ENOMEM, ecru_strerror(ECRU_ENOMEM));
    return 1;
  }
  ecru_lua_get_own(L, 1);
  lua_rawgeti(L, -1, 1);
  return 1;
}

static int task_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_task(L, 1)->id);
  return 1;
}

static int task_tostring(lua_State *L) {
  task *t = check_task(L, 1);
  lua_pushfstring(L, "ecru.Task: %d (%s)", (int)t->id, t->runner ? "running" : t->failed ? "failed" : "done");
  return 1;
}

static int is_task(lua_State *L) {
  lua_pushboolean(L, ecru_lua_test(L, 1, &ecru_lua_task_tag, sizeof(task)) != NULL);
  return 1;
}

static int on_unobserved(lua_State *L) {
  if (!lua_isnil(L, 1) && !lua_isfunction(L, 1)) ecru_lua_bad_argument(L, 1, "function");
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, UNOBSERVED);
  return 0;
}

/// A table in the registry.
static int new_table(lua_State *L, const char *mode) {
  lua_newtable(L);
  if (mode) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void replace_running(lua_State *L, universe *u) {
  lua_getglobal(L, "coroutine");
  if (lua_istable(L, -1)) {
    lua_pushlightuserdata(L, u);
    lua_getfield(L, -2, "running");
    lua_pushcclosure(L, running, 2);
    lua_setfield(L, -2, "running");
  }
  lua_pop(L, 1);
}

int ecru_lua_open_tasks(lua_State *L) {
  static const luaL_Reg methods[] = {{"join", task_join}, {"cancel", task_cancel}, {"done", task_done}, {"error", task_error},
                                     {"id", task_id}, {"__tostring", task_tostring}, {NULL, NULL}};
  static const luaL_Reg witness_methods[] = {{"__gc", witness_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"go", go}, {"spawn", spawn}, {"join", task_join}, {"is_task", is_task}, {"on_unobserved", on_unobserved}, {NULL, NULL}};
  universe *u = ecru_lua_universe(L);
  u->threads = new_table(L, NULL);
  u->known = new_table(L, "k");
  replace_running(L, u);
  ecru_lua_class(L, WITNESS, witness_methods);
  lua_pop(L, 1);
  lua_pushlightuserdata(L, u);
  ecru_lua_class(L, TASK, methods);
  luaL_setfuncs(L, functions, 2);
  return 0;
}
