// libFuzzer target for docs/examples/httpd: what it makes of a head and a body does not depend on how they arrive in pieces, and a whole
// connection always ends, having said nothing but HTTP. The first byte says how large the pieces are.
#include "docs/examples/httpd/httpd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECT(condition) ((condition) ? (void)0 : (fprintf(stderr, "not so: %s, line %d\n", #condition, __LINE__), abort()))

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static server served = {.root = -1, .idle_ns = 60 * ECRU_SECOND, .head_ns = 60 * ECRU_SECOND, .body_ns = 60 * ECRU_SECOND, .write_ns = 60 * ECRU_SECOND,
                        .body_bytes_max = 4096, .lock = PTHREAD_MUTEX_INITIALIZER};
static char directory[] = "/tmp/fuzz_httpd_XXXXXX";

// ---- the parser alone --------------------------------------------------------------------------------------------------

static void check_framing(const request *r, size_t bytes) {
  EXPECT(r->head_bytes >= 4 && r->head_bytes <= bytes);
  EXPECT(r->lengths + r->encodings <= 1 && r->hosts <= 1);
  EXPECT(r->chunked == (r->encodings == 1) && r->major == 1);
  EXPECT(r->target.bytes > 0 && r->target.bytes <= TARGET_BYTES_MAX);
}

// Parses data[0, bytes) as it comes in pieces.
static int parse_in_pieces(request *r, const char *data, size_t bytes, size_t piece) {
  head_scan scan = {0, 0};
  for (size_t have = 0; have < bytes;) {
    have = have + piece < bytes ? have + piece : bytes;
    int status = request_parse(r, &scan, data, have);
    if (status != 0) return status;
  }
  return 0;
}

struct decoded {
  int status;
  size_t used, bytes;
  uint32_t sum;
};

static struct decoded decode_in_pieces(const request *r, const char *data, size_t bytes, size_t piece) {
  struct decoded d = {0};
  body b;
  body_begin(&b, r);
  for (size_t have = 0; d.status >= 0 && !b.over;) {
    slice found;
    size_t used;
    d.status = body_next(&b, data + d.used, have - d.used, &found, &used);
    EXPECT(used <= have - d.used);
    d.used += used;
    for (size_t i = 0; d.status == 1 && i < found.bytes; i++) d.sum = d.sum * 31 + (unsigned char)found.at[i];
    if (d.status == 1) d.bytes += found.bytes;
    if (d.status != 0) continue;
    if (have == bytes) break;
    have = have + piece < bytes ? have + piece : bytes;
  }
  return d;
}

static void check_path(const request *r) {
  char path[PATH_BYTES];
  int length = request_path(r->target, path, sizeof path);
  if (length < 0) return;
  EXPECT(path[0] != '/' && strlen(path) == (size_t)length);
  EXPECT(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
  EXPECT(length < 3 || strcmp(path + length - 3, "/..") != 0);
}

static void check_parser(const char *data, size_t bytes, size_t piece) {
  request whole, pieces;
  int status = parse_in_pieces(&whole, data, bytes, SIZE_MAX / 2);
  int same = parse_in_pieces(&pieces, data, bytes, piece);
  EXPECT((status == 1) == (same == 1));
  if (status != 1) return;
  EXPECT(whole.head_bytes == pieces.head_bytes);
  check_framing(&whole, bytes);
  check_path(&whole);
  const char *rest = data + whole.head_bytes;
  struct decoded one = decode_in_pieces(&whole, rest, bytes - whole.head_bytes, SIZE_MAX / 2);
  struct decoded many = decode_in_pieces(&whole, rest, bytes - whole.head_bytes, piece);
  EXPECT((one.status < 0) == (many.status < 0));
  if (one.status >= 0) EXPECT(one.used == many.used && one.bytes == many.bytes && one.sum == many.sum);
}

// ---- a whole connection ------------------------------------------------------------------------------------------------

struct talk {
  ecru_io *server_end, *client_end;
  const char *data;
  size_t bytes, piece;
  ecru_waitgroup *done;
};

static void serve(void *talk_) {
  struct talk *t = talk_;
  ecru_address nobody = {0};
  connection_serve(&served, t->server_end, &nobody);
  EXPECT(ecru_waitgroup_done(t->done) == 0);
}

static void send_all(void *talk_) {
  struct talk *t = talk_;
  for (size_t sent = 0; sent < t->bytes; sent += t->piece) {
    size_t part = t->bytes - sent < t->piece ? t->bytes - sent : t->piece;
    if (ecru_io_write(t->client_end, t->data + sent, part, NULL) < 0) break; // it has had enough
    ecru_yield();
  }
  ecru_io_shutdown(t->client_end, ECRU_IO_WRITE);
  EXPECT(ecru_waitgroup_done(t->done) == 0);
}

static void check_connection(const char *data, size_t bytes, size_t piece) {
  static char answer[4096];
  struct talk t = {.data = data, .bytes = bytes, .piece = piece};
  EXPECT(ecru_io_pair(&t.server_end, &t.client_end) == 0 && ecru_waitgroup_create(&t.done) == 0);
  EXPECT(ecru_waitgroup_add(t.done, 2) == 0 && ecru_go(serve, &t) == 0 && ecru_go(send_all, &t) == 0);
  bool first = true;
  for (int64_t count; (count = ecru_io_read(t.client_end, answer, sizeof answer)) > 0; first = false)
    EXPECT(!first || (count >= 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0));
  EXPECT(ecru_waitgroup_wait(t.done) == 0);
  ecru_io_release(t.client_end);
  ecru_waitgroup_destroy(t.done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes < 1) return 0;
  static const size_t sizes[] = {1, 2, 3, 7, 64, 500, 1024, 1 << 20};
  size_t piece = sizes[data[0] & 7];
  // a copy of exactly this size: reading past its end is noticed
  char *copy = malloc(bytes - 1 > 0 ? bytes - 1 : 1);
  memcpy(copy, data + 1, bytes - 1);
  check_parser(copy, bytes - 1, piece);
  check_connection(copy, bytes - 1, piece < 64 && bytes > 2000 ? 64 : piece);
  free(copy);
  return 0;
}

// ---- files to serve ----------------------------------------------------------------------------------------------------

static const struct { const char *path; size_t bytes; } files[] = {{"index.html", 20}, {"a", 0}, {"b", 3000}, {"c", 40000}};

static void remove_files(void) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlinkat(served.root, files[i].path, 0);
  unlinkat(served.root, "d", AT_REMOVEDIR);
  rmdir(directory);
  files_forget();
  work_pool_empty();
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count, (void)arguments;
  static const char zeros[40000];
  EXPECT(mkdtemp(directory) && (served.root = open(directory, O_PATH | O_DIRECTORY)) >= 0 && mkdirat(served.root, "d", 0700) == 0);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    int file = openat(served.root, files[i].path, O_CREAT | O_WRONLY, 0600);
    EXPECT(file >= 0 && write(file, zeros, files[i].bytes) == (ssize_t)files[i].bytes && close(file) == 0);
  }
  atexit(remove_files);
  return 0;
}
