/// lua/module.c: require "ecru.core": what SWIG has wrapped and what is written by hand, in one table.
#include "native.h"

#include <stdatomic.h>

int luaopen_core(lua_State *L);

/// SWIG's tables of types belong to the process: one state fills them at a time.
static int open_swig(lua_State *L) {
  static atomic_flag filling = ATOMIC_FLAG_INIT;
  while (atomic_flag_test_and_set_explicit(&filling, memory_order_acquire)) {} // release: below
  lua_pushcfunction(L, luaopen_core);
  int status = lua_pcall(L, 0, 1, 0);
  atomic_flag_clear_explicit(&filling, memory_order_release);
  lua_pushnil(L); // they take every userdata for one of SWIG's
  lua_setglobal(L, "swig_type");
  lua_pushnil(L);
  lua_setglobal(L, "swig_equals");
  return status == 0 ? 1 : lua_error(L);
}

int luaopen_ecru_core(lua_State *L) {
  lua_settop(L, 0);
  (void)ecru_lua_open_universe(L);
  (void)open_swig(L);
  lua_settop(L, 1);
  ecru_lua_open_errors(L);
  (void)ecru_lua_open_tasks(L);
  (void)ecru_lua_open_chans(L);
  (void)ecru_lua_open_select(L);
  (void)ecru_lua_open_scopes(L);
  (void)ecru_lua_open_threads(L);
  return 1;
}
