/// runtime/io_transfer.c: reading and writing (rule I1).
///
/// A read is one operation; a write goes on until all is written, in one turn.
#include "runtime/io.h"

enum { BUFFERS_MAX = 1024, BUFFERS_AT_ONCE = 64 };

// ---- reading --------------------------------------------------------------------------------------------------------

/// The shape of all public operations: enter, look at the token, do it, leave.
static int64_t run(ecru_io *io, ecru__operation *operation, int reason) {
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = ecru__io_do(&w, io, operation, reason);
  ecru__leave(w);
  return result;
}

int64_t ecru_io_read(ecru_io *io, void *buffer, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffer && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return ecru__io_move_nothing(io);
  ecru__operation read = {.kind = io->pollee.kind == ECRU__IS_DATAGRAM ? ECRU__OP_RECEIVE : ECRU__OP_READ, .data = buffer, .bytes = bytes};
  return run(io, &read, ECRU__WAIT_READ);
}

int64_t ecru_io_readv(ecru_io *io, const ecru_buffer *buffers, size_t count) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffers && count > 0) || count > BUFFERS_MAX) return ECRU_EINVAL;
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += buffers[i].bytes;
  if (bytes == 0) return ecru__io_move_nothing(io);
  ecru__operation read = {.kind = ECRU__OP_READ_V, .vector = buffers, .count = count, .bytes = bytes};
  return run(io, &read, ECRU__WAIT_READ);
}

// ---- writing --------------------------------------------------------------------------------------------------------

static int64_t run_all(ecru_io *io, ecru__operation *operation, uint64_t bytes, uint64_t *moved, ecru__advance *advance) {
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = ecru__io_do_all(&w, io, operation, bytes, moved, advance);
  ecru__leave(w);
  return result;
}

static bool moves_nothing(const ecru_io *io, const void *data, size_t bytes) {
  return bytes == 0 && data && io->pollee.kind != ECRU__IS_DATAGRAM;
}

static void advance_data(ecru__operation *operation, uint64_t count) {
  operation->data = (char *)operation->data + count;
  operation->bytes -= count;
}

int64_t ecru_io_write(ecru_io *io, const void *data, size_t bytes, size_t *written) {
  ECRU__CHECK_HANDLE(io);
  if (written) *written = 0;
  if (!io || (!data && bytes > 0)) return ECRU_EINVAL;
  if (moves_nothing(io, data, bytes) || (!data && io->pollee.kind != ECRU__IS_DATAGRAM)) return ecru__io_move_nothing(io);
  uint64_t moved = 0;
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)data, .bytes = bytes};
  int64_t result = run_all(io, &write, bytes, &moved, advance_data);
  if (written) *written = (size_t)moved;
  return result;
}

/// Buffers that can be shortened in front as they are written, a few at a time.
struct batch {
  ecru__operation operation;   // first
  const ecru_buffer *rest;     // not yet in `now`
  size_t rest_count;
  ecru_buffer now[BUFFERS_AT_ONCE];
  size_t first, end;           // now[first..end) are to be written
};

static void refill(struct batch *batch) {
  batch->first = batch->end = 0;
  while (batch->rest_count > 0 && batch->end < BUFFERS_AT_ONCE) {
    if (batch->rest->bytes > 0) batch->now[batch->end++] = *batch->rest;
    batch->rest++;
    batch->rest_count--;
  }
}

static void aim(struct batch *batch) {
  batch->operation.vector = batch->now + batch->first;
  batch->operation.count = batch->end - batch->first;
}

static void advance_vector(ecru__operation *operation, uint64_t count) {
  struct batch *batch = (struct batch *)(void *)operation;
  while (batch->first < batch->end && count >= batch->now[batch->first].bytes) count -= batch->now[batch->first++].bytes;
  if (batch->first == batch->end) refill(batch);
  batch->now[batch->first].data = (char *)batch->now[batch->first].data + count;
  batch->now[batch->first].bytes -= count;
  aim(batch);
}

int64_t ecru_io_writev(ecru_io *io, const ecru_buffer *buffers, size_t count, size_t *written) {
  ECRU__CHECK_HANDLE(io);
  if (written) *written = 0;
  if (!io || (!buffers && count > 0) || count > BUFFERS_MAX) return ECRU_EINVAL;
  uint64_t bytes = 0, moved = 0;
  for (size_t i = 0; i < count; i++) bytes += buffers[i].bytes;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return ecru__io_move_nothing(io);
  struct batch batch;
  batch.operation = (ecru__operation){.kind = ECRU__OP_WRITE_V};
  batch.rest = buffers;
  batch.rest_count = count;
  if (io->pollee.kind == ECRU__IS_DATAGRAM) { // goes out at once or not at all
    batch.operation.vector = buffers;
    batch.operation.count = count;
  } else {
    refill(&batch);
    aim(&batch);
  }
  int64_t result = run_all(io, &batch.operation, bytes, &moved, advance_vector);
  if (written) *written = (size_t)moved;
  return result;
}

// ---- files ----------------------------------------------------------------------------------------------------------

static void advance_file(ecru__operation *operation, uint64_t count) {
  operation->offset += (int64_t)count;
  operation->bytes -= count;
}

int64_t ecru_io_send_file(ecru_io *io, intptr_t file_descriptor, int64_t offset, uint64_t bytes, uint64_t *sent) {
  ECRU__CHECK_HANDLE(io);
  if (sent) *sent = 0;
  if (!io || file_descriptor < 0 || offset < 0 || bytes > INT64_MAX) return ECRU_EINVAL;
  if (bytes == 0) return ecru__io_move_nothing(io);
  uint64_t moved = 0;
  ecru__operation send = {.kind = ECRU__OP_SEND_FILE, .other = file_descriptor, .offset = offset, .bytes = (size_t)bytes};
  int64_t result = run_all(io, &send, bytes, &moved, advance_file);
  if (sent) *sent = moved;
  return result;
}

static int64_t move_head_and_file(ecru__worker **w, ecru_io *io, ecru__operation *head, ecru__operation *file, uint64_t *sent) {
  uint64_t head_bytes = head->bytes, file_bytes = file->bytes, head_moved = 0, file_moved = 0;
  int64_t result = ecru__io_take_turn(w, io, ECRU__OUT, ECRU__WAIT_WRITE);
  if (result != 0) return result;
  result = ecru__io_move(w, io, head, head_bytes, &head_moved, advance_data);
  if (result >= 0 && file_bytes > 0) result = ecru__io_move(w, io, file, file_bytes, &file_moved, advance_file);
  ecru__io_give_turn(*w, io, ECRU__OUT);
  *sent = head_moved + file_moved;
  return result < 0 ? result : (int64_t)*sent;
}

int64_t ecru_io_send_file_after(ecru_io *io, const void *head, size_t head_bytes, intptr_t file_descriptor, int64_t offset, uint64_t bytes,
                                uint64_t *sent) {
  ECRU__CHECK_HANDLE(io);
  if (head_bytes == 0) return ecru_io_send_file(io, file_descriptor, offset, bytes, sent);
  if (sent) *sent = 0;
  if (!io || !head || file_descriptor < 0 || offset < 0 || bytes > INT64_MAX - head_bytes) return ECRU_EINVAL;
  uint64_t moved = 0;
  ecru__operation first = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)head, .bytes = head_bytes, .more = bytes > 0};
  ecru__operation then = {.kind = ECRU__OP_SEND_FILE, .other = file_descriptor, .offset = offset, .bytes = (size_t)bytes};
  ecru__worker *w = ecru__enter();
  if (ECRU__UNLIKELY(!w)) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (ECRU__LIKELY(result == 0)) result = move_head_and_file(&w, io, &first, &then, &moved);
  ecru__leave(w);
  if (sent) *sent = moved;
  return result;
}

// ---- without waiting ------------------------------------------------------------------------------------------------

static int64_t try_once(ecru_io *io, ecru__operation *operation) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = ecru__io_try_do(w, io, operation);
  ecru__leave(w);
  return result;
}

int64_t ecru_io_try_read(ecru_io *io, void *buffer, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!buffer && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return ecru__io_move_nothing(io);
  ecru__operation read = {.kind = io->pollee.kind == ECRU__IS_DATAGRAM ? ECRU__OP_RECEIVE : ECRU__OP_READ, .data = buffer, .bytes = bytes};
  return try_once(io, &read);
}

int64_t ecru_io_try_write(ecru_io *io, const void *data, size_t bytes) {
  ECRU__CHECK_HANDLE(io);
  if (!io || (!data && bytes > 0)) return ECRU_EINVAL;
  if (bytes == 0 && io->pollee.kind != ECRU__IS_DATAGRAM) return ecru__io_move_nothing(io);
  ecru__operation write = {.kind = ECRU__OP_WRITE, .data = (void *)(uintptr_t)data, .bytes = bytes};
  return try_once(io, &write);
}
