/// runtime/dial.c: dialling (rule I4): names, and the race of RFC 8305 (Happy Eyeballs) between their addresses.
///
/// The caller drives all attempts itself: it parks on every socket that is on its way and on one timer, as a select does, with all
/// their locks held over the switch. So there is no goroutine, channel or allocation per attempt, and nothing that could outlive
/// the call: whatever ends the park, a winner, the token or an error, leaves through close_all.
///
/// An attempt starts when its predecessor has failed or has been under way for fallback_ns. With a negative one, each
/// gets an equal part of the time that the token leaves to it and its successors, but no less than 2 s, as in Go.
/// A Unix listener whose backlog is full gives no event when there is room again: such an attempt is repeated by the clock.
#include "runtime/dial.h"

#include <ecru/token.h>
#include <string.h>

#include "platform/memory.h"
#include "runtime/state.h"

enum { SHORTEST_PAUSE_NS = 1000 * 1000, LONGEST_PAUSE_NS = 64 * 1000 * 1000 };
static const int64_t least_part_ns = 2 * ECRU_SECOND;

typedef struct attempt {
  ecru_io *io;           // NULL: it has not begun, or is over
  ecru__operation connect;
  uint32_t address_bytes;
  int64_t again_ns;      // when to connect anew; ECRU_FOREVER: an event will tell
  int64_t pause_ns;      // the next such pause
  int64_t end_ns;        // given up then
  ecru__node node;
} attempt;

typedef struct race {
  const ecru__dial_plan *plan;
  size_t started, running;
  int64_t next_ns;       // when the next attempt joins in
  int first_error;       // of the first address
  attempt attempts[];
} race;

// ---- one attempt -------------------------------------------------------------------------------------------------------

/// A socket for it, bound if need be. returns: 0; ECRU_EMFILE ...; as ecru__net_bind.
static int open_attempt(ecru__worker *w, const ecru__dial_plan *plan, const ecru_address *address, ecru_io **io) {
  enum ecru__family family = ecru__net_family(address);
  ecru_io *made = NULL;
  int status = ecru__socket_create(w, &made, family, plan->datagram ? ECRU__IS_DATAGRAM : ECRU__IS_STREAM);
  if (status != 0) return status;
  if (plan->local) status = ecru__net_bind(made->pollee.descriptor, plan->local, 0, plan->datagram);
  if (status == 0 && plan->local && family == ECRU__FAMILY_UNIX) made->unlink_path = true;
  if (status == 0) *io = made;
  else ecru__io_discard(w, made);
  return status;
}

static void end_attempt(ecru__worker *w, race *r, attempt *a, int status) {
  if (a == r->attempts) r->first_error = status;
  if (!a->io) return;
  ecru__io_discard(w, a->io);
  a->io = NULL;
  r->running--;
}

/// When the attempt about to begin has had its part of the time.
static int64_t part_end(ecru__worker *w, const race *r, int64_t now) {
  int64_t deadline = r->plan->fallback_ns < 0 ? ecru_token_deadline(ecru__waiter_token(w->self)) : ECRU_FOREVER;
  size_t left = r->plan->count - r->started;
  if (deadline == ECRU_FOREVER || left == 1) return ECRU_FOREVER; // the token will tell
  int64_t part = (deadline - now) / (int64_t)left;
  return now + (part > least_part_ns ? part : least_part_ns);
}

static void start_next(ecru__worker *w, race *r, int64_t now) {
  attempt *a = &r->attempts[r->started];
  const ecru_address *address = &r->plan->addresses[r->started];
  *a = (attempt){.again_ns = ECRU_FOREVER, .pause_ns = SHORTEST_PAUSE_NS, .end_ns = part_end(w, r, now), .address_bytes = address->bytes};
  a->connect = (ecru__operation){.kind = ECRU__OP_CONNECT, .address = (void *)(uintptr_t)address->storage, .address_bytes = &a->address_bytes};
  r->next_ns = r->plan->fallback_ns < 0 ? ECRU_FOREVER : now + r->plan->fallback_ns;
  r->started++;
  int status = open_attempt(w, r->plan, address, &a->io);
  if (status == 0) r->running++;
  else end_attempt(w, r, a, status);
  if (status != 0) r->next_ns = now;
}

/// A connection that has met itself: the system chose the very port as its own that nobody listens on.
static bool is_self(const attempt *a, const ecru_address *address) {
  ecru_address local;
  if (a->io->pollee.kind != ECRU__IS_STREAM || ecru__net_local(a->io->pollee.descriptor, &local) != 0) return false;
  return ecru__net_same(&local, address);
}

/// Goes on with it. returns: 0: it is connected; ECRU_EAGAIN: it is under way; else it is over.
static int advance(ecru__worker *w, race *r, attempt *a, int64_t now) {
  if (a->again_ns != ECRU_FOREVER && a->again_ns > now && a->end_ns > now) return ECRU_EAGAIN;
  a->again_ns = ECRU_FOREVER;
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  int status = (int)ecru__poller_attempt(poller, &a->io->pollee, &a->connect);
  if (status == 0 && !r->plan->local && is_self(a, &r->plan->addresses[a - r->attempts])) status = ECRU_ECONNREFUSED;
  if (status == 0) return 0;
  if (status == ECRU_EBUSY) {
    a->again_ns = now + a->pause_ns;
    a->pause_ns = a->pause_ns < LONGEST_PAUSE_NS ? a->pause_ns * 2 : LONGEST_PAUSE_NS;
    status = ECRU_EAGAIN;
  }
  if (status == ECRU_EAGAIN && a->end_ns <= now) status = ECRU_ETIMEDOUT;
  if (status != ECRU_EAGAIN) end_attempt(w, r, a, status);
  return status;
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

struct alarm_clock {
  ecru__timer_node timer;
  ecru__waiter *sleeper;
};

static bool alarm_rings(ecru__worker *w, ecru__timer_node *timer) {
  ecru__waiter *sleeper = ((struct alarm_clock *)(void *)timer)->sleeper;
  if (!ecru__claim(sleeper)) return false;
  sleeper->wake_node = NULL;
  sleeper->wake_status = 0;
  ecru__ready(w, sleeper);
  return false;
}

static bool waits_for_event(const attempt *a) { return a->io && a->again_ns == ECRU_FOREVER; }

/// In the order of their addresses in memory, as everywhere; places of one table rarely lie otherwise.
static attempt *next_by_address(race *r, const attempt *after) {
  attempt *found = NULL;
  for (size_t i = 0; i < r->started; i++) {
    attempt *a = &r->attempts[i];
    if (!waits_for_event(a) || (after && a->io <= after->io)) continue;
    if (!found || a->io < found->io) found = a;
  }
  return found;
}

static void unlock_all(void *argument) {
  race *r = argument;
  ecru__lock *locks[ECRU__DIAL_MOST];
  size_t count = 0;
  for (attempt *a = NULL; (a = next_by_address(r, a)) != NULL;) locks[count++] = &a->io->lock;
  for (size_t i = 0; i < count; i++) ecru__lock_drop(locks[i]); // after the last one *r may be gone
}

/// Takes all locks and lines up everywhere. returns: whether nothing has happened, so that it is to park.
static bool line_up(ecru__worker *w, race *r, int *status) {
  ecru__poller *poller = atomic_load_explicit(&ecru__sched.poller, memory_order_acquire);
  bool again = false;
  for (attempt *a = NULL; (a = next_by_address(r, a)) != NULL;) {
    ecru__lock_take(&a->io->lock);
    again = again || ecru__poller_changed(&a->io->pollee, &a->connect);
    if (*status == 0) *status = ecru__poller_arm(poller, &a->io->pollee, ECRU__OUT);
  }
  if (again || *status != 0) {
    unlock_all(r);
    return false;
  }
  for (attempt *a = NULL; (a = next_by_address(r, a)) != NULL;) {
    ecru__node_init(&a->node, w->self);
    ecru__queue_push(&a->io->out.waiters, &a->node);
  }
  return true;
}

static int64_t first_alarm(const race *r) {
  int64_t first = r->started < r->plan->count ? r->next_ns : ECRU_FOREVER;
  for (size_t i = 0; i < r->started; i++) {
    const attempt *a = &r->attempts[i];
    if (!a->io) continue;
    if (a->again_ns < first) first = a->again_ns;
    if (a->end_ns < first) first = a->end_ns;
  }
  return first;
}

/// Until an attempt may go on or the next is due. returns: 0; as ecru__park, ecru__poller_arm.
static int wait(ecru__worker **w, race *r) {
  int status = 0;
  if (!(*w)->processor) ecru__poll_ensure();
  if (!line_up(*w, r, &status)) return status;
  int64_t when = first_alarm(r);
  const void *object = r->attempts[0].io;
  if (when == ECRU_FOREVER) {
    status = ecru__park_with(w, unlock_all, r, ECRU__WAIT_CONNECT, object);
  } else {
    struct alarm_clock alarm = {.timer = {.claim = alarm_rings}, .sleeper = (*w)->self};
    status = ecru__timer_park(w, &alarm.timer, when, unlock_all, r, ECRU__WAIT_CONNECT, object);
  }
  for (attempt *a = NULL; (a = next_by_address(r, a)) != NULL;) {
    ecru__lock_take(&a->io->lock);
    ecru__queue_remove(&a->io->out.waiters, &a->node);
    ecru__lock_drop(&a->io->lock);
  }
  return status;
}

// ---- the race ----------------------------------------------------------------------------------------------------------

/// Goes on with all. returns: who is connected; NULL: nobody yet.
static attempt *advance_all(ecru__worker *w, race *r, int64_t now) {
  for (size_t i = 0; i < r->started; i++)
    if (r->attempts[i].io && advance(w, r, &r->attempts[i], now) == 0) return &r->attempts[i];
  return NULL;
}

/// An interruption makes the caller dial anew: who has connected by then would be left to the listener, and is the winner instead.
static int run(ecru__worker **w, race *r, ecru_io **io) {
  int status = 0;
  for (;;) {
    int64_t now = ecru__now();
    size_t before = r->running;
    attempt *winner = advance_all(*w, r, now);
    if (winner) {
      *io = winner->io;
      winner->io = NULL;
      return 0;
    }
    if (status != 0) return status;
    bool failed = r->running < before;
    if (r->started < r->plan->count && (failed || r->running == 0 || r->next_ns <= now)) {
      start_next(*w, r, now);
      continue;
    }
    if (r->running == 0) return r->first_error;
    status = wait(w, r);
    if (status != 0 && status != ECRU_EINTR) return status;
  }
}

static void close_all(ecru__worker *w, race *r) {
  for (size_t i = 0; i < r->started; i++)
    if (r->attempts[i].io) ecru__io_discard(w, r->attempts[i].io);
}

static int run_and_close(ecru__worker **w, race *r, ecru_io **io) {
  int status = run(w, r, io);
  close_all(*w, r);
  if (status == 0 && (*io)->pollee.kind == ECRU__IS_STREAM) ecru__net_tune((*io)->pollee.descriptor);
  return status;
}

int ecru__dial_race(ecru__worker **w, ecru_io **io, const ecru__dial_plan *plan) {
  union { race r; char room[sizeof(race) + sizeof(attempt)]; } one = {{.plan = plan}};
  if (plan->count == 1) return run_and_close(w, &one.r, io);
  race *r = ecru__calloc(1, sizeof *r + plan->count * sizeof(attempt));
  if (!r) return ECRU_ENOMEM;
  r->plan = plan;
  int status = run_and_close(w, r, io);
  ecru__free(r);
  return status;
}

void ecru__dial_interleave(ecru_address *addresses, size_t count) {
  enum ecru__family wanted = ECRU__FAMILY_V6;
  for (size_t i = 0; i < count; i++, wanted = wanted == ECRU__FAMILY_V6 ? ECRU__FAMILY_V4 : ECRU__FAMILY_V6) {
    size_t at = i;
    while (at < count && ecru__net_family(&addresses[at]) != wanted) at++;
    if (at == count) continue; // none of this family is left: the others as they come
    ecru_address moved = addresses[at];
    memmove(&addresses[i + 1], &addresses[i], (at - i) * sizeof *addresses);
    addresses[i] = moved;
  }
}
