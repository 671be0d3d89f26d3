/// platform/poller/readiness.h: what pollers have in common that learn of readiness and not of completion.
#ifndef ECRU_PLATFORM_POLLER_READINESS_H
#define ECRU_PLATFORM_POLLER_READINESS_H
#include "platform/poller.h"

/// Whether fewer bytes than asked for mean that there is no more, or no more room. Reads of Unix sockets end where descriptors were
/// passed along, reads of a pipe of packets with each packet, careful writes to a shared pipe earlier.
static inline bool ecru__flows(const ecru__pollee *pollee, const ecru__operation *operation) {
  if (operation->kind == ECRU__OP_READ) return pollee->kind == ECRU__IS_STREAM;
  return operation->kind == ECRU__OP_WRITE && (pollee->kind == ECRU__IS_STREAM || pollee->kind == ECRU__IS_PARTED ||
                                               (pollee->kind == ECRU__IS_PIPE && !operation->shared));
}

static inline int64_t ecru__attempt_unless_drained(ecru__pollee *pollee, ecru__operation *operation) {
  int d = ecru__operation_direction(operation);
  // acquire: pairs with the release in ecru__poller_note: what the event told of is there
  uint32_t seen = atomic_load_explicit(&pollee->events[d], memory_order_acquire);
  operation->seen = seen;
  operation->shared = atomic_load_explicit(&pollee->shared, memory_order_relaxed); // whoever passes the descriptor on orders it
  bool known = !pollee->fleeting && (ecru__pollee_registered(pollee) & (1u << d)) != 0 &&
               atomic_load_explicit(&pollee->hung_up, memory_order_relaxed) == 0;
  if (known && pollee->drained[d] == seen + 1 && ecru__flows(pollee, operation) && operation->bytes > 0) return ECRU_EAGAIN;
  int64_t result = ecru__io_try(pollee->descriptor, pollee->kind, operation);
  if (!ecru__flows(pollee, operation)) return result;
  bool took_all = result == ECRU_EAGAIN || (result > 0 && (uint64_t)result < operation->bytes);
  pollee->drained[d] = took_all ? seen + 1 : 0;
  return result;
}

static inline int ecru__ready_now(const ecru__pollee *pollee, int direction) {
  int ready = ecru__io_ready(pollee->descriptor, direction == ECRU__IN, direction == ECRU__OUT);
  return ready > 0 ? 1 : ready;
}
#endif
