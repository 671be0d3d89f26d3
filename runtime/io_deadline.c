/// runtime/io_deadline.c: deadlines of directions (rule I2; io.h, invariant 4).
///
/// The timer goes into a heap when the deadline is set, and again at a wait if it has dropped out (a stop empties the heaps). A run that could not be
/// taken back looks at the deadline as it is then.
#include "runtime/io_deadline.h"

#include "runtime/io_table.h"

static ecru__direction *direction_of_timer(ecru__timer_node *node) {
  return (ecru__direction *)(void *)((char *)node - offsetof(ecru__direction, timer));
}
static ecru_io *io_of_timer(ecru__timer_node *node) {
  ecru__direction *d = direction_of_timer(node);
  return (ecru_io *)(void *)((char *)d - (d->index == ECRU__IN ? offsetof(ecru_io, in) : offsetof(ecru_io, out)));
}

/// Under the heap's lock, which whoever let the last reference go takes, too, before it drops its pin (ecru__deadline_disarm).
static bool deadline_claim(ecru__worker *w, ecru__timer_node *node) {
  (void)w;
  return ecru__io_pin_if_alive(io_of_timer(node));
}

/// Under the lock: everybody who waits in this direction shall see that it is too late.
static void expire(ecru__direction *d, ecru__node **chain) {
  d->expired = true;
  ecru__io_claim_all(&d->waiters, ECRU_ETIMEDOUT, chain);
  ecru__io_claim_all(&d->turns, ECRU_ETIMEDOUT, chain);
}

static void deadline_run(ecru__worker *w, ecru__timer_node *node) {
  ecru_io *io = io_of_timer(node);
  ecru__direction *d = direction_of_timer(node);
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  d->armed = false;
  if (!io->closed && d->deadline_ns != ECRU_FOREVER && !d->expired) {
    // no memory to wait on until a later deadline: better too early than never
    if (d->deadline_ns <= ecru__now() || ecru__deadline_arm(w, d) != 0) expire(d, &chain);
  }
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
  ecru__io_unpin(io);
}

void ecru__direction_init(ecru__direction *d, int index) {
  *d = (ecru__direction){.deadline_ns = ECRU_FOREVER, .index = (uint8_t)index};
  d->timer.claim = deadline_claim;
  d->timer.run = deadline_run;
}

/// Under the lock.
static int set_deadline(ecru__worker *w, ecru__direction *d, int64_t deadline_ns, ecru__node **chain) {
  if (d->armed && ecru__timer_remove(&d->timer)) d->armed = false; // else a run is under way, which looks at what we write now
  d->deadline_ns = deadline_ns;
  d->expired = false;
  if (deadline_ns == ECRU_FOREVER) return 0;
  if (deadline_ns <= ecru__now()) {
    expire(d, chain);
    return 0;
  }
  int status = ecru__deadline_arm(w, d);
  if (status != 0) d->deadline_ns = ECRU_FOREVER;
  return status;
}

int ecru_io_set_deadline(ecru_io *io, unsigned directions, int64_t deadline_ns) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !ecru__io_are_directions(directions)) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__node *chain = NULL;
  ecru__lock_take(&io->lock);
  int status = io->closed ? ECRU_ECLOSED : 0;
  if (status == 0 && directions & ECRU_IO_READ) status = set_deadline(w, &io->in, deadline_ns, &chain);
  if (status == 0 && directions & ECRU_IO_WRITE) status = set_deadline(w, &io->out, deadline_ns, &chain);
  ecru__lock_drop(&io->lock);
  ecru__ready_all(w, chain);
  ecru__leave(w);
  return status;
}

void ecru__deadline_disarm(ecru__direction *d) {
  d->deadline_ns = ECRU_FOREVER;
  if (d->armed && ecru__timer_remove(&d->timer)) d->armed = false;
}
