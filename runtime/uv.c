/// runtime/uv.c: the loop's thread and the calls it runs (invariants in uv.h).
///
/// A caller submits a job and parks; the loop's thread takes all jobs at once when its uv_async fires, and wakes the callers from the
/// requests' callbacks like any thread that has no processor. One thread for all: what takes time is done in libuv's pool, and what is
/// frequent (sockets) does not come here. (Dropped: a loop per processor, run by its worker. Files and names gain nothing, since the
/// pool and its one mutex are shared by all loops, and every worker would have two pollers to sleep in.)
#include "runtime/uv.h"
#include "runtime/fork.h"

#include "platform/environment.h"
#include "platform/io.h"
#include "platform/memory.h"
#include "platform/signal.h"
#include "runtime/clock.h"
#include "runtime/state.h"

#include <stdlib.h>
#include <string.h>

enum { POOL_THREADS_UV = 4, POOL_THREADS_MAX = 1024 };

struct ecru__uv_loop {
  uv_loop_t *loop;              // set once: &own, or the application's
  uv_async_t async;             // loop's thread; uv_async_send under hub.lock while `open`
  ecru__uv_job *first, *last;   // lock: hub's: submitted
  uint32_t calls, handles;      // lock: hub's: invariant 2
  ecru__uv_handle *list;        // loop's thread: its handles
  uint64_t thread_id;           // set once: the application's loop's
  uint32_t generation;          // set once: hub's
  bool open;                    // lock: hub's: jobs may be submitted
  bool ending;                  // lock: hub's: invariant 4
  _Atomic uint32_t ended;       // atomic: 1: the thread is about to end; 2: nobody waits for it, it frees this itself
  void *thread;                 // set once: our own loop's
  ecru__worker worker;          // our own thread's; never listed as a foreign one
  uv_loop_t own;
};

static struct {
  ecru__lock lock;
  ecru__uv_loop *own;           // lock
  ecru__uv_loop *attached;      // lock
  bool starting;                // lock: somebody makes `own`
  bool down;                    // lock: no loop of our own may be made any more
  _Atomic uint32_t pool_threads; // atomic: 0: libuv's pool has not been started by us
  uint32_t generation;          // forks between the first process and this one: a loop of another generation has no thread here (G14)
} hub;

// ---- libuv's pool ------------------------------------------------------------------------------------------------------

static void do_nothing(uv_work_t *work) { (void)work; }
static void free_work(uv_work_t *work, int status) {
  (void)status;
  ecru__free(work);
}

/// As libuv reads it.
static uint32_t pool_size(const char *text) {
  int size = text ? atoi(text) : POOL_THREADS_UV;
  return size < 1 ? 1 : size > POOL_THREADS_MAX ? POOL_THREADS_MAX : (uint32_t)size;
}

static void start_pool_now(void *loop) {
  uv_work_t *work = ecru__malloc(sizeof *work);
  if (!work) return; // next time
  if (uv_queue_work(loop, work, do_nothing, free_work) != 0) ecru__free(work);
  atomic_store_explicit(&hub.pool_threads, pool_size(getenv("UV_THREADPOOL_SIZE")), memory_order_relaxed);
}

/// libuv starts its pool at the first request that needs it, with 4 threads of which 2 may look names up: two that hang, and there are no
/// others. The environment is the only place where it looks for another number; unless the user has said one, it gets more, for that one
/// moment, so that no child inherits it. (Dropped: setenv when the library is loaded. It may be loaded late, among threads; children would inherit it,
/// and so would the application's own use of libuv without ecru.)
static void start_pool(uv_loop_t *loop) {
  if (atomic_load_explicit(&hub.pool_threads, memory_order_relaxed) != 0) return;
  bool given = getenv("UV_THREADPOOL_SIZE") != NULL;
  if (given || !ecru__environment_with("UV_THREADPOOL_SIZE=32", start_pool_now, loop)) start_pool_now(loop);
}

// ---- the loop ----------------------------------------------------------------------------------------------------------

static void ignore_close(uv_handle_t *handle) { (void)handle; }
static void free_closed(uv_handle_t *async) { ecru__free(async->data); }

/// Loop's thread: it was told to end. Handles that are left are closed, then the async, which kept uv_run running.
static void end_if_idle(ecru__uv_loop *l) {
  ecru__lock_take(&hub.lock);
  bool now = l->ending && l->open && l->calls == 0 && !l->first;
  if (now) l->open = false;
  ecru__lock_drop(&hub.lock);
  if (!now) return;
  for (ecru__uv_handle *handle = l->list, *following; handle; handle = following) {
    following = handle->next;
    handle->shut(handle);
  }
  uv_close((uv_handle_t *)&l->async, ignore_close);
}

static void run_jobs(uv_async_t *async) {
  ecru__uv_loop *l = async->data;
  for (;;) {
    ecru__lock_take(&hub.lock);
    ecru__uv_job *job = l->first;
    l->first = l->last = NULL;
    ecru__lock_drop(&hub.lock);
    if (!job) break;
    for (ecru__uv_job *following; job; job = following) {
      following = job->next; // the job is gone once it has run
      job->run(l->loop, job);
    }
  }
  end_if_idle(l);
}

/// Under hub.lock.
static void submit_locked(ecru__uv_loop *l, ecru__uv_job *job) {
  job->next = NULL;
  if (l->last) l->last->next = job;
  else l->first = job;
  l->last = job;
  if (l->first == job) uv_async_send(&l->async);
}

static void loop_main(void *argument) {
  ecru__uv_loop *l = argument;
  ecru__worker_set_here(&l->worker);
  ecru__worker_prepare(&l->worker);
  uv_run(&l->own, UV_RUN_DEFAULT);
  uv_loop_close(&l->own);
  ecru__token_forget(&l->worker.waiter);
  ecru__worker_set_here(NULL);
  // acq_rel: pairs with end_own: either it joins us, or it has left everything to us
  uint32_t before = atomic_exchange_explicit(&l->ended, 1, memory_order_acq_rel);
  if (before == 2) ecru__free(l);
  else ecru__wake_all(&l->ended);
}

/// A loop with a thread of its own. returns: 0; ECRU_E*.
static int make_own(ecru__uv_loop **made) {
  ecru__uv_loop *l = ecru__calloc(1, sizeof *l);
  if (!l) return ECRU_ENOMEM;
  int status = uv_loop_init(&l->own);
  if (status != 0) {
    ecru__free(l);
    return ecru_uv_status(status);
  }
  l->loop = &l->own;
  l->async.data = l;
  l->generation = hub.generation;
  l->open = true;
  l->worker.is_foreign = 1;
  l->worker.epoch = atomic_load_explicit(&ecru__sched.epoch, memory_order_relaxed); // never listed
  status = ecru_uv_status(uv_async_init(&l->own, &l->async, run_jobs));
  if (status == 0) status = ecru__thread_start(&l->thread, loop_main, l, "ecru-uv", 0);
  if (status != 0) {
    if (l->async.loop) uv_close((uv_handle_t *)&l->async, ignore_close);
    uv_run(&l->own, UV_RUN_DEFAULT);
    uv_loop_close(&l->own);
    ecru__free(l);
    return status;
  }
  *made = l;
  return 0;
}

/// Waits until nobody is making a loop, and takes that upon the caller if there is none. Under hub.lock.
static ecru__uv_loop *loop_or_start_one(void) {
  while (hub.starting) {
    ecru__lock_drop(&hub.lock);
    ecru__thread_yield();
    ecru__lock_take(&hub.lock);
  }
  ecru__uv_loop *l = hub.attached ? hub.attached : hub.own;
  hub.starting = !l;
  return l;
}

/// The loop to use, locked by hub.lock. NULL: *status says why, and hub.lock is free.
static ecru__uv_loop *take_loop(int *status) {
  ecru__lock_take(&hub.lock);
  ecru__uv_loop *l = loop_or_start_one();
  if (ECRU__LIKELY(l != NULL)) return l;
  bool down = hub.down; // if it goes down only now, ecru__uv_stop waits for `starting`
  ecru__lock_drop(&hub.lock);
  *status = down ? ECRU_ESHUTDOWN : make_own(&l);
  ecru__lock_take(&hub.lock);
  hub.starting = false;
  if (*status == 0) return hub.own = l;
  ecru__lock_drop(&hub.lock);
  return NULL;
}

/// Our own loop's thread has until `deadline`; then it is left alone with the requests that libuv cannot cancel.
static void end_own(ecru__uv_loop *l, int64_t deadline) {
  while (atomic_load_explicit(&l->ended, memory_order_acquire) == 0 && ecru__clock_now() < deadline) ecru__wait(&l->ended, 0, deadline);
  void *thread = l->thread;
  uint32_t running = 0;
  if (atomic_compare_exchange_strong_explicit(&l->ended, &running, 2, memory_order_acq_rel, memory_order_acquire)) {
    ecru__thread_detach(thread);
    return;
  }
  ecru__thread_join(thread);
  ecru__free(l);
}

void ecru__uv_start(void) {
  ecru__lock_take(&hub.lock);
  hub.down = false;
  ecru__lock_drop(&hub.lock);
}

void ecru__uv_stop(void) {
  ecru__lock_take(&hub.lock);
  hub.down = true;
  while (hub.starting) {
    ecru__lock_drop(&hub.lock);
    ecru__thread_yield();
    ecru__lock_take(&hub.lock);
  }
  ecru__uv_loop *l = hub.own;
  hub.own = NULL;
  if (l) l->ending = true;
  if (l) uv_async_send(&l->async);
  ecru__lock_drop(&hub.lock);
  int64_t now = ecru__clock_now(), grace = ecru__sched.options.grace_ns;
  if (l) end_own(l, grace < ECRU_FOREVER - now ? now + grace : ECRU_FOREVER);
}

// ---- a loop of the application's ---------------------------------------------------------------------------------------

int ecru_uv_attach(uv_loop_t *loop) {
  if (!loop) return ECRU_EINVAL;
  ecru__uv_loop *l = ecru__calloc(1, sizeof *l);
  if (!l) return ECRU_ENOMEM;
  l->loop = loop;
  l->async.data = l;
  l->generation = hub.generation;
  l->open = true;
  l->thread_id = ecru__thread_id();
  int status = ecru_uv_status(uv_async_init(loop, &l->async, run_jobs));
  if (status != 0) {
    ecru__free(l);
    return status;
  }
  ecru__lock_take(&hub.lock);
  bool taken = hub.attached != NULL;
  if (!taken) hub.attached = l;
  ecru__lock_drop(&hub.lock);
  if (taken) uv_close((uv_handle_t *)&l->async, free_closed);
  return taken ? ECRU_EEXIST : 0;
}

int ecru_uv_detach(void) {
  ecru__lock_take(&hub.lock);
  ecru__uv_loop *l = hub.attached;
  int status = !l ? ECRU_ENOENT : l->thread_id != ecru__thread_id() ? ECRU_EPERM : l->calls + l->handles > 0 || l->first ? ECRU_EBUSY : 0;
  if (status == 0) {
    hub.attached = NULL;
    l->open = false;
  }
  ecru__lock_drop(&hub.lock);
  if (status == 0) uv_close((uv_handle_t *)&l->async, free_closed);
  return status;
}

// ---- calls -------------------------------------------------------------------------------------------------------------

/// Loop's thread: one of the things that were to be done with the call has been (invariant 3). It may be gone afterwards.
static void settle(ecru_uv_call *call) {
  ecru__uv_loop *l = call->loop;
  ecru__lock_take(&call->lock);
  bool last = --call->pending == 0, abandoned = call->abandoned;
  ecru__node *node = last && !abandoned ? ecru__queue_claim(&call->waiters) : NULL;
  if (last) {
    ecru__lock_take(&hub.lock);
    l->calls--;
    ecru__lock_drop(&hub.lock);
  }
  ecru__waiter *waiter = node ? node->waiter : NULL;
  ecru__lock_drop(&call->lock); // unless abandoned, the call is its waiter's from here on
  if (last && abandoned) {
    call->dispose(call->state);
    ecru__free(call);
  }
  ecru__worker *w = waiter ? ecru__enter() : NULL;
  if (w) {
    ecru__ready(w, waiter);
    ecru__leave(w);
  }
  if (last) end_if_idle(l);
}

void ecru_uv_finish(ecru_uv_call *call, int64_t result) {
  ecru__lock_take(&call->lock);
  call->finished = true;
  call->result = result;
  ecru__lock_drop(&call->lock);
  settle(call);
}

static void begin(uv_loop_t *loop, ecru__uv_job *job) {
  ecru_uv_call *call = (ecru_uv_call *)(void *)((char *)job - offsetof(ecru_uv_call, begin));
  ecru__lock_take(&call->lock);
  bool canceled = call->canceled;
  ecru__lock_drop(&call->lock);
  start_pool(loop);
  int status = canceled ? UV_ECANCELED : call->start(loop, call->state, call);
  if (status != 0) ecru_uv_finish(call, status);
}

static void give_up(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  ecru_uv_call *call = (ecru_uv_call *)(void *)((char *)job - offsetof(ecru_uv_call, give_up));
  ecru__lock_take(&call->lock);
  bool finished = call->finished;
  ecru__lock_drop(&call->lock);
  if (!finished && call->cancel) call->cancel(call->state);
  settle(call);
}

static bool runs_here(const ecru__uv_loop *l, const ecru__worker *w) {
  return l->loop == &l->own ? w == &l->worker : w->thread_id == l->thread_id;
}

/// returns: 0; why it could not be submitted.
static int submit(ecru__worker *w, ecru_uv_call *call) {
  int status = 0;
  ecru__uv_loop *l = take_loop(&status);
  if (!l) return status;
  if (runs_here(l, w)) {
    ecru__lock_drop(&hub.lock);
    return ECRU_EDEADLK;
  }
  call->loop = l;
  call->pending = 1;
  call->begin.run = begin;
  l->calls++;
  submit_locked(l, &call->begin);
  ecru__lock_drop(&hub.lock);
  return 0;
}

/// Under call->lock: has the loop's thread end it early if it can.
static void submit_cancel(ecru_uv_call *call) {
  call->canceled = true;
  call->pending++;
  call->give_up.run = give_up;
  ecru__lock_take(&hub.lock);
  submit_locked(call->loop, &call->give_up);
  ecru__lock_drop(&hub.lock);
}

/// Waits for the call's end. returns: 0; the status of the token that has fired meanwhile.
static int wait_for_end(ecru__worker **w, ecru_uv_call *call, int reason) {
  int fired = 0;
  ecru__lock_take(&call->lock);
  while (call->pending > 0) {
    ecru__node node;
    ecru__node_init(&node, (*w)->self);
    ecru__queue_push(&call->waiters, &node);
    int status = (fired ? ecru__park_shielded : ecru__park)(w, &call->lock, reason, call->state);
    ecru__lock_take(&call->lock);
    ecru__queue_remove(&call->waiters, &node);
    if (status == 0 || fired || call->pending == 0) continue;
    fired = status;
    submit_cancel(call);
    if (call->dispose) call->abandoned = true;
    if (call->abandoned) break;
  }
  ecru__lock_drop(&call->lock); // if abandoned, it may be gone now
  return fired;
}

/// *fired: as wait_for_end. returns: as submit.
static int submit_and_wait(ecru__worker **w, ecru_uv_call *call, int reason, int *fired) {
  ecru__clock_hold(); // K7: before it begins
  int status = submit(*w, call);
  if (status == 0) *fired = wait_for_end(w, call, reason);
  ecru__clock_let_go();
  return status;
}

/// What an ended call has to say.
static int64_t result_of(const ecru_uv_call *call, int fired) {
  int64_t result = call->result < 0 ? ecru_uv_status((int)call->result) : call->result;
  return fired && result == ECRU_ECANCELED ? fired : result;
}

int64_t ecru__uv_await(ecru__worker **w, ecru_uv_start start, ecru_uv_cancel cancel, void *state, int reason) {
  ecru_uv_call call = {.start = start, .cancel = cancel, .state = state};
  int fired = 0, status = submit_and_wait(w, &call, reason, &fired);
  return status != 0 ? status : result_of(&call, fired);
}

int64_t ecru__uv_await_or_abandon(ecru__worker **w, ecru_uv_start start, ecru_uv_cancel cancel, ecru_uv_dispose dispose, void *state,
                                  int *abandoned, int reason) {
  *abandoned = 0;
  ecru_uv_call *call = ecru__calloc(1, sizeof *call);
  if (!call) return ECRU_ENOMEM;
  call->start = start;
  call->cancel = cancel;
  call->dispose = dispose;
  call->state = state;
  int fired = 0;
  int64_t result = submit_and_wait(w, call, reason, &fired);
  *abandoned = fired != 0;
  if (fired) return fired;
  if (result == 0) result = result_of(call, 0);
  ecru__free(call);
  return result;
}

int64_t ecru_uv_await(ecru_uv_start start, ecru_uv_cancel cancel, void *state) {
  if (!start) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (result == 0) result = ecru__uv_await(&w, start, cancel, state, ECRU__WAIT_UV);
  ecru__leave(w);
  return result;
}

int64_t ecru_uv_await_or_abandon(ecru_uv_start start, ecru_uv_cancel cancel, ecru_uv_dispose dispose, void *state, int *abandoned) {
  if (!start || !dispose || !abandoned) return ECRU_EINVAL;
  *abandoned = 0;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t result = ecru__canceled(w);
  if (result == 0) result = ecru__uv_await_or_abandon(&w, start, cancel, dispose, state, abandoned, ECRU__WAIT_UV);
  ecru__leave(w);
  return result;
}

// ---- handles -----------------------------------------------------------------------------------------------------------

void ecru__uv_handle_opened(ecru__uv_handle *handle, ecru_uv_call *call) {
  ecru__uv_loop *l = call->loop;
  handle->prev = NULL;
  handle->next = l->list;
  if (l->list) l->list->prev = handle;
  l->list = handle;
  ecru__lock_take(&hub.lock);
  handle->loop = l;
  l->handles++;
  ecru__lock_drop(&hub.lock);
}

void ecru__uv_handle_closed(ecru__uv_handle *handle) {
  ecru__uv_loop *l = handle->loop;
  if (handle->prev) handle->prev->next = handle->next;
  else l->list = handle->next;
  if (handle->next) handle->next->prev = handle->prev;
  ecru__lock_take(&hub.lock);
  handle->loop = NULL;
  l->handles--;
  ecru__lock_drop(&hub.lock);
}

void ecru__uv_handle_keep(ecru__uv_handle *handle) {
  ecru__lock_take(&hub.lock);
  handle->loop->calls++;
  ecru__lock_drop(&hub.lock);
}

void ecru__uv_handle_let_go(ecru__uv_handle *handle) {
  ecru__lock_take(&hub.lock);
  handle->loop->calls--;
  ecru__lock_drop(&hub.lock);
  end_if_idle(handle->loop);
}

void ecru__uv_take_signal(ecru_uv_call *call, int signal) {
  if (call->loop->loop == &call->loop->own) ecru__signal_unblock_here(signal);
}

void ecru__uv_event_set(ecru__event *event) {
  ecru__lock_take(&event->lock);
  atomic_store_explicit(&event->set, 1, memory_order_release); // release: pairs with ecru__event_is_set
  ecru__node *chain = ecru__queue_claim_all(&event->waiters);
  ecru__lock_drop(&event->lock);
  ecru__worker *w = chain ? ecru__enter() : NULL;
  if (!w) return;
  ecru__ready_all(w, chain);
  ecru__leave(w);
}

bool ecru__uv_handle_is_lost(const ecru__uv_handle *handle) {
  ecru__lock_take(&hub.lock);
  bool lost = handle->loop && handle->loop->generation != hub.generation;
  ecru__lock_drop(&hub.lock);
  return lost;
}

bool ecru__uv_submit(ecru__uv_handle *handle, ecru__uv_job *job) {
  if (ecru__worker_forked()) return false; // the lock may be a thread's that is not there, as the loop's is not (G14)
  ecru__lock_take(&hub.lock);
  bool open = handle->loop && handle->loop->open && handle->loop->generation == hub.generation;
  if (open) submit_locked(handle->loop, job);
  ecru__lock_drop(&hub.lock);
  return open;
}

// ---- what the runtime asks ---------------------------------------------------------------------------------------------

bool ecru__uv_is_busy(void) {
  ecru__lock_take(&hub.lock);
  const ecru__uv_loop *loops[] = {hub.own, hub.attached};
  bool busy = hub.starting;
  for (int i = 0; i < 2; i++) busy |= loops[i] && (loops[i]->calls > 0 || loops[i]->handles > 0);
  ecru__lock_drop(&hub.lock);
  return busy;
}

uint32_t ecru__uv_threads(void) {
  ecru__lock_take(&hub.lock);
  uint32_t own = hub.own ? 1 : 0;
  ecru__lock_drop(&hub.lock);
  return own + atomic_load_explicit(&hub.pool_threads, memory_order_relaxed);
}

int ecru_uv_status(int uv_error) {
  if (uv_error >= 0) return uv_error;
  switch (uv_error) {
#define SAME(name) case UV_##name: return ECRU_##name;
    SAME(E2BIG) SAME(EACCES) SAME(EADDRINUSE) SAME(EADDRNOTAVAIL) SAME(EAFNOSUPPORT) SAME(EAGAIN) SAME(EALREADY) SAME(EBADF) SAME(EBUSY)
    SAME(ECANCELED) SAME(ECONNABORTED) SAME(ECONNREFUSED) SAME(ECONNRESET) SAME(EDESTADDRREQ) SAME(EEXIST) SAME(EFAULT) SAME(EFBIG)
    SAME(EHOSTUNREACH) SAME(EINTR) SAME(EINVAL) SAME(EIO) SAME(EISCONN) SAME(EISDIR) SAME(ELOOP) SAME(EMFILE) SAME(EMSGSIZE)
    SAME(ENAMETOOLONG) SAME(ENETDOWN) SAME(ENETUNREACH) SAME(ENFILE) SAME(ENOBUFS) SAME(ENODEV) SAME(ENOENT) SAME(ENOMEM)
    SAME(ENOPROTOOPT) SAME(ENOSPC) SAME(ENOSYS) SAME(ENOTCONN) SAME(ENOTDIR) SAME(ENOTEMPTY) SAME(ENOTSOCK) SAME(ENOTSUP) SAME(EPERM)
    SAME(EPIPE) SAME(EPROTO) SAME(EPROTONOSUPPORT) SAME(EPROTOTYPE) SAME(ERANGE) SAME(EROFS) SAME(ESPIPE) SAME(ESRCH) SAME(ETIMEDOUT)
    SAME(ETXTBSY) SAME(EXDEV) SAME(ENXIO) SAME(EMLINK) SAME(EHOSTDOWN) SAME(ENOTTY) SAME(EILSEQ) SAME(EOVERFLOW)
#undef SAME
  case UV_EOF: return ECRU_EEOF;
  case UV_ECHARSET: return ECRU_EILSEQ;
  case UV_EAI_CANCELED: return ECRU_ECANCELED;
  case UV_EAI_MEMORY: return ECRU_ENOMEM;
  case UV_EAI_OVERFLOW: return ECRU_EOVERFLOW;
  case UV_EAI_NONAME: case UV_EAI_NODATA: case UV_EAI_ADDRFAMILY: case UV_EAI_FAMILY: return ECRU_ENOHOST;
  case UV_EAI_AGAIN: case UV_EAI_FAIL: return ECRU_EDNS;
  case UV_EAI_BADFLAGS: case UV_EAI_BADHINTS: case UV_EAI_PROTOCOL: case UV_EAI_SERVICE: case UV_EAI_SOCKTYPE: return ECRU_EINVAL;
  default: return uv_error > -3000 ? ecru__status_of(-uv_error) : ECRU_EUNKNOWN; // the system's own number; libuv's begin at -3000
  }
}

static void stop_signal(uv_handle_t *handle, void *unused) {
  (void)unused;
  if (uv_handle_get_type(handle) == UV_SIGNAL) uv_signal_stop((uv_signal_t *)handle);
}

/// libuv's table of signals is the process's: left in it, our parent's subscriptions would send this process's signals down its pipe, to the parent.
/// (An application's loop is its own affair: uv_loop_fork.)
void ecru__uv_in_child(void) {
  if (hub.own) uv_walk(&hub.own->own, stop_signal, NULL);
  uint32_t generation = hub.generation + 1;
  memset(&hub, 0, sizeof hub);
  hub.generation = generation;
}
