/// runtime/handle.h: what tells a handle that lives from one whose last reference is gone (built with ECRU_CHECK_HANDLES).
///
/// Every handle that users release or destroy has a mark. Each public function looks at it first; what is done with a handle
/// after its end, a second release above all, is a panic with function, object and goroutine instead of a hang or a fault
/// somewhere else. So that the mark can still be read, ended handles are not freed at once but after many others have ended
/// (handle.c). Without ECRU_CHECK_HANDLES all this is nothing: no field, no instruction.
#ifndef ECRU_RUNTIME_HANDLE_H
#define ECRU_RUNTIME_HANDLE_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/memory.h"

#ifdef ECRU_CHECK_HANDLES
#define ECRU__MARK_ALIVE_WORD UINT64_C(0x6563727520697321)

typedef struct ecru__mark {
  _Atomic uint64_t word; // atomic: ECRU__MARK_ALIVE_WORD from creation to end
  void *block;           // written by who ends the handle: what to free ...
  size_t bytes;          // ... and its size
} ecru__mark;
/// Of a static object, which never ends.
#define ECRU__MARK_ALIVE {ECRU__MARK_ALIVE_WORD, NULL, 0}

/// The handle is alive, or NULL.
#define ECRU__CHECK_HANDLE_FOR(function, handle) \
  ((handle) ? ecru__handle_check(&(handle)->mark, (handle), (function)) : (void)0)
void ecru__handle_check(const ecru__mark *mark, const void *handle, const char *function);
/// The handle lives from here on.
void ecru__handle_begin(ecru__mark *mark);
/// The handle is dead from here on; its memory is still in use.
void ecru__handle_end(ecru__mark *mark);
/// The handle is dead from here on and its block, of so many bytes, will be freed some time.
void ecru__handle_free(ecru__mark *mark, void *block, size_t bytes);
/// Frees what waits to be freed.
void ecru__handles_release_all(void);
#else
typedef struct ecru__mark {
} ecru__mark;
#define ECRU__MARK_ALIVE {}
#define ECRU__CHECK_HANDLE_FOR(function, handle) ((void)0)
static inline void ecru__handle_begin(ecru__mark *mark) { (void)mark; }
static inline void ecru__handle_end(ecru__mark *mark) { (void)mark; }
static inline void ecru__handle_free(ecru__mark *mark, void *block, size_t bytes) {
  (void)mark, (void)bytes;
  ecru__free(block);
}
static inline void ecru__handles_release_all(void) {}
#endif
#define ECRU__CHECK_HANDLE(handle) ECRU__CHECK_HANDLE_FOR(__func__, handle)
#endif
