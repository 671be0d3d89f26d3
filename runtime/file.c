/// runtime/file.c: files and directories (rule I6).
///
/// Reads and writes are blocking calls declared as such; everything else is a request to libuv's pool. Measured in docs/decisions/files.md.
///
///   1 The descriptor is closed when the file is closed to all and no operation is under way, so its number is not reused under one.
#include <ecru/file.h>

#include <stdlib.h>
#include <string.h>

#include "platform/file.h"
#include "platform/memory.h"
#include "runtime/uv.h"

struct ecru_file {
  _Atomic uint32_t references; // atomic
  ecru__lock lock;
  uint32_t operations;         // lock
  bool closed;                 // lock
  int close_status;            // set before `shut`
  intptr_t descriptor;         // set once
  ecru__event shut;            // set when the descriptor is closed
};

// ---- requests to the pool ----------------------------------------------------------------------------------------------

enum operation {
  OPEN, STAT, LINK_STAT, FILE_STAT, SYNC, TRUNCATE, RENAME, UNLINK, MAKE_DIRECTORY, REMOVE_DIRECTORY, MAKE_TEMPORARY, REAL, LINK, SYMLINK,
  READ_LINK, SET_MODE, SET_TIMES, COPY, SCAN,
};
typedef struct request {
  uv_fs_t fs;              // loop's thread; its answer is the caller's once the call is finished
  ecru_uv_call *call;      // loop's thread
  enum operation operation;
  const char *path, *to;   // the caller's, who stays to the end
  int number;              // flags or permissions
  int mode;
  intptr_t descriptor;
  int64_t bytes;
  double accessed, modified;
} request;

static void finished(uv_fs_t *fs) { ecru_uv_finish(((request *)fs->data)->call, fs->result); }
static void cancel(void *state) { uv_cancel((uv_req_t *)&((request *)state)->fs); }

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  request *r = state;
  uv_fs_t *fs = &r->fs;
  r->call = call;
  fs->data = r;
  switch (r->operation) {
  case OPEN: return uv_fs_open(loop, fs, r->path, r->number, r->mode, finished);
  case STAT: return uv_fs_stat(loop, fs, r->path, finished);
  case LINK_STAT: return uv_fs_lstat(loop, fs, r->path, finished);
  case FILE_STAT: return uv_fs_fstat(loop, fs, (uv_file)r->descriptor, finished);
  case SYNC: return uv_fs_fsync(loop, fs, (uv_file)r->descriptor, finished);
  case TRUNCATE: return uv_fs_ftruncate(loop, fs, (uv_file)r->descriptor, r->bytes, finished);
  case RENAME: return uv_fs_rename(loop, fs, r->path, r->to, finished);
  case UNLINK: return uv_fs_unlink(loop, fs, r->path, finished);
  case MAKE_DIRECTORY: return uv_fs_mkdir(loop, fs, r->path, r->mode, finished);
  case REMOVE_DIRECTORY: return uv_fs_rmdir(loop, fs, r->path, finished);
  case MAKE_TEMPORARY: return uv_fs_mkdtemp(loop, fs, r->path, finished);
  case REAL: return uv_fs_realpath(loop, fs, r->path, finished);
  case LINK: return uv_fs_link(loop, fs, r->path, r->to, finished);
  case SYMLINK: return uv_fs_symlink(loop, fs, r->path, r->to, 0, finished);
  case READ_LINK: return uv_fs_readlink(loop, fs, r->path, finished);
  case SET_MODE: return uv_fs_chmod(loop, fs, r->path, r->mode, finished);
  case SET_TIMES: return uv_fs_utime(loop, fs, r->path, r->accessed, r->modified, finished);
  case COPY: return uv_fs_copyfile(loop, fs, r->path, r->to, UV_FS_COPYFILE_FICLONE, finished);
  case SCAN: return uv_fs_scandir(loop, fs, r->path, 0, finished);
  }
  return UV_ENOSYS;
}

/// Does it. On success the answer lies in r->fs until uv_fs_req_cleanup, else there is nothing to clean up.
static int64_t do_request(ecru__worker **w, request *r) {
  int64_t result = ecru__canceled(*w);
  if (result != 0) return result;
  memset(&r->fs, 0, sizeof r->fs);
  result = ecru__uv_await(w, start, cancel, r, ECRU__WAIT_FILE);
  if (result < 0) uv_fs_req_cleanup(&r->fs);
  return result;
}

/// A request with nothing to bring back.
static int simple(request *r) {
  if (!r->path) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = do_request(&w, r);
  if (result >= 0) uv_fs_req_cleanup(&r->fs);
  ecru__leave(w);
  return result < 0 ? (int)result : 0;
}

// ---- the handle --------------------------------------------------------------------------------------------------------

static int close_descriptor(intptr_t descriptor) {
  uv_fs_t fs;
  int status = ecru_uv_status(uv_fs_close(NULL, &fs, (uv_file)descriptor, NULL)); // at once, in this thread
  uv_fs_req_cleanup(&fs);
  return status;
}

/// Outside: closing may block, as where the file lies on another machine.
static void shut(ecru_file *file) {
  int declared = ecru_blocking_enter();
  file->close_status = close_descriptor(file->descriptor);
  if (declared == 0) ecru_blocking_exit();
  ecru__worker *w = ecru__enter();
  if (!w) return;
  ecru__event_set(w, &file->shut);
  ecru__leave(w);
}

static int hold(ecru_file *file) {
  ecru__lock_take(&file->lock);
  bool closed = file->closed;
  if (!closed) file->operations++;
  ecru__lock_drop(&file->lock);
  return closed ? ECRU_ECLOSED : 0;
}

/// Outside.
static void let_go(ecru_file *file) {
  ecru__lock_take(&file->lock);
  bool last = --file->operations == 0 && file->closed;
  ecru__lock_drop(&file->lock);
  if (last) shut(file);
}

static int flags_of(unsigned flags) {
  if (flags & ~127u || !(flags & (ECRU_FILE_READ | ECRU_FILE_WRITE | ECRU_FILE_APPEND))) return ECRU_EINVAL;
  bool writes = flags & (ECRU_FILE_WRITE | ECRU_FILE_APPEND);
  int result = !writes ? UV_FS_O_RDONLY : flags & ECRU_FILE_READ ? UV_FS_O_RDWR : UV_FS_O_WRONLY;
  if (flags & ECRU_FILE_APPEND) result |= UV_FS_O_APPEND;
  if (flags & ECRU_FILE_CREATE) result |= UV_FS_O_CREAT;
  if (flags & ECRU_FILE_EXCLUSIVE) result |= UV_FS_O_EXCL;
  if (flags & ECRU_FILE_TRUNCATE) result |= UV_FS_O_TRUNC;
  if (flags & ECRU_FILE_SYNC) result |= UV_FS_O_SYNC;
  return result;
}

int ecru_file_open(ecru_file **file, const char *path, unsigned flags, uint32_t mode) {
  request r = {.operation = OPEN, .path = path, .number = flags_of(flags), .mode = (int)mode};
  if (!file || !path || r.number < 0) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_file *made = ecru__calloc(1, sizeof *made);
  int64_t result = made ? do_request(&w, &r) : ECRU_ENOMEM;
  ecru__leave(w);
  if (result < 0) {
    ecru__free(made);
    return (int)result;
  }
  uv_fs_req_cleanup(&r.fs);
  made->descriptor = (intptr_t)result;
  atomic_init(&made->references, 1);
  *file = made;
  return 0;
}

/// returns: 0: the caller shuts it; ECRU_EBUSY: the last operation does; ECRU_ECLOSED.
static int close_to_all(ecru_file *file) {
  ecru__lock_take(&file->lock);
  int status = file->closed ? ECRU_ECLOSED : file->operations > 0 ? ECRU_EBUSY : 0;
  file->closed = true;
  ecru__lock_drop(&file->lock);
  return status;
}

int ecru_file_close(ecru_file *file) {
  if (!file) return ECRU_EINVAL;
  if (ecru__worker_forked()) return ECRU_EFORKED;
  int status = close_to_all(file);
  if (status == ECRU_ECLOSED) return status;
  if (status == 0) shut(file);
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__event_wait_shielded(&w, &file->shut, ECRU__WAIT_CLOSE, file);
  ecru__event_settle(&file->shut);
  ecru__leave(w);
  return file->close_status;
}

ecru_file *ecru_file_retain(ecru_file *file) {
  if (file) atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed); // relaxed: the caller's own keeps it alive
  return file;
}

void ecru_file_release(ecru_file *file) {
  // acq_rel: all that was done with it happens before it is freed
  if (!file || atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1) return;
  if (!file->closed) close_descriptor(file->descriptor);
  ecru__free(file);
}

intptr_t ecru_file_descriptor(ecru_file *file) {
  if (!file) return ECRU_EINVAL;
  ecru__lock_take(&file->lock);
  bool closed = file->closed;
  ecru__lock_drop(&file->lock);
  return closed ? ECRU_ECLOSED : file->descriptor;
}

// ---- reading and writing -----------------------------------------------------------------------------------------------

/// 0, or why not to begin: the caller's token, or the file is closed. After 0, let_go.
static int begin(ecru_file *file) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  ecru__leave(w);
  return status == 0 ? hold(file) : status;
}

/// Declared as blocking.
static int64_t read_waiting(ecru_file *file, void *buffer, size_t bytes, int64_t offset) {
  int64_t result = ecru_blocking_enter();
  if (result != 0) return result;
  result = ecru__file_read(file->descriptor, buffer, bytes, offset);
  ecru_blocking_exit();
  return result;
}

static int64_t read_file(ecru_file *file, void *buffer, size_t bytes, int64_t offset) {
  int64_t result = begin(file);
  if (result != 0) return result;
  // at the descriptor's own position it is one call: another reader could come between two
  int64_t at_hand = offset < 0 ? 0 : ecru__file_read_at_hand(file->descriptor, buffer, bytes, offset);
  if (at_hand < (int64_t)bytes) // the rest is on the disk, or the file ends here
    result = read_waiting(file, (char *)buffer + at_hand, bytes - (size_t)at_hand, offset < 0 ? -1 : offset + at_hand);
  let_go(file);
  return result >= 0 || at_hand == 0 ? at_hand + result : at_hand;
}

int64_t ecru_file_read(ecru_file *file, void *buffer, size_t bytes) {
  return file && (buffer || bytes == 0) ? read_file(file, buffer, bytes, -1) : ECRU_EINVAL;
}

int64_t ecru_file_read_at(ecru_file *file, void *buffer, size_t bytes, int64_t offset) {
  return file && (buffer || bytes == 0) && offset >= 0 ? read_file(file, buffer, bytes, offset) : ECRU_EINVAL;
}

static int64_t write_all(ecru_file *file, const char *data, size_t bytes, int64_t offset, size_t *written) {
  size_t done = 0;
  int64_t result = 0;
  while (done < bytes) {
    result = ecru__file_write(file->descriptor, data + done, bytes - done, offset < 0 ? -1 : offset + (int64_t)done);
    if (result <= 0) break;
    done += (size_t)result;
  }
  if (written) *written = done;
  return done == bytes ? (int64_t)done : result < 0 ? result : ECRU_EIO;
}

static int64_t write_file(ecru_file *file, const void *data, size_t bytes, int64_t offset, size_t *written) {
  if (written) *written = 0;
  if (!file || (!data && bytes > 0)) return ECRU_EINVAL;
  int64_t result = begin(file);
  if (result != 0) return result;
  result = ecru_blocking_enter();
  if (result == 0) {
    result = write_all(file, data, bytes, offset, written);
    ecru_blocking_exit();
  }
  let_go(file);
  return result;
}

int64_t ecru_file_write(ecru_file *file, const void *data, size_t bytes, size_t *written) {
  return write_file(file, data, bytes, -1, written);
}

int64_t ecru_file_write_at(ecru_file *file, const void *data, size_t bytes, int64_t offset, size_t *written) {
  if (written) *written = 0;
  return offset < 0 ? ECRU_EINVAL : write_file(file, data, bytes, offset, written);
}

/// A request about an open file.
static int64_t with_file(ecru_file *file, request *r) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = hold(file);
  if (result == 0) {
    r->descriptor = file->descriptor;
    result = do_request(&w, r);
    ecru__leave(w);
    let_go(file);
    return result;
  }
  ecru__leave(w);
  return result;
}

int ecru_file_sync(ecru_file *file) {
  request r = {.operation = SYNC};
  if (!file) return ECRU_EINVAL;
  int64_t result = with_file(file, &r);
  if (result >= 0) uv_fs_req_cleanup(&r.fs);
  return (int)result;
}

int ecru_file_truncate(ecru_file *file, int64_t bytes) {
  request r = {.operation = TRUNCATE, .bytes = bytes};
  if (!file || bytes < 0) return ECRU_EINVAL;
  int64_t result = with_file(file, &r);
  if (result >= 0) uv_fs_req_cleanup(&r.fs);
  return (int)result;
}

// ---- what things are ---------------------------------------------------------------------------------------------------

static int64_t nanoseconds(uv_timespec_t t) { return (int64_t)t.tv_sec * ECRU_SECOND + t.tv_nsec; }

static uint32_t kind_of_mode(uint64_t mode) {
  switch (mode >> 12 & 15) { // S_IFMT, the same everywhere
  case 8: return ECRU_KIND_FILE;
  case 4: return ECRU_KIND_DIRECTORY;
  case 10: return ECRU_KIND_LINK;
  case 1: return ECRU_KIND_PIPE;
  case 12: return ECRU_KIND_SOCKET;
  case 2: return ECRU_KIND_CHARACTERS;
  case 6: return ECRU_KIND_BLOCKS;
  default: return ECRU_KIND_UNKNOWN;
  }
}

static void fill_info(ecru_file_info *info, uv_fs_t *fs) {
  const uv_stat_t *s = uv_fs_get_statbuf(fs);
  ecru_file_info all = {.size = info->size, .bytes = (int64_t)s->st_size, .kind = kind_of_mode(s->st_mode), .mode = (uint32_t)(s->st_mode & 07777),
                        .device = s->st_dev, .inode = s->st_ino, .links = s->st_nlink, .user = (uint32_t)s->st_uid, .group = (uint32_t)s->st_gid,
                        .modified_ns = nanoseconds(s->st_mtim), .accessed_ns = nanoseconds(s->st_atim), .changed_ns = nanoseconds(s->st_ctim),
                        .disk_bytes = (int64_t)s->st_blocks * 512};
  memcpy(info, &all, info->size);
  uv_fs_req_cleanup(fs);
}

static bool is_info(const ecru_file_info *info) { return info && info->size >= sizeof(size_t) && info->size <= sizeof *info; }

int ecru_file_stat(ecru_file *file, ecru_file_info *info) {
  request r = {.operation = FILE_STAT};
  if (!file || !is_info(info)) return ECRU_EINVAL;
  int64_t result = with_file(file, &r);
  if (result < 0) return (int)result;
  fill_info(info, &r.fs);
  return 0;
}

static int stat_path(const char *path, ecru_file_info *info, enum operation operation) {
  request r = {.operation = operation, .path = path};
  if (!path || !is_info(info)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = do_request(&w, &r);
  if (result >= 0) fill_info(info, &r.fs);
  ecru__leave(w);
  return result < 0 ? (int)result : 0;
}

int ecru_path_stat(const char *path, ecru_file_info *info) { return stat_path(path, info, STAT); }
int ecru_path_link_stat(const char *path, ecru_file_info *info) { return stat_path(path, info, LINK_STAT); }

// ---- names -------------------------------------------------------------------------------------------------------------

int ecru_path_rename(const char *from, const char *to) {
  return to ? simple(&(request){.operation = RENAME, .path = from, .to = to}) : ECRU_EINVAL;
}
int ecru_path_unlink(const char *path) { return simple(&(request){.operation = UNLINK, .path = path}); }
int ecru_path_make_directory(const char *path, uint32_t mode) {
  return simple(&(request){.operation = MAKE_DIRECTORY, .path = path, .mode = (int)mode});
}
int ecru_path_remove_directory(const char *path) { return simple(&(request){.operation = REMOVE_DIRECTORY, .path = path}); }
int ecru_path_link(const char *from, const char *to) {
  return to ? simple(&(request){.operation = LINK, .path = from, .to = to}) : ECRU_EINVAL;
}
int ecru_path_symlink(const char *from, const char *to) {
  return to ? simple(&(request){.operation = SYMLINK, .path = from, .to = to}) : ECRU_EINVAL;
}
int ecru_path_set_mode(const char *path, uint32_t mode) { return simple(&(request){.operation = SET_MODE, .path = path, .mode = (int)mode}); }
int ecru_path_set_times(const char *path, int64_t accessed_ns, int64_t modified_ns) {
  return simple(&(request){.operation = SET_TIMES, .path = path, .accessed = (double)accessed_ns / 1e9, .modified = (double)modified_ns / 1e9});
}
int ecru_path_copy(const char *from, const char *to) {
  return to ? simple(&(request){.operation = COPY, .path = from, .to = to}) : ECRU_EINVAL;
}

/// A request whose answer is a text.
static int text_of(request *r, char *text, size_t bytes) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = do_request(&w, r);
  ecru__leave(w);
  if (result < 0) return (int)result;
  const char *answer = r->operation == MAKE_TEMPORARY ? r->fs.path : r->fs.ptr;
  size_t length = strlen(answer);
  if (length < bytes) memcpy(text, answer, length + 1);
  uv_fs_req_cleanup(&r->fs);
  return length < bytes ? (int)length : ECRU_EOVERFLOW;
}

int ecru_path_read_link(const char *path, char *text, size_t bytes) {
  return path && text ? text_of(&(request){.operation = READ_LINK, .path = path}, text, bytes) : ECRU_EINVAL;
}
int ecru_path_real(const char *path, char *text, size_t bytes) {
  return path && text ? text_of(&(request){.operation = REAL, .path = path}, text, bytes) : ECRU_EINVAL;
}
int ecru_path_make_temporary_directory(char *path) {
  if (!path) return ECRU_EINVAL;
  int result = text_of(&(request){.operation = MAKE_TEMPORARY, .path = path}, path, strlen(path) + 1);
  return result < 0 ? result : 0;
}

// ---- directories -------------------------------------------------------------------------------------------------------

struct ecru_directory {
  size_t count;
  struct { const char *name; int kind; } entries[]; // the names follow them
};

static int kind_of_entry(uv_dirent_type_t type) {
  switch (type) {
  case UV_DIRENT_FILE: return ECRU_KIND_FILE;
  case UV_DIRENT_DIR: return ECRU_KIND_DIRECTORY;
  case UV_DIRENT_LINK: return ECRU_KIND_LINK;
  case UV_DIRENT_FIFO: return ECRU_KIND_PIPE;
  case UV_DIRENT_SOCKET: return ECRU_KIND_SOCKET;
  case UV_DIRENT_CHAR: return ECRU_KIND_CHARACTERS;
  case UV_DIRENT_BLOCK: return ECRU_KIND_BLOCKS;
  default: return ECRU_KIND_UNKNOWN;
  }
}

/// Appends the names, as they come, to *text. returns: 0; ECRU_ENOMEM.
static int gather(uv_fs_t *fs, char **text, size_t *used, char *kinds) {
  size_t room = 0, i = 0;
  for (uv_dirent_t entry; uv_fs_scandir_next(fs, &entry) == 0; i++) {
    size_t bytes = strlen(entry.name) + 1;
    if (*used + bytes > room) {
      room = (*used + bytes) * 2;
      char *more = ecru__realloc(*text, room);
      if (!more) return ECRU_ENOMEM;
      *text = more;
    }
    memcpy(*text + *used, entry.name, bytes);
    *used += bytes;
    kinds[i] = (char)kind_of_entry(entry.type);
  }
  return 0;
}

static int make_directory(ecru_directory **directory, uv_fs_t *fs, size_t count) {
  char *text = NULL, *kinds = ecru__malloc(count + 1);
  size_t used = 0;
  ecru_directory *d = NULL;
  if (kinds && gather(fs, &text, &used, kinds) == 0) d = ecru__malloc(sizeof *d + count * sizeof *d->entries + used);
  if (d) {
    char *names = (char *)&d->entries[count];
    if (used > 0) memcpy(names, text, used);
    d->count = count;
    for (size_t i = 0; i < count; i++, names += strlen(names) + 1) d->entries[i].name = names, d->entries[i].kind = kinds[i];
    *directory = d;
  }
  ecru__free(text);
  ecru__free(kinds);
  return d ? 0 : ECRU_ENOMEM;
}

int ecru_directory_read(ecru_directory **directory, const char *path) {
  request r = {.operation = SCAN, .path = path};
  if (!directory || !path) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = do_request(&w, &r);
  ecru__leave(w);
  if (result < 0) return (int)result;
  int status = make_directory(directory, &r.fs, (size_t)result);
  uv_fs_req_cleanup(&r.fs);
  return status;
}

size_t ecru_directory_count(const ecru_directory *directory) { return directory ? directory->count : 0; }

const char *ecru_directory_name(const ecru_directory *directory, size_t i, int *kind) {
  if (!directory || i >= directory->count) return NULL;
  if (kind) *kind = directory->entries[i].kind;
  return directory->entries[i].name;
}

void ecru_directory_destroy(ecru_directory *directory) { ecru__free(directory); }

// ---- whole files -------------------------------------------------------------------------------------------------------

/// Reads until the end. returns: 0; ECRU_EFBIG; ECRU_ENOMEM; as ecru_file_read.
static int read_to_end(ecru_file *file, char **data, size_t *used, size_t room, size_t most) {
  for (;;) {
    char *more = *used + 1 < room ? *data : realloc(*data, room *= 2); // the user frees it, so it is malloc's
    if (!more) return ECRU_ENOMEM;
    *data = more;
    int64_t count = ecru_file_read(file, *data + *used, room - 1 - *used);
    if (count <= 0) return (int)count;
    *used += (size_t)count;
    if (*used > most) return ECRU_EFBIG;
  }
}

int ecru_file_read_whole(const char *path, void **data, size_t *bytes, size_t most) {
  ecru_file *file = NULL;
  ecru_file_info info = ECRU_FILE_INFO;
  if (!path || !data || !bytes) return ECRU_EINVAL;
  int status = ecru_file_open(&file, path, ECRU_FILE_READ, 0);
  if (status != 0) return status;
  status = ecru_file_stat(file, &info); // its length is only a hint: it may grow, and files of /proc have none
  if (status == 0 && info.bytes > 0 && (uint64_t)info.bytes > most) status = ECRU_EFBIG;
  size_t room = info.bytes > 0 && status == 0 ? (size_t)info.bytes + 2 : 4096, used = 0;
  char *found = status == 0 ? malloc(room) : NULL;
  if (status == 0) status = found ? read_to_end(file, &found, &used, room, most) : ECRU_ENOMEM;
  ecru_file_release(file);
  if (status != 0) {
    free(found);
    return status;
  }
  found[used] = 0;
  *data = found;
  *bytes = used;
  return 0;
}

int ecru_file_write_whole(const char *path, const void *data, size_t bytes, uint32_t mode) {
  ecru_file *file = NULL;
  if (!path || (!data && bytes > 0)) return ECRU_EINVAL;
  int status = ecru_file_open(&file, path, ECRU_FILE_WRITE | ECRU_FILE_CREATE | ECRU_FILE_TRUNCATE, mode);
  if (status != 0) return status;
  int64_t written = ecru_file_write(file, data, bytes, NULL);
  int closed = ecru_file_close(file);
  ecru_file_release(file);
  return written < 0 ? (int)written : closed;
}
