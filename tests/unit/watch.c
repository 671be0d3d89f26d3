// Being told when files change (I6, K2).
#include "tests/goroutines.h"

static char place[64];
static char *in_place(const char *name) {
  static char path[96];
  snprintf(path, sizeof path, "%s/%s", place, name);
  return path;
}
static void make_place(void) {
  strcpy(place, "/tmp/ecru-watch-XXXXXX");
  CHECK_EQ(ecru_path_make_temporary_directory(place), 0);
}
static void write_file(const char *name) { CHECK_EQ(ecru_file_write_whole(in_place(name), "x", 1, 0600), 0); }

static void write_a(void *done) {
  write_file("a");
  finish(done);
}

TEST(watch, a_new_file_in_a_directory_is_told) { // I6
  ecru_watch *watch;
  ecru_watch_event event = {.size = sizeof event};
  ecru_chan *done = signals();
  make_place();
  CHECK_EQ(ecru_watch_create(&watch, place), 0);
  go(write_a, done);
  CHECK_EQ(ecru_watch_next(watch, &event), 0);
  CHECK_STR(event.name, "a");
  CHECK(event.what & (ECRU_WATCH_RENAMED | ECRU_WATCH_CHANGED));
  await(done, 1);
  ecru_chan_release(done);
  ecru_watch_destroy(watch);
  CHECK_EQ(ecru_path_unlink(in_place("a")), 0);
  CHECK_EQ(ecru_path_remove_directory(place), 0);
}

TEST(watch, more_than_can_be_kept_is_told_as_lost) { // I6
  ecru_watch *watch;
  ecru_watch_event event = {.size = sizeof event};
  bool lost = false;
  int told = 0;
  make_place();
  CHECK_EQ(ecru_watch_create(&watch, place), 0);
  for (int i = 0; i < 100; i++) write_file(i % 2 ? "a" : "b");
  CHECK_EQ(ecru_deadline_enter(ecru_after(2 * ECRU_SECOND)), 0);
  for (; !lost && ecru_watch_next(watch, &event) == 0; told++) lost = event.what == ECRU_WATCH_LOST; // though nothing happens any more
  CHECK_EQ(ecru_token_leave(), 0);
  CHECK(lost || told >= 100);
  ecru_watch_destroy(watch);
  CHECK_EQ(ecru_path_unlink(in_place("a")), 0);
  CHECK_EQ(ecru_path_unlink(in_place("b")), 0);
  CHECK_EQ(ecru_path_remove_directory(place), 0);
}

TEST(watch, a_token_ends_the_wait_and_not_the_watch) { // K2
  ecru_watch *watch;
  ecru_watch_event event = {.size = sizeof event};
  make_place();
  CHECK_EQ(ecru_watch_create(&watch, place), 0);
  CHECK_EQ(ecru_deadline_enter(ecru_after(ECRU_MILLISECOND)), 0);
  CHECK_EQ(ecru_watch_next(watch, &event), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
  write_file("a");
  CHECK_EQ(ecru_watch_next(watch, &event), 0);
  ecru_watch_destroy(watch);
  CHECK_EQ(ecru_path_unlink(in_place("a")), 0);
  CHECK_EQ(ecru_path_remove_directory(place), 0);
}

TEST(watch, what_is_not_there_cannot_be_watched) { // I6
  ecru_watch *watch;
  CHECK_EQ(ecru_watch_create(&watch, "/no/such/file"), ECRU_ENOENT);
  CHECK_EQ(ecru_watch_create(&watch, NULL), ECRU_EINVAL);
  ecru_watch_destroy(NULL);
}

TEST(watch, a_stop_ends_it) { // G13
  ecru_watch *watch;
  ecru_watch_event event = {.size = sizeof event};
  CHECK_EQ(ecru_watch_create(&watch, "/tmp"), 0);
  CHECK_EQ(ecru_stop(), 0);
  int status = 0;
  while (status == 0) status = ecru_watch_next(watch, &event); // what had come before
  CHECK_EQ(status, ECRU_ECLOSED);
  ecru_watch_destroy(watch);
}
