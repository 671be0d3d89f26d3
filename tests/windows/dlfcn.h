/// tests/windows/dlfcn.h: the C library's functions, by their names.
#ifndef ECRU_TESTS_WINDOWS_DLFCN_H
#define ECRU_TESTS_WINDOWS_DLFCN_H
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define RTLD_DEFAULT GetModuleHandleA("msvcrt.dll")
static inline void *dlsym(HMODULE library, const char *name) { return (void *)(uintptr_t)GetProcAddress(library, name); }
#endif
