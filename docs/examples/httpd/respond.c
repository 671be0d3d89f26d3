// Answers: status lines, the headers all have, pages that say what went wrong.
#include "httpd.h"

#include <http_parser.h>
#include <string.h>

void put(work *w, const char *data, size_t bytes) {
  memcpy(w->output + w->used, data, bytes);
  w->used += bytes;
}
void put_text(work *w, const char *text) { put(w, text, strlen(text)); }
#define PUT(w, literal) put(w, literal, sizeof literal - 1)

void put_number(work *w, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  put(w, digits + at, sizeof digits - at);
}

void http_date(char text[32], time_t when) {
  struct tm tm;
  gmtime_r(&when, &tm);
  strftime(text, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm); // the C locale: nobody has set another
}

static void put_date(work *w) {
  time_t now = time(NULL);
  if (now != w->date_s) {
    w->date_s = now;
    http_date(w->date, now);
  }
  put(w, w->date, 29);
}

static const char *phrase(int status) {
  switch (status) {
  case 100: return "100 Continue";
  case 200: return "200 OK";
  case 204: return "204 No Content";
  case 206: return "206 Partial Content";
  case 301: return "301 Moved Permanently";
  case 304: return "304 Not Modified";
  case 400: return "400 Bad Request";
  case 403: return "403 Forbidden";
  case 404: return "404 Not Found";
  case 405: return "405 Method Not Allowed";
  case 408: return "408 Request Timeout";
  case 413: return "413 Content Too Large";
  case 414: return "414 URI Too Long";
  case 416: return "416 Range Not Satisfiable";
  case 417: return "417 Expectation Failed";
  case 431: return "431 Request Header Fields Too Large";
  case 501: return "501 Not Implemented";
  case 503: return "503 Service Unavailable";
  case 505: return "505 HTTP Version Not Supported";
  default: return "500 Internal Server Error";
  }
}

bool respond_begin(connection *c, int status) {
  work *w = c->work;
  if (OUTPUT_BYTES - w->used < HEAD_ROOM && !connection_flush(c)) return false;
  c->status = status;
  c->sent = 0;
  PUT(w, "HTTP/1.1 ");
  put_text(w, phrase(status));
  PUT(w, "\r\nServer: ecru\r\nDate: ");
  put_date(w);
  PUT(w, "\r\n");
  return true;
}

void respond_length(connection *c, const char *type, uint64_t bytes) {
  PUT(c->work, "Content-Type: ");
  put_text(c->work, type);
  PUT(c->work, "\r\nContent-Length: ");
  put_number(c->work, bytes);
  PUT(c->work, "\r\n");
}

// Whether this is the last answer. It is, too, if a body may follow that we have not invited, or a large one nobody wants.
static void put_connection(connection *c) {
  request *r = &c->work->request;
  if (atomic_load_explicit(&c->server->draining, memory_order_relaxed)) r->keep_alive = false; // relaxed: sooner or later
  if (r->keep_alive && !connection_can_skip_body(c)) r->keep_alive = false;
  if (!r->keep_alive) PUT(c->work, "Connection: close\r\n");
  else if (r->minor == 0) PUT(c->work, "Connection: keep-alive\r\n");
}

void respond_end_head(connection *c) {
  put_connection(c);
  PUT(c->work, "\r\n");
}

static bool wants_body(const connection *c) { return c->work->request.method != HTTP_HEAD || c->work->request.major == 0; }

bool respond_page(connection *c, int status, const char *header) {
  static const char before[] = "<!doctype html>\n<title>", between[] = "</title>\n<h1>", after[] = "</h1>\n";
  const char *text = phrase(status);
  if (!respond_begin(c, status)) return false;
  if (header) put_text(c->work, header);
  uint64_t bytes = sizeof before + sizeof between + sizeof after - 3 + 2 * strlen(text);
  respond_length(c, "text/html; charset=utf-8", bytes);
  respond_end_head(c);
  if (!wants_body(c)) return true;
  PUT(c->work, before);
  put_text(c->work, text);
  PUT(c->work, between);
  put_text(c->work, text);
  PUT(c->work, after);
  c->sent = bytes;
  return true;
}

static void put_type(work *w, slice type) {
  if (type.bytes > 0 && type.bytes <= 128) put(w, type.at, type.bytes);
  else PUT(w, "text/plain; charset=utf-8");
}

// Through the output, piece by piece.
static bool put_data(connection *c, const char *data, size_t bytes) {
  while (bytes > 0) {
    if (c->work->used == OUTPUT_BYTES && !connection_flush(c)) return false;
    size_t room = OUTPUT_BYTES - c->work->used, part = bytes < room ? bytes : room;
    put(c->work, data, part);
    data += part;
    bytes -= part;
  }
  return true;
}

bool respond_data(connection *c, slice type, const char *data, size_t bytes) {
  if (!respond_begin(c, 200)) return false;
  PUT(c->work, "Content-Type: ");
  put_type(c->work, type);
  PUT(c->work, "\r\nContent-Length: ");
  put_number(c->work, bytes);
  PUT(c->work, "\r\n");
  respond_end_head(c);
  if (!wants_body(c)) return true;
  c->sent = bytes;
  return put_data(c, data, bytes);
}

bool respond_continue(connection *c) {
  if (OUTPUT_BYTES - c->work->used < HEAD_ROOM && !connection_flush(c)) return false;
  PUT(c->work, "HTTP/1.1 100 Continue\r\n\r\n");
  return connection_flush(c);
}
