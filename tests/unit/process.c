// Child processes (I6), what a token does to them (K2), and that nothing of them is left.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/goroutines.h"

#define ARGUMENTS(...) (const char *const[]){__VA_ARGS__, NULL}
#define SHELL(script) ARGUMENTS("sh", "-c", script)

static void no_children_are_left(void) {
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
}

TEST(process, a_program_runs_and_says_how_it_ended) { // I6
  ecru_process *process;
  int code = -1, signal = -1;
  CHECK_EQ(ecru_process_start(NULL, &process, SHELL("exit 7")), 0);
  CHECK(ecru_process_id(process) > 0);
  CHECK_EQ(ecru_process_wait(process, &code, &signal), 0);
  CHECK_EQ(code, 7);
  CHECK_EQ(signal, 0);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), 0);
  CHECK_EQ(ecru_process_kill(process, SIGTERM), ECRU_ESRCH);
  ecru_process_release(process);
  no_children_are_left();
}

TEST(process, a_signal_ends_it) { // I6
  ecru_process *process;
  int code = -1, signal = -1;
  CHECK_EQ(ecru_process_start(NULL, &process, ARGUMENTS("sleep", "1000")), 0);
  CHECK_EQ(ecru_process_kill(process, SIGTERM), 0);
  CHECK_EQ(ecru_process_wait(process, &code, &signal), 0);
  CHECK_EQ(code, 0);
  CHECK_EQ(signal, SIGTERM);
  ecru_process_release(process);
}

TEST(process, its_streams_are_pipes) { // I6, I1
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  ecru_process *process;
  char data[16];
  int before;
  options.stdio[1].kind = ECRU_STDIO_PIPE;
  CHECK_EQ(ecru_process_start(&options, &process, ARGUMENTS("true")), 0); // the loop and the poller have their descriptors
  CHECK(ecru_process_pipe(process, 0) == NULL);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), 0);
  ecru_process_release(process);
  before = test_open_fds();
  options.stdio[0].kind = ECRU_STDIO_PIPE;
  CHECK_EQ(ecru_process_start(&options, &process, ARGUMENTS("cat")), 0);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(ecru_io_write(ecru_process_pipe(process, 0), "hello", 5, NULL), 5);
    CHECK_EQ(ecru_io_read(ecru_process_pipe(process, 1), data, sizeof data), 5);
  }
  CHECK_EQ(ecru_io_close(ecru_process_pipe(process, 0)), 0);
  CHECK_EQ(ecru_io_read(ecru_process_pipe(process, 1), data, sizeof data), 0);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), 0);
  ecru_process_release(process);
  CHECK_EQ(test_open_fds(), before);
}

TEST(process, options_are_heeded) { // I6
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  ecru_process_result result = ECRU_PROCESS_RESULT;
  char path[8192];
  snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
  options.environment = ARGUMENTS(path, "GREETING=hello");
  options.directory = "/";
  options.stdio[0].kind = ECRU_STDIO_NULL;
  options.flags = ECRU_PROCESS_SESSION;
  CHECK_EQ(ecru_process_run(&options, SHELL("echo $GREETING $PWD; cat; echo wrong >&2; exit 3"), NULL, 0, 1000, &result), 0);
  CHECK_STR(result.output, "hello /\n");
  CHECK_STR(result.errors, "wrong\n");
  CHECK_EQ(result.code, 3);
  free(result.output);
  free(result.errors);
}

/// Those that whoever started us has left open, too.
static int inheritable_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) {
    int flags = fcntl(fd, F_GETFD);
    count += flags >= 0 && !(flags & FD_CLOEXEC);
  }
  return count;
}

TEST(process, it_inherits_neither_descriptors_nor_blocked_signals) { // I6
  ecru_process_result result = ECRU_PROCESS_RESULT;
  ecru_io *reader, *writer;
  ecru_file *file;
  int count = -1;
  CHECK_EQ(ecru_pipe(&reader, &writer), 0);
  CHECK_EQ(ecru_file_open(&file, "/", ECRU_FILE_READ, 0), 0);
  CHECK_EQ(ecru_process_run(NULL, SHELL("ls /proc/self/fd | wc -l; grep SigBlk /proc/self/status"), NULL, 0, 1000, &result), 0);
  CHECK_EQ(sscanf(result.output, "%d", &count), 1);
  CHECK_EQ(count, inheritable_descriptors() + 1); // ls has its directory open
  CHECK(strstr(result.output, "0000000000000000") != NULL);
  free(result.output);
  free(result.errors);
  ecru_file_release(file);
  ecru_io_release(reader);
  ecru_io_release(writer);
}

TEST(process, input_and_output_flow_both_ways_at_once) { // I6
  enum { BYTES = 1 << 20 };
  static char data[BYTES];
  ecru_process_result result = ECRU_PROCESS_RESULT;
  for (int i = 0; i < BYTES; i++) data[i] = (char)(i % 251);
  CHECK_EQ(ecru_process_run(NULL, SHELL("tee /dev/stderr"), data, BYTES, BYTES, &result), 0);
  CHECK_EQ(result.output_bytes, BYTES);
  CHECK_EQ(result.errors_bytes, BYTES);
  CHECK(memcmp(result.output, data, BYTES) == 0 && memcmp(result.errors, data, BYTES) == 0);
  free(result.output);
  free(result.errors);
  CHECK_EQ(ecru_process_run(NULL, ARGUMENTS("true"), data, BYTES, BYTES, &result), 0); // it does not want it
  CHECK_EQ(result.output_bytes, 0);
  free(result.output);
  free(result.errors);
  CHECK_EQ(ecru_process_run(NULL, ARGUMENTS("cat"), data, BYTES, BYTES - 1, &result), ECRU_EFBIG);
  no_children_are_left();
}

TEST(process, what_cannot_be_started_says_why) { // I6
  ecru_process *process;
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  ecru_process_result result = ECRU_PROCESS_RESULT;
  CHECK_EQ(ecru_process_start(NULL, &process, ARGUMENTS("/no/such/program")), ECRU_ENOENT);
  CHECK_EQ(ecru_process_start(NULL, &process, (const char *const[]){NULL}), ECRU_EINVAL);
  CHECK_EQ(ecru_process_run(NULL, ARGUMENTS("/no/such/program"), "x", 1, 1, &result), ECRU_ENOENT);
  options.stdio[1].kind = 9;
  CHECK_EQ(ecru_process_start(&options, &process, ARGUMENTS("true")), ECRU_EINVAL);
  options.stdio[1].kind = ECRU_STDIO_DESCRIPTOR;
  options.stdio[1].descriptor = -1;
  CHECK_EQ(ecru_process_start(&options, &process, ARGUMENTS("true")), ECRU_EBADF);
  no_children_are_left();
}

TEST(process, a_directory_is_no_program) { // I6
  ecru_process *process;
  CHECK_EQ(ecru_process_start(NULL, &process, ARGUMENTS("/")), ECRU_EACCES);
  no_children_are_left();
}

TEST(process, a_token_kills_it) { // K2
  ecru_process *process;
  ecru_token *token;
  int signal = 0;
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_process_start(NULL, &process, ARGUMENTS("sleep", "1000")), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_process_wait(process, NULL, &signal), 0);
  CHECK_EQ(signal, SIGKILL);
  ecru_process_release(process);
  ecru_token_release(token);
}

TEST(process, a_token_ends_a_run_and_its_child) { // K2
  ecru_process_result result = ECRU_PROCESS_RESULT;
  CHECK_EQ(ecru_deadline_enter(ecru_after(20 * ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_process_run(NULL, ARGUMENTS("sleep", "1000"), NULL, 0, 10, &result), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK_EQ(ecru_stop(), 0); // the killed child is waited for
}

static int words[2]; // one character each, from the child
static void expect_word(void *word) {
  char byte = 0;
  CHECK_EQ(read(words[0], &byte, 1), 1);
  CHECK_EQ(byte, *(char *)word);
}
static void cancel_when_it_is_ready(void *token) {
  CHECK_EQ(ecru_blocking(expect_word, "r"), 0);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
}

TEST(process, a_run_that_is_cancelled_ends_as_the_options_say) { // K2
  ecru_process_result result = ECRU_PROCESS_RESULT;
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  ecru_token *token;
  CHECK_EQ(pipe(words), 0);
  options.cancel_signal = SIGTERM;
  options.stdio[2] = (ecru_stdio){.kind = ECRU_STDIO_DESCRIPTOR, .descriptor = words[1]};
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(cancel_when_it_is_ready, token);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK_EQ(ecru_process_run(&options, SHELL("trap 'printf t >&2; exit 0' TERM; printf r >&2; while :; do sleep 0.02; done"), NULL, 0, 10, &result),
           ECRU_ECANCELED);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  expect_word("t"); // it has cleaned up
  close(words[0]);
  close(words[1]);
  CHECK_EQ(ecru_stop(), 0);
}

static void start_and_leave(void *process) { CHECK_EQ(ecru_process_start(NULL, process, ARGUMENTS("sleep", "1000")), 0); }

TEST(process, a_stop_kills_it_and_leaves_no_zombie) { // G13
  ecru_process *process;
  CHECK_EQ(ecru_run(start_and_leave, &process), 0);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
  ecru_process_release(process);
}

TEST(process, one_that_is_kept_outlives_a_stop) { // G13
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  ecru_process *process;
  options.flags = ECRU_PROCESS_KEEP;
  CHECK_EQ(ecru_process_start(&options, &process, ARGUMENTS("sleep", "1000")), 0);
  pid_t child = (pid_t)ecru_process_id(process);
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(kill(child, SIGKILL), 0);
  CHECK_EQ(waitpid(child, NULL, 0), child);
  CHECK_EQ(ecru_process_wait(process, NULL, NULL), ECRU_ECLOSED);
  ecru_process_release(process);
}

static void run_one(void *done) {
  ecru_process_result result = ECRU_PROCESS_RESULT;
  CHECK_EQ(ecru_process_run(NULL, ARGUMENTS("cat"), "hello", 5, 100, &result), 0);
  CHECK_STR(result.output, "hello");
  free(result.output);
  free(result.errors);
  finish(done);
}

TEST(process, many_run_at_once) { // I6
  ecru_chan *done = signals();
  int count = (int)test_scaled(50);
  for (int i = 0; i < count; i++) go(run_one, done);
  await(done, count);
  ecru_chan_release(done);
  no_children_are_left();
}
