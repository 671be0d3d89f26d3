// tests/death/io_forked.c: a child after fork (G14): it is told, and what it lets go of stays with its parent.
#include <signal.h>
#include <ecru/ecru.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "runtime/sanitize.h" // ECRU__TSAN
#include "tests/goroutines.h"

static void expect_child(pid_t child) {
  int status = 0;
  CHECK(child > 0);
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(errno, EINTR);
  CHECK_EQ(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), 0);
}

// ---- releasing ---------------------------------------------------------------------------------------------------------

static ecru_io *a, *b;
static ecru_process *cat;
static ecru_watch *watched;
static void write_byte(void *unused) {
  (void)unused;
  UNTIL(counters_now().waiting == 1);
  CHECK_EQ(ecru_io_write(b, "x", 1, NULL), 1);
}
/// Parks in the read: so the poller must know the descriptor.
static void read_byte(void) {
  char byte;
  go(write_byte, NULL);
  CHECK_EQ(ecru_io_set_deadline(a, ECRU_IO_READ, ecru_after(10 * ECRU_SECOND)), 0);
  CHECK_EQ(ecru_io_read(a, &byte, 1), 1);
}
static void release_in(ecru_io *io, bool anew) {
  pid_t child = fork();
  if (child == 0) {
    struct stat about;
    if (anew) CHECK_EQ(ecru_restart_in_child(), 0);
    int descriptor = (int)ecru_io_descriptor(io);
    CHECK(descriptor >= 0);
    ecru_io_release(ecru_io_retain(io));
    CHECK_EQ(fstat(descriptor, &about), 0);
    ecru_io_release(io);
    _exit(fstat(descriptor, &about) == 0 ? 1 : 0); // its own copy is closed
  }
  expect_child(child);
}
static void release_in_child(ecru_io *io) {
  release_in(io, false);
  release_in(io, true);
}

static void released_while_registered(void *unused) {
  (void)unused;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  read_byte();
  release_in_child(a);
  read_byte();
  ecru_io_release(a);
  ecru_io_release(b);
}
TEST(io_forked, what_a_child_releases_the_parent_is_still_told_of) { with_procs(1, released_while_registered); } // G14, I1

TEST(io_forked, what_a_child_releases_keeps_its_path) { // G14, I1
  char directory[] = "/tmp/ecru-forked-XXXXXX", path[64];
  ecru_io *listener, *client;
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof path, "%s/socket", directory);
  CHECK_EQ(ecru_listen(&listener, "unix", path), 0);
  release_in_child(listener);
  CHECK_EQ(ecru_dial(&client, "unix", path), 0);
  ecru_io_release(client);
  ecru_io_release(listener);
  CHECK_EQ(rmdir(directory), 0); // the parent takes it away
}

static int mode_of(int descriptor) { return fcntl(descriptor, F_GETFL) & O_NONBLOCK; }
TEST(io_forked, what_a_child_releases_keeps_its_mode) { // G14, I1
  int ends[2];
  ecru_io *io;
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(ecru_io_adopt(&io, ends[0], ECRU_IO_KEEP_OPEN), 0);
  for (int anew = 0; anew < 2; anew++) {
    pid_t child = fork();
    if (child == 0) {
      if (anew) CHECK_EQ(ecru_restart_in_child(), 0);
      ecru_io_release(io);
      _exit(mode_of(ends[0]) == O_NONBLOCK ? 0 : 1);
    }
    expect_child(child);
  }
  CHECK_EQ(mode_of(ends[0]), O_NONBLOCK);
  ecru_io_release(io);
  CHECK_EQ(mode_of(ends[0]), 0);
  close(ends[0]), close(ends[1]);
}

TEST(io_forked, what_a_child_releases_keeps_its_terminals_mode) { // G14, I1
  struct termios before, raw, now;
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) SKIP("no pseudo-terminals here");
  int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ecru_io *io;
  CHECK_EQ(tcgetattr(terminal, &before), 0);
  CHECK_EQ(ecru_io_adopt(&io, dup(terminal), 0), 0);
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_RAW), 0);
  CHECK_EQ(tcgetattr(terminal, &raw), 0);
  release_in_child(io);
  CHECK_EQ(tcgetattr(terminal, &now), 0);
  CHECK_EQ(now.c_lflag, raw.c_lflag);
  ecru_io_release(io);
  CHECK_EQ(tcgetattr(terminal, &now), 0);
  CHECK_EQ(now.c_lflag, before.c_lflag);
  close(terminal), close(master);
}

// ---- being told --------------------------------------------------------------------------------------------------------

static void try_everything(void) {
  char byte;
  ecru_io *io = NULL, *other = NULL;
  ecru_file *file = NULL;
  ecru_address address;
  ecru_process *process = NULL;
  ecru_watch *watch = NULL;
  ecru_token *token = NULL;
  ecru_subscription *subscription = NULL;
  int descriptor = (int)ecru_io_descriptor(a), signal = SIGTERM;
  CHECK(descriptor >= 0);
  CHECK_EQ(ecru_io_read(a, &byte, 1), ECRU_EFORKED);
  CHECK_EQ(ecru_io_read(a, &byte, 0), ECRU_EFORKED);
  CHECK_EQ(ecru_io_try_read(a, &byte, 1), ECRU_EFORKED);
  CHECK_EQ(ecru_io_write(a, "x", 1, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_io_write(a, "x", 0, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_io_copy(a, b, 1, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_io_shutdown(a, ECRU_IO_READ), ECRU_EFORKED);
  CHECK_EQ(ecru_io_set_deadline(a, ECRU_IO_READ, 0), ECRU_EFORKED);
  CHECK_EQ(ecru_io_wait(a, ECRU_IO_READ), ECRU_EFORKED);
  CHECK_EQ(ecru_io_close(a), ECRU_EFORKED);
  CHECK_EQ(ecru_io_local(a, &address), ECRU_EFORKED);
  CHECK_EQ(ecru_wait_fd(descriptor, ECRU_IO_READ), ECRU_EFORKED);
  CHECK_EQ(ecru_wait_fds(&(ecru_fd_event){descriptor, ECRU_IO_READ, 0}, 1, ECRU_FOREVER), ECRU_EFORKED);
  CHECK_EQ(ecru_forget_fd(descriptor), ECRU_EFORKED);
  CHECK_EQ(ecru_io_adopt(&io, dup(descriptor), 0), ECRU_EFORKED);
  CHECK_EQ(ecru_pipe(&io, &other), ECRU_EFORKED);
  CHECK_EQ(ecru_dial(&io, "tcp", "127.0.0.1:1"), ECRU_EFORKED);
  CHECK_EQ(ecru_listen(&io, "tcp", "127.0.0.1:0"), ECRU_EFORKED);
  CHECK_EQ(ecru_tty_set_mode(a, ECRU_TTY_RAW), ECRU_EFORKED);
  CHECK_EQ(ecru_resolve("localhost", "ip", &address, 1), ECRU_EFORKED);
  CHECK_EQ(ecru_file_open(&file, "/dev/null", ECRU_FILE_READ, 0), ECRU_EFORKED);
  CHECK_EQ(ecru_process_start(NULL, &process, (const char *const[]){"true", NULL}), ECRU_EFORKED);
  CHECK_EQ(ecru_process_kill(cat, SIGKILL), ECRU_EFORKED);
  CHECK_EQ(ecru_process_wait(cat, NULL, NULL), ECRU_EFORKED);
  CHECK_EQ(ecru_watch_create(&watch, "/"), ECRU_EFORKED);
  CHECK_EQ(ecru_signal_token(&subscription, &token, &signal, 1), ECRU_EFORKED);
}
static void fork_and_try(void *unused) {
  (void)unused;
  pid_t child = fork();
  if (child == 0) {
    try_everything();
    ecru_io_release(a);
    ecru_io_release(b);
    ecru_process_release(cat);
    ecru_watch_destroy(watched);
    _exit(0);
  }
  expect_child(child);
}

static _Atomic int over; // atomic: the forks are done
static void *fork_often(void *unused) {
  for (int i = 0; i < test_scaled(30); i++) fork_and_try(NULL);
  atomic_store(&over, 1);
  return unused;
}
static void use_handles(void *unused) {
  (void)unused;
  char byte;
  while (!atomic_load(&over)) {
    ecru_io *reader, *writer;
    CHECK_EQ(ecru_pipe(&reader, &writer), 0);
    ecru_io_release(reader);
    ecru_io_release(writer);
    CHECK_EQ(ecru_io_try_read(a, &byte, 1), ECRU_EAGAIN);
    CHECK_EQ(ecru_yield(), 0);
  }
}
static void fork_while_busy(void *unused) {
  (void)unused;
  ecru_process_options options = ECRU_PROCESS_OPTIONS;
  options.stdio[0].kind = options.stdio[1].kind = ECRU_STDIO_PIPE;
  CHECK_EQ(ecru_io_pair(&a, &b), 0);
  CHECK_EQ(ecru_process_start(&options, &cat, (const char *const[]){"cat", NULL}), 0);
  CHECK_EQ(ecru_watch_create(&watched, "/"), 0);
  fork_and_try(NULL);
  pthread_t thread = start_thread(fork_often, NULL);
  use_handles(NULL);
  join_thread(thread);
  char answer[4];
  int code = -1;
  CHECK_EQ(ecru_io_write(ecru_process_pipe(cat, 0), "meow", 4, NULL), 4);
  CHECK_EQ(ecru_io_read(ecru_process_pipe(cat, 1), answer, 4), 4);
  CHECK_EQ(ecru_io_close(ecru_process_pipe(cat, 0)), 0);
  CHECK_EQ(ecru_process_wait(cat, &code, NULL), 0);
  CHECK_EQ(code, 0);
  ecru_process_release(cat);
  ecru_watch_destroy(watched);
  ecru_io_release(a);
  ecru_io_release(b);
}
TEST(io_forked, a_child_is_told_and_never_hangs) { with_procs(2, fork_while_busy); } // G14: locks may be held at the moment of the fork

// ---- starting anew -----------------------------------------------------------------------------------------------------

static ecru_subscription *subscription;
static char directory[] = "/tmp/ecru-forked-XXXXXX";
static ecru_watch_event next_event(ecru_watch *watch, int expected) {
  ecru_watch_event event = {.size = sizeof event};
  CHECK_EQ(ecru_watch_next(watch, &event), expected);
  return event;
}
static void use_what_the_parent_had(void) {
  int code = -1;
  CHECK_EQ(ecru_process_wait(cat, &code, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_process_kill(cat, SIGKILL), ECRU_ESRCH);
  ecru_process_release(cat);
  next_event(watched, ECRU_ECLOSED);
  ecru_watch_destroy(watched);
  ecru_subscription_end(subscription);
}
static bool is_default(int signal) {
  struct sigaction action;
  CHECK_EQ(sigaction(signal, NULL, &action), 0);
  return action.sa_handler == SIG_DFL;
}
/// The same for the child's own.
static void use_new_ones(void) {
  int code = -1, descriptor;
  char file[64];
  ecru_process *process;
  ecru_watch *watch;
  CHECK_EQ(ecru_process_start(NULL, &process, (const char *const[]){"true", NULL}), 0);
  CHECK_EQ(ecru_process_wait(process, &code, NULL), 0);
  CHECK_EQ(code, 0);
  ecru_process_release(process);
  CHECK_EQ(ecru_watch_create(&watch, directory), 0);
  snprintf(file, sizeof file, "%s/file", directory);
  CHECK((descriptor = open(file, O_CREAT | O_WRONLY, 0600)) >= 0);
  CHECK_STR(next_event(watch, 0).name, "file");
  close(descriptor);
  ecru_watch_destroy(watch);
}
static void fork_with_a_loop(void *unused) {
  (void)unused;
  int signal = SIGUSR1, code = 0, killed = 0;
  ecru_chan *signals;
  CHECK_EQ(ecru_process_start(NULL, &cat, (const char *const[]){"sleep", "100", NULL}), 0);
  CHECK_EQ(ecru_watch_create(&watched, directory), 0);
  CHECK_EQ(ecru_chan_create(&signals, sizeof(int), 1), 0);
  CHECK_EQ(ecru_signal_notify(&subscription, signals, &signal, 1), 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK_EQ(ecru_restart_in_child(), 0);
    CHECK(is_default(SIGUSR1));
    use_what_the_parent_had();
    use_new_ones();
    _exit(0);
  }
  expect_child(child);
  CHECK_STR(next_event(watched, 0).name, "file"); // the parent's still stand
  ecru_watch_destroy(watched);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(ecru_chan_recv(signals, &signal), 0);
  ecru_subscription_end(subscription);
  ecru_chan_release(signals);
  CHECK_EQ(ecru_process_kill(cat, SIGKILL), 0);
  CHECK_EQ(ecru_process_wait(cat, &code, &killed), 0);
  CHECK_EQ(killed, SIGKILL);
  ecru_process_release(cat);
}
TEST(io_forked, a_child_that_starts_anew_loses_its_parents_loop_and_has_its_own) { // G14, I6
#ifdef ECRU__TSAN
  SKIP("ThreadSanitizer takes a forked child's new threads for those of its parent");
#endif
  char file[64];
  CHECK(mkdtemp(directory) != NULL);
  with_procs(1, fork_with_a_loop);
  snprintf(file, sizeof file, "%s/file", directory);
  CHECK_EQ(unlink(file), 0);
  CHECK_EQ(rmdir(directory), 0);
}
