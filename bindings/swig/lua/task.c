/// lua/task.c: goroutines that run Lua functions.
///
///   1 While it runs, a goroutine's thread stands in the registry's table of threads, and its task at the bottom of the thread's stack.
///   2 What it returned, or the error, is the task's own value from its end on: a table {n values}, or {error}.
///   3 A failure that nobody has asked for is reported once: of `go` at its end, of `spawn` when the task is collected.
#include "native.h"

#include <stdio.h>

#define TASK "ecru.Task"
#define UNOBSERVED "ecru.unobserved"

const char ecru_lua_task_tag;

typedef struct task {
  tagged head;
  lua_State *thread; // NULL: it has ended
  ecru_task *handle; // NULL: of `go`
  uint64_t id;
  int count;         // of results
  bool failed, observed;
  bool dropped;      // the state is being closed, and it still runs
} task;
enum { TASK_SLOT = 1, TRACE_SLOT, FUNCTION_SLOT };

ecru_task *ecru_lua_task_handle(void *t) { return ((task *)t)->handle; }

static task *check_task(lua_State *L, int index) {
  task *t = ecru_lua_test(L, index, &ecru_lua_task_tag, sizeof *t);
  if (!t) ecru_lua_bad_argument(L, index, TASK);
  return t;
}

// ---- the end -----------------------------------------------------------------------------------------------------------

/// Calls the hook with the error of the task at the top of the stack. Protected by whoever calls it.
static int report(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, UNOBSERVED);
  ecru_lua_get_own(L, 1);
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  if (lua_isfunction(L, -2)) {
    lua_call(L, 1, 0);
    return 0;
  }
  lua_getglobal(L, "tostring");
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  fprintf(stderr, "ecru: a goroutine failed, and nobody asked for its error: %s\n", lua_tostring(L, -1));
  return 0;
}

static bool is_canceled(lua_State *L) {
  lua_getfield(L, -1, "code");
  bool canceled = lua_tointeger(L, -1) == ECRU_ECANCELED;
  lua_pop(L, 1);
  return canceled;
}

/// The task's own value is what lies above it. Arguments: the task, results or the error.
static int keep(lua_State *L) {
  task *t = lua_touserdata(L, 1);
  if (t->failed && is_canceled(L) && ecru_check() != 0) t->observed = true; // it was asked to give up
  int count = lua_gettop(L) - 1;
  lua_createtable(L, count, 0);
  lua_insert(L, 2);
  for (int i = count; i >= 1; i--) lua_rawseti(L, 2, i);
  ecru_lua_set_own(L, 1);
  t->count = count;
  if (!t->failed || t->observed || t->handle) return 0;
  t->observed = true;
  return report(L);
}

static int finish(lua_State *L, task *t, int status) {
  t->failed = status != 0;
  if (status != 0 || lua_gettop(L) > TRACE_SLOT) {
    lua_remove(L, TRACE_SLOT);
    lua_pushcfunction(L, keep);
    lua_insert(L, 1);
    if (lua_pcall(L, lua_gettop(L) - 1, 0, 0) != 0) t->failed = true; // no memory for the results
  }
  t->thread = NULL;
  if (t->dropped) ecru_task_release(t->handle);
  int threads = t->head.home->threads;
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, threads);
  lua_pushlightuserdata(L, L);
  lua_pushnil(L);
  lua_rawset(L, -3); // from here on the collector may take it
  return 0;
}

static int run(void *argument, void **unused) {
  (void)unused;
  lua_State *L = argument;
  task *t = lua_touserdata(L, TASK_SLOT);
  universe *u = t->head.home;
  u->ran = L;
  finish(L, t, lua_pcall(L, lua_gettop(L) - FUNCTION_SLOT, LUA_MULTRET, TRACE_SLOT));
  ecru_lua_ended(u);
  return 0;
}
static void run_alone(void *argument) { (void)run(argument, NULL); }

// ---- the start ---------------------------------------------------------------------------------------------------------

static bool is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  bool callable = luaL_getmetafield(L, index, "__call");
  if (callable) lua_pop(L, 1);
  return callable;
}

/// A thread with task, message handler, function and arguments on its stack, and in the table of threads. Leaves the task on the stack.
static task *prepare(lua_State *L, universe *u, int first) {
  int count = lua_gettop(L) - first + 1;
  task *t = lua_newuserdata(L, sizeof *t);
  *t = (task){.head = {&ecru_lua_task_tag, u}};
  u->stale = true;
  lua_rawgeti(L, LUA_REGISTRYINDEX, u->tasks);
  lua_setmetatable(L, -2);
  lua_rawgeti(L, LUA_REGISTRYINDEX, u->threads);
  lua_State *thread = lua_newthread(L);
  if (!lua_checkstack(thread, count + LUA_MINSTACK)) ecru_lua_raise(L, ECRU_ENOMEM);
  lua_pushlightuserdata(L, thread);
  lua_insert(L, -2);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_xmove(L, thread, 1);
  lua_rawgeti(thread, LUA_REGISTRYINDEX, u->trace);
  for (int i = 0; i < count; i++) lua_pushvalue(L, first + i);
  lua_xmove(L, thread, count);
  t->thread = thread;
  return t;
}

static void forget(lua_State *L, task *t) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->head.home->threads);
  lua_pushlightuserdata(L, t->thread);
  lua_pushnil(L);
  lua_rawset(L, -3);
  t->thread = NULL;
}

/// Options in a table before the function: {name = ...}
static int take_options(lua_State *L, ecru_go_options *options) {
  int first = 1;
  if (lua_istable(L, 1) && !is_callable(L, 1)) {
    first = 2;
    lua_getfield(L, 1, "name");
    if (!lua_isnoneornil(L, -1) && lua_type(L, -1) != LUA_TSTRING) ecru_lua_bad_argument(L, 1, "table whose name is a string");
    options->name = lua_tostring(L, -1);
    lua_replace(L, 1); // where it lives until the start: __index may have made it
  }
  if (!is_callable(L, first)) ecru_lua_bad_argument(L, first, "function");
  return first;
}

static int start(lua_State *L, bool with_handle) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  ecru_lua_host(L, u);
  ecru_go_options options = ecru_lua_go_options();
  int first = take_options(L, &options);
  task *t = prepare(L, u, first);
  int status = ecru_waitgroup_add(u->alive, 1);
  if (status == 0) {
    u->count++;
    status = with_handle ? ecru_spawn_with(&t->handle, &options, run, t->thread) : ecru_go_with(&options, run_alone, t->thread);
    if (status != 0) ecru_lua_ended(u);
  }
  if (status != 0) {
    forget(L, t);
    ecru_lua_raise(L, status);
  }
  if (with_handle) t->id = ecru_task_id(t->handle);
  return with_handle ? 1 : 0;
}
static int spawn(lua_State *L) { return start(L, true); }
static int go(lua_State *L) { return start(L, false); }

// ---- tasks -------------------------------------------------------------------------------------------------------------

static int task_join(lua_State *L) {
  task *t = check_task(L, 1);
  int status;
  if (t->thread) {
    ECRU_LUA_WAIT(L, t->head.home, status, ecru_task_join(t->handle, NULL, NULL));
  } else {
    status = ecru_check();
  }
  if (status != 0) ecru_lua_raise(L, status);
  t->observed = true;
  lua_settop(L, 1);
  if (t->failed && t->count == 0) ecru_lua_raise(L, ECRU_ENOMEM); // not even its error could be kept
  if (t->count == 0) return 0;
  luaL_checkstack(L, t->count + 1, NULL);
  ecru_lua_get_own(L, 1);
  for (int i = 1; i <= t->count; i++) lua_rawgeti(L, 2, i);
  return t->failed ? lua_error(L) : t->count;
}

static int task_cancel(lua_State *L) {
  task *t = check_task(L, 1);
  int status = ecru_task_cancel(t->handle, (int)luaL_optinteger(L, 2, 0));
  if (status != 0) ecru_lua_raise(L, status);
  return 0;
}

static int task_done(lua_State *L) {
  lua_pushboolean(L, check_task(L, 1)->thread == NULL);
  return 1;
}

/// The error if it failed, else nil; without raising it.
static int task_error(lua_State *L) {
  task *t = check_task(L, 1);
  if (t->thread || !t->failed) return 0;
  t->observed = true;
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
  lua_pushfstring(L, "ecru.Task: %d (%s)", (int)t->id, t->thread ? "running" : t->failed ? "failed" : "done");
  return 1;
}

static int task_gc(lua_State *L) {
  task *t = ecru_lua_test(L, 1, &ecru_lua_task_tag, sizeof *t);
  if (!t || !t->handle) return 0;
  t->dropped = t->thread != NULL; // the universe waits for it
  if (t->dropped) return 0;
  ecru_task_release(t->handle);
  t->handle = NULL;
  if (!t->failed || t->observed || t->count == 0) return 0;
  t->observed = true;
  lua_settop(L, 1);
  return report(L);
}

static int on_unobserved(lua_State *L) {
  if (!lua_isnil(L, 1) && !lua_isfunction(L, 1)) ecru_lua_bad_argument(L, 1, "function");
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, UNOBSERVED);
  return 0;
}

int ecru_lua_open_tasks(lua_State *L) {
  static const luaL_Reg methods[] = {{"join", task_join}, {"cancel", task_cancel}, {"done", task_done}, {"error", task_error},
                                     {"id", task_id}, {"__tostring", task_tostring}, {"__gc", task_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"go", go}, {"spawn", spawn}, {"on_unobserved", on_unobserved}, {NULL, NULL}};
  universe *u = ecru_lua_universe(L);
  ecru_lua_class(L, TASK, methods);
  u->tasks = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  u->threads = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, ecru_lua_trace);
  u->trace = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushlightuserdata(L, u);
  luaL_setfuncs(L, functions, 1);
  return 0;
}
