// What the loop's thread, calls and handles do when memory or threads are refused (I6, I7): an error, and nothing is left.
#include "platform/fault.h"
#include "tests/goroutines.h"

static const char *const program[] = {"true", NULL};

static int look_up(void) {
  ecru_address address;
  int count = ecru_resolve("localhost", "ip4", &address, 1);
  return count > 0 ? 0 : count;
}
static int open_file(void) {
  ecru_file *file;
  int status = ecru_file_open(&file, "/dev/null", ECRU_FILE_READ, 0);
  if (status == 0) ecru_file_release(file);
  return status;
}
static int read_directory(void) {
  ecru_directory *directory;
  int status = ecru_directory_read(&directory, "/");
  if (status == 0) ecru_directory_destroy(directory);
  return status;
}
static int run_program(void) {
  ecru_process_result result = ECRU_PROCESS_RESULT;
  int status = ecru_process_run(NULL, program, "x", 1, 100, &result);
  if (status != 0) return status;
  free(result.output);
  free(result.errors);
  return 0;
}
static int take_signals(void) {
  int usr1 = 10;
  ecru_subscription *subscription;
  ecru_token *token;
  int status = ecru_signal_token(&subscription, &token, &usr1, 1);
  if (status != 0) return status;
  ecru_subscription_end(subscription);
  ecru_token_release(token);
  return 0;
}
static int watch_a_file(void) {
  ecru_watch *watch;
  int status = ecru_watch_create(&watch, "/");
  if (status == 0) ecru_watch_destroy(watch);
  return status;
}

/// Refuses the first, second, ... allocation or thread of the act, each with a loop yet to be made, until it does without.
static void refuse_each(int kind, int (*act)(void), int expected) {
  for (uint64_t nth = 1;; nth++) {
    CHECK(nth < 200);
    CHECK_EQ(ecru_start(NULL), 0);
    ecru__fault_set(kind, nth, 0);
    int status = act();
    uint64_t used = ecru__fault_count(kind);
    ecru__fault_set(kind, 0, 0);
    if (status != ECRU_ETHREADS && status != 0) CHECK_EQ(status, expected); // a thread without memory is a thread refused
    CHECK_EQ(ecru_stop(), 0);
    if (used < nth) return;
  }
}

TEST(uv, a_look_up_without_memory_fails) { refuse_each(ECRU__FAULT_ALLOC, look_up, ECRU_ENOMEM); }            // I6
TEST(uv, a_file_without_memory_is_not_opened) { refuse_each(ECRU__FAULT_ALLOC, open_file, ECRU_ENOMEM); }     // I6
TEST(uv, a_directory_without_memory_is_not_read) { refuse_each(ECRU__FAULT_ALLOC, read_directory, ECRU_ENOMEM); } // I6
TEST(uv, a_program_without_memory_is_not_left_alone) { refuse_each(ECRU__FAULT_ALLOC, run_program, ECRU_ENOMEM); } // I6
TEST(uv, signals_without_memory_are_not_taken) { refuse_each(ECRU__FAULT_ALLOC, take_signals, ECRU_ENOMEM); } // I8
TEST(uv, a_watch_without_memory_is_none) { refuse_each(ECRU__FAULT_ALLOC, watch_a_file, ECRU_ENOMEM); }       // I6
TEST(uv, without_a_thread_there_is_no_loop) { refuse_each(ECRU__FAULT_THREAD, open_file, ECRU_ETHREADS); }    // I7
