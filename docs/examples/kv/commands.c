// The commands, one short function each, in a table at the end. What they answer, errors included, is what Redis 7.0 answers.
#include "kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char NOT_AN_INTEGER[] = "ERR value is not an integer or out of range";
static const char SYNTAX[] = "ERR syntax error";
static const char NO_MEMORY[] = "OOM command not allowed: out of memory";

static size_t count_of(const connection *c) { return c->work->count; }
static slice argument_of(const connection *c, size_t index) { return resp_argument(c->work, index); }
static void ok(connection *c) { put(c->work, "+OK\r\n", 5); }
static void answer_number(connection *c, int64_t number) { put_count(c->work, ':', number); }

static bool is_word(slice text, const char *word) { return strlen(word) == text.bytes && strncasecmp(text.at, word, text.bytes) == 0; }

// An argument as a number; if it is none that has been answered.
static bool integer_argument(connection *c, size_t index, int64_t *number) {
  if (parse_integer(argument_of(c, index), number)) return true;
  put_error(c->work, "%s", NOT_AN_INTEGER);
  return false;
}

// The shards of every step-th argument from the first on.
static uint64_t shards_of(const connection *c, size_t first, size_t step) {
  uint64_t set = 0;
  for (size_t i = first; i < count_of(c); i += step) set |= store_shard(store_key(argument_of(c, i)));
  return set;
}

// ---- time --------------------------------------------------------------------------------------------------------------

// The instant so many units from now (in the past: also a negative one) into *deadline_ns. Returns false, with an answer, if that is out of range.
static bool deadline_after(connection *c, int64_t count, int64_t unit_ns, const char *name, int64_t *deadline_ns) {
  int64_t now_ns = ecru_now(), most = (ECRU_FOREVER - 1 - now_ns) / unit_ns;
  if (count > most || count < -most) {
    put_error(c->work, "ERR invalid expire time in '%s' command", name);
    return false;
  }
  *deadline_ns = now_ns + count * unit_ns;
  return true;
}

static bool positive_deadline(connection *c, size_t index, int64_t unit_ns, const char *name, int64_t *deadline_ns) {
  int64_t count;
  if (!integer_argument(c, index, &count)) return false;
  if (count > 0) return deadline_after(c, count, unit_ns, name, deadline_ns);
  put_error(c->work, "ERR invalid expire time in '%s' command", name);
  return false;
}

// ---- values ------------------------------------------------------------------------------------------------------------

typedef struct setting {
  bool if_new, if_present, gives_old, keeps_deadline, has_deadline;
  int64_t deadline_ns;
} setting;

static bool set_option(connection *c, setting *s, size_t *index) {
  slice option = argument_of(c, *index);
  bool seconds = is_word(option, "EX"), has_time = seconds || is_word(option, "PX");
  if (is_word(option, "NX") && !s->if_present) return s->if_new = true;
  if (is_word(option, "XX") && !s->if_new) return s->if_present = true;
  if (is_word(option, "GET")) return s->gives_old = true;
  if (is_word(option, "KEEPTTL") && !s->has_deadline) return s->keeps_deadline = true;
  if (has_time && !s->has_deadline && !s->keeps_deadline && *index + 1 < count_of(c)) {
    s->has_deadline = true;
    return positive_deadline(c, ++*index, seconds ? ECRU_SECOND : ECRU_MILLISECOND, "set", &s->deadline_ns);
  }
  put_error(c->work, "%s", SYNTAX);
  return false;
}

// Stores under the key, as told, and answers.
static void set(connection *c, slice name, slice text, const setting *s) {
  key k = store_key(name);
  uint64_t shard = store_shard(k);
  value *v = value_create(text.at, text.bytes), *old = NULL;
  bool stored = false, allowed = false;
  store_lock(shard);
  entry *e = store_find(k);
  if (s->gives_old) put_value(c->work, e ? e->value : NULL);
  allowed = e ? !s->if_new : !s->if_present;
  if (allowed && v) stored = store_put(k, e, v, e && s->keeps_deadline ? e->deadline_ns : s->deadline_ns, &old);
  store_unlock(shard);
  value_release(stored ? old : v);
  if (s->gives_old) return;
  if (!allowed) put_nothing(c->work);
  else if (!stored) put_error(c->work, "%s", NO_MEMORY);
  else ok(c);
}

static void command_set(connection *c) {
  setting s = {.deadline_ns = ECRU_FOREVER};
  for (size_t i = 3; i < count_of(c); i++)
    if (!set_option(c, &s, &i)) return;
  set(c, argument_of(c, 1), argument_of(c, 2), &s);
}

static void set_until(connection *c, int64_t unit_ns, const char *name) {
  setting s = {0};
  if (positive_deadline(c, 2, unit_ns, name, &s.deadline_ns)) set(c, argument_of(c, 1), argument_of(c, 3), &s);
}
static void command_setex(connection *c) { set_until(c, ECRU_SECOND, "setex"); }
static void command_psetex(connection *c) { set_until(c, ECRU_MILLISECOND, "psetex"); }

static void command_getset(connection *c) {
  set(c, argument_of(c, 1), argument_of(c, 2), &(setting){.gives_old = true, .deadline_ns = ECRU_FOREVER});
}

// Stores pairs, all at one instant, if none of the keys is there or anyhow. Returns how many; -1: no memory.
static int64_t set_all(connection *c, bool if_new) {
  uint64_t shards = shards_of(c, 1, 2);
  int64_t stored = 0;
  store_lock(shards);
  for (size_t i = 1; if_new && i < count_of(c); i += 2)
    if (store_find(store_key(argument_of(c, i)))) if_new = false, stored = -2;
  for (size_t i = 1; stored >= 0 && i < count_of(c); i += 2) {
    key k = store_key(argument_of(c, i));
    slice text = argument_of(c, i + 1);
    value *v = value_create(text.at, text.bytes);
    bool kept = v && store_put(k, store_find(k), v, ECRU_FOREVER, NULL);
    if (!kept) value_release(v);
    stored = kept ? stored + 1 : -1;
  }
  store_unlock(shards);
  return stored == -2 ? 0 : stored;
}

static bool are_pairs(connection *c, const char *name) {
  if (count_of(c) % 2 == 1) return true;
  put_error(c->work, "ERR wrong number of arguments for '%s' command", name);
  return false;
}

static void command_mset(connection *c) {
  if (!are_pairs(c, "mset")) return;
  if (set_all(c, false) < 0) put_error(c->work, "%s", NO_MEMORY);
  else ok(c);
}

static void command_msetnx(connection *c) {
  if (!are_pairs(c, "msetnx")) return;
  int64_t stored = set_all(c, true);
  if (stored < 0) put_error(c->work, "%s", NO_MEMORY);
  else answer_number(c, stored > 0);
}

static void command_setnx(connection *c) {
  int64_t stored = set_all(c, true);
  if (stored < 0) put_error(c->work, "%s", NO_MEMORY);
  else answer_number(c, stored);
}

static void command_get(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  put_value(c->work, e ? e->value : NULL);
  store_unlock(shard);
}

static void command_getdel(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  put_value(c->work, e ? e->value : NULL);
  if (e) store_remove(e);
  store_unlock(shard);
}

static void command_mget(connection *c) {
  uint64_t shards = shards_of(c, 1, 1);
  put_count(c->work, '*', (int64_t)count_of(c) - 1);
  store_lock(shards);
  for (size_t i = 1; i < count_of(c); i++) {
    entry *e = store_find(store_key(argument_of(c, i)));
    put_value(c->work, e ? e->value : NULL);
  }
  store_unlock(shards);
}

static void command_strlen(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  size_t bytes = e ? e->value->bytes : 0;
  store_unlock(shard);
  answer_number(c, (int64_t)bytes);
}

// The value that is there with text behind it; NULL: no memory.
static value *value_append(const value *present, slice text) {
  size_t before = present ? present->bytes : 0;
  value *v = malloc(sizeof *v + before + text.bytes);
  if (!v) return NULL;
  atomic_init(&v->references, 1);
  v->bytes = before + text.bytes;
  if (before > 0) memcpy(v->data, present->data, before);
  memcpy(v->data + before, text.at, text.bytes);
  return v;
}

static void command_append(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  slice text = argument_of(c, 2);
  store_lock(shard);
  entry *e = store_find(k);
  bool too_long = e && e->value->bytes + text.bytes > c->server->limits.bulk_bytes;
  value *v = too_long ? NULL : value_append(e ? e->value : NULL, text);
  int64_t bytes = v ? (int64_t)v->bytes : 0;
  bool stored = v && store_put(k, e, v, e ? e->deadline_ns : ECRU_FOREVER, NULL);
  store_unlock(shard);
  if (stored) return answer_number(c, bytes);
  value_release(v);
  put_error(c->work, "%s", too_long ? "ERR string exceeds maximum allowed size (proto-max-bulk-len)" : NO_MEMORY);
}

// ---- counters ----------------------------------------------------------------------------------------------------------

static void add_to(connection *c, int64_t by) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  int64_t number = 0, sum = 0;
  const char *error = NULL;
  char text[24];
  store_lock(shard);
  entry *e = store_find(k);
  if (e && !parse_integer((slice){e->value->data, e->value->bytes}, &number)) error = NOT_AN_INTEGER;
  else if (__builtin_add_overflow(number, by, &sum)) error = "ERR increment or decrement would overflow";
  if (!error) {
    value *v = value_create(text, (size_t)snprintf(text, sizeof text, "%lld", (long long)sum));
    bool stored = v && store_put(k, e, v, e ? e->deadline_ns : ECRU_FOREVER, NULL);
    if (!stored) value_release(v), error = NO_MEMORY;
  }
  store_unlock(shard);
  if (error) put_error(c->work, "%s", error);
  else answer_number(c, sum);
}

static void command_incr(connection *c) { add_to(c, 1); }
static void command_decr(connection *c) { add_to(c, -1); }

static void command_incrby(connection *c) {
  int64_t by;
  if (integer_argument(c, 2, &by)) add_to(c, by);
}

static void command_decrby(connection *c) {
  int64_t by;
  if (!integer_argument(c, 2, &by)) return;
  if (by == INT64_MIN) put_error(c->work, "ERR decrement would overflow");
  else add_to(c, -by);
}

// ---- keys --------------------------------------------------------------------------------------------------------------

static int64_t count_keys(connection *c, bool remove) {
  uint64_t shards = shards_of(c, 1, 1);
  int64_t found = 0;
  store_lock(shards);
  for (size_t i = 1; i < count_of(c); i++) {
    entry *e = store_find(store_key(argument_of(c, i)));
    if (!e) continue;
    found++;
    if (remove) store_remove(e);
  }
  store_unlock(shards);
  return found;
}
static void command_del(connection *c) { answer_number(c, count_keys(c, true)); }
static void command_exists(connection *c) { answer_number(c, count_keys(c, false)); }

static void command_type(connection *c) { put_text(c->work, count_keys(c, false) > 0 ? "+string\r\n" : "+none\r\n"); }

static bool may_expire(const entry *e, slice option, int64_t deadline_ns) {
  if (!option.at) return true;
  if (is_word(option, "NX")) return e->deadline_ns == ECRU_FOREVER;
  if (is_word(option, "XX")) return e->deadline_ns != ECRU_FOREVER;
  if (is_word(option, "GT")) return deadline_ns > e->deadline_ns;
  return deadline_ns < e->deadline_ns;
}

static bool expire_option(connection *c, slice *option) {
  if (count_of(c) == 3) return true;
  *option = argument_of(c, 3);
  bool known = is_word(*option, "NX") || is_word(*option, "XX") || is_word(*option, "GT") || is_word(*option, "LT");
  if (!known) put_error(c->work, "ERR Unsupported option %.*s", (int)(option->bytes < 128 ? option->bytes : 128), option->at);
  return known;
}

static void expire(connection *c, int64_t unit_ns, const char *name) {
  int64_t count, deadline_ns;
  slice option = {0};
  if (!expire_option(c, &option) || !integer_argument(c, 2, &count) || !deadline_after(c, count, unit_ns, name, &deadline_ns)) return;
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  bool done = e && may_expire(e, option, deadline_ns);
  if (done && count > 0) store_set_deadline(e, deadline_ns);
  else if (done) store_remove(e);
  store_unlock(shard);
  answer_number(c, done);
}
static void command_expire(connection *c) { expire(c, ECRU_SECOND, "expire"); }
static void command_pexpire(connection *c) { expire(c, ECRU_MILLISECOND, "pexpire"); }

// Nanoseconds; -1: it stays, -2: there is no such key.
static int64_t time_left(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  int64_t deadline_ns = e ? e->deadline_ns : 0;
  store_unlock(shard);
  if (!e) return -2;
  if (deadline_ns == ECRU_FOREVER) return -1;
  int64_t left_ns = deadline_ns - ecru_now();
  return left_ns > 0 ? left_ns : 0;
}

static void command_ttl(connection *c) {
  int64_t left_ns = time_left(c);
  answer_number(c, left_ns < 0 ? left_ns : (left_ns + ECRU_SECOND / 2) / ECRU_SECOND);
}

static void command_pttl(connection *c) {
  int64_t left_ns = time_left(c);
  answer_number(c, left_ns < 0 ? left_ns : (left_ns + ECRU_MILLISECOND - 1) / ECRU_MILLISECOND);
}

static void command_persist(connection *c) {
  key k = store_key(argument_of(c, 1));
  uint64_t shard = store_shard(k);
  store_lock(shard);
  entry *e = store_find(k);
  bool done = e && e->deadline_ns != ECRU_FOREVER;
  if (done) store_set_deadline(e, ECRU_FOREVER);
  store_unlock(shard);
  answer_number(c, done);
}

// Keys go to the output as they are found; their number, which stands before them, is known later.
typedef struct listing {
  work *work;
  slice pattern;
  size_t count;
} listing;

static void list_key(void *listing_, const entry *e) {
  listing *l = listing_;
  slice name = {e->key, e->hh.keylen};
  if (!glob_matches(l->pattern, name)) return;
  put_bulk(l->work, name);
  l->count++;
}

// Turns what has been put since `from` around with what is put in front of it.
static void put_array_before(work *w, size_t from, size_t count) {
  char head[32];
  size_t bytes = (size_t)snprintf(head, sizeof head, "*%zu\r\n", count), keys = w->used - from;
  put(w, head, bytes); // for the room
  if (w->out_of_memory) return;
  memmove(w->output + from + bytes, w->output + from, keys);
  memcpy(w->output + from, head, bytes);
}

static void command_keys(connection *c) {
  listing l = {c->work, argument_of(c, 1), 0};
  size_t from = c->work->used;
  store_lock(STORE_ALL);
  store_walk(list_key, &l);
  store_unlock(STORE_ALL);
  put_array_before(c->work, from, l.count);
}

static bool parse_cursor(slice text, uint64_t *cursor) {
  *cursor = 0;
  if (text.bytes == 0 || text.bytes > 19) return false;
  for (size_t i = 0; i < text.bytes; i++) {
    if (text.at[i] < '0' || text.at[i] > '9') return false;
    *cursor = *cursor * 10 + (uint64_t)(text.at[i] - '0');
  }
  return true;
}

static bool scan_options(connection *c, slice *pattern, int64_t *about, bool *strings) {
  for (size_t i = 2; i < count_of(c); i += 2) {
    bool has_value = i + 1 < count_of(c);
    if (has_value && is_word(argument_of(c, i), "MATCH")) *pattern = argument_of(c, i + 1);
    else if (has_value && is_word(argument_of(c, i), "TYPE")) *strings = is_word(argument_of(c, i + 1), "string");
    else if (!has_value || !is_word(argument_of(c, i), "COUNT")) return put_error(c->work, "%s", SYNTAX), false;
    else if (!integer_argument(c, i + 1, about)) return false;
    if (*about < 1) return put_error(c->work, "%s", SYNTAX), false;
  }
  return true;
}

static void command_scan(connection *c) {
  listing l = {c->work, {"*", 1}, 0};
  uint64_t cursor;
  int64_t about = 10;
  bool strings = true;
  if (!parse_cursor(argument_of(c, 1), &cursor)) return put_error(c->work, "ERR invalid cursor");
  if (!scan_options(c, &l.pattern, &about, &strings)) return;
  char text[24];
  size_t from = c->work->used;
  cursor = strings ? store_scan(cursor, (size_t)about, list_key, &l) : 0; // there are no others
  put_array_before(c->work, from, l.count);
  char head[64];
  size_t digits = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
  size_t bytes = (size_t)snprintf(head, sizeof head, "*2\r\n$%zu\r\n%s\r\n", digits, text), rest = c->work->used - from;
  put(c->work, head, bytes);
  if (c->work->out_of_memory) return;
  memmove(c->work->output + from + bytes, c->work->output + from, rest);
  memcpy(c->work->output + from, head, bytes);
}

static void command_dbsize(connection *c) {
  store_lock(STORE_ALL);
  size_t count = store_count();
  store_unlock(STORE_ALL);
  answer_number(c, (int64_t)count);
}

static void command_flush(connection *c) {
  bool known = count_of(c) == 1 || is_word(argument_of(c, 1), "SYNC") || is_word(argument_of(c, 1), "ASYNC");
  if (count_of(c) > 2 || !known) return put_error(c->work, "%s", SYNTAX);
  store_clear();
  ok(c);
}

// ---- channels ----------------------------------------------------------------------------------------------------------

static bool is_subscribed(const connection *c) { return c->subscriber && c->subscriber->count > 0; }

static bool ensure_subscriber(connection *c) {
  if (c->subscriber) return true;
  subscriber *s = malloc(sizeof *s);
  if (s && subscriber_open(s, c->io, c->server->queue, c->server->drops) == 0) {
    c->subscriber = s;
    return true;
  }
  free(s);
  put_error(c->work, "%s", NO_MEMORY);
  return false;
}

static void confirm(connection *c, const char *what, const slice *topic) {
  put_count(c->work, '*', 3);
  put_bulk(c->work, (slice){what, strlen(what)});
  if (topic) put_bulk(c->work, *topic);
  else put_nothing(c->work);
  answer_number(c, c->subscriber ? (int64_t)c->subscriber->count : 0);
}

static void subscribe(connection *c, bool is_pattern) {
  if (!ensure_subscriber(c)) return;
  for (size_t i = 1; i < count_of(c); i++) {
    slice topic = argument_of(c, i);
    if (pubsub_subscribe(c->subscriber, topic, is_pattern) == 0) confirm(c, is_pattern ? "psubscribe" : "subscribe", &topic);
    else put_error(c->work, "%s", NO_MEMORY);
  }
}

static void unsubscribe_one(connection *c, slice topic, bool is_pattern) {
  if (c->subscriber) {
    pubsub_unsubscribe(c->subscriber, topic, is_pattern);
    connection_take_messages(c); // those that came before: the client expects none afterwards
  }
  confirm(c, is_pattern ? "punsubscribe" : "unsubscribe", &topic);
}

static void unsubscribe(connection *c, bool is_pattern) {
  slice topic;
  bool any = false;
  for (size_t i = 1; i < count_of(c); i++) unsubscribe_one(c, argument_of(c, i), is_pattern);
  if (count_of(c) > 1) return;
  while (c->subscriber && pubsub_any(c->subscriber, is_pattern, &topic)) {
    any = true;
    unsubscribe_one(c, topic, is_pattern);
    free((void *)(uintptr_t)topic.at);
  }
  if (!any) confirm(c, is_pattern ? "punsubscribe" : "unsubscribe", NULL);
}
static void command_subscribe(connection *c) { subscribe(c, false); }
static void command_psubscribe(connection *c) { subscribe(c, true); }
static void command_unsubscribe(connection *c) { unsubscribe(c, false); }
static void command_punsubscribe(connection *c) { unsubscribe(c, true); }

static void command_publish(connection *c) { answer_number(c, (int64_t)pubsub_publish(argument_of(c, 1), argument_of(c, 2))); }

// ---- the connection and the server -------------------------------------------------------------------------------------

static void command_ping(connection *c) {
  if (count_of(c) > 2) return put_error(c->work, "ERR wrong number of arguments for 'ping' command");
  if (is_subscribed(c)) {
    put(c->work, "*2\r\n$4\r\npong\r\n", 14);
    put_bulk(c->work, count_of(c) == 2 ? argument_of(c, 1) : (slice){"", 0});
  } else if (count_of(c) == 2) {
    put_bulk(c->work, argument_of(c, 1));
  } else {
    put(c->work, "+PONG\r\n", 7);
  }
}

static void command_echo(connection *c) { put_bulk(c->work, argument_of(c, 1)); }

static void command_quit(connection *c) {
  ok(c);
  c->ending = true;
}

static void command_select(connection *c) {
  int64_t number;
  if (!integer_argument(c, 1, &number)) return;
  if (number == 0) ok(c);
  else put_error(c->work, "ERR DB index is out of range");
}

static void put_setting(work *w, slice pattern, size_t *count, const char *name, const char *is) {
  if (!glob_matches(pattern, (slice){name, strlen(name)})) return;
  put_bulk(w, (slice){name, strlen(name)});
  put_bulk(w, (slice){is, strlen(is)});
  *count += 2;
}

static void command_config(connection *c) {
  if (!is_word(argument_of(c, 1), "GET") || count_of(c) != 3)
    return put_error(c->work, "ERR unknown subcommand or wrong number of arguments: only CONFIG GET pattern");
  size_t from = c->work->used, count = 0;
  char number[24];
  slice pattern = argument_of(c, 2);
  put_setting(c->work, pattern, &count, "save", "");
  put_setting(c->work, pattern, &count, "appendonly", "no");
  snprintf(number, sizeof number, "%llu", (unsigned long long)c->server->limits.bulk_bytes);
  put_setting(c->work, pattern, &count, "proto-max-bulk-len", number);
  snprintf(number, sizeof number, "%zu", c->server->connections_max);
  put_setting(c->work, pattern, &count, "maxclients", number);
  put_array_before(c->work, from, count);
}

static void command_info(connection *c) {
  const server *s = c->server;
  char text[1024];
  store_lock(STORE_ALL);
  size_t keys = store_count(), expiring = store_count_expiring();
  store_unlock(STORE_ALL);
  int bytes = snprintf(text, sizeof text,
                       "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\necru_version:%s\r\nuptime_in_seconds:%lld\r\n\r\n"
                       "# Clients\r\nconnected_clients:%zu\r\nmaxclients:%zu\r\n\r\n"
                       "# Stats\r\ntotal_connections_received:%lu\r\ntotal_commands_processed:%lu\r\npubsub_channels:%zu\r\npubsub_patterns:%zu\r\n\r\n"
                       "# Keyspace\r\ndb0:keys=%zu,expires=%zu,avg_ttl=0\r\n",
                       ecru_version(), (long long)((ecru_now() - s->began_ns) / ECRU_SECOND), atomic_load(&s->alive), s->connections_max,
                       atomic_load(&s->accepted), atomic_load(&s->commands) + (unsigned long)c->commands, pubsub_count(false), pubsub_count(true), keys, expiring);
  put_bulk(c->work, (slice){text, (size_t)bytes});
}

static void command_command(connection *c);

// ---- the table ---------------------------------------------------------------------------------------------------------

static const struct command {
  char name[16];                 // padded with zeros: compared as two words
  int arguments;                 // with the name; negative: at least so many
  void (*execute)(connection *connection);
  bool while_subscribed;
} commands[] = {
  {"append", 3, command_append, false},       {"command", -1, command_command, false}, {"config", -2, command_config, false},
  {"dbsize", 1, command_dbsize, false},       {"decr", 2, command_decr, false},        {"decrby", 3, command_decrby, false},
  {"del", -2, command_del, false},            {"echo", 2, command_echo, false},        {"exists", -2, command_exists, false},
  {"expire", -3, command_expire, false},      {"flushall", -1, command_flush, false},  {"flushdb", -1, command_flush, false},
  {"get", 2, command_get, false},             {"getdel", 2, command_getdel, false},    {"getset", 3, command_getset, false},
  {"incr", 2, command_incr, false},           {"incrby", 3, command_incrby, false},    {"info", -1, command_info, false},
  {"keys", 2, command_keys, false},           {"mget", -2, command_mget, false},       {"mset", -3, command_mset, false},
  {"msetnx", -3, command_msetnx, false},      {"persist", 2, command_persist, false},  {"pexpire", -3, command_pexpire, false},
  {"ping", -1, command_ping, true},           {"psetex", 4, command_psetex, false},    {"psubscribe", -2, command_psubscribe, true},
  {"pttl", 2, command_pttl, false},           {"publish", 3, command_publish, false},  {"punsubscribe", -1, command_punsubscribe, true},
  {"quit", -1, command_quit, true},           {"scan", -2, command_scan, false},       {"select", 2, command_select, false},
  {"set", -3, command_set, false},            {"setex", 4, command_setex, false},      {"setnx", 3, command_setnx, false},
  {"strlen", 2, command_strlen, false},       {"subscribe", -2, command_subscribe, true}, {"touch", -2, command_exists, false},
  {"ttl", 2, command_ttl, false},             {"type", 2, command_type, false},        {"unlink", -2, command_del, false},
  {"unsubscribe", -1, command_unsubscribe, true},
};
enum { COMMANDS = sizeof commands / sizeof *commands, PLACES = 256 };
static unsigned char places[PLACES]; // index + 1 of the command whose name hashes there, or later

typedef struct name_words { uint64_t word[2]; } name_words;

static unsigned place_of(name_words n) { return (unsigned)((n.word[0] * UINT64_C(0x9e3779b97f4a7c15) ^ n.word[1]) >> 56); }

void commands_open(void) {
  memset(places, 0, sizeof places);
  for (unsigned i = 0; i < COMMANDS; i++) {
    name_words n;
    memcpy(&n, commands[i].name, sizeof n);
    unsigned at = place_of(n);
    while (places[at]) at = (at + 1) % PLACES;
    places[at] = (unsigned char)(i + 1);
  }
}

static const struct command *find(slice name) {
  union { char text[16]; name_words n; } lower = {{0}};
  if (name.bytes >= sizeof lower.text) return NULL;
  for (size_t i = 0; i < name.bytes; i++) {
    char c = name.at[i];
    if (c == '\0') return NULL;
    lower.text[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
  }
  for (unsigned at = place_of(lower.n); places[at]; at = (at + 1) % PLACES)
    if (memcmp(commands[places[at] - 1].name, lower.text, sizeof lower.text) == 0) return &commands[places[at] - 1];
  return NULL;
}

static void command_command(connection *c) {
  if (count_of(c) == 2 && is_word(argument_of(c, 1), "COUNT")) answer_number(c, COMMANDS);
  else put_count(c->work, '*', 0); // clients that ask do without
}

static void answer_unknown(connection *c) {
  char beginnings[160];
  int used = 0;
  beginnings[0] = '\0';
  for (size_t i = 1; i < count_of(c) && used < 128; i++) {
    slice text = argument_of(c, i);
    int room = 128 - used;
    used += snprintf(beginnings + used, sizeof beginnings - (size_t)used, "'%.*s' ", (int)text.bytes < room ? (int)text.bytes : room, text.at);
  }
  slice name = argument_of(c, 0);
  put_error(c->work, "ERR unknown command '%.*s', with args beginning with: %s", (int)(name.bytes < 128 ? name.bytes : 128), name.at, beginnings);
}

void command_execute(connection *c) {
  if (count_of(c) == 0) return;
  c->commands++;
  const struct command *command = find(argument_of(c, 0));
  if (!command) return answer_unknown(c);
  int count = count_of(c) > INT32_MAX ? INT32_MAX : (int)count_of(c);
  if (command->arguments >= 0 ? count != command->arguments : count < -command->arguments)
    return put_error(c->work, "ERR wrong number of arguments for '%s' command", command->name);
  if (is_subscribed(c) && !command->while_subscribed)
    return put_error(c->work, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                     command->name);
  command->execute(c);
}
