/// swig/objects.h: the objects of ecru.i, over the public headers. Each function ends with `int *status`: 0 or a count, or why it failed; one
/// typemap makes an exception of the latter. Durations are nanoseconds, negative: no end, which languages write as their nothing; what is less than
/// nothing in a language has passed, as in C, and is 0 here. A call on a closed object is ECRU_ECLOSED; closing it once more does nothing.
#ifndef ECRU_SWIG_OBJECTS_H
#define ECRU_SWIG_OBJECTS_H
#include "handle.h"

#include <string.h>

/// Memory that the typemaps make a value of the language of, and free.
typedef struct bytes {
  char *data; // NULL: none
  size_t length;
} bytes;

static inline int64_t instant_after(int64_t timeout_ns) { return timeout_ns < 0 ? ECRU_FOREVER : ecru_after(timeout_ns); }
/// returns: whether it happened; ECRU_EAGAIN is no failure.
static inline bool happened(int *status) {
  bool no = *status == ECRU_EAGAIN;
  if (no) *status = 0;
  return !no && *status >= 0;
}

/// A function of an object: the statement uses `object`, and leaves its status in *status.
#define METHOD(object_type, ...)                                          \
  object_type *object = handle_enter(self ? &self->handle : NULL, status); \
  if (object) {                                                           \
    __VA_ARGS__;                                                          \
    handle_leave(&self->handle);                                          \
  }
/// A METHOD of a token, or of what has one (handle.h, invariant 6).
#define OWN_METHOD(object_type, ...)                                          \
  object_type *object = handle_enter_own(self ? &self->handle : NULL, status); \
  if (object) {                                                               \
    __VA_ARGS__;                                                              \
    handle_leave(&self->handle);                                              \
  }
/// A METHOD that ends waits: who waits when it is closed is not forgotten.
#define ENDING_METHOD(object_type, ...)                                                 \
  object_type *object = handle_enter_to_end_waits(self ? &self->handle : NULL, status); \
  if (object) {                                                                         \
    __VA_ARGS__;                                                                        \
    handle_leave(&self->handle);                                                        \
  }
/// A METHOD that is given something: whoever gets it after the close gives it back at once.
#define GETTING_METHOD(object_type, get, give_back)        \
  METHOD(object_type, {                                    \
    *status = get;                                         \
    if (*status == 0 && handle_is_closed(&self->handle)) { \
      (void)give_back;                                     \
      *status = ECRU_ECLOSED;                              \
    }                                                      \
  })
#define OBJECT_DROPPED_BY(drop, Type, object_type, lower)                               \
  typedef struct Type {                                                                 \
    handle handle;                                                                      \
  } Type;                                                                               \
  static inline void Type##_destroy(void *object) { lower((object_type *)object); }     \
  static inline void delete_##Type(Type *self) { drop(self ? &self->handle : NULL); }
#define OBJECT(Type, object_type, lower) OBJECT_DROPPED_BY(handle_drop, Type, object_type, lower)
#define CLOSABLE_BY(close, Type) \
  static inline void Type##_close(Type *self) { close(self ? &self->handle : NULL); }
#define CLOSABLE(Type) CLOSABLE_BY(handle_close, Type)
/// A token, or what has one (handle.h, invariant 6).
#define OBJECT_WITH_TOKEN(Type, object_type, lower)                \
  OBJECT_DROPPED_BY(handle_drop_own, Type, object_type, lower)     \
  CLOSABLE_BY(handle_close_own, Type)
#define NEW(Type, object) handle_create(sizeof(Type), object, Type##_destroy, status)

// ---- tokens ------------------------------------------------------------------------------------------------------------

OBJECT_WITH_TOKEN(Token, ecru_token, ecru_token_release)
static inline Token *new_Token(Token *parent, int64_t timeout_ns, int *status) {
  ecru_token *token = NULL, *above = NULL;
  if (parent && !(above = handle_enter_own(&parent->handle, status))) return NULL;
  *status = ecru_token_create(&token, above, instant_after(timeout_ns));
  if (above) handle_leave(&parent->handle);
  return NEW(Token, token);
}
static inline Token *Token_current(int *status) {
  *status = 0;
  return NEW(Token, ecru_token_retain(ecru_token_current()));
}
static inline void Token_cancel(Token *self, int cause, int *status) { OWN_METHOD(ecru_token, *status = ecru_token_cancel(object, cause)) }
static inline int Token_error(Token *self, int *status) {
  int error = 0;
  METHOD(ecru_token, error = ecru_token_err(object))
  return error;
}
static inline int Token_cause(Token *self, int *status) {
  int cause = 0;
  METHOD(ecru_token, cause = ecru_token_cause(object))
  return cause;
}
static inline int64_t Token_id(Token *self, int *status) {
  int64_t id = 0;
  METHOD(ecru_token, id = (int64_t)ecru_token_id(object))
  return id;
}
static inline int64_t Token_origin(Token *self, int *status) {
  int64_t id = 0;
  METHOD(ecru_token, id = (int64_t)ecru_token_origin(object))
  return id;
}
static inline void Token_wait(Token *self, int *status) { OWN_METHOD(ecru_token, *status = ecru_token_wait(object)) }
static inline void Token_reset(Token *self, int64_t timeout_ns, int *status) {
  OWN_METHOD(ecru_token, *status = ecru_token_reset(object, instant_after(timeout_ns)))
}
static inline void Token_enter(Token *self, int *status) { OWN_METHOD(ecru_token, *status = ecru_token_enter(object)) }

// ---- meeting points ----------------------------------------------------------------------------------------------------

/// One that another goroutine or thread has locked cannot be destroyed: who could unlock it has lost it, so it stays.
static inline void destroy_mutex(ecru_mutex *mutex) {
  (void)ecru_mutex_try_lock(mutex);
  if (ecru_mutex_unlock(mutex) == 0) ecru_mutex_destroy(mutex);
}
OBJECT(Mutex, ecru_mutex, destroy_mutex)
CLOSABLE(Mutex)
static inline Mutex *new_Mutex(int *status) {
  ecru_mutex *mutex = NULL;
  *status = ecru_mutex_create(&mutex);
  return NEW(Mutex, mutex);
}
static inline void Mutex_lock(Mutex *self, int *status) { GETTING_METHOD(ecru_mutex, ecru_mutex_lock(object), ecru_mutex_unlock(object)) }
static inline bool Mutex_try_lock(Mutex *self, int *status) {
  METHOD(ecru_mutex, *status = ecru_mutex_try_lock(object))
  return happened(status);
}
static inline void Mutex_unlock(Mutex *self, int *status) { ENDING_METHOD(ecru_mutex, *status = ecru_mutex_unlock(object)) }

static inline void destroy_rwmutex(ecru_rwmutex *mutex) {
  (void)ecru_rwmutex_try_lock(mutex);
  if (ecru_rwmutex_unlock(mutex) == 0) ecru_rwmutex_destroy(mutex);
}
OBJECT(RWMutex, ecru_rwmutex, destroy_rwmutex)
CLOSABLE(RWMutex)
static inline RWMutex *new_RWMutex(int *status) {
  ecru_rwmutex *mutex = NULL;
  *status = ecru_rwmutex_create(&mutex);
  return NEW(RWMutex, mutex);
}
static inline void RWMutex_lock(RWMutex *self, int *status) { GETTING_METHOD(ecru_rwmutex, ecru_rwmutex_lock(object), ecru_rwmutex_unlock(object)) }
static inline bool RWMutex_try_lock(RWMutex *self, int *status) {
  METHOD(ecru_rwmutex, *status = ecru_rwmutex_try_lock(object))
  return happened(status);
}
static inline void RWMutex_unlock(RWMutex *self, int *status) { ENDING_METHOD(ecru_rwmutex, *status = ecru_rwmutex_unlock(object)) }
static inline void RWMutex_read_lock(RWMutex *self, int *status) { GETTING_METHOD(ecru_rwmutex, ecru_rwmutex_read_lock(object), ecru_rwmutex_read_unlock(object)) }
static inline bool RWMutex_try_read_lock(RWMutex *self, int *status) {
  METHOD(ecru_rwmutex, *status = ecru_rwmutex_try_read_lock(object))
  return happened(status);
}
static inline void RWMutex_read_unlock(RWMutex *self, int *status) { ENDING_METHOD(ecru_rwmutex, *status = ecru_rwmutex_read_unlock(object)) }

OBJECT(Cond, ecru_cond, ecru_cond_destroy)
CLOSABLE(Cond)
static inline Cond *new_Cond(int *status) {
  ecru_cond *cond = NULL;
  *status = ecru_cond_create(&cond);
  return NEW(Cond, cond);
}
static inline void Cond_wait(Cond *self, Mutex *mutex, int *status) {
  int of_mutex = 0;
  ecru_mutex *held = handle_enter(mutex ? &mutex->handle : NULL, &of_mutex);
  if (!held) {
    *status = of_mutex;
    return;
  }
  METHOD(ecru_cond, *status = ecru_cond_wait(object, held))
  handle_leave(&mutex->handle);
}
static inline void Cond_signal(Cond *self, int *status) { ENDING_METHOD(ecru_cond, *status = ecru_cond_signal(object)) }
static inline void Cond_broadcast(Cond *self, int *status) { ENDING_METHOD(ecru_cond, *status = ecru_cond_broadcast(object)) }

OBJECT(WaitGroup, ecru_waitgroup, ecru_waitgroup_destroy)
CLOSABLE(WaitGroup)
static inline WaitGroup *new_WaitGroup(int *status) {
  ecru_waitgroup *group = NULL;
  *status = ecru_waitgroup_create(&group);
  return NEW(WaitGroup, group);
}
static inline void WaitGroup_add(WaitGroup *self, int64_t delta, int *status) { ENDING_METHOD(ecru_waitgroup, *status = ecru_waitgroup_add(object, delta)) }
static inline void WaitGroup_done(WaitGroup *self, int *status) { ENDING_METHOD(ecru_waitgroup, *status = ecru_waitgroup_done(object)) }
static inline void WaitGroup_wait(WaitGroup *self, int *status) { METHOD(ecru_waitgroup, *status = ecru_waitgroup_wait(object)) }

OBJECT(Semaphore, ecru_semaphore, ecru_semaphore_destroy)
CLOSABLE(Semaphore)
static inline Semaphore *new_Semaphore(int64_t permits, int *status) {
  ecru_semaphore *semaphore = NULL;
  *status = ecru_semaphore_create(&semaphore, permits);
  return NEW(Semaphore, semaphore);
}
static inline void Semaphore_acquire(Semaphore *self, int64_t n, int *status) {
  GETTING_METHOD(ecru_semaphore, ecru_semaphore_acquire(object, n), ecru_semaphore_release(object, n))
}
static inline bool Semaphore_try_acquire(Semaphore *self, int64_t n, int *status) {
  METHOD(ecru_semaphore, *status = ecru_semaphore_try_acquire(object, n))
  return happened(status);
}
static inline void Semaphore_release(Semaphore *self, int64_t n, int *status) { ENDING_METHOD(ecru_semaphore, *status = ecru_semaphore_release(object, n)) }
static inline int64_t Semaphore_available(Semaphore *self, int *status) {
  int64_t available = 0;
  METHOD(ecru_semaphore, available = ecru_semaphore_available(object))
  return available;
}

OBJECT(Barrier, ecru_barrier, ecru_barrier_destroy)
CLOSABLE(Barrier)
static inline Barrier *new_Barrier(int parties, int *status) {
  ecru_barrier *barrier = NULL;
  *status = ecru_barrier_create(&barrier, parties);
  return NEW(Barrier, barrier);
}
static inline bool Barrier_wait(Barrier *self, int *status) {
  METHOD(ecru_barrier, *status = ecru_barrier_wait(object))
  return *status == 1;
}

OBJECT(Limiter, ecru_limiter, ecru_limiter_destroy)
CLOSABLE(Limiter)
static inline Limiter *new_Limiter(double rate, int64_t burst, int *status) {
  ecru_limiter *limiter = NULL;
  *status = ecru_limiter_create(&limiter, rate, burst);
  return NEW(Limiter, limiter);
}
static inline void Limiter_wait(Limiter *self, int64_t n, int *status) { METHOD(ecru_limiter, *status = ecru_limiter_wait(object, n)) }
static inline bool Limiter_try_take(Limiter *self, int64_t n, int *status) {
  METHOD(ecru_limiter, *status = ecru_limiter_try(object, n))
  return happened(status);
}

// ---- timers ------------------------------------------------------------------------------------------------------------

OBJECT(Timer, ecru_timer, ecru_timer_destroy)
CLOSABLE(Timer)
static inline Timer *new_Timer(int64_t duration_ns, int *status) {
  ecru_timer *timer = NULL;
  *status = ecru_timer_create(&timer, duration_ns < 0 ? ECRU_FOREVER : duration_ns);
  return NEW(Timer, timer);
}
static inline Timer *Timer_ticker(int64_t period_ns, int *status) {
  ecru_timer *timer = NULL;
  *status = ecru_ticker_create(&timer, period_ns);
  return NEW(Timer, timer);
}
static inline int64_t Timer_wait(Timer *self, int *status) {
  int64_t scheduled = 0;
  METHOD(ecru_timer, *status = ecru_timer_wait(object, &scheduled))
  return scheduled;
}
static inline bool Timer_try_wait(Timer *self, int *status) {
  METHOD(ecru_timer, *status = ecru_timer_try(object, NULL))
  return happened(status);
}
static inline bool Timer_stop(Timer *self, int *status) {
  METHOD(ecru_timer, *status = ecru_timer_stop(object))
  return *status == 1;
}
static inline bool Timer_reset(Timer *self, int64_t duration_ns, int *status) {
  METHOD(ecru_timer, *status = ecru_timer_reset(object, duration_ns < 0 ? ECRU_FOREVER : duration_ns))
  return *status == 1;
}

// ---- descriptors -------------------------------------------------------------------------------------------------------

/// What is read comes through a reader, one call at a time: it keeps what was read ahead.
typedef struct stream {
  ecru_io *io;
  ecru_reader *reader;
  ecru_mutex *reading;
  bytes early; // before what the reader has: came for a read_exactly that failed for lack of the rest
} stream;

static inline void destroy_stream(stream *s) {
  ecru_reader_destroy(s->reader);
  ecru_mutex_destroy(s->reading);
  free(s->early.data);
  ecru_io_release(s->io);
  free(s);
}
OBJECT(Io, stream, destroy_stream)
static inline Io *Io_of(ecru_io *io, int *status) {
  if (*status < 0) return NULL;
  stream *s = calloc(1, sizeof *s);
  if (!s) {
    ecru_io_release(io);
    *status = ECRU_ENOMEM;
    return NULL;
  }
  s->io = io;
  *status = ecru_reader_create(&s->reader, io, 0);
  if (*status == 0) *status = ecru_mutex_create(&s->reading);
  if (*status < 0) {
    destroy_stream(s);
    return NULL;
  }
  return NEW(Io, s);
}
static inline Io *Io_dial(const char *network, const char *address, int *status) {
  ecru_io *io = NULL;
  *status = ecru_dial(&io, network, address);
  return Io_of(io, status);
}
static inline Io *Io_listen(const char *network, const char *address, int *status) {
  ecru_io *io = NULL;
  *status = ecru_listen(&io, network, address);
  return Io_of(io, status);
}
static inline Io *Io_adopt(int64_t descriptor, int *status) {
  ecru_io *io = NULL;
  *status = ecru_io_adopt(&io, (intptr_t)descriptor, 0);
  return Io_of(io, status);
}
static inline Io *Io_accept(Io *self, int *status) {
  ecru_io *io = NULL;
  METHOD(stream, *status = ecru_accept_patiently(object->io, &io, NULL))
  return Io_of(io, status);
}
static inline void Io_write(Io *self, const char *data, size_t length, int *status) {
  METHOD(stream, {
    int64_t written = ecru_io_write(object->io, data, length, NULL);
    *status = written < 0 ? (int)written : 0;
  })
}
static inline bytes no_bytes(void) { return (bytes){NULL, 0}; }
static inline bytes copied(const char *data, int64_t length, int *status) {
  if (length < 0) {
    *status = (int)length;
    return no_bytes();
  }
  bytes copy = {malloc((size_t)length + 1), (size_t)length};
  if (!copy.data) *status = ECRU_ENOMEM;
  else if (length > 0) memcpy(copy.data, data, (size_t)length);
  return copy;
}
/// One call of the reader, which nobody else uses meanwhile.
#define READ(s, ...)                               \
  do {                                             \
    *status = ecru_mutex_lock((s)->reading);       \
    if (*status != 0) break;                       \
    __VA_ARGS__;                                   \
    (void)ecru_mutex_unlock((s)->reading);         \
  } while (0)
/// Takes so many bytes out of what came early. They are there.
static inline void take_early(stream *s, char *into, size_t count) {
  if (count == 0) return;
  memcpy(into, s->early.data, count);
  s->early.length -= count;
  memmove(s->early.data, s->early.data + count, s->early.length);
  if (s->early.length > 0) return;
  free(s->early.data);
  s->early.data = NULL;
}
static inline bytes early_bytes(stream *s, size_t count, int *status) {
  bytes got = {malloc(count + 1), count};
  if (got.data) take_early(s, got.data, count);
  else *status = ECRU_ENOMEM;
  return got;
}
/// Room for what is read is taken when something is there: one who waits holds none.
static inline bytes read_some(stream *s, size_t most, int *status) {
  if (s->early.length > 0) return early_bytes(s, most < s->early.length ? most : s->early.length, status);
  const char *unused;
  int64_t there = ecru_reader_peek(s->reader, 1, &unused);
  if (there <= 0) return copied("", there, status);
  bytes got = {malloc(most + 1), 0};
  if (!got.data) {
    *status = ECRU_ENOMEM;
    return got;
  }
  int64_t length = ecru_reader_read(s->reader, got.data, most);
  if (length < 0) *status = (int)length;
  else got.length = (size_t)length;
  return got;
}
static inline bytes Io_read(Io *self, size_t most, int *status) {
  bytes got = no_bytes();
  if (most == 0 || most > (size_t)1 << 30) {
    *status = ECRU_EINVAL;
    return got;
  }
  METHOD(stream, READ(object, got = read_some(object, most, status)))
  return got;
}
/// What has come when it fails stays to be read.
static inline bytes read_all(stream *s, size_t length, int *status) {
  if (s->early.length > 0 && s->early.length >= length) return early_bytes(s, length, status);
  bytes got = {malloc(length + 1), length};
  if (!got.data) {
    *status = ECRU_ENOMEM;
    return no_bytes();
  }
  size_t early = s->early.length, more = 0;
  take_early(s, got.data, early);
  *status = ecru_reader_read_exactly(s->reader, got.data + early, length - early, &more);
  if (*status == 0) return got;
  got.length = early + more;
  if (got.length == 0) {
    free(got.data);
    return no_bytes();
  }
  char *smaller = realloc(got.data, got.length);
  s->early = (bytes){smaller ? smaller : got.data, got.length};
  return no_bytes();
}
static inline bytes Io_read_exactly(Io *self, size_t length, int *status) {
  bytes got = no_bytes();
  if (length > (size_t)1 << 30) {
    *status = ECRU_EINVAL;
    return got;
  }
  METHOD(stream, READ(object, got = read_all(object, length, status)))
  return got;
}
/// Takes such an end away. returns: whether it was there.
static inline bool trimmed(bytes *text, char end) {
  bool there = text->length > 0 && text->data[text->length - 1] == end;
  if (there) text->length--;
  return there;
}
/// The line that begins with what came early.
static inline bytes early_line(stream *s, int *status) {
  const char *newline = memchr(s->early.data, '\n', s->early.length);
  const char *rest = NULL;
  int64_t more = 0; // of the line, still in the reader
  if (!newline && (more = ecru_reader_until(s->reader, '\n', &rest)) < 0) return copied("", more, status);
  size_t early = newline ? (size_t)(newline - s->early.data) + 1 : s->early.length;
  bytes line = {malloc(early + (size_t)more + 1), early + (size_t)more};
  if (!line.data) {
    *status = ECRU_ENOMEM; // and what was in the reader is gone
    return no_bytes();
  }
  take_early(s, line.data, early);
  if (more > 0) memcpy(line.data + early, rest, (size_t)more);
  if (trimmed(&line, '\n')) (void)trimmed(&line, '\r');
  return line;
}
static inline bytes read_line(stream *s, int *status) {
  if (s->early.length > 0) return early_line(s, status);
  const char *line = NULL;
  size_t length = 0;
  int found = ecru_reader_line(s->reader, &line, &length);
  if (found == 0) return no_bytes();
  return copied(line, found < 0 ? found : (int64_t)length, status);
}
/// Without its end; at the end of input none.
static inline bytes Io_read_line(Io *self, int *status) {
  bytes got = no_bytes();
  METHOD(stream, READ(object, got = read_line(object, status)))
  return got;
}
static inline void Io_shutdown(Io *self, int directions, int *status) {
  METHOD(stream, *status = ecru_io_shutdown(object->io, (unsigned)directions))
}
static inline void Io_set_timeout(Io *self, int directions, int64_t timeout_ns, int *status) {
  METHOD(stream, *status = ecru_io_set_deadline(object->io, (unsigned)directions, instant_after(timeout_ns)))
}
static inline int64_t Io_descriptor(Io *self, int *status) {
  int64_t descriptor = -1;
  METHOD(stream, {
    descriptor = ecru_io_descriptor(object->io);
    if (descriptor < 0) *status = (int)descriptor;
  })
  return descriptor;
}
static inline bytes address_of(Io *self, int (*which)(ecru_io *, ecru_address *), int *status) {
  ecru_address address;
  char text[ECRU_ADDRESS_TEXT];
  METHOD(stream, {
    *status = which(object->io, &address);
    if (*status == 0) *status = ecru_address_text(&address, text, sizeof text);
  })
  return *status < 0 ? no_bytes() : copied(text, *status, status);
}
static inline bytes Io_local_address(Io *self, int *status) { return address_of(self, ecru_io_local, status); }
static inline bytes Io_peer_address(Io *self, int *status) { return address_of(self, ecru_io_peer, status); }
static inline void Io_close(Io *self, int *status) {
  METHOD(stream, *status = ecru_io_close(object->io))
  if (*status == ECRU_ECLOSED) *status = 0; // once more: nothing
  handle_close(self ? &self->handle : NULL);
}

// ---- functions ---------------------------------------------------------------------------------------------------------

static inline void sleep_for(int64_t duration_ns, int *status) { *status = ecru_sleep(duration_ns < 0 ? ECRU_FOREVER : duration_ns); }
static inline void yield_now(int *status) { *status = ecru_yield(); }
static inline void check(int *status) { *status = ecru_check(); }
static inline void enter_timeout(int64_t timeout_ns, int *status) { *status = ecru_deadline_enter(instant_after(timeout_ns)); }
static inline void enter_shield(int64_t timeout_ns, int *status) { *status = ecru_shield_enter(instant_after(timeout_ns)); }
static inline void leave_scope(int *status) { *status = ecru_token_leave(); }
#endif
