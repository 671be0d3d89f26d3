/// java/tests/peer.c: goroutines of C that share channels with Java's threads (dev.ecru.Peer).
#include <ecru/ecru.h>
#include <jni.h>

typedef struct pipe {
  ecru_chan *from, *to;
} pipe;

/// In a plain goroutine: each number, doubled; then the end.
static void double_all(void *argument) {
  pipe *p = argument;
  int64_t number;
  while (ecru_chan_recv(p->from, &number) == 0) {
    number *= 2;
    if (ecru_chan_send(p->to, &number) != 0) break;
  }
  (void)ecru_chan_close(p->to);
  ecru_chan_release(p->from);
  ecru_chan_release(p->to);
}

/// Both addresses are references that the goroutine releases.
JNIEXPORT jint JNICALL Java_dev_ecru_Peer_doubleAll(JNIEnv *env, jclass class, jlong from, jlong to) {
  (void)env;
  (void)class;
  pipe p = {(ecru_chan *)(intptr_t)from, (ecru_chan *)(intptr_t)to};
  return ecru_go_copy(NULL, double_all, &p, sizeof p);
}
