/// platform/file/win32.c: ReadFile and WriteFile on the C runtime's descriptors, which is what libuv opens files as.
///
/// With a position ReadFile moves the file's own one, too: who uses both has a race, which POSIX does not have.
#include "platform/file.h"

#include <windows.h>
// after windows.h
#include <io.h>

#include "platform/io.h"

enum { ONE_CALL_MAX = 1 << 30 };

typedef BOOL move_fn(HANDLE file, void *data, DWORD bytes, DWORD *moved, OVERLAPPED *at);

static BOOL write_from(HANDLE file, void *data, DWORD bytes, DWORD *moved, OVERLAPPED *at) { return WriteFile(file, data, bytes, moved, at); }

static int64_t move(move_fn *fn, intptr_t descriptor, void *data, size_t bytes, int64_t offset) {
  HANDLE file = (HANDLE)_get_osfhandle((int)descriptor);
  if (file == INVALID_HANDLE_VALUE) return ECRU_EBADF;
  OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)((uint64_t)offset >> 32)};
  DWORD moved = 0;
  if (fn(file, data, bytes < ONE_CALL_MAX ? (DWORD)bytes : ONE_CALL_MAX, &moved, offset < 0 ? NULL : &at)) return moved;
  DWORD error = GetLastError();
  if (error == ERROR_HANDLE_EOF || (error == ERROR_BROKEN_PIPE && fn == ReadFile)) return 0;
  return error == ERROR_ACCESS_DENIED ? ECRU_EBADF : ecru__status_of((int)error); // it was opened for the other direction
}

int64_t ecru__file_read(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset) {
  return move(ReadFile, descriptor, buffer, bytes, offset);
}

int64_t ecru__file_read_at_hand(intptr_t descriptor, void *buffer, size_t bytes, int64_t offset) {
  (void)descriptor, (void)buffer, (void)bytes, (void)offset;
  return 0; // it cannot be told
}

int64_t ecru__file_write(intptr_t descriptor, const void *data, size_t bytes, int64_t offset) {
  return move(write_from, descriptor, (void *)(uintptr_t)data, bytes, offset);
}
