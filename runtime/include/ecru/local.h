/// ecru/local.h: goroutine-local values (G12). Keys hold mutable values with destructors; scoped values are
/// immutable and seen by goroutines spawned inside the scope. Both also work in foreign threads.
#ifndef ECRU_LOCAL_H
#define ECRU_LOCAL_H
#include <ecru/base.h>
typedef struct ecru_local_key ecru_local_key;
typedef struct ecru_scoped_key ecru_scoped_key;
ECRU_BEGIN
/// Creates a key; destructor (may be NULL) runs with each goroutine's last non-NULL value when that goroutine ends.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_local_key_create(ecru_local_key **key, void (*destructor)(void *value));
/// Destroys a key; values still held are forgotten without a destructor's run. NULL is ignored.
/// effects: any thread; never parks; nobody may use the key meanwhile. since: 0.1
ECRU_API void ecru_local_key_destroy(ecru_local_key *key);
/// Sets the caller's value. effects: any thread; never parks; may allocate. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_local_set(ecru_local_key *key, void *value);
/// The caller's value, NULL if none was set or key is NULL. effects: any thread; never parks. since: 0.1
ECRU_API void *ecru_local_get(ecru_local_key *key);
/// Creates a key of scoped values; release (may be NULL) runs once per binding when its scope has been left and the
/// last goroutine that inherited it has ended. effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_scoped_key_create(ecru_scoped_key **key, void (*release)(void *value));
/// Destroys a key. NULL is ignored. One whose values are still bound somewhere is a panic.
/// effects: any thread; never parks. since: 0.1
ECRU_API void ecru_scoped_key_destroy(ecru_scoped_key *key);
/// Binds value to key for the caller and for goroutines it spawns until the matching leave.
/// effects: any thread; never parks; allocates. returns: 0; ECRU_EINVAL; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_scoped_enter(ecru_scoped_key *key, void *value);
/// Leaves the innermost scope, which must be key's and the caller's own. effects: any thread; never parks, but may call the
/// key's release. returns: 0; ECRU_EPERM it is not; ECRU_EINVAL NULL. since: 0.1
ECRU_API int ecru_scoped_leave(ecru_scoped_key *key);
/// The innermost value bound to key, NULL if none or key is NULL. effects: any thread; never parks. since: 0.1
ECRU_API void *ecru_scoped_get(ecru_scoped_key *key);
ECRU_END
#endif
