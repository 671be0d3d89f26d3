/// tests/unit/goroutine_state.c: what of a thread goes with a goroutine: errno and the rounding mode (G11).
#include <fenv.h>

#include "goroutines.h"

static ecru_chan *done;

static int rounding_of(int number) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  return modes[number % 4];
}
static _Atomic long moved;
static _Atomic bool enough;
/// Parks in all ways with an errno and a rounding mode of its own.
static void keep_state(void *number) {
  int mode = rounding_of((int)(uintptr_t)number), mark = 1000 + (int)(uintptr_t)number;
  CHECK_EQ(fesetround(mode), 0);
  for (int i = 0; i < 2 * PARKING_CALLS; i++) {
    const parking_call *call = &parking_calls[i / 2];
    long before = thread_here();
    bool stays = ask_for(call);
    set_errno_here(mark);
    call->park();
    if (errno_here() != mark) FAIL("%s: errno was %d, is %d", call->name, mark, errno_here());
    if (fegetround() != mode) FAIL("%s: the rounding mode has changed", call->name);
    if (thread_here() != before) atomic_fetch_add(&moved, 1);
    if (stays) CHECK_EQ(ecru_unpin(), 0);
  }
  CHECK_EQ(fesetround(FE_TONEAREST), 0);
}
/// Others, with other modes and other values of errno, between.
static void disturb(void *number) {
  int mode = rounding_of((int)(uintptr_t)number), mark = 2000 + (int)(uintptr_t)number;
  CHECK_EQ(fesetround(mode), 0);
  while (!atomic_load(&enough)) {
    set_errno_here(mark);
    CHECK_EQ(ecru_yield(), 0);
    CHECK_EQ(errno_here(), mark);
    CHECK_EQ(fegetround(), mode);
    CHECK_EQ(ecru_sleep(100 * ECRU_MICROSECOND), 0);
    CHECK_EQ(errno_here(), mark);
    CHECK_EQ(fegetround(), mode);
  }
  finish(done);
}
static void keep_states(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  atomic_store(&enough, false);
  atomic_store(&moved, 0);
  for (uintptr_t i = 0; i < 4; i++) go(disturb, (void *)i);
  for (uintptr_t i = 0; i < 4; i++) keep_state((void *)i);
  CHECK(atomic_load(&moved) > 0);
  atomic_store(&enough, true);
  await(done, 4);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, errno_and_rounding_survive_every_parking_call) { // G11
  with_procs(1, keep_states);
  with_procs(2, keep_states);
}

static void keep_state_there(void *unused) {
  (void)unused;
  keep_state((void *)3);
  finish(done);
}
static void *keep_state_in_thread(void *unused) {
  keep_state_there(unused);
  return NULL;
}
static void keep_states_on_threads(void *unused) {
  (void)unused;
  make_things();
  start_holders();
  done = signals();
  go_flagged(ECRU_OWN_THREAD, keep_state_there, NULL);
  await(done, 1);
  go_flagged(ECRU_PINNED, keep_state_there, NULL);
  await(done, 1);
  pthread_t thread = start_thread(keep_state_in_thread, NULL);
  await(done, 1);
  join_thread(thread);
  CHECK_EQ(ecru_on_thread_stack(keep_state_there, NULL), 0);
  await(done, 1);
  CHECK_EQ(atomic_load(&moved), 0);
  ecru_chan_release(done);
  end_holders();
  drop_things();
}
TEST(goroutine, errno_and_rounding_survive_on_threads_too) { // G11, G10
  with_procs(1, keep_states_on_threads);
  with_procs(2, keep_states_on_threads);
}

static void check_fresh(void *unused) {
  (void)unused;
  CHECK_EQ(errno_here(), 0);
  set_errno_here(5);
  CHECK_EQ(fegetround(), FE_TONEAREST);
  finish(done);
}
static void start_fresh(void *unused) {
  (void)unused;
  done = signals();
  set_errno_here(77);
  CHECK_EQ(fesetround(FE_UPWARD), 0);
  for (int i = 0; i < 5; i++) go(check_fresh, NULL);
  await(done, 5);
  CHECK_EQ(errno_here(), 77);
  CHECK_EQ(fegetround(), FE_UPWARD);
  CHECK_EQ(fesetround(FE_TONEAREST), 0);
  ecru_chan_release(done);
}
TEST(goroutine, starts_with_errno_0_and_default_rounding) { // G11
  with_procs(1, start_fresh);
}

/// Calls that do not park, refusals among them.
static void keep_errno_in_plain_calls(void *unused) {
  (void)unused;
  char name[32];
  ecru_counters counters = ECRU_COUNTERS;
  ecru_token *token = NULL;
  ecru_chan *chan = NULL;
#define KEEPS(call)              \
  do {                           \
    set_errno_here(EXFULL);      \
    (void)(call);                \
    CHECK_EQ(errno_here(), EXFULL); \
  } while (0)
  KEEPS(done = signals());
  KEEPS(ecru_go(finish, done));
  KEEPS(ecru_go(NULL, NULL));
  KEEPS(ecru_go_copy(NULL, check_fresh, NULL, 3));
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = 1 << 20;
  KEEPS(ecru_go_with(&options, finish, done));
  options.flags = ECRU_OWN_THREAD;
  KEEPS(ecru_go_with(&options, finish, done));
  KEEPS(ecru_id());
  KEEPS(ecru_parent_id());
  KEEPS(ecru_in_goroutine());
  KEEPS(ecru_name(name, sizeof name));
  KEEPS(ecru_set_name("x"));
  KEEPS(ecru_maxprocs());
  KEEPS(ecru_set_maxprocs(3));
  KEEPS(ecru_set_maxprocs(-1));
  KEEPS(ecru_set_maxprocs(0));
  KEEPS(ecru_pin());
  KEEPS(ecru_unpin());
  KEEPS(ecru_unpin());
  KEEPS(ecru_start(NULL));
  if (ecru_in_goroutine()) KEEPS(ecru_stop());
  KEEPS(ecru_get_counters(&counters));
  KEEPS(ecru_now());
  KEEPS(ecru_check());
  KEEPS(ecru_token_create(&token, NULL, ecru_after(ECRU_SECOND)));
  KEEPS(ecru_token_cancel(token, 0));
  KEEPS(ecru_token_release(token));
  KEEPS(ecru_chan_create(&chan, 1, SIZE_MAX));
  KEEPS(ecru_chan_create(&chan, 1, 1));
  KEEPS(ecru_chan_try_recv(chan, NULL));
  KEEPS(ecru_chan_release(chan));
#undef KEEPS
  await(done, 3);
  ecru_chan_release(done);
}
TEST(goroutine, errno_survives_the_other_calls_too) { // G11
  keep_errno_in_plain_calls(NULL);
  CHECK_EQ(ecru_stop(), 0);
  with_procs(2, keep_errno_in_plain_calls);
}
