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
/// The Hash of a channel's object; nil: whose initialize did not run.
static VALUE hash_of(VALUE objects) {
  if (!RB_TYPE_P(objects, T_HASH)) ecru_ruby_raise(ECRU_EINVAL, "a channel was expected: does its class's initialize call super?");
  return objects;
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
  if (s->sent) forget_pushed_out(s->objects); // else it may be another channel's, whose numbers are no tickets
  else rb_hash_delete(s->objects, s->ticket);
  return Qnil;
}
static VALUE send_object(VALUE native, VALUE objects, VALUE object, bool try_only) {
  object_sending s = {native, hash_of(objects), LL2NUM(last_ticket + 1), ++last_ticket, try_only, false, 0};
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
  (void)hash_of(objects);
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
  rb_hash_aset(hash_of(objects), ticket, object);
  return ticket;
}

/// Core.interrupts: lets Ruby do what it has ended a wait for.
static VALUE core_interrupts(VALUE self) {
  (void)self;
  rb_thread_check_ints();
  return Qnil;
}

// ---- entering and leaving ------------------------------------------------------------------------------------------------

/// A way in and a way out. Both are called from C, not as methods: Ruby looks for interrupts when a method returns, so one would come between the
/// way in and the block, and what was entered would stay so.
typedef struct passage {
  const char *name;
  swig_type_info **type; // of the object; NULL: there is none
  int64_t (*amount_of)(VALUE amount); // NULL: there is none
  void (*enter)(void *object, int64_t amount, int *status);
  void (*leave)(void *object, int64_t amount, int *status);
} passage;
typedef struct passing {
  const passage *passage;
  void *object;
  int64_t amount;
} passing;

#define PASSAGE_OF(name, Type, in, out)                                                                         \
  static void enter_##name(void *object, int64_t amount, int *status) { (void)amount, in((Type *)object, status); } \
  static void leave_##name(void *object, int64_t amount, int *status) { (void)amount, out((Type *)object, status); }
PASSAGE_OF(lock, Mutex, Mutex_lock, Mutex_unlock)
PASSAGE_OF(write, RWMutex, RWMutex_lock, RWMutex_unlock)
PASSAGE_OF(read, RWMutex, RWMutex_read_lock, RWMutex_read_unlock)
static void enter_hold(void *object, int64_t permits, int *status) { Semaphore_acquire(object, permits, status); }
static void leave_hold(void *object, int64_t permits, int *status) { Semaphore_release(object, permits, status); }
static void entered(const int *status) {
  if (*status >= 0) ecru_ruby_scope_entered();
}
static void enter_under(void *object, int64_t unused, int *status) { (void)unused, Token_enter(object, status), entered(status); }
static void enter_timeout_of(void *unused, int64_t ns, int *status) { (void)unused, enter_timeout(ns, status), entered(status); }
static void enter_shield_of(void *unused, int64_t ns, int *status) { (void)unused, enter_shield(ns, status), entered(status); }
static void leave_token(void *object, int64_t amount, int *status) {
  (void)object, (void)amount;
  if (ecru_ruby_scope_left()) leave_scope(status);
}
static int64_t permits_of(VALUE permits) { return ecru_ruby_integer(permits, INT64_MIN, INT64_MAX); }

static const passage passages[] = {
  {"synchronize", &SWIGTYPE_p_Mutex, NULL, enter_lock, leave_lock},
  {"write", &SWIGTYPE_p_RWMutex, NULL, enter_write, leave_write},
  {"read", &SWIGTYPE_p_RWMutex, NULL, enter_read, leave_read},
  {"hold", &SWIGTYPE_p_Semaphore, permits_of, enter_hold, leave_hold},
  {"under", &SWIGTYPE_p_Token, NULL, enter_under, leave_token},
  {"timeout", NULL, ecru_ruby_duration, enter_timeout_of, leave_token},
  {"shield", NULL, ecru_ruby_duration, enter_shield_of, leave_token},
};
static const passage *passage_named(VALUE name) {
  const char *text = RB_SYMBOL_P(name) ? rb_id2name(SYM2ID(name)) : "";
  for (size_t i = 0; i < sizeof passages / sizeof *passages; i++)
    if (strcmp(passages[i].name, text) == 0) return &passages[i];
  ecru_ruby_raise(ECRU_EINVAL, NULL);
  return NULL;
}
static passing passing_of(VALUE name, VALUE object, VALUE amount) {
  passing p = {.passage = passage_named(name)};
  if (p.passage->type && (!SWIG_IsOK(SWIG_ConvertPtr(object, &p.object, *p.passage->type, 0)) || !p.object)) ecru_ruby_raise(ECRU_EINVAL, NULL);
  if (p.passage->amount_of) p.amount = p.passage->amount_of(amount);
  return p;
}
static VALUE yield_nothing(VALUE unused) {
  (void)unused;
  return rb_yield_values(0);
}
static VALUE pass_out(VALUE argument) {
  passing *p = (passing *)argument;
  int status = 0;
  p->passage->leave(p->object, p->amount, &status);
  if (status < 0) ecru_ruby_raise(status, NULL);
  return Qnil;
}
/// Core.between(:synchronize, object or nil, amount or nil) { }: no interrupt comes between the way in and the block, or the block and the way out.
static VALUE core_between(VALUE self, VALUE name, VALUE object, VALUE amount) {
  (void)self;
  int status = 0;
  if (!rb_block_given_p()) ecru_ruby_raise(ECRU_EINVAL, "a block was expected");
  passing p = passing_of(name, object, amount);
  p.passage->enter(p.object, p.amount, &status);
  if (status < 0) ecru_ruby_raise(status, NULL);
  VALUE value = rb_ensure(yield_nothing, Qnil, pass_out, (VALUE)&p);
  RB_GC_GUARD(object);
  return value;
}

static void ecru_ruby_values(VALUE module) {
  rb_define_module_function(module, "send_object", core_send_object, 3);
  rb_define_module_function(module, "try_send_object", core_try_send_object, 3);
  rb_define_module_function(module, "recv_object", core_recv_object, 4);
  rb_define_module_function(module, "hold", core_hold, 2);
  rb_define_module_function(module, "interrupts", core_interrupts, 0);
  rb_define_module_function(module, "between", core_between, 3);
}
#endif
