// language.i: ecru.i for C#. The classes that users see as they are here are the generated ones (Token, Mutex, Timer, Io ...); what has objects or
// delegates in it (Chan, Select, Goroutine, Group, Scope) is written by hand in src/ over Native... classes.
#define ECRU_SWIG_THREADS

// ---- the module ----------------------------------------------------------------------------------------------------------
%include <typemaps.i>
%csconst(1);
#define ECRU_SWIG_FUNCTION_NAMES "%(camelcase)s"
#define timeout_ns timeout // names of parameters, whose type says the unit
#define duration_ns duration
#define period_ns period
%rename(NativeChan) Chan;
%rename(NativeSelect) Select;
%rename(NativeTask) Task;
%ignore Group; // src/Group.cs: its threads are the machine's
%ignore Task::Task;
%typemap(csclassmodifiers) struct Chan, struct Select, struct Task, struct Job "internal sealed class"
%typemap(csclassmodifiers) SWIGTYPE "public sealed class"
%pragma(csharp) moduleclassmodifiers="public static class"
%pragma(csharp) imclassclassmodifiers="internal class"

// ---- the status: an exception made by Ecru.Errors --------------------------------------------------------------------------
%{
#ifdef _WIN32
#define ECRU_CSHARP_CALL __stdcall
#define ECRU_CSHARP_EXPORT __declspec(dllexport)
#else
#define ECRU_CSHARP_CALL
#define ECRU_CSHARP_EXPORT __attribute__((visibility("default")))
#include <dlfcn.h>
#endif
#include <unistd.h>
/// status: 0: the process ends, and so does the calling thread.
typedef void(ECRU_CSHARP_CALL *ecru_csharp_failed_fn)(int status);
static ecru_csharp_failed_fn ecru_csharp_failed; // set once, before anything is called
static _Atomic bool ecru_csharp_ends;            // relaxed: set before those who wait are woken for it

/// What read by one call becomes a byte[]: its length, then its bytes. NULL: none, or no memory.
static void *ecru_csharp_block(char *data, size_t length) {
  int64_t *block = data ? malloc(sizeof *block + length) : NULL;
  if (block) {
    *block = (int64_t)length;
    memcpy(block + 1, data, length);
  }
  free(data);
  return block;
}
%}
%typemap(in, numinputs=0) int *status (int status) { status = 0; $1 = &status; }
%typemap(argout, canthrow=1) int *status {
  if (*$1 < 0) ecru_csharp_failed(atomic_load_explicit(&ecru_csharp_ends, memory_order_relaxed) ? 0 : *$1);
}

// ---- values --------------------------------------------------------------------------------------------------------------
%apply long long { int64_t };
%apply unsigned long long { uint64_t };
%apply long long *OUTPUT { int64_t *OUTPUT };
/// null: no end.
%typemap(cstype) int64_t timeout, int64_t duration, int64_t period "global::System.TimeSpan?"
%typemap(csin) int64_t timeout, int64_t duration, int64_t period "Durations.Nanoseconds($csinput)"
%typemap(ctype) size_t "unsigned long long"
%typemap(imtype) size_t "ulong"
%typemap(cstype) size_t "long"
%typemap(csin) size_t "Durations.Size($csinput)"
%typemap(in) size_t { $1 = (size_t)$input; }

%typemap(ctype) bytes "void *"
%typemap(imtype) bytes "global::System.IntPtr"
%typemap(cstype) bytes "byte[]"
%typemap(out, null="0") bytes { $result = ecru_csharp_block($1.data, $1.length); }
%typemap(csout, excode=SWIGEXCODE) bytes {
    byte[] taken = Blocks.Take($imcall);$excode
    return taken;
  }
%typemap(ctype) (const char *data, size_t length) "void *"
%typemap(imtype) (const char *data, size_t length) "global::System.IntPtr"
%typemap(cstype) (const char *data, size_t length) "byte[]"
%typemap(csin, pre="    global::System.IntPtr block = Blocks.Make($csinput);", post="      Blocks.Free(block);") (const char *data, size_t length) "block"
%typemap(in) (const char *data, size_t length) {
  $1 = (char *)((int64_t *)$input + 1);
  $2 = (size_t)*(int64_t *)$input;
}

// ---- objects: a SafeHandle each, dropped by its finalizer; Dispose closes, at any time -----------------------------------------
%typemap(imtype, out="global::System.IntPtr") SWIGTYPE * "Handle"
%typemap(csin) SWIGTYPE * "global::Ecru.$csclassname.HandleOf($csinput)"
%typemap(csbody) SWIGTYPE %{
  private readonly Handle swigCPtr;

  internal $csclassname(global::System.IntPtr pointer, bool owned) {
    swigCPtr = new Handle(pointer);
  }

  internal static Handle HandleOf($csclassname one) {
    return one == null ? Handle.None : one.swigCPtr;
  }
%}
%typemap(csout, excode=SWIGEXCODE) SWIGTYPE * {
    global::System.IntPtr pointer = $imcall;$excode
    return pointer == global::System.IntPtr.Zero ? null : new $csclassname(pointer, true);
  }
%typemap(csinterfaces) SWIGTYPE "global::System.IDisposable"
%typemap(csdispose) SWIGTYPE ""
%typemap(csdisposing, methodname="Dispose", methodmodifiers="private", parameters="bool disposing") SWIGTYPE ""
%define DISPOSABLE(Type, MORE...)
%typemap(csinterfaces) struct Type "global::System.IDisposable"
%typemap(cscode) struct Type %{
  /// <summary>Closes it: calls from now on fail with ECLOSED, those under way end as they will.</summary>
  public void Dispose() { Close(); }
  MORE
%}
%enddef
%typemap(csinterfaces) struct Job ""
DISPOSABLE(Token, public void Cancel() { Cancel(0); })
DISPOSABLE(Mutex)
DISPOSABLE(RWMutex)
DISPOSABLE(Cond)
DISPOSABLE(WaitGroup)
DISPOSABLE(Semaphore, public void Acquire() { Acquire(1); } public void Release() { Release(1); })
DISPOSABLE(Barrier)
DISPOSABLE(Limiter, public void Wait() { Wait(1); })
DISPOSABLE(Timer)
DISPOSABLE(Io)
DISPOSABLE(Task)
DISPOSABLE(Select)
%typemap(csinterfaces) struct Chan ""

%wrapper %{
/// Once, before anything is called: what makes an exception of a status. SIGSEGV is the machine's, and threads are as many as the system bears.
ECRU_CSHARP_EXPORT void ECRU_CSHARP_CALL ecru_csharp_start(ecru_csharp_failed_fn failed) {
  ecru_options options = ECRU_OPTIONS;
  options.flags = ECRU_NO_SIGNAL_HANDLERS;
  options.threads_max = 1000000;
  ecru_csharp_failed = failed;
  set_language((language_functions){NULL, NULL});
  (void)ecru_set_default_options(&options);
}
/// Mono tells of the end by an event first. Once the program's handlers of that are through whoever waits is cancelled.
static void *ecru_csharp_stop(void *unused) {
  int (*is_over)(void) = NULL;
#ifndef _WIN32
  is_over = (int (*)(void))dlsym(RTLD_DEFAULT, "mono_runtime_is_shutting_down");
#endif
  while (is_over && !is_over()) (void)usleep(2000);
  atomic_store_explicit(&ecru_csharp_ends, true, memory_order_relaxed);
  (void)ecru_stop();
  return unused;
}
/// The process is about to end, which the caller does not wait for.
ECRU_CSHARP_EXPORT void ECRU_CSHARP_CALL ecru_csharp_end(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, ecru_csharp_stop, NULL) == 0) (void)pthread_detach(thread);
}
ECRU_CSHARP_EXPORT void ECRU_CSHARP_CALL ecru_csharp_drop(void *object) { handle_drop(object); }
ECRU_CSHARP_EXPORT void ECRU_CSHARP_CALL ecru_csharp_free(void *block) { free(block); }
%}
%pragma(csharp) imclasscode=%{
  internal static readonly bool Started = Errors.Start();
%}
