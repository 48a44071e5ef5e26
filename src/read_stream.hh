// SPDX-License-Identifier: BSD-2-Clause
// Bytes read and not yet asked for: a queue of filled chunks, all of it the reader's own. Memory only.
#ifndef EF_READ_STREAM_HH
#define EF_READ_STREAM_HH

#include "chunk.hh"
#include "limits.hh"

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

class read_stream {
 public:
  static constexpr int spans_max = limits::read_spans_max;

  void open(chunk_pool *pool) noexcept { pool_ = pool; }

  // Any thread: a snapshot. Everything else: one reader at a time.
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

  bool has_room(std::int64_t chunks) const noexcept { return count_ + chunks <= spans_max; }
  void push(chunk *c, std::uint32_t from, std::uint32_t to) noexcept; // from < to; the chunk is the stream's now
  std::size_t copy(const iovec *iov, int count) noexcept;             // and consume
  int peek(iovec *iov, int most) const noexcept;
  void consume(std::size_t n) noexcept; // n <= size()
  void clear() noexcept;

 private:
  struct span {
    chunk *c;
    std::uint32_t from, to;
  };
  span spans_[spans_max];
  int first_ = 0, count_ = 0;
  std::atomic<std::uint32_t> size_{0}; // the reader stores
  chunk_pool *pool_ = nullptr;
};

} // namespace ef
#endif
