/// tests/stress/task.cpp: exceptions in flight while their goroutines park and move between threads (G11), and tasks and groups
/// that fail, are cancelled and joined at random (T1-T4).
#include <ecru/ecru.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>

#include "test.h"

using namespace std::chrono_literals;

static std::atomic<long> migrations;

__attribute__((noinline)) static long thread_here() { return test_thread_id(); }

/// A goroutine's private dice, and the ways it can park.
struct walker {
  uint64_t random;
  ecru_chan *baton; // one element wanders between all
  ecru::mutex *lock;

  bool chance(unsigned one_in) { return test_random_below(&random, one_in) == 0; }
  void wander() {
    long before = thread_here();
    switch (test_random_below(&random, 5)) {
    case 0: ecru::yield(); break;
    case 1: ecru::sleep(std::chrono::microseconds(test_random_below(&random, 50))); break;
    case 2: {
      std::lock_guard<ecru::mutex> hold(*lock);
      ecru::yield();
      break;
    }
    default:
      int element = 0;
      ecru::check(ecru_chan_recv(baton, &element));
      ecru::check(ecru_chan_send(baton, &element));
    }
    if (thread_here() != before) migrations++;
  }
};

struct trouble : std::runtime_error {
  int owner, depth;
  trouble(int who, int deep) : runtime_error("trouble of " + std::to_string(who)), owner(who), depth(deep) {}
};

/// Parks while the exception that destroys it is in flight.
struct parks_at_the_end {
  walker &self;
  int uncaught = std::uncaught_exceptions();
  ~parks_at_the_end() {
    CHECK_EQ(std::uncaught_exceptions(), uncaught + 1);
    self.wander();
    CHECK_EQ(std::uncaught_exceptions(), uncaught + 1);
    try { // another one, thrown and caught while the first is in flight
      throw trouble(-1, 0);
    } catch (const trouble &inner) {
      self.wander();
      CHECK_EQ(inner.owner, -1);
    }
    CHECK_EQ(std::uncaught_exceptions(), uncaught + 1);
  }
};

static void get_into_trouble(walker &self, int who, int depth) {
  try {
    parks_at_the_end note{self};
    throw trouble(who, depth);
  } catch (const trouble &mine) {
    std::exception_ptr current = std::current_exception();
    self.wander();
    CHECK_EQ(std::uncaught_exceptions(), 0);
    if (depth > 0) get_into_trouble(self, who, depth - 1); // handlers nest
    CHECK_EQ(mine.owner, who);
    CHECK_EQ(mine.depth, depth);
    CHECK(std::current_exception() == current);
    try {
      self.wander();
      throw;
    } catch (const trouble &again) {
      self.wander();
      CHECK(&again == &mine);
    }
    CHECK(std::current_exception() == current);
  }
}

struct crowd {
  ecru::chan<int> baton{2};
  ecru::mutex lock;
  crowd() {
    baton.send(1);
    baton.send(2);
  }
  walker member(uint64_t seed, int number) { return {seed + static_cast<uint64_t>(number) * 7919, baton.get(), &lock}; }
};

static void with_procs(int procs, void (*fn)()) {
  ecru_options options = ECRU_OPTIONS;
  options.maxprocs = procs;
  ecru::check(ecru_run_with(&options, [](void *body) { reinterpret_cast<void (*)()>(body)(); }, reinterpret_cast<void *>(fn)));
}

static void many_in_trouble() {
  const uint64_t seed = test_seed();
  const long rounds = test_scaled(200);
  crowd all;
  ecru::group group;
  for (int who = 0; who < 50; who++) {
    group.go([&all, seed, rounds, who] {
      walker self = all.member(seed, who);
      for (long round = 0; round < rounds; round++) {
        get_into_trouble(self, who, static_cast<int>(test_random_below(&self.random, 4)));
        CHECK(std::current_exception() == nullptr);
        CHECK_EQ(std::uncaught_exceptions(), 0);
      }
    });
  }
  group.wait();
}
TEST(task, exceptions_in_flight_survive_parks_and_migrations) { // G11
  with_procs(4, many_in_trouble);
  if (migrations == 0) SKIP("no goroutine moved");
}

static void own_threads_in_trouble() {
  const uint64_t seed = test_seed();
  static crowd *all;
  all = new crowd;
  ecru_waitgroup *ended = nullptr;
  ecru::check(ecru_waitgroup_create(&ended));
  struct start {
    uint64_t seed;
    int who;
    ecru_waitgroup *ended;
  };
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  for (int who = 0; who < 8; who++) {
    start arguments{seed, who, ended};
    ecru::check(ecru_waitgroup_add(ended, 1));
    ecru::check(ecru_go_copy(
        who % 2 ? nullptr : &options,
        [](void *data) {
          start mine = *static_cast<start *>(data);
          walker self = all->member(mine.seed, mine.who);
          for (long round = 0; round < test_scaled(50); round++) get_into_trouble(self, mine.who, 2);
          ecru::check(ecru_waitgroup_done(mine.ended));
        },
        &arguments, sizeof arguments));
  }
  ecru::check(ecru_waitgroup_wait(ended));
  ecru_waitgroup_destroy(ended);
  delete all;
}
TEST(task, exceptions_in_flight_in_own_threads) { // G10, G11
  with_procs(2, own_threads_in_trouble);
}

/// Fails with an exception that carries its path, in a tree of tasks that join each other on other threads than they started on.
static long climb(walker self, int depth) {
  if (depth == 0) {
    if (self.chance(4)) throw trouble(static_cast<int>(self.random & 0xFFFF), 0);
    return 1;
  }
  walker left = self, right = self;
  left.random = test_random(&self.random);
  right.random = test_random(&self.random);
  auto a = ecru::spawn(climb, left, depth - 1), b = ecru::spawn(climb, right, depth - 1);
  long sum = 0;
  try {
    sum += a.join();
  } catch (const trouble &caught) {
    self.wander();
    sum += 1000 + caught.depth;
    std::string text = caught.what();
    CHECK(text == "trouble of " + std::to_string(caught.owner));
  }
  try {
    sum += b.join();
  } catch (const trouble &) {
    self.wander();
    if (self.chance(8)) throw; // on to the parent, another thread's exception
    sum += 1000;
  }
  return sum;
}
static void forest() {
  uint64_t seed = test_seed();
  crowd all;
  for (long tree = 0; tree < test_scaled(60); tree++) {
    walker self = all.member(seed, static_cast<int>(tree));
    try {
      CHECK(ecru::spawn(climb, self, 6).join() >= 1);
    } catch (const trouble &escaped) {
      CHECK_EQ(escaped.depth, 0);
    }
  }
}
TEST(task, exceptions_climb_trees_of_tasks) { // T1, G11
  with_procs(4, forest);
}

// ---- cancellation races -------------------------------------------------------------------------------------------

/// A task that lives in one of many ways until it is cancelled; a cancel that gets lost leaves it asleep for ever.
struct target {
  uint64_t random;
  ecru_mutex *mutex;
  ecru_cond *cond;
};
static int live_until_cancelled(void *argument, void **) {
  target *self = static_cast<target *>(argument);
  for (;;) {
    int status = 0;
    ecru_token *token = nullptr;
    switch (test_random_below(&self->random, 9)) {
    case 0: status = ecru_yield(); break;
    case 1: status = ecru_check(); break;
    case 2: status = ecru_sleep(ECRU_FOREVER); break;
    case 3: // a scope below the task's token
      CHECK_EQ(ecru_token_create(&token, nullptr, ECRU_FOREVER), 0);
      CHECK_EQ(ecru_token_enter(token), 0);
      status = ecru_sleep(static_cast<int64_t>(test_random_below(&self->random, 20'000)));
      CHECK_EQ(ecru_token_leave(), 0);
      ecru_token_release(token);
      break;
    case 4: // shielded: not reached now, but afterwards
      CHECK_EQ(ecru_shield_enter(ECRU_FOREVER), 0);
      CHECK_EQ(ecru_yield(), 0);
      CHECK_EQ(ecru_token_leave(), 0);
      status = ecru_check();
      break;
    case 5: // ends by the mutex in a shielded wait
      if ((status = ecru_mutex_lock(self->mutex)) != 0) break;
      status = ecru_cond_wait(self->cond, self->mutex);
      CHECK_EQ(ecru_mutex_unlock(self->mutex), 0);
      break;
    case 6: status = ecru_cond_broadcast(self->cond); break;
    default: status = ecru_sleep(static_cast<int64_t>(test_random_below(&self->random, 20'000)));
    }
    if (status != 0) return status;
  }
}
static void shoot(walker &self, ecru_mutex *mutex, ecru_cond *cond) {
  target mark{test_random(&self.random), mutex, cond};
  ecru_task *task = nullptr;
  CHECK_EQ(ecru_spawn(&task, live_until_cancelled, &mark), 0);
  ecru_token *token = self.chance(2) ? ecru_token_retain(ecru_task_token(task)) : nullptr;
  while (self.chance(3)) self.wander();
  CHECK_EQ(token ? ecru_token_cancel(token, ECRU_EPIPE) : ecru_task_cancel(task, ECRU_EPIPE), 0);
  int status = 0;
  CHECK_EQ(ecru_task_join(task, &status, nullptr), 0);
  CHECK_EQ(status, ECRU_ECANCELED);
  CHECK_EQ(ecru_task_state(task), ECRU_TASK_CANCELED);
  CHECK_EQ(ecru_token_cause(ecru_task_token(task)), ECRU_EPIPE);
  ecru_task_release(task);
  ecru_token_release(token);
}
static void shooting_range() {
  const uint64_t seed = test_seed();
  crowd all;
  ecru_mutex *mutex = nullptr;
  ecru_cond *cond = nullptr;
  CHECK_EQ(ecru_mutex_create(&mutex), 0);
  CHECK_EQ(ecru_cond_create(&cond), 0);
  {
    ecru::group group;
    for (int who = 0; who < 16; who++) {
      group.go([&, who] {
        walker self = all.member(seed, who);
        for (long round = 0; round < test_scaled(2000); round++) shoot(self, mutex, cond);
      });
    }
    group.wait();
  }
  ecru_cond_destroy(cond);
  ecru_mutex_destroy(mutex);
}
TEST(task, no_cancel_gets_lost) { // T1, K2
  with_procs(4, shooting_range);
}

// ---- random lives -------------------------------------------------------------------------------------------------

static std::atomic<long> started, finished, reported;

struct life {
  uint64_t random;
  int depth;
};
static int live(void *argument, void **result);

static int wait_somehow(uint64_t *random) {
  switch (test_random_below(random, 4)) {
  case 0: return 0;
  case 1: return ecru_yield();
  case 2: return ecru_sleep(static_cast<int64_t>(test_random_below(random, 100'000)));
  default: return test_random_below(random, 20) == 0 ? ecru_sleep(ECRU_FOREVER) : ecru_yield(); // until it is cancelled
  }
}

static int give_up_after(void *, size_t, int status, void *) { return status == -77 ? 1 : 0; }

/// Spawns some tasks and waits for them in one of all ways; all have to end in the end: `live` counts.
static void spawn_and_join(life *self) {
  enum { MOST = 20 };
  ecru_task *tasks[MOST];
  size_t count = 0, wanted = 1 + test_random_below(&self->random, MOST);
  for (size_t i = 0; i < wanted; i++) {
    life *child = new life{test_random(&self->random), self->depth - 1};
    started++;
    if (ecru_spawn(&tasks[count], live, child) == 0) {
      count++;
    } else {
      started--;
      delete child;
    }
  }
  if (count == 0) return;
  int statuses[MOST];
  // Nobody cancels those who sleep for ever while we wait for them: the deadline ends the wait.
  ecru_shield_enter(ecru_after(1'000'000));
  switch (test_random_below(&self->random, 5)) {
  case 0: ecru_join_all(tasks, count, statuses, nullptr); break;
  case 1: ecru_join_any(tasks, count, nullptr); break;
  case 2: ecru_join_each(tasks, count, give_up_after, nullptr); break;
  case 3: ecru_task_join(tasks[test_random_below(&self->random, count)], &statuses[0], nullptr); break;
  default: break; // leave them all
  }
  ecru_token_leave();
  for (size_t i = 0; i < count; i++) {
    ecru_task_cancel(tasks[i], 0);
    ecru_task_release(tasks[i]);
  }
}

static void group_and_wait(life *self) {
  ecru_group *group = nullptr;
  unsigned flags = test_random_below(&self->random, 2) ? ECRU_GROUP_SUPERVISOR : 0;
  if (ecru_group_create(&group, test_random_below(&self->random, 4), flags) != 0) return;
  ecru_deadline_enter(ecru_after(1'000'000));
  for (size_t i = 0, wanted = test_random_below(&self->random, 20); i < wanted; i++) {
    life *child = new life{test_random(&self->random), self->depth - 1};
    started++;
    int status = test_random_below(&self->random, 3) ? ecru_group_go(group, live, child) : ecru_group_try_go(group, live, child);
    if (status != 0) {
      started--;
      delete child;
    }
    if (test_random_below(&self->random, 10) == 0) ecru_group_cancel(group, 0);
  }
  if (test_random_below(&self->random, 2)) ecru_group_wait(group);
  ecru_token_leave();
  ecru_group_destroy(group);
}

static int live(void *argument, void **) {
  life self = *static_cast<life *>(argument);
  delete static_cast<life *>(argument);
  int status = wait_somehow(&self.random);
  if (status == 0 && self.depth > 0) {
    if (test_random_below(&self.random, 2)) spawn_and_join(&self);
    else group_and_wait(&self);
    status = wait_somehow(&self.random);
  }
  finished++;
  if (status == 0 && test_random_below(&self.random, 10) == 0) status = -77;
  return status;
}

static void many_lives() {
  uint64_t seed = test_seed();
  ecru_set_unobserved_hook([](void *, uint64_t, const char *, int status) { reported += status != 0; }, nullptr);
  ecru::token era = ecru::token::child();
  {
    ecru::token_scope scope(era);
    for (long i = 0; i < test_scaled(300); i++) {
      life self{test_random(&seed), 2};
      if (test_random_below(&seed, 2)) spawn_and_join(&self);
      else group_and_wait(&self);
    }
  }
  era.cancel();
  while (finished != started) ecru::sleep(1ms);
}
TEST(task, random_lives_all_end) { // T1, T2, T3, T4, K1
  with_procs(4, many_lives);
}
