// Fetches a list of URLs, some at a time: plain blocking code in goroutines. Each URL has a deadline for everything, from the name to the last byte
// and through redirects; each tells its own error; the totals come last.
//   crawl [--parallel N] [--timeout MILLISECONDS] [--redirects N] [--bytes MOST] [--file LIST] [URL ...]      "-" as LIST is standard input
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { URL_BYTES = 2048, LINE_BYTES = 16 * 1024, HEADERS_MAX = 200, REMARKS_MAX = 20 };

static struct {
  size_t parallel;
  int64_t timeout_ns, bytes_max;
  int redirects_max;
} limits = {16, 10 * ECRU_SECOND, 64 << 20, 5};

static struct {
  size_t urls;
  atomic_size_t fetched, failed, running;
  atomic_ullong bytes;
} totals;
static bool shows_progress;

// What comes of one URL. `why` says it where a status does not.
typedef struct fetch {
  char url[URL_BYTES], location[URL_BYTES];
  char host[256], port[8], path[URL_BYTES];
  int code, redirects;
  int64_t bytes, length; // length: -1: until the end of the connection
  bool chunked;
  char why[128];
  ecru_io *io;
  ecru_reader *reader;
} fetch;

static int refuse(fetch *f, const char *why) {
  snprintf(f->why, sizeof f->why, "%s", why);
  return ECRU_EPROTO;
}

// ---- addresses ---------------------------------------------------------------------------------------------------------

// "http://host:port/path" into its parts.
static int take_apart(fetch *f) {
  if (strncasecmp(f->url, "https://", 8) == 0) return refuse(f, "https is not supported, only http");
  if (strncasecmp(f->url, "http://", 7) != 0) return refuse(f, "not an http URL");
  const char *host = f->url + 7, *end = host + strcspn(host, "/?#"), *path_end = end + strcspn(end, "#");
  const char *host_end = *host == '[' ? memchr(host, ']', (size_t)(end - host)) : memchr(host, ':', (size_t)(end - host));
  if (*host == '[' && host_end) host_end++;
  if (!host_end) host_end = end;
  const char *port = *host_end == ':' ? host_end + 1 : "80";
  size_t host_bytes = (size_t)(host_end - host), port_bytes = *host_end == ':' ? (size_t)(end - port) : 2;
  if (host_bytes == 0 || host_bytes >= sizeof f->host || memchr(host, '@', host_bytes)) return refuse(f, "malformed host");
  if (port_bytes == 0 || port_bytes > 5 || strspn(port, "0123456789") < port_bytes) return refuse(f, "malformed port");
  for (const char *c = f->url; *c; c++)
    if ((unsigned char)*c <= ' ' || *c == 127) return refuse(f, "malformed URL");
  snprintf(f->host, sizeof f->host, "%.*s", (int)host_bytes, host);
  snprintf(f->port, sizeof f->port, "%.*s", (int)port_bytes, port);
  snprintf(f->path, sizeof f->path, "%s%.*s", *end == '/' ? "" : "/", (int)(path_end - end), end);
  return 0;
}

// The location of a redirect, which may be relative, becomes the URL.
static int follow(fetch *f) {
  char next[URL_BYTES];
  int length;
  if (f->location[0] == '\0') return refuse(f, "a redirect without a location");
  if (++f->redirects > limits.redirects_max) return refuse(f, "too many redirects");
  size_t directory = strcspn(f->path, "?");
  while (directory > 0 && f->path[directory - 1] != '/') directory--;
  if (strstr(f->location, "://")) length = snprintf(next, sizeof next, "%s", f->location);
  else if (strncmp(f->location, "//", 2) == 0) length = snprintf(next, sizeof next, "http:%s", f->location);
  else if (f->location[0] == '/') length = snprintf(next, sizeof next, "http://%s:%s%s", f->host, f->port, f->location);
  else length = snprintf(next, sizeof next, "http://%s:%s%.*s%s", f->host, f->port, (int)directory, f->path, f->location);
  if (length >= (int)sizeof next) return refuse(f, "a location that is too long");
  strcpy(f->url, next);
  return 0;
}

// ---- talking to the server ---------------------------------------------------------------------------------------------

static int ask(fetch *f) {
  char text[URL_BYTES + 512], address[sizeof f->host + sizeof f->port + 1];
  snprintf(address, sizeof address, "%s:%s", f->host, f->port);
  int status = ecru_dial(&f->io, "tcp", address);
  if (status == 0) status = ecru_reader_create(&f->reader, f->io, LINE_BYTES);
  if (status != 0) return status;
  int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: ecru-crawl\r\nAccept: */*\r\nConnection: close\r\n\r\n", f->path,
                        f->host, f->port);
  int64_t sent = ecru_io_write(f->io, text, (size_t)length, NULL);
  return sent < 0 ? (int)sent : 0;
}

static void hang_up(fetch *f) {
  ecru_reader_destroy(f->reader);
  if (f->io) ecru_io_close(f->io);
  ecru_io_release(f->io);
  f->reader = NULL;
  f->io = NULL;
}

static int read_line(fetch *f, const char **line, size_t *length) {
  int status = ecru_reader_line(f->reader, line, length);
  if (status == ECRU_EMSGSIZE) return refuse(f, "a line that is too long");
  if (status == 0) return refuse(f, "the answer ends before its end");
  return status < 0 ? status : 0;
}

// The value of a header if it has this name; else NULL.
static const char *header_value(const char *line, size_t length, const char *name, size_t *bytes) {
  size_t named = strlen(name);
  if (length <= named || strncasecmp(line, name, named) != 0 || line[named] != ':') return NULL;
  const char *value = line + named + 1, *end = line + length;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  *bytes = (size_t)(end - value);
  return value;
}

static bool parse_number(const char *text, size_t bytes, int base, int64_t *number) {
  *number = 0;
  for (size_t i = 0; i < bytes; i++) {
    char c = (char)(text[i] | 0x20);
    int digit = c >= 'a' && c <= 'f' ? c - 'a' + 10 : text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : base;
    if (digit >= base || *number > INT64_MAX / 32) return false;
    *number = *number * base + digit;
  }
  return bytes > 0;
}

static int take_header(fetch *f, const char *line, size_t length) {
  size_t bytes;
  const char *value;
  if ((value = header_value(line, length, "Content-Length", &bytes)) && !parse_number(value, bytes, 10, &f->length))
    return refuse(f, "malformed Content-Length");
  if ((value = header_value(line, length, "Transfer-Encoding", &bytes))) {
    f->chunked = bytes == 7 && strncasecmp(value, "chunked", 7) == 0;
    if (!f->chunked) return refuse(f, "unknown Transfer-Encoding");
  }
  if ((value = header_value(line, length, "Location", &bytes)) && bytes < sizeof f->location)
    snprintf(f->location, sizeof f->location, "%.*s", (int)bytes, value);
  return 0;
}

static int read_status_line(fetch *f) {
  const char *line;
  size_t length;
  int64_t code;
  int status = read_line(f, &line, &length);
  if (status != 0) return status;
  if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' || !parse_number(line + 9, 3, 10, &code)) return refuse(f, "not HTTP");
  f->code = (int)code;
  return 0;
}

static int read_one_head(fetch *f) {
  const char *line;
  size_t length = 1;
  f->length = -1;
  f->chunked = false;
  f->location[0] = '\0';
  int status = read_status_line(f);
  for (int count = 0; status == 0; count++) {
    status = read_line(f, &line, &length);
    if (status == 0 && length == 0) break;
    if (status == 0 && count == HEADERS_MAX) status = refuse(f, "too many headers");
    if (status == 0) status = take_header(f, line, length);
  }
  return status;
}

static int read_head(fetch *f) {
  for (int count = 0; count < REMARKS_MAX; count++) {
    int status = read_one_head(f);
    if (status != 0 || f->code / 100 != 1) return status;
  }
  return refuse(f, "too many remarks before the answer");
}

// ---- bodies ------------------------------------------------------------------------------------------------------------

static int count_bytes(fetch *f, int64_t bytes) {
  f->bytes += bytes;
  return f->bytes > limits.bytes_max ? refuse(f, "too large") : 0;
}

static int read_length(fetch *f, int64_t length) {
  if (length > limits.bytes_max - f->bytes) return refuse(f, "too large");
  int status = ecru_reader_skip(f->reader, (uint64_t)length);
  if (status == ECRU_EEOF) return refuse(f, "the answer ends before its end");
  return status == 0 ? count_bytes(f, length) : status;
}

static int read_to_the_end(fetch *f) {
  char buffer[8192];
  int64_t count;
  int status = 0;
  while (status == 0 && (count = ecru_reader_read(f->reader, buffer, sizeof buffer)) != 0) status = count < 0 ? (int)count : count_bytes(f, count);
  return status;
}

static int read_chunk_head(fetch *f, int64_t *bytes) {
  const char *line;
  size_t length;
  int status = read_line(f, &line, &length);
  if (status != 0) return status;
  const char *extension = memchr(line, ';', length);
  return parse_number(line, extension ? (size_t)(extension - line) : length, 16, bytes) ? 0 : refuse(f, "malformed chunk");
}

static int read_chunks(fetch *f) {
  const char *line;
  size_t length = 1;
  int64_t bytes = 1;
  int status = 0;
  while (status == 0 && bytes > 0) {
    status = read_chunk_head(f, &bytes);
    if (status == 0 && bytes > 0) status = read_length(f, bytes);
    if (status == 0 && bytes > 0) status = read_line(f, &line, &length);
    if (status == 0 && bytes > 0 && length > 0) status = refuse(f, "malformed chunk");
  }
  for (int count = 0; status == 0 && length > 0; count++) { // trailers
    status = count > HEADERS_MAX ? refuse(f, "too many trailers") : read_line(f, &line, &length);
  }
  return status;
}

static int read_body(fetch *f) {
  if (f->code == 204 || f->code == 304) return 0;
  return f->chunked ? read_chunks(f) : f->length >= 0 ? read_length(f, f->length) : read_to_the_end(f);
}

// ---- one URL -----------------------------------------------------------------------------------------------------------

static bool is_redirect(int code) { return code == 301 || code == 302 || code == 303 || code == 307 || code == 308; }

static int fetch_all_of_it(fetch *f) {
  for (;;) {
    int status = take_apart(f);
    if (status == 0) status = ask(f);
    if (status == 0) status = read_head(f);
    bool goes_on = status == 0 && is_redirect(f->code);
    if (status == 0 && !goes_on) status = read_body(f);
    hang_up(f);
    if (goes_on) status = follow(f);
    if (!goes_on || status != 0) return status;
  }
}

static void say(const fetch *f, const char *asked, int status, int64_t took_ns) {
  const char *clear = shows_progress ? "\r\033[K" : "";
  double ms = (double)took_ns / 1e6;
  if (status == ECRU_EPROTO && f->why[0]) printf("%sfailed %s: %s\n", clear, asked, f->why);
  else if (status != 0) printf("%sfailed %s: %s\n", clear, asked, ecru_strerror(status));
  else if (f->redirects > 0) printf("%s%d %s: %lld bytes in %.0f ms, from %s\n", clear, f->code, asked, (long long)f->bytes, ms, f->url);
  else printf("%s%d %s: %lld bytes in %.0f ms\n", clear, f->code, asked, (long long)f->bytes, ms);
}

static int crawl_one(void *url, void **result) {
  const char *asked = url;
  (void)result;
  int64_t began_ns = ecru_now();
  fetch *f = calloc(1, sizeof *f);
  int status = f ? 0 : ECRU_ENOMEM;
  atomic_fetch_add(&totals.running, 1);
  if (f && strlen(asked) >= sizeof f->url) status = refuse(f, "too long");
  if (status == 0) {
    int entered;
    strcpy(f->url, asked);
    ECRU_DEADLINE_SCOPE(entered, ecru_after(limits.timeout_ns)) status = fetch_all_of_it(f);
    if (entered != 0) status = entered;
  }
  bool good = status == 0 && f->code / 100 == 2;
  atomic_fetch_add(good ? &totals.fetched : &totals.failed, 1);
  if (good) atomic_fetch_add(&totals.bytes, (unsigned long long)f->bytes);
  atomic_fetch_sub(&totals.running, 1);
  if (f) say(f, asked, status, ecru_now() - began_ns);
  free(f);
  free(url);
  return 0; // told already: the others go on
}

static void show_progress(void *unused) {
  (void)unused;
  while (ecru_sleep(100 * ECRU_MILLISECOND) == 0) {
    fprintf(stderr, "\r\033[K%zu fetched, %zu failed, %zu running", atomic_load(&totals.fetched), atomic_load(&totals.failed), atomic_load(&totals.running));
    fflush(stderr);
  }
  fprintf(stderr, "\r\033[K");
}

// ---- all of them -------------------------------------------------------------------------------------------------------

typedef struct list {
  char **arguments;
  const char *file;
  int status;
} list;

static int add(ecru_group *group, const char *url) {
  char *copy = strdup(url);
  totals.urls++;
  int status = copy ? ecru_group_go(group, crawl_one, copy) : ECRU_ENOMEM; // parks while so many are under way
  if (status != 0) free(copy);
  return status;
}

static int add_file(ecru_group *group, const char *name) {
  FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
  char *line = NULL;
  size_t room = 0;
  int status = file ? 0 : ECRU_ENOENT;
  while (status == 0 && getline(&line, &room, file) > 0) {
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] != '\0' && line[0] != '#') status = add(group, line);
  }
  free(line);
  if (file && file != stdin) fclose(file);
  return status;
}

static void crawl(void *list_) {
  list *l = list_;
  ecru_group *group = NULL;
  ecru_token *showing = NULL;
  ecru_go_options options = ECRU_GO_OPTIONS;
  int64_t began_ns = ecru_now();
  int status = ecru_group_create(&group, limits.parallel, ECRU_GROUP_SUPERVISOR);
  if (status == 0) status = ecru_token_create(&showing, NULL, ECRU_FOREVER);
  options.token = showing;
  if (status == 0 && shows_progress) status = ecru_go_with(&options, show_progress, NULL);
  for (char **url = l->arguments; status == 0 && *url; url++) status = add(group, *url);
  if (status == 0 && l->file) status = add_file(group, l->file);
  if (group) ecru_group_wait(group);
  if (showing) ecru_token_cancel(showing, 0);
  ecru_token_release(showing);
  ecru_group_destroy(group);
  if (status != 0) fprintf(stderr, "crawl: %s: %s\n", l->file ? l->file : "list", ecru_strerror(status));
  printf("%zu of %zu fetched, %llu bytes in %.0f ms\n", atomic_load(&totals.fetched), totals.urls, atomic_load(&totals.bytes),
         (double)(ecru_now() - began_ns) / 1e6);
  l->status = status != 0 || atomic_load(&totals.failed) > 0;
}

static int64_t number_of(const char *text, int64_t least, int64_t most) {
  char *end;
  long long number = strtoll(text, &end, 10);
  if (end != text && !*end && number >= least && number <= most) return number;
  fprintf(stderr, "crawl: not a number from %lld to %lld: %s\n", (long long)least, (long long)most, text);
  exit(64);
}

static void read_options(list *l, int count, char **arguments) {
  static const struct option known[] = {{"parallel", 1, NULL, 'p'}, {"timeout", 1, NULL, 't'}, {"redirects", 1, NULL, 'r'},
                                        {"bytes", 1, NULL, 'b'},    {"file", 1, NULL, 'f'},    {0}};
  for (int which; (which = getopt_long(count, arguments, "", known, NULL)) != -1;) {
    switch (which) {
    case 'p': limits.parallel = (size_t)number_of(optarg, 1, 100000); break;
    case 't': limits.timeout_ns = number_of(optarg, 1, 24 * 3600 * 1000) * ECRU_MILLISECOND; break;
    case 'r': limits.redirects_max = (int)number_of(optarg, 0, 100); break;
    case 'b': limits.bytes_max = number_of(optarg, 0, INT64_MAX / 2); break;
    case 'f': l->file = optarg; break;
    default: exit(64);
    }
  }
  l->arguments = arguments + optind;
}

int main(int count, char **arguments) {
  list l = {.status = 1};
  read_options(&l, count, arguments);
  if (!l.arguments[0] && !l.file) {
    fprintf(stderr, "usage: crawl [--parallel N] [--timeout MILLISECONDS] [--redirects N] [--bytes MOST] [--file LIST] [URL ...]\n");
    return 64;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  shows_progress = isatty(STDERR_FILENO);
  int status = ecru_run(crawl, &l);
  if (status != 0) fprintf(stderr, "crawl: %s\n", ecru_strerror(status));
  return status != 0 || l.status;
}
