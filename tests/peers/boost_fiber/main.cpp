// Boost.Fiber's side of the core benchmarks: `bench_boost_fiber CASE PROCS N` runs one case once and prints one line of
// key=value. The cases are defined in tests/bench/core.c. One processor is round robin, several are its work stealing.
// What differs by nature: waiting for a fiber is join; a stack is 64 KiB from a pool, or 16 KiB of malloc for crowds.
// Left out: select (there is none), hogs and blocker (a fiber that does not wait keeps its thread).

#include <algorithm>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
using boost::this_fiber::yield;
using steady = std::chrono::steady_clock;
using fibers::channel_op_status;

static int procs;
static long count;
static std::int64_t cpu0_ns;
static steady::time_point wall0;

static std::int64_t cpu_ns() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return std::int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

static void begin() {
  wall0 = steady::now();
  cpu0_ns = cpu_ns();
}

static void end(long ops) {
  auto cpu = double(cpu_ns() - cpu0_ns);
  auto wall = double(std::chrono::nanoseconds(steady::now() - wall0).count());
  std::printf(" cpu_ns_per_op=%.3f wall_ns_per_op=%.3f", cpu / double(ops), wall / double(ops));
}

static void expect(bool fact, const char *what) {
  if (fact) return;
  std::fprintf(stderr, "bench_boost_fiber: %s\n", what);
  std::_Exit(1);
}

/// What the process holds: resident pages and page tables, in bytes.
static std::int64_t memory() {
  std::FILE *file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  long long total = 0, kib;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "VmRSS: %lld", &kib) == 1 || std::sscanf(line, "VmPTE: %lld", &kib) == 1) total += kib;
  }
  std::fclose(file);
  return total * 1024;
}

static fibers::pooled_fixedsize_stack &pooled() {
  static thread_local fibers::pooled_fixedsize_stack stacks(64 * 1024);
  return stacks;
}

template <class F> static fibers::fiber go(F &&f) {
  return fibers::fiber(std::allocator_arg, pooled(), std::forward<F>(f));
}

template <class F> static fibers::fiber go_small(F &&f) {
  return fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(16 * 1024), std::forward<F>(f));
}

static void join_all(std::vector<fibers::fiber> &all) {
  for (auto &one : all) one.join();
  all.clear();
}

static void yields(int number) {
  std::vector<fibers::fiber> all;
  begin();
  for (int i = 0; i < number; i++) {
    all.push_back(go([&] {
      for (long i = 0; i < count / number; i++) yield();
    }));
  }
  join_all(all);
  end(count);
}

static void spawn_join() {
  begin();
  for (long i = 0; i < count; i++) go([] {}).join();
  end(count);
}

static void spawn_batch() {
  constexpr long batch = 100000;
  std::vector<fibers::fiber> all;
  begin();
  for (long left = count; left > 0; left -= batch) {
    long size = std::min(left, batch);
    all.reserve(std::size_t(size));
    for (long i = 0; i < size; i++) all.push_back(go_small([] {}));
    join_all(all);
  }
  end(count);
}

static void pingpong() {
  fibers::unbuffered_channel<std::int64_t> ping, pong;
  begin();
  fibers::fiber returner = go([&] {
    for (std::int64_t v; ping.pop(v) == channel_op_status::success;) pong.push(v);
  });
  for (std::int64_t i = 0, back; i < count; i++) {
    ping.push(i);
    pong.pop(back);
  }
  ping.close();
  returner.join();
  end(count);
}

static void pipe_items(int sides) {
  fibers::buffered_channel<std::int64_t> items(128);
  std::vector<fibers::fiber> producers, consumers;
  std::atomic<std::int64_t> sum{0};
  begin();
  for (int i = 0; i < sides; i++) {
    producers.push_back(go([&] {
      for (long i = 0; i < count / sides; i++) items.push(1);
    }));
    consumers.push_back(go([&] {
      std::int64_t mine = 0;
      for (std::int64_t v; items.pop(v) == channel_op_status::success;) mine += v;
      sum += mine;
    }));
  }
  join_all(producers);
  items.close();
  join_all(consumers);
  end(count);
  expect(sum == count / sides * sides, "items lost");
}

static void mutex(int number) {
  fibers::mutex lock;
  long counter = 0;
  std::vector<fibers::fiber> all;
  begin();
  for (int i = 0; i < number; i++) {
    all.push_back(go([&] {
      for (long i = 0; i < count / number; i++) {
        std::lock_guard<fibers::mutex> held(lock);
        counter++;
      }
    }));
  }
  join_all(all);
  end(count);
  expect(counter == count / number * number, "increments lost");
}

static void parked() {
  fibers::unbuffered_channel<std::int64_t> gate;
  std::atomic<long> ready{0};
  std::vector<fibers::fiber> all;
  auto before = memory();
  begin();
  all.reserve(std::size_t(count));
  for (long i = 0; i < count; i++) {
    all.push_back(go_small([&] {
      ready++;
      std::int64_t value;
      gate.pop(value);
    }));
  }
  while (ready < count) yield();
  boost::this_fiber::sleep_for(std::chrono::milliseconds(20)); // the last ones are on their way into the pop
  auto bytes = memory() - before;
  gate.close();
  join_all(all);
  end(count);
  std::printf(" bytes_per_item=%.1f", double(bytes) / double(count));
}

static void sleepers() {
  std::vector<fibers::fiber> all;
  begin();
  all.reserve(std::size_t(count));
  for (long i = 0; i < count; i++) {
    auto ms = 1 + (std::uint32_t(i) * UINT32_C(2654435761) >> 16) % 100;
    all.push_back(go_small([ms] { boost::this_fiber::sleep_for(std::chrono::milliseconds(ms)); }));
  }
  join_all(all);
  end(count);
}

using numbers = fibers::unbuffered_channel<std::int64_t>;

static void skynet_node(numbers *out, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    out->push(number);
    return;
  }
  numbers in;
  std::vector<fibers::fiber> children; // the channel lives here, so they must have left it before we do
  children.reserve(10);
  for (int i = 0; i < 10; i++) {
    children.push_back(go_small([&in, number, size, i] { skynet_node(&in, number + i * (size / 10), size / 10); }));
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 10; i++) {
    std::int64_t part = 0;
    in.pop(part);
    sum += part;
  }
  join_all(children);
  out->push(sum);
}

static void skynet() {
  std::int64_t leaves = 1, sum;
  while (leaves * 10 <= count) leaves *= 10;
  numbers out;
  begin();
  fibers::fiber root = go_small([&] { skynet_node(&out, 0, leaves); });
  out.pop(sum);
  root.join();
  end(long(leaves));
  expect(sum == leaves * (leaves - 1) / 2, "wrong sum");
}

static std::uint64_t xorshift(long steps, std::uint64_t x) {
  for (long i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

static void compute() {
  constexpr int parts = 64;
  std::uint64_t results[parts];
  std::vector<fibers::fiber> all;
  begin();
  for (int i = 0; i < parts; i++) {
    all.push_back(go([&results, i] { results[i] = xorshift(count / parts, std::uint64_t(i) + 1); }));
  }
  join_all(all);
  end(count);
  for (auto r : results) expect(r != 0, "xorshift reached zero");
}

static void sleep50() {
  std::vector<double> micros(static_cast<std::size_t>(count));
  begin();
  for (auto &latency : micros) {
    auto start = steady::now();
    boost::this_fiber::sleep_for(std::chrono::microseconds(50));
    latency = double(std::chrono::nanoseconds(steady::now() - start).count()) / 1000;
  }
  end(count);
  std::sort(micros.begin(), micros.end());
  std::printf(" latency_us=%.1f", micros[micros.size() / 2]);
}

static bool run(const std::string &name) {
  if (name == "yield") yields(2);
  else if (name == "yield64") yields(64);
  else if (name == "spawn_join" || name == "spawn_task") spawn_join();
  else if (name == "spawn_batch") spawn_batch();
  else if (name == "pingpong") pingpong();
  else if (name == "spsc") pipe_items(1);
  else if (name == "mpmc") pipe_items(4);
  else if (name == "mutex1") mutex(1);
  else if (name == "mutex4") mutex(4);
  else if (name == "parked") parked();
  else if (name == "sleepers") sleepers();
  else if (name == "skynet") skynet();
  else if (name == "compute") compute();
  else if (name == "sleep50") sleep50();
  else return false;
  return true;
}

int main(int arguments, char **argument) {
  if (arguments != 4 || (procs = std::atoi(argument[2])) < 1 || (count = std::atol(argument[3])) < 1) {
    std::fprintf(stderr, "usage: bench_boost_fiber CASE PROCS N\n");
    return 2;
  }
  // An idle thread sleeps, which costs the least CPU; but it is then never told of work, so `compute` must keep it looking.
  bool sleep = std::strcmp(argument[1], "compute") != 0;
  auto steal = [=] { fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(std::uint32_t(procs), sleep); };
  fibers::mutex lock;
  fibers::condition_variable_any never;
  std::vector<std::thread> threads;
  for (int i = 1; i < procs; i++) {
    threads.emplace_back([&] {
      steal();
      std::unique_lock<fibers::mutex> held(lock);
      never.wait(held, [] { return false; });
    });
  }
  if (procs > 1) steal();
  std::string line = "case=" + std::string(argument[1]) + " procs=" + argument[2] + " n=" + argument[3];
  std::setvbuf(stdout, nullptr, _IOFBF, 4096);
  std::fputs(line.c_str(), stdout);
  bool known = run(argument[1]);
  std::fputs(known ? "\n" : " skip=not_in_boost_fiber\n", stdout);
  std::fflush(stdout);
  std::_Exit(0); // the sample is taken; tearing a work stealing scheduler down is not part of it
}
