/// runtime/handle.c: handles whose end has come (handle.h).
///
/// Ended handles wait in a ring for their memory to be freed: until KEPT others have ended, KEPT_BYTES are kept, or the runtime
/// stops. So a mistake is told for certain if it is made before that, and leak checkers see nothing of it. What is kept is
/// overwritten, which is a write that ThreadSanitizer sees as it would see the free, and poisoned for AddressSanitizer, so that
/// the runtime's own mistakes do not go unseen either; only this file looks at a mark behind that.
///
/// The ring has no lock: a channel may be released in a forked child (G14), where the holder of a lock may not exist.
///
/// Tried and dropped: a table of live handles (a lock on every call, which hides races from ThreadSanitizer, and the address of
/// an ended handle is soon that of another).
#include "runtime/handle.h"

#ifdef ECRU_CHECK_HANDLES
#include <string.h>

#include "runtime/park.h"
#include "runtime/sanitize.h"

enum { KEPT = 1024, KEPT_BYTES = 16 << 20, OVERWRITTEN_BYTES = 4096, PATTERN = 0xdd };
#define DEAD_WORD UINT64_C(0x6563727520776173)

static _Atomic(ecru__mark *) kept[KEPT]; // atomic
static _Atomic uint64_t next_slot;       // atomic: counts those that have ended
static _Atomic size_t kept_bytes;        // atomic

ECRU__NO_ASAN void ecru__handle_check(const ecru__mark *mark, const void *handle, const char *function) {
  // relaxed: the caller's own reference, if it has one, keeps it alive
  uint64_t word = atomic_load_explicit(&((ecru__mark *)(uintptr_t)mark)->word, memory_order_relaxed);
  if (word == ECRU__MARK_ALIVE_WORD) return;
  ecru__panic(function, handle, word == DEAD_WORD ? "it was destroyed, or released by its last holder, before"
                                                  : "this is no handle, or one that was freed long ago");
}

void ecru__handle_begin(ecru__mark *mark) { atomic_init(&mark->word, ECRU__MARK_ALIVE_WORD); }

void ecru__handle_end(ecru__mark *mark) { atomic_store_explicit(&mark->word, DEAD_WORD, memory_order_relaxed); }

ECRU__NO_ASAN static void free_block(ecru__mark *mark) {
  void *block = mark->block;
  atomic_fetch_sub_explicit(&kept_bytes, mark->bytes, memory_order_relaxed);
  ECRU__ASAN_UNPOISON(block, mark->bytes);
  ecru__free(block);
}

void ecru__handles_release_all(void) {
  for (int i = 0; i < KEPT; i++) {
    // acquire: pairs with the release in ecru__handle_free
    ecru__mark *mark = atomic_exchange_explicit(&kept[i], NULL, memory_order_acquire);
    if (mark) free_block(mark);
  }
}

void ecru__handle_free(ecru__mark *mark, void *block, size_t bytes) {
  memset(block, PATTERN, bytes < OVERWRITTEN_BYTES ? bytes : OVERWRITTEN_BYTES);
  mark->block = block;
  mark->bytes = bytes;
  ecru__handle_end(mark);
  ECRU__ASAN_POISON(block, bytes);
  if (atomic_fetch_add_explicit(&kept_bytes, bytes, memory_order_relaxed) + bytes > KEPT_BYTES) ecru__handles_release_all();
  uint64_t slot = atomic_fetch_add_explicit(&next_slot, 1, memory_order_relaxed) % KEPT;
  // acq_rel: pairs with itself, and with the acquire in ecru__handles_release_all: who takes a mark out finds its block in it
  ecru__mark *oldest = atomic_exchange_explicit(&kept[slot], mark, memory_order_acq_rel);
  if (oldest) free_block(oldest);
}
#endif
