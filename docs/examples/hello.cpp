// The same in C++: lambdas as goroutines, channels of any movable type, results and exceptions through tasks.
#include <chrono>
#include <ecru/ecru.hpp>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

static std::string look_up(int id) { // a plain function
  ecru::sleep(10ms);                 // parks this goroutine, not its thread
  if (id == 13) throw std::runtime_error("nobody has number 13");
  return "user " + std::to_string(id);
}

int main() {
  return ecru::run([] {
    ecru::chan<std::unique_ptr<std::string>> greetings(4);
    ecru::go([greetings] {
      for (const char *name : {"Ada", "Grace"}) greetings.send(std::make_unique<std::string>(name));
      greetings.close();
    });
    for (auto &name : greetings) std::cout << "hello, " << *name << "\n"; // until it is closed and empty

    auto good = ecru::spawn(look_up, 7), bad = ecru::spawn(look_up, 13); // both at the same time
    std::cout << good.join() << "\n";
    try {
      std::cout << bad.join() << "\n";
    } catch (const std::runtime_error &failure) { // what the task threw
      std::cout << failure.what() << "\n";
    }

    try {
      ecru::deadline_scope patience(20ms);
      ecru::sleep(10s);
    } catch (const ecru::timed_out &failure) {
      std::cout << failure.what() << "\n";
    }
    return 0;
  });
}
