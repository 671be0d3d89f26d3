/// runtime/signal.c: signals on uv_signal (rules I6, I8).
#include <ecru/chan.h>
#include <ecru/signal.h>
#include <ecru/token.h>

#include <string.h>

#include "platform/memory.h"
#include "platform/signal.h"
#include "runtime/chan.h"
#include "runtime/resident.h"

enum { SIGNALS_MAX = 16 };

struct ecru_subscription {
  ecru__resident resident;     // first
  ecru_chan *chan;             // set once: counted, or NULL
  ecru_token *token;           // set once: counted, or NULL
  int count;                   // set once
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

static void one_closed(uv_handle_t *uv) { ecru__resident_closed(&((ecru_subscription *)uv->data)->resident); }

static void close_all(ecru__resident *resident) {
  ecru_subscription *s = (ecru_subscription *)(void *)resident;
  for (int i = resident->handles - 1; i >= 0; i--)
    if (!uv_is_closing((uv_handle_t *)&s->uv[i])) uv_close((uv_handle_t *)&s->uv[i], one_closed);
}

static int open_all(uv_loop_t *loop, ecru__resident *resident) {
  ecru_subscription *s = (ecru_subscription *)(void *)resident;
  for (int i = 0; i < s->count; i++) {
    int status = uv_signal_init(loop, &s->uv[i]);
    if (status != 0) return status;
    s->uv[i].data = s;
    resident->handles++;
    status = uv_signal_start(&s->uv[i], arrived, s->signals[i]);
    if (status != 0) return status;
    ecru__uv_take_signal(resident->call, s->signals[i]);
  }
  return 0;
}

/// In a child forked since: no loop will close them, but libuv's table of signals must not keep them.
static void forget_all(ecru_subscription *s) {
  for (int i = 0; i < s->resident.handles; i++) uv_signal_stop(&s->uv[i]);
}

static bool can_be_had(int signal) {
  return signal > 0 && signal < NSIG && signal != SIGKILL && signal != SIGSTOP && signal != SIGSEGV && signal != SIGBUS && signal != SIGFPE &&
         signal != SIGILL;
}

/// Takes over the references to chan and token, if it succeeds.
static int subscribe(ecru_subscription **subscription, ecru_chan *chan, ecru_token *token, const int *signals, size_t count) {
  ecru_subscription *s = ecru__calloc(1, sizeof *s);
  if (!s) return ECRU_ENOMEM;
  s->chan = chan;
  s->token = token;
  s->count = (int)count;
  memcpy(s->signals, signals, count * sizeof *signals);
  s->resident.open = open_all;
  s->resident.close = close_all;
  int status = ecru__resident_open(&s->resident, ECRU__WAIT_SIGNAL);
  if (status == 0) *subscription = s;
  else ecru__free(s);
  return status;
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
  if (ecru__uv_handle_is_lost(&subscription->resident.handle)) forget_all(subscription);
  ecru__resident_end(&subscription->resident, ECRU__WAIT_SIGNAL);
  ecru_chan_release(subscription->chan);
  ecru_token_release(subscription->token);
  ecru__free(subscription);
}
