/// platform/poller/uv.c: the portable reference, on libuv's uv_poll.
///
/// A libuv loop belongs to one thread at a time: whoever waits runs it, the others leave word (`requests`) and wake it. A watch
/// is for one event: after it the direction has to be armed again, so nothing is ever `registered` and no try is spared.
/// Deadlines are rounded up to whole milliseconds. Slower than the pollers made for a system; the same tests keep them honest.
///
///   1 A watch is made by the first arm of a descriptor, under the lock; its handle is opened, started and closed by the runner alone.
///   2 `wanted` is what the next event is to tell of; the runner takes from it what it has given out.
///   3 A forgotten watch is closed by the next runner, and freed by the handle's callback. Its descriptor may be closed before that,
///     so forget waits until the handle has been stopped, if it was started.
#include "platform/poller/readiness.h"

#include <uv.h>

#include "platform/clock.h"
#include "platform/memory.h"

enum { NS_PER_MS = 1000000, BOTH = 1 << ECRU__IN | 1 << ECRU__OUT };

typedef struct watch {
  uv_poll_t handle;         // runner
  struct watch *next;       // lock: in requests
  ecru__poller *poller;     // set once
  uint64_t key;             // lock
  intptr_t descriptor;      // set once
  uint32_t wanted;          // lock
  bool requested;           // lock: stands in requests
  bool forgotten;           // lock
  bool open;                // runner
  bool fleeting;            // set once
} watch;

struct ecru__poller {
  uv_mutex_t lock;
  uv_cond_t changed;        // lock: a runner has left, a request has been served
  uv_loop_t loop;           // runner
  uv_async_t wake;          // any thread
  uv_timer_t timer;         // runner
  watch *requests;          // lock
  bool running;             // lock: a thread is the runner
  bool woken;               // lock: by ecru__poller_wake, and nobody has returned for it yet
  ecru__poll_event *events; // runner: where they go
  int most, given;          // runner
};

// ---- the runner --------------------------------------------------------------------------------------------------------

static void on_closed(uv_handle_t *handle) { ecru__free(handle->data); }

static uint32_t directions_of(int status, int events) {
  if (status < 0) return BOTH;
  uint32_t in = events & (UV_READABLE | UV_DISCONNECT | UV_PRIORITIZED) ? 1u << ECRU__IN : 0;
  return in | (events & UV_WRITABLE ? 1u << ECRU__OUT : 0);
}

/// Urgent data alone is nothing to read: see poller/epoll.c.
static int events_of(uint32_t directions, bool fleeting) {
  int in = UV_READABLE | UV_DISCONNECT | (fleeting ? 0 : UV_PRIORITIZED);
  return (directions & (1u << ECRU__IN) ? in : 0) | (directions & (1u << ECRU__OUT) ? UV_WRITABLE : 0);
}

/// Gives an event out. returns: the directions still wanted; all of them if there is no more room for events.
static uint32_t give(watch *w, uint32_t directions, bool hung_up) {
  ecru__poller *poller = w->poller;
  uv_mutex_lock(&poller->lock);
  bool room = poller->given < poller->most;
  if (room && !w->forgotten) poller->events[poller->given++] = (ecru__poll_event){w->key, directions, hung_up};
  if (room) w->wanted = w->fleeting ? 0 : w->wanted & ~directions; // who waited may close it now, and libuv aborts if it finds that out
  uint32_t rest = w->wanted;
  uv_mutex_unlock(&poller->lock);
  return rest;
}

/// A handle for every wait where the number may have changed hands; else it stays, stopped.
static void rest_after(watch *w, uint32_t rest);

static void on_event(uv_poll_t *handle, int status, int events) {
  watch *w = handle->data;
  rest_after(w, give(w, directions_of(status, events), status < 0 || events & UV_DISCONNECT));
}

static void rest_after(watch *w, uint32_t rest) {
  if (rest == 0) uv_poll_stop(&w->handle);
  else if (uv_poll_start(&w->handle, events_of(rest, w->fleeting), on_event) != 0) give(w, BOTH, true);
}

static bool open_handle(watch *w) {
  bool was_blocking = false;
  ecru__io_set_blocking(w->descriptor, false, &was_blocking); // uv_poll_init would, and not tell
  if (uv_poll_init(&w->poller->loop, &w->handle, (int)w->descriptor) != 0) return false;
  if (w->fleeting && was_blocking) ecru__io_set_blocking(w->descriptor, true, NULL);
  w->handle.data = w;
  return w->open = true;
}

static void serve(watch *w, uint32_t wanted, bool forgotten) {
  if (forgotten && w->open) {
    uv_poll_stop(&w->handle);
    uv_close((uv_handle_t *)&w->handle, on_closed);
  } else if (forgotten) {
    ecru__free(w);
  } else if (w->open || open_handle(w)) {
    rest_after(w, wanted);
  } else {
    give(w, BOTH, true); // the next try will say why
  }
}

static void serve_requests(ecru__poller *poller) {
  uv_mutex_lock(&poller->lock);
  for (watch *w; (w = poller->requests) != NULL;) {
    poller->requests = w->next;
    w->requested = false;
    uint32_t wanted = w->wanted;
    bool forgotten = w->forgotten;
    uv_mutex_unlock(&poller->lock);
    serve(w, wanted, forgotten);
    uv_mutex_lock(&poller->lock);
  }
  uv_cond_broadcast(&poller->changed);
  uv_mutex_unlock(&poller->lock);
}

static void on_wake(uv_async_t *async) { serve_requests(async->data); }
static void on_timer(uv_timer_t *timer) { (void)timer; }

static void run_loop(ecru__poller *poller, int64_t deadline_ns) {
  int64_t left = deadline_ns == INT64_MAX ? INT64_MAX : deadline_ns - ecru__clock_now();
  bool waits = deadline_ns != 0 && left > 0;
  serve_requests(poller);
  if (waits && left != INT64_MAX) {
    uv_update_time(&poller->loop);
    uv_timer_start(&poller->timer, on_timer, (uint64_t)(left + NS_PER_MS - 1) / NS_PER_MS, 0);
  }
  uv_run(&poller->loop, waits && poller->given == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  uv_timer_stop(&poller->timer);
}

/// Under the lock. Waits for its turn to run the loop. returns: false: woken, or too late.
static bool become_runner(ecru__poller *poller, int64_t deadline_ns) {
  while (poller->running && !poller->woken) {
    if (deadline_ns == 0) return false;
    int64_t left = deadline_ns == INT64_MAX ? INT64_MAX : deadline_ns - ecru__clock_now();
    if (left <= 0) return false;
    if (left == INT64_MAX) uv_cond_wait(&poller->changed, &poller->lock);
    else uv_cond_timedwait(&poller->changed, &poller->lock, (uint64_t)left);
  }
  if (poller->running) return false;
  return poller->running = true;
}

int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  int given = 0;
  uv_mutex_lock(&poller->lock);
  if (become_runner(poller, deadline_ns)) {
    poller->events = events;
    poller->most = most;
    poller->given = 0;
    bool woken = poller->woken;
    uv_mutex_unlock(&poller->lock);
    run_loop(poller, woken ? 0 : deadline_ns);
    uv_mutex_lock(&poller->lock);
    given = poller->given;
    poller->most = 0;
    poller->running = false;
  }
  if (deadline_ns != 0) poller->woken = false;
  uv_cond_broadcast(&poller->changed);
  uv_mutex_unlock(&poller->lock);
  return given;
}

// ---- everybody else ----------------------------------------------------------------------------------------------------

/// Under the lock.
static void request(ecru__poller *poller, watch *w) {
  if (w->requested) return;
  w->requested = true;
  w->next = poller->requests;
  poller->requests = w;
  uv_async_send(&poller->wake);
}

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller;
  return ecru__attempt_unless_drained(pollee, operation);
}

static watch *new_watch(ecru__poller *poller, const ecru__pollee *pollee) {
  watch *w = ecru__calloc(1, sizeof *w);
  if (!w) return NULL;
  w->poller = poller;
  w->key = pollee->key;
  w->descriptor = pollee->descriptor;
  w->fleeting = pollee->fleeting;
  return w;
}

/// The number may be somebody else's by now, so its watch is made anew. returns: the directions still waited for.
static uint32_t forget_fleeting(ecru__poller *poller, ecru__pollee *pollee) {
  watch *w = pollee->private_state;
  if (!w) return 0;
  uv_mutex_lock(&poller->lock);
  uint32_t wanted = w->wanted;
  uv_mutex_unlock(&poller->lock);
  ecru__poller_forget(poller, pollee);
  return wanted;
}

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  if (pollee->kind == ECRU__IS_FILE) return ECRU_EPERM;
  uint32_t others = pollee->fleeting ? forget_fleeting(poller, pollee) : 0;
  watch *w = pollee->private_state;
  if (!w && !(w = new_watch(poller, pollee))) return ECRU_ENOMEM;
  pollee->private_state = w;
  uv_mutex_lock(&poller->lock);
  w->wanted |= others | 1u << direction;
  request(poller, w);
  uv_mutex_unlock(&poller->lock);
  return 0;
}

bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller, (void)pollee, (void)operation;
  return true;
}

void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee) {
  watch *w = pollee->private_state;
  pollee->private_state = NULL;
  if (!w) return;
  uv_mutex_lock(&poller->lock);
  w->forgotten = true;
  w->wanted = 0;
  request(poller, w);
  while (w->requested && poller->running) uv_cond_wait(&poller->changed, &poller->lock);
  bool nobody_runs = w->requested;
  if (nobody_runs) poller->running = true;
  uv_mutex_unlock(&poller->lock);
  if (!nobody_runs) return;
  serve_requests(poller);
  uv_mutex_lock(&poller->lock);
  poller->running = false;
  uv_cond_broadcast(&poller->changed);
  uv_mutex_unlock(&poller->lock);
}

void ecru__poller_wake(ecru__poller *poller) {
  uv_mutex_lock(&poller->lock);
  poller->woken = true;
  uv_cond_broadcast(&poller->changed);
  uv_async_send(&poller->wake);
  uv_mutex_unlock(&poller->lock);
}

// ---- its life ----------------------------------------------------------------------------------------------------------

int ecru__poller_create(ecru__poller **poller) {
  ecru__poller *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  int failed = uv_loop_init(&made->loop);
  if (failed) {
    ecru__free(made);
    return failed == UV_EMFILE ? ECRU_EMFILE : failed == UV_ENFILE ? ECRU_ENFILE : ECRU_ENOMEM;
  }
  uv_mutex_init(&made->lock);
  uv_cond_init(&made->changed);
  uv_timer_init(&made->loop, &made->timer);
  made->wake.data = made;
  failed = uv_async_init(&made->loop, &made->wake, on_wake);
  made->wake.data = made;
  if (failed) {
    uv_close((uv_handle_t *)&made->timer, NULL);
    uv_run(&made->loop, UV_RUN_DEFAULT);
    uv_loop_close(&made->loop);
    uv_cond_destroy(&made->changed);
    uv_mutex_destroy(&made->lock);
    ecru__free(made);
    return ECRU_EMFILE;
  }
  *poller = made;
  return 0;
}

static void close_if_open(uv_handle_t *handle, void *argument) {
  (void)argument;
  if (!uv_is_closing(handle)) uv_close(handle, handle->type == UV_POLL ? on_closed : NULL);
}

void ecru__poller_destroy(ecru__poller *poller) {
  serve_requests(poller);
  uv_walk(&poller->loop, close_if_open, NULL);
  uv_run(&poller->loop, UV_RUN_DEFAULT);
  uv_loop_close(&poller->loop);
  uv_cond_destroy(&poller->changed);
  uv_mutex_destroy(&poller->lock);
  ecru__free(poller);
}
