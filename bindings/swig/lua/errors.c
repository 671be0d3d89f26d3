/// lua/errors.c: error objects, {code, name, message} and perhaps {traceback, value}, and arguments.
#include "native.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR "ecru.Error"

bool ecru_lua_is_error(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, ERROR);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

void ecru_lua_make_error(lua_State *L) {
  luaL_getmetatable(L, ERROR);
  lua_setmetatable(L, -2);
}

void ecru_lua_push_error(lua_State *L, int status, const char *text) {
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "code");
  lua_pushstring(L, ecru_status_name(status));
  lua_setfield(L, -2, "name");
  lua_pushstring(L, text);
  lua_setfield(L, -2, "message");
  ecru_lua_make_error(L);
}

void ecru_lua_raise(lua_State *L, int status) {
  ecru_lua_settle(L, ecru_lua_universe(L));
  if (status != ECRU_LUA_RAISED) ecru_lua_push_error(L, status, ecru_strerror(status));
  (void)lua_error(L);
  __builtin_unreachable();
}

void ecru_lua_raise_text(lua_State *L, int status, const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  ecru_lua_settle(L, ecru_lua_universe(L));
  ecru_lua_push_error(L, status, text);
  (void)lua_error(L);
  __builtin_unreachable();
}

int ecru_lua_error(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING) {
    const char *text = lua_tostring(L, -1); // stays on the stack
    ecru_lua_push_error(L, ECRU_EINVAL, text);
  }
  return lua_error(L);
}

static const char *type_of(lua_State *L, int index) {
  if (luaL_getmetafield(L, index, "__name") && lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
  return luaL_typename(L, index);
}

void ecru_lua_bad_argument(lua_State *L, int argument, const char *wanted) {
  lua_Debug from;
  const char *function = "?";
  if (lua_getstack(L, 0, &from)) {
    (void)lua_getinfo(L, "n", &from);
    if (from.name) function = from.name;
  }
  ecru_lua_raise_text(L, ECRU_EINVAL, "bad argument #%d to '%s' (%s expected, got %s)", argument, function, wanted, type_of(L, argument));
}

int ecru_lua_trace(lua_State *L) {
  lua_settop(L, 1);
  if (!ecru_lua_is_error(L, 1)) {
    const char *text = lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER ? lua_tostring(L, 1) : NULL;
    if (!text && luaL_callmeta(L, 1, "__tostring")) text = lua_tostring(L, -1);
    ecru_lua_push_error(L, ECRU_EPANIC, text ? text : lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1)));
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "value");
  }
  lua_getfield(L, -1, "traceback");
  bool has_one = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (has_one) return 1;
  luaL_traceback(L, L, NULL, 1);
  lua_setfield(L, -2, "traceback");
  return 1;
}

static int error_tostring(lua_State *L) {
  if (!ecru_lua_is_error(L, 1)) ecru_lua_bad_argument(L, 1, "ecru.Error");
  lua_getfield(L, 1, "name");
  lua_getfield(L, 1, "message");
  lua_getfield(L, 1, "traceback");
  const char *name = lua_tostring(L, 2), *message = lua_tostring(L, 3), *traceback = lua_tostring(L, 4);
  bool plain = name && strcmp(name, "ECRU_EPANIC") == 0; // somebody else's words
  lua_pushfstring(L, "%s%s%s%s%s", plain || !name ? "" : name, plain || !name ? "" : ": ", message ? message : "?", traceback ? "\n" : "", traceback ? traceback : "");
  return 1;
}

static int test_error(lua_State *L) {
  lua_pushboolean(L, ecru_lua_is_error(L, 1));
  return 1;
}

static int new_error(lua_State *L) {
  int status = (int)ecru_lua_integer(L, 1, INT_MIN, INT_MAX);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) ecru_lua_bad_argument(L, 2, "string");
  ecru_lua_push_error(L, status, lua_isnoneornil(L, 2) ? ecru_strerror(status) : lua_tostring(L, 2));
  return 1;
}

void ecru_lua_open_errors(lua_State *L) {
  static const luaL_Reg methods[] = {{"__tostring", error_tostring}, {NULL, NULL}};
  ecru_lua_class(L, ERROR, methods);
  lua_setfield(L, -2, "Error");
  static const luaL_Reg functions[] = {{"error", new_error}, {"is_error", test_error}, {"trace", ecru_lua_trace}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}

// ---- arguments ---------------------------------------------------------------------------------------------------------

void *ecru_lua_test(lua_State *L, int index, const void *tag, size_t bytes) {
  tagged *o = lua_touserdata(L, index);
  if (!o || lua_rawlen(L, index) < bytes) return NULL; // a light one's length is 0
  return o->tag == tag ? o : NULL;
}

int64_t ecru_lua_duration(lua_State *L, int argument) {
  if (lua_isnoneornil(L, argument)) return -1;
  double seconds = lua_tonumber(L, argument);
  if (!lua_isnumber(L, argument) || isnan(seconds)) ecru_lua_bad_argument(L, argument, "seconds");
  if (seconds <= 0) return 0;
  return seconds >= 9e9 ? ECRU_FOREVER : (int64_t)(seconds * 1e9);
}

int64_t ecru_lua_integer(lua_State *L, int argument, double least, double most) {
  double number = lua_tonumber(L, argument);
  if (!lua_isnumber(L, argument) || number != floor(number)) ecru_lua_bad_argument(L, argument, "integer");
  if (number < least || number > most) ecru_lua_raise_text(L, ECRU_EINVAL, "bad argument #%d: %.0f is out of range", argument, number);
  return (int64_t)number;
}

int ecru_lua_cause(lua_State *L, int argument) {
  return lua_isnoneornil(L, argument) ? 0 : (int)ecru_lua_integer(L, argument, INT_MIN, INT_MAX);
}

void *ecru_lua_new(lua_State *L, universe *u, const void *tag, size_t bytes, const char *metatable) {
  tagged *o = lua_newuserdata(L, bytes);
  memset(o, 0, bytes);
  o->tag = tag;
  o->home = u;
  if (u) u->stale = true;
  luaL_getmetatable(L, metatable);
  lua_setmetatable(L, -2);
  return o;
}

void ecru_lua_class(lua_State *L, const char *name, const luaL_Reg *methods) {
  (void)luaL_newmetatable(L, name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, false);
  lua_setfield(L, -2, "__metatable"); // nobody takes __gc away
}

#if LUA_VERSION_NUM < 502
void ecru_lua_set_own(lua_State *L, int index) { lua_setfenv(L, index); }
void ecru_lua_get_own(lua_State *L, int index) { lua_getfenv(L, index); }
#else
void ecru_lua_set_own(lua_State *L, int index) { lua_setuservalue(L, index); }
void ecru_lua_get_own(lua_State *L, int index) { lua_getuservalue(L, index); }
#endif
