/// ecru/ecru.hpp: ecru for C++17: handles that free themselves, lambdas as goroutines, exceptions instead of statuses.
///
///     ecru::run([] {
///       ecru::chan<std::string> lines(64);
///       auto reader = ecru::spawn([lines]() mutable { read_all(lines); lines.close(); return 42; });
///       for (std::string &line : lines) use(line);
///       return reader.join();               // 42, or the exception that left the task
///     });
///
/// Thin: each class holds one handle of the C interface (get()), whose contract says what an operation does; what fails there
/// with a status throws ecru::error here, with ecru::canceled, ecru::timed_out and ecru::closed for the three that programs tell
/// apart. Three things are added: exceptions travel from a task, a group's child or run() to who waits for it; elements of
/// a channel may be any movable type; and lambdas are kept alive as long as they can be called.
///
/// A goroutine may move to another thread wherever it parks, also inside a catch block (G11); do not hold a std::mutex or the
/// address of a thread_local across a parking call. ecru_exit runs no destructors; ecru::exit does.
#ifndef ECRU_ECRU_HPP
#define ECRU_ECRU_HPP
#include <ecru/ecru.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ecru {

// ---- errors -------------------------------------------------------------------------------------------------------

namespace detail {
class category final : public std::error_category {
 public:
  const char *name() const noexcept override { return "ecru"; }
  std::string message(int status) const override { return ecru_strerror(status); }
  std::error_condition default_error_condition(int status) const noexcept override {
    switch (status) {
    case ECRU_EPERM: return std::errc::operation_not_permitted;
    case ECRU_ENOENT: return std::errc::no_such_file_or_directory;
    case ECRU_EINTR: return std::errc::interrupted;
    case ECRU_EIO: return std::errc::io_error;
    case ECRU_EAGAIN: return std::errc::resource_unavailable_try_again;
    case ECRU_ENOMEM: return std::errc::not_enough_memory;
    case ECRU_EBUSY: return std::errc::device_or_resource_busy;
    case ECRU_EINVAL: return std::errc::invalid_argument;
    case ECRU_EMFILE: return std::errc::too_many_files_open;
    case ECRU_EPIPE: return std::errc::broken_pipe;
    case ECRU_EDEADLK: return std::errc::resource_deadlock_would_occur;
    case ECRU_EOVERFLOW: return std::errc::value_too_large;
    case ECRU_ENOTSUP: return std::errc::not_supported;
    case ECRU_ETIMEDOUT: return std::errc::timed_out;
    case ECRU_ECANCELED: return std::errc::operation_canceled;
    default: return {status, *this};
    }
  }
};
} // namespace detail

/// The category of ecru's status codes: an error_code's value is the negative ECRU_E* number.
inline const std::error_category &category() noexcept {
  static const detail::category instance;
  return instance;
}

/// A negative status as an exception.
class error : public std::system_error {
 public:
  explicit error(int status) : std::system_error(status, category()) {}
  int status() const noexcept { return code().value(); }
};
/// ECRU_ECANCELED: the current token was cancelled.
class canceled : public error { public: canceled() : error(ECRU_ECANCELED) {} };
/// ECRU_ETIMEDOUT: the current token's deadline has passed.
class timed_out : public error { public: timed_out() : error(ECRU_ETIMEDOUT) {} };
/// ECRU_ECLOSED: a send to a closed channel.
class closed : public error { public: closed() : error(ECRU_ECLOSED) {} };

[[noreturn]] inline void raise(int status) {
  switch (status) {
  case ECRU_ECANCELED: throw canceled();
  case ECRU_ETIMEDOUT: throw timed_out();
  case ECRU_ECLOSED: throw closed();
  case ECRU_ENOMEM: throw std::bad_alloc();
  default: throw error(status);
  }
}
/// Passes a status >= 0 through, throws a negative one.
inline int check(int status) {
  if (status < 0) raise(status);
  return status;
}

namespace detail {
struct exit_request {}; // thrown by ecru::exit, caught where the goroutine's function was called
enum { exited = 1 };    // what outcome::run says then

/// What the exception being handled is as a status. Called in a catch block.
inline int current_status() noexcept {
  try {
    throw;
  } catch (const error &failure) {
    return failure.status();
  } catch (const std::bad_alloc &) {
    return ECRU_ENOMEM;
  } catch (...) {
    return ECRU_EPANIC;
  }
}

/// The result of a function, kept for somebody else: a value, nothing for void, or the exception that left it.
template <class T> struct outcome {
  static_assert(!std::is_reference_v<T>, "return a value or a pointer: the result outlives the function");
  std::optional<T> value;
  std::exception_ptr exception;
  template <class F> int run(F &&fn) noexcept {
    try {
      value.emplace(std::forward<F>(fn)());
      return 0;
    } catch (const exit_request &) {
      return exited;
    } catch (...) {
      exception = std::current_exception();
      return current_status();
    }
  }
  /// status: how the run ended as the C interface sees it (ecru_exit leaves neither value nor exception).
  void rethrow(int status) const {
    if (exception) std::rethrow_exception(exception);
    check(status);
    if (!value) ecru::raise(ECRU_ECANCELED);
  }
};
template <> struct outcome<void> {
  bool value = false;
  std::exception_ptr exception;
  template <class F> int run(F &&fn) noexcept {
    try {
      std::forward<F>(fn)();
      value = true;
      return 0;
    } catch (const exit_request &) {
      return exited;
    } catch (...) {
      exception = std::current_exception();
      return current_status();
    }
  }
  void rethrow(int status) const {
    if (exception) std::rethrow_exception(exception);
    check(status);
    if (!value) ecru::raise(ECRU_ECANCELED);
  }
};

/// Calls fn in a goroutine that is nobody's task: an exception other than exit's finds no handler and ends the process.
template <class F> void call(F &fn) {
  try {
    static_cast<void>(fn());
  } catch (const exit_request &) {
  }
}

/// fn with its arguments, decayed, as a function without any.
template <class F, class... Arguments> auto bind(F &&fn, Arguments &&...arguments) {
  if constexpr (sizeof...(Arguments) == 0) {
    return std::decay_t<F>(std::forward<F>(fn));
  } else {
    return [fn = std::decay_t<F>(std::forward<F>(fn)),
            bound = std::tuple<std::decay_t<Arguments>...>(std::forward<Arguments>(arguments)...)]() mutable
           -> decltype(auto) { return std::apply(std::move(fn), std::move(bound)); };
  }
}
/// A function on the heap, for a goroutine that frees it.
template <class Call> struct kept_call {
  Call call;
  static void run(void *data) {
    std::unique_ptr<kept_call> mine(static_cast<kept_call *>(data));
    detail::call(mine->call);
  }
};
template <class Call> std::unique_ptr<kept_call<Call>> keep(Call &&call) {
  static_assert(!std::is_reference_v<Call>, "moved in");
  return std::unique_ptr<kept_call<Call>>(new kept_call<Call>{std::move(call)});
}

/// A counted C handle.
template <class Handle, Handle *(*Retain)(Handle *), void (*Release)(Handle *)> class counted {
 public:
  counted() noexcept = default;
  /// Takes over one reference.
  explicit counted(Handle *handle) noexcept : handle_(handle) {}
  counted(const counted &other) noexcept : handle_(Retain(other.handle_)) {}
  counted(counted &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  counted &operator=(counted other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~counted() { Release(handle_); }
  Handle *get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

 private:
  Handle *handle_ = nullptr;
};

/// A C object with one owner.
template <class Object, void (*Destroy)(Object *)> struct destroyer {
  void operator()(Object *object) const noexcept { Destroy(object); }
};
template <class Object, void (*Destroy)(Object *)> using owned = std::unique_ptr<Object, destroyer<Object, Destroy>>;
} // namespace detail

// ---- goroutines ---------------------------------------------------------------------------------------------------

/// Starts fn(arguments...) in a goroutine; both are copied or moved into it now. An exception that leaves fn ends the process.
/// Throws error as ecru_go fails.
template <class F, class... Arguments> void go(F &&fn, Arguments &&...arguments) {
  auto call = detail::bind(std::forward<F>(fn), std::forward<Arguments>(arguments)...);
  using Call = decltype(call);
  if constexpr (std::is_trivially_copyable_v<Call> && sizeof(Call) <= 1024 && alignof(Call) <= 16) {
    check(ecru_go_copy(nullptr, [](void *data) { detail::call(*static_cast<Call *>(data)); }, &call, sizeof call));
  } else {
    auto kept = detail::keep(std::move(call));
    check(ecru_go(kept->run, kept.get()));
    kept.release();
  }
}

/// Starts the runtime, runs fn() as the first goroutine, stops the runtime (G13). Returns what fn returns, throws what it throws;
/// throws error as ecru_run fails.
template <class F> auto run(F &&fn) {
  using T = std::invoke_result_t<F &>;
  struct call {
    std::remove_reference_t<F> *fn;
    detail::outcome<T> result;
  } main{&fn, {}};
  int status = ecru_run(
      [](void *data) {
        auto *self = static_cast<call *>(data);
        self->result.run(*self->fn);
      },
      &main);
  main.result.rethrow(status);
  if constexpr (!std::is_void_v<T>) return T(std::move(*main.result.value));
}

/// Ends the calling goroutine as ecru_exit does, but unwinds its stack: destructors run. catch (...) must rethrow.
[[noreturn]] inline void exit() { throw detail::exit_request(); }
inline void yield() { check(ecru_yield()); }
inline void sleep(std::chrono::nanoseconds duration) { check(ecru_sleep(duration.count())); }
/// A cancellation point that does not wait.
inline void check() { check(ecru_check()); }

// ---- tasks --------------------------------------------------------------------------------------------------------

namespace detail {
template <class Call, class T> struct work {
  std::optional<Call> call;
  outcome<T> result;
  std::shared_ptr<work> self; // keeps it alive from the start until the goroutine has taken it over
  explicit work(Call &&fn) : call(std::move(fn)) {}
  static int run(void *data, void **) {
    std::shared_ptr<work> mine = std::move(static_cast<work *>(data)->self);
    int status = mine->result.run(*mine->call);
    mine->call.reset(); // what it captured goes with the goroutine, not with the last handle
    if (status != exited) return status;
    mine.reset();
    ecru_exit();
    return 0;
  }
};
} // namespace detail

/// The handle of a task: copies are handles of the same task. Destroying the last handle leaves the task running; an exception
/// nobody has seen is then reported (T2, ecru_set_unobserved_hook).
template <class T> class task {
 public:
  task() noexcept = default;
  /// Waits for the task, any number of times. Returns its result, throws what it threw; throws canceled or timed_out if the
  /// caller's own token fires first.
  std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>> join() const {
    int status = 0;
    check(ecru_task_join(handle_.get(), &status, nullptr));
    result_->rethrow(status);
    if constexpr (!std::is_void_v<T>) return *result_->value;
  }
  /// join for results that can only be moved: once, by one caller.
  T take() {
    int status = 0;
    check(ecru_task_join(handle_.get(), &status, nullptr));
    result_->rethrow(status);
    if constexpr (!std::is_void_v<T>) return T(std::move(*result_->value));
  }
  /// Waits for the task and returns its status: 0, an error's, or ECRU_EPANIC for another exception.
  int wait() const {
    int status = 0;
    check(ecru_task_join(handle_.get(), &status, nullptr));
    return status;
  }
  void cancel(int cause = 0) const { check(ecru_task_cancel(handle_.get(), cause)); }
  int state() const noexcept { return ecru_task_state(handle_.get()); }
  std::uint64_t id() const noexcept { return ecru_task_id(handle_.get()); }
  ecru_task *get() const noexcept { return handle_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

 private:
  template <class F, class... Arguments> friend auto spawn(F &&fn, Arguments &&...arguments);
  detail::counted<ecru_task, ecru_task_retain, ecru_task_release> handle_;
  std::shared_ptr<detail::outcome<T>> result_;
};

/// Starts fn(arguments...) as a task. Throws error as ecru_spawn fails.
template <class F, class... Arguments> auto spawn(F &&fn, Arguments &&...arguments) {
  auto call = detail::bind(std::forward<F>(fn), std::forward<Arguments>(arguments)...);
  using T = std::remove_cv_t<decltype(call())>;
  using Work = detail::work<decltype(call), T>;
  auto work = std::make_shared<Work>(std::move(call));
  task<T> started;
  started.result_ = std::shared_ptr<detail::outcome<T>>(work, &work->result);
  work->self = work;
  ecru_task *handle = nullptr;
  int status = ecru_spawn(&handle, Work::run, work.get());
  if (status != 0) {
    work->self.reset();
    raise(status);
  }
  started.handle_ = detail::counted<ecru_task, ecru_task_retain, ecru_task_release>(handle);
  return started;
}

namespace detail {
/// join_all of handles. Returns whether one has not ended well; throws if it is the caller's token that ended the wait.
inline bool any_failed(ecru_task *const *tasks, std::size_t count) {
  if (count == 0) return false;
  char unchanged;
  std::vector<void *> results(count, &unchanged); // looking at them is not looking at the errors (T2)
  int status = ecru_join_all(tasks, count, nullptr, results.data());
  if (results[0] == &unchanged) check(status);
  return status < 0;
}
template <class T> void join_if_failed(const task<T> &ended) {
  if (ended.state() != ECRU_TASK_DONE) ended.join();
}
} // namespace detail

/// Waits for all tasks, then throws what the first of them in order threw, if any did (T3). The exceptions of the others are
/// there for their join(), and reported if nobody looks. Throws canceled or timed_out if the caller's own token fires first.
template <class... T> void join_all(const task<T> &...tasks) {
  ecru_task *const handles[] = {tasks.get()..., nullptr};
  if (detail::any_failed(handles, sizeof...(T))) (detail::join_if_failed(tasks), ...);
}
template <class T> void join_all(const std::vector<task<T>> &tasks) {
  std::vector<ecru_task *> handles;
  for (const task<T> &each : tasks) handles.push_back(each.get());
  if (!detail::any_failed(handles.data(), handles.size())) return;
  for (const task<T> &each : tasks) detail::join_if_failed(each);
}

// ---- tokens and scopes --------------------------------------------------------------------------------------------

/// A counted token.
class token : public detail::counted<ecru_token, ecru_token_retain, ecru_token_release> {
 public:
  using counted::counted;
  /// A child of the current token, with a deadline if one is given.
  static token child(std::int64_t deadline_ns = ECRU_FOREVER) { return make(nullptr, deadline_ns); }
  static token child_of(const token &parent, std::int64_t deadline_ns = ECRU_FOREVER) {
    return make(parent.get(), deadline_ns);
  }
  static token current() noexcept { return token(ecru_token_retain(ecru_token_current())); }
  void cancel(int cause = 0) const { check(ecru_token_cancel(get(), cause)); }
  /// 0, ECRU_ECANCELED or ECRU_ETIMEDOUT.
  int err() const noexcept { return ecru_token_err(get()); }
  int cause() const noexcept { return ecru_token_cause(get()); }
  void wait() const { check(ecru_token_wait(get())); }

 private:
  static token make(ecru_token *parent, std::int64_t deadline_ns) {
    ecru_token *created = nullptr;
    check(ecru_token_create(&created, parent, deadline_ns));
    return token(created);
  }
};

/// fn() runs once when the token fires (at once if it has) unless the registration is destroyed first. fn must neither park nor
/// throw nor destroy its registration.
class registration {
 public:
  template <class F> registration(const token &watched, F &&fn) {
    using Call = std::decay_t<F>;
    auto call = std::make_shared<Call>(std::forward<F>(fn));
    check(ecru_token_on_cancel(watched.get(), [](void *data) { (*static_cast<Call *>(data))(); }, call.get(), &handle_));
    call_ = std::move(call);
  }
  registration(const registration &) = delete;
  registration &operator=(const registration &) = delete;
  /// Waits for a run under way.
  ~registration() { stop(); }
  /// Returns whether it prevented the run.
  bool stop() noexcept { return handle_ && ecru_token_unregister(std::exchange(handle_, nullptr)) == 1; }

 private:
  ecru_registration *handle_ = nullptr;
  std::shared_ptr<void> call_;
};

namespace detail {
class scope {
 public:
  scope(const scope &) = delete;
  scope &operator=(const scope &) = delete;

 protected:
  explicit scope(int entered) { check(entered); }
  ~scope() { ecru_token_leave(); }
};
} // namespace detail

/// The rest of the block runs under `entered`.
class token_scope : detail::scope {
 public:
  explicit token_scope(const token &entered) : scope(ecru_token_enter(entered.get())) {}
};
/// The rest of the block may take this long; then what waits in it throws timed_out.
class deadline_scope : detail::scope {
 public:
  explicit deadline_scope(std::chrono::nanoseconds duration) : scope(ecru_deadline_enter(ecru_after(duration.count()))) {}
};
/// No cancel from outside reaches the rest of the block: for cleanup, with a time limit of its own if one is given.
class shield_scope : detail::scope {
 public:
  shield_scope() : scope(ecru_shield_enter(ECRU_FOREVER)) {}
  explicit shield_scope(std::chrono::nanoseconds duration) : scope(ecru_shield_enter(ecru_after(duration.count()))) {}
};

// ---- groups -------------------------------------------------------------------------------------------------------

/// A group (T4). Its destructor cancels and waits for what still runs.
class group {
 public:
  explicit group(std::size_t limit = 0, unsigned flags = 0) {
    ecru_group *created = nullptr;
    check(ecru_group_create(&created, limit, flags));
    handle_.reset(created);
  }
  group(const group &) = delete;
  group &operator=(const group &) = delete;
  ~group() { handle_.reset(); } // before the exceptions, which children still add to

  /// Starts fn(arguments...) in the group; parks while the limit is reached.
  template <class F, class... Arguments> void go(F &&fn, Arguments &&...arguments) {
    check(start(ecru_group_go, std::forward<F>(fn), std::forward<Arguments>(arguments)...));
  }
  /// The same; false instead of parking.
  template <class F, class... Arguments> bool try_go(F &&fn, Arguments &&...arguments) {
    int status = start(ecru_group_try_go, std::forward<F>(fn), std::forward<Arguments>(arguments)...);
    return status != ECRU_EAGAIN && check(status) == 0;
  }
  /// Waits for all; throws what the first child to fail threw, or canceled if some gave up without one failing.
  void wait() {
    int status = ecru_group_wait(handle_.get());
    if (status == 0) return;
    for (const failure &seen : failures())
      if (seen.status == status) std::rethrow_exception(seen.exception);
    raise(status);
  }
  /// The exceptions children have ended with so far, in order of time, those of cancelled children included.
  std::vector<std::exception_ptr> exceptions() const {
    std::vector<std::exception_ptr> all;
    for (const failure &seen : failures()) all.push_back(seen.exception);
    return all;
  }
  void cancel(int cause = 0) { check(ecru_group_cancel(handle_.get(), cause)); }
  ecru::token token() const noexcept { return ecru::token(ecru_token_retain(ecru_group_token(handle_.get()))); }
  ecru_group *get() const noexcept { return handle_.get(); }

 private:
  struct failure {
    int status;
    std::exception_ptr exception;
  };
  std::vector<failure> failures() const {
    std::lock_guard<std::mutex> hold(mutex_);
    return failures_;
  }
  int note() noexcept {
    int status = detail::current_status();
    try {
      std::lock_guard<std::mutex> hold(mutex_);
      failures_.push_back({status, std::current_exception()});
    } catch (...) { // no memory for the note: wait() still throws the status
    }
    return status;
  }
  template <class F, class... Arguments>
  int start(int (*how)(ecru_group *, ecru_task_fn, void *), F &&fn, Arguments &&...arguments) {
    struct child {
      group *owner;
      decltype(detail::bind(std::forward<F>(fn), std::forward<Arguments>(arguments)...)) call;
    };
    auto kept = std::unique_ptr<child>(
        new child{this, detail::bind(std::forward<F>(fn), std::forward<Arguments>(arguments)...)});
    int status = how(
        handle_.get(),
        [](void *data, void **) {
          std::unique_ptr<child> mine(static_cast<child *>(data));
          try {
            static_cast<void>(mine->call());
            return 0;
          } catch (const detail::exit_request &) {
          } catch (...) {
            return mine->owner->note();
          }
          mine.reset();
          ecru_exit();
          return 0;
        },
        kept.get());
    if (status == 0) kept.release();
    return status;
  }

  mutable std::mutex mutex_; // guards failures_; never held across a parking call
  std::vector<failure> failures_;
  detail::owned<ecru_group, ecru_group_destroy> handle_;
};

// ---- locks --------------------------------------------------------------------------------------------------------

/// Lockable: for std::lock_guard, std::unique_lock, std::scoped_lock. Parks only the goroutine.
class mutex {
 public:
  mutex() {
    ecru_mutex *created = nullptr;
    check(ecru_mutex_create(&created));
    handle_.reset(created);
  }
  void lock() { check(ecru_mutex_lock(get())); }
  bool try_lock() {
    int status = ecru_mutex_try_lock(get());
    return status != ECRU_EAGAIN && check(status) == 0;
  }
  void unlock() { check(ecru_mutex_unlock(get())); }
  ecru_mutex *get() const noexcept { return handle_.get(); }

 private:
  detail::owned<ecru_mutex, ecru_mutex_destroy> handle_;
};

/// Lockable and SharedLockable: for std::unique_lock and std::shared_lock. A waiting writer keeps new readers out.
class rwmutex {
 public:
  rwmutex() {
    ecru_rwmutex *created = nullptr;
    check(ecru_rwmutex_create(&created));
    handle_.reset(created);
  }
  void lock() { check(ecru_rwmutex_lock(get())); }
  bool try_lock() { return taken(ecru_rwmutex_try_lock(get())); }
  void unlock() { check(ecru_rwmutex_unlock(get())); }
  void lock_shared() { check(ecru_rwmutex_read_lock(get())); }
  bool try_lock_shared() { return taken(ecru_rwmutex_try_read_lock(get())); }
  void unlock_shared() { check(ecru_rwmutex_read_unlock(get())); }
  ecru_rwmutex *get() const noexcept { return handle_.get(); }

 private:
  static bool taken(int status) { return status != ECRU_EAGAIN && check(status) == 0; }
  detail::owned<ecru_rwmutex, ecru_rwmutex_destroy> handle_;
};

/// A condition variable for ecru::mutex; nobody wakes without a signal.
class cond {
 public:
  cond() {
    ecru_cond *created = nullptr;
    check(ecru_cond_create(&created));
    handle_.reset(created);
  }
  /// Unlocks, waits for a signal, locks again: also before it throws canceled or timed_out.
  void wait(std::unique_lock<mutex> &held) { check(ecru_cond_wait(get(), held.mutex()->get())); }
  /// Waits until ready() says true; it is called with the mutex held.
  template <class F> void wait(std::unique_lock<mutex> &held, F &&ready) {
    while (!ready()) wait(held);
  }
  void signal() { check(ecru_cond_signal(get())); }
  void broadcast() { check(ecru_cond_broadcast(get())); }
  ecru_cond *get() const noexcept { return handle_.get(); }

 private:
  detail::owned<ecru_cond, ecru_cond_destroy> handle_;
};

class once {
 public:
  once() {
    ecru_once *created = nullptr;
    check(ecru_once_create(&created));
    handle_.reset(created);
  }
  /// Runs fn() if no call has yet; returns when it has run, in whichever caller. An exception goes to the caller that ran it:
  /// fn has run even so (unlike std::call_once).
  template <class F> void call(F &&fn) {
    struct call {
      std::remove_reference_t<F> *fn;
      std::exception_ptr exception;
    } mine{&fn, nullptr};
    check(ecru_once_do(
        get(),
        [](void *data) {
          auto *self = static_cast<struct call *>(data);
          try {
            static_cast<void>((*self->fn)());
          } catch (...) {
            self->exception = std::current_exception();
          }
        },
        &mine));
    if (mine.exception) std::rethrow_exception(mine.exception);
  }
  ecru_once *get() const noexcept { return handle_.get(); }

 private:
  detail::owned<ecru_once, ecru_once_destroy> handle_;
};

class waitgroup {
 public:
  waitgroup() {
    ecru_waitgroup *created = nullptr;
    check(ecru_waitgroup_create(&created));
    handle_.reset(created);
  }
  void add(std::int64_t delta = 1) { check(ecru_waitgroup_add(get(), delta)); }
  void done() { check(ecru_waitgroup_done(get())); }
  void wait() { check(ecru_waitgroup_wait(get())); }
  /// add(1), starts fn(arguments...) in a goroutine, done() when that has ended.
  template <class F, class... Arguments> void go(F &&fn, Arguments &&...arguments) {
    auto kept = detail::keep(detail::bind(std::forward<F>(fn), std::forward<Arguments>(arguments)...));
    check(ecru_waitgroup_go(get(), kept->run, kept.get()));
    kept.release();
  }
  ecru_waitgroup *get() const noexcept { return handle_.get(); }

 private:
  detail::owned<ecru_waitgroup, ecru_waitgroup_destroy> handle_;
};

class semaphore {
 public:
  explicit semaphore(std::int64_t permits) {
    ecru_semaphore *created = nullptr;
    check(ecru_semaphore_create(&created, permits));
    handle_.reset(created);
  }
  void acquire(std::int64_t n = 1) { check(ecru_semaphore_acquire(get(), n)); }
  bool try_acquire(std::int64_t n = 1) {
    int status = ecru_semaphore_try_acquire(get(), n);
    return status != ECRU_EAGAIN && check(status) == 0;
  }
  void release(std::int64_t n = 1) { check(ecru_semaphore_release(get(), n)); }
  ecru_semaphore *get() const noexcept { return handle_.get(); }

 private:
  detail::owned<ecru_semaphore, ecru_semaphore_destroy> handle_;
};

// ---- timers -------------------------------------------------------------------------------------------------------

/// Due once, after a duration; again after a reset (K6).
class timer {
 public:
  explicit timer(std::chrono::nanoseconds duration) : timer(ecru_timer_create, duration) {}
  /// Waits for the next tick and takes it. Returns the instant of ecru_now at which it was due.
  std::int64_t wait() {
    std::int64_t scheduled_ns = 0;
    check(ecru_timer_wait(get(), &scheduled_ns));
    return scheduled_ns;
  }
  /// Takes a tick if there is one.
  bool try_wait() {
    int status = ecru_timer_try(get(), nullptr);
    return status != ECRU_EAGAIN && check(status) == 0;
  }
  /// No older tick is received after it. Returns whether it prevented one.
  bool stop() { return check(ecru_timer_stop(get())) == 1; }
  /// Stops it and starts it anew, a ticker with a new period. Returns whether it was active.
  bool reset(std::chrono::nanoseconds duration) { return check(ecru_timer_reset(get(), duration.count())) == 1; }
  ecru_timer *get() const noexcept { return handle_.get(); }

 protected:
  timer(int (*create)(ecru_timer **, std::int64_t), std::chrono::nanoseconds duration) {
    ecru_timer *created = nullptr;
    check(create(&created, duration.count()));
    handle_.reset(created);
  }

 private:
  detail::owned<ecru_timer, ecru_timer_destroy> handle_;
};
/// Due every period: ticks nobody takes are dropped, the phase does not drift.
class ticker : public timer {
 public:
  explicit ticker(std::chrono::nanoseconds period) : timer(ecru_ticker_create, period) {}
};

// ---- channels -----------------------------------------------------------------------------------------------------

namespace detail {
/// How a T lies in a channel: a trivially copyable one as its bytes, any other on the heap, the channel holding the pointer.
/// A slot is the element of one operation: where a value comes from or goes to.
template <class T> inline constexpr bool lies_in_channel = std::is_trivially_copyable_v<T> && sizeof(T) <= 64 * 1024;

template <class T, bool = lies_in_channel<T>> class slot {
 public:
  static constexpr std::size_t bytes = sizeof(T);
  static constexpr void (*dropped)(void *, void *) = nullptr;
  slot() noexcept = default;
  explicit slot(T &&value) noexcept { std::memcpy(bytes_, std::addressof(value), sizeof(T)); }
  void *element() noexcept { return bytes_; }
  void sent() noexcept {}
  void received() noexcept {}
  T take() noexcept { return std::move(*std::launder(reinterpret_cast<T *>(bytes_))); }
  void give_back(T &) noexcept {}

 private:
  alignas(T) unsigned char bytes_[sizeof(T)];
};

template <class T> class slot<T, false> {
 public:
  static constexpr std::size_t bytes = sizeof(T *);
  static void dropped(void *, void *element) { delete *static_cast<T **>(element); }
  slot() noexcept = default;
  explicit slot(T &&value) : pointer_(new T(std::move(value))), mine_(true) {}
  slot(const slot &) = delete;
  slot &operator=(const slot &) = delete;
  ~slot() {
    if (mine_) delete pointer_;
  }
  void *element() noexcept { return &pointer_; }
  void sent() noexcept { mine_ = false; }
  void received() noexcept { mine_ = true; }
  T take() { return std::move(*pointer_); }
  void give_back(T &value) { value = std::move(*pointer_); }

 private:
  T *pointer_ = nullptr;
  bool mine_ = false; // whether *pointer_ is ours to delete
};

/// How a receive has ended: a value, nothing (closed and drained), or an exception.
template <class T> std::optional<T> received(slot<T> &into, int status) {
  if (status == ECRU_ECLOSED) return std::nullopt;
  check(status);
  into.received();
  return into.take();
}

/// Reads until the source has nothing more.
template <class Source, class T> class reader {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = T *;
  using reference = T &;
  reader() = default;
  explicit reader(Source *source) : source_(source) { ++*this; }
  T &operator*() { return *value_; }
  T *operator->() { return &*value_; }
  reader &operator++() {
    value_.reset();
    std::optional<T> next = source_->recv();
    if (next) value_.emplace(std::move(*next));
    else source_ = nullptr;
    return *this;
  }
  bool operator==(const reader &other) const noexcept { return source_ == other.source_; }
  bool operator!=(const reader &other) const noexcept { return source_ != other.source_; }

 private:
  Source *source_ = nullptr;
  std::optional<T> value_;
};
} // namespace detail

/// Options of a channel; see ecru_chan_options.
struct chan_options {
  bool unbounded = false;
  int full = ECRU_FULL_WAIT;
  const char *name = nullptr;
};

/// A counted handle of a channel of any movable type; copies are handles of the same channel.
template <class T> class chan : public detail::counted<ecru_chan, ecru_chan_retain, ecru_chan_release> {
 public:
  using value_type = T;
  explicit chan(std::size_t capacity = 0, const chan_options &options = {}) : counted(make(capacity, options)) {}

  /// Parks while there is neither a receiver nor room. Throws closed; error(ECRU_EAGAIN) under the policy ECRU_FULL_FAIL.
  void send(T value) const {
    detail::slot<T> from(std::move(value));
    check(ecru_chan_send(get(), from.element()));
    from.sent();
  }
  /// Returns false, with value unchanged, instead of parking.
  bool try_send(T &&value) const {
    detail::slot<T> from(std::move(value));
    int status = ecru_chan_try_send(get(), from.element());
    if (status == 0) from.sent();
    else from.give_back(value);
    return status != ECRU_EAGAIN && check(status) == 0;
  }
  bool try_send(const T &value) const { return try_send(T(value)); }
  /// The next value; nothing once the channel is closed and drained. Throws the status given to close_with.
  std::optional<T> recv() const {
    detail::slot<T> into;
    return detail::received(into, ecru_chan_recv(get(), into.element()));
  }
  /// The next value if one is there: nothing else tells "none now" from "closed" but is_closed().
  std::optional<T> try_recv() const {
    detail::slot<T> into;
    int status = ecru_chan_try_recv(get(), into.element());
    return detail::received(into, status == ECRU_EAGAIN ? ECRU_ECLOSED : status);
  }
  /// Returns whether it was open.
  bool close() const { return closed_now(ecru_chan_close(get())); }
  bool close_with(int status) const { return closed_now(ecru_chan_close_with(get(), status)); }
  bool is_closed() const noexcept { return ecru_chan_is_closed(get()) != 0; }
  std::size_t size() const noexcept { return ecru_chan_len(get()); }
  std::size_t capacity() const noexcept { return ecru_chan_cap(get()); }
  /// for (T &value : channel): until it is closed and drained.
  detail::reader<const chan, T> begin() const { return detail::reader<const chan, T>(this); }
  detail::reader<const chan, T> end() const { return {}; }

 private:
  static ecru_chan *make(std::size_t capacity, const chan_options &given) {
    ecru_chan_options options = ECRU_CHAN_OPTIONS;
    options.unbounded = given.unbounded;
    options.full = given.full;
    options.name = given.name;
    options.dropped = detail::slot<T>::dropped;
    ecru_chan *created = nullptr;
    check(ecru_chan_create_with(&created, detail::slot<T>::bytes, capacity, &options));
    return created;
  }
  static bool closed_now(int status) { return status != ECRU_ECLOSED && check(status) == 0; }
};

/// A counted sending end (C8): the channel closes when the last one is gone.
template <class T> class sender : public detail::counted<ecru_tx, ecru_tx_retain, ecru_tx_release> {
 public:
  explicit sender(const chan<T> &to) : counted(open(to.get())) {}
  void send(T value) const {
    detail::slot<T> from(std::move(value));
    check(ecru_tx_send(this->get(), from.element()));
    from.sent();
  }

 private:
  static ecru_tx *open(ecru_chan *to) {
    ecru_tx *opened = nullptr;
    check(ecru_tx_open(&opened, to));
    return opened;
  }
};

/// A counted receiving end (C8): senders get closed when the last one is gone.
template <class T> class receiver : public detail::counted<ecru_rx, ecru_rx_retain, ecru_rx_release> {
 public:
  explicit receiver(const chan<T> &from) : counted(open(from.get())) {}
  std::optional<T> recv() const {
    detail::slot<T> into;
    return detail::received(into, ecru_rx_recv(this->get(), into.element()));
  }
  detail::reader<const receiver, T> begin() const { return detail::reader<const receiver, T>(this); }
  detail::reader<const receiver, T> end() const { return {}; }

 private:
  static ecru_rx *open(ecru_chan *from) {
    ecru_rx *opened = nullptr;
    check(ecru_rx_open(&opened, from));
    return opened;
  }
};

// ---- select -------------------------------------------------------------------------------------------------------

namespace detail {
struct unlimited { // a case that sets no deadline and is no default
  static constexpr bool polls = false;
  std::int64_t deadline() const noexcept { return ECRU_FOREVER; }
};
template <class T, class F> struct recv_case : unlimited {
  ecru_chan *chan;
  F fn;
  slot<T> into;
  recv_case(ecru_chan *from, F &&call) : chan(from), fn(std::move(call)) {}
  ecru_case entry() noexcept { return {ECRU_CASE_RECV, 0, chan, into.element()}; }
  void picked(int status) { fn(received(into, status)); }
};
template <class T, class F> struct send_case : unlimited {
  ecru_chan *chan;
  F fn;
  slot<T> from;
  send_case(ecru_chan *to, T &&value, F &&call) : chan(to), fn(std::move(call)), from(std::move(value)) {}
  ecru_case entry() noexcept { return {ECRU_CASE_SEND, 0, chan, from.element()}; }
  void picked(int status) {
    check(status);
    from.sent();
    fn();
  }
};
template <class F> struct event_case : unlimited {
  std::uint32_t kind;
  void *object;
  F fn;
  event_case(std::uint32_t what, void *of, F &&call) : kind(what), object(of), fn(std::move(call)) {}
  ecru_case entry() noexcept { return {kind, 0, object, nullptr}; }
  void picked(int) { fn(); }
};
/// Not an entry of the C select but its deadline, or its poll flag: a NULL object is never ready (S3).
template <class F, bool Polls> struct else_case {
  static constexpr bool polls = Polls;
  std::int64_t when;
  F fn;
  std::int64_t deadline() const noexcept { return when; }
  ecru_case entry() noexcept { return {ECRU_CASE_TOKEN, 0, nullptr, nullptr}; }
  void picked(int) { fn(); }
};

template <class... Cases> int wait_for_one(ecru_case *entries, std::int64_t deadline_ns) {
  constexpr bool polls = (Cases::polls || ...);
  if (polls) return ecru_select(entries, sizeof...(Cases), ECRU_SELECT_POLL);
  if (deadline_ns == ECRU_FOREVER) return ecru_select(entries, sizeof...(Cases), 0);
  int picked = ecru_select_until(entries, sizeof...(Cases), 0, deadline_ns);
  return picked == ECRU_ETIMEDOUT && ecru_check() == 0 ? ECRU_EAGAIN : picked; // else the caller's own token it was
}
} // namespace detail

/// Cases of select. on_recv: fn(std::optional<T>), nothing when closed; on_send, on_cancel, on_end, on_tick: fn().
template <class T, class F> detail::recv_case<T, std::decay_t<F>> on_recv(const chan<T> &from, F &&fn) {
  return {from.get(), std::decay_t<F>(std::forward<F>(fn))};
}
template <class T, class F> detail::send_case<T, std::decay_t<F>> on_send(const chan<T> &to, typename chan<T>::value_type value, F &&fn) {
  return {to.get(), std::move(value), std::decay_t<F>(std::forward<F>(fn))};
}
template <class F> detail::event_case<std::decay_t<F>> on_cancel(const token &watched, F &&fn) {
  return {ECRU_CASE_TOKEN, watched.get(), std::decay_t<F>(std::forward<F>(fn))};
}
template <class T, class F> detail::event_case<std::decay_t<F>> on_end(const task<T> &watched, F &&fn) {
  return {ECRU_CASE_TASK, watched.get(), std::decay_t<F>(std::forward<F>(fn))};
}
template <class F> detail::event_case<std::decay_t<F>> on_tick(const timer &watched, F &&fn) {
  return {ECRU_CASE_TIMER, watched.get(), std::decay_t<F>(std::forward<F>(fn))};
}
/// If nothing else can happen for so long.
template <class F> detail::else_case<std::decay_t<F>, false> on_timeout(std::chrono::nanoseconds duration, F &&fn) {
  return {ecru_after(duration.count()), std::decay_t<F>(std::forward<F>(fn))};
}
/// If nothing else can happen now.
template <class F> detail::else_case<std::decay_t<F>, true> otherwise(F &&fn) {
  return {ECRU_FOREVER, std::decay_t<F>(std::forward<F>(fn))};
}

/// Waits for the first of the cases, makes it happen, calls its function and returns its index. At most one on_timeout or
/// otherwise. Throws what the function throws, closed for a send to a closed channel, canceled, timed_out.
template <class... Cases> std::size_t select(Cases &&...cases) {
  ecru_case entries[] = {cases.entry()...};
  std::int64_t deadline_ns = ECRU_FOREVER;
  ((deadline_ns = cases.deadline() < deadline_ns ? cases.deadline() : deadline_ns), ...);
  int picked = detail::wait_for_one<std::decay_t<Cases>...>(entries, deadline_ns);
  if (picked == ECRU_EAGAIN) { // the one that is no entry
    int index = 0;
    ((cases.polls || cases.deadline() != ECRU_FOREVER ? void(picked = index++) : void(index++)), ...);
  }
  check(picked);
  int index = 0;
  ((index++ == picked ? cases.picked(entries[picked].status) : void()), ...);
  return static_cast<std::size_t>(picked);
}

} // namespace ecru
#endif
