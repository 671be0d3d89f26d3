// The access log: whoever has answered puts a record into a channel and goes on; one goroutine takes all there are, formats them and
// writes them in one piece. When it cannot keep up, requests go unlogged (and are counted) rather than wait.
#include "httpd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 4096, LINE_SHOWN = 160, BUFFER_BYTES = 64 * 1024, LINE_BYTES_MAX = 4 * LINE_SHOWN + 256 };

typedef struct record {
  ecru_address peer;
  int64_t took_ns;
  uint64_t bytes;
  time_t when;
  int status;
  unsigned shown;
  char line[LINE_SHOWN];
} record;

void log_request(connection *c) {
  server *s = c->server;
  if (!s->log) return;
  const work *w = c->work;
  record r = {.took_ns = ecru_now() - w->began_ns, .bytes = c->sent, .when = time(NULL), .status = c->status, .peer = c->peer};
  r.shown = (unsigned)(w->request.line.bytes < LINE_SHOWN ? w->request.line.bytes : LINE_SHOWN);
  if (r.shown > 0) memcpy(r.line, w->request.line.at, r.shown);
  if (ecru_chan_try_send(s->log, &r) != 0) atomic_fetch_add(&s->unlogged, 1);
}

// Nothing a client sends may look like another line or end the quotation.
static size_t quote(char *to, const char *from, size_t bytes) {
  static const char digits[] = "0123456789abcdef";
  size_t used = 0;
  for (size_t i = 0; i < bytes; i++) {
    unsigned char b = (unsigned char)from[i];
    if (b >= ' ' && b < 127 && b != '"' && b != '\\') to[used++] = (char)b;
    else {
      char code[] = {'\\', 'x', digits[b >> 4], digits[b & 15]};
      memcpy(to + used, code, sizeof code);
      used += sizeof code;
    }
  }
  return used;
}

// peer [when] "GET / HTTP/1.1" status bytes microseconds
static size_t format(char *to, const record *r) {
  char peer[ECRU_ADDRESS_TEXT], when[32], line[4 * LINE_SHOWN];
  struct tm tm;
  if (ecru_address_text(&r->peer, peer, sizeof peer) <= 0) strcpy(peer, "-");
  gmtime_r(&r->when, &tm);
  strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S +0000", &tm);
  size_t shown = quote(line, r->line, r->shown);
  return (size_t)sprintf(to, "%s [%s] \"%.*s\" %d %llu %lld\n", peer, when, (int)shown, line, r->status, (unsigned long long)r->bytes,
                         (long long)(r->took_ns / 1000));
}

static void write_all(int to, const char *data, size_t bytes) { // plain and blocking: only this goroutine waits
  while (bytes > 0) {
    ssize_t count = write(to, data, bytes);
    if (count < 0) return;
    data += count;
    bytes -= (size_t)count;
  }
}

static int write_log(void *server_, void **result) {
  server *s = server_;
  (void)result;
  char buffer[BUFFER_BYTES];
  record r;
  int to = strcmp(s->log_path, "-") == 0 ? STDOUT_FILENO : open(s->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (to < 0) return ECRU_EACCES;
  while (ecru_chan_recv(s->log, &r) == 0) {
    size_t used = format(buffer, &r);
    while (BUFFER_BYTES - used > LINE_BYTES_MAX && ecru_chan_try_recv(s->log, &r) == 0) used += format(buffer + used, &r);
    write_all(to, buffer, used);
  }
  if (to != STDOUT_FILENO) close(to);
  return 0;
}

int log_start(server *s) {
  if (!s->log_path) return 0;
  int status = ecru_chan_create(&s->log, sizeof(record), RECORDS);
  return status == 0 ? ecru_spawn(&s->logger, write_log, s) : status;
}

void log_stop(server *s) {
  if (!s->log) return;
  int status = 0;
  ecru_chan_close(s->log);
  if (s->logger) ecru_task_join(s->logger, &status, NULL);
  if (status != 0) fprintf(stderr, "httpd: %s: %s\n", s->log_path, ecru_strerror(status));
  if (s->unlogged > 0) fprintf(stderr, "httpd: %lu requests were not logged\n", (unsigned long)s->unlogged);
  ecru_task_release(s->logger);
  ecru_chan_release(s->log);
  s->log = NULL;
}
