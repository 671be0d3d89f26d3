/// lua/chan.c: channels of Lua values, within one universe or, shared, between several.
///
/// Numbers, booleans and nil travel as they are. Other values wait in the channel's own table, and their places in it travel: so the collector
/// finds them through the channel alone, and a channel that nobody knows goes with what is in it, though it be itself.
/// What is sent through a shared one is copied; each universe has a userdata of its own for it.
#include "chan.h"

#include <math.h>
#include <string.h>

#define CHAN "ecru.Chan"

const char ecru_lua_chan_tag;

channel *ecru_lua_test_chan(lua_State *L, int index) { return ecru_lua_test(L, index, &ecru_lua_chan_tag, sizeof(channel)); }

static channel *check_chan(lua_State *L, int index) {
  channel *c = ecru_lua_test_chan(L, index);
  if (!c) ecru_lua_bad_argument(L, index, CHAN);
  return c;
}

// ---- items -------------------------------------------------------------------------------------------------------------

static item keep(lua_State *L, int chan, int value) {
  ecru_lua_get_own(L, chan);
  lua_pushvalue(L, value);
  item kept = {.kind = ITEM_KEPT, .kept = luaL_ref(L, -2)};
  lua_pop(L, 1);
  return kept;
}

static item number(lua_State *L, int value) {
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(L, value)) return (item){.kind = ITEM_INTEGER, .integer = lua_tointeger(L, value)};
#endif
  return (item){.kind = ITEM_NUMBER, .number = lua_tonumber(L, value)};
}

item ecru_lua_pack(lua_State *L, int chan, int value) {
  switch (lua_type(L, value)) {
    case LUA_TNONE:
    case LUA_TNIL: return (item){.kind = ITEM_NIL};
    case LUA_TBOOLEAN: return (item){.kind = lua_toboolean(L, value) ? ITEM_TRUE : ITEM_FALSE};
    case LUA_TNUMBER: return number(L, value);
    default: break;
  }
  const channel *c = lua_touserdata(L, chan);
  return c->shared ? (item){.kind = ITEM_COPIED, .copied = ecru_lua_copy(L, value, c->chan)} : keep(L, chan, value);
}

static int paste(lua_State *L) {
  ecru_lua_paste(L, lua_touserdata(L, 1));
  return 1;
}
/// Pushes it, and frees it whatever happens.
static void push_copied(lua_State *L, message *m) {
  lua_pushcfunction(L, paste);
  lua_pushlightuserdata(L, m);
  int status = lua_pcall(L, 1, 1, 0);
  ecru_lua_message_free(m);
  if (status != 0) (void)lua_error(L);
}

static void release(lua_State *L, int chan, int kept) {
  ecru_lua_get_own(L, chan);
  luaL_unref(L, -1, kept);
  lua_pop(L, 1);
}

void ecru_lua_unpack(lua_State *L, int chan, const item *i) {
  switch (i->kind) {
    case ITEM_NIL: lua_pushnil(L); return;
    case ITEM_FALSE:
    case ITEM_TRUE: lua_pushboolean(L, i->kind == ITEM_TRUE); return;
    case ITEM_INTEGER: lua_pushinteger(L, i->integer); return;
    case ITEM_NUMBER: lua_pushnumber(L, i->number); return;
    case ITEM_COPIED:
    case ITEM_KEPT: break;
  }
  ecru_lua_settle(L, ((channel *)lua_touserdata(L, chan))->head.home);
  if (i->kind == ITEM_COPIED) {
    push_copied(L, i->copied);
    return;
  }
  ecru_lua_get_own(L, chan);
  lua_rawgeti(L, -1, i->kept);
  luaL_unref(L, -2, i->kept);
  lua_remove(L, -2);
}

void ecru_lua_discard(lua_State *L, int chan, const item *i) {
  if (i->kind == ITEM_KEPT) release(L, chan, i->kept);
  if (i->kind == ITEM_COPIED) ecru_lua_message_free(i->copied);
}

/// In the call that sends one more: at most one is dropped by it. (What the end of the channel drops goes with its table.)
static void note_dropped(void *context, void *element) {
  channel *c = context;
  const item *i = element;
  if (i->kind == ITEM_KEPT && c->inside > 0 && c->drops < (int)(sizeof c->dropped / sizeof *c->dropped)) c->dropped[c->drops++] = i->kept;
}

/// In any thread.
static void free_dropped(void *unused, void *element) {
  (void)unused;
  const item *i = element;
  if (i->kind == ITEM_COPIED) ecru_lua_message_free(i->copied);
}

/// What was dropped goes out of the table; if the channel was collected meanwhile the last one frees it.
void ecru_lua_chan_clear(lua_State *L, int chan) {
  channel *c = lua_touserdata(L, chan);
  ecru_lua_settle(L, c->head.home);
  while (c->drops > 0) release(L, chan, c->dropped[--c->drops]);
  if (c->inside > 0 || !c->collected) return;
  ecru_chan_release(c->chan);
  c->chan = NULL;
}

// ---- channels ----------------------------------------------------------------------------------------------------------

#define CHAN_WAIT(L, c, status, call)   \
  do {                                  \
    universe *u_ = (c)->head.home;      \
    ecru_lua_before(L, u_);             \
    ecru_lua_chan_enter(c);             \
    (status) = (call);                  \
    ecru_lua_woken(L, u_);              \
    ecru_lua_chan_leave(L, 1, c);       \
    ecru_lua_goes_on(L, u_);            \
  } while (ecru_lua_again(L, &(status)))

static int policy_of(lua_State *L, int argument) {
  static const char *const names[] = {"wait", "drop_newest", "drop_oldest", "fail"};
  const char *name = lua_isnoneornil(L, argument) ? "wait" : lua_tostring(L, argument);
  for (int i = 0; name && i < 4; i++)
    if (strcmp(names[i], name) == 0) return i;
  ecru_lua_bad_argument(L, argument, "\"wait\", \"drop_newest\", \"drop_oldest\" or \"fail\"");
}

static channel *push_chan(lua_State *L, universe *u, bool shared) {
  channel *c = ecru_lua_new(L, u, &ecru_lua_chan_tag, sizeof *c, CHAN);
  c->shared = shared;
  lua_newtable(L);
  ecru_lua_set_own(L, lua_gettop(L) - 1);
  return c;
}

void ecru_lua_push_shared(lua_State *L, ecru_chan *chan) { push_chan(L, ecru_lua_universe(L), true)->chan = ecru_chan_retain(chan); }

static int new_channel(lua_State *L, bool shared) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  double capacity = lua_isnoneornil(L, 1) ? 0 : lua_tonumber(L, 1);
  if (!lua_isnoneornil(L, 1) && !lua_isnumber(L, 1)) ecru_lua_bad_argument(L, 1, "capacity");
  if (!(capacity >= 0)) ecru_lua_raise_text(L, ECRU_EINVAL, "a channel's capacity is 0 or more");
  options.unbounded = capacity > 2147483648.0; // math.huge
  options.full = policy_of(L, 2);
  lua_settop(L, 2);
  channel *c = push_chan(L, u, shared);
  options.dropped = shared ? free_dropped : note_dropped;
  options.context = c;
  int status = ecru_chan_create_with(&c->chan, sizeof(item), options.unbounded ? 0 : (size_t)capacity, &options);
  if (status != 0) ecru_lua_raise(L, status);
  return 1;
}

static int new_chan(lua_State *L) { return new_channel(L, false); }
static int new_shared(lua_State *L) { return new_channel(L, true); }

static int chan_send(lua_State *L) {
  channel *c = check_chan(L, 1);
  item i = ecru_lua_pack(L, 1, 2);
  int status;
  CHAN_WAIT(L, c, status, ecru_chan_send(c->chan, &i));
  if (status == 0) return 0;
  ecru_lua_settle(L, c->head.home);
  ecru_lua_discard(L, 1, &i);
  ecru_lua_raise(L, status);
}

static int chan_recv(lua_State *L) {
  channel *c = check_chan(L, 1);
  item i;
  int status;
  CHAN_WAIT(L, c, status, ecru_chan_recv(c->chan, &i));
  if (status != 0) ecru_lua_raise(L, status);
  ecru_lua_unpack(L, 1, &i);
  return 1;
}

/// for value in chan do: until it is closed.
static int chan_next(lua_State *L) {
  channel *c = check_chan(L, 1);
  item i;
  int status;
  CHAN_WAIT(L, c, status, ecru_chan_recv(c->chan, &i));
  if (status == ECRU_ECLOSED) return 0;
  if (status != 0) ecru_lua_raise(L, status);
  if (i.kind == ITEM_NIL) ecru_lua_raise_text(L, ECRU_EINVAL, "a nil came through a channel that is iterated: use recv");
  ecru_lua_unpack(L, 1, &i);
  return 1;
}

static int chan_try_send(lua_State *L) {
  channel *c = check_chan(L, 1);
  item i = ecru_lua_pack(L, 1, 2);
  ecru_lua_chan_enter(c);
  int status = ecru_chan_try_send(c->chan, &i);
  ecru_lua_chan_leave(L, 1, c);
  if (status != 0) ecru_lua_discard(L, 1, &i);
  if (status != 0 && status != ECRU_EAGAIN) ecru_lua_raise(L, status);
  lua_pushboolean(L, status == 0);
  return 1;
}

static int chan_try_recv(lua_State *L) {
  channel *c = check_chan(L, 1);
  item i;
  int status = ecru_chan_try_recv(c->chan, &i);
  if (status != 0 && status != ECRU_EAGAIN) ecru_lua_raise(L, status);
  lua_pushboolean(L, status == 0);
  if (status != 0) return 1;
  ecru_lua_unpack(L, 1, &i);
  return 2;
}

static int chan_close(lua_State *L) {
  channel *c = check_chan(L, 1);
  int cause = ecru_lua_cause(L, 2);
  int status = cause == 0 ? ecru_chan_close(c->chan) : ecru_chan_close_with(c->chan, cause);
  if (status != 0) ecru_lua_raise(L, status);
  return 0;
}

static int chan_is_closed(lua_State *L) {
  lua_pushboolean(L, ecru_chan_is_closed(check_chan(L, 1)->chan));
  return 1;
}
static int chan_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)ecru_chan_len(check_chan(L, 1)->chan));
  return 1;
}
static int chan_cap(lua_State *L) {
  size_t capacity = ecru_chan_cap(check_chan(L, 1)->chan);
  lua_pushnumber(L, capacity == SIZE_MAX ? HUGE_VAL : (double)capacity);
  return 1;
}
static int chan_tostring(lua_State *L) {
  channel *c = check_chan(L, 1);
  lua_pushfstring(L, CHAN ": %d buffered%s", (int)ecru_chan_len(c->chan), ecru_chan_is_closed(c->chan) ? ", closed" : "");
  return 1;
}

static int chan_gc(lua_State *L) {
  channel *c = ecru_lua_test_chan(L, 1);
  if (!c || !c->chan) return 0;
  c->collected = true;
  if (c->inside > 0) return 0; // the state is being closed; the last to leave it does it
  ecru_chan_release(c->chan);
  c->chan = NULL;
  return 0;
}

int ecru_lua_open_chans(lua_State *L) {
  static const luaL_Reg methods[] = {{"send", chan_send},   {"recv", chan_recv},           {"try_send", chan_try_send}, {"try_recv", chan_try_recv},
                                     {"close", chan_close}, {"is_closed", chan_is_closed}, {"len", chan_len},           {"cap", chan_cap},
                                     {"__call", chan_next}, {"__len", chan_len},           {"__tostring", chan_tostring}, {"__gc", chan_gc},
                                     {NULL, NULL}};
  static const luaL_Reg functions[] = {{"chan", new_chan}, {"shared_chan", new_shared}, {NULL, NULL}};
  ecru_lua_class(L, CHAN, methods);
  lua_setfield(L, -2, "Chan");
  lua_pushlightuserdata(L, ecru_lua_universe(L));
  luaL_setfuncs(L, functions, 1);
  return 0;
}
