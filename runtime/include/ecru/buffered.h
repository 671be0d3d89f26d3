/// ecru/buffered.h: reading lines and records from a descriptor, and writing small pieces to it, with few system calls (I1).
///
/// A reader or writer is used by one goroutine or thread at a time. Its memory is there only while it holds bytes or fills up, so that
/// a hundred thousand idle connections cost nothing.
#ifndef ECRU_BUFFERED_H
#define ECRU_BUFFERED_H
#include <ecru/io.h>

typedef struct ecru_reader ecru_reader;
typedef struct ecru_writer ecru_writer;

ECRU_BEGIN
/// Creates a reader of io with room for `bytes` (0: 4096; at most 1 GiB). owns: it takes a reference to io; the caller owns *reader.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_reader_create(ecru_reader **reader, ecru_io *io, size_t bytes);
/// Frees it; what it has read ahead is lost. effects: any thread; never parks. NULL is ignored. since: 0.1
ECRU_API void ecru_reader_destroy(ecru_reader *reader);
/// Reads at least one byte, at most `bytes`. effects, returns: as ecru_io_read; ECRU_ENOMEM. since: 0.1
ECRU_API int64_t ecru_reader_read(ecru_reader *reader, void *buffer, size_t bytes);
/// Reads exactly so many. *got (may be NULL) always receives how many arrived. effects: as ecru_io_read.
/// returns: 0; ECRU_EEOF the input ends before; as ecru_io_read. since: 0.1
ECRU_API int ecru_reader_read_exactly(ecru_reader *reader, void *buffer, size_t bytes, size_t *got);
/// Reads up to and with the next `delimiter`; *data is valid until the next call with this reader. At the end of input the rest without a
/// delimiter is given. effects: as ecru_io_read. returns: the length with the delimiter; 0: the end of input;
/// ECRU_EMSGSIZE there is none within the reader's room (nothing is consumed); as ecru_io_read (nothing is consumed). since: 0.1
ECRU_API int64_t ecru_reader_until(ecru_reader *reader, char delimiter, const char **data);
/// ecru_reader_until '\n'; *line is without "\n" or "\r\n" but *length (may be NULL) tells its length, since it may hold zeros.
/// effects: as ecru_io_read. returns: 1 a line; 0 the end of input; errors as ecru_reader_until. since: 0.1
ECRU_API int ecru_reader_line(ecru_reader *reader, const char **line, size_t *length);
/// Looks at the next bytes (at most the reader's room) without consuming them; *data as in ecru_reader_until.
/// effects: as ecru_io_read. returns: how many there are, fewer than asked for only at the end of input; errors as ecru_io_read. since: 0.1
ECRU_API int64_t ecru_reader_peek(ecru_reader *reader, size_t bytes, const char **data);
/// Passes over so many bytes. effects: as ecru_io_read. returns: 0; ECRU_EEOF; as ecru_io_read. since: 0.1
ECRU_API int ecru_reader_skip(ecru_reader *reader, uint64_t bytes);
/// How many bytes are there without asking the system. effects: never parks. since: 0.1
ECRU_API size_t ecru_reader_buffered(const ecru_reader *reader);

/// Creates a writer to io with room for `bytes` (0: 4096; at most 1 GiB). owns: as ecru_reader_create.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_writer_create(ecru_writer **writer, ecru_io *io, size_t bytes);
/// Frees it; what has not been flushed is lost. effects: any thread; never parks. NULL is ignored. since: 0.1
ECRU_API void ecru_writer_destroy(ecru_writer *writer);
/// Takes all bytes, writing when the room is full; what is as large as the room is written at once, with what waits, in one call. After an error
/// every call returns it. Without memory for the room it writes at once. effects: as ecru_io_write. returns: bytes; as ecru_io_write. since: 0.1
ECRU_API int64_t ecru_writer_write(ecru_writer *writer, const void *data, size_t bytes);
/// Writes what waits. effects, returns: 0; as ecru_io_write. since: 0.1
ECRU_API int ecru_writer_flush(ecru_writer *writer);
/// How many bytes wait. effects: never parks. since: 0.1
ECRU_API size_t ecru_writer_buffered(const ecru_writer *writer);
ECRU_END
#endif
