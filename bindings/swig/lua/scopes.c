/// lua/scopes.c: functions run under a token: timeout(seconds, f, ...), shield(seconds, f, ...), under(token, f, ...).
#include "swig.h"

/// Runs the function at index 2 in the scope that was entered, and leaves that.
static int run_inside(lua_State *L) {
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  (void)ecru_token_leave();
  return status == 0 ? lua_gettop(L) - 1 : lua_error(L);
}

static void prepare(lua_State *L) {
  ecru_lua_host(L, lua_touserdata(L, lua_upvalueindex(1)));
  if (!ecru_lua_is_callable(L, 2)) ecru_lua_bad_argument(L, 2, "function");
}

static int timeout(lua_State *L) {
  prepare(L);
  int64_t duration = ecru_lua_duration(L, 1);
  int status = ecru_deadline_enter(duration < 0 ? ECRU_FOREVER : ecru_after(duration));
  if (status != 0) ecru_lua_raise(L, status);
  return run_inside(L);
}

static int shield(lua_State *L) {
  prepare(L);
  int64_t duration = ecru_lua_duration(L, 1);
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  ecru_token *token = NULL;
  int status = ecru_token_create(&token, u->shields, duration < 0 ? ECRU_FOREVER : ecru_after(duration));
  if (status == 0) status = ecru_token_enter(token);
  ecru_token_release(token); // the scope holds it
  if (status != 0) ecru_lua_raise(L, status);
  return run_inside(L);
}

static int under(lua_State *L) {
  prepare(L);
  if (!ecru_lua_is_swig(L, 1, SWIG_TOKEN)) ecru_lua_bad_argument(L, 1, "Token");
  handle *entered = NULL;
  int status;
  ecru_token *token = ecru_lua_swig_object(L, 1, SWIG_TOKEN, &entered, &status);
  if (token) {
    status = ecru_token_enter(token); // the scope holds it
    handle_leave(entered);
  }
  if (status != 0) ecru_lua_raise(L, status);
  return run_inside(L);
}

int ecru_lua_open_scopes(lua_State *L) {
  static const luaL_Reg functions[] = {{"timeout", timeout}, {"shield", shield}, {"under", under}, {NULL, NULL}};
  lua_pushlightuserdata(L, ecru_lua_universe(L));
  luaL_setfuncs(L, functions, 1);
  return 0;
}
