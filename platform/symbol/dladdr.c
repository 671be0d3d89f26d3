/// platform/symbol/dladdr.c: names of functions from the loader: of what is exported and, on macOS, of what the symbol table names. For systems
/// whose files or loader are not what symbol/elf.c expects.
#include "platform/symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static void copy(char *to, size_t bytes, const char *from) {
  size_t length = strlen(from);
  if (length >= bytes) length = bytes - 1;
  memcpy(to, from, length);
  to[length] = 0;
}

/// The loader takes locks.
bool ecru__symbol_is_signal_safe(void) { return false; }

bool ecru__symbol_find(const void *return_address, ecru__symbol *symbol) {
  int saved_errno = errno;
  memset(symbol, 0, sizeof *symbol);
  uintptr_t address = (uintptr_t)return_address - 1; // in the call, should it be the last of its function
  Dl_info info;
  int found = dladdr((const void *)address, &info);
  errno = saved_errno;
  if (!found || !info.dli_fname) return false;
  const char *slash = strrchr(info.dli_fname, '/');
  symbol->module_offset = address + 1 - (uintptr_t)info.dli_fbase;
  copy(symbol->module, sizeof symbol->module, slash ? slash + 1 : info.dli_fname);
  if (!info.dli_sname) return true;
  copy(symbol->function, sizeof symbol->function, info.dli_sname);
  symbol->offset = address + 1 - (uintptr_t)info.dli_saddr;
  return true;
}
