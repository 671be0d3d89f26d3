// Options, accepting, draining.
#include "httpd.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] =
  "usage: httpd [--root DIRECTORY] [--hello] [--host ADDRESS] [--port PORT] [--unix PATH] [--procs N] [--log FILE]\n"
  "  --root       serve the files below it          --hello        answer everything with \"hello\"\n"
  "  --port       default 0: the system chooses     --host         default 127.0.0.1\n"
  "  --unix       a Unix socket instead             --procs        how many run in parallel\n"
  "  --log        access log; -: standard output    --body-bytes   larger bodies are refused; default 1048576\n"
  "  --idle, --head, --body, --write, --grace: timeouts in milliseconds: between requests (60000), for a head (10000), for a\n"
  "  body (30000, and more as it comes), for a client that does not read (30000), after SIGTERM (10000)\n";

typedef struct choices {
  const char *host, *port, *unix_path;
  int procs;
} choices;

static struct program {
  server server;
  choices choices;
  int result;
} program = {
  .server = {.root = -1, .idle_ns = 60 * ECRU_SECOND, .head_ns = 10 * ECRU_SECOND, .body_ns = 30 * ECRU_SECOND, .write_ns = 30 * ECRU_SECOND,
             .grace_ns = 10 * ECRU_SECOND, .body_bytes_max = 1024 * 1024, .lock = PTHREAD_MUTEX_INITIALIZER},
  .choices = {.host = "127.0.0.1", .port = "0"},
  .result = 1,
};

// ---- options -----------------------------------------------------------------------------------------------------------

static int64_t number_of(const char *text, int64_t most) {
  char *end;
  long long number = strtoll(text, &end, 10);
  if (end == text || *end || number < 0 || number > most) {
    fprintf(stderr, "httpd: not a number from 0 to %lld: %s\n", (long long)most, text);
    exit(64);
  }
  return number;
}
static int64_t time_of(const char *text) { return number_of(text, 24 * 3600 * 1000) * ECRU_MILLISECOND; }

static void set_option(server *s, choices *o, int which, const char *value) {
  switch (which) {
  case 'r': s->root_path = value; break;
  case 'e': s->hello = true; break;
  case 'a': o->host = value; break;
  case 'p': o->port = value; break;
  case 'u': o->unix_path = value; break;
  case 'n': o->procs = (int)number_of(value, 256); break;
  case 'l': s->log_path = value; break;
  case 'm': s->body_bytes_max = (uint64_t)number_of(value, INT64_MAX); break;
  case 'i': s->idle_ns = time_of(value); break;
  case 'h': s->head_ns = time_of(value); break;
  case 'b': s->body_ns = time_of(value); break;
  case 'w': s->write_ns = time_of(value); break;
  case 'g': s->grace_ns = time_of(value); break;
  default: fputs(usage, stderr); exit(64);
  }
}

static void read_options(server *s, choices *o, int count, char **arguments) {
  static const struct option known[] = {
    {"root", 1, NULL, 'r'}, {"hello", 0, NULL, 'e'}, {"host", 1, NULL, 'a'}, {"port", 1, NULL, 'p'}, {"unix", 1, NULL, 'u'},
    {"procs", 1, NULL, 'n'}, {"log", 1, NULL, 'l'}, {"body-bytes", 1, NULL, 'm'}, {"idle", 1, NULL, 'i'}, {"head", 1, NULL, 'h'},
    {"body", 1, NULL, 'b'}, {"write", 1, NULL, 'w'}, {"grace", 1, NULL, 'g'}, {0}};
  for (int which; (which = getopt_long(count, arguments, "", known, NULL)) != -1;) set_option(s, o, which, optarg);
  if (optind < count || (!s->root_path && !s->hello)) set_option(s, o, '?', NULL);
  if (s->root_path && (s->root = open(s->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
    perror(s->root_path);
    exit(1);
  }
}

// ---- signals -----------------------------------------------------------------------------------------------------------

static struct {
  pthread_t thread;
  sigset_t signals;
  atomic_bool over;
} watcher;

static void *await_signals(void *server_) { // a plain thread: tokens can be fired from anywhere
  server *s = server_;
  for (bool again = false;; again = true) {
    int signal;
    while (sigwait(&watcher.signals, &signal) != 0) continue;
    if (atomic_load(&watcher.over)) return NULL;
    ecru_token_cancel(again ? s->serving : s->accepting, 0); // the second one means it
  }
}

// Before the first use of ecru: the threads of the runtime inherit it, so that only the watcher takes them.
static void block_signals(void) {
  sigemptyset(&watcher.signals);
  sigaddset(&watcher.signals, SIGTERM);
  sigaddset(&watcher.signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &watcher.signals, NULL);
}

static int watcher_start(server *s) {
  return pthread_create(&watcher.thread, NULL, await_signals, s) == 0 ? 0 : ECRU_ETHREADS;
}

// Before the runtime stops: no thread may be inside a call then.
static void watcher_stop(void) {
  atomic_store(&watcher.over, true);
  pthread_kill(watcher.thread, SIGTERM);
  pthread_join(watcher.thread, NULL);
}

// ---- serving -----------------------------------------------------------------------------------------------------------

struct accepted { // travels with the goroutine that serves it
  server *server;
  ecru_io *io;
  ecru_address peer;
};

static void serve(void *argument) {
  struct accepted *a = argument;
  connection_serve(a->server, a->io, &a->peer);
  ecru_waitgroup_done(a->server->connections);
}

// Until the current token fires.
static int accept_all(server *s, ecru_io *listener) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = 64 * 1024;
  options.token = s->serving;
  for (;;) {
    struct accepted a = {.server = s};
    int status = ecru_accept_patiently(listener, &a.io, &a.peer);
    if (status != 0) return status == ECRU_ECANCELED ? 0 : status;
    ecru_waitgroup_add(s->connections, 1);
    if (ecru_go_copy(&options, serve, &a, sizeof a) == 0) continue;
    ecru_waitgroup_done(s->connections); // no memory for one more: it has to come again
    ecru_io_release(a.io);
  }
}

static int listen_and_say(const choices *o, ecru_io **listener) {
  char where[ECRU_ADDRESS_TEXT];
  ecru_address address;
  snprintf(where, sizeof where, strchr(o->host, ':') ? "[%s]:%s" : "%s:%s", o->host, o->port);
  int status = o->unix_path ? ecru_listen(listener, "unix", o->unix_path) : ecru_listen(listener, "tcp", where);
  if (status == 0) status = ecru_io_local(*listener, &address);
  if (status == 0) ecru_address_text(&address, where, sizeof where);
  if (status == 0) printf(o->unix_path ? "httpd: listening on %s\n" : "httpd: listening on http://%s/\n", where);
  return status;
}

// No more connections; those that wait go, those that are answered may finish. Returns whether all did.
static bool drain(server *s) {
  connections_drain(s);
  int status = ecru_deadline_enter(ecru_after(s->grace_ns));
  if (status == 0) {
    status = ecru_waitgroup_wait(s->connections);
    ecru_token_leave();
  }
  ecru_token_cancel(s->serving, 0);
  ecru_waitgroup_wait(s->connections);
  return status == 0;
}

static void start(void *program_) {
  struct program *p = program_;
  server *s = &p->server;
  ecru_io *listener = NULL;
  int status = listen_and_say(&p->choices, &listener);
  if (status == 0) status = ecru_waitgroup_create(&s->connections);
  if (status == 0) status = log_start(s);
  if (status == 0) {
    int entered;
    ECRU_TOKEN_SCOPE(entered, s->accepting) status = accept_all(s, listener);
    if (entered != 0) status = entered;
    ecru_io_close(listener);
    bool finished = drain(s);
    printf(finished ? "httpd: drained\n" : "httpd: out of patience\n");
    p->result = status != 0 || !finished;
  }
  log_stop(s);
  if (status != 0) fprintf(stderr, "httpd: %s\n", ecru_strerror(status));
  ecru_waitgroup_destroy(s->connections);
  ecru_io_release(listener);
  watcher_stop();
  ecru_token_release(s->accepting);
  ecru_token_release(s->serving);
}

// ---- the process -------------------------------------------------------------------------------------------------------

static void allow_many_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments) {
  struct program *p = &program;
  read_options(&p->server, &p->choices, count, arguments);
  setvbuf(stdout, NULL, _IOLBF, 0);
  allow_many_descriptors();
  block_signals();
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = p->choices.procs;
  int status = ecru_start(&options);
  if (status == 0) status = ecru_token_without_cancel(&p->server.accepting, NULL);
  if (status == 0) status = ecru_token_without_cancel(&p->server.serving, NULL);
  if (status == 0) status = watcher_start(&p->server);
  if (status == 0) status = ecru_run(start, p);
  if (status != 0) fprintf(stderr, "httpd: %s\n", ecru_strerror(status));
  files_forget();
  work_pool_empty();
  return status != 0 || p->result;
}
