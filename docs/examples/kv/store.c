// The keys. Tables are uthash's, the hash is XXH3's with a random seed, so that nobody can choose keys that collide. The top bits choose the
// shard, the low ones the bucket. Growing a table stops only its shard, for a sixty-fourth of the keys.
#include "kv.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SHARDS = 64, SHARD_SHIFT = 58, SWEPT_AT_ONCE = 64 /* buckets */ };

static struct shard {
  _Alignas(64) pthread_mutex_t lock;
  entry *entries;                // lock
  size_t expiring;               // lock: entries with a deadline
  unsigned swept;                // lock: the bucket to sweep next
} shards[SHARDS];
static uint64_t hash_seed;

// ---- values ------------------------------------------------------------------------------------------------------------

value *value_create(const char *data, size_t bytes) {
  value *v = malloc(sizeof *v + bytes);
  if (!v) return NULL;
  atomic_init(&v->references, 1);
  v->bytes = bytes;
  memcpy(v->data, data, bytes);
  return v;
}

value *value_retain(value *v) {
  atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed); // relaxed: the lock or the caller's own keeps it alive
  return v;
}

void value_release(value *v) {
  if (!v) return;
  // acquire: pairs with the release below: alone, the others' use happened before. (Most values never had a second reference.)
  if (atomic_load_explicit(&v->references, memory_order_acquire) == 1 ||
      atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) == 1)
    free(v);
}

// ---- shards ------------------------------------------------------------------------------------------------------------

void store_open(uint64_t seed) {
  hash_seed = seed;
  for (unsigned i = 0; i < SHARDS; i++) pthread_mutex_init(&shards[i].lock, NULL);
}

key store_key(slice text) { return (key){text, XXH3_64bits_withSeed(text.at, text.bytes, hash_seed)}; }

static struct shard *shard_of(uint64_t hash) { return &shards[hash >> SHARD_SHIFT]; }

uint64_t store_shard(key k) { return UINT64_C(1) << (k.hash >> SHARD_SHIFT); }

void store_lock(uint64_t set) {
  for (; set; set &= set - 1) pthread_mutex_lock(&shards[__builtin_ctzll(set)].lock);
}

void store_unlock(uint64_t set) {
  for (; set; set &= set - 1) pthread_mutex_unlock(&shards[__builtin_ctzll(set)].lock);
}

static struct shard *shard_of_entry(const entry *e) { return shard_of(XXH3_64bits_withSeed(e->key, e->hh.keylen, hash_seed)); }

static void remove_from(struct shard *s, entry *e) {
  if (e->deadline_ns != ECRU_FOREVER) s->expiring--;
  HASH_DELETE(hh, s->entries, e);
  value_release(e->value);
  free(e);
}

static bool is_over(const entry *e, int64_t now_ns) { return e->deadline_ns <= now_ns; }

entry *store_find(key k) {
  struct shard *s = shard_of(k.hash);
  entry *e;
  HASH_FIND_BYHASHVALUE(hh, s->entries, k.text.at, k.text.bytes, (unsigned)k.hash, e);
  if (!e || e->deadline_ns == ECRU_FOREVER || !is_over(e, ecru_now())) return e;
  remove_from(s, e);
  return NULL;
}

static bool add(struct shard *s, key k, value *v, int64_t deadline_ns) {
  entry *e = malloc(sizeof *e + k.text.bytes);
  if (!e) return false;
  memcpy(e->key, k.text.at, k.text.bytes);
  e->value = v;
  e->deadline_ns = deadline_ns;
  e->hh.tbl = NULL;
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->entries, e->key, k.text.bytes, (unsigned)k.hash, e);
  if (!e->hh.tbl) { // no memory for the table
    free(e);
    return false;
  }
  if (deadline_ns != ECRU_FOREVER) s->expiring++;
  return true;
}

bool store_put(key k, entry *present, value *v, int64_t deadline_ns, value **old) {
  if (old) *old = NULL;
  if (!present) return add(shard_of(k.hash), k, v, deadline_ns);
  if (old) *old = present->value;
  else value_release(present->value);
  present->value = v;
  if (deadline_ns != present->deadline_ns) store_set_deadline(present, deadline_ns);
  return true;
}

void store_remove(entry *e) { remove_from(shard_of_entry(e), e); }

void store_set_deadline(entry *e, int64_t deadline_ns) {
  struct shard *s = shard_of_entry(e);
  if (e->deadline_ns != ECRU_FOREVER) s->expiring--;
  if (deadline_ns != ECRU_FOREVER) s->expiring++;
  e->deadline_ns = deadline_ns;
}

size_t store_count(void) {
  size_t count = 0;
  for (unsigned i = 0; i < SHARDS; i++) count += HASH_COUNT(shards[i].entries);
  return count;
}

size_t store_count_expiring(void) {
  size_t count = 0;
  for (unsigned i = 0; i < SHARDS; i++) count += shards[i].expiring;
  return count;
}

// ---- all keys ----------------------------------------------------------------------------------------------------------

void store_walk(void (*visit)(void *context, const entry *entry), void *context) {
  int64_t now_ns = ecru_now();
  for (unsigned i = 0; i < SHARDS; i++)
    for (entry *e = shards[i].entries; e; e = e->hh.next)
      if (!is_over(e, now_ns)) visit(context, e);
}

static entry *entry_of(const struct shard *s, UT_hash_handle *handle) { return ELMT_FROM_HH(s->entries->hh.tbl, handle); }

static size_t visit_bucket(struct shard *s, unsigned bucket, void (*visit)(void *context, const entry *entry), void *context) {
  int64_t now_ns = ecru_now();
  size_t count = 1; // an empty bucket is work, too
  for (UT_hash_handle *h = s->entries->hh.tbl->buckets[bucket].hh_head; h; h = h->hh_next, count++)
    if (!is_over(entry_of(s, h), now_ns)) visit(context, entry_of(s, h));
  return count;
}

static uint32_t reversed(uint32_t bits) {
  bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
  bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
  bits = (bits >> 4 & 0x0f0f0f0f) | (bits & 0x0f0f0f0f) << 4;
  return __builtin_bswap32(bits);
}

// A cursor is the shard and a bucket. Buckets are counted from the highest bit down: a table that doubles splits each bucket in two
// neighbours of that order, so that what is there all the time is seen at least once.
uint64_t store_scan(uint64_t cursor, size_t about, void (*visit)(void *context, const entry *entry), void *context) {
  uint32_t bucket = (uint32_t)cursor;
  for (uint64_t i = cursor >> 32; i < SHARDS; i++, bucket = 0) {
    struct shard *s = &shards[i];
    pthread_mutex_lock(&s->lock);
    while (s->entries) {
      uint32_t mask = s->entries->hh.tbl->num_buckets - 1;
      size_t seen = visit_bucket(s, bucket & mask, visit, context);
      bucket = reversed(reversed(bucket | ~mask) + 1);
      if (bucket == 0) break; // the shard is done
      about -= seen < about ? seen : about;
      if (about > 0) continue;
      pthread_mutex_unlock(&s->lock);
      return i << 32 | bucket;
    }
    pthread_mutex_unlock(&s->lock);
    if (about == 0 && i + 1 < SHARDS) return (i + 1) << 32;
  }
  return 0;
}

static void free_all(entry *entries) {
  entry *e, *next;
  HASH_ITER(hh, entries, e, next) {
    HASH_DELETE(hh, entries, e);
    value_release(e->value);
    free(e);
  }
}

void store_clear(void) {
  entry *taken[SHARDS]; // all at one instant; freeing them takes longer and needs no lock
  store_lock(STORE_ALL);
  for (unsigned i = 0; i < SHARDS; i++) {
    taken[i] = shards[i].entries;
    shards[i].entries = NULL;
    shards[i].expiring = 0;
  }
  store_unlock(STORE_ALL);
  for (unsigned i = 0; i < SHARDS; i++) free_all(taken[i]);
}

static void sweep_bucket(struct shard *s, unsigned bucket, int64_t now_ns) {
  UT_hash_handle *next;
  for (UT_hash_handle *h = s->entries->hh.tbl->buckets[bucket].hh_head; h; h = next) {
    entry *e = entry_of(s, h);
    next = h->hh_next;
    if (is_over(e, now_ns)) remove_from(s, e);
    if (!s->entries) return; // the table has gone with the last
  }
}

void store_sweep(void) {
  int64_t now_ns = ecru_now();
  for (unsigned i = 0; i < SHARDS; i++) {
    struct shard *s = &shards[i];
    pthread_mutex_lock(&s->lock);
    for (unsigned n = 0; n < SWEPT_AT_ONCE && s->expiring > 0; n++)
      sweep_bucket(s, s->swept++ & (s->entries->hh.tbl->num_buckets - 1), now_ns);
    pthread_mutex_unlock(&s->lock);
  }
}
