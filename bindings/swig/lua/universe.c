/// lua/universe.c: a state's goroutines, from the thread that becomes their host to the state's end.
///
/// At the end (lua_close) the goroutines that are left are cancelled and may clean up, until none has ended for a second (GRACE). Who still waits then, or waits again, is
/// ended where it wakes, having left what it was waiting in, without running Lua any more. What does not wake even then (one that waits to have a mutex again after a condition, of somebody
/// who was ended so) stays parked for ever: the host is not left.
///
/// Finalizers run in the reverse order of their objects' making, so the one that does this must be newer than what the goroutines use: it is made anew
/// where the first goroutine goes on after a wait, if there are others and objects of ours were made since (`stale`).
///
/// LuaJIT keeps the running thread in its global state (cur_L): traces and, up to 2023, an error caught by pcall find the thread there. It is set
/// where the VM is entered and where a C function returns to it, but an error raised by a C function that has waited would be caught with another
/// goroutine's. So after a wait, if another thread ran meanwhile, the VM is entered once for this one before anything may raise an error: `settle`. What
/// just returns need not: a channel's numbers are a third faster for it. (The JIT compiler never calls C functions from traces, except through the FFI:
/// there is no waiting in functions called through it.)
#include "native.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY "ecru.universe"
#define KEEPER "ecru.universe.keeper"

enum {
#ifdef LUAJIT_VERSION
  // It counts no C calls: what ends a recursion through C is the Lua stack's limit, 65500 slots. Worst of what is known: string.gsub, 8.4 KB for each.
  STACK = 64 << 20,
#else
  // LUAI_MAXCCALLS (200) ends a recursion through C. Worst of what is known: string.gsub and table.concat, less than 2.5 KB for each; the rest is for modules.
  STACK = 1 << 20,
#endif
};
#define GRACE ECRU_SECOND

static const char universe_tag, keeper_tag;
typedef struct holder {
  tagged head;
  universe *universe;
} holder;

universe *ecru_lua_universe(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&keeper_tag);
  lua_rawget(L, LUA_REGISTRYINDEX);
  holder *h = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return h->universe;
}

static holder *new_holder(lua_State *L, const void *tag, const char *class) {
  lua_pushlightuserdata(L, (void *)tag);
  holder *h = ecru_lua_new(L, NULL, tag, sizeof *h, class);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return h;
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

void ecru_lua_may_wait(lua_State *L, const universe *u) {
#if LUA_VERSION_NUM >= 504
  // In a finalizer the collector stands still and must not be left so.
  if (lua_gc(L, LUA_GCCOUNT, 0) < 0 && !u->closing) ecru_lua_raise_text(L, ECRU_EPERM, "cannot wait in a finalizer");
#else
  (void)L, (void)u;
#endif
}

static int nothing(lua_State *L) { return (void)L, 0; }

void ecru_lua_tell_vm(lua_State *L, universe *u) {
  u->unsettled = false;
#ifdef LUAJIT_VERSION
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
#else
  (void)L, (void)nothing;
#endif
}

static bool is_home(const universe *u) { return ecru_id() == u->home_id; }

void ecru_lua_ended(universe *u) {
  if (--u->count > 0 || !u->awaited) return;
  u->awaited = false;
  (void)ecru_waitgroup_done(u->alive);
}

/// Under a token that has fired nothing waits: one that goes on in spite of all errors would keep everybody else from running.
static void let_the_end_come(void) {
  if (ecru_shield_enter(ECRU_FOREVER) != 0) return;
  (void)ecru_yield();
  (void)ecru_token_leave();
}

/// Ends the calling goroutine, unless it is the one that closes the state. Nothing of the state's is touched.
void ecru_lua_vanish(universe *u) {
  if (is_home(u)) return;
  ecru_lua_ended(u);
  ecru_exit();
}

/// After a wait, while the state is being closed.
void ecru_lua_after_end(lua_State *L, universe *u) {
  if (is_home(u)) return;
  let_the_end_come();
  if (u->dead) ecru_lua_vanish(u);
  ecru_lua_woken(L, u);
}

/// After a wait, if objects were made that are newer than what ends the universe.
void ecru_lua_freshen(lua_State *L, universe *u) {
  if (u->count == 0 || u->closing || !is_home(u)) return;
  ecru_lua_settle(L, u);
  u->stale = false;
  luaL_checkstack(L, 4, NULL);
  lua_pushlightuserdata(L, (void *)&universe_tag);
  lua_rawget(L, LUA_REGISTRYINDEX);
  holder *old = lua_touserdata(L, -1), *h = new_holder(L, &universe_tag, KEY);
  old->universe = NULL;
  h->universe = u;
  lua_pop(L, 1);
}

bool ecru_lua_interrupted(lua_State *L) {
  ecru_lua_settle(L, ecru_lua_universe(L));
  return luaL_loadstring(L, "") != 0 || lua_pcall(L, 0, 0, 0) != 0; // the stand-alone interpreter's handler has set a hook
}

// ---- the host ----------------------------------------------------------------------------------------------------------

static atomic_bool stacks_are_ours; // the runtime was started here
static atomic_int universes;        // that have goroutines, or had

ecru_go_options ecru_lua_go_options(void) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_HOSTED;
  if (!atomic_load_explicit(&stacks_are_ours, memory_order_relaxed)) options.stack_bytes = STACK;
  return options;
}

static void start_runtime(universe *u) {
  if (!u->counted) atomic_fetch_add_explicit(&universes, 1, memory_order_relaxed);
  u->counted = true;
  ecru_options options = ECRU_OPTIONS;
  options.stack_bytes = STACK;
  if (ecru_start(&options) == 0) atomic_store_explicit(&stacks_are_ours, true, memory_order_relaxed);
}

static void interrupted(void *context) {
  (void)context;
  (void)ecru_host_interrupt();
}

void ecru_lua_host(lua_State *L, universe *u) {
  if (u->scoped && !u->dead && ecru_is_hosted()) return;
  if (u->closing) ecru_lua_raise(L, ECRU_ESHUTDOWN);
  start_runtime(u);
  ecru_host_hooks hooks = ECRU_HOST_HOOKS;
  hooks.interrupted = interrupted;
  int status = ecru_host_enter(&hooks);
  if (status != 0 && status != ECRU_EBUSY) ecru_lua_raise_text(L, status, "this thread cannot run goroutines: %s", ecru_strerror(status));
  u->entered |= status == 0;
  u->home_id = ecru_id();
  status = u->alive ? 0 : ecru_waitgroup_create(&u->alive);
  if (status == 0 && !u->token) status = ecru_token_create(&u->token, NULL, ECRU_FOREVER);
  if (status == 0 && !u->shields) status = ecru_token_without_cancel(&u->shields, NULL);
  if (status == 0 && !u->fired) status = ecru_token_without_cancel(&u->fired, NULL);
  if (status == 0) status = ecru_token_cancel(u->fired, 0);
  if (status == 0 && !u->scoped) status = ecru_token_enter(u->token);
  if (status != 0) ecru_lua_raise(L, status);
  u->scoped = true;
}

// ---- the end -----------------------------------------------------------------------------------------------------------

/// Those that are left clean up; returns when they have ended, or none has for so long.
static void wait_out(universe *u, int64_t grace_ns) {
  size_t before;
  do {
    before = u->count;
    if (!u->awaited && ecru_waitgroup_add(u->alive, 1) != 0) return;
    u->awaited = true;
    if (ecru_shield_enter(ecru_after(grace_ns)) != 0) return;
    (void)ecru_waitgroup_wait(u->alive);
    (void)ecru_token_leave();
  } while (u->count > 0 && u->count < before);
}

static void end(universe *u) {
  if (u->closing) return;
  u->closing = true;
  if (u->count > 0 && is_home(u)) {
    (void)ecru_token_cancel(u->token, 0);
    wait_out(u, GRACE);
    u->dead = true;
    if (u->count > 0) (void)ecru_token_cancel(u->shields, 0);
    if (u->count > 0) wait_out(u, 100 * ECRU_MILLISECOND);
    if (u->count > 0) fprintf(stderr, "ecru: %zu goroutines of a Lua state that is closed do not end\n", u->count);
  }
  u->dead = true;
}

void ecru_lua_end(lua_State *L) { end(ecru_lua_universe(L)); }

static int universe_gc(lua_State *L) {
  holder *h = ecru_lua_test(L, 1, &universe_tag, sizeof *h);
  if (h && h->universe) end(h->universe);
  return 0;
}

/// The thread is no host any more, and the runtime stops, if nobody else needs them.
static void give_back(universe *u) {
  if (u->scoped) (void)ecru_token_leave();
  if (u->entered) (void)ecru_host_leave(); // not if there is another state's goroutine
  ecru_token_release(u->token);
  ecru_token_release(u->shields);
  ecru_token_release(u->fired);
  ecru_waitgroup_destroy(u->alive);
  ecru_lua_free_runners(u);
  // acq_rel: the last one comes after the others' ends
  bool last = u->counted && atomic_fetch_sub_explicit(&universes, 1, memory_order_acq_rel) == 1;
  if (last && atomic_load_explicit(&stacks_are_ours, memory_order_relaxed) && ecru_stop() == 0) atomic_store_explicit(&stacks_are_ours, false, memory_order_relaxed);
}

/// Made before all of our objects, and so finalized after them.
static int keeper_gc(lua_State *L) {
  holder *h = ecru_lua_test(L, 1, &keeper_tag, sizeof *h);
  if (!h || !h->universe) return 0;
  h->universe->gone = true;
  if (h->universe->count > 0) return 0; // what could not be ended has what is left
  give_back(h->universe);
  free(h->universe);
  h->universe = NULL;
  return 0;
}

int ecru_lua_open_universe(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", universe_gc}, {NULL, NULL}}, keeper_methods[] = {{"__gc", keeper_gc}, {NULL, NULL}};
  ecru_lua_class(L, KEY, methods);
  ecru_lua_class(L, KEEPER, keeper_methods);
  lua_pop(L, 2);
  holder *keeper = new_holder(L, &keeper_tag, KEEPER);
  holder *h = new_holder(L, &universe_tag, KEY);
  keeper->universe = h->universe = calloc(1, sizeof *h->universe);
  if (!h->universe) return luaL_error(L, "not enough memory");
  return 0;
}
