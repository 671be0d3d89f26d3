/// tests/interpose/server.h: servers of others, started by a test on this machine alone and stopped with it.
#ifndef ECRU_TESTS_INTERPOSE_SERVER_H
#define ECRU_TESTS_INTERPOSE_SERVER_H
#include "foreign.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char server_directory[64]; // its files and its socket: short, since a socket's path has to be
static pid_t server;

/// The user servers run as that refuse to be root's: "nobody" then, else who we are.
static inline void become_nobody(void) {
  struct passwd *nobody = getuid() == 0 ? getpwnam("nobody") : NULL;
  if (!nobody) return;
  if (setgroups(0, NULL) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(1);
}

static inline void make_server_directory(void) {
  snprintf(server_directory, sizeof server_directory, "/tmp/ecru-XXXXXX");
  CHECK(mkdtemp(server_directory) != NULL);
  struct passwd *nobody = getuid() == 0 ? getpwnam("nobody") : NULL;
  if (nobody) CHECK_EQ(chown(server_directory, nobody->pw_uid, nobody->pw_gid), 0);
}

static inline int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where) {
  (void)about, (void)kind, (void)where;
  return remove(path);
}
static inline void remove_server_directory(void) { nftw(server_directory, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/// Starts a program that ends with this one, its output in <directory>/log, without the interposer. returns: its process.
static inline pid_t start_program(char *const arguments[]) {
  pid_t parent = getpid(), child = fork();
  CHECK(child >= 0);
  if (child > 0) return child;
  char log[128];
  snprintf(log, sizeof log, "%s/log", server_directory);
  become_nobody();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  int output = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, 0), dup2(output, 1), dup2(output, 2);
  unsetenv("LD_PRELOAD");
  for (int descriptor = 3; descriptor < 64; descriptor++) close(descriptor);
  if (chdir(server_directory) != 0) _exit(1);
  execvp(arguments[0], arguments);
  _exit(127);
}

/// Waits until it has ended. returns: its exit code; 128: it was killed.
static inline int end_of_program(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0) CHECK_EQ(errno, EINTR);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline void show_server_log(void) {
  char command[128];
  snprintf(command, sizeof command, "tail -n 20 %s/log >&2", server_directory);
  if (system(command) != 0) fprintf(stderr, "no log\n");
}

/// Waits, for half a minute at the most, until the server answers.
static inline void await_server(bool (*answers)(void)) {
  int64_t patience = wall_ns() + 30 * ECRU_SECOND;
  while (!answers()) {
    int status = 0;
    bool ended = waitpid(server, &status, WNOHANG) == server;
    if (ended || wall_ns() > patience) {
      show_server_log();
      FAIL("the server %s", ended ? "has ended" : "does not answer");
    }
    usleep(20000);
  }
}

static inline void stop_server(int signal_number) {
  kill(server, signal_number);
  end_of_program(server);
  remove_server_directory();
}

/// As many descriptors as we may have. returns: whether it is at least so many.
static inline bool have_descriptors(rlim_t wanted) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit.rlim_cur >= wanted;
}

/// Runs fn(i) for i < count in a goroutine each, all at once. returns: how long it took.
typedef struct numbered_call {
  void (*fn)(int i);
  int i;
  ecru_waitgroup *done;
} numbered_call;
static inline void run_numbered(void *argument) {
  numbered_call *c = argument;
  c->fn(c->i);
  CHECK_EQ(ecru_waitgroup_done(c->done), 0);
}
static inline int64_t concurrently(int count, void (*fn)(int i)) {
  ecru_waitgroup *done;
  CHECK_EQ(ecru_waitgroup_create(&done), 0);
  CHECK_EQ(ecru_waitgroup_add(done, count), 0);
  int64_t begin = wall_ns();
  for (int i = 0; i < count; i++) {
    numbered_call c = {fn, i, done};
    CHECK_EQ(ecru_go_copy(NULL, run_numbered, &c, sizeof c), 0);
  }
  CHECK_EQ(ecru_waitgroup_wait(done), 0);
  int64_t took = wall_ns() - begin;
  ecru_waitgroup_destroy(done);
  return took;
}
#endif
