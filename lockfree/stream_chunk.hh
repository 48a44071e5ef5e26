// SPDX-License-Identifier: BSD-2-Clause
// The unit of a byte_stream: a chunk of memory with its state word and the commit slots that lie beside the bytes.
#ifndef EF_LOCKFREE_STREAM_CHUNK_HH
#define EF_LOCKFREE_STREAM_CHUNK_HH

#include <atomic>
#include <cstdint>

namespace ef {

// Words. state {generation:32, revoking:1, owned:1, sealed:1, records:12, bytes:17}; slot {generation:32, end:17};
// tail {tag:40, chunk:24}: chunk 0 = the stream is empty and the tag is its position, chunk_closed = no more writers;
// next {tag:40, chunk:24} alike, tag = own generation.
// While a chunk is owned, the owner alone changes its state, by owner_store (owner_store.hh); everybody else first
// takes the ownership away: sets revoking (the owner's store, if one is under way, may undo that), lets the barrier
// pass, and clears both bits if revoking is still set.
template<template<class> class Atom = std::atomic> struct stream_chunk {
  Atom<std::uint64_t> state;    // writers and consumer, by compare-and-swap
  Atom<std::uint64_t> next;     // set once a life
  Atom<std::uint64_t> position; // stream position of byte 0; stored before the chunk is linked
  Atom<std::uint64_t> previous; // chunk linked before this one, 0 = the stream was empty
  Atom<std::uint64_t> owner;    // who may use owner_store while state says owned
  Atom<std::int64_t> base;      // file offset that byte 0 must have, -1 = goes on where the last chunk ended; call_ends
  std::uint32_t index;          // constant after creation, as all below
  std::uint32_t bytes_max;      // at most 65536
  std::uint32_t records_max;    // at most 2048
  unsigned char *data;
  Atom<std::uint64_t> *slots;
};

namespace chunk_word {
constexpr unsigned bytes_bits = 17, records_bits = 12, sealed_shift = bytes_bits + records_bits;
constexpr std::uint64_t sealed = std::uint64_t{1} << sealed_shift;
constexpr std::uint64_t owned = sealed << 1, revoking = sealed << 2;
constexpr unsigned generation_shift = sealed_shift + 3;
constexpr std::uint64_t generation_mask = (std::uint64_t{1} << 32) - 1;
constexpr std::uint64_t tag_mask = (std::uint64_t{1} << 40) - 1;
constexpr std::uint32_t none = 0, end = 0xfffffe, closed = 0xffffff;
constexpr std::uint64_t state(std::uint64_t generation, std::uint32_t records, std::uint32_t bytes) {
  return generation << generation_shift | std::uint64_t{records} << bytes_bits | bytes;
}
constexpr std::uint32_t bytes_of(std::uint64_t state) { return state & ((1u << bytes_bits) - 1); }
constexpr std::uint32_t records_of(std::uint64_t state) { return state >> bytes_bits & ((1u << records_bits) - 1); }
constexpr std::uint64_t generation_of(std::uint64_t state) { return state >> generation_shift; }
constexpr bool is_sealed(std::uint64_t state) { return state & sealed; }
constexpr bool is_owned(std::uint64_t state) { return state & owned; }
constexpr std::uint64_t link(std::uint64_t tag, std::uint32_t chunk) { return (tag & tag_mask) << 24 | chunk; }
constexpr std::uint32_t chunk_of(std::uint64_t link) { return link & 0xffffff; }
constexpr std::uint64_t tag_of(std::uint64_t link) { return link >> 24; }
constexpr std::uint64_t slot(std::uint64_t generation, std::uint32_t end) { return generation << bytes_bits | end; }
}

// Makes a chunk fresh from the pool ready for a stream: a new generation, one record of `bytes` committed if bytes > 0.
// The taker's alone until it is linked, which carries all of it to whoever finds it through tail or next. owner: of
// owner_store, or 0.
template<template<class> class Atom>
void chunk_begin(stream_chunk<Atom> &c, std::uint32_t bytes, std::int64_t base, std::uint64_t owner = 0) {
  using namespace chunk_word;
  std::uint64_t generation = (generation_of(c.state.load(std::memory_order_relaxed)) + 1) & generation_mask;
  if (generation == 0) generation = 1;
  c.next.store(link(generation, none), std::memory_order_relaxed);
  c.previous.store(0, std::memory_order_relaxed);
  c.base.store(base, std::memory_order_relaxed);
  if (bytes) c.slots[0].store(slot(generation, bytes), std::memory_order_relaxed);
  c.owner.store(owner, std::memory_order_relaxed);
  c.state.store(state(generation, bytes ? 1 : 0, bytes) | (owner ? owned : 0), std::memory_order_relaxed);
}

// Links two private chunks, seals the first.
template<template<class> class Atom> void chunk_link(stream_chunk<Atom> &a, stream_chunk<Atom> &b) {
  using namespace chunk_word;
  std::uint64_t s = a.state.load(std::memory_order_relaxed);
  a.next.store(link(generation_of(s), b.index), std::memory_order_relaxed);
  a.state.store(s | sealed, std::memory_order_relaxed);
}

} // namespace ef
#endif
