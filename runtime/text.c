/// runtime/text.c: see text.h.
#include "runtime/text.h"

#include <string.h>

#include "platform/output.h"
#include "platform/symbol.h"

static void flush(ecru__text *text) {
  if (text->status == 0 && text->used) text->status = ecru__write_all(text->fd, text->bytes, text->used);
  text->used = 0;
}

void ecru__put_bytes(ecru__text *text, const char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (text->used == text->room) flush(text);
    text->bytes[text->used++] = bytes[i];
  }
}

void ecru__put(ecru__text *text, const char *string) { ecru__put_bytes(text, string, strlen(string)); }

static void put_in_base(ecru__text *text, uint64_t number, unsigned base) {
  char digits[24], *at = digits + sizeof digits;
  do *--at = "0123456789abcdef"[number % base];
  while ((number /= base) != 0);
  ecru__put_bytes(text, at, (size_t)(digits + sizeof digits - at));
}

void ecru__put_number(ecru__text *text, uint64_t number) { put_in_base(text, number, 10); }

void ecru__put_hex(ecru__text *text, uint64_t number) {
  ecru__put(text, "0x");
  put_in_base(text, number, 16);
}

void ecru__put_duration(ecru__text *text, int64_t duration_ns) {
  static const struct { int64_t ns; const char *name; } units[] = {
    {INT64_C(3600000000000), " h"}, {INT64_C(60000000000), " min"}, {1000000000, " s"}, {1000000, " ms"}, {1000, " us"},
  };
  if (duration_ns < 0) duration_ns = 0;
  size_t unit = 0;
  while (unit + 1 < sizeof units / sizeof units[0] && duration_ns < units[unit].ns) unit++;
  int64_t whole = duration_ns / units[unit].ns;
  ecru__put_number(text, (uint64_t)whole);
  if (whole < 10 && duration_ns >= 1000) {
    ecru__put(text, ".");
    ecru__put_number(text, (uint64_t)(duration_ns % units[unit].ns / (units[unit].ns / 10)));
  }
  ecru__put(text, units[unit].name);
}

void ecru__put_symbol(ecru__text *text, const void *return_address) {
  ecru__symbol symbol;
  bool known = ecru__symbol_find(return_address, &symbol);
  if (symbol.function[0]) {
    ecru__put_plain(text, symbol.function);
    ecru__put(text, "+");
    ecru__put_hex(text, symbol.offset);
  } else {
    ecru__put_hex(text, (uintptr_t)return_address);
  }
  if (!known) return;
  ecru__put(text, " (");
  ecru__put_plain(text, symbol.module);
  ecru__put(text, "+");
  ecru__put_hex(text, symbol.module_offset);
  ecru__put(text, ")");
}

void ecru__put_plain(ecru__text *text, const char *string) {
  for (; *string; string++) {
    char plain = (unsigned char)*string < ' ' || *string == 0x7f ? '?' : *string;
    ecru__put_bytes(text, &plain, 1);
  }
}

/// How many bytes a well-formed UTF-8 sequence at `at` has; 0: there is none.
static size_t sequence(const unsigned char *at) {
  static const struct { unsigned char first_low, first_high, second_low, second_high, bytes; } forms[] = {
    {0x20, 0x7f, 0, 0, 1},          {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3},    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
    {0xf4, 0xf4, 0x80, 0x8f, 4},
  };
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    if (at[0] < forms[i].first_low || at[0] > forms[i].first_high) continue;
    size_t bytes = forms[i].bytes;
    if (bytes > 1 && (at[1] < forms[i].second_low || at[1] > forms[i].second_high)) return 0;
    for (size_t k = 2; k < bytes; k++)
      if (at[k] < 0x80 || at[k] > 0xbf) return 0;
    return bytes;
  }
  return 0;
}

void ecru__put_json(ecru__text *text, const char *string) {
  for (const unsigned char *at = (const unsigned char *)string; *at;) {
    size_t bytes = sequence(at);
    if (bytes == 1 && (*at == '"' || *at == '\\')) ecru__put(text, "\\");
    if (bytes) {
      ecru__put_bytes(text, (const char *)at, bytes);
      at += bytes;
    } else if (*at < ' ') {
      ecru__put(text, "\\u00");
      put_in_base(text, *at >> 4, 16);
      put_in_base(text, *at++ & 15, 16);
    } else {
      ecru__put(text, "\\ufffd");
      at++;
    }
  }
}

int ecru__text_end(ecru__text *text) {
  flush(text);
  return text->status;
}
