/// tests/dumps.h: what the tests of dumps share: taking one into memory, checking JSON, waiting until goroutines are parked.
#ifndef ECRU_TESTS_DUMPS_H
#define ECRU_TESTS_DUMPS_H
#include <ecru/debug.h>
#include <ecru/ecru.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

/// A dump as a string; to be freed.
static inline char *dump_taken(int format) {
  FILE *file = tmpfile();
  CHECK(file != NULL);
  CHECK_EQ(ecru_dump(fileno(file), format), 0);
  off_t bytes = lseek(fileno(file), 0, SEEK_END);
  char *text = malloc((size_t)bytes + 1);
  CHECK(text != NULL);
  CHECK_EQ(pread(fileno(file), text, (size_t)bytes, 0), bytes);
  text[bytes] = 0;
  fclose(file);
  return text;
}

/// A dump may have megabytes, and some C libraries look for its end first in strstr and strspn: many calls of theirs would take minutes.
static inline int count_of(const char *text, const char *part) {
  size_t bytes = strlen(part);
  int count = 0;
  for (const char *at = text; *at;) {
    bool here = *at == *part && strncmp(at, part, bytes) == 0;
    count += here;
    at += here ? bytes : 1;
  }
  return count;
}

/// Ends the test unless text contains part; shows text then.
static inline void check_has(const char *text, const char *part) {
  if (strstr(text, part)) return;
  fprintf(stderr, "%s\n", text);
  FAIL("the dump above does not contain: %s", part);
}

// ---- JSON (RFC 8259): each returns what follows the value, NULL: it is none ----------------------------------------

/// As strspn.
static inline size_t span_of(const char *at, const char *set) {
  size_t count = 0;
  while (at[count] && strchr(set, at[count])) count++;
  return count;
}
static inline const char *json_blank(const char *at) { return at ? at + span_of(at, " \t\r\n") : NULL; }

static inline const char *json_string(const char *at) {
  if (*at++ != '"') return NULL;
  while (*at != '"') {
    if ((unsigned char)*at < ' ') return NULL;
    if (*at != '\\') {
      at++;
    } else if (at[1] == 'u') {
      if (span_of(at + 2, "0123456789abcdefABCDEF") < 4) return NULL;
      at += 6;
    } else {
      if (!at[1] || !strchr("\"\\/bfnrt", at[1])) return NULL;
      at += 2;
    }
  }
  return at + 1;
}

static inline const char *json_value(const char *at, int depth);

static inline const char *json_members(const char *at, char end, int depth) {
  at = json_blank(at + 1);
  if (*at == end) return at + 1;
  for (;;) {
    if (end == '}') {
      at = json_blank(json_string(at));
      if (!at || *at != ':') return NULL;
      at = json_blank(at + 1);
    }
    at = json_blank(json_value(at, depth + 1));
    if (!at || (*at != ',' && *at != end)) return NULL;
    if (*at == end) return at + 1;
    at = json_blank(at + 1);
  }
}

static inline const char *json_value(const char *at, int depth) {
  static const char *const words[] = {"true", "false", "null"};
  if (depth > 16) return NULL;
  if (*at == '{') return json_members(at, '}', depth);
  if (*at == '[') return json_members(at, ']', depth);
  if (*at == '"') return json_string(at);
  for (int i = 0; i < 3; i++)
    if (strncmp(at, words[i], strlen(words[i])) == 0) return at + strlen(words[i]);
  size_t digits = span_of(at, "0123456789");
  return digits > 0 && (at[0] != '0' || digits == 1) ? at + digits : NULL;
}

static inline void check_json(const char *text) {
  const char *end = json_blank(json_value(text, 0));
  if (end && *end == 0) return;
  fprintf(stderr, "%s\n", text);
  FAIL("the dump above is no JSON");
}

/// Returns when so many goroutines wait, and nothing else does anything.
static inline void await_waiting(uint64_t count) {
  for (;;) {
    ecru_counters now = ECRU_COUNTERS;
    CHECK_EQ(ecru_get_counters(&now), 0);
    if (now.waiting == count && now.runnable == 0) {
      if (count > 1000) return;
      char *text = dump_taken(ECRU_DUMP_JSON); // one on its way from a queue to a thread is counted as waiting
      char *threads = strstr(text, "\"threads\":"); // foreign ones, which wait as well
      if (threads) *threads = 0;
      int leaving = count_of(text, "\"state\":\"waiting\",\"reason\":\"running\""); // still on its way off its processor
      uint64_t seen = (uint64_t)(count_of(text, "\"state\":\"waiting\"") - leaving);
      free(text);
      if (seen == count) return;
    }
    if (ecru_in_goroutine()) ecru_yield();
    else usleep(200);
  }
}
#endif
