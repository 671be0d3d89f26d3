/// lua/swig.h: the objects that SWIG wraps, for the functions written by hand (in language.i).
#ifndef ECRU_LUA_SWIG_H
#define ECRU_LUA_SWIG_H
#include "../handle.h"
#include "native.h"

enum { SWIG_TOKEN, SWIG_TIMER, SWIG_IO };

bool ecru_lua_is_swig(lua_State *L, int index, int class);
/// The object of ecru's behind it, for one call that ends with handle_leave(*entered). returns: NULL, and *status, if there is none.
void *ecru_lua_swig_object(lua_State *L, int index, int class, handle **entered, int *status);
#endif
