// tests/contract/symbol.c: names of code (platform/symbol.h) and frames of a stack (platform/unwind.h).
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/symbol.h"
#include "platform/unwind.h"
#include "tests/test.h"

#if defined(__clang__)
#define SHOWN __attribute__((noinline))
#else
#define SHOWN __attribute__((noipa))
#endif

SHOWN static void *hidden_place(void) { return __builtin_return_address(0); }

SHOWN static bool look_from_a_static_function(ecru__symbol *symbol) {
  errno = 42;
  bool found = ecru__symbol_find(hidden_place(), symbol);
  CHECK_EQ(errno, 42);
  return found;
}

TEST(symbol, static_functions_have_names) {
  ecru__symbol symbol;
  CHECK(look_from_a_static_function(&symbol));
  CHECK_STR(symbol.function, "look_from_a_static_function");
  CHECK(strcmp(symbol.module, "symbol") == 0 || strcmp(symbol.module, "symbol.exe") == 0);
  CHECK(symbol.offset > 0 && symbol.offset < 256);
  CHECK(symbol.module_offset > symbol.offset);
}

TEST(symbol, functions_of_libraries_have_names) {
  void *place = dlsym(RTLD_DEFAULT, "bsearch");
  if (!place) SKIP("a static program");
  ecru__symbol symbol;
  CHECK(ecru__symbol_find((char *)place + 1, &symbol));
  CHECK_EQ(strncmp(symbol.function, "bsearch", 7), 0);
  CHECK_EQ(symbol.offset, 1);
  CHECK(symbol.module[0] != 0 && !strpbrk(symbol.module, "/\\"));
}

TEST(symbol, what_is_no_code_has_none) {
  ecru__symbol symbol;
  char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(!ecru__symbol_find(NULL, &symbol));
  CHECK_STR(symbol.function, "");
  CHECK(!ecru__symbol_find((void *)1, &symbol));
  CHECK(!ecru__symbol_find((void *)UINTPTR_MAX, &symbol));
  CHECK(!ecru__symbol_find(page + 8, &symbol));
  munmap(page, 4096);
}

TEST(symbol, looking_leaks_nothing) {
  ecru__symbol symbol;
  look_from_a_static_function(&symbol);
  int before = test_open_fds();
  for (int i = 0; i < 100; i++) look_from_a_static_function(&symbol);
  CHECK_EQ(test_open_fds(), before);
}

static const char *name_at(void *const *frames, int i) {
  static char name[128];
  ecru__symbol symbol;
  ecru__symbol_find(frames[i], &symbol);
  snprintf(name, sizeof name, "%s", symbol.function);
  return name;
}

static void *frames[64];

SHOWN static int innermost(int most) {
  int count = ecru__frames(frames, most);
  frames[63] = NULL; // no tail call
  return count;
}
SHOWN static int recursive(int depth, int most) { return depth == 0 ? innermost(most) : recursive(depth - 1, most) + 0 * depth; }
SHOWN static int outermost(int most) {
  volatile int count = recursive(0, most);
  return count;
}

TEST(unwind, frames_are_listed_innermost_first) {
  errno = 42;
  int count = outermost(60);
  CHECK_EQ(errno, 42);
  CHECK(count >= 4);
  CHECK_STR(name_at(frames, 0), "ecru__frames");
  CHECK_STR(name_at(frames, 1), "innermost");
  int at = 2;
  while (at < count && strcmp(name_at(frames, at), "outermost") != 0) at++;
  CHECK(at < count && at <= 3);
}

TEST(unwind, no_more_frames_than_there_is_room_for) {
  frames[2] = frames;
  CHECK_EQ(outermost(2), 2);
  CHECK(frames[2] == (void *)frames);
  CHECK_EQ(outermost(0), 0);
}
