/// runtime/registration.c: callbacks on cancel (rule K4).
///
/// A registration waits in its token's list, runs once, and lives until it is unregistered. Callbacks run in the order
/// they were registered, those of an ancestor before those of its descendants, without locks, in the thread that fires
/// the token. A deadline is noticed by the scheduler, where user code must not run: those callbacks get a goroutine of their own.
#include "runtime/fork.h"
#include "runtime/token.h"

#include "platform/memory.h"

enum { WAITING = 0, RUNNING = 1, ENDED = 2 };

struct ecru_registration {
  ecru_registration *next, *prev; // lock: token's
  ecru_token *token;              // set once, counted
  ecru_fn fn;                     // set once
  void *argument;                 // set once
  int state;                      // lock: token's
  bool orphaned;                  // lock: token's: unregistered from inside the run, which then frees it
  ecru__waiter *runner;           // lock: token's: who runs it
  ecru__queue unregistering;      // lock: token's: who waits for the end of the run
  ecru__mark mark; // handle.h
};

static const int64_t hand_over_again_ns = 1000000;

/// Tokens whose callbacks could not be given a goroutine for want of memory; tried again by a timer.
static struct {
  ecru__lock lock;
  ecru_token *chain;      // lock
  bool armed;             // lock
  ecru__timer_node timer;
} delayed;

static void append_locked(ecru_token *token, ecru_registration *registration) {
  registration->next = NULL;
  registration->prev = token->last_registration;
  if (token->last_registration) token->last_registration->next = registration;
  else token->first_registration = registration;
  token->last_registration = registration;
}

static void unlink_locked(ecru_token *token, ecru_registration *registration) {
  if (registration->prev) registration->prev->next = registration->next;
  else token->first_registration = registration->next;
  if (registration->next) registration->next->prev = registration->prev;
  else token->last_registration = registration->prev;
}

static void free_registration(ecru_registration *registration) {
  ecru_token_release(registration->token);
  ecru__handle_free(&registration->mark, registration, sizeof *registration);
}

/// Runs a registration in state RUNNING; it may be gone afterwards.
static void run(ecru__worker **w, ecru_registration *registration) {
  ecru_token *token = registration->token;
  ecru__call_user(w, registration->fn, registration->argument, "ecru_token_cancel", token);
  ecru__lock_take(&token->lock);
  registration->state = ENDED;
  bool orphaned = registration->orphaned;
  ecru__node *waiting = ecru__queue_claim_all(&registration->unregistering);
  ecru__lock_drop(&token->lock); // from here on an unregister elsewhere may free it
  if (orphaned) free_registration(registration);
  if (waiting) ecru__ready_all(*w, waiting);
}

static ecru_registration *take_first(ecru__worker *w, ecru_token *token) {
  ecru__lock_take(&token->lock);
  ecru_registration *registration = token->first_registration;
  if (registration) {
    unlink_locked(token, registration);
    registration->state = RUNNING;
    registration->runner = w->self;
  }
  ecru__lock_drop(&token->lock);
  return registration;
}

void ecru__registrations_run(ecru__worker **w, ecru_token *chain) {
  for (ecru_token *next; chain; chain = next) {
    next = chain->next;
    for (ecru_registration *registration; (registration = take_first(*w, chain)) != NULL;) run(w, registration);
    ecru_token_release(chain);
  }
}

// ---- where user code must not run --------------------------------------------------------------------------------------

static void run_in_goroutine(void *chain) {
  ecru__worker *w = ecru__enter();
  if (!w) return;
  ecru__registrations_run(&w, chain);
  ecru__leave(w);
}

static bool delayed_claim(ecru__worker *w, ecru__timer_node *timer) {
  (void)w, (void)timer;
  return true;
}

static ecru_token *take_delayed(void) {
  ecru__lock_take(&delayed.lock);
  ecru_token *chain = delayed.chain;
  delayed.chain = NULL;
  delayed.armed = false;
  ecru__lock_drop(&delayed.lock);
  return chain;
}

static void delayed_run(ecru__worker *w, ecru__timer_node *timer) {
  (void)timer;
  ecru_token *chain = take_delayed();
  if (chain) ecru__registrations_hand_over(w, chain);
}

static void delay(ecru__worker *w, ecru_token *chain) {
  ecru_token **end = &chain->next;
  while (*end) end = &(*end)->next;
  ecru__lock_take(&delayed.lock);
  *end = delayed.chain;
  delayed.chain = chain;
  if (!delayed.armed && ecru__timer_add(w, &delayed.timer, ecru__now() + hand_over_again_ns) != 0)
    ecru__panic("ecru_token_on_cancel", chain, "out of memory: no way left to run the callbacks of a deadline");
  delayed.armed = true;
  ecru__lock_drop(&delayed.lock);
}

/// The runtime stops and takes no new goroutine: the callbacks do not run, and unregistering them says so.
static void drop(ecru_token *chain) {
  for (ecru_token *next; chain; chain = next) {
    next = chain->next;
    ecru_token_release(chain);
  }
}

void ecru__registrations_hand_over(ecru__worker *w, ecru_token *chain) {
  ecru__spawn_spec spec = {.fn = run_in_goroutine, .argument = chain, .token = ecru__background_token};
  int status = ecru__spawn(w, &spec, NULL);
  if (status == ECRU_ESHUTDOWN) drop(chain);
  else if (status != 0) delay(w, chain);
}

void ecru__registrations_stop(ecru__worker **w) {
  if (delayed.armed) ecru__timer_remove(&delayed.timer);
  ecru__registrations_run(w, take_delayed());
}

void ecru__registrations_start(void) {
  delayed.timer = (ecru__timer_node){.claim = delayed_claim, .run = delayed_run};
}

// ---- public ------------------------------------------------------------------------------------------------------------

int ecru_token_on_cancel(ecru_token *token, ecru_fn fn, void *argument, ecru_registration **result) {
  ECRU__CHECK_HANDLE(token);
  if (!token || !fn || !result) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru_registration *registration = ecru__calloc(1, sizeof *registration);
  if (!registration) {
    ecru__leave(w);
    return ECRU_ENOMEM;
  }
  registration->token = ecru_token_retain(token);
  ecru__handle_begin(&registration->mark);
  registration->fn = fn;
  registration->argument = argument;
  *result = registration;
  ecru__lock_take(&token->lock);
  bool at_once = ecru__token_fired(token) != 0; // the list of a fired token takes no more
  if (at_once) {
    registration->state = RUNNING;
    registration->runner = w->self;
  } else {
    append_locked(token, registration);
  }
  ecru__lock_drop(&token->lock);
  if (at_once) run(&w, registration);
  ecru__leave(w);
  return 0;
}

/// The run is under way. returns: true: it is over; false: we are inside it, and it frees the registration.
static bool await_run(ecru__worker **w, ecru_registration *registration) {
  ecru_token *token = registration->token;
  ecru__node node;
  ecru__lock_take(&token->lock);
  bool inside = registration->state == RUNNING && registration->runner == (*w)->self;
  if (inside) registration->orphaned = true;
  if (inside || registration->state == ENDED) {
    ecru__lock_drop(&token->lock);
    return !inside;
  }
  ecru__node_init(&node, (*w)->self);
  ecru__queue_push(&registration->unregistering, &node);
  ecru__park_shielded(w, &token->lock, ECRU__WAIT_REGISTRATION, registration);
  return true;
}

int ecru_token_unregister(ecru_registration *registration) {
  ECRU__CHECK_HANDLE(registration);
  if (!registration) return ECRU_EINVAL;
  if (ecru__worker_forked()) return ECRU_EFORKED; // the lock may be a thread's that is not there (G14)
  ecru_token *token = registration->token;
  ecru__lock_take(&token->lock);
  int state = registration->state;
  if (state == WAITING) unlink_locked(token, registration);
  ecru__lock_drop(&token->lock);
  bool ours = true;
  if (state == RUNNING) {
    ecru__worker *w = ecru__enter_to_end();
    if (!w) return ecru__enter_status();
    ours = await_run(&w, registration);
    ecru__leave(w);
  }
  if (ours) free_registration(registration);
  return state == WAITING;
}

void ecru__registrations_in_child(void) {
  delayed.lock = (ecru__lock){0};
  delayed.chain = NULL;
  delayed.armed = false;
}
