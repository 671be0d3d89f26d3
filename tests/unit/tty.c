// Terminals: modes that are taken back, size.
#include <ecru/tty.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "tests/goroutines.h"

static int master, terminal; // its two sides; `terminal` stays open to be looked at
static struct termios at_first;

static void open_terminal(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) SKIP("no pseudo-terminals here");
  CHECK_EQ(grantpt(master), 0);
  CHECK_EQ(unlockpt(master), 0);
  terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(terminal >= 0);
  CHECK_EQ(tcgetattr(terminal, &at_first), 0);
}
static void close_terminal(void) { close(master), close(terminal); }
static ecru_io *handle(void) {
  ecru_io *io;
  CHECK_EQ(ecru_io_adopt(&io, dup(terminal), 0), 0);
  return io;
}
static bool is_as_at_first(void) {
  struct termios now = {0}; // the system fills in fewer control characters than some libraries have
  CHECK_EQ(tcgetattr(terminal, &now), 0);
  return now.c_iflag == at_first.c_iflag && now.c_oflag == at_first.c_oflag && now.c_lflag == at_first.c_lflag && now.c_cflag == at_first.c_cflag &&
         memcmp(now.c_cc, at_first.c_cc, sizeof now.c_cc) == 0;
}

TEST(tty, raw_is_every_byte_as_it_is) { // I1
  open_terminal();
  ecru_io *io = handle();
  char bytes[16];
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_RAW), 0);
  CHECK(!is_as_at_first());
  CHECK_EQ(write(master, "a\x03\r", 3), 3); // no line, and Ctrl-C
  for (int got = 0; got < 3;) {
    int64_t more = ecru_io_read(io, bytes + got, sizeof bytes - (size_t)got);
    CHECK(more > 0);
    got += (int)more;
  }
  CHECK(memcmp(bytes, "a\x03\r", 3) == 0);
  CHECK_EQ(ecru_io_write(io, "x\ny", 3, NULL), 3);
  CHECK_EQ(read(master, bytes, sizeof bytes), 3); // nothing was echoed, "\n" stays alone
  CHECK(memcmp(bytes, "x\ny", 3) == 0);
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_AS_IT_WAS), 0);
  CHECK(is_as_at_first());
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_AS_IT_WAS), 0);
  ecru_io_release(io);
  close_terminal();
}

TEST(tty, hidden_is_lines_without_echo) { // I1
  open_terminal();
  ecru_io *io = handle();
  char bytes[16];
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_RAW), 0); // modes follow each other
  CHECK_EQ(ecru_tty_set_mode(io, ECRU_TTY_HIDDEN), 0);
  CHECK_EQ(write(master, "secrex\x7ft\r", 9), 9); // corrected
  CHECK_EQ(ecru_io_read(io, bytes, sizeof bytes), 7);
  CHECK(memcmp(bytes, "secret\n", 7) == 0);
  CHECK_EQ(ecru_io_write(io, ".", 1, NULL), 1);
  CHECK_EQ(read(master, bytes, sizeof bytes), 1);
  CHECK_EQ(bytes[0], '.');
  ecru_io_release(io);
  CHECK(is_as_at_first());
  close_terminal();
}

TEST(tty, closing_takes_the_mode_back) { // I1
  open_terminal();
  ecru_io *first = handle(), *second = handle(); // as stdin and stdout
  CHECK_EQ(ecru_tty_set_mode(first, ECRU_TTY_RAW), 0);
  CHECK_EQ(ecru_io_close(first), 0);
  CHECK(is_as_at_first());
  CHECK_EQ(ecru_tty_set_mode(first, ECRU_TTY_RAW), ECRU_ECLOSED);
  CHECK_EQ(ecru_tty_set_mode(second, ECRU_TTY_RAW), 0);
  ecru_io_release(second);
  ecru_io_release(first);
  CHECK(is_as_at_first());
  close_terminal();
}

TEST(tty, two_handles_of_one_terminal_know_how_it_was) { // I1
  open_terminal();
  ecru_io *first = handle(), *second = handle();
  CHECK_EQ(ecru_tty_set_mode(first, ECRU_TTY_RAW), 0);
  CHECK_EQ(ecru_tty_set_mode(second, ECRU_TTY_HIDDEN), 0);
  CHECK_EQ(ecru_io_close(first), 0);
  CHECK(is_as_at_first());
  CHECK_EQ(ecru_io_close(second), 0);
  CHECK(is_as_at_first());
  ecru_io_release(first);
  ecru_io_release(second);
  close_terminal();
}

TEST(tty, it_has_a_size) { // I1
  open_terminal();
  ecru_io *io = handle();
  int columns = -1, rows = -1;
  struct winsize size = {.ws_col = 123, .ws_row = 45};
  CHECK_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
  CHECK_EQ(ecru_tty_size(io, &columns, &rows), 0);
  CHECK_EQ(columns, 123);
  CHECK_EQ(rows, 45);
  ecru_io_release(io);
  close_terminal();
}

TEST(tty, what_is_none_says_so) { // I1
  ecru_io *reader, *writer;
  int columns = -1, rows = -1;
  CHECK_EQ(ecru_pipe(&reader, &writer), 0);
  for (int mode = ECRU_TTY_AS_IT_WAS; mode <= ECRU_TTY_HIDDEN; mode++) CHECK_EQ(ecru_tty_set_mode(reader, mode), ECRU_ENOTTY);
  CHECK_EQ(ecru_tty_size(reader, &columns, &rows), ECRU_ENOTTY);
  CHECK_EQ(columns, -1);
  CHECK_EQ(ecru_tty_set_mode(reader, 3), ECRU_EINVAL);
  CHECK_EQ(ecru_tty_set_mode(reader, -1), ECRU_EINVAL);
  CHECK_EQ(ecru_tty_set_mode(NULL, ECRU_TTY_RAW), ECRU_EINVAL);
  CHECK_EQ(ecru_tty_size(NULL, &columns, &rows), ECRU_EINVAL);
  CHECK_EQ(ecru_tty_size(reader, NULL, &rows), ECRU_EINVAL);
  ecru_io_release(reader);
  ecru_io_release(writer);
}

// ---- the end of the process ----------------------------------------------------------------------------------------------------

static bool is_childs_child;
/// Called after ecru's. What would come next is LeakSanitizer, which waits for ever for locks that another thread had at the fork.
static void leave_childs_child(void) {
  if (is_childs_child) _exit(0);
}
static void end_a_child(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    is_childs_child = true;
    exit(0); // its parent's terminal is not its own to restore
  }
  CHECK_EQ(waitpid(child, NULL, 0), child);
  CHECK(!is_as_at_first());
}
static int end_by_exit(void) {
  end_a_child();
  return 7;
}
static int end_by_panic(void) {
  ecru_exit(); // not in a goroutine
  return 8;
}
/// How a process ends that has left two handles of the terminal in another mode. returns: as waitpid.
static int end_with(int (*end)(void)) {
  int status = 0;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK_EQ(atexit(leave_childs_child), 0);
    CHECK_EQ(ecru_tty_set_mode(handle(), ECRU_TTY_HIDDEN), 0);
    CHECK_EQ(ecru_tty_set_mode(handle(), ECRU_TTY_RAW), 0);
    exit(end());
  }
  CHECK_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(tty, the_end_of_the_process_takes_it_back) { // I1
  open_terminal();
  int status = end_with(end_by_exit);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  CHECK(is_as_at_first());
  status = end_with(end_by_panic);
  CHECK(WIFSIGNALED(status));
  CHECK(is_as_at_first());
  close_terminal();
}
