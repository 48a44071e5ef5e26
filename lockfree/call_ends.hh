// SPDX-License-Identifier: BSD-2-Clause
// Where the calls end whose bytes wait at the front of a byte stream: for a consumer that must not part them.
#ifndef EF_LOCKFREE_CALL_ENDS_HH
#define EF_LOCKFREE_CALL_ENDS_HH

#include "stream_chunk.hh"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// Base of a chunk that carries on the call of the one before it: the call was longer than a chunk.
constexpr std::int64_t same_call = -2;

// The consumer's place in a stream: what comes before it in the chunk is consumed.
template<template<class> class Atom> struct stream_front {
  stream_chunk<Atom> *c; // null: the stream is empty
  std::uint32_t bytes, record;
};

// The consumer's, wait-free in the bytes present. Only what it has seen committed is looked at. Relaxed throughout,
// but for next: the consumer has loaded these slots with acquire before, and the state decides as in byte_stream.
template<class Pool, template<class> class Atom = std::atomic> struct call_ends {
  using chunk = stream_chunk<Atom>;
  using front = stream_front<Atom>;

  // Is the front between two calls?
  static bool between(const front &f) noexcept {
    if (!f.c) return true;
    if (f.bytes == 0) return f.c->base.load(std::memory_order_relaxed) != same_call;
    return f.record > 0 && end_of(f.c, f.record - 1) == f.bytes;
  }

  // Bytes of the first call, or of what is left of it; 0: none is there.
  static std::size_t first(Pool &pool, front f) noexcept {
    if (!f.c) return 0;
    // The next chunk may have come while the consumer gathered, after its look at the front.
    if (chunk *next = used_up(f) ? next_of(pool, f.c) : nullptr) f = {next, 0, 0};
    if (!committed(f.c, f.record)) return 0;
    std::size_t n = end_of(f.c, f.record) - f.bytes;
    for (chunk *c = next_of(pool, f.c); c && continues(c); c = next_of(pool, c)) n += end_of(c, 0);
    return n;
  }

  // Bytes up to the last end of a call within the first `most`, all of which the consumer has gathered; 0: there is
  // none.
  static std::size_t last(Pool &pool, const front &f, std::size_t most) noexcept {
    std::size_t found = 0, before = 0; // `before`: bytes in front of the chunk
    std::uint32_t from = f.bytes, record = f.record;
    for (chunk *c = f.c; c;) {
      const std::uint64_t limit = from + (most - before);
      const std::uint32_t end = last_end(c, record, limit, from);
      chunk *next = next_of(pool, c);
      const bool all = next && end == chunk_word::bytes_of(c->state.load(std::memory_order_relaxed));
      if (end > from && !(all && continues(next))) found = before + end - from;
      if (!all) break;
      before += end - from;
      c = next;
      from = record = 0;
    }
    return found;
  }

 private:
  static bool committed(chunk *c, std::uint32_t record) noexcept {
    using namespace chunk_word;
    return record < c->records_max && c->slots[record].load(std::memory_order_relaxed) >> bytes_bits ==
                                          generation_of(c->state.load(std::memory_order_relaxed));
  }
  static std::uint32_t end_of(chunk *c, std::uint32_t record) noexcept {
    return c->slots[record].load(std::memory_order_relaxed) & ((1u << chunk_word::bytes_bits) - 1);
  }
  static bool used_up(const front &f) noexcept {
    const std::uint64_t s = f.c->state.load(std::memory_order_relaxed); // sealed: then these are all its bytes
    return chunk_word::is_sealed(s) && chunk_word::bytes_of(s) == f.bytes;
  }
  static bool continues(chunk *c) noexcept { return c->base.load(std::memory_order_relaxed) == same_call; }
  static chunk *next_of(Pool &pool, chunk *c) noexcept {
    using namespace chunk_word;
    const std::uint32_t n = chunk_of(c->next.load(std::memory_order_acquire)); // pairs with append
    return n == none || n == end || n == closed ? nullptr : pool.at(n);
  }
  // End of the last record from `record` on that ends within `limit`, or `from`. Ends rise, and all within the limit
  // are committed: by halves.
  static std::uint32_t last_end(chunk *c, std::uint32_t record, std::uint64_t limit, std::uint32_t from) noexcept {
    std::uint32_t low = record, high = chunk_word::records_of(c->state.load(std::memory_order_relaxed));
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (committed(c, middle) && end_of(c, middle) <= limit)
        low = middle + 1;
      else
        high = middle;
    }
    return low > record ? end_of(c, low - 1) : from;
  }
};

} // namespace ef
#endif
