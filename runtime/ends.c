/// runtime/ends.c: counted ends of channels (rule C8). An end is a counted handle; the channel counts its open ends of
/// either direction under its lock and is closed by the last to go. An end holds a reference of the channel.
#include "platform/memory.h"
#include "runtime/chan.h"
#include "runtime/scheduler.h"

struct end {
  ecru_chan *chan;             // set once
  _Atomic uint32_t references; // atomic
  ecru__mark mark; // handle.h
};
struct ecru_tx {
  struct end end;
};
struct ecru_rx {
  struct end end;
};

/// Makes an end and counts it in *count, which lies in chan. returns: 0; as ecru_tx_open.
static int end_open(void **made, size_t bytes, ecru_chan *chan, uint32_t *count) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  struct end *end = ecru__malloc(bytes);
  int status = end ? 0 : ECRU_ENOMEM;
  if (end) {
    ecru__lock_take(&chan->lock);
    if (ecru__chan_closed(chan)) status = ECRU_ECLOSED;
    else ++*count;
    ecru__lock_drop(&chan->lock);
  }
  ecru__leave(w);
  if (status != 0) {
    ecru__free(end);
    return status;
  }
  ecru__handle_begin(&end->mark);
  end->chan = ecru_chan_retain(chan);
  atomic_store_explicit(&end->references, 1, memory_order_relaxed);
  *made = end;
  return 0;
}

static void end_retain(struct end *end, const char *function) {
  if (atomic_fetch_add_explicit(&end->references, 1, memory_order_relaxed) == 0)
    ecru__panic(function, end, "the end has been released by its last holder");
}

/// returns: true this was the last handle.
static bool end_release(struct end *end, const char *function) {
  // acq_rel: what every holder did happens before the end
  uint32_t before = atomic_fetch_sub_explicit(&end->references, 1, memory_order_acq_rel);
  if (before == 0) ecru__panic(function, end, "released more often than retained");
  return before == 1;
}

/// Takes an end out of *count and closes the channel if it was the last. returns: true it was.
static bool end_close(ecru_chan *chan, uint32_t *count) {
  ecru__worker *w = ecru__enter_to_end();
  if (!w) return false; // a forked child: there is nobody to tell
  ecru__lock_take(&chan->lock);
  bool last = --*count == 0;
  ecru__node *parked = last && !ecru__chan_closed(chan) ? ecru__chan_close_locked(chan, ECRU_ECLOSED) : NULL;
  ecru__lock_drop(&chan->lock);
  ecru__ready_all(w, parked);
  ecru__leave(w);
  return last;
}

// ---- sending ends ---------------------------------------------------------------------------------------------------

int ecru_tx_open(ecru_tx **tx, ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  if (!tx || !chan) return ECRU_EINVAL;
  void *made = NULL;
  int status = end_open(&made, sizeof(ecru_tx), chan, &chan->tx_ends);
  if (status == 0) *tx = made;
  return status;
}

ecru_tx *ecru_tx_retain(ecru_tx *tx) {
  ECRU__CHECK_HANDLE((struct end *)tx);
  if (tx) end_retain(&tx->end, "ecru_tx_retain");
  return tx;
}

void ecru_tx_release(ecru_tx *tx) {
  ECRU__CHECK_HANDLE((struct end *)tx);
  if (!tx || !end_release(&tx->end, "ecru_tx_release")) return;
  ecru_chan *chan = tx->end.chan;
  ecru__handle_free(&tx->end.mark, tx, sizeof *tx);
  end_close(chan, &chan->tx_ends);
  ecru_chan_release(chan);
}

int ecru_tx_send(ecru_tx *tx, const void *element) {
  ECRU__CHECK_HANDLE((struct end *)tx);
  return tx ? ecru_chan_send(tx->end.chan, element) : ECRU_EINVAL;
}

int ecru_tx_try_send(ecru_tx *tx, const void *element) {
  ECRU__CHECK_HANDLE((struct end *)tx);
  return tx ? ecru_chan_try_send(tx->end.chan, element) : ECRU_EINVAL;
}

ecru_chan *ecru_tx_chan(ecru_tx *tx) {
  ECRU__CHECK_HANDLE((struct end *)tx);
  return tx ? tx->end.chan : NULL;
}

// ---- receiving ends -------------------------------------------------------------------------------------------------

int ecru_rx_open(ecru_rx **rx, ecru_chan *chan) {
  ECRU__CHECK_HANDLE(chan);
  if (!rx || !chan) return ECRU_EINVAL;
  void *made = NULL;
  int status = end_open(&made, sizeof(ecru_rx), chan, &chan->rx_ends);
  if (status == 0) *rx = made;
  return status;
}

ecru_rx *ecru_rx_retain(ecru_rx *rx) {
  ECRU__CHECK_HANDLE((struct end *)rx);
  if (rx) end_retain(&rx->end, "ecru_rx_retain");
  return rx;
}

void ecru_rx_release(ecru_rx *rx) {
  ECRU__CHECK_HANDLE((struct end *)rx);
  if (!rx || !end_release(&rx->end, "ecru_rx_release")) return;
  ecru_chan *chan = rx->end.chan;
  ecru__handle_free(&rx->end.mark, rx, sizeof *rx);
  if (end_close(chan, &chan->rx_ends)) ecru__chan_discard(chan); // user code: outside the runtime
  ecru_chan_release(chan);
}

int ecru_rx_recv(ecru_rx *rx, void *element) {
  ECRU__CHECK_HANDLE((struct end *)rx);
  return rx ? ecru_chan_recv(rx->end.chan, element) : ECRU_EINVAL;
}

int ecru_rx_try_recv(ecru_rx *rx, void *element) {
  ECRU__CHECK_HANDLE((struct end *)rx);
  return rx ? ecru_chan_try_recv(rx->end.chan, element) : ECRU_EINVAL;
}

ecru_chan *ecru_rx_chan(ecru_rx *rx) {
  ECRU__CHECK_HANDLE((struct end *)rx);
  return rx ? rx->end.chan : NULL;
}
