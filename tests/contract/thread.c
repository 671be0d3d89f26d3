/// tests/contract/thread.c: what platform/thread.h promises of threads. CPU budgets: budget.c; signals: thread_signals.c.
#include "platform/thread.h"
#include "ecru/base.h"
#include "test.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void *handle;

static void set_flag(void *argument) { *(int *)argument = 1; }

TEST(thread, join_waits_for_the_end) {
  for (int i = 0; i < 20; i++) {
    int flag = 0;
    errno = EXFULL;
    CHECK_EQ(ecru__thread_start(&handle, set_flag, &flag, "worker", 0), 0);
    CHECK_EQ(errno, EXFULL);
    ecru__thread_join(handle);
    CHECK_EQ(flag, 1);
  }
}

static _Atomic int may_end, has_ended;

static void wait_for_leave(void *argument) {
  (void)argument;
  while (!atomic_load(&may_end)) ecru__thread_yield();
  atomic_store(&has_ended, 1);
}

TEST(thread, a_detached_thread_runs_on) {
  CHECK_EQ(ecru__thread_start(&handle, wait_for_leave, NULL, NULL, 0), 0);
  ecru__thread_detach(handle);
  atomic_store(&may_end, 1);
  while (!atomic_load(&has_ended)) ecru__thread_yield();
}

TEST(thread, the_count_follows_the_threads) {
  void *handles[4];
  CHECK_EQ(ecru__thread_start(&handles[3], wait_for_leave, NULL, NULL, 0), 0); // with the first, a sanitizer starts its own
  int before = ecru__thread_count();
  if (before == 0) SKIP("the count is unknown here");
  for (int i = 0; i < 3; i++) CHECK_EQ(ecru__thread_start(&handles[i], wait_for_leave, NULL, NULL, 0), 0);
  errno = EXFULL;
  CHECK_EQ(ecru__thread_count(), before + 3);
  CHECK_EQ(errno, EXFULL);
  atomic_store(&may_end, 1);
  for (int i = 0; i < 4; i++) ecru__thread_join(handles[i]);
  while (ecru__thread_count() != before - 1) ecru__thread_yield(); // the kernel forgets a joined thread a moment later
}

TEST(thread, counting_takes_no_descriptor) {
  struct rlimit limit, none;
  int before = ecru__thread_count();
  if (before == 0) SKIP("the count is unknown here");
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  none = limit;
  none.rlim_cur = 0;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  CHECK_EQ(ecru__thread_count(), before);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0); // a leak checker reads files at the end
}

static void note_name(void *argument) { prctl(PR_GET_NAME, argument); }

TEST(thread, it_bears_its_name) {
  char name[17] = "";
  CHECK_EQ(ecru__thread_start(&handle, note_name, name, "ecru-worker", 0), 0);
  ecru__thread_join(handle);
  CHECK_STR(name, "ecru-worker");
  CHECK_EQ(ecru__thread_start(&handle, note_name, name, "a name of more than fifteen bytes", 0), 0);
  ecru__thread_join(handle);
  CHECK_STR(name, "a name of more ");
}

struct stack {
  int status;
  void *low;
  size_t bytes;
  int holds_a_local;
};

static void note_stack(void *argument) {
  struct stack *stack = argument;
  char local;
  stack->status = ecru__thread_stack(&stack->low, &stack->bytes);
  stack->holds_a_local = &local >= (char *)stack->low && &local < (char *)stack->low + stack->bytes;
}

TEST(thread, the_stack_is_known_and_as_large_as_asked) {
  for (size_t bytes = 0; bytes <= (size_t)4 << 20; bytes = bytes == 0 ? 128 * 1024 + 1 : bytes * 4) {
    struct stack stack;
    CHECK_EQ(ecru__thread_start(&handle, note_stack, &stack, NULL, bytes), 0);
    ecru__thread_join(handle);
    if (stack.status == ECRU_ENOTSUP) SKIP("the stack is unknown here");
    CHECK_EQ(stack.status, 0);
    CHECK(stack.bytes >= bytes);
    CHECK_EQ(stack.holds_a_local, 1);
  }
}

TEST(thread, the_main_stack_is_known) {
  struct stack stack;
  errno = EXFULL;
  note_stack(&stack);
  CHECK_EQ(errno, EXFULL);
  if (stack.status == ECRU_ENOTSUP) SKIP("the stack is unknown here");
  CHECK_EQ(stack.status, 0);
  CHECK_EQ(stack.holds_a_local, 1);
}

TEST(thread, a_refusal_is_reported) {
  void *untouched = handle;
  errno = EXFULL;
  CHECK_EQ(ecru__thread_start(&handle, set_flag, NULL, NULL, (size_t)1 << 62), ECRU_ETHREADS);
  CHECK_EQ(errno, EXFULL);
  CHECK(handle == untouched);
}

static void note_id(void *argument) { *(uint64_t *)argument = ecru__thread_id(); }

TEST(thread, ids_differ) {
  uint64_t id = 0;
  CHECK_EQ(ecru__thread_start(&handle, note_id, &id, NULL, 0), 0);
  ecru__thread_join(handle);
  CHECK(id != 0 && id != ecru__thread_id());
  CHECK_EQ(ecru__thread_id(), test_thread_id());
}

static void note_slack(void *argument) {
  ecru__thread_exact_timers();
  *(int *)argument = prctl(PR_GET_TIMERSLACK);
}

TEST(thread, timers_can_be_made_exact) {
  int slack_ns = 0, before_ns = prctl(PR_GET_TIMERSLACK);
  CHECK_EQ(ecru__thread_start(&handle, note_slack, &slack_ns, NULL, 0), 0);
  ecru__thread_join(handle);
  if (slack_ns < 0) SKIP("no timer slack here");
  CHECK_EQ(slack_ns, 1000);
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), before_ns); // only the thread that asked
}
