// One connection from first to last.
#include "kv.h"

#include <stdlib.h>

enum { POOL_MAX = 256, INSERTS_MAX = 256, AT_ONCE = 64 /* pieces of one write */ };

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
  return w ? w : work_create();
}

// An empty one.
static void work_give(work *w) {
  work_shrink(w);
  pthread_mutex_lock(&pool.lock);
  bool keep = pool.count < POOL_MAX;
  if (keep) {
    w->next = pool.first;
    pool.first = w;
    pool.count++;
  }
  pthread_mutex_unlock(&pool.lock);
  if (!keep) work_destroy(w);
}

void work_pool_empty(void) {
  while (pool.first) work_destroy(work_take());
}

// ---- output ------------------------------------------------------------------------------------------------------------

// Writes pieces as one write, under the token that only fires when answers have to stop.
static bool write_pieces(connection *c, const ecru_buffer *pieces, size_t count) {
  if (ecru_token_enter(c->server->serving) != 0) return false;
  bool sent = ecru_io_writev(c->io, pieces, count, NULL) >= 0;
  ecru_token_leave();
  return sent;
}

// The output with the large values where they belong.
static bool write_with_inserts(connection *c) {
  const work *w = c->work;
  ecru_buffer pieces[AT_ONCE];
  size_t done = 0, count = 0;
  for (size_t i = 0; i <= w->insert_count; i++) {
    size_t until = i < w->insert_count ? w->inserts[i].at : w->used;
    if (until > done) pieces[count++] = (ecru_buffer){w->output + done, until - done};
    done = until;
    if (i < w->insert_count) pieces[count++] = (ecru_buffer){w->inserts[i].value->data, w->inserts[i].value->bytes};
    if (count + 2 <= AT_ONCE && i < w->insert_count) continue;
    if (count > 0 && !write_pieces(c, pieces, count)) return false;
    count = 0;
  }
  return true;
}

// Mostly the socket has room for everything: then there is nothing to wait for, and no token to look at.
static bool write_text(connection *c) {
  const work *w = c->work;
  int64_t sent = ecru_io_try_write(c->io, w->output, w->used);
  if (sent == (int64_t)w->used) return true;
  if (sent < 0 && sent != ECRU_EAGAIN) return false;
  size_t done = sent < 0 ? 0 : (size_t)sent;
  return write_pieces(c, &(ecru_buffer){w->output + done, w->used - done}, 1);
}

// Sends what has gathered. Returns whether that worked.
static bool flush(connection *c) {
  work *w = c->work;
  if (w->out_of_memory) return false;
  bool sent = w->used == 0 || (w->insert_count > 0 ? write_with_inserts(c) : write_text(c));
  for (size_t i = 0; i < w->insert_count; i++) value_release(w->inserts[i].value);
  w->insert_count = w->used = 0;
  return sent;
}

// ---- input -------------------------------------------------------------------------------------------------------------

// A read under the token that fires when no more commands shall come: then only what is there already.
static int64_t read_some(connection *c, char *to, size_t room) {
  int64_t count = ecru_io_read(c->io, to, room);
  return count == ECRU_ECANCELED ? ecru_io_try_read(c->io, to, room) : count;
}

static bool ensure_work(connection *c) { return c->work || (c->work = work_take()) != NULL; }

static bool took(work *w, int64_t count, size_t room) {
  if (count <= 0) return false;
  w->end += (size_t)count;
  w->more = count == (int64_t)room;
  return true;
}

// Reads behind what is there of a command.
static bool read_rest(connection *c) {
  work *w = c->work;
  if (!work_reserve(w)) return false;
  size_t room = w->room - w->end;
  return took(w, read_some(c, w->input + w->end, room), room);
}

// Waits without buffers.
static bool read_first(connection *c) {
  char first[FIRST_BYTES];
  int64_t count = read_some(c, first, sizeof first);
  if (count <= 0 || !ensure_work(c)) return false;
  memcpy(c->work->input, first, (size_t)count);
  return took(c->work, count, sizeof first);
}

// What may have come with the last read. Returns false if nothing has.
static bool read_more_now(connection *c) {
  work *w = c->work;
  if (!w->more || !work_reserve(w)) return false;
  size_t room = w->room - w->end;
  return took(w, ecru_io_try_read(c->io, w->input + w->end, room), room);
}

// Input or, if it is a subscriber, messages. Returns whether there is anything to do.
static bool await_subscriber(connection *c) {
  message *m;
  ecru_case cases[] = {
    {ECRU_CASE_READ, 0, c->io, NULL},
    {ECRU_CASE_RECV, 0, c->subscriber->messages, &m},
  };
  int which = ecru_select(cases, 2, 0);
  if (which == 0 || which < 0) return c->work && c->work->begin < c->work->end ? read_rest(c) : read_first(c);
  bool has_work = ensure_work(c);
  if (has_work) put(c->work, m->data, m->bytes);
  message_release(m);
  if (has_work) connection_take_messages(c);
  return has_work;
}

void connection_take_messages(connection *c) {
  message *m;
  for (size_t i = 0; i < c->server->queue && ecru_chan_try_recv(c->subscriber->messages, &m) == 0; i++) {
    put(c->work, m->data, m->bytes);
    message_release(m);
  }
}

static bool await(connection *c) {
  if (c->subscriber && c->subscriber->count > 0) return await_subscriber(c);
  return c->work ? read_rest(c) : read_first(c);
}

// ---- serving -----------------------------------------------------------------------------------------------------------

// All commands that are there whole. Returns whether the connection goes on.
static bool execute_all(connection *c) {
  work *w = c->work;
  int status;
  while (!c->ending && (status = resp_parse(w, &c->server->limits)) != 0) {
    if (status < 0) return false;
    command_execute(c);
    resp_next(w);
    if ((w->used > OUTPUT_BYTES || w->insert_count > INSERTS_MAX) && !flush(c)) return c->ending = true, false;
  }
  return !c->ending;
}

// Answers what has come, and goes on as long as more is there already, but lets others have their turn. Returns whether the connection goes on.
static bool answer(connection *c) {
  do {
    bool going = execute_all(c);
    if (!flush(c) || !going) return false;
    if (c->work->more) ecru_yield();
  } while (read_more_now(c));
  return true;
}

static void count_commands(connection *c) {
  atomic_fetch_add_explicit(&c->server->commands, c->commands, memory_order_relaxed); // relaxed: a counter
  c->commands = 0;
}

static void serve_all(connection *c) {
  while (await(c) && answer(c)) {
    count_commands(c);
    if (c->work->begin < c->work->end) continue; // a part of a command: it keeps the work
    work_give(c->work);
    c->work = NULL;
  }
}

// The last answer, perhaps an error, shall arrive: what the client still sends would reset the connection.
static void end_gently(connection *c) {
  char rest[FIRST_BYTES];
  ecru_io_shutdown(c->io, ECRU_IO_WRITE);
  if (ecru_deadline_enter(ecru_after(ECRU_SECOND)) != 0) return;
  for (int i = 0; i < 1024 && ecru_io_read(c->io, rest, sizeof rest) > 0; i++) continue;
  ecru_token_leave();
}

void connection_serve(server *s, ecru_io *io) {
  connection c = {.server = s, .io = io};
  if (atomic_fetch_add(&s->alive, 1) < s->connections_max) {
    serve_all(&c);
  } else {
    static const char full[] = "-ERR max number of clients reached\r\n";
    ecru_io_try_write(io, full, sizeof full - 1);
  }
  if (c.work) end_gently(&c);
  count_commands(&c);
  if (c.subscriber) subscriber_close(c.subscriber);
  free(c.subscriber);
  if (c.work) work_destroy(c.work);
  ecru_io_close(io);
  ecru_io_release(io);
  atomic_fetch_sub(&s->alive, 1);
}
