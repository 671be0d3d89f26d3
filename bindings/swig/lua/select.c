/// lua/select.c: select(cases, options) -> index, value, error.
///
/// A case is a channel (receive), {send = channel, value = v}, a task, a token, a timer, or {read = io} or {write = io}; false: none, never ready.
/// Options: {timeout = seconds, poll = true, priority = true}. Nothing within the timeout, or at once with poll: nil.
#include "chan.h"
#include "swig.h"

enum { CASES_MAX = 4096 };

typedef struct selection {
  lua_State *L;
  size_t count;
  ecru_case *cases; // on the stack as userdata, with items and handles behind it
  item *items;
  handle **handles; // entered; NULL: none
} selection;
enum { CASES = 1, OPTIONS, MEMORY, OBJECTS }; // where they are on the stack: OBJECTS: a table, object of each case

static void set_chan(selection *s, size_t i, channel *c, uint32_t kind) {
  ecru_lua_chan_enter(c);
  s->cases[i] = (ecru_case){.kind = kind, .object = c->chan, .value = &s->items[i]};
}

static void set_swig(selection *s, size_t i, int index, int class, uint32_t kind) {
  int status;
  void *object = ecru_lua_swig_object(s->L, index, class, &s->handles[i], &status);
  if (!object) ecru_lua_raise(s->L, status);
  s->cases[i] = (ecru_case){.kind = kind, .object = object};
}

/// One that has ended is as good as a token that has fired.
static void set_task(selection *s, size_t i, tagged *task) {
  ecru_task *object = ecru_lua_task_enter(task);
  s->cases[i] = object ? (ecru_case){.kind = ECRU_CASE_TASK, .object = object} : (ecru_case){.kind = ECRU_CASE_TOKEN, .object = task->home->fired};
}

/// The case on top of the stack is an object. returns: whether it is one that can be waited for.
static bool set_object(selection *s, size_t i) {
  lua_State *L = s->L;
  channel *c = ecru_lua_test_chan(L, -1);
  tagged *task = ecru_lua_test(L, -1, &ecru_lua_task_tag, sizeof(tagged));
  if (c) set_chan(s, i, c, ECRU_CASE_RECV);
  else if (task) set_task(s, i, task);
  else if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) s->cases[i] = (ecru_case){.kind = ECRU_CASE_RECV};
  else if (ecru_lua_is_swig(L, -1, SWIG_TOKEN)) set_swig(s, i, -1, SWIG_TOKEN, ECRU_CASE_TOKEN);
  else if (ecru_lua_is_swig(L, -1, SWIG_TIMER)) set_swig(s, i, -1, SWIG_TIMER, ECRU_CASE_TIMER);
  else return false;
  lua_pushvalue(L, -1);
  lua_rawseti(L, OBJECTS, (int)i + 1);
  return true;
}

static bool set_descriptor(selection *s, size_t i, const char *field, uint32_t kind) {
  lua_State *L = s->L;
  lua_getfield(L, -1, field);
  bool is_one = ecru_lua_is_swig(L, -1, SWIG_IO);
  if (is_one) set_swig(s, i, -1, SWIG_IO, kind);
  lua_pop(L, 1);
  return is_one;
}

/// The case on top of the stack is a table.
static bool set_table(selection *s, size_t i) {
  lua_State *L = s->L;
  if (set_descriptor(s, i, "read", ECRU_CASE_READ) || set_descriptor(s, i, "write", ECRU_CASE_WRITE)) return true;
  lua_getfield(L, -1, "send");
  channel *c = ecru_lua_test_chan(L, -1);
  if (!c) return false;
  lua_getfield(L, -2, "value");
  s->items[i] = ecru_lua_pack(L, lua_gettop(L) - 1, lua_gettop(L));
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, OBJECTS, (int)i + 1);
  set_chan(s, i, c, ECRU_CASE_SEND);
  lua_pop(L, 1);
  return true;
}

static int set_all(lua_State *L) {
  selection *s = lua_touserdata(L, 5);
  for (size_t i = 0; i < s->count; i++) {
    lua_rawgeti(L, CASES, (int)i + 1);
    bool good = lua_istable(L, -1) ? set_table(s, i) : set_object(s, i);
    if (!good) ecru_lua_raise_text(L, ECRU_EINVAL, "case %d of a select is none: a channel, task, token, timer, {send = channel, value = v}, {read = io} or {write = io}", (int)i + 1);
    lua_settop(L, 5);
  }
  return 0;
}

/// Leaves the case's object, and takes back what was not sent.
static void leave(selection *s, size_t i, bool sent) {
  lua_State *L = s->L;
  const ecru_case *one = &s->cases[i];
  lua_rawgeti(L, OBJECTS, (int)i + 1);
  int object = lua_gettop(L);
  if (one->kind == ECRU_CASE_TASK) ecru_lua_task_leave(lua_touserdata(L, object));
  if (one->kind == ECRU_CASE_SEND && !sent) ecru_lua_discard(L, object, &s->items[i]);
  if (one->kind == ECRU_CASE_SEND || one->kind == ECRU_CASE_RECV) ecru_lua_chan_leave(L, object, lua_touserdata(L, object));
  lua_pop(L, 1);
}

/// Leaves all that was entered.
static void leave_all(selection *s, int picked) {
  for (size_t i = 0; i < s->count; i++) {
    if (s->handles[i]) handle_leave(s->handles[i]);
    else if (s->cases[i].object) leave(s, i, (int)i == picked && s->cases[i].status == 0);
  }
}

static bool flag(lua_State *L, const char *name) {
  lua_getfield(L, OPTIONS, name);
  bool set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static unsigned read_options(lua_State *L, int64_t *deadline) {
  *deadline = ECRU_FOREVER;
  if (lua_isnil(L, OPTIONS)) return 0;
  if (!lua_istable(L, OPTIONS)) ecru_lua_bad_argument(L, OPTIONS, "table");
  lua_getfield(L, OPTIONS, "timeout");
  int64_t timeout = ecru_lua_duration(L, lua_gettop(L));
  lua_pop(L, 1);
  if (timeout >= 0) *deadline = ecru_after(timeout);
  return (flag(L, "poll") ? ECRU_SELECT_POLL : 0u) | (flag(L, "priority") ? ECRU_SELECT_PRIORITY : 0u);
}

static int push_outcome(selection *s, int picked) {
  lua_State *L = s->L;
  const ecru_case *one = &s->cases[picked];
  lua_pushinteger(L, picked + 1);
  if (one->status != 0) {
    lua_pushnil(L);
    ecru_lua_push_error(L, one->status, ecru_strerror(one->status));
    return 3;
  }
  if (one->kind != ECRU_CASE_RECV) return 1;
  lua_rawgeti(L, OBJECTS, picked + 1);
  ecru_lua_unpack(L, lua_gettop(L), &s->items[picked]);
  lua_remove(L, -2);
  return 2;
}

static void make_room(lua_State *L, selection *s) {
  size_t each = sizeof(ecru_case) + sizeof(item) + sizeof(handle *);
  char *memory = lua_newuserdata(L, s->count * each + 1);
  s->cases = (ecru_case *)memory;
  s->items = (item *)(s->cases + s->count);
  s->handles = (handle **)(s->items + s->count);
  for (size_t i = 0; i < s->count; i++) {
    s->cases[i] = (ecru_case){.kind = ECRU_CASE_RECV};
    s->items[i] = (item){.kind = ITEM_NIL};
    s->handles[i] = NULL;
  }
  lua_createtable(L, (int)s->count, 0);
}

static int do_select(lua_State *L) {
  universe *u = lua_touserdata(L, lua_upvalueindex(1));
  if (!lua_istable(L, CASES)) ecru_lua_bad_argument(L, CASES, "table of cases");
  lua_settop(L, OPTIONS);
  int64_t deadline;
  unsigned flags = read_options(L, &deadline);
  if (!(flags & ECRU_SELECT_POLL)) ecru_lua_may_wait(L, u); // before anything is entered
  selection s = {.L = L, .count = lua_rawlen(L, CASES)};
  if (s.count > CASES_MAX) ecru_lua_raise_text(L, ECRU_EINVAL, "a select of more than %d cases", CASES_MAX);
  make_room(L, &s);
  lua_pushcfunction(L, set_all);
  for (int i = CASES; i <= OBJECTS; i++) lua_pushvalue(L, i);
  lua_pushlightuserdata(L, &s);
  if (lua_pcall(L, 5, 0, 0) != 0) {
    leave_all(&s, -1);
    return lua_error(L);
  }
  int picked;
  do {
    ecru_lua_runs(L, u);
    picked = ecru_select_until(s.cases, s.count, flags, deadline);
    ecru_lua_woken(L, u);
  } while (ecru_lua_again(L, &picked));
  ecru_lua_settle(L, u);
  leave_all(&s, picked);
  ecru_lua_goes_on(L, u);
  if (picked >= 0) return push_outcome(&s, picked);
  bool nothing = picked == ECRU_EAGAIN || (picked == ECRU_ETIMEDOUT && deadline != ECRU_FOREVER && ecru_check() == 0);
  if (!nothing) ecru_lua_raise(L, picked);
  lua_pushnil(L);
  return 1;
}

int ecru_lua_open_select(lua_State *L) {
  lua_pushlightuserdata(L, ecru_lua_universe(L));
  lua_pushcclosure(L, do_select, 1);
  lua_setfield(L, -2, "select");
  return 0;
}
