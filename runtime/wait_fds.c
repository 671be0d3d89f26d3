/// runtime/wait_fds.c: waiting for any of several foreign descriptors (rule I7).
///
/// A select over their handles: each is borrowed for the time of the wait, and its directions are two cases. So one waiter stands in all
/// queues, and deadline, token and closing race for the same claim. (Tried: an epoll instance of its own for each wait, itself waited
/// for: two descriptors more per waiter, and a closed one leaves it silently.)
#include <ecru/select.h>
#include <ecru/token.h>

#include "platform/memory.h"
#include "runtime/io.h"

enum { FEW = 8, EVENTS_MAX = 32767 };

typedef struct wait_set {
  ecru_fd_event *events;
  size_t count;
  ecru_io **borrowed; // per event: its handle; NULL: left out, or always ready
  ecru_case *cases;   // two per event, for reading and writing
  int found;          // entries that are ready
} wait_set;

static bool are_valid(const ecru_fd_event *events, size_t count) {
  if (count > EVENTS_MAX || (!events && count > 0)) return false;
  for (size_t i = 0; i < count; i++) {
    if (events[i].descriptor < 0) continue;
    if (events[i].wanted == 0 || (events[i].wanted & ~(unsigned)(ECRU_IO_READ | ECRU_IO_WRITE))) return false;
  }
  return true;
}

static void give_back(wait_set *set) {
  ecru__worker *w = ecru__enter();
  if (!w) return; // in a forked child: none of it is ours
  for (size_t i = 0; i < set->count; i++)
    if (set->borrowed[i]) ecru__io_give_back(w, set->borrowed[i]);
  ecru__leave(w);
}

/// Looks at one descriptor that has a handle. returns: 0; ECRU_EBADF.
static int look(wait_set *set, size_t i) {
  ecru_fd_event *event = &set->events[i];
  int ready = ecru__io_ready(event->descriptor, event->wanted & ECRU_IO_READ, event->wanted & ECRU_IO_WRITE);
  if (ready < 0) return ready;
  event->ready = (unsigned)ready;
  if (ready != 0) set->found++;
  return 0;
}

static int look_at_all(wait_set *set) {
  int status = 0;
  for (size_t i = 0; i < set->count && status == 0; i++)
    if (set->borrowed[i]) status = look(set, i);
  return status;
}

static int borrow_all(wait_set *set) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  for (size_t i = 0; i < set->count && status == 0; i++) {
    ecru_fd_event *event = &set->events[i];
    event->ready = 0;
    if (event->descriptor < 0) continue;
    status = ecru__io_borrow(w, event->descriptor, &set->borrowed[i]);
    if (status != ECRU_EPERM) continue;
    event->ready = event->wanted;
    set->found++;
    status = 0;
  }
  ecru__leave(w);
  return status;
}

static void make_cases(wait_set *set) {
  for (size_t i = 0; i < set->count; i++) {
    unsigned wanted = set->borrowed[i] ? set->events[i].wanted : 0;
    set->cases[2 * i] = (ecru_case){ECRU_CASE_READ, 0, wanted & ECRU_IO_READ ? set->borrowed[i] : NULL, NULL};
    set->cases[2 * i + 1] = (ecru_case){ECRU_CASE_WRITE, 0, wanted & ECRU_IO_WRITE ? set->borrowed[i] : NULL, NULL};
  }
}

static int status_of_case(const ecru_case *picked) {
  ecru_io *io = picked->object;
  return picked->status == ECRU_ECLOSED && io->pollee.fleeting ? ECRU_EBADF : picked->status;
}

/// Waits until something is ready. returns: 0: there is, or there was; ECRU_EAGAIN: the deadline has passed; ECRU_E*.
static int wait_once(wait_set *set, int64_t deadline_ns) {
  int picked = ecru_select_until(set->cases, 2 * set->count, 0, deadline_ns);
  if (picked >= 0) return status_of_case(&set->cases[picked]);
  return picked == ECRU_ETIMEDOUT && ecru_check() == 0 ? ECRU_EAGAIN : picked;
}

static int wait_for_any(wait_set *set, int64_t deadline_ns) {
  int status = borrow_all(set);
  if (status == 0) status = look_at_all(set);
  make_cases(set);
  while (status == 0 && set->found == 0) {
    status = wait_once(set, deadline_ns);
    if (status == 0) status = look_at_all(set);
  }
  give_back(set);
  return status == ECRU_EAGAIN ? 0 : status != 0 ? status : set->found;
}

int ecru_wait_fds(ecru_fd_event *events, size_t count, int64_t deadline_ns) {
  if (!are_valid(events, count)) return ECRU_EINVAL;
  ecru_io *few[FEW] = {NULL};
  ecru_case few_cases[2 * FEW];
  wait_set set = {.events = events, .count = count, .borrowed = few, .cases = few_cases};
  if (count <= FEW) return wait_for_any(&set, deadline_ns);
  set.cases = ecru__calloc(count, 2 * sizeof *set.cases + sizeof *set.borrowed);
  if (!set.cases) return ECRU_ENOMEM;
  set.borrowed = (ecru_io **)(void *)(set.cases + 2 * count);
  int status = wait_for_any(&set, deadline_ns);
  ecru__free(set.cases);
  return status;
}
