/// tests/unit/cpp_exceptions.cpp: exceptions may be in flight across a park (G11): each goroutine has its own, wherever it runs.
#include <ecru/ecru.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <unistd.h>

#include "test.h"

namespace {

void with_procs(int procs, ecru_fn fn) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  CHECK_EQ(ecru_run_with(&options, fn, nullptr), 0);
}
void go(ecru_fn fn, void *argument) { CHECK_EQ(ecru_go(fn, argument), 0); }
void go_flagged(unsigned flags, ecru_fn fn, void *argument) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = flags;
  CHECK_EQ(ecru_go_with(&options, fn, argument), 0);
}
ecru_chan *signals(size_t capacity) {
  ecru_chan *chan = nullptr;
  CHECK_EQ(ecru_chan_create(&chan, 0, capacity), 0);
  return chan;
}
void finish(ecru_chan *chan) { CHECK_EQ(ecru_chan_send(chan, nullptr), 0); }
void await(ecru_chan *chan, int count) {
  for (int i = 0; i < count; i++) CHECK_EQ(ecru_chan_recv(chan, nullptr), 0);
}
__attribute__((noinline)) long thread_here() { return test_thread_id(); }

// ---- two pinned goroutines on two threads: whom they wake goes on there --------------------------------------------

struct station {
  ecru_chan *calls = signals(100), *answers = signals(0);
  long thread = 0;
};
station *stations[2];
std::atomic<bool> apart;
ecru_chan *ready, *done;
std::atomic<long> moves;

void block_until_apart(void *) {
  while (!apart) usleep(100);
}
void serve(void *argument) {
  auto *self = static_cast<station *>(argument);
  CHECK_EQ(ecru_pin(), 0);
  self->thread = thread_here();
  finish(ready);
  if (self == stations[0]) CHECK_EQ(ecru_blocking(block_until_apart, nullptr), 0); // the other one needs another thread
  while (ecru_chan_recv(self->calls, nullptr) == 0) {
    if (ecru_chan_send(self->answers, nullptr) != 0) break;
    CHECK_EQ(std::uncaught_exceptions(), 0); // of those it wakes it sees nothing
    CHECK(std::current_exception() == nullptr);
  }
  finish(ready);
}
void start_stations() {
  ready = signals(2);
  apart = false;
  moves = 0;
  for (auto &one : stations) {
    one = new station;
    go(serve, one);
    await(ready, 1);
  }
  CHECK(stations[0]->thread != stations[1]->thread);
  apart = true;
}
void end_stations() {
  for (auto *one : stations) CHECK_EQ(ecru_chan_close(one->calls), 0);
  await(ready, 2);
  for (auto *one : stations) {
    ecru_chan_release(one->calls);
    ecru_chan_release(one->answers);
    delete one;
  }
  ecru_chan_release(ready);
}
/// Parks; goes on, most likely, on another thread.
void travel() {
  long before = thread_here();
  station *other = stations[before == stations[0]->thread];
  finish(other->calls);
  await(other->answers, 1);
  if (thread_here() != before) moves++;
}

// ---- one goroutine ------------------------------------------------------------------------------------------------

struct trouble : std::runtime_error {
  int number;
  explicit trouble(int n) : runtime_error("trouble " + std::to_string(n)), number(n) {}
};

struct travels_when_destroyed {
  int uncaught;
  ~travels_when_destroyed() {
    CHECK_EQ(std::uncaught_exceptions(), uncaught);
    travel();
    CHECK_EQ(std::uncaught_exceptions(), uncaught);
    travel();
    CHECK_EQ(std::uncaught_exceptions(), uncaught);
  }
};

void throw_past_travellers(int number) {
  travels_when_destroyed outer{1};
  travels_when_destroyed inner{1};
  throw trouble(number);
}

void in_flight(int number) {
  CHECK_EQ(std::uncaught_exceptions(), 0);
  try {
    throw_past_travellers(number);
  } catch (const trouble &caught) {
    CHECK_EQ(caught.number, number);
    CHECK_EQ(std::uncaught_exceptions(), 0);
  }
  CHECK(std::current_exception() == nullptr);
}

void rethrown_after_a_switch(int number) {
  const trouble *first = nullptr;
  try {
    try {
      throw trouble(number);
    } catch (const trouble &caught) {
      first = &caught;
      std::exception_ptr before = std::current_exception();
      travel();
      CHECK(std::current_exception() == before);
      CHECK_EQ(caught.number, number);
      travel();
      throw;
    }
  } catch (const trouble &again) {
    travel();
    CHECK(&again == first);
    CHECK_STR(again.what(), ("trouble " + std::to_string(number)).c_str());
  }
  CHECK(std::current_exception() == nullptr);
}

void nested(int number, int depth) {
  try {
    throw trouble(number + depth);
  } catch (const trouble &mine) {
    travel();
    if (depth > 0) nested(number, depth - 1); // thrown, parked and caught within this handler
    travel();
    CHECK_EQ(mine.number, number + depth);
    try {
      throw;
    } catch (const trouble &again) {
      travel();
      CHECK(&again == &mine);
    }
    try {
      std::rethrow_exception(std::current_exception());
    } catch (const trouble &same) {
      CHECK_EQ(same.number, mine.number);
    }
  }
}

struct throws_inside_when_destroyed { // a second exception while the first is in flight
  int number;
  ~throws_inside_when_destroyed() {
    CHECK_EQ(std::uncaught_exceptions(), 1);
    try {
      travels_when_destroyed both_in_flight{2};
      throw trouble(-number);
    } catch (const trouble &inner) {
      travel();
      CHECK_EQ(inner.number, -number);
      CHECK_EQ(std::uncaught_exceptions(), 1);
    }
    CHECK_EQ(std::uncaught_exceptions(), 1);
  }
};
void two_in_flight(int number) {
  try {
    throws_inside_when_destroyed note{number};
    throw trouble(number);
  } catch (const trouble &outer) {
    travel();
    CHECK_EQ(outer.number, number);
  }
}

void all_of_it(int number) {
  in_flight(number);
  rethrown_after_a_switch(number);
  nested(number, 4);
  two_in_flight(number);
  CHECK_EQ(std::uncaught_exceptions(), 0);
  CHECK(std::current_exception() == nullptr);
}

void alone(void *) {
  start_stations();
  for (int i = 1; i <= 10; i++) all_of_it(i);
  CHECK(moves > 0);
  end_stations();
}

// ---- many ---------------------------------------------------------------------------------------------------------

void one_of_many(void *number) {
  for (int i = 0; i < 10; i++) all_of_it(static_cast<int>(reinterpret_cast<intptr_t>(number)) * 100 + i);
  finish(done);
}
void many(void *) {
  start_stations();
  done = signals(100);
  intptr_t count = test_scaled(40);
  for (intptr_t i = 1; i <= count; i++) go(one_of_many, reinterpret_cast<void *>(i));
  await(done, static_cast<int>(count));
  go_flagged(ECRU_OWN_THREAD, one_of_many, reinterpret_cast<void *>(count + 1));
  go_flagged(ECRU_PINNED, one_of_many, reinterpret_cast<void *>(count + 2));
  await(done, 2);
  CHECK(moves > 0);
  ecru_chan_release(done);
  end_stations();
}

// ---- nobody sees another's ----------------------------------------------------------------------------------------

void clean(void *chan) { // runs, for the first time and again, while others are in handlers and in flight on this very thread
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(std::uncaught_exceptions(), 0);
    CHECK(std::current_exception() == nullptr);
    CHECK_EQ(ecru_yield(), 0);
  }
  finish(static_cast<ecru_chan *>(chan));
}
void start_clean_ones() {
  ecru_chan *ended = signals(10);
  for (int i = 0; i < 3; i++) go(clean, ended);
  await(ended, 3);
  ecru_chan_release(ended);
}
struct starts_when_destroyed {
  ~starts_when_destroyed() {
    start_clean_ones();
    CHECK_EQ(std::uncaught_exceptions(), 1);
  }
};
void isolated(void *) {
  for (int i = 0; i < 5; i++) {
    try {
      starts_when_destroyed note;
      throw trouble(i);
    } catch (const trouble &caught) {
      start_clean_ones();
      CHECK_EQ(caught.number, i);
      CHECK(std::current_exception() != nullptr);
    }
  }
}

void swap_handlers(void *number) { // all are in their handlers at once and take turns
  int mine = static_cast<int>(reinterpret_cast<intptr_t>(number));
  try {
    throw trouble(mine);
  } catch (const trouble &caught) {
    std::exception_ptr current = std::current_exception();
    for (int i = 0; i < 50; i++) {
      CHECK_EQ(ecru_yield(), 0);
      CHECK(std::current_exception() == current);
      CHECK_EQ(caught.number, mine);
    }
    try {
      throw; // the handlers end in an order they were not entered in
    } catch (const trouble &again) {
      CHECK_EQ(again.number, mine);
    }
  }
  finish(done);
}
void in_turns(void *) {
  done = signals(100);
  for (intptr_t i = 0; i < 30; i++) go(swap_handlers, reinterpret_cast<void *>(i));
  await(done, 30);
  ecru_chan_release(done);
}

// ---- from one to another ------------------------------------------------------------------------------------------

ecru_chan *parcels, *thanks; // of std::exception_ptr *; of nothing
void fail_there(void *number) {
  try {
    throw trouble(static_cast<int>(reinterpret_cast<intptr_t>(number)));
  } catch (...) {
    auto *parcel = new std::exception_ptr(std::current_exception());
    CHECK_EQ(ecru_chan_send(parcels, &parcel), 0); // still in the handler
    await(thanks, 1);
  }
  finish(done);
}
void rethrow_here(void *) {
  CHECK_EQ(ecru_chan_create(&parcels, sizeof(void *), 0), 0);
  thanks = signals(1);
  done = signals(1);
  static const unsigned flags[] = {0, ECRU_PINNED, ECRU_OWN_THREAD};
  for (int i = 0; i < 30; i++) {
    go_flagged(flags[i % 3], fail_there, reinterpret_cast<void *>(intptr_t{i}));
    std::exception_ptr *parcel = nullptr;
    CHECK_EQ(ecru_chan_recv(parcels, &parcel), 0);
    try {
      std::rethrow_exception(*parcel);
    } catch (const trouble &theirs) {
      CHECK_EQ(ecru_yield(), 0);
      CHECK_EQ(theirs.number, i);
    }
    delete parcel;
    finish(thanks); // also orders the uses of the exception for ThreadSanitizer, which does not see into the C++ library
    await(done, 1);
  }
  ecru_chan_release(done);
  ecru_chan_release(parcels);
  ecru_chan_release(thanks);
}

void throw_and_catch_there(void *) {
  CHECK_EQ(std::uncaught_exceptions(), 1); // it is the same goroutine
  try {
    throw trouble(5);
  } catch (const trouble &caught) {
    travel(); // waits natively
    CHECK_EQ(caught.number, 5);
  }
}
struct hops_when_destroyed {
  ~hops_when_destroyed() {
    CHECK_EQ(ecru_on_thread_stack(throw_and_catch_there, nullptr), 0);
    CHECK_EQ(std::uncaught_exceptions(), 1);
  }
};
void on_thread_stack(void *) {
  start_stations();
  for (int i = 0; i < 5; i++) {
    try {
      hops_when_destroyed note;
      throw trouble(i);
    } catch (const trouble &caught) {
      travel();
      CHECK_EQ(caught.number, i);
    }
  }
  end_stations();
}

} // namespace

TEST(cpp_exceptions, travel_with_their_goroutine) { // G11
  with_procs(1, alone);
  with_procs(2, alone);
}
TEST(cpp_exceptions, of_many_goroutines_do_not_mix) { // G11, G10
  with_procs(1, many);
  with_procs(2, many);
}
TEST(cpp_exceptions, are_not_seen_by_others) { // G11
  with_procs(1, isolated);
  with_procs(2, isolated);
}
TEST(cpp_exceptions, handlers_can_end_in_any_order) { // G11
  with_procs(1, in_turns);
  with_procs(2, in_turns);
}
TEST(cpp_exceptions, can_be_handed_to_another) { // G11
  with_procs(1, rethrow_here);
  with_procs(2, rethrow_here);
}
TEST(cpp_exceptions, may_be_in_flight_on_the_threads_stack) { // G11, G10
  with_procs(1, on_thread_stack);
  with_procs(2, on_thread_stack);
}
