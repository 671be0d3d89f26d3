// language.i: ecru.i for Lua 5.4 and LuaJIT. Goroutines, channels of Lua values, select and scopes are written by hand (native.h).

%{
#include "swig.h"

#include <stdint.h>

// More arguments than are taken are no error, as anywhere in Lua: for line in connection.read_line, connection do
#undef SWIG_check_num_args
#define SWIG_check_num_args(function, least, most)                                                            \
  if (lua_gettop(L) < (least)) {                                                                              \
    SWIG_Lua_pushferrstring(L, "Error in %s expected %d.. args, got %d", function, least, lua_gettop(L)); \
    goto fail;                                                                                                \
  }
/// SWIG takes every userdata for one of its own. Its own have a metatable with a table of functions.
static inline bool is_swigs(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) < sizeof(swig_lua_userdata) || !lua_getmetatable(L, index)) return false;
  lua_pushstring(L, ".fn");
  lua_rawget(L, -2);
  bool its_own = lua_istable(L, -1);
  lua_pop(L, 2);
  return its_own;
}
static inline int convert(lua_State *L, int index, void **object, swig_type_info *type, int flags) {
  if (!lua_isnil(L, index) && !is_swigs(L, index)) return SWIG_TypeError;
  return SWIG_Lua_ConvertPtr(L, index, object, type, flags);
}
static inline const char *type_name(lua_State *L, int index) {
  return is_swigs(L, index) ? SWIG_Lua_typename(L, index) : luaL_typename(L, index);
}
#undef SWIG_ConvertPtr
#define SWIG_ConvertPtr(L, index, object, type, flags) convert(L, index, object, type, flags)
#define SWIG_Lua_typename type_name
#undef lua_error
#define lua_error ecru_lua_error // whatever SWIG finds wrong has code and name, too
%}

// ---- waiting ------------------------------------------------------------------------------------------------------------
// A wait that a signal has ended is begun again, unless its handler's hook raised an error: `again`.
%exception {
  universe *u = ecru_lua_universe(L);
  const int arguments = lua_gettop(L);
again:
  lua_settop(L, arguments), SWIG_arg = 0;
  ecru_lua_runs(L, u);
  $action
  ecru_lua_after(L, u);
  ecru_lua_settle(L, u);
}
/// What waits cannot be done in a finalizer.
%define WAITS(function)
%exception function {
  universe *u = ecru_lua_universe(L);
  const int arguments = lua_gettop(L);
again:
  lua_settop(L, arguments), SWIG_arg = 0;
  ecru_lua_before(L, u);
  $action
  ecru_lua_after(L, u);
  ecru_lua_settle(L, u);
}
%enddef
WAITS(yield_now)
WAITS(Token::wait)
WAITS(Mutex::lock)
WAITS(RWMutex::lock)
WAITS(RWMutex::read_lock)
WAITS(Cond::wait)
WAITS(WaitGroup::wait)
WAITS(Semaphore::acquire)
WAITS(Barrier::wait)
WAITS(Limiter::wait)
WAITS(Timer::wait)
WAITS(Io::dial)
WAITS(Io::listen)
WAITS(Io::accept)
WAITS(Io::read)
WAITS(Io::read_exactly)
WAITS(Io::read_line)
WAITS(Io::write_on)
%exception sleep_for {
  universe *u = ecru_lua_universe(L);
  const int arguments = lua_gettop(L);
  const int64_t until = arg1 < 0 ? ECRU_FOREVER : ecru_after(arg1);
again:
  lua_settop(L, arguments), SWIG_arg = 0;
  if (until != ECRU_FOREVER) {
    const int64_t left = until - ecru_now(); // less than 0 would be for ever
    arg1 = left > 0 ? left : 0;
  }
  ecru_lua_before(L, u);
  $action
  ecru_lua_after(L, u);
  ecru_lua_settle(L, u);
}

// ---- the status ---------------------------------------------------------------------------------------------------------
%typemap(in, numinputs=0) int *status (int status) { status = 0; $1 = &status; }
%typemap(argout) int *status {
  if (ecru_lua_again(L, $1)) goto again;
  if (*$1 < 0) ecru_lua_raise(L, *$1);
}

// ---- writing: goes on where a signal has ended it -----------------------------------------------------------------------
%typemap(in, numinputs=0) size_t *written (size_t written) { written = 0; $1 = &written; }
%ignore Io::write;
%rename(write) Io::write_on;
%extend Io {
  /// Writes all of it.
  void write_on(const char *data, size_t length, size_t *written, int *status);
}
%{
static inline void Io_write_on(Io *self, const char *data, size_t length, size_t *written, int *status) {
  METHOD(stream, {
    size_t more = 0;
    int64_t all = ecru_io_write(object->io, data + *written, length - *written, &more);
    *written += more;
    *status = all < 0 ? (int)all : 0;
  })
}
%}

// ---- values -------------------------------------------------------------------------------------------------------------
/// Seconds, or nil: no end.
%typemap(in) int64_t timeout_ns, int64_t duration_ns, int64_t period_ns { $1 = ecru_lua_duration(L, $input); }
%typemap(default) int64_t timeout_ns { $1 = -1; }
%typemap(default) int64_t n { $1 = 1; }
%typemap(default) int cause { $1 = 0; }
%typemap(default) Token *parent { $1 = NULL; }
%typemap(default) size_t most { $1 = 65536; }
%typemap(in) int64_t { $1 = ecru_lua_integer(L, $input, -9e15, 9e15); }
%typemap(in) int { $1 = (int)ecru_lua_integer(L, $input, -2147483648.0, 2147483647.0); }
%typemap(in) size_t { $1 = (size_t)ecru_lua_integer(L, $input, 0, 9e15); }
%typemap(in) int64_t n { $1 = lua_isnil(L, $input) ? 1 : ecru_lua_integer(L, $input, -9e15, 9e15); }
%typemap(in) int cause { $1 = lua_isnil(L, $input) ? 0 : (int)ecru_lua_integer(L, $input, -2147483648.0, 2147483647.0); }
%typemap(out) int64_t, uint64_t { lua_pushinteger(L, (lua_Integer)$1); SWIG_arg++; }
%typemap(in, checkfn="lua_isstring") (const char *data, size_t length) { $1 = (char *)lua_tolstring(L, $input, &$2); }
%typemap(out) bytes {
  if ($1.data) lua_pushlstring(L, $1.data, $1.length);
  else lua_pushnil(L);
  free($1.data);
  SWIG_arg++;
}

// Scopes are functions: timeout, shield, under.
%ignore enter_timeout;
%ignore enter_shield;
%ignore leave_scope;
%ignore Token::enter;

%wrapper %{
bool ecru_lua_is_swig(lua_State *L, int index, int class) {
  swig_type_info *const types[] = {SWIGTYPE_p_Token, SWIGTYPE_p_Timer, SWIGTYPE_p_Io};
  void *found = NULL;
  return lua_type(L, index) == LUA_TUSERDATA && SWIG_IsOK(SWIG_ConvertPtr(L, index, &found, types[class], 0));
}

void *ecru_lua_swig_object(lua_State *L, int index, int class, handle **entered, int *status) {
  void *object = NULL;
  swig_type_info *const types[] = {SWIGTYPE_p_Token, SWIGTYPE_p_Timer, SWIGTYPE_p_Io};
  *status = ECRU_EINVAL;
  if (!SWIG_IsOK(SWIG_ConvertPtr(L, index, &object, types[class], 0)) || !object) return NULL;
  handle *h = object;
  void *inner = handle_enter(h, status);
  if (!inner) return NULL;
  *entered = h;
  return class == SWIG_IO ? ((stream *)inner)->io : inner;
}
%}
