/// tests/unit/handle.c: what is kept of ended handles (runtime/handle.h; L2) is bounded, and gone after a stop (G13).
#include <ecru/ecru.h>
#include <stdlib.h>

#include "test.h"

static void need_malloc_statistics(void) {
  void *volatile block = malloc(1 << 20);
  size_t with = test_heap_bytes();
  free(block);
  if (with < 1 << 20) SKIP("another malloc: it tells nothing");
}

static void end_mutexes(int count) {
  for (int i = 0; i < count; i++) {
    ecru_mutex *mutex;
    CHECK_EQ(ecru_mutex_create(&mutex), 0);
    ecru_mutex_destroy(mutex);
  }
}

static void end_channels(int count, size_t bytes) {
  for (int i = 0; i < count; i++) {
    ecru_chan *chan;
    CHECK_EQ(ecru_chan_create(&chan, 1024, bytes / 1024), 0);
    ecru_chan_release(chan);
  }
}

TEST(handle, many_that_have_ended_take_little_memory) { // L2
  need_malloc_statistics();
  size_t before = test_heap_bytes();
  end_mutexes(100000);
  CHECK(test_heap_bytes() < before + (1 << 20));
  end_channels(100, 4 << 20);
  CHECK(test_heap_bytes() < before + (32 << 20));
  end_channels(3, 64 << 20); // each alone is more than is kept
  CHECK(test_heap_bytes() < before + (96 << 20));
}

TEST(handle, a_stop_frees_those_that_have_ended) { // G13
  need_malloc_statistics();
  CHECK_EQ(ecru_start(NULL), 0);
  CHECK_EQ(ecru_stop(), 0);
  size_t before = test_heap_bytes();
  CHECK_EQ(ecru_start(NULL), 0);
  end_mutexes(1000);
  end_channels(3, 1 << 20);
  CHECK_EQ(ecru_stop(), 0);
  CHECK(test_heap_bytes() < before + (64 << 10));
}
