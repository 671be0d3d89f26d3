/// lua/chan.h: what select needs to know of channels.
#ifndef ECRU_LUA_CHAN_H
#define ECRU_LUA_CHAN_H
#include "values.h"

/// What travels. A value that is not here is in the channel's own table, or a copy.
typedef struct item {
  enum { ITEM_NIL, ITEM_FALSE, ITEM_TRUE, ITEM_INTEGER, ITEM_NUMBER, ITEM_KEPT, ITEM_COPIED } kind;
  union {
    lua_Integer integer;
    lua_Number number;
    int kept; // index in that table
    message *copied;
  };
} item;

struct channel {
  tagged head;
  ecru_chan *chan;
  int inside;      // calls that wait in it
  bool shared;     // with other universes: values are copied
  bool collected;  // by the end of the state, while some did
  int dropped[2];  // what the policy has dropped in the call under way
  int drops;
};

channel *ecru_lua_test_chan(lua_State *L, int index);
/// Pushes another userdata for a shared channel.
void ecru_lua_push_shared(lua_State *L, ecru_chan *chan);
/// Makes an item of the value at `value` for the channel at index `chan`.
item ecru_lua_pack(lua_State *L, int chan, int value);
/// Pushes it, and takes it out of the channel's table.
void ecru_lua_unpack(lua_State *L, int chan, const item *i);
/// It was not sent.
void ecru_lua_discard(lua_State *L, int chan, const item *i);
/// Around a wait in it: it is not freed meanwhile.
static inline void ecru_lua_chan_enter(channel *c) { c->inside++; }
void ecru_lua_chan_clear(lua_State *L, int chan);
static inline void ecru_lua_chan_leave(lua_State *L, int chan, channel *c) {
  c->inside--;
  if (c->drops > 0 || c->collected) ecru_lua_chan_clear(L, chan);
}
#endif
