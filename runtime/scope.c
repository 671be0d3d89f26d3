/// runtime/scope.c: the current token of a goroutine or thread, and the scopes that change it (rule K2).
///
/// Who fires a token must find those parked under it. They stand in the token's list since their first park there, and stay
/// while they run, so that parking again costs nothing (token.h, invariant 5). Changing the current token takes them out.
#include "runtime/token.h"

#include "platform/memory.h"

enum { WAKE_BATCH = 32 };

// ---- the list of attached waiters ------------------------------------------------------------------------------------

static void detach(ecru__waiter *x);

void ecru__token_attach(ecru__waiter *x) {
  ecru_token *token = ecru__waiter_token(x);
  if (x->attached == token || ecru__token_is_static(token)) return;
  detach(x); // a task's goroutine may still stand in the list of its spawner's token
  ecru__lock_take(&token->attach_lock);
  x->attach_prev = NULL;
  x->attach_next = token->attached;
  if (token->attached) token->attached->attach_prev = x;
  token->attached = x;
  ecru__lock_drop(&token->attach_lock);
  x->attached = token;
}

static void unlink_locked(ecru_token *token, ecru__waiter *x) {
  if (x->attach_prev) x->attach_prev->attach_next = x->attach_next;
  else if (token->attached == x) token->attached = x->attach_next;
  else token->woken = x->attach_next;
  if (x->attach_next) x->attach_next->attach_prev = x->attach_prev;
}

static void detach(ecru__waiter *x) {
  ecru_token *token = x->attached;
  if (!token) return;
  ecru__lock_take(&token->attach_lock);
  unlink_locked(token, x);
  ecru__lock_drop(&token->attach_lock);
  x->attached = NULL;
}

bool ecru__token_is_attached(ecru_token *token) {
  ecru__lock_take(&token->attach_lock);
  bool is = token->attached != NULL;
  ecru__lock_drop(&token->attach_lock);
  return is;
}

/// Moves up to WAKE_BATCH waiters to the list of those looked at and claims what can be claimed. A claimed waiter goes nowhere
/// until it is made ready, so that can be done without the lock. returns: whether there are more.
static bool claim_batch(ecru_token *token, int status, ecru__waiter **batch, int *claimed) {
  ecru__lock_take(&token->attach_lock);
  for (int looked_at = 0; looked_at < WAKE_BATCH && token->attached; looked_at++) {
    ecru__waiter *x = token->attached;
    unlink_locked(token, x);
    x->attach_prev = NULL;
    x->attach_next = token->woken;
    if (token->woken) token->woken->attach_prev = x;
    token->woken = x;
    if (!ecru__claim(x)) continue; // it runs, or somebody else wakes it: it will see the mark before it sleeps again
    x->wake_node = NULL;
    x->wake_status = status;
    batch[(*claimed)++] = x;
  }
  bool more = token->attached != NULL;
  ecru__lock_drop(&token->attach_lock);
  return more;
}

void ecru__token_wake(ecru__worker *w, ecru_token *token, int status) {
  for (bool more = true; more;) {
    ecru__waiter *batch[WAKE_BATCH];
    int claimed = 0;
    more = claim_batch(token, status, batch, &claimed);
    for (int i = 0; i < claimed; i++) ecru__ready(w, batch[i]);
  }
}

// ---- the life of a waiter --------------------------------------------------------------------------------------------

void ecru__token_inherit(ecru__waiter *child, ecru_token *token) {
  child->token = ecru_token_retain(token);
  child->attached = NULL;
  child->scopes = NULL;
}

static void enter_scope(ecru__waiter *x, ecru__scope *scope, ecru_token *token) {
  detach(x); // the outer token must not end what is done under this one, unless it reaches this one
  scope->outer = x->scopes;
  scope->token = x->token;
  x->scopes = scope;
  x->token = token;
}

static void leave_scope(ecru__waiter *x) {
  ecru__scope *scope = x->scopes;
  ecru_token *token = x->token;
  detach(x);
  x->scopes = scope->outer;
  x->token = scope->token;
  if (scope != &token->scope) ecru__free(scope);
  ecru_token_release(token);
}

void ecru__token_forget(ecru__waiter *x) {
  while (x->scopes) leave_scope(x);
  detach(x);
  ecru_token *token = x->token;
  x->token = ecru__root_token;
  ecru_token_release(token);
}

void ecru__waiter_move(ecru__waiter *from, ecru__waiter *to) {
  detach(from);
  to->attached = NULL;
  to->token = from->token;
  to->lazy_token = from->lazy_token;
  to->scopes = from->scopes;
  to->locals = from->locals;
  to->scoped = from->scoped;
  from->token = ecru__root_token;
  from->lazy_token = 0;
  from->scopes = NULL;
  from->locals = NULL;
  from->scoped = NULL;
}

/// While shielded the waiter stands in no list; `attached` only remembers where to go back to.
void ecru__token_shield(ecru__waiter *x) {
  detach(x);
  if (ECRU__UNLIKELY(x->lazy_token)) {
    ecru__task_shield(x);
    return;
  }
  x->attached = x->token;
  x->token = ecru__background_token;
}

void ecru__token_unshield(ecru__waiter *x) {
  if (ECRU__UNLIKELY(x->lazy_token)) {
    ecru__task_unshield(x);
    return;
  }
  x->token = x->attached;
  x->attached = NULL;
}

// ---- public ----------------------------------------------------------------------------------------------------------

ecru_token *ecru_token_current(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__background_token;
  ecru_token *token = ecru__token_own(w);
  ecru__leave(w);
  return token;
}

int ecru_check(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__canceled(w);
  ecru__leave(w);
  return status;
}

static int enter_borrowed(ecru__worker *w, ecru_token *token) {
  ecru__scope *scope = ecru__malloc(sizeof *scope);
  if (!scope) return ECRU_ENOMEM;
  ecru__token_own(w); // what is entered covers it
  enter_scope(w->self, scope, ecru_token_retain(token));
  return 0;
}

/// Creates a token and enters it: the scope lies in the token, and the reference is the scope's.
static int enter_fresh(ecru__worker *w, ecru_token *parent, int64_t deadline_ns) {
  ecru_token *token;
  ecru__token_own(w);
  int status = ecru__token_create(w, &token, &parent, 1, deadline_ns);
  if (status == 0) enter_scope(w->self, &token->scope, token);
  return status;
}

int ecru_token_enter(ecru_token *token) {
  ECRU__CHECK_HANDLE(token);
  if (!token) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = enter_borrowed(w, token);
  ecru__leave(w);
  return status;
}

int ecru_token_leave(void) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = w->self->scopes ? 0 : ECRU_EPERM;
  if (status == 0) leave_scope(w->self);
  ecru__leave(w);
  return status;
}

int ecru_shield_enter(int64_t deadline_ns) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = deadline_ns == ECRU_FOREVER ? enter_borrowed(w, ecru__background_token)
                                           : enter_fresh(w, ecru__background_token, deadline_ns);
  ecru__leave(w);
  return status;
}

int ecru_deadline_enter(int64_t deadline_ns) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = enter_fresh(w, ecru__token_own(w), deadline_ns);
  ecru__leave(w);
  return status;
}
