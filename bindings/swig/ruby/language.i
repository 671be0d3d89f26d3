// language.i: ecru.i for Ruby. The classes that users see as they are here are the generated ones (Ecru::Token, Mutex, Timer, Io ...); what has Ruby
// objects or blocks in it (Chan, select, Task, Group, scopes) is written by hand in lib/ over Native... ones.
#define ECRU_SWIG_THREADS

%{
#include "errors.h"

#undef SWIG_exception_fail // whatever SWIG finds wrong has code and name, too
#define SWIG_exception_fail(code, message) ecru_ruby_raise(ECRU_EINVAL, message)
%}

%include <typemaps.i>
%rename(NativeChan) Chan;
%rename(NativeSelect) Select;
%rename(NativeTask) Task;
%ignore Group; // lib/ecru/group.rb: its threads are Ruby's
%ignore Task::Task;

// ---- the status ----------------------------------------------------------------------------------------------------------
%typemap(in, numinputs=0) int *status (int status) { status = 0; $1 = &status; }
%typemap(argout) int *status {
  if (*$1 < 0) ecru_ruby_raise(*$1, NULL);
}

// ---- values --------------------------------------------------------------------------------------------------------------
/// Seconds, or nil: no end.
%typemap(in) int64_t timeout_ns, int64_t duration_ns, int64_t period_ns { $1 = ecru_ruby_duration($input); }
%typemap(in) int64_t { $1 = ecru_ruby_integer($input, INT64_MIN, INT64_MAX); }
%typemap(in) int { $1 = (int)ecru_ruby_integer($input, INT32_MIN, INT32_MAX); }
%typemap(in) size_t { $1 = (size_t)ecru_ruby_integer($input, 0, INT64_MAX); }
%typemap(in) double { $1 = ecru_ruby_number($input); }
%typemap(in) int cause { $1 = NIL_P($input) ? 0 : (int)ecru_ruby_integer($input, INT32_MIN, INT32_MAX); }
%typemap(out) int64_t { $result = LL2NUM($1); }
%typemap(out) uint64_t { $result = ULL2NUM($1); }
%typemap(default) int64_t timeout_ns { $1 = -1; }
%typemap(default) int64_t n { $1 = 1; }
%typemap(default) int cause { $1 = 0; }
%typemap(default) Token *parent { $1 = NULL; }
%typemap(default) size_t most { $1 = 65536; }

// Text stays as it is while others run: frozen, and seen by the collector from the stack.
%typemap(in) const char * (VALUE text) {
  text = $input;
  $1 = (char *)ecru_ruby_text(&text);
}
%typemap(freearg) const char * { RB_GC_GUARD(text$argnum); }
%typemap(in) (const char *data, size_t length) (VALUE text) {
  text = $input;
  $1 = (char *)ecru_ruby_data(&text, &$2);
}
%typemap(freearg) (const char *data, size_t length) { RB_GC_GUARD(text$argnum); }
%typemap(out) bytes { $result = ecru_ruby_take_bytes($1.data, $1.length); }

// ---- by hand --------------------------------------------------------------------------------------------------------------
%wrapper %{
#include "waits.h"
#include "fibers.h"
#include "forks.h"
#include "values.h"
%}
%init %{
  ecru_ruby_values(mCore);
  ecru_ruby_fibers();
  rb_gc_register_address(&signal_watcher);
  set_language((language_functions){NULL, NULL});
  ecru_ruby_options();
  (void)ecru_set_deadlock_hook(ecru_ruby_deadlock, NULL);
  ecru_ruby_forks(mCore);
%}
