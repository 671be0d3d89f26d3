/// ecru/signal.h: signals as messages and as cancellation (rules I6, I8).
///
/// While a signal is subscribed to, it no longer does to the process what it would do (end it, for most); when the last subscription is gone, it
/// does so again. So it is in a forked child that starts anew (ecru_restart_in_child), where its parent's subscriptions are over; one that does not, and
/// executes no other program either, passes what it gets on to its parent. Signals of faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL) and SIGKILL, SIGSTOP cannot be subscribed to.
#ifndef ECRU_SIGNAL_H
#define ECRU_SIGNAL_H
#include <ecru/base.h>

typedef struct ecru_subscription ecru_subscription;
/// The cause of a token that a signal has cancelled (ecru_token_cause), and the signal in it.
#define ECRU_CAUSE_OF_SIGNAL(signal) (-2000 - (signal))
#define ECRU_SIGNAL_OF_CAUSE(cause) ((cause) < -2000 && (cause) > -2200 ? -2000 - (cause) : 0)

ECRU_BEGIN
/// From now on sends the number of each of these signals that arrives to a channel of ints, as ecru_chan_try_send does: what finds no room is dropped,
/// so give it room. Several subscriptions to one signal all get it.
/// effects: any thread; parks; allocates. owns: *subscription until ecru_subscription_end; it holds a reference to the channel.
/// returns: 0; ECRU_EINVAL NULL, no signals or more than 16, a signal that cannot be subscribed to, or no channel of ints; ECRU_ENOMEM, ECRU_ETHREADS, ECRU_EMFILE; ECRU_ECANCELED,
/// ECRU_ETIMEDOUT. since: 0.1
ECRU_API int ecru_signal_notify(ecru_subscription **subscription, ecru_chan *chan, const int *signals, size_t count);
/// Makes a child of the current token that the first of these signals cancels, with ECRU_CAUSE_OF_SIGNAL(signal) as its cause (I8). That signal and the others
/// are then no longer subscribed to: a second Ctrl-C ends a program that does not come to its end.
/// effects, returns: as ecru_signal_notify. owns: also one reference to *token. since: 0.1
ECRU_API int ecru_signal_token(ecru_subscription **subscription, ecru_token **token, const int *signals, size_t count);
/// Ends a subscription and frees it: nothing is sent or cancelled any more. NULL is ignored. effects: any thread but the loop's; parks (shielded). since: 0.1
ECRU_API void ecru_subscription_end(ecru_subscription *subscription);
ECRU_END
#endif
