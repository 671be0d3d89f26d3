// What lies under the root: GET and HEAD of regular files, with one range, conditions, index.html for directories.
//
// Open files are kept for a second with what their heads say, so that a busy file costs neither open nor stat; after that second its
// name is looked up again. A file that is cut off under our hands meanwhile ends the connection: its length has been announced.
// Several ranges in one request are answered with the whole file, as RFC 9110 (14.2) allows.
#include "httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  KEPT = 256,                    // open files kept
  COPIED_MAX = 2048,             // smaller files are read into the output, so that pipelined answers leave together
  PIECE_BYTES = 128 * 1024,      // of a file must be taken by the client within write_ns
};

typedef struct file {
  atomic_uint references;
  int descriptor;
  uint64_t bytes;
  time_t modified_s;
  int64_t looked_up_ns;
  const char *type;
  char modified[32], tag[40];    // as headers say it
  char path[];
} file;

static struct {
  pthread_mutex_t lock;
  file *files[KEPT];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

// ---- open files --------------------------------------------------------------------------------------------------------

static void file_release(file *f) {
  if (!f || atomic_fetch_sub(&f->references, 1) > 1) return;
  close(f->descriptor);
  free(f);
}

static file **slot_of(const char *path) {
  uint32_t hash = 2166136261u; // FNV-1a
  for (; *path; path++) hash = (hash ^ (unsigned char)*path) * 16777619u;
  return &kept.files[hash % KEPT];
}

static file *find_kept(const char *path, int64_t now_ns) {
  file **slot = slot_of(path);
  pthread_mutex_lock(&kept.lock);
  file *f = *slot;
  if (f && (now_ns - f->looked_up_ns > ECRU_SECOND || strcmp(f->path, path) != 0)) f = NULL;
  if (f) atomic_fetch_add(&f->references, 1);
  pthread_mutex_unlock(&kept.lock);
  return f;
}

static void keep(file *f) {
  file **slot = slot_of(f->path);
  atomic_fetch_add(&f->references, 1);
  pthread_mutex_lock(&kept.lock);
  file *old = *slot;
  *slot = f;
  pthread_mutex_unlock(&kept.lock);
  file_release(old);
}

void files_forget(void) {
  for (int i = 0; i < KEPT; i++) {
    file_release(kept.files[i]);
    kept.files[i] = NULL;
  }
}

static const char *type_of(const char *path) {
  static const struct { const char *ending, *type; } types[] = {
    {"html", "text/html; charset=utf-8"}, {"htm", "text/html; charset=utf-8"}, {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"}, {"mjs", "text/javascript; charset=utf-8"}, {"json", "application/json"},
    {"txt", "text/plain; charset=utf-8"}, {"md", "text/markdown; charset=utf-8"}, {"c", "text/plain; charset=utf-8"},
    {"h", "text/plain; charset=utf-8"}, {"xml", "application/xml"}, {"svg", "image/svg+xml"}, {"png", "image/png"},
    {"jpg", "image/jpeg"}, {"jpeg", "image/jpeg"}, {"gif", "image/gif"}, {"webp", "image/webp"}, {"avif", "image/avif"},
    {"ico", "image/vnd.microsoft.icon"}, {"woff", "font/woff"}, {"woff2", "font/woff2"}, {"ttf", "font/ttf"},
    {"pdf", "application/pdf"}, {"zip", "application/zip"}, {"gz", "application/gzip"}, {"tar", "application/x-tar"},
    {"wasm", "application/wasm"}, {"mp3", "audio/mpeg"}, {"ogg", "audio/ogg"}, {"mp4", "video/mp4"}, {"webm", "video/webm"},
  };
  const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
  for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
    if (strcasecmp(dot + 1, types[i].ending) == 0) return types[i].type;
  return "application/octet-stream";
}

// Links are followed as long as they stay under the root; the kernel sees to that, where it can. (".." has been refused already.)
static int open_beneath(int root, const char *path) {
  struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  int descriptor = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  if (descriptor < 0 && errno == ENOSYS) descriptor = openat(root, path, (int)how.flags | O_NOFOLLOW);
  return descriptor;
}

static int status_of_errno(void) {
  switch (errno) {
  case ENOENT: case ENOTDIR: return -404;
  case ENAMETOOLONG: return -414;
  case EACCES: case EPERM: case ELOOP: case EXDEV: return -403;
  case EMFILE: case ENFILE: case ENOMEM: return -503;
  default: return -500;
  }
}

static file *describe(int descriptor, const struct stat *about, const char *path, int64_t now_ns) {
  size_t bytes = strlen(path) + 1;
  file *f = malloc(sizeof *f + bytes);
  if (!f) return NULL;
  *f = (file){.references = 1, .descriptor = descriptor, .bytes = (uint64_t)about->st_size, .modified_s = about->st_mtime,
              .looked_up_ns = now_ns, .type = type_of(path)};
  http_date(f->modified, about->st_mtime);
  snprintf(f->tag, sizeof f->tag, "\"%llx-%llx\"", (unsigned long long)about->st_mtime, (unsigned long long)about->st_size);
  memcpy(f->path, path, bytes);
  return f;
}

enum { IS_DIRECTORY = 1 };

// Returns 0 with *found, whose reference is the caller's; IS_DIRECTORY; a negative HTTP status.
static int file_open(server *s, const char *path, file **found) {
  int64_t now_ns = ecru_now();
  if ((*found = find_kept(path, now_ns)) != NULL) return 0;
  struct stat about;
  int descriptor = open_beneath(s->root, *path ? path : "."), status = 0;
  if (descriptor < 0) return status_of_errno();
  if (fstat(descriptor, &about) != 0) status = -500;
  else if (S_ISDIR(about.st_mode)) status = IS_DIRECTORY;
  else if (!S_ISREG(about.st_mode)) status = -403;
  else if (!(*found = describe(descriptor, &about, path, now_ns))) status = -503;
  if (status != 0) close(descriptor);
  else keep(*found);
  return status;
}

// ---- conditions and ranges ---------------------------------------------------------------------------------------------

static bool same(slice s, const char *text) { return s.bytes == strlen(text) && memcmp(s.at, text, s.bytes) == 0; }

// -1: not a date as servers write them.
static time_t parse_date(slice s) {
  char text[32];
  struct tm tm = {0};
  if (s.bytes != 29) return -1;
  memcpy(text, s.at, s.bytes);
  text[s.bytes] = 0;
  const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  return end && !*end ? timegm(&tm) : -1;
}

// Whether a list of tags holds ours ("*" holds all); weak ones count as well.
static bool lists(slice list, const char *tag) {
  if (same(list, "*")) return true;
  return memmem(list.at, list.bytes, tag, strlen(tag)) != NULL; // tags are quoted: no part of one looks like another
}

static bool is_unchanged(const request *r, const file *f) {
  if (r->if_none_match.bytes > 0) return lists(r->if_none_match, f->tag);
  return r->if_modified_since.bytes > 0 && (same(r->if_modified_since, f->modified) || parse_date(r->if_modified_since) >= f->modified_s);
}

static bool is_same_version(const request *r, const file *f) {
  return r->if_range.bytes == 0 || same(r->if_range, f->tag) || same(r->if_range, f->modified);
}

// Digits from *at on; false: there are none, or too many.
static bool parse_number(slice s, size_t *at, uint64_t *number) {
  size_t first = *at;
  for (*number = 0; *at < s.bytes && s.at[*at] >= '0' && s.at[*at] <= '9'; (*at)++) *number = *number * 10 + (uint64_t)(s.at[*at] - '0');
  return *at > first && *at - first <= 18;
}

// "bytes=a-b", "bytes=a-" or "bytes=-n". Returns 206 with [*first, *end); 416; 200: the whole file (none, several, or not understood).
static int parse_range(const request *r, const file *f, uint64_t *first, uint64_t *end) {
  slice s = r->range;
  size_t at = 6;
  uint64_t last;
  *first = 0;
  *end = f->bytes;
  if (s.bytes < 8 || strncasecmp(s.at, "bytes=", 6) != 0 || !is_same_version(r, f)) return 200;
  if (s.at[at] == '-') {
    at++;
    if (!parse_number(s, &at, &last) || at != s.bytes) return 200;
    if (last == 0 || f->bytes == 0) return 416;
    *first = last < f->bytes ? f->bytes - last : 0;
    return 206;
  }
  uint64_t from;
  if (!parse_number(s, &at, &from) || at == s.bytes || s.at[at++] != '-') return 200;
  if (at < s.bytes) {
    if (!parse_number(s, &at, &last) || at != s.bytes || last < from) return 200;
    if (last < f->bytes) *end = last + 1;
  }
  if (from >= f->bytes) return 416;
  *first = from;
  return 206;
}

// ---- answers -----------------------------------------------------------------------------------------------------------

static void put_version(work *w, const file *f) {
  put_text(w, "Last-Modified: ");
  put(w, f->modified, 29);
  put_text(w, "\r\nETag: ");
  put_text(w, f->tag);
  put_text(w, "\r\nAccept-Ranges: bytes\r\n");
}

static void put_content_range(work *w, uint64_t first, uint64_t end, uint64_t bytes) {
  put_text(w, "Content-Range: bytes ");
  put_number(w, first);
  put_text(w, "-");
  put_number(w, end - 1);
  put_text(w, "/");
  put_number(w, bytes);
  put_text(w, "\r\n");
}

static bool respond_unsatisfiable(connection *c, const file *f) {
  char header[64];
  snprintf(header, sizeof header, "Content-Range: bytes */%llu\r\n", (unsigned long long)f->bytes);
  return respond_page(c, 416, header);
}

// A short piece, into the output behind its head.
static bool send_copied(connection *c, const file *f, uint64_t first, uint64_t bytes) {
  work *w = c->work;
  if (OUTPUT_BYTES - w->used < bytes && !connection_flush(c)) return false;
  if (pread(f->descriptor, w->output + w->used, bytes, (off_t)first) != (ssize_t)bytes) return false;
  w->used += bytes;
  return true;
}

// The output gathered so far, then the piece of the file. Gives up if the file is shorter than we have promised.
static bool send_piece(connection *c, const file *f, uint64_t first, uint64_t bytes) {
  work *w = c->work;
  if (!connection_extend(c, ECRU_IO_WRITE, c->server->write_ns)) return false;
  size_t head_bytes = w->used;
  w->used = 0;
  return ecru_io_send_file_after(c->io, w->output, head_bytes, f->descriptor, (int64_t)first, bytes, NULL) == (int64_t)(head_bytes + bytes);
}

static bool send_content(connection *c, const file *f, uint64_t first, uint64_t end) {
  c->sent = end - first;
  if (end - first <= COPIED_MAX) {
    c->broken = !send_copied(c, f, first, end - first);
    return !c->broken;
  }
  for (; first < end && !c->broken; first += PIECE_BYTES)
    c->broken = !send_piece(c, f, first, end - first < PIECE_BYTES ? end - first : PIECE_BYTES);
  return !c->broken;
}

static bool respond_file(connection *c, const file *f) {
  const request *r = &c->work->request;
  uint64_t first, end;
  if (is_unchanged(r, f)) {
    if (!respond_begin(c, 304)) return false;
    put_version(c->work, f);
    respond_end_head(c);
    return true;
  }
  int status = parse_range(r, f, &first, &end);
  if (status == 416) return respond_unsatisfiable(c, f);
  if (!respond_begin(c, status)) return false;
  put_version(c->work, f);
  if (status == 206) put_content_range(c->work, first, end, f->bytes);
  respond_length(c, f->type, end - first);
  respond_end_head(c);
  return r->method == HTTP_HEAD || send_content(c, f, first, end);
}

// "dir" -> "/dir/". Written anew from the decoded path, so that nothing the client sent can point elsewhere ("//host/").
static bool redirect_to_slash(connection *c, const char *path) {
  static const char digits[] = "0123456789ABCDEF";
  work *w = c->work;
  if (!connection_flush(c) || !respond_begin(c, 301)) return false;
  put_text(w, "Location: /");
  for (; *path; path++) {
    unsigned char b = (unsigned char)*path;
    bool plain = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || strchr("/-._~", b);
    if (plain) put(w, path, 1);
    else put(w, (char[]){'%', digits[b >> 4], digits[b & 15]}, 3);
  }
  put_text(w, "/\r\n");
  respond_length(c, "text/plain; charset=utf-8", 0);
  respond_end_head(c);
  return true;
}

// A directory: its index.html, under its name with a slash.
static int open_index(connection *c, size_t path_bytes, file **f) {
  static const char index[] = "index.html";
  char *path = c->work->path;
  if (path_bytes + sizeof index > PATH_BYTES) return -414;
  memcpy(path + path_bytes, index, sizeof index);
  int status = file_open(c->server, path, f);
  return status == IS_DIRECTORY || status == -404 ? -403 : status; // there is something, but nothing to see
}

bool files_respond(connection *c) {
  file *f = NULL;
  char *path = c->work->path;
  int path_bytes = request_path(c->work->request.target, path, PATH_BYTES);
  int status = path_bytes < 0 ? path_bytes : file_open(c->server, path, &f);
  if (status == IS_DIRECTORY) {
    if (path_bytes > 0 && path[path_bytes - 1] != '/') return redirect_to_slash(c, path);
    status = open_index(c, (size_t)path_bytes, &f);
  }
  if (status < 0) return respond_page(c, -status, NULL);
  bool sent = respond_file(c, f);
  file_release(f);
  return sent;
}
