// Options, accepting, sweeping, draining.
#include "kv.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>

static const char usage[] =
  "usage: kv [--host ADDRESS] [--port PORT] [--unix PATH] [--procs N]\n"
  "  --port         default 0: the system chooses            --host       default 127.0.0.1\n"
  "  --unix         a Unix socket instead                    --procs      how many run in parallel\n"
  "  --bulk-bytes   the largest key or value (16777216)      --command-bytes  the largest command (67108864)\n"
  "  --arguments    of a command, at most (1048576)          --clients    at once, at most (10000)\n"
  "  --queue        messages a subscriber may be behind (1024)\n"
  "  --slow         what then happens: \"disconnect\" it (the default) or \"drop\" the oldest messages\n"
  "  --grace        milliseconds for answers after SIGTERM (10000)\n";

typedef struct program {
  server server;
  const char *host, *port, *unix_path;
  int procs, result;
} program;

// ---- options -----------------------------------------------------------------------------------------------------------

static int64_t number_of(const char *text, int64_t least, int64_t most) {
  char *end;
  long long number = strtoll(text, &end, 10);
  if (end == text || *end || number < least || number > most) {
    fprintf(stderr, "kv: not a number from %lld to %lld: %s\n", (long long)least, (long long)most, text);
    exit(64);
  }
  return number;
}

static bool drops_of(const char *text) {
  if (strcmp(text, "drop") == 0) return true;
  if (strcmp(text, "disconnect") == 0) return false;
  fprintf(stderr, "kv: neither \"drop\" nor \"disconnect\": %s\n", text);
  exit(64);
}

static void set_option(program *p, int which, const char *text) {
  server *s = &p->server;
  switch (which) {
  case 'a': p->host = text; break;
  case 'p': p->port = text; break;
  case 'u': p->unix_path = text; break;
  case 'n': p->procs = (int)number_of(text, 0, 256); break;
  case 'b': s->limits.bulk_bytes = (uint64_t)number_of(text, 1, 512 << 20); break;
  case 'm': s->limits.command_bytes = (uint64_t)number_of(text, 1, INT32_MAX); break;
  case 'r': s->limits.arguments = (uint64_t)number_of(text, 1, INT32_MAX); break;
  case 'c': s->connections_max = (size_t)number_of(text, 1, 1 << 24); break;
  case 'q': s->queue = (size_t)number_of(text, 1, 1 << 24); break;
  case 's': s->drops = drops_of(text); break;
  case 'g': s->grace_ns = number_of(text, 0, 24 * 3600 * 1000) * ECRU_MILLISECOND; break;
  default: fputs(usage, stderr); exit(64);
  }
}

static void read_options(program *p, int count, char **arguments) {
  static const struct option known[] = {
    {"host", 1, NULL, 'a'}, {"port", 1, NULL, 'p'}, {"unix", 1, NULL, 'u'}, {"procs", 1, NULL, 'n'}, {"bulk-bytes", 1, NULL, 'b'},
    {"command-bytes", 1, NULL, 'm'}, {"arguments", 1, NULL, 'r'}, {"clients", 1, NULL, 'c'}, {"queue", 1, NULL, 'q'},
    {"slow", 1, NULL, 's'}, {"grace", 1, NULL, 'g'}, {0}};
  for (int which; (which = getopt_long(count, arguments, "", known, NULL)) != -1;) set_option(p, which, optarg);
  if (optind < count) set_option(p, '?', NULL);
}

// ---- serving -----------------------------------------------------------------------------------------------------------

struct accepted { // travels with the goroutine that serves it
  server *server;
  ecru_io *io;
};

static void serve(void *accepted) {
  struct accepted *a = accepted;
  connection_serve(a->server, a->io);
  ecru_waitgroup_done(a->server->connections);
}

// Until the current token fires.
static int accept_all(server *s, ecru_io *listener) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.stack_bytes = 64 * 1024;
  for (;;) {
    struct accepted a = {.server = s};
    int status = ecru_accept_patiently(listener, &a.io, NULL);
    if (status != 0) return status == ECRU_ECANCELED ? 0 : status;
    atomic_fetch_add_explicit(&s->accepted, 1, memory_order_relaxed); // relaxed: a counter
    ecru_waitgroup_add(s->connections, 1);
    if (ecru_go_copy(&options, serve, &a, sizeof a) == 0) continue;
    ecru_waitgroup_done(s->connections); // no memory for one more: it has to come again
    ecru_io_release(a.io);
  }
}

// Keys that have expired and that nobody asks for any more.
static void sweep(void *unused) {
  (void)unused;
  while (ecru_sleep(100 * ECRU_MILLISECOND) == 0) store_sweep();
}

static int listen_and_say(const program *p, ecru_io **listener) {
  char where[ECRU_ADDRESS_TEXT];
  ecru_address address;
  snprintf(where, sizeof where, strchr(p->host, ':') ? "[%s]:%s" : "%s:%s", p->host, p->port);
  int status = p->unix_path ? ecru_listen(listener, "unix", p->unix_path) : ecru_listen(listener, "tcp", where);
  if (status == 0) status = ecru_io_local(*listener, &address);
  if (status == 0) ecru_address_text(&address, where, sizeof where);
  if (status == 0) printf("kv: listening on %s\n", where);
  return status;
}

// Those that wait for a command have been sent away by the token; those that answer may finish. Returns whether all did.
static bool drain(server *s) {
  int status = ecru_deadline_enter(ecru_after(s->grace_ns));
  if (status == 0) {
    status = ecru_waitgroup_wait(s->connections);
    ecru_token_leave();
  }
  ecru_token_cancel(s->serving, 0);
  ecru_waitgroup_wait(s->connections);
  return status == 0;
}

// Everything under the token `accepting`: what is started here inherits it.
static int serve_until_told(program *p, ecru_io *listener) {
  server *s = &p->server;
  int entered, status = 0;
  ECRU_TOKEN_SCOPE(entered, s->accepting) {
    status = ecru_waitgroup_go(s->connections, sweep, NULL);
    if (status == 0) status = accept_all(s, listener);
  }
  return entered != 0 ? entered : status;
}

// Listens, serves until SIGTERM or SIGINT, drains. A second signal ends the process at once.
static int listen_and_serve(program *p) {
  static const int ending[] = {SIGTERM, SIGINT};
  server *s = &p->server;
  ecru_subscription *signals = NULL;
  ecru_io *listener = NULL;
  int status = ecru_signal_token(&signals, &s->accepting, ending, 2);
  if (status == 0) status = listen_and_say(p, &listener);
  if (status == 0) {
    status = serve_until_told(p, listener);
    ecru_io_close(listener);
    ecru_token_cancel(s->accepting, 0);
    bool finished = drain(s);
    printf(finished ? "kv: drained\n" : "kv: out of patience\n");
    p->result = status != 0 || !finished;
  }
  ecru_io_release(listener);
  ecru_subscription_end(signals);
  return status;
}

static void start(void *program_) {
  program *p = program_;
  server *s = &p->server;
  s->began_ns = ecru_now();
  int status = ecru_waitgroup_create(&s->connections);
  if (status == 0) status = ecru_token_without_cancel(&s->serving, NULL);
  if (status == 0) status = pubsub_open();
  if (status == 0) status = listen_and_serve(p);
  if (status != 0) fprintf(stderr, "kv: %s\n", ecru_strerror(status));
  pubsub_close();
  ecru_token_release(s->accepting);
  ecru_token_release(s->serving);
  ecru_waitgroup_destroy(s->connections);
}

// ---- the process -------------------------------------------------------------------------------------------------------

static void allow_many_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments) {
  static program p = {
    .server = {.limits = {16 << 20, 64 << 20, 1 << 20}, .queue = 1024, .connections_max = 10000, .grace_ns = 10 * ECRU_SECOND},
    .host = "127.0.0.1", .port = "0", .result = 1};
  uint64_t seed = 0;
  read_options(&p, count, arguments);
  setvbuf(stdout, NULL, _IOLBF, 0);
  allow_many_descriptors();
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) perror("kv: no random seed");
  store_open(seed);
  commands_open();
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = p.procs;
  int status = ecru_run_with(&options, start, &p);
  if (status != 0) fprintf(stderr, "kv: %s\n", ecru_strerror(status));
  store_clear();
  work_pool_empty();
  return status != 0 || p.result;
}
