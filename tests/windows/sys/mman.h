/// tests/windows/sys/mman.h: memory nobody else has.
#ifndef ECRU_TESTS_WINDOWS_MMAN_H
#define ECRU_TESTS_WINDOWS_MMAN_H
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <winsock2.h>
// after winsock2.h
#include <windows.h>
enum { PROT_NONE = PAGE_NOACCESS, PROT_READ = PAGE_READONLY, PROT_WRITE = PAGE_READWRITE & ~PAGE_READONLY };
enum { MAP_PRIVATE = 1, MAP_ANONYMOUS = 2, MAP_NORESERVE = 4 };
#define MAP_FAILED NULL
static inline void *mmap(void *address, size_t bytes, int protection, int flags, int file, long offset) {
  (void)flags, (void)file, (void)offset;
  return VirtualAlloc(address, bytes, MEM_RESERVE | MEM_COMMIT, protection & PROT_WRITE ? PAGE_READWRITE : PAGE_READONLY);
}
static inline int munmap(void *address, size_t bytes) { return (void)bytes, VirtualFree(address, 0, MEM_RELEASE) ? 0 : -1; }
#endif
