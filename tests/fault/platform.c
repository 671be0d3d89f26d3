/// tests/fault/platform.c: that each seam of platform/fault.h makes its call fail, and only it.
#include "ecru/base.h"
#include "platform/fault.h"
#include "platform/memory.h"
#include "platform/thread.h"
#include "platform/vm.h"
#include "test.h"

TEST(fault, the_nth_allocation_fails) {
  ecru__fault_set(ECRU__FAULT_ALLOC, 3, 0);
  void *first = ecru__malloc(1), *second = ecru__calloc(1, 1);
  CHECK(first != NULL && second != NULL);
  CHECK(ecru__realloc(first, 2) == NULL);
  CHECK_EQ(ecru__fault_count(ECRU__FAULT_ALLOC), 3);
  first = ecru__realloc(first, 2);
  CHECK(first != NULL);
  ecru__free(first);
  ecru__free(second);
}

TEST(fault, it_can_repeat_and_end) {
  ecru__fault_set(ECRU__FAULT_ALLOC, 2, 1);
  ecru__free(ecru__malloc(1));
  for (int i = 0; i < 5; i++) CHECK(ecru__malloc(1) == NULL);
  ecru__fault_set(ECRU__FAULT_ALLOC, 0, 0);
  void *block = ecru__malloc(1);
  CHECK(block != NULL);
  ecru__free(block);
}

TEST(fault, mappings_and_guards_fail) {
  size_t page = ecru__vm_page();
  ecru__fault_set(ECRU__FAULT_MAP, 1, 0);
  CHECK(ecru__vm_reserve(page, page) == NULL);
  char *address = ecru__vm_reserve(page, page);
  CHECK(address != NULL);
  ecru__fault_set(ECRU__FAULT_GUARD, 1, 0);
  CHECK_EQ(ecru__vm_guard(address, page, page), ECRU_ENOMEM);
  address[0] = 1; // no guard
  CHECK_EQ(ecru__vm_guard(address, page, page), 0);
  ecru__vm_release(address, page);
}

static void set_flag(void *argument) { *(int *)argument = 1; }

TEST(fault, thread_starts_fail) {
  int flag = 0;
  void *handle;
  ecru__fault_set(ECRU__FAULT_THREAD, 1, 0);
  CHECK_EQ(ecru__thread_start(&handle, set_flag, &flag, NULL, 0), ECRU_ETHREADS);
  ecru__fault_set(ECRU__FAULT_ALLOC, 1, 0);
  CHECK_EQ(ecru__thread_start(&handle, set_flag, &flag, NULL, 0), ECRU_ETHREADS);
  CHECK_EQ(ecru__thread_start(&handle, set_flag, &flag, NULL, 0), 0);
  ecru__thread_join(handle);
  CHECK_EQ(flag, 1);
}
