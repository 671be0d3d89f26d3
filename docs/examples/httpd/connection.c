// One connection from first to last: waiting for a request, reading it, answering, and what happens to those who are slow.
//
// Deadlines are not set for every request: they move only when they have come too near (connection_extend), so a busy connection pays
// for a timer once in a quarter of its idle time.
#include "httpd.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>

enum {
  POOL_MAX = 256,                // more works than that are freed rather than kept
  DISCARDED_MAX = 256 * 1024,    // of a body nobody wants, to save the connection
  LINGER_BYTES = 16 * 1024 * 1024, // read after an answer that ends the connection, in at most LINGER_NS
  BODY_BYTES_PER_SECOND = 4096,  // a body that comes slower is given up
};

static const int64_t LINGER_NS = 2 * ECRU_SECOND;

// ---- the pool of works -------------------------------------------------------------------------------------------------

static struct {
  pthread_mutex_t lock;
  work *first;
  unsigned count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static work *work_take(void) {
  pthread_mutex_lock(&pool.lock);
  work *w = pool.first;
  if (w) {
    pool.first = w->next;
    pool.count--;
  }
  pthread_mutex_unlock(&pool.lock);
  if (!w && (w = malloc(sizeof *w)) != NULL) w->date_s = 0;
  return w;
}

static void work_give(work *w) {
  pthread_mutex_lock(&pool.lock);
  bool keep = pool.count < POOL_MAX;
  if (keep) {
    w->next = pool.first;
    pool.first = w;
    pool.count++;
  }
  pthread_mutex_unlock(&pool.lock);
  if (!keep) free(w);
}

void work_pool_empty(void) {
  while (pool.first) free(work_take());
}

// ---- deadlines ---------------------------------------------------------------------------------------------------------

bool connection_extend(connection *c, unsigned direction, int64_t at_least_ns) {
  int64_t *deadline_ns = direction == ECRU_IO_READ ? &c->read_deadline_ns : &c->write_deadline_ns;
  int64_t left_ns = *deadline_ns - ecru_now(), slack_ns = at_least_ns / 4;
  if (left_ns >= at_least_ns && left_ns <= at_least_ns + slack_ns) return true;
  *deadline_ns = ecru_after(at_least_ns + slack_ns);
  return ecru_io_set_deadline(c->io, direction, *deadline_ns) == 0;
}

static bool read_until(connection *c, int64_t deadline_ns) {
  c->read_deadline_ns = deadline_ns;
  return ecru_io_set_deadline(c->io, ECRU_IO_READ, deadline_ns) == 0;
}

// ---- input and output --------------------------------------------------------------------------------------------------

bool connection_flush(connection *c) {
  work *w = c->work;
  if (w->used == 0 || c->broken) return !c->broken;
  size_t bytes = w->used;
  w->used = 0;
  c->broken = !connection_extend(c, ECRU_IO_WRITE, c->server->write_ns) || ecru_io_write(c->io, w->output, bytes, NULL) < 0;
  return !c->broken;
}

// Moves what has come to the front, but leaves input[0, floor) alone. Returns the room behind it.
static size_t make_room(work *w) {
  if (w->begin > w->floor) {
    memmove(w->input + w->floor, w->input + w->begin, w->end - w->begin);
    w->end -= w->begin - w->floor;
    w->begin = w->floor;
  }
  return INPUT_BYTES - w->end;
}

static int64_t take_in(work *w, size_t room, int64_t count) {
  if (count > 0) w->end += (size_t)count;
  w->more = count == (int64_t)room;
  return count;
}

// Reads behind what is there. Returns as ecru_io_read.
static int64_t read_more(connection *c) {
  size_t room = make_room(c->work);
  return take_in(c->work, room, ecru_io_read(c->io, c->work->input + c->work->end, room));
}

// Whether there is more right now.
static bool read_more_now(connection *c) {
  if (!c->work->more) return false;
  size_t room = make_room(c->work);
  return room > 0 && take_in(c->work, room, ecru_io_try_read(c->io, c->work->input + c->work->end, room)) > 0;
}

// ---- bodies ------------------------------------------------------------------------------------------------------------

// More of the body into the input. Returns 0 or a negative HTTP status.
static int read_body_more(connection *c) {
  body *b = &c->work->body;
  if (!b->invited && !respond_continue(c)) return CONNECTION_LOST;
  b->invited = true;
  if (!connection_flush(c)) return CONNECTION_LOST;
  if (b->began_ns == 0) b->began_ns = ecru_now();
  int64_t earned_ns = (int64_t)(b->taken / BODY_BYTES_PER_SECOND) * ECRU_SECOND;
  if (!read_until(c, b->began_ns + c->server->body_ns + earned_ns)) return CONNECTION_LOST;
  int64_t count = read_more(c);
  return count == ECRU_ETIMEDOUT ? -408 : count <= 0 ? CONNECTION_LOST : 0;
}

// The next piece. Returns its bytes; 0 at the end; a negative HTTP status.
static int64_t read_piece(connection *c, slice *piece) {
  work *w = c->work;
  for (;;) {
    size_t used;
    int status = body_next(&w->body, w->input + w->begin, w->end - w->begin, piece, &used);
    w->begin += used;
    if (status < 0) return status;
    if (status == 1) return (int64_t)piece->bytes;
    if (w->body.over) return 0;
    status = read_body_more(c);
    if (status != 0) return status;
  }
}

int64_t connection_read_body(connection *c, char **data, uint64_t most) {
  size_t room = 0;
  *data = NULL;
  if (!c->work->request.chunked && c->work->request.length > most) return -413;
  for (uint64_t bytes = 0;;) {
    slice piece;
    int64_t status = read_piece(c, &piece);
    if (status == 0) return (int64_t)bytes;
    if (status > 0 && bytes + piece.bytes > most) status = -413;
    if (status > 0 && bytes + piece.bytes > room) {
      room = (bytes + piece.bytes) * 2;
      char *larger = realloc(*data, room);
      if (larger) *data = larger;
      else status = -503;
    }
    if (status < 0) {
      free(*data);
      *data = NULL;
      return status;
    }
    memcpy(*data + bytes, piece.at, piece.bytes);
    bytes += piece.bytes;
  }
}

bool connection_can_skip_body(const connection *c) {
  const body *b = &c->work->body;
  return b->over || (b->invited && (b->chunked || b->left <= DISCARDED_MAX));
}

// What the handler has left of the body goes. Returns whether the next request begins behind it.
static bool discard_body(connection *c) {
  body *b = &c->work->body;
  if (b->over) return true;
  if (!connection_can_skip_body(c)) return false;
  slice piece;
  int64_t status;
  while ((status = read_piece(c, &piece)) > 0)
    if (b->taken > DISCARDED_MAX) return false;
  return status == 0;
}

// ---- answering ---------------------------------------------------------------------------------------------------------

static bool is_path(slice target, const char *path) {
  size_t bytes = strlen(path);
  return target.bytes >= bytes && memcmp(target.at, path, bytes) == 0 && (target.bytes == bytes || target.at[bytes] == '?');
}

static bool respond_echo(connection *c) {
  char *data;
  int64_t bytes = connection_read_body(c, &data, c->server->body_bytes_max);
  if (bytes < 0) {
    c->work->request.keep_alive = false;
    return bytes == CONNECTION_LOST ? false : respond_page(c, (int)-bytes, NULL);
  }
  bool sent = respond_data(c, c->work->request.content_type, data, (size_t)bytes);
  free(data);
  return sent;
}

static bool respond_options(connection *c) {
  if (!respond_begin(c, 204)) return false;
  put_text(c->work, "Allow: GET, HEAD, OPTIONS, POST, PUT\r\n");
  respond_end_head(c);
  return true;
}

static bool respond(connection *c) {
  request *r = &c->work->request;
  bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
  if (reads && c->server->hello) return respond_data(c, (slice){NULL, 0}, "hello", 5);
  if (is_path(r->target, "/echo")) {
    if (r->method == HTTP_POST || r->method == HTTP_PUT) return respond_echo(c);
    return respond_page(c, 405, "Allow: POST, PUT\r\n");
  }
  if (r->method == HTTP_OPTIONS) return respond_options(c);
  if (!reads) return respond_page(c, 405, "Allow: GET, HEAD, OPTIONS\r\n");
  return c->server->root >= 0 ? files_respond(c) : respond_page(c, 404, NULL);
}

// Whoever sends what we do not read must still get our answer: closed right away, the system would reset the connection and
// the answer might be lost on its way.
static void linger(connection *c) {
  if (!connection_flush(c) || ecru_io_shutdown(c->io, ECRU_IO_WRITE) != 0 || !read_until(c, ecru_after(LINGER_NS))) return;
  int64_t count;
  for (size_t read = 0; read < LINGER_BYTES; read += (size_t)count)
    if ((count = ecru_io_read(c->io, c->work->input, INPUT_BYTES)) <= 0) return;
}

// The request could not be understood, so nobody knows where the next one begins.
static bool refuse(connection *c, int status) {
  request *r = &c->work->request;
  slice line = r->line;
  *r = (request){.line = line};
  if (respond_page(c, status, NULL)) {
    log_request(c);
    linger(c);
  }
  return false;
}

// Answers the request at the front of the input. Returns whether the connection goes on.
static bool answer(connection *c) {
  work *w = c->work;
  request *r = &w->request;
  body_begin(&w->body, r);
  w->begin += r->head_bytes;
  w->floor = w->begin; // slices point in front of it
  c->requests++;
  bool answered = respond(c) && !c->broken;
  if (answered) log_request(c);
  if (answered && !discard_body(c)) {
    linger(c);
    return false;
  }
  w->floor = 0;
  return answered && r->keep_alive;
}

// A body needs room behind its head.
static bool needs_to_move(const work *w) {
  const request *r = &w->request;
  return w->begin > 0 && (r->chunked || r->length > 0) && w->begin + r->head_bytes > HEAD_BYTES_MAX;
}

// Answers all requests that are complete. Returns 1; 0: the connection is to be closed.
static bool answer_complete(connection *c) {
  work *w = c->work;
  for (;;) {
    while (w->end - w->begin >= 2 && w->scan.at == 0 && memcmp(w->input + w->begin, "\r\n", 2) == 0) w->begin += 2; // RFC 9112, 2.2
    if (w->begin == w->end) return true;
    if (c->server->log && w->scan.at == 0) w->began_ns = ecru_now();
    w->request.line.bytes = 0;
    int status = request_parse(&w->request, &w->scan, w->input + w->begin, w->end - w->begin);
    if (status == 0) return true;
    if (status < 0) return refuse(c, -status);
    w->scan = (head_scan){0, 0};
    if (needs_to_move(w)) {
      make_room(w);
      continue;
    }
    if (!answer(c)) return false;
  }
}

// A head has begun and has to be complete in time.
static bool await_rest(connection *c, int64_t *deadline_ns) {
  if (*deadline_ns == 0) {
    *deadline_ns = ecru_after(c->server->head_ns);
    if (!read_until(c, *deadline_ns)) return false;
  }
  int64_t count = read_more(c);
  return count == ECRU_ETIMEDOUT ? refuse(c, 408) : count > 0;
}

// Answers what has come until there is nothing more. Returns whether to wait for more.
static bool answer_all(connection *c) {
  for (int64_t deadline_ns = 0;;) {
    uint64_t requests = c->requests;
    if (!answer_complete(c)) {
      connection_flush(c);
      return false;
    }
    if (c->requests != requests) deadline_ns = 0;
    if (read_more_now(c)) continue;
    if (!connection_flush(c)) return false;
    if (c->work->begin == c->work->end) return true;
    if (!await_rest(c, &deadline_ns)) return false;
  }
}

static void begin_work(work *w, const char *data, size_t bytes) {
  w->begin = w->floor = w->used = 0;
  w->end = bytes;
  w->more = bytes == FIRST_BYTES;
  w->scan = (head_scan){0, 0};
  memcpy(w->input, data, bytes);
}

// Waits for a request, with a kilobyte on the stack and nothing else. Returns whether one has begun.
static bool await_request(connection *c) {
  char data[FIRST_BYTES];
  if (!connection_extend(c, ECRU_IO_READ, c->requests > 0 ? c->server->idle_ns : c->server->head_ns)) return false;
  atomic_store(&c->idle, true);
  if (atomic_load(&c->server->draining)) return false; // else whoever drains sees us idle
  int64_t count = ecru_io_read(c->io, data, sizeof data);
  atomic_store(&c->idle, false);
  if (count <= 0 || !(c->work = work_take())) return false;
  begin_work(c->work, data, (size_t)count);
  return true;
}

static void enlist(connection *c) {
  server *s = c->server;
  pthread_mutex_lock(&s->lock);
  c->next = s->first;
  c->link = &s->first;
  if (c->next) c->next->link = &c->next;
  s->first = c;
  pthread_mutex_unlock(&s->lock);
}

static void leave(connection *c) {
  pthread_mutex_lock(&c->server->lock);
  *c->link = c->next;
  if (c->next) c->next->link = c->link;
  pthread_mutex_unlock(&c->server->lock);
}

void connections_drain(server *s) {
  atomic_store(&s->draining, true);
  pthread_mutex_lock(&s->lock);
  for (connection *c = s->first; c; c = c->next)
    if (atomic_load(&c->idle)) ecru_io_set_deadline(c->io, ECRU_IO_READ, 0);
  pthread_mutex_unlock(&s->lock);
}

void connection_serve(server *s, ecru_io *io, const ecru_address *peer) {
  connection c = {.server = s, .io = io, .peer = *peer};
  enlist(&c);
  for (bool goes_on = true; goes_on && await_request(&c);) {
    goes_on = answer_all(&c);
    work_give(c.work);
    c.work = NULL;
  }
  leave(&c);
  ecru_io_close(io);
  ecru_io_release(io);
}
