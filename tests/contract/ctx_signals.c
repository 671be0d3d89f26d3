/// tests/contract/ctx_signals.c: the signal mask is the thread's, whatever context runs on it.
#include "platform/ctx.h"
#include "test.h"
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>

enum { STACK_BYTES = 64 * 1024 };

struct context {
  void *self;
  void *resumer;
  alignas(16) char stack[STACK_BYTES];
};
static void create(struct context *context, void (*entry)(void *)) {
  context->self = ecru__ctx_make(context->stack + STACK_BYTES, STACK_BYTES, entry);
}
static void *resume(struct context *context) { return ecru__ctx_switch(&context->resumer, context->self, context); }
static void suspend(struct context *context, bool value) { ecru__ctx_switch(&context->self, context->resumer, (void *)(intptr_t)value); }

static bool blocks_pipe_signal(void) {
  sigset_t mask;
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
  return sigismember(&mask, SIGPIPE) == 1;
}
static void set_pipe_signal(int how) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGPIPE);
  CHECK_EQ(pthread_sigmask(how, &mask, NULL), 0);
}
static void look_at_mask(void *value) {
  struct context *context = value;
  for (;;) suspend(context, blocks_pipe_signal());
}
static void change_mask(void *value) {
  struct context *context = value;
  set_pipe_signal(SIG_BLOCK);
  suspend(context, true);
  abort();
}
static void block_pipe_signal(void *unused) {
  (void)unused;
  set_pipe_signal(SIG_BLOCK);
}

TEST(ctx, the_signal_mask_is_the_threads) {
  set_pipe_signal(SIG_UNBLOCK);
  static struct context looks, changes;
  create(&looks, look_at_mask), create(&changes, change_mask);
  set_pipe_signal(SIG_BLOCK);
  CHECK_EQ(resume(&looks), true); // made under another
  set_pipe_signal(SIG_UNBLOCK);
  CHECK_EQ(resume(&looks), false); // suspended under another
  resume(&changes);
  CHECK(blocks_pipe_signal());
  set_pipe_signal(SIG_UNBLOCK);
  ecru__ctx_call(looks.self, block_pipe_signal, NULL);
  CHECK(blocks_pipe_signal());
  ecru__ctx_drop(looks.self), ecru__ctx_drop(changes.self);
}
