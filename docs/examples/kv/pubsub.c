// Who listens to what. One lock over all: publishing walks the listeners of a channel under it and puts the message, encoded once, into the queue
// of each. Nobody waits for a listener: when its queue is full, messages are dropped or it is disconnected.
#include "kv.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct topic {           // lock
  UT_hash_handle hh;
  struct subscription *first;
  char name[];
} topic;

typedef struct subscription {    // lock
  UT_hash_handle hh;             // among its subscriber's, by the topic's name
  topic *topic;
  subscriber *subscriber;
  struct subscription *next, **link; // of the topic
} subscription;

static ecru_mutex *lock;
static topic *topics[2];         // lock: channels, patterns
static size_t topic_count[2];    // lock

int pubsub_open(void) { return ecru_mutex_create(&lock); }

void pubsub_close(void) {
  ecru_mutex_destroy(lock);
  lock = NULL;
}

// Also when the connection has been told to go: what it listens to must be cleaned up.
static void take_lock(void) {
  while (ecru_mutex_lock(lock) != 0) {
    if (ecru_shield_enter(ECRU_FOREVER) != 0) continue; // no memory: until there is
    int status = ecru_mutex_lock(lock);
    ecru_token_leave();
    if (status == 0) return;
  }
}

// ---- subscribing -------------------------------------------------------------------------------------------------------

static topic *topic_of(key k, bool is_pattern) {
  topic *t;
  HASH_FIND_BYHASHVALUE(hh, topics[is_pattern], k.text.at, k.text.bytes, (unsigned)k.hash, t);
  return t;
}

static topic *add_topic(key k, bool is_pattern) {
  topic *t = calloc(1, sizeof *t + k.text.bytes);
  if (!t) return NULL;
  memcpy(t->name, k.text.at, k.text.bytes);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, topics[is_pattern], t->name, k.text.bytes, (unsigned)k.hash, t);
  if (!t->hh.tbl) {
    free(t);
    return NULL;
  }
  topic_count[is_pattern]++;
  return t;
}

static void remove_topic_if_unused(topic *t, bool is_pattern) {
  if (t->first) return;
  HASH_DELETE(hh, topics[is_pattern], t);
  topic_count[is_pattern]--;
  free(t);
}

static subscription *subscription_of(subscriber *s, key k, bool is_pattern) {
  subscription *found;
  HASH_FIND_BYHASHVALUE(hh, s->by_name[is_pattern], k.text.at, k.text.bytes, (unsigned)k.hash, found);
  return found;
}

static int subscribe(subscriber *s, key k, bool is_pattern) {
  topic *t = topic_of(k, is_pattern);
  if (!t && !(t = add_topic(k, is_pattern))) return ECRU_ENOMEM;
  subscription *made = calloc(1, sizeof *made);
  if (made) HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->by_name[is_pattern], t->name, k.text.bytes, (unsigned)k.hash, made);
  if (!made || !made->hh.tbl) {
    free(made);
    remove_topic_if_unused(t, is_pattern);
    return ECRU_ENOMEM;
  }
  made->topic = t;
  made->subscriber = s;
  made->next = t->first;
  made->link = &t->first;
  if (made->next) made->next->link = &made->next;
  t->first = made;
  s->count++;
  return 0;
}

static void unsubscribe(subscription *gone, bool is_pattern) {
  subscriber *s = gone->subscriber;
  topic *t = gone->topic;
  HASH_DELETE(hh, s->by_name[is_pattern], gone);
  *gone->link = gone->next;
  if (gone->next) gone->next->link = gone->link;
  s->count--;
  free(gone);
  remove_topic_if_unused(t, is_pattern);
}

int pubsub_subscribe(subscriber *s, slice name, bool is_pattern) {
  key k = store_key(name);
  take_lock();
  int status = subscription_of(s, k, is_pattern) ? 0 : subscribe(s, k, is_pattern);
  ecru_mutex_unlock(lock);
  return status;
}

void pubsub_unsubscribe(subscriber *s, slice name, bool is_pattern) {
  take_lock();
  subscription *gone = subscription_of(s, store_key(name), is_pattern);
  if (gone) unsubscribe(gone, is_pattern);
  ecru_mutex_unlock(lock);
}

bool pubsub_any(subscriber *s, bool is_pattern, slice *name) {
  subscription *any = s->by_name[is_pattern]; // only its own connection changes what a subscriber has
  if (!any) return false;
  char *copy = malloc(any->hh.keylen + 1);
  if (!copy) return false;
  memcpy(copy, any->hh.key, any->hh.keylen);
  *name = (slice){copy, any->hh.keylen};
  return true;
}

void pubsub_leave(subscriber *s) {
  take_lock();
  for (int is_pattern = 0; is_pattern < 2; is_pattern++)
    while (s->by_name[is_pattern]) unsubscribe(s->by_name[is_pattern], is_pattern);
  ecru_mutex_unlock(lock);
}

size_t pubsub_count(bool patterns) {
  take_lock();
  size_t count = topic_count[patterns];
  ecru_mutex_unlock(lock);
  return count;
}

// ---- messages ----------------------------------------------------------------------------------------------------------

void message_release(message *m) {
  // acq_rel: all that was done with it happens before it goes
  if (atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1) free(m);
}

// Without pattern it is a "message", else a "pmessage". The caller holds one reference; NULL: no memory.
static message *message_create(const slice *pattern, slice name, slice text) {
  const slice parts[] = {pattern ? *pattern : (slice){NULL, 0}, name, text};
  message *m = malloc(sizeof *m + 128 + parts[0].bytes + name.bytes + text.bytes);
  if (!m) return NULL;
  atomic_init(&m->references, 1);
  char *to = m->data + sprintf(m->data, pattern ? "*4\r\n$8\r\npmessage\r\n" : "*3\r\n$7\r\nmessage\r\n");
  for (int i = pattern ? 0 : 1; i < 3; i++) {
    to += sprintf(to, "$%zu\r\n", parts[i].bytes);
    if (parts[i].bytes > 0) memcpy(to, parts[i].at, parts[i].bytes);
    to += parts[i].bytes;
    *to++ = '\r';
    *to++ = '\n';
  }
  m->bytes = (size_t)(to - m->data);
  return m;
}

static void give(subscriber *s, message *m) {
  atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed); // relaxed: the caller's own keeps it alive
  int status = ecru_chan_try_send(s->messages, &m);
  if (status == 0) return;
  message_release(m);
  ecru_io_shutdown(s->io, ECRU_IO_READ | ECRU_IO_WRITE); // too slow: its connection notices and ends
}

static size_t give_all(topic *t, const slice *pattern, slice name, slice text) {
  size_t count = 0;
  message *m = message_create(pattern, name, text);
  if (!m) return 0;
  for (subscription *s = t->first; s; s = s->next, count++) give(s->subscriber, m);
  message_release(m);
  return count;
}

size_t pubsub_publish(slice name, slice text) {
  size_t count = 0;
  take_lock();
  topic *t = topic_of(store_key(name), false);
  if (t) count = give_all(t, NULL, name, text);
  for (t = topics[true]; t; t = t->hh.next) {
    slice pattern = {t->name, t->hh.keylen};
    if (glob_matches(pattern, name)) count += give_all(t, &pattern, name, text);
  }
  ecru_mutex_unlock(lock);
  return count;
}

static void drop(void *unused, void *element) {
  (void)unused;
  message_release(*(message **)element);
}

int subscriber_open(subscriber *s, ecru_io *io, size_t queue, bool drops) {
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.full = drops ? ECRU_FULL_DROP_OLDEST : ECRU_FULL_FAIL;
  options.dropped = drop;
  *s = (subscriber){.io = io};
  return ecru_chan_create_with(&s->messages, sizeof(message *), queue, &options);
}

void subscriber_close(subscriber *s) {
  pubsub_leave(s);
  ecru_chan_release(s->messages); // drops what is in it
}
