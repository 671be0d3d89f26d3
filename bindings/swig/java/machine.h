/// java/machine.h: what the wrapper has of the Java virtual machine.
#ifndef ECRU_SWIG_JAVA_MACHINE_H
#define ECRU_SWIG_JAVA_MACHINE_H
#include <jni.h>
#include <stddef.h>
#include <stdint.h>

/// Makes an EcruException of a status the thread's pending exception, unless there is one.
void ecru_java_throw(JNIEnv *env, int status);
/// An array with a copy of the bytes; NULL of NULL, and if there is no memory, which is a pending exception then.
jbyteArray ecru_java_bytes(JNIEnv *env, const char *data, size_t length);

/// language.run: attaches the thread, a daemon to Java, for as long as Goroutines.run takes.
int ecru_java_run(int64_t ticket);
/// language.unobserved: Goroutines.unobserved.
void ecru_java_unobserved(uint64_t task_id, const char *name, int status);
/// In the wrapper, which has threads.h: tells it of these two.
void ecru_java_set_language(void);
#endif
