/// runtime/io_table.h: the table of handles, for the files of io. Invariants in io.h.
#ifndef ECRU_RUNTIME_IO_TABLE_H
#define ECRU_RUNTIME_IO_TABLE_H
#include "runtime/io.h"

/// The place an event's key speaks of: it may have another handle by now, so the key is compared under the handle's lock. NULL: none.
ecru_io *ecru__io_at(uint64_t key);
/// A new handle for a descriptor. alone: not if it has one already. returns: 0; ECRU_EEXIST; ECRU_ENOMEM; as ecru__poller_create.
int ecru__io_register(ecru__worker *w, ecru_io **io, intptr_t descriptor, enum ecru__descriptor_kind kind, bool alone);
/// Its descriptor is about to be closed: the number does not lead to it any more.
void ecru__io_unlist(ecru_io *io);
/// Gives a reference back. returns: whether it was the last: the handle is the caller's, to close and to free.
bool ecru__io_drop_reference(ecru_io *io);
/// After the last reference: a place for the next, as soon as nobody pins it.
void ecru__io_free(ecru_io *io);
/// Keeps the place, unless it is free already.
bool ecru__io_pin_if_alive(ecru_io *io);
void ecru__io_unpin(ecru_io *io);

/// The handle of a descriptor, with one more reference; of one ecru does not know a fleeting one is made.
/// returns: 0; ECRU_ECLOSED its owner is closing it; ECRU_ENOMEM.
int ecru__io_of_descriptor(ecru__worker *w, ecru_io **io, intptr_t descriptor);
/// Whether somebody has waited for this descriptor, and it is not ours.
bool ecru__io_is_foreign(intptr_t descriptor);
/// Takes its handle out of the table, with the table's reference; who waits for it is claimed into *chain. returns: NULL: there is none.
ecru_io *ecru__io_take_foreign(intptr_t descriptor, ecru__node **chain);
#endif
