/// ruby/fibers.h: scopes of Fibers. Included by the wrapper that SWIG writes.
///
/// C knows scopes of threads. The fibers of a thread are a chain: the one that runs was resumed by the one before it, and is under that one's scopes, too. Whoever
/// is suspended leaves its own scopes, and enters them again when it is resumed. Ruby tells of both after each switch; who is in the chain already was
/// given control back by those after it, anyone else was resumed.
///
/// Tried and dropped: fiber-local variables, which say of the innermost scope that it is another fiber's, but not whether that fiber waits for this one.
#ifndef ECRU_RUBY_FIBERS_H
#define ECRU_RUBY_FIBERS_H
#include <ruby/debug.h>

/// Tokens of scopes that are not entered now, the outermost first: a fiber's, in an instance variable of it.
typedef struct left_scopes {
  unsigned forks; // handle_forks of then
  size_t count;
  ecru_token *tokens[];
} left_scopes;
typedef struct fiber_link {
  VALUE fiber;
  size_t entered; // scopes of its own
} fiber_link;
/// In an instance variable of the thread.
typedef struct fiber_chain {
  size_t count, room; // count > 0
  fiber_link *links;  // the last one runs
} fiber_chain;

static ID id_chain, id_left;

static void free_left_scopes(void *argument) {
  left_scopes *left = argument;
  bool own = left->forks == handle_forks; // handle.h, invariant 6
  for (size_t i = 0; own && i < left->count; i++) ecru_token_release(left->tokens[i]);
  ruby_xfree(left);
}
static const rb_data_type_t left_scopes_type = {.wrap_struct_name = "ecru left scopes", .function = {.dfree = free_left_scopes}, .flags = RUBY_TYPED_FREE_IMMEDIATELY};

static void mark_chain(void *argument) {
  const fiber_chain *chain = argument;
  for (size_t i = 0; i < chain->count; i++) rb_gc_mark(chain->links[i].fiber);
}
static void free_chain(void *argument) {
  ruby_xfree(((fiber_chain *)argument)->links);
  ruby_xfree(argument);
}
static const rb_data_type_t chain_type = {.wrap_struct_name = "ecru fibers", .function = {.dmark = mark_chain, .dfree = free_chain}, .flags = RUBY_TYPED_FREE_IMMEDIATELY};

static void push_link(fiber_chain *chain, VALUE fiber) {
  if (chain->count == chain->room) {
    size_t room = chain->room ? 2 * chain->room : 4;
    fiber_link *links = ruby_xmalloc2(room, sizeof *links), *old = chain->links; // not realloc: that may collect between the two
    if (old) memcpy(links, old, chain->count * sizeof *links);
    chain->links = links;
    chain->room = room;
    ruby_xfree(old);
  }
  chain->links[chain->count++] = (fiber_link){fiber, 0};
}

/// The calling thread's. One that Ruby has not told of begins with the fiber that asks.
static fiber_chain *chain_of_thread(void) {
  VALUE thread = rb_thread_current(), known = rb_attr_get(thread, id_chain);
  if (!NIL_P(known)) return rb_check_typeddata(known, &chain_type);
  fiber_chain *chain = NULL;
  VALUE made = TypedData_Make_Struct(rb_cObject, fiber_chain, &chain_type, chain);
  push_link(chain, rb_fiber_current());
  rb_ivar_set(thread, id_chain, made);
  return chain;
}

static void leave_scopes(fiber_link *suspended) {
  left_scopes *left = ruby_xcalloc(1, sizeof *left + suspended->entered * sizeof *left->tokens);
  VALUE kept = TypedData_Wrap_Struct(rb_cObject, &left_scopes_type, left);
  left->forks = handle_forks;
  left->count = suspended->entered;
  for (size_t i = left->count; i-- > 0;) {
    left->tokens[i] = ecru_token_retain(ecru_token_current());
    (void)ecru_token_leave();
  }
  suspended->entered = 0;
  rb_ivar_set(suspended->fiber, id_left, kept);
}

/// In a forked child, in place of a token of its parent's, which others may have waited under (handle.h, invariant 6): one that has fired if that one has, and
/// does when that one's time is over. It is nobody's child: all that could fire it is a parent's, too.
static int enter_anew(ecru_token *old) {
  ecru_token *anew = NULL;
  if (old == ecru_token_background()) return ecru_token_enter(old);
  int fired = ecru_token_err(old);
  int64_t deadline_ns = fired == ECRU_ETIMEDOUT ? 0 : fired ? ECRU_FOREVER : ecru_token_deadline(old);
  int status = ecru_token_create(&anew, ecru_token_background(), deadline_ns);
  if (status < 0) return status;
  if (fired == ECRU_ECANCELED) (void)ecru_token_cancel(anew, ecru_token_cause(old));
  status = ecru_token_enter(anew);
  ecru_token_release(anew);
  return status;
}
/// So many, of the thread that forked, the outermost first. What is left is kept alive: it is in lists of its parents'.
static int enter_all_anew(size_t count) {
  if (count == 0) return 0;
  ecru_token *old = ecru_token_retain(ecru_token_current());
  int status = ecru_token_leave();
  if (status == 0) status = enter_all_anew(count - 1);
  return status == 0 ? enter_anew(old) : status;
}

static void enter_scopes(fiber_link *resumed) {
  VALUE kept = rb_attr_get(resumed->fiber, id_left);
  if (NIL_P(kept)) return;
  rb_ivar_set(resumed->fiber, id_left, Qnil);
  const left_scopes *left = rb_check_typeddata(kept, &left_scopes_type);
  bool own = left->forks == handle_forks;
  for (size_t i = 0; i < left->count; i++) resumed->entered += (own ? ecru_token_enter(left->tokens[i]) : enter_anew(left->tokens[i])) == 0;
  RB_GC_GUARD(kept);
}

static void on_switch(rb_event_flag_t event, VALUE data, VALUE self, ID method, VALUE class) {
  (void)event, (void)data, (void)self, (void)method, (void)class;
  VALUE fiber = rb_fiber_current();
  fiber_chain *chain = chain_of_thread();
  size_t place = 0;
  while (place < chain->count && chain->links[place].fiber != fiber) place++;
  if (place == chain->count) {
    push_link(chain, fiber);
    enter_scopes(&chain->links[place]);
    return;
  }
  for (; chain->count > place + 1; chain->count--)
    if (chain->links[chain->count - 1].entered > 0) leave_scopes(&chain->links[chain->count - 1]);
}
/// In the thread, of which the calling fiber is the first.
static void on_thread_begin(rb_event_flag_t event, VALUE data, VALUE self, ID method, VALUE class) {
  (void)event, (void)data, (void)self, (void)method, (void)class;
  (void)chain_of_thread();
}

/// Around a scope, by the fiber that has entered it and leaves it.
static fiber_link *link_of_fiber(void) {
  const fiber_chain *chain = chain_of_thread();
  return &chain->links[chain->count - 1];
}
static void ecru_ruby_scope_entered(void) { link_of_fiber()->entered++; }
/// returns: whether it was: not if it could not be entered again.
static bool ecru_ruby_scope_left(void) {
  fiber_link *own = link_of_fiber();
  bool was = own->entered > 0;
  if (was) own->entered--;
  return was;
}

static void ecru_ruby_fibers(void) {
  id_chain = rb_intern("__ecru_fibers__");
  id_left = rb_intern("__ecru_left__");
  (void)chain_of_thread();
  rb_add_event_hook(on_switch, RUBY_EVENT_FIBER_SWITCH, Qnil);
  rb_add_event_hook(on_thread_begin, RUBY_EVENT_THREAD_BEGIN, Qnil);
}
#endif
