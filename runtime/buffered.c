/// runtime/buffered.c: readers and writers with a buffer.
///
/// Only on top of ecru/io.h. A reader waits for its first byte before it takes memory (ecru_io_wait), and gives it back when it is empty and has to wait
/// again; a writer gives it back when flushed. (Tried: keeping it; with 100 000 idle connections that is 400 MB.)
#include <ecru/buffered.h>
#include <ecru/token.h>
#include <string.h>

#include "platform/memory.h"
#include "runtime/io.h"

enum { DEFAULT_ROOM = 4096 };
#define ROOM_MAX ((size_t)1 << 30)

struct ecru_reader {
  ecru__mark mark;
  ecru_io *io;
  size_t room;
  char *data;         // NULL: none is needed now
  size_t first, end;  // data[first..end) has been read and not consumed
  bool ended;         // the end of input has been seen
};

struct ecru_writer {
  ecru__mark mark;
  ecru_io *io;
  size_t room, used;
  char *data;         // NULL while used == 0
  int64_t failed;     // the first error
};

int ecru_reader_create(ecru_reader **reader, ecru_io *io, size_t bytes) {
  if (!reader || !io || bytes > ROOM_MAX) return ECRU_EINVAL;
  ecru_reader *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  made->io = ecru_io_retain(io);
  made->room = bytes ? bytes : DEFAULT_ROOM;
  ecru__handle_begin(&made->mark);
  *reader = made;
  return 0;
}

void ecru_reader_destroy(ecru_reader *reader) {
  ECRU__CHECK_HANDLE(reader);
  if (!reader) return;
  ecru_io_release(reader->io);
  ecru__free(reader->data);
  ecru__handle_free(&reader->mark, reader, sizeof *reader);
}

static size_t buffered(const ecru_reader *reader) { return reader->end - reader->first; }
size_t ecru_reader_buffered(const ecru_reader *reader) {
  ECRU__CHECK_HANDLE(reader);
  return reader ? buffered(reader) : 0;
}

static void consume(ecru_reader *reader, size_t bytes) { reader->first += bytes; }

/// Reads more behind what is there; there is room. returns: how many bytes; 0: the end of input; ECRU_E*.
static int64_t fill(ecru_reader *reader) {
  if (reader->ended) return 0;
  if (buffered(reader) == 0) reader->first = reader->end = 0;
  if (reader->first > 0 && reader->end == reader->room) {
    memmove(reader->data, reader->data + reader->first, buffered(reader));
    reader->end -= reader->first;
    reader->first = 0;
  }
  int64_t count = ecru_check();
  while (count == 0 || count == ECRU_EAGAIN) {
    if (!reader->data && !(reader->data = ecru__malloc(reader->room))) return ECRU_ENOMEM;
    if (buffered(reader) > 0) count = ecru_io_read(reader->io, reader->data + reader->end, reader->room - reader->end);
    else count = ecru_io_try_read(reader->io, reader->data, reader->room);
    if (count == 0) reader->ended = true;
    if (count != ECRU_EAGAIN) break;
    ecru__free(reader->data); // empty, and about to wait
    reader->data = NULL;
    count = ecru__io_await_input(reader->io);
  }
  if (count > 0) reader->end += (size_t)count;
  return count;
}

static size_t take(ecru_reader *reader, void *buffer, size_t bytes) {
  size_t count = bytes < buffered(reader) ? bytes : buffered(reader);
  if (count > 0) memcpy(buffer, reader->data + reader->first, count);
  consume(reader, count);
  return count;
}

int64_t ecru_reader_read(ecru_reader *reader, void *buffer, size_t bytes) {
  ECRU__CHECK_HANDLE(reader);
  if (!reader || (!buffer && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0) return 0;
  if (buffered(reader) == 0) {
    if (bytes >= reader->room && !reader->ended) return ecru_io_read(reader->io, buffer, bytes);
    int64_t count = fill(reader);
    if (count <= 0) return count;
  }
  return (int64_t)take(reader, buffer, bytes);
}

int ecru_reader_read_exactly(ecru_reader *reader, void *buffer, size_t bytes, size_t *got) {
  ECRU__CHECK_HANDLE(reader);
  if (got) *got = 0;
  if (!reader || (!buffer && bytes > 0)) return ECRU_EINVAL;
  size_t done = 0;
  int64_t count = 1;
  while (done < bytes && (count = ecru_reader_read(reader, (char *)buffer + done, bytes - done)) > 0) done += (size_t)count;
  if (got) *got = done;
  return count < 0 ? (int)count : done < bytes ? ECRU_EEOF : 0;
}

int64_t ecru_reader_until(ecru_reader *reader, char delimiter, const char **data) {
  ECRU__CHECK_HANDLE(reader);
  if (!reader || !data) return ECRU_EINVAL;
  for (size_t looked = 0;;) {
    const char *begin = reader->data ? reader->data + reader->first : NULL;
    const char *found = buffered(reader) > looked ? memchr(begin + looked, delimiter, buffered(reader) - looked) : NULL;
    size_t length = found ? (size_t)(found - begin) + 1 : buffered(reader);
    int64_t count = 0;
    if (!found && length == reader->room) return ECRU_EMSGSIZE;
    if (!found && (count = fill(reader)) < 0) return count;
    if (found || count == 0) {
      *data = reader->data ? reader->data + reader->first : "";
      reader->first += length; // not consume(): the caller still looks at it
      return (int64_t)length;
    }
    looked = length;
  }
}

int ecru_reader_line(ecru_reader *reader, const char **line, size_t *length) {
  ECRU__CHECK_HANDLE(reader);
  int64_t count = ecru_reader_until(reader, '\n', line);
  if (count <= 0) return (int)count;
  size_t bare = (size_t)count;
  if (bare > 0 && (*line)[bare - 1] == '\n') bare--;
  if (bare < (size_t)count && bare > 0 && (*line)[bare - 1] == '\r') bare--;
  if (length) *length = bare;
  return 1;
}

int64_t ecru_reader_peek(ecru_reader *reader, size_t bytes, const char **data) {
  ECRU__CHECK_HANDLE(reader);
  if (!reader || !data || bytes > reader->room) return ECRU_EINVAL;
  if (reader->room - reader->first < bytes && buffered(reader) > 0) { // make room behind
    memmove(reader->data, reader->data + reader->first, buffered(reader));
    reader->end -= reader->first;
    reader->first = 0;
  }
  while (buffered(reader) < bytes) {
    int64_t count = fill(reader);
    if (count < 0) return count;
    if (count == 0) break;
  }
  *data = reader->data ? reader->data + reader->first : "";
  return (int64_t)(buffered(reader) < bytes ? buffered(reader) : bytes);
}

int ecru_reader_skip(ecru_reader *reader, uint64_t bytes) {
  ECRU__CHECK_HANDLE(reader);
  if (!reader) return ECRU_EINVAL;
  while (bytes > 0) {
    if (buffered(reader) == 0) {
      int64_t count = fill(reader);
      if (count <= 0) return count < 0 ? (int)count : ECRU_EEOF;
    }
    size_t count = bytes < buffered(reader) ? (size_t)bytes : buffered(reader);
    consume(reader, count);
    bytes -= count;
  }
  return 0;
}

// ---- writers -----------------------------------------------------------------------------------------------------------

int ecru_writer_create(ecru_writer **writer, ecru_io *io, size_t bytes) {
  if (!writer || !io || bytes > ROOM_MAX) return ECRU_EINVAL;
  ecru_writer *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  made->io = ecru_io_retain(io);
  made->room = bytes ? bytes : DEFAULT_ROOM;
  ecru__handle_begin(&made->mark);
  *writer = made;
  return 0;
}

void ecru_writer_destroy(ecru_writer *writer) {
  ECRU__CHECK_HANDLE(writer);
  if (!writer) return;
  ecru_io_release(writer->io);
  ecru__free(writer->data);
  ecru__handle_free(&writer->mark, writer, sizeof *writer);
}

size_t ecru_writer_buffered(const ecru_writer *writer) {
  ECRU__CHECK_HANDLE(writer);
  return writer ? writer->used : 0;
}

/// Writes what waits and `bytes` more, in one call.
static int64_t write_through(ecru_writer *writer, const void *data, size_t bytes) {
  const ecru_buffer both[] = {{writer->data, writer->used}, {(void *)(uintptr_t)data, bytes}};
  int64_t result = ecru_io_writev(writer->io, both, 2, NULL);
  if (result < 0) writer->failed = result;
  writer->used = 0;
  ecru__free(writer->data);
  writer->data = NULL;
  return result < 0 ? result : (int64_t)bytes;
}

int64_t ecru_writer_write(ecru_writer *writer, const void *data, size_t bytes) {
  ECRU__CHECK_HANDLE(writer);
  if (!writer || (!data && bytes > 0)) return ECRU_EINVAL;
  if (writer->failed) return writer->failed;
  if (bytes == 0) return 0;
  if (writer->used + bytes >= writer->room) return write_through(writer, data, bytes);
  if (!writer->data && !(writer->data = ecru__malloc(writer->room))) return write_through(writer, data, bytes); // no memory: no buffer
  memcpy(writer->data + writer->used, data, bytes);
  writer->used += bytes;
  return (int64_t)bytes;
}

int ecru_writer_flush(ecru_writer *writer) {
  ECRU__CHECK_HANDLE(writer);
  if (!writer) return ECRU_EINVAL;
  if (writer->failed) return (int)writer->failed;
  if (writer->used == 0) return 0;
  int64_t result = ecru_io_write(writer->io, writer->data, writer->used, NULL);
  if (result < 0) writer->failed = result;
  writer->used = 0;
  ecru__free(writer->data);
  writer->data = NULL;
  return result < 0 ? (int)result : 0;
}
