/// platform/poller/uv.c: the portable reference, on libuv's uv_poll.
///
/// A libuv loop belongs to one thread at a time: whoever waits runs it, and whoever arms or forgets interrupts it, does so itself, and
/// gives the loop back. A watch is for one event: after it the direction has to be armed again, so nothing is ever `registered` and
/// no try is spared. libuv knows whole milliseconds: the rest of a wait is slept without looking. Slower than the pollers made
/// for a system; the same tests keep them honest. After a signal libuv goes on waiting; a host is to hear of it, so where there are signals the wait is for the
/// loop's own descriptor, outside. (Dropped: leaving word for the thread that runs the loop. Errors came too late to be told, and a forgotten
/// descriptor had to be waited for all the same.)
///
/// libuv makes every descriptor it watches non-blocking, and offers nothing that would spare it. A foreign one gets its mode back before the
/// arm returns; until then, for a few microseconds at each wait, calls of others on it that should block may be told EAGAIN: also in other
/// processes, since the mode belongs to the open file. (A duplicate would share it. epoll does without.)
///
///   1 Everything but the lock's fields is touched only by the thread that has the loop (`taken`).
///   2 A descriptor number has at most one watch, a watch at most one handle, which is made by an arm and closed when the number is
///     forgotten, found in other hands (another key), or may have changed hands (fleeting).
///   3 `wanted` is what the next event is to tell of; a handle is started as long as it is not 0. libuv ends the process if it has to
///     register a number that is closed by now, so a start is carried out at once, and a fleeting handle is never started anew.
///   4 An event for which there is no room is left to the next wait: uv_poll is level-triggered.
#include "platform/poller/readiness.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <uv.h>
#ifndef _WIN32
#include <poll.h>
#endif

#include "platform/clock.h"
#include "platform/memory.h"

enum { NS_PER_MS = 1000000, BOTH = 1 << ECRU__IN | 1 << ECRU__OUT, WATCHES_LEAST = 64 };

typedef struct watch {
  uv_poll_t *handle;    // NULL: none; freed when libuv has closed it
  uint64_t key;
  uint32_t wanted;
  bool fleeting;
} watch;

struct ecru__poller {
  uv_mutex_t lock;
  uv_cond_t changed;    // lock: the loop is free, or somebody shall return
  bool taken;           // lock: a thread has the loop
  uint32_t askers;      // lock: how many wait for it to arm or forget: they come first
  bool woken;           // lock: by ecru__poller_wake, and nobody has returned for it yet
  uv_async_t wake;      // any thread
  uv_loop_t loop;
#ifdef _WIN32
  uv_timer_t timer;
#endif
  bool called;          // by somebody who wants the loop or woke it, since the wait began
  watch *watches;       // by descriptor
  size_t room;          // in `watches`
  uv_pid_t process;     // set once: whose it is
  ecru__poll_event *events; // where they go
  int most, given;
};

// ---- the loop's turns --------------------------------------------------------------------------------------------------

/// To arm or forget: interrupts whoever runs it.
static void take_loop(ecru__poller *poller) {
  uv_mutex_lock(&poller->lock);
  poller->askers++;
  while (poller->taken) {
    uv_async_send(&poller->wake);
    uv_cond_wait(&poller->changed, &poller->lock);
  }
  poller->askers--;
  poller->taken = true;
  uv_mutex_unlock(&poller->lock);
}

static void give_loop_back(ecru__poller *poller) {
  uv_mutex_lock(&poller->lock);
  poller->taken = false;
  uv_cond_broadcast(&poller->changed);
  uv_mutex_unlock(&poller->lock);
}

static int64_t left_until(int64_t deadline_ns) {
  return deadline_ns == 0 || deadline_ns == INT64_MAX ? deadline_ns : deadline_ns - ecru__clock_now();
}

/// Under the lock: until something has changed, or so long.
static void wait_for_change(ecru__poller *poller, int64_t left_ns) {
  if (left_ns == INT64_MAX) uv_cond_wait(&poller->changed, &poller->lock);
  else uv_cond_timedwait(&poller->changed, &poller->lock, (uint64_t)left_ns);
}

/// Under the lock, to wait for events. returns: false: it is too late, or woken.
static bool take_loop_until(ecru__poller *poller, int64_t deadline_ns) {
  while (poller->taken || poller->askers > 0) {
    int64_t left = left_until(deadline_ns);
    if (left <= 0 || poller->woken) return false;
    wait_for_change(poller, left);
  }
  return poller->taken = true;
}

// ---- events ------------------------------------------------------------------------------------------------------------

static void free_closed(uv_handle_t *handle) { ecru__free(handle); }
static void on_call(uv_async_t *async) { ((ecru__poller *)async->loop->data)->called = true; }

static uint32_t directions_of(int status, int events) {
  if (status < 0) return BOTH;
  uint32_t in = events & (UV_READABLE | UV_DISCONNECT) ? 1u << ECRU__IN : 0;
  return in | (events & UV_WRITABLE ? 1u << ECRU__OUT : 0);
}

/// Not of urgent data: it is nothing to read, and no attempt is spared that it could wrong.
static int events_of(uint32_t directions) {
  int in = directions & (1u << ECRU__IN) ? UV_READABLE | UV_DISCONNECT : 0;
  return in | (directions & (1u << ECRU__OUT) ? UV_WRITABLE : 0);
}

static void on_event(uv_poll_t *handle, int status, int events);

/// returns: 0; a libuv code.
static int start(watch *w) {
  if (w->wanted == 0) return uv_poll_stop(w->handle);
  return uv_poll_start(w->handle, events_of(w->wanted), on_event);
}

static void on_event(uv_poll_t *handle, int status, int events) {
  ecru__poller *poller = handle->loop->data;
  watch *w = &poller->watches[(size_t)(uintptr_t)handle->data];
  uint32_t directions = directions_of(status, events);
  if (poller->given == poller->most) {
    if (status < 0) start(w); // libuv has stopped it
    return;
  }
  poller->events[poller->given++] = (ecru__poll_event){w->key, directions, status < 0 || events & UV_DISCONNECT};
  w->wanted &= w->fleeting ? 0 : ~directions;
  start(w);
}

#ifdef _WIN32
/// The system has been told: libuv puts nothing off there. To run the loop would have each descriptor that is ready asked about anew, at each arm of another.
static void carry_out_start(ecru__poller *poller) { (void)poller; }

static void do_nothing_timer(uv_timer_t *timer) { (void)timer; }

static void wait_in_loop(ecru__poller *poller, int64_t left_ns) {
  bool timed = left_ns != INT64_MAX;
  uv_update_time(&poller->loop);
  if (timed) uv_timer_start(&poller->timer, do_nothing_timer, (uint64_t)left_ns / NS_PER_MS, 0);
  uv_run(&poller->loop, UV_RUN_ONCE);
  if (timed) uv_timer_stop(&poller->timer);
}
#else
/// There is no room, so no event is given out.
static void carry_out_start(ecru__poller *poller) { uv_run(&poller->loop, UV_RUN_NOWAIT); }

static int in_ms(int64_t left_ns) {
  if (left_ns == INT64_MAX) return -1;
  return left_ns / NS_PER_MS > INT_MAX ? INT_MAX : (int)(left_ns / NS_PER_MS);
}

static void wait_in_loop(ecru__poller *poller, int64_t left_ns) {
  poller->called = false;
  uv_run(&poller->loop, UV_RUN_NOWAIT); // the system learns of what was started since
  if (poller->given > 0 || poller->called) return;
  struct pollfd loop = {.fd = uv_backend_fd(&poller->loop), .events = POLLIN};
  if (poll(&loop, 1, in_ms(left_ns)) > 0) uv_run(&poller->loop, UV_RUN_NOWAIT);
}
#endif

/// returns: how many events.
static int run_loop(ecru__poller *poller, ecru__poll_event *events, int most, int64_t left_ns) {
  poller->events = events;
  poller->most = most;
  poller->given = 0;
  if (left_ns >= NS_PER_MS) wait_in_loop(poller, left_ns);
  else uv_run(&poller->loop, UV_RUN_NOWAIT);
  int given = poller->given;
  poller->most = poller->given = 0; // no room for what an arm finds
  return given;
}

/// Under the lock, which it drops meanwhile.
static int run_loop_until(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  int64_t left = poller->woken ? 0 : left_until(deadline_ns);
  uv_mutex_unlock(&poller->lock);
  int given = run_loop(poller, events, most, left);
  uv_mutex_lock(&poller->lock);
  poller->taken = false;
  uv_cond_broadcast(&poller->changed);
  if (given == 0 && left > 0 && left < NS_PER_MS && !poller->woken) wait_for_change(poller, left);
  return given;
}

int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  int saved_errno = errno, given = 0;
  uv_mutex_lock(&poller->lock);
  if (take_loop_until(poller, deadline_ns)) given = run_loop_until(poller, events, most, deadline_ns);
  if (deadline_ns != 0) poller->woken = false; // who only looks leaves it to who sleeps
  uv_mutex_unlock(&poller->lock);
  errno = saved_errno;
  return given;
}

void ecru__poller_wake(ecru__poller *poller) {
  int saved_errno = errno;
  uv_mutex_lock(&poller->lock);
  poller->woken = true;
  if (poller->taken) uv_async_send(&poller->wake);
  uv_cond_broadcast(&poller->changed);
  uv_mutex_unlock(&poller->lock);
  errno = saved_errno;
}

// ---- watches -----------------------------------------------------------------------------------------------------------

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller;
  return ecru__attempt_unless_drained(pollee, operation);
}

static watch *watch_of(ecru__poller *poller, intptr_t descriptor) {
  size_t index = (size_t)descriptor, room = poller->room < WATCHES_LEAST ? WATCHES_LEAST : poller->room;
  if (index < poller->room) return &poller->watches[index];
  while (room <= index) room *= 2;
  watch *larger = ecru__realloc(poller->watches, room * sizeof *larger);
  if (!larger) return NULL;
  memset(larger + poller->room, 0, (room - poller->room) * sizeof *larger);
  poller->watches = larger;
  poller->room = room;
  return &larger[index];
}

static void close_handle(watch *w) {
  if (!w->handle) return;
  uv_close((uv_handle_t *)w->handle, free_closed); // stops it at once
  w->handle = NULL;
}

/// libuv sets descriptors non-blocking; a foreign one gets its mode back at once.
static int open_handle(ecru__poller *poller, watch *w, const ecru__pollee *pollee) {
  bool was_blocking = false;
  uv_poll_t *handle = ecru__malloc(sizeof *handle);
  if (!handle) return ECRU_ENOMEM;
  int status = ecru__io_set_blocking(pollee->descriptor, false, &was_blocking);
  if (status == 0) {
    int failed = uv_poll_init_socket(&poller->loop, handle, (uv_os_sock_t)pollee->descriptor);
    status = failed == 0 ? 0 : failed == UV_EPERM ? ECRU_EPERM : failed == UV_EBADF ? ECRU_EBADF : ECRU_ENOMEM;
    if (was_blocking && (pollee->fleeting || status != 0)) ecru__io_set_blocking(pollee->descriptor, true, NULL);
  }
  if (status != 0) {
    ecru__free(handle);
    return status;
  }
  handle->data = (void *)(uintptr_t)pollee->descriptor;
  w->handle = handle;
  return 0;
}

/// With the loop: this direction, too. returns: as ecru__poller_arm.
static int want(ecru__poller *poller, const ecru__pollee *pollee, int direction) {
  watch *w = watch_of(poller, pollee->descriptor);
  if (!w) return ECRU_ENOMEM;
  bool same = w->handle && w->key == pollee->key;
  uint32_t wanted = (same ? w->wanted : 0) | 1u << direction;
  if (!same || pollee->fleeting) close_handle(w);
  w->key = pollee->key;
  w->fleeting = pollee->fleeting;
  w->wanted = wanted;
  int status = w->handle ? 0 : open_handle(poller, w, pollee);
  if (status == 0 && start(w) != 0) status = ECRU_ENOMEM;
  if (status == 0) carry_out_start(poller); // invariant 3
  else close_handle(w);
  return status;
}

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  if (pollee->kind == ECRU__IS_FILE) return ECRU_EPERM;
  int saved_errno = errno;
  take_loop(poller);
  int status = want(poller, pollee, direction);
  give_loop_back(poller);
  errno = saved_errno;
  return status;
}

int ecru__poller_ready(const ecru__pollee *pollee, int direction) { return ecru__ready_now(pollee, direction); }

bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller, (void)pollee, (void)operation;
  return true;
}

void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee) {
  int saved_errno = errno;
  take_loop(poller);
  size_t index = (size_t)pollee->descriptor;
  if (index < poller->room && poller->watches[index].key == pollee->key) close_handle(&poller->watches[index]);
  give_loop_back(poller);
  errno = saved_errno;
}

// ---- its life ----------------------------------------------------------------------------------------------------------

static void close_one(uv_handle_t *handle, void *argument) {
  (void)argument;
  if (!uv_is_closing(handle)) uv_close(handle, handle->type == UV_POLL ? free_closed : NULL);
}

static void close_loop(ecru__poller *poller) {
  uv_walk(&poller->loop, close_one, NULL);
  uv_run(&poller->loop, UV_RUN_DEFAULT);
  uv_loop_close(&poller->loop);
}

/// returns: 0; a libuv code.
static int open_loop(ecru__poller *poller) {
  int failed = uv_loop_init(&poller->loop);
  if (failed) return failed;
  poller->loop.data = poller;
#ifdef _WIN32
  uv_timer_init(&poller->loop, &poller->timer);
#endif
  failed = uv_async_init(&poller->loop, &poller->wake, on_call);
  if (failed) close_loop(poller);
  return failed;
}

int ecru__poller_create(ecru__poller **poller) {
  ecru__poller *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  int saved_errno = errno, failed = open_loop(made);
  errno = saved_errno;
  if (failed) {
    ecru__free(made);
    return failed == UV_EMFILE ? ECRU_EMFILE : failed == UV_ENFILE ? ECRU_ENFILE : ECRU_ENOMEM;
  }
  uv_mutex_init(&made->lock);
  uv_cond_init(&made->changed);
  made->process = uv_os_getpid();
  *poller = made;
  return 0;
}

/// Not in a forked child: the parent has the same epoll instance, and other threads left the loop and the lock as they were.
void ecru__poller_destroy(ecru__poller *poller) {
  if (poller->process != uv_os_getpid()) return;
  int saved_errno = errno;
  close_loop(poller);
  uv_cond_destroy(&poller->changed);
  uv_mutex_destroy(&poller->lock);
  ecru__free(poller->watches);
  ecru__free(poller);
  errno = saved_errno;
}
