// Patterns of keys and channels, binary safe. A star that was wrong is tried again one character further, and only the last one: the time is at
// most the product of the lengths, whatever the pattern.
#include "kv.h"

// Whether c is in the set that begins at pattern->at[at], behind the bracket; *next receives where the pattern goes on.
static bool set_matches(slice pattern, size_t at, unsigned char c, size_t *next) {
  bool negated = at < pattern.bytes && pattern.at[at] == '^', found = false;
  if (negated) at++;
  for (; at < pattern.bytes && pattern.at[at] != ']'; at++) {
    if (pattern.at[at] == '\\' && at + 1 < pattern.bytes) {
      found |= (unsigned char)pattern.at[++at] == c;
    } else if (at + 2 < pattern.bytes && pattern.at[at + 1] == '-') {
      unsigned char low = (unsigned char)pattern.at[at], high = (unsigned char)pattern.at[at + 2];
      found |= low <= high ? low <= c && c <= high : high <= c && c <= low;
      at += 2;
    } else {
      found |= (unsigned char)pattern.at[at] == c;
    }
  }
  *next = at < pattern.bytes ? at + 1 : at; // a set that is not closed ends with the pattern
  return found != negated;
}

// One character against what stands at pattern.at[at], which is no star.
static bool one_matches(slice pattern, size_t at, char c, size_t *next) {
  *next = at + 1;
  switch (pattern.at[at]) {
  case '?': return true;
  case '[': return set_matches(pattern, at + 1, (unsigned char)c, next);
  case '\\':
    if (at + 1 < pattern.bytes) *next = ++at + 1;
    return pattern.at[at] == c;
  default: return pattern.at[at] == c;
  }
}

bool glob_matches(slice pattern, slice text) {
  size_t p = 0, t = 0, next, star_p = SIZE_MAX, star_t = 0;
  while (t < text.bytes) {
    if (p < pattern.bytes && pattern.at[p] == '*') {
      star_p = ++p;
      star_t = t;
    } else if (p < pattern.bytes && one_matches(pattern, p, text.at[t], &next)) {
      p = next;
      t++;
    } else if (star_p != SIZE_MAX) {
      p = star_p;
      t = ++star_t;
    } else {
      return false;
    }
  }
  while (p < pattern.bytes && pattern.at[p] == '*') p++;
  return p == pattern.bytes;
}
