/// runtime/dump.c: the report on all goroutines (D2): as text for people, grouped by identical stacks, or as JSON for
/// programs.
///
/// JSON is written as goroutines are looked at. Text needs all of them first: those with the same stack and state form a group. A group knows its size, but lists its first 1000 members only,
/// so that a dump of a million goroutines can be read. Both walk the stacks of the first 10,000 parked goroutines.
///
/// Memory comes in blocks, the first of which is static. When the next cannot be had, the groups formed so far are written
/// and forgotten: the dump is complete, only less well grouped.
#include <string.h>

#include "platform/unwind.h"
#include "runtime/debug.h"
#include "runtime/fork.h"
#include "runtime/text.h"

enum {
  BACKTRACES = 10000,
  MEMBERS = 1000,
  BUCKETS = 1024,
  BLOCK_BYTES = 64 << 10,
  KNOWN_SYMBOLS = 1024,
  SYMBOL_BYTES = 256,
  THREADS_AT_ONCE = 16,
};

// ---- what one dump works with: one at a time ----------------------------------------------------------------------

typedef struct block {
  struct block *next;
  size_t used;
  _Alignas(16) char bytes[];
} block;
enum { BLOCK_ROOM = BLOCK_BYTES - sizeof(block) };

struct member {
  struct member *next;
  uint64_t id, parent_id, thread_id, host_thread;
  const void *site, *object;
  int64_t waited_ns;
  bool pinned;
  char name[ECRU__NAME_BYTES];
};

struct group {
  struct group *next;           // in the list of all
  struct group *same_bucket;
  uint64_t hash, count;
  const char *reason;
  uint32_t status, no_frames;
  struct member *first, **last;
  uint32_t listed;
  uint32_t frame_count;
  void *frames[];
};

/// Symbols looked up lately: most addresses come again and again.
typedef struct known_symbol {
  const void *address;
  char text[SYMBOL_BYTES];
} known_symbol;

static struct {
  ecru__lock lock;              // guards all of it
  ecru__text text;
  int64_t now;
  uint64_t looked_at;           // goroutines whose stacks were walked
  uint64_t written;             // goroutines and threads written: JSON's commas
  ecru__goroutine *self;        // who asked for the dump, if it is a goroutine
  uint32_t self_count;
  void *self_frames[ECRU__FRAMES_MAX];
  known_symbol *symbols;        // KNOWN_SYMBOLS of them, or NULL
  struct group *groups, **last_group;
  struct group *buckets[BUCKETS];
  block *blocks;                // the newest first; the last one is `first`
  ecru__snapshot snapshot;      // the one being taken
  ecru__snapshot threads[THREADS_AT_ONCE];
  char buffer[8 << 10];
  union { block block; char bytes[BLOCK_BYTES]; } first;
} dump;

static void *allot(size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  if (dump.blocks->used + bytes > BLOCK_ROOM) {
    block *more = ecru__malloc(BLOCK_BYTES);
    if (!more) return NULL;
    more->used = 0;
    more->next = dump.blocks;
    dump.blocks = more;
  }
  void *place = dump.blocks->bytes + dump.blocks->used;
  dump.blocks->used += bytes;
  return place;
}

static void forget_groups(void) {
  while (dump.blocks && dump.blocks != &dump.first.block) {
    block *newest = dump.blocks;
    dump.blocks = newest->next;
    ecru__free(newest);
  }
  dump.blocks = &dump.first.block;
  dump.blocks->used = 0;
  dump.blocks->next = NULL;
  dump.groups = NULL;
  dump.last_group = &dump.groups;
  memset(dump.buckets, 0, sizeof dump.buckets);
}

/// Symbols are looked up once: into the table, in whose place an older one may have stood.
static const char *symbol_of(const void *address) {
  static char spare[SYMBOL_BYTES];
  known_symbol *known = dump.symbols ? &dump.symbols[((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15)) >> 54] : NULL;
  if (known && known->address == address) return known->text;
  char *bytes = known ? known->text : spare;
  ecru__text text = ecru__text_to(-1, bytes, SYMBOL_BYTES - 1); // what does not fit would go to no file: it does fit
  ecru__put_symbol(&text, address);
  bytes[text.used] = 0;
  if (known) known->address = address;
  return bytes;
}

/// The frames worth showing: from the public function called (what lies inside is ours) to the goroutine's own function.
/// Where names are not known, all. returns: the first; *end: one past the last.
static uint32_t shown(void *const *frames, uint32_t count, uint32_t *end) {
  enum { OURS_MOST = 12 };
  static const char outer[] = "ecru__ctx_";
  bool whole = count > 2 && memcmp(symbol_of(frames[count - 1]), outer, sizeof outer - 1) == 0;
  *end = whole ? count - 2 : count; // without goroutine.c's entry and what called it
  uint32_t first = 0;
  for (uint32_t i = 0; i < *end && i < OURS_MOST; i++) {
    const char *name = symbol_of(frames[i]);
    if (memcmp(name, "ecru_", 5) != 0) continue;
    if (name[5] != '_') return i;
    first = i + 1; // the public function may be missing: compilers turn last calls into jumps
  }
  return first;
}

static const char *state_text(uint32_t status, const char *reason) {
  if (status == ECRU__WAITING) return reason;
  return status == ECRU__RUNNABLE ? "runnable" : status == ECRU__BLOCKING ? "blocking" : "running";
}

static const char *no_frames_text(uint32_t why) {
  switch (why) {
    case ECRU__FRAMES_NOT_STARTED: return "it has not run yet";
    case ECRU__FRAMES_NOT_PARKED: return "it runs or is about to";
    case ECRU__FRAMES_NATIVE: return "it waits on a thread's stack: see a debugger";
    case ECRU__FRAMES_ENOUGH: return "only the first 10000 parked ones are walked";
    case ECRU__FRAMES_NOT_HERE: return "none under ThreadSanitizer";
    default: return "its stack could not be walked";
  }
}

// ---- text ---------------------------------------------------------------------------------------------------------

static void put_who(uint64_t id, const char *name) {
  ecru__put(&dump.text, "goroutine ");
  ecru__put_number(&dump.text, id);
  if (!name[0]) return;
  ecru__put(&dump.text, " \"");
  ecru__put_plain(&dump.text, name);
  ecru__put(&dump.text, "\"");
}

static void put_wait(const void *object, int64_t waited_ns) {
  ecru__put(&dump.text, " for ");
  ecru__put_duration(&dump.text, waited_ns);
  if (!object) return;
  ecru__put(&dump.text, " on ");
  ecru__put_hex(&dump.text, (uintptr_t)object);
}

static void put_member(const struct group *group, const struct member *member) {
  ecru__put(&dump.text, "  ");
  put_who(member->id, member->name);
  if (group->status == ECRU__WAITING) put_wait(member->object, member->waited_ns);
  ecru__put(&dump.text, ", created by ");
  if (member->parent_id) put_who(member->parent_id, "");
  else ecru__put(&dump.text, "a foreign thread");
  ecru__put(&dump.text, " at ");
  ecru__put(&dump.text, symbol_of(member->site));
  if (member->pinned) ecru__put(&dump.text, ", pinned");
  if (member->thread_id) {
    ecru__put(&dump.text, ", own thread ");
    ecru__put_number(&dump.text, member->thread_id);
  }
  if (member->host_thread) {
    ecru__put(&dump.text, ", hosted by thread ");
    ecru__put_number(&dump.text, member->host_thread);
  }
  ecru__put(&dump.text, "\n");
}

static void put_group(const struct group *group) {
  ecru__put(&dump.text, "\n");
  ecru__put_number(&dump.text, group->count);
  ecru__put(&dump.text, group->count == 1 ? " goroutine [" : " goroutines [");
  ecru__put(&dump.text, state_text(group->status, group->reason));
  ecru__put(&dump.text, "]:\n");
  for (const struct member *member = group->first; member; member = member->next) put_member(group, member);
  if (group->count > group->listed) {
    ecru__put(&dump.text, "  and ");
    ecru__put_number(&dump.text, group->count - group->listed);
    ecru__put(&dump.text, " more\n");
  }
  if (group->no_frames) {
    ecru__put(&dump.text, "    (no backtrace: ");
    ecru__put(&dump.text, no_frames_text(group->no_frames));
    ecru__put(&dump.text, ")\n");
  }
  uint32_t end;
  for (uint32_t i = shown(group->frames, group->frame_count, &end); i < end; i++) {
    ecru__put(&dump.text, "    ");
    ecru__put(&dump.text, symbol_of(group->frames[i]));
    ecru__put(&dump.text, "\n");
  }
}

static void put_groups(void) {
  for (const struct group *group = dump.groups; group; group = group->next)
    if (group->count > 0) put_group(group); // 0: memory ran out when its first member came
  forget_groups();
}

static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ hash >> 29;
}

static uint64_t hash_of(const ecru__snapshot *s) {
  uint64_t hash = mix(mix(s->status, (uintptr_t)s->reason), s->no_frames);
  for (uint32_t i = 0; i < s->count; i++) hash = mix(hash, (uintptr_t)s->frames[i]);
  return hash;
}

static bool belongs(const struct group *group, const ecru__snapshot *s, uint64_t hash) {
  return group->hash == hash && group->status == s->status && group->reason == s->reason &&
         group->no_frames == s->no_frames && group->frame_count == s->count &&
         memcmp(group->frames, s->frames, s->count * sizeof s->frames[0]) == 0;
}

static struct group *new_group(const ecru__snapshot *s, uint64_t hash) {
  struct group *g = allot(sizeof *g + s->count * sizeof s->frames[0]);
  if (!g) return NULL;
  *g = (struct group){.same_bucket = dump.buckets[hash % BUCKETS], .hash = hash, .status = s->status, .reason = s->reason,
               .no_frames = s->no_frames, .frame_count = s->count};
  g->last = &g->first;
  memcpy(g->frames, s->frames, s->count * sizeof s->frames[0]);
  dump.buckets[hash % BUCKETS] = g;
  *dump.last_group = g;
  dump.last_group = &g->next;
  return g;
}

/// returns: false: out of memory, and nothing is changed that matters.
static bool put_into_group(const ecru__snapshot *s) {
  uint64_t hash = hash_of(s);
  struct group *g = dump.buckets[hash % BUCKETS];
  while (g && !belongs(g, s, hash)) g = g->same_bucket;
  if (!g && !(g = new_group(s, hash))) return false;
  if (g->listed < MEMBERS) {
    struct member *m = allot(sizeof *m);
    if (!m) return false;
    *m = (struct member){NULL, s->id, s->parent_id, s->thread_id, s->host_thread, s->site, s->object, s->waited_ns, s->pinned, ""};
    memcpy(m->name, s->name, sizeof m->name);
    *g->last = m;
    g->last = &m->next;
    g->listed++;
  }
  g->count++;
  return true;
}

static void text_goroutine(const ecru__snapshot *s) {
  if (put_into_group(s)) return;
  put_groups();
  (void)put_into_group(s); // the first block holds one
}

static void text_thread(const ecru__snapshot *s) {
  ecru__put(&dump.text, "\nforeign thread ");
  ecru__put_number(&dump.text, s->thread_id);
  if (s->id) {
    ecru__put(&dump.text, ", a host: ");
    put_who(s->id, s->name);
  }
  ecru__put(&dump.text, " [");
  ecru__put(&dump.text, state_text(s->status, s->reason));
  ecru__put(&dump.text, "]");
  if (s->status == ECRU__WAITING) put_wait(s->object, s->waited_ns);
  ecru__put(&dump.text, "\n");
}

static void text_begin(void) {
  ecru_counters counters;
  ecru__count(&counters);
  ecru__put(&dump.text, "ecru: ");
  ecru__put_number(&dump.text, counters.goroutines);
  ecru__put(&dump.text, counters.goroutines == 1 ? " goroutine: " : " goroutines: ");
  ecru__put_number(&dump.text, counters.running);
  ecru__put(&dump.text, " running, ");
  ecru__put_number(&dump.text, counters.runnable);
  ecru__put(&dump.text, " runnable, ");
  ecru__put_number(&dump.text, counters.waiting);
  ecru__put(&dump.text, " waiting, ");
  ecru__put_number(&dump.text, counters.blocking);
  ecru__put(&dump.text, " blocking\n");
}

// ---- JSON ---------------------------------------------------------------------------------------------------------

static void key(const char *name) {
  ecru__put(&dump.text, ",\"");
  ecru__put(&dump.text, name);
  ecru__put(&dump.text, "\":");
}

static void json_string(const char *string) {
  ecru__put(&dump.text, "\"");
  ecru__put_json(&dump.text, string);
  ecru__put(&dump.text, "\"");
}

static void json_number(const char *name, uint64_t number) {
  key(name);
  ecru__put_number(&dump.text, number);
}

static void json_wait(const ecru__snapshot *s) {
  key("state");
  json_string(s->status == ECRU__WAITING ? "waiting" : state_text(s->status, s->reason));
  if (s->status != ECRU__WAITING) return;
  key("reason");
  json_string(state_text(s->status, s->reason));
  json_number("waited_ns", s->waited_ns > 0 ? (uint64_t)s->waited_ns : 0);
  if (!s->object) return;
  key("object");
  ecru__put(&dump.text, "\"");
  ecru__put_hex(&dump.text, (uintptr_t)s->object);
  ecru__put(&dump.text, "\"");
}

static void json_frames(const ecru__snapshot *s) {
  if (s->no_frames) {
    key("no_backtrace");
    json_string(no_frames_text(s->no_frames));
    return;
  }
  key("backtrace");
  ecru__put(&dump.text, "[");
  uint32_t end, first = shown(s->frames, s->count, &end);
  for (uint32_t i = first; i < end; i++) {
    if (i > first) ecru__put(&dump.text, ",");
    json_string(symbol_of(s->frames[i]));
  }
  ecru__put(&dump.text, "]");
}

static void json_begin_one(const char *first_key, uint64_t id) {
  ecru__put(&dump.text, dump.written++ ? ",\n{\"" : "\n{\"");
  ecru__put(&dump.text, first_key);
  ecru__put(&dump.text, "\":");
  ecru__put_number(&dump.text, id);
}

static void json_goroutine(const ecru__snapshot *s) {
  json_begin_one("id", s->id);
  key("name");
  json_string(s->name);
  json_wait(s);
  json_number("age_ns", s->age_ns > 0 ? (uint64_t)s->age_ns : 0);
  json_number("parent", s->parent_id);
  key("created");
  json_string(symbol_of(s->site));
  key("pinned");
  ecru__put(&dump.text, s->pinned ? "true" : "false");
  if (s->thread_id) json_number("thread", s->thread_id);
  else json_number("stack_bytes", s->stack_bytes);
  if (s->host_thread) json_number("host_thread", s->host_thread);
  json_frames(s);
  ecru__put(&dump.text, "}");
}

static void json_thread(const ecru__snapshot *s) {
  json_begin_one("thread", s->thread_id);
  if (s->id) {
    json_number("host", s->id);
    key("name");
    json_string(s->name);
  }
  json_wait(s);
  ecru__put(&dump.text, "}");
}

static void json_begin(void) {
  ecru__put(&dump.text, "{\"ecru\":");
  json_string(ecru_version());
  key("goroutines");
  ecru__put(&dump.text, "[");
}

static void json_threads_begin(void) {
  dump.written = 0;
  ecru__put(&dump.text, "\n]");
  key("threads");
  ecru__put(&dump.text, "[");
}

// ---- the walk -----------------------------------------------------------------------------------------------------

typedef void put_one(const ecru__snapshot *snapshot);

/// The one goroutine that runs and can be walked all the same is the caller.
static void add_own_frames(const ecru__goroutine *g, ecru__snapshot *s) {
  if (!g || g != dump.self || s->status == ECRU__WAITING || dump.self_count == 0) return;
  s->no_frames = ECRU__FRAMES_TAKEN;
  s->count = dump.self_count;
  memcpy(s->frames, dump.self_frames, s->count * sizeof s->frames[0]);
}

static bool visit(void *put, ecru__goroutine *g) {
  ecru__snapshot *s = &dump.snapshot;
  if (!ecru__snapshot_goroutine(g, dump.now, dump.looked_at < BACKTRACES, s)) return true;
  dump.looked_at += s->no_frames == ECRU__FRAMES_TAKEN;
  add_own_frames(g, s);
  (*(put_one **)put)(s);
  return dump.text.status == 0;
}

static bool visit_seed(void *put, const ecru__seed *seed) {
  ecru__snapshot_seed(seed, dump.now, &dump.snapshot);
  (*(put_one **)put)(&dump.snapshot);
  return dump.text.status == 0;
}

/// Takes snapshots of threads from the place in the list on, as many as there is room for. returns: how many were looked at.
static uint32_t take_threads(bool own, uint32_t place, uint32_t *taken) {
  uint32_t looked = 0;
  *taken = 0;
  ecru__lock_take(&ecru__sched.lock);
  ecru__worker *w = ecru__sched.foreign;
  for (; w && place > 0; place--) w = w->all_next;
  for (; w && looked < THREADS_AT_ONCE; w = w->all_next, looked++) {
    ecru__snapshot *s = &dump.threads[*taken];
    if ((w->own_goroutine != NULL) != own || !ecru__snapshot_thread(w, dump.now, s)) continue;
    add_own_frames(w->own_goroutine, s);
    ++*taken;
  }
  ecru__lock_drop(&ecru__sched.lock);
  return looked;
}

/// Goroutines with a thread of their own, or foreign threads. Nothing is written under the scheduler's lock; one that comes
/// or goes meanwhile may have another appear twice or not at all.
static void visit_threads(bool own, put_one *put) {
  uint32_t taken;
  for (uint32_t place = 0, looked; (looked = take_threads(own, place, &taken)) > 0; place += looked)
    for (uint32_t i = 0; i < taken && dump.text.status == 0; i++) put(&dump.threads[i]);
}

static void visit_all(put_one *put_goroutine) {
  ecru__seeds_visit(visit_seed, &put_goroutine); // first: one that starts meanwhile is seen twice rather than never
  ecru__stacks_visit(visit, &put_goroutine);
  visit_threads(true, put_goroutine);
}

static void write_text(bool up) {
  if (!up) {
    ecru__put(&dump.text, "ecru: not running\n");
    return;
  }
  forget_groups();
  text_begin();
  visit_all(text_goroutine);
  put_groups();
  visit_threads(false, text_thread);
}

static void write_json(bool up) {
  json_begin();
  if (up) visit_all(json_goroutine);
  json_threads_begin();
  if (up) visit_threads(false, json_thread);
  ecru__put(&dump.text, "\n]}\n");
}

/// The caller's own frames from `caller` on.
static void take_own_frames(const void *caller) {
  ecru__worker *w = ecru__worker_here();
  dump.self = !w ? NULL : w->own_goroutine ? w->own_goroutine : ecru__goroutine_here(w);
  if (!dump.self) return;
  int count = ecru__frames(dump.self_frames, ECRU__FRAMES_MAX), first = 0;
  while (first < count && dump.self_frames[first] != caller) first++;
  dump.self_count = (uint32_t)(count - first);
  memmove(dump.self_frames, dump.self_frames + first, dump.self_count * sizeof dump.self_frames[0]);
}

__attribute__((noinline)) int ecru_dump(int fd, int format) {
  if (fd < 0 || (format != ECRU_DUMP_TEXT && format != ECRU_DUMP_JSON)) return ECRU_EINVAL;
  if (ecru__worker_forked()) return ECRU_EFORKED;
  bool up = ecru__look_begin();
  ecru__lock_take(&dump.lock);
  dump.text = ecru__text_to(fd, dump.buffer, sizeof dump.buffer);
  dump.now = ecru__clock_now();
  dump.looked_at = dump.written = 0;
  take_own_frames(__builtin_return_address(0));
  dump.symbols = ecru__calloc(KNOWN_SYMBOLS, sizeof *dump.symbols);
  if (format == ECRU_DUMP_TEXT) write_text(up);
  else write_json(up);
  ecru__free(dump.symbols);
  int status = ecru__text_end(&dump.text);
  ecru__lock_drop(&dump.lock);
  if (up) ecru__look_end();
  return status;
}

void ecru__dump_in_child(void) { dump.lock = (ecru__lock){0}; }
