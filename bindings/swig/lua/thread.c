/// lua/thread.c: a universe on a thread of its own: a new state that runs a chunk with copied arguments.
///
/// What it returns goes, as a copy, through a channel of one place: {true, values ...} or {false, error}; the goroutine that waits for it (in
/// ecru.lua) is the task one sees. The thread's token is fired when that goroutine is cancelled.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"

#define THREAD "ecru.Thread"
static const char thread_tag;

typedef struct thread {
  atomic_int references;
  ecru_token *token;
  ecru_chan *outcome;
  message *what; // {chunk, path, cpath, arguments ...}
} thread;

typedef struct handle_of_thread {
  tagged head;
  thread *thread;
} handle_of_thread;

static void release(thread *t) {
  // acq_rel: the last one comes after what the other did
  if (atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) > 1) return;
  ecru_lua_message_free(t->what);
  ecru_token_release(t->token);
  ecru_chan_release(t->outcome);
  free(t);
}

// ---- in the thread -----------------------------------------------------------------------------------------------------

static void set_path(lua_State *L, int from, const char *name) {
  lua_getglobal(L, "package");
  lua_pushvalue(L, from);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/// Runs the chunk; leaves {true, values ...} on the stack. Argument: what it is to do, as put together by ecru.lua.
static int run_chunk(lua_State *L) {
  lua_settop(L, 1);
  for (int i = 1; i <= 4; i++) lua_rawgeti(L, 1, i); // chunk, path, cpath, number of arguments
  set_path(L, 3, "path");
  set_path(L, 4, "cpath");
  int count = (int)lua_tointeger(L, 5);
  lua_settop(L, 2);
  size_t length;
  const char *chunk = lua_tolstring(L, 2, &length);
  if (luaL_loadbuffer(L, chunk, length, "=universe") != 0) return lua_error(L);
  luaL_checkstack(L, count, NULL);
  for (int i = 1; i <= count; i++) lua_rawgeti(L, 1, 4 + i);
  lua_call(L, count, LUA_MULTRET);
  int results = lua_gettop(L) - 2;
  lua_createtable(L, results + 2, 0);
  lua_pushboolean(L, 1);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, results);
  lua_rawseti(L, -2, 2);
  for (int i = 1; i <= results; i++) {
    lua_pushvalue(L, 2 + i);
    lua_rawseti(L, -2, 2 + i);
  }
  return 1;
}

/// Argument: {false, error object}.
static int copy_value(lua_State *L) {
  *(message **)lua_touserdata(L, 2) = ecru_lua_copy(L, 1, NULL);
  return 0;
}
static message *copied(lua_State *L) {
  message *m = NULL;
  lua_pushcfunction(L, copy_value);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, &m);
  return lua_pcall(L, 2, 0, 0) == 0 ? m : NULL; // else the error is on the stack
}

static int failure(lua_State *L) { // what was raised, as an error object that can be copied
  ecru_lua_trace(L);
  lua_pushnil(L);
  lua_setfield(L, -2, "value");
  lua_createtable(L, 2, 0);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 1);
  lua_insert(L, -2);
  lua_rawseti(L, -2, 2);
  return 1;
}

static int open_all(lua_State *L) {
  thread *t = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, luaopen_ecru_core);
  lua_setfield(L, -2, "ecru.core");
  lua_settop(L, 0);
  lua_pushcfunction(L, luaopen_ecru_core); // here: copies need its classes
  lua_call(L, 0, 1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "ecru.core");
  lua_settop(L, 0);
  ecru_lua_host(L, ecru_lua_universe(L));
  ecru_token *const above[] = {t->token, ecru_lua_universe(L)->token};
  ecru_token *token = NULL;
  int status = ecru_token_create_linked(&token, above, 2, ECRU_FOREVER);
  if (status == 0) status = ecru_token_enter(token);
  ecru_token_release(token); // the scope holds it
  if (status != 0) ecru_lua_raise(L, status);
  ecru_lua_paste(L, t->what);
  return 1;
}

static message *run_state(lua_State *L, thread *t) {
  lua_pushcfunction(L, ecru_lua_trace);
  lua_pushcfunction(L, open_all);
  lua_pushlightuserdata(L, t);
  bool entered = false;
  int status = lua_pcall(L, 1, 1, 0);
  if (status == 0) {
    entered = true;
    lua_pushcfunction(L, run_chunk);
    lua_insert(L, -2);
    status = lua_pcall(L, 1, 1, 1);
  }
  message *m = status == 0 ? copied(L) : NULL;
  if (!m) {
    lua_pushcfunction(L, failure);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) == 0) m = copied(L);
  }
  if (entered) {
    ecru_lua_end(L);
    (void)ecru_token_leave();
  }
  return m;
}

static void *run_thread(void *argument) {
  thread *t = argument;
  lua_State *L = luaL_newstate();
  item outcome = {.kind = ITEM_COPIED, .copied = L ? run_state(L, t) : NULL};
  if (L) lua_close(L);
  if (outcome.copied && ecru_chan_try_send(t->outcome, &outcome) != 0) ecru_lua_message_free(outcome.copied);
  (void)ecru_chan_close(t->outcome);
  release(t);
  while (ecru_is_hosted()) (void)pause(); // goroutines of it could not be ended
  return NULL;
}

// ---- from outside ------------------------------------------------------------------------------------------------------

/// start_thread({chunk, path, cpath, count, arguments ...}, shared channel for the outcome) -> a handle with cancel().
static int start_thread(lua_State *L) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  channel *outcome = ecru_lua_test_chan(L, 2);
  if (!lua_istable(L, 1) || !outcome || !outcome->shared) ecru_lua_bad_argument(L, 1, "chunk and shared channel");
  ecru_lua_host(L, u); // the runtime is up, and stays so
  handle_of_thread *h = ecru_lua_new(L, u, &thread_tag, sizeof *h, THREAD);
  message *what = ecru_lua_copy(L, 1, NULL);
  thread *t = calloc(1, sizeof *t);
  int status = t ? ecru_token_create(&t->token, NULL, ECRU_FOREVER) : ECRU_ENOMEM;
  if (status != 0) {
    free(t);
    ecru_lua_message_free(what);
    ecru_lua_raise(L, status);
  }
  t->what = what;
  t->outcome = ecru_chan_retain(outcome->chan);
  atomic_init(&t->references, 2);
  h->thread = t;
  pthread_t id;
  if (pthread_create(&id, NULL, run_thread, t) != 0) {
    release(t);
    ecru_lua_raise(L, ECRU_ETHREADS);
  }
  (void)pthread_detach(id);
  return 1;
}

static int thread_cancel(lua_State *L) {
  handle_of_thread *h = ecru_lua_test(L, 1, &thread_tag, sizeof *h);
  if (!h) ecru_lua_bad_argument(L, 1, THREAD);
  if (h->thread) (void)ecru_token_cancel(h->thread->token, 0);
  return 0;
}

static int thread_gc(lua_State *L) {
  handle_of_thread *h = ecru_lua_test(L, 1, &thread_tag, sizeof *h);
  if (h && h->thread) release(h->thread);
  if (h) h->thread = NULL;
  return 0;
}

int ecru_lua_open_threads(lua_State *L) {
  static const luaL_Reg methods[] = {{"cancel", thread_cancel}, {"__gc", thread_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"start_thread", start_thread}, {NULL, NULL}};
  ecru_lua_class(L, THREAD, methods);
  lua_pop(L, 1);
  lua_pushlightuserdata(L, ecru_lua_universe(L));
  luaL_setfuncs(L, functions, 1);
  return 0;
}
