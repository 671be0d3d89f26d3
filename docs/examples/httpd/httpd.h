// httpd: an HTTP/1.1 server as a loop of accept, go, read and write.
//
//   main.c        options, accepting, draining          request.c   what a client may say: heads, bodies, chunks
//   connection.c  one connection from first to last     files.c     what lies under the root, ranges, conditions
//   respond.c     heads, pages, dates                   log.c       the access log, a goroutine behind a channel
//
// A connection is one goroutine. While it waits for a request it owns nothing but its handle and the first page of its stack: it reads
// into a kilobyte there. Only when something has come does it take a `work`, the big buffers, from a pool, and gives it back when it
// has answered all there was. So idle connections are small and a request allocates nothing.
#ifndef HTTPD_H
#define HTTPD_H
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum {
  HEAD_BYTES_MAX = 16 * 1024,    // a longer head: 431
  TARGET_BYTES_MAX = 8 * 1024,   // a longer request line: 414
  HEADERS_MAX = 100,             // more: 431
  BODY_ROOM = 4 * 1024,          // input besides a head of full length, so that bodies can flow through behind it
  INPUT_BYTES = HEAD_BYTES_MAX + BODY_ROOM,
  OUTPUT_BYTES = 16 * 1024,      // answers to pipelined requests gather here
  HEAD_ROOM = 1024,              // what an answer's head needs at most, but for a Location
  FIRST_BYTES = 1024,            // read on the stack while idle
  PATH_BYTES = 2048,             // a longer path: 414
};

typedef struct slice {
  const char *at;
  size_t bytes;
} slice;

// A head as it was understood. Slices point into the input.
typedef struct request {
  size_t head_bytes;
  unsigned method;               // enum http_method
  unsigned major, minor;
  slice line, target, host, range, if_range, if_modified_since, if_none_match, expect, content_type, content_length, transfer_encoding;
  unsigned hosts, lengths, encodings; // how many of these headers
  uint64_t length;               // of the body, unless it is chunked
  bool chunked, keep_alive, expects_continue;
} request;

// Which lines of a head have been looked at.
typedef struct head_scan {
  size_t at;
  unsigned lines;
} head_scan;

// A body being read.
typedef struct body {
  uint64_t left;                 // of the body, or of this chunk
  uint64_t taken;                // given to the handler so far
  bool chunked, between, over;   // between: the next is a chunk's size
  bool invited;                  // 100 Continue has been sent, or need not be
  int64_t began_ns;
} body;

// What a connection needs while it answers.
typedef struct work {
  struct work *next;             // in the pool
  size_t begin, end;             // input[begin, end) is not used up
  size_t floor;                  // input before it is still needed
  size_t used;                   // of output
  bool more;                     // the last read filled its buffer: there may be more
  head_scan scan;
  request request;
  body body;
  int64_t began_ns;              // the request, if it is logged
  time_t date_s;                 // what `date` says
  char date[32];
  char path[PATH_BYTES];
  char input[INPUT_BYTES], output[OUTPUT_BYTES];
} work;

typedef struct server {
  const char *root_path, *log_path;
  bool hello;                    // answers everything with "hello"
  int root;                      // descriptor
  int64_t idle_ns, head_ns, body_ns, write_ns, grace_ns;
  uint64_t body_bytes_max;
  ecru_chan *log;                // NULL: no log
  ecru_task *logger;
  atomic_ulong unlogged;
  ecru_token *accepting;         // fires when no more connections shall come
  ecru_token *serving;           // fires when even those that are answered have to go
  ecru_waitgroup *connections;
  atomic_bool draining;
  pthread_mutex_t lock;          // of the list below; held for a few instructions, so a plain one will do
  struct connection *first;
} server;

typedef struct connection {
  server *server;
  ecru_io *io;
  ecru_address peer;
  struct connection *next, **link; // server->lock
  atomic_bool idle;              // it waits for a request: may be sent away at any time
  int64_t read_deadline_ns, write_deadline_ns;
  uint64_t requests;
  work *work;                    // NULL while idle
  bool broken;                   // nothing more can be written
  int status;                    // for the log: of the answer just given, and its body's bytes
  uint64_t sent;
} connection;

// ---- request.c ----
// Looks at a head that may not be complete. Returns 1: it is, and *request is filled; 0: more is needed; or a negative HTTP status.
int request_parse(request *r, head_scan *scan, const char *data, size_t bytes);
// The body that follows.
void body_begin(body *body, const request *request);
// Finds the next piece of it in data[0, bytes): *piece, and in *used how much was used up in front of and with it. Returns 1: a
// piece; 0: more input is needed, or with body->over the end; or a negative HTTP status.
int body_next(body *body, const char *data, size_t bytes, slice *piece, size_t *used);
// The path of a target without its query, decoded, as "a/b" relative to the root. Returns its length or a negative HTTP status.
int request_path(slice target, char *path, size_t room);

// ---- connection.c ----
void connection_serve(server *s, ecru_io *io, const ecru_address *peer);
// Sends the output gathered so far. Returns whether that worked.
bool connection_flush(connection *c);
// Reads the whole body; more than most: -413. Returns its bytes or a negative HTTP status, 0 < -status < 100 if the connection is gone.
int64_t connection_read_body(connection *c, char **data, uint64_t most);
// Whether what is left of the body can be read away to get at the next request.
bool connection_can_skip_body(const connection *c);
// Moves the deadline if the present one is not between at_least and a quarter more from now on.
bool connection_extend(connection *c, unsigned direction, int64_t at_least_ns);
// Sends all who wait for a request away.
void connections_drain(server *server);
void work_pool_empty(void);
enum { CONNECTION_LOST = -1 };

// ---- respond.c ----
void put(work *work, const char *data, size_t bytes);
void put_text(work *work, const char *text);
void put_number(work *work, uint64_t number);
// An answer's status line and the headers all have; what follows adds its own, then calls respond_end_head.
bool respond_begin(connection *c, int status);
void respond_length(connection *c, const char *type, uint64_t bytes);
void respond_end_head(connection *c);
// A page that says what went wrong. `header`, a line of its own with CRLF, may be NULL.
bool respond_page(connection *c, int status, const char *header);
bool respond_data(connection *c, slice type, const char *data, size_t bytes);
bool respond_continue(connection *c);
void http_date(char text[32], time_t when); // "Sun, 06 Nov 1994 08:49:37 GMT"

// ---- files.c ----
bool files_respond(connection *c);
void files_forget(void);

// ---- log.c ----
int log_start(server *server);
void log_request(connection *c);
void log_stop(server *server);
#endif
