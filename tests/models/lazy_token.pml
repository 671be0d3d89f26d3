// tests/models/lazy_token.pml: the token of a task, made when somebody asks and taken late (runtime/task.h, invariant 3).
//
// One task's goroutine begins under its parent's token, which never fires here, and does up to ROUNDS things in any order: park
// where only the task's token can end it, take the token (it spawns or enters a scope), park shielded, look. Another thread makes
// the token and fires it. In quiescence the goroutine has ended: no cancel is lost, whatever it was doing. A shielded park is
// never ended by the token, and nothing touches the goroutine after it has ended.
//
//   begin, take_token, shield, unshield, token_fired   task.c's functions of these names
//   park     arm, light fence, look at the current token (park.c)
//   wake     token.c's part of the firing: claims those who have attached under the token
//
// run: pass
// run: pass -DSYMMETRIC
// run: fail -DNO_FENCE       the firing misses the parker and the parker the token it has been given
// run: fail -DTOKEN_EARLY    the parker reads which token is its own before it arms
// run: fail -DRUNNER_EARLY   the firing reads the runner without a fence: neither side sees the other at the start
// run: fail -DNO_CATCH_UP    what fired during a shielded wait is forgotten after it
// run: fail -DSHIELD_OPEN    shielding without the lock: the firing ends a shielded wait
#ifndef ROUNDS
#define ROUNDS 3
#endif
#define THREADS 3 /* the goroutine 0, who fires 1, who ends shielded waits 2 */
#define STORES 3
#define WORDS 8
#define STATE 0   /* waiter.state */
#define TOKEN 1   /* waiter.token */
#define FIRED 2   /* the task's token: fired */
#define MADE 3    /* task->token */
#define RUNNER 4  /* task->runner */
#define LOCK 5    /* task->ended.lock */
#define ATTACH 6  /* the token's attach_lock */
#define ENDED 7   /* task->ended.set */
#include "tso.h"
#define RUNNING 0
#define ARMED 1
#define CLAIMED 2
#define PARENT 0
#define OWN 1
#define BACKGROUND 2

bit is_taken;   // lock: LOCK
bit attached;   // lock: ATTACH
bit canceled;   // wake_status != 0; claimer
bit woken;      // ecru__ready has been called; claimer
bit shielded;   // of the park under way: somebody is about to end it
bit finished;

inline take_token() {
  compare_swap(0, MADE, 0, 1, won);
  lock_take(0, LOCK);
  if
  :: !is_taken -> is_taken = 1; store(0, TOKEN, OWN)
  :: else
  fi;
  lazy = 0;
  lock_drop(0, LOCK)
}

inline park() {
  load(0, TOKEN, token);
  if
  :: token == OWN && !attached -> // ecru__token_attach
     lock_take(0, ATTACH);
     attached = 1;
     lock_drop(0, ATTACH)
  :: else
  fi;
  canceled = 0;
  store(0, STATE, ARMED);
  fence_light(0);
#ifndef TOKEN_EARLY
  load(0, TOKEN, token);
#endif
  if
  :: token == OWN -> load(0, FIRED, fired)
  :: else -> fired = 0
  fi;
  won = 0;
  if
  :: fired -> compare_swap(0, STATE, ARMED, CLAIMED, won)
  :: else
  fi;
  if
  :: won -> canceled = 1
  :: else -> d_step { woken; woken = 0 }
  fi;
  store(0, STATE, RUNNING)
}

inline shield() {
#ifndef SHIELD_OPEN
  lock_take(0, LOCK);
#endif
  load(0, TOKEN, saved);
  store(0, TOKEN, BACKGROUND);
#ifndef SHIELD_OPEN
  lock_drop(0, LOCK)
#endif
}

inline unshield() {
  lock_take(0, LOCK);
  store(0, TOKEN, saved);
#ifndef NO_CATCH_UP
  load(0, MADE, made);
  load(0, FIRED, fired);
  if
  :: !is_taken && made && fired -> is_taken = 1; store(0, TOKEN, OWN)
  :: else
  fi;
#endif
  lock_drop(0, LOCK)
}

active proctype goroutine() {
  byte round, token, saved;
  bit fired, made, won, lazy = 1, stop;

  // begin
  store(0, RUNNER, 1);
  fence_light(0);
  load(0, MADE, made);
  if
  :: made -> take_token()
  :: else
  fi;

  do
  :: stop || round == ROUNDS -> break
  :: else ->
     round++;
     if
     :: park(); // only the token can end it
        assert(canceled);
        stop = 1
     :: lazy -> take_token()
     :: lazy ->
        shield();
        shielded = 1;
        park();
        assert(!canceled);
        unshield()
     :: load(0, TOKEN, token);
        if
        :: token == OWN -> load(0, FIRED, stop)
        :: else
        fi
     fi
  od;

  // publish
  lock_take(0, LOCK);
  store(0, ENDED, 1);
  lock_drop(0, LOCK);
  full_fence(0);
  finished = 1
}

active proctype firer() {
  bit made, runner, won, needs, old;
  byte token;
  compare_swap(1, MADE, 0, 1, made);
  store(1, FIRED, 1); // mark: under token->lock, which nobody else takes here

  // wake
  lock_take(1, ATTACH);
  needs = attached;
  lock_drop(1, ATTACH);
  if
  :: needs -> fence_heavy(1)
  :: else
  fi;
  lock_take(1, ATTACH);
  won = 0;
  if
  :: attached ->
     compare_swap(1, STATE, ARMED, CLAIMED, won);
     if
     :: won -> canceled = 1; woken = 1
     :: else
     fi
  :: else
  fi;
  lock_drop(1, ATTACH);
  won = 0;

  // token_fired
  lock_take(1, LOCK);
  load(1, ENDED, old);
  needs = !is_taken && !old;
  lock_drop(1, LOCK);
  if
  :: needs ->
     load(1, RUNNER, runner);
#ifndef RUNNER_EARLY
     if
     :: !runner -> fence_heavy(1); load(1, RUNNER, runner)
     :: else
     fi;
#endif
     lock_take(1, LOCK);
     load(1, ENDED, old);
     load(1, TOKEN, token);
     if
     :: runner && !is_taken && !old && token == PARENT ->
        assert(!finished);
        is_taken = 1;
        store(1, TOKEN, OWN);
        fence_heavy(1);
        won = 0;
        compare_swap(1, STATE, ARMED, CLAIMED, won);
        assert(!finished);
        if
        :: won -> canceled = 1
        :: else
        fi
     :: else
     fi;
     lock_drop(1, LOCK);
     if
     :: won -> woken = 1; won = 0
     :: else
     fi
  :: else
  fi
}

// Ends shielded waits, and only them.
active proctype waker() {
end:
  do
  :: d_step { shielded && mem[STATE] == ARMED; mem[STATE] = CLAIMED; shielded = 0; woken = 1 }
  od
}
