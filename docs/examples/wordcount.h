// wordcount.h: the functions that do the work of wordcount.c: walking, reading, counting.
//
// Plain C with plain blocking calls. It includes nothing of ecru and knows nothing of goroutines; it runs in them as it
// is. Functions that fail return a negative errno code.
//
// A word is a run of ASCII letters and digits, lower-cased, and of any bytes above 127. A file with a NUL in its first
// block is binary. A word longer than a block counts as several.
#ifndef WORDCOUNT_H
#define WORDCOUNT_H
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 * 1024, SHARDS = 64, TOLD_PER_KIND = 10 };

// ---- one pass over the trees, and what it meets -------------------------------------------------------------------

enum problem { BAD_PATH, UNREADABLE, BROKEN_LINK, LOOP, SPECIAL, BINARY, PROBLEMS };
static const struct {
  const char *one, *many;
} problem_names[PROBLEMS] = {{"bad path", "bad paths"},           {"unreadable", "unreadable"},
                             {"broken link", "broken links"},     {"directory loop", "directory loops"},
                             {"special file", "special files"},   {"binary file", "binary files"}};

struct pass {
  char **roots; // ends with NULL
  bool live;    // stderr is a terminal: progress is shown on its last line
  bool quiet;   // tells of no problems: the pass before has
  atomic_ullong files, bytes, directories, words;
  atomic_ullong problems[PROBLEMS];
};

// Counts a problem and tells the first ones of its kind.
static void report(struct pass *pass, enum problem kind, const char *path, int error) {
  unsigned long long before = atomic_fetch_add(&pass->problems[kind], 1);
  if (pass->quiet || before > TOLD_PER_KIND) return;
  const char *clear = pass->live ? "\r\033[K" : "", *name = problem_names[kind].one;
  if (before == TOLD_PER_KIND) fprintf(stderr, "%swordcount: %s: no more of these are shown\n", clear, name);
  else if (error == 0) fprintf(stderr, "%swordcount: %s: %s\n", clear, name, path);
  else fprintf(stderr, "%swordcount: %s: %s: %s\n", clear, name, path, strerror(error));
}

static void show_progress(struct pass *pass, const char *what) {
  if (!pass->live) return;
  fprintf(stderr, "\r\033[K%s: files %llu, MB %.1f, words %llu ", what, atomic_load(&pass->files),
          (double)atomic_load(&pass->bytes) / 1e6, atomic_load(&pass->words));
}

// ---- plain blocking calls -----------------------------------------------------------------------------------------
// errno belongs to a thread, and whoever runs this may go on in another one after `found` or the like has waited;
// compilers do not expect that and may look at the first thread's errno. So each function that reads errno calls nothing
// that may wait so, and is not inlined into one that does.

#define READS_ERRNO __attribute__((noinline))

READS_ERRNO static int look_at(const char *path, bool follow, struct stat *found) {
  return (follow ? stat(path, found) : lstat(path, found)) == 0 ? 0 : -errno;
}
READS_ERRNO static int open_directory(const char *path, DIR **directory) {
  *directory = opendir(path);
  return *directory != NULL ? 0 : -errno;
}
READS_ERRNO static int next_entry(DIR *directory, struct dirent **entry) {
  errno = 0;
  *entry = readdir(directory);
  return -errno;
}
READS_ERRNO static int open_file(const char *path) { // should it have become a fifo by now, O_NONBLOCK saves us
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  return fd >= 0 ? fd : -errno;
}
READS_ERRNO static ssize_t read_fully(int fd, void *buffer, size_t bytes, off_t offset) { // less than bytes: the end
  size_t done = 0;
  while (done < bytes) {
    ssize_t got = pread(fd, (char *)buffer + done, bytes - done, offset + (off_t)done);
    if (got == 0) break;
    if (got > 0) done += (size_t)got;
    else if (errno != EINTR) return -errno;
  }
  return (ssize_t)done;
}

// ---- walking: finds every file once, and enters every directory once ----------------------------------------------

struct directory {
  struct directory *next_to_list, *next_seen;
  const struct directory *parent;
  dev_t device;
  ino_t inode;
  char path[];
};

struct walk {
  struct pass *pass;
  int (*found)(void *context, char *path); // takes the path over
  void *context;
  struct directory *to_list;    // a stack
  struct directory *seen[4096]; // a hash table of all met so far
};

static char *joined(const char *directory, const char *name) {
  size_t length = strlen(directory);
  const char *slash = length > 0 && directory[length - 1] == '/' ? "" : "/";
  size_t bytes = length + 1 + strlen(name) + 1;
  char *path = malloc(bytes);
  if (path != NULL) snprintf(path, bytes, "%s%s%s", directory, slash, name);
  return path;
}

static int meet_directory(struct walk *walk, const struct directory *parent, const char *path, const struct stat *it) {
  struct directory **bucket = &walk->seen[(it->st_ino * 31 + it->st_dev) % 4096];
  for (struct directory *other = *bucket; other != NULL; other = other->next_seen) {
    if (other->inode != it->st_ino || other->device != it->st_dev) continue;
    const struct directory *above = parent;
    while (above != NULL && above != other) above = above->parent;
    if (above != NULL) report(walk->pass, LOOP, path, 0);
    return 0;
  }
  struct directory *directory = malloc(sizeof *directory + strlen(path) + 1);
  if (directory == NULL) return -ENOMEM;
  *directory = (struct directory){walk->to_list, *bucket, parent, it->st_dev, it->st_ino};
  strcpy(directory->path, path);
  walk->to_list = *bucket = directory;
  return 0;
}

// Meets whatever is at path, which it takes over.
static int meet(struct walk *walk, const struct directory *parent, char *path) {
  struct stat what;
  int status = 0;
  int error = look_at(path, true, &what);
  if (error != 0 && look_at(path, false, &what) == 0 && S_ISLNK(what.st_mode)) report(walk->pass, BROKEN_LINK, path, 0);
  else if (error != 0) report(walk->pass, parent == NULL ? BAD_PATH : UNREADABLE, path, -error);
  else if (S_ISREG(what.st_mode)) return walk->found(walk->context, path);
  else if (S_ISDIR(what.st_mode)) status = meet_directory(walk, parent, path, &what);
  else report(walk->pass, SPECIAL, path, 0); // a fifo, a device, a socket: never opened
  free(path);
  return status;
}

static int list(struct walk *walk, const struct directory *directory) {
  DIR *handle;
  int error = open_directory(directory->path, &handle);
  if (error != 0) return report(walk->pass, UNREADABLE, directory->path, -error), 0;
  atomic_fetch_add(&walk->pass->directories, 1);
  int status = 0;
  struct dirent *entry;
  while (status == 0 && (error = next_entry(handle, &entry)) == 0 && entry != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char *path = joined(directory->path, entry->d_name);
    status = path != NULL ? meet(walk, directory, path) : -ENOMEM;
  }
  if (error != 0) report(walk->pass, UNREADABLE, directory->path, -error);
  closedir(handle);
  return status;
}

// Calls found for every regular file under the roots, symbolic links followed. Ends early when found fails.
static int walk_roots(struct pass *pass, int (*found)(void *context, char *path), void *context) {
  struct walk *walk = calloc(1, sizeof *walk);
  if (walk == NULL) return -ENOMEM;
  walk->pass = pass, walk->found = found, walk->context = context;
  int status = 0;
  for (char **root = pass->roots; status == 0 && *root != NULL; root++) {
    char *path = strdup(*root);
    status = path != NULL ? meet(walk, NULL, path) : -ENOMEM;
    while (status == 0 && walk->to_list != NULL) {
      struct directory *directory = walk->to_list;
      walk->to_list = directory->next_to_list;
      status = list(walk, directory);
    }
  }
  for (int i = 0; i < 4096; i++) {
    for (struct directory *each = walk->seen[i], *next; each != NULL; each = next) {
      next = each->next_seen;
      free(each);
    }
  }
  free(walk);
  return status;
}

// ---- reading: a file as blocks of whole words ---------------------------------------------------------------------

struct block {
  size_t bytes;
  unsigned char data[BLOCK_BYTES];
};

struct text { // a file being read
  struct pass *pass;
  const char *path;
  int fd;
  off_t offset;
  bool ended;
};

static unsigned char lower[256]; // the byte as it is counted; 0: not part of a word

static void know_letters(void) {
  for (int byte = 0; byte < 256; byte++) {
    bool counts = byte >= 128 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z');
    lower[byte] = (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte + 'a' - 'A' : counts ? byte : 0);
  }
}

static bool open_text(struct text *text, struct pass *pass, const char *path) {
  *text = (struct text){pass, path, open_file(path), 0, false};
  if (text->fd < 0) report(pass, UNREADABLE, path, -text->fd);
  return text->fd >= 0;
}

// Fills the block with what comes next, up to its last whole word: what follows is read again with the next block.
// Returns whether there was anything to count.
static bool fill_block(struct text *text, struct block *block) {
  if (text->ended) return false;
  ssize_t got = read_fully(text->fd, block->data, BLOCK_BYTES, text->offset);
  text->ended = got < BLOCK_BYTES;
  if (got < 0) return report(text->pass, UNREADABLE, text->path, (int)-got), false;
  if (text->offset == 0 && memchr(block->data, 0, (size_t)got) != NULL) {
    text->ended = true;
    return report(text->pass, BINARY, text->path, 0), false;
  }
  if (text->offset == 0) atomic_fetch_add(&text->pass->files, 1);
  size_t end = (size_t)got;
  while (!text->ended && end > 0 && lower[block->data[end - 1]] != 0) end--;
  block->bytes = end > 0 ? end : (size_t)got;
  text->offset += (off_t)block->bytes;
  atomic_fetch_add(&text->pass->bytes, block->bytes);
  return block->bytes > 0;
}

static void close_text(struct text *text) { close(text->fd); }

// ---- counting: a hash table in shards, so that tables can be merged shard by shard, in parallel -------------------

struct word {
  const char *text; // in the shard's text
  uint64_t hash;
  uint64_t count;
  uint32_t bytes;
};
struct text_chunk {
  struct text_chunk *next;
  size_t used, room;
  char text[];
};
struct shard {
  struct word *words; // open addressing; room is 0 or a power of two
  size_t used, room;
  struct text_chunk *chunks;
};
struct table {
  struct shard shards[SHARDS];
};

static struct word *place_of(const struct shard *shard, const char *text, uint32_t bytes, uint64_t hash) {
  for (size_t i = hash >> 8;; i++) {
    struct word *word = &shard->words[i & (shard->room - 1)];
    if (word->text == NULL) return word;
    if (word->hash == hash && word->bytes == bytes && memcmp(word->text, text, bytes) == 0) return word;
  }
}

static int grow(struct shard *shard) {
  struct shard bigger = {NULL, shard->used, shard->room > 0 ? shard->room * 2 : 256, shard->chunks};
  bigger.words = calloc(bigger.room, sizeof *bigger.words);
  if (bigger.words == NULL) return -ENOMEM;
  // Each new page is written once: one that is read first and written later interrupts every other CPU on the second
  // occasion. That took a third of the CPU time with two processors.
  for (size_t i = 0; i < bigger.room; i += 128) *(const char *volatile *)&bigger.words[i].text = NULL;
  for (size_t i = 0; i < shard->room; i++) {
    const struct word *word = &shard->words[i];
    if (word->text != NULL) *place_of(&bigger, word->text, word->bytes, word->hash) = *word;
  }
  free(shard->words);
  *shard = bigger;
  return 0;
}

static const char *keep_text(struct shard *shard, const char *text, uint32_t bytes) {
  struct text_chunk *chunk = shard->chunks;
  if (chunk == NULL || chunk->room - chunk->used < bytes) {
    size_t room = bytes > 8000 ? bytes : 8000;
    chunk = malloc(sizeof *chunk + room);
    if (chunk == NULL) return NULL;
    *chunk = (struct text_chunk){shard->chunks, 0, room};
    shard->chunks = chunk;
  }
  char *kept = memcpy(chunk->text + chunk->used, text, bytes);
  chunk->used += bytes;
  return kept;
}

static int add(struct shard *shard, const char *text, uint32_t bytes, uint64_t hash, uint64_t count) {
  if (shard->used * 2 >= shard->room && grow(shard) != 0) return -ENOMEM;
  struct word *word = place_of(shard, text, bytes, hash);
  if (word->text == NULL) {
    *word = (struct word){keep_text(shard, text, bytes), hash, 0, bytes};
    if (word->text == NULL) return -ENOMEM;
    shard->used++;
  }
  word->count += count;
  return 0;
}

static int count_block(struct pass *pass, struct table *table, struct block *block) {
  uint64_t words = 0;
  for (unsigned char *at = block->data, *end = at + block->bytes;;) {
    while (at < end && lower[*at] == 0) at++;
    if (at == end) break;
    unsigned char *word = at;
    uint64_t hash = 0;
    for (; at < end && lower[*at] != 0; at++) hash = (hash ^ (*at = lower[*at])) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    if (add(&table->shards[hash % SHARDS], (char *)word, (uint32_t)(at - word), hash, 1) != 0) return -ENOMEM;
    words++;
  }
  atomic_fetch_add(&pass->words, words);
  return 0;
}

static int merge_shard(struct shard *into, const struct shard *from) {
  for (size_t i = 0; i < from->room; i++) {
    const struct word *word = &from->words[i];
    if (word->text != NULL && add(into, word->text, word->bytes, word->hash, word->count) != 0) return -ENOMEM;
  }
  return 0;
}

static void free_tables(struct table **tables) {
  for (struct table **table = tables; table != NULL && *table != NULL; table++) {
    for (int i = 0; i < SHARDS; i++) {
      free((*table)->shards[i].words);
      for (struct text_chunk *each = (*table)->shards[i].chunks, *next; each != NULL; each = next) {
        next = each->next;
        free(each);
      }
    }
    free(*table);
  }
  free(tables);
}

static struct table **new_tables(size_t count) { // ends with NULL
  struct table **tables = calloc(count + 1, sizeof *tables);
  for (size_t i = 0; tables != NULL && i < count; i++) {
    tables[i] = calloc(1, sizeof **tables);
    if (tables[i] == NULL) return free_tables(tables), NULL;
  }
  return tables;
}

static size_t distinct(const struct table *table) {
  size_t sum = 0;
  for (int i = 0; i < SHARDS; i++) sum += table->shards[i].used;
  return sum;
}

static bool same_counts(const struct table *one, const struct table *other) {
  for (int s = 0; s < SHARDS; s++) {
    if (one->shards[s].used != other->shards[s].used) return false;
    for (size_t i = 0; i < one->shards[s].room; i++) {
      const struct word *word = &one->shards[s].words[i];
      if (word->text == NULL) continue;
      if (place_of(&other->shards[s], word->text, word->bytes, word->hash)->count != word->count) return false;
    }
  }
  return true;
}
#endif
