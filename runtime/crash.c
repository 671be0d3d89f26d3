/// runtime/crash.c: the last words of a goroutine (G8, G11).
///
/// A SIGSEGV or SIGBUS whose address lies in the guard of a goroutine's stack, or of the thread's stack that a goroutine
/// runs on (ECRU_OWN_THREAD, ecru_on_thread_stack), is told with the goroutine's id, name,
/// stack size and creation site; then, as for every other fault, what was installed before takes over. The handler runs on
/// an alternate stack of the worker and uses only async-signal-safe calls. What matters most is written first: should
/// looking up the symbol fault in turn, that is not lost.
///
/// An exception that no handler in a goroutine catches is told with the goroutine; then std::terminate ends the process.
#include <stdlib.h>

#include "platform/signal.h"
#include "platform/symbol.h"
#include "platform/unwind.h"
#include "runtime/debug.h"
#include "runtime/text.h"

enum { ROOM = 512 };

static void put_who(ecru__text *text, const ecru__goroutine *g) {
  ecru__put(text, "goroutine ");
  ecru__put_number(text, g->id);
  if (!g->name[0]) return;
  ecru__put(text, " \"");
  ecru__put_plain(text, g->name);
  ecru__put(text, "\"");
}

static void put_origin(ecru__text *text, const ecru__goroutine *g) {
  ecru__put(text, "ecru: it was created by ");
  if (g->parent_id) {
    ecru__put(text, "goroutine ");
    ecru__put_number(text, g->parent_id);
  } else {
    ecru__put(text, "a foreign thread");
  }
  ecru__put(text, " at ");
  if (ecru__symbol_is_signal_safe()) ecru__put_symbol(text, g->site);
  else ecru__put_hex(text, (uintptr_t)g->site);
  ecru__put(text, "\n");
}

static void put_overflow(const ecru__goroutine *g, const char *which, size_t bytes, const char *remedy) {
  char buffer[ROOM];
  ecru__text text = ecru__text_to(2, buffer, sizeof buffer);
  ecru__put(&text, "ecru: stack overflow: ");
  put_who(&text, g);
  ecru__put(&text, " needs more than ");
  ecru__put(&text, which);
  ecru__put(&text, " of ");
  ecru__put_number(&text, bytes >> 10);
  ecru__put(&text, " KiB (");
  ecru__put(&text, remedy);
  ecru__put(&text, ")\n");
  (void)ecru__text_end(&text);
  put_origin(&text, g);
  (void)ecru__text_end(&text);
}

static bool in_guard_of_thread(const char *address, const ecru__worker *w) {
  const char *low = w->native_stack_low; // NULL: a foreign thread
  return low && address < low && address >= low - ECRU__THREAD_GUARD_BYTES;
}

/// In a fault handler, in the thread that faulted.
static void explain(const void *address) {
  const ecru__stack *stack = ecru__stack_at(address);
  if (stack) {
    bool overflown = (const char *)address < stack->low + ecru__stack_guard_bytes(stack->log2);
    if (!overflown || !atomic_load_explicit(&stack->in_use, memory_order_relaxed)) return;
    put_overflow(ecru__stack_goroutine(stack), "its stack", (size_t)1 << stack->log2,
                 "ecru_go_options.stack_bytes, ecru_options.stack_bytes");
    return;
  }
  ecru__worker *w = ecru__worker_here();
  if (!w || !in_guard_of_thread(address, w)) return;
  if (w->own_goroutine) put_overflow(w->own_goroutine, "its thread's stack", w->native_stack_bytes, "ecru_go_options.stack_bytes");
  else if (w->on_native) put_overflow(ecru__goroutine_here(w), "the thread's stack", w->native_stack_bytes, "ecru_on_thread_stack; ulimit -s");
}

/// Something unwinds out of the entry of the goroutine that runs here.
static void leaves_entry(int forced) {
  ecru__worker *w = ecru__worker_here();
  const ecru__goroutine *g = !w ? NULL : w->own_goroutine ? w->own_goroutine : ecru__goroutine_here(w);
  char buffer[ROOM];
  ecru__text text = ecru__text_to(2, buffer, sizeof buffer);
  ecru__put(&text, forced ? "ecru: a thread was ended (pthread_exit or pthread_cancel) under " : "ecru: uncaught exception in ");
  if (g) put_who(&text, g);
  else ecru__put(&text, "a goroutine");
  ecru__put(&text, "\n");
  if (g) put_origin(&text, g);
  (void)ecru__text_end(&text);
  if (forced) abort();
}

void ecru__crash_listen(void) { ecru__unwind_tell(leaves_entry); }
void ecru__crash_install(void) { ecru__signal_explain_faults(explain); }
void ecru__crash_thread(ecru__worker *w) {
  (void)w;
  ecru__signal_thread_start();
}
void ecru__crash_thread_end(void) { ecru__signal_thread_end(); }
