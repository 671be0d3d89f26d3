/// runtime/signal.c: signals on uv_signal (rules I6, I8).
///
///   1 A subscription lives until its owner has ended it and its uv handles are closed, whatever comes last. `open` counts those handles.
#include <ecru/chan.h>
#include <ecru/signal.h>
#include <ecru/token.h>

#include <signal.h>
#include <string.h>

#include "platform/memory.h"
#include "runtime/chan.h"
#include "runtime/uv.h"

enum { SIGNALS_MAX = 16 };

struct ecru_subscription {
  ecru__uv_handle handle;      // first
  ecru__uv_job end;            // owner's
  ecru__event closed;
  ecru_chan *chan;             // set once: counted, or NULL
  ecru_token *token;           // set once: counted, or NULL
  ecru_uv_call *call;          // loop's thread, while it starts
  int status;                  // loop's thread, while it starts: why it failed
  int count;                   // set once
  int open;                    // loop's thread
  int signals[SIGNALS_MAX];    // set once
  uv_signal_t uv[SIGNALS_MAX]; // loop's thread
};

static void arrived(uv_signal_t *uv, int signal) {
  ecru_subscription *s = uv->data;
  if (s->chan) {
    ecru_chan_try_send(s->chan, &signal);
    return;
  }
  for (int i = 0; i < s->count; i++) uv_signal_stop(&s->uv[i]);
  ecru_token_cancel(s->token, ECRU_CAUSE_OF_SIGNAL(signal));
}

static void one_closed(uv_handle_t *uv) {
  ecru_subscription *s = uv->data;
  if (--s->open > 0) return;
  if (s->status != 0) {
    ecru_uv_finish(s->call, s->status);
    return;
  }
  ecru__uv_handle_closed(&s->handle);
  ecru__uv_event_set(&s->closed); // its owner frees it
}

static void close_all(ecru_subscription *s) {
  for (int i = s->open - 1; i >= 0; i--)
    if (!uv_is_closing((uv_handle_t *)&s->uv[i])) uv_close((uv_handle_t *)&s->uv[i], one_closed);
}

static void shut(ecru__uv_handle *handle) { close_all((ecru_subscription *)(void *)handle); }

static void end_now(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  close_all((ecru_subscription *)(void *)((char *)job - offsetof(ecru_subscription, end)));
}

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  ecru_subscription *s = state;
  s->call = call;
  for (int i = 0; i < s->count && s->status == 0; i++) {
    s->status = uv_signal_init(loop, &s->uv[i]);
    if (s->status != 0) break;
    s->uv[i].data = s;
    s->open++;
    s->status = uv_signal_start(&s->uv[i], arrived, s->signals[i]);
    ecru__uv_take_signal(call, s->signals[i]);
  }
  if (s->status != 0 && s->open == 0) return s->status;
  if (s->status != 0) {
    close_all(s); // and then it is finished
    return 0;
  }
  s->handle.shut = shut;
  ecru__uv_handle_opened(&s->handle, call);
  ecru_uv_finish(call, 0);
  return 0;
}

static bool can_be_had(int signal) {
  return signal > 0 && signal < NSIG && signal != SIGKILL && signal != SIGSTOP && signal != SIGSEGV && signal != SIGBUS && signal != SIGFPE &&
         signal != SIGILL;
}

static void free_subscription(ecru_subscription *s) {
  ecru_chan_release(s->chan);
  ecru_token_release(s->token);
  ecru__free(s);
}

/// Takes over the references to chan and token, if it succeeds.
static int subscribe(ecru_subscription **subscription, ecru_chan *chan, ecru_token *token, const int *signals, size_t count) {
  ecru_subscription *s = ecru__calloc(1, sizeof *s);
  if (!s) return ECRU_ENOMEM;
  s->chan = chan;
  s->token = token;
  s->count = (int)count;
  memcpy(s->signals, signals, count * sizeof *signals);
  ecru__worker *w = ecru__enter();
  int64_t status = w ? ecru__canceled(w) : ecru__enter_status();
  if (status == 0) status = ecru__uv_await(&w, start, NULL, s, ECRU__WAIT_SIGNAL);
  if (w) ecru__leave(w);
  if (status == 0) *subscription = s;
  else ecru__free(s);
  return (int)status;
}

static bool are_signals(const int *signals, size_t count) {
  if (!signals || count == 0 || count > SIGNALS_MAX) return false;
  for (size_t i = 0; i < count; i++)
    if (!can_be_had(signals[i])) return false;
  return true;
}

int ecru_signal_notify(ecru_subscription **subscription, ecru_chan *chan, const int *signals, size_t count) {
  if (!subscription || !chan || !are_signals(signals, count) || chan->element_bytes != sizeof(int)) return ECRU_EINVAL;
  int status = subscribe(subscription, ecru_chan_retain(chan), NULL, signals, count);
  if (status != 0) ecru_chan_release(chan);
  return status;
}

int ecru_signal_token(ecru_subscription **subscription, ecru_token **token, const int *signals, size_t count) {
  if (!subscription || !token || !are_signals(signals, count)) return ECRU_EINVAL;
  ecru_token *made = NULL;
  int status = ecru_token_create(&made, NULL, ECRU_FOREVER);
  if (status != 0) return status;
  status = subscribe(subscription, NULL, ecru_token_retain(made), signals, count);
  if (status == 0) {
    *token = made;
    return 0;
  }
  ecru_token_release(made);
  ecru_token_release(made);
  return status;
}

void ecru_subscription_end(ecru_subscription *subscription) {
  if (!subscription) return;
  ecru_subscription *s = subscription;
  s->end.run = end_now;
  ecru__uv_submit(&s->handle, &s->end); // else its loop has closed it, or is about to
  ecru__worker *w = ecru__event_is_set(&s->closed) ? NULL : ecru__enter();
  if (w) {
    ecru__event_wait_shielded(&w, &s->closed, ECRU__WAIT_SIGNAL, s);
    ecru__leave(w);
  }
  ecru__event_settle(&s->closed);
  free_subscription(s);
}
