/// java/machine.c: threads of goroutines in the Java virtual machine, and its exceptions.
///
/// A goroutine's thread is attached as a daemon: goroutines do not keep the machine from ending, as they do not keep a C program. Classes and
/// methods are looked up once, when the library is loaded, because an attached thread has no class loader to find them by.
#include "machine.h"

#include <ecru/ecru.h>
#include <stdbool.h>

enum { NAME_ROOM = 32, THREADS_MAX = 1000000 };

static JavaVM *machine;
static jclass goroutines, exception;
static jmethodID run, unobserved, exception_of;

static jclass find_class(JNIEnv *env, const char *name) {
  jclass found = (*env)->FindClass(env, name);
  return found ? (*env)->NewGlobalRef(env, found) : NULL;
}

/// SIGSEGV is the machine's, which has it for references that are null and for its safepoints; and threads are as many as the system bears.
static int choose_options(void) {
  ecru_options options = ECRU_OPTIONS;
  options.flags = ECRU_NO_SIGNAL_HANDLERS;
  options.threads_max = THREADS_MAX;
  return ecru_set_default_options(&options);
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *unused) {
  (void)unused;
  JNIEnv *env;
  machine = vm;
  if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_10) != JNI_OK) return JNI_ERR;
  goroutines = find_class(env, "dev/ecru/Goroutines");
  if (goroutines) exception = find_class(env, "dev/ecru/EcruException");
  if (!exception) return JNI_ERR;
  run = (*env)->GetStaticMethodID(env, goroutines, "run", "(J)I");
  if (run) unobserved = (*env)->GetStaticMethodID(env, goroutines, "unobserved", "(JI)V");
  if (unobserved) exception_of = (*env)->GetStaticMethodID(env, exception, "of", "(I)Ldev/ecru/EcruException;");
  if (!exception_of) return JNI_ERR;
  ecru_java_set_language();
  return choose_options() == 0 ? JNI_VERSION_10 : JNI_ERR;
}

void ecru_java_throw(JNIEnv *env, int status) {
  if ((*env)->ExceptionCheck(env)) return;
  jobject thrown = (*env)->CallStaticObjectMethod(env, exception, exception_of, (jint)status);
  if ((*env)->ExceptionCheck(env)) return; // no memory for one
  (void)(*env)->Throw(env, thrown);
  (*env)->DeleteLocalRef(env, thrown);
}

jbyteArray ecru_java_bytes(JNIEnv *env, const char *data, size_t length) {
  if (!data) return NULL;
  jbyteArray array = (*env)->NewByteArray(env, (jsize)length);
  if (array) (*env)->SetByteArrayRegion(env, array, 0, (jsize)length, (const jbyte *)data);
  return array;
}

static JNIEnv *attach(void) {
  char name[NAME_ROOM] = "";
  (void)ecru_name(name, sizeof name);
  JavaVMAttachArgs arguments = {JNI_VERSION_10, name[0] ? name : "goroutine", NULL};
  void *env = NULL;
  return (*machine)->AttachCurrentThreadAsDaemon(machine, &env, &arguments) == JNI_OK ? env : NULL;
}

int ecru_java_run(int64_t ticket) {
  JNIEnv *env = attach();
  if (!env) return ECRU_ETHREADS;
  int status = (*env)->CallStaticIntMethod(env, goroutines, run, (jlong)ticket);
  if ((*env)->ExceptionCheck(env)) { // nothing left to handle the exception with
    (*env)->ExceptionClear(env);
    status = ECRU_EPANIC;
  }
  (void)(*machine)->DetachCurrentThread(machine);
  return status;
}

void ecru_java_unobserved(uint64_t task_id, const char *name, int status) {
  (void)name;
  void *known = NULL;
  bool attached = (*machine)->GetEnv(machine, &known, JNI_VERSION_10) == JNI_OK;
  JNIEnv *env = attached ? known : attach();
  if (!env) return;
  (*env)->CallStaticVoidMethod(env, goroutines, unobserved, (jlong)task_id, (jint)status);
  if ((*env)->ExceptionCheck(env)) (*env)->ExceptionClear(env);
  if (!attached) (void)(*machine)->DetachCurrentThread(machine);
}
