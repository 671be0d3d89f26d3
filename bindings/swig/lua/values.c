/// lua/values.c: numbers, strings, booleans, nil, tables of these (also shared and in themselves) and shared channels, as bytes with a tag each.
/// Metatables stay behind, but an error object arrives as one.
#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "chan.h"

enum { NESTED_MAX = 150 };
enum tag { NIL, FALSE, TRUE, INTEGER, NUMBER, STRING, TABLE, ERROR_TABLE, AGAIN, CHAN, POINTER, END };

void ecru_lua_message_free(message *m) {
  if (!m) return;
  for (int i = 0; i < m->chan_count; i++) ecru_chan_release(m->chans[i]);
  free(m->chans);
  free(m->data);
  free(m);
}

// ---- copying -----------------------------------------------------------------------------------------------------------

typedef struct writer {
  lua_State *L;
  message *message;
  int seen;    // index of a table: table -> its number
  int numbers; // given out
  const ecru_chan *through;
} writer;

static void put(writer *w, const void *data, size_t bytes) {
  message *m = w->message;
  if (m->room - m->length < bytes) {
    size_t room = (m->length + bytes) * 2;
    char *more = realloc(m->data, room);
    if (!more) ecru_lua_raise(w->L, ECRU_ENOMEM);
    m->data = more;
    m->room = room;
  }
  memcpy(m->data + m->length, data, bytes);
  m->length += bytes;
}
static void put_tag(writer *w, enum tag tag) { put(w, &(char){(char)tag}, 1); }

static void put_string(writer *w, int index) {
  size_t length;
  const char *text = lua_tolstring(w->L, index, &length);
  put_tag(w, STRING);
  put(w, &length, sizeof length);
  put(w, text, length);
}

static void put_number(writer *w, int index) {
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(w->L, index)) {
    lua_Integer integer = lua_tointeger(w->L, index);
    put_tag(w, INTEGER);
    put(w, &integer, sizeof integer);
    return;
  }
#endif
  lua_Number number = lua_tonumber(w->L, index);
  put_tag(w, NUMBER);
  put(w, &number, sizeof number);
}

static void put_chan(writer *w, int index) {
  message *m = w->message;
  channel *c = ecru_lua_test_chan(w->L, index);
  if (!c || !c->shared) ecru_lua_raise_text(w->L, ECRU_EINVAL, "a %s cannot be copied to another universe", c ? "channel that is not shared" : luaL_typename(w->L, index));
  put_tag(w, CHAN);
  put(w, &c->chan, sizeof c->chan);
  if (c->chan == w->through) return; // who takes the message out of it has it
  ecru_chan **more = realloc(m->chans, (size_t)(m->chan_count + 1) * sizeof *more);
  if (!more) ecru_lua_raise(w->L, ECRU_ENOMEM);
  m->chans = more;
  m->chans[m->chan_count++] = ecru_chan_retain(c->chan);
}

static void put_value(writer *w, int index, int depth);

/// returns: whether it had been put before, and now again by its number.
static bool put_again(writer *w, int index) {
  lua_State *L = w->L;
  lua_pushvalue(L, index);
  lua_rawget(L, w->seen);
  int number = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (number > 0) {
    put_tag(w, AGAIN);
    put(w, &number, sizeof number);
    return true;
  }
  lua_pushvalue(L, index);
  lua_pushinteger(L, ++w->numbers);
  lua_rawset(L, w->seen);
  return false;
}

static void put_table(writer *w, int index, int depth) {
  lua_State *L = w->L;
  if (depth > NESTED_MAX) ecru_lua_raise_text(L, ECRU_E2BIG, "tables nested deeper than %d cannot be copied", NESTED_MAX);
  luaL_checkstack(L, 8, NULL);
  if (put_again(w, index)) return;
  put_tag(w, ecru_lua_is_error(L, index) ? ERROR_TABLE : TABLE);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int value = lua_gettop(L);
    put_value(w, value - 1, depth + 1);
    put_value(w, value, depth + 1);
    lua_pop(L, 1);
  }
  put_tag(w, END);
}

static void put_value(writer *w, int index, int depth) {
  lua_State *L = w->L;
  switch (lua_type(L, index)) {
    case LUA_TNIL: put_tag(w, NIL); return;
    case LUA_TBOOLEAN: put_tag(w, lua_toboolean(L, index) ? TRUE : FALSE); return;
    case LUA_TNUMBER: put_number(w, index); return;
    case LUA_TSTRING: put_string(w, index); return;
    case LUA_TTABLE: put_table(w, index, depth); return;
    case LUA_TLIGHTUSERDATA: {
      void *pointer = lua_touserdata(L, index);
      put_tag(w, POINTER);
      put(w, &pointer, sizeof pointer);
      return;
    }
    default: put_chan(w, index);
  }
}

/// Arguments: the value, the writer.
static int copy(lua_State *L) {
  writer *w = lua_touserdata(L, 2);
  w->L = L;
  lua_newtable(L);
  w->seen = lua_gettop(L);
  put_value(w, 1, 0);
  return 0;
}

message *ecru_lua_copy(lua_State *L, int value, const ecru_chan *through) {
  lua_pushvalue(L, value);
  lua_pushcfunction(L, copy);
  lua_insert(L, -2);
  writer w = {.message = calloc(1, sizeof(message)), .through = through};
  if (!w.message) ecru_lua_raise(L, ECRU_ENOMEM);
  lua_pushlightuserdata(L, &w);
  if (lua_pcall(L, 2, 0, 0) == 0) return w.message;
  ecru_lua_message_free(w.message);
  (void)lua_error(L);
  return NULL;
}

// ---- pasting -----------------------------------------------------------------------------------------------------------

typedef struct reader {
  lua_State *L;
  const char *at;
  int seen; // index of a table: number -> table
  int numbers;
} reader;

static void take(reader *r, void *data, size_t bytes) {
  memcpy(data, r->at, bytes);
  r->at += bytes;
}

static bool push_value(reader *r);

static void push_table(reader *r, bool is_error) {
  lua_State *L = r->L;
  luaL_checkstack(L, 8, NULL);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawseti(L, r->seen, ++r->numbers);
  while (push_value(r)) {
    (void)push_value(r);
    lua_rawset(L, -3);
  }
  if (is_error) ecru_lua_make_error(L);
}

static void push_string(reader *r) {
  size_t length;
  take(r, &length, sizeof length);
  lua_pushlstring(r->L, r->at, length);
  r->at += length;
}

/// returns: false at the end of a table.
static bool push_value(reader *r) {
  lua_State *L = r->L;
  union {
    lua_Integer integer;
    lua_Number number;
    int table;
    void *pointer;
  } v;
  switch ((enum tag) * r->at++) {
    case NIL: lua_pushnil(L); return true;
    case FALSE: lua_pushboolean(L, 0); return true;
    case TRUE: lua_pushboolean(L, 1); return true;
    case INTEGER: take(r, &v.integer, sizeof v.integer), lua_pushinteger(L, v.integer); return true;
    case NUMBER: take(r, &v.number, sizeof v.number), lua_pushnumber(L, v.number); return true;
    case STRING: push_string(r); return true;
    case TABLE: push_table(r, false); return true;
    case ERROR_TABLE: push_table(r, true); return true;
    case AGAIN: take(r, &v.table, sizeof v.table), lua_rawgeti(L, r->seen, v.table); return true;
    case CHAN: take(r, &v.pointer, sizeof v.pointer), ecru_lua_push_shared(L, v.pointer); return true;
    case POINTER: take(r, &v.pointer, sizeof v.pointer), lua_pushlightuserdata(L, v.pointer); return true;
    case END: return false;
  }
  return false;
}

void ecru_lua_paste(lua_State *L, const message *m) {
  lua_newtable(L);
  reader r = {.L = L, .at = m->data, .seen = lua_gettop(L)};
  (void)push_value(&r);
  lua_remove(L, r.seen);
}
