/// runtime/watch.c: file watching on uv_fs_event (rule I6). Events go through a bounded channel; the loop's thread never waits for who reads them.
#include <ecru/chan.h>
#include <ecru/token.h>
#include <ecru/watch.h>

#include <string.h>

#include "platform/memory.h"
#include "runtime/uv.h"

enum { EVENTS_KEPT = 64 };

struct ecru_watch {
  ecru__uv_handle handle;  // first
  ecru__uv_job end;        // owner's
  ecru__event closed;
  ecru_chan *events;       // set once, counted
  const char *path;        // the creator's, while it starts
  ecru_uv_call *call;      // loop's thread, while it starts
  int status;              // loop's thread, while it starts: why it failed
  _Atomic bool lost;       // atomic: there was no room for an event; whoever finds no more of them is told
  uv_fs_event_t uv;        // loop's thread
};

static void changed(uv_fs_event_t *uv, const char *name, int events, int status) {
  ecru_watch *watch = uv->data;
  if (status < 0) {
    ecru_chan_close_with(watch->events, ecru_uv_status(status));
    return;
  }
  ecru_watch_event event = {.size = sizeof event};
  event.what = (events & UV_RENAME ? ECRU_WATCH_RENAMED : 0) | (events & UV_CHANGE ? ECRU_WATCH_CHANGED : 0);
  size_t bytes = name ? strlen(name) : 0;
  if (bytes < sizeof event.name) memcpy(event.name, name ? name : "", bytes);
  // release: pairs with the acquire in next_event: what there was room for comes first
  if (ecru_chan_try_send(watch->events, &event) == ECRU_EAGAIN) atomic_store_explicit(&watch->lost, true, memory_order_release);
}

static void closed(uv_handle_t *uv) {
  ecru_watch *watch = uv->data;
  if (watch->status != 0) {
    ecru_uv_finish(watch->call, watch->status);
    return;
  }
  ecru__uv_handle_closed(&watch->handle);
  ecru__uv_event_set(&watch->closed); // its owner frees it
}

static void close_it(ecru_watch *watch) {
  if (!uv_is_closing((uv_handle_t *)&watch->uv)) uv_close((uv_handle_t *)&watch->uv, closed);
}

static void shut(ecru__uv_handle *handle) {
  ecru_watch *watch = (ecru_watch *)(void *)handle;
  ecru_chan_close(watch->events);
  close_it(watch);
}

static void end_now(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  close_it((ecru_watch *)(void *)((char *)job - offsetof(ecru_watch, end)));
}

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  ecru_watch *watch = state;
  watch->call = call;
  int status = uv_fs_event_init(loop, &watch->uv);
  if (status != 0) return status;
  watch->uv.data = watch;
  watch->status = uv_fs_event_start(&watch->uv, changed, watch->path, 0);
  if (watch->status != 0) {
    close_it(watch); // and then it is finished
    return 0;
  }
  watch->handle.shut = shut;
  ecru__uv_handle_opened(&watch->handle, call);
  ecru_uv_finish(call, 0);
  return 0;
}

static void free_watch(ecru_watch *watch) {
  ecru_chan_release(watch->events);
  ecru__free(watch);
}

int ecru_watch_create(ecru_watch **watch, const char *path) {
  if (!watch || !path) return ECRU_EINVAL;
  ecru_watch *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  made->path = path;
  int64_t status = ecru_chan_create(&made->events, sizeof(ecru_watch_event), EVENTS_KEPT);
  ecru__worker *w = status == 0 ? ecru__enter() : NULL;
  if (status == 0) status = w ? ecru__canceled(w) : ecru__enter_status();
  if (status == 0) status = ecru__uv_await(&w, start, NULL, made, ECRU__WAIT_WATCH);
  if (w) ecru__leave(w);
  if (status == 0) *watch = made;
  else free_watch(made);
  return (int)status;
}

static int next_event(ecru_watch *watch, ecru_watch_event *event) {
  int status = ecru_check();
  if (status == 0) status = ecru_chan_try_recv(watch->events, event);
  if (status != ECRU_EAGAIN) return status;
  if (!atomic_exchange_explicit(&watch->lost, false, memory_order_acquire)) return ecru_chan_recv(watch->events, event);
  *event = (ecru_watch_event){.what = ECRU_WATCH_LOST};
  return 0;
}

int ecru_watch_next(ecru_watch *watch, ecru_watch_event *event) {
  ecru_watch_event all;
  if (!watch || !event || event->size < sizeof(size_t) || event->size > sizeof all) return ECRU_EINVAL;
  int status = next_event(watch, &all);
  if (status != 0) return status;
  all.size = event->size;
  memcpy(event, &all, event->size);
  return 0;
}

void ecru_watch_destroy(ecru_watch *watch) {
  if (!watch) return;
  watch->end.run = end_now;
  ecru__uv_submit(&watch->handle, &watch->end); // else its loop has closed it, or is about to
  ecru__worker *w = ecru__event_is_set(&watch->closed) ? NULL : ecru__enter();
  if (w) {
    ecru__event_wait_shielded(&w, &watch->closed, ECRU__WAIT_WATCH, watch);
    ecru__leave(w);
  }
  ecru__event_settle(&watch->closed);
  free_watch(watch);
}
