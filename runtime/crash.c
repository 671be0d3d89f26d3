/// runtime/crash.c: the message for a stack overflow (G8). A SIGSEGV or SIGBUS whose address lies in the guard of a goroutine's
/// stack is told with the goroutine's id, name, stack size and creation site; then, as for every other fault, what was
/// installed before takes over. Runs on an alternate stack of the worker; uses only async-signal-safe calls.
#include "runtime/state.h"

#include "platform/signal.h"
#include "platform/vm.h"

static char *put_text(char *at, const char *text) {
  while (*text) *at++ = *text++;
  return at;
}

static char *put_number(char *at, uint64_t value, unsigned base) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  while (count > 0) *at++ = digits[--count];
  return at;
}

/// The fault handler's question: is it ours? Writes the message and says so.
static int explain(const void *address, char *message, unsigned room) {
  const ecru__stack *stack = ecru__stack_at(address);
  if (!stack || room < 256) return 0;
  if ((const char *)address >= stack->low + ecru__vm_page()) return 0;
  if (!atomic_load_explicit(&stack->in_use, memory_order_relaxed)) return 0;
  const ecru__goroutine *g = ecru__stack_goroutine(stack);
  char *at = put_text(message, "ecru: stack overflow: goroutine ");
  at = put_number(at, g->id, 10);
  if (g->name[0]) {
    at = put_text(at, " \"");
    at = put_text(at, g->name);
    at = put_text(at, "\"");
  }
  at = put_text(at, " exceeds its stack of ");
  at = put_number(at, ((uint64_t)1 << stack->log2) >> 10, 10);
  at = put_text(at, " KiB; created by goroutine ");
  at = put_number(at, g->parent_id, 10);
  at = put_text(at, " at 0x");
  at = put_number(at, (uintptr_t)g->site, 16);
  at = put_text(at, "; see ecru_go_options.stack_bytes\n");
  return (int)(at - message);
}

void ecru__crash_install(void) { ecru__signal_explain_faults(explain); }
void ecru__crash_thread(ecru__worker *w) {
  (void)w;
  ecru__signal_thread_start();
}
void ecru__crash_thread_end(void) { ecru__signal_thread_end(); }
