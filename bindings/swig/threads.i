// threads.i: what threads.h has for languages whose goroutines are threads. Their language.i defines ECRU_SWIG_THREADS, so that ecru.i includes it,
// and their module calls set_language. int64_t *OUTPUT, a second result, is SWIG's own typemap (typemaps.i).
%{
#include "threads.h"
%}


%nodefaultctor;
%nodefaultdtor;

%newobject Chan::at;
/// A channel of 64-bit numbers or of bytes. Numbers can be tickets: what they stand for is in a table of the language's, one of each channel.
struct Chan {
  %extend {
    /// capacity: 0: sender and receiver meet; negative: no end. full: what a full one does with one more: FULL_WAIT, ...; name: for dumps, or none.
    Chan(int64_t capacity, bool of_bytes, int full, const char *name, int *status);
    ~Chan();
    /// A channel whose reference C code gives away. Fails, and takes none, if its elements have another size.
    static Chan *at(int64_t address, bool of_bytes, int *status);
    /// A reference for C code, which releases it (ecru_chan_release).
    int64_t retain(int *status);
    /// The number that the calling thread's last send, or select, has pushed out of a full channel; 0: none. Asked for once.
    static int64_t pushed_out();
    /// Waits while there is neither a receiver nor room.
    void send(int64_t value, int *status);
    bool try_send(int64_t value, int *status);
    /// Waits while there is nothing. A closed one fails once it is empty.
    int64_t recv(int *status);
    bool try_recv(int64_t *OUTPUT, int *status);
    /// recv for loops. returns: false: it is closed and empty.
    bool next(int64_t *OUTPUT, int *status);
    void send_bytes(const char *data, size_t length, int *status);
    bool try_send_bytes(const char *data, size_t length, int *status);
    bytes recv_bytes(int *status);
    /// None: nothing is there.
    bytes try_recv_bytes(int *status);
    /// None: it is closed and empty.
    bytes next_bytes(int *status);
    /// What is buffered can still be received. cause: what receivers get after it, a negative status; 0: ECLOSED.
    void close(int cause, int *status);
    bool is_closed(int *status);
    /// How many are buffered.
    int64_t len(int *status);
    /// Negative: no end.
    int64_t cap(int *status);
  }
};

/// The end of a thread that the language has made itself, for a task that adopts it.
struct Job {
  %extend {
    Job(int *status);
    ~Job();
    /// Once: with 0 or a negative status.
    void finish(int code, int *status);
  }
};

%newobject Task::token;
%newobject Task::adopt;
/// A goroutine with a thread of its own that can be waited for. It runs under a token of its own.
struct Task {
  %extend {
    /// Runs the function of the ticket. parent: of its token; none: the caller's current one. name: for dumps, or none.
    Task(int64_t ticket, Token *parent, const char *name, int *status);
    ~Task();
    /// A task for a thread that the language has made: it enters the task's token and finishes the job.
    static Task *adopt(Job *job, Token *parent, const char *name, int *status);
    /// Waits for its end. returns: its status; it counts as looked at.
    int join(int *status);
    /// TASK_RUNNING, TASK_DONE, TASK_FAILED or TASK_CANCELED.
    int state(int *status);
    /// Fires its token. cause: a negative status; 0: ECANCELED.
    void cancel(int cause, int *status);
    Token *token(int *status);
    int64_t id(int *status);
    /// The task runs on; a failure nobody has looked at is reported.
    void close();
  }
};

%newobject Group::token;
/// A scope of goroutines with threads of their own: the first failure cancels the others.
struct Group {
  %extend {
    /// parent: of its token; none: the caller's current one. limit: at most so many at once; 0: no limit. supervisor: a failure does not
    /// cancel the others.
    Group(Token *parent, int64_t limit, bool supervisor, int *status);
    ~Group();
    /// Runs the function of the ticket under the group's token. Waits while the limit is reached.
    void go(int64_t ticket, const char *name, int *status);
    /// returns: false: the limit is reached.
    bool try_go(int64_t ticket, const char *name, int *status);
    /// Waits for all. Fails with the status of the first in time to fail.
    void wait(int *status);
    void cancel(int cause, int *status);
    Token *token(int *status);
    /// How many have failed so far.
    int64_t failures(int *status);
    /// Cancels what still runs, without waiting for it.
    void close();
  }
};

/// Waiting for the first of several. It is built with add_..., which return the case's index, waited on once, and empty again. One thread at a time.
struct Select {
  %extend {
    Select(int *status);
    ~Select();
    int add_recv(Chan *chan, int *status);
    int add_send(Chan *chan, int64_t value, int *status);
    int add_send_bytes(Chan *chan, const char *data, size_t length, int *status);
    int add_token(Token *token, int *status);
    int add_task(Task *task, int *status);
    int add_timer(Timer *timer, int *status);
    int add_read(Io *io, int *status);
    int add_write(Io *io, int *status);
    /// A case that is never ready.
    int add_never(int *status);
    /// Makes one case happen. poll: without waiting; priority: of several that are ready the first, not a random one.
    /// returns: its index; -1: none within the timeout, or at once with poll.
    int wait(int64_t timeout_ns, bool poll, bool priority, int *status);
    /// How the case ended: 0, or what its channel is closed with.
    int error(int *status);
    /// What was received.
    int64_t value(int *status);
    /// Given once.
    bytes value_bytes(int *status);
    /// Forgets the cases.
    void clear(int *status);
    void close();
  }
};
