/// ruby/forks.h: a forked child starts anew (G14). Included by the wrapper that SWIG writes, after fibers.h.
///
/// Ruby forks with its lock held, in a thread that is in no call of ours: none runs Ruby code. What the others were in is lost there (handle.h), and what ran in
/// threads has ended; lib/ refuses to wait for that (Core.forks). The scopes of the one that forked go on, under tokens of the child's own.
#ifndef ECRU_RUBY_FORKS_H
#define ECRU_RUBY_FORKS_H
#include <pthread.h>

static void forked_child(void) {
  if (ecru_restart_in_child() == 0) handles_in_child();
}

/// The runtime's own handler has to come before ours, and is there once it has been up. A system without memory for either: children are ECRU_EFORKED.
static void ecru_ruby_follow_forks(void) {
  bool started = ecru_start(NULL) == 0;
  (void)pthread_atfork(NULL, NULL, forked_child);
  if (started) (void)ecru_stop();
}

/// Core.forks: how many forks lie between this process and the one that loaded the module. What was made at another count is a parent's.
static VALUE core_forks(VALUE self) {
  (void)self;
  return UINT2NUM(handle_forks);
}

/// Core.keep_scopes: in a child; the first thread that does something there is under the scopes of the one that forked: this is that one, and makes
/// them the child's.
static VALUE core_keep_scopes(VALUE self) {
  (void)self;
  const fiber_chain *chain = chain_of_thread();
  size_t entered = 0;
  for (size_t i = 0; i < chain->count; i++) entered += chain->links[i].entered;
  int status = enter_all_anew(entered);
  if (status < 0) ecru_ruby_raise(status, NULL);
  return Qnil;
}

static void ecru_ruby_forks(VALUE module) {
  rb_define_module_function(module, "forks", core_forks, 0);
  rb_define_module_function(module, "keep_scopes", core_keep_scopes, 0);
  ecru_ruby_follow_forks();
}
#endif
