/// lua/values.h: values copied from one universe to another.
#ifndef ECRU_LUA_VALUES_H
#define ECRU_LUA_VALUES_H
#include "native.h"

/// A copy that belongs to no state.
typedef struct message {
  char *data;
  size_t length, room;
  ecru_chan **chans; // held: shared channels among what was copied
  int chan_count;
} message;

/// Copies the value; raises an error if it cannot be: a function, a coroutine, a userdata but a shared channel. `through`: what it is to be sent
/// through, or NULL: it is not held where it is in what it carries itself.
message *ecru_lua_copy(lua_State *L, int value, const ecru_chan *through);
/// Pushes what was copied.
void ecru_lua_paste(lua_State *L, const message *m);
void ecru_lua_message_free(message *m);
#endif
