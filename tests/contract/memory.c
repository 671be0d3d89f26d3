/// tests/contract/memory.c: what platform/memory.h and platform/fault.h promise while no test asks for a fault.
#include "platform/memory.h"
#include "test.h"

TEST(memory, it_is_as_malloc) {
  int *numbers = ecru__calloc(4, sizeof *numbers);
  CHECK(numbers != NULL);
  CHECK_EQ(numbers[3], 0);
  numbers = ecru__realloc(numbers, 8 * sizeof *numbers);
  CHECK(numbers != NULL);
  ecru__free(numbers);
  void *block = ecru__malloc(1);
  CHECK(block != NULL);
  ecru__free(block);
  ecru__free(NULL);
}

TEST(memory, nothing_fails_unasked) {
  for (int kind = 0; kind < ECRU__FAULT_KINDS; kind++) CHECK_EQ(ecru__fault(kind), 0);
}
