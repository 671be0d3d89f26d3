/// ecru/token.h: cancellation tokens, explicit and ambient (rules K1-K5).
///
/// Every goroutine and foreign thread has a current token, inherited at spawn. When it fires, every parking operation
/// of that goroutine, pending or later, ends with ECRU_ECANCELED (cancelled) or ECRU_ETIMEDOUT (deadline) and without effect.
#ifndef ECRU_TOKEN_H
#define ECRU_TOKEN_H
#include <ecru/base.h>
typedef struct ecru_registration ecru_registration;
ECRU_BEGIN
/// The token that is never cancelled. effects: any thread; never parks. owns: nothing (static; retain and release are harmless).
/// returns: the token. since: 0.1
ECRU_API ecru_token *ecru_token_background(void);
/// The root token: cancelled by ecru_stop; the current token of whoever has entered and inherited no other.
/// effects, owns, returns: as ecru_token_background. since: 0.1
ECRU_API ecru_token *ecru_token_root(void);
/// The caller's current token. effects: any thread; never parks. owns: borrowed: valid while it is current. since: 0.1
ECRU_API ecru_token *ecru_token_current(void);
/// Creates a child of parent (NULL: the caller's current token) that fires at deadline_ns of ecru_now at the latest
/// (ECRU_FOREVER: no deadline of its own) (K1). owns: the caller holds one reference; the parent is kept alive.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL token NULL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_token_create(ecru_token **token, ecru_token *parent, int64_t deadline_ns);
/// A child that fires when any of the parents fires (linked). effects, owns: as ecru_token_create.
/// returns: 0; ECRU_EINVAL token or parents NULL, count 0, > 64 or a NULL parent; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_token_create_linked(ecru_token **token, ecru_token *const *parents, size_t count, int64_t deadline_ns);
/// A token that nothing fires but its own cancel or reset: for work that outlives its starter (K5). Scoped values belong to the
/// goroutine and are kept whatever its token; parent is only documentation (NULL allowed).
/// effects, owns: as ecru_token_create. returns: 0; ECRU_EINVAL token NULL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_token_without_cancel(ecru_token **token, ecru_token *parent);
/// One more reference. effects: any thread; never parks. returns: token; NULL is passed through. since: 0.1
ECRU_API ecru_token *ecru_token_retain(ecru_token *token);
/// Gives a reference back; a child released everywhere holds no memory and leaves its parent (K1). NULL is ignored.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_token_release(ecru_token *token);
/// Fires the token and all its descendants with `cause` (a negative status; 0: ECRU_ECANCELED) (K1). Idempotent: the first
/// cause stays. Callbacks of ecru_token_on_cancel run in the caller before it returns.
/// effects: any thread; never parks. returns: 0; ECRU_EINVAL NULL or cause > 0; ECRU_EPERM background. since: 0.1
ECRU_API int ecru_token_cancel(ecru_token *token, int cause);
/// 0 while not fired, else ECRU_ECANCELED or ECRU_ETIMEDOUT (K3). NULL: ECRU_EINVAL. effects: any thread; never parks. since: 0.1
ECRU_API int ecru_token_err(ecru_token *token);
/// The cause given to cancel (its default: ECRU_ECANCELED; a deadline: ECRU_ETIMEDOUT); 0 while not fired. NULL: ECRU_EINVAL.
/// effects: any thread; never parks. since: 0.1
ECRU_API int ecru_token_cause(ecru_token *token);
/// The earliest deadline of the token and its ancestors, ECRU_FOREVER if none or NULL. effects: any thread; never parks. since: 0.1
ECRU_API int64_t ecru_token_deadline(ecru_token *token);
/// Id of the token, never 0 and never reused; 0 for NULL. effects: any thread; never parks. since: 0.1
ECRU_API uint64_t ecru_token_id(ecru_token *token);
/// Id of the token whose firing reached this one ("whose token fired", K2); 0 while not fired and for NULL.
/// effects: any thread; never parks. since: 0.1
ECRU_API uint64_t ecru_token_origin(ecru_token *token);
/// Parks until the token fires. effects: any thread; parks. returns: 0 fired; ECRU_ECANCELED/ECRU_ETIMEDOUT the caller's own
/// current token fired (0 if it is the same). ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_token_wait(ecru_token *token);
/// Re-arms an unfired token with a new deadline (K5): the deadline is replaced; the parent's still counts. One that has
/// passed fires the token. effects: any thread; never parks, but may run the token's callbacks.
/// returns: 0; ECRU_ECANCELED or ECRU_ETIMEDOUT it has fired (unchanged); ECRU_EINVAL; ECRU_EPERM background or root;
/// ECRU_ENOMEM (it then has no deadline of its own). since: 0.1
ECRU_API int ecru_token_reset(ecru_token *token, int64_t deadline_ns);

/// Makes token the caller's current token until the matching ecru_token_leave (K2). Scopes nest.
/// owns: the scope holds a reference. effects: any thread; never parks; may allocate. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_token_enter(ecru_token *token);
/// Leaves the innermost scope. effects: any thread; never parks. returns: 0; ECRU_EPERM there is none. since: 0.1
ECRU_API int ecru_token_leave(void);
/// Enters a scope whose token is not reached by any cancel from outside but has a deadline of its own
/// (ECRU_FOREVER: none): for cleanup (K2). Left with ecru_token_leave.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_shield_enter(int64_t deadline_ns);
/// Creates a child of the current token with a deadline and enters it: one call for "this block, at most so long".
/// Left with ecru_token_leave. effects: any thread; never parks; allocates. returns: 0; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_deadline_enter(int64_t deadline_ns);
/// The caller's current token's err: a cancellation point without waiting. effects: any thread; never parks. returns: 0; ECRU_ECANCELED; ECRU_ETIMEDOUT. since: 0.1
ECRU_API int ecru_check(void);

/// Registers fn(argument) to run once when token fires, in the thread that fires it; at once if it has (K4).
/// fn must not park. Several run in the order of their registration, an ancestor's before its descendants'; those of a
/// deadline in a goroutine of their own. *registration is set before fn runs. owns: *registration until ecru_token_unregister. effects: any thread; never parks; allocates.
/// returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_token_on_cancel(ecru_token *token, ecru_fn fn, void *argument, ecru_registration **registration);
/// Ends and frees a registration; waits for a run under way unless called from inside it (K4).
/// effects: any thread; parks (shielded). returns: 1 the run was prevented; 0 it has run; ECRU_EINVAL. since: 0.1
ECRU_API int ecru_token_unregister(ecru_registration *registration);
ECRU_END
#endif
