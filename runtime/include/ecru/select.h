/// ecru/select.h: waiting for the first of several operations (rules S1-S4).
#ifndef ECRU_SELECT_H
#define ECRU_SELECT_H
#include <ecru/base.h>

/// Kinds of cases (S1).
enum {
  ECRU_CASE_SEND = 1,  ///< object: ecru_chan, value: the element (read)
  ECRU_CASE_RECV = 2,  ///< object: ecru_chan, value: where the element goes (may be NULL)
  ECRU_CASE_TOKEN = 3, ///< object: ecru_token; ready once it is done
  ECRU_CASE_TASK = 4,  ///< object: ecru_task; ready once it has ended
  ECRU_CASE_TIMER = 5, ///< object: ecru_timer; ready when due; being picked consumes the tick; value: int64_t * for the scheduled instant or NULL
  ECRU_CASE_READ = 6,  ///< object: ecru_io; ready once a read would not wait (or the handle is closed, or past its deadline: see status); reads nothing
  ECRU_CASE_WRITE = 7, ///< object: ecru_io; the same for a write
};
enum {
  ECRU_SELECT_PRIORITY = 1, ///< of several ready cases the first in order is picked, not a random one (S2)
  ECRU_SELECT_POLL = 2,     ///< never park: ECRU_EAGAIN if no case is ready (S3)
};

typedef struct ecru_case {
  uint32_t kind;  ///< ECRU_CASE_*
  int32_t status; ///< out, of the picked case: 0; ECRU_ECLOSED or the closing status for a closed channel; ECRU_ECLOSED, ECRU_ETIMEDOUT for an ecru_io
  void *object;   ///< NULL: never ready (S3)
  void *value;
} ecru_case;

ECRU_BEGIN
/// Waits until one of the cases can happen, makes exactly that one happen and returns its index (S4). Ready cases are
/// picked uniformly at random unless ECRU_SELECT_PRIORITY. Also ends when the caller's current token fires: with the
/// index of a case that waits for that very token, else with an error. A send case behaves as the channel's policy says
/// (ecru/chan.h). Without any case it parks until the token fires.
/// effects: any thread; parks unless ECRU_SELECT_POLL (then it is no cancellation point); allocates for more than 16
/// cases, for a send that grows an unbounded channel and for one whose policy gives a victim to `dropped`.
/// returns: the index, and how the case ended in its `status`, the only one written; ECRU_EAGAIN poll only;
/// ECRU_ECANCELED, ECRU_ETIMEDOUT (no case happened); ECRU_EINVAL more than 65535 cases, cases NULL, an unknown kind or
/// flag, a send without a value, the timer of an after-func; ECRU_ENOMEM (no case happened). since: 0.1
ECRU_API int ecru_select(ecru_case *cases, size_t count, unsigned flags);
/// ecru_select that ends with ECRU_ETIMEDOUT at the instant deadline_ns of ecru_now (S3); a case that is ready comes
/// before a deadline that has passed. effects, returns: as ecru_select. since: 0.1
ECRU_API int ecru_select_until(ecru_case *cases, size_t count, unsigned flags, int64_t deadline_ns);
ECRU_END
#endif
