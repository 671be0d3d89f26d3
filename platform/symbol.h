/// platform/symbol.h: what lies at an address of code. Mechanisms: symbol/elf.c, symbol/dladdr.c.
#ifndef ECRU_PLATFORM_SYMBOL_H
#define ECRU_PLATFORM_SYMBOL_H
#include <stdbool.h>
#include <stdint.h>

typedef struct ecru__symbol {
  uintptr_t offset;        ///< of the address in the function
  uintptr_t module_offset; ///< of the address in the module's file: what addr2line wants
  char function[128];      ///< its name, cut to fit; empty: unknown
  char module[64];         ///< base name of the program or library; empty: unknown
} ecru__symbol;

/// Finds the function a call at `return_address` is in. Static functions are found as well, unless the file is stripped.
/// Allocates nothing and takes no lock, so it can be used in a fault handler if ecru__symbol_is_signal_safe(). errno is preserved.
/// returns: whether at least the module is known.
bool ecru__symbol_find(const void *return_address, ecru__symbol *symbol);
bool ecru__symbol_is_signal_safe(void);
#endif
