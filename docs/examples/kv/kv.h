// kv: a key-value server that speaks RESP2, the protocol of Redis, as a loop of accept, go, read and write.
//
//   main.c        options, accepting, draining            store.c     the keys: shards, expiry
//   connection.c  one connection from first to last       pubsub.c    who listens to which channel
//   resp.c        what a client may say, and answers      glob.c      patterns
//   commands.c    the commands
//
// A connection is one goroutine. While it waits it owns nothing but its handle and the first page of its stack, where it reads into a
// kilobyte. When something has come it takes a `work`, the big buffers, from a pool, executes all commands that are there, and sends the
// answers as one write: a pipeline costs one recv and one send. What is left of a command that has not arrived whole stays in the work.
//
// The keys lie in shards, each with a lock held for a look-up and a change of pointers: nothing parks or calls ecru under it, so a plain
// mutex will do. A command locks all the shards of its keys, in order, and so is atomic: also MSET and MGET.
#ifndef KV_H
#define KV_H
#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
  FIRST_BYTES = 1024,            // read on the stack while idle
  INPUT_BYTES = 16 * 1024,       // grows to hold one command
  OUTPUT_BYTES = 16 * 1024,      // sent when it is more than that after a command
  LINE_BYTES_MAX = 64 * 1024,    // an inline command, a count
  ARGUMENTS_KEPT = 64,           // room for arguments a work keeps in the pool
  INSERT_BYTES_MIN = 4 * 1024,   // a value so large is sent from where it is
};

typedef struct slice {
  const char *at;
  size_t bytes;
} slice;

// ---- glob.c ----
// Whether text matches the pattern: * ? [a-z] [^a] and \ for the next character itself.
bool glob_matches(slice pattern, slice text);

// ---- store.c ----
typedef struct value {
  atomic_uint references;
  size_t bytes;
  char data[];
} value;

typedef struct entry {           // lock of its shard
  UT_hash_handle hh;
  int64_t deadline_ns;           // ECRU_FOREVER: stays
  value *value;
  char key[];
} entry;

typedef struct key {
  slice text;
  uint64_t hash;
} key;

value *value_create(const char *data, size_t bytes); // NULL: no memory
value *value_retain(value *value);
void value_release(value *value); // NULL is ignored

void store_open(uint64_t seed);
key store_key(slice text);
// The bit of its shard, for store_lock. All that follows is done under the lock of the shards concerned.
uint64_t store_shard(key key);
#define STORE_ALL UINT64_MAX
void store_lock(uint64_t shards);
void store_unlock(uint64_t shards);
entry *store_find(key key); // NULL: there is none, or not any more
// Stores the value in place of what was there; takes the caller's reference. *old (may be NULL) receives that of what was there.
bool store_put(key key, entry *present, value *value, int64_t deadline_ns, struct value **old);
void store_remove(entry *entry);
void store_set_deadline(entry *entry, int64_t deadline_ns);
size_t store_count(void); // also what has expired but was not looked at
size_t store_count_expiring(void);
void store_walk(void (*visit)(void *context, const entry *entry), void *context);
// Some more keys; begins and ends with cursor 0. Takes the locks itself: `visit` must not.
uint64_t store_scan(uint64_t cursor, size_t about, void (*visit)(void *context, const entry *entry), void *context);
void store_clear(void); // takes the locks itself
void store_sweep(void); // takes the locks itself: removes what has expired, a part of the store at a time

// ---- resp.c ----
typedef struct argument {        // relative to the command's beginning: the input may move
  size_t at, bytes;
} argument;

typedef struct parser {
  size_t scanned;                // bytes of the command that are understood
  int64_t arguments;             // still to come; -1: not known yet
  int64_t bulk;                  // bytes of the next argument; -1: not known yet
} parser;

typedef struct insert {          // a large value among the output
  size_t at;
  value *value;
} insert;

typedef struct work {
  struct work *next;             // in the pool
  char *input;
  size_t room, begin, end;       // input[begin, end) is not used up
  bool more;                     // the last read filled its room: there may be more
  parser parser;                 // of the command at `begin`
  argument *list;                // the arguments of that command
  size_t count, list_room;
  char *output;
  size_t used, output_room;
  insert *inserts;
  size_t insert_count, insert_room;
  bool out_of_memory;            // an answer could not be kept: the connection ends
} work;

typedef struct limits {
  uint64_t bulk_bytes, command_bytes, arguments;
} limits;

work *work_create(void);
void work_destroy(work *work);
void work_shrink(work *work); // what a large command made it grow to
bool work_reserve(work *work); // room for more input
// Looks for a whole command. Returns 1: there is one, of `count` arguments (which may be 0: nothing to do); 0: more is needed; -1: nonsense,
// and the answer that says so is in the output.
int resp_parse(work *work, const limits *most);
void resp_next(work *work); // passes over the command
static inline slice resp_argument(const work *w, size_t index) {
  return (slice){w->input + w->begin + w->list[index].at, w->list[index].bytes};
}
void put(work *work, const char *data, size_t bytes);
void put_text(work *work, const char *text);
void put_count(work *work, char kind, int64_t number); // ":12\r\n", "*2\r\n"
void put_bulk(work *work, slice text);
void put_value(work *work, value *value);              // as a bulk; NULL: none. Under its lock
void put_nothing(work *work);
void put_error(work *work, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool parse_integer(slice text, int64_t *number);       // as Redis: no spaces, no leading zeros, no "+"

// ---- pubsub.c ----
typedef struct subscriber {
  ecru_chan *messages;           // message *
  ecru_io *io;                   // borrowed from its connection
  size_t count;                  // channels and patterns
  struct subscription *by_name[2]; // channels, patterns
} subscriber;

typedef struct message {
  atomic_uint references;
  size_t bytes;
  char data[];                   // as it is sent
} message;

int pubsub_open(void);
void pubsub_close(void);
// Returns 0; ECRU_ENOMEM. A second time is without effect.
int pubsub_subscribe(subscriber *s, slice topic, bool is_pattern);
void pubsub_unsubscribe(subscriber *s, slice topic, bool is_pattern);
// One of its channels or patterns into *topic, to be freed by the caller: so that all can be left. Returns whether there is one.
bool pubsub_any(subscriber *s, bool is_pattern, slice *topic);
void pubsub_leave(subscriber *s); // all
size_t pubsub_publish(slice topic, slice text); // to how many
size_t pubsub_count(bool patterns);
void message_release(message *message);
int subscriber_open(subscriber *s, ecru_io *io, size_t queue, bool drops);
void subscriber_close(subscriber *s);

// ---- connection.c ----
typedef struct server {
  limits limits;
  size_t queue;                  // messages a slow subscriber may be behind
  bool drops;
  size_t connections_max;
  int64_t grace_ns;
  ecru_token *accepting;         // fires when no more commands shall come
  ecru_token *serving;           // fires when even answers have to stop
  ecru_waitgroup *connections;
  atomic_size_t alive;
  atomic_ulong commands, accepted;
  int64_t began_ns;
} server;

typedef struct connection {
  server *server;
  ecru_io *io;
  work *work;                    // NULL while nothing has come
  subscriber *subscriber;        // NULL before the first SUBSCRIBE
  bool ending;                   // after the answers
  uint64_t commands;             // not yet added to the server's
} connection;

void connection_serve(server *s, ecru_io *io);
void connection_take_messages(connection *connection); // of a subscriber, to the output
void work_pool_empty(void);

// ---- commands.c ----
void commands_open(void);
void command_execute(connection *c); // the one its work has parsed
#endif
