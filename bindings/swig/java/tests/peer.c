/// java/tests/peer.c: the goroutines of swig/tests/peer.h for dev.ecru.Peer.
#include <jni.h>

#include "../../tests/peer.h"

JNIEXPORT jint JNICALL Java_dev_ecru_Peer_doubleAll(JNIEnv *env, jclass class, jlong from, jlong to) {
  (void)env;
  (void)class;
  return ecru_peer_double(from, to);
}

JNIEXPORT jint JNICALL Java_dev_ecru_Peer_reverseAll(JNIEnv *env, jclass class, jlong from, jlong to) {
  (void)env;
  (void)class;
  return ecru_peer_reverse(from, to);
}
