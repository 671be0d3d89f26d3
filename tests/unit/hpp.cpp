/// tests/unit/hpp.cpp: ecru/ecru.hpp: handles, lambdas, exceptions (T1-T4, C1-C8, S1-S3, K1, K2, K4, L1 as C++ sees them).
#include <ecru/ecru.hpp>

#include <atomic>
#include <csignal>
#include <map>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "test.h"

using namespace std::chrono_literals;

/// Counts its instances: what is alive at the end of a test has leaked.
struct counted {
  static std::atomic<int> alive;
  std::string text;
  explicit counted(std::string given = "") : text(std::move(given)) { alive++; }
  counted(const counted &other) : text(other.text) { alive++; }
  counted(counted &&other) noexcept : text(std::move(other.text)) { alive++; }
  counted &operator=(const counted &) = default;
  counted &operator=(counted &&) = default;
  ~counted() { alive--; }
};
std::atomic<int> counted::alive{0};

template <class Error, class F> static std::string thrown_by(F &&fn) {
  try {
    fn();
  } catch (const Error &failure) {
    return failure.what();
  }
  return "nothing was thrown";
}
template <class F> static int status_of(F &&fn) {
  try {
    fn();
  } catch (const ecru::error &failure) {
    return failure.status();
  }
  return 0;
}

// ---- errors, run, go ----------------------------------------------------------------------------------------------

TEST(hpp, statuses_are_error_codes) { // G1
  ecru::error failure(ECRU_ETIMEDOUT);
  CHECK_EQ(failure.code().value(), ECRU_ETIMEDOUT);
  CHECK_STR(failure.code().category().name(), "ecru");
  CHECK(failure.code() == std::errc::timed_out);
  CHECK(failure.code() != std::errc::operation_canceled);
  CHECK_STR(failure.what(), "deadline exceeded");
  CHECK(std::error_code(ECRU_ECANCELED, ecru::category()) == std::errc::operation_canceled);
  CHECK_EQ(ecru::check(5), 5);
  CHECK_EQ(status_of([] { ecru::check(ECRU_ECLOSED); }), ECRU_ECLOSED);
  CHECK_STR(thrown_by<ecru::closed>([] { ecru::check(ECRU_ECLOSED); }).c_str(), "closed");
  CHECK_STR(thrown_by<std::bad_alloc>([] { ecru::check(ECRU_ENOMEM); }).c_str(), "std::bad_alloc");
}

TEST(hpp, run_returns_and_throws_what_the_function_does) { // G13
  CHECK_EQ(ecru::run([] { return ecru_in_goroutine(); }), 1);
  CHECK_STR(ecru::run([] { return std::string("moved out"); }).c_str(), "moved out");
  CHECK_EQ(*ecru::run([] { return std::make_unique<int>(3); }), 3);
  int ran = 0;
  ecru::run([&] { ran++; });
  CHECK_EQ(ran, 1);
  CHECK_STR(thrown_by<std::logic_error>([] { ecru::run([]() -> int { throw std::logic_error("from inside"); }); }).c_str(),
            "from inside");
  CHECK_EQ(status_of([] { ecru::run([] { ecru::exit(); }); }), ECRU_ECANCELED);
  CHECK_EQ(status_of([] { ecru::run([] { ecru::run([] {}); }); }), ECRU_EDEADLK);
}

TEST(hpp, go_takes_lambdas_with_captures_and_arguments) { // G1
  ecru::run([] {
    ecru::chan<std::string> said(3);
    int number = 7;
    ecru_chan *raw = said.get();
    ecru::go([raw, number] { // trivially copyable: on the goroutine's stack
      std::string *text = new std::string(std::to_string(number));
      ecru::check(ecru_chan_send(raw, &text));
    });
    CHECK_STR(said.recv()->c_str(), "7");
    ecru::go([said, text = std::make_unique<std::string>("heap")] { said.send(*text); });
    CHECK_STR(said.recv()->c_str(), "heap");
    ecru::go([](const ecru::chan<std::string> &to, const std::string &text, int n) { to.send(text + std::to_string(n)); },
             said, std::string("argument "), 3);
    CHECK_STR(said.recv()->c_str(), "argument 3");
  });
}

TEST(hpp, go_frees_what_it_captured) { // G1
  ecru::run([] {
    ecru::waitgroup all;
    for (int i = 0; i < 100; i++) all.go([kept = counted("captured")] { CHECK_EQ(kept.text.size(), 8); });
    all.wait();
  });
  CHECK_EQ(counted::alive, 0);
}

static void escapes() {
  ecru::run([] {
    ecru::go([] { throw std::runtime_error("nobody catches this"); });
    ecru::sleep(1s);
  });
}
TEST(hpp, an_exception_that_leaves_a_goroutine_ends_the_process) { // G11
  test_death(escapes, -SIGABRT, "nobody catches this");
}

// ---- tasks --------------------------------------------------------------------------------------------------------

TEST(hpp, task_gives_its_result_to_all_who_join) { // T1
  ecru::run([] {
    ecru::task<std::string> task = ecru::spawn([](std::string a, int b) { return a + std::to_string(b); }, "value ", 9);
    ecru::task<std::string> same = task;
    CHECK_STR(task.join().c_str(), "value 9");
    CHECK_STR(same.join().c_str(), "value 9");
    CHECK(&task.join() == &same.join());
    CHECK_EQ(task.state(), ECRU_TASK_DONE);
    CHECK_EQ(task.wait(), 0);
    ecru::task<void> nothing = ecru::spawn([] {});
    nothing.join();
    nothing.take();
    auto movable = ecru::spawn([] { return std::make_unique<int>(4); });
    CHECK_EQ(*movable.join(), 4);
    std::unique_ptr<int> mine = movable.take();
    CHECK_EQ(*mine, 4);
  });
}

TEST(hpp, task_rethrows_its_exception_at_every_join) { // T1
  ecru::run([] {
    auto task = ecru::spawn([]() -> int { throw std::out_of_range("too far"); });
    for (int i = 0; i < 3; i++) CHECK_STR(thrown_by<std::out_of_range>([&] { task.join(); }).c_str(), "too far");
    CHECK_EQ(task.wait(), ECRU_EPANIC);
    CHECK_EQ(task.state(), ECRU_TASK_FAILED);
    auto with_status = ecru::spawn([] { ecru::raise(ECRU_EPIPE); });
    CHECK_EQ(status_of([&] { with_status.join(); }), ECRU_EPIPE);
    CHECK_EQ(with_status.wait(), ECRU_EPIPE);
    auto exits = ecru::spawn([kept = counted()] { ecru::exit(); });
    CHECK_EQ(status_of([&] { exits.join(); }), ECRU_ECANCELED);
    CHECK_EQ(exits.state(), ECRU_TASK_CANCELED);
    CHECK_EQ(counted::alive, 0);
  });
}

TEST(hpp, task_can_be_cancelled) { // T1, K2
  ecru::run([] {
    auto task = ecru::spawn([] { ecru::sleep(24h); });
    task.cancel();
    CHECK_STR(thrown_by<ecru::canceled>([&] { task.join(); }).c_str(), "canceled");
    CHECK_EQ(task.state(), ECRU_TASK_CANCELED);
  });
}

static std::atomic<int> reports;
TEST(hpp, unseen_exception_is_reported) { // T2
  ecru_set_unobserved_hook([](void *, uint64_t, const char *, int status) { reports += status == ECRU_EPANIC; }, nullptr);
  ecru::run([] {
    ecru::spawn([] { throw 1; });
    auto seen = ecru::spawn([] { throw 2; });
    CHECK_EQ(seen.wait(), ECRU_EPANIC);
  });
  CHECK_EQ(reports, 1);
}

TEST(hpp, task_frees_captures_at_its_end_and_results_with_the_last_handle) { // T1
  ecru::run([] {
    auto task = ecru::spawn([kept = counted("captured")] { return counted(kept.text + " and returned"); });
    CHECK_STR(task.join().text.c_str(), "captured and returned");
    CHECK_EQ(counted::alive, 1);
    task = {};
    CHECK_EQ(counted::alive, 0);
    auto failing = ecru::spawn([kept = counted()] { throw counted("thrown"); });
    CHECK_EQ(failing.wait(), ECRU_EPANIC);
    CHECK_EQ(counted::alive, 1);
  });
  CHECK_EQ(counted::alive, 0);
}

TEST(hpp, join_all_waits_for_all_and_throws_the_first_in_order) { // T3
  ecru_set_unobserved_hook([](void *, uint64_t, const char *, int) { reports++; }, nullptr);
  ecru::run([] {
    ecru::join_all(ecru::spawn([] {}), ecru::spawn([] { return 1; }), ecru::spawn([] { return std::string("of any type"); }));
    std::atomic<int> ended{0};
    std::vector<ecru::task<int>> tasks;
    ecru::join_all(tasks); // none
    for (int i = 0; i < 10; i++) {
      tasks.push_back(ecru::spawn([&ended, i] {
        ecru::sleep((10 - i) * 1ms); // the last in order is the first in time
        ended++;
        if (i >= 5) throw std::out_of_range(std::to_string(i));
        return i;
      }));
    }
    CHECK_STR(thrown_by<std::out_of_range>([&] { ecru::join_all(tasks); }).c_str(), "5");
    CHECK_EQ(ended, 10);
    CHECK_EQ(tasks[3].join(), 3);
    CHECK_STR(thrown_by<std::out_of_range>([&] { tasks[9].join(); }).c_str(), "9");
    tasks.clear();
    CHECK_EQ(reports, 3); // 6, 7, 8: nobody has looked at those

    auto exits = ecru::spawn([] { ecru::exit(); });
    CHECK_EQ(status_of([&] { ecru::join_all(exits, ecru::spawn([] {})); }), ECRU_ECANCELED);
    auto sleeps = ecru::spawn([] { ecru::sleep(24h); });
    {
      ecru::deadline_scope soon(1ms);
      CHECK_EQ(status_of([&] { ecru::join_all(sleeps); }), ECRU_ETIMEDOUT); // the caller's
    }
    CHECK_EQ(sleeps.state(), ECRU_TASK_RUNNING);
    sleeps.cancel();
    CHECK_EQ(status_of([&] { ecru::join_all(sleeps); }), ECRU_ECANCELED);
  });
  CHECK_EQ(reports, 3);
}

// ---- groups -------------------------------------------------------------------------------------------------------

TEST(hpp, group_waits_and_throws_the_first_exception) { // T4
  ecru::run([] {
    std::atomic<int> ended{0};
    ecru::group all;
    for (int i = 0; i < 10; i++) all.go([&] { ended++; });
    all.wait();
    CHECK_EQ(ended, 10);

    ecru::group failing;
    for (int i = 0; i < 10; i++) {
      failing.go([&] {
        struct at_end {
          std::atomic<int> &ended;
          ~at_end() { ended++; }
        } note{ended};
        ecru::sleep(24h);
      });
    }
    failing.go([](int number) { throw std::runtime_error("number " + std::to_string(number)); }, 5);
    CHECK_STR(thrown_by<std::runtime_error>([&] { failing.wait(); }).c_str(), "number 5");
    CHECK_EQ(ended, 20); // unwound
    CHECK_EQ(failing.exceptions().size(), 11);
    CHECK_EQ(failing.token().err(), ECRU_ECANCELED);
  });
}

TEST(hpp, group_has_limit_and_supervisor) { // T4
  ecru::run([] {
    ecru::chan<int> gate;
    ecru::group limited(1);
    limited.go([gate] { gate.recv(); });
    CHECK(!limited.try_go([] {}));
    gate.close();
    limited.wait();
    CHECK_EQ(status_of([&] { limited.go([] {}); }), ECRU_ESHUTDOWN);
    CHECK_EQ(status_of([&] { limited.try_go([] {}); }), ECRU_ESHUTDOWN);

    ecru::group leaving;
    leaving.go([kept = counted()] { ecru::exit(); });
    CHECK_STR(thrown_by<ecru::canceled>([&] { leaving.wait(); }).c_str(), "canceled"); // it has not finished
    CHECK_EQ(counted::alive, 0);

    ecru::group supervised(0, ECRU_GROUP_SUPERVISOR);
    supervised.go([] { throw std::runtime_error("isolated"); });
    supervised.go([] { ecru::sleep(1ms); });
    CHECK_STR(thrown_by<std::runtime_error>([&] { supervised.wait(); }).c_str(), "isolated");
    CHECK_EQ(supervised.exceptions().size(), 1);
    CHECK_EQ(supervised.token().err(), 0);
  });
}

TEST(hpp, group_destructor_cancels_and_waits) { // T4, G11
  ecru::run([] {
    std::atomic<int> unwound{0};
    struct at_end {
      std::atomic<int> *count;
      ~at_end() { ++*count; }
    };
    CHECK_STR(thrown_by<std::runtime_error>([&] {
                ecru::group all;
                for (int i = 0; i < 5; i++) {
                  all.go([&] {
                    at_end note{&unwound};
                    ecru::sleep(24h);
                  });
                }
                ecru::yield();
                throw std::runtime_error("on the way out"); // the destructor parks with this in flight
              }).c_str(),
              "on the way out");
    CHECK_EQ(unwound, 5);
  });
}

// ---- channels -----------------------------------------------------------------------------------------------------

TEST(hpp, channels_carry_trivial_types_by_value) { // C1, C2, C3
  struct point {
    double x, y;
  };
  ecru::run([] {
    ecru::chan<point> points(2);
    CHECK_EQ(points.capacity(), 2);
    points.send({1, 2});
    CHECK(points.try_send(point{3, 4}));
    CHECK(!points.try_send(point{5, 6}));
    CHECK_EQ(points.size(), 2);
    CHECK(points.recv()->y == 2);
    CHECK(points.try_recv()->x == 3);
    CHECK(!points.try_recv());
    CHECK(points.close());
    CHECK(!points.close());
    CHECK(points.is_closed());
    CHECK(!points.recv());
    CHECK_EQ(status_of([&] { points.send({}); }), ECRU_ECLOSED);
    CHECK_EQ(status_of([&] { points.try_send(point{}); }), ECRU_ECLOSED);

    ecru::chan<int> unbuffered;
    ecru::go([unbuffered] {
      for (int i = 0; i < 100; i++) unbuffered.send(i);
      unbuffered.close();
    });
    int expected = 0;
    for (int number : unbuffered) CHECK_EQ(number, expected++);
    CHECK_EQ(expected, 100);
  });
}

TEST(hpp, channels_carry_any_movable_type) { // C1, C3, C4
  ecru::run([] {
    ecru::chan<std::string> texts(8);
    std::string long_text(1000, 'x');
    ecru::go([texts, long_text] {
      for (int i = 0; i < 50; i++) texts.send(long_text + std::to_string(i));
      texts.close_with(ECRU_EPIPE);
    });
    for (int i = 0; i < 50; i++) CHECK(*texts.recv() == long_text + std::to_string(i));
    CHECK_EQ(status_of([&] { texts.recv(); }), ECRU_EPIPE);

    ecru::chan<std::unique_ptr<std::map<int, int>>> maps; // move-only
    ecru::go([maps] { maps.send(std::make_unique<std::map<int, int>>(std::map<int, int>{{1, 2}})); });
    CHECK_EQ((**maps.recv())[1], 2);
    auto kept = std::make_unique<std::map<int, int>>();
    CHECK(!maps.try_send(std::move(kept)));
    CHECK(kept != nullptr); // not sent, not lost
  });
}

TEST(hpp, no_element_leaks_however_a_channel_ends) { // C4, C6, C8, C11
  ecru::run([] {
    {
      ecru::chan<counted> destroyed(8);
      for (int i = 0; i < 5; i++) destroyed.send(counted(std::string(100, 'a')));
      CHECK_EQ(counted::alive, 5);
    }
    CHECK_EQ(counted::alive, 0);
    for (int policy : {ECRU_FULL_DROP_NEWEST, ECRU_FULL_DROP_OLDEST}) {
      ecru::chan_options options;
      options.full = policy;
      ecru::chan<counted> dropping(2, options);
      for (int i = 0; i < 10; i++) dropping.send(counted(std::to_string(i)));
      CHECK_EQ(counted::alive, 2);
      CHECK_STR(dropping.recv()->text.c_str(), policy == ECRU_FULL_DROP_OLDEST ? "8" : "0");
      CHECK_STR(dropping.recv()->text.c_str(), "9");
    }
    ecru::chan_options failing;
    failing.full = ECRU_FULL_FAIL;
    ecru::chan<counted> full(1, failing);
    full.send(counted());
    CHECK_EQ(status_of([&] { full.send(counted()); }), ECRU_EAGAIN);
    CHECK_EQ(counted::alive, 1);
    full.close();
    CHECK_EQ(status_of([&] { full.send(counted()); }), ECRU_ECLOSED);
    CHECK(!!full.recv());
    CHECK_EQ(counted::alive, 0);
    {
      ecru::chan<counted> nobody;
      ecru::deadline_scope soon(1ms);
      CHECK_EQ(status_of([&] { nobody.send(counted()); }), ECRU_ETIMEDOUT); // cancelled: not sent
    }
    CHECK_EQ(counted::alive, 0);
    ecru::chan_options unbounded;
    unbounded.unbounded = true;
    {
      ecru::chan<counted> endless(0, unbounded);
      for (int i = 0; i < 100; i++) endless.send(counted());
    }
    CHECK_EQ(counted::alive, 0);
  });
}

TEST(hpp, ends_close_the_channel) { // C8
  ecru::run([] {
    ecru::chan<std::string> texts(1);
    std::optional<ecru::receiver<std::string>> in(texts);
    ecru::group writers;
    for (int i = 0; i < 3; i++) writers.go([out = ecru::sender(texts)] { out.send("written"); });
    int count = 0;
    for (const std::string &text : *in) count += text == "written";
    CHECK_EQ(count, 3); // and it ended, with the last sender
    writers.wait();

    ecru::chan<counted> other(4);
    ecru::sender<counted> out(other);
    in.reset();
    std::optional<ecru::receiver<counted>> reader(other);
    out.send(counted());
    reader.reset();
    CHECK_EQ(counted::alive, 0); // what was buffered is dropped
    CHECK_EQ(status_of([&] { out.send(counted()); }), ECRU_ECLOSED);
  });
  CHECK_EQ(counted::alive, 0);
}

// ---- select -------------------------------------------------------------------------------------------------------

TEST(hpp, select_calls_the_function_of_what_happened) { // S1, S2, S3
  ecru::run([] {
    ecru::chan<int> numbers(1);
    ecru::chan<counted> texts(1);
    std::string log;
    auto got_number = [&](std::optional<int> n) { log += n ? "number " + std::to_string(*n) + ";" : "closed;"; };
    auto got_text = [&](std::optional<counted> text) { log += text ? text->text + ";" : "closed;"; };
    numbers.send(5);
    CHECK_EQ(ecru::select(ecru::on_recv(texts, got_text), ecru::on_recv(numbers, got_number)), 1);
    CHECK_EQ(ecru::select(ecru::on_recv(numbers, got_number), ecru::on_send(texts, counted("sent"), [&] { log += "sent;"; })), 1);
    CHECK_EQ(ecru::select(ecru::on_recv(texts, got_text), ecru::on_recv(numbers, got_number)), 0);
    CHECK_EQ(counted::alive, 0);
    texts.send(counted("in the way"));
    // An element that was not sent is not lost in the channel and not leaked.
    CHECK_EQ(ecru::select(ecru::on_send(texts, counted("no room"), [] {}), ecru::otherwise([&] { log += "otherwise;"; })), 1);
    CHECK_EQ(counted::alive, 1);
    CHECK_EQ(ecru::select(ecru::on_timeout(1ms, [&] { log += "timeout;"; }), ecru::on_recv(numbers, got_number)), 0);
    auto task = ecru::spawn([] { return 1; });
    CHECK_EQ(ecru::select(ecru::on_end(task, [&] { log += "ended;"; }), ecru::on_recv(numbers, got_number)), 0);
    ecru::token token = ecru::token::child();
    token.cancel();
    CHECK_EQ(ecru::select(ecru::on_recv(numbers, got_number), ecru::on_cancel(token, [&] { log += "cancelled;"; })), 1);
    numbers.close();
    CHECK_EQ(ecru::select(ecru::on_recv(numbers, got_number)), 0);
    CHECK_STR(log.c_str(), "number 5;sent;sent;otherwise;timeout;ended;cancelled;closed;");
    CHECK_EQ(status_of([&] { ecru::select(ecru::on_send(numbers, 1, [] {})); }), ECRU_ECLOSED);
  });
  CHECK_EQ(counted::alive, 0);
}

TEST(hpp, select_throws_when_the_callers_token_fires) { // S3, K2
  ecru::run([] {
    ecru::chan<int> numbers;
    auto nothing = [](std::optional<int>) { FAIL("called"); };
    {
      ecru::deadline_scope soon(1ms);
      CHECK_EQ(status_of([&] { ecru::select(ecru::on_recv(numbers, nothing)); }), ECRU_ETIMEDOUT);
      CHECK_EQ(status_of([&] { ecru::select(ecru::on_recv(numbers, nothing), ecru::on_timeout(1h, [] { FAIL("called"); })); }),
               ECRU_ETIMEDOUT);
    }
    auto task = ecru::spawn([&] { ecru::select(ecru::on_recv(numbers, nothing)); });
    task.cancel();
    CHECK_EQ(task.wait(), ECRU_ECANCELED);
  });
}

// ---- tokens, scopes, locks ----------------------------------------------------------------------------------------

TEST(hpp, scopes_are_left_by_return_and_by_exception) { // K2
  ecru::run([] {
    ecru_token *outside = ecru_token_current();
    CHECK_EQ(status_of([] {
               ecru::deadline_scope soon(1ms);
               ecru::sleep(24h);
             }),
             ECRU_ETIMEDOUT);
    CHECK(ecru_token_current() == outside);
    ecru::token token = ecru::token::child();
    CHECK_EQ(status_of([&] {
               ecru::token_scope scope(token);
               CHECK(ecru_token_current() == token.get());
               token.cancel(ECRU_EPIPE);
               {
                 ecru::shield_scope shield;
                 ecru::check();
                 ecru::yield();
               }
               {
                 ecru::shield_scope brief(1h);
                 ecru::check();
               }
               ecru::check();
             }),
             ECRU_ECANCELED);
    CHECK_EQ(token.cause(), ECRU_EPIPE);
    CHECK(ecru_token_current() == outside);
    CHECK_EQ(ecru::token::child_of(token).err(), ECRU_ECANCELED);
    CHECK(ecru::token::current().get() == outside);
    token.wait();
  });
}

TEST(hpp, registration_runs_once_or_not_at_all) { // K4
  ecru::run([] {
    int runs = 0;
    ecru::token token = ecru::token::child();
    {
      ecru::registration prevented(token, [&, kept = counted()] { runs += 10; });
    }
    CHECK_EQ(counted::alive, 0);
    ecru::registration stopped(token, [&] { runs += 100; });
    CHECK(stopped.stop());
    CHECK(!stopped.stop());
    ecru::registration runs_once(token, [&] { runs++; });
    token.cancel();
    token.cancel();
    CHECK_EQ(runs, 1);
    ecru::registration at_once(token, [&] { runs++; });
    CHECK_EQ(runs, 2);
    CHECK(!at_once.stop());
  });
}

TEST(hpp, mutex_works_with_the_guards_of_std) { // L1
  ecru::run([] {
    ecru::mutex first, second;
    long value = 0;
    ecru::group all;
    for (int i = 0; i < 10; i++) {
      all.go([&] {
        for (int k = 0; k < 100; k++) {
          std::scoped_lock both(first, second);
          long read = value;
          if (k % 10 == 0) ecru::yield();
          value = read + 1;
        }
      });
    }
    all.wait();
    CHECK_EQ(value, 1000);
    std::lock_guard<ecru::mutex> hold(first);
    CHECK(!std::unique_lock<ecru::mutex>(first, std::try_to_lock));
    CHECK_EQ(status_of([&] { first.lock(); }), ECRU_EDEADLK);
    CHECK_EQ(status_of([&] { second.unlock(); }), ECRU_EPERM);
  });
}

TEST(hpp, rwmutex_works_with_the_guards_of_std) { // L1
  ecru::run([] {
    ecru::rwmutex both;
    long first = 0, second = 0;
    ecru::group all;
    for (int i = 0; i < 10; i++) {
      all.go([&, writes = i % 2 == 0] {
        for (int k = 0; k < 100; k++) {
          if (writes) {
            std::unique_lock<ecru::rwmutex> alone(both);
            first++;
            if (k % 10 == 0) ecru::yield();
            second++;
          } else {
            std::shared_lock<ecru::rwmutex> shared(both);
            CHECK_EQ(first, second);
          }
        }
      });
    }
    all.wait();
    CHECK_EQ(first, 500);
    {
      std::shared_lock<ecru::rwmutex> reader(both), another(both, std::try_to_lock);
      CHECK(another.owns_lock());
      CHECK(!both.try_lock());
    }
    CHECK(both.try_lock());
    CHECK(!both.try_lock_shared());
    CHECK_EQ(status_of([&] { both.lock(); }), ECRU_EDEADLK);
    both.unlock();
    CHECK_EQ(status_of([&] { both.unlock_shared(); }), ECRU_EPERM);
  });
}

TEST(hpp, cond_waits_with_a_unique_lock) { // L1, K2
  ecru::run([] {
    ecru::mutex guard;
    ecru::cond changed;
    int stage = 0;
    ecru::group all;
    for (int i = 0; i < 3; i++) {
      all.go([&] {
        std::unique_lock<ecru::mutex> hold(guard);
        changed.wait(hold, [&] { return stage == 1; });
        CHECK(hold.owns_lock());
      });
    }
    all.go([&] {
      std::unique_lock<ecru::mutex> hold(guard);
      stage = 1;
      changed.signal();
      changed.broadcast();
    });
    all.wait();
    {
      std::unique_lock<ecru::mutex> hold(guard);
      ecru::deadline_scope soon(1ms);
      CHECK_EQ(status_of([&] { changed.wait(hold); }), ECRU_ETIMEDOUT);
      CHECK_EQ(status_of([&] { guard.lock(); }), ECRU_ETIMEDOUT);
      CHECK(!guard.try_lock()); // it is held all the same
    }
    CHECK(guard.try_lock());
    guard.unlock();
    std::unique_lock<ecru::mutex> without(guard, std::defer_lock);
    CHECK_EQ(status_of([&] { changed.wait(without); }), ECRU_EPERM);
  });
}

TEST(hpp, once_runs_once_and_throws_to_its_runner) { // L1
  ecru::run([] {
    ecru::once first;
    std::atomic<int> runs{0};
    ecru::group all;
    for (int i = 0; i < 20; i++) {
      all.go([&] {
        first.call([&] {
          ecru::yield();
          runs++;
        });
        CHECK_EQ(runs, 1);
      });
    }
    all.wait();
    ecru::once failing;
    CHECK_STR(thrown_by<std::runtime_error>([&] { failing.call([] { throw std::runtime_error("inside"); }); }).c_str(), "inside");
    failing.call([&] { runs++; });
    CHECK_EQ(runs, 1); // it has run
    ecru::once own;
    CHECK_EQ(status_of([&] { own.call([&] { own.call([] {}); }); }), ECRU_EDEADLK);
  });
}

TEST(hpp, timers_and_tickers) { // K6, S1
  ecru_clock *clock = nullptr;
  CHECK_EQ(ecru_clock_virtual_create(&clock, 1000), 0);
  ecru_options options = ECRU_OPTIONS;
  options.clock = clock;
  CHECK_EQ(ecru_start(&options), 0);
  ecru::run([] {
    ecru::timer alarm(1h);
    CHECK(!alarm.try_wait());
    int64_t due = ecru_after(std::chrono::nanoseconds(1h).count());
    CHECK_EQ(alarm.wait(), due);
    CHECK(!alarm.stop());
    CHECK(!alarm.reset(1min));
    CHECK(alarm.reset(1s));
    CHECK(alarm.stop());
    {
      ecru::deadline_scope soon(2s);
      CHECK_EQ(status_of([&] { alarm.wait(); }), ECRU_ETIMEDOUT);
    }
    ecru::ticker ticks(10ms);
    int64_t first = ticks.wait(), second = ticks.wait();
    CHECK_EQ(second - first, 10 * ECRU_MILLISECOND);
    ecru::sleep(35ms); // three more are due: one is kept
    CHECK(ticks.try_wait());
    CHECK(!ticks.try_wait());
    CHECK(ticks.reset(1s));
    int picked = 0;
    ecru::chan<int> never;
    CHECK_EQ(ecru::select(ecru::on_recv(never, [](std::optional<int>) { FAIL("called"); }), ecru::on_tick(ticks, [&] { picked++; })), 1);
    CHECK_EQ(picked, 1);
    CHECK_EQ(status_of([] { ecru::ticker none(0ns); }), ECRU_EINVAL);
  });
  ecru_clock_destroy(clock);
}

TEST(hpp, waitgroup_and_semaphore) { // L1
  ecru::run([] {
    ecru::waitgroup all;
    ecru::semaphore two(2);
    std::atomic<int> inside{0}, most{0};
    for (int i = 0; i < 20; i++) {
      all.go([&] {
        two.acquire();
        int now = ++inside, before = most;
        while (now > before && !most.compare_exchange_weak(before, now)) {}
        ecru::yield();
        --inside;
        two.release();
      });
    }
    all.wait();
    CHECK(most <= 2);
    CHECK(two.try_acquire(2));
    CHECK(!two.try_acquire());
    CHECK_EQ(status_of([&] { two.acquire(3); }), ECRU_EINVAL);
    CHECK_EQ(status_of([&] { all.done(); }), ECRU_EINVAL);
    all.go([kept = counted()] { ecru::exit(); });
    all.wait(); // also then it is done
    CHECK_EQ(counted::alive, 0);
  });
}

TEST(hpp, everything_works_from_foreign_threads) { // G10, T1
  ecru::chan<std::string> texts;
  auto task = ecru::spawn([texts] {
    std::string all;
    for (const std::string &text : texts) all += text;
    return all;
  });
  std::thread writer([texts] {
    for (const char *text : {"a", "b", "c"}) texts.send(text);
    texts.close();
  });
  CHECK_STR(task.join().c_str(), "abc");
  writer.join();
}
