/// runtime/copy.c: from one descriptor to another (I1).
///
/// The first bytes go through a buffer: most exchanges are short, and a pipe costs two descriptors. After that they are spliced through a pipe, where
/// the system can, and never enter the program. It may find in the middle that it cannot (ECRU_EINVAL: somebody else has made a shared socket
/// blocking): the rest goes through the buffer.
#include "platform/memory.h"
#include "runtime/io.h"

enum { BUFFER = 16 << 10, THROUGH_BUFFER = 64 << 10, AT_ONCE = 64 << 10 };

typedef struct copying {
  ecru_io *to, *from;
  uint64_t left;      // still to be copied
  uint64_t copied;
  char *buffer;
  bool may_splice;
  intptr_t pipe[2];   // read end, write end; -1: none
} copying;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/// Writes what has been read. returns: 0; ECRU_E*.
static int64_t write_out(ecru__worker **w, copying *c, enum ecru__operation_kind kind, int64_t bytes) {
  ecru__operation out = {.kind = kind, .data = c->buffer, .other = c->pipe[0], .bytes = (size_t)bytes};
  out.mask_pipe_signal = (*w)->is_foreign; // splice has no MSG_NOSIGNAL
  while (out.bytes > 0) {
    int64_t count = ecru__io_perform(w, c->to, &out, ECRU__WAIT_WRITE);
    if (count < 0) return count;
    c->copied += (uint64_t)count;
    c->left -= (uint64_t)count;
    out.bytes -= (size_t)count;
    if (kind == ECRU__OP_WRITE) out.data = (char *)out.data + count;
  }
  return 0;
}

/// No more splicing. The pipe is empty.
static void close_pipe(copying *c) {
  c->may_splice = false;
  if (c->pipe[0] < 0) return;
  ecru__io_close(c->pipe[0]);
  ecru__io_close(c->pipe[1]);
  c->pipe[0] = c->pipe[1] = -1;
}

/// Writes what has been spliced into the pipe, through the buffer. returns: 0; ECRU_E*.
static int64_t empty_pipe(ecru__worker **w, copying *c, int64_t bytes) {
  int64_t count = 0, status = 0;
  for (; bytes > 0 && status == 0; bytes -= count) {
    ecru__operation read = {.kind = ECRU__OP_READ, .data = c->buffer, .bytes = (size_t)least((uint64_t)bytes, BUFFER)};
    count = ecru__io_try(c->pipe[0], ECRU__IS_PIPE, &read);
    status = count < 0 ? count : write_out(w, c, ECRU__OP_WRITE, count);
  }
  return status;
}

static int64_t splice_out(ecru__worker **w, copying *c, int64_t bytes) {
  uint64_t before = c->copied;
  int64_t status = write_out(w, c, ECRU__OP_SPLICE_OUT, bytes);
  if (status != ECRU_EINVAL) return status;
  status = empty_pipe(w, c, bytes - (int64_t)(c->copied - before));
  close_pipe(c);
  return status;
}

/// One portion. returns: how many bytes; 0: the end of input; ECRU_E*.
static int64_t step(ecru__worker **w, copying *c) {
  bool splices = c->pipe[0] >= 0;
  ecru__operation in = {.kind = splices ? ECRU__OP_SPLICE_IN : ECRU__OP_READ, .data = c->buffer, .other = c->pipe[1]};
  in.bytes = (size_t)least(c->left, splices ? AT_ONCE : BUFFER);
  int64_t count = ecru__io_perform(w, c->from, &in, ECRU__WAIT_READ);
  if (count == ECRU_EINVAL && splices) { // this one cannot be spliced; nothing has been moved
    close_pipe(c);
    return step(w, c);
  }
  if (count <= 0) return count;
  int64_t status = splices ? splice_out(w, c, count) : write_out(w, c, ECRU__OP_WRITE, count);
  return status < 0 ? status : count;
}

static bool can_splice(const ecru_io *io) { return io->pollee.kind == ECRU__IS_STREAM || io->pollee.kind == ECRU__IS_PIPE; }

/// Between portions nothing has been read that is not written: here it may end without losing any. (An operation that never has to wait looks at
/// neither the token nor deadlines.)
static int64_t may_go_on(ecru__worker *w, const copying *c) {
  int64_t status = ecru__canceled(w);
  if (status == 0) status = ecru__io_usable(c->from, ECRU__IN);
  return status == 0 ? ecru__io_usable(c->to, ECRU__OUT) : status;
}

static int64_t copy_all(ecru__worker **w, copying *c) {
  c->may_splice = can_splice(c->to) && can_splice(c->from);
  while (c->left > 0) {
    int64_t status = may_go_on(*w, c);
    if (status != 0) return status;
    if (c->may_splice && c->pipe[0] < 0 && c->copied >= THROUGH_BUFFER) c->may_splice = ecru__io_pipe(c->pipe) == 0;
    int64_t count = step(w, c);
    if (count <= 0) return count;
  }
  return 0;
}

static int64_t copy_in_turn(ecru__worker **w, copying *c) {
  int64_t status = ecru__io_take_turn(w, c->from, ECRU__IN, ECRU__WAIT_READ); // the reading turn first, everywhere: no circle
  if (status != 0) return status;
  status = ecru__io_take_turn(w, c->to, ECRU__OUT, ECRU__WAIT_WRITE);
  if (status == 0) {
    status = copy_all(w, c);
    ecru__io_give_turn(*w, c->to, ECRU__OUT);
  }
  ecru__io_give_turn(*w, c->from, ECRU__IN);
  return status;
}

int64_t ecru_io_copy(ecru_io *to, ecru_io *from, uint64_t most, uint64_t *copied) {
  ECRU__CHECK_HANDLE(to);
  ECRU__CHECK_HANDLE(from);
  if (copied) *copied = 0;
  if (!to || !from || from->pollee.kind == ECRU__IS_DATAGRAM || to->pollee.kind == ECRU__IS_DATAGRAM) return ECRU_EINVAL;
  copying c = {.to = to, .from = from, .left = least(most, INT64_MAX), .pipe = {-1, -1}};
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t status = ecru__canceled(w);
  if (status == 0 && !(c.buffer = ecru__malloc(BUFFER))) status = ECRU_ENOMEM;
  if (status == 0) status = copy_in_turn(&w, &c);
  close_pipe(&c);
  ecru__free(c.buffer);
  ecru__leave(w);
  if (copied) *copied = c.copied;
  return status < 0 ? status : (int64_t)c.copied;
}
