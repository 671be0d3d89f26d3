/// tests/peer.h: goroutines of C that share channels with a language's threads, linked into a copy of its module. Addresses are references
/// that the goroutine releases.
#ifndef ECRU_SWIG_PEER_H
#define ECRU_SWIG_PEER_H
#include <stdint.h>

/// Starts one that gives each number back, doubled, until the first channel is closed, and then closes the second. returns: a status.
__attribute__((visibility("default"))) int ecru_peer_double(int64_t from, int64_t to);
/// The same with bytes, which it reverses in place.
__attribute__((visibility("default"))) int ecru_peer_reverse(int64_t from, int64_t to);
#endif
