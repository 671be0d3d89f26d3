// libcurl, unchanged: its easy interface from a thousand goroutines at once.
#include "server.h"

#ifdef HAVE_CURL
#include <curl/curl.h>

enum { DELAY_MS = 300 };
static ecru_io *http;
static ecru_chan *gate; // if there is one, answers wait until it is closed
static char url[64];
static _Atomic int at_once, most_at_once, answered;

static void note_more(void) {
  int now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);
  while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now)) {}
}

/// Reads a request's head and answers a while later.
static void serve(void *argument) {
  ecru_io *io = argument;
  char head[4096], reply[256];
  size_t used = 0;
  int64_t got;
  while (used < sizeof head - 1 && (got = ecru_io_read(io, head + used, sizeof head - 1 - used)) > 0) {
    used += (size_t)got;
    head[used] = 0;
    if (!strstr(head, "\r\n\r\n")) continue;
    note_more();
    if (gate) CHECK_EQ(ecru_chan_recv(gate, NULL), ECRU_ECLOSED);
    else CHECK_EQ(ecru_sleep(DELAY_MS * ECRU_MILLISECOND), 0);
    atomic_fetch_sub(&at_once, 1);
    int number = -1;
    CHECK_EQ(sscanf(head, "GET /%d ", &number), 1);
    char body[32];
    int bytes = snprintf(body, sizeof body, "number %d", number);
    int length = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", bytes, body);
    CHECK_EQ(ecru_io_write(io, reply, (size_t)length, NULL), length);
    break;
  }
  ecru_io_release(io);
}

static void serve_all(void *unused) {
  (void)unused;
  for (ecru_io *io; ecru_accept(http, &io, NULL) == 0;) go(serve, io);
}

static void start_http(void) {
  ecru_address address;
  ecru_listen_options options = ECRU_LISTEN_OPTIONS;
  options.backlog = 2000;
  CHECK_EQ(ecru_listen_with(&options, &http, "tcp", "127.0.0.1:0"), 0);
  CHECK_EQ(ecru_io_local(http, &address), 0);
  snprintf(url, sizeof url, "http://127.0.0.1:%d", ecru_address_port(&address));
  go(serve_all, NULL);
}

typedef struct answer { char text[64]; size_t used; } answer;
static size_t keep(char *data, size_t one, size_t bytes, void *context) {
  answer *a = context;
  (void)one;
  if (a->used + bytes >= sizeof a->text) return 0;
  memcpy(a->text + a->used, data, bytes);
  a->used += bytes;
  a->text[a->used] = 0;
  return bytes;
}

static CURL *prepare(const char *address, answer *a) {
  CURL *curl = curl_easy_init();
  CHECK(curl != NULL);
  curl_easy_setopt(curl, CURLOPT_URL, address);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 40L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
  return curl;
}

static void fetch(int i) {
  char address[96], expected[64];
  answer a = {"", 0};
  snprintf(address, sizeof address, "%s/%d", url, i);
  snprintf(expected, sizeof expected, "number %d", i);
  CURL *curl = prepare(address, &a);
  CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) FAIL("request %d: %s", i, curl_easy_strerror(code));
  CHECK_STR(a.text, expected);
  atomic_fetch_add(&answered, 1);
  curl_easy_cleanup(curl);
}

static void thousand(void *unused) {
  (void)unused;
  int count = (int)test_scaled(1000);
  start_http();
  int64_t took = concurrently(count, fetch);
  CHECK_EQ(atomic_load(&answered), count);
  CHECK(atomic_load(&most_at_once) > count / 4); // they did overlap ...
  CHECK(took < count * DELAY_MS * ECRU_MILLISECOND / 4); // ... and so took far less than one after the other
  CHECK(test_threads() < 40);
  fprintf(stderr, "%d requests of %d ms: %.2f s, at most %d at once, %d threads\n", count, DELAY_MS, (double)took / 1e9,
          atomic_load(&most_at_once), test_threads());
  CHECK_EQ(ecru_io_close(http), 0);
  ecru_io_release(http);
}

static void cancel_once_asked(void *token) {
  UNTIL(atomic_load(&at_once) == 1);
  CHECK_EQ(ecru_token_cancel(token, 0), 0);
}

static void stopped(void *unused) {
  (void)unused;
  ecru_token *token;
  gate = signals();
  start_http();
  answer a = {"", 0};
  char address[96];
  snprintf(address, sizeof address, "%s/1", url);
  CURL *curl = prepare(address, &a);
  CHECK_EQ(ecru_token_create(&token, NULL, ECRU_FOREVER), 0);
  go(cancel_once_asked, token);
  CHECK_EQ(ecru_token_enter(token), 0);
  CHECK(curl_easy_perform(curl) != CURLE_OK);
  CHECK_EQ(ecru_token_leave(), 0);
  ecru_token_release(token);
  CHECK_EQ(ecru_chan_close(gate), 0);
  CHECK_EQ(curl_easy_perform(curl), CURLE_OK); // the handle is as good as ever
  CHECK_STR(a.text, "number 1");
  curl_easy_cleanup(curl);
  CHECK_EQ(ecru_io_close(http), 0);
  ecru_io_release(http);
  UNTIL(atomic_load(&at_once) == 0);
  ecru_chan_release(gate);
}

static void prepare_and_run(void (*body)(void *)) {
  if (!have_descriptors(4096)) SKIP("not enough descriptors");
  CHECK_EQ(curl_global_init(CURL_GLOBAL_ALL), 0);
  in_goroutine(body);
  curl_global_cleanup();
}
#else
static void thousand(void *unused) { (void)unused; }
static void stopped(void *unused) { (void)unused; }
static void prepare_and_run(void (*body)(void *)) {
  (void)body;
  SKIP("libcurl is missing (ci/setup interpose)");
}
#endif

TEST(curl, a_thousand_requests_overlap) { prepare_and_run(thousand); } // I7 serial
TEST(curl, a_cancelled_token_ends_a_request) { prepare_and_run(stopped); } // I7, K2
