/// ruby/values.h: any Ruby object through a channel. Included by the wrapper that SWIG writes, after waits.h.
///
/// Elements are tickets, the objects are in a Hash of the channel's object, which the collector, the compactor and cycles know. What is
/// changed here is changed under Ruby's lock, and no interrupt comes between a change of the Hash and that of the channel.
#ifndef ECRU_RUBY_VALUES_H
#define ECRU_RUBY_VALUES_H

static int64_t last_ticket; // under Ruby's lock

static Chan *chan_of(VALUE native) {
  void *chan = NULL;
  if (!SWIG_IsOK(SWIG_ConvertPtr(native, &chan, SWIGTYPE_p_Chan, 0)) || !chan) ecru_ruby_raise(ECRU_EINVAL, "a channel was expected");
  return chan;
}
static void forget_pushed_out(VALUE objects) {
  int64_t ticket = Chan_pushed_out();
  if (ticket) rb_hash_delete(objects, LL2NUM(ticket));
}

typedef struct object_sending {
  VALUE native, objects, ticket;
  int64_t number;
  bool try_only, sent;
  int status;
} object_sending;
static VALUE send_ticket(VALUE argument) {
  object_sending *s = (object_sending *)argument;
  Chan *chan = chan_of(s->native);
  s->status = s->try_only ? 0 : ecru_check();
  if (s->status < 0) return Qnil;
  // Nobody waits for what is not the only one, so nobody is woken who would then wait for Ruby's lock: it is kept.
  if (s->try_only || Chan_len(chan, &s->status) > 0) s->sent = Chan_try_send(chan, s->number, &s->status);
  if (s->sent || s->status < 0 || s->try_only) return Qnil;
  Chan_send(chan, s->number, &s->status);
  s->sent = s->status >= 0;
  return Qnil;
}
static VALUE end_sending(VALUE argument) {
  object_sending *s = (object_sending *)argument;
  if (!s->sent) rb_hash_delete(s->objects, s->ticket);
  forget_pushed_out(s->objects);
  return Qnil;
}
static VALUE send_object(VALUE native, VALUE objects, VALUE object, bool try_only) {
  object_sending s = {native, objects, LL2NUM(last_ticket + 1), ++last_ticket, try_only, false, 0};
  rb_hash_aset(objects, s.ticket, object);
  rb_ensure(send_ticket, (VALUE)&s, end_sending, (VALUE)&s);
  if (s.status < 0) ecru_ruby_raise(s.status, NULL);
  RB_GC_GUARD(objects);
  return s.sent ? Qtrue : Qfalse;
}
/// Core.send_object(native, objects, object)
static VALUE core_send_object(VALUE self, VALUE native, VALUE objects, VALUE object) {
  (void)self;
  return send_object(native, objects, object, false);
}
static VALUE core_try_send_object(VALUE self, VALUE native, VALUE objects, VALUE object) {
  (void)self;
  return send_object(native, objects, object, true);
}

/// Core.recv_object(native, objects, ended, waits): `ended` instead of an error at the channel's end, or if nothing is there (not waits).
static VALUE core_recv_object(VALUE self, VALUE native, VALUE objects, VALUE ended, VALUE waits) {
  (void)self;
  int64_t ticket = 0;
  int status = RTEST(waits) ? ecru_check() : 0;
  Chan *chan = chan_of(native);
  bool got = false; // as in send_ticket
  if (status >= 0 && (!RTEST(waits) || Chan_len(chan, &status) > 0)) got = Chan_try_recv(chan, &ticket, &status);
  if (status >= 0 && !got && RTEST(waits)) {
    ticket = Chan_recv(chan, &status);
    got = status >= 0;
  }
  RB_GC_GUARD(native);
  if (status == ECRU_ECLOSED && RTEST(waits) && !NIL_P(ended)) return ended;
  if (status < 0) ecru_ruby_raise(status, NULL);
  return got ? rb_hash_delete(objects, LL2NUM(ticket)) : ended;
}

/// Core.hold(objects, object): a ticket for a send of select's.
static VALUE core_hold(VALUE self, VALUE objects, VALUE object) {
  (void)self;
  VALUE ticket = LL2NUM(++last_ticket);
  rb_hash_aset(objects, ticket, object);
  return ticket;
}

/// Core.interrupts: lets Ruby do what it has ended a wait for.
static VALUE core_interrupts(VALUE self) {
  (void)self;
  rb_thread_check_ints();
  return Qnil;
}

// ---- entering and leaving ------------------------------------------------------------------------------------------------

static VALUE yield_nothing(VALUE unused) {
  (void)unused;
  return rb_yield_values(0);
}
static VALUE leave_object(VALUE argument) {
  VALUE *object_and_method = (VALUE *)argument;
  return rb_funcall(object_and_method[0], (ID)object_and_method[1], 0);
}
/// Core.between(object, :enter, :leave, arguments ...) { }: no interrupt comes between the one and the block, or the block and the other.
static VALUE core_between(int argc, VALUE *argv, VALUE self) {
  (void)self;
  if (argc < 3) ecru_ruby_raise(ECRU_EINVAL, NULL);
  VALUE object_and_method[2] = {argv[0], (VALUE)SYM2ID(argv[2])};
  rb_funcallv(argv[0], SYM2ID(argv[1]), argc - 3, argv + 3);
  return rb_ensure(yield_nothing, Qnil, leave_object, (VALUE)object_and_method);
}

static void ecru_ruby_values(VALUE module) {
  rb_define_module_function(module, "send_object", core_send_object, 3);
  rb_define_module_function(module, "try_send_object", core_try_send_object, 3);
  rb_define_module_function(module, "recv_object", core_recv_object, 4);
  rb_define_module_function(module, "hold", core_hold, 2);
  rb_define_module_function(module, "interrupts", core_interrupts, 0);
  rb_define_module_function(module, "between", core_between, -1);
}
#endif
