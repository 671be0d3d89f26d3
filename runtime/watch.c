/// runtime/watch.c: file watching on uv_fs_event (rule I6). Events go through a bounded channel; the loop's thread never waits for who reads them.
#include <ecru/chan.h>
#include <ecru/token.h>
#include <ecru/watch.h>

#include <string.h>

#include "platform/memory.h"
#include "runtime/resident.h"

enum { EVENTS_KEPT = 64 };

struct ecru_watch {
  ecru__resident resident; // first
  ecru_chan *events;       // set once, counted
  const char *path;        // the creator's, while it starts
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

static void closed(uv_handle_t *uv) { ecru__resident_closed(&((ecru_watch *)uv->data)->resident); }

/// Who reads events learns that no more will come, if it is the loop that ends.
static void close_it(ecru__resident *resident) {
  ecru_watch *watch = (ecru_watch *)(void *)resident;
  ecru_chan_close(watch->events);
  if (!uv_is_closing((uv_handle_t *)&watch->uv)) uv_close((uv_handle_t *)&watch->uv, closed);
}

static int open_it(uv_loop_t *loop, ecru__resident *resident) {
  ecru_watch *watch = (ecru_watch *)(void *)resident;
  int status = uv_fs_event_init(loop, &watch->uv);
  if (status != 0) return status;
  watch->uv.data = watch;
  resident->handles = 1;
  return uv_fs_event_start(&watch->uv, changed, watch->path, 0);
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
  made->resident.open = open_it;
  made->resident.close = close_it;
  int status = ecru_chan_create(&made->events, sizeof(ecru_watch_event), EVENTS_KEPT);
  if (status == 0) status = ecru__resident_open(&made->resident, ECRU__WAIT_WATCH);
  if (status == 0) *watch = made;
  else free_watch(made);
  return status;
}

static int next_event(ecru_watch *watch, ecru_watch_event *event) {
  int status = ecru_check();
  if (status == 0) status = ecru_chan_try_recv(watch->events, event);
  if (status != ECRU_EAGAIN) return status;
  if (!atomic_exchange_explicit(&watch->lost, false, memory_order_acquire))
    return ecru__uv_handle_is_lost(&watch->resident.handle) ? ECRU_ECLOSED : ecru_chan_recv(watch->events, event);
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
  ecru__resident_end(&watch->resident, ECRU__WAIT_WATCH);
  free_watch(watch);
}
