// SPDX-License-Identifier: BSD-2-Clause
// Writing into one chunk of a byte_stream: reserve, commit, seal; by compare-and-swap, or by its owner without.
#ifndef EF_LOCKFREE_CHUNK_WRITING_HH
#define EF_LOCKFREE_CHUNK_WRITING_HH

#include "stream_chunk.hh"

#include <atomic>
#include <cstdint>

namespace ef {

template<template<class> class Atom = std::atomic> struct chunk_reservation {
  Atom<std::uint64_t> *slots;
  unsigned char *data;
  std::uint64_t generation;
  std::uint32_t record, end;
};

// Pool: see byte_stream; of it only self(), owner_store() and barrier() are used here. All functions lock-free, any
// thread. The state word is relaxed throughout: see byte_stream, Orders.
template<class Pool, template<class> class Atom = std::atomic> struct chunk_writing {
  using chunk = stream_chunk<Atom>;
  using reservation = chunk_reservation<Atom>;

  // Room for one record of n bytes in the chunk that `tail` names, or false: it is full, sealed, recycled, or another
  // thread's own. n in 1..65536.
  static bool reserve(chunk *c, std::uint64_t tail, std::uint32_t n, reservation *out) noexcept {
    using namespace chunk_word;
    std::uint64_t s = c->state.load(std::memory_order_relaxed);
    do {
      if (generation_of(s) != tag_of(tail) || is_sealed(s)) return false;
      if (bytes_of(s) + n > c->bytes_max || records_of(s) == c->records_max) return false;
      if (is_owned(s)) {
        // Not while the ownership is being taken away: a store that began now would be behind the barrier.
        if ((s & revoking) || c->owner.load(std::memory_order_relaxed) != Pool::self()) return false;
        if (!Pool::owner_store(c->state, s, s + (1u << bytes_bits) + n)) return false;
        break;
      }
      // The chunk is the stream's: whoever means to find the stream empty has to seal it first, which one of the two
      // swaps prevents.
    } while (!c->state.compare_exchange_weak(s, s + (1u << bytes_bits) + n, std::memory_order_relaxed,
                                             std::memory_order_relaxed));
    *out = {c->slots, c->data + bytes_of(s), generation_of(s), records_of(s), bytes_of(s) + n};
    return true;
  }

  // The bytes are in place. The stream must not be touched afterwards on the strength of this reservation.
  static void commit(const reservation &r) noexcept { // release: pairs with the acquire in committed()
    r.slots[r.record].store(chunk_word::slot(r.generation, r.end), std::memory_order_release);
  }

  // Ends the ownership of c, if it is still of this generation. The owner itself needs no barrier: none of its stores
  // is under way while it is here.
  static void disown(chunk *c, std::uint64_t generation) noexcept {
    using namespace chunk_word;
    std::uint64_t s = c->state.load(std::memory_order_relaxed);
    while (generation_of(s) == generation && is_owned(s)) {
      bool mine = c->owner.load(std::memory_order_relaxed) == Pool::self();
      if (!mine && !(s & revoking)) {
        if (!c->state.compare_exchange_strong(s, s | revoking, std::memory_order_relaxed, std::memory_order_relaxed))
          continue;
        s |= revoking;
      }
      if (!mine) Pool::barrier();
      // Fails if a late store of the owner undid it: that raised the records, so the state is never again the one that
      // was there before this barrier, even if another thread has begun to revoke since. Whoever sees `revoking` and
      // this state needs a barrier of its own only.
      c->state.compare_exchange_strong(s, s & ~(owned | revoking), std::memory_order_relaxed,
                                       std::memory_order_relaxed);
    }
  }

  // Seals c if it is still of this generation; false: it is not, look at tail again.
  static bool seal(chunk *c, std::uint64_t generation) noexcept {
    using namespace chunk_word;
    std::uint64_t s = c->state.load(std::memory_order_relaxed);
    for (;;) {
      if (generation_of(s) != generation) return false;
      if (is_sealed(s)) return true;
      if (is_owned(s)) {
        disown(c, generation);
        s = c->state.load(std::memory_order_relaxed); // not older than disown's look
      } else if (c->state.compare_exchange_weak(s, s | sealed, std::memory_order_relaxed, std::memory_order_relaxed)) {
        return true;
      }
    }
  }
};

} // namespace ef
#endif
