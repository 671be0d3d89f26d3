/// runtime/local.c: goroutine-local and scoped values (rule G12).
///
/// A key has a slot and a serial number. A goroutine's table is an array by slot, so that looking up is an index and a comparison;
/// a value whose serial is not the key's belongs to a key that has been destroyed and is nobody's. Only the end of a goroutine
/// asks the registry, for destructors.
///
/// Scoped values are a chain of counted bindings, innermost first. A spawned goroutine shares its parent's chain: inheriting
/// costs one increment however many values are bound. A binding's end is user code (the key's release), which runs in the
/// goroutine that drops the last reference.
#include "runtime/local.h"
#include "runtime/fork.h"

#include "platform/memory.h"
#include "runtime/scheduler.h"
#include "runtime/token.h"

enum { DESTRUCTOR_ROUNDS = 4, FIRST_ROOM = 4 };

struct ecru_local_key {
  uint32_t slot;   // set once
  uint64_t serial; // set once: unique
  ecru__mark mark; // handle.h
};

struct value {
  uint64_t serial;
  void *value;
};
typedef struct ecru__locals {
  uint32_t room;          // owner: the goroutine, as all of it
  struct value values[];  // by slot
} ecru__locals;

struct slot {
  uint64_t serial;             // 0: free
  void (*destructor)(void *);
};
/// All keys alive.
static struct {
  ecru__lock lock;
  struct slot *slots;   // lock
  uint32_t room, used;  // lock: slots[0..used) have been used; used counts no further than the highest
  uint32_t alive;       // lock
  uint64_t last_serial; // lock
} registry;

struct ecru_scoped_key {
  void (*release)(void *value); // set once
  _Atomic uint64_t bindings;    // atomic
  ecru__mark mark; // handle.h
};

struct ecru__binding {
  _Atomic uint64_t references; // atomic: the scope, bindings inside it, goroutines that inherited it
  ecru_scoped_key *key;        // set once
  void *value;                 // set once
  ecru__binding *outer;        // set once, counted
  ecru__waiter *owner;         // set once: who entered the scope ...
  uint64_t owner_id;           // set once: ... since waiters are used again
};

// ---- local keys --------------------------------------------------------------------------------------------------------

/// Under the lock. returns: a free slot's index, or `used` if there is none (then with room for it), or UINT32_MAX.
static uint32_t find_slot(void) {
  if (registry.alive < registry.used)
    for (uint32_t i = 0; i < registry.used; i++)
      if (registry.slots[i].serial == 0) return i;
  if (registry.used < registry.room) return registry.used;
  uint32_t room = registry.room ? registry.room * 2 : FIRST_ROOM;
  struct slot *slots = ecru__realloc(registry.slots, room * sizeof *slots);
  if (!slots) return UINT32_MAX;
  registry.slots = slots;
  registry.room = room;
  return registry.used;
}

static int register_key(ecru_local_key *key, void (*destructor)(void *)) {
  ecru__lock_take(&registry.lock);
  uint32_t slot = find_slot();
  if (slot != UINT32_MAX) {
    if (slot == registry.used) registry.used++;
    registry.alive++;
    key->slot = slot;
    key->serial = ++registry.last_serial;
    registry.slots[slot] = (struct slot){key->serial, destructor};
  }
  ecru__lock_drop(&registry.lock);
  return slot == UINT32_MAX ? ECRU_ENOMEM : 0;
}

static void unregister_key(const ecru_local_key *key) {
  struct slot *unused = NULL;
  ecru__lock_take(&registry.lock);
  registry.slots[key->slot].serial = 0;
  if (--registry.alive == 0) { // the last key takes the table along
    unused = registry.slots;
    registry.slots = NULL;
    registry.room = registry.used = 0;
  }
  ecru__lock_drop(&registry.lock);
  ecru__free(unused);
}

static void (*destructor_of(uint32_t slot, uint64_t serial))(void *) {
  ecru__lock_take(&registry.lock);
  bool alive = slot < registry.used && registry.slots[slot].serial == serial;
  void (*destructor)(void *) = alive ? registry.slots[slot].destructor : NULL;
  ecru__lock_drop(&registry.lock);
  return destructor;
}

int ecru_local_key_create(ecru_local_key **result, void (*destructor)(void *)) {
  if (!result) return ECRU_EINVAL;
  ecru_local_key *key = ecru__malloc(sizeof *key);
  if (!key) return ECRU_ENOMEM;
  ecru__handle_begin(&key->mark);
  int status = register_key(key, destructor);
  if (status == 0) *result = key;
  else ecru__free(key);
  return status;
}

void ecru_local_key_destroy(ecru_local_key *key) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return;
  unregister_key(key);
  ecru__handle_free(&key->mark, key, sizeof *key);
}

// ---- local values ------------------------------------------------------------------------------------------------------

static struct value *find_value(const ecru__waiter *x, const ecru_local_key *key) {
  ecru__locals *locals = x->locals;
  if (!locals || key->slot >= locals->room || locals->values[key->slot].serial != key->serial) return NULL;
  return &locals->values[key->slot];
}

/// Room for the slot. returns: 0; ECRU_ENOMEM.
static int make_room(ecru__waiter *x, uint32_t slot) {
  ecru__locals *locals = x->locals;
  uint32_t old = locals ? locals->room : 0, room = old ? old : FIRST_ROOM;
  if (slot < old) return 0;
  while (room <= slot) room *= 2;
  locals = ecru__realloc(locals, sizeof *locals + room * sizeof locals->values[0]);
  if (!locals) return ECRU_ENOMEM;
  for (uint32_t i = old; i < room; i++) locals->values[i] = (struct value){0, NULL};
  locals->room = room;
  x->locals = locals;
  return 0;
}

static int set_value(ecru__waiter *x, const ecru_local_key *key, void *value) {
  struct value *place = find_value(x, key);
  if (!place && !value) return 0;
  int status = place ? 0 : make_room(x, key->slot);
  if (status == 0) x->locals->values[key->slot] = (struct value){key->serial, value};
  return status;
}

int ecru_local_set(ecru_local_key *key, void *value) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = set_value(w->self, key, value);
  ecru__leave(w);
  return status;
}

void *ecru_local_get(ecru_local_key *key) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return NULL;
  ecru__worker *w = ecru__enter();
  if (!w) return NULL;
  struct value *place = find_value(w->self, key);
  void *value = place ? place->value : NULL;
  ecru__leave(w);
  return value;
}

/// Runs the destructors of all values there are now; they may set values again. returns: whether there was any.
static bool run_destructors(ecru__worker **w, ecru__waiter *x) {
  bool any = false;
  for (uint32_t slot = 0; x->locals && slot < x->locals->room; slot++) { // a destructor may move the table
    struct value *place = &x->locals->values[slot];
    void *value = place->value;
    if (!value) continue;
    place->value = NULL;
    void (*destructor)(void *) = destructor_of(slot, place->serial);
    if (!destructor) continue;
    any = true;
    ecru__call_user(w, destructor, value, "ecru_local_key", NULL);
  }
  return any;
}

static void end_locals(ecru__worker **w, ecru__waiter *x) {
  for (int round = 0; round < DESTRUCTOR_ROUNDS && run_destructors(w, x); round++) {}
  ecru__free(x->locals);
  x->locals = NULL;
}

// ---- scoped values -----------------------------------------------------------------------------------------------------

int ecru_scoped_key_create(ecru_scoped_key **result, void (*release)(void *)) {
  if (!result) return ECRU_EINVAL;
  ecru_scoped_key *key = ecru__malloc(sizeof *key);
  if (!key) return ECRU_ENOMEM;
  ecru__handle_begin(&key->mark);
  key->release = release;
  atomic_init(&key->bindings, 0);
  *result = key;
  return 0;
}

void ecru_scoped_key_destroy(ecru_scoped_key *key) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return;
  if (atomic_load_explicit(&key->bindings, memory_order_acquire) != 0)
    ecru__panic("ecru_scoped_key_destroy", key, "values are still bound to this key");
  ecru__handle_free(&key->mark, key, sizeof *key);
}

ecru__binding *ecru__scoped_retain(ecru__binding *binding) {
  if (binding) atomic_fetch_add_explicit(&binding->references, 1, memory_order_relaxed);
  return binding;
}

void ecru__scoped_unretain(ecru__binding *binding) {
  if (binding) atomic_fetch_sub_explicit(&binding->references, 1, memory_order_release);
}

void ecru__scoped_release(ecru__worker **w, ecru__binding *binding) {
  // acq_rel: all uses of the value happen before its release
  while (binding && atomic_fetch_sub_explicit(&binding->references, 1, memory_order_acq_rel) == 1) {
    ecru__binding *outer = binding->outer;
    ecru_scoped_key *key = binding->key;
    if (key->release) ecru__call_user(w, key->release, binding->value, "ecru_scoped_key", key);
    // release: pairs with the acquire in ecru_scoped_key_destroy
    atomic_fetch_sub_explicit(&key->bindings, 1, memory_order_release);
    ecru__free(binding);
    binding = outer;
  }
}

void ecru__scoped_replace(ecru__worker **w, ecru__binding *binding) {
  ecru__binding *old = (*w)->self->scoped;
  (*w)->self->scoped = binding;
  ecru__scoped_release(w, old);
}

/// What tells the incarnations of a waiter apart.
static uint64_t id_of_caller(const ecru__worker *w) {
  return w->self == &w->waiter ? w->thread_id : ((const ecru__goroutine *)(const void *)w->self)->id;
}

int ecru_scoped_enter(ecru_scoped_key *key, void *value) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__binding *binding = ecru__malloc(sizeof *binding);
  if (binding) {
    atomic_init(&binding->references, 1);
    binding->key = key;
    binding->value = value;
    binding->outer = w->self->scoped; // and its reference
    binding->owner = w->self;
    binding->owner_id = id_of_caller(w);
    atomic_fetch_add_explicit(&key->bindings, 1, memory_order_relaxed);
    w->self->scoped = binding;
  }
  ecru__leave(w);
  return binding ? 0 : ECRU_ENOMEM;
}

int ecru_scoped_leave(ecru_scoped_key *key) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  ecru__binding *binding = w->self->scoped;
  bool mine = binding && binding->key == key && binding->owner == w->self && binding->owner_id == id_of_caller(w);
  if (mine) ecru__scoped_replace(&w, ecru__scoped_retain(binding->outer));
  ecru__leave(w);
  return mine ? 0 : ECRU_EPERM;
}

void *ecru_scoped_get(ecru_scoped_key *key) {
  ECRU__CHECK_HANDLE(key);
  if (!key) return NULL;
  ecru__worker *w = ecru__enter();
  if (!w) return NULL;
  ecru__binding *binding = w->self->scoped;
  while (binding && binding->key != key) binding = binding->outer;
  void *value = binding ? binding->value : NULL;
  ecru__leave(w);
  return value;
}

// ---- the life of a waiter ----------------------------------------------------------------------------------------------

void ecru__locals_inherit(ecru__waiter *child, ecru__waiter *parent) {
  child->locals = NULL;
  child->scoped = parent ? ecru__scoped_retain(parent->scoped) : NULL;
}

void ecru__locals_end(ecru__worker **w, ecru__waiter *x) {
  if (ECRU__LIKELY(!x->locals && !x->scoped)) return;
  end_locals(w, x);
  ecru__binding *scoped = x->scoped;
  x->scoped = NULL;
  ecru__scoped_release(w, scoped);
  end_locals(w, x); // a release may have set values
}

void ecru__locals_in_child(void) { registry.lock = (ecru__lock){0}; }
