// tests/contract/migration/exceptions.cpp: the C++ exception state of code that moves between threads.
//
// The C++ runtime keeps the caught exceptions and the count of those in flight per thread: 16 bytes behind
// __cxa_get_globals(). A switch has to swap them, through a fresh pointer (the function is declared `const`, so its
// result is kept across the switch like the address of a thread-local).
#include "travel.h"
#include <cxxabi.h>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

struct ExceptionState {
  void *caught = nullptr;
  unsigned uncaught = 0;
};

__attribute__((noinline)) ExceptionState *laundered_state() {
  void *address = __cxxabiv1::__cxa_get_globals();
  asm volatile("" : "+r"(address));
  return static_cast<ExceptionState *>(address);
}

void travel_with_exceptions(traveller *me) {
  ExceptionState mine = *laundered_state();
  *laundered_state() = ExceptionState();
  travel(me);
  *laundered_state() = mine;
}

void describe(place *) {}

void thread_has_no_exception(place *) {
  CHECK(std::current_exception() == nullptr);
  CHECK_EQ(std::uncaught_exceptions(), 0);
}

/// Its destructor travels while an exception is in flight.
struct TravelsWhenDestroyed {
  traveller *me;
  explicit TravelsWhenDestroyed(traveller *owner) : me(owner) {}
  ~TravelsWhenDestroyed() {
    me->stale += std::uncaught_exceptions() != 1;
    travel_with_exceptions(me);
    me->stale += std::uncaught_exceptions() != 1;
  }
};

[[noreturn]] void throw_and_travel(traveller *me, const std::string &text) {
  TravelsWhenDestroyed guard(me);
  throw std::runtime_error(text);
}

/// Travels inside a catch block, catches another exception there, and rethrows the first.
void rethrow_after_travel(traveller *me, const std::string &text) {
  try {
    throw_and_travel(me, text);
  } catch (...) {
    travel_with_exceptions(me);
    try {
      throw std::logic_error("inner " + text);
    } catch (const std::logic_error &inner) {
      travel_with_exceptions(me);
      me->stale += "inner " + text != inner.what();
    }
    travel_with_exceptions(me);
    throw;
  }
}

void keep_exceptions(void *value) {
  auto *me = static_cast<traveller *>(value);
  const std::string name = std::to_string(reinterpret_cast<uintptr_t>(me));
  for (long round = 0;; round++) {
    const std::string text = name + " " + std::to_string(round);
    me->stale += std::current_exception() != nullptr;
    try {
      rethrow_after_travel(me, text);
      me->stale++;
    } catch (const std::runtime_error &error) {
      me->stale += text != error.what();
    }
    for (long i = 0; i < round % 3; i++) travel_with_exceptions(me); // the travellers fall out of step
  }
}

} // namespace

TEST(migration, exceptions_go_with_the_traveller) { // G11
  before_resume = after_resume = thread_has_no_exception;
  CHECK_EQ(send_travellers(3, keep_exceptions, describe), 0);
}

namespace {
void keep_nothing(void *value) {
  auto *me = static_cast<traveller *>(value);
  try {
    throw me;
  } catch (traveller *mine) {
    for (;;) { // for ever: leaving the block would end somebody else's exception
      travel(me);
      try {
        std::exception_ptr current = std::current_exception();
        if (current == nullptr) {
          me->stale++;
          continue;
        }
        std::rethrow_exception(current);
      } catch (traveller *current) {
        me->stale += current != mine;
      }
    }
  }
}
} // namespace

TEST(migration, control_without_the_swap_exceptions_mix) {
  if (send_travellers(2, keep_nothing, describe) == 0) SKIP("exceptions happen to stay apart in this mode");
  _Exit(0); // with the C++ runtime's state left in disorder
}
