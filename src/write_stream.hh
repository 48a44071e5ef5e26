// SPDX-License-Identifier: BSD-2-Clause
// The bytes a file has accepted and not yet written: a byte stream with a budget. Memory only.
#ifndef EF_WRITE_STREAM_HH
#define EF_WRITE_STREAM_HH

#include "byte_stream.hh"
#include "chunk.hh"
#include "limits.hh"
#include "owned_chunk.hh"
#include "owner_store.hh"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// Its address names the calling thread as the owner of a chunk.
extern constinit thread_local char thread_mark;

// A gather list being copied from, and how far.
class byte_source {
 public:
  byte_source(const iovec *iov, int count) noexcept : iov_(iov), count_(count) {}
  void copy_to(unsigned char *to, std::size_t n) noexcept;

 private:
  const iovec *iov_;
  int count_;
  std::size_t done_ = 0; // of iov_[0]
};

class write_stream {
 public:
  using stream = byte_stream<write_stream>;
  using ends = call_ends<write_stream>;
  using reservation = stream::reservation;

  // A new life. with: the stream whose budget it shares, or null.
  void open(chunk_pool *pool, std::uint32_t chunks_max, write_stream *with = nullptr) noexcept;
  static void enable_owners() noexcept;           // once a process, if owner_store works here
  void shut() noexcept { stream_.shut(); }        // no writers: files for reading
  void close() noexcept { stream_.close(*this); } // no more writers

  // ---- writers: any thread. The fast path, without a reference to the file: see byte_stream.
  std::uint64_t tail() const noexcept { return stream_.tail(); }
  bool reserve(std::uint64_t tail, std::uint32_t n, reservation *out) noexcept {
    return stream_.reserve(*this, tail, n, out);
  }
  static bool reserve_in(chunk *c, std::uint64_t tail, std::uint32_t n,
                         reservation *out) noexcept { // as chunk_of(tail)
    return stream::ops::reserve(c, tail, n, out);
  }
  // The chunk a tail names, null: none.
  chunk *chunk_of(std::uint64_t tail) const noexcept {
    std::uint32_t index = chunk_word::chunk_of(tail);
    return index == chunk_word::none || index == chunk_word::closed ? nullptr : at(index);
  }
  static void commit(const reservation &r) noexcept { stream::ops::commit(r); }

  // The other path, with a reference: takes chunks. n bytes or fewer (only if n > EF_ATOMIC), -EAGAIN the budget is
  // full, -ENOBUFS the process's pool is, -ENOMEM, -EPIPE closed.
  ssize_t put(byte_source from, std::size_t n) noexcept;

  // A chunk of the budget for n <= EF_ATOMIC bytes, and those bytes put there: what was taken ahead finds its place. 0
  // or as put; false: closed, or no bytes, and the chunk is given back.
  int take_ahead(std::size_t n, chunk **out) noexcept { return take(tail(), n, out); }
  bool put_ahead(chunk *c, const void *bytes, std::size_t n) noexcept;

  // What is accepted from now on, at this stream position and behind it, belongs at this file offset. 0, -EAGAIN the
  // budget is full, -ENOMEM, -EPIPE.
  int move_to(std::int64_t offset, std::uint64_t *at) noexcept;

  std::uint64_t accepted() const noexcept { return stream_.accepted(const_cast<write_stream &>(*this)); }
  bool empty() const noexcept { return stream_.empty(); }
  std::uint32_t chunks() const noexcept { return held().load(std::memory_order_seq_cst); } // pairs with give()
  bool has_room() const noexcept { return chunks() < chunks_max_; }
  bool has_much_room() const noexcept { return chunks() <= chunks_max_ / 2; } // when a refused writer is called back
  // Worth a flusher's while: so many chunks, besides those in use.
  bool backlog(std::uint32_t in_use = 0) const noexcept {
    return chunks() >= std::min(backlog_ + in_use, backlog_most_);
  }

  // ---- consumer: the file's flush lane
  int gather(iovec *iov, int most, std::size_t bytes, std::int64_t *base) noexcept {
    return stream_.gather(*this, iov, most, bytes, base);
  }
  void consume(std::size_t n) noexcept { stream_.consume(*this, n); }
  bool detach() noexcept;
  bool blocked() noexcept { return stream_.blocked(*this); }
  // Of what was gathered last: bytes up to the last end of a call within `most`, 0 = there is none.
  std::size_t whole_calls(std::size_t most) noexcept { return ends::last(*this, stream_.front(), most); }
  // All of the first call, or all that is left of it.
  std::size_t first_call() noexcept { return ends::first(*this, stream_.front()); }
  // What is left of a call whose first bytes are consumed; 0: there is none such.
  std::size_t begun_call() noexcept { return ends::between(stream_.front()) ? 0 : first_call(); }
  std::uint64_t consumed() const noexcept { return stream_.consumed(); }
  std::uint64_t given() const noexcept { return given_; } // chunks given back so far
  // Positions up to which bytes are to be written without delay, and those that a sync was asked for. Any thread.
  std::atomic<std::uint64_t> flush_target{0}, sync_target{0};
  std::uint64_t age_mark = 0; // the consumer's: see backlog_age

  // ---- what byte_stream asks of its pool
  static std::uint64_t self() noexcept { return reinterpret_cast<std::uintptr_t>(&thread_mark); }
  static bool owner_store(std::atomic<std::uint64_t> &word, std::uint64_t expected, std::uint64_t desired) noexcept {
    return ef::owner_store(word, expected, desired);
  }
  static void barrier() noexcept { owner_store_barrier(); }
  void contended() noexcept { shared_for_.store(limits::shared_chunks, std::memory_order_relaxed); }
  chunk *at(std::uint32_t index) const noexcept { return pool().at(index); }
  void give(chunk *c) noexcept { // the consumer's
    ++given_;
    give_back(c);
  }

 private:
  void give_back(chunk *c) noexcept;
  std::uint64_t owner_for(const chunk &c, std::uint64_t tail) noexcept;
  int take(std::uint64_t tail, std::size_t n, chunk **out) noexcept;
  ssize_t put_many(byte_source from, std::size_t n) noexcept;
  void give_chain(chunk *first, chunk *last) noexcept;

  std::atomic<std::uint32_t> &held() const noexcept { return *held_.load(std::memory_order_relaxed); }

  stream stream_;
  chunk_pool &pool() const noexcept { return *pool_.load(std::memory_order_relaxed); }

  std::atomic<chunk_pool *> pool_{nullptr}; // constant; atomic because stale writers of the last life look, too
  std::atomic<std::uint32_t> chunks_{0};    // held by the stream, or those that share its budget, or being filled
  std::atomic<std::atomic<std::uint32_t> *> held_{nullptr}; // chunks_ of the one whose budget it is; as pool_
  // Hints: a large chunk was filled since the stream had none; none was, between the last two such times.
  std::atomic<bool> filled_{false}, quiet_{false};
  std::atomic<int> shared_for_{0}; // chunks still to come before a writer may own one again
  std::uint32_t chunks_max_ = 0, backlog_ = 0, backlog_most_ = 0;
  std::uint64_t given_ = 0; // the consumer's
};

} // namespace ef
#endif
