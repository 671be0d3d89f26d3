/// runtime/text.h: putting a report together piece by piece. Nothing is allocated and nothing but write(2) is called, so that
/// it works in a fault handler and when memory has run out.
#ifndef ECRU_RUNTIME_TEXT_H
#define ECRU_RUNTIME_TEXT_H
#include <stddef.h>
#include <stdint.h>

typedef struct ecru__text {
  char *bytes;  // owner: what is not written yet
  size_t room;  // set once
  size_t used;  // owner
  int fd;       // set once: where a full buffer goes
  int status;   // owner: 0 or ECRU_EIO: from the first failed write on nothing more is written
} ecru__text;

static inline ecru__text ecru__text_to(int fd, char *buffer, size_t room) { return (ecru__text){buffer, room, 0, fd, 0}; }
void ecru__put(ecru__text *text, const char *string);
void ecru__put_bytes(ecru__text *text, const char *bytes, size_t count);
void ecru__put_number(ecru__text *text, uint64_t number);
void ecru__put_hex(ecru__text *text, uint64_t number);             // 0x1f
void ecru__put_duration(ecru__text *text, int64_t duration_ns);    // 350 us, 12.5 ms, 3.2 s, 17 min, 5 h
void ecru__put_symbol(ecru__text *text, const void *return_address); // function+0x12 (module+0x1234), or as much as is known
/// Control characters become '?'.
void ecru__put_plain(ecru__text *text, const char *string);
/// The inside of a JSON string: escaped; what is not UTF-8 becomes U+FFFD.
void ecru__put_json(ecru__text *text, const char *string);
/// Writes the rest. returns: 0 or ECRU_EIO.
int ecru__text_end(ecru__text *text);
#endif
