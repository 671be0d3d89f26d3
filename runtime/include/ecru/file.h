/// ecru/file.h: regular files and directories (rule I6). Pipes, sockets and terminals are ecru_io (ecru/io.h).
///
/// What opens, names and removes things is done by libuv's pool while the goroutine is parked: when the caller's token fires, a request still in the pool's queue is taken back and had no effect; one that a thread is at
/// cannot be stopped, is waited for, and its result counts. Reads and writes run on the goroutine's own thread, its processor handed to another if
/// they take long (G3): they are never cut short by a token, only not begun.
/// A call on a closed file returns ECRU_ECLOSED; paths are UTF-8. Errors are the system's: ECRU_ENOENT, ECRU_EACCES, ECRU_EMFILE ...
#ifndef ECRU_FILE_H
#define ECRU_FILE_H
#include <ecru/base.h>

typedef struct ecru_file ecru_file;
typedef struct ecru_directory ecru_directory;

enum {
  ECRU_FILE_READ = 1,
  ECRU_FILE_WRITE = 2,
  ECRU_FILE_APPEND = 4,     ///< every write goes to the end
  ECRU_FILE_CREATE = 8,     ///< make it if it is not there
  ECRU_FILE_EXCLUSIVE = 16, ///< with CREATE: fail with ECRU_EEXIST if it is there
  ECRU_FILE_TRUNCATE = 32,  ///< make it empty
  ECRU_FILE_SYNC = 64,      ///< a write returns when the data is on the disk
};
/// What a path leads to.
enum {
  ECRU_KIND_UNKNOWN = 0,
  ECRU_KIND_FILE = 1,
  ECRU_KIND_DIRECTORY = 2,
  ECRU_KIND_LINK = 3,
  ECRU_KIND_PIPE = 4,
  ECRU_KIND_SOCKET = 5,
  ECRU_KIND_CHARACTERS = 6, ///< character device
  ECRU_KIND_BLOCKS = 7,     ///< block device
};

typedef struct ecru_file_info {
  size_t size;          ///< sizeof(ecru_file_info), set by the caller
  int64_t bytes;        ///< length
  uint32_t kind;        ///< ECRU_KIND_*
  uint32_t mode;        ///< permissions (07777)
  uint64_t device, inode, links;
  uint32_t user, group;
  int64_t modified_ns, accessed_ns, changed_ns; ///< since 1970
  int64_t disk_bytes;   ///< what it takes on the disk
} ecru_file_info;
#define ECRU_FILE_INFO {sizeof(ecru_file_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

ECRU_BEGIN
/// Opens a file; a new one gets `mode` as the umask allows. Not inherited by children.
/// effects: any thread; parks; allocates. owns: the caller holds one reference to *file.
/// returns: 0; ECRU_EINVAL NULL, unknown flags, neither READ nor WRITE nor APPEND; the system's errors; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_file_open(ecru_file **file, const char *path, unsigned flags, uint32_t mode);
/// Closes it to all: pending operations finish, the descriptor is closed after them and before this returns.
/// effects: any thread; parks (shielded). returns: 0; ECRU_ECLOSED it was closed before; what close says (ECRU_EIO, ECRU_ENOSPC, ECRU_EDQUOT); ECRU_EINVAL. since: 0.1
ECRU_API int ecru_file_close(ecru_file *file);
/// One more reference. effects: any thread; never parks. returns: file; NULL is passed through. since: 0.1
ECRU_API ecru_file *ecru_file_retain(ecru_file *file);
/// Gives a reference back; the last closes it. NULL is ignored. effects: any thread; never parks, but closing may block the thread (G3). since: 0.1
ECRU_API void ecru_file_release(ecru_file *file);
/// The descriptor, for ecru_io_send_file and the like; it stays the file's. effects: any thread; never parks. returns: it; ECRU_ECLOSED; ECRU_EINVAL. since: 0.1
ECRU_API intptr_t ecru_file_descriptor(ecru_file *file);
/// Reads at the file's position, which moves on. effects: any thread; parks, or blocks its own thread only (G3); allocates nothing.
/// returns: how many bytes, fewer than asked for only at the end of the file or after an interruption; 0: the end; ECRU_EBADF not open for that; ECRU_EISDIR; ECRU_EIO;
/// ECRU_ECANCELED, ECRU_ETIMEDOUT: nothing was read; ECRU_ECLOSED; ECRU_EINVAL. since: 0.1
ECRU_API int64_t ecru_file_read(ecru_file *file, void *buffer, size_t bytes);
/// Reads at an offset from the beginning; the position stays. effects, returns: as ecru_file_read. since: 0.1
ECRU_API int64_t ecru_file_read_at(ecru_file *file, void *buffer, size_t bytes, int64_t offset);
/// Writes all of it at the file's position, which moves on. *written (may be NULL) says how much even if it fails.
/// effects: any thread; parks, or blocks its own thread only (G3); allocates nothing. returns: bytes; ECRU_ENOSPC, ECRU_EDQUOT, ECRU_EFBIG; as ecru_file_read. since: 0.1
ECRU_API int64_t ecru_file_write(ecru_file *file, const void *data, size_t bytes, size_t *written);
/// Writes at an offset from the beginning; the position stays. effects, returns: as ecru_file_write. since: 0.1
ECRU_API int64_t ecru_file_write_at(ecru_file *file, const void *data, size_t bytes, int64_t offset, size_t *written);
/// Says what it is. effects: any thread; parks; allocates. returns: 0; ECRU_EINVAL also info->size; ECRU_ECLOSED; the system's errors; ECRU_ECANCELED, ECRU_ETIMEDOUT. since: 0.1
ECRU_API int ecru_file_stat(ecru_file *file, ecru_file_info *info);
/// Returns when what was written is on the disk. effects, returns: as ecru_file_stat; ECRU_EIO, ECRU_ENOSPC. since: 0.1
ECRU_API int ecru_file_sync(ecru_file *file);
/// Makes it `bytes` long: what is behind goes, what is missing reads as zero. effects, returns: as ecru_file_stat. since: 0.1
ECRU_API int ecru_file_truncate(ecru_file *file, int64_t bytes);

/// Reads a whole file into memory that the caller frees with free(). A zero byte that does not count follows the data.
/// effects: any thread; parks; allocates. returns: 0; ECRU_EFBIG it has more than `most` bytes; as ecru_file_open, ecru_file_read. since: 0.1
ECRU_API int ecru_file_read_whole(const char *path, void **data, size_t *bytes, size_t most);
/// Makes or replaces the content of a file. Not at once: who reads meanwhile may see part of it (write another, then ecru_path_rename).
/// effects: any thread; parks; allocates. returns: 0; as ecru_file_open, ecru_file_write. since: 0.1
ECRU_API int ecru_file_write_whole(const char *path, const void *data, size_t bytes, uint32_t mode);

/// What a path leads to; ecru_path_link_stat: without following a link at its end.
/// effects: any thread; parks; allocates. returns: 0; ECRU_EINVAL; the system's errors; ECRU_ECANCELED, ECRU_ETIMEDOUT. since: 0.1
ECRU_API int ecru_path_stat(const char *path, ecru_file_info *info);
ECRU_API int ecru_path_link_stat(const char *path, ecru_file_info *info);
/// Gives a file another name, at once; what had that name is replaced. effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_rename(const char *from, const char *to);
/// Removes a name, with the last one the file. effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_unlink(const char *path);
/// Makes a directory / removes an empty one. effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_make_directory(const char *path, uint32_t mode);
ECRU_API int ecru_path_remove_directory(const char *path);
/// Makes a directory of a new name, for the user alone; `path` ends in "XXXXXX", which is replaced in place.
/// effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_make_temporary_directory(char *path);
/// Makes `to` another name of `from` / a link that says `from`. effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_link(const char *from, const char *to);
ECRU_API int ecru_path_symlink(const char *from, const char *to);
/// What a link says / the path without links, "." and "..", absolute.
/// effects: as ecru_path_stat. returns: the length; ECRU_EOVERFLOW it does not fit with its terminating zero; as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_read_link(const char *path, char *text, size_t bytes);
ECRU_API int ecru_path_real(const char *path, char *text, size_t bytes);
/// Sets permissions / the times of last access and change, since 1970 (exact to about a microsecond). effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_set_mode(const char *path, uint32_t mode);
ECRU_API int ecru_path_set_times(const char *path, int64_t accessed_ns, int64_t modified_ns);
/// Copies a file with its permissions; shares the blocks where the file system can. `to` is replaced. effects, returns: as ecru_path_stat. since: 0.1
ECRU_API int ecru_path_copy(const char *from, const char *to);

/// Reads the names in a directory, without "." and "..", sorted by bytes. effects: as ecru_path_stat. owns: *directory until ecru_directory_destroy.
/// returns: 0; as ecru_path_stat. since: 0.1
ECRU_API int ecru_directory_read(ecru_directory **directory, const char *path);
/// How many there are. effects: any thread; never parks. since: 0.1
ECRU_API size_t ecru_directory_count(const ecru_directory *directory);
/// The i-th name, and its kind (may be NULL; ECRU_KIND_UNKNOWN where the file system does not say). effects: any thread; never parks.
/// owns: the name is the directory's. returns: NULL: there is none. since: 0.1
ECRU_API const char *ecru_directory_name(const ecru_directory *directory, size_t i, int *kind);
/// Frees it; NULL is ignored. effects: any thread; never parks. since: 0.1
ECRU_API void ecru_directory_destroy(ecru_directory *directory);
ECRU_END
#endif
