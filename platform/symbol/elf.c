/// platform/symbol/elf.c: names of functions from the symbol tables of ELF files.
///
/// The loader says which file an address belongs to: _dl_find_object (glibc 2.35) without a lock, so also in a fault
/// handler; a walk over all modules elsewhere. The file is mapped for the moment of the look-up and its .symtab searched, or .dynsym if it
/// is stripped. That finds static functions and those of programs, which dladdr alone does not (it knows only what is
/// exported). About 50 us a look-up in a file of 10,000 symbols: callers remember what they have asked.
///
/// A file that is not the one that was loaded (replaced meanwhile) is recognised by its header in most cases. Every
/// offset read from it is checked against its size.
#include "platform/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(DLFO_STRUCT_HAS_EH_DBASE)
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));
#endif

/// Where a module was found.
struct module {
  const char *path;   // "" for the program itself
  const void *header; // its ELF header in memory, NULL: unknown
  uintptr_t bias;     // address in memory - address in the file
};

bool ecru__symbol_is_signal_safe(void) {
#if defined(DLFO_STRUCT_HAS_EH_DBASE)
  return _dl_find_object != NULL;
#else
  return false;
#endif
}

struct search { uintptr_t address; struct module *module; };

/// One module of the loader's list. returns: whether the address lies in it.
static int look_into(struct dl_phdr_info *loaded, size_t bytes, void *argument) {
  (void)bytes;
  struct search *search = argument;
  const void *header = NULL;
  bool found = false;
  for (int i = 0; i < loaded->dlpi_phnum; i++) {
    const ElfW(Phdr) *part_of_it = &loaded->dlpi_phdr[i];
    uintptr_t start = loaded->dlpi_addr + part_of_it->p_vaddr;
    if (part_of_it->p_type != PT_LOAD) continue;
    if (part_of_it->p_offset == 0) header = (const void *)start;
    found |= search->address - start < part_of_it->p_memsz;
  }
  const char *name = strcmp(loaded->dlpi_name, "/proc/self/exe") == 0 ? "" : loaded->dlpi_name; // musl's word for the program itself
  if (found) *search->module = (struct module){name, header, loaded->dlpi_addr};
  return found;
}

static bool find_module(const void *address, struct module *module) {
#if defined(DLFO_STRUCT_HAS_EH_DBASE)
  struct dl_find_object object;
  if (_dl_find_object) {
    if (_dl_find_object((void *)(uintptr_t)address, &object) != 0) return false;
    *module = (struct module){object.dlfo_link_map->l_name, object.dlfo_map_start, object.dlfo_link_map->l_addr};
    return true;
  }
#endif
  struct search search = {(uintptr_t)address, module};
  return dl_iterate_phdr(look_into, &search) != 0;
}

/// A mapped file.
struct file { const char *bytes; size_t size; };

static bool map_file(const char *path, struct file *file) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat state;
  void *bytes = MAP_FAILED;
  if (fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && (size_t)state.st_size >= sizeof(ElfW(Ehdr))) {
    file->size = (size_t)state.st_size;
    bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  close(fd);
  file->bytes = bytes;
  return bytes != MAP_FAILED;
}

/// `count` things of `each` bytes at offset, or NULL if the file does not hold them, aligned.
static const void *part(const struct file *file, uint64_t offset, uint64_t count, uint64_t each) {
  if (offset > file->size || count > (file->size - offset) / each || offset % 4 != 0) return NULL;
  return file->bytes + offset;
}

struct names { const ElfW(Sym) *symbols; size_t count; const char *text; size_t text_bytes; };

static bool table_at(const struct file *file, const ElfW(Shdr) *sections, size_t count, const ElfW(Shdr) *section, struct names *names) {
  if (section->sh_link >= count) return false;
  const ElfW(Shdr) *text = &sections[section->sh_link];
  names->count = section->sh_size / sizeof(ElfW(Sym));
  names->symbols = part(file, section->sh_offset, names->count, sizeof(ElfW(Sym)));
  names->text_bytes = text->sh_size;
  if (text->sh_offset > file->size || text->sh_size > file->size - text->sh_offset || text->sh_size == 0) return false;
  names->text = file->bytes + text->sh_offset;
  return names->symbols != NULL && names->text[names->text_bytes - 1] == 0;
}

static bool find_names(const struct file *file, const struct module *module, struct names *names) {
  const ElfW(Ehdr) *header = (const void *)file->bytes;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_shentsize != sizeof(ElfW(Shdr))) return false;
  if (module->header && memcmp(header, module->header, sizeof *header) != 0) return false; // not what was loaded
  size_t count = header->e_shnum;
  const ElfW(Shdr) *sections = part(file, header->e_shoff, count, sizeof(ElfW(Shdr)));
  if (!sections) return false;
  static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
  for (int kind = 0; kind < 2; kind++)
    for (size_t i = 0; i < count; i++)
      if (sections[i].sh_type == kinds[kind] && table_at(file, sections, count, &sections[i], names)) return true;
  return false;
}

static void copy(char *to, const char *from, size_t room) {
  size_t i = 0;
  for (; i + 1 < room && from[i]; i++) to[i] = from[i];
  to[i] = 0;
}

/// Whether symbol i is the name of a function that `at` lies in.
static bool covers(const struct names *names, size_t i, uintptr_t at) {
  const ElfW(Sym) *candidate = &names->symbols[i];
  unsigned type = candidate->st_info & 0xf; // ELF32_ST_TYPE and ELF64_ST_TYPE are the same
  if ((type != STT_FUNC && type != STT_GNU_IFUNC) || candidate->st_shndx == SHN_UNDEF) return false;
  if (at < candidate->st_value || at - candidate->st_value >= candidate->st_size) return false;
  return candidate->st_name != 0 && candidate->st_name < names->text_bytes;
}

/// Of several names of one function (tsearch, __tsearch) the first that begins with no underscore, or else the first.
static void find_function(const struct names *names, uintptr_t at, ecru__symbol *symbol) {
  const char *best = NULL;
  for (size_t i = 0; i < names->count && (!best || best[0] == '_'); i++) {
    if (!covers(names, i, at)) continue;
    const char *name = names->text + names->symbols[i].st_name;
    if (best && name[0] == '_') continue;
    best = name;
    symbol->offset = at - names->symbols[i].st_value + 1;
  }
  if (best) copy(symbol->function, best, sizeof symbol->function);
}

static void name_module(const char *path, char *name, size_t room) {
  char own[512];
  if (path[0] == 0) {
    ssize_t bytes = readlink("/proc/self/exe", own, sizeof own - 1);
    own[bytes > 0 ? bytes : 0] = 0;
    path = own;
  }
  const char *base = strrchr(path, '/');
  copy(name, base ? base + 1 : path, room);
}

bool ecru__symbol_find(const void *return_address, ecru__symbol *symbol) {
  int saved_errno = errno;
  memset(symbol, 0, sizeof *symbol);
  struct module module;
  // The call itself lies before the address it returns to; what follows a call that never returns may be another function.
  const uintptr_t call = (uintptr_t)return_address - 1;
  bool found = return_address && find_module((const void *)call, &module);
  struct file file;
  if (found) {
    symbol->module_offset = (uintptr_t)return_address - module.bias;
    name_module(module.path, symbol->module, sizeof symbol->module);
    if (map_file(module.path[0] ? module.path : "/proc/self/exe", &file)) {
      struct names names;
      if (find_names(&file, &module, &names)) find_function(&names, call - module.bias, symbol);
      munmap((void *)(uintptr_t)file.bytes, file.size);
    }
  }
  errno = saved_errno;
  return found;
}
