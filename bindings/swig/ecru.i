// ecru.i: the public headers for languages, by SWIG. What all of them share is here and in objects.h; <language>/<language>.i, which -I finds as
// language.i, says for one of them
//   - typemap(argout) int *status   a negative status becomes the language's exception, with code and name
//   - typemap(out) bytes            a string or array of bytes, freed with free(); data NULL: none
//   - typemap(in) (const char *data, size_t length) where SWIG has none, and what durations (int64_t ..._ns) are there
//   - renames to the language's manner, and what only it has (goroutines, values through channels)
//
// Objects are proxies of handles (handle.h): the collector frees them, close() ends them before; both at any time.
// Everything that waits parks the calling goroutine or thread and is a point of cancellation.
%module(docstring="Goroutines' channels, tokens, locks, timers and connections: ecru's.") core

%{
#include "objects.h"
%}
%include <stdint.i>
%include "language.i"

// ---- constants, from the headers ---------------------------------------------------------------------------------------
#define ECRU_API
#define ECRU_BEGIN
#define ECRU_END
#define INT64_C(number) number##LL
%define INT64_MAX 9223372036854775807LL %enddef
%rename("$ignore", %$isfunction) "";
%rename("$ignore", %$isclass) "";
%rename("$ignore", %$isvariable) "";
%rename("%(strip:[ECRU_])s", %$isenumitem) "";
%rename("$ignore", regexmatch$name="^ECRU_.*(OPTIONS|COUNTERS|HOOKS|SECOND|FOREVER)$") "";
%include <ecru/base.h>
%include <ecru/chan.h>
%include <ecru/runtime.h>
%include <ecru/select.h>
%include <ecru/task.h>
%include <ecru/io.h>
#ifndef ECRU_SWIG_FUNCTION_NAMES // such as "%(lowercamelcase)s"
#define ECRU_SWIG_FUNCTION_NAMES "%s"
#endif
%rename(ECRU_SWIG_FUNCTION_NAMES, %$isfunction) "";
%rename("%s", %$isclass) "";
%rename("%s", %$isvariable) "";

// ---- functions ---------------------------------------------------------------------------------------------------------
/// The library's version as "major.minor.patch".
%rename(version) ecru_version;
const char *ecru_version(void);
/// The English text of a status code.
%rename(status_text) ecru_strerror;
const char *ecru_strerror(int code);
/// The name of a status code, such as "ECRU_ECLOSED".
%rename(status_name) ecru_status_name;
const char *ecru_status_name(int code);
/// Now: monotonic nanoseconds.
%rename(now_ns) ecru_now;
int64_t ecru_now(void);
/// Id of the calling goroutine; 0 in a thread.
%rename(goroutine_id) ecru_id;
uint64_t ecru_id(void);
/// How many goroutines can run in parallel.
%rename(maxprocs) ecru_maxprocs;
int ecru_maxprocs(void);
/// Sleeps at least so long.
%rename(sleep) sleep_for;
void sleep_for(int64_t duration_ns, int *status);
/// Lets the others go first.
%rename("yield_") yield_now;
void yield_now(int *status);
/// Fails if the caller's current token has fired: a point of cancellation without waiting.
void check(int *status);
/// What the caller does from here on, until leave_scope, ends after so long.
void enter_timeout(int64_t timeout_ns, int *status);
/// What the caller does from here on, until leave_scope, is not cancelled from outside.
void enter_shield(int64_t timeout_ns, int *status);
/// Leaves the innermost scope of a token, timeout or shield.
void leave_scope(int *status);

// ---- objects: a class of functions in objects.h, Class_method(self, ...) ------------------------------------------------
%nodefaultctor;
%nodefaultdtor;

%newobject Token::current;
/// A cancellation token. What is done under it ends once it, or one above it, fires.
struct Token {
  %extend {
    /// A child of parent (none: of the caller's current token) that fires by itself after so long.
    Token(Token *parent, int64_t timeout_ns, int *status);
    ~Token();
    /// The caller's current token.
    static Token *current(int *status);
    /// Fires it, and all below it, with a cause (a negative status; 0: ECANCELED).
    void cancel(int cause, int *status);
    /// 0 while it has not fired, else ECANCELED or ETIMEDOUT.
    int error(int *status);
    /// What it was cancelled with; 0 while it has not fired.
    int cause(int *status);
    int64_t id(int *status);
    /// Id of the token whose firing reached this one; 0 while it has not fired.
    int64_t origin(int *status);
    /// Waits until it fires.
    void wait(int *status);
    /// Gives it another time to fire at.
    void reset(int64_t timeout_ns, int *status);
    /// It is the caller's current token until leave_scope.
    void enter(int *status);
    void close();
  }
};

/// Mutual exclusion; it belongs to who has locked it.
struct Mutex {
  %extend {
    Mutex(int *status);
    ~Mutex();
    void lock(int *status);
    bool try_lock(int *status);
    void unlock(int *status);
    void close();
  }
};

/// One writer or many readers.
struct RWMutex {
  %extend {
    RWMutex(int *status);
    ~RWMutex();
    void lock(int *status);
    bool try_lock(int *status);
    void unlock(int *status);
    void read_lock(int *status);
    bool try_read_lock(int *status);
    void read_unlock(int *status);
    void close();
  }
};

/// A condition variable.
struct Cond {
  %extend {
    Cond(int *status);
    ~Cond();
    /// Unlocks the mutex and waits for a signal in one step; the mutex is locked again when it returns or fails.
    void wait(Mutex *mutex, int *status);
    void signal(int *status);
    void broadcast(int *status);
    void close();
  }
};

/// A counter that can be waited for to be 0.
struct WaitGroup {
  %extend {
    WaitGroup(int *status);
    ~WaitGroup();
    void add(int64_t delta, int *status);
    void done(int *status);
    void wait(int *status);
    void close();
  }
};

/// So many permits; first come, first served.
struct Semaphore {
  %extend {
    Semaphore(int64_t permits, int *status);
    ~Semaphore();
    void acquire(int64_t n, int *status);
    bool try_acquire(int64_t n, int *status);
    void release(int64_t n, int *status);
    int64_t available(int *status);
    void close();
  }
};

/// Waits until so many have come, again and again.
struct Barrier {
  %extend {
    Barrier(int parties, int *status);
    ~Barrier();
    /// returns: true in the last to arrive.
    bool wait(int *status);
    void close();
  }
};

/// So many events a second, at most so many at once.
struct Limiter {
  %extend {
    Limiter(double rate, int64_t burst, int *status);
    ~Limiter();
    void wait(int64_t n, int *status);
    bool try_take(int64_t n, int *status);
    void close();
  }
};

%newobject Timer::ticker;
/// Something that comes due, once or every so often.
struct Timer {
  %extend {
    Timer(int64_t duration_ns, int *status);
    ~Timer();
    /// Due every so often; what nobody waits for is dropped.
    static Timer *ticker(int64_t period_ns, int *status);
    /// Waits until it is due. returns: the instant it was due, as of now_ns.
    int64_t wait(int *status);
    bool try_wait(int *status);
    /// returns: whether that prevented something.
    bool stop(int *status);
    /// returns: whether it was active.
    bool reset(int64_t duration_ns, int *status);
    void close();
  }
};

%newobject Io::dial;
%newobject Io::listen;
%newobject Io::adopt;
%newobject Io::accept;
/// A connection, a listener or another descriptor that parks only who waits for it.
struct Io {
  %extend {
    ~Io();
    /// network: "tcp", "unix" ...; address: "host:port" or a path.
    static Io *dial(const char *network, const char *address, int *status);
    static Io *listen(const char *network, const char *address, int *status);
    /// Of a descriptor, which it then owns.
    static Io *adopt(int64_t descriptor, int *status);
    /// The next connection; waits on while there is no room for one.
    Io *accept(int *status);
    /// All of it.
    void write(const char *data, size_t length, int *status);
    /// At least one byte, at most so many; empty: the end of input.
    bytes read(size_t most, int *status);
    /// So many. If it fails, what has come stays to be read.
    bytes read_exactly(size_t length, int *status);
    /// Without its end; none: the end of input.
    bytes read_line(int *status);
    /// directions: IO_READ, IO_WRITE or both.
    void shutdown(int directions, int *status);
    /// From so long on, what is done in these directions fails with ETIMEDOUT.
    void set_timeout(int directions, int64_t timeout_ns, int *status);
    int64_t descriptor(int *status);
    bytes local_address(int *status);
    bytes peer_address(int *status);
    void close(int *status);
  }
};

#ifdef ECRU_SWIG_THREADS
%include "threads.i"
#endif
