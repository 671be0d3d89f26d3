// Files and directories (I6), what closing does to them (I3) and what a token does (K2).
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/goroutines.h"

static char place[64];
static const char *in_place(const char *name) {
  static char paths[4][96];
  static int turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", place, name);
  return path;
}
static void make_place(void) {
  strcpy(place, "/tmp/ecru-file-XXXXXX");
  CHECK_EQ(ecru_path_make_temporary_directory(place), 0);
}
static void remove_place(void) {
  ecru_directory *left = NULL;
  CHECK_EQ(ecru_directory_read(&left, place), 0);
  for (size_t i = 0; i < ecru_directory_count(left); i++) CHECK_EQ(ecru_path_unlink(in_place(ecru_directory_name(left, i, NULL))), 0);
  ecru_directory_destroy(left);
  CHECK_EQ(ecru_path_remove_directory(place), 0);
}

TEST(file, what_is_written_is_read) { // I6
  ecru_file *file;
  char data[16];
  size_t written = 99;
  make_place();
  CHECK_EQ(ecru_file_open(&file, in_place("a"), ECRU_FILE_READ | ECRU_FILE_WRITE | ECRU_FILE_CREATE | ECRU_FILE_EXCLUSIVE, 0600), 0);
  CHECK_EQ(ecru_file_write(file, "hello ", 6, &written), 6);
  CHECK_EQ(written, 6);
  CHECK_EQ(ecru_file_write(file, "world", 5, NULL), 5);
  CHECK_EQ(ecru_file_read(file, data, sizeof data), 0); // the position is at the end
  CHECK_EQ(ecru_file_read_at(file, data, sizeof data, 0), 11);
  CHECK(memcmp(data, "hello world", 11) == 0);
  CHECK_EQ(ecru_file_write_at(file, "W", 1, 6, NULL), 1);
  CHECK_EQ(ecru_file_read_at(file, data, 5, 6), 5);
  CHECK(memcmp(data, "World", 5) == 0);
  CHECK_EQ(ecru_file_sync(file), 0);
  CHECK_EQ(ecru_file_truncate(file, 5), 0);
  CHECK_EQ(ecru_file_read_at(file, data, sizeof data, 0), 5);
  CHECK_EQ(ecru_file_read_at(file, data, sizeof data, 5), 0);
  CHECK_EQ(ecru_file_close(file), 0);
  ecru_file_release(file);
  CHECK_EQ(ecru_file_open(&file, in_place("a"), ECRU_FILE_WRITE | ECRU_FILE_CREATE | ECRU_FILE_EXCLUSIVE, 0600), ECRU_EEXIST);
  CHECK_EQ(ecru_file_open(&file, in_place("a"), ECRU_FILE_APPEND, 0), 0);
  CHECK_EQ(ecru_file_write(file, "!", 1, NULL), 1);
  CHECK_EQ(ecru_file_read(file, data, 1), ECRU_EBADF);
  ecru_file_release(file); // closes it, too
  void *whole;
  size_t bytes;
  CHECK_EQ(ecru_file_read_whole(in_place("a"), &whole, &bytes, 100), 0);
  CHECK_EQ(bytes, 6);
  CHECK_STR(whole, "hello!");
  free(whole);
  remove_place();
}

TEST(file, a_file_says_what_it_is) { // I6
  ecru_file_info info = ECRU_FILE_INFO, other = ECRU_FILE_INFO;
  make_place();
  CHECK_EQ(ecru_file_write_whole(in_place("a"), "12345", 5, 0640), 0);
  CHECK_EQ(ecru_path_set_mode(in_place("a"), 0604), 0);
  CHECK_EQ(ecru_path_set_times(in_place("a"), 1000 * ECRU_SECOND, 2000 * ECRU_SECOND + 500 * ECRU_MILLISECOND), 0);
  CHECK_EQ(ecru_path_stat(in_place("a"), &info), 0);
  CHECK_EQ(info.bytes, 5);
  CHECK_EQ(info.kind, ECRU_KIND_FILE);
  CHECK_EQ(info.mode, 0604);
  CHECK_EQ(info.links, 1);
  CHECK_EQ(info.accessed_ns, 1000 * ECRU_SECOND);
  CHECK_EQ(info.modified_ns, 2000 * ECRU_SECOND + 500 * ECRU_MILLISECOND);
  CHECK_EQ(ecru_path_stat(place, &other), 0);
  CHECK_EQ(other.kind, ECRU_KIND_DIRECTORY);
  CHECK_EQ(ecru_path_symlink("a", in_place("s")), 0);
  CHECK_EQ(ecru_path_link_stat(in_place("s"), &other), 0);
  CHECK_EQ(other.kind, ECRU_KIND_LINK);
  ecru_file *file;
  CHECK_EQ(ecru_file_open(&file, in_place("s"), ECRU_FILE_READ, 0), 0);
  CHECK_EQ(ecru_file_stat(file, &other), 0);
  CHECK_EQ(other.inode, info.inode);
  ecru_file_release(file);
  other.size = sizeof other + 1;
  CHECK_EQ(ecru_path_stat(in_place("a"), &other), ECRU_EINVAL);
  remove_place();
}

TEST(file, names_can_be_made_changed_and_removed) { // I6
  char text[128], real[128];
  void *data;
  size_t bytes;
  make_place();
  CHECK_EQ(ecru_file_write_whole(in_place("a"), "x", 1, 0600), 0);
  CHECK_EQ(ecru_path_link(in_place("a"), in_place("b")), 0);
  CHECK_EQ(ecru_path_rename(in_place("b"), in_place("c")), 0);
  CHECK_EQ(ecru_path_symlink("c", in_place("d")), 0);
  CHECK_EQ(ecru_path_read_link(in_place("d"), text, sizeof text), 1);
  CHECK_STR(text, "c");
  CHECK_EQ(ecru_path_real(in_place("d"), real, sizeof real), (int)strlen(in_place("c")));
  CHECK_STR(real, in_place("c"));
  CHECK_EQ(ecru_path_real(in_place("d"), real, 5), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_path_copy(in_place("d"), in_place("e")), 0);
  CHECK_EQ(ecru_file_read_whole(in_place("e"), &data, &bytes, 1), 0);
  CHECK_STR(data, "x");
  free(data);
  CHECK_EQ(ecru_path_make_directory(in_place("f"), 0700), 0);
  CHECK_EQ(ecru_path_make_directory(in_place("f"), 0700), ECRU_EEXIST);
  ecru_directory *directory;
  int kind;
  CHECK_EQ(ecru_directory_read(&directory, place), 0);
  CHECK_EQ(ecru_directory_count(directory), 5);
  CHECK_STR(ecru_directory_name(directory, 0, &kind), "a");
  CHECK_EQ(kind, ECRU_KIND_FILE);
  CHECK_STR(ecru_directory_name(directory, 4, &kind), "f");
  CHECK_EQ(kind, ECRU_KIND_DIRECTORY);
  CHECK(ecru_directory_name(directory, 5, NULL) == NULL);
  ecru_directory_destroy(directory);
  CHECK_EQ(ecru_path_remove_directory(place), ECRU_ENOTEMPTY);
  CHECK_EQ(ecru_path_remove_directory(in_place("f")), 0);
  CHECK_EQ(ecru_directory_read(&directory, in_place("f")), ECRU_ENOENT);
  remove_place();
}

TEST(file, errors_are_the_systems) { // I6
  ecru_file *file;
  ecru_file_info info = ECRU_FILE_INFO;
  void *data;
  size_t bytes;
  CHECK_EQ(ecru_file_open(&file, "/no/such/file", ECRU_FILE_READ, 0), ECRU_ENOENT);
  CHECK_EQ(ecru_file_open(&file, "/", ECRU_FILE_WRITE, 0), ECRU_EISDIR);
  CHECK_EQ(ecru_file_open(&file, "/proc/self/stat/x", ECRU_FILE_READ, 0), ECRU_ENOTDIR);
  CHECK_EQ(ecru_file_open(&file, "/", 0, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_file_open(&file, "/", ECRU_FILE_READ | 1 << 20, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_file_open(&file, "/", ECRU_FILE_READ, 0), 0);
  CHECK_EQ(ecru_file_read(file, &data, 1), ECRU_EISDIR);
  ecru_file_release(file);
  CHECK_EQ(ecru_path_stat("/no/such/file", &info), ECRU_ENOENT);
  CHECK_EQ(ecru_path_unlink("/no/such/file"), ECRU_ENOENT);
  CHECK_EQ(ecru_path_rename(NULL, "x"), ECRU_EINVAL);
  CHECK_EQ(ecru_file_read_whole("/proc/self/status", &data, &bytes, 1 << 20), 0); // says it is empty
  CHECK(bytes > 100 && strlen(data) == bytes);
  free(data);
  CHECK_EQ(ecru_file_read_whole("/proc/self/status", &data, &bytes, 10), ECRU_EFBIG);
  CHECK_EQ(ecru_file_open(&file, "/dev/full", ECRU_FILE_WRITE, 0), 0);
  CHECK_EQ(ecru_file_write(file, "x", 1, &bytes), ECRU_ENOSPC);
  CHECK_EQ(bytes, 0);
  ecru_file_release(file);
}

TEST(file, too_many_open_files_are_told) { // I6
  ecru_file *file;
  CHECK_EQ(ecru_file_open(&file, "/dev/null", ECRU_FILE_READ, 0), 0); // all that libuv needs is there
  struct rlimit before, none;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = before;
  none.rlim_cur = 3;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  ecru_file *another;
  CHECK_EQ(ecru_file_open(&another, "/dev/null", ECRU_FILE_READ, 0), ECRU_EMFILE);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_EQ(ecru_file_close(file), 0);
  ecru_file_release(file);
}

TEST(file, a_closed_file_is_closed) { // I3
  ecru_file *file;
  ecru_file_info info = ECRU_FILE_INFO;
  char byte;
  int before;
  CHECK_EQ(ecru_file_open(&file, "/dev/zero", ECRU_FILE_READ, 0), 0);
  before = test_open_fds();
  CHECK((fcntl((int)ecru_file_descriptor(file), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK_EQ(ecru_file_close(file), 0);
  CHECK_EQ(test_open_fds(), before - 1);
  CHECK_EQ(ecru_file_close(file), ECRU_ECLOSED);
  CHECK_EQ(ecru_file_read(file, &byte, 1), ECRU_ECLOSED);
  CHECK_EQ(ecru_file_write(file, &byte, 1, NULL), ECRU_ECLOSED);
  CHECK_EQ(ecru_file_stat(file, &info), ECRU_ECLOSED);
  CHECK_EQ(ecru_file_descriptor(file), ECRU_ECLOSED);
  ecru_file_release(file);
}

static void read_slowly(void *argument) {
  char byte;
  void **both = argument;
  CHECK_EQ(ecru_file_read(both[0], &byte, 1), 1);
  CHECK_EQ(byte, 'x');
  finish(both[1]);
}

TEST(file, a_read_that_blocks_holds_up_nobody_and_is_waited_for_by_close) { // I3, G3
  make_place();
  CHECK_EQ(mkfifo(in_place("fifo"), 0600), 0);
  int writer = open(in_place("fifo"), O_RDWR | O_CLOEXEC);
  CHECK(writer >= 0);
  ecru_file *file;
  ecru_chan *done = signals();
  CHECK_EQ(ecru_file_open(&file, in_place("fifo"), ECRU_FILE_READ, 0), 0); // in place of a disk that does not answer
  void *both[] = {file, done};
  for (int i = 0; i < 8; i++) go(read_slowly, both);
  UNTIL(counters_now().blocking == 8);
  CHECK_EQ(write(writer, "xxxxxxxx", 8), 8);
  CHECK_EQ(ecru_file_close(file), 0);
  await(done, 8);
  ecru_file_release(file);
  close(writer);
  ecru_chan_release(done);
  remove_place();
}

TEST(file, a_fired_token_begins_nothing) { // K2
  ecru_file *file, *another;
  char byte;
  CHECK_EQ(ecru_file_open(&file, "/dev/zero", ECRU_FILE_READ | ECRU_FILE_WRITE, 0), 0);
  CHECK_EQ(ecru_deadline_enter(0), 0);
  CHECK_EQ(ecru_file_read(file, &byte, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_file_write(file, &byte, 1, NULL), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_file_sync(file), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_file_open(&another, "/dev/zero", ECRU_FILE_READ, 0), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_file_close(file), 0);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_file_release(file);
}

enum { CROWD = 64, ROUNDS = 20 };
static void write_and_read(void *argument) {
  char name[128], data[1000];
  void *found;
  size_t bytes;
  snprintf(name, sizeof name, "%s/%p", place, (void *)&name);
  for (int i = 0; i < ROUNDS; i++) {
    memset(data, i, sizeof data);
    CHECK_EQ(ecru_file_write_whole(name, data, sizeof data, 0600), 0);
    CHECK_EQ(ecru_file_read_whole(name, &found, &bytes, sizeof data), 0);
    CHECK_EQ(bytes, sizeof data);
    CHECK(memcmp(found, data, bytes) == 0);
    free(found);
  }
  CHECK_EQ(ecru_path_unlink(name), 0);
  finish(argument);
}

TEST(file, a_crowd_of_goroutines_uses_files) { // I6
  ecru_chan *done = signals();
  make_place();
  for (int i = 0; i < CROWD; i++) go(write_and_read, done);
  await(done, CROWD);
  ecru_chan_release(done);
  remove_place();
}
