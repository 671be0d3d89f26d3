#include "peer.h"

#include <ecru/ecru.h>
#include <stdlib.h>

typedef struct block { // what a channel of bytes carries
  char *data;          // of malloc
  size_t length;
} block;
typedef union element {
  int64_t number;
  block bytes;
} element;
typedef struct pipe {
  ecru_chan *from, *to;
  void (*change)(element *e);
  void (*forget)(element *e);
} pipe;

static void double_it(element *e) { e->number *= 2; }
static void forget_number(element *e) { (void)e; }
static void reverse(element *e) {
  for (size_t i = 0; i < e->bytes.length / 2; i++) {
    char *first = e->bytes.data + i, *last = e->bytes.data + e->bytes.length - 1 - i, kept = *first;
    *first = *last;
    *last = kept;
  }
}
static void forget_bytes(element *e) { free(e->bytes.data); }

/// In a plain goroutine.
static void run(void *argument) {
  pipe *p = argument;
  element e;
  while (ecru_chan_recv(p->from, &e) == 0) {
    p->change(&e);
    if (ecru_chan_send(p->to, &e) == 0) continue;
    p->forget(&e);
    break;
  }
  (void)ecru_chan_close(p->to);
  ecru_chan_release(p->from);
  ecru_chan_release(p->to);
}

static int start(int64_t from, int64_t to, void (*change)(element *e), void (*forget)(element *e)) {
  pipe p = {(ecru_chan *)(intptr_t)from, (ecru_chan *)(intptr_t)to, change, forget};
  return ecru_go_copy(NULL, run, &p, sizeof p);
}
int ecru_peer_double(int64_t from, int64_t to) { return start(from, to, double_it, forget_number); }
int ecru_peer_reverse(int64_t from, int64_t to) { return start(from, to, reverse, forget_bytes); }
