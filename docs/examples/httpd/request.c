// What a client may say. The parser is http_parser; but as it was made to be lenient, and two who understand the same bytes
// differently are how requests are smuggled past a proxy, everything where readings differ is refused here first: lines that end in a bare LF or
// hold a bare CR, folded lines, space before a colon, lengths that are not digits or come twice, a length together with an encoding,
// chunk sizes that are not plain hexadecimal.
#include "httpd.h"

#include <http_parser.h>
#include <string.h>
#include <strings.h>

// ---- heads -------------------------------------------------------------------------------------------------------------

static bool has_control(const char *line, size_t bytes) { // a loop that goes to the end: the compiler makes vectors of it
  unsigned found = 0;
  for (size_t i = 0; i < bytes; i++) found |= ((unsigned char)line[i] < ' ' && line[i] != '\t') | (line[i] == 127);
  return found;
}

// One line without its CRLF. Returns 0 or a negative HTTP status.
static int check_line(const head_scan *scan, const char *line, size_t bytes) {
  if (has_control(line, bytes)) return -400;
  if (scan->lines == 0) return bytes > TARGET_BYTES_MAX ? -414 : 0;
  if (line[0] == ' ' || line[0] == '\t') return -400;
  const char *colon = memchr(line, ':', bytes);
  if (!colon || colon == line || colon[-1] == ' ' || colon[-1] == '\t') return -400;
  return scan->lines > HEADERS_MAX ? -431 : 0;
}

// Goes on with the lines that have arrived. Returns the bytes of the whole head; 0: it is not complete; a negative HTTP status.
static int scan_lines(head_scan *scan, const char *data, size_t bytes) {
  const char *end;
  while ((end = memchr(data + scan->at, '\n', bytes - scan->at)) != NULL) {
    const char *line = data + scan->at;
    if (end == line || end[-1] != '\r') return -400;
    scan->at = (size_t)(end + 1 - data);
    if (scan->at > HEAD_BYTES_MAX) return -431;
    if (end - 1 == line) return scan->lines > 0 ? (int)scan->at : -400;
    int status = check_line(scan, line, (size_t)(end - 1 - line));
    if (status != 0) return status;
    scan->lines++;
  }
  if (scan->lines == 0 && bytes > TARGET_BYTES_MAX) return -414;
  return bytes >= HEAD_BYTES_MAX ? -431 : 0;
}

struct understanding {
  http_parser parser; // first
  request *request;
  slice *value; // where the value of the header at hand goes; NULL: nobody cares
};

static bool is(slice s, const char *text) { return s.bytes == strlen(text) && strncasecmp(s.at, text, s.bytes) == 0; }

static slice *place_of(request *r, slice name) {
  switch (name.bytes) {
  case 4: return is(name, "host") ? (r->hosts++, &r->host) : NULL;
  case 5: return is(name, "range") ? &r->range : NULL;
  case 6: return is(name, "expect") ? &r->expect : NULL;
  case 8: return is(name, "if-range") ? &r->if_range : NULL;
  case 12: return is(name, "content-type") ? &r->content_type : NULL;
  case 13: return is(name, "if-none-match") ? &r->if_none_match : NULL;
  case 14: return is(name, "content-length") ? (r->lengths++, &r->content_length) : NULL;
  case 17:
    if (is(name, "if-modified-since")) return &r->if_modified_since;
    return is(name, "transfer-encoding") ? (r->encodings++, &r->transfer_encoding) : NULL;
  default: return NULL;
  }
}

static int on_url(http_parser *parser, const char *at, size_t bytes) {
  ((struct understanding *)(void *)parser)->request->target = (slice){at, bytes};
  return 0;
}
static int on_field(http_parser *parser, const char *at, size_t bytes) {
  struct understanding *u = (struct understanding *)(void *)parser;
  u->value = place_of(u->request, (slice){at, bytes});
  return 0;
}
static int on_value(http_parser *parser, const char *at, size_t bytes) {
  struct understanding *u = (struct understanding *)(void *)parser;
  while (bytes > 0 && (at[bytes - 1] == ' ' || at[bytes - 1] == '\t')) bytes--;
  if (u->value) *u->value = (slice){at, bytes};
  return 0;
}
static int on_head(http_parser *parser) {
  request *r = ((struct understanding *)(void *)parser)->request;
  r->method = parser->method;
  r->major = parser->http_major;
  r->minor = parser->http_minor;
  r->keep_alive = http_should_keep_alive(parser);
  return 1; // the body is our own business
}

static bool is_token(int c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c > 0 && strchr("!#$%&'*+-.^_`|~", c)); }

// A word that could be a method, but is none we have heard of, is not the client's mistake.
static int status_of_unknown_method(const char *line, size_t bytes) {
  size_t at = 0;
  while (at < bytes && is_token((unsigned char)line[at])) at++;
  return at > 0 && at < bytes && line[at] == ' ' ? -501 : -400;
}

// Digits and nothing else. Returns whether they fit.
static bool parse_length(slice s, uint64_t *length) {
  *length = 0;
  for (size_t i = 0; i < s.bytes; i++) {
    if (s.at[i] < '0' || s.at[i] > '9') return false;
    *length = *length * 10 + (uint64_t)(s.at[i] - '0');
  }
  return s.bytes > 0 && s.bytes <= 18;
}

// What the head says about the body. Returns 0 or a negative HTTP status.
static int understand_framing(request *r) {
  if (r->lengths > 1 || r->encodings > 1 || (r->lengths > 0 && r->encodings > 0)) return -400;
  if (r->lengths > 0 && !parse_length(r->content_length, &r->length)) return -400;
  if (r->encodings == 0) return 0;
  if (r->minor == 0) return -400; // HTTP/1.0 knows no encodings: whoever passed this on may not have understood it
  r->chunked = is(r->transfer_encoding, "chunked");
  return r->chunked ? 0 : -501;
}

static int understand(request *r) {
  if (r->major != 1) return -505;
  int status = understand_framing(r);
  if (status != 0) return status;
  if (r->hosts > 1 || (r->hosts == 0 && r->minor > 0)) return -400;
  if (r->minor == 0 || r->expect.bytes == 0) return 0; // HTTP/1.0 knows no expectations
  r->expects_continue = is(r->expect, "100-continue");
  return r->expects_continue ? 0 : -417;
}

int request_parse(request *r, head_scan *scan, const char *data, size_t bytes) {
  static const http_parser_settings settings = {
    .on_url = on_url, .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head};
  int head_bytes = scan_lines(scan, data, bytes);
  if (head_bytes <= 0) return head_bytes;
  *r = (request){.head_bytes = (size_t)head_bytes};
  r->line = (slice){data, (size_t)((const char *)memchr(data, '\r', r->head_bytes) - data)};
  struct understanding u = {.request = r};
  http_parser_init(&u.parser, HTTP_REQUEST);
  size_t parsed = http_parser_execute(&u.parser, &settings, data, r->head_bytes);
  enum http_errno error = HTTP_PARSER_ERRNO(&u.parser);
  if (error == HPE_INVALID_METHOD) return status_of_unknown_method(data, r->head_bytes);
  if (error == HPE_HEADER_OVERFLOW) return -431;
  if (error != HPE_OK || parsed != r->head_bytes) return -400;
  int status = understand(r);
  return status == 0 ? 1 : status;
}

// ---- bodies ------------------------------------------------------------------------------------------------------------

enum { CHUNK_LINE_MAX = 256, TRAILERS_MAX = 8 * 1024 };

void body_begin(body *b, const request *r) {
  *b = (body){.left = r->length, .chunked = r->chunked, .between = r->chunked, .invited = !r->expects_continue};
  b->over = !r->chunked && r->length == 0;
}

static int hexadecimal(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

// One line up to its CRLF. Returns its bytes without it; -1: not there yet; a negative HTTP status.
static int whole_line(const char *data, size_t bytes, size_t most) {
  const char *end = memchr(data, '\n', bytes);
  if (!end) return bytes > most ? -400 : -1;
  if (end == data || end[-1] != '\r' || (size_t)(end - data) > most || memchr(data, '\r', (size_t)(end - data - 1))) return -400;
  return (int)(end - 1 - data);
}

// "1f" or "1f;extension", which is ignored. Returns 0 or a negative HTTP status.
static int parse_chunk_size(body *b, const char *line, size_t bytes) {
  size_t at = 0;
  for (b->left = 0; at < bytes && hexadecimal(line[at]) >= 0; at++) b->left = b->left << 4 | (uint64_t)hexadecimal(line[at]);
  return at > 0 && at <= 15 && (at == bytes || line[at] == ';') ? 0 : -400;
}

// After the last chunk: lines nobody reads, up to an empty one. Returns 1 at their end; 0: more is needed; a negative HTTP status.
static int skip_trailers(const char *data, size_t bytes, size_t *used) {
  head_scan scan = {.lines = 1};
  while (scan.at < bytes) {
    int length = whole_line(data + scan.at, bytes - scan.at, BODY_ROOM / 2);
    if (length == -1) break;
    if (length < 0) return length;
    const char *line = data + scan.at;
    scan.at += (size_t)length + 2;
    if (length == 0) {
      *used += scan.at;
      return 1;
    }
    int status = check_line(&scan, line, (size_t)length);
    if (status != 0) return status;
    scan.lines++;
  }
  return bytes > BODY_ROOM / 2 ? -431 : 0;
}

// Up to the next chunk's data. Returns 1 with b->left set, or b->over; 0: more is needed; a negative HTTP status.
static int next_chunk(body *b, const char *data, size_t bytes, size_t *used) {
  int length = whole_line(data, bytes, CHUNK_LINE_MAX);
  if (length == -1) return 0;
  int status = length < 0 ? length : parse_chunk_size(b, data, (size_t)length);
  if (status != 0) return status;
  size_t line = (size_t)length + 2;
  if (b->left > 0) {
    *used += line;
    b->between = false;
    return 1;
  }
  size_t trailers = 0;
  status = skip_trailers(data + line, bytes - line, &trailers);
  if (status != 1) return status;
  *used += line + trailers;
  b->over = true;
  return 1;
}

// The CRLF behind a chunk's data. Returns 1; 0: more is needed; -400.
static int end_chunk(body *b, const char *data, size_t bytes, size_t *used) {
  if (bytes > 0 && data[0] != '\r') return -400;
  if (bytes < 2) return 0;
  if (data[1] != '\n') return -400;
  *used += 2;
  b->between = true;
  return 1;
}

int body_next(body *b, const char *data, size_t bytes, slice *piece, size_t *used) {
  *used = 0;
  while (b->chunked && !b->over && (b->between || b->left == 0)) {
    int status = b->between ? next_chunk(b, data + *used, bytes - *used, used) : end_chunk(b, data + *used, bytes - *used, used);
    if (status != 1) return status;
  }
  if (b->over || bytes == *used) return 0;
  size_t here = bytes - *used;
  *piece = (slice){data + *used, here < b->left ? here : (size_t)b->left};
  *used += piece->bytes;
  b->left -= piece->bytes;
  b->taken += piece->bytes;
  b->over = !b->chunked && b->left == 0;
  return 1;
}

// ---- paths -------------------------------------------------------------------------------------------------------------

// "/a", "http://host/a" or "*": the part from the first slash of the path on. at == NULL: none.
static slice path_of(slice target) {
  if (target.bytes > 7 && strncasecmp(target.at, "http://", 7) == 0) {
    const char *slash = memchr(target.at + 7, '/', target.bytes - 7);
    if (!slash) return (slice){"/", 1};
    return (slice){slash, (size_t)(target.at + target.bytes - slash)};
  }
  return target.bytes > 0 && target.at[0] == '/' ? target : (slice){NULL, 0};
}

// Returns the character at s.at[*i] and moves *i behind it; -400.
static int decode_one(slice s, size_t *i) {
  char c = s.at[(*i)++];
  if (c != '%') return (unsigned char)c;
  if (*i + 2 > s.bytes || hexadecimal(s.at[*i]) < 0 || hexadecimal(s.at[*i + 1]) < 0) return -400;
  int code = hexadecimal(s.at[*i]) << 4 | hexadecimal(s.at[*i + 1]);
  *i += 2;
  return code == 0 ? -400 : code;
}

// Whether path[begin, end) is "..", which leads out of where we are.
static bool leads_up(const char *path, size_t begin, size_t end) { return end - begin == 2 && path[begin] == '.' && path[begin + 1] == '.'; }

int request_path(slice target, char *path, size_t room) {
  slice s = path_of(target);
  size_t bytes = 0, component = 0;
  if (!s.at) return -400;
  for (size_t i = 0; i < s.bytes && s.at[i] != '?' && s.at[i] != '#';) {
    int c = decode_one(s, &i);
    if (c < 0) return c;
    if (c == '/') {
      if (leads_up(path, component, bytes)) return -403;
      if (bytes == component) continue; // also the first
      component = bytes + 1;
    }
    if (bytes + 1 >= room) return -414;
    path[bytes++] = (char)c;
  }
  if (leads_up(path, component, bytes)) return -403;
  path[bytes] = 0;
  return (int)bytes;
}
