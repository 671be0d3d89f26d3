// language.i: ecru.i for Java. The classes that users see as they are here are the generated ones (Token, Mutex, Timer, Io ...); what has Java objects
// or functions in it (Chan, LongChan, ByteChan, Select, Task, Group, Ecru) is written by hand over Native... classes of this package.
#define ECRU_SWIG_THREADS

%{
#include "machine.h"
%}

// ---- the module ----------------------------------------------------------------------------------------------------------
%include <typemaps.i>
%javaconst(1);
%pragma(java) moduleclassmodifiers="final class"
#define timeout_ns timeout // names of parameters, whose type says the unit
#define duration_ns duration
#define period_ns period
%pragma(java) jniclassclassmodifiers="final class"
%pragma(java) jniclasscode=%{
  static { NativeLibrary.load(); }
%}
#define ECRU_SWIG_FUNCTION_NAMES "%(lowercamelcase)s"
%rename(await) *::wait;
%rename(NativeChan) Chan;
%rename(NativeSelect) Select;
%rename(NativeTask) Task;
%rename(NativeGroup) Group;
%ignore Job;
%ignore Task::adopt;
%typemap(javaclassmodifiers) struct Chan, struct Select, struct Task, struct Group "final class"
%typemap(javaclassmodifiers) SWIGTYPE "public final class"

// ---- the status ----------------------------------------------------------------------------------------------------------
%typemap(in, numinputs=0) int *status (int status) { status = 0; $1 = &status; }
%typemap(argout) int *status {
  if (*$1 < 0) ecru_java_throw(jenv, *$1);
}

// ---- values --------------------------------------------------------------------------------------------------------------
%apply long long { int64_t, uint64_t };
/// null: no end.
%typemap(jstype) int64_t timeout, int64_t duration, int64_t period "java.time.Duration"
%typemap(javain) int64_t timeout, int64_t duration, int64_t period "Durations.nanoseconds($javainput)"

%typemap(jni) bytes "jbyteArray"
%typemap(jtype) bytes "byte[]"
%typemap(jstype) bytes "byte[]"
%typemap(javaout) bytes { return $jnicall; }
%typemap(out) bytes {
  $result = ecru_java_bytes(jenv, $1.data, $1.length);
  free($1.data);
}

%typemap(jni) (const char *data, size_t length) "jbyteArray"
%typemap(jtype) (const char *data, size_t length) "byte[]"
%typemap(jstype) (const char *data, size_t length) "byte[]"
%typemap(javain) (const char *data, size_t length) "$javainput"
%typemap(in) (const char *data, size_t length) {
  if (!$input) {
    ecru_java_throw(jenv, ECRU_EINVAL);
    return $null;
  }
  $1 = (char *)(*jenv)->GetByteArrayElements(jenv, $input, NULL);
  if (!$1) return $null;
  $2 = (size_t)(*jenv)->GetArrayLength(jenv, $input);
}
%typemap(freearg) (const char *data, size_t length) {
  if ($1) (*jenv)->ReleaseByteArrayElements(jenv, $input, (jbyte *)$1, JNI_ABORT);
}

// ---- objects: dropped by a Cleaner, which calls nothing of theirs; close() only closes, so that it can come at any time -------------------
%typemap(javafinalize) SWIGTYPE ""
%typemap(javainterfaces) struct Token, struct Mutex, struct RWMutex, struct Cond, struct WaitGroup, struct Semaphore, struct Barrier, struct Limiter, struct Timer, struct Io "AutoCloseable"
%typemap(javabody) SWIGTYPE %{
  private final long swigCPtr;

  $javaclassname(long pointer, boolean owned) {
    swigCPtr = pointer;
    NativeLibrary.CLEANER.register(this, () -> $imclassname.delete_$javaclassname(pointer));
  }

  static long getCPtr($javaclassname object) {
    return object == null ? 0 : object.swigCPtr;
  }
%}
%typemap(javadestruct, methodname="delete", methodmodifiers="private") SWIGTYPE ""

// Scopes are try blocks: Scope.
%javamethodmodifiers Token::enter "";
%typemap(javacode) struct Token %{
  /** A child of the caller's current token. */
  public Token() {
    this(null, null);
  }

  /** A child of the caller's current token that fires by itself after so long. */
  public Token(java.time.Duration timeout) {
    this(null, timeout);
  }

  /** Fires it, and all below it. */
  public void cancel() {
    cancel(0);
  }
%}
%typemap(javacode) struct Semaphore %{
  /** Takes one permit. */
  public void acquire() {
    acquire(1);
  }

  /** Gives one permit back. */
  public void release() {
    release(1);
  }
%}
%typemap(javacode) struct Limiter %{
  /** Waits for one event's turn. */
  public void await() {
    await(1);
  }
%}

%wrapper %{
void ecru_java_set_language(void) { set_language((language_functions){ecru_java_run, ecru_java_unobserved}); }
%}
