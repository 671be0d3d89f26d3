// libFuzzer target for docs/examples/kv: the same commands are understood and answered the same in whatever pieces they come, whole connections end,
// and what is answered is RESP. The first byte says how large the pieces are.
#include "docs/examples/kv/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define EXPECT(condition) ((condition) ? (void)0 : (fprintf(stderr, "not so: %s, line %d\n", #condition, __LINE__), abort()))

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static server served = {.limits = {4096, 16384, 64}, .queue = 4, .connections_max = 10};

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count, (void)arguments;
  ecru_options options = ECRU_OPTIONS; // time stands still while this thread works: what expires does not depend on how long that takes
  EXPECT(ecru_clock_virtual_create(&options.clock, ECRU_SECOND) == 0 && ecru_start(&options) == 0);
  store_open(1);
  commands_open();
  EXPECT(pubsub_open() == 0);
  EXPECT(ecru_token_without_cancel(&served.serving, NULL) == 0);
  return 0;
}

// ---- the commands alone ------------------------------------------------------------------------------------------------

// One reply at text[at]. Returns where it ends.
static size_t check_reply(const char *text, size_t at, size_t bytes, int depth) {
  EXPECT(depth < 4 && at < bytes && strchr("+-:$*", text[at]) && text[at] != '\0');
  char kind = text[at++];
  const char *end = memchr(text + at, '\r', bytes - at);
  EXPECT(end && end + 1 < text + bytes && end[1] == '\n');
  int64_t number = 0;
  EXPECT(kind == '+' || kind == '-' || parse_integer((slice){text + at, (size_t)(end - text) - at}, &number));
  at = (size_t)(end - text) + 2;
  if (kind == '*')
    for (int64_t i = 0; i < number; i++) at = check_reply(text, at, bytes, depth + 1);
  if (kind != '$' || number < 0) return at;
  EXPECT(bytes - at >= (size_t)number + 2 && text[at + (size_t)number] == '\r' && text[at + (size_t)number + 1] == '\n');
  return at + (size_t)number + 2;
}

typedef struct outcome {
  char *text;
  size_t bytes;
  uint64_t commands;
  bool refused;
} outcome;

// All output so far, with the large values where they belong.
static void collect(outcome *o, work *w) {
  size_t done = 0;
  for (size_t i = 0; i <= w->insert_count; i++) {
    size_t until = i < w->insert_count ? w->inserts[i].at : w->used, more = i < w->insert_count ? w->inserts[i].value->bytes : 0;
    o->text = realloc(o->text, o->bytes + until - done + more + 1);
    memcpy(o->text + o->bytes, w->output + done, until - done);
    o->bytes += until - done;
    if (more > 0) memcpy(o->text + o->bytes, w->inserts[i].value->data, more);
    o->bytes += more;
    done = until;
    if (i < w->insert_count) value_release(w->inserts[i].value);
  }
  w->insert_count = w->used = 0;
}

static bool is_about_clients(const work *w) { // INFO counts what went before, too
  slice name = w->count > 0 ? resp_argument(w, 0) : (slice){"", 0};
  return name.bytes == 4 && strncasecmp(name.at, "info", 4) == 0;
}

static bool execute_all(connection *c, outcome *o) {
  int status;
  while (!c->ending && (status = resp_parse(c->work, &served.limits)) != 0) {
    if (status < 0) return false;
    if (!is_about_clients(c->work)) command_execute(c);
    resp_next(c->work);
    collect(o, c->work);
  }
  return !c->ending;
}

// What comes of the input in pieces, beginning with an empty store.
static outcome run_in_pieces(const char *data, size_t bytes, size_t piece) {
  outcome o = {0};
  connection c = {.server = &served, .work = work_create()};
  store_clear();
  bool going = true;
  for (size_t at = 0; at < bytes && going;) {
    EXPECT(work_reserve(c.work));
    size_t count = c.work->room - c.work->end < piece ? c.work->room - c.work->end : piece;
    if (count > bytes - at) count = bytes - at;
    memcpy(c.work->input + c.work->end, data + at, count);
    c.work->end += count;
    at += count;
    going = execute_all(&c, &o);
  }
  collect(&o, c.work);
  EXPECT(!c.work->out_of_memory);
  o.commands = c.commands;
  o.refused = !going;
  if (c.subscriber) subscriber_close(c.subscriber);
  free(c.subscriber);
  work_destroy(c.work);
  return o;
}

static void check_commands(const char *data, size_t bytes, size_t piece) {
  outcome whole = run_in_pieces(data, bytes, SIZE_MAX), pieces = run_in_pieces(data, bytes, piece);
  EXPECT(whole.commands == pieces.commands && whole.refused == pieces.refused);
  EXPECT(whole.bytes == pieces.bytes);
  EXPECT(whole.bytes == 0 || memcmp(whole.text, pieces.text, whole.bytes) == 0);
  for (size_t at = 0; at < whole.bytes;) at = check_reply(whole.text, at, whole.bytes, 0);
  free(whole.text);
  free(pieces.text);
}

// ---- a whole connection ------------------------------------------------------------------------------------------------

struct feed {
  ecru_io *io;
  const char *data;
  size_t bytes;
};

static void write_all(void *feed_) {
  struct feed *f = feed_;
  ecru_io_write(f->io, f->data, f->bytes, NULL); // fails if the connection has ended before
  ecru_io_shutdown(f->io, ECRU_IO_WRITE);
}

struct served_end {
  ecru_io *io;
};
static void serve(void *end) { connection_serve(&served, ((struct served_end *)end)->io); }

static void check_connection(const char *data, size_t bytes) {
  struct served_end end;
  struct feed f = {.data = data, .bytes = bytes};
  ecru_waitgroup *group;
  char text[4096];
  store_clear();
  EXPECT(ecru_io_pair(&f.io, &end.io) == 0 && ecru_waitgroup_create(&group) == 0);
  EXPECT(ecru_waitgroup_go(group, serve, &end) == 0 && ecru_waitgroup_go(group, write_all, &f) == 0);
  while (ecru_io_read(f.io, text, sizeof text) > 0) continue;
  EXPECT(ecru_waitgroup_wait(group) == 0);
  ecru_waitgroup_destroy(group);
  ecru_io_release(f.io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes < 1) return -1;
  check_commands((const char *)data + 1, bytes - 1, 1 + data[0] % 64);
  if (data[0] >= 192) check_connection((const char *)data + 1, bytes - 1);
  store_clear();
  work_pool_empty();
  return 0;
}
