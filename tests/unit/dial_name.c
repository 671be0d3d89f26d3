// Dialling and listening by name (I4): this program's getaddrinfo is the one libuv finds.
#include "tests/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; // held: look-ups of "slow" hang
static _Atomic int entered, answers_alive;

typedef struct answer {
  struct addrinfo info; // first
  struct sockaddr_storage address;
} answer;

static struct addrinfo *answer_of(const char *text, struct addrinfo *next) {
  answer *a = calloc(1, sizeof *a);
  struct sockaddr_in *v4 = (struct sockaddr_in *)&a->address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->address;
  bool is_v6 = strchr(text, ':') != NULL;
  a->address.ss_family = is_v6 ? AF_INET6 : AF_INET;
  CHECK_EQ(inet_pton(a->address.ss_family, text, is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr), 1);
  a->info = (struct addrinfo){.ai_family = a->address.ss_family, .ai_socktype = SOCK_STREAM, .ai_addr = (struct sockaddr *)&a->address,
                              .ai_addrlen = is_v6 ? sizeof *v6 : sizeof *v4, .ai_next = next};
  atomic_fetch_add(&answers_alive, 1);
  return &a->info;
}

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints, struct addrinfo **restrict result) {
  (void)service;
  int family = hints ? hints->ai_family : AF_UNSPEC;
  atomic_fetch_add(&entered, 1);
  if (strcmp(host, "flaky") == 0) return EAI_AGAIN;
  if (strcmp(host, "slow") == 0) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
  }
  if (strcmp(host, "nobody") == 0) return EAI_NONAME;
  struct addrinfo *list = NULL;
  if (family != AF_INET) list = answer_of("::1", list);
  if (family != AF_INET6) list = answer_of("127.0.0.1", list);
  if (strcmp(host, "last") == 0) // others refuse before
    for (int i = 2; i < 9; i++) {
      char text[16];
      snprintf(text, sizeof text, "127.0.0.%d", i);
      list = answer_of(text, list);
    }
  *result = list;
  return 0;
}

void freeaddrinfo(struct addrinfo *info) {
  while (info) {
    struct addrinfo *next = info->ai_next;
    free(info);
    atomic_fetch_sub(&answers_alive, 1);
    info = next;
  }
}

static int dial_name(const char *network, const char *host, ecru_io *listener, ecru_io **io) {
  char text[64];
  ecru_address address = local_of(listener);
  snprintf(text, sizeof text, "%s:%d", host, ecru_address_port(&address));
  return ecru_dial(io, network, text);
}

static void reach(ecru_io *listener, const char *network, const char *host) {
  ecru_io *a = NULL, *b = NULL;
  int before = test_open_fds();
  CHECK_EQ(dial_name(network, host, listener, &a), 0);
  CHECK_EQ(ecru_accept(listener, &b, NULL), 0);
  write_text(a, "x");
  expect_text(b, "x");
  release_two((two){a, b});
  CHECK_EQ(test_open_fds(), before);
}

/// Bound, and does not listen: who connects is refused, and no other program has the port. returns: -1: one has it.
static int refuse_at(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(descriptor, (struct sockaddr *)&at, sizeof at) == 0) return descriptor;
  close(descriptor);
  return -1;
}
/// Where IPv4 refuses. returns: NULL: there is no IPv6 here.
static ecru_io *listen_at_ipv6_alone(int *refusing) {
  for (;;) {
    ecru_io *listener = NULL;
    if (ecru_listen(&listener, "tcp6", "[::1]:0") != 0) return NULL;
    ecru_address address = local_of(listener);
    *refusing = refuse_at(ecru_address_port(&address));
    if (*refusing >= 0) return listener;
    ecru_io_release(listener);
  }
}

static void reach_names(void *unused) {
  (void)unused;
  int refusing;
  ecru_io *v4 = listen_tcp(), *v6 = listen_at_ipv6_alone(&refusing), *io = NULL;
  CHECK_EQ(dial_name("tcp", "slow", v4, &io), 0); // the resolver's threads and descriptors are there
  ecru_io_release(io);
  CHECK_EQ(ecru_accept(v4, &io, NULL), 0);
  ecru_io_release(io);
  reach(v4, "tcp", "both"); // IPv6 is tried first, and refuses
  reach(v4, "tcp4", "both");
  reach(v4, "tcp", "last");
  if (v6) {
    reach(v6, "tcp", "both");
    reach(v6, "tcp6", "both");
    CHECK_EQ(dial_name("tcp4", "both", v6, &io), ECRU_ECONNREFUSED);
    ecru_io_release(v6);
    close(refusing);
  }
  ecru_io_release(v4);
}
static void stop_and_check(void) {
  CHECK_EQ(ecru_stop(), 0);
  CHECK_EQ(atomic_load(&answers_alive), 0);
}
TEST(dial_name, one_of_its_addresses_answers) { // I4
  with_procs(1, reach_names);
  CHECK_EQ(atomic_load(&answers_alive), 0);
}
TEST(dial_name, from_a_thread) { // I4, G10
  reach_names(NULL);
  stop_and_check();
}

TEST(dial_name, there_is_no_such_host) { // I4
  ecru_io *io = NULL;
  CHECK_EQ(ecru_dial(&io, "tcp", "nobody:80"), ECRU_ENOHOST);
  CHECK_EQ(ecru_listen(&io, "tcp", "nobody:80"), ECRU_ENOHOST);
  CHECK_EQ(ecru_dial(&io, "tcp", "flaky:80"), ECRU_EDNS);
  CHECK_EQ(ecru_dial(&io, "udp", "both:no-such-service"), ECRU_ENOHOST);
  CHECK_EQ(ecru_dial(&io, "tcp", "both:0x50"), ECRU_EINVAL);
  CHECK_EQ(atomic_load(&entered), 3);
  CHECK(io == NULL);
  stop_and_check();
}

TEST(dial_name, the_local_address_chooses_the_family) { // I4
  ecru_io *listener = listen_tcp(), *io = NULL;
  ecru_address local = parsed("tcp", "127.0.0.9:0"), to = local_of(listener);
  ecru_dial_options options = ECRU_DIAL_OPTIONS;
  char text[32];
  snprintf(text, sizeof text, "both:%d", ecru_address_port(&to));
  options.local = &local;
  options.fallback_ns = -1;
  CHECK_EQ(ecru_dial_with(&options, &io, "tcp", text), 0);
  release_two((two){io, listener});
  stop_and_check();
}

TEST(dial_name, listening_takes_the_ipv4_address) { // I4
  ecru_io *listener = listen_at("tcp", "both:0"), *udp = listen_at("udp", "both:0");
  char text[ECRU_ADDRESS_TEXT];
  ecru_address address = local_of(listener);
  CHECK(ecru_address_text(&address, text, sizeof text) > 0);
  CHECK(strncmp(text, "127.0.0.1:", 10) == 0);
  release_two((two){listener, udp});
  stop_and_check();
}

static ecru_chan *ended;
static int (*call)(ecru_io **io, const char *network, const char *address);
static void call_in_vain(void *unused) {
  (void)unused;
  ecru_io *io = NULL;
  CHECK_EQ(call(&io, "tcp", "slow:1"), ECRU_ECANCELED);
  CHECK_EQ(ecru_chan_try_send(ended, NULL), 0);
}
TEST(dial_name, a_token_ends_the_look_up) { // I4, K2
  int (*const calls[])(ecru_io **, const char *, const char *) = {ecru_dial, ecru_listen};
  ended = signals();
  for (int i = 0; i < 2; i++) {
    ecru_token *token;
    call = calls[i];
    int before = atomic_load(&entered);
    pthread_mutex_lock(&gate);
    CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
    CHECK_EQ(ecru_token_enter(token), 0);
    go(call_in_vain, NULL);
    UNTIL(atomic_load(&entered) > before);
    CHECK_EQ(ecru_token_cancel(token, 0), 0);
    CHECK_EQ(ecru_token_leave(), 0);
    await(ended, 1);
    pthread_mutex_unlock(&gate);
    ecru_token_release(token);
  }
  ecru_chan_release(ended);
  stop_and_check();
}
