// What a client may say: arrays of bulk strings, or lines as typed by a person; and answers. Texts of errors are those of Redis, since clients look
// at them. A command that has not arrived whole is not looked at twice: the parser remembers how far it came.
#include "kv.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// ---- the work ----------------------------------------------------------------------------------------------------------

static const parser at_the_beginning = {0, -1, -1};

work *work_create(void) {
  work *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->parser = at_the_beginning;
  w->room = INPUT_BYTES;
  w->output_room = OUTPUT_BYTES + LINE_BYTES_MAX / 4; // so that most answers after which it is sent fit without growing
  w->list_room = ARGUMENTS_KEPT;
  w->input = malloc(w->room);
  w->output = malloc(w->output_room);
  w->list = malloc(w->list_room * sizeof *w->list);
  if (w->input && w->output && w->list) return w;
  work_destroy(w);
  return NULL;
}

void work_destroy(work *w) {
  for (size_t i = 0; i < w->insert_count; i++) value_release(w->inserts[i].value);
  free(w->input);
  free(w->output);
  free(w->list);
  free(w->inserts);
  free(w);
}

// Of an empty buffer: what it holds is lost.
static void shrink(void **buffer, size_t *room, size_t to, size_t each) {
  if (*room <= to) return;
  void *smaller = malloc(to * each);
  if (!smaller) return;
  free(*buffer);
  *buffer = smaller;
  *room = to;
}

void work_shrink(work *w) {
  shrink((void **)&w->input, &w->room, INPUT_BYTES, 1);
  shrink((void **)&w->output, &w->output_room, OUTPUT_BYTES + LINE_BYTES_MAX / 4, 1);
  shrink((void **)&w->list, &w->list_room, ARGUMENTS_KEPT, sizeof *w->list);
}

static bool grow(void **buffer, size_t *room, size_t at_least, size_t each) {
  size_t larger = *room * 2 > at_least ? *room * 2 : at_least;
  void *moved = realloc(*buffer, larger * each);
  if (!moved) return false;
  *buffer = moved;
  *room = larger;
  return true;
}

bool work_reserve(work *w) {
  if (w->begin > 0 && w->end == w->room) {
    memmove(w->input, w->input + w->begin, w->end - w->begin);
    w->end -= w->begin;
    w->begin = 0;
  }
  return w->end < w->room || grow((void **)&w->input, &w->room, 0, 1);
}

// ---- answers -----------------------------------------------------------------------------------------------------------

// Room for so many bytes; NULL: no memory.
static char *output_room(work *w, size_t bytes) {
  if (w->output_room - w->used >= bytes || grow((void **)&w->output, &w->output_room, w->used + bytes, 1)) return w->output + w->used;
  w->out_of_memory = true;
  return NULL;
}

void put(work *w, const char *data, size_t bytes) {
  char *to = output_room(w, bytes);
  if (!to) return;
  memcpy(to, data, bytes);
  w->used += bytes;
}

void put_text(work *w, const char *text) { put(w, text, strlen(text)); }
void put_nothing(work *w) { put(w, "$-1\r\n", 5); }

enum { COUNT_BYTES = 24 }; // a kind, the longest number, CRLF

// Writes "<kind><number>\r\n". Returns its end.
static char *write_count(char *to, char kind, int64_t number) {
  char digits[COUNT_BYTES], *d = digits + sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do *--d = (char)('0' + rest % 10);
  while (rest /= 10);
  *to++ = kind;
  if (number < 0) *to++ = '-';
  while (d < digits + sizeof digits) *to++ = *d++;
  *to++ = '\r';
  *to++ = '\n';
  return to;
}

void put_count(work *w, char kind, int64_t number) {
  char *to = output_room(w, COUNT_BYTES);
  if (to) w->used = (size_t)(write_count(to, kind, number) - w->output);
}

void put_bulk(work *w, slice text) {
  char *to = output_room(w, COUNT_BYTES + text.bytes + 2);
  if (!to) return;
  to = write_count(to, '$', (int64_t)text.bytes);
  memcpy(to, text.at, text.bytes);
  memcpy(to + text.bytes, "\r\n", 2);
  w->used = (size_t)(to - w->output) + text.bytes + 2;
}

void put_value(work *w, value *v) {
  if (!v) return put_nothing(w);
  if (v->bytes < INSERT_BYTES_MIN) return put_bulk(w, (slice){v->data, v->bytes});
  put_count(w, '$', (int64_t)v->bytes);
  if (w->insert_count == w->insert_room && !grow((void **)&w->inserts, &w->insert_room, 16, sizeof *w->inserts)) {
    w->out_of_memory = true;
    return;
  }
  w->inserts[w->insert_count++] = (insert){w->used, value_retain(v)};
  put(w, "\r\n", 2);
}

void put_error(work *w, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (length >= (int)sizeof text) length = sizeof text - 1;
  for (int i = 0; i < length; i++)
    if (text[i] == '\r' || text[i] == '\n') text[i] = ' '; // an error is one line
  put(w, "-", 1);
  put(w, text, (size_t)length);
  put(w, "\r\n", 2);
}

// ---- numbers -----------------------------------------------------------------------------------------------------------

bool parse_integer(slice text, int64_t *number) {
  const char *at = text.at, *end = text.at + text.bytes;
  bool negative = at < end && *at == '-';
  if (negative) at++;
  if (at == end || end - at > 19 || (*at == '0' && (negative || end - at > 1))) return false;
  uint64_t sum = 0; // 19 digits fit
  for (; at < end; at++) {
    if (*at < '0' || *at > '9') return false;
    sum = sum * 10 + (uint64_t)(*at - '0');
  }
  if (sum > (uint64_t)INT64_MAX + negative) return false;
  *number = negative ? (int64_t)(0 - sum) : (int64_t)sum;
  return true;
}

// ---- commands ----------------------------------------------------------------------------------------------------------

static bool add_argument(work *w, size_t at, size_t bytes) {
  if (w->count == w->list_room && !grow((void **)&w->list, &w->list_room, 0, sizeof *w->list)) {
    w->out_of_memory = true;
    return false;
  }
  w->list[w->count++] = (argument){at, bytes};
  return true;
}

static int nonsense(work *w, const char *what) {
  put_error(w, "ERR Protocol error: %s", what);
  return -1;
}

// The line at w->parser.scanned, without CRLF. Returns 1: there it is, and has been passed over; 0: more is needed; -1: it is too long.
static int take_line(work *w, slice *line) {
  const char *from = w->input + w->begin + w->parser.scanned;
  size_t bytes = w->end - w->begin - w->parser.scanned;
  const char *end = memchr(from, '\r', bytes);
  if (!end) return bytes > LINE_BYTES_MAX ? -1 : 0;
  if (end + 1 == from + bytes) return 0;
  *line = (slice){from, (size_t)(end - from)};
  w->parser.scanned += line->bytes + 2;
  return 1;
}

static int parse_head(work *w, const limits *most) {
  slice line;
  int64_t number;
  int status = take_line(w, &line);
  if (status < 0) return nonsense(w, "too big mbulk count string");
  if (status == 0) return 0;
  if (!parse_integer((slice){line.at + 1, line.bytes - 1}, &number) || number > (int64_t)most->arguments)
    return nonsense(w, "invalid multibulk length");
  w->parser.arguments = number > 0 ? number : 0;
  return 1;
}

static int parse_bulk_head(work *w, const limits *most) {
  slice line;
  int64_t number;
  size_t at = w->parser.scanned;
  if (w->begin + at < w->end && w->input[w->begin + at] != '$') {
    char what[] = "expected '$', got ' '";
    what[sizeof what - 3] = w->input[w->begin + at];
    return nonsense(w, what);
  }
  int status = take_line(w, &line);
  if (status < 0) return nonsense(w, "too big bulk count string");
  if (status == 0) return 0;
  if (!parse_integer((slice){line.at + 1, line.bytes - 1}, &number) || number < 0 || number > (int64_t)most->bulk_bytes)
    return nonsense(w, "invalid bulk length");
  if (w->parser.scanned + (uint64_t)number > most->command_bytes) return nonsense(w, "too big request");
  w->parser.bulk = number;
  return 1;
}

static int parse_bulk(work *w, const limits *most) {
  parser *p = &w->parser;
  if (p->bulk < 0) {
    int status = parse_bulk_head(w, most);
    if (status != 1) return status;
  }
  if (w->end - w->begin - p->scanned < (size_t)p->bulk + 2) return 0;
  if (!add_argument(w, p->scanned, (size_t)p->bulk)) return -1;
  p->scanned += (size_t)p->bulk + 2;
  p->bulk = -1;
  p->arguments--;
  return 1;
}

// ---- lines -------------------------------------------------------------------------------------------------------------

static int hexadecimal(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

// The character behind a backslash within double quotes; *at is behind it then.
static char unescaped(const char **at, const char *end) {
  const char *from = *at;
  if (*from == 'x' && end - from > 2 && hexadecimal(from[1]) >= 0 && hexadecimal(from[2]) >= 0) {
    *at = from + 3;
    return (char)(hexadecimal(from[1]) << 4 | hexadecimal(from[2]));
  }
  *at = from + 1;
  switch (*from) {
  case 'n': return '\n';
  case 'r': return '\r';
  case 't': return '\t';
  case 'b': return '\b';
  case 'a': return '\a';
  default: return *from;
  }
}

// What is quoted, from behind the quote on, goes to **to, which lies before it. Returns whether it is closed, at the end of a word.
static bool unquote(const char **at, const char *end, char **to) {
  char quote = (*at)[-1];
  while (*at < end && **at != quote) {
    char c = *(*at)++;
    if (c == '\\' && *at < end && quote == '"') c = unescaped(at, end);
    else if (c == '\\' && *at < end && **at == '\'') c = *(*at)++;
    *(*to)++ = c;
  }
  if (*at == end) return false;
  ++*at;
  return *at == end || isspace((unsigned char)**at);
}

// Splits the line in place: a word never gets longer. Returns whether the quotes are right.
static bool split(work *w, char *line, const char *end) {
  const char *at = line;
  for (;;) {
    while (at < end && isspace((unsigned char)*at)) at++;
    if (at == end || *at == '\0') return true;
    char *word = line + (at - line), *to = word;
    while (at < end && !isspace((unsigned char)*at) && *at != '\0') {
      if (*at != '"' && *at != '\'') *to++ = *at++;
      else if (at++, !unquote(&at, end, &to)) return false;
    }
    if (!add_argument(w, (size_t)(word - (w->input + w->begin)), (size_t)(to - word))) return false;
  }
}

static int parse_line(work *w) {
  char *line = w->input + w->begin;
  size_t bytes = w->end - w->begin;
  char *end = memchr(line, '\n', bytes);
  if (!end) return bytes > LINE_BYTES_MAX ? nonsense(w, "too big inline request") : 0;
  w->parser.scanned = (size_t)(end + 1 - line);
  w->parser.arguments = 0;
  return split(w, line, end) ? 1 : w->out_of_memory ? -1 : nonsense(w, "unbalanced quotes in request");
}

int resp_parse(work *w, const limits *most) {
  if (w->begin == w->end) return 0;
  int status = 1;
  if (w->parser.arguments < 0) status = w->input[w->begin] == '*' ? parse_head(w, most) : parse_line(w);
  while (status == 1 && w->parser.arguments > 0) status = parse_bulk(w, most);
  return status;
}

void resp_next(work *w) {
  w->begin += w->parser.scanned;
  if (w->begin == w->end) w->begin = w->end = 0;
  w->parser = at_the_beginning;
  w->count = 0;
}
