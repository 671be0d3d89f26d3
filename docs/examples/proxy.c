// A TCP proxy: what comes from one side goes to the other, as fast as that takes it and no faster. Each direction is a goroutine in ecru_io_copy, so
// nothing is buffered but what is under way; when one side has said all, the other is told so and can still answer (half-close); a reset is passed on.
//   proxy --listen HOST:PORT --to HOST:PORT [--clients N] [--idle MILLISECONDS] [--dial MILLISECONDS] [--grace MILLISECONDS]
// SIGUSR1 prints the counters. SIGTERM: no more connections; those that are there may finish within the grace.
//
// Idle is a connection on which nothing has moved in either direction. Each copy ends twice per idle time by its read deadline, where it loses nothing,
// tells how far it came and goes on: a direction in which nothing moves knows by that whether the other one does. Writing has a later deadline: it only
// passes if one portion is stuck, and then what was read is lost, and the connection with it.
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  const char *listen, *to;
  int64_t clients, idle_ns, dial_ns, grace_ns;
} options = {"127.0.0.1:0", NULL, 1000, 60 * ECRU_SECOND, 10 * ECRU_SECOND, 10 * ECRU_SECOND};

static struct {
  atomic_ullong accepted, alive, unreachable, reset, idle, there, back; // the last two: bytes
} counters;

static ecru_semaphore *places;
static ecru_waitgroup *connections;

typedef struct connection {
  ecru_io *client, *target;
  atomic_ullong moved;     // bytes, in both directions
} connection;

typedef struct direction {
  connection *connection;
  ecru_io *from, *to;
  atomic_ullong *total;
} direction;

static void print_counters(void) {
  printf("proxy: %llu accepted, %llu now, %llu unreachable, %llu reset, %llu idle, %llu bytes there, %llu bytes back\n",
         atomic_load(&counters.accepted), atomic_load(&counters.alive), atomic_load(&counters.unreachable), atomic_load(&counters.reset),
         atomic_load(&counters.idle), atomic_load(&counters.there), atomic_load(&counters.back));
}

// ---- one direction -----------------------------------------------------------------------------------------------------

// Copies for half an idle time. Returns as ecru_io_copy; 0: the end of input; 1: it goes on.
static int copy_for_a_while(const direction *d) {
  int64_t half_ns = options.idle_ns / 2, stuck_ns = ecru_after(half_ns + options.idle_ns);
  uint64_t copied;
  int status = ecru_io_set_deadline(d->from, ECRU_IO_READ, ecru_after(half_ns));
  if (status == 0) status = ecru_io_set_deadline(d->to, ECRU_IO_WRITE, stuck_ns);
  if (status != 0) return status;
  int64_t result = ecru_io_copy(d->to, d->from, UINT64_MAX, &copied);
  atomic_fetch_add(&d->connection->moved, copied);
  atomic_fetch_add(d->total, copied);
  if (result == ECRU_ETIMEDOUT && ecru_check() == 0 && ecru_now() < stuck_ns) return 1;
  return result < 0 ? (int)result : 0;
}

static int copy_direction(void *direction_, void **result) {
  const direction *d = direction_;
  unsigned long long seen = atomic_load(&d->connection->moved);
  int status, silences = 0;
  (void)result;
  while ((status = copy_for_a_while(d)) == 1) {
    unsigned long long moved = atomic_load(&d->connection->moved);
    silences = moved == seen ? silences + 1 : 0;
    seen = moved;
    if (silences == 2) return ECRU_ETIMEDOUT;
  }
  return status == 0 ? ecru_io_shutdown(d->to, ECRU_IO_WRITE) : status; // the other side may still have something to say
}

// ---- one connection ----------------------------------------------------------------------------------------------------

// Both directions; when one fails the other is cancelled.
static int copy_both(connection *c) {
  direction there = {c, c->client, c->target, &counters.there}, back = {c, c->target, c->client, &counters.back};
  ecru_group *group;
  int status = ecru_group_create(&group, 0, 0);
  if (status != 0) return status;
  status = ecru_group_go(group, copy_direction, &there);
  if (status == 0) status = ecru_group_go(group, copy_direction, &back);
  if (status != 0) ecru_group_cancel(group, status);
  int ended = ecru_group_wait(group);
  ecru_group_destroy(group);
  return status != 0 ? status : ended;
}

// What went wrong on one side must not look like an orderly end on the other.
static void fail_both(connection *c, int status) {
  atomic_fetch_add(status == ECRU_ETIMEDOUT ? &counters.idle : &counters.reset, 1);
  ecru_io_set_option(c->client, ECRU_OPTION_LINGER, 0);
  ecru_io_set_option(c->target, ECRU_OPTION_LINGER, 0);
}

static int dial(ecru_io **target) {
  int entered, status = 0;
  ECRU_DEADLINE_SCOPE(entered, ecru_after(options.dial_ns)) status = ecru_dial(target, "tcp", options.to);
  return entered != 0 ? entered : status;
}

static void serve(void *client) {
  connection c = {.client = *(ecru_io **)client};
  int status = dial(&c.target);
  if (status == 0) {
    status = copy_both(&c);
    if (status != 0) fail_both(&c, status);
  } else {
    atomic_fetch_add(&counters.unreachable, 1);
    ecru_io_set_option(c.client, ECRU_OPTION_LINGER, 0);
  }
  ecru_io_close(c.client);
  ecru_io_release(c.client);
  if (c.target) ecru_io_close(c.target);
  ecru_io_release(c.target);
  atomic_fetch_sub(&counters.alive, 1);
  ecru_semaphore_release(places, 1);
  ecru_waitgroup_done(connections);
}

// ---- all of them -------------------------------------------------------------------------------------------------------

// Until the current token fires. Who finds no place waits to be accepted.
static int accept_all(ecru_io *listener, ecru_token *serving) {
  ecru_go_options go = ECRU_GO_OPTIONS;
  go.stack_bytes = 64 * 1024;
  go.token = serving;
  for (;;) {
    ecru_io *client;
    int status = ecru_semaphore_acquire(places, 1);
    if (status == 0) status = ecru_accept_patiently(listener, &client, NULL);
    if (status != 0) return status == ECRU_ECANCELED ? 0 : status;
    atomic_fetch_add(&counters.accepted, 1);
    atomic_fetch_add(&counters.alive, 1);
    ecru_waitgroup_add(connections, 1);
    if (ecru_go_copy(&go, serve, &client, sizeof client) == 0) continue;
    ecru_io_release(client); // no memory for one more: it has to come again
    ecru_waitgroup_done(connections);
    atomic_fetch_sub(&counters.alive, 1);
    ecru_semaphore_release(places, 1);
  }
}

// Returns 0 if all have finished by themselves.
static int drain(ecru_token *serving) {
  int status = ecru_deadline_enter(ecru_after(options.grace_ns));
  if (status == 0) {
    status = ecru_waitgroup_wait(connections);
    ecru_token_leave();
  }
  ecru_token_cancel(serving, 0);
  ecru_waitgroup_wait(connections);
  return status;
}

static void print_when_asked(void *asked) {
  while (ecru_chan_recv(asked, NULL) == 0) print_counters();
  ecru_chan_release(asked);
}

static int listen_and_say(ecru_io **listener) {
  char where[ECRU_ADDRESS_TEXT];
  ecru_address address;
  int status = ecru_listen(listener, "tcp", options.listen);
  if (status == 0) status = ecru_io_local(*listener, &address);
  if (status == 0) ecru_address_text(&address, where, sizeof where);
  if (status == 0) printf("proxy: listening on %s\n", where);
  return status;
}

static int listen_and_serve(ecru_token *accepting, ecru_token *serving) {
  ecru_io *listener = NULL;
  int entered, status = listen_and_say(&listener);
  if (status != 0) return status;
  ECRU_TOKEN_SCOPE(entered, accepting) status = accept_all(listener, serving);
  if (entered != 0) status = entered;
  ecru_io_close(listener);
  ecru_io_release(listener);
  int drained = drain(serving);
  print_counters();
  printf(drained == 0 ? "proxy: drained\n" : "proxy: out of patience\n");
  return status != 0 ? status : drained;
}

static void start(void *result) {
  static const int ending[] = {SIGTERM, SIGINT}, asking[] = {SIGUSR1};
  ecru_subscription *ends = NULL, *asks = NULL;
  ecru_token *accepting = NULL, *serving = NULL;
  ecru_chan *asked = NULL;
  int status = ecru_signal_token(&ends, &accepting, ending, 2);
  if (status == 0) status = ecru_chan_create(&asked, sizeof(int), 4);
  if (status == 0) status = ecru_signal_notify(&asks, asked, asking, 1);
  if (status == 0) status = ecru_token_without_cancel(&serving, NULL);
  if (status == 0) status = ecru_semaphore_create(&places, options.clients);
  if (status == 0) status = ecru_waitgroup_create(&connections);
  if (status == 0 && (status = ecru_go(print_when_asked, ecru_chan_retain(asked))) != 0) ecru_chan_release(asked);
  if (status == 0) status = listen_and_serve(accepting, serving);
  if (status != 0) fprintf(stderr, "proxy: %s\n", ecru_strerror(status));
  ecru_subscription_end(asks);
  if (asked) ecru_chan_close(asked);
  ecru_chan_release(asked);
  ecru_subscription_end(ends);
  ecru_token_release(accepting);
  ecru_token_release(serving);
  ecru_semaphore_destroy(places);
  ecru_waitgroup_destroy(connections);
  *(int *)result = status != 0;
}

static int64_t number_of(const char *text, int64_t most) {
  char *end;
  long long number = strtoll(text, &end, 10);
  if (end != text && !*end && number >= 1 && number <= most) return number;
  fprintf(stderr, "proxy: not a number from 1 to %lld: %s\n", (long long)most, text);
  exit(64);
}
static int64_t time_of(const char *text) { return number_of(text, 24 * 3600 * 1000) * ECRU_MILLISECOND; }

static void read_options(int count, char **arguments) {
  static const struct option known[] = {{"listen", 1, NULL, 'l'}, {"to", 1, NULL, 't'},   {"clients", 1, NULL, 'c'},
                                        {"idle", 1, NULL, 'i'},   {"dial", 1, NULL, 'd'}, {"grace", 1, NULL, 'g'}, {0}};
  for (int which; (which = getopt_long(count, arguments, "", known, NULL)) != -1;) {
    switch (which) {
    case 'l': options.listen = optarg; break;
    case 't': options.to = optarg; break;
    case 'c': options.clients = number_of(optarg, 1 << 24); break;
    case 'i': options.idle_ns = time_of(optarg); break;
    case 'd': options.dial_ns = time_of(optarg); break;
    case 'g': options.grace_ns = time_of(optarg); break;
    default: exit(64);
    }
  }
}

int main(int count, char **arguments) {
  int failed = 1;
  read_options(count, arguments);
  if (!options.to || optind < count) {
    fprintf(stderr, "usage: proxy --listen HOST:PORT --to HOST:PORT [--clients N] [--idle MS] [--dial MS] [--grace MS]\n");
    return 64;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  int status = ecru_run(start, &failed);
  if (status != 0) fprintf(stderr, "proxy: %s\n", ecru_strerror(status));
  return status != 0 || failed;
}
