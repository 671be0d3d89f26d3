/// swig/threads.h: channels, select, tasks and groups for languages whose goroutines are threads of their virtual machine (threads.i).
///
/// - A goroutine of theirs is ECRU_OWN_THREAD: `language.run` makes the thread known to the machine and runs the function of a ticket there.
///   A language that cannot do that with a thread it has not made starts one itself and adopts a task through a Job: a goroutine that
///   waits for the job's end stands for the thread.
/// - A ticket stands for an object of the language in a table of the language's: of a channel's own for values, so that the collector
///   finds them through the channel alone, cycles too. It is not 0 and fits a pointer. C counts nothing and keeps nothing alive.
/// - A group's goroutine is a plain one that waits for the thread: groups start no threads, and what it takes is a page.
#ifndef ECRU_SWIG_THREADS_H
#define ECRU_SWIG_THREADS_H
#include "objects.h"

/// What a language does for C; set by its module before anything is started.
typedef struct language_functions {
  /// Runs the function of a ticket, in the thread of a goroutine that has one to itself. returns: its status.
  int (*run)(int64_t ticket);
  /// A task has failed and nobody has asked for that. On a thread's own stack; any thread, also one that the machine does not know.
  void (*unobserved)(uint64_t task_id, const char *name, int status);
} language_functions;
static language_functions language;

// ---- channels ----------------------------------------------------------------------------------------------------------

/// Elements are numbers, which may be tickets, or bytes, which are the channel's until somebody receives them.
typedef struct Chan {
  handle handle;
  bool of_bytes; // set once
} Chan;

/// The ticket that the calling thread's last send has pushed out of a full channel. Only threads of the language send tickets.
static _Thread_local int64_t pushed_out;
static inline int64_t Chan_pushed_out(void) {
  int64_t ticket = pushed_out;
  pushed_out = 0;
  return ticket;
}
static inline void drop_number(void *unused, void *element) {
  (void)unused;
  memcpy(&pushed_out, element, sizeof pushed_out);
}
static inline void drop_bytes(void *unused, void *element) {
  (void)unused;
  free(((bytes *)element)->data);
}

static inline void Chan_destroy(void *object) { ecru_chan_release(object); }
static inline void delete_Chan(Chan *self) { handle_drop(self ? &self->handle : NULL); }
static inline Chan *Chan_of(ecru_chan *chan, bool of_bytes, int *status) {
  Chan *self = handle_create(sizeof(Chan), chan, Chan_destroy, status);
  if (self) self->of_bytes = of_bytes;
  return self;
}
static inline Chan *new_Chan(int64_t capacity, bool of_bytes, int full, const char *name, int *status) {
  ecru_chan *chan = NULL;
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.name = name;
  options.unbounded = capacity < 0;
  options.full = full;
  options.dropped = of_bytes ? drop_bytes : drop_number;
  *status = ecru_chan_create_with(&chan, of_bytes ? sizeof(bytes) : sizeof(int64_t), capacity < 0 ? 0 : (size_t)capacity, &options);
  return Chan_of(chan, of_bytes, status);
}
/// A reference for C code, which releases it: how goroutines of C and threads of the language come to share a channel.
static inline int64_t Chan_retain(Chan *self, int *status) {
  int64_t address = 0;
  METHOD(ecru_chan, address = (int64_t)(intptr_t)ecru_chan_retain(object))
  return address;
}
static inline Chan *Chan_at(int64_t address, bool of_bytes, int *status) {
  ecru_chan *chan = (ecru_chan *)(intptr_t)address;
  *status = ecru_chan_element_bytes(chan) == (of_bytes ? sizeof(bytes) : sizeof(int64_t)) ? 0 : ECRU_EINVAL;
  return Chan_of(chan, of_bytes, status);
}

/// The channel for one call, if its elements are of that kind.
static inline ecru_chan *Chan_enter(Chan *self, bool of_bytes, int *status) {
  if (!self || self->of_bytes != of_bytes) {
    *status = ECRU_EINVAL;
    return NULL;
  }
  return handle_enter(&self->handle, status);
}
#define CHAN_CALL(of_bytes, ...)                               \
  ecru_chan *object = Chan_enter(self, of_bytes, status);      \
  if (object) {                                                \
    __VA_ARGS__;                                               \
    handle_leave(&self->handle);                               \
  }
static inline void Chan_send(Chan *self, int64_t value, int *status) {
  pushed_out = 0;
  CHAN_CALL(false, *status = ecru_chan_send(object, &value))
}
static inline bool Chan_try_send(Chan *self, int64_t value, int *status) {
  pushed_out = 0;
  CHAN_CALL(false, *status = ecru_chan_try_send(object, &value))
  return happened(status);
}
static inline int64_t Chan_recv(Chan *self, int *status) {
  int64_t value = 0;
  CHAN_CALL(false, *status = ecru_chan_recv(object, &value))
  return value;
}
static inline bool Chan_try_recv(Chan *self, int64_t *value, int *status) {
  *value = 0;
  CHAN_CALL(false, *status = ecru_chan_try_recv(object, value))
  return happened(status);
}
/// The end of a channel ends a loop over it; any other status is a failure.
static inline bool is_end(int *status) {
  bool end = *status == ECRU_ECLOSED;
  if (end) *status = 0;
  return end;
}
static inline bool Chan_next(Chan *self, int64_t *value, int *status) {
  *value = 0;
  CHAN_CALL(false, *status = ecru_chan_recv(object, value))
  return !is_end(status);
}

static inline void Chan_send_bytes(Chan *self, const char *data, size_t length, int *status) {
  bytes copy = no_bytes();
  CHAN_CALL(true, {
    copy = copied(data, (int64_t)length, status);
    if (copy.data) *status = ecru_chan_send(object, &copy);
  })
  if (*status < 0) free(copy.data);
}
static inline bool Chan_try_send_bytes(Chan *self, const char *data, size_t length, int *status) {
  bytes copy = no_bytes();
  CHAN_CALL(true, {
    copy = copied(data, (int64_t)length, status);
    if (copy.data) *status = ecru_chan_try_send(object, &copy);
  })
  if (*status < 0) free(copy.data);
  return happened(status);
}
static inline bytes Chan_recv_bytes(Chan *self, int *status) {
  bytes value = no_bytes();
  CHAN_CALL(true, *status = ecru_chan_recv(object, &value))
  return value;
}
static inline bytes Chan_try_recv_bytes(Chan *self, int *status) {
  bytes value = no_bytes();
  CHAN_CALL(true, *status = ecru_chan_try_recv(object, &value))
  (void)happened(status);
  return value;
}
static inline bytes Chan_next_bytes(Chan *self, int *status) {
  bytes value = Chan_recv_bytes(self, status);
  (void)is_end(status);
  return value;
}

static inline void Chan_close(Chan *self, int cause, int *status) {
  METHOD(ecru_chan, *status = cause == 0 ? ecru_chan_close(object) : ecru_chan_close_with(object, cause))
}
static inline bool Chan_is_closed(Chan *self, int *status) {
  int closed = 1;
  METHOD(ecru_chan, closed = ecru_chan_is_closed(object))
  return closed;
}
static inline int64_t Chan_len(Chan *self, int *status) {
  int64_t count = 0;
  METHOD(ecru_chan, count = (int64_t)ecru_chan_len(object))
  return count;
}
static inline int64_t Chan_cap(Chan *self, int *status) {
  size_t capacity = 0;
  METHOD(ecru_chan, capacity = ecru_chan_cap(object))
  return capacity == SIZE_MAX ? -1 : (int64_t)capacity;
}

// ---- tasks -------------------------------------------------------------------------------------------------------------

/// What stands for a thread that ecru has not made: its end.
static inline void end_job(ecru_chan *ended) {
  (void)ecru_chan_close(ended);
  ecru_chan_release(ended);
}
OBJECT_DROPPED_BY(handle_drop_own, Job, ecru_chan, end_job) // its goroutine is in no call of the handle, either
static inline Job *new_Job(int *status) {
  ecru_chan *ended = NULL;
  *status = ecru_chan_create(&ended, sizeof(int), 1);
  return NEW(Job, ended);
}
/// Once: its task or its group's child has ended with that status. A job that is dropped without has been canceled.
static inline void Job_finish(Job *self, int code, int *status) {
  METHOD(ecru_chan, *status = ecru_chan_try_send(object, &code))
  if (*status == ECRU_EAGAIN) *status = ECRU_EALREADY;
  if (*status == 0) handle_close(&self->handle);
}
/// The goroutine that stands for a job's thread: only its end ends it. It has a reference of the channel.
static inline int await_job(void *argument, void **unused) {
  (void)unused;
  int code = ECRU_ECANCELED;
  (void)ecru_shield_enter(ECRU_FOREVER);
  (void)ecru_chan_recv(argument, &code);
  (void)ecru_token_leave();
  ecru_chan_release(argument);
  return code;
}

static inline int run_ticket(void *ticket, void **unused) {
  (void)unused;
  return language.run((int64_t)(intptr_t)ticket);
}

OBJECT_WITH_TOKEN(Task, ecru_task, ecru_task_release)
static inline Task *spawn_task(unsigned flags, Token *parent, const char *name, ecru_task_fn fn, void *argument, int *status) {
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = flags;
  options.name = name;
  *status = 0;
  Task *made = NEW(Task, NULL); // first: once it runs the argument is its own
  if (!made || (parent && !(options.token = handle_enter_own(&parent->handle, status)))) {
    free(made);
    return NULL;
  }
  ecru_task *task = NULL;
  *status = ecru_spawn_with(&task, &options, fn, argument);
  if (parent) handle_leave(&parent->handle);
  made->handle.object = task;
  if (*status == 0) return made;
  free(made);
  return NULL;
}
static inline Task *new_Task(int64_t ticket, Token *parent, const char *name, int *status) {
  return spawn_task(ECRU_OWN_THREAD, parent, name, run_ticket, (void *)(intptr_t)ticket, status);
}
static inline Task *Task_adopt(Job *job, Token *parent, const char *name, int *status) {
  Job *self = job;
  Task *task = NULL;
  METHOD(ecru_chan, {
    task = spawn_task(0, parent, name, await_job, ecru_chan_retain(object), status);
    if (!task) ecru_chan_release(object);
  })
  return task;
}
static inline int Task_join(Task *self, int *status) {
  int of_task = 0;
  METHOD(ecru_task, *status = ecru_task_join(object, &of_task, NULL))
  return of_task;
}
static inline int Task_state(Task *self, int *status) {
  int state = 0;
  METHOD(ecru_task, state = ecru_task_state(object))
  return state;
}
static inline void Task_cancel(Task *self, int cause, int *status) { OWN_METHOD(ecru_task, *status = ecru_task_cancel(object, cause)) }
static inline Token *Task_token(Task *self, int *status) {
  ecru_token *token = NULL;
  METHOD(ecru_task, token = ecru_token_retain(ecru_task_token(object)))
  return NEW(Token, token);
}
static inline int64_t Task_id(Task *self, int *status) {
  int64_t id = 0;
  METHOD(ecru_task, id = (int64_t)ecru_task_id(object))
  return id;
}

typedef struct unobserved_failure {
  uint64_t task_id;
  const char *name;
  int status;
} unobserved_failure;
static inline void tell_language(void *failure) {
  const unobserved_failure *f = failure;
  language.unobserved(f->task_id, f->name, f->status);
}
static inline void on_unobserved(void *unused, uint64_t task_id, const char *name, int status) {
  (void)unused;
  unobserved_failure failure = {task_id, name, status};
  (void)ecru_on_thread_stack(tell_language, &failure); // a plain goroutine may be the last to hold a task
}
/// Before anything is started: what the language does for C.
static inline void set_language(language_functions functions) {
  language = functions;
  (void)ecru_set_unobserved_hook(functions.unobserved ? on_unobserved : NULL, NULL);
}

// ---- groups ------------------------------------------------------------------------------------------------------------

static inline void await_group(void *group) { ecru_group_destroy(group); }
/// Canceled, but not waited for: a collector drops it, or one of its own children closes it.
static inline void abandon_group(ecru_group *group) {
  (void)ecru_group_cancel(group, 0);
  (void)ecru_go(await_group, group); // cannot fail but in a runtime that ends
}
OBJECT(Group, ecru_group, abandon_group)
CLOSABLE(Group)
static inline Group *new_Group(Token *parent, int64_t limit, bool supervisor, int *status) {
  ecru_group *group = NULL;
  ecru_token *above = NULL;
  *status = limit < 0 ? ECRU_EINVAL : 0;
  if (*status < 0 || (parent && !(above = handle_enter_own(&parent->handle, status)))) return NULL;
  if (above) *status = ecru_token_enter(above);
  if (*status == 0) {
    *status = ecru_group_create(&group, (size_t)limit, supervisor ? ECRU_GROUP_SUPERVISOR : 0);
    if (above) (void)ecru_token_leave();
  }
  if (above) handle_leave(&parent->handle);
  return NEW(Group, group);
}
/// A child that ends with the job. A child without its own reference of the channel has not begun.
static inline int start_child(ecru_group *group, ecru_chan *ended, bool patient) {
  void *argument = ecru_chan_retain(ended);
  int status = patient ? ecru_group_go(group, await_job, argument) : ecru_group_try_go(group, await_job, argument);
  if (status < 0) ecru_chan_release(argument);
  return status;
}

typedef struct child {
  ecru_group *group;
  int64_t ticket;
  ecru_chan *ended;
} child;
/// The group whose child the calling thread is: the child that ecru knows is the goroutine that waits for it.
static _Thread_local ecru_group *own_group;
static inline void run_child(void *argument) {
  child *c = argument;
  own_group = c->group;
  int code = language.run(c->ticket);
  (void)ecru_chan_try_send(c->ended, &code);
  end_job(c->ended);
}
/// First the child, which knows the group's limit, then its thread. Without a thread nothing has been started, and the child ends at once.
static inline int start_thread(ecru_group *group, int64_t ticket, const char *name, bool patient) {
  child c = {group, ticket, NULL};
  int status = ecru_chan_create(&c.ended, sizeof(int), 1);
  if (status < 0) return status;
  status = start_child(group, c.ended, patient);
  ecru_go_options options = ECRU_GO_OPTIONS;
  options.flags = ECRU_OWN_THREAD;
  options.name = name;
  options.token = ecru_group_token(group);
  int started = status < 0 ? status : ecru_go_copy(&options, run_child, &c, sizeof c);
  if (started == 0) return 0;
  int code = 0;
  (void)ecru_chan_try_send(c.ended, &code);
  end_job(c.ended);
  return started;
}
static inline void Group_go(Group *self, int64_t ticket, const char *name, int *status) {
  METHOD(ecru_group, *status = start_thread(object, ticket, name, true))
}
static inline bool Group_try_go(Group *self, int64_t ticket, const char *name, int *status) {
  METHOD(ecru_group, *status = start_thread(object, ticket, name, false))
  return happened(status);
}
static inline void Group_wait(Group *self, int *status) { METHOD(ecru_group, *status = object == own_group ? ECRU_EDEADLK : ecru_group_wait(object)) }
static inline void Group_cancel(Group *self, int cause, int *status) { METHOD(ecru_group, *status = ecru_group_cancel(object, cause)) }
static inline Token *Group_token(Group *self, int *status) {
  ecru_token *token = NULL;
  METHOD(ecru_group, token = ecru_token_retain(ecru_group_token(object)))
  return NEW(Token, token);
}
static inline int64_t Group_failures(Group *self, int *status) {
  int64_t count = 0;
  METHOD(ecru_group, count = (int64_t)ecru_group_errors(object, NULL, 0))
  return count;
}

// ---- select ------------------------------------------------------------------------------------------------------------

typedef union item {
  int64_t number;
  bytes data;
} item;
/// What is waited in stays entered from add_... to the end of the wait.
typedef struct selection {
  atomic_bool busy; // one thread at a time
  size_t count, room;
  ecru_case *cases; // owner, as the rest: who is busy
  item *items;
  handle **handles;
  int picked;
  int picked_status;
  item received;
  bool has_bytes; // received.data
} selection;

/// Leaves what was entered and frees what was not sent. sent: index of a send that happened, or -1.
static inline void forget_cases(selection *s, int sent) {
  for (size_t i = 0; i < s->count; i++) {
    bool is_send = s->cases[i].kind == ECRU_CASE_SEND;
    if (is_send && (int)i != sent && ((Chan *)s->handles[i])->of_bytes) free(s->items[i].data.data);
    if (s->handles[i]) handle_leave(s->handles[i]);
  }
  s->count = 0;
}
static inline void forget_received(selection *s) {
  if (s->has_bytes) free(s->received.data.data);
  s->has_bytes = false;
  s->received = (item){.number = 0};
}
static inline void destroy_selection(selection *s) {
  forget_cases(s, -1);
  forget_received(s);
  free(s->cases);
  free(s->items);
  free(s->handles);
  free(s);
}
OBJECT(Select, selection, destroy_selection)
CLOSABLE(Select)
static inline Select *new_Select(int *status) {
  selection *s = calloc(1, sizeof *s);
  *status = s ? 0 : ECRU_ENOMEM;
  return NEW(Select, s);
}
/// One thread at a time, or ECRU_EBUSY.
static inline bool take_selection(selection *s, int *status) {
  bool mine = !atomic_exchange_explicit(&s->busy, true, memory_order_acquire); // pairs with give_selection
  if (!mine) *status = ECRU_EBUSY;
  return mine;
}
static inline void give_selection(selection *s) { atomic_store_explicit(&s->busy, false, memory_order_release); }
#define SELECT_CALL(...)                          \
  METHOD(selection, {                             \
    selection *s = object;                        \
    if (take_selection(s, status)) {              \
      __VA_ARGS__;                                \
      give_selection(s);                          \
    }                                             \
  })

static inline bool grow_array(void *array, size_t each, size_t count) {
  void *grown = realloc(*(void **)array, each * count);
  if (grown) *(void **)array = grown;
  return grown != NULL;
}
static inline bool make_room(selection *s, int *status) {
  size_t room = s->room ? 2 * s->room : 4;
  if (s->count < s->room) return true;
  if (room > 65536) {
    *status = ECRU_EINVAL;
    return false;
  }
  if (grow_array(&s->cases, sizeof *s->cases, room) && grow_array(&s->items, sizeof *s->items, room) && grow_array(&s->handles, sizeof *s->handles, room))
    s->room = room;
  else *status = ECRU_ENOMEM;
  return s->count < s->room;
}
/// h: entered already, or NULL: never ready. Leaves it if there is no room for it. returns: the case's index.
static inline int add_case(selection *s, ecru_case c, item i, handle *h, int *status) {
  if (!make_room(s, status)) {
    if (h) handle_leave(h);
    return -1;
  }
  s->cases[s->count] = c;
  s->items[s->count] = i;
  s->handles[s->count] = h;
  return (int)s->count++;
}
/// A case that only waits for a thing. returns: its index.
static inline int add_waiting(Select *self, handle *h, uint32_t kind, int *status) {
  int index = -1;
  SELECT_CALL({
    void *waited = kind == ECRU_CASE_TOKEN ? handle_enter_own(h, status) : handle_enter(h, status);
    if (waited && (kind == ECRU_CASE_READ || kind == ECRU_CASE_WRITE)) waited = ((stream *)waited)->io;
    if (waited) index = add_case(s, (ecru_case){.kind = kind, .object = waited}, (item){.number = 0}, h, status);
  })
  return index;
}
static inline int Select_add_recv(Select *self, Chan *chan, int *status) {
  return add_waiting(self, chan ? &chan->handle : NULL, ECRU_CASE_RECV, status);
}
static inline int Select_add_token(Select *self, Token *token, int *status) {
  return add_waiting(self, token ? &token->handle : NULL, ECRU_CASE_TOKEN, status);
}
static inline int Select_add_task(Select *self, Task *task, int *status) {
  return add_waiting(self, task ? &task->handle : NULL, ECRU_CASE_TASK, status);
}
static inline int Select_add_timer(Select *self, Timer *timer, int *status) {
  return add_waiting(self, timer ? &timer->handle : NULL, ECRU_CASE_TIMER, status);
}
static inline int Select_add_read(Select *self, Io *io, int *status) { return add_waiting(self, io ? &io->handle : NULL, ECRU_CASE_READ, status); }
static inline int Select_add_write(Select *self, Io *io, int *status) { return add_waiting(self, io ? &io->handle : NULL, ECRU_CASE_WRITE, status); }
static inline int Select_add_never(Select *self, int *status) {
  int index = -1;
  SELECT_CALL(index = add_case(s, (ecru_case){.kind = ECRU_CASE_RECV}, (item){.number = 0}, NULL, status))
  return index;
}
static inline int add_sending(selection *s, Chan *chan, item i, bool of_bytes, int *status) {
  ecru_chan *object = Chan_enter(chan, of_bytes, status);
  if (!object) return -1;
  return add_case(s, (ecru_case){.kind = ECRU_CASE_SEND, .object = object}, i, &chan->handle, status);
}
static inline int Select_add_send(Select *self, Chan *chan, int64_t value, int *status) {
  int index = -1;
  SELECT_CALL(index = add_sending(s, chan, (item){.number = value}, false, status))
  return index;
}
static inline int Select_add_send_bytes(Select *self, Chan *chan, const char *data, size_t length, int *status) {
  int index = -1;
  SELECT_CALL({
    bytes copy = copied(data, (int64_t)length, status);
    if (copy.data) index = add_sending(s, chan, (item){.data = copy}, true, status);
    if (index < 0) free(copy.data);
  })
  return index;
}

static inline void keep_outcome(selection *s, int picked) {
  s->picked_status = s->cases[picked].status;
  if (s->cases[picked].kind != ECRU_CASE_RECV || s->picked_status != 0) return;
  s->received = s->items[picked];
  s->has_bytes = ((Chan *)s->handles[picked])->of_bytes;
}
/// Takes all cases away: a select is built anew for each wait.
static inline int wait_for_case(selection *s, int64_t timeout_ns, unsigned flags, int *status) {
  forget_received(s);
  pushed_out = 0;
  s->picked_status = 0;
  for (size_t i = 0; i < s->count; i++)
    if (s->cases[i].kind == ECRU_CASE_RECV || s->cases[i].kind == ECRU_CASE_SEND) s->cases[i].value = &s->items[i];
  int picked = ecru_select_until(s->cases, s->count, flags, instant_after(timeout_ns));
  bool nothing = picked == ECRU_EAGAIN || (picked == ECRU_ETIMEDOUT && timeout_ns >= 0 && ecru_check() == 0);
  if (picked >= 0) keep_outcome(s, picked);
  forget_cases(s, picked >= 0 && s->picked_status == 0 ? picked : -1);
  *status = nothing || picked >= 0 ? 0 : picked;
  return picked >= 0 ? picked : -1;
}
static inline int Select_wait(Select *self, int64_t timeout_ns, bool poll, bool priority, int *status) {
  unsigned flags = (poll ? ECRU_SELECT_POLL : 0u) | (priority ? ECRU_SELECT_PRIORITY : 0u);
  int picked = -1;
  SELECT_CALL(picked = wait_for_case(s, timeout_ns, flags, status))
  return picked;
}
static inline int Select_error(Select *self, int *status) {
  int error = 0;
  SELECT_CALL(error = s->picked_status)
  return error;
}
static inline int64_t Select_value(Select *self, int *status) {
  int64_t number = 0;
  SELECT_CALL(number = s->has_bytes ? 0 : s->received.number)
  return number;
}
static inline bytes Select_value_bytes(Select *self, int *status) {
  bytes taken = no_bytes();
  SELECT_CALL({
    if (s->has_bytes) taken = s->received.data;
    s->has_bytes = false;
    s->received = (item){.number = 0};
  })
  return taken;
}
static inline void Select_clear(Select *self, int *status) { SELECT_CALL(forget_cases(s, -1)) }
#endif
