/// runtime/local.h: scoped values as goroutines inherit them (rule G12).
#ifndef ECRU_RUNTIME_LOCAL_H
#define ECRU_RUNTIME_LOCAL_H
#include <ecru/local.h>

#include "runtime/park.h"

typedef struct ecru__binding ecru__binding;

/// One more reference to a chain of bindings. returns: binding. NULL is passed through.
ecru__binding *ecru__scoped_retain(ecru__binding *binding);
/// Gives a reference back that is not the last.
void ecru__scoped_unretain(ecru__binding *binding);
/// Gives a reference back; the last ones run the keys' release, user code, from inside the runtime.
void ecru__scoped_release(ecru__worker **w, ecru__binding *binding);
/// Makes it the caller's chain of bindings in place of the one it has, taking over the reference.
void ecru__scoped_replace(ecru__worker **w, ecru__binding *binding);
#endif
