// SPDX-License-Identifier: BSD-2-Clause
// The shortest way to write one record: what a thread remembers of the chunk that it owns.
#ifndef EF_LOCKFREE_OWNED_CHUNK_HH
#define EF_LOCKFREE_OWNED_CHUNK_HH

#include "chunk_writing.hh"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// Contract. remember(): after a reservation in a chunk that the caller owns, if it does. reserve(): as
// chunk_writing::reserve for that life of the chunk, without a look at the stream's tail: a chunk that is not sealed is
// the tail of the stream that it was in, since followers, detaching and closing seal it first. One thread; wait-free.
// All is in the state word: its upper bits are compared at once with what they were (same generation, owned, neither
// sealed nor being taken away), and who owns a chunk does not change in a generation.
template<class Pool, template<class> class Atom = std::atomic> struct owned_chunk {
  using chunk = stream_chunk<Atom>;

  Atom<std::uint64_t> *state = nullptr; // null: none
  std::uint64_t life = 0;               // the state without records and bytes
  unsigned char *data = nullptr;
  Atom<std::uint64_t> *slots = nullptr;
  std::uint32_t bytes_max = 0, records_max = 0;

  // generation: of the reservation just made there; the chunk may have gone on since, then nothing comes of it.
  void remember(chunk *c, std::uint64_t generation) noexcept {
    using namespace chunk_word;
    std::uint64_t s = c->state.load(std::memory_order_relaxed); // see byte_stream, Orders
    if (!is_owned(s) || c->owner.load(std::memory_order_relaxed) != Pool::self()) return;
    *this = {&c->state, generation << generation_shift | owned, c->data, c->slots, c->bytes_max, c->records_max};
  }

  // n: any number; what does not fit is refused.
  bool reserve(std::size_t n, chunk_reservation<Atom> *out) const noexcept {
    using namespace chunk_word;
    // relaxed: owner_store compares again, and what lies behind the word is our own, or constant in this generation.
    if (!state) return false;
    const std::uint64_t s = state->load(std::memory_order_relaxed), used = s ^ life;
    if (used >> sealed_shift) return false;
    const std::uint32_t bytes = bytes_of(used), record = static_cast<std::uint32_t>(used >> bytes_bits);
    if (n - 1 >= bytes_max - bytes || record == records_max) return false; // 0, too
    if (!Pool::owner_store(*state, s, s + (1u << bytes_bits) + n)) return false;
    *out = {slots, data + bytes, generation_of(life), record, bytes + static_cast<std::uint32_t>(n)};
    return true;
  }
};

} // namespace ef
#endif
