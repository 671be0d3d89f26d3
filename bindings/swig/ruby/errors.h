/// ruby/errors.h: Ecru::Error with code and name, and values of Ruby's in C. Included by the wrapper that SWIG writes.
#ifndef ECRU_RUBY_ERRORS_H
#define ECRU_RUBY_ERRORS_H
#include <ecru/ecru.h>
#include <math.h>
#include <ruby.h>
#include <stdlib.h>

/// Ecru.error(code, message): lib/ecru/error.rb knows the classes.
static inline void ecru_ruby_raise(int status, const char *message) {
  VALUE text = message ? rb_str_new_cstr(message) : Qnil;
  rb_exc_raise(rb_funcall(rb_const_get(rb_cObject, rb_intern("Ecru")), rb_intern("error"), 2, INT2NUM(status), text));
}

static inline int64_t ecru_ruby_integer(VALUE value, int64_t least, int64_t most) {
  int64_t number = 0;
  if (!RB_INTEGER_TYPE_P(value)) ecru_ruby_raise(ECRU_EINVAL, "an Integer was expected");
  int sign = rb_integer_pack(value, &number, 1, sizeof number, 0, INTEGER_PACK_NATIVE_BYTE_ORDER | INTEGER_PACK_LSWORD_FIRST | INTEGER_PACK_2COMP);
  bool too_large = sign > 1 || sign < -1 || (sign > 0 && number < 0) || (sign < 0 && number >= 0);
  if (too_large || number < least || number > most) ecru_ruby_raise(ECRU_EINVAL, "an Integer out of range");
  return number;
}
static inline double ecru_ruby_number(VALUE value) {
  bool real = rb_obj_is_kind_of(value, rb_cNumeric) && RTEST(rb_funcall(value, rb_intern("real?"), 0)); // Complex is Numeric, too
  if (!real) ecru_ruby_raise(ECRU_EINVAL, "a real number was expected");
  return NUM2DBL(value);
}
/// Nanoseconds of seconds; nil: -1, no end.
static inline int64_t ecru_ruby_duration(VALUE seconds) {
  if (NIL_P(seconds)) return -1;
  double ns = ecru_ruby_number(seconds) * 1e9;
  if (isnan(ns)) ecru_ruby_raise(ECRU_EINVAL, "seconds were expected");
  if (ns < 0) return 0;
  return ns < 9e18 ? (int64_t)ns : -1;
}

static inline const char *ecru_ruby_data(VALUE *text, size_t *length) {
  if (!RB_TYPE_P(*text, T_STRING)) ecru_ruby_raise(ECRU_EINVAL, "a String was expected");
  *text = rb_str_new_frozen(*text);
  *length = (size_t)RSTRING_LEN(*text);
  return RSTRING_PTR(*text);
}
/// nil: NULL.
static inline const char *ecru_ruby_text(VALUE *text) {
  size_t length = 0;
  if (NIL_P(*text)) return NULL;
  const char *data = ecru_ruby_data(text, &length);
  if (memchr(data, 0, length)) ecru_ruby_raise(ECRU_EINVAL, "a String without zeros was expected");
  return StringValueCStr(*text);
}

struct taken_bytes {
  char *data;
  size_t length;
};
static inline VALUE ecru_ruby_string_of(VALUE taken) {
  struct taken_bytes *bytes = (struct taken_bytes *)taken;
  return rb_str_new(bytes->data, (long)bytes->length);
}
static inline VALUE ecru_ruby_free_bytes(VALUE taken) {
  free(((struct taken_bytes *)taken)->data);
  return Qnil;
}
/// A String of them, which are freed also if there is no memory for it; nil for NULL.
static inline VALUE ecru_ruby_take_bytes(char *data, size_t length) {
  if (!data) return Qnil;
  struct taken_bytes bytes = {data, length};
  return rb_ensure(ecru_ruby_string_of, (VALUE)&bytes, ecru_ruby_free_bytes, (VALUE)&bytes);
}

#endif
