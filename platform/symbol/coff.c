/// platform/symbol/coff.c: names of functions from the COFF symbol table that mingw-w64 leaves in programs and libraries, unless they are stripped; of others
/// (the system's, Microsoft's compiler's) the exported ones.
///
/// The table is no part of what is loaded: the file is mapped for the moment of the look-up. Every offset read from it is checked
/// against its size. The exports are.
#include "platform/symbol.h"

#include <windows.h>
// after windows.h
#include <stddef.h>
#include <string.h>

bool ecru__symbol_is_signal_safe(void) { return true; }

struct view { HANDLE file, mapping; const char *bytes; size_t size; };

static bool open_view(const wchar_t *path, struct view *view) {
  LARGE_INTEGER size;
  memset(view, 0, sizeof *view);
  view->file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
  if (view->file == INVALID_HANDLE_VALUE || !GetFileSizeEx(view->file, &size)) return false;
  view->size = (size_t)size.QuadPart;
  view->mapping = CreateFileMappingW(view->file, NULL, PAGE_READONLY, 0, 0, NULL);
  if (view->mapping) view->bytes = MapViewOfFile(view->mapping, FILE_MAP_READ, 0, 0, 0);
  return view->bytes != NULL;
}

static void close_view(const struct view *view) {
  if (view->bytes) UnmapViewOfFile(view->bytes);
  if (view->mapping) CloseHandle(view->mapping);
  if (view->file != INVALID_HANDLE_VALUE) CloseHandle(view->file);
}

/// `bytes` at offset, or NULL if the file does not hold them.
static const void *part(const struct view *view, uint64_t offset, uint64_t bytes) {
  return offset <= view->size && bytes <= view->size - offset ? view->bytes + offset : NULL;
}

static void copy(char *to, const char *from, size_t most, size_t room) {
  size_t i = 0;
  for (; i + 1 < room && i < most && from[i]; i++) to[i] = from[i];
  to[i] = 0;
}

/// Where sections lie in memory, and the symbols with the strings after them.
struct table { const IMAGE_SECTION_HEADER *sections; const IMAGE_SYMBOL *symbols; const char *strings; uint32_t count, section_count, string_bytes; };

static bool find_table(const struct view *view, struct table *table) {
  const IMAGE_DOS_HEADER *dos = part(view, 0, sizeof *dos);
  if (!dos || dos->e_magic != IMAGE_DOS_SIGNATURE) return false;
  uint64_t at = (uint32_t)dos->e_lfanew;
  const IMAGE_NT_HEADERS64 *nt = part(view, at, sizeof *nt);
  if (!nt || nt->Signature != IMAGE_NT_SIGNATURE || nt->FileHeader.PointerToSymbolTable == 0) return false;
  at += offsetof(IMAGE_NT_HEADERS64, OptionalHeader) + nt->FileHeader.SizeOfOptionalHeader;
  table->section_count = nt->FileHeader.NumberOfSections;
  table->sections = part(view, at, table->section_count * sizeof *table->sections);
  table->count = nt->FileHeader.NumberOfSymbols;
  uint64_t symbols = nt->FileHeader.PointerToSymbolTable, strings = symbols + (uint64_t)table->count * IMAGE_SIZEOF_SYMBOL;
  table->symbols = part(view, symbols, (uint64_t)table->count * IMAGE_SIZEOF_SYMBOL);
  const uint32_t *string_bytes = part(view, strings, sizeof *string_bytes);
  if (!table->sections || !table->symbols || !string_bytes) return false;
  memcpy(&table->string_bytes, string_bytes, sizeof table->string_bytes);
  table->strings = part(view, strings, table->string_bytes);
  return table->strings && table->string_bytes > 4 && table->strings[table->string_bytes - 1] == 0;
}

static void put_name(const struct table *table, const IMAGE_SYMBOL *symbol, char *name, size_t room) {
  uint32_t at = symbol->N.Name.Long;
  if (symbol->N.Name.Short != 0) copy(name, (const char *)symbol->N.ShortName, sizeof symbol->N.ShortName, room);
  else if (at < table->string_bytes) copy(name, table->strings + at, table->string_bytes - at, room);
}

/// The function that begins last at or before `at`, counted from where the module begins. Functions have no sizes here.
static void find_function(const struct table *table, uint32_t at, ecru__symbol *found) {
  const char *bytes = (const char *)table->symbols;
  const IMAGE_SYMBOL *best = NULL;
  uint32_t best_start = 0;
  for (uint64_t i = 0; i < table->count; i++) {
    const IMAGE_SYMBOL *symbol = (const IMAGE_SYMBOL *)(const void *)(bytes + i * IMAGE_SIZEOF_SYMBOL);
    i += symbol->NumberOfAuxSymbols;
    if (!ISFCN(symbol->Type) || symbol->SectionNumber <= 0 || (uint32_t)symbol->SectionNumber > table->section_count) continue;
    const IMAGE_SECTION_HEADER *section = &table->sections[symbol->SectionNumber - 1];
    uint32_t start = section->VirtualAddress + symbol->Value;
    if (at < start || at - section->VirtualAddress >= section->Misc.VirtualSize || (best && start <= best_start)) continue;
    best = symbol;
    best_start = start;
  }
  if (!best) return;
  put_name(table, best, found->function, sizeof found->function);
  found->offset = at - best_start + 1;
}

/// As find_function, among what the loaded module exports.
static void find_export(const char *module, uint32_t at, ecru__symbol *found) {
  const IMAGE_NT_HEADERS64 *nt = (const void *)(module + ((const IMAGE_DOS_HEADER *)(const void *)module)->e_lfanew);
  const IMAGE_DATA_DIRECTORY *directory = &nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT];
  if (directory->VirtualAddress == 0) return;
  const IMAGE_EXPORT_DIRECTORY *exports = (const void *)(module + directory->VirtualAddress);
  const DWORD *starts = (const void *)(module + exports->AddressOfFunctions), *names = (const void *)(module + exports->AddressOfNames);
  const WORD *ordinals = (const void *)(module + exports->AddressOfNameOrdinals);
  uint32_t best_start = 0;
  for (DWORD i = 0; i < exports->NumberOfNames; i++) {
    uint32_t start = starts[ordinals[i]];
    bool forwarded = start - directory->VirtualAddress < directory->Size;
    if (forwarded || at < start || start <= best_start) continue;
    best_start = start;
    copy(found->function, module + names[i], sizeof found->function, sizeof found->function);
    found->offset = at - start + 1;
  }
}

static void name_module(const wchar_t *path, char *name, size_t room) {
  const wchar_t *base = path;
  for (const wchar_t *at = path; *at; at++)
    if (*at == L'\\' || *at == L'/') base = at + 1;
  size_t i = 0;
  for (; i + 1 < room && base[i]; i++) name[i] = base[i] < 0x80 ? (char)base[i] : '?';
  name[i] = 0;
}

bool ecru__symbol_find(const void *return_address, ecru__symbol *symbol) {
  memset(symbol, 0, sizeof *symbol);
  HMODULE module = NULL;
  wchar_t path[512];
  // The call itself lies before the address it returns to; what follows a call that never returns may be another function.
  const char *call = (const char *)return_address - 1;
  const DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  if ((uintptr_t)return_address <= 1 || !GetModuleHandleExW(flags, (const wchar_t *)(const void *)call, &module)) return false;
  DWORD length = GetModuleFileNameW(module, path, sizeof path / sizeof path[0]);
  if (length == 0 || length >= sizeof path / sizeof path[0]) return false;
  symbol->module_offset = (uintptr_t)return_address - (uintptr_t)module;
  name_module(path, symbol->module, sizeof symbol->module);
  struct view view;
  struct table table;
  uint32_t at = (uint32_t)(call - (const char *)module);
  if (open_view(path, &view) && find_table(&view, &table)) find_function(&table, at, symbol);
  else find_export((const char *)module, at, symbol);
  close_view(&view);
  return true;
}
