// tests/death/overflow.c: what a stack overflow says (G8), and that other faults are left alone. Handlers of signals: overflow_handlers.c.
#include "tests/overflows.h"

#include <ecru/ecru.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/vm.h"
#include "runtime/sanitize.h"

#ifdef _WIN32
#define OWN_STACK_TEXT "" // rounded up by the system
#else
#define OWN_STACK_TEXT "512 KiB"
#endif

static void wait_forever(void) {
  for (;;) pause();
}

static void plain_goroutine(void) {
  ecru_go(overflow, NULL);
  wait_forever();
}

static void named_goroutine(void) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "digger";
  options.stack_bytes = 512 << 10;
  ecru_go_with(&options, overflow, NULL);
  wait_forever();
}

TEST(overflow, names_the_goroutine_its_stack_and_its_creation) { // G8
  only_where_faults_end_a_process();
  test_death(plain_goroutine, BY_FAULT, "ecru: stack overflow: goroutine ");
  test_death(plain_goroutine, BY_FAULT, " needs more than its stack of 256 KiB");
  test_death(plain_goroutine, BY_FAULT, "created by a foreign thread at ");
  test_death(named_goroutine, BY_FAULT, " \"digger\" needs more than its stack of 512 KiB");
}

static void hosted(void) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "guest";
  options.flags = ECRU_HOSTED;
  CHECK_EQ(ecru_host_enter(NULL), 0);
  ecru_go_with(&options, overflow, NULL);
  (void)ecru_sleep(ECRU_FOREVER);
}

TEST(overflow, of_a_hosted_goroutine_is_told_too) { // G8, G15
  only_where_faults_end_a_process();
  test_death(hosted, BY_FAULT, " \"guest\" needs more than its stack of 256 KiB");
}

TEST(overflow, creation_site_has_a_name) { // G8
  only_where_faults_end_a_process();
  test_death(plain_goroutine, BY_FAULT, "plain_goroutine+0x");
}

static void guarded_by_madvise(void) {
  ecru__vm_force_guard(ECRU__GUARD_MADVISE);
  plain_goroutine();
}

static void guarded_by_mprotect(void) {
  ecru__vm_force_guard(ECRU__GUARD_MPROTECT);
  plain_goroutine();
}

TEST(overflow, both_kinds_of_guard_hold) { // G8
  only_where_faults_end_a_process();
  test_death(guarded_by_mprotect, BY_FAULT, "ecru: stack overflow: goroutine ");
  if (ecru__vm_guard_kind() == ECRU__GUARD_MADVISE) test_death(guarded_by_madvise, BY_FAULT, "ecru: stack overflow: goroutine ");
}

/// Frames larger than a page of which only the lowest byte is touched step over a guard of one page.
__attribute__((noinline)) static int stride(volatile char *above, int depth) {
  volatile char here[12 << 10];
  here[0] = (char)depth;
  return depth > 1 << 24 || above == here ? here[0] : stride(here, depth + 1) + here[0];
}

static void overflow_in_strides(void *unused) {
  (void)unused;
  sink = stride(NULL, 0);
}

static void large_frames(void) {
  ecru_go(overflow_in_strides, NULL);
  wait_forever();
}

TEST(overflow, frames_of_several_pages_do_not_step_over_the_guard) { // G8
  only_where_faults_end_a_process();
  test_death(large_frames, BY_FAULT, " needs more than its stack of 256 KiB");
}

// ---- on a thread's stack --------------------------------------------------------------------------------------------

static void go_on_own_thread(ecru_fn fn) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "owner";
  options.stack_bytes = 512 << 10;
  options.flags = ECRU_OWN_THREAD;
  ecru_go_with(&options, fn, NULL);
  wait_forever();
}
static void own_thread(void) { go_on_own_thread(overflow); }
static void own_thread_in_strides(void) { go_on_own_thread(overflow_in_strides); }

static void own_thread_after_a_park(void *unused) {
  (void)unused;
  ecru_sleep(ECRU_MILLISECOND);
  ecru_on_thread_stack(overflow, NULL); // it is there already
}
static void own_thread_parked_before(void) { go_on_own_thread(own_thread_after_a_park); }

TEST(overflow, is_told_on_a_thread_of_its_own) { // G8, G10
  only_where_faults_end_a_process();
  test_death(own_thread, BY_FAULT, " \"owner\" needs more than its thread's stack of " OWN_STACK_TEXT);
  test_death(own_thread, BY_FAULT, "created by a foreign thread at ");
  test_death(own_thread_in_strides, BY_FAULT, " \"owner\" needs more than its thread's stack of " OWN_STACK_TEXT);
  test_death(own_thread_parked_before, BY_FAULT, " \"owner\" needs more than its thread's stack of " OWN_STACK_TEXT);
}

static void hop_and_overflow(void *unused) {
  (void)unused;
  ecru_yield();
  ecru_on_thread_stack(overflow, NULL);
}

static void on_a_workers_stack(void) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.name = "guest";
  ecru_go_with(&options, hop_and_overflow, NULL);
  wait_forever();
}

TEST(overflow, is_told_on_the_threads_stack) { // G8
  only_where_faults_end_a_process();
  test_death(on_a_workers_stack, BY_FAULT, " \"guest\" needs more than the thread's stack of ");
  test_death(on_a_workers_stack, BY_FAULT, "created by a foreign thread at ");
}

static void *overflow_in_thread(void *unused) {
  ecru_yield(); // ecru knows the thread; its stack is not ours
  overflow(unused);
  return NULL;
}

static void foreign_thread(void) {
  ecru_start(NULL);
  pthread_t thread;
  if (pthread_create(&thread, NULL, overflow_in_thread, NULL) != 0) _exit(95);
  wait_forever();
}

TEST(overflow, foreign_threads_are_left_alone) { // G8
  only_where_faults_end_a_process();
  test_death(foreign_thread, BY_FAULT, NULL);
}

static void after_a_park(void *unused) {
  (void)unused;
  ecru_sleep(ECRU_MILLISECOND);
  for (int i = 0; i < 100; i++) ecru_yield();
  overflow(NULL);
}

static void parked_before(void) {
  for (int i = 0; i < 10; i++) ecru_go(after_a_park, NULL);
  wait_forever();
}

TEST(overflow, is_told_on_any_worker) { // G8, G10
  only_where_faults_end_a_process();
  test_death(parked_before, BY_FAULT, "ecru: stack overflow: goroutine ");
}

// ---- other faults -------------------------------------------------------------------------------------------------

static char *forbidden(void) {
  char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) _exit(93);
  return page;
}

static void touch(void *page) { *(volatile char *)page = 1; }

static void fault_in_goroutine(void) {
  ecru_go(touch, forbidden());
  wait_forever();
}

static void fault_in_foreign_thread(void) {
  ecru_start(NULL);
  touch(forbidden());
}

TEST(overflow, other_faults_end_as_ever) { // G8
  only_where_faults_end_a_process();
  test_death(fault_in_goroutine, BY_FAULT, NULL);
  test_death(fault_in_foreign_thread, BY_FAULT, NULL);
}
